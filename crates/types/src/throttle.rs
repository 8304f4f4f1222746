//! Limits on what one caller may do, or on how often one thing may be tried, in a span of time. A try is taken before the
//! work that it stands for, and may be given back afterwards; so tries at the same time count each.
//!
//! In memory and bounded: a limit need not survive a restart. What is counted is named by a text of any length, of which a
//! number is kept. Where a flood of names fills the memory, nothing that was counted is forgotten: names that come newly
//! then share counts, and meet the limit sooner. Wherever strangers choose the names, they have a [`Throttle`] apart from
//! names that we know, so that they cannot crowd those. A span ends by the clock; one that is set back makes it last twice as
//! long at most.
//!
//! What all share, somebody uses up: a [`NetworkThrottle`] leaves a few to neighbours of a flood, a [`Reserve`] a little to
//! those who had no part in it.

mod shares;

use crate::{Timestamp, peer};
pub use shares::{NetworkShares, NetworkThrottle, Reserve, Shares, Taken};
use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

const MINUTE_SECONDS: i64 = 60;
/// Names that have a count of their own at the same time.
const MAX_NAMES: usize = 100_000;
/// Counts that all further names share.
const SHARED_COUNTS: u64 = 4096;

/// How often something was tried, and since when.
#[derive(Clone, Copy)]
struct Count {
    since: i64,
    tries: u32,
}

impl Count {
    fn is_over(&self, now: i64, seconds: i64) -> bool {
        now.saturating_sub(self.since).saturating_abs() >= seconds
    }
}

#[derive(Default)]
struct Counts {
    own: HashMap<u64, Count>,
    shared: HashMap<u64, Count>,
    /// When what had ended was last removed.
    swept: i64,
}

/// Counts per name and span of time.
pub struct Throttle {
    most: u32,
    seconds: i64,
    hasher: RandomState,
    counts: Mutex<Counts>,
}

/// A try that was taken. Dropped, it stays counted.
#[must_use]
pub struct Try {
    name: u64,
    since: i64,
}

impl Throttle {
    pub fn per_minute(most: u32) -> Self {
        Self::per(most, MINUTE_SECONDS)
    }

    /// At most so many in so many seconds, which begin with the first.
    pub fn per(most: u32, seconds: i64) -> Self {
        Self { most, seconds, hasher: RandomState::new(), counts: Mutex::default() }
    }

    /// Takes a try; `false` where that is one too many.
    pub fn admit(&self, name: &str, now: Timestamp) -> bool {
        self.take(name, now).is_some()
    }

    /// Takes a try that may be given back; `None` where that is one too many.
    pub fn take(&self, name: &str, now: Timestamp) -> Option<Try> {
        let name = self.hasher.hash_one(name);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.find(name, now.0, self.seconds);
        if count.is_over(now.0, self.seconds) {
            *count = Count { since: now.0, tries: 0 };
        }
        if count.tries >= self.most {
            return None;
        }
        count.tries = count.tries.saturating_add(1);
        Some(Try { name, since: count.since })
    }

    /// Seconds until the span of a name ends, in which its next try may be admitted.
    pub fn seconds_left(&self, name: &str, now: Timestamp) -> i64 {
        let name = self.hasher.hash_one(name);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let since = counts.find(name, now.0, self.seconds).since;
        self.seconds.saturating_sub(now.0.saturating_sub(since)).max(1)
    }

    /// Counts anew for a name that has shown that nothing was wrong.
    pub fn forget(&self, name: &str) {
        let name = self.hasher.hash_one(name);
        self.counts.lock().unwrap_or_else(PoisonError::into_inner).own.remove(&name);
    }

    /// Gives a try back: it did no harm. One of a span that has ended is gone with it.
    pub fn give_back(&self, one: Try) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        let shared = one.name.checked_rem(SHARED_COUNTS).unwrap_or(0);
        let count = match counts.own.contains_key(&one.name) {
            true => counts.own.get_mut(&one.name),
            false => counts.shared.get_mut(&shared),
        };
        if let Some(count) = count.filter(|count| count.since == one.since) {
            count.tries = count.tries.saturating_sub(1);
            // what is counted no more takes no room from others
            if count.tries == 0 {
                counts.own.remove(&one.name);
            }
        }
    }
}

