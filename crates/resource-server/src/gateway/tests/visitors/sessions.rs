//! Sessions of people: who showed nothing begins none that counts (threat 46), and what was ended does not come back (threat 48).

use super::*;

fn token_of(seen: &Seen) -> String {
    let value = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{}: {}", seen.status, seen.text));
    value.split('"').next().unwrap().to_owned()
}

async fn world() -> (World, Arc<Known>) {
    let server = Known { says_issuer: true, ..Known::default() };
    server.interval.store(1, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a", "hidden"]).await;
    server.says.lock().unwrap().insert("/alice/hidden".into(), Says::AsksHerOwner);
    (world, server)
}

/// By which a browser's session is kept.
fn id_of(browser: &Browser) -> String {
    jose::base64url::encode(jose::digest::sha256(&[b"session ", browser.session().unwrap().as_bytes()]))
}

async fn has_row(world: &World, browser: &Browser) -> bool {
    world.gateway.store.find_session(&id_of(browser)).await.unwrap().is_some()
}

#[tokio::test]
async fn threat_46_whoever_showed_nothing_has_no_row_and_no_more_tries() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    assert!(has_row(&world, &bob).await && bob.open(&world, "/alice/a").await.text == "a picture");
    // a second ticket is had of any call without a token
    let (mut taken, mut refused) = (0, 0);
    for _ in 0..210 {
        let mut mallory = Browser::at("192.0.2.9");
        let left = mallory.open(&world, "/alice/a").await;
        let request = Request::get("/alice/a").body(Body::empty()).unwrap();
        let challenge = world.gateway.clone().router().oneshot(request).await.unwrap();
        let challenge = challenge.headers()["www-authenticate"].to_str().unwrap().to_owned();
        let ticket = challenge.split("ticket=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let (state, own) = (left.sent("state"), server.at(""));
        let seen = mallory.back(&world, &left.way_back(), &[("state", &state), ("ticket", &ticket), ("iss", &own)]).await;
        match seen.status {
            303 => {
                taken += 1;
                assert!(!has_row(&world, &mallory).await);
                assert_eq!(mallory.open(&world, "/alice/a").await.status, 404);
            }
            429 => refused += 1,
            other => panic!("{other}: {}", seen.text),
        }
    }
    assert_eq!((taken, refused), (200, 10), "none of these is given back");
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    // whom the server knows is no flood
    let mut carol = Browser::at("192.0.2.9");
    assert_eq!(carol.visit(&world, &server, "/alice/a", "carol").await.status, 429, "the same machine");
    let mut dave = Browser::at("192.0.2.8");
    for _ in 0..3 {
        assert_eq!(dave.visit(&world, &server, "/alice/a", "dave").await.status, 303);
        dave.cookies.clear();
    }
}

#[tokio::test]
async fn whoever_is_let_in_to_nothing_may_ask_all_the_same() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    assert_eq!(bob.visit(&world, &server, "/alice/hidden", "bob").await.status, 303);
    assert!(!has_row(&world, &bob).await, "nothing is known of him here");
    let seen = bob.open(&world, "/alice/hidden").await;
    assert!(seen.status == 404 && seen.text.contains("Ask for access"), "{}", seen.text);
    let fields = [("csrf", &*token_of(&seen)), ("to", "/alice/hidden"), ("message", "It is Bob")];
    let left = bob.post(&world, "/.wayleave/visit", &fields).await;
    let ticket = server.shows(&left.sent("ticket"), "bob");
    let (state, own) = (left.sent("state"), server.at(""));
    bob.back(&world, &left.way_back(), &[("state", &state), ("ticket", &ticket), ("iss", &own)]).await;
    assert!(has_row(&world, &bob).await, "he waits");
    let seen = bob.open(&world, "/alice/hidden").await;
    assert!(seen.status == 202 && seen.text.contains("Waiting for an answer"), "{}", seen.text);
    // and once he is allowed, he is in
    server.says.lock().unwrap().clear();
    let begun = Instant::now();
    while bob.open(&world, "/alice/hidden").await.text != "a picture" {
        assert!(begun.elapsed().as_secs() < 60);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
}

#[tokio::test]
async fn threat_48_an_end_has_its_turn_among_changes() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    let page = bob.open(&world, "/.wayleave/logout").await;
    let kept = bob.clone();
    let turn = world.gateway.turn(&format!("session {}", id_of(&bob))).await;
    let changes = turn.lock().await;
    let (token, mut other) = (token_of(&page), bob.clone());
    let fields = [("csrf", token.as_str())];
    let out = other.post(&world, "/.wayleave/logout", &fields);
    assert!(tokio::time::timeout(std::time::Duration::from_millis(200), out).await.is_err(), "a change is under way");
    assert!(has_row(&world, &kept).await);
    drop(changes);
    assert_eq!(bob.post(&world, "/.wayleave/logout", &fields).await.status, 200);
    assert!(!has_row(&world, &kept).await);
}

