//! Who works on a resource: one at a time registers it, moves it or takes it back. An owner's order waits for what the
//! gateway does by itself, and is told so where another order is running; a call waits for either.

use super::Gateway;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::Instant;
use types::OwnResourceId;

/// How long somebody waits for whoever works on a resource before them.
const PATIENCE: Duration = Duration::from_secs(6);

type Key = (String, OwnResourceId);

/// Who began an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Begun {
    /// Its owner.
    Ordered,
    /// The gateway, by itself.
    ByItself,
}

/// Operations that run.
#[derive(Default)]
pub(super) struct Operations {
    running: Mutex<HashMap<Key, Begun>>,
    ended: Notify,
}

/// Keeps everybody else off a resource while it is being registered, moved or taken back.
pub(super) struct Busy {
    operations: Arc<Operations>,
    key: Key,
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.operations.running.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
        self.operations.ended.notify_waiters();
    }
}

impl Operations {
    /// Begins one, or says who runs another.
    fn begin(self: &Arc<Self>, key: &Key, begun: Begun) -> Result<Busy, Begun> {
        let mut running = self.running.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(other) = running.get(key) {
            return Err(*other);
        }
        running.insert(key.clone(), begun);
        Ok(Busy { operations: self.clone(), key: key.clone() })
    }

    /// Waits until what runs now has ended, for as long as anybody is waited for.
    async fn end(&self, key: &Key) {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            ended.as_mut().enable();
            let runs = self.running.lock().unwrap_or_else(PoisonError::into_inner).contains_key(key);
            if !runs || tokio::time::timeout_at(until, ended).await.is_err() {
                return;
            }
        }
    }

    /// Begins one as soon as nobody runs another whom `waits_for` says to wait for; none: it took too long, or is not waited for.
    async fn begin_after(self: &Arc<Self>, key: Key, begun: Begun, waits_for: impl Fn(Begun) -> bool) -> Option<Busy> {
        let until = Instant::now() + PATIENCE;
        loop {
            let mut ended = std::pin::pin!(self.ended.notified());
            // what ends from here on is heard of
            ended.as_mut().enable();
            match self.begin(&key, begun) {
                Ok(busy) => return Some(busy),
                Err(other) if !waits_for(other) => return None,
                Err(_) => tokio::time::timeout_at(until, ended).await.ok()?,
            }
        }
    }
}

impl Gateway {
    /// For what the gateway does by itself; none while another operation on this resource runs.
    pub(super) fn begin_operation(&self, owner: &str, own_id: &OwnResourceId) -> Option<Busy> {
        self.backlog.operations.begin(&(owner.to_owned(), own_id.clone()), Begun::ByItself).ok()
    }

    /// The same, after whatever runs has ended; none: it did not in time.
    pub(super) async fn next_operation(&self, owner: &str, own_id: &OwnResourceId) -> Option<Busy> {
        self.backlog.operations.begin_after((owner.to_owned(), own_id.clone()), Begun::ByItself, |_| true).await
    }

    /// After whatever runs has ended, or took too long.
    pub(super) async fn operation_ends(&self, owner: &str, own_id: &OwnResourceId) {
        self.backlog.operations.end(&(owner.to_owned(), own_id.clone())).await;
    }

    /// For an owner's order; none while another of hers runs.
    pub(super) async fn ordered_operation(&self, owner: &str, own_id: &OwnResourceId) -> Option<Busy> {
        let waits_for = |other| other == Begun::ByItself;
        self.backlog.operations.begin_after((owner.to_owned(), own_id.clone()), Begun::Ordered, waits_for).await
    }
}
