//! A JWK that is taken is public, of one of three kinds, and is written again as the same key.

use super::shared::choose;
use jose::{KeySet, PublicKey, base64url};
use serde_json::{Value, json};

/// Members of private and symmetric keys (RFC 7518 6.2.2, 6.3.2, 6.4, RFC 8037 2).
const PRIVATE: [&str; 8] = ["d", "p", "q", "dp", "dq", "qi", "oth", "k"];

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    let Ok(jwk) = types::json::parse::<Value>(rest) else { return };
    let set = if choice % 2 == 0 { json!({ "keys": [jwk] }) } else { jwk.clone() };
    if let Some(keys) = KeySet::from_json(&set) {
        assert!(keys.thumbprints().all(|one| one.len() == 43));
    }
    let Ok(key) = PublicKey::from_jwk(&jwk) else { return };
    assert!(PRIVATE.iter().all(|name| jwk.get(name).is_none()), "a private key was taken");
    let again = PublicKey::from_jwk(&key.to_jwk()).unwrap();
    assert_eq!(again, key);
    assert_eq!(again.thumbprint(), key.thumbprint());
    for member in ["x", "y", "n", "e"].iter().filter_map(|name| key.to_jwk().get(name)?.as_str().map(str::to_owned)) {
        assert!(base64url::decode(&member).is_some_and(|bytes| bytes.len() <= 1024));
    }
    // no key may vouch for what nobody signed
    let digest = jose::digest::sha256(&[rest]);
    assert!(!key.verifies(&digest, &[digest, digest].concat()));
}
