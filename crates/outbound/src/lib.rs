//! The one HTTP client for every place that a peer named: key sets, sector identifiers, metadata,
//! resource URIs (threat 17). Called by `identity`, `authorization-server`, `client` and
//! `resource-server`; nobody else opens a connection to a place that came over the wire.
//!
//! Its rules: https only, no private or loopback address, no redirect, an address resolved once and
//! used for that connection, bodies bounded, ten seconds. Two things lift them: an origin that
//! stands in the configuration (exactly that origin), and the laboratory switches of `[outbound]`.
//!
//! A party lists a place for one purpose. What somebody else names may have the same origin, and must not be called because
//! of that: so parties make a client that lifts nothing ([`Outbound::for_strangers`]), and from it one for each listed place
//! ([`Outbound::for_listed`]), with which that place, and what it names at its own origin, is called.

mod address;
mod line;
mod request;

use address::GuardedResolver;
use futures_util::StreamExt;
use reqwest::redirect::Policy;
use std::cell::Cell;
use std::collections::{BTreeSet, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;
use url::{Host, Url};

pub use address::is_public;
pub use line::{Lines, Party, Place, Room};
pub use request::{Request, Response};
pub use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
pub use reqwest::{Method, StatusCode};

/// Most bytes of an answer that is read whole.
pub const MAX_BODY_BYTES: usize = 1024 * 1024;
/// Most bytes that are read of an answer which is not the content that was asked for.
pub const MAX_WORD_BYTES: usize = 64 * 1024;
const TIMEOUT: Duration = Duration::from_secs(10);
/// A body that is handed over piece by piece may take as long as it likes, a piece of it may not.
const PIECE_TIMEOUT: Duration = Duration::from_secs(30);
const LONGEST_STREAM: Duration = Duration::from_secs(7 * 86_400);

/// What the operator allows beyond the rules (`[outbound]` in `operations.md`).
#[derive(Clone, Debug, Default)]
pub struct Settings {
    pub allow_private_networks: bool,
    pub allow_http: bool,
    /// Fixed addresses for names.
    pub hosts: HashMap<String, SocketAddr>,
    /// Extra certificate authorities, PEM.
    pub ca_pem: Option<Vec<u8>>,
    /// Own name server, asked instead of the system's.
    pub dns: Option<SocketAddr>,
    /// A proxy for every call. None: no proxy, whatever the environment says.
    pub proxy: Option<String>,
    /// URLs that stand in the configuration; their origins count as configured, for programs of the operator's own at all
    /// times, for parties as [`Outbound::for_listed`] says.
    pub configured: Vec<String>,
    /// Is told of each exchange; for a person who asked to see them.
    pub watcher: Option<Watcher>,
}

/// An exchange, as a watcher is told of it.
pub struct Exchange<'a> {
    pub method: &'a Method,
    pub url: &'a str,
    pub request: Option<&'a [u8]>,
    pub status: StatusCode,
    pub headers: &'a HeaderMap,
    pub answer: &'a [u8],
}

/// Something to tell exchanges to.
#[derive(Clone)]
pub struct Watcher(pub Arc<dyn Fn(&Exchange<'_>) + Send + Sync>);

impl std::fmt::Debug for Watcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Watcher")
    }
}

/// Why a call was not made or not answered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OutboundError {
    #[error("`{0}` is not a URL that may be called from here: use https and a public address, or allow it in [outbound]")]
    NotAllowed(String),
    #[error("`{0}` did not answer")]
    Unreachable(String),
    /// It says nothing about that place: nobody was asked.
    #[error("too many calls to `{0}` are under way from here: try again in a moment")]
    Busy(String),
    #[error("the answer of `{0}` is longer than is read here")]
    TooLong(String),
    #[error("`{0}` sent the content encoded (`content-encoding`), which nobody asked for: it is not read")]
    Encoded(String),
}

/// Most calls that are under way to one place at a time, and most that wait for that as long as they have patience. Each is a
/// connection, and whoever has many calls made here must not have all that this process may open.
const AT_ONE_PLACE: Room = Room { inside: 256, waiting: 1_024 };
/// Who has to leave a full line hears so after that time.
const REFUSED_AFTER: Duration = Duration::from_secs(1);
/// Connections to one place that are kept for the next call.
const MOST_KEPT_OPEN: usize = 16;

