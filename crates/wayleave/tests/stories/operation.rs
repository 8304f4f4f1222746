//! Running it: ending, keys, backup and restore, and what the log says.

use crate::desk::Desk;
use crate::processes::{LONGEST, Server, log_of, until};
use outbound::{Method, Request};
use serde_json::{Value, json};
use std::process::{Command, Output};
use std::time::Instant;

fn wayleave(server: &Server, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wayleave")).args(arguments).current_dir(&server.folder.0).output().unwrap()
}

/// An album that anyone may view, its ticket, and an RPT of it with its refresh token.
async fn grant(desk: &Desk) -> (String, String, Value) {
    grant_with(desk, json!({})).await
}

/// The same, with these members of the share beside.
async fn grant_with(desk: &Desk, members: Value) -> (String, String, Value) {
    let registration = desk.metadata.resource_registration_endpoint.clone().unwrap();
    let made = desk.api(Method::POST, &registration, &desk.pat, json!({"resource_scopes": ["view"]})).await.unwrap().1;
    let album = made["_id"].as_str().unwrap().to_owned();
    let mut document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
    document.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
    let policies = desk.metadata.policy_endpoint.clone().unwrap();
    assert_eq!(desk.api(Method::POST, &policies, &desk.pmt, document).await.unwrap().0, 201);
    let ticket = desk.ticket(&album).await.unwrap();
    let (status, granted) = desk.trade(&ticket).await.unwrap();
    assert_eq!(status, 200, "{granted}");
    (album, ticket, granted)
}

async fn keys(desk: &Desk) -> usize {
    let answer = desk.client.outbound.send(Request::get(&desk.metadata.jwks_uri)).await.unwrap();
    serde_json::from_slice::<Value>(&answer.body).unwrap()["keys"].as_array().unwrap().len()
}

/// What is kept is for the eyes of whoever runs it.
#[test]
fn store_and_key_file_are_private() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start("");
    for name in ["server.db", "server.db-wal", "server.key"] {
        let mode = std::fs::metadata(server.folder.0.join("wayleave-data").join(name)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "{name}");
    }
}

#[tokio::test]
async fn sigterm_ends_it_soon_with_nothing_lost() {
    let mut server = Server::start("");
    let desk = Desk::open(&server).await;
    let (album, ..) = grant(&desk).await;
    let asked = Instant::now();
    assert_eq!(server.process.as_mut().unwrap().end(), Some(0));
    assert!(asked.elapsed() < LONGEST);
    server.run();
    let desk = Desk::open(&server).await;
    let url = format!("{}/{album}", desk.metadata.resource_registration_endpoint.clone().unwrap());
    assert_eq!(desk.api(Method::GET, &url, &desk.pat, Value::Null).await.unwrap().0, 200);
}

#[tokio::test]
async fn keys_rotate_under_a_running_server_and_nothing_breaks() {
    let server = Server::start("");
    let desk = Desk::open(&server).await;
    grant(&desk).await;
    let before = keys(&desk).await;
    assert!(wayleave(&server, &["key", "rotate"]).status.success());
    until("the running server has taken the new keys up", async || keys(&desk).await == 2 * before).await;
    grant(&desk).await;
}

/// What is held of one that was given: whether its access token counts, and whether its refresh token gets another.
async fn counts(desk: &Desk, granted: &Value) -> (bool, bool) {
    let introspection = desk.metadata.introspection_endpoint.clone().unwrap();
    let form = format!("token={}", granted["access_token"].as_str().unwrap());
    let request = Request::form(&introspection, form).header("authorization", &format!("Bearer {}", desk.pat));
    let answer: Value = serde_json::from_slice(&desk.client.outbound.send(request).await.unwrap().body).unwrap();
    let fields = [
        ("grant_type", "refresh_token"),
        ("refresh_token", granted["refresh_token"].as_str().unwrap()),
        ("client_id", "viewer"),
        ("client_secret", "viewer-secret"),
    ];
    let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
    let renewed = desk.client.outbound.send(Request::form(&desk.metadata.token_endpoint, form)).await.unwrap();
    (answer["active"] == json!(true), renewed.status == 200)
}

