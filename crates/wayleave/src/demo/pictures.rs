//! The pictures that are shipped: three small albums.

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

/// Writes them into a folder, an album a folder.
pub(super) fn unpack(folder: &Path) -> io::Result<PathBuf> {
    for (album, name, bytes) in SHIPPED {
        std::fs::create_dir_all(folder.join(album))?;
        std::fs::write(folder.join(album).join(name), bytes)?;
    }
    folder.canonicalize()
}
