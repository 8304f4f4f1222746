//! One server, several accounts of hers: what she put there as one of them ends there as that one, and nobody else's *not found*
//! is taken for the end (threat 36).

use crate::desk::{DESK, Desk, Sitting, until};
use crate::desk_lies::{ABOUT_BOB, BOB, claims_of, linked, sign};
use crate::party::Party;
use serde_json::{Value, json};

const SOMEBODY_ELSE: &str = "somebody else at this server";

/// Everything of Bob's is taken back.
async fn withdraw(alice: &mut Sitting<'_>) {
    let page = alice.get(ABOUT_BOB).await;
    assert_eq!(alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await.status, 303);
}

/// What stands of each withdrawal at a server: its state, and why.
async fn states(alice: &mut Sitting<'_>, server: &Party) -> Vec<String> {
    let all = alice.json("/api/withdrawals").await;
    let here = all.as_array().unwrap().iter().filter(|task| task["server"] == server.url.as_str());
    here.map(|task| format!("{}: {}", task["state"].as_str().unwrap(), task["why"].as_str().unwrap_or_default())).collect()
}

/// Time passes, and what waits is asked.
async fn tend(desk: &Desk, alice: &mut Sitting<'_>) {
    for _ in 0..3 {
        desk.clock.pass(70);
        desk.manager.tend().await;
        alice.read().await;
    }
}

/// As an honest guard lists what it was given.
fn listed(text: &str) -> Value {
    let claims = claims_of(text);
    json!([{"_id": claims["jti"], "resource_id": "r0", "resource_scopes": ["view"], "authority": text, "expires_at": claims["exp"],
        "required_claims": [{"name": "email", "value": [BOB]}]}])
}

#[tokio::test]
async fn threat_36_s03_a_share_ends_at_the_account_that_it_was_placed_as() {
    for unlinks in [false, true] {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let (guard, keeper) = linked(&mut alice, 1).await;
        let signed = sign(&mut alice, &guard).await;
        guard.answers("GET /policies", 200, listed(&signed[0]));
        desk.clock.pass(30);
        alice.read().await;
        let ended = format!("DELETE /policies/{}", claims_of(&signed[0])["jti"].as_str().unwrap());
        let resources = serde_json::from_str(&guard.said("GET /resources")).unwrap();
        // she is Carol there now, who has nothing
        if unlinks {
            let servers = alice.json("/api/servers").await;
            let guards = servers.as_array().unwrap().iter().find(|one| one["url"] == guard.url.as_str());
            let link = guards.unwrap()["id"].as_str().unwrap().to_owned();
            alice.post("/servers/unlink", &[("id", &link)]).await;
        }
        for (what, status) in [("GET /policies", 200), ("GET /resources", 200), (ended.as_str(), 404)] {
            guard.answers(what, status, json!([]));
        }
        alice.link_as(&guard.url, &guard, "carol").await;
        alice.read().await;
        guard.asked();
        withdraw(&mut alice).await;
        tend(&desk, &mut alice).await;
        assert_eq!(guard.count(&ended), 0, "{unlinks}");
        let told = states(&mut alice, &guard).await;
        assert!(told.len() == 1 && told[0].starts_with("not_told") && told[0].contains(SOMEBODY_ELSE), "{unlinks}: {told:?}");
        assert_eq!(states(&mut alice, &keeper).await, ["confirmed: "], "{unlinks}");
        // as yet another she is told the same; as who she was, it is told and ends
        alice.link_as(&guard.url, &guard, "dora").await;
        tend(&desk, &mut alice).await;
        assert_eq!(guard.count(&ended), 0, "{unlinks}");
        guard.answers("GET /policies", 200, listed(&signed[0]));
        guard.answers("GET /resources", 200, resources);
        guard.answers(&ended, 204, Value::Null);
        alice.link(&guard.url, &guard).await;
        until("it is told as who she was", async || guard.count(&ended) > 0).await;
        until("and confirmed", async || states(&mut alice, &guard).await == ["confirmed: "]).await;
    }
}

#[tokio::test]
async fn threat_36_s03_a_keeper_hears_of_the_end_as_whose_things_it_keeps() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    sign(&mut alice, &guard).await;
    let hers = serde_json::from_str(&keeper.said("GET /manage/my-resources")).unwrap();
    let told = "POST /manage/my-withdrawn-tokens";
    keeper.answers(
        "GET /manage/my-resources",
        200,
        json!([{"_resource_id": "other", "name": "Carol's", "resource_scopes": ["view"]}]),
    );
    keeper.answers(told, 201, json!({}));
    alice.link_as(&keeper.url, &guard, "carol").await;
    alice.read().await;
    keeper.asked();
    withdraw(&mut alice).await;
    tend(&desk, &mut alice).await;
    assert_eq!(keeper.count(told), 0);
    let states_there = states(&mut alice, &keeper).await;
    assert!(states_there.len() == 1 && states_there[0].contains(SOMEBODY_ELSE), "{states_there:?}");
    assert_eq!(states(&mut alice, &guard).await, ["confirmed: "]);
    keeper.answers("GET /manage/my-resources", 200, hers);
    alice.link(&keeper.url, &guard).await;
    until("it is told as who she was", async || keeper.count(told) == 1).await;
    until("and confirmed", async || states(&mut alice, &keeper).await == ["confirmed: "]).await;
}

