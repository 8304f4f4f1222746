//! Whom a request is for, and where it ends, must be said once and readably, whoever listens (threat 47): two readers of
//! one request must not see two. Called by the accept loop, before any party.

use axum::body::Body;
use axum::response::Response;
use http::uri::Authority;
use http::{HeaderValue, Method, Request, StatusCode, Version, header};
use std::net::Ipv6Addr;

/// Why a request is not read any further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refused {
    #[error("send one `Host` header, with the name of this server and its port if it has one")]
    Host,
    #[error("`Host` and the authority of the request name two servers: name one")]
    TwoHosts,
    #[error("send the body as it is, or with `Transfer-Encoding: chunked` alone")]
    TransferEncoding,
    #[error("CONNECT is not for this server: it is no proxy")]
    Connect,
}

impl Refused {
    pub(super) fn answer(self) -> Response {
        let status = match self {
            Self::Host | Self::TwoHosts => StatusCode::BAD_REQUEST,
            // RFC 9112 6.1, RFC 9110 9.1
            Self::TransferEncoding | Self::Connect => StatusCode::NOT_IMPLEMENTED,
        };
        let body = serde_json::json!({"error": "invalid_request", "error_description": self.to_string()}).to_string();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        response
    }
}

/// Leaves the request with one `Host` where it names a host, or says why it is refused.
pub(super) fn check(request: &mut Request<Body>) -> Result<(), Refused> {
    if request.method() == Method::CONNECT {
        return Err(Refused::Connect);
    }
    if is_coded(request) {
        return Err(Refused::TransferEncoding);
    }
    if let Some(host) = host_of(request)? {
        request.headers_mut().insert(header::HOST, host);
    }
    Ok(())
}

/// Whether the body comes in a way that was read for us by nobody. (Beside a `Content-Length`, chunks count, and the
/// connection ends behind them: RFC 9112 6.3.)
fn is_coded(request: &Request<Body>) -> bool {
    let mut codings = request.headers().get_all(header::TRANSFER_ENCODING).iter();
    let is_chunked = |value: &HeaderValue| value.as_bytes().trim_ascii().eq_ignore_ascii_case(b"chunked");
    codings.next().is_some_and(|coding| !is_chunked(coding)) || codings.next().is_some()
}

/// The host that a request is for, where its target names it. HTTP/1.0 may name none.
fn host_of(request: &Request<Body>) -> Result<Option<HeaderValue>, Refused> {
    let mut sent = request.headers().get_all(header::HOST).iter();
    // RFC 9112 3.2: more than one, or one that is no host, is refused
    let (host, None) = (sent.next(), sent.next()) else { return Err(Refused::Host) };
    if host.is_some_and(|host| !is_host(host.as_bytes())) {
        return Err(Refused::Host);
    }
    match (request.uri().authority(), host) {
        (Some(authority), _) if !is_host(authority.as_str().as_bytes()) => Err(Refused::Host),
        // RFC 9113 8.3.1: beside `:authority`, a `Host` says the same
        (Some(authority), Some(host)) if request.version() >= Version::HTTP_2 && !is_same(authority, host) => {
            Err(Refused::TwoHosts)
        }
        // RFC 9112 3.2.2: the target in its absolute form counts, whatever `Host` says; but `Host` has to be there
        (Some(_), None) if request.version() == Version::HTTP_11 => Err(Refused::Host),
        (Some(authority), _) => HeaderValue::from_str(authority.as_str()).map(Some).map_err(|_| Refused::Host),
        // RFC 9112 3.2: none at all
        (None, None) if request.version() != Version::HTTP_10 => Err(Refused::Host),
        (None, _) => Ok(None),
    }
}

fn is_same(authority: &Authority, host: &HeaderValue) -> bool {
    authority.as_str().as_bytes().eq_ignore_ascii_case(host.as_bytes())
}

