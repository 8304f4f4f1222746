//! Reads of `identity::Store`.

use crate::row::{entities, number, of_token, optional, spent_row, token_key};
use crate::{Store, tables};
use async_trait::async_trait;
use authorization_server::Changes;
use database::{Row, Scan, Table, Value};
use identity::access_token::AccessToken;
use identity::authorization::{AuthorizationCode, PushedRequest};
use identity::consent::Consent;
use identity::keys::{SealedSecret, StoredKey};
use identity::passkey::AccountPasskey;
use identity::session::Session;
use identity::token::RefreshToken;
use identity::upstream::LinkedLogIn;
use identity::{Account, Client, CommitError, SpentId, StoreError, TokenKey};
use std::sync::Arc;
use types::{AccountId, ClientId, GrantId, Timestamp};

impl Store {
    pub(crate) async fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, StoreError> {
        self.database.get(table, key).await.map_err(|error| StoreError(error.to_string()))
    }

    pub(crate) async fn token(&self, table: &'static Table, key: &TokenKey) -> Result<Option<Row>, StoreError> {
        Ok(of_token(self.get(table, &token_key(key)).await?, key))
    }

    pub(crate) async fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, StoreError> {
        self.database.scan(scan).await.map_err(|error| StoreError(error.to_string()))
    }

    /// The first row with this prefix of an index.
    pub(crate) async fn first_by(
        &self,
        table: &'static Table,
        index: usize,
        prefix: &[Value],
    ) -> Result<Option<Row>, StoreError> {
        let scan = Scan { table, index: Some(index), prefix, after: None, descending: false, limit: 1 };
        Ok(self.scan(&scan).await?.pop())
    }

    /// All rows with this prefix of an index. No list is cut without a word (threat 46): what has no pages is read to its
    /// end, and how long it gets is bounded where it is written.
    pub(crate) async fn all_by(&self, table: &'static Table, index: usize, prefix: &[Value]) -> Result<Vec<Row>, StoreError> {
        self.all(table, Some(index), prefix).await
    }

    /// The same along an index, or the key.
    pub(crate) async fn all(
        &self,
        table: &'static Table,
        index: Option<usize>,
        prefix: &[Value],
    ) -> Result<Vec<Row>, StoreError> {
        self.scan(&Scan { table, index, prefix, after: None, descending: false, limit: usize::MAX }).await
    }

    /// Rows of a table, by its key.
    async fn rows(&self, table: &'static Table, after: Option<&str>, limit: usize) -> Result<Vec<Row>, StoreError> {
        self.scan(&Scan { table, index: None, prefix: &[], after: after.map(Value::from), descending: false, limit }).await
    }
}

