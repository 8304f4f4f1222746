//! Web sockets (RFC 6455) and no other protocol (threat 39): a tunnel of any other kind could carry further calls past the
//! gateway. The call that asks for one is judged as every call; then bytes are carried both ways for as long as the
//! permission lasts. `Upgrade` of anything else is passed over, as RFC 9110 7.8 allows.

use crate::watch::Watch;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use jose::{base64url, digest};

const WEB_SOCKET: &str = "websocket";
/// RFC 6455 1.3: what nobody appends who does not speak web sockets.
const APPENDED: &[u8] = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
/// The one version that there is (RFC 6455 4.1).
const WEB_SOCKET_VERSION: &str = "13";
const KEY_BYTES: usize = 16;

/// Both ends of one, when each has changed over.
#[derive(Clone)]
pub(super) struct Tunnel {
    pub(super) ours: OnUpgrade,
    pub(super) theirs: OnUpgrade,
}

/// What a call asks of a web socket, by which the answer is judged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Asked {
    /// What `Sec-WebSocket-Accept` must be.
    accept: String,
    subprotocols: Vec<String>,
    extensions: Vec<String>,
}

impl Asked {
    /// Reads a call that asks for a web socket, and for nothing else: by GET of HTTP/1.1, without a body, with one key (RFC
    /// 6455 4.1). None: it asks for none.
    pub(super) fn read(parts: &Parts) -> Option<Self> {
        let has_body = parts.headers.contains_key(header::TRANSFER_ENCODING)
            || parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
        let is_plain = parts.method == Method::GET && parts.version == Version::HTTP_11 && !has_body;
        let mut versions = parts.headers.get_all(header::SEC_WEBSOCKET_VERSION).iter();
        if !is_plain || !names_web_sockets(&parts.headers) || versions.any(|version| version != WEB_SOCKET_VERSION) {
            return None;
        }
        let mut keys = parts.headers.get_all(header::SEC_WEBSOCKET_KEY).iter();
        let (Some(key), None) = (keys.next(), keys.next()) else { return None };
        let names = |name: &HeaderName| listed(&parts.headers, name).map(|one| name_of(one).to_owned()).collect();
        Some(Self {
            accept: accept_of(key)?,
            subprotocols: listed(&parts.headers, &header::SEC_WEBSOCKET_PROTOCOL).map(str::to_owned).collect(),
            extensions: names(&header::SEC_WEBSOCKET_EXTENSIONS),
        })
    }

    /// Whether an answer changes over to that, and to nothing else (RFC 6455 4.1): a service that speaks no web sockets
    /// cannot say so by chance, nor because a caller made it.
    pub(super) fn is_granted(&self, status: StatusCode, version: Version, headers: &HeaderMap) -> bool {
        let mut accepts = headers.get_all(header::SEC_WEBSOCKET_ACCEPT).iter();
        let is_accepted = accepts.next().is_some_and(|accept| accept.as_bytes().trim_ascii() == self.accept.as_bytes());
        let mut subprotocols = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL).iter();
        let chosen = subprotocols.next().map(|one| one.to_str().unwrap_or_default().trim());
        let was_offered = chosen.is_none_or(|chosen| self.subprotocols.iter().any(|one| one == chosen));
        let mut extensions = listed(headers, &header::SEC_WEBSOCKET_EXTENSIONS);
        let were_offered = extensions.all(|one| self.extensions.iter().any(|offered| offered == name_of(one)));
        status == StatusCode::SWITCHING_PROTOCOLS
            && version == Version::HTTP_11
            && names_web_sockets(headers)
            && is_accepted
            && accepts.next().is_none()
            && was_offered
            && subprotocols.next().is_none()
            && were_offered
    }
}

/// What a key is answered with (RFC 6455 4.2.2); none where it is no key.
fn accept_of(key: &HeaderValue) -> Option<String> {
    let key = key.as_bytes().trim_ascii();
    let text = std::str::from_utf8(key).ok()?.strip_suffix("==")?;
    let bytes = base64url::decode(text.replace('+', "-").replace('/', "_")).filter(|_| !text.contains(['-', '_']))?;
    let digest = digest::sha1_of_handshake(&[key, APPENDED]);
    // base64, and not as in URLs
    let accept = format!("{}=", base64url::encode(digest).replace('-', "+").replace('_', "/"));
    (bytes.len() == KEY_BYTES).then_some(accept)
}

/// The elements of a list that may stand in several fields.
fn listed<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    let lists = headers.get_all(name).iter().map(|value| value.to_str().unwrap_or_default());
    lists.flat_map(|list| list.split(',')).map(str::trim).filter(|one| !one.is_empty())
}

/// The name of an extension, without its parameters.
fn name_of(extension: &str) -> &str {
    extension.split(';').next().unwrap_or_default().trim()
}

/// One `Upgrade`, of one protocol, that `Connection` tells of.
fn names_web_sockets(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::UPGRADE).iter();
    let (one, more) = (named.next(), named.next());
    let is_web_socket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(WEB_SOCKET.as_bytes());
    let mut options = listed(headers, &header::CONNECTION);
    one.is_some_and(is_web_socket) && more.is_none() && options.any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// Asks for one of the next hop, or says that it is so.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEB_SOCKET));
}

