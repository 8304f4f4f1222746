//! Limits of codes that are mailed to prove an address. A mail is counted before it is sent, by who wants it and by whom it
//! reaches; a guess before it is compared, by the code, by the address that the code is for, and by who guesses.

use crate::claims_interaction::CODE_LIFETIME;
use identity::Failure;
use types::throttle::{Reserve, Shares, Taken, Throttle, Try, host_of, network_of};
use types::{ErrorCode, Timestamp};

const HOUR_SECONDS: i64 = 3_600;
/// Mails of an hour to one address beyond those that anybody may ask for, of those who have asked for less.
const RESERVE: Shares = Shares { household: 2, network: 4, region: 8, all: 60 };

/// A mail that somebody wants to be sent.
pub(crate) struct Mailing<'a> {
    /// Where she calls from.
    pub from: &'a str,
    pub process: &'a str,
    pub to: &'a str,
}

/// A code that somebody typed.
pub(crate) struct Guess<'a> {
    /// Where she calls from.
    pub from: &'a str,
    /// What the code is known by.
    pub code: &'a str,
    pub address: &'a str,
}

/// A guess that was counted. Of the code it stays counted.
pub(crate) struct Guessed {
    host: Try,
}

pub(crate) struct CodeLimits {
    senders: Throttle,
    networks: Throttle,
    processes: Throttle,
    /// Mails to one address, in a minute, and in an hour as long as nobody there types a code; of each network a part.
    addresses: Throttle,
    addresses_by_hour: Throttle,
    addresses_of_network: Throttle,
    reserve: Reserve,
    guesses_of_code: Throttle,
    /// Wrong codes of one address that come from one network: what others do elsewhere keeps nobody from typing the right one.
    guesses_of_address: Throttle,
    guesses_of_host: Throttle,
}

impl Default for CodeLimits {
    fn default() -> Self {
        Self {
            senders: Throttle::per_minute(120),
            networks: Throttle::per_minute(240),
            processes: Throttle::per_minute(20),
            addresses: Throttle::per_minute(20),
            addresses_by_hour: Throttle::per(120, HOUR_SECONDS),
            addresses_of_network: Throttle::per(30, HOUR_SECONDS),
            reserve: Reserve::per(RESERVE, HOUR_SECONDS),
            // as long as a code lives, and from its first try on
            guesses_of_code: Throttle::per(5, CODE_LIFETIME),
            guesses_of_address: Throttle::per(30, HOUR_SECONDS),
            guesses_of_host: Throttle::per_minute(60),
        }
    }
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::TooManyRequests, what)
}

/// What one network does with an address.
fn of_network(address: &str, from: &str) -> String {
    format!("{address} {}", network_of(from))
}

impl CodeLimits {
    /// Whoever asks too often uses up nobody else's mails: the address comes last.
    pub(crate) fn count_mail(&self, mail: &Mailing<'_>, now: Timestamp) -> Result<(), Failure> {
        let admitted = self.senders.admit(&host_of(mail.from), now)
            && self.networks.admit(&network_of(mail.from), now)
            && self.processes.admit(mail.process, now)
            && self.addresses_of_network.admit(&of_network(mail.to, mail.from), now)
            && self.addresses.admit(mail.to, now)
            && self.count_by_hour(mail, now);
        if admitted { Ok(()) } else { refuse("too many codes were sent: wait a while, then try again") }
    }

    /// Whoever has an address's mails sent to it all hour leaves some to those who ask for one.
    fn count_by_hour(&self, mail: &Mailing<'_>, now: Timestamp) -> bool {
        let mut taken = Taken::default();
        let is_fresh = self.reserve.note(&mut taken, mail.to, mail.from, now);
        self.addresses_by_hour.admit(mail.to, now) || (is_fresh && self.reserve.take(&mut taken, mail.to, mail.from, now))
    }

    /// A code has so many tries in all, however many pages and browsers they come from: a page can be sent again, the count
    /// cannot be taken back. An address has so many, with however many codes.
    pub(crate) fn take_guess(&self, guess: &Guess<'_>, now: Timestamp) -> Result<Guessed, Failure> {
        let Some(host) = self.guesses_of_host.take(&host_of(guess.from), now) else {
            return refuse("too many wrong codes came from your address: wait a minute, then try again");
        };
        if !self.guesses_of_code.admit(guess.code, now) {
            return refuse("too many tries with this code: ask for a new one");
        }
        if !self.guesses_of_address.admit(&of_network(guess.address, guess.from), now) {
            return refuse("too many wrong codes for this address: wait an hour, or log in instead");
        }
        Ok(Guessed { host })
    }

    /// It was right: who has the mailbox asked for the mails, or does not mind them.
    pub(crate) fn give_back(&self, right: Guessed, address: &str, from: &str) {
        self.guesses_of_host.give_back(right.host);
        self.guesses_of_address.forget(&of_network(address, from));
        self.addresses_of_network.forget(&of_network(address, from));
        self.addresses_by_hour.forget(address);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    #[test]
    fn threat_46_who_has_an_address_mailed_all_hour_leaves_it_some() {
        let limits = CodeLimits::default();
        let sent = |from: &str, at: i64| {
            let process = format!("{from} {at}");
            limits.count_mail(&Mailing { from, process: &process, to: "bob@bar.example" }, NOW.plus(at)).is_ok()
        };
        let flood = (0..600).filter(|n| sent(&format!("10.{}.0.{}", n % 5, n % 7), n * 4)).count();
        assert_eq!(flood, 120);
        assert_eq!((0..9).filter(|n| sent("192.0.2.1", 2_500 + n)).count(), 2, "Bob himself");
        assert!(!sent("10.1.0.1", 2_600));
        let all = (0..1_000).filter(|n| sent(&format!("{}.{}.0.1", n % 50 + 20, n / 50), 2_620 + n / 4)).count();
        assert_eq!(all, 58);
    }
}
