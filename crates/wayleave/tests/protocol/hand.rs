//! Time, as a test has it.

use jose::Clock;
use std::sync::atomic::{AtomicI64, Ordering};
use types::Timestamp;

/// A clock in the test's hand.
pub(crate) struct Hand(AtomicI64);

impl Hand {
    pub(crate) fn at(now: i64) -> Self {
        Self(AtomicI64::new(now))
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::Relaxed);
    }
}

impl Clock for Hand {
    fn now(&self) -> Timestamp {
        Timestamp(self.0.load(Ordering::Relaxed))
    }
}
