//! Renewals by a token that its server replaces each time (RFC 6749 6; RFC 9700 4.14.2). The server has replaced it by the time it
//! answers: whoever loses the answer holds a token that is good for a while yet, and whose use ends everything after that. So
//! nobody who waits for one takes it with him: each is carried out in a task of its own, the end of a process waits for those under
//! way, and one whose answer was lost is asked for again soon, by house-keeping, with the same token.
//!
//! What calls this keeps one renewal of a token at a time, writes down that it asks before it asks, and keeps what came before it
//! tells anybody.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::watch;

/// Until one is asked for again whose answer was lost; each time twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const MOST_DOUBLINGS: u32 = 5;
/// How long that goes on: no server lets a token that it has replaced be used so long. Whoever needs it asks after that.
const LONGEST: Duration = Duration::from_secs(3_600);
/// The same of what gives way.
const LONGEST_OF_GUESTS: Duration = Duration::from_secs(600);
/// Most that are asked for again in one round, and of what gives way; of one line so many of each.
const MOST_DUE: usize = 16;
const MOST_DUE_OF_GUESTS: usize = 8;
const MOST_OF_LINE: usize = 4;
/// Most that are remembered. Of others whoever needs them asks.
const MOST_LOST: usize = 10_000;

/// What is renewed. Whoever can have much of it lost fills a line of his own, and keeps nobody else's back.
pub trait Renewable: Clone + Eq + Hash {
    /// In whose line it waits.
    fn line(&self) -> &str;

    /// Whether anybody can have it, and so as much of it as he likes: then it goes behind all that cannot.
    fn gives_way(&self) -> bool {
        false
    }
}

struct Lost {
    since: Instant,
    times: u32,
    next: Instant,
}

/// Renewals under way, and those whose answer was lost, by what they renew.
pub struct Renewals<K> {
    under_way: Arc<watch::Sender<usize>>,
    lost: Mutex<HashMap<K, Lost>>,
    /// Those that the process before this one lost are known.
    is_read: AtomicBool,
}

impl<K> Default for Renewals<K> {
    fn default() -> Self {
        Self { under_way: Arc::new(watch::Sender::new(0)), lost: Mutex::default(), is_read: AtomicBool::new(false) }
    }
}

/// A renewal under way.
struct UnderWay(Arc<watch::Sender<usize>>);

impl UnderWay {
    fn begin(under_way: &Arc<watch::Sender<usize>>) -> Self {
        under_way.send_modify(|count| *count = count.saturating_add(1));
        Self(under_way.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.send_modify(|count| *count = count.saturating_sub(1));
    }
}

impl<K: Renewable> Renewals<K> {
    fn lost(&self) -> MutexGuard<'_, HashMap<K, Lost>> {
        self.lost.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Carries a renewal out to its end, whoever stops waiting for it. None: it broke off by a fault of its own.
    pub async fn carry_out<T: Send + 'static>(&self, renewal: impl Future<Output = T> + Send + 'static) -> Option<T> {
        let counted = UnderWay::begin(&self.under_way);
        let carried = tokio::spawn(async move {
            let _counted = counted;
            renewal.await
        });
        carried.await.ok()
    }

    /// Waits until none is under way, so long at most; whether none is.
    pub async fn wait_for_end(&self, patience: Duration) -> bool {
        let mut under_way = self.under_way.subscribe();
        let none = under_way.wait_for(|count| *count == 0);
        matches!(tokio::time::timeout(patience, none).await, Ok(Ok(_)))
    }

    /// Nobody knows what a server has answered.
    pub fn note_lost(&self, key: K, now: Instant) {
        let mut lost = self.lost();
        if lost.len() >= MOST_LOST && !lost.contains_key(&key) {
            let guest = lost.keys().find(|other| other.gives_way() && !key.gives_way()).cloned();
            let Some(guest) = guest else { return };
            lost.remove(&guest);
        }
        lost.entry(key).or_insert(Lost { since: now, times: 0, next: now + FIRST_WAIT });
    }

    /// Whether those are known that the process before this one lost.
    pub fn is_read(&self) -> bool {
        self.is_read.load(Ordering::Relaxed)
    }

    /// Those that the process before this one lost.
    pub fn note_read(&self, lost: impl IntoIterator<Item = K>, now: Instant) {
        lost.into_iter().for_each(|key| self.note_lost(key, now));
        self.is_read.store(true, Ordering::Relaxed);
    }

    /// The server has answered, or there is nothing to renew any more.
    pub fn note_answered(&self, key: &K) {
        self.lost().remove(key);
    }

    /// What is renewed is kept elsewhere from now on: where its answer was lost, it is asked for again by its new name.
    pub fn note_moved(&self, from: &K, to: K) {
        let mut lost = self.lost();
        if let Some(one) = lost.remove(from) {
            lost.insert(to, one);
        }
    }

