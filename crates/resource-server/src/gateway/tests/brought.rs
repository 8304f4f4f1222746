//! What an application brought in an owner's name counts as long as she lets it act for her (decision 0061).

mod silence;

use super::super::*;
use super::world::{World, serve};
use crate::gateway::brought::Servers;
use crate::gateway::store::{Link, LinkState, Standing};
use async_trait::async_trait;
use axum::body::Body;
use axum::routing::{get, post};
use jose::{Clock, SystemClock, did};
use serde_json::{Value, json};
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use tower::ServiceExt;
use types::brought::{BroughtBy, BroughtStanding};

/// Alice manages by whatever application a token names; `declared` is the operator's, and one that is over acts no more.
#[derive(Default)]
struct Word {
    over: StdMutex<Vec<String>>,
    asked: AtomicUsize,
    /// Nobody answers about anything.
    is_away: AtomicBool,
}

impl Word {
    fn end(&self, gateway: &Gateway, grant: &str) {
        self.over.lock().unwrap().push(grant.to_owned());
        gateway.rmts.grants.forget();
    }
}

#[async_trait]
impl OwnLogIn for Word {
    async fn verify(&self, sent: &Sent<'_>) -> Result<OwnToken, Unfit> {
        let (name, declared) = (Some(sent.token.to_owned()), sent.token == "declared");
        let application = Application { client: Some(sent.token.into()), name, grant: Some(sent.token.into()), declared };
        Ok(OwnToken { scope: "uma_management".into(), owner: Some("alice".into()), application: Some(application) })
    }

    async fn stands(&self, grant: &str) -> Result<bool, ProtectionError> {
        self.asked.fetch_add(1, Ordering::SeqCst);
        match grant {
            _ if self.is_away.load(Ordering::SeqCst) => Err(ProtectionError::Unreachable),
            "unreachable" => Err(ProtectionError::Unreachable),
            _ => Ok(!self.over.lock().unwrap().iter().any(|over| over == grant)),
        }
    }
}

/// A clock that the tests put forward.
#[derive(Default)]
struct Hours(AtomicI64);

impl Clock for Hours {
    fn now(&self) -> types::Timestamp {
        SystemClock.now().plus(3_600 * self.0.load(Ordering::SeqCst))
    }
}

async fn open(world: &World, word: &Arc<Word>) -> Arc<Gateway> {
    open_with(world, word, Store::in_memory(), Arc::new(SystemClock)).await
}

async fn open_with(world: &World, word: &Arc<Word>, store: Store, clock: Arc<dyn Clock>) -> Arc<Gateway> {
    let management = Some(Management { issuer: world.issuer.clone(), owner_claim: "sub".into() });
    let settings = Settings { management, trust: Trust::Any, ..world.gateway.settings.clone() };
    let by = By { own_log_in: Some(word.clone()), ..By::default() };
    Gateway::open(settings, Client { clock, ..world.gateway.client.clone() }, store, by).await.unwrap()
}

/// Brought by this application of hers.
fn brought_by(gateway: &Gateway, grant: &str) -> BroughtBy {
    BroughtBy {
        client: None,
        name: None,
        grant: Some(grant.into()),
        issuer: None,
        declared: false,
        at: gateway.client.clock.now(),
        standing: BroughtStanding::WithApplication,
    }
}

/// A link of Alice's to the world's server that this application brought.
async fn bring_server(world: &World, gateway: &Gateway, grant: &str) {
    let (now, by) = (gateway.client.clock.now(), Some(brought_by(gateway, grant)));
    let link = Link { access_token: "pat".into(), expires: now.plus(90 * 86_400), by, ..link::new_link(now) };
    gateway.store.put_link("alice", &world.issuer, &link).await.unwrap();
}

/// How a call without a token is answered.
async fn challenge(gateway: &Arc<Gateway>) -> String {
    let request = Request::get("/a.jpg").body(Body::empty()).unwrap();
    let answer = gateway.clone().router().oneshot(request).await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    challenge.unwrap_or_else(|| answer.status().to_string())
}

