//! Decentralized identifiers whose key is in the identifier: did:key and did:jwk. Nothing is looked up. Called for
//! resource owner credentials (protocol.md 3). A did:web names a place: where its document is, and which keys stand in it, is
//! said here too; whoever resolves it fetches.

use crate::base64url;
use crate::jwk::{KeySet, PublicKey, is_of_small_order};
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
        return if is_of_small_order(key) { Err(BadDid::Key) } else { Ok(PublicKey::ed25519(None, key)) };
    }
    let key = bytes.strip_prefix(&P256).filter(|key| key.len() == 33).ok_or(BadDid::Key)?;
    PublicKey::p256_compressed(key).ok_or(BadDid::Key)
}

/// Where the document of a did:web is (its method's specification, 3.2); none where it is not written in the one way that
/// leads to one place: a domain, a port after `%3A`, and path segments.
pub fn document_url(did: &str) -> Option<String> {
    let rest = did.strip_prefix("did:web:").filter(|_| did.len() <= MAX_DID)?;
    let (domain, path) = rest.split_once(':').map_or((rest, None), |(domain, path)| (domain, Some(path)));
    let (name, port) = domain.split_once("%3A").map_or((domain, None), |(name, port)| (name, Some(port)));
    let port = match port {
        Some(port) => format!(":{}", port.parse::<u16>().ok().filter(|number| number.to_string() == port)?),
        None => String::new(),
    };
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let is_segment = |text: &str| text != "." && text != ".." && !text.is_empty() && text.chars().all(plain);
    let path = match path {
        Some(path) if path.split(':').all(is_segment) => path.replace(':', "/"),
        Some(_) => return None,
        None => ".well-known".to_owned(),
    };
    // a name in capitals, or of another script, has another spelling
    types::email::normalize_domain(name).filter(|normal| normal == name)?;
    Some(format!("https://{name}{port}/{path}/did.json"))
}

/// The keys in the document of a did:web that may state something for it, each under its own id and under the DID. A key counts
/// only where `assertionMethod` names it or holds it: one that is there to decrypt, or to log in alone, signs nothing (DID Core
/// 5.3, 5.3.2). A document of another DID has none, nor do methods of others count.
pub fn keys_in_document(did: &str, document: &Value) -> Result<KeySet, BadDid> {
    if document.get("id").and_then(Value::as_str) != Some(did) {
        return Err(BadDid::Key);
    }
    let list = |name: &str| document.get(name).and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
    let methods = list("verificationMethod");
    let mut keys = Vec::new();
    for asserting in list("assertionMethod") {
        let method = match asserting.as_str() {
            Some(name) => {
                let named = fragment_of(did, name);
                methods.iter().find(|method| named.is_some() && fragment_of_method(did, method) == named)
            }
            None => Some(asserting),
        };
        let Some(method) = method.filter(|method| is_controlled_by(did, method)) else { continue };
        let key = method.get("publicKeyJwk").and_then(|jwk| PublicKey::from_jwk(jwk).ok());
        if let (Some(fragment), Some(key)) = (fragment_of_method(did, method), key) {
            keys.push(key.clone().with_kid(format!("{did}#{fragment}")));
            keys.push(key.with_kid(did.to_owned()));
        }
    }
    if keys.is_empty() { Err(BadDid::Key) } else { Ok(KeySet::new(keys)) }
}

/// An id may be written in whole, or from its fragment on (DID Core 3.2.2).
fn fragment_of<'a>(did: &str, id: &'a str) -> Option<&'a str> {
    id.strip_prefix(did).unwrap_or(id).strip_prefix('#').filter(|text| !text.is_empty())
}

fn fragment_of_method<'a>(did: &str, method: &'a Value) -> Option<&'a str> {
    fragment_of(did, method.get("id")?.as_str()?)
}

