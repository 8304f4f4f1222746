//! How often a resource is tried again at an authorization server that would not have it. Calls of anybody make the gateway
//! try, so the time until the next is taken before the work, and grows (threat 46).

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::OwnResourceId;

/// Until the second attempt; each after it waits twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const MOST_DOUBLINGS: u32 = 6;
const LONGEST_WAIT: Duration = Duration::from_secs(64);
/// Where the authorization server was away.
const AWAY_WAIT: Duration = Duration::from_millis(250);
/// Resources that are counted at one time. Where there are more, others wait too: a flood fills no memory.
const MOST_KEYS: usize = 50_000;

type Key = (String, OwnResourceId);

struct Tried {
    failures: u32,
    until: Instant,
}

/// What was tried in vain, and until when it is not tried again.
#[derive(Default)]
pub(super) struct Attempts(Mutex<HashMap<Key, Tried>>);

impl Attempts {
    /// Whether it may be tried now; then the next has to wait, unless this one is done.
    pub(super) fn begin(&self, owner: &str, own_id: &OwnResourceId, now: Instant) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (owner.to_owned(), own_id.clone());
        if all.get(&key).is_some_and(|tried| now < tried.until) {
            return false;
        }
        if all.len() >= MOST_KEYS && !all.contains_key(&key) {
            // what was not tried for long is as if it never had been
            all.retain(|_, tried| now < tried.until);
            if all.len() >= MOST_KEYS {
                return false;
            }
        }
        let tried = all.entry(key).or_insert(Tried { failures: 0, until: now });
        if now > tried.until + LONGEST_WAIT {
            tried.failures = 0;
        }
        tried.until = now + FIRST_WAIT * 2_u32.pow(tried.failures.min(MOST_DOUBLINGS));
        tried.failures = tried.failures.saturating_add(1);
        true
    }

    /// Whether it was tried in vain a moment ago.
    pub(super) fn is_early(&self, owner: &str, own_id: &OwnResourceId, now: Instant) -> bool {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(&(owner.to_owned(), own_id.clone())).is_some_and(|tried| now < tried.until)
    }

    /// It was not refused: the authorization server could not be asked, which says nothing about the resource.
    pub(super) fn was_away(&self, owner: &str, own_id: &OwnResourceId, now: Instant) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(tried) = all.get_mut(&(owner.to_owned(), own_id.clone())) {
            *tried = Tried { failures: 0, until: tried.until.min(now + AWAY_WAIT) };
        }
    }

    pub(super) fn done(&self, owner: &str, own_id: &OwnResourceId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&(owner.to_owned(), own_id.clone()));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_c08_what_is_refused_is_tried_more_and_more_seldom() {
        let (attempts, begun) = (Attempts::default(), Instant::now());
        let id = OwnResourceId::from("/a");
        let at = |seconds| begun + Duration::from_secs(seconds);
        let tried: Vec<u64> = (0..200).filter(|second| attempts.begin("alice", &id, at(*second))).collect();
        assert_eq!(tried, [0, 1, 3, 7, 15, 31, 63, 127, 191]);
        assert!(attempts.begin("bob", &id, at(0)) && attempts.begin("alice", &"/b".into(), at(0)), "by resource");
        attempts.done("alice", &id);
        assert!(attempts.begin("alice", &id, at(0)));
        attempts.was_away("alice", &id, at(0));
        assert!(!attempts.begin("alice", &id, at(0)) && attempts.begin("alice", &id, at(1)));
    }

    #[test]
    fn threat_46_c08_a_flood_of_names_fills_no_memory() {
        let (attempts, begun) = (Attempts::default(), Instant::now());
        let began = (0..MOST_KEYS + 10).filter(|n| attempts.begin("alice", &format!("/{n}").as_str().into(), begun)).count();
        assert_eq!(began, MOST_KEYS);
        assert!(attempts.begin("alice", &"/x".into(), begun + FIRST_WAIT), "they make room");
    }
}
