//! Rows 38 and 42: a link that was begun by managing is a URL, and whoever opens it may be somebody else.

use super::super::*;
use super::enrolling::manage;
use super::world::World;
use axum::body::Body;
use serde_json::{Value, json};
use std::sync::atomic::Ordering;
use tower::ServiceExt;

struct Answer {
    status: u16,
    cookie: String,
    linked: String,
    location: String,
    html: String,
}

/// Somebody at a browser.
async fn send(world: &World, request: Request) -> Answer {
    let answer = world.gateway.clone().router().oneshot(request).await.unwrap();
    let text = |name: &str| answer.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned();
    let (status, location) = (answer.status().as_u16(), text("location"));
    let lines = answer.headers().get_all("set-cookie").iter().map(|line| line.to_str().unwrap());
    let cookies: Vec<_> = lines.map(|line| line.split(';').next().unwrap_or_default().to_owned()).collect();
    let of = |is_linked: bool| cookies.iter().find(|one| one.contains("wl_linked=") == is_linked).cloned().unwrap_or_default();
    let (cookie, linked) = (of(false), of(true));
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    Answer { status, cookie, linked, location, html: String::from_utf8(body.to_vec()).unwrap() }
}

async fn get(world: &World, url: &str, cookie: &str) -> Answer {
    let request = Request::get(url).header("cookie", cookie).header("sec-fetch-mode", "navigate");
    send(world, request.body(Body::empty()).unwrap()).await
}

async fn post(world: &World, cookie: &str, form: &str, more: &[(&str, &str)]) -> Answer {
    let mut request = Request::post("/.wayleave/link").header("cookie", cookie);
    for (name, value) in more {
        request = request.header(*name, *value);
    }
    send(world, request.body(Body::from(form.to_owned())).unwrap()).await
}

/// Alice begins by managing; where to go.
async fn begun(world: &World) -> String {
    let wanted = json!({"issuer": world.issuer});
    let call = Request::post("/x").body(()).unwrap().into_parts().0;
    let answer = world.gateway.managed("alice", &call, Body::from(wanted.to_string()), "authorization-servers").await;
    let body = axum::body::to_bytes(answer.unwrap().into_body(), usize::MAX).await.unwrap();
    let to: Value = serde_json::from_slice(&body).unwrap();
    to["authorize_uri"].as_str().unwrap().strip_prefix(super::world::RESOURCE).unwrap().to_owned()
}

/// Somebody who is logged in as this there opens it, and comes back: the answer, and the browser's cookie.
async fn opened(world: &World, url: &str, claims: Value) -> (Answer, String) {
    let sent = get(world, url, "").await;
    assert_eq!(sent.status, 303, "{}", sent.html);
    let query: HashMap<String, String> = url::Url::parse(&sent.location).unwrap().query_pairs().into_owned().collect();
    let mut claims = claims;
    claims["nonce"] = json!(query["nonce"]);
    *world.asked.logged_in.lock().unwrap() = Some(claims);
    let back = format!("/.wayleave/callback?state={}&code=c", query["state"]);
    assert_eq!(get(world, &back, "").await.status, 400, "another browser");
    let came = get(world, &back, &sent.cookie).await;
    if came.status != 303 {
        return (came, sent.cookie);
    }
    // what came of it is read where neither code nor state stands in the address
    assert_eq!(came.location, format!("{}/.wayleave/linked", super::world::RESOURCE));
    assert_eq!(get(world, "/.wayleave/linked", "").await.status, 404, "another browser");
    let page = get(world, "/.wayleave/linked", &came.linked).await;
    assert_eq!(get(world, "/.wayleave/linked", &came.linked).await.html, page.html, "it may be loaded anew");
    (Answer { cookie: came.cookie, ..page }, sent.cookie)
}

fn name_in(page: &Answer) -> String {
    let rest = page.html.split_once("name=\"waiting\" value=\"").expect(&page.html).1;
    rest.split('"').next().unwrap().to_owned()
}

fn bob() -> Value {
    json!({"sub": "bobs-sub", "email": "bob@secret.example", "email_verified": true})
}

