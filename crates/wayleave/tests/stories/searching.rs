//! A resource server that logs nobody in finds an owner in its records, because her authorization server says who she is
//! (protocol.md 2.2).

use crate::choosing::LABORATORY;
use crate::gateway::{Guarded, admitted, raw};
use crate::processes::{Server, until};
use jose::{Algorithm, Clock, SigningKey, SystemClock};
use outbound::{Method, Outbound, Request, Settings};
use serde_json::{Value, json};
use types::challenge::UNREACHABLE_WARNING;
use wayleave::demo::browser::Browser;

const PEOPLE: &str = "owner,name,birthdate,email,address\n\
    alice,\"SMITH, Alice M.\",31/01/1980,,\"12 Mill Street, Oldtown\"\n\
    bob,Bob Jones,1975-06-02,bob@bar.example,\n";

fn outbound() -> Outbound {
    Outbound::new(Settings { allow_private_networks: true, allow_http: true, ..Settings::default() }).unwrap()
}

/// A server that knows Alice's name, and a gateway with records and without log-in.
fn both(records: &str) -> (Server, Guarded) {
    let server = Server::start_changed(|people| {
        let alice = "email = \"alice@foo.example\"\n";
        let known = format!("{alice}name = \"Alice Smith\"\nclaims = {{ birthdate = \"1980-01-31\" }}\n");
        let people = people.replacen(alice, &known, 1).replacen("acts_for = \"alice\"\n", "", 1);
        format!("{people}{LABORATORY}")
    });
    let guarded = Guarded::start_changed(&server, "", |text| {
        let text = text.replace("pat = \"client_credentials\"", "pat = \"code\"");
        text.replacen("[[gateway.route]]", &format!("[gateway.discovery]\n{records}\n[[gateway.route]]"), 1)
    });
    (server, guarded)
}

/// Alice's manager.
pub(crate) struct Searching {
    pmt: String,
    endpoint: String,
}

impl Searching {
    pub(crate) async fn at(server: &Server) -> Self {
        let client = client::Client {
            outbound: outbound(),
            clock: std::sync::Arc::new(SystemClock),
            randomness: std::sync::Arc::new(jose::SystemRandomness),
            credentials: client::Credentials::secret("manager", "manager-secret"),
            dpop_key: None,
        };
        let metadata = client.discover(&server.issuer).await.unwrap();
        let pmt = client.client_credentials(&metadata, "uma_policy").await.unwrap().access_token;
        Self { pmt, endpoint: metadata.discovery_requests_endpoint.unwrap() }
    }

    async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        self.at_url(method, &format!("{}{path}", self.endpoint), body).await
    }

    /// Posts what she signed; the status.
    pub(crate) async fn posts_token(&self, url: &str, token: &str) -> u16 {
        let mut request = Request::get(url);
        (request.method, request.body) = (Method::POST, Some(token.as_bytes().to_vec()));
        let request =
            request.header("content-type", "application/rot+jwt").header("authorization", &format!("Bearer {}", self.pmt));
        outbound().send(request).await.unwrap().status.as_u16()
    }

    /// A form post of nobody's.
    pub(crate) async fn form(&self, url: &str, form: String) -> Value {
        let answer = outbound().send(Request::form(url, form)).await.unwrap();
        serde_json::from_slice(&answer.body).unwrap_or(Value::Null)
    }

    pub(crate) async fn at_url(&self, method: Method, url: &str, body: Value) -> (u16, Value) {
        let request = match body {
            Value::Null => Request { method, ..Request::get(url) },
            body => Request::json(method, url, &body),
        };
        let answer = outbound().send(request.header("authorization", &format!("Bearer {}", self.pmt))).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Until the search stands so at its resource server.
    async fn until(&self, id: &str, state: &str) {
        until(&format!("the search is {state}"), async || {
            let (_, search) = self.call(Method::GET, &format!("/{id}"), Value::Null).await;
            search["resource_servers"][0]["state"] == state
        })
        .await;
    }
}

async fn consents(uri: &str, decision: &str, said: &[(&str, &str)]) -> String {
    let mut browser = Browser::new(outbound());
    let page = browser.open(uri).await.unwrap();
    let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await.unwrap();
    let fields = [&[("decision", decision)][..], said].concat();
    let asked = page.html.clone();
    browser.submit(&page, "/my/searches/", &fields).await.unwrap();
    asked
}

