//! Who is let in to what is open to everybody (threat 41). Whoever likes registers clients or makes keys, and each of them, let
//! in, was a line of the owner's history. Nothing is lost by telling a crowd together: nobody gave these people anything. So a
//! thing has so many lines of them in an hour, and what comes beyond is one line every ten minutes: of how many it is, and how
//! many of these came of one network. Whom a policy, an approval or the owner names is written down as everybody else
//! ([`crate::history_limits`]), and so is nobody hidden by a crowd who got more than it.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use types::{ClientId, OwnerId, ResourceId, ScopeSet, Timestamp};

const HOUR_SECONDS: i64 = 3_600;
const TOLD_EVERY_SECONDS: i64 = 600;
/// Lines of people whom nothing names, by thing and hour; of them so many for what was said already.
const LINES_OF_THING_BY_HOUR: usize = 100;
const LINES_AGAIN_BY_HOUR: usize = 50;
/// Different ones that are counted: of more it is said that they are so many at least.
const MOST_DIFFERENT: usize = 1_000;
const MOST_NETWORKS: usize = 100;
/// Things of which a crowd is counted at one time. Beyond, each of its people is written down as if somebody named her.
const MOST_THINGS: usize = 10_000;

/// A grant that rests on nothing but what is open to everybody.
pub(crate) struct OpenGrant<'a> {
    pub owner: &'a OwnerId,
    pub resource_server: &'a ClientId,
    pub resource: &'a ResourceId,
    pub scopes: ScopeSet,
    /// Client and person, and what came of it.
    pub said: &'a str,
    /// Whether it was said before within the hour, and not too often.
    pub may_say_again: bool,
    pub network: Option<&'a str>,
}

/// What was not written of a crowd.
pub(crate) struct Crowd {
    pub owner: OwnerId,
    pub resource_server: ClientId,
    pub resource: ResourceId,
    pub scopes: ScopeSet,
    /// Different ones, at least.
    pub different: usize,
    pub times: u64,
    /// How many of these came of the network that most came of.
    pub of_one_network: u64,
}

#[derive(Default)]
pub(crate) struct Crowds {
    by_thing: Mutex<HashMap<(OwnerId, ResourceId), Counted>>,
    hasher: RandomState,
}

struct Counted {
    since: Timestamp,
    lines: usize,
    said: HashSet<u64>,
    untold: Option<Untold>,
}

struct Untold {
    since: Timestamp,
    resource_server: ClientId,
    scopes: ScopeSet,
    different: HashSet<u64>,
    times: u64,
    networks: HashMap<String, u64>,
}

impl Crowds {
    /// Whether this one has a line of its own. It is counted where not.
    pub(crate) fn admit(&self, grant: &OpenGrant<'_>, now: Timestamp) -> bool {
        let mut things = self.by_thing.lock().unwrap_or_else(PoisonError::into_inner);
        let key = (grant.owner.clone(), grant.resource.clone());
        if !things.contains_key(&key) && things.len() >= MOST_THINGS {
            return grant.may_say_again;
        }
        let counted = things.entry(key).or_insert_with(|| Counted::new(now));
        if is_over(counted.since, HOUR_SECONDS, now) {
            *counted = Counted { untold: counted.untold.take(), ..Counted::new(now) };
        }
        let said = self.hasher.hash_one(grant.said);
        let most = match counted.said.contains(&said) {
            false => LINES_OF_THING_BY_HOUR,
            true if grant.may_say_again => LINES_AGAIN_BY_HOUR,
            true => 0,
        };
        if counted.lines < most {
            counted.lines = counted.lines.saturating_add(1);
            counted.said.insert(said);
            return true;
        }
        counted.untold.get_or_insert_with(|| Untold::new(grant, now)).add(grant, said);
        false
    }

    /// What is to be told now.
    pub(crate) fn take_untold(&self, now: Timestamp) -> Vec<Crowd> {
        let mut things = self.by_thing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut told = Vec::new();
        things.retain(|(owner, resource), counted| {
            let is_due = |untold: &mut Untold| is_over(untold.since, TOLD_EVERY_SECONDS, now);
            if let Some(untold) = counted.untold.take_if(is_due) {
                told.push(untold.into_crowd(owner.clone(), resource.clone()));
            }
            counted.untold.is_some() || !is_over(counted.since, HOUR_SECONDS, now)
        });
        told
    }
}

