//! What an owner sees, in a browser of hers, of who counts for her here (decision 0061).

use super::*;
use crate::gateway::store::{Link, LinkState};
use types::brought::{BroughtBy, BroughtStanding};
use types::credential::{CredentialDocument, CredentialType};

const YOURS: &str = "/.wayleave/yours";
const HELPERS: &str = "https://helpers.example";
const KEY: &str = "did:key:z6MkhaXgBZDvotDkL5257faiztiGiC2QtKLGpbnnEGta2doK";

fn by_helper(now: Timestamp) -> Option<BroughtBy> {
    Some(BroughtBy {
        client: Some("c1".into()),
        name: Some("Helper".into()),
        grant: Some("g1".into()),
        issuer: None,
        declared: false,
        at: now,
        standing: BroughtStanding::WithApplication,
    })
}

async fn world() -> (World, Arc<Known>) {
    let server = Known { says_issuer: true, ..Known::default() }.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a"]).await;
    let (store, now) = (&world.gateway.store, world.gateway.client.clock.now());
    let key = CredentialDocument {
        id: "k".into(),
        cred_type: CredentialType::Did,
        cred_value: json!({"id": KEY}),
        created: now,
        last_used: None,
        by: by_helper(now),
    };
    store.put_credential("alice", KEY, &key).await.unwrap();
    let link = Link { access_token: "pat".into(), expires: now.plus(3_600), by: by_helper(now), ..link::new_link(now) };
    store.put_link("alice", HELPERS, &link).await.unwrap();
    (world, server)
}

fn token_of(seen: &Seen) -> String {
    let value = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap_or_else(|| panic!("{}: {}", seen.status, seen.text));
    value.split('"').next().unwrap().to_owned()
}

#[tokio::test]
async fn an_owner_sees_what_applications_brought_and_ends_or_keeps_it() {
    let (world, server) = world().await;
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    let seen = bob.open(&world, YOURS).await;
    assert!(seen.status == 403 && !seen.text.contains("Helper"), "{}", seen.text);
    let mut alice = Browser::at("192.0.2.8");
    assert_eq!(alice.open(&world, YOURS).await.status, 403, "nobody yet");
    alice.visit(&world, &server, "/alice/a", "owner").await;
    let page = alice.open(&world, YOURS).await;
    for text in [KEY, HELPERS, "calls itself “Helper”", server.at("").as_str()] {
        assert!(page.status == 200 && page.text.contains(text), "{text}: {}", page.text);
    }
    let token = token_of(&page);
    let order = |kind, id, decision| [("csrf", token.as_str()), ("kind", kind), ("id", id), ("decision", decision)];
    let forged = [("csrf", "x"), ("kind", "key"), ("id", "k"), ("decision", "end")];
    assert_eq!(alice.post(&world, YOURS, &forged).await.status, 403);
    assert_eq!(bob.post(&world, YOURS, &order("key", "k", "end")).await.status, 403);
    assert_eq!(alice.post(&world, YOURS, &order("key", "k", "keep")).await.status, 303);
    let standing =
        async || world.gateway.store.find_credential("alice", KEY).await.unwrap().map(|key| key.by.clone().unwrap().standing);
    assert_eq!(standing().await, Some(BroughtStanding::Kept));
    assert_eq!(alice.post(&world, YOURS, &order("key", "k", "end")).await.status, 303);
    assert_eq!(standing().await, None);
    assert_eq!(alice.post(&world, YOURS, &order("server", HELPERS, "end")).await.status, 303);
    assert!(world.gateway.store.find_link("alice", HELPERS).await.unwrap().unwrap().state == LinkState::Withdrawn);
    assert!(alice.open(&world, YOURS).await.text.contains("guards nothing any more"));
}

/// Who the owner is no server says that an application brought or vouched for.
#[tokio::test]
async fn a_server_of_an_application_does_not_say_who_the_owner_is() {
    let (world, server) = world().await;
    let mut thief = Browser::at("192.0.2.7");
    thief.visit(&world, &server, "/alice/a", "owner").await;
    let link = world.gateway.store.find_link("alice", &server.at("")).await.unwrap().unwrap();
    let now = world.gateway.client.clock.now();
    for (by, expected) in [(by_helper(now), 403), (by_helper(now).map(|by| by.kept()), 200)] {
        world.gateway.store.put_link("alice", &server.at(""), &Link { by, ..(*link).clone() }).await.unwrap();
        assert_eq!(thief.open(&world, YOURS).await.status, expected);
    }
}
