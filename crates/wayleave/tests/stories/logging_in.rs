//! How owners are known to a gateway (protocol.md 2): by management tokens of its authorization server, opaque or
//! signed, bound to a key or not; by a log-in of its own; and by somebody else's OpenID provider.

use crate::choosing::{LABORATORY, Owner, open_gateway};
use crate::gateway::{Guarded, raw};
use crate::processes::{Server, free_port};
use client::{Client, Credentials};
use jose::{Algorithm, SigningKey, SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Request, Response, Settings};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use wayleave::demo::browser::Browser;

fn outbound() -> Outbound {
    Outbound::new(Settings { allow_private_networks: true, allow_http: true, ..Settings::default() }).unwrap()
}

fn client(id: &str, secret: &str, dpop_key: Option<Arc<SigningKey>>) -> Client {
    let credentials = Credentials::secret(id, secret);
    Client { outbound: outbound(), clock: Arc::new(SystemClock), randomness: Arc::new(SystemRandomness), credentials, dpop_key }
}

/// A call with a token that may be bound to a key.
async fn ask(url: &str, token: &str, key: Option<&SigningKey>) -> Response {
    let mut request = Request::get(url).header("authorization", &format!("Bearer {token}"));
    if let Some(key) = key {
        let of = jose::dpop::Request { method: "GET", url, access_token: Some(token) };
        let jti = jose::ambient::random_text::<16>(&SystemRandomness);
        let proof = jose::dpop::prove(key, &of, jti, jose::Clock::now(&SystemClock), None).unwrap();
        request = Request::get(url).header("authorization", &format!("DPoP {token}")).header("dpop", &proof);
    }
    outbound().send(request).await.unwrap()
}

#[tokio::test]
async fn a_management_token_may_be_signed_and_bound_to_a_key() {
    let signing = LABORATORY.replace("client_id = \"desk\"\n", "client_id = \"desk\"\naccess_token_format = \"jwt\"\n");
    let server = Server::start(&signing);
    let guarded = open_gateway(&server, |text| text);
    let plain = Owner::with(&server, &guarded).await;
    assert_eq!(plain.rmt.split('.').count(), 3, "a JWT: {}", plain.rmt);
    assert_eq!(plain.get("/my-rules").await, json!([]));
    // the id under which it is kept is no token, here or there
    let jti = jose::UnverifiedJws::parse(&plain.rmt).unwrap().claimed("jti").unwrap();
    let rules = format!("{}/my-rules", plain.manage);
    assert_eq!(ask(&rules, &jti, None).await.status, 401);
    let key = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
    let desk = client("desk", "desk-secret", Some(key.clone()));
    let metadata = desk.discover(&server.issuer).await.unwrap();
    let form = [("grant_type", "client_credentials"), ("scope", "uma_management"), ("resource", guarded.url.as_str())];
    let bound = desk.token(&metadata, &form).await.unwrap().access_token;
    assert_eq!(ask(&rules, &bound, Some(&key)).await.status, 200);
    assert_eq!(ask(&rules, &bound, None).await.status, 401, "a bound token is nothing without its proof");
    let other = SigningKey::generate(Algorithm::Es256).unwrap();
    assert_eq!(ask(&rules, &bound, Some(&other)).await.status, 401);
    assert_eq!(ask(&rules, &plain.rmt, Some(&key)).await.status, 401, "nor is a bearer token bound by one");
    // for another resource server, with another scope, forged
    let form = [("grant_type", "client_credentials"), ("scope", "uma_management")];
    let unnamed = client("desk", "desk-secret", None).token(&metadata, &form).await.unwrap().access_token;
    assert_eq!(ask(&rules, &unnamed, None).await.status, 401);
    let forged = other.sign(
        "at+jwt",
        &json!({"iss": server.issuer, "aud": guarded.url, "scope": "uma_management",
        "preferred_username": "alice", "exp": jose::Clock::now(&SystemClock).plus(60)}),
    );
    let refused = ask(&rules, &forged.unwrap(), None).await;
    assert_eq!((refused.status.as_u16(), refused.header("www-authenticate").is_some()), (401, true));
}

const OWN: &str = "[[account]]\nusername = \"alice\"\nemail = \"alice@foo.example\"\npassword = \"alice-password\"\n\
    [[account]]\nusername = \"carol\"\npassword = \"carol-password\"\n\
    [[client]]\nclient_id = \"desk\"\nclient_secret = \"desk-secret\"\nscope = \"uma_management\"\n\
    grant_types = [\"authorization_code\", \"refresh_token\"]\nredirect_uris = [\"http://127.0.0.1:9003/callback\"]\n";

