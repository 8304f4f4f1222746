//! What is in the folder, by owner and in the order of own ids. Each directory is read once, and again when it has changed:
//! a page of an owner's list costs by the page, and not by how much is there.

use super::beneath::{self, Found};
use super::path::CanonicalPath;
use super::route::{self, Matched, OwnerOf, Route};
use super::{Behind, Gateway};
use crate::protection::ProtectionError;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};
use types::OwnResourceId;

/// A directory that changed so shortly before it was read may have changed again in the same tick of its clock.
const CLOCK_TICK: Duration = Duration::from_secs(2);
/// A folder of more directories is not looked through for each list, but once in this time.
const FEW_DIRECTORIES: usize = 64;
const MANY_DIRECTORIES_FRESH: Duration = Duration::from_secs(1);
/// Whoever reads page after page goes on in what was there at most so long ago.
const SNAPSHOT: Duration = Duration::from_secs(10);

/// Directories below one another that are looked into.
const MOST_LEVELS: usize = 128;

/// What a directory holds: files and directories. Names that begin with a dot, links, pipes and devices are not there.
#[derive(Debug, PartialEq, Eq)]
struct Entry {
    name: String,
    is_directory: bool,
}

/// Which directory it is, and when it changed: the time at which that was noted is nobody's to set.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    changed: (i64, i64),
    noted: (i64, i64),
}

impl Stamp {
    fn of(found: &Found) -> io::Result<Self> {
        let metadata = std::fs::metadata(found.place())?;
        let (changed, noted) = ((metadata.mtime(), metadata.mtime_nsec()), (metadata.ctime(), metadata.ctime_nsec()));
        Ok(Self { device: metadata.dev(), inode: metadata.ino(), changed, noted })
    }

    fn is_settled(&self, now: SystemTime) -> bool {
        let seconds = u64::try_from(self.noted.0.max(self.changed.0)).unwrap_or_default();
        now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).is_ok_and(|age| age > CLOCK_TICK)
    }
}

#[derive(Default)]
struct Directory {
    stamp: Stamp,
    /// It was read long enough after that.
    is_settled: bool,
    entries: Vec<Entry>,
}

/// A directory that is still to be looked into, and the one that it was seen in.
struct Unseen {
    place: PathBuf,
    name: String,
    level: usize,
    above: Option<Arc<Found>>,
}

