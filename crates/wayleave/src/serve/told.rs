//! What happens to many connections, told seldom.

use std::time::{Duration, Instant};

/// It is told once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(1);

/// What happens to many connections at once, in one line of the log.
#[derive(Default)]
pub(super) struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    pub(super) fn tell(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.untold = self.untold.saturating_add(1);
        if self.last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        tracing::warn!(error = %why, count = self.untold, "{what}");
        (self.last, self.untold) = (Some(Instant::now()), 0);
    }
}
