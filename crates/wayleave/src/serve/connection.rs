//! One connection, as far as it matters when it is let go (row 46): what is under way in it, for whom that waits, and
//! whether the client moves anything. Counted without locks or clocks, for every request comes by here; what takes a clock
//! is done by [`Connection::look`], once a second. Called by the accept loop and its bodies.

use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// A client that sends no head for so long is let go: after it connected, and between requests of HTTP/1.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that carried requests is kept so long for the next, where it can carry many at once.
pub(super) const IDLE: Duration = Duration::from_secs(60);
/// How long a client is watched before it is called slow.
pub(super) const SLOW_AFTER: Duration = Duration::from_secs(5);
/// What a client moves at least that is not slow, in bytes a second.
pub(super) const SLOW_BYTES: u64 = 1_024;

/// What a connection speaks, as far as its first bytes say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Protocol {
    Unknown,
    Http1,
    Http2,
}

/// Why a connection is let go, and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum End {
    /// What is under way goes on to its end, and nothing new begins.
    Politely,
    /// Unless something has begun meanwhile.
    IfIdle,
    AtOnce,
}

/// Which connection makes room first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Rank {
    Idle,
    Slow,
    /// Idle for a moment alone: its request may be on the way.
    Fresh,
}

/// What was seen of it at the last look.
struct Seen {
    /// Since when nothing is under way.
    idle_since: Instant,
    looked_at: Instant,
    moved: u64,
    /// How long the client alone was waited for, and what it moved meanwhile.
    waited: Duration,
    moved_while_waiting: u64,
    is_slow: bool,
    /// Since when it is asked to come to its end.
    closing_since: Option<Instant>,
    end: Option<End>,
}

/// One connection.
pub(super) struct Connection {
    /// By which it came.
    pub(super) listener: u64,
    /// None: a trusted proxy's, which stands for everybody.
    pub(super) network: Option<String>,
    /// Requests under way of its network.
    pub(super) of_network: Arc<AtomicUsize>,
    /// Requests, and pieces of answers, until the last byte of each has gone.
    under_way: AtomicUsize,
    /// Those of them that wait for the client.
    at_client: AtomicUsize,
    /// Bytes of answers that wait in memory for the client, and those of all connections.
    kept: AtomicU64,
    kept_by_all: Arc<AtomicU64>,
    /// Bytes of bodies that went, either way. Whatever else a protocol says moves nothing.
    moved: AtomicU64,
    had_requests: AtomicBool,
    /// Whether bytes wait that the client does not take.
    is_blocked: AtomicBool,
    protocol: AtomicU8,
    /// Whether it can still be let go: not where something else than HTTP goes on in it.
    is_http: AtomicBool,
    seen: Mutex<Seen>,
    let_go: Notify,
}

impl Connection {
    pub(super) fn new(listener: u64, network: Option<String>, now: Instant) -> Self {
        let seen = Seen {
            idle_since: now,
            looked_at: now,
            moved: 0,
            waited: Duration::ZERO,
            moved_while_waiting: 0,
            is_slow: false,
            closing_since: None,
            end: None,
        };
        Self {
            listener,
            network,
            of_network: Arc::default(),
            under_way: AtomicUsize::new(0),
            at_client: AtomicUsize::new(0),
            kept: AtomicU64::new(0),
            kept_by_all: Arc::default(),
            moved: AtomicU64::new(0),
            had_requests: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            protocol: AtomicU8::new(Protocol::Unknown as u8),
            is_http: AtomicBool::new(true),
            seen: Mutex::new(seen),
            let_go: Notify::new(),
        }
    }

    /// Its bytes in memory are among these of all, and its requests among those of its network.
    pub(super) fn counted_in(self, kept_by_all: &Arc<AtomicU64>, of_network: Arc<AtomicUsize>) -> Self {
        Self { kept_by_all: kept_by_all.clone(), of_network, ..self }
    }

    /// So many bytes of an answer are in memory until [`Self::gives_up`].
    pub(super) fn keeps(&self, bytes: u64) {
        self.kept.fetch_add(bytes, Relaxed);
        self.kept_by_all.fetch_add(bytes, Relaxed);
    }

    pub(super) fn gives_up(&self, bytes: u64) {
        self.kept.fetch_sub(bytes, Relaxed);
        self.kept_by_all.fetch_sub(bytes, Relaxed);
    }

