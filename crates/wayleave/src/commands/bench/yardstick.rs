//! The yardstick: what a handler costs that knows nothing of UMA.

use crate::{Exit, say};
use authorization_server::{Changes, Event, Write};
use axum::Router;
use axum::extract::{Form, Path, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use identity::token::{RefreshToken, Renews};
use identity::token_text::{TokenKind, key_of, mint};
use jose::{Algorithm, Clock, SigningKey, SystemClock, SystemRandomness};
use rules::{Resource, Rpt};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use store::Store;
use types::event::EventKind;
use types::{ResourceDescription, Timestamp};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    store: PathBuf,
}

struct Yard {
    store: Store,
    key: SigningKey,
}

/// Serves until it is killed.
pub(super) async fn run(options: Options) -> Result<(), Exit> {
    let store = Store::open(&options.store).map_err(Exit::failed)?;
    let resource = Resource {
        id: "r".into(),
        owner: "o".into(),
        resource_server: "rs".into(),
        description: ResourceDescription::default(),
        registered: Timestamp(0),
        version: 0,
    };
    store.commit_changes(Changes::of(vec![Write::CreateResource(resource)])).await.map_err(Exit::failed)?;
    let key = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
    let router = Router::new()
        .route("/plain/{length}", post(plain))
        .route("/grant/{length}", post(grant))
        .route("/jwt/{length}", post(jwt))
        .with_state(Arc::new(Yard { store, key }));
    let listener = tokio::net::TcpListener::bind(&options.listen).await.map_err(Exit::failed)?;
    say::ready(&options.listen);
    axum::serve(listener, router).await.map_err(Exit::failed)
}

fn constant(length: usize) -> Response {
    let text = "x".repeat(length.saturating_sub(8));
    ([(header::CONTENT_TYPE, "application/json")], format!("{{\"a\":\"{text}\"}}")).into_response()
}

async fn plain(Path(length): Path<usize>, body: axum::body::Bytes) -> Response {
    let form: HashMap<String, String> = form_urlencoded::parse(&body).into_owned().collect();
    std::hint::black_box(&form);
    constant(length)
}

async fn grant(State(yard): State<Arc<Yard>>, Path(length): Path<usize>, Form(form): Form<HashMap<String, String>>) -> Response {
    save(&yard, &form).await;
    constant(length)
}

async fn jwt(State(yard): State<Arc<Yard>>, Path(length): Path<usize>, Form(form): Form<HashMap<String, String>>) -> Response {
    save(&yard, &form).await;
    let claims = serde_json::json!({"iss": "a", "aud": "b", "permissions": [{"resource_id": "c", "resource_scopes": ["view"]}]});
    std::hint::black_box(yard.key.sign("at+jwt", &claims).unwrap_or_default());
    constant(length)
}

/// The statements of a grant: two checks, four rows.
async fn save(yard: &Yard, form: &HashMap<String, String>) {
    std::hint::black_box(form);
    let now = SystemClock.now();
    let (rpt_text, refresh_text) =
        (mint(TokenKind::Rpt, "o", now, &SystemRandomness), mint(TokenKind::Refresh, "o", now, &SystemRandomness));
    let (Some(rpt_key), Some(refresh_key)) = (key_of(TokenKind::Rpt, &rpt_text), key_of(TokenKind::Refresh, &refresh_text))
    else {
        return;
    };
    let rpt = Rpt {
        client: "viewer".into(),
        owner: "o".into(),
        resource_server: "rs".into(),
        pat_grant: "g".into(),
        requesting_party: Default::default(),
        cnf: None,
        scopes: vec![],
        issued: now,
        expires: now,
        family: rpt_text.clone(),
        jti: None,
    };
    let refresh = RefreshToken {
        client: "viewer".into(),
        renews: Renews::Other(serde_json::to_value(&rpt).unwrap_or_default()),
        cnf: None,
        family: rpt_text.clone(),
        expires: now,
        rotated: None,
        superseded: false,
        predecessor: None,
    };
    let event = Event::new("o".into(), EventKind::RptIssued, &SystemClock, &SystemRandomness);
    let mut changes = Changes::of(vec![Write::PutRpt(rpt_key, rpt), Write::AppendEvent(event)]);
    let spent = identity::SpentId { kind: "ticket", issuer: String::new(), id: rpt_text, expires: now };
    changes.identity.writes.push(identity::Write::Spend(spent));
    changes.identity.writes.push(identity::Write::CreateRefreshToken(refresh_key, refresh));
    changes.requires.push(authorization_server::Requirement::ResourceUnchanged { id: "r".into(), version: 0 });
    changes.requires.push(authorization_server::Requirement::LinkUnchanged {
        owner: "o".into(),
        resource_server: "rs".into(),
        version: 0,
    });
    let saved = yard.store.commit_changes(changes).await;
    debug_assert!(saved.is_ok());
}
