//! The server's keys: signing keys with rotation and overlap, the daily ticket keys, and the key
//! file that seals them all in the store (architecture.md "Keys"). A store tells its own key file from another by a key check.

use crate::store::Store;
use crate::{Changes, Failure, Write, internal};
use jose::seal::{KEY_BYTES, SealingKey};
use jose::{Algorithm, Clock, Randomness, SigningKey, base64url, digest};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::sync::{Arc, PoisonError, RwLock};
use types::Timestamp;

/// A signing key as it is kept.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoredKey {
    pub kid: String,
    pub algorithm: Algorithm,
    /// PKCS #8, sealed.
    pub sealed: Vec<u8>,
    /// Published from its making, used for signing from then on.
    pub active_from: Timestamp,
    /// No longer published after that.
    pub retires: Option<Timestamp>,
}

/// Another secret of the server, sealed: a ticket key under its day.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SealedSecret {
    pub name: String,
    pub sealed: Vec<u8>,
    pub expires: Timestamp,
}

/// Seconds between publishing a new signing key and signing with it, so that nobody meets a
/// signature by a key that its cached set lacks.
pub const LEAD: i64 = 300;
/// Seconds that a replaced key stays published.
pub const OVERLAP: i64 = 30 * 86_400;

/// What is sealed in the place of a key, to tell the key file's own from another: there also where nothing else is sealed yet.
const KEY_CHECK: &str = "key check";
/// Its end: never.
const NEVER: Timestamp = Timestamp(i64::MAX);

/// A seal knows the table and the row that it is for: moved to another, it does not open.
fn place_of_key(kid: &str) -> Vec<u8> {
    format!("signing_key {kid}").into_bytes()
}

fn place_of_secret(name: &str) -> Vec<u8> {
    format!("secret {name}").into_bytes()
}

struct Loaded {
    signing: Vec<(StoredKey, Arc<SigningKey>)>,
    secrets: Vec<(SealedSecret, Arc<SealingKey>)>,
}

fn closed(what: &str) -> Failure {
    internal(format!("{what} does not open with this key file: restore the key file that goes with the store"))
}

/// The keys in use.
pub struct Keys {
    master: [u8; KEY_BYTES],
    sealing: SealingKey,
    loaded: RwLock<Loaded>,
}

impl Keys {
    /// With the key of the key file; nothing is loaded yet.
    pub fn new(master: [u8; KEY_BYTES]) -> Result<Self, Failure> {
        let sealing = SealingKey::new(&digest::hmac_sha256(&master, b"seal")).map_err(internal)?;
        Ok(Self { master, sealing, loaded: RwLock::new(Loaded { signing: Vec::new(), secrets: Vec::new() }) })
    }

    /// A digest that only this server can make: for secrets that are compared on every request.
    pub fn keyed_digest(&self, purpose: &str, message: &[u8]) -> String {
        let key = digest::hmac_sha256(&self.master, purpose.as_bytes());
        base64url::encode(digest::hmac_sha256(&key, message))
    }

