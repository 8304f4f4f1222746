//! What log-ins are limited by, so that nobody guesses a password and nobody shuts an owner out (NIST SP 800-63B 5.2.2).
//!
//! - Whoever tries: a host has so many wrong tries in a minute.
//! - An account, however it is named, and in the same way a name that is nobody's: as many in a minute, [`TRIES_BY_DAY`] in a
//!   day. One host has half of either, and one network leaves some, so that neither alone uses them up.
//! - Beyond those of a day, whoever had no part in using them up has a few more ([`RESERVE`]): what others do slows her down,
//!   and keeps her out only where they come from everywhere.
//! - A browser in which somebody has logged in to this account before has counts of its own: a flood from elsewhere does not
//!   count against her. So has a session, where the password is asked for again. All those of an account together have
//!   [`KNOWN_OF_ACCOUNT`] as many as one, and all that try at one host [`KNOWN_OF_HOST`] as many: whoever came by one, or has
//!   many of an account of his own, meets a limit too.
//!
//! Each has a memory of its own, so that made-up names and addresses crowd no account.

use crate::Failure;
use types::throttle::{Reserve, Shares, Taken, Throttle, host_of, network_of};
use types::{ErrorCode, Timestamp};

const DAY_SECONDS: i64 = 86_400;
/// Wrong tries at one account in a day, from wherever nobody has logged in to it before.
const TRIES_BY_DAY: u32 = 100;
/// Tries of a day at one account beyond these, for those who have not tried so often yet. Whoever guesses has at most 820 a day
/// with them, 300,000 in a year, and for that must come from twenty regions (/16, /32).
const RESERVE: Shares = Shares { household: 3, network: 12, region: 36, all: 720 };
/// How much more than one known browser all those of an account may try, in a minute and in a day.
const KNOWN_OF_ACCOUNT: u32 = 5;
/// How much more than a stranger known browsers at one host may try in a minute.
const KNOWN_OF_HOST: u32 = 6;

/// The memories.
pub struct LogInLimits {
    hosts: Throttle,
    accounts: Shared,
    names: Shared,
    known: Limit,
    known_of_account: Limit,
    known_hosts: Throttle,
}

/// What is tried, by all together and by each.
struct Shared {
    all: Limit,
    by_network: Limit,
    by_host: Limit,
    reserve: Reserve,
}

/// So many in a minute, and so many in a day.
struct Limit {
    minute: Throttle,
    day: Throttle,
}

/// Tries that a log-in has taken, to be given back where it was right.
pub(crate) struct Attempt<'a> {
    limits: &'a LogInLimits,
    taken: Taken<'a>,
}

impl Limit {
    fn of(by_minute: u32, by_day: u32) -> Self {
        Self { minute: Throttle::per_minute(by_minute), day: Throttle::per(by_day, DAY_SECONDS) }
    }
}

impl Shared {
    fn of(by_minute: u32, by_day: u32) -> Self {
        let of_network = |most: u32| most.saturating_sub((most / 5).max(1)).max(1);
        Self {
            all: Limit::of(by_minute, by_day),
            by_network: Limit::of(of_network(by_minute), of_network(by_day)),
            by_host: Limit::of(by_minute.div_ceil(2), by_day.div_ceil(2)),
            reserve: Reserve::per(RESERVE, DAY_SECONDS),
        }
    }
}

impl LogInLimits {
    pub fn per_minute(most: u32) -> Self {
        let by_day = TRIES_BY_DAY.max(most);
        let of_account = |one: u32| one.saturating_mul(KNOWN_OF_ACCOUNT);
        Self {
            hosts: Throttle::per_minute(most),
            accounts: Shared::of(most, by_day),
            names: Shared::of(most, by_day),
            known: Limit::of(most, by_day),
            known_of_account: Limit::of(of_account(most), of_account(by_day)),
            known_hosts: Throttle::per_minute(most.saturating_mul(KNOWN_OF_HOST)),
        }
    }

    pub(crate) fn begin(&self) -> Attempt<'_> {
        Attempt { limits: self, taken: Taken::default() }
    }
}

impl<'a> Attempt<'a> {
    /// Of whoever is at this address.
    pub(crate) fn take_of_host(&mut self, address: &str, now: Timestamp) -> Result<(), Failure> {
        self.take(&self.limits.hosts, &host_of(address), now, MINUTE)
    }

