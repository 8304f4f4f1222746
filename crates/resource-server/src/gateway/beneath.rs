//! Places below a folder, held by handle: what was found is what is read or written, whatever is renamed meanwhile. No link
//! is followed on the way or at its end, and there is nothing but files and directories: who can put a link, a pipe or a
//! device into one part of the folder reaches no other part by it, and nothing outside. Called by `folder.rs` and `content.rs`.

use super::path::CanonicalPath;
use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// So many names of one directory are looked at.
const MOST_NAMES: usize = 200_000;

/// A file or a directory.
pub(super) struct Found {
    handle: OwnedFd,
    pub(super) is_directory: bool,
}

impl Found {
    fn of(handle: OwnedFd) -> io::Result<Self> {
        match FileType::from_raw_mode(fstat(&handle)?.st_mode) {
            FileType::Directory => Ok(Self { handle, is_directory: true }),
            FileType::RegularFile => Ok(Self { handle, is_directory: false }),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    pub(super) fn metadata(&self) -> io::Result<std::fs::Metadata> {
        std::fs::metadata(self.place())
    }

    /// A path that leads to exactly this for as long as it is held.
    pub(super) fn place(&self) -> PathBuf {
        PathBuf::from(format!("/proc/self/fd/{}", self.handle.as_raw_fd()))
    }

    /// What has this name in it, and is no link.
    pub(super) fn enter(&self, name: &str) -> io::Result<Self> {
        let flags = OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        Self::of(openat(&self.handle, name, flags, Mode::empty())?)
    }
}

/// The directory in which something is or is to be, and its name there. What is done by its place on a thread of its own holds
/// it there: its number is given to another directory as soon as nobody does.
#[derive(Clone)]
pub(super) struct Slot {
    pub(super) above: Arc<Found>,
    name: String,
}

impl Slot {
    pub(super) fn place(&self) -> PathBuf {
        self.above.place().join(&self.name)
    }

    /// The file that is there. What is there and is none cannot be replaced.
    pub(super) fn find_file(&self) -> io::Result<Option<Found>> {
        match self.above.enter(&self.name) {
            Ok(found) if found.is_directory => Err(io::ErrorKind::IsADirectory.into()),
            Ok(found) => Ok(Some(found)),
            Err(error) if error.kind() == io::ErrorKind::NotFound && !self.is_taken() => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// What is there, whichever it is.
    pub(super) fn find(&self) -> io::Result<Found> {
        self.above.enter(&self.name)
    }

    /// Whether there is anything, be it a link or a device.
    fn is_taken(&self) -> bool {
        std::fs::symlink_metadata(self.place()).is_ok()
    }
}

/// What a path leads to.
pub(super) async fn find(root: &Path, path: &CanonicalPath) -> io::Result<Found> {
    let (root, names, ends_with_slash) = (root.to_owned(), names_of(path)?, path.ends_with_slash());
    let found = on_a_thread_of_its_own(move || walk(&root, &names)).await?;
    // `/file/` would be what is in a file
    if ends_with_slash && !found.is_directory { Err(io::ErrorKind::NotADirectory.into()) } else { Ok(found) }
}

/// Where a path leads, whether anything is there or not.
pub(super) async fn find_slot(root: &Path, path: &CanonicalPath) -> io::Result<Slot> {
    let (root, mut names) = (root.to_owned(), names_of(path)?);
    let name = names.pop().filter(|_| !path.ends_with_slash()).ok_or(io::ErrorKind::IsADirectory)?;
    let above = on_a_thread_of_its_own(move || walk(&root, &names)).await?;
    if above.is_directory { Ok(Slot { above: Arc::new(above), name }) } else { Err(io::ErrorKind::NotFound.into()) }
}

/// The same for a directory, which a path may name with a slash at its end.
pub(super) async fn find_slot_of_directory(root: &Path, path: &CanonicalPath) -> io::Result<Slot> {
    find_slot(root, &path.without_slash()).await
}

/// Whether a name in the folder is one that a path can lead to.
pub(super) fn is_served(name: &str) -> bool {
    !name.starts_with('.') && super::path::is_name(name)
}

/// Names that begin with a dot are not there.
pub(super) fn names_of(path: &CanonicalPath) -> io::Result<Vec<String>> {
    match path.segments().iter().any(|name| name.starts_with('.')) {
        true => Err(io::ErrorKind::NotFound.into()),
        false => Ok(path.segments().to_vec()),
    }
}

/// The folder itself, which may be a link: the operator names it. Where it is not there, nothing can be said of what is in it:
/// a disk that is not mounted has lost nothing.
pub(super) fn open_root(root: &Path) -> io::Result<Found> {
    let opened = open(root, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    Found::of(opened.map_err(|error| io::Error::other(format!("the folder itself cannot be opened: {error}")))?)
}

/// Whether it says that nothing is there. Every other error says that this cannot be told now: nothing is concluded from it.
pub(super) fn is_absence(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidFilename, NotADirectory, NotFound};
    // a name that is longer than names can be is nobody's
    matches!(error.kind(), NotFound | NotADirectory | InvalidFilename)
}

fn walk(root: &Path, names: &[String]) -> io::Result<Found> {
    let mut found = open_root(root)?;
    for name in names {
        if !found.is_directory {
            return Err(io::ErrorKind::NotFound.into());
        }
        found = found.enter(name)?;
    }
    Ok(found)
}

/// A file or a directory, by its name in another one.
pub(super) struct ServedName {
    pub(super) name: String,
    pub(super) is_directory: bool,
}

/// What is in a directory.
#[derive(Default)]
pub(super) struct DirectoryNames {
    /// What paths lead to, in no order.
    pub(super) served: Vec<ServedName>,
    /// Names that no path can say in one way, but for those that begin with a dot.
    pub(super) unnamed: Vec<OsString>,
    /// Whether there is anything that is not served.
    pub(super) has_others: bool,
}

/// What is in a directory now, as far as is looked.
pub(super) fn list(directory: &Found) -> io::Result<DirectoryNames> {
    let mut listing = DirectoryNames::default();
    for entry in std::fs::read_dir(directory.place())?.take(MOST_NAMES) {
        let entry = entry?;
        let kind = entry.file_type().ok().filter(|kind| kind.is_file() || kind.is_dir());
        match (entry.file_name().into_string(), kind) {
            (Ok(name), Some(kind)) if is_served(&name) => listing.served.push(ServedName { name, is_directory: kind.is_dir() }),
            (Ok(name), _) if is_served(&name) || name.starts_with('.') => listing.has_others = true,
            (Err(name), _) if name.as_encoded_bytes().starts_with(b".") => listing.has_others = true,
            (Ok(name), _) => listing.unnamed.push(name.into()),
            (Err(name), _) => listing.unnamed.push(name),
        }
    }
    listing.has_others |= !listing.unnamed.is_empty();
    Ok(listing)
}

/// A file system may let somebody wait.
pub(super) async fn on_a_thread_of_its_own<T: Send + 'static>(
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.map_err(io::Error::other)?
}
