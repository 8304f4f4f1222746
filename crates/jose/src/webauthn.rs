//! Passkeys (Web Authentication Level 3): what a browser says at registration (7.1) and at log-in (7.2), checked. Called by
//! `identity`, which keeps the challenges single use and the counters.
//!
//! No attestation is asked for, so nothing vouches for a new key but the session in which it is registered; the key is read
//! from what the browser hands over in plain form, and must be the one of the authenticator data.

use crate::{base64url, digest};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, RSA_PKCS1_2048_8192_SHA256, UnparsedPublicKey, VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// COSE numbers of the algorithms that are taken, the best first.
pub const ALGORITHMS: [i32; 3] = [-8, -7, -257];
/// Longest part of an answer, before anything is read.
const MAX_PART: usize = 8 * 1024;
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const HAS_KEY: u8 = 0x40;
/// What comes before the key itself in its DER (SubjectPublicKeyInfo): P-256 and Ed25519.
const P256_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03,
    0x01, 0x07, 0x03, 0x42, 0x00,
];
const ED25519_PREFIX: [u8; 12] = [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// Why an answer does not count. The text is for the person.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebauthnError {
    #[error("what the browser sent does not read")]
    Form,
    /// Of another page, another challenge, or another site.
    #[error("the passkey answered another question than this page asked")]
    Context,
    #[error("the device did not make sure that it is you")]
    Unverified,
    #[error("this kind of passkey cannot be used here")]
    Algorithm,
    #[error("the passkey's signature does not hold")]
    Signature,
    /// Its counter went back.
    #[error("this passkey seems to have been copied: remove it, and make a new one")]
    Copied,
}

/// Who asks.
#[derive(Clone, Copy, Debug)]
pub struct RelyingParty<'a> {
    /// Host name.
    pub id: &'a str,
    pub origin: &'a str,
}

/// A passkey as it is kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Passkey {
    /// Credential id, base64url.
    pub id: String,
    pub algorithm: i32,
    /// The key: point, 32 bytes, or DER, by algorithm; base64url.
    key: String,
    pub counter: u32,
}

/// A new passkey, every part base64url, as `AuthenticatorAttestationResponse` gives it.
#[derive(Clone, Debug, Default)]
pub struct Registration<'a> {
    pub id: &'a str,
    pub client_data: &'a str,
    pub authenticator_data: &'a str,
    /// `getPublicKey()`: SubjectPublicKeyInfo.
    pub public_key: &'a str,
    /// `getPublicKeyAlgorithm()`.
    pub algorithm: i32,
}

/// An answer of a passkey, every part base64url, as `AuthenticatorAssertionResponse` gives it.
#[derive(Clone, Debug, Default)]
pub struct Assertion<'a> {
    pub client_data: &'a str,
    pub authenticator_data: &'a str,
    pub signature: &'a str,
}

fn part(text: &str) -> Result<Vec<u8>, WebauthnError> {
    if text.len() > MAX_PART {
        return Err(WebauthnError::Form);
    }
    base64url::decode(text).ok_or(WebauthnError::Form)
}

/// The client data, checked: what was asked, by which page (7.1 steps 7 to 10, 7.2 steps 10 to 13).
fn client_data(text: &str, kind: &str, party: &RelyingParty<'_>, challenge: &str) -> Result<Vec<u8>, WebauthnError> {
    let bytes = part(text)?;
    let data: Value = serde_json::from_slice(&bytes).map_err(|_| WebauthnError::Form)?;
    let is = |name: &str, value: &str| data.get(name).and_then(Value::as_str) == Some(value);
    let framed = data.get("crossOrigin").and_then(Value::as_bool) == Some(true);
    let fits = is("type", kind) && is("challenge", challenge) && is("origin", party.origin) && !framed;
    if fits { Ok(bytes) } else { Err(WebauthnError::Context) }
}

/// Flags and counter of authenticator data for this site, with the person verified.
fn authenticator(data: &[u8], party: &RelyingParty<'_>) -> Result<(u8, u32), WebauthnError> {
    let (hash, rest) = data.split_at_checked(32).ok_or(WebauthnError::Form)?;
    let (flags, rest) = rest.split_first().ok_or(WebauthnError::Form)?;
    let counter = rest.first_chunk::<4>().ok_or(WebauthnError::Form)?;
    if hash != digest::sha256(&[party.id.as_bytes()]) {
        return Err(WebauthnError::Context);
    }
    if flags & USER_PRESENT == 0 || flags & USER_VERIFIED == 0 {
        return Err(WebauthnError::Unverified);
    }
    Ok((*flags, u32::from_be_bytes(*counter)))
}

