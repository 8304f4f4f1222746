//! Passkeys at the provider's endpoints, with a device made of a key alone: what is checked in `jose::webauthn` is bound here to
//! this server's question, to one browser, and to one account.

use crate::oauth::Browser;
use crate::world::{Answer, ISSUER, World};
use jose::{base64url, digest};
use rcgen::{KeyPair, PublicKeyData, SigningKey};
use serde_json::json;

/// A device with one key for this server.
pub(crate) struct Device {
    key: KeyPair,
    pub(crate) id: [u8; 16],
    counter: std::cell::Cell<u32>,
}

impl Device {
    pub(crate) fn new(id: u8) -> Self {
        let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        Self { key, id: [id; 16], counter: std::cell::Cell::new(0) }
    }

    fn data(&self, flags: u8) -> Vec<u8> {
        self.counter.set(self.counter.get() + 1);
        [&digest::sha256(&[b"127.0.0.1"])[..], &[flags], &self.counter.get().to_be_bytes()].concat()
    }

    fn client_data(kind: &str, question: &str) -> String {
        base64url::encode(json!({"type": kind, "challenge": question, "origin": ISSUER}).to_string())
    }

    /// The fields of the form that adds it.
    fn made(&self, question: &str) -> Vec<(&'static str, String)> {
        let point = self.key.public_key_raw();
        let (x, y) = point[1..].split_at(32);
        let cbor = [&[0xa5, 1, 2, 3, 0x26, 0x20, 1, 0x21, 0x58, 32], x, &[0x22, 0x58, 32], y].concat();
        let data = [self.data(0x45), vec![0; 16], vec![0, 16], self.id.to_vec(), cbor].concat();
        vec![
            ("what", "add".into()),
            ("question", question.into()),
            ("credential", base64url::encode(self.id)),
            ("client_data", Self::client_data("webauthn.create", question)),
            ("authenticator_data", base64url::encode(data)),
            ("public_key", base64url::encode(self.key.subject_public_key_info())),
            ("algorithm", "-7".into()),
        ]
    }

    /// The fields of a form that it answers.
    pub(crate) fn answer(&self, question: &str) -> Vec<(&'static str, String)> {
        let (client_data, data) = (Self::client_data("webauthn.get", question), self.data(0x05));
        let signed = [&data[..], &digest::sha256(&[&base64url::decode(&client_data).unwrap()])].concat();
        vec![
            ("question", question.into()),
            ("credential", base64url::encode(self.id)),
            ("client_data", client_data),
            ("authenticator_data", base64url::encode(data)),
            ("signature", base64url::encode(self.key.sign(&signed).unwrap())),
        ]
    }
}

pub(crate) fn question(page: &Answer) -> String {
    let rest = page.text.split("name=\"question\" value=\"").nth(1).unwrap_or_else(|| panic!("{}", page.text));
    rest.split('"').next().unwrap().to_owned()
}

pub(crate) async fn send(browser: &Browser<'_>, page: &Answer, path: &str, fields: &[(&str, String)]) -> Answer {
    let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
    browser.submit(page, path, &fields).await
}

pub(crate) async fn is_in(browser: &Browser<'_>) -> bool {
    browser.open("/account").await.status == 200
}

/// Whoever is logged in adds the device.
pub(crate) async fn add(browser: &Browser<'_>, device: &Device) -> Answer {
    let page = browser.open("/account").await;
    send(browser, &page, "/account", &device.made(&question(&page))).await
}

#[tokio::test]
async fn a_passkey_logs_its_owner_in_once_for_each_question() {
    for world in World::each().await {
        let (alice, device) = (Browser::new(&world), Device::new(1));
        alice.log_in("alice").await;
        assert_eq!(add(&alice, &device).await.status, 303);
        assert_eq!(add(&alice, &device).await.status, 400, "it is there already");
        let page = alice.open("/account").await;
        assert!(page.text.contains("not used yet"), "{}", page.text);
        // another browser, without a password
        let phone = Browser::new(&world);
        let page = phone.open("/login").await;
        let answer = device.answer(&question(&page));
        assert_eq!(send(&phone, &page, "/login/passkey", &answer).await.status, 303);
        assert!(is_in(&phone).await);
        assert!(phone.open("/account").await.text.contains("last used"));
        // the same answer again, and one that another browser was asked for
        let thief = Browser::new(&world);
        let page = thief.open("/login").await;
        let again = send(&thief, &page, "/login/passkey", &answer).await;
        assert!(again.status == 400 && again.text.contains("too old"), "{}", again.text);
        let page = phone.open("/login").await;
        let fresh = device.answer(&question(&page));
        assert_eq!(send(&phone, &page, "/login/passkey", &fresh).await.status, 303);
        let spent = send(&phone, &page, "/login/passkey", &device.answer(&question(&page))).await;
        assert!(spent.status == 400 && spent.text.contains("too old"), "a log-in ends the forms of before: {}", spent.text);
        // a question lives ten minutes
        let page = thief.open("/login").await;
        let late = device.answer(&question(&page));
        world.pass(601);
        assert_eq!(send(&thief, &page, "/login/passkey", &late).await.status, 400);
        // nobody's passkey, and rubbish
        let page = thief.open("/login").await;
        let stranger = Device::new(9).answer(&question(&page));
        assert!(send(&thief, &page, "/login/passkey", &stranger).await.text.contains("not known here"));
        for name in ["question", "client_data", "authenticator_data", "signature"] {
            let mut wrong = device.answer(&question(&page));
            wrong.iter_mut().filter(|(own, _)| *own == name).for_each(|(_, value)| *value = "AAAA".into());
            assert_eq!(send(&thief, &page, "/login/passkey", &wrong).await.status, 400, "{name}");
        }
        assert!(!is_in(&thief).await);
        // taken away: it opens nothing more
        let page = phone.open("/account").await;
        let id = base64url::encode(device.id);
        let fields = [("what", "remove".to_owned()), ("id", id)];
        assert_eq!(send(&phone, &page, "/account", &fields).await.status, 303);
        let page = thief.open("/login").await;
        assert_eq!(send(&thief, &page, "/login/passkey", &device.answer(&question(&page))).await.status, 400);
    }
}

