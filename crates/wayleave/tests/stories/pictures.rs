//! Pictures that somebody wrote to harm: what they do to the process that decodes them is over with it (decision 0048).

use crate::passing::{Bob, status};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const KITE: &[u8] = include_bytes!("../../pictures/kite.jpg");
const MIB: u64 = 1 << 20;
/// What the gateway itself may take beside what it had, in MiB.
const MOST_GROWTH_MIB: u64 = 48;
/// A build for tests, on a machine that does much beside it.
const LONGEST: Duration = Duration::from_secs(120);

/// Frames in frames, so many deep (24 bytes each): whoever reads them by calling itself needs a stack without end.
fn nested_frames(depth: u32) -> Vec<u8> {
    let mut bytes = [b"RIFF", &(24 * depth + 4).to_le_bytes(), b"WEBP".as_slice()].concat();
    for level in 0..depth {
        bytes.extend(b"ANMF");
        bytes.extend((24 * (depth - level) - 8).to_le_bytes());
        bytes.extend([0; 16]);
    }
    bytes
}

/// The sum that a PNG has behind each chunk.
fn crc(bytes: &[u8]) -> u32 {
    let step = |crc: u32, byte: &u8| {
        (0..8).fold(crc ^ u32::from(*byte), |crc, _| if crc & 1 == 1 { 0xedb8_8320 ^ (crc >> 1) } else { crc >> 1 })
    };
    !bytes.iter().fold(u32::MAX, step)
}

/// A black PNG of 16 bits a colour, with all its pixels: a stream of matches of 258 bytes (RFC 1951 3.2.6).
fn deep_png(side: u32) -> Vec<u8> {
    let (mut packed, mut held, mut count) = (vec![0x78, 0x01], 0_u64, 0);
    let mut put = |bits: u64, length: u32, packed: &mut Vec<u8>| {
        held |= bits << count;
        count += length;
        while count >= 8 {
            packed.push(held as u8);
            (held, count) = (held >> 8, count - 8);
        }
    };
    let row = u64::from(side) * 6 + 1;
    put(0b011, 3, &mut packed);
    put(0b0000_1100, 8, &mut packed);
    for _ in 0..(row * u64::from(side) - 1).div_ceil(258) {
        // length 258 (1100 0101) and distance 1 (00000), each code from its first bit on
        put(0b1010_0011, 8, &mut packed);
        put(0, 5, &mut packed);
    }
    put(0, 14, &mut packed);
    packed.extend([0; 4]);
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    let size = [&side.to_be_bytes()[..], &side.to_be_bytes(), &[16, 2, 0, 0, 0]].concat();
    for (kind, data) in [(b"IHDR", &size), (b"IDAT", &packed), (b"IEND", &Vec::new())] {
        let body = [&kind[..], data].concat();
        bytes.extend(u32::try_from(data.len()).unwrap().to_be_bytes());
        bytes.extend(&body);
        bytes.extend(crc(&body).to_be_bytes());
    }
    bytes
}

fn segment(marker: u8, data: &[u8]) -> Vec<u8> {
    [&[0xFF, marker][..], &u16::try_from(data.len() + 2).unwrap().to_be_bytes(), data].concat()
}

/// A JPEG that is made to be decoded in passes (SOF2), of which it has one.
fn progressive_jpeg(side: u16) -> Vec<u8> {
    let blocks = usize::from(side.div_ceil(8)).pow(2) * 3;
    let colours = [3, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0];
    let frame = [&[8][..], &side.to_be_bytes(), &side.to_be_bytes(), &colours].concat();
    let codes = [&[0, 1][..], &[0; 15], &[0]].concat();
    [
        vec![0xFF, 0xD8],
        segment(0xDB, &[&[0][..], &[1; 64]].concat()),
        segment(0xC2, &frame),
        segment(0xC4, &codes),
        segment(0xDA, &[3, 1, 0, 2, 0, 3, 0, 0, 0, 0]),
        vec![0; blocks / 8 + 2],
        vec![0xFF, 0xD9],
    ]
    .concat()
}

/// An animated WebP of 16 x 16 whose frame is of 16383 x 16383, behind a chunk of a name that nobody knows.
fn webp_of_a_large_frame() -> Vec<u8> {
    let chunk = |name: &[u8; 4], data: &[u8]| {
        let padding = if data.len() % 2 == 1 { &[0][..] } else { &[] };
        [&name[..], &u32::try_from(data.len()).unwrap().to_le_bytes(), data, padding].concat()
    };
    let lossy = [&b"\x10\0\0\x9d\x01\x2a\xff\x3f\xff\x3f"[..], &[0; 4_000]].concat();
    let transparency = chunk(b"ALPH", &[0; 257]);
    let frame = [&[0; 6][..], &[15, 0, 0, 15, 0, 0, 1, 0, 0, 0], &transparency, &chunk(b"XXXX", &lossy)].concat();
    let head = chunk(b"VP8X", &[0x12, 0, 0, 0, 15, 0, 0, 15, 0, 0]);
    let all = [&b"WEBP"[..], &head, &chunk(b"ANIM", &[0; 6]), &chunk(b"ANMF", &frame)].concat();
    [&b"RIFF"[..], &u32::try_from(all.len()).unwrap().to_le_bytes(), &all].concat()
}

/// A GIF of 1 x 1 whose frame is of 15360 x 15360.
fn gif_of_a_large_frame() -> Vec<u8> {
    let head = b"GIF89a\x01\x00\x01\x00\x80\x00\x00\x00\x00\x00\xff\xff\xff".to_vec();
    [&head[..], b",\x00\x00\x00\x00\x00\x3c\x00\x3c\x00\x02\x02\x4c\x01\x00;"].concat()
}