/// The credential id in authenticator data that carry a new key, and what follows it: the key in CBOR.
fn attested(data: &[u8]) -> Option<(&[u8], &[u8])> {
    // hash, flags, counter, model of the device
    let rest = data.get(32_usize.checked_add(1 + 4 + 16)?..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))
}

fn holds(haystack: &[u8], needle: &[u8]) -> bool {
    !needle.is_empty() && haystack.windows(needle.len()).any(|window| window == needle)
}

/// The key in the form that verification takes; its parts must stand in the authenticator data.
fn read_key(algorithm: i32, der: &[u8], cbor: &[u8]) -> Result<Vec<u8>, WebauthnError> {
    let wrong = WebauthnError::Algorithm;
    match algorithm {
        -7 => {
            let point = der.strip_prefix(&P256_PREFIX).filter(|point| point.len() == 65).ok_or(wrong)?;
            let (x, y) = point.get(1..).and_then(|both| both.split_at_checked(32)).ok_or(wrong)?;
            if holds(cbor, x) && holds(cbor, y) { Ok(point.to_vec()) } else { Err(WebauthnError::Form) }
        }
        -8 => {
            let key = der.strip_prefix(&ED25519_PREFIX).filter(|key| key.len() == 32).ok_or(wrong)?;
            if holds(cbor, key) { Ok(key.to_vec()) } else { Err(WebauthnError::Form) }
        }
        // the modulus stands whole in both, behind a leading zero in DER
        -257 => {
            let modulus = der.get(der.len().checked_sub(261).ok_or(wrong)?..der.len().saturating_sub(5)).ok_or(wrong)?;
            if holds(cbor, modulus) { Ok(der.to_vec()) } else { Err(WebauthnError::Form) }
        }
        _ => Err(wrong),
    }
}

/// A new passkey, if the answer is to this page's question.
pub fn register(answer: &Registration<'_>, party: &RelyingParty<'_>, challenge: &str) -> Result<Passkey, WebauthnError> {
    client_data(answer.client_data, "webauthn.create", party, challenge)?;
    let (data, id) = (part(answer.authenticator_data)?, part(answer.id)?);
    let (flags, counter) = authenticator(&data, party)?;
    let (own_id, cbor) = attested(&data).filter(|_| flags & HAS_KEY != 0).ok_or(WebauthnError::Form)?;
    if own_id != id || !(16..=1023).contains(&id.len()) {
        return Err(WebauthnError::Form);
    }
    let key = read_key(answer.algorithm, &part(answer.public_key)?, cbor)?;
    Ok(Passkey { id: base64url::encode(&id), algorithm: answer.algorithm, key: base64url::encode(key), counter })
}

impl Passkey {
    /// The passkey with its counter moved on, if it has answered this page's question.
    pub fn verify(&self, answer: &Assertion<'_>, party: &RelyingParty<'_>, challenge: &str) -> Result<Self, WebauthnError> {
        let client_data = client_data(answer.client_data, "webauthn.get", party, challenge)?;
        let (data, signature) = (part(answer.authenticator_data)?, part(answer.signature)?);
        let (_, counter) = authenticator(&data, party)?;
        let algorithm: &'static dyn VerificationAlgorithm = match self.algorithm {
            -7 => &ECDSA_P256_SHA256_ASN1,
            -8 => &ED25519,
            -257 => &RSA_PKCS1_2048_8192_SHA256,
            _ => return Err(WebauthnError::Algorithm),
        };
        let key = base64url::decode(&self.key).ok_or(WebauthnError::Form)?;
        let signed = [data.as_slice(), &digest::sha256(&[&client_data])].concat();
        let verified = UnparsedPublicKey::new(algorithm, key).verify(&signed, &signature);
        verified.map_err(|_| WebauthnError::Signature)?;
        // both nought: the authenticator does not count
        if counter <= self.counter && (counter, self.counter) != (0, 0) {
            return Err(WebauthnError::Copied);
        }
        Ok(Self { counter, ..self.clone() })
    }
}

#[cfg(test)]
#[path = "webauthn/tests.rs"]
mod tests;