/// Threat 35: a restored backup revives nothing that was spent, ended or withdrawn.
#[tokio::test]
async fn threat_35_a_restored_backup_revives_nothing() {
    let mut server = Server::start("");
    let desk = Desk::open(&server).await;
    let (album, _, granted) = grant(&desk).await;
    let (once, ..) = grant_with(&desk, json!({"max_uses": 2})).await;
    let unspent = desk.ticket(&album).await.unwrap();
    let invitation = invite(&server);
    let (old_pat, old_pmt) = (desk.pat.clone(), desk.pmt.clone());
    assert!(wayleave(&server, &["backup", "copy.db"]).status.success(), "while serving");
    assert_eq!(desk.trade(&unspent).await.unwrap().0, 200);
    assert_eq!(desk.trade(&desk.ticket(&once).await.unwrap()).await.unwrap().0, 200, "the second and last time");
    assert_eq!(register_by(&desk, &invitation).await, 201);
    assert_eq!(register_by(&desk, &invitation).await, 401, "an invitation is good once");
    let (later, ..) = grant(&desk).await;
    let beside = wayleave(&server, &["restore", "copy.db"]);
    let said = String::from_utf8_lossy(&beside.stderr).into_owned();
    assert!(!beside.status.success() && said.contains("stop that first"), "not under a server that is running: {said}");
    let second = wayleave(&server, &["server"]);
    assert!(!second.status.success(), "nor beside it: {}", String::from_utf8_lossy(&second.stderr));
    server.process = None;
    let restored = wayleave(&server, &["restore", "copy.db"]);
    let said = String::from_utf8_lossy(&restored.stdout).into_owned();
    assert!(restored.status.success() && said.contains("withdrawn after"), "what cannot be known is told: {said} {restored:?}");
    server.run();
    let desk = Desk::open(&server).await;
    assert_eq!(desk.trade(&unspent).await.unwrap().1["error"], "invalid_grant", "it was spent after the backup");
    assert_eq!(counts(&desk, &granted).await, (false, false), "what somebody held has ended");
    assert_eq!(desk.trade(&desk.ticket(&once).await.unwrap()).await.unwrap().0, 403, "its last use may have been made");
    assert_eq!(register_by(&desk, &invitation).await, 401, "it may have been used after the backup");
    let url = desk.metadata.resource_registration_endpoint.clone().unwrap();
    assert_eq!(desk.api(Method::GET, &format!("{url}/{album}"), &old_pat, Value::Null).await.unwrap().0, 401);
    let policies = desk.metadata.policy_endpoint.clone().unwrap();
    assert_eq!(desk.api(Method::GET, &policies, &old_pmt, Value::Null).await.unwrap().0, 401);
    assert_eq!(desk.api(Method::GET, &format!("{url}/{album}"), &desk.pat, Value::Null).await.unwrap().0, 200);
    assert_eq!(desk.api(Method::GET, &format!("{url}/{later}"), &desk.pat, Value::Null).await.unwrap().0, 404);
    grant(&desk).await;
    // the owner reads it in her history, and the chain is whole with it
    let events = desk.metadata.events_endpoint.clone().unwrap();
    let (_, told) = desk.api(Method::GET, &events, &desk.pmt, Value::Null).await.unwrap();
    let told: Vec<&Value> = told.as_array().unwrap().iter().filter(|event| event["kind"] == "server.restored").collect();
    assert_eq!(told.len(), 1);
    assert!(told[0]["claims"]["state_of"].as_i64().is_some_and(|time| time > 0), "{told:?}");
    let head = desk.client.outbound.send(Request::get(&events).header("authorization", &format!("Bearer {}", desk.pmt)));
    std::fs::write(server.folder.0.join("heads"), head.await.unwrap().header("event-head").unwrap()).unwrap();
    let verified = wayleave(&server, &["audit", "verify", "--head", "heads"]);
    assert!(verified.status.success(), "{verified:?}");
}

