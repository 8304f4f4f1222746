//! Authorization servers that lie, hang or shout, and owner's tokens in wrong hands: each is refused, the owner can see
//! it, and nobody else notices (protocol.md 3, threat 22).

use crate::choosing::{HOLIDAY, LABORATORY, Owner, open_gateway};
use crate::gateway::{Guarded, admitted, challenge_of, raw};
use crate::processes::Server;
use axum::Json;
use axum::extract::{Query, Request, State};
use axum::response::{IntoResponse, Redirect, Response};
use jose::{Algorithm, Clock, SigningKey, SystemClock, did};
use outbound::Method;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use types::challenge::UNREACHABLE_WARNING;

/// What it says to introspection, beside the truth.
#[derive(Clone)]
enum Lie {
    Answer(Value),
    Status(u16),
    Shout,
    Hang,
}

/// An authorization server in the hands of somebody else.
#[derive(Clone)]
pub(crate) struct Foreign {
    pub(crate) issuer: String,
    key: Arc<SigningKey>,
    lie: Arc<Mutex<Lie>>,
    nonce: Arc<Mutex<String>>,
    /// What was asked of it.
    asked: Arc<Mutex<Vec<String>>>,
    /// What it tells a desk, by path.
    pub(crate) lists: Arc<Mutex<BTreeMap<String, Value>>>,
}

impl Foreign {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let foreign = Self {
            issuer: format!("http://{}", listener.local_addr().unwrap()),
            key: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()),
            lie: Arc::new(Mutex::new(Lie::Status(500))),
            nonce: Arc::default(),
            asked: Arc::default(),
            lists: Arc::default(),
        };
        let router = axum::Router::new().fallback(answer).with_state(foreign.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        foreign
    }

    fn tells(&self, lie: Lie) {
        *self.lie.lock().unwrap() = lie;
    }

    pub(crate) fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.asked.lock().unwrap())
    }

    fn metadata(&self) -> Value {
        let url = |path: &str| format!("{}/{path}", self.issuer);
        let mut metadata = json!({
            "issuer": self.issuer, "authorization_endpoint": url("authorize"), "token_endpoint": url("token"),
            "jwks_uri": url("jwks"), "registration_endpoint": url("register"), "introspection_endpoint": url("introspect"),
            "permission_endpoint": url("permission"), "resource_registration_endpoint": url("rreg"),
        });
        for path in self.lists.lock().unwrap().keys().filter(|path| path.ends_with("_endpoint")) {
            metadata[path] = json!(url(path));
        }
        metadata
    }

    fn tokens(&self) -> Value {
        let now = SystemClock.now().0;
        let id_token = json!({"iss": self.issuer, "aud": "us", "sub": "a", "nonce": *self.nonce.lock().unwrap(), "iat": now, "exp": now + 300});
        json!({"access_token": "pat", "token_type": "Bearer", "expires_in": 3600, "refresh_token": "more",
            "id_token": self.key.sign("JWT", &id_token).unwrap()})
    }

    /// An RPT of its own making.
    fn rpt(&self, guarded: &Guarded, lifetime: i64, permissions: &Value) -> String {
        let now = SystemClock.now().0;
        let claims = json!({
            "iss": self.issuer, "aud": guarded.url, "sub": "b", "client_id": "viewer", "iat": now, "exp": now + lifetime,
            "jti": "made-up", "permissions": permissions,
        });
        self.key.sign("at+jwt", &claims).unwrap()
    }
}

