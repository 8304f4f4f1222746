//! The admin listener: health and metrics for everybody who reaches it; administration for whoever has the token of
//! `server.admin_token_file`, or may open the socket `admin.sock` in the data folder (`operations.md`).

use crate::clock_watch::ClockWatch;
use crate::metrics::Metrics;
use crate::serve::Stop;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use identity::account::Standing;
use identity::{Account, Failure};
use jose::digest;
use serde::{Deserialize, Serialize};
use serde_json::json;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::net::UnixListener;
use web::App;

/// Name of the socket in the data folder.
pub const SOCKET: &str = "admin.sock";

/// What the listener works with.
#[derive(Clone)]
pub struct Admin {
    pub app: Arc<App>,
    pub store: Store,
    pub clock: Arc<ClockWatch>,
    pub metrics: Arc<Metrics>,
    /// SHA-256 of the token; none: administration goes by the socket alone.
    pub token: Option<[u8; 32]>,
}

/// Body of `POST /erase`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Erase {
    pub email: String,
}

/// Body of `POST /invitations`.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Invite {
    pub email: String,
}

/// What `POST /erase` did.
#[derive(Serialize, Deserialize)]
pub struct Erased {
    pub events: usize,
}

/// `/healthz`: the process answers. `/readyz`: the store answers. `/metrics`: for Prometheus. All else wants the
/// token.
pub fn router(admin: Admin) -> Router {
    let guarded = administration().layer(middleware::from_fn_with_state(admin.clone(), check_token));
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(metrics))
        .merge(guarded)
        .with_state(admin)
}

/// The same for who may open the socket: its file is the check.
fn socket_router(admin: Admin) -> Router {
    administration().with_state(admin).layer(middleware::from_fn(crate::serve::check_framing))
}

fn administration() -> Router<Admin> {
    let keys = Router::new().route("/keys/rotate", post(rotate)).route("/accounts", get(accounts));
    keys.route("/erase", post(erase)).route("/invitations", post(invite))
}

async fn ready(State(admin): State<Admin>) -> (StatusCode, &'static str) {
    if admin.clock.is_behind() {
        return (StatusCode::SERVICE_UNAVAILABLE, "the clock stands behind the latest time that was served: the log says more\n");
    }
    match admin.store.probe().await {
        Ok(()) => (StatusCode::OK, "ready\n"),
        Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer, or cannot be written: the log says why\n"),
    }
}

async fn metrics(State(admin): State<Admin>) -> Response {
    let size = |place: &Path| std::fs::metadata(place).map_or(0, |meta| meta.len());
    // what was written lately stands beside it
    let whole =
        |place: &Path| database::file::companions(place).fold(size(place), |sum, beside| sum.saturating_add(size(&beside)));
    let bytes = admin.store.sqlite().map(|sqlite| whole(sqlite.path()));
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], admin.metrics.render(bytes)).into_response()
}

async fn check_token(State(admin): State<Admin>, headers: HeaderMap, request: Request, next: Next) -> Response {
    let sent = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let sent = sent.and_then(|value| value.strip_prefix("Bearer ")).map(|token| digest::sha256(&[token.trim().as_bytes()]));
    match (admin.token, sent) {
        (Some(token), Some(sent)) if digest::equal(&token, &sent) => next.run(request).await,
        _ => refuse(
            StatusCode::UNAUTHORIZED,
            "invalid_token",
            "send the token of `server.admin_token_file` in `Authorization: Bearer`, or use the socket admin.sock",
        ),
    }
}

fn refuse(status: StatusCode, error: &str, what: &str) -> Response {
    (status, Json(json!({"error": error, "error_description": what}))).into_response()
}

fn failed(failure: &Failure) -> Response {
    tracing::error!(%failure, "administration failed");
    refuse(StatusCode::SERVICE_UNAVAILABLE, "temporarily_unavailable", "this could not be done: the log says why")
}

/// `GET /accounts`: who may log in.
async fn accounts(State(admin): State<Admin>) -> Response {
    let opens = |account: &&Account| account.standing != Standing::Gone;
    match admin.app.identity.store.list_accounts(None, 1_000).await {
        Ok(accounts) => Json(
            accounts
                .iter()
                .filter(opens)
                .map(|account| {
                    json!({"username": account.username, "email": account.email, "name": account.name, "created": account.created})
                })
                .collect::<Vec<_>>(),
        )
        .into_response(),
        Err(error) => failed(&Failure::Unavailable(error.to_string())),
    }
}

/// `POST /keys/rotate`.
async fn rotate(State(admin): State<Admin>) -> Response {
    let identity = &admin.app.identity;
    match identity.keys.rotate(&*identity.store, identity.now(), &*identity.randomness).await {
        Ok(kids) => Json(json!({"published": kids, "signing_in": identity::keys::LEAD})).into_response(),
        Err(error) => failed(&error),
    }
}

/// `POST /erase`: nothing here tells any more that this person ever came.
async fn erase(State(admin): State<Admin>, Json(erase): Json<Erase>) -> Response {
    match admin.app.authorization_server.erase_requesting_party(&erase.email).await {
        Ok(events) => Json(Erased { events }).into_response(),
        Err(Failure::Refused(refusal)) => refuse(StatusCode::BAD_REQUEST, refusal.code.as_str(), &refusal.description),
        Err(error) => failed(&error),
    }
}

/// `POST /invitations`: an initial access token goes to this address.
async fn invite(State(admin): State<Admin>, Json(invite): Json<Invite>) -> Response {
    match admin.app.authorization_server.invite(&invite.email).await {
        Ok(()) => StatusCode::NO_CONTENT.into_response(),
        Err(Failure::Refused(refusal)) => refuse(StatusCode::BAD_REQUEST, refusal.code.as_str(), &refusal.description),
        Err(error) => failed(&error),
    }
}

/// Listens at `folder/admin.sock`, which its owner alone may open; a socket that a killed process left is replaced.
pub fn listen(folder: &Path) -> std::io::Result<(UnixListener, PathBuf)> {
    std::fs::create_dir_all(folder)?;
    let place = folder.join(SOCKET);
    // born in a folder that nobody else can enter, and moved when it is closed to others
    let nursery = folder.join(format!(".{SOCKET}.{}", std::process::id()));
    std::fs::DirBuilder::new().mode(0o700).create(&nursery)?;
    let born = nursery.join(SOCKET);
    let listening = UnixListener::bind(&born)
        .and_then(|listener| std::fs::set_permissions(&born, std::fs::Permissions::from_mode(0o600)).map(|()| listener))
        .and_then(|listener| std::fs::rename(&born, &place).map(|()| listener));
    let _ = std::fs::remove_file(&born);
    std::fs::remove_dir(&nursery)?;
    Ok((listening?, place))
}

/// Serves the socket until told to stop, and takes it away.
pub async fn serve_socket(listener: UnixListener, place: PathBuf, admin: Admin, mut stop: Stop) {
    let served = axum::serve(listener, socket_router(admin)).with_graceful_shutdown(async move { stop.wait().await });
    if let Err(error) = served.await {
        tracing::warn!(%error, "the admin socket ended");
    }
    let _ = std::fs::remove_file(place);
}
