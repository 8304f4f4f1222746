//! Changes by a session (design/browser.md, *Unsafe methods*): what was shared so is traded for once, from pages of this gateway
//! alone; what was not is refused in words, and may be asked for.

use super::*;
use crate::gateway::FromTrustedProxy;

const FETCH: [(&str, &str); 3] = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "cors"), ("accept", "*/*")];
const FORM: [(&str, &str); 3] = [("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")];

/// Bob sees two things of Alice's, and may edit these of them.
async fn world(is_known_again: bool, may_edit: &[&str]) -> (World, Arc<Known>, Browser) {
    let server = Known { says_issuer: true, ..Known::default() };
    server.knows_again.store(is_known_again, Ordering::SeqCst);
    server.interval.store(1, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a", "b"]).await;
    server.may_edit.lock().unwrap().extend(may_edit.iter().map(|one| (*one).to_owned()));
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    (world, server, bob)
}

async fn change(bob: &mut Browser, world: &World, method: &str, to: &str, fields: &[(&str, &str)]) -> Seen {
    let mut request = Request::builder().method(method).uri(to);
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    bob.send(world, request.body(Body::from("some text")).unwrap()).await
}

fn hidden_field<'a>(seen: &'a Seen, name: &str) -> &'a str {
    let value = seen.text.split(&format!("name=\"{name}\" value=\"")).nth(1);
    value.unwrap_or_else(|| panic!("{name}: {}: {}", seen.status, seen.text)).split('"').next().unwrap()
}

/// Presses the button of a page, with this beside what stands in its form.
async fn press(bob: &mut Browser, world: &World, seen: &Seen, more: &[(&str, &str)]) -> Seen {
    let own = ["csrf", "to", "method"].map(|name| (name, hidden_field(seen, name)));
    bob.post(world, "/.wayleave/visit", &[&own[..], more].concat()).await
}

#[tokio::test]
async fn a_session_changes_what_was_shared_so() {
    let (world, server, mut bob) = world(true, &["/alice/a"]).await;
    let before = server.count_traded();
    for method in ["PUT", "POST", "PUT"] {
        let seen = change(&mut bob, &world, method, "/alice/a", &FETCH).await;
        assert_eq!((seen.status, seen.text.as_str()), (200, "saved 9"), "{method}");
    }
    let seen = change(&mut bob, &world, "POST", "/alice/a?x", &FORM).await;
    assert_eq!((seen.status, seen.text.as_str()), (200, "saved 9"));
    assert_eq!(server.count_traded(), before + 1, "one trade is for all of them");
    // browsers without Fetch Metadata say where they come from
    assert_eq!(change(&mut bob, &world, "PUT", "/alice/a", &[("origin", RESOURCE)]).await.status, 200);
    // what he saw he still sees
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    // and what is withdrawn ends it within a second
    server.permissions.lock().unwrap().clear();
    server.may_edit.lock().unwrap().clear();
    tokio::time::sleep(std::time::Duration::from_millis(1_100)).await;
    assert_eq!(change(&mut bob, &world, "PUT", "/alice/a", &FETCH).await.status, 403);
}

