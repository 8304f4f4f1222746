//! `wayleave manager`.

use crate::config::{Config, ManagerConfig};
use crate::log_in::{self, LogIn};
use crate::serve::{Reception, Stop, serve};
use crate::serving::Serving;
use crate::{Exit, assemble, listening, say};
use client::{Client, Credentials};
use database::Location;
use jose::seal::SealingKey;
use jose::{Clock, SystemClock, SystemRandomness};
use relationship_manager::{Manager, Settings, Store};
use std::sync::Arc;
use std::time::Duration;

/// Seconds between looks at what is on its way.
const TEND: Duration = Duration::from_secs(1);

/// Runs until told to stop.
pub async fn run(config: &Config) -> Result<(), Exit> {
    let section = config.manager.as_ref().ok_or_else(|| config.missing("manager"))?;
    super::looks::log(config);
    let serving = Serving::begin(assemble::store_file(config, section.store_url()))?.map(Arc::new);
    serving.iter().try_for_each(|serving| serving.refuse_the_past(SystemClock.now()))?;
    let log_in = if section.is_built_in() { Some(Arc::new(LogIn::of_manager(config, section).await?)) } else { None };
    let manager = assemble_manager(config, section).await?;
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    serving.iter().for_each(|serving| serving.clone().note_times(stop.clone()));
    let listener = listening::listen("manager.listen", &section.listen).await?;
    let house = tokio::spawn(keep_house(manager.clone(), stop.clone()));
    say::ready(&section.url);
    let (router, sure) = (relationship_manager::router(manager.clone()), manager.clone());
    let site = log_in::before(log_in, crate::alone::while_sure(router, move || sure.is_sure()));
    let reception = Reception::behind(section.trusted_proxies.clone());
    let is_taken_over = tokio::select! {
        () = serve(listener, site, reception, stop) => false,
        () = manager.is_taken_over() => true,
    };
    if is_taken_over {
        house.abort();
        manager.close();
    }
    let _ = house.await;
    manager.end_renewals().await;
    manager.leave_store().await;
    if is_taken_over { Err(Exit::failed("another process serves this desk's store now: this one stops")) } else { Ok(()) }
}

/// What a start reads beside the configuration itself.
pub(super) fn check(config: &Config, section: &ManagerConfig) -> Result<(), Exit> {
    assemble::location(config, "manager.store", &section.store())?;
    config.secret("manager.client_secret", section.client_secret.as_ref(), section.client_secret_file.as_ref()).map(drop)
}

/// A manager of a configuration.
pub async fn assemble_manager(config: &Config, section: &ManagerConfig) -> Result<Arc<Manager>, Exit> {
    let location = assemble::location(config, "manager.store", &section.store())?;
    let key = match &location {
        Location::Memory => jose::ambient::random(&SystemRandomness),
        location => {
            let sealed = assemble::Sealed { location, schema: relationship_manager::NAME };
            assemble::read_key_file(config, &SystemRandomness, &[sealed]).await?
        }
    };
    location.file().map_or(Ok(()), |file| assemble::make_folder(file))?;
    let store = Store::open(&location, relationship_manager::NAME, sealing(&key)?).await.map_err(Exit::failed)?;
    let login = if section.is_built_in() { LogIn::issuer_of(&section.url) } else { section.login.clone() };
    let secret = config.secret("manager.client_secret", section.client_secret.as_ref(), section.client_secret_file.as_ref())?;
    let login_client = match &section.client_id {
        Some(id) => Some(Credentials { client_id: id.clone(), secret, key: None }),
        None => section.is_built_in().then(|| Credentials::public(log_in::MANAGER)),
    };
    let client = Client {
        outbound: assemble::outbound(config, std::slice::from_ref(&login))?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::none(),
        dpop_key: None,
    };
    let settings = Settings { url: section.url.clone(), name: section.name.clone(), login };
    Manager::open(settings, client, login_client, store).await.map_err(Exit::failed)
}

fn sealing(key: &[u8; 32]) -> Result<SealingKey, Exit> {
    SealingKey::new(key).map_err(Exit::failed)
}

/// Goes on with what is on its way.
pub async fn keep_house(manager: Arc<Manager>, mut stop: Stop) {
    let mut tend = tokio::time::interval(TEND);
    tend.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = tend.tick() => if manager.is_sure() { manager.tend().await },
            () = stop.wait() => {
                manager.close();
                break;
            }
        }
    }
}
