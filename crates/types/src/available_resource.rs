//! An owner's resources as a resource server lists them to her (protocol.md 2): what there is, and where it is guarded.

use crate::{OwnResourceId, ResourceDescription, ResourceId, ScopeSet};
use serde::{Deserialize, Serialize};

/// An available resource: its description, with the resource server's own id and location, and its registrations.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AvailableResource {
    #[serde(flatten)]
    pub description: ResourceDescription,
    #[serde(default)]
    pub registrations: Vec<Registration>,
}

/// One registration of a resource at an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Registration {
    #[serde(rename = "_id")]
    pub id: String,
    pub authorization_server: String,
    /// Once that server has said it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorization_server_resource_id: Option<ResourceId>,
    pub registered_scopes: ScopeSet,
    pub state: RegistrationState,
    /// Why it is `failed`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
}

/// Body of `POST .../registrations` (protocol.md 2).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RegistrationRequest {
    pub authorization_server: String,
    /// Left out: all that the resource has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_scopes: Option<ScopeSet>,
}

/// Body of `PUT .../registrations/{_id}`: where it moves.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct MoveRequest {
    pub authorization_server: String,
}

/// A registration that has moved, and what stays behind.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct MovedRegistration {
    #[serde(flatten)]
    pub registration: Registration,
    /// What a resource server cannot carry from one authorization server to another, in words for the owner.
    pub not_carried: Vec<String>,
}

/// Body of `PATCH /my-resources/{_resource_id}`: the owner's own words. `null` takes one back.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ResourceChange {
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub name: Option<Option<String>>,
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub description: Option<Option<String>>,
    #[serde(default, deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub icon_uri: Option<Option<String>>,
    #[serde(default, rename = "type", deserialize_with = "said", skip_serializing_if = "Option::is_none")]
    pub resource_type: Option<Option<String>>,
}

/// `null` is not the same as nothing.
fn said<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::<String>::deserialize(deserializer).map(Some)
}

/// Body of `POST /authorization-servers`: one of the two.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerRequest {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// The owner's address at that server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<String>,
}

/// Body of `PUT /authorization-servers/{issuer}`: the account there is hers; and it may be her usual one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerConfirmation {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<bool>,
}

/// Where to send the owner, so that she links an authorization server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ToAuthorize {
    pub authorize_uri: String,
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
    #[serde(default)]
    pub name: String,
    pub pat: PatState,
    /// Who she is there, once it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub account: Option<ChosenAccount>,
    /// Hers for whatever does not say otherwise.
    #[serde(default)]
    pub default: bool,
    /// Where she links it, if nobody needs to ask for that first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorize_uri: Option<String>,
}

/// An owner's account at an authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChosenAccount {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
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
