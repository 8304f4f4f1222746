//! Applications that see who somebody is by her address: she reads so before, and they do (design/browser.md, *Who is calling*).

use super::*;

/// What is below `/alice` is told addresses where `tells` says so; what is below `/mallory` is not.
async fn world(tells: &[&str]) -> (World, Arc<Known>) {
    let server = Known::default();
    server.knows_again.store(true, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    let mut routes = world.gateway.routes().to_vec();
    for path in tells {
        let told = route_with(path, |guarded| {
            guarded.owner = OwnerOf::Named("alice".into());
            guarded.tells_email = true;
        });
        routes.insert(0, told);
    }
    world.gateway.replace_routes(routes);
    world.link("alice", &server, &["a", "b"]).await;
    (world, server)
}

/// She reads the page, and goes on.
async fn agree(bob: &mut Browser, world: &World, server: &Known, left: &Seen) -> Seen {
    assert_eq!(left.sent("disclose"), "email");
    server.told.lock().unwrap().push("bob".into());
    let ticket = server.shows(&left.sent("ticket"), "bob");
    bob.back(world, &left.way_back(), &[("state", &left.sent("state")), ("ticket", &ticket)]).await
}

#[tokio::test]
async fn an_application_that_sees_addresses_is_told_hers_once_she_read_so() {
    let (world, server) = world(&["/alice/a"]).await;
    let mut bob = Browser::at("192.0.2.7");
    let left = bob.open(&world, "/alice/a").await;
    agree(&mut bob, &world, &server, &left).await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture for bob@bar.example");
    // what is opened after it is told nothing, and takes nothing from it
    assert_eq!(bob.open(&world, "/alice/b").await.text, "a picture");
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture for bob@bar.example");
}

#[tokio::test]
async fn whoever_is_known_already_reads_it_before_such_an_application_opens() {
    let (world, server) = world(&["/alice/a"]).await;
    let mut bob = Browser::at("192.0.2.7");
    let left = bob.open(&world, "/alice/b").await;
    assert!(!left.to.unwrap().contains("disclose"));
    bob.visit(&world, &server, "/alice/b", "bob").await;
    assert_eq!(bob.open(&world, "/alice/b").await.text, "a picture");
    let left = bob.open(&world, "/alice/a").await;
    agree(&mut bob, &world, &server, &left).await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture for bob@bar.example");
}

/// The same where what she holds opens it already: her page comes first, and nothing else of it is kept from her.
#[tokio::test]
async fn what_she_holds_does_not_open_it_unread() {
    let (world, server) = world(&[]).await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    let told = route_with("/alice/{thing}", |guarded| {
        guarded.owner = OwnerOf::Named("alice".into());
        guarded.tells_email = true;
    });
    world.gateway.replace_routes(vec![told]);
    let left = bob.open(&world, "/alice/a").await;
    agree(&mut bob, &world, &server, &left).await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture for bob@bar.example");
}
