//! Resource registration (Federated Authorization 3).

use crate::world::World;
use serde_json::{Value, json};

/// Cases: F-3-1, F-3-4, F-3-5, F-3.1-2, F-3.1-3, F-3.1-4, F-3.2-1, F-3.2-3, F-3.2-4, F-3.2.1-1, F-3.2.2-1, F-3.2.3-1, F-3.2.4-1, F-3.2.5-1, F-8-2, G-1.1-2, G-1.1-3, F-1.1-1, F-6-2
#[tokio::test]
async fn a_resource_is_created_read_replaced_listed_and_deleted() {
    for world in World::each().await {
        let pat = world.pat().await;
        assert_eq!(world.call("GET", "/uma/resources", &pat, Value::Null).await.json, json!([]));
        let description = json!({
            "resource_scopes": ["view", "http://photoz.example.com/dev/scopes/print"], "name": "Album", "name#fr": "Été", "description": "d",
            "icon_uri": "http://x.example/i.png", "type": "http://x.example/album", "surprise": {"a": 1},
        });
        let created = world.call("POST", "/uma/resources/", &pat, description).await;
        let id = created.ok(201).get("_id").to_owned();
        assert!(created.header("location").ends_with(&format!("/{id}")));
        assert!(created.get("user_access_policy_uri").contains(&id));
        let one = format!("/uma/resources/{id}");
        let read = world.call("GET", &one, &pat, Value::Null).await;
        assert_eq!((read.ok(200).get("_id"), read.get("name#fr"), read.get("type")), (&*id, "Été", "http://x.example/album"));
        assert!(read.json.get("surprise").is_none());
        assert_eq!(read.header("cache-control"), "no-store");
        let replaced = world.call("PUT", &one, &pat, json!({"resource_scopes": ["view"]})).await;
        assert_eq!(replaced.ok(200).get("_id"), id);
        let read = world.call("GET", &one, &pat, Value::Null).await.json;
        assert!(read.get("name").is_none() && read["resource_scopes"] == json!(["view"]), "a complete replacement");
        assert_eq!(world.call("GET", "/uma/resources", &pat, Value::Null).await.json, json!([id]));
        world.call("DELETE", &one, &pat, Value::Null).await.ok(204);
        world.call("GET", &one, &pat, Value::Null).await.refused(404, "not_found");
        let gone = world.call("POST", "/uma/permissions", &pat, json!({"resource_id": id, "resource_scopes": ["view"]})).await;
        gone.refused(400, "invalid_resource_id");
    }
}

/// A resource server that has lost what it knew, or the answer, registers again: what it calls by one name is one thing, and shares
/// of it stay where they are.
#[tokio::test]
async fn what_is_registered_twice_by_one_name_is_one_thing() {
    for world in World::each().await {
        let pat = world.pat().await;
        let description = |scopes: Value| json!({"resource_scopes": scopes, "name": "Album", "_resource_id": "/album"});
        let first = world.call("POST", "/uma/resources", &pat, description(json!(["view"]))).await;
        let id = first.ok(201).get("_id").to_owned();
        world.share(&id, "view", "bob@bar.example").await;
        let again = world.call("POST", "/uma/resources", &pat, description(json!(["view", "print"]))).await;
        assert_eq!(again.ok(201).get("_id"), id);
        assert!(again.header("location").ends_with(&format!("/{id}")));
        assert_eq!(world.call("GET", "/uma/resources", &pat, Value::Null).await.json, json!([id]));
        let read = world.call("GET", &format!("/uma/resources/{id}"), &pat, Value::Null).await;
        assert_eq!(read.ok(200).json["resource_scopes"], json!(["print", "view"]));
        let ticket = world.ticket(&pat, &id, "view").await;
        world.trade_as_bob("viewer", &ticket, &[]).await.ok(200);
        // without a name of its own, two are two; and after an end, it begins anew
        let unnamed = json!({"resource_scopes": ["view"]});
        let one = world.call("POST", "/uma/resources", &pat, unnamed.clone()).await.ok(201).get("_id").to_owned();
        assert_ne!(world.call("POST", "/uma/resources", &pat, unnamed).await.ok(201).get("_id"), one);
        world.call("DELETE", &format!("/uma/resources/{id}"), &pat, Value::Null).await.ok(204);
        assert_ne!(world.call("POST", "/uma/resources", &pat, description(json!(["view"]))).await.ok(201).get("_id"), id);
        // another resource server has names of its own
        let music = world.access("music-rs").await;
        let other =
            world.call("POST", "/uma/resources", &music, description(json!(["view"]))).await.ok(201).get("_id").to_owned();
        assert_eq!(world.call("GET", "/uma/resources", &music, Value::Null).await.json, json!([other]));
    }
}

