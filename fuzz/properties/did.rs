//! A DID that holds its key has one text, and names nothing but that key.

use jose::{Algorithm, did};

pub(crate) fn holds(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(keys) = did::keys_of(text) else { return };
    assert!(text.len() <= 2048 && !text.contains('#'));
    let algorithms = [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256];
    let key = algorithms.iter().find_map(|one| keys.candidates(Some(text), one.as_str()).next()).expect("named by its DID");
    let again = did::of_key(key);
    if text.starts_with("did:key:") {
        assert_eq!(again, text, "one spelling");
    }
    let same = did::keys_of(&again).unwrap();
    assert_eq!(same.thumbprints().next(), Some(key.thumbprint()));
    let suffix = key.kid().unwrap();
    assert!(suffix == text || suffix.starts_with(&format!("{text}#")));
    assert!(keys.candidates(Some("did:key:other"), key.algorithm().as_str()).next().is_none());
}
