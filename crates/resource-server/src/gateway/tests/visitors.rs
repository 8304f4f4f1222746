//! People with browsers between authorization servers, of which one is dishonest, and between each other: what comes back from
//! one server is nothing at another, and nobody ends, fills or learns what is somebody else's.

mod coming_back;
mod sessions;
mod waiting;

use super::super::*;
use super::world::{RESOURCE, route_with, serve};
use crate::watch::UploadLimits;
use axum::Json;
use axum::body::Body;
use axum::extract::Path as PathOf;
use axum::routing::{get, post};
use jose::{SystemClock, SystemRandomness};
use serde_json::{Value, json};
use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tower::ServiceExt;
use url::Url;

/// What a server answers to somebody whom it knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Says {
    Yes,
    AsksHerOwner,
}

/// What happened at a server, and how it behaves.
#[derive(Default)]
struct Known {
    own_url: OnceLock<String>,
    /// It says whose answer it gives.
    says_issuer: bool,
    registers_clients: bool,
    /// Registered clients, and resources by the gateway's own ids.
    clients: StdMutex<Vec<Value>>,
    resources: StdMutex<Vec<String>>,
    tickets: AtomicUsize,
    /// For which resource a ticket is, and who came with it.
    asked: StdMutex<HashMap<String, String>>,
    shown: StdMutex<HashMap<String, String>>,
    /// Tokens, and for which resource each is.
    granted: StdMutex<HashMap<String, String>>,
    /// By resource; where nothing is said, yes.
    says: StdMutex<HashMap<String, Says>>,
    traded: StdMutex<Vec<String>>,
    /// Tokens that it was asked about.
    introspected: StdMutex<Vec<String>>,
    revoked: StdMutex<Vec<String>>,
    /// It gives PCTs.
    knows_again: AtomicBool,
    interval: AtomicI64,
}

fn field(form: &[u8], name: &str) -> String {
    let mut pairs = form_urlencoded::parse(form).into_owned();
    pairs.find(|(own, _)| own == name).map(|(_, value)| value).unwrap_or_default()
}

impl Known {
    fn at(&self, path: &str) -> String {
        format!("{}{path}", self.own_url.get().unwrap())
    }

    /// Nobody else gives the same.
    fn new_text(&self, what: &str) -> String {
        let port = self.own_url.get().unwrap().rsplit(':').next().unwrap();
        format!("{what}-{port}-{}", self.tickets.fetch_add(1, Ordering::SeqCst))
    }

    fn new_ticket(&self, resource: &str) -> String {
        let ticket = self.new_text("ticket");
        self.asked.lock().unwrap().insert(ticket.clone(), resource.to_owned());
        ticket
    }

    /// Somebody shows there who she is.
    fn shows(&self, ticket: &str, who: &str) -> String {
        let resource = self.asked.lock().unwrap().remove(ticket).unwrap();
        let next = self.new_ticket(&resource);
        self.shown.lock().unwrap().insert(next.clone(), who.to_owned());
        next
    }

    fn trade(&self, form: &[u8]) -> (StatusCode, Value) {
        let ticket = field(form, "ticket");
        self.traded.lock().unwrap().push(ticket.clone());
        let Some(resource) = self.asked.lock().unwrap().remove(&ticket) else {
            return (StatusCode::BAD_REQUEST, json!({"error": "invalid_grant"}));
        };
        let pct = field(form, "pct").strip_prefix("pct-").map(str::to_owned);
        let Some(who) = self.shown.lock().unwrap().get(&ticket).cloned().or(pct) else {
            let answer =
                json!({"error": "need_info", "ticket": self.new_ticket(&resource), "required_claims": [{"name": "email"}]});
            return (StatusCode::FORBIDDEN, answer);
        };
        let own_id = self.resources.lock().unwrap()[resource[1..].parse::<usize>().unwrap()].clone();
        let says = self.says.lock().unwrap().get(&own_id).copied().unwrap_or(Says::Yes);
        match says {
            Says::Yes => {
                let token = self.new_text(&who);
                self.granted.lock().unwrap().insert(token.clone(), resource);
                let mut answer = json!({"access_token": token, "token_type": "Bearer", "expires_in": 3_600});
                if self.knows_again.load(Ordering::SeqCst) {
                    answer["pct"] = json!(format!("pct-{who}"));
                }
                (StatusCode::OK, answer)
            }
            Says::AsksHerOwner if field(form, "ask_owner") == "true" => {
                let next = self.new_ticket(&resource);
                self.shown.lock().unwrap().insert(next.clone(), who);
                let interval = self.interval.load(Ordering::SeqCst);
                (StatusCode::FORBIDDEN, json!({"error": "request_submitted", "ticket": next, "interval": interval}))
            }
            Says::AsksHerOwner => (StatusCode::FORBIDDEN, json!({"error": "request_denied"})),
        }
    }

