//! Links and registrations in memory. What was read is put there only if nothing was written since, so that no old row
//! outlives a newer one.

use super::registrations::Registered;
use super::tables::{CREDENTIAL, LINK, REGISTRATION, RULE, WITHDRAWN};
use super::{Link, Rule, Unreadable};
use database::{Batch, Operation, Value};
use quick_cache::Equivalent;
use quick_cache::sync::Cache;
use std::hash::Hash;
use std::sync::{Arc, Mutex, PoisonError};
use types::credential::CredentialDocument;

type Pair = (String, String);

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

/// What was read, by owner and issuer, and by owner and own id.
pub(super) struct Kept {
    links: Cache<Pair, Arc<Link>>,
    registrations: Cache<Pair, Arc<Vec<Registered>>>,
    rules: Cache<String, Arc<Vec<Rule>>>,
    /// By owner and subject; none: she has no such credential.
    credentials: Cache<Pair, Option<Arc<CredentialDocument>>>,
    /// By owner and `jti`: whether it was withdrawn.
    withdrawn: Cache<Pair, bool>,
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
            links: Cache::new(10_000),
            registrations: Cache::new(50_000),
            rules: Cache::new(10_000),
            credentials: Cache::new(10_000),
            withdrawn: Cache::new(50_000),
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
    fn keep<K: Eq + Hash, V: Clone>(&self, cache: &Cache<K, V>, key: K, value: &V, before: u64) {
        let writes = self.writes.lock().unwrap_or_else(PoisonError::into_inner);
        if *writes == before {
            cache.insert(key, value.clone());
        }
    }

    /// What cannot be read is not kept.
    fn look_up<Q: Hash + Equivalent<K> + ?Sized, K: Eq + Hash + for<'q> From<&'q Q>, V: Clone>(
        &self,
        cache: &Cache<K, V>,
        key: &Q,
        read: impl FnOnce() -> Result<V, Unreadable>,
    ) -> Result<V, Unreadable> {
        if let Some(value) = cache.get(key) {
            return Ok(value);
        }
        let before = self.count();
        let value = read()?;
        self.keep(cache, key.into(), &value, before);
        Ok(value)
    }

    /// That there is no link is not kept: strangers may name whom they like.
    pub(super) fn link(
        &self,
        owner: &str,
        issuer: &str,
        read: impl FnOnce() -> Result<Option<Link>, Unreadable>,
    ) -> Result<Option<Arc<Link>>, Unreadable> {
        let pair = &PairOf(owner, issuer);
        if let Some(link) = self.links.get(pair) {
            return Ok(Some(link));
        }
        let before = self.count();
        let Some(link) = read()?.map(Arc::new) else { return Ok(None) };
        self.keep(&self.links, pair.into(), &link, before);
        Ok(Some(link))
    }

    pub(super) fn registrations(
        &self,
        owner: &str,
        own_id: &str,
        read: impl FnOnce() -> Result<Vec<Registered>, Unreadable>,
    ) -> Result<Arc<Vec<Registered>>, Unreadable> {
        self.look_up(&self.registrations, &PairOf(owner, own_id), || read().map(Arc::new))
    }

    pub(super) fn rules(
        &self,
        owner: &str,
        read: impl FnOnce() -> Result<Vec<Rule>, Unreadable>,
    ) -> Result<Arc<Vec<Rule>>, Unreadable> {
        self.look_up(&self.rules, owner, || read().map(Arc::new))
    }

    pub(super) fn credential(
        &self,
        owner: &str,
        subject: &str,
        read: impl FnOnce() -> Result<Option<CredentialDocument>, Unreadable>,
    ) -> Result<Option<Arc<CredentialDocument>>, Unreadable> {
        self.look_up(&self.credentials, &PairOf(owner, subject), || Ok(read()?.map(Arc::new)))
    }

    pub(super) fn is_withdrawn(
        &self,
        owner: &str,
        jti: &str,
        read: impl FnOnce() -> Result<bool, Unreadable>,
    ) -> Result<bool, Unreadable> {
        self.look_up(&self.withdrawn, &PairOf(owner, jti), read)
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
