//! The harness: an authorization server with its people, and short words for what they do.

use crate::engines;
use crate::hand::Hand;
use crate::people::PEOPLE;
use crate::stream::Stream;
use async_trait::async_trait;
use authorization_server::mailer::{Mailer, Message, Unsent};
use axum::body::Body;
use http::{HeaderMap, Method, Request, StatusCode};
use jose::{Algorithm, Clock, SigningKey, SystemRandomness};
use serde_json::{Value, json};
use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};
use store::Store;
use tower::ServiceExt;
use wayleave::assemble;
use wayleave::config::Config;

pub(crate) const ISSUER: &str = "http://127.0.0.1:8080";
pub(crate) const PHOTOS: &str = "http://127.0.0.1:9000";
pub(crate) const UMA: &str = "urn:ietf:params:oauth:grant-type:uma-ticket";
pub(crate) const ID_TOKEN: &str = "http://openid.net/specs/openid-connect-core-1_0.html#IDToken";
pub(crate) const IDP: &str = "https://idp.bar.example";
pub(crate) const START: i64 = 1_800_000_000;

/// A mailbox in memory.
#[derive(Default)]
pub(crate) struct Mailbox(pub(crate) Mutex<Vec<Message>>);

/// A domain that has no mailboxes, and one whose mail server is away.
pub(crate) const NO_MAILBOX: &str = "@no.example";
pub(crate) const UNREACHED: &str = "@away.example";

#[async_trait]
impl Mailer for Mailbox {
    async fn send(&self, message: Message) -> Result<(), Unsent> {
        if message.to.ends_with(UNREACHED) {
            return Err(Unsent::Unreached("away".into()));
        }
        if message.to.ends_with(NO_MAILBOX) {
            return Err(Unsent::Refused("550 no such mailbox".into()));
        }
        self.0.lock().unwrap().push(message);
        Ok(())
    }
}

/// What came back.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) text: String,
    pub(crate) json: Value,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// A member as text; empty where it is none.
    pub(crate) fn get(&self, name: &str) -> &str {
        self.json[name].as_str().unwrap_or_default()
    }

    /// Status and error code, and the headers that every refusal has.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, error: &str) -> &Self {
        assert_eq!((self.status, self.get("error")), (status, error), "{}", self.text);
        assert_eq!(self.header("cache-control"), "no-store");
        assert!(self.header("content-type").starts_with("application/json"));
        self
    }

    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> &Self {
        assert_eq!(self.status, status, "{}", self.text);
        self
    }

    /// Query parameters of `Location`.
    pub(crate) fn location(&self) -> (String, Vec<(String, String)>) {
        let url = url::Url::parse(ISSUER).unwrap().join(self.header("location")).unwrap();
        let query = url.query_pairs().into_owned().collect();
        (url.to_string(), query)
    }
}

/// An authorization server and everybody around it.
pub(crate) struct World {
    pub(crate) router: web::Site,
    pub(crate) clock: Arc<Hand>,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) idp: SigningKey,
    pub(crate) store: Store,
    pub(crate) app: Arc<web::App>,
    pub(crate) engine: &'static str,
    pub(crate) folder: PathBuf,
    serial: AtomicU32,
    caller: Mutex<Option<IpAddr>>,
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

static WORLDS: AtomicU32 = AtomicU32::new(0);

impl World {
    /// One on each engine.
    pub(crate) async fn each() -> Vec<Self> {
        Self::each_with("").await
    }

    /// One on each engine, with more configuration.
    pub(crate) async fn each_with(more: &str) -> Vec<Self> {
        let mut all = Vec::new();
        for engine in engines::list() {
            all.push(Self::on(engine, more).await);
        }
        all
    }

    /// One, in memory unless the run says otherwise.
    pub(crate) async fn one() -> Self {
        Self::on(engines::one(), "").await
    }

    /// The same that allows so many log-ins and so many requests of a client in a minute.
    pub(crate) async fn limited(most: u32) -> Self {
        let people = PEOPLE.replace("per_minute = 1000\n", &format!("per_minute = {most}\n"));
        Self::of(engines::one(), &people.replace("per_client = 100000\n", &format!("per_client = {most}\n")), "").await
    }

    pub(crate) async fn on(engine: &'static str, more: &str) -> Self {
        Self::of(engine, PEOPLE, more).await
    }

