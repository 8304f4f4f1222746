//! Calls about which somebody asked a moment ago. A proxy may ask twice about one call (nginx does after an internal redirect):
//! that is one line of the owner's history, and one use of a DPoP proof.

use super::super::passage::Whole;
use crate::presentation::DPOP;
use http::HeaderName;
use http::request::Parts;
use jose::digest;
use quick_cache::Weighter;
use quick_cache::unsync::Cache;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::peer::Caller;

/// For how long it is the same call.
const SAME_CALL: Duration = Duration::from_secs(1);
/// Whose is forgotten before counts once more.
const MOST_KEPT: usize = 10_000;
/// And of what servers said of these calls, in bytes.
const MOST_BYTES: u64 = 16 << 20;
/// What is kept of each beside that.
const CALL_BYTES: u64 = 256;

/// On a call that was refused a moment ago, and written down then.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct AskedBefore;

#[derive(Clone)]
struct Asked {
    at: Instant,
    /// What let it in.
    whole: Option<Arc<Whole>>,
}

/// Who asks chooses how much her server says.
#[derive(Clone, Copy)]
struct BySize;

impl Weighter<Key, Asked> for BySize {
    fn weight(&self, _: &Key, asked: &Asked) -> u64 {
        asked.whole.as_ref().map_or(0, |whole| whole.approximate_bytes()).saturating_add(CALL_BYTES)
    }
}

/// What became of a call when somebody asked about it a moment ago.
pub(super) enum Before {
    /// Nobody did.
    Never,
    Refused,
    /// By this.
    LetIn(Arc<Whole>),
}

/// What tells a call from others beside its method and address.
const SHOWN: [&str; 3] = ["authorization", "cookie", "destination"];
/// What may be another one each time that a proxy asks.
const OF_TRACES: [&str; 3] = ["traceparent", "tracestate", "x-request-id"];

/// Bytes for which room is made at once.
const USUAL_LENGTH: usize = 512;

/// What tells one call from another: who makes it, what it is, and what it shows. Where a proof is to stand for two asks,
/// everything that it brings is the same.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(call: &Parts) -> Self {
        let caller = call.extensions.get::<Caller>().map(|caller| caller.0);
        let target = call.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let is_bound = call.headers.contains_key(DPOP);
        let counts = |name: &HeaderName| match is_bound {
            true => !OF_TRACES.contains(&name.as_str()),
            false => SHOWN.contains(&name.as_str()),
        };
        // each piece ends with NUL, which is in none of them; an address is as long as its kind
        let mut text = Vec::with_capacity(USUAL_LENGTH);
        match caller {
            Some(IpAddr::V4(address)) => {
                text.push(4);
                text.extend_from_slice(&address.octets());
            }
            Some(IpAddr::V6(address)) => {
                text.push(6);
                text.extend_from_slice(&address.octets());
            }
            None => text.push(0),
        }
        let mut add = |piece: &[u8]| {
            text.extend_from_slice(piece);
            text.push(0);
        };
        add(call.method.as_str().as_bytes());
        add(target.as_bytes());
        for (name, value) in call.headers.iter().filter(|(name, _)| counts(name)) {
            add(name.as_str().as_bytes());
            add(value.as_bytes());
        }
        Self(digest::sha256(&[&text]))
    }
}

/// The calls of a second.
pub(in crate::gateway) struct Recent {
    calls: Mutex<Cache<Key, Asked, BySize>>,
    /// When it is, where a test says so.
    #[cfg(test)]
    stands_at: Mutex<Option<Instant>>,
}

impl Default for Recent {
    fn default() -> Self {
        Self {
            calls: Mutex::new(Cache::with_weighter(MOST_KEPT, MOST_BYTES, BySize)),
            #[cfg(test)]
            stands_at: Mutex::default(),
        }
    }
}

impl Recent {
    #[cfg(test)]
    pub(in crate::gateway) fn stand_at(&self, now: Instant) {
        *self.stands_at.lock().unwrap() = Some(now);
    }

    /// The time by which calls are the same.
    pub(super) fn now(&self) -> Instant {
        #[cfg(test)]
        if let Some(now) = *self.stands_at.lock().unwrap() {
            return now;
        }
        Instant::now()
    }

    /// What became of it in this second; from now on it was asked about.
    pub(super) fn begin(&self, key: Key, now: Instant) -> Before {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = calls.get(&key).filter(|asked| now.saturating_duration_since(asked.at) < SAME_CALL) {
            return asked.whole.clone().map_or(Before::Refused, Before::LetIn);
        }
        calls.insert(key, Asked { at: now, whole: None });
        Before::Never
    }

    /// Keeps what let it in.
    pub(super) fn keep(&self, key: Key, whole: Arc<Whole>) {
        let mut calls = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut asked) = calls.get_mut(&key) {
            asked.whole = Some(whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_call_is_the_same_for_a_second() {
        let (recent, begun) = (Recent::default(), Instant::now());
        let at = |millis: u64| begun + Duration::from_millis(millis);
        let (key, other) = (Key([1; 32]), Key([2; 32]));
        for (key, now, is_known) in
            [(key, 0, false), (key, 999, true), (other, 999, false), (key, 1_000, false), (key, 1_999, true)]
        {
            let before = recent.begin(key, at(now));
            assert_eq!(matches!(before, Before::Refused), is_known, "{now}");
            assert_eq!(matches!(before, Before::Never), !is_known, "{now}");
        }
    }
}
