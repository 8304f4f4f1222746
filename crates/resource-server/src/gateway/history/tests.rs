//! What one owner's calls, true or made up, do to another's history.

use super::*;

fn what(outcome: Outcome, sub: usize) -> What {
    What {
        outcome,
        resource_id: OwnResourceId::new("/album"),
        resource_scopes: ScopeSet::new(),
        authorization_server: "https://as.example".into(),
        client_id: None,
        sub: Some(sub.to_string()),
        authority: None,
        why: None,
    }
}

fn told(what: What) -> Told {
    let now = Timestamp(100);
    Told { id: "1".into(), time: now, last: now, count: 0, what }
}

fn call(lines: &mut OpenLines, owner: &str, what: What) {
    let line = lines.line(owner, what, told);
    line.0.count += 1;
    line.1 = true;
}

/// S16's kind: a flood hides no real line.
#[test]
fn threat_38_s16_a_flood_of_one_owners_hides_nothing_of_anothers() {
    let mut lines = OpenLines::default();
    for n in 0..30_000 {
        call(&mut lines, "mallory", what(Outcome::Allowed, n));
        call(&mut lines, "alice", what(Outcome::Refused, n));
    }
    call(&mut lines, "alice", what(Outcome::Allowed, 1));
    for n in 0..200 {
        let owner = format!("owner {n}");
        (0..200).for_each(|n| call(&mut lines, &owner, what(Outcome::Allowed, n)));
    }
    call(&mut lines, "bob", what(Outcome::Allowed, 1));
    assert!(lines.count < MOST_OPEN + 200 * (FEW + 1), "{}", lines.count);
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
        assert_eq!((hers.len(), hers.iter().map(|told| told.count).sum::<u64>()), (APART + 1, 30_000));
    }
}

#[test]
fn threat_38_s16_what_one_owner_has_written_in_an_hour_is_bounded() {
    let (mut lines, mut written) = (OpenLines::default(), 0);
    for minute in 0..50 {
        (0..APART).for_each(|n| call(&mut lines, "mallory", what(Outcome::Allowed, minute * APART + n)));
        written += lines.take_news(Timestamp(100)).len();
        assert!(lines.take_news(Timestamp(161)).is_empty());
    }
    assert!(written <= APART_IN_AN_HOUR + 50, "{written}");
}

/// Row 35: a clock that went back closes the lines of the future.
#[test]
fn threat_35_a_line_of_the_future_is_closed() {
    let mut lines = OpenLines::default();
    call(&mut lines, "alice", what(Outcome::Allowed, 1));
    assert_eq!(lines.take_news(Timestamp(50)).len(), 1);
    assert_eq!(lines.count, 0);
}
