//! A server that a desk is linked to, in a test's hand: it answers on loopback whatever the test has it answer, hangs where it
//! is told to, and tells what it was asked.

use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode, header};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use tokio::sync::watch;

/// Endpoints of an authorization server that lists.
const LISTS: [(&str, &str); 6] = [
    ("linked_managers_endpoint", "/managers"),
    ("registered_resources_endpoint", "/resources"),
    ("policy_endpoint", "/policies"),
    ("delegations_endpoint", "/delegations"),
    ("resource_owner_credentials_endpoint", "/credentials"),
    ("access_requests_endpoint", "/requests"),
];

/// Something that it was asked.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    /// Method, path and query.
    pub(crate) what: String,
    pub(crate) body: String,
}

#[derive(Default)]
struct Script {
    nonce: String,
    sub: String,
    /// By method and path, some with a query.
    answers: BTreeMap<String, (u16, Value)>,
    asked: Vec<Asked>,
    /// What it takes and does not answer.
    hanging: Vec<String>,
    tokens: u32,
    /// What it says of how long tokens live, where a test says that; and whether refresh tokens are good once.
    expires_in: Option<Value>,
    /// Members of its metadata, beside the usual ones or instead of them.
    metadata: BTreeMap<String, Value>,
    rotates: bool,
    reused: u32,
    /// A client that it does not know any more.
    forgotten: String,
}

/// An authorization server, or a resource server whose owners log in at one.
#[derive(Clone)]
pub(crate) struct Party {
    pub(crate) url: String,
    key: Arc<SigningKey>,
    script: Arc<Mutex<Script>>,
    released: Arc<watch::Sender<u64>>,
}

impl Party {
    pub(crate) async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let party = Self {
            url: format!("http://{}", listener.local_addr().unwrap()),
            key: Arc::new(SigningKey::generate(Algorithm::EdDsa).unwrap()),
            script: Arc::default(),
            released: Arc::new(watch::Sender::new(0)),
        };
        let router = axum::Router::new().fallback(answer).with_state(party.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        party
    }

    /// A resource server whose owners log in at this authorization server.
    pub(crate) async fn keeper(issuer: &Party) -> Self {
        let party = Self::start().await;
        let about = json!({"resource": party.url, "resource_management_endpoint": format!("{}/manage", party.url),
            "resource_management_authorization_servers": [issuer.url]});
        party.answers("GET /.well-known/oauth-protected-resource", 200, about);
        party
    }

    pub(crate) fn answers(&self, what: &str, status: u16, body: Value) {
        self.script.lock().unwrap().answers.insert(what.to_owned(), (status, body));
    }

    pub(crate) fn forgets(&self, what: &str) {
        self.script.lock().unwrap().answers.remove(what);
    }

    /// Does not answer what begins like this, until it is released.
    pub(crate) fn hangs(&self, what: &str) {
        self.script.lock().unwrap().hanging.push(what.to_owned());
    }

    /// The same for those that hang now; whatever comes after them hangs.
    pub(crate) fn release_those(&self) {
        self.released.send_modify(|count| *count += 1);
    }

    pub(crate) fn release(&self) {
        self.script.lock().unwrap().hanging.clear();
        self.released.send_modify(|count| *count += 1);
    }

    /// What it was asked since the last look.
    pub(crate) fn asked(&self) -> Vec<Asked> {
        std::mem::take(&mut self.script.lock().unwrap().asked)
    }

    /// How often it was asked something that begins like this; nothing is forgotten.
    pub(crate) fn count(&self, what: &str) -> usize {
        self.script.lock().unwrap().asked.iter().filter(|asked| asked.what.starts_with(what)).count()
    }

    /// Somebody logs in there, sent by this URL.
    pub(crate) fn logs_in(&self, sub: &str, url: &url::Url) {
        let mut script = self.script.lock().unwrap();
        script.nonce = url.query_pairs().find(|(name, _)| name == "nonce").map(|(_, value)| value.into_owned()).unwrap();
        script.sub = sub.to_owned();
    }

    /// From now on a refresh token is good once, and tokens live as long as this says.
    pub(crate) fn rotates(&self, expires_in: &Value) {
        let mut script = self.script.lock().unwrap();
        (script.rotates, script.expires_in) = (true, Some(expires_in.clone()));
    }

    /// How often a refresh token came that had been replaced.
    pub(crate) fn reused(&self) -> u32 {
        self.script.lock().unwrap().reused
    }

    pub(crate) fn adds_to_metadata(&self, member: &str, value: &Value) {
        self.script.lock().unwrap().metadata.insert(member.to_owned(), value.clone());
    }

    /// What it answers by its script, as text.
    pub(crate) fn said(&self, what: &str) -> String {
        self.script.lock().unwrap().answers[what].1.to_string()
    }

    pub(crate) fn signs(&self, typ: &str, claims: &Value) -> String {
        self.key.sign(typ, claims).unwrap()
    }

    /// Clients of this id are unknown from now on; whoever registers gets another.
    pub(crate) fn forgets_client(&self, id: &str) {
        self.script.lock().unwrap().forgotten = id.to_owned();
        self.answers("POST /register", 201, json!({"client_id": format!("{id}-anew")}));
    }

