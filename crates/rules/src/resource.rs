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
    /// Only spoken of: by a resource server without a PAT of the owner, under the authority of her own tokens
    /// (protocol.md 3). No registration, until that resource server makes it one.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub unregistered: bool,
    /// Rises with everything that a decision about this resource rests on.
    pub version: u64,
}

impl Resource {
    /// Whether this PAT's owner and resource server may touch it (Federated Authorization 1.3: a
    /// PAT is unique to owner, resource server and authorization server).
    pub fn belongs_to(&self, owner: &OwnerId, resource_server: &ClientId) -> bool {
        !self.unregistered && self.is_of(owner, resource_server)
    }

    /// Whether it is this owner's at this resource server, registered or not.
    pub fn is_of(&self, owner: &OwnerId, resource_server: &ClientId) -> bool {
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
