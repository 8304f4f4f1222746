//! People with browsers between authorization servers, of which one is dishonest, and between each other: what comes back from
//! one server is nothing at another, and nobody ends, fills or learns what is somebody else's.

mod changing;
mod coming_back;
mod following;
mod giving;
mod renewing;
mod server;
mod sessions;
mod telling;
mod unlinked;
mod waiting;
mod yours;

use super::super::*;
use super::world::{RESOURCE, route_with, serve};
use crate::watch::UploadLimits;
use axum::Json;
use axum::body::Body;
use axum::extract::Path as PathOf;
use axum::routing::{get, post};
use jose::{Clock, SystemClock, SystemRandomness};
use serde_json::{Value, json};
use server::{Known, Says};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tower::ServiceExt;
use url::Url;

/// A gateway before a service, with things of Alice's and of Mallory's.
#[derive(Clone)]
struct World {
    gateway: Arc<Gateway>,
    clock: Arc<MovedClock>,
}

/// A clock that the tests put forward.
#[derive(Default)]
struct MovedClock(AtomicI64);

impl Clock for MovedClock {
    fn now(&self) -> Timestamp {
        SystemClock.now().plus(self.0.load(Ordering::SeqCst))
    }
}

impl MovedClock {
    fn put_forward(&self, seconds: i64) {
        self.0.fetch_add(seconds, Ordering::SeqCst);
    }
}

impl World {
    /// Before these servers that the operator lists.
    async fn new(listed: &[&Arc<Known>], is_declared: bool) -> Self {
        let service = async |request: Request| {
            let is_absent = request.uri().path().ends_with("/absent");
            let text = match *request.method() {
                http::Method::GET => match request.headers().get("x-wayleave-email") {
                    Some(email) => format!("a picture for {}", email.to_str().unwrap()),
                    None => "a picture".to_owned(),
                },
                _ => format!("saved {}", axum::body::to_bytes(request.into_body(), 1 << 20).await.unwrap().len()),
            };
            (if is_absent { StatusCode::NOT_FOUND } else { StatusCode::OK }, text)
        };
        let owned = |path: &str, owner: &str| {
            route_with(path, |guarded| {
                guarded.owner = OwnerOf::Named(owner.into());
                let scopes = [("GET", "view"), ("PUT", "edit"), ("POST", "edit"), ("MOVE", "edit"), ("COPY", "view")];
                let scopes = scopes.map(|(method, scope)| (method.to_owned(), types::ScopeSet::parse(scope).unwrap()));
                (guarded.scopes, guarded.takes_web_sockets) = (scopes.into_iter().collect(), true);
            })
        };
        let settings = Settings {
            resource: RESOURCE.into(),
            name: "Photos".into(),
            behind: Behind::Upstream(serve(Router::new().fallback(service)).await),
            authorization_servers: listed.iter().map(|one| one.at("")).collect(),
            pat: PatBy::Code,
            check: Check::Introspect,
            trust: Trust::Any,
            management: None,
            owner_claim: "sub".into(),
            routes: vec![owned("/alice/{thing}", "alice"), owned("/mallory/{thing}", "mallory")],
            uploads: UploadLimits::default(),
            pass_headers: Vec::new(),
            cors_origins: Vec::new(),
            forward_auth: Some(OriginalIn::Original),
            content_origin: None,
            thumbnails: None,
            thumbnail_command: Vec::new(),
        };
        let clock = Arc::new(MovedClock::default());
        let allowed = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
        let client = Client {
            outbound: outbound::Outbound::new(allowed).unwrap(),
            clock: clock.clone(),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("photos", "secret"),
            dpop_key: None,
        };
        let browser_client = is_declared.then(|| Credentials::secret("browsers", "secret"));
        let by = By { browser_client, ..By::default() };
        Self { gateway: Gateway::open(settings, client, Store::in_memory(), by).await.unwrap(), clock }
    }

