//! The yardstick: what a handler costs that knows nothing of UMA.

use super::least::{Grant, Least, Lengths, millis, random};
use crate::{Exit, say};
use axum::Router;
use axum::extract::{Form, Path, Query, State};
use axum::http::header;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post, put};
use jose::{Algorithm, SigningKey};
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

#[derive(clap::Args)]
pub struct Options {
    #[arg(long)]
    listen: String,
    #[arg(long)]
    store: PathBuf,
    /// The store of a server whose rows are as long
    #[arg(long)]
    like: Option<PathBuf>,
    /// RPTs that lie in the store before, as in the server's: a row costs more pages beside many
    #[arg(long, default_value_t = 0)]
    filled: usize,
}

struct Yard {
    store: Least,
    key: SigningKey,
    /// Grants so far.
    count: AtomicI64,
}

/// Serves until it is killed.
pub(super) async fn run(options: Options) -> Result<(), Exit> {
    let lengths = options.like.as_deref().map_or(Ok(Lengths::default()), Lengths::of_server)?;
    let store = Least::start(&options.store, lengths, options.filled)?;
    let key = SigningKey::generate(Algorithm::EdDsa).map_err(Exit::failed)?;
    let router = Router::new()
        .route("/plain/{length}", post(plain))
        .route("/grant/{length}", post(grant))
        .route("/jwt/{length}", post(jwt))
        .route("/allow", get(async || http::StatusCode::NO_CONTENT))
        .route("/content/albums/{album}/small", get(async || "x".repeat(256)))
        .route("/content/albums/{album}/large", get(large))
        .route("/content/albums/{album}/sink", put(sink).layer(axum::extract::DefaultBodyLimit::disable()))
        .with_state(Arc::new(Yard { store, key, count: AtomicI64::default() }));
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

async fn save(yard: &Yard, form: &HashMap<String, String>, is_signed: bool) {
    std::hint::black_box(form);
    let number = yard.count.fetch_add(1, Ordering::Relaxed);
    yard.store.keep(Grant { millis: millis(), number, random: std::array::from_fn(|_| random()), is_signed }).await;
}
