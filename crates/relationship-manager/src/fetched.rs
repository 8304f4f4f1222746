//! What is fetched from somewhere, one at a time for each name: whoever wants the same meanwhile waits for that one answer and
//! has it, too. What came is kept for a while, and a failure for a moment, so that many calls make one fetch (threat 41).

use crate::{KEPT_AT_MOST, Trouble, lock};
use jose::Clock;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use types::Timestamp;

/// Seconds that a failure is remembered.
pub(crate) const FAILURE_KEPT_SECONDS: i64 = 5;

/// One name: the turn of whoever fetches, and what came last.
struct Entry<T> {
    turn: Arc<tokio::sync::Mutex<()>>,
    outcome: Option<Result<T, Trouble>>,
    until: Timestamp,
}

/// What was fetched, by name.
pub(crate) struct Fetched<T> {
    entries: Mutex<HashMap<String, Entry<T>>>,
    kept_seconds: i64,
}

impl<T: Clone> Fetched<T> {
    pub(crate) fn kept_for(seconds: i64) -> Self {
        Self { entries: Mutex::default(), kept_seconds: seconds }
    }

    /// What is kept of this name, or what `fetch` brings.
    pub(crate) async fn get(
        &self,
        clock: &dyn Clock,
        name: &str,
        fetch: impl Future<Output = Result<T, Trouble>>,
    ) -> Result<T, Trouble> {
        if let Some(known) = self.find(name, clock.now()) {
            return known;
        }
        let turn = self.turn(name, clock.now());
        let _held = turn.lock().await;
        // somebody else fetched it meanwhile
        if let Some(known) = self.find(name, clock.now()) {
            return known;
        }
        let outcome = fetch.await;
        // that our own store fails says nothing of that place, and is not remembered
        if !matches!(outcome, Err(Trouble::Store(_))) {
            self.keep(name, outcome.clone(), clock.now());
        }
        outcome
    }

    /// What is no more true is fetched anew.
    pub(crate) fn forget(&self, name: &str) {
        lock(&self.entries).remove(name);
    }

    fn find(&self, name: &str, now: Timestamp) -> Option<Result<T, Trouble>> {
        lock(&self.entries).get(name).filter(|entry| now < entry.until).and_then(|entry| entry.outcome.clone())
    }

    fn turn(&self, name: &str, now: Timestamp) -> Arc<tokio::sync::Mutex<()>> {
        let mut entries = lock(&self.entries);
        if entries.len() >= KEPT_AT_MOST && !entries.contains_key(name) {
            make_room(&mut entries, now);
        }
        let new = || Entry { turn: Arc::default(), outcome: None, until: now };
        entries.entry(name.to_owned()).or_insert_with(new).turn.clone()
    }

    fn keep(&self, name: &str, outcome: Result<T, Trouble>, now: Timestamp) {
        let seconds = if outcome.is_ok() { self.kept_seconds } else { FAILURE_KEPT_SECONDS };
        if let Some(entry) = lock(&self.entries).get_mut(name) {
            (entry.outcome, entry.until) = (Some(outcome), now.plus(seconds));
        }
    }
}

/// What nobody waits for goes: first what is over, else what would be over next.
fn make_room<T>(entries: &mut HashMap<String, Entry<T>>, now: Timestamp) {
    let is_used = |entry: &Entry<T>| Arc::strong_count(&entry.turn) > 1;
    entries.retain(|_, entry| now < entry.until || is_used(entry));
    if entries.len() >= KEPT_AT_MOST {
        let unused = entries.iter().filter(|(_, entry)| !is_used(entry));
        let next = unused.min_by_key(|(_, entry)| entry.until).map(|(name, _)| name.clone());
        next.into_iter().for_each(|name| drop(entries.remove(&name)));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::future::join_all;
    use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering::Relaxed};

    struct Hand(AtomicI64);

    impl Clock for Hand {
        fn now(&self) -> Timestamp {
            Timestamp(self.0.load(Relaxed))
        }
    }

    #[tokio::test]
    async fn threat_41_s17_many_calls_are_one_fetch_and_a_failure_is_remembered_for_a_moment() {
        let (clock, fetched, count) = (Hand(AtomicI64::new(0)), Fetched::kept_for(300), AtomicUsize::new(0));
        let get = async |name: &str, good: bool| {
            let fetch = async {
                tokio::task::yield_now().await;
                let n = count.fetch_add(1, Relaxed);
                if good { Ok(n) } else { Err(Trouble::Away("away".into())) }
            };
            fetched.get(&clock, name, fetch).await
        };
        let all = join_all((0..50).map(|_| get("a", true))).await;
        assert!(all.iter().all(|one| *one == Ok(0)), "{all:?}");
        clock.0.store(299, Relaxed);
        assert_eq!(get("a", true).await, Ok(0));
        clock.0.store(300, Relaxed);
        assert_eq!(get("a", true).await, Ok(1));
        assert!(join_all((0..50).map(|_| get("b", false))).await.iter().all(Result::is_err));
        assert_eq!(count.load(Relaxed), 3);
        assert!(get("b", true).await.is_err());
        clock.0.store(300 + FAILURE_KEPT_SECONDS, Relaxed);
        assert_eq!(get("b", true).await, Ok(3));
    }

    #[tokio::test]
    async fn threat_41_s17_names_without_end_take_bounded_room() {
        let (clock, fetched) = (Hand(AtomicI64::new(0)), Fetched::kept_for(300));
        for n in 0..KEPT_AT_MOST * 2 {
            let _ = fetched.get(&clock, &n.to_string(), async { Ok(n) }).await;
        }
        assert_eq!(lock(&fetched.entries).len(), KEPT_AT_MOST);
    }
}