    /// An owner links a server, and what she has there newly is registered there.
    async fn link(&self, owner: &str, server: &Known, things: &[&str]) {
        let now = self.gateway.client.clock.now();
        for (issuer, link) in self.gateway.store.list_links(owner).await.unwrap() {
            self.gateway.store.put_link(owner, &issuer, &store::Link { preferred: false, ..link }).await.unwrap();
        }
        let link = store::Link { access_token: "pat".into(), expires: now.plus(86_400), preferred: true, ..link::new_link(now) };
        self.gateway.store.put_link(owner, &server.at(""), &link).await.unwrap();
        for thing in things {
            let request = Request::get(format!("/{owner}/{thing}")).body(Body::empty()).unwrap();
            let answer = self.gateway.clone().router().oneshot(request).await.unwrap();
            assert_eq!(answer.status(), 401, "{owner}/{thing}");
            assert!(answer.headers()["www-authenticate"].to_str().unwrap().contains(&server.at("")), "{answer:?}");
        }
    }
}

/// A browser, and from where it calls.
#[derive(Clone)]
struct Browser {
    cookies: BTreeMap<String, String>,
    caller: Caller,
}

/// What it sees.
struct Seen {
    status: u16,
    /// Where it is sent at once, or by the button of a page.
    to: Option<String>,
    /// What its page may do: where two are said, a browser holds it to both.
    policies: Vec<String>,
    text: String,
}

impl Seen {
    /// A parameter of where it is sent.
    fn sent(&self, name: &str) -> String {
        let url = Url::parse(self.to.as_deref().unwrap_or_else(|| panic!("{}: {}", self.status, self.text))).unwrap();
        url.query_pairs().find(|(own, _)| own == name).unwrap().1.into_owned()
    }

    /// The place of the gateway where it comes back.
    fn way_back(&self) -> String {
        self.sent("claims_redirect_uri").strip_prefix(RESOURCE).unwrap().to_owned()
    }
}

impl Browser {
    fn at(address: &str) -> Self {
        Self { cookies: BTreeMap::new(), caller: Caller(address.parse().unwrap()) }
    }

    async fn call(&mut self, world: &World, request: http::request::Builder, body: String) -> Seen {
        let request = request.header("accept", "text/html").header("sec-fetch-mode", "navigate");
        self.send(world, request.body(Body::from(body)).unwrap()).await
    }

    /// With its cookies.
    async fn send(&mut self, world: &World, mut request: Request<Body>) -> Seen {
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        if !pairs.is_empty() {
            request.headers_mut().insert("cookie", HeaderValue::from_str(&pairs.join("; ")).unwrap());
        }
        request.extensions_mut().insert(self.caller);
        let answer = world.gateway.clone().router().oneshot(request).await.unwrap();
        for line in answer.headers().get_all("set-cookie") {
            let (name, rest) = line.to_str().unwrap().split_once('=').unwrap();
            let (value, _) = rest.split_once(';').unwrap();
            match value.is_empty() {
                true => self.cookies.remove(name),
                false => self.cookies.insert(name.to_owned(), value.to_owned()),
            };
        }
        let location = answer.headers().get("location").map(|value| value.to_str().unwrap().to_owned());
        let status = answer.status().as_u16();
        let policies = answer.headers().get_all("content-security-policy").iter().map(|one| one.to_str().unwrap().to_owned());
        let policies = policies.collect();
        let text = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
        let text = String::from_utf8_lossy(&text).into_owned();
        let button = text.split("class=\"button\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
        let to = location.or(button.map(|url| url.replace("&#38;", "&").replace("&amp;", "&")));
        Seen { status, to, policies, text }
    }

    async fn open(&mut self, world: &World, path: &str) -> Seen {
        self.call(world, Request::get(path), String::new()).await
    }

    async fn post(&mut self, world: &World, path: &str, fields: &[(&str, &str)]) -> Seen {
        let body = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.call(world, Request::post(path).header("origin", RESOURCE), body).await
    }

    /// Comes back with these.
    async fn back(&mut self, world: &World, way_back: &str, fields: &[(&str, &str)]) -> Seen {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        self.open(world, &format!("{way_back}?{query}")).await
    }

    /// Opens something, shows at its server who she is, and comes back.
    async fn visit(&mut self, world: &World, server: &Known, path: &str, who: &str) -> Seen {
        let left = self.open(world, path).await;
        let ticket = server.shows(&left.sent("ticket"), who);
        let own = server.at("");
        let mut fields = vec![("state", left.sent("state")), ("ticket", ticket)];
        fields.extend(server.says_issuer.then_some(("iss", own)));
        let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
        self.back(world, &left.way_back(), &fields).await
    }

    fn session(&self) -> Option<&String> {
        self.cookies.get("__Host-wl_session")
    }
}
