//! Linked managers (protocol.md 1.8).

use super::{listed, pmt};
use crate::Shared;
use crate::identity::{secret, with_parts};
use authorization_server::page::place_of;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Failure;
use serde_json::Value;
use types::linked_manager::LinkedManager;
use types::{ErrorCode, Refusal, Timestamp};

/// `GET {linked_managers_endpoint}`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<String>()?;
        let (managers, last) = app.authorization_server.list_managers(&pmt, &page).await?;
        let place = |one: &LinkedManager| place_of(one.created.unwrap_or(Timestamp(0)), one.id.as_deref().unwrap_or_default());
        listed(&app, &parts, &managers, last, place)
    })
    .await
}

/// `POST {linked_managers_endpoint}`.
pub(super) async fn link(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = pmt(&app, &parts).await?;
        let document = serde_json::from_value::<LinkedManager>(parts.json::<Value>(body).await?);
        let invalid = |what: String| Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what));
        let document = document.map_err(|error| invalid(error.to_string()))?;
        let made = app.authorization_server.link_manager(&pmt, document).await?;
        let id = made.id.as_deref().unwrap_or_default();
        let location = format!("{}/{id}", app.identity.url(types::path::LINKED_MANAGERS));
        Ok(secret((StatusCode::CREATED, [(header::LOCATION, location)], Json(made))))
    })
    .await
}

/// `DELETE {linked_managers_endpoint}/{_id}`.
pub(super) async fn unlink(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        app.authorization_server.unlink_manager(&pmt, &id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