/// A clock that was set back makes nothing last longer.
fn is_over(since: Timestamp, seconds: i64, now: Timestamp) -> bool {
    now < since || since.plus(seconds) <= now
}

impl Counted {
    fn new(now: Timestamp) -> Self {
        Self { since: now, lines: 0, said: HashSet::new(), untold: None }
    }
}

impl Untold {
    fn new(grant: &OpenGrant<'_>, now: Timestamp) -> Self {
        Self {
            since: now,
            resource_server: grant.resource_server.clone(),
            scopes: ScopeSet::new(),
            different: HashSet::new(),
            times: 0,
            networks: HashMap::new(),
        }
    }

    fn add(&mut self, grant: &OpenGrant<'_>, said: u64) {
        self.times = self.times.saturating_add(1);
        self.scopes = self.scopes.union(&grant.scopes);
        if self.different.len() < MOST_DIFFERENT {
            self.different.insert(said);
        }
        let Some(network) = grant.network else { return };
        if self.networks.len() < MOST_NETWORKS || self.networks.contains_key(network) {
            let count = self.networks.entry(network.to_owned()).or_default();
            *count = count.saturating_add(1);
        }
    }

    fn into_crowd(self, owner: OwnerId, resource: ResourceId) -> Crowd {
        Crowd {
            owner,
            resource_server: self.resource_server,
            resource,
            scopes: self.scopes,
            different: self.different.len(),
            times: self.times,
            of_one_network: self.networks.into_values().max().unwrap_or(0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn admits(crowds: &Crowds, thing: &str, said: &str, network: &str, now: i64) -> bool {
        let (owner, resource_server, resource) = (&"alice".into(), &"photos".into(), &thing.into());
        let scopes = ScopeSet::parse("view").unwrap();
        let (may_say_again, network) = (true, Some(network));
        let grant = OpenGrant { owner, resource_server, resource, scopes, said, may_say_again, network };
        crowds.admit(&grant, Timestamp(now))
    }

    #[test]
    fn threat_41_s16_a_crowd_at_one_open_thing_is_told_together() {
        let crowds = Crowds::default();
        let lines = |thing: &str, network: &str, now| {
            (0..1_500).filter(|n| admits(&crowds, thing, &format!("client {n}"), network, now)).count()
        };
        assert_eq!((lines("album", "192.0.2", 0), lines("diary", "192.0.2", 0)), (100, 100));
        assert!(crowds.take_untold(Timestamp(599)).is_empty());
        assert_eq!(lines("album", "198.51.100", 599), 0);
        let mut told = crowds.take_untold(Timestamp(600));
        told.sort_by(|a, b| a.resource.cmp(&b.resource));
        let of = |crowd: &Crowd| (crowd.resource.as_str().to_owned(), crowd.different, crowd.times, crowd.of_one_network);
        let of: Vec<_> = told.iter().map(of).collect();
        assert_eq!(of, [("album".into(), 1_000, 2_900, 1_500), ("diary".into(), 1_000, 1_400, 1_400)]);
        assert!(crowds.take_untold(Timestamp(600)).is_empty(), "once");
        assert_eq!(lines("album", "192.0.2", 3_600), 100, "an hour after");
    }

    /// One who comes again and again leaves room for who comes newly.
    #[test]
    fn threat_41_s16_who_comes_again_leaves_room_in_a_crowd() {
        let crowds = Crowds::default();
        let again = (0..1_000).filter(|_| admits(&crowds, "album", "loud", "192.0.2", 0)).count();
        let new = (0..1_000).filter(|n| admits(&crowds, "album", &format!("client {n}"), "192.0.2", 0)).count();
        assert_eq!((again, new), (50, 50));
    }

    /// Whoever opens things of his own without end takes nothing from others: they are written down one by one.
    #[test]
    fn threat_41_s16_open_things_without_end_take_bounded_room() {
        let crowds = Crowds::default();
        let lines = (0..20_000).filter(|n| admits(&crowds, &format!("thing {n}"), "client", "192.0.2", 0)).count();
        assert_eq!((lines, crowds.by_thing.lock().unwrap().len()), (20_000, MOST_THINGS));
        crowds.take_untold(Timestamp(3_600));
        assert!(crowds.by_thing.lock().unwrap().is_empty());
    }
}
