//! What a server says that gives nothing: a refusal, that it cannot answer right now, or that it tells this client nothing (decision
//! 0062). The three are not one: only a refusal ends something.

use crate::ClientError;
use outbound::Response;
use types::error::ErrorBody;
use types::spelling::readable;

/// Errors that say nothing but that the server cannot answer at the moment (RFC 6749 4.1.2.1).
const NOT_NOW: [&str; 3] = ["temporarily_unavailable", "server_error", "too_many_requests"];
/// Errors by which a server says that a client is told about no tokens (RFC 6749 5.2, RFC 7009 2.2.1).
const NOT_TOLD: [&str; 4] = ["invalid_client", "unauthorized_client", "access_denied", "unsupported_token_type"];

/// The error of an answer, or its status where it has none.
pub(crate) fn refusal(answer: &Response) -> ClientError {
    let said = match types::answer::parse::<ErrorBody>(&answer.body, &[]) {
        Ok(body) => ClientError::refused(&body.error, &body.error_description.unwrap_or_default()),
        Err(_) => ClientError::protocol(format!("the server answered HTTP {}", answer.status.as_u16())),
    };
    let is_not_now = matches!(&said, ClientError::Refused { error, .. } if NOT_NOW.contains(&error.as_str()));
    match not_now(answer, &said.to_string()) {
        Some(not_now) => not_now,
        None if is_not_now => ClientError::NotNow { what: said.to_string(), seconds: None },
        None => said,
    }
}

/// What an answer is that says, by its status, neither yes nor no.
pub(crate) fn not_now(answer: &Response, what: &str) -> Option<ClientError> {
    let is_so = answer.status == 429 || answer.status.is_server_error();
    let seconds = answer.header("retry-after").and_then(|text| text.trim().parse().ok());
    is_so.then(|| ClientError::NotNow { what: readable(what), seconds })
}

/// The same of a question about a token: a server that lets this client ask nothing says so in few ways, and every other answer
/// leaves it open.
pub(crate) fn about_tokens(answer: &Response, refused: ClientError) -> ClientError {
    let is_told_nothing = match &refused {
        ClientError::Refused { error, .. } => answer.status == 401 || NOT_TOLD.contains(&error.as_str()),
        ClientError::Protocol(_) => answer.status == 401 || answer.status == 403,
        _ => false,
    };
    if is_told_nothing { ClientError::NotTold(refused.to_string()) } else { refused }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Client, Credentials};
    use jose::{SystemClock, SystemRandomness};
    use outbound::{Outbound, OutboundError, Settings};
    use std::sync::Arc;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};

    fn client() -> Client {
        let allowed = Settings { allow_http: true, allow_private_networks: true, ..Settings::default() };
        Client {
            outbound: Outbound::new(allowed).unwrap(),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::public("viewer"),
            dpop_key: None,
        }
    }

    /// A server that answers everything so; its host.
    async fn answering(status: &'static str) -> String {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = listener.local_addr().unwrap().to_string();
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let mut asked = [0; 4_096];
                let _ = stream.read(&mut asked).await;
                let head = format!("HTTP/1.1 {status}\r\nretry-after: 7\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
                let _ = stream.write_all(head.as_bytes()).await;
            }
        });
        host
    }

    /// Wherever a server says what it is, and who speaks for an address: that it is busy is none of these answers.
    #[tokio::test]
    async fn who_is_busy_has_not_said_that_there_is_nothing() {
        let is_later = |error: &ClientError| matches!(error, ClientError::NotNow { seconds: Some(7), .. });
        let host = answering("429 Too Many Requests").await;
        let (url, client) = (format!("http://{host}"), client());
        for error in [client.discover(&url).await.unwrap_err(), client.discover_openid(&url).await.unwrap_err()] {
            assert!(is_later(&error), "{error:?}");
        }
        assert!(is_later(&client.discover_resource(&url).await.unwrap_err()));
        assert!(is_later(&client.issuer_by("http", &host, "alice@foo.example").await.unwrap_err()));
        let host = answering("503 Service Unavailable").await;
        assert!(is_later(&client.issuer_by("http", &host, "alice@foo.example").await.unwrap_err()));
        let away = client.discover(&format!("http://{host}")).await.unwrap_err();
        assert!(matches!(away, ClientError::Outbound(OutboundError::Unreachable(_))), "{away:?}");
        // one that has nothing says so
        let host = answering("404 Not Found").await;
        let nothing = client.discover(&format!("http://{host}")).await.unwrap_err();
        assert!(matches!(nothing, ClientError::Protocol(_)), "{nothing:?}");
        let nobody = client.issuer_by("http", &host, "alice@foo.example").await.unwrap_err();
        assert!(matches!(nobody, ClientError::Protocol(_)), "{nobody:?}");
    }
}
