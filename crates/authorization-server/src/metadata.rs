//! The metadata document (Grant 2, Federated Authorization 2, protocol.md 1): identity's part, and
//! UMA's. It names only what is there.

use crate::AuthorizationServer;
use types::discovery::JWT_BEARER;
use types::metadata::{Metadata, UMA_PROFILE};
use types::path;
use types::token::{ID_TOKEN_FORMAT, UMA_POLICY, UMA_PROTECTION, UMA_TICKET};

/// Profiles of `uma_profiles_supported` that this server has.
const PROFILES: [&str; 8] = [
    "just-in-time-policy",
    "policy-management",
    "resource-binding",
    "dpop",
    "jwt-rpt",
    "resource-owner-token",
    "discovery",
    "consent-receipt",
];

impl AuthorizationServer {
    pub fn metadata(&self) -> Metadata {
        let url = |path: &str| self.identity.url(path);
        let mut metadata = self.identity.metadata();
        metadata.grant_types_supported.push(UMA_TICKET.to_owned());
        metadata.scopes_supported.push(UMA_PROTECTION.to_owned());
        metadata.claims_interaction_endpoint = Some(url(path::CLAIMS));
        metadata.claims_response_iss_parameter_supported = true;
        metadata.permission_endpoint = Some(url(path::PERMISSIONS));
        metadata.resource_registration_endpoint = Some(url(path::RESOURCES));
        metadata.claim_token_formats_supported = vec![ID_TOKEN_FORMAT.to_owned()];
        if self.settings.extensions {
            metadata.scopes_supported.push(UMA_POLICY.to_owned());
            metadata.uma_profiles_supported = PROFILES.iter().map(|name| format!("{UMA_PROFILE}{name}")).collect();
            metadata.policy_endpoint = Some(url(path::POLICIES));
            metadata.registered_resources_endpoint = Some(url(path::REGISTERED_RESOURCES));
            metadata.access_requests_endpoint = Some(url(path::ACCESS_REQUESTS));
            metadata.events_endpoint = Some(url(path::EVENTS));
            metadata.consent_receipts_endpoint = Some(url(path::CONSENT_RECEIPTS));
            metadata.linked_managers_endpoint = Some(url(path::LINKED_MANAGERS));
            metadata.delegations_endpoint = Some(url(path::DELEGATIONS));
            metadata.owner_settings_endpoint = Some(url(path::OWNER_SETTINGS));
            metadata.resource_owner_credentials_endpoint = Some(url(path::CREDENTIALS));
            metadata.resource_owner_token_signing_alg_values_supported = ["EdDSA", "ES256", "RS256"].map(str::to_owned).into();
            metadata.discovery_requests_endpoint = Some(url(path::DISCOVERY));
            metadata.grant_types_supported.push(JWT_BEARER.to_owned());
            metadata.revocations_endpoint = Some(url(path::REVOCATIONS));
            metadata.policy_claims_supported = ["email", "sub", "name", "preferred_username"].map(str::to_owned).into();
        }
        metadata
    }
}
