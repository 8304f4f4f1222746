//! What resource servers that check JWT RPTs themselves are told (protocol.md 4).

use crate::world::{Answer, World};
use serde_json::{Value, json};
use std::time::Duration;

async fn read(world: &World, pat: &str, after: &str) -> Answer {
    world.call("GET", &format!("/uma/revocations?after={after}"), pat, Value::Null).await
}

fn jti_of(rpt: &str) -> String {
    let payload = jose::base64url::decode(rpt.split('.').nth(1).unwrap()).unwrap();
    serde_json::from_slice::<Value>(&payload).unwrap()["jti"].as_str().unwrap().to_owned()
}

fn revoked(answer: &Answer) -> Vec<String> {
    let listed = answer.ok(200).json["revoked"].as_array().unwrap();
    listed.iter().map(|token| token["jti"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn every_way_in_which_a_signed_rpt_ends_is_told() {
    for world in World::each().await {
        let (pat, album, policy) = world.album().await;
        let rpt = async || world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
        let (given_back, upgraded, opaque) = (rpt().await, rpt().await, world.bobs_rpt("viewer", &pat, &album).await);
        let first = read(&world, &pat, "").await;
        assert!(revoked(&first).is_empty() && first.json["ended"] == false);
        world.post("/revoke", "jwt-viewer", &[("token", &given_back)]).await.ok(200);
        world.post("/revoke", "viewer", &[("token", opaque.get("access_token"))]).await.ok(200);
        let second = read(&world, &pat, first.get("next")).await;
        assert_eq!(revoked(&second), [jti_of(&given_back)], "{}: an opaque one is asked about", world.engine);
        // an upgrade ends the old one, and everything ends with its policy
        let ticket = world.ticket(&pat, &album, "view").await;
        let new = world.trade_as_bob("jwt-viewer", &ticket, &[("rpt", &upgraded)]).await;
        assert_eq!(new.ok(200).json["upgraded"], true);
        let third = revoked(&read(&world, &pat, second.get("next")).await);
        assert!(third.contains(&jti_of(&upgraded)) && !third.contains(&jti_of(new.get("access_token"))));
        world.withdraw(&policy).await;
        let fourth = read(&world, &pat, "").await;
        assert_eq!(revoked(&fourth).len(), 3);
        assert!(revoked(&fourth).contains(&jti_of(new.get("access_token"))));
        // nobody else hears of it, and what has ended by itself is not listed
        let other = world.access("music-rs").await;
        assert!(revoked(&read(&world, &other, "").await).is_empty());
        world.pass(601);
        assert!(revoked(&read(&world, &pat, "").await).is_empty());
    }
}

#[tokio::test]
async fn a_poll_waits_for_news_and_for_the_end_of_the_link() {
    let world = World::one().await;
    let (pat, album, policy) = world.album().await;
    let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
    let next = read(&world, &pat, "").await.get("next").to_owned();
    let silent = tokio::time::timeout(Duration::from_millis(50), read(&world, &pat, &next)).await;
    assert!(silent.is_err(), "nothing to tell, no answer yet");
    let (told, ()) = tokio::join!(read(&world, &pat, &next), world.withdraw(&policy));
    assert_eq!(revoked(&told), [jti_of(&rpt)]);
    let form = [("token", &*pat)];
    let (ended, given_back) = tokio::join!(read(&world, &pat, told.get("next")), world.post("/revoke", "photos-rs", &form));
    given_back.ok(200);
    assert_eq!(ended.ok(200).json["ended"], true);
    read(&world, &pat, "").await.refused(401, "invalid_token");
}

#[tokio::test]
async fn the_jti_of_a_signed_rpt_is_no_token() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
    assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
    assert_eq!(world.introspect(&pat, &jti_of(&rpt)).await, json!({"active": false}));
}

/// The operator shortened the lifetime of RPTs: what was issued before is told all the same.
#[tokio::test]
async fn a_token_of_a_longer_lifetime_is_told_too() {
    for engine in ["memory", "sqlite"] {
        let world = World::on(engine, "[assessment]\nrpt_lifetime = 86400\n").await;
        let (pat, album, policy) = world.album().await;
        let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
        world.withdraw(&policy).await;
        // the same store, served anew with lifetimes of ten minutes
        let text = format!("{}[assessment]\nrpt_lifetime = 600\n", crate::people::PEOPLE);
        let config = wayleave::config::Config::parse(&text, std::iter::empty(), "".into()).unwrap();
        let (mail, clock, dice) = (world.mailbox.clone(), world.clock.clone(), std::sync::Arc::new(jose::SystemRandomness));
        let served = wayleave::assemble::server_with(&config, world.store.clone(), [7; 32], mail, clock, dice).await;
        let uma = served.ok().unwrap().app.authorization_server.clone();
        let presented = identity::access_token::Presented { token: &pat, dpop_scheme: false, dpop: None, method: "GET", url: "" };
        let pat = uma.check_pat(&presented).await.unwrap();
        let told = uma.revocations(&pat, None).await.unwrap();
        assert_eq!(told.revoked.len(), 1, "{engine}");
        assert_eq!(told.revoked[0].jti, jti_of(&rpt));
    }
}
