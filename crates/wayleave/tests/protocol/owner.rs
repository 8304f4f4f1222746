//! The owner's side: policies, requests, events, what-if (protocol.md 1.1 to 1.5).

use crate::oauth::Browser;
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
/// Threat 4: every resource is checked against the owner of the token.
/// Threat 11: the what-if answers as the token endpoint does.
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
        let owner = owner.as_str().into();
        let mut chain = world.store.list_events_from(&owner, &"".into(), 100).await.unwrap();
        // what tells of a person can go; the chain stands
        let erased = chain[0].clone().erase().unwrap();
        assert!(erased.salt.is_empty() && erased.document.claims.is_empty());
        Store::commit(&world.store, Changes::of(vec![Write::EraseEvent(erased)])).await.unwrap();
        assert!(matches!(verify_head(&world.store, &keys, &last).await.unwrap(), Verdict::Whole { .. }));
        chain[1].document.by = Some("somebody else".into());
        Store::commit(&world.store, Changes::of(vec![Write::EraseEvent(chain[1].clone())])).await.unwrap();
        let verdict = verify_head(&world.store, &keys, &last).await.unwrap();
        assert!(matches!(verdict, Verdict::Forked { .. }), "the story is another one: {verdict:?}");
    }
}

/// However many there are at once, and whatever an earlier process did not come to seal.
#[tokio::test]
async fn every_event_finds_its_place_in_the_chain() {
    use authorization_server::event::{Event, Verdict, verify_head};
    use authorization_server::{Changes, Store, Write};
    for world in World::each().await {
        let uma = &world.app.authorization_server;
        let owner = types::OwnerId::new("somebody");
        let happen = async |count: usize| {
            for _ in 0..count.div_ceil(1_000) {
                let event = || {
                    Event::new(owner.clone(), types::event::EventKind::RptIssued, &*uma.identity.clock, &*uma.identity.randomness)
                };
                let writes = (0..1_000).map(|_| Write::AppendEvent(event())).collect();
                Store::commit(&world.store, Changes::of(writes)).await.unwrap();
            }
        };
        let keys = jose::KeySet::from_json(&world.get("/jwks").await.json).unwrap();
        let mut expected = 0;
        for lost_by_a_crash in [false, true, false] {
            happen(6_000).await;
            expected += 6_000;
            if lost_by_a_crash {
                drop(world.store.take_unsealed().await);
                uma.seal_left_over_events().await.unwrap();
            }
            let head = uma.signed_head(&owner).await.unwrap().unwrap();
            assert_eq!(
                verify_head(&world.store, &keys, &head).await.unwrap(),
                Verdict::Whole { n: expected },
                "{}",
                world.engine
            );
        }
    }
}

/// The owner hears at once what is asked of her, and nothing of what is asked of others.
#[tokio::test]
async fn requests_are_streamed_as_they_come() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
    let mut hers = world.stream("/uma/access-requests/stream", &pmt).await;
    let mut not_hers = world.stream("/uma/access-requests/stream", &carols).await;
    assert!(hers.next().await.starts_with("event: heartbeat"));
    assert!(not_hers.next().await.starts_with("event: heartbeat"));
    ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
    let told = hers.next().await;
    assert!(told.starts_with("event: request") && told.contains("bob@bar.example"), "{told}");
    let id = inbox(&world, &pmt).await[0]["_id"].as_str().unwrap().to_owned();
    world.call("POST", &format!("/uma/access-requests/{id}"), &pmt, json!({"decision": "deny"})).await.ok(200);
    assert!(hers.next().await.starts_with("event: decision"));
    assert!(not_hers.is_silent().await);
}

/// Row 44: whoever listens hears nothing more when the token that let her in has ended.
#[tokio::test]
async fn threat_44_a_stream_of_requests_does_not_outlive_its_token() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let (pmt, other) = (world.access("manager").await, world.access("manager").await);
    let mut ended = world.stream("/uma/access-requests/stream", &pmt).await;
    let mut goes_on = world.stream("/uma/access-requests/stream", &other).await;
    assert!(ended.next().await.starts_with("event: heartbeat"));
    assert!(goes_on.next().await.starts_with("event: heartbeat"));
    world.post("/revoke", "manager", &[("token", &pmt)]).await.ok(200);
    ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
    assert!(ended.is_over().await);
    assert!(goes_on.next().await.starts_with("event: request"));
}

/// Not answered in time is `request_denied`, and nobody is asked a second time for it.
#[tokio::test]
async fn a_request_that_runs_out_is_denied() {
    for world in World::each_with("[assessment]\nrequest_lifetime = 60\n").await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let pmt = world.access("manager").await;
        let ticket = ask(&world, &pat, &album, "view").await.refused(403, "request_submitted").get("ticket").to_owned();
        world.pass(61);
        assert_eq!(inbox(&world, &pmt).await[0]["state"], "expired");
        let uma = &world.app.authorization_server;
        uma.tend_access_requests().await.unwrap();
        uma.tend_access_requests().await.unwrap();
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await.ok(200).json.clone();
        let expired = events.as_array().unwrap().iter().filter(|event| event["kind"] == "request.expired").count();
        assert_eq!(expired, 1, "{}: she can read that it ran out, once", world.engine);
        assert_eq!(inbox(&world, &pmt).await[0]["state"], "expired");
        world.trade("viewer", &ticket, &[]).await.refused(403, "request_denied");
        assert_eq!(inbox(&world, &pmt).await.len(), 1);
        world.pass(100 * 86_400);
        uma.tend_access_requests().await.unwrap();
        let pmt = world.access("manager").await;
        assert!(inbox(&world, &pmt).await.is_empty(), "an inbox does not grow for ever");
    }
}

