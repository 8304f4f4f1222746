//! A folder behind the gateway: its files, read, written and deleted by path. Names that begin with a dot are not there, and
//! what only a link leads to is not there either ([`super::beneath`]).

use super::Passing;
use super::beneath;
use super::part_files::{self, PartFiles};
use super::path::CanonicalPath;
use super::upstream::cut_short;
use crate::challenge::plain;
use crate::watch::{Cut, SMALL_BYTES};
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

    /// Whether something is there. An error: that cannot be told now.
    pub(super) async fn look_for(&self, path: &CanonicalPath) -> io::Result<bool> {
        match beneath::find(&self.root, path).await {
            Ok(_) => Ok(true),
            Err(error) if beneath::is_absence(&error) => Ok(false),
            Err(error) => Err(error),
        }
    }

    #[cfg(test)]
    async fn exists(&self, path: &CanonicalPath) -> bool {
        self.look_for(path).await.is_ok_and(|is_there| is_there)
    }

    pub(super) async fn serve(&self, parts: &Parts, body: Body, path: &CanonicalPath, passing: &Passing) -> Response {
        let done = match parts.method {
            Method::GET | Method::HEAD => read(&self.root, path, parts).await,
            Method::PUT => self.write(path, body, passing).await,
            Method::DELETE => self.delete(path).await,
            _ => Ok(plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with a file.")),
        };
        done.unwrap_or_else(|error| match error.kind() {
            // what another kind of thing is in the place of is not there
            io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => {
                plain(StatusCode::NOT_FOUND, "Nothing is here.")
            }
            io::ErrorKind::InvalidFilename => plain(StatusCode::BAD_REQUEST, "A name in this path is longer than names can be."),
            _ => {
                tracing::error!(%error, "a file cannot be served");
                plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read or written right now.")
            }
        })
    }

    /// Writes elsewhere, then moves: a reader sees the old file or the new one, and of two writers each writes its own.
    async fn write(&self, path: &CanonicalPath, body: Body, passing: &Passing) -> io::Result<Response> {
        let slot = beneath::find_slot(&self.root, path).await?;
        let mut part = self.parts.begin(&slot.place()).await?;
        let mut chunks = body.into_data_stream();
        while let Some(chunk) = chunks.next().await {
            let Ok(chunk) = chunk else { return Ok(cut_short(passing.was_cut.get().unwrap_or(Cut::Broken))) };
            part.file.write_all(&chunk).await?;
        }
        part.file.sync_all().await?;
        // the last look before it is there for everybody (threat 44)
        if !passing.permission.clone().look().await {
            return Ok(cut_short(Cut::Withdrawn));
        }
        // where the path leads by now
        let slot = beneath::find_slot(&self.root, path).await?;
        let is_new = slot.find_file()?.is_none();
        part.become_file(&slot.place()).await?;
        Ok(empty(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT }))
    }

    async fn delete(&self, path: &CanonicalPath) -> io::Result<Response> {
        let slot = beneath::find_slot(&self.root, path).await?;
        slot.find_file()?.ok_or(io::ErrorKind::NotFound)?;
        tokio::fs::remove_file(slot.place()).await?;
        part_files::sync_folder_of(&slot.place()).await?;
        Ok(empty(StatusCode::NO_CONTENT))
    }
}

fn empty(status: StatusCode) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

/// A file, whole or in the ranges that were asked for, or nothing new since the client has it (RFC 9110 13, 14).
pub(super) async fn read(root: &Path, path: &CanonicalPath, parts: &Parts) -> io::Result<Response> {
    let found = beneath::find(root, path).await?;
    if found.is_directory {
        return list(&found.place()).await;
    }
    let mut request = http::Request::new(Body::empty());
    *request.method_mut() = parts.method.clone();
    for name in [header::RANGE, header::IF_RANGE, header::IF_MODIFIED_SINCE, header::IF_UNMODIFIED_SINCE] {
        request.headers_mut().extend(parts.headers.get(&name).map(|value| (name, value.clone())));
    }
    let name = path.segments().last().map(String::as_str).unwrap_or_default();
    let kind = mime_guess::from_path(name).first_or_octet_stream();
    let Ok(answer) = ServeFile::new_with_mime(found.place(), &kind).oneshot(request).await;
    drop(found);
    let mut response = whole_if_small(answer.map(Body::new)).await?;
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("sandbox; default-src 'none'"));
    Ok(response)
}

/// The answer, with all of a small file in it: then nobody has to watch it.
async fn whole_if_small(answer: Response) -> io::Result<Response> {
    let length = answer.headers().get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse::<u64>().ok());
    if length.is_none_or(|length| length > SMALL_BYTES) {
        return Ok(answer);
    }
    let (parts, body) = answer.into_parts();
    let bytes = axum::body::to_bytes(body, usize::MAX).await.map_err(io::Error::other)?;
    Ok(Response::from_parts(parts, Body::from(bytes)))
}

/// A directory: the names in it, as JSON.
async fn list(place: &Path) -> io::Result<Response> {
    let mut names = Vec::new();
    let mut entries = tokio::fs::read_dir(place).await?;
    while let Some(entry) = entries.next_entry().await? {
        let is_there = entry.file_type().await.is_ok_and(|kind| kind.is_file() || kind.is_dir());
        names.extend(entry.file_name().into_string().ok().filter(|name| is_there && !name.starts_with('.')));
    }
    names.sort();
    Ok(axum::response::IntoResponse::into_response(axum::Json(names)))
}

#[cfg(test)]
mod tests;
