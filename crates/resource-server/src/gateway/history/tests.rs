//! What one owner's calls, true or made up, do to another's history, and what calls to one of her things do to the lines of
//! others.

use super::room::{APART_IN_AN_HOUR, PEOPLE_OF_THING};
use super::*;
use std::collections::BTreeSet;
use std::time::Duration;

fn what(outcome: Outcome, sub: usize) -> What {
    What { outcome, ..of("/album", "view", &format!("app {sub}"), Some(&sub.to_string())) }
}

fn of(thing: &str, scope: &str, client: &str, sub: Option<&str>) -> What {
    What {
        outcome: Outcome::Allowed,
        resource_id: OwnResourceId::new(thing),
        resource_scopes: ScopeSet::parse(scope).unwrap(),
        authorization_server: "https://as.example".into(),
        client_id: Some(ClientId::from(client)),
        sub: sub.map(str::to_owned),
        authority: None,
        why: None,
    }
}

fn told(what: What) -> Told {
    let now = Timestamp(100);
    Told { id: format!("{what:?}"), time: now, last: now, count: 0, kinds: None, what }
}

impl OpenLines {
    fn call_at(&mut self, owner: &str, what: What, now: Instant) {
        let is_change = !what.resource_scopes.iter().all(|scope| scope.as_str() == "view");
        match self.find(owner, &what) {
            Some(line) => line.count(Timestamp(100)),
            None => self.line(owner, Kind { what, is_change }, now, told).count(Timestamp(100)),
        }
    }

    fn call(&mut self, owner: &str, what: What) {
        self.call_at(owner, what, Instant::now());
    }

    fn take(&mut self, owner: &str) -> Vec<Told> {
        let news = self.take_news(Timestamp(100));
        news.into_iter().filter(|(of, _, _)| of == owner).map(|(_, _, told)| told).collect()
    }
}

fn lines_of<'a>(told: &'a [Told], thing: &str, scope: &str) -> Vec<&'a Told> {
    let is_it =
        |told: &&Told| told.what.resource_id.as_str() == thing && told.what.resource_scopes.iter().any(|s| s.as_str() == scope);
    told.iter().filter(is_it).collect()
}

/// S16's kind: a flood hides no real line.
#[test]
fn threat_38_s16_a_flood_of_one_owners_hides_nothing_of_anothers() {
    let mut lines = OpenLines::default();
    for n in 0..30_000 {
        lines.call("mallory", what(Outcome::Allowed, n));
        lines.call("alice", what(Outcome::Refused, n));
    }
    lines.call("alice", what(Outcome::Allowed, 1));
    for n in 0..200 {
        let owner = format!("owner {n}");
        (0..200).for_each(|n| lines.call(&owner, what(Outcome::Allowed, n)));
    }
    lines.call("bob", what(Outcome::Allowed, 1));
    assert!(lines.count < MOST_OPEN + 200 * (2 * FEW + 1), "{}", lines.count);
    let news = lines.take_news(Timestamp(100));
    let of = |owner: &str, outcome| -> Vec<Told> {
        let hers = news.iter().filter(|(of, _, told)| of == owner && told.what.outcome == outcome);
        hers.map(|(_, _, told)| told.clone()).collect()
    };
    let alices = of("alice", Outcome::Allowed);
    assert_eq!((alices.len(), alices[0].count, &alices[0].what), (1, 1, &what(Outcome::Allowed, 1)));
    assert_eq!(of("bob", Outcome::Allowed).len(), 1);
    // each call is counted, also those that are not told apart
    for (owner, outcome) in [("mallory", Outcome::Allowed), ("alice", Outcome::Refused)] {
        let hers = of(owner, outcome);
        let sum = hers.iter().map(|told| told.count).sum::<u64>();
        assert_eq!((hers.len(), sum), (APART + PEOPLE_OF_THING + 1, 30_000));
    }
}

#[test]
fn threat_38_s16_what_one_owner_has_written_in_an_hour_is_bounded() {
    let (mut lines, mut written) = (OpenLines::default(), BTreeSet::new());
    for minute in 0..50 {
        (0..APART).for_each(|n| lines.call("mallory", what(Outcome::Allowed, minute * APART + n)));
        written.extend(lines.take("mallory").into_iter().map(|told| told.id));
        assert!(lines.take_news(Timestamp(161)).is_empty());
    }
    assert_eq!(written.len(), APART_IN_AN_HOUR + PEOPLE_OF_THING + 1);
}

/// Many applications at one open thing hid who read another, and who deleted in the same.
#[test]
fn threat_38_s16_guests_of_one_thing_take_no_line_of_another() {
    let mut lines = OpenLines::default();
    for n in 0..1_500 {
        // where no person is known, the application stands for itself
        let app = format!("app {n}");
        lines.call("alice", of("/holiday", "view", &app, Some(&app)));
    }
    lines.call("alice", of("/private", "view", "thief", Some("mallory")));
    lines.call("alice", of("/holiday", "delete", "thief", Some("mallory")));
    lines.call("alice", of("/holiday", "view", "thief", Some("mallory")));
    let told = lines.take("alice");
    for (thing, scope) in [("/private", "view"), ("/holiday", "delete")] {
        let its = lines_of(&told, thing, scope);
        assert_eq!((its.len(), &its[0].what), (1, &of(thing, scope, "thief", Some("mallory"))), "{thing}");
    }
    // what is not told apart says of what, and that they are many; who is somebody is named there as well
    let its = lines_of(&told, "/holiday", "view");
    let together: Vec<_> = its.into_iter().filter(|told| told.kinds.is_some()).collect();
    assert_eq!(together.len(), 2, "{together:?}");
    let by = |sub: Option<&str>| together.iter().find(|told| told.what.sub.as_deref() == sub).unwrap();
    assert_eq!((by(None).count, by(None).kinds), (1_300, Some(MOST_KINDS)));
    assert_eq!((by(Some("mallory")).count, by(Some("mallory")).kinds), (1, Some(1)));
}

