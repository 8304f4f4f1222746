//! Much at one time at a desk: what was shared from here is taken back from here, whatever has been read of its server by then.

use crate::desk::{DESK, Desk, Page, Sitting, until};
use crate::desk_crowd::register;
use crate::party::Party;
use serde_json::{Value, json};

async fn linked(desk: &Desk, alice: &mut Sitting<'_>) -> (Party, Party, String) {
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    register(&guard, &keeper, 1);
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    desk.clock.pass(20);
    alice.read().await;
    let key = alice.json("/api/things").await["things"][0]["key"].as_str().unwrap().to_owned();
    (guard, keeper, key)
}

async fn call(alice: &mut Sitting<'_>, path: &str, body: Value) -> Page {
    let csrf = alice.csrf().await;
    let headers = [("origin", DESK), ("content-type", "application/json"), ("x-csrf-token", csrf.as_str())];
    alice.send("POST", path, &headers, body.to_string()).await
}

async fn share(alice: &mut Sitting<'_>, guard: &Party, key: &str, email: &str, id: &str) {
    guard.answers("POST /policies?atomic=true", 201, json!([{"_id": id}]));
    let shared = call(alice, "/api/share", json!({"things": [key], "email": email, "resource_scopes": ["view"]})).await;
    assert_eq!((shared.status, &shared.json()["shared"]), (200, &json!(1)), "{}", shared.text);
}

fn policy(id: &str, email: &str) -> Value {
    json!({"_id": id, "resource_id": "r0", "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": [email]}]})
}

/// The server has answered to a share, and does not answer to a reading after it.
#[tokio::test]
async fn threat_36_what_was_shared_here_is_withdrawn_before_its_server_is_read() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, key) = linked(&desk, &mut alice).await;
    guard.answers("GET /policies", 503, json!({}));
    share(&mut alice, &guard, &key, "bob@bar.example", "made").await;
    assert!(alice.json("/api/things").await.to_string().contains("bob@bar.example"), "it is shown");
    let answer = call(&mut alice, "/api/withdrawals", json!({"who": "address:bob@bar.example"})).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    assert_eq!(guard.count("DELETE /policies/made"), 1, "{}", answer.text);
    let unread: Vec<Value> = answer.json().as_array().unwrap().iter().filter(|one| one["state"] == "not_read").cloned().collect();
    assert!(unread.len() == 1 && unread[0]["server"] == guard.url, "it is said that the rest is not known: {}", answer.text);
    assert!(!alice.json("/api/things").await.to_string().contains("bob@bar.example"), "it is shown no more");
}

/// What a server lists, and this desk has not read yet, ends as well.
#[tokio::test]
async fn threat_36_everything_of_somebodys_is_read_before_it_is_withdrawn() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, _) = linked(&desk, &mut alice).await;
    guard.answers("GET /policies", 200, json!([policy("theirs", "bob@bar.example")]));
    let answer = call(&mut alice, "/api/withdrawals", json!({"who": "address:bob@bar.example"})).await;
    assert_eq!((answer.status, guard.count("DELETE /policies/theirs")), (200, 1), "{}", answer.text);
    assert!(!answer.text.contains("not_read"), "{}", answer.text);
}

/// A thing that its place has not told of yet, or leaves out, stands on no page: who reaches it loses it all the same.
#[tokio::test]
async fn threat_36_what_no_place_lists_is_withdrawn_with_everything() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper, _) = linked(&desk, &mut alice).await;
    let thing = |id: &str| json!({"_id": id, "resource_server": keeper.url, "resource_id": format!("/{id}"), "name": id, "resource_scopes": ["view"]});
    guard.answers("GET /resources", 200, json!([thing("r0"), thing("hidden")]));
    let hidden = |id: &str, email: &str| {
        let mut policy = policy(id, email);
        policy["resource_id"] = json!("hidden");
        policy
    };
    let listed =
        json!([policy("open", "bob@bar.example"), hidden("his", "bob@bar.example"), hidden("hers", "carol@bar.example")]);
    guard.answers("GET /policies", 200, listed);
    let answer = call(&mut alice, "/api/withdrawals", json!({"who": "address:bob@bar.example"})).await;
    let deleted = ["open", "his", "hers"].map(|id| guard.count(&format!("DELETE /policies/{id}")));
    assert_eq!((answer.status, deleted), (200, [1, 1, 0]), "{}", answer.text);
}

