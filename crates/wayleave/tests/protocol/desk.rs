//! A desk over its real router, in memory and with a clock in the test's hand, and people in browsers at it.

use crate::hand::Hand;
use crate::party::Party;
use crate::world::START;
use axum::Router;
use axum::body::Body;
use client::{Client, Credentials};
use http::Request;
use jose::SystemRandomness;
use jose::seal::SealingKey;
use outbound::{Outbound, Settings};
use relationship_manager::{Manager, Store};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use tower::ServiceExt;
use url::Url;

pub(crate) const DESK: &str = "https://desk.example";

pub(crate) struct Desk {
    pub(crate) manager: Arc<Manager>,
    pub(crate) clock: Arc<Hand>,
    pub(crate) login: Party,
    router: Router,
}

/// What came back.
#[derive(Clone, Debug)]
pub(crate) struct Page {
    pub(crate) status: u16,
    pub(crate) location: String,
    /// Lines that set cookies.
    pub(crate) cookies: Vec<String>,
    pub(crate) text: String,
}

impl Page {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("{error}: {}", self.text))
    }

    /// What stands in a form's field of this name.
    pub(crate) fn field(&self, name: &str) -> String {
        let tag = self.text.split(&format!("name=\"{name}\" value=\"")).nth(1);
        tag.unwrap_or_else(|| panic!("no {name}: {}", self.text)).split('"').next().unwrap().to_owned()
    }
}

impl Desk {
    pub(crate) async fn open() -> Self {
        let login = Party::start().await;
        let clock = Arc::new(Hand::at(START));
        let client = Client {
            outbound: Outbound::new(Settings { allow_private_networks: true, allow_http: true, ..Settings::default() }).unwrap(),
            clock: clock.clone(),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::none(),
            dpop_key: None,
        };
        let settings = relationship_manager::Settings { url: DESK.into(), name: "Desk".into(), login: login.url.clone() };
        let store = Store::in_memory(SealingKey::new(&[1; 32]).unwrap());
        let manager = Manager::open(settings, client, None, store).await.unwrap();
        Self { router: relationship_manager::router(manager.clone()), manager, clock, login }
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Page {
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let all = |name: &str| answer.headers().get_all(name).iter().map(|value| value.to_str().unwrap().to_owned());
        let (cookies, location) = (all("set-cookie").collect(), all("location").next().unwrap_or_default());
        let status = answer.status().as_u16();
        let body = axum::body::to_bytes(answer.into_body(), 1 << 26).await.unwrap();
        Page { status, location, cookies, text: String::from_utf8_lossy(&body).into_owned() }
    }

    pub(crate) async fn get(&self, path: &str) -> Page {
        self.send(Request::get(path).body(Body::empty()).unwrap()).await
    }
}

/// Somebody at the desk, in a browser.
pub(crate) struct Sitting<'d> {
    pub(crate) desk: &'d Desk,
    pub(crate) cookies: BTreeMap<String, String>,
}

impl<'d> Sitting<'d> {
    /// A browser of nobody yet.
    pub(crate) fn new(desk: &'d Desk) -> Self {
        Self { desk, cookies: BTreeMap::new() }
    }

    pub(crate) async fn of(desk: &'d Desk, sub: &str) -> Self {
        let mut sitting = Self::new(desk);
        let page = sitting.get("/login").await;
        let back = sitting.comes_back(&desk.login, sub, &page.location).await;
        assert_eq!((back.status, back.location.as_str()), (303, "/"), "{}", back.text);
        sitting
    }

    /// Logs in where she was sent, and comes back.
    pub(crate) async fn comes_back(&mut self, party: &Party, sub: &str, to: &str) -> Page {
        let url = Url::parse(to).unwrap_or_else(|_| panic!("{to}"));
        party.logs_in(sub, &url);
        let state = url.query_pairs().find(|(name, _)| name == "state").unwrap().1.into_owned();
        self.get(&format!("/callback?code=c&state={state}")).await
    }

    pub(crate) fn cookie_line(&self) -> String {
        self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>().join("; ")
    }

    pub(crate) async fn send(&mut self, method: &str, path: &str, headers: &[(&str, &str)], body: String) -> Page {
        let mut request = Request::builder().method(method).uri(path).header("cookie", self.cookie_line());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let page = self.desk.send(request.body(Body::from(body)).unwrap()).await;
        for line in &page.cookies {
            let (name, value) = line.split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        page
    }

    pub(crate) async fn get(&mut self, path: &str) -> Page {
        self.send("GET", path, &[], String::new()).await
    }

    pub(crate) async fn json(&mut self, path: &str) -> Value {
        self.get(path).await.json()
    }

    pub(crate) async fn csrf(&mut self) -> String {
        self.json("/api/me").await["csrf"].as_str().unwrap().to_owned()
    }

    /// A form of hers, as a browser sends it.
    pub(crate) async fn post(&mut self, path: &str, fields: &[(&str, &str)]) -> Page {
        let csrf = self.csrf().await;
        self.post_with(
            path,
            &[("origin", DESK), ("sec-fetch-site", "same-origin")],
            &[&[("csrf", csrf.as_str())], fields].concat(),
        )
        .await
    }

    /// The same with everything in the test's hand.
    pub(crate) async fn post_with(&mut self, path: &str, headers: &[(&str, &str)], fields: &[(&str, &str)]) -> Page {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.send("POST", path, headers, body).await
    }

    /// Links a server; `party` is where its owners log in.
    pub(crate) async fn link(&mut self, server: &str, party: &Party) -> Page {
        self.link_as(server, party, "her-account").await
    }

    /// The same, as this account.
    pub(crate) async fn link_as(&mut self, server: &str, party: &Party, sub: &str) -> Page {
        let page = self.post("/servers", &[("server", server)]).await;
        let to = page.text.split("<a class=\"button\" href=\"").nth(1).unwrap_or_else(|| panic!("{}", page.text));
        let to = to.split('"').next().unwrap().replace("&amp;", "&").replace("&#38;", "&");
        let back = self.comes_back(party, sub, &to).await;
        assert_eq!((back.status, back.location.as_str()), (303, "/servers"), "{}", back.text);
        back
    }

    /// All of her servers are read anew.
    pub(crate) async fn read(&mut self) {
        assert_eq!(self.post("/servers/read", &[]).await.status, 303);
    }

    /// A key of hers, opened, and counted by her servers.
    pub(crate) async fn make_key(&mut self) {
        let passphrase = "correct horse battery";
        let page = self.post("/keys", &[("what", "new"), ("passphrase", passphrase), ("again", passphrase)]).await;
        assert!(page.status < 400, "{}", page.text);
        let did = self.get("/keys").await.field("did");
        let page = self.post("/keys", &[("what", "register"), ("did", &did)]).await;
        assert!(page.status < 400, "{}", page.text);
    }
}

/// Waits until this holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let begun = std::time::Instant::now();
    while !holds().await {
        assert!(begun.elapsed().as_secs() < 60, "it does not come to this: {what}");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
}