impl Tunnel {
    /// Carries bytes until one side ends, or a look says no, whoever reads or does not.
    pub(super) fn carry(self, mut watch: Watch) {
        let carrying = async move {
            let (Ok(ours), Ok(theirs)) = tokio::join!(self.ours, self.theirs) else { return };
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            if let Err(error) = tokio::io::copy_bidirectional(&mut ours, &mut theirs).await {
                tracing::debug!(%error, "a tunnel ended");
            }
        };
        tokio::spawn(async move {
            tokio::select! {
                () = carrying => {}
                () = watch.ended() => tracing::info!("the permission for a tunnel has ended"),
            }
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(method: &str, version: Version, fields: &[(&str, &str)]) -> Parts {
        let mut request = http::Request::builder().method(method).version(version);
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    /// Those of RFC 6455 1.3.
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

    #[test]
    fn threat_39_s35_only_web_sockets_are_asked_for() {
        let key = ("sec-websocket-key", KEY);
        let asks = |fields: &[(&str, &str)]| Asked::read(&parts("GET", Version::HTTP_11, &[fields, &[key]].concat())).is_some();
        let (listed, web_socket) = (("connection", "keep-alive, Upgrade"), ("upgrade", "WebSocket"));
        assert!(asks(&[listed, web_socket]));
        assert!(asks(&[("connection", "keep-alive"), ("connection", "upgrade"), web_socket, ("content-length", "0")]));
        for fields in [
            &[listed, ("upgrade", "h2c")][..],
            &[listed, ("upgrade", "websocket, h2c")],
            &[listed, ("upgrade", "h2c, websocket")],
            &[listed, ("upgrade", "h2c"), web_socket],
            &[listed, web_socket, ("upgrade", "h2c")],
            &[listed, web_socket, web_socket],
            &[listed, ("upgrade", "websocket/13")],
            &[listed, ("upgrade", "websocket ,")],
            &[listed, ("upgrade", "TLS/1.0")],
            &[listed, ("upgrade", "")],
            &[listed],
            &[web_socket],
            &[("connection", "close"), web_socket],
            &[("connection", "x-upgrade"), web_socket],
            &[listed, web_socket, ("content-length", "5")],
            &[listed, web_socket, ("transfer-encoding", "chunked")],
        ] {
            assert!(!asks(fields), "{fields:?}");
        }
        for (method, version) in [("POST", Version::HTTP_11), ("CONNECT", Version::HTTP_11), ("GET", Version::HTTP_10)] {
            assert_eq!(Asked::read(&parts(method, version, &[listed, web_socket, key])), None, "{method} {version:?}");
        }
        assert_eq!(Asked::read(&parts("CONNECT", Version::HTTP_2, &[listed, web_socket, key])), None);
        // without one good key, or in another version
        for fields in [
            &[][..],
            &[("sec-websocket-key", "x")],
            &[("sec-websocket-key", "")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ")],
            &[("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZTIz")],
            &[key, key],
            &[key, ("sec-websocket-version", "8")],
            &[key, ("sec-websocket-version", "13"), ("sec-websocket-version", "8")],
        ] {
            let fields = [&[listed, web_socket][..], fields].concat();
            assert_eq!(Asked::read(&parts("GET", Version::HTTP_11, &fields)), None, "{fields:?}");
        }
    }

    #[test]
    fn threat_39_s39_an_answer_changes_to_what_was_asked_for() {
        let (listed, web_socket) = (("connection", "Upgrade"), ("upgrade", "websocket"));
        let (key, accept) = (("sec-websocket-key", KEY), ("sec-websocket-accept", ACCEPT));
        let offers = [
            ("sec-websocket-protocol", "chat, superchat"),
            ("sec-websocket-protocol", "soap"),
            ("sec-websocket-extensions", "permessage-deflate; client_max_window_bits, x-other"),
        ];
        let asked = Asked::read(&parts("GET", Version::HTTP_11, &[&[listed, web_socket, key][..], &offers].concat())).unwrap();
        let answers = |status: u16, version: Version, fields: &[(&str, &str)]| {
            asked.is_granted(StatusCode::from_u16(status).unwrap(), version, &parts("GET", version, fields).headers)
        };
        let granted = |fields: &[(&str, &str)]| answers(101, Version::HTTP_11, fields);
        assert!(granted(&[listed, web_socket, accept]));
        for chosen in ["chat", "superchat", "soap"] {
            assert!(granted(&[listed, web_socket, accept, ("sec-websocket-protocol", chosen)]), "{chosen}");
        }
        assert!(granted(&[
            listed,
            web_socket,
            accept,
            ("sec-websocket-extensions", "permessage-deflate; server_max_window_bits=9")
        ]));
        for (status, version) in
            [(200, Version::HTTP_11), (426, Version::HTTP_11), (101, Version::HTTP_10), (101, Version::HTTP_2)]
        {
            assert!(!answers(status, version, &[listed, web_socket, accept]), "{status} {version:?}");
        }
        for fields in [
            &[listed, ("upgrade", "h2c"), accept][..],
            &[web_socket, accept],
            &[listed, web_socket, web_socket, accept],
            &[],
            &[listed, web_socket],
            &[listed, web_socket, ("sec-websocket-accept", KEY)],
            &[listed, web_socket, ("sec-websocket-accept", "")],
            &[listed, web_socket, accept, accept],
            &[listed, web_socket, accept, ("sec-websocket-protocol", "mqtt")],
            &[listed, web_socket, accept, ("sec-websocket-protocol", "chat"), ("sec-websocket-protocol", "soap")],
            &[listed, web_socket, accept, ("sec-websocket-protocol", "chat, soap")],
            &[listed, web_socket, accept, ("sec-websocket-extensions", "x-unasked")],
            &[listed, web_socket, accept, ("sec-websocket-extensions", "x-other, x-unasked")],
        ] {
            assert!(!granted(fields), "{fields:?}");
        }
    }
}
