//! Who adds something to a directory, and who judges all that is in one, at one time (decision 45). Whoever moves, deletes or
//! replaces a directory *judges*: from the first look at its members until it has gone, nothing comes into it, so that what was
//! judged is what goes. Whoever puts something in its place *adds*, and does that in one short step: a body is received before.
//! Only what is below a judged place waits, and only for whoever judges at that moment. Some disks take one name for another: names
//! that are alike are one place until a look shows that two things have them. Called by `folder.rs` and [`super::files`].

use super::super::beneath;
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;
use types::spelling::likeness;

/// How long somebody waits at a gate, and how long somebody looks at what is in a directory.
const LONGEST_WAIT: Duration = Duration::from_secs(30);
pub(super) const LONGEST_JUDGING: Duration = Duration::from_secs(10);
/// So many of one caller judge or wait to judge what is in each other: the next is refused.
const MOST_OF_ONE: usize = 16;

/// Names of a path.
type Names = Vec<String>;

#[derive(Clone)]
pub(super) struct Gates {
    /// The folder.
    root: PathBuf,
    state: Arc<Mutex<GateState>>,
    longest_wait: Duration,
}

/// Which file or directory something is, for as long as it is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    device: u64,
    inode: u64,
}

/// Where somebody is, or waits.
struct Place {
    names: Names,
    /// What some disk could take them for.
    likenesses: Names,
    /// What has these names, as far as somebody looked: nobody takes it away before whoever is at this place has left.
    seen: Vec<Option<Identity>>,
}

impl Place {
    fn new(names: &[String]) -> Self {
        let likenesses = names.iter().map(|name| likeness(name)).collect();
        Self { names: names.to_vec(), likenesses, seen: Vec::new() }
    }

    fn is_exactly_within(&self, outer: &Self) -> bool {
        self.names.starts_with(&outer.names)
    }

    /// Whether it is another one, or in it, for all that is known.
    fn is_within(&self, outer: &Self) -> bool {
        let seen = |place: &Self, at: usize| place.seen.get(at).copied().flatten();
        let is_another = |at: usize| match (seen(self, at), seen(outer, at)) {
            (Some(own), Some(others)) => own != others && self.names.get(at) != outer.names.get(at),
            _ => false,
        };
        self.likenesses.starts_with(&outer.likenesses) && !(0..outer.names.len()).any(is_another)
    }
}

/// A place of somebody's, to be looked at.
struct Doubt {
    number: u64,
    at: usize,
    names: Names,
}

#[derive(Default)]
struct GateState {
    next: u64,
    /// In the order in which they came.
    entries: Vec<GateEntry>,
}

struct GateEntry {
    number: u64,
    places: Vec<Place>,
    /// Who judges; none: it adds.
    judge: Option<String>,
    /// By which it is told that it may go on; none: it is in.
    wakes: Option<oneshot::Sender<()>>,
}

/// Somebody is in, until this is dropped.
pub(super) struct GatePass {
    gates: Gates,
    number: u64,
}

impl GateEntry {
    fn is_in(&self) -> bool {
        self.wakes.is_none()
    }

    fn judges(&self) -> bool {
        self.judge.is_some()
    }

    /// Whether one of them judges what the other one changes.
    fn meets(&self, other: &Self) -> bool {
        self.meets_by(other, Place::is_within)
    }

    fn meets_by(&self, other: &Self, is_within: fn(&Place, &Place) -> bool) -> bool {
        let judges_it = |inner: &Self, outer: &Self| {
            outer.judges() && inner.places.iter().any(|inner| outer.places.iter().any(|outer| is_within(inner, outer)))
        };
        judges_it(self, other) || judges_it(other, self)
    }

    fn list_doubts(&self) -> Vec<Doubt> {
        let unseen = self.places.iter().enumerate().filter(|(_, place)| place.seen.is_empty());
        unseen.map(|(at, place)| Doubt { number: self.number, at, names: place.names.clone() }).collect()
    }
}

impl GateState {
    /// Whether somebody waits in front of this one, or is in, so that it has to wait.
    fn is_stopped(&self, entry: &GateEntry) -> bool {
        self.entries.iter().any(|other| {
            let is_before = other.number < entry.number;
            // who adds minds only who judges; who judges minds everybody who is in, and who judges before it
            other.number != entry.number && (other.is_in() || other.judges() && is_before) && other.meets(entry)
        })
    }

    /// Places that have to be looked at before it is known who stops this one, or whom it stops.
    fn find_doubts(&self, number: u64) -> Vec<Doubt> {
        let Some(entry) = self.entries.iter().find(|entry| entry.number == number) else { return Vec::new() };
        let others = self.entries.iter().filter(|other| other.number != number && other.meets(entry));
        let alike: Vec<_> = others.filter(|other| !other.meets_by(entry, Place::is_exactly_within)).collect();
        let own = alike.first().map(|_| entry);
        alike.iter().copied().chain(own).flat_map(GateEntry::list_doubts).collect()
    }

