//! The owner's side: policies, requests, events, what-if (protocol.md 1.1 to 1.5).

use crate::world::{ID_TOKEN, World, scopes_of};
use serde_json::{Value, json};

/// Bob asks for `scopes` of the album; what the server answers.
async fn ask(world: &World, pat: &str, album: &str, scopes: &str) -> crate::world::Answer {
    let ticket = world.ticket(pat, album, scopes).await;
    world.trade_as_bob("viewer", &ticket, &[]).await
}

async fn inbox(world: &World, pmt: &str) -> Vec<Value> {
    world.call("GET", "/uma/access-requests", pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone()
}

/// Cases: X-5, G-3.3.6-17, G-3.3.6-18, G-3.3.6-19, G-3.3.6-20, G-3.3.6-21, G-3.3.6-22, G-3.3.6-23, G-5.5-6
#[tokio::test]
async fn the_owner_is_asked_approves_and_the_poll_succeeds() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        let pmt = world.access("manager").await;
        let first = ask(&world, &pat, &album, "view edit").await;
        let mut ticket = first.refused(403, "request_submitted").get("ticket").to_owned();
        let interval = first.json["interval"].as_i64().unwrap();
        let hasty = world.trade("viewer", &ticket, &[]).await;
        assert!(hasty.refused(403, "request_submitted").json["interval"].as_i64().unwrap() > interval, "polled too fast");
        assert_ne!(hasty.get("ticket"), ticket);
        world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        ticket = hasty.get("ticket").to_owned();
        world.pass(2 * interval);
        let pending = world.trade("viewer", &ticket, &[]).await;
        ticket = pending.refused(403, "request_submitted").get("ticket").to_owned();
        let requests = inbox(&world, &pmt).await;
        assert_eq!(requests.len(), 1, "one request, however often it is polled");
        assert_eq!(
            (&requests[0]["state"], &requests[0]["requesting_party"]["email"]),
            (&json!("pending"), &json!("bob@bar.example"))
        );
        let path = format!("/uma/access-requests/{}", requests[0]["_id"].as_str().unwrap());
        let part = json!({"decision": "approve", "permissions": [{"resource_id": album, "resource_scopes": ["view"]}]});
        assert_eq!(world.call("POST", &path, &pmt, part.clone()).await.ok(200).json["state"], "approved");
        world.call("POST", &path, &pmt, part).await.ok(409);
        world.pass(2 * interval);
        let got = world.trade("viewer", &ticket, &[]).await;
        let rpt = got.ok(200).get("access_token");
        assert_eq!(scopes_of(&world.introspect(&pat, rpt).await), [format!("{album} view")]);
        world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, rpt).await, json!({"active": false}), "an approval can be withdrawn");
        // without `remember` it served this process alone
        ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
    }
}

/// Cases: X-5, G-3.3.6-23
#[tokio::test]
async fn a_denial_ends_it_and_a_remembered_one_answers_the_next() {
    for (remember, next) in [(false, "request_submitted"), (true, "request_denied")] {
        for world in World::each().await {
            let pat = world.pat().await;
            let album = world.resource(&pat, "view").await;
            let pmt = world.access("manager").await;
            let ticket = ask(&world, &pat, &album, "view").await.refused(403, "request_submitted").get("ticket").to_owned();
            let id = inbox(&world, &pmt).await[0]["_id"].as_str().unwrap().to_owned();
            let path = format!("/uma/access-requests/{id}");
            world.call("POST", &path, &pmt, json!({"decision": "deny", "remember": remember})).await.ok(200);
            world.pass(6);
            world.trade("viewer", &ticket, &[]).await.refused(403, "request_denied");
            ask(&world, &pat, &album, "view").await.refused(403, next);
        }
    }
}

