//! The connections that are open (row 46): how many there may be, of one network and in all, and which are let go. One
//! that carries no request makes room for the next where there is none left. Called by the accept loop.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::Notify;
use types::peer::network_of;

/// A client that sends nothing for so long after it connected is let go, and one whose headers take longer.
pub(super) const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A connection that carried requests is kept so long for the next, where it can carry many at once.
const IDLE: Duration = Duration::from_secs(60);
/// A client that takes nothing of its answer for so long is let go.
const STALLED: Duration = Duration::from_secs(120);
/// Most connections at one time, however many files may be open.
const MOST: usize = 10_000;
/// Files that are kept for other things than connections.
const OTHER_FILES: usize = 32;

/// What a connection speaks, as far as its first bytes say.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Protocol {
    #[default]
    Unknown,
    /// Whose heads have a time of their own, at its beginning and between requests.
    Http1,
    Http2,
}

struct State {
    /// Since when it carries no request.
    idle_since: Instant,
    requests: usize,
    had_requests: bool,
    protocol: Protocol,
    /// Since when bytes wait that the client does not take.
    stalled_since: Option<Instant>,
    /// Whether it can still be let go: not where something else than HTTP goes on in it.
    is_http: bool,
}

/// One connection.
pub(super) struct Connection {
    /// None: a trusted proxy's, which stands for everybody.
    network: Option<String>,
    state: Mutex<State>,
    let_go: Notify,
}

impl Connection {
    fn new(network: Option<String>, now: Instant) -> Self {
        let state = State {
            idle_since: now,
            requests: 0,
            had_requests: false,
            protocol: Protocol::Unknown,
            stalled_since: None,
            is_http: true,
        };
        Self { network, state: Mutex::new(state), let_go: Notify::new() }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// It speaks this, as its first bytes say.
    pub(super) fn speaks(&self, protocol: Protocol) {
        self.state().protocol = protocol;
    }

    /// Whether the client takes what is written.
    pub(super) fn wrote(&self, is_taken: bool) {
        let mut state = self.state();
        state.stalled_since = if is_taken { None } else { state.stalled_since.or_else(|| Some(Instant::now())) };
    }

    /// A request has come; it is under way until what this gives is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state();
        state.requests = state.requests.saturating_add(1);
        state.had_requests = true;
        UnderWay(self.clone())
    }

    /// Waits until there is a reason to let it go.
    pub(super) async fn is_over(&self) {
        loop {
            let until = self.state().ends();
            tokio::select! {
                () = self.let_go.notified() => return,
                () = tokio::time::sleep_until(until.into()) => {}
            }
            if self.state().ends() <= Instant::now() {
                return;
            }
        }
    }

    /// HTTP has come to its end in it; what goes on there is a tunnel, and none of ours.
    pub(super) fn is_handed_over(&self) {
        self.state().is_http = false;
    }

    /// Since when it could be let go for another.
    fn idle_since(&self) -> Option<Instant> {
        let state = self.state();
        (state.is_http && state.requests == 0).then_some(state.idle_since)
    }
}

impl State {
    /// When it is let go if nothing happens.
    fn ends(&self) -> Instant {
        let idle = match self.protocol {
            _ if self.requests > 0 => None,
            Protocol::Unknown => Some(HEADER_TIMEOUT),
            Protocol::Http1 => None,
            Protocol::Http2 if self.had_requests => Some(IDLE),
            Protocol::Http2 => Some(HEADER_TIMEOUT),
        };
        let idle = idle.map(|time| self.idle_since + time);
        let stalled = self.stalled_since.map(|since| since + STALLED);
        // looked at again by then, for a change wakes nobody
        idle.into_iter().chain(stalled).fold(Instant::now() + HEADER_TIMEOUT, Instant::min)
    }
}

/// A request that is under way.
pub(super) struct UnderWay(Arc<Connection>);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.requests = state.requests.saturating_sub(1);
        state.idle_since = Instant::now();
    }
}

/// All that are open.
pub(super) struct Connections {
    open: Mutex<HashMap<u64, Arc<Connection>>>,
    most: usize,
}

/// The place of one connection, given back when it is dropped.
pub(super) struct Place {
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// As many as the process may have files for: each may need another file, or another connection.
    pub(super) fn new() -> Arc<Self> {
        Self::with_room_for(open_files().saturating_sub(OTHER_FILES) / 2)
    }

