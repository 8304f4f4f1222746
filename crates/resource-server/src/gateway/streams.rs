//! Streams of HTTP/2 to the service behind the gateway (RFC 9113 5): a connection has one window for all of them, and a
//! service lets so many be open on it. So that nobody who reads slowly, or asks for much, keeps everybody else waiting
//! (threat 46):
//!
//! 1. each answer that waits for its reader holds a small window, and the connection's has room for all of them;
//! 2. there are several connections, each with fewer streams than services usually allow;
//! 3. a network has no more streams than are left: alone half, of three a quarter;
//! 4. where there is none, a call waits some seconds, so many calls at a time, and is then told to come back.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::{Instant, timeout_at};
use types::peer::{Caller, network_of};

/// Connections to the service.
pub(super) const CONNECTIONS: usize = 16;
/// Streams on each: services allow 100 and more.
const STREAMS: usize = 64;
/// Bytes of one answer that the gateway takes before its reader does.
pub(super) const STREAM_WINDOW: u32 = 128 << 10;
/// The most that a connection may have (RFC 9113 6.9.1): more than the windows of all its streams.
pub(super) const CONNECTION_WINDOW: u32 = (1 << 31) - 1;
/// How long a call waits for a stream.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);
/// Calls that wait, and of one network.
const WAITING: usize = 256;
const WAITING_OF_NETWORK: usize = 64;

/// What is in use.
#[derive(Default)]
struct InUse {
    /// Streams on each connection.
    connections: [usize; CONNECTIONS],
    by_network: HashMap<String, usize>,
    waiting: HashMap<String, usize>,
}

impl InUse {
    fn left(&self) -> usize {
        (CONNECTIONS * STREAMS).saturating_sub(self.connections.iter().sum())
    }

    /// A stream on the connection that has fewest.
    fn take(&mut self, network: &str) -> Option<usize> {
        let own = self.by_network.get(network).copied().unwrap_or_default();
        if own >= self.left() {
            return None;
        }
        let (at, count) = self.connections.iter_mut().enumerate().min_by_key(|(_, count)| **count)?;
        *count = count.saturating_add(1);
        *self.by_network.entry(network.to_owned()).or_default() += 1;
        Some(at)
    }

    fn give_back(&mut self, connection: usize, network: &str) {
        if let Some(count) = self.connections.get_mut(connection) {
            *count = count.saturating_sub(1);
        }
        lower(&mut self.by_network, network);
    }

    fn begin_to_wait(&mut self, network: &str) -> bool {
        let own = self.waiting.get(network).copied().unwrap_or_default();
        let fits = own < WAITING_OF_NETWORK && self.waiting.values().sum::<usize>() < WAITING;
        if fits {
            *self.waiting.entry(network.to_owned()).or_default() += 1;
        }
        fits
    }
}

/// What is counted down to nothing is not kept.
fn lower(counts: &mut HashMap<String, usize>, network: &str) {
    if let Some(count) = counts.get_mut(network) {
        *count = count.saturating_sub(1);
        if *count == 0 {
            counts.remove(network);
        }
    }
}

/// All of one service.
pub(super) struct Streams {
    /// How long a call waits for one.
    patience: Duration,
    in_use: Mutex<InUse>,
    freed: Notify,
}

/// A stream that a call may open; it is free again when this goes.
pub(super) struct Stream {
    of: Arc<Streams>,
    pub(super) connection: usize,
    network: String,
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.of.lock().give_back(self.connection, &self.network);
        self.of.freed.notify_waiters();
    }
}

/// A call that waits for one.
struct Waiting<'a> {
    of: &'a Streams,
    network: &'a str,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        lower(&mut self.of.lock().waiting, self.network);
    }
}

