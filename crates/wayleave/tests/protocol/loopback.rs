//! Applications on somebody's own machine (RFC 8252 7.3, RFC 9700 4.1.3): their redirect URIs have any port.

use crate::oauth::Browser;
use crate::world::{World, form};

const NATIVE: &str = r#"
[[client]]
client_id = "cli"
client_secret = "cli-secret"
grant_types = ["authorization_code", "urn:ietf:params:oauth:grant-type:uma-ticket"]
scope = "openid"
redirect_uris = ["http://127.0.0.1/callback", "http://[::1]/callback", "https://cli.example/callback"]
claims_redirect_uris = ["http://127.0.0.1/claims?keep=1", "http://[::1]/claims?keep=1"]
"#;
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

fn request(uri: &str) -> Vec<(&str, &str)> {
    vec![
        ("response_type", "code"),
        ("client_id", "cli"),
        ("redirect_uri", uri),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

#[tokio::test]
async fn threat_15_c10_a_loopback_redirect_has_any_port_from_authorization_to_token() {
    for world in World::each_with(NATIVE).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        for (uri, other) in [
            ("http://127.0.0.1:51234/callback", "http://127.0.0.1:51235/callback"),
            ("http://[::1]:51234/callback", "http://127.0.0.1:51234/callback"),
            ("http://127.0.0.1/callback", "http://127.0.0.1:51234/callback"),
        ] {
            for pushed in [false, true] {
                let mut path = format!("/authorize?{}", form(&request(uri)));
                if pushed {
                    let answer = world.post("/par", "cli", &request(uri)).await;
                    path = format!(
                        "/authorize?{}",
                        form(&[("client_id", "cli"), ("request_uri", answer.ok(201).get("request_uri"))])
                    );
                }
                let mut answer = browser.open(&path).await;
                if answer.status == 200 {
                    let policy = answer.header("content-security-policy").to_owned();
                    let target = if uri.contains("::1") { "http:" } else { &uri[..uri.len() - "/callback".len()] };
                    assert!(policy.contains(&format!("form-action 'self' {target};")), "{policy}");
                    answer = browser.submit(&answer, "/authorize/decision", &[("decision", "approve")]).await;
                }
                let (url, query) = answer.location();
                assert!(url.starts_with(&format!("{uri}?")), "{url}");
                let code = query.iter().find(|(name, _)| name == "code").unwrap().1.clone();
                let trade = async |uri: &str| {
                    let fields = [
                        ("grant_type", "authorization_code"),
                        ("code", &code),
                        ("redirect_uri", uri),
                        ("code_verifier", VERIFIER),
                    ];
                    world.token("cli", &fields).await
                };
                // the code is for the port that was asked for
                trade(other).await.refused(400, "invalid_grant");
                trade(uri).await.ok(200);
            }
        }
        for wrong in [
            "http://127.0.0.1:51234/callback/",
            "http://127.0.0.1:51234/callback?x=1",
            "http://127.0.0.1:51234/Callback",
            "http://127.0.0.2:51234/callback",
            "http://localhost:51234/callback",
            "https://127.0.0.1:51234/callback",
            "http://127.0.0.1:51234@evil.example/callback",
            "http://127.0.0.1.evil.example:51234/callback",
            "http://127.0.0.1:0/callback",
            "https://cli.example:444/callback",
            "http://127.0.0.1:51234/x/../callback",
        ] {
            let page = browser.open(&format!("/authorize?{}", form(&request(wrong)))).await;
            assert_eq!((page.status, page.header("location")), (400, ""), "{wrong}");
            world.post("/par", "cli", &request(wrong)).await.refused(400, "invalid_request");
        }
    }
}

#[tokio::test]
async fn threat_15_c10_a_loopback_claims_redirect_has_any_port() {
    let world = World::on("memory", NATIVE).await;
    let (pat, album, _) = world.album().await;
    for (uri, taken) in [
        ("http://127.0.0.1:51234/claims?keep=1", true),
        ("http://[::1]:51234/claims?keep=1", true),
        ("http://127.0.0.1:51234/claims", false),
        ("http://127.0.0.1:51234@evil.example/claims?keep=1", false),
    ] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let browser = Browser::new(&world);
        let fields = [("client_id", "cli"), ("ticket", &*ticket), ("claims_redirect_uri", uri)];
        let answer = browser.open(&format!("/claims?{}", form(&fields))).await;
        assert_eq!(answer.status == 303, taken, "{uri}: {}", answer.text);
    }
}

/// The key of a pushed request is one (RFC 9449 10.1).
#[tokio::test]
async fn threat_48_c16_a_pushed_request_names_one_key() {
    let world = World::on("memory", NATIVE).await;
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let thumbprint = key.public().thumbprint();
    let push = async |jti: &str, named: &str| {
        let request_of = jose::dpop::Request { method: "POST", url: "http://127.0.0.1:8080/par", access_token: None };
        let proof = jose::dpop::prove(&key, &request_of, jti.into(), jose::Clock::now(&*world.clock), None).unwrap();
        let authorization = crate::world::basic("cli", "cli-secret");
        let headers =
            [("authorization", &*authorization), ("content-type", "application/x-www-form-urlencoded"), ("dpop", &*proof)];
        let fields = [request("http://127.0.0.1/callback"), vec![("dpop_jkt", named)]].concat();
        world.send("POST", "/par", &headers, form(&fields)).await
    };
    let other = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap().public().thumbprint();
    push("1", &other).await.refused(400, "invalid_dpop_proof");
    push("2", &thumbprint).await.ok(201);
}
