//! The client credentials grant (RFC 6749 4.4). With `acts_for` the token has an owner: that is how
//! an organisation gets a PAT without anybody logging in (Federated Authorization 1.3).

use super::{RefreshToken, Renews, TokenRequest};
use crate::access_token::AccessToken;
use crate::client::{ActsFor, OPENID_SCOPES};
use crate::consent::Terms;
use crate::{Changes, CommitError, Failure, Identity, Requirement, SpentId, Write};
use jose::base64url;
use types::token::{TokenResponse, UMA_MANAGEMENT, UMA_POLICY, UMA_PROTECTION};
use types::{AccountId, ErrorCode, GrantId, ScopeSet};

const RETRIES: usize = 5;

impl Identity {
    pub(crate) async fn exchange_client_credentials(&self, request: &TokenRequest<'_>) -> Result<TokenResponse, Failure> {
        request.form.check_unrepeated()?;
        self.check_grant_type(request.client, "client_credentials")?;
        self.check_binding(request)?;
        if request.client.is_public() {
            return Failure::refuse(ErrorCode::UnauthorizedClient, "a public client has no credentials to use here");
        }
        for _ in 0..RETRIES {
            match self.issue_by_credentials(request).await? {
                Ok(response) => return Ok(response),
                // the link to the owner was made or ended by another request just now
                Err(CommitError::Taken | CommitError::Changed) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("the link to the owner changes too fast".into()))
    }

    async fn issue_by_credentials(&self, request: &TokenRequest<'_>) -> Result<Result<TokenResponse, CommitError>, Failure> {
        let scope = self.scope_of(request)?;
        let resource = self.check_resource(request.form).await?;
        let mut changes = Changes::default();
        let owner = match (
            &request.client.acts_for,
            [UMA_PROTECTION, UMA_POLICY, UMA_MANAGEMENT].iter().any(|of_an_owner| scope.has(of_an_owner)),
        ) {
            (Some(ActsFor::Account(account)), true) => Some(account.clone()),
            (Some(ActsFor::Itself), true) => Some(AccountId::new(format!("client:{}", request.client.id))),
            _ => None,
        };
        let grant = match &owner {
            Some(account) => {
                let terms =
                    Terms { account, client: &request.client.id, scopes: &scope, resource: resource.as_deref(), shown: None };
                Some(self.standing_link(&terms, &mut changes).await?)
            }
            None => None,
        };
        let now = self.now();
        let token = AccessToken {
            client: request.client.id.clone(),
            account: owner,
            scope: scope.clone(),
            grant,
            resource,
            cnf: request.jkt.clone(),
            issued: now,
            expires: now.plus(self.settings.access_token_lifetime),
            family: base64url::encode(self.timed_id()),
            signed: false,
        };
        let expires = token.expires;
        let (text, keep) = self.new_access_token(request.client, token).await?;
        changes.writes.push(keep);
        if let Err(error) = self.store.commit(changes).await {
            return Ok(Err(error));
        }
        let mut response = self.token_response(text, expires, request.jkt.as_ref());
        // that it is for none has no form (RFC 6749 3.3)
        response.scope = Some(scope.to_string()).filter(|scope| !scope.is_empty());
        Ok(Ok(response))
    }

    /// A token for an owner who has consented elsewhere than at the authorization endpoint: `spent` is what it was given
    /// for, and good once.
    pub async fn issue_for_owner(
        &self,
        request: &TokenRequest<'_>,
        owner: &AccountId,
        scope: &ScopeSet,
        spent: SpentId,
    ) -> Result<TokenResponse, Failure> {
        self.check_binding(request)?;
        self.check_same_resource(request.form, None)?;
        for _ in 0..RETRIES {
            let mut changes = Changes::of(vec![Write::Spend(spent.clone())]);
            let terms = Terms { account: owner, client: &request.client.id, scopes: scope, resource: None, shown: None };
            let grant = self.standing_link(&terms, &mut changes).await?;
            let (now, family) = (self.now(), base64url::encode(self.timed_id()));
            let token = AccessToken {
                client: request.client.id.clone(),
                account: Some(owner.clone()),
                scope: scope.clone(),
                grant: Some(grant.clone()),
                resource: None,
                cnf: request.jkt.clone(),
                issued: now,
                expires: now.plus(self.settings.access_token_lifetime),
                family: family.clone(),
                signed: false,
            };
            let expires = token.expires;
            let (text, keep) = self.new_access_token(request.client, token).await?;
            changes.writes.push(keep);
            let mut response = self.token_response(text, expires, request.jkt.as_ref());
            response.scope = Some(scope.to_string());
            if request.client.may_use("refresh_token") {
                let renews =
                    Renews::Access { account: Some(owner.clone()), scope: scope.clone(), grant: Some(grant), resource: None };
                let refresh = RefreshToken {
                    client: request.client.id.clone(),
                    renews,
                    cnf: request.jkt.clone().filter(|_| request.client.is_public()),
                    bound: request.jkt.is_some(),
                    family,
                    expires: now.plus(self.settings.refresh_token_lifetime),
                    issued: Some(now),
                    rotated: None,
                    superseded: false,
                    predecessor: None,
                };
                let (text, _, keep) = self.new_refresh_token(owner.as_str(), refresh)?;
                response.refresh_token = Some(text);
                changes.writes.push(keep);
            }
            match self.store.commit(changes).await {
                Ok(()) => return Ok(response),
                Err(CommitError::Taken | CommitError::Changed) => {}
                Err(CommitError::Spent) => {
                    return Failure::refuse(ErrorCode::InvalidGrant, "the assertion was used before");
                }
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("the link to the owner changes too fast".into()))
    }

    /// Scopes asked for, or where none are: all that the client is registered for, so long as they
    /// go together.
    fn scope_of(&self, request: &TokenRequest<'_>) -> Result<ScopeSet, Failure> {
        let asked = crate::authorization::check_scope(request.client, request.form.one("scope")?.unwrap_or_default())?;
        if asked.iter().any(|scope| OPENID_SCOPES.contains(&scope.as_str()) && !request.client.scope.contains(scope)) {
            return Failure::refuse(ErrorCode::InvalidScope, "scopes of OpenID Connect need a person: use the code flow");
        }
        if !asked.is_empty() {
            return Ok(asked);
        }
        crate::authorization::check_scope(request.client, &request.client.scope.to_string())
    }

    /// The consent that the operator gave by declaring `acts_for`; made when first used, made anew
    /// after it was ended.
    async fn standing_link(&self, terms: &Terms<'_>, changes: &mut Changes) -> Result<GrantId, Failure> {
        let before = self.store.find_consent_of(terms.account, terms.client, terms.resource).await?;
        changes.requires.push(Requirement::ClientStands(terms.client.clone()));
        Ok(self.agree(terms, before, changes))
    }
}
