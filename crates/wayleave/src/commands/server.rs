//! `wayleave server`: the authorization server, its sweeper and its admin listener.

pub mod admin;

use crate::clock_watch::ClockWatch;
use crate::config::Config;
use crate::metrics::Metrics;
use crate::serve::{Connections, Reception, Stop, acceptor, bind, serve};
use crate::serving::Serving;
use crate::{Exit, assemble, listening, say};
use admin::Admin;
use identity::{Failure, Identity};
use jose::SystemClock;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use tokio::net::TcpListener;
use web::App;

/// Where the admin listener is, unless the configuration says otherwise.
const USUAL_ADMIN: &str = "127.0.0.1:8081";
/// An admin token that could be guessed, or is none at all, opens nothing.
const SHORTEST_TOKEN: usize = 16;
/// Seconds between sweeps.
const SWEEP: Duration = Duration::from_secs(30);
/// Events are sealed at least once a second.
const SEAL: Duration = Duration::from_millis(500);
/// How often it is looked whether a digest is due.
const DIGEST: Duration = Duration::from_secs(5);
/// Seconds after which rotated keys of another process are noticed.
const RELOAD: Duration = Duration::from_secs(10);

/// Runs until told to stop.
pub async fn run(config: &Config) -> Result<(), Exit> {
    let token = admin_token(config)?;
    super::looks::log(config);
    let _serving = Serving::begin(assemble::location(config, "store", &config.store)?.file().cloned())?;
    let server = assemble::server(config).await?;
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    let listener = listening::listen("server.listen", &config.server.listen).await?;
    let served = server.store.latest_served().await.map_err(Exit::failed)?;
    let watch = Arc::new(ClockWatch::new(Arc::new(SystemClock), served));
    let mut tasks = vec![tokio::spawn(keep_house(server.app.clone(), server.store.clone(), watch.clone(), stop.clone()))];
    let metrics = Arc::new(Metrics::below(server.app.base()));
    let (app, store, clock) = (server.app.clone(), server.store.clone(), watch.clone());
    let admin = Admin { app, store, clock, metrics: metrics.clone(), token };
    if let Some(listener) = admin_listener(config).await? {
        let connections = Connections::of_administration();
        let reception = Reception { connections, ..Reception::behind(Vec::new()) };
        tasks.push(tokio::spawn(serve(listener, admin::router(admin.clone()), reception, stop.clone())));
    }
    match admin::listen(&config.path(&config.server.data_dir)) {
        Ok((socket, place)) => tasks.push(tokio::spawn(admin::serve_socket(socket, place, admin, stop.clone()))),
        // the server serves without it: a path may be too long for a socket, a folder read-only
        Err(error) => tracing::warn!(%error, "there is no {} in {}", admin::SOCKET, config.server.data_dir),
    }
    let tls = match &config.server.tls {
        Some(tls) => Some(acceptor(config, tls).map_err(Exit::usage)?),
        None => None,
    };
    say::ready(&config.server.issuer);
    let (uma, mut stopping) = (server.app.authorization_server.clone(), stop.clone());
    tasks.push(tokio::spawn(async move {
        stopping.wait().await;
        uma.close();
    }));
    let reception = Reception { tls, metrics: Some(metrics), ..Reception::behind(config.server.trusted_proxies.clone()) };
    serve(listener, watch.before(web::site(server.app)), reception, stop).await;
    for task in tasks {
        let _ = task.await;
    }
    Ok(())
}

/// SHA-256 of the token of `server.admin_token_file`, if there is one.
pub(super) fn admin_token(config: &Config) -> Result<Option<[u8; 32]>, Exit> {
    let Some(token) = config.secret("server.admin_token", None, config.server.admin_token_file.as_ref())? else {
        return Ok(None);
    };
    if token.trim().len() < SHORTEST_TOKEN {
        return Err(Exit::usage(format!("server.admin_token_file: the token must have at least {SHORTEST_TOKEN} characters")));
    }
    Ok(Some(jose::digest::sha256(&[token.trim().as_bytes()])))
}

