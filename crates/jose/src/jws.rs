//! Compact JWS (RFC 7515), read in two steps: parse what a stranger sent, then verify it with keys
//! that the caller chose. Only the second gives a [`Verified`].

use crate::base64url;
use crate::jwk::{KeySet, PublicKey};
use serde::de::{DeserializeOwned, DeserializeSeed, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;
use std::fmt;
use std::ops::Deref;

/// The longest JWS that is looked at, in bytes (RFC 8725: bound before parsing).
pub const MAX_JWS_BYTES: usize = 16 * 1024;

/// A value whose signature was checked. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verified<T>(T);

impl<T> Verified<T> {
    pub(crate) fn vouch(value: T) -> Self {
        Self(value)
    }

    /// Gives the value away; the proof ends here.
    pub fn into_inner(self) -> T {
        self.0
    }
}

impl<T> Deref for Verified<T> {
    type Target = T;
    fn deref(&self) -> &T {
        &self.0
    }
}

/// Why a JWS was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JwsError {
    #[error("the token is longer than 16 KiB")]
    TooLong,
    #[error("the token is no compact JWS of three base64url parts")]
    Form,
    #[error("the token's header has `crit`, and nothing critical is understood here")]
    Critical,
    #[error("the token's type is not the one that is wanted here")]
    Type,
    #[error("no key of the issuer fits the token's `kid` and `alg`")]
    NoKey,
    #[error("the signature does not verify")]
    Signature,
    #[error("the payload is not the JSON that is wanted here")]
    Payload,
}

/// A JWS header. `jku`, `x5u` and `jwk` are not read: no key comes from the token, except in a
/// DPoP proof, whose whole point that is.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Header {
    pub alg: String,
    pub typ: Option<String>,
    pub kid: Option<String>,
    /// There even where it is `null`.
    #[serde(default, deserialize_with = "present")]
    crit: Option<Value>,
    pub(crate) jwk: Option<Value>,
    /// There even where it is `null`.
    #[serde(default, deserialize_with = "present")]
    b64: Option<Value>,
}

fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(deserializer).map(Some)
}

/// Reads one member of an object by its name, and makes nothing of the others: each call that brings a token has it looked at.
struct Member<'a>(&'a str);

