//! What the operator has taken out of the configuration: declared clients and accounts of the store that it has no more.
//!
//! A client ends as a registration does (RFC 7592 2.3): its secret, its tokens, what anybody agreed to for it, and the URL
//! that it had as a resource server. An account keeps its things, and what was shared of them; nothing opens it - no
//! password, session, passkey or account elsewhere - and no application acts in its name, until the configuration has it again.
//!
//! Called by the wiring at start, when this process alone serves the store; `config check` only reads it.

use crate::ReadError;
use crate::account::Standing;
use crate::consent::Consent;
use crate::store::Store;
use crate::{Account, Changes, Client, Failure, Identity, Write};
use std::collections::BTreeSet;
use types::spelling::normalize_username;
use types::token::{AS_OWNER, UMA_MANAGEMENT, UMA_POLICY};
use types::{AccountId, ClientId, ScopeSet};

/// Rows that are read at once.
const AT_ONCE: usize = 500;

/// Whom the configuration has.
pub struct Declared {
    /// Normalized.
    pub usernames: BTreeSet<String>,
    pub clients: BTreeSet<ClientId>,
}

/// Whom it has no more.
#[derive(Default)]
pub struct Undeclared {
    pub accounts: Vec<Account>,
    pub clients: Vec<Client>,
}

/// Whom the operator declared once, and declares no more.
pub async fn find_undeclared(store: &dyn Store, declared: &Declared) -> Result<Undeclared, ReadError> {
    let mut found = Undeclared::default();
    let mut after = None;
    loop {
        let clients = store.list_clients(after.as_ref(), AT_ONCE).await?;
        after = clients.last().filter(|_| clients.len() == AT_ONCE).map(|client| client.id.clone());
        found.clients.extend(clients.into_iter().filter(|client| client.declared && !declared.clients.contains(&client.id)));
        if after.is_none() {
            break;
        }
    }
    let is_gone =
        |account: &Account| account.is_declared() && !declared.usernames.contains(&normalize_username(&account.username));
    let mut after = None;
    loop {
        let accounts = store.list_accounts(after.as_ref(), AT_ONCE).await?;
        after = accounts.last().filter(|_| accounts.len() == AT_ONCE).map(|account| account.id.clone());
        found.accounts.extend(accounts.into_iter().filter(is_gone));
        if after.is_none() {
            return Ok(found);
        }
    }
}

impl Identity {
    /// The client goes, and all that hung on it.
    pub async fn end_client(&self, client: &ClientId) -> Result<(), Failure> {
        Ok(self.store.commit(Changes::of(self.end_of(client).await?)).await?)
    }

    /// Nothing opens the account from now on, and nobody acts in its name. Its address is free for another account.
    pub async fn close_account(&self, account: Account) -> Result<(), Failure> {
        let mut writes = self.end_of_sessions(&account.id).await?;
        for consent in self.store.list_consents(&account.id).await? {
            writes.extend(without_acting(consent));
        }
        writes.push(Write::PutAccount(Account {
            email: None,
            email_verified: false,
            password_hash: None,
            declared_digest: None,
            standing: Standing::Gone,
            ..account
        }));
        Ok(self.store.commit(Changes::of(writes)).await?)
    }

    /// All sessions of an account end: another password opens it from now on, or nothing.
    pub async fn end_of_sessions(&self, account: &AccountId) -> Result<Vec<Write>, Failure> {
        let (mut ended, mut after) = (Vec::new(), None);
        loop {
            let sessions = self.store.list_sessions(after.as_deref(), AT_ONCE).await?;
            after = sessions.last().filter(|_| sessions.len() == AT_ONCE).map(|session| session.id.clone());
            let own = sessions.into_iter().filter(|session| session.account == *account);
            ended.extend(own.map(|session| Write::DeleteSession(session.id)));
            if after.is_none() {
                return Ok(ended);
            }
        }
    }
}

/// What is left of a consent where nobody acts in the account's name any more: a resource server keeps its link, so that
/// what was shared of the things there goes on. Anything else is agreed to anew when she is back.
pub(crate) fn without_acting(consent: Consent) -> Option<Write> {
    if !consent.links_resource_server() {
        return Some(Write::DeleteConsent(consent));
    }
    let acting = |scope: &&types::Scope| [UMA_POLICY, UMA_MANAGEMENT, AS_OWNER].contains(&scope.as_str());
    let left: ScopeSet = consent.scopes.iter().filter(|scope| !acting(scope)).cloned().collect();
    let is_less = left.len() < consent.scopes.len();
    is_less.then_some(Write::PutConsent(Consent { scopes: left, was_narrowed: true, ..consent }))
}
