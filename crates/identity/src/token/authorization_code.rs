//! The authorization code grant (RFC 6749 4.1.3, RFC 7636): a code is good once, for its client,
//! its redirect URI, its verifier and its DPoP key. Used twice, everything got with it ends.

use super::{RefreshToken, Renews, TokenRequest};
use crate::access_token::AccessToken;
use crate::authorization::{AuthorizationCode, CODE_LIFETIME, code_key};
use crate::{Changes, CommitError, Failure, Identity, Requirement, SpentId, TokenKey, Write};
use jose::{base64url, digest};
use types::token::{TokenResponse, UMA_PROTECTION};
use types::{ErrorCode, Refusal};

fn bad(what: &str) -> Failure {
    Failure::Refused(Refusal::new(ErrorCode::InvalidGrant, what))
}

fn unknown() -> Failure {
    bad("the code is unknown, used or expired: start again")
}

/// Kept an hour past its end, so that a second use is told from an unknown code.
fn spent(code: &AuthorizationCode, family: &str) -> SpentId {
    SpentId { kind: "code", issuer: String::new(), id: family.to_owned(), expires: code.expires.plus(3600), made: None }
}

impl Identity {
    pub(crate) async fn exchange_code(&self, request: &TokenRequest<'_>) -> Result<TokenResponse, Failure> {
        request.form.check_unrepeated()?;
        self.check_grant_type(request.client, "authorization_code")?;
        self.check_binding(request)?;
        let key = code_key(request.form.required("code")?)?;
        let family = base64url::encode(key.hash);
        let code = self.load_code(request, &key, &family).await?;
        self.check_vouched(&code).await?;
        let now = self.now();
        let token = AccessToken {
            client: code.client.clone(),
            account: Some(code.account.clone()),
            scope: code.scope.clone(),
            grant: Some(code.consent.clone()),
            resource: code.resource.clone(),
            cnf: request.jkt.clone(),
            issued: now,
            expires: now.plus(self.settings.access_token_lifetime),
            family: family.clone(),
            signed: false,
        };
        let (text, keep) = self.new_access_token(request.client, token.clone()).await?;
        let mut response = self.token_response(text, token.expires, request.jkt.as_ref());
        response.scope = Some(code.scope.to_string());
        if code.scope.has(UMA_PROTECTION) {
            // a resource server reads as which place it is known here (protocol.md 2.1)
            response.resource.clone_from(&request.client.resource);
        }
        let mut changes = Changes {
            requires: vec![Requirement::ConsentStands(code.consent.clone())],
            writes: vec![Write::Spend(spent(&code, &family)), keep],
        };
        if request.client.may_use("refresh_token") {
            let (text, _, keep) =
                self.new_refresh_token(code.account.as_str(), self.refresh_for(request, &code, family.clone()))?;
            response.refresh_token = Some(text);
            changes.writes.push(keep);
        }
        if code.scope.has("openid") {
            response.id_token = Some(self.id_token(request.client, &code, &response.access_token).await?);
        }
        match self.store.commit(changes).await {
            Ok(()) => Ok(response),
            // another request brought the same code at the same moment: whatever came of it ends (RFC 6749 4.1.2)
            Err(CommitError::Spent) => {
                self.store.commit(Changes::of(vec![Write::EndFamily(family)])).await?;
                Err(unknown())
            }
            Err(CommitError::Changed) => Err(bad("what was agreed to is withdrawn: start again")),
            Err(error) => Err(error.into()),
        }
    }

    fn refresh_for(&self, request: &TokenRequest<'_>, code: &AuthorizationCode, family: String) -> RefreshToken {
        RefreshToken {
            client: code.client.clone(),
            renews: Renews::Access {
                account: Some(code.account.clone()),
                scope: code.scope.clone(),
                grant: Some(code.consent.clone()),
                resource: code.resource.clone(),
            },
            cnf: request.jkt.clone().filter(|_| request.client.is_public()),
            bound: request.jkt.is_some(),
            family,
            expires: self.now().plus(self.settings.refresh_token_lifetime),
            issued: Some(self.now()),
            rotated: None,
            superseded: false,
            predecessor: None,
        }
    }

    /// Who she is was said when the code was given: what is taken back meanwhile is not said anew by an ID token (threat 48). In the
    /// second of a start somebody may log in already.
    async fn check_vouched(&self, code: &AuthorizationCode) -> Result<(), Failure> {
        let given = code.expires.plus(CODE_LIFETIME.saturating_neg());
        let account = self.store.find_account(&code.account).await?;
        match account.filter(|account| account.vouched_since.is_none_or(|since| since <= given)) {
            Some(_) => Ok(()),
            None => Err(bad("who logged in for this code counts no more: start again")),
        }
    }

    async fn load_code(&self, request: &TokenRequest<'_>, key: &TokenKey, family: &str) -> Result<AuthorizationCode, Failure> {
        let code = self.store.find_code(key).await?.ok_or_else(unknown)?;
        if code.client != request.client.id {
            return Err(bad("the code was given to another client"));
        }
        if self.store.is_spent(&spent(&code, family)).await? {
            self.store.commit(Changes::of(vec![Write::EndFamily(family.to_owned())])).await?;
            return Err(unknown());
        }
        if self.now() >= code.expires {
            return Err(unknown());
        }
        self.check_same_resource(request.form, code.resource.as_deref())?;
        if request.form.one("redirect_uri")?.is_some_and(|uri| uri != code.redirect_uri) {
            return Err(bad("`redirect_uri` is not the one of the authorization request"));
        }
        let verifier = request.form.one("code_verifier")?.ok_or_else(|| bad("`code_verifier` is missing"))?;
        if base64url::encode(digest::sha256(&[verifier.as_bytes()])) != code.challenge {
            return Err(bad("`code_verifier` does not fit the challenge"));
        }
        if code.dpop_jkt.is_some() && code.dpop_jkt != request.jkt {
            return Err(bad("the code is bound to another DPoP key"));
        }
        Ok(code)
    }
}
