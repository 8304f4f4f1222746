//! HTTP of identity and of the authorization server: routes, extractors, one place that turns errors
//! into responses, and the pages. Handlers are short: parse, ask the protocol function, answer. No
//! rules here. Called by the wiring.
//!
//! Two routers: [`identity::router`] for whoever logs people in, [`uma::router`] on top of it for an
//! authorization server. [`router`] is both.

pub mod browser;
pub mod error;
pub mod extract;
pub mod identity;
pub mod pages;
pub mod uma;

use ::identity::Identity;
use authorization_server::AuthorizationServer;
use axum::Router;
use axum::extract::Request;
use axum::http::{HeaderName, HeaderValue, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use std::net::IpAddr;
use std::sync::Arc;

/// What handlers have at hand.
pub struct App {
    pub identity: Arc<Identity>,
    pub authorization_server: Arc<AuthorizationServer>,
    /// Name of this place on its pages.
    pub site: String,
}

/// Handlers' state.
pub type Shared = Arc<App>;

/// Address of whoever sent the request, as the listener saw it or a trusted proxy said.
#[derive(Clone, Copy, Debug)]
pub struct PeerAddress(pub IpAddr);

impl App {
    /// The path of the issuer, before all of ours; empty at the root.
    pub fn base(&self) -> String {
        let issuer = self.identity.issuer();
        url::Url::parse(issuer).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default()
    }

    /// Scheme, host and port of the issuer.
    pub fn origin(&self) -> String {
        url::Url::parse(self.identity.issuer()).map(|url| url.origin().ascii_serialization()).unwrap_or_default()
    }
}

/// Everything an authorization server answers.
pub fn router(app: Shared) -> Router {
    let base = app.base();
    let routes = identity::router().merge(uma::router()).merge(pages::router());
    let inserted = identity::inserted_metadata(&base);
    let routed = if base.is_empty() { routes } else { Router::new().nest(&base, routes) };
    routed
        .merge(inserted)
        .fallback(error::not_found)
        .method_not_allowed_fallback(error::method_not_allowed)
        .layer(middleware::from_fn(headers))
        .with_state(app)
}

/// Headers that go on every answer.
async fn headers(request: Request, next: Next) -> Response {
    let mut response = next.run(request).await;
    let headers = response.headers_mut();
    for (name, value) in [
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    ] {
        headers.entry(name).or_insert(HeaderValue::from_static(value));
    }
    headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response.into_response()
}
