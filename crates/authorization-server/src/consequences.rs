//! What identity's changes mean for UMA: the store that identity is given. It passes reads on, and
//! adds to each commit what follows from it - a link's version rises when a PAT grant is given or
//! ended, what an application brought ends with the consent to it, and the owner can read that it was - so that both happen
//! together or not at all.

use crate::changes::{Changes, Write};
use crate::consent_receipt;
use crate::event::Event;
use crate::store::Store;
use async_trait::async_trait;
use identity::access_token::AccessToken;
use identity::authorization::{AuthorizationCode, PushedRequest};
use identity::consent::Consent;
use identity::keys::{SealedSecret, StoredKey};
use identity::passkey::AccountPasskey;
use identity::session::Session;
use identity::token::RefreshToken;
use identity::upstream::LinkedLogIn;
use identity::{Account, Client, CommitError, ReadError, SpentId, TokenKey};
use jose::{Clock, Randomness};
use std::sync::Arc;
use types::event::EventKind;
use types::{AccountId, ClientId, GrantId, ResourceServerId, Timestamp};

/// Identity's store, with consequences.
pub struct Consequences {
    pub reads: Arc<dyn identity::Store>,
    pub store: Arc<dyn Store>,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    /// This server's.
    pub issuer: String,
}

impl Consequences {
    async fn follow(&self, changes: &identity::Changes) -> Result<Vec<Write>, ReadError> {
        let mut writes = Vec::new();
        for (consent, given) in changes.consents() {
            writes.extend(self.receipt(consent, given).await?);
        }
        for (consent, given) in changes.consents().filter(|(consent, _)| consent.links_resource_server()) {
            let before = self.reads.find_consent(&consent.id).await?;
            if given && before.is_some_and(|before| before.links_resource_server()) {
                continue;
            }
            writes.push(Write::RaiseLink { owner: consent.account.clone(), resource_server: consent.client.clone() });
            let kind = if given { EventKind::ResourceServerLinked } else { EventKind::ResourceServerUnlinked };
            let client = self.reads.find_client(&consent.client).await?;
            let mut event = Event::new(consent.account.clone(), kind, &*self.clock, &*self.randomness);
            event.document.resource_server =
                Some(client.map_or_else(|| ResourceServerId::new(consent.client.as_str()), |c| c.resource_server_id()));
            event.document.client_id = Some(consent.client.clone());
            event.document.by = Some(consent.account.as_str().to_owned());
            writes.push(Write::AppendEvent(event));
        }
        Ok(writes)
    }
}

impl Consequences {
    /// A receipt where a client is let in, further in, or out again.
    async fn receipt(&self, consent: &Consent, given: bool) -> Result<Option<Write>, ReadError> {
        let before = self.reads.find_consent(&consent.id).await?;
        if given && before.is_some_and(|before| before.scopes == consent.scopes) {
            return Ok(None);
        }
        let client = self.reads.find_client(&consent.client).await?;
        let last = self.store.find_last_receipt(&consent.account, &consent_receipt::subject_of(consent)).await?;
        let ambient: (&dyn Clock, &dyn Randomness) = (&*self.clock, &*self.randomness);
        let receipt = consent_receipt::of_consent(consent, client.as_deref(), given, last.as_ref(), ambient);
        Ok(Some(Write::PutReceipt(receipt)))
    }
}

#[async_trait]
impl identity::Store for Consequences {
    async fn find_account(&self, id: &AccountId) -> Result<Option<Account>, ReadError> {
        self.reads.find_account(id).await
    }
    async fn find_account_by_username(&self, username: &str) -> Result<Option<Account>, ReadError> {
        self.reads.find_account_by_username(username).await
    }
    async fn find_account_by_email(&self, email: &str) -> Result<Option<Account>, ReadError> {
        self.reads.find_account_by_email(email).await
    }
    async fn list_accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<Account>, ReadError> {
        self.reads.list_accounts(after, limit).await
    }
    async fn find_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, ReadError> {
        self.reads.find_client(id).await
    }
    async fn find_client_by_resource(&self, resource: &str) -> Result<Option<Client>, ReadError> {
        self.reads.find_client_by_resource(resource).await
    }
    async fn list_clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, ReadError> {
        self.reads.list_clients(after, limit).await
    }
    async fn find_client_use(&self, id: &ClientId) -> Result<Option<Timestamp>, ReadError> {
        self.reads.find_client_use(id).await
    }
    async fn find_session(&self, id: &str) -> Result<Option<Session>, ReadError> {
        self.reads.find_session(id).await
    }
    async fn list_sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Session>, ReadError> {
        self.reads.list_sessions(after, limit).await
    }
    async fn find_passkey(&self, id: &str) -> Result<Option<AccountPasskey>, ReadError> {
        self.reads.find_passkey(id).await
    }
    async fn list_passkeys(&self, account: &AccountId) -> Result<Vec<AccountPasskey>, ReadError> {
        self.reads.list_passkeys(account).await
    }
    async fn find_linked_log_in(&self, name: &str) -> Result<Option<LinkedLogIn>, ReadError> {
        self.reads.find_linked_log_in(name).await
    }
    async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, ReadError> {
        self.reads.list_linked_log_ins(account).await
    }
    async fn find_consent(&self, id: &GrantId) -> Result<Option<Arc<Consent>>, ReadError> {
        self.reads.find_consent(id).await
    }
    async fn find_consent_of(
        &self,
        account: &AccountId,
        client: &ClientId,
        resource: Option<&str>,
    ) -> Result<Option<Consent>, ReadError> {
        self.reads.find_consent_of(account, client, resource).await
    }
    async fn list_consents(&self, account: &AccountId) -> Result<Vec<Consent>, ReadError> {
        self.reads.list_consents(account).await
    }
    async fn list_consents_to(&self, client: &ClientId) -> Result<Vec<Consent>, ReadError> {
        self.reads.list_consents_to(client).await
    }
    async fn find_code(&self, key: &TokenKey) -> Result<Option<AuthorizationCode>, ReadError> {
        self.reads.find_code(key).await
    }
    async fn find_pushed_request(&self, id: &str) -> Result<Option<PushedRequest>, ReadError> {
        self.reads.find_pushed_request(id).await
    }
    async fn find_access_token(&self, key: &TokenKey) -> Result<Option<AccessToken>, ReadError> {
        self.reads.find_access_token(key).await
    }
    async fn find_refresh_token(&self, key: &TokenKey) -> Result<Option<(RefreshToken, i64)>, ReadError> {
        self.reads.find_refresh_token(key).await
    }
    async fn is_spent(&self, id: &SpentId) -> Result<bool, ReadError> {
        self.reads.is_spent(id).await
    }
    async fn list_keys(&self) -> Result<Vec<StoredKey>, ReadError> {
        self.reads.list_keys().await
    }
    async fn list_secrets(&self) -> Result<Vec<SealedSecret>, ReadError> {
        self.reads.list_secrets().await
    }
    async fn commit(&self, changes: identity::Changes) -> Result<(), CommitError> {
        let unavailable = |error: ReadError| CommitError::Unavailable(error.to_string());
        let mut writes = self.follow(&changes).await.map_err(unavailable)?;
        let keys = self.end_brought(&changes, &mut writes).await.map_err(unavailable)?;
        self.store.commit(Changes { identity: changes, requires: Vec::new(), writes }).await?;
        let left = self.list_left_of(&keys).await.map_err(unavailable)?;
        if left.writes.is_empty() { Ok(()) } else { self.store.commit(left).await }
    }
}