#[tokio::test]
async fn a_remembered_approval_is_a_policy_for_this_client_and_person() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let pmt = world.access("manager").await;
        ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
        let id = inbox(&world, &pmt).await[0]["_id"].as_str().unwrap().to_owned();
        world
            .call("POST", &format!("/uma/access-requests/{id}"), &pmt, json!({"decision": "approve", "remember": true}))
            .await
            .ok(200);
        ask(&world, &pat, &album, "view").await.ok(200);
        let policies = world.call("GET", "/uma/policies", &pmt, Value::Null).await.json;
        assert_eq!(
            (&policies[0]["client_id"], &policies[0]["required_claims"][0]["value"]),
            (&json!(["viewer"]), &json!(["bob@bar.example"]))
        );
    }
}

/// Threat 32: an inbox that strangers cannot flood.
#[tokio::test]
async fn threat_32_twenty_wait_from_one_domain() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let pmt = world.access("manager").await;
    for n in 0..21 {
        let token = world.id_token("viewer", json!({"sub": format!("b{n}"), "email": format!("b{n}@bar.example")}));
        let ticket = world.ticket(&pat, &album, "view").await;
        let answer = world.trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await;
        answer.refused(403, if n < 20 { "request_submitted" } else { "request_denied" });
    }
    assert_eq!(inbox(&world, &pmt).await.len(), 20);
}

/// Cases: G-3.3.4-10, F-8-1
#[tokio::test]
async fn policies_are_created_read_replaced_listed_and_deleted() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        let pmt = world.access("manager").await;
        let document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": ["bob@bar.example"]}], "purpose": "fun"});
        let made = world.call("POST", "/uma/policies", &pmt, document.clone()).await;
        let id = made.ok(201).get("_id").to_owned();
        let path = format!("/uma/policies/{id}");
        assert!(made.header("location").ends_with(&path));
        let read = world.call("GET", &path, &pmt, Value::Null).await;
        assert_eq!((read.ok(200).get("purpose"), read.header("etag")), ("fun", made.header("etag")));
        let bearer = format!("Bearer {pmt}");
        let put = async |tag: &str| {
            let headers = [("authorization", bearer.as_str()), ("content-type", "application/json"), ("if-match", tag)];
            world.send("PUT", &path, &headers, document.to_string()).await
        };
        let replaced = put(made.header("etag")).await;
        assert_ne!(replaced.ok(200).header("etag"), made.header("etag"));
        put(made.header("etag")).await.ok(412);
        put("\"nonsense\"").await.ok(412);
        assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.json[0]["_id"], id);
        let owned = world.call("GET", &format!("/uma/registered-resources/{album}"), &pmt, Value::Null).await.json;
        assert_eq!((&owned["policies"], &owned["resource_server"]), (&json!([id]), &json!(crate::world::PHOTOS)));
        world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
        world.call("GET", &path, &pmt, Value::Null).await.refused(404, "not_found");
    }
}

#[tokio::test]
async fn several_policies_are_answered_one_by_one_or_all_or_none() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let pmt = world.access("manager").await;
    let good = json!({"resource_id": album, "resource_scopes": ["view"]});
    let bad = json!({"resource_id": "nope", "resource_scopes": ["view"]});
    let answers = world.call("POST", "/uma/policies", &pmt, json!([good, bad, {"x": 1}])).await.ok(200).json.clone();
    let statuses: Vec<_> = answers.as_array().unwrap().iter().map(|answer| answer["status"].as_i64().unwrap()).collect();
    assert_eq!(statuses, [201, 400, 400]);
    world.call("POST", "/uma/policies?atomic=true", &pmt, json!([good, bad])).await.refused(400, "invalid_resource_id");
    assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.json.as_array().unwrap().len(), 1);
}