    pub(crate) async fn of(engine: &'static str, people: &str, more: &str) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let folder = std::env::temp_dir().join(format!("wayleave-world-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&folder).unwrap();
        let idp = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let keys = json!({"keys": [idp.public().to_jwk()]}).to_string();
        std::fs::write(folder.join("idp.json"), keys).unwrap();
        let trust = format!(
            "[[trusted_issuer]]\nissuer = \"{IDP}\"\njwks_file = \"idp.json\"\nclaims = [\"email\", \"email_verified\", \"name\", \"age\"]\nemail_domains = [\"bar.example\"]\n"
        );
        let config = Config::parse(&format!("{people}{trust}{more}"), std::iter::empty(), folder.clone()).unwrap();
        let engines::Place { location, schema } = engines::place(engine, &folder, number);
        let store = Store::open(&location, &schema).await.unwrap();
        let clock = Arc::new(Hand::at(START));
        let mailbox = Arc::new(Mailbox::default());
        let server =
            assemble::server_with(&config, store.clone(), [7; 32], mailbox.clone(), clock.clone(), Arc::new(SystemRandomness));
        let app = server.await.unwrap().app;
        let router = web::site(app.clone());
        Self { router, clock, mailbox, idp, store, app, engine, folder, serial: AtomicU32::new(0), caller: Mutex::default() }
    }

    /// From now on calls come from here.
    pub(crate) fn call_from(&self, address: IpAddr) {
        *self.caller.lock().unwrap() = Some(address);
    }

    pub(crate) fn now(&self) -> i64 {
        self.clock.now().0
    }

    pub(crate) fn pass(&self, seconds: i64) {
        self.clock.pass(seconds);
    }

    /// Sends a request as it is.
    pub(crate) async fn send(&self, method: &str, path: &str, headers: &[(&str, &str)], body: impl Into<Vec<u8>>) -> Answer {
        self.send_from("", method, path, headers, body).await
    }

