//! A relationship manager that an owner linked at her authorization server (protocol.md 1.8), and what it is told when
//! somebody waits for her (1.4).

use crate::access_request::{AccessRequestDocument, RequestingClient};
use crate::json::OneOrMany;
use crate::policy::ClaimCondition;
use crate::{AccessRequestId, OwnerId, ResourceId, ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};

/// `typ` of the notice, and its media type.
pub const NOTICE: &str = "access-request+jwt";

/// A manager as it is posted and listed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LinkedManager {
    #[serde(rename = "_id", default, skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// What it is called by: notices name it as their audience.
    pub issuer: String,
    /// Who it speaks with as an identity provider: `issuer` where it is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    /// Its name for the owner; notices carry it.
    pub sub: String,
    /// Where it is told of requests at once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notification_endpoint: Option<String>,
    /// Where she is sent to write a policy while she waits at the claims interaction page (protocol.md 1.4 (a)).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_interaction_endpoint: Option<String>,
    /// Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
}

/// `typ` of a request for a policy.
pub const POLICY_REQUEST: &str = "policy-request+jwt";

/// What a manager is asked for while its owner, or a delegate of hers, waits at the claims interaction page: signed by the
/// authorization server, and brought by her browser as `request`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PolicyRequest {
    pub iss: String,
    pub aud: OneOrMany,
    /// The manager's name for whoever is there.
    pub sub: String,
    pub jti: String,
    pub iat: Timestamp,
    pub exp: Timestamp,
    /// The account whose things these are, where it is another than hers: she decides for it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<OwnerId>,
    pub client: RequestingClient,
    /// Host to which the client will take what it gets.
    pub client_host: String,
    /// Ids at the authorization server.
    pub resources: Vec<ResourceId>,
    pub resource_scopes: ScopeSet,
    /// Whom the policy is to let in: whoever is there.
    pub required_claims: Vec<ClaimCondition>,
    pub ticket_challenge: String,
    /// Where her browser goes on afterwards; below `iss`.
    pub return_uri: String,
}

/// What a manager is told, signed by the authorization server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Notice {
    pub iss: String,
    pub aud: OneOrMany,
    /// The manager's name for the owner.
    pub sub: String,
    pub jti: String,
    pub iat: Timestamp,
    pub exp: Timestamp,
    /// The access request's id.
    pub auth_req_id: AccessRequestId,
    /// A few characters that owner and asking person can compare.
    pub binding_message: String,
    /// Seconds that the request waits.
    pub expires_in: i64,
    pub access_request: AccessRequestDocument,
}