/// What is done beside all calls. Each job goes on its own, one run of it at a time, so that none waits for whom another one
/// waits for; and all of them end when the server is told to stop, whatever they wait for (threat 46).
/// What ends by the clock is ended for good as long as the clock goes as time does (threat 35). Of several that serve one store
/// the first does what is done once for all; what a server has in memory alone - digests, notices, crowds - each does itself.
pub async fn keep_house(app: Arc<App>, store: Store, watch: Arc<ClockWatch>, stop: Stop) {
    let (uma, identity) = (&app.authorization_server, &app.identity);
    // what several have written waits in the store itself
    if !store.is_shared()
        && let Err(error) = uma.seal_left_over_events().await
    {
        tracing::error!(%error, "events could not be sealed");
    }
    let sweep = repeat("sweeping failed", SWEEP, &stop, async || match store.is_first() {
        true => store.sweep(watch.confirmed()).await,
        false => Ok(()),
    });
    let registrations = repeat("unused registrations could not be ended", SWEEP, &stop, async || {
        if watch.is_steady() && store.is_first() { identity.sweep_registrations().await } else { Ok(()) }
    });
    let requests = repeat("requests that ran out could not be ended", SWEEP, &stop, async || {
        if watch.is_steady() && store.is_first() { uma.tend_access_requests().await } else { Ok(()) }
    });
    let searches = repeat("searches could not be sent", DIGEST, &stop, async || match store.is_first() {
        true => uma.send_searches().await,
        false => Ok(()),
    });
    let digests = repeat("digests could not be sent", DIGEST, &stop, || uma.send_digests());
    let keys = repeat("keys could not be read", RELOAD, &stop, || load_keys(identity));
    let others_keys = take_others_keys(identity, &store, &stop);
    let seals = repeat("events could not be sealed", SEAL, &stop, || uma.seal_events());
    let crowds = repeat("crowds could not be written down", SWEEP, &stop, || uma.tell_crowds());
    let notices = repeat("managers could not be told", SEAL, &stop, || uma.send_notices());
    tokio::join!(sweep, registrations, requests, searches, digests, keys, others_keys, seals, crowds, notices);
}

async fn load_keys(identity: &Identity) -> Result<(), Failure> {
    identity.keys.load(&*identity.store, &*identity.clock, &*identity.randomness).await
}

/// Takes keys up as soon as another server on the same store has changed them.
async fn take_others_keys(identity: &Identity, store: &Store, stop: &Stop) {
    let mut stop = stop.clone();
    loop {
        tokio::select! { () = store.keys_changed() => {}, () = stop.wait() => return }
        if let Err(error) = load_keys(identity).await {
            tracing::error!(%error, "keys that another server changed could not be read");
        }
    }
}

/// Does it again and again until the server stops; the pause begins behind each run.
async fn repeat<Done: Future<Output = Result<(), E>>, E: std::fmt::Display>(
    complaint: &str,
    pause: Duration,
    stop: &Stop,
    job: impl Fn() -> Done,
) {
    let (mut ticks, mut stop) = (tokio::time::interval(pause), stop.clone());
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    let goes_on = async {
        loop {
            ticks.tick().await;
            if let Err(error) = job().await {
                tracing::error!(%error, "{complaint}");
            }
        }
    };
    tokio::select! { () = goes_on => {}, () = stop.wait() => {} }
}

/// Where `/healthz` and its kin are. The usual port may be another server's: that is said, and no
/// reason not to run; a port that was asked for is one.
async fn admin_listener(config: &Config) -> Result<Option<TcpListener>, Exit> {
    let asked = config.server.admin_listen.as_deref();
    match (bind(asked.unwrap_or(USUAL_ADMIN), false).await, asked) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), Some(address)) => Err(Exit::failed(listening::explain("server.admin_listen", address, &error))),
        (Err(error), None) => {
            tracing::info!(
                "server.admin_listen was not set, and its default {USUAL_ADMIN} is taken ({error}): /healthz, /readyz, /metrics and the \
                 administration by token are not served"
            );
            Ok(None)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    /// A job that waits for somebody who never answers keeps no other, and ends with the server.
    #[tokio::test]
    async fn threat_46_s28_a_job_that_hangs_stops_no_other() {
        let ((stop, stopped), count) = (Stop::by_hand(), AtomicU32::new(0));
        let hangs = repeat("it hangs", Duration::from_millis(1), &stopped, std::future::pending::<Result<(), String>>);
        let goes_on = repeat("it fails", Duration::from_millis(1), &stopped, async || {
            if count.fetch_add(1, Ordering::Relaxed) == 3 {
                stop.send_replace(true);
            }
            Err::<(), _>("each time")
        });
        tokio::join!(hangs, goes_on);
        assert!(count.load(Ordering::Relaxed) >= 4);
    }
}
