//! Decentralized identifiers whose key is in the identifier: did:key and did:jwk. Nothing is looked up. Called for
//! resource owner credentials (protocol.md 3). A did:web names a place; whoever resolves it fetches, and hands in keys.

use crate::base64url;
use crate::jwk::{KeySet, PublicKey};
use serde_json::Value;

/// Multicodec prefix of an Ed25519 public key.
const ED25519: [u8; 2] = [0xed, 0x01];
/// Of a P-256 public key, compressed.
const P256: [u8; 2] = [0x80, 0x24];
/// Longest identifier that is looked at.
const MAX_DID: usize = 2048;

/// Why an identifier gives no key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadDid {
    #[error("it must be a did:key of an Ed25519 or P-256 key, or a did:jwk")]
    Method,
    #[error("it holds no public key that can be used here")]
    Key,
}

/// The keys that an identifier holds, each under the DID URLs that may name it.
pub fn keys_of(did: &str) -> Result<KeySet, BadDid> {
    if did.len() > MAX_DID || did.contains('#') {
        return Err(BadDid::Method);
    }
    let (key, fragment) = if let Some(rest) = did.strip_prefix("did:key:") {
        (key_of(rest)?, rest.to_owned())
    } else if let Some(rest) = did.strip_prefix("did:jwk:") {
        let jwk: Value = base64url::decode(rest).and_then(|bytes| types::json::parse(&bytes).ok()).ok_or(BadDid::Key)?;
        (PublicKey::from_jwk(&jwk).map_err(|_| BadDid::Key)?, "0".to_owned())
    } else {
        return Err(BadDid::Method);
    };
    let named = |kid: String| key.clone().with_kid(kid);
    Ok(KeySet::new(vec![named(format!("{did}#{fragment}")), named(did.to_owned())]))
}

/// The did:key of an Ed25519 or P-256 key, the did:jwk of any other.
pub fn of_key(key: &PublicKey) -> String {
    let bytes = match (key.ed25519_bytes(), key.p256_compact()) {
        (Some(bytes), _) => [&ED25519[..], bytes].concat(),
        (None, Some(bytes)) => [&P256[..], &bytes].concat(),
        (None, None) => return format!("did:jwk:{}", base64url::encode(key.to_jwk().to_string())),
    };
    format!("did:key:z{}", bs58::encode(bytes).into_string())
}

fn key_of(multibase: &str) -> Result<PublicKey, BadDid> {
    let bytes = multibase.strip_prefix('z').and_then(|text| bs58::decode(text).into_vec().ok()).ok_or(BadDid::Key)?;
    if let Some(key) = bytes.strip_prefix(&ED25519).filter(|key| key.len() == 32) {
        return Ok(PublicKey::ed25519(None, key));
    }
    let key = bytes.strip_prefix(&P256).filter(|key| key.len() == 33).ok_or(BadDid::Key)?;
    PublicKey::p256_compressed(key).ok_or(BadDid::Key)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Algorithm, SigningKey, UnverifiedJws};
    use serde_json::json;

    /// The example of the did:key method's own specification.
    #[test]
    fn a_did_key_is_its_key() {
        let did = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
        let keys = keys_of(did).unwrap();
        let key = keys.candidates(Some(did), "EdDSA").next().unwrap();
        assert_eq!(of_key(key), did);
    }

    /// The P-256 example of the same specification.
    #[test]
    fn a_compressed_point_is_a_key_too() {
        let did = "did:key:zDnaerDaTF5BXEavCrfRZEk316dpbLsfPDZ3WJ5hRTPFU2169";
        let keys = keys_of(did).unwrap();
        let key = keys.candidates(Some(did), "ES256").next().unwrap();
        assert_eq!(of_key(key), did);
    }

    #[test]
    fn what_is_signed_by_a_key_is_verified_by_its_did() {
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            let key = SigningKey::generate(algorithm).unwrap();
            let did = of_key(key.public());
            for kid in [did.clone(), format!("{did}#{}", did.rsplit(':').next().unwrap()), format!("{did}#0")] {
                let header = json!({"typ": "x", "alg": key.algorithm().as_str(), "kid": kid});
                let jws = key.sign_with_header(&header, &json!({})).unwrap();
                let verified = UnverifiedJws::parse(&jws).unwrap().verify(&keys_of(&did).unwrap());
                let is_its_own = did.starts_with("did:jwk") == kid.ends_with("#0") || kid == did;
                assert_eq!(verified.is_ok(), is_its_own, "{kid}");
            }
        }
    }

    #[test]
    fn rubbish_gives_no_key() {
        for did in [
            "",
            "did:key:",
            "did:key:z",
            "did:key:zOOOO",
            "did:key:mAAAA",
            "did:jwk:e30",
            "did:web:a.example",
            "did:jwk:!",
            "key",
        ] {
            assert!(keys_of(did).is_err(), "{did}");
        }
        assert!(keys_of(&format!("did:key:z{}", "1".repeat(5_000))).is_err());
    }
}
