//! What a browser says about a passkey counts only if it names this question, this page and this site, and every byte of it
//! was signed.

use super::shared::choose;
use aws_lc_rs::signature::{Ed25519KeyPair, KeyPair};
use jose::webauthn::{Assertion, Passkey, Registration, RelyingParty, register};
use jose::{base64url, digest};
use serde_json::{Value, json};
use std::sync::OnceLock;

const PARTY: RelyingParty<'static> = RelyingParty { id: "as.example", origin: "https://as.example" };
const CHALLENGE: &str = "Y2hhbGxlbmdl";

fn device() -> &'static Ed25519KeyPair {
    static PAIR: OnceLock<Ed25519KeyPair> = OnceLock::new();
    PAIR.get_or_init(|| Ed25519KeyPair::from_seed_unchecked(&[9; 32]).unwrap())
}

fn passkey() -> Passkey {
    let key = base64url::encode(device().public_key().as_ref());
    serde_json::from_value(json!({"id": "CQkJCQkJCQkJCQkJCQkJCQ", "algorithm": -8, "key": key, "counter": 5})).unwrap()
}

pub(crate) fn holds(data: &[u8]) {
    let (choice, rest) = choose(data);
    match choice % 3 {
        0 => said(rest),
        1 => authenticated(rest),
        _ => registered(rest),
    }
}

fn answer(client_data: &[u8], data: &[u8]) -> bool {
    let signature = device().sign(&[data, &digest::sha256(&[client_data])].concat());
    let parts = [client_data, data, signature.as_ref()].map(base64url::encode);
    let [client_data, authenticator_data, signature] = parts.each_ref().map(String::as_str);
    let sent = Assertion { client_data, authenticator_data, signature };
    passkey().verify(&sent, &PARTY, CHALLENGE).is_ok_and(|next| next.counter > 5 && next.id == passkey().id)
}

fn authenticator_data() -> Vec<u8> {
    [&digest::sha256(&[b"as.example"])[..], &[5, 0, 0, 0, 6]].concat()
}

fn fits(client_data: &[u8], kind: &str) {
    let data: Value = types::json::parse(client_data).expect("strict JSON, no member twice");
    assert_eq!((data["type"].as_str(), data["challenge"].as_str()), (Some(kind), Some(CHALLENGE)));
    assert_eq!(data["origin"].as_str(), Some(PARTY.origin));
    assert!(matches!(data.get("crossOrigin"), None | Some(Value::Bool(false))), "framed");
}

/// Client data are the input.
fn said(client_data: &[u8]) {
    if answer(client_data, &authenticator_data()) {
        fits(client_data, "webauthn.get");
    }
}

/// Authenticator data are the input.
fn authenticated(data: &[u8]) {
    let client_data = json!({"type": "webauthn.get", "challenge": CHALLENGE, "origin": PARTY.origin}).to_string();
    if answer(client_data.as_bytes(), data) {
        assert_eq!(data[..32], digest::sha256(&[b"as.example"]));
        assert_eq!(data[32] & 5, 5);
    }
}

/// Lines of base64url: id, client data, authenticator data, public key.
fn registered(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let mut lines = text.split('\n');
    let mut line = || lines.next().unwrap_or_default();
    let (id, client_data, authenticator_data, public_key) = (line(), line(), line(), line());
    for algorithm in [-7, -8, -257, 0] {
        let sent = Registration { id, client_data, authenticator_data, public_key, algorithm };
        let Ok(new) = register(&sent, &PARTY, CHALLENGE) else { continue };
        assert_eq!((new.id.as_str(), new.algorithm), (id, algorithm));
        fits(&base64url::decode(client_data).unwrap(), "webauthn.create");
        let again: Passkey = serde_json::from_value(serde_json::to_value(&new).unwrap()).unwrap();
        assert_eq!(again, new);
    }
}
