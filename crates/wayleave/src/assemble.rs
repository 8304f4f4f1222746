//! Wiring: from configuration to a running authorization server or gateway.

use crate::Exit;
use crate::clock_watch;
use crate::config::{Config, StoreConfig, TrustedIssuerConfig};
use crate::declared;
use crate::outbox::Outbox;
use crate::submission::Submission;
use crate::whole_file;
use authorization_server::consequences::Consequences;
use authorization_server::{AuthorizationServer, IssuerKeys, Mailer, Settings, TrustedIssuer};
use database::{Database, Location, Postgres};
use identity::{Identity, Keys};
use jose::{Clock, KeySet, Randomness, SystemClock, SystemRandomness};
use outbound::Outbound;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use types::Issuer;
use web::App;

/// An authorization server and its store.
pub struct Server {
    pub app: Arc<App>,
    pub store: Store,
}

/// Where a party keeps its things; `key` is the table of the configuration that says so.
pub(crate) fn location(config: &Config, key: &str, store: &StoreConfig) -> Result<Location, Exit> {
    let is_elsewhere = store.url.starts_with("postgres:") || store.url.starts_with("postgresql:");
    if store.password_file.is_some() && !is_elsewhere {
        return Err(Exit::usage(format!("{key}.password_file: it is for a postgres:// store alone: leave it out")));
    }
    match store.url.split_once(':') {
        Some(("memory", "")) => Ok(Location::Memory),
        Some(("sqlite", path)) if !path.is_empty() => Ok(Location::File(config.path(path))),
        Some(_) if is_elsewhere => {
            let password = config.secret(&format!("{key}.password"), None, store.password_file.as_ref())?;
            Postgres::check_url(&store.url).map_err(|error| Exit::usage(format!("{key}.url: {error}")))?;
            Ok(Location::Postgres { url: store.url.clone(), password })
        }
        // what stands there may hold the password of a database
        _ => Err(Exit::usage(format!("{key}.url: it must be sqlite:PATH, postgres://USER@HOST/DATABASE or memory:"))),
    }
}

/// Opens a server's store, or that of a log-in, which `name` tells from others in the same database.
pub(crate) async fn open_store(location: &Location, name: &str) -> Result<Store, Exit> {
    location.file().map_or(Ok(()), |file| make_folder(file))?;
    Store::open(location, name).await.map_err(Exit::failed)
}

pub(crate) fn make_folder(file: &Path) -> Result<(), Exit> {
    match file.parent().filter(|parent| !parent.as_os_str().is_empty()) {
        Some(parent) => std::fs::create_dir_all(parent).map_err(|error| Exit::failed(format!("{}: {error}", parent.display()))),
        None => Ok(()),
    }
}

/// Makes the file if it is not there, for its owner's eyes alone; SQLite gives its companions the same rights.
pub(crate) fn make_private(file: &Path) -> Result<(), Exit> {
    let mut options = std::fs::OpenOptions::new();
    options.create(true).append(true);
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options.open(file).map(drop).map_err(|error| Exit::failed(format!("{}: {error}", file.display())))
}

/// The file of a SQLite store that a URL names.
pub(crate) fn store_file(config: &Config, url: &str) -> Option<PathBuf> {
    url.strip_prefix("sqlite:").map(|path| config.path(path))
}

/// Where the key file is.
pub(crate) fn key_file(config: &Config) -> PathBuf {
    let fallback = format!("{}/server.key", config.server.data_dir);
    config.path(config.server.key_file.as_deref().unwrap_or(&fallback))
}

/// The key of the key file, if that is there: none is made.
pub(crate) fn find_key(config: &Config) -> Result<Option<[u8; 32]>, Exit> {
    let place = key_file(config);
    place.exists().then(|| read_key(&place)).transpose()
}

/// A store that the key file seals.
pub struct Sealed<'a> {
    pub location: &'a Location,
    /// Its name in a database that others share.
    pub schema: &'a str,
}

