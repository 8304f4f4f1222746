//! The token endpoint (RFC 6749 3.2): which grant, and what all grants share. UMA's grant comes in
//! through [`Grant`].

pub mod authorization_code;
pub mod client_credentials;
pub mod refresh_token;

use crate::access_token::AccessToken;
use crate::token_text::{self, TokenKind};
use crate::{AuthenticatedClient, Client, CommitError, Failure, Form, Identity, TokenKey, Write};
use async_trait::async_trait;
use jose::Algorithm;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use types::client::AccessTokenFormat;
use types::token::{TokenResponse, UMA_MANAGEMENT};
use types::{AccountId, ClientId, ErrorCode, GrantId, ScopeSet, Timestamp};

pub use refresh_token::Rotation;

/// What a refresh token renews.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Renews {
    /// An access token for our APIs.
    Access { account: Option<AccountId>, scope: ScopeSet, grant: Option<GrantId>, resource: Option<String> },
    /// A token of a [`Grant`].
    Other(Renewed),
}

/// What only its [`Grant`] can read: JSON as it was written, which nobody else takes apart.
#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Renewed(Box<RawValue>);

impl PartialEq for Renewed {
    fn eq(&self, other: &Self) -> bool {
        self.0.get() == other.0.get()
    }
}

impl Renewed {
    pub fn of(token: &impl Serialize) -> Result<Self, serde_json::Error> {
        serde_json::value::to_raw_value(token).map(Self)
    }

    pub fn read<T: DeserializeOwned>(&self) -> Result<T, serde_json::Error> {
        serde_json::from_str(self.0.get())
    }
}

/// A refresh token as it is kept; never its text.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RefreshToken {
    pub client: ClientId,
    pub renews: Renews,
    /// The key of whoever may use it, where its client does not authenticate.
    pub cnf: Option<String>,
    /// What it renews is bound to a key, and stays so, whichever key its client has by then (RFC 9449 5).
    #[serde(default)]
    pub bound: bool,
    pub family: String,
    pub expires: Timestamp,
    /// When it was given; those of older versions say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// When a successor was given for it.
    pub rotated: Option<Timestamp>,
    /// Its successor was used: from then on it is a replay.
    pub superseded: bool,
    /// Key of the token it succeeded, base64url of the hash, with shard and end.
    pub predecessor: Option<(i64, i64, String)>,
}

/// A request at the token endpoint, its client known and its DPoP proof checked.
pub struct TokenRequest<'a> {
    pub client: &'a AuthenticatedClient,
    pub form: &'a Form,
    /// Thumbprint of the key of its DPoP proof.
    pub jkt: Option<String>,
    /// The block of network addresses that it came from ([`types::peer::network_of`]), where that is known.
    pub network: Option<String>,
}

/// One more grant, and the tokens that come of it. `authorization-server` implements it for UMA.
#[async_trait]
pub trait Grant: Send + Sync {
    /// Value of `grant_type`.
    fn grant_type(&self) -> &'static str;
    /// A token for what a refresh token of this grant stands for. It must commit `rotation.changes`
    /// together with its own, or not answer. `Changed`, which is the commit's word that another request came first, is
    /// given back: identity decides anew.
    async fn refresh(
        &self,
        request: &TokenRequest<'_>,
        renews: &Renewed,
        rotation: Rotation,
    ) -> Result<Result<TokenResponse, CommitError>, Failure>;
    /// Ends the token of this text, if it is one of this grant and of this client.
    async fn revoke(&self, client: &AuthenticatedClient, text: &str) -> Result<bool, Failure>;
}

impl Identity {
    /// Identity's own grants; `None` where `grant_type` is not one of them.
    pub async fn exchange(
        &self,
        request: &TokenRequest<'_>,
        grant: Option<&dyn Grant>,
    ) -> Result<Option<TokenResponse>, Failure> {
        let grant_type = request.form.required("grant_type")?;
        match grant_type {
            "authorization_code" => self.exchange_code(request).await.map(Some),
            "client_credentials" => self.exchange_client_credentials(request).await.map(Some),
            "refresh_token" => self.exchange_refresh_token(request, grant).await.map(Some),
            _ => Ok(None),
        }
    }

