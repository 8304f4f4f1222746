//! A compact JWS has one text, is bounded before it is looked at, and verifies only as it was signed.

use super::shared::{choose, signer, strangers, tamper};
use jose::jws::MAX_JWS_BYTES;
use jose::{JwsError, KeySet, UnverifiedJws, base64url};
use serde_json::Value;

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 2 {
        0 => sent(&String::from_utf8_lossy(rest)),
        _ => signed(rest),
    }
}

/// Any text: what parses is three parts of strict base64url, with a header of JSON, and nobody else's.
fn sent(text: &str) {
    let parsed = UnverifiedJws::parse(text);
    if text.len() > MAX_JWS_BYTES {
        assert_eq!(parsed.err(), Some(JwsError::TooLong));
        return;
    }
    let Ok(jws) = parsed else { return };
    let parts: Vec<&str> = text.split('.').collect();
    assert_eq!(parts.len(), 3);
    for part in &parts {
        assert_eq!(base64url::decode(part).map(base64url::encode).as_deref(), Some(*part), "one spelling");
    }
    let header: Value = types::json::parse(&base64url::decode(parts[0]).unwrap()).unwrap();
    assert!(header.get("crit").is_none(), "nothing critical is understood");
    assert_eq!(header["alg"].as_str(), Some(jws.header().alg.as_str()));
    assert!(jws.verify(strangers()).is_err());
}

/// A payload of ours, signed: it verifies as it is, and with any character changed it does not.
fn signed(data: &[u8]) {
    let Some((place, payload)) = data.split_at_checked(2) else { return };
    let Ok(payload) = types::json::parse::<Value>(payload) else { return };
    let text = signer().sign("JWT", &payload).unwrap();
    let keys = KeySet::new(vec![signer().public().clone()]);
    let verify = |text: &str| UnverifiedJws::parse(text)?.verify(&keys);
    if text.len() > MAX_JWS_BYTES {
        assert_eq!(verify(&text).err(), Some(JwsError::TooLong));
        return;
    }
    assert!(verify(&text).unwrap().claims::<Value>().is_ok());
    let other = tamper(&text, usize::from(u16::from_be_bytes([place[0], place[1]])));
    assert!(other == text || verify(&other).is_err(), "{other}");
    for other in [format!("{text}="), format!("{text}A"), format!(" {text}"), format!("{text}."), format!("{text}\n")] {
        assert!(verify(&other).is_err(), "{other:?}");
    }
}
