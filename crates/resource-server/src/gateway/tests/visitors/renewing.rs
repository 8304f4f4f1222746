//! How long a session lasts (design/browser.md 3): 12 hours, one after its last use, over the end of its tokens: by refresh tokens,
//! else by what she is known for.

use super::*;

async fn world(gives_refresh_tokens: bool, is_known_again: bool) -> (World, Arc<Known>, Browser) {
    let server = Known { says_issuer: true, ..Known::default() };
    server.gives_refresh_tokens.store(gives_refresh_tokens, Ordering::SeqCst);
    server.knows_again.store(is_known_again, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a"]).await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    assert_eq!(fetch(&mut bob, &world, "same-origin").await.text, "a picture");
    (world, server, bob)
}

/// A script or a picture on a page of this site.
async fn fetch(bob: &mut Browser, world: &World, site: &str) -> Seen {
    let request = Request::get("/alice/a").header("sec-fetch-site", site).header("sec-fetch-mode", "no-cors");
    bob.send(world, request.body(Body::empty()).unwrap()).await
}

#[tokio::test]
async fn over_the_end_of_its_token_a_session_goes_on_by_the_refresh_token() {
    let (world, server, mut bob) = world(true, false).await;
    let traded = server.count_traded();
    for _ in 0..3 {
        world.clock.put_forward(3_520);
        assert_eq!(fetch(&mut bob, &world, "same-origin").await.text, "a picture");
        world.clock.put_forward(85);
        assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    }
    assert_eq!(server.count_traded(), traded, "nothing is traded for that");
    // several calls at one time renew it once
    world.clock.put_forward(3_597);
    let refreshed = server.tickets.load(Ordering::SeqCst);
    let (one, all) = (&bob, &world);
    let calls = (0..10).map(|_| async move { fetch(&mut one.clone(), all, "same-origin").await.text });
    assert!(futures_util::future::join_all(calls).await.iter().all(|text| text == "a picture"));
    assert_eq!(server.tickets.load(Ordering::SeqCst), refreshed + 2, "a token and the next refresh token");
}

#[tokio::test]
async fn without_a_refresh_token_it_goes_on_by_what_she_is_known_for() {
    for gives_refresh_tokens in [false, true] {
        let (world, server, mut bob) = world(gives_refresh_tokens, true).await;
        for is_navigation in [true, false] {
            let traded = server.count_traded();
            world.clock.put_forward(3_597);
            // one that is not taken any more is none
            server.refreshed.lock().unwrap().clear();
            assert_eq!(fetch(&mut bob, &world, "cross-site").await.status, 401, "a page of another place renews nothing");
            assert_eq!(server.count_traded(), traded);
            let seen =
                if is_navigation { bob.open(&world, "/alice/a").await } else { fetch(&mut bob, &world, "same-origin").await };
            assert_eq!(seen.text, "a picture", "{}", seen.status);
            assert_eq!(server.count_traded(), traded + 1);
        }
        // and who is not known any more is led to where she shows it
        world.clock.put_forward(3_597);
        server.refreshed.lock().unwrap().clear();
        server.proofs_ended.store(true, Ordering::SeqCst);
        assert_eq!(fetch(&mut bob, &world, "same-origin").await.status, 401);
        assert!(bob.open(&world, "/alice/a").await.to.unwrap().starts_with(&server.at("/claims")));
    }
}

#[tokio::test]
async fn a_session_ends_an_hour_after_its_last_use() {
    let (world, server, mut bob) = world(true, true).await;
    world.clock.put_forward(3_500);
    assert_eq!(fetch(&mut bob, &world, "same-origin").await.text, "a picture");
    let traded = server.count_traded();
    world.clock.put_forward(3_601);
    assert_eq!(fetch(&mut bob, &world, "same-origin").await.status, 401);
    assert!(bob.open(&world, "/alice/a").await.to.unwrap().starts_with(&server.at("/claims")));
    assert_eq!(server.count_traded(), traded, "nothing of it is used any more");
}

#[tokio::test]
async fn a_session_ends_twelve_hours_after_its_beginning() {
    let (world, server, mut bob) = world(true, true).await;
    for minutes in (50..720).step_by(50) {
        world.clock.put_forward(50 * 60);
        assert_eq!(fetch(&mut bob, &world, "same-origin").await.text, "a picture", "{minutes}");
    }
    world.clock.put_forward(20 * 60 + 1);
    assert_eq!(fetch(&mut bob, &world, "same-origin").await.status, 401);
    assert!(bob.open(&world, "/alice/a").await.to.unwrap().starts_with(&server.at("/claims")));
}

/// A session is renewed under its old cookie while the new one is on its way: what that brought is not lost, for its server takes
/// the token of before no more.
#[tokio::test]
async fn threat_27_what_a_session_renews_while_it_moves_goes_over() {
    let (world, server, mut bob) = world(true, false).await;
    world.link("mallory", &server, &["m"]).await;
    let mut before = bob.clone();
    assert_eq!(bob.visit(&world, &server, "/mallory/m", "bob").await.status, 303);
    assert_ne!(bob.session(), before.session());
    world.clock.put_forward(3_597);
    assert_eq!(before.open(&world, "/alice/a").await.text, "a picture");
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    assert_eq!(bob.open(&world, "/mallory/m").await.text, "a picture");
    // and the old cookie opens nothing any more
    assert_ne!(before.open(&world, "/alice/a").await.text, "a picture");
}

/// What she was given since is what she has, also where what she had before would last longer.
#[tokio::test]
async fn threat_27_what_was_just_given_stays_when_a_session_moves() {
    let (world, _server, _bob) = world(true, false).await;
    let gateway = &world.gateway;
    let line = gateway.begin_session_with("alice", "https://as.example", "of before").await;
    let before = line.split_once('=').unwrap().1.to_owned();
    let cookie = gateway.move_session(&before).await;
    world.clock.put_forward(-60);
    gateway.let_in_to_more(&cookie, "alice", "https://as.example", "to more").await;
    world.clock.put_forward(60);
    assert!(gateway.shows(&cookie).await);
    assert_eq!(gateway.token_of(&cookie, "alice", "https://as.example").await.as_deref(), Some("to more"));
}

/// A row of an older version names the session in whose place it is by its id.
#[tokio::test]
async fn threat_48_a_log_out_ends_what_moved_before_an_update() {
    let (world, _server, _bob) = world(true, false).await;
    let gateway = &world.gateway;
    for is_shown in [false, true] {
        let line = gateway.begin_session_with("alice", "https://as.example", "a token").await;
        let before = line.split_once('=').unwrap().1.to_owned();
        let cookie = gateway.move_session(&before).await;
        gateway.name_before_by_id(&cookie, &before).await;
        match is_shown {
            true => assert!(gateway.shows(&cookie).await),
            false => gateway.end_session_to_renew(&cookie).await,
        }
        assert!(!gateway.shows(&before).await, "shown first: {is_shown}");
        assert_eq!(gateway.shows(&cookie).await, is_shown);
    }
}
