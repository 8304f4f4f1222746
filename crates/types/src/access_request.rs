//! A request that waits for the owner (protocol.md 1.4).

use crate::{AccessRequestId, ClientId, PermissionRequest, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Where a request stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AccessRequestState {
    Pending,
    Approved,
    Denied,
    Expired,
}

/// The asking client as the owner sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestingClient {
    pub client_id: ClientId,
    pub name: Option<String>,
    /// Whether the operator declared it, rather than open registration.
    #[serde(default)]
    pub verified: bool,
}

/// An access request as the owner reads it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct AccessRequestDocument {
    #[serde(rename = "_id")]
    pub id: AccessRequestId,
    pub state: AccessRequestState,
    pub created: Timestamp,
    pub expires_at: Timestamp,
    pub client: RequestingClient,
    pub requesting_party: Map<String, Value>,
    pub permissions: Vec<PermissionRequest>,
    /// Of an approved one: until when it lets in what `permissions` names. Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approved_until: Option<Timestamp>,
    /// What whoever asks wrote to the owner (`owner_message` of the token request). To be shown as a quotation.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl AccessRequestDocument {
    /// Whether it is approved, and lets somebody in at `now`, as far as its server says.
    pub fn lets_in(&self, now: Timestamp) -> bool {
        self.state == AccessRequestState::Approved && self.approved_until.is_none_or(|until| now < until)
    }
}

/// The two answers an owner can give.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum DecisionKind {
    Approve,
    Deny,
}

/// Body of `POST {access_requests_endpoint}/{_id}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DecisionDocument {
    pub decision: DecisionKind,
    #[serde(default)]
    pub permissions: Option<Vec<PermissionRequest>>,
    #[serde(default)]
    pub expires_at: Option<Timestamp>,
    #[serde(default)]
    pub remember: bool,
}
