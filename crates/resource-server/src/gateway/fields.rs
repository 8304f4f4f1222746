//! Which header fields go on to the service behind, and which come back (threats 26, 27 and 47). A field can make a call
//! another one than was judged, or say who calls and from where; a stranger's say in that counts for nothing. Names are
//! judged by what they begin with, so that tomorrow's cousin of a known one is out as well.
//!
//! CGI, WSGI and PHP make `_` of everything in a name that is no letter and no digit: there `X_Real.IP` is `X-Real-IP`.
//! So what is spelled with anything but letters, digits and `-` goes nowhere, whoever sent it.

use http::header::{CONNECTION, VIA};
use http::{HeaderMap, HeaderName, HeaderValue, Version};

/// Fields of one hop (RFC 9110 7.6.1), and `Proxy`, which CGI makes a setting of the environment.
const ONE_HOP: [&str; 8] =
    ["connection", "keep-alive", "proxy", "transfer-encoding", "te", "trailer", "upgrade", "http2-settings"];
const ONE_HOP_PREFIX: &str = "proxy-";

/// Read here, or written anew for the service.
const OURS: [&str; 6] = ["authorization", "dpop", "host", "content-length", "destination", "if"];

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

/// Who calls, from where and how, as proxies write it: they pass from trusted proxies alone.
const FORWARDING: [&str; 40] = [
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
];

/// The same, where the name is the whole of it.
const FORWARDING_NAMES: [&str; 3] = ["x-user", "front-end-https", "x-true-ip"];

/// Whose word about forwarding counts.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub(super) is_trusted_proxy: bool,
    /// Names of headers in which trusted proxies say whose a resource is.
    pub(super) owner_headers: &'a [String],
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
}

/// Leaves of an answer's fields what may come back.
pub(super) fn keep_for_client(headers: &mut HeaderMap) {
    drop_one_hop(headers);
}

