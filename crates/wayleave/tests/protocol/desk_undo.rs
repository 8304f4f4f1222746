//! Undo at the desk (docs/decisions/0053): what she has just done is undone once, by her session; and no link tells her anything.

use crate::desk::{Desk, Sitting};
use crate::desk_crowd::register;
use crate::party::Party;
use crate::world::START;
use serde_json::{Value, json};

const BOB: &str = "bob@bar.example";

/// One album at a keeper, and its guard; its key at the desk.
async fn linked(desk: &Desk, alice: &mut Sitting<'_>) -> (Party, Party, String) {
    let guard = Party::start().await;
    let keeper = Party::keeper(&guard).await;
    register(&guard, &keeper, 1);
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    let key = read_again(desk, alice).await["key"].as_str().unwrap().to_owned();
    (guard, keeper, key)
}

async fn read_again(desk: &Desk, alice: &mut Sitting<'_>) -> Value {
    desk.clock.pass(20);
    alice.read().await;
    alice.json("/api/things").await["things"][0].clone()
}

fn request(state: &str, id: &str, until: &Value) -> Value {
    json!({"_id": id, "state": state, "created": START, "expires_at": START + 10_000, "client": {"client_id": "viewer", "name": "Viewer"},
        "requesting_party": {"email": BOB}, "permissions": [{"resource_id": "r0", "resource_scopes": ["view"]}], "approved_until": until})
}

/// Where the server can, whoever asked waits again, and nothing is deleted behind its back.
#[tokio::test]
async fn what_she_undoes_at_the_desk_waits_for_her_again() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, _) = linked(&desk, &mut alice).await;
    guard.answers("GET /requests", 200, json!([request("pending", "q", &Value::Null)]));
    guard.answers("POST /requests/q", 200, json!({}));
    guard.answers("POST /requests/q/undo", 200, request("pending", "q2", &Value::Null));
    read_again(&desk, &mut alice).await;
    let page = alice.get("/requests").await;
    let (link, seen) = (page.field("link"), page.field("seen"));
    guard.answers("GET /requests", 200, json!([request("approved", "q", &json!(START + 3_600))]));
    let answer = [("link", &*link), ("request", "q"), ("seen", &*seen), ("decision", "approve"), ("grant", "r0 view")];
    let answered = alice.post("/requests", &answer).await;
    let told = alice.get(&answered.location).await;
    assert!(told.text.contains("may view") && told.text.contains(">Undo<"), "{}", told.text);
    let note = told.field("note");
    // nobody else's session, and no name that nobody was given
    let mut other = Sitting::of(&desk, "alice").await;
    assert!(!other.get(&answered.location).await.text.contains("role=\"status\"><div"), "another session of hers");
    assert_eq!(other.post("/undo", &[("note", &note)]).await.status, 400);
    for query in ["undone=yes", "note=x", "note=", "answered=q&at=x"] {
        let page = alice.get(&format!("/requests?{query}")).await;
        assert!(!page.text.contains("Taken back") && !page.text.contains("class=\"note\""), "{query}: {}", page.text);
    }
    guard.answers("GET /requests", 200, json!([request("pending", "q2", &Value::Null)]));
    let undone = alice.post("/undo", &[("note", &note)]).await;
    let told = alice.get(&undone.location).await;
    assert!(told.text.contains("bob@bar.example waits for your answer again."), "{}", told.text);
    assert_eq!((guard.count("POST /requests/q/undo"), guard.count("DELETE")), (1, 0));
    assert_eq!(alice.post("/undo", &[("note", &note)]).await.status, 400, "once");
}

/// What was shared ends by the name that its server gave it.
#[tokio::test]
async fn what_she_shares_at_the_desk_is_undone_alone() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, key) = linked(&desk, &mut alice).await;
    let share = [("thing", &*key), ("email", BOB), ("scope", "view"), ("step", "confirm")];
    for (says, is_undoable) in [(json!([{"_id": "made"}]), true), (json!([{}]), false), (json!({"_id": "made"}), false)] {
        guard.answers("POST /policies?atomic=true", 201, says.clone());
        let page = alice.post("/share", &share).await;
        assert!(page.text.contains("may view") && page.text.contains("<h1>Shared</h1>"), "{}", page.text);
        assert_eq!(page.text.contains(">Undo<"), is_undoable, "{says}: {}", page.text);
        if is_undoable {
            let undone = alice.post("/undo", &[("note", &page.field("note"))]).await;
            assert_eq!(undone.status, 303, "{}", undone.text);
            assert_eq!((guard.count("DELETE /policies/made"), guard.count("DELETE")), (1, 1));
        }
    }
}

