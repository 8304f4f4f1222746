//! Links and registrations in memory. What was read is put there only if nothing was written since, so that no old row
//! outlives a newer one. Whoever calls chooses what is looked up, and how long a name is: each kind has so many bytes.

use super::kept_size::{BySize, HasBytes};
use super::registrations::Registered;
use super::tables::{CREDENTIAL, LINK, REGISTRATION, RULE, WITHDRAWN};
use super::{Link, Rule};
use database::{Batch, Operation, ReadError, Value};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use types::credential::CredentialDocument;

type Pair = (String, String);
type ByBytes<K, V> = Cache<K, V, BySize>;

/// A pair that is looked up, which hashes as it.
#[derive(Hash)]
struct PairOf<'a>(&'a str, &'a str);

impl Equivalent<Pair> for PairOf<'_> {
    fn equivalent(&self, pair: &Pair) -> bool {
        self.0 == pair.0 && self.1 == pair.1
    }
}

impl From<&PairOf<'_>> for Pair {
    fn from(pair: &PairOf<'_>) -> Self {
        (pair.0.to_owned(), pair.1.to_owned())
    }
}

/// Bytes of all that is kept of registrations, and of each other kind.
const MOST_REGISTRATION_BYTES: u64 = 64 << 20;
const MOST_BYTES: u64 = 16 << 20;

/// What was read, by owner and issuer, and by owner and own id.
pub(super) struct Kept {
    links: ByBytes<Pair, Arc<Link>>,
    registrations: ByBytes<Pair, Arc<Vec<Registered>>>,
    rules: ByBytes<String, Arc<Vec<Rule>>>,
    /// By owner and subject; none: she has no such credential.
    credentials: ByBytes<Pair, Option<Arc<CredentialDocument>>>,
    /// By owner and `jti`: whether it was withdrawn.
    withdrawn: ByBytes<Pair, bool>,
    /// Rises with each write.
    writes: Mutex<u64>,
}

/// Rows that a batch changes.
#[derive(Default)]
pub(super) struct Touched {
    links: Vec<Pair>,
    registrations: Vec<Pair>,
    rules: Vec<String>,
    credentials: Vec<Pair>,
    withdrawn: Vec<Pair>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            links: Cache::with_weighter(10_000, MOST_BYTES, BySize),
            registrations: Cache::with_weighter(50_000, MOST_REGISTRATION_BYTES, BySize),
            rules: Cache::with_weighter(10_000, MOST_BYTES, BySize),
            credentials: Cache::with_weighter(10_000, MOST_BYTES, BySize),
            withdrawn: Cache::with_weighter(50_000, MOST_BYTES, BySize),
            writes: Mutex::new(0),
        }
    }
}

pub(super) fn touched(batch: &Batch) -> Touched {
    let mut touched = Touched::default();
    for operation in &batch.operations {
        let (table, key) = match operation {
            Operation::Insert { table, row } | Operation::Put { table, row } => (table, row.as_slice()),
            Operation::Delete { table, key } => (table, key.as_slice()),
            _ => continue,
        };
        let (Some(first), Some(second)) = (key.first().and_then(Value::as_text), key.get(1).and_then(Value::as_text)) else {
            continue;
        };
        let pair = (first.to_owned(), second.to_owned());
        if std::ptr::eq(*table, &LINK) {
            touched.links.push(pair);
        } else if std::ptr::eq(*table, &REGISTRATION) {
            touched.registrations.push(pair);
        } else if std::ptr::eq(*table, &RULE) {
            touched.rules.push(pair.0);
        } else if std::ptr::eq(*table, &CREDENTIAL) {
            touched.credentials.push(pair);
        } else if std::ptr::eq(*table, &WITHDRAWN) {
            touched.withdrawn.push(pair);
        }
    }
    touched
}

