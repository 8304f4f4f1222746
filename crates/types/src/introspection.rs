//! Token introspection: RFC 7662 with the `permissions` of Federated Authorization 5.1.1.

use crate::json::OneOrMany;
use crate::{ClientId, GrantedPermission, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// What an introspection endpoint answers. An inactive token says nothing more than `active`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Introspection {
    pub active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<GrantedPermission>>,
    /// Only for access tokens that are no RPTs (5.1.1: an RPT's answer has no `scope`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// Key confirmation (RFC 9449 6.2): `{"jkt": "..."}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Value>,
}

/// Members that narrow what a token is good for: an answer in which one of them does not read does not read ([`crate::answer`]).
pub const NARROWING: [&str; 7] = ["active", "permissions", "exp", "cnf", "aud", "client_id", "iss"];

impl Introspection {
    /// `{"active": false}` and nothing more (RFC 7662 2.2).
    pub fn inactive() -> Self {
        Self::default()
    }
}
