//! A file that is replaced when everything of it has come, and only then: it is written beside its place and moved there.
//! Called by every command that writes where the person says.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// Random bytes in the name of a part, and the letters that they make.
const RANDOM_BYTES: usize = 8;
const RANDOM_LENGTH: usize = 11;

/// A file beside the place that it is to take. It is locked as long as it is written: whoever sweeps sees by it that somebody writes
/// it. Gone with this, and what SQLite keeps beside it too, unless it was moved to its place.
pub struct Part {
    file: File,
    path: PathBuf,
}

impl Part {
    /// Begins one, after what runs for this place left that were killed.
    pub fn begin(place: &Path) -> io::Result<Self> {
        Self::with_mode(place, 0o666)
    }

    /// The same for its owner's eyes alone.
    pub fn begin_private(place: &Path) -> io::Result<Self> {
        Self::with_mode(place, 0o600)
    }

    fn with_mode(place: &Path, mode: u32) -> io::Result<Self> {
        sweep(place);
        loop {
            let path = beside(place);
            let part = Self { file: OpenOptions::new().write(true).create_new(true).mode(mode).open(&path)?, path };
            let is_swept = matches!(part.file.try_lock(), Err(TryLockError::WouldBlock)) || part.file.metadata()?.nlink() == 0;
            // whoever swept before it was locked took it for one that was left
            if !is_swept {
                return Ok(part);
            }
        }
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Everything has come: it takes its place.
    pub fn keep(self, place: &Path) -> io::Result<()> {
        self.file.sync_all()?;
        std::fs::rename(&self.path, place)
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        remove_with_companions(&self.path);
    }
}

/// Last the file itself, by which what is beside it is found again.
fn remove_with_companions(path: &Path) {
    for file in database::file::companions(path).chain([path.to_owned()]) {
        let _ = std::fs::remove_file(file);
    }
}

/// A file on its way. Dropped without [`WholeFile::keep`], it leaves nothing behind.
pub enum WholeFile {
    Beside {
        part: Part,
        place: PathBuf,
    },
    /// Written in place, since it is no file (`/dev/stdout`, a pipe).
    InPlace(File),
}

impl WholeFile {
    /// Begins, beside what is there, after what runs that were killed left of it. A file that may not be written is not
    /// replaced either, nor a link that leads nowhere.
    pub fn begin(place: &Path) -> io::Result<Self> {
        let is_link = std::fs::symlink_metadata(place).is_ok_and(|meta| meta.is_symlink());
        // what a link leads to is replaced, and not the link
        let place = match std::fs::canonicalize(place) {
            Ok(place) => place,
            Err(error) if is_link => return Err(error),
            Err(_) => place.to_owned(),
        };
        let before = std::fs::metadata(&place).ok();
        if before.as_ref().is_some_and(|before| before.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            return Ok(Self::InPlace(OpenOptions::new().write(true).open(&place)?));
        }
        if before.as_ref().is_some_and(|before| before.permissions().readonly()) {
            return Err(io::Error::from(io::ErrorKind::PermissionDenied));
        }
        let part = Part::begin(&place)?;
        if let Some(before) = before {
            part.file.set_permissions(before.permissions())?;
        }
        Ok(Self::Beside { part, place })
    }

    fn file(&mut self) -> &mut File {
        match self {
            Self::Beside { part, .. } => &mut part.file,
            Self::InPlace(file) => file,
        }
    }

    /// Everything has come: it takes its place.
    pub fn keep(mut self) -> io::Result<()> {
        self.flush()?;
        match self {
            Self::Beside { part, place } => part.keep(&place),
            Self::InPlace(_) => Ok(()),
        }
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file().flush()
    }
}

/// Puts what was moved to or from this place on disk.
pub fn sync_folder_of(place: &Path) -> io::Result<()> {
    let folder = place.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    File::open(folder)?.sync_all()
}

/// Makes a file for its owner's eyes alone, whole or not at all. One that another process has made meanwhile stays.
pub fn make_private_once(place: &Path, content: &[u8]) -> io::Result<()> {
    let mut part = Part::begin_private(place)?;
    part.file.write_all(content)?;
    part.file.sync_all()?;
    let made = match std::fs::hard_link(part.path(), place) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        // a file system without links
        Err(error) if matches!(error.kind(), io::ErrorKind::Unsupported | io::ErrorKind::PermissionDenied) => part.keep(place),
        made => made,
    };
    made.and_then(|()| sync_folder_of(place))
}

/// A name in the same folder that nobody else has.
fn beside(place: &Path) -> PathBuf {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let random = jose::ambient::random_text::<RANDOM_BYTES>(&jose::SystemRandomness);
    place.with_file_name(format!(".{name}.{random}.part"))
}

