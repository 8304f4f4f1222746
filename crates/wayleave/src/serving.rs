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
        let mut name = find_itself(store)?.into_os_string();
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

/// The store under the one name that all its names lead to: behind links, there is one lock. A second name of the file itself
/// leads nowhere, so it has none.
fn find_itself(store: &Path) -> Result<PathBuf, Exit> {
    let named = |error: std::io::Error| Exit::failed(format!("{}: {error}", store.display()));
    match std::fs::canonicalize(store) {
        Ok(place) => {
            let names = std::os::unix::fs::MetadataExt::nlink(&std::fs::metadata(&place).map_err(named)?);
            let what = "has another name beside this one (a hard link), by which it could be served twice: remove one of them";
            if names > 1 { Err(Exit::failed(format!("{} {what}", place.display()))) } else { Ok(place) }
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            // not there yet: its folder is, or is made under this name
            let folder = store.parent().and_then(|folder| std::fs::canonicalize(folder).ok());
            Ok(folder.zip(store.file_name()).map_or_else(|| store.to_owned(), |(folder, name)| folder.join(name)))
        }
        Err(error) => Err(named(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever it is called by: two servers on one store would each keep what the other changed.
    #[test]
    fn threat_35_a_store_of_two_names_is_served_by_one_process() {
        let folder = std::env::temp_dir().join(format!("wayleave-names-{}", std::process::id()));
        std::fs::create_dir_all(folder.join("other")).unwrap();
        let (store, link) = (folder.join("server.db"), folder.join("other/server.db"));
        std::os::unix::fs::symlink(&store, &link).unwrap();
        std::os::unix::fs::symlink(&folder, folder.join("again")).unwrap();
        let first = Serving::begin(Some(store.clone())).unwrap();
        std::fs::write(&store, "a store").unwrap();
        for name in [&link, &folder.join("again/server.db"), &folder.join("other/../server.db")] {
            let Err(Exit::Failed(what)) = Serving::begin(Some(name.clone())) else { panic!("{}", name.display()) };
            assert!(what.contains("stop that first"), "{what}");
        }
        drop(first);
        std::fs::hard_link(&store, folder.join("hard.db")).unwrap();
        for name in [&store, &folder.join("hard.db")] {
            let Err(Exit::Failed(what)) = Serving::begin(Some(name.clone())) else { panic!("{}", name.display()) };
            assert!(what.contains("hard link"), "{what}");
        }
        std::fs::remove_dir_all(&folder).unwrap();
    }

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
