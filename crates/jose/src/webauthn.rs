//! Passkeys (Web Authentication Level 3): what a browser says at registration (7.1) and at log-in (7.2), checked. Called by
//! `identity`, which keeps the challenges single use and the counters.
//!
//! No attestation is asked for, so nothing vouches for a new key but the session in which it is registered; the key is the
//! one in the authenticator data, and must be what the browser hands over in plain form.

use crate::cbor::{self, Item};
use crate::jwk::is_of_small_order;
use crate::{base64url, digest};
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_ASN1, ED25519, ParsedPublicKey, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
    VerificationAlgorithm,
};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// COSE numbers of the algorithms that are taken, the best first.
pub const ALGORITHMS: [i32; 3] = [-8, -7, -257];
/// Longest part of an answer, before anything is read.
const MAX_PART: usize = 8 * 1024;
const USER_PRESENT: u8 = 0x01;
const USER_VERIFIED: u8 = 0x04;
const MAY_BE_BACKED_UP: u8 = 0x08;
const BACKED_UP: u8 = 0x10;
const HAS_KEY: u8 = 0x40;
const HAS_EXTENSIONS: u8 = 0x80;
/// Labels of a COSE_Key's members; those of a curve's point and of an RSA key are the same numbers (RFC 9053 7, RFC 8230 4).
const KTY: i128 = 1;
const ALG: i128 = 3;
const CRV: i128 = -1;
const X: i128 = -2;
const Y: i128 = -3;
const MODULUS: i128 = -1;
const EXPONENT: i128 = -2;
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
    let data: Value = types::json::parse(&bytes).map_err(|_| WebauthnError::Form)?;
    let is = |name: &str, value: &str| data.get(name).and_then(Value::as_str) == Some(value);
    // these pages are in no frame of another site, and whatever says otherwise is not from them
    let framed = data.get("topOrigin").is_some() || data.get("crossOrigin").is_some_and(|framed| framed != &Value::Bool(false));
    let fits = is("type", kind) && is("challenge", challenge) && is("origin", party.origin) && !framed;
    if fits { Ok(bytes) } else { Err(WebauthnError::Context) }
}

/// Authenticator data (6.1), taken apart.
struct AuthenticatorData<'a> {
    counter: u32,
    attested: Option<Attested<'a>>,
}

/// A new key in them (6.5.1).
struct Attested<'a> {
    id: &'a [u8],
    /// COSE_Key.
    key: Item<'a>,
}

/// Authenticator data for this site, with the person verified. Every byte belongs to something.
fn authenticator<'a>(data: &'a [u8], party: &RelyingParty<'_>) -> Result<AuthenticatorData<'a>, WebauthnError> {
    let (hash, rest) = data.split_at_checked(32).ok_or(WebauthnError::Form)?;
    let (flags, rest) = rest.split_first().ok_or(WebauthnError::Form)?;
    let (counter, rest) = rest.split_first_chunk::<4>().ok_or(WebauthnError::Form)?;
    if hash != digest::sha256(&[party.id.as_bytes()]) {
        return Err(WebauthnError::Context);
    }
    let has = |flag: u8| flags & flag != 0;
    if !has(USER_PRESENT) || !has(USER_VERIFIED) {
        return Err(WebauthnError::Unverified);
    }
    // a key that cannot be backed up is not backed up (6.1.3)
    if has(BACKED_UP) && !has(MAY_BE_BACKED_UP) {
        return Err(WebauthnError::Form);
    }
    let attested = if has(HAS_KEY) { Some(attested(rest).ok_or(WebauthnError::Form)?) } else { None };
    let rest = attested.as_ref().map_or(rest, |(_, rest)| *rest);
    let extensions = cbor::read(rest).filter(|read| read.item.is_map() && read.rest.is_empty());
    if has(HAS_EXTENSIONS) != extensions.is_some() || (!has(HAS_EXTENSIONS) && !rest.is_empty()) {
        return Err(WebauthnError::Form);
    }
    Ok(AuthenticatorData { counter: u32::from_be_bytes(*counter), attested: attested.map(|(attested, _)| attested) })
}

