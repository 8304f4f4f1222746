//! Doors to parsers that nobody outside this crate calls, for the properties that they must hold (`fuzz/`): without them a
//! property could only be tried through a whole gateway with its authorization server.

use super::beneath::names_of;
use super::folder::{Folder, With};
use super::path::CanonicalPath;
use super::viewer::picture;
use super::{OriginalIn, Passing, browser, forward_auth};
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use std::fs::File;
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

/// What a folder answers to a call.
pub async fn serve_folder(folder: &Path, parts: &Parts, body: Body, path: &str) -> Option<Response> {
    let path = CanonicalPath::parse(path).ok()?;
    let with = With { randomness: Arc::new(jose::SystemRandomness), clock: Arc::new(jose::ambient::SystemClock) };
    let folder = Folder::new(folder.to_owned(), "https://folder.example", with);
    Some(folder.serve(parts, body, &path, &Passing::by_itself()).await)
}

/// The thumbnail of a picture; none: it gets an icon.
pub fn make_thumbnail(file: File, side: u32) -> Option<Vec<u8>> {
    picture::shrink(file, side).ok()
}

/// The call about which a proxy asks, and the form of its path that is judged; none: it is refused.
pub fn read_call_of_proxy(parts: Parts, family: OriginalIn, resource: &str) -> Option<(Parts, String)> {
    let original =
        forward_auth::original::Original::read(&parts.headers, family, url::Url::parse(resource).ok().as_ref()).ok()?;
    original.into_call(parts).map(|(call, path)| (call, path.encoded().to_owned()))
}

/// The place to which somebody is led back who named it (`to`); none: she is not.
pub fn read_place(to: &str) -> Option<String> {
    browser::read_to(to).map(|uri| uri.to_string())
}
