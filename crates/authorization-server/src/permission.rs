//! The permission endpoint (Federated Authorization 4): what a client tried becomes a ticket.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use identity::access_token::ProtectionToken;
use identity::{Failure, internal};
use rules::ticket::{Process, ProcessId};
use rules::{Policy, Ticket};
use std::sync::Arc;
use types::permission::PermissionTicket;
use types::{ErrorCode, PermissionRequest, Refusal};

/// Most permissions in one ticket.
pub const MAX_PERMISSIONS: usize = 1_000;
/// Most scopes that a ticket or an RPT is about, each counted for each of its resources: what one call is worth (threat 46).
pub(crate) const MAX_GRANTED_SCOPES: usize = 2_000;

/// Refuses what is about more, where it is asked for.
pub(crate) fn check_scopes(scopes: usize) -> Result<(), Refusal> {
    match scopes <= MAX_GRANTED_SCOPES {
        true => Ok(()),
        false => Err(Refusal::new(
            ErrorCode::InvalidRequest,
            format!("this is about more than {MAX_GRANTED_SCOPES} scopes of resources together: ask for less at a time"),
        )),
    }
}

/// Most policies by which one call about many resources is judged; one that is large counts as several.
const MAX_POLICIES: usize = 10_000;

/// As how many these count.
pub(crate) fn count_of(policies: &[Arc<Policy>]) -> usize {
    policies.iter().map(|policy| policy.counts_as()).sum()
}

/// Refuses what is judged by more. One resource is always judged: it has room for so many alone.
pub(crate) fn check_policies(resources: usize, policies: usize) -> Result<(), Refusal> {
    match resources <= 1 || policies <= MAX_POLICIES {
        true => Ok(()),
        false => Err(too_many_policies()),
    }
}

pub(crate) fn too_many_policies() -> Refusal {
    let what = "these resources are shared in more ways than are judged at once: ask for fewer of them at a time";
    Refusal::new(ErrorCode::InvalidRequest, what)
}

/// Takes what is asked for at a time, each resource once.
pub(crate) fn check_permissions(permissions: Vec<PermissionRequest>) -> Result<Vec<PermissionRequest>, Refusal> {
    let merged = merge_few(permissions)?;
    check_scopes(count_scopes(&merged))?;
    Ok(merged)
}

fn merge_few(permissions: Vec<PermissionRequest>) -> Result<Vec<PermissionRequest>, Refusal> {
    match permissions.is_empty() || permissions.len() > MAX_PERMISSIONS {
        true => Err(Refusal::new(ErrorCode::InvalidRequest, format!("ask for 1 to {MAX_PERMISSIONS} permissions"))),
        false => Ok(merge(permissions)),
    }
}

fn count_scopes(permissions: &[PermissionRequest]) -> usize {
    permissions.iter().map(|permission| permission.resource_scopes.len()).sum()
}

impl AuthorizationServer {
    /// One ticket for all requested permissions, or none at all (4.2, 4.3).
    pub async fn request_permission(
        &self,
        pat: &ProtectionToken,
        permissions: Vec<PermissionRequest>,
    ) -> Result<PermissionTicket, Failure> {
        let permissions = merge_few(permissions)?;
        for permission in &permissions {
            let found = self.store.find_resource(&permission.resource_id).await?;
            let Some(resource) = found.filter(|resource| resource.belongs_to(&pat.owner, &pat.resource_server)) else {
                return Failure::refuse(ErrorCode::InvalidResourceId, "a `resource_id` is not registered with this PAT");
            };
            if let Some(scope) = permission.resource_scopes.iter().find(|scope| !resource.has_scope(scope)) {
                return Failure::refuse(
                    ErrorCode::InvalidScope,
                    format!("the scope `{scope}` is not registered for its resource"),
                );
            }
        }
        // what is not registered is told first (4.4)
        check_scopes(count_scopes(&permissions))?;
        let process: ProcessId = self.identity.timed_id();
        let ticket = Ticket {
            process,
            step: 0,
            client: None,
            owner: pat.owner.clone(),
            resource_server: pat.resource_server.clone(),
            pat_grant: pat.grant.clone(),
            expires: self.now().plus(self.settings.ticket_lifetime),
            stored: false,
            permissions,
            signer: None,
            not_before: None,
        };
        Ok(PermissionTicket { ticket: self.first_text(ticket).await? })
    }

    /// Permissions that do not fit into the ticket go into a row, in a commit of its own.
    pub(crate) async fn first_text(&self, ticket: Ticket) -> Result<String, Failure> {
        if let Some(text) = self.seal_ticket(&ticket).await? {
            return Ok(text);
        }
        let process = Process { permissions: ticket.permissions.clone(), ..Process::default() };
        let write = self.put_process(&ticket, &process)?;
        self.store.commit(Changes::of(vec![write])).await?;
        let slim = Ticket { permissions: Vec::new(), stored: true, ..ticket };
        self.seal_ticket(&slim).await?.ok_or_else(|| internal("a ticket without permissions is too long"))
    }

    pub(crate) fn put_process(&self, ticket: &Ticket, process: &Process) -> Result<Write, Failure> {
        let plain = serde_json::to_vec(process).map_err(internal)?;
        let sealed = self.identity.keys.seal(&plain, &process_context(&ticket.process), &*self.identity.randomness)?;
        Ok(Write::PutProcess { id: ticket.process, sealed, expires: ticket.expires })
    }

    pub(crate) async fn find_process(&self, ticket: &Ticket) -> Result<Option<Process>, Failure> {
        let Some(sealed) = self.store.find_process(&ticket.process).await? else { return Ok(None) };
        let plain = self.identity.keys.open(&sealed, &process_context(&ticket.process));
        let plain = plain.ok_or_else(|| internal("a stored process does not open"))?;
        serde_json::from_slice(&plain).map(Some).map_err(internal)
    }
}

fn process_context(id: &ProcessId) -> String {
    format!("process {}", jose::base64url::encode(id))
}

/// The same resource named twice is one permission with the scopes of both.
pub(crate) fn merge(permissions: Vec<PermissionRequest>) -> Vec<PermissionRequest> {
    let mut merged: Vec<PermissionRequest> = Vec::with_capacity(permissions.len());
    for permission in permissions {
        match merged.iter_mut().find(|known| known.resource_id == permission.resource_id) {
            Some(known) => known.resource_scopes = known.resource_scopes.union(&permission.resource_scopes),
            None => merged.push(permission),
        }
    }
    merged
}
