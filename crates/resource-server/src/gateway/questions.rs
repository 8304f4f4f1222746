//! Questions that an authorization server is asked for strangers (row 46): of a call without a token, or with one that was never
//! good here. Anybody makes as many such calls as he likes, and a server may take its time: so only some are under way at a
//! time, fewer of one network, and whoever holds a token that was good waits for none of them.

use super::Gateway;
use super::strangers::Asker;
use crate::challenge::plain;
use axum::response::Response;
use http::{HeaderValue, StatusCode, header};
use jose::digest;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use types::peer::network_of;

/// Most at one server of the operator's, and of one network there.
const MOST_AT_LISTED: usize = 48;
/// The same at a server that an owner brought.
const MOST_AT_BROUGHT: usize = 24;
/// Parts of that for one network.
const PARTS: usize = 3;
/// How long somebody waits for a place.
const PATIENCE: Duration = Duration::from_secs(1);

/// Those that are under way, by server, and by server and network.
#[derive(Default)]
pub(super) struct Questions(Mutex<HashMap<String, Arc<Semaphore>>>);

/// A place, given back when it is dropped.
pub(super) struct Place {
    _of_network: OwnedSemaphorePermit,
    _of_server: OwnedSemaphorePermit,
}

impl Questions {
    async fn enter(&self, issuer: &str, network: &str, most: usize) -> Option<Place> {
        let of_network = self.places(format!("{issuer} {network}"), most / PARTS);
        let _of_network = of_network.acquire_owned().await.ok()?;
        let _of_server = self.places(issuer.to_owned(), most).acquire_owned().await.ok()?;
        Some(Place { _of_network, _of_server })
    }

    fn places(&self, key: String, most: usize) -> Arc<Semaphore> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !all.contains_key(&key) {
            all.retain(|_, places| Arc::strong_count(places) > 1 || places.available_permits() == 0);
        }
        all.entry(key).or_insert_with(|| Arc::new(Semaphore::new(most))).clone()
    }
}

impl Gateway {
    /// Places for the questions of a call, where a stranger makes it: at each of the servers that may be asked. Whoever wants a
    /// ticket is one, whatever token was shown before.
    pub(super) async fn enter_questions(
        &self,
        authorization: Option<&str>,
        issuers: &[String],
        asker: Asker<'_>,
    ) -> Result<Vec<Place>, Box<Response>> {
        if authorization.is_some_and(|authorization| self.was_good(authorization, issuers)) {
            return Ok(Vec::new());
        }
        let network = asker.caller.map(|caller| network_of(caller.0)).unwrap_or_default();
        let mut places = Vec::new();
        for issuer in issuers {
            let most = if self.is_listed(issuer) { MOST_AT_LISTED } else { MOST_AT_BROUGHT };
            let entered = tokio::time::timeout(PATIENCE, self.questions.enter(issuer, &network, most)).await;
            places.push(entered.ok().flatten().ok_or_else(too_many)?);
        }
        Ok(places)
    }

    /// Whether a token of one of these let somebody in before; it is judged all the same. What is good at a server of one's own
    /// is a stranger's at another.
    fn was_good(&self, authorization: &str, issuers: &[String]) -> bool {
        let Some((_, token)) = authorization.split_once(' ') else { return false };
        let by = self.issued_by.get(&digest::sha256(&[token.trim().as_bytes()]));
        by.is_some_and(|issuer| issuers.contains(&issuer))
    }
}

fn too_many() -> Box<Response> {
    let what = "Too many ask here right now: try again in a moment.";
    let mut response = plain(StatusCode::SERVICE_UNAVAILABLE, what);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    Box::new(response)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    #[tokio::test]
    async fn threat_46_strangers_have_a_server_asked_a_few_at_a_time() {
        let questions = Questions::default();
        let enter = |network: &'static str| questions.enter("https://as.example", network, 24).now_or_never().flatten();
        let mut evil: Vec<_> = (0..10).filter_map(|_| enter("192.0.2.0/24")).collect();
        assert_eq!(evil.len(), 8, "a third of them is for one network");
        let others: Vec<_> = ["a", "b"].into_iter().flat_map(|network| (0..8).filter_map(move |_| Some(network))).collect();
        let mut held: Vec<_> = others.into_iter().filter_map(enter).collect();
        assert!(held.len() == 16 && enter("c").is_none(), "and so many are under way in all");
        assert!(questions.enter("https://other.example", "c", 24).now_or_never().flatten().is_some());
        held.pop();
        assert!(enter("c").is_some());
        evil.clear();
        held.clear();
        for n in 0..1_000 {
            drop(questions.enter(&format!("https://{n}.example"), "a", 24).await);
        }
        assert!(questions.0.lock().unwrap().len() < 10, "what is empty is forgotten");
    }
}
