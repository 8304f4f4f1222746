//! Limits of codes that are mailed to prove an address. A mail is counted before it is sent, by who wants it and by whom it
//! reaches; a guess before it is compared, by the code, by the address that the code is for, and by who guesses.

use crate::claims_interaction::CODE_LIFETIME;
use identity::Failure;
use types::throttle::{Reserve, Shares, Taken, Throttle, Try, host_of, network_of};
use types::{ErrorCode, Timestamp};

const MINUTE_SECONDS: i64 = 60;
const HOUR_SECONDS: i64 = 3_600;
/// Mails of a minute to one address that anybody may ask for, and of these from one network.
const MAILS_BY_MINUTE: u32 = 14;
const MAILS_OF_NETWORK_BY_MINUTE: u32 = 10;
/// Those beyond these, of those who have asked for less: twenty in all.
const RESERVE_OF_MINUTE: Shares = Shares { household: 1, network: 1, region: 1, all: 6 };
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

const HOST: &str = "too many wrong codes came from your address: wait a minute, then try again";
const CODE: &str = "too many tries with this code: ask for a new one";
const ADDRESS: &str = "too many wrong codes for this address: wait an hour, or log in instead";

pub(crate) struct CodeLimits {
    senders: Throttle,
    networks: Throttle,
    processes: Throttle,
    /// Mails to one address, in a minute, and in an hour as long as nobody there types a code; of each network a part.
    by_minute: Mails,
    by_hour: Mails,
    guesses_of_code: Throttle,
    /// Wrong codes of one address that come from one network: what others do elsewhere keeps nobody from typing the right one.
    guesses_of_address: Throttle,
    guesses_of_host: Throttle,
}

/// Mails to one address in a span of time: a network's part, those of all, and what is left for those who asked for less.
struct Mails {
    of_network: Throttle,
    all: Throttle,
    reserve: Reserve,
}

