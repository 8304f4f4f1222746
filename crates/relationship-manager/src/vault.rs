//! An owner's signing keys. They are made here and kept sealed under a passphrase that is kept nowhere (or by a passkey, see
//! [`crate::passkey`]): without it nobody signs for her, whoever has the store or her session. Opened for a while, for one session; exported and imported in the
//! sealed form.

use crate::passkey::{Brought, Key};
use crate::person::Person;
use crate::{Manager, Trouble, lock};
use argon2::{Algorithm as Kind, Argon2, Params, Version};
use jose::seal::{KEY_BYTES, SealingKey};
use jose::{Algorithm, SigningKey, base64url, did};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::Timestamp;

/// Shortest passphrase, in characters.
pub(crate) const SHORTEST: usize = 12;
/// Longest, in bytes.
const LONGEST: usize = 1024;
/// Seconds that a key stays open after its last use.
const OPEN_FOR: i64 = 900;
/// Seconds after it was opened in which it is exported without its passphrase once more: whoever comes later and finds the session
/// would take it home, and guess there.
const EXPORTED_FOR: i64 = 300;
/// Wrong passphrases in a row before a pause.
const WRONG_AT_MOST: u32 = 10;
const PAUSE: i64 = 900;
/// Argon2id: memory in KiB, and passes.
const MEMORY: u32 = 64 * 1024;
const PASSES: u32 = 3;
/// Most keys of one owner.
pub(crate) const MAX_KEYS: usize = 5;
/// What a try is counted by that opens a key which is brought and is not here, whatever that is called.
const IMPORT: &str = "import";
const FORM: &str = "wayleave-key-1";

/// A key as it is kept, and exported.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeptKey {
    form: String,
    pub(crate) did: String,
    pub(crate) created: Timestamp,
    salt: String,
    memory: u32,
    passes: u32,
    sealed: String,
}

/// A key that is open.
#[derive(Clone)]
pub(crate) struct OpenKey {
    pub(crate) did: String,
    pub(crate) key: Arc<SigningKey>,
}

/// What a manager has open, by session, and who guesses.
#[derive(Default)]
pub(crate) struct Vault {
    open: std::collections::HashMap<String, (Timestamp, OpenKey)>,
    /// By session: when which key was opened, by passphrase or passkey.
    proved: std::collections::HashMap<String, (Timestamp, String)>,
    /// By owner and what is to be opened: how often in a row, and until when nothing is tried.
    wrong: std::collections::HashMap<String, (u32, Timestamp)>,
}

impl Vault {
    /// `of`: whose, and of what.
    fn take_try(&mut self, of: &str, now: Timestamp) -> Result<(), Trouble> {
        let (count, until) = self.wrong.entry(of.to_owned()).or_insert((0, Timestamp(0)));
        if now < *until {
            return refused("Too many wrong tries. Wait a quarter of an hour.");
        }
        *count = count.saturating_add(1);
        if *count >= WRONG_AT_MOST {
            (*count, *until) = (0, now.plus(PAUSE));
        }
        Ok(())
    }

    /// A right one takes back itself alone: wrong ones before it stay counted.
    fn give_back_try(&mut self, of: &str, now: Timestamp) {
        let Some((count, until)) = self.wrong.get_mut(of) else { return };
        *count = if now < *until { WRONG_AT_MOST.saturating_sub(1) } else { count.saturating_sub(1) };
        *until = Timestamp(0);
    }
}

/// Under what the tries of an owner at a key are counted; no name of a key has a space.
fn tries_of(owner: &str, what: &str) -> String {
    format!("{what} {owner}")
}

pub(crate) fn refused<T>(what: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Refused(what.into()))
}

pub(crate) fn failed(error: impl std::fmt::Display) -> Trouble {
    tracing::error!(%error, "a key cannot be worked with");
    Trouble::Refused("The key could not be worked with. Try again.".into())
}

/// The key under a passphrase.
fn wrapping(passphrase: &str, salt: &[u8], memory: u32, passes: u32) -> Result<SealingKey, String> {
    let params = Params::new(memory, passes, 1, Some(KEY_BYTES)).map_err(|error| error.to_string())?;
    let mut key = [0; KEY_BYTES];
    let argon = Argon2::new(Kind::Argon2id, Version::V0x13, params);
    argon.hash_password_into(passphrase.as_bytes(), salt, &mut key).map_err(|error| error.to_string())?;
    SealingKey::new(&key).map_err(|error| error.to_string())
}