/// Where a call leads is traded for as well: each of both once.
#[tokio::test]
async fn what_a_destination_takes_is_traded_for_as_well() {
    let to_b = format!("{RESOURCE}/alice/b");
    let to = |place: &'static str| [&FETCH[..], &[("destination", place)]].concat();
    for (method, trades) in [("MOVE", 2), ("COPY", 1)] {
        let (world, server, mut bob) = world(true, &["/alice/a", "/alice/b"]).await;
        let before = server.count_traded();
        for _ in 0..2 {
            let seen = change(&mut bob, &world, method, "/alice/a", &[&FETCH[..], &[("destination", &to_b)]].concat()).await;
            assert_eq!((seen.status, seen.text.as_str()), (200, "saved 9"), "{method}");
        }
        assert_eq!(server.count_traded(), before + trades, "{method}");
        assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    }
    // what was not shared so is refused as ever, and not tried for a minute
    let (world, server, mut bob) = world(true, &["/alice/a"]).await;
    let before = server.count_traded();
    for _ in 0..3 {
        let seen = change(&mut bob, &world, "MOVE", "/alice/a", &to("/alice/b")).await;
        assert_eq!((seen.status, seen.text.trim()), (403, "The destination is not yours to write to."));
    }
    assert_eq!(server.count_traded(), before + 2, "the source, and the destination");
    // nobody trades for what is another owner's, or is not there
    for place in ["/mallory/m", "/nobody/x"] {
        assert_eq!(change(&mut bob, &world, "MOVE", "/alice/a", &to(place)).await.status, 403, "{place}");
    }
    assert_eq!(server.count_traded(), before + 2);
    // a program that brings its token hears of no ticket
    let token = server.granted.lock().unwrap().keys().next().unwrap().clone();
    let request = Request::builder().method("COPY").uri("/alice/a").header("destination", &to_b);
    let request = request.header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
    let tickets = server.tickets.load(Ordering::SeqCst);
    assert!(matches!(Browser::at("192.0.2.8").send(&world, request).await.status, 401 | 403));
    assert!(server.tickets.load(Ordering::SeqCst) <= tickets + 1);
}

/// A body that says whether anybody read it.
fn watched(is_read: &Arc<AtomicBool>) -> Body {
    let is_read = is_read.clone();
    Body::from_stream(futures_util::stream::once(async move {
        is_read.store(true, Ordering::SeqCst);
        Ok::<_, std::convert::Infallible>("some text")
    }))
}

#[tokio::test]
async fn threat_46_what_was_not_shared_so_is_traded_for_once_a_minute_and_its_body_is_not_read() {
    let (world, server, mut bob) = world(true, &[]).await;
    let before = server.count_traded();
    let is_read = Arc::new(AtomicBool::new(false));
    for to in ["/alice/a", "/alice/a", "/alice/a?again", "/alice/%61"] {
        let request = Request::put(to).header("sec-fetch-site", "same-origin").header("expect", "100-continue");
        let seen = bob.send(&world, request.body(watched(&is_read)).unwrap()).await;
        assert_eq!((seen.status, seen.text.trim()), (403, "You may look at this, but not do that with it."), "{to}");
    }
    assert_eq!((server.count_traded(), is_read.load(Ordering::SeqCst)), (before + 1, false));
    assert_eq!(change(&mut bob, &world, "POST", "/alice/a", &FORM).await.status, 403);
    assert_eq!(server.count_traded(), before + 1, "by a form neither");
    // something else is something else
    server.may_edit.lock().unwrap().push("/alice/b".into());
    let request = Request::put("/alice/b").header("sec-fetch-site", "same-origin");
    assert_eq!(bob.send(&world, request.body(watched(&is_read)).unwrap()).await.text, "saved 9");
    assert!(is_read.load(Ordering::SeqCst));
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
}

#[tokio::test]
async fn threat_42_pages_of_other_places_make_no_trade() {
    let (world, server, mut bob) = world(true, &["/alice/a"]).await;
    let count = || (server.count_traded(), server.tickets.load(Ordering::SeqCst));
    let before = count();
    let (navigate, html) = (("sec-fetch-mode", "navigate"), ("accept", "text/html"));
    let table: [&[(&str, &str)]; 9] = [
        &[],
        &[("sec-fetch-site", "cross-site"), navigate, html],
        &[("sec-fetch-site", "same-site"), navigate, html],
        &[("sec-fetch-site", "same-site"), ("origin", RESOURCE)],
        &[("sec-fetch-site", "none"), navigate, html],
        &[("sec-fetch-site", "same-origin"), ("sec-fetch-site", "cross-site")],
        &[("origin", "https://evil.photos.example"), html],
        &[("origin", "null"), html],
        &[("origin", RESOURCE), ("origin", RESOURCE)],
    ];
    for fields in table {
        for method in ["PUT", "POST", "DELETE"] {
            let seen = change(&mut bob, &world, method, "/alice/a", fields).await;
            assert_eq!(seen.status, 403, "{method} {fields:?}");
            let fields: Vec<_> = fields.iter().copied().filter(|(name, _)| *name != "sec-fetch-mode").collect();
            assert_eq!(ask_by_proxy(&mut bob, &world, method, &fields).await, 403, "{method} {fields:?}");
        }
    }
    assert_eq!(count(), before);
}