async fn call(gateway: &Arc<Gateway>, token: &str, method: &str, path: &str, body: Value) -> (u16, Value) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let answer = gateway.clone().router().oneshot(request.body(Body::from(body.to_string())).unwrap()).await.unwrap();
    let status = answer.status().as_u16();
    let bytes = axum::body::to_bytes(answer.into_body(), 1 << 20).await.unwrap();
    (status, serde_json::from_slice(&bytes).unwrap_or(Value::Null))
}

const KEYS: &str = "/.wayleave/manage/my-credentials";

/// The application registers this key as hers.
async fn bring(gateway: &Arc<Gateway>, token: &str, key: &SigningKey) -> u16 {
    let name = did::of_key(key.public());
    let mut body = json!({"cred_type": "did", "cred_value": {"id": name}});
    let (_, asked) = call(gateway, token, "POST", KEYS, body.clone()).await;
    let claims = json!({"aud": gateway.settings.resource, "nonce": asked["challenge"], "iat": SystemClock.now().0});
    body["proof"] = json!(key.sign_as("credential-proof+jwt", &name, &claims).unwrap());
    call(gateway, token, "POST", KEYS, body).await.0
}

async fn counting(gateway: &Arc<Gateway>, key: &SigningKey) -> bool {
    let found = gateway.find_counting_credential("alice", &did::of_key(key.public())).await.unwrap().is_some();
    let listed = call(gateway, "declared", "GET", KEYS, Value::Null).await.1.to_string();
    assert!(!listed.contains("_by"), "lists do not tell it: {listed}");
    assert_eq!(listed.contains(&did::of_key(key.public())), found, "the list says which count: {listed}");
    found
}

#[tokio::test]
async fn a_key_that_an_application_brought_counts_as_long_as_it_may_act_for_her() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let gateway = open(&world, &word).await;
    let key = || SigningKey::generate(Algorithm::EdDsa).unwrap();
    let (own, other, declared, away) = (key(), key(), key(), key());
    for (token, key) in [("helper", &own), ("other", &other), ("declared", &declared), ("unreachable", &away)] {
        assert_eq!(bring(&gateway, token, key).await, 201, "{token}");
        assert!(counting(&gateway, key).await, "{token}");
    }
    let asked = word.asked.load(Ordering::SeqCst);
    assert!(counting(&gateway, &own).await && word.asked.load(Ordering::SeqCst) == asked, "asked once in a while");
    for grant in ["helper", "declared", "unreachable"] {
        word.end(&gateway, grant);
    }
    assert!(!counting(&gateway, &own).await, "she withdrew it");
    assert!(counting(&gateway, &other).await && counting(&gateway, &declared).await);
    assert!(counting(&gateway, &away).await, "of whom nothing is heard, what was known holds");
    // what has ended is written down, and does not come back by itself
    word.over.lock().unwrap().clear();
    gateway.rmts.grants.forget();
    assert!(!counting(&gateway, &own).await);
    // by a new word of hers, and a new proof, it does
    assert_eq!(bring(&gateway, "again", &own).await, 201);
    assert!(counting(&gateway, &own).await);
    assert_eq!(bring(&gateway, "third", &own).await, 409, "registered already");
    word.end(&gateway, "again");
    assert!(counting(&gateway, &own).await, "it rests on who proved it last");
}

#[tokio::test]
async fn a_server_that_an_application_brought_guards_as_long_as_it_may_act_for_her() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let gateway = open(&world, &word).await;
    let now = gateway.client.clock.now();
    bring_server(&world, &gateway, "helper").await;
    let read = || challenge(&gateway);
    assert!(read().await.contains(&world.issuer));
    word.end(&gateway, "helper");
    let after = read().await;
    assert!(!after.contains("ticket="), "nothing that it brought guards: {after}");
    let left = gateway.store.list_registrations("alice").await.unwrap();
    assert!(left.iter().all(|one| one.standing == Standing::Failed && one.error.is_some()), "{left:?}");
    let link = gateway.store.find_link("alice", &world.issuer).await.unwrap().unwrap();
    assert!(link.state == LinkState::Withdrawn && link.by.as_ref().unwrap().is_ended() && link.refresh_token.is_none());
    // linked anew by herself, it guards again
    let own = Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
    gateway.store.put_link("alice", &world.issuer, &own).await.unwrap();
    assert!(read().await.contains("ticket="));
}