/// What the process says of this file, run as a gateway runs it.
fn run(side: &str, picture: &Path) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
    command.args(["make-thumbnail", side]).env_clear().env("MIMALLOC_ARENA_RESERVE", "0");
    command.stdin(std::fs::File::open(picture).unwrap()).stderr(Stdio::null()).output().unwrap()
}

/// The most that a process took until now, in MiB.
fn memory_of(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).map_or(0, |number| number.parse::<u64>().unwrap() / 1_024)
}

fn write(folder: &Path, name: &str, content: &[u8]) -> PathBuf {
    let place = folder.join(name);
    std::fs::write(&place, content).unwrap();
    place
}

/// The whole answer, in small letters.
async fn get_thumbnail(bob: &Bob, name: &str) -> String {
    let (host, authorization) = (bob.host(), &bob.authorization);
    let head =
        format!("GET /albums/holiday/{name}?thumbnail=320 HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n{authorization}\r\n");
    let mut stream = TcpStream::connect(host).await.unwrap();
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    String::from_utf8_lossy(&answer).to_lowercase()
}

#[test]
fn a_process_makes_one_thumbnail_within_its_limits() {
    let folder = crate::processes::Folder::new();
    let made = run("320", &write(&folder.0, "kite.jpg", KITE));
    assert!(made.status.success() && made.stdout.starts_with(b"\xff\xd8\xff"), "{made:?}");
    let deep = run("320", &write(&folder.0, "deep.png", &deep_png(8_000)));
    assert!(deep.status.success() && deep.stdout.starts_with(b"\xff\xd8\xff"), "{:?}", deep.status);
    for (name, content) in
        [("a.jpg", &b"not a picture"[..]), ("b.webp", &nested_frames(10_000)), ("c.gif", &gif_of_a_large_frame())]
    {
        let refused = run("320", &write(&folder.0, name, content));
        assert_eq!((refused.status.code(), refused.stdout.is_empty()), (Some(65), false), "{name}: {refused:?}");
    }
    // what it finds of itself while it reads: a pipe lets it wait
    let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
    let fifo = folder.0.join("pipe");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let both = std::fs::OpenOptions::new().read(true).write(true).open(&fifo).unwrap();
    command.args(["make-thumbnail", "320"]).env_clear().env("MIMALLOC_ARENA_RESERVE", "0").stdin(both).stdout(Stdio::piped());
    let mut process = command.spawn().unwrap();
    let limits = || std::fs::read_to_string(format!("/proc/{}/limits", process.id())).unwrap();
    let of = |name: &str| {
        let text = limits();
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap().to_owned();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    let begun = std::time::Instant::now();
    while of("Max processes") != ["0", "0"] {
        assert!(begun.elapsed() < LONGEST, "{}", limits());
    }
    for (name, value) in [
        ("Max address space", "1073741824"),
        ("Max cpu time", "15"),
        ("Max core file size", "0"),
        ("Max file size", "0"),
        ("Max open files", "0"),
    ] {
        assert_eq!(of(name), [value, value], "{name}");
    }
    let adjusted = std::fs::read_to_string(format!("/proc/{}/oom_score_adj", process.id())).unwrap();
    assert_eq!(adjusted.trim(), "1000");
    process.kill().unwrap();
    process.wait().unwrap();
}

/// Two of each at once, by whoever may put them there: the gateway lives and is as large as before, and a picture of somebody
/// else is made meanwhile and afterwards.
#[tokio::test]
async fn threat_46_a_frame_larger_than_its_picture_ends_its_own_process_at_most() {
    let bob = Bob::with(|text| text, true).await;
    let album = bob.guarded.folder.0.join("files/albums/holiday");
    let pid = bob.guarded.pid();
    let get = async |name: &str| tokio::time::timeout(LONGEST, get_thumbnail(&bob, name)).await.unwrap();
    let is_picture = |answer: &str| status(answer) == "200" && answer.contains("content-type: image/jpeg");
    let is_some = |answer: &str| status(answer) == "200" && answer.contains("content-type: image/");
    write(&album, "before.jpg", KITE);
    assert!(is_picture(&get("before.jpg").await));
    let before = memory_of(pid);
    let files: [(&str, Vec<u8>); 6] = [
        ("nested.webp", nested_frames(10_000)),
        ("deeper.webp", nested_frames(200_000)),
        ("frame.webp", webp_of_a_large_frame()),
        ("frame.gif", gif_of_a_large_frame()),
        ("scan.jpg", progressive_jpeg(10_000)),
        ("deep.png", deep_png(10_000)),
    ];
    for (at, (name, content)) in files.iter().enumerate() {
        let names = [format!("1{name}"), format!("2{name}")];
        for name in &names {
            let file = std::fs::File::options().create(true).write(true).truncate(true).open(album.join(name)).unwrap();
            std::io::Write::write_all(&mut &file, content).unwrap();
            if name.ends_with("png") {
                // as long as files may be that are looked at
                file.set_len(100 * MIB).unwrap();
            }
        }
        let two = futures_util::future::join_all(names.iter().map(|name| get(name))).await;
        assert!(two.iter().all(|answer| is_some(answer)), "{name}: {two:?}");
        let good = format!("good{at}.jpg");
        write(&album, &good, KITE);
        assert!(is_picture(&get(&good).await), "others go on after {name}");
        let after = memory_of(pid);
        assert!(after < before + MOST_GROWTH_MIB, "{name}: {before} MiB before, {after} MiB since");
    }
    let left = Command::new("pgrep").args(["-P", &pid.to_string()]).output().unwrap();
    assert!(left.stdout.is_empty(), "all processes are gone and forgotten: {left:?}");
}
