//! A folder behind the gateway, served by `dav-server` (RFC 9110, RFC 4918) behind the gateway's judging. Names that begin with
//! a dot are not there, and what only a link leads to is not there either ([`super::beneath`]).
//!
//! A call goes: its names, [`conditions`] by what is there now, [`ranges`] of a file that is read, [`xml`] that it brings, all
//! that it reaches in a directory ([`members`]); then `dav-server` carries it out on [`files`] with [`locks`], and what it did
//! is said in the gateway's words ([`answers`]).

mod active;
mod answers;
mod call;
mod conditions;
mod files;
mod gates;
mod locks;
mod members;
mod named;
mod ranges;
mod reading;
mod state_list;
mod xml;

use super::Passing;
use super::beneath;
use super::elsewhere::{DEPTH, OVERWRITE};
use super::part_files::PartFiles;
use super::path::CanonicalPath;
use super::upstream::cut_short;
use crate::challenge::plain;
use crate::watch::Cut;
pub(super) use active::Active;
use answers::polish;
use axum::body::Body;
use axum::response::Response;
use call::Call;
pub(super) use conditions::is_known;
use conditions::{Conditions, Verdict};
use dav_server::DavHandler;
use files::{Files, Version};
use futures_util::{FutureExt, TryStreamExt};
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use jose::Randomness;
use jose::ambient::Clock;
use locks::Locks;
use std::io;
use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// Bytes of a name on a disk.
const MOST_NAME_BYTES: usize = 255;
/// Read from a disk at a time.
const READ_BYTES: usize = 64 * 1024;
/// What can be done with a folder.
static METHODS: [&str; 12] =
    ["OPTIONS", "GET", "HEAD", "PUT", "DELETE", "PROPFIND", "PROPPATCH", "MKCOL", "COPY", "MOVE", "LOCK", "UNLOCK"];
/// What `dav-server` reads of a call beside its method and path. Conditions of RFC 9110 and `Range` are judged before.
const READ_THERE: [HeaderName; 6] = [
    DEPTH,
    OVERWRITE,
    header::CONTENT_TYPE,
    header::USER_AGENT,
    HeaderName::from_static("lock-token"),
    HeaderName::from_static("timeout"),
];

pub(super) struct Folder {
    files: Files,
    locks: Locks,
    handler: DavHandler<Arc<Call>>,
    clock: Arc<dyn Clock>,
    /// URL of the gateway, which `dav-server` reads in `Destination` and `If`.
    resource: String,
}

/// What a folder is served with.
pub(super) struct With {
    pub(super) randomness: Arc<dyn Randomness>,
    pub(super) clock: Arc<dyn Clock>,
}

impl Folder {
    pub(super) fn new(root: PathBuf, resource: &str, with: With) -> Self {
        let With { randomness, clock } = with;
        let files = Files::new(root.clone(), PartFiles::beside(&root, randomness.clone()));
        let locks = Locks::new(clock.clone(), randomness);
        let handler = DavHandler::builder()
            .filesystem(Box::new(files.clone()))
            .locksystem(Box::new(locks.clone()))
            .strip_prefix(own_path(resource))
            .read_buf_size(READ_BYTES)
            .build_handler();
        Self { files, locks, handler, clock, resource: resource.to_owned() }
    }

    /// Removes what writers left that were killed, in the background.
    pub(super) fn sweep(&self) {
        self.files.sweep();
    }

    /// Whether something is there. An error: that cannot be told now.
    pub(super) async fn look_for(&self, path: &CanonicalPath) -> io::Result<bool> {
        Ok(self.files.find_version(path).await?.is_some())
    }

    /// Whether a directory is there, or may be.
    pub(super) async fn is_directory(&self, path: &CanonicalPath) -> bool {
        self.files.find_version(path).await.map_or(true, |version| version.is_some_and(|version| version.is_directory))
    }