    fn introspect(&self, form: &[u8]) -> Value {
        let token = field(form, "token");
        self.introspected.lock().unwrap().push(token.clone());
        match self.granted.lock().unwrap().get(&token) {
            Some(resource) => {
                let permissions = json!([{"resource_id": resource, "resource_scopes": ["view"]}]);
                json!({"active": true, "sub": token.split('-').next(), "client_id": "browsers", "permissions": permissions})
            }
            None => json!({"active": false}),
        }
    }

    fn register_client(&self, metadata: Value) -> (StatusCode, Value) {
        if !self.registers_clients {
            return (StatusCode::FORBIDDEN, json!({"error": "access_denied"}));
        }
        let mut all = self.clients.lock().unwrap();
        all.push(metadata);
        (StatusCode::CREATED, json!({"client_id": format!("c{}", all.len()), "client_secret": "secret"}))
    }

    fn document(&self) -> Value {
        let mut document = json!({"issuer": self.at(""), "token_endpoint": self.at("/token"), "jwks_uri": self.at("/jwks"),
            "authorization_endpoint": self.at("/authorize"), "permission_endpoint": self.at("/perm"),
            "introspection_endpoint": self.at("/introspect"), "resource_registration_endpoint": self.at("/rreg"),
            "registration_endpoint": self.at("/register"), "claims_interaction_endpoint": self.at("/claims"),
            "revocation_endpoint": self.at("/revoke")});
        if self.says_issuer {
            document["claims_response_iss_parameter_supported"] = json!(true);
        }
        document
    }

    /// Serves it.
    async fn start(self) -> Arc<Self> {
        let known = Arc::new(self);
        let all = || known.clone();
        let (a, b, c, d, e, f, g) = (all(), all(), all(), all(), all(), all(), all());
        let router = Router::new()
            .route("/.well-known/uma2-configuration", get(move || async move { Json(a.document()) }))
            .route(
                "/token",
                post(async move |body: axum::body::Bytes| {
                    let (status, answer) = b.trade(&body);
                    (status, Json(answer))
                }),
            )
            .route("/introspect", post(async move |body: axum::body::Bytes| Json(c.introspect(&body))))
            .route(
                "/register",
                post(async move |body: Json<Value>| {
                    let (status, answer) = d.register_client(body.0);
                    (status, Json(answer))
                }),
            )
            .route(
                "/perm",
                post(async move |body: Json<Value>| {
                    let one = if body.is_array() { &body[0] } else { &*body };
                    (StatusCode::CREATED, Json(json!({"ticket": e.new_ticket(one["resource_id"].as_str().unwrap())})))
                }),
            )
            .route(
                "/rreg",
                post(async move |body: Json<Value>| {
                    let mut all = f.resources.lock().unwrap();
                    all.push(body["_resource_id"].as_str().unwrap().to_owned());
                    (StatusCode::CREATED, Json(json!({"_id": format!("r{}", all.len() - 1)})))
                }),
            )
            .route(
                "/rreg/{id}",
                get(async move |PathOf(id): PathOf<String>| Json(json!({"_id": id, "resource_scopes": ["view"]}))),
            )
            .route(
                "/revoke",
                post(async move |body: axum::body::Bytes| {
                    g.revoked.lock().unwrap().push(field(&body, "token"));
                    StatusCode::OK
                }),
            );
        known.own_url.set(serve(router).await).unwrap();
        known
    }
}

/// A gateway before a service, with things of Alice's and of Mallory's.
struct World {
    gateway: Arc<Gateway>,
}

impl World {
    /// Before these servers that the operator lists.
    async fn new(listed: &[&Arc<Known>], is_declared: bool) -> Self {
        let service = async || "a picture";
        let owned = |path: &str, owner: &str| route_with(path, |guarded| guarded.owner = OwnerOf::Named(owner.into()));
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
            forward_auth: None,
            content_origin: None,
            thumbnails: None,
        };
        let allowed = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
        let client = Client {
            outbound: outbound::Outbound::new(allowed).unwrap(),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("photos", "secret"),
            dpop_key: None,
        };
        let browser_client = is_declared.then(|| Credentials::secret("browsers", "secret"));
        let by = By { browser_client, ..By::default() };
        Self { gateway: Gateway::open(settings, client, Store::in_memory(), by).await.unwrap() }
    }

    /// An owner links a server, and what she has there newly is registered there.
    async fn link(&self, owner: &str, server: &Known, things: &[&str]) {
        let now = self.gateway.client.clock.now();
        for (issuer, link) in self.gateway.store.list_links(owner).unwrap() {
            self.gateway.store.put_link(owner, &issuer, &store::Link { preferred: false, ..link }).await.unwrap();
        }
        let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), preferred: true, ..link::new_link(now) };
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
        let pairs: Vec<String> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = request.header("accept", "text/html").header("sec-fetch-mode", "navigate");
        if !pairs.is_empty() {
            request = request.header("cookie", pairs.join("; "));
        }
        let mut request = request.body(Body::from(body)).unwrap();
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
