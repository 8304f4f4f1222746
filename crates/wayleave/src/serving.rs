//! One process serves a store at a time. Two that serve the same one would each keep what the other changed, and a backup that is
//! restored under a running server takes back what that server has confirmed since. Held by whoever serves, and by `restore`.
//!
//! The file by which it is held says the latest time that was served: a gateway and a manager look there at a start, as a server
//! does in its store (threat 35).

use crate::assemble::{make_folder, make_private};
use crate::clock_watch::{self, ClockWatch};
use crate::serve::Stop;
use crate::{Exit, whole_file};
use jose::SystemClock;
use std::fs::{File, OpenOptions, TryLockError};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use types::Timestamp;

/// Bytes of a time in the file.
const WIDTH: usize = 21;
const NOTED_EVERY: Duration = Duration::from_secs(30);

/// That nobody else serves this store, for as long as it lives. The system gives it back when the process ends, however it ends.
#[derive(Debug)]
pub struct Serving {
    lock: File,
}

impl Serving {
    /// Takes the store for this process; none for what is no file. The error names the store and says what to do.
    pub fn begin(store: Option<PathBuf>) -> Result<Option<Self>, Exit> {
        store.map(|store| Self::of(&store)).transpose()
    }

    fn of(store: &Path) -> Result<Self, Exit> {
        let itself = find_itself(store)?;
        let place = lock_of(&itself);
        make_folder(&place)?;
        make_private(&place)?;
        let named = |error: &dyn std::fmt::Display| Exit::failed(format!("{}: {error}", place.display()));
        let lock = OpenOptions::new().read(true).write(true).open(&place).map_err(|error| named(&error))?;
        match lock.try_lock() {
            Ok(()) => {
                // of a restore that was killed: a whole copy, of which nothing has ended yet
                whole_file::sweep(&itself);
                Ok(Self { lock })
            }
            Err(TryLockError::WouldBlock) => Err(Exit::failed(format!(
                "{} is served by another process that is running: stop that first, or name another store",
                store.display()
            ))),
            Err(TryLockError::Error(error)) => Err(named(&error)),
        }
    }
}

/// Behind the name of a store: what a restore replaced there.
pub(crate) const REPLACED: &str = ".replaced";

/// A process that ended while it made the store left the name under which it made it ([`database::Sqlite`]); a restore that ended
/// before it replaced the store, the one under which that was to stay.
fn remove_beginnings(store: &Path) {
    let (Some(folder), Some(name)) = (store.parent(), store.file_name().and_then(|name| name.to_str())) else { return };
    let number = |place: &Path| std::fs::metadata(place).map(|about| std::os::unix::fs::MetadataExt::ino(&about)).ok();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let is_beginning = entry
            .file_name()
            .to_str()
            .is_some_and(|other| other.starts_with(&format!("{name}.new-")) || other.starts_with(&format!("{name}{REPLACED}")));
        if is_beginning && number(&entry.path()) == number(store) {
            // the store itself has its own name
            let _ = std::fs::remove_file(entry.path());
        }
    }
}

/// The store under the one name that all its names lead to: behind links, there is one lock. A second name of the file itself
/// leads nowhere, so it has none.
pub(crate) fn find_itself(store: &Path) -> Result<PathBuf, Exit> {
    let named = |error: std::io::Error| Exit::failed(format!("{}: {error}", store.display()));
    match std::fs::canonicalize(store) {
        Ok(place) => {
            remove_beginnings(&place);
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

impl Serving {
    /// The latest time that is known to have been served.
    fn latest(&self) -> Option<Timestamp> {
        let mut text = [0; WIDTH];
        self.lock.read_exact_at(&mut text, 0).ok()?;
        std::str::from_utf8(&text).ok()?.trim().parse().ok().map(Timestamp)
    }

    fn note(&self, time: Timestamp) -> std::io::Result<()> {
        self.lock.write_all_at(format!("{:>1$}\n", time.0, WIDTH - 1).as_bytes(), 0)
    }

    /// What was served before is no matter any more: another state is put here.
    pub fn forget(&self) -> Result<(), Exit> {
        self.lock.set_len(0).map_err(Exit::failed)
    }

    /// A store that has served a later time than the clock shows is not served.
    pub fn refuse_the_past(&self, now: Timestamp) -> Result<(), Exit> {
        match self.latest() {
            Some(latest) if now.plus(clock_watch::BEHIND) < latest => Err(Exit::failed(clock_watch::explain(latest))),
            _ => Ok(()),
        }
    }

    /// Notes what time was served, until told to stop.
    pub fn note_times(self: Arc<Self>, mut stop: Stop) {
        let watch = ClockWatch::new(Arc::new(SystemClock), self.latest());
        tokio::spawn(async move {
            let mut ticks = tokio::time::interval(NOTED_EVERY);
            loop {
                tokio::select! { _ = ticks.tick() => {}, () = stop.wait() => break }
                if let Err(error) = self.note(watch.confirmed()) {
                    tracing::warn!(%error, "what time was served cannot be noted");
                }
            }
        });
    }
}

/// The file beside a store by which a process holds it.
pub(crate) fn lock_of(store: &Path) -> PathBuf {
    let mut name = store.as_os_str().to_owned();
    name.push(".lock");
    PathBuf::from(name)
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
        // somebody was killed while it made the store
        let names = ["server.db.new-17", "server.db.replaced", "server.db.replaced-2"].map(|name| folder.join(name));
        names.iter().for_each(|name| std::fs::hard_link(&store, name).unwrap());
        let left = [".server.db.AAAAAAAAAAA.part", ".server.db.AAAAAAAAAAA.part-wal"].map(|name| folder.join(name));
        left.iter().for_each(|name| std::fs::write(name, "a copy").unwrap());
        drop(Serving::begin(Some(store.clone())).unwrap());
        assert!(names.iter().chain(&left).all(|name| !name.exists()));
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
        // the latest time is there for whoever serves it next
        let again = Serving::begin(Some(store.clone())).unwrap().unwrap();
        assert_eq!(again.latest(), None);
        again.note(Timestamp(1_800_000_000)).unwrap();
        drop(again);
        let again = Serving::begin(Some(store.clone())).unwrap().unwrap();
        assert_eq!(again.latest(), Some(Timestamp(1_800_000_000)));
        assert!(again.refuse_the_past(Timestamp(1_799_999_940)).is_ok());
        let Err(Exit::Failed(what)) = again.refuse_the_past(Timestamp(1_799_999_939)) else { panic!("it began") };
        assert!(what.contains("set it right") && what.contains("wayleave restore"), "{what}");
        again.forget().unwrap();
        assert!(again.refuse_the_past(Timestamp(0)).is_ok());
        let _ = std::fs::remove_file(store.with_extension("db.lock"));
    }
}
