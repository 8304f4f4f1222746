//! Servers that hang, and servers that are many: nobody waits for one but whoever asked for it (threat 46).

use crate::desk::{DESK, Desk, Sitting, until};
use crate::party::Party;
use serde_json::{Value, json};
use std::time::Duration;

/// The desk gives up on a server that hangs after ten seconds.
const SOONER_THAN_A_HANGING_ONE: Duration = Duration::from_secs(8);

const BOB: &str = "/people/show?who=address%3Abob%40bar.example";

/// Policies for Bob on so many things, as a server lists them.
fn list_for_bob(party: &Party, count: usize) {
    let thing = |n: usize| json!({"_id": format!("r{n}"), "resource_server": "photos", "name": format!("Album {n}"), "resource_scopes": ["view"]});
    let policy = |n: usize| {
        json!({"_id": format!("p{n}"), "resource_id": format!("r{n}"), "resource_scopes": ["view"],
            "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]})
    };
    party.answers("GET /resources", 200, (0..count).map(thing).collect());
    party.answers("GET /policies", 200, (0..count).map(policy).collect());
}

async fn withdraw_bob(alice: &mut Sitting<'_>) {
    let page = alice.get(BOB).await;
    let page = alice.post("/people/withdraw", &[("sure", "yes"), ("who", &page.field("who"))]).await;
    let told = page.location.starts_with("/withdrawals?note=");
    assert_eq!((page.status, told), (303, true), "{}: {}", page.location, page.text);
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s31_a_server_that_hangs_holds_up_nobody_elses_withdrawals() {
    let desk = Desk::open().await;
    let (hanging, other) = (Party::start().await, Party::start().await);
    list_for_bob(&hanging, 250);
    list_for_bob(&other, 1);
    let mut alice = Sitting::of(&desk, "alice").await;
    for party in [&hanging, &other] {
        alice.link(&party.url, party).await;
    }
    hanging.hangs("DELETE /policies/");
    other.answers("DELETE /policies/p0", 503, Value::Null);
    withdraw_bob(&mut alice).await;
    until("the other one has been asked", async || other.count("DELETE /policies/p0") == 1).await;
    // the ones of the hanging server are the longest due, and more than one look tends of a server
    other.answers("DELETE /policies/p0", 204, Value::Null);
    until("the other one is asked again", async || {
        desk.clock.pass(2);
        desk.manager.tend().await;
        other.count("DELETE /policies/p0") >= 2
    })
    .await;
    until("that one is confirmed", async || alice.get("/withdrawals").await.text.contains("1 of 251 confirmed")).await;
    assert!(hanging.count("DELETE") <= 2, "one that does not answer is asked one thing at a time: {}", hanging.count("DELETE"));
    // as soon as it answers, it is told all of them
    hanging.release();
    until("all are confirmed", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.contains("251 of 251 confirmed")
    })
    .await;
}

/// One thing that a server cannot do keeps it from no other.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s31_one_withdrawal_that_fails_holds_up_no_other() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    list_for_bob(&party, 4);
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    for n in 0..3 {
        party.answers(&format!("DELETE /policies/p{n}"), 500, Value::Null);
    }
    withdraw_bob(&mut alice).await;
    until("the fourth is confirmed", async || alice.get("/withdrawals").await.text.contains("1 of 4 confirmed")).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s31_tasks_end_with_their_link_and_say_so() {
    let desk = Desk::open().await;
    let hanging = Party::start().await;
    list_for_bob(&hanging, 3);
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&hanging.url, &hanging).await;
    hanging.answers("DELETE /policies/p0", 503, Value::Null);
    withdraw_bob(&mut alice).await;
    let id = alice.json("/api/servers").await[0]["id"].as_str().unwrap().to_owned();
    // whoever lets a server go does not wait for it
    hanging.hangs("POST /revoke");
    let begun = tokio::time::Instant::now();
    assert_eq!(alice.post("/servers/unlink", &[("id", &id)]).await.status, 303);
    assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
    until("its token is given back", async || hanging.count("POST /revoke") == 1).await;
    let page = alice.get("/withdrawals").await;
    assert!(page.text.contains("not told") && page.text.contains("you unlinked this server"), "{}", page.text);
    assert!(alice.json("/api/withdrawals").await.to_string().contains("you unlinked this server"));
    let before = hanging.count("DELETE");
    for _ in 0..5 {
        desk.clock.pass(60);
        desk.manager.tend().await;
    }
    assert_eq!(hanging.count("DELETE"), before, "nobody is asked any more");
    // linked again, it hears
    hanging.forgets("DELETE /policies/p0");
    hanging.release();
    alice.link(&hanging.url, &hanging).await;
    until("it has heard", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.contains("3 of 3 confirmed")
    })
    .await;
}