    /// Refuses a grant that the client is not registered for (RFC 6749 5.2).
    pub fn check_grant_type(&self, client: &AuthenticatedClient, grant_type: &str) -> Result<(), Failure> {
        if client.may_use(grant_type) {
            return Ok(());
        }
        Failure::refuse(ErrorCode::UnauthorizedClient, format!("this client is not registered for the grant `{grant_type}`"))
    }

    /// Makes an access token: its text, and the change that keeps it. An RMT is a JWT where its client wants that
    /// (protocol.md 4); PATs, PMTs and all others are opaque.
    pub(crate) async fn new_access_token(&self, client: &Client, mut token: AccessToken) -> Result<(String, Write), Failure> {
        let of = token.account.as_ref().map_or(token.client.as_str(), AccountId::as_str);
        let text = self.mint(TokenKind::Access, of, token.expires);
        let key = token_text::key_of(TokenKind::Access, &text).ok_or_else(|| crate::internal("a new token does not parse"))?;
        if client.access_token_format == AccessTokenFormat::Jwt && token.resource.is_some() && token.scope.has(UMA_MANAGEMENT) {
            token.signed = true;
            return Ok((self.as_jwt(&token, &text).await?, Write::PutAccessToken(key, token)));
        }
        Ok((text, Write::PutAccessToken(key, token)))
    }

    /// RFC 9068; the person by the name that resource servers know her by.
    async fn as_jwt(&self, token: &AccessToken, id: &str) -> Result<String, Failure> {
        let account = match &token.account {
            Some(account) => self.store.find_account(account).await?,
            None => None,
        };
        let sub = token.account.as_ref().map_or(token.client.as_str(), AccountId::as_str);
        let mut claims = serde_json::json!({
            "iss": self.issuer(), "aud": token.resource, "sub": sub, "client_id": token.client, "scope": token.scope.to_string(),
            "iat": token.issued, "exp": token.expires, "jti": id,
        });
        if let Some(members) = claims.as_object_mut() {
            members.extend(account.map(|account| ("preferred_username".to_owned(), account.username.into())));
            members.extend(token.cnf.as_ref().map(|jkt| ("cnf".to_owned(), serde_json::json!({"jkt": jkt}))));
        }
        self.keys.signing_key(Algorithm::EdDsa, self.now())?.sign("at+jwt", &claims).map_err(crate::internal)
    }

    /// Makes a refresh token for a new family or the next of one.
    pub fn new_refresh_token(&self, of: &str, token: RefreshToken) -> Result<(String, TokenKey, Write), Failure> {
        let text = self.mint(TokenKind::Refresh, of, token.expires);
        let key = token_text::key_of(TokenKind::Refresh, &text).ok_or_else(|| crate::internal("a new token does not parse"))?;
        Ok((text, key.clone(), Write::CreateRefreshToken(key, token)))
    }

    /// A client that must bind its tokens but sent no proof is refused, never given a bearer token.
    pub fn check_binding(&self, request: &TokenRequest<'_>) -> Result<(), Failure> {
        if request.client.dpop_bound_access_tokens && request.jkt.is_none() {
            return Failure::refuse(ErrorCode::InvalidDpopProof, "this client is registered for DPoP: send a proof");
        }
        Ok(())
    }

    pub(crate) fn token_response(&self, text: String, token_expires: Timestamp, jkt: Option<&String>) -> TokenResponse {
        TokenResponse {
            access_token: text,
            token_type: token_type(jkt),
            expires_in: Some(self.now().until(token_expires)),
            refresh_token: None,
            scope: None,
            id_token: None,
            pct: None,
            upgraded: None,
            resource: None,
            scopes_not_granted: ScopeSet::new(),
        }
    }
}

/// `token_type` of a bound or unbound token.
pub fn token_type(jkt: Option<&String>) -> String {
    if jkt.is_some() { "DPoP" } else { "Bearer" }.to_owned()
}
