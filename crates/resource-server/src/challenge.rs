//! The answers to a call that may not pass (Grant 3.2): 401 with a ticket, or 403 with the warning
//! where no ticket can be had.

use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use types::challenge::{UNREACHABLE_WARNING, UmaChallenge};

/// 401 with the challenge; scripts of any origin may read it.
pub fn unauthorized(challenge: &UmaChallenge) -> Response {
    let mut response = plain(
        StatusCode::UNAUTHORIZED,
        "This is protected: ask the authorization server named in WWW-Authenticate, with the ticket.",
    );
    // a name in other letters is read by few (RFC 9110 5.5): it is left out, and the challenge is not
    let realm = challenge.realm.clone().filter(|realm| realm.is_ascii());
    let value = HeaderValue::from_str(&UmaChallenge { realm, ..challenge.clone() }.to_string());
    response.headers_mut().extend(value.ok().map(|value| (header::WWW_AUTHENTICATE, value)));
    response
}

/// The same, to a token whose key was not proven by one new proof for this call (RFC 9449 7.1).
pub fn asking_for_proof(mut challenge: Response) -> Response {
    let proof = HeaderValue::from_static("DPoP error=\"invalid_dpop_proof\", algs=\"EdDSA ES256 RS256\"");
    challenge.headers_mut().append(header::WWW_AUTHENTICATE, proof);
    challenge
}

/// No ticket can be had: 403 with the warning of Grant 3.2.2, and when to come again where that is known (RFC 9110 10.2.3).
/// Where the authorization server was not asked at all, since so many wait for that here, it is this server that is busy.
pub fn without_ticket(error: &ProtectionError) -> Response {
    let mut response = match error {
        ProtectionError::Busy => plain(StatusCode::SERVICE_UNAVAILABLE, "Too many ask here right now: try again in a moment."),
        ProtectionError::Store => {
            plain(StatusCode::SERVICE_UNAVAILABLE, "What is kept here cannot be read right now: try again.")
        }
        _ => {
            let what = match error {
                ProtectionError::Unlinked => "Its owner has not linked it with an authorization server.",
                _ => "Its authorization server cannot be asked right now.",
            };
            let mut response = plain(StatusCode::FORBIDDEN, what);
            response.headers_mut().insert(header::WARNING, HeaderValue::from_static(UNREACHABLE_WARNING));
            response
        }
    };
    let wait = error.seconds_to_wait().map(HeaderValue::from);
    response.headers_mut().extend(wait.map(|wait| (header::RETRY_AFTER, wait)));
    if *error == ProtectionError::Unlinked {
        response.extensions_mut().insert(Unlinked);
    }
    response
}

/// Goes with the answer about something whose owner has linked no authorization server: a page says it in its words.
#[derive(Clone, Copy)]
pub(crate) struct Unlinked;

/// A short text answer.
pub fn plain(status: StatusCode, text: &'static str) -> Response {
    let mut response = Response::new(Body::from(format!("{text}\n")));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Grant 3.2.2; RFC 9110 10.2.3.
    #[test]
    fn threat_46_who_gets_no_ticket_hears_when_to_come_again() {
        let answer = |error: ProtectionError| {
            let answer = without_ticket(&error);
            let header = |name: &str| answer.headers().get(name).map(|value| value.to_str().unwrap().to_owned());
            (answer.status().as_u16(), header("warning"), header("retry-after"))
        };
        let warning = || Some(UNREACHABLE_WARNING.to_owned());
        assert_eq!(answer(ProtectionError::Unreachable), (403, warning(), Some("10".into())));
        assert_eq!(answer(ProtectionError::Later(60)), (403, warning(), Some("60".into())));
        assert_eq!(answer(ProtectionError::Later(0)), (403, warning(), Some("1".into())));
        assert_eq!(answer(ProtectionError::Busy), (503, None, Some("1".into())));
        assert_eq!(answer(ProtectionError::Refused("no".into())), (403, warning(), None));
        assert_eq!(answer(ProtectionError::Unauthorized), (403, warning(), None));
        assert_eq!(answer(ProtectionError::Unlinked), (403, warning(), None));
        assert_eq!(answer(ProtectionError::Store), (503, None, None));
    }

    #[test]
    fn a_name_in_any_letters_keeps_no_challenge_back() {
        let challenge = |realm: &str| {
            let (as_uri, ticket) = ("https://as.example".to_owned(), "t".to_owned());
            let answer = unauthorized(&UmaChallenge { realm: Some(realm.to_owned()), as_uri, ticket, resource_metadata: None });
            answer.headers()["www-authenticate"].to_str().unwrap().to_owned()
        };
        assert_eq!(
            challenge("Zoe's \"photos\"\r\nX: y"),
            r#"UMA realm="Zoe's \"photos\"X: y", as_uri="https://as.example", ticket="t""#
        );
        assert_eq!(challenge("Zoë's photos"), r#"UMA as_uri="https://as.example", ticket="t""#);
    }
}