    pub(super) async fn serve(&self, parts: &Parts, body: Body, path: &CanonicalPath, passing: &Passing) -> Response {
        let done = match parts.method {
            Method::GET | Method::HEAD => self.read(parts, path, passing).await,
            _ if !METHODS.contains(&parts.method.as_str()) => Ok(answers::not_allowed(&METHODS)),
            _ => self.carry_out(parts, body, path, passing).await,
        };
        done.unwrap_or_else(|error| answers::of_error(&error))
    }

    async fn carry_out(&self, parts: &Parts, body: Body, path: &CanonicalPath, passing: &Passing) -> io::Result<Response> {
        check_names(path)?;
        passing.elsewhere.destination.as_ref().map_or(Ok(()), check_names)?;
        // before anything is looked at or kept from others: it may be long on its way
        let (body, named) = match parts.method {
            Method::PUT => (body, None),
            _ => match xml::take(parts, body, passing).await {
                Ok(taken) => (Body::from(taken.bytes), taken.named),
                Err(refusal) => return Ok(*refusal),
            },
        };
        let Some(mut call) = self.call(parts, path, passing) else {
            return Ok(plain(StatusCode::BAD_REQUEST, "`If-None-Match` cannot be read: write entity-tags in quotes, or `*`."));
        };
        call.named = named;
        let current = self.files.find_version(path).await?;
        if let Some(refusal) = self.check(parts, &call, current.as_ref(), &passing.principal).await? {
            return Ok(refusal);
        }
        let request = self.request(parts, passing);
        let conditions = request.get("if").map(|value| value.to_str().unwrap_or_default());
        if conditions.is_some_and(|conditions| !state_list::is_readable(conditions)) {
            return Ok(plain(StatusCode::BAD_REQUEST, "`If` cannot be read (RFC 4918 10.4)."));
        }
        if self.is_kept(&call, current.is_some(), &passing.principal, conditions.unwrap_or_default()) {
            return Ok(answers::locked());
        }
        call.judged_by = conditions.filter(|conditions| conditions.contains('[')).map(|_| current);
        let call = Arc::new(call);
        let mut response = self.hand_over(parts, request, path, body, call.clone(), passing).await;
        call.let_go();
        if let Some(named) = call.named.clone().filter(|_| response.status() == StatusCode::MULTI_STATUS) {
            response = named::add_missing(response, named);
        }
        if parts.method == Method::OPTIONS {
            answers::write_options(response.headers_mut(), &call).await;
        }
        Ok(response)
    }

    /// What is refused before anything of it is done.
    async fn check(
        &self,
        parts: &Parts,
        call: &Call,
        current: Option<&Version>,
        principal: &str,
    ) -> io::Result<Option<Response>> {
        let method = call.method.as_str();
        let refused = |status, what| Ok(Some(plain(status, what)));
        // RFC 9110 14.5: a part that is not put in its place is no file
        if method == "PUT" && parts.headers.contains_key(header::CONTENT_RANGE) {
            return refused(StatusCode::BAD_REQUEST, "A part of a file is not taken: send it whole, without `Content-Range`.");
        }
        // RFC 9110 8.4: what is coded is not what is read here later
        let is_coded = |coding: &HeaderValue| !coding.as_bytes().eq_ignore_ascii_case(b"identity");
        if method == "PUT" && parts.headers.get_all(header::CONTENT_ENCODING).iter().any(is_coded) {
            let what = "A file is taken as it is: send it without `Content-Encoding`.";
            return refused(StatusCode::UNSUPPORTED_MEDIA_TYPE, what);
        }
        if method == "PUT" && (call.path.ends_with_slash() || current.is_some_and(|version| version.is_directory)) {
            return Ok(Some(answers::of_error(&io::ErrorKind::IsADirectory.into())));
        }
        // RFC 9110 13.2.1: only what would succeed without them is asked for its conditions
        let is_asked = current.is_some() && !matches!(method, "OPTIONS" | "PROPFIND" | "UNLOCK");
        let tag = current.map(Version::tag).unwrap_or_default();
        if (is_asked || matches!(method, "PUT" | "MKCOL" | "LOCK"))
            && call.conditions.judge(current.map(|version| version.as_current(&tag))) != Verdict::Perform
        {
            return Ok(Some(answers::changed()));
        }
        let depth = parts.headers.get(DEPTH).map(HeaderValue::as_bytes);
        let is_infinite = depth.is_none_or(|depth| depth.eq_ignore_ascii_case(b"infinity"));
        if method == "PROPFIND" && is_infinite {
            return Ok(Some(answers::finite_depth_alone()));
        }
        self.check_members(call, current, principal, depth != Some(b"0")).await
    }

