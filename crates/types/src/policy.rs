//! An owner's policy on the wire (protocol.md 1.2). What it means is in `rules/policy.rs`.

use crate::{ClientId, OwnResourceId, PolicyId, ResourceId, ResourceServerId, ScopeSet, Timestamp};
use serde::de::Error;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;

/// What to do with a requested scope while a required claim is open (protocol.md 1.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OnMissing {
    /// Ask the requesting party for it: `need_info`.
    #[default]
    Gather,
    /// Ask the owner: `request_submitted`.
    Ask,
    /// `request_denied`.
    Deny,
}

/// A claim that must hold: its name, who may state it, and the values that count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClaimCondition {
    pub name: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<String>,
    /// Accepted values; at least one.
    pub value: Vec<Value>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_token_format: Vec<String>,
}

/// A policy as it is posted, put and read.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PolicyDocument {
    #[serde(rename = "_id", skip_serializing_if = "Option::is_none")]
    pub id: Option<PolicyId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<ResourceId>,
    /// With `_resource_id`: names a resource that need not be registered yet.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_server: Option<ResourceServerId>,
    #[serde(rename = "_resource_id", skip_serializing_if = "Option::is_none")]
    pub own_id: Option<OwnResourceId>,
    pub resource_scopes: ScopeSet,
    #[serde(default)]
    pub required_claims: Vec<ClaimCondition>,
    /// The clients it is for; left out: every client. A list that has become empty is not that.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "read_clients")]
    pub client_id: Vec<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uses: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub purpose: Option<String>,
    #[serde(default)]
    pub on_missing: OnMissing,
    /// `waiting` until its resource is registered; not posted by clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// How often it was used; not posted by clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub uses: Option<u64>,
    /// What a person should know about it, for example an address in mixed scripts; not posted by clients.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub warnings: Vec<String>,
    /// The delegation under which somebody else wrote it; not posted by clients.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegation: Option<String>,
    /// The resource owner token that it is; not sent by clients in this form.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub authority: Option<String>,
}

impl PolicyDocument {
    /// The first member that a server says of a policy, and nobody else.
    pub fn servers_own_member(&self) -> Option<&'static str> {
        let own = [
            ("_id", self.id.is_some()),
            ("state", self.state.is_some()),
            ("uses", self.uses.is_some()),
            ("warnings", !self.warnings.is_empty()),
            ("delegation", self.delegation.is_some()),
        ];
        own.into_iter().find(|(_, is_there)| *is_there).map(|(name, _)| name)
    }
}

fn read_clients<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<ClientId>, D::Error> {
    let clients = Vec::<ClientId>::deserialize(deserializer)?;
    if clients.iter().any(|client| client.as_str().is_empty()) {
        return Err(D::Error::custom("an entry of `client_id` is empty: no client has that name"));
    }
    match clients.is_empty() {
        true => Err(D::Error::custom("`client_id` names at least one client, or is left out: then it is for every client")),
        false => Ok(clients),
    }
}

/// What somebody shares with a person, as that person lists it (protocol.md 1.2, `?role=requesting_party`): what can
/// be reached, where, and until when; nothing of others with whom it is shared.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedPolicy {
    #[serde(rename = "_id")]
    pub id: PolicyId,
    /// What the owner is called.
    pub owner: String,
    pub resource_id: ResourceId,
    pub resource_server: ResourceServerId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_location: Option<String>,
    pub resource_scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_from: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
}
