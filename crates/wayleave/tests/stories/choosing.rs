//! One owner's resources, any authorization server (protocol.md 2): she brings servers, registers where she likes with
//! the scopes that she likes, moves, takes back, and sees what came of it.

use crate::gateway::{Guarded, admitted, challenge_of, raw};
use crate::processes::{Server, until};
use outbound::{Method, Outbound, Request, Settings};
use serde_json::{Value, json};
use types::challenge::UNREACHABLE_WARNING;
use wayleave::demo::browser::{Browser, Shown};

/// Clients and settings that every server of these stories has.
pub(crate) const LABORATORY: &str = "[[client]]\nclient_id = \"desk\"\nclient_secret = \"desk-secret\"\nacts_for = \"alice\"\n\
     grant_types = [\"client_credentials\"]\nscope = \"uma_management\"\n\
     [[account]]\nusername = \"carol\"\nemail = \"carol@foo.example\"\npassword = \"carol-password\"\n\
     [outbound]\nallow_private_networks = true\nallow_http = true\n";

/// A gateway whose owners manage what is theirs with tokens of `server`, and register where they like.
pub(crate) fn open_gateway(server: &Server, change: impl FnOnce(String) -> String) -> Guarded {
    Guarded::start_changed(server, "", |text| {
        let text = text.replace("trust = \"list\"", "trust = \"any\"");
        let management = format!("[gateway.management]\nissuer = \"{}\"\n[[gateway.route]]", server.issuer);
        let text = text.replacen("[[gateway.route]]", &management, 1);
        change(format!("{text}[outbound]\nallow_private_networks = true\nallow_http = true\n"))
    })
}

/// Alice, managing.
pub(crate) struct Owner {
    pub(crate) manage: String,
    pub(crate) rmt: String,
    outbound: Outbound,
}