    /// The same of directories.
    async fn check_members(
        &self,
        call: &Call,
        current: Option<&Version>,
        principal: &str,
        is_whole: bool,
    ) -> io::Result<Option<Response>> {
        let refused = |what| Ok(Some(plain(StatusCode::FORBIDDEN, what)));
        let is_top = |path: &CanonicalPath| path.segments().is_empty();
        let changes_places = matches!(call.method.as_str(), "DELETE" | "MOVE");
        if changes_places && is_top(&call.path) || call.destination.as_ref().is_some_and(is_top) {
            return refused("The folder itself stays where it is.");
        }
        if let Some(destination) = &call.destination
            && (destination.is_within(&call.path) || call.path.is_within(destination))
        {
            return refused("Source and destination are one place, or one is in the other.");
        }
        self.keep_members(call, current, principal).await?;
        let judging = members::judge(&self.files, call, is_whole || call.method.as_str() != "COPY");
        match tokio::time::timeout(gates::LONGEST_JUDGING, judging).await.unwrap_or_else(|late| Err(late.into()))? {
            Ok(()) => Ok(None),
            Err(why) => refused(why.say()),
        }
    }

    /// From here on nothing comes into what is moved, deleted or replaced (decision 45).
    async fn keep_members(&self, call: &Call, current: Option<&Version>, principal: &str) -> io::Result<()> {
        let is_changed = match call.method.as_str() {
            "MOVE" => true,
            "DELETE" => current.is_some_and(|version| version.is_directory),
            _ => false,
        };
        let source = is_changed.then_some(&call.path);
        let replaced = call.destination.as_ref().filter(|_| is_changed || call.overwrites);
        let places: Vec<_> = source.into_iter().chain(replaced).map(CanonicalPath::segments).collect();
        if !places.is_empty() {
            call.hold(self.files.gates().judge(&places, principal).await?);
        }
        Ok(())
    }

    /// None: its conditions cannot be read.
    fn call(&self, parts: &Parts, path: &CanonicalPath, passing: &Passing) -> Option<Call> {
        let overwrite = parts.headers.get(OVERWRITE).map(HeaderValue::as_bytes);
        Some(Call {
            method: parts.method.clone(),
            path: path.clone(),
            destination: passing.elsewhere.destination.clone(),
            overwrites: overwrite.is_none_or(|value| !value.eq_ignore_ascii_case(b"F")),
            now_seconds: self.clock.now().0,
            conditions: Conditions::read(&parts.method, &parts.headers)?,
            judged_by: None,
            permission: passing.permission.clone(),
            reach: passing.reach.clone(),
            named: None,
            properties: Mutex::default(),
            pass: Mutex::default(),
            opened: Mutex::default(),
            outcome: Mutex::default(),
        })
    }