#[tokio::test]
async fn threat_42_s10_a_link_that_was_sent_to_somebody_links_nobody_unasked() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let (page, cookie) = opened(&world, &begun(&world).await, bob()).await;
    for told in ["Link this account?", "<strong>alice</strong>", "bob@secret.example", "<strong>Photos</strong>"] {
        assert!(page.status == 200 && page.html.contains(told), "{told}: {}", page.html);
    }
    let confirm = format!("authorization-servers/{}", world.issuer.replace(':', "%3A").replace('/', "%2F"));
    let unknown = async || {
        let (_, all) = manage(&world, "GET", "authorization-servers").await;
        assert!(all[0]["pat"] == "none" && all[0].get("account").is_none(), "{all}");
        assert_eq!(manage(&world, "PUT", &confirm).await.0, 404, "there is nothing that she could confirm");
    };
    unknown().await;
    let form = format!("waiting={}&decision=link", name_in(&page));
    let other = get(&world, &begun(&world).await, "").await.cookie;
    let wrong: [(&str, &str, &[(&str, &str)]); 7] = [
        ("", &form, &[]),
        ("__Host-wl_link=x", &form, &[]),
        (&other, &form, &[]),
        (&cookie, "waiting=x&decision=link", &[]),
        (&cookie, &form, &[("origin", "https://evil.example")]),
        (&cookie, &form, &[("origin", "null")]),
        (&cookie, &form, &[("sec-fetch-site", "cross-site")]),
    ];
    for (cookie, form, more) in wrong {
        assert_eq!(post(&world, cookie, form, more).await.status, 400, "{cookie} {form} {more:?}");
    }
    assert_eq!(post(&world, &format!("{cookie}; {cookie}"), &form, &[]).await.status, 400, "it came twice");
    unknown().await;
    let refused = post(&world, &cookie, &form.replace("=link", "=refuse"), &[]).await;
    assert!(refused.status == 200 && refused.html.contains("Nothing was linked"), "{}", refused.html);
    assert_eq!(world.asked.revoked.load(Ordering::SeqCst), 1, "what it gave is given back");
    assert_eq!(post(&world, &cookie, &form, &[]).await.status, 400, "once");
    unknown().await;
}

#[tokio::test]
async fn threat_42_s10_who_agrees_is_linked_when_the_owner_agrees_too() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let (page, cookie) = opened(&world, &begun(&world).await, bob()).await;
    let form = format!("waiting={}&decision=link", name_in(&page));
    let own = [("origin", "https://photos.example"), ("sec-fetch-site", "same-origin")];
    let done = post(&world, &cookie, &form, &own).await;
    assert!(done.html.contains("Almost linked") && done.cookie.ends_with("wl_link="), "{}", done.html);
    let (_, all) = manage(&world, "GET", "authorization-servers").await;
    assert!(all[0]["pat"] == "pending" && all[0]["account"]["email"] == "bob@secret.example", "{all}");
    let confirm = format!("authorization-servers/{}", world.issuer.replace(':', "%3A").replace('/', "%2F"));
    assert_eq!(manage(&world, "PUT", &confirm).await.1["pat"], "active");
    // what she confirmed and guards is not asked about again; another account is
    let (again, _) = opened(&world, &begun(&world).await, bob()).await;
    assert!(again.html.contains("<h1>Linked"), "{}", again.html);
    let (other, _) = opened(&world, &begun(&world).await, json!({"sub": "eves-sub"})).await;
    assert!(other.html.contains("Link this account?") && other.html.contains("eves-sub"), "{}", other.html);
    let nameless = opened(&world, &begun(&world).await, json!({})).await.0;
    assert!(nameless.html.contains("an account without a name"), "{}", nameless.html);
}

/// One client for two gateways: tickets of the second would be of the first, and whoever compares would stop (threat 21).
#[tokio::test]
async fn a_gateway_that_the_server_knows_as_another_place_is_not_linked() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let known_as = |place: &str| json!({"sub": "alice", "known_as": place});
    let (page, _) = opened(&world, &begun(&world).await, known_as("https://other.example")).await;
    for told in ["Not linked", "https://other.example", "resource = &#34;https://photos.example&#34;"] {
        assert!(page.html.contains(told), "{told}: {}", page.html);
    }
    let (_, all) = manage(&world, "GET", "authorization-servers").await;
    assert_eq!(all[0]["pat"], "none", "{all}");
    for place in ["https://photos.example", "https://photos.example/"] {
        let (page, _) = opened(&world, &begun(&world).await, known_as(place)).await;
        assert!(page.html.contains("<h1>Linked"), "{}", page.html);
    }
}

