//! The connections that are open (row 46): how many there may be, of one network and in all, and which are let go. One
//! that carries no request makes room for the next where there is none left, or one whose client takes and sends nothing.
//! Called by the accept loop.

use super::connection::{Connection, End};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use types::peer::network_of;

/// How often it is looked what has become of those that are open.
pub(super) const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// Most connections at one time, however many files may be open.
const MOST: usize = 10_000;
/// Files that are kept for other things than connections.
const OTHER_FILES: usize = 32;
/// Most connections of the administration, which are kept apart from everybody's.
const MOST_OF_ADMINISTRATION: usize = 64;

/// All that are open.
pub struct Connections {
    open: Mutex<Open>,
    most: usize,
}

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, Arc<Connection>>,
    of_network: HashMap<String, usize>,
    last_number: u64,
    last_listener: u64,
}

/// The place of one connection, given back when it is dropped.
pub(super) struct Place {
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// Those of this process, whoever listens: as many as it may have files for, as each may need another file, or another
    /// connection.
    pub fn of_process() -> Arc<Self> {
        static ALL: OnceLock<Arc<Connections>> = OnceLock::new();
        ALL.get_or_init(|| Self::with_room_for(places().saturating_sub(places_of_administration()))).clone()
    }

    /// A part of them, so that whoever administers gets in where everybody else's places are taken.
    pub fn of_administration() -> Arc<Self> {
        static ALL: OnceLock<Arc<Connections>> = OnceLock::new();
        ALL.get_or_init(|| Self::with_room_for(places_of_administration())).clone()
    }

    pub(super) fn with_room_for(most: usize) -> Arc<Self> {
        Arc::new(Self { open: Mutex::default(), most: most.max(2) })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection. One network has half of them at most; where there is none left, one that carries
    /// nothing makes room, or one that is slow. None: all of them are busy.
    pub(super) fn admit(self: &Arc<Self>, listener: u64, peer: IpAddr, is_trusted_proxy: bool, now: Instant) -> Option<Place> {
        let network = (!is_trusted_proxy).then(|| network_of(peer));
        let mut open = self.open();
        while open.count(network.as_ref()) >= self.most / 2 {
            open.make_room(now, |one| one.network == network)?;
        }
        while open.by_number.len() >= self.most {
            open.make_room(now, |_| true)?;
        }
        let connection = Arc::new(Connection::new(listener, network, now));
        open.last_number = open.last_number.wrapping_add(1);
        let number = open.last_number;
        open.put(number, connection.clone());
        drop(open);
        Some(Place { connection, all: self.clone(), number })
    }

    /// Looks at each of them.
    pub(super) fn look(&self, now: Instant) {
        self.open().by_number.values().for_each(|one| one.look(now));
    }

    /// Whether so many are open, and something is under way in each.
    #[cfg(test)]
    pub(super) fn are_busy(&self, count: usize) -> bool {
        let open = self.open();
        open.by_number.len() == count && open.by_number.values().all(|one| one.is_busy())
    }

    /// A number for one of those who listen.
    pub(super) fn number_listener(&self) -> u64 {
        let mut open = self.open();
        open.last_listener = open.last_listener.wrapping_add(1);
        open.last_listener
    }

    /// Each that came by this listener comes to its end with what is under way in it.
    pub(super) fn close(&self, listener: u64) {
        let open = self.open();
        open.by_number.values().filter(|one| one.listener == listener).for_each(|one| one.let_go(End::Politely));
    }
}

impl Open {
    /// Those of a network; of trusted proxies none are counted.
    fn count(&self, network: Option<&String>) -> usize {
        network.and_then(|network| self.of_network.get(network)).copied().unwrap_or(0)
    }