impl Owner {
    pub(crate) async fn with(server: &Server, guarded: &Guarded) -> Self {
        let settings = Settings { allow_private_networks: true, allow_http: true, ..Settings::default() };
        let outbound = Outbound::new(settings).unwrap();
        let fields = [
            ("grant_type", "client_credentials"),
            ("scope", "uma_management"),
            ("resource", guarded.url.as_str()),
            ("client_id", "desk"),
            ("client_secret", "desk-secret"),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        let answer = outbound.send(Request::form(&format!("{}/token", server.issuer), form)).await.unwrap();
        let answer: Value = serde_json::from_slice(&answer.body).unwrap();
        let rmt = answer["access_token"].as_str().unwrap_or_else(|| panic!("{answer}")).to_owned();
        Self { manage: format!("{}/.wayleave/manage", guarded.url), rmt, outbound }
    }

    /// A call below the management endpoint.
    pub(crate) async fn call(&self, method: Method, path: &str, body: Value) -> (u16, Value) {
        let url = format!("{}{path}", self.manage);
        let request = match body {
            Value::Null => Request { method, ..Request::get(&url) },
            body => Request::json(method, &url, &body),
        };
        let answer = self.outbound.send(request.header("authorization", &format!("Bearer {}", self.rmt))).await.unwrap();
        (answer.status.as_u16(), serde_json::from_slice(&answer.body).unwrap_or(Value::Null))
    }

    /// Her history, as soon as it says that something was let in; and the line that says so.
    pub(crate) async fn allowed(&self) -> (Value, Value) {
        let mut found = None;
        until("the history says that something was allowed", async || {
            let told = self.get("/my-history").await;
            let line = told.as_array().unwrap().iter().find(|line| line["outcome"] == "allowed").cloned();
            found = line.map(|line| (told, line));
            found.is_some()
        })
        .await;
        found.unwrap()
    }

    pub(crate) async fn get(&self, path: &str) -> Value {
        let (status, answer) = self.call(Method::GET, path, Value::Null).await;
        assert_eq!(status, 200, "{path}: {answer}");
        answer
    }

    /// In a browser of her own: logs in where she is sent, and allows it.
    pub(crate) async fn follow(&self, url: &str) -> Shown {
        let mut browser = Browser::new(self.outbound.clone());
        let page = browser.open(url).await.unwrap();
        let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await.unwrap();
        browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.unwrap()
    }

    pub(crate) async fn brings(&self, wanted: Value) -> String {
        let (status, answer) = self.call(Method::POST, "/authorization-servers", wanted).await;
        assert_eq!(status, 202, "{answer}");
        answer["authorize_uri"].as_str().unwrap().to_owned()
    }

    pub(crate) async fn state_of(&self, issuer: &str) -> Value {
        let all = self.get("/authorization-servers").await;
        all.as_array().unwrap().iter().find(|server| server["issuer"] == issuer).cloned().unwrap_or(Value::Null)
    }
}

pub(crate) const HOLIDAY: &str = "/my-resources/%2Falbums%2Fholiday";

fn encoded(issuer: &str) -> String {
    form_urlencoded::byte_serialize(issuer.as_bytes()).collect()
}

#[tokio::test]
async fn an_owner_brings_a_server_and_registers_there_too() {
    let (a, b) = (Server::start(LABORATORY), Server::start(LABORATORY));
    let guarded = open_gateway(&a, |text| text);
    let alice = Owner::with(&a, &guarded).await;
    // nobody has linked that server yet: where to go comes back, once
    let wanted = json!({"authorization_server": b.issuer, "resource_scopes": ["view"]});
    let (status, answer) = alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), wanted.clone()).await;
    assert!(status == 202 && answer["authorize_uri"].as_str().unwrap().starts_with(&guarded.url), "{answer}");
    let page = alice.follow(answer["authorize_uri"].as_str().unwrap()).await;
    assert!(page.html.contains("Almost linked"), "{}", page.html);
    assert_eq!(raw(Method::GET, answer["authorize_uri"].as_str().unwrap(), &[]).await.status, 400, "it is good once");
    // this gateway cannot know that the account there is hers: she says so
    let there = alice.state_of(&b.issuer).await;
    assert_eq!((&there["pat"], &there["account"]["email"]), (&json!("pending"), &json!("alice@foo.example")), "{there}");
    assert_eq!(alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), wanted.clone()).await.0, 409);
    let confirm = format!("/authorization-servers/{}", encoded(&b.issuer));
    assert_eq!(alice.call(Method::PUT, &confirm, Value::Null).await.1["pat"], json!("active"));
    // before she places it, it is where it always was
    assert_eq!(challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await).as_uri, a.issuer);
    let (status, made) = alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), wanted.clone()).await;
    assert_eq!((status, &made["state"], &made["registered_scopes"]), (201, &json!("active"), &json!(["view"])), "{made}");
    assert_eq!(alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), wanted).await, (200, made.clone()));
    let (status, _) =
        alice.call(Method::POST, &format!("{HOLIDAY}/registrations"), json!({"authorization_server": b.issuer})).await;
    assert_eq!(status, 201, "once more there, with all its scopes");
    // a client says whose ticket it wants; else it is her usual server's
    let ask = async |method: Method, named: &str| {
        challenge_of(&raw(method, &guarded.photo(), &[("authorization-server", named)]).await).as_uri
    };
    assert_eq!(ask(Method::GET, &b.issuer).await, b.issuer);
    assert_eq!(ask(Method::GET, "https://elsewhere.example").await, a.issuer);
    assert_eq!(ask(Method::DELETE, &b.issuer).await, b.issuer, "by the one that has the scope");
    assert_eq!(alice.call(Method::PUT, &confirm, json!({"default": true})).await.1["default"], json!(true));
    assert_eq!(challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await).as_uri, b.issuer);
    // Bob gets in by either
    let rpt = admitted(&b, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let with = [("authorization", bearer.as_str())];
    assert_eq!(raw(Method::GET, &guarded.photo(), &with).await.status, 200);
    // what she takes back stops at once
    let all = alice.get(&format!("{HOLIDAY}/registrations")).await;
    for registration in all.as_array().unwrap().iter().filter(|one| one["authorization_server"] == b.issuer) {
        let one = format!("{HOLIDAY}/registrations/{}", registration["_id"].as_str().unwrap());
        assert_eq!(alice.call(Method::DELETE, &one, Value::Null).await.0, 204);
        assert_eq!(alice.call(Method::DELETE, &one, Value::Null).await.0, 404);
    }
    assert_eq!(raw(Method::GET, &guarded.photo(), &with).await.status, 401);
    let last = alice.get(&format!("{HOLIDAY}/registrations")).await;
    let one = format!("{HOLIDAY}/registrations/{}", last[0]["_id"].as_str().unwrap());
    assert_eq!(alice.call(Method::DELETE, &one, Value::Null).await.0, 204);
    let nowhere = raw(Method::GET, &guarded.photo(), &[]).await;
    assert_eq!((nowhere.status.as_u16(), nowhere.header("warning")), (403, Some(UNREACHABLE_WARNING)), "and stays taken back");
    let (status, refusal) = alice
        .call(
            Method::POST,
            &format!("{HOLIDAY}/registrations"),
            json!({"authorization_server": a.issuer, "resource_scopes": ["own"]}),
        )
        .await;
    assert_eq!((status, &refusal["error"]), (400, &json!("invalid_scope")));
    assert_eq!(alice.call(Method::GET, "/my-resources/%2Falbums%2Fnone", Value::Null).await.0, 404);
}

