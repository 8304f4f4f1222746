//! People who wait for an owner's answer, beside a crowd that waits for something else (threat 46).

use super::*;

async fn world() -> (World, Arc<Known>) {
    let server = Known { says_issuer: true, ..Known::default() };
    server.knows_again.store(true, Ordering::SeqCst);
    server.interval.store(1, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["open", "a", "b"]).await;
    for thing in ["/alice/a", "/alice/b"] {
        server.says.lock().unwrap().insert(thing.into(), Says::AsksHerOwner);
    }
    (world, server)
}

/// Somebody who is known asks for something.
async fn ask(world: &World, browser: &mut Browser, to: &str) -> Seen {
    let seen = browser.open(world, to).await;
    let value = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{}: {}", seen.status, seen.text));
    let token = value.split('"').next().unwrap().to_owned();
    browser.post(world, "/.wayleave/visit", &[("csrf", &token), ("to", to)]).await;
    browser.open(world, to).await
}

#[tokio::test]
async fn threat_46_spellings_of_one_thing_are_asked_about_once() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/open", "bob").await;
    assert_eq!(ask(&world, &mut bob, "/alice/b").await.status, 202);
    let before = server.traded.lock().unwrap().len();
    for spelling in ["/alice/b?1", "/alice/b?2&x", "/alice/%62"] {
        let seen = bob.open(&world, spelling).await;
        assert!(seen.status == 202 && seen.text.contains("Waiting for an answer"), "{spelling}: {}", seen.text);
    }
    assert_eq!(server.traded.lock().unwrap().len(), before);
    assert_eq!(world.gateway.browsers.polls_count(), 1);
}

#[tokio::test]
async fn threat_46_a_page_that_loads_anew_asks_itself() {
    let (world, server) = world().await;
    server.interval.store(3, Ordering::SeqCst);
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/open", "bob").await;
    // nothing asks in the background
    let _all = world.gateway.browsers.fill_polls(|n| vec![format!("server {n}")]);
    assert_eq!(ask(&world, &mut bob, "/alice/a").await.status, 202);
    let mut without = bob.clone();
    server.says.lock().unwrap().clear();
    let asked = server.traded.lock().unwrap().len();
    assert_eq!(without.open(&world, "/alice/a").await.status, 202, "not before the time is over");
    assert_eq!(server.traded.lock().unwrap().len(), asked);
    tokio::time::sleep(std::time::Duration::from_millis(3_100)).await;
    assert_eq!(without.open(&world, "/alice/a").await.text, "a picture");
}

#[tokio::test]
async fn threat_46_whoever_waits_for_much_leaves_a_place_to_others() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/open", "bob").await;
    let issuer = server.at("");
    let hers = ["198.51.0.0/16", "198.51.100.0/24", "198.51.100.9"].map(str::to_owned);
    let all = world.gateway.browsers.fill_polls(|_| [vec![issuer.clone()], hers.to_vec()].concat());
    assert_eq!(ask(&world, &mut bob, "/alice/a").await.status, 202);
    assert!(!all.last().unwrap().is_held(), "the newest of who has most");
    server.says.lock().unwrap().clear();
    // it is asked in the background: no page is loaded
    let begun = Instant::now();
    let has_asked = || server.granted.lock().unwrap().values().any(|resource| resource == "r1");
    while !has_asked() {
        assert!(begun.elapsed().as_secs() < 10);
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}

/// Whether a thing is there, and whether anybody could be asked for it, nobody reads in what comes of a press (design/browser.md 5).
#[tokio::test]
async fn threat_47_a_press_says_the_same_whoever_could_be_asked() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/open", "bob").await;
    server.says.lock().unwrap().insert("/alice/a".into(), Says::No);
    let unasked = bob.open(&world, "/alice/a").await;
    assert!(unasked.status == 404 && unasked.text.contains("Ask for access"), "{}", unasked.text);
    let mut said = async |to: &str| {
        let seen = ask(&world, &mut bob, to).await;
        let token = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let name = to.rsplit('/').next().unwrap();
        let text = seen.text.replace(&token, "").replace(&format!("alice/{name}"), "").replace(&format!("alice%2F{name}"), "");
        (seen.status, text)
    };
    let (unasked, absent) = (said("/alice/a").await, said("/alice/absent").await);
    assert_eq!(unasked, absent);
    assert!(unasked.0 == 202 && unasked.1.contains("its owner can be asked, that is done"), "{}", unasked.1);
    // nor in what the pages do by themselves: nothing; and what they do when she looks is the same
    let before = server.traded.lock().unwrap().len();
    for to in ["/alice/a", "/alice/absent", "/alice/a"] {
        world.clock.put_forward(60);
        assert_eq!(bob.open(&world, to).await.status, 202, "{to}");
    }
    assert_eq!(server.traded.lock().unwrap().len(), before);
    let mut look = async |to: &str| {
        let seen = bob.open(&world, to).await;
        let token = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        let led = bob.post(&world, "/.wayleave/visit", &[("csrf", &token), ("to", to), ("look", "again")]).await;
        assert!(led.status == 303 && led.to.is_some_and(|place| place.ends_with(to)), "{}", led.text);
        bob.open(&world, to).await
    };
    for to in ["/alice/a", "/alice/absent"] {
        assert_eq!(look(to).await.status, 202, "{to}");
    }
    server.says.lock().unwrap().remove("/alice/a");
    assert_eq!(look("/alice/a").await.text, "a picture", "shared meanwhile");
    let asked = ask(&world, &mut bob, "/alice/b").await;
    assert!(asked.status == 202 && asked.text.contains("its owner can be asked, that is done"), "{}", asked.text);
}
