//! What the properties share: a key that signs, small choices taken from the input, and comparing what was written again.

use jose::{Algorithm, KeySet, SigningKey};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::OnceLock;

/// DER of an Ed25519 private key up to the key itself (RFC 8410 7).
const PKCS8_PREFIX: [u8; 16] = [0x30, 0x2e, 2, 1, 0, 0x30, 5, 6, 3, 0x2b, 0x65, 0x70, 4, 0x22, 4, 0x20];

/// The same key in every run, so that what a run finds can be run again.
pub(crate) fn signer() -> &'static SigningKey {
    static KEY: OnceLock<SigningKey> = OnceLock::new();
    KEY.get_or_init(|| SigningKey::from_pkcs8(Algorithm::EdDsa, &[&PKCS8_PREFIX[..], &[7; 32]].concat()).unwrap())
}

/// Keys that signed nothing: one of each kind, made anew in each run.
pub(crate) fn strangers() -> &'static KeySet {
    static KEYS: OnceLock<KeySet> = OnceLock::new();
    KEYS.get_or_init(|| {
        let key = |algorithm| SigningKey::generate(algorithm).unwrap().public().clone().with_kid("stranger".into());
        KeySet::new([Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256].map(key).to_vec())
    })
}

/// The first byte as a choice, and the rest.
pub(crate) fn choose(data: &[u8]) -> (u8, &[u8]) {
    data.split_first().map_or((0, data), |(first, rest)| (*first, rest))
}

/// The text with one character exchanged for another of the same alphabet, at a place that the input chooses.
pub(crate) fn tamper(text: &str, at: usize) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let at = at % bytes.len().max(1);
    if let Some(byte) = bytes.get_mut(at) {
        *byte = if *byte == b'A' { b'B' } else { b'A' };
    }
    String::from_utf8(bytes).unwrap_or_default()
}

/// Whether both say the same. Numbers with a fraction may lose their last bit in writing.
pub(crate) fn alike(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(a), Value::Number(b)) if a.is_f64() && b.is_f64() => {
            let (a, b) = (a.as_f64().unwrap(), b.as_f64().unwrap());
            a == b || ((a - b) / b).abs() < 1e-12
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| alike(a, b)),
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(name, value)| b.get(name).is_some_and(|other| alike(value, other)))
        }
        _ => one == other,
    }
}

/// What is read, written and read again is the same.
pub(crate) fn is_written_again_alike<T: Serialize + DeserializeOwned>(bytes: &[u8]) {
    let Ok(first) = types::json::parse::<T>(bytes) else { return };
    let written = serde_json::to_vec(&first).unwrap();
    let second: T = types::json::parse(&written).expect("what was written is read");
    assert!(alike(&serde_json::to_value(&first).unwrap(), &serde_json::to_value(&second).unwrap()));
}