impl Streams {
    pub(super) fn new(patience: Duration) -> Self {
        Self { patience, in_use: Mutex::default(), freed: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, InUse> {
        self.in_use.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn try_take(self: &Arc<Self>, network: &str) -> Option<Stream> {
        let connection = self.lock().take(network)?;
        Some(Stream { of: self.clone(), connection, network: network.to_owned() })
    }

    /// A stream for whoever calls, once there is one for her network; none: there was none in time.
    pub(super) async fn take(self: &Arc<Self>, caller: Option<&Caller>) -> Option<Stream> {
        let network = caller.map(|caller| network_of(caller.0)).unwrap_or_default();
        if let Some(stream) = self.try_take(&network) {
            return Some(stream);
        }
        if !self.lock().begin_to_wait(&network) {
            return None;
        }
        let _waiting = Waiting { of: self, network: &network };
        let until = Instant::now() + self.patience;
        loop {
            // listens before it looks: what is given back in between is not missed
            let mut freed = std::pin::pin!(self.freed.notified());
            freed.as_mut().enable();
            if let Some(stream) = self.try_take(&network) {
                return Some(stream);
            }
            timeout_at(until, freed).await.ok()?;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::Passing;
    use super::super::path::CanonicalPath;
    use super::super::upstream::Upstream;
    use super::*;
    use axum::body::{Body, Bytes, to_bytes};
    use axum::response::Response;
    use hyper_util::rt::{TokioExecutor, TokioIo};

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(20);

    fn caller(address: &str) -> Caller {
        Caller(address.parse().unwrap())
    }

    /// Asks the service for a path, from an address.
    async fn get(upstream: &Upstream, address: &str, path: &str) -> Response {
        let mut request = http::Request::get(path).body(()).unwrap();
        request.extensions_mut().insert(caller(address));
        let path = CanonicalPath::parse(path).unwrap();
        upstream.forward(request.into_parts().0, Body::empty(), &path, &Passing::by_itself()).await
    }

    /// A service of HTTP/2 that sends 30 MB for `/big`, and a word for everything else.
    async fn service() -> Upstream {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = format!("h2c://{}", listener.local_addr().unwrap());
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = hyper::service::service_fn(async |request: http::Request<hyper::body::Incoming>| {
                    let body = match request.uri().path() {
                        "/big" => Bytes::from(vec![0; 30_000_000]),
                        _ => Bytes::from_static(b"word"),
                    };
                    Ok::<_, std::convert::Infallible>(http::Response::new(Body::from(body)))
                });
                let builder = hyper_util::server::conn::auto::Builder::new(TokioExecutor::new()).http2_only();
                tokio::spawn(async move { builder.serve_connection(TokioIo::new(stream), answer).await });
            }
        });
        Upstream::new(&address, "http://127.0.0.1:1")
    }

    /// Whoever asks for much and reads nothing of it.
    #[tokio::test]
    async fn threat_46_slow_readers_of_a_service_of_http_2_keep_nobody_waiting() {
        let upstream = service().await;
        let mut held = Vec::new();
        for n in 0..64 {
            let answer = get(&upstream, &format!("192.0.2.{n}"), "/big").await;
            assert_eq!(answer.status(), 200);
            held.push(answer);
        }
        // what is taken before its reader takes it has come
        tokio::time::sleep(Duration::from_millis(300)).await;
        for address in ["192.0.2.9", "198.51.100.1"] {
            let answer = tokio::time::timeout(Duration::from_secs(5), get(&upstream, address, "/small")).await.unwrap();
            let word = tokio::time::timeout(Duration::from_secs(5), to_bytes(answer.into_body(), 100)).await.unwrap();
            assert_eq!(word.unwrap(), "word");
        }
        // and whoever reads on has all of it
        let whole = to_bytes(held.remove(0).into_body(), usize::MAX).await.unwrap();
        assert_eq!(whole.len(), 30_000_000);
    }

    #[tokio::test]
    async fn threat_46_a_network_has_no_more_streams_than_are_left() {
        let streams = Arc::new(Streams::new(SHORT));
        let all = CONNECTIONS * STREAMS;
        let mut held = Vec::new();
        while let Some(stream) = streams.try_take("192.0.2.0/24") {
            held.push(stream);
        }
        assert_eq!(held.len(), all / 2);
        assert!(streams.lock().connections.iter().all(|count| *count == STREAMS / 2), "spread over the connections");
        // it waits, and is told to come back; others are served
        let from = |address: &str| caller(address);
        let begun = Instant::now();
        assert!(streams.take(Some(&from("192.0.2.7"))).await.is_none());
        assert!(begun.elapsed() >= SHORT);
        let other = streams.take(Some(&from("198.51.100.1"))).await.unwrap();
        // one that becomes free is had at once, and what went leaves nothing
        drop(other);
        let (one, ()) = tokio::join!(async { streams.take(Some(&from("192.0.2.7"))).await }, async { drop(held.pop()) });
        assert!(one.is_some());
        held.clear();
        drop(one);
        let left = streams.lock();
        assert!(left.left() == all && left.by_network.is_empty() && left.waiting.is_empty());
    }

    #[tokio::test]
    async fn threat_46_so_many_wait_for_a_stream_and_no_more() {
        let streams = Arc::new(Streams::new(LONG));
        let mut held = Vec::new();
        while let Some(stream) = streams.try_take("192.0.2.0/24") {
            held.push(stream);
        }
        let waiting: Vec<_> = (0..WAITING_OF_NETWORK)
            .map(|_| {
                let streams = streams.clone();
                tokio::spawn(async move { streams.take(Some(&caller("192.0.2.1"))).await.is_some() })
            })
            .collect();
        while streams.lock().waiting.values().sum::<usize>() < WAITING_OF_NETWORK {
            tokio::task::yield_now().await;
        }
        let begun = Instant::now();
        assert!(streams.take(Some(&caller("192.0.2.1"))).await.is_none());
        assert!(begun.elapsed() < LONG, "told at once");
        drop(held);
        for one in waiting {
            assert!(one.await.unwrap());
        }
    }
}