/// Row 27: whoever hangs up while a server is ended leaves nothing behind that nobody registers any more.
#[tokio::test]
async fn threat_27_a_server_that_is_ended_half_way_is_ended_whole_by_the_next_call() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    let link = (*world.gateway.store.find_link("alice", &world.issuer).await.unwrap().unwrap()).clone();
    let own_id = types::OwnResourceId::from("/a.jpg");
    for polls in 0..12 {
        let pending = world.gateway.pending("alice", &own_id, &world.issuer, None);
        let registered = store::Registered { standing: Standing::Active, ..pending };
        world.gateway.store.change_registrations(std::slice::from_ref(&registered), &[]).await.unwrap();
        let placed = store::Opinion { placed: true, ..store::Opinion::default() };
        world.gateway.store.put_opinion("alice", &own_id, &placed).await.unwrap();
        {
            let mut ending =
                std::pin::pin!(world.gateway.end_server("alice", &world.issuer, &link, crate::gateway::brought::Over::Owner));
            for _ in 0..polls {
                if std::future::poll_fn(|context| std::task::Poll::Ready(ending.as_mut().poll(context).is_ready())).await {
                    break;
                }
                tokio::task::yield_now().await;
            }
        }
        // what had begun to be written is written
        for _ in 0..9 {
            tokio::task::yield_now().await;
        }
        world.gateway.end_server("alice", &world.issuer, &link, crate::gateway::brought::Over::Owner).await.unwrap();
        assert!(!world.gateway.store.find_opinion("alice", &own_id).await.unwrap().placed, "after {polls}");
        world.gateway.store.change_registrations(&[], &[&registered]).await.unwrap();
    }
}

#[tokio::test]
async fn an_application_that_confirms_a_server_vouches_for_it_and_no_longer_than_it_stands() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let gateway = open(&world, &word).await;
    let now = gateway.client.clock.now();
    let pending = Link { access_token: "pat".into(), expires: now.plus(3_600), state: LinkState::Pending, ..link::new_link(now) };
    gateway.store.put_link("alice", &world.issuer, &pending).await.unwrap();
    let issuer: String = form_urlencoded::byte_serialize(world.issuer.as_bytes()).collect();
    let path = format!("/.wayleave/manage/authorization-servers/{issuer}");
    assert_eq!(call(&gateway, "helper", "PUT", &path, json!({})).await.0, 200);
    let by = gateway.store.find_link("alice", &world.issuer).await.unwrap().unwrap().by.clone().unwrap();
    assert!(by.asked_about().is_some_and(|grant| grant.as_str() == "helper"), "{by:?}");
    assert!(gateway.counts("alice", Some(&by)).await);
    word.end(&gateway, "helper");
    assert!(!gateway.counts("alice", Some(&by)).await);
    assert_eq!(call(&gateway, "other", "PUT", &path, json!({})).await.0, 409, "it is linked again, not confirmed");
}

/// What is under way by a server whose application she let go ends as what begins does, though that server goes on to vouch.
#[tokio::test]
async fn what_is_under_way_by_a_server_ends_with_the_application_that_brought_it() {
    let (world, word) = (World::new(Store::in_memory(), &["a.jpg"]).await, Arc::new(Word::default()));
    let gateway = open(&world, &word).await;
    bring_server(&world, &gateway, "helper").await;
    assert!(challenge(&gateway).await.contains("ticket="));
    let token = HeaderValue::from_str(&format!("Bearer {}", world.rpt("r1"))).unwrap();
    let request = Request::get("/a.jpg").header("authorization", &token).body(Body::empty()).unwrap();
    let (mut parts, _) = request.into_parts();
    let path = path::CanonicalPath::parse("/a.jpg").unwrap();
    let Ok(wanted) = gateway.wanted(&mut parts, &path).await else { panic!("it is guarded") };
    let Ok(admitted) = gateway.admit(&parts, &path, &wanted).await else { panic!("the token lets in") };
    assert!(gateway.still_allows(&admitted, &token).await);
    word.end(&gateway, "helper");
    assert!(!gateway.still_allows(&admitted, &token).await, "nobody else calls who would notice");
}

/// An issuer of management tokens that can be asked, or not.
struct Issuer {
    key: SigningKey,
    url: String,
    says_active: Arc<AtomicBool>,
    status: Arc<StdMutex<u16>>,
}

