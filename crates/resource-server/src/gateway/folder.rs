//! A folder behind the gateway: its files, read, written and deleted by path. Names that begin with a dot are not there.

use super::Passing;
use super::part_files::{self, PartFiles};
use super::path::CanonicalPath;
use super::upstream::cut_short;
use crate::challenge::plain;
use crate::watch::Cut;
use axum::body::Body;
use axum::response::Response;
use futures_util::StreamExt;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use jose::Randomness;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::AsyncWriteExt;
use tower::ServiceExt;
use tower_http::services::ServeFile;

pub(super) struct Folder {
    root: PathBuf,
    parts: PartFiles,
}

impl Folder {
    pub(super) fn new(root: PathBuf, randomness: Arc<dyn Randomness>) -> Self {
        Self { parts: PartFiles::beside(&root, randomness), root }
    }

    /// Removes what writers left that were killed, in the background.
    pub(super) fn sweep(&self) {
        self.parts.sweep();
    }

    pub(super) async fn exists(&self, path: &CanonicalPath) -> bool {
        match place_in(&self.root, path) {
            Some(place) => tokio::fs::try_exists(place).await.unwrap_or(false),
            None => false,
        }
    }

    /// A link inside the folder must not lead out of it.
    async fn is_inside(&self, place: &Path) -> bool {
        let above = place.parent().unwrap_or(&self.root);
        let (root, real) = (tokio::fs::canonicalize(&self.root).await, tokio::fs::canonicalize(above).await);
        let inside = matches!((root, real), (Ok(root), Ok(real)) if real.starts_with(&root));
        inside && !tokio::fs::symlink_metadata(place).await.is_ok_and(|meta| meta.is_symlink())
    }

    pub(super) async fn serve(&self, parts: &Parts, body: Body, path: &CanonicalPath, passing: &Passing) -> Response {
        let Some(place) = place_in(&self.root, path) else { return plain(StatusCode::NOT_FOUND, "Nothing is here.") };
        if !self.is_inside(&place).await {
            return plain(StatusCode::NOT_FOUND, "Nothing is here.");
        }
        let done = match parts.method {
            Method::GET | Method::HEAD => read(&place, parts).await,
            Method::PUT => self.write(&place, body, passing).await,
            Method::DELETE => delete(&place).await,
            _ => Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with a file.")),
        };
        done.unwrap_or_else(|error| match error.kind() {
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory => plain(StatusCode::NOT_FOUND, "Nothing is here."),
            _ => {
                tracing::error!(%error, "a file cannot be served");
                plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read or written right now.")
            }
        })
    }

    /// Writes elsewhere, then moves: a reader sees the old file or the new one, and of two writers each writes its own.
    async fn write(&self, place: &Path, body: Body, passing: &Passing) -> io::Result<Response> {
        let mut part = self.parts.begin(place).await?;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else { return Ok(cut_short(passing.was_cut.get().copied().unwrap_or(Cut::Broken))) };
            part.file.write_all(&chunk).await?;
        }
        part.file.sync_all().await?;
        // the last look before it is there for everybody (threat 44)
        if !(passing.may_go_on)().await {
            return Ok(cut_short(Cut::Withdrawn));
        }
        let is_new = !tokio::fs::try_exists(place).await?;
        part.become_file(place).await?;
        Ok(empty(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
    }
}

/// Where a path leads in a folder; none where a name begins with a dot.
pub(super) fn place_in(root: &Path, path: &CanonicalPath) -> Option<PathBuf> {
    let mut place = root.to_owned();
    for segment in path.segments() {
        if segment.starts_with('.') {
            return None;
        }
        place.push(segment);
    }
    Some(place)
}

async fn delete(place: &Path) -> io::Result<Response> {
    tokio::fs::remove_file(place).await?;
    part_files::sync_folder_of(place).await?;
    Ok(empty(StatusCode::NO_CONTENT))
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A file, whole or in the ranges that were asked for, or nothing new since the client has it (RFC 9110 13, 14).
pub(super) async fn read(place: &Path, parts: &Parts) -> io::Result<Response> {
    if tokio::fs::metadata(place).await?.is_dir() {
        return list(place).await;
    }
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    for name in [header::RANGE, header::IF_RANGE, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        request.headers_mut().extend(parts.headers.get(&name).map(|value| (name, value.clone())));
    }
    let Ok(answer) = ServeFile::new(place).oneshot(request).await;
    let mut response = answer.map(Body::new);
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

/// A directory: the names in it, as JSON.
async fn list(place: &Path) -> io::Result<Response> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(place).await?;
    while let Some(entry) = entries.next_entry().await? {
        names.extend(entry.file_name().into_string().ok().filter(|name| !name.starts_with('.')));
    }
    names.sort();
    Ok(axum::response::IntoResponse::into_response(axum::Json(names)))
}

#[cfg(test)]
mod tests;
