//! The accept loop: HTTP/1.1 and HTTP/2, header time-outs, peer addresses, graceful end.

use axum::Router;
use axum::body::Body;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tower::{Service, ServiceExt};
use web::PeerAddress;

/// A client that takes longer to send its headers is let go.
const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// How long requests in flight have at the end.
const GRACE: Duration = Duration::from_secs(8);

/// Ends everything that listens to it.
#[derive(Clone)]
pub struct Stop(watch::Receiver<bool>);

impl Stop {
    /// Stops when the process is told to (SIGTERM, SIGINT).
    pub fn at_signal() -> std::io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};
        let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
        let (stop, stopped) = watch::channel(false);
        tokio::spawn(async move {
            tokio::select! { _ = term.recv() => {}, _ = int.recv() => {} }
            let _ = stop.send(true);
        });
        Ok(Self(stopped))
    }

    /// A stop in the program's own hand.
    pub fn by_hand() -> (watch::Sender<bool>, Self) {
        let (stop, stopped) = watch::channel(false);
        (stop, Self(stopped))
    }

    /// Waits for it; a lost sender stops too.
    pub async fn wait(&mut self) {
        while !*self.0.borrow() {
            if self.0.changed().await.is_err() {
                return;
            }
        }
    }
}

/// Listens where it may; with the preferred port taken, and only then, on any free one.
pub async fn bind(preferred: &str, or_any: bool) -> std::io::Result<TcpListener> {
    match TcpListener::bind(preferred).await {
        Err(error) if or_any && error.kind() == std::io::ErrorKind::AddrInUse => {
            let ip = preferred.parse::<SocketAddr>().map(|address| address.ip()).unwrap_or(IpAddr::from([127, 0, 0, 1]));
            TcpListener::bind((ip, 0)).await
        }
        other => other,
    }
}

/// Serves until told to stop, then lets what is in flight end.
pub async fn serve(listener: TcpListener, router: Router, trusted_proxies: Vec<IpAddr>, mut stop: Stop) {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(64 * 1024);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128).keep_alive_interval(Some(Duration::from_secs(20)));
    let graceful = GracefulShutdown::new();
    let trusted = Arc::new(trusted_proxies);
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = stop.wait() => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // out of descriptors, say: others may end meanwhile
                tracing::warn!(%error, "a connection was not accepted");
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let (router, trusted) = (router.clone(), trusted.clone());
        let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
            let mut request = request.map(Body::new);
            let address = client_address(peer.ip(), request.headers(), &trusted);
            request.extensions_mut().insert(PeerAddress(address));
            let mut router = router.clone();
            async move { router.as_service().ready().await?.call(request).await }
        });
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), TowerToHyperService::new(service)).into_owned();
        let watched = graceful.watch(connection);
        tokio::spawn(async move {
            if let Err(error) = watched.await {
                tracing::debug!(%error, "a connection ended");
            }
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end");
    }
}

/// Forwarding headers are believed from trusted proxies only: the last address that is none of them.
fn client_address(peer: IpAddr, headers: &http::HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    if !trusted.contains(&peer) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().filter_map(|value| value.to_str().ok());
    let chain: Vec<IpAddr> = forwarded.flat_map(|list| list.split(',')).filter_map(|one| one.trim().parse().ok()).collect();
    chain.into_iter().rev().find(|address| !trusted.contains(address)).unwrap_or(peer)
}
