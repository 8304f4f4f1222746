//! Accounts and clients that the configuration declares: brought in line at start, and ended where it has them no more.

mod clashes;

use crate::config::{AccountConfig, ClientConfig, Config};
use crate::{Exit, assemble, log_in};
use identity::account::Standing;
use identity::client::ActsFor;
use identity::undeclared::{Declared, Undeclared, find_undeclared};
use identity::{Account, Changes, Client, CommitError, Identity, ReadError, Store, Write};
use jose::KeySet;
use std::path::PathBuf;
use types::client::AuthMethod;
use types::spelling::normalize_username;
use types::{AccountId, ClientId, ScopeSet, Timestamp};

/// Brings declared accounts and clients in line with the configuration; `own` are clients that a party's log-in has without
/// one. What it has no more ends before anything new takes its place.
pub(crate) async fn declare(config: &Config, own: &[ClientConfig], identity: &Identity) -> Result<(), Exit> {
    // a secret that does not read ends nothing
    check(config)?;
    let undeclared = find_gone(config, own, &*identity.store).await.map_err(Exit::failed)?;
    refuse_nobody(config, &undeclared)?;
    // nor does what somebody else has, who stays
    clashes::refuse(config, own, &undeclared, &*identity.store).await?;
    end(undeclared, identity).await.map_err(Exit::failed)?;
    clashes::let_go(config, own, identity).await?;
    for account in &config.account {
        declare_account(config, identity, account).await?;
    }
    for client in config.client.iter().chain(own) {
        declare_client(config, identity, client).await?;
    }
    identity.follow_providers().await.map_err(Exit::failed)
}

/// A configuration with nobody in it, on a store that has somebody, is most likely another one's: nothing would come back
/// of what people agreed to.
fn refuse_nobody(config: &Config, gone: &Undeclared) -> Result<(), Exit> {
    let names_nobody = config.account.is_empty() && config.client.is_empty() && config.login_provider.is_empty();
    if !names_nobody || (gone.accounts.is_empty() && gone.clients.is_empty()) {
        return Ok(());
    }
    Err(Exit::usage(
        "the configuration has no [[account]], [[client]] or [[login_provider]], and the store has some of before: name their \
         file by --config, or remove the store to begin anew",
    ))
}

/// Reads the secrets and keys that it names.
pub(crate) fn check(config: &Config) -> Result<(), Exit> {
    for account in &config.account {
        password_of(config, account)?;
    }
    for client in &config.client {
        secret_of(config, client)?;
        declared_keys(config, client)?;
    }
    Ok(())
}

/// Whom a store has that this configuration declares no more.
async fn find_gone(config: &Config, own: &[ClientConfig], store: &dyn Store) -> Result<Undeclared, ReadError> {
    let declared = Declared {
        usernames: config.account.iter().map(|account| normalize_username(&account.username)).collect(),
        clients: config.client.iter().chain(own).map(|client| ClientId::new(&*client.client_id)).collect(),
    };
    find_undeclared(store, &declared).await
}

/// A line for each account and client that a start with this configuration would end in the store.
fn describe_gone(gone: &Undeclared) -> Vec<String> {
    let clients = gone.clients.iter().map(|client| {
        let id = &client.id;
        format!("[[client]] `{id}` is not in this file any more: a start ends its tokens and all that people agreed to for it")
    });
    let accounts = gone.accounts.iter().map(|account| {
        let name = &account.username;
        format!("[[account]] `{name}` is not in this file any more: after a start nobody logs in to it; its things stay")
    });
    clients.chain(accounts).collect()
}

/// The store of a party, and its own clients there.
struct Place {
    party: &'static str,
    file: Option<PathBuf>,
    own: Vec<ClientConfig>,
}

/// The stores in which a start brings accounts and clients in line.
fn list_places(config: &Config) -> Vec<Place> {
    let mut places = Vec::new();
    if config.is_for_a_server() {
        places.push(Place { party: "server", file: assemble::store_file(config, &config.store.url), own: Vec::new() });
    }
    if let Some(section) = config.gateway.as_ref().filter(|gateway| gateway.management.is_none() && !config.account.is_empty()) {
        let file = assemble::store_file(config, &log_in::store_beside(section.store_url()));
        places.push(Place { party: "gateway", file, own: vec![log_in::client_of_gateway(section)] });
    }
    if let Some(section) = config.manager.as_ref().filter(|manager| manager.is_built_in()) {
        let file = assemble::store_file(config, &log_in::store_beside(section.store_url()));
        places.push(Place { party: "manager", file, own: vec![log_in::client_of_manager(section)] });
    }
    places
}

