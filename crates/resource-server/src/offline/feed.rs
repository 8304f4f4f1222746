//! What is known of one owner's revocations, and what counts by it: called by the offline check, which reads them.

use super::{BLIND_TIME, MAX_JTI, Signed};
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::watch;
use tokio::time::Instant;
use types::Timestamp;
use types::revocations::Revocations;

/// Nobody asked for so long: the revocations of this owner are not read on.
const UNUSED: Duration = Duration::from_secs(600);
/// Revocations of one owner that are remembered. Beyond them, only what needs no look counts.
pub(super) const MOST_REVOKED: usize = 20_000;
/// How much longer than till its end a revocation is remembered: the clock may have been wrong. And how long at most.
const REMEMBERED_MORE: Duration = Duration::from_secs(3_600);
const REMEMBERED_SECONDS: i64 = 10 * 365 * 86_400;
/// So many seconds apart two clocks show the same time.
const CLOCKS_AGREE: u64 = 60;
/// For so long a server goes on from an earlier time than it had said: then that was a leap of its clock, and is over.
pub(super) const LEAP_IS_OVER: Duration = Duration::from_secs(180);
/// How long a token waits for the first look at an owner's revocations: one that needs none for a moment alone.
const FIRST_LOOK: Duration = Duration::from_secs(5);
const FIRST_GLANCE: Duration = Duration::from_millis(300);

/// What is known of one owner's revocations.
pub(super) struct Feed {
    begun: Instant,
    /// Whether the first look at them has ended, in whichever way.
    pub(super) was_looked_at: watch::Sender<bool>,
    pub(super) state: Mutex<FeedState>,
}

#[derive(Default)]
pub(super) struct FeedState {
    /// By id, and until when.
    pub(super) revoked: BTreeMap<String, Instant>,
    /// Whether there were more than are remembered.
    overflown: bool,
    pub(super) next: String,
    /// Since when it cannot be read; none: it can.
    pub(super) failing: Option<Instant>,
    /// Whether it was ever read.
    read: bool,
    /// Whether the server was there and would not tell.
    pub(super) refused: bool,
    pub(super) ended: bool,
    pub(super) used: Option<Instant>,
    /// What time the server said that it is, and when.
    told: Option<(Timestamp, Instant)>,
    /// Since when each of its answers says an earlier time than that leads to.
    pub(super) earlier: Option<Instant>,
    /// No token that was issued by then is good.
    none_until: Option<Timestamp>,
}

/// What time it is by what was said then.
fn passed((told, at): (Timestamp, Instant)) -> Timestamp {
    told.plus(i64::try_from(at.elapsed().as_secs()).unwrap_or(i64::MAX))
}

impl FeedState {
    pub(super) fn counts(&self, token: &Signed) -> bool {
        let is_blind = self.overflown || self.failing.is_some_and(|since| since.elapsed() > BLIND_TIME);
        let seen = self.read && !self.ended && !is_blind;
        let has_ended = self.is_past_its_end(token) || self.is_of_before(token);
        !has_ended && !self.revoked.contains_key(&token.jti) && (seen || token.needs_no_look())
    }

    /// Whether it has ended by the clock of whoever issued it, from when on that names it no more: the clock here may be behind
    /// (threat 35).
    fn is_past_its_end(&self, token: &Signed) -> bool {
        self.told.map(passed).is_some_and(|now| token.answer.exp.is_some_and(|end| end <= now))
    }

    /// Whether a server issued it that was put back to an earlier state since.
    fn is_of_before(&self, token: &Signed) -> bool {
        self.none_until.is_some_and(|until| token.answer.iat.is_none_or(|issued| issued <= until))
    }

    /// Nobody has said anything about this owner's tokens yet.
    pub(super) fn is_unknown(&self) -> bool {
        !self.read && !self.ended && !self.refused
    }

    pub(super) fn learn(&mut self, news: Revocations, now: Timestamp) {
        let at = Instant::now();
        self.revoked.retain(|_, until| at < *until);
        // each answer tells all that is revoked: there may be room again
        self.overflown = false;
        for token in news.revoked.into_iter().filter(|token| token.jti.len() <= MAX_JTI) {
            if self.revoked.len() >= MOST_REVOKED && !self.revoked.contains_key(&token.jti) {
                self.overflown = true;
                break;
            }
            let left = now.until(token.exp).clamp(0, REMEMBERED_SECONDS).unsigned_abs();
            self.revoked.insert(token.jti, at + Duration::from_secs(left) + REMEMBERED_MORE);
        }
        (self.next, self.ended, self.read, self.failing) = (news.next, news.ended, true, None);
        self.none_until = news.none_until;
        // what it said before goes on with the time that passes here, and is not taken back; but for a leap that is over, where
        // both clocks agree again, or where it has said so for a while: the clock here may be another
        let expected = self.told.map(passed);
        let is_earlier = news.time.zip(expected).is_some_and(|(time, expected)| time.plus(1) < expected);
        self.earlier = is_earlier.then(|| self.earlier.unwrap_or(at));
        let is_over = self.earlier.is_some_and(|since| since.elapsed() >= LEAP_IS_OVER);
        self.earlier = self.earlier.filter(|_| !is_over);
        let agrees = |time: &Timestamp| is_over || time.0.abs_diff(now.0) <= CLOCKS_AGREE;
        let told = news.time.filter(agrees).or(expected.max(news.time));
        self.told = told.map(|time| (time, at));
    }
}

impl Feed {
    pub(super) fn new() -> Self {
        let state = FeedState { used: Some(Instant::now()), ..FeedState::default() };
        Self { begun: Instant::now(), was_looked_at: watch::Sender::new(false), state: Mutex::new(state) }
    }

    /// Waits for the first look; not longer than for a while after it began, however many come.
    pub(super) async fn wait_for_a_look(&self, is_short: bool) {
        let until = self.begun + if is_short { FIRST_GLANCE } else { FIRST_LOOK };
        let mut was_looked_at = self.was_looked_at.subscribe();
        let looked = was_looked_at.wait_for(|looked| *looked);
        let _in_time_or_not = tokio::time::timeout_at(until, looked).await.is_ok();
    }

    pub(super) fn is_wanted(&self) -> bool {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        !state.ended && state.used.is_some_and(|used| used.elapsed() < UNUSED)
    }
}
