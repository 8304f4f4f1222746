//! The call about which a proxy asks, as its fields name it: method and address in fields of their own, everything else as the
//! caller sent it. One family of fields counts, the one that the operator chose; of the other nobody knows who wrote it.

use super::super::OriginalIn;
use super::super::elsewhere::is_host_of;
use super::super::path::CanonicalPath;
use super::super::tunnel;
use http::request::Parts;
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, Method, Uri, Version, header};
use std::borrow::Cow;
use url::Url;

/// By these a call asks for a web socket; many proxies hand on the latter alone, since `Upgrade` is of one hop.
const WEB_SOCKET: [HeaderName; 4] =
    [header::UPGRADE, header::SEC_WEBSOCKET_KEY, header::SEC_WEBSOCKET_VERSION, header::SEC_WEBSOCKET_ACCEPT];

/// Of the way from the proxy to here, and of the body that did not come along.
const OF_THE_ASK: [HeaderName; 4] = [header::CONNECTION, header::UPGRADE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING];

/// Why an ask names no call: proxy and gateway are set up in two ways.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(in super::super) enum Unreadable {
    #[error("`{0}` is missing")]
    Missing(&'static str),
    #[error("`{0}` was sent twice")]
    Doubled(&'static str),
    #[error("`{0}` cannot be read")]
    Garbled(&'static str),
    #[error("`{0}` is there, of the family that does not count")]
    OtherFamily(&'static str),
    #[error("it names another scheme or host than `gateway.resource`")]
    Elsewhere,
}

/// A call that is made at the proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Original {
    method: Method,
    /// Path and query as they were sent.
    pub(super) sent: String,
    /// The same within `resource`; none: it lies beside it, or not everybody reads it in one way.
    target: Option<Uri>,
}

impl Original {
    /// Reads the fields of an ask.
    pub(in super::super) fn read(headers: &HeaderMap, family: OriginalIn, resource: Option<&Url>) -> Result<Self, Unreadable> {
        let own = resource.ok_or(Unreadable::Elsewhere)?;
        let name = match family {
            OriginalIn::Forwarded => "x-forwarded-method",
            OriginalIn::Original => "x-original-method",
        };
        // no proxy writes these beside the ones that count: one that does names the call by them, and lets callers write the others
        let others =
            ["x-original-method", "x-original-url", "x-original-uri"].into_iter().filter(|_| family == OriginalIn::Forwarded);
        if let Some(other) = others.into_iter().find(|other| headers.contains_key(*other)) {
            return Err(Unreadable::OtherFamily(other));
        }
        let method = Method::from_bytes(one(headers, name)?.as_bytes()).map_err(|_| Unreadable::Garbled(name))?;
        let url;
        let (scheme, host, sent) = match family {
            OriginalIn::Forwarded => {
                let (scheme, host) = (one(headers, "x-forwarded-proto")?, one(headers, "x-forwarded-host")?);
                (of_http(scheme), host, one(headers, "x-forwarded-uri")?)
            }
            OriginalIn::Original => {
                url = one(headers, "x-original-url")?;
                split(&url)?
            }
        };
        if !scheme.eq_ignore_ascii_case(own.scheme()) || !is_host_of(&host, own) || !sent.starts_with('/') {
            return Err(Unreadable::Elsewhere);
        }
        let target = target_in(&sent, own.path());
        Ok(Self { method, sent: sent.into_owned(), target })
    }

    /// The call as if it had come here, and its path; none: it cannot be judged.
    pub(in super::super) fn into_call(self, mut ask: Parts) -> Option<(Parts, CanonicalPath)> {
        let target = self.target?;
        let path = CanonicalPath::parse(target.path()).ok()?;
        let is_web_socket = asks_web_socket(&ask.headers);
        for name in OF_THE_ASK {
            ask.headers.remove(name);
        }
        if is_web_socket {
            tunnel::ask(&mut ask.headers);
        }
        // which version the proxy speaks to this gateway says nothing of the call
        (ask.method, ask.uri, ask.version) = (self.method, target, Version::HTTP_11);
        Some((ask, path))
    }
}

/// Whether a call may become something else than a call: what asks for it in any way does.
pub(super) fn asks_web_socket(headers: &HeaderMap) -> bool {
    WEB_SOCKET.iter().any(|name| headers.contains_key(name))
}

/// Whether the proxy may let it become another protocol than web sockets, of which nobody here knows anything.
pub(super) fn asks_other_protocol(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::UPGRADE).iter();
    match (named.next(), named.next()) {
        (None, _) => headers.contains_key("http2-settings"),
        (Some(one), None) => !one.as_bytes().trim_ascii().eq_ignore_ascii_case(b"websocket"),
        _ => true,
    }
}

/// The value of a field that stands there once.
fn one<'h>(headers: &'h HeaderMap, name: &'static str) -> Result<Cow<'h, str>, Unreadable> {
    let mut all = headers.get_all(name).iter();
    match (all.next(), all.next()) {
        (Some(value), None) => Ok(String::from_utf8_lossy(value.as_bytes())),
        (None, _) => Err(Unreadable::Missing(name)),
        _ => Err(Unreadable::Doubled(name)),
    }
}

/// Some proxies say of a call for a web socket that it is one.
fn of_http(scheme: Cow<'_, str>) -> Cow<'_, str> {
    match &*scheme {
        "ws" => "http".into(),
        "wss" => "https".into(),
        _ => scheme,
    }
}

/// Scheme, host, and path with query.
type Pieces<'u> = (Cow<'u, str>, Cow<'u, str>, Cow<'u, str>);

/// The same of a URL.
fn split(url: &str) -> Result<Pieces<'_>, Unreadable> {
    let (scheme, rest) = url.split_once("://").ok_or(Unreadable::Garbled("x-original-url"))?;
    let (host, sent) = rest.find('/').map_or((rest, "/"), |at| rest.split_at(at));
    Ok((scheme.into(), host.into(), sent.into()))
}