/// What a start would end, since the stores have it and this file has it no more; an error is what it would refuse. Nothing is
/// made or changed there.
pub(crate) async fn list_gone(config: &Config) -> Result<Vec<String>, Exit> {
    let mut lines = Vec::new();
    for Place { party, file, own } in list_places(config) {
        let Some(file) = file else { continue };
        let unsaid = |error: &dyn std::fmt::Display| format!("wayleave {party}: what a start would end cannot be said: {error}");
        let store = match store::Store::open_if_current(&file).await {
            Ok(Some(store)) => store,
            Ok(None) => continue,
            Err(error) => {
                lines.push(unsaid(&error));
                continue;
            }
        };
        match find_gone(config, &own, &store).await {
            Ok(gone) => {
                refuse_nobody(config, &gone)?;
                clashes::refuse(config, &own, &gone, &store).await?;
                let told = describe_gone(&gone).into_iter().chain(describe_returned(config, &store).await);
                lines.extend(told.map(|what| format!("wayleave {party}: {what}")));
            }
            Err(error) => lines.push(unsaid(&error)),
        }
    }
    Ok(lines)
}

/// A line for each account that was closed before, under whose name this file has one again.
async fn describe_returned(config: &Config, store: &dyn Store) -> Vec<String> {
    let mut lines = Vec::new();
    for account in &config.account {
        let found = store.find_account_by_username(&normalize_username(&account.username)).await;
        // a store that cannot be read was said to be so
        if found.is_ok_and(|found| found.is_some_and(|found| found.standing == Standing::Gone)) {
            let name = &account.username;
            lines.push(format!(
                "[[account]] `{name}` was closed before: whoever logs in to it now has the things, shares and passkeys of before; \
                 for somebody else choose another name"
            ));
        }
    }
    lines
}

async fn end(gone: Undeclared, identity: &Identity) -> Result<(), identity::Failure> {
    for client in gone.clients {
        identity.end_client(&client.id).await?;
        let (client, what) = (client.id, "the configuration has this client no more: its tokens and consents have ended");
        tracing::warn!(%client, "{what}");
    }
    for account in gone.accounts {
        let username = account.username.clone();
        identity.close_account(account).await?;
        let what = "the configuration has this account no more: nobody logs in to it, and its things stay";
        tracing::warn!(%username, "{what}");
    }
    Ok(())
}

/// The password of a declared account.
pub(crate) fn password_of(config: &Config, account: &AccountConfig) -> Result<Option<String>, Exit> {
    let key = format!("[[account]] `{}`: password", account.username);
    config.secret(&key, account.password.as_ref(), account.password_file.as_ref())
}

/// The secret of a declared client.
pub(crate) fn secret_of(config: &Config, client: &ClientConfig) -> Result<Option<String>, Exit> {
    let key = format!("[[client]] `{}`: client_secret", client.client_id);
    config.secret(&key, client.client_secret.as_ref(), client.client_secret_file.as_ref())
}

async fn declare_account(config: &Config, identity: &Identity, declared: &AccountConfig) -> Result<(), Exit> {
    let username = normalize_username(&declared.username);
    let before = identity.find_account_by_username(&username).await.map_err(Exit::failed)?;
    let password = password_of(config, declared)?;
    let digest = password
        .as_ref()
        .map(|password| format!("{username}\0{}", types::spelling::normalize_password(password)))
        .map(|text| identity.keys.keyed_digest("declared password", text.as_bytes()));
    let unchanged = before.as_ref().filter(|before| digest.is_some() && before.declared_digest == digest);
    let password_hash = match (unchanged, password) {
        (Some(before), _) => before.password_hash.clone(),
        (None, Some(password)) => Some(identity.passwords.hash(&password, &*identity.randomness).await.map_err(Exit::failed)?),
        (None, None) => declared.password_hash.clone(),
    };
    let account = Account {
        id: before.as_ref().map_or_else(|| AccountId::new(identity.random_id()), |before| before.id.clone()),
        username,
        name: declared.name.clone(),
        email: declared.email.clone(),
        email_verified: declared.email.is_some(),
        claims: declared.claims.clone(),
        password_hash,
        declared_digest: digest,
        standing: Standing::Declared,
        vouched_since: None,
        gone_providers: before.as_ref().map(|before| before.gone_providers.clone()).unwrap_or_default(),
        created: before.as_ref().map_or(identity.now(), |before| before.created),
    };
    let vouched_since = before.as_ref().and_then(|before| vouched_since(before, &account, identity));
    let account = Account { vouched_since, ..account };
    if before.as_ref() == Some(&account) {
        return Ok(());
    }
    let mut writes = match before.filter(|before| before.password_hash != account.password_hash) {
        // whoever logged in by another password is out
        Some(before) if before.password_hash.is_some() => identity.end_of_sessions(&before.id).await.map_err(Exit::failed)?,
        _ => Vec::new(),
    };
    writes.push(Write::PutAccount(account));
    let taken = || Exit::usage(format!("[[account]] `{}`: its e-mail address is another account's", declared.username));
    identity.store.commit(Changes::of(writes)).await.map_err(|error| exit_of(error, taken))
}

