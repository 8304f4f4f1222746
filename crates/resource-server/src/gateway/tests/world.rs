//! The world of these tests: a gateway with a folder or a service behind it, and an authorization server of a page that
//! counts what it is asked.

use super::super::*;
use crate::watch::UploadLimits;
use axum::body::Body;
use axum::extract::Path as PathOf;
use axum::response::IntoResponse;
use axum::routing::get;
use jose::{Clock, SystemClock, SystemRandomness};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tower::ServiceExt;
use types::ScopeSet;

/// What the authorization server was asked, and how it behaves.
#[derive(Default)]
pub(super) struct Asked {
    pub(super) registered: StdMutex<Vec<String>>,
    pub(super) tickets: AtomicUsize,
    pub(super) pushed: AtomicUsize,
    /// Tickets are never given: whoever asks waits.
    pub(super) hangs: AtomicBool,
    /// The same with revocations and with PATs.
    pub(super) revocations_hang: AtomicBool,
    /// How often its token endpoint was asked, and its metadata were.
    pub(super) tokens: AtomicUsize,
    pub(super) found: AtomicUsize,
    /// Who is logged in there: claims of the ID token that a code is traded for.
    pub(super) logged_in: StdMutex<Option<Value>>,
    pub(super) revoked: AtomicUsize,
    /// Its list never comes.
    pub(super) listing_hangs: AtomicBool,
    /// How often its list was asked for, and descriptions were.
    pub(super) listed: AtomicUsize,
    pub(super) read: AtomicUsize,
    /// Registrations are not answered, but for this resource.
    pub(super) hangs_but_for: StdMutex<Option<String>>,
    /// After so many registrations the others are answered so.
    pub(super) answers: StdMutex<Option<(usize, u16)>>,
    /// Those are heard all the same.
    pub(super) hears_all: AtomicBool,
    pub(super) now: AtomicUsize,
    pub(super) most_at_once: AtomicUsize,
    pub(super) deleted: StdMutex<Vec<String>>,
    /// It lists nothing: of one owner's PAT it would list what is another's.
    pub(super) lists_nothing: AtomicBool,
}

impl Asked {
    /// Nothing is registered there any more while it hangs; `None`: it answers again.
    pub(super) fn hang_but_for(&self, own_id: Option<&str>) {
        *self.hangs_but_for.lock().unwrap() = own_id.map(str::to_owned);
    }

    pub(super) fn answer_after(&self, count: usize, status: u16) {
        *self.answers.lock().unwrap() = Some((count, status));
    }

    pub(super) fn answer_well(&self) {
        *self.answers.lock().unwrap() = None;
    }

    fn hear(&self, own_id: &str) -> String {
        let mut all = self.registered.lock().unwrap();
        all.push(own_id.to_owned());
        format!("r{}", all.len())
    }

    async fn register(&self, own_id: String) -> Response {
        let count = self.now.fetch_add(1, Ordering::SeqCst) + 1;
        self.most_at_once.fetch_max(count, Ordering::SeqCst);
        let answer = self.registering(&own_id).await;
        self.now.fetch_sub(1, Ordering::SeqCst);
        answer
    }

    async fn registering(&self, own_id: &str) -> Response {
        let hangs = || self.hangs_but_for.lock().unwrap().as_deref().is_some_and(|but_for| but_for != own_id);
        while hangs() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let answers = *self.answers.lock().unwrap();
        let heard = self.registered.lock().unwrap().len();
        match answers.filter(|(count, _)| heard >= *count) {
            Some((_, status)) => {
                if self.hears_all.load(Ordering::SeqCst) {
                    self.hear(own_id);
                }
                let status = StatusCode::from_u16(status).unwrap();
                (status, [("retry-after", "1")], axum::Json(json!({"error": "no"}))).into_response()
            }
            None => (StatusCode::CREATED, axum::Json(json!({"_id": self.hear(own_id)}))).into_response(),
        }
    }
}

pub(super) struct World {
    pub(super) gateway: Arc<Gateway>,
    pub(super) issuer: String,
    pub(super) asked: Arc<Asked>,
    pub(super) key: Arc<SigningKey>,
    pub(super) folder: PathBuf,
}