#[tokio::test]
async fn a_server_that_logs_nobody_in_finds_her_records() {
    for kind in ["csv", "sql"] {
        let records = match kind {
            "csv" => "csv = \"people.csv\"",
            _ => {
                "sqlite = \"people.db\"\nquery = \"SELECT owner, name, born AS birthdate FROM people WHERE born = :birthdate OR name LIKE '%Smith%'\""
            }
        };
        let place = std::env::temp_dir().join(format!("wayleave-people-{}-{kind}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        std::fs::write(place.join("people.csv"), PEOPLE).unwrap();
        let table = "CREATE TABLE people (owner TEXT, name TEXT, born TEXT); INSERT INTO people VALUES ('alice', 'Alice Smith', '1980-01-31');";
        let python = format!(
            "import sqlite3; c = sqlite3.connect({:?}); c.executescript({table:?})",
            place.join("people.db").display().to_string()
        );
        assert!(std::process::Command::new("python3").args(["-c", &python]).status().unwrap().success());
        let (server, guarded) = both(&records.replace("people.", &format!("{}/people.", place.display())));
        let searching = Searching::at(&server).await;
        let before = raw(Method::GET, &guarded.photo(), &[]).await;
        assert_eq!((before.status.as_u16(), before.header("warning")), (403, Some(UNREACHABLE_WARNING)), "nobody has linked");
        let wanted = json!({"resource_servers": [guarded.url], "claims": ["name", "birthdate", "address"]});
        let (status, search) = searching.call(Method::POST, "", wanted.clone()).await;
        assert_eq!((status, &search["state"]), (202, &json!("waiting")), "{search}");
        let id = search["_id"].as_str().unwrap();
        let asked = consents(search["authorize_uri"].as_str().unwrap(), "approve", &[("self_address", "12 Mill St.")]).await;
        assert!(asked.contains("Alice Smith") && asked.contains("1980-01-31") && asked.contains(&guarded.url), "{asked}");
        searching.until(id, "found").await;
        until("it is linked", async || raw(Method::GET, &guarded.photo(), &[]).await.status != 403).await;
        let rpt = admitted(&server, &guarded, 1).await;
        let bearer = format!("{} {}", rpt.token_type, rpt.token);
        assert_eq!(raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status, 200);
        assert_eq!(searching.call(Method::DELETE, &format!("/{id}"), Value::Null).await.0, 204);
        for (wanted, status) in [
            (json!({"resource_servers": ["https://nowhere.example"], "claims": ["name"]}), 400),
            (json!({"resource_servers": [guarded.url], "claims": []}), 400),
            (json!({"resource_servers": [], "claims": ["name"]}), 400),
            (json!({"resource_servers": [guarded.url], "claims": ["na me"]}), 400),
        ] {
            assert_eq!(searching.call(Method::POST, "", wanted).await.0, status);
        }
        let (_, refused) = searching.call(Method::POST, "", wanted).await;
        consents(refused["authorize_uri"].as_str().unwrap(), "deny", &[]).await;
        let (_, refused) = searching.call(Method::GET, &format!("/{}", refused["_id"].as_str().unwrap()), Value::Null).await;
        assert_eq!((&refused["state"], &refused["resource_servers"][0]["state"]), (&json!("denied"), &json!("waiting")));
        // nothing of her was logged, on either side
        for folder in [&server.folder.0, &guarded.folder.0] {
            let log = std::fs::read_to_string(crate::processes::log_of(folder)).unwrap();
            assert!(!log.contains("1980-01-31") && !log.contains("12 Mill"), "{kind}");
        }
        std::fs::remove_dir_all(place).unwrap();
    }
}

#[tokio::test]
async fn forged_discovery_and_stolen_assertions_find_nobody() {
    let place = std::env::temp_dir().join(format!("wayleave-people-{}-forged", std::process::id()));
    std::fs::create_dir_all(&place).unwrap();
    std::fs::write(place.join("people.csv"), PEOPLE).unwrap();
    let (server, guarded) = both(&format!("csv = \"{}/people.csv\"", place.display()));
    let document = raw(Method::GET, &format!("{}/.well-known/oauth-protected-resource", guarded.url), &[]).await;
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    let endpoint = document["resource_discovery_endpoint"].as_str().unwrap().to_owned();
    let key = SigningKey::generate(Algorithm::EdDsa).unwrap();
    let now = SystemClock.now().0;
    let token = |issuer: &str, typ: &str| {
        let claims = json!({"iss": issuer, "aud": guarded.url, "sub": "x", "iat": now, "exp": now + 60, "jti": "j",
            "verified_claims": {"name": "Bob Jones", "birthdate": "1975-06-02"}, "pat_assertion": "x"});
        key.sign(typ, &claims).unwrap()
    };
    for text in [
        token(&server.issuer, "discovery+jwt"),
        token("https://evil.example", "discovery+jwt"),
        token(&server.issuer, "at+jwt"),
        "x".into(),
    ] {
        let mut request = Request::get(&endpoint);
        (request.method, request.body) = (Method::POST, Some(text.into_bytes()));
        assert_eq!(outbound().send(request).await.unwrap().status, 400);
    }
    assert_eq!(raw(Method::GET, &endpoint, &[]).await.status, 405);
    // an assertion that this server never made, or of another kind, gives no PAT
    let assertion = token(&server.issuer, "pat-assertion+jwt");
    for assertion in [assertion.as_str(), "x"] {
        let fields = [
            ("grant_type", types::discovery::JWT_BEARER),
            ("assertion", assertion),
            ("scope", "uma_protection"),
            ("client_id", "photos-rs"),
            ("client_secret", "photos-secret"),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = outbound().send(Request::form(&format!("{}/token", server.issuer), form)).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        assert_eq!(answer["error"], json!("invalid_grant"));
    }
    std::fs::remove_dir_all(place).unwrap();
}
