//! What in a store stands in the way of a configuration: said before a start has ended anything, and by `wayleave config check`. And
//! what accounts and clients give each other, which is let go of before it is taken: two may swap their addresses.

use crate::Exit;
use crate::config::{ClientConfig, Config};
use identity::undeclared::Undeclared;
use identity::{Account, Changes, Client, Identity, Store, Write};
use types::ClientId;
use types::spelling::normalize_username;

/// Refuses a configuration that claims what somebody in the store has who is not in it, and stays.
pub(super) async fn refuse(config: &Config, own: &[ClientConfig], gone: &Undeclared, store: &dyn Store) -> Result<(), Exit> {
    for declared in &config.account {
        let Some(email) = &declared.email else { continue };
        let found = store.find_account_by_email(email).await.map_err(Exit::failed)?;
        if found.is_some_and(|other| !declares_account(config, &other) && !gone.accounts.iter().any(|one| one.id == other.id)) {
            let what = "its e-mail address is another account's, which is not in this file";
            return Err(Exit::usage(format!("[[account]] `{}`: {what}", declared.username)));
        }
    }
    for declared in config.client.iter().chain(own) {
        if let Some(resource) = &declared.resource {
            let found = store.find_client_by_resource(resource).await.map_err(Exit::failed)?;
            let is_declared = |other: &Client| config.client.iter().chain(own).any(|one| other.id.as_str() == one.client_id);
            if found.is_some_and(|other| !is_declared(&other) && !gone.clients.iter().any(|one| one.id == other.id)) {
                let what = "its resource is another client's, which is not in this file";
                return Err(Exit::usage(format!("[[client]] `{}`: {what}", declared.client_id)));
            }
        }
        let Some(username) = declared.acts_for.as_deref().filter(|name| *name != "self") else { continue };
        let username = normalize_username(username);
        let is_in_file = config.account.iter().any(|account| normalize_username(&account.username) == username);
        let found = store.find_account_by_username(&username).await.map_err(Exit::failed)?;
        if !is_in_file && found.is_none_or(|account| gone.accounts.iter().any(|one| one.id == account.id)) {
            let id = &declared.client_id;
            return Err(Exit::usage(format!("[[client]] `{id}`: acts_for: there is no account of this name")));
        }
    }
    Ok(())
}

fn declares_account(config: &Config, account: &Account) -> bool {
    config.account.iter().any(|declared| normalize_username(&declared.username) == account.username)
}

/// Lets go of addresses that another account of the file has now, and of resources that another client has.
pub(super) async fn let_go(config: &Config, own: &[ClientConfig], identity: &Identity) -> Result<(), Exit> {
    let mut writes = Vec::new();
    for declared in &config.account {
        let Some(email) = &declared.email else { continue };
        let found = identity.store.find_account_by_email(email).await.map_err(Exit::failed)?;
        let other = found.filter(|other| other.username != normalize_username(&declared.username));
        // what was given to her by that address is good no more, as where she has another one at once
        let vouched_since = Some(identity.now());
        writes
            .extend(other.map(|other| Write::PutAccount(Account { email: None, email_verified: false, vouched_since, ..other })));
    }
    for declared in config.client.iter().chain(own) {
        let Some(resource) = &declared.resource else { continue };
        let found = identity.store.find_client_by_resource(resource).await.map_err(Exit::failed)?;
        let other = found.filter(|other| other.id != ClientId::new(&*declared.client_id));
        writes.extend(other.map(|other| Write::PutClient(Client { resource: None, ..other })));
    }
    if writes.is_empty() { Ok(()) } else { identity.store.commit(Changes::of(writes)).await.map_err(Exit::failed) }
}
