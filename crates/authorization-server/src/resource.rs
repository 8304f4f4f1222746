//! Resource registration (Federated Authorization 3.2), and the owner's view of what is registered
//! (protocol.md 1.1). Another's id answers like an unknown one (threat 7).

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::page::{Soon, page_of_seen};
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::access_token::ProtectionToken;
use identity::{CommitError, Failure};
use rules::Resource;
use std::sync::Arc;
use types::event::EventKind;
use types::resource::{OwnedResource, RegisteredResource};
use types::{ErrorCode, GrantId, OwnResourceId, Refusal, ResourceDescription, ResourceId};

/// Most scopes of one resource.
pub const MAX_SCOPES: usize = 500;
/// Longest text of a description, in bytes.
const MAX_TEXT: usize = 4096;
/// Longest description, with its scopes and translations, in bytes.
const MAX_DESCRIPTION: usize = 64 * 1024;

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no resource of yours has this id"))
}

fn check_description(description: ResourceDescription) -> Result<ResourceDescription, Failure> {
    let invalid = |what: String| Failure::Refused(Refusal::new(ErrorCode::InvalidRequest, what));
    let description = description.keep_known().map_err(invalid)?;
    if description.resource_scopes.is_empty() || description.resource_scopes.len() > MAX_SCOPES {
        return Err(invalid(format!("`resource_scopes` must name 1 to {MAX_SCOPES} scopes")));
    }
    check_texts(&description).map_err(invalid)?;
    Ok(description)
}

/// What a resource server says is kept, and listed for her and for her delegates.
fn check_texts(description: &ResourceDescription) -> Result<(), String> {
    let texts = [
        ("name", &description.name),
        ("description", &description.description),
        ("icon_uri", &description.icon_uri),
        ("type", &description.resource_type),
        ("resource_location", &description.resource_location),
    ];
    let texts = texts.into_iter().filter_map(|(member, text)| Some((member, text.as_deref()?)));
    if let Some(why) = description.own_id.as_ref().and_then(OwnResourceId::unfit) {
        return Err(format!("`_resource_id` {why}"));
    }
    let localized = description.localized.iter().filter_map(|(member, text)| Some((member.as_str(), text.as_str()?)));
    if let Some((member, _)) = texts.chain(localized).find(|(_, text)| text.len() > MAX_TEXT) {
        return Err(format!("`{member}` may have at most {MAX_TEXT} bytes"));
    }
    match types::json::size_of(description) {
        size if size > MAX_DESCRIPTION => Err(format!("a description may have at most {MAX_DESCRIPTION} bytes in all")),
        _ => Ok(()),
    }
}

