//! Key sets at other places: of clients (`jwks_uri`) and of issuers. Anybody may name a client, and so make its keys be asked
//! for; so one set is fetched by one at a time, and an answer - also that there was none - is kept for a while.

use crate::{Failure, Identity};
use jose::KeySet;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use types::{ErrorCode, Refusal, Timestamp};

/// Seconds that a key set is kept.
const KEPT: i64 = 300;
/// Seconds in which a place that gave none is not asked again.
const FAILED: i64 = 10;
/// Most places that are remembered.
const MAX_PLACES: usize = 1_000;

/// What a place last gave, and when; empty before the first time.
type Place = Arc<tokio::sync::Mutex<Option<Fetched>>>;

#[derive(Clone)]
struct Fetched {
    at: Timestamp,
    keys: Result<KeySet, String>,
}

impl Fetched {
    fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.at.plus(if self.keys.is_ok() { KEPT } else { FAILED })
    }
}

/// Fetched key sets by their URL.
#[derive(Default)]
pub struct RemoteKeys(Mutex<HashMap<String, Place>>);

impl RemoteKeys {
    fn place(&self, uri: &str, now: Timestamp) -> Place {
        let mut places = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if places.len() >= MAX_PLACES && !places.contains_key(uri) {
            // those that are being asked stay, so that nobody asks them a second time at once
            places.retain(|_, place| match place.try_lock() {
                Ok(kept) => kept.as_ref().is_some_and(|kept| kept.is_fresh(now)),
                Err(_) => true,
            });
        }
        if places.len() >= MAX_PLACES && !places.contains_key(uri) {
            places.retain(|_, place| Arc::strong_count(place) > 1);
        }
        places.entry(uri.to_owned()).or_default().clone()
    }
}

fn invalid(what: impl Into<String>) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidClient, what))
}

impl Identity {
    /// A key set by URL, through the guarded client.
    pub async fn fetch_keys(&self, uri: &str) -> Result<KeySet, Failure> {
        let place = self.remote_keys.place(uri, self.now());
        let mut kept = place.lock().await;
        if let Some(kept) = kept.as_ref().filter(|kept| kept.is_fresh(self.now())) {
            return kept.keys.clone().map_err(invalid);
        }
        let keys = self.ask_for_keys(uri).await;
        *kept = Some(Fetched { at: self.now(), keys: keys.clone() });
        keys.map_err(invalid)
    }

    async fn ask_for_keys(&self, uri: &str) -> Result<KeySet, String> {
        // a key set that stands in the configuration may be anywhere
        let outbound = self.outbound.for_listed(uri);
        let answer = outbound.send(outbound::Request::get(uri)).await.map_err(|error| error.to_string())?;
        if !answer.status.is_success() {
            return Err(format!("`{uri}` gives no keys: it answers {}", answer.status.as_u16()));
        }
        let set: serde_json::Value = types::json::parse(&answer.body).map_err(|error| error.to_string())?;
        KeySet::from_json(&set).ok_or_else(|| "the key set is none".to_owned())
    }
}
