//! `/my-resources/{_resource_id}/registrations`: at which authorization servers a resource is, and moving it.

use super::servers::unsupported;
use super::{Answer, BASE, Managing, busy, done, invalid, not_done, not_found, refuse, unavailable, unreadable};
use crate::gateway::Gateway;
use crate::gateway::store::{LinkState, Opinion, Registered, Standing};
use crate::gateway::told::PATIENCE;
use crate::protection::ProtectionError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::{StatusCode, header};
use types::OwnResourceId;
use types::available_resource::{MoveRequest, MovedRegistration, Registration, RegistrationRequest, ToAuthorize};

/// Most registrations of one resource.
const MOST: usize = 20;

impl Gateway {
    pub(super) async fn list_registrations(&self, owner: &str, own_id: &OwnResourceId) -> Answer {
        self.check_hers(owner, own_id).await?;
        let all = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        let listed = all.iter().filter(|one| one.standing != Standing::Leaving);
        Ok(Json(listed.map(|one| self.shown(one)).collect::<Vec<Registration>>()).into_response())
    }

    /// The owner may register there, and this gateway has her PAT; else the answer that goes back.
    async fn check_server(&self, managing: &Managing, issuer: &str) -> Result<(), Response> {
        let owner = managing.owner.as_str();
        self.check_issuer(issuer).map_err(unsupported)?;
        let linked = self.store.find_link(owner, issuer).await.map_err(unreadable)?;
        if linked.as_ref().is_some_and(|link| link.state == LinkState::Active) || self.is_ready_made(issuer) {
            return Ok(());
        }
        if linked.is_some_and(|link| link.state == LinkState::Pending) {
            let what = "confirm first that the account at this authorization server is yours";
            return Err(refuse(StatusCode::CONFLICT, "pat_pending", what));
        }
        match self.begin_chosen(owner, issuer, None, managing.by.as_ref()).await {
            Ok(authorize_uri) => Err((StatusCode::ACCEPTED, Json(ToAuthorize { authorize_uri })).into_response()),
            Err(ProtectionError::Refused(why)) => {
                let what = format!("`{issuer}` cannot be used: {why}");
                Err(refuse(StatusCode::BAD_REQUEST, "unsupported_authorization_server", &what))
            }
            Err(error) => Err(not_done(issuer, &error)),
        }
    }

    /// From now on she decides where it is registered.
    async fn placed(&self, owner: &str, own_id: &OwnResourceId) -> Result<(), Response> {
        let opinion = self.store.find_opinion(owner, own_id).await.map_err(unreadable)?;
        if opinion.placed {
            return Ok(());
        }
        let opinion = Opinion { placed: true, ..opinion };
        self.store.put_opinion(owner, own_id, &opinion).await.map_err(|_| unavailable())
    }

    pub(super) async fn create_registration(
        &self,
        managing: &Managing,
        own_id: &OwnResourceId,
        wanted: RegistrationRequest,
    ) -> Answer {
        let owner = managing.owner.as_str();
        self.check_hers(owner, own_id).await?;
        let offered = self.offered_scopes(own_id);
        let scopes = wanted.resource_scopes.filter(|scopes| *scopes != offered);
        if scopes.as_ref().is_some_and(|scopes| scopes.is_empty() || !scopes.is_subset(&offered)) {
            let what = format!("`resource_scopes` must be some of `{offered}`");
            return Err(refuse(StatusCode::BAD_REQUEST, "invalid_scope", &what));
        }
        let issuer = wanted.authorization_server.as_str();
        self.check_server(managing, issuer).await?;
        let Some(_busy) = self.ordered_operation(owner, own_id).await else { return Err(busy()) };
        let all = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        let same = |one: &&Registered| one.guards() && one.issuer == issuer && one.scopes == scopes;
        if let Some(known) = all.iter().find(same) {
            return Ok(Json(self.shown(known)).into_response());
        }
        // what failed before is done again
        let failed: Vec<_> =
            all.iter().filter(|one| one.standing == Standing::Failed && one.issuer == issuer && one.scopes == scopes).collect();
        if all.len() >= MOST {
            return Err(invalid("a resource has at most 20 registrations: take one back first"));
        }
        self.placed(owner, own_id).await?;
        // what is on its way there already is what she orders, and goes first
        let begun = all.iter().find(|one| one.standing == Standing::Pending && one.issuer == issuer && one.scopes == scopes);
        let (is_resumed, begun) = (begun.is_some(), begun.cloned());
        let pending = begun.unwrap_or_else(|| self.pending(owner, own_id, issuer, scopes));
        let found = pending.clone();
        let pending = Registered { found_at: None, ..pending };
        self.store.change_registrations(std::slice::from_ref(&pending), &failed).await.map_err(|_| unavailable())?;
        let registered = self.carried_out(pending, is_resumed.then_some(found)).await?;
        let shown = self.shown(&registered);
        let id: String = form_urlencoded::byte_serialize(own_id.as_str().as_bytes()).collect();
        let location = format!("{}{BASE}/my-resources/{id}/registrations/{}", self.settings.resource, shown.id);
        Ok((StatusCode::CREATED, [(header::LOCATION, location)], Json(shown)).into_response())
    }