/// A program that follows the link has nobody before it who could be asked: what it brings waits for the owner's word.
#[tokio::test]
async fn what_a_program_links_is_pending_until_the_owner_confirms_it() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let sent = send(&world, Request::get(begun(&world).await).body(Body::empty()).unwrap()).await;
    let query: HashMap<String, String> = url::Url::parse(&sent.location).unwrap().query_pairs().into_owned().collect();
    let mut claims = bob();
    claims["nonce"] = json!(query["nonce"]);
    *world.asked.logged_in.lock().unwrap() = Some(claims);
    let back = Request::get(format!("/.wayleave/callback?state={}&code=c", query["state"])).header("cookie", &sent.cookie);
    let page = send(&world, back.body(Body::empty()).unwrap()).await;
    assert!(page.html.contains("Almost linked"), "{}", page.html);
    assert_eq!(manage(&world, "GET", "authorization-servers").await.1[0]["pat"], "pending");
    let confirm = format!("authorization-servers/{}", world.issuer.replace(':', "%3A").replace('/', "%2F"));
    assert_eq!(manage(&world, "PUT", &confirm).await.1["pat"], "active");
}

#[tokio::test]
async fn threat_42_s10_the_owner_herself_needs_no_word() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let hers = json!({"sub": "alice", "email": "alice@foo.example", "email_verified": true});
    for url in [begun(&world).await, "/.wayleave/link?owner=alice".to_owned()] {
        let (page, cookie) = opened(&world, &url, hers.clone()).await;
        assert!(page.html.contains("<h1>Linked"), "{}", page.html);
        assert!(page.cookie.ends_with("wl_link=") && cookie.starts_with("__Host-wl_link="), "{cookie} {}", page.cookie);
    }
    let (page, _) = opened(&world, "/.wayleave/link?owner=alice", bob()).await;
    assert!(page.status == 400 && page.html.contains("this is for `alice`"), "{}", page.html);
    let url = begun(&world).await;
    for (method, status) in [("HEAD", 200), ("DELETE", 405), ("GET", 303), ("GET", 400)] {
        let request = Request::builder().method(method).uri(&url).body(Body::empty()).unwrap();
        assert_eq!(send(&world, request).await.status, status, "{method}: a look ahead uses nothing up");
    }
}

/// Texts of a management client are shown on pages of others: addresses are of the web, and names are one line.
#[tokio::test]
async fn threat_36_a_description_brings_no_script_and_no_second_line() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    let call = Request::patch("/x").body(()).unwrap().into_parts().0;
    let change = async |change: Value| {
        let body = Body::from(change.to_string());
        let answer = world.gateway.managed("alice", &call, body, "my-resources/%2Fa.jpg").await;
        answer.unwrap_or_else(|refusal| refusal).status().as_u16()
    };
    for uri in ["javascript:alert(1)", "data:text/html,x", "JAVASCRIPT:x", "//x", "/x", "http://", "vbscript:x", " javascript:x"]
    {
        assert_eq!(change(json!({"icon_uri": uri})).await, 400, "{uri}");
    }
    for name in ["two\nlines", "\u{1b}[31mred", "tab\there", "\u{9b}31m", "nul\u{0}"] {
        assert_eq!(change(json!({"name": name})).await, 400, "{name:?}");
        assert_eq!(change(json!({"type": name})).await, 400, "{name:?}");
    }
    assert_eq!(change(json!({"description": "\u{1b}]0;x"})).await, 400);
    let good =
        json!({"name": "Zo\u{eb} \u{1f468}\u{200d}\u{1f469}", "description": "two\nlines", "icon_uri": "https://x.example/i"});
    assert_eq!(change(good).await, 200);
    // what was taken before is not told any more
    let before = store::Opinion {
        icon_uri: Some("javascript:alert(1)".into()),
        name: Some("a\u{1b}b".into()),
        ..store::Opinion::default()
    };
    world.gateway.store.put_opinion("alice", &"/a.jpg".into(), &before).await.unwrap();
    let told = world.gateway.description("alice", &"/a.jpg".into()).await.unwrap();
    assert_eq!((told.icon_uri, told.name.as_deref()), (None, Some("a b")));
}