    fn put(&mut self, number: u64, connection: Arc<Connection>) {
        let network = connection.network.clone();
        if self.by_number.insert(number, connection).is_none()
            && let Some(network) = network
        {
            let count = self.of_network.entry(network).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn take(&mut self, number: u64) -> Option<Arc<Connection>> {
        let taken = self.by_number.remove(&number)?;
        if let Some(network) = &taken.network
            && let Some(count) = self.of_network.get_mut(network)
        {
            *count = count.saturating_sub(1);
            if *count == 0 {
                self.of_network.remove(network);
            }
        }
        Some(taken)
    }

    /// Lets go of one of these: of those that can go, one of the network that has most, and there the one that has been idle
    /// for longest.
    fn make_room(&mut self, now: Instant, may_go: impl Fn(&Connection) -> bool) -> Option<()> {
        let can_go = self.by_number.iter().filter(|(_, one)| may_go(one)).filter_map(|(number, one)| {
            let (rank, since) = one.rank(now)?;
            Some((rank, Reverse(self.count(one.network.as_ref())), since, *number))
        });
        let (.., number) = can_go.min()?;
        let gone = self.take(number)?;
        gone.let_go(if gone.is_busy() { End::AtOnce } else { End::IfIdle });
        Some(())
    }
}

impl Place {
    /// It stays after all: something began in it at the moment when it was let go.
    pub(super) fn keep(&self) {
        self.all.open().put(self.number, self.connection.clone());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().take(self.number);
    }
}

/// How many connections this process may have.
fn places() -> usize {
    (open_files().saturating_sub(OTHER_FILES) / 2).min(MOST)
}

fn places_of_administration() -> usize {
    (places() / 8).min(MOST_OF_ADMINISTRATION)
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
    use super::super::connection::{SLOW_AFTER, UnderWay};
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_open(all: &Connections, place: &Place) -> bool {
        all.open().by_number.contains_key(&place.number)
    }

    fn count(all: &Connections) -> usize {
        let open = all.open();
        assert!(open.of_network.values().sum::<usize>() <= open.by_number.len());
        open.by_number.len()
    }

    #[test]
    fn threat_46_idle_connections_make_room_and_one_network_does_not_have_all() {
        let (all, now) = (Connections::with_room_for(8), Instant::now());
        let of = |n: u64, text: &str| all.admit(0, ip(text), false, now + Duration::from_secs(n));
        let mut first: Vec<_> = (0..4).map(|n| of(n, "192.0.2.1").unwrap()).collect();
        let _busy: Vec<_> = first[1..].iter().map(|place| place.connection.begin()).collect();
        // the fifth of one network takes the place of the one that carries nothing
        let fifth = of(4, "192.0.2.99").unwrap();
        assert!(count(&all) == 4 && !is_open(&all, &first[0]));
        let _fifth = fifth.connection.begin();
        assert!(of(5, "192.0.2.1").is_none(), "all of that network are busy");
        let others: Vec<_> = (6..10).map(|n| of(n, "198.51.100.1").unwrap()).collect();
        assert_eq!(count(&all), 8);
        // no room at all: whoever has been idle for longest goes, whosever it is
        let next = of(10, "203.0.113.1").unwrap();
        assert!(!is_open(&all, &others[0]));
        drop((others, next));
        assert_eq!(count(&all), 4, "places are given back");
        first.clear();
        drop(fifth);
        assert!(count(&all) == 0 && all.open().of_network.is_empty());
    }

    /// Several parties may run in one process: whoever ends takes no other's connections along.
    #[tokio::test]
    async fn threat_46_a_listener_that_ends_closes_its_own_connections() {
        let (all, now) = (Connections::with_room_for(8), Instant::now());
        let (one, other) = (all.number_listener(), all.number_listener());
        let places = [one, other].map(|listener| all.admit(listener, ip("192.0.2.1"), false, now).unwrap());
        all.close(one);
        assert_eq!(places[0].connection.is_over().await, End::Politely);
        assert!(futures_util::FutureExt::now_or_never(places[1].connection.is_over()).is_none());
    }

    #[test]
    fn threat_46_a_trusted_proxy_stands_for_everybody() {
        let (all, now) = (Connections::with_room_for(8), Instant::now());
        let places: Vec<_> = (0..8).filter_map(|_| all.admit(0, ip("192.0.2.1"), true, now)).collect();
        let busy: Vec<_> = places.iter().map(|place| place.connection.begin()).collect();
        assert_eq!(busy.len(), 8);
        assert!(all.admit(0, ip("192.0.2.1"), true, now).is_none());
    }

    /// Two networks whose answers stall have all places: whoever comes gets one of theirs, of the larger network first, and
    /// those that came by an honest request keep theirs.
    #[test]
    fn threat_46_answers_that_stall_make_room() {
        let (all, mut now) = (Connections::with_room_for(8), Instant::now());
        let stalled = |text: &str, count: usize, now: Instant| -> Vec<(Place, UnderWay)> {
            let places = (0..count).map(|_| all.admit(0, ip(text), false, now).unwrap());
            let stall = |place: Place| {
                let request = place.connection.begin();
                place.connection.waits_for_client(true);
                (place, request)
            };
            places.map(stall).collect()
        };
        let (_proxied, evil, more) = (
            all.admit(0, ip("198.51.100.200"), true, now).map(|place| (place.connection.begin(), place)),
            stalled("192.0.2.1", 4, now),
            stalled("203.0.113.1", 3, now),
        );
        assert!(all.admit(0, ip("198.51.100.1"), false, now).is_none(), "for some seconds nobody knows that they stall");
        for _ in 0..SLOW_AFTER.as_secs() {
            now += Duration::from_secs(1);
            all.look(now);
        }
        let one = all.admit(0, ip("198.51.100.1"), false, now).unwrap();
        assert_eq!(count(&all), 8);
        assert_eq!(evil.iter().filter(|(place, _)| is_open(&all, place)).count(), 3, "one of the larger network went");
        // a second one does not take the place of the first, whose request is on its way
        let two = all.admit(0, ip("198.51.100.2"), false, now).unwrap();
        assert!(is_open(&all, &one) && is_open(&all, &two));
        assert_eq!(evil.iter().chain(&more).filter(|(place, _)| is_open(&all, place)).count(), 5);
        assert_eq!(count(&all), 8);
    }

    /// A request that begins at the moment when its connection is chosen goes on, and is counted.
    #[tokio::test]
    async fn threat_46_a_request_that_has_begun_is_not_cut() {
        let (all, now) = (Connections::with_room_for(2), Instant::now());
        let place = all.admit(0, ip("192.0.2.1"), false, now).unwrap();
        let _next = all.admit(0, ip("192.0.2.2"), false, now).unwrap();
        let _request = place.connection.begin();
        assert_eq!(place.connection.is_over().await, End::IfIdle);
        assert!(place.connection.is_busy());
        place.keep();
        place.keep();
        assert_eq!(count(&all), 2);
        assert_eq!(all.open().count(place.connection.network.as_ref()), 2);
        // who comes next waits for both to be idle, so that there are not more and more
        assert!(all.admit(0, ip("192.0.2.3"), false, now).is_none());
    }
}
