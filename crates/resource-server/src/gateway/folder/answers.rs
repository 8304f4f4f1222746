//! What a folder answers, in the gateway's words.

use super::call::{Call, Ended};
use super::files::Version;
use crate::challenge::plain;
use crate::gateway::upstream::cut_short;
use crate::watch::Cut;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use std::io;

const DAV: HeaderName = HeaderName::from_static("dav");

/// Nothing of the folder was reached.
pub(super) fn of_error(error: &io::Error) -> Response {
    match error.kind() {
        // what another kind of thing is in the place of is not there
        io::ErrorKind::NotFound | io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => say(StatusCode::NOT_FOUND),
        io::ErrorKind::TimedOut | io::ErrorKind::ResourceBusy => busy(),
        io::ErrorKind::InvalidFilename => plain(StatusCode::BAD_REQUEST, "A name in this path is longer than names can be."),
        _ => {
            tracing::error!(%error, "a file cannot be served");
            plain(StatusCode::SERVICE_UNAVAILABLE, "This cannot be read or written right now.")
        }
    }
}

/// Why, for whoever reads it.
fn say(status: StatusCode) -> Response {
    let what = match status {
        StatusCode::NOT_FOUND => "Nothing is here.",
        StatusCode::CONFLICT => "The directory that this would be in is not there.",
        StatusCode::METHOD_NOT_ALLOWED => "This cannot be done here.",
        StatusCode::PRECONDITION_FAILED => "It is not as your call says that it is: read it again.",
        StatusCode::LOCKED => "Somebody holds a lock on this, or on something in it.",
        StatusCode::FORBIDDEN => "This server's own files are not to be changed like this.",
        StatusCode::INSUFFICIENT_STORAGE => "There is no room left for this.",
        StatusCode::BAD_REQUEST => "This call cannot be understood.",
        StatusCode::UNSUPPORTED_MEDIA_TYPE => "This brings a body, and none is expected.",
        StatusCode::BAD_GATEWAY => "Both places are on different disks: copy it, and delete it here.",
        StatusCode::URI_TOO_LONG => "A name in this path is longer than names can be.",
        _ => "This cannot be read or written right now.",
    };
    plain(status, what)
}

pub(super) fn changed() -> Response {
    say(StatusCode::PRECONDITION_FAILED)
}

pub(super) fn busy() -> Response {
    plain(StatusCode::SERVICE_UNAVAILABLE, "Others are changing this, or what it is in, right now: try again.")
}

pub(super) fn locked() -> Response {
    say(StatusCode::LOCKED)
}

pub(super) fn not_allowed(methods: &[&str]) -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done with a file.");
    let allowed = HeaderValue::from_str(&methods.join(", ")).ok();
    response.headers_mut().extend(allowed.map(|allowed| (header::ALLOW, allowed)));
    response
}

/// RFC 9110 15.4.5.
pub(super) fn not_modified(version: &Version, now_seconds: i64) -> Response {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::NOT_MODIFIED;
    let tag = HeaderValue::from_str(&version.tag()).ok();
    response.headers_mut().extend(tag.map(|tag| (header::ETAG, tag)));
    let modified = version.last_modified(now_seconds).map(httpdate::fmt_http_date);
    let modified = modified.and_then(|date| HeaderValue::from_str(&date).ok());
    response.headers_mut().extend(modified.map(|date| (header::LAST_MODIFIED, date)));
    response
}

/// RFC 9110 15.5.17.
pub(super) fn unsatisfiable(length: u64) -> Response {
    let mut response = plain(StatusCode::RANGE_NOT_SATISFIABLE, "The file ends before what was asked for.");
    let range = HeaderValue::from_str(&format!("bytes */{length}")).ok();
    response.headers_mut().extend(range.map(|range| (header::CONTENT_RANGE, range)));
    response
}

/// RFC 4918 9.1.1: the whole tree is not told at once.
pub(super) fn finite_depth_alone() -> Response {
    let body = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n<D:error xmlns:D=\"DAV:\"><D:propfind-finite-depth/></D:error>\n";
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::FORBIDDEN;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=utf-8"));
    response
}

/// A file says itself nothing of what a browser may do with it; what could run is not shown at all.
pub(super) fn keep_inert(headers: &mut HeaderMap, is_active: bool) {
    if is_active {
        headers.insert(header::CONTENT_DISPOSITION, HeaderValue::from_static("attachment"));
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let kind = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let is_shown = !is_active && [&b"image/"[..], b"video/", b"audio/"].iter().any(|shown| kind.starts_with(shown));
    // a browser puts a picture or film in the middle of a page of its own, by a style that stands in it
    let policy = if is_shown {
        "sandbox; default-src 'none'; style-src 'unsafe-inline'; media-src 'self'"
    } else {
        "sandbox; default-src 'none'"
    };
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(policy));
}

/// What this caller can do here, of all that can be done with a folder.
pub(super) async fn write_options(headers: &mut HeaderMap, call: &Call) {
    let mut allowed = Vec::new();
    for method in super::METHODS.chunks(1) {
        if call.reach.clone().may(method, call.path.clone()).await {
            allowed.extend(method.iter().copied());
        }
    }
    let classes = if allowed.contains(&"LOCK") { "1, 2" } else { "1" };
    headers.insert(DAV, HeaderValue::from_static(classes));
    let allowed = HeaderValue::from_str(&allowed.join(", ")).ok();
    headers.remove(header::ALLOW);
    headers.extend(allowed.map(|allowed| (header::ALLOW, allowed)));
}

/// What `dav-server` did, said as the gateway says it.
pub(super) fn polish(mut answer: Response, call: &Call) -> Response {
    let outcome = call.outcome();
    match outcome.ended {
        Some(Ended::Withdrawn) => return cut_short(Cut::Withdrawn),
        Some(Ended::Changed) => return changed(),
        Some(Ended::InTheWay) => return say(StatusCode::NOT_FOUND),
        Some(Ended::Busy) => return busy(),
        None => {}
    }
    answer.headers_mut().remove(header::CONNECTION);
    let status = answer.status();
    if status.is_client_error() || status.is_server_error() {
        if status == StatusCode::INTERNAL_SERVER_ERROR {
            return say(StatusCode::SERVICE_UNAVAILABLE);
        }
        return say(status);
    }
    if call.method == http::Method::PUT
        && let Some(is_new) = outcome.is_new
    {
        *answer.status_mut() = if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT };
        if !is_new {
            answer.headers_mut().remove(header::CONTENT_LENGTH);
        }
    }
    answer
}