#[async_trait]
impl identity::Store for Store {
    async fn find_account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        optional(self.get(&tables::ACCOUNT, &[id.as_str().into()]).await?)
    }

    async fn find_account_by_username(&self, username: &str) -> Result<Option<Account>, StoreError> {
        optional(self.first_by(&tables::ACCOUNT, 0, &[username.into()]).await?)
    }

    async fn find_account_by_email(&self, email: &str) -> Result<Option<Account>, StoreError> {
        optional(self.first_by(&tables::ACCOUNT, 1, &[email.into()]).await?)
    }

    async fn list_accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<Account>, StoreError> {
        entities(self.rows(&tables::ACCOUNT, after.map(AccountId::as_str), limit).await?)
    }

    async fn find_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, StoreError> {
        let read = || async move { Ok(optional(self.get(&tables::CLIENT, &[id.as_str().into()]).await?)?.map(Arc::new)) };
        self.kept.clients.find(id.as_str(), |_| self.epochs.of_clients(), |_| true, read).await
    }

    async fn find_client_by_resource(&self, resource: &str) -> Result<Option<Client>, StoreError> {
        optional(self.first_by(&tables::CLIENT, 0, &[resource.into()]).await?)
    }

    async fn list_clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, StoreError> {
        entities(self.rows(&tables::CLIENT, after.map(ClientId::as_str), limit).await?)
    }

    async fn find_client_use(&self, id: &ClientId) -> Result<Option<Timestamp>, StoreError> {
        self.get(&tables::CLIENT_USE, &[id.as_str().into()]).await?.map(|row| number(&row, 1).map(Timestamp)).transpose()
    }

    async fn find_session(&self, id: &str) -> Result<Option<Session>, StoreError> {
        optional(self.get(&tables::SESSION, &[id.into()]).await?)
    }

    async fn list_sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Session>, StoreError> {
        entities(self.rows(&tables::SESSION, after, limit).await?)
    }

    async fn find_passkey(&self, id: &str) -> Result<Option<AccountPasskey>, StoreError> {
        optional(self.get(&tables::PASSKEY, &[id.into()]).await?)
    }

    async fn list_passkeys(&self, account: &AccountId) -> Result<Vec<AccountPasskey>, StoreError> {
        entities(self.all_by(&tables::PASSKEY, 0, &[account.as_str().into()]).await?)
    }

    async fn find_linked_log_in(&self, name: &str) -> Result<Option<LinkedLogIn>, StoreError> {
        optional(self.get(&tables::LINKED_LOG_IN, &[name.into()]).await?)
    }

    async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, StoreError> {
        entities(self.all_by(&tables::LINKED_LOG_IN, 0, &[account.as_str().into()]).await?)
    }

    async fn find_consent(&self, id: &GrantId) -> Result<Option<Arc<Consent>>, StoreError> {
        let read =
            || async move { Ok(optional::<Consent>(self.get(&tables::CONSENT, &[id.as_str().into()]).await?)?.map(Arc::new)) };
        self.kept.consents.find(id.as_str(), |consent| self.epochs.of(&consent.account), |_| true, read).await
    }

    async fn find_consent_of(
        &self,
        account: &AccountId,
        client: &ClientId,
        resource: Option<&str>,
    ) -> Result<Option<Consent>, StoreError> {
        let key = [account.as_str().into(), client.as_str().into(), resource.unwrap_or_default().into()];
        optional(self.first_by(&tables::CONSENT, 0, &key).await?)
    }

    async fn list_consents(&self, account: &AccountId) -> Result<Vec<Consent>, StoreError> {
        entities(self.all_by(&tables::CONSENT, 0, &[account.as_str().into()]).await?)
    }

    async fn list_consents_to(&self, client: &ClientId) -> Result<Vec<Consent>, StoreError> {
        entities(self.all_by(&tables::CONSENT, 1, &[client.as_str().into()]).await?)
    }

    async fn find_code(&self, key: &TokenKey) -> Result<Option<AuthorizationCode>, StoreError> {
        optional(self.token(&tables::CODE, key).await?)
    }

    async fn find_pushed_request(&self, id: &str) -> Result<Option<PushedRequest>, StoreError> {
        optional(self.get(&tables::PUSHED_REQUEST, &[id.into()]).await?)
    }

    async fn find_access_token(&self, key: &TokenKey) -> Result<Option<AccessToken>, StoreError> {
        optional(self.token(&tables::ACCESS_TOKEN, key).await?)
    }

    async fn find_refresh_token(&self, key: &TokenKey) -> Result<Option<(RefreshToken, i64)>, StoreError> {
        let Some(row) = self.token(&tables::REFRESH_TOKEN, key).await? else { return Ok(None) };
        Ok(Some((crate::row::entity(&row)?, number(&row, 3)?)))
    }

    async fn is_spent(&self, id: &SpentId) -> Result<bool, StoreError> {
        Ok(self.is_of_before(id) || self.get(&tables::SPENT, &spent_row(id)).await?.is_some())
    }

    async fn list_keys(&self) -> Result<Vec<StoredKey>, StoreError> {
        entities(self.all(&tables::SIGNING_KEY, None, &[]).await?)
    }

    async fn list_secrets(&self) -> Result<Vec<SealedSecret>, StoreError> {
        entities(self.all(&tables::SECRET, None, &[]).await?)
    }

    async fn commit(&self, changes: identity::Changes) -> Result<(), CommitError> {
        self.commit_changes(Changes { identity: changes, ..Changes::default() }).await
    }
}
