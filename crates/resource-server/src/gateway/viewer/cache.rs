//! Thumbnails that were made, kept as files of a folder of the gateway's own: so many bytes. Beyond that the oldest go first of
//! the owner who has the most there, so that nobody's many pictures push out another's few. A name is a hash of whose it is, and
//! one of which file it was, how long and when it last changed, so that nothing has to be taken back. An empty file
//! says that there is no small picture of it. Where the folder cannot be written, thumbnails are made anew.

use jose::{base64url, digest};
use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(super) const MOST_BYTES: u64 = 512 << 20;
/// What a file costs beside what is in it.
const FILE_BYTES: u64 = 512;

/// Letters of the hash of an owner, and of a file.
const OWNER_LENGTH: usize = 16;
const HASH_LENGTH: usize = 43;

/// What is kept of one file's picture: whose it is, and of which file.
pub(super) type Key = String;

/// How what is kept of a file is called.
pub(super) fn key_of(owner: &str, hash: &str) -> Key {
    let owner = base64url::encode(digest::sha256(&[owner.as_bytes()]));
    format!("{}.{hash}", owner.get(..OWNER_LENGTH).unwrap_or_default())
}

/// What is kept for one owner.
#[derive(Default)]
struct OwnersShare {
    /// Names in the order in which they came.
    by_age: BTreeMap<u64, Key>,
    bytes: u64,
}

#[derive(Default)]
struct Index {
    shares: HashMap<String, OwnersShare>,
    /// When each came, and what it costs.
    kept: HashMap<Key, Place>,
    bytes: u64,
    next: u64,
}

#[derive(Clone, Copy)]
struct Place {
    age: u64,
    bytes: u64,
}

impl Index {
    fn add(&mut self, key: Key, bytes: u64) {
        self.remove(&key);
        let (age, bytes) = (self.next, bytes.saturating_add(FILE_BYTES));
        self.next = self.next.saturating_add(1);
        self.bytes = self.bytes.saturating_add(bytes);
        let share = self.shares.entry(owner_in(&key).to_owned()).or_default();
        share.bytes = share.bytes.saturating_add(bytes);
        share.by_age.insert(age, key.clone());
        self.kept.insert(key, Place { age, bytes });
    }

    fn remove(&mut self, key: &str) {
        let Some(place) = self.kept.remove(key) else { return };
        self.bytes = self.bytes.saturating_sub(place.bytes);
        if let Some(share) = self.shares.get_mut(owner_in(key)) {
            share.by_age.remove(&place.age);
            share.bytes = share.bytes.saturating_sub(place.bytes);
            if share.by_age.is_empty() {
                self.shares.remove(owner_in(key));
            }
        }
    }

    /// Takes the oldest of whoever has the most out, until the rest is little enough.
    fn take_over(&mut self, most: u64) -> Vec<Key> {
        let mut over = Vec::new();
        while self.bytes > most {
            let largest = self.shares.values().max_by_key(|share| share.bytes);
            let Some(key) = largest.and_then(|share| share.by_age.values().next()).cloned() else { break };
            self.remove(&key);
            over.push(key);
        }
        over
    }
}

pub(super) struct Cache {
    folder: Option<PathBuf>,
    most_bytes: u64,
    index: Mutex<Index>,
}

impl Cache {
    pub(super) fn open(folder: Option<PathBuf>, most_bytes: u64) -> Self {
        let index = folder.as_deref().map(|folder| read_folder(folder).unwrap_or_default()).unwrap_or_default();
        let cache = Self { folder, most_bytes, index: Mutex::new(index) };
        cache.trim();
        cache
    }

    fn index(&self) -> std::sync::MutexGuard<'_, Index> {
        self.index.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was kept; empty: that there is none.
    pub(super) fn find(&self, key: &str) -> Option<Vec<u8>> {
        let folder = self.folder.as_ref()?;
        if !self.index().kept.contains_key(key) {
            return None;
        }
        let found = std::fs::read(folder.join(key)).ok();
        if found.is_none() {
            self.index().remove(key);
        }
        found
    }

    pub(super) fn put(&self, key: &str, bytes: &[u8]) {
        let Some(folder) = &self.folder else { return };
        if let Err(error) = write(folder, key, bytes) {
            tracing::warn!(%error, folder = %folder.display(), "a thumbnail cannot be kept");
            return;
        }
        self.index().add(key.to_owned(), u64::try_from(bytes.len()).unwrap_or(u64::MAX));
        self.trim();
    }

    fn trim(&self) {
        let over = self.index().take_over(self.most_bytes);
        for key in self.folder.iter().flat_map(|folder| over.iter().map(|key| folder.join(key))) {
            let _ = std::fs::remove_file(key);
        }
    }
}

