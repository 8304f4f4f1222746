//! Registering resources, and moving them between authorization servers (protocol.md 2).
//!
//! What is on its way is written down before anybody is told, so that it goes on from there after a crash:
//! 1. a new registration is `pending`; one whose place it takes is `moving`, and guards on;
//! 2. the new authorization server is told;
//! 3. in one write the new one is `active` and the old one `leaving`: RPTs of the old one stop here;
//! 4. the old authorization server is told, until it answers; then nothing is left of it.
//!
//! After a crash between 2 and 3 the new authorization server has the resource already: it is found there by its own
//! id ([`super::told`]), and not registered twice. What is on its way goes on in the background ([`super::backlog`]).

use super::Gateway;
use super::management::resources::is_web;
use super::peer::Peer;
use super::store::{Registered, Standing};
use super::told::{Destination, PATIENCE, Telling};
use crate::protection::ProtectionError;
use futures_util::FutureExt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::spelling::visible;
use types::{OwnResourceId, ResourceDescription, ResourceId, ScopeSet};

impl Gateway {
    /// What is told of a resource: little (Federated Authorization 8), and in the owner's words where she has some.
    pub(super) async fn description(&self, owner: &str, own_id: &OwnResourceId) -> Result<ResourceDescription, ProtectionError> {
        let routes = self.routes();
        let page = super::route::page_of(&routes, own_id.as_str());
        let maker = routes.iter().find_map(|route| route.maker_of(own_id.as_str()));
        let resource_type = maker.and_then(|guarded| guarded.resource_type.clone());
        // the whole of a place is called as the place is: a slash is no name
        let whole = (own_id.as_str() == "/").then(|| self.settings.name.clone());
        let name = maker.and_then(|guarded| guarded.name.clone()).or(whole).unwrap_or_else(|| readable(own_id.as_str()));
        let opinion = self.store.find_opinion(owner, own_id).await?;
        Ok(ResourceDescription {
            resource_scopes: self.offered_scopes(own_id),
            name: Some(opinion.name.map_or(name, |name| visible(&name))),
            description: opinion.description,
            icon_uri: opinion.icon_uri.filter(|uri| is_web(uri)),
            resource_type: opinion.resource_type.or(resource_type),
            own_id: Some(own_id.clone()),
            resource_location: page.map(|page| format!("{}{}", self.settings.resource, page.encoded())),
            ..ResourceDescription::default()
        })
    }