impl<'de> Visitor<'de> for Member<'_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON object")
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Option<Value>, A::Error> {
        let mut found = None;
        while let Some(is_wanted) = members.next_key_seed(IsNamed(self.0))? {
            if is_wanted {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member has this name.
struct IsNamed<'a>(&'a str);

impl<'de> DeserializeSeed<'de> for IsNamed<'_> {
    type Value = bool;
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for IsNamed<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// A JWS that nobody has checked yet. Its payload may only be used to find the key.
pub struct UnverifiedJws {
    header: Header,
    payload: Vec<u8>,
    signed: String,
    signature: Vec<u8>,
}

/// What a verified JWS says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jws {
    pub header: Header,
    pub payload: Vec<u8>,
}

impl UnverifiedJws {
    /// Splits and decodes; bounds the size first.
    pub fn parse(text: &str) -> Result<Self, JwsError> {
        if text.len() > MAX_JWS_BYTES {
            return Err(JwsError::TooLong);
        }
        let (signed, signature) = text.rsplit_once('.').ok_or(JwsError::Form)?;
        let (header, payload) = signed.split_once('.').ok_or(JwsError::Form)?;
        let decode = |part: &str| base64url::decode(part).ok_or(JwsError::Form);
        let header: Header = types::json::parse(&decode(header)?).map_err(|_| JwsError::Form)?;
        // a payload that is not encoded must be said to be so in `crit` (RFC 7797 6), and is read by nobody here
        if header.crit.is_some() || header.b64.as_ref().is_some_and(|encoded| *encoded != Value::Bool(true)) {
            return Err(JwsError::Critical);
        }
        Ok(Self { header, payload: decode(payload)?, signed: signed.to_owned(), signature: decode(signature)? })
    }

    pub fn header(&self) -> &Header {
        &self.header
    }

    /// A member of the payload, to look up the key with and for nothing else.
    pub fn claimed(&self, member: &str) -> Option<String> {
        self.claimed_value(member)?.as_str().map(str::to_owned)
    }

    /// The same, whatever it is.
    pub fn claimed_value(&self, member: &str) -> Option<Value> {
        let payload = std::str::from_utf8(&self.payload).ok()?;
        let mut payload = serde_json::Deserializer::from_str(payload);
        let found = payload.deserialize_map(Member(member)).ok()?;
        payload.end().ok()?;
        found
    }

    /// Refuses a header whose `typ` is not `typ` (compared as RFC 7515 4.1.9 says).
    pub fn expect_type(self, typ: &str) -> Result<Self, JwsError> {
        let has = self.header.typ.as_deref().unwrap_or_default();
        let has = has.strip_prefix("application/").unwrap_or(has);
        if has.eq_ignore_ascii_case(typ) { Ok(self) } else { Err(JwsError::Type) }
    }

    /// Refuses a header with a type of its own: what has always gone without one - an ID token, an assertion of a client -
    /// says `JWT` at most, and no other kind of token is ever taken for it (RFC 8725 3.11).
    pub fn expect_no_own_type(self) -> Result<Self, JwsError> {
        if self.header.typ.is_none() { Ok(self) } else { self.expect_type("JWT") }
    }

    /// Whether a key of the set made the signature: the set need not be fetched anew to find one.
    pub fn is_by_one_of(&self, keys: &KeySet) -> bool {
        let mut candidates = keys.candidates(self.header.kid.as_deref(), &self.header.alg);
        candidates.any(|key| key.verifies(self.signed.as_bytes(), &self.signature))
    }

    /// Checks the signature with the keys of the set that fit the header.
    pub fn verify(self, keys: &KeySet) -> Result<Verified<Jws>, JwsError> {
        let mut verdict = Err(JwsError::NoKey);
        for key in keys.candidates(self.header.kid.as_deref(), &self.header.alg) {
            if key.verifies(self.signed.as_bytes(), &self.signature) {
                verdict = Ok(());
                break;
            }
            verdict = Err(JwsError::Signature);
        }
        verdict.map(|()| Verified::vouch(Jws { header: self.header, payload: self.payload }))
    }

    /// Checks the signature with exactly this key.
    pub fn verify_with(self, key: &PublicKey) -> Result<Verified<Jws>, JwsError> {
        if !key.algorithm().is_named(&self.header.alg) {
            return Err(JwsError::NoKey);
        }
        if !key.verifies(self.signed.as_bytes(), &self.signature) {
            return Err(JwsError::Signature);
        }
        Ok(Verified::vouch(Jws { header: self.header, payload: self.payload }))
    }
}

impl Verified<Jws> {
    /// Reads the payload as strict JSON; what was verified stays so.
    pub fn claims<T: DeserializeOwned>(&self) -> Result<Verified<T>, JwsError> {
        types::json::parse(&self.payload).map(Verified::vouch).map_err(|_| JwsError::Payload)
    }
}

impl Verified<Value> {
    /// Reads what was parsed already; what was verified stays so.
    pub(crate) fn read<T: DeserializeOwned>(self) -> Result<Verified<T>, JwsError> {
        types::json::read(self.0).map(Verified::vouch).map_err(|_| JwsError::Payload)
    }
}

pub(crate) fn signing_input(header: &[u8], payload: &[u8]) -> String {
    format!("{}.{}", base64url::encode(header), base64url::encode(payload))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, SigningKey};
    use serde_json::json;

    fn verify(token: &str, keys: &KeySet) -> Result<Value, JwsError> {
        UnverifiedJws::parse(token)?.verify(keys)?.claims::<Value>().map(Verified::into_inner)
    }

    #[test]
    fn every_algorithm_signs_and_verifies_and_survives_storage() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            let key = SigningKey::generate(algorithm).unwrap();
            let again = SigningKey::from_pkcs8(algorithm, &key.to_pkcs8().unwrap()).unwrap();
            assert_eq!(again.kid(), key.kid());
            let token = again.sign("JWT", &json!({"sub": "alice"})).unwrap();
            let published = KeySet::from_json(&json!({"keys": [key.public().to_jwk()]})).unwrap();
            assert_eq!(verify(&token, &published).unwrap()["sub"], "alice");
        }
    }

    #[test]
    fn a_member_is_found_among_others() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = KeySet::new(vec![key.public().clone()]);
        let claimed = |payload: &str, name: &str| {
            let header = base64url::encode(json!({"alg": "EdDSA"}).to_string());
            let text = format!("{header}.{}.{}", base64url::encode(payload), base64url::encode([0; 64]));
            assert_eq!(verify(&text, &keys), Err(JwsError::Signature), "{payload}");
            UnverifiedJws::parse(&text).unwrap().claimed_value(name)
        };
        for (payload, name, value) in [
            (r#"{"a":{"iss":1},"iss":"x","b":[{"iss":2}]}"#, "iss", Some(json!("x"))),
            (r#"{"i\u0073s":"x"}"#, "iss", Some(json!("x"))),
            (r#"{"iss":"x","iss":"y"}"#, "iss", Some(json!("y"))),
            (r#"{"iss":null}"#, "iss", Some(json!(null))),
            (r#"{"cnf":{"jkt":"x"}}"#, "cnf", Some(json!({"jkt": "x"}))),
            (r#"{"sub":"x"}"#, "iss", None),
            (r#"{"iss":"x"} more"#, "iss", None),
            (r#"{"iss":"x","#, "iss", None),
            (r#"["iss","x"]"#, "iss", None),
            (r#""iss""#, "iss", None),
            ("", "iss", None),
        ] {
            assert_eq!(claimed(payload, name), value, "{payload}");
        }
    }

    /// Threat 16: `alg` confusion, `none`, foreign `kid`, keys in the token, giants.
    #[test]
    fn threat_16_the_key_decides_the_algorithm() {
        let key = SigningKey::generate(Algorithm::Rs256).unwrap();
        let keys = KeySet::new(vec![key.public().clone()]);
        let (_, rest) =
            key.sign("JWT", &json!({})).map(|t| t.split_once('.').map(|(h, r)| (h.to_owned(), r.to_owned())).unwrap()).unwrap();
        let with = |header: Value| format!("{}.{rest}", base64url::encode(header.to_string()));
        assert_eq!(verify(&with(json!({"alg": "none"})), &keys), Err(JwsError::NoKey));
        assert_eq!(verify(&with(json!({"alg": "HS256"})), &keys), Err(JwsError::NoKey));
        assert_eq!(verify(&with(json!({"alg": "EdDSA"})), &keys), Err(JwsError::NoKey));
        assert_eq!(verify(&with(json!({"alg": "RS256", "kid": "../../etc/passwd"})), &keys), Err(JwsError::NoKey));
        assert_eq!(verify(&with(json!({"alg": "RS256", "crit": ["exp"]})), &keys), Err(JwsError::Critical));
        assert_eq!(verify(&with(json!({"alg": "RS256", "crit": null})), &keys), Err(JwsError::Critical));
        for unencoded in [json!(false), json!(null), json!("true"), json!(0)] {
            assert_eq!(verify(&with(json!({"alg": "RS256", "b64": unencoded})), &keys), Err(JwsError::Critical), "{unencoded}");
        }
        // what is signed is the header as well, so that these fail by their signature; they are read all the same
        assert_eq!(verify(&with(json!({"alg": "RS256", "b64": true})), &keys), Err(JwsError::Signature));
        for malformed in [
            json!({"alg": ["RS256"]}),
            json!({"alg": "RS256", "kid": 7}),
            json!({"alg": "RS256", "kid": ["a"]}),
            json!({"alg": "RS256", "typ": {}}),
            json!(["RS256"]),
            json!({}),
        ] {
            assert_eq!(verify(&with(malformed.clone()), &keys), Err(JwsError::Form), "{malformed}");
        }
        for doubled in [
            r#"{"alg":"none","alg":"RS256"}"#,
            r#"{"alg":"RS256","alg":"RS256"}"#,
            r#"{"alg":"RS256","typ":"JWT","typ":"at+jwt"}"#,
        ] {
            assert_eq!(verify(&format!("{}.{rest}", base64url::encode(doubled)), &keys), Err(JwsError::Form), "{doubled}");
        }
        let mine = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let header = json!({"alg": "EdDSA", "jwk": mine.public().to_jwk(), "jku": "https://evil.example/jwks"});
        let forged = mine.sign_with_header(&header, &json!({"sub": "alice"})).unwrap();
        assert_eq!(verify(&forged, &keys), Err(JwsError::NoKey));
        assert!(matches!(UnverifiedJws::parse(&"a".repeat(MAX_JWS_BYTES + 1)), Err(JwsError::TooLong)));
        for bad in ["", "a.b", "a.b.c", "....", "eyJhbGciOiJub25lIn0."] {
            assert!(UnverifiedJws::parse(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn private_and_weak_keys_are_not_published_keys() {
        let private = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode([1; 32]), "d": base64url::encode([1; 32])});
        assert!(KeySet::from_json(&json!({"keys": [private]})).is_none());
        for member in ["p", "q", "dp", "dq", "qi", "oth", "k"] {
            let key = json!({"kty": "RSA", "n": base64url::encode([255; 256]), "e": "AQAB", member: "AQ"});
            assert!(KeySet::from_json(&json!({"keys": [key]})).is_none(), "{member}");
        }
        for operations in [json!([]), json!(["sign"]), json!("verify"), json!(null)] {
            let key = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode([3; 32]), "key_ops": operations});
            assert!(KeySet::from_json(&json!({"keys": [key]})).unwrap().is_empty(), "{operations}");
        }
        for (first, rest, last) in
            [(0, 0, 0), (1, 0, 0), (1, 0, 0x80), (0xec, 0xff, 0x7f), (0xed, 0xff, 0xff), (0xee, 0xff, 0x7f)]
        {
            let point = [&[first][..], &[rest; 30], &[last]].concat();
            let key = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url::encode(point)});
            assert!(KeySet::from_json(&json!({"keys": [key]})).unwrap().is_empty(), "a point of small order");
        }
        let weak = json!({"kty": "RSA", "n": base64url::encode([255; 128]), "e": "AQAB"});
        assert!(KeySet::from_json(&json!({"keys": [weak]})).unwrap().is_empty());
    }
}