tokio::task_local! {
    /// How long calls of this task have waited in a line here.
    static WAITED: Cell<Duration>;
}

/// What comes of it, and how much of its time the calls that it made waited here before anybody was asked: that is nothing which
/// the other side did.
pub async fn with_time_in_line<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let measured = async { (work.await, WAITED.with(Cell::get)) };
    WAITED.scope(Cell::default(), measured).await
}

/// Two of a kind. What takes its time has a connection of its own for each call (HTTP/1): on one that many share (HTTP/2) a
/// server lets so many calls wait, and what is read slowly holds room of all others (threat 46).
#[derive(Clone)]
struct Clients {
    usual: reqwest::Client,
    patient: reqwest::Client,
}

impl Clients {
    fn for_patience(&self, patience: Duration) -> &reqwest::Client {
        if patience > TIMEOUT { &self.patient } else { &self.usual }
    }
}

/// The client.
#[derive(Clone)]
pub struct Outbound {
    guarded: Clients,
    configured: Clients,
    origins: Arc<BTreeSet<String>>,
    resolver: GuardedResolver,
    settings: Arc<Settings>,
    /// In whose name it calls.
    whom: Party,
    /// Calls under way, by origin: those to places that are listed apart from those that strangers name.
    under_way: Lines,
}

impl Outbound {
    /// Fails where a certificate authority of the settings cannot be read.
    pub fn new(settings: Settings) -> Result<Self, String> {
        let origins = origins_of(&settings.configured);
        let dns = settings.dns.map(address::asking).transpose()?;
        let proxy = settings.proxy.as_deref().map(proxy_of).transpose()?;
        let resolver = |allow_private: bool| GuardedResolver {
            allow_private,
            hosts: settings.hosts.clone(),
            dns: dns.clone(),
            // it stands in the configuration
            proxy: proxy.as_ref().and_then(|(_, host)| host.clone()),
        };
        let build_one = |allow_private: bool, is_patient: bool| {
            let resolver = resolver(allow_private);
            // what `HTTP_PROXY` and its like name would resolve names by itself, behind the guard
            let mut builder = reqwest::Client::builder()
                .no_proxy()
                .redirect(Policy::none())
                .pool_max_idle_per_host(MOST_KEPT_OPEN)
                .connect_timeout(Duration::from_secs(5))
                .user_agent(concat!("wayleave/", env!("CARGO_PKG_VERSION")))
                .dns_resolver(Arc::new(resolver));
            if let Some((proxy, _)) = &proxy {
                builder = builder.proxy(proxy.clone());
            }
            if let Some(pem) = &settings.ca_pem {
                let ca = reqwest::Certificate::from_pem(pem).map_err(|e| format!("ca_file is no PEM certificate: {e}"))?;
                builder = builder.add_root_certificate(ca);
            }
            if is_patient {
                builder = builder.http1_only();
            }
            builder.build().map_err(|e| format!("the HTTP client cannot be made: {e}"))
        };
        let build = |allow_private: bool| -> Result<Clients, String> {
            Ok(Clients { usual: build_one(allow_private, false)?, patient: build_one(allow_private, true)? })
        };
        Ok(Self {
            guarded: build(settings.allow_private_networks)?,
            configured: build(true)?,
            resolver: resolver(settings.allow_private_networks),
            origins: Arc::new(origins),
            settings: Arc::new(settings),
            whom: Party::default(),
            under_way: Lines::default(),
        })
    }

    /// The same in the name of an authorization server, an owner or whoever else has calls made here. What one of them names
    /// may lie at another's place: there they take turns, and none keeps another's longer than for a round (row 46). Servers
    /// at one origin are one.
    pub fn in_name_of(&self, whom: &str) -> Self {
        let server = Url::parse(whom).ok().map(|url| origin_of(&url));
        Self { whom: Party::new([server.unwrap_or_else(|| whom.to_owned())]), ..self.clone() }
    }

    /// The same for a part of what is done in that name.
    pub fn within(&self, part: &Party) -> Self {
        Self { whom: part.within(&self.whom), ..self.clone() }
    }