/// Threat 4: every resource is checked against the owner of the token.
#[tokio::test]
async fn threat_04_a_policy_names_ones_own_resources_only() {
    let world = World::one().await;
    let carols = world.access("carols-rs").await;
    let hers = world.resource(&carols, "view").await;
    let (pmt, carols_pmt) = (world.access("manager").await, world.access("carols-manager").await);
    let document = json!({"resource_id": hers, "resource_scopes": ["view"], "required_claims": []});
    let foreign = world.call("POST", "/uma/policies", &pmt, document.clone()).await;
    let unknown = world
        .call("POST", "/uma/policies", &pmt, json!({"resource_id": "x", "resource_scopes": ["view"], "required_claims": []}))
        .await;
    assert_eq!(foreign.refused(400, "invalid_resource_id").text, unknown.text);
    let id = world.call("POST", "/uma/policies", &carols_pmt, document.clone()).await.ok(201).get("_id").to_owned();
    let path = format!("/uma/policies/{id}");
    for (method, body) in [("GET", Value::Null), ("PUT", document), ("DELETE", Value::Null)] {
        world.call(method, &path, &pmt, body).await.refused(404, "not_found");
    }
    world
        .call(
            "POST",
            "/uma/policies/simulate",
            &pmt,
            json!({"permissions": [{"resource_id": hers, "resource_scopes": ["view"]}]}),
        )
        .await
        .refused(400, "invalid_resource_id");
    world.call("GET", &format!("/uma/registered-resources/{hers}"), &pmt, Value::Null).await.refused(404, "not_found");
}

#[tokio::test]
async fn a_policy_waits_for_its_resource_and_binds() {
    for world in World::each().await {
        let pmt = world.access("manager").await;
        let document = json!({"resource_server": crate::world::PHOTOS, "_resource_id": "ABC", "resource_scopes": ["view"], "required_claims": []});
        let made = world.call("POST", "/uma/policies", &pmt, document).await;
        assert_eq!(made.ok(201).get("state"), "waiting");
        let pat = world.pat().await;
        let id = world
            .call("POST", "/uma/resources", &pat, json!({"resource_scopes": ["view"], "_resource_id": "ABC"}))
            .await
            .ok(201)
            .get("_id")
            .to_owned();
        let read = world.call("GET", &format!("/uma/policies/{}", made.get("_id")), &pmt, Value::Null).await.json;
        assert_eq!((&read["resource_id"], read.get("state")), (&json!(id), None));
        let ticket = world.ticket(&pat, &id, "view").await;
        world.trade("viewer", &ticket, &[]).await.ok(200);
    }
}

#[tokio::test]
async fn bad_policies_are_told_what_is_wrong() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let pmt = world.access("manager").await;
    for (change, word) in [
        (json!({"surprise": 1}), "surprise"),
        (json!({"resource_scopes": []}), "resource_scopes"),
        (json!({"max_uses": 0}), "max_uses"),
        (json!({"required_claims": [{"name": "email", "value": []}]}), "value"),
        (json!({"required_claims": [{"name": "email", "value": ["bob"]}]}), "bob"),
        (json!({"valid_from": 5, "expires_at": 5}), "valid_from"),
        (json!({"on_missing": "shrug"}), "shrug"),
        (json!({"resource_server": "x"}), "resource_id"),
    ] {
        let mut document = json!({"resource_id": album, "resource_scopes": ["view"]});
        document.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        let answer = world.call("POST", "/uma/policies", &pmt, document).await;
        assert!(answer.refused(400, "invalid_request").get("error_description").contains(word), "{}", answer.text);
    }
    world
        .call("POST", "/uma/policies", &pmt, json!({"resource_id": album, "resource_scopes": ["fly"]}))
        .await
        .refused(400, "invalid_scope");
    let mixed = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": ["bоb@bar.example"]}]});
    assert!(world.call("POST", "/uma/policies", &pmt, mixed).await.ok(201).text.contains("warnings"));
    world.call("POST", "/uma/policies", &pat, json!({})).await.refused(403, "insufficient_scope");
}

/// Threat 11: the what-if answers as the token endpoint does.
#[tokio::test]
async fn threat_11_what_if_and_grant_agree() {
    let world = World::on("memory", "[assessment]\nno_policy = \"deny\"\n").await;
    let (pat, album, _) = world.album().await;
    let pmt = world.access("manager").await;
    for (scopes, email) in
        [("view", "bob@bar.example"), ("view", "eve@bar.example"), ("view edit", "bob@bar.example"), ("edit", "bob@bar.example")]
    {
        let list: Vec<_> = scopes.split(' ').collect();
        let body = json!({"permissions": [{"resource_id": album, "resource_scopes": list}], "client_id": "viewer", "claims": {"email": email, "sub": "x"}});
        let simulated = world.call("POST", "/uma/policies/simulate", &pmt, body).await;
        let token = world.id_token("viewer", json!({"email": email}));
        let ticket = world.ticket(&pat, &album, scopes).await;
        let real = world.trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await;
        let expected = match (real.status, real.get("error")) {
            (200, _) => world.introspect(&pat, real.get("access_token")).await["permissions"].clone(),
            _ => json!([]),
        };
        assert_eq!(simulated.ok(200).json["permissions"], expected, "{scopes} {email}: {}", simulated.text);
        assert!(simulated.json["reasons"].as_array().is_some_and(|reasons| !reasons.is_empty()));
    }
}

