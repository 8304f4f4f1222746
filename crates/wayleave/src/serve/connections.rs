//! The connections that are open (row 46): how many there may be, of one network and in all, and which are let go. One
//! that carries no request makes room for the next where there is none left, or one whose client takes and sends nothing.
//! Called by the accept loop.

use super::connection::{Connection, End, Rank};
use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use types::peer::network_of;

/// How often it is looked what has become of those that are open.
pub(super) const LOOKED_AT_EVERY: Duration = Duration::from_secs(1);
/// Most connections at one time, however many files may be open.
const MOST: usize = 10_000;
/// Most bytes of answers that wait in memory for their clients, in all.
const MOST_KEPT: u64 = 256 * 1_024 * 1_024;
/// Files that are kept for other things than connections: the fewest, and of how many files one.
const FEWEST_OTHER_FILES: usize = 48;
const OTHER_FILES_OF: usize = 8;
/// Files that one connection may need: its own, what a request of it opens, and what stays open beside: the other end of a
/// tunnel, the second file of a copy, a connection to a service that waits for the next call.
const FILES_OF_CONNECTION: usize = 3;
/// Most connections of the administration, which are kept apart from everybody's.
const MOST_OF_ADMINISTRATION: usize = 64;

/// All that are open.
pub struct Connections {
    open: Mutex<Open>,
    most: usize,
    /// Requests under way.
    requests: AtomicUsize,
    /// Bytes of answers in memory.
    kept: Arc<AtomicU64>,
    most_kept: u64,
}

#[derive(Default)]
struct Open {
    by_number: HashMap<u64, Arc<Connection>>,
    of_network: HashMap<String, Network>,
    last_number: u64,
    last_listener: u64,
}

/// What a network has.
#[derive(Default)]
struct Network {
    connections: usize,
    requests: Arc<AtomicUsize>,
}

/// The place of one request, given back when it is dropped.
pub(super) struct RequestPlace(Arc<Place>);

/// The place of one connection, given back when it is dropped.
pub(super) struct Place {
    pub(super) connection: Arc<Connection>,
    all: Arc<Connections>,
    number: u64,
}