    /// Those that are to be asked for again now: of each line so many, and those last that give way. Each comes later again until
    /// its answer is known.
    pub fn take_due(&self, now: Instant) -> Vec<K> {
        let mut lost = self.lost();
        lost.retain(|key, one| now < one.since + if key.gives_way() { LONGEST_OF_GUESTS } else { LONGEST });
        let mut due: Vec<(Instant, K)> =
            lost.iter().filter(|(_, one)| one.next <= now).map(|(key, one)| (one.next, key.clone())).collect();
        due.sort_by_key(|(next, _)| *next);
        let (guests, others): (Vec<K>, Vec<K>) = due.into_iter().map(|(_, key)| key).partition(Renewable::gives_way);
        let due: Vec<K> = take_in_turns(others, MOST_DUE).chain(take_in_turns(guests, MOST_DUE_OF_GUESTS)).collect();
        for key in &due {
            if let Some(one) = lost.get_mut(key) {
                one.times = one.times.saturating_add(1);
                one.next = now + FIRST_WAIT * 2_u32.pow(one.times.min(MOST_DOUBLINGS));
            }
        }
        due
    }
}

/// The first ones, but of no line more than a few.
fn take_in_turns<K: Renewable>(due: Vec<K>, most: usize) -> impl Iterator<Item = K> {
    let mut lines: HashMap<String, usize> = HashMap::new();
    let has_place = move |key: &K| {
        let taken = lines.entry(key.line().to_owned()).or_default();
        *taken = taken.saturating_add(1);
        *taken <= MOST_OF_LINE
    };
    due.into_iter().filter(has_place).take(most)
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::sync::Semaphore;

    #[test]
    fn what_is_lost_is_asked_for_by_its_new_name() {
        let (renewals, now) = (Renewals::<u8>::default(), Instant::now());
        renewals.note_lost(1, now);
        renewals.note_moved(&1, 2);
        renewals.note_moved(&3, 4);
        assert_eq!(renewals.take_due(now + FIRST_WAIT), [2]);
        renewals.note_answered(&2);
        assert!(renewals.take_due(now + LONGEST).is_empty());
    }

    #[tokio::test]
    async fn a_renewal_goes_on_without_whoever_waited_and_the_end_waits_for_it() {
        let (renewals, go_on) = (Arc::new(Renewals::<u8>::default()), Arc::new(Semaphore::new(0)));
        assert!(renewals.wait_for_end(Duration::ZERO).await);
        let (waiting, held) = (renewals.clone(), go_on.clone());
        let waits = tokio::spawn(async move { waiting.carry_out(async move { held.acquire().await.map(drop).is_ok() }).await });
        while *renewals.under_way.borrow() == 0 {
            tokio::task::yield_now().await;
        }
        waits.abort();
        assert!(waits.await.is_err() && !renewals.wait_for_end(Duration::from_millis(5)).await);
        go_on.add_permits(1);
        assert!(renewals.wait_for_end(Duration::from_secs(60)).await);
        assert_eq!(renewals.carry_out(async { panic!("a fault") }).await, None::<()>);
        assert!(renewals.wait_for_end(Duration::from_secs(60)).await, "one that broke off is over");
    }

    /// What is lost, of whom, and whether it gives way.
    impl Renewable for (&'static str, usize, bool) {
        fn line(&self) -> &str {
            self.0
        }

        fn gives_way(&self) -> bool {
            self.2
        }
    }

    impl Renewable for u8 {
        fn line(&self) -> &'static str {
            ""
        }
    }

    #[test]
    fn what_was_lost_is_asked_for_again_until_it_is_known() {
        let (renewals, begun) = (Renewals::default(), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        let (first, second) = (("a", 1, false), ("b", 2, false));
        assert!(!renewals.is_read());
        renewals.note_read([first], begun);
        assert!(renewals.is_read());
        let asked: Vec<u64> = (0..200).filter(|second| !renewals.take_due(at(*second)).is_empty()).collect();
        assert_eq!(asked, [2, 6, 14, 30, 62, 126, 190]);
        // whoever called meanwhile and lost it once more changes nothing
        renewals.note_lost(first, at(200));
        assert!(renewals.take_due(at(210)).is_empty());
        renewals.note_lost(second, at(200));
        assert_eq!(renewals.take_due(at(260)), [second, first], "who waits longest goes first");
        renewals.note_answered(&second);
        assert_eq!(renewals.take_due(at(1_000)), [first]);
        assert!(renewals.take_due(at(3_600)).is_empty() && renewals.lost().is_empty(), "no server waits so long");
    }

    /// A stranger with a server that answers nothing has as much lost as he likes, and keeps nobody's back.
    #[test]
    fn threat_46_what_is_lost_of_one_keeps_nobody_elses_back() {
        let (renewals, begun) = (Renewals::default(), Instant::now());
        let later = begun + Duration::from_secs(5);
        (0..MOST_LOST).for_each(|number| renewals.note_lost(("his", number, true), begun));
        (0..20).for_each(|number| renewals.note_lost(("his", MOST_LOST + number, false), begun));
        renewals.note_lost(("hers", 1, false), begun + Duration::from_secs(1));
        let due = renewals.take_due(later);
        let of = |gives_way: bool| due.iter().filter(|one| one.0 == "his" && one.2 == gives_way).count();
        assert!(due.contains(&("hers", 1, false)), "{due:?}");
        assert_eq!((of(false), of(true), renewals.lost().len()), (MOST_OF_LINE, MOST_OF_LINE, MOST_LOST));
        renewals.take_due(begun + LONGEST_OF_GUESTS);
        assert_eq!(renewals.lost().len(), 21, "what gives way is not asked for so long");
    }
}
