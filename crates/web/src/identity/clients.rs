//! Client registration and its management (RFC 7591, 7592).

use super::{public, secret, with_parts};
use crate::Host;
use crate::error::{Answer, ApiError};
use crate::extract::{MAX_REGISTRATION, Parts};
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use identity::Failure;
use types::client::ClientMetadata;
use types::{ClientId, ErrorCode, Refusal};

/// `POST /register`.
pub(super) async fn register(State(app): State<Host>, request: Request) -> Response {
    let response = with_parts(request, async |parts, body| {
        let app = &app;
        if !app.identity.settings.open_registration {
            return Err(ApiError::from(Failure::Refused(Refusal::new(
                ErrorCode::AccessDenied,
                "clients are not registered here by themselves: ask the operator",
            ))));
        }
        let metadata: ClientMetadata = parts.short_json(body, ErrorCode::InvalidClientMetadata, MAX_REGISTRATION).await?;
        let registered = app.identity.register(metadata, &parts.address(), bearer(&parts)?).await?;
        Ok(secret((StatusCode::CREATED, Json(registered))))
    });
    public(response.await, "no-store")
}

/// The token of `Authorization: Bearer`, which may be there once.
fn bearer(parts: &Parts) -> Result<Option<&str>, Failure> {
    let sent = parts.authorization()?.and_then(|value| value.split_once(' '));
    Ok(sent.filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer")).map(|(_, token)| token.trim()))
}

/// The registration access token (RFC 7592 1.2): a bearer token like any other.
fn token<'a>(app: &Host, parts: &'a Parts) -> Answer<&'a str> {
    let missing = Refusal::new(ErrorCode::InvalidToken, "send the registration access token in `Authorization: Bearer`");
    let token = bearer(parts).and_then(|token| token.ok_or_else(|| missing.into()));
    token.map_err(|failure| ApiError::at_door(failure, None, &app.identity))
}

/// `GET /register/{client_id}`.
pub(super) async fn read(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let app = &app;
        Ok(secret(Json(app.identity.read_registration(&ClientId::new(id), token(app, &parts)?).await?)))
    })
    .await
}

/// `PUT /register/{client_id}`.
pub(super) async fn update(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let app = &app;
        let token = token(app, &parts)?;
        let metadata: ClientMetadata = parts.short_json(body, ErrorCode::InvalidClientMetadata, MAX_REGISTRATION).await?;
        Ok(secret(Json(app.identity.update_registration(&ClientId::new(id), token, metadata, &parts.address()).await?)))
    })
    .await
}

/// `DELETE /register/{client_id}`.
pub(super) async fn delete(State(app): State<Host>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let app = &app;
        app.identity.delete_registration(&ClientId::new(id), token(app, &parts)?).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}