impl Unseen {
    /// Entered from the directory that it was seen in, and not by its path: what has become a link meanwhile leads nowhere.
    fn open(&self, root: &Path) -> io::Result<Found> {
        let found = match &self.above {
            Some(above) => above.enter(&self.name),
            None => beneath::open_root(root),
        }?;
        if found.is_directory { Ok(found) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    #[cfg(test)]
    fn enter(&self, root: &Path) -> Option<Found> {
        self.open(root).ok()
    }

    fn below(&self, name: &str, found: &Arc<Found>) -> Option<Self> {
        let below = || Self {
            place: self.place.join(name),
            name: name.to_owned(),
            level: self.level.saturating_add(1),
            above: Some(found.clone()),
        };
        (self.level < MOST_LEVELS).then(below)
    }
}

/// Own ids with a path that leads to each.
pub(super) type Hers = BTreeMap<OwnResourceId, String>;

/// Everything that a route leads to, where the path alone says whose it is.
#[derive(Default)]
pub(super) struct Content {
    all: HashMap<String, Hers>,
    /// Names to which no path leads, by whose they would be.
    unnamed: HashMap<String, Vec<String>>,
    unread: Unread,
}

/// Whose things may be where nobody could look.
#[derive(Default)]
struct Unread {
    owners: HashSet<String>,
    /// Those of anybody.
    is_everyones: bool,
}

impl Content {
    pub(super) fn of(&self, owner: &str) -> Option<&Hers> {
        self.all.get(owner)
    }

    /// Names of an owner's files and directories to which no path leads: nothing is registered for them.
    pub(super) fn unnamed_of(&self, owner: &str) -> &[String] {
        self.unnamed.get(owner).map(Vec::as_slice).unwrap_or_default()
    }

    /// An error: there may be more of this owner's than is known. What cannot be read is neither gone nor empty.
    pub(super) fn check_whole(&self, owner: &str) -> Result<(), ProtectionError> {
        match self.unread.is_everyones || self.unread.owners.contains(owner) {
            true => Err(ProtectionError::Store),
            false => Ok(()),
        }
    }

    pub(super) fn has(&self, owner: &str, own_id: &OwnResourceId) -> bool {
        self.of(owner).is_some_and(|hers| hers.contains_key(own_id))
    }

    /// The next so many of an owner's.
    pub(super) fn ids_after(&self, owner: &str, after: Option<&OwnResourceId>, limit: usize) -> Vec<OwnResourceId> {
        use std::ops::Bound::{Excluded, Unbounded};
        let from = after.map_or(Unbounded, Excluded);
        let ids = self.of(owner).into_iter().flat_map(|hers| hers.range::<OwnResourceId, _>((from, Unbounded)));
        ids.take(limit).map(|(own_id, _)| own_id.clone()).collect()
    }
}

/// What was seen of the folder.
#[derive(Default)]
struct Seen {
    directories: HashMap<PathBuf, Directory>,
    /// Directories that could not be looked into.
    unread: HashSet<PathBuf>,
    content: Arc<Content>,
    /// Under which routes.
    routes: Option<Arc<Vec<Route>>>,
    looked: Option<Instant>,
}

/// The folder, as it was last seen.
#[derive(Default)]
pub(super) struct Contents(Arc<tokio::sync::Mutex<Seen>>);

impl Gateway {
    /// What is in the folder now.
    pub(super) async fn content_now(&self) -> Arc<Content> {
        self.content_within(|_| Duration::ZERO).await
    }

    /// The same for a list: of a folder of many directories, what was there a moment ago; who goes on reading is given what
    /// was there when they began.
    pub(super) async fn content_for_page(&self, is_first: bool) -> Arc<Content> {
        let age = move |directories: usize| match is_first {
            true if directories <= FEW_DIRECTORIES => Duration::ZERO,
            true => MANY_DIRECTORIES_FRESH,
            false => SNAPSHOT,
        };
        self.content_within(age).await
    }

    /// Whether something of an owner's is in the folder.
    pub(super) async fn is_there(&self, owner: &str, own_id: &OwnResourceId) -> Result<bool, ProtectionError> {
        if self.content_for_page(true).await.has(owner, own_id) {
            return Ok(true);
        }
        let now = self.content_now().await;
        if now.has(owner, own_id) { Ok(true) } else { now.check_whole(owner).map(|()| false) }
    }

    /// `age`: how old it may be, by how many directories there are.
    async fn content_within(&self, age: impl Fn(usize) -> Duration) -> Arc<Content> {
        let Behind::Folder(root) = &self.settings.behind else { return Arc::new(Content::of_routes(&self.routes())) };
        let mut seen = self.contents.0.clone().lock_owned().await;
        let routes = self.routes();
        let is_same = seen.routes.as_ref().is_some_and(|known| Arc::ptr_eq(known, &routes));
        let age = age(seen.directories.len());
        if is_same && seen.looked.is_some_and(|looked| looked.elapsed() < age) {
            return seen.content.clone();
        }
        let now = SystemTime::UNIX_EPOCH + Duration::from_millis(self.client.clock.now_millis().try_into().unwrap_or_default());
        let root = root.clone();
        // the disk may be slow, and others have calls to answer
        let looked = tokio::task::spawn_blocking(move || {
            seen.look(&root, routes, now);
            seen.content.clone()
        });
        let nobody_looked = || Content { unread: Unread { is_everyones: true, ..Unread::default() }, ..Content::default() };
        looked.await.unwrap_or_else(|_| Arc::new(nobody_looked()))
    }
}

impl Seen {
    fn look(&mut self, root: &Path, routes: Arc<Vec<Route>>, now: SystemTime) {
        let is_same = self.routes.as_ref().is_some_and(|known| Arc::ptr_eq(known, &routes));
        let mut before = std::mem::take(&mut self.directories);
        let unread_before = std::mem::take(&mut self.unread);
        let (mut has_changed, known) = (!is_same, before.len());
        let mut open = vec![Unseen { place: root.to_owned(), name: String::new(), level: 0, above: None }];
        while let Some(unseen) = open.pop() {
            let known = before.remove(&unseen.place);
            let opened = unseen.open(root).and_then(|found| Ok((directory_at(&found, known, now, &mut has_changed)?, found)));
            let directory = match opened {
                Ok((directory, found)) => {
                    let (below, found) = (directory.entries.iter().filter(|entry| entry.is_directory), Arc::new(found));
                    open.extend(below.filter_map(|entry| unseen.below(&entry.name, &found)));
                    directory
                }
                Err(error) => {
                    has_changed = true;
                    self.miss(&unseen.place, &error, &unread_before);
                    Directory::default()
                }
            };
            self.directories.insert(unseen.place, directory);
        }
        if has_changed || self.directories.len() != known {
            self.content = Arc::new(self.sorted(root, &routes));
        }
        self.routes = Some(routes);
        self.looked = Some(Instant::now());
    }

    /// Notes a directory that could not be looked into. One that has gone meanwhile is none.
    fn miss(&mut self, place: &Path, error: &io::Error, before: &HashSet<PathBuf>) {
        if beneath::is_absence(error) {
            return;
        }
        if !before.contains(place) {
            tracing::error!(%error, place = %place.display(), "a directory cannot be read: nothing is concluded from it");
        }
        self.unread.insert(place.to_owned());
    }

    /// By owner and own id.
    fn sorted(&self, root: &Path, routes: &[Route]) -> Content {
        let mut content = Content::default();
        content.unread.is_everyones = self.unread.contains(root);
        if let Ok(top) = CanonicalPath::parse("/") {
            content.add(routes, &top);
        }
        let mut open: Vec<_> = CanonicalPath::parse("/").map(|top| (root.to_owned(), top)).into_iter().collect();
        while let Some((place, path)) = open.pop() {
            for entry in self.directories.get(&place).into_iter().flat_map(|directory| &directory.entries) {
                let Some(canonical) = path.join(&entry.name) else {
                    content.leave_out(routes, &path, &entry.name);
                    continue;
                };
                content.add(routes, &canonical);
                if entry.is_directory {
                    content.add(routes, &canonical.with_slash());
                    if self.unread.contains(&place.join(&entry.name)) {
                        content.miss(routes, &canonical);
                    }
                    open.push((place.join(&entry.name), canonical));
                }
            }
        }
        content
    }
}

impl Content {
    /// Of a service: what the routes name whole, and whose. What else is there, the service alone knows.
    fn of_routes(routes: &[Route]) -> Self {
        let mut content = Self::default();
        for guarded in routes.iter().filter_map(Route::guarded) {
            let OwnerOf::Named(owner) = &guarded.owner else { continue };
            let hers = content.all.entry(owner.clone()).or_default();
            hers.extend(guarded.only_ids().map(|id| (OwnResourceId::new(id.clone()), id)));
        }
        content
    }

    /// What only a call can say whose it is, is registered by that call.
    fn add(&mut self, routes: &[Route], path: &CanonicalPath) {
        let Some(Matched::Guarded(matched)) = route::find(routes, path) else { return };
        let Some(owner) = matched.owner else { return };
        let hers = self.all.entry(owner).or_default();
        hers.entry(OwnResourceId::new(matched.own_id)).or_insert_with(|| path.encoded().to_owned());
    }

    /// A name in a place that no path can hold: nothing is registered for it, and whose it would be hears of it.
    fn leave_out(&mut self, routes: &[Route], place: &CanonicalPath, name: &str) {
        let below = routes.iter().flat_map(|route| route.find_below(place, |_| false));
        for owner in below.filter_map(|below| below.owner).collect::<HashSet<_>>() {
            self.unnamed.entry(owner).or_default().push(name.to_owned());
        }
    }

    /// Nobody could look into this directory: whose things a route leads to below it is not told whole.
    fn miss(&mut self, routes: &[Route], path: &CanonicalPath) {
        let is_by_path = |owner: &OwnerOf| matches!(owner, OwnerOf::Named(_) | OwnerOf::Path(_));
        let by_path = routes.iter().filter(|route| route.guarded().is_some_and(|guarded| is_by_path(&guarded.owner)));
        for below in by_path.flat_map(|route| route.find_below(path, |_| false)) {
            match below.owner {
                Some(owner) => drop(self.unread.owners.insert(owner)),
                None => self.unread.is_everyones = true,
            }
        }
    }
}

/// A directory as it is now; what was read before, where it has not changed since.
fn directory_at(found: &Found, before: Option<Directory>, now: SystemTime, has_changed: &mut bool) -> io::Result<Directory> {
    let stamp = Stamp::of(found)?;
    match before {
        Some(before) if before.stamp == stamp && before.is_settled => Ok(before),
        before => {
            let mut entries = entries_of(&found.place())?;
            entries.sort_by(|a, b| a.name.cmp(&b.name));
            *has_changed |= before.is_none_or(|before| before.entries != entries);
            Ok(Directory { stamp, is_settled: stamp.is_settled(now), entries })
        }
    }
}

fn entries_of(place: &Path) -> io::Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in std::fs::read_dir(place)? {
        let entry = entry?;
        let kind = match entry.file_type() {
            Ok(kind) => kind,
            // it went while it was looked at
            Err(error) if beneath::is_absence(&error) => continue,
            Err(error) => return Err(error),
        };
        let name = entry.file_name().into_string().ok().filter(|name| !name.starts_with('.'));
        let is_there = kind.is_file() || kind.is_dir();
        entries.extend(name.filter(|_| is_there).map(|name| Entry { name, is_directory: kind.is_dir() }));
    }
    Ok(entries)
}

#[cfg(test)]
mod tests;

#[cfg(test)]
mod unread_tests {
    use super::*;
    use crate::gateway::tests::world::route_with;

