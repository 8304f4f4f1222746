//! What identity asks of its store. `store` implements it in memory and on SQLite.

use crate::access_token::AccessToken;
use crate::authorization::{AuthorizationCode, PushedRequest};
use crate::consent::Consent;
use crate::keys::{SealedSecret, StoredKey};
use crate::passkey::AccountPasskey;
use crate::session::Session;
use crate::token::RefreshToken;
use crate::upstream::LinkedLogIn;
use crate::{Account, Changes, Client, SpentId, TokenKey};
use async_trait::async_trait;
use std::sync::Arc;
use types::{AccountId, ClientId, GrantId, ReadError, Timestamp};

/// Why nothing of a commit happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// A one-time id was spent before.
    #[error("a one-time id was spent before")]
    Spent,
    /// A name or id is taken.
    #[error("a name is taken")]
    Taken,
    /// What the decision rests on has changed: load and decide again.
    #[error("what the decision rests on has changed")]
    Changed,
    /// A limited policy has no uses left.
    #[error("a limited policy has no uses left")]
    UsedUp,
    /// A value is none that is kept, whoever tries again; the text says which.
    #[error("{0}")]
    Unkept(String),
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
}

/// Reads, and one write.
#[async_trait]
pub trait Store: Send + Sync {
    async fn find_account(&self, id: &AccountId) -> Result<Option<Account>, ReadError>;
    async fn find_account_by_username(&self, username: &str) -> Result<Option<Account>, ReadError>;
    /// By verified address in normalized form.
    async fn find_account_by_email(&self, email: &str) -> Result<Option<Account>, ReadError>;
    /// All accounts, by id: for the wiring, which closes those that are not declared any more.
    async fn list_accounts(&self, after: Option<&AccountId>, limit: usize) -> Result<Vec<Account>, ReadError>;
    async fn find_client(&self, id: &ClientId) -> Result<Option<Arc<Client>>, ReadError>;
    async fn find_client_by_resource(&self, resource: &str) -> Result<Option<Client>, ReadError>;
    /// All clients, by id, for the sweeper and for administration.
    async fn list_clients(&self, after: Option<&ClientId>, limit: usize) -> Result<Vec<Client>, ReadError>;
    /// When a registered client was last noted as used.
    async fn find_client_use(&self, id: &ClientId) -> Result<Option<Timestamp>, ReadError>;
    async fn find_session(&self, id: &str) -> Result<Option<Session>, ReadError>;
    /// All sessions, by id: for the wiring, which ends those of an account.
    async fn list_sessions(&self, after: Option<&str>, limit: usize) -> Result<Vec<Session>, ReadError>;
    async fn find_passkey(&self, id: &str) -> Result<Option<AccountPasskey>, ReadError>;
    async fn list_passkeys(&self, account: &AccountId) -> Result<Vec<AccountPasskey>, ReadError>;
    /// By [`crate::upstream::name_of`].
    async fn find_linked_log_in(&self, name: &str) -> Result<Option<LinkedLogIn>, ReadError>;
    async fn list_linked_log_ins(&self, account: &AccountId) -> Result<Vec<LinkedLogIn>, ReadError>;
    async fn find_consent(&self, id: &GrantId) -> Result<Option<Arc<Consent>>, ReadError>;
    /// The one of this account and client for this resource, or for none.
    async fn find_consent_of(
        &self,
        account: &AccountId,
        client: &ClientId,
        resource: Option<&str>,
    ) -> Result<Option<Consent>, ReadError>;
    async fn list_consents(&self, account: &AccountId) -> Result<Vec<Consent>, ReadError>;
    /// Of all accounts, for this client.
    async fn list_consents_to(&self, client: &ClientId) -> Result<Vec<Consent>, ReadError>;
    async fn find_code(&self, key: &TokenKey) -> Result<Option<AuthorizationCode>, ReadError>;
    async fn find_pushed_request(&self, id: &str) -> Result<Option<PushedRequest>, ReadError>;
    async fn find_access_token(&self, key: &TokenKey) -> Result<Option<AccessToken>, ReadError>;
    /// With the version that [`crate::Requirement::RefreshUnchanged`] names.
    async fn find_refresh_token(&self, key: &TokenKey) -> Result<Option<(RefreshToken, i64)>, ReadError>;
    async fn is_spent(&self, id: &SpentId) -> Result<bool, ReadError>;
    async fn list_keys(&self) -> Result<Vec<StoredKey>, ReadError>;
    async fn list_secrets(&self) -> Result<Vec<SealedSecret>, ReadError>;
    /// Carries the changes out, whole or not at all; durable when it returns.
    async fn commit(&self, changes: Changes) -> Result<(), CommitError>;
}
