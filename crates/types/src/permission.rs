//! Permissions: what a ticket asks for (Federated Authorization 4.1) and what an RPT holds (5.1.1).

use crate::{OwnResourceId, ResourceId, Scope, ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};

/// One requested permission. `resource_scopes` must be there, and may be empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PermissionRequest {
    pub resource_id: ResourceId,
    pub resource_scopes: ScopeSet,
}

/// The body of the permission endpoint: one permission, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a permission has `resource_id` and `resource_scopes`; it is one, or an array of them")]
pub enum PermissionRequests {
    One(PermissionRequest),
    Many(Vec<PermissionRequest>),
}

impl PermissionRequests {
    pub fn into_vec(self) -> Vec<PermissionRequest> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}

/// Answer of the permission endpoint (Federated Authorization 4.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct PermissionTicket {
    pub ticket: String,
}

/// One permission of an RPT as introspection and JWT RPTs show it (Federated Authorization 5.1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GrantedPermission {
    pub resource_id: ResourceId,
    pub resource_scopes: ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    /// The resource owner token that it rests on (protocol.md 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl GrantedPermission {
    /// Whether it lets `scope` on `resource` pass at `now` (5.1.1: the resource server enforces
    /// `exp` and `nbf` of each permission itself).
    pub fn allows(&self, resource: &ResourceId, scope: &Scope, now: Timestamp) -> bool {
        self.resource_id == *resource
            && self.resource_scopes.contains(scope)
            && self.exp.is_none_or(|exp| now < exp)
            && self.nbf.is_none_or(|nbf| nbf <= now)
    }
}

/// One requested permission of a resource server that has a PAT of its own alone (protocol.md 3): its own id of the
/// resource, and the credential of the owner who signs for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ServerPermissionRequest {
    pub resource_id: OwnResourceId,
    pub resource_scopes: ScopeSet,
    #[serde(default)]
    pub resource_owner_id: Option<String>,
}

/// One, or an array of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged, expecting = "a permission has `resource_id` and `resource_scopes`; it is one, or an array of them")]
pub enum ServerPermissionRequests {
    One(ServerPermissionRequest),
    Many(Vec<ServerPermissionRequest>),
}

impl ServerPermissionRequests {
    pub fn into_vec(self) -> Vec<ServerPermissionRequest> {
        match self {
            Self::One(one) => vec![one],
            Self::Many(many) => many,
        }
    }
}
