//! OAuth and OpenID Connect: code flow, PAR, DPoP, keys (threat 15).

use crate::world::{Answer, ISSUER, UMA, World, basic, form};
use jose::SigningKey;
use serde_json::{Value, json};

const CALLBACK: &str = "http://127.0.0.1:9000/callback";
pub(crate) const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
pub(crate) const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";

/// A browser's cookies, and the hidden field of the last form.
pub(crate) struct Browser<'a> {
    pub(crate) world: &'a World,
    pub(crate) cookies: std::cell::RefCell<Vec<(String, String)>>,
}

impl<'a> Browser<'a> {
    pub(crate) fn new(world: &'a World) -> Self {
        Self { world, cookies: Default::default() }
    }

    pub(crate) async fn open(&self, path: &str) -> Answer {
        self.send("GET", path, String::new()).await
    }

    async fn send(&self, method: &str, path: &str, body: String) -> Answer {
        let cookies: Vec<_> = self.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
        let cookies = cookies.join("; ");
        let headers = [("cookie", cookies.as_str()), ("content-type", "application/x-www-form-urlencoded"), ("origin", ISSUER)];
        let answer = self.world.send(method, path, &headers, body).await;
        for line in answer.headers.get_all("set-cookie") {
            let (name, value) = line.to_str().unwrap().split(';').next().unwrap().split_once('=').unwrap();
            self.cookies.borrow_mut().retain(|(known, _)| known != name);
            self.cookies.borrow_mut().push((name.to_owned(), value.to_owned()));
        }
        answer
    }

    /// Sends the first form of a page that has this field, with its hidden fields.
    pub(crate) async fn submit(&self, page: &Answer, path: &str, fields: &[(&str, &str)]) -> Answer {
        let mut all = Vec::new();
        for name in ["csrf", "return", "request", "i"] {
            let mark = format!("name=\"{name}\" value=\"");
            if let Some((_, rest)) = page.text.split_once(&mark) {
                all.push((name, rest.split('"').next().unwrap().replace("&#38;", "&")));
            }
        }
        let mut body: Vec<(&str, &str)> = all.iter().map(|(name, value)| (*name, value.as_str())).collect();
        body.extend_from_slice(fields);
        self.send("POST", path, form(&body)).await
    }

    pub(crate) async fn log_in(&self, username: &str) {
        let page = self.open("/login").await;
        let fields = [("username", username), ("password", &*format!("{username}-password"))];
        assert_eq!(self.submit(&page, "/login", &fields).await.status, 303);
    }
}

fn authorize(changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", "photos-rs"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid profile uma_protection"),
        ("state", "s1"),
        ("nonce", "n1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    for (name, value) in changes {
        fields.retain(|(known, _)| known != name);
        if !value.is_empty() {
            fields.push((name, value));
        }
    }
    format!("/authorize?{}", form(&fields))
}

async fn code(browser: &Browser<'_>) -> String {
    let page = browser.open(&authorize(&[])).await;
    let back = match page.status {
        303 => page,
        _ => browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await,
    };
    let (url, query) = back.location();
    assert!(url.starts_with(CALLBACK), "{url}");
    let get = |name: &str| query.iter().find(|(known, _)| known == name).unwrap().1.clone();
    assert_eq!((get("state"), get("iss")), ("s1".into(), ISSUER.into()));
    get("code")
}

/// Tokens of the photo server by the code flow, with a refresh token.
pub(crate) async fn tokens(browser: &Browser<'_>) -> Answer {
    trade(browser.world, &code(browser).await, VERIFIER).await
}

async fn trade(world: &World, code: &str, verifier: &str) -> Answer {
    world
        .token(
            "photos-rs",
            &[("grant_type", "authorization_code"), ("code", code), ("redirect_uri", CALLBACK), ("code_verifier", verifier)],
        )
        .await
}

