//! The gateway over real processes: what a client meets before, with and without an RPT (Grant 3.2, 3.5),
//! and when its authorization server is away.

use crate::desk::Desk;
use crate::processes::{Folder, Process, Server, log_of, until, until_out};
use client::{Called, Client, Credentials, Rpt, TicketRequest, Traded};
use jose::{SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Request, Response, Settings};
use std::sync::Arc;
use types::challenge::{UNREACHABLE_WARNING, UmaChallenge};
use types::token::ID_TOKEN_FORMAT;

/// A gateway before a folder with one album of Alice.
pub(crate) struct Guarded {
    pub(crate) url: String,
    process: Process,
    pub(crate) folder: Folder,
}

impl Guarded {
    /// As a crash would.
    pub(crate) fn kill(&mut self) {
        self.process.kill();
    }

    /// On what is in its folder.
    pub(crate) fn run_again(&mut self) {
        self.process = Process::start(&["gateway"], &self.folder.0);
    }

    pub(crate) fn start(server: &Server, backend: &str) -> Self {
        Self::start_checking(server, backend, "introspect")
    }

    fn start_checking(server: &Server, backend: &str, check: &str) -> Self {
        Self::start_changed(server, backend, |text| text.replace("check = \"introspect\"", &format!("check = \"{check}\"")))
    }

    /// With its configuration changed.
    pub(crate) fn start_changed(server: &Server, backend: &str, change: impl FnOnce(String) -> String) -> Self {
        let port = server.gateway_port;
        let folder = Folder::new();
        std::fs::create_dir_all(folder.0.join("files/albums/holiday")).unwrap();
        std::fs::write(folder.0.join("files/albums/holiday/1.jpg"), [7; 300_000]).unwrap();
        let url = format!("http://127.0.0.1:{port}");
        let backend = if backend.is_empty() { "folder = \"files\"".to_owned() } else { format!("upstream = \"{backend}\"") };
        let text = format!(
            r#"
[gateway]
listen = "127.0.0.1:{port}"
resource = "{url}"
{backend}
authorization_servers = ["{}"]
trust = "list"
check = "introspect"
pat = "client_credentials"
client_id = "photos-rs"
client_secret = "photos-secret"
store = {{ url = "sqlite:gateway.db" }}
[[gateway.route]]
path = "/albums/{{album}}/{{photo}}"
resource = "/albums/{{album}}"
owner = "alice"
scopes = {{ GET = ["view"], PUT = ["edit"], DELETE = ["delete"] }}
"#,
            server.issuer
        );
        std::fs::write(folder.0.join("wayleave.toml"), change(text)).unwrap();
        Self { process: Process::start(&["gateway"], &folder.0), url, folder }
    }

    /// Changes its configuration, and tells it so.
    pub(crate) fn reload(&self, change: impl FnOnce(String) -> String) {
        let place = self.folder.0.join("wayleave.toml");
        let text = std::fs::read_to_string(&place).unwrap();
        std::fs::write(&place, change(text)).unwrap();
        self.process.hang_up();
    }

    pub(crate) fn pid(&self) -> u32 {
        self.process.pid()
    }

    pub(crate) fn photo(&self) -> String {
        format!("{}/albums/holiday/1.jpg", self.url)
    }
}

