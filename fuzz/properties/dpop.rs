//! A DPoP proof is good for the request it names, in its minute, and as it was signed.

use super::shared::{choose, signer, tamper};
use jose::dpop::{PROOF_LIFETIME, Request, check, prove};
use types::Timestamp;

const NOW: Timestamp = Timestamp(1_800_000_000);

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 2 {
        0 => sent(&String::from_utf8_lossy(rest)),
        _ => proven(choice, &String::from_utf8_lossy(rest)),
    }
}

/// Any text: what passes says who and when, within bounds.
fn sent(text: &str) {
    let request = Request { method: "POST", url: "https://as.example/token", access_token: None };
    let Ok(proof) = check(text, &request, NOW) else { return };
    assert!((1..=256).contains(&proof.jti.len()) && proof.jkt.len() == 43);
    assert!((proof.iat.0 - NOW.0).abs() <= PROOF_LIFETIME);
}

/// A proof of ours for a request of lines: URL, `jti`, access token.
fn proven(choice: u8, text: &str) {
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (url, jti, token) = (line(), line(), line());
    let request = Request { method: "GET", url, access_token: (choice & 2 != 0).then_some(token) };
    let Ok(proof) = prove(signer(), &request, jti.to_owned(), NOW, None) else { return };
    let fits = (1..=256).contains(&jti.len()) && proof.len() <= jose::jws::MAX_JWS_BYTES;
    if let Ok(read) = check(&proof, &request, NOW) {
        assert!(fits && read.jti == jti && read.jkt == signer().public().thumbprint());
    } else {
        assert!(!fits || !is_plain(url), "{url} {jti}");
    }
    let other = tamper(&proof, usize::from(choice).wrapping_mul(text.len()));
    assert!(other == proof || check(&other, &request, NOW).is_err());
    for wrong in [Request { method: "PUT", ..request }, Request { url: "https://other.example/", ..request }] {
        assert!(wrong.url == url && wrong.method == "GET" || check(&proof, &wrong, NOW).is_err());
    }
    assert!(check(&proof, &request, NOW.plus(PROOF_LIFETIME + 1)).is_err());
    assert!(check(&proof, &Request { access_token: Some("another"), ..request }, NOW).is_err() || token == "another");
}

/// A URL that no normalising would change.
fn is_plain(url: &str) -> bool {
    url::Url::parse(url).is_ok_and(|parsed| parsed.as_str() == url && parsed.query().is_none() && parsed.fragment().is_none())
        && !url.contains('%')
}