/// A server of the operator's says what she is called; nobody is called as somebody else is known here.
#[tokio::test]
async fn people_read_the_name_of_an_owner() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let link = async |name: &str| {
        let claims = json!({"sub": "alice", "name": name});
        opened(&world, "/.wayleave/link?owner=alice", claims).await.0
    };
    assert_eq!(world.gateway.say_owner("alice").await, "alice");
    let page = link("  Alice Archer ").await;
    assert!(page.html.contains("for <strong>Alice Archer</strong>"), "{}", page.html);
    assert_eq!(world.gateway.say_owner("alice").await, "Alice Archer");
    for (name, read) in [("", "alice"), (" \u{202e}", "alice"), ("alice", "alice"), ("Alice\nArcher", "Alice Archer")] {
        link(name).await;
        assert_eq!(world.gateway.say_owner("alice").await, read, "{name:?}");
    }
    let now = world.gateway.client.clock.now();
    world.gateway.store.put_link("bob", &world.issuer, &link::new_link(now)).await.unwrap();
    for name in ["bob", "Bob"] {
        link(name).await;
        assert_eq!(world.gateway.say_owner("alice").await, "alice", "{name}");
    }
    // a server that nobody listed is not believed
    let account = store::Account { name: Some("Alice Archer".into()), ..store::Account::default() };
    let theirs = store::Link { account, ..link::new_link(now) };
    world.gateway.store.put_link("carol", "https://hers.example", &theirs).await.unwrap();
    assert_eq!(world.gateway.say_owner("carol").await, "carol");
}

/// Links that a program of hers begins: her last ones are good, and another owner's wait beside them.
#[tokio::test]
async fn threat_46_links_that_one_owner_begins_are_few() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let store = &world.gateway.store;
    let now = world.gateway.client.clock.now();
    let begin = async |owner: &str, n: i64| {
        let mut one = world.gateway.begin(owner, &world.issuer, None, true).await.unwrap();
        one.expires = now.plus(600 + n);
        store.put_begun(&one.flow.state, &one, now).await.unwrap();
        one.flow.state
    };
    let bobs = begin("bob", 0).await;
    let mut hers = Vec::new();
    for n in 0..50 {
        hers.push(begin("alice", n).await);
    }
    let mut good = Vec::new();
    for (n, state) in hers.iter().enumerate() {
        good.extend(store.take_begun(state, now).await.unwrap().map(|_| n));
    }
    assert_eq!(good, (30..50).collect::<Vec<_>>());
    assert!(store.take_begun(&bobs, now).await.unwrap().is_some());
}

/// Programs look ahead, and no other method is a visit.
#[tokio::test]
async fn threat_41_s17_who_looks_ahead_at_a_link_changes_nothing() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let url = begun(&world).await;
    let call = async |method: &str, url: &str, cookie: &str| {
        let request = Request::builder().method(method).uri(url).header("cookie", cookie);
        send(&world, request.body(Body::empty()).unwrap()).await
    };
    let here = "/.wayleave/link?owner=alice";
    for url in [url.as_str(), here, "/.wayleave/callback?state=s&code=c"] {
        let looked = call("HEAD", url, "").await;
        assert!(looked.status == 200 && looked.cookie.is_empty() && looked.location.is_empty(), "{url}");
        assert_eq!((call("OPTIONS", url, "").await.status, call("PUT", url, "").await.status), (405, 405));
    }
    let sent = get(&world, &url, "").await;
    let query: HashMap<String, String> = url::Url::parse(&sent.location).unwrap().query_pairs().into_owned().collect();
    let mut claims = bob();
    claims["nonce"] = json!(query["nonce"]);
    *world.asked.logged_in.lock().unwrap() = Some(claims);
    let back = format!("/.wayleave/callback?state={}&code=c", query["state"]);
    for (method, status) in [("HEAD", 200), ("POST", 405), ("OPTIONS", 405)] {
        assert_eq!(call(method, &back, &sent.cookie).await.status, status, "{method}");
    }
    let came = get(&world, &back, &sent.cookie).await;
    assert!(get(&world, "/.wayleave/linked", &came.linked).await.html.contains("Link this account?"));
}