#[tokio::test]
async fn a_server_is_found_by_an_address_and_the_same_person_needs_no_word() {
    let (a, b) = (Server::start(LABORATORY), Server::start(LABORATORY));
    let guarded = open_gateway(&a, |text| {
        let text = text.replace("pat = \"client_credentials\"", "pat = \"code\"");
        let host = b.issuer.strip_prefix("http://").unwrap();
        text.replace("allow_http = true", &format!("allow_http = true\nhosts = {{ \"foo.example\" = \"{host}\" }}"))
    });
    let alice = Owner::with(&a, &guarded).await;
    assert_eq!(alice.state_of(&a.issuer).await["pat"], json!("none"));
    let to = alice.state_of(&a.issuer).await["authorize_uri"].as_str().unwrap().to_owned();
    assert!(alice.follow(&to).await.html.contains("<h1>Linked"));
    assert_eq!(alice.state_of(&a.issuer).await["account"]["email"], json!("alice@foo.example"));
    let to = alice.brings(json!({"address": "alice@foo.example"})).await;
    assert!(to.contains("login_hint=alice%40foo.example"), "{to}");
    let page = alice.follow(&to).await;
    assert!(page.html.contains("<h1>Linked"), "the same verified address: {}", page.html);
    assert_eq!(alice.state_of(&b.issuer).await["pat"], json!("active"));
    // she withdraws the gateway there
    let registrations = format!("{HOLIDAY}/registrations");
    let made = alice.call(Method::POST, &registrations, json!({"authorization_server": b.issuer})).await;
    assert_eq!(made.0, 201, "{}", made.1);
    withdraw_all(&b).await;
    let (status, _) =
        alice.call(Method::POST, &registrations, json!({"authorization_server": b.issuer, "resource_scopes": ["view"]})).await;
    assert_eq!(status, 502);
    assert_eq!(alice.state_of(&b.issuer).await["pat"], json!("withdrawn"));
    for (wanted, error) in [
        (json!({"address": "nobody@foo.example"}), "unsupported_authorization_server"),
        (json!({"address": "foo.example/x"}), "invalid_request"),
        (json!({"issuer": "http://127.0.0.1:1"}), "authorization_server_unreachable"),
        (json!({"issuer": guarded.url}), "unsupported_authorization_server"),
        (json!({}), "invalid_request"),
    ] {
        let (_, refusal) = alice.call(Method::POST, "/authorization-servers", wanted.clone()).await;
        assert_eq!(refusal["error"], json!(error), "{wanted}");
    }
}

/// In a browser, at the page of linked applications.
async fn withdraw_all(server: &Server) {
    let settings = Settings { allow_private_networks: true, allow_http: true, ..Settings::default() };
    let mut browser = Browser::new(Outbound::new(settings).unwrap());
    let page = browser.open(&format!("{}/applications", server.issuer)).await.unwrap();
    let page = browser.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await.unwrap();
    browser.submit(&page, "/withdraw", &[]).await.unwrap();
}

