//! URL paths of the authorization server. Clients take endpoints from the metadata; these are only
//! what the metadata and the router agree on.

pub const UMA2_CONFIGURATION: &str = "/.well-known/uma2-configuration";
pub const OPENID_CONFIGURATION: &str = "/.well-known/openid-configuration";
pub const OAUTH_AUTHORIZATION_SERVER: &str = "/.well-known/oauth-authorization-server";
pub const OAUTH_PROTECTED_RESOURCE: &str = "/.well-known/oauth-protected-resource";

pub const JWKS: &str = "/jwks";
pub const AUTHORIZE: &str = "/authorize";
pub const PAR: &str = "/par";
pub const TOKEN: &str = "/token";
pub const REVOKE: &str = "/revoke";
pub const INTROSPECT: &str = "/introspect";
pub const USERINFO: &str = "/userinfo";
pub const REGISTER: &str = "/register";
pub const CLAIMS: &str = "/claims";
pub const RESOURCES: &str = "/uma/resources";
pub const PERMISSIONS: &str = "/uma/permissions";
pub const REVOCATIONS: &str = "/uma/revocations";
pub const POLICIES: &str = "/uma/policies";
pub const REGISTERED_RESOURCES: &str = "/uma/registered-resources";
pub const ACCESS_REQUESTS: &str = "/uma/access-requests";
pub const EVENTS: &str = "/uma/events";
pub const CREDENTIALS: &str = "/uma/credentials";
pub const CONSENT_RECEIPTS: &str = "/uma/consent-receipts";
pub const DELEGATIONS: &str = "/uma/delegations";
pub const LINKED_MANAGERS: &str = "/uma/linked-managers";
pub const OWNER_SETTINGS: &str = "/uma/owner-settings";
pub const DISCOVERY: &str = "/uma/discovery-requests";

pub const LOGIN: &str = "/login";
pub const LOGIN_PASSKEY: &str = "/login/passkey";
pub const LOGIN_ELSEWHERE: &str = "/login/elsewhere";
pub const LOGIN_CALLBACK: &str = "/login/callback";
pub const ACCOUNT: &str = "/account";
pub const LOGOUT: &str = "/logout";
pub const APPLICATIONS: &str = "/applications";
pub const MY_RESOURCES: &str = "/my/resources";
pub const MY_REQUESTS: &str = "/my/requests";
pub const MY_HISTORY: &str = "/my/history";
pub const MY_DELEGATIONS: &str = "/my/delegations";
pub const MY_SEARCHES: &str = "/my/searches";

/// Where RFC 8414 3.1 puts a well-known document of an issuer: between host and path.
pub fn inserted_well_known(issuer: &str, well_known: &str) -> String {
    let after_scheme = issuer.find("://").map_or(0, |at| at.saturating_add(3));
    let (scheme, rest) = issuer.split_at(after_scheme);
    let (host, path) = rest.split_once('/').map_or((rest, ""), |(host, path)| (host, path));
    let path = path.trim_end_matches('/');
    if path.is_empty() { format!("{scheme}{host}{well_known}") } else { format!("{scheme}{host}{well_known}/{path}") }
}

/// Where UMA and OpenID Connect Discovery put it: appended to the issuer (Grant 2).
pub fn appended_well_known(issuer: &str, well_known: &str) -> String {
    format!("{}{well_known}", issuer.trim_end_matches('/'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issuers_with_a_path_are_served_where_each_standard_says() {
        let issuer = "https://as.example/tenant1";
        assert_eq!(
            inserted_well_known(issuer, OAUTH_AUTHORIZATION_SERVER),
            "https://as.example/.well-known/oauth-authorization-server/tenant1"
        );
        assert_eq!(appended_well_known(issuer, UMA2_CONFIGURATION), "https://as.example/tenant1/.well-known/uma2-configuration");
        assert_eq!(
            inserted_well_known("http://127.0.0.1:8080", OAUTH_AUTHORIZATION_SERVER),
            "http://127.0.0.1:8080/.well-known/oauth-authorization-server"
        );
    }
}
