//! `?thumbnail=320` of a file: a small picture of it, made once for everybody who may view the file, or an icon where none can
//! be made. Each call is judged as one for the file itself, so nothing here asks who it is for; only turns do.

use super::super::Gateway;
use super::super::beneath;
use super::super::folder::is_known;
use super::super::passage::LetIn;
use super::kind::Kind;
use super::{View, cache, picture, set_fields};
use crate::challenge::plain;
use axum::body::Body;
use axum::response::Response;
use http::{StatusCode, header};
use jose::{base64url, digest};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use types::peer::network_of;

/// Thumbnails that are made at one time, of all and of one person, and those for which one person waits.
pub(super) const AT_ONCE: usize = 2;
pub(super) const AT_ONCE_OF_ONE: usize = 2;
pub(super) const MOST_WAITING_OF_ONE: usize = 300;
/// Of all, before an answer says that there are too many.
pub(super) const MOST_WAITING: usize = 4_096;
/// In each key: what was made otherwise is made anew.
const VERSION: &[u8] = b"thumbnail 1 ";
const PNG: &[u8] = b"\x89PNG";

/// Longest side of a thumbnail, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Side {
    Small = 320,
    Middle = 640,
    Large = 1_280,
}

impl Side {
    pub(super) fn parse(text: &str) -> Option<Self> {
        [Self::Small, Self::Middle, Self::Large].into_iter().find(|side| side.pixels().to_string() == text)
    }

    fn pixels(self) -> u32 {
        self as u32
    }
}

/// A file, and which it is for as long as nobody changes it.
struct Original {
    file: beneath::Found,
    hash: String,
}

impl Original {
    fn of(file: beneath::Found, side: Side) -> io::Result<Self> {
        let metadata = std::fs::metadata(file.place())?;
        let numbers = [
            metadata.dev().to_be_bytes(),
            metadata.ino().to_be_bytes(),
            metadata.len().to_be_bytes(),
            metadata.mtime().to_be_bytes(),
            metadata.mtime_nsec().to_be_bytes(),
            metadata.ctime().to_be_bytes(),
            metadata.ctime_nsec().to_be_bytes(),
            u64::from(side.pixels()).to_be_bytes(),
        ];
        let hash = base64url::encode(digest::sha256(&[VERSION, &numbers.concat()]));
        Ok(Self { file, hash })
    }
}

impl Gateway {
    pub(super) async fn thumbnail(self: &Arc<Self>, root: &Path, view: &View<'_>, side: Side) -> io::Result<Response> {
        let file = beneath::find(root, view.path).await?;
        if file.is_directory {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let kind = view.path.segments().last().map_or(Kind::Other, |name| Kind::of_file(name));
        if kind != Kind::Picture {
            return Ok(icon_of(kind));
        }
        let original = Original::of(file, side)?;
        let tag = format!("\"{}\"", original.hash);
        // RFC 9110 13.1.2
        if is_known(&view.parts.headers, &tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            set_fields(&mut response, &[(header::ETAG, &tag)]);
            return Ok(response);
        }
        let Some(bytes) = self.thumbnail_bytes(original, side, view.let_in).await? else {
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pictures were asked for at once: try again.");
            set_fields(&mut response, &[(header::RETRY_AFTER, "1")]);
            return Ok(response);
        };
        let mut response = match bytes.is_empty() {
            true => icon_of(kind),
            false => {
                let is_png = bytes.starts_with(PNG);
                let mut response = Response::new(Body::from(bytes));
                set_fields(&mut response, &[(header::CONTENT_TYPE, if is_png { "image/png" } else { "image/jpeg" })]);
                response
            }
        };
        set_fields(&mut response, &[(header::ETAG, &tag), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]);
        Ok(response)
    }

    /// The small picture, kept or made now; empty: there is none. None: whoever wants it wants too many.
    async fn thumbnail_bytes(&self, original: Original, side: Side, let_in: &LetIn) -> io::Result<Option<Vec<u8>>> {
        let key = cache::key_of(owner_of(let_in), &original.hash);
        let (cache, wanted) = (self.viewer.cache.clone(), key.clone());
        if let Some(kept) = beneath::on_a_thread_of_its_own(move || Ok(cache.find(&wanted))).await? {
            return Ok(Some(kept));
        }
        let Ok(hers) = self.viewer.makers.wait(&person_of(let_in)).await else { return Ok(None) };
        let Ok(turn) = self.viewer.owners.wait(owner_of(let_in)).await else { return Ok(None) };
        // who wanted the same at the same time waits for the one who makes it
        let one = self.turn(&format!("thumbnail {key}")).await;
        let one = one.lock_owned().await;
        let (cache, memory) = (self.viewer.cache.clone(), self.viewer.memory.clone());
        let make = move || {
            // held to the end of the work, also where nobody waits for it any more
            let _held = (hers, turn, one);
            if let Some(kept) = cache.find(&key) {
                return Ok(kept);
            }
            let made = std::fs::File::open(original.file.place()).map_err(picture::Unfit::from);
            let made = made.and_then(|file| picture::shrink(file, side.pixels(), &memory));
            let bytes = match made {
                Ok(bytes) => bytes,
                // that it cannot be read now says nothing about what is in it
                Err(picture::Unfit::Io(error)) => return Err(error),
                Err(error) => {
                    tracing::info!(%error, "there is no small picture of a file");
                    Vec::new()
                }
            };
            cache.put(&key, &bytes);
            Ok(bytes)
        };
        beneath::on_a_thread_of_its_own(make).await.map(Some)
    }
}

/// Whose things they are.
pub(super) fn owner_of(let_in: &LetIn) -> &str {
    let_in.all.first().map_or("", |admitted| admitted.owner.as_str())
}

/// Who waits for a turn: the person as her server names her, or where it names none, her network.
pub(super) fn person_of(let_in: &LetIn) -> String {
    let Some(admitted) = let_in.all.first() else { return String::new() };
    let network = || admitted.caller.map(|caller| network_of(caller.0)).unwrap_or_default();
    match &admitted.answer.sub {
        Some(sub) => format!("{} {sub}", admitted.issuer),
        None => network(),
    }
}

fn icon_of(kind: Kind) -> Response {
    let mut response = Response::new(Body::from(kind.picture()));
    let policy = "default-src 'none'; sandbox";
    set_fields(
        &mut response,
        &[
            (header::CONTENT_TYPE, "image/svg+xml"),
            (header::CONTENT_SECURITY_POLICY, policy),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        ],
    );
    response
}