    /// Carries out what was written down; where that cannot be done, nothing of her order is left on its way. What the
    /// gateway had found by itself goes on as it was before.
    async fn carried_out(&self, pending: Registered, found: Option<Registered>) -> Result<Registered, Response> {
        match self.carry_out(pending.clone(), found.as_ref().map(|_| PATIENCE)).await {
            Ok(registered) => Ok(registered),
            Err(ProtectionError::Refused(why)) => {
                let answer = not_done(&pending.issuer, &ProtectionError::Refused(why.clone()));
                self.fail(pending, why).await;
                Err(answer)
            }
            // the authorization server may have been told: it goes on from what is written
            Err(ProtectionError::Store) => Err(unavailable()),
            Err(error) => {
                let answer = not_done(&pending.issuer, &error);
                match found {
                    Some(found) => self.store.change_registrations(&[found], &[]).await.map_err(|_| unavailable())?,
                    None => self.undo(&pending).await,
                }
                Err(answer)
            }
        }
    }

    async fn undo(&self, pending: &Registered) {
        // what cannot be read stays on its way
        let Ok(all) = self.store.registrations(&pending.owner, &pending.own_id).await else { return };
        let old = all.iter().find(|one| Some(&one.id) == pending.replaces.as_ref() && one.standing == Standing::Moving);
        let mut together: Vec<_> = old.map(|old| Registered { standing: Standing::Active, ..old.clone() }).into_iter().collect();
        // where nobody knows whether it was heard, it is looked for there and taken back
        let may_be_there = self.backlog.told.is_unknown(pending);
        let leaving = Registered { standing: Standing::Leaving, replaces: None, ..pending.clone() };
        together.extend(may_be_there.then_some(leaving));
        let gone: &[&Registered] = if may_be_there { &[] } else { &[pending] };
        if let Err(error) = self.store.change_registrations(&together, gone).await {
            tracing::warn!(%error, "what was begun could not be taken back: it goes on later");
        }
    }

    /// Moves it: registered there before it is dropped here.
    pub(super) async fn move_registration(
        &self,
        managing: &Managing,
        own_id: &OwnResourceId,
        id: &str,
        wanted: MoveRequest,
    ) -> Answer {
        let owner = managing.owner.as_str();
        self.check_hers(owner, own_id).await?;
        let issuer = wanted.authorization_server.as_str();
        let find = |all: &[Registered]| all.iter().find(|one| one.id == id && one.standing != Standing::Leaving).cloned();
        find(&self.store.registrations(owner, own_id).await.map_err(unreadable)?).ok_or_else(not_found)?;
        self.check_server(managing, issuer).await?;
        let Some(_busy) = self.ordered_operation(owner, own_id).await else { return Err(busy()) };
        let old = find(&self.store.registrations(owner, own_id).await.map_err(unreadable)?).ok_or_else(not_found)?;
        match old.standing {
            Standing::Active if old.issuer == issuer => return Ok(Json(self.moved(&old, &old)).into_response()),
            Standing::Active | Standing::Failed => {}
            _ => return Err(busy()),
        }
        self.placed(owner, own_id).await?;
        let pending = Registered { replaces: Some(old.id.clone()), ..self.pending(owner, own_id, issuer, old.scopes.clone()) };
        let moving = Registered { standing: Standing::Moving, ..old.clone() };
        let together = if old.standing == Standing::Failed { vec![pending.clone()] } else { vec![pending.clone(), moving] };
        self.store.change_registrations(&together, &[]).await.map_err(|_| unavailable())?;
        let registered = self.carried_out(pending, None).await?;
        Ok(Json(self.moved(&old, &registered)).into_response())
    }

    fn moved(&self, old: &Registered, new: &Registered) -> MovedRegistration {
        let not_carried = if old.issuer == new.issuer {
            Vec::new()
        } else {
            let (from, to) = (&old.issuer, &new.issuer);
            vec![
                format!("policies: what you shared at `{from}` is not shared at `{to}` before you share it there"),
                format!("tokens that you signed for `{from}` count only if they also name `{to}`"),
                format!("requests that wait for you at `{from}`, and access that was given there"),
            ]
        };
        MovedRegistration { registration: self.shown(new), not_carried }
    }

    pub(super) async fn delete_registration(&self, owner: &str, own_id: &OwnResourceId, id: &str) -> Answer {
        self.check_hers(owner, own_id).await?;
        let Some(_busy) = self.ordered_operation(owner, own_id).await else { return Err(busy()) };
        let all = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        let found = all.iter().find(|one| one.id == id && one.standing != Standing::Leaving).cloned();
        let found = found.ok_or_else(not_found)?;
        self.placed(owner, own_id).await?;
        // it guards no more from here on; the authorization server is told until it hears
        let leaving = Registered { standing: Standing::Leaving, ..found };
        self.store.change_registrations(std::slice::from_ref(&leaving), &[]).await.map_err(|_| unavailable())?;
        self.take_back(&leaving).await;
        Ok(done())
    }
}
