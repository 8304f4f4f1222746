//! People with browsers at the gateway (design/browser.md, points 1 to 5): Bob proves his address and sees what is shared
//! with him, asks for more and gets it, and loses what is withdrawn; Alice gets in as the owner; others get nowhere by him.

use crate::desk::Desk;
use crate::gateway::{Guarded, raw, share, viewer, withdraw};
use crate::processes::{LONGEST, Server, until_out};
use crate::relations::open_outbound;
use outbound::{Method, Response};
use serde_json::{Value, json};
use std::time::{Duration, Instant};
use wayleave::demo::browser::{Browser, Shown};

/// A server that knows the gateway's browser client, and the gateway before two albums of Alice.
pub(crate) struct Visited {
    pub(crate) server: Server,
    pub(crate) guarded: Guarded,
}

impl Visited {
    pub(crate) fn start() -> Self {
        Self::start_before("")
    }

    /// Before a service, or where none is named a folder.
    fn start_before(backend: &str) -> Self {
        let server = Server::start_changed(|people| {
            let resource = people.split("resource = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            people
                + &format!(
                    "[[client]]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\nname = \"Photos\"\n\
                     grant_types = [\"urn:ietf:params:oauth:grant-type:uma-ticket\", \"refresh_token\"]\n\
                     claims_redirect_uris = [\"{resource}/.wayleave/visit\"]\n"
                )
        });
        let browser = "[gateway.browser]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\n";
        Self::before(server, backend, browser)
    }

    fn before(server: Server, backend: &str, browser: &str) -> Self {
        let guarded = Guarded::start_changed(&server, backend, |text| format!("{text}{browser}"));
        for album in ["garden", "attic"] {
            let place = guarded.folder.0.join("files/albums").join(album);
            std::fs::create_dir_all(&place).unwrap();
            std::fs::write(place.join("1.jpg"), format!("a picture of the {album}")).unwrap();
        }
        Self { server, guarded }
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}{path}", self.guarded.url)
    }

    /// Alice shares her holiday with Bob.
    async fn share(&self) {
        assert_eq!(raw(Method::GET, &self.guarded.photo(), &[]).await.status, 401);
        share(&self.server, &viewer()).await;
    }

    /// The code of the newest mail.
    fn code(&self) -> String {
        let folder = self.server.folder.0.join("wayleave-data/outbox");
        let mut mails: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
        mails.sort();
        let text = std::fs::read_to_string(mails.last().unwrap()).unwrap();
        text.split(|c: char| !c.is_ascii_digit()).find(|word| word.len() == 8).unwrap().to_owned()
    }

    /// Bob proves his address on the page that he was led to; what he sees then.
    pub(crate) async fn prove(&self, bob: &mut Browser, page: &Shown, address: &str) -> Shown {
        assert!(page.status == 200 && page.html.contains("Show who you are"), "{} {}: {}", page.status, page.url, page.html);
        let page = bob.submit(page, "/claims/continue", &[("email", address)]).await.unwrap();
        let page = bob.submit(&page, "/claims/continue", &[("code", &self.code())]).await.unwrap();
        bob.submit(&page, "/claims/continue", &[("decision", "approve"), ("keep", "yes")]).await.unwrap()
    }

    /// Bob's browser, which has opened what is shared with him.
    async fn bob(&self) -> Browser {
        let mut bob = Browser::new(open_outbound());
        let page = bob.open(&self.guarded.photo()).await.unwrap();
        assert!(page.url.as_str().starts_with(&self.server.issuer), "{}", page.url);
        let page = self.prove(&mut bob, &page, "bob@bar.example").await;
        assert_eq!((page.status, page.html.len()), (200, 300_000), "{}: {}", page.url, page.html);
        assert_eq!(page.url.as_str(), self.guarded.photo());
        bob
    }

