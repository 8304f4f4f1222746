//! The files of a folder, as `dav-server` wants them: found by handle ([`super::super::beneath`]), written whole and then moved
//! into place ([`super::super::part_files`]), under the conditions and the permission of the call to its end.

mod file;
mod properties;
mod served;

pub(super) use properties::Properties;

use super::active::{self, SNIFFED_BYTES};
use super::call::{Call, Ended};
use super::conditions::Current;
use super::gates::{GatePass, Gates};
use crate::gateway::beneath::{self, Found};
use crate::gateway::part_files::{Part, PartFiles, sync_folder_of};
use crate::gateway::path::CanonicalPath;
use dav_server::davpath::DavPath;
use dav_server::fs::{DavMetaData, FsError, FsResult};
use jose::{base64url, digest};
use std::collections::HashSet;
use std::ffi::OsStr;
use std::fs::{File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};
use tokio::sync::{Mutex, MutexGuard};

/// So many paths change at a time at most; each of them one by one.
const TURNS: usize = 64;
/// So many names the log is told of.
const MOST_TOLD: usize = 1_000;

#[derive(Clone)]
pub(super) struct Files(Arc<Kept>);

struct Kept {
    root: PathBuf,
    parts: PartFiles,
    turns: Vec<Mutex<()>>,
    gates: Gates,
    /// Names of which the log was told that no path leads to them.
    told: std::sync::Mutex<HashSet<PathBuf>>,
}

/// What a file or a directory is like now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Version {
    pub(super) length: u64,
    pub(super) is_directory: bool,
    pub(super) modified_seconds: i64,
    fraction: i64,
    /// When the disk made it, where that is known: its number may have been another file's before.
    made: Option<Duration>,
    place: [u64; 2],
}

impl Version {
    pub(super) fn of(metadata: &Metadata) -> Self {
        Self {
            length: metadata.len(),
            is_directory: metadata.is_dir(),
            modified_seconds: metadata.mtime(),
            fraction: metadata.mtime_nsec(),
            made: metadata.created().ok().and_then(|made| made.duration_since(UNIX_EPOCH).ok()),
            place: [metadata.dev(), metadata.ino()],
        }
    }

    /// A strong entity-tag, in quotes: another file, or another content, has another one, and it is the same wherever the file is
    /// moved to and whatever properties it is given (RFC 4918 8.6). It tells nothing of the disk.
    pub(super) fn tag(&self) -> String {
        let made = self.made.unwrap_or_default().as_nanos().to_be_bytes();
        let times = [self.modified_seconds, self.fraction].into_iter().flat_map(i64::to_be_bytes).chain(made);
        let numbers = self.place.into_iter().chain([self.length]).flat_map(u64::to_be_bytes);
        let bytes: Vec<u8> = times.chain(numbers).collect();
        let hash = digest::sha256(&[&bytes]);
        format!("\"{}\"", base64url::encode(hash.get(..15).unwrap_or_default()))
    }

    pub(super) fn as_current<'a>(&self, tag: &'a str) -> Current<'a> {
        Current { tag, modified_seconds: self.modified_seconds }
    }

    /// For `Last-Modified`: never later than the answer (RFC 9110 8.8.2.1); none of what is older than the web's clocks tell.
    pub(super) fn last_modified(&self, now_seconds: i64) -> Option<SystemTime> {
        let seconds = u64::try_from(self.modified_seconds.min(now_seconds)).ok()?;
        Some(UNIX_EPOCH + Duration::from_secs(seconds))
    }
}

/// A file, as it was when it was opened.
pub(super) struct Opened {
    pub(super) file: File,
    pub(super) version: Version,
    beginning: Vec<u8>,
}

impl Opened {
    /// Whether a browser could run it.
    pub(super) fn is_active(&self, path: &CanonicalPath) -> bool {
        let name = path.segments().last().map(String::as_str).unwrap_or_default();
        active::is_active(mime_guess::from_path(name).first_or_octet_stream().essence_str(), &self.beginning)
    }
}

/// What is told of a thing in answers.
#[derive(Clone, Debug)]
struct Told {
    version: Version,
    now_seconds: i64,
    /// Whether the tag is written with its quotes: `dav-server` adds them to headers, and not in XML.
    is_quoted: bool,
}

impl DavMetaData for Told {
    fn len(&self) -> u64 {
        self.version.length
    }

    fn modified(&self) -> FsResult<SystemTime> {
        self.version.last_modified(self.now_seconds).ok_or(FsError::NotImplemented)
    }

    fn is_dir(&self) -> bool {
        self.version.is_directory
    }

    fn etag(&self) -> Option<String> {
        let tag = self.version.tag();
        Some(if self.is_quoted { tag } else { tag.trim_matches('"').to_owned() })
    }
}

/// Things in a directory, without those that no path leads to.
pub(super) struct Listed {
    pub(super) things: Vec<(CanonicalPath, Version)>,
    /// Whether there is anything else.
    pub(super) has_others: bool,
}