/// Calls that are under way while she logs out write nothing back.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_48_log_out_is_not_undone_by_a_call_that_is_under_way() {
    let (world, server) = world().await;
    server.knows_again.store(true, Ordering::SeqCst);
    world.link("alice", &server, &["b", "c"]).await;
    let world = Arc::new(world);
    for _ in 0..10 {
        let mut bob = Browser::at("192.0.2.7");
        bob.visit(&world, &server, "/alice/a", "bob").await;
        let page = bob.open(&world, "/.wayleave/logout").await;
        let thief = bob.clone();
        let going = Arc::new(AtomicBool::new(true));
        let calls: Vec<_> = ["/alice/a", "/alice/b", "/alice/c", "/alice/none"]
            .into_iter()
            .map(|path| {
                let (world, going, thief) = (world.clone(), going.clone(), thief.clone());
                tokio::spawn(async move {
                    while going.load(Ordering::SeqCst) {
                        let mut thief = thief.clone();
                        thief.open(&world, path).await;
                    }
                })
            })
            .collect();
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        let out = bob.post(&world, "/.wayleave/logout", &[("csrf", &token_of(&page))]).await;
        assert!(out.status == 200 && out.text.contains("Logged out"), "{}", out.text);
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
        going.store(false, Ordering::SeqCst);
        for call in calls {
            call.await.unwrap();
        }
        assert!(!has_row(&world, &thief).await);
        let seen = thief.clone().open(&world, "/alice/a").await;
        assert!(seen.to.as_ref().is_some_and(|to| to.starts_with(&server.at("/claims"))), "{}", seen.text);
    }
}

/// He sees one thing of hers, and nothing keeps who he is: what he may not see is one page, and not the way to her server again.
#[tokio::test]
async fn whoever_sees_one_thing_may_ask_for_another() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    assert_eq!(bob.visit(&world, &server, "/alice/a", "bob").await.status, 303);
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    assert_eq!(bob.visit(&world, &server, "/alice/hidden", "bob").await.status, 303);
    let seen = bob.open(&world, "/alice/hidden").await;
    assert!(seen.status == 404 && seen.text.contains("Ask for access"), "{}: {}", seen.status, seen.text);
    // browsers hold a form to where its answer leads
    let policy = format!("form-action 'self' {};", server.at(""));
    assert!(matches!(&*seen.policies, [one] if one.contains(&policy)), "{policy}: {:?}", seen.policies);
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture", "what he sees is still there");
}

/// Whoever has a copy of a cookie, and is let in to nothing, makes no session of it that outlives its end.
#[tokio::test]
async fn threat_48_a_visit_that_brought_nothing_moves_no_session() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    let page = bob.open(&world, "/.wayleave/logout").await;
    let mut mallory = Browser::at("198.51.100.1");
    mallory.cookies = bob.cookies.clone();
    assert_eq!(mallory.visit(&world, &server, "/alice/hidden", "mallory").await.status, 303);
    assert_eq!(mallory.session(), bob.session());
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    assert_eq!(bob.post(&world, "/.wayleave/logout", &[("csrf", token_of(&page).as_str())]).await.status, 200);
    assert_ne!(mallory.open(&world, "/alice/a").await.text, "a picture");
}
