//! Which header fields go on to the service behind, and which come back (threats 26, 27 and 47). A field can make a call
//! another one than was judged, or say who calls and from where; a stranger's say in that counts for nothing. Of whoever is
//! no trusted proxy, no field passes whose name has a word for somebody, for what somebody is and may, or for a place.
//!
//! CGI, WSGI and PHP make `_` of everything in a name that is no letter and no digit: there `X_Real.IP` is `X-Real-IP`.
//! So what is spelled with anything but letters, digits and `-` goes nowhere, whoever sent it.

mod answers;
mod behind;
mod forwarded;
mod names;

pub(super) use answers::{keep_private, keep_to_own_pages};
pub(super) use behind::{keep_behind, keep_behind_call, names_behind};
pub(super) use forwarded::Reached;

use super::OriginalIn;
use crate::challenge::plain;
use axum::response::Response;
use http::header::{CONNECTION, COOKIE, EXPECT, TE, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};
use names::Says;

/// Fields of one hop (RFC 9110 7.6.1), and `Proxy`, which CGI makes a setting of the environment.
const ONE_HOP: [&str; 8] = ["connection", "keep-alive", PROXY, "transfer-encoding", "te", "trailer", "upgrade", "http2-settings"];
const PROXY: &str = "proxy";
const ONE_HOP_PREFIX: &str = "proxy-";

/// Read here, or written anew for the service. What `Expect` asks for was given before the call went on.
const OURS: [&str; 7] = ["authorization", "dpop", "host", "content-length", "destination", "if", "expect"];

/// Fields that are for the service, however `Connection` calls them (RFC 9110 7.6.1), by what they begin with.
const NOT_OF_ONE_HOP: [&str; 17] = [
    "authorization",
    "dpop",
    "host",
    "cookie",
    "content-",
    "transfer-encoding",
    "if-",
    "range",
    "destination",
    "overwrite",
    "depth",
    "lock-token",
    "timeout",
    "cache-control",
    "expect",
    "via",
    "accept",
];

/// Whose word about forwarding counts.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) is_trusted_proxy: bool,
    /// Names of headers in which trusted proxies say whose a resource is.
    pub(super) owner_headers: &'a [String],
    /// Names that the operator lets pass from anybody.
    pub(super) pass_headers: &'a [String],
}

/// What a name is when it is judged: `_` and `-`, and whatever else is folded, are one.
pub(super) fn folded(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect()
}

/// Leaves of a request's fields what may go on.
pub(super) fn keep_for_service(headers: &mut HeaderMap, sender: Sender<'_>) {
    drop_one_hop(headers);
    let dropped: Vec<HeaderName> = headers.keys().filter(|name| !goes_on(name.as_str(), sender)).cloned().collect();
    for name in dropped {
        headers.remove(name);
    }
    answers::keep_others_cookies(headers);
}

/// What a call's cookies are without the gateway's own, for a proxy to write over them; none: it has no cookies.
pub(super) fn others_cookies(headers: &HeaderMap) -> Option<HeaderValue> {
    let mut cookies = HeaderMap::new();
    for line in headers.get_all(COOKIE) {
        cookies.append(COOKIE, line.clone());
    }
    if cookies.is_empty() {
        return None;
    }
    answers::keep_others_cookies(&mut cookies);
    Some(cookies.remove(COOKIE).unwrap_or_else(|| HeaderValue::from_static(NO_COOKIES)))
}

/// One that says nothing. There are proxies that write no empty field over the caller's.
const NO_COOKIES: &str = "_=";

/// What a proxy that asks writes itself, or is told to write over.
const OF_PROXIES: [&str; 20] = [
    "x-original-method",
    "x-original-url",
    "x-original-uri",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-proto",
    "x-forwarded-uri",
    "x-forwarded-method",
    "x-forwarded-port",
    "x-forwarded-server",
    "x-real-ip",
    "forwarded",
    "x-wayleave-subject",
    "x-wayleave-client",
    "x-wayleave-scopes",
    "x-wayleave-email",
    "x-wayleave-identity",
    "x-envoy-external-address",
    "x-envoy-internal",
    "x-envoy-expected-rq-timeout-ms",
];

/// What neither Traefik nor Caddy writes, which name a call in `X-Forwarded-*`.
fn is_of_others(name: &str, family: OriginalIn) -> bool {
    let is_theirs = matches!(name, "forwarded" | "x-original-uri") || name.starts_with("x-envoy-");
    family == OriginalIn::Forwarded && is_theirs
}

/// A field by which a service may read a call as another one, or take it for somebody else's, where a proxy hands it on and nobody
/// takes it off; and one that is taken for a proxy's under another spelling. `family`: how the proxy names a call; `named`: what the operator lets pass.
pub(super) fn find_override<'h>(headers: &'h HeaderMap, family: OriginalIn, named: &[&[String]]) -> Option<&'h HeaderName> {
    headers.keys().find(|name| {
        let name = name.as_str();
        if !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return names::read(&folded(name)) != Says::Ordinary;
        }
        if OF_PROXIES.contains(&name) && !is_of_others(name, family) || OURS.contains(&name) {
            return false;
        }
        // no proxy takes it off, and CGI makes a setting of it
        if name == PROXY {
            return true;
        }
        match names::read(name) {
            Says::Ordinary => false,
            Says::AnotherCall => true,
            Says::WhoCalls => !named.iter().copied().flatten().any(|one| folded(one) == name),
        }
    })
}