async fn answer(State(foreign): State<Foreign>, Query(query): Query<BTreeMap<String, String>>, request: Request) -> Response {
    let path = request.uri().path().to_owned();
    foreign.asked.lock().unwrap().push(path.clone());
    match path.as_str() {
        "/.well-known/uma2-configuration" => Json(foreign.metadata()).into_response(),
        "/lying/.well-known/uma2-configuration" => Json(foreign.metadata()).into_response(),
        "/jwks" => Json(json!({"keys": [foreign.key.public().to_jwk()]})).into_response(),
        "/register" => {
            (http::StatusCode::CREATED, Json(json!({"client_id": "us", "client_secret": "s", "client_id_issued_at": 0})))
                .into_response()
        }
        "/authorize" => {
            *foreign.nonce.lock().unwrap() = query["nonce"].clone();
            Redirect::to(&format!("{}?code=c&state={}", query["redirect_uri"], query["state"])).into_response()
        }
        "/.well-known/webfinger" => Redirect::to("/.well-known/webfinger?again=1").into_response(),
        "/token" => Json(foreign.tokens()).into_response(),
        "/rreg" => (http::StatusCode::CREATED, Json(json!({"_id": "theirs"}))).into_response(),
        "/permission" => (http::StatusCode::CREATED, Json(json!({"ticket": "their-ticket"}))).into_response(),
        "/introspect" => {
            let lie = foreign.lie.lock().unwrap().clone();
            match lie {
                Lie::Answer(answer) => Json(answer).into_response(),
                Lie::Status(status) => http::StatusCode::from_u16(status).unwrap().into_response(),
                Lie::Shout => "x".repeat(100_000_000).into_response(),
                Lie::Hang => std::future::pending().await,
            }
        }
        // what others share with whoever asks is another list
        _ if query.contains_key("role") => Json(json!([])).into_response(),
        path => match foreign.lists.lock().unwrap().get(path.trim_start_matches('/')) {
            Some(list) => Json(list.clone()).into_response(),
            None => http::StatusCode::NOT_FOUND.into_response(),
        },
    }
}

/// A server that hangs is waited for for five seconds.
const SOONER_THAN_A_HANGING_ONE: std::time::Duration = std::time::Duration::from_millis(4_500);

#[tokio::test]
async fn a_server_that_lies_hangs_or_shouts_harms_nobody_else() {
    let (server, foreign) = (Server::start(LABORATORY), Foreign::start().await);
    let guarded = open_gateway(&server, |text| text);
    let alice = Owner::with(&server, &guarded).await;
    // its metadata say that they are somebody else's
    let lying = json!({"issuer": format!("{}/lying", foreign.issuer)});
    let (status, refusal) = alice.call(Method::POST, "/authorization-servers", lying).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("unsupported_authorization_server")), "{refusal}");
    // she links it, all the same, and puts an album there with `view` alone
    let to = alice.brings(json!({"issuer": foreign.issuer})).await;
    let settings = outbound::Settings { allow_private_networks: true, allow_http: true, ..Default::default() };
    let mut browser = wayleave::demo::browser::Browser::new(outbound::Outbound::new(settings).unwrap());
    assert!(browser.open(&to).await.unwrap().html.contains("linked"));
    let issuer: String = form_urlencoded::byte_serialize(foreign.issuer.as_bytes()).collect();
    assert_eq!(alice.call(Method::PUT, &format!("/authorization-servers/{issuer}"), Value::Null).await.0, 200);
    raw(Method::GET, &guarded.photo(), &[]).await;
    let wanted = json!({"authorization_server": foreign.issuer, "resource_scopes": ["view"]});
    assert_eq!(alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), wanted).await.0, 201);
    let honest = admitted(&server, &guarded, 1).await;
    let honest = format!("{} {}", honest.token_type, honest.token);
    let others_notice_nothing = async || {
        let begun = std::time::Instant::now();
        assert_eq!(raw(Method::GET, &guarded.photo(), &[("authorization", &honest)]).await.status, 200);
        assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
    };
    let mut serial = 0;
    let mut call = async |method: Method| {
        serial += 1;
        let token = format!("Bearer theirs-{serial}");
        raw(method, &guarded.photo(), &[("authorization", &token), ("authorization-server", &foreign.issuer)]).await
    };
    let says = |resource: &str, scopes: Value| {
        Lie::Answer(json!({"active": true, "client_id": "viewer", "iss": server.issuer,
            "permissions": [{"resource_id": resource, "resource_scopes": scopes}]}))
    };
    foreign.tells(says("theirs", json!(["view", "delete", "own"])));
    assert_eq!(call(Method::GET).await.status, 200, "what she registered there, it may grant");
    assert_eq!(call(Method::DELETE).await.status, 401, "and no more than that");
    let told = alice.get("/my-history").await.to_string();
    assert!(told.contains("was granted, and is not registered there"), "{told}");
    // resources of other servers, or of nobody
    let all = alice.get(&format!("{HOLIDAY}/registrations")).await;
    let honest_one = all.as_array().unwrap().iter().find(|one| one["authorization_server"] == server.issuer).unwrap();
    let known = honest_one["authorization_server_resource_id"].clone();
    for resource in [known.as_str().unwrap(), "/albums/holiday", "nothing"] {
        foreign.tells(says(resource, json!(["view"])));
        assert_eq!(challenge_of(&call(Method::GET).await).as_uri, foreign.issuer, "{resource}");
    }
    for lie in [Lie::Status(500), Lie::Shout, Lie::Answer(json!("nonsense")), Lie::Answer(json!({"active": "yes"}))] {
        foreign.tells(lie);
        assert!(matches!(call(Method::GET).await.status.as_u16(), 401 | 403));
        others_notice_nothing().await;
    }
    foreign.tells(Lie::Hang);
    call(Method::GET).await;
    others_notice_nothing().await;
    // it is left alone for a while: nobody waits for it twice
    let begun = std::time::Instant::now();
    call(Method::GET).await;
    assert!(begun.elapsed() < SOONER_THAN_A_HANGING_ONE, "{:?}", begun.elapsed());
}

