//! HTTP of identity and of the authorization server: routes, extractors, one place that turns errors
//! into responses, and the pages. Handlers are short: parse, ask the protocol function, answer. No
//! rules here. Called by the wiring.
//!
//! Two routers: [`identity::router`] for whoever logs people in, [`uma::router`] on top of it for an
//! authorization server. [`site`] is both.

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
use axum::handler::Handler;
use axum::http::{HeaderName, HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, get};
use std::ops::Deref;
use std::sync::Arc;
use tower::util::MapResponse;

/// What handlers of the OAuth and OpenID provider have at hand.
pub struct Provider {
    pub identity: Arc<Identity>,
    /// What answers grants and tokens that are not identity's own; none where people are only logged in.
    authorization_server: Option<Arc<AuthorizationServer>>,
    /// Name of this place on its pages.
    pub site: String,
    base: String,
    origin: String,
    cookies: ui::Cookies,
}

/// Their state.
pub type Host = Arc<Provider>;

/// What handlers of the authorization server have at hand: all that the provider has, and UMA.
pub struct App {
    provider: Host,
    pub authorization_server: Arc<AuthorizationServer>,
}

impl Deref for App {
    type Target = Host;
    fn deref(&self) -> &Host {
        &self.provider
    }
}

/// Their state.
pub type Shared = Arc<App>;

/// Address of whoever sent the request.
pub use types::peer::Caller as PeerAddress;

impl App {
    pub fn new(identity: Arc<Identity>, authorization_server: Arc<AuthorizationServer>, site: String) -> Self {
        let provider = Provider::new(identity, Some(authorization_server.clone()), site);
        Self { provider: Arc::new(provider), authorization_server }
    }
}

impl Provider {
    /// One that logs people in, and nothing more.
    pub fn alone(identity: Arc<Identity>, site: String) -> Self {
        Self::new(identity, None, site)
    }

    fn new(identity: Arc<Identity>, authorization_server: Option<Arc<AuthorizationServer>>, site: String) -> Self {
        let issuer = url::Url::parse(identity.issuer()).ok();
        let base = issuer.as_ref().map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
        let origin = issuer.map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        let cookies = ui::Cookies::of(identity.issuer());
        Self { identity, authorization_server, site, base, origin, cookies }
    }

    /// Whether it guards things, and does not only log people in.
    pub fn is_authorization_server(&self) -> bool {
        self.authorization_server.is_some()
    }

    /// The path of the issuer, before all of ours; empty at the root.
    pub fn base(&self) -> String {
        self.base.clone()
    }

    /// Scheme, host and port of the issuer.
    pub fn origin(&self) -> &str {
        &self.origin
    }
}

/// `GET` of a handler that does something besides reading. `HEAD` is not its business, which axum would make it.
pub(crate) fn visited<H, T, S>(handler: H) -> MethodRouter<S>
where
    H: Handler<T, S>,
    T: 'static,
    S: Clone + Send + Sync + 'static,
{
    get(handler).head(error::look_ahead)
}

/// Everything an authorization server answers.
pub type Site = MapResponse<Router, fn(Response) -> Response>;

/// An authorization server, for the wiring to serve. The headers of every answer are put on once, around the router: a
/// layer of the router would be boxed for each route and each call.
pub fn site(app: Shared) -> Site {
    MapResponse::new(router(app), headers)
}

/// A provider that logs people in, for a gateway or manager that does so by itself.
pub fn log_in_site(provider: Host) -> Site {
    let base = provider.base();
    MapResponse::new(whole(&base, identity::router().with_state(provider.clone()), provider), headers)
}

fn router(app: Shared) -> Router {
    let provider = app.provider.clone();
    let routes = identity::router().with_state(provider.clone());
    let routes = routes.merge(uma::router().with_state(app.clone())).merge(pages::router().with_state(app));
    whole(&provider.base(), routes, provider)
}

/// Routes below the path of the issuer, and what lies elsewhere by its standard.
fn whole(base: &str, routes: Router, provider: Host) -> Router {
    let routed = if base.is_empty() { routes } else { Router::new().nest(base, routes) };
    let elsewhere = identity::inserted_metadata(base).merge(identity::webfinger());
    let missing = provider.clone();
    routed
        .merge(elsewhere.with_state(provider))
        .fallback(move |request: Request| browser::not_found(missing.clone(), request))
        .method_not_allowed_fallback(error::method_not_allowed)
}

const NOSNIFF: HeaderValue = HeaderValue::from_static("nosniff");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
/// Our pages are named to nobody else. Not `no-referrer`: under that, browsers say `Origin: null` of our own forms.
const OWN_REFERRER: HeaderValue = HeaderValue::from_static("same-origin");
const SAME_ORIGIN: HeaderValue = HeaderValue::from_static("same-origin");
const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");

/// Headers that go on every answer; those for browsers on everything that one could show or follow.
fn headers(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.entry(header::X_CONTENT_TYPE_OPTIONS).or_insert(NOSNIFF);
    headers.entry(header::CACHE_CONTROL).or_insert(NO_STORE);
    if headers.get(header::CONTENT_TYPE).is_none_or(|media| media != "application/json") {
        headers.entry(header::REFERRER_POLICY).or_insert(OWN_REFERRER);
        headers.entry(OPENER_POLICY).or_insert(SAME_ORIGIN);
    }
    response
}
