//! The yardstick: what a handler costs that knows nothing of UMA.

use crate::{Exit, say};
use authorization_server::{Changes, Event, Requirement, Write};
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use identity::token::{RefreshToken, Renews};
use identity::token_text::{TokenKind, key_of, mint};
use jose::{Algorithm, Clock, SigningKey, SystemClock, SystemRandomness};
use rules::rpt::{Basis, GrantedScope};
use rules::{Resource, Rpt};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use types::event::EventKind;
use types::{ResourceDescription, Timestamp};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    store: PathBuf,
    /// RPTs that lie in the store before, as in the server's: a row costs more pages beside many
    #[arg(long, default_value_t = 0)]
    filled: usize,
}

struct Yard {
    store: Store,
    key: SigningKey,
    scopes: Vec<GrantedScope>,
}

/// Serves until it is killed.
pub(super) async fn run(options: Options) -> Result<(), Exit> {
    let store = Store::open_file(&options.store).await.map_err(Exit::failed)?;
    let resource = Resource {
        id: NAME.into(),
        owner: NAME.into(),
        resource_server: "photos-rs".into(),
        description: ResourceDescription::default(),
        registered: Timestamp(0),
        unregistered: false,
        version: 0,
    };
    store.commit_changes(Changes::of(vec![Write::CreateResource(resource)])).await.map_err(Exit::failed)?;
    let key = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
    let basis = Basis::Policy { id: NAME.into(), version: 0, expires_at: None };
    let scope = types::Scope::parse("view").map_err(Exit::failed)?;
    let granted = GrantedScope { resource: NAME.into(), scope, basis: vec![basis] };
    fill(&store, options.filled, &granted).await?;
    let router = Router::new()
        .route("/plain/{length}", post(plain))
        .route("/grant/{length}", post(grant))
        .route("/jwt/{length}", post(jwt))
        .route("/allow", get(async || http::StatusCode::NO_CONTENT))
        .route("/content/albums/{album}/small", get(async || "x".repeat(256)))
        .route("/content/albums/{album}/large", get(large))
        .route("/content/albums/{album}/sink", put(sink).layer(axum::extract::DefaultBodyLimit::disable()))
        .with_state(Arc::new(Yard { store: store.clone(), key, scopes: vec![granted] }));
    // nobody seals here: what waits for a sealer is let go
    tokio::spawn(async move {
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            drop(authorization_server::Store::take_unsealed(&store).await);
        }
    });
    let listener = tokio::net::TcpListener::bind(&options.listen).await.map_err(Exit::failed)?;
    say::ready(&options.listen);
    axum::serve(listener, router).await.map_err(Exit::failed)
}

/// As many live RPTs as the server that it stands beside.
async fn fill(store: &Store, count: usize, granted: &GrantedScope) -> Result<(), Exit> {
    let now = SystemClock.now();
    for chunk in (0..count).collect::<Vec<_>>().chunks(2_000) {
        let mut writes = Vec::with_capacity(chunk.len());
        for n in chunk {
            let text = mint(TokenKind::Rpt, "o", now, &SystemRandomness);
            let key = key_of(TokenKind::Rpt, &text).ok_or_else(|| Exit::failed("no key"))?;
            let rpt = rpt_of(vec![granted.clone()], format!("bench{n}"), now);
            writes.push(Write::PutRpt(key, Rpt { expires: now.plus(86_000), ..rpt }));
        }
        store.commit_changes(Changes::of(writes)).await.map_err(Exit::failed)?;
    }
    Ok(())
}

