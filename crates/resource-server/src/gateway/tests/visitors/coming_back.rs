//! The way back of one server, of which another makes use (threats 15 and 21).

use super::*;

fn server(says_issuer: bool, registers_clients: bool) -> Known {
    Known { says_issuer, registers_clients, ..Known::default() }
}

/// Bob follows a link to something that the dishonest server guards, and is sent on from there to the honest one's page, with
/// a ticket that Mallory fetched and the state of his own visit. What he sees when he comes back, by each way, and what the
/// dishonest server was shown.
async fn mix_up(world: &World, honest: &Known, dishonest: &Known) {
    let mut mallory = Browser::at("192.0.2.1");
    let hers = mallory.open(world, "/alice/x").await;
    let mut bob = Browser::at("198.51.100.1");
    let his = bob.open(world, "/mallory/m").await;
    assert!(his.to.as_ref().unwrap().starts_with(&dishonest.at("/claims")), "{:?}", his.to);
    let ticket = honest.shows(&hers.sent("ticket"), "bob");
    // the honest server leads to where its client is registered, or declared
    let registered: Vec<Value> = honest.clients.lock().unwrap().iter().map(|one| one["claims_redirect_uris"].clone()).collect();
    let registered = registered.iter().flat_map(|uris| uris.as_array().unwrap()).map(|uri| uri.as_str().unwrap());
    let registered = registered.map(|uri| uri.strip_prefix(RESOURCE).unwrap().to_owned());
    for way_back in registered.chain([hers.way_back()]) {
        let (state, own) = (his.sent("state"), honest.at(""));
        let mut fields = vec![("state", state.as_str()), ("ticket", ticket.as_str())];
        fields.extend(honest.says_issuer.then_some(("iss", own.as_str())));
        let mut bob = bob.clone();
        let seen = bob.back(world, &way_back, &fields).await;
        assert_eq!((seen.status, bob.session()), (400, None), "{way_back}: {}", seen.text);
        assert!(seen.text.contains("another server"), "{}", seen.text);
    }
    assert_eq!(*dishonest.traded.lock().unwrap(), Vec::<String>::new(), "the ticket of the honest server");
}

#[tokio::test]
async fn threat_15_a_persons_answer_of_one_server_is_traded_at_no_other() {
    // the operator's server with its declared client, and one that an owner brought
    for says_issuer in [false, true] {
        let (honest, dishonest) = (server(says_issuer, false).start().await, server(false, true).start().await);
        let world = World::new(&[&honest], true).await;
        world.link("alice", &honest, &["x"]).await;
        world.link("mallory", &dishonest, &["m"]).await;
        mix_up(&world, &honest, &dishonest).await;
    }
    // the other way round: the only listed one is dishonest
    let (honest, dishonest) = (server(false, true).start().await, server(false, false).start().await);
    let world = World::new(&[&dishonest], true).await;
    world.link("alice", &honest, &["x"]).await;
    world.link("mallory", &dishonest, &["m"]).await;
    mix_up(&world, &honest, &dishonest).await;
    // both listed and declared: they say who answers
    let (honest, dishonest) = (server(true, false).start().await, server(true, false).start().await);
    let world = World::new(&[&honest, &dishonest], true).await;
    world.link("alice", &honest, &["x"]).await;
    world.link("mallory", &dishonest, &["m"]).await;
    mix_up(&world, &honest, &dishonest).await;
    // what the right one says opens all the same
    for (server, path) in [(&honest, "/alice/x"), (&dishonest, "/mallory/m")] {
        let mut bob = Browser::at("198.51.100.2");
        let seen = bob.visit(&world, server, path, "bob").await;
        assert_eq!((seen.status, seen.to.as_deref()), (303, Some(&*format!("{RESOURCE}{path}"))), "{}", seen.text);
        assert_eq!(bob.open(&world, path).await.text, "a picture");
    }
    // and without its word, or with two, nothing does
    let mut bob = Browser::at("198.51.100.2");
    let left = bob.open(&world, "/alice/x").await;
    let ticket = honest.shows(&left.sent("ticket"), "bob");
    let (state, own, other) = (left.sent("state"), honest.at(""), dishonest.at(""));
    let base = [("state", state.as_str()), ("ticket", ticket.as_str())];
    for said in [&[][..], &[("iss", other.as_str())], &[("iss", own.as_str()), ("iss", other.as_str())]] {
        let mut bob = bob.clone();
        let seen = bob.back(&world, &left.way_back(), &[&base, said].concat()).await;
        assert_eq!((seen.status, bob.session()), (400, None), "{said:?}");
    }
}

