//! Thumbnails that were made, kept as files of a folder of the gateway's own: so many bytes, of which the oldest go first. A
//! name is a hash of which file it was, how long and when it last changed, so that nothing has to be taken back. An empty file
//! says that there is no small picture of it. Where the folder cannot be written, thumbnails are made anew.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub(super) const MOST_BYTES: u64 = 512 << 20;
/// What a file costs beside what is in it.
const FILE_BYTES: u64 = 512;

/// What is kept of one file's picture.
pub(super) type Key = String;

#[derive(Default)]
struct Index {
    /// Names in the order in which they came.
    by_age: BTreeMap<u64, Key>,
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
        self.by_age.insert(age, key.clone());
        self.kept.insert(key, Place { age, bytes });
    }

    fn remove(&mut self, key: &str) {
        if let Some(place) = self.kept.remove(key) {
            self.by_age.remove(&place.age);
            self.bytes = self.bytes.saturating_sub(place.bytes);
        }
    }

    /// Takes the oldest out until the rest is little enough.
    fn take_over(&mut self, most: u64) -> Vec<Key> {
        let mut over = Vec::new();
        while self.bytes > most {
            let Some((_, key)) = self.by_age.pop_first() else { break };
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
            false if name.ends_with(".part") => drop(std::fs::remove_file(entry.path())),
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

fn is_key(name: &str) -> bool {
    name.len() == 43 && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
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
        jose::base64url::encode([n; 32])
    }

    #[test]
    fn what_is_kept_is_bounded_and_the_oldest_go_also_after_a_restart() {
        let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
        let folder = Temporary(std::env::temp_dir().join(format!("wayleave-cache-{}", jose::base64url::encode(random))));
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
