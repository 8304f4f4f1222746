//! The accept loop: HTTP/1.1 and HTTP/2, header time-outs, peer addresses, graceful end.

mod carried_out;
mod connection;
mod connections;
mod explained;
mod framing;
mod told;
mod watched;

use crate::config::{Config, TlsConfig};
use crate::metrics::Metrics;
use axum::body::Body;
use axum::response::Response;
use connection::{End, HEADER_TIMEOUT};
use connections::{LOOKED_AT_EVERY, Place};
use explained::Explained;
use http::{HeaderValue, Request, StatusCode, header};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use resource_server::gateway::FromTrustedProxy;
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::pki_types::pem::{self, PemObject};
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::server::WebPkiClientVerifier;
use tokio_rustls::rustls::{RootCertStore, ServerConfig};
use told::Told;
use tower::{Service, ServiceExt};
use types::peer::{Caller, Proxies, canonical};
use watched::{Brought, Carried, Watched};

pub use connections::{Connections, raise_open_files};

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
pub async fn check_framing(mut request: Request<Body>, next: axum::middleware::Next) -> Response {
    match framing::check(&mut request) {
        Ok(()) => next.run(request).await,
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
const READ_IN_BULK: usize = 256 * 1024;

/// How a party is served.
pub struct Reception {
    pub trusted_proxies: Vec<IpAddr>,
    pub tls: Option<TlsAcceptor>,
    pub metrics: Option<Arc<Metrics>>,
    /// Among which its connections are counted.
    pub connections: Arc<Connections>,
    /// Most that is read of a connection at once.
    pub read_at_once: usize,
    /// Of which requests all is done that they began, whoever hangs up.
    pub is_carried_out: fn(&Request<Body>) -> bool,
}

impl Reception {
    /// As everybody's, behind these proxies.
    pub fn behind(trusted_proxies: Vec<IpAddr>) -> Self {
        let connections = Connections::of_process();
        let is_carried_out = carried_out::is_change;
        Self { trusted_proxies, tls: None, metrics: None, connections, read_at_once: READ_AT_ONCE, is_carried_out }
    }

    /// A gateway's: most of what passes through it is other people's.
    pub fn of_gateway(trusted_proxies: Vec<IpAddr>) -> Self {
        Self { read_at_once: READ_IN_BULK, is_carried_out: carried_out::is_own_change, ..Self::behind(trusted_proxies) }
    }
}

/// What each connection of a listener has in common.
struct Common<S> {
    builder: Builder<TokioExecutor>,
    site: S,
    trusted: Arc<Vec<IpAddr>>,
    metrics: Option<Arc<Metrics>>,
    tls: Option<TlsAcceptor>,
    is_carried_out: fn(&Request<Body>) -> bool,
}

/// The process waits for whoever has one of these.
type Running = tokio::sync::mpsc::Sender<()>;

/// Serves until told to stop, then lets what is in flight end.
pub async fn serve<S>(listener: TcpListener, site: S, reception: Reception, mut stop: Stop)
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let Reception { trusted_proxies, tls, metrics, connections: open, read_at_once, is_carried_out } = reception;
    // a listener of both families sees IPv4 in the clothes of IPv6
    let trusted: Arc<Vec<IpAddr>> = Arc::new(trusted_proxies.into_iter().map(canonical).collect());
    let common = Arc::new(Common { builder: builder(read_at_once), site, trusted, metrics, tls, is_carried_out });
    let (number, mut told) = (open.number_listener(), Told::default());
    let mut looks = tokio::time::interval(LOOKED_AT_EVERY);
    // dropped with the last connection
    let (running, mut all_ended) = tokio::sync::mpsc::channel::<()>(1);
    loop {
        let accepted = tokio::select! {
            accepted = accept(&listener, &open, &mut told) => accepted,
            _ = looks.tick() => {
                open.look(Instant::now());
                continue;
            }
            () = stop.wait() => break,
        };
        let Some((stream, peer)) = accepted else { continue };
        let peer = canonical(peer.ip());
        let Some(place) = open.admit(number, peer, is_trusted(peer, &common.trusted), Instant::now()) else {
            told.tell("too many connections are open: one was let go", &peer);
            continue;
        };
        let (common, running) = (common.clone(), running.clone());
        tokio::spawn(async move { serve_one(stream, peer, place, &common, running).await });
    }
    drop((listener, running));
    open.close(number);
    if tokio::time::timeout(GRACE, all_ended.recv()).await.is_err() {
        tracing::warn!("requests were still running at the end");
    }
}

/// HTTP as it is spoken here. Heads have their time, and idle connections theirs, by [`connection::Connection::look`].
fn builder(read_at_once: usize) -> Builder<TokioExecutor> {
    let mut builder = Builder::new(TokioExecutor::new());
    builder.http1().timer(TokioTimer::new()).header_read_timeout(None).max_buf_size(read_at_once);
    let mut http2 = builder.http2();
    http2.timer(TokioTimer::new()).keep_alive_interval(Some(Duration::from_secs(20))).keep_alive_timeout(HEADER_TIMEOUT);
    // streams that a client begins only to end them, or makes us end, are let be for a while, and then the connection ends
    http2.max_concurrent_streams(128).max_pending_accept_reset_streams(20).max_local_error_reset_streams(256);
    builder
}

/// One connection to its end.
async fn serve_one<S>(stream: TcpStream, peer: IpAddr, place: Place, common: &Common<S>, running: Running)
where
    S: Service<Request<Body>, Response = Response, Error = Infallible> + Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    let place = Arc::new(place);
    let connection = place.connection.clone();
    let Some(stream) = opened(stream, &place, common.tls.clone()).await else { return };
    let (counted, kept) = (connection.clone(), place.clone());
    let (site, trusted, metrics) = (common.site.clone(), common.trusted.clone(), common.metrics.clone());
    let (is_carried_out, running) = (common.is_carried_out, running);
    let service = tower::service_fn(move |request: Request<Incoming>| {
        let under_way = counted.begin();
        let request = request.map(|body| Brought::watch(body, &counted));
        let place = kept.admit_request();
        let running = is_carried_out(&request).then(|| running.clone());
        let answer = place.is_some().then(|| answer_one(site.clone(), request, peer, trusted.clone(), metrics.clone()));
        let kept = kept.clone();
        async move {
            let (answer, place) = match (answer, running) {
                (Some(answer), Some(running)) => carried_out::carry_out(answer, place, running).await,
                (Some(answer), None) => (answer.await, place),
                (None, _) => (Ok(too_many()), place),
            };
            let answer = answer?.map(|body| Carried::new(body, under_way, place));
            kept.bound_memory();
            Ok::<_, Infallible>(answer)
        }
    });
    let service = TowerToHyperService::new(service);
    let mut served = pin!(common.builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    loop {
        let end = tokio::select! {
            result = served.as_mut() => {
                ended(&result);
                break;
            }
            end = connection.is_over() => end,
        };
        match end {
            End::Politely => served.as_mut().graceful_shutdown(),
            End::IfIdle if connection.is_busy() => place.keep(),
            End::IfIdle | End::AtOnce => break,
        }
    }
    connection.is_handed_over();
}

/// The answer where no more requests can be under way.
fn too_many() -> Response {
    let what = "Too many requests are under way here: try again in some seconds.";
    let body = serde_json::json!({"error": "temporarily_unavailable", "error_description": what}).to_string();
    let mut response = Response::new(Body::from(body));
    *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    for (name, value) in
        [(header::CONTENT_TYPE, "application/json"), (header::CACHE_CONTROL, "no-store"), (header::RETRY_AFTER, "5")]
    {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The next connection, or none where there is something in the way.
async fn accept(listener: &TcpListener, open: &Connections, told: &mut Told) -> Option<(TcpStream, SocketAddr)> {
    match listener.accept().await {
        Ok((stream, peer)) => {
            let _ = stream.set_nodelay(true);
            Some((stream, peer))
        }
        Err(error) => {
            // out of files, say: others may end meanwhile
            told.tell("a connection was not accepted", &error);
            open.make_room(Instant::now());
            tokio::time::sleep(Duration::from_millis(50)).await;
            None
        }
    }
}

/// What goes over a connection, after TLS where that is spoken. Whoever does not come to an agreement is let go as others.
async fn opened(stream: TcpStream, place: &Arc<Place>, tls: Option<TlsAcceptor>) -> Option<Box<dyn Bytewise>> {
    let Some(tls) = tls else { return Some(Box::new(Watched::new(Explained::new(stream), place.clone()))) };
    let stream = tokio::select! {
        agreed = tls.accept(stream) => agreed.ok()?,
        _ = place.connection.is_over() => return None,
    };
    place.connection.count_idle_from(Instant::now());
    Some(Box::new(Watched::new(Explained::new(stream), place.clone())))
}

/// What bytes come from and go to.
trait Bytewise: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Bytewise for T {}

async fn answer_one<S>(
    site: S,
    mut request: Request<Body>,
    peer: IpAddr,
    trusted: Arc<Vec<IpAddr>>,
    metrics: Option<Arc<Metrics>>,
) -> Result<Response, Infallible>
where
    S: Service<Request<Body>, Response = Response, Error = Infallible>,
{
    stamp(&mut request, peer, &trusted);
    let counted = metrics.map(|metrics| (metrics.endpoint(request.uri().path()), metrics, Instant::now()));
    let answer = match framing::check(&mut request) {
        Ok(()) => site.oneshot(request).await,
        Err(refusal) => Ok(refusal.answer()),
    };
    if let (Some((endpoint, metrics, begun)), Ok(answer)) = (counted, &answer) {
        metrics.count(endpoint, answer.status().as_u16(), begun.elapsed());
    }
    answer
}

fn ended<E: std::fmt::Display>(result: &Result<(), E>) {
    if let Err(error) = result {
        tracing::debug!(%error, "a connection ended");
    }
}

/// Why a file does not do, and what would.
fn describe_pem_fault(place: &Path, label: &str, error: &pem::Error) -> String {
    let what = match error {
        pem::Error::NoItemsFound => format!("nothing in it begins with `-----BEGIN {label}-----`: name a PEM file"),
        error => error.to_string(),
    };
    format!("server.tls: {}: {what}", place.display())
}

/// TLS 1.2 and 1.3 as `[server.tls]` says.
pub fn acceptor(config: &Config, tls: &TlsConfig) -> Result<TlsAcceptor, String> {
    let certificates = |file: &str| {
        let place = config.path(file);
        let all = CertificateDer::pem_file_iter(&place).and_then(Iterator::collect::<Result<Vec<_>, _>>);
        let some = all.and_then(|all| if all.is_empty() { Err(pem::Error::NoItemsFound) } else { Ok(all) });
        some.map_err(|error| describe_pem_fault(&place, "CERTIFICATE", &error))
    };
    let chain = certificates(&tls.cert)?;
    let place = config.path(&tls.key);
    let key = PrivateKeyDer::from_pem_file(&place).map_err(|error| describe_pem_fault(&place, "PRIVATE KEY", &error))?;
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

/// Puts on the request what only the listener knows: who sent it, and whether through a proxy that is believed.
fn stamp(request: &mut Request<Body>, peer: IpAddr, trusted: &[IpAddr]) {
    let peer = canonical(peer);
    if !is_trusted(peer, trusted) {
        request.extensions_mut().insert(Caller(peer));
        return;
    }
    let (caller, proxies) = way_of(peer, request.headers(), trusted);
    request.extensions_mut().insert(caller);
    request.extensions_mut().insert(proxies);
    request.extensions_mut().insert(FromTrustedProxy);
}

fn is_trusted(address: IpAddr, trusted: &[IpAddr]) -> bool {
    trusted.iter().any(|one| canonical(*one) == address)
}

/// Forwarding headers are believed from trusted proxies only: the last address that is none of them, and those after it.
/// Where a proxy wrote something that is no address, what stands before it is anybody's word.
fn way_of(peer: IpAddr, headers: &http::HeaderMap, trusted: &[IpAddr]) -> (Caller, Proxies) {
    let forwarded = headers.get_all("x-forwarded-for").iter().map(|value| value.to_str().unwrap_or_default());
    let chain: Vec<&str> = forwarded.flat_map(|list| list.split(',')).collect();
    let (mut last, mut proxies) = (peer, Vec::new());
    for one in chain.into_iter().rev() {
        // what is before something that does not read was written by nobody who is believed
        let Some(address) = forwarded_address(one.trim()) else { break };
        proxies.push(std::mem::replace(&mut last, address));
        if !is_trusted(address, trusted) {
            break;
        }
    }
    proxies.reverse();
    (Caller(last), Proxies(proxies))
}

/// An address, which some proxies write with a port.
fn forwarded_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(canonical)
}

#[cfg(test)]
mod tests;
