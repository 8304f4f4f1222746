//! A line before a place where only so many may be at a time (row 46): calls to one place elsewhere, questions that a server is
//! asked for strangers. Whoever comes is of a party, such as a region, a network in it and a host in that. Of those that
//! wait, the widest party with the fewest inside comes next, and of several with as many, the one whose turn was longest ago;
//! within it the same, down to the order in which they came. So each of many parties gets as much as every other, however many
//! calls it makes. Where too many wait, the last of the party with most that wait has to leave. Whose party was not said is of
//! one party with all others of that kind: to forget it is no way past anybody.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::oneshot;

/// Lines that are remembered while nobody is in them.
const MOST_LINES: usize = 1_000;

/// So many names of a party are told apart: whoever asks, what for, and where the caller comes from.
const WIDTHS: usize = 5;

/// Of whom somebody is, the widest first. A name counts within the wider ones: the same one in another party is another.
#[derive(Clone, Debug, Default)]
pub struct Party(Arc<[String]>);

impl Party {
    pub fn new(names: impl IntoIterator<Item = String>) -> Self {
        Self(names.into_iter().collect())
    }

    /// The same as a part of a wider one.
    #[must_use]
    pub fn within(&self, wider: &Self) -> Self {
        Self(wider.0.iter().chain(self.0.iter()).cloned().collect())
    }

    /// A name for each width, which nobody else has. What is not told is one name like every other.
    fn path(&self) -> Path {
        let (mut path, mut names) = (String::new(), self.0.iter());
        Path(Arc::new([(); WIDTHS].map(|()| {
            let name = names.next().map_or("", String::as_str);
            path.push_str(&format!("{}:{name}", name.len()));
            path.clone()
        })))
    }
}

/// The names of a party as a line counts them.
#[derive(Clone)]
struct Path(Arc<[String; WIDTHS]>);

/// How many may be inside, and how many may wait.
#[derive(Clone, Copy, Debug)]
pub struct Room {
    pub inside: usize,
    pub waiting: usize,
}

/// What one name has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Share {
    inside: usize,
    waiting: usize,
    /// The last turn that was given to it, or to anybody before it came.
    last_turn: u64,
}

/// Somebody who waits.
struct Waiter {
    number: u64,
    party: Path,
    turn: oneshot::Sender<Place>,
}

struct State {
    room: Room,
    inside: usize,
    /// In the order in which they came.
    waiting: Vec<Waiter>,
    shares: HashMap<String, Share>,
    turns: u64,
    last_number: u64,
}

/// One line.
#[derive(Clone)]
struct Line(Arc<Mutex<State>>);

/// A place inside, given to the next when it is dropped.
#[must_use]
pub struct Place {
    line: Line,
    party: Path,
}

/// Who waits leaves the line when this is dropped.
struct Waiting {
    line: Line,
    number: u64,
}

impl State {
    /// Of those that wait, those of the widest party that has the least, as `rank` says it, and in it the same down to the
    /// narrowest; in the order in which they came.
    fn least<R: Ord>(&self, rank: impl Fn(Share) -> R) -> Vec<&Waiter> {
        let mut left: Vec<&Waiter> = self.waiting.iter().collect();
        for width in 0..WIDTHS {
            let rank = |waiter: &Waiter| {
                let share = waiter.party.0.get(width).and_then(|name| self.shares.get(name));
                rank(share.copied().unwrap_or_default())
            };
            if left.len() < 2 {
                break;
            }
            let ranks: Vec<R> = left.iter().map(|waiter| rank(waiter)).collect();
            let Some(least) = ranks.iter().min() else { break };
            left = left.iter().zip(&ranks).filter(|(_, rank)| *rank == least).map(|(waiter, _)| *waiter).collect();
        }
        left
    }

    /// Changes what a party has; one that has nothing any more is forgotten.
    fn change(&mut self, party: &Path, change: impl Fn(&mut Share)) {
        for name in party.0.iter() {
            let new = Share { last_turn: self.turns, ..Share::default() };
            let share = self.shares.entry(name.clone()).or_insert(new);
            change(share);
            if share.inside == 0 && share.waiting == 0 {
                self.shares.remove(name);
            }
        }
    }

    fn admit(&mut self, party: &Path) {
        self.inside = self.inside.saturating_add(1);
        self.turns = self.turns.saturating_add(1);
        let turn = self.turns;
        self.change(party, |share| {
            share.inside = share.inside.saturating_add(1);
            share.last_turn = turn;
        });
    }

