//! What an authorization server was told of and nobody wrote down: after a crash, or where its answer did not come. It is
//! found there by the gateway's own id, so that nothing is registered twice. One listing serves all that are on their way
//! of an owner at a server, however many these are; only what is none of ours is read.

use super::Gateway;
use super::peer::Peer;
use super::store::Registered;
use crate::protection::ProtectionError;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::{OwnResourceId, ResourceId, ScopeSet};

/// Descriptions that are read at one time.
const READ_AT_ONCE: usize = 8;
/// How long a server may take to say what is there: one that makes things up without end keeps no place for ever.
const PATIENCE: Duration = Duration::from_secs(120);

/// An owner at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) owner: String,
    pub(super) issuer: String,
}

impl Destination {
    pub(super) fn of(registered: &Registered) -> Self {
        Self { owner: registered.owner.clone(), issuer: registered.issuer.clone() }
    }
}

/// Something that is registered there, and is none of ours yet.
struct Stray {
    id: ResourceId,
    scopes: ScopeSet,
}

/// What is registered there and none of ours, by own id.
struct Listing {
    begun: Instant,
    strays: HashMap<OwnResourceId, Vec<Stray>>,
}

type Cell = Arc<tokio::sync::Mutex<Option<Listing>>>;

/// What may have been told, and what was found of it.
#[derive(Default)]
pub(super) struct Told {
    /// When the last attempt ended of which nobody knows what came; of this process.
    unknown: Mutex<HashMap<(Destination, OwnResourceId), Instant>>,
    listings: Mutex<HashMap<Destination, Cell>>,
}

impl Told {
    fn last_unknown(&self, key: &(Destination, OwnResourceId)) -> Option<Instant> {
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied()
    }

    fn cell(&self, destination: &Destination) -> Cell {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).entry(destination.clone()).or_default().clone()
    }

    /// What is there is looked at anew the next time.
    pub(super) fn forget_listing(&self, destination: &Destination) {
        self.listings.lock().unwrap_or_else(PoisonError::into_inner).remove(destination);
    }

    /// Begins to tell of a resource.
    pub(super) fn begin(&self, registered: &Registered) -> Telling<'_> {
        Telling { told: self, key: (Destination::of(registered), registered.own_id.clone()), is_known: false }
    }
}

/// Somebody is being told. Where it ends without an answer, also because nobody waits for it any more, it may have been heard.
pub(super) struct Telling<'a> {
    told: &'a Told,
    key: (Destination, OwnResourceId),
    is_known: bool,
}

impl Telling<'_> {
    /// What came of it is known.
    pub(super) fn end(mut self) {
        self.is_known = true;
    }
}

impl Drop for Telling<'_> {
    fn drop(&mut self) {
        let mut unknown = self.told.unknown.lock().unwrap_or_else(PoisonError::into_inner);
        match self.is_known {
            true => drop(unknown.remove(&self.key)),
            false => drop(unknown.insert(self.key.clone(), Instant::now())),
        }
    }
}

impl Gateway {
    /// A registration there with this resource's own id and scopes that none of ours is. It is looked for where this
    /// process does not know what came of the last attempt, and with `is_resumed`, where another may have begun.
    pub(super) async fn find_there(
        &self,
        peer: &Arc<Peer>,
        pending: &Registered,
        is_resumed: bool,
    ) -> Result<Option<ResourceId>, ProtectionError> {
        let key = (Destination::of(pending), pending.own_id.clone());
        let last = self.backlog.told.last_unknown(&key);
        if !is_resumed && last.is_none() {
            return Ok(None);
        }
        let cell = self.backlog.told.cell(&key.0);
        let mut listing = cell.lock().await;
        let is_good = |listing: &Listing| last.is_none_or(|last| last < listing.begun);
        if !listing.as_ref().is_some_and(is_good) {
            let listed = tokio::time::timeout(PATIENCE, self.list_strays(peer, &pending.owner)).await;
            *listing = Some(listed.unwrap_or(Err(ProtectionError::Unreachable))?);
        }
        let strays = listing.as_mut().and_then(|listing| listing.strays.get_mut(&pending.own_id));
        let Some(strays) = strays else { return Ok(None) };
        let ours = self.store.registrations(&pending.owner, &pending.own_id)?;
        strays.retain(|stray| !ours.iter().any(|one| one.resource_id.as_ref() == Some(&stray.id)));
        let wanted = self.scopes_of(pending);
        let at = strays.iter().position(|stray| stray.scopes == wanted);
        Ok(at.map(|at| strays.swap_remove(at).id))
    }

    async fn list_strays(&self, peer: &Arc<Peer>, owner: &str) -> Result<Listing, ProtectionError> {
        let begun = Instant::now();
        let list = |pat: String| async move { peer.protection.list(&pat).await }.boxed();
        let there = self.with_pat(owner, peer.issuer(), list).await?;
        let ours: HashSet<ResourceId> = match there.is_empty() {
            true => HashSet::new(),
            false => self.store.list_registrations(owner)?.into_iter().filter_map(|one| one.resource_id).collect(),
        };
        let unknown = there.into_iter().filter(|id| !ours.contains(id));
        let reads = futures_util::stream::iter(unknown).map(|id| self.read_stray(peer, owner, id)).buffer_unordered(READ_AT_ONCE);
        let mut strays: HashMap<OwnResourceId, Vec<Stray>> = HashMap::new();
        let mut reads = std::pin::pin!(reads);
        while let Some(read) = reads.try_next().await? {
            if let Some((own_id, stray)) = read {
                strays.entry(own_id).or_default().push(stray);
            }
        }
        Ok(Listing { begun, strays })
    }

    async fn read_stray(
        &self,
        peer: &Arc<Peer>,
        owner: &str,
        id: ResourceId,
    ) -> Result<Option<(OwnResourceId, Stray)>, ProtectionError> {
        let one = &id;
        let read = |pat: String| async move { peer.protection.read(&pat, one).await }.boxed();
        match self.with_pat(owner, peer.issuer(), read).await {
            Ok(description) => {
                let scopes = description.resource_scopes;
                Ok(description.own_id.map(|own_id| (own_id, Stray { id, scopes })))
            }
            // it is gone again, or makes no sense: then it is none of ours
            Err(ProtectionError::Refused(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}
