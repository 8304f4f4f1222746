use super::*;
use aws_lc_rs::encoding::{AsDer, PublicKeyX509Der};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::{KeyPair as RsaKeyPair, KeySize};
use aws_lc_rs::signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256};
use serde_json::json;

const PARTY: RelyingParty<'static> = RelyingParty { id: "as.example", origin: "https://as.example" };

/// A device with one key.
enum Device {
    P256(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
    Rsa(Box<RsaKeyPair>),
}

impl Device {
    fn all() -> Vec<Self> {
        vec![
            Self::P256(EcdsaKeyPair::generate(&ECDSA_P256_SHA256_ASN1_SIGNING).unwrap()),
            Self::Ed25519(Ed25519KeyPair::generate().unwrap()),
            Self::Rsa(Box::new(RsaKeyPair::generate(KeySize::Rsa2048).unwrap())),
        ]
    }

    fn algorithm(&self) -> i32 {
        match self {
            Self::P256(_) => -7,
            Self::Ed25519(_) => -8,
            Self::Rsa(_) => -257,
        }
    }

    /// The key as SubjectPublicKeyInfo.
    fn der(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => [&P256_PREFIX, pair.public_key().as_ref()].concat(),
            Self::Ed25519(pair) => [&ED25519_PREFIX, pair.public_key().as_ref()].concat(),
            Self::Rsa(pair) => {
                let der: PublicKeyX509Der<'_> = pair.public_key().as_der().unwrap();
                der.as_ref().to_vec()
            }
        }
    }

    /// The key as COSE_Key.
    fn cose(&self) -> Vec<u8> {
        match self {
            Self::P256(pair) => {
                let (x, y) = pair.public_key().as_ref()[1..].split_at(32);
                [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat()
            }
            Self::Ed25519(pair) => [&[0xa4, 1, 1, 3, 0x27, 0x20, 6, 0x21, 0x58, 32], pair.public_key().as_ref()].concat(),
            Self::Rsa(pair) => {
                let modulus = pair.public_key().modulus().big_endian_without_leading_zero();
                [&[0xa4, 1, 3, 3, 0x39, 1, 0, 0x20, 0x59, 1, 0], modulus, &[0x21, 0x43, 1, 0, 1]].concat()
            }
        }
    }

    fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::P256(pair) => pair.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::Ed25519(pair) => pair.sign(message).as_ref().to_vec(),
            Self::Rsa(pair) => {
                let mut signature = vec![0; pair.public_modulus_len()];
                pair.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
        }
    }
}

fn data(party: &str, flags: u8, counter: u32) -> Vec<u8> {
    [&digest::sha256(&[party.as_bytes()])[..], &[flags], &counter.to_be_bytes()].concat()
}

fn said(kind: &str, challenge: &str, origin: &str) -> String {
    base64url::encode(json!({"type": kind, "challenge": challenge, "origin": origin}).to_string())
}

const ID: [u8; 16] = [9; 16];

/// What the device says about its new key.
fn attested_data(device: &Device, flags: u8) -> String {
    base64url::encode([data(PARTY.id, flags, 0), vec![0; 16], vec![0, 16], ID.to_vec(), device.cose()].concat())
}

fn registered(device: &Device) -> Passkey {
    let (client_data, der) = (said("webauthn.create", "c", PARTY.origin), base64url::encode(device.der()));
    let (id, authenticator_data) = (base64url::encode(ID), attested_data(device, 0x45));
    let answer = Registration {
        id: &id,
        client_data: &client_data,
        authenticator_data: &authenticator_data,
        public_key: &der,
        algorithm: device.algorithm(),
    };
    register(&answer, &PARTY, "c").unwrap()
}

fn answer(device: &Device, said: &str, data: Vec<u8>) -> (String, String) {
    let signed = [data.as_slice(), &digest::sha256(&[&base64url::decode(said).unwrap()])].concat();
    (base64url::encode(&data), base64url::encode(device.sign(&signed)))
}