/// What was withdrawn is written anew as it was listed; what cannot be says so before.
#[tokio::test]
async fn what_she_withdraws_at_the_desk_is_put_back_once() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, key) = linked(&desk, &mut alice).await;
    let email = json!([{"name": "email", "value": [BOB]}]);
    let policy = |more: Value| {
        let mut policy = json!({"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": email,
            "expires_at": START + 86_400, "client_id": ["viewer"], "max_uses": 3, "uses": 1});
        policy.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json!([policy])
    };
    for (more, says) in [
        (json!({"resource_scopes": ["view", null]}), "This cannot be undone."),
        (json!({"delegation": "d"}), "This cannot be undone."),
        (json!({"uses": 3}), "This cannot be undone."),
        (json!({}), "You can put the share back right after."),
    ] {
        guard.answers("GET /policies", 200, policy(more.clone()));
        read_again(&desk, &mut alice).await;
        let page = alice.get(&format!("/thing/{key}")).await;
        assert!(page.text.contains(says), "{more}: {}", page.text);
    }
    guard.answers("DELETE /policies/p", 204, Value::Null);
    let withdrawn = alice.post("/withdraw", &[("thing", &key), ("policy", "p"), ("place", &guard.url)]).await;
    let told = alice.get(&withdrawn.location).await;
    assert!(told.text.contains("Taken back") && told.text.contains(">Undo<"), "{}", told.text);
    guard.asked();
    let note = told.field("note");
    let undone = alice.post("/undo", &[("note", &note)]).await;
    assert!(alice.get(&undone.location).await.text.contains("Put back"), "{}", undone.text);
    let written: Vec<_> = guard.asked().into_iter().filter(|asked| asked.what == "POST /policies").collect();
    assert_eq!(written.len(), 1);
    assert_eq!(
        serde_json::from_str::<Value>(&written[0].body).unwrap(),
        json!({"resource_id": "r0", "resource_scopes": ["view"], "required_claims": email, "expires_at": START + 86_400,
            "client_id": ["viewer"], "max_uses": 2, "on_missing": "gather"})
    );
    assert_eq!(alice.post("/undo", &[("note", &note)]).await.status, 400, "once");
}

/// Where a server is away, nothing is lost: what she allowed ends as soon as it answers, and what she withdrew can be put back.
#[tokio::test]
async fn what_a_server_that_is_away_does_not_undo_is_not_forgotten() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, key) = linked(&desk, &mut alice).await;
    guard.answers("GET /requests", 200, json!([request("pending", "q", &Value::Null)]));
    guard.answers("POST /requests/q", 200, json!({}));
    guard.answers("POST /requests/q/undo", 500, json!({}));
    guard.answers("DELETE /requests/q", 500, json!({}));
    read_again(&desk, &mut alice).await;
    let page = alice.get("/requests").await;
    let (link, seen) = (page.field("link"), page.field("seen"));
    guard.answers("GET /requests", 200, json!([request("approved", "q", &json!(START + 3_600))]));
    let answer = [("link", &*link), ("request", "q"), ("seen", &*seen), ("decision", "approve"), ("grant", "r0 view")];
    let answered = alice.post("/requests", &answer).await;
    let told = alice.get(&answered.location).await;
    let undone = alice.post("/undo", &[("note", &told.field("note"))]).await;
    assert_eq!(undone.status, 303, "{}", undone.text);
    let told = alice.get(&undone.location).await;
    assert!(told.text.contains("at each server that has confirmed it"), "{}", told.text);
    let waiting = alice.json("/api/withdrawals").await.to_string();
    assert!(waiting.contains(BOB), "it is asked again until it confirms: {waiting}");
    // a share that cannot be put back now
    let share = json!([{"_id": "p", "resource_id": "r0", "resource_scopes": ["view"], "required_claims": [{"name": "email",
        "value": [BOB]}], "expires_at": START + 86_400}]);
    guard.answers("GET /policies", 200, share.clone());
    guard.answers("DELETE /policies/p", 204, Value::Null);
    read_again(&desk, &mut alice).await;
    let withdrawn = alice.post("/withdraw", &[("thing", &key), ("policy", "p"), ("place", &guard.url)]).await;
    let note = alice.get(&withdrawn.location).await.field("note");
    guard.answers("GET /policies", 200, json!([]));
    guard.answers("POST /policies", 503, json!({}));
    assert!(alice.post("/undo", &[("note", &note)]).await.status >= 400);
    guard.answers("POST /policies", 201, json!({"_id": "new"}));
    let undone = alice.post("/undo", &[("note", &note)]).await;
    assert_eq!(undone.status, 303, "{}", undone.text);
    // and once alone
    assert_eq!(alice.post("/undo", &[("note", &note)]).await.status, 400);
    assert_eq!(guard.count("POST /policies"), 2);
}