/// Alice's key, registered at the gateway.
struct Signer {
    key: SigningKey,
    did: String,
}

impl Signer {
    async fn of(alice: &Owner, guarded: &Guarded) -> Self {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let mut credential = json!({"cred_type": "did", "cred_value": {"id": did}});
        let (_, asked) = alice.call(Method::POST, "/my-credentials", credential.clone()).await;
        let claims = json!({"aud": guarded.url, "nonce": asked["challenge"], "iat": SystemClock.now()});
        credential["proof"] = json!(key.sign_as("credential-proof+jwt", &did, &claims).unwrap());
        assert_eq!(alice.call(Method::POST, "/my-credentials", credential).await.0, 201);
        Self { key, did }
    }

    /// For `view` and `edit` of the album, with changes.
    fn signs(&self, guarded: &Guarded, issuer: &str, changes: Value) -> String {
        let now = SystemClock.now().0;
        let mut claims = json!({
            "jti": "r1", "iss": self.did, "resource_owner_id": self.did, "aud": [guarded.url, issuer], "iat": now, "exp": now + 600,
            "allowed_rqp": {"client_id": "viewer"},
            "resources": [{"resource_server": guarded.url, "resource_id": "/albums/holiday", "allowed_scopes": ["view", "edit"]}],
        });
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.key.sign_as("rot+jwt", &self.did, &claims).unwrap()
    }
}