    #[test]
    fn threat_40_s22_what_cannot_be_read_hides_only_whose_it_may_be() {
        let of_person = |path: &str| route_with(path, |guarded| guarded.owner = OwnerOf::Path("person".into()));
        let routes = vec![of_person("/{person}/{album}/{photo}"), of_person("/shared/{topic}/{person}/{file}")];
        let whole = |missed: &str| {
            let mut content = Content::default();
            content.miss(&routes, &CanonicalPath::parse(missed).unwrap());
            ["alice", "mallory"].map(|owner| content.check_whole(owner).is_ok())
        };
        assert_eq!(whole("/mallory"), [true, false]);
        assert_eq!(whole("/mallory/sub"), [true, false]);
        assert_eq!(whole("/lost+found"), [true, true]);
        assert_eq!(whole("/mallory/sub/below"), [true, true], "no route leads there");
        assert_eq!(whole("/shared"), [false, false], "a route says below it whose it is");
        assert_eq!(whole("/shared/news/alice"), [false, true]);
    }

    #[test]
    fn threat_40_s22_only_what_is_not_there_is_gone() {
        use io::ErrorKind::*;
        let gone = [NotFound, NotADirectory, InvalidFilename];
        let unknown = [PermissionDenied, Other, TimedOut, Interrupted, OutOfMemory, StaleNetworkFileHandle, ResourceBusy];
        assert!(gone.iter().all(|kind| beneath::is_absence(&(*kind).into())));
        assert!(!unknown.iter().any(|kind| beneath::is_absence(&(*kind).into())));
        for code in [5, 12, 13, 23, 24] {
            assert!(!beneath::is_absence(&io::Error::from_raw_os_error(code)), "{code}");
        }
    }
}