    /// The same for places that strangers name: no origin counts as configured.
    pub fn for_strangers(&self) -> Self {
        Self { origins: Arc::default(), ..self.clone() }
    }

    /// The same for a program that calls nothing but what its own configuration lists.
    pub fn for_all_listed(&self) -> Self {
        Self { origins: Arc::new(origins_of(&self.settings.configured)), ..self.clone() }
    }

    /// The same for one place of the configuration, and for what that place names: of the configured origins its own alone
    /// counts. Where the configuration does not name exactly this URL, none does.
    pub fn for_listed(&self, url: &str) -> Self {
        let listed = self.settings.configured.iter().filter(|listed| *listed == url);
        Self { origins: Arc::new(origins_of(listed)), ..self.clone() }
    }

    /// Sends and reads the whole answer, up to [`MAX_BODY_BYTES`].
    pub async fn send(&self, request: Request<'_>) -> Result<Response, OutboundError> {
        let (host, url, method) = (host_of(request.url), request.url, request.method.clone());
        // a long poll waits for something to happen, and is one of each that may: it takes nobody's place
        let _place = match Url::parse(url).ok().filter(|_| request.patience <= TIMEOUT) {
            Some(url) => Some(self.wait_for_place(&url, &request).await.ok_or_else(|| OutboundError::Busy(host.clone()))?),
            None => None,
        };
        let sent = self.settings.watcher.as_ref().and(request.body.clone());
        // a call on the network is rare beside what waits for one: boxed, it makes none of those larger
        let response = Box::pin(self.start(request)).await?;
        let (status, headers) = (response.status(), response.headers().clone());
        let mut body = Vec::new();
        let mut chunks = response.bytes_stream();
        while let Some(chunk) = chunks.next().await {
            let chunk = chunk.map_err(|_| OutboundError::Unreachable(host.clone()))?;
            if body.len().saturating_add(chunk.len()) > MAX_BODY_BYTES {
                return Err(OutboundError::TooLong(host));
            }
            body.extend_from_slice(&chunk);
        }
        if let Some(watcher) = &self.settings.watcher {
            let request = sent.as_deref();
            (watcher.0)(&Exchange { method: &method, url, request, status, headers: &headers, answer: &body });
        }
        Ok(Response { status, headers, body: body.into() })
    }

    async fn wait_for_place(&self, url: &Url, request: &Request<'_>) -> Option<Place> {
        let (begun, patience) = (Instant::now(), request.patience);
        let place = self.under_way.enter(&self.line_to(url), AT_ONE_PLACE, &request.party.within(&self.whom), patience).await;
        // where nobody measures there is nothing to note it in
        let _measured = WAITED.try_with(|waited| waited.set(waited.get().saturating_add(begun.elapsed())));
        if place.is_none() {
            // answered at once, who floods would come again at once
            tokio::time::sleep(REFUSED_AFTER.min(patience).saturating_sub(begun.elapsed())).await;
        }
        place
    }

    /// What strangers name has a line of its own, also where the configuration lists the same place for something else.
    fn line_to(&self, url: &Url) -> String {
        let origin = origin_of(url);
        if self.origins.contains(&origin) { format!("listed {origin}") } else { origin }
    }

    /// Sends and hands the answer's body over piece by piece; for content, which may be of any size. What is no success is in
    /// the answer instead, as far as anybody reads it ([`MAX_WORD_BYTES`]).
    pub async fn stream(
        &self,
        request: Request<'_>,
        mut piece: impl FnMut(&[u8]) -> std::io::Result<()> + Send,
    ) -> Result<Response, OutboundError> {
        let host = host_of(request.url);
        let away = || OutboundError::Unreachable(host.clone());
        // the content is wanted as it is, and not as somebody else would have to make it out (RFC 9110 12.5.3)
        let request = request.header("accept-encoding", "identity").patience(LONGEST_STREAM);
        let starting = Box::pin(self.start(request));
        let response = tokio::time::timeout(PIECE_TIMEOUT, starting).await.map_err(|_| away())??;
        let (status, headers) = (response.status(), response.headers().clone());
        if status.is_success()
            && headers.get_all("content-encoding").iter().any(|one| !one.as_bytes().eq_ignore_ascii_case(b"identity"))
        {
            return Err(OutboundError::Encoded(host));
        }
        let mut chunks = response.bytes_stream();
        let mut word = Vec::new();
        while let Some(chunk) = tokio::time::timeout(PIECE_TIMEOUT, chunks.next()).await.map_err(|_| away())? {
            let chunk = chunk.map_err(|_| away())?;
            if status.is_success() {
                piece(&chunk).map_err(|_| away())?;
                continue;
            }
            word.extend(chunk.iter().take(MAX_WORD_BYTES.saturating_sub(word.len())));
            if word.len() >= MAX_WORD_BYTES {
                break;
            }
        }
        Ok(Response { status, headers, body: word.into() })
    }

