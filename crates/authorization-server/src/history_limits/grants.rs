//! How often an owner's history says that somebody was let in. Whoever has the same once more, or refreshes what he has, is
//! written down so often in an hour and not each time, or what he does hides what others do. What he may do is counted one by
//! one, and where anything of it was not said so often, the line is written: nothing new goes unsaid.
//!
//! Counts of an owner stand apart, so that only what is told of *her* things can fill them, and where there is no room for
//! another one, all of them begin anew: then a line too much is written, never one too few.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};
use types::{OwnerId, Timestamp};

const HOUR_SECONDS: i64 = 3_600;
/// Of the same person for the same scope of the same thing: by the same application, and by any.
const SAME_BY_HOUR: u32 = 20;
const SAME_BY_ANY_APPLICATION_BY_HOUR: u32 = 200;
/// Counts of one owner, and of all of them.
const MOST_OF_OWNER: usize = 20_000;
const MOST: usize = 500_000;

/// What a line says that is not written yet.
#[must_use]
pub(crate) struct SaidGrant {
    owner: OwnerId,
    /// What it says, one by one.
    what: Vec<Names>,
}

/// Numbers under which one thing that is said is counted.
#[derive(Clone, Copy)]
struct Names {
    of_application: u64,
    of_person: u64,
}

/// Who was let in.
#[derive(Clone, Copy)]
pub(crate) struct Whom<'a> {
    pub application: &'a str,
    pub person: &'a str,
}

#[derive(Clone, Copy)]
struct Said {
    since: Timestamp,
    lines: u32,
}

impl Said {
    /// In either direction, since a clock may be set back.
    fn is_over(self, now: Timestamp) -> bool {
        now.0.saturating_sub(self.since.0).saturating_abs() >= HOUR_SECONDS
    }
}

#[derive(Default)]
pub(crate) struct Grants {
    hasher: RandomState,
    by_owner: Mutex<HashMap<OwnerId, HashMap<u64, Said>>>,
}

impl Grants {
    /// What a line would say of somebody who was let in; `None` where all of it was said so often in this hour that it is not
    /// written. To be counted ([`Self::count`]) when the line is written, and not before: what came to nothing uses up nothing
    /// of what is said next.
    pub(crate) fn plan(
        &self,
        owner: &OwnerId,
        whom: Whom<'_>,
        what: impl IntoIterator<Item = String>,
        now: Timestamp,
    ) -> Option<SaidGrant> {
        let Whom { application, person } = whom;
        let names = |one: String| Names {
            of_application: self.hasher.hash_one((application, person, &one)),
            of_person: self.hasher.hash_one((person, &one)),
        };
        let what: Vec<Names> = what.into_iter().map(names).collect();
        let by_owner = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        let said = by_owner.get(owner);
        let has = |name: u64, most: u32| {
            said.and_then(|said| said.get(&name)).is_some_and(|said| !said.is_over(now) && said.lines >= most)
        };
        let was_said_often =
            |one: &Names| has(one.of_application, SAME_BY_HOUR) || has(one.of_person, SAME_BY_ANY_APPLICATION_BY_HOUR);
        (!what.iter().all(was_said_often)).then(|| SaidGrant { owner: owner.clone(), what })
    }

    /// Counts what a line said that was written.
    pub(crate) fn count(&self, said: SaidGrant, now: Timestamp) {
        let SaidGrant { owner, what } = said;
        let mut by_owner = self.by_owner.lock().unwrap_or_else(PoisonError::into_inner);
        make_room(&mut by_owner, &owner, what.len().saturating_mul(2), now);
        let counts = by_owner.entry(owner).or_default();
        // one line says more than there is room for: it is written each time
        let names = what.into_iter().flat_map(|one| [one.of_application, one.of_person]);
        for one in names.take(MOST_OF_OWNER) {
            let count = counts.entry(one).or_insert(Said { since: now, lines: 0 });
            if count.is_over(now) {
                *count = Said { since: now, lines: 0 };
            }
            count.lines = count.lines.saturating_add(1);
        }
    }
}

