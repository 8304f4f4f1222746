//! Finding an owner at resource servers that cannot log anyone in (protocol.md 2.2): what a manager asks for, what it is
//! told, and what a resource server is told of the owner.

use crate::{ResourceServerId, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// `typ` of a discovery token.
pub const DISCOVERY_TYPE: &str = "discovery+jwt";
/// `typ` of the assertion in it, by which the resource server gets its PAT.
pub const PAT_ASSERTION_TYPE: &str = "pat-assertion+jwt";
/// RFC 7523.
pub const JWT_BEARER: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Media type of a discovery token that is posted by itself.
pub const DISCOVERY_MEDIA: &str = "application/discovery+jwt";

/// Body of `POST {discovery_requests_endpoint}`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryRequest {
    pub resource_servers: Vec<ResourceServerId>,
    /// Names of claims.
    pub claims: Vec<String>,
}

/// Where a search stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchState {
    /// For the owner's consent.
    Waiting,
    Approved,
    Denied,
}

/// Where it stands at one resource server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum SearchAt {
    /// Nothing was sent yet.
    Waiting,
    /// It takes its time.
    Sent,
    /// It offers no search, or would not have it.
    Failed,
    /// It found her, and has a PAT.
    Found,
}

/// A search as it is told.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiscoveryDocument {
    #[serde(rename = "_id")]
    pub id: String,
    pub state: SearchState,
    pub created: Timestamp,
    /// Where the owner consents, as long as she has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub authorize_uri: Option<String>,
    pub claims: Vec<String>,
    pub resource_servers: Vec<SearchedServer>,
}

/// One resource server of a search.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SearchedServer {
    pub resource_server: ResourceServerId,
    pub state: SearchAt,
}

/// Claims of a discovery token.
#[derive(Clone, Serialize, Deserialize)]
pub struct DiscoveryToken {
    pub iss: String,
    pub aud: String,
    /// The owner, as this resource server alone knows her.
    pub sub: String,
    pub iat: Timestamp,
    pub exp: Timestamp,
    pub jti: String,
    #[serde(default)]
    pub verified_claims: Map<String, Value>,
    #[serde(default)]
    pub self_asserted_claims: Map<String, Value>,
    pub pat_assertion: String,
}