#[tokio::test]
async fn threat_22_what_she_signed_counts_where_she_signed_it_for_without_pat_or_introspection() {
    let (server, foreign) = (Server::start(LABORATORY), Foreign::start().await);
    let guarded = open_gateway(&server, |text| text.replace("trust = \"any\"", "trust = \"rot-required\""));
    let alice = Owner::with(&server, &guarded).await;
    let signer = Signer::of(&alice, &guarded).await;
    let permission = |rot: &str, resource: &str, scopes: Value| json!([{"resource_id": resource, "resource_scopes": scopes, "authority": rot}]);
    let get = async |method: Method, rpt: &str| {
        raw(method, &guarded.photo(), &[("authorization", &format!("Bearer {rpt}"))]).await.status.as_u16()
    };
    let rot = signer.signs(&guarded, &foreign.issuer, json!({}));
    let good = permission(&rot, "/albums/holiday", json!(["view", "edit", "delete"]));
    // wrong in any way: refused, before a single key of that server is fetched
    let wide =
        json!({"resources": [{"resource_server": guarded.url, "resource_id": "/albums/other", "allowed_scopes": ["view"]}]});
    let elsewhere = json!({"resources": [{"resource_server": "https://rs.example", "resource_id": "/albums/holiday", "allowed_scopes": ["view"]}]});
    let stranger = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let stranger = Signer { did: did::of_key(stranger.public()), key: stranger };
    let past = json!({"iat": SystemClock.now().0 - 600, "exp": SystemClock.now().0 - 1});
    let claims: Value = json!({"iat": 1});
    for (rot, why) in [
        (signer.signs(&guarded, &server.issuer, json!({})), "it is for another authorization server"),
        (signer.signs(&guarded, &foreign.issuer, json!({"aud": [foreign.issuer]})), "it is not for this resource server"),
        (signer.signs(&guarded, &foreign.issuer, past), "it is over"),
        (signer.signs(&guarded, &foreign.issuer, wide), "it is about another resource"),
        (signer.signs(&guarded, &foreign.issuer, elsewhere), "it is about another resource server"),
        (signer.signs(&guarded, &foreign.issuer, json!({"allowed_rqp": {"client_id": "printer"}})), "it is for another client"),
        (signer.signs(&guarded, &foreign.issuer, json!({"allowed_rqp": {"cnf": {"jkt": "x"}}})), "it is for another key"),
        (signer.signs(&guarded, &foreign.issuer, json!({"padding": "x".repeat(5_000)})), "it is too long"),
        (stranger.signs(&guarded, &foreign.issuer, json!({})), "nobody registered that key"),
        (Signer { key: stranger.key, did: signer.did.clone() }.signs(&guarded, &foreign.issuer, json!({})), "it is forged"),
        (signer.key.sign_as("at+jwt", &signer.did, &claims).unwrap(), "it is something else"),
    ] {
        let rpt = foreign.rpt(&guarded, 60, &permission(&rot, "/albums/holiday", json!(["view"])));
        assert_ne!(get(Method::GET, &rpt).await, 200, "{why}");
        assert_eq!(foreign.asked(), Vec::<String>::new(), "{why}");
    }
    let told = alice.get("/my-history").await.to_string();
    for why in [
        "it is not for this resource server and the issuer of the RPT",
        "it is signed by no credential of this owner",
        "it does not speak of this resource",
        "it is not its time",
    ] {
        assert!(told.contains(why), "she sees why: {told}");
    }
    assert!(told.contains("unknown") && !told.contains(&foreign.issuer), "and nothing of what a token says of itself: {told}");
    let unsigned = json!([{"resource_id": "/albums/holiday", "resource_scopes": ["view"]}]);
    assert_ne!(get(Method::GET, &foreign.rpt(&guarded, 60, &unsigned)).await, 200);
    let half = json!([good[0], {"resource_id": "/albums/other", "resource_scopes": ["view"]}]);
    assert_ne!(get(Method::GET, &foreign.rpt(&guarded, 60, &half)).await, 200, "every permission must carry one");
    assert_eq!(foreign.asked(), Vec::<String>::new());
    // right: nothing was ever registered there, and nobody is asked
    let rpt = foreign.rpt(&guarded, 60, &good);
    assert_eq!(get(Method::GET, &rpt).await, 200);
    assert_eq!(foreign.asked(), ["/.well-known/uma2-configuration", "/jwks"]);
    assert_ne!(get(Method::DELETE, &rpt).await, 200, "no more than she signed");
    assert_ne!(get(Method::GET, &foreign.rpt(&guarded, 61, &good)).await, 200, "nobody could tell that it was revoked");
    let mut forged: Vec<&str> = rpt.split('.').collect();
    let signature = jose::base64url::encode([0; 64]);
    forged[2] = &signature;
    assert_ne!(get(Method::GET, &forged.join(".")).await, 200);
    let (told, allowed) = alice.allowed().await;
    assert_eq!((&allowed["authority"], &allowed["authorization_server"]), (&json!("r1"), &json!(foreign.issuer)), "{told}");
    let gone = json!({"jti": "r1", "exp": SystemClock.now().0 + 600});
    assert_eq!(alice.call(Method::POST, "/my-withdrawn-tokens", gone).await.0, 204);
    assert_ne!(get(Method::GET, &rpt).await, 200);
    // until something is registered or signed, there is nobody to get a ticket from
    let nowhere = raw(Method::GET, &format!("{}/albums/holiday/1.jpg", guarded.url), &[]).await;
    assert!(nowhere.status == 401 || nowhere.header("warning") == Some(UNREACHABLE_WARNING));
}

