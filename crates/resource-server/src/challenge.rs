//! The answers to a call that may not pass (Grant 3.2): 401 with a ticket, or 403 with the warning
//! where no ticket can be had.

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
    let proof = HeaderValue::from_static("DPoP error=\"invalid_dpop_proof\", algs=\"EdDSA ES256\"");
    challenge.headers_mut().append(header::WWW_AUTHENTICATE, proof);
    challenge
}

/// 403 with the warning of Grant 3.2.2.
pub fn unreachable() -> Response {
    let mut response = plain(StatusCode::FORBIDDEN, "Its authorization server cannot be asked right now.");
    response.headers_mut().insert(header::WARNING, HeaderValue::from_static(UNREACHABLE_WARNING));
    response
}

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
