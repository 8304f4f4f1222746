//! `wayleave gateway`.

use crate::assemble::Sealed;
use crate::commands::thumbnail;
use crate::config::{Config, GatewayConfig};
use crate::log_in::{self, LogIn};
use crate::serve::{Reception, Stop, serve};
use crate::serving::Serving;
use crate::{Exit, assemble, listening, say};
use client::{Client, Credentials};
use database::Location;
use jose::{Clock, SystemClock, SystemRandomness};
use resource_server::gateway::{
    self, Behind, By, Check, Gateway, Management, OwnLogIn, PatBy, Route, Settings, Store, StoreError, Trust,
};
use resource_server::matching::{Csv, Matching, Records, Source, Sql};
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

/// Seconds between looks at what is on its way.
const TEND: Duration = Duration::from_secs(5);
/// Seconds between lines of the history.
const WRITE: Duration = Duration::from_secs(1);

/// Runs until told to stop. At SIGHUP it takes the routes of the configuration anew, without a pause; what does not
/// work is said in the log, and the old routes stay.
pub async fn run(config: &Config, reload: impl Fn() -> Result<Config, Exit> + Send + 'static) -> Result<(), Exit> {
    let section = config.gateway.as_ref().ok_or_else(|| config.missing("gateway"))?;
    super::looks::log(config);
    let serving = Serving::begin(assemble::store_file(config, section.store_url()))?.map(Arc::new);
    serving.iter().try_for_each(|serving| serving.refuse_the_past(SystemClock.now()))?;
    let log_in = match section.management {
        None if !config.account.is_empty() => Some(Arc::new(LogIn::open(config, section).await?)),
        _ => None,
    };
    let gateway = assemble_gateway(config, section, log_in.clone()).await?;
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    serving.iter().for_each(|serving| serving.clone().note_times(stop.clone()));
    let listener = listening::listen("gateway.listen", &section.listen).await?;
    let mut hangups = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::hangup()).map_err(Exit::failed)?;
    let reloading = gateway.clone();
    tokio::spawn(async move {
        while hangups.recv().await.is_some() {
            match reload().and_then(|config| routes_of(&config)) {
                Ok(routes) => {
                    tracing::info!(count = routes.len(), "other routes from now on");
                    reloading.replace_routes(routes);
                }
                Err(Exit::Failed(what) | Exit::Usage(what)) => tracing::error!(what, "the routes stay as they were"),
            }
        }
    });
    let house = tokio::spawn(keep_house(gateway.clone(), stop.clone()));
    gateway.wait_for_new_proofs().await;
    say::ready(&section.resource);
    for owner in gateway.list_unlinked().await {
        let name: String = form_urlencoded::byte_serialize(owner.as_bytes()).collect();
        say::line(&format!("not linked yet: {owner}: {}/.wayleave/link?owner={name}", section.resource));
    }
    let ended = gateway.clone();
    let sure = gateway.clone();
    let site = log_in::before(log_in, crate::alone::while_sure(gateway.router(), move || sure.is_sure()));
    let reception = Reception::of_gateway(section.trusted_proxies.clone());
    let is_taken_over = tokio::select! {
        () = serve(listener, site, reception, stop) => false,
        () = ended.is_taken_over() => true,
    };
    if is_taken_over {
        house.abort();
    }
    let _ = house.await;
    // the last calls may have begun some
    ended.end_renewals().await;
    ended.leave_store().await;
    if is_taken_over { Err(Exit::failed("another process serves this gateway's store now: this one stops")) } else { Ok(()) }
}

/// The routes that a configuration has now.
fn routes_of(config: &Config) -> Result<Vec<Route>, Exit> {
    let section = config.gateway.as_ref().ok_or_else(|| config.missing("gateway"))?;
    section.routes().map_err(|fault| Exit::usage(fault.to_string()))
}

async fn open_store(config: &Config, section: &GatewayConfig) -> Result<Store, Exit> {
    let location = assemble::location(config, "gateway.store", &section.store())?;
    if location == Location::Memory {
        return Ok(Store::in_memory());
    }
    let sealed = is_sealed(&location)?.then_some(Sealed { location: &location, schema: gateway::NAME });
    let key = assemble::read_key_file(config, &SystemRandomness, sealed.as_slice()).await?;
    location.file().map_or(Ok(()), |file| assemble::make_folder(file))?;
    let store = Store::open(&location, &key).await.map_err(|error| unopened(config, &error))?;
    describe_left(section, &store).await.into_iter().for_each(|line| tracing::warn!("{line}"));
    Ok(store)
}

