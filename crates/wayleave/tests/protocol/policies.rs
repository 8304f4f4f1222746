//! Policies and what-if (protocol.md 1.1, 1.2).

use crate::world::{ID_TOKEN, World};
use serde_json::{Value, json};

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
        // the last application that was taken off a share lets no other in
        (json!({"client_id": []}), "client_id"),
        (json!({"client_id": ["viewer", ""]}), "client_id"),
        // what has ended before it begins shares nothing
        (json!({"expires_at": world.now()}), "expires_at"),
        (json!({"valid_from": 5, "expires_at": 6}), "expires_at"),
        // what this server says, and nobody else
        (json!({"_id": "mine"}), "_id"),
        (json!({"state": "waiting"}), "state"),
        (json!({"uses": 0}), "uses"),
        (json!({"warnings": ["look"]}), "warnings"),
        (json!({"delegation": "d"}), "delegation"),
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

/// A tool reads a policy, changes it and writes it: what this server said in it is not taken for a word of the tool's.
#[tokio::test]
async fn what_was_read_can_be_changed_and_written() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        let pmt = world.access("manager").await;
        let mixed = json!([{"name": "email", "value": ["bоb@bar.example"]}]);
        let document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": mixed, "max_uses": 2,
            "expires_at": world.now() + 10});
        let waits = json!({"resource_server": crate::world::PHOTOS, "_resource_id": "ABC", "resource_scopes": ["view"]});
        for document in [document, waits] {
            let made = world.call("POST", "/uma/policies", &pmt, document).await;
            let path = format!("/uma/policies/{}", made.ok(201).get("_id"));
            let mut read = world.call("GET", &path, &pmt, Value::Null).await.ok(200).json.clone();
            read["purpose"] = json!("fun");
            let written = world.call("PUT", &path, &pmt, read.clone()).await;
            assert_eq!(written.ok(200).json, read);
            read["_id"] = json!("another");
            world.call("PUT", &path, &pmt, read).await.refused(400, "invalid_request");
        }
        // one that is over is changed as well, and its end stays; a new end lies ahead
        let over = world.call("GET", "/uma/policies", &pmt, Value::Null).await.json;
        let mut over = over.as_array().unwrap().iter().find(|one| one["expires_at"].is_i64()).unwrap().clone();
        world.pass(20);
        let path = format!("/uma/policies/{}", over["_id"].as_str().unwrap());
        over["purpose"] = json!("more fun");
        world.call("PUT", &path, &pmt, over.clone()).await.ok(200);
        over["expires_at"] = json!(world.now() - 1);
        world.call("PUT", &path, &pmt, over).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn what_if_says_which_member_it_does_not_know() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let pmt = world.access("manager").await;
    let body = json!({"permissions": [{"resource_id": album, "resource_scopes": ["view"]}], "client": "viewer"});
    let answer = world.call("POST", "/uma/policies/simulate", &pmt, body).await;
    assert!(answer.refused(400, "invalid_request").text.contains("client"), "{}", answer.text);
}

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
