//! Forward-auth as the book has it (`docs/forward-auth.md`): Debian's nginx or Caddy serves an application and asks the gateway
//! about each call, by the very file that stands there; only addresses are others here.

use crate::gateway::{Guarded, admitted, challenge_of, raw, share, share_to, viewer, withdraw};
use crate::processes::{Folder, Server, free_port};
use crate::relations::open_outbound;
use crate::services::{Service, root};
use crate::visiting::Visited;
use jose::{base64url, digest};
use outbound::Method;
use serde_json::json;
use std::process::Command;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use wayleave::demo::browser::Browser;

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";

/// The first block of this language in the chapter.
fn in_book(language: &str) -> String {
    let book = std::fs::read_to_string(root().join("docs/forward-auth.md")).unwrap();
    let (_, block) = book.split_once(&format!("```{language}\n")).unwrap();
    block.split("\n```").next().unwrap().to_owned()
}

/// An application: a picture, web sockets that greet, and for everything else what reached it.
async fn application() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            tokio::spawn(answer(stream));
        }
    });
    port
}

async fn answer(mut stream: TcpStream) {
    let (mut read, mut byte) = (Vec::new(), [0]);
    while !read.ends_with(b"\r\n\r\n") {
        if stream.read(&mut byte).await.unwrap_or(0) == 0 {
            return;
        }
        read.push(byte[0]);
    }
    let head = String::from_utf8_lossy(&read).into_owned();
    let field = |name: &str| {
        let fields = head.lines().filter_map(|line| line.split_once(": "));
        fields.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value).next()
    };
    if let Some(key) = field("sec-websocket-key").filter(|_| field("upgrade").is_some()) {
        let accept = digest::sha1_of_handshake(&[key.trim().as_bytes(), b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"]);
        let accept = base64url::encode(accept).replace('-', "+").replace('_', "/");
        let head =
            format!("HTTP/1.1 101 x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: {accept}=\r\n\r\n");
        let _ = stream.write_all(&[head.as_bytes(), b"\x81\x05hello"].concat()).await;
        let _ = stream.read(&mut byte).await;
        return;
    }
    let (kind, body) = match head.starts_with("GET /albums/holiday/1.jpg ") {
        true => ("image/jpeg", include_bytes!("../../pictures/cliffs.jpg").to_vec()),
        false => ("text/plain", head.into_bytes()),
    };
    let head = format!("HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
    let _ = stream.write_all(&[head.into_bytes(), body].concat()).await;
}

/// Addresses of a story.
#[derive(Clone, Copy)]
struct Ports {
    public: u16,
    gateway: u16,
    app: u16,
}

impl Ports {
    /// A file of the book for these.
    fn put_into(self, text: &str) -> String {
        let text = text.replace("127.0.0.1:9000", &format!("127.0.0.1:{}", self.gateway));
        text.replace("127.0.0.1:9900", &format!("127.0.0.1:{}", self.app))
    }
}

async fn start_nginx(folder: &Folder, ports: Ports) -> Service {
    let certificate = "    ssl_certificate";
    let site = ports.put_into(&in_book("nginx"));
    let site: Vec<&str> = site.lines().filter(|line| !line.starts_with(certificate)).collect();
    let public = format!("127.0.0.1:{}", ports.public);
    let site = site.join("\n").replace("listen 443 ssl", &format!("listen {public}")).replace("photos.example", "127.0.0.1");
    let place = folder.0.display();
    let config = format!(
        "daemon off; user root; pid {place}/pid; error_log {place}/log;\nevents {{}}\nhttp {{ access_log off;\n\
         client_body_temp_path {place}/b; proxy_temp_path {place}/p; fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u;\n\
         scgi_temp_path {place}/s;\n{site}\n}}\n"
    );
    std::fs::write(folder.0.join("nginx.conf"), config).unwrap();
    let mut nginx = Command::new("nginx");
    nginx.args(["-p", &place.to_string(), "-c", "nginx.conf"]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    Service::start(nginx, ports.public).await
}

async fn start_caddy(folder: &Folder, ports: Ports) -> Service {
    let site = ports.put_into(&in_book("caddyfile")).replace("photos.example", &format!("http://127.0.0.1:{}", ports.public));
    let place = folder.0.display().to_string();
    std::fs::write(folder.0.join("Caddyfile"), format!("{{\n\tadmin off\n}}\n{site}\n")).unwrap();
    let mut caddy = Command::new("caddy");
    caddy.args(["run", "--adapter", "caddyfile", "--config", &format!("{place}/Caddyfile")]).env("HOME", &place);
    Service::start(caddy, ports.public).await
}

/// A proxy before that, and the gateway beside it.
struct Proxied {
    visited: Visited,
    _proxy: Service,
    _folder: Folder,
}

/// By which fields a proxy names the call.
const ORIGINAL: &str = "x-original";
const FORWARDED: &str = "x-forwarded";

impl Proxied {
    async fn start() -> Self {
        let (ports, server, guarded) = Self::begin(ORIGINAL).await;
        let folder = Folder::new();
        Self { visited: Visited { server, guarded }, _proxy: start_nginx(&folder, ports).await, _folder: folder }
    }

    async fn start_with_caddy() -> Self {
        let (ports, server, guarded) = Self::begin(FORWARDED).await;
        let folder = Folder::new();
        Self { visited: Visited { server, guarded }, _proxy: start_caddy(&folder, ports).await, _folder: folder }
    }

    async fn begin(family: &str) -> (Ports, Server, Guarded) {
        let server = Server::start_changed(|people| {
            let resource = people.split("resource = \"").nth(1).unwrap().split('"').next().unwrap().to_owned();
            people
                + &format!(
                    "[[client]]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\nname = \"Photos\"\n\
                     grant_types = [\"urn:ietf:params:oauth:grant-type:uma-ticket\", \"refresh_token\"]\n\
                     claims_redirect_uris = [\"{resource}/.wayleave/visit\"]\n"
                )
        });
        let ports = Ports { public: server.gateway_port, gateway: free_port(), app: application().await };
        let guarded = Guarded::start_changed(&server, "http://unused", |_| {
            let browser = "[gateway.browser]\nclient_id = \"photos-browsers\"\nclient_secret = \"browsers-secret\"\n";
            let secret = "client_secret = \"photos-secret\"\npat = \"client_credentials\"";
            let text = in_book("toml").replace("https://photos.example", &format!("http://127.0.0.1:{}", ports.public));
            let text = text.replace("headers = \"x-original\"", &format!("headers = \"{family}\""));
            ports
                .put_into(&text)
                .replace("https://as.example", &server.issuer)
                .replace("client_secret_file = \"photos.secret\"", secret)
                + "\n"
                + browser
        });
        (ports, server, guarded)
    }

    /// A call that is written by hand, and the beginning of its answer.
    async fn say(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        let host = self.visited.guarded.url.strip_prefix("http://").unwrap();
        let fields: String = fields.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
        let mut stream = TcpStream::connect(host).await.unwrap();
        let call = format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\n{fields}\r\n");
        stream.write_all(call.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        let read = async {
            let mut buffer = [0; 4096];
            while let Ok(length @ 1..) = stream.read(&mut buffer).await {
                answer.extend_from_slice(&buffer[..length]);
                let text = String::from_utf8_lossy(&answer);
                if text.contains("\r\n\r\n")
                    && (text.contains("hello")
                        || text.contains("Accept: */*\r\n\r\n")
                        || !(text.contains(" 200 ") || text.contains(" 101 ")))
                {
                    break;
                }
            }
        };
        let _ = tokio::time::timeout(Duration::from_secs(3), read).await;
        String::from_utf8_lossy(&answer).into_owned()
    }

    async fn status(&self, method: &str, path: &str, fields: &[(&str, &str)]) -> String {
        self.say(method, path, fields).await.split(' ').nth(1).unwrap_or_default().to_owned()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nginx_asks_the_gateway_as_the_book_says() {
    let proxied = Proxied::start().await;
    let Visited { server, guarded } = &proxied.visited;
    let photo = guarded.photo();
    challenge_of(&raw(Method::GET, &photo, &[]).await);
    assert_eq!(proxied.status("GET", "/static/style.css", &[("Accept", "*/*")]).await, "200");
    let rpt = admitted(server, guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let bob = ("Authorization", bearer.as_str());
    assert_eq!(raw(Method::GET, &photo, &[("authorization", &bearer)]).await.status, 200);
    // what the application hears is the gateway's word and nobody else's
    let planted = [
        bob,
        ("X-Wayleave-Subject", "mallory"),
        ("X-Wayleave-Email", "mallory@evil.example"),
        ("X_Wayleave_Subject", "mallory"),
        ("X.Wayleave.Subject", "mallory"),
        ("X-Original-URL", "/static/mallory"),
        ("X-Original-Method", "mallory"),
        ("X-Forwarded-For", "198.51.100.66"),
        ("Cookie", "theme=dark; wl_session_0a1b2c3d=secret"),
        ("Accept", "*/*"),
    ];
    for (path, names) in [("/seen?a=%2F", true), ("/static/seen", false)] {
        let seen = proxied.say("GET", path, &planted).await;
        assert!(seen.contains(&format!("GET {path} HTTP/1.1")) && seen.contains("Cache-Control: private, no-cache"), "{seen}");
        assert_eq!(seen.contains("X-Wayleave-Subject: ") && seen.contains("X-Wayleave-Identity: ey"), names, "{seen}");
        assert!(seen.contains("Cookie: theme=dark\r\n") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
        for secret in ["mallory", "wl_session", "198.51.100.66", "Authorization", rpt.token.as_str()] {
            assert!(!seen.contains(secret), "{secret}: {seen}");
        }
    }
    for (method, path, fields, expected) in [
        ("POST", "/seen", &[bob, ("Content-Length", "0")][..], "401"),
        ("GET", "/static/..%2fseen", &[bob], "403"),
        ("GET", "/static/../seen", &[], "403"),
        ("GET", "//seen", &[bob], "403"),
        ("GET", "/.wayleave/auth", &[bob, ("X-Original-URL", "/"), ("X-Original-Method", "GET")], "404"),
        ("GET", "/seen/../.wayleave/auth", &[bob], "404"),
        ("GET", "/.wayleave//auth", &[bob], "404"),
        ("GET", "/seen", &[bob, ("X-HTTP-Method-Override", "DELETE")], "403"),
        ("GET", "/seen", &[bob, ("Upgrade", "h2c"), ("Connection", "upgrade, http2-settings"), ("HTTP2-Settings", "")], "403"),
        ("GET", "/seen", &[("Authorization", "Bearer wl_rpt_guessed")], "401"),
        ("GET", "/seen", &[bob, ("Authorization", "Bearer wl_rpt_guessed")], "400"),
    ] {
        assert_eq!(proxied.status(method, path, fields).await, expected, "{method} {path} {fields:?}");
    }
    // what callers can make long fits
    let long = format!("theme={}", "x".repeat(6_000));
    assert_eq!(proxied.status("GET", "/seen", &[bob, ("Cookie", &long), ("Accept", "*/*")]).await, "200");
    let far = format!("/seen?{}", "%25".repeat(390));
    let led = proxied.say("GET", &far, &[("Accept", "text/html")]).await;
    assert!(led.starts_with("HTTP/1.1 302 ") && led.contains("/.wayleave/visit?to=%2Fseen%3F%2525"), "{led}");
    let socket =
        [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")];
    let opened = proxied.say("GET", "/live", &[&[bob][..], &socket].concat()).await;
    assert!(opened.starts_with("HTTP/1.1 101 ") && opened.contains("hello"), "{opened}");
    for (path, fields, expected) in [("/live", &[][..], "401"), ("/seen", &[bob], "403"), ("/static/live", &[bob], "403")] {
        assert_eq!(proxied.status("GET", path, &[fields, &socket].concat()).await, expected, "{path} {fields:?}");
    }
    withdraw(server).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(proxied.status("GET", "/seen", &[bob]).await, "401");
    assert_eq!(proxied.status("GET", "/live", &[&[bob][..], &socket].concat()).await, "401");
}

#[tokio::test(flavor = "multi_thread")]
async fn caddy_asks_the_gateway_as_the_book_says() {
    let proxied = Proxied::start_with_caddy().await;
    let Visited { server, guarded } = &proxied.visited;
    let photo = guarded.photo();
    challenge_of(&raw(Method::GET, &photo, &[]).await);
    assert_eq!(proxied.status("GET", "/static/style.css", &[("Accept", "*/*")]).await, "200");
    let rpt = admitted(server, guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let bob = ("Authorization", bearer.as_str());
    assert_eq!(raw(Method::GET, &photo, &[("authorization", &bearer)]).await.status, 200);
    let planted = [
        bob,
        ("X-Wayleave-Subject", "mallory"),
        ("X-Wayleave-Email", "mallory@evil.example"),
        ("X-Original-URL", "/static/mallory"),
        ("X-Forwarded-Uri", "/static/mallory"),
        ("X-Forwarded-Method", "mallory"),
        ("X-Forwarded-Host", "mallory"),
        ("X-Forwarded-For", "198.51.100.66"),
        ("Cookie", "theme=dark; wl_session_0a1b2c3d=secret"),
        ("Accept", "*/*"),
    ];
    for (path, names) in [("/seen?a=%2F", true), ("/static/seen", false)] {
        let seen = proxied.say("GET", path, &planted).await;
        assert!(seen.contains(&format!("GET {path} HTTP/1.1")) && seen.contains("Cache-Control: private, no-cache"), "{seen}");
        assert_eq!(seen.contains("X-Wayleave-Subject: ") && seen.contains("X-Wayleave-Identity: ey"), names, "{seen}");
        assert!(seen.contains("Cookie: theme=dark\r\n") && seen.contains("X-Forwarded-For: 127.0.0.1\r\n"), "{seen}");
        for secret in ["mallory", "wl_session", "198.51.100.66", "Authorization", rpt.token.as_str()] {
            assert!(!seen.contains(secret), "{secret}: {seen}");
        }
    }
    for (method, path, fields, expected) in [
        ("POST", "/seen", &[bob, ("Content-Length", "0")][..], "401"),
        ("GET", "/static/..%2fseen", &[bob], "400"),
        ("GET", "/static/../seen", &[], "400"),
        ("GET", "//seen", &[bob], "400"),
        ("GET", "/.wayleave/auth", &[bob, ("X-Forwarded-Uri", "/"), ("X-Forwarded-Method", "GET")], "404"),
        ("GET", "/seen/../.wayleave/auth", &[bob], "404"),
        ("GET", "/.wayleave//auth", &[bob], "404"),
        ("GET", "/seen", &[bob, ("X_Wayleave_Subject", "mallory")], "403"),
        ("GET", "/seen", &[bob, ("X-HTTP-Method-Override", "DELETE")], "403"),
        ("GET", "/seen", &[bob, ("Upgrade", "h2c"), ("Connection", "upgrade, http2-settings"), ("HTTP2-Settings", "")], "403"),
        ("GET", "/seen", &[("Authorization", "Bearer wl_rpt_guessed")], "401"),
        ("GET", "/seen", &[bob, ("Authorization", "Bearer wl_rpt_guessed")], "400"),
    ] {
        assert_eq!(proxied.status(method, path, fields).await, expected, "{method} {path} {fields:?}");
    }
    let led = proxied.say("GET", "/seen?a=b", &[("Accept", "text/html")]).await;
    assert!(led.starts_with("HTTP/1.1 302 ") && led.contains("/.wayleave/visit?to=%2Fseen%3Fa%3Db"), "{led}");
    let socket =
        [("Upgrade", "websocket"), ("Connection", "upgrade"), ("Sec-WebSocket-Key", KEY), ("Sec-WebSocket-Version", "13")];
    let opened = proxied.say("GET", "/live", &[&[bob][..], &socket].concat()).await;
    assert!(opened.starts_with("HTTP/1.1 101 ") && opened.contains("hello"), "{opened}");
    for (path, fields, expected) in [("/live", &[][..], "401"), ("/seen", &[bob], "403"), ("/static/live", &[bob], "403")] {
        assert_eq!(proxied.status("GET", path, &[fields, &socket].concat()).await, expected, "{path} {fields:?}");
    }
    withdraw(server).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(proxied.status("GET", "/seen", &[bob]).await, "401");
}

/// What was shared so a session changes through nginx as well, from pages of this origin alone.
#[tokio::test(flavor = "multi_thread")]
async fn a_session_changes_through_nginx_what_was_shared_so() {
    let proxied = Proxied::start().await;
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
    tokio::time::sleep(Duration::from_secs(1)).await;
    let fields = [session, ("Content-Length", "0"), ("Sec-Fetch-Site", "same-origin"), ("Accept", "*/*")];
    assert_eq!(proxied.status("POST", "/seen", &fields).await, "403");
}

/// With a session alone, a change or a web socket passes from a page of this origin, by whomever the call is made; and what is
/// withdrawn is one page with what is not there.
#[tokio::test(flavor = "multi_thread")]
async fn threat_42_a_session_is_judged_through_nginx_as_before_the_gateway() {
    let proxied = Proxied::start().await;
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
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(proxied.status("GET", "/seen", &[session]).await, "401");
    let page = bob.open(&guarded.photo()).await.unwrap();
    assert!(page.status == 404 && page.url.path() == "/.wayleave/visit" && page.html.contains("Ask for access"), "{}", page.html);
    let page = bob.submit(&page, "/.wayleave/visit", &[("message", "It is Bob")]).await.unwrap();
    assert!(page.status == 202 && page.html.contains("Waiting for an answer"), "{}: {}", page.status, page.html);
}

/// Bob in Chromium: led to where he shows who he is, and back to the picture.
#[tokio::test(flavor = "multi_thread")]
async fn a_real_browser_is_led_through_nginx_and_back() {
    let proxied = Proxied::start().await;
    let Visited { server, guarded } = &proxied.visited;
    challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    share(server, &viewer()).await;
    let outbox = server.folder.0.join("wayleave-data/outbox");
    std::fs::create_dir_all(&outbox).unwrap();
    let told = json!({"photo": guarded.photo(), "seen": format!("{}/seen", guarded.url),
        "live": format!("{}/live", guarded.url.replace("http:", "ws:")), "issuer": server.issuer, "outbox": outbox});
    tokio::task::spawn_blocking(move || crate::others::run("node", "forwarding.mjs", &told)).await.unwrap();
}