impl KeptKey {
    /// Opens it; none where the passphrase, or anything of it, is another.
    fn open(&self, passphrase: &str) -> Option<OpenKey> {
        // nobody's key costs more than one that is made here: what asks for more is not even tried
        if self.form != FORM || self.memory > MEMORY || self.passes > PASSES {
            return None;
        }
        let (salt, sealed) = (base64url::decode(&self.salt)?, base64url::decode(&self.sealed)?);
        let wrapping = wrapping(passphrase, &salt, self.memory, self.passes).ok()?;
        let pkcs8 = wrapping.open(&sealed, self.did.as_bytes())?;
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8).ok()?;
        // what is sealed is what it says it is
        (did::of_key(key.public()) == self.did).then(|| OpenKey { did: self.did.clone(), key: Arc::new(key) })
    }
}

fn check_passphrase(passphrase: &str) -> Result<(), Trouble> {
    if passphrase.chars().count() < SHORTEST || passphrase.len() > LONGEST {
        return refused(format!("A passphrase has at least {SHORTEST} characters. Several words are good."));
    }
    Ok(())
}

impl Manager {
    /// Makes a key under a passphrase, and opens it.
    pub(crate) async fn make_key(&self, person: &Person, passphrase: &str) -> Result<OpenKey, Trouble> {
        check_passphrase(passphrase)?;
        if self.keys(&person.owner).await?.len() >= MAX_KEYS {
            return refused(format!("You have {MAX_KEYS} keys. Delete one first."));
        }
        let key = SigningKey::generate(Algorithm::EdDsa).map_err(failed)?;
        let open = OpenKey { did: did::of_key(key.public()), key: Arc::new(key) };
        self.seal_under(person, &open, passphrase).await?;
        self.keep_proved(person, open.clone());
        Ok(open)
    }

    /// Seals a key that is open under a passphrase: a new one, or one that only passkeys opened before.
    pub(crate) async fn seal_under(&self, person: &Person, open: &OpenKey, passphrase: &str) -> Result<(), Trouble> {
        check_passphrase(passphrase)?;
        let (pkcs8, salt) = (open.key.to_pkcs8().map_err(failed)?, jose::ambient::random::<16>(&*self.client.randomness));
        let passphrase = passphrase.to_owned();
        let derived = self.slow.enter(&person.owner)?.work(move || wrapping(&passphrase, &salt, MEMORY, PASSES)).await?;
        let wrapping = derived.map_err(failed)?;
        let sealed = wrapping.seal(&pkcs8, open.did.as_bytes(), &*self.client.randomness).map_err(failed)?;
        let known = self.keys(&person.owner).await?.into_iter().find(|key| key.did == open.did);
        let kept = KeptKey {
            form: FORM.into(),
            did: open.did.clone(),
            created: known.map_or(self.now(), |key| key.created),
            salt: base64url::encode(salt),
            memory: MEMORY,
            passes: PASSES,
            sealed: base64url::encode(sealed),
        };
        Ok(self.store.put_key(&person.owner, &open.did, &kept).await?)
    }

    pub(crate) fn keep_open(&self, person: &Person, open: OpenKey) {
        let until = self.now().plus(OPEN_FOR);
        let mut vault = lock(&self.vault);
        let now = self.now();
        vault.open.retain(|_, (until, _)| now < *until);
        vault.open.insert(person.session.clone(), (until, open));
    }

    /// She has just shown that the key is hers to open.
    pub(crate) fn keep_proved(&self, person: &Person, open: OpenKey) {
        let now = self.now();
        let mut vault = lock(&self.vault);
        vault.proved.retain(|_, (until, _)| now < *until);
        vault.proved.insert(person.session.clone(), (now.plus(EXPORTED_FOR), open.did.clone()));
        drop(vault);
        self.keep_open(person, open);
    }

    /// Whether this session opened this key a moment ago: looking at it does not make it newer.
    pub(crate) fn is_just_opened(&self, person: &Person, did: &str) -> bool {
        let now = self.now();
        lock(&self.vault).proved.get(&person.session).is_some_and(|(until, proved)| now < *until && proved == did)
    }

