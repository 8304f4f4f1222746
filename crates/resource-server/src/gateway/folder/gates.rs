//! Who adds something to a directory, and who judges all that is in one, at one time (decision 45). Whoever moves, deletes or
//! replaces a directory *judges*: from the first look at its members until it has gone, nothing comes into it, so that what was
//! judged is what goes. Whoever puts something in its place *adds*, and does that in one short step: a body is received before.
//! Only what is below a judged place waits, and only for whoever judges at that moment. Called by `folder.rs` and [`super::files`].

use std::io;
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
    state: Arc<Mutex<GateState>>,
    longest_wait: Duration,
}

impl Default for Gates {
    fn default() -> Self {
        Self { state: Arc::default(), longest_wait: LONGEST_WAIT }
    }
}

#[derive(Default)]
struct GateState {
    next: u64,
    /// In the order in which they came.
    entries: Vec<GateEntry>,
}

struct GateEntry {
    number: u64,
    places: Vec<Names>,
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
        let is_within = |inner: &Self, outer: &Self| {
            outer.judges() && inner.places.iter().any(|inner| outer.places.iter().any(|outer| inner.starts_with(outer)))
        };
        is_within(self, other) || is_within(other, self)
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
        // some disks take one name for another: whoever may mean the same place waits
        let alike = |names: &&[String]| names.iter().map(|name| likeness(name)).collect();
        let places = places.iter().map(alike).collect();
        let (wakes, woken) = oneshot::channel();
        // whoever goes away while waiting drops it
        let pass = {
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
            if !is_stopped {
                state.wake(number);
            }
            GatePass { gates: self.clone(), number }
        };
        match tokio::time::timeout(self.longest_wait, woken).await {
            Ok(Ok(())) => Ok(pass),
            _ => Err(io::ErrorKind::TimedOut.into()),
        }
    }

    #[cfg(test)]
    pub(super) fn count_waiting(&self) -> usize {
        self.state().entries.iter().filter(|entry| !entry.is_in()).count()
    }
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
mod tests {
    use super::*;
    use futures_util::FutureExt;
    use futures_util::future::BoxFuture;

    fn names(path: &str) -> Names {
        path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// `+` adds, `-` judges; then where.
    fn enter(gates: &Gates, what: &'static str) -> BoxFuture<'static, io::Result<GatePass>> {
        let gates = gates.clone();
        async move {
            let (kind, places) = what.split_at(1);
            match kind {
                "+" => gates.add(&names(places)).await,
                _ => {
                    let places: Vec<Names> = places.split(' ').map(names).collect();
                    gates.judge(&places.iter().map(Vec::as_slice).collect::<Vec<_>>(), "bob").await
                }
            }
        }
        .boxed()
    }

    #[tokio::test]
    async fn only_who_judges_a_place_keeps_others_out_of_it() {
        for (first, second, waits) in [
            ("+/a/b", "+/a/b", false),
            ("-/a", "+/a/b/c", true),
            ("-/a", "+/a", true),
            ("-/a", "+/ab", false),
            ("-/a/b", "+/a/c", false),
            ("-/a/b", "+/a", false),
            ("+/a/b/c", "-/a", true),
            ("+/a", "-/a/b", false),
            ("-/a", "-/a/b", true),
            ("-/a/b", "-/a", true),
            ("-/a /b", "-/c /b/d", true),
            ("-/a /b", "+/b/x", true),
            ("-/a", "-/b", false),
            ("-/caf\u{e9}", "+/Cafe\u{301}/1", true),
        ] {
            let gates = Gates::default();
            let pass = enter(&gates, first).await.unwrap();
            let mut other = enter(&gates, second);
            let begun = other.as_mut().now_or_never();
            assert_eq!(begun.is_none(), waits, "{first} {second}");
            drop(pass);
            if waits {
                assert!(other.now_or_never().unwrap().is_ok(), "{first} {second}");
            }
        }
    }

    /// However many judge one after another, who adds waits for one of them, and who judges is not kept waiting by who adds.
    #[tokio::test]
    async fn who_adds_waits_for_one_who_judges_at_most() {
        let gates = Gates::default();
        let first = enter(&gates, "-/a").await.unwrap();
        let mut second = enter(&gates, "-/a");
        assert!(second.as_mut().now_or_never().is_none());
        let mut adds = enter(&gates, "+/a/1");
        assert!(adds.as_mut().now_or_never().is_none());
        drop(first);
        let added = adds.now_or_never().unwrap().unwrap();
        assert!(second.as_mut().now_or_never().is_none(), "who adds is in");
        let mut later = enter(&gates, "+/a/2");
        assert!(later.as_mut().now_or_never().is_none(), "who judges has waited longer");
        drop(added);
        let judges = second.now_or_never().unwrap().unwrap();
        assert!(later.as_mut().now_or_never().is_none());
        drop(judges);
        assert!(later.now_or_never().unwrap().is_ok());
        assert!(gates.state().entries.is_empty());
    }

    #[tokio::test]
    async fn who_goes_away_while_waiting_stops_nobody() {
        let gates = Gates::default();
        let adds = enter(&gates, "+/a/1").await.unwrap();
        let mut judges = enter(&gates, "-/a");
        assert!(judges.as_mut().now_or_never().is_none());
        let mut later = enter(&gates, "+/a/2");
        assert!(later.as_mut().now_or_never().is_none());
        drop(judges);
        assert!(later.now_or_never().unwrap().is_ok());
        drop(adds);
        assert_eq!(gates.state().entries.len(), 0);
    }

    #[tokio::test]
    async fn one_caller_stands_in_the_way_of_others_so_often() {
        let gates = Gates::default();
        let mut waiting = Vec::new();
        for _ in 0..MOST_OF_ONE {
            let mut judges = enter(&gates, "-/a");
            let begun = judges.as_mut().now_or_never();
            waiting.push((begun, judges));
        }
        let refused = enter(&gates, "-/a/b").now_or_never().unwrap();
        assert_eq!(refused.err().map(|error| error.kind()), Some(io::ErrorKind::ResourceBusy));
        assert!(enter(&gates, "-/b").now_or_never().unwrap().is_ok(), "elsewhere");
        let others = gates.judge(&[&names("/a")], "alice").now_or_never();
        assert!(others.is_none(), "another's waits for its turn");
    }

    #[tokio::test]
    async fn nobody_waits_for_ever() {
        let gates = Gates { longest_wait: Duration::ZERO, ..Gates::default() };
        let _first = enter(&gates, "-/a").await.unwrap();
        let late = enter(&gates, "+/a/1").await;
        assert_eq!(late.err().map(|error| error.kind()), Some(io::ErrorKind::TimedOut));
        assert_eq!(gates.count_waiting(), 0);
    }
}
