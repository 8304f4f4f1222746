//! The policy API (protocol.md 1.2).

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::page::{Soon, page_of_seen};
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::access_token::PolicyToken;
use identity::{CommitError, Failure};
use rules::policy::Binding;
use rules::{Policy, Resource};
use std::sync::Arc;
use types::event::EventKind;
use types::policy::{PolicyDocument, SharedPolicy};
use types::{ClientId, ErrorCode, OwnerId, PolicyId, Refusal, Timestamp};

/// Most policies in one posted array.
pub const MAX_BATCH: usize = 1_000;

fn not_found() -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::NotFound, "no policy of yours has this id"))
}

/// A policy and its entity tag.
#[derive(Clone, Debug)]
pub struct Versioned {
    pub document: PolicyDocument,
    pub version: u64,
}

impl Versioned {
    pub(crate) fn of(policy: &Policy) -> Self {
        Self { document: policy.to_document(), version: policy.version }
    }
}

impl AuthorizationServer {
    /// `POST {policy_endpoint}`, one policy.
    pub async fn create_policy(&self, acting: &Acting, document: PolicyDocument) -> Result<Versioned, Failure> {
        let mut made = self.create_policies(acting, vec![document]).await?;
        made.pop().ok_or_else(|| identity::internal("a created policy is missing"))
    }

    /// Several policies in one commit: all or none.
    pub async fn create_policies(&self, acting: &Acting, documents: Vec<PolicyDocument>) -> Result<Vec<Versioned>, Failure> {
        if documents.is_empty() || documents.len() > MAX_BATCH {
            return Failure::refuse(ErrorCode::InvalidRequest, format!("send 1 to {MAX_BATCH} policies"));
        }
        let taken = self.take_changes(acting, documents.len())?;
        let made = self.create_counted(acting, &documents).await;
        if made.is_err() {
            taken.give_back();
        }
        made
    }

