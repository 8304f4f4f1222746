//! Turns for work that takes the machine, by person: each has a few places in the line of all, so that whoever wants a
//! thousand things keeps others waiting for as long as those few take, and no longer.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// People whose places are kept before a look who of them has left.
const MANY_PEOPLE: usize = 1_000;

/// One person's.
struct Places {
    /// Hers in the line of all.
    line: Arc<Semaphore>,
    /// Those that she has there or waits for.
    room: Arc<Semaphore>,
}

pub(super) struct Turns {
    all: Arc<Semaphore>,
    of_one: usize,
    waiting_of_one: usize,
    people: Mutex<HashMap<String, Places>>,
}

/// Leave to work, until it is dropped.
pub(super) struct Turn {
    _room: OwnedSemaphorePermit,
    _line: OwnedSemaphorePermit,
    _all: OwnedSemaphorePermit,
}

/// She waits for too much already.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany;

impl Turns {
    pub(super) fn new(all: usize, of_one: usize, waiting_of_one: usize) -> Self {
        Self { all: Arc::new(Semaphore::new(all)), of_one, waiting_of_one, people: Mutex::default() }
    }

    pub(super) async fn wait(&self, person: &str) -> Result<Turn, TooMany> {
        let (line, room) = self.places_of(person);
        let room = room.try_acquire_owned().map_err(|_| TooMany)?;
        let line = line.acquire_owned().await.map_err(|_| TooMany)?;
        let all = self.all.clone().acquire_owned().await.map_err(|_| TooMany)?;
        Ok(Turn { _room: room, _line: line, _all: all })
    }

    fn places_of(&self, person: &str) -> (Arc<Semaphore>, Arc<Semaphore>) {
        let mut people = self.people.lock().unwrap_or_else(PoisonError::into_inner);
        if people.len() >= MANY_PEOPLE && !people.contains_key(person) {
            // a permit holds its place
            people.retain(|_, places| Arc::strong_count(&places.room) > 1);
        }
        let new = || Places { line: Arc::new(Semaphore::new(self.of_one)), room: Arc::new(Semaphore::new(self.waiting_of_one)) };
        let places = people.entry(person.to_owned()).or_insert_with(new);
        (places.line.clone(), places.room.clone())
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
        // one of hers came before him in the line of all at most
        let mut next = hers.remove(0);
        let hers_next = (&mut next).now_or_never();
        drop(hers_next);
        assert!(bob.now_or_never().is_some(), "he is next");
        drop((hers, next));
        for n in 0..2 * MANY_PEOPLE {
            drop(turns.wait(&n.to_string()).await.unwrap());
        }
        assert!(turns.people.lock().unwrap().len() <= MANY_PEOPLE, "those who left are forgotten");
        assert!(turns.wait("mallory").await.is_ok());
    }
}