#[test]
fn a_passkey_of_each_kind_is_registered_and_answers() {
    for device in Device::all() {
        let passkey = registered(&device);
        let client_data = said("webauthn.get", "d", PARTY.origin);
        let (authenticator_data, signature) = answer(&device, &client_data, data(PARTY.id, 0x05, 7));
        let sent = Assertion { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
        let next = passkey.verify(&sent, &PARTY, "d").unwrap();
        assert_eq!(next.counter, 7);
        // the same again: its counter has not moved
        assert_eq!(next.verify(&sent, &PARTY, "d"), Err(WebauthnError::Copied));
        for other in Device::all().iter().filter(|other| other.algorithm() == device.algorithm()) {
            assert_eq!(registered(other).verify(&sent, &PARTY, "d"), Err(WebauthnError::Signature));
        }
    }
}

#[test]
fn an_answer_to_another_question_does_not_count() {
    use WebauthnError as E;
    let device = &Device::all()[0];
    let passkey = registered(device);
    let good = said("webauthn.get", "d", PARTY.origin);
    let framed = base64url::encode(
        json!({"type": "webauthn.get", "challenge": "d", "origin": PARTY.origin, "crossOrigin": true}).to_string(),
    );
    let twice =
        base64url::encode(r#"{"type":"webauthn.create","type":"webauthn.get","challenge":"d","origin":"https://as.example"}"#);
    let on_top = base64url::encode(
        json!({"type": "webauthn.get", "challenge": "d", "origin": PARTY.origin, "topOrigin": "https://evil.example"})
            .to_string(),
    );
    for (client_data, data, wrong) in [
        (said("webauthn.get", "another", PARTY.origin), data(PARTY.id, 0x05, 1), E::Context),
        (said("webauthn.create", "d", PARTY.origin), data(PARTY.id, 0x05, 1), E::Context),
        (said("webauthn.get", "d", "https://evil.example"), data(PARTY.id, 0x05, 1), E::Context),
        (framed, data(PARTY.id, 0x05, 1), E::Context),
        (good.clone(), data("evil.example", 0x05, 1), E::Context),
        (good.clone(), data(PARTY.id, 0x01, 1), E::Unverified),
        (good.clone(), data(PARTY.id, 0x04, 1), E::Unverified),
        (good.clone(), data(PARTY.id, 0x05, 1)[..36].to_vec(), E::Form),
        (good.clone(), vec![], E::Form),
        (base64url::encode("no JSON"), data(PARTY.id, 0x05, 1), E::Form),
        (twice, data(PARTY.id, 0x05, 1), E::Form),
        (on_top, data(PARTY.id, 0x05, 1), E::Context),
        // backed up, and cannot be
        (good.clone(), data(PARTY.id, 0x15, 1), E::Form),
        // bytes that belong to nothing; extensions that are none, or not there
        (good.clone(), [data(PARTY.id, 0x05, 1), vec![0xa0]].concat(), E::Form),
        (good.clone(), [data(PARTY.id, 0x85, 1), vec![0x80]].concat(), E::Form),
        (good.clone(), [data(PARTY.id, 0x85, 1), vec![0xa0, 0]].concat(), E::Form),
        (good.clone(), data(PARTY.id, 0x85, 1), E::Form),
    ] {
        let (authenticator_data, signature) = answer(device, &client_data, data);
        let sent = Assertion { client_data: &client_data, authenticator_data: &authenticator_data, signature: &signature };
        assert_eq!(passkey.verify(&sent, &PARTY, "d"), Err(wrong), "{client_data}");
    }
}

#[test]
fn backups_and_extensions_are_no_obstacle() {
    let device = &Device::all()[0];
    let said = said("webauthn.get", "d", PARTY.origin);
    for data in
        [data(PARTY.id, 0x0d, 1), data(PARTY.id, 0x1d, 1), [data(PARTY.id, 0x85, 1), vec![0xa1, 0x61, b'x', 0xf5]].concat()]
    {
        let (authenticator_data, signature) = answer(device, &said, data);
        let sent = Assertion { client_data: &said, authenticator_data: &authenticator_data, signature: &signature };
        assert!(registered(device).verify(&sent, &PARTY, "d").is_ok(), "{authenticator_data}");
    }
}

#[test]
fn a_key_that_is_not_the_devices_is_not_registered() {
    use WebauthnError as E;
    let devices = Device::all();
    for device in &devices {
        let (id, client_data) = (base64url::encode(ID), said("webauthn.create", "c", PARTY.origin));
        let (authenticator_data, der) = (attested_data(device, 0x45), base64url::encode(device.der()));
        let good = Registration {
            id: &id,
            client_data: &client_data,
            authenticator_data: &authenticator_data,
            public_key: &der,
            algorithm: device.algorithm(),
        };
        assert!(register(&good, &PARTY, "c").is_ok());
        let (other_id, without) = (base64url::encode([8; 16]), attested_data(device, 0x05));
        let fresh = Device::all().into_iter().find(|one| one.algorithm() == device.algorithm()).unwrap();
        let foreign = base64url::encode(fresh.der());
        assert_eq!(register(&Registration { public_key: &foreign, ..good.clone() }, &PARTY, "c"), Err(E::Form));
        assert_eq!(register(&Registration { id: &other_id, ..good.clone() }, &PARTY, "c"), Err(E::Form));
        assert_eq!(register(&Registration { authenticator_data: &without, ..good.clone() }, &PARTY, "c"), Err(E::Form));
        assert_eq!(register(&Registration { algorithm: -37, ..good.clone() }, &PARTY, "c"), Err(E::Algorithm));
        assert_eq!(register(&Registration { public_key: "", ..good.clone() }, &PARTY, "c"), Err(E::Form));
        let long = "A".repeat(MAX_PART + 1);
        assert_eq!(register(&Registration { public_key: &long, ..good.clone() }, &PARTY, "c"), Err(E::Form));
        assert_eq!(register(&good, &PARTY, "d"), Err(E::Context));
    }
}
