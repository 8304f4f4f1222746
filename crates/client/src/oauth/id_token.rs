//! What an ID token must say, and of which time, before anybody is taken for whom it names (OpenID Connect Core 2, 3.1.3.7).

use crate::{Client, ClientError};
use jose::{KeySet, UnverifiedJws, base64url, digest};
use outbound::Request;
use serde_json::{Map, Value};
use types::metadata::Metadata;

/// Seconds by which another clock may differ.
const CLOCK_SKEW: i64 = 60;
/// Longest `sub` (OpenID Connect Core 2).
const MAX_SUB_BYTES: usize = 255;

impl Client {
    pub(super) async fn check_id_token(
        &self,
        metadata: &Metadata,
        token: &str,
        nonce: &str,
        access_token: &str,
    ) -> Result<Map<String, Value>, ClientError> {
        let answer = self.outbound.send(Request::get(&metadata.jwks_uri)).await?;
        let set: Value = types::json::parse(&answer.body).map_err(|error| ClientError::protocol(error.to_string()))?;
        let bad = |what: &str| ClientError::protocol(format!("the ID token is not good: {what}"));
        let keys = KeySet::readable(&set).map_err(|error| bad(&format!("the keys of its issuer do not read: {error}")))?;
        let unverified =
            UnverifiedJws::parse(token).and_then(UnverifiedJws::expect_no_own_type).map_err(|error| bad(&error.to_string()))?;
        let algorithm = unverified.header().alg.clone();
        let jws = unverified.verify(&keys).map_err(|error| bad(&error.to_string()))?;
        let claims = jws.claims::<Map<String, Value>>().map_err(|error| bad(&error.to_string()))?.into_inner();
        let text = |name: &str| claims.get(name).and_then(Value::as_str);
        let ours = text("iss") == Some(metadata.issuer.as_str()) && is_for(&claims, &self.credentials.client_id);
        let now = self.clock.now().0;
        let fresh = claims.get("exp").and_then(seconds_of).is_some_and(|exp| exp.saturating_add(CLOCK_SKEW) > now);
        if !ours || !fresh || text("nonce") != Some(nonce) {
            return Err(bad("it is for somebody else, or too old"));
        }
        check_claims(&claims, now).map_err(bad)?;
        check_access_token(&claims, &algorithm, access_token).map_err(bad)?;
        Ok(claims)
    }
}

/// That it is of no time to come, and names somebody as identifiers are written.
fn check_claims(claims: &Map<String, Value>, now: i64) -> Result<(), &'static str> {
    let latest = now.saturating_add(CLOCK_SKEW);
    let is_ahead = |name: &str| {
        claims.get(name).filter(|value| !value.is_null()).is_some_and(|value| seconds_of(value).is_none_or(|time| time > latest))
    };
    if ["nbf", "iat", "auth_time"].into_iter().any(is_ahead) {
        return Err("`nbf`, `iat` or `auth_time` is no time, or one to come");
    }
    let fits = |sub: &str| sub.len() <= MAX_SUB_BYTES && !sub.contains(char::is_control);
    match claims.get("sub").map(|sub| sub.as_str().is_some_and(fits)) {
        Some(false) => Err("`sub` has more than 255 bytes, or control characters"),
        _ => Ok(()),
    }
}

/// That it came with this access token, where it says with which (3.1.3.8). Of algorithms with another hash than SHA-256 nothing is
/// compared: the token came with the code's answer from the provider itself.
fn check_access_token(claims: &Map<String, Value>, algorithm: &str, access_token: &str) -> Result<(), &'static str> {
    let Some(said) = claims.get("at_hash").filter(|_| algorithm.ends_with("256")) else { return Ok(()) };
    let hash = digest::sha256(&[access_token.as_bytes()]);
    let left_half = base64url::encode(hash.get(..16).unwrap_or_default());
    match said.as_str() == Some(left_half.as_str()) {
        true => Ok(()),
        false => Err("`at_hash` is of another access token"),
    }
}

/// A `NumericDate`, which may have a fraction (RFC 7519 2).
fn seconds_of(value: &Value) -> Option<i64> {
    let whole = |number: f64| format!("{:.0}", number.trunc()).parse().ok();
    value.as_i64().or_else(|| value.as_f64().and_then(whole))
}

/// Whether an ID token is for this client: `aud` is one audience or several, and of several `azp` says whom it was given
/// (OpenID Connect Core 2, 3.1.3.7).
fn is_for(claims: &Map<String, Value>, client_id: &str) -> bool {
    let party = claims.get("azp").and_then(Value::as_str);
    match claims.get("aud") {
        Some(Value::String(one)) => one == client_id && party.is_none_or(|party| party == client_id),
        Some(Value::Array(all)) => {
            let named = all.iter().any(|one| one.as_str() == Some(client_id));
            named && party.map_or(all.len() == 1, |party| party == client_id)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn threat_42_an_id_token_is_of_no_time_to_come_and_names_somebody() {
        let check = |claims: Value| check_claims(claims.as_object().unwrap(), 1_000);
        for good in [
            json!({"sub": "a"}),
            json!({"sub": "a", "iat": 1_060, "nbf": 1_060, "auth_time": 1_060}),
            json!({"sub": "a".repeat(255), "iat": 999.5}),
        ] {
            assert_eq!(check(good.clone()), Ok(()), "{good}");
        }
        for bad in [
            json!({"sub": "a", "iat": 1_061}),
            json!({"sub": "a", "nbf": 1_061}),
            json!({"sub": "a", "auth_time": 1_061}),
            json!({"sub": "a", "auth_time": "now"}),
            json!({"sub": "a".repeat(256)}),
            json!({"sub": "a\u{0}"}),
            json!({"sub": "a\nb"}),
            json!({"sub": 1}),
        ] {
            assert!(check(bad.clone()).is_err(), "{bad}");
        }
    }

    /// The example of OpenID Connect Core A.3.
    #[test]
    fn threat_42_an_id_token_belongs_to_the_access_token_that_it_came_with() {
        let claims = json!({"at_hash": "77QmUPtjPfzWtF2AnpK9RQ"});
        let check = |algorithm: &str, token: &str| check_access_token(claims.as_object().unwrap(), algorithm, token);
        assert_eq!(check("RS256", "jHkWEdUXMU1BwAsC4vtUsZwnNvTIxEl0z9K3vx5KF0Y"), Ok(()));
        assert!(check("ES256", "another").is_err());
        assert_eq!(check("EdDSA", "another"), Ok(()), "with another hash");
        assert_eq!(check_access_token(&Map::new(), "RS256", "x"), Ok(()));
        assert!(check_access_token(json!({"at_hash": 1}).as_object().unwrap(), "RS256", "x").is_err());
    }

    #[test]
    fn s37_an_id_token_is_for_one_client_of_several_audiences() {
        let for_us = |claims: Value| is_for(claims.as_object().unwrap(), "us");
        assert!(for_us(json!({"aud": "us"})) && for_us(json!({"aud": ["us"]})));
        assert!(for_us(json!({"aud": ["them", "us"], "azp": "us"})));
        for wrong in [
            json!({}),
            json!({"aud": "them"}),
            json!({"aud": []}),
            json!({"aud": ["them", "us"]}),
            json!({"aud": ["them", "us"], "azp": "them"}),
            json!({"aud": "us", "azp": "them"}),
        ] {
            assert!(!for_us(wrong.clone()), "{wrong}");
        }
    }
}
