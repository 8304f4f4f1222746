//! The desk as JSON: the same as its pages, for whoever is logged in and names the token of her session.

use crate::relations::{Desk, Sitting, bob_at, is_out, laboratory, open_outbound, reads};
use outbound::{Method, Request};
use serde_json::{Value, json};

impl Sitting {
    /// A call with a JSON body.
    async fn post(&self, desk: &Desk, path: &str, csrf: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", desk.url);
        let request = Request::json(Method::POST, &url, &body).header("cookie", &self.browser.cookies_for(path));
        let answer = open_outbound().send(request.header("x-csrf-token", csrf)).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or_default())
    }
}

#[tokio::test]
async fn everything_of_the_pages_but_signing_is_there_as_json() {
    let (servers, guarded) = laboratory().await;
    let desk = Desk::start();
    let mut alice = Sitting::of(&desk, "alice").await;
    for place in [&servers[0].issuer, &guarded[0].url] {
        alice.link(place).await;
    }
    let csrf = alice.json("/api/me").await["csrf"].as_str().unwrap().to_owned();
    let thing = alice.things().await[0]["key"].clone();
    let share = json!({"things": [thing], "email": "Bob@bar.example", "resource_scopes": ["view"]});
    // without her token, another page could send it
    assert_eq!(alice.post(&desk, "/api/share", "x", share.clone()).await.0, 403);
    assert_eq!(alice.post(&desk, "/api/share", &csrf, share.clone()).await, (200, json!({"shared": 1, "failed": []})));
    let rpt = bob_at(&servers[0], &guarded[0], 1).await.unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(reads(&guarded[0], &rpt).await, 200);
    for (wrong, says) in [
        (json!({"things": [], "email": "a@b.example", "resource_scopes": ["view"]}), "at least one"),
        (json!({"things": ["x"], "email": "a@b.example", "resource_scopes": ["view"]}), "no thing `x`"),
        (json!({"things": [thing], "email": "nobody", "resource_scopes": ["view"]}), "an address"),
        (json!({"things": [thing], "email": "a@b.example", "anyone": true, "resource_scopes": ["view"]}), "an address"),
        (json!({"things": [thing], "anyone": true, "resource_scopes": ["view"], "expires_at": 1}), "is over"),
        (json!({"things": [thing], "anyone": true, "resource_scopes": ["view"], "colour": "red"}), "colour"),
    ] {
        let (status, answer) = alice.post(&desk, "/api/share", &csrf, wrong).await;
        assert!(status == 400 && answer["error_description"].as_str().unwrap().contains(says), "{says}: {answer}");
    }
    // one share, and everything of somebody's
    let policy = alice.things().await[0]["shares"][0]["policy_id"].clone();
    let (status, tasks) = alice.post(&desk, "/api/withdrawals", &csrf, json!({"thing": thing, "policy_id": policy})).await;
    assert_eq!((status, &tasks[0]["state"]), (200, &json!("confirmed")), "{tasks}");
    is_out(&guarded[0], &rpt).await;
    let (status, answer) = alice.post(&desk, "/api/withdrawals", &csrf, json!({"who": "everybody"})).await;
    assert!(status == 400 && answer["error_description"].as_str().unwrap().contains("/api/people"), "{answer}");
    // who asks, and her answer
    assert_eq!(bob_at(&servers[0], &guarded[0], 2).await.err().as_deref(), Some("request_submitted"));
    let page = alice.open("/servers").await;
    alice.browser.submit(&page, "/servers/read", &[]).await.unwrap();
    let waiting = alice.json("/api/requests").await;
    let asked = waiting.as_array().unwrap().iter().find(|one| one["request"]["state"] == "pending").unwrap().clone();
    let mut answer =
        json!({"server": asked["server"], "request_id": asked["request"]["_id"], "decision": "approve", "remember": true});
    let (status, refusal) =
        alice.post(&desk, "/api/requests", &csrf, json!({"server": "x", "request_id": "../x", "decision": "deny"})).await;
    assert_eq!(status, 400, "{refusal}");
    assert_eq!(alice.post(&desk, "/api/requests", &csrf, answer.clone()).await.0, 200);
    answer["decision"] = json!("deny");
    assert_eq!(alice.post(&desk, "/api/requests", &csrf, answer).await.0, 400, "answered before");
    let rpt = bob_at(&servers[0], &guarded[0], 3).await.unwrap_or_else(|error| panic!("{error}"));
    let (status, _) = alice.post(&desk, "/api/withdrawals", &csrf, json!({"who": "address:bob@bar.example"})).await;
    assert_eq!(status, 200);
    is_out(&guarded[0], &rpt).await;
    // nobody who is not logged in
    let url = format!("{}/api/share", desk.url);
    let answer = open_outbound().send(Request::json(Method::POST, &url, &share)).await.unwrap();
    assert_eq!(answer.status, 401);
}