/// Where hers are full, hers begin anew; where all are, those of the owner who has most.
fn make_room(by_owner: &mut HashMap<OwnerId, HashMap<u64, Said>>, owner: &OwnerId, more: usize, now: Timestamp) {
    if let Some(counts) = by_owner.get_mut(owner)
        && counts.len().saturating_add(more) > MOST_OF_OWNER
    {
        counts.retain(|_, said| !said.is_over(now));
        if counts.len().saturating_add(more) > MOST_OF_OWNER {
            counts.clear();
        }
    }
    let count_all = |by_owner: &HashMap<OwnerId, HashMap<u64, Said>>| by_owner.values().map(HashMap::len).sum::<usize>();
    if count_all(by_owner).saturating_add(more) <= MOST {
        return;
    }
    by_owner.retain(|_, counts| {
        counts.retain(|_, said| !said.is_over(now));
        !counts.is_empty()
    });
    while count_all(by_owner).saturating_add(more) > MOST {
        let Some(largest) = by_owner.iter().max_by_key(|(_, counts)| counts.len()).map(|(owner, _)| owner.clone()) else {
            return;
        };
        by_owner.remove(&largest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: Timestamp = Timestamp(1_800_000_000);

    fn by(person: &str) -> Whom<'_> {
        Whom { application: "app", person }
    }

    fn write(grants: &Grants, owner: &str, person: &str, what: &[&str]) -> bool {
        let what = what.iter().map(|one| (*one).to_owned());
        let planned = grants.plan(&OwnerId::from(owner), by(person), what, NOW);
        planned.map(|said| grants.count(said, NOW)).is_some()
    }

    /// What he repeats uses up nothing of what he gets newly: that he can do more, or with something else, is a line.
    #[test]
    fn threat_41_s16_nobody_uses_up_the_lines_of_what_he_gets_newly() {
        let grants = Grants::default();
        let old: Vec<String> = (0..50).map(|n| format!("refreshed album s{n}")).collect();
        for one in &old {
            assert_eq!((0..100).filter(|_| write(&grants, "alice", "mallory", &[one])).count(), 20);
        }
        assert!(!write(&grants, "alice", "mallory", &[&old[0], &old[1]]), "all of it was said often");
        assert!(write(&grants, "alice", "mallory", &["refreshed album delete"]));
        assert!(write(&grants, "alice", "mallory", &[&old[0], "issued diary view"]));
    }

    #[test]
    fn threat_41_s16_who_is_let_in_again_and_again_hides_nobody() {
        let grants = Grants::default();
        let lines = |person: &str| (0..1_000).filter(|_| write(&grants, "alice", person, &["refreshed view"])).count();
        assert_eq!((lines("mallory"), lines("bob"), lines("mallory")), (20, 20, 0));
    }

    /// Who has things of his own fills counts of his own, and where there is no room a line is written.
    #[test]
    fn threat_41_s16_things_of_one_owner_hide_nothing_of_anothers() {
        let grants = Grants::default();
        assert!(write(&grants, "alice", "bob", &["issued diary view"]));
        for call in 0..60 {
            let what = (0..5_000).map(|scope| format!("issued {call} {scope}"));
            let said = grants.plan(&OwnerId::from("mallory"), by("mallory"), what, NOW).expect("each time something new");
            grants.count(said, NOW);
        }
        assert!(grants.by_owner.lock().unwrap().values().map(HashMap::len).sum::<usize>() <= MOST_OF_OWNER + 2);
        assert_eq!((0..100).filter(|_| write(&grants, "alice", "bob", &["issued diary view"])).count(), 19);
        assert!(write(&grants, "alice", "carol", &["issued diary view"]));
    }

    #[test]
    fn threat_41_s16_many_owners_take_bounded_room() {
        let grants = Grants::default();
        for owner in 0..40 {
            let said = grants.plan(&OwnerId::from(format!("m{owner}")), by("x"), (0..10_000).map(|one| one.to_string()), NOW);
            grants.count(said.expect("new"), NOW);
        }
        assert!(grants.by_owner.lock().unwrap().values().map(HashMap::len).sum::<usize>() <= MOST);
        assert!(write(&grants, "alice", "bob", &["issued diary view"]));
    }

    /// A line that was planned and not written uses up nothing.
    #[test]
    fn threat_41_s16_what_came_to_nothing_uses_up_nothing() {
        let grants = Grants::default();
        let plan = |now| grants.plan(&OwnerId::from("alice"), by("carol"), ["issued view".to_owned()], now);
        assert!((0..100).all(|_| plan(NOW).is_some()));
        (0..20).for_each(|_| grants.count(plan(NOW).expect("not written so often"), NOW));
        assert!(plan(NOW).is_none() && plan(NOW.plus(3_599)).is_none() && plan(NOW.plus(3_600)).is_some());
        assert!(plan(NOW.plus(-3_600)).is_some(), "a clock that is set back hides nothing for long");
    }

    /// Whoever makes applications without end is one person.
    #[test]
    fn threat_41_s16_many_applications_of_one_person_hide_nobody() {
        let grants = Grants::default();
        let lines = (0..1_000).filter(|n| {
            let application = format!("app {n}");
            let whom = Whom { application: &application, person: "mallory" };
            let planned = grants.plan(&OwnerId::from("alice"), whom, ["issued view".to_owned()], NOW);
            planned.map(|said| grants.count(said, NOW)).is_some()
        });
        assert_eq!(lines.count(), 200);
        assert!(write(&grants, "alice", "bob", &["issued view"]));
    }
}
