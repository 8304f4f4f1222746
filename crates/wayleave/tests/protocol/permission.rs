//! The permission endpoint and introspection (Federated Authorization 4, 5).

use crate::world::{World, scopes_of};
use serde_json::{Value, json};

/// Cases: F-4-1, F-4-4, F-4-5, F-4.1-1, F-4.2-1, F-4.2-2, F-4.1-2, F-4.1-3, G-3.1-2, G-1.3-3, G-5.4-1, G-5.5-1
#[tokio::test]
async fn one_ticket_for_all_that_is_asked() {
    for world in World::each().await {
        let pat = world.pat().await;
        let (a, b) = (world.resource(&pat, "view edit").await, world.resource(&pat, "view").await);
        let ask = async |body: Value| world.call("POST", "/uma/permissions", &pat, body).await;
        let one = |id: &str, scopes: Value| json!({"resource_id": id, "resource_scopes": scopes, "unknown": 1});
        let ticket = ask(one(&a, json!(["view"]))).await.ok(201).get("ticket").to_owned();
        assert!(ticket.starts_with("wl_ticket_") && ticket.len() <= 1024);
        assert_ne!(ask(one(&a, json!(["view"]))).await.get("ticket"), ticket);
        ask(one(&a, json!([]))).await.ok(201);
        ask(json!([one(&a, json!(["view", "edit"])), one(&b, json!([]))])).await.ok(201);
        let many: Vec<Value> = (0..200).map(|_| one(&a, json!(["view"]))).chain([one(&b, json!(["view"]))]).collect();
        assert!(ask(json!(many)).await.ok(201).get("ticket").len() <= 1024);
    }
}

/// Cases: F-4.3-1, F-4.3-2, F-4.3-3, F-4.3-4, F-4-2, F-4-3
#[tokio::test]
async fn one_bad_permission_fails_the_whole_call() {
    let world = World::one().await;
    let (pat, carols) = (world.pat().await, world.access("carols-rs").await);
    let (a, hers) = (world.resource(&pat, "view").await, world.resource(&carols, "view").await);
    let ask = async |body: Value| world.call("POST", "/uma/permissions", &pat, body).await;
    let one = |id: &str, scope: &str| json!({"resource_id": id, "resource_scopes": [scope]});
    ask(json!([])).await.refused(400, "invalid_request");
    ask(json!({"resource_id": a})).await.refused(400, "invalid_request");
    ask(json!({"resource_scopes": ["view"]})).await.refused(400, "invalid_request");
    ask(one("unknown", "view")).await.refused(400, "invalid_resource_id");
    ask(one(&a, "View")).await.refused(400, "invalid_scope");
    ask(json!([one(&a, "view"), one(&a, "fly")])).await.refused(400, "invalid_scope");
    let both = ask(json!([one(&a, "view"), one(&hers, "view")])).await;
    assert!(both.refused(400, "invalid_resource_id").json.get("ticket").is_none());
}

/// Cases: F-5.1-1, F-5.1.1-1, F-5.1.1-2, F-5.1.1-3, F-5.1.1-4, F-5.1.1-5, F-5-3, G-3.3.4-11, G-1.3-2
#[tokio::test]
async fn introspection_tells_permissions_and_no_scope() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await;
        let seen = world.introspect(&pat, rpt.get("access_token")).await;
        assert_eq!((&seen["active"], seen.get("scope")), (&json!(true), None));
        assert_eq!(scopes_of(&seen), [format!("{album} view")]);
        assert_eq!(seen["client_id"], "viewer");
        assert!(seen["exp"].as_i64().unwrap() > seen["iat"].as_i64().unwrap());
        assert_eq!(world.introspect(&pat, "wl_rpt_unknown").await, json!({"active": false}));
        assert_eq!(world.introspect(&pat, &pat).await, json!({"active": false}), "a PAT is no RPT");
        world.pass(601);
        assert_eq!(world.introspect(&pat, rpt.get("access_token")).await, json!({"active": false}));
    }
}

/// Cases: G-1.3-1, F-5.1.1-7, X-11
#[tokio::test]
async fn an_rpt_is_told_to_its_own_resource_server_and_owner_only() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let rpt = world.bobs_rpt("viewer", &pat, &album).await;
    for other in ["music-rs", "carols-rs", "company"] {
        let other = world.access(other).await;
        assert_eq!(world.introspect(&other, rpt.get("access_token")).await, json!({"active": false}));
    }
}

/// Cases: F-3.2.3-2, F-3.2.4-1, X-10, F-8-1
#[tokio::test]
async fn what_an_rpt_rested_on_is_looked_at_anew_each_time() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let path = format!("/uma/resources/{album}");
        world.call("PUT", &path, &pat, json!({"resource_scopes": ["edit"]})).await.ok(200);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}), "its scope is gone");
        world.call("PUT", &path, &pat, json!({"resource_scopes": ["view"]})).await.ok(200);
        assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
        let ticket = world.ticket(&pat, &album, "view").await;
        world.post("/revoke", "photos-rs", &[("token", &pat)]).await.ok(200);
        world.call("GET", "/uma/resources", &pat, Value::Null).await.refused(401, "invalid_token");
        let again = world.pat().await;
        assert_eq!(world.introspect(&again, &rpt).await, json!({"active": false}), "the link ended with the PAT");
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        let fresh = world.bobs_rpt("viewer", &again, &album).await.get("access_token").to_owned();
        world.call("DELETE", &path, &again, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&again, &fresh).await, json!({"active": false}));
    }
}

