//! What callers are limited by, besides log-ins ([`crate::login::LogInLimits`]). Each limit is taken before the work that it
//! stands for - a signature, a fetch, a row -, is keyed by what it protects, and where anybody may call by the caller's network
//! (rule 4 of the security cases; protocol.md 1.7). Memories are apart, so that made-up names crowd nobody out.

use crate::{Client, Failure};
use types::throttle::{NetworkShares, NetworkThrottle, Taken, Throttle, host_of, network_of};
use types::{ClientId, ErrorCode, Timestamp};

const MINUTE_SECONDS: i64 = 60;
const DAY_SECONDS: i64 = 86_400;
/// Registrations of one network in a minute, and those of a household where its neighbours used them up.
const REGISTRATIONS: NetworkShares = NetworkShares { network: 300, household: 10, late: 150 };
/// Registrations of one network in a day, likewise: each leaves a row for as long.
const REGISTRATIONS_BY_DAY: NetworkShares = NetworkShares { network: 3_000, household: 50, late: 1_500 };
/// Changes of a registration in a minute, by whoever holds its token; and tries of one network to be whoever does.
const CHANGES: u32 = 60;
const WRONG_CHANGES: NetworkShares = REGISTRATIONS;
/// Registrations of one network in a minute that bring something to be verified first: a statement, or a token that came by
/// mail. They are counted again by what was verified.
const VOUCHED_REGISTRATIONS: u32 = 600;
/// Registrations in a minute of one software, or of people who were invited from one domain.
const VERIFIED_REGISTRATIONS: u32 = 3_000;
const WEBFINGER_LOOKUPS: u32 = 600;
/// Requests of one network in a minute that are pushed by clients whom nobody here knows.
const PUSHED_BY_STRANGERS: u32 = 300;
/// Browsers of one network in a minute that go to another provider, or come back.
const LOG_INS_ELSEWHERE: u32 = 300;
/// Wrong proofs in a minute from one host: of one client, and of all that nobody knows.
const WRONG_PROOFS: u32 = 300;

/// The memories.
pub struct Limits {
    registrations: NetworkThrottle,
    registrations_by_day: NetworkThrottle,
    changes: Throttle,
    wrong_changes: NetworkThrottle,
    vouched: Throttle,
    software: Throttle,
    invited: Throttle,
    webfinger: Throttle,
    clients: Throttle,
    public_clients: Throttle,
    pushed: Throttle,
    elsewhere: Throttle,
    wrong_proofs: Throttle,
    unknown_clients: Throttle,
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::TooManyRequests, format!("{what}: wait a minute"))
}

fn check(admitted: bool, what: &str) -> Result<(), Failure> {
    if admitted { Ok(()) } else { refuse(what) }
}

/// One of a count, to be given back where another count refuses or nothing was done.
fn take<'a>(throttle: &'a Throttle, name: &str, now: Timestamp, what: &str) -> Result<Taken<'a>, Failure> {
    let mut taken = Taken::default();
    check(taken.take(throttle, name, now), what).map(|()| taken)
}

impl Limits {
    pub fn new(requests_per_minute_per_client: u32) -> Self {
        Self {
            registrations: NetworkThrottle::per(REGISTRATIONS, MINUTE_SECONDS),
            registrations_by_day: NetworkThrottle::per(REGISTRATIONS_BY_DAY, DAY_SECONDS),
            changes: Throttle::per_minute(CHANGES),
            wrong_changes: NetworkThrottle::per(WRONG_CHANGES, MINUTE_SECONDS),
            vouched: Throttle::per_minute(VOUCHED_REGISTRATIONS),
            software: Throttle::per_minute(VERIFIED_REGISTRATIONS),
            invited: Throttle::per_minute(VERIFIED_REGISTRATIONS),
            webfinger: Throttle::per_minute(WEBFINGER_LOOKUPS),
            clients: Throttle::per_minute(requests_per_minute_per_client),
            public_clients: Throttle::per_minute(requests_per_minute_per_client),
            pushed: Throttle::per_minute(PUSHED_BY_STRANGERS),
            elsewhere: Throttle::per_minute(LOG_INS_ELSEWHERE),
            wrong_proofs: Throttle::per_minute(WRONG_PROOFS),
            unknown_clients: Throttle::per_minute(WRONG_PROOFS),
        }
    }

    /// A stranger registers a client. What is refused is not counted.
    pub(crate) fn count_registration(&self, address: &str, now: Timestamp) -> Result<(), Failure> {
        let refused = "too many registrations from your network";
        let Some(of_minute) = self.registrations.take(address, now) else { return refuse(refused) };
        if self.registrations_by_day.admit(address, now) {
            return Ok(());
        }
        of_minute.give_back();
        refuse(refused)
    }

