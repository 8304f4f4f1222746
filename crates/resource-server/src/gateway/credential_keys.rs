//! Keys of owners' credentials (protocol.md 3). Those in a DID itself never change; others are read from where the
//! credential says. Whoever has them waits for nobody: they are read anew in the background before they are too old. One
//! at a time reads them, for a bounded time, and a failure is remembered for a moment: anybody can send a token that names
//! a credential. Called by `authority.rs`.

use client::credential;
use jose::KeySet;
use outbound::Outbound;
use quick_cache::sync::Cache;
use serde_json::Value;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use types::credential::CredentialType;

/// How long keys are used, and from when on they are read anew.
const KEPT: Duration = Duration::from_secs(300);
const RENEWED_FROM: Duration = Duration::from_secs(150);
/// How long nobody is asked again after a failure.
const RESTED: Duration = Duration::from_secs(10);
/// How long is waited for them.
const PATIENCE: Duration = Duration::from_secs(5);
/// Credentials whose keys are kept at one time.
const MOST: usize = 1_000;

/// A credential whose keys are wanted.
#[derive(Clone)]
pub(super) struct Wanted {
    /// What nobody else's credential is called.
    pub(super) name: String,
    pub(super) kind: CredentialType,
    pub(super) value: Value,
}

/// Keys, and when they were read.
#[derive(Clone)]
struct Kept {
    keys: KeySet,
    read: Instant,
    is_fixed: bool,
}

impl Kept {
    fn is_younger_than(&self, age: Duration) -> bool {
        self.is_fixed || self.read.elapsed() < age
    }
}

#[derive(Default)]
struct Slot {
    kept: Mutex<Option<Kept>>,
    failed: Mutex<Option<(Instant, String)>>,
    /// Held while they are read.
    reading: tokio::sync::Mutex<()>,
}

/// All that were read.
pub(super) struct CredentialKeys(Cache<String, Arc<Slot>>);

impl Default for CredentialKeys {
    fn default() -> Self {
        Self(Cache::new(MOST))
    }
}

impl CredentialKeys {
    /// The keys of a credential, or why there are none, in words of ours.
    pub(super) async fn get(&self, outbound: &Outbound, wanted: Wanted) -> Result<KeySet, String> {
        let Ok(slot) = self.0.get_or_insert_with(&wanted.name, || Ok::<_, Infallible>(Arc::default()));
        let Some(kept) = slot.young(KEPT) else { return slot.read(outbound, &wanted, KEPT).await };
        if !kept.is_younger_than(RENEWED_FROM) && slot.failure().is_none() && slot.reading.try_lock().is_ok() {
            let outbound = outbound.clone();
            tokio::spawn(async move {
                if let Err(error) = slot.read(&outbound, &wanted, RENEWED_FROM).await {
                    tracing::warn!(error, credential = wanted.name, "the keys of a credential cannot be read anew yet");
                }
            });
        }
        Ok(kept.keys)
    }
}

impl Slot {
    fn young(&self, age: Duration) -> Option<Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).clone().filter(|kept| kept.is_younger_than(age))
    }

    fn failure(&self) -> Option<String> {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.as_ref().filter(|(when, _)| when.elapsed() < RESTED).map(|(_, why)| why.clone())
    }

    /// Reads them, unless somebody did so meanwhile.
    async fn read(&self, outbound: &Outbound, wanted: &Wanted, age: Duration) -> Result<KeySet, String> {
        let _turn = self.reading.lock().await;
        if let Some(kept) = self.young(age) {
            return Ok(kept.keys);
        }
        if let Some(why) = self.failure() {
            return Err(why);
        }
        let asked = credential::keys_of(outbound, wanted.kind, &wanted.value);
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err("the keys of its credential cannot be read right now".to_owned()),
        };
        let keys = answer.inspect_err(|why| {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), why.clone()));
        })?;
        // the name of a client's begins with its owner's, which may be anything
        let is_did = wanted.kind == CredentialType::Did;
        let is_fixed = is_did && (wanted.name.starts_with("did:key:") || wanted.name.starts_with("did:jwk:"));
        let kept = Kept { keys: keys.clone(), read: Instant::now(), is_fixed };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(keys)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::Router;
    use std::sync::atomic::{AtomicUsize, Ordering};

    /// Row 46: a key server that lets everybody wait does so once, and one credential after the other waits for no other.
    #[tokio::test]
    async fn threat_46_s23_keys_of_a_credential_are_read_by_one_at_a_time() {
        let asked = Arc::<AtomicUsize>::default();
        let count = asked.clone();
        let hanging = Router::new().fallback(move || {
            count.fetch_add(1, Ordering::SeqCst);
            std::future::pending::<()>()
        });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, hanging).await });
        let settings = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
        let (outbound, all) = (Outbound::new(settings).unwrap(), CredentialKeys::default());
        let of = |name: &str| Wanted {
            name: name.to_owned(),
            kind: CredentialType::Client,
            value: serde_json::json!({"client_id": "carol", "jwks_uri": format!("{url}/jwks")}),
        };
        let begun = Instant::now();
        let (one, two) = tokio::join!(all.get(&outbound, of("alice carol")), all.get(&outbound, of("alice carol")));
        assert!(one.is_err() && two.is_err());
        assert!(all.get(&outbound, of("alice carol")).await.is_err());
        assert_eq!(asked.load(Ordering::SeqCst), 1);
        assert!(begun.elapsed() < Duration::from_secs(8), "{:?}", begun.elapsed());
    }
}
