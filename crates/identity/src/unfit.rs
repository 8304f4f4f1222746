//! What the log says of clients that are not what stands here of them: a name that nobody knows, a proof that is not the declared
//! client's, a place to go on that is not in its list. Whoever writes `[[client]]` finds a slip of the pen there; the answer
//! tells it to the other side alone. Called wherever a client is first looked at: the authorization, claims interaction and
//! log-out endpoints, and where clients authenticate.
//!
//! Anybody may make such requests, so that lines are few: the same slip is told once in ten minutes, and of all others so
//! many of a network, and of all together. What was left out is counted in the next line.

use crate::{Client, Identity};
use std::sync::atomic::{AtomicU64, Ordering};
use types::Timestamp;
use types::spelling::readable;
use types::throttle::{NetworkShares, NetworkThrottle, Taken, Throttle};
use url::Url;

/// Seconds in which the same is told once, and in which lines are counted.
const SPAN_SECONDS: i64 = 600;
/// Lines of one network, and of a household whose neighbours used them up.
const LINES_OF_NETWORK: NetworkShares = NetworkShares { network: 20, household: 5, late: 10 };
/// Lines of everybody.
const LINES: u32 = 100;
/// Letters of a name that nobody knows.
const MOST_SHOWN: usize = 4;

/// What of a client does not fit.
#[derive(Clone, Copy)]
pub enum Unfit<'a> {
    /// Nobody here knows a client by this name.
    Unknown(&'a str),
    /// What was sent to prove that the caller is this client does not.
    Proof(&'a Client),
    /// It would go on at a place that is not in this list of its registration.
    Place { client: &'a Client, list: &'static str, uri: &'a str },
}

impl Unfit<'_> {
    /// Whether an operator can mend it. What a client registered by itself is its own matter.
    fn is_of_operator(&self) -> bool {
        match self {
            Self::Unknown(_) => true,
            Self::Proof(client) | Self::Place { client, .. } => client.declared,
        }
    }

    fn name(&self) -> String {
        match self {
            Self::Unknown(id) => format!("unknown {id}"),
            Self::Proof(client) => format!("proof {}", client.id),
            Self::Place { client, list, uri } => format!("{list} {} {uri}", client.id),
        }
    }

    /// Quoted, so that what others wrote looks like no other field of the line.
    fn write(&self, untold: u64) {
        match self {
            Self::Unknown(id) => {
                let (begins, length) = (beginning_of(id), id.chars().count());
                tracing::warn!(
                    ?begins,
                    length,
                    untold,
                    "no client has this `client_id`: is there a `[[client]]` with it, or were name and secret exchanged?"
                );
            }
            Self::Proof(client) => {
                let client_id = readable(client.id.as_str());
                tracing::warn!(
                    ?client_id,
                    untold,
                    "a declared client could not prove itself: is its secret, or its key, the same on both sides?"
                );
            }
            Self::Place { client, list, uri } => {
                let known =
                    client.redirect_uris.iter().chain(&client.claims_redirect_uris).chain(&client.post_logout_redirect_uris);
                let (client_id, uri) = (readable(client.id.as_str()), place_of(uri, known));
                tracing::warn!(?client_id, ?uri, untold, "a declared client would go on at a place that is not in its `{list}`");
            }
        }
    }
}

/// Enough of a name to know it by, and no secret that was sent in its place.
fn beginning_of(id: &str) -> String {
    let mut letters = readable(id).chars().collect::<Vec<_>>();
    letters.truncate(MOST_SHOWN.min(letters.len() / 4));
    letters.into_iter().collect()
}

/// Of a URI what an operator compares: where it is, and its path as far as it is that of one which is registered. What follows, a user
/// and whatever is no URL may be what opens something.
fn place_of<'a>(uri: &str, known: impl Iterator<Item = &'a String>) -> String {
    let Ok(url) = Url::parse(uri) else { return "…".to_owned() };
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let begins = match url.host_str() {
        Some(host) => format!("{}://{host}{port}", url.scheme()),
        None => format!("{}:", url.scheme()),
    };
    let own: Vec<&str> = url.path().split_inclusive('/').collect();
    let shared = |other: Url| {
        let same = other.path().split_inclusive('/').zip(&own).take_while(|(one, other)| one == *other).count();
        own.iter().take(same).copied().collect::<String>()
    };
    let path = known.filter_map(|one| Url::parse(one).ok()).map(shared).max_by_key(String::len).unwrap_or_default();
    let whole = format!("{begins}{path}");
    let left_out = if whole == uri { "" } else { "…" };
    format!("{}{left_out}", readable(&whole))
}

