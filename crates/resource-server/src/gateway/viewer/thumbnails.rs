//! `?thumbnail=320` of a file: a small picture of it, made once for everybody who may view the file, or an icon where none can
//! be made. Each call is judged as one for the file itself, so nothing here asks who it is for; only turns do.

use super::super::Gateway;
use super::super::beneath;
use super::super::folder::is_known;
use super::kind::Kind;
use super::maker::{Made, PNG};
use super::{View, cache, set_fields};
use crate::challenge::plain;
use axum::body::Body;
use axum::response::Response;
use http::{StatusCode, header};
use jose::{base64url, digest};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use types::peer::{Caller, network_of};

/// Thumbnails that are made at one time, of all and of one person, and those for which one person waits. Of one owner two are
/// made where no other owner's are waited for, else one.
pub(super) const AT_ONCE: usize = 2;
pub(super) const AT_ONCE_OF_ONE: usize = 2;
pub(super) const MOST_WAITING_OF_ONE: usize = 300;
/// Of one owner, before an answer says that there are too many.
pub(super) const MOST_WAITING: usize = 4_096;
/// In each key: what was made otherwise is made anew.
const VERSION: &[u8] = b"thumbnail 1 ";

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
    /// Of the thumbnail.
    key: String,
    /// Of the file, whatever size is wanted.
    identity: String,
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
        ];
        let size = u64::from(side.pixels()).to_be_bytes();
        let hash = |size: &[u8]| base64url::encode(digest::sha256(&[VERSION, &numbers.concat(), size]));
        Ok(Self { file, key: hash(&size), identity: hash(&[]) })
    }
}

impl Gateway {
    pub(super) async fn show_thumbnail(self: &Arc<Self>, root: &Path, view: &View<'_>, side: Side) -> io::Result<Response> {
        let file = beneath::find(root, view.path).await?;
        if file.is_directory {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let kind = view.path.segments().last().map_or(Kind::Other, |name| Kind::of_file(name));
        if kind != Kind::Picture {
            return Ok(icon_of(kind));
        }
        let original = Original::of(file, side)?;
        let tag = format!("\"{}\"", original.key);
        // RFC 9110 13.1.2
        if is_known(&view.parts.headers, &tag) {
            let mut response = Response::new(Body::empty());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            set_fields(&mut response, &[(header::ETAG, &tag)]);
            return Ok(response);
        }
        let Some(made) = self.find_or_make(original, side, view).await? else {
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pictures were asked for at once: try again.");
            set_fields(&mut response, &[(header::RETRY_AFTER, "1")]);
            return Ok(response);
        };
        let mut response = match made {
            Made::Thumbnail(bytes) => {
                let media_type = if bytes.starts_with(PNG) { "image/png" } else { "image/jpeg" };
                let mut response = Response::new(Body::from(bytes));
                set_fields(&mut response, &[(header::CONTENT_TYPE, media_type)]);
                response
            }
            Made::Unfit => icon_of(kind),
            // asked for again, it may be another
            Made::Failed => return Ok(icon_of(kind)),
        };
        set_fields(&mut response, &[(header::ETAG, &tag), (header::X_CONTENT_TYPE_OPTIONS, "nosniff")]);
        Ok(response)
    }

    /// The small picture, kept or made now. None: whoever wants it wants too many.
    async fn find_or_make(self: &Arc<Self>, original: Original, side: Side, view: &View<'_>) -> io::Result<Option<Made>> {
        // each owner has a share of what is kept
        let original = Original { key: cache::key_of(owner_of(view), &original.key), ..original };
        if let Some(kept) = self.find_kept(&original).await? {
            return Ok(Some(kept));
        }
        if !self.viewer.maker.may_make(&original.identity) {
            return Ok(Some(Made::Failed));
        }
        let Ok(hers) = self.viewer.makers.wait(&person_of(view)).await else { return Ok(None) };
        let Ok(turn) = self.viewer.owners.wait(owner_of(view)).await else { return Ok(None) };
        // who wanted the same at the same time waits for the one who makes it
        let one = self.turn(&format!("thumbnail {}", original.identity)).await;
        let one = one.lock_owned().await;
        let gateway = self.clone();
        // goes on to its end, also where nobody waits for it any more: it is kept for everybody
        let made = tokio::spawn(async move {
            let _held = (hers, turn, one);
            gateway.make(&original, side).await
        });
        made.await.map_err(io::Error::other)?.map(Some)
    }

    async fn find_kept(&self, original: &Original) -> io::Result<Option<Made>> {
        let (cache, key) = (self.viewer.cache.clone(), original.key.clone());
        let kept = beneath::on_a_thread_of_its_own(move || Ok(cache.find(&key))).await?;
        Ok(kept.map(|bytes| if bytes.is_empty() { Made::Unfit } else { Made::Thumbnail(bytes) }))
    }

    /// Makes it, unless somebody did meanwhile.
    async fn make(&self, original: &Original, side: Side) -> io::Result<Made> {
        if let Some(kept) = self.find_kept(original).await? {
            return Ok(kept);
        }
        if !self.viewer.maker.may_make(&original.identity) {
            return Ok(Made::Failed);
        }
        let place = original.file.place();
        let picture = beneath::on_a_thread_of_its_own(move || std::fs::File::open(place)).await?;
        let made = self.viewer.maker.make(&original.identity, picture, side.pixels()).await?;
        let bytes = match &made {
            Made::Thumbnail(bytes) => bytes.clone(),
            Made::Unfit => Vec::new(),
            Made::Failed => return Ok(made),
        };
        let (cache, key) = (self.viewer.cache.clone(), original.key.clone());
        let keep = move || {
            cache.put(&key, &bytes);
            Ok(())
        };
        beneath::on_a_thread_of_its_own(keep).await?;
        Ok(made)
    }
}

/// Whose things they are; nobody's where everybody may see them.
pub(super) fn owner_of<'v>(view: &View<'v>) -> &'v str {
    view.let_in.and_then(|let_in| let_in.all.first()).map_or("", |admitted| admitted.owner.as_str())
}

/// Who waits for a turn: the person as her server names her, or where nobody names one, her network.
pub(super) fn person_of(view: &View<'_>) -> String {
    let network = |caller: Option<Caller>| caller.map(|caller| network_of(caller.0)).unwrap_or_default();
    let Some(let_in) = view.let_in else { return network(view.parts.extensions.get().copied()) };
    let Some(admitted) = let_in.all.first() else { return String::new() };
    match &admitted.answer.sub {
        Some(sub) => format!("{} {sub}", admitted.issuer),
        None => network(admitted.caller),
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