#[tokio::test]
async fn a_list_is_a_list_and_her_words_go_everywhere() {
    let (a, b) = (Server::start(LABORATORY), Server::start(LABORATORY));
    let guarded = open_gateway(&a, |text| text.replace("trust = \"any\"", "trust = \"list\""));
    let alice = Owner::with(&a, &guarded).await;
    for (path, body) in [
        (format!("{HOLIDAY}/registrations"), json!({"authorization_server": b.issuer})),
        ("/authorization-servers".to_owned(), json!({"issuer": b.issuer})),
    ] {
        let (status, refusal) = alice.call(Method::POST, &path, body).await;
        assert_eq!((status, &refusal["error"]), (400, &json!("unsupported_authorization_server")));
    }
    raw(Method::GET, &guarded.photo(), &[]).await;
    let words =
        json!({"name": "Summer", "description": "By the sea", "icon_uri": "https://foo.example/sea.png", "type": "album"});
    let (status, changed) = alice.call(Method::PATCH, HOLIDAY, words).await;
    assert_eq!((status, &changed["name"], &changed["registrations"][0]["state"]), (200, &json!("Summer"), &json!("active")));
    let desk = crate::desk::Desk::open(&a).await;
    let there = desk.api(Method::GET, desk.metadata.registered_resources_endpoint.as_deref().unwrap(), &desk.pmt, Value::Null);
    let there = there.await.unwrap().1;
    assert_eq!((&there[0]["name"], &there[0]["type"], there.as_array().unwrap().len()), (&json!("Summer"), &json!("album"), 1));
    let (_, changed) = alice.call(Method::PATCH, HOLIDAY, json!({"name": null})).await;
    assert_eq!((&changed["name"], &changed["description"]), (&json!("Holiday"), &json!("By the sea")));
    assert_eq!(alice.call(Method::PATCH, HOLIDAY, json!({"name": ""})).await.0, 400);
    assert_eq!(alice.call(Method::PATCH, HOLIDAY, json!({"owner": "bob"})).await.0, 400);
}

#[tokio::test]
async fn she_sees_who_came_and_her_own_rules_only_take_away() {
    let server = Server::start(LABORATORY);
    let guarded = open_gateway(&server, |text| text);
    let alice = Owner::with(&server, &guarded).await;
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let call = async |method: Method| raw(method, &guarded.photo(), &[("authorization", &bearer)]).await.status.as_u16();
    assert_eq!((call(Method::GET).await, call(Method::GET).await, call(Method::DELETE).await), (200, 200, 401));
    let (told, allowed) = alice.allowed().await;
    assert_eq!(
        (&allowed["count"], &allowed["client_id"], &allowed["resource_id"], &allowed["authorization_server"]),
        (&json!(2), &json!("viewer"), &json!("/albums/holiday"), &json!(server.issuer)),
        "{told}"
    );
    let refused = told.as_array().unwrap().iter().find(|line| line["outcome"] == "refused").unwrap();
    assert_eq!((&refused["resource_scopes"], &refused["client_id"]), (&json!(["delete"]), &json!("viewer")));
    assert!(refused["why"].as_str().unwrap().contains("does not permit"));
    // rules that are about something else change nothing; one that fits takes away
    for other in [
        json!({"effect": "deny", "resource_scopes": ["edit"]}),
        json!({"effect": "deny", "client_id": "printer"}),
        json!({"effect": "deny", "claims": {"sub": "somebody-else"}}),
    ] {
        assert_eq!(alice.call(Method::POST, "/my-rules", other).await.0, 201);
    }
    assert_eq!(call(Method::GET).await, 200);
    let rule = json!({"effect": "deny", "resource_id": "/albums/holiday", "resource_scopes": ["view"], "client_id": "viewer"});
    let (_, rule) = alice.call(Method::POST, "/my-rules", rule).await;
    assert_eq!(call(Method::GET).await, 401);
    let why = alice.get("/my-history?limit=1").await[0]["why"].as_str().unwrap().to_owned();
    assert!(why.contains(rule["_id"].as_str().unwrap()), "each use is told: {why}");
    assert_eq!(alice.get("/my-rules").await.as_array().unwrap().len(), 4);
    assert_eq!(alice.call(Method::DELETE, &format!("/my-rules/{}", rule["_id"].as_str().unwrap()), Value::Null).await.0, 204);
    assert_eq!(call(Method::GET).await, 200);
    // what nobody told this gateway counts as fitting: a rule can only take away
    let (_, rule) =
        alice.call(Method::POST, "/my-rules", json!({"effect": "deny", "claims": {"email": "bob@bar.example"}})).await;
    assert_eq!(call(Method::GET).await, 401);
    alice.call(Method::DELETE, &format!("/my-rules/{}", rule["_id"].as_str().unwrap()), Value::Null).await;
    for wrong in [
        json!({"effect": "allow"}),
        json!({"effect": "deny", "resource_id": "/albums/none"}),
        json!({"effect": "deny", "resource_scopes": []}),
    ] {
        assert!(matches!(alice.call(Method::POST, "/my-rules", wrong.clone()).await.0, 400 | 404), "{wrong}");
    }
}