/// What a proxy hears that asks about a call to Alice's `a`.
async fn ask_by_proxy(bob: &mut Browser, world: &World, method: &str, fields: &[(&str, &str)]) -> u16 {
    let mut request = Request::get("/.wayleave/auth?redirect=no")
        .header("x-original-method", method)
        .header("x-original-url", format!("{RESOURCE}/alice/a"));
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    let mut request = request.body(Body::empty()).unwrap();
    request.extensions_mut().insert(FromTrustedProxy);
    bob.send(world, request).await.status
}

#[tokio::test]
async fn what_a_proxy_asks_about_is_traded_for_as_well() {
    let (world, server, mut bob) = world(true, &[]).await;
    let before = server.count_traded();
    for _ in 0..2 {
        assert_eq!(ask_by_proxy(&mut bob, &world, "POST", &FETCH).await, 403);
        assert_eq!(ask_by_proxy(&mut bob, &world, "POST", &FORM).await, 403);
    }
    assert_eq!(server.count_traded(), before + 1);
    assert_eq!(ask_by_proxy(&mut bob, &world, "GET", &FETCH).await, 200);
    let (world, server, mut bob) = self::world(true, &["/alice/a"]).await;
    let before = server.count_traded();
    for method in ["POST", "PUT", "POST"] {
        assert_eq!(ask_by_proxy(&mut bob, &world, method, &FETCH).await, 200, "{method}");
    }
    assert_eq!(server.count_traded(), before + 1);
}

