//! Searches for an owner at resource servers that log nobody in (protocol.md 2.2): the manager's API.

use super::{listed, next_of, pmt};
use crate::Shared;
use crate::identity::{secret, with_parts};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use types::discovery::{DiscoveryDocument, DiscoveryRequest};

/// `POST {discovery_requests_endpoint}`: 202, with where the owner consents.
pub(super) async fn create(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = pmt(&app, &parts).await?;
        let wanted: DiscoveryRequest = parts.json(body).await?;
        let search = app.authorization_server.create_search(&pmt, wanted).await?;
        let location = format!("{}/{}", app.identity.url(types::path::DISCOVERY), search.id);
        Ok(secret((StatusCode::ACCEPTED, [(header::LOCATION, location)], Json(search))))
    })
    .await
}

/// `GET {discovery_requests_endpoint}`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<String>()?;
        let searches = app.authorization_server.list_searches(&pmt, &page).await?;
        let place = |search: &DiscoveryDocument| search.id.clone();
        listed(&app, &parts, &searches, next_of(&searches, page.limit, place), place)
    })
    .await
}

/// `GET {discovery_requests_endpoint}/{_id}`.
pub(super) async fn read(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_search(&pmt, &id).await?)))
    })
    .await
}

/// `DELETE {discovery_requests_endpoint}/{_id}`: with it ends what was not yet found.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        app.authorization_server.delete_search(&pmt, &id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
