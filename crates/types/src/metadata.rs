//! Metadata of an authorization server (RFC 8414, OpenID Connect Discovery, Grant 2, Federated
//! Authorization 2, protocol.md 1) and of a protected resource (RFC 9728).

use serde::{Deserialize, Serialize};

/// Prefix of the URIs in `uma_profiles_supported`.
pub const UMA_PROFILE: &str = "urn:wayleave:params:uma:profile:";

/// Members of an authorization server's metadata without which a client would believe more ([`crate::answer`]).
pub const NARROWING: [&str; 6] = [
    "issuer",
    "authorization_endpoint",
    "token_endpoint",
    "jwks_uri",
    "authorization_response_iss_parameter_supported",
    "claims_response_iss_parameter_supported",
];

/// One document for every discovery path. Members that a server does not offer are absent; members
/// that we do not know are ignored (RFC 8414 3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Metadata {
    pub issuer: String,
    pub authorization_endpoint: String,
    pub token_endpoint: String,
    pub jwks_uri: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocation_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub introspection_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub userinfo_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub end_session_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pushed_authorization_request_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_types_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub response_modes_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub grant_types_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_methods_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub token_endpoint_auth_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub revocation_endpoint_auth_methods_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub introspection_endpoint_auth_methods_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub code_challenge_methods_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub subject_types_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub id_token_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claims_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub prompt_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub dpop_signing_alg_values_supported: Vec<String>,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub authorization_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims_parameter_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_parameter_supported: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub request_uri_parameter_supported: Option<bool>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub claims_interaction_endpoint: Option<String>,
    /// What comes back from there says whose answer it is (`iss`), as RFC 9207 has it for log-ins.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub claims_response_iss_parameter_supported: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permission_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_registration_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub uma_profiles_supported: Vec<String>,

    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub registered_resources_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub access_requests_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner_settings_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub delegations_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub linked_managers_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub consent_receipts_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_owner_credentials_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub revocations_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub discovery_requests_endpoint: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub claim_token_formats_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub policy_claims_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_owner_token_signing_alg_values_supported: Vec<String>,
}

/// The protected-resource document (RFC 9728 2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProtectedResourceMetadata {
    pub resource: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub scopes_supported: Vec<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub bearer_methods_supported: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwks_uri: Option<String>,
    /// Protocol.md 2.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_management_endpoint: Option<String>,
    /// Issuers whose tokens with scope `uma_management` and this audience are RMTs.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub resource_management_authorization_servers: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_owner_credentials_endpoint: Option<String>,
    /// Where an authorization server may ask whether somebody is known here (2.2).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resource_discovery_endpoint: Option<String>,
}