/// She unlinks while a server thinks about a withdrawal, and its answer comes afterwards: it is not told, that is said, and it
/// hears when it is linked again.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s31_an_answer_that_comes_after_unlinking_does_not_hide_that_nobody_was_told() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    list_for_bob(&party, 1);
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    party.answers("DELETE /policies/p0", 503, Value::Null);
    party.hangs("DELETE /policies/");
    withdraw_bob(&mut alice).await;
    assert_eq!(party.count("DELETE /policies/p0"), 1, "under way");
    let id = alice.json("/api/servers").await[0]["id"].as_str().unwrap().to_owned();
    assert_eq!(alice.post("/servers/unlink", &[("id", &id)]).await.status, 303);
    party.release();
    for _ in 0..20 {
        desk.clock.pass(60);
        desk.manager.tend().await;
        let page = alice.get("/withdrawals").await;
        assert!(page.text.contains("you unlinked this server"), "{}", page.text);
        tokio::task::yield_now().await;
    }
    party.answers("DELETE /policies/p0", 204, Value::Null);
    alice.link(&party.url, &party).await;
    until("it has heard", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.contains("1 of 1 confirmed")
    })
    .await;
}

/// A renewal of the old tokens is under way while she links the server again: what she linked stands.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s32_a_renewal_under_way_does_not_end_what_is_linked_again() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    party.rotates(&json!(3_600));
    desk.clock.pass(4_000);
    party.hangs("POST /token");
    alice.get("/").await;
    until("the renewal is under way", async || party.count("POST /token") == 2).await;
    let release = async {
        until("she comes back", async || party.count("POST /token") == 3).await;
        party.release();
    };
    let (_, ()) = tokio::join!(alice.link(&party.url, &party), release);
    alice.read().await;
    let server = &alice.json("/api/servers").await[0];
    assert_eq!((&server["ended"], &server["error"]), (&json!(false), &Value::Null), "{server}");
    // and its tokens are those that came with it
    desk.clock.pass(4_000);
    alice.read().await;
    assert_eq!(alice.json("/api/servers").await[0]["ended"], json!(false));
}

/// A server that takes the desk's word no more is not asked for ever: that is said, and it hears once it is linked again.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s31_tasks_of_a_link_that_ended_end_and_say_so() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    list_for_bob(&party, 2);
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    for n in 0..2 {
        party.answers(&format!("DELETE /policies/p{n}"), 503, Value::Null);
    }
    withdraw_bob(&mut alice).await;
    party.answers("POST /token", 400, json!({"error": "invalid_grant"}));
    desk.clock.pass(4_000);
    until("both have ended", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.matches("not told").count() == 2
    })
    .await;
    assert!(alice.get("/withdrawals").await.text.contains("link it again"), "it is said why");
    let asked = party.asked().len();
    for _ in 0..5 {
        desk.clock.pass(60);
        desk.manager.tend().await;
    }
    assert!(asked > 0 && party.count("DELETE") == 0, "nobody is asked any more");
    party.forgets("POST /token");
    (0..2).for_each(|n| party.forgets(&format!("DELETE /policies/p{n}")));
    alice.link(&party.url, &party).await;
    until("it has heard", async || {
        desk.clock.pass(60);
        desk.manager.tend().await;
        alice.get("/withdrawals").await.text.contains("2 of 2 confirmed")
    })
    .await;
}

