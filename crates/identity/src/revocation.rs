//! Revocation (RFC 7009, Grant 3.7). Only the client that a token was given to can end it; to
//! anybody else, and for an unknown token, the answer is the same 200. Hints are not needed: a
//! token's prefix says what it is.

use crate::consent::Consent;
use crate::token_text::{self, TokenKind};
use crate::{AuthenticatedClient, Changes, Failure, Form, Grant, Identity, Write};
use std::sync::Arc;
use types::GrantId;

impl Identity {
    /// Ends the token of `token`, and what hangs on it.
    pub async fn revoke(&self, client: &AuthenticatedClient, form: &Form, grant: Option<&dyn Grant>) -> Result<(), Failure> {
        let text = form.required("token")?;
        form.one("token_type_hint")?;
        if let Some(grant) = grant
            && grant.revoke(client, text).await?
        {
            return Ok(());
        }
        if let Some((key, token)) = self.find_access_token_by_text(text).await? {
            if token.client == client.id {
                let mut writes = vec![Write::DeleteAccessToken(key)];
                writes.extend(self.link_ended_by(token.grant.as_ref()).await?.map(Write::DeleteConsent));
                self.store.commit(Changes::of(writes)).await?;
            }
        } else if let Some(key) = token_text::key_of(TokenKind::Refresh, text)
            && let Some((token, _)) = self.store.find_refresh_token(&key).await?.filter(|(token, _)| token.client == client.id)
        {
            let mut writes = vec![Write::EndFamily(token.family.clone())];
            if let crate::token::Renews::Access { grant, .. } = &token.renews {
                writes.extend(self.link_ended_by(grant.as_ref()).await?.map(Write::DeleteConsent));
            }
            self.store.commit(Changes::of(writes)).await?;
        }
        Ok(())
    }

    /// Ends an access token, and all that came with it.
    pub async fn end_family_of(&self, text: &str) -> Result<(), Failure> {
        if let Some((_, token)) = self.find_access_token_by_text(text).await? {
            self.store.commit(Changes::of(vec![Write::EndFamily(token.family)])).await?;
        }
        Ok(())
    }

    /// A resource server that gives its PAT back gives up the link to the owner with it: tickets,
    /// RPTs and tokens that hang on the link are no good any more (Federated Authorization 8).
    async fn link_ended_by(&self, grant: Option<&GrantId>) -> Result<Option<Consent>, Failure> {
        let Some(grant) = grant else { return Ok(None) };
        let consent = self.store.find_consent(grant).await?.filter(|consent| consent.links_resource_server());
        Ok(consent.map(Arc::unwrap_or_clone))
    }
}