/// A server that hangs is waited for for five seconds.
pub(super) const SOONER_THAN_A_HANGING_ONE: Duration = Duration::from_millis(4_500);

async fn wait_if(hangs: &AtomicBool) {
    while hangs.load(Ordering::SeqCst) {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// Serves a router on loopback; its URL.
pub(super) async fn serve(router: Router) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await });
    url
}

async fn authorization_server(asked: Arc<Asked>, key: Arc<SigningKey>) -> String {
    let own_url = Arc::new(std::sync::OnceLock::<String>::new());
    let url = own_url.clone();
    let (tokens, found, revoked) = (asked.clone(), asked.clone(), asked.clone());
    let (issuer, signing) = (own_url.clone(), key.clone());
    let token = move || {
        tokens.tokens.fetch_add(1, Ordering::SeqCst);
        let mut claims = tokens.logged_in.lock().unwrap().clone();
        let known_as = claims.as_mut().and_then(|claims| claims.as_object_mut()?.remove("known_as"));
        let answer = claims.map(|mut claims| {
            (claims["iss"], claims["aud"]) = (json!(issuer.get().unwrap()), json!("photos"));
            claims["exp"] = json!(SystemClock.now().0 + 60);
            let id_token = signing.sign("JWT", &claims).unwrap();
            json!({"access_token": "pat", "token_type": "Bearer", "expires_in": 3_600, "id_token": id_token,
                "resource": known_as})
        });
        let refused = (StatusCode::BAD_REQUEST, axum::Json(json!({"error": "invalid_grant"})));
        async { answer.map_or(refused, |answer| (StatusCode::OK, axum::Json(answer))) }
    };
    let revoke = move || {
        revoked.revoked.fetch_add(1, Ordering::SeqCst);
        async { StatusCode::OK }
    };
    let metadata = move || {
        found.found.fetch_add(1, Ordering::SeqCst);
        let at = |path: &str| format!("{}{path}", url.get().unwrap());
        let document = json!({"issuer": at(""), "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
            "authorization_endpoint": at("/authorize"), "permission_endpoint": at("/perm"),
            "pushed_authorization_request_endpoint": at("/par"), "introspection_endpoint": at("/introspect"),
            "revocation_endpoint": at("/revoke"),
            "resource_registration_endpoint": at("/rreg"), "revocations_endpoint": at("/revocations")});
        async move { axum::Json(document) }
    };
    let (b, c, d, e) = (asked.clone(), asked.clone(), asked.clone(), asked.clone());
    let jwks = move || {
        let key = key.clone();
        async move { axum::Json(json!({"keys": [key.public().to_jwk()]})) }
    };
    let ticket = move || {
        let asked = b.clone();
        async move {
            asked.tickets.fetch_add(1, Ordering::SeqCst);
            wait_if(&asked.hangs).await;
            (StatusCode::CREATED, axum::Json(json!({"ticket": "t"})))
        }
    };
    let register = move |body: axum::Json<Value>| {
        let asked = c.clone();
        async move { asked.register(body["_resource_id"].as_str().unwrap_or_default().to_owned()).await }
    };
    let push = move || {
        d.pushed.fetch_add(1, Ordering::SeqCst);
        async { (StatusCode::CREATED, axum::Json(json!({"request_uri": "urn:x:1", "expires_in": 90}))) }
    };
    let ids = asked.clone();
    let list = move |request: Request| {
        ids.listed.fetch_add(1, Ordering::SeqCst);
        let lists_nothing = ids.lists_nothing.load(Ordering::SeqCst);
        let count = if lists_nothing { 0 } else { ids.registered.lock().unwrap().len() };
        let query = request.uri().query().unwrap_or_default().to_owned();
        let after = query.split_once("after=r").and_then(|(_, after)| after.parse().ok()).unwrap_or(0);
        let ids = ids.clone();
        async move {
            wait_if(&ids.listing_hangs).await;
            axum::Json((after + 1..=count).take(1_000).map(|n| format!("r{n}")).collect::<Vec<_>>())
        }
    };
    let gone = asked.clone();
    let delete = move |PathOf(id): PathOf<String>| {
        gone.deleted.lock().unwrap().push(id);
        async { StatusCode::NO_CONTENT }
    };
    let one = move |PathOf(id): PathOf<String>| {
        asked.read.fetch_add(1, Ordering::SeqCst);
        let n: usize = id.trim_start_matches('r').parse().unwrap();
        let own_id = asked.registered.lock().unwrap()[n - 1].clone();
        async move { axum::Json(json!({"_id": id, "resource_scopes": ["view"], "_resource_id": own_id})) }
    };
    let revocations = move |request: Request| {
        let asked = e.clone();
        async move {
            if request.uri().query() != Some("after=") {
                std::future::pending::<()>().await;
            }
            wait_if(&asked.revocations_hang).await;
            axum::Json(json!({"revoked": [], "ended": false, "next": "n"}))
        }
    };
    let router = Router::new()
        .route("/.well-known/uma2-configuration", get(metadata))
        .route("/jwks", get(jwks))
        .route("/token", axum::routing::post(token))
        .route("/revoke", axum::routing::post(revoke))
        .route("/perm", axum::routing::post(ticket))
        .route("/rreg", get(list).post(register))
        .route("/rreg/{id}", get(one).delete(delete))
        .route("/par", axum::routing::post(push))
        .route("/revocations", get(revocations));
    let issuer = serve(router).await;
    own_url.set(issuer.clone()).unwrap();
    issuer
}

