//! Instants on the wire and in the store: whole seconds since 1970-01-01T00:00:00Z.

use serde::{Deserialize, Serialize};

/// Seconds since the epoch. Nothing here reads a clock: `now` is always an argument.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Timestamp(pub i64);

impl Timestamp {
    /// This instant moved by so many seconds; saturates instead of overflowing.
    pub fn plus(self, seconds: i64) -> Self {
        Self(self.0.saturating_add(seconds))
    }

    /// Seconds from `self` until `later`, never negative.
    pub fn until(self, later: Self) -> i64 {
        later.0.saturating_sub(self.0).max(0)
    }

    /// Whole hours since the epoch.
    pub fn hour(self) -> i64 {
        self.0.div_euclid(3600)
    }

    /// Whole days since the epoch.
    pub fn day(self) -> i64 {
        self.0.div_euclid(86_400)
    }
}