/// A backup is written to no place where a store is, no store gives way to one that another key sealed, and what gave way stays.
#[tokio::test]
async fn threat_35_a_slip_of_the_hand_loses_no_store() {
    let (mut server, other) = (Server::start(""), Server::start(""));
    let store = server.folder.0.join("wayleave-data/server.db");
    std::os::unix::fs::symlink(&store, server.folder.0.join("link.db")).unwrap();
    for place in ["wayleave-data/server.db", "wayleave-data/../wayleave-data/server.db", "link.db"] {
        let refused = wayleave(&server, &["backup", place]);
        let said = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert!(refused.status.code() == Some(2) && said.contains("name another file"), "{place}: {said}");
    }
    assert!(wayleave(&other, &["backup", "copy.db"]).status.success());
    std::fs::copy(other.folder.0.join("copy.db"), server.folder.0.join("others.db")).unwrap();
    server.process = None;
    let before = std::fs::read(&store).unwrap();
    let refused = wayleave(&server, &["restore", "others.db"]);
    let said = String::from_utf8_lossy(&refused.stderr).into_owned();
    assert!(!refused.status.success() && said.contains("nothing was changed"), "{said}");
    assert!(std::fs::read(&store).unwrap() == before && !store.with_extension("db.replaced").exists());
    assert!(wayleave(&server, &["backup", "copy.db"]).status.success());
    assert!(wayleave(&server, &["restore", "copy.db"]).status.success());
    assert!(store.with_extension("db.replaced").exists());
    server.run();
}

/// What was sent to somebody at bar.example, who may register a client of hers by it.
fn invite(server: &Server) -> String {
    assert!(wayleave(server, &["client", "invite", "carol@bar.example"]).status.success());
    let outbox = std::fs::read_dir(server.folder.0.join("wayleave-data/outbox")).unwrap();
    let mails = outbox.map(|mail| std::fs::read_to_string(mail.unwrap().path()).unwrap().replace("=\r\n", "").replace("=\n", ""));
    let words: Vec<String> = mails.flat_map(|mail| mail.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).collect();
    words.into_iter().find(|word| word.starts_with("eyJ")).expect("a token is in the mail")
}

async fn register_by(desk: &Desk, invitation: &str) -> u16 {
    let endpoint = desk.metadata.registration_endpoint.clone().unwrap();
    let client = json!({"redirect_uris": ["https://app.bar.example/cb"], "client_name": "Carol's"});
    desk.api(Method::POST, &endpoint, invitation, client).await.unwrap().0
}

/// Threat 20: not one log line, at the noisiest, holds a secret of the story.
#[tokio::test]
async fn threat_20_no_secret_is_ever_logged() {
    let server = Server::start("");
    let desk = Desk::open(&server).await;
    let (album, ticket, granted) = grant(&desk).await;
    desk.trade(&ticket).await.unwrap();
    let introspection = desk.metadata.introspection_endpoint.clone().unwrap();
    let form = format!("token={}", granted["access_token"].as_str().unwrap());
    desk.client
        .outbound
        .send(Request::form(&introspection, form).header("authorization", &format!("Bearer {}", desk.pat)))
        .await
        .unwrap();
    let token = server.id_token(1);
    let fresh = desk.ticket(&album).await.unwrap();
    let claims = form_urlencoded::Serializer::new(String::new())
        .extend_pairs([("grant_type", types::token::UMA_TICKET), ("ticket", &fresh), ("client_id", "viewer")])
        .extend_pairs([("client_secret", "viewer-secret"), ("claim_token", &token), ("claim_token_format", "urn:unknown")])
        .finish();
    desk.client.outbound.send(Request::form(&desk.metadata.token_endpoint, claims)).await.unwrap();
    let login = "username=alice&password=alice-password&csrf=x".to_owned();
    desk.client.outbound.send(Request::form(&format!("{}/login", server.issuer), login)).await.unwrap();
    let log = std::fs::read_to_string(log_of(&server.folder.0)).unwrap();
    assert!(log.contains("does not count"), "the log is the noisy one: {log}");
    let secrets = [
        &*desk.pat,
        &*desk.pmt,
        &*ticket,
        &*token,
        granted["access_token"].as_str().unwrap(),
        granted["refresh_token"].as_str().unwrap(),
    ];
    for secret in secrets.into_iter().chain(["alice-password", "photos-secret", "viewer-secret", "bob@bar.example"]) {
        let line = log.lines().find(|line| line.contains(secret));
        assert_eq!(line, None, "{secret}");
    }
}