fn goes_on(name: &str, sender: Sender<'_>) -> bool {
    let begins_with_one_of = |prefixes: &[&str]| prefixes.iter().any(|prefix| name.starts_with(prefix));
    if name != folded(name) || OURS.contains(&name) {
        return false;
    }
    if sender.owner_headers.iter().any(|owner| folded(owner) == name) {
        return sender.is_trusted_proxy;
    }
    let is_forwarding = begins_with_one_of(&FORWARDING) || FORWARDING_NAMES.contains(&name);
    // `x-envoy-original-path` is both, and never passes
    !begins_with_one_of(&OVERRIDES) && (sender.is_trusted_proxy || !is_forwarding)
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
const SINGLE: [&str; 6] = ["content-type", "range", "destination", "overwrite", "depth", "if"];

/// Whether one of these was sent twice.
pub(super) fn are_doubled(headers: &HeaderMap) -> bool {
    SINGLE.iter().any(|name| headers.get_all(*name).iter().nth(1).is_some())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(names: &[&str], is_trusted_proxy: bool) -> Vec<String> {
        let mut headers = HeaderMap::new();
        for name in names {
            headers.append(HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_static("x"));
        }
        let owner_headers = ["X-Owner".to_owned()];
        keep_for_service(&mut headers, Sender { is_trusted_proxy, owner_headers: &owner_headers });
        headers.keys().map(|name| name.as_str().to_owned()).collect()
    }

    #[test]
    fn threat_47_s20_what_is_folded_behind_the_gateway_goes_nowhere() {
        for name in [
            "X_HTTP_Method_Override",
            "X_Original_URL",
            "X_Wayleave_Owner",
            "X_Owner",
            "x-owner_",
            "Content_Length",
            "Transfer_Encoding",
            "Remote_User",
            "X.Real.IP",
            "X-Forwarded.For",
            "X!Owner",
            "X~Owner",
            "X+Forwarded+For",
            "x|y",
        ] {
            for is_trusted_proxy in [false, true] {
                assert_eq!(kept(&[name], is_trusted_proxy), [""; 0], "{name}");
            }
        }
        assert_eq!(folded("X_Real.IP"), "x-real-ip");
    }

    #[test]
    fn threat_47_s20_nobody_makes_a_call_another_one() {
        for name in [
            "X-HTTP-Method-Override",
            "X-HTTP-Method",
            "X-Method-Override",
            "X-Original-URL",
            "X-Original-URI",
            "X-Original-Host",
            "X-Rewrite-URL",
            "X-Envoy-Original-Path",
            "X-Host",
            "X-Script-Name",
            "Script-Name",
            "Path-Info",
            "X-Sendfile-Type",
            "X-Accel-Mapping",
            "X-Wayleave-Subject",
            "Content-Location",
            "Authorization",
            "DPoP",
            "Proxy",
            "Proxy-Authorization",
            "Upgrade",
            "HTTP2-Settings",
            "TE",
            "Content-Length",
        ] {
            for is_trusted_proxy in [false, true] {
                assert_eq!(kept(&[name], is_trusted_proxy), [""; 0], "{name}");
            }
        }
    }

    #[test]
    fn threat_47_s40_who_calls_is_believed_of_trusted_proxies_alone() {
        for name in [
            "Forwarded",
            "X-Forwarded-For",
            "X-Forwarded-Host",
            "X-Forwarded-Proto",
            "X-Forwarded-Prefix",
            "X-Forwarded-Port",
            "X-Forwarded-Server",
            "X-Forwarded-Ssl",
            "X-Forwarded-Scheme",
            "X-Forwarded-User",
            "X-Forwarded-Tomorrow",
            "X-Real-IP",
            "X-Client-IP",
            "Client-IP",
            "True-Client-IP",
            "CF-Connecting-IP",
            "Remote-User",
            "X-Remote-User",
            "X-Auth-Request-Email",
            "X-Webauth-User",
            "X-SSL-Client-Cert",
            "Client-Cert",
            "X-Owner",
        ] {
            assert_eq!(kept(&[name], false), [""; 0], "{name}");
            assert_eq!(kept(&[name], true), [name.to_ascii_lowercase()]);
        }
    }

    #[test]
    fn what_is_the_clients_own_goes_on() {
        let own = ["accept", "cookie", "content-type", "if-match", "range", "user-agent", "x-request-id", "x-user-agent", "via"];
        for name in own {
            assert_eq!(kept(&[name], false), [name]);
        }
        let mut headers = HeaderMap::new();
        headers.insert(CONNECTION, HeaderValue::from_static("close, X-One-Hop, upgrade"));
        headers.insert("x-one-hop", HeaderValue::from_static("x"));
        headers.insert("proxy-authenticate", HeaderValue::from_static("x"));
        headers.insert("etag", HeaderValue::from_static("x"));
        keep_for_client(&mut headers);
        assert_eq!(headers.keys().map(HeaderName::as_str).collect::<Vec<_>>(), ["etag"]);
    }

    #[test]
    fn threat_47_s39_via_names_the_version_and_us() {
        let mut headers = HeaderMap::new();
        headers.insert(VIA, HeaderValue::from_static("1.0 fred"));
        add_via(&mut headers, Version::HTTP_2);
        let all: Vec<_> = headers.get_all(VIA).iter().collect();
        assert_eq!(all, ["1.0 fred", "2.0 wayleave"]);
    }

    #[test]
    fn threat_47_what_is_said_twice_is_said_to_be() {
        let mut headers = HeaderMap::new();
        headers.append("depth", HeaderValue::from_static("0"));
        headers.append("accept", HeaderValue::from_static("a/b"));
        headers.append("accept", HeaderValue::from_static("c/d"));
        assert!(!are_doubled(&headers));
        headers.append("depth", HeaderValue::from_static("infinity"));
        assert!(are_doubled(&headers));
    }
}
