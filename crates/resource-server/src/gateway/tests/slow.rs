//! Row 46: one slow answer starves nobody who needs none.

use super::super::*;
use super::world::{SOONER_THAN_A_HANGING_ONE, World};
use std::sync::atomic::Ordering;
use std::time::Duration;

#[tokio::test]
async fn threat_46_s23_a_slow_ticket_keeps_no_good_token_waiting() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    let rpt = world.rpt("r1");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    // the server is left alone, as after a ticket that did not come
    let until = Instant::now() + Duration::from_secs(60);
    world.gateway.resting.lock().unwrap().insert(world.issuer.clone(), until);
    assert_eq!(world.status("/a.jpg", None).await, 403, "no ticket is to be had");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    let another = world.rpt_with(&world.key, "r1", "another");
    assert_eq!(world.status("/a.jpg", Some(&another)).await, 200);
}

/// A first look at an owner's revocations that does not end: a token that needs none passes, one that does is told that it
/// cannot be told, and nobody who comes later waits.
#[tokio::test]
async fn threat_46_s23_a_first_look_that_hangs_keeps_nobody_waiting() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    world.asked.revocations_hang.store(true, Ordering::SeqCst);
    let short = world.rpt_living(&world.key, "r1", "short", 60);
    let long = world.rpt("r1");
    let begun = Instant::now();
    let (one, other) = tokio::join!(world.status("/a.jpg", Some(&short)), world.status("/a.jpg", Some(&long)));
    assert_eq!((one, other), (200, 403));
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let begun = Instant::now();
    for (token, status) in [(&short, 200), (&long, 403)] {
        assert_eq!(world.status("/a.jpg", Some(token)).await, status);
    }
    assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
}

/// An authorization server is met once, however many come at one time.
#[tokio::test]
async fn threat_46_s23_a_server_is_met_once() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let all = futures_util::future::join_all((0..20).map(|_| world.gateway.peer(&world.issuer))).await;
    assert!(all.iter().all(|one| one.as_ref().is_ok_and(|one| one.issuer() == world.issuer)));
    assert_eq!(world.asked.found.load(Ordering::SeqCst), 1);
}

/// Names of owners that callers make up are not kept.
#[tokio::test]
async fn threat_46_turns_of_made_up_owners_are_not_kept() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let held = world.gateway.turn("alice").await;
    for n in 0..5_000 {
        drop(world.gateway.turn(&format!("made-up-{n}")).await);
    }
    let turns = world.gateway.turns.lock().await;
    assert!(turns.len() <= MOST_TURNS && Arc::ptr_eq(&turns["alice"], &held), "{}", turns.len());
}

/// Metadata that say the same are no reason to forget keys, revocations and proofs.
#[tokio::test]
async fn threat_46_s23_what_is_known_outlives_a_look_at_the_metadata() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let before = world.gateway.peer(&world.issuer).await.unwrap();
    let after = world.gateway.find_peer(&world.issuer).await.unwrap();
    assert!(!Arc::ptr_eq(&before, &after) && Arc::ptr_eq(&before.guard, &after.guard));
    assert!(Arc::ptr_eq(&before.unlinked, &after.unlinked));
}

/// Whoever manages while the issuer of her token lets everybody wait: all wait once, and not one after the other.
#[tokio::test]
async fn threat_46_s23_an_issuer_of_management_tokens_that_hangs_does_so_once() {
    let (asked, listener) =
        (Arc::<std::sync::atomic::AtomicUsize>::default(), tokio::net::TcpListener::bind("127.0.0.1:0").await);
    let (count, listener) = (asked.clone(), listener.unwrap());
    let issuer = format!("http://{}", listener.local_addr().unwrap());
    let hanging = Router::new().fallback(move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::pending::<()>()
    });
    tokio::spawn(async move { axum::serve(listener, hanging).await });
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let management = Some(Management { issuer, owner_claim: "sub".into() });
    let settings = Settings { management, ..world.gateway.settings.clone() };
    let client = world.gateway.client.clone();
    let gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();
    let call = || async {
        let request = Request::get("/.wayleave/manage/my-resources").header("authorization", "Bearer opaque");
        let request = request.body(axum::body::Body::empty()).unwrap();
        tower::ServiceExt::oneshot(gateway.clone().router(), request).await.unwrap().status().as_u16()
    };
    let begun = Instant::now();
    assert_eq!(futures_util::future::join_all((0..10).map(|_| call())).await, [502; 10]);
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    assert_eq!(asked.load(Ordering::SeqCst), 1);
}

/// What strangers used up closes nothing to those who hold a token (RFC 6585 4).
#[tokio::test]
async fn threat_46_c08_tickets_that_are_used_up_close_nothing_to_whoever_holds_a_token() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let at = told::Destination { owner: "alice".into(), issuer: world.issuer.clone() };
    let later = || async { Err::<(), _>(crate::protection::ProtectionError::Later(600)) };
    let well = || async { Ok(()) };
    // a stranger's ticket, then a token
    assert!(world.gateway.asking_for(&at, later()).await.is_err());
    assert!(world.gateway.asking_for(&at, well()).await.is_err(), "whoever wants a ticket comes again later");
    assert!(world.gateway.asking_about_token(&at, well()).await.is_ok());
    // tokens have a rest of their own, which ends with a new link
    assert!(world.gateway.asking_about_token(&at, later()).await.is_err());
    assert!(world.gateway.asking_about_token(&at, well()).await.is_err());
    world.gateway.end_rest(&at);
    assert!(world.gateway.asking_about_token(&at, well()).await.is_ok() && world.gateway.asking_for(&at, well()).await.is_ok());
}

/// Whoever holds a token chooses the path that he shows it at, and with it an owner: of whom it permits nothing, nobody's
/// revocations are read for it.
#[tokio::test]
async fn threat_46_a_token_that_permits_nothing_here_has_nobody_asked() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    world.asked.revocations_hang.store(true, Ordering::SeqCst);
    let begun = Instant::now();
    assert_eq!(world.status("/a.jpg", Some(&world.rpt("another"))).await, 401);
    assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
    // one that permits it waits for what was revoked
    assert_eq!(world.status("/a.jpg", Some(&world.rpt("r1"))).await, 403);
    world.asked.revocations_hang.store(false, Ordering::SeqCst);
}