impl Files {
    pub(super) fn new(root: PathBuf, parts: PartFiles) -> Self {
        let turns = std::iter::repeat_with(Mutex::default).take(TURNS).collect();
        let gates = Gates::of(root.clone());
        Self(Arc::new(Kept { root, parts, turns, gates, told: std::sync::Mutex::default() }))
    }

    pub(super) fn gates(&self) -> &Gates {
        &self.0.gates
    }

    pub(super) fn sweep(&self) {
        self.0.parts.sweep();
    }

    /// What is there, if anything.
    pub(super) async fn find_version(&self, path: &CanonicalPath) -> io::Result<Option<Version>> {
        match beneath::find(&self.0.root, path).await {
            Ok(found) => Ok(Some(Version::of(&found.metadata()?))),
            Err(error) if beneath::is_absence(&error) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// A file, to be read as it is now.
    pub(super) async fn open_file(&self, path: &CanonicalPath) -> io::Result<Opened> {
        let found = beneath::find(&self.0.root, path).await?;
        beneath::on_a_thread_of_its_own(move || {
            let file = File::open(found.place())?;
            let version = Version::of(&file.metadata()?);
            let mut beginning = vec![0; SNIFFED_BYTES];
            let read = file.read_at(&mut beginning, 0)?;
            beginning.truncate(read);
            Ok(Opened { file, version, beginning })
        })
        .await
    }

    /// What is in a directory, in the order of names.
    pub(super) async fn list(&self, path: &CanonicalPath) -> io::Result<Listed> {
        let (found, place, path) = (beneath::find(&self.0.root, path).await?, self.clone(), path.clone());
        beneath::on_a_thread_of_its_own(move || list_in(&found, &path, |name| place.tell(&path, name))).await
    }

    /// Tells the log once which name cannot be served.
    fn tell(&self, path: &CanonicalPath, name: &OsStr) {
        let place = path.segments().iter().collect::<PathBuf>().join(name);
        let mut told = self.0.told.lock().unwrap_or_else(PoisonError::into_inner);
        if told.len() < MOST_TOLD && told.insert(place.clone()) {
            tracing::warn!(?place, "this name is not served: no path can name it in one way. Give it another one");
        }
    }

    /// One at a time changes a path.
    async fn turn(&self, path: &CanonicalPath) -> io::Result<MutexGuard<'_, ()>> {
        let mut hasher = DefaultHasher::new();
        path.segments().hash(&mut hasher);
        let at = hasher.finish().checked_rem(TURNS as u64).and_then(|at| usize::try_from(at).ok());
        let turn = at.and_then(|at| self.0.turns.get(at)).ok_or(io::ErrorKind::Other)?;
        Ok(turn.lock().await)
    }

    async fn begin(&self, call: &Call, path: &CanonicalPath) -> io::Result<Part> {
        let slot = beneath::find_slot(&self.0.root, path).await?;
        slot.find_file().inspect_err(|_| call.end(Ended::InTheWay))?;
        self.0.parts.begin(&slot).await
    }

    /// Waits until nobody judges what it is to be in. What a call replaces has gone by then: it holds nobody up with it.
    async fn enter(&self, call: &Call, path: &CanonicalPath) -> io::Result<GatePass> {
        call.let_go();
        self.0.gates.add(path.segments()).await.inspect_err(|_| call.end(Ended::Busy))
    }

    /// Takes its place, where the path leads by now.
    async fn put_in_place(&self, call: &Call, path: &CanonicalPath, part: &mut Part) -> io::Result<Version> {
        part.file.sync_all().await?;
        let pass = self.enter(call, path).await?;
        if !call.is_still_allowed().await {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let _turn = self.turn(path).await?;
        let slot = beneath::find_slot(&self.0.root, path).await?;
        let before = slot.find_file().inspect_err(|_| call.end(Ended::InTheWay))?;
        if let Some(found) = before.as_ref().filter(|_| call.method == http::Method::PUT) {
            properties::copy(&found.place(), part.place());
        }
        let before = before.map(|found| found.metadata()).transpose()?.map(|metadata| Version::of(&metadata));
        if !call.holds_for(path, before.as_ref()) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let metadata = part.become_file(slot, pass).await?;
        call.note(|outcome| outcome.is_new = Some(before.is_none()));
        Ok(Version::of(&metadata))
    }

    async fn remove(&self, call: &Call, path: &CanonicalPath, is_directory: bool) -> io::Result<()> {
        // what takes its place replaces it in one step
        if !is_directory && call.is_destination(path) && self.is_file(&call.path).await {
            return Ok(());
        }
        if !call.is_still_allowed().await {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let _turn = self.turn(path).await?;
        let slot = beneath::find_slot_of_directory(&self.0.root, path).await?;
        let found = slot.find()?;
        let version = Version::of(&found.metadata()?);
        let pass = call.pass();
        // what became another kind of thing meanwhile was not judged
        let is_judged = version.is_directory == is_directory && (!is_directory || pass.is_some());
        if !is_judged || !call.holds_for(path, Some(&version)) {
            call.end(Ended::Changed);
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        // from when it is not there any more nobody waits; what is to take its place goes first
        if call.destination.is_none() {
            call.let_go();
        }
        match is_directory {
            true => self.0.parts.remove_directory(slot, pass).await,
            false => change(pass, move || std::fs::remove_file(slot.place()).and_then(|()| sync_folder_of(&slot.place()))).await,
        }
    }

    async fn is_file(&self, path: &CanonicalPath) -> bool {
        self.find_version(path).await.is_ok_and(|version| version.is_some_and(|version| !version.is_directory))
    }

    async fn make_directory(&self, call: &Call, path: &CanonicalPath) -> io::Result<()> {
        let pass = self.enter(call, path).await?;
        if !call.is_still_allowed().await {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let slot = beneath::find_slot_of_directory(&self.0.root, path).await?;
        let source = match call.source_of(path) {
            Some(source) => beneath::find(&self.0.root, &source).await.ok(),
            None => None,
        };
        change(pass, move || {
            std::fs::create_dir(slot.place())?;
            if let Some(source) = source {
                properties::copy(&source.place(), &slot.place());
            }
            sync_folder_of(&slot.place())
        })
        .await
    }

    async fn move_to(&self, call: &Call, from: &CanonicalPath, to: &CanonicalPath) -> io::Result<()> {
        if !call.is_still_allowed().await {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let _turn = self.turn(from).await?;
        let source = beneath::find_slot_of_directory(&self.0.root, from).await?;
        let target = beneath::find_slot_of_directory(&self.0.root, to).await?;
        let version = Version::of(&source.find()?.metadata()?);
        let before = target.find().ok().map(|found| found.metadata()).transpose()?.map(|metadata| Version::of(&metadata));
        let Some(pass) = call.pass().filter(|_| call.holds_for(from, Some(&version)) && call.holds_for(to, before.as_ref()))
        else {
            return Err(io::ErrorKind::AlreadyExists.into());
        };
        change(pass, move || {
            std::fs::rename(source.place(), target.place())?;
            sync_folder_of(&target.place())?;
            sync_folder_of(&source.place())
        })
        .await
    }

    async fn copy_file(&self, call: &Call, from: &CanonicalPath, to: &CanonicalPath) -> io::Result<()> {
        if !(call.may_list(from.clone()).await && call.may_write(to.clone()).await) {
            return Err(io::ErrorKind::PermissionDenied.into());
        }
        let Opened { file, .. } = self.open_file(from).await?;
        let to = &to.without_slash();
        let mut part = self.begin(call, to).await?;
        properties::copy(Path::new(&format!("/proc/self/fd/{}", file.as_raw_fd())), part.place());
        tokio::io::copy(&mut tokio::fs::File::from_std(file), &mut part.file).await?;
        self.put_in_place(call, to, &mut part).await.map(|_| ())
    }
}

/// Changes something on a thread of its own, which goes on when its call is given up: until it is done, what it stands on and its
/// pass are held there.
async fn change(pass: impl Send + 'static, work: impl FnOnce() -> io::Result<()> + Send + 'static) -> io::Result<()> {
    beneath::on_a_thread_of_its_own(move || {
        let _pass = pass;
        work()
    })
    .await
}

fn list_in(found: &Found, path: &CanonicalPath, tell: impl Fn(&OsStr)) -> io::Result<Listed> {
    let beneath::DirectoryNames { served, unnamed, mut has_others } = beneath::list(found)?;
    unnamed.iter().for_each(|name| tell(name));
    let mut things = Vec::with_capacity(served.len());
    for beneath::ServedName { name, .. } in served {
        // what has just gone, or become something else, is not there
        match (path.join(&name), found.enter(&name).and_then(|found| found.metadata())) {
            (Some(below), Ok(metadata)) => things.push((below, Version::of(&metadata))),
            _ => has_others = true,
        }
    }
    things.sort_by(|(a, _), (b, _)| a.segments().cmp(b.segments()));
    Ok(Listed { things, has_others })
}

/// The one form of a path; what has none is not there.
fn canonical(path: &DavPath) -> FsResult<CanonicalPath> {
    let path = path.as_url_string();
    // what is above all is written as nothing there
    CanonicalPath::parse(if path.is_empty() { "/" } else { &path }).map_err(|()| FsError::NotFound)
}

fn fs_error(error: &io::Error) -> FsError {
    use io::ErrorKind::{
        AlreadyExists, CrossesDevices, FileTooLarge, InvalidFilename, IsADirectory, NotADirectory, NotFound, PermissionDenied,
        QuotaExceeded, ReadOnlyFilesystem, StorageFull,
    };
    match error.kind() {
        NotFound | NotADirectory => FsError::NotFound,
        AlreadyExists | IsADirectory => FsError::Exists,
        PermissionDenied | ReadOnlyFilesystem => FsError::Forbidden,
        InvalidFilename => FsError::PathTooLong,
        StorageFull | QuotaExceeded => FsError::InsufficientStorage,
        FileTooLarge => FsError::TooLarge,
        CrossesDevices => FsError::IsRemote,
        _ => {
            tracing::error!(%error, "a file cannot be served");
            FsError::GeneralFailure
        }
    }
}