/// However long tokens live, and however the server says so, the link works on, by the refresh token that came last.
#[tokio::test]
async fn threat_46_s32_short_tokens_keep_a_link() {
    for expires_in in [
        json!(60),
        json!(1),
        json!(0),
        json!(-5),
        Value::Null,
        json!("3600"),
        json!("soon"),
        json!(59.9),
        json!(1e300),
        json!(i64::MAX),
    ] {
        let desk = Desk::open().await;
        let party = Party::start().await;
        party.rotates(&expires_in);
        let mut alice = Sitting::of(&desk, "alice").await;
        alice.link(&party.url, &party).await;
        for _ in 0..3 {
            desk.clock.pass(4000);
            alice.read().await;
        }
        let server = &alice.json("/api/servers").await[0];
        assert_eq!((&server["ended"], &server["error"]), (&json!(false), &Value::Null), "{expires_in}: {server}");
        assert_eq!(party.reused(), 0, "{expires_in}: each refresh token once");
    }
}

/// A refresh answer without a refresh token: the one that is there stays good (RFC 6749 6).
#[tokio::test]
async fn threat_46_s32_a_refresh_token_that_is_not_replaced_stays() {
    for nothing in [None, Some(Value::Null), Some(json!(""))] {
        let desk = Desk::open().await;
        let party = Party::start().await;
        let mut alice = Sitting::of(&desk, "alice").await;
        alice.link(&party.url, &party).await;
        let mut answer = json!({"access_token": "next", "token_type": "bearer", "expires_in": 30});
        nothing.into_iter().for_each(|nothing| answer["refresh_token"] = nothing);
        party.answers("POST /token", 200, answer);
        party.asked();
        for _ in 0..3 {
            desk.clock.pass(4000);
            alice.read().await;
        }
        let refreshes: Vec<_> = party.asked().into_iter().filter(|asked| asked.what == "POST /token").collect();
        assert!(refreshes.len() >= 3, "{refreshes:?}");
        assert!(refreshes.iter().all(|asked| asked.body.contains("refresh_token=refresh-1")), "{refreshes:?}");
    }
}

/// What is settled while a server is being read stays settled.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s32_a_long_reading_undoes_nothing() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    party.hangs("GET /requests");
    desk.clock.pass(20);
    alice.get("/").await;
    until("a reading is under way", async || party.count("GET /requests") >= 2).await;
    let id = alice.json("/api/servers").await[0]["id"].as_str().unwrap().to_owned();
    alice.post("/servers/unlink", &[("id", &id)]).await;
    party.release();
    until("the reading is over", async || party.count("GET /policies?role=") >= 2).await;
    for _ in 0..20 {
        assert_eq!(alice.json("/api/servers").await, json!([]), "what is unlinked does not come back");
    }
}