#[tokio::test]
async fn a_passkey_is_added_by_whoever_proved_herself_lately_and_is_hers_alone() {
    for world in World::each().await {
        let (alice, carol, device) = (Browser::new(&world), Browser::new(&world), Device::new(1));
        alice.log_in("alice").await;
        carol.log_in("carol").await;
        // a session that somebody found open after a quarter of an hour becomes no lasting one
        world.pass(901);
        let page = alice.open("/account").await;
        assert!(page.text.contains("Log in again to add one"), "{}", page.text);
        let login = Browser::new(&world).open("/login").await;
        let late = send(&alice, &page, "/account", &device.made(&question(&login))).await;
        assert!(late.status >= 400 && late.text.contains("fresh log-in"), "{}: {}", late.status, late.text);
        alice.log_in("alice").await;
        assert_eq!(add(&alice, &device).await.status, 303);
        // nobody else removes it, or has it
        carol.log_in("carol").await;
        let page = carol.open("/account").await;
        let fields = [("what", "remove".to_owned()), ("id", base64url::encode(device.id))];
        assert_eq!(send(&carol, &page, "/account", &fields).await.status, 400);
        assert_eq!(send(&carol, &page, "/account", &device.made(&question(&page))).await.status, 400);
        assert!(is_in(&alice).await);
    }
}

#[tokio::test]
async fn threat_48_s13_the_last_way_in_stays_and_a_removed_passkey_does_not_come_back() {
    for world in World::each().await {
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let (one, other) = (Device::new(1), Device::new(2));
        assert_eq!(add(&alice, &one).await.status, 303);
        assert_eq!(add(&alice, &other).await.status, 303);
        // an account without a password, as one from another provider is
        let identity = &world.app.identity;
        let account = identity.store.find_account_by_username("alice").await.unwrap().unwrap();
        let bare = identity::Account { password_hash: None, ..account.clone() };
        identity.store.commit(identity::Changes::of(vec![identity::Write::PutAccount(bare)])).await.unwrap();
        // both at once: each rests on the other one
        let (first, second) = (base64url::encode(one.id), base64url::encode(other.id));
        let cookie = alice.cookies.borrow().iter().find(|(name, _)| name == "wl_session").unwrap().1.clone();
        let session = identity.find_session(&cookie).await.unwrap().unwrap();
        let (a, b) = tokio::join!(identity.remove_passkey(&session, &first), identity.remove_passkey(&session, &second));
        assert!(a.is_ok() != b.is_ok(), "one goes and one stays");
        let left = identity.list_passkeys(&account.id).await.unwrap();
        assert_eq!(left.len(), 1);
        let page = alice.open("/account").await;
        let fields = [("what", "remove".to_owned()), ("id", left[0].passkey.id.clone())];
        let refused = send(&alice, &page, "/account", &fields).await;
        assert!(refused.status == 400 && refused.text.contains("only way to log in"), "{}", refused.text);
        // what a log-in writes of a passkey rests on the passkey as it was
        let gone = left[0].clone();
        identity.store.commit(identity::Changes::of(vec![identity::Write::DeletePasskey(first.clone())])).await.unwrap();
        identity.store.commit(identity::Changes::of(vec![identity::Write::DeletePasskey(second.clone())])).await.unwrap();
        let late = identity::Changes {
            requires: vec![identity::Requirement::PasskeyUnchanged(gone.clone())],
            writes: vec![identity::Write::PutPasskey(gone)],
        };
        assert_eq!(identity.store.commit(late).await, Err(identity::CommitError::Changed));
    }
}