    /// Her key, if this session has opened it; each use keeps it open.
    pub(crate) fn opened_key(&self, person: &Person) -> Option<OpenKey> {
        let now = self.now();
        let open = lock(&self.vault).open.get(&person.session).filter(|(until, _)| now < *until).map(|(_, open)| open.clone())?;
        self.keep_open(person, open.clone());
        Some(open)
    }

    pub(crate) fn close_key(&self, person: &Person) {
        let mut vault = lock(&self.vault);
        vault.open.remove(&person.session);
        vault.proved.remove(&person.session);
    }

    /// The key that she signs with: the newest.
    pub(crate) async fn current_key(&self, owner: &str) -> Result<Option<Key>, Trouble> {
        Ok(self.keys(owner).await?.into_iter().next())
    }

    /// Opens one of hers.
    pub(crate) async fn open_key(&self, person: &Person, did: &str, passphrase: &str) -> Result<OpenKey, Trouble> {
        let all = self.store.list_keys::<KeptKey>(&person.owner).await?;
        let Some(kept) = all.into_iter().find(|key| key.did == did) else { return refused("You have no such key here.") };
        let open = self.try_passphrase(person, did, kept, passphrase).await?;
        self.right_try(person, did);
        self.keep_proved(person, open.clone());
        Ok(open)
    }

    /// The key that signs: open already, or opened by a passkey or this passphrase.
    pub(crate) async fn key_for(
        &self,
        person: &Person,
        did: &str,
        passphrase: &str,
        brought: Option<Brought<'_>>,
    ) -> Result<OpenKey, Trouble> {
        if let Some(open) = self.opened_key(person).filter(|open| open.did == did) {
            return Ok(open);
        }
        let Some(brought) = brought else { return self.open_key(person, did, passphrase).await };
        let open = self.open_by_passkey(person, brought).await?;
        if open.did == did { Ok(open) } else { refused("This passkey opens another key than the one that is to sign.") }
    }

    async fn try_passphrase(&self, person: &Person, what: &str, kept: KeptKey, passphrase: &str) -> Result<OpenKey, Trouble> {
        // first a place in the line: where there is none nothing is tried, and no try is spent
        let place = self.slow.enter(&person.owner)?;
        self.take_try(person, what)?;
        let passphrase = passphrase.chars().take(LONGEST).collect::<String>();
        let open = place.work(move || kept.open(&passphrase)).await?;
        open.map_or_else(|| refused("The passphrase and this key do not belong together."), Ok)
    }

    /// A try is taken before anything is tried: however many come at once, only so many are looked at (threat 46). The right
    /// one gives back those of the same key alone: whoever has a session, and brings a key of his own, guesses no longer at hers.
    pub(crate) fn take_try(&self, person: &Person, what: &str) -> Result<(), Trouble> {
        lock(&self.vault).take_try(&tries_of(&person.owner, what), self.now())
    }

    pub(crate) fn right_try(&self, person: &Person, what: &str) {
        lock(&self.vault).wrong.remove(&tries_of(&person.owner, what));
    }

    /// Takes an exported key in, if the passphrase opens it and it is what it says.
    pub(crate) async fn import_key(&self, person: &Person, text: &str, passphrase: &str) -> Result<(), Trouble> {
        let Ok(kept) = types::json::parse::<KeptKey>(text.trim().as_bytes()) else {
            return refused(why_no_key(text.trim()));
        };
        if self.keys(&person.owner).await?.iter().filter(|key| key.did != kept.did).count() >= MAX_KEYS {
            return refused(format!("You have {MAX_KEYS} keys. Delete one first."));
        }
        if kept.memory > MEMORY || kept.passes > PASSES {
            return refused(
                "This key was sealed more heavily than any that is made here: export it anew, at the place it comes from.",
            );
        }
        check_passphrase(passphrase)?;
        // a sealed text that is brought is guessed at no more often than one that is here, and by no other count: whoever brings
        // a key of his own besides has no try the more
        let is_here = self.keys(&person.owner).await?.iter().any(|key| key.did == kept.did);
        let what = if is_here { kept.did.clone() } else { IMPORT.to_owned() };
        let open = self.try_passphrase(person, &what, kept, passphrase).await?;
        lock(&self.vault).give_back_try(&tries_of(&person.owner, &what), self.now());
        // in our own form: nobody else's choice of cost stays here
        self.seal_under(person, &open, passphrase).await?;
        self.keep_proved(person, open);
        Ok(())
    }
}

