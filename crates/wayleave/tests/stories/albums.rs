//! Alice shares an album of her folder, and Bob looks at it in a browser (design/browser.md, *Folders*), in the demo's world.

use crate::others::run;
use crate::processes::{Folder, Process};

/// From the click until a screen of a hundred thumbnails is painted. A build for tests is several times slower than one for
/// use, of which 300 ms are asked.
const PAINT_MS: u32 = 3_000;

#[test]
fn a_real_browser_looks_at_an_album() {
    let folder = Folder::new();
    let album = folder.0.join("pictures/holiday-2025");
    std::fs::create_dir_all(&album).unwrap();
    for (name, picture) in [
        ("cliffs.jpg", &include_bytes!("../../pictures/cliffs.jpg")[..]),
        ("evening.jpg", include_bytes!("../../pictures/evening.jpg")),
        ("gate.jpg", include_bytes!("../../pictures/gate.jpg")),
        ("kite.jpg", include_bytes!("../../pictures/kite.jpg")),
        ("lighthouse.jpg", include_bytes!("../../pictures/lighthouse.jpg")),
        ("poppies.jpg", include_bytes!("../../pictures/poppies.jpg")),
    ] {
        std::fs::write(album.join(name), picture).unwrap();
    }
    let pictures = folder.0.join("pictures");
    let demo = Process::start(&["demo", "--folder", pictures.to_str().unwrap()], &folder.0);
    let said = demo.said();
    let url = |word: &str| {
        let line = said.lines().find(|line| line.starts_with(word)).unwrap();
        line.split_whitespace().find(|word| word.starts_with("http")).unwrap().to_owned()
    };
    let world = serde_json::json!({
        "issuer": url("Authorization server"), "gateway": url("Alice's pictures"), "viewer": url("Viewer"),
        "folder": pictures, "pictures": std::env::var("WAYLEAVE_PICTURES").ok(),
        "paint_ms": std::env::var("WAYLEAVE_PAINT_MS").ok().and_then(|text| text.parse().ok()).unwrap_or(PAINT_MS),
    });
    run("node", "albums.mjs", &world);
}