    /// Bytes of answers that wait in memory for its client.
    pub(super) fn kept(&self) -> u64 {
        self.kept.load(Relaxed)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It speaks this, as its first bytes say.
    pub(super) fn speaks(&self, protocol: Protocol) {
        self.protocol.store(protocol as u8, Relaxed);
    }

    /// Whether the client takes what is written.
    pub(super) fn wrote(&self, is_taken: bool) {
        self.is_blocked.store(!is_taken, Relaxed);
    }

    /// So many bytes of a body went.
    pub(super) fn moves(&self, bytes: usize) {
        self.moved.fetch_add(u64::try_from(bytes).unwrap_or(u64::MAX), Relaxed);
    }

    /// Something under way waits for the client from now on, or waits for it no longer.
    pub(super) fn waits_for_client(&self, waits: bool) {
        if waits {
            self.at_client.fetch_add(1, Relaxed)
        } else {
            self.at_client.fetch_sub(1, Relaxed)
        };
    }

    /// A request, or a piece of an answer: it is under way until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        self.under_way.fetch_add(1, Relaxed);
        self.had_requests.store(true, Relaxed);
        UnderWay(self.clone())
    }

    /// How much is under way in it.
    pub(super) fn count_under_way(&self) -> usize {
        self.under_way.load(Relaxed)
    }

    pub(super) fn is_busy(&self) -> bool {
        self.under_way.load(Relaxed) > 0 || self.is_blocked.load(Relaxed)
    }

    /// Whether the client alone is waited for.
    fn is_clients_turn(&self) -> bool {
        self.at_client.load(Relaxed) >= self.under_way.load(Relaxed)
    }

    /// It is idle from now on, if nothing is under way.
    pub(super) fn count_idle_from(&self, now: Instant) {
        self.seen().idle_since = now;
    }

    /// HTTP has come to its end in it; what goes on there is a tunnel, and none of ours.
    pub(super) fn is_handed_over(&self) {
        self.is_http.store(false, Relaxed);
    }

    /// Waits until there is a reason to let it go.
    pub(super) async fn is_over(&self) -> End {
        loop {
            self.let_go.notified().await;
            if let Some(end) = self.seen().end.take() {
                return end;
            }
        }
    }

    pub(super) fn let_go(&self, end: End) {
        self.seen().end = Some(end);
        self.let_go.notify_one();
    }

    /// Whether it can make room for another; the lesser goes first.
    pub(super) fn rank(&self, now: Instant) -> Option<(Rank, Instant)> {
        let seen = self.seen();
        let is_fresh = now.saturating_duration_since(seen.idle_since) < Duration::from_secs(1);
        let rank = match (self.is_busy(), seen.is_slow && self.is_clients_turn()) {
            (false, _) if is_fresh => Rank::Fresh,
            (false, _) => Rank::Idle,
            (true, true) => Rank::Slow,
            (true, false) => return None,
        };
        self.is_http.load(Relaxed).then_some((rank, seen.idle_since))
    }

    /// Looks what has become of it since the last look; lets it go where it was idle for too long.
    pub(super) fn look(&self, now: Instant) {
        if !self.is_http.load(Relaxed) {
            return;
        }
        let ends = self.seen().take_note(self, now);
        if let Some(end) = ends {
            self.let_go(end);
        }
    }

    /// How long it may be idle.
    fn idle_time(&self) -> Duration {
        let is_http2 = self.protocol.load(Relaxed) == Protocol::Http2 as u8;
        if is_http2 && self.had_requests.load(Relaxed) { IDLE } else { HEADER_TIMEOUT }
    }
}

impl Seen {
    fn take_note(&mut self, connection: &Connection, now: Instant) -> Option<End> {
        let time = now.saturating_duration_since(std::mem::replace(&mut self.looked_at, now));
        let moved = connection.moved.load(Relaxed);
        let more = moved.saturating_sub(std::mem::replace(&mut self.moved, moved));
        if connection.is_busy() {
            self.idle_since = now;
            self.weigh(connection, time, more);
            return None;
        }
        (self.waited, self.moved_while_waiting, self.is_slow) = (Duration::ZERO, 0, false);
        if now.saturating_duration_since(self.idle_since) < connection.idle_time() {
            return None;
        }
        // HTTP/2 says goodbye (RFC 9113 6.8), so that nobody has to guess what became of a request
        match self.closing_since {
            None if connection.idle_time() == IDLE => {
                self.closing_since = Some(now);
                Some(End::Politely)
            }
            Some(since) if now.saturating_duration_since(since) < HEADER_TIMEOUT => None,
            _ => Some(End::IfIdle),
        }
    }

    /// Judges how fast the client is where it alone is waited for.
    fn weigh(&mut self, connection: &Connection, time: Duration, more: u64) {
        self.moved_while_waiting = self.moved_while_waiting.saturating_add(more);
        if connection.is_clients_turn() {
            self.waited = self.waited.saturating_add(time);
        }
        if self.waited >= SLOW_AFTER {
            self.is_slow = self.moved_while_waiting < SLOW_BYTES.saturating_mul(self.waited.as_secs());
            (self.waited, self.moved_while_waiting) = (Duration::ZERO, 0);
        }
    }
}

/// What is under way.
pub(super) struct UnderWay(pub(super) Arc<Connection>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        if self.0.under_way.fetch_sub(1, Relaxed) == 1 {
            self.0.count_idle_from(Instant::now());
        }
    }
}

#[cfg(test)]
mod tests;
