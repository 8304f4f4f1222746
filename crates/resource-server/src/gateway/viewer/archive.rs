//! `?zip`: a collection with all that is below it and may be viewed, as a zip that is written while it is read (APPNOTE 6.3:
//! sizes follow each file, ZIP64 where one may be of 4 GiB). Nothing is compressed: pictures, films and music are already.
//!
//! What the folder does meanwhile leaves the zip whole: a file is read as long as it was when it was opened, and what was not
//! there any more, or did not come whole, is named in a text at its end. A permission that ends while its file is on its way
//! ends the download.

use super::super::Gateway;
use super::super::admission::Admitted;
use super::super::beneath;
use super::super::path::CanonicalPath;
use super::album::show_name;
use super::collection::{self, Entry, Facts};
use super::leave::{Leave, downloader_of};
use super::members::{Judge, Standing};
use super::{View, not_a_directory, set_fields};
use crate::challenge::plain;
use crate::watch;
use axum::body::{Body, Bytes};
use axum::response::Response;
use http::{Method, StatusCode, header};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;
use tokio::time::Instant;
use zip::write::{SimpleFileOptions, StreamWriter};
use zip::{CompressionMethod, DateTime, ZipWriter};

/// Things in one; what is beyond is named as missing.
const MOST_FILES: usize = 20_000;
const MOST_NAMED: usize = 1_000;
/// Collections in one another.
const MOST_LEVELS: usize = 64;
/// Pieces that wait for whoever downloads, and how long each is.
const PIECES: usize = 4;
const PIECE_BYTES: usize = 128 * 1_024;
/// From this length on a file has fields of ZIP64; a little below 4 GiB.
const LARGE_BYTES: u64 = 0xffff_0000;

/// Where the writer of a zip puts its bytes until they are sent.
#[derive(Clone, Default)]
struct Written(Arc<Mutex<Vec<u8>>>);

