//! Whose password is being hashed, or waits for it. Two at a time, since each takes a core and 19 MiB; the others wait, and
//! nobody for longer than a person does. A household and a network have a share of those who wait, so that whoever sends many
//! at once keeps others waiting for a moment, and takes nobody's place.

use crate::{Failure, internal};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;
use types::throttle::{household_of, network_of};
use types::{AccountId, ErrorCode};

const AT_ONCE: usize = 2;
/// Those whose turn it is, and those who wait for it.
const MAX_WAITING: usize = 200;
const MAX_OF_HOUSEHOLD: usize = 40;
const MAX_OF_NETWORK: usize = 60;

/// Who waits, by the shares that it takes of.
#[derive(Clone)]
pub(crate) struct Waiting {
    household: String,
    network: String,
}

impl Waiting {
    /// Whoever is at this address.
    pub(crate) fn at(address: &str) -> Self {
        Self { household: format!("household {}", household_of(address)), network: format!("network {}", network_of(address)) }
    }

    /// Somebody who is logged in: wherever she is, nobody else has her account.
    pub(crate) fn of_session(account: &AccountId) -> Self {
        Self { household: format!("account {account}"), network: format!("sessions of {account}") }
    }

    /// Whoever starts the server.
    pub(crate) fn of_operator() -> Self {
        Self { household: "operator".into(), network: "operator's network".into() }
    }
}

/// How many wait: all, and by share.
#[derive(Default)]
struct Count {
    all: usize,
    by_share: HashMap<String, usize>,
}

impl Count {
    fn of(&self, share: &str) -> usize {
        self.by_share.get(share).copied().unwrap_or(0)
    }
}

pub(crate) struct HashingQueue {
    at_once: Arc<Semaphore>,
    waiting: Arc<Mutex<Count>>,
}

impl Default for HashingQueue {
    fn default() -> Self {
        Self { at_once: Arc::new(Semaphore::new(AT_ONCE)), waiting: Arc::default() }
    }
}

/// A place in the queue, until it is dropped.
struct Place {
    who: Waiting,
    waiting: Arc<Mutex<Count>>,
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut count = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        count.all = count.all.saturating_sub(1);
        for share in [&self.who.household, &self.who.network] {
            let left = count.of(share).saturating_sub(1);
            match left {
                0 => count.by_share.remove(share),
                _ => count.by_share.insert(share.clone(), left),
            };
        }
    }
}

impl HashingQueue {
    fn take(&self, who: &Waiting) -> Option<Place> {
        let mut count = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let has_room =
            count.all < MAX_WAITING && count.of(&who.household) < MAX_OF_HOUSEHOLD && count.of(&who.network) < MAX_OF_NETWORK;
        if !has_room {
            return None;
        }
        count.all = count.all.saturating_add(1);
        for share in [&who.household, &who.network] {
            let more = count.of(share).saturating_add(1);
            count.by_share.insert(share.clone(), more);
        }
        Some(Place { who: who.clone(), waiting: self.waiting.clone() })
    }

    /// Does the work when its turn comes; refuses at once where too many wait. Work that has begun keeps its place until it
    /// is done, also where whoever asked has hung up.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        who: &Waiting,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, Failure> {
        let Some(place) = self.take(who) else {
            return Failure::refuse(ErrorCode::TooManyRequests, "many people log in right now: try again in a moment");
        };
        let permit = self.at_once.clone().acquire_owned().await.map_err(internal)?;
        let work = move || {
            let done = work();
            drop((permit, place));
            done
        };
        tokio::task::spawn_blocking(work).await.map_err(internal)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_nobody_takes_all_places_where_passwords_wait() {
        let queue = HashingQueue::default();
        let take = |address: String| queue.take(&Waiting::at(&address));
        let fill = |address: &dyn Fn(usize) -> String| (0..300).filter_map(|n| take(address(n))).collect::<Vec<_>>();
        let host = fill(&|_| "192.0.2.1".into());
        let home = fill(&|n| format!("2001:db8:0:{:x}::1", n % 256));
        assert_eq!((host.len(), home.len()), (40, 40), "a host, and a house with many of them");
        let network = fill(&|n| format!("192.0.2.{}", n % 250));
        assert_eq!(network.len(), 20, "with the host's 60");
        assert!(take("198.51.100.1".into()).is_some() && queue.take(&Waiting::of_session(&AccountId::new("alice"))).is_some());
        drop((host, network));
        assert_eq!(fill(&|n| format!("192.0.2.{}", n % 250)).len(), 60, "places come back");
        // all together
        let all: Vec<_> = (0..400).filter_map(|n| take(format!("10.{}.{}.1", n / 250, n % 250))).collect();
        assert_eq!(all.len(), MAX_WAITING - 40);
        drop((all, home));
        let count = queue.waiting.lock().unwrap();
        assert!(count.all == 0 && count.by_share.is_empty());
    }

    #[tokio::test]
    async fn threat_46_work_that_nobody_waits_for_keeps_its_turn() {
        let queue = HashingQueue::default();
        let (go, wait) = std::sync::mpsc::channel::<()>();
        let (begun, has_begun) = tokio::sync::oneshot::channel();
        let who = Waiting::at("192.0.2.1");
        let work = queue.run(&who, move || {
            let _ = begun.send(());
            let _ = wait.recv();
        });
        // whoever asked hangs up when it has begun
        tokio::select! { biased; _ = work => panic!("it waits"), begun = has_begun => begun.unwrap() };
        assert_eq!((queue.at_once.available_permits(), queue.waiting.lock().unwrap().all), (AT_ONCE - 1, 1));
        go.send(()).unwrap();
        queue.run(&who, || ()).await.unwrap();
        let both = queue.at_once.acquire_many(AT_ONCE as u32).await;
        assert!(both.is_ok());
    }
}
