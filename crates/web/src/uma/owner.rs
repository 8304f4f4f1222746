//! The owner's API (protocol.md 1.1, 1.2, 1.4, 1.5, 1.8), by PMT.

use super::{acting, anybodys_pmt, listed, next_of, pmt};
use crate::Shared;
use crate::error::ApiError;
use crate::identity::{secret, with_parts};
use authorization_server::acting::Acting;
use authorization_server::owner_settings::OwnerSettings;
use authorization_server::policy::Versioned;
use authorization_server::simulation::Simulation;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderName, StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Failure;
use serde_json::{Value, json};
use types::access_request::DecisionDocument;
use types::error::ErrorBody;
use types::event::{ChainLink, EventDocument};
use types::policy::PolicyDocument;
use types::{AccessRequestId, ErrorCode, EventId, PolicyId, Refusal, ResourceId};

fn tagged(status: StatusCode, policy: &Versioned) -> Response {
    let tag = format!("\"{}\"", policy.version);
    secret((status, [(header::ETAG, tag)], Json(&policy.document)))
}

/// A document that does not read, with the members that do not belong there named.
fn document(value: Value) -> Result<PolicyDocument, ApiError> {
    types::json::read(value)
        .map_err(|error| ApiError::from(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, error.to_string()))))
}

/// `POST {policy_endpoint}`: one policy, or an array.
pub(super) async fn create_policy(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = anybodys_pmt(&app, &parts).await?;
        let (server, query) = (&app.authorization_server, parts.query()?);
        let owner = query.one("owner")?;
        let body = match parts.compact("application/rot+jwt", body).await? {
            Ok(token) => {
                let acting = server.acting_by_token(&pmt, owner, &token).await?;
                return Ok(created(&app, &server.create_token_policy(&acting, &token).await?));
            }
            Err(body) => body,
        };
        let acting = server.acting(&pmt, owner).await?;
        match parts.json::<Value>(body).await? {
            Value::Array(items) if parts.query()?.one("atomic").map_err(Failure::from)? == Some("true") => {
                let documents = items.into_iter().map(document).collect::<Result<Vec<_>, _>>()?;
                let made = server.create_policies(&acting, documents).await?;
                Ok(secret((StatusCode::CREATED, Json(made.into_iter().map(|policy| policy.document).collect::<Vec<_>>()))))
            }
            Value::Array(items) if items.len() > authorization_server::policy::MAX_BATCH => Err(ApiError::from(
                Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, "send at most 1000 policies at once")),
            )),
            Value::Array(items) => {
                let mut answers = Vec::with_capacity(items.len());
                for item in items {
                    answers.push(one_of_many(&app, &acting, item).await?);
                }
                Ok(secret(Json(answers)))
            }
            one => Ok(created(&app, &server.create_policy(&acting, document(one)?).await?)),
        }
    })
    .await
}

fn created(app: &Shared, made: &Versioned) -> Response {
    let id = made.document.id.clone().unwrap_or_else(|| PolicyId::new(""));
    let mut response = tagged(StatusCode::CREATED, made);
    let location = format!("{}/{id}", app.identity.url(types::path::POLICIES));
    response.headers_mut().extend(location.parse().ok().map(|value| (header::LOCATION, value)));
    response
}

/// One item of an array is answered for itself: its status, and the policy or the error.
async fn one_of_many(app: &Shared, acting: &Acting, item: Value) -> Result<Value, ApiError> {
    let made = match document(item) {
        Ok(document) => app.authorization_server.create_policy(acting, document).await,
        Err(error) => Err(error.failure),
    };
    match made {
        Ok(policy) => Ok(json!({"status": 201, "policy": policy.document})),
        Err(Failure::Refused(refusal)) => {
            Ok(json!({"status": crate::error::status_of(refusal.code).as_u16(), "error": ErrorBody::from(&refusal)}))
        }
        Err(unavailable) => Err(ApiError::from(unavailable)),
    }
}

/// `GET {policy_endpoint}`.
pub(super) async fn list_policies(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let page = parts.page::<PolicyId>()?;
        match parts.query()?.one("role")? {
            None => {}
            Some("requesting_party") => {
                let pmt = pmt(&app, &parts).await?;
                let (shared, last) = app.authorization_server.list_shared(&pmt, &page).await?;
                return listed(&app, &parts, &shared, last.map(|id| id.to_string()), |shared| shared.id.to_string());
            }
            Some(_) => {
                let what = "`role` may be `requesting_party`, or left out";
                return Err(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what)).into());
            }
        }
        let acting = acting(&app, &parts).await?;
        let (policies, last) = app.authorization_server.list_policies(&acting, &page).await?;
        let place = |policy: &PolicyDocument| policy.id.as_ref().map(PolicyId::to_string).unwrap_or_default();
        listed(&app, &parts, &policies, last.map(|id| id.to_string()), place)
    })
    .await
}

