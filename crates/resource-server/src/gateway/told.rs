//! What an authorization server was told of and nobody wrote down: after a crash, or where its answer did not come. It is
//! found there by the gateway's own id, so that nothing is registered twice. One listing serves all that are on their way
//! of an owner at a server, however many these are; only what is none of ours is read.

use super::Gateway;
use super::peer::Peer;
use super::store::Registered;
use crate::protection::ProtectionError;
use futures_util::{FutureExt, StreamExt, TryStreamExt};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use types::{OwnResourceId, ResourceId, ScopeSet};

/// Descriptions that are read at one time.
const READ_AT_ONCE: usize = 8;
/// How long a server may take to say what is there: one that makes things up without end keeps no place for ever. What was
/// read by then is not read again.
const LISTING_TIME: Duration = Duration::from_secs(120);
/// How long a call waits for that, and the background.
pub(super) const PATIENCE: Duration = Duration::from_secs(6);
pub(super) const PATIENCE_IN_BACKGROUND: Duration = Duration::from_secs(130);
/// How long it is not tried again after a failure.
const RESTED: Duration = Duration::from_secs(10);

/// An owner at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Destination {
    pub(super) owner: String,
    pub(super) issuer: String,
}

impl Destination {
    /// As one text; URLs have no spaces in them.
    pub(super) fn key(&self) -> String {
        format!("{} {}", self.issuer, self.owner)
    }

    /// The same, for what is asked about tokens.
    pub(super) fn key_about_tokens(&self) -> String {
        format!("tokens {}", self.key())
    }

    /// The same, for what is to be registered.
    pub(super) fn key_about_new(&self) -> String {
        format!("new {}", self.key())
    }

    pub(super) fn of(registered: &Registered) -> Self {
        Self { owner: registered.owner.clone(), issuer: registered.issuer.clone() }
    }
}

/// Something that is registered there, and is none of ours yet.
struct Stray {
    own_id: OwnResourceId,
    scopes: ScopeSet,
}

/// What is registered there and none of ours.
#[derive(Default)]
struct Listing {
    /// What was read of each; none: it is nothing of this gateway's.
    read: HashMap<ResourceId, Option<Stray>>,
    /// By own id, once all of it is read.
    strays: HashMap<OwnResourceId, Vec<ResourceId>>,
    /// When the look began that saw all of it.
    seen: Option<Instant>,
    /// When the last one failed.
    failed: Option<Instant>,
}

impl Listing {
    fn has_just_failed(&self) -> bool {
        self.failed.is_some_and(|failed| failed.elapsed() < RESTED)
    }

    /// Takes one of this own id and scopes out that is none of ours.
    fn take(&mut self, own_id: &OwnResourceId, scopes: &ScopeSet, ours: &[Registered]) -> Option<ResourceId> {
        let Self { read, strays, .. } = self;
        let strays = strays.get_mut(own_id)?;
        strays.retain(|id| !ours.iter().any(|one| one.resource_id.as_ref() == Some(id)));
        let fits = |id: &ResourceId| read.get(id).and_then(Option::as_ref).is_some_and(|stray| stray.scopes == *scopes);
        let at = strays.iter().position(fits)?;
        Some(strays.swap_remove(at))
    }
}