/// Protocol.md 1.4: a mail when somebody waits, one in a quarter of an hour, with nothing in it that a stranger wrote.
#[tokio::test]
async fn a_digest_says_that_somebody_waits() {
    let world = World::one().await;
    let pat = world.pat().await;
    let uma = &world.app.authorization_server;
    let count = || world.mailbox.0.lock().unwrap().iter().filter(|mail| mail.to == "alice@foo.example").count();
    uma.send_digests().await.unwrap();
    assert_eq!(count(), 0);
    for expected in [1, 1] {
        let album = world.resource(&pat, "view").await;
        ask(&world, &pat, &album, "view").await.refused(403, "request_submitted");
        uma.send_digests().await.unwrap();
        assert_eq!(count(), expected);
    }
    world.pass(900);
    uma.send_digests().await.unwrap();
    assert_eq!(count(), 2);
    let mail = world.mailbox.0.lock().unwrap().last().unwrap().clone();
    assert!(mail.subject.starts_with("2 requests") && mail.text.contains("/my/requests"), "{mail:?}");
    assert!(!mail.text.contains("bob") && !mail.text.contains("Viewer"));
}

/// Protocol.md 1.2 and 1.8: what is shared with me, where the owner lets it be listed.
#[tokio::test]
async fn a_person_lists_what_others_share_where_they_allow_it() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let album = world.resource(&pat, "view edit").await;
        let policy = world.share(&album, "view", "Carol@FOO.example").await;
        world.share(&album, "edit", "bob@bar.example").await;
        let mine = "/uma/policies?role=requesting_party";
        let shared = async || world.call("GET", mine, &carols, Value::Null).await.ok(200).json.clone();
        assert_eq!(shared().await, json!([]), "{}: only where it may be listed", world.engine);
        let settings = |list: bool| json!({"list_for_requesting_party": list});
        world.call("PUT", "/uma/owner-settings", &pmt, settings(true)).await.ok(200);
        let listed = shared().await;
        assert_eq!(listed.as_array().unwrap().len(), 1, "{listed}");
        assert_eq!((&listed[0]["_id"], &listed[0]["resource_id"]), (&json!(policy), &json!(album)));
        assert_eq!(listed[0]["resource_scopes"], json!(["view"]));
        assert!(!listed.to_string().contains("bob"), "nothing of others");
        assert_eq!(world.call("GET", mine, &pmt, Value::Null).await.ok(200).json, json!([]));
        world.withdraw(&policy).await;
        assert_eq!(shared().await, json!([]));
        world.call("GET", "/uma/policies?role=else", &carols, Value::Null).await.refused(400, "invalid_request");
        let read = world.call("GET", "/uma/owner-settings", &pmt, Value::Null).await;
        let whole = json!({"require_resource_owner_token": false, "no_policy": null, "list_for_requesting_party": true});
        assert_eq!(read.ok(200).json, whole);
    }
}

/// What she approved is shown where she looks who can reach a resource, and ends with a share of the same person.
#[tokio::test]
async fn threat_48_what_was_approved_is_shown_and_ends_with_the_share() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let album = world.resource(&pat, "view").await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let resource = format!("/my/resources/{album}");
        let approved = async |email: &str| {
            let token = world.id_token("viewer", json!({"sub": email, "email": email}));
            let ticket = world.ticket(&pat, &album, "view").await;
            let answer = world.trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await;
            let ticket = answer.refused(403, "request_submitted").get("ticket").to_owned();
            let waiting = inbox(&world, &pmt).await.into_iter().find(|one| one["state"] == "pending").unwrap();
            let path = format!("/uma/access-requests/{}", waiting["_id"].as_str().unwrap());
            let decided = world.call("POST", &path, &pmt, json!({"decision": "approve"})).await;
            assert!(decided.ok(200).json["approved_until"].as_i64() > Some(world.now()), "{}", decided.text);
            world.pass(6);
            world.trade("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned()
        };
        assert!(browser.open(&resource).await.text.contains("Only you."));
        let (bobs, carols) = (approved("bob@bar.example").await, approved("carol@bar.example").await);
        let page = browser.open(&resource).await;
        assert!(page.text.contains("bob@bar.example may view") && page.text.contains("approved once"), "{}", page.text);
        assert!(page.text.contains("carol@bar.example may view") && !page.text.contains("Only you."), "{}", page.text);
        let policy = world.share(&album, "view", "bob@bar.example").await;
        let page = browser.open(&resource).await;
        let gone = browser.submit(&page, &format!("{resource}/policies/{policy}/withdraw"), &[]).await;
        let told = browser.open(gone.header("location")).await;
        assert!(told.text.contains("Taken back: bob@bar.example can no longer view it by this share."), "{}", told.text);
        assert_eq!(world.introspect(&pat, &bobs).await, json!({"active": false}), "it ends at once");
        assert_eq!(world.introspect(&pat, &carols).await["active"], json!(true), "another person's stays");
        let page = browser.open(&resource).await;
        assert!(!page.text.contains("bob@bar.example may") && page.text.contains("carol@bar.example may view"), "{}", page.text);
        let id = page.text.split("/my/requests/").nth(1).unwrap().split('"').next().unwrap().to_owned();
        browser.submit(&page, &format!("/my/requests/{id}"), &[("decision", "withdraw")]).await;
        assert_eq!(world.introspect(&pat, &carols).await, json!({"active": false}));
        assert!(browser.open(&resource).await.text.contains("Only you."));
    }
}