/// Threat 17: what an owner names does not lead inside, nor from place to place.
#[tokio::test]
async fn threat_17_addresses_and_issuers_lead_nowhere_inside() {
    let (server, foreign) = (Server::start(LABORATORY), Foreign::start().await);
    let host = foreign.issuer.strip_prefix("http://").unwrap().to_owned();
    // as it is run in earnest: no switch of a laboratory
    let guarded = open_gateway(&server, |text| text[..text.find("[outbound]").unwrap()].to_owned());
    let alice = Owner::with(&server, &guarded).await;
    for wanted in [
        json!({"issuer": foreign.issuer}),
        json!({"issuer": format!("https://{host}")}),
        json!({"address": format!("alice@{host}")}),
        json!({"address": "alice@localhost"}),
        json!({"address": "alice@10.0.0.1"}),
    ] {
        let (status, refusal) = alice.call(Method::POST, "/authorization-servers", wanted.clone()).await;
        assert!(matches!(status, 400 | 502), "{wanted}: {refusal}");
    }
    assert_eq!(foreign.asked(), Vec::<String>::new(), "nothing inside was ever called");
    drop(guarded);
    // a laboratory may; but nobody is led from place to place
    let guarded = open_gateway(&server, |text| {
        text.replace("allow_http = true", &format!("allow_http = true\nhosts = {{ \"foo.example\" = \"{host}\" }}"))
    });
    let alice = Owner::with(&server, &guarded).await;
    let (status, refusal) = alice.call(Method::POST, "/authorization-servers", json!({"address": "alice@foo.example"})).await;
    assert_eq!((status, &refusal["error"]), (400, &json!("unsupported_authorization_server")), "{refusal}");
    assert_eq!(foreign.asked().iter().filter(|path| path.contains("webfinger")).count(), 3, "two redirects, and no more");
}

