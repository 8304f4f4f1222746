//! HTTP of the protection API, the policy API and the claims pages.

mod claims;
mod credentials;
mod delegations;
mod discovery;
mod managers;
mod owner;
mod protection;
mod receipts;
mod stream;

use crate::Shared;
use crate::error::{Answer, ApiError};
use crate::extract::Parts;
use authorization_server::acting::Acting;
use axum::Router;
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{delete, get, post};
use identity::Failure;
use identity::access_token::{PolicyToken, ProtectionToken};
use types::path;

/// Routes of UMA. With `[profiles] extensions = false` those of protocol.md 1 answer 404.
pub fn router() -> Router<Shared> {
    let resources = get(protection::list).post(protection::create);
    Router::new()
        .route(path::RESOURCES, resources.clone())
        .route(&format!("{}/", path::RESOURCES), resources)
        .route(&format!("{}/{{id}}", path::RESOURCES), get(protection::read).put(protection::update).delete(protection::delete))
        .route(path::PERMISSIONS, post(protection::permission))
        .route(path::REVOCATIONS, get(protection::revocations))
        .route(path::CLAIMS, get(claims::begin))
        .route("/claims/manager", get(claims::to_manager))
        .route("/claims/continue", get(claims::show).post(claims::post))
        .route(path::POLICIES, get(owner::list_policies).post(owner::create_policy))
        .route("/uma/policies/simulate", post(owner::simulate))
        .route(
            &format!("{}/{{id}}", path::POLICIES),
            get(owner::read_policy).put(owner::replace_policy).delete(owner::delete_policy),
        )
        .route(path::REGISTERED_RESOURCES, get(owner::list_resources))
        .route(&format!("{}/{{id}}", path::REGISTERED_RESOURCES), get(owner::read_resource))
        .route(path::ACCESS_REQUESTS, get(owner::list_requests))
        .route(&format!("{}/stream", path::ACCESS_REQUESTS), get(stream::requests))
        .route(
            &format!("{}/{{id}}", path::ACCESS_REQUESTS),
            get(owner::read_request).post(owner::decide_request).delete(owner::delete_request),
        )
        .route(path::EVENTS, get(owner::list_events))
        .route(&format!("{}/chain", path::EVENTS), get(owner::list_event_chain))
        .route(path::DISCOVERY, get(discovery::list).post(discovery::create))
        .route(&format!("{}/{{id}}", path::DISCOVERY), get(discovery::read).delete(discovery::delete))
        .route(path::CREDENTIALS, get(credentials::list).post(credentials::register))
        .route(&format!("{}/{{id}}", path::CREDENTIALS), get(credentials::read).delete(credentials::delete))
        .route(path::CONSENT_RECEIPTS, get(receipts::list))
        .route(&format!("{}/{{id}}", path::CONSENT_RECEIPTS), get(receipts::read))
        .route(path::LINKED_MANAGERS, get(managers::list).post(managers::link))
        .route(&format!("{}/{{id}}", path::LINKED_MANAGERS), delete(managers::unlink))
        .route(path::DELEGATIONS, get(delegations::list).post(delegations::create))
        .route(&format!("{}/{{id}}", path::DELEGATIONS), delete(delegations::delete))
        .route(path::OWNER_SETTINGS, get(owner::read_settings).put(owner::put_settings))
}

/// The PAT of a request, or 401.
async fn pat(app: &Shared, parts: &Parts) -> Answer<std::sync::Arc<ProtectionToken>> {
    parts.token(app, async |presented| app.authorization_server.check_pat(presented).await).await
}

/// What protocol.md 1 adds is switched off.
fn no_extensions() -> ApiError {
    ApiError::from(Failure::Refused(types::Refusal::new(
        types::ErrorCode::NotFound,
        "this server keeps to the standards: it has no such API",
    )))
}

/// The PMT of a request, or 401; 404 where extensions are off.
async fn pmt(app: &Shared, parts: &Parts) -> Answer<PolicyToken> {
    if !app.authorization_server.settings.extensions {
        return Err(no_extensions());
    }
    parts.token(app, async |presented| app.identity.check_pmt(presented).await).await
}

/// Who acts: the owner of the PMT, or her delegate's for `?owner=` (protocol.md 1.8).
async fn acting(app: &Shared, parts: &Parts) -> Answer<Acting> {
    let pmt = pmt(app, parts).await?;
    Ok(app.authorization_server.acting(&pmt, parts.query()?.one("owner")?).await?)
}

/// Adds `Link: <...>; rel="next"` where the page is full (protocol.md 1.1, threat 12).
fn with_next(app: &Shared, parts: &Parts, mut response: Response, last: Option<String>, limit: usize, count: usize) -> Response {
    if let (Some(last), true) = (last, count == limit) {
        let mut query = parts.query().unwrap_or_default();
        query.set("after", &last);
        let link = format!("<{}?{}>; rel=\"next\"", parts.url(app), query.encode());
        response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|value| (header::LINK, value)));
    }
    response
}