#[tokio::test]
async fn threat_46_limits_hold_for_what_comes_at_once() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let call = Request::post("/x").body(()).unwrap().into_parts().0;
    let rule = || Body::from(json!({"effect": "deny", "client_id": "c"}).to_string());
    let all = (0..230).map(|_| world.gateway.managed("alice", &call, rule(), "my-rules"));
    let made = futures_util::future::join_all(all).await.into_iter().filter(|answer| answer.is_ok()).count();
    assert_eq!((made, world.gateway.store.list_rules("alice").await.unwrap().len()), (200, 200));
}

/// Whoever lets the page lie has linked nothing: what the authorization server gave is given back.
#[tokio::test]
async fn threat_42_s10_a_link_that_nobody_answers_leaves_nothing_behind() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let revoked = |count: usize| world.asked.revoked.load(Ordering::SeqCst) == count;
    for _ in 0..11 {
        assert!(opened(&world, &begun(&world).await, bob()).await.0.html.contains("Link this account?"));
    }
    world.until("those that were pushed out are given back", async || revoked(3)).await;
    let now = world.gateway.client.clock.now();
    world.gateway.give_back_unanswered(now);
    world.gateway.give_back_unanswered(now.plus(600));
    world.until("those that ran out as well", async || revoked(11)).await;
}

/// What cannot be kept was not linked, so it is given back as well.
#[tokio::test]
async fn threat_42_s10_a_link_that_cannot_be_kept_is_given_back() {
    let mut broken = super::super::store::tests::Broken::new().await;
    let store = std::mem::replace(&mut broken.store, Store::in_memory());
    let world = World::new(store, &["a.jpg"]).await;
    let (page, cookie) = opened(&world, &begun(&world).await, bob()).await;
    broken.run(1, "CREATE TRIGGER full BEFORE INSERT ON owner_link BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END");
    let form = format!("waiting={}&decision=link", name_in(&page));
    assert_eq!(post(&world, &cookie, &form, &[]).await.status, 400);
    world.until("it is given back", async || world.asked.revoked.load(Ordering::SeqCst) == 1).await;
    let long = json!({"sub": "x".repeat(2_000)});
    assert_eq!(opened(&world, &begun(&world).await, long).await.0.status, 400);
    world.until("what is too long as well", async || world.asked.revoked.load(Ordering::SeqCst) == 2).await;
}

/// A double click, or a proxy that repeats: a code that came twice would end what it was good for.
#[tokio::test]
async fn threat_42_s10_a_callback_that_comes_twice_links_once() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    for (url, sub, said) in
        [("/.wayleave/link?owner=alice".to_owned(), "alice", "Linked"), (begun(&world).await, "bobs-sub", "Link this")]
    {
        let sent = get(&world, &url, "").await;
        let query: HashMap<String, String> = url::Url::parse(&sent.location).unwrap().query_pairs().into_owned().collect();
        *world.asked.logged_in.lock().unwrap() = Some(json!({"sub": sub, "nonce": query["nonce"]}));
        let back = format!("/.wayleave/callback?state={}&code=c", query["state"]);
        let before = world.asked.tokens.load(Ordering::SeqCst);
        let both = tokio::join!(get(&world, &back, &sent.cookie), get(&world, &back, &sent.cookie));
        assert_eq!(world.asked.tokens.load(Ordering::SeqCst), before + 1);
        for came in [both.0, both.1, get(&world, &back, &sent.cookie).await] {
            assert_eq!(came.status, 303, "{}", came.html);
            let page = get(&world, "/.wayleave/linked", &came.linked).await;
            assert!(page.html.contains(said), "{}", page.html);
        }
        assert_eq!(world.asked.revoked.load(Ordering::SeqCst), 0);
    }
}