    async fn description_of(&self, registered: &Registered) -> Result<ResourceDescription, ProtectionError> {
        let description = self.description(&registered.owner, &registered.own_id).await?;
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
            found_at: None,
        }
    }

    /// What nobody has placed yet, where the owner linked first. A call does not wait until its turn in the background
    /// comes: it goes first, or takes what another has just done.
    pub(super) async fn register_by_itself(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        issuer: &str,
    ) -> Result<Registered, ProtectionError> {
        let busy = self.next_operation(owner, own_id).await.ok_or(ProtectionError::Unreachable)?;
        let gateway = self.myself.upgrade().ok_or(ProtectionError::Unreachable)?;
        let (owner, own_id, issuer) = (owner.to_owned(), own_id.clone(), issuer.to_owned());
        // whoever hangs up leaves it to those who come after
        let registering = tokio::spawn(async move {
            let _busy = busy;
            gateway.register_in_turn(&owner, &own_id, &issuer).await
        });
        registering.await.unwrap_or(Err(ProtectionError::Unreachable))
    }

    /// By whoever has the turn of the resource.
    async fn register_in_turn(&self, owner: &str, own_id: &OwnResourceId, issuer: &str) -> Result<Registered, ProtectionError> {
        if let Some(why) = own_id.unfit() {
            return Err(ProtectionError::Refused(format!("its name {why}")));
        }
        let known = self.store.registrations(owner, own_id).await?;
        if let Some(known) = known.iter().find(|one| one.guards() && self.is_trusted(&one.issuer)) {
            return Ok(known.clone());
        }
        if !self.backlog.attempts.begin(owner, own_id, Instant::now()) {
            return Err(ProtectionError::Refused("it was tried a moment ago, and is tried again later".into()));
        }
        let done = self.register_now(&known, owner, own_id, issuer).await;
        match &done {
            Ok(_) | Err(ProtectionError::Store) => self.backlog.attempts.done(owner, own_id),
            // what it says of itself says nothing about the resource
            Err(ProtectionError::Unreachable | ProtectionError::Later(_) | ProtectionError::Busy) => {
                self.backlog.attempts.was_away(owner, own_id, Instant::now())
            }
            Err(_) => {}
        }
        done
    }

    async fn register_now(
        &self,
        known: &[Registered],
        owner: &str,
        own_id: &OwnResourceId,
        issuer: &str,
    ) -> Result<Registered, ProtectionError> {
        let begun = known.iter().find(|one| one.standing == Standing::Pending);
        // what was on its way to where she has left goes nowhere any more
        let begun = match begun {
            Some(one) if self.is_linked(owner, &one.issuer).await.unwrap_or(true) => Some(one.clone()),
            _ => None,
        };
        let is_resumed = begun.is_some();
        let pending = begun.unwrap_or_else(|| self.pending(owner, own_id, issuer, None));
        if !is_resumed {
            // written first: what was told and could not be kept would be registered a second time
            let over = |one: &&Registered| matches!(one.standing, Standing::Failed | Standing::Pending);
            let over: Vec<_> = known.iter().filter(over).collect();
            self.store.change_registrations(std::slice::from_ref(&pending), &over).await?;
        }
        let done = self.carry_out(pending.clone(), is_resumed.then_some(PATIENCE)).await;
        match &done {
            // what was found before this call, and is refused, is told to its owner: whoever told of it
            Err(ProtectionError::Refused(why)) if is_resumed => self.fail(pending, why.clone()).await,
            // nothing of it is there: a later call tries anew
            Err(ProtectionError::Refused(_) | ProtectionError::Unauthorized) => {
                self.store.change_registrations(&[], &[&pending]).await?;
            }
            // what a call named has to wait for the next call, and stands in nobody's way until then
            Err(ProtectionError::Later(_)) if !is_resumed => self.store.change_registrations(&[], &[&pending]).await?,
            _ => {}
        }
        done
    }

    /// Tells the authorization server of a resource; its id there.
    async fn tell(&self, peer: &Arc<Peer>, registered: &Registered) -> Result<ResourceId, ProtectionError> {
        let description = &self.description_of(registered).await?;
        let register = |pat: String| async move { peer.protection.register(&pat, description).await }.boxed();
        self.with_pat(&registered.owner, peer.issuer(), register).await
    }

    /// The same, unless what an attempt before it told is found there. What comes of it is known once it is written down.
    async fn tell_once(
        &self,
        peer: &Arc<Peer>,
        registered: &Registered,
        resumed: Option<Duration>,
    ) -> Result<(ResourceId, Telling<'_>), ProtectionError> {
        let found = self.find_there(peer, registered, resumed).await?;
        let telling = self.backlog.told.begin(registered);
        if let Some(id) = found {
            return Ok((id, telling));
        }
        match self.asking_to_register(registered, self.tell(peer, registered)).await {
            Ok(id) => Ok((id, telling)),
            Err(error) => {
                if !matches!(error, ProtectionError::Unreachable | ProtectionError::Store) {
                    // it said no, or that it has too much to do: it is not there
                    telling.end();
                }
                Err(error)
            }
        }
    }

    /// For a call that got no ticket, and may have looked before the resource moved: what is on its way is left alone.
    pub(super) async fn tell_current(
        &self,
        peer: &Arc<Peer>,
        registered: &Registered,
    ) -> Result<Option<ResourceId>, ProtectionError> {
        let (owner, own_id) = (&registered.owner, &registered.own_id);
        let moving = || ProtectionError::Refused("it is not registered there any more".into());
        let busy = self.next_operation(owner, own_id).await.ok_or_else(moving)?;
        let all = self.store.registrations(owner, own_id).await?;
        let current = all.iter().find(|one| one.id == registered.id && one.guards()).cloned().ok_or_else(moving)?;
        if current.resource_id != registered.resource_id {
            // another call has just had it told anew
            return Ok(current.resource_id);
        }
        if !self.backlog.attempts.begin(owner, own_id, Instant::now()) {
            return Err(ProtectionError::Refused("it was told anew a moment ago".into()));
        }
        let gateway = self.myself.upgrade().ok_or(ProtectionError::Unreachable)?;
        let peer = peer.clone();
        let telling = tokio::spawn(async move {
            let _busy = busy;
            gateway.tell_anew(&peer, &current).await
        });
        telling.await.unwrap_or(Err(ProtectionError::Unreachable))
    }

    /// What the authorization server does not know any more is registered again; its id there.
    async fn tell_anew(&self, peer: &Arc<Peer>, registered: &Registered) -> Result<Option<ResourceId>, ProtectionError> {
        let description = &self.description_of(registered).await?;
        if let Some(id) = &registered.resource_id {
            let update = |pat: String| async move { peer.protection.update(&pat, id, description).await }.boxed();
            if self.with_pat(&registered.owner, peer.issuer(), update).await? {
                return Ok(Some(id.clone()));
            }
        }
        tracing::info!(own_id = %registered.own_id, issuer = registered.issuer, "a resource is registered anew");
        let (id, telling) = self.tell_once(peer, registered, None).await?;
        let registered = Registered { resource_id: Some(id.clone()), ..registered.clone() };
        self.store.change_registrations(&[registered], &[]).await?;
        telling.end();
        Ok(Some(id))
    }

    /// Steps 2 to 4 for a registration that was written down as pending; how it stands then. `resumed`: somebody else may
    /// have begun, and so long is waited to hear of it.
    pub(super) async fn carry_out(&self, pending: Registered, resumed: Option<Duration>) -> Result<Registered, ProtectionError> {
        let peer = self.peer(&pending.issuer).await?;
        let (id, telling) = self.tell_once(&peer, &pending, resumed).await?;
        let all = self.store.registrations(&pending.owner, &pending.own_id).await?;
        let old = all.iter().find(|one| Some(&one.id) == pending.replaces.as_ref()).cloned();
        let active = Registered { resource_id: Some(id), standing: Standing::Active, replaces: None, found_at: None, ..pending };
        let leaving = old.map(|old| Registered { standing: Standing::Leaving, ..old });
        let together: Vec<_> = std::iter::once(active.clone()).chain(leaving.clone()).collect();
        self.store.change_registrations(&together, &[]).await?;
        telling.end();
        if let Some(leaving) = leaving {
            self.take_back(&leaving).await;
        }
        Ok(active)
    }

    /// Tells an authorization server that a registration is over. One that does not answer is told later.
    pub(super) async fn take_back(&self, leaving: &Registered) {
        if let Err(error) = self.try_to_take_back(leaving, PATIENCE).await {
            tracing::info!(%error, own_id = %leaving.own_id, issuer = leaving.issuer, "a registration is taken back later");
        }
    }

    /// The same; an error: it is not over yet.
    pub(super) async fn try_to_take_back(&self, leaving: &Registered, patience: Duration) -> Result<(), ProtectionError> {
        let gone = async {
            let peer = &self.peer(&leaving.issuer).await?;
            // of one that was on its way nobody wrote down whether it arrived
            let id = match &leaving.resource_id {
                Some(id) => Some(id.clone()),
                None => self.find_there(peer, leaving, Some(patience)).await?,
            };
            let Some(id) = &id else { return Ok(()) };
            let delete = |pat: String| async move { peer.protection.delete(&pat, id).await }.boxed();
            self.asking_for(&Destination::of(leaving), self.with_pat(&leaving.owner, &leaving.issuer, delete)).await
        };
        match gone.await {
            Ok(()) => {}
            Err(error @ (ProtectionError::Refused(_) | ProtectionError::Unauthorized)) => {
                // whoever has no PAT any more, or is not heard, can do no more
                tracing::warn!(%error, own_id = %leaving.own_id, issuer = leaving.issuer, "a registration was left behind");
            }
            Err(error) => return Err(error),
        }
        self.store.change_registrations(&[], &[leaving]).await?;
        self.backlog.told.forget(leaving);
        Ok(())
    }

    /// Notes what an authorization server would not have; what it was to replace stays as it was.
    pub(super) async fn fail(&self, pending: Registered, why: String) {
        let Ok(all) = self.store.registrations(&pending.owner, &pending.own_id).await else { return };
        let old = all.iter().find(|one| Some(&one.id) == pending.replaces.as_ref() && one.standing == Standing::Moving);
        let back = old.map(|old| Registered { standing: Standing::Active, ..old.clone() });
        let failed = Registered { standing: Standing::Failed, error: Some(why), replaces: None, ..pending };
        let together: Vec<_> = std::iter::once(failed).chain(back).collect();
        if let Err(error) = self.store.change_registrations(&together, &[]).await {
            tracing::warn!(%error, "a failed registration could not be kept");
        }
    }

    /// Tells the authorization server of the latest description; an error: it has not heard of it yet.
    pub(super) async fn push(&self, registered: &Registered) -> Result<(), ProtectionError> {
        let peer = self.peer(&registered.issuer).await?;
        let resource_id = self.asking_for(&Destination::of(registered), self.tell_anew(&peer, registered)).await?;
        let registered = Registered { resource_id, stale: false, ..registered.clone() };
        self.store.change_registrations(&[registered], &[]).await
    }
}

/// The last segment in words: `/albums/holiday-2025` is `holiday 2025`.
fn readable(own_id: &str) -> String {
    let last = own_id.rsplit('/').find(|segment| !segment.is_empty()).unwrap_or(own_id);
    let stem = last.rsplit_once('.').map_or(last, |(stem, _)| stem);
    let words = stem.replace(['-', '_'], " ");
    let mut chars = words.chars();
    chars.next().map(|c| c.to_uppercase().collect::<String>() + chars.as_str()).unwrap_or(words)
}
