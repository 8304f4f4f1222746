//! The pictures that are shipped - three small albums - and what lies in a folder of albums.

use std::io;
use std::path::{Path, PathBuf};

const SHIPPED: [(&str, &str, &[u8]); 6] = [
    ("holiday-2025", "cliffs.jpg", include_bytes!("../../pictures/cliffs.jpg")),
    ("holiday-2025", "evening.jpg", include_bytes!("../../pictures/evening.jpg")),
    ("holiday-2025", "lighthouse.jpg", include_bytes!("../../pictures/lighthouse.jpg")),
    ("garden", "poppies.jpg", include_bytes!("../../pictures/poppies.jpg")),
    ("garden", "gate.jpg", include_bytes!("../../pictures/gate.jpg")),
    ("family", "kite.jpg", include_bytes!("../../pictures/kite.jpg")),
];

/// A folder with a picture in it.
pub(super) struct Album {
    pub(super) folder: String,
    /// The first of its pictures.
    pub(super) picture: String,
}

impl Album {
    /// As the gateway names it at the authorization server.
    pub(super) fn title(&self) -> String {
        let stem = self.folder.rsplit_once('.').map_or(self.folder.as_str(), |(stem, _)| stem);
        let words = stem.replace(['-', '_'], " ");
        let mut chars = words.chars();
        chars.next().map(|first| first.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or_default()
    }
}

/// Writes them into a folder, an album a folder.
pub(super) fn unpack(folder: &Path) -> io::Result<PathBuf> {
    for (album, name, bytes) in SHIPPED {
        std::fs::create_dir_all(folder.join(album))?;
        std::fs::write(folder.join(album).join(name), bytes)?;
    }
    folder.canonicalize()
}

/// Albums of a folder that hold something, the last of the alphabet first; hidden ones are not served.
pub(super) fn find_albums(folder: &Path) -> Vec<Album> {
    let mut names = list(folder, true);
    names.reverse();
    let with_picture = |name: String| {
        let picture = list(&folder.join(&name), false).into_iter().next()?;
        Some(Album { folder: name, picture })
    };
    names.into_iter().filter_map(with_picture).collect()
}

/// Names of the folders or of the files in a folder, in order.
fn list(place: &Path, folders: bool) -> Vec<String> {
    let entries = std::fs::read_dir(place).into_iter().flatten().flatten();
    let fitting = entries.filter(|entry| entry.path().is_dir() == folders);
    let named = fitting.filter_map(|entry| entry.file_name().into_string().ok()).filter(|name| !name.starts_with('.'));
    let mut names: Vec<String> = named.collect();
    names.sort();
    names
}
