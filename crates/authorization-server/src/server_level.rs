//! Resource servers with one PAT of their own, and none of any owner's (protocol.md 3): nothing is registered before, and
//! only tokens that an owner signed for that resource server are looked at. Called by the permission and introspection
//! endpoints.
//!
//! What such a request names becomes a resource that is *spoken of*: policies can bind to it, and it has a version that
//! a decision can rest on. It is in no list of the protection API; if the owner links that resource server later and it
//! registers the resource, that is what it becomes.

use crate::changes::{Changes, Requirement, Write};
use crate::permission::{MAX_PERMISSIONS, check_scopes, merge};
use crate::resource::MAX_SCOPES;
use crate::{AuthorizationServer, RETRIES};
use identity::access_token::{Presented, ProtectionToken, ServerToken};
use identity::{CommitError, Failure};
use rules::{Resource, Ticket};
use std::sync::Arc;
use types::credential::CredentialType;
use types::introspection::Introspection;
use types::permission::{PermissionTicket, ServerPermissionRequest};
use types::{ErrorCode, GrantId, OwnerId, PermissionRequest, ResourceDescription, ResourceId};

/// Whose PAT it is.
pub enum AnyPat {
    /// A resource server's, for an owner.
    Owner(Arc<ProtectionToken>),
    /// A resource server's own.
    Server(ServerToken),
}

/// Longest name of a credential.
const MAX_SIGNER: usize = 256;

/// Stands in tickets and RPTs where others name the grant behind a PAT.
fn grant_of(server: &types::ClientId) -> GrantId {
    GrantId::new(format!("server-level:{server}"))
}

impl AuthorizationServer {
    /// The door of the endpoints that a resource server without an owner may use as well.
    pub async fn check_any_pat(&self, presented: &Presented<'_>) -> Result<AnyPat, Failure> {
        // a bound token's proof is good once, so it is looked at once
        if presented.dpop_scheme && self.settings.extensions {
            return Ok(match self.identity.check_either_pat(presented).await? {
                Ok(pat) => AnyPat::Owner(Arc::new(pat)),
                Err(server) => AnyPat::Server(server),
            });
        }
        match self.check_pat(presented).await {
            Ok(pat) => Ok(AnyPat::Owner(pat)),
            Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::InsufficientScope && self.settings.extensions => {
                Ok(AnyPat::Server(self.identity.check_server_pat(presented).await?))
            }
            Err(error) => Err(error),
        }
    }

    /// A ticket for resources by their resource server's own ids, of the owner who signs by this credential.
    pub async fn request_permission_at_server_level(
        &self,
        server: &ServerToken,
        requests: Vec<ServerPermissionRequest>,
    ) -> Result<PermissionTicket, Failure> {
        let invalid = |what: &str| Failure::refuse(ErrorCode::InvalidRequest, what.to_owned());
        if requests.is_empty() || requests.len() > MAX_PERMISSIONS {
            return invalid("ask for 1 to 1000 permissions");
        }
        check_scopes(requests.iter().map(|request| request.resource_scopes.len()).sum())?;
        if let Some(why) = requests.iter().find_map(|request| request.resource_id.unfit()) {
            return invalid(&format!("`resource_id` {why}"));
        }
        let signer = requests.first().and_then(|request| request.resource_owner_id.clone());
        let Some(signer) = signer.filter(|signer| !signer.is_empty() && signer.len() <= MAX_SIGNER) else {
            return invalid("a PAT without an owner needs `resource_owner_id`: the credential that the owner signs by");
        };
        if requests.iter().any(|request| request.resource_owner_id.as_ref() != Some(&signer)) {
            return invalid("one ticket is about one `resource_owner_id`");
        }
        let Some(owner) = self.owner_of_signer(&signer, server, &requests).await? else {
            return Failure::refuse(ErrorCode::InvalidResourceId, "no owner signs by this `resource_owner_id` here");
        };
        let mut permissions = Vec::new();
        for request in requests {
            let resource_id = self.spoken_of(server, &owner, &request).await?;
            permissions.push(PermissionRequest { resource_id, resource_scopes: request.resource_scopes });
        }
        let ticket = Ticket {
            process: self.identity.timed_id(),
            step: 0,
            client: None,
            owner,
            resource_server: server.resource_server.clone(),
            pat_grant: grant_of(&server.resource_server),
            expires: self.now().plus(self.settings.ticket_lifetime),
            stored: false,
            permissions: merge(permissions),
            signer: Some(signer),
            not_before: None,
        };
        Ok(PermissionTicket { ticket: self.first_text(ticket).await? })
    }