#[tokio::test]
async fn a_gateway_logs_its_owners_in_by_itself() {
    let server = Server::start("");
    let guarded = Guarded::start_changed(&server, "", |text| format!("{text}{OWN}"));
    let document = raw(Method::GET, &format!("{}/.well-known/oauth-protected-resource", guarded.url), &[]).await;
    let document: Value = serde_json::from_slice(&document.body).unwrap();
    let issuer = document["resource_management_authorization_servers"][0].as_str().unwrap().to_owned();
    assert!(issuer.starts_with(&guarded.url), "{document}");
    let desk = client("desk", "desk-secret", None);
    let metadata = desk.discover_openid(&issuer).await.unwrap();
    assert!(metadata.permission_endpoint.is_none() && metadata.grant_types_supported.iter().all(|grant| !grant.contains("uma")));
    for (who, password, status) in [("alice", "alice-password", 200), ("carol", "carol-password", 404)] {
        let redirect = "http://127.0.0.1:9003/callback";
        let (url, flow) = desk.begin_code(&metadata, redirect, "uma_management", None).unwrap();
        let resource: String = form_urlencoded::byte_serialize(guarded.url.as_bytes()).collect();
        let mut browser = Browser::new(outbound());
        browser.stop_at = Some(redirect.to_owned());
        let page = browser.open(&format!("{url}&resource={resource}")).await.unwrap();
        let page = browser.submit(&page, "/login", &[("username", who), ("password", password)]).await.unwrap();
        let back = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.unwrap();
        let query: Vec<(String, String)> = back.url.query_pairs().into_owned().collect();
        let tokens = desk.finish_code(&metadata, &flow, &query).await.unwrap().tokens;
        let rules = format!("{}/my-resources", document["resource_management_endpoint"].as_str().unwrap());
        assert_eq!(ask(&rules, &tokens.access_token, None).await.status, status, "{who}");
    }
    // what it has of its own is not what it guards
    assert_eq!(raw(Method::GET, &format!("{issuer}/uma/resources"), &[]).await.status, 404);
    assert_eq!(raw(Method::GET, &guarded.photo(), &[]).await.status, 401);
}

/// Ended when dropped.
pub(crate) struct Foreign(pub(crate) Child);

impl Drop for Foreign {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Cases: X-15
#[tokio::test]
async fn a_gateway_federates_to_somebody_elses_provider() {
    let server = Server::start("");
    let port = free_port();
    let issuer = format!("http://127.0.0.1:{port}");
    let guarded = Guarded::start_changed(&server, "", |text| {
        text.replacen("[[gateway.route]]", &format!("[gateway.management]\nissuer = \"{issuer}\"\n[[gateway.route]]"), 1)
    });
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap();
    let world = json!({"issuer": issuer, "gateway": guarded.url, "port": port});
    let mut command = Command::new("node");
    command.arg("provider.mjs").current_dir(root.join("browser")).env("WORLD", world.to_string()).stdout(Stdio::piped());
    let mut provider = Foreign(command.stderr(Stdio::null()).spawn().unwrap());
    let mut lines = BufReader::new(provider.0.stdout.take().unwrap()).lines();
    assert!(lines.by_ref().any(|line| line.unwrap().starts_with("ready:")));
    std::thread::spawn(move || lines.for_each(drop));
    let dpop = Arc::new(SigningKey::generate(Algorithm::Es256).unwrap());
    for key in [None, Some(dpop)] {
        let desk = client("desk", "desk-secret-of-some-length", key.clone());
        let metadata = desk.discover_openid(&issuer).await.unwrap();
        let redirect = "http://127.0.0.1:9003/callback";
        let (url, flow) = desk.begin_code(&metadata, redirect, "openid uma_management", None).unwrap();
        let resource: String = form_urlencoded::byte_serialize(guarded.url.as_bytes()).collect();
        let mut browser = Browser::new(outbound());
        browser.stop_at = Some(redirect.to_owned());
        let page = browser.open(&format!("{url}&resource={resource}&prompt=consent")).await.unwrap();
        let page = browser.submit(&page, "/interaction/", &[("login", "alice"), ("password", "x")]).await.unwrap();
        let back = browser.submit(&page, "/interaction/", &[]).await.unwrap();
        let query: Vec<(String, String)> = back.url.query_pairs().into_owned().collect();
        let tokens = desk.finish_code(&metadata, &flow, &query).await.unwrap().tokens;
        let resources = format!("{}/.wayleave/manage/my-resources", guarded.url);
        let answer = ask(&resources, &tokens.access_token, key.as_deref()).await;
        assert_eq!(answer.status, 200, "{}", String::from_utf8_lossy(&answer.body));
        if key.is_some() {
            assert_eq!(ask(&resources, &tokens.access_token, None).await.status, 401);
        }
    }
}