impl Connections {
    /// Those of this process, whoever listens: as many as it may have files for, and for what each of them needs beside.
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
        Self::with_room_for_bytes(most, MOST_KEPT)
    }

    pub(super) fn with_room_for_bytes(most: usize, most_kept: u64) -> Arc<Self> {
        Arc::new(Self {
            open: Mutex::default(),
            most: most.max(2),
            requests: AtomicUsize::new(0),
            kept: Arc::default(),
            most_kept,
        })
    }

    fn open(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A place for another connection. One network has half of them at most, and has no more busy ones than are left; where there is none left, one that carries
    /// nothing makes room, or one that is slow. None: all of them are busy.
    pub(super) fn admit(self: &Arc<Self>, listener: u64, peer: IpAddr, is_trusted_proxy: bool, now: Instant) -> Option<Place> {
        let network = (!is_trusted_proxy).then(|| network_of(peer));
        let mut open = self.open();
        while open.count(network.as_ref()) >= self.most / 2 {
            open.make_room(now, |one| one.network == network)?;
        }
        if open.is_crowded(network.as_ref(), self.most) {
            open.make_room(now, |one| one.network == network)?;
        }
        while open.by_number.len() >= self.most {
            open.make_room(now, |_| true)?;
        }
        let connection =
            Arc::new(Connection::new(listener, network.clone(), now).counted_in(&self.kept, open.requests_of(network.as_ref())));
        open.last_number = open.last_number.wrapping_add(1);
        let number = open.last_number;
        open.put(number, connection.clone());
        drop(open);
        Some(Place { connection, all: self.clone(), number })
    }

    /// Makes room where there are no more files for another connection.
    pub(super) fn make_room(&self, now: Instant) {
        let _ = self.open().make_room(now, |_| true);
    }

    /// Whether there is a place for another request of a network. Each may need a file or a connection of its own, and one
    /// connection can carry many. A network has no more than are left: alone half of them, one of three a quarter, so that
    /// there is always something for whoever comes newly. Where there is nothing for it, a connection whose client is slow
    /// makes room, of this network or of one that has more.
    fn has_room_for_request(&self, connection: &Connection) -> bool {
        let free = self.most.saturating_sub(self.requests.load(Relaxed));
        let of_network = connection.network.as_ref().map_or(0, |_| connection.of_network.load(Relaxed));
        if of_network < free {
            return true;
        }
        let is_same = |one: &Connection| one.network == connection.network;
        let has_more = |one: &Connection| one.network.is_none() || one.of_network.load(Relaxed) > of_network;
        self.open().let_slowest_go(Instant::now(), |one| is_same(one) || has_more(one)).is_some()
    }

    /// Lets go of some of those that keep answers in memory for clients that do not take them, where all together keep too much:
    /// of those that are slow so many that it is some time until all are looked at again, of others no more than must be.
    pub(super) fn bound_memory(&self) {
        if self.kept.load(Relaxed) <= self.most_kept {
            return;
        }
        let now = Instant::now();
        let mut open = self.open();
        let mut of_network: HashMap<Option<&str>, u64> = HashMap::new();
        for one in open.by_number.values() {
            let sum = of_network.entry(one.network.as_deref()).or_default();
            *sum = sum.saturating_add(one.kept());
        }
        // those that are slow, of the network that keeps most; a proxy stands for many, and each of its connections for itself
        let weight = |one: &Connection| {
            let sum = of_network.get(&one.network.as_deref()).copied().filter(|_| one.network.is_some());
            (one.rank(now).is_some_and(|(rank, _)| rank == Rank::Slow), sum.unwrap_or_else(|| one.kept()), one.kept())
        };
        let mut all: Vec<_> = open.by_number.iter().filter(|(_, one)| one.kept() > 0).map(|(n, one)| (weight(one), *n)).collect();
        all.sort_unstable();
        let mut kept: u64 = open.by_number.values().map(|one| one.kept()).sum();
        let enough = self.most_kept / 8 * 7;
        while let Some(((is_slow, ..), number)) = all.pop()
            && (kept > self.most_kept || is_slow && kept > enough)
        {
            if let Some(gone) = open.take(number) {
                kept = kept.saturating_sub(gone.kept());
                gone.let_go(End::AtOnce);
            }
        }
    }

    /// Looks at each of them.
    pub(super) fn look(&self, now: Instant) {
        let mut open = self.open();
        open.by_number.values().for_each(|one| one.look(now));
        open.of_network.retain(|_, network| network.connections > 0 || network.requests.load(Relaxed) > 0);
    }

    /// Whether so many are open, and something is under way in each.
    #[cfg(test)]
    pub(super) fn are_busy(&self, count: usize) -> bool {
        let open = self.open();
        open.by_number.len() == count && open.by_number.values().all(|one| one.is_busy())
    }

    /// Requests under way.
    #[cfg(test)]
    pub(super) fn count_requests(&self) -> usize {
        self.requests.load(Relaxed)
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
        network.and_then(|network| self.of_network.get(network)).map_or(0, |network| network.connections)
    }

    /// Whether a network has so many that are busy that as many are not left.
    fn is_crowded(&self, network: Option<&String>, most: usize) -> bool {
        let left = most.saturating_sub(self.by_number.len());
        // all are looked at only where they may be too many
        if network.is_none() || self.count(network) < left {
            return false;
        }
        let busy = || self.by_number.values().filter(|one| one.is_busy());
        let own = busy().filter(|one| one.network.as_ref() == network).count();
        own > 0 && own >= most.saturating_sub(busy().count())
    }

    /// The count of requests of a network.
    fn requests_of(&mut self, network: Option<&String>) -> Arc<AtomicUsize> {
        network.map(|network| self.of_network.entry(network.clone()).or_default().requests.clone()).unwrap_or_default()
    }

    /// Lets go of that one of these whose client is slow that has most under way.
    fn let_slowest_go(&mut self, now: Instant, may_go: impl Fn(&Connection) -> bool) -> Option<()> {
        let is_slow = |one: &Connection| one.rank(now).is_some_and(|(rank, _)| rank == Rank::Slow);
        let slow = self.by_number.iter().filter(|(_, one)| may_go(one) && is_slow(one));
        let (_, number) = slow.map(|(number, one)| (one.count_under_way(), *number)).max()?;
        self.take(number)?.let_go(End::AtOnce);
        Some(())
    }

    fn put(&mut self, number: u64, connection: Arc<Connection>) {
        let network = connection.network.clone();
        if self.by_number.insert(number, connection).is_none()
            && let Some(network) = network
        {
            let network = self.of_network.entry(network).or_default();
            network.connections = network.connections.saturating_add(1);
        }
    }

    fn take(&mut self, number: u64) -> Option<Arc<Connection>> {
        let taken = self.by_number.remove(&number)?;
        if let Some(network) = &taken.network
            && let Some(has) = self.of_network.get_mut(network)
        {
            has.connections = has.connections.saturating_sub(1);
            // requests of connections that were let go end in a moment, and are counted as long
            if has.connections == 0 && has.requests.load(Relaxed) == 0 {
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
    /// A place for a request of it; none: too many are under way.
    pub(super) fn admit_request(self: &Arc<Self>) -> Option<RequestPlace> {
        if !self.all.has_room_for_request(&self.connection) {
            return None;
        }
        self.all.requests.fetch_add(1, Relaxed);
        self.connection.of_network.fetch_add(1, Relaxed);
        Some(RequestPlace(self.clone()))
    }

    /// Bounds what all of them keep in memory.
    pub(super) fn bound_memory(&self) {
        self.all.bound_memory();
    }

    /// It stays after all: something began in it at the moment when it was let go.
    pub(super) fn keep(&self) {
        self.all.open().put(self.number, self.connection.clone());
    }
}

impl Drop for RequestPlace {
    fn drop(&mut self) {
        self.0.all.requests.fetch_sub(1, Relaxed);
        self.0.connection.of_network.fetch_sub(1, Relaxed);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.all.open().take(self.number);
    }
}

/// How many connections this process may have.
fn places() -> usize {
    places_within(open_files())
}

/// How many there may be with so many files, so that there is one for whatever each of them needs: where files ran out, nobody
/// at all would be answered, and whoever administers could not end it.
fn places_within(files: usize) -> usize {
    let others = (files / OTHER_FILES_OF).max(FEWEST_OTHER_FILES);
    (files.saturating_sub(others) / FILES_OF_CONNECTION).min(MOST)
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
mod tests;
