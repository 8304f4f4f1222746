//! Reads of `identity::Store`.

use crate::entity::{Entity, key, spent_row};
use crate::reads::Along;
use crate::{Store, tables};
use async_trait::async_trait;
use authorization_server::Changes;
use database::ReadError;
use identity::access_token::AccessToken;
use identity::authorization::{AuthorizationCode, PushedRequest};
use identity::consent::Consent;
use identity::keys::{SealedSecret, StoredKey};
use identity::passkey::AccountPasskey;
use identity::session::Session;
use identity::token::RefreshToken;
use identity::upstream::LinkedLogIn;
use identity::{Account, Client, CommitError, SpentId, TokenKey};
use std::sync::Arc;
use types::{AccountId, ClientId, GrantId, Timestamp};

#[async_trait]
impl identity::Store for Store {
    async fn find_account(&self, id: &AccountId) -> Result<Option<Account>, ReadError> {
        self.find(&key![id]).await
    }

    async fn find_account_by_username(&self, username: &str) -> Result<Option<Account>, ReadError> {
        self.find_first(Along::index(0, &key![username])).await
    }

    async fn find_account_by_email(&self, email: &str) -> Result<Option<Account>, ReadError> {
        self.find_first(Along::index(1, &key![email])).await
    }

    async fn list_accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<Account>, ReadError> {
        self.page(Along::key(&[]), after.map(AccountId::as_str), limit).await
    }

    async fn find_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, ReadError> {
        let read = || async move { Ok(self.find(&key![id]).await?.map(Arc::new)) };
        self.kept.clients.find(id.as_str(), &self.epochs.numbers, |_| self.epochs.of_clients(), |_| true, read).await
    }

    async fn find_client_by_resource(&self, resource: &str) -> Result<Option<Client>, ReadError> {
        self.find_first(Along::index(0, &key![resource])).await
    }

    async fn list_clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, ReadError> {
        self.page(Along::key(&[]), after.map(ClientId::as_str), limit).await
    }

    async fn find_client_use(&self, id: &ClientId) -> Result<Option<Timestamp>, ReadError> {
        let row = self.get(&tables::CLIENT_USE, &key![id]).await?;
        row.map(|row| tables::CLIENT_USE.int(&row, 1).map(Timestamp)).transpose()
    }

    async fn find_session(&self, id: &str) -> Result<Option<Session>, ReadError> {
        self.find(&key![id]).await
    }

    async fn list_sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Session>, ReadError> {
        self.page(Along::key(&[]), after, limit).await
    }

    async fn find_passkey(&self, id: &str) -> Result<Option<AccountPasskey>, ReadError> {
        self.find(&key![id]).await
    }

    async fn list_passkeys(&self, account: &AccountId) -> Result<Vec<AccountPasskey>, ReadError> {
        self.all(Along::index(0, &key![account])).await
    }

    async fn find_linked_log_in(&self, name: &str) -> Result<Option<LinkedLogIn>, ReadError> {
        self.find(&key![name]).await
    }

    async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, ReadError> {
        self.all(Along::index(0, &key![account])).await
    }

    async fn find_consent(&self, id: &GrantId) -> Result<Option<Arc<Consent>>, ReadError> {
        let read = || async move { Ok(self.find::<Consent>(&key![id]).await?.map(Arc::new)) };
        self.kept
            .consents
            .find(id.as_str(), &self.epochs.numbers, |consent| self.epochs.of(&consent.account), |_| true, read)
            .await
    }

    async fn find_consent_of(
        &self,
        account: &AccountId,
        client: &ClientId,
        resource: Option<&str>,
    ) -> Result<Option<Consent>, ReadError> {
        self.find_first(Along::index(0, &key![account, client, resource.unwrap_or_default()])).await
    }

    async fn list_consents(&self, account: &AccountId) -> Result<Vec<Consent>, ReadError> {
        self.all(Along::index(0, &key![account])).await
    }

    async fn list_consents_to(&self, client: &ClientId) -> Result<Vec<Consent>, ReadError> {
        self.all(Along::index(1, &key![client])).await
    }

    async fn find_code(&self, key: &TokenKey) -> Result<Option<AuthorizationCode>, ReadError> {
        self.find_token(key).await
    }

    async fn find_pushed_request(&self, id: &str) -> Result<Option<PushedRequest>, ReadError> {
        self.find(&key![id]).await
    }

    async fn find_access_token(&self, key: &TokenKey) -> Result<Option<AccessToken>, ReadError> {
        self.find_token(key).await
    }

    async fn find_refresh_token(&self, key: &TokenKey) -> Result<Option<(RefreshToken, i64)>, ReadError> {
        let Some(row) = self.token(RefreshToken::TABLE, key).await? else { return Ok(None) };
        Ok(Some((self.read(&row)?, RefreshToken::TABLE.int(&row, 3)?)))
    }

    async fn is_spent(&self, id: &SpentId) -> Result<bool, ReadError> {
        Ok(self.is_of_before(id) || self.get(&tables::SPENT, &spent_row(id)).await?.is_some())
    }

    async fn list_keys(&self) -> Result<Vec<StoredKey>, ReadError> {
        self.all(Along::key(&[])).await
    }

    async fn list_secrets(&self) -> Result<Vec<SealedSecret>, ReadError> {
        self.all(Along::key(&[])).await
    }

    async fn commit(&self, changes: identity::Changes) -> Result<(), CommitError> {
        self.commit_changes(Changes { identity: changes, ..Changes::default() }).await
    }
}
