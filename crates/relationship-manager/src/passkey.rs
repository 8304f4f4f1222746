//! Keys opened by a passkey: sealed under a secret that the passkey's device computes for this site (WebAuthn's `prf`
//! extension) and that is kept nowhere else. Beside the passphrase, or in its place.

use crate::person::Person;
use crate::store::Opens;
use crate::vault::{KeptKey, MAX_KEYS, OpenKey, failed, refused};
use crate::{Manager, StoreAway, Trouble};
use jose::seal::SealingKey;
use jose::{Algorithm, SigningKey, base64url, did, digest};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::Timestamp;

/// Most passkeys of one key.
const MAX_PASSKEYS: usize = 10;
const MAX_NAME: usize = 60;
/// How often a change is tried again that met another one.
const MOST_TRIES: usize = 32;

/// A key as one passkey opens it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SealedByPasskey {
    pub(crate) did: String,
    /// Credential id, base64url.
    pub(crate) credential: String,
    pub(crate) name: String,
    pub(crate) created: Timestamp,
    sealed: String,
}

/// One of her keys, and how it is opened.
#[derive(Clone, Debug)]
pub(crate) struct Key {
    pub(crate) did: String,
    pub(crate) created: Timestamp,
    /// The form that is opened by a passphrase, and exported.
    pub(crate) kept: Option<KeptKey>,
    pub(crate) passkeys: Vec<SealedByPasskey>,
}

impl Key {
    /// Ids of the passkeys that open it, as a page names them.
    pub(crate) fn known(&self) -> String {
        self.passkeys.iter().map(|one| one.credential.as_str()).collect::<Vec<_>>().join(" ")
    }
}

/// What a browser's passkey brought.
#[derive(Clone, Copy)]
pub(crate) struct Brought<'a> {
    pub(crate) credential: &'a str,
    /// 32 bytes, base64url.
    secret: &'a str,
}

impl<'a> Brought<'a> {
    /// None where none was used.
    pub(crate) fn of(credential: &'a str, secret: &'a str) -> Option<Self> {
        (!credential.is_empty() && !secret.is_empty() && credential.len() <= 1_500).then_some(Self { credential, secret })
    }

    /// The key that seals hers; another for each of them.
    fn wrapping(&self, did: &str) -> Result<SealingKey, Trouble> {
        let secret = base64url::decode(self.secret).filter(|secret| secret.len() == 32);
        let Some(secret) = secret else { return refused("This passkey has no secret for this site: it cannot open a key.") };
        SealingKey::new(&digest::hmac_sha256(&secret, format!("wayleave vault {did}").as_bytes())).map_err(failed)
    }

    fn seal(&self, manager: &Manager, key: &OpenKey, name: &str) -> Result<SealedByPasskey, Trouble> {
        let pkcs8 = key.key.to_pkcs8().map_err(failed)?;
        let sealed = self.wrapping(&key.did)?.seal(&pkcs8, key.did.as_bytes(), &*manager.client.randomness).map_err(failed)?;
        let name: String = name.trim().chars().take(MAX_NAME).collect();
        Ok(SealedByPasskey {
            did: key.did.clone(),
            credential: self.credential.to_owned(),
            name: if name.is_empty() { "Passkey".to_owned() } else { name },
            created: manager.now(),
            sealed: base64url::encode(sealed),
        })
    }

    fn open(&self, kept: &SealedByPasskey) -> Option<OpenKey> {
        let sealed = base64url::decode(&kept.sealed)?;
        let pkcs8 = self.wrapping(&kept.did).ok()?.open(&sealed, kept.did.as_bytes())?;
        let key = SigningKey::from_pkcs8(Algorithm::EdDsa, &pkcs8).ok()?;
        (did::of_key(key.public()) == kept.did).then(|| OpenKey { did: kept.did.clone(), key: Arc::new(key) })
    }
}

impl Manager {
    /// What a passkey's device computes its secret from: the same for all of an owner's, so that any of them may be asked.
    pub(crate) fn passkey_salt(&self, owner: &str) -> String {
        base64url::encode(digest::sha256(&[b"wayleave vault\0", self.settings.url.as_bytes(), b"\0", owner.as_bytes()]))
    }

    /// Host of this desk, for which its passkeys are.
    pub(crate) fn passkey_party(&self) -> String {
        url::Url::parse(&self.settings.url).ok().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default()
    }

    /// All of an owner's keys, the newest first.
    pub(crate) async fn keys(&self, owner: &str) -> Result<Vec<Key>, Trouble> {
        let new = |did: &str, created| Key { did: did.to_owned(), created, kept: None, passkeys: Vec::new() };
        let mut keys: Vec<Key> = Vec::new();
        for kept in self.store.list_keys::<KeptKey>(owner).await? {
            keys.push(Key { kept: Some(kept.clone()), ..new(&kept.did, kept.created) });
        }
        for passkey in self.store.list_vault_passkeys::<SealedByPasskey>(owner).await? {
            match keys.iter_mut().find(|key| key.did == passkey.did) {
                Some(key) => key.passkeys.push(passkey),
                None => keys.push(Key { passkeys: vec![passkey.clone()], ..new(&passkey.did, passkey.created) }),
            }
        }
        keys.sort_by_key(|key| std::cmp::Reverse(key.created));
        Ok(keys)
    }