/// An application's keys are a credential, a shared secret is none.
#[tokio::test]
async fn an_applications_keys_are_a_credential_too() {
    let (server, foreign) = (Server::start(LABORATORY), Foreign::start().await);
    let guarded = open_gateway(&server, |text| text.replace("trust = \"any\"", "trust = \"rot-required\""));
    let alice = Owner::with(&server, &guarded).await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let keys = json!({"keys": [key.public().to_jwk()]});
    let shared = json!({"cred_type": "client", "cred_value": {"client_id": "app", "client_secret": "s", "jwks": keys}});
    assert_eq!(alice.call(Method::POST, "/my-credentials", shared).await.1["error"], json!("invalid_request"));
    let mut credential = json!({"cred_type": "client", "cred_value": {"client_id": "app", "jwks": keys}});
    let (_, asked) = alice.call(Method::POST, "/my-credentials", credential.clone()).await;
    let claims = json!({"aud": guarded.url, "nonce": asked["challenge"], "iat": SystemClock.now()});
    let wrong = SigningKey::generate(Algorithm::Es256).unwrap();
    credential["proof"] = json!(wrong.sign("credential-proof+jwt", &claims).unwrap());
    assert_eq!(alice.call(Method::POST, "/my-credentials", credential.clone()).await.1["error"], json!("invalid_proof"));
    credential["proof"] = json!(key.sign("credential-proof+jwt", &claims).unwrap());
    let (status, made) = alice.call(Method::POST, "/my-credentials", credential).await;
    assert_eq!(status, 201, "{made}");
    let now = SystemClock.now().0;
    let rot = json!({
        "jti": "app-1", "iss": "app", "resource_owner_id": "app", "aud": [guarded.url, foreign.issuer], "iat": now, "exp": now + 600,
        "allowed_rqp": {},
        "resources": [{"resource_server": guarded.url, "resource_id": "/albums/holiday", "allowed_scopes": ["view"]}],
    });
    let rot = key.sign("rot+jwt", &rot).unwrap();
    let permissions = json!([{"resource_id": "/albums/holiday", "resource_scopes": ["view"], "authority": rot}]);
    let bearer = format!("Bearer {}", foreign.rpt(&guarded, 60, &permissions));
    let call = async || raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status.as_u16();
    assert_eq!(call().await, 200);
    let one = format!("/my-credentials/{}", made["_id"].as_str().unwrap());
    assert_eq!(alice.call(Method::DELETE, &one, Value::Null).await.0, 204);
    assert_ne!(call().await, 200);
}

/// One PAT of the gateway's own: nothing is registered, and what the owner signed passes.
#[tokio::test]
async fn a_gateway_without_owners_pats_guards_what_was_signed() {
    let server = Server::start_changed(|people| format!("{}{LABORATORY}", people.replacen("acts_for = \"alice\"\n", "", 1)));
    let guarded = open_gateway(&server, |text| text.replace("pat = \"client_credentials\"", "pat = \"server\""));
    let alice = Owner::with(&server, &guarded).await;
    let nobody = raw(Method::GET, &guarded.photo(), &[]).await;
    assert_eq!((nobody.status.as_u16(), nobody.header("warning")), (403, Some(UNREACHABLE_WARNING)), "she has no key here yet");
    let signer = Signer::of(&alice, &guarded).await;
    let manager = crate::searching::Searching::at(&server).await;
    let credentials = format!("{}/uma/credentials", server.issuer);
    let mut credential = json!({"cred_type": "did", "cred_value": {"id": signer.did}});
    let (_, asked) = manager.at_url(Method::POST, &credentials, credential.clone()).await;
    let claims = json!({"aud": server.issuer, "nonce": asked["challenge"], "iat": SystemClock.now()});
    credential["proof"] = json!(signer.key.sign_as("credential-proof+jwt", &signer.did, &claims).unwrap());
    assert_eq!(manager.at_url(Method::POST, &credentials, credential).await.0, 201);
    let rot = signer.signs(&guarded, &server.issuer, json!({"allowed_rqp": {}}));
    assert_eq!(manager.posts_token(&format!("{}/uma/policies", server.issuer), &rot).await, 201);
    let challenge = challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    let fields = [
        ("grant_type", types::token::UMA_TICKET),
        ("ticket", challenge.ticket.as_str()),
        ("client_id", "viewer"),
        ("client_secret", "viewer-secret"),
    ];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let answer = manager.form(&format!("{}/token", server.issuer), form).await;
    let bearer = format!("Bearer {}", answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")));
    let call = async |method: Method| raw(method, &guarded.photo(), &[("authorization", &bearer)]).await.status.as_u16();
    assert_eq!((call(Method::GET).await, call(Method::DELETE).await), (200, 401), "what she signed, and no more");
    assert_eq!(alice.get(&format!("{HOLIDAY}/registrations")).await, json!([]), "nothing was registered");
    let gone = json!({"jti": "r1", "exp": SystemClock.now().0 + 600});
    assert_eq!(alice.call(Method::POST, "/my-withdrawn-tokens", gone).await.0, 204);
    assert_eq!(call(Method::GET).await, 401);
}
