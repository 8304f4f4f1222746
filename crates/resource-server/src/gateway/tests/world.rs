//! The world of these tests: a gateway with a folder or a service behind it, and an authorization server of a page that
//! counts what it is asked.

use super::super::*;
use axum::body::Body;
use axum::extract::Path as PathOf;
use axum::routing::get;
use jose::{SystemClock, SystemRandomness};
use serde_json::{Value, json};
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
    pub(super) metadata_read: AtomicUsize,
}

pub(super) struct World {
    pub(super) gateway: Arc<Gateway>,
    pub(super) issuer: String,
    pub(super) asked: Arc<Asked>,
    pub(super) key: Arc<SigningKey>,
    pub(super) folder: PathBuf,
}

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
    let found = asked.clone();
    let metadata = move || {
        found.metadata_read.fetch_add(1, Ordering::SeqCst);
        let at = |path: &str| format!("{}{path}", url.get().unwrap());
        let document = json!({"issuer": at(""), "token_endpoint": at("/token"), "jwks_uri": at("/jwks"),
            "authorization_endpoint": at("/authorize"), "permission_endpoint": at("/perm"),
            "pushed_authorization_request_endpoint": at("/par"), "introspection_endpoint": at("/introspect"),
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
        let mut all = c.registered.lock().unwrap();
        all.push(body["_resource_id"].as_str().unwrap_or_default().to_owned());
        let answer = (StatusCode::CREATED, axum::Json(json!({"_id": format!("r{}", all.len())})));
        async move { answer }
    };
    let push = move || {
        d.pushed.fetch_add(1, Ordering::SeqCst);
        async { (StatusCode::CREATED, axum::Json(json!({"request_uri": "urn:x:1", "expires_in": 90}))) }
    };
    let ids = asked.clone();
    let list = move || {
        let count = ids.registered.lock().unwrap().len();
        async move { axum::Json((1..=count).map(|n| format!("r{n}")).collect::<Vec<_>>()) }
    };
    let one = move |PathOf(id): PathOf<String>| {
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
        .route("/perm", axum::routing::post(ticket))
        .route("/rreg", get(list).post(register))
        .route("/rreg/{id}", get(one))
        .route("/par", axum::routing::post(push))
        .route("/revocations", get(revocations));
    let issuer = serve(router).await;
    own_url.set(issuer.clone()).unwrap();
    issuer
}

pub(super) fn route(path: &str) -> Route {
    let scopes = [("GET".to_owned(), ScopeSet::parse("view").unwrap())].into();
    let (path, resource) = (path.to_owned(), path.to_owned());
    let owner = OwnerOf::Named("alice".into());
    Route { path, resource, also: vec![], owner, resource_type: None, scopes, takes_web_sockets: false }
}

pub(super) const RESOURCE: &str = "https://photos.example";

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
        let settings = Settings {
            resource: RESOURCE.into(),
            name: "Photos".into(),
            behind,
            authorization_servers: vec![issuer.clone()],
            pat: PatBy::Code,
            check: Check::Offline,
            trust: Trust::List,
            management: None,
            owner_claim: "sub".into(),
            routes: vec![route("/{photo}")],
            uploads: UploadLimits::default(),
        };
        let allowed = outbound::Settings { allow_http: true, allow_private_networks: true, ..outbound::Settings::default() };
        let client = Client {
            outbound: outbound::Outbound::new(allowed).unwrap(),
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: client::Credentials::secret("photos", "secret"),
            dpop_key: None,
        };
        let gateway = Gateway::open(settings, client, store, By::default()).await.unwrap();
        Self { gateway, issuer, asked, key, folder }
    }

    /// Alice links.
    pub(super) async fn link(&self) {
        let now = self.gateway.client.clock.now();
        let link = store::Link { access_token: "pat".into(), expires: now.plus(3_600), ..link::new_link(now) };
        self.gateway.store.put_link("alice", &self.issuer, &link).await.unwrap();
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