pub(crate) fn viewer() -> Client {
    let settings = Settings { allow_private_networks: true, allow_http: true, ..Settings::default() };
    Client {
        outbound: Outbound::new(settings).unwrap(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("viewer", "viewer-secret"),
        dpop_key: None,
    }
}

pub(crate) async fn raw(method: Method, url: &str, headers: &[(&'static str, &str)]) -> Response {
    let mut request = Request { method, ..Request::get(url) };
    for (name, value) in headers {
        request = request.header(name, value);
    }
    viewer().outbound.send(request).await.unwrap()
}

pub(crate) fn challenge_of(answer: &Response) -> UmaChallenge {
    assert_eq!(answer.status, 401);
    UmaChallenge::find(answer.headers.get_all("www-authenticate").iter().map(|value| value.to_str().unwrap())).unwrap()
}

/// Gets Bob an RPT for what a call was challenged for; Alice shares it first.
pub(crate) async fn admitted(server: &Server, guarded: &Guarded, serial: u32) -> Rpt {
    let client = viewer();
    let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    share(server, &client).await;
    let token = server.id_token(serial);
    let resource = challenge.resource.clone();
    let request = TicketRequest {
        ticket: &challenge.ticket,
        resource: challenge.confirmed.then_some(&*resource),
        claim: Some((&token, ID_TOKEN_FORMAT)),
        ..TicketRequest::default()
    };
    match client.trade(&metadata, &request).await.unwrap() {
        Traded::Granted(tokens) => client.rpt(&tokens, &challenge).unwrap(),
        Traded::Denied { error, description } => panic!("{error}: {description}"),
        Traded::Spent { description } => panic!("spent: {description}"),
        _ => panic!("Bob should have got in"),
    }
}

/// Alice shares `view` of everything that is registered with Bob.
pub(crate) async fn share(server: &Server, client: &Client) {
    share_to(server, client, &["view"]).await;
}

/// Alice shares all that she has with Bob, to do this with it.
pub(crate) async fn share_to(server: &Server, client: &Client, scopes: &[&str]) {
    let manager = Client { credentials: Credentials::secret("manager", "manager-secret"), ..client.clone() };
    let metadata = manager.discover(&server.issuer).await.unwrap();
    let pmt = manager.client_credentials(&metadata, "uma_policy").await.unwrap().access_token;
    let bearer = format!("Bearer {pmt}");
    let list = raw(Method::GET, &metadata.registered_resources_endpoint.unwrap(), &[("authorization", &bearer)]).await;
    let resources: Vec<serde_json::Value> = serde_json::from_slice(&list.body).unwrap();
    for resource in resources {
        let claims = serde_json::json!([{"name": "email", "value": ["bob@bar.example"]}]);
        let policy = serde_json::json!({"resource_id": resource["_id"], "resource_scopes": scopes, "required_claims": claims});
        let request =
            Request::json(Method::POST, metadata.policy_endpoint.as_deref().unwrap(), &policy).header("authorization", &bearer);
        assert_eq!(client.outbound.send(request).await.unwrap().status, 201);
    }
}

/// Cases: G-3.1-1, G-3.2-1, G-3.2-2, G-3.2-3, G-3.2.1-1, G-3.4-1, G-3.5-1, G-3.5-2, G-3.5-4, F-5-1, F-5.1-2, F-4-6
#[tokio::test]
async fn a_call_is_challenged_until_its_rpt_suffices() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    let first = challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await);
    assert_eq!(first.as_uri, server.issuer);
    assert!(first.realm.is_some() && first.ticket.starts_with("wl_ticket_"));
    assert_eq!(first.resource_metadata, Some(format!("{}/.well-known/oauth-protected-resource", guarded.url)));
    for token in ["Bearer nonsense", "Bearer wl_rpt_nonsense", "Basic eDp5", "bearer", "Bearer ", "DPoP x"] {
        let again = challenge_of(&raw(Method::GET, &guarded.photo(), &[("authorization", token)]).await);
        assert_ne!(again.ticket, first.ticket, "{token}: a new ticket each time");
    }
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let answer = raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await;
    assert_eq!((answer.status.as_u16(), answer.body.len()), (200, 300_000));
    assert_eq!(raw(Method::HEAD, &guarded.photo(), &[("authorization", &bearer)]).await.status, 200);
    // the ticket of a call that needs more asks for that, and no more
    challenge_of(&raw(Method::DELETE, &guarded.photo(), &[("authorization", &bearer)]).await);
    assert!(guarded.folder.0.join("files/albums/holiday/1.jpg").exists());
}

/// Threats 26 and 27; what no route names is not there.
#[tokio::test]
async fn threat_26_what_no_route_names_is_not_there() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    std::fs::write(guarded.folder.0.join("files/secret.txt"), "secret").unwrap();
    for (path, status) in [
        ("/secret.txt", 404),
        ("/albums/holiday", 404),
        ("/albums/nowhere/1.jpg", 404),
        ("/.wayleave/nothing", 404),
        ("/albums//1.jpg", 400),
        ("/albums/%2e%2e%2fsecret.txt", 400),
        ("/albums/x%2f..%2f../1", 400),
        ("/albums;a=b/holiday/1.jpg", 404),
    ] {
        let answer = raw(Method::GET, &format!("{}{path}", guarded.url), &[]).await;
        assert_eq!(answer.status.as_u16(), if path.contains(';') { 400 } else { status }, "{path}");
    }
    let post = raw(Method::POST, &guarded.photo(), &[]).await;
    assert_eq!((post.status.as_u16(), post.header("allow")), (405, Some("DELETE, GET, PUT, HEAD")));
    let overridden = raw(Method::POST, &guarded.photo(), &[("x-http-method-override", "GET")]).await;
    assert_eq!(overridden.status, 405);
    let link = raw(Method::GET, &format!("{}/.wayleave/link?owner=mallory", guarded.url), &[]).await;
    assert_eq!(link.status, 404);
    let document = raw(Method::GET, &format!("{}/.well-known/oauth-protected-resource", guarded.url), &[]).await;
    let document: serde_json::Value = serde_json::from_slice(&document.body).unwrap();
    assert_eq!(
        (&document["resource"], &document["authorization_servers"][0]),
        (&guarded.url.as_str().into(), &server.issuer.as_str().into())
    );
}

