//! Introspection of plain access tokens by a resource server's client authentication (RFC 7662,
//! protocol.md 4): only tokens whose audience is its `resource`. RPTs are not told here.

use crate::consent::Consent;
use crate::{AuthenticatedClient, Client, Failure, Identity};
use serde_json::json;
use std::sync::Arc;
use types::GrantId;
use types::access_request::RequestingClient;
use types::introspection::Introspection;
use types::json::OneOrMany;
use types::token::UMA_MANAGEMENT;

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
        let client = self.store.find_client(&token.client).await?;
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
            client: client.filter(|_| token.scope.has(UMA_MANAGEMENT)).map(|client| told_of(&client)),
            grant: token.grant.filter(|_| token.scope.has(UMA_MANAGEMENT)),
            iat: Some(token.issued),
            token_type: Some(crate::token::token_type(token.cnf.as_ref())),
            cnf: token.cnf.map(|jkt| json!({"jkt": jkt})),
            permissions: None,
        })
    }

    /// Whether an owner's word that an application manages what she has at this resource server stands: what the application
    /// brought there counts as long as it does (decision 0061). Only that resource server is told.
    pub async fn introspect_grant(&self, asker: &AuthenticatedClient, grant: &str) -> Result<Introspection, Failure> {
        let Some(resource) = &asker.resource else { return Ok(Introspection::inactive()) };
        let Some(managing) = self.find_managing(resource, grant).await? else { return Ok(Introspection::inactive()) };
        let Managing { consent, client } = managing;
        Ok(Introspection {
            active: true,
            client_id: Some(client.id.clone()),
            client: Some(told_of(&client)),
            sub: Some(consent.account.as_str().to_owned()),
            iss: Some(self.issuer().to_owned()),
            aud: consent.resource.clone().map(OneOrMany::One),
            grant: Some(consent.id.clone()),
            ..Introspection::default()
        })
    }

    /// What an owner agreed to, where it stands and is about managing what she has at this resource server.
    pub async fn find_managing(&self, resource: &str, grant: &str) -> Result<Option<Managing>, Failure> {
        let Some(consent) = self.store.find_consent(&GrantId::new(grant)).await? else { return Ok(None) };
        if consent.resource.as_deref() != Some(resource) || !consent.scopes.has(UMA_MANAGEMENT) {
            return Ok(None);
        }
        let client = self.store.find_client(&consent.client).await?.filter(|client| consent.is_about(client));
        Ok(client.map(|client| Managing { consent, client }))
    }
}

/// An owner's word that an application manages what she has somewhere, and that application.
pub struct Managing {
    pub consent: Arc<Consent>,
    pub client: Arc<Client>,
}

/// An application, as a resource server may know it.
pub fn told_of(client: &Client) -> RequestingClient {
    RequestingClient { client_id: client.id.clone(), name: Some(client.display_name()), verified: client.declared }
}
