//! Access tokens for our own APIs and for resource servers: PAT, PMT, RMT by their scopes
//! (protocol.md 1). And the door that checks them: a [`ProtectionToken`] or [`PolicyToken`] is made
//! nowhere else, one type per kind of caller (threat 7).

use crate::consent::{Consent, is_sensitive};
use crate::token_text::{self, TokenKind};
use crate::{Failure, Identity, TokenKey};
use jose::UnverifiedJws;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::token::{UMA_POLICY, UMA_PROTECTION};
use types::{AccountId, ClientId, ErrorCode, GrantId, OwnerId, Refusal, ScopeSet, Timestamp};

/// An access token as it is kept; never its text.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccessToken {
    pub client: ClientId,
    pub account: Option<AccountId>,
    pub scope: ScopeSet,
    /// The consent it hangs on; gone, it is no good.
    pub grant: Option<GrantId>,
    pub resource: Option<String>,
    /// Thumbprint of the DPoP key it is bound to.
    pub cnf: Option<String>,
    pub issued: Timestamp,
    pub expires: Timestamp,
    pub family: String,
    /// Issued as a JWT: its `jti`, under which it is kept, is no token.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub signed: bool,
}

/// A token as it was presented, with its DPoP proof if there is one.
pub struct Presented<'a> {
    pub token: &'a str,
    pub dpop_scheme: bool,
    pub dpop: Option<&'a str>,
    pub method: &'a str,
    pub url: &'a str,
}

/// Proof that a PAT was presented: who the resource server is, and which owner it acts for.
#[derive(Clone, Debug)]
pub struct ProtectionToken {
    pub resource_server: ClientId,
    pub owner: OwnerId,
    pub grant: GrantId,
}

/// Proof that a server-level PAT was presented: a resource server, for no owner (protocol.md 1.0, 3).
#[derive(Clone, Debug)]
pub struct ServerToken {
    pub resource_server: ClientId,
    /// Its `resource`.
    pub resource: String,
}

/// Proof that a PMT was presented: an owner's policy or relationship manager.
#[derive(Clone, Debug)]
pub struct PolicyToken {
    pub client: ClientId,
    pub owner: OwnerId,
    /// The consent that it hangs on: what is written by it rests on that, also where there is a wait in between.
    pub grant: Option<GrantId>,
}

impl PolicyToken {
    /// An owner at her own pages: her session stands for a PMT.
    pub fn of_session(session: &crate::session::Session) -> Self {
        Self { client: ClientId::new("pages"), owner: session.account.clone(), grant: None }
    }
}

impl Identity {
    /// Checks an access token of ours: known, unexpired, its consent standing, its key proven.
    pub async fn check_access_token(&self, presented: &Presented<'_>) -> Result<AccessToken, Failure> {
        let invalid = || Refusal::new(ErrorCode::InvalidToken, "the access token is unknown, expired or revoked: get a new one");
        let (_, token) = self.find_access_token_by_text(presented.token).await?.ok_or_else(invalid)?;
        if !self.is_live(&token).await? {
            return Err(invalid().into());
        }
        match (&token.cnf, presented.dpop_scheme) {
            (None, false) => {}
            (Some(jkt), true) => self.check_bound(presented, jkt)?,
            _ => return Err(invalid().into()),
        }
        Ok(token)
    }

    /// Whether a token that let something in still does; its proof was looked at then.
    pub async fn still_lets_in(&self, text: &str) -> Result<bool, Failure> {
        match self.find_access_token_by_text(text).await? {
            Some((_, token)) => self.is_live(&token).await,
            None => Ok(false),
        }
    }

    /// A token for the APIs of this server itself: one that is for a resource server was in that server's hands, and
    /// is good there alone (RFC 8707 3, RFC 9068 4).
    pub(crate) async fn check_own_token(&self, presented: &Presented<'_>) -> Result<AccessToken, Failure> {
        let token = self.check_access_token(presented).await?;
        if token.resource.is_some() {
            return Failure::refuse(
                ErrorCode::InvalidToken,
                "this access token is for a resource server: get one without `resource`",
            );
        }
        Ok(token)
    }

    /// The token of a text, opaque or a JWT of ours, which names its row in `jti`.
    pub(crate) async fn find_access_token_by_text(&self, text: &str) -> Result<Option<(TokenKey, AccessToken)>, Failure> {
        let opaque = token_text::key_of(TokenKind::Access, text);
        let signed = opaque.is_none();
        let key = match opaque {
            Some(key) => Some(key),
            None => self.jti_of_own_jwt(text).and_then(|jti| token_text::key_of(TokenKind::Access, &jti)),
        };
        let Some(key) = key else { return Ok(None) };
        let found = self.store.find_access_token(&key).await?;
        Ok(found.filter(|token| token.signed == signed).map(|token| (key, token)))
    }

    fn jti_of_own_jwt(&self, text: &str) -> Option<String> {
        let jws = UnverifiedJws::parse(text).ok()?.expect_type("at+jwt").ok()?;
        jws.verify(&self.keys.own_key_set(self.now())).ok()?.claims::<Value>().ok()?.get("jti")?.as_str().map(str::to_owned)
    }

