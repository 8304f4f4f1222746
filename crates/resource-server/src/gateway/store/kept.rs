//! What every call looks at, kept in memory beside the database ([`Shelf`]). A commit raises the epochs of what it changed.

use super::registrations::Registered;
use super::tables::{CREDENTIAL, LINK, REGISTRATION, RULE, WITHDRAWN};
use super::{Link, Rule};
use database::{Batch, Check, Epochs, Operation, ReadError, Shelf, Table, Value};
use quick_cache::Equivalent;
use std::sync::Arc;
use types::credential::CredentialDocument;
use types::json::{size_of, weight_of_text};

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

/// Bytes of all that is kept of registrations, and of each other kind; and most of each.
const MOST_REGISTRATION_BYTES: usize = 64 << 20;
const MOST_BYTES: usize = 16 << 20;
const MOST_REGISTRATIONS: usize = 200_000;
const MOST: usize = 50_000;
/// How many times as large something is in memory as what is written of it.
const IN_MEMORY: usize = 4;

/// What was read, by owner and issuer, and by owner and own id.
pub(super) struct Kept {
    pub(super) epochs: Epochs,
    links: Shelf<Pair, Option<Arc<Link>>>,
    registrations: Shelf<Pair, Arc<Vec<Registered>>>,
    rules: Shelf<String, Arc<Vec<Rule>>>,
    /// By owner and subject; none: she has no such credential.
    credentials: Shelf<Pair, Option<Arc<CredentialDocument>>>,
    /// By owner and `jti`: whether it was withdrawn.
    withdrawn: Shelf<Pair, bool>,
}

fn weigh(name: &Pair, bytes: usize) -> usize {
    weight_of_text(&name.0).saturating_add(weight_of_text(&name.1)).saturating_add(bytes.saturating_mul(IN_MEMORY))
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            epochs: Epochs::default(),
            links: Shelf::of(MOST_BYTES, MOST, |name, link| weigh(name, link.as_ref().map_or(0, |link| size_of(&**link)))),
            registrations: Shelf::of(MOST_REGISTRATION_BYTES, MOST_REGISTRATIONS, |name, all| weigh(name, size_of(&**all))),
            rules: Shelf::of(MOST_BYTES, MOST, |owner, all| {
                weight_of_text(owner).saturating_add(size_of(&**all).saturating_mul(IN_MEMORY))
            }),
            credentials: Shelf::of(MOST_BYTES, MOST, |name, known| {
                weigh(name, known.as_ref().map_or(0, |known| size_of(&**known)))
            }),
            withdrawn: Shelf::of(MOST_BYTES, MOST, |name, _| weigh(name, 0)),
        }
    }
}

/// Under which epochs a row is kept: rules by their owner, all else by owner and name.
fn slot_of(table: &'static Table, key: &[Value]) -> Option<usize> {
    let text = |at: usize| key.get(at).and_then(Value::as_text);
    if [&LINK, &REGISTRATION, &CREDENTIAL, &WITHDRAWN].into_iter().any(|kept| kept == table) {
        return Some(Epochs::slot_of(&[text(0)?, text(1)?]));
    }
    if *table == RULE { Some(Epochs::slot_of(&[text(0)?])) } else { None }
}

/// Rows that a batch changes.
pub(super) fn touched(batch: &Batch) -> Vec<usize> {
    let slot = |operation: &Operation| match operation {
        Operation::Insert { table, row } | Operation::Put { table, row } => slot_of(table, row),
        Operation::Delete { table, key } => slot_of(table, key),
        _ => None,
    };
    batch.operations.iter().filter_map(slot).collect()
}

/// Rows that it rests on: where one is not as it was, somebody was faster, whose commit may not have been told yet (S28).
pub(super) fn under(batch: &Batch) -> Vec<usize> {
    let slot = |check: &Check| match check {
        Check::Absent { table, key } | Check::Equals { table, key, .. } | Check::Below { table, key, .. } => slot_of(table, key),
        Check::NoneAlong { .. } => None,
    };
    batch.checks.iter().filter_map(slot).collect()
}

impl Kept {
    fn of(&self, pair: &PairOf<'_>) -> u64 {
        self.epochs.of(&[pair.0, pair.1])
    }

    /// That there is no link is not kept: strangers may name whom they like.
    pub(super) async fn link<F: Future<Output = Result<Option<Link>, ReadError>> + Send>(
        &self,
        owner: &str,
        issuer: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Option<Arc<Link>>, ReadError> {
        let pair = PairOf(owner, issuer);
        self.links.find_of(&pair, self.of(&pair), Option::is_some, || async { Ok(read().await?.map(Arc::new)) }).await
    }

    pub(super) async fn registrations<F: Future<Output = Result<Vec<Registered>, ReadError>> + Send>(
        &self,
        owner: &str,
        own_id: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Arc<Vec<Registered>>, ReadError> {
        let pair = PairOf(owner, own_id);
        self.registrations.find_of(&pair, self.of(&pair), |_| true, || async { read().await.map(Arc::new) }).await
    }

    pub(super) async fn rules<F: Future<Output = Result<Vec<Rule>, ReadError>> + Send>(
        &self,
        owner: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Arc<Vec<Rule>>, ReadError> {
        let epoch = self.epochs.of(&[owner]);
        self.rules.find_of(owner, epoch, |_| true, || async { read().await.map(Arc::new) }).await
    }

    pub(super) async fn credential<F: Future<Output = Result<Option<CredentialDocument>, ReadError>> + Send>(
        &self,
        owner: &str,
        subject: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<Option<Arc<CredentialDocument>>, ReadError> {
        let pair = PairOf(owner, subject);
        self.credentials.find_of(&pair, self.of(&pair), |_| true, || async { Ok(read().await?.map(Arc::new)) }).await
    }

    pub(super) async fn is_withdrawn<F: Future<Output = Result<bool, ReadError>> + Send>(
        &self,
        owner: &str,
        jti: &str,
        read: impl FnOnce() -> F + Send,
    ) -> Result<bool, ReadError> {
        let pair = PairOf(owner, jti);
        self.withdrawn.find_of(&pair, self.of(&pair), |_| true, read).await
    }

    pub(super) fn forget(&self, slots: &[usize]) {
        slots.iter().for_each(|slot| self.epochs.raise(*slot));
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
        let size = kept.registrations.size();
        assert!(size.0 < 1_200 && size.1 <= MOST_REGISTRATION_BYTES as u64, "{size:?}");
        for (count, weight) in [kept.rules.size(), kept.credentials.size(), kept.withdrawn.size()] {
            assert!(count < 300 && weight <= MOST_BYTES as u64, "{count} {weight}");
        }
        // usual ones are kept all
        let kept = Kept::default();
        for n in 0..20_000 {
            kept.registrations("alice", &format!("/album/{n}.jpg"), || async { Ok(Vec::new()) }).await.unwrap();
        }
        assert!(kept.registrations.size().0 >= 20_000);
    }
}