/// What is wrong with a text that is no exported key.
fn why_no_key(text: &str) -> &'static str {
    match types::json::parse::<serde_json::Map<String, serde_json::Value>>(text.as_bytes()) {
        Ok(_) => "This is no exported key as a desk writes it: something in it is missing, or was changed. Export it anew.",
        Err(_) => "This is no exported key: it should begin with { and end with }.",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jose::SystemRandomness;

    #[test]
    fn what_is_no_exported_key_is_told_so() {
        for (text, says) in [("", "begin with {"), ("key", "begin with {"), ("[]", "begin with {"), ("{", "begin with {")] {
            assert!(why_no_key(text).contains(says), "{text}");
        }
        for changed in ["{}", "{\"memory\": -1}"] {
            assert!(why_no_key(changed).contains("missing, or was changed"), "{changed}");
        }
    }

    /// However many are tried at once, ten are looked at; the pause ends, and the right one gives them back.
    #[test]
    fn threat_46_s09_a_try_is_taken_before_it_is_looked_at() {
        let mut vault = Vault::default();
        let taken = (0..30).filter(|_| vault.take_try("alice", Timestamp(1)).is_ok()).count();
        assert_eq!(taken, 10);
        assert!(vault.take_try("bob", Timestamp(1)).is_ok(), "nobody else's");
        assert!(vault.take_try("alice", Timestamp(PAUSE)).is_err());
        assert!(vault.take_try("alice", Timestamp(1 + PAUSE)).is_ok());
        assert_ne!(tries_of("alice", "did:key:hers"), tries_of("alice", "did:key:his"));
    }

    /// Whoever brings a key of his own between wrong ones has no more wrong ones for it.
    #[test]
    fn threat_46_s09_a_right_import_gives_back_its_own_try_alone() {
        let mut vault = Vault::default();
        let mut wrong = 0;
        for _ in 0..100 {
            wrong += u32::from(vault.take_try("import alice", Timestamp(1)).is_ok());
            if vault.take_try("import alice", Timestamp(1)).is_ok() {
                vault.give_back_try("import alice", Timestamp(1));
            }
        }
        assert_eq!(wrong, 10);
        vault.give_back_try("import bob", Timestamp(1));
        assert!(vault.take_try("import alice", Timestamp(1)).is_err() && vault.take_try("import bob", Timestamp(1)).is_ok());
    }

    /// Whatever is changed in an exported key, it is not opened any more.
    #[test]
    fn threat_19_a_tampered_key_is_no_key() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let salt = [7; 16];
        let seal = |context: &str| {
            let wrapping = wrapping("correct horse battery", &salt, 64, 1).unwrap();
            base64url::encode(wrapping.seal(&key.to_pkcs8().unwrap(), context.as_bytes(), &SystemRandomness).unwrap())
        };
        let kept = KeptKey {
            form: FORM.into(),
            did: did.clone(),
            created: Timestamp(1),
            salt: base64url::encode(salt),
            memory: 64,
            passes: 1,
            sealed: seal(&did),
        };
        assert_eq!(kept.open("correct horse battery").unwrap().did, did);
        assert!(kept.open("correct horse batterie").is_none());
        let other = did::of_key(SigningKey::generate(Algorithm::EdDsa).unwrap().public());
        for tampered in [
            KeptKey { did: other.clone(), ..kept.clone() },
            KeptKey { did: other.clone(), sealed: seal(&other), ..kept.clone() },
            KeptKey { salt: base64url::encode([8; 16]), ..kept.clone() },
            KeptKey { memory: 128, ..kept.clone() },
            KeptKey { memory: u32::MAX, ..kept.clone() },
            KeptKey { passes: u32::MAX, ..kept.clone() },
            KeptKey { sealed: "AAAA".into(), ..kept.clone() },
            KeptKey { form: "other".into(), ..kept.clone() },
        ] {
            assert!(tampered.open("correct horse battery").is_none(), "{tampered:?}");
        }
    }
}
