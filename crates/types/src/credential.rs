//! Resource owner credentials on the wire (protocol.md 3): the keys by which an owner is known where her tokens are to
//! count.

use crate::Timestamp;
use crate::brought::BroughtBy;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `typ` of the proof that somebody has a credential's key.
pub const PROOF_TYPE: &str = "credential-proof+jwt";

/// What a credential is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum CredentialType {
    /// `{"id": "did:key:..."}`.
    Did,
    /// OAuth client metadata with `client_id`, and `jwks` or `jwks_uri`.
    Client,
}

/// Body of `POST {resource_owner_credentials_endpoint}`.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CredentialRegistration {
    pub cred_type: CredentialType,
    pub cred_value: Value,
    /// A JWT by the credential's key over the challenge; without it the answer is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<String>,
}

/// A credential as it is listed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct CredentialDocument {
    #[serde(rename = "_id")]
    pub id: String,
    pub cred_type: CredentialType,
    pub cred_value: Value,
    pub created: Timestamp,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used: Option<Timestamp>,
    /// Who brought it, where a resource server keeps that; lists do not tell it.
    #[serde(rename = "_by", default, skip_serializing_if = "Option::is_none")]
    pub by: Option<BroughtBy>,
}

/// The answer to a registration whose proof is missing or not good: what to sign.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct CredentialChallenge {
    pub error: String,
    pub error_description: String,
    pub challenge: String,
    pub expires_in: i64,
}