    /// The fields that `dav-server` reads, in the form that was judged.
    fn request(&self, parts: &Parts, passing: &Passing) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if parts.method == Method::PUT {
            headers.extend(parts.headers.get(header::CONTENT_LENGTH).map(|length| (header::CONTENT_LENGTH, length.clone())));
        }
        for name in READ_THERE {
            headers.extend(parts.headers.get(&name).map(|value| (name, value.clone())));
        }
        if let Some(value) = headers.get_mut(OVERWRITE) {
            let is_false = value.as_bytes().eq_ignore_ascii_case(b"F");
            *value = HeaderValue::from_static(if is_false { "F" } else { "T" });
        }
        if let Some(value) = headers.get_mut(DEPTH).filter(|value| value.as_bytes().eq_ignore_ascii_case(b"infinity")) {
            *value = HeaderValue::from_static("infinity");
        }
        // it is the same whatever it says (RFC 4918 9.6.1, 9.9.2)
        if matches!(parts.method.as_str(), "DELETE" | "MOVE") {
            headers.remove(DEPTH);
        }
        passing.elsewhere.write(&mut headers, &self.resource);
        headers
    }

    /// Has `dav-server` carry a call out.
    async fn hand_over(
        &self,
        parts: &Parts,
        headers: HeaderMap,
        path: &CanonicalPath,
        body: Body,
        call: Arc<Call>,
        passing: &Passing,
    ) -> Response {
        if let Some(refusal) = self.check_locks(parts, passing) {
            return refusal;
        }
        let is_broken = Arc::new(AtomicBool::new(false));
        let noting = is_broken.clone();
        let body = Body::from_stream(body.into_data_stream().inspect_err(move |_| noting.store(true, Ordering::SeqCst)));
        let mut request = http::Request::new(body);
        *request.method_mut() = parts.method.clone();
        *request.headers_mut() = headers;
        let Ok(uri) = format!("{}{}", own_path(&self.resource), path.encoded()).parse() else {
            return answers::of_error(&io::ErrorKind::InvalidInput.into());
        };
        *request.uri_mut() = uri;
        let handled = self.handler.handle_guarded(request, passing.principal.clone(), call.clone());
        // whatever it makes of a call, the caller is answered
        let handled = AssertUnwindSafe(handled).catch_unwind().await;
        if is_broken.load(Ordering::SeqCst) {
            return cut_short(passing.was_cut.get().unwrap_or(Cut::Broken));
        }
        match handled {
            Ok(answer) => polish(answer.map(Body::new), &call),
            Err(_) => plain(StatusCode::BAD_REQUEST, "This call cannot be understood."),
        }
    }

    /// Whether a call adds something to a directory, or takes something from it, that somebody keeps as it is.
    fn is_kept(&self, call: &Call, is_there: bool, principal: &str, conditions: &str) -> bool {
        let is_changed = match call.method.as_str() {
            "DELETE" | "MOVE" => true,
            "PUT" | "MKCOL" | "LOCK" => !is_there,
            _ => false,
        };
        let changed = is_changed.then_some(&call.path).into_iter().chain(&call.destination);
        let mut directories = changed.filter_map(|place| place.segments().split_last().map(|(_, directory)| directory));
        directories.any(|directory| self.locks.keeps_members(directory, principal, conditions))
    }

    /// One caller takes so many locks, and gives back none of another's; owners end every lock on what is theirs (RFC 4918 7.5).
    fn check_locks(&self, parts: &Parts, passing: &Passing) -> Option<Response> {
        let Passing { principal, is_owner, .. } = passing;
        let token = parts.headers.get("lock-token").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match parts.method.as_str() {
            "LOCK" if !parts.headers.contains_key("if") && !self.locks.has_room(principal) => {
                Some(plain(StatusCode::INSUFFICIENT_STORAGE, "There are too many locks: give some back, or wait until they end."))
            }
            "UNLOCK" if !is_owner && self.locks.is_others(token.trim_matches(['<', '>', ' ']), principal) => {
                Some(plain(StatusCode::FORBIDDEN, "This lock is somebody else's: it ends by itself within ten minutes."))
            }
            _ => None,
        }
    }
}

/// The part of a host that is this gateway's, decoded.
fn own_path(resource: &str) -> String {
    let path = url::Url::parse(resource).map(|url| url.path().trim_end_matches('/').to_owned()).unwrap_or_default();
    percent_encoding::percent_decode_str(&path).decode_utf8_lossy().into_owned()
}

/// What no file can be called is not there, and what is longer than names can be is no name.
fn check_names(path: &CanonicalPath) -> io::Result<()> {
    let names = beneath::names_of(path)?;
    if names.iter().any(|name| name.len() > MOST_NAME_BYTES) { Err(io::ErrorKind::InvalidFilename.into()) } else { Ok(()) }
}

#[cfg(test)]
mod tests;
