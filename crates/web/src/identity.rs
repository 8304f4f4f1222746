//! HTTP of the OAuth and OpenID provider.

mod account;
mod applications;
mod authorize;
mod clients;
mod login;
mod logout;
mod onward;

pub(crate) use applications::quoted;
pub(crate) use login::{login_again_url, login_url, page, posted};
pub(crate) use onward::answer_back;
mod token;

use crate::error::Answer;
use crate::extract::split;
use crate::{Host, error, visited};
use ::identity::Failure;
use axum::extract::{Request, State};
use axum::http::{HeaderValue, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use types::path;
use types::webfinger::{JRD, WEBFINGER};

/// Routes of identity; an OPTIONS request of a browser's script is answered where scripts may come.
pub fn router() -> Router<Host> {
    Router::new()
        .route(path::UMA2_CONFIGURATION, get(metadata).options(preflight))
        .route(path::OPENID_CONFIGURATION, get(metadata).options(preflight))
        .route(path::OAUTH_AUTHORIZATION_SERVER, get(metadata).options(preflight))
        .route(path::JWKS, get(jwks).options(preflight))
        .route(path::TOKEN, post(token::post).options(preflight))
        .route(path::REVOKE, post(token::revoke).options(preflight))
        .route(path::INTROSPECT, post(token::introspect))
        .route(path::PAR, post(authorize::push))
        .route(path::AUTHORIZE, visited(authorize::get).post(authorize::post))
        .route("/authorize/decision", post(authorize::decide))
        .route(path::USERINFO, get(token::userinfo).post(token::userinfo))
        .route(path::REGISTER, post(clients::register).options(preflight))
        .route("/register/{id}", get(clients::read).put(clients::update).delete(clients::delete))
        .route(path::LOGIN, visited(login::get).post(login::post))
        .route(path::LOGIN_PASSKEY, post(account::log_in))
        .route(path::LOGIN_ELSEWHERE, visited(account::begin_elsewhere))
        .route(path::LOGIN_CALLBACK, visited(account::callback))
        .route(path::ACCOUNT, get(account::get).post(account::post))
        .route(path::LOGOUT, visited(logout::get).post(logout::post))
        .route(path::APPLICATIONS, get(applications::get))
        .route("/applications/{id}/withdraw", post(applications::withdraw))
        .route("/applications/keys/{id}/remove", post(applications::remove_key))
        .route("/assets/style.css", get(style))
        .route("/assets/icon.svg", get(icon))
        .route("/assets/passkey.js", get(passkey_script))
        .route("/assets/pages.js", get(pages_script))
        .route("/assets/presses.js", get(presses_script))
}

/// At the root of the host, whatever path the issuer has (RFC 7033 4).
pub fn webfinger() -> Router<Host> {
    Router::new().route(WEBFINGER, get(finger))
}

/// `GET /.well-known/webfinger?resource=acct:...`
async fn finger(State(app): State<Host>, request: Request) -> Response {
    let response = with_parts(request, async |parts, _| {
        let query = parts.query().map_err(Failure::from)?;
        let rels: Vec<&str> = query.all("rel").iter().map(String::as_str).collect();
        let resource = query.required("resource").map_err(Failure::from)?;
        let descriptor = app.identity.webfinger(resource, &rels, &parts.address()).await?;
        Ok(([(header::CONTENT_TYPE, JRD)], serde_json::to_string(&descriptor).unwrap_or_default()).into_response())
    });
    public(response.await, "no-store")
}

/// Where RFC 8414 puts the document of an issuer with a path.
pub fn inserted_metadata(base: &str) -> Router<Host> {
    if base.is_empty() {
        return Router::new();
    }
    Router::new().route(&format!("{}{base}", path::OAUTH_AUTHORIZATION_SERVER), get(metadata).options(preflight))
}

/// One document under every discovery path, byte for byte the same.
async fn metadata(State(app): State<Host>) -> Response {
    let metadata = app.authorization_server.as_ref().map_or_else(|| app.identity.metadata(), |uma| uma.metadata());
    public(Json(metadata).into_response(), "max-age=60")
}

async fn jwks(State(app): State<Host>) -> Response {
    public(Json(app.identity.keys.jwks(app.identity.now())).into_response(), "max-age=60")
}

/// Readable by scripts of any origin, without credentials (operations.md).
pub(crate) fn public(mut response: Response, cache: &'static str) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
    headers.insert(header::ACCESS_CONTROL_EXPOSE_HEADERS, HeaderValue::from_static("DPoP-Nonce, WWW-Authenticate"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    response
}

async fn preflight() -> Response {
    let mut response = public(axum::http::StatusCode::NO_CONTENT.into_response(), "no-store");
    let headers = response.headers_mut();
    headers.insert(header::ACCESS_CONTROL_ALLOW_METHODS, HeaderValue::from_static("GET, POST"));
    headers.insert(header::ACCESS_CONTROL_ALLOW_HEADERS, HeaderValue::from_static("Authorization, Content-Type, DPoP"));
    response
}

async fn style() -> Response {
    ([(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")], ui::STYLE).into_response()
}

async fn passkey_script() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, ui::PASSKEY_SCRIPT).into_response()
}

async fn pages_script() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, ui::PAGES_SCRIPT).into_response()
}

async fn presses_script() -> Response {
    let headers = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8"), (header::CACHE_CONTROL, "max-age=300")];
    (headers, ui::PRESSES_SCRIPT).into_response()
}

async fn icon() -> Response {
    ([(header::CONTENT_TYPE, "image/svg+xml"), (header::CACHE_CONTROL, "max-age=300")], ui::ICON).into_response()
}

/// Answers that carry tokens are never kept (RFC 6749 5.1).
pub(crate) fn secret(response: impl IntoResponse) -> Response {
    let mut response = response.into_response();
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response.headers_mut().insert(header::PRAGMA, HeaderValue::from_static("no-cache"));
    response
}

/// For handlers that read the request themselves.
pub(crate) async fn with_parts(
    request: Request,
    handler: impl AsyncFnOnce(crate::extract::Parts, axum::body::Body) -> Answer<Response>,
) -> Response {
    let (parts, body) = split(request);
    match handler(parts, body).await {
        Ok(response) => response,
        Err(error) => error::ApiError::into_response(error),
    }
}