    fn check_bound(&self, presented: &Presented<'_>, jkt: &str) -> Result<(), Failure> {
        let wrong = |what: &str| Failure::Refused(Refusal::new(ErrorCode::InvalidDpopProof, what.to_owned()));
        let proof = presented.dpop.ok_or_else(|| wrong("send a DPoP proof with this token"))?;
        let request = jose::dpop::Request { method: presented.method, url: presented.url, access_token: Some(presented.token) };
        let proof = self.dpop.check(proof, &request, self.now())?;
        // a good proof that is not the token's (RFC 9449 7.1)
        let unbound = || Refusal::new(ErrorCode::InvalidToken, "the DPoP proof is made by another key than the token's");
        if proof.jkt == jkt { Ok(()) } else { Err(unbound().into()) }
    }

    /// Whether anything opens the account that it acts for: nobody acts for one that is closed (threat 36).
    async fn is_of_open_account(&self, token: &AccessToken) -> Result<bool, Failure> {
        let Some(id) = &token.account else { return Ok(true) };
        match self.store.find_account(id).await? {
            Some(account) => self.is_open(&account).await,
            None => Ok(true),
        }
    }

    /// Whether a token's time, consent and client still stand.
    pub async fn is_live(&self, token: &AccessToken) -> Result<bool, Failure> {
        if self.now() >= token.expires {
            return Ok(false);
        }
        let client = self.store.find_client(&token.client).await?;
        let Some(client) = client.filter(|client| client.vouches_for(token.issued)) else { return Ok(false) };
        if client.narrow(&token.scope) != token.scope {
            return Ok(false);
        }
        if is_sensitive(&token.scope) && !self.is_of_open_account(token).await? {
            return Ok(false);
        }
        match &token.grant {
            Some(grant) => {
                let consent = self.store.find_consent(grant).await?;
                let covers = |consent: &Consent| consent.covers(&token.scope, token.resource.as_deref());
                Ok(consent.is_some_and(|consent| covers(&consent) && consent.is_about(&client)))
            }
            None => Ok(true),
        }
    }

    /// The protection API's door (Federated Authorization 1.3): a PAT with an owner, and when it ends.
    pub async fn check_pat_until(&self, presented: &Presented<'_>) -> Result<(ProtectionToken, Timestamp), Failure> {
        let token = self.check_own_token(presented).await?;
        require(&token, UMA_PROTECTION)?;
        match (token.account, token.grant) {
            (Some(owner), Some(grant)) => Ok((ProtectionToken { resource_server: token.client, owner, grant }, token.expires)),
            _ => Failure::refuse(
                ErrorCode::InsufficientScope,
                "this PAT stands for no owner: get one by code flow, or with `acts_for`",
            ),
        }
    }

    /// The same without an owner, for resource servers that have one PAT of their own: what owners signed counts behind
    /// it, and nothing else.
    pub async fn check_server_pat(&self, presented: &Presented<'_>) -> Result<ServerToken, Failure> {
        let token = self.check_own_token(presented).await?;
        require(&token, UMA_PROTECTION)?;
        self.server_token(token).await
    }

    /// Either, its proof looked at once.
    pub async fn check_either_pat(&self, presented: &Presented<'_>) -> Result<Result<ProtectionToken, ServerToken>, Failure> {
        let token = self.check_own_token(presented).await?;
        require(&token, UMA_PROTECTION)?;
        match (&token.account, &token.grant) {
            (Some(owner), Some(grant)) => {
                let (owner, grant) = (owner.clone(), grant.clone());
                Ok(Ok(ProtectionToken { resource_server: token.client, owner, grant }))
            }
            _ => Ok(Err(self.server_token(token).await?)),
        }
    }

    async fn server_token(&self, token: AccessToken) -> Result<ServerToken, Failure> {
        let client = self.store.find_client(&token.client).await?;
        match (token.account, client.and_then(|client| client.resource.clone())) {
            (None, Some(resource)) => Ok(ServerToken { resource_server: token.client, resource }),
            _ => Failure::refuse(
                ErrorCode::InsufficientScope,
                "this PAT stands for no owner, and its client for no `resource`: get one by code flow, or with `acts_for`",
            ),
        }
    }

    /// The policy API's door (protocol.md 1): a PMT.
    pub async fn check_pmt(&self, presented: &Presented<'_>) -> Result<PolicyToken, Failure> {
        let token = self.check_own_token(presented).await?;
        require(&token, UMA_POLICY)?;
        match token.account {
            Some(owner) => Ok(PolicyToken { client: token.client, owner, grant: token.grant }),
            None => Failure::refuse(
                ErrorCode::InsufficientScope,
                "this PMT stands for no owner: get one by code flow, or with `acts_for`",
            ),
        }
    }
}

fn require(token: &AccessToken, scope: &str) -> Result<(), Failure> {
    if token.scope.has(scope) {
        return Ok(());
    }
    Failure::refuse(ErrorCode::InsufficientScope, format!("this needs an access token with scope `{scope}`"))
}