/// Whether a gateway's store has a key: as a file of before it had none, and then none is missing.
pub(crate) fn is_sealed(location: &Location) -> Result<bool, Exit> {
    location.file().map_or(Ok(true), |file| Store::is_sealed(file).map_err(Exit::failed))
}

fn unopened(config: &Config, error: &StoreError) -> Exit {
    match error {
        StoreError::Key(error) => Exit::failed(format!("{}: {error}", assemble::key_file(config).display())),
        other => Exit::failed(other),
    }
}

/// A line for each authorization server that owners have linked here and that the operator's list names no more.
async fn describe_left(section: &GatewayConfig, store: &Store) -> Vec<String> {
    if section.trust() != Ok(Trust::List) {
        return Vec::new();
    }
    let found = store.list_servers_but(&section.authorization_servers).await;
    let left = found.unwrap_or_else(|error| {
        tracing::warn!(error, "which servers owners have linked cannot be read");
        Vec::new()
    });
    let line = |issuer: String| {
        format!(
            "authorization_servers names `{issuer}` no more, and owners have linked it: with `trust = list` it guards nothing, \
             and what it guarded is closed until they register it elsewhere"
        )
    };
    left.into_iter().map(line).collect()
}

/// The same before a start, where the store is there.
pub(super) async fn list_left(config: &Config) -> Vec<String> {
    let Some(section) = &config.gateway else { return Vec::new() };
    let Some(file) = assemble::store_file(config, section.store_url()).filter(|file| file.exists()) else { return Vec::new() };
    let store = match assemble::find_key(config) {
        Ok(Some(key)) => Store::open_if_current(&file, &key).await.map_err(|error| unopened(config, &error)),
        Ok(None) => is_sealed(&Location::File(file)).and_then(|is_sealed| match is_sealed {
            true => Err(Exit::failed(format!("{} is not there", assemble::key_file(config).display()))),
            false => Ok(None),
        }),
        Err(error) => Err(error),
    };
    match store {
        Ok(Some(store)) => describe_left(section, &store).await,
        Ok(None) => Vec::new(),
        Err(Exit::Failed(what) | Exit::Usage(what)) => vec![format!("which servers owners have linked cannot be said: {what}")],
    }
}

/// A gateway of a configuration.
pub async fn assemble_gateway(
    config: &Config,
    section: &GatewayConfig,
    log_in: Option<Arc<LogIn>>,
) -> Result<Arc<Gateway>, Exit> {
    let store = open_store(config, section).await?;
    let behind = match (&section.folder, &section.upstream) {
        (Some(folder), _) => Behind::Folder(find_folder(config, folder)?),
        (None, upstream) => Behind::Upstream(upstream.clone().unwrap_or_default()),
    };
    let settings = Settings {
        resource: section.resource.clone(),
        name: section.name.clone().unwrap_or_else(|| section.client_id.clone()),
        behind,
        authorization_servers: section.authorization_servers.clone(),
        pat: match section.pat.as_str() {
            "client_credentials" => PatBy::ClientCredentials,
            "server" => PatBy::ServerLevel,
            _ => PatBy::Code,
        },
        check: if section.check == "offline" { Check::Offline } else { Check::Introspect },
        trust: section.trust().map_err(Exit::usage)?,
        management: match &section.management {
            Some(by) => Some(Management { issuer: by.issuer.clone(), owner_claim: by.owner_claim.clone() }),
            None => log_in
                .as_ref()
                .map(|_| Management { issuer: LogIn::issuer_of(&section.resource), owner_claim: "preferred_username".into() }),
        },
        owner_claim: section.owner_claim.clone(),
        routes: section.routes().map_err(|fault| Exit::usage(fault.to_string()))?,
        uploads: section.uploads.limits(),
        pass_headers: section.pass_headers.clone(),
        cors_origins: section.cors.origins.clone(),
        forward_auth: section.forward_auth.as_ref().map(|asked| asked.family()).transpose().map_err(Exit::usage)?,
        content_origin: section.content_origin.clone(),
        thumbnails: section.folder.as_ref().map(|_| config.path(&config.server.data_dir).join("thumbnails")),
        thumbnail_command: thumbnail::command(),
    };
    let client = Client {
        outbound: assemble::outbound(config, &[])?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials {
            client_id: section.client_id.clone(),
            secret: config.secret(
                "gateway.client_secret",
                section.client_secret.as_ref(),
                section.client_secret_file.as_ref(),
            )?,
            key: None,
        },
        dpop_key: None,
    };
    let own_log_in = log_in.map(|log_in| log_in as Arc<dyn OwnLogIn>);
    let by = By { own_log_in, matching: matching(config, section)?, browser_client: browser_client(config, section)? };
    Gateway::open(settings, client, store, by).await.map_err(Exit::failed)
}