    /// Reads the keys of the store; makes what is missing. Before anything is made it is known that this is the key file of
    /// this store, so that nothing is made over what another one sealed.
    pub async fn load(&self, store: &dyn Store, clock: &dyn Clock, randomness: &dyn Randomness) -> Result<(), Failure> {
        let now = clock.now();
        self.check_key_file(store, randomness).await?;
        let mut stored = store.list_keys().await?;
        let mut secrets = Vec::new();
        for secret in store.list_secrets().await? {
            let key = self.open_secret(&secret).ok_or_else(|| closed("a secret"))?;
            secrets.push((secret, Arc::new(key)));
        }
        for key in &stored {
            self.parse(key)?;
        }
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256] {
            if !stored.iter().any(|key| key.algorithm == algorithm && key.retires.is_none_or(|end| now < end)) {
                stored.push(self.make(store, algorithm, now, randomness).await?);
            }
        }
        let mut signing = Vec::with_capacity(stored.len());
        for key in stored {
            let parsed = self.parse(&key)?;
            signing.push((key, Arc::new(parsed)));
        }
        *self.loaded.write().unwrap_or_else(PoisonError::into_inner) = Loaded { signing, secrets };
        Ok(())
    }

    fn parse(&self, key: &StoredKey) -> Result<SigningKey, Failure> {
        let pkcs8 = self.sealing.open(&key.sealed, &place_of_key(&key.kid)).ok_or_else(|| closed("a signing key"))?;
        SigningKey::from_pkcs8(key.algorithm, &pkcs8).map_err(internal)
    }

    fn open_secret(&self, secret: &SealedSecret) -> Option<SealingKey> {
        let opened = self.sealing.open(&secret.sealed, &place_of_secret(&secret.name))?;
        SealingKey::new(&<[u8; KEY_BYTES]>::try_from(opened).ok()?).ok()
    }

    /// Whether this key file goes with this store. A store without the check is new, or of a release whose seals named no
    /// table: those that open are sealed anew in the commit that makes the check, and count in no other form from then on.
    async fn check_key_file(&self, store: &dyn Store, randomness: &dyn Randomness) -> Result<(), Failure> {
        if let Some(check) = store.list_secrets().await?.into_iter().find(|secret| secret.name == KEY_CHECK) {
            return self.open_secret(&check).map(drop).ok_or_else(|| closed("the key check"));
        }
        let random: [u8; KEY_BYTES] = jose::ambient::random(randomness);
        let sealed = self.sealing.seal(&random, &place_of_secret(KEY_CHECK), randomness).map_err(internal)?;
        let mut writes = vec![Write::PutSecret(SealedSecret { name: KEY_CHECK.to_owned(), sealed, expires: NEVER })];
        for key in store.list_keys().await? {
            let place = place_of_key(&key.kid);
            if self.sealing.open(&key.sealed, &place).is_none() {
                let opened = self.sealing.open(&key.sealed, key.kid.as_bytes()).ok_or_else(|| closed("a signing key"))?;
                let sealed = self.sealing.seal(&opened, &place, randomness).map_err(internal)?;
                writes.push(Write::PutKey(StoredKey { sealed, ..key }));
            }
        }
        for secret in store.list_secrets().await? {
            let place = place_of_secret(&secret.name);
            if self.sealing.open(&secret.sealed, &place).is_none() {
                let opened = self.sealing.open(&secret.sealed, secret.name.as_bytes()).ok_or_else(|| closed("a secret"))?;
                let sealed = self.sealing.seal(&opened, &place, randomness).map_err(internal)?;
                writes.extend([Write::DeleteSecret(secret.name.clone()), Write::PutSecret(SealedSecret { sealed, ..secret })]);
            }
        }
        match store.commit(Changes::of(writes)).await {
            // another process made it at the same moment
            Ok(()) | Err(crate::CommitError::Taken) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }

    async fn make(
        &self,
        store: &dyn Store,
        algorithm: Algorithm,
        active_from: Timestamp,
        randomness: &dyn Randomness,
    ) -> Result<StoredKey, Failure> {
        let key =
            tokio::task::spawn_blocking(move || SigningKey::generate(algorithm)).await.map_err(internal)?.map_err(internal)?;
        let sealed =
            self.sealing.seal(&key.to_pkcs8().map_err(internal)?, &place_of_key(key.kid()), randomness).map_err(internal)?;
        let stored = StoredKey { kid: key.kid().to_owned(), algorithm, sealed, active_from, retires: None };
        store.commit(Changes::of(vec![Write::PutKey(stored.clone())])).await?;
        Ok(stored)
    }

    /// Puts new keys beside the old ones: published at once, used after [`LEAD`] seconds; the old
    /// ones stay published for [`OVERLAP`].
    pub async fn rotate(&self, store: &dyn Store, now: Timestamp, randomness: &dyn Randomness) -> Result<Vec<String>, Failure> {
        let old = store.list_keys().await?;
        let mut made = Vec::new();
        for algorithm in [Algorithm::EdDsa, Algorithm::Es256, Algorithm::Rs256] {
            if old.iter().any(|key| key.algorithm == algorithm) {
                made.push(self.make(store, algorithm, now.plus(LEAD), randomness).await?.kid);
            }
        }
        let mut writes: Vec<Write> = Vec::new();
        for key in old {
            match key.retires {
                None => writes.push(Write::PutKey(StoredKey { retires: Some(now.plus(OVERLAP)), ..key })),
                Some(end) if end <= now => writes.push(Write::DeleteKey(key.kid)),
                Some(_) => {}
            }
        }
        store.commit(Changes::of(writes)).await?;
        Ok(made)
    }

    /// The key that signs now.
    pub fn signing_key(&self, algorithm: Algorithm, now: Timestamp) -> Result<Arc<SigningKey>, Failure> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let usable = loaded.signing.iter().filter(|(key, _)| key.algorithm == algorithm && key.active_from <= now);
        let newest = usable.max_by_key(|(key, _)| key.active_from).map(|(_, parsed)| parsed.clone());
        newest.ok_or_else(|| internal("there is no signing key"))
    }

    /// RS256 is made when a client first needs it.
    pub async fn ensure(
        &self,
        algorithm: Algorithm,
        store: &dyn Store,
        clock: &dyn Clock,
        randomness: &dyn Randomness,
    ) -> Result<Arc<SigningKey>, Failure> {
        if let Ok(key) = self.signing_key(algorithm, clock.now()) {
            return Ok(key);
        }
        self.make(store, algorithm, clock.now(), randomness).await?;
        self.load(store, clock, randomness).await?;
        self.signing_key(algorithm, clock.now())
    }

    /// The published set (RFC 7517).
    pub fn jwks(&self, now: Timestamp) -> Value {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        let live = loaded.signing.iter().filter(|(key, _)| key.retires.is_none_or(|end| now < end));
        json!({"keys": live.map(|(_, parsed)| parsed.public().to_jwk()).collect::<Vec<_>>()})
    }

    /// Our own public keys, to check what we signed.
    pub fn own_key_set(&self, now: Timestamp) -> jose::KeySet {
        jose::KeySet::from_json(&self.jwks(now)).unwrap_or_default()
    }

    /// A sealing key by name, if it is loaded.
    pub fn secret(&self, name: &str) -> Option<Arc<SealingKey>> {
        let loaded = self.loaded.read().unwrap_or_else(PoisonError::into_inner);
        loaded.secrets.iter().find(|(secret, _)| secret.name == name).map(|(_, key)| key.clone())
    }

    /// A sealing key by name; made and stored if it is not there. Two servers that make it at once end
    /// up with the same one, the store's.
    pub async fn ensure_secret(
        &self,
        name: &str,
        expires: Timestamp,
        store: &dyn Store,
        clock: &dyn Clock,
        randomness: &dyn Randomness,
    ) -> Result<Arc<SealingKey>, Failure> {
        if let Some(secret) = self.secret(name) {
            return Ok(secret);
        }
        let fresh: [u8; KEY_BYTES] = jose::ambient::random(randomness);
        let sealed = self.sealing.seal(&fresh, &place_of_secret(name), randomness).map_err(internal)?;
        let secret = SealedSecret { name: name.to_owned(), sealed, expires };
        match store.commit(Changes::of(vec![Write::PutSecret(secret)])).await {
            Ok(()) | Err(crate::CommitError::Taken) => {}
            Err(error) => return Err(error.into()),
        }
        self.load(store, clock, randomness).await?;
        self.secret(name).ok_or_else(|| internal("a new secret is not in the store"))
    }

    /// Seals personal data at rest.
    pub fn seal(&self, plain: &[u8], context: &str, randomness: &dyn Randomness) -> Result<Vec<u8>, Failure> {
        self.sealing.seal(plain, context.as_bytes(), randomness).map_err(internal)
    }

    /// Opens what [`Keys::seal`] made.
    pub fn open(&self, sealed: &[u8], context: &str) -> Option<Vec<u8>> {
        self.sealing.open(sealed, context.as_bytes())
    }
}
