//! What of a service's answer comes back (threats 26 and 27). The gateway's own cookies are between it and the browser; a
//! proxy in front of it takes no orders from the service; where a client goes for a token, the gateway says alone; and what
//! was let through for one caller is stored for no other.

use http::header::{CACHE_CONTROL, COOKIE, EXPIRES, SET_COOKIE, VARY, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderName, HeaderValue};

const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

/// Beginnings of the names of the gateway's own cookies (design/browser.md), after what browsers treat apart.
const OWN_COOKIES: [&str; 3] = ["wl_", "__host-wl_", "__secure-wl_"];

/// Orders to a proxy in front: send another file, ask another place, store it for so long.
const TO_PROXIES: [&str; 8] =
    ["x-accel-", "x-sendfile", "x-send-file", "x-lighttpd-", "x-litespeed-", "x-reproxy-", "x-wayleave", "surrogate-"];
/// The same, by how they end (RFC 9213).
const CACHES_OF_PROXIES: &str = "cdn-cache-control";

/// What holds for the whole origin, also for the gateway's own pages: its operator says that, and no service.
const OF_THE_ORIGIN: [&str; 6] =
    ["alt-svc", "clear-site-data", "nel", "report-to", "service-worker-allowed", "strict-transport-security"];

/// Words by which a challenge sends a client to an authorization server or asks for the proof of a key: both are the
/// gateway's to say.
const OWN_CHALLENGES: [&str; 4] = ["uma", "dpop", "as_uri", "resource_metadata"];

/// Takes out what is the gateway's own to say.
pub(super) fn keep_services_own(headers: &mut HeaderMap) {
    retain(headers, &SET_COOKIE, |line| !is_own_cookie(line));
    retain(headers, &WWW_AUTHENTICATE, |value| !is_own_challenge(value));
    let is_order = |name: &HeaderName| {
        let name = name.as_str();
        TO_PROXIES.iter().any(|order| name.starts_with(order))
            || name.ends_with(CACHES_OF_PROXIES)
            || name == "dpop-nonce"
            || OF_THE_ORIGIN.contains(&name)
    };
    let orders: Vec<HeaderName> = headers.keys().filter(|name| is_order(name)).cloned().collect();
    for name in orders {
        headers.remove(name);
    }
}

/// Leaves of a request's cookies those that are not the gateway's, in one line (RFC 9113 8.2.3).
pub(super) fn keep_others_cookies(headers: &mut HeaderMap) {
    if !headers.contains_key(COOKIE) {
        return;
    }
    let lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    let all = lines.flat_map(|line| line.split(|byte| *byte == b';')).map(<[u8]>::trim_ascii);
    let kept: Vec<&[u8]> = all.filter(|cookie| !cookie.is_empty() && !is_own_cookie(cookie)).collect();
    let line = HeaderValue::from_bytes(&kept.join(&b"; "[..]));
    headers.remove(COOKIE);
    headers.extend(line.ok().filter(|line| !line.is_empty()).map(|line| (COOKIE, line)));
}

/// Makes what one caller was let in for hers alone (RFC 9111 3.5, RFC 6750 5.3): no other is served it from a store, and she
/// herself not without asking again. What the service says that is stricter stays.
pub(in crate::gateway) fn keep_private(headers: &mut HeaderMap) {
    let said = headers.get_all(CACHE_CONTROL).iter().filter_map(|value| value.to_str().ok()).collect::<Vec<_>>().join(",");
    let has = |wanted: &str| said.split(',').any(|directive| directive.trim().eq_ignore_ascii_case(wanted));
    let value = match (has("no-store"), has("no-transform")) {
        (false, false) => "private, no-cache",
        (false, true) => "private, no-cache, no-transform",
        (true, false) => "private, no-store",
        (true, true) => "private, no-store, no-transform",
    };
    headers.insert(CACHE_CONTROL, HeaderValue::from_static(value));
    headers.remove(EXPIRES);
    let varies = headers.get_all(VARY).iter().filter_map(|value| value.to_str().ok()).flat_map(|list| list.split(','));
    if !varies.map(str::trim).any(|name| name == "*" || name.eq_ignore_ascii_case("authorization")) {
        headers.append(VARY, HeaderValue::from_static("Authorization"));
    }
}

/// Makes what a browser's session opened readable to pages of this origin alone. Other origins are let in by the operator
/// (`[gateway.cors]`), and never with a session; a service says who else may show its pictures.
pub(in crate::gateway) fn keep_to_own_pages(headers: &mut HeaderMap) {
    let is_for_others = |name: &&HeaderName| name.as_str().starts_with("access-control-");
    let for_others: Vec<HeaderName> = headers.keys().filter(is_for_others).cloned().collect();
    for name in for_others {
        headers.remove(name);
    }
    headers.entry(RESOURCE_POLICY).or_insert(HeaderValue::from_static("same-origin"));
}

fn retain(headers: &mut HeaderMap, name: &HeaderName, may_stay: impl Fn(&[u8]) -> bool) {
    if !headers.contains_key(name) {
        return;
    }
    let all: Vec<HeaderValue> = headers.get_all(name).iter().cloned().collect();
    headers.remove(name);
    for value in all.into_iter().filter(|value| may_stay(value.as_bytes())) {
        headers.append(name.clone(), value);
    }
}

/// Whether a cookie is called like one of the gateway's. One without a name is sent as its value alone, which may look like
/// a name and a value.
fn is_own_cookie(cookie: &[u8]) -> bool {
    let begins = cookie.iter().position(|byte| !matches!(byte, b' ' | b'\t' | b'='));
    let name = begins.and_then(|begins| cookie.get(begins..)).unwrap_or_default().to_ascii_lowercase();
    OWN_COOKIES.iter().any(|own| name.starts_with(own.as_bytes()))
}

