//! Small pictures of large ones. What stands in a file is somebody else's: its size, its pixels, the memory and the time that
//! it takes are looked at before it is decoded. Nothing of the file but its pixels and its colours goes over: no place, no
//! camera, no hidden preview. Runs on threads that may wait.

use super::frames;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{self, BufRead, Cursor, Read, Seek, SeekFrom};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Semaphore;

const MOST_PIXELS: u64 = 100_000_000;
const MOST_FILE_BYTES: u64 = 128 << 20;
/// For all pictures that are decoded at one time, in MiB.
const MEMORY_MIB: u32 = 1_024;
/// Room for files that stand in memory already while their pictures wait for theirs.
const FILES_MIB: u32 = 256;
/// The least that a decoder may use beside the picture.
const LEAST_DECODED_BYTES: u64 = 8 << 20;
const LONGEST: Duration = Duration::from_secs(15);
/// Passes over all of a JPEG times its pixels: one of many passes takes long, however short it is.
const MOST_SCANNED_PIXELS: u64 = 1_200_000_000;
/// Of colours that are kept.
const MOST_PROFILE_BYTES: usize = 4 * 1_024;
const QUALITY: u8 = 82;
const MIB: u64 = 1 << 20;

/// Why there is no small picture.
#[derive(Debug, thiserror::Error)]
pub(in super::super) enum Unfit {
    #[error("it is larger than is decoded here")]
    TooLarge,
    #[error("it is no picture of a kind that is decoded here: {0}")]
    Unreadable(#[from] image::ImageError),
    #[error("it cannot be read: {0}")]
    Io(#[from] io::Error),
}

/// Room for decoding, in MiB.
pub(in super::super) fn memory() -> Arc<Semaphore> {
    Arc::new(Semaphore::new(MEMORY_MIB as usize))
}

/// What is read until a time alone.
struct Timed<R> {
    inner: R,
    until: Instant,
}

impl<R> Timed<R> {
    fn check(&self) -> io::Result<()> {
        if Instant::now() < self.until { Ok(()) } else { Err(io::ErrorKind::TimedOut.into()) }
    }
}

impl<R: Read> Read for Timed<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(buffer)
    }
}

impl<R: BufRead> BufRead for Timed<R> {
    fn fill_buf(&mut self) -> io::Result<&[u8]> {
        self.check()?;
        self.inner.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.inner.consume(amount);
    }
}

impl<R: Seek> Seek for Timed<R> {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        self.inner.seek(to)
    }
}

/// A picture of this file of which no side is longer than that, as JPEG, or as PNG where something shines through.
pub(in super::super) fn shrink(mut file: File, side: u32, memory: &Arc<Semaphore>) -> Result<Vec<u8>, Unfit> {
    let length = file.metadata()?.len();
    if length > MOST_FILE_BYTES {
        return Err(Unfit::TooLarge);
    }
    // the file itself stands in memory, twice at most
    let _file_room = take(memory, length.saturating_mul(2));
    let mut bytes = Vec::new();
    file.by_ref().take(MOST_FILE_BYTES).read_to_end(&mut bytes)?;
    let scans = count_scans(&bytes);
    let until = Instant::now().checked_add(LONGEST).unwrap_or_else(Instant::now);
    let frames = frames::find_largest(&bytes, image::guess_format(&bytes).ok());
    let reader = ImageReader::new(Timed { inner: Cursor::new(bytes), until }).with_guessed_format()?;
    let format = reader.format();
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    if !frames.fits(frames::Size { width, height }) {
        return Err(Unfit::TooLarge);
    }
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    let is_jpeg = format == Some(ImageFormat::Jpeg);
    if pixels == 0 || pixels > MOST_PIXELS || is_jpeg && scans.saturating_mul(pixels) > MOST_SCANNED_PIXELS {
        return Err(Unfit::TooLarge);
    }
    // what is decoded in passes is kept between them, in twice the bytes
    let factor = if is_jpeg && scans > 1 { 3 } else { 1 };
    let decoded = decoder.total_bytes().saturating_mul(factor);
    let counted = decoded.saturating_add(decoded / 2).max(LEAST_DECODED_BYTES);
    if decoded > u64::from(MEMORY_MIB - FILES_MIB) * MIB {
        return Err(Unfit::TooLarge);
    }
    // a frame may be larger than the picture says that it is: nothing takes more than was counted for it
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(counted);
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= MOST_PROFILE_BYTES);
    let _room = take(memory, counted);
    let whole = DynamicImage::from_decoder(decoder)?;
    let mut small = scale(&whole, side);
    drop(whole);
    small.apply_orientation(orientation);
    encode(&small, profile)
}

/// Waits for room. The semaphore is never closed; were it, the limits of the decoder would still hold.
fn take(memory: &Arc<Semaphore>, bytes: u64) -> Option<tokio::sync::OwnedSemaphorePermit> {
    let mib = u32::try_from(bytes / MIB).unwrap_or(u32::MAX).clamp(1, MEMORY_MIB - FILES_MIB);
    let waiting = memory.clone().acquire_many_owned(mib);
    futures_util::FutureExt::now_or_never(waiting).and_then(Result::ok).or_else(|| {
        let runtime = tokio::runtime::Handle::try_current().ok()?;
        runtime.block_on(memory.clone().acquire_many_owned(mib)).ok()
    })
}

/// Beginnings of passes over the pixels, as many as there may be.
fn count_scans(bytes: &[u8]) -> u64 {
    let is_begin = |pair: &&[u8]| matches!(pair, [0xFF, 0xDA]);
    u64::try_from(bytes.windows(2).filter(is_begin).count()).unwrap_or(u64::MAX).max(1)
}

/// Never larger than it was. Much larger ones are averaged first: that is fast, and what is left is scaled well.
fn scale(whole: &DynamicImage, side: u32) -> DynamicImage {
    let longest = whole.width().max(whole.height());
    if longest <= side {
        return whole.clone();
    }
    let rough = side.saturating_mul(3);
    match longest > rough {
        true => whole.thumbnail(rough, rough).resize(side, side, image::imageops::FilterType::Triangle),
        false => whole.resize(side, side, image::imageops::FilterType::Triangle),
    }
}

fn encode(small: &DynamicImage, profile: Option<Vec<u8>>) -> Result<Vec<u8>, Unfit> {
    let mut bytes = Vec::new();
    let is_clear = small.color().has_alpha() && small.to_rgba8().pixels().any(|pixel| pixel.0.last() != Some(&u8::MAX));
    if is_clear {
        let mut encoder = PngEncoder::new(&mut bytes);
        if let Some(profile) = profile {
            let _ = encoder.set_icc_profile(profile);
        }
        DynamicImage::from(small.to_rgba8()).write_with_encoder(encoder)?;
        return Ok(bytes);
    }
    let mut encoder = JpegEncoder::new_with_quality(&mut bytes, QUALITY);
    if let Some(profile) = profile {
        let _ = encoder.set_icc_profile(profile);
    }
    DynamicImage::from(small.to_rgb8()).write_with_encoder(encoder)?;
    Ok(bytes)
}

#[cfg(test)]
#[path = "picture_tests.rs"]
mod tests;