/// The same for what somebody signed for her, and for what this desk reads in part. Where it cannot tell whom something lets in, that is said.
#[tokio::test]
async fn threat_36_what_no_place_lists_is_withdrawn_whatever_it_rests_on() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, keeper, _) = linked(&desk, &mut alice).await;
    let hidden = |id: &str, more: Value| {
        let mut policy = policy(id, "bob@bar.example");
        policy["resource_id"] = json!("hidden");
        more.as_object().unwrap().iter().for_each(|(name, value)| policy[name] = value.clone());
        policy
    };
    let thing = json!({"_id": "hidden", "resource_server": keeper.url, "resource_id": "/hidden", "name": "Hidden", "resource_scopes": ["view"]});
    guard.answers("GET /resources", 200, json!([thing]));
    let mut listed = vec![
        hidden("elsewhere", json!({"authority": "e30.e30.AA", "delegation": "d"})),
        hidden("unclear", json!({"client_id": 5})),
        hidden("new", json!({"member_of_tomorrow": true})),
    ];
    guard.answers("GET /policies", 200, json!(listed));
    let everything = json!({"who": "address:bob@bar.example"});
    let answer = call(&mut alice, "/api/withdrawals", everything.clone()).await;
    let deleted = ["elsewhere", "unclear", "new"].map(|id| guard.count(&format!("DELETE /policies/{id}")));
    assert_eq!((answer.status, deleted), (200, [1, 1, 1]), "{}", answer.text);
    assert!(!answer.text.contains("not_read"), "{}", answer.text);
    for more in [json!({"resource_id": ["hidden"]}), json!({"required_claims": 5})] {
        listed = vec![hidden("of whom", more)];
        guard.answers("GET /policies", 200, json!(listed));
        desk.clock.pass(20);
        let answer = call(&mut alice, "/api/withdrawals", everything.clone()).await;
        assert!(answer.text.contains("not_read") && answer.text.contains("cannot read"), "{}", answer.text);
    }
}

/// A reading that hangs while she shares and withdraws: it is kept, with what was done meanwhile.
#[tokio::test]
async fn a_reading_is_kept_however_much_is_done_meanwhile() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, key) = linked(&desk, &mut alice).await;
    guard.answers("GET /policies", 200, json!([policy("old", "carol@bar.example"), policy("other", "dave@bar.example")]));
    desk.clock.pass(20);
    alice.read().await;
    guard.answers("GET /policies", 200, json!([policy("old", "carol@bar.example"), policy("new", "erin@bar.example")]));
    guard.hangs("GET /policies");
    desk.clock.pass(20);
    let asked = guard.count("GET /policies");
    alice.json("/api/things").await;
    until("it is being read", async || guard.count("GET /policies") > asked).await;
    share(&mut alice, &guard, &key, "bob@bar.example", "made").await;
    let carol = json!({"thing": key, "policy_id": "old"});
    assert_eq!(call(&mut alice, "/api/withdrawals", carol).await.status, 200);
    // nothing else is read: what is shown is of that one reading
    guard.release_those();
    let shows = async |alice: &mut Sitting<'_>, who: &str| alice.json("/api/things").await.to_string().contains(who);
    until("the reading is kept", async || shows(&mut alice, "erin@bar.example").await).await;
    assert!(shows(&mut alice, "bob@bar.example").await, "what was shared meanwhile is there");
    assert!(!shows(&mut alice, "carol@bar.example").await, "what was withdrawn meanwhile is gone");
    assert!(!shows(&mut alice, "dave@bar.example").await, "what the server lists no more is gone");
    guard.release();
}
