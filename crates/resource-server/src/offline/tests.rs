//! What counts of revocations, and for how long.

use super::feed::*;
use super::*;
use tokio::time::Instant;
use types::revocations::{Revocations, RevokedToken};

fn token(lifetime: i64) -> Signed {
    Signed { jti: "t".into(), lifetime, answer: Arc::default() }
}

fn news(revoked: &[&str], ended: bool) -> Revocations {
    let revoked = revoked.iter().map(|jti| RevokedToken { jti: (*jti).into(), exp: Timestamp(600) }).collect();
    Revocations { revoked, ended, next: "n".into(), ..Revocations::default() }
}

/// So long ago.
fn ago(seconds: u64) -> Instant {
    Instant::now() - Duration::from_secs(seconds)
}

#[test]
fn what_counts_when_the_server_is_away() {
    let (now, mut state) = (Timestamp(100), FeedState::default());
    assert!(!state.counts(&token(600)), "nothing was ever read");
    assert!(state.counts(&token(60)), "so short a life needs no revocation");
    state.learn(news(&[], false), now);
    assert!(state.counts(&token(600)));
    state.failing = Some(ago(59));
    assert!(state.counts(&token(600)));
    state.failing = Some(ago(61));
    assert!(!state.counts(&token(600)) && state.counts(&token(60)));
    state.learn(news(&["t"], false), now.plus(70));
    assert!(!state.counts(&token(60)), "revoked is revoked");
    // row 35: a clock that was set wrong and right again brings nothing back
    state.learn(news(&[], false), Timestamp(1_000_000));
    assert!(!state.counts(&token(60)), "whatever time it is");
    state.revoked.insert("t".into(), ago(1));
    state.learn(news(&[], true), now);
    assert!(state.revoked.is_empty(), "past its end nobody needs to remember it");
    assert!(!state.counts(&token(600)), "without a PAT");
}

/// Row 46: what a server names fills no memory, and what is not remembered does not count.
#[test]
fn threat_46_more_revocations_than_are_remembered_end_what_needs_a_look() {
    let (now, mut state) = (Timestamp(100), FeedState::default());
    let long = "x".repeat(MAX_JTI + 1);
    state.learn(news(&[&long], false), now);
    assert!(state.revoked.is_empty() && state.counts(&token(600)));
    let many: Vec<String> = (0..=MOST_REVOKED).map(|n| n.to_string()).collect();
    state.learn(news(&many.iter().map(String::as_str).collect::<Vec<_>>(), false), now);
    assert_eq!(state.revoked.len(), MOST_REVOKED);
    assert!(!state.counts(&token(600)) && state.counts(&token(60)));
}

/// The clocks never agree: a leap ends all the same, once the server has gone on from an earlier time for a while.
#[test]
fn threat_35_a_leap_of_a_server_ends_where_the_clock_here_is_another() {
    let answer = Arc::new(Introspection { exp: Some(Timestamp(2_000)), iat: Some(Timestamp(0)), ..Introspection::default() });
    let token = Signed { jti: "t".into(), lifetime: 600, answer };
    let mut state = FeedState::default();
    // the clock here is 70 seconds behind
    let learn = |state: &mut FeedState, time: i64| {
        state.learn(Revocations { time: Some(Timestamp(time)), ..news(&[], false) }, Timestamp(time - 70));
        state.counts(&token)
    };
    assert!(learn(&mut state, 100) && !learn(&mut state, 2_000) && !learn(&mut state, 102) && !learn(&mut state, 103));
    state.earlier = Instant::now().checked_sub(LEAP_IS_OVER);
    assert!(learn(&mut state, 280) && state.earlier.is_none(), "it has said so for a while");
    assert!(learn(&mut state, 281) && !learn(&mut state, 2_001), "another one counts as well");
}

/// Row 35: the clock here may be behind. Whoever issued a token names it no more once it has ended there, so what time it is
/// there counts.
#[test]
fn threat_35_a_token_ends_by_the_clock_of_whoever_issued_it() {
    let answer = Arc::new(Introspection { exp: Some(Timestamp(600)), iat: Some(Timestamp(0)), ..Introspection::default() });
    let token = Signed { jti: "t".into(), lifetime: 600, answer };
    let behind = Timestamp(100);
    let mut state = FeedState::default();
    let at = |time: i64| Revocations { time: Some(Timestamp(time)), ..news(&[], false) };
    state.learn(at(599), behind);
    assert!(state.counts(&token));
    state.learn(at(600), behind);
    assert!(!state.counts(&token), "it has ended there");
    state.learn(at(300), behind);
    assert!(!state.counts(&token), "and that is not taken back");
    state.learn(at(100), behind);
    assert!(state.counts(&token), "but for a leap that is over: both clocks agree");
    // a server that does not say what time it is
    let mut state = FeedState::default();
    state.learn(news(&[], false), behind);
    assert!(state.counts(&token));
    // one that was put back to an earlier state does not know what it issued after that
    state.learn(Revocations { none_until: Some(Timestamp(0)), ..news(&[], false) }, behind);
    assert!(!state.counts(&token));
    state.learn(Revocations { none_until: Some(Timestamp(-1)), ..news(&[], false) }, behind);
    assert!(state.counts(&token));
}