/// Cases: F-3.1-1, F-3.2-9, F-3.2-10, F-3.2-7, F-3.2-8, F-3.2-5, F-3.2-6, F-6-1
#[tokio::test]
async fn bad_descriptions_and_methods_get_published_errors() {
    let world = World::one().await;
    let pat = world.pat().await;
    for bad in [
        json!({}),
        json!({"resource_scopes": "view"}),
        json!({"resource_scopes": [1]}),
        json!({"resource_scopes": []}),
        json!([]),
        json!({"resource_scopes": ["a b"]}),
        json!({"resource_scopes": ["view"], "name": 3}),
        json!({"resource_scopes": ["view"], "name#fr": 3}),
    ] {
        world.call("POST", "/uma/resources", &pat, bad).await.refused(400, "invalid_request");
    }
    let bearer = format!("Bearer {pat}");
    let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
    for bad in [r#"{"resource_scopes":["a"],"resource_scopes":["b"]}"#, "{", "", "\"x\""] {
        world.send("POST", "/uma/resources", &headers, bad).await.refused(400, "invalid_request");
    }
    world.call("PUT", "/uma/resources/nope", &pat, json!({"resource_scopes": ["a"]})).await.refused(404, "not_found");
    world.call("DELETE", "/uma/resources/nope", &pat, Value::Null).await.refused(404, "not_found");
    let wrong = world.call("PATCH", "/uma/resources/x", &pat, json!({})).await;
    wrong.refused(405, "unsupported_method_type");
    assert!(wrong.header("allow").contains("PUT"));
}

/// Cases: F-1.2-1, F-1.3-2, F-1.3-3, F-1.5-2, F-3.2-2, F-5.1.1-7
#[tokio::test]
async fn the_protection_api_wants_a_pat() {
    let world = World::one().await;
    let pmt = world.access("manager").await;
    for (method, path) in
        [("GET", "/uma/resources"), ("POST", "/uma/resources"), ("POST", "/uma/permissions"), ("GET", "/uma/resources/x")]
    {
        let none = world.send(method, path, &[], "").await;
        none.refused(401, "invalid_token");
        assert!(none.header("www-authenticate").starts_with("Bearer"));
        world.call(method, path, "wl_at_made-up", json!({})).await.refused(401, "invalid_token");
        world.call(method, path, &pmt, json!({})).await.refused(403, "insufficient_scope");
    }
    let form = [("content-type", "application/x-www-form-urlencoded")];
    world.send("POST", "/introspect", &form, "token=x").await.refused(401, "invalid_token");
}

/// Cases: F-1.3-4, F-3.2-11, F-1.2-2, G-1.2-1, F-1.3-5
#[tokio::test]
async fn threat_07_anothers_id_answers_as_an_unknown_one() {
    for world in World::each().await {
        let (pat, music, carols, company) =
            (world.pat().await, world.access("music-rs").await, world.access("carols-rs").await, world.access("company").await);
        let id = world.resource(&pat, "view").await;
        let one = format!("/uma/resources/{id}");
        for other in [&music, &carols, &company] {
            let unknown = world.call("GET", "/uma/resources/unknown", other, Value::Null).await;
            for (method, body) in [("GET", Value::Null), ("PUT", json!({"resource_scopes": ["x"]})), ("DELETE", Value::Null)] {
                let answer = world.call(method, &one, other, body).await;
                assert_eq!((answer.status, &answer.text), (404, &unknown.text));
            }
            assert_eq!(world.call("GET", "/uma/resources", other, Value::Null).await.json, json!([]));
            let ticket =
                world.call("POST", "/uma/permissions", other, json!({"resource_id": id, "resource_scopes": ["view"]})).await;
            ticket.refused(400, "invalid_resource_id");
        }
        let own = world.resource(&company, "audit").await;
        assert_eq!(
            world.call("GET", "/uma/resources", &company, Value::Null).await.json,
            json!([own]),
            "an organisation owns resources too"
        );
    }
}

/// Cases: F-3.1.1-1, F-3.1.1-2
#[tokio::test]
async fn scope_uris_are_never_fetched() {
    let world = World::one().await;
    let pat = world.pat().await;
    // nothing listens there: fetching it would be an error or a pause
    let answer = world.call("POST", "/uma/resources", &pat, json!({"resource_scopes": ["http://127.0.0.1:1/scope"]})).await;
    answer.ok(201);
}

#[tokio::test]
async fn threat_12_lists_are_paged_with_a_next_link() {
    for world in World::each().await {
        let pat = world.pat().await;
        let mut all = Vec::new();
        for _ in 0..7 {
            all.push(world.resource(&pat, "view").await);
        }
        all.sort();
        let (mut seen, mut path) = (Vec::new(), "/uma/resources?limit=3".to_owned());
        loop {
            let page = world.call("GET", &path, &pat, Value::Null).await;
            seen.extend(page.ok(200).json.as_array().unwrap().iter().map(|id| id.as_str().unwrap().to_owned()));
            let link = page.header("link").to_owned();
            let Some(next) = link.strip_prefix('<').and_then(|l| l.split_once(">; rel=\"next\"")) else { break };
            path = next.0.to_owned();
        }
        assert_eq!(seen, all);
        for bad in ["limit=0", "limit=1001", "limit=x"] {
            world.call("GET", &format!("/uma/resources?{bad}"), &pat, Value::Null).await.refused(400, "invalid_request");
        }
    }
}

