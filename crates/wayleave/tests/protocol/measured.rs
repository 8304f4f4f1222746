//! What one call is judged by, and what one token holds, is measured as it is in memory (threat 46).

use crate::desk::{Desk, Sitting};
use crate::desk_lies::linked;
use crate::oauth::Browser;
use crate::world::World;
use authorization_server::{Changes, Write};
use identity::token_text::{self, TokenKind};
use jose::{SystemClock, SystemRandomness};
use rules::policy::{Binding, Policy};
use rules::{Rpt, rpt::GrantedScope};
use serde_json::{Value, json};
use std::time::Duration;
use types::policy::{ClaimCondition, OnMissing};
use types::{GrantId, OwnerId, PolicyId, ResourceId, Scope, ScopeSet, Timestamp};

async fn alice(world: &World) -> OwnerId {
    world.app.identity.store.find_account_by_username("alice").await.unwrap().unwrap().id
}

/// Shares as older servers took them: short to write, and a mebibyte each once they are read.
async fn shares_of_before(world: &World, resource: &str, count: usize) -> Vec<PolicyId> {
    let owner = alice(world).await;
    let condition = |n: usize| ClaimCondition {
        name: format!("n{n}"),
        issuer: Vec::new(),
        value: vec![json!(1); 1_000],
        claim_token_format: Vec::new(),
    };
    let policies = (0..count).map(|n| Policy {
        id: PolicyId::new(format!("{resource}-{n}")),
        owner: owner.clone(),
        version: 0,
        binding: Binding::Bound { resource: ResourceId::new(resource) },
        scopes: ScopeSet::parse("view").unwrap(),
        conditions: (0..32).map(condition).collect(),
        clients: Vec::new(),
        valid_from: None,
        expires_at: None,
        max_uses: None,
        uses: 0,
        purpose: None,
        on_missing: OnMissing::Gather,
        created: Timestamp(world.now()),
        authority: None,
        delegation: None,
        receipt: None,
    });
    let policies: Vec<Policy> = policies.collect();
    let ids = policies.iter().map(|policy| policy.id.clone()).collect();
    world.store.commit_changes(Changes::of(policies.into_iter().map(Write::PutPolicy).collect())).await.unwrap();
    ids
}

#[tokio::test]
async fn threat_46_a_share_names_a_thousand_values_in_all() {
    let world = World::one().await;
    let (pat, pmt) = (world.pat().await, world.access("manager").await);
    let album = world.resource(&pat, "view").await;
    let claim = |name: &str, count: usize| json!({"name": name, "value": vec![1; count]});
    let share = async |claims: Value| {
        let document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": claims});
        world.call("POST", "/uma/policies", &pmt, document).await
    };
    share(json!([claim("a", 500), claim("b", 500)])).await.ok(201);
    let refused = share(json!([claim("a", 500), claim("b", 501)])).await;
    assert!(refused.refused(400, "invalid_request").text.contains("at most 1000 values"), "{}", refused.text);
    // what stands from before is read, and ends as ever
    let [old] = &*shares_of_before(&world, &album, 1).await else { panic!("one share") };
    let path = format!("/uma/policies/{old}");
    let read = world.call("GET", &path, &pmt, Value::Null).await;
    assert_eq!(read.ok(200).json["required_claims"].as_array().unwrap().len(), 32);
    world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
}

#[tokio::test]
async fn threat_46_one_call_is_judged_by_so_many_bytes() {
    let world = World::one().await;
    let pat = world.pat().await;
    let (one, other) = (world.resource(&pat, "view").await, world.resource(&pat, "view").await);
    for thing in [&one, &other] {
        shares_of_before(&world, thing, 24).await;
    }
    // one thing is always judged
    let ticket = world.ticket(&pat, &one, "view").await;
    world.trade("viewer", &ticket, &[]).await.refused(403, "need_info");
    let of = |thing: &str| json!({"resource_id": thing, "resource_scopes": ["view"]});
    let both = json!([of(&one), of(&other)]);
    let pmt = world.access("manager").await;
    let asked = world.call("POST", "/uma/policies/simulate", &pmt, json!({"permissions": both, "claims": {"n0": 1}})).await;
    assert!(asked.refused(400, "invalid_request").text.contains("more ways than are judged at once"), "{}", asked.text);
}

#[tokio::test]
async fn threat_46_few_polls_of_one_resource_server_wait_at_once() {
    let world = World::one().await;
    let (pat, album, policy) = world.album().await;
    let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await;
    let read = async |after: &str| world.call("GET", &format!("/uma/revocations?after={after}"), &pat, Value::Null).await;
    let next = read("").await.get("next").to_owned();
    let eight = futures_util::future::join_all((0..8).map(|_| read(&next)));
    let ninth = async {
        tokio::time::sleep(Duration::from_millis(30)).await;
        read(&next).await.refused(429, "temporarily_unavailable");
        world.withdraw(&policy).await;
    };
    let (told, ()) = tokio::join!(eight, ninth);
    for answer in told {
        assert_eq!(answer.ok(200).json["revoked"].as_array().unwrap().len(), 1, "{}", rpt.text);
    }
    read("").await.ok(200);
}