    /// The same, from this network address; an empty one is wherever calls come from.
    pub(crate) async fn send_from(
        &self,
        address: &str,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Vec<u8>>,
    ) -> Answer {
        let uri = path.strip_prefix(ISSUER).unwrap_or(path);
        let mut request = Request::builder().method(Method::from_bytes(method.as_bytes()).unwrap()).uri(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(Body::from(body.into())).unwrap();
        let caller = address.parse().ok().or(*self.caller.lock().unwrap());
        if let Some(address) = caller {
            request.extensions_mut().insert(web::PeerAddress(address));
        }
        let answer = self.router.clone().oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = axum::body::to_bytes(body, 1 << 24).await.unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let json = serde_json::from_slice(&bytes).unwrap_or(Value::Null);
        assert!(parts.status != StatusCode::INTERNAL_SERVER_ERROR, "{text}");
        Answer { status: parts.status.as_u16(), headers: parts.headers, text, json }
    }

    /// Opens a stream of events.
    pub(crate) async fn stream(&self, path: &str, token: &str) -> Stream {
        let request =
            Request::builder().uri(path).header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        let answer = self.router.clone().oneshot(request).await.unwrap();
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        Stream(answer.into_body().into_data_stream())
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], "").await
    }

    /// A form post; a client with a secret authenticates by `Basic`, others name themselves.
    pub(crate) async fn post(&self, path: &str, client: &str, fields: &[(&str, &str)]) -> Answer {
        let mut fields = fields.to_vec();
        let secret = format!("{}-secret", client.split('-').next().unwrap_or(client));
        let basic = basic(client, &secret);
        let mut headers = vec![("content-type", "application/x-www-form-urlencoded")];
        if client == "phone" {
            fields.push(("client_id", "phone"))
        } else {
            headers.push(("authorization", &basic))
        }
        self.send("POST", path, &headers, form(&fields)).await
    }

    pub(crate) async fn token(&self, client: &str, fields: &[(&str, &str)]) -> Answer {
        self.post("/token", client, fields).await
    }

    /// A call of one of our APIs with a token.
    pub(crate) async fn call(&self, method: &str, path: &str, token: &str, body: Value) -> Answer {
        let bearer = format!("Bearer {token}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/json")];
        self.send(method, path, &headers, if body.is_null() { String::new() } else { body.to_string() }).await
    }

    /// An access token by client credentials: a PAT or a PMT.
    pub(crate) async fn access(&self, client: &str) -> String {
        let answer = self.token(client, &[("grant_type", "client_credentials")]).await;
        answer.ok(200).get("access_token").to_owned()
    }

    pub(crate) async fn pat(&self) -> String {
        self.access("photos-rs").await
    }

    /// Registers a resource with these scopes.
    pub(crate) async fn resource(&self, pat: &str, scopes: &str) -> String {
        let scopes: Vec<_> = scopes.split(' ').collect();
        let answer = self.call("POST", "/uma/resources", pat, json!({"resource_scopes": scopes, "name": "Album"})).await;
        answer.ok(201).get("_id").to_owned()
    }

    /// A ticket for scopes on one resource.
    pub(crate) async fn ticket(&self, pat: &str, resource: &str, scopes: &str) -> String {
        let scopes: Vec<_> = scopes.split(' ').filter(|scope| !scope.is_empty()).collect();
        let body = json!({"resource_id": resource, "resource_scopes": scopes});
        self.call("POST", "/uma/permissions", pat, body).await.ok(201).get("ticket").to_owned()
    }

    /// A policy of Alice: these scopes for this address; empty: for anyone.
    pub(crate) async fn share(&self, resource: &str, scopes: &str, email: &str) -> String {
        let claims = if email.is_empty() { json!([]) } else { json!([{"name": "email", "value": [email]}]) };
        self.policy(
            json!({"resource_id": resource, "resource_scopes": scopes.split(' ').collect::<Vec<_>>(), "required_claims": claims}),
        )
        .await
    }

    pub(crate) async fn policy(&self, document: Value) -> String {
        let pmt = self.access("manager").await;
        self.call("POST", "/uma/policies", &pmt, document).await.ok(201).get("_id").to_owned()
    }

    pub(crate) async fn withdraw(&self, policy: &str) {
        let pmt = self.access("manager").await;
        self.call("DELETE", &format!("/uma/policies/{policy}"), &pmt, Value::Null).await.ok(204);
    }

    /// Trades a ticket.
    pub(crate) async fn trade(&self, client: &str, ticket: &str, more: &[(&str, &str)]) -> Answer {
        let mut fields = vec![("grant_type", UMA), ("ticket", ticket)];
        fields.extend_from_slice(more);
        self.token(client, &fields).await
    }

    /// Trades it with an ID token of Bob, pushed.
    pub(crate) async fn trade_as_bob(&self, client: &str, ticket: &str, more: &[(&str, &str)]) -> Answer {
        let token = self.id_token(client, json!({}));
        let mut fields = vec![("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        fields.extend_from_slice(more);
        self.trade(client, ticket, &fields).await
    }

    /// An ID token of the trusted issuer for this client, about Bob unless changed.
    pub(crate) fn id_token(&self, client: &str, changes: Value) -> String {
        let now = self.clock.now().0;
        let serial = self.serial.fetch_add(1, Ordering::Relaxed);
        let mut claims = json!({
            "iss": IDP, "sub": "bob", "aud": client, "exp": now + 300, "iat": now, "jti": format!("j{serial}"),
            "email": "bob@bar.example", "email_verified": true,
        });
        for (name, value) in changes.as_object().unwrap() {
            claims[name] = value.clone();
        }
        self.idp.sign("JWT", &claims).unwrap()
    }

    /// What a resource server sees of a token.
    pub(crate) async fn introspect(&self, pat: &str, token: &str) -> Value {
        let bearer = format!("Bearer {pat}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/x-www-form-urlencoded")];
        let answer = self.send("POST", "/introspect", &headers, form(&[("token", token)])).await;
        answer.ok(200).json.clone()
    }

    /// An album of Alice that Bob may view: PAT, resource, policy.
    pub(crate) async fn album(&self) -> (String, String, String) {
        let pat = self.pat().await;
        let album = self.resource(&pat, "view edit download print delete").await;
        let policy = self.share(&album, "view", "bob@bar.example").await;
        (pat, album, policy)
    }

    /// An RPT of Bob for `view` of that album.
    pub(crate) async fn bobs_rpt(&self, client: &str, pat: &str, album: &str) -> Answer {
        let ticket = self.ticket(pat, album, "view").await;
        let answer = self.trade_as_bob(client, &ticket, &[]).await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        answer
    }
}

pub(crate) fn basic(client: &str, secret: &str) -> String {
    use base64_of::encode;
    format!("Basic {}", encode(format!("{client}:{secret}").as_bytes()))
}

/// Plain base64, which `Basic` wants.
mod base64_of {
    pub(crate) fn encode(bytes: &[u8]) -> String {
        let url = jose::base64url::encode(bytes).replace('-', "+").replace('_', "/");
        format!("{url}{}", "=".repeat((4 - url.len() % 4) % 4))
    }
}

pub(crate) fn form(fields: &[(&str, &str)]) -> String {
    form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish()
}

/// Scopes of the permissions in an introspection answer: `album view` and so on, sorted.
pub(crate) fn scopes_of(answer: &Value) -> Vec<String> {
    let mut found = Vec::new();
    for permission in answer["permissions"].as_array().cloned().unwrap_or_default() {
        for scope in permission["resource_scopes"].as_array().unwrap() {
            found.push(format!("{} {}", permission["resource_id"].as_str().unwrap(), scope.as_str().unwrap()));
        }
    }
    found.sort();
    found
}
