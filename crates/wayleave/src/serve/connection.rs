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
    /// Requests, and pieces of answers, until the last byte of each has gone.
    under_way: AtomicUsize,
    /// Those of them that wait for the client.
    at_client: AtomicUsize,
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
            under_way: AtomicUsize::new(0),
            at_client: AtomicUsize::new(0),
            moved: AtomicU64::new(0),
            had_requests: AtomicBool::new(false),
            is_blocked: AtomicBool::new(false),
            protocol: AtomicU8::new(Protocol::Unknown as u8),
            is_http: AtomicBool::new(true),
            seen: Mutex::new(seen),
            let_go: Notify::new(),
        }
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
mod tests {
    use super::*;

    /// Looks once a second, for so many seconds, and what was asked of the connection meanwhile.
    fn look_for(connection: &Connection, now: &mut Instant, seconds: u64) -> Option<End> {
        (0..seconds).find_map(|_| {
            *now += Duration::from_secs(1);
            connection.look(*now);
            connection.seen().end.take()
        })
    }

    fn rank(connection: &Connection, now: Instant) -> Option<Rank> {
        connection.rank(now).map(|(rank, _)| rank)
    }

    #[test]
    fn threat_46_a_connection_that_says_nothing_ends() {
        let mut now = Instant::now();
        for protocol in [Protocol::Unknown, Protocol::Http1, Protocol::Http2] {
            let connection = Connection::new(0, None, now);
            connection.speaks(protocol);
            assert_eq!(rank(&connection, now), Some(Rank::Fresh), "its request may be on the way");
            assert_eq!(look_for(&connection, &mut now, 9), None, "{protocol:?}");
            assert_eq!(rank(&connection, now), Some(Rank::Idle));
            assert_eq!(look_for(&connection, &mut now, 1), Some(End::IfIdle), "{protocol:?}");
        }
    }

    #[test]
    fn threat_46_between_requests_http_2_has_more_time_and_a_goodbye() {
        let mut now = Instant::now();
        for (protocol, seconds) in [(Protocol::Http1, 10), (Protocol::Http2, 60)] {
            let connection = Arc::new(Connection::new(0, None, now));
            connection.speaks(protocol);
            let request = connection.begin();
            assert_eq!(look_for(&connection, &mut now, 600), None, "while we are waited for, it stays");
            assert_eq!(rank(&connection, now), None, "and makes no room");
            drop(request);
            connection.count_idle_from(now);
            assert_eq!(look_for(&connection, &mut now, seconds - 1), None);
            let end = look_for(&connection, &mut now, 1);
            if protocol == Protocol::Http1 {
                assert_eq!(end, Some(End::IfIdle));
                continue;
            }
            assert_eq!(end, Some(End::Politely));
            assert_eq!(look_for(&connection, &mut now, 10), Some(End::IfIdle), "whoever does not hear it goes all the same");
        }
    }

    /// Row 46: an answer that is not taken, or a byte now and then, makes room where there is none, and is not cut before.
    #[test]
    fn threat_46_who_moves_nothing_makes_room_and_is_not_cut_before() {
        let mut now = Instant::now();
        for (bytes_a_second, is_slow) in [(0, true), (1, true), (SLOW_BYTES - 1, true), (SLOW_BYTES, false), (1 << 20, false)] {
            let connection = Arc::new(Connection::new(0, None, now));
            let _request = connection.begin();
            connection.waits_for_client(true);
            for _ in 0..SLOW_AFTER.as_secs() {
                assert_eq!(rank(&connection, now), None, "it has some seconds");
                connection.moves(usize::try_from(bytes_a_second).unwrap());
                assert_eq!(look_for(&connection, &mut now, 1), None);
            }
            assert_eq!(rank(&connection, now), is_slow.then_some(Rank::Slow), "{bytes_a_second}");
            assert_eq!(look_for(&connection, &mut now, 3_600), None, "an hour's pause is nobody's harm where there is room");
            connection.moves(1 << 20);
            assert_eq!(look_for(&connection, &mut now, SLOW_AFTER.as_secs()), None);
            assert_eq!(rank(&connection, now), None, "it goes on, and is not slow any more");
        }
    }

    #[test]
    fn threat_46_who_waits_for_us_is_not_slow() {
        let mut now = Instant::now();
        let connection = Arc::new(Connection::new(0, None, now));
        let (_slow, ours) = (connection.begin(), connection.begin());
        connection.waits_for_client(true);
        assert_eq!(look_for(&connection, &mut now, 60), None);
        assert_eq!(rank(&connection, now), None, "one of two is ours to answer");
        drop(ours);
        look_for(&connection, &mut now, SLOW_AFTER.as_secs());
        assert_eq!(rank(&connection, now), Some(Rank::Slow));
        // where something else than HTTP goes on, nobody knows who waits for whom
        connection.is_handed_over();
        assert_eq!(rank(&connection, now), None);
    }

    /// The end of an answer that waits in the socket is part of it.
    #[test]
    fn threat_46_what_waits_in_the_socket_is_under_way() {
        let mut now = Instant::now();
        let connection = Connection::new(0, None, now);
        connection.speaks(Protocol::Http1);
        connection.wrote(false);
        assert_eq!(look_for(&connection, &mut now, 3_600), None);
        assert_eq!(rank(&connection, now), Some(Rank::Slow));
        connection.wrote(true);
        assert_eq!(look_for(&connection, &mut now, 10), Some(End::IfIdle));
    }

    #[tokio::test]
    async fn threat_46_a_connection_hears_that_it_is_let_go() {
        let connection = Connection::new(0, None, Instant::now());
        connection.let_go(End::Politely);
        connection.let_go(End::AtOnce);
        assert_eq!(connection.is_over().await, End::AtOnce, "the last word counts");
    }
}