/// Health and metrics are open on the admin listener, administration is not; the socket is its owner's.
#[tokio::test]
async fn the_admin_listener_tells_everybody_how_it_goes_and_takes_orders_from_few() {
    use std::os::unix::fs::PermissionsExt;
    let server = Server::start_changed(|people| people.replace("[server]\n", "[server]\nadmin_token_file = \"admin-token\"\n"));
    let desk = Desk::open(&server).await;
    grant(&desk).await;
    let get = async |path: &str, token: &str| {
        let url = format!("{}{path}", server.admin);
        let request = Request::get(&url).header("authorization", &format!("Bearer {token}"));
        let settings = outbound::Settings { configured: vec![server.admin.clone()], ..Default::default() };
        let answer = outbound::Outbound::new(settings).unwrap().send(request).await.unwrap();
        (answer.status.as_u16(), String::from_utf8(answer.body.to_vec()).unwrap())
    };
    assert_eq!(get("/healthz", "").await, (200, "ok\n".to_owned()));
    assert_eq!(get("/readyz", "").await.0, 200);
    let (status, metrics) = get("/metrics", "").await;
    assert_eq!(status, 200);
    for row in ["wayleave_up 1", "wayleave_http_requests_total{endpoint=\"/token\",status=\"200\"} 3", "wayleave_store_bytes "] {
        assert!(metrics.contains(row), "{row}\n{metrics}");
    }
    assert!(!metrics.contains("alice") && !metrics.contains("viewer"), "who, it does not say");
    assert_eq!(get("/accounts", "").await.0, 401);
    assert_eq!(get("/accounts", "wrong").await.0, 401);
    // a file that holds nothing is no token: it would open to whoever sends nothing
    std::fs::write(server.folder.0.join("admin-token"), "\n").unwrap();
    let empty = wayleave(&server, &["server"]);
    assert!(empty.status.code() == Some(2) && String::from_utf8_lossy(&empty.stderr).contains("admin_token_file"), "{empty:?}");
    let (status, accounts) = get("/accounts", "let-me-in-if-you-please").await;
    assert!(status == 200 && accounts.contains("alice@foo.example") && !accounts.contains("argon2"), "{accounts}");
    let socket = server.folder.0.join("wayleave-data/admin.sock");
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);
}