    fn has_forgotten(&self, body: &str) -> bool {
        let assertion = body.split("client_assertion=").nth(1).and_then(|rest| rest.split(['.', '&']).nth(1));
        let claims = assertion.and_then(jose::base64url::decode).unwrap_or_default();
        let issuer = serde_json::from_slice::<Value>(&claims).unwrap_or_default()["iss"].clone();
        issuer == json!(self.script.lock().unwrap().forgotten)
    }

    fn metadata(&self) -> Value {
        let url = |path: &str| format!("{}{path}", self.url);
        let mut metadata = json!({"issuer": self.url, "authorization_endpoint": url("/authorize"), "jwks_uri": url("/jwks"),
            "token_endpoint": url("/token"), "registration_endpoint": url("/register"), "permission_endpoint": url("/permission"),
            "revocation_endpoint": url("/revoke")});
        LISTS.iter().for_each(|(name, path)| metadata[*name] = json!(url(path)));
        let script = self.script.lock().unwrap();
        script.metadata.iter().for_each(|(name, value)| metadata[name] = value.clone());
        metadata
    }

    fn tokens(&self, form: &str) -> (u16, Value) {
        let mut script = self.script.lock().unwrap();
        let last = format!("refresh_token=refresh-{}&", script.tokens);
        if script.rotates && form.contains("refresh_token=") && !format!("{form}&").contains(&last) {
            script.reused += 1;
            return (400, json!({"error": "invalid_grant"}));
        }
        script.tokens += 1;
        let claims = json!({"iss": self.url, "aud": "us", "sub": script.sub, "nonce": script.nonce, "exp": i64::MAX / 2});
        let expires_in = script.expires_in.clone().unwrap_or(json!(3600));
        let tokens = json!({"access_token": format!("access-{}", script.tokens), "token_type": "Bearer", "expires_in": expires_in,
            "refresh_token": format!("refresh-{}", script.tokens), "id_token": self.key.sign("JWT", &claims).unwrap()});
        (200, tokens)
    }

    /// Where the script says nothing of it.
    fn usual(&self, what: &str, body: &str) -> (u16, Value) {
        let proves = |body: &str| body.contains("\"proof\"");
        match what {
            "GET /.well-known/uma2-configuration" => (200, self.metadata()),
            "GET /jwks" => (200, json!({"keys": [self.key.public().to_jwk()]})),
            "POST /register" => (201, json!({"client_id": "us"})),
            "POST /token" => self.tokens(body),
            "POST /credentials" | "POST /manage/my-credentials" if proves(body) => {
                let said = self.script.lock().unwrap().answers.get("a proof").cloned();
                said.unwrap_or((201, json!({"_id": "credential"})))
            }
            "POST /credentials" | "POST /manage/my-credentials" => (400, json!({"error": "invalid_proof", "challenge": "c"})),
            "POST /policies" | "POST /delegations" | "POST /managers" => (201, json!({"_id": "new"})),
            "POST /revoke" if self.has_forgotten(body) => (401, json!({"error": "invalid_client"})),
            "POST /revoke" => (200, json!({})),
            _ if what.starts_with("GET /manage/") || LISTS.iter().any(|(_, path)| what == format!("GET {path}")) => {
                (200, json!([]))
            }
            _ if what.starts_with("DELETE /") || what.starts_with("POST /manage/") => (204, Value::Null),
            _ => (404, json!({"error": "not_found"})),
        }
    }
}

/// As with ours, what has begun is carried out, whoever hangs up.
async fn answer(State(party): State<Party>, request: Request) -> Response {
    tokio::spawn(answer_whole(party, request)).await.unwrap()
}

async fn answer_whole(party: Party, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, 1 << 20).await.unwrap();
    let body = String::from_utf8_lossy(&body).into_owned();
    let (method, path) = (&parts.method, parts.uri.path());
    let (what, whole) = (format!("{method} {path}"), format!("{method} {}", parts.uri.path_and_query().unwrap()));
    let mut released = party.released.subscribe();
    let hangs = {
        let mut script = party.script.lock().unwrap();
        script.asked.push(Asked { what: whole.clone(), body: body.clone() });
        script.hanging.iter().any(|begin| whole.starts_with(begin))
    };
    if hangs {
        let _ = released.changed().await;
    }
    let query = parts.uri.query().unwrap_or_default();
    let said = {
        let answers = &party.script.lock().unwrap().answers;
        // what others list for her is another list than hers
        let plain = if query.contains("role=") || query.contains("owner=") { None } else { answers.get(&what) };
        answers.get(&whole).or(plain).cloned()
    };
    let (status, value) =
        said.unwrap_or_else(|| if query.contains("role=") { (200, json!([])) } else { party.usual(&what, &body) });
    let headers = HeaderMap::from_iter([(header::CONTENT_TYPE, "application/json".parse().unwrap())]);
    (StatusCode::from_u16(status).unwrap(), headers, value.to_string()).into_response()
}
