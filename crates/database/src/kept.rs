//! What was read, kept in memory beside the database. Not a cache with a lifetime: an entry carries the epoch that it was read
//! under ([`crate::Epochs`]), and counts only while that stands. What cannot be read is not kept, and what is counted by commits that
//! raise no epoch must not be.

use crate::{Epochs, ReadError};
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, Equivalent, OptionsBuilder, Weighter};
use std::hash::Hash;

/// Most bytes of one entry: what is larger is read anew each time.
const BYTES_OF_ENTRY: usize = 8 * 1024 * 1024;
/// Few, so that a large entry has room in one of them.
const SHARDS: usize = 4;

/// What is kept under a key.
#[derive(Clone)]
struct Entry<T> {
    under: u64,
    weight: usize,
    entity: T,
}

#[derive(Clone)]
struct ByWeight;

impl<K, T> Weighter<K, Entry<T>> for ByWeight {
    fn weight(&self, _: &K, entry: &Entry<T>) -> u64 {
        entry.weight.try_into().unwrap_or(u64::MAX)
    }
}

/// One kind of entity by its key.
pub struct Shelf<K, T> {
    cache: Cache<K, Entry<T>, ByWeight>,
    /// What each weighs at least, so that there are not too many of them.
    least: usize,
    weigh: fn(&K, &T) -> usize,
}

impl<K: Eq + Hash, T: Clone> Shelf<K, T> {
    /// Room for so many bytes and so many entries; `weigh` says how many bytes one takes in memory with its key, about.
    pub fn of(bytes: usize, entries: usize, weigh: fn(&K, &T) -> usize) -> Self {
        let mut options = OptionsBuilder::new();
        options.shards(SHARDS).estimated_items_capacity(entries).weight_capacity(bytes.try_into().unwrap_or(u64::MAX));
        let cache = match options.build() {
            Ok(options) => Cache::with_options(options, ByWeight, DefaultHashBuilder::default(), DefaultLifecycle::default()),
            // never: all that it asks for is set
            Err(_) => Cache::with_weighter(entries, 0, ByWeight),
        };
        Self { cache, least: bytes.checked_div(entries).unwrap_or(0), weigh }
    }

    /// What is kept, if its epoch still stands.
    fn get<Q: Hash + Equivalent<K> + ?Sized>(&self, key: &Q, epoch: impl Fn(&T) -> u64) -> Option<T> {
        self.cache.get(key).filter(|kept| kept.under == epoch(&kept.entity)).map(|kept| kept.entity)
    }

    /// The entry of a key, from memory if its epoch still stands, else read by `read`. Whose epoch it is, only the entry says;
    /// so where any was raised meanwhile it is read once more after the epoch, and a change in between makes what is kept worthless,
    /// never wrong.
    pub async fn find<Q, Read>(
        &self,
        key: &Q,
        epochs: &Epochs,
        epoch: impl Fn(&T) -> u64,
        keep: impl Fn(&T) -> bool,
        read: impl Fn() -> Read,
    ) -> Result<Option<T>, ReadError>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        K: for<'q> From<&'q Q>,
        Read: Future<Output = Result<Option<T>, ReadError>>,
    {
        if let Some(kept) = self.get(key, &epoch) {
            return Ok(Some(kept));
        }
        let raises = epochs.raises();
        let Some(first) = Box::pin(read()).await? else { return Ok(None) };
        if !keep(&first) || (self.weigh)(&key.into(), &first) > BYTES_OF_ENTRY {
            self.cache.remove(key);
            return Ok(Some(first));
        }
        let under = epoch(&first);
        let found = if epochs.raises() == raises { Some(first) } else { Box::pin(read()).await? };
        if let Some(entity) = &found {
            self.keep(key, under, entity);
        }
        Ok(found)
    }

    /// The same where it is known beforehand whose it is; `epoch` is from before the read. Only what has to be read is put elsewhere:
    /// whoever is answered from memory makes nothing.
    pub async fn find_of<Q, Read>(
        &self,
        key: &Q,
        epoch: u64,
        keep: impl Fn(&T) -> bool,
        read: impl FnOnce() -> Read,
    ) -> Result<T, ReadError>
    where
        Q: Hash + Equivalent<K> + ?Sized,
        K: for<'q> From<&'q Q>,
        Read: Future<Output = Result<T, ReadError>>,
    {
        if let Some(kept) = self.get(key, |_| epoch) {
            return Ok(kept);
        }
        let entity = Box::pin(read()).await?;
        if keep(&entity) {
            self.keep(key, epoch, &entity);
        }
        Ok(entity)
    }