/// Somebody is forgotten while the server runs: nothing tells of them, and the chain of events stands.
#[tokio::test]
async fn a_person_is_erased_and_the_chain_stands() {
    let mut server = Server::start("");
    let desk = Desk::open(&server).await;
    let (album, ..) = grant(&desk).await;
    let ask = async |serial: u32| {
        let body = json!({"resource_id": album, "resource_scopes": ["view"]});
        let ticket = desk.api(Method::POST, desk.metadata.permission_endpoint.as_deref().unwrap(), &desk.pat, body).await;
        let ticket = ticket.unwrap().1["ticket"].as_str().unwrap().to_owned();
        let token = server.id_token(serial);
        let fields = [
            ("grant_type", types::token::UMA_TICKET),
            ("ticket", &*ticket),
            ("client_id", "viewer"),
            ("client_secret", "viewer-secret"),
            ("claim_token", &*token),
            ("claim_token_format", types::token::ID_TOKEN_FORMAT),
        ];
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish();
        assert_eq!(desk.client.outbound.send(Request::form(&desk.metadata.token_endpoint, form)).await.unwrap().status, 200);
    };
    ask(1).await;
    let events = async || {
        let url = desk.metadata.events_endpoint.clone().unwrap();
        let request = Request::get(&url).header("authorization", &format!("Bearer {}", desk.pmt));
        let answer = desk.client.outbound.send(request).await.unwrap();
        (String::from_utf8(answer.body.to_vec()).unwrap(), answer.header("event-head").unwrap().to_owned())
    };
    let (told, head) = events().await;
    assert!(told.contains("bob@bar.example"));
    std::fs::write(server.folder.0.join("heads"), head).unwrap();
    let erased = wayleave(&server, &["audit", "erase", "--email", "BOB@bar.example"]);
    assert!(erased.status.success() && String::from_utf8_lossy(&erased.stdout).contains("1 events"), "{erased:?}");
    let (told, _) = events().await;
    assert!(!told.contains("bob") && told.contains("rpt.issued"), "that it happened stays, who it was does not: {told}");
    let verified = wayleave(&server, &["audit", "verify", "--head", "heads"]);
    assert!(verified.status.success(), "{verified:?}");
    // without a server it is done on the store; nonsense is refused
    server.process = None;
    assert!(wayleave(&server, &["audit", "erase", "--email", "bob@bar.example"]).status.success());
    assert_eq!(wayleave(&server, &["audit", "erase", "--email", "nobody"]).status.code(), Some(1));
}

/// Whoever wrote a `[[client]]` otherwise than the other side has it finds that in the log of the server, whichever endpoint it was.
#[tokio::test]
async fn a_slip_of_the_pen_in_a_client_stands_in_the_log() {
    let server = Server::start("");
    let outbound = crate::relations::open_outbound();
    let at = |path: &str| format!("{}{path}", server.issuer);
    let opens = [
        "/authorize?response_type=code&client_id=wbe&redirect_uri=http%3A%2F%2F127.0.0.1%3A9003%2Fcallback",
        "/authorize?response_type=code&client_id=web&redirect_uri=http%3A%2F%2F127.0.0.1%3A9003%2Fcalback",
        "/claims?client_id=vewer&ticket=t",
        "/claims?client_id=viewer&ticket=t&claims_redirect_uri=https%3A%2F%2Fviewer.example%2F",
        "/logout?client_id=wev&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A9003%2Fout",
        "/logout?client_id=web&post_logout_redirect_uri=http%3A%2F%2F127.0.0.1%3A9003%2Fout",
    ];
    for path in opens {
        assert_eq!(outbound.send(Request::get(&at(path))).await.unwrap().status, 400, "{path}");
    }
    let (token, odd) = (
        at("/token"),
        "client_id=ma%0Anager%22%20client_id%3Dtrue%E2%80%AE&client_secret=hidden-secret&grant_type=client_credentials",
    );
    for form in [odd, "client_id=manager&client_secret=hidden-secret&grant_type=client_credentials"] {
        for _ in 0..3 {
            let mut request = Request::get(&token);
            (request.method, request.body) = (Method::POST, Some(form.as_bytes().to_vec()));
            let request = request.header("content-type", "application/x-www-form-urlencoded");
            assert_eq!(outbound.send(request).await.unwrap().status, 401, "{form}");
        }
    }
    let log = std::fs::read_to_string(log_of(&server.folder.0)).unwrap();
    // as they stand without setting anything: of warnings, and of nothing below
    let warned: Vec<&str> = log.lines().filter(|line| line.contains(" WARN ") && line.contains("client_id")).collect();
    for (one, more, times) in [
        ("begins=\"\" length=3", "no client has this", 2),
        ("\"web\"", "`redirect_uris`", 1),
        ("\"v\"", "no client has this", 1),
        ("\"viewer\"", "`claims_redirect_uris`", 1),
        ("\"web\"", "`post_logout_redirect_uris`", 1),
        ("\"ma n\"", "no client has this", 1),
        ("\"manager\"", "could not prove itself", 1),
    ] {
        let told = warned.iter().filter(|line| line.contains(one) && line.contains(more));
        assert_eq!(told.count(), times, "{one} {more}: {log}");
    }
    assert!(warned.len() == 8 && !log.contains("hidden-secret"), "{warned:#?}");
}

