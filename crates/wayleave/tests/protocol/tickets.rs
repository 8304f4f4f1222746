//! Tickets: single use, binding, expiry, replay (Grant 5.5; protocol.md 4).

use crate::world::{ISSUER, UMA, World};
use serde_json::json;

/// Cases: G-3.3.6-2, G-3.3.6-3, G-5.5-2, G-5.5-3, X-6
#[tokio::test]
async fn threat_10_a_ticket_is_good_once_whatever_the_answer() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let used = async |more: &[(&str, &str)], status: u16, error: &str| {
            let ticket = world.ticket(&pat, &album, "view").await;
            let first = world.trade("viewer", &ticket, more).await;
            assert_eq!((first.status, first.get("error")), (status, error), "{}", first.text);
            world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        };
        used(&[], 403, "need_info").await;
        used(&[("scope", "fly")], 400, "invalid_scope").await;
        used(&[("claim_token", "x")], 400, "invalid_request").await;
        used(&[("claim_token_format", "x")], 400, "invalid_request").await;
        used(&[("pct", "a"), ("pct", "b")], 400, "invalid_request").await;
        used(&[("resource", "https://elsewhere.example")], 400, "invalid_target").await;
        let good = world.ticket(&pat, &album, "view").await;
        world.trade_as_bob("viewer", &good, &[]).await.ok(200);
        world.trade_as_bob("viewer", &good, &[]).await.refused(400, "invalid_grant");
        for unknown in ["", "x", "wl_ticket_", "wl_ticket_0AAAA", &good[..good.len() - 2]] {
            let answer = world.trade("viewer", unknown, &[]).await;
            assert_eq!(answer.status, 400, "{}", answer.text);
        }
        let wrong_end = format!("{}=", world.ticket(&pat, &album, "view").await);
        world.trade_as_bob("viewer", &wrong_end, &[]).await.refused(400, "invalid_grant");
    }
}

/// Cases: G-3.3.1-15
#[tokio::test]
async fn what_is_refused_before_the_ticket_is_looked_at_spends_nothing() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let wrong = crate::world::basic("viewer", "wrong");
    let headers = [("authorization", wrong.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let body = crate::world::form(&[("grant_type", UMA), ("ticket", &ticket)]);
    world.send("POST", "/token", &headers, body.clone()).await.refused(401, "invalid_client");
    world.token("nothing", &[("grant_type", UMA), ("ticket", &ticket)]).await.refused(400, "unauthorized_client");
    world.token("viewer", &[("grant_type", "urn:x"), ("ticket", &ticket)]).await.refused(400, "unsupported_grant_type");
    let right = crate::world::basic("viewer", "viewer-secret");
    let headers =
        [("authorization", right.as_str()), ("content-type", "application/x-www-form-urlencoded"), ("dpop", "nonsense")];
    world.send("POST", "/token", &headers, body).await.refused(400, "invalid_dpop_proof");
    world.trade_as_bob("viewer", &ticket, &[]).await.ok(200);
}

/// Cases: G-3.3.1-1, G-3.3.1-2, G-1.1-1, X-14
#[tokio::test]
async fn names_and_values_compare_case_by_case() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    world.token("viewer", &[("Grant_type", UMA), ("ticket", &ticket)]).await.refused(400, "invalid_request");
    world.token("viewer", &[("grant_type", UMA), ("TICKET", &ticket)]).await.refused(400, "invalid_request");
    world
        .token("viewer", &[("grant_type", &UMA.to_uppercase()), ("ticket", &ticket)])
        .await
        .refused(400, "unsupported_grant_type");
    world.token("viewer", &[("grant_type", UMA), ("ticket", &ticket), ("ticket", &ticket)]).await.refused(400, "invalid_request");
    world.token("viewer", &[("grant_type", UMA)]).await.refused(400, "invalid_request");
    world
        .call("POST", "/uma/permissions", &pat, json!({"resource_id": album, "resource_scopes": ["VIEW"]}))
        .await
        .refused(400, "invalid_scope");
    world.trade_as_bob("viewer", &ticket, &[("unknown_parameter", "x")]).await.ok(200);
}

/// Cases: G-3.3.6-4, G-1.3.1-1
#[tokio::test]
async fn threat_01_the_first_presenter_binds_the_process() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let next = world.trade("viewer", &ticket, &[]).await.refused(403, "need_info").get("ticket").to_owned();
        world.trade_as_bob("printer", &next, &[]).await.refused(400, "invalid_grant");
        world.trade_as_bob("viewer", &next, &[]).await.ok(200);
    }
}

#[tokio::test]
async fn a_ticket_expires() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    world.pass(300);
    world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
    let ticket = world.ticket(&pat, &album, "view").await;
    world.pass(299);
    world.trade_as_bob("viewer", &ticket, &[]).await.ok(200);
}

/// Cases: G-5.5-5
#[tokio::test]
async fn a_replay_ends_what_was_got_with_the_ticket_if_the_operator_wants_it() {
    for (setting, alive) in [("false", true), ("true", false)] {
        for world in World::each_with(&format!("[assessment]\nrevoke_on_ticket_replay = {setting}\n")).await {
            let (pat, album, _) = world.album().await;
            let ticket = world.ticket(&pat, &album, "view").await;
            let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
            world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
            assert_eq!(world.introspect(&pat, &rpt).await["active"], alive);
        }
    }
}

/// Cases: G-5.5-3, G-5.4-1
#[tokio::test]
async fn threat_10_of_many_at_once_one_is_served() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let world = std::sync::Arc::new(world);
        let ticket = world.ticket(&pat, &album, "view").await;
        let mut all = Vec::new();
        for _ in 0..16 {
            let (world, ticket) = (world.clone(), ticket.clone());
            all.push(tokio::spawn(async move { world.trade_as_bob("viewer", &ticket, &[]).await.status }));
        }
        let mut served = 0;
        for one in all {
            served += i32::from(one.await.unwrap() == 200);
        }
        assert_eq!(served, 1, "{}", world.engine);
    }
}

/// Threat 21: `resource` names the resource server that the client believes to talk to.
#[tokio::test]
async fn threat_21_a_relayed_ticket_is_refused_by_its_resource() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let answer = world.trade_as_bob("viewer", &ticket, &[("resource", crate::world::PHOTOS)]).await;
    assert_eq!(answer.ok(200).get("resource"), crate::world::PHOTOS);
    assert_ne!(ISSUER, crate::world::PHOTOS);
    let music = world.access("music-rs").await;
    let song = world.resource(&music, "view").await;
    let relayed = world.ticket(&music, &song, "view").await;
    world.trade("viewer", &relayed, &[("resource", crate::world::PHOTOS)]).await.refused(400, "invalid_target");
}