impl Counts {
    /// The count of a name: its own, as long as there is room.
    fn find(&mut self, name: u64, now: i64, seconds: i64) -> &mut Count {
        let fresh = Count { since: now, tries: 0 };
        if self.own.len() >= MAX_NAMES && !self.own.contains_key(&name) {
            self.sweep(now, seconds);
            if self.own.len() >= MAX_NAMES {
                return self.shared.entry(name.checked_rem(SHARED_COUNTS).unwrap_or(0)).or_insert(fresh);
            }
        }
        self.own.entry(name).or_insert(fresh)
    }

    /// Removes what has ended, at most once in a second.
    fn sweep(&mut self, now: i64, seconds: i64) {
        if self.swept != now {
            self.swept = now;
            self.own.retain(|_, count| !count.is_over(now, seconds));
        }
    }
}

/// The household or machine that a caller is, as limits of tries count it.
pub fn host_of(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), peer::host_of)
}

/// The household that a caller is in.
pub fn household_of(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), peer::household_of)
}

/// The region that a caller is in.
pub fn region_of(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), peer::region_of)
}

/// The network that a caller is in, as limits for strangers count it (protocol.md 1.7).
pub fn network_of(address: &str) -> String {
    address.parse().map_or_else(|_| address.to_owned(), peer::network_of)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn threat_38_s08_a_try_is_taken_before_the_work_and_given_back_alone() {
        let throttle = Throttle::per_minute(3);
        let mut taken: Vec<Try> = std::iter::from_fn(|| throttle.take("alice", NOW)).collect();
        assert_eq!(taken.len(), 3, "what is under way counts");
        assert!(throttle.take("alice", NOW.plus(59)).is_none() && throttle.take("bob", NOW).is_some());
        throttle.give_back(taken.pop().unwrap());
        assert!(throttle.take("alice", NOW).is_some(), "one came back");
        assert!(throttle.take("alice", NOW).is_none(), "and only one: those that were refused count for nothing");
        // a span begins with its first try, and what is given back late does not count for the next
        assert!((0..3).all(|_| throttle.take("alice", NOW.plus(60)).is_some()));
        throttle.give_back(taken.pop().unwrap());
        assert!(throttle.take("alice", NOW.plus(60)).is_none());
        assert!(Throttle::per_minute(0).take("alice", NOW).is_none());
    }

    #[test]
    fn threat_46_a_clock_that_is_set_back_closes_nothing_for_long() {
        let throttle = Throttle::per_minute(1);
        assert!(throttle.admit("alice", NOW) && !throttle.admit("alice", NOW.plus(-59)));
        assert!(throttle.admit("alice", NOW.plus(-3_600)) && !throttle.admit("alice", NOW.plus(-3_541)));
    }

    #[test]
    fn threat_46_what_was_given_back_takes_no_room() {
        let throttle = Throttle::per(5, 86_400);
        for n in 0..10 {
            let one = throttle.take(&format!("name {n}"), NOW).unwrap();
            throttle.give_back(one);
        }
        assert!(throttle.counts.lock().unwrap().own.is_empty());
    }

    #[test]
    fn threat_38_s08_a_flood_of_names_makes_nothing_forgotten() {
        let throttle = Throttle::per_minute(2);
        assert!((0..2).all(|_| throttle.admit("alice", NOW)));
        for n in 0..MAX_NAMES + 20_000 {
            throttle.admit(&format!("name {n}"), NOW);
        }
        assert!(!throttle.admit("alice", NOW), "who was at her limit still is");
        let passed = (0..1_000).filter(|_| throttle.admit("one more", NOW)).count();
        assert!(passed <= 2, "names without room of their own meet a limit too: {passed}");
        let counts = throttle.counts.lock().unwrap();
        assert!(counts.own.len() <= MAX_NAMES && counts.shared.len() <= 4096);
        drop(counts);
        assert!(throttle.admit("alice", NOW.plus(60)) && throttle.admit("one more", NOW.plus(60)), "the flood ends by itself");
    }

    #[test]
    fn threat_38_s08_callers_are_counted_by_their_block() {
        assert_eq!(host_of("2001:db8::1"), host_of("2001:db8::ffff:0:1"));
        assert_eq!(host_of("::ffff:192.0.2.1"), "192.0.2.1");
        assert_ne!(host_of("192.0.2.1"), host_of("192.0.2.2"));
    }
}
