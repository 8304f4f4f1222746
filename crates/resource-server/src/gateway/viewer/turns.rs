//! Turns for work that takes the machine, by party: of those who wait, whoever has fewest at work goes first, and of these who had
//! her last turn longest ago. So whoever wants a thousand things keeps others waiting for as long as what is at work takes, and no
//! longer, and a party has several at work only where nobody else waits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// Those of all parties who may be there at one time: each turn looks at all of them.
const MOST_WAITING: usize = 2_000;

/// Somebody who works, or waits.
struct Entry {
    number: u64,
    party: String,
    /// By which she is told that she may; none: she works.
    wakes: Option<oneshot::Sender<()>>,
}

#[derive(Default)]
struct State {
    next: u64,
    /// In the order in which they came.
    entries: Vec<Entry>,
    /// How many turns had been given when each party of these got her last one.
    last_turns: HashMap<String, u64>,
    turns: u64,
}

impl State {
    fn count_at_work(&self) -> usize {
        self.entries.iter().filter(|entry| entry.wakes.is_none()).count()
    }

    /// The next who may work.
    fn find_next(&self, most_of_one: usize) -> Option<usize> {
        let mut at_work: HashMap<&str, usize> = HashMap::new();
        for entry in self.entries.iter().filter(|entry| entry.wakes.is_none()) {
            let count = at_work.entry(entry.party.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        let count = |entry: &Entry| at_work.get(entry.party.as_str()).copied().unwrap_or_default();
        let last = |entry: &Entry| self.last_turns.get(&entry.party).copied().unwrap_or_default();
        let waiting = self.entries.iter().enumerate().filter(|(_, entry)| entry.wakes.is_some());
        let may = waiting.filter(|(_, entry)| count(entry) < most_of_one);
        may.min_by_key(|(at, entry)| (count(entry), last(entry), *at)).map(|(at, _)| at)
    }

    fn leave(&mut self, number: u64) {
        let Some(at) = self.entries.iter().position(|entry| entry.number == number) else { return };
        let gone = self.entries.remove(at);
        if !self.entries.iter().any(|entry| entry.party == gone.party) {
            self.last_turns.remove(&gone.party);
        }
    }

    /// Sends the last away of those who wait in the party that has most, where it has more than this one would have.
    fn make_room_for(&mut self, party: &str) -> bool {
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for entry in &self.entries {
            let count = counts.entry(entry.party.as_str()).or_default();
            *count = count.saturating_add(1);
        }
        let own = counts.get(party).copied().unwrap_or_default().saturating_add(1);
        let waits_in_widest = |entry: &&Entry| entry.wakes.is_some() && counts.get(entry.party.as_str()).copied() > Some(own);
        let widest = self.entries.iter().filter(waits_in_widest);
        let last = widest.max_by_key(|entry| (counts.get(entry.party.as_str()).copied(), entry.number));
        let Some(number) = last.map(|entry| entry.number) else { return false };
        // it hears so, as its way to be woken is gone
        self.leave(number);
        true
    }

    fn go_on(&mut self, most: usize, most_of_one: usize) {
        while self.count_at_work() < most
            && let Some(next) = self.find_next(most_of_one)
        {
            let Some(entry) = self.entries.get_mut(next) else { return };
            let Some(wakes) = entry.wakes.take() else { return };
            self.turns = self.turns.saturating_add(1);
            self.last_turns.insert(entry.party.clone(), self.turns);
            // whoever does not wait any more takes itself away
            let _ = wakes.send(());
        }
    }
}

#[derive(Clone)]
pub(super) struct Turns {
    state: Arc<Mutex<State>>,
    /// At work at one time, of all and of one party.
    most: usize,
    most_of_one: usize,
    /// Of one party, and of all, with those that wait.
    most_waiting_of_one: usize,
    most_waiting: usize,
}

/// Leave to work, until it is dropped; or a place among those who wait for it.
pub(super) struct Turn {
    turns: Turns,
    number: u64,
}

/// She waits for too much already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Turns {
    pub(super) fn new(most: usize, most_of_one: usize, most_waiting_of_one: usize) -> Self {
        Self { state: Arc::default(), most, most_of_one, most_waiting_of_one, most_waiting: MOST_WAITING }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) async fn wait(&self, party: &str) -> Result<Turn, TooMany> {
        let (wakes, woken) = oneshot::channel();
        let turn = {
            let mut state = self.state();
            if state.entries.iter().filter(|entry| entry.party == party).count() >= self.most_waiting_of_one {
                return Err(TooMany);
            }
            if state.entries.len() >= self.most_waiting && !state.make_room_for(party) {
                return Err(TooMany);
            }
            let number = state.next;
            state.next = number.wrapping_add(1);
            state.entries.push(Entry { number, party: party.to_owned(), wakes: Some(wakes) });
            state.go_on(self.most, self.most_of_one);
            Turn { turns: self.clone(), number }
        };
        woken.await.map_err(|_| TooMany)?;
        Ok(turn)
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let mut state = self.turns.state();
        state.leave(self.number);
        state.go_on(self.turns.most, self.turns.most_of_one);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn whoever_wants_much_keeps_others_waiting_for_little() {
        let turns = Turns::new(1, 1, 10);
        let first = turns.wait("mallory").await.unwrap();
        let mut hers: Vec<_> = (0..9).map(|_| Box::pin(turns.wait("mallory"))).collect();
        assert!(hers.iter_mut().all(|one| one.now_or_never().is_none()));
        assert_eq!(turns.wait("mallory").await.err(), Some(TooMany));
        let mut bob = Box::pin(turns.wait("bob"));
        assert!((&mut bob).now_or_never().is_none());
        drop(first);
        // one of hers came before him at most
        let hers_next = hers.remove(0).now_or_never();
        drop(hers_next);
        assert!(bob.now_or_never().is_some(), "he is next");
        drop(hers);
        assert!(turns.state().entries.is_empty(), "those who left are forgotten");
        assert!(turns.wait("mallory").await.is_ok());
    }

    /// Row 46: of many parties that wait, whoever comes newly takes a place of the one with most.
    #[tokio::test]
    async fn threat_46_a_full_line_loses_the_last_of_those_with_most() {
        let turns = Turns { most_waiting: 6, ..Turns::new(1, 1, 4) };
        let at_work = turns.wait("mallory").await.unwrap();
        let mut mallorys: Vec<_> = (0..3).map(|_| Box::pin(turns.wait("mallory"))).collect();
        let mut eves: Vec<_> = (0..2).map(|_| Box::pin(turns.wait("eve"))).collect();
        assert!(mallorys.iter_mut().chain(&mut eves).all(|one| one.now_or_never().is_none()));
        let mut bob = Box::pin(turns.wait("bob"));
        assert!((&mut bob).now_or_never().is_none());
        assert_eq!(mallorys.pop().unwrap().now_or_never().map(|turn| turn.err()), Some(Some(TooMany)), "the last of hers");
        assert!(mallorys.iter_mut().chain(&mut eves).all(|one| one.now_or_never().is_none()));
        drop(at_work);
        assert!(eves.remove(0).now_or_never().is_some_and(|turn| turn.is_ok()));
    }

    /// Row 46: whose pictures take long has both places while nobody else waits, and one as soon as somebody does.
    #[tokio::test]
    async fn threat_46_a_party_has_two_places_only_while_nobody_else_waits() {
        let turns = Turns::new(2, 2, 100);
        let (one, two) = (turns.wait("mallory").await.unwrap(), turns.wait("mallory").await.unwrap());
        let mut hers: Vec<_> = (0..20).map(|_| Box::pin(turns.wait("mallory"))).collect();
        let mut alices: Vec<_> = (0..3).map(|_| Box::pin(turns.wait("alice"))).collect();
        assert!(hers.iter_mut().chain(&mut alices).all(|one| one.now_or_never().is_none()));
        drop(one);
        let alice = alices.remove(0).now_or_never().unwrap().unwrap();
        assert!(hers.iter_mut().chain(&mut alices).all(|one| one.now_or_never().is_none()));
        // whichever ends: each has one
        drop(two);
        let mut next = hers.remove(0).now_or_never().unwrap().unwrap();
        for _ in 0..2 {
            drop(next);
            next = hers.remove(0).now_or_never().unwrap().unwrap();
            assert!(alices.iter_mut().all(|one| one.now_or_never().is_none()));
        }
        drop(alice);
        let alice = alices.remove(0).now_or_never().unwrap().unwrap();
        drop((alice, alices));
        assert!(hers.remove(0).now_or_never().unwrap().is_ok(), "both are hers again");
    }
}
