//! Which kinds of calls have a line of their own. An owner's history has room for so many at one time and in an hour, for each
//! of those that changed something, those that only looked, and those that were refused. Where it is full, it is shared by
//! *thing*: a resource, and the scopes that were used of it. A thing that has less than its share still gets lines, and what
//! gives way is the rest of whatever has more. So whoever makes a thousand kinds of calls to one thing takes lines from that
//! thing alone.
//!
//! What gives way is told together by the hour, and names as much as there is room for: what one person did to a thing with
//! however many applications; beyond so many people, what everybody did to it; beyond so many things, one line of all.

use super::{Outcome, What};
use std::collections::HashMap;
use std::time::{Duration, Instant};
use types::{OwnResourceId, ScopeSet};

/// Kinds of one owner that are told apart at one time and in an hour, as long as nothing has to be shared.
pub(super) const APART: usize = 200;
pub(super) const APART_IN_AN_HOUR: usize = 1_000;
/// The smallest shares of a thing, of however many things. Somebody may make up things where he is refused: there it is one.
const LEAST_APART: usize = 4;
const LEAST_APART_IN_AN_HOUR: usize = 16;
/// Shares together are no more than so many times what is told apart.
const MOST_SHARED: usize = 5;
/// People of one thing who have a line each in an hour, beyond what is told apart.
pub(super) const PEOPLE_OF_THING: usize = 16;
/// Such lines of an owner, and as many of things.
pub(super) const MOST_TOGETHER: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);

/// Calls that take no room from each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Effect {
    Changed,
    Looked,
    Refused,
}

/// What has a share.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Thing {
    effect: Effect,
    resource_id: OwnResourceId,
    resource_scopes: ScopeSet,
    authorization_server: String,
}

impl Thing {
    /// What calls of this kind share. `is_change`: their method is none that only looks.
    pub(super) fn of(what: &What, is_change: bool) -> Self {
        let effect = match what.outcome {
            Outcome::Refused => Effect::Refused,
            Outcome::Allowed if is_change => Effect::Changed,
            Outcome::Allowed => Effect::Looked,
        };
        Self {
            effect,
            resource_id: what.resource_id.clone(),
            resource_scopes: what.resource_scopes.clone(),
            authorization_server: what.authorization_server.clone(),
        }
    }
}

/// Lines that are told apart.
#[derive(Clone, Copy, Default)]
struct Apart {
    open: usize,
    begun_in_hour: usize,
}

impl Apart {
    fn is_below(&self, open: usize, begun_in_hour: usize) -> bool {
        self.open < open && self.begun_in_hour < begun_in_hour
    }

    fn add(&mut self) {
        self.open = self.open.saturating_add(1);
        self.begun_in_hour = self.begun_in_hour.saturating_add(1);
    }
}

#[derive(Clone, Copy, Default)]
struct OfEffect {
    apart: Apart,
    things: usize,
    people: usize,
    together: usize,
}

/// One owner's.
pub(super) struct Room {
    hour: Instant,
    /// Of which something is told apart.
    things: HashMap<Thing, Apart>,
    /// Lines of people within the hour.
    people: HashMap<Thing, usize>,
    effects: HashMap<Effect, OfEffect>,
}

impl Room {
    pub(super) fn new(now: Instant) -> Self {
        Self { hour: now, things: HashMap::new(), people: HashMap::new(), effects: HashMap::new() }
    }

    /// Takes room for a line that is told apart, where so many are open at most as long as nothing is shared.
    pub(super) fn take_apart(&mut self, thing: &Thing, most_open: usize, now: Instant) -> bool {
        self.begin_hour(now);
        let mut all = self.effects.get(&thing.effect).copied().unwrap_or_default();
        let known = self.things.get(thing).copied();
        let things = all.things.saturating_add(usize::from(known.is_none()));
        let share = |most: usize, least| {
            let least = if thing.effect == Effect::Refused { 1 } else { least };
            most.checked_div(things).unwrap_or(most).max(least)
        };
        let is_room = all.apart.is_below(most_open, APART_IN_AN_HOUR);
        let is_shared = all.apart.is_below(most_open.saturating_mul(MOST_SHARED), APART_IN_AN_HOUR.saturating_mul(MOST_SHARED))
            && known.unwrap_or_default().is_below(share(most_open, LEAST_APART), share(APART_IN_AN_HOUR, LEAST_APART_IN_AN_HOUR));
        if !is_room && !is_shared {
            return false;
        }
        all.apart.add();
        all.things = things;
        self.effects.insert(thing.effect, all);
        self.things.entry(thing.clone()).or_default().add();
        true
    }

    /// Takes room for a line of all that one person does to a thing, where there are so many at most.
    pub(super) fn take_person(&mut self, thing: &Thing, most: usize) -> bool {
        let all = self.effects.entry(thing.effect).or_default();
        let of_thing = self.people.get(thing).copied().unwrap_or(0);
        if of_thing >= PEOPLE_OF_THING || all.people >= most {
            return false;
        }
        all.people = all.people.saturating_add(1);
        self.people.insert(thing.clone(), of_thing.saturating_add(1));
        true
    }

    /// Takes room for a line of all that is done to a thing, where there are so many at most.
    pub(super) fn take_thing(&mut self, thing: &Thing, most: usize) -> bool {
        let all = self.effects.entry(thing.effect).or_default();
        let may = all.together < most;
        all.together = all.together.saturating_add(usize::from(may));
        may
    }

    /// Counts what is open.
    pub(super) fn recount<'a>(&mut self, open: impl Iterator<Item = &'a Thing>) {
        self.things.values_mut().for_each(|apart| apart.open = 0);
        self.effects.values_mut().for_each(|all| all.apart.open = 0);
        for thing in open {
            let all = self.effects.get_mut(&thing.effect).map(|all| &mut all.apart);
            for apart in self.things.get_mut(thing).into_iter().chain(all) {
                apart.open = apart.open.saturating_add(1);
            }
        }
    }

    fn begin_hour(&mut self, now: Instant) {
        if now.duration_since(self.hour) < HOUR {
            return;
        }
        self.hour = now;
        self.things.retain(|_, apart| apart.open > 0);
        self.people.clear();
        self.effects.clear();
        for (thing, apart) in &mut self.things {
            apart.begun_in_hour = 0;
            let all = self.effects.entry(thing.effect).or_default();
            all.things = all.things.saturating_add(1);
            all.apart.open = all.apart.open.saturating_add(apart.open);
        }
    }

    /// Whether what was counted is over.
    pub(super) fn is_over(&self, now: Instant) -> bool {
        now.duration_since(self.hour) >= HOUR
    }
}
