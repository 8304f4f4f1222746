//! A callback that comes more than once: a double click, a proxy that repeats, a page that is fetched ahead. A code is good once,
//! and an authorization server that sees it twice ends what it gave for it (RFC 6749 4.1.2): so the first is carried out, and the
//! others are answered as it was. Called by `link/pages.rs`; kept in memory for as long as a link may take.

use super::BEGUN_LIFETIME;
use super::came_of_it::CameOfIt;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::Timestamp;

/// Most that are kept. Beyond, a repeated one is as good as a used code.
const MOST: usize = 5_000;

/// What came of callbacks, by their `state`.
#[derive(Default)]
pub(in super::super) struct Finished(Mutex<HashMap<String, (Timestamp, CameOfIt)>>);

impl Finished {
    pub(super) fn find(&self, state: &str, now: Timestamp) -> Option<CameOfIt> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.get(state).filter(|(until, _)| now < *until).map(|(_, came_of_it)| came_of_it.clone())
    }

    pub(super) fn note(&self, state: &str, came_of_it: &CameOfIt, now: Timestamp) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() >= MOST {
            all.retain(|_, (until, _)| now < *until);
        }
        if all.len() < MOST {
            all.insert(state.to_owned(), (now.plus(BEGUN_LIFETIME), came_of_it.clone()));
        }
    }
}
