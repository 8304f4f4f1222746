//! Web sockets (RFC 6455) and no other protocol (threat 39): a tunnel of any other kind could carry further calls past the
//! gateway. The call that asks for one is judged as every call; then bytes are carried both ways for as long as the
//! permission lasts. `Upgrade` of anything else is passed over, as RFC 9110 7.8 allows.

use crate::watch::MayGoOn;
use http::request::Parts;
use http::{HeaderMap, HeaderValue, Method, StatusCode, Version, header};
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use std::time::Duration;

const WEB_SOCKET: &str = "websocket";

/// Both ends of one, when each has changed over.
#[derive(Clone)]
pub(super) struct Tunnel {
    pub(super) ours: OnUpgrade,
    pub(super) theirs: OnUpgrade,
}

/// Whether a call asks for a web socket, and for nothing else: by GET of HTTP/1.1, without a body (RFC 6455 4.1).
pub(super) fn is_asked(parts: &Parts) -> bool {
    let has_body = parts.headers.contains_key(header::TRANSFER_ENCODING)
        || parts.headers.get(header::CONTENT_LENGTH).is_some_and(|length| length != "0");
    parts.method == Method::GET && parts.version == Version::HTTP_11 && !has_body && names_web_sockets(&parts.headers)
}

/// Whether an answer changes over to a web socket, and to nothing else.
pub(super) fn is_granted(status: StatusCode, headers: &HeaderMap) -> bool {
    status == StatusCode::SWITCHING_PROTOCOLS && names_web_sockets(headers)
}

/// One `Upgrade`, of one protocol, that `Connection` tells of.
fn names_web_sockets(headers: &HeaderMap) -> bool {
    let mut named = headers.get_all(header::UPGRADE).iter();
    let (one, more) = (named.next(), named.next());
    let is_web_socket = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(WEB_SOCKET.as_bytes());
    let lists = headers.get_all(header::CONNECTION).iter().filter_map(|value| value.to_str().ok());
    let mut options = lists.flat_map(|list| list.split(','));
    one.is_some_and(is_web_socket) && more.is_none() && options.any(|name| name.trim().eq_ignore_ascii_case("upgrade"))
}

/// Asks for one of the next hop, or says that it is so.
pub(super) fn ask(headers: &mut HeaderMap) {
    headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    headers.insert(header::UPGRADE, HeaderValue::from_static(WEB_SOCKET));
}

impl Tunnel {
    /// Carries bytes until one side ends, or `may_go_on` says no; it is asked each time that `interval` is over.
    pub(super) fn carry(self, interval: Duration, may_go_on: MayGoOn) {
        tokio::spawn(async move {
            let (Ok(ours), Ok(theirs)) = tokio::join!(self.ours, self.theirs) else { return };
            let (mut ours, mut theirs) = (TokioIo::new(ours), TokioIo::new(theirs));
            let carrying = tokio::io::copy_bidirectional(&mut ours, &mut theirs);
            let looking = async {
                loop {
                    tokio::time::sleep(interval).await;
                    if !may_go_on().await {
                        return;
                    }
                }
            };
            tokio::select! {
                ended = carrying => if let Err(error) = ended {
                    tracing::debug!(%error, "a tunnel ended");
                },
                () = looking => tracing::info!("the permission for a tunnel has ended"),
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

    #[test]
    fn threat_39_s35_only_web_sockets_are_asked_for() {
        let asks = |fields: &[(&str, &str)]| is_asked(&parts("GET", Version::HTTP_11, fields));
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
            assert!(!is_asked(&parts(method, version, &[listed, web_socket])), "{method} {version:?}");
        }
        assert!(!is_asked(&parts("CONNECT", Version::HTTP_2, &[listed, web_socket])));
    }

    #[test]
    fn threat_39_s39_an_answer_changes_to_what_was_asked_for() {
        let granted = |status: u16, fields: &[(&str, &str)]| {
            is_granted(StatusCode::from_u16(status).unwrap(), &parts("GET", Version::HTTP_11, fields).headers)
        };
        let (listed, web_socket) = (("connection", "Upgrade"), ("upgrade", "websocket"));
        assert!(granted(101, &[listed, web_socket]));
        assert!(!granted(200, &[listed, web_socket]));
        assert!(!granted(426, &[listed, web_socket]));
        assert!(!granted(101, &[listed, ("upgrade", "h2c")]));
        assert!(!granted(101, &[web_socket]));
        assert!(!granted(101, &[]));
    }
}