/// Cases: G-3.2.2-1, G-3.2.2-2, X-12, F-3-2, F-3-3
#[tokio::test]
async fn two_gateways_two_servers_and_one_of_them_away() {
    let (mut first, second) = (Server::start(""), Server::start(""));
    let (a, b) = (Guarded::start(&first, ""), Guarded::start(&second, ""));
    assert_eq!(challenge_of(&raw(Method::GET, &a.photo(), &[]).await).as_uri, first.issuer);
    assert_eq!(challenge_of(&raw(Method::GET, &b.photo(), &[]).await).as_uri, second.issuer);
    first.process = None;
    let away = raw(Method::GET, &a.photo(), &[]).await;
    assert_eq!(
        (away.status.as_u16(), away.header("warning"), away.header("www-authenticate")),
        (403, Some(UNREACHABLE_WARNING), None)
    );
    let called = viewer().call(Method::GET, &a.photo(), None).await.unwrap();
    assert!(matches!(called, Called::AuthorizationServerUnreachable), "the client stops");
    challenge_of(&raw(Method::GET, &b.photo(), &[]).await);
    first.run();
    assert_eq!(challenge_of(&raw(Method::GET, &a.photo(), &[]).await).as_uri, first.issuer, "and it goes on by itself");
}

/// Threat 27: the RPT stays at the gateway.
#[tokio::test]
async fn threat_27_the_upstream_sees_no_token() {
    let seen: Arc<std::sync::Mutex<Vec<String>>> = Arc::default();
    let tell = seen.clone();
    let upstream = axum::Router::new().fallback(async move |request: axum::extract::Request| {
        let headers: Vec<_> = request.headers().keys().map(|name| name.as_str().to_owned()).collect();
        // a look whether something is there carries nothing of a caller
        if request.method() == http::Method::HEAD {
            assert!(!headers.iter().any(|name| name == "x-request-id" || name == "authorization"), "{headers:?}");
        } else {
            tell.lock().unwrap().push(format!("{} {} {}", request.method(), request.uri(), headers.join(",")));
        }
        "from upstream"
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, upstream).await.unwrap() });
    let server = Server::start("");
    let guarded = Guarded::start(&server, &address);
    let rpt = admitted(&server, &guarded, 1).await;
    let bearer = format!("{} {}", rpt.token_type, rpt.token);
    let url = format!("{}?x=1", guarded.photo());
    let answer = raw(Method::GET, &url, &[("authorization", &bearer), ("x-original-url", "/admin"), ("x-request-id", "1")]).await;
    assert_eq!(&answer.body[..], b"from upstream");
    let seen = seen.lock().unwrap().join("\n");
    assert!(seen.starts_with("GET /albums/holiday/1.jpg?x=1") && seen.contains("x-request-id"), "{seen}");
    assert!(!seen.contains("authorization") && !seen.contains("x-original-url"), "{seen}");
}

/// Cases: G-3.3.6-15, F-1.3-1
#[tokio::test]
async fn without_a_person_there_is_no_going_on_and_nothing_but_tls_or_loopback() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    let client = viewer();
    let Called::Challenged(challenge) = client.call(Method::GET, &guarded.photo(), None).await.unwrap() else { panic!() };
    let metadata = client.discover(&challenge.issuer).await.unwrap();
    share(&server, &client).await;
    let request = TicketRequest { ticket: &challenge.ticket, ..TicketRequest::default() };
    // a program gets the hint, and has nobody to send there: it stops
    assert!(matches!(client.trade(&metadata, &request).await.unwrap(), Traded::NeedInfo { redirect_user: Some(_), .. }));
    let plain = wayleave::config::Config::parse("[server]\nissuer = \"http://as.example\"", std::iter::empty(), "".into());
    assert!(plain.unwrap_err().contains("https"));
}

/// Withdraws everything that Alice shares.
pub(crate) async fn withdraw(server: &Server) {
    let desk = Desk::open(server).await;
    let policies = desk.metadata.policy_endpoint.clone().unwrap();
    let (_, all) = desk.api(Method::GET, &policies, &desk.pmt, serde_json::Value::Null).await.unwrap();
    for policy in all.as_array().unwrap() {
        let url = format!("{policies}/{}", policy["_id"].as_str().unwrap());
        assert_eq!(desk.api(Method::DELETE, &url, &desk.pmt, serde_json::Value::Null).await.unwrap().0, 204);
    }
}