    fn with_room_for(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most: most.clamp(2, MOST) })
    }

    /// A place for the connection with this number. One network has half of them at most; where there is none left, the one
    /// that has carried nothing for longest makes room. None: all of them are busy.
    pub(super) fn admit(self: &Arc<Self>, number: u64, peer: IpAddr, is_trusted_proxy: bool, now: Instant) -> Option<Place> {
        let network = (!is_trusted_proxy).then(|| network_of(peer));
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        // counted where it can matter alone
        let half = self.most / 2;
        let is_of_network = |connection: &Arc<Connection>| network.is_some() && connection.network == network;
        if open.len() >= half && open.values().filter(|one| is_of_network(one)).count() >= half {
            make_room(&mut open, is_of_network)?;
        }
        if open.len() >= self.most {
            make_room(&mut open, |_| true)?;
        }
        let connection = Arc::new(Connection::new(network, now));
        open.insert(number, connection.clone());
        drop(open);
        Some(Place { connection, all: self.clone(), number })
    }
}

/// Lets go of the one of these that has carried nothing for longest.
fn make_room(open: &mut HashMap<u64, Arc<Connection>>, may_go: impl Fn(&Arc<Connection>) -> bool) -> Option<()> {
    let idle = open.iter().filter(|(_, one)| may_go(one)).filter_map(|(number, one)| Some((one.idle_since()?, *number)));
    let (_, longest) = idle.min()?;
    open.remove(&longest)?.let_go.notify_one();
    Some(())
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.number);
    }
}

/// How many files this process may have open.
fn open_files() -> usize {
    let limit = rustix::process::getrlimit(rustix::process::Resource::Nofile).current;
    limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
}

/// Lets this process have as many files open as it may give itself: each connection is one.
pub fn raise_open_files() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files stays as it is");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn threat_46_idle_connections_make_room_and_one_network_does_not_have_all() {
        let (all, now) = (Connections::with_room_for(8), Instant::now());
        let later = |n: u64| now + Duration::from_millis(n);
        let of = |n: u64, text: &str| all.admit(n, ip(text), false, later(n));
        let mut first: Vec<_> = (0..4).map(|n| of(n, "192.0.2.1").unwrap()).collect();
        let _busy: Vec<_> = first[1..].iter().map(|place| place.connection.begin()).collect();
        // the fifth of one network takes the place of the one that carries nothing
        let fifth = of(4, "192.0.2.99").unwrap();
        assert!(all.open.lock().unwrap().len() == 4 && !all.open.lock().unwrap().contains_key(&0));
        let _fifth = fifth.connection.begin();
        assert!(of(5, "192.0.2.1").is_none(), "all of that network are busy");
        let others: Vec<_> = (6..10).map(|n| of(n, "198.51.100.1").unwrap()).collect();
        assert_eq!(all.open.lock().unwrap().len(), 8);
        // no room at all: whoever has been idle for longest goes, whosever it is
        let next = of(10, "203.0.113.1").unwrap();
        assert!(!all.open.lock().unwrap().contains_key(&6));
        drop((others, next));
        first.truncate(1);
        assert_eq!(all.open.lock().unwrap().len(), 1, "places are given back");
    }

    #[test]
    fn threat_46_a_trusted_proxy_stands_for_everybody() {
        let (all, now) = (Connections::with_room_for(8), Instant::now());
        let places: Vec<_> = (0..8).filter_map(|n| all.admit(n, ip("192.0.2.1"), true, now)).collect();
        let busy: Vec<_> = places.iter().map(|place| place.connection.begin()).collect();
        assert_eq!(busy.len(), 8);
        assert!(all.admit(8, ip("192.0.2.1"), true, now).is_none());
    }

    #[tokio::test]
    async fn threat_46_a_connection_that_says_nothing_ends() {
        let ends_after = |connection: &Connection| {
            let state = connection.state();
            state.ends() - state.idle_since
        };
        let connection = Arc::new(Connection::new(None, Instant::now()));
        assert_eq!(ends_after(&connection), HEADER_TIMEOUT);
        connection.speaks(Protocol::Http2);
        assert_eq!(ends_after(&connection), HEADER_TIMEOUT, "nor one that speaks and asks for nothing");
        let request = connection.begin();
        assert!(connection.state().ends() > Instant::now());
        drop(request);
        connection.state().idle_since = Instant::now() - IDLE;
        connection.is_over().await;
        let stalled = Arc::new(Connection::new(None, Instant::now()));
        let _request = stalled.begin();
        stalled.state().stalled_since = Some(Instant::now() - STALLED);
        stalled.is_over().await;
        stalled.wrote(true);
        assert!(stalled.state().ends() > Instant::now());
    }
}