    pub(crate) async fn call(&self, bob: &Browser, method: Method, path: &str, more: &[(&'static str, &str)]) -> Response {
        let cookies = bob.cookies_for("/");
        raw(method, &self.url(path), &[&[("cookie", cookies.as_str())], more].concat()).await
    }
}

/// The page without what is only of this visit.
fn plain(page: &Shown, path: &str) -> String {
    let token = page.html.split("name=\"csrf\" value=\"").nth(1).unwrap_or_default().split('"').next().unwrap();
    page.html.replace(path, "PATH").replace(if token.is_empty() { "\0" } else { token }, "TOKEN")
}

#[tokio::test]
async fn a_person_opens_a_link_in_a_browser() {
    let world = Visited::start();
    world.share().await;
    let photo = "/albums/holiday/1.jpg";
    // programs see what they always saw
    let html = ("accept", "text/html");
    for (method, fields) in [
        (Method::GET, &[("accept", "*/*")][..]),
        (Method::GET, &[html, ("sec-fetch-mode", "cors")]),
        (Method::GET, &[html, ("sec-fetch-mode", "no-cors")]),
        (Method::HEAD, &[html, ("sec-fetch-mode", "navigate")]),
        (Method::GET, &[html, ("authorization", "Bearer wl_rpt_guessed")]),
    ] {
        let answer = raw(method.clone(), &world.url(photo), fields).await;
        assert_eq!(answer.status, 401, "{method} {fields:?}");
        assert!(answer.header("www-authenticate").unwrap().starts_with("UMA ") && answer.header("set-cookie").is_none());
    }
    // before anybody is known, all that is guarded leads to the same place
    for path in [photo, "/albums/garden/1.jpg", "/albums/holiday/none.jpg", "/albums/none/1.jpg"] {
        let page = Browser::new(open_outbound()).open(&world.url(path)).await.unwrap();
        assert!(
            page.url.as_str().starts_with(&world.server.issuer) && page.html.contains("Show who you are"),
            "{path}: {}",
            page.url
        );
    }
    let mut bob = world.bob().await;
    let cookies = bob.cookies_for("/");
    assert!(cookies.contains("wl_session_") && !cookies.contains("wl_visit_") && !cookies.contains("rpt"), "{cookies}");
    let seen = world.call(&bob, Method::GET, photo, &[("sec-fetch-mode", "no-cors")]).await;
    assert_eq!((seen.status.as_u16(), seen.header("cache-control")), (200, Some("private, no-cache")));
    // absent, hidden and withdrawn are one page
    let mut pages = Vec::new();
    for path in ["/albums/garden/1.jpg", "/albums/none/1.jpg", "/albums/holiday/none.jpg"] {
        let page = bob.open(&world.url(path)).await.unwrap();
        assert_eq!((page.status, page.url.as_str()), (404, world.url(path).as_str()), "{}", page.html);
        pages.push(plain(&page, path));
    }
    withdraw(&world.server).await;
    until_out(async || bob.open(&world.guarded.photo()).await.unwrap().status != 200).await;
    let page = bob.open(&world.guarded.photo()).await.unwrap();
    pages.push(plain(&page, photo));
    assert!(pages.iter().all(|page| *page == pages[0]) && pages[0].contains("Ask for access"), "{pages:#?}");
    // nothing was asked of anybody by all that
    assert_eq!(requests(&world.server).await, Vec::<Value>::new());
    let page = bob.submit(&page, "/.wayleave/logout", &[]).await.unwrap();
    assert!(
        page.status == 200 && page.html.contains("Logged out") && !bob.cookies_for("/").contains("wl_session_"),
        "{}",
        page.html
    );
}

async fn requests(server: &Server) -> Vec<Value> {
    let desk = Desk::open(server).await;
    let place = desk.metadata.access_requests_endpoint.clone().unwrap();
    let (_, all) = desk.api(Method::GET, &place, &desk.pmt, Value::Null).await.unwrap();
    all.as_array().unwrap().clone()
}

#[tokio::test]
async fn a_press_asks_the_owner_and_the_page_goes_on_when_she_has_answered() {
    let world = Visited::start();
    world.share().await;
    let mut bob = world.bob().await;
    for (path, is_there) in [("/albums/garden/1.jpg", true), ("/albums/none/1.jpg", false)] {
        let page = bob.open(&world.url(path)).await.unwrap();
        let long = "a".repeat(281);
        let refused = bob.submit(&page, "/.wayleave/visit", &[("message", &long)]).await.unwrap();
        assert!(refused.status == 400 && refused.html.contains("too long") && refused.html.contains(&long), "{}", refused.html);
        let page = bob.submit(&page, "/.wayleave/visit", &[("message", "It is Bob, from the choir")]).await.unwrap();
        assert_eq!((page.status, page.url.as_str()), (202, world.url(path).as_str()), "{}", page.html);
        assert!(page.html.contains("Waiting for an answer"), "{}", page.html);
        assert_eq!(requests(&world.server).await.len(), 1, "{path}: is there {is_there}");
    }
    let asked = requests(&world.server).await;
    assert_eq!(asked[0]["message"], "It is Bob, from the choir", "{asked:?}");
    let desk = Desk::open(&world.server).await;
    let place = format!("{}/{}", desk.metadata.access_requests_endpoint.clone().unwrap(), asked[0]["_id"].as_str().unwrap());
    let approved = desk.api(Method::POST, &place, &desk.pmt, json!({"decision": "approve"})).await.unwrap();
    assert_eq!(approved.0, 200, "{}", approved.1);
    let begun = Instant::now();
    loop {
        let page = bob.open(&world.url("/albums/garden/1.jpg")).await.unwrap();
        if page.status == 200 {
            assert_eq!(page.html, "a picture of the garden");
            break;
        }
        assert!(page.status == 202 && begun.elapsed() < LONGEST, "{}: {}", page.status, page.html);
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

#[tokio::test]
async fn an_owner_gets_in_as_the_owner() {
    let world = Visited::start();
    assert_eq!(raw(Method::GET, &world.guarded.photo(), &[]).await.status, 401, "it is registered");
    let mut alice = Browser::new(open_outbound());
    let page = alice.open(&world.guarded.photo()).await.unwrap();
    let claims = page.url.clone();
    let login = format!("{}/login?return={}", world.server.issuer, urlencoded(&claims.as_str()[world.server.issuer.len()..]));
    let page = alice.open(&login).await.unwrap();
    alice.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await.unwrap();
    let page = alice.open(claims.as_str()).await.unwrap();
    let page = alice.submit(&page, "/claims/continue", &[("decision", "approve"), ("keep", "yes")]).await.unwrap();
    assert_eq!((page.status, page.html.len()), (200, 300_000), "{}: {}", page.url, page.html);
}

fn urlencoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// What somebody else begins, forges or takes over opens nothing.
#[tokio::test]
async fn threat_42_nobody_else_gets_in_by_a_persons_browser() {
    let world = Visited::start();
    world.share().await;
    // Mallory forwards the page to which he was led: Bob, who proves his address there, comes back to no visit of his
    let mut mallory = Browser::new(open_outbound());
    mallory.stop_at = Some(format!("{}/claims?", world.server.issuer));
    let sent = mallory.open(&world.guarded.photo()).await.unwrap();
    let mut bob = Browser::new(open_outbound());
    let page = bob.open(sent.url.as_str()).await.unwrap();
    bob.stop_at = Some(world.url("/.wayleave/visit"));
    let back = world.prove(&mut bob, &page, "bob@bar.example").await;
    bob.stop_at = None;
    let page = bob.open(back.url.as_str()).await.unwrap();
    assert!(page.status == 400 && page.html.contains("another browser"), "{}: {}", page.status, page.html);
    assert!(!bob.cookies_for("/").contains("wl_session_"));
    // nor does Mallory with a ticket of his own making, twice or with another state
    for query in ["state=x&ticket=y", "ticket=y", "state=&ticket=", "state=x&state=y&error=access_denied"] {
        let page = mallory.open(&world.url(&format!("/.wayleave/visit?{query}"))).await.unwrap();
        assert_eq!(page.status, 400, "{query}");
    }
    for to in ["//evil.example", "https://evil.example/", "/.wayleave/link", "a", ""] {
        let page = mallory.open(&world.url(&format!("/.wayleave/visit?to={}", urlencoded(to)))).await.unwrap();
        assert_eq!(page.status, 400, "{to}");
    }
    let bob = world.bob().await;
    let photo = "/albums/holiday/1.jpg";
    let own = world.guarded.url.clone();
    for (method, fields, expected) in [
        (Method::DELETE, &[][..], 403),
        (Method::DELETE, &[("origin", "http://evil.example")], 403),
        (Method::DELETE, &[("sec-fetch-site", "same-site"), ("origin", own.as_str())], 403),
        (Method::DELETE, &[("sec-fetch-site", "same-origin")], 403),
        (Method::GET, &[("upgrade", "websocket"), ("connection", "upgrade")], 403),
        // what pages of other places have read is no program's with a session; a link is hers
        (Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "cors")], 401),
        (Method::GET, &[("sec-fetch-site", "same-site"), ("sec-fetch-mode", "no-cors")], 401),
        (Method::GET, &[("origin", "http://127.0.0.1:9")], 401),
        (Method::GET, &[("sec-fetch-site", "cross-site"), ("sec-fetch-mode", "navigate"), ("accept", "text/html")], 200),
        (Method::GET, &[("sec-fetch-site", "same-origin"), ("sec-fetch-mode", "no-cors")], 200),
    ] {
        let answer = world.call(&bob, method.clone(), photo, fields).await;
        assert_eq!(answer.status.as_u16(), expected, "{method} {fields:?}");
    }
    assert!(world.guarded.folder.0.join("files/albums/holiday/1.jpg").exists());
    // a form of another place asks and logs out nobody
    for (path, fields) in [
        ("/.wayleave/visit", &[("origin", "http://evil.example")][..]),
        ("/.wayleave/visit", &[("origin", own.as_str())]),
        ("/.wayleave/logout", &[("sec-fetch-site", "cross-site")]),
        ("/.wayleave/logout", &[]),
    ] {
        let answer = world.call(&bob, Method::POST, path, fields).await;
        assert_eq!(answer.status.as_u16(), 403, "{path} {fields:?}");
    }
    assert_eq!(world.call(&bob, Method::GET, photo, &[]).await.status, 200);
    // a copy of the store opens nothing: neither its cookie nor a token is in it
    let cookie = bob.cookies_for("/");
    let value = cookie.split("wl_session_").nth(1).unwrap().split('=').nth(1).unwrap().split(';').next().unwrap();
    let store = std::fs::read(world.guarded.folder.0.join("gateway.db")).unwrap();
    let log = std::fs::read(crate::processes::log_of(&world.guarded.folder.0)).unwrap();
    for bytes in [&store, &log] {
        for secret in [value, "wl_rpt_", "wl_pct_", "browsers-secret"] {
            assert!(!bytes.windows(secret.len()).any(|window| window == secret.as_bytes()), "{secret}");
        }
    }
}

/// Two links in two tabs are two visits, each good once; a session outlives a restart of the gateway.
#[tokio::test]
async fn two_tabs_come_back_each_to_its_own_and_a_restart_ends_nothing() {
    let mut world = Visited::start();
    world.share().await;
    let mut bob = Browser::new(open_outbound());
    let hidden = world.url("/albums/garden/1.jpg");
    let first = bob.open(&world.guarded.photo()).await.unwrap();
    let second = bob.open(&hidden).await.unwrap();
    assert_eq!(bob.cookies_for("/").matches("wl_visit_").count(), 2);
    let page = world.prove(&mut bob, &first, "bob@bar.example").await;
    assert_eq!((page.status, page.url.as_str()), (200, world.guarded.photo().as_str()), "{}", page.html);
    bob.stop_at = Some(world.url("/.wayleave/visit?"));
    let back = world.prove(&mut bob, &second, "bob@bar.example").await;
    bob.stop_at = None;
    let page = bob.open(back.url.as_str()).await.unwrap();
    assert_eq!((page.status, page.url.as_str()), (404, hidden.as_str()), "{}", page.html);
    let again = bob.open(back.url.as_str()).await.unwrap();
    assert!(again.status == 400 && again.html.contains("was used before"), "{}", again.html);
    world.guarded.kill();
    world.guarded.run_again();
    assert_eq!(world.call(&bob, Method::GET, "/albums/holiday/1.jpg", &[]).await.status, 200);
    // many tabs leave a few cookies
    let mut many = Browser::new(open_outbound());
    for _ in 0..6 {
        many.open(&world.guarded.photo()).await.unwrap();
    }
    assert_eq!(many.cookies_for("/").matches("wl_visit_").count(), 4);
}

/// A server that registers clients needs no declaration.
#[tokio::test]
async fn a_gateway_registers_its_browser_client_by_itself() {
    let world = Visited::before(Server::start(""), "", "");
    world.share().await;
    world.bob().await;
}

/// Before a service: it sees neither the gateway's cookies nor a token, sets none of them, and what it says of caches and
/// owners stays what it is; a call without a person passes as ever.
#[tokio::test]
async fn a_person_reaches_a_service_behind_the_gateway() {
    let echo = axum::Router::new().fallback(async |request: axum::extract::Request| {
        let lines = request.headers().iter().map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or_default()));
        let fields: String = lines.collect();
        ([("set-cookie", "wl_session_0=evil; Path=/"), ("cache-control", "no-store")], fields)
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let backend = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, echo).await.unwrap() });
    let world = Visited::start_before(&backend);
    world.share().await;
    let mut bob = Browser::new(open_outbound());
    let page = bob.open(&world.guarded.photo()).await.unwrap();
    let page = world.prove(&mut bob, &page, "bob@bar.example").await;
    assert!(page.status == 200 && page.html.contains("accept: text/html"), "{}: {}", page.url, page.html);
    let seen = world.call(&bob, Method::GET, "/albums/holiday/1.jpg", &[]).await;
    let text = String::from_utf8_lossy(&seen.body).into_owned();
    assert!(!text.contains("cookie") && !text.contains("authorization") && !text.contains("wl_"), "{text}");
    assert_eq!((seen.header("cache-control"), seen.header("set-cookie")), (Some("private, no-store"), None));
}

/// The same in Chromium, with its own cookies, policies and Fetch Metadata, under axe.
#[tokio::test]
async fn a_real_browser_opens_a_link() {
    let world = Visited::start();
    for (album, picture) in
        [("holiday", &include_bytes!("../../pictures/cliffs.jpg")[..]), ("garden", include_bytes!("../../pictures/gate.jpg"))]
    {
        std::fs::write(world.guarded.folder.0.join(format!("files/albums/{album}/1.jpg")), picture).unwrap();
    }
    world.share().await;
    let outbox = world.server.folder.0.join("wayleave-data/outbox");
    std::fs::create_dir_all(&outbox).unwrap();
    let told = json!({"issuer": world.server.issuer, "photo": world.guarded.photo(), "hidden": world.url("/albums/garden/1.jpg"),
        "outbox": outbox, "pictures": std::env::var("WAYLEAVE_PICTURES").ok()});
    tokio::task::spawn_blocking(move || crate::others::run("node", "visits.mjs", &told)).await.unwrap();
}
