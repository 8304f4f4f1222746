//! The protection API: resource registration and permissions (Federated Authorization 3.2, 4).

use super::{no_extensions, pat, with_next};
use crate::Shared;
use crate::identity::{secret, with_parts};
use authorization_server::AnyPat;
use axum::Json;
use axum::extract::{Path, Request, State};
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use types::permission::{PermissionRequests, ServerPermissionRequests};
use types::{ResourceDescription, ResourceId};

/// `POST rreguri/`.
pub(super) async fn create(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pat = pat(&app, &parts).await?;
        let description: ResourceDescription = parts.json(body).await?;
        let created = app.authorization_server.create_resource(&pat, description).await?;
        let location = format!("{}/{}", app.identity.url(types::path::RESOURCES), created.id);
        Ok(secret((StatusCode::CREATED, [(header::LOCATION, location)], Json(created))))
    })
    .await
}

/// `GET rreguri/`.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pat = pat(&app, &parts).await?;
        let page = parts.page::<ResourceId>()?;
        let ids = app.authorization_server.list_resources(&pat, &page).await?;
        let last = ids.last().map(|id| id.as_str().to_owned());
        let count = ids.len();
        Ok(with_next(&app, &parts, secret(Json(ids)), last, page.limit, count))
    })
    .await
}

/// `GET rreguri/_id`.
pub(super) async fn read(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pat = pat(&app, &parts).await?;
        Ok(secret(Json(app.authorization_server.read_resource(&pat, &ResourceId::new(id)).await?)))
    })
    .await
}

/// `PUT rreguri/_id`.
pub(super) async fn update(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let pat = pat(&app, &parts).await?;
        let description: ResourceDescription = parts.json(body).await?;
        Ok(secret(Json(app.authorization_server.update_resource(&pat, &ResourceId::new(id), description).await?)))
    })
    .await
}

/// `DELETE rreguri/_id`.
pub(super) async fn delete(State(app): State<Shared>, Path(id): Path<String>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pat = pat(&app, &parts).await?;
        app.authorization_server.delete_resource(&pat, &ResourceId::new(id)).await?;
        Ok(StatusCode::NO_CONTENT.into_response())
    })
    .await
}

/// `POST` permissions: a ticket.
pub(super) async fn permission(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, body| {
        let uma = &app.authorization_server;
        let ticket = match parts.token(&app, async |presented| uma.check_any_pat(presented).await).await? {
            AnyPat::Owner(pat) => {
                let permissions: PermissionRequests = parts.json(body).await?;
                uma.request_permission(&pat, permissions.into_vec()).await?
            }
            AnyPat::Server(server) => {
                let permissions: ServerPermissionRequests = parts.json(body).await?;
                uma.request_permission_at_server_level(&server, permissions.into_vec()).await?
            }
        };
        Ok(secret((StatusCode::CREATED, Json(ticket))))
    })
    .await
}

/// `GET {revocations_endpoint}?after=`: a long poll (protocol.md 4).
pub(super) async fn revocations(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        if !app.authorization_server.settings.extensions {
            return Err(no_extensions());
        }
        let pat = pat(&app, &parts).await?;
        let query = parts.query()?;
        let after = query.one("after")?.filter(|after| !after.is_empty());
        Ok(secret(Json(app.authorization_server.revocations(&pat, after).await?)))
    })
    .await
}
