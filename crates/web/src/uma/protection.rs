//! The protection API: resource registration and permissions (Federated Authorization 3.2, 4).

use super::{listed, no_extensions, pat};
use crate::Shared;
use crate::error::Answer;
use crate::identity::{secret, with_parts};
use authorization_server::AnyPat;
use authorization_server::store::Page;
use axum::Json;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use identity::Failure;
use identity::access_token::ProtectionToken;
use std::sync::Arc;
use types::permission::{PermissionRequests, ServerPermissionRequests};
use types::{ResourceDescription, ResourceId};

/// So many ids of a list are read at once.
const STREAMED_AT_ONCE: usize = 1_000;

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

/// `GET rreguri/`: the whole list, as the standard has it (Federated Authorization 3.2.5); with `limit` a page of it.
pub(super) async fn list(State(app): State<Shared>, request: Request) -> Response {
    with_parts(request, async |parts, _| {
        let pat = pat(&app, &parts).await?;
        let page = parts.page::<ResourceId>()?;
        if parts.query()?.one("limit")?.is_none() {
            return whole_list(app.clone(), pat, page.after).await;
        }
        let (ids, next) = app.authorization_server.list_resources(&pat, &page).await?;
        listed(&app, &parts, &ids, next.map(|id| id.to_string()), ResourceId::to_string)
    })
    .await
}

/// Read as it is sent, page by page: an owner may have more than fits into memory at once. Where a later page cannot be
/// read, the answer breaks off, and is no JSON.
async fn whole_list(app: Shared, pat: Arc<ProtectionToken>, after: Option<ResourceId>) -> Answer<Response> {
    let (first, next) = app.authorization_server.list_resources(&pat, &Page { after, limit: STREAMED_AT_ONCE }).await?;
    let begun = stream::iter([Ok::<_, std::io::Error>(format!("[{}", joined(&first, false)?))]);
    let rest = stream::unfold((app, pat, Some(next)), async |(app, pat, next)| {
        let Some(after) = next? else { return Some((Ok("]".to_owned()), (app, pat, None))) };
        let page = Page { after: Some(after), limit: STREAMED_AT_ONCE };
        let read = app.authorization_server.list_resources(&pat, &page).await;
        let text = read.and_then(|(ids, next)| Ok((joined(&ids, true)?, next)));
        Some(match text {
            Ok((text, next)) => (Ok(text), (app, pat, Some(next))),
            Err(failure) => (Err(std::io::Error::other(failure)), (app, pat, None)),
        })
    });
    let mut response = secret(Body::from_stream(StreamExt::chain(begun, Box::pin(rest))));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(response)
}

/// Ids as members of a JSON array that has some before them, or none.
fn joined(ids: &[ResourceId], has_before: bool) -> Result<String, Failure> {
    let members = serde_json::to_string(ids).map_err(identity::internal)?;
    let members = members.trim_start_matches('[').trim_end_matches(']');
    Ok(if has_before && !members.is_empty() { format!(",{members}") } else { members.to_owned() })
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