/// Days are hers, where her browser says where she is.
#[tokio::test]
async fn the_desk_tells_times_in_her_zone() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, _) = linked(&desk, &mut alice).await;
    guard.answers("GET /requests", 200, json!([request("pending", "q", &Value::Null)]));
    read_again(&desk, &mut alice).await;
    let page = alice.get("/requests").await;
    let zone = page.text.split("data-zone value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    assert!(page.text.contains(" UTC.</span>") && page.text.contains("/assets/pages.js"), "{}", page.text);
    let line = format!("{}; {zone}=Pacific/Auckland", alice.cookie_line());
    let request = http::Request::get("/requests").header("cookie", line).body(axum::body::Body::empty()).unwrap();
    let page = desk.send(request).await;
    assert!(page.status == 200 && !page.text.contains(" UTC.</span>"), "{}", page.text);
}

/// Rows 5 and 36: what whoever asks wrote stands there as a quotation; an answer that does not do is told at its request, whose form
/// keeps what was ticked.
#[tokio::test]
async fn a_request_at_the_desk_has_its_sentence_and_keeps_its_form() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper, _) = linked(&desk, &mut alice).await;
    let mut said = request("pending", "q", &Value::Null);
    said["message"] = json!("It is <b>Bob</b>, may I?");
    said["permissions"] = json!([{"resource_id": "r0", "resource_scopes": ["view", "edit"]}]);
    guard.answers("GET /requests", 200, json!([said, request("pending", "q2", &Value::Null)]));
    guard.answers(
        "POST /requests/q",
        400,
        json!({"error": "invalid_request", "error_description": "it is not guarded here any more"}),
    );
    read_again(&desk, &mut alice).await;
    let page = alice.get("/requests").await;
    assert!(
        page.text.contains("<blockquote>\u{201c}It is &#60;b&#62;Bob&#60;/b&#62;, may I?\u{201d}</blockquote>"),
        "{}",
        page.text
    );
    assert!(!page.text.contains("aria-label=\"Request of"), "two of one person are two places of one name");
    let (link, seen) = (page.field("link"), page.field("seen"));
    let answer = [("link", &*link), ("request", "q"), ("seen", &*seen), ("decision", "week"), ("grant", "r0 view")];
    let refused = alice.post("/requests", &answer).await;
    assert_eq!(refused.status, 400);
    let first = refused.text.split("</article>").next().unwrap();
    assert!(first.contains("not guarded here any more") && first.contains("role=\"alert\""), "{}", refused.text);
    assert!(first.contains("value=\"r0 view\" checked") && first.contains("value=\"r0 edit\">"), "{first}");
    assert!(first.contains("value=\"week\""), "the form stands there");
    // one that waits no more is told above
    let gone = [("link", &*link), ("request", "none"), ("seen", &*seen), ("decision", "week"), ("grant", "r0 view")];
    let refused = alice.post("/requests", &gone).await;
    assert!(refused.status == 400 && refused.text.contains("There is no such request any more."), "{}", refused.text);
}