/// What another account took back at a keeper does not hide what is hers.
#[tokio::test]
async fn threat_36_s03_what_another_account_took_back_hides_nothing() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    let signed = sign(&mut alice, &guard).await;
    let claims = claims_of(&signed[0]);
    keeper.answers("GET /manage/my-withdrawn-tokens", 200, json!([{"jti": claims["jti"], "exp": claims["exp"]}]));
    alice.link_as(&keeper.url, &guard, "carol").await;
    alice.read().await;
    assert!(alice.get("/people").await.text.contains(BOB));
    alice.link(&keeper.url, &guard).await;
    alice.read().await;
    assert!(!alice.get("/people").await.text.contains(BOB), "she took it back at another desk");
}

#[tokio::test]
async fn threat_36_s03_a_delegation_ends_at_the_account_that_it_was_placed_as() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    alice.make_key().await;
    let carol = "did:key:z6MkiTBz1ymuepAQ4HEHYSF1H8quG5GLVVQR3djdX3mDooWp";
    let fields = [("email", carol), ("may", "share"), ("scopes", "view"), ("until", "2099-01-01")];
    let page = alice.post("/delegations", &fields).await;
    let (prepared, did) = (page.field("prepared"), page.field("did"));
    guard.asked();
    let page = alice.post("/delegations", &[("what", "sign"), ("prepared", &prepared), ("did", &did)]).await;
    assert_eq!(page.status, 303, "{}", page.text);
    let text = guard.asked().into_iter().find(|asked| asked.what == "POST /delegations").unwrap().body;
    let ended = format!("DELETE /delegations/{}", claims_of(&text)["jti"].as_str().unwrap());
    guard.answers(&ended, 404, Value::Null);
    for server in [&guard, &keeper] {
        alice.link_as(&server.url, &guard, "carol").await;
    }
    guard.asked();
    keeper.asked();
    let id = alice.get("/delegations").await.field("id");
    assert_eq!(alice.post("/delegations", &[("what", "end"), ("link", ""), ("id", &id)]).await.status, 303);
    tend(&desk, &mut alice).await;
    assert_eq!((guard.count(&ended), keeper.count("POST /manage/my-withdrawn")), (0, 0));
    for server in [&guard, &keeper] {
        let told = states(&mut alice, server).await;
        assert!(told.len() == 1 && told[0].contains(SOMEBODY_ELSE), "{told:?}");
    }
    guard.answers(&ended, 204, Value::Null);
    for server in [&guard, &keeper] {
        alice.link(&server.url, &guard).await;
    }
    until("both are told as who she was", async || {
        guard.count(&ended) == 1 && keeper.count("POST /manage/my-withdrawn-tokens") == 1
    })
    .await;
}

/// What is still listed after it ended is told again, by a form and by a program, as who she is where it is listed.
#[tokio::test]
async fn threat_36_s03_what_is_still_listed_is_told_again() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper) = linked(&mut alice, 1).await;
    let signed = sign(&mut alice, &guard).await;
    let ended = format!("DELETE /policies/{}", claims_of(&signed[0])["jti"].as_str().unwrap());
    guard.answers("GET /policies", 200, listed(&signed[0]));
    alice.read().await;
    let page = alice.post("/withdrawals", &[("again", &guard.url)]).await;
    assert_eq!((page.status, guard.count(&ended)), (400, 0), "nothing is to be told");
    withdraw(&mut alice).await;
    desk.clock.pass(120);
    alice.read().await;
    keeper.asked();
    let thing = alice.json("/api/things").await["things"][0].clone();
    let word = thing["contradictions"][0]["word"].as_str().unwrap_or_else(|| panic!("{thing}")).to_owned();
    let page = alice.get(&format!("/thing/{}", thing["key"].as_str().unwrap())).await;
    assert!(page.text.contains("Tell it again") && page.field("word") == word, "{}", page.text);
    for path in ["/", "/people", "/delegations"] {
        let page = alice.get(path).await;
        assert!(page.text.contains("Tell it again") && page.field("again") == guard.url, "{path}: {}", page.text);
    }
    assert_eq!(alice.post("/withdrawals", &[("again", &guard.url), ("word", &word)]).await.status, 303);
    assert_eq!(guard.count(&ended), 2);
    let csrf = alice.csrf().await;
    let headers = [("x-csrf-token", csrf.as_str()), ("origin", DESK), ("content-type", "application/json")];
    let page = alice.send("POST", "/api/withdrawals", &headers, json!({"again": guard.url}).to_string()).await;
    assert_eq!((page.status, guard.count(&ended)), (200, 3), "{}", page.text);
    assert_eq!(keeper.asked().iter().filter(|asked| asked.what.starts_with("POST")).count(), 0, "who lists nothing is not asked");
    // one that waits already is not asked twice
    guard.answers(&ended, 503, Value::Null);
    for _ in 0..3 {
        alice.post("/withdrawals", &[("again", &guard.url)]).await;
    }
    assert_eq!(guard.count(&ended), 4);
}