    async fn create_counted(&self, acting: &Acting, documents: &[PolicyDocument]) -> Result<Vec<Versioned>, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let (mut changes, mut policies) = (Changes::default(), Vec::new());
            self.require_grant(acting.grant(), &mut changes).await?;
            for document in documents {
                check_posted(document)?;
                let id = PolicyId::new(self.identity.random_id());
                let mut policy = Policy::from_document(document.clone(), id, acting.owner.clone(), 0, self.now())?;
                check_end(document.expires_at, None, self.now())?;
                self.bind_allowed(acting, &mut policy, &mut changes).await?;
                policies.push(policy);
            }
            self.check_room_for(acting, &policies).await?;
            policies.iter().for_each(|policy| self.write_policy(policy, EventKind::PolicyCreated, &acting.by, &mut changes));
            match self.store.commit(changes).await {
                Ok(()) => return Ok(policies.iter().map(Versioned::of).collect()),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("resources change too fast".into()))
    }

    pub(crate) fn write_policy(&self, policy: &Policy, kind: EventKind, by: &str, changes: &mut Changes) {
        self.pen().write_policy(policy, kind, by, changes);
    }

    /// The same where its resource is written, too.
    pub(crate) fn write_policy_beside(&self, policy: &Policy, kind: EventKind, by: &str, changes: &mut Changes) {
        self.pen().write_policy_beside(policy, kind, by, changes);
    }

    /// Checks what a policy is about; binds one that waits to a resource that is there already.
    pub(crate) async fn bind(&self, policy: &mut Policy, changes: &mut Changes) -> Result<(), Failure> {
        match self.bind_to_resource(policy, changes).await? {
            Some(resource) => check_scopes(policy, &resource),
            None => Ok(()),
        }
    }

    /// The same where whoever acts may write it. A delegate who sees nothing of the thing is told so before anything is said of it:
    /// whether it is there, and what may be done with it, is the owner's (threat 49).
    pub(crate) async fn bind_allowed(&self, acting: &Acting, policy: &mut Policy, changes: &mut Changes) -> Result<(), Failure> {
        let resource = self.bind_to_resource(policy, changes).await?;
        if let Some(resource) = &resource
            && self.seen_scopes_of(acting, &resource.id).await?.is_none_or(|seen| !seen.is_empty())
        {
            check_scopes(policy, resource)?;
        }
        self.allow_policy(acting, policy, changes).await?;
        resource.map_or(Ok(()), |resource| check_scopes(policy, &resource))
    }

    async fn bind_to_resource(&self, policy: &mut Policy, changes: &mut Changes) -> Result<Option<Arc<Resource>>, Failure> {
        let found = match &policy.binding {
            Binding::Bound { resource } => Some(self.owned_resource(&policy.owner, resource).await?),
            Binding::Waiting { resource_server, own_id } => self.find_by_own_id(&policy.owner, resource_server, own_id).await?,
        };
        if let Some(resource) = &found {
            changes.requires.push(Requirement::ResourceUnchanged { id: resource.id.clone(), version: resource.version });
            policy.binding = Binding::Bound { resource: resource.id.clone() };
        }
        Ok(found)
    }

    pub(crate) async fn owned_resource(&self, owner: &OwnerId, id: &types::ResourceId) -> Result<Arc<Resource>, Failure> {
        let found = self.store.find_resource(id).await?.filter(|resource| resource.owner == *owner);
        found.ok_or_else(|| Failure::Refused(Refusal::new(ErrorCode::InvalidResourceId, "no resource of yours has this id")))
    }

    async fn find_by_own_id(
        &self,
        owner: &OwnerId,
        server: &types::ResourceServerId,
        own_id: &types::OwnResourceId,
    ) -> Result<Option<Arc<Resource>>, Failure> {
        let client = match self.identity.store.find_client_by_resource(server.as_str()).await? {
            Some(client) => Some(Arc::new(client)),
            None => self.identity.store.find_client(&ClientId::new(server.as_str())).await?,
        };
        let Some(client) = client else { return Ok(None) };
        Ok(self.store.find_resource_by_own_id(owner, &client.id, own_id).await?.map(Arc::new))
    }

    async fn own_policy(&self, owner: &OwnerId, id: &PolicyId) -> Result<Policy, Failure> {
        self.store.find_policy(id).await?.filter(|policy| policy.owner == *owner).ok_or_else(not_found)
    }

    async fn visible_policy(&self, acting: &Acting, id: &PolicyId) -> Result<Policy, Failure> {
        let policy = self.own_policy(&acting.owner, id).await?;
        if self.sees_policy(acting, &policy).await? { Ok(policy) } else { Err(not_found()) }
    }

    /// `GET {policy_endpoint}/{_id}`.
    pub async fn read_policy(&self, acting: &Acting, id: &PolicyId) -> Result<Versioned, Failure> {
        let policy = self.own_policy(&acting.owner, id).await?;
        let document = self.shown_policy(acting, &policy).await?.ok_or_else(not_found)?;
        Ok(Versioned { document, version: policy.version })
    }

    /// `GET {policy_endpoint}`: a page of it, and the id behind which it goes on, if it does.
    pub async fn list_policies(
        &self,
        acting: &Acting,
        page: &Page<PolicyId>,
    ) -> Result<(Vec<PolicyDocument>, Option<PolicyId>), Failure> {
        let read = |page: Page<PolicyId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_policies(&acting.owner, &page).await?) })
        };
        let see = |policy: Policy| -> Soon<'_, _> { Box::pin(async move { self.shown_policy(acting, &policy).await }) };
        page_of_seen(page, |policy: &Policy| policy.id.clone(), read, see).await
    }

    /// `GET {policy_endpoint}?role=requesting_party`: what others share with this account's verified address, where
    /// they allow it to be listed. A page of it, and the id behind which it goes on, if it does.
    pub async fn list_shared(
        &self,
        pmt: &PolicyToken,
        page: &Page<PolicyId>,
    ) -> Result<(Vec<SharedPolicy>, Option<PolicyId>), Failure> {
        let account = self.identity.store.find_account(&pmt.owner).await?;
        let address = account.as_ref().and_then(|account| account.verified_email()).and_then(types::email::normalize);
        let Some(address) = address else { return Ok((Vec::new(), None)) };
        let address = address.as_str();
        let read = |page: Page<PolicyId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_policies_for(address, &page).await?) })
        };
        let see = |id: PolicyId| -> Soon<'_, _> {
            Box::pin(async move {
                match self.store.find_policy(&id).await? {
                    Some(policy) => self.shared(&policy).await,
                    None => Ok(None),
                }
            })
        };
        page_of_seen(page, PolicyId::clone, read, see).await
    }

    async fn shared(&self, policy: &Policy) -> Result<Option<SharedPolicy>, Failure> {
        let settings = self.store.find_owner_settings(&policy.owner).await?.unwrap_or_default();
        let over = policy.expires_at.is_some_and(|end| end <= self.now());
        let Some(resource) = policy.resource().filter(|_| settings.list_for_requesting_party && !over) else { return Ok(None) };
        let Some(resource) = self.store.find_resource(resource).await? else { return Ok(None) };
        let owner = self.identity.store.find_account(&policy.owner).await?;
        Ok(Some(SharedPolicy {
            id: policy.id.clone(),
            owner: owner.map(|owner| owner.display_name().to_owned()).unwrap_or_default(),
            resource_server: self.resource_server_id(&resource.resource_server).await?,
            resource_id: resource.id.clone(),
            name: resource.description.name.clone(),
            resource_location: resource.description.resource_location.clone(),
            resource_scopes: policy.scopes.clone(),
            valid_from: policy.valid_from,
            expires_at: policy.expires_at,
        }))
    }

    /// `PUT {policy_endpoint}/{_id}`: what rested on the old one is gone.
    pub async fn replace_policy(
        &self,
        acting: &Acting,
        id: &PolicyId,
        document: PolicyDocument,
        if_match: Option<u64>,
    ) -> Result<Versioned, Failure> {
        if document.id.as_ref().is_some_and(|named| named != id) {
            return Failure::refuse(ErrorCode::InvalidRequest, "`_id` is not the one of the URL");
        }
        let taken = self.take_changes(acting, 1)?;
        let replaced = self.replace_counted(acting, id, document, if_match).await;
        if replaced.is_err() {
            taken.give_back();
        }
        replaced
    }

    async fn replace_counted(
        &self,
        acting: &Acting,
        id: &PolicyId,
        document: PolicyDocument,
        if_match: Option<u64>,
    ) -> Result<Versioned, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let before = self.visible_policy(acting, id).await?;
            check_match(&before, if_match)?;
            acting.made(before.delegation.as_deref())?;
            if before.authority.is_some() {
                return Failure::refuse(
                    ErrorCode::InvalidRequest,
                    "what is signed is not changed: delete it, and post a new token",
                );
            }
            check_end(document.expires_at, before.expires_at, self.now())?;
            let version = before.version.saturating_add(1);
            let mut after = Policy::from_document(document.clone(), id.clone(), acting.owner.clone(), version, before.created)?;
            let mut changes = Changes::default();
            after.receipt.clone_from(&before.receipt);
            changes.requires.push(Requirement::PolicyUnchanged { id: id.clone(), version: before.version });
            self.require_grant(acting.grant(), &mut changes).await?;
            self.bind_allowed(acting, &mut after, &mut changes).await?;
            self.check_room_for(acting, std::slice::from_ref(&after)).await?;
            if before.resource() != after.resource() {
                changes.writes.extend(before.resource().cloned().map(Write::TouchResource));
            }
            self.write_policy(&after, EventKind::PolicyUpdated, &acting.by, &mut changes);
            match self.store.commit(changes).await {
                Ok(()) => return Ok(Versioned::of(&after)),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a policy changes too fast".into()))
    }

    /// `DELETE {policy_endpoint}/{_id}`: the share ends when this returns.
    pub async fn delete_policy(&self, acting: &Acting, id: &PolicyId, if_match: Option<u64>) -> Result<(), Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            match self.store.commit(self.deletion_of_policy(acting, id, if_match).await?).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a policy changes too fast".into()))
    }

    pub(crate) async fn deletion_of_policy(
        &self,
        acting: &Acting,
        id: &PolicyId,
        if_match: Option<u64>,
    ) -> Result<Changes, Failure> {
        let by = acting.by.as_str();
        let policy = self.visible_policy(acting, id).await?;
        check_match(&policy, if_match)?;
        acting.made(policy.delegation.as_deref())?;
        let mut changes = Changes::default();
        changes.requires.push(Requirement::PolicyUnchanged { id: id.clone(), version: policy.version });
        match &policy.authority {
            None => self.write_policy(&policy, EventKind::PolicyDeleted, by, &mut changes),
            // a token ends as a whole
            Some(authority) => {
                for id in rules::authority::policy_ids(&authority.id, authority.parts) {
                    if let Some(part) = self.store.find_policy(&id).await? {
                        self.write_policy(&part, EventKind::PolicyDeleted, by, &mut changes);
                    }
                }
            }
        }
        Ok(changes)
    }
}

