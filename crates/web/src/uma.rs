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

use crate::error::{Answer, ApiError};
use crate::extract::Parts;
use crate::identity::secret;
use crate::{Shared, visited};
use authorization_server::acting::Acting;
use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, header};
use axum::response::Response;
use axum::routing::{MethodRouter, delete, get, post};
use identity::Failure;
use identity::access_token::{PolicyToken, ProtectionToken};
use serde::Serialize;
use types::path;

/// Longest page of a list, in bytes: whoever reads answers of at most 1 MiB can read each.
const MAX_PAGE_BYTES: usize = 512 * 1024;

/// Routes of UMA. With `[profiles] extensions = false` those of protocol.md 1 answer 404.
pub fn router() -> Router<Shared> {
    let resources = get(protection::list).post(protection::create);
    Router::new()
        .route(path::RESOURCES, resources.clone())
        .route(&format!("{}/", path::RESOURCES), resources)
        .route(&format!("{}/{{id}}", path::RESOURCES), get(protection::read).put(protection::update).delete(protection::delete))
        .route(path::PERMISSIONS, post(protection::permission))
        .route(path::REVOCATIONS, get(protection::revocations))
        .route(path::CLAIMS, visited(claims::begin))
        .route("/claims/manager", visited(claims::to_manager))
        .route("/claims/continue", get(claims::show).post(claims::post))
        .route(path::POLICIES, get(owner::list_policies).post(owner::create_policy))
        .route("/uma/policies/simulate", simulated())
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
        .route(&format!("{}/{{id}}/undo", path::ACCESS_REQUESTS), post(owner::undo_approval))
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

/// `POST` simulates. Whoever signs a share names it, so that one may have this word for its id: every other method is about it.
fn simulated() -> MethodRouter<Shared> {
    let id = || Path("simulate".to_owned());
    post(owner::simulate)
        .get(async move |app: State<Shared>, request: Request| owner::read_policy(app, id(), request).await)
        .put(async move |app: State<Shared>, request: Request| owner::replace_policy(app, id(), request).await)
        .delete(async move |app: State<Shared>, request: Request| owner::delete_policy(app, id(), request).await)
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

/// The PMT of a request, or 401; 404 where extensions are off. For what an owner has for herself alone: a delegate who names
/// the owner there is told so, and not given her own (protocol.md 1.8).
async fn pmt(app: &Shared, parts: &Parts) -> Answer<PolicyToken> {
    let pmt = anybodys_pmt(app, parts).await?;
    match parts.query()?.one("owner")? {
        Some(owner) if owner != pmt.owner.as_str() => {
            let what = "no delegate acts for an owner here: leave out `owner`";
            Err(Failure::Refused(types::Refusal::new(types::ErrorCode::InvalidRequest, what)).into())
        }
        _ => Ok(pmt),
    }
}

/// The same where `?owner=` is looked at afterwards.
async fn anybodys_pmt(app: &Shared, parts: &Parts) -> Answer<PolicyToken> {
    if !app.authorization_server.settings.extensions {
        return Err(no_extensions());
    }
    parts.token(app, async |presented| app.identity.check_pmt(presented).await).await
}

/// Who acts: the owner of the PMT, or her delegate's for `?owner=` (protocol.md 1.8).
async fn acting(app: &Shared, parts: &Parts) -> Answer<Acting> {
    let pmt = anybodys_pmt(app, parts).await?;
    Ok(app.authorization_server.acting(&pmt, parts.query()?.one("owner")?).await?)
}

/// A page of a list: as much of it as fits, and a link to where it goes on, if it does (protocol.md 1.1, threat 12). `next` is
/// behind the last item; where a page is cut before that, the place of the last one that fits.
fn listed<Item: Serialize>(
    app: &Shared,
    parts: &Parts,
    items: &[Item],
    next: Option<String>,
    place_of: impl Fn(&Item) -> String,
) -> Answer<Response> {
    let (mut text, mut next) = (String::from("["), next);
    for (at, item) in items.iter().enumerate() {
        let item_text = serde_json::to_string(item).map_err(identity::internal)?;
        let before = at.checked_sub(1).and_then(|before| items.get(before));
        match before {
            Some(before) if text.len().saturating_add(item_text.len()) > MAX_PAGE_BYTES => {
                next = Some(place_of(before));
                break;
            }
            Some(_) => text.push(','),
            None => {}
        }
        text.push_str(&item_text);
    }
    text.push(']');
    let mut response = secret(([(header::CONTENT_TYPE, "application/json")], text));
    if let Some(next) = next {
        let mut query = parts.query().unwrap_or_default();
        query.set("after", &next);
        let link = format!("<{}?{}>; rel=\"next\"", parts.url(app), query.encode());
        response.headers_mut().extend(HeaderValue::from_str(&link).ok().map(|value| (header::LINK, value)));
    }
    Ok(response)
}

/// Where a list goes on that may have more than this full page of it.
fn next_of<Item>(items: &[Item], limit: usize, place_of: impl Fn(&Item) -> String) -> Option<String> {
    items.last().filter(|_| items.len() == limit).map(place_of)
}
