//! What was taken out and comes back begins anew: nothing of before lives again with it.

use crate::consents::{Asked, DECLARED, agree, refresh, trade};
use crate::declared::without;
use crate::oauth::{Browser, tokens};
use crate::people::PEOPLE;
use crate::world::{ID_TOKEN, UMA, World, basic, form};
use serde_json::{Value, json};

/// An account is closed because somebody else had it: what acted for it then asks again.
#[tokio::test]
async fn threat_36_what_acted_for_a_closed_account_does_not_when_she_is_back() {
    for mut world in World::each_with(DECLARED).await {
        let asked = Asked { client: "desk", scope: "openid uma_policy", resources: &[], more: &[] };
        let (before, linked) = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            let code = agree(&carol, &asked).await;
            (trade(&world, &code, &[]).await, tokens(&carol).await)
        };
        let (old, renews) = (before.ok(200).get("access_token"), before.get("refresh_token"));
        world.call("GET", "/uma/policies", old, Value::Null).await.ok(200);
        let out = without("carol").replace("acts_for = \"carol\"\n", "");
        world.start_again(&format!("{out}{DECLARED}")).await.unwrap();
        // what a resource server reads of her is her things' link, and no more
        let link = linked.ok(200).get("access_token");
        world.call("GET", "/uma/resources", link, Value::Null).await.ok(200);
        world.call("GET", "/userinfo", link, Value::Null).await.refused(401, "invalid_token");
        world.start_again(&format!("{PEOPLE}{DECLARED}")).await.unwrap();
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        let code = agree(&carol, &asked).await;
        let new = trade(&world, &code, &[]).await.ok(200).get("access_token").to_owned();
        world.call("GET", "/uma/policies", &new, Value::Null).await.ok(200);
        world.call("GET", "/uma/policies", old, Value::Null).await.refused(401, "invalid_token");
        refresh(&world, renews, &[]).await.refused(400, "invalid_grant");
        world.call("GET", "/uma/resources", link, Value::Null).await.ok(200);
    }
}

/// The same where the application keeps things of hers, too.
#[tokio::test]
async fn threat_36_a_link_that_was_narrowed_is_not_widened() {
    let more = DECLARED.replace("uma_policy uma_management\"", "uma_management uma_protection\"");
    for mut world in World::each_with(&more).await {
        let asked = Asked { client: "desk", scope: "openid uma_management uma_protection", resources: &[], more: &[] };
        let narrow = Asked { scope: "uma_protection", ..asked };
        let (before, link) = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            let (code, narrow) = (agree(&carol, &asked).await, carol.open(&narrow.url()).await);
            let narrow = narrow.location().1.into_iter().find(|(name, _)| name == "code").unwrap().1;
            (trade(&world, &code, &[]).await, trade(&world, &narrow, &[]).await)
        };
        let out = without("carol").replace("acts_for = \"carol\"\n", "");
        world.start_again(&format!("{out}{more}")).await.unwrap();
        world.start_again(&format!("{PEOPLE}{more}")).await.unwrap();
        world.call("GET", "/uma/resources", link.ok(200).get("access_token"), Value::Null).await.ok(200);
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        let code = agree(&carol, &asked).await;
        trade(&world, &code, &[]).await.ok(200);
        refresh(&world, before.ok(200).get("refresh_token"), &[]).await.refused(400, "invalid_grant");
    }
}

/// A client of another secret is another client, whatever it is called.
#[tokio::test]
async fn threat_48_s13_a_client_that_comes_back_finds_nothing_of_before() {
    for mut world in World::each().await {
        let (pat, album, _) = world.album().await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let proof = world.id_token("viewer", json!({}));
        let keeps = [("claim_token", proof.as_str()), ("claim_token_format", ID_TOKEN)];
        let given = world.trade("viewer", &ticket, &keeps).await;
        let (rpt, renews) = (given.ok(200).get("access_token").to_owned(), given.get("refresh_token").to_owned());
        let pct = given.get("pct").to_owned();
        assert!(!pct.is_empty() && !renews.is_empty());
        world.pass(1);
        world.start_again(&without("viewer")).await.unwrap();
        let back = PEOPLE.replace("viewer-secret", "another-secret");
        world.start_again(&back).await.unwrap();
        assert_eq!(world.introspect(&pat, &rpt).await["active"], false, "{}", world.engine);
        let secret = basic("viewer", "another-secret");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", secret.as_str())];
        let send = async |fields: &[(&str, &str)]| world.send("POST", "/token", &headers, form(fields)).await;
        send(&[("grant_type", "refresh_token"), ("refresh_token", &renews)]).await.refused(400, "invalid_grant");
        let ticket = world.ticket(&pat, &album, "view").await;
        send(&[("grant_type", UMA), ("ticket", &ticket), ("pct", &pct)]).await.refused(403, "need_info");
        // what it is given from now on is good
        let ticket = world.ticket(&pat, &album, "view").await;
        let proof = world.id_token("viewer", json!({}));
        let fields =
            [("grant_type", UMA), ("ticket", ticket.as_str()), ("claim_token", &proof), ("claim_token_format", ID_TOKEN)];
        let given = send(&fields).await;
        let renewed = send(&[("grant_type", "refresh_token"), ("refresh_token", given.ok(200).get("refresh_token"))]).await;
        assert_eq!(world.introspect(&pat, renewed.ok(200).get("access_token")).await["active"], true);
    }
}

/// Whom she let decide does not decide for an account that is closed; when she is back, he does again.
#[tokio::test]
async fn threat_36_nobody_decides_for_an_owner_whose_account_is_closed() {
    for mut world in World::each().await {
        let carols = world.access("carols-manager").await;
        let carol = world.app.identity.find_account_by_username("carol").await.unwrap().unwrap().id;
        let thing = world.resource(&world.access("carols-rs").await, "view").await;
        let to_alice = json!({"delegate": {"email": "alice@foo.example"}, "resources": "all", "resource_scopes": ["view"],
            "may": ["share", "approve"]});
        world.call("POST", "/uma/delegations", &carols, to_alice).await.ok(201);
        let (path, share) = (
            format!("/uma/policies?owner={carol}"),
            json!({"resource_id": thing, "resource_scopes": ["view"], "required_claims": []}),
        );
        let as_alice = async |world: &World| {
            let pmt = world.access("manager").await;
            world.call("POST", &path, &pmt, share.clone()).await.status
        };
        assert_eq!(as_alice(&world).await, 201);
        world.start_again(&without("carol").replace("acts_for = \"carol\"\n", "")).await.unwrap();
        assert_eq!(as_alice(&world).await, 403, "{}", world.engine);
        world.start_again(PEOPLE).await.unwrap();
        assert_eq!(as_alice(&world).await, 201);
    }
}

/// For whom a client acts no more, it does not act by a token of before.
#[tokio::test]
async fn threat_48_s13_a_client_acts_for_another_from_the_start_on() {
    for mut world in World::each().await {
        let pmt = world.access("manager").await;
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200);
        world.pass(1);
        let manager = "scope = \"uma_policy\"\nacts_for = \"alice\"";
        assert!(PEOPLE.contains(manager));
        let people = PEOPLE.replace(manager, "scope = \"uma_policy\"\nacts_for = \"carol\"");
        world.start_again(&people).await.unwrap();
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.refused(401, "invalid_token");
        let pmt = world.access("manager").await;
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200);
    }
}