/// What this server says of a policy is not posted. In a `PUT` it is passed over: whoever read a policy, changed it and writes
/// it has it there.
fn check_posted(document: &PolicyDocument) -> Result<(), Failure> {
    match document.servers_own_member() {
        Some(member) => Failure::refuse(
            ErrorCode::InvalidRequest,
            format!("`{member}` is said by this server, and not posted: leave it out (to change a policy, `PUT` it)"),
        ),
        None => Ok(()),
    }
}

/// What has ended before it is written shares nothing; one that is over already may stay so.
fn check_end(end: Option<Timestamp>, before: Option<Timestamp>, now: Timestamp) -> Result<(), Failure> {
    match end {
        Some(end) if end <= now && before != Some(end) => {
            Failure::refuse(ErrorCode::InvalidRequest, "`expires_at` must lie ahead: to end a policy, `DELETE` it")
        }
        _ => Ok(()),
    }
}

/// What an owner signed may name more than is registered: it never grants it.
fn check_scopes(policy: &Policy, resource: &Resource) -> Result<(), Failure> {
    let is_unknown = |scope: &&types::Scope| policy.authority.is_none() && !resource.has_scope(scope);
    match policy.scopes.iter().find(is_unknown) {
        Some(scope) => {
            Failure::refuse(ErrorCode::InvalidScope, format!("the scope `{scope}` is not registered for this resource"))
        }
        None => Ok(()),
    }
}

fn check_match(policy: &Policy, if_match: Option<u64>) -> Result<(), Failure> {
    match if_match {
        Some(version) if version != policy.version => {
            Failure::refuse(ErrorCode::PreconditionFailed, "the policy has changed since you read it: read it again")
        }
        _ => Ok(()),
    }
}