/// Whether a challenge, or one of several in a line, is the gateway's to make. Words in quotes are the service's own; where
/// they do not end, nobody can tell.
fn is_own_challenge(value: &[u8]) -> bool {
    let (mut bare, mut is_quoted, mut is_escaped) = (Vec::with_capacity(value.len()), false, false);
    for byte in value {
        match (is_quoted, byte) {
            (true, _) if is_escaped => is_escaped = false,
            (true, b'\\') => is_escaped = true,
            (_, b'"') => {
                is_quoted = !is_quoted;
                bare.push(b' ');
            }
            (true, _) => {}
            (false, byte) => bare.push(*byte),
        }
    }
    let is_part = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-');
    let mut words = bare.split(|byte| !is_part(byte));
    is_quoted || words.any(|word| OWN_CHALLENGES.iter().any(|own| word.eq_ignore_ascii_case(own.as_bytes())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(lines: &[(&'static str, &str)]) -> HeaderMap {
        let lines = lines.iter().map(|(name, value)| (HeaderName::from_static(name), value.parse().unwrap()));
        lines.collect()
    }

    fn all(headers: &HeaderMap) -> Vec<(&str, &str)> {
        headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect()
    }

    /// Rule 8: credentials for the gateway stay there, and the service makes none.
    #[test]
    fn threat_27_s10_the_gateways_cookies_are_no_services() {
        let mut sent = headers(&[
            ("cookie", "a=1; __Host-wl_session_2f=secret;wl_form=x"),
            ("cookie", "WL_Link=y; =wl_session=z; b=wl_; __secure-wl_x=1"),
            ("cookie", "theme=dark"),
        ]);
        keep_others_cookies(&mut sent);
        assert_eq!(all(&sent), [("cookie", "a=1; b=wl_; theme=dark")]);
        let mut none = headers(&[("cookie", "__Host-wl_session=secret")]);
        keep_others_cookies(&mut none);
        assert!(none.is_empty());
        let mut set = headers(&[
            ("set-cookie", "wl_link=evil; Path=/"),
            ("set-cookie", "__Host-wl_session_2f=evil; Path=/"),
            ("set-cookie", " = wl_form=evil"),
            ("set-cookie", "mine=1; Path=/"),
        ]);
        keep_services_own(&mut set);
        assert_eq!(all(&set), [("set-cookie", "mine=1; Path=/")]);
    }

    #[test]
    fn threat_42_what_a_session_opened_is_read_by_own_pages_alone() {
        let mut answer = headers(&[
            ("access-control-allow-origin", "https://evil.photos.example"),
            ("access-control-allow-credentials", "true"),
            ("access-control-expose-headers", "*"),
            ("etag", "1"),
        ]);
        keep_to_own_pages(&mut answer);
        assert_eq!(all(&answer), [("etag", "1"), ("cross-origin-resource-policy", "same-origin")]);
        let mut said = headers(&[("cross-origin-resource-policy", "cross-origin")]);
        keep_to_own_pages(&mut said);
        assert_eq!(all(&said), [("cross-origin-resource-policy", "cross-origin")]);
    }

    #[test]
    fn threat_26_a_service_gives_no_orders_and_sends_nobody_for_tokens() {
        let mut answer = headers(&[
            ("x-accel-redirect", "/etc"),
            ("x-sendfile", "/etc/passwd"),
            ("x-lighttpd-send-file", "/etc/passwd"),
            ("x-reproxy-url", "http://evil.example"),
            ("surrogate-control", "max-age=9"),
            ("cdn-cache-control", "public"),
            ("dpop-nonce", "n"),
            ("www-authenticate", "UMA as_uri=\"https://evil.example\", ticket=\"t\""),
            ("www-authenticate", "Basic realm=\"x\",uma as_uri=y"),
            ("www-authenticate", "Bearer resource_metadata=\"https://evil.example\""),
            ("www-authenticate", "Basic realm=\"open, UMA as_uri=x"),
            ("www-authenticate", "Basic realm=\"a\\\"b\", DPoP algs=x"),
            ("www-authenticate", "Basic realm=\"the UMA archive\""),
            ("clear-site-data", "\"*\""),
            ("strict-transport-security", "max-age=1"),
            ("alt-svc", "h2=\":8000\""),
            ("service-worker-allowed", "/"),
            ("nel", "{}"),
        ]);
        keep_services_own(&mut answer);
        assert_eq!(all(&answer), [("www-authenticate", "Basic realm=\"the UMA archive\"")]);
    }

    #[test]
    fn threat_26_what_a_permission_opened_is_kept_for_nobody_else() {
        for (said, told) in [
            ("", "private, no-cache"),
            ("public, s-maxage=3600, must-revalidate", "private, no-cache"),
            ("max-age=60, No-Transform", "private, no-cache, no-transform"),
            ("no-store", "private, no-store"),
        ] {
            let mut answer = headers(&[("cache-control", said), ("expires", "Thu, 01 Dec 2033 16:00:00 GMT")]);
            keep_private(&mut answer);
            assert_eq!(all(&answer), [("cache-control", told), ("vary", "Authorization")]);
        }
        for vary in ["*", "Accept, authorization"] {
            let mut answer = headers(&[("vary", vary)]);
            keep_private(&mut answer);
            assert_eq!(answer.get_all("vary").iter().collect::<Vec<_>>(), [vary]);
        }
    }
}
