//! An owner is asked once in a session whether this gateway may reach what is hers, and not at each thing (decision 0067).

use super::*;

async fn world() -> (World, Arc<Known>) {
    let server = Known { says_issuer: true, ..Known::default() }.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a", "b", "c"]).await;
    (world, server)
}

#[tokio::test]
async fn an_owner_opens_one_thing_after_the_other_and_is_asked_once() {
    let (world, server) = world().await;
    server.gives_refresh_tokens.store(true, Ordering::SeqCst);
    let mut alice = Browser::at("192.0.2.8");
    alice.visit(&world, &server, "/alice/a", "owner").await;
    assert_eq!(alice.open(&world, "/alice/a").await.text, "a picture");
    for place in ["/alice/b", "/alice/c", "/alice/a"] {
        let seen = alice.open(&world, place).await;
        assert_eq!((seen.status, seen.text.as_str()), (200, "a picture"), "{place}");
    }
    // nor for what she changes there
    server.may_edit.lock().unwrap().push("/alice/b".to_owned());
    let saved = alice.post(&world, "/alice/b", &[("text", "x")]).await;
    assert_eq!((saved.status, saved.text.starts_with("saved")), (200, true), "{}", saved.text);
}

/// Over the end of the token, too: it is renewed first.
#[tokio::test]
async fn an_owner_is_not_asked_again_where_her_token_has_ended_meanwhile() {
    let (world, server) = world().await;
    server.gives_refresh_tokens.store(true, Ordering::SeqCst);
    let mut alice = Browser::at("192.0.2.8");
    alice.visit(&world, &server, "/alice/a", "owner").await;
    assert_eq!(alice.open(&world, "/alice/a").await.text, "a picture");
    world.clock.put_forward(3_597);
    let seen = alice.open(&world, "/alice/b").await;
    assert_eq!((seen.status, seen.text.as_str()), (200, "a picture"), "{:?}", seen.to);
}

/// What somebody has of another's says nothing of the next thing: the server is not even asked.
#[tokio::test]
async fn threat_21_whoever_is_not_the_owner_shows_who_she_is_for_each_thing() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    let traded = server.count_traded();
    let seen = bob.open(&world, "/alice/b").await;
    assert!(seen.status == 303 && seen.to.as_deref().is_some_and(|to| to.contains("/claims")), "{}: {}", seen.status, seen.text);
    assert_eq!(server.count_traded(), traded);
}