    /// Somebody says that she holds a client's registration token.
    pub(crate) fn begin_change(&self, address: &str, now: Timestamp) -> Result<Taken<'_>, Failure> {
        let tried = self.wrong_changes.take(address, now);
        tried.map_or_else(|| refuse("too many wrong registration access tokens from your network"), Ok)
    }

    /// She does: the network's count has its try back, and the change is the client's own.
    pub(crate) fn count_change(&self, tried: Taken<'_>, client: &ClientId, now: Timestamp) -> Result<(), Failure> {
        tried.give_back();
        check(self.changes.admit(client.as_str(), now), "too many changes of this registration")
    }

    /// Something is to be verified before it is known what a registration counts by.
    pub(crate) fn count_vouched(&self, address: &str, now: Timestamp) -> Result<Taken<'_>, Failure> {
        take(&self.vouched, &network_of(address), now, "too many registrations from your network")
    }

    pub(crate) fn count_software(&self, software: &str, now: Timestamp) -> Result<(), Failure> {
        check(self.software.admit(software, now), "too many registrations of this software")
    }

    pub(crate) fn count_invited(&self, domain: &str, now: Timestamp) -> Result<(), Failure> {
        check(self.invited.admit(domain, now), "too many registrations from your domain")
    }

    /// Whoever tries many addresses is not told who has an account.
    pub(crate) fn count_webfinger(&self, address: &str, now: Timestamp) -> Result<(), Failure> {
        check(self.webfinger.admit(&network_of(address), now), "too many addresses")
    }

    /// Counted once it is known who asks, so that nobody uses up another client's share: one that proved itself counts as
    /// itself wherever it is, and one that only named itself counts per caller, since anybody may name it.
    pub(crate) fn count_request(&self, client: &Client, address: &str, now: Timestamp) -> Result<Taken<'_>, Failure> {
        const WHAT: &str = "too many requests of this client";
        match client.is_public() {
            true => take(&self.public_clients, &of_client(&client.id, address), now, WHAT),
            false => take(&self.clients, client.id.as_str(), now, WHAT),
        }
    }

    /// A request is to be kept for a client that nobody here vouches for: a public one, which anybody may name, or one that
    /// a stranger registered.
    pub(crate) fn count_pushed(&self, client: &Client, address: &str, now: Timestamp) -> Result<Taken<'_>, Failure> {
        match client.is_public() || !client.declared {
            true => take(&self.pushed, &network_of(address), now, "too many pushed requests from your network"),
            false => Ok(Taken::default()),
        }
    }

    /// Another provider is to be called for somebody who may be anybody.
    pub(crate) fn count_elsewhere(&self, address: &str, now: Timestamp) -> Result<(), Failure> {
        check(self.elsewhere.admit(&network_of(address), now), "too many log-ins elsewhere from your network")
    }

    /// Somebody says that she is this client, or one that nobody knows: a try is taken before anything is checked, and given
    /// back where the proof is right. What is checked meanwhile waits for nothing, but for keys that have come newly; so right
    /// proofs that come at once do not count against each other.
    pub(crate) fn begin_proof(&self, client: Option<&Client>, address: &str, now: Timestamp) -> Result<Taken<'_>, Failure> {
        let (throttle, name) = match client {
            Some(client) => (&self.wrong_proofs, of_client(&client.id, address)),
            None => (&self.unknown_clients, host_of(address)),
        };
        take(throttle, &name, now, "too many wrong credentials from your address")
    }
}

fn of_client(client: &ClientId, address: &str) -> String {
    format!("{client} {}", host_of(address))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A network that has used up its day has its minute still, and the other way round.
    #[test]
    fn threat_46_what_is_refused_uses_up_nothing_else() {
        let (limits, now) = (Limits::new(60), Timestamp(1_800_000_000));
        let register = |address: &str, at: i64| limits.count_registration(address, now.plus(at)).is_ok();
        for minute in 0..10 {
            assert_eq!((0..1_000).filter(|_| register("192.0.2.1", 60 * minute)).count(), 300);
        }
        assert!((0..1_000).all(|_| !register("192.0.2.1", 700)), "its day is used up");
        assert_eq!((0..100).filter(|_| limits.registrations.admit("192.0.2.1", now.plus(700))).count(), 100);
        assert_eq!(
            (0..100).filter(|_| register("192.0.2.2", 700)).count(),
            50,
            "a neighbour has hers of the day, since the minute has room"
        );
    }
}
