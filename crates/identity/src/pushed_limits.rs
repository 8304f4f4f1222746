//! What may be kept of pushed requests (RFC 9126 7.1): anybody may register a client, or name a public one, so that what comes
//! by such a client is bounded, in number and in bytes, and so is what waits for a browser, whether somebody is logged in there or not.
//! In memory, as all limits: what is kept ends within an hour.

use crate::par::{LIFETIME, PAGE_LIFETIME};
use crate::way_back::Visitor;
use crate::{Client, Failure};
use std::sync::{Mutex, PoisonError};
use types::throttle::{Reserve, Shares, Taken, Throttle, network_of};
use types::{ErrorCode, Timestamp};

/// Requests of one client that wait at the same time; of a public one, from one network.
const MAX_OF_CLIENT: u32 = 1_000;
/// Requests that wait longer because a browser of one network brought them, in which nobody was logged in.
const MAX_BROUGHT: u32 = 1_000;
/// Requests of one client that wait longer because they were brought in sessions of one account. By client: whatever opens
/// many of another in her browser takes none of those that she goes on with.
const MAX_OF_ACCOUNT_AND_CLIENT: u32 = 100;
/// Bytes of requests that are kept in one span of time. They wait no longer than one, so that of two that meet no more than
/// twice as much waits; with the reserve, 256 MiB of each kind: pushed, brought by nobody known, brought by somebody known.
const MAX_BYTES: u64 = 96 * 1024 * 1024;
/// Requests beyond these bytes, of those who have not left so many yet.
const RESERVE: Shares = Shares { household: 8, network: 16, region: 64, all: 2_048 };

/// The memories.
pub struct PushedLimits {
    clients: Throttle,
    bytes: Budget,
    brought: Throttle,
    brought_bytes: Budget,
    brought_by_account: Throttle,
    account_bytes: Budget,
}

/// So many bytes in a span of time, and a reserve.
struct Budget {
    seconds: i64,
    spent: Mutex<Spent>,
    reserve: Reserve,
}

#[derive(Default)]
struct Spent {
    since: i64,
    bytes: u64,
}

impl Budget {
    fn per(seconds: i64) -> Self {
        Self { seconds, spent: Mutex::default(), reserve: Reserve::per(RESERVE, seconds) }
    }

    /// Takes so many bytes for whoever calls from this address, the last of all counts; else gives back what the others took.
    fn admit<'a>(&'a self, mut taken: Taken<'a>, address: &str, bytes: usize, now: Timestamp) -> bool {
        let is_fresh = self.reserve.note(&mut taken, "", address, now);
        let is_admitted = self.has_room(bytes, now) || (is_fresh && self.reserve.take(&mut taken, "", address, now));
        if !is_admitted {
            taken.give_back();
        }
        is_admitted
    }

    fn has_room(&self, bytes: usize, now: Timestamp) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0.saturating_sub(spent.since).saturating_abs() >= self.seconds {
            *spent = Spent { since: now.0, bytes: 0 };
        }
        let all = spent.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let fits = all <= MAX_BYTES;
        if fits {
            spent.bytes = all;
        }
        fits
    }
}

impl Default for PushedLimits {
    fn default() -> Self {
        Self {
            clients: Throttle::per(MAX_OF_CLIENT, LIFETIME),
            bytes: Budget::per(LIFETIME),
            brought: Throttle::per(MAX_BROUGHT, PAGE_LIFETIME),
            brought_bytes: Budget::per(PAGE_LIFETIME),
            brought_by_account: Throttle::per(MAX_OF_ACCOUNT_AND_CLIENT, PAGE_LIFETIME),
            account_bytes: Budget::per(PAGE_LIFETIME),
        }
    }
}

/// One that the operator declared and that proves itself leaves what it likes.
fn is_trusted(client: &Client) -> bool {
    client.declared && !client.is_public()
}

impl PushedLimits {
    /// A request of so many bytes is to be kept.
    pub(crate) fn count_kept(&self, client: &Client, address: &str, bytes: usize, now: Timestamp) -> Result<(), Failure> {
        let name = match client.is_public() {
            true => format!("{} {}", client.id, network_of(address)),
            false => client.id.as_str().to_owned(),
        };
        let mut taken = Taken::default();
        if is_trusted(client) || (taken.take(&self.clients, &name, now) && self.bytes.admit(taken, address, bytes, now)) {
            return Ok(());
        }
        Failure::refuse(ErrorCode::TooManyRequests, "too many pushed requests wait: wait a minute")
    }

    /// Whether one of so many bytes may be kept longer that somebody brought; else it ends when it would have ended. What
    /// members bring and what others bring take no room from each other.
    pub(crate) fn may_wait(&self, client: &Client, visitor: &Visitor<'_>, bytes: usize, now: Timestamp) -> bool {
        let (counts, name, room) = match visitor.session {
            Some(session) => (&self.brought_by_account, format!("{} {}", session.account, client.id), &self.account_bytes),
            None => (&self.brought, network_of(visitor.address), &self.brought_bytes),
        };
        let mut taken = Taken::default();
        is_trusted(client) || (taken.take(counts, &name, now) && room.admit(taken, visitor.address, bytes, now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);
    /// The longest request that is taken, in bytes.
    const LONGEST: usize = 16 * 1024;

    #[test]
    fn threat_46_what_has_no_room_uses_up_no_other_count() {
        let (budget, clients) = (Budget::per(LIFETIME), Throttle::per(1, LIFETIME));
        budget.spent.lock().unwrap().bytes = MAX_BYTES;
        budget.spent.lock().unwrap().since = NOW.0;
        let admit = |name: &str| {
            let mut taken = Taken::default();
            taken.take(&clients, name, NOW) && budget.admit(taken, "192.0.2.1", LONGEST, NOW)
        };
        assert_eq!((0..20).filter(|n| admit(&format!("client {n}"))).count(), 8, "of the reserve");
        assert!(!admit("a client"));
        budget.spent.lock().unwrap().bytes = 0;
        assert!(admit("a client"), "what was refused before is not counted");
    }

    #[test]
    fn threat_46_who_fills_the_room_for_requests_leaves_some_to_others() {
        let budget = Budget::per(LIFETIME);
        let admitted = |address: &dyn Fn(usize) -> String, most: usize, now: Timestamp| {
            (0..most).filter(|n| budget.admit(Taken::default(), &address(*n), LONGEST, now)).count()
        };
        let crowd = |n: usize| format!("10.1.{}.1", n % 64);
        assert_eq!(admitted(&crowd, 20_000, NOW), 6_144, "96 MiB, of networks that tried before");
        assert_eq!(admitted(&|_| "192.0.2.1".into(), 20, NOW), 8, "another network");
        assert_eq!(admitted(&|n| format!("192.0.{n}.1"), 200, NOW), 56, "its region");
        let all = admitted(&|n| format!("{}.{}.{}.1", n % 200 + 20, n / 200 % 4, n % 50), 100_000, NOW);
        assert_eq!(all, 2_048 - 64);
        assert!(
            admitted(&crowd, 1, NOW.plus(-1)) == 0 && admitted(&crowd, 1, NOW.plus(-3_600)) == 1,
            "a clock that was set back"
        );
    }
}