/// Pages are made of what is kept.
#[tokio::test(flavor = "multi_thread")]
async fn threat_46_s32_pages_wait_for_no_server() {
    let desk = Desk::open().await;
    let (guard, keeper) = {
        let guard = Party::start().await;
        let keeper = Party::keeper(&guard).await;
        (guard, keeper)
    };
    let mut alice = Sitting::of(&desk, "alice").await;
    register(&guard, &keeper, 1_000);
    for server in [&guard.url, &keeper.url] {
        alice.link(server, &guard).await;
    }
    alice.make_key().await;
    guard.hangs("GET /");
    keeper.hangs("GET /");
    guard.hangs("POST /policies");
    let fields = [("all", "yes"), ("email", "bob@bar.example"), ("scope", "view"), ("sign", "yes")];
    let page = alice.post("/share", &[&fields[..], &[("step", "review")]].concat()).await;
    let (prepared, did) = (page.field("prepared"), page.field("did"));
    let begun = tokio::time::Instant::now();
    let fields = [&fields[..], &[("step", "confirm"), ("prepared", &prepared), ("did", &did)]].concat();
    let page = alice.post("/share", &fields).await;
    assert!(page.status < 500 && page.text.contains("on their way"), "{}", page.text);
    assert!(begun.elapsed() < Duration::from_secs(15), "{:?}", begun.elapsed());
    desk.clock.pass(100);
    for path in [
        "/",
        "/people",
        BOB,
        "/requests",
        "/history",
        "/servers",
        "/keys",
        "/withdrawals",
        "/delegations",
        "/api/things",
        "/share?all=yes",
    ] {
        let begun = tokio::time::Instant::now();
        let page = alice.get(path).await;
        assert_eq!(page.status, 200, "{path}: {}", page.text);
        assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{path}: {:?}", begun.elapsed());
    }
    assert!(alice.get("/people").await.text.contains("bob@bar.example"), "what she signed is shown from her ledger");
    let page = alice.post_with("/people/withdraw", &[("origin", DESK)], &[]).await;
    assert_eq!(page.status, 403);
}

/// What a server lists without end fills no page.
#[tokio::test]
async fn threat_46_s32_lists_on_pages_are_bounded() {
    let desk = Desk::open().await;
    let party = Party::start().await;
    let delegation = |n: usize| {
        json!({"_id": format!("d{n}"), "delegate": {"email": format!("d{n}@bar.example")}, "resources": "all", "resource_scopes": ["view"],
            "may": ["approve"]})
    };
    let request = |n: usize| {
        json!({"_id": format!("q{n}"), "state": "pending", "created": 1, "expires_at": 2, "client": {"client_id": "viewer"},
            "requesting_party": {"email": format!("q{n}@bar.example")}, "permissions": []})
    };
    let shared = |n: usize| json!({"_id": format!("s{n}"), "owner": "\u{202e}evil", "resource_id": "r", "resource_server": "photos", "resource_scopes": ["view"]});
    party.answers("GET /delegations", 200, (0..3_000).map(delegation).collect());
    party.answers("GET /requests", 200, (0..3_000).map(request).collect());
    party.answers("GET /policies?role=requesting_party&limit=1000", 200, (0..3_000).map(shared).collect());
    let mut alice = Sitting::of(&desk, "alice").await;
    alice.link(&party.url, &party).await;
    for path in ["/delegations", "/requests", "/people"] {
        let page = alice.get(path).await;
        assert!(page.text.contains("and 2800 more"), "{path}: {}", &page.text[page.text.len().saturating_sub(600)..]);
        assert!(!page.text.contains('\u{202e}'), "{path}: names are shown as they are");
    }
    assert!(alice.get("/requests").await.text.contains("data-waiting=\"3000\""), "all of them are counted");
}

/// Things at a keeper, and the guard that both agree on.
pub(crate) fn register(guard: &Party, keeper: &Party, count: usize) {
    let kept = |n: usize| {
        json!({"_resource_id": format!("k{n}"), "name": format!("Album {n}"), "resource_scopes": ["view", "edit"], "registrations": [{"_id": format!("g{n}"),
            "authorization_server": guard.url, "authorization_server_resource_id": format!("r{n}"), "registered_scopes": ["view", "edit"], "state": "active"}]})
    };
    let guarded = |n: usize| json!({"_id": format!("r{n}"), "_resource_id": format!("k{n}"), "resource_server": keeper.url, "name": format!("Album {n}"), "resource_scopes": ["view", "edit"]});
    keeper.answers("GET /manage/my-resources", 200, (0..count).map(kept).collect());
    guard.answers("GET /resources", 200, (0..count).map(guarded).collect());
}