/// Whole or not at all: a name is written when all is there.
fn write(folder: &Path, key: &str, bytes: &[u8]) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    let part = folder.join(format!("{key}.part"));
    let mut file = std::fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&part)?;
    io::Write::write_all(&mut file, bytes)?;
    std::fs::rename(part, folder.join(key))
}

/// What a process before this one left, the oldest first; what it did not finish goes.
fn read_folder(folder: &Path) -> io::Result<Index> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let entry = entry?;
        let (metadata, name) = (entry.metadata()?, entry.file_name().into_string().unwrap_or_default());
        match metadata.is_file() && is_key(&name) {
            true => found.push((metadata.modified()?, name, metadata.len())),
            // half written, or called as they were before owners had shares
            false if name.ends_with(".part") || is_hash(&name, HASH_LENGTH) => drop(std::fs::remove_file(entry.path())),
            false => {}
        }
    }
    found.sort();
    let mut index = Index::default();
    for (_, name, bytes) in found {
        index.add(name, bytes);
    }
    Ok(index)
}

fn owner_in(key: &str) -> &str {
    key.split('.').next().unwrap_or_default()
}

fn is_key(name: &str) -> bool {
    name.split_once('.').is_some_and(|(owner, hash)| is_hash(owner, OWNER_LENGTH) && is_hash(hash, HASH_LENGTH))
}

fn is_hash(name: &str, length: usize) -> bool {
    name.len() == length && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Temporary(PathBuf);

    impl Drop for Temporary {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn key(n: u8) -> String {
        of("alice", n)
    }

    fn of(owner: &str, n: u8) -> String {
        key_of(owner, &base64url::encode([n; 32]))
    }

    fn temporary() -> Temporary {
        let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
        Temporary(std::env::temp_dir().join(format!("wayleave-cache-{}", base64url::encode(random))))
    }

    #[test]
    fn whoever_has_the_most_gives_first() {
        let folder = temporary();
        let most = 5 * (FILE_BYTES + 100);
        let cache = Cache::open(Some(folder.0.clone()), most);
        cache.put(&of("alice", 0), &[0; 100]);
        cache.put(&of("bob", 0), &[0; 100]);
        for n in 0..100 {
            cache.put(&of("mallory", n), &[n; 100]);
        }
        let count = |cache: &Cache, owner: &str| (0..100).filter(|n| cache.find(&of(owner, *n)).is_some()).count();
        let counts = |cache: &Cache| ["alice", "bob", "mallory"].map(|owner| count(cache, owner));
        assert_eq!(counts(&cache), [1, 1, 3]);
        assert!(cache.find(&of("mallory", 99)).is_some(), "her newest");
        // also after a restart; what has an older name goes
        std::fs::write(folder.0.join(base64url::encode([7; 32])), "older").unwrap();
        let again = Cache::open(Some(folder.0.clone()), 3 * (FILE_BYTES + 100));
        assert_eq!((counts(&again), std::fs::read_dir(&folder.0).unwrap().count()), ([1, 1, 1], 3));
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_go_also_after_a_restart() {
        let folder = temporary();
        let most = 3 * (FILE_BYTES + 100);
        let cache = Cache::open(Some(folder.0.clone()), most);
        for n in 0..5 {
            cache.put(&key(n), &[n; 100]);
        }
        let kept = |cache: &Cache| (0..5).filter(|n| cache.find(&key(*n)).is_some()).collect::<Vec<_>>();
        assert_eq!(kept(&cache), [2, 3, 4]);
        assert_eq!(std::fs::read_dir(&folder.0).unwrap().count(), 3);
        // what is kept again is new again
        cache.put(&key(2), &[]);
        cache.put(&key(0), &[0; 100]);
        assert_eq!(kept(&cache), [0, 2, 4]);
        std::fs::write(folder.0.join(format!("{}.part", key(9))), "half").unwrap();
        let again = Cache::open(Some(folder.0.clone()), 2 * (FILE_BYTES + 100));
        assert_eq!((kept(&again).len(), std::fs::read_dir(&folder.0).unwrap().count()), (2, 2));
        // somebody cleared the folder
        std::fs::remove_dir_all(&folder.0).unwrap();
        assert_eq!(kept(&again), Vec::<u8>::new());
        again.put(&key(1), b"x");
        assert_eq!(again.find(&key(1)), Some(b"x".to_vec()));
        let nowhere = Cache::open(None, most);
        nowhere.put(&key(1), b"x");
        assert_eq!(nowhere.find(&key(1)), None);
    }
}
