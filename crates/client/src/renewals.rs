//! Renewals by a token that its server replaces each time (RFC 6749 6; RFC 9700 4.14.2). The server has replaced it by the time it
//! answers: whoever loses the answer holds a token that is good for a while yet, and whose use ends everything after that. So
//! nobody who waits for one takes it with him: each is carried out in a task of its own, the end of a process waits for those under
//! way, and one whose answer was lost is asked for again soon, by house-keeping, with the same token.
//!
//! What calls this keeps one renewal of a token at a time, writes down that it asks before it asks, and keeps what came before it
//! tells anybody.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Until one is asked for again whose answer was lost; each time twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const MOST_DOUBLINGS: u32 = 5;
/// How long that goes on: no server lets a token that it has replaced be used so long. Whoever needs it asks after that.
const LONGEST: Duration = Duration::from_secs(3_600);
/// Most that are remembered. Of others whoever needs them asks.
const MOST_LOST: usize = 10_000;

struct Lost {
    since: Instant,
    times: u32,
    next: Instant,
}

/// Renewals under way, and those whose answer was lost, by what they renew.
pub struct Renewals<K> {
    under_way: Arc<watch::Sender<usize>>,
    lost: Mutex<HashMap<K, Lost>>,
}

impl<K> Default for Renewals<K> {
    fn default() -> Self {
        Self { under_way: Arc::new(watch::Sender::new(0)), lost: Mutex::default() }
    }
}

/// A renewal's place among those under way.
struct Place(Arc<watch::Sender<usize>>);

impl Place {
    fn begin(under_way: &Arc<watch::Sender<usize>>) -> Self {
        under_way.send_modify(|count| *count = count.saturating_add(1));
        Self(under_way.clone())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl<K: Clone + Eq + Hash> Renewals<K> {
    fn lost(&self) -> MutexGuard<'_, HashMap<K, Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a renewal out to its end, whoever stops waiting for it. None: it broke off by a fault of its own.
    pub async fn carry_out<T: Send + 'static>(&self, renewal: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let place = Place::begin(&self.under_way);
        let carried = tokio::spawn(async move {
            let _place = place;
            renewal.await
        });
        carried.await.ok()
    }

    /// Waits until none is under way, so long at most; whether it is so.
    pub async fn ended(&self, patience: Duration) -> bool {
        let mut under_way = self.under_way.subscribe();
        let none = under_way.wait_for(|count| *count == 0);
        matches!(tokio::time::timeout(patience, none).await, Ok(Ok(_)))
    }

    /// Nobody knows what a server has answered.
    pub fn note_lost(&self, key: K, now: Instant) {
        let mut lost = self.lost();
        if lost.len() < MOST_LOST {
            lost.entry(key).or_insert(Lost { since: now, times: 0, next: now + FIRST_WAIT });
        }
    }

    /// The server has answered, or there is nothing to renew any more.
    pub fn note_answered(&self, key: &K) {
        self.lost().remove(key);
    }

    /// Those that are to be asked for again now, so many at most. Each comes later again until its answer is known.
    pub fn take_due(&self, now: Instant, most: usize) -> Vec<K> {
        let mut lost = self.lost();
        lost.retain(|_, one| now < one.since + LONGEST);
        let mut due: Vec<(Instant, K)> =
            lost.iter().filter(|(_, one)| one.next <= now).map(|(key, one)| (one.next, key.clone())).collect();
        due.sort_by_key(|(next, _)| *next);
        let due: Vec<K> = due.into_iter().map(|(_, key)| key).take(most).collect();
        for key in &due {
            if let Some(one) = lost.get_mut(key) {
                one.times = one.times.saturating_add(1);
                one.next = now + FIRST_WAIT * 2_u32.pow(one.times.min(MOST_DOUBLINGS));
            }
        }
        due
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[tokio::test]
    async fn a_renewal_goes_on_without_whoever_waited_and_the_end_waits_for_it() {
        let (renewals, go_on) = (Arc::new(Renewals::<u8>::default()), Arc::new(Semaphore::new(0)));
        assert!(renewals.ended(Duration::ZERO).await);
        let (waiting, held) = (renewals.clone(), go_on.clone());
        let waits = tokio::spawn(async move { waiting.carry_out(async move { held.acquire().await.map(drop).is_ok() }).await });
        while *renewals.under_way.borrow() == 0 {
            tokio::task::yield_now().await;
        }
        waits.abort();
        assert!(waits.await.is_err() && !renewals.ended(Duration::from_millis(5)).await);
        go_on.add_permits(1);
        assert!(renewals.ended(Duration::from_secs(60)).await);
        assert_eq!(renewals.carry_out(async { panic!("a fault") }).await, None::<()>);
        assert!(renewals.ended(Duration::from_secs(60)).await, "one that broke off is over");
    }

    #[test]
    fn what_was_lost_is_asked_for_again_until_it_is_known() {
        let (renewals, begun) = (Renewals::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        renewals.note_lost("a", begun);
        let asked: Vec<u64> = (0..200).filter(|second| !renewals.take_due(at(*second), 9).is_empty()).collect();
        assert_eq!(asked, [2, 6, 14, 30, 62, 126, 190]);
        // whoever called meanwhile and lost it once more changes nothing
        renewals.note_lost("a", at(200));
        assert!(renewals.take_due(at(210), 9).is_empty());
        renewals.note_lost("b", at(200));
        assert_eq!(renewals.take_due(at(260), 1), ["b"], "who waits longest goes first");
        assert_eq!(renewals.take_due(at(260), 9), ["a"]);
        renewals.note_answered(&"b");
        assert_eq!(renewals.take_due(at(1_000), 9), ["a"]);
        assert!(renewals.take_due(at(3_600), 9).is_empty() && renewals.lost().is_empty(), "no server waits so long");
    }
}
