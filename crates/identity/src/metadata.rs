//! Identity's part of the metadata document (RFC 8414 2). UMA's members are added by
//! `authorization-server`.

use crate::Identity;
use types::metadata::Metadata;
use types::path;

const AUTH_METHODS: [&str; 3] = ["client_secret_basic", "client_secret_post", "private_key_jwt"];
const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];

fn strings(list: &[&str]) -> Vec<String> {
    list.iter().map(|&text| text.to_owned()).collect()
}

impl Identity {
    pub fn metadata(&self) -> Metadata {
        let mut with_none = strings(&AUTH_METHODS);
        with_none.push("none".into());
        Metadata {
            issuer: self.issuer().to_owned(),
            authorization_endpoint: self.url(path::AUTHORIZE),
            token_endpoint: self.url(path::TOKEN),
            jwks_uri: self.url(path::JWKS),
            registration_endpoint: self.settings.open_registration.then(|| self.url(path::REGISTER)),
            revocation_endpoint: Some(self.url(path::REVOKE)),
            introspection_endpoint: Some(self.url(path::INTROSPECT)),
            userinfo_endpoint: Some(self.url(path::USERINFO)),
            end_session_endpoint: Some(self.url(path::LOGOUT)),
            pushed_authorization_request_endpoint: Some(self.url(path::PAR)),
            scopes_supported: strings(&["openid", "profile", "email", "offline_access", types::token::UMA_MANAGEMENT]),
            response_types_supported: strings(&["code"]),
            response_modes_supported: strings(&["query"]),
            grant_types_supported: strings(&["authorization_code", "client_credentials", "refresh_token"]),
            token_endpoint_auth_methods_supported: with_none.clone(),
            token_endpoint_auth_signing_alg_values_supported: strings(&ALGORITHMS),
            revocation_endpoint_auth_methods_supported: with_none,
            introspection_endpoint_auth_methods_supported: strings(&AUTH_METHODS),
            code_challenge_methods_supported: strings(&["S256"]),
            subject_types_supported: strings(&["public"]),
            id_token_signing_alg_values_supported: strings(&crate::id_token::ALGORITHMS),
            claims_supported: strings(&["sub", "name", "preferred_username", "email", "email_verified", "auth_time"]),
            prompt_values_supported: strings(&["none", "login", "consent"]),
            dpop_signing_alg_values_supported: strings(&crate::dpop::ALGORITHMS),
            authorization_response_iss_parameter_supported: true,
            claims_parameter_supported: Some(false),
            request_parameter_supported: Some(false),
            request_uri_parameter_supported: Some(false),
            ..Metadata::default()
        }
    }
}
