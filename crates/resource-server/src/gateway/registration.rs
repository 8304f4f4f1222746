//! Registering resources, and moving them between authorization servers (protocol.md 2).
//!
//! What is on its way is written down before anybody is told, so that it goes on from there after a crash:
//! 1. a new registration is `pending`; one whose place it takes is `moving`, and guards on;
//! 2. the new authorization server is told;
//! 3. in one write the new one is `active` and the old one `leaving`: RPTs of the old one stop here;
//! 4. the old authorization server is told, until it answers; then nothing is left of it.
//!
//! After a crash between 2 and 3 the new authorization server has the resource already: it is found there by its own
//! id, and not registered twice.

use super::peer::Peer;
use super::store::{Registered, Standing};
use super::{Gateway, readable};
use crate::protection::ProtectionError;
use futures_util::FutureExt;
use std::sync::{Arc, PoisonError};
use types::{OwnResourceId, ResourceDescription, ResourceId, ScopeSet};

/// How many registrations are looked at in one round.
const AT_ONCE: usize = 500;

/// Keeps everybody else off a resource while it is being registered, moved or taken back.
pub(super) struct Busy<'a> {
    gateway: &'a Gateway,
    key: (String, OwnResourceId),
}

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.gateway.busy.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.key);
    }
}

impl Gateway {
    /// None while another operation on this resource runs.
    pub(super) fn begin_operation(&self, owner: &str, own_id: &OwnResourceId) -> Option<Busy<'_>> {
        let key = (owner.to_owned(), own_id.clone());
        let free = self.busy.lock().unwrap_or_else(PoisonError::into_inner).insert(key.clone());
        free.then_some(Busy { gateway: self, key })
    }

    /// What is told of a resource: little (Federated Authorization 8), and in the owner's words where she has some.
    pub(super) fn description(&self, owner: &str, own_id: &OwnResourceId) -> Result<ResourceDescription, ProtectionError> {
        let path = super::path::CanonicalPath::parse(own_id.as_str()).ok();
        let resource_type = self
            .routes()
            .iter()
            .find(|route| route.makes(path.as_ref(), own_id.as_str()))
            .and_then(|route| route.resource_type.clone());
        let opinion = self.store.find_opinion(owner, own_id)?;
        Ok(ResourceDescription {
            resource_scopes: self.offered_scopes(own_id),
            name: opinion.name.or_else(|| Some(readable(own_id.as_str()))),
            description: opinion.description,
            icon_uri: opinion.icon_uri,
            resource_type: opinion.resource_type.or(resource_type),
            own_id: Some(own_id.clone()),
            resource_location: Some(format!("{}{own_id}", self.settings.resource)),
            ..ResourceDescription::default()
        })
    }

    fn description_of(&self, registered: &Registered) -> Result<ResourceDescription, ProtectionError> {
        let description = self.description(&registered.owner, &registered.own_id)?;
        Ok(ResourceDescription { resource_scopes: self.scopes_of(registered), ..description })
    }

    /// A registration that has not begun.
    pub(super) fn pending(&self, owner: &str, own_id: &OwnResourceId, issuer: &str, scopes: Option<ScopeSet>) -> Registered {
        Registered {
            owner: owner.to_owned(),
            own_id: own_id.clone(),
            id: jose::ambient::random_text::<16>(&*self.client.randomness),
            issuer: issuer.to_owned(),
            resource_id: None,
            scopes,
            standing: Standing::Pending,
            error: None,
            created: self.client.clock.now(),
            replaces: None,
            stale: false,
        }
    }

    /// What nobody has placed yet, where the owner linked first.
    pub(super) async fn register_by_itself(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        issuer: &str,
    ) -> Result<Registered, ProtectionError> {
        let turn = self.turn(owner).await;
        let _held = turn.lock().await;
        let known = self.store.registrations(owner, own_id)?;
        if let Some(known) = known.iter().find(|one| one.guards()) {
            return Ok(known.clone());
        }
        let _busy = self.begin_operation(owner, own_id).ok_or(ProtectionError::Unreachable)?;
        let begun = known.iter().find(|one| one.standing == Standing::Pending).cloned();
        let resumed = begun.is_some();
        let pending = begun.unwrap_or_else(|| self.pending(owner, own_id, issuer, None));
        if !resumed {
            // written first: what was told and could not be kept would be registered a second time
            let failed: Vec<_> = known.iter().filter(|one| one.standing == Standing::Failed).collect();
            self.store.change_registrations(std::slice::from_ref(&pending), &failed).await?;
        }
        match self.carry_out(pending.clone(), resumed).await {
            Err(error @ (ProtectionError::Refused(_) | ProtectionError::Unauthorized)) => {
                // nothing of it is there: the next call tries anew
                self.store.change_registrations(&[], &[&pending]).await?;
                Err(error)
            }
            done => done,
        }
    }

    /// Tells the authorization server of a resource; its id there.
    async fn tell(&self, peer: &Arc<Peer>, registered: &Registered) -> Result<ResourceId, ProtectionError> {
        let description = &self.description_of(registered)?;
        let register = |pat: String| async move { peer.protection.register(&pat, description).await }.boxed();
        self.with_pat(&registered.owner, peer.issuer(), register).await
    }

    /// The same for a call, which may have looked before the resource moved: what is on its way is left alone.
    pub(super) async fn tell_current(
        &self,
        peer: &Arc<Peer>,
        registered: &Registered,
    ) -> Result<Option<ResourceId>, ProtectionError> {
        let moving = || ProtectionError::Refused("it is not registered there any more".into());
        let _busy = self.begin_operation(&registered.owner, &registered.own_id).ok_or_else(moving)?;
        let all = self.store.registrations(&registered.owner, &registered.own_id)?;
        let current = all.iter().find(|one| one.id == registered.id && one.guards()).cloned().ok_or_else(moving)?;
        self.tell_anew(peer, &current).await
    }

    /// What the authorization server refuses to know is told anew, or registered again; its id there.
    pub(super) async fn tell_anew(
        &self,
        peer: &Arc<Peer>,
        registered: &Registered,
    ) -> Result<Option<ResourceId>, ProtectionError> {
        let description = &self.description_of(registered)?;
        if let Some(id) = &registered.resource_id {
            let update = |pat: String| async move { peer.protection.update(&pat, id, description).await }.boxed();
            if self.with_pat(&registered.owner, peer.issuer(), update).await.is_ok() {
                return Ok(Some(id.clone()));
            }
        }
        tracing::info!(own_id = %registered.own_id, issuer = registered.issuer, "a resource is registered anew");
        let resource_id = Some(self.tell(peer, registered).await?);
        let registered = Registered { resource_id: resource_id.clone(), ..registered.clone() };
        self.store.change_registrations(&[registered], &[]).await?;
        Ok(resource_id)
    }

    /// Steps 2 to 4 for a registration that was written down as pending; how it stands then.
    pub(super) async fn carry_out(&self, pending: Registered, resumed: bool) -> Result<Registered, ProtectionError> {
        let peer = self.peer(&pending.issuer).await?;
        let told = async {
            match if resumed { self.find_there(&peer, &pending).await? } else { None } {
                Some(id) => Ok(id),
                None => self.tell(&peer, &pending).await,
            }
        };
        let id = self.asking(&pending.issuer, told).await?;
        let all = self.store.registrations(&pending.owner, &pending.own_id)?;
        let old = all.iter().find(|one| Some(&one.id) == pending.replaces.as_ref()).cloned();
        let active = Registered { resource_id: Some(id), standing: Standing::Active, replaces: None, ..pending };
        let leaving = old.map(|old| Registered { standing: Standing::Leaving, ..old });
        let together: Vec<_> = std::iter::once(active.clone()).chain(leaving.clone()).collect();
        self.store.change_registrations(&together, &[]).await?;
        if let Some(leaving) = leaving {
            self.take_back(&leaving).await;
        }
        Ok(active)
    }

    /// What was told before a crash, and not written down: a registration there with this resource's own id that none
    /// of ours is.
    async fn find_there(&self, peer: &Arc<Peer>, pending: &Registered) -> Result<Option<ResourceId>, ProtectionError> {
        let list = |pat: String| async move { peer.protection.list(&pat).await }.boxed();
        let there = self.with_pat(&pending.owner, peer.issuer(), list).await?;
        let ours = self.store.list_registrations(&pending.owner)?;
        let known = |id: &ResourceId| ours.iter().any(|one| one.issuer == pending.issuer && one.resource_id.as_ref() == Some(id));
        for id in there.iter().filter(|id| !known(id)) {
            let read = |pat: String| async move { peer.protection.read(&pat, id).await }.boxed();
            let description = self.with_pat(&pending.owner, peer.issuer(), read).await?;
            if description.own_id.as_ref() == Some(&pending.own_id) && description.resource_scopes == self.scopes_of(pending) {
                return Ok(Some(id.clone()));
            }
        }
        Ok(None)
    }

    /// Tells an authorization server that a registration is over. One that does not answer is told later.
    pub(super) async fn take_back(&self, leaving: &Registered) {
        let gone = async {
            let Some(id) = &leaving.resource_id else { return Ok(()) };
            let peer = &self.peer(&leaving.issuer).await?;
            let delete = |pat: String| async move { peer.protection.delete(&pat, id).await }.boxed();
            self.asking(&leaving.issuer, self.with_pat(&leaving.owner, &leaving.issuer, delete)).await
        };
        let gone = match gone.await {
            Ok(()) => true,
            Err(ProtectionError::Unreachable | ProtectionError::Store) => false,
            // whoever has no PAT any more, or is not heard, can do no more
            Err(error) => {
                tracing::warn!(%error, own_id = %leaving.own_id, issuer = leaving.issuer, "a registration was left behind");
                true
            }
        };
        if gone && let Err(error) = self.store.change_registrations(&[], &[leaving]).await {
            tracing::warn!(%error, own_id = %leaving.own_id, "that a registration is gone could not be kept");
        }
    }

    /// Goes on with what a crash or an absent authorization server left on its way.
    pub async fn tend(&self) {
        let unfinished = match self.store.unfinished_registrations(AT_ONCE) {
            Ok(unfinished) => unfinished,
            Err(error) => return tracing::error!(%error, "what is on its way cannot be read"),
        };
        for registered in unfinished {
            let Some(_busy) = self.begin_operation(&registered.owner, &registered.own_id) else { continue };
            let Ok(now) = self.store.registrations(&registered.owner, &registered.own_id) else { continue };
            let Some(registered) = now.iter().find(|one| **one == registered).cloned() else { continue };
            match registered.standing {
                Standing::Pending => {
                    if let Err(ProtectionError::Refused(why)) = self.carry_out(registered.clone(), true).await {
                        self.fail(registered, why).await;
                    }
                }
                Standing::Leaving => self.take_back(&registered).await,
                _ => self.push(&registered).await,
            }
        }
    }

    /// Notes what an authorization server would not have; what it was to replace stays as it was.
    pub(super) async fn fail(&self, pending: Registered, why: String) {
        let Ok(all) = self.store.registrations(&pending.owner, &pending.own_id) else { return };
        let old = all.iter().find(|one| Some(&one.id) == pending.replaces.as_ref() && one.standing == Standing::Moving);
        let back = old.map(|old| Registered { standing: Standing::Active, ..old.clone() });
        let failed = Registered { standing: Standing::Failed, error: Some(why), replaces: None, ..pending };
        let together: Vec<_> = std::iter::once(failed).chain(back).collect();
        if let Err(error) = self.store.change_registrations(&together, &[]).await {
            tracing::warn!(%error, "a failed registration could not be kept");
        }
    }

    /// Tells the authorization server of the latest description.
    pub(super) async fn push(&self, registered: &Registered) {
        let told = async {
            let peer = self.peer(&registered.issuer).await?;
            self.asking(&registered.issuer, self.tell_anew(&peer, registered)).await
        };
        match told.await {
            Ok(resource_id) => {
                let registered = Registered { resource_id, stale: false, ..registered.clone() };
                if let Err(error) = self.store.change_registrations(&[registered], &[]).await {
                    tracing::warn!(%error, "that a description was told could not be kept");
                }
            }
            Err(error) => tracing::warn!(%error, own_id = %registered.own_id, "a description could not be told yet"),
        }
    }
}
