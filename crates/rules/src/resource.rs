//! A registered resource: whose it is, at which resource server, and which scopes it has
//! (Federated Authorization 3).

use serde::{Deserialize, Serialize};
use types::{ClientId, OwnerId, ResourceDescription, ResourceId, Scope, Timestamp};

/// A registered resource. Its owner and resource server never change.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Resource {
    pub id: ResourceId,
    pub owner: OwnerId,
    pub resource_server: ClientId,
    pub description: ResourceDescription,
    pub registered: Timestamp,
    /// Rises with everything that a decision about this resource rests on.
    pub version: u64,
}

impl Resource {
    /// Whether this PAT's owner and resource server may touch it (Federated Authorization 1.3: a
    /// PAT is unique to owner, resource server and authorization server).
    pub fn belongs_to(&self, owner: &OwnerId, resource_server: &ClientId) -> bool {
        self.owner == *owner && self.resource_server == *resource_server
    }

    /// Whether the scope is registered for it.
    pub fn has_scope(&self, scope: &Scope) -> bool {
        self.description.resource_scopes.contains(scope)
    }

    /// The name a person knows it by.
    pub fn display_name(&self) -> &str {
        self.description.name.as_deref().unwrap_or(self.id.as_str())
    }
}