/// Removes what runs for this file left that were killed: nobody has a lock on it any more.
pub fn sweep(place: &Path) {
    let (Some(folder), Some(name)) = (place.parent(), place.file_name()) else { return };
    let folder = if folder.as_os_str().is_empty() { Path::new(".") } else { folder };
    let prefix = format!(".{}.", name.to_string_lossy());
    let is_ours = |name: &str| {
        let random = name.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(".part"));
        random.is_some_and(|random| random.len() == RANDOM_LENGTH && !random.contains('.'))
    };
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(is_ours) {
            continue;
        }
        // held until it is gone: whoever has just begun it sees that it is taken
        let file = File::open(entry.path());
        if file.as_ref().is_ok_and(|file| file.try_lock().is_ok()) {
            remove_with_companions(&entry.path());
        }
    }
}

/// Readable by its owner alone.
pub fn make_private(file: &Path) -> io::Result<()> {
    std::fs::set_permissions(file, std::fs::Permissions::from_mode(0o600))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c9_a_file_is_replaced_whole_or_not_at_all() {
        let folder = std::env::temp_dir().join(format!("wayleave-whole-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (place, link) = (folder.join("picture.jpg"), folder.join("link.jpg"));
        std::fs::write(&place, "old").unwrap();
        std::os::unix::fs::symlink(&place, &link).unwrap();
        let names = || std::fs::read_dir(&folder).unwrap().count();
        let mut part = WholeFile::begin(&place).unwrap();
        part.write_all(b"ne").unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"old");
        drop(part);
        assert_eq!((std::fs::read(&place).unwrap(), names()), (b"old".to_vec(), 2), "nothing is left of what did not come");
        let mut whole = WholeFile::begin(&link).unwrap();
        whole.write_all(b"new").unwrap();
        whole.keep().unwrap();
        assert_eq!((std::fs::read(&place).unwrap(), names()), (b"new".to_vec(), 2));
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let mut nothing = WholeFile::begin(Path::new("/dev/null")).unwrap();
        nothing.write_all(b"x").unwrap();
        nothing.keep().unwrap();
        assert!(!std::fs::metadata("/dev/null").unwrap().is_file() && WholeFile::begin(&folder).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }

    /// A disk that is full leaves no file that looks like one that was made.
    #[test]
    fn threat_40_a_private_file_is_made_whole_or_not_at_all_and_once() {
        let folder = std::env::temp_dir().join(format!("wayleave-once-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let place = folder.join("server.key");
        let mode = |place: &Path| std::fs::metadata(place).unwrap().permissions().mode() & 0o777;
        make_private_once(&place, b"first").unwrap();
        assert_eq!((std::fs::read(&place).unwrap(), mode(&place)), (b"first".to_vec(), 0o600));
        make_private_once(&place, b"second").unwrap();
        assert_eq!(std::fs::read(&place).unwrap(), b"first");
        assert!(make_private_once(&folder.join("none/server.key"), b"x").is_err());
        assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        std::fs::remove_dir_all(&folder).unwrap();
    }

    #[test]
    fn c9_what_may_not_be_replaced_is_not_and_what_was_left_is_swept() {
        let folder = std::env::temp_dir().join(format!("wayleave-swept-whole-{}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let (place, nowhere) = (folder.join("picture.jpg"), folder.join("nowhere.jpg"));
        std::fs::write(&place, "old").unwrap();
        let first = WholeFile::begin(&place).unwrap();
        let left = [folder.join(".picture.jpg.AAAAAAAAAAA.part"), folder.join(".other.jpg.AAAAAAAAAAA.part")];
        left.iter().for_each(|file| std::fs::write(file, "half").unwrap());
        let second = WholeFile::begin(&place).unwrap();
        assert!(!left[0].exists(), "nobody writes it any more");
        assert!(left[1].exists(), "that of another file is another's to sweep");
        let of_store = ["-wal", "-shm", ""].map(|ending| folder.join(format!(".server.db.AAAAAAAAAAA.part{ending}")));
        of_store.iter().for_each(|file| std::fs::write(file, "half").unwrap());
        let held = Part::begin_private(&folder.join("server.db")).unwrap();
        assert!(of_store.iter().all(|file| !file.exists()), "what SQLite kept beside it goes with it");
        let next = Part::begin_private(&folder.join("server.db")).unwrap();
        assert!(held.path().exists() && next.path().exists(), "somebody writes both");
        first.keep().unwrap();
        second.keep().unwrap();
        std::os::unix::fs::symlink("not-there.jpg", &nowhere).unwrap();
        assert!(WholeFile::begin(&nowhere).is_err() && std::fs::symlink_metadata(&nowhere).unwrap().is_symlink());
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o444)).unwrap();
        assert!(WholeFile::begin(&place).is_err());
        std::fs::remove_dir_all(&folder).unwrap();
    }
}