/// Leaves of an answer's fields what may come back.
pub(super) fn keep_for_client(headers: &mut HeaderMap) {
    drop_one_hop(headers);
    answers::keep_services_own(headers);
}

fn goes_on(name: &str, sender: Sender<'_>) -> bool {
    // a name that came over the wire is in small letters
    let is_folded = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
    if !is_folded || OURS.contains(&name) {
        return false;
    }
    let is_one_of = |named: &[String]| named.iter().any(|one| folded(one) == name);
    if is_one_of(sender.owner_headers) {
        return sender.is_trusted_proxy;
    }
    match names::read(name) {
        Says::Ordinary => true,
        Says::WhoCalls => sender.is_trusted_proxy || is_one_of(sender.pass_headers),
        Says::AnotherCall => false,
    }
}

/// Takes away what is for one hop alone, `Connection`'s own list included.
fn drop_one_hop(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut dropped: Vec<HeaderName> =
        lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    dropped.extend(headers.keys().filter(|name| is_of_one_hop(name.as_str())).cloned());
    for name in dropped {
        headers.remove(name);
    }
}

fn is_of_one_hop(name: &str) -> bool {
    ONE_HOP.contains(&name) || name.starts_with(ONE_HOP_PREFIX)
}

/// Whether whoever called takes fields behind the body (RFC 9110 6.5.1, 10.1.4).
pub(super) fn takes_trailers(headers: &HeaderMap) -> bool {
    let lists = headers.get_all(TE).iter().filter_map(|value| value.to_str().ok());
    lists.flat_map(|list| list.split(',')).any(|coding| coding.trim().eq_ignore_ascii_case("trailers"))
}

/// Says that a message of this version came through here (RFC 9110 7.6.3).
pub(super) fn add_via(headers: &mut HeaderMap, version: Version) {
    let via = match version {
        Version::HTTP_10 => "1.0 wayleave",
        Version::HTTP_2 => "2.0 wayleave",
        _ => "1.1 wayleave",
    };
    headers.append(VIA, HeaderValue::from_static(via));
}

/// Fields that are one value or none, of which a service may take the other one (RFC 9110 5.3, RFC 4918 10).
const SINGLE: [&str; 9] =
    ["content-type", "content-range", "range", "if-range", "destination", "overwrite", "depth", "if", "expect"];

/// Why a call's fields cannot be read in one way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Unfit {
    /// One of these was sent twice.
    Doubled,
    /// `Connection` would take away what the service is to see.
    TakenAway,
    /// Something is expected that nobody here knows (RFC 9110 10.1.1).
    Expected,
}

impl Unfit {
    pub(super) fn answer(self) -> Response {
        match self {
            Self::Doubled => {
                let what = "`Content-Type`, `Content-Range`, `Range`, `If-Range`, `Destination`, `Overwrite`, `Depth`, `If` and \
                            `Expect` are sent once at most.";
                plain(StatusCode::BAD_REQUEST, what)
            }
            Self::TakenAway => {
                let what = "`Connection` names fields of one hop alone: leave the others out of it (RFC 9110 7.6.1).";
                plain(StatusCode::BAD_REQUEST, what)
            }
            Self::Expected => plain(StatusCode::EXPECTATION_FAILED, "`Expect` is `100-continue`, or left out."),
        }
    }
}

/// What is wrong with the fields of a call, if anything.
pub(super) fn find_unfit(headers: &HeaderMap, owner_headers: &[String]) -> Option<Unfit> {
    // nothing is doubled where there are as many names as fields
    let has_doubled = headers.len() != headers.keys_len();
    if has_doubled && SINGLE.iter().any(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Some(Unfit::Doubled);
    }
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get(EXPECT).is_some_and(|value| !is_known(value)) {
        return Some(Unfit::Expected);
    }
    let lists = headers.get_all(CONNECTION).iter().map(|value| value.to_str().unwrap_or_default());
    let mut named = lists.flat_map(|list| list.split(',')).map(|name| folded(name.trim()));
    let is_for_the_service = |name: &str| {
        NOT_OF_ONE_HOP.iter().any(|beginning| name.starts_with(beginning))
            || name == "if"
            || !is_of_one_hop(name) && names::read(name) != Says::Ordinary
            || owner_headers.iter().any(|owner| folded(owner) == name)
    };
    named.any(|name| is_for_the_service(&name)).then_some(Unfit::TakenAway)
}

#[cfg(test)]
mod asked_tests;
#[cfg(test)]
mod names_tests;
#[cfg(test)]
mod tests;
