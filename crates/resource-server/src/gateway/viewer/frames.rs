//! How large the frames are that a GIF or WebP holds, read before anything is decoded: both say first how large the picture is,
//! and a decoder takes memory for what a frame says of itself, which may be much more (threat 46).

use image::ImageFormat;

/// In pixels.
#[derive(Clone, Copy, Default, PartialEq, Eq, Debug)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    fn larger(self, other: Self) -> Self {
        Self { width: self.width.max(other.width), height: self.height.max(other.height) }
    }

    /// Whether it lies within another.
    pub(super) fn fits(self, other: Self) -> bool {
        self.width <= other.width && self.height <= other.height
    }
}

/// The largest width and the largest height that a frame says it has; nothing for other formats, whose picture is their frame.
pub(super) fn find_largest(bytes: &[u8], format: Option<ImageFormat>) -> Size {
    match format {
        Some(ImageFormat::Gif) => find_in_gif(bytes).unwrap_or_default(),
        Some(ImageFormat::WebP) => bytes.get(12..).map(find_in_chunks).unwrap_or_default(),
        _ => Size::default(),
    }
}

fn read_u16(bytes: &[u8], at: usize) -> Option<u32> {
    let pair = bytes.get(at..)?.first_chunk::<2>()?;
    Some(u32::from(u16::from_le_bytes(*pair)))
}

fn read_u24(bytes: &[u8], at: usize) -> Option<u32> {
    let [low, middle, high] = *bytes.get(at..)?.first_chunk::<3>()?;
    Some(u32::from_le_bytes([low, middle, high, 0]))
}

/// The first frame's, which alone is decoded (GIF89a 18 to 20).
fn find_in_gif(bytes: &[u8]) -> Option<Size> {
    let table = |packed: u8| if packed & 0x80 == 0 { 0 } else { 3_usize << ((packed & 7) + 1) };
    let mut rest = bytes.get(13_usize.checked_add(table(*bytes.get(10)?))?..)?;
    loop {
        match *rest.first()? {
            0x2C => return Some(Size { width: read_u16(rest, 5)?, height: read_u16(rest, 7)? }),
            0x21 => {
                rest = rest.get(2..)?;
                while let Some(length) = rest.first().map(|length| usize::from(*length)).filter(|length| *length > 0) {
                    rest = rest.get(length.checked_add(1)?..)?;
                }
                rest = rest.get(1..)?;
            }
            _ => return None,
        }
    }
}

/// Of a row of RIFF chunks (WebP container, RFC 9649 2).
fn find_in_chunks(mut rest: &[u8]) -> Size {
    let mut largest = Size::default();
    while let Some(([a, b, c, d, length @ ..], after)) = rest.split_first_chunk::<8>() {
        let length = usize::try_from(u32::from_le_bytes(*length)).unwrap_or(usize::MAX).min(after.len());
        let body = after.get(..length).unwrap_or_default();
        let found = match &[*a, *b, *c, *d] {
            b"VP8 " => find_in_lossy(body),
            b"VP8L" => find_in_lossless(body),
            b"ANMF" => find_in_animated(body),
            _ => None,
        };
        largest = largest.larger(found.unwrap_or_default());
        rest = after.get(length.saturating_add(length % 2)..).unwrap_or_default();
    }
    largest
}

/// RFC 6386 9.1: behind the frame's tag and start code, 14 bits each.
fn find_in_lossy(body: &[u8]) -> Option<Size> {
    Some(Size { width: read_u16(body, 6)? & 0x3FFF, height: read_u16(body, 8)? & 0x3FFF })
}

/// RFC 9649 3.4: behind the signature, 14 bits each, less one.
fn find_in_lossless(body: &[u8]) -> Option<Size> {
    let bits = u32::from_le_bytes(*body.get(1..)?.first_chunk::<4>()?);
    Some(Size { width: (bits & 0x3FFF) + 1, height: ((bits >> 14) & 0x3FFF) + 1 })
}

/// RFC 9649 2.7.1.2: its own size, and the chunks of its picture.
fn find_in_animated(body: &[u8]) -> Option<Size> {
    let own = Size { width: read_u24(body, 6)?.saturating_add(1), height: read_u24(body, 9)?.saturating_add(1) };
    Some(own.larger(find_in_chunks(body.get(16..)?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use image::{DynamicImage, RgbImage};
    use std::io::Cursor;

    #[test]
    fn frames_say_how_large_they_are() {
        for format in [ImageFormat::Gif, ImageFormat::WebP] {
            let mut bytes = Cursor::new(Vec::new());
            DynamicImage::from(RgbImage::new(37, 21)).write_to(&mut bytes, format).unwrap();
            assert_eq!(find_largest(bytes.get_ref(), Some(format)), Size { width: 37, height: 21 }, "{format:?}");
        }
        assert_eq!(find_largest(b"RIFF", Some(ImageFormat::WebP)), Size::default());
        assert_eq!(find_largest(b"GIF89a", Some(ImageFormat::Gif)), Size::default());
        let mut animated = b"RIFF\0\0\0\0WEBPANMF".to_vec();
        animated.extend_from_slice(&[16, 0, 0, 0]);
        animated.extend_from_slice(&[0, 0, 0, 0, 0, 0, 0xFE, 0x3F, 0, 9, 0, 0, 0, 0, 0, 0]);
        assert_eq!(find_largest(&animated, Some(ImageFormat::WebP)), Size { width: 16_383, height: 10 });
    }
}