/// `GET {policy_endpoint}/{_id}`.
pub(super) async fn read_policy(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        let policy = app.authorization_server.read_policy(&acting, &PolicyId::new(id)).await?;
        Ok(tagged(StatusCode::OK, &policy))
    })
    .await
}

/// `PUT {policy_endpoint}/{_id}`.
pub(super) async fn replace_policy(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let acting = acting(&app, &parts).await?;
        let if_match = parts.if_match()?;
        let document = document(parts.json::<Value>(body).await?)?;
        let server = &app.authorization_server;
        let policy = server.replace_policy(&acting, &PolicyId::new(id), document, if_match).await?;
        Ok(tagged(StatusCode::OK, &policy))
    })
    .await
}

/// `DELETE {policy_endpoint}/{_id}`.
pub(super) async fn delete_policy(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        let if_match = parts.if_match()?;
        app.authorization_server.delete_policy(&acting, &PolicyId::new(id), if_match).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `POST {policy_endpoint}/simulate`.
pub(super) async fn simulate(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let acting = acting(&app, &parts).await?;
        let simulation: Simulation = parts.json(body).await?;
        Ok(secret(Json(app.authorization_server.simulate(&acting, simulation).await?)))
    })
    .await
}

/// `GET {registered_resources_endpoint}`.
pub(super) async fn list_resources(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        let page = parts.page::<ResourceId>()?;
        let (resources, last) = app.authorization_server.list_owned_resources(&acting, &page).await?;
        listed(&app, &parts, &resources, last.map(|id| id.to_string()), |resource| resource.id.to_string())
    })
    .await
}

/// `GET {registered_resources_endpoint}/{_id}`.
pub(super) async fn read_resource(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_owned_resource(&acting, &ResourceId::new(id)).await?)))
    })
    .await
}

/// `GET {access_requests_endpoint}`.
pub(super) async fn list_requests(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        let page = parts.page::<AccessRequestId>()?;
        let (requests, last) = app.authorization_server.list_access_requests(&acting, &page).await?;
        listed(&app, &parts, &requests, last.map(|id| id.to_string()), |request| request.id.to_string())
    })
    .await
}

/// `GET {access_requests_endpoint}/{_id}`.
pub(super) async fn read_request(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_access_request(&acting, &AccessRequestId::new(id)).await?)))
    })
    .await
}

/// `POST {access_requests_endpoint}/{_id}`: the owner decides.
pub(super) async fn decide_request(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let acting = acting(&app, &parts).await?;
        let decision: DecisionDocument = parts.json(body).await?;
        Ok(secret(Json(app.authorization_server.decide_access_request(&acting, &AccessRequestId::new(id), decision).await?)))
    })
    .await
}

/// `DELETE {access_requests_endpoint}/{_id}`.
pub(super) async fn delete_request(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        app.authorization_server.delete_access_request(&acting, &AccessRequestId::new(id)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `POST {access_requests_endpoint}/{_id}/undo`: who asked waits again, by the id of the answer; 204 where nobody can any more.
pub(super) async fn undo_approval(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let acting = acting(&app, &parts).await?;
        Ok(match app.authorization_server.undo_approval(&acting, &AccessRequestId::new(id)).await? {
            Some(waiting) => secret(Json(waiting)),
            None => StatusCode::NO_CONTENT.into_response(),
        })
    })
    .await
}

/// `GET {events_endpoint}`.
pub(super) async fn list_events(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<EventId>()?;
        let (events, last) = app.authorization_server.list_event_page(&pmt, &page).await?;
        let place = |event: &EventDocument| event.id.to_string();
        let mut response = listed(&app, &parts, &events, last.map(|id| id.to_string()), place)?;
        if let Some(head) = app.authorization_server.signed_head(&pmt.owner).await? {
            response.headers_mut().extend(head.parse().ok().map(|value| (HeaderName::from_static("event-head"), value)));
        }
        Ok(response)
    })
    .await
}

/// `GET {events_endpoint}/chain?after=N`: no ids, but places in the chain.
pub(super) async fn list_event_chain(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<String>()?;
        let after = match page.after.as_deref().map(str::parse::<u64>) {
            None => 0,
            Some(Ok(after)) => after,
            Some(Err(_)) => {
                let what = "`after` must be the number of an event in the chain";
                return Err(Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what)).into());
            }
        };
        let links = app.authorization_server.list_event_chain(&pmt, after, page.limit).await?;
        let place = |link: &ChainLink| link.n.to_string();
        listed(&app, &parts, &links, next_of(&links, page.limit, place), place)
    })
    .await
}

/// `GET {owner_settings_endpoint}`.
pub(super) async fn read_settings(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_owner_settings(&pmt).await?)))
    })
    .await
}

/// `PUT {owner_settings_endpoint}`.
pub(super) async fn put_settings(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = pmt(&app, &parts).await?;
        let settings: OwnerSettings = parts.json(body).await?;
        Ok(secret(Json(app.authorization_server.put_owner_settings(&pmt, settings).await?)))
    })
    .await
}