    fn keep<Q>(&self, key: &Q, under: u64, entity: &T)
    where
        Q: Hash + Equivalent<K> + ?Sized,
        K: for<'q> From<&'q Q>,
    {
        let own: K = key.into();
        let weight = (self.weigh)(&own, entity);
        match weight > BYTES_OF_ENTRY {
            true => drop(self.cache.remove(key)),
            false => self.cache.insert(own, Entry { under, weight: weight.max(self.least), entity: entity.clone() }),
        }
    }

    /// How many are kept, and how many bytes they take.
    pub fn size(&self) -> (usize, u64) {
        (self.cache.len(), self.cache.weight())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;
    use std::sync::Arc;

    const BYTES: usize = 64 * 1024 * 1024;
    const ENTRIES: usize = 4_096;

    #[tokio::test]
    async fn threat_46_what_is_kept_is_weighed_and_what_is_large_is_not_kept() {
        let shelf: Shelf<String, Arc<Vec<u8>>> = Shelf::of(BYTES, ENTRIES, |_, bytes| bytes.len());
        let (reads, epochs) = (Cell::new(0), Epochs::default());
        let find = async |id: &str, size: usize| {
            let read = async || {
                reads.set(reads.get() + 1);
                Ok(Some(Arc::new(vec![0; size])))
            };
            reads.set(0);
            shelf.find(id, &epochs, |_| 1, |_| true, read).await.unwrap().unwrap();
            reads.get()
        };
        assert_eq!((find("small", 1_000).await, find("small", 1_000).await), (1, 0));
        assert_eq!((find("large", BYTES_OF_ENTRY + 1).await, find("large", BYTES_OF_ENTRY + 1).await), (1, 1));
        for each in 0..100 {
            find(&format!("of two MiB, {each}"), 2 * 1024 * 1024).await;
        }
        assert!(shelf.size().1 <= BYTES as u64, "{:?}", shelf.size());
        for each in 0..2 * ENTRIES {
            find(&format!("of nothing, {each}"), 0).await;
        }
        assert!(shelf.size().0 <= ENTRIES, "{:?}", shelf.size());
        assert_eq!(find("of nothing", 0).await + find("of nothing", 0).await, 1, "there is room again");
    }

    /// Whose it is, is known when it was read. What was changed meanwhile is read again under the new epoch.
    #[tokio::test]
    async fn threat_27_what_changes_while_it_is_read_is_not_kept_as_it_was() {
        let (shelf, epochs): (Shelf<String, u8>, _) = (Shelf::of(BYTES, ENTRIES, |_, _| 1), Epochs::default());
        let (stored, reads) = (Cell::new(1), Cell::new(0));
        let epoch = |_: &u8| epochs.of(&["alice"]);
        let changing = async || {
            let old = stored.get();
            reads.set(reads.get() + 1);
            if reads.get() == 1 {
                stored.set(2);
                epochs.raise(Epochs::slot_of(&["alice"]));
            }
            Ok(Some(old))
        };
        assert_eq!(shelf.find("a", &epochs, epoch, |_| true, changing).await, Ok(Some(2)));
        assert_eq!(shelf.find("a", &epochs, epoch, |_| true, async || Ok(Some(stored.get()))).await, Ok(Some(2)));
        assert_eq!(reads.get(), 2);
    }

    /// What was read before a change counts no more behind it, also where it comes to be kept after the change.
    #[tokio::test]
    async fn threat_27_what_was_read_before_a_change_counts_no_more() {
        let (shelf, epochs): (Shelf<String, u8>, _) = (Shelf::of(BYTES, ENTRIES, |_, _| 1), Epochs::default());
        let name = ["alice", "/a"];
        let find = async |value: u8| shelf.find_of("a", epochs.of(&name), |_| true, async || Ok(value)).await.unwrap();
        assert_eq!((find(1).await, find(2).await), (1, 1));
        let before = epochs.of(&name);
        epochs.raise(Epochs::slot_of(&name));
        assert_eq!(find(2).await, 2);
        let late = shelf.find_of("a", before, |_| true, async || Ok(1)).await;
        assert_eq!((late, find(3).await), (Ok(1), 3));
        epochs.raise_all();
        let failed = shelf.find_of("a", epochs.of(&name), |_| true, async || Err(ReadError::Unreadable("away".into()))).await;
        assert!(failed.is_err());
        assert_eq!(find(4).await, 4, "and no failure is kept");
    }
}