/// With one share and many applications he does not hide himself.
#[test]
fn threat_38_s16_who_makes_many_kinds_of_calls_is_named_still() {
    let mut lines = OpenLines::default();
    for n in 0..5_000 {
        lines.call("alice", of("/holiday", "view", &format!("app {n}"), Some("mallory")));
        lines.call("alice", of("/holiday", "edit", &format!("app {n}"), Some("mallory")));
    }
    let told = lines.take("alice");
    assert!(told.iter().all(|told| told.what.sub.as_deref() == Some("mallory")), "each of them names him");
    let sum = |scope| lines_of(&told, "/holiday", scope).iter().map(|told| told.count).sum::<u64>();
    assert_eq!((sum("view"), sum("edit")), (5_000, 5_000));
    assert_eq!(told.len(), 2 * (APART + 1));
}

/// Many people at one thing: beyond a few of them it is one line, of that thing.
#[test]
fn threat_38_s16_a_crowd_of_people_at_one_thing_is_told_of_that_thing() {
    let mut lines = OpenLines::default();
    (0..1_000).for_each(|n| lines.call("alice", of("/holiday", "view", "app", Some(&format!("guest {n}")))));
    let told = lines.take("alice");
    assert!(told.iter().all(|told| told.what.resource_id.as_str() == "/holiday" && !told.what.resource_scopes.is_empty()));
    let nameless: Vec<_> = told.iter().filter(|told| told.what.sub.is_none()).collect();
    assert_eq!((nameless.len(), nameless[0].count), (1, (1_000 - APART - PEOPLE_OF_THING) as u64));
}

/// Reading takes nothing of what changes something, and nobody who reaches much hides what he does to the next thing.
#[test]
fn threat_38_s16_reading_many_things_takes_no_line_of_a_change_or_of_the_next() {
    let mut lines = OpenLines::default();
    for thing in 0..300 {
        (0..300).for_each(|n| lines.call("alice", of(&format!("/{thing}"), "view", &format!("app {n}"), None)));
    }
    for n in 0..APART {
        lines.call("alice", of("/private", "delete", &format!("app {n}"), Some("thief")));
    }
    (0..3).for_each(|n| lines.call("alice", of("/private", "view", &format!("app {n}"), Some("thief"))));
    let told = lines.take("alice");
    assert!(lines_of(&told, "/private", "delete").iter().all(|told| told.what.client_id.is_some()));
    let read = lines_of(&told, "/private", "view");
    assert!(read.iter().all(|told| told.what.sub.as_deref() == Some("thief")), "{read:?}");
    assert_eq!(read.iter().map(|told| told.count).sum::<u64>(), 3);
    assert!(told.iter().all(|told| !told.what.resource_id.as_str().is_empty()), "each says of what");
}

/// What is told apart, shared or not, and what is told together has a number.
#[test]
fn threat_38_s16_however_many_things_are_reached_lines_have_a_number() {
    let mut lines = OpenLines::default();
    for thing in 0..3_000 {
        for n in 0..20 {
            lines.call("alice", of(&format!("/{thing}"), "view", &format!("app {n}"), Some(&n.to_string())));
        }
    }
    assert!(lines.count <= 5 * APART + 2 * 1_000 + 1, "{}", lines.count);
    assert_eq!(lines.take("alice").iter().map(|told| told.count).sum::<u64>(), 60_000);
}

/// Somebody may make up things where he is refused: each has less there, and none takes room of what was let through.
#[test]
fn threat_38_s16_things_that_are_made_up_are_few_lines() {
    let mut lines = OpenLines::default();
    for n in 0..50_000 {
        lines.call("alice", What { outcome: Outcome::Refused, ..of(&format!("/{n}"), "view", "app", Some("mallory")) });
    }
    assert!(lines.count <= 5 * APART + 2 * 1_000 + 1, "{}", lines.count);
    lines.call("alice", of("/private", "view", "app", Some("mallory")));
    assert_eq!(lines_of(&lines.take("alice"), "/private", "view").len(), 1);
}

/// The hourly number is shared as the number at one time is, and comes back with the hour.
#[test]
fn threat_38_s16_the_number_of_an_hour_is_shared_by_thing() {
    let (mut lines, begin) = (OpenLines::default(), Instant::now());
    let mut is_apart = |thing: &str, n: usize, now: Instant| {
        lines.call_at("alice", of(thing, "view", &format!("app {n}"), None), now);
        let all = lines.take_news(Timestamp(100));
        // each is closed before the next comes
        lines.take_news(Timestamp(161));
        all.iter().all(|(_, _, told)| told.kinds.is_none())
    };
    let mut count = |thing: &str, now| (0..2_000).filter(|n| is_apart(thing, *n, now)).count();
    assert_eq!(count("/holiday", begin), APART_IN_AN_HOUR);
    assert_eq!(count("/private", begin), APART_IN_AN_HOUR / 2);
    assert_eq!(count("/holiday", begin), 0);
    assert_eq!(count("/holiday", begin + Duration::from_secs(3_601)), APART_IN_AN_HOUR);
}

/// Row 35: a clock that went back closes the lines of the future.
#[test]
fn threat_35_a_line_of_the_future_is_closed() {
    let mut lines = OpenLines::default();
    lines.call("alice", what(Outcome::Allowed, 1));
    assert_eq!(lines.take_news(Timestamp(50)).len(), 1);
    assert_eq!(lines.count, 0);
}
