//! What an owner demands of what is given, she demands of what was given; and what she withdrew is not given back by its text.

use crate::authority::{Signer, photo, post};
use crate::world::{World, scopes_of};
use jose::Algorithm;
use serde_json::{Value, json};

/// What she demands, she demands of what was given already: the page says that unsigned shares stop working.
#[tokio::test]
async fn threat_48_s13_a_signature_that_is_demanded_is_demanded_of_what_was_given() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let photo = photo(&world, &pat).await;
        let alice = Signer::new(Algorithm::EdDsa);
        alice.register(&world, &pmt).await;
        world.share(&photo, "view edit", "bob@bar.example").await;
        post(&world, &pmt, &alice.token(&world, "signed", json!({}))).await.ok(201);
        let get = async |client: &str, scopes: &str| {
            let ticket = world.ticket(&pat, &photo, scopes).await;
            let answer = world.trade_as_bob(client, &ticket, &[]).await;
            [answer.ok(200).get("access_token").to_owned(), answer.get("refresh_token").to_owned()]
        };
        let ([unsigned, renews], [jwt, _]) = (get("viewer", "edit").await, get("jwt-viewer", "edit").await);
        let [both, renews_both] = get("viewer", "view edit").await;
        let demand = async |on: bool| {
            world.call("PUT", "/uma/owner-settings", &pmt, json!({"require_resource_owner_token": on})).await.ok(200);
        };
        let revoked = async || world.call("GET", "/uma/revocations", &pat, Value::Null).await.json["revoked"].to_string();
        let refresh =
            async |token: &str| world.token("viewer", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await;
        assert_eq!(revoked().await, "[]");
        demand(true).await;
        for rpt in [&unsigned, &jwt] {
            assert_eq!(world.introspect(&pat, rpt).await, json!({"active": false}), "{}", world.engine);
        }
        assert_ne!(revoked().await, "[]");
        refresh(&renews).await.refused(400, "invalid_grant");
        assert_eq!(scopes_of(&world.introspect(&pat, &both).await), [format!("{photo} view")]);
        let left = refresh(&renews_both).await;
        assert_eq!(scopes_of(&world.introspect(&pat, left.ok(200).get("access_token")).await), [format!("{photo} view")]);
        // an upgrade keeps nothing of it either
        let ticket = world.ticket(&pat, &photo, "view").await;
        let upgraded = world.trade_as_bob("viewer", &ticket, &[("rpt", &unsigned)]).await;
        assert_eq!(scopes_of(&world.introspect(&pat, upgraded.ok(200).get("access_token")).await), [format!("{photo} view")]);
        // she demands it no more: what was given stands again
        demand(false).await;
        assert_eq!(scopes_of(&world.introspect(&pat, &jwt).await), [format!("{photo} edit")]);
        refresh(&renews).await.ok(200);
    }
}

/// Whoever kept the text of what she signed does not bring back what she has withdrawn, nor what rested on it.
#[tokio::test]
async fn threat_48_s13_a_signed_share_that_was_withdrawn_is_not_posted_again() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let photo = photo(&world, &pat).await;
        let alice = Signer::new(Algorithm::EdDsa);
        alice.register(&world, &pmt).await;
        let token = alice.token(&world, "once", json!({}));
        post(&world, &pmt, &token).await.ok(201);
        let ticket = world.ticket(&pat, &photo, "view").await;
        let got = world.trade_as_bob("viewer", &ticket, &[]).await;
        let renews = [("grant_type", "refresh_token"), ("refresh_token", got.ok(200).get("refresh_token"))];
        world.withdraw("once").await;
        let again = post(&world, &pmt, &token).await;
        assert!(again.refused(409, "invalid_request").text.contains("another `jti`"), "{}", again.text);
        world.token("viewer", &renews).await.refused(400, "invalid_grant");
        // another token by the same name, hers for somebody else: what was given by the first is not given by it
        let other = json!({"allowed_rqp": {"claims": {"email": "carol@foo.example"}}, "exp": world.now() + 90_000});
        post(&world, &pmt, &alice.token(&world, "once", other)).await.ok(201);
        world.token("viewer", &renews).await.refused(400, "invalid_grant");
        assert_eq!(world.introspect(&pat, got.get("access_token")).await, json!({"active": false}), "{}", world.engine);
    }
}

/// A use lasts as long as the RPT that it gave: the page says how long, and then nobody is in by it.
#[tokio::test]
async fn a_share_that_may_be_used_once_is_not_renewed_without_end() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        let claims = json!([{"name": "email", "value": ["bob@bar.example"]}]);
        let once = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": claims, "max_uses": 1});
        let policy = world.policy(once).await;
        world.share(&album, "edit", "bob@bar.example").await;
        let ticket = world.ticket(&pat, &album, "view edit").await;
        let got = world.trade_as_bob("viewer", &ticket, &[]).await;
        let renew = async |answer: &crate::world::Answer| {
            let token = answer.ok(200).get("refresh_token");
            world.token("viewer", &[("grant_type", "refresh_token"), ("refresh_token", token)]).await
        };
        // a refresh is no use (protocol.md 1.2)
        world.pass(300);
        let renewed = renew(&got).await;
        let seen = world.introspect(&pat, renewed.ok(200).get("access_token")).await;
        assert_eq!(scopes_of(&seen), [format!("{album} edit"), format!("{album} view")], "{}", world.engine);
        let pmt = world.access("manager").await;
        let read = world.call("GET", &format!("/uma/policies/{policy}"), &pmt, Value::Null).await;
        assert_eq!(read.ok(200).json["uses"], 1);
        // and prolongs none
        world.pass(300);
        let seen = world.introspect(&pat, renewed.get("access_token")).await;
        assert_eq!(scopes_of(&seen), [format!("{album} edit")]);
        let later = renew(&renewed).await;
        let seen = world.introspect(&pat, later.ok(200).get("access_token")).await;
        assert_eq!(scopes_of(&seen), [format!("{album} edit")]);
    }
}