    /// Lets in whom nobody stops, now that it is known what has these names.
    fn see(&mut self, looked: Vec<(Doubt, Vec<Option<Identity>>)>) {
        for (doubt, seen) in looked {
            let entry = self.entries.iter_mut().find(|entry| entry.number == doubt.number);
            if let Some(place) = entry.and_then(|entry| entry.places.get_mut(doubt.at)) {
                place.seen = seen;
            }
        }
        let waiting = self.entries.iter().filter(|entry| !entry.is_in()).map(|entry| entry.number);
        for number in waiting.collect::<Vec<_>>() {
            if self.entries.iter().any(|entry| entry.number == number && !self.is_stopped(entry)) {
                self.wake(number);
            }
        }
    }

    fn wake(&mut self, number: u64) {
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.number == number)
            && let Some(wakes) = entry.wakes.take()
        {
            // whoever does not wait any more takes itself away
            let _ = wakes.send(());
        }
    }

    /// Lets in whom nobody stops any more. Who waited to add while somebody judged goes before the next who judges: nobody
    /// keeps others from writing by judging again and again.
    fn go_on(&mut self, gone: &GateEntry) {
        let has_judged = gone.judges() && gone.is_in();
        let is_free = |state: &Self, entry: &GateEntry| match has_judged && !entry.judges() && gone.meets(entry) {
            true => !state.entries.iter().any(|other| other.is_in() && other.meets(entry)),
            false => !state.is_stopped(entry),
        };
        for adds in [true, false] {
            let waiting = self.entries.iter().filter(|entry| !entry.is_in() && entry.judges() != adds);
            for number in waiting.map(|entry| entry.number).collect::<Vec<_>>() {
                let found = self.entries.iter().find(|entry| entry.number == number);
                if found.is_some_and(|entry| is_free(self, entry)) {
                    self.wake(number);
                }
            }
        }
    }
}

impl Gates {
    pub(super) fn of(root: PathBuf) -> Self {
        Self { root, state: Arc::default(), longest_wait: LONGEST_WAIT }
    }

    /// To put something in its place.
    pub(super) async fn add(&self, place: &[String]) -> io::Result<GatePass> {
        self.enter(&[place], None).await
    }

    /// To judge what is at these places and below, and to change it.
    pub(super) async fn judge(&self, places: &[&[String]], principal: &str) -> io::Result<GatePass> {
        self.enter(places, Some(principal.to_owned())).await
    }

    fn state(&self) -> MutexGuard<'_, GateState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn enter(&self, places: &[&[String]], judge: Option<String>) -> io::Result<GatePass> {
        let places = places.iter().map(|names| Place::new(names)).collect();
        let (wakes, woken) = oneshot::channel();
        // whoever goes away while waiting drops it
        let (pass, doubts) = {
            let mut state = self.state();
            let number = state.next;
            state.next = number.wrapping_add(1);
            let entry = GateEntry { number, places, judge, wakes: Some(wakes) };
            let is_of_one = |other: &&GateEntry| other.judges() && other.judge == entry.judge && other.meets(&entry);
            if entry.judges() && state.entries.iter().filter(is_of_one).count() >= MOST_OF_ONE {
                return Err(io::ErrorKind::ResourceBusy.into());
            }
            let is_stopped = state.is_stopped(&entry);
            state.entries.push(entry);
            let doubts = if is_stopped { state.find_doubts(number) } else { Vec::new() };
            if !is_stopped {
                state.wake(number);
            }
            (GatePass { gates: self.clone(), number }, doubts)
        };
        if !doubts.is_empty() {
            self.look(doubts).await?;
        }
        match tokio::time::timeout(self.longest_wait, woken).await {
            Ok(Ok(())) => Ok(pass),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    async fn look(&self, doubts: Vec<Doubt>) -> io::Result<()> {
        let root = self.root.clone();
        let look = move || {
            let seen = |doubt: Doubt| {
                let seen = identify(&root, &doubt.names);
                (doubt, seen)
            };
            Ok(doubts.into_iter().map(seen).collect())
        };
        let looked = beneath::on_a_thread_of_its_own(look).await?;
        self.state().see(looked);
        Ok(())
    }

    #[cfg(test)]
    pub(super) fn count_waiting(&self) -> usize {
        self.state().entries.iter().filter(|entry| !entry.is_in()).count()
    }
}

/// What has each of these names now; nothing is known of what is not there.
fn identify(root: &Path, names: &[String]) -> Vec<Option<Identity>> {
    let mut found = beneath::open_root(root).ok();
    let mut seen = Vec::with_capacity(names.len());
    for name in names {
        found = found.take().filter(|above| above.is_directory).and_then(|above| above.enter(name).ok());
        let metadata = found.as_ref().and_then(|found| found.metadata().ok());
        seen.push(metadata.map(|metadata| Identity { device: metadata.dev(), inode: metadata.ino() }));
    }
    seen
}

impl Drop for GatePass {
    fn drop(&mut self) {
        let mut state = self.gates.state();
        if let Some(at) = state.entries.iter().position(|entry| entry.number == self.number) {
            let gone = state.entries.remove(at);
            state.go_on(&gone);
        }
    }
}

#[cfg(test)]
#[path = "gates_tests.rs"]
mod tests;
