//! One process serves a store at a time. Two that serve the same one would each keep what the other changed, and a backup that is
//! restored under a running server takes back what that server has confirmed since. Held by whoever serves, and by `restore`.

use crate::Exit;
use crate::assemble::{make_folder, make_private};
use std::fs::{File, OpenOptions, TryLockError};
use std::path::{Path, PathBuf};

/// That nobody else serves this store, for as long as it lives. The system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Serving {
    _lock: File,
}

impl Serving {
    /// Takes the store for this process; none for what is no file. The error names the store and says what to do.
    pub fn begin(store: Option<PathBuf>) -> Result<Option<Self>, Exit> {
        store.map(|store| Self::of(&store)).transpose()
    }

    fn of(store: &Path) -> Result<Self, Exit> {
        let mut name = store.as_os_str().to_owned();
        name.push(".lock");
        let place = PathBuf::from(name);
        make_folder(&place)?;
        make_private(&place)?;
        let named = |error: &dyn std::fmt::Display| Exit::failed(format!("{}: {error}", place.display()));
        let lock = OpenOptions::new().append(true).open(&place).map_err(|error| named(&error))?;
        match lock.try_lock() {
            Ok(()) => Ok(Self { _lock: lock }),
            Err(TryLockError::WouldBlock) => Err(Exit::failed(format!(
                "{} is served by another process that is running: stop that first, or name another store",
                store.display()
            ))),
            Err(TryLockError::Error(error)) => Err(named(&error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_35_a_store_is_served_by_one_process() {
        let store = std::env::temp_dir().join(format!("wayleave-serving-{}.db", std::process::id()));
        let first = Serving::begin(Some(store.clone())).unwrap();
        let Err(Exit::Failed(what)) = Serving::begin(Some(store.clone())) else { panic!("a second one began") };
        assert!(what.contains("wayleave-serving") && what.contains("stop that first"), "{what}");
        drop(first);
        assert!(Serving::begin(Some(store.clone())).unwrap().is_some());
        assert!(Serving::begin(None).unwrap().is_none());
        let _ = std::fs::remove_file(store.with_extension("db.lock"));
    }
}
