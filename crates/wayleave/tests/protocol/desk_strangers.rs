//! What somebody whom nobody knows can make a desk do: nothing is written for her, and nothing fetched for each call of hers
//! (threat 41).

use crate::desk::{Desk, Sitting, until};
use crate::party::Party;
use futures_util::future::join_all;
use http::Request;
use relationship_manager::Caller;
use serde_json::json;

const METADATA: &str = "GET /.well-known/";

/// Every page that a desk has, and some that it has not.
const PATHS: [&str; 24] = [
    "/",
    "/thing/x",
    "/share?all=yes",
    "/guard",
    "/history",
    "/people",
    "/people/show?who=anyone",
    "/requests",
    "/servers",
    "/delegations",
    "/for-others",
    "/receipts",
    "/receipts/export",
    "/self-issued?client_id=https://a.example",
    "/decide?request=x",
    "/keys",
    "/keys/export",
    "/withdrawals",
    "/api/things",
    "/api/me",
    "/live",
    "/.well-known/openid-configuration",
    "/nothing",
    "/callback?code=c&state=s",
];

#[tokio::test]
async fn threat_41_s17_calls_of_nobody_fetch_nothing() {
    let desk = Desk::open().await;
    for path in PATHS {
        assert!(desk.get(path).await.status < 500, "{path}");
    }
    for path in ["/share", "/servers", "/requests", "/keys", "/withdraw", "/notify", "/api/share", "/decide"] {
        desk.send(Request::post(path).body("server=https%3A%2F%2Fa.example".into()).unwrap()).await;
    }
    assert_eq!(desk.login.asked().len(), 0, "nobody is known, and nobody is asked");
    // a log-in asks for what it must know, once for everybody
    let all = join_all((0..40).map(|_| desk.get("/login"))).await;
    assert!(all.iter().all(|page| page.status == 303), "{all:?}");
    assert_eq!((desk.login.count(METADATA), desk.login.count("POST /register")), (1, 1), "{:?}", desk.login.asked());
    for _ in 0..40 {
        assert_eq!(desk.get("/login").await.status, 303);
    }
    assert_eq!(desk.login.asked().len(), 2, "not for each call");
}

#[tokio::test]
async fn threat_41_s17_a_log_in_that_is_away_is_not_asked_by_each_call() {
    let desk = Desk::open().await;
    desk.login.answers("GET /.well-known/uma2-configuration", 503, json!({}));
    let all = join_all((0..20).map(|_| desk.get("/login"))).await;
    assert!(all.iter().all(|page| page.status == 502), "{all:?}");
    assert_eq!(desk.login.count(METADATA), 1);
    desk.get("/login").await;
    assert_eq!(desk.login.count(METADATA), 1, "a failure is remembered for a moment");
    desk.login.forgets("GET /.well-known/uma2-configuration");
    desk.clock.pass(6);
    assert_eq!(desk.get("/login").await.status, 303, "and for no longer");
    // the same of a registration that is refused
    let desk = Desk::open().await;
    desk.login.answers("POST /register", 429, json!({"error": "slow_down"}));
    join_all((0..20).map(|_| desk.get("/login"))).await;
    assert_eq!(desk.login.count("POST /register"), 1);
}

#[tokio::test]
async fn threat_41_s17_a_log_in_that_hangs_is_asked_once() {
    let desk = Desk::open().await;
    desk.login.hangs(METADATA);
    let calls = join_all((0..20).map(|_| desk.get("/login")));
    let others = async {
        until("the log-in is asked", async || desk.login.count(METADATA) > 0).await;
        assert!(desk.get("/").await.status == 303, "other pages do not wait for it");
        desk.login.release();
    };
    let (all, ()) = tokio::join!(calls, others);
    assert!(all.iter().all(|page| page.status == 303), "{all:?}");
    assert_eq!(desk.login.count(METADATA), 1);
}

#[tokio::test]
async fn threat_41_s17_made_up_answers_of_a_log_in_are_limited_by_network() {
    let desk = Desk::open().await;
    desk.login.answers("POST /token", 400, json!({"error": "invalid_grant"}));
    let page = desk.get("/login").await;
    let state = page.location.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    let cookie = page.cookies[0].split(';').next().unwrap().to_owned();
    let call = async |from: String| {
        let request = Request::get(format!("/callback?code=made-up&state={state}")).header("cookie", &cookie);
        desk.send(request.extension(Caller(from.parse().unwrap())).body(axum::body::Body::empty()).unwrap()).await.status
    };
    let mut last = 0;
    for n in 0..200_u8 {
        last = call(format!("192.0.2.{n}")).await;
    }
    assert_eq!(last, 429);
    let asked = desk.login.count("POST /token");
    assert!((20..=60).contains(&asked), "{asked}");
    assert_eq!(call("198.51.100.1".into()).await, 400, "another network has its own share");
    desk.clock.pass(60);
    assert_eq!(call("192.0.2.1".into()).await, 400);
}