impl Kept {
    fn count(&self) -> u64 {
        *self.writes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Keeps what was read, unless something was written meanwhile.
    fn keep<K: Eq + Hash + HasBytes, V: Clone + HasBytes>(&self, cache: &ByBytes<K, V>, key: K, value: &V, before: u64) {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if *writes == before {
            cache.insert(key, value.clone());
        }
    }

    /// What cannot be read is not kept. Only what has to be read is put elsewhere: a call that is answered from memory makes
    /// nothing.
    async fn look_up<Q, K, V, F>(&self, cache: &ByBytes<K, V>, key: &Q, read: impl FnOnce() -> F + Send) -> Result<V, ReadError>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        K: Eq + Hash + HasBytes + for<'q> From<&'q Q>,
        V: Clone + HasBytes,
        F: Future<Output = Result<V, ReadError>> + Send,
    {
        if let Some(value) = cache.get(key) {
            return Ok(value);
        }
        let before = self.count();
        let value = Box::pin(read()).await?;
        self.keep(cache, key.into(), &value, before);
        Ok(value)
    }

    /// That there is no link is not kept: strangers may name whom they like.
    pub(super) async fn link<F: Future<Output = Result<Option<Link>, ReadError>> + Send>(
        &self,
        owner: &str,
        issuer: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Option<Arc<Link>>, ReadError> {
        let pair = &PairOf(owner, issuer);
        if let Some(link) = self.links.get(pair) {
            return Ok(Some(link));
        }
        let before = self.count();
        let Some(link) = Box::pin(read()).await?.map(Arc::new) else { return Ok(None) };
        self.keep(&self.links, pair.into(), &link, before);
        Ok(Some(link))
    }

    pub(super) async fn registrations<F: Future<Output = Result<Vec<Registered>, ReadError>> + Send>(
        &self,
        owner: &str,
        own_id: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Arc<Vec<Registered>>, ReadError> {
        self.look_up(&self.registrations, &PairOf(owner, own_id), || async { read().await.map(Arc::new) }).await
    }

    pub(super) async fn rules<F: Future<Output = Result<Vec<Rule>, ReadError>> + Send>(
        &self,
        owner: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Arc<Vec<Rule>>, ReadError> {
        self.look_up(&self.rules, owner, || async { read().await.map(Arc::new) }).await
    }

    pub(super) async fn credential<F: Future<Output = Result<Option<CredentialDocument>, ReadError>> + Send>(
        &self,
        owner: &str,
        subject: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Option<Arc<CredentialDocument>>, ReadError> {
        self.look_up(&self.credentials, &PairOf(owner, subject), || async { Ok(read().await?.map(Arc::new)) }).await
    }

    pub(super) async fn is_withdrawn<F: Future<Output = Result<bool, ReadError>> + Send>(
        &self,
        owner: &str,
        jti: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<bool, ReadError> {
        self.look_up(&self.withdrawn, &PairOf(owner, jti), read).await
    }

    pub(super) fn forget(&self, touched: &Touched) {
        let mut writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        *writes = writes.wrapping_add(1);
        for pair in &touched.links {
            self.links.remove(pair);
        }
        for pair in &touched.registrations {
            self.registrations.remove(pair);
        }
        for pair in &touched.credentials {
            self.credentials.remove(pair);
        }
        for pair in &touched.withdrawn {
            self.withdrawn.remove(pair);
        }
        for owner in &touched.rules {
            self.rules.remove(owner);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 46: whoever calls names things as long as a path may be, and they are not there.
    #[tokio::test]
    async fn threat_46_names_of_what_is_not_there_fill_no_memory() {
        let kept = Kept::default();
        let long = "x".repeat(60_000);
        for n in 0..3_000 {
            kept.registrations("alice", &format!("/{long}{n}"), || async { Ok(Vec::new()) }).await.unwrap();
            kept.rules(&format!("{n}{long}"), || async { Ok(Vec::new()) }).await.unwrap();
            kept.credential("alice", &format!("{n}{long}"), || async { Ok(None) }).await.unwrap();
            kept.is_withdrawn("alice", &format!("{n}{long}"), || async { Ok(false) }).await.unwrap();
        }
        assert!(kept.registrations.weight() <= MOST_REGISTRATION_BYTES && kept.registrations.len() < 1_200);
        for (count, weight) in [
            (kept.rules.len(), kept.rules.weight()),
            (kept.credentials.len(), kept.credentials.weight()),
            (kept.withdrawn.len(), kept.withdrawn.weight()),
        ] {
            assert!(count < 300 && weight <= MOST_BYTES, "{count} {weight}");
        }
        // usual ones are kept all
        let kept = Kept::default();
        for n in 0..20_000 {
            kept.registrations("alice", &format!("/album/{n}.jpg"), || async { Ok(Vec::new()) }).await.unwrap();
        }
        assert!(kept.registrations.len() >= 20_000);
    }
}