impl Default for CodeLimits {
    fn default() -> Self {
        Self {
            senders: Throttle::per_minute(120),
            networks: Throttle::per_minute(240),
            processes: Throttle::per_minute(20),
            by_minute: Mails {
                of_network: Throttle::per_minute(MAILS_OF_NETWORK_BY_MINUTE),
                all: Throttle::per_minute(MAILS_BY_MINUTE),
                reserve: Reserve::per(RESERVE_OF_MINUTE, MINUTE_SECONDS),
            },
            by_hour: Mails {
                of_network: Throttle::per(30, HOUR_SECONDS),
                all: Throttle::per(120, HOUR_SECONDS),
                reserve: Reserve::per(RESERVE, HOUR_SECONDS),
            },
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
    /// Whoever asks too often uses up nobody else's mails: the address comes last, and what is refused is not counted. To be
    /// given back where nothing could be sent.
    pub(crate) fn count_mail(&self, mail: &Mailing<'_>, now: Timestamp) -> Result<Taken<'_>, Failure> {
        let mut taken = Taken::default();
        let is_admitted = taken.take(&self.senders, &host_of(mail.from), now)
            && taken.take(&self.networks, &network_of(mail.from), now)
            && taken.take(&self.processes, mail.process, now)
            && taken.take(&self.by_hour.of_network, &of_network(mail.to, mail.from), now)
            && self.take_of_address(&mut taken, mail, now);
        if is_admitted {
            return Ok(taken);
        }
        taken.give_back();
        refuse("too many codes were sent: wait a while, then try again")
    }

    /// Whoever has an address mailed all the time leaves some to those who ask for one. A household has had a part in it by
    /// what was sent for it: who asked while others filled the minute still has hers of the hour.
    fn take_of_address<'a>(&'a self, taken: &mut Taken<'a>, mail: &Mailing<'_>, now: Timestamp) -> bool {
        let (by_minute, by_hour, before) = (&self.by_minute, &self.by_hour, taken.count());
        let is_of_minute =
            taken.take(&by_minute.of_network, &of_network(mail.to, mail.from), now) && taken.take(&by_minute.all, mail.to, now);
        if !is_of_minute {
            taken.give_back_after(before);
        }
        let is_of_minute = is_of_minute
            || (by_minute.reserve.note(taken, mail.to, mail.from, now) && by_minute.reserve.take(taken, mail.to, mail.from, now));
        let is_fresh = is_of_minute && by_hour.reserve.note(taken, mail.to, mail.from, now);
        let is_of_hour = is_of_minute && taken.take(&by_hour.all, mail.to, now);
        is_of_hour || (is_fresh && by_hour.reserve.take(taken, mail.to, mail.from, now))
    }

    /// A code has so many tries in all, however many pages and browsers they come from: a page can be sent again, the count
    /// cannot be taken back. An address has so many, with however many codes. One that is not compared uses up nothing.
    pub(crate) fn take_guess(&self, guess: &Guess<'_>, now: Timestamp) -> Result<Guessed, Failure> {
        let Some(host) = self.guesses_of_host.take(&host_of(guess.from), now) else { return refuse(HOST) };
        let Some(code) = self.guesses_of_code.take(guess.code, now) else {
            self.guesses_of_host.give_back(host);
            return refuse(CODE);
        };
        if !self.guesses_of_address.admit(&of_network(guess.address, guess.from), now) {
            self.guesses_of_host.give_back(host);
            self.guesses_of_code.give_back(code);
            return refuse(ADDRESS);
        }
        Ok(Guessed { host })
    }

    /// It was right: who has the mailbox asked for the mails, or does not mind them.
    pub(crate) fn give_back(&self, right: Guessed, address: &str, from: &str) {
        self.guesses_of_host.give_back(right.host);
        self.guesses_of_address.forget(&of_network(address, from));
        self.by_hour.of_network.forget(&of_network(address, from));
        self.by_hour.all.forget(address);
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

    /// Each count is asked in its turn: what the last one refuses is counted by none.
    #[test]
    fn threat_46_what_is_refused_uses_up_nothing_else() {
        let mail = |limits: &CodeLimits, from: &str, process: &str, at: i64| {
            limits.count_mail(&Mailing { from, process, to: "bob@bar.example" }, NOW.plus(at)).is_ok()
        };
        // three regions, nine hosts, twenty mails a minute; somebody of a fourth region tries in each of these minutes
        let limits = CodeLimits::default();
        let flood = |minute: i64| {
            let one = |n: &i64| mail(&limits, &format!("10.{}.{minute}.{}", n % 3, n % 9), &format!("{minute} {n}"), 60 * minute);
            (0..60).filter(one).count()
        };
        for minute in 0..6 {
            assert_eq!(flood(minute), 17, "fourteen, and one for each region");
            assert!(mail(&limits, "192.0.2.1", &format!("his {minute}"), 60 * minute), "minute {minute}");
        }
        // where a minute is quite full, who was refused has as much of the hour as before
        let limits = CodeLimits::default();
        let crowd = |minute: i64| {
            (0..20).filter(|n| mail(&limits, &format!("{}.1.0.1", n + 20), &format!("{n} {minute}"), 60 * minute)).count()
        };
        for minute in 0..6 {
            assert_eq!(crowd(minute), 20);
            assert!((0..30).all(|n| !mail(&limits, "192.0.2.1", &format!("{n}"), 60 * minute)), "minute {minute}");
        }
        assert_eq!((0..9).filter(|n| mail(&limits, "192.0.2.1", &format!("later {n}"), 400 + 60 * n)).count(), 2);

        // guesses: a code, then an address that is used up
        let limits = CodeLimits::default();
        let guess = |code: &str, address: &str| limits.take_guess(&Guess { from: "192.0.2.1", code, address }, NOW).is_ok();
        assert_eq!((0..500).filter(|_| guess("one", "bob@bar.example")).count(), 5);
        for n in 0..5 {
            assert_eq!((0..500).filter(|_| guess(&format!("code {n}"), "bob@bar.example")).count(), 5);
        }
        assert!((0..500).all(|_| !guess("last", "bob@bar.example")), "thirty of an address");
        assert!((0..5).all(|_| guess("last", "carol@bar.example")), "neither the host nor the code is used up by them");
    }

    #[test]
    fn threat_46_who_fills_every_minute_of_an_address_shuts_out_nobody_else() {
        let limits = CodeLimits::default();
        let sent = |from: &str, at: i64| {
            let process = format!("{from} {at}");
            limits.count_mail(&Mailing { from, process: &process, to: "bob@bar.example" }, NOW.plus(at)).is_ok()
        };
        // one host, two networks, a provider of IPv6 with as many networks as it likes: all minute, for most of an hour
        for minute in 0..50 {
            let flood: Vec<String> = match minute % 3 {
                0 => vec!["10.0.0.1".into(); 60],
                1 => (0..60).map(|n| format!("10.0.{}.{}", (2 * minute + n % 2) % 250, n % 250)).collect(),
                _ => (0..200).map(|n| format!("2001:db8:{:x}::1", minute * 200 + n)).collect(),
            };
            let mails = flood.iter().filter(|from| sent(from, minute * 61)).count();
            assert!(mails <= 20, "{mails} in one minute");
            assert!(sent(&format!("192.{minute}.2.1"), minute * 61), "Bob, in minute {minute}");
        }
    }
}
