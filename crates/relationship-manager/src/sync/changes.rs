//! What this desk has had done while a server is being read. The reading may have passed that place before, or not: so it is done once
//! more to what the reading brings, and nothing that a reading found is thrown away for it, however much is done meanwhile.

use super::{Reading, Snapshot};
use crate::share::segment;
use crate::{Manager, Trouble, lock};
use std::collections::BTreeSet;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::policy::PolicyDocument;

/// A change of what is kept of a server; done twice it is as done once.
pub(super) type Change = Box<dyn Fn(Snapshot) -> Snapshot + Send + Sync>;

/// Changes since the reading under way began; none where none is.
#[derive(Default)]
pub(super) struct Changes(Mutex<Option<Vec<Change>>>);

/// A reading under way: what is changed is remembered until it is over, whichever way.
pub(super) struct UnderWay<'r>(&'r Changes);

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        *lock(&self.0.0) = None;
    }
}

impl Changes {
    pub(super) fn begin(&self) -> UnderWay<'_> {
        *lock(&self.0) = Some(Vec::new());
        UnderWay(self)
    }

    fn note(&self, change: Change) {
        if let Some(all) = lock(&self.0).as_mut() {
            all.push(change);
        }
    }

    /// What a reading brought, with what was changed since it began.
    pub(super) fn applied_to(&self, snapshot: Snapshot) -> Snapshot {
        let all = lock(&self.0);
        all.iter().flatten().fold(snapshot, |snapshot, change| change(snapshot))
    }
}

impl Snapshot {
    fn with_made(mut self, made: &[PolicyDocument]) -> Self {
        let known: BTreeSet<_> = self.policies.iter().filter_map(|policy| policy.id.clone()).collect();
        let new = made.iter().filter(|policy| policy.id.as_ref().is_some_and(|id| !known.contains(id)));
        self.policies.extend(new.cloned());
        self
    }

    fn with_decided(mut self, decided: &AccessRequestDocument) -> Self {
        // one that was read as decided already says more
        let waiting = self.requests.iter_mut().filter(|one| one.id == decided.id && one.state == AccessRequestState::Pending);
        waiting.for_each(|one| one.clone_from(decided));
        self
    }

    /// Without what stood at these places and is deleted.
    fn without_deleted(mut self, urls: &BTreeSet<String>) -> Self {
        let is_gone = |endpoint: Option<&String>, id: &str| {
            endpoint.is_some_and(|endpoint| urls.contains(&format!("{endpoint}/{}", segment(id))))
        };
        let (policies, requests) = (self.policy_endpoint.as_ref(), self.access_requests_endpoint.as_ref());
        self.policies.retain(|policy| !policy.id.as_ref().is_some_and(|id| is_gone(policies, id.as_str())));
        self.requests.retain(|request| !is_gone(requests, request.id.as_str()));
        self
    }
}

impl Manager {
    /// Changes what is kept of a server, and what a reading brings that is under way; nothing where nothing is kept.
    pub(crate) async fn change_snapshot(
        &self,
        owner: &str,
        id: &str,
        change: impl Fn(Snapshot) -> Snapshot + Send + Sync + 'static,
    ) -> Result<(), Trouble> {
        let (reading, change) = (self.reading_of(owner, id), Arc::new(change));
        let _held = reading.writing.lock().await;
        // first: where it cannot be written down, the reading that is under way has it all the same
        let noted = change.clone();
        reading.changes.note(Box::new(move |snapshot| noted(snapshot)));
        if let Some(snapshot) = self.snapshot(owner, id).await? {
            self.store.put_snapshot(owner, id, &change(snapshot)).await?;
            self.look_again(owner);
        }
        Ok(())
    }

    /// The same of what a server has done: it has, whether or not that can be written down here.
    async fn note_done(&self, owner: &str, id: &str, change: impl Fn(Snapshot) -> Snapshot + Send + Sync + 'static) {
        if let Err(error) = self.change_snapshot(owner, id, change).await {
            tracing::warn!(%error, "what a server has done is shown once it is read again");
        }
    }

    /// The same where what was read before counts no more: it is not kept.
    pub(super) async fn overrule_snapshot(
        &self,
        owner: &str,
        id: &str,
        change: impl FnOnce(Snapshot) -> Snapshot,
    ) -> Result<(), Trouble> {
        let reading = self.reading_of(owner, id);
        let _held = reading.writing.lock().await;
        if let Some(snapshot) = self.snapshot(owner, id).await? {
            reading.overruled.fetch_add(1, Ordering::Release);
            self.store.put_snapshot(owner, id, &change(snapshot)).await?;
            self.look_again(owner);
        }
        Ok(())
    }

    /// A server has written these policies, as it was asked to: they are hers to see and to take back from now on, whenever it is read
    /// next.
    pub(crate) async fn note_made(&self, owner: &str, id: &str, made: Vec<PolicyDocument>) {
        if !made.is_empty() {
            self.note_done(owner, id, move |snapshot| snapshot.with_made(&made)).await;
        }
    }

    /// A server has taken her answer to a request: what she allowed is hers to take back from now on.
    pub(crate) async fn note_decided(&self, owner: &str, id: &str, decided: AccessRequestDocument) {
        self.note_done(owner, id, move |snapshot| snapshot.with_decided(&decided)).await;
    }

    /// A server has confirmed that what stood at these places is gone.
    pub(crate) async fn note_deleted(&self, owner: &str, id: &str, urls: BTreeSet<String>) {
        if !urls.is_empty() {
            self.note_done(owner, id, move |snapshot| snapshot.without_deleted(&urls)).await;
        }
    }

    /// Something is changed at a server: a reading that is under way may not know of it, and the next look asks again.
    pub(crate) fn count_change(&self, owner: &str, id: &str) {
        // where nobody has read it nothing is under way
        if let Some(reading) = lock(&self.reading).get(&(owner.to_owned(), id.to_owned())) {
            reading.changed.fetch_add(1, Ordering::Release);
        }
    }
}

impl Reading {
    pub(super) fn changed(&self) -> u64 {
        self.changed.load(Ordering::Acquire)
    }

    pub(super) fn overruled(&self) -> u64 {
        self.overruled.load(Ordering::Acquire)
    }
}