/// The key of the key file; made at first start, readable by its owner alone. To be read before the `stores` are opened
/// which it seals: where one of them is there already, its key was made before, and no other takes its place.
pub async fn read_key_file(config: &Config, randomness: &dyn Randomness, stores: &[Sealed<'_>]) -> Result<[u8; 32], Exit> {
    let place = key_file(config);
    make_folder(&place)?;
    let missing = !place.try_exists().map_err(|error| Exit::failed(format!("{}: {error}", place.display())))?;
    let is_empty = std::fs::metadata(&place).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
    if missing || is_empty {
        match find_made(stores).await? {
            Some(store) if missing => {
                let key = place.display();
                let what =
                    format!("{key} is not there, and {store} was sealed with it: restore the key file that goes with the store");
                return Err(Exit::failed(what));
            }
            // it was cut
            Some(_) => {}
            // one that is empty never was a key: a disk was full when it was to be made
            None => make_key(&place, is_empty, randomness)?,
        }
    }
    read_key(&place)
}

async fn find_made(stores: &[Sealed<'_>]) -> Result<Option<String>, Exit> {
    for Sealed { location, schema } in stores {
        if let Some(name) = Database::find_made(location, schema).await.map_err(Exit::failed)? {
            return Ok(Some(name));
        }
    }
    Ok(None)
}

fn make_key(place: &Path, is_empty: bool, randomness: &dyn Randomness) -> Result<(), Exit> {
    let fail = |error: std::io::Error| Exit::failed(format!("{}: {error}", place.display()));
    if is_empty {
        std::fs::remove_file(place).map_err(fail)?;
    }
    let key = jose::ambient::random_text::<32>(randomness);
    whole_file::make_private_once(place, key.as_bytes()).map_err(fail)
}

fn read_key(place: &Path) -> Result<[u8; 32], Exit> {
    let text = std::fs::read(place).map_err(|error| {
        Exit::failed(format!(
            "{}: {error}: restore the key file that goes with the store, readable for this party",
            place.display()
        ))
    })?;
    let text = String::from_utf8_lossy(&text);
    let key = jose::base64url::decode(text.trim()).and_then(|bytes| bytes.try_into().ok());
    key.ok_or_else(|| {
        Exit::failed(format!("{} is no key file of ours: restore the one that goes with the store", place.display()))
    })
}

/// The guarded HTTP client of a configuration, as it calls what others name. What stands in the configuration as issuer,
/// resource, key set or look-up is called with [`Outbound::for_listed`].
pub fn outbound(config: &Config, also: &[String]) -> Result<Outbound, Exit> {
    let ca_pem = match &config.outbound.ca_file {
        Some(file) => Some(std::fs::read(config.path(file)).map_err(|error| Exit::usage(format!("outbound.ca_file: {error}")))?),
        None => None,
    };
    let mut configured = vec![config.server.issuer.clone()];
    configured.extend(config.client.iter().flat_map(|client| [&client.resource, &client.jwks_uri]).flatten().cloned());
    configured.extend(
        config.trusted_issuer.iter().flat_map(|issuer| [Some(&issuer.issuer), issuer.jwks_uri.as_ref()]).flatten().cloned(),
    );
    if let Some(gateway) = &config.gateway {
        configured.push(gateway.resource.clone());
        configured.extend(gateway.authorization_servers.iter().cloned());
        configured.extend(gateway.route.iter().filter_map(|route| route.lookup().map(str::to_owned)));
        configured.extend(gateway.management.iter().map(|management| management.issuer.clone()));
    }
    configured.extend(also.iter().cloned());
    let settings = outbound::Settings {
        allow_private_networks: config.outbound.allow_private_networks,
        allow_http: config.outbound.allow_http,
        hosts: config.outbound.hosts.clone(),
        ca_pem,
        configured,
        dns: config.outbound.dns,
        proxy: config.outbound.proxy.clone(),
        watcher: None,
    };
    Ok(Outbound::new(settings).map_err(Exit::usage)?.for_strangers())
}

/// A whole authorization server, its declared accounts and clients in line.
pub async fn server(config: &Config) -> Result<Server, Exit> {
    let location = location(config, "store", &config.store)?;
    let key = match &location {
        Location::Memory => jose::ambient::random(&SystemRandomness),
        location => read_key_file(config, &SystemRandomness, &[Sealed { location, schema: store::NAME }]).await?,
    };
    let store = open_store(&location, store::NAME).await?;
    server_with(config, store, key, mailer(config)?, Arc::new(SystemClock), Arc::new(SystemRandomness)).await
}

/// By whom mail leaves: a submission server, or the outbox.
pub(crate) fn mailer(config: &Config) -> Result<Arc<dyn Mailer>, Exit> {
    Ok(match &config.mail {
        Some(mail) => Arc::new(Submission::new(config, mail)?),
        None => {
            let (folder, server) = (config.path(&config.server.data_dir).join("outbox"), &config.server);
            Arc::new(Outbox::new(folder, &server.name, &server.issuer))
        }
    })
}

/// The same with its ambient handed in.
pub async fn server_with(
    config: &Config,
    store: Store,
    key: [u8; 32],
    mailer: Arc<dyn Mailer>,
    clock: Arc<dyn Clock>,
    randomness: Arc<dyn Randomness>,
) -> Result<Server, Exit> {
    refuse_the_past(&store, &*clock).await?;
    // of several that start at once, one after the other brings things in line
    let _turn = store.take_turn().await.map_err(Exit::failed)?;
    let shared = Arc::new(store.clone());
    let with_consequences = Consequences {
        reads: shared.clone(),
        store: shared.clone(),
        clock: clock.clone(),
        randomness: randomness.clone(),
        issuer: config.server.issuer.as_str().to_owned(),
    };
    let keys = Keys::new(key).map_err(Exit::failed)?;
    keys.load(&store, &*clock, &*randomness).await.map_err(Exit::failed)?;
    store.note_issuer(&config.server.issuer, clock.now()).await.map_err(Exit::failed)?;
    let settings = identity_settings(config)?;
    let identity = Identity::new(settings, Arc::new(with_consequences), clock, randomness, keys, outbound(config, &[])?);
    let identity = Arc::new(identity.with_upstream(crate::upstream::of(config)?));
    declared::declare(config, &[], &identity).await?;
    let authorization_server = Arc::new(AuthorizationServer::new(uma_settings(config)?, identity.clone(), shared, mailer));
    Ok(Server { app: Arc::new(App::new(identity, authorization_server, config.server.name.clone())), store })
}

/// What the operator sets of the provider.
pub(crate) fn identity_settings(config: &Config) -> Result<identity::Settings, Exit> {
    Ok(identity::Settings {
        issuer: config.server.issuer.as_str().into(),
        access_token_lifetime: config.assessment.access_token_lifetime,
        refresh_token_lifetime: config.assessment.refresh_token_lifetime,
        login_attempts_per_minute: config.limits.login_attempts_per_minute,
        requests_per_minute_per_client: config.limits.requests_per_minute_per_client,
        open_registration: true,
        software_statement_issuers: statement_issuers(config)?,
    })
}

/// A store that has served a later time than now shows is not served: spent secrets would be alive
/// again (threat 35).
async fn refuse_the_past(store: &Store, clock: &dyn Clock) -> Result<(), Exit> {
    let latest = store.latest_served().await.map_err(Exit::failed)?;
    if let Some(restored) = store.restored().filter(|restored| clock.now().plus(clock_watch::BEHIND) < restored.at) {
        return Err(Exit::failed(clock_watch::explain_restored(restored.at)));
    }
    match latest {
        Some(latest) if clock.now().plus(clock_watch::BEHIND) < latest => Err(Exit::failed(clock_watch::explain(latest))),
        _ => Ok(()),
    }
}

fn keys_of(config: &Config, issuer: &TrustedIssuerConfig) -> Result<IssuerKeys, Exit> {
    match (&issuer.jwks_file, &issuer.jwks_uri) {
        (Some(file), _) => Ok(IssuerKeys::Known(read_jwks(config, &issuer.issuer, file)?)),
        (None, uri) => Ok(IssuerKeys::At(uri.clone().unwrap_or_default())),
    }
}

fn statement_issuers(config: &Config) -> Result<BTreeMap<Issuer, IssuerKeys>, Exit> {
    let trusted = config.trusted_issuer.iter().filter(|issuer| issuer.software_statements);
    trusted.map(|issuer| Ok((Issuer::new(&*issuer.issuer), keys_of(config, issuer)?))).collect()
}

pub(crate) fn uma_settings(config: &Config) -> Result<Settings, Exit> {
    let assessment = &config.assessment;
    let mut trusted_issuers = BTreeMap::new();
    for issuer in &config.trusted_issuer {
        let keys = keys_of(config, issuer)?;
        let domains = issuer.email_domains.iter().map(|domain| match domain.as_str() {
            "*" => Some("*".to_owned()),
            domain => types::email::normalize_domain(domain),
        });
        let email_domains = domains
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| Exit::usage(format!("[[trusted_issuer]] `{}`: email_domains must be domains", issuer.issuer)))?;
        let trust = rules::claim::Trust {
            issuer: issuer.issuer.as_str().into(),
            claims: issuer.claims.iter().cloned().collect(),
            email_domains,
        };
        trusted_issuers.insert(trust.issuer.clone(), TrustedIssuer { trust, keys });
    }
    Ok(Settings {
        partial_grants: assessment.partial_grants,
        ticket_lifetime: assessment.ticket_lifetime,
        rpt_lifetime: assessment.rpt_lifetime,
        pct_lifetime: assessment.pct_lifetime,
        poll_interval: assessment.poll_interval,
        no_policy: assessment.no_policy,
        request_lifetime: assessment.request_lifetime,
        claim_token_max_age: assessment.claim_token_max_age,
        revoke_on_ticket_replay: assessment.revoke_on_ticket_replay,
        extensions: config.profiles.extensions,
        trusted_issuers,
    })
}

fn read_jwks(config: &Config, issuer: &str, file: &str) -> Result<KeySet, Exit> {
    let place = config.path(file);
    let wrong = |error: &dyn std::fmt::Display| {
        Exit::usage(format!("[[trusted_issuer]] `{issuer}`: jwks_file: {}: {error}", place.display()))
    };
    let key = format!("[[trusted_issuer]] `{issuer}`: jwks_file");
    let bytes = std::fs::read(&place).map_err(|error| config.unread(&key, file, &error))?;
    let set: serde_json::Value = types::json::parse_hidden(&bytes).map_err(|error| wrong(&error))?;
    KeySet::readable(&set).map_err(|error| wrong(&error))
}
