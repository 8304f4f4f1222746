//! Token introspection: RFC 7662 with the `permissions` of Federated Authorization 5.1.1.

use crate::access_request::RequestingClient;
use crate::json::OneOrMany;
use crate::{ClientId, GrantId, GrantedPermission, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// `token_type_hint` of a question whether what an owner agreed to for an application stands: `token` is the `_grant` of a token
/// of it.
pub const GRANT: &str = "urn:wayleave:params:oauth:token-type:grant";

/// Longest name of a person, a client or an issuer that a resource server takes, in bytes.
const MAX_NAME_BYTES: usize = 1_024;

/// What an introspection endpoint answers. An inactive token says nothing more than `active`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Introspection {
    pub active: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub permissions: Option<Vec<GrantedPermission>>,
    /// Only for access tokens that are no RPTs (5.1.1: an RPT's answer has no `scope`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scope: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sub: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of an RPT whose person was told that the application sees her address, and went on (protocol.md 1.2 `disclose`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub email: Option<String>,
    /// Of an RPT whose person is the owner herself, by her account there.
    #[serde(rename = "_is_owner", default, skip_serializing_if = "Option::is_none")]
    pub is_owner: Option<bool>,
    /// Of a management token: the application that holds it, as whoever let it in knows it.
    #[serde(rename = "_client", default, skip_serializing_if = "Option::is_none")]
    pub client: Option<RequestingClient>,
    /// Of a management token: what its owner agreed to. It can be asked about by itself ([`GRANT`]).
    #[serde(rename = "_grant", default, skip_serializing_if = "Option::is_none")]
    pub grant: Option<GrantId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iss: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aud: Option<OneOrMany>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exp: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub nbf: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iat: Option<Timestamp>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_type: Option<String>,
    /// Key confirmation (RFC 9449 6.2): `{"jkt": "..."}`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cnf: Option<Value>,
}

/// Members that narrow what a token is good for: an answer in which one of them does not read does not read ([`crate::answer`]).
pub const NARROWING: [&str; 8] = ["active", "permissions", "exp", "nbf", "cnf", "aud", "client_id", "iss"];

/// Seconds that the clock of the server that answers may be ahead.
const SKEW_SECONDS: i64 = 60;
/// Kinds of tokens that are shown to a resource server (RFC 6749 7.1, RFC 9449 5). A refresh token is none of them.
const TOKEN_TYPES: [&str; 2] = ["bearer", "dpop"];

impl Introspection {
    /// Roughly how many bytes it holds.
    pub fn approximate_bytes(&self) -> u64 {
        let named = self.client.as_ref().and_then(|client| client.name.clone());
        let texts = [&self.scope, &self.sub, &self.username, &self.email, &self.iss, &self.token_type, &named];
        let of_texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let of_scopes =
            |scopes: &crate::ScopeSet| scopes.iter().map(|scope| scope.as_str().len().saturating_add(32)).sum::<usize>();
        let of_permissions = self.permissions.iter().flatten().map(|permission| {
            let authority = permission.authority.as_ref().map_or(0, String::len);
            let id = permission.resource_id.as_str().len();
            authority.saturating_add(id).saturating_add(of_scopes(&permission.resource_scopes)).saturating_add(128)
        });
        let others = self.cnf.as_ref().map_or(0, |cnf| cnf.to_string().len());
        let client = self.client_id.as_ref().map_or(0, |id| id.as_str().len());
        let all = of_permissions.fold(of_texts.saturating_add(others).saturating_add(client), usize::saturating_add);
        u64::try_from(all).unwrap_or(u64::MAX).saturating_add(256)
    }

    /// The same of a token that has these permissions.
    pub fn with_permissions(&self, permissions: Option<Vec<GrantedPermission>>) -> Self {
        Self {
            active: self.active,
            permissions,
            scope: self.scope.clone(),
            client_id: self.client_id.clone(),
            sub: self.sub.clone(),
            username: self.username.clone(),
            email: self.email.clone(),
            is_owner: self.is_owner,
            client: self.client.clone(),
            grant: self.grant.clone(),
            iss: self.iss.clone(),
            aud: self.aud.clone(),
            exp: self.exp,
            nbf: self.nbf,
            iat: self.iat,
            token_type: self.token_type.clone(),
            cnf: self.cnf.clone(),
        }
    }

    /// Whether a token of which this is said may be used now. That it is active is half of it: the times and the kind that
    /// the same answer names count as well.
    pub fn is_good(&self, now: Timestamp) -> bool {
        let in_time = self.exp.is_none_or(|exp| now < exp) && self.nbf.is_none_or(|begin| begin <= now.plus(SKEW_SECONDS));
        let is_shown = |kind: &String| TOKEN_TYPES.iter().any(|known| kind.eq_ignore_ascii_case(known));
        self.active && in_time && self.token_type.as_ref().is_none_or(is_shown)
    }

    /// Whether who and what it names is as short as names are.
    pub fn names_shortly(&self) -> bool {
        let texts = [&self.sub, &self.username, &self.email, &self.iss].into_iter().flatten().map(String::as_str);
        let mut all = texts.chain(self.client_id.iter().map(|id| id.as_str()));
        all.all(|text| text.len() <= MAX_NAME_BYTES)
    }

    /// `{"active": false}` and nothing more (RFC 7662 2.2).
    pub fn inactive() -> Self {
        Self::default()
    }
}