/// What begins at the desk ends in the browser that began it, and nowhere else.
#[tokio::test]
async fn threat_41_s17_a_log_in_of_another_browser_asks_nobody() {
    let desk = Desk::open().await;
    let page = desk.get("/login").await;
    let state = page.location.split("state=").nth(1).unwrap().split('&').next().unwrap().to_owned();
    desk.login.asked();
    let mut other = Sitting::new(&desk);
    assert_eq!(other.get("/login").await.status, 303);
    assert_eq!(other.get(&format!("/callback?code=c&state={state}")).await.status, 400);
    assert_eq!(Sitting::new(&desk).get(&format!("/callback?code=c&state={state}")).await.status, 400);
    assert_eq!(desk.login.asked().len(), 0);
}

/// A server may have forgotten the desk: it was unused for long, or the server was restored from a backup.
#[tokio::test]
async fn a_desk_that_a_server_has_forgotten_registers_anew() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let party = Party::start().await;
    alice.link(&party.url, &party).await;
    assert_eq!((party.count("POST /register"), party.count("POST /revoke")), (1, 0));
    // one that does not answer, or takes no proof of ours at all, has forgotten nobody
    for (status, error) in [(503, "temporarily_unavailable"), (401, "invalid_client")] {
        party.answers("POST /revoke", status, json!({"error": error}));
        let page = alice.post("/servers", &[("server", &party.url)]).await;
        assert!(page.text.contains("client_id=us&"), "{}", page.text);
    }
    party.forgets("POST /revoke");
    party.forgets_client("us");
    // anew once in an hour
    desk.clock.pass(3_601);
    for _ in 0..2 {
        let page = alice.post("/servers", &[("server", &party.url)]).await;
        assert!(page.text.contains("client_id=us-anew&"), "{}", page.text);
    }
    assert_eq!(party.count("POST /register"), 3);
}

/// Whoever has a log-in here, and servers of her own, does not have this desk register wherever they lead it.
#[tokio::test]
async fn threat_41_one_person_has_a_desk_register_so_often_in_a_day() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let guard = Party::start().await;
    alice.link(&guard.url, &guard).await;
    guard.asked();
    // each new registration is unknown by the next time
    for id in ["us", "us-anew", "us-anew-anew", "us-anew-anew-anew"] {
        guard.forgets_client(id);
        alice.post("/servers", &[("server", &guard.url)]).await;
    }
    assert_eq!(guard.count("POST /register"), 1, "once in an hour");
    desk.clock.pass(3_601);
    alice.post("/servers", &[("server", &guard.url)]).await;
    let mut registered = 0;
    for _ in 0..40 {
        let other = Party::start().await;
        alice.post("/servers", &[("server", &other.url)]).await;
        registered += other.count("POST /register");
    }
    assert!((20..=30).contains(&registered), "{registered}");
    let mut bob = Sitting::of(&desk, "bob").await;
    let other = Party::start().await;
    bob.link(&other.url, &other).await;
}

/// Whoever uses up her own registrations leaves those of others as they are, and what failed may be tried again.
#[tokio::test]
async fn threat_41_a_registration_that_was_not_made_keeps_nobody_from_it() {
    let desk = Desk::open().await;
    let mut mallory = Sitting::of(&desk, "mallory").await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let guard = Party::start().await;
    alice.link(&guard.url, &guard).await;
    guard.asked();
    guard.forgets_client("us");
    guard.answers("POST /register", 500, json!({}));
    alice.post("/servers", &[("server", &guard.url)]).await;
    guard.forgets_client("us");
    for _ in 0..40 {
        let other = Party::start().await;
        mallory.post("/servers", &[("server", &other.url)]).await;
    }
    guard.asked();
    mallory.post("/servers", &[("server", &guard.url)]).await;
    assert_eq!(guard.count("POST /register"), 0, "she may no more");
    let page = alice.post("/servers", &[("server", &guard.url)]).await;
    assert!(page.text.contains("client_id=us-anew&"), "{}", page.text);
}

/// A page elsewhere may lead anybody to where a log-in begins, and the log-in may know her as somebody else.
#[tokio::test]
async fn threat_42_nobody_is_logged_in_at_a_desk_as_somebody_else_by_a_link() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    for from in ["cross-site", "same-site"] {
        let page = alice.send("GET", "/login?return=%2Fpeople", &[("sec-fetch-site", from)], String::new()).await;
        assert!(page.status == 200 && page.location.is_empty(), "{from}: {} {}", page.status, page.text);
        assert!(
            page.text.contains("href=\"/login?return=%2Fpeople\"") && page.text.contains("You are logged in as"),
            "{}",
            page.text
        );
    }
    let session = |of: &Sitting<'_>| of.cookies.iter().find(|(name, _)| name.ends_with("wl_desk")).unwrap().1.clone();
    let before = session(&alice);
    let page = alice.get("/login").await;
    let back = alice.comes_back(&desk.login, "mallory", &page.location).await;
    assert!(back.status == 400 && back.text.contains("You are logged in as somebody else"), "{} {}", back.status, back.text);
    assert_eq!(session(&alice), before);
    assert_eq!(alice.get("/people").await.status, 200);
    // as herself she comes back as often as she likes
    let page = alice.get("/login").await;
    assert_eq!(alice.comes_back(&desk.login, "alice", &page.location).await.status, 303);
    assert_ne!(session(&alice), before);
}
