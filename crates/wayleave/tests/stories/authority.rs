//! What an owner signs herself, between real processes: the gateway believes her, and no server that says so
//! (protocol.md 3).

use crate::desk::Desk;
use crate::gateway::{Guarded, admitted, raw};
use crate::network::certificates;
use crate::processes::{Folder, Server};
use jose::{Algorithm, Clock, SigningKey, SystemClock, did};
use outbound::{Method, Request};
use serde_json::{Value, json};

/// Alice's key, and her tokens for both servers.
struct Alice {
    key: SigningKey,
    did: String,
    desk: Desk,
    /// For the gateway's management.
    rmt: String,
    manage: String,
}

impl Alice {
    async fn with(server: &Server, guarded: &Guarded) -> Self {
        let desk = Desk::open(server).await;
        let document = raw(Method::GET, &format!("{}/.well-known/oauth-protected-resource", guarded.url), &[]).await;
        let document: Value = serde_json::from_slice(&document.body).unwrap();
        assert_eq!(document["resource_management_authorization_servers"], json!([server.issuer]));
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", "uma_management"),
            ("resource", guarded.url.as_str()),
            ("client_id", "desk"),
            ("client_secret", "desk-secret"),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = desk.client.outbound.send(Request::form(&desk.metadata.token_endpoint, form)).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let did = did::of_key(key.public());
        let (rmt, manage) = (
            answer["access_token"].as_str().unwrap().to_owned(),
            document["resource_management_endpoint"].as_str().unwrap().to_owned(),
        );
        Self { key, did, desk, rmt, manage }
    }