/// An owner's key and her signed share, all by the command line.
#[tokio::test]
async fn an_owner_makes_a_key_signs_a_share_and_it_counts() {
    let server = Server::start("");
    let desk = Desk::open(&server).await;
    let said = |arguments: &[&str]| {
        let output = wayleave(&server, arguments);
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    };
    let mut credential: Value = serde_json::from_str(&said(&["credential", "new", "--key", "alice.key"])).unwrap();
    assert_eq!(
        wayleave(&server, &["credential", "new", "--key", "alice.key"]).status.code(),
        Some(2),
        "a key is never overwritten"
    );
    let endpoint = desk.metadata.resource_owner_credentials_endpoint.clone().unwrap();
    let (status, asked) = desk.api(Method::POST, &endpoint, &desk.pmt, credential.clone()).await.unwrap();
    assert_eq!((status, &asked["error"]), (400, &json!("invalid_proof")));
    let challenge = asked["challenge"].as_str().unwrap();
    let proof = said(&["credential", "prove", "--key", "alice.key", "--audience", &server.issuer, "--challenge", challenge]);
    credential["proof"] = json!(proof);
    assert_eq!(desk.api(Method::POST, &endpoint, &desk.pmt, credential).await.unwrap().0, 201);
    let resource = format!("http://127.0.0.1:{}", server.gateway_port);
    let draft = json!({
        "jti": "my-share", "aud": [resource, server.issuer], "allowed_rqp": {},
        "resources": [{"resource_server": resource, "resource_id": "diary", "allowed_scopes": ["read"]}],
    });
    std::fs::write(server.folder.0.join("draft.json"), draft.to_string()).unwrap();
    let token = said(&["rot", "sign", "--key", "alice.key", "draft.json"]);
    std::fs::write(server.folder.0.join("token"), &token).unwrap();
    assert!(said(&["rot", "verify", "token"]).contains("my-share"));
    // who is named beside others is read by them, and that is said beside the token
    for (email, is_told) in [(json!("bob@bar.example"), false), (json!(["bob@bar.example", "carol@foo.example"]), true)] {
        let mut several = draft.clone();
        several["allowed_rqp"] = json!({"claims": {"email": email}});
        std::fs::write(server.folder.0.join("several.json"), several.to_string()).unwrap();
        let output = wayleave(&server, &["rot", "sign", "--key", "alice.key", "several.json"]);
        assert_eq!(String::from_utf8_lossy(&output.stderr).contains("sign one for each person"), is_told, "{output:?}");
        assert_eq!(String::from_utf8(output.stdout).unwrap().lines().count(), 1);
    }
    std::fs::write(server.folder.0.join("token"), format!("{token}x")).unwrap();
    assert_eq!(wayleave(&server, &["rot", "verify", "token"]).status.code(), Some(1));
    let mut request = Request::get(desk.metadata.policy_endpoint.as_deref().unwrap());
    (request.method, request.body) = (Method::POST, Some(token.clone().into_bytes()));
    let request = request.header("content-type", "application/rot+jwt").header("authorization", &format!("Bearer {}", desk.pmt));
    assert_eq!(desk.client.outbound.send(request).await.unwrap().status, 201);
    let registration = desk.metadata.resource_registration_endpoint.clone().unwrap();
    let diary = json!({"resource_scopes": ["read", "write"], "_resource_id": "diary"});
    let diary = desk.api(Method::POST, &registration, &desk.pat, diary).await.unwrap().1["_id"].as_str().unwrap().to_owned();
    let body = json!({"resource_id": diary, "resource_scopes": ["read"]});
    let ticket = desk.api(Method::POST, desk.metadata.permission_endpoint.as_deref().unwrap(), &desk.pat, body).await.unwrap().1;
    let (status, granted) = desk.trade(ticket["ticket"].as_str().unwrap()).await.unwrap();
    assert_eq!(status, 200, "{granted}");
}
