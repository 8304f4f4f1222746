//! ID tokens (OpenID Connect Core 2), and the claims about an account that both they and userinfo
//! give.

use crate::authorization::AuthorizationCode;
use crate::{Account, AuthenticatedClient, Failure, Identity, internal};
use jose::{Algorithm, base64url, digest};
use serde_json::{Map, Value, json};
use types::ScopeSet;

/// What ID tokens may be signed by, and what `id_token_signed_response_alg` may say.
pub const ALGORITHMS: [&str; 3] = ["EdDSA", "ES256", "RS256"];
/// Where a client says nothing.
pub const DEFAULT_ALGORITHM: &str = "ES256";
/// Seconds that an ID token lives.
pub const LIFETIME: i64 = 300;

impl Identity {
    pub(crate) async fn id_token(
        &self,
        client: &AuthenticatedClient,
        code: &AuthorizationCode,
        access_token: &str,
    ) -> Result<String, Failure> {
        let account = self.store.find_account(&code.account).await?.ok_or_else(|| internal("the account of a code is gone"))?;
        let now = self.now();
        let mut claims = claims_about(&account, &code.scope);
        let left_half = digest::sha256(&[access_token.as_bytes()]);
        let members = json!({
            "iss": self.issuer(), "aud": client.id, "iat": now, "exp": now.plus(LIFETIME), "auth_time": code.auth_time,
            "azp": client.id, "jti": self.random_id(),
            "at_hash": base64url::encode(left_half.get(..16).unwrap_or_default()),
        });
        claims.extend(members.as_object().cloned().unwrap_or_default());
        if let Some(nonce) = &code.nonce {
            claims.insert("nonce".into(), nonce.as_str().into());
        }
        let algorithm = self.id_token_algorithm(client);
        let key = self.keys.ensure(algorithm, &*self.store, &*self.clock, &*self.randomness).await?;
        key.sign("JWT", &claims).map_err(internal)
    }

    /// As the client registered; ES256 where it said nothing.
    fn id_token_algorithm(&self, client: &AuthenticatedClient) -> Algorithm {
        match client.id_token_alg.as_deref() {
            Some("EdDSA") => Algorithm::EdDsa,
            Some("RS256") => Algorithm::Rs256,
            _ => Algorithm::Es256,
        }
    }
}

/// Claims about an account that these scopes let a client see (OpenID Connect Core 5.4).
pub(crate) fn claims_about(account: &Account, scope: &ScopeSet) -> Map<String, Value> {
    let mut claims = Map::new();
    claims.insert("sub".into(), account.id.as_str().into());
    if scope.has("profile") {
        claims.insert("preferred_username".into(), account.username.as_str().into());
        claims.insert("name".into(), account.display_name().into());
    }
    if let (true, Some(email)) = (scope.has("email"), &account.email) {
        claims.insert("email".into(), email.as_str().into());
        claims.insert("email_verified".into(), account.email_verified.into());
    }
    claims
}
