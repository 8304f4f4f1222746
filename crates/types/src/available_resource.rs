//! An owner's resources as a resource server lists them to her (protocol.md 2): what there is, and where it is guarded.

use crate::{OwnResourceId, ResourceDescription, ResourceId, ScopeSet};
use serde::{Deserialize, Serialize};

/// An available resource: its description, with the resource server's own id and location, and its registrations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailableResource {
    #[serde(flatten)]
    pub description: ResourceDescription,
    pub registrations: Vec<Registration>,
}

/// One registration of a resource at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    #[serde(rename = "_id")]
    pub id: String,
    pub authorization_server: String,
    pub authorization_server_resource_id: ResourceId,
    pub registered_scopes: ScopeSet,
    pub state: RegistrationState,
}

/// Where a registration stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RegistrationState {
    Active,
    Pending,
    Moving,
    Failed,
}

/// An authorization server that an owner can choose, and how she stands with it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenServer {
    pub issuer: String,
    pub pat: PatState,
    /// Where she links it.
    pub authorize_uri: String,
}

/// Whether the resource server has a PAT of this owner.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatState {
    None,
    Pending,
    Active,
    Withdrawn,
}

impl AvailableResource {
    /// The resource server's own id.
    pub fn own_id(&self) -> Option<&OwnResourceId> {
        self.description.own_id.as_ref()
    }
}