/// Threat 13: what a grant costs does not depend on how much there is. Keycloak's grew a hundredfold; here only what the
/// ticket names is read. (`wayleave bench server` measures it to the percent.)
#[tokio::test]
async fn threat_13_a_grant_costs_the_same_beside_thousands() {
    let (small, large) = (World::on("sqlite", "").await, World::on("sqlite", "").await);
    let (of_small, of_large) = (small.album().await, large.album().await);
    let pmt = large.access("manager").await;
    let owner = large.call("GET", &format!("/uma/registered-resources/{}", of_large.1), &pmt, Value::Null).await;
    assert_eq!(owner.ok(200).get("_id"), of_large.1);
    for chunk in 0..20 {
        let mut policies = Vec::new();
        for n in 0..1_000 {
            let own_id = format!("waits-{chunk}-{n}");
            policies
                .push(json!({"resource_server": "http://127.0.0.1:9000", "_resource_id": own_id, "resource_scopes": ["view"],
                "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]}));
        }
        large.call("POST", "/uma/policies?atomic=true", &pmt, Value::Array(policies)).await.ok(201);
    }
    for n in 0..2_000 {
        let description = json!({"resource_scopes": ["view"], "_resource_id": format!("waits-0-{n}")});
        large.call("POST", "/uma/resources", &of_large.0, description).await.ok(201);
    }
    let measure = async |world: &World, (pat, album, _): &(String, String, String)| {
        let begun = std::time::Instant::now();
        for _ in 0..20 {
            world.bobs_rpt("viewer", pat, album).await.ok(200);
        }
        begun.elapsed()
    };
    // one after the other and again: whatever else the machine does, it does to both
    let (mut few, mut many) = (std::time::Duration::MAX, std::time::Duration::MAX);
    for _ in 0..6 {
        few = few.min(measure(&small, &of_small).await);
        many = many.min(measure(&large, &of_large).await);
    }
    assert!(many < few * 4, "{few:?} beside one resource, {many:?} beside thousands");
}

/// What one ticket is about is bounded, by what the resource server names and by what the client wishes besides.
#[tokio::test]
async fn threat_46_one_ticket_is_about_so_much_and_no_more() {
    for world in World::each().await {
        let pat = world.pat().await;
        let scopes = (0..500).map(|n| format!("s{n}")).collect::<Vec<_>>().join(" ");
        let mut things = Vec::new();
        for _ in 0..5 {
            let thing = world.resource(&pat, &scopes).await;
            world.share(&thing, &scopes, "bob@bar.example").await;
            things.push(thing);
        }
        let ask = async |things: &[String], scopes: &[&str]| {
            let all = things.iter().map(|thing| json!({"resource_id": thing, "resource_scopes": scopes}));
            world.call("POST", "/uma/permissions", &pat, Value::Array(all.collect())).await
        };
        let all: Vec<&str> = scopes.split(' ').collect();
        ask(&things, &all).await.refused(400, "invalid_request");
        let four = ask(&things[..4], &all).await.ok(201).get("ticket").to_owned();
        let rpt = world.trade_as_bob("viewer", &four, &[]).await.ok(200).get("access_token").to_owned();
        // more than one token is about is another token
        let fifth = ask(&things[4..], &["s0"]).await.ok(201).get("ticket").to_owned();
        let second = world.trade_as_bob("viewer", &fifth, &[("rpt", &rpt)]).await;
        assert_eq!(second.ok(200).json.get("upgraded"), None);
        assert_eq!(scopes_of(&world.introspect(&pat, second.get("access_token")).await).len(), 1);
        assert_eq!(scopes_of(&world.introspect(&pat, &rpt).await).len(), 2_000, "it goes on");
    }
}

/// The owner's what-if is about no more than a ticket is, and names each thing once.
#[tokio::test]
async fn threat_46_a_what_if_is_about_so_much_and_no_more() {
    for world in World::each().await {
        let (_, album, _) = world.album().await;
        let pmt = world.access("manager").await;
        let ask = async |times: usize| {
            let one = json!({"resource_id": album, "resource_scopes": ["view"]});
            let what_if = json!({"permissions": vec![one; times], "claims": {"email": "bob@bar.example"}});
            world.call("POST", "/uma/policies/simulate", &pmt, what_if).await
        };
        let told = ask(900).await;
        assert_eq!((told.ok(200).json["result"].as_str(), told.json["reasons"].as_array().unwrap().len()), (Some("granted"), 1));
        ask(0).await.refused(400, "invalid_request");
        ask(1_001).await.refused(400, "invalid_request");
    }
}