    fn leave(&mut self, party: &Path) {
        self.inside = self.inside.saturating_sub(1);
        self.change(party, |share| share.inside = share.inside.saturating_sub(1));
    }

    fn push(&mut self, party: &Path, turn: oneshot::Sender<Place>) -> u64 {
        self.last_number = self.last_number.saturating_add(1);
        self.change(party, |share| share.waiting = share.waiting.saturating_add(1));
        self.waiting.push(Waiter { number: self.last_number, party: party.clone(), turn });
        self.last_number
    }

    fn remove(&mut self, number: u64) -> Option<Waiter> {
        let at = self.waiting.iter().position(|waiter| waiter.number == number)?;
        let waiter = self.waiting.remove(at);
        self.change(&waiter.party, |share| share.waiting = share.waiting.saturating_sub(1));
        Some(waiter)
    }

    /// Whose turn is next, if anybody may come in.
    fn next(&mut self) -> Option<Waiter> {
        if self.inside >= self.room.inside {
            return None;
        }
        let number = self.least(|share| (share.inside, share.last_turn)).first()?.number;
        let next = self.remove(number)?;
        self.admit(&next.party);
        Some(next)
    }

    /// Who has to leave, where too many wait.
    fn evict(&mut self) -> Option<Waiter> {
        if self.waiting.len() <= self.room.waiting {
            return None;
        }
        let number = self.least(|share| Reverse(share.waiting)).last()?.number;
        self.remove(number)
    }
}

impl Line {
    fn new(room: Room) -> Self {
        let (waiting, shares) = (Vec::new(), HashMap::new());
        Self(Arc::new(Mutex::new(State { room, inside: 0, waiting, shares, turns: 0, last_number: 0 })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_unused(&self) -> bool {
        Arc::strong_count(&self.0) == 1
    }

    /// Comes in, now or in turn; none: too many wait.
    async fn enter(&self, party: &Party) -> Option<Place> {
        let party = &party.path();
        let (turn, has_turn) = oneshot::channel();
        let number = {
            let mut state = self.state();
            if state.inside < state.room.inside {
                state.admit(party);
                return Some(Place { line: self.clone(), party: party.clone() });
            }
            let number = state.push(party, turn);
            // whoever has to leave hears of it when its sender is dropped
            drop(state.evict());
            number
        };
        let waiting = Waiting { line: self.clone(), number };
        let place = has_turn.await.ok();
        drop(waiting);
        place
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let gone = self.line.state().remove(self.number);
        drop(gone);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let next = {
            let mut state = self.line.state();
            state.leave(&self.party);
            state.next()
        };
        if let Some(Waiter { party, turn, .. }) = next {
            // who has gone at this very moment drops the place, which goes to the next
            drop(turn.send(Self { line: self.line.clone(), party }));
        }
    }
}

/// Lines, by what they lead to.
#[derive(Clone, Default)]
pub struct Lines(Arc<Mutex<HashMap<String, Line>>>);

impl Lines {
    /// A place, now or when it is this party's turn; none: too many wait, or it took longer than that.
    pub async fn enter(&self, to: &str, room: Room, party: &Party, patience: Duration) -> Option<Place> {
        let line = self.line(to, room);
        tokio::time::timeout(patience, line.enter(party)).await.ok().flatten()
    }

    fn line(&self, to: &str, room: Room) -> Line {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = all.get(to) {
            return line.clone();
        }
        if all.len() >= MOST_LINES {
            all.retain(|_, line| !line.is_unused());
        }
        all.entry(to.to_owned()).or_insert_with(|| Line::new(room)).clone()
    }

    /// How many wait for a place there, and whether one of this party does.
    #[cfg(test)]
    pub(crate) fn waiting_for(&self, to: &str) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(to).map_or(0, |line| line.state().waiting.len())
    }

    #[cfg(test)]
    pub(crate) fn knows(&self, to: &str, party: &Party) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let path = party.path();
        let widest = path.0.first();
        all.get(to).is_some_and(|line| widest.is_some_and(|name| line.state().shares.contains_key(name)))
    }

    /// How many are remembered.
    pub fn count(&self) -> usize {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).len()
    }
}

#[cfg(test)]
mod tests;
