//! Client registration and its management (RFC 7591, 7592).

use super::{public, secret, with_parts};
use crate::Host;
use crate::error::{Answer, ApiError};
use crate::extract::Parts;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use identity::Failure;
use types::client::ClientMetadata;
use types::{ClientId, ErrorCode, Refusal};

/// `POST /register`.
pub(super) async fn register(State(app): State<Host>, request: Request) -> Response {
    let response = with_parts(request, async |parts, body| {
        let app = &app;
        if !app.identity.settings.open_registration {
            return Err(ApiError(Failure::Refused(Refusal::new(
                ErrorCode::AccessDenied,
                "clients are not registered here by themselves: ask the operator",
            ))));
        }
        let metadata: ClientMetadata = parts.json_or(body, ErrorCode::InvalidClientMetadata).await?;
        let registered = app.identity.register(metadata, &parts.address(), bearer(&parts)).await?;
        Ok(secret((StatusCode::CREATED, Json(registered))))
    });
    public(response.await, "no-store")
}

fn bearer(parts: &Parts) -> Option<&str> {
    let value = parts.headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

fn token(parts: &Parts) -> Answer<String> {
    match bearer(parts) {
        Some(token) => Ok(token.to_owned()),
        None => Err(ApiError(Failure::Refused(Refusal::new(
            ErrorCode::InvalidToken,
            "send the registration access token in `Authorization: Bearer`",
        )))),
    }
}

/// `GET /register/{client_id}`.
pub(super) async fn read(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let app = &app;
        Ok(secret(Json(app.identity.read_registration(&ClientId::new(id), &token(&parts)?).await?)))
    })
    .await
}

/// `PUT /register/{client_id}`.
pub(super) async fn update(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let app = &app;
        let token = token(&parts)?;
        let metadata: ClientMetadata = parts.json_or(body, ErrorCode::InvalidClientMetadata).await?;
        Ok(secret(Json(app.identity.update_registration(&ClientId::new(id), &token, metadata).await?)))
    })
    .await
}

/// `DELETE /register/{client_id}`.
pub(super) async fn delete(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let app = &app;
        app.identity.delete_registration(&ClientId::new(id), &token(&parts)?).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