/// A key of somebody else is no key of this DID, whatever its document lists (DID Core 5.2).
fn is_controlled_by(did: &str, method: &Value) -> bool {
    method.get("controller").is_none_or(|controller| controller.as_str() == Some(did))
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

    #[test]
    fn a_did_web_leads_to_its_document_and_nowhere_else() {
        let leads = |did: &str| document_url(did);
        assert_eq!(leads("did:web:a.example").as_deref(), Some("https://a.example/.well-known/did.json"));
        assert_eq!(leads("did:web:a.example%3A8443:u:alice").as_deref(), Some("https://a.example:8443/u/alice/did.json"));
        for did in [
            "did:web:",
            "did:web:a/b",
            "did:web:a.example:..%2f",
            "did:web:u@a.example",
            "did:key:z",
            "did:web:a.example:..:bob",
            "did:web:a.example:.",
            "did:web:a.example:",
            "did:web:a.example::bob",
            "did:web:a\\b.example",
            "did:web:a.example%3A",
            "did:web:a.example%3A0443",
            "did:web:a.example%3A99999",
            "did:web:a.example%3a8443",
            "did:web:a.example%3A1%3A2",
            "did:web:A.example",
            "did:web:b\u{fc}cher.example",
            "did:web:127.0.0.1",
            "did:web:0x7f",
            "did:web:[::1]",
            "did:web:a.example:b%20c",
            "did:web:a.example:b c",
            "did:web:a.example#1",
            "did:web:a.example?x",
        ] {
            assert_eq!(leads(did), None, "{did}");
        }
    }

    #[test]
    fn a_document_speaks_for_its_own_did_alone() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let document = |did: &str, id: &str| {
            let jwk = key.public().to_jwk();
            json!({"id": did, "assertionMethod": [id], "verificationMethod": [{"id": id, "type": "JsonWebKey2020", "controller": did,
                "publicKeyJwk": jwk}]})
        };
        let did = "did:web:a.example";
        for id in ["did:web:a.example#1", "#1"] {
            let keys = keys_in_document(did, &document(did, id)).unwrap();
            assert!(keys.candidates(Some("did:web:a.example#1"), "EdDSA").next().is_some(), "{id}");
            assert!(keys.candidates(Some("did:web:a.example#2"), "EdDSA").next().is_none(), "{id}");
        }
        for id in ["did:web:a.example.evil.example#1", "did:web:b.example#1", "did:web:a.example", "#", "1"] {
            assert!(keys_in_document(did, &document(did, id)).is_err(), "{id}");
        }
        assert!(keys_in_document(did, &document("did:web:b.example", "#1")).is_err());
    }

    /// DID Core 5.3: a key is good for what the document says that it is for.
    #[test]
    fn a_key_states_something_only_where_the_document_lets_it() {
        let (key, did) = (SigningKey::generate(Algorithm::EdDsa).unwrap(), "did:web:a.example");
        let method = |controller: Value| json!({"id": "#1", "controller": controller, "publicKeyJwk": key.public().to_jwk()});
        let with = |own: Value, more: Value| {
            let mut document = json!({"id": did, "verificationMethod": [own]});
            document.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            keys_in_document(did, &document).is_ok()
        };
        for name in ["#1", "did:web:a.example#1"] {
            assert!(with(method(json!(did)), json!({"assertionMethod": [name]})), "{name}");
        }
        assert!(with(json!({}), json!({"assertionMethod": [method(json!(did))]})), "written where it is used");
        for more in [
            json!({}),
            json!({"authentication": ["#1"], "keyAgreement": ["#1"], "capabilityInvocation": ["#1"], "capabilityDelegation": ["#1"]}),
            json!({"authentication": [method(json!(did))]}),
            json!({"assertionMethod": ["#2"]}),
            json!({"assertionMethod": ["1"]}),
            json!({"assertionMethod": ["#"]}),
            json!({"assertionMethod": ["did:web:b.example#1"]}),
            json!({"assertionMethod": "#1"}),
            json!({"assertionMethod": []}),
            json!({"assertionMethod": [["#1"]]}),
        ] {
            assert!(!with(method(json!(did)), more.clone()), "{more}");
        }
        for foreign in [json!("did:web:b.example"), json!([did]), json!(null)] {
            assert!(!with(method(foreign.clone()), json!({"assertionMethod": ["#1"]})), "{foreign}");
        }
    }
}
