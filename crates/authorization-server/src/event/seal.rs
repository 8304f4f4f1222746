//! The chain of an owner's events: each gets its place behind the one before, the end is signed as a *head*, and
//! whoever keeps heads can show that something was lost or changed (`wayleave audit verify`).
//!
//! Committed events wait in memory for the sealer, in the order in which they were committed; it writes one row
//! that names them and moves the head. What a process left behind is found when the next one starts.

use super::{Event, earlier};
use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::store::Store;
use identity::access_token::PolicyToken;
use identity::{Failure, internal};
use jose::event_chain::{self, HEAD_TYPE};
use jose::{Algorithm, KeySet, base64url};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashSet};
use types::event::{ChainHead, ChainLink};
use types::{EventId, OwnerId, Timestamp};

/// Commits that run side by side may show events out of order by so much, in milliseconds.
const OUT_OF_ORDER: i64 = 60_000;
/// Most events of one seal.
const AT_ONCE: usize = 5_000;
const SEALS_AT_ONCE: usize = 16;

/// Where an owner's chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    pub owner: OwnerId,
    pub n: u64,
    /// base64url.
    pub hash: String,
    pub time: Timestamp,
    /// The latest event in the chain, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<EventId>,
}

/// Events that took their places together, in this order; the first of them is number `n`, counted from 1.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EventSeal {
    pub n: u64,
    pub ids: Vec<EventId>,
}

impl EventSeal {
    fn next(&self) -> u64 {
        self.n.saturating_add(u64::try_from(self.ids.len()).unwrap_or(u64::MAX))
    }
}

/// What was committed since somebody last took it.
#[derive(Default)]
pub struct Unsealed {
    pub events: Vec<Event>,
    /// Owners of commits of which nobody knows whether they happened.
    pub doubtful: BTreeSet<OwnerId>,
}

/// The sealer between two runs.
#[derive(Default)]
pub(crate) struct Sealing {
    /// Whose events must be looked for in the store.
    doubtful: BTreeSet<OwnerId>,
    /// Events that were found there, and may yet come as committed.
    found: HashSet<EventId>,
    /// Runs since something was found.
    quiet: u32,
}

/// Runs after which whatever was found has long come as committed, or never will.
const QUIET: u32 = 20;

/// What a kept head shows when it is held against the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The chain goes on from that head; it now ends at this `n`.
    Whole { n: u64 },
    /// Events that the head vouches for are gone.
    Lost { n: u64 },
    /// The store tells another story from this event on.
    Forked { n: u64 },
}