impl Written {
    fn take(&self) -> Vec<u8> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Write for Written {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A collection that is still to be read.
struct Unread {
    path: CanonicalPath,
    /// Its name in the zip, with a slash at the end; empty for none.
    prefix: String,
    level: usize,
    /// What is in it, where that was read already.
    entries: Option<Vec<Entry>>,
}

/// A zip on its way.
struct Archive {
    gateway: Arc<Gateway>,
    root: PathBuf,
    judge: Judge,
    writer: ZipWriter<StreamWriter<Written>>,
    written: Written,
    to: mpsc::Sender<io::Result<Bytes>>,
    files: usize,
    missing: Vec<String>,
    /// Further ones that are not named.
    unnamed: usize,
    /// Permissions by which something of it was read, as her history has it.
    noted: Vec<Admitted>,
    _leave: Leave,
}

/// Nobody reads it any more, or it may not go on.
struct Ended;

impl Gateway {
    pub(super) async fn stream_zip(self: &Arc<Self>, root: &Path, view: &View<'_>) -> io::Result<Response> {
        // who opens what is no directory is told so before anything is streamed
        let entries = Some(collection::read(root, view.path).await?);
        let judge = Judge::new(self, view.let_in).ok_or_else(not_a_directory)?;
        let name = view.path.segments().last().cloned().unwrap_or_else(|| plain_name(&self.settings.name));
        let mut response = Response::new(Body::empty());
        set_fields(
            &mut response,
            &[
                (header::CONTENT_TYPE, "application/zip"),
                (header::CONTENT_DISPOSITION, &attachment(&format!("{}.zip", show_name(&name)))),
                (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            ],
        );
        if view.parts.method == Method::HEAD {
            return Ok(response);
        }
        let Some(leave) = self.viewer.zips.begin(downloader_of(view)) else {
            let what = "Others are downloading from here, or you are already: try again when one of them has ended.";
            let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, what);
            set_fields(&mut response, &[(header::RETRY_AFTER, "30")]);
            return Ok(response);
        };
        let (to, from) = mpsc::channel(PIECES);
        let written = Written::default();
        let archive = Archive {
            gateway: self.clone(),
            root: root.to_owned(),
            judge,
            writer: ZipWriter::new_stream(written.clone()),
            written,
            to,
            files: 0,
            missing: Vec::new(),
            unnamed: 0,
            noted: Vec::new(),
            _leave: leave,
        };
        let first = Unread { path: view.path.clone(), prefix: format!("{name}/"), level: 0, entries };
        tokio::spawn(archive.write(first));
        let pieces = futures_util::stream::unfold(from, async |mut from| from.recv().await.map(|piece| (piece, from)));
        *response.body_mut() = Body::from_stream(pieces);
        Ok(response)
    }
}

impl Archive {
    async fn write(mut self, first: Unread) {
        if self.write_all(first).await.is_err() {
            // the connection breaks off: a part is not taken for the whole
            let _ = self.to.send(Err(io::ErrorKind::ConnectionAborted.into())).await;
        }
    }

    async fn write_all(&mut self, first: Unread) -> Result<(), Ended> {
        let prefix = first.prefix.clone();
        let mut unread = vec![first];
        let mut top = Vec::new();
        while let Some(mut here) = unread.pop() {
            let read = match here.entries.take() {
                Some(entries) => Ok(entries),
                None => collection::read(&self.root, &here.path).await,
            };
            let Ok(entries) = read else {
                self.miss(&here.prefix, "it was gone, or could not be read");
                continue;
            };
            if here.level == 0 {
                top = entries.iter().map(|entry| entry.name.clone()).collect();
            }
            let mut below = Vec::new();
            for entry in entries {
                let Some(path) = entry.path_in(&here.path) else { continue };
                let name = format!("{}{}", here.prefix, entry.mark());
                match entry.is_album() {
                    true => below.push(Unread { path, prefix: name, level: here.level.saturating_add(1), entries: None }),
                    false => self.add(&path, &name).await?,
                }
            }
            for album in below.into_iter().rev() {
                match album.level < MOST_LEVELS {
                    true if self.judge.may_view(&album.path).await => unread.push(album),
                    true => {}
                    false => self.miss(&album.prefix, "it lies deeper than is looked"),
                }
            }
        }
        self.finish(&prefix, &top).await
    }

    /// A file, if it may be viewed now.
    async fn add(&mut self, path: &CanonicalPath, name: &str) -> Result<(), Ended> {
        let permission = match self.judge.standing_of(path).await {
            Standing::Hidden => return Ok(()),
            Standing::Covered => None,
            // asked a while ago, and asked again before something is read by it
            Standing::Admitted(admitted) if self.judge.still_stands(&admitted).await => Some(admitted),
            Standing::Admitted(_) => return Ok(()),
        };
        if self.files >= MOST_FILES {
            self.miss(name, "there is more here than goes into one download");
            return Ok(());
        }
        let opened = match beneath::find(&self.root, path).await {
            Ok(found) if !found.is_directory => tokio::fs::File::open(found.place()).await,
            Ok(_) => Err(io::ErrorKind::IsADirectory.into()),
            Err(error) => Err(error),
        };
        let opened = match opened {
            Ok(file) => file.metadata().await.map(|metadata| (file, Facts::of(&metadata))),
            Err(error) => Err(error),
        };
        let Ok((file, facts)) = opened else {
            self.miss(name, "it was gone, or could not be read");
            return Ok(());
        };
        if let Some(admitted) = &permission
            && !self.noted.iter().any(|noted| noted.needs == admitted.needs)
        {
            self.gateway.note_allowed(admitted);
            self.noted.push(admitted.clone());
        }
        self.copy(file, facts, name, permission).await
    }

    /// What was in a file when it was opened, as far as it comes.
    async fn copy(&mut self, file: tokio::fs::File, facts: Facts, name: &str, permission: Option<Admitted>) -> Result<(), Ended> {
        self.files = self.files.saturating_add(1);
        self.writer.start_file(name, options_of(facts)).map_err(|_| Ended)?;
        let mut next_look = Instant::now() + watch::INTERVAL;
        let (mut file, mut left, mut buffer) = (file.take(facts.bytes), facts.bytes, vec![0; PIECE_BYTES]);
        while left > 0 {
            let read = file.read(&mut buffer).await.unwrap_or(0);
            let Some(piece) = buffer.get(..read).filter(|piece| !piece.is_empty()) else {
                self.miss(name, "it changed while it was read: only its beginning is here");
                break;
            };
            left = left.saturating_sub(u64::try_from(read).unwrap_or(u64::MAX));
            self.writer.write_all(piece).map_err(|_| Ended)?;
            self.send().await?;
            if let Some(admitted) = &permission
                && Instant::now() >= next_look
            {
                if !self.judge.still_stands(admitted).await {
                    return Err(Ended);
                }
                next_look = Instant::now() + watch::INTERVAL;
            }
        }
        Ok(())
    }

    fn miss(&mut self, name: &str, why: &str) {
        match self.missing.len() < MOST_NAMED {
            true => self.missing.push(format!("{name}: {why}.")),
            false => self.unnamed = self.unnamed.saturating_add(1),
        }
    }

    /// What is missing, in words, and the list of all that is there.
    async fn finish(&mut self, prefix: &str, taken: &[String]) -> Result<(), Ended> {
        if !self.missing.is_empty() {
            let mut text = format!("Not all of it is in this download:\n\n{}\n", self.missing.join("\n"));
            if self.unnamed > 0 {
                text.push_str(&format!("and {} more.\n", self.unnamed));
            }
            let mut name = "What is missing.txt".to_owned();
            while taken.contains(&name) {
                name.insert(0, '_');
            }
            let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
            self.writer.start_file(format!("{prefix}{name}"), options).map_err(|_| Ended)?;
            self.writer.write_all(text.as_bytes()).map_err(|_| Ended)?;
        }
        let writer = std::mem::replace(&mut self.writer, ZipWriter::new_stream(Written::default()));
        writer.finish().map_err(|_| Ended)?;
        self.send().await
    }

    async fn send(&self) -> Result<(), Ended> {
        let bytes = self.written.take();
        if bytes.is_empty() {
            return Ok(());
        }
        self.to.send(Ok(bytes.into())).await.map_err(|_| Ended)
    }
}

fn options_of(facts: Facts) -> SimpleFileOptions {
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Stored)
        .unix_permissions(0o644)
        .large_file(facts.bytes >= LARGE_BYTES);
    match time_of(facts.changed) {
        Some(time) => options.last_modified_time(time),
        None => options,
    }
}

/// A time as zips have it, where it can be one.
fn time_of(time: types::Timestamp) -> Option<DateTime> {
    let time = jiff::Timestamp::from_second(time.0).ok()?.to_zoned(jiff::tz::TimeZone::UTC);
    let small = |number: i8| u8::try_from(number).unwrap_or_default();
    let (month, day, hour) = (small(time.month()), small(time.day()), small(time.hour()));
    let year = u16::try_from(time.year()).ok()?;
    DateTime::from_date_and_time(year, month, day, hour, small(time.minute()), small(time.second())).ok()
}

/// A name that is no path.
fn plain_name(name: &str) -> String {
    let name: String = name.chars().map(|c| if c.is_alphanumeric() || " -_'".contains(c) { c } else { '-' }).collect();
    if name.trim().is_empty() { "album".to_owned() } else { name }
}

/// As a file of this name (RFC 6266 4.3).
fn attachment(name: &str) -> String {
    let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() || " -_.".contains(c) { c } else { '_' }).collect();
    let encoded = percent_encoding::utf8_percent_encode(name, percent_encoding::NON_ALPHANUMERIC);
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_download_has_a_name_that_is_no_path() {
        assert_eq!(attachment("a\"b.zip"), "attachment; filename=\"a_b.zip\"; filename*=UTF-8''a%22b%2Ezip");
        assert_eq!(attachment("Åsa.zip"), "attachment; filename=\"_sa.zip\"; filename*=UTF-8''%C3%85sa%2Ezip");
        assert_eq!((plain_name("../Alice's: all"), plain_name("//")), ("---Alice's- all".to_owned(), "--".to_owned()));
        assert_eq!(plain_name(" "), "album");
    }

    #[test]
    fn a_zip_with_fields_of_large_files_is_written_without_going_back() {
        let (written, facts) = (Written::default(), |bytes| Facts { bytes, changed: types::Timestamp(1_700_000_000) });
        let mut writer = ZipWriter::new_stream(written.clone());
        for (name, bytes) in [("a/é.jpg", 3), ("a/large.mp4", 5 << 30)] {
            writer.start_file(name, options_of(facts(bytes))).unwrap();
            writer.write_all(b"abc").unwrap();
        }
        writer.finish().unwrap();
        let mut read = zip::ZipArchive::new(io::Cursor::new(written.take())).unwrap();
        for name in ["a/é.jpg", "a/large.mp4"] {
            let mut text = String::new();
            io::Read::read_to_string(&mut read.by_name(name).unwrap(), &mut text).unwrap();
            assert_eq!(text, "abc");
        }
        assert!(time_of(types::Timestamp(0)).is_none() && time_of(types::Timestamp(1_700_000_000)).is_some());
    }
}
