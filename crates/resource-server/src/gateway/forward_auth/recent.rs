//! Calls about which somebody asked a moment ago. A proxy may ask twice about one call (nginx does after an internal redirect):
//! that is one line of the owner's history, and one use of a DPoP proof.

use super::super::passage::Whole;
use http::request::Parts;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use jose::digest;
use quick_cache::unsync::Cache;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::peer::Caller;

/// For how long it is the same call.
const SAME_CALL: Duration = Duration::from_secs(1);
/// Whose is forgotten before counts once more.
const MOST_KEPT: usize = 10_000;

/// On a call that was counted a moment ago.
#[derive(Clone, Copy)]
pub(in crate::gateway) struct AskedBefore;

#[derive(Clone)]
struct Asked {
    at: Instant,
    /// What let it in.
    whole: Option<Arc<Whole>>,
}

/// What tells one call from another: who makes it, what it is, and what it shows.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Key([u8; 32]);

impl Key {
    pub(super) fn of(call: &Parts) -> Self {
        let caller = call.extensions.get::<Caller>().map(|caller| caller.0.to_string()).unwrap_or_default();
        let target = call.uri.path_and_query().map(|target| target.as_str()).unwrap_or_default();
        let mut parts = vec![caller.as_bytes(), call.method.as_str().as_bytes(), target.as_bytes()];
        for name in
            [header::AUTHORIZATION, header::COOKIE, HeaderName::from_static("dpop"), HeaderName::from_static("destination")]
        {
            parts.push(b"\n");
            parts.extend(values(&call.headers, &name));
        }
        let parts: Vec<&[u8]> = parts.into_iter().flat_map(|part| [part, b"\0"]).collect();
        Self(digest::sha256(&parts))
    }
}

fn values<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    headers.get_all(name).iter().map(HeaderValue::as_bytes)
}

/// The calls of a second.
pub(in crate::gateway) struct Recent(Mutex<Cache<Key, Asked>>);

impl Default for Recent {
    fn default() -> Self {
        Self(Mutex::new(Cache::new(MOST_KEPT)))
    }
}

impl Recent {
    /// Whether it is asked about for the first time in this second; else what let it in then, if anything.
    pub(super) fn begin(&self, key: Key, now: Instant) -> Result<(), Option<Arc<Whole>>> {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(asked) = calls.get(&key).filter(|asked| now.saturating_duration_since(asked.at) < SAME_CALL) {
            return Err(asked.whole.clone());
        }
        calls.insert(key, Asked { at: now, whole: None });
        Ok(())
    }

    /// Keeps what let it in.
    pub(super) fn keep(&self, key: Key, whole: Arc<Whole>) {
        let mut calls = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(mut asked) = calls.get_mut(&key) {
            asked.whole = Some(whole);
        }
    }
}