#[tokio::test]
async fn events_tell_what_happened_newest_first() {
    for world in World::each().await {
        let (pat, album, policy) = world.album().await;
        world.pass(1);
        world.bobs_rpt("viewer", &pat, &album).await;
        world.pass(1);
        world.withdraw(&policy).await;
        let pmt = world.access("manager").await;
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await.ok(200).json.clone();
        let kinds: Vec<_> = events.as_array().unwrap().iter().map(|event| event["kind"].as_str().unwrap()).collect();
        assert_eq!(&kinds[..2], ["policy.deleted", "rpt.issued"]);
        for kind in ["policy.created", "resource.registered", "resource_server.linked"] {
            assert!(kinds.contains(&kind), "{kinds:?}");
        }
        assert_eq!((&events[1]["claims"]["email"], &events[1]["policy_id"]), (&json!("bob@bar.example"), &json!(policy)));
        let carols = world.access("carols-manager").await;
        assert_eq!(world.call("GET", "/uma/events", &carols, Value::Null).await.json, json!([]));
    }
}

#[tokio::test]
async fn an_owner_sets_what_happens_without_a_policy() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let pmt = world.access("manager").await;
    ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
    world.call("PUT", "/uma/owner-settings", &pmt, json!({"no_policy": "deny"})).await.ok(200);
    assert_eq!(world.call("GET", "/uma/owner-settings", &pmt, Value::Null).await.json["no_policy"], "deny");
    ask(&world, &pat, &album, "view").await.refused(403, "request_denied");
    world.call("PUT", "/uma/owner-settings", &pmt, json!({"no_polcy": "deny"})).await.refused(400, "invalid_request");
}

/// Heads that the owner keeps show a fork or a loss.
#[tokio::test]
async fn the_event_chain_verifies_and_a_changed_or_lost_event_shows() {
    use authorization_server::event::{Verdict, verify_head};
    use authorization_server::{Changes, Store, Write};
    for world in World::each().await {
        let (pat, album, policy) = world.album().await;
        let pmt = world.access("manager").await;
        let head = async || world.call("GET", "/uma/events", &pmt, Value::Null).await.ok(200).header("event-head").to_owned();
        let first = head().await;
        world.pass(1);
        world.bobs_rpt("viewer", &pat, &album).await;
        world.withdraw(&policy).await;
        let last = head().await;
        assert_ne!(first, last);
        let keys = jose::KeySet::from_json(&world.get("/jwks").await.json).unwrap();
        for kept in [&first, &last] {
            assert!(matches!(verify_head(&world.store, &keys, kept).await.unwrap(), Verdict::Whole { n } if n >= 4));
        }
        assert!(verify_head(&world.store, &keys, &last.replace(&last[last.len() - 4..], "AAAA")).await.is_err());
        let owner = jose::UnverifiedJws::parse(&last).unwrap().claimed("owner").unwrap();
        let mut chain = world.store.list_events_from(&owner.as_str().into(), &"".into(), 100).await.unwrap();
        chain[1].event.document.by = Some("somebody else".into());
        let head = world.store.find_event_head(&owner.as_str().into()).await.unwrap().unwrap();
        let forged = Write::SealEvents { head, events: vec![chain[1].clone()] };
        Store::commit(&world.store, Changes::of(vec![forged])).await.unwrap();
        assert_eq!(verify_head(&world.store, &keys, &last).await.unwrap(), Verdict::Forked { n: chain[1].n });
    }
}
