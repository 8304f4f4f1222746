//! Small pictures of large ones. What stands in a file is somebody else's, and no look before the work says what a decoder will
//! do with it: this runs in a process of its own ([`super::process`]), whose limits hold. What is looked at here spares the
//! work where its end can be told from the beginning. Nothing of the file but its pixels and its colours goes over: no place,
//! no camera, no hidden preview.

use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::metadata::Orientation;
use image::{DynamicImage, ImageDecoder, ImageEncoder, ImageFormat, ImageReader, Limits};
use std::fs::File;
use std::io::{self, Cursor, Read};

const MOST_PIXELS: u64 = 100_000_000;
const MOST_FILE_BYTES: u64 = 128 << 20;
/// The least that a decoder may use beside the picture.
const LEAST_DECODED_BYTES: u64 = 8 << 20;
/// Passes over all of a JPEG times its pixels: one of many passes takes long, however short it is.
const MOST_SCANNED_PIXELS: u64 = 1_200_000_000;
/// Of colours that are kept.
const MOST_PROFILE_BYTES: usize = 4 * 1_024;
const QUALITY: u8 = 82;

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

/// A picture of this file of which no side is longer than that, as JPEG, or as PNG where something shines through.
pub(in super::super) fn shrink(mut file: File, side: u32) -> Result<Vec<u8>, Unfit> {
    let length = file.metadata()?.len();
    if length > MOST_FILE_BYTES {
        return Err(Unfit::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or_default());
    file.by_ref().take(length).read_to_end(&mut bytes)?;
    let scans = count_scans(&bytes);
    let reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let passes = if reader.format() == Some(ImageFormat::Jpeg) { scans } else { 1 };
    let mut decoder = reader.into_decoder()?;
    let (width, height) = decoder.dimensions();
    let pixels = u64::from(width).saturating_mul(u64::from(height));
    if pixels == 0 || pixels > MOST_PIXELS || passes.saturating_mul(pixels) > MOST_SCANNED_PIXELS {
        return Err(Unfit::TooLarge);
    }
    // a frame may be larger than the picture says that it is
    let decoded = decoder.total_bytes();
    let mut limits = Limits::no_limits();
    limits.max_alloc = Some(decoded.saturating_add(decoded / 2).max(LEAST_DECODED_BYTES));
    decoder.set_limits(limits)?;
    let orientation = decoder.orientation().unwrap_or(Orientation::NoTransforms);
    let profile = decoder.icc_profile().ok().flatten().filter(|profile| profile.len() <= MOST_PROFILE_BYTES);
    let whole = DynamicImage::from_decoder(decoder)?;
    let mut small = scale(&whole, side);
    drop(whole);
    small.apply_orientation(orientation);
    encode(&small, profile)
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