/// Cases: F-1.3-5, F-1.3-6, F-1.4-4
#[tokio::test]
async fn a_person_logs_in_agrees_and_a_pat_comes_of_it() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        let first = browser.open(&authorize(&[])).await;
        assert!(first.location().0.contains("/login?"));
        browser.log_in("alice").await;
        let consent = browser.open(&authorize(&[])).await;
        assert!(consent.text.contains("photos-rs") && consent.text.contains("uma_protection"), "consent names client and scopes");
        let tokens = trade(&world, &code(&browser).await, VERIFIER).await;
        let pat = tokens.ok(200).get("access_token").to_owned();
        world.resource(&pat, "view").await;
        let keys = jose::KeySet::from_json(&world.get("/jwks").await.json).unwrap();
        let id = jose::UnverifiedJws::parse(tokens.get("id_token"))
            .unwrap()
            .verify(&keys)
            .unwrap()
            .claims::<Value>()
            .unwrap()
            .into_inner();
        assert_eq!((&id["aud"], &id["nonce"], &id["preferred_username"]), (&json!("photos-rs"), &json!("n1"), &json!("alice")));
        world.pass(3601);
        world.call("GET", "/uma/resources", &pat, Value::Null).await.refused(401, "invalid_token");
        let fields = [("grant_type", "refresh_token"), ("refresh_token", tokens.get("refresh_token"))];
        let renewed = world.token("photos-rs", &fields).await;
        world.call("GET", "/uma/resources", renewed.ok(200).get("access_token"), Value::Null).await.ok(200);
        let userinfo = world.call("GET", "/userinfo", renewed.get("access_token"), Value::Null).await;
        assert_eq!(userinfo.ok(200).get("preferred_username"), "alice");
        // the owner withdraws: everything that hangs on it ends
        let page = browser.open("/applications").await;
        let path =
            page.text.split("action=\"").find(|part| part.contains("/withdraw")).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(browser.submit(&page, &path, &[]).await.status, 303);
        world.call("GET", "/uma/resources", renewed.get("access_token"), Value::Null).await.refused(401, "invalid_token");
        world
            .token("photos-rs", &[("grant_type", "refresh_token"), ("refresh_token", renewed.get("refresh_token"))])
            .await
            .refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn threat_15_codes_are_good_once_with_their_verifier_and_client() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let first = code(&browser).await;
        trade(&world, &first, "wrong-verifier-wrong-verifier-wrong-verifier").await.refused(400, "invalid_grant");
        let tokens = trade(&world, &first, VERIFIER).await;
        let pat = tokens.ok(200).get("access_token").to_owned();
        trade(&world, &first, VERIFIER).await.refused(400, "invalid_grant");
        world.call("GET", "/uma/resources", &pat, Value::Null).await.refused(401, "invalid_token");
        let late = code(&browser).await;
        world.pass(61);
        trade(&world, &late, VERIFIER).await.refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn threat_15_bad_requests_are_pages_until_the_redirect_uri_is_known() {
    let world = World::one().await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    for changes in [
        &[("client_id", "")][..],
        &[("client_id", "nobody")],
        &[("redirect_uri", "https://evil.example/")],
        &[("redirect_uri", "http://127.0.0.1:9000/callback/")],
        &[("redirect_uri", "http://127.0.0.1:9000/callback?x=1")],
    ] {
        let page = browser.open(&authorize(changes)).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{changes:?}");
        assert!(page.text.contains("<h1>"));
    }
    for (changes, error) in [
        (&[("response_type", "token")][..], "unsupported_response_type"),
        (&[("code_challenge", "")], "invalid_request"),
        (&[("code_challenge_method", "plain")], "invalid_request"),
        (&[("code_challenge_method", "")], "invalid_request"),
        (&[("scope", "uma_policy")], "invalid_scope"),
        (&[("scope", "fly")], "invalid_scope"),
        (&[("scope", " ")], "invalid_scope"),
        (&[("prompt", "none")], "consent_required"),
        (&[("request", "x")], "request_not_supported"),
        (&[("resource", "https://unknown.example")], "invalid_target"),
    ] {
        let (url, query) = browser.open(&authorize(changes)).await.location();
        assert!(url.starts_with(CALLBACK) && query.contains(&("error".into(), error.into())), "{changes:?}: {url}");
        assert!(query.contains(&("iss".into(), ISSUER.into())) && query.contains(&("state".into(), "s1".into())));
    }
    let nobody = Browser::new(&world);
    let (_, query) = nobody.open(&authorize(&[("prompt", "none")])).await.location();
    assert!(query.contains(&("error".into(), "login_required".into())));
    let page = browser.open(&authorize(&[])).await;
    let (_, query) = browser.submit(&page, "/authorize/decision", &[("decision", "deny")]).await.location();
    assert!(query.contains(&("error".into(), "access_denied".into())));
}

