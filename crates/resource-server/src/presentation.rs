//! Whether a call shows one credential in one way. Two of them are two answers to the question who is calling, and a
//! service behind may read the other one: such a call is refused before anything is asked. Called by gateway and layer.

use axum::body::Body;
use axum::response::Response;
use http::header::{AUTHORIZATION, CACHE_CONTROL, CONTENT_TYPE, WWW_AUTHENTICATE};
use http::request::Parts;
use http::{HeaderName, HeaderValue, StatusCode};

/// Header of a DPoP proof.
pub const DPOP: HeaderName = HeaderName::from_static("dpop");

const BEARER: &str = "Bearer";
const DPOP_SCHEME: &str = "DPoP";

/// Why a call cannot be read as one party's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Ambiguous {
    #[error("send one access token in one `Authorization` header, and nowhere else")]
    Credentials,
    #[error("send one DPoP proof, not several")]
    Proofs,
}

impl Ambiguous {
    /// The answer, with a challenge of each scheme that may have been tried, which says what was wrong.
    pub fn answer(self) -> Box<Response> {
        let (status, error, schemes) = match self {
            // RFC 6750 3.1: more than one way of sending a token
            Self::Credentials => (StatusCode::BAD_REQUEST, "invalid_request", &[BEARER, DPOP_SCHEME][..]),
            // RFC 9449 4.3 (1) and 7.1
            Self::Proofs => (StatusCode::UNAUTHORIZED, "invalid_dpop_proof", &[DPOP_SCHEME][..]),
        };
        let body = serde_json::json!({"error": error, "error_description": self.to_string()});
        let mut response = Response::new(Body::from(body.to_string()));
        *response.status_mut() = status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for scheme in schemes {
            let more = if *scheme == DPOP_SCHEME { ", algs=\"EdDSA ES256 RS256\"" } else { "" };
            let challenge = format!("{scheme} error=\"{error}\", error_description=\"{self}\"{more}");
            if let Ok(challenge) = HeaderValue::from_str(&challenge) {
                headers.append(WWW_AUTHENTICATE, challenge);
            }
        }
        Box::new(response)
    }
}

/// Refuses two `Authorization` fields, two tokens in one, a token in the query beside it, and two proofs.
pub fn check(parts: &Parts) -> Result<(), Ambiguous> {
    let mut sent = parts.headers.get_all(AUTHORIZATION).iter();
    let (one, more) = (sent.next(), sent.next());
    if more.is_some() || one.is_some_and(is_list) || (one.is_some() && has_token_in_query(parts)) {
        return Err(Ambiguous::Credentials);
    }
    if parts.headers.get_all(DPOP).iter().nth(1).is_some() {
        return Err(Ambiguous::Proofs);
    }
    // two fields that something on the way made one
    if parts.headers.get(DPOP).is_some_and(|proof| proof.as_bytes().contains(&b',')) {
        return Err(Ambiguous::Proofs);
    }
    Ok(())
}

/// Whether a field holds more than a scheme and one token (RFC 6750 2.1: no comma and no space is in a token). Of schemes
/// that have parameters nothing is known here; none of them lets anybody in.
fn is_list(value: &HeaderValue) -> bool {
    let Ok(text) = value.to_str() else { return false };
    let Some((scheme, token)) = text.trim().split_once(' ') else { return false };
    let is_ours = scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("dpop");
    // each by itself: looking for one character takes many at a time
    is_ours && [',', ' ', '\t'].iter().any(|separator| token.trim().contains(*separator))
}

/// RFC 6750 2.3.
fn has_token_in_query(parts: &Parts) -> bool {
    let query = parts.uri.query().unwrap_or_default();
    url::form_urlencoded::parse(query.as_bytes()).any(|(name, _)| name == "access_token")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(uri: &str, headers: &[(&str, &str)]) -> Result<(), Ambiguous> {
        let mut request = http::Request::builder().uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        check(&request.body(()).unwrap().into_parts().0)
    }

    #[test]
    fn threat_47_s38_one_call_shows_one_credential() {
        let (a, b) = ("Bearer aaa", "Bearer bbb");
        for headers in [
            &[("authorization", a), ("authorization", b)][..],
            &[("authorization", a), ("authorization", a)],
            &[("authorization", "Basic eDp5"), ("Authorization", b)],
            &[("authorization", b), ("authorization", "Basic eDp5")],
            &[("authorization", "Bearer aaa, Bearer bbb")],
            &[("authorization", "bearer aaa,bbb")],
            &[("authorization", "DPoP aaa bbb")],
            &[("authorization", "Bearer aaa,DPoP bbb")],
        ] {
            assert_eq!(call("/x", headers), Err(Ambiguous::Credentials), "{headers:?}");
        }
        for query in ["?access_token=bbb", "?x=1&access%5Ftoken=bbb"] {
            assert_eq!(call(&format!("/x{query}"), &[("authorization", a)]), Err(Ambiguous::Credentials), "{query}");
        }
        for headers in [
            &[("authorization", "DPoP aaa"), ("dpop", "p1"), ("dpop", "p2")][..],
            &[("authorization", "DPoP aaa"), ("DPoP", "p1"), ("dpop", "p1")],
            &[("authorization", a), ("dpop", "p1"), ("dpop", "p2")],
            &[("dpop", "p1"), ("dpop", "")],
            &[("authorization", "DPoP aaa"), ("dpop", "p1, p2")],
        ] {
            assert_eq!(call("/x", headers), Err(Ambiguous::Proofs), "{headers:?}");
        }
        for headers in [
            &[][..],
            &[("authorization", a)],
            &[("authorization", "Bearer ")],
            &[("authorization", "bearer")],
            &[("authorization", "DPoP aaa"), ("dpop", "h.p.s")],
            &[("authorization", "Digest username=\"x\", realm=\"y\"")],
        ] {
            assert_eq!(call("/x?token=1", headers), Ok(()), "{headers:?}");
        }
        // without a header it is nothing of ours
        assert_eq!(call("/x?access_token=bbb", &[]), Ok(()));
    }

    #[test]
    fn threat_47_s38_the_challenge_says_what_was_wrong() {
        let two = Ambiguous::Credentials.answer();
        let challenge = two.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(two.status(), 400);
        assert!(challenge.starts_with("Bearer error=\"invalid_request\""), "{challenge}");
        let two = Ambiguous::Proofs.answer();
        let challenge = two.headers()["www-authenticate"].to_str().unwrap();
        assert_eq!(two.status(), 401);
        assert!(challenge.starts_with("DPoP error=\"invalid_dpop_proof\""), "{challenge}");
    }
}
