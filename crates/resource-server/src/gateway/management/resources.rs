//! `/my-resources`: what an owner has here, registered or not, and her own words for it.

use super::{Answer, BASE, bad_limit, busy, invalid, limit_of, not_found, paged, query_of, unavailable, unreadable};
use crate::gateway::store::{Opinion, Registered, Standing};
use crate::gateway::{Behind, Gateway};
use crate::protection::ProtectionError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use std::collections::BTreeSet;
use types::OwnResourceId;
use types::available_resource::{AvailableResource, Registration, RegistrationState, ResourceChange};

/// Longest text of an owner.
const MAX_TEXT: usize = 4_096;

/// Whether a browser shows what is there and runs nothing: `javascript:` and `data:` are no addresses of pictures.
pub(in crate::gateway) fn is_web(uri: &str) -> bool {
    url::Url::parse(uri).is_ok_and(|url| matches!(url.scheme(), "https" | "http") && url.host().is_some())
}

/// What an owner says is shown on pages, and in terminals, of others.
fn check_texts(change: &ResourceChange) -> Result<(), &'static str> {
    let on_one_line = [&change.name, &change.icon_uri, &change.resource_type].into_iter().flatten().flatten();
    let all = || on_one_line.clone().chain(change.description.iter().flatten());
    if all().any(|text| text.is_empty() || text.len() > MAX_TEXT) {
        return Err("a text has 1 to 4096 bytes; `null` takes yours back");
    }
    let is_control = |c: char| c.is_control() && !matches!(c, '\n' | '\t' | '\r');
    if all().any(|text| text.contains(is_control)) || on_one_line.clone().any(|text| text.contains(char::is_control)) {
        return Err("a name, a type and an address are one line, and no text has control characters in it");
    }
    if change.icon_uri.iter().flatten().any(|uri| !is_web(uri)) {
        return Err("`icon_uri` must be a URL that begins with https:// or http://");
    }
    Ok(())
}

impl Gateway {
    /// A page of what she has here, by its own id (protocol.md 1.1: `limit`, `after`, and a link to the next).
    pub(super) async fn list_resources(&self, owner: &str, parts: &Parts) -> Answer {
        let query = query_of(parts);
        let limit = limit_of(&query).ok_or_else(bad_limit)?;
        let after = query.get("after").map(|after| OwnResourceId::from(after.as_str()));
        let mut all: Vec<AvailableResource> = Vec::new();
        for own_id in self.own_ids_after(owner, after, limit.saturating_add(1)).await.map_err(unreadable)? {
            let registrations = self.store.registrations(owner, &own_id).await.map_err(unreadable)?;
            all.push(self.available(owner, &own_id, &registrations).await.map_err(unreadable)?);
        }
        let base = format!("{}{BASE}/my-resources", self.settings.resource);
        Ok(paged(&base, limit, all, |last| last.own_id().map(ToString::to_string).unwrap_or_default()))
    }

    pub(super) async fn read_resource(&self, owner: &str, own_id: &OwnResourceId) -> Answer {
        self.check_hers(owner, own_id).await?;
        let registrations = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        Ok(Json(self.available(owner, own_id, &registrations).await.map_err(unreadable)?).into_response())
    }

    /// The next so many of everything of hers that is known: in the folder, registered before, or spoken of by her. No more
    /// is read of each than a page can hold.
    async fn own_ids_after(
        &self,
        owner: &str,
        after: Option<OwnResourceId>,
        limit: usize,
    ) -> Result<Vec<OwnResourceId>, ProtectionError> {
        let content = self.content_for_page(after.is_none()).await;
        content.check_whole(owner)?;
        let (mut found, mut after): (Vec<OwnResourceId>, _) = (Vec::new(), after);
        while found.len() < limit {
            // the first so many of all are among the first so many of each
            let from = after.as_ref();
            let mut next: BTreeSet<OwnResourceId> = content.ids_after(owner, from, limit).into_iter().collect();
            next.extend(self.store.registered_ids(owner, from, limit).await?);
            next.extend(self.store.spoken_of_ids(owner, from, limit).await?);
            let next: Vec<_> = next.into_iter().take(limit).collect();
            let Some(last) = next.last().cloned() else { break };
            // what no route makes any more is not here
            found.extend(next.into_iter().filter(|own_id| !self.offered_scopes(own_id).is_empty()));
            after = Some(last);
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Not found, unless it is hers: in a folder it is there; behind a service, a route gives it to her.
    pub(super) async fn check_hers(&self, owner: &str, own_id: &OwnResourceId) -> Result<(), Response> {
        let known = !self.store.registrations(owner, own_id).await.map_err(unreadable)?.is_empty()
            || self.store.find_opinion(owner, own_id).await.map_err(unreadable)? != Opinion::default();
        if known || (!self.offered_scopes(own_id).is_empty() && self.is_there(owner, own_id).await.map_err(unreadable)?) {
            return Ok(());
        }
        let hers = matches!(self.settings.behind, Behind::Upstream(_)) && self.path_owner(own_id).as_deref() == Some(owner);
        if hers { Ok(()) } else { Err(not_found()) }
    }

    async fn available(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        registrations: &[Registered],
    ) -> Result<AvailableResource, ProtectionError> {
        let listed = registrations.iter().filter(|one| one.standing != Standing::Leaving);
        Ok(AvailableResource {
            description: self.description(owner, own_id).await?,
            registrations: listed.map(|registered| self.shown(registered)).collect(),
        })
    }

    /// A registration as it is shown.
    pub(super) fn shown(&self, registered: &Registered) -> Registration {
        Registration {
            id: registered.id.clone(),
            authorization_server: registered.issuer.clone(),
            authorization_server_resource_id: registered.resource_id.clone(),
            registered_scopes: self.scopes_of(registered),
            state: match registered.standing {
                Standing::Active | Standing::Leaving => RegistrationState::Active,
                Standing::Pending => RegistrationState::Pending,
                Standing::Moving => RegistrationState::Moving,
                Standing::Failed => RegistrationState::Failed,
            },
            error: registered.error.clone(),
        }
    }

    /// Her own words, told to every authorization server that has it; one that is away hears of them later.
    pub(super) async fn change_resource(&self, owner: &str, own_id: &OwnResourceId, change: ResourceChange) -> Answer {
        self.check_hers(owner, own_id).await?;
        check_texts(&change).map_err(invalid)?;
        let Some(_busy) = self.ordered_operation(owner, own_id).await else { return Err(busy()) };
        let before = self.store.find_opinion(owner, own_id).await.map_err(unreadable)?;
        let opinion = Opinion {
            name: change.name.unwrap_or(before.name),
            description: change.description.unwrap_or(before.description),
            icon_uri: change.icon_uri.unwrap_or(before.icon_uri),
            resource_type: change.resource_type.unwrap_or(before.resource_type),
            placed: before.placed,
        };
        let all = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        let stale: Vec<_> = all.iter().filter(|one| one.guards()).map(|one| Registered { stale: true, ..one.clone() }).collect();
        // together: whoever does not hear of it at once hears of it later, also after a crash
        self.store.change_opinion(owner, own_id, &opinion, &stale).await.map_err(|_| unavailable())?;
        for registered in &stale {
            if let Err(error) = self.push(registered).await {
                tracing::warn!(%error, %own_id, "a description is told later");
            }
        }
        let registrations = self.store.registrations(owner, own_id).await.map_err(unreadable)?;
        Ok(Json(self.available(owner, own_id, &registrations).await.map_err(unreadable)?).into_response())
    }
}