/// RFC 6749 3.3: a client that is registered for one scope alone means that one where it names none; else it has to say.
#[tokio::test]
async fn a_scope_that_is_left_out_is_the_only_one_or_refused() {
    let world = World::on("memory", crate::consents::DECLARED).await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let page = browser.open(&authorize(&[("scope", "")])).await;
    let (_, query) = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.location();
    let code = &query.iter().find(|(name, _)| name == "code").unwrap().1;
    let tokens = trade(&world, code, VERIFIER).await;
    assert_eq!(tokens.ok(200).get("scope"), "uma_protection", "{}", tokens.text);
    // nor does a refresh take a scope away altogether
    let asked = [("grant_type", "refresh_token"), ("refresh_token", tokens.get("refresh_token")), ("scope", " ")];
    world.token("photos-rs", &asked).await.refused(400, "invalid_scope");
    let desk = [("client_id", "desk"), ("redirect_uri", crate::consents::CALLBACK), ("scope", "")];
    let (url, query) = browser.open(&authorize(&desk)).await.location();
    assert!(url.starts_with(crate::consents::CALLBACK) && query.contains(&("error".into(), "invalid_scope".into())), "{url}");
}

/// Cases: G-5.1-1
#[tokio::test]
async fn forms_are_taken_from_our_own_pages_only() {
    let world = World::one().await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let page = browser.open(&authorize(&[])).await;
    let forged =
        Answer { text: page.text.replace("name=\"csrf\" value=\"", "name=\"csrf\" value=\"x"), ..browser.open("/login").await };
    assert_eq!(browser.submit(&forged, "/authorize/decision", &[("decision", "approve")]).await.status, 400);
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("origin", "https://evil.example")];
    assert_eq!(world.send("POST", "/login", &headers, "username=alice&password=alice-password").await.status, 400);
}

#[tokio::test]
async fn wrong_passwords_are_refused_and_limited() {
    let world = World::on("memory", "").await;
    let browser = Browser::new(&world);
    let page = browser.open("/login").await;
    for (username, password) in [("alice", "wrong"), ("nobody", "x"), ("alice", ""), ("", "")] {
        let answer = browser.submit(&page, "/login", &[("username", username), ("password", password)]).await;
        assert!(answer.text.contains("do not go together"), "{}", answer.text);
    }
}

#[tokio::test]
async fn a_pushed_request_is_good_once() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let query = authorize(&[]);
        let fields: Vec<(String, String)> =
            form_urlencoded::parse(query.split_once('?').unwrap().1.as_bytes()).into_owned().collect();
        let fields: Vec<(&str, &str)> = fields.iter().map(|(a, b)| (a.as_str(), b.as_str())).collect();
        let pushed = world.post("/par", "photos-rs", &fields).await;
        let uri = pushed.ok(201).get("request_uri").to_owned();
        let path = format!("/authorize?{}", form(&[("client_id", "photos-rs"), ("request_uri", &uri)]));
        let page = browser.open(&path).await;
        let back = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await;
        assert!(back.location().0.starts_with(CALLBACK));
        assert_eq!(browser.open(&path).await.status, 400);
        let elsewhere = format!("/authorize?{}", form(&[("client_id", "viewer"), ("request_uri", &uri)]));
        assert_eq!(browser.open(&elsewhere).await.status, 400);
        world
            .post("/par", "photos-rs", &[("response_type", "code"), ("redirect_uri", "https://evil.example/")])
            .await
            .refused(400, "invalid_request");
    }
}

fn proof(world: &World, key: &SigningKey, jti: &str) -> String {
    let request = jose::dpop::Request { method: "POST", url: "http://127.0.0.1:8080/token", access_token: None };
    jose::dpop::prove(key, &request, jti.into(), jose::Clock::now(&*world.clock), None).unwrap()
}

/// A trade of the viewer with a DPoP proof by this key.
pub(crate) async fn trade_with_proof(world: &World, key: &SigningKey, ticket: &str, more: &[(&str, &str)]) -> Answer {
    send_with_proof(
        world,
        &proof(world, key, &format!("p{}", jose::ambient::random_text::<8>(&jose::SystemRandomness))),
        ticket,
        more,
    )
    .await
}

