//! The resource description of Federated Authorization 3.1, and the answers of its
//! registration API (3.2).

use crate::{OwnResourceId, PolicyId, ResourceId, ResourceServerId, ScopeSet};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// What a resource server says of a resource. Unknown members are ignored; `name` and
/// `description` may be there in several languages (`name#fr`), and are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceDescription {
    pub resource_scopes: ScopeSet,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub icon_uri: Option<String>,
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<String>,
    /// The resource server's own id (protocol.md 1.1).
    #[serde(rename = "_resource_id", skip_serializing_if = "Option::is_none")]
    pub own_id: Option<OwnResourceId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    /// `name#tag` and `description#tag`, as sent.
    #[serde(flatten)]
    pub localized: Map<String, Value>,
}

impl ResourceDescription {
    /// Drops the members that no receiver needs to understand (Grant 1.1); keeps localized names.
    /// An error names the member that is no string.
    pub fn keep_known(mut self) -> Result<Self, String> {
        let known = |name: &str| name.starts_with("name#") || name.starts_with("description#");
        self.localized.retain(|name, _| known(name));
        if let Some((name, _)) = self.localized.iter().find(|(_, value)| !value.is_string()) {
            return Err(format!("`{name}` must be a string"));
        }
        Ok(self)
    }
}

/// Body of create, read, update and delete (Federated Authorization 3.2.1 to 3.2.4).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegisteredResource {
    #[serde(rename = "_id")]
    pub id: ResourceId,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_access_policy_uri: Option<String>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub description: Option<ResourceDescription>,
}

/// The owner's view of a registered resource (protocol.md 1.1).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OwnedResource {
    #[serde(rename = "_id")]
    pub id: ResourceId,
    pub resource_server: ResourceServerId,
    pub user_access_policy_uri: String,
    pub policies: Vec<PolicyId>,
    #[serde(flatten)]
    pub description: ResourceDescription,
}