type Cell = Arc<tokio::sync::Mutex<Listing>>;

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

    /// Whether it may have been heard, for all that is known.
    pub(super) fn is_unknown(&self, registered: &Registered) -> bool {
        self.last_unknown(&(Destination::of(registered), registered.own_id.clone())).is_some()
    }

    /// It is not on its way any more, and not there.
    pub(super) fn forget(&self, registered: &Registered) {
        let key = (Destination::of(registered), registered.own_id.clone());
        self.unknown.lock().unwrap_or_else(PoisonError::into_inner).remove(&key);
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
    /// process does not know what came of the last attempt, and with `resumed`, where another may have begun: that is how
    /// long is waited for it.
    pub(super) async fn find_there(
        &self,
        peer: &Arc<Peer>,
        pending: &Registered,
        resumed: Option<Duration>,
    ) -> Result<Option<ResourceId>, ProtectionError> {
        let key = (Destination::of(pending), pending.own_id.clone());
        let last = self.backlog.told.last_unknown(&key);
        if resumed.is_none() && last.is_none() {
            return Ok(None);
        }
        self.check_rest(peer.issuer())?;
        self.check_rest(&key.0.key())?;
        let cell = self.backlog.told.cell(&key.0);
        let patience = resumed.unwrap_or(PATIENCE);
        let away = |_| ProtectionError::Unreachable;
        let mut listing = tokio::time::timeout(patience, cell.clone().lock_owned()).await.map_err(away)?;
        let is_good = |listing: &Listing| listing.seen.is_some_and(|seen| last.is_none_or(|last| last < seen));
        if !is_good(&listing) {
            if listing.has_just_failed() {
                return Err(ProtectionError::Unreachable);
            }
            // whoever waits for it no more leaves it to the next
            let looking = tokio::spawn(look(self.myself.clone(), peer.clone(), pending.owner.clone(), listing));
            listing =
                tokio::time::timeout(patience, looking).await.map_err(away)?.map_err(|_| ProtectionError::Unreachable)??;
        }
        let ours = self.store.registrations(&pending.owner, &pending.own_id).await?;
        Ok(listing.take(&pending.own_id, &self.scopes_of(pending), &ours))
    }

    async fn list_strays(&self, peer: &Arc<Peer>, owner: &str, listing: &mut Listing) -> Result<(), ProtectionError> {
        let begun = Instant::now();
        let list = |pat: String| async move { peer.protection.list(&pat).await }.boxed();
        let there = self.with_pat(owner, peer.issuer(), list).await?;
        let ours: HashSet<ResourceId> = match there.is_empty() {
            true => HashSet::new(),
            false => self.store.list_registrations(owner).await?.into_iter().filter_map(|one| one.resource_id).collect(),
        };
        let strays: Vec<ResourceId> = there.into_iter().filter(|id| !ours.contains(id)).collect();
        let unread: Vec<ResourceId> = strays.iter().filter(|id| !listing.read.contains_key(*id)).cloned().collect();
        let reads = futures_util::stream::iter(unread).map(|id| self.read_stray(peer, owner, id)).buffer_unordered(READ_AT_ONCE);
        let mut reads = std::pin::pin!(reads);
        while let Some((id, stray)) = reads.try_next().await? {
            listing.read.insert(id, stray);
        }
        listing.strays.clear();
        for id in strays {
            if let Some(own_id) = listing.read.get(&id).and_then(Option::as_ref).map(|stray| stray.own_id.clone()) {
                listing.strays.entry(own_id).or_default().push(id);
            }
        }
        listing.seen = Some(begun);
        Ok(())
    }

    async fn read_stray(
        &self,
        peer: &Arc<Peer>,
        owner: &str,
        id: ResourceId,
    ) -> Result<(ResourceId, Option<Stray>), ProtectionError> {
        let one = &id;
        let read = |pat: String| async move { peer.protection.read(&pat, one).await }.boxed();
        match self.with_pat(owner, peer.issuer(), read).await {
            Ok(description) => {
                let scopes = description.resource_scopes;
                Ok((id, description.own_id.map(|own_id| Stray { own_id, scopes })))
            }
            // it is gone again, or makes no sense: then it is none of ours
            Err(ProtectionError::Refused(_)) => Ok((id, None)),
            Err(error) => Err(error),
        }
    }
}

type HeldListing = tokio::sync::OwnedMutexGuard<Listing>;

/// Lists and reads what is there, and keeps it.
async fn look(
    gateway: Weak<Gateway>,
    peer: Arc<Peer>,
    owner: String,
    mut listing: HeldListing,
) -> Result<HeldListing, ProtectionError> {
    let gateway = gateway.upgrade().ok_or(ProtectionError::Unreachable)?;
    let listed = tokio::time::timeout(LISTING_TIME, gateway.list_strays(&peer, &owner, &mut listing)).await;
    let listed = listed.unwrap_or(Err(ProtectionError::Unreachable));
    listing.failed = listed.is_err().then(Instant::now);
    listed.map(|()| listing)
}