/// Beyond so many signed tokens that live, a client that chose them gets one that is asked about.
#[tokio::test]
async fn threat_46_signed_tokens_of_one_owner_at_one_server_are_bounded() {
    let world = World::one().await;
    let (_, album, _) = world.album().await;
    let given = async || {
        let pat = world.pat().await;
        let token = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
        assert_eq!(world.introspect(&pat, &token).await["active"], true);
        token.contains('.') && token.split('.').count() == 3
    };
    let owner = alice(&world).await;
    let kept = (0..5_000).map(|n| {
        // not all at one second: two of them may not fall on one place
        let end = Timestamp(world.now() + 600 + n % 1_000);
        let id = token_text::mint(TokenKind::Rpt, owner.as_str(), end, &SystemClock, &SystemRandomness);
        let rpt = Rpt {
            client: "jwt-viewer".into(),
            owner: owner.clone(),
            resource_server: "photos-rs".into(),
            pat_grant: GrantId::new("g"),
            requesting_party: Default::default(),
            email: None,
            cnf: None,
            scopes: vec![GrantedScope {
                resource: ResourceId::new(&*album),
                scope: Scope::parse("view").unwrap(),
                basis: Vec::new(),
            }],
            issued: Timestamp(world.now()),
            expires: end,
            family: "f".into(),
            by_own_id: false,
            jti: Some(id.clone()),
        };
        Write::PutRpt(token_text::key_of(TokenKind::Rpt, &id).unwrap(), rpt)
    });
    world.store.commit_changes(Changes::of(kept.collect())).await.unwrap();
    assert!(!given().await, "opaque");
    assert!(!given().await, "and so it stays");
    world.pass(7_200);
    assert!(given().await, "there is room again");
    assert!(given().await, "for more than one");
}

/// However much she answered since, what she left for later is there, and what she answered goes on behind the page.
#[tokio::test]
async fn threat_46_what_waits_stands_behind_no_page_of_answers() {
    let world = World::one().await;
    let (pat, pmt, alice) = (world.pat().await, world.access("manager").await, Browser::new(&world));
    alice.log_in("alice").await;
    let ask = async |thing: &str, words: &str| {
        let ticket = world.ticket(&pat, thing, "view").await;
        world.trade_as_bob("viewer", &ticket, &[("owner_message", words)]).await.refused(403, "request_submitted");
    };
    let (first, others) = (world.resource(&pat, "view").await, world.resource(&pat, "view").await);
    ask(&first, "The one for later.").await;
    let waiting = async || {
        let listed = world.call("GET", "/uma/access-requests", &pmt, Value::Null).await;
        let all = listed.ok(200).json.as_array().unwrap().clone();
        all.into_iter().filter(|one| one["state"] == "pending").collect::<Vec<_>>()
    };
    for n in 0..60 {
        world.pass(1);
        ask(&others, "Another.").await;
        let id = waiting().await.first().unwrap()["_id"].as_str().unwrap().to_owned();
        let answered = world.call("POST", &format!("/uma/access-requests/{id}"), &pmt, json!({"decision": "deny"})).await;
        assert_eq!(answered.status, 200, "{n}: {}", answered.text);
    }
    let answers = |text: &str| text.matches(">refused</span>").count();
    let page = alice.open("/my/requests").await;
    assert!(page.ok(200).text.contains("“The one for later.”") && !page.text.contains("“Another.”"), "{}", page.text);
    let next =
        page.text.split("href=\"").find(|rest| rest.contains("/my/requests?after=")).map(|rest| rest.split('"').next().unwrap());
    let behind = alice.open(next.unwrap()).await;
    assert!(behind.ok(200).text.contains("“The one for later.”"));
    assert_eq!(answers(&page.text) + answers(&behind.text), 60);
    assert!(!behind.text.contains("/my/requests?after="), "that is all");
}

/// *What could somebody do?* looks at everything once, however many scopes there are, and a share names few of its people.
#[tokio::test]
async fn threat_46_what_if_is_asked_once_for_all_scopes() {
    let world = World::one().await;
    let (pat, alice) = (world.pat().await, Browser::new(&world));
    alice.log_in("alice").await;
    let album = world.resource(&pat, "view download edit").await;
    world.share(&album, "view download", "bob@bar.example").await;
    let many: Vec<String> = (0..30).map(|n| format!("p{n}@bar.example")).collect();
    world
        .policy(json!({"resource_id": album, "resource_scopes": ["edit"], "required_claims": [{"name": "email", "value": many}]}))
        .await;
    let path = format!("/my/resources/{album}");
    let page = alice.open(&path).await;
    assert!(page.ok(200).text.contains("or one of 10 more may edit"), "{}", page.text);
    for (email, answer) in [
        ("bob@bar.example", "bob@bar.example could view, download."),
        ("p29@bar.example", "could edit."),
        ("", "could do nothing."),
    ] {
        let asked = alice.submit(&page, &format!("{path}/what-if"), &[("email", email)]).await;
        assert!(asked.ok(200).text.contains(answer), "{email}: {}", asked.text);
    }
}

/// What is larger than any honest server lets an item be is unread at the desk, and costs that item alone.
#[tokio::test]
async fn threat_46_what_is_too_large_is_unread_at_the_desk() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, 1).await;
    let share = |id: &str, values: usize| {
        json!({"_id": id, "resource_id": "r0", "resource_scopes": ["view"],
        "required_claims": [{"name": "n", "value": vec![1; values]}]})
    };
    guard.answers("GET /policies", 200, json!([share("large", 60_000), share("small", 2)]));
    desk.clock.pass(20);
    alice.read().await;
    let things = alice.json("/api/things").await;
    let shares = things["things"][0]["shares"].as_array().unwrap();
    assert_eq!(shares.iter().map(|share| share["policy_id"].as_str().unwrap()).collect::<Vec<_>>(), ["small"], "{things}");
    assert!(alice.get("/").await.text.contains("cannot read"), "she is told");
}