/// JWT RPTs checked at the gateway (protocol.md 4): no call to the server for each, none where it is away for a
/// moment, and a withdrawal is heard within a second.
#[tokio::test]
async fn an_offline_gateway_asks_nobody_and_hears_of_withdrawals() {
    let mut server = Server::start_signing();
    let guarded = Guarded::start_checking(&server, "", "offline");
    let rpt = admitted(&server, &guarded, 1).await;
    assert_eq!(rpt.token.split('.').count(), 3, "a JWT");
    let call = async |authorization: String| {
        raw(Method::GET, &guarded.photo(), &[("authorization", &authorization)]).await.status.as_u16()
    };
    let bearer = || format!("Bearer {}", rpt.token);
    assert_eq!(call(bearer()).await, 200);
    // neither its `jti` nor a changed text is a token
    let parts: Vec<_> = rpt.token.split('.').collect();
    let claims: serde_json::Value = serde_json::from_slice(&jose::base64url::decode(parts[1]).unwrap()).unwrap();
    assert_eq!(claims["aud"], guarded.url);
    assert_eq!(call(format!("Bearer {}", claims["jti"].as_str().unwrap())).await, 401);
    let mut wider = claims.clone();
    wider["permissions"][0]["resource_scopes"] = serde_json::json!(["view", "delete"]);
    let forged = format!("{}.{}.{}", parts[0], jose::base64url::encode(wider.to_string()), parts[2]);
    assert_eq!(call(format!("Bearer {forged}")).await, 401);
    assert_eq!(call(format!("DPoP {}", rpt.token)).await, 401, "it is bound to no key");
    server.process = None;
    assert_eq!(call(bearer()).await, 200, "the server is away, and nobody needs it");
    server.run();
    // the gateway listens again by itself; then what Alice withdraws is gone
    withdraw(&server).await;
    until("a withdrawal is heard", async || call(bearer()).await == 401).await;
    let rpt = admitted(&server, &guarded, 2).await;
    assert_eq!(call(format!("Bearer {}", rpt.token)).await, 200);
    withdraw(&server).await;
    until_out(async || call(format!("Bearer {}", rpt.token)).await == 401).await;
}

/// Threat 20: what a gateway logs, at whatever level, holds no token and no secret.
#[tokio::test]
async fn threat_20_a_gateway_logs_no_secret() {
    for check in ["introspect", "offline"] {
        let server = Server::start_signing();
        let guarded = Guarded::start_checking(&server, "", check);
        let ticket = challenge_of(&raw(Method::GET, &guarded.photo(), &[]).await).ticket;
        let rpt = admitted(&server, &guarded, 1).await;
        let bearer = format!("Bearer {}", rpt.token);
        assert_eq!(raw(Method::GET, &guarded.photo(), &[("authorization", &bearer)]).await.status, 200);
        let pat = Desk::open(&server).await.pat;
        let log = std::fs::read_to_string(log_of(&guarded.folder.0)).unwrap();
        let refused = raw(Method::GET, &guarded.photo(), &[("authorization", "Bearer wl_rpt_guessed")]).await;
        assert_eq!(refused.status, 401);
        let signature = rpt.token.rsplit('.').next().unwrap();
        for secret in
            ["photos-secret", "viewer-secret", "wl_at_", "wl_rpt_", "wl_ticket_", "bob@bar.example", signature, &ticket, &pat]
        {
            assert!(!log.contains(secret), "{check}: {secret}");
        }
        assert!(log.len() > 1_000, "it does log");
    }
}

/// `wayleave get` walks the whole flow by itself, with a bearer RPT and with a bound one.
#[tokio::test]
async fn get_fetches_what_is_protected() {
    let server = Server::start("");
    let guarded = Guarded::start(&server, "");
    admitted(&server, &guarded, 1).await;
    let place = |name: &str| server.folder.0.join(name);
    std::fs::write(place("secret"), "viewer-secret\n").unwrap();
    for (serial, more) in [(2, &[][..]), (3, &["--dpop"])] {
        std::fs::write(place("claim"), server.id_token(serial)).unwrap();
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_wayleave"));
        command.args([
            "get",
            &guarded.photo(),
            "--client-id",
            "viewer",
            "--client-secret-file",
            "secret",
            "--claim-token-file",
            "claim",
        ]);
        let output = command.args(["-o", "photo.jpg"]).args(more).current_dir(&server.folder.0).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        assert!(said.contains("a ticket of") && said.contains("calling again"), "{said}");
        assert_eq!(std::fs::read(place("photo.jpg")).unwrap(), vec![7; 300_000]);
    }
}
