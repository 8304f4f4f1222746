//! Shares of what strangers may do together, so that one of them does not use up what is there for all. Called by every party
//! that counts callers whom it does not know.

use super::{Throttle, Try, household_of, network_of, region_of};
use crate::Timestamp;

/// Tries that were taken of several counts for one thing.
#[derive(Default)]
#[must_use]
pub struct Taken<'a>(Vec<(&'a Throttle, Try)>);

impl<'a> Taken<'a> {
    /// Takes one more; `false` where that is one too many.
    pub fn take(&mut self, throttle: &'a Throttle, name: &str, now: Timestamp) -> bool {
        let one = throttle.take(name, now);
        let is_taken = one.is_some();
        self.0.extend(one.map(|one| (throttle, one)));
        is_taken
    }

    /// How many were taken.
    pub fn count(&self) -> usize {
        self.0.len()
    }

    /// Gives back what was taken after the first so many.
    pub fn give_back_after(&mut self, first: usize) {
        self.0.drain(first.min(self.0.len())..).for_each(|(throttle, one)| throttle.give_back(one));
    }

    /// Gives everything back: it did no harm.
    pub fn give_back(mut self) {
        self.give_back_after(0);
    }
}

/// What a network has, in tries.
#[derive(Clone, Copy)]
pub struct NetworkShares {
    pub network: u32,
    /// Of a household in it, where the network's are used up and it had not so many yet.
    pub household: u32,
    /// Of all such households together.
    pub late: u32,
}

/// So many tries of a network in a span of time, and a few more for the neighbours of whoever used them up.
pub struct NetworkThrottle {
    networks: Throttle,
    households: Throttle,
    late: Throttle,
}

impl NetworkThrottle {
    pub fn per(shares: NetworkShares, seconds: i64) -> Self {
        let of = |most: u32| Throttle::per(most, seconds);
        Self { networks: of(shares.network), households: of(shares.household), late: of(shares.late) }
    }

    /// Takes a try of whoever calls from this address; `false` where that is one too many.
    pub fn admit(&self, address: &str, now: Timestamp) -> bool {
        self.take(address, now).is_some()
    }

    /// The same, to be given back where nothing was done.
    pub fn take(&self, address: &str, now: Timestamp) -> Option<Taken<'_>> {
        let mut taken = Taken::default();
        let has_few = taken.take(&self.households, &household_of(address), now);
        let network = network_of(address);
        if taken.take(&self.networks, &network, now) || (has_few && taken.take(&self.late, &network, now)) {
            return Some(taken);
        }
        taken.give_back();
        None
    }
}

/// What each share of a reserve is.
#[derive(Clone, Copy)]
pub struct Shares {
    pub household: u32,
    pub network: u32,
    pub region: u32,
    pub all: u32,
}

/// What is left where all together have used up what they share: a little for each household that had not so much yet, and
/// so much in all. Networks and regions have shares as well, since whoever has one has many households.
pub struct Reserve {
    households: Throttle,
    networks: Throttle,
    regions: Throttle,
    all: Throttle,
}

impl Reserve {
    pub fn per(shares: Shares, seconds: i64) -> Self {
        let of = |most: u32| Throttle::per(most, seconds);
        Self { households: of(shares.household), networks: of(shares.network), regions: of(shares.region), all: of(shares.all) }
    }

    /// Counts a household among those that have tried, before anything else; whether it still has something of the reserve.
    pub fn note<'a>(&'a self, taken: &mut Taken<'a>, name: &str, address: &str, now: Timestamp) -> bool {
        taken.take(&self.households, &format!("{name} {}", household_of(address)), now)
    }

    /// Takes one of it for a household that was noted.
    pub fn take<'a>(&'a self, taken: &mut Taken<'a>, name: &str, address: &str, now: Timestamp) -> bool {
        let before = taken.count();
        let is_taken = taken.take(&self.networks, &format!("{name} {}", network_of(address)), now)
            && taken.take(&self.regions, &format!("{name} {}", region_of(address)), now)
            && taken.take(&self.all, name, now);
        if !is_taken {
            taken.give_back_after(before);
        }
        is_taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn admitted(throttle: &NetworkThrottle, most: u32, address: impl Fn(u32) -> String, now: Timestamp) -> usize {
        (0..most).filter(|n| throttle.admit(&address(*n), now)).count()
    }

    #[test]
    fn threat_46_a_flood_leaves_its_neighbours_a_few() {
        let throttle = NetworkThrottle::per(NetworkShares { network: 60, household: 3, late: 20 }, 60);
        assert_eq!(admitted(&throttle, 100, |_| "192.0.2.1".into(), NOW), 60, "one household gets no more than before");
        assert_eq!(admitted(&throttle, 10, |_| "192.0.2.2".into(), NOW), 3, "its neighbour");
        assert_eq!(admitted(&throttle, 10, |_| "198.51.100.1".into(), NOW), 10, "another network");
        // a whole network gets a third more, and a household of IPv6 is one, whichever addresses it takes
        assert_eq!(admitted(&throttle, 1_000, |n| format!("192.0.2.{}", n % 250), NOW), 17);
        assert_eq!(admitted(&throttle, 1_000, |n| format!("2001:db8:7:{:x}::1", n % 256), NOW), 60);
        assert_eq!(admitted(&throttle, 10, |_| "2001:db8:7:100::1".into(), NOW), 3);
        assert_eq!(admitted(&throttle, 10, |_| "192.0.2.1".into(), NOW.plus(60)), 10);
    }

    #[test]
    fn threat_46_what_is_refused_or_given_back_is_not_counted() {
        let throttle = NetworkThrottle::per(NetworkShares { network: 2, household: 1, late: 5 }, 60);
        for _ in 0..10 {
            throttle.take("192.0.2.1", NOW).unwrap().give_back();
        }
        assert!(throttle.admit("192.0.2.1", NOW) && throttle.admit("192.0.2.1", NOW) && !throttle.admit("192.0.2.1", NOW));
        assert!(throttle.admit("192.0.2.2", NOW) && !throttle.admit("192.0.2.2", NOW));
    }

    #[test]
    fn threat_46_a_reserve_is_shared_by_household_network_and_region() {
        let reserve = Reserve::per(Shares { household: 2, network: 4, region: 6, all: 9 }, 60);
        let take = |address: &str| {
            let mut taken = Taken::default();
            reserve.note(&mut taken, "alice", address, NOW) && reserve.take(&mut taken, "alice", address, NOW)
        };
        let count = |addresses: &[&str]| addresses.iter().filter(|address| take(address)).count();
        assert_eq!(count(&["10.0.1.1"; 9]), 2, "a household");
        assert_eq!(count(&["10.0.1.2", "10.0.1.3", "10.0.1.4", "10.0.1.5"]), 2, "a network");
        assert_eq!(count(&["10.0.2.1", "10.0.3.1", "10.0.4.1"]), 2, "a region");
        assert_eq!(count(&["2001:db8::1", "2001:db8:1::1", "2001:db8:2::1", "10.2.0.1"]), 3, "all");
        assert!(!take("10.3.0.1"));
        let mut taken = Taken::default();
        assert!(reserve.note(&mut taken, "bob", "10.0.1.1", NOW) && reserve.take(&mut taken, "bob", "10.0.1.1", NOW), "another");
    }
}