/// The part of it that is this gateway's. A service reads a fragment, or what is no ASCII, as it likes.
fn target_in(sent: &str, own_path: &str) -> Option<Uri> {
    let below = sent.strip_prefix(own_path.trim_end_matches('/'))?;
    let is_plain = below.starts_with('/') && below.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'#');
    let target = PathAndQuery::try_from(below).ok().filter(|_| is_plain)?;
    Some(Uri::from(target))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(resource: &str, url: &str) -> Result<Option<String>, Unreadable> {
        let mut headers = HeaderMap::new();
        headers.insert("x-original-method", http::HeaderValue::from_static("GET"));
        headers.insert("x-original-url", http::HeaderValue::from_bytes(url.as_bytes()).unwrap());
        Original::read(&headers, OriginalIn::Original, Url::parse(resource).ok().as_ref())
            .map(|original| original.target.map(|target| target.to_string()))
    }

    /// A proxy that names calls by `X-Original-*`, and a gateway that reads the others, which the caller writes then.
    #[test]
    fn threat_26_a_call_is_named_by_one_family() {
        let own = &Url::parse("https://photos.example").unwrap();
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-original-method", "GET"),
            ("x-original-url", "https://photos.example/a"),
            ("x-original-uri", "/a"),
            ("x-forwarded-method", "GET"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "photos.example"),
            ("x-forwarded-uri", "/a"),
        ] {
            headers.insert(name, http::HeaderValue::from_static(value));
        }
        assert!(Original::read(&headers, OriginalIn::Original, Some(own)).is_ok(), "proxies add to these what they like");
        for other in ["x-original-method", "x-original-url", "x-original-uri"] {
            assert_eq!(Original::read(&headers, OriginalIn::Forwarded, Some(own)), Err(Unreadable::OtherFamily(other)));
            headers.remove(other);
        }
        assert!(Original::read(&headers, OriginalIn::Forwarded, Some(own)).is_ok());
    }

    #[test]
    fn threat_26_a_call_lies_within_the_gateways_own_address() {
        let (own, below) = ("https://photos.example", "http://127.0.0.1:9000/app");
        for (resource, url, expected) in [
            (own, "https://photos.example/a?b=%2F", Ok(Some("/a?b=%2F"))),
            (own, "HTTPS://Photos.example:443/a", Ok(Some("/a"))),
            (own, "https://photos.example", Ok(Some("/"))),
            (own, "https://photos.example//evil.example", Ok(Some("//evil.example"))),
            (own, "https://photos.example/a#b", Ok(None)),
            (own, "https://photos.example/a?b#c", Ok(None)),
            (own, "https://photos.example/\u{e4}", Ok(None)),
            (own, "https://photos.example/a b", Ok(None)),
            (own, "https://photos.example?a", Err(Unreadable::Elsewhere)),
            (own, "https://photos.example.", Err(Unreadable::Elsewhere)),
            (own, "https://photos.example:80/a", Err(Unreadable::Elsewhere)),
            (own, "wss://photos.example/a", Err(Unreadable::Elsewhere)),
            (own, "/a", Err(Unreadable::Garbled("x-original-url"))),
            (own, "/a?b=https://photos.example/", Err(Unreadable::Elsewhere)),
            (below, "http://127.0.0.1:9000/app/a", Ok(Some("/a"))),
            (below, "http://127.0.0.1:9000/application/a", Ok(None)),
            (below, "http://127.0.0.1:9000/a", Ok(None)),
            (below, "http://127.0.0.1:9000/app/../a", Ok(Some("/../a"))),
            (below, "http://localhost:9000/app/a", Err(Unreadable::Elsewhere)),
        ] {
            assert_eq!(read(resource, url), expected.map(|target| target.map(str::to_owned)), "{url}");
        }
    }
}
