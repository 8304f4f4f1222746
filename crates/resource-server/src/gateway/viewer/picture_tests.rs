use super::*;
use image::{Rgb, RgbImage, Rgba, RgbaImage};
use std::time::Instant;

struct Temporary(std::path::PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

fn shrunk(bytes: &[u8], side: u32) -> Result<DynamicImage, Unfit> {
    let random: [u8; 8] = jose::ambient::random(&jose::SystemRandomness);
    let place = Temporary(std::env::temp_dir().join(format!("wayleave-picture-{}", jose::base64url::encode(random))));
    std::fs::write(&place.0, bytes).unwrap();
    let small = shrink(File::open(&place.0).unwrap(), side)?;
    assert!(!small.windows(4).any(|window| window == b"Exif"), "nothing but pixels goes over");
    Ok(image::load_from_memory(&small).unwrap())
}

/// Red on the left, blue on the right.
fn two_colours(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, _| if x < width / 2 { Rgb([255, 0, 0]) } else { Rgb([0, 0, 255]) })
}

fn jpeg(picture: &RgbImage) -> Vec<u8> {
    let mut bytes = Vec::new();
    DynamicImage::from(picture.clone()).write_with_encoder(JpegEncoder::new_with_quality(&mut bytes, 90)).unwrap();
    bytes
}

fn written(picture: &DynamicImage, format: ImageFormat) -> Vec<u8> {
    let mut bytes = Cursor::new(Vec::new());
    picture.write_to(&mut bytes, format).unwrap();
    bytes.into_inner()
}

/// The same JPEG with an EXIF segment of this orientation, and a place in words.
fn turned(bytes: &[u8], orientation: u8) -> Vec<u8> {
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend([orientation, 0, 0, 0, 0, 0, 0]);
    exif.extend(b"52.5163N 13.3777E");
    let length = u16::try_from(exif.len() + 2).unwrap().to_be_bytes();
    [&bytes[..2], &[0xFF, 0xE1], &length, &exif, &bytes[2..]].concat()
}

#[test]
fn pictures_are_made_small_and_never_larger() {
    let picture = DynamicImage::from(two_colours(1_000, 500));
    for format in [ImageFormat::Jpeg, ImageFormat::Png, ImageFormat::Gif, ImageFormat::WebP] {
        let small = shrunk(&written(&picture, format), 320).unwrap();
        assert_eq!((small.width(), small.height()), (320, 160), "{format:?}");
        let [left, right] = [10, 310].map(|x| small.to_rgb8().get_pixel(x, 80).0);
        assert!(left[0] > 200 && left[2] < 60 && right[2] > 200 && right[0] < 60, "{format:?} {left:?} {right:?}");
    }
    let small = shrunk(&jpeg(&two_colours(40, 30)), 320).unwrap();
    assert_eq!((small.width(), small.height()), (40, 30));
    let thin = shrunk(&jpeg(&two_colours(4_000, 2)), 320).unwrap();
    assert_eq!(thin.width(), 320);
    let clear = RgbaImage::from_fn(400, 400, |x, _| Rgba([9, 9, 9, if x < 200 { 0 } else { 255 }]));
    let small = shrunk(&written(&DynamicImage::from(clear), ImageFormat::Png), 320).unwrap();
    assert!(small.color().has_alpha(), "what shines through still does");
}

#[test]
fn pictures_stand_upright_and_say_nothing_of_where_they_were_taken() {
    let upright = jpeg(&two_colours(400, 200));
    for (orientation, width, at) in [(1, 320, (10, 80)), (3, 320, (310, 80)), (6, 160, (80, 10)), (8, 160, (80, 310))] {
        let small = shrunk(&turned(&upright, orientation), 320).unwrap();
        assert_eq!(small.width(), width, "{orientation}");
        let red = small.to_rgb8().get_pixel(at.0, at.1).0;
        assert!(red[0] > 200 && red[2] < 60, "{orientation} {red:?}");
    }
}

#[test]
fn of_an_animation_the_first_picture_is_shown() {
    let mut bytes = Vec::new();
    let mut encoder = image::codecs::gif::GifEncoder::new(&mut bytes);
    for colour in [[255, 0, 0, 255], [0, 0, 255, 255]] {
        encoder.encode_frame(image::Frame::new(RgbaImage::from_pixel(20, 20, Rgba(colour)))).unwrap();
    }
    drop(encoder);
    let small = shrunk(&bytes, 320).unwrap();
    let [red, _, blue] = small.to_rgb8().get_pixel(10, 10).0;
    assert!(red > 200 && blue < 60, "{red} {blue}");
}

/// A PNG that says that it is so large, with little in it.
fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let mut chunk = |kind: &[u8], data: &[u8]| {
        let body = [kind, data].concat();
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc(&body).to_be_bytes());
    };
    chunk(b"IHDR", &[&width.to_be_bytes()[..], &height.to_be_bytes(), &[8, 2, 0, 0, 0]].concat());
    chunk(b"IDAT", &[0x78, 0x9c, 0x03, 0, 0, 0, 0, 1]);
    chunk(b"IEND", &[]);
    bytes
}

fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

#[test]
fn bombs_and_what_is_no_picture_are_refused_before_the_work() {
    assert!(matches!(shrunk(&bomb(20_000, 20_000), 320), Err(Unfit::TooLarge)));
    assert!(matches!(shrunk(&bomb(u32::MAX >> 1, 1), 320), Err(Unfit::TooLarge | Unfit::Unreadable(_))));
    assert!(shrunk(&bomb(9_000, 9_000), 320).is_err(), "it says more than it has");
    let good = jpeg(&two_colours(400, 200));
    for bad in [&b""[..], b"not a picture", &good[..100], b"\xff\xd8\xff", b"GIF89a", b"RIFF\0\0\0\0WEBP", b"<svg onload='x()'/>"]
    {
        assert!(shrunk(bad, 320).is_err(), "{bad:?}");
    }
    // passes upon passes over many pixels
    let begun = Instant::now();
    let mut many = jpeg(&two_colours(4_000, 4_000));
    let making_it_took = begun.elapsed();
    let end = many.len() - 2;
    many.splice(end..end, [0xFF, 0xDA].repeat(200));
    let begun = Instant::now();
    assert!(matches!(shrunk(&many, 320), Err(Unfit::TooLarge)));
    assert!(begun.elapsed() < making_it_took, "{:?}", begun.elapsed());
}
