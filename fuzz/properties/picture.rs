//! Whatever a file says of itself, its thumbnail is a picture that is no larger than was asked for, or there is none. The memory
//! that it takes is held by the limits of the run (`fuzz/run.sh`).

use super::shared::choose;
use image::{ImageFormat, ImageReader};
use resource_server::gateway::parsers::make_thumbnail;
use std::fs::File;
use std::io::{Cursor, Seek, SeekFrom, Write};

const SIDES: [u32; 3] = [320, 640, 1280];
/// Above it a picture takes seconds under a sanitizer, and is no other case.
const MOST_PIXELS: u64 = 4_000_000;

fn file_of(content: &[u8]) -> File {
    let path = std::env::temp_dir().join(format!("wayleave-picture-{}", std::process::id()));
    let mut file = File::options().create(true).truncate(true).read(true).write(true).open(&path).unwrap();
    // it is read by its handle, and leaves nothing behind
    std::fs::remove_file(path).unwrap();
    file.write_all(content).unwrap();
    file.seek(SeekFrom::Start(0)).unwrap();
    file
}

/// First byte: the side.
pub(crate) fn holds(data: &[u8]) {
    let (choice, content) = choose(data);
    let side = SIDES[usize::from(choice) % SIDES.len()];
    let said = ImageReader::new(Cursor::new(content)).with_guessed_format().unwrap().into_dimensions();
    if said.is_ok_and(|(width, height)| u64::from(width) * u64::from(height) > MOST_PIXELS) {
        return;
    }
    let Some(small) = make_thumbnail(file_of(content), side) else { return };
    let reader = ImageReader::new(Cursor::new(&small)).with_guessed_format().unwrap();
    assert!(matches!(reader.format(), Some(ImageFormat::Jpeg | ImageFormat::Png)), "a format of every browser");
    let picture = reader.decode().expect("a picture");
    assert!(picture.width() >= 1 && picture.height() >= 1);
    assert!(picture.width() <= side && picture.height() <= side, "{} by {} for {side}", picture.width(), picture.height());
}