#[tokio::test]
async fn threat_15_of_several_servers_each_has_a_way_back_or_says_who_it_is() {
    // neither says who it is: each has a client of its own
    let (honest, dishonest) = (server(false, true).start().await, server(false, true).start().await);
    let world = World::new(&[&honest, &dishonest], true).await;
    world.link("alice", &honest, &["x"]).await;
    world.link("mallory", &dishonest, &["m"]).await;
    mix_up(&world, &honest, &dishonest).await;
    let ways: Vec<Value> = [&honest, &dishonest].map(|one| one.clients.lock().unwrap()[0]["claims_redirect_uris"].clone()).into();
    assert_ne!(ways[0], ways[1]);
    let mut bob = Browser::at("198.51.100.2");
    assert_eq!(bob.visit(&world, &honest, "/alice/x", "bob").await.status, 303);
    assert_eq!(bob.open(&world, "/alice/x").await.text, "a picture");
    // each that says who it is has the place of all, also by a client that the gateway registers
    let (honest, dishonest) = (server(true, true).start().await, server(true, true).start().await);
    let world = World::new(&[&honest, &dishonest], false).await;
    world.link("alice", &honest, &["x"]).await;
    world.link("mallory", &dishonest, &["m"]).await;
    mix_up(&world, &honest, &dishonest).await;
    assert_eq!(Browser::at("198.51.100.2").open(&world, "/alice/x").await.way_back(), "/.wayleave/visit");
    // where neither is possible, nobody is led there
    let (one, other) = (server(false, false).start().await, server(true, false).start().await);
    let world = World::new(&[&one, &other], true).await;
    world.link("alice", &one, &["x"]).await;
    let seen = Browser::at("198.51.100.2").open(&world, "/alice/x").await;
    assert!(seen.status == 403 && seen.text.contains("cannot be opened in a browser here"), "{}", seen.text);
}

#[tokio::test]
async fn threat_42_before_a_server_that_no_operator_lists_a_page_names_it() {
    let (listed, brought) = (server(true, false).start().await, server(false, true).start().await);
    let world = World::new(&[&listed], true).await;
    world.link("alice", &listed, &["x"]).await;
    world.link("mallory", &brought, &["m"]).await;
    let mut bob = Browser::at("198.51.100.1");
    assert_eq!(bob.open(&world, "/alice/x").await.status, 303);
    let seen = bob.open(&world, "/mallory/m").await;
    let host = brought.at("").strip_prefix("http://").unwrap().to_owned();
    assert!(seen.status == 200 && seen.text.contains(&format!("Go on to {host}")), "{}: {}", seen.status, seen.text);
    // and whoever goes on gets in as everywhere
    assert_eq!(bob.visit(&world, &brought, "/mallory/m", "bob").await.status, 303);
    assert_eq!(bob.open(&world, "/mallory/m").await.text, "a picture");
}

#[tokio::test]
async fn threat_21_a_session_shows_a_token_to_the_server_that_gave_it_alone() {
    let (listed, hers) = (server(true, false).start().await, server(false, true).start().await);
    let world = World::new(&[&listed], true).await;
    world.link("alice", &listed, &["a"]).await;
    world.link("alice", &hers, &["b"]).await;
    let mut bob = Browser::at("198.51.100.1");
    bob.visit(&world, &listed, "/alice/a", "bob").await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    // another server of the same owner
    let seen = bob.open(&world, "/alice/b").await;
    assert!(seen.to.as_ref().unwrap().starts_with(&hers.at("/claims")), "{:?}", seen.to);
    assert_eq!(*hers.introspected.lock().unwrap(), Vec::<String>::new());
    // with a grant of each, each is shown its own
    assert_eq!(bob.visit(&world, &hers, "/alice/b", "bob").await.status, 303);
    for path in ["/alice/a", "/alice/b", "/alice/a"] {
        assert_eq!(bob.open(&world, path).await.text, "a picture", "{path}");
    }
    for server in [&listed, &hers] {
        let own = server.granted.lock().unwrap().clone();
        assert!(server.introspected.lock().unwrap().iter().all(|token| own.contains_key(token)));
    }
}