/// Since when all that is said of an account's person is said: what was given on a word that is taken back is good no more.
fn vouched_since(before: &Account, account: &Account, identity: &Identity) -> Option<Timestamp> {
    // whoever logged in by another password, here or at a gateway by this server's word, is out
    let is_same_person = before.password_hash.is_none() || before.password_hash == account.password_hash;
    if is_same_person && account.says_all_of(before) { before.vouched_since } else { Some(identity.now()) }
}

/// The keys that the configuration gives a client; what about them does not read is said here, and not to the client later.
pub(crate) fn declared_keys(config: &Config, declared: &ClientConfig) -> Result<Option<serde_json::Value>, Exit> {
    let jwks = match &declared.jwks_file {
        Some(file) => {
            let wrong = |error: &dyn std::fmt::Display| {
                let (id, place) = (&declared.client_id, config.path(file));
                Exit::usage(format!("[[client]] `{id}`: jwks_file: {}: {error}", place.display()))
            };
            let key = format!("[[client]] `{}`: jwks_file", declared.client_id);
            let bytes = std::fs::read(config.path(file)).map_err(|error| config.unread(&key, file, &error))?;
            Some(types::json::parse_hidden(&bytes).map_err(|error| wrong(&error))?)
        }
        None => declared.jwks.clone(),
    };
    if let Some(jwks) = &jwks {
        let id = &declared.client_id;
        let wrong = |error| Exit::usage(format!("[[client]] `{id}`: its keys (`jwks`, `jwks_file`) do not read: {error}"));
        KeySet::readable(jwks).map_err(wrong)?;
    }
    Ok(jwks)
}

async fn declare_client(config: &Config, identity: &Identity, declared: &ClientConfig) -> Result<(), Exit> {
    let id = ClientId::new(&*declared.client_id);
    let secret = secret_of(config, declared)?;
    let jwks = declared_keys(config, declared)?;
    let has_keys = jwks.is_some() || declared.jwks_uri.is_some();
    let acts_for = match declared.acts_for.as_deref() {
        None => None,
        Some("self") => Some(ActsFor::Itself),
        Some(username) => {
            let account = identity.find_account_by_username(username).await.map_err(Exit::failed)?;
            let account =
                account.ok_or_else(|| Exit::usage(format!("[[client]] `{id}`: acts_for: there is no account of this name")))?;
            Some(ActsFor::Account(account.id))
        }
    };
    let before = identity.store.find_client(&id).await.map_err(Exit::failed)?;
    let client = Client {
        credentials_since: None,
        former_names: Vec::new(),
        secret_digest: secret.as_deref().map(|secret| identity.secret_digest(&id, secret)),
        auth_method: match (&secret, has_keys) {
            (Some(_), _) => None,
            (None, true) => Some(AuthMethod::PrivateKeyJwt),
            (None, false) => Some(AuthMethod::None),
        },
        id,
        name: declared.name.clone(),
        redirect_uris: declared.redirect_uris.clone(),
        claims_redirect_uris: declared.claims_redirect_uris.clone(),
        post_logout_redirect_uris: declared.post_logout_redirect_uris.clone(),
        grant_types: declared.grant_types.clone(),
        scope: ScopeSet::parse(&declared.scope).map_err(Exit::usage)?,
        jwks,
        jwks_uri: declared.jwks_uri.clone(),
        resource: declared.resource.clone(),
        access_token_format: declared.access_token_format,
        acts_for,
        may_push_claims: declared.may_push_claims,
        dpop_bound_access_tokens: declared.dpop_bound_access_tokens,
        id_token_alg: declared.id_token_signed_response_alg.clone(),
        assertion_alg: None,
        declared: true,
        registration_token: None,
        created: before.as_ref().map_or(identity.now(), |before| before.created),
        software_id: None,
        software_version: None,
        software_statement: None,
    };
    // one that was not there may have been before: nothing that it was given then is good
    let credentials_since = before.as_deref().map_or(Some(identity.now()), |before| since(before, &client, identity));
    let client = Client { credentials_since, ..client };
    if before.as_deref() == Some(&client) {
        return Ok(());
    }
    let taken = || Exit::usage(format!("[[client]] `{}`: its resource is another client's", declared.client_id));
    identity.store.commit(Changes::of(vec![Write::PutClient(client)])).await.map_err(|error| exit_of(error, taken))
}

/// A store that fails is nobody's fault in the file.
fn exit_of(error: CommitError, taken: impl FnOnce() -> Exit) -> Exit {
    match error {
        CommitError::Taken => taken(),
        other => Exit::failed(other),
    }
}

/// Since when a client has these credentials, and acts for whom it does: tokens that were given for others are good no more.
fn since(before: &Client, client: &Client, identity: &Identity) -> Option<Timestamp> {
    let is_same = before.secret_digest == client.secret_digest
        && before.jwks == client.jwks
        && before.jwks_uri == client.jwks_uri
        && before.acts_for == client.acts_for;
    if is_same { before.credentials_since } else { Some(identity.now()) }
}