#[tokio::test]
async fn a_form_that_was_not_shared_so_says_it_and_its_owner_is_asked_by_a_press() {
    let (world, server, mut bob) = world(true, &[]).await;
    let referrer = format!("{RESOURCE}/alice/a?page=2");
    let seen = change(&mut bob, &world, "POST", "/alice/a", &[&FORM[..], &[("referer", &referrer)]].concat()).await;
    assert!(seen.status == 403 && seen.text.contains("was not saved") && seen.text.contains("Ask for access"), "{}", seen.text);
    assert!(seen.text.contains(&format!("href=\"{referrer}\"")), "the way back: {}", seen.text);
    assert!(seen.policies.len() == 1 && seen.policies[0].contains("frame-ancestors 'none'"), "{:?}", seen.policies);
    // one of another place leads nowhere
    let referrer = "https://photos.example.evil.example/alice/a";
    let elsewhere = change(&mut bob, &world, "POST", "/alice/a", &[&FORM[..], &[("referer", referrer)]].concat()).await;
    assert!(!elsewhere.text.contains("evil") && elsewhere.text.contains(&format!("href=\"{RESOURCE}/alice/a\"")));
    let waiting = press(&mut bob, &world, &seen, &[("message", "It is Bob")]).await;
    let place = waiting.to.clone().unwrap().strip_prefix(RESOURCE).unwrap().to_owned();
    assert!(place.starts_with("/.wayleave/visit?"), "{place}");
    let waiting = bob.open(&world, &place).await;
    assert!(waiting.status == 202 && waiting.text.contains("Waiting for an answer"), "{}", waiting.text);
    // meanwhile he sees what he saw
    assert_eq!(bob.open(&world, "/alice/a").await.text, "a picture");
    server.may_edit.lock().unwrap().push("/alice/a".into());
    let begun = Instant::now();
    while bob.open(&world, &place).await.to != Some(format!("{RESOURCE}/alice/a")) {
        assert!(begun.elapsed().as_secs() < 60);
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(change(&mut bob, &world, "POST", "/alice/a", &FORM).await.text, "saved 9");
}

/// Whoever is not known again is led to where she shows who she is, for what she wants to do.
#[tokio::test]
async fn whoever_is_not_known_any_more_shows_again_who_she_is() {
    for is_known_again in [false, true] {
        let (world, server, mut bob) = world(is_known_again, &["/alice/a"]).await;
        server.proofs_ended.store(true, Ordering::SeqCst);
        let seen = change(&mut bob, &world, "PUT", "/alice/a", &FETCH).await;
        assert!(seen.status == 403 && seen.text.contains("who you are"), "{}", seen.text);
        let before = server.count_traded();
        let seen = change(&mut bob, &world, "POST", "/alice/a", &FORM).await;
        assert!(seen.status == 403 && seen.text.contains("could not be kept"), "{}", seen.text);
        assert_eq!(server.count_traded(), before);
        let left = press(&mut bob, &world, &seen, &[("show", "again")]).await;
        assert!(left.to.as_ref().is_some_and(|to| to.starts_with(&server.at("/claims"))), "{:?}", left.to);
        let ticket = server.shows(&left.sent("ticket"), "bob");
        server.proofs_ended.store(false, Ordering::SeqCst);
        let (state, own) = (left.sent("state"), server.at(""));
        let back = bob.back(&world, &left.way_back(), &[("state", &state), ("ticket", &ticket), ("iss", &own)]).await;
        let place = back.to.unwrap().strip_prefix(RESOURCE).unwrap().to_owned();
        assert_eq!(bob.open(&world, &place).await.to, Some(format!("{RESOURCE}/alice/a")));
        assert_eq!(change(&mut bob, &world, "POST", "/alice/a", &FORM).await.text, "saved 9");
    }
}

#[tokio::test]
async fn many_changes_at_once_are_one_trade() {
    let (world, server, bob) = world(true, &["/alice/a"]).await;
    let before = server.count_traded();
    let (one, all) = (&bob, &world);
    let calls = (0..20).map(|_| async move { change(&mut one.clone(), all, "PUT", "/alice/a", &FETCH).await });
    for seen in futures_util::future::join_all(calls).await {
        assert_eq!((seen.status, seen.text.as_str()), (200, "saved 9"));
    }
    assert_eq!(server.count_traded(), before + 1);
}

#[tokio::test]
async fn a_web_socket_of_another_thing_is_traded_for() {
    let (world, server, mut bob) = world(true, &[]).await;
    let before = server.count_traded();
    let socket = [
        ("connection", "upgrade"),
        ("upgrade", "websocket"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ];
    for origin in ["https://evil.photos.example", "null"] {
        let seen = change_socket(&mut bob, &world, &[&socket[..], &[("origin", origin)]].concat()).await;
        assert_eq!(seen.status, 403, "{origin}");
    }
    assert_eq!(server.count_traded(), before);
    let seen = change_socket(&mut bob, &world, &[&socket[..], &[("origin", RESOURCE)]].concat()).await;
    assert_eq!((seen.status, server.count_traded()), (200, before + 1), "the service speaks none: {}", seen.text);
}

async fn change_socket(bob: &mut Browser, world: &World, fields: &[(&str, &str)]) -> Seen {
    let mut request = Request::get("/alice/b");
    for (name, value) in fields {
        request = request.header(*name, *value);
    }
    bob.send(world, request.body(Body::empty()).unwrap()).await
}

/// Who tries it with many things is soon not heard: each refusal is remembered, and so many are.
#[tokio::test]
async fn threat_46_refusals_of_a_session_are_bounded() {
    let (world, server, mut bob) = world(true, &[]).await;
    let things: Vec<String> = (0..40).map(|n| format!("t{n}")).collect();
    let names: Vec<&str> = things.iter().map(String::as_str).collect();
    world.link("alice", &server, &names).await;
    let before = server.count_traded();
    for thing in &things {
        assert_eq!(change(&mut bob, &world, "PUT", &format!("/alice/{thing}"), &FETCH).await.status, 403);
    }
    assert_eq!(server.count_traded(), before + 30);
}