fn rpt_of(scopes: Vec<GrantedScope>, family: String, now: Timestamp) -> Rpt {
    Rpt {
        client: "viewer".into(),
        owner: NAME.into(),
        resource_server: "photos-rs".into(),
        pat_grant: NAME.into(),
        requesting_party: Default::default(),
        email: None,
        cnf: None,
        scopes,
        issued: now,
        expires: now,
        family,
        by_own_id: false,
        jti: None,
    }
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

/// `?mib=` of it, in pieces.
async fn large(Query(query): Query<HashMap<String, String>>) -> Response {
    let mib: usize = query.get("mib").and_then(|mib| mib.parse().ok()).unwrap_or(1);
    let piece = axum::body::Bytes::from(vec![7_u8; 256 * 1024]);
    let pieces =
        futures_util::stream::iter((0..mib.saturating_mul(4)).map(move |_| Ok::<_, std::convert::Infallible>(piece.clone())));
    let length = mib.saturating_mul(1 << 20).to_string();
    ([(header::CONTENT_LENGTH, length)], axum::body::Body::from_stream(pieces)).into_response()
}

/// Takes what comes, and keeps nothing.
async fn sink(request: axum::extract::Request) -> Response {
    let mut pieces = request.into_body().into_data_stream();
    while let Some(Ok(_)) = futures_util::StreamExt::next(&mut pieces).await {}
    http::StatusCode::NO_CONTENT.into_response()
}

async fn grant(State(yard): State<Arc<Yard>>, Path(length): Path<usize>, Form(form): Form<HashMap<String, String>>) -> Response {
    save(&yard, &form, false).await;
    constant(length)
}

async fn jwt(State(yard): State<Arc<Yard>>, Path(length): Path<usize>, Form(form): Form<HashMap<String, String>>) -> Response {
    save(&yard, &form, true).await;
    let claims = serde_json::json!({
        "iss": "http://127.0.0.1:8080", "aud": "http://127.0.0.1:9000", "sub": "viewer", "client_id": "viewer", "iat": 1, "exp": 2,
        "jti": NAME, "permissions": [{"resource_id": NAME, "resource_scopes": ["view"]}],
    });
    std::hint::black_box(yard.key.sign("at+jwt", &claims).unwrap_or_default());
    constant(length)
}

/// As long as an id of ours.
const NAME: &str = "abcdefghijklmnopqrstuv";

/// The statements of a grant: three checks, four rows with bodies as a grant writes them; one row more for a JWT.
async fn save(yard: &Yard, form: &HashMap<String, String>, signed: bool) {
    std::hint::black_box(form);
    let now = SystemClock.now();
    let (rpt_text, refresh_text) =
        (mint(TokenKind::Rpt, "o", now, &SystemRandomness), mint(TokenKind::Refresh, "o", now, &SystemRandomness));
    let (Some(rpt_key), Some(refresh_key)) = (key_of(TokenKind::Rpt, &rpt_text), key_of(TokenKind::Refresh, &refresh_text))
    else {
        return;
    };
    // as long as a family and a spent id of ours
    let tail = |length: usize| rpt_text.get(rpt_text.len().saturating_sub(length)..).unwrap_or_default().to_owned();
    let (family, spent) = (tail(27), tail(43));
    let rpt = Rpt { jti: signed.then(|| rpt_text.clone()), ..rpt_of(yard.scopes.clone(), family.clone(), now) };
    let refresh = RefreshToken {
        client: "viewer".into(),
        renews: Renews::Other(serde_json::to_value(&rpt).unwrap_or_default()),
        cnf: None,
        bound: false,
        family,
        expires: now,
        issued: Some(now),
        rotated: None,
        superseded: false,
        predecessor: None,
    };
    let mut event = Event::new(NAME.into(), EventKind::RptIssued, &SystemClock, &SystemRandomness);
    event.document.client_id = Some("viewer".into());
    event.document.resource_server = Some("http://127.0.0.1:9000".into());
    event.document.resource_id = Some(NAME.into());
    event.document.policy_id = Some(NAME.into());
    event.document.outcome = Some(types::event::EventOutcome::Granted);
    event.document.scopes = yard.scopes.iter().map(|granted| granted.scope.clone()).collect();
    let mut changes = Changes::of(vec![Write::PutRpt(rpt_key, rpt), Write::AppendEvent(event)]);
    let spent = identity::SpentId { kind: "ticket", issuer: String::new(), id: spent, expires: now, made: None };
    changes.identity.writes.push(identity::Write::Spend(spent));
    changes.identity.writes.push(identity::Write::CreateRefreshToken(refresh_key, refresh));
    changes.requires.push(Requirement::ResourceUnchanged { id: NAME.into(), version: 0 });
    let link = |resource_server: &str| Requirement::LinkUnchanged {
        owner: NAME.into(),
        resource_server: resource_server.into(),
        version: 0,
    };
    // the third check of a grant is a point read of another small table
    changes.requires.extend([link("photos-rs"), link("consent")]);
    if let Err(error) = yard.store.commit_changes(changes).await {
        tracing::error!(%error, "the yardstick could not save");
        std::process::exit(1);
    }
}
