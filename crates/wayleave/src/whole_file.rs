//! A file that is replaced when everything of it has come, and only then: it is written beside its place and moved there.
//! Called by every command that writes where the person says.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A file on its way. Dropped without [`WholeFile::keep`], it leaves nothing behind.
pub struct WholeFile {
    file: File,
    /// None: written in place, since it is no file (`/dev/stdout`, a pipe).
    beside: Option<PathBuf>,
    place: PathBuf,
}

impl WholeFile {
    /// Begins, beside what is there.
    pub fn begin(place: &Path) -> io::Result<Self> {
        // what a link leads to is replaced, and not the link
        let place = std::fs::canonicalize(place).unwrap_or_else(|_| place.to_owned());
        let before = std::fs::metadata(&place).ok();
        if before.as_ref().is_some_and(|before| before.is_dir()) {
            return Err(io::Error::from(io::ErrorKind::IsADirectory));
        }
        if before.as_ref().is_some_and(|before| !before.is_file()) {
            return Ok(Self { file: OpenOptions::new().write(true).open(&place)?, beside: None, place });
        }
        let beside = beside(&place);
        let file = OpenOptions::new().write(true).create_new(true).open(&beside)?;
        let whole = Self { file, beside: Some(beside), place };
        if let Some(before) = before {
            whole.file.set_permissions(before.permissions())?;
        }
        Ok(whole)
    }

    /// Everything has come: it takes its place.
    pub fn keep(mut self) -> io::Result<()> {
        self.file.flush()?;
        let Some(beside) = self.beside.as_ref() else { return Ok(()) };
        self.file.sync_all()?;
        std::fs::rename(beside, &self.place)?;
        self.beside = None;
        Ok(())
    }
}

impl Write for WholeFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

impl Drop for WholeFile {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = std::fs::remove_file(beside);
        }
    }
}

/// A name in the same folder that nobody else has.
pub fn beside(place: &Path) -> PathBuf {
    let name = place.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let random = jose::ambient::random_text::<8>(&jose::SystemRandomness);
    place.with_file_name(format!(".{name}.{random}.part"))
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
}
