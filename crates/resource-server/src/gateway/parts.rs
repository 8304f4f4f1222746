//! Files that are still being written (threat 44): each has a name that nobody can guess, is made for one writer alone, and
//! lies outside what is served - beside the folder, or, where that is another file system, in the folder under a name
//! that begins with a dot, which is not served either. It becomes the file in one step, or is gone.

use jose::{Randomness, ambient};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::fs::{self, DirBuilder, File, OpenOptions};

pub(super) struct Parts {
    /// Beside the folder; none where the folder has nothing beside it.
    beside: Option<PathBuf>,
    randomness: Arc<dyn Randomness>,
}

/// A file that is being written; removed when dropped, also where its writer went away.
pub(super) struct Part {
    pub(super) file: File,
    place: PathBuf,
    is_done: bool,
}

impl Parts {
    pub(super) fn beside(root: &Path, randomness: Arc<dyn Randomness>) -> Self {
        let root = std::fs::canonicalize(root).unwrap_or_else(|_| root.to_owned());
        let name = root.file_name().map(|name| name.to_string_lossy().into_owned());
        let beside = name.and_then(|name| Some(root.parent()?.join(format!(".{name}.uploads"))));
        Self { beside, randomness }
    }

    /// A new one for the file at `place`.
    pub(super) async fn begin(&self, place: &Path) -> io::Result<Part> {
        let above = place.parent().unwrap_or(Path::new("/"));
        let device = fs::metadata(above).await?.dev();
        let folder = match &self.beside {
            Some(beside) if make_private(beside).await.is_some_and(|its| its == device) => beside.as_path(),
            _ => above,
        };
        let name = format!(".{}.part", ambient::random_text::<24>(&*self.randomness));
        let place = folder.join(name);
        let file = OpenOptions::new().write(true).create_new(true).open(&place).await?;
        Ok(Part { file, place, is_done: false })
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
    /// Takes its place, and is kept there also after a crash.
    pub(super) async fn become_file(mut self, place: &Path) -> io::Result<()> {
        fs::rename(&self.place, place).await?;
        self.is_done = true;
        sync_folder_of(place).await
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
pub(super) async fn sync_folder_of(place: &Path) -> io::Result<()> {
    match place.parent() {
        Some(folder) => File::open(folder).await?.sync_all().await,
        None => Ok(()),
    }
}
