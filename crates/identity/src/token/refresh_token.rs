//! The refresh grant with rotation (RFC 6749 6, RFC 9700 4.14, protocol.md 4). A public client's
//! token is good once. An authenticating client's predecessor stays good until its successor is
//! first used, at most ten minutes: an answer that got lost is asked for again. Any other reuse
//! ends the family.

use super::{Grant, RefreshToken, Renews, TokenRequest};
use crate::access_token::AccessToken;
use crate::consent::Consent;
use crate::token_text::{self, TokenKind};
use crate::{Changes, CommitError, Failure, Identity, Requirement, TokenKey, Write};
use jose::base64url;
use types::token::TokenResponse;
use types::{ErrorCode, Refusal, ScopeSet};

/// Seconds that a predecessor stays good.
pub const GRACE: i64 = 600;
const RETRIES: usize = 8;

/// What a refresh writes besides the new token, and the text of the next refresh token.
pub struct Rotation {
    pub changes: Changes,
    pub refresh_token: String,
    pub family: String,
    pub cnf: Option<String>,
}

fn bad() -> Failure {
    Failure::Refused(Refusal::new(
        ErrorCode::InvalidGrant,
        "the refresh token is unknown, used, withdrawn or expired: start again",
    ))
}

impl Identity {
    pub(crate) async fn exchange_refresh_token(
        &self,
        request: &TokenRequest<'_>,
        grant: Option<&dyn Grant>,
    ) -> Result<TokenResponse, Failure> {
        request.form.check_unrepeated()?;
        self.check_grant_type(request.client, "refresh_token")?;
        self.check_binding(request)?;
        let key = token_text::key_of(TokenKind::Refresh, request.form.required("refresh_token")?).ok_or_else(bad)?;
        for _ in 0..RETRIES {
            match self.try_refresh(request, grant, &key).await? {
                Ok(response) => return Ok(response),
                // another request with the same token came first: what it means for this one is decided anew
                Err(CommitError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("the refresh token is used too often at once".into()))
    }

    /// One try: load, decide, save.
    async fn try_refresh(
        &self,
        request: &TokenRequest<'_>,
        grant: Option<&dyn Grant>,
        key: &TokenKey,
    ) -> Result<Result<TokenResponse, CommitError>, Failure> {
        let (token, version) = self.store.find_refresh_token(key).await?.ok_or_else(bad)?;
        let lifetime = self.settings.refresh_token_lifetime;
        let issued = token.issued.unwrap_or(token.expires.plus(lifetime.saturating_neg()));
        if token.client != request.client.id || !request.client.was_there(issued) || self.now() >= token.expires {
            return Err(bad());
        }
        if token.cnf.is_some() && token.cnf != request.jkt {
            return Failure::refuse(ErrorCode::InvalidDpopProof, "prove the key that this refresh token is bound to");
        }
        // never a bearer token for a bound one (threat 3)
        if token.bound && request.jkt.is_none() {
            return Failure::refuse(
                ErrorCode::InvalidDpopProof,
                "what this refresh token renews is bound to a key: send a proof",
            );
        }
        if self.is_replay(request, &token) {
            self.store.commit(Changes::of(vec![Write::EndFamily(token.family)])).await?;
            return Err(bad());
        }
        let token = RefreshToken { bound: token.bound || request.jkt.is_some(), ..token };
        let rotation = self.rotate(key, &token, version).await?;
        match (&token.renews, grant) {
            (Renews::Access { .. }, _) => self.renew_access(request, &token, rotation).await,
            (Renews::Other(renews), Some(grant)) => grant.refresh(request, renews, rotation).await,
            (Renews::Other(_), None) => Err(bad()),
        }
    }

    fn is_replay(&self, request: &TokenRequest<'_>, token: &RefreshToken) -> bool {
        match token.rotated {
            None => false,
            Some(_) if token.superseded || request.client.is_public() => true,
            Some(at) => self.now() > at.plus(GRACE),
        }
    }

    async fn rotate(&self, key: &TokenKey, token: &RefreshToken, version: i64) -> Result<Rotation, Failure> {
        let now = self.now();
        let mut changes = Changes { requires: vec![Requirement::RefreshUnchanged { key: key.clone(), version }], writes: vec![] };
        let used = RefreshToken { rotated: token.rotated.or(Some(now)), ..token.clone() };
        changes.writes.push(Write::PutRefreshToken(key.clone(), used));
        if let Some((shard, end, hash)) = &token.predecessor {
            let hash = base64url::decode(hash).and_then(|hash| hash.try_into().ok()).ok_or_else(bad)?;
            let key = TokenKey { shard: *shard, end: *end, hash };
            if let Some((before, _)) = self.store.find_refresh_token(&key).await? {
                changes.writes.push(Write::PutRefreshToken(key, RefreshToken { superseded: true, ..before }));
            }
        }
        let next = RefreshToken {
            expires: now.plus(self.settings.refresh_token_lifetime),
            issued: Some(now),
            rotated: None,
            superseded: false,
            predecessor: Some((key.shard, key.end, base64url::encode(key.hash))),
            ..token.clone()
        };
        let of = match &token.renews {
            Renews::Access { account: Some(account), .. } => account.as_str(),
            _ => token.client.as_str(),
        };
        let (refresh_token, _, keep) = self.new_refresh_token(of, next)?;
        changes.writes.push(keep);
        Ok(Rotation { changes, refresh_token, family: token.family.clone(), cnf: token.cnf.clone() })
    }

    async fn renew_access(
        &self,
        request: &TokenRequest<'_>,
        token: &RefreshToken,
        rotation: Rotation,
    ) -> Result<Result<TokenResponse, CommitError>, Failure> {
        let Renews::Access { account, scope, grant, resource } = &token.renews else { return Err(bad()) };
        // what the client is registered for no more, it gets no more
        let scope = &request.client.narrow(scope);
        if scope.is_empty() {
            return Err(bad());
        }
        let wanted = request.form.one("scope")?.map(ScopeSet::parse).transpose();
        let wanted = wanted.map_err(|e| Refusal::new(ErrorCode::InvalidScope, e.to_string()))?.unwrap_or_else(|| scope.clone());
        self.check_same_resource(request.form, resource.as_deref())?;
        if wanted.is_empty() || !wanted.is_subset(scope) {
            return Failure::refuse(ErrorCode::InvalidScope, "a refresh may only narrow the scope, and not to nothing");
        }
        let mut changes = rotation.changes;
        if let Some(grant) = grant {
            let consent = self.store.find_consent(grant).await?;
            let covers = |consent: &Consent| consent.covers(scope, resource.as_deref()) && consent.is_about(request.client);
            if !consent.is_some_and(|consent| covers(&consent)) {
                return Err(bad());
            }
            changes.requires.push(Requirement::ConsentStands(grant.clone()));
        }
        let now = self.now();
        let access = AccessToken {
            client: token.client.clone(),
            account: account.clone(),
            scope: wanted.clone(),
            grant: grant.clone(),
            resource: resource.clone(),
            cnf: request.jkt.clone(),
            issued: now,
            expires: now.plus(self.settings.access_token_lifetime),
            family: token.family.clone(),
            signed: false,
        };
        let expires = access.expires;
        let (text, keep) = self.new_access_token(request.client, access).await?;
        changes.writes.push(keep);
        if let Err(error) = self.store.commit(changes).await {
            return Ok(Err(error));
        }
        let mut response = self.token_response(text, expires, request.jkt.as_ref());
        response.scope = Some(wanted.to_string());
        response.refresh_token = Some(rotation.refresh_token);
        Ok(Ok(response))
    }
}