/// The owner is first class in the PAT: many resource servers, each its own things, all of them hers.
#[tokio::test]
async fn threat_08_resources_belong_to_the_owner_of_the_pat() {
    let world = World::one().await;
    let (pat, music, pmt) = (world.pat().await, world.access("music-rs").await, world.access("manager").await);
    let mut mine = [world.resource(&pat, "view").await, world.resource(&music, "play").await];
    mine.sort();
    let listed = world.call("GET", "/uma/registered-resources", &pmt, Value::Null).await;
    let ids: Vec<_> =
        listed.ok(200).json.as_array().unwrap().iter().map(|resource| resource["_id"].as_str().unwrap().to_owned()).collect();
    assert_eq!(ids, mine);
}

/// Federated Authorization 3.2.5 knows no pages: who does not ask for one gets all.
#[tokio::test]
async fn s33_the_list_is_whole_unless_a_page_is_asked_for() {
    let world = World::one().await;
    let pat = world.pat().await;
    let mut made = Vec::new();
    for _ in 0..2_001 {
        made.push(world.resource(&pat, "view").await);
        if [1, 101, 1_000, 1_001, 2_000, 2_001].contains(&made.len()) {
            let whole = world.call("GET", "/uma/resources", &pat, Value::Null).await;
            assert_eq!((whole.ok(200).header("link"), whole.header("content-type")), ("", "application/json"));
            assert_eq!(whole.header("cache-control"), "no-store");
            let mut listed: Vec<String> = serde_json::from_value(whole.json).unwrap();
            let mut expected = made.clone();
            (listed.sort(), expected.sort());
            assert_eq!(listed, expected);
        }
    }
    let page = world.call("GET", "/uma/resources?limit=2000", &pat, Value::Null).await;
    page.refused(400, "invalid_request");
    let page = world.call("GET", "/uma/resources?limit=1000", &pat, Value::Null).await;
    assert_eq!(page.ok(200).json.as_array().unwrap().len(), 1_000);
    assert!(page.header("link").contains("rel=\"next\""));
}

/// A resource server that changes the own id of a thing again and again: what waited for each binds as far as there is room,
/// and the rest waits on.
#[tokio::test]
async fn threat_46_what_waits_for_many_ids_does_not_all_bind_to_one_thing() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let description = |own_id: &str| json!({"resource_scopes": ["view"], "_resource_id": own_id});
        let share = |own_id: &str, n: usize| {
            json!({"resource_server": "http://127.0.0.1:9000", "_resource_id": own_id, "resource_scopes": ["view"],
                "required_claims": [{"name": "email", "value": [format!("p{n}@bar.example")]}]})
        };
        for own_id in ["one", "two"] {
            for _ in 0..2 {
                let shares: Vec<_> = (0..1_000).map(|n| share(own_id, n)).collect();
                world.call("POST", "/uma/policies?atomic=true", &pmt, Value::Array(shares)).await.ok(201);
            }
        }
        let full = share("one", 1);
        world.call("POST", "/uma/policies", &pmt, full.clone()).await.refused(400, "invalid_request");
        let thing = world.call("POST", "/uma/resources", &pat, description("one")).await.ok(201).get("_id").to_owned();
        let shares_of = async || {
            let owned = world.call("GET", &format!("/uma/registered-resources/{thing}"), &pmt, Value::Null).await;
            owned.ok(200).json["policies"].as_array().unwrap().clone()
        };
        let first = shares_of().await;
        assert_eq!(first.len(), 2_000);
        world.call("PUT", &format!("/uma/resources/{thing}"), &pat, description("two")).await.ok(200);
        assert_eq!(shares_of().await.len(), 2_000, "{}", world.engine);
        // the others wait, and say so; where one goes, one of them has its place when the server says the same again
        for gone in &first[..3] {
            world.call("DELETE", &format!("/uma/policies/{}", gone.as_str().unwrap()), &pmt, Value::Null).await.ok(204);
        }
        world.call("PUT", &format!("/uma/resources/{thing}"), &pat, description("two")).await.ok(200);
        let now = shares_of().await;
        assert_eq!(now.len(), 2_000);
        let new = now.iter().filter(|id| !first.contains(id)).count();
        assert_eq!(new, 3);
        let waiting = world.call("GET", "/uma/policies?limit=1000", &pmt, Value::Null).await;
        assert!(waiting.ok(200).text.contains("\"waiting\""));
    }
}

/// What one post brings counts as what is there already.
#[tokio::test]
async fn threat_46_one_post_brings_no_more_shares_than_there_is_room_for() {
    let world = World::one().await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    let thing = world.resource(&pat, "view").await;
    let shares = |many: usize| Value::Array(vec![json!({"resource_id": thing, "resource_scopes": ["view"]}); many]);
    world.call("POST", "/uma/policies?atomic=true", &pmt, shares(1_000)).await.ok(201);
    world.call("POST", "/uma/policies?atomic=true", &pmt, shares(990)).await.ok(201);
    world.call("POST", "/uma/policies?atomic=true", &pmt, shares(11)).await.refused(400, "invalid_request");
    world.call("POST", "/uma/policies?atomic=true", &pmt, shares(10)).await.ok(201);
}
