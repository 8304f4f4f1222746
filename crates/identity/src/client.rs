//! OAuth clients as they are kept, declared by the operator or registered (RFC 7591).

use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::client::{AccessTokenFormat, AuthMethod};
use types::discovery::JWT_BEARER;
use types::token::UMA_PROTECTION;
use types::{AccountId, ClientId, ResourceServerId, ScopeSet, Timestamp, spelling};

/// Whose resources a client-credentials token is for (`acts_for` in `operations.md`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ActsFor {
    Account(AccountId),
    /// The client is itself the owner (Grant 1.2: an owner may be a legal entity).
    Itself,
}

/// A name that a client had, as it was shown.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FormerName {
    pub name: String,
    /// When it took another.
    pub until: Timestamp,
}

/// A client.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Client {
    pub id: ClientId,
    pub name: Option<String>,
    /// Keyed digest of its secret.
    pub secret_digest: Option<String>,
    /// The one method it must use; `None`: either secret method.
    pub auth_method: Option<AuthMethod>,
    pub redirect_uris: Vec<String>,
    pub claims_redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub grant_types: Vec<String>,
    /// Scopes it is pre-registered for (Grant 3.3.4: RegisteredScopes).
    pub scope: ScopeSet,
    pub jwks: Option<Value>,
    pub jwks_uri: Option<String>,
    /// Which resource server it is (protocol.md 1.0).
    pub resource: Option<String>,
    pub access_token_format: AccessTokenFormat,
    pub acts_for: Option<ActsFor>,
    pub may_push_claims: bool,
    pub dpop_bound_access_tokens: bool,
    /// `id_token_signed_response_alg`; ES256 where it says nothing.
    pub id_token_alg: Option<String>,
    /// `token_endpoint_auth_signing_alg`: assertions by another are refused; any of ours where it says nothing.
    #[serde(default)]
    pub assertion_alg: Option<String>,
    /// Whether the operator declared it, rather than open registration.
    pub declared: bool,
    /// Since when it has the secret or the keys that it has; none: from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credentials_since: Option<Timestamp>,
    /// SHA-256 of the registration access token (RFC 7592), base64url.
    pub registration_token: Option<String>,
    pub created: Timestamp,
    /// What it called itself before, the oldest first: what is told of then is told by that name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub former_names: Vec<FormerName>,
    #[serde(default)]
    pub software_id: Option<String>,
    #[serde(default)]
    pub software_version: Option<String>,
    /// As it was sent (RFC 7591 3.2.1).
    #[serde(default)]
    pub software_statement: Option<String>,
}

/// Scopes of OpenID Connect that any client with redirect URIs may ask for; consent names them.
pub const OPENID_SCOPES: [&str; 4] = ["openid", "profile", "email", "offline_access"];

impl Client {
    /// A public client cannot keep a secret (RFC 6749 2.1).
    pub fn is_public(&self) -> bool {
        self.auth_method == Some(AuthMethod::None)
    }

    /// Whether what was issued then was issued to whoever has the credentials of now.
    pub fn vouches_for(&self, issued: Timestamp) -> bool {
        self.credentials_since.is_none_or(|since| since <= issued)
    }

    /// Whether what was given then was given to this client, and not to one of the same name that was taken out before it came.
    pub fn was_there(&self, given: Timestamp) -> bool {
        self.created <= given
    }

    pub fn may_use(&self, grant_type: &str) -> bool {
        self.grant_types.iter().any(|own| own == grant_type)
    }

    /// The identifier of the resource server it is: its `resource`, else its own id.
    pub fn resource_server_id(&self) -> ResourceServerId {
        ResourceServerId::new(self.resource.clone().unwrap_or_else(|| self.id.as_str().to_owned()))
    }

    /// What people know it by, as it may be shown; a name from open registration is the client's own word.
    pub fn display_name(&self) -> String {
        spelling::readable(self.name.as_deref().unwrap_or(self.id.as_str()))
    }

    /// What people knew it by then.
    pub fn display_name_at(&self, time: Timestamp) -> String {
        let former = self.former_names.iter().find(|former| time <= former.until);
        former.map_or_else(|| self.display_name(), |former| spelling::readable(&former.name))
    }

    /// Whether people are led to this place by it, as [`crate::redirect_uri::lasting_place_of`] says it.
    pub fn leads_to(&self, place: &str) -> bool {
        self.redirect_uris.iter().chain(&self.claims_redirect_uris).any(|uri| crate::redirect_uri::lasting_place_of(uri) == place)
    }

    /// Whether it may be granted this scope at the authorization endpoint.
    pub fn may_ask_for(&self, scope: &types::Scope) -> bool {
        self.scope.contains(scope) || OPENID_SCOPES.contains(&scope.as_str())
    }

    /// What it may have still of what it was given: it may be registered for less by now. A resource server that is found by its
    /// owners gets a PAT without being registered for it (protocol.md 2.2).
    pub fn narrow(&self, scopes: &ScopeSet) -> ScopeSet {
        let is_found = |scope: &types::Scope| scope.as_str() == UMA_PROTECTION && self.may_use(JWT_BEARER);
        scopes.iter().filter(|scope| self.may_ask_for(scope) || is_found(scope)).cloned().collect()
    }
}