    async fn start(&self, request: Request<'_>) -> Result<reqwest::Response, OutboundError> {
        let url = Url::parse(request.url).map_err(|_| OutboundError::NotAllowed(host_of(request.url)))?;
        let client = self.client_for(&url)?.for_patience(request.patience);
        self.check_name(&url).await?;
        let mut builder = client.request(request.method, url).headers(request.headers).timeout(request.patience);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        builder.send().await.map_err(|_| OutboundError::Unreachable(host_of(request.url)))
    }

    /// Whether this is a URL that may be called from here at all, whatever its name resolves to.
    pub fn may_call(&self, url: &str) -> bool {
        Url::parse(url).is_ok_and(|url| self.client_for(&url).is_ok())
    }

    /// A proxy resolves names itself: those that lead to no public address never reach it.
    async fn check_name(&self, url: &Url) -> Result<(), OutboundError> {
        let Some(Host::Domain(name)) = url.host() else { return Ok(()) };
        if self.settings.proxy.is_none() || self.origins.contains(&origin_of(url)) {
            return Ok(());
        }
        let found = self.resolver.find(name).await;
        found.map(drop).map_err(|_| OutboundError::NotAllowed(host_of(url.as_str())))
    }

    /// Which client may call this URL, if any may.
    fn client_for(&self, url: &Url) -> Result<&Clients, OutboundError> {
        let refuse = || OutboundError::NotAllowed(host_of(url.as_str()));
        if !matches!(url.scheme(), "http" | "https") || !url.username().is_empty() || url.password().is_some() {
            return Err(refuse());
        }
        if self.origins.contains(&origin_of(url)) {
            return Ok(&self.configured);
        }
        if url.scheme() == "http" && !self.settings.allow_http {
            return Err(refuse());
        }
        let literal = match url.host() {
            Some(Host::Ipv4(ip)) => Some(IpAddr::V4(ip)),
            Some(Host::Ipv6(ip)) => Some(IpAddr::V6(ip)),
            Some(Host::Domain(_)) => None,
            None => return Err(refuse()),
        };
        match literal {
            Some(ip) if !self.settings.allow_private_networks && !is_public(ip) => Err(refuse()),
            _ => Ok(&self.guarded),
        }
    }
}

/// The proxy, and its name where it has one.
fn proxy_of(text: &str) -> Result<(reqwest::Proxy, Option<String>), String> {
    // what stands there may hold a password
    let wrong = || "outbound.proxy: it must be a URL like http://proxy.example:3128".to_owned();
    let url = Url::parse(text).map_err(|_| wrong())?;
    if !matches!(url.scheme(), "http" | "https") || url.host().is_none() {
        return Err(wrong());
    }
    let proxy = reqwest::Proxy::all(text).map_err(|_| wrong())?;
    let name = if let Some(Host::Domain(name)) = url.host() { Some(name.to_owned()) } else { None };
    Ok((proxy, name))
}

fn origins_of<'a>(urls: impl IntoIterator<Item = &'a String>) -> BTreeSet<String> {
    urls.into_iter().filter_map(|url| Url::parse(url).ok().map(|url| origin_of(&url))).collect()
}

fn origin_of(url: &Url) -> String {
    url.origin().ascii_serialization()
}

/// What may be said of a URL in a message: its host, with a port that is not the usual one, never its query.
fn host_of(url: &str) -> String {
    let said = Url::parse(url).ok().and_then(|url| {
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    });
    said.unwrap_or_else(|| "that URL".to_owned())
}

#[cfg(test)]
mod tests;