/// `name`, `192.0.2.1` or `[2001:db8::1]`, with a port or without: of what RFC 3986 3.2.2 allows, that which hosts are
/// called by. A user name is not part of it, nor is a list.
fn is_host(text: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(text) else { return false };
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let is_port = port.is_empty() || (port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok());
    let is_name = !host.is_empty() && host.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'.' | b'_' | b'~'));
    let is_ipv6 = || {
        let inner = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
        inner.is_some_and(|inner| inner.parse::<Ipv6Addr>().is_ok())
    };
    is_port && (is_name || is_ipv6())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(version: Version, target: &str, fields: &[(&str, &str)]) -> Result<Option<String>, Refused> {
        let mut request = Request::builder().version(version).uri(target);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let host = |request: Request<Body>| request.headers().get("host").map(|host| host.to_str().unwrap().to_owned());
        let mut request = request.body(Body::empty()).unwrap();
        check(&mut request).map(|()| host(request))
    }

    #[test]
    fn threat_47_s29_a_request_names_one_host() {
        let (one, two) = (Version::HTTP_11, Version::HTTP_2);
        assert_eq!(checked(one, "/", &[("host", "as.example")]), Ok(Some("as.example".into())));
        assert_eq!(checked(Version::HTTP_10, "/", &[]), Ok(None));
        for version in [Version::HTTP_10, one, two] {
            let doubled = [("host", "as.example"), ("Host", "as.example")];
            assert_eq!(checked(version, "/", &doubled), Err(Refused::Host), "{version:?}");
        }
        assert_eq!(checked(one, "/", &[]), Err(Refused::Host));
        assert_eq!(checked(two, "/", &[]), Err(Refused::Host));
        // absolute targets: the target counts
        let elsewhere = [("host", "other.example")];
        assert_eq!(checked(one, "http://as.example:80/x", &elsewhere), Ok(Some("as.example:80".into())));
        assert_eq!(checked(one, "http://as.example/x", &[]), Err(Refused::Host));
        assert_eq!(checked(one, "http://bob@as.example/x", &elsewhere), Err(Refused::Host));
        // HTTP/2
        assert_eq!(checked(two, "http://as.example/x", &[]), Ok(Some("as.example".into())));
        assert_eq!(checked(two, "http://as.example/x", &[("host", "AS.example")]), Ok(Some("as.example".into())));
        assert_eq!(checked(two, "http://as.example/x", &elsewhere), Err(Refused::TwoHosts));
        assert_eq!(checked(two, "/x", &[("host", "as.example")]), Ok(Some("as.example".into())));
    }

    #[test]
    fn threat_47_s29_a_host_is_a_name_or_an_address() {
        for good in
            ["a", "as.example", "as.example:8080", "as.example:", "127.0.0.1:1", "[::1]", "[2001:db8::1]:443", "my_app~1.x"]
        {
            assert!(is_host(good.as_bytes()), "{good}");
        }
        for bad in [
            "",
            ":80",
            "as.example:80:80",
            "as.example:x",
            "as.example:99999",
            "as.example:+80",
            "bob@as.example",
            "as.example/",
            "as.example?x",
            "as.example#x",
            "http://as.example",
            "a b",
            "a, b",
            "a,b",
            "a\tb",
            "a\\b",
            "[::1",
            "::1",
            "[::1]x",
            "[fe80::1%25eth0]",
            "%61s.example",
            "münchen.example",
            "<script>",
        ] {
            assert!(!is_host(bad.as_bytes()), "{bad}");
        }
    }

    #[test]
    fn threat_47_s29_a_body_ends_where_everybody_sees_it() {
        let coded = |codings: &[&str]| {
            let fields: Vec<_> = codings.iter().map(|coding| ("transfer-encoding", *coding)).collect();
            checked(Version::HTTP_11, "/", &[&[("host", "a")][..], &fields].concat())
        };
        assert!(coded(&[]).is_ok() && coded(&["chunked"]).is_ok() && coded(&["Chunked "]).is_ok());
        for bad in
            [&["gzip, chunked"][..], &["chunked, chunked"], &["chunked", "chunked"], &["identity", "chunked"], &["xchunked"]]
        {
            assert_eq!(coded(bad), Err(Refused::TransferEncoding), "{bad:?}");
        }
        let mut connect = Request::connect("as.example:443").header("host", "as.example").body(Body::empty()).unwrap();
        assert_eq!(check(&mut connect).unwrap_err(), Refused::Connect);
    }
}