    async fn call(&self, method: Method, url: &str, token: &str, body: Value) -> (u16, Value) {
        let settings = outbound::Settings { allow_private_networks: true, allow_http: true, ..Default::default() };
        let request = match body {
            Value::Null => Request { method, ..Request::get(url) },
            body => Request::json(method, url, &body),
        };
        let request = request.header("authorization", &format!("Bearer {token}"));
        let answer = outbound::Outbound::new(settings).unwrap().send(request).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Registers her key where `url` is, proving that it is hers; its id.
    async fn register(&self, url: &str, token: &str, audience: &str) -> String {
        let mut credential = json!({"cred_type": "did", "cred_value": {"id": self.did}});
        let (status, asked) = self.call(Method::POST, url, token, credential.clone()).await;
        assert_eq!((status, &asked["error"]), (400, &json!("invalid_proof")), "{asked}");
        let claims = json!({"aud": audience, "nonce": asked["challenge"], "iat": SystemClock.now()});
        credential["proof"] = json!(self.key.sign_as("credential-proof+jwt", &self.did, &claims).unwrap());
        let (status, made) = self.call(Method::POST, url, token, credential).await;
        assert_eq!(status, 201, "{made}");
        made["_id"].as_str().unwrap().to_owned()
    }

    async fn sign(&self, jti: &str, server: &Server, guarded: &Guarded, scopes: &[&str]) {
        let token = self.key.sign_as("rot+jwt", &self.did, &self.token(jti, server, guarded, scopes)).unwrap();
        self.post(token).await;
    }

    /// What a delegate of hers signs.
    async fn delegate(&self, jti: &str, server: &Server, guarded: &Guarded, scopes: &[&str], delegated: &[&str]) {
        let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
        let delegate = did::of_key(key.public());
        let now = SystemClock.now().0;
        let delegation = json!({"jti": format!("{jti}-d"), "iss": self.did, "sub": delegate, "aud": [guarded.url, server.issuer],
            "iat": now, "exp": now + 600, "resources": "all", "resource_scopes": delegated, "may": ["share"]});
        let mut token = self.token(jti, server, guarded, scopes);
        token["iss"] = json!(delegate);
        token["delegation"] = json!(self.key.sign_as("delegation+jwt", &self.did, &delegation).unwrap());
        self.post(key.sign_as("rot+jwt", &delegate, &token).unwrap()).await;
    }

    fn token(&self, jti: &str, server: &Server, guarded: &Guarded, scopes: &[&str]) -> Value {
        let now = SystemClock.now().0;
        json!({
            "jti": jti, "iss": self.did, "resource_owner_id": self.did, "aud": [guarded.url, server.issuer],
            "iat": now, "exp": now + 600, "allowed_rqp": {"claims": {"email": "bob@bar.example"}},
            "resources": [{"resource_server": guarded.url, "resource_id": "/albums/holiday", "allowed_scopes": scopes}],
        })
    }

    async fn post(&self, token: String) {
        let mut request = Request::get(self.desk.metadata.policy_endpoint.as_deref().unwrap());
        (request.method, request.body) = (Method::POST, Some(token.into_bytes()));
        let bearer = format!("Bearer {}", self.desk.pmt);
        let request = request.header("content-type", "application/rot+jwt").header("authorization", &bearer);
        let answer = self.desk.client.outbound.send(request).await.unwrap();
        assert_eq!(answer.status, 201, "{}", String::from_utf8_lossy(&answer.body));
    }
}

async fn get(guarded: &Guarded, rpt: &client::Rpt) -> u16 {
    let authorization = format!("{} {}", rpt.token_type, rpt.token);
    raw(Method::GET, &guarded.photo(), &[("authorization", &authorization)]).await.status.as_u16()
}

#[tokio::test]
async fn a_gateway_believes_the_owner_and_nobody_who_speaks_for_her() {
    for signing in [false, true] {
        let desk_client = "[[client]]\nclient_id = \"desk\"\nclient_secret = \"desk-secret\"\nacts_for = \"alice\"\n\
                           grant_types = [\"client_credentials\"]\nscope = \"uma_management\"\n";
        let server = Server::start_changed(|people| {
            let viewer = "client_id = \"viewer\"\n";
            let format = if signing { "access_token_format = \"jwt\"\n" } else { "" };
            format!("{}{desk_client}", people.replace(viewer, &format!("{viewer}{format}")))
        });
        let guarded = Guarded::start_changed(&server, "", |text| {
            let text = text.replace("trust = \"list\"", "trust = \"rot-required\"");
            let check = if signing { "offline" } else { "introspect" };
            let text = text.replace("check = \"introspect\"", &format!("check = \"{check}\""));
            text.replace("[[gateway.route]]", &format!("[gateway.management]\nissuer = \"{}\"\n[[gateway.route]]", server.issuer))
        });
        // a plain share gives Bob an RPT that counts for nothing here
        let plain = admitted(&server, &guarded, 1).await;
        assert_eq!(get(&guarded, &plain).await, 401);
        let alice = Alice::with(&server, &guarded).await;
        let credentials = format!("{}/my-credentials", alice.manage);
        let endpoint = alice.desk.metadata.resource_owner_credentials_endpoint.clone().unwrap();
        alice.register(&endpoint, &alice.desk.pmt, &server.issuer).await;
        alice.sign("first", &server, &guarded, &["view"]).await;
        // the authorization server has her word; the gateway has not heard of her key yet
        let early = admitted(&server, &guarded, 2).await;
        assert_eq!(get(&guarded, &early).await, 401);
        let id = alice.register(&credentials, &alice.rmt, &guarded.url).await;
        assert_eq!(get(&guarded, &early).await, 200, "her own word, checked by the gateway itself");
        let bearer = format!("{} {}", early.token_type, early.token);
        assert_eq!(
            raw(Method::DELETE, &guarded.photo(), &[("authorization", &bearer)]).await.status,
            401,
            "and no more than her word"
        );
        // she takes one token back, at the gateway alone
        let withdrawn = format!("{}/my-withdrawn-tokens", alice.manage);
        let gone = json!({"jti": "first", "exp": SystemClock.now().0 + 600});
        assert_eq!(alice.call(Method::POST, &withdrawn, &alice.rmt, gone.clone()).await.0, 204);
        assert_eq!(get(&guarded, &early).await, 401, "at once, whatever the server says");
        assert_eq!(alice.call(Method::GET, &withdrawn, &alice.rmt, Value::Null).await.1, json!([gone.clone()]));
        // another lets him in again, until her key is withdrawn there
        alice.sign("second", &server, &guarded, &["view"]).await;
        let late = admitted(&server, &guarded, 3).await;
        assert_eq!(get(&guarded, &late).await, 200);
        // she takes that back, too; what a delegate of hers signed lets him in as far as she delegated
        let gone = json!({"jti": "second", "exp": SystemClock.now().0 + 600});
        assert_eq!(alice.call(Method::POST, &withdrawn, &alice.rmt, gone).await.0, 204);
        assert_eq!(get(&guarded, &late).await, 401);
        alice.delegate("third", &server, &guarded, &["view", "delete"], &["view"]).await;
        let delegated = admitted(&server, &guarded, 4).await;
        assert_eq!(get(&guarded, &delegated).await, 200, "checked by the gateway itself, down to the delegate's key");
        let gone = json!({"jti": "third-d", "exp": SystemClock.now().0 + 600});
        assert_eq!(alice.call(Method::POST, &withdrawn, &alice.rmt, gone).await.0, 204);
        assert_eq!(get(&guarded, &delegated).await, 401, "a delegation is taken back like a token");
        alice.sign("fourth", &server, &guarded, &["view"]).await;
        let late = admitted(&server, &guarded, 5).await;
        assert_eq!(get(&guarded, &late).await, 200);
        assert_eq!(alice.call(Method::DELETE, &format!("{credentials}/{id}"), &alice.rmt, Value::Null).await.0, 204);
        assert_eq!(get(&guarded, &late).await, 401);
        // what she has here, and where it is guarded
        let (_, mine) = alice.call(Method::GET, &format!("{}/my-resources", alice.manage), &alice.rmt, Value::Null).await;
        assert_eq!(mine.as_array().unwrap().len(), 1, "{mine}");
        assert_eq!((&mine[0]["_resource_id"], &mine[0]["name"]), (&json!("/albums/holiday"), &json!("Holiday")));
        assert_eq!(
            (&mine[0]["registrations"][0]["state"], &mine[0]["registrations"][0]["authorization_server"]),
            (&json!("active"), &json!(server.issuer))
        );
        let behind = format!("{}/my-resources?limit=1&after=/albums/holiday", alice.manage);
        assert_eq!(alice.call(Method::GET, &behind, &alice.rmt, Value::Null).await, (200, json!([])));
        let wrong = format!("{}/my-resources?limit=0", alice.manage);
        assert_eq!(alice.call(Method::GET, &wrong, &alice.rmt, Value::Null).await.0, 400);
        let one = format!("{}/my-resources/%2Falbums%2Fholiday", alice.manage);
        assert_eq!(alice.call(Method::GET, &one, &alice.rmt, Value::Null).await, (200, mine[0].clone()));
        let (_, servers) =
            alice.call(Method::GET, &format!("{}/authorization-servers", alice.manage), &alice.rmt, Value::Null).await;
        assert_eq!((&servers[0]["issuer"], &servers[0]["pat"]), (&json!(server.issuer), &json!("active")));
        // who has no RMT manages nothing
        for token in ["nonsense", alice.desk.pmt.as_str(), alice.desk.pat.as_str()] {
            assert_eq!(alice.call(Method::GET, &credentials, token, Value::Null).await.0, 401);
        }
    }
}

/// A did:web: the key is where her domain says, fetched with TLS, by server and gateway alike.
#[tokio::test]
async fn a_did_web_counts_as_its_document_says() {
    let folder = Folder::new();
    certificates(&folder);
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let did = "did:web:alice.example";
    let document = move |id: &str, key: &SigningKey| {
        json!({"id": id, "assertionMethod": ["#1"], "verificationMethod": [{"id": format!("{did}#1"), "type": "JsonWebKey2020",
            "controller": did, "publicKeyJwk": key.public().to_jwk()}]})
    };
    let (right, wrong) = (document(did, &key), document("did:web:mallory.example", &key));
    let site = axum::Router::new()
        .route("/.well-known/did.json", axum::routing::get(async || axum::Json(right)))
        .route("/other/did.json", axum::routing::get(async || axum::Json(wrong)));
    let text = "[server]\n[server.tls]\ncert = \"cert.pem\"\nkey = \"key.pem\"\n";
    let config = wayleave::config::Config::parse(text, std::iter::empty(), folder.0.clone()).unwrap();
    let acceptor = wayleave::serve::acceptor(&config, config.server.tls.as_ref().unwrap()).unwrap();
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let (_stop, stopped) = wayleave::serve::Stop::by_hand();
    let reception = wayleave::serve::Reception::behind(Vec::new());
    let reception = wayleave::serve::Reception { tls: Some(acceptor), ..reception };
    tokio::spawn(wayleave::serve::serve(listener, site, reception, stopped));
    let place = folder.0.join("ca.pem").display().to_string();
    let way = format!("hosts = {{ \"alice.example\" = \"127.0.0.1:{port}\" }}\nca_file = \"{place}\"\n");
    let server = Server::start(&format!("{}{way}", crate::choosing::LABORATORY));
    let guarded = crate::choosing::open_gateway(&server, |text| {
        format!("{}{way}", text.replace("trust = \"any\"", "trust = \"rot-required\""))
    });
    let plain = admitted(&server, &guarded, 1).await;
    assert_eq!(get(&guarded, &plain).await, 401);
    let alice = Alice { key, did: did.into(), ..Alice::with(&server, &guarded).await };
    let credentials = format!("{}/my-credentials", alice.manage);
    for (url, token) in
        [(&credentials, &alice.rmt), (alice.desk.metadata.resource_owner_credentials_endpoint.as_ref().unwrap(), &alice.desk.pmt)]
    {
        for (nobody, status) in
            [("did:web:alice.example:other", 400), ("did:web:alice.example:nothing", 400), ("did:web:127.0.0.1", 400)]
        {
            let credential = json!({"cred_type": "did", "cred_value": {"id": nobody}});
            let (refused, why) = alice.call(Method::POST, url, token, credential).await;
            assert!(refused == status && why["challenge"].is_null(), "{nobody}: {why}");
        }
    }
    let endpoint = alice.desk.metadata.resource_owner_credentials_endpoint.clone().unwrap();
    alice.register(&endpoint, &alice.desk.pmt, &server.issuer).await;
    alice.sign("web", &server, &guarded, &["view"]).await;
    let rpt = admitted(&server, &guarded, 2).await;
    assert_eq!(get(&guarded, &rpt).await, 401, "the gateway has not heard of it");
    alice.register(&credentials, &alice.rmt, &guarded.url).await;
    assert_eq!(get(&guarded, &rpt).await, 200);
}
