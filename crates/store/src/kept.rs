//! Entities kept in memory beside the database. Not a cache with a lifetime: an entry carries the epoch that it
//! was read under (`epochs.rs`), and counts only while that stands. What is counted by commits that raise no
//! epoch (`uses` of limited policies) is never kept.

use crate::epochs::Epochs;
use authorization_server::owner_settings::OwnerSettings;
use identity::consent::Consent;
use identity::{Client, ReadError};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use rules::{Policy, Resource};
use std::sync::Arc;
use types::OwnerId;
use types::json::size_of;

/// Most entries of one kind, most bytes of them together, and most of one: what is larger is read anew each time.
const ENTRIES: usize = 4_096;
const BYTES: usize = 32 * 1024 * 1024;
const BYTES_OF_POLICIES: usize = 64 * 1024 * 1024;
const BYTES_OF_ENTRY: usize = 8 * 1024 * 1024;
/// How many times as large something is in memory as what is written of it.
const IN_MEMORY: usize = 4;
/// Few, so that a large entry has room in one of them.
const SHARDS: usize = 4;

/// What is kept under an id.
#[derive(Clone)]
struct Entry<T> {
    under: u64,
    weight: usize,
    entity: T,
}

#[derive(Clone)]
struct ByWeight;

impl<T> Weighter<String, Entry<T>> for ByWeight {
    fn weight(&self, _: &String, entry: &Entry<T>) -> u64 {
        entry.weight.try_into().unwrap_or(u64::MAX)
    }
}

/// One kind of entity by its id.
pub(crate) struct Shelf<T> {
    cache: Cache<String, Entry<T>, ByWeight>,
    bytes: usize,
    weigh: fn(&T) -> usize,
}

impl<T: Clone> Shelf<T> {
    /// Room for so many bytes; `weigh` says how many an entity takes in memory, about.
    fn of(bytes: usize, weigh: fn(&T) -> usize) -> Self {
        let mut options = OptionsBuilder::new();
        options.shards(SHARDS).estimated_items_capacity(ENTRIES).weight_capacity(bytes.try_into().unwrap_or(u64::MAX));
        let cache = match options.build() {
            Ok(options) => Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            // never: all that it asks for is set
            Err(_) => Cache::with_weighter(ENTRIES, 0, ByWeight),
        };
        Self { cache, bytes, weigh }
    }

    /// The entry of `id`, from memory if the epoch of `of` still stands, else read by `read`. Whose epoch it is,
    /// only the entry says; so it is read once more after the epoch, and a change in between makes what is kept
    /// worthless, never wrong.
    pub(crate) async fn find<Read: Future<Output = Result<Option<T>, ReadError>>>(
        &self,
        id: &str,
        epoch: impl Fn(&T) -> u64,
        keep: impl Fn(&T) -> bool,
        read: impl Fn() -> Read,
    ) -> Result<Option<T>, ReadError> {
        if let Some(kept) = self.cache.get(id).filter(|kept| kept.under == epoch(&kept.entity)) {
            return Ok(Some(kept.entity));
        }
        let Some(first) = read().await? else { return Ok(None) };
        if !keep(&first) || (self.weigh)(&first) > BYTES_OF_ENTRY {
            self.cache.remove(id);
            return Ok(Some(first));
        }
        let under = epoch(&first);
        drop(first);
        let again = read().await?;
        if let Some(entity) = &again {
            self.keep(id, under, entity);
        }
        Ok(again)
    }

    /// The same where it is known beforehand whose it is; `epoch` is hers, from before.
    pub(crate) async fn find_of<Read: Future<Output = Result<T, ReadError>>>(
        &self,
        id: &str,
        epoch: u64,
        read: impl Fn() -> Read,
    ) -> Result<T, ReadError> {
        if let Some(kept) = self.cache.get(id).filter(|kept| kept.under == epoch) {
            return Ok(kept.entity);
        }
        let entity = read().await?;
        self.keep(id, epoch, &entity);
        Ok(entity)
    }

    fn keep(&self, id: &str, under: u64, entity: &T) {
        let (weight, least) = ((self.weigh)(entity), self.bytes / ENTRIES);
        match weight > BYTES_OF_ENTRY {
            true => drop(self.cache.remove(id)),
            false => self.cache.insert(id.to_owned(), Entry { under, weight: weight.max(least), entity: entity.clone() }),
        }
    }
}

/// What is kept.
pub(crate) struct Kept {
    pub(crate) clients: Shelf<Arc<Client>>,
    pub(crate) consents: Shelf<Arc<Consent>>,
    pub(crate) resources: Shelf<Arc<Resource>>,
    pub(crate) policies: Shelf<Policy>,
    pub(crate) policies_on: Shelf<Arc<Vec<Arc<Policy>>>>,
    pub(crate) links: Shelf<i64>,
    pub(crate) owner_settings: Shelf<Option<OwnerSettings>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            clients: Shelf::of(BYTES, |client| size_of(&**client).saturating_mul(IN_MEMORY)),
            consents: Shelf::of(BYTES, |consent| size_of(&**consent).saturating_mul(IN_MEMORY)),
            resources: Shelf::of(BYTES, |resource| size_of(&**resource).saturating_mul(IN_MEMORY)),
            policies: Shelf::of(BYTES, Policy::weight),
            policies_on: Shelf::of(BYTES_OF_POLICIES, |all| all.iter().map(|policy| policy.weight()).sum()),
            links: Shelf::of(BYTES, |_| 0),
            owner_settings: Shelf::of(BYTES, |settings| size_of(settings).saturating_mul(IN_MEMORY)),
        }
    }
}

impl Epochs {
    pub(crate) fn of_policies(&self, policies: &[Arc<Policy>]) -> u64 {
        policies.first().map_or(0, |policy| self.of(&policy.owner))
    }

    /// Clients belong to nobody: theirs is the epoch that every change of a client raises.
    pub(crate) fn of_clients(&self) -> u64 {
        self.of(&OwnerId::new(""))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threat_46_what_is_kept_is_weighed_and_what_is_large_is_not_kept() {
        let shelf: Shelf<Arc<Vec<u8>>> = Shelf::of(BYTES_OF_POLICIES, |bytes| bytes.len());
        let reads = std::cell::Cell::new(0);
        let find = async |id: &str, size: usize| {
            let read = async || {
                reads.set(reads.get() + 1);
                Ok(Some(Arc::new(vec![0; size])))
            };
            reads.set(0);
            shelf.find(id, |_| 1, |_| true, read).await.unwrap().unwrap();
            reads.get()
        };
        assert_eq!((find("small", 1_000).await, find("small", 1_000).await), (2, 0), "read, and read once more to be kept");
        assert_eq!((find("large", BYTES_OF_ENTRY + 1).await, find("large", BYTES_OF_ENTRY + 1).await), (1, 1));
        for each in 0..100 {
            find(&format!("of two MiB, {each}"), 2 * 1024 * 1024).await;
        }
        assert!(shelf.cache.weight() <= BYTES_OF_POLICIES as u64, "{}", shelf.cache.weight());
        for each in 0..2 * ENTRIES {
            find(&format!("of nothing, {each}"), 0).await;
        }
        assert!(shelf.cache.len() <= ENTRIES, "{}", shelf.cache.len());
        assert_eq!(find("of nothing", 0).await + find("of nothing", 0).await, 2, "there is room again");
    }
}
