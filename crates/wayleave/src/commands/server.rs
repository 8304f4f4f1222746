//! `wayleave server`: the authorization server, its sweeper and its admin listener.

pub mod admin;

use crate::config::Config;
use crate::metrics::Metrics;
use crate::serve::{Connections, Reception, Stop, acceptor, bind, serve};
use crate::serving::Serving;
use crate::{Exit, assemble, say};
use admin::Admin;
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
    let _serving = Serving::begin(assemble::store_file(config, &config.store.url))?;
    let server = assemble::server(config).await?;
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    let listener =
        bind(&config.server.listen, false).await.map_err(|error| Exit::failed(format!("{}: {error}", config.server.listen)))?;
    let mut tasks = vec![tokio::spawn(keep_house(server.app.clone(), server.store.clone(), stop.clone()))];
    let metrics = Arc::new(Metrics::below(server.app.base()));
    let admin = Admin { app: server.app.clone(), store: server.store.clone(), metrics: metrics.clone(), token };
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
    serve(listener, web::site(server.app), reception, stop).await;
    for task in tasks {
        let _ = task.await;
    }
    Ok(())
}

/// SHA-256 of the token of `server.admin_token_file`, if there is one.
fn admin_token(config: &Config) -> Result<Option<[u8; 32]>, Exit> {
    let Some(token) = config.secret(None, config.server.admin_token_file.as_ref())? else { return Ok(None) };
    if token.trim().len() < SHORTEST_TOKEN {
        return Err(Exit::usage(format!("server.admin_token_file: the token must have at least {SHORTEST_TOKEN} characters")));
    }
    Ok(Some(jose::digest::sha256(&[token.trim().as_bytes()])))
}

/// Sweeps, and notices keys that `wayleave key rotate` made.
pub async fn keep_house(app: Arc<App>, store: Store, mut stop: Stop) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut reload = tokio::time::interval(RELOAD);
    let mut digest = tokio::time::interval(DIGEST);
    let mut seal = tokio::time::interval(SEAL);
    let uma = &app.authorization_server;
    if let Err(error) = uma.seal_left_over_events().await {
        tracing::error!(%error, "events could not be sealed");
    }
    let identity = &app.identity;
    loop {
        tokio::select! {
            _ = sweep.tick() => {
                if let Err(error) = store.sweep(identity.now()).await {
                    tracing::error!(%error, "sweeping failed");
                }
                if let Err(error) = identity.sweep_registrations().await {
                    tracing::error!(%error, "unused registrations could not be ended");
                }
                if let Err(error) = uma.tend_access_requests().await {
                    tracing::error!(%error, "requests that ran out could not be ended");
                }
            },
            _ = digest.tick() => {
                if let Err(error) = uma.send_searches().await {
                    tracing::error!(%error, "searches could not be sent");
                }
                if let Err(error) = uma.send_digests().await {
                    tracing::error!(%error, "digests could not be sent");
                }
            },
            _ = reload.tick() => if let Err(error) = identity.keys.load(&*identity.store, &*identity.clock, &*identity.randomness).await {
                tracing::error!(%error, "keys could not be read");
            },
            _ = seal.tick() => {
                if let Err(error) = uma.seal_events().await {
                    tracing::error!(%error, "events could not be sealed");
                }
                if let Err(error) = uma.send_notices().await {
                    tracing::error!(%error, "managers could not be told");
                }
            },
            () = stop.wait() => return,
        }
    }
}

/// Where `/healthz` and its kin are. The usual port may be another server's: that is said, and no
/// reason not to run; a port that was asked for is one.
async fn admin_listener(config: &Config) -> Result<Option<TcpListener>, Exit> {
    let asked = config.server.admin_listen.as_deref();
    match (bind(asked.unwrap_or(USUAL_ADMIN), false).await, asked) {
        (Ok(listener), _) => Ok(Some(listener)),
        (Err(error), Some(address)) => Err(Exit::failed(format!("admin_listen {address}: {error}"))),
        (Err(error), None) => {
            tracing::warn!(%error, "nothing is served at {USUAL_ADMIN}: set server.admin_listen");
            Ok(None)
        }
    }
}
