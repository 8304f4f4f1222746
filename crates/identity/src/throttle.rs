//! Limits on what one caller may do in a minute. In memory and bounded: a limit need not survive a
//! restart, and a flood of names must not fill it.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::Timestamp;

const MOST_KEYS: usize = 100_000;

/// Counts per key and minute.
pub struct Throttle {
    per_minute: u32,
    counts: Mutex<(i64, HashMap<String, u32>)>,
}

impl Throttle {
    pub fn per_minute(per_minute: u32) -> Self {
        Self { per_minute, counts: Mutex::new((0, HashMap::new())) }
    }

    /// Counts one more for `key`; `false` where that is one too many.
    pub fn admit(&self, key: &str, now: Timestamp) -> bool {
        let minute = now.0.div_euclid(60);
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != minute || counts.1.len() > MOST_KEYS {
            *counts = (minute, HashMap::new());
        }
        if let Some(count) = counts.1.get_mut(key) {
            *count = count.saturating_add(1);
            return *count <= self.per_minute;
        }
        counts.1.insert(key.to_owned(), 1);
        self.per_minute >= 1
    }

    /// Takes one back: what was counted did no harm.
    pub fn forgive(&self, key: &str) {
        let mut counts = self.counts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.1.get_mut(key) {
            *count = count.saturating_sub(1);
        }
    }
}