pub(in crate::gateway) fn route(path: &str) -> Route {
    route_with(path, |_| ())
}

/// What a path stands for is Alice's, is a resource of its own and may be viewed, but for these changes.
pub(in crate::gateway) fn route_with(path: &str, change: impl FnOnce(&mut Guarded)) -> Route {
    let path = Pattern::parse(path).unwrap();
    let mut guarded = Guarded {
        resource: path.clone(),
        also: vec![],
        owner: OwnerOf::Named("alice".into()),
        resource_type: None,
        name: None,
        scopes: [("GET".to_owned(), ScopeSet::parse("view").unwrap())].into_iter().collect(),
        takes_web_sockets: false,
        tells_email: false,
    };
    change(&mut guarded);
    Route { path, access: Access::Guarded(Box::new(guarded)) }
}

pub(super) const RESOURCE: &str = "https://photos.example";

async fn open(behind: Behind, store: Store, issuer: &str) -> Arc<Gateway> {
    let thumbnails = if let Behind::Folder(folder) = &behind { Some(folder.join(".thumbnails")) } else { None };
    let thumbnail_script =
        thumbnails.as_ref().map(|kept| super::viewing::thumbnails::stand_in(&kept.with_extension("made"))).unwrap_or_default();
    let settings = Settings {
        resource: RESOURCE.into(),
        name: "Photos".into(),
        behind,
        authorization_servers: vec![issuer.to_owned()],
        pat: PatBy::Code,
        check: Check::Offline,
        trust: Trust::List,
        management: None,
        owner_claim: "sub".into(),
        routes: vec![route("/{photo}")],
        uploads: UploadLimits::default(),
        pass_headers: Vec::new(),
        cors_origins: Vec::new(),
        forward_auth: None,
        content_origin: Some("https://content.example".into()),
        thumbnails,
        thumbnail_command: vec!["/bin/sh".into(), "-c".into(), thumbnail_script],
    };
    let allowed = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
    let client = Client {
        outbound: outbound::Outbound::new(allowed).unwrap(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: client::Credentials::secret("photos", "secret"),
        dpop_key: None,
    };
    Gateway::open(settings, client, store, By::default()).await.unwrap()
}

impl World {
    /// A folder of Alice's with these files; she has linked the gateway.
    pub(super) async fn new(store: Store, files: &[&str]) -> Self {
        static FOLDERS: AtomicUsize = AtomicUsize::new(0);
        let name = format!("wayleave-folder-{}-{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        for file in files {
            std::fs::write(folder.join(file), "a picture").unwrap();
        }
        Self::before(Behind::Folder(folder.clone()), store, folder).await
    }

    pub(super) async fn before(behind: Behind, store: Store, folder: PathBuf) -> Self {
        let (asked, key) = (Arc::<Asked>::default(), Arc::new(SigningKey::generate(Algorithm::Es256).unwrap()));
        let issuer = authorization_server(asked.clone(), key.clone()).await;
        let gateway = open(behind, store, &issuer).await;
        Self { gateway, issuer, asked, key, folder }
    }

    /// The same world after the gateway ended, whichever way.
    pub(super) async fn again(&self, store: Store) -> Self {
        let (asked, key, issuer) = (self.asked.clone(), self.key.clone(), self.issuer.clone());
        let gateway = open(Behind::Folder(self.folder.clone()), store, &issuer).await;
        Self { gateway, issuer, asked, key, folder: PathBuf::new() }
    }

    /// Alice links.
    pub(super) async fn link(&self) {
        let now = self.gateway.client.clock.now();
        let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
        self.gateway.store.put_link("alice", &self.issuer, &link).await.unwrap();
    }

    /// Somebody links, as the last page of a link does it.
    pub(super) async fn link_and_enrol(&self, owner: &str) -> enrolment::Enrolled {
        let tokens = json!({"access_token": "pat", "token_type": "Bearer", "expires_in": 3_600});
        let (tokens, link) = (serde_json::from_value(tokens).unwrap(), link::new_link(self.gateway.client.clock.now()));
        self.gateway.keep_new(owner, &self.issuer, tokens, link).await.unwrap();
        self.gateway.wait_for_enrolment(owner).await
    }

    /// How many of an owner's are in this state.
    pub(super) async fn count(&self, owner: &str, standing: store::Standing) -> usize {
        let all = self.gateway.store.list_registrations(owner).await.unwrap();
        all.iter().filter(|one| one.standing == standing).count()
    }

    /// Waits until something holds.
    pub(super) async fn until(&self, what: &str, holds: impl AsyncFn() -> bool) {
        let begun = Instant::now();
        while !holds().await {
            assert!(begun.elapsed() < Duration::from_secs(60), "{what}");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Waits until so many of an owner's are registered, and nothing of hers is on its way.
    pub(super) async fn until_registered(&self, owner: &str, count: usize) {
        // looking through thousands of rows would be most of the work
        self.until("they are told", async || self.registered().len() >= count).await;
        self.until("all are registered", async || self.count(owner, store::Standing::Active).await == count).await;
    }

    /// Everything is registered, and nothing twice.
    pub(super) fn assert_each_once(&self, count: usize) {
        let mut all = self.registered();
        all.sort();
        let told = all.len();
        all.dedup();
        assert_eq!((told, all.len()), (count, count));
    }

    /// An RPT to view this.
    pub(super) fn rpt(&self, resource_id: &str) -> String {
        self.rpt_with(&self.key, resource_id, "1")
    }

    pub(super) fn rpt_with(&self, key: &SigningKey, resource_id: &str, jti: &str) -> String {
        self.rpt_living(key, resource_id, jti, 600)
    }

    pub(super) fn rpt_living(&self, key: &SigningKey, resource_id: &str, jti: &str, seconds: i64) -> String {
        let now = self.gateway.client.clock.now().0;
        let claims = json!({"iss": self.issuer, "aud": RESOURCE, "jti": jti, "iat": now,
            "exp": now + seconds, "client_id": "viewer", "sub": "bob",
            "permissions": [{"resource_id": resource_id, "resource_scopes": ["view"]}]});
        key.sign("at+jwt", &claims).unwrap()
    }

    pub(super) async fn get(&self, path: &str, token: Option<&str>) -> Response {
        let mut request = Request::get(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let router = self.gateway.clone().router();
        router.oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
    }

    pub(super) async fn status(&self, path: &str, token: Option<&str>) -> u16 {
        self.get(path, token).await.status().as_u16()
    }

    /// How often each resource was registered.
    pub(super) fn registered(&self) -> Vec<String> {
        self.asked.registered.lock().unwrap().clone()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}