    /// Of an account, from a browser that is not known.
    pub(crate) fn take_of_account(&mut self, account: &str, address: &str, now: Timestamp) -> Result<(), Failure> {
        self.take_of_shared(&self.limits.accounts, account, address, now)
    }

    /// Of whoever is at this address with a browser that is known.
    pub(crate) fn take_of_known_host(&mut self, address: &str, now: Timestamp) -> Result<(), Failure> {
        self.take(&self.limits.known_hosts, &host_of(address), now, MINUTE)
    }

    /// Of an account, from a browser or session of hers. Its own share comes first: what is too much for one is not counted
    /// against the others.
    pub(crate) fn take_of_known(&mut self, account: &str, browser: &str, now: Timestamp) -> Result<(), Failure> {
        let before = self.taken.count();
        let taken = self
            .take_both(&self.limits.known, &format!("{account} {browser}"), now)
            .and_then(|()| self.take_both(&self.limits.known_of_account, account, now));
        if taken.is_err() {
            self.taken.give_back_after(before);
        }
        taken
    }

    /// Of a name that is nobody's: the same as of an account, or else limits would tell who has one.
    pub(crate) fn take_of_name(&mut self, name: &str, address: &str, now: Timestamp) -> Result<(), Failure> {
        self.take_of_shared(&self.limits.names, name, address, now)
    }

    /// The shares of host and network come first: what is too much for them is not counted against everybody.
    fn take_of_shared(&mut self, shared: &'a Shared, name: &str, address: &str, now: Timestamp) -> Result<(), Failure> {
        let before = self.taken.count();
        let network = format!("{name} {}", network_of(address));
        let taken = self
            .take_both(&shared.by_host, &format!("{name} {}", host_of(address)), now)
            .and_then(|()| self.take(&shared.by_network.minute, &network, now, MINUTE))
            .and_then(|()| self.take(&shared.all.minute, name, now, MINUTE))
            .and_then(|()| self.take_of_day(shared, name, address, now));
        // where nothing is looked at, nothing is used up
        if taken.is_err() {
            self.taken.give_back_after(before);
        }
        taken
    }

    /// Of the day's: of network and account as long as there are some, else of what is left for those who took none.
    fn take_of_day(&mut self, shared: &'a Shared, name: &str, address: &str, now: Timestamp) -> Result<(), Failure> {
        let is_fresh = shared.reserve.note(&mut self.taken, name, address, now);
        let before = self.taken.count();
        let network = format!("{name} {}", network_of(address));
        let is_of_all = self.taken.take(&shared.by_network.day, &network, now) && self.taken.take(&shared.all.day, name, now);
        if is_of_all {
            return Ok(());
        }
        self.taken.give_back_after(before);
        match is_fresh && shared.reserve.take(&mut self.taken, name, address, now) {
            true => Ok(()),
            false => Failure::refuse(ErrorCode::TooManyRequests, DAY),
        }
    }

    fn take_both(&mut self, limit: &'a Limit, name: &str, now: Timestamp) -> Result<(), Failure> {
        self.take(&limit.minute, name, now, MINUTE)?;
        self.take(&limit.day, name, now, DAY)
    }

    fn take(&mut self, throttle: &'a Throttle, name: &str, now: Timestamp, what: &str) -> Result<(), Failure> {
        match self.taken.take(throttle, name, now) {
            true => Ok(()),
            false => Failure::refuse(ErrorCode::TooManyRequests, what),
        }
    }

    /// It was right, or nothing was looked at: it did no harm.
    pub(crate) fn give_back(self) {
        self.taken.give_back();
    }
}