impl Issuer {
    async fn start() -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let (says_active, status) = (Arc::new(AtomicBool::new(true)), Arc::new(StdMutex::new(200)));
        let own = Arc::new(std::sync::OnceLock::<String>::new());
        let (jwks, url) = (json!({"keys": [key.public().to_jwk()]}), own.clone());
        let metadata = move || {
            let at = |path: &str| format!("{}{path}", url.get().unwrap());
            let document = json!({"issuer": at(""), "authorization_endpoint": at("/a"), "token_endpoint": at("/t"),
                "jwks_uri": at("/jwks"), "introspection_endpoint": at("/introspect")});
            async { axum::Json(document) }
        };
        let (active, code) = (says_active.clone(), status.clone());
        let introspect = move || {
            let (active, code) = (active.load(Ordering::SeqCst), *code.lock().unwrap());
            let told = json!({"active": active, "scope": "uma_management", "sub": "alice", "aud": "http://photos.example",
                "client_id": "helper", "_grant": "g", "_client": {"client_id": "helper", "name": "Helper", "verified": false}});
            async move { (StatusCode::from_u16(code).unwrap(), axum::Json(if active { told } else { json!({"active": false}) })) }
        };
        let router = Router::new()
            .route("/.well-known/openid-configuration", get(metadata.clone()))
            .route("/.well-known/uma2-configuration", get(metadata))
            .route("/jwks", get(async move || axum::Json(jwks.clone())))
            .route("/introspect", post(introspect));
        let url = serve(router).await;
        own.set(url.clone()).unwrap();
        Self { key, url, says_active, status }
    }

    fn token(&self, age: i64) -> String {
        let iat = SystemClock.now().0 - age;
        let claims = json!({"iss": self.url, "aud": "http://photos.example", "sub": "alice", "client_id": "helper",
            "scope": "uma_management", "iat": iat, "exp": iat + 3_600, "jti": "j"});
        self.key.sign("at+jwt", &claims).unwrap()
    }
}

#[tokio::test]
async fn a_management_token_that_is_a_jwt_ends_with_the_application() {
    let (world, issuer) = (World::new(Store::in_memory(), &["a.jpg"]).await, Issuer::start().await);
    let management = Some(Management { issuer: issuer.url.clone(), owner_claim: "sub".into() });
    let settings = Settings { management, resource: "http://photos.example".into(), ..world.gateway.settings.clone() };
    let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), By::default()).await.unwrap();
    let history = async |token: &str| call(&gateway, token, "GET", "/.wayleave/manage/my-history", Value::Null).await.0;
    let (young, old) = (issuer.token(5), issuer.token(600));
    assert_eq!((history(&young).await, history(&old).await), (200, 200));
    issuer.says_active.store(false, Ordering::SeqCst);
    assert_eq!((history(&young).await, history(&old).await), (401, 401), "withdrawn");
    // whom nobody lets ask gives tokens that its keys alone speak for
    for (status, expected) in [(401, 200), (403, 200)] {
        *issuer.status.lock().unwrap() = status;
        assert_eq!(history(&old).await, expected, "{status}");
    }
    // whoever has too much to do, or is broken, says nothing: who was withdrawn long ago is not believed, and who may have been
    // a moment ago looks and brings nothing
    let key = || SigningKey::generate(Algorithm::EdDsa).unwrap();
    for status in [429, 503, 500, 400, 404] {
        *issuer.status.lock().unwrap() = status;
        assert!([502, 503].contains(&history(&old).await), "{status}");
        assert_eq!(history(&young).await, 200, "{status}");
        assert_eq!(bring(&gateway, &young, &key()).await, 503, "{status}");
        assert_eq!(
            call(&gateway, &young, "PUT", "/.wayleave/manage/authorization-servers/x", json!({})).await.0,
            503,
            "{status}"
        );
    }
    *issuer.status.lock().unwrap() = 200;
    assert_eq!((history(&young).await, history(&old).await), (401, 401), "withdrawn still");
    // a stranger's key has nobody asked
    let forged = Issuer { key: SigningKey::generate(Algorithm::EdDsa).unwrap(), ..issuer };
    *forged.status.lock().unwrap() = 200;
    forged.says_active.store(true, Ordering::SeqCst);
    assert_eq!(history(&forged.token(5)).await, 401);
}
