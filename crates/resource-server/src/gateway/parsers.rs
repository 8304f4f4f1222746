//! Doors to parsers that nobody outside this crate calls, for the properties that they must hold (`fuzz/`): without them a
//! property could only be tried through a whole gateway with its authorization server.

use super::Passing;
use super::beneath::names_of;
use super::folder::{Folder, With};
use super::path::CanonicalPath;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use std::path::Path;
use std::sync::Arc;

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

/// The names that are entered in a folder, one in the other; none where the path names what is not served.
pub fn names_in_folder(path: &str) -> Option<Vec<String>> {
    names_of(&CanonicalPath::parse(path).ok()?).ok()
}

/// What a folder answers to whoever reads a file.
pub async fn read_file(folder: &Path, parts: &Parts, path: &str) -> Option<Response> {
    let path = CanonicalPath::parse(path).ok()?;
    let with = With { randomness: Arc::new(jose::SystemRandomness), clock: Arc::new(jose::ambient::SystemClock) };
    let folder = Folder::new(folder.to_owned(), "https://folder.example", with);
    Some(folder.serve(parts, Body::empty(), &path, &Passing::by_itself()).await)
}
