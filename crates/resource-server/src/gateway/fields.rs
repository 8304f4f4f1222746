//! Which header fields go on to the service behind, and which come back (threats 26, 27 and 47). A field can make a call
//! another one than was judged, or say who calls and from where; a stranger's say in that counts for nothing. Of whoever is
//! no trusted proxy, no field passes whose name has a word for somebody, or for what somebody is and may.
//!
//! CGI, WSGI and PHP make `_` of everything in a name that is no letter and no digit: there `X_Real.IP` is `X-Real-IP`.
//! So what is spelled with anything but letters, digits and `-` goes nowhere, whoever sent it.

mod answers;

pub(super) use answers::keep_private;

use crate::challenge::plain;
use axum::response::Response;
use http::header::{CONNECTION, EXPECT, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, Version};

/// Fields of one hop (RFC 9110 7.6.1), and `Proxy`, which CGI makes a setting of the environment.
const ONE_HOP: [&str; 8] =
    ["connection", "keep-alive", "proxy", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings"];
const ONE_HOP_PREFIX: &str = "proxy-";

/// Read here, or written anew for the service. What `Expect` asks for was given before the call went on.
const OURS: [&str; 7] = ["authorization", "dpop", "host", "content-length", "destination", "if", "expect"];

/// By these a call could be read as another one than was judged: they pass from nobody.
const OVERRIDES: [&str; 15] = [
    "x-http-",
    "x-method",
    "x-original-",
    "x-rewrite-",
    "x-override-",
    "x-envoy-original-",
    "x-host",
    "x-url",
    "x-script-",
    "script-name",
    "path-info",
    "x-accel-",
    "x-sendfile",
    "x-wayleave-",
    "content-location",
];

/// The same, wherever in a name it stands. A source to copy from is another place, as `Destination` is.
const OVERRIDES_WITHIN: [&str; 20] = [
    "method-override",
    "http-method",
    "http-path",
    "request-method",
    "request-ur",
    "original-method",
    "original-path",
    "original-ur",
    "rewrite-",
    "replaced-path",
    "unencoded-url",
    "path-info",
    "path-translated",
    "script-name",
    "query-string",
    "copy-source",
    "copy-from",
    "rename-source",
    "symlink-target",
    "object-manifest",
];

/// Who calls, from where and how, as proxies write it: they pass from trusted proxies alone.
const FORWARDING: [&str; 54] = [
    "forwarded",
    "x-forwarded",
    "x-forwarder",
    "x-forward-",
    "x-real-",
    "x-client-ip",
    "x-client-cert",
    "x-client-verify",
    "x-client-dn",
    "x-cluster-",
    "x-originating-",
    "x-remote-",
    "x-proxy",
    "x-scheme",
    "x-ssl",
    "x-tls-",
    "x-auth-request-",
    "x-auth-user",
    "x-authenticated-",
    "x-authentik-",
    "x-webauth-",
    "x-sso-",
    "x-user-id",
    "x-user-name",
    "x-user-email",
    "x-username",
    "x-envoy-",
    "x-arr-",
    "x-azure-",
    "x-appengine-",
    "x-ms-client-principal",
    "x-goog-authenticated-",
    "x-amzn-oidc-",
    "remote-",
    "client-ip",
    "client-cert",
    "true-client-",
    "cf-",
    "fastly-",
    "ssl-",
    "tailscale-",
    "x-vouch-",
    "x-authelia-",
    "x-oidc-",
    "oidc-",
    "x-saml-",
    "saml-",
    "shib-",
    "mellon-",
    "x-jwt-",
    "x-consumer-",
    "x-credential-",
    "impersonate-",
    "akamai-",
];

/// The same, wherever in a name it stands.
const FORWARDING_WITHIN: [&str; 17] = [
    "access-token",
    "id-token",
    "calling-line",
    "subrequest",
    "client-cert",
    "client-ip",
    "connecting-ip",
    "real-ip",
    "source-ip",
    "remote-ip",
    "peer-ip",
    "user-ip",
    "client-addr",
    "remote-addr",
    "forwarded-",
    "jwt-assertion",
    "url-scheme",
];

/// Words that name somebody, or what somebody is and may, in a name of more of them: each product has a field of its own by which
/// it tells services who calls. A browser's is somebody's `user-agent`.
const SOMEBODY: [&str; 30] = [
    "user",
    "username",
    "userid",
    "userinfo",
    "login",
    "person",
    "account",
    "eppn",
    "nameid",
    "principal",
    "subject",
    "email",
    "mail",
    "group",
    "groups",
    "role",
    "roles",
    "tenant",
    "consumer",
    "identity",
    "identifier",
    "impersonate",
    "claim",
    "claims",
    "oidc",
    "saml",
    "shib",
    "clientcert",
    "entitlement",
    "entitlements",
];
const NOT_SOMEBODY: &str = "user-agent";

/// The same, where the name is the whole of it.
const FORWARDING_NAMES: [&str; 5] = ["from", "front-end-https", "x-true-ip", "https", "x-https"];

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

/// Leaves of an answer's fields what may come back.
pub(super) fn keep_for_client(headers: &mut HeaderMap) {
    drop_one_hop(headers);
    answers::keep_services_own(headers);
}

fn goes_on(name: &str, sender: Sender<'_>) -> bool {
    if name != folded(name) || OURS.contains(&name) {
        return false;
    }
    if sender.owner_headers.iter().any(|owner| folded(owner) == name) {
        return sender.is_trusted_proxy;
    }
    let is_named = |name: &str| sender.pass_headers.iter().any(|passing| folded(passing) == name);
    // `x-envoy-original-path` is both, and never passes
    !is_override(name) && (sender.is_trusted_proxy || is_named(name) || !is_forwarding(name))
}

fn begins_with_one_of(name: &str, prefixes: &[&str]) -> bool {
    prefixes.iter().any(|prefix| name.starts_with(prefix))
}

fn is_override(name: &str) -> bool {
    // a browser asks by these whether it may send a method: nobody reads them as one
    let is_preflight = name.starts_with("access-control-request-");
    begins_with_one_of(name, &OVERRIDES) || !is_preflight && OVERRIDES_WITHIN.iter().any(|part| name.contains(part))
}

fn is_forwarding(name: &str) -> bool {
    let names_somebody = !name.contains(NOT_SOMEBODY) && name.split('-').any(|word| SOMEBODY.contains(&word));
    begins_with_one_of(name, &FORWARDING)
        || FORWARDING_NAMES.contains(&name)
        || FORWARDING_WITHIN.iter().any(|part| name.contains(part))
        || names_somebody
}

/// Takes away what is for one hop alone, `Connection`'s own list included.
fn drop_one_hop(headers: &mut HeaderMap) {
    let lists = headers.get_all(CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let named: Vec<HeaderName> = lists.flat_map(|list| list.split(',')).filter_map(|name| name.trim().parse().ok()).collect();
    let of_one_hop = |name: &&HeaderName| ONE_HOP.contains(&name.as_str()) || name.as_str().starts_with(ONE_HOP_PREFIX);
    let fixed: Vec<HeaderName> = headers.keys().filter(of_one_hop).cloned().collect();
    for name in named.into_iter().chain(fixed) {
        headers.remove(name);
    }
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
    if SINGLE.iter().any(|name| headers.get_all(*name).iter().nth(1).is_some()) {
        return Some(Unfit::Doubled);
    }
    let is_known = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"100-continue");
    if headers.get(EXPECT).is_some_and(|value| !is_known(value)) {
        return Some(Unfit::Expected);
    }
    let lists = headers.get_all(CONNECTION).iter().map(|value| value.to_str().unwrap_or_default());
    let mut named = lists.flat_map(|list| list.split(',')).map(|name| folded(name.trim()));
    let is_for_the_service = |name: &str| {
        begins_with_one_of(name, &NOT_OF_ONE_HOP)
            || name == "if"
            || is_override(name)
            || is_forwarding(name)
            || owner_headers.iter().any(|owner| folded(owner) == name)
    };
    named.any(|name| is_for_the_service(&name)).then_some(Unfit::TakenAway)
}

#[cfg(test)]
mod tests;
