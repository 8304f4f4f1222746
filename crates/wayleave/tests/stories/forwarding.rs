//! Forward-auth as the book has it (`docs/forward-auth.md`): a proxy serves an application and asks the gateway about each call.

use crate::gateway::{admitted, challenge_of, raw, share, share_to, viewer, withdraw};
use crate::processes::until_out;
use crate::proxies::{Proxied, Proxy};
use crate::relations::open_outbound;
use crate::visiting::Visited;
use client::Rpt;
use outbound::Method;
use serde_json::json;
use wayleave::demo::browser::Browser;

type Field<'a> = (&'a str, &'a str);

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const WEB_SOCKET: [Field; 4] =
    [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")];
const H2C: [Field; 3] = [("Upgrade", "h2c"), ("Connection", "upgrade, http2-settings"), ("HTTP2-Settings", "")];

/// What a proxy that is set up by the book does, whichever it is; and what it makes itself of calls that could be read in two
/// ways, each with Bob's token: method and path, a field more, the status.
async fn is_asked_as_the_book_says(proxy: Proxy, own: &[(&str, &str, &[Field<'_>], &str)]) -> (Proxied, Rpt) {
    let proxied = Proxied::start(proxy).await;
    let Visited { server, guarded } = &proxied.visited;
    let photo = guarded.photo();
    challenge_of(&raw(Method::GET, &photo, &[]).await);
    let rpt = admitted(server, guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let bob = ("Authorization", bearer.as_str());
    assert_eq!(raw(Method::GET, &photo, &[("authorization", &bearer)]).await.status, 200);
    hears_the_gateways_word_alone(&proxied, bob, &rpt).await;
    let auth =
        [bob, ("X-Original-URL", "/"), ("X-Original-Method", "GET"), ("X-Forwarded-Uri", "/"), ("X-Forwarded-Method", "GET")];
    for (method, path, fields, expected) in [
        ("POST", "/seen", &[bob, ("Content-Length", "0")][..], "401"),
        ("GET", "/.wayleave/auth", &auth, "404"),
        ("GET", "/seen", &[bob, ("Remote-User", "mallory")], "403"),
        ("GET", "/seen", &[bob, ("X-HTTP-Method-Override", "DELETE")], "403"),
        ("GET", "/seen", &[("Authorization", "Bearer wl_rpt_guessed")], "401"),
        ("GET", "/seen", &[bob, ("Authorization", "Bearer wl_rpt_guessed")], "400"),
        ("GET", "/live", &WEB_SOCKET, "401"),
        ("GET", "/live", &[&[bob][..], &WEB_SOCKET].concat(), "101"),
        ("GET", "/seen", &[&[bob][..], &WEB_SOCKET].concat(), "403"),
        ("GET", "/static/live", &[&[bob][..], &WEB_SOCKET].concat(), "403"),
    ] {
        assert_eq!(proxied.status(method, path, fields).await, expected, "{method} {path} {fields:?}");
    }
    for (method, path, more, expected) in own {
        assert_eq!(&proxied.status(method, path, &[&[bob], *more].concat()).await, expected, "{method} {path} {more:?}");
    }
    let led = proxied.say("GET", "/seen?a=b", &[("Accept", "text/html")]).await;
    assert!(led.starts_with("HTTP/1.1 302 ") && led.contains("/.wayleave/visit?to=%2Fseen%3Fa%3Db"), "{led}");
    // no other protocol begins, whatever is asked for beside a web socket
    for (path, fields) in [("/seen", &H2C[..]), ("/live", &[&[("Upgrade", "h2c")][..], &WEB_SOCKET, &H2C[2..]].concat())] {
        let answer = proxied.say("GET", path, &[&[bob, ("Accept", "*/*")][..], fields].concat()).await.to_lowercase();
        assert!(!answer.contains(" 101 ") && !answer.contains("h2c") && !answer.contains("upgrade:"), "{path}: {answer}");
    }
    (proxied, rpt)
}

/// What the application hears is the gateway's word and nobody else's, and nothing of what opens the rest.
async fn hears_the_gateways_word_alone(proxied: &Proxied, bob: Field<'_>, rpt: &Rpt) {
    let planted = [
        bob,
        ("X-Wayleave-Subject", "mallory"),
        ("X-Wayleave-Email", "mallory@evil.example"),
        ("X-Original-URL", "/static/mallory"),
        ("X-Original-Method", "mallory"),
        ("X-Forwarded-Uri", "/static/mallory"),
        ("X-Forwarded-Method", "mallory"),
        ("X-Forwarded-Host", "mallory"),
        ("X-Forwarded-For", "198.51.100.66"),
        ("Cookie", "theme=dark; wl_session_0a1b2c3d=secret"),
        ("Accept", "*/*"),
    ];
    // where nothing of the cookies is the service's
    for path in ["/seen", "/static/seen"] {
        let seen = proxied.say("GET", path, &[bob, ("Cookie", "wl_session_0a1b2c3d=secret"), ("Accept", "*/*")]).await;
        assert!(seen.contains(&format!("GET {path} HTTP/1.1")) && !seen.contains("wl_session"), "{seen}");
    }
    for (path, names) in [("/seen?a=%2F", true), ("/static/seen", false)] {
        let answer = proxied.say("GET", path, &planted).await;
        let (_, seen) = answer.split_once("\r\n\r\n").unwrap();
        let field =
            |name: &str| seen.lines().filter_map(|line| line.split_once(": ")).find(|(own, _)| own.eq_ignore_ascii_case(name));
        assert!(seen.starts_with(&format!("GET {path} HTTP/1.1")), "{answer}");
        assert_eq!(field("x-wayleave-subject").is_some(), names, "{answer}");
        assert_eq!(field("x-wayleave-identity").is_some_and(|(_, said)| said.starts_with("ey")), names, "{answer}");
        assert_eq!(field("cookie").map(|(_, value)| value), Some("theme=dark"), "{answer}");
        assert!(field("x-forwarded-for").is_some(), "{answer}");
        for secret in ["mallory", "wl_session", "198.51.100.66", "authorization", &rpt.token.to_lowercase()] {
            assert!(!seen.to_lowercase().contains(secret), "{secret}: {answer}");
        }
    }
}

/// And what is withdrawn is so for every further call.
async fn and_hears_of_a_withdrawal(proxied: &Proxied, rpt: &Rpt) {
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let bob = ("Authorization", bearer.as_str());
    withdraw(&proxied.visited.server).await;
    until_out(async || proxied.status("GET", "/seen", &[bob]).await == "401").await;
    assert_eq!(proxied.status("GET", "/live", &[&[bob][..], &WEB_SOCKET].concat()).await, "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_the_gateway_as_the_book_says() {
    let own = [
        ("GET", "/static/..%2fseen", &[][..], "403"),
        ("GET", "/static/../seen", &[], "403"),
        ("GET", "//seen", &[], "403"),
        ("GET", "/seen/../.wayleave/auth", &[], "404"),
        ("GET", "/.wayleave//auth", &[], "404"),
        ("GET", "/seen", &H2C, "403"),
    ];
    let (proxied, rpt) = is_asked_as_the_book_says(Proxy::Nginx, &own).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let bob = ("Authorization", bearer.as_str());
    let planted = [bob, ("X_Wayleave_Subject", "mallory"), ("X.Wayleave.Subject", "mallory"), ("Accept", "*/*")];
    let seen = proxied.say("GET", "/seen", &planted).await;
    assert!(seen.starts_with("HTTP/1.1 200 ") && !seen.contains("mallory"), "nginx takes such fields off itself: {seen}");
    assert!(seen.contains("Cache-Control: private, no-cache") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    // what callers can make long fits
    let long = format!("theme={}", "x".repeat(6_000));
    assert_eq!(proxied.status("GET", "/seen", &[bob, ("Cookie", &long), ("Accept", "*/*")]).await, "200");
    let far = format!("/seen?{}", "%25".repeat(390));
    let led = proxied.say("GET", &far, &[("Accept", "text/html")]).await;
    assert!(led.starts_with("HTTP/1.1 302 ") && led.contains("/.wayleave/visit?to=%2Fseen%3F%2525"), "{led}");
    and_hears_of_a_withdrawal(&proxied, &rpt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_asks_the_gateway_as_the_book_says() {
    let own = [
        ("GET", "/static/..%2fseen", &[][..], "400"),
        ("GET", "/static/../seen", &[], "400"),
        ("GET", "//seen", &[], "400"),
        ("GET", "/seen/../.wayleave/auth", &[], "404"),
        ("GET", "/.wayleave//auth", &[], "404"),
        ("GET", "/seen", &[("X_Wayleave_Subject", "mallory")], "403"),
        ("GET", "/seen", &[("Connection", "close, X-Wayleave-Subject")], "400"),
        ("GET", "/seen", &H2C, "403"),
    ];
    let (proxied, rpt) = is_asked_as_the_book_says(Proxy::Caddy, &own).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let seen = proxied.say("GET", "/seen", &[("Authorization", &bearer), ("Accept", "*/*")]).await;
    assert!(seen.contains("Cache-Control: private, no-cache") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    and_hears_of_a_withdrawal(&proxied, &rpt).await;
}

/// Traefik brings a path into its one form before it asks, and calls the service by the same.
#[tokio::test(flavor = "multi_thread")]
async fn traefik_asks_the_gateway_as_the_book_says() {
    let own = [
        ("GET", "/static/..%2fseen", &[][..], "400"),
        ("GET", "/seen/../.wayleave/auth", &[], "404"),
        ("GET", "/.wayleave//auth", &[], "404"),
        ("GET", "/.wayleave/%61uth", &[], "404"),
        ("GET", "/seen", &[("X_Wayleave_Subject", "mallory")], "403"),
    ];
    let (proxied, rpt) = is_asked_as_the_book_says(Proxy::Traefik, &own).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    for path in ["/static/../seen", "//seen"] {
        assert_eq!(proxied.status("GET", path, &[]).await, "401", "{path}");
        let seen = proxied.say("GET", path, &[("Authorization", &bearer), ("Accept", "*/*")]).await;
        assert!(seen.contains("GET /seen HTTP/1.1") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
    }
    and_hears_of_a_withdrawal(&proxied, &rpt).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn envoy_asks_the_gateway_as_the_book_says() {
    let own = [
        ("GET", "/static/..%2fseen", &[][..], "400"),
        ("GET", "/static/../seen", &[], "400"),
        ("GET", "//seen", &[], "400"),
        ("GET", "/seen/../.wayleave/auth", &[], "400"),
        ("GET", "/.wayleave//auth", &[], "400"),
        ("GET", "/seen", &[("X_Wayleave_Subject", "mallory")], "400"),
    ];
    let (proxied, rpt) = is_asked_as_the_book_says(Proxy::Envoy, &own).await;
    and_hears_of_a_withdrawal(&proxied, &rpt).await;
}

/// What was shared so a session changes through nginx as well, from pages of this origin alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_changes_through_nginx_what_was_shared_so() {
    let proxied = Proxied::start(Proxy::Nginx).await;
    let Visited { server, guarded } = &proxied.visited;
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    share_to(server, &viewer(), &["view", "edit"]).await;
    let mut bob = Browser::new(open_outbound());
    let page = bob.open(&guarded.photo()).await.unwrap();
    proxied.visited.prove(&mut bob, &page, "bob@bar.example").await;
    let cookies = bob.cookies_for("/");
    let session = ("Cookie", cookies.as_str());
    for (site, expected) in [("cross-site", "403"), ("same-site", "403"), ("same-origin", "200"), ("cross-site", "403")] {
        let fields = [session, ("Content-Length", "0"), ("Sec-Fetch-Site", site), ("Accept", "*/*")];
        assert_eq!(proxied.status("POST", "/seen", &fields).await, expected, "{site}");
    }
    withdraw(server).await;
    let fields = [session, ("Content-Length", "0"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "*/*")];
    until_out(async || proxied.status("POST", "/seen", &fields).await == "403").await;
}

/// With a session alone, a change or a web socket passes from a page of this origin, by whomever the call is made; and what is
/// withdrawn is one page with what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn threat_42_a_session_is_judged_through_nginx_as_before_the_gateway() {
    let proxied = Proxied::start(Proxy::Nginx).await;
    let Visited { server, guarded } = &proxied.visited;
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    share(server, &viewer()).await;
    let mut bob = Browser::new(open_outbound());
    let page = bob.open(&guarded.photo()).await.unwrap();
    assert!(page.url.as_str().starts_with(&server.issuer), "{}", page.url);
    let page = proxied.visited.prove(&mut bob, &page, "bob@bar.example").await;
    assert_eq!((page.status, page.url.as_str()), (200, guarded.photo().as_str()), "{}", page.html);
    let (cookies, own) = (bob.cookies_for("/"), guarded.url.clone());
    assert!(cookies.contains("wl_session_") && !cookies.contains("wl_visit_"), "{cookies}");
    let session = ("Cookie", cookies.as_str());
    let socket =
        [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")];
    for (method, path, fields, expected) in [
        ("GET", "/seen", &[("Sec-Fetch-Site", "same-origin"), ("Accept", "*/*")][..], "200"),
        ("GET", "/seen", &[("Sec-Fetch-Site", "cross-site"), ("Accept", "*/*")], "401"),
        ("POST", "/seen", &[("Content-Length", "0")], "403"),
        ("POST", "/seen", &[("Content-Length", "0"), ("Origin", "http://evil.example")], "403"),
        ("POST", "/seen", &[("Content-Length", "0"), ("Sec-Fetch-Site", "same-origin")], "403"),
        ("GET", "/live", &socket, "403"),
        ("GET", "/live", &[&socket[..], &[("Origin", "http://evil.example")]].concat(), "403"),
        ("GET", "/live", &[&socket[..], &[("Origin", own.as_str()), ("Sec-Fetch-Site", "same-site")]].concat(), "403"),
        ("GET", "/live", &[&socket[..], &[("Origin", own.as_str())]].concat(), "101"),
        ("GET", "/seen", &[session], "401"),
    ] {
        assert_eq!(proxied.status(method, path, &[fields, &[session]].concat()).await, expected, "{method} {path} {fields:?}");
    }
    withdraw(server).await;
    until_out(async || proxied.status("GET", "/seen", &[session]).await == "401").await;
    let page = bob.open(&guarded.photo()).await.unwrap();
    assert!(page.status == 404 && page.url.path() == "/.wayleave/visit" && page.html.contains("Ask for access"), "{}", page.html);
    let page = bob.submit(&page, "/.wayleave/visit", &[("message", "It is Bob")]).await.unwrap();
    assert!(page.status == 202 && page.html.contains("Waiting for an answer"), "{}: {}", page.status, page.html);
}

/// Bob in Chromium: led to where he shows who he is, and back to the picture.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_is_led_through_nginx_and_back() {
    let proxied = Proxied::start(Proxy::Nginx).await;
    let Visited { server, guarded } = &proxied.visited;
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    share(server, &viewer()).await;
    let outbox = server.folder.0.join("wayleave-data/outbox");
    std::fs::create_dir_all(&outbox).unwrap();
    let told = json!({"photo": guarded.photo(), "seen": format!("{}/seen", guarded.url),
        "live": format!("{}/live", guarded.url.replace("http:", "ws:")), "issuer": server.issuer, "outbox": outbox});
    tokio::task::spawn_blocking(move || crate::others::run("node", "forwarding.mjs", &told)).await.unwrap();
}
