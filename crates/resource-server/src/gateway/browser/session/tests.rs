//! What a session holds, and for how long.

use super::*;

fn grant(owner: &str, issuer: &str, token: &str) -> Grant {
    let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), token.to_owned());
    Grant { owner, issuer, token, expires: Timestamp(0), refresh_token: None, is_copied: false }
}

#[test]
fn a_session_ends_12_hours_after_its_beginning_or_one_after_its_use() {
    let mut session = Session::begin(Timestamp(0));
    assert_eq!(session.until(), Timestamp(3_600));
    for (seen, until) in [(1_000, 4_600), (39_599, 43_199), (39_601, 43_200), (43_000, 43_200)] {
        session.see(Timestamp(seen));
        assert_eq!(session.until(), Timestamp(until), "{seen}");
    }
}

#[test]
fn threat_21_of_one_owner_the_token_of_the_server_that_guards_is_shown() {
    let mut session = Session::begin(Timestamp(0));
    for one in [grant("alice", "a", "1"), grant("alice", "b", "2"), grant("carol", "a", "3"), grant("alice", "a", "4")] {
        session.put_grant(one);
    }
    let token = |owner, issuers: &[&str]| {
        let issuers: Vec<String> = issuers.iter().map(|issuer| (*issuer).to_owned()).collect();
        session.find_grant(owner, &issuers).map(|grant| grant.token.as_str())
    };
    assert_eq!((token("alice", &["a"]), token("alice", &["b"]), token("carol", &["a"])), (Some("4"), Some("2"), Some("3")));
    // and of no other: nobody shows it to a server that did not give it
    assert_eq!((token("carol", &["b"]), token("alice", &[])), (None, None));
    assert_eq!(token("bob", &["a"]), None);
}

#[test]
fn what_a_session_holds_is_bounded_and_the_newest_stay() {
    let (mut session, now) = (Session::begin(Timestamp(0)), Timestamp(0));
    let waiting = |to: &str| Waiting {
        to: to.into(),
        owner: "alice".into(),
        issuer: "a".into(),
        ticket: None,
        interval_seconds: 5,
        asked: now,
    };
    for n in 0..100 {
        session.put_grant(grant(&n.to_string(), "a", "t"));
        session.put_pct(&n.to_string(), "pct".into());
        session.put_waiting(waiting(&format!("/w{n}")));
        session.close(&format!("/c{n}"), now);
    }
    let counts = [session.grants.len(), session.known.len(), session.waiting.len(), session.closed.len()];
    assert_eq!(counts, [MOST_GRANTS, MOST_GRANTS, MOST_WAITING, MOST_CLOSED]);
    assert!(session.find_grant_at("99", "a").is_some() && session.pct_at("99").is_some() && session.pct_at("0").is_none());
    assert!(session.find_closed("/c99", now).is_some() && session.find_closed("/c99", now.plus(CLOSED_SECONDS)).is_none());
    // what is answered anew is neither waited for nor closed
    session.put_waiting(waiting("/c99"));
    assert!(session.find_waiting("/c99").is_some() && session.find_closed("/c99", now).is_none());
    session.put_pct("99", "x".repeat(MAX_TOKEN_BYTES + 1));
    assert!(session.pct_at("99").is_none() && !grant("a", "b", &"x".repeat(MAX_TOKEN_BYTES + 1)).is_short());
}

#[test]
fn threat_46_a_session_is_so_long_and_its_oldest_go() {
    let mut session = Session::begin(Timestamp(0));
    for n in 0..MOST_GRANTS {
        session.put_grant(grant(&n.to_string(), "a", &"t".repeat(MAX_TOKEN_BYTES)));
    }
    let json = session.to_json().unwrap();
    let kept: Session = serde_json::from_slice(&json).unwrap();
    assert!(json.len() <= MAX_BYTES && kept.find_grant_at("19", "a").is_some() && kept.find_grant_at("0", "a").is_none());
}

#[test]
fn queries_of_one_path_are_one_thing() {
    let now = Timestamp(1_000);
    let mut session = Session::begin(now);
    let (owner, issuer) = ("alice".to_owned(), "a".to_owned());
    session.put_waiting(Waiting { to: "/a/b?x".into(), owner, issuer, ticket: None, interval_seconds: 5, asked: now });
    for (to, waits) in [("/a/b", true), ("/a/%62?y&z", true), ("/a/b/", false), ("/a/B", false), ("/a/b//", false)] {
        assert_eq!(session.find_waiting(to).is_some(), waits, "{to}");
    }
    // what she may do there is another thing, and one as well
    let place = super::super::changing::place_of;
    assert!(session.find_waiting(&place("/a/b")).is_none());
    session.put_waiting(Waiting { to: place("/a/b?x"), ..session.find_waiting("/a/b").unwrap().clone() });
    assert!(session.find_waiting(&place("/a/%62?y")).is_some() && session.find_waiting(&place("/a/c")).is_none());
    let left = |session: &Session, at: i64| session.find_waiting("/a/b").unwrap().seconds_left(now.plus(at));
    assert_eq!((left(&session, 0), left(&session, 5), left(&session, 99)), (5, 0, 0));
    session.note_asked("/a/b?2", now.plus(4));
    assert_eq!(left(&session, 5), 4);
    session.open("/a/b?3");
    assert!(session.find_waiting("/a/b").is_none() && session.is_kept());
    session.open(&place("/a/b"));
    assert!(!session.is_kept());
}