impl AuthorizationServer {
    /// The head of an owner's chain, signed; what has happened until now is in it.
    pub async fn signed_head(&self, owner: &OwnerId) -> Result<Option<String>, Failure> {
        self.seal_events().await?;
        let Some(head) = self.store.find_event_head(owner).await? else { return Ok(None) };
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, self.now())?;
        let EventHead { owner, n, hash, time, .. } = head;
        key.sign(HEAD_TYPE, &ChainHead { owner, n, hash, time }).map(Some).map_err(internal)
    }

    /// `GET {events_endpoint}/chain?after=N`: the places behind the Nth, so that whoever kept the head of that time can
    /// follow the chain to a later one.
    pub async fn list_event_chain(&self, pmt: &PolicyToken, after: u64, limit: usize) -> Result<Vec<ChainLink>, Failure> {
        self.seal_events().await?;
        let owner = &pmt.owner;
        // the seal that holds the next one may have begun before it
        let mut seals = self.store.list_event_seals(owner, Some(after.saturating_add(2)), true, 1).await?;
        let mut links = Vec::new();
        while let Some(last) = seals.last().map(|seal| seal.n) {
            for seal in &seals {
                for (n, id) in (seal.n..).zip(&seal.ids) {
                    if n <= after {
                        continue;
                    }
                    // one that is gone shows as a gap, and not as an error
                    let Some(event) = self.store.find_event(owner, id).await? else { continue };
                    let personal_hash = base64url::encode(event.personal_hash()?);
                    links.push(ChainLink { n, time: event.document.time, kind: event.document.kind, personal_hash });
                    if links.len() >= limit {
                        return Ok(links);
                    }
                }
            }
            seals = self.store.list_event_seals(owner, Some(last), false, SEALS_AT_ONCE).await?;
        }
        Ok(links)
    }

    /// Seals what has happened since the last time. Called by the wiring at least once a second.
    pub async fn seal_events(&self) -> Result<(), Failure> {
        let mut sealing = self.sealing.lock().await;
        let unsealed = self.store.take_unsealed().await?;
        sealing.doubtful.extend(unsealed.doubtful);
        let mut by_owner: BTreeMap<OwnerId, Vec<Event>> = BTreeMap::new();
        for event in unsealed.events {
            if !sealing.found.remove(&event.document.id) {
                by_owner.entry(event.owner.clone()).or_default().push(event);
            }
        }
        let mut failed = Ok(());
        for (owner, events) in by_owner {
            if sealing.doubtful.contains(&owner) {
                // all of hers are in the store, these too
                continue;
            }
            if let Err(error) = self.seal(&owner, events).await {
                sealing.doubtful.insert(owner);
                failed = Err(error);
            }
        }
        failed?;
        sealing.quiet = sealing.quiet.saturating_add(1);
        if sealing.quiet > QUIET {
            sealing.found.clear();
        }
        while let Some(owner) = sealing.doubtful.first().cloned() {
            let found = self.seal_from_store(&owner).await?;
            sealing.found.extend(found);
            sealing.quiet = 0;
            sealing.doubtful.remove(&owner);
        }
        Ok(())
    }

    /// Seals what an earlier process committed and did not come to seal.
    pub async fn seal_left_over_events(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let owners = self.store.list_event_owners(after.as_ref(), 100).await?;
            let Some(last) = owners.last().cloned() else { return self.seal_events().await };
            self.sealing.lock().await.doubtful.extend(owners);
            after = Some(last);
        }
    }

    async fn seal(&self, owner: &OwnerId, events: Vec<Event>) -> Result<(), Failure> {
        for events in events.chunks(AT_ONCE) {
            let head = self.store.find_event_head(owner).await?;
            let (head, seal) = self.link(owner, head, events)?;
            self.store.commit(Changes::of(vec![Write::SealEvents { head, seal }])).await?;
        }
        Ok(())
    }

    /// Finds events without a place, seals them, and says which they were.
    async fn seal_from_store(&self, owner: &OwnerId) -> Result<Vec<EventId>, Failure> {
        let head = self.store.find_event_head(owner).await?;
        let last = head.and_then(|head| head.last);
        let from = last.map_or_else(|| EventId::new(""), |last| earlier(&last, OUT_OF_ORDER));
        let sealed = self.sealed_since(owner, &earlier(&from, OUT_OF_ORDER)).await?;
        let (mut after, mut found) = (from, Vec::new());
        loop {
            let page = self.store.list_events_from(owner, &after, AT_ONCE).await?;
            let Some(last) = page.last() else { break };
            after = last.document.id.clone();
            let new: Vec<Event> = page.into_iter().filter(|event| !sealed.contains(&event.document.id)).collect();
            found.extend(new.iter().map(|event| event.document.id.clone()));
            self.seal(owner, new).await?;
        }
        Ok(found)
    }

    /// Ids of the newest seals, back to the first seal that is older than `from` as a whole.
    async fn sealed_since(&self, owner: &OwnerId, from: &EventId) -> Result<HashSet<EventId>, Failure> {
        let (mut ids, mut before) = (HashSet::new(), None);
        loop {
            let seals = self.store.list_event_seals(owner, before, true, SEALS_AT_ONCE).await?;
            let Some(last) = seals.last() else { return Ok(ids) };
            before = Some(last.n);
            for seal in seals {
                if seal.ids.iter().all(|id| id < from) {
                    return Ok(ids);
                }
                ids.extend(seal.ids);
            }
        }
    }

    fn link(&self, owner: &OwnerId, head: Option<EventHead>, events: &[Event]) -> Result<(EventHead, EventSeal), Failure> {
        let n = head.as_ref().map_or(0, |head| head.n).saturating_add(1);
        let mut last = head.as_ref().and_then(|head| head.last.clone());
        let mut hash = head.and_then(|head| hash_of(&head)).unwrap_or_default();
        let mut ids = Vec::with_capacity(events.len());
        for event in events {
            hash = event.hash_after(&hash)?;
            last = last.max(Some(event.document.id.clone()));
            ids.push(event.document.id.clone());
        }
        let seal = EventSeal { n, ids };
        let n = seal.next().saturating_sub(1);
        Ok((EventHead { owner: owner.clone(), n, hash: base64url::encode(hash), time: self.now(), last }, seal))
    }
}

fn hash_of(head: &EventHead) -> Option<[u8; 32]> {
    event_chain::read_hash(&head.hash)
}

/// Holds a head that somebody kept against the store: its signature, then every hash of the chain anew, up to
/// the store's own end.
pub async fn verify_head(store: &dyn Store, keys: &KeySet, head: &str) -> Result<Verdict, Failure> {
    let refuse = |error: jose::JwsError| internal(format!("the head is not one of this server's: {error}"));
    let ChainHead { owner, n, hash, time } = event_chain::verify_head(head, keys).map_err(refuse)?.into_inner();
    let head = EventHead { owner, n, hash, time, last: None };
    let owns = store.find_event_head(&head.owner).await?;
    let (mut next, mut hash, mut after) = (1, [0; 32], None);
    loop {
        let seals = store.list_event_seals(&head.owner, after, false, SEALS_AT_ONCE).await?;
        let Some(last) = seals.last() else { break };
        after = Some(last.n);
        for seal in seals {
            if seal.n != next {
                return Ok(Verdict::Lost { n: next });
            }
            for id in &seal.ids {
                let Some(event) = store.find_event(&head.owner, id).await? else { return Ok(Verdict::Lost { n: next }) };
                hash = event.hash_after(&hash)?;
                let vouched = |head: &EventHead| head.n != next || hash_of(head) == Some(hash);
                if !vouched(&head) || !owns.as_ref().is_none_or(vouched) {
                    return Ok(Verdict::Forked { n: next });
                }
                next = next.saturating_add(1);
            }
        }
    }
    let n = next.saturating_sub(1);
    Ok(if n < head.n { Verdict::Lost { n: next } } else { Verdict::Whole { n } })
}
