//! Files that are still being written (threat 44): each has a name that nobody can guess, is made for one writer alone, and
//! lies outside what is served - beside the folder, or, where that is another file system, in the folder under a name
//! that begins with a dot, which is not served either. It becomes the file in one step, or is gone.
//! Its writer has a lock on it, so that what a killed process left is told from what is being written, also by others.

use super::beneath::{Found, Slot, on_a_thread_of_its_own};
use jose::{Randomness, ambient};
use std::fs::TryLockError;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::fs::{self, DirBuilder, File, OpenOptions};

/// Random bytes in a name.
const NAME_BYTES: usize = 24;
/// The same in letters.
const NAME_LENGTH: usize = 32;
/// How names end: of a file that is being written, and of a directory that was deleted.
const PART: &str = ".part";
const GONE: &str = ".gone";
/// How often what others left is looked for, and from which age on where nobody can say whether it is being written.
const SWEPT_EVERY: Duration = Duration::from_secs(3_600);
const LEFT_AFTER: Duration = Duration::from_secs(2 * 86_400);
/// How deep folders in folders are looked into.
const MOST_DEPTH: usize = 32;

pub(super) struct PartFiles {
    root: PathBuf,
    /// Beside the folder; none where the folder has nothing beside it.
    beside: Option<PathBuf>,
    randomness: Arc<dyn Randomness>,
    swept: Mutex<Instant>,
}

/// A file that is being written; removed when dropped, also where its writer went away.
pub(super) struct Part {
    pub(super) file: File,
    place: PathBuf,
    /// The directory that it is to be in, by which its place leads where it lies there.
    _above: Arc<Found>,
    is_done: bool,
}

impl PartFiles {
    pub(super) fn beside(root: &Path, randomness: Arc<dyn Randomness>) -> Self {
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
        let beside = name.and_then(|name| Some(root.parent()?.join(format!(".{name}.uploads"))));
        Self { root, beside, randomness, swept: Mutex::new(Instant::now()) }
    }

    /// A new one for the file at `slot`.
    pub(super) async fn begin(&self, slot: &Slot) -> io::Result<Part> {
        if self.is_to_be_swept() {
            self.sweep();
        }
        let place = self.place_for(&slot.place(), PART).await?;
        let file = OpenOptions::new().write(true).create_new(true).open(&place).await?.into_std().await;
        // where there are no locks, its age says that it is new
        let _is_locked = file.try_lock().is_ok();
        Ok(Part { file: File::from_std(file), place, _above: slot.above.clone(), is_done: false })
    }

    /// Takes a directory away in one step, for which `pass` is needed, and then removes what is in it.
    pub(super) async fn remove_directory(&self, slot: Slot, pass: impl Send + 'static) -> io::Result<()> {
        let aside = self.place_for(&slot.place(), GONE).await?;
        on_a_thread_of_its_own(move || {
            std::fs::rename(slot.place(), &aside)?;
            drop(pass);
            sync_folder_of(&slot.place())?;
            // it is not there any more, whatever becomes of this
            if let Err(error) = std::fs::remove_dir_all(&aside) {
                tracing::warn!(%error, "what was in a directory that is gone cannot be removed now");
            }
            Ok(())
        })
        .await
    }

    /// A name that nobody can guess, on the file system of `place` and outside of what is served.
    async fn place_for(&self, place: &Path, ending: &str) -> io::Result<PathBuf> {
        let above = place.parent().unwrap_or(Path::new("/"));
        let device = fs::metadata(above).await?.dev();
        let folder = match &self.beside {
            Some(beside) if make_private(beside).await.is_some_and(|its| its == device) => beside.as_path(),
            _ => above,
        };
        Ok(folder.join(format!(".{}{ending}", ambient::random_text::<NAME_BYTES>(&*self.randomness))))
    }

    fn is_to_be_swept(&self) -> bool {
        let mut swept = self.swept.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = swept.elapsed() >= SWEPT_EVERY;
        if is_due {
            *swept = Instant::now();
        }
        is_due
    }

    /// Removes what killed writers left, in the background.
    pub(super) fn sweep(&self) {
        let places: Vec<_> = self.beside.iter().cloned().chain([self.root.clone()]).collect();
        tokio::task::spawn_blocking(move || places.iter().for_each(|place| sweep(place, MOST_DEPTH)));
    }
}

