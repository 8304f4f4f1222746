//! A relationship manager that an owner linked at her authorization server (protocol.md 1.8), and what it is told when
//! somebody waits for her (1.4).

use crate::access_request::AccessRequestDocument;
use crate::json::OneOrMany;
use crate::{AccessRequestId, Timestamp};
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
    /// Not sent by clients.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<Timestamp>,
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
