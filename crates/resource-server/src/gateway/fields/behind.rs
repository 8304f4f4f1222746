//! Fields behind a body, of a call and of an answer (RFC 9110 6.5): `grpc-status`, sums and what else is known at the end alone.
//! Most who read a call or an answer have gone on by then, and some put these fields among those before the body: so nothing
//! stands there that says how it is to be read, for whom it is, or who makes it.

use super::{Sender, keep_for_service};
use http::header::{CONTENT_LENGTH, TRAILER};
use http::{HeaderMap, HeaderName, HeaderValue};

/// Fields that say how an answer is to be read, for whom, or where to go: behind a body nobody looks for them (RFC 9110 6.5.1).
const NOT_BEHIND: [&str; 19] = [
    "age",
    "allow",
    "authentication-info",
    "authorization",
    "cache-control",
    "cookie",
    "date",
    "expires",
    "host",
    "location",
    "pragma",
    "refresh",
    "retry-after",
    "set-cookie",
    "status",
    "vary",
    "via",
    "warning",
    "www-authenticate",
];
/// The same, by what they begin with.
const NOT_BEHIND_BEGINNINGS: [&str; 8] =
    ["access-control-", "content-", "cross-origin-", "if-", "proxy-", "sec-", "strict-", "x-forwarded"];

/// Leaves of the fields behind an answer's body what may stand there: `grpc-status` and what else a service says at the end.
pub(in crate::gateway) fn keep_behind(headers: &mut HeaderMap) {
    super::drop_one_hop(headers);
    super::answers::keep_services_own(headers);
    let is_misplaced = |name: &HeaderName| {
        NOT_BEHIND.contains(&name.as_str()) || NOT_BEHIND_BEGINNINGS.iter().any(|begins| name.as_str().starts_with(begins))
    };
    let misplaced: Vec<HeaderName> = headers.keys().filter(|name| is_misplaced(name)).cloned().collect();
    for name in misplaced {
        headers.remove(name);
    }
}

/// What else says how a call is to be read, and by whom.
const NOT_BEHIND_CALLS: [&str; 15] = [
    "depth",
    "destination",
    "expect",
    "forwarded",
    "from",
    "lock-token",
    "max-forwards",
    "origin",
    "overwrite",
    "prefer",
    "range",
    "referer",
    "slug",
    "timeout",
    "user-agent",
];
const ACCEPT: &str = "accept";

/// Leaves of the fields behind a call's body what may stand there: of what could stand before it by anybody's word.
pub(in crate::gateway) fn keep_behind_call(headers: &mut HeaderMap, owner_headers: &[String]) {
    keep_for_service(headers, Sender { is_trusted_proxy: false, owner_headers, pass_headers: &[] });
    keep_behind(headers);
    let is_misplaced = |name: &&HeaderName| name.as_str().starts_with(ACCEPT) || NOT_BEHIND_CALLS.contains(&name.as_str());
    let misplaced: Vec<HeaderName> = headers.keys().filter(is_misplaced).cloned().collect();
    for name in misplaced {
        headers.remove(name);
    }
}

/// The names of those that a call says it has behind its body, for the service to be told of; none: nothing may stand there.
pub(in crate::gateway) fn names_behind(headers: &HeaderMap, owner_headers: &[String]) -> Option<HeaderValue> {
    // RFC 9112 7.1.2: behind pieces alone
    if headers.contains_key(CONTENT_LENGTH) {
        return None;
    }
    let lists = headers.get_all(TRAILER).iter().filter_map(|value| value.to_str().ok());
    let names = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse::<HeaderName>().ok());
    let mut named: HeaderMap = names.map(|name| (name, HeaderValue::from_static(""))).collect();
    keep_behind_call(&mut named, owner_headers);
    let names = named.keys().map(HeaderName::as_str).collect::<Vec<_>>().join(", ");
    HeaderValue::from_str(&names).ok().filter(|names| !names.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(fields: &[(&'static str, &'static str)]) -> HeaderMap {
        fields.iter().map(|(name, value)| (HeaderName::from_static(name), HeaderValue::from_static(value))).collect()
    }

    fn all(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    #[test]
    fn threat_26_behind_a_body_stands_what_nobody_reads_before_it() {
        let mut behind = headers(&[
            ("grpc-status", "0"),
            ("grpc-message", "ok"),
            ("x-checked", "yes"),
            ("etag", "1"),
            ("set-cookie", "a=1"),
            ("location", "/x"),
            ("content-length", "3"),
            ("content-type", "text/html"),
            ("transfer-encoding", "chunked"),
            ("connection", "x-checked"),
            ("x-wayleave-subject", "bob"),
            ("x-accel-redirect", "/etc"),
            ("access-control-allow-origin", "*"),
            ("www-authenticate", "Basic"),
        ]);
        keep_behind(&mut behind);
        assert_eq!(all(&behind), [("grpc-status", "0"), ("grpc-message", "ok"), ("etag", "1")]);
    }

    #[test]
    fn threat_26_behind_a_call_stands_what_makes_no_other_call_of_it() {
        let good = [("grpc-status", "0"), ("x-sum", "1"), ("digest", "x")];
        let bad = [
            ("authorization", "Bearer x"),
            ("cookie", "a=b"),
            ("dpop", "x"),
            ("host", "x"),
            ("te", "trailers"),
            ("content-type", "text/html"),
            ("content-length", "3"),
            ("transfer-encoding", "chunked"),
            ("x-original-url", "/secret"),
            ("x-forwarded-for", "1.2.3.4"),
            ("forwarded", "for=x"),
            ("x-http-method-override", "DELETE"),
            ("x-wayleave-subject", "alice"),
            ("x-remote-user", "alice"),
            ("x-owner", "alice"),
            ("if-match", "*"),
            ("destination", "/x"),
            ("depth", "0"),
            ("range", "bytes=0-1"),
            ("accept", "x/y"),
            ("accept-encoding", "gzip"),
            ("origin", "https://evil.example"),
            ("sec-fetch-site", "same-origin"),
            ("x_sum", "1"),
        ];
        let owners = ["X-Owner".to_owned()];
        let mut behind = headers(&[&good[..], &bad[..]].concat());
        keep_behind_call(&mut behind, &owners);
        assert_eq!(all(&behind), good);
        let names = [&good[..], &bad[..]].concat().iter().map(|(name, _)| *name).collect::<Vec<_>>().join(", ");
        let announced = HeaderMap::from_iter([(TRAILER, HeaderValue::from_str(&names).unwrap())]);
        assert_eq!(names_behind(&announced, &owners), Some(HeaderValue::from_static("grpc-status, x-sum, digest")));
        assert_eq!(names_behind(&headers(&[("trailer", "host, cookie")]), &owners), None);
        assert_eq!(names_behind(&headers(&[("trailer", "x-sum"), ("content-length", "3")]), &owners), None);
    }
}
