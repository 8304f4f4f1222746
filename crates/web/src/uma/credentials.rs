//! Resource owner credentials (protocol.md 3).

use super::{listed, pmt};
use crate::Shared;
use crate::identity::{secret, with_parts};
use authorization_server::credential::Registered;
use authorization_server::page::place_of;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use types::credential::CredentialRegistration;

/// `GET {resource_owner_credentials_endpoint}`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        let page = parts.page::<String>()?;
        let (credentials, last) = app.authorization_server.list_credentials(&pmt, &page).await?;
        listed(&app, &parts, &credentials, last, |one| place_of(one.created, &one.id))
    })
    .await
}

/// `POST {resource_owner_credentials_endpoint}`: 201, or 400 with the challenge to sign.
pub(super) async fn register(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pmt = pmt(&app, &parts).await?;
        let registration: CredentialRegistration = parts.json(body).await?;
        Ok(match app.authorization_server.register_credential(&pmt, registration).await? {
            Registered::Credential(document) => {
                let location = format!("{}/{}", app.identity.url(types::path::CREDENTIALS), document.id);
                secret((StatusCode::CREATED, [(header::LOCATION, location)], Json(document)))
            }
            Registered::Challenge(challenge) => secret((StatusCode::BAD_REQUEST, Json(challenge))),
        })
    })
    .await
}

/// `GET {resource_owner_credentials_endpoint}/{_id}`.
pub(super) async fn read(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_credential(&pmt, &id).await?)))
    })
    .await
}

/// `DELETE {resource_owner_credentials_endpoint}/{_id}`: with all that was signed by it.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pmt = pmt(&app, &parts).await?;
        app.authorization_server.delete_credential(&pmt, &id).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
