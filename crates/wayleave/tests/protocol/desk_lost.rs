//! Answers that get lost on their way to a desk: whoever closes a page, and whatever connection breaks, ends no link of an owner
//! (row 27, decision 0068).

use crate::desk::{DESK, Desk, Sitting, until};
use crate::desk_crowd::register;
use crate::party::Party;
use crate::world::START;
use serde_json::{Value, json};

const LOST: &str = "An answer of it was lost on its way here";
const ENDED: &str = "it no longer takes this desk's word";

/// A guard that replaces refresh tokens, and tokens that live shorter than what was read counts as fresh.
async fn linked(desk: &Desk, alice: &mut Sitting<'_>) -> (Party, Party) {
    let guard = Party::start().await;
    guard.rotates(&json!(10));
    let keeper = Party::keeper(&guard).await;
    register(&guard, &keeper, 1);
    let request = json!([{"_id": "q", "state": "pending", "created": START, "expires_at": START + 10_000,
        "client": {"client_id": "viewer", "name": "Viewer"}, "requesting_party": {"email": "bob@bar.example"},
        "permissions": [{"resource_id": "r0", "resource_scopes": ["view"]}]}]);
    guard.answers("GET /requests", 200, request);
    guard.answers("POST /requests/q", 200, json!({}));
    alice.link(&guard.url, &guard).await;
    desk.clock.pass(20);
    alice.read().await;
    (guard, keeper)
}

async fn server(alice: &mut Sitting<'_>) -> Value {
    alice.json("/api/servers").await[0].clone()
}

/// The token is over when she answers a request, and the page is closed in the middle of it.
#[tokio::test]
async fn threat_27_a_page_that_is_closed_during_a_renewal_ends_no_link() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&desk, &mut alice).await;
    let id = server(&mut alice).await["id"].as_str().unwrap().to_owned();
    let csrf = alice.csrf().await;
    desk.clock.pass(6);
    let asked = guard.count("POST /token");
    guard.hangs("POST /token");
    {
        let headers = [("origin", DESK), ("content-type", "application/json"), ("x-csrf-token", csrf.as_str())];
        let call = json!({"server": id, "request_id": "q", "decision": "deny"}).to_string();
        let closed = alice.send("POST", "/api/requests", &headers, call);
        let begun = until("the server is asked", async || guard.count("POST /token") > asked);
        tokio::select! {
            answer = closed => panic!("{answer:?}"),
            () = begun => {}
        }
    }
    guard.release();
    desk.clock.pass(20);
    alice.read().await;
    let after = server(&mut alice).await;
    assert_eq!((guard.reused(), &after["ended"], &after["error"]), (0, &json!(false), &Value::Null), "{after}");
}

/// A server is told that a desk is gone by a token that is good, or it would go on telling the desk. Also where she unlinks it in the
/// middle of a renewal: what that brings is given back.
#[tokio::test]
async fn a_server_hears_of_the_end_of_a_link_by_a_token_that_is_good() {
    for is_under_way in [false, true] {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let (guard, _keeper) = linked(&desk, &mut alice).await;
        let id = server(&mut alice).await["id"].as_str().unwrap().to_owned();
        alice.csrf().await;
        desk.clock.pass(20);
        if is_under_way {
            guard.hangs("POST /token");
            let asked = guard.count("POST /token");
            alice.read().await;
            until("it is renewed", async || guard.count("POST /token") > asked).await;
        }
        guard.asked();
        assert_eq!(alice.post("/servers/unlink", &[("id", &id)]).await.status, 303);
        guard.release();
        until("it is given back", async || guard.count("POST /revoke") > 0).await;
        let asked = guard.asked();
        let told: Vec<&str> = asked.iter().map(|one| one.what.as_str()).filter(|what| !what.starts_with("GET ")).collect();
        let renewal: &[&str] = if is_under_way { &[] } else { &["POST /token"] };
        assert_eq!(told, [renewal, &["DELETE /managers/new", "POST /revoke"]].concat());
        assert!(asked.iter().any(|one| one.what == "POST /revoke" && one.body.contains("token=refresh-3")), "{asked:?}");
        assert_eq!(guard.reused(), 0);
    }
}

/// Nobody has to come for it: house-keeping asks again with the same token, while that is good.
#[tokio::test]
async fn threat_27_a_lost_answer_is_asked_for_again_by_itself() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&desk, &mut alice).await;
    desk.clock.pass(20);
    guard.answers("POST /token", 502, json!({}));
    alice.read().await;
    guard.forgets("POST /token");
    let asked = guard.count("POST /token");
    until("it is asked again", async || {
        desk.manager.tend().await;
        guard.count("POST /token") > asked
    })
    .await;
    alice.read().await;
    let after = server(&mut alice).await;
    assert_eq!((guard.reused(), &after["ended"], &after["error"]), (0, &json!(false), &Value::Null), "{after}");
}

/// What is known of the end of a link is said, and no more.
#[tokio::test]
async fn threat_27_a_link_that_ends_after_a_lost_answer_says_so() {
    for (is_lost, says) in [(true, LOST), (false, ENDED)] {
        let desk = Desk::open().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        let (guard, _keeper) = linked(&desk, &mut alice).await;
        if is_lost {
            desk.clock.pass(20);
            guard.answers("POST /token", 502, json!({}));
            alice.read().await;
        }
        desk.clock.pass(20);
        guard.answers("POST /token", 400, json!({"error": "invalid_grant"}));
        alice.read().await;
        let after = server(&mut alice).await;
        let why = after["error"].as_str().unwrap_or_default();
        assert!(after["ended"] == true && why.contains(says) && why.contains(LOST) == is_lost, "{after}");
    }
}