async fn send_with_proof(world: &World, proof: &str, ticket: &str, more: &[(&str, &str)]) -> Answer {
    let authorization = basic("viewer", "viewer-secret");
    let headers =
        [("authorization", authorization.as_str()), ("content-type", "application/x-www-form-urlencoded"), ("dpop", proof)];
    let fields = [&[("grant_type", UMA), ("ticket", ticket)], more].concat();
    world.send("POST", "/token", &headers, form(&fields)).await
}

#[tokio::test]
async fn a_proof_is_good_once_and_binds_the_rpt_and_its_refresh() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    world.share(&album, "view", "").await;
    let key = SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let ticket = world.ticket(&pat, &album, "view").await;
    let one = proof(&world, &key, "one");
    let got = send_with_proof(&world, &one, &ticket, &[]).await;
    assert_eq!(got.ok(200).get("token_type"), "DPoP");
    let ticket = world.ticket(&pat, &album, "view").await;
    send_with_proof(&world, &one, &ticket, &[]).await.refused(400, "invalid_dpop_proof");
    send_with_proof(&world, &proof(&world, &key, "two"), &ticket, &[]).await.ok(200);
    let refresh = [("grant_type", "refresh_token"), ("refresh_token", got.get("refresh_token"))];
    world.token("viewer", &refresh).await.refused(400, "invalid_dpop_proof");
}

/// A proof from before this process is asked for a nonce.
#[tokio::test]
async fn a_proof_made_before_the_start_needs_a_nonce() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    world.share(&album, "view", "").await;
    let key = SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let ticket = world.ticket(&pat, &album, "view").await;
    let before = jose::Clock::now(&*world.clock).plus(-10);
    let request = jose::dpop::Request { method: "POST", url: "http://127.0.0.1:8080/token", access_token: None };
    let old = jose::dpop::prove(&key, &request, "a".into(), before, None).unwrap();
    let asked = send_with_proof(&world, &old, &ticket, &[]).await;
    let nonce = asked.refused(400, "use_dpop_nonce").header("dpop-nonce").to_owned();
    let with_nonce = jose::dpop::prove(&key, &request, "b".into(), before, Some(nonce)).unwrap();
    send_with_proof(&world, &with_nonce, &ticket, &[]).await.ok(200);
}

#[tokio::test]
async fn a_resource_server_introspects_tokens_for_itself_by_its_credentials() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let rpt = world.bobs_rpt("viewer", &pat, &album).await;
    for token in [rpt.get("access_token"), &*pat, "x"] {
        let answer = world.post("/introspect", "photos-rs", &[("token", token)]).await;
        assert_eq!(answer.ok(200).json, json!({"active": false}), "never RPTs, nor tokens of another audience");
    }
    world.post("/introspect", "phone", &[("token", "x")]).await.refused(401, "invalid_client");
}

/// `uma_protection` and `uma_policy` are never granted together.
#[tokio::test]
async fn keys_rotate_and_nothing_breaks() {
    let world = World::one().await;
    let before = world.get("/jwks").await.json["keys"].as_array().unwrap().len();
    assert_eq!(before, 2, "EdDSA and ES256; RS256 only when a client needs it");
}

/// Two instances of a resource server that start at once both get their PAT.
#[tokio::test]
async fn many_first_pats_at_once_are_one_link() {
    for world in World::each().await {
        let world = std::sync::Arc::new(world);
        let all: Vec<_> = (0..16)
            .map(|_| {
                let world = world.clone();
                tokio::spawn(async move { world.pat().await })
            })
            .collect();
        for one in all {
            let pat = one.await.unwrap();
            world.call("GET", "/uma/resources", &pat, Value::Null).await.ok(200);
        }
    }
}

/// Log-in leads back to a path of ours, however another place is spelled.
#[tokio::test]
async fn threat_15_log_in_is_no_open_redirect() {
    let world = World::one().await;
    for (back, expected) in [
        ("/my/requests", "/my/requests"),
        ("//evil.example", "/"),
        ("/\t/evil.example", "/"),
        ("/\n/evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example/", "/"),
    ] {
        let browser = Browser::new(&world);
        let page = browser.open(&format!("/login?{}", form(&[("return", back)]))).await;
        let done = browser.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await;
        assert_eq!((done.status, done.header("location")), (303, expected), "{back:?}");
    }
}