    /// Makes a key that a passkey opens.
    pub(crate) async fn make_key_by_passkey(&self, person: &Person, brought: Brought<'_>, name: &str) -> Result<(), Trouble> {
        if self.keys(&person.owner).await?.len() >= MAX_KEYS {
            return refused(format!("You have {MAX_KEYS} keys. Delete one first."));
        }
        let key = SigningKey::generate(Algorithm::EdDsa).map_err(failed)?;
        let open = OpenKey { did: did::of_key(key.public()), key: Arc::new(key) };
        self.add_vault_passkey(person, &open, brought, name).await?;
        self.keep_open(person, open);
        Ok(())
    }

    /// Lets a passkey open a key that is open.
    pub(crate) async fn add_vault_passkey(
        &self,
        person: &Person,
        open: &OpenKey,
        brought: Brought<'_>,
        name: &str,
    ) -> Result<(), Trouble> {
        let all = self.store.list_vault_passkeys::<SealedByPasskey>(&person.owner).await?;
        if all.iter().filter(|one| one.did == open.did).count() >= MAX_PASSKEYS {
            return refused(format!("{MAX_PASSKEYS} passkeys open this key. Remove one first."));
        }
        if all.iter().any(|one| one.credential == brought.credential && one.did != open.did) {
            return refused("This passkey opens another key of yours. Make a new one for this key.");
        }
        let sealed = brought.seal(self, open, name)?;
        Ok(self.store.put_vault_passkey(&person.owner, &sealed.credential, &sealed).await?)
    }

    /// Opens the key that this passkey opens; wrong ones count as wrong passphrases do.
    pub(crate) async fn open_by_passkey(&self, person: &Person, brought: Brought<'_>) -> Result<OpenKey, Trouble> {
        let all = self.store.list_vault_passkeys::<SealedByPasskey>(&person.owner).await?;
        let known = all.iter().find(|one| one.credential == brought.credential);
        let Some(known) = known else { return refused("This passkey opens no key of yours here.") };
        self.take_try(person, &known.did)?;
        match brought.open(known) {
            Some(open) => {
                self.keep_proved(person, open.clone());
                self.right_try(person, &known.did);
                Ok(open)
            }
            None => refused("This passkey and the key do not belong together."),
        }
    }

    /// A passkey no longer opens it; some other way must be left.
    pub(crate) async fn remove_vault_passkey(&self, person: &Person, credential: &str) -> Result<(), Trouble> {
        for _ in 0..MOST_TRIES {
            let keys = self.keys(&person.owner).await?;
            let key = keys.iter().find(|key| key.passkeys.iter().any(|one| one.credential == credential));
            let Some(key) = key else { return refused("This passkey opens no key of yours here.") };
            let other = key.passkeys.iter().find(|one| one.credential != credential);
            let left = match (&key.kept, other) {
                (Some(_), _) => Opens::Passphrase { did: &key.did },
                (None, Some(other)) => Opens::Passkey { credential: &other.credential },
                (None, None) => {
                    return refused("Nothing else opens this key: give it a passphrase, or another passkey, first.");
                }
            };
            // where that went meanwhile, it is looked at anew
            if self.store.delete_vault_passkey(&person.owner, credential, left).await? {
                return Ok(());
            }
        }
        Err(StoreAway.into())
    }

    /// Deletes a key; what it signed stands until it is withdrawn.
    pub(crate) async fn delete_key(&self, person: &Person, did: &str) -> Result<(), Trouble> {
        let keys = self.keys(&person.owner).await?;
        let Some(key) = keys.iter().find(|key| key.did == did) else { return refused("You have no such key here.") };
        if self.opened_key(person).is_some_and(|open| open.did == did) {
            self.close_key(person);
        }
        let credentials = key.passkeys.iter().map(|one| one.credential.as_str());
        Ok(self.store.delete_key(&person.owner, did, credentials).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_19_a_key_is_opened_by_its_passkeys_secret_alone() {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let open = OpenKey { did: did::of_key(key.public()), key: Arc::new(key) };
        let secret = base64url::encode([3; 32]);
        let brought = Brought::of("id", &secret).unwrap();
        let pkcs8 = open.key.to_pkcs8().unwrap();
        let seal = |did: &str| {
            let wrapping = brought.wrapping(did).unwrap();
            base64url::encode(wrapping.seal(&pkcs8, did.as_bytes(), &jose::SystemRandomness).unwrap())
        };
        let kept = |did: &str, sealed: String| SealedByPasskey {
            did: did.to_owned(),
            credential: "id".into(),
            name: "x".into(),
            created: Timestamp(1),
            sealed,
        };
        let good = kept(&open.did, seal(&open.did));
        assert_eq!(brought.open(&good).unwrap().did, open.did);
        let (other, short) = (base64url::encode([4; 32]), base64url::encode([3; 31]));
        for wrong in [other.as_str(), short.as_str(), "no base64url!"] {
            assert!(Brought::of("id", wrong).unwrap().open(&good).is_none(), "{wrong}");
        }
        let stranger = did::of_key(SigningKey::generate(Algorithm::EdDsa).unwrap().public());
        for tampered in [kept(&stranger, good.sealed.clone()), kept(&stranger, seal(&stranger)), kept(&open.did, "AAAA".into())] {
            assert!(brought.open(&tampered).is_none(), "{tampered:?}");
        }
        assert!(Brought::of("", &secret).is_none() && Brought::of("id", "").is_none());
    }
}