impl AuthorizationServer {
    /// Create (3.2.1). Policies that waited for this resource bind to it in the same commit. What the resource server calls by a name
    /// that it has used before for this owner is that very thing, and keeps its id: of two, one would have the shares, and nobody
    /// could tell which (docs/decisions/0065).
    pub async fn create_resource(
        &self,
        pat: &ProtectionToken,
        description: ResourceDescription,
    ) -> Result<RegisteredResource, Failure> {
        let description = check_description(description)?;
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&pat.owner, tried).await;
            let made = match self.find_same(pat, &description).await? {
                Some(known) => self.register_again(pat, known, description.clone()).await?,
                None => self.register_new(pat, description.clone()).await?,
            };
            match made {
                Ok(registered) => return Ok(registered),
                // a policy that waited for it was changed, or the PAT has ended
                Err(CommitError::Changed) => self.check_link(pat).await?,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("policies change too fast".into()))
    }

    /// Whether the consent stands, and lets somebody act as a resource server: what it was for may have been left out.
    pub(crate) async fn is_linked(&self, consent: &GrantId) -> Result<bool, Failure> {
        let found = self.identity.store.find_consent(consent).await?;
        Ok(found.is_some_and(|consent| consent.links_resource_server()))
    }

    /// Registers something only as long as the owner wants this resource server.
    async fn check_link(&self, pat: &ProtectionToken) -> Result<(), Failure> {
        match self.is_linked(&pat.grant).await? {
            true => Ok(()),
            false => Failure::refuse(ErrorCode::InvalidToken, "the owner has ended what this PAT was for"),
        }
    }

    async fn register_new(
        &self,
        pat: &ProtectionToken,
        description: ResourceDescription,
    ) -> Result<Result<RegisteredResource, CommitError>, Failure> {
        let id = ResourceId::new(self.identity.random_id());
        let resource = Resource {
            id: id.clone(),
            owner: pat.owner.clone(),
            resource_server: pat.resource_server.clone(),
            description,
            registered: self.now(),
            unregistered: false,
            version: 0,
        };
        let mut changes = Changes::of(vec![Write::CreateResource(resource.clone())]);
        changes.identity.requires.push(identity::Requirement::ConsentStands(pat.grant.clone()));
        self.bind_waiting(&resource, &mut changes).await?;
        changes.writes.push(Write::AppendEvent(self.resource_event(pat, EventKind::ResourceRegistered, &resource).await?));
        Ok(self.store.commit(changes).await.map(|()| self.registered(id, None)))
    }

    /// What this resource server has registered by this name of its own, or spoke of before it had a PAT of the owner.
    async fn find_same(&self, pat: &ProtectionToken, description: &ResourceDescription) -> Result<Option<Resource>, Failure> {
        let Some(own_id) = &description.own_id else { return Ok(None) };
        Ok(self.store.find_resource_by_own_id(&pat.owner, &pat.resource_server, own_id).await?)
    }

    /// It is described anew, and what was only spoken of becomes a registration, with the policies that bound to it.
    async fn register_again(
        &self,
        pat: &ProtectionToken,
        known: Resource,
        description: ResourceDescription,
    ) -> Result<Result<RegisteredResource, CommitError>, Failure> {
        let version = known.version;
        let (registered, kind) = match known.unregistered {
            true => (self.now(), EventKind::ResourceRegistered),
            false => (known.registered, EventKind::ResourceUpdated),
        };
        let resource = Resource { description, unregistered: false, registered, version: version.saturating_add(1), ..known };
        let mut changes = Changes::of(vec![Write::PutResource(resource.clone())]);
        changes.requires.push(Requirement::ResourceUnchanged { id: resource.id.clone(), version });
        changes.identity.requires.push(identity::Requirement::ConsentStands(pat.grant.clone()));
        self.bind_waiting(&resource, &mut changes).await?;
        changes.writes.push(Write::AppendEvent(self.resource_event(pat, kind, &resource).await?));
        Ok(self.store.commit(changes).await.map(|()| self.registered(resource.id, None)))
    }

    /// Policies that waited for its own id bind to it, as many as there is room for.
    pub(crate) async fn bind_waiting(&self, resource: &Resource, changes: &mut Changes) -> Result<(), Failure> {
        let Some(own_id) = &resource.description.own_id else { return Ok(()) };
        let server = self.resource_server_id(&resource.resource_server).await?;
        let waiting = self.store.list_waiting_policies(&resource.owner, &server, own_id).await?;
        for mut policy in self.keep_what_fits(resource, waiting).await? {
            changes.requires.push(Requirement::PolicyUnchanged { id: policy.id.clone(), version: policy.version });
            policy.version = policy.version.saturating_add(1);
            changes.writes.push(Write::PutPolicy(policy));
        }
        Ok(())
    }

    /// Read (3.2.2).
    pub async fn read_resource(&self, pat: &ProtectionToken, id: &ResourceId) -> Result<RegisteredResource, Failure> {
        let resource = Arc::unwrap_or_clone(self.own_resource(pat, id).await?);
        Ok(self.registered(resource.id, Some(resource.description)))
    }

    /// Update (3.2.3): a complete replacement.
    pub async fn update_resource(
        &self,
        pat: &ProtectionToken,
        id: &ResourceId,
        description: ResourceDescription,
    ) -> Result<RegisteredResource, Failure> {
        let description = check_description(description)?;
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&pat.owner, tried).await;
            let before = self.own_resource(pat, id).await?;
            let renamed = description.own_id.clone().filter(|own_id| before.description.own_id.as_ref() != Some(own_id));
            let version = before.version;
            let after =
                Resource { description: description.clone(), version: version.saturating_add(1), ..Arc::unwrap_or_clone(before) };
            let event = self.resource_event(pat, EventKind::ResourceUpdated, &after).await?;
            let mut changes = Changes::of(vec![Write::PutResource(after.clone()), Write::AppendEvent(event)]);
            changes.requires.push(Requirement::ResourceUnchanged { id: id.clone(), version });
            if let Some(own_id) = renamed {
                if self.find_same(pat, &description).await?.is_some() {
                    return Failure::refuse(ErrorCode::InvalidRequest, "another resource has this `_resource_id`");
                }
                let (owner, resource_server) = (pat.owner.clone(), pat.resource_server.clone());
                changes.requires.push(Requirement::OwnIdFree { owner, resource_server, own_id });
            }
            self.bind_waiting(&after, &mut changes).await?;
            match self.store.commit(changes).await {
                Ok(()) => return Ok(self.registered(id.clone(), None)),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a resource changes too fast".into()))
    }

    /// Delete (3.2.4): protection ends, and what was granted on it.
    pub async fn delete_resource(&self, pat: &ProtectionToken, id: &ResourceId) -> Result<(), Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&pat.owner, tried).await;
            let resource = self.own_resource(pat, id).await?;
            let event = self.resource_event(pat, EventKind::ResourceDeleted, &resource).await?;
            let delete = Write::DeleteResource { owner: resource.owner.clone(), id: id.clone() };
            let mut changes = Changes::of(vec![delete, Write::AppendEvent(event)]);
            // a policy that comes meanwhile raises the version, and goes with the rest
            changes.requires.push(Requirement::ResourceUnchanged { id: id.clone(), version: resource.version });
            for policy in self.store.list_policies_on(id).await?.iter() {
                self.write_policy_beside(policy, EventKind::PolicyDeleted, pat.resource_server.as_str(), &mut changes);
            }
            match self.store.commit(changes).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a resource changes too fast".into()))
    }

    /// List (3.2.5): ids of this owner at this resource server (Part Y 6), a page of them, and the id behind which it goes
    /// on, if it does.
    pub async fn list_resources(
        &self,
        pat: &ProtectionToken,
        page: &Page<ResourceId>,
    ) -> Result<(Vec<ResourceId>, Option<ResourceId>), Failure> {
        let read = |page: Page<ResourceId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_resources(&pat.owner, &pat.resource_server, &page).await?) })
        };
        let see =
            |resource: Resource| -> Soon<'_, _> { Box::pin(async move { Ok((!resource.unregistered).then_some(resource.id)) }) };
        page_of_seen(page, |resource: &Resource| resource.id.clone(), read, see).await
    }

    /// The owner's view: `GET {registered_resources_endpoint}`.
    pub async fn list_owned_resources(
        &self,
        acting: &Acting,
        page: &Page<ResourceId>,
    ) -> Result<(Vec<OwnedResource>, Option<ResourceId>), Failure> {
        let read = |page: Page<ResourceId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_owned_resources(&acting.owner, &page).await?) })
        };
        let see = |resource: Resource| -> Soon<'_, _> {
            Box::pin(async move {
                match self.sees_resource(acting, &resource.id).await? {
                    true => Ok(Some(self.owned(acting, resource).await?)),
                    false => Ok(None),
                }
            })
        };
        page_of_seen(page, |resource: &Resource| resource.id.clone(), read, see).await
    }

    /// `GET {registered_resources_endpoint}/{_id}`.
    pub async fn read_owned_resource(&self, acting: &Acting, id: &ResourceId) -> Result<OwnedResource, Failure> {
        let seen = self.sees_resource(acting, id).await?;
        let resource = self.store.find_resource(id).await?.filter(|resource| seen && resource.owner == acting.owner);
        self.owned(acting, Arc::unwrap_or_clone(resource.ok_or_else(not_found)?)).await
    }

    async fn owned(&self, acting: &Acting, resource: Resource) -> Result<OwnedResource, Failure> {
        let mut policies = Vec::new();
        for policy in self.store.list_policies_on(&resource.id).await?.iter() {
            if !acting.is_delegate() || self.shown_policy(acting, policy).await?.is_some() {
                policies.push(policy.id.clone());
            }
        }
        Ok(OwnedResource {
            resource_server: self.resource_server_id(&resource.resource_server).await?,
            user_access_policy_uri: self.policy_page(&resource.id),
            policies,
            description: resource.description,
            id: resource.id,
        })
    }

    pub(crate) async fn own_resource(&self, pat: &ProtectionToken, id: &ResourceId) -> Result<Arc<Resource>, Failure> {
        let resource = self.store.find_resource(id).await?;
        resource.filter(|resource| resource.belongs_to(&pat.owner, &pat.resource_server)).ok_or_else(not_found)
    }

    fn registered(&self, id: ResourceId, description: Option<ResourceDescription>) -> RegisteredResource {
        RegisteredResource { user_access_policy_uri: Some(self.policy_page(&id)), id, description }
    }

    /// Where the owner sets who may reach it (Federated Authorization 3.2 `user_access_policy_uri`).
    pub fn policy_page(&self, id: &ResourceId) -> String {
        format!("{}/{id}", self.identity.url(types::path::MY_RESOURCES))
    }

    async fn resource_event(&self, pat: &ProtectionToken, kind: EventKind, resource: &Resource) -> Result<crate::Event, Failure> {
        let mut event = self.event(&pat.owner, kind);
        event.document.resource_id = Some(resource.id.clone());
        event.document.resource_server = Some(self.resource_server_id(&pat.resource_server).await?);
        event.document.scopes = resource.description.resource_scopes.clone();
        event.document.by = Some(pat.resource_server.as_str().to_owned());
        Ok(event)
    }

    pub(crate) async fn resource_server_id(&self, client: &types::ClientId) -> Result<types::ResourceServerId, Failure> {
        let found = self.identity.store.find_client(client).await?;
        Ok(found.map_or_else(|| types::ResourceServerId::new(client.as_str()), |client| client.resource_server_id()))
    }
}
