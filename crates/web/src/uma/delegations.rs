//! Delegations (protocol.md 1.8).

use super::{listed, pmt};
use crate::Shared;
use crate::identity::{secret, with_parts};
use authorization_server::delegated::place_of_delegated;
use authorization_server::delegation::place_of_document;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Failure;
use serde_json::Value;
use types::delegation::DelegationDocument;
use types::{ErrorCode, Refusal};

fn invalid(what: impl Into<String>) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what))
}

/// `GET {delegations_endpoint}`: the owner's; with `?role=delegate` what others delegated to her.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let server = &app.authorization_server;
        let page = parts.page::<String>()?;
        match parts.query()?.one("role")? {
            None | Some("owner") => {
                let (delegations, last) = server.list_delegations(&pmt, &page).await?;
                listed(&app, &parts, &delegations, last, place_of_document)
            }
            Some("delegate") => {
                let (delegations, last) = server.list_delegated(&pmt, &page).await?;
                listed(&app, &parts, &delegations, last, place_of_delegated)
            }
            Some(_) => Err(invalid("`role` may be `owner` or `delegate`, or left out").into()),
        }
    })
    .await
}

/// `POST {delegations_endpoint}`: a document, or the signed form as `application/delegation+jwt`.
pub(super) async fn create(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = pmt(&app, &parts).await?;
        let server = &app.authorization_server;
        let made = match parts.compact("application/delegation+jwt", body).await? {
            Ok(text) => server.create_signed_delegation(&pmt, &text).await?,
            Err(body) => {
                let document = serde_json::from_value::<DelegationDocument>(parts.json::<Value>(body).await?);
                server.create_delegation(&pmt, document.map_err(|error| invalid(error.to_string()))?).await?
            }
        };
        let location = format!("{}/{}", app.identity.url(types::path::DELEGATIONS), made.id.as_deref().unwrap_or_default());
        Ok(secret((StatusCode::CREATED, [(header::LOCATION, location)], Json(made))))
    })
    .await
}

/// `DELETE {delegations_endpoint}/{_id}`: with all that was done under it.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        app.authorization_server.delete_delegation(&pmt, &id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
