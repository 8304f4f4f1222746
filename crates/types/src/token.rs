//! Answers of the token endpoint (RFC 6749 5, Grant 3.3.5 and 3.3.6), and the names used there.

use crate::ScopeSet;
use serde::{Deserialize, Serialize};

/// `grant_type` of the UMA grant (Grant 3.3.1).
pub const UMA_TICKET: &str = "urn:ietf:params:oauth:grant-type:uma-ticket";
/// `claim_token_format` of an OpenID Connect ID token (Grant 3.3.1).
pub const ID_TOKEN_FORMAT: &str = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken";
/// The same with another scheme, accepted because clients send it (protocol.md 1.3).
pub const ID_TOKEN_FORMAT_HTTPS: &str = "https://openid.net/specs/openid-connect-core-1_0.html#IDToken";
/// `client_assertion_type` (RFC 7523 2.2).
pub const JWT_BEARER_ASSERTION: &str = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer";

/// Scope of a PAT (Federated Authorization 1.2).
pub const UMA_PROTECTION: &str = "uma_protection";
/// Scope of a PMT (protocol.md 1).
pub const UMA_POLICY: &str = "uma_policy";
/// Scope of an RMT (protocol.md 1).
pub const UMA_MANAGEMENT: &str = "uma_management";
/// In a consent: the client reaches what is hers at one resource server as she does herself (protocol.md 1.4). No token has it.
pub const AS_OWNER: &str = "as_owner";

/// Success (RFC 6749 5.1, Grant 3.3.5).
#[derive(Clone, Serialize, Deserialize)]
pub struct TokenResponse {
    pub access_token: String,
    pub token_type: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_in: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_token: Option<String>,
    /// Never in an answer that has an RPT (Grant 3.3.5).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_token: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pct: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub upgraded: Option<bool>,
    /// The `resource` of the RPT's resource server (protocol.md 2.1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
    /// Scopes that the client sent as `scope` and that no permission of its RPT has; left out where there are none.
    /// `scope` itself is not for this (Grant 3.3.5).
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes_not_granted: ScopeSet,
}

/// `request_denied` to a client that sent `ask_owner=false`: nobody was asked, and the owner could be (protocol.md 1.2).
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct UnaskedDenial {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    pub may_ask: bool,
}

/// One entry of `required_claims` (Grant 3.3.6): every member is optional.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct RequiredClaim {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub claim_token_format: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claim_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub friendly_name: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub issuer: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
}

/// `need_info` and `request_submitted` (Grant 3.3.6): errors that bring the next ticket.
#[derive(Clone, Serialize, Deserialize)]
pub struct ContinuedProcess {
    pub error: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error_description: Option<String>,
    pub ticket: String,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub required_claims: Vec<RequiredClaim>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub redirect_user: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<i64>,
}
