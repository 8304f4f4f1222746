//! Key sets at other places: of clients (`jwks_uri`) and of issuers. Anybody may name a client, and so make its keys be asked
//! for; so one set is fetched by one at a time, and an answer - also that there was none - is kept for a while.

use crate::{Failure, Identity};
use jose::KeySet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::{ErrorCode, Refusal, Timestamp};

/// Seconds that a key set is kept.
const KEPT_SECONDS: i64 = 300;
/// Seconds in which a place that gave none is not asked again.
const FAILED_SECONDS: i64 = 10;
/// Seconds after which a place is asked again for a key that it did not have.
const RESTED_SECONDS: i64 = 30;
/// Most keys of a set that a stranger names: a signature without the name of its key is tried at each.
const MAX_KEYS_OF_STRANGER: usize = 32;
/// Most places that are remembered.
const MAX_PLACES: usize = 1_000;

/// Where a key set is, and who says so: the operator's configuration, or whoever registered a client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct KeyPlace {
    pub uri: String,
    pub is_declared: bool,
}

impl KeyPlace {
    pub fn declared(uri: &str) -> Self {
        Self { uri: uri.to_owned(), is_declared: true }
    }
}

/// What a place last gave; empty before the first time.
type Place = Arc<tokio::sync::Mutex<Option<Fetched>>>;

#[derive(Clone)]
struct Fetched {
    at: Timestamp,
    /// When it was last asked, also in vain.
    asked: Timestamp,
    keys: Result<KeySet, String>,
}

impl Fetched {
    fn is_fresh(&self, now: Timestamp) -> bool {
        is_within(self.at, now, if self.keys.is_ok() { KEPT_SECONDS } else { FAILED_SECONDS })
    }

    /// Whether it will do for whoever needs a certain key: it is there, or has just been asked for.
    fn will_do(&self, now: Timestamp, fits: impl Fn(&KeySet) -> bool) -> bool {
        self.is_fresh(now) && (is_within(self.asked, now, RESTED_SECONDS) || self.keys.as_ref().map_or(true, fits))
    }
}

/// A clock that was set back makes nothing fresh for longer.
fn is_within(begin: Timestamp, now: Timestamp, seconds: i64) -> bool {
    now.0.saturating_sub(begin.0).saturating_abs() < seconds
}

/// Fetched key sets by their place. What a stranger names is apart from what is declared, though it be the same URL: it may
/// be asked at other addresses, and what it does not give is nothing to the operator's clients.
#[derive(Default)]
pub struct RemoteKeys(Mutex<HashMap<KeyPlace, Place>>);

impl RemoteKeys {
    fn place(&self, at: &KeyPlace, now: Timestamp) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_PLACES && !places.contains_key(at) {
            // those that are being asked stay, so that nobody asks them a second time at once
            places.retain(|at, place| match place.try_lock() {
                Ok(kept) => at.is_declared || kept.as_ref().is_some_and(|kept| kept.is_fresh(now)),
                Err(_) => true,
            });
        }
        if places.len() >= MAX_PLACES && !places.contains_key(at) {
            // strangers name many, the operator few
            places.retain(|at, place| at.is_declared || Arc::strong_count(place) > 1);
        }
        places.entry(at.clone()).or_default().clone()
    }
}

fn invalid(what: impl Into<String>) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidClient, what))
}

impl Identity {
    /// A key set by URL, through the guarded client. A key that it has not, as `fits` says, may have come since: it is
    /// fetched anew, but not by everybody who claims to have one. Whoever only looks keeps nobody else waiting.
    pub async fn fetch_keys(&self, at: &KeyPlace, fits: impl Fn(&KeySet) -> bool) -> Result<KeySet, Failure> {
        let place = self.remote_keys.place(at, self.now());
        let seen = place.lock().await.clone();
        if let Some(seen) = seen.as_ref().filter(|seen| seen.will_do(self.now(), fits)) {
            return seen.keys.clone().map_err(invalid);
        }
        let mut kept = place.lock().await;
        let now = self.now();
        let is_newer = |kept: &&Fetched| seen.as_ref().is_none_or(|seen| seen.asked != kept.asked);
        if let Some(newer) = kept.as_ref().filter(|kept| kept.is_fresh(now)).filter(is_newer) {
            return newer.keys.clone().map_err(invalid);
        }
        let keys = match self.ask_for_keys(at).await {
            // nobody was asked, which says nothing about that place
            Err(KeysError::Busy(what)) => return Err(Failure::Unavailable(what)),
            Err(KeysError::NotThere(what)) => Err(what),
            Ok(keys) => Ok(keys),
        };
        if let (Err(_), Some(kept)) = (&keys, kept.as_mut().filter(|kept| kept.keys.is_ok() && kept.is_fresh(now))) {
            // what was good a moment ago is not lost by asking for more
            kept.asked = self.now();
            return kept.keys.clone().map_err(invalid);
        }
        *kept = Some(Fetched { at: self.now(), asked: self.now(), keys: keys.clone() });
        keys.map_err(invalid)
    }

    async fn ask_for_keys(&self, at: &KeyPlace) -> Result<KeySet, KeysError> {
        let uri = &at.uri;
        // a key set that stands in the configuration may be anywhere; what a stranger names is a stranger's word
        let outbound = if at.is_declared { self.outbound.for_listed(uri) } else { self.outbound.for_strangers() };
        // one at a time asks for a key set, for all who need it: so each has its turns
        let by = outbound::Party::new(["keys".to_owned(), uri.clone()]);
        let answer = outbound.send(outbound::Request::get(uri).by(by)).await.map_err(|error| match error {
            outbound::OutboundError::Busy(_) => KeysError::Busy(error.to_string()),
            _ => KeysError::NotThere(error.to_string()),
        })?;
        read_keys(at, &answer).map_err(KeysError::NotThere)
    }
}

/// Why there are no keys.
enum KeysError {
    Busy(String),
    NotThere(String),
}

/// The key set of an answer.
fn read_keys(at: &KeyPlace, answer: &outbound::Response) -> Result<KeySet, String> {
    let uri = &at.uri;
    if !answer.status.is_success() {
        return Err(format!("`{uri}` gives no keys: it answers {}", answer.status.as_u16()));
    }
    let set: serde_json::Value = types::json::parse(&answer.body).map_err(|error| error.to_string())?;
    let keys = KeySet::from_json(&set).ok_or_else(|| "the key set is none".to_owned())?;
    if !at.is_declared && keys.len() > MAX_KEYS_OF_STRANGER {
        return Err(format!("`{uri}` gives too many keys: of a client that registered itself there may be 32"));
    }
    Ok(keys)
}