    /// Who has this credential: of several, the one who signed for such a resource.
    async fn owner_of_signer(
        &self,
        signer: &str,
        server: &ServerToken,
        requests: &[ServerPermissionRequest],
    ) -> Result<Option<OwnerId>, Failure> {
        // a client id is only a name, and anybody may register keys under it: what finds its owner is a key (threat 24)
        let known = self.store.list_credentials_of_subject(signer).await?;
        let by_key = known.into_iter().filter(|credential| credential.document.cred_type == CredentialType::Did);
        let mut owners = by_key.map(|credential| credential.owner);
        let (first, others) = (owners.next(), owners.collect::<Vec<_>>());
        if others.is_empty() {
            return Ok(first);
        }
        for owner in first.iter().chain(&others) {
            for request in requests {
                if !self
                    .store
                    .list_waiting_policies(owner, &server.resource.as_str().into(), &request.resource_id)
                    .await?
                    .is_empty()
                    || self.store.find_resource_by_own_id(owner, &server.resource_server, &request.resource_id).await?.is_some()
                {
                    return Ok(Some(owner.clone()));
                }
            }
        }
        Ok(first)
    }

    /// The resource of this own id, as registered or as spoken of before; else it is spoken of from now on.
    async fn spoken_of(
        &self,
        server: &ServerToken,
        owner: &OwnerId,
        request: &ServerPermissionRequest,
    ) -> Result<ResourceId, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(owner, tried).await;
            let known = self.store.find_resource_by_own_id(owner, &server.resource_server, &request.resource_id).await?;
            let mut changes = Changes::default();
            let spoken =
                known.as_ref().map_or(0, |known| known.description.resource_scopes.union(&request.resource_scopes).len());
            if spoken.max(request.resource_scopes.len()) > MAX_SCOPES {
                let what = format!("a resource has {MAX_SCOPES} scopes at most");
                return Failure::refuse(ErrorCode::InvalidScope, what);
            }
            let resource = match known {
                Some(known) if request.resource_scopes.is_subset(&known.description.resource_scopes) => return Ok(known.id),
                Some(known) if !known.unregistered => {
                    return Failure::refuse(ErrorCode::InvalidScope, "a scope is not registered for its resource");
                }
                Some(mut known) => {
                    changes.requires.push(Requirement::ResourceUnchanged { id: known.id.clone(), version: known.version });
                    known.version = known.version.saturating_add(1);
                    known.description.resource_scopes = known.description.resource_scopes.union(&request.resource_scopes);
                    changes.writes.push(Write::PutResource(known.clone()));
                    known
                }
                None if !self.may_speak_of(server, owner, request).await? => {
                    return Failure::refuse(ErrorCode::InvalidResourceId, "the owner has signed nothing for this resource");
                }
                None => {
                    let resource = self.unregistered(server, owner, request);
                    changes.writes.push(Write::CreateResource(resource.clone()));
                    resource
                }
            };
            self.bind_waiting(&resource, &mut changes).await?;
            match self.store.commit(changes).await {
                Ok(()) => return Ok(resource.id),
                Err(CommitError::Changed | CommitError::Taken) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a resource changes too fast".into()))
    }

    /// A resource server that the operator does not know fills nobody's list with made-up resources: the owner must have
    /// signed for one first (threat 32).
    async fn may_speak_of(
        &self,
        server: &ServerToken,
        owner: &OwnerId,
        request: &ServerPermissionRequest,
    ) -> Result<bool, Failure> {
        if self.identity.store.find_client(&server.resource_server).await?.is_some_and(|client| client.declared) {
            return Ok(true);
        }
        let waiting = self.store.list_waiting_policies(owner, &server.resource.as_str().into(), &request.resource_id).await?;
        Ok(waiting.iter().any(|policy| policy.authority.is_some()))
    }

    fn unregistered(&self, server: &ServerToken, owner: &OwnerId, request: &ServerPermissionRequest) -> Resource {
        Resource {
            id: ResourceId::new(self.identity.random_id()),
            owner: owner.clone(),
            resource_server: server.resource_server.clone(),
            description: ResourceDescription {
                resource_scopes: request.resource_scopes.clone(),
                name: Some(request.resource_id.as_str().to_owned()),
                own_id: Some(request.resource_id.clone()),
                ..ResourceDescription::default()
            },
            registered: self.now(),
            unregistered: true,
            version: 0,
        }
    }

    /// Introspection by such a PAT: RPTs for this resource server whose every permission an owner signed.
    pub async fn introspect_at_server_level(&self, server: &ServerToken, text: &str) -> Result<Introspection, Failure> {
        let Some((_, rpt)) = self.find_rpt_by_text(text).await? else { return Ok(Introspection::inactive()) };
        if rpt.resource_server != server.resource_server || self.now() >= rpt.expires {
            return Ok(Introspection::inactive());
        }
        let (answer, _) = self.told_of(rpt).await?;
        let signed = answer.permissions.iter().flatten().all(|permission| permission.authority.is_some());
        Ok(if signed { answer } else { Introspection::inactive() })
    }
}
