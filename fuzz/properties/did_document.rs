//! A did:web leads to one place, and its document speaks for that DID alone. Lines: the DID, the document.

use jose::{Algorithm, did};
use serde_json::Value;

pub(crate) fn holds(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let (name, document) = text.split_once('\n').unwrap_or((&text, ""));
    if let Some(place) = did::document_url(name) {
        let url = url::Url::parse(&place).expect("a URL");
        // `:443` is the scheme's own
        assert_eq!(url.as_str(), place.replacen(":443/", "/", 1), "one spelling");
        assert_eq!((url.scheme(), url.username(), url.query(), url.fragment()), ("https", "", None, None));
        assert!(matches!(url.host(), Some(url::Host::Domain(_))) && place.ends_with("/did.json"));
        let port = url.port().map(|port| format!("%3A{port}")).unwrap_or_default();
        assert!(name.starts_with(&format!("did:web:{}{port}", url.host_str().unwrap())));
    }
    let Ok(document) = types::json::parse::<Value>(document.as_bytes()) else { return };
    let Ok(keys) = did::keys_in_document(name, &document) else { return };
    assert_eq!(document["id"].as_str(), Some(name));
    assert!(!keys.is_empty());
    for key in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256].iter().flat_map(|one| keys.candidates(None, one.as_str())) {
        let kid = key.kid().expect("each is named");
        assert!(kid == name || kid.strip_prefix(name).is_some_and(|rest| rest.len() > 1 && rest.starts_with('#')), "{kid}");
    }
}
