//! Doors to parsers that nobody outside this crate calls, for the properties that they must hold (`fuzz/`): without them a
//! property could only be tried through a whole gateway with its authorization server.

use super::folder::{place_in, read};
use super::path::CanonicalPath;
use axum::response::Response;
use http::request::Parts;
use std::path::{Path, PathBuf};

/// Segments and forwarded form of a path, if it has one form.
pub struct OneForm {
    pub segments: Vec<String>,
    pub encoded: String,
}

/// See [`super::path`].
pub fn parse_path(path: &str) -> Option<OneForm> {
    let path = CanonicalPath::parse(path).ok()?;
    Some(OneForm { segments: path.segments().to_vec(), encoded: path.encoded().to_owned() })
}

/// Where a path leads in a folder; none where it names what is not served.
pub fn place_of(folder: &Path, path: &str) -> Option<PathBuf> {
    place_in(folder, &CanonicalPath::parse(path).ok()?)
}

/// What a folder answers to whoever reads a file.
pub async fn read_file(folder: &Path, parts: &Parts, path: &str) -> Option<Response> {
    read(folder, &CanonicalPath::parse(path).ok()?, parts).await.ok()
}
