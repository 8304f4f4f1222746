//! Introspection of plain access tokens by a resource server's client authentication (RFC 7662,
//! protocol.md 4): only tokens whose audience is its `resource`. RPTs are not told here.

use crate::{AuthenticatedClient, Failure, Identity};
use serde_json::json;
use types::introspection::Introspection;
use types::json::OneOrMany;

impl Identity {
    /// What a resource server may know of a token that was presented to it.
    pub async fn introspect_access_token(&self, client: &AuthenticatedClient, text: &str) -> Result<Introspection, Failure> {
        let Some((_, token)) = self.find_access_token_by_text(text).await? else { return Ok(Introspection::inactive()) };
        let for_caller = token.resource.is_some() && token.resource == client.resource;
        if !for_caller || !self.is_live(&token).await? {
            return Ok(Introspection::inactive());
        }
        let account = match &token.account {
            Some(id) => self.store.find_account(id).await?,
            None => None,
        };
        Ok(Introspection {
            active: true,
            scope: Some(token.scope.to_string()),
            client_id: Some(token.client),
            sub: token.account.map(|id| id.as_str().to_owned()),
            username: account.map(|account| account.username),
            iss: Some(self.issuer().to_owned()),
            aud: token.resource.map(OneOrMany::One),
            exp: Some(token.expires),
            nbf: None,
            email: None,
            is_owner: None,
            iat: Some(token.issued),
            token_type: Some(crate::token::token_type(token.cnf.as_ref())),
            cnf: token.cnf.map(|jkt| json!({"jkt": jkt})),
            permissions: None,
        })
    }
}