fn sweep(folder: &Path, depth: usize) {
    let Ok(entries) = std::fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let Ok(kind) = entry.file_type() else { continue };
        let has_name = |ending| entry.file_name().to_str().is_some_and(|name| is_own_name(name, ending));
        let is_part = kind.is_file() && has_name(PART);
        if kind.is_dir() && has_name(GONE) {
            let _ = std::fs::remove_dir_all(entry.path());
        } else if kind.is_dir() && depth > 0 {
            sweep(&entry.path(), depth.saturating_sub(1));
        } else if is_part && is_left(&entry.path()) {
            match std::fs::remove_file(entry.path()) {
                Ok(()) => tracing::info!("a file was removed that a writer left half written"),
                Err(error) => tracing::warn!(%error, "a file that a writer left half written cannot be removed"),
            }
        }
    }
}

/// Whether a name is one that is given here; other names are other people's.
fn is_own_name(name: &str, ending: &str) -> bool {
    let random = name.strip_prefix('.').and_then(|rest| rest.strip_suffix(ending));
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    random.is_some_and(|random| random.len() == NAME_LENGTH && random.bytes().all(is_letter))
}

/// Whether nobody writes it any more.
fn is_left(place: &Path) -> bool {
    let Ok(file) = std::fs::File::open(place) else { return false };
    match file.try_lock() {
        Ok(()) => true,
        Err(TryLockError::WouldBlock) => false,
        // no locks here
        Err(TryLockError::Error(_)) => {
            let changed = file.metadata().and_then(|meta| meta.modified()).ok();
            changed.and_then(|changed| changed.elapsed().ok()).is_some_and(|age| age > LEFT_AFTER)
        }
    }
}

/// Makes the folder where there is none, for nobody else to look into; the device that it is on. None where it cannot be.
async fn make_private(folder: &Path) -> Option<u64> {
    let made = DirBuilder::new().mode(0o700).create(folder).await;
    if made.is_err_and(|error| error.kind() != io::ErrorKind::AlreadyExists) {
        return None;
    }
    let meta = fs::symlink_metadata(folder).await.ok()?;
    meta.is_dir().then(|| meta.dev())
}

impl Part {
    /// Where it is while it is being written.
    pub(super) fn place(&self) -> &Path {
        &self.place
    }

    /// Takes its place, for which `pass` is needed, and is kept there also after a crash. What it is then.
    pub(super) async fn become_file(&mut self, slot: Slot, pass: impl Send + 'static) -> io::Result<std::fs::Metadata> {
        let from = self.place.clone();
        on_a_thread_of_its_own(move || {
            std::fs::rename(from, slot.place())?;
            drop(pass);
            sync_folder_of(&slot.place())
        })
        .await?;
        self.is_done = true;
        self.file.metadata().await
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        if !self.is_done
            && let Err(error) = std::fs::remove_file(&self.place)
        {
            tracing::warn!(%error, "a file that was half written is left");
        }
    }
}

/// Writes down which names a folder has.
pub(super) fn sync_folder_of(place: &Path) -> io::Result<()> {
    match place.parent() {
        Some(folder) => std::fs::File::open(folder)?.sync_all(),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 44: what a killed process left goes, what is being written and what is somebody's stays.
    #[tokio::test]
    async fn threat_44_s19_what_a_killed_writer_left_is_swept() {
        let place = std::env::temp_dir().join(format!("wayleave-swept-{}", std::process::id()));
        let (root, beside) = (place.join("files"), place.join(".files.uploads"));
        std::fs::create_dir_all(root.join("album")).unwrap();
        let parts = PartFiles::beside(&root, Arc::new(jose::SystemRandomness));
        let path = crate::path::CanonicalPath::parse("/album/1.jpg").unwrap();
        let being_written = parts.begin(&super::super::beneath::find_slot(&root, &path).await.unwrap()).await.unwrap();
        let left = format!(".{}.part", "a".repeat(NAME_LENGTH));
        let (left_beside, left_inside) = (beside.join(&left), root.join("album").join(&left));
        let theirs = [root.join("album/.notes.part"), root.join("album/x.part"), beside.join(".other")];
        for file in theirs.iter().chain([&left_beside, &left_inside]) {
            std::fs::write(file, "half").unwrap();
        }
        parts.sweep();
        let begun = Instant::now();
        while left_beside.exists() || left_inside.exists() {
            assert!(begun.elapsed() < Duration::from_secs(60), "they must go");
            tokio::task::yield_now().await;
        }
        assert!(being_written.place.exists() && theirs.iter().all(|file| file.exists()));
        drop(being_written);
        std::fs::remove_dir_all(&place).unwrap();
    }
}
