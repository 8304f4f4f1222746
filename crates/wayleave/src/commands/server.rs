//! `wayleave server`: the authorization server, its sweeper and its admin listener.

use crate::config::Config;
use crate::serve::{Stop, bind, serve};
use crate::{Exit, assemble, say};
use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use std::sync::Arc;
use std::time::Duration;
use store::Store;
use web::App;

/// Seconds between sweeps.
const SWEEP: Duration = Duration::from_secs(30);
/// Seconds after which rotated keys of another process are noticed.
const RELOAD: Duration = Duration::from_secs(10);

/// Runs until told to stop.
pub async fn run(config: &Config) -> Result<(), Exit> {
    let server = assemble::server(config).await?;
    let stop = Stop::at_signal().map_err(Exit::failed)?;
    let listener =
        bind(&config.server.listen, false).await.map_err(|error| Exit::failed(format!("{}: {error}", config.server.listen)))?;
    let mut tasks = vec![tokio::spawn(keep_house(server.app.clone(), server.store.clone(), stop.clone()))];
    if let Some(address) = &config.server.admin_listen {
        let admin = bind(address, false).await.map_err(|error| Exit::failed(format!("admin_listen {address}: {error}")))?;
        tasks.push(tokio::spawn(serve(admin, admin_router(server.store.clone(), server.app.clone()), Vec::new(), stop.clone())));
    }
    say::ready(&config.server.issuer);
    serve(listener, web::router(server.app), config.server.trusted_proxies.clone(), stop).await;
    for task in tasks {
        let _ = task.await;
    }
    Ok(())
}

/// Sweeps, and notices keys that `wayleave key rotate` made.
pub async fn keep_house(app: Arc<App>, store: Store, mut stop: Stop) {
    let mut sweep = tokio::time::interval(SWEEP);
    let mut reload = tokio::time::interval(RELOAD);
    let identity = &app.identity;
    loop {
        tokio::select! {
            _ = sweep.tick() => if let Err(error) = store.sweep(identity.now()).await {
                tracing::error!(%error, "sweeping failed");
            },
            _ = reload.tick() => if let Err(error) = identity.keys.load(&*identity.store, &*identity.clock, &*identity.randomness).await {
                tracing::error!(%error, "keys could not be read");
            },
            () = stop.wait() => return,
        }
    }
}

/// `/healthz`: the process answers. `/readyz`: the store answers. `/metrics`: for Prometheus.
fn admin_router(store: Store, app: Arc<App>) -> Router {
    async fn ready(State((store, _)): State<(Store, Arc<App>)>) -> (StatusCode, &'static str) {
        match store.latest_served() {
            Ok(_) => (StatusCode::OK, "ready\n"),
            Err(_) => (StatusCode::SERVICE_UNAVAILABLE, "the store does not answer\n"),
        }
    }
    Router::new()
        .route("/healthz", get(async || "ok\n"))
        .route("/readyz", get(ready))
        .route("/metrics", get(async || "# TYPE wayleave_up gauge\nwayleave_up 1\n"))
        .with_state((store, app))
}