/// The folder that is served. One that is not there, or is no folder, would answer every call with *not found*.
fn find_folder(config: &Config, folder: &str) -> Result<PathBuf, Exit> {
    let place = config.path(folder);
    match std::fs::read_dir(&place) {
        Ok(_) => config.keep_apart("gateway.folder", &place).map(|()| place),
        Err(error) => {
            let place = std::path::absolute(&place).unwrap_or(place);
            Err(Exit::usage(format!("gateway.folder: {}: {error}: name a folder that can be read", place.display())))
        }
    }
}

/// What a start reads beside the configuration itself: secrets, records, the folder.
pub(super) fn check(config: &Config, section: &GatewayConfig) -> Result<(), Exit> {
    if let Some(folder) = &section.folder {
        find_folder(config, folder)?;
    }
    assemble::location(config, "gateway.store", &section.store())?;
    config.secret("gateway.client_secret", section.client_secret.as_ref(), section.client_secret_file.as_ref())?;
    browser_client(config, section)?;
    matching(config, section).map(drop)
}

/// The client of `[gateway.browser]`.
fn browser_client(config: &Config, section: &GatewayConfig) -> Result<Option<Credentials>, Exit> {
    let Some(browser) = &section.browser else { return Ok(None) };
    let secret =
        config.secret("gateway.browser.client_secret", browser.client_secret.as_ref(), browser.client_secret_file.as_ref())?;
    Ok(Some(Credentials { client_id: browser.client_id.clone(), secret, key: None }))
}

/// The records of `[gateway.discovery]`.
fn matching(config: &Config, section: &GatewayConfig) -> Result<Option<Arc<dyn Matching>>, Exit> {
    let Some(discovery) = &section.discovery else { return Ok(None) };
    let source: Arc<dyn Source> = match (&discovery.csv, &discovery.sqlite) {
        (Some(file), _) => {
            let wrong = |error: &dyn std::fmt::Display| Exit::usage(format!("gateway.discovery.csv: {file}: {error}"));
            let text = std::fs::read_to_string(config.path(file)).map_err(|error| wrong(&error))?;
            Arc::new(Csv::parse(&text).map_err(|error| wrong(&error))?)
        }
        (None, file) => {
            let file = config.path(file.as_deref().unwrap_or_default());
            let sql = Sql { file, query: discovery.query.clone().unwrap_or_default() };
            // a query that cannot work is told now, and not to the first who is looked for
            sql.candidates(&BTreeMap::new()).map_err(|error| Exit::usage(format!("gateway.discovery: {error}")))?;
            Arc::new(sql)
        }
    };
    Ok(Some(Arc::new(Records(source))))
}

/// Goes on with what is on its way, and writes the history.
pub async fn keep_house(gateway: Arc<Gateway>, mut stop: Stop) {
    let (mut tend, mut write) = (tokio::time::interval(TEND), tokio::time::interval(WRITE));
    loop {
        tokio::select! {
            // where another may have the store this one does nothing in its name
            _ = tend.tick() => if gateway.is_sure() { gateway.tend().await },
            _ = write.tick() => if gateway.is_sure() { gateway.write_history().await },
            () = stop.wait() => break,
        }
    }
    gateway.close().await;
    gateway.write_history().await;
}