/// What was told of late.
pub(crate) struct UnfitLog {
    networks: NetworkThrottle,
    all: Throttle,
    same: Throttle,
    untold: AtomicU64,
}

impl Default for UnfitLog {
    fn default() -> Self {
        Self {
            networks: NetworkThrottle::per(LINES_OF_NETWORK, SPAN_SECONDS),
            all: Throttle::per(LINES, SPAN_SECONDS),
            same: Throttle::per(1, SPAN_SECONDS),
            untold: AtomicU64::new(0),
        }
    }
}

impl UnfitLog {
    /// Takes a line of whoever calls from this address. `None`: this was told, or too much was; else how many were left out
    /// because of that since the last line.
    fn take_line(&self, name: &str, address: &str, now: Timestamp) -> Option<u64> {
        let of_network = self.networks.take(address, now);
        let mut rest = Taken::default();
        if of_network.is_none() || !rest.take(&self.all, "", now) {
            of_network.into_iter().for_each(Taken::give_back);
            self.untold.fetch_add(1, Ordering::Relaxed);
            return None;
        }
        if !rest.take(&self.same, name, now) {
            of_network.into_iter().chain([rest]).for_each(Taken::give_back);
            return None;
        }
        Some(self.untold.swap(0, Ordering::Relaxed))
    }
}

impl Identity {
    /// Writes into the log that a client is not what stands here of it. `address`: who sent it.
    pub fn tell_unfit(&self, unfit: Unfit<'_>, address: &str) {
        if !unfit.is_of_operator() {
            return;
        }
        if let Some(untold) = self.unfit.take_line(&unfit.name(), address, self.now()) {
            unfit.write(untold);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn threat_20_a_slip_of_the_pen_is_told_without_what_may_open_something() {
        for (id, begins) in [("vewer", "v"), ("photos-secret", "pho"), ("p4ssw0rd", "p4"), ("x", ""), ("", "")] {
            assert_eq!(beginning_of(id), begins);
        }
        let known = ["http://127.0.0.1:9003/app/callback".to_owned(), "app.example:/back".to_owned()];
        for (uri, place) in [
            ("http://127.0.0.1:9004/app/callback", "http://127.0.0.1:9004/app/callback"),
            ("http://user:topsecret@127.0.0.1:9003/app/callback?code=ABC#x", "http://127.0.0.1:9003/app/callback…"),
            ("https://a.example?code=ABC", "https://a.example/…"),
            ("app.example:/back#token", "app.example:/back…"),
            ("http://127.0.0.1:9003/app/callback%3Fcode=SECRET", "http://127.0.0.1:9003/app/…"),
            ("http://127.0.0.1:9003/app/callback&code=SECRET", "http://127.0.0.1:9003/app/…"),
            ("http://127.0.0.1:9003/app/callback/TOKEN", "http://127.0.0.1:9003/app/…"),
            ("https:/u:secret@h/", "https://h/…"),
            ("https:\\\\u:secret@h\\x", "https://h/…"),
            ("app:user:secret@h", "app:…"),
            ("http://u:pa/ss@host/", "…"),
            ("secret", "…"),
        ] {
            assert_eq!(place_of(uri, known.iter()), place, "{uri}");
        }
    }

    #[test]
    fn threat_46_a_slip_of_the_pen_is_told_once_and_strangers_do_not_fill_the_log() {
        let log = UnfitLog::default();
        let tell = |name: &str, address: &str, at: i64| log.take_line(name, address, NOW.plus(at));
        assert_eq!(tell("unknown vewer", "192.0.2.1", 0), Some(0));
        assert!((0..1_000).all(|_| tell("unknown vewer", "192.0.2.1", 1).is_none()), "the same");
        assert_eq!((0..1_000).filter(|n| tell(&format!("a {n}"), "192.0.2.1", 2).is_some()).count(), 19, "a network");
        // its neighbour has a few still, and the line says that others were left out
        assert_eq!(tell("unknown photos", "192.0.2.2", 3), Some(981));
        let everywhere = |n: u32| tell(&format!("b {n}"), &format!("10.{}.{}.1", n % 200, n / 200), 4);
        assert_eq!((0..10_000).filter(|n| everywhere(*n).is_some()).count(), 79, "all together");
        assert!(tell("unknown vewer", "192.0.2.1", 600).is_some(), "it stands still");
    }
}
