//! What a resource server gets by a search (protocol.md 2.2): one assertion, which is good once, and for as long as its owner
//! does not withdraw her link there.

use crate::party::Party;
use crate::world::{Answer, World, basic, form};
use identity::access_token::PolicyToken;
use jose::{KeySet, UnverifiedJws};
use serde_json::{Map, Value, json};
use std::time::Duration;
use types::{ClientId, OwnerId};

/// A resource server that takes no search, however often it is sent one, and keeps what it was sent.
async fn records() -> (World, Party) {
    let party = Party::start().await;
    let about = json!({"resource": party.url, "resource_discovery_endpoint": format!("{}/discover", party.url)});
    party.answers("GET /.well-known/oauth-protected-resource", 200, about);
    party.answers("POST /discover", 503, json!({}));
    let more = format!(
        "[outbound]\nallow_private_networks = true\nallow_http = true\n[[client]]\nclient_id = \"records-rs\"\n\
         client_secret = \"records-secret\"\nresource = \"{}\"\nscope = \"uma_protection\"\n",
        party.url
    );
    (World::on("memory", &more).await, party)
}

async fn alice(world: &World) -> PolicyToken {
    let account = world.app.identity.find_account_by_username("alice").await.unwrap().unwrap();
    PolicyToken { client: ClientId::new("pages"), owner: OwnerId::new(account.id.as_str()), grant: None }
}

/// A search to which Alice has consented.
async fn search(world: &World, party: &Party) -> String {
    let pmt = world.access("manager").await;
    let wanted = json!({"resource_servers": [party.url], "claims": ["email"]});
    let made = world.call("POST", "/uma/discovery-requests", &pmt, wanted).await;
    let id = made.ok(202).get("_id").to_owned();
    let said = Map::new();
    world.app.authorization_server.decide_search(&alice(world).await, &id, true, said).await.unwrap();
    id
}

/// The assertion that the next try brings.
async fn next_assertion(world: &World, party: &Party) -> String {
    let keys = KeySet::from_json(&world.get("/jwks").await.json).unwrap();
    let begun = std::time::Instant::now();
    while begun.elapsed().as_secs() < 60 {
        world.app.authorization_server.send_searches().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
        let asked = party.asked();
        if let Some(sent) = asked.iter().find(|asked| asked.what.starts_with("POST /discover")) {
            let token = UnverifiedJws::parse(&sent.body).unwrap().verify(&keys).unwrap();
            let token = token.claims::<Value>().unwrap().into_inner();
            let assertion = token["pat_assertion"].as_str().unwrap().to_owned();
            let inner = jose::base64url::decode(assertion.split('.').nth(1).unwrap()).unwrap();
            let inner: Value = serde_json::from_slice(&inner).unwrap();
            assert_eq!(inner["sub"], token["sub"], "as this resource server alone knows her");
            assert!(!inner.to_string().contains(alice(world).await.owner.as_str()));
            return assertion;
        }
        world.pass(1);
    }
    panic!("nothing was sent")
}

/// Its own name, the same for one search each time. Of her it says no more than the token around it.
fn name_of(assertion: &str) -> String {
    let claims = jose::base64url::decode(assertion.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&claims).unwrap()["jti"].as_str().unwrap().to_owned()
}

async fn trade(world: &World, assertion: &str) -> Answer {
    let fields = [("grant_type", types::discovery::JWT_BEARER), ("assertion", assertion), ("scope", "uma_protection")];
    let basic = basic("records-rs", "records-secret");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
    world.send("POST", "/token", &headers, form(&fields)).await
}

/// She withdraws her link, as the page of her applications does it.
async fn withdraw(world: &World) {
    let identity = &world.app.identity;
    let owner = alice(world).await.owner;
    let consents = identity.store.list_consents(&owner).await.unwrap();
    let link = consents.iter().find(|consent| consent.client.as_str() == "records-rs").unwrap();
    assert!(identity.withdraw_consent(&owner, &link.id).await.unwrap());
}

async fn opens(world: &World, pat: &str) -> bool {
    world.call("GET", "/uma/resources", pat, Value::Null).await.status == 200
}

#[tokio::test]
async fn threat_48_a_resource_server_that_was_sent_away_does_not_link_itself_again() {
    let (world, party) = records().await;
    search(&world, &party).await;
    let first = next_assertion(&world, &party).await;
    let second = next_assertion(&world, &party).await;
    let pat = trade(&world, &first).await.ok(200).get("access_token").to_owned();
    assert!(opens(&world, &pat).await);
    trade(&world, &second).await.refused(400, "invalid_grant");
    world.pass(5);
    withdraw(&world).await;
    assert!(!opens(&world, &pat).await);
    for assertion in [&first, &second] {
        trade(&world, assertion).await.refused(400, "invalid_grant");
    }
    // she lets it search again: it may find her again
    world.pass(5);
    search(&world, &party).await;
    let pat = trade(&world, &next_assertion(&world, &party).await).await.ok(200).get("access_token").to_owned();
    assert!(opens(&world, &pat).await);
}

#[tokio::test]
async fn threat_48_withdrawing_a_link_ends_that_servers_part_of_every_search() {
    let (world, party) = records().await;
    // one that it keeps, and one that it uses
    let kept = search(&world, &party).await;
    let one = next_assertion(&world, &party).await;
    world.app.authorization_server.delete_search(&alice(&world).await, &kept).await.unwrap();
    trade(&world, &one).await.refused(400, "invalid_grant");
    search(&world, &party).await;
    let kept = next_assertion(&world, &party).await;
    search(&world, &party).await;
    let mut used = next_assertion(&world, &party).await;
    while name_of(&used) == name_of(&kept) {
        used = next_assertion(&world, &party).await;
    }
    trade(&world, &used).await.ok(200);
    world.pass(5);
    withdraw(&world).await;
    trade(&world, &kept).await.refused(400, "invalid_grant");
    // and nothing of her is sent there any more
    party.asked();
    for _ in 0..20 {
        world.pass(3_600);
        world.app.authorization_server.send_searches().await.unwrap();
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    assert_eq!(party.asked().iter().filter(|asked| asked.what.starts_with("POST /discover")).count(), 0);
}
