//! A server that has too much to do, or is broken, says neither yes nor no (decision 0062): a desk takes nothing of it for an answer.

use crate::desk::{Desk, Sitting, until};
use crate::party::Party;
use serde_json::{Value, json};

const ABOUT: &str = "GET /.well-known/oauth-protected-resource";
const METADATA: &str = "GET /.well-known/uma2-configuration";

/// What may be a resource server is not linked as an authorization server, which it may be as well; and what may be one is not
/// said to be none.
#[tokio::test]
async fn a_server_that_is_busy_is_taken_for_nothing_else() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    for (busy, what) in [(&keeper, ABOUT), (&guard, METADATA)] {
        busy.answers(what, 429, json!({"error": "slow_down"}));
        let page = alice.post("/servers", &[("server", &busy.url)]).await;
        assert!(page.text.contains("Nothing was linked: look at the address, and try again."), "{what}: {}", page.text);
        assert!(!page.text.contains("<a class=\"button\" href=\"http"), "she is sent nowhere: {}", page.text);
        assert!(!page.text.contains("neither an authorization server"), "{what}: {}", page.text);
    }
    assert_eq!(keeper.count(METADATA), 0, "it is not asked whether it is something else");
    // as soon as they answer, they are what they are
    guard.forgets(METADATA);
    let about = json!({"resource": keeper.url, "resource_management_endpoint": format!("{}/manage", keeper.url),
        "resource_management_authorization_servers": [guard.url]});
    keeper.answers(ABOUT, 200, about);
    // a failure is remembered for some seconds
    desk.clock.pass(10);
    alice.link(&guard.url, &guard).await;
    alice.link(&keeper.url, &guard).await;
    assert_eq!(alice.json("/api/servers").await.as_array().unwrap().len(), 2);
}

/// Whatever stands in the body of such an answer.
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_busy_ends_no_link_and_no_withdrawal() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    party.answers(
        "GET /resources",
        200,
        json!([{"_id": "r", "resource_server": "photos", "name": "Album", "resource_scopes": ["view"]}]),
    );
    let email = json!([{"name": "email", "value": ["bob@bar.example"]}]);
    party.answers(
        "GET /policies",
        200,
        json!([{"_id": "p", "resource_id": "r", "resource_scopes": ["view"], "required_claims": email}]),
    );
    alice.link(&party.url, &party).await;
    alice.read().await;
    for (status, error) in [(429, "invalid_grant"), (503, "invalid_grant"), (400, "temporarily_unavailable")] {
        party.answers("POST /token", status, json!({"error": error}));
        desk.clock.pass(4_000);
        let tried = party.count("POST /token");
        alice.read().await;
        until("it was asked for another token", async || party.count("POST /token") > tried).await;
        assert_eq!(alice.json("/api/servers").await[0]["ended"], json!(false), "{status} {error}");
    }
    let page = alice.get("/people/show?who=address%3Abob%40bar.example").await;
    alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await;
    for _ in 0..3 {
        desk.clock.pass(60);
        desk.manager.tend().await;
    }
    assert_eq!(party.count("DELETE"), 0);
    party.forgets("POST /token");
    party.answers("DELETE /policies/p", 204, Value::Null);
    until("it has heard of the end", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.contains("1 of 1 confirmed")
    })
    .await;
}