/// A new key, and what follows it: model of the device, length of the credential's id, the id, the key.
fn attested(data: &[u8]) -> Option<(Attested<'_>, &[u8])> {
    let rest = data.get(16..)?;
    let (length, rest) = rest.split_first_chunk::<2>()?;
    let (id, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*length)))?;
    let cbor::Read { item: key, rest } = cbor::read(rest)?;
    Some((Attested { id, key }, rest))
}

/// A public key in both forms that are needed.
struct Key {
    /// As verification takes it.
    raw: Vec<u8>,
    /// SubjectPublicKeyInfo, as browsers hand it out.
    der: Vec<u8>,
}

/// The key of a COSE_Key of this algorithm (RFC 9053 2 and 7, RFC 8812 2); its type, curve and lengths must be the algorithm's.
fn read_key(algorithm: i32, cose: &Item<'_>) -> Option<Key> {
    let is = |label: i128, value: i128| cose.integer(label) == Some(value);
    let sized = |label: i128| cose.bytes(label).filter(|bytes| bytes.len() == 32);
    if !is(ALG, algorithm.into()) {
        return None;
    }
    match algorithm {
        -7 if is(KTY, 2) && is(CRV, 1) => {
            let raw = [&[4], sized(X)?, sized(Y)?].concat();
            ParsedPublicKey::new(&ECDSA_P256_SHA256_ASN1, &raw).ok()?;
            Some(Key { der: [&P256_PREFIX, raw.as_slice()].concat(), raw })
        }
        -8 if is(KTY, 1) && is(CRV, 6) => {
            let raw = sized(X).filter(|key| !is_of_small_order(key))?.to_vec();
            Some(Key { der: [&ED25519_PREFIX, raw.as_slice()].concat(), raw })
        }
        -257 if is(KTY, 3) => {
            let (modulus, exponent) = (cose.bytes(MODULUS)?, cose.bytes(EXPONENT)?);
            let fits = (256..=1024).contains(&modulus.len()) && modulus.first() != Some(&0) && exponent.len() <= 8;
            let components = fits.then_some(RsaPublicKeyComponents { n: modulus, e: exponent })?;
            let der: PublicKeyX509Der<'_> = components.as_der().ok()?;
            Some(Key { raw: der.as_ref().to_vec(), der: der.as_ref().to_vec() })
        }
        _ => None,
    }
}

/// A new passkey, if the answer is to this page's question.
pub fn register(answer: &Registration<'_>, party: &RelyingParty<'_>, challenge: &str) -> Result<Passkey, WebauthnError> {
    client_data(answer.client_data, "webauthn.create", party, challenge)?;
    let (data, id) = (part(answer.authenticator_data)?, part(answer.id)?);
    let AuthenticatorData { counter, attested } = authenticator(&data, party)?;
    let new = attested.ok_or(WebauthnError::Form)?;
    if new.id != id || !(16..=1023).contains(&id.len()) {
        return Err(WebauthnError::Form);
    }
    let key = read_key(answer.algorithm, &new.key).ok_or(WebauthnError::Algorithm)?;
    if key.der != part(answer.public_key)? {
        return Err(WebauthnError::Form);
    }
    Ok(Passkey { id: base64url::encode(&id), algorithm: answer.algorithm, key: base64url::encode(key.raw), counter })
}

impl Passkey {
    /// The passkey with its counter moved on, if it has answered this page's question.
    pub fn verify(&self, answer: &Assertion<'_>, party: &RelyingParty<'_>, challenge: &str) -> Result<Self, WebauthnError> {
        let client_data = client_data(answer.client_data, "webauthn.get", party, challenge)?;
        let (data, signature) = (part(answer.authenticator_data)?, part(answer.signature)?);
        let counter = authenticator(&data, party)?.counter;
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
