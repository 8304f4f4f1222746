//! The accept loop: HTTP/1.1 and HTTP/2, header time-outs, peer addresses, graceful end.

mod connections;
mod explained;
mod framing;
mod watched;

use crate::config::{Config, TlsConfig};
use crate::metrics::Metrics;
use axum::body::Body;
use axum::response::Response;
use connections::{Connections, HEADER_TIMEOUT, Place};
use explained::Explained;
use http::Request;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use resource_server::gateway::{Caller, FromTrustedProxy};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use tower::{Service, ServiceExt};
use types::peer::canonical;
use watched::{Carried, Watched};
use web::PeerAddress;

pub use connections::raise_open_files;

/// What happens to many connections is told once in this time.
const TOLD_EVERY: Duration = Duration::from_secs(1);
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

/// For listeners that have an accept loop of their own: what [`serve`] looks at before any party.
pub async fn check_framing(request: Request<Body>, next: axum::middleware::Next) -> Response {
    match framing::check(request) {
        Ok(request) => next.run(request).await,
        Err(refusal) => refusal.answer(),
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

/// Most that is read of a connection at once, which bounds a request's head too.
const READ_AT_ONCE: usize = 64 * 1024;
/// The same where large bodies pass through: fewer and larger pieces.
pub const READ_IN_BULK: usize = 256 * 1024;

/// Serves until told to stop, then lets what is in flight end.
pub async fn serve<S>(
    listener: TcpListener,
    site: S,
    trusted_proxies: Vec<IpAddr>,
    tls: Option<TlsAcceptor>,
    metrics: Option<Arc<Metrics>>,
    stop: Stop,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    serve_reading(listener, site, trusted_proxies, tls, metrics, stop, READ_AT_ONCE).await;
}

/// The same, reading so much at once.
pub async fn serve_reading<S>(
    listener: TcpListener,
    site: S,
    trusted_proxies: Vec<IpAddr>,
    tls: Option<TlsAcceptor>,
    metrics: Option<Arc<Metrics>>,
    mut stop: Stop,
    at_once: usize,
) where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send,
{
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(HEADER_TIMEOUT).max_buf_size(at_once);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(128).keep_alive_interval(Some(Duration::from_secs(20)));
    let graceful = GracefulShutdown::new();
    // a listener of both families sees IPv4 in the clothes of IPv6
    let trusted: Arc<Vec<IpAddr>> = Arc::new(trusted_proxies.into_iter().map(canonical).collect());
    let (open, mut told) = (Connections::new(), Told::default());
    for number in 0.. {
        let accepted = tokio::select! {
            accepted = accept(&listener, &mut told) => accepted,
            () = stop.wait() => break,
        };
        let Some((stream, peer)) = accepted else { continue };
        let peer = canonical(peer.ip());
        let Some(place) = open.admit(number, peer, is_trusted(peer, &trusted), Instant::now()) else {
            told.tell("too many connections are open: one was let go", &peer);
            continue;
        };
        let (site, trusted, metrics, connection) = (site.clone(), trusted.clone(), metrics.clone(), place.connection.clone());
        let service = tower::service_fn(move |request: Request<hyper::body::Incoming>| {
            let under_way = connection.begin();
            let answer = answer_one(site.clone(), request, peer, trusted.clone(), metrics.clone());
            async move { answer.await.map(|answer| answer.map(|body| Carried::new(body, under_way))) }
        });
        let (builder, watcher, tls) = (builder.clone(), graceful.watcher(), tls.clone());
        let service = TowerToHyperService::new(service);
        tokio::spawn(async move {
            let connection = place.connection.clone();
            let Some(stream) = opened(stream, place, tls).await else { return };
            let served = builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
            tokio::select! {
                result = watcher.watch(served) => ended(&result),
                () = connection.is_over() => {}
            }
            connection.is_handed_over();
        });
    }
    drop(listener);
    if tokio::time::timeout(GRACE, graceful.shutdown()).await.is_err() {
        tracing::warn!("requests were still running at the end");
    }
}

/// The next connection, or none where there is something in the way.
async fn accept(listener: &TcpListener, told: &mut Told) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            // out of files, say: others may end meanwhile
            told.tell("a connection was not accepted", &error);
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// What goes over a connection, after TLS where that is spoken.
async fn opened(stream: TcpStream, place: Place, tls: Option<TlsAcceptor>) -> Option<Box<dyn Bytewise>> {
    let Some(tls) = tls else { return Some(Box::new(Watched::new(Explained::new(stream), place))) };
    let stream = tokio::time::timeout(HEADER_TIMEOUT, tls.accept(stream)).await.ok()?.ok()?;
    Some(Box::new(Watched::new(Explained::new(stream), place)))
}

/// What bytes come from and go to.
trait Bytewise: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytewise for T {}

async fn answer_one<S>(
    site: S,
    request: Request<hyper::body::Incoming>,
    peer: IpAddr,
    trusted: Arc<Vec<IpAddr>>,
    metrics: Option<Arc<Metrics>>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    let request = stamped(request.map(Body::new), peer, &trusted);
    let counted = metrics.map(|metrics| (metrics.endpoint(request.uri().path()), metrics, Instant::now()));
    let answer = match framing::check(request) {
        Ok(request) => site.oneshot(request).await,
        Err(refusal) => Ok(refusal.answer()),
    };
    if let (Some((endpoint, metrics, begun)), Ok(answer)) = (counted, &answer) {
        metrics.count(endpoint, answer.status().as_u16(), begun.elapsed());
    }
    answer
}

/// What happens to many connections at once, in one line of the log.
#[derive(Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

impl Told {
    fn tell(&mut self, what: &str, why: &dyn std::fmt::Display) {
        self.untold = self.untold.saturating_add(1);
        if self.last.is_some_and(|last| last.elapsed() < TOLD_EVERY) {
            return;
        }
        tracing::warn!(error = %why, count = self.untold, "{what}");
        (self.last, self.untold) = (Some(Instant::now()), 0);
    }
}

fn ended<E: std::fmt::Display>(result: &Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

/// TLS 1.2 and 1.3 as `[server.tls]` says.
pub fn acceptor(config: &Config, tls: &TlsConfig) -> Result<TlsAcceptor, String> {
    let unreadable = |place: &Path, error: &dyn std::fmt::Display| format!("server.tls: {}: {error}", place.display());
    let certificates = |file: &str| {
        let place = config.path(file);
        let all = CertificateDer::pem_file_iter(&place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        all.map_err(|error| unreadable(&place, &error))
    };
    let chain = certificates(&tls.cert)?;
    let place = config.path(&tls.key);
    let key = PrivateKeyDer::from_pem_file(&place).map_err(|error| unreadable(&place, &error))?;
    let provider = Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_safe_default_protocol_versions().map_err(|error| error.to_string())?;
    let builder = match &tls.client_ca {
        None => builder.with_no_client_auth(),
        Some(file) => {
            let mut roots = RootCertStore::empty();
            for authority in certificates(file)? {
                roots.add(authority).map_err(|error| format!("server.tls.client_ca: {error}"))?;
            }
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).build();
            builder.with_client_cert_verifier(verifier.map_err(|error| format!("server.tls.client_ca: {error}"))?)
        }
    };
    let mut server = builder.with_single_cert(chain, key).map_err(|error| format!("server.tls: {error}"))?;
    server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(TlsAcceptor::from(Arc::new(server)))
}

/// The request with what only the listener knows: who sent it, and whether through a proxy that is believed.
fn stamped(mut request: Request<Body>, peer: IpAddr, trusted: &[IpAddr]) -> Request<Body> {
    let peer = canonical(peer);
    let address = client_address(peer, request.headers(), trusted);
    request.extensions_mut().insert(PeerAddress(address));
    request.extensions_mut().insert(Caller(address));
    request.extensions_mut().insert(relationship_manager::Caller(address));
    if is_trusted(peer, trusted) {
        request.extensions_mut().insert(FromTrustedProxy);
    }
    request
}

fn is_trusted(address: IpAddr, trusted: &[IpAddr]) -> bool {
    trusted.iter().any(|one| canonical(*one) == address)
}

/// Forwarding headers are believed from trusted proxies only: the last address that is none of them. Where a proxy wrote
/// something that is no address, what stands before it is anybody's word.
fn client_address(peer: IpAddr, headers: &http::HeaderMap, trusted: &[IpAddr]) -> IpAddr {
    if !is_trusted(peer, trusted) {
        return peer;
    }
    let forwarded = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    let chain: Vec<&str> = forwarded.flat_map(|list| list.split(',')).collect();
    let mut last = peer;
    for one in chain.into_iter().rev() {
        // what is before something that does not read was written by nobody who is believed
        let Some(address) = forwarded_address(one.trim()) else { return last };
        last = address;
        if !is_trusted(address, trusted) {
            break;
        }
    }
    last
}

/// An address, which some proxies write with a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(canonical)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Row 38: on `[::]` an IPv4 proxy is the one of the configuration, and what it forwards is one address.
    #[test]
    fn threat_38_s25_a_trusted_proxy_is_known_in_either_family() {
        let ip = |text: &str| text.parse::<IpAddr>().unwrap();
        let seen = |peer: &str, forwarded: &[&str]| {
            let mut request = Request::new(Body::empty());
            for line in forwarded {
                request.headers_mut().append("x-forwarded-for", line.parse().unwrap());
            }
            let trusted: Vec<_> = ["192.0.2.1", "::ffff:192.0.2.2", "2001:db8::1"].map(|text| canonical(ip(text))).into();
            let stamped = stamped(request, canonical(ip(peer)), &trusted);
            (stamped.extensions().get::<PeerAddress>().unwrap().0, stamped.extensions().get::<FromTrustedProxy>().is_some())
        };
        for proxy in ["192.0.2.1", "::ffff:192.0.2.1", "192.0.2.2", "::ffff:192.0.2.2", "2001:db8::1"] {
            assert_eq!(seen(proxy, &["::ffff:203.0.113.9"]), (ip("203.0.113.9"), true), "{proxy}");
            assert_eq!(seen(proxy, &["198.51.100.7, 203.0.113.9:4711"]), (ip("203.0.113.9"), true), "{proxy}");
            assert_eq!(seen(proxy, &["198.51.100.7", "203.0.113.9, ::ffff:192.0.2.1"]), (ip("203.0.113.9"), true), "{proxy}");
            assert_eq!(seen(proxy, &["198.51.100.7, unknown"]).0, canonical(ip(proxy)), "nothing before what does not read");
            assert_eq!(seen(proxy, &["[2001:db8::9]:80"]), (ip("2001:db8::9"), true), "{proxy}");
        }
        assert_eq!(seen("::ffff:203.0.113.9", &["198.51.100.7"]), (ip("203.0.113.9"), false));
    }
}