const MINUTE: &str = "too many attempts: wait a minute, then try again";
const DAY: &str =
    "too many attempts in one day: log in with a passkey, in a browser where you have logged in before, or tomorrow";

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn tries(most: usize, mut one: impl FnMut(usize) -> Result<(), Failure>) -> usize {
        (0..most).take_while(|n| one(*n).is_ok()).count()
    }

    #[test]
    fn threat_38_s08_neither_a_host_nor_a_network_uses_up_an_account_and_nobody_tries_more_than_a_hundred_a_day() {
        let limits = LogInLimits::per_minute(10);
        let from = |address: &str, now: Timestamp| limits.begin().take_of_account("alice", address, now);
        assert_eq!(tries(20, |_| from("192.0.2.1", NOW)), 5, "one host");
        assert!(from("192.0.2.2", NOW).is_ok(), "its neighbour is somebody else");
        assert_eq!(tries(20, |n| from(&format!("192.0.2.{n}"), NOW.plus(60))), 8, "one network");
        assert!(from("198.51.100.1", NOW.plus(60)).is_ok(), "another network");
        assert_eq!(tries(20, |n| from(&format!("10.0.{n}.1"), NOW.plus(60))), 1, "ten of all together");
        // over a day, however slowly and from wherever
        let slowly = |n: usize| NOW.plus(120 + 61 * n as i64);
        assert_eq!(tries(500, |n| from(&format!("10.1.{}.{}", n % 4, n / 4 + 1), slowly(n))), 84 + 36, "one region");
        assert!(from("10.2.0.1", slowly(130)).is_ok(), "who had no part in it is not shut out");
        assert!(limits.begin().take_of_known("alice", "hers", NOW).is_ok(), "where she has logged in before she still may");
        assert!(from("198.51.100.1", NOW.plus(2 * DAY_SECONDS)).is_ok());
    }

    #[test]
    fn threat_46_s08_a_day_of_guesses_leaves_room_to_others_and_still_has_an_end() {
        let limits = LogInLimits::per_minute(10);
        let from = |address: &str, n: usize| limits.begin().take_of_account("alice", address, NOW.plus(7 * n as i64)).is_ok();
        // a hundred of two networks, as slowly as the minute wants it
        let flood = (0..400).filter(|n| from(&format!("192.0.{}.{}", n % 2, n % 100), *n)).count();
        assert!((100..=100 + 24).contains(&flood), "{flood}");
        // her new browser, elsewhere and in the very network of the flood, has three; who made the flood has none
        assert_eq!((401..420).filter(|n| from("198.51.100.7", *n)).count(), 3);
        assert!(!from("192.0.0.2", 421));
        // a whole provider of IPv6, and everybody
        assert_eq!((430..1_000).filter(|n| from(&format!("2001:db8:{n:x}::1"), *n)).count(), 36);
        let all = (1_000..9_000).filter(|n| from(&format!("{}.{}.0.1", n / 250 + 20, n % 250), *n)).count();
        assert!(flood + 3 + 36 + all <= 820, "{all}");
    }

    #[test]
    fn threat_46_s08_known_browsers_guess_no_more_than_five_of_them() {
        let limits = LogInLimits::per_minute(10);
        let one = |browser: &str, at: Timestamp| limits.begin().take_of_known("alice", browser, at);
        let slowly = |n: usize| NOW.plus(7 * n as i64);
        // one that was stolen, however long; hers and the others still may
        assert_eq!(tries(500, |n| one("stolen", slowly(n))), 100);
        assert!((0..50).all(|_| one("stolen", slowly(100)).is_err()));
        assert!(one("hers", slowly(101)).is_ok(), "what was refused counts for nobody");
        // as many as somebody makes
        let many = (110..9_000).filter(|n| one(&format!("browser {n}"), slowly(*n)).is_ok()).count();
        assert_eq!(many, 500 - 101);
        assert!(limits.begin().take_of_known("bob", "his", NOW).is_ok());
        // and of one host, with accounts as many as he likes; strangers of that house count apart
        let at_host = |_| limits.begin().take_of_known_host("192.0.2.1", NOW);
        assert_eq!(tries(100, at_host), 60);
        assert!(limits.begin().take_of_host("192.0.2.1", NOW).is_ok());
    }

    #[test]
    fn threat_38_s08_a_right_try_is_given_back_everywhere() {
        let limits = LogInLimits::per_minute(3);
        for _ in 0..200 {
            let mut attempt = limits.begin();
            assert!(attempt.take_of_host("192.0.2.1", NOW).is_ok());
            assert!(attempt.take_of_account("alice", "192.0.2.1", NOW).is_ok());
            attempt.give_back();
        }
    }

    #[test]
    fn threat_38_s08_names_that_are_nobodys_meet_the_same_limits() {
        let limits = LogInLimits::per_minute(10);
        let of_account = tries(20, |_| limits.begin().take_of_account("alice", "192.0.2.1", NOW));
        let of_name = tries(20, |_| limits.begin().take_of_name("nobody", "192.0.2.1", NOW));
        assert_eq!(of_account, of_name);
    }
}
