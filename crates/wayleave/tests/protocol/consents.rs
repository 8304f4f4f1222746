//! A consent names its resource, and ends there (protocol.md 1.7, RFC 8707, threat 37).

use crate::oauth::Browser;
use crate::world::{Answer, PHOTOS, World, form};
use jose::{Algorithm, SigningKey};
use serde_json::{Value, json};

const MUSIC: &str = "http://127.0.0.1:9100";
pub(crate) const CALLBACK: &str = "https://desk.example/callback";
const VERIFIER: &str = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk";
const CHALLENGE: &str = "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM";
/// A desk that the operator declared, and a second resource server.
pub(crate) const DECLARED: &str = r#"
[[client]]
client_id = "desk"
client_secret = "desk-secret"
name = "Desk"
grant_types = ["authorization_code", "refresh_token"]
scope = "uma_policy uma_management"
redirect_uris = ["https://desk.example/callback"]
[[client]]
client_id = "records-rs"
client_secret = "records-secret"
name = "Record shelf"
resource = "http://127.0.0.1:9100"
grant_types = ["client_credentials"]
scope = "uma_protection"
"#;

/// What a client asks for; `resource` as often as it says.
pub(crate) struct Asked<'a> {
    pub(crate) client: &'a str,
    pub(crate) scope: &'a str,
    pub(crate) resources: &'a [&'a str],
    pub(crate) more: &'a [(&'a str, &'a str)],
}

impl Asked<'_> {
    fn fields(&self) -> Vec<(&str, &str)> {
        let fixed = [
            ("response_type", "code"),
            ("client_id", self.client),
            ("redirect_uri", CALLBACK),
            ("scope", self.scope),
            ("code_challenge", CHALLENGE),
            ("code_challenge_method", "S256"),
        ];
        let resources = self.resources.iter().map(|resource| ("resource", *resource));
        fixed.into_iter().chain(resources).chain(self.more.iter().copied()).collect()
    }

    pub(crate) fn url(&self) -> String {
        format!("/authorize?{}", form(&self.fields()))
    }
}

fn managing<'a>(resources: &'a [&'a str]) -> Asked<'a> {
    Asked { client: "desk", scope: "uma_management", resources, more: &[] }
}

fn member(answer: &Answer, name: &str) -> Option<String> {
    answer.location().1.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

pub(crate) async fn agree(browser: &Browser<'_>, asked: &Asked<'_>) -> String {
    let page = browser.open(&asked.url()).await;
    assert_eq!(page.status, 200, "a page comes first: {}", page.header("location"));
    let back = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await;
    member(&back, "code").unwrap_or_else(|| panic!("{}", back.text))
}

pub(crate) async fn trade(world: &World, code: &str, more: &[(&str, &str)]) -> Answer {
    let fixed = [("grant_type", "authorization_code"), ("code", code), ("code_verifier", VERIFIER)];
    world.token("desk", &[&fixed, more].concat()).await
}

pub(crate) async fn refresh(world: &World, token: &str, more: &[(&str, &str)]) -> Answer {
    let fixed = [("grant_type", "refresh_token"), ("refresh_token", token)];
    world.token("desk", &[&fixed, more].concat()).await
}

/// What the resource server of this client is told of a token.
async fn is_active_at(world: &World, server: &str, token: &str) -> bool {
    world.post("/introspect", server, &[("token", token)]).await.ok(200).json["active"] == true
}

#[tokio::test]
async fn threat_37_s06_a_consent_is_for_one_resource() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let page = browser.open(&managing(&[PHOTOS]).url()).await;
        assert!(page.text.contains(PHOTOS) && page.text.contains("photos-rs"), "the page names it: {}", page.text);
        agree(&browser, &managing(&[PHOTOS])).await;
        assert!(member(&browser.open(&managing(&[PHOTOS]).url()).await, "code").is_some(), "agreed to: no page again");
        for other in [&[MUSIC][..], &[]] {
            let page = browser.open(&managing(other).url()).await;
            assert_eq!((page.status, page.header("location")), (200, ""), "{} {other:?}", world.engine);
            let silent = Asked { more: &[("prompt", "none")], ..managing(other) };
            assert_eq!(member(&browser.open(&silent.url()).await, "error").as_deref(), Some("consent_required"));
        }
        let page = browser.open(&managing(&[MUSIC]).url()).await;
        assert!(page.text.contains("Record shelf") && page.text.contains(MUSIC), "by name and URL: {}", page.text);
        assert!(page.text.contains("You let it in before") && page.text.contains(PHOTOS));
        // more at the same place is asked for, too
        let wider = Asked { scope: "openid uma_management", ..managing(&[PHOTOS]) };
        assert_eq!(browser.open(&wider.url()).await.status, 200);
    }
}

#[tokio::test]
async fn threat_37_s06_a_pushed_request_is_asked_for_like_any_other() {
    let world = World::on("memory", DECLARED).await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    agree(&browser, &managing(&[PHOTOS])).await;
    let asked = managing(&[MUSIC]);
    let pushed = world.post("/par", "desk", &asked.fields()).await;
    let uri = pushed.ok(201).get("request_uri").to_owned();
    // what stands beside `request_uri` changes nothing of it
    let beside = [("client_id", "desk"), ("request_uri", &*uri), ("resource", PHOTOS), ("scope", "uma_management")];
    let page = browser.open(&format!("/authorize?{}", form(&beside))).await;
    assert!(page.status == 200 && page.text.contains(MUSIC), "{}", page.text);
    let back = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await;
    let tokens = trade(&world, &member(&back, "code").unwrap(), &[]).await;
    let rmt = tokens.ok(200).get("access_token");
    assert_eq!((is_active_at(&world, "records-rs", rmt).await, is_active_at(&world, "photos-rs", rmt).await), (true, false));
}

#[tokio::test]
async fn threat_37_s06_no_token_reaches_further_than_its_consent() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let code = agree(&browser, &managing(&[PHOTOS])).await;
        for wrong in [&[("resource", MUSIC)][..], &[("resource", PHOTOS), ("resource", MUSIC)], &[("resource", "x")]] {
            trade(&world, &code, wrong).await.refused(400, "invalid_target");
        }
        let tokens = trade(&world, &code, &[("resource", PHOTOS)]).await;
        let (rmt, renewing) = (tokens.ok(200).get("access_token"), tokens.get("refresh_token"));
        assert_eq!((is_active_at(&world, "photos-rs", rmt).await, is_active_at(&world, "records-rs", rmt).await), (true, false));
        refresh(&world, renewing, &[("resource", MUSIC)]).await.refused(400, "invalid_target");
        refresh(&world, renewing, &[("scope", "uma_policy")]).await.refused(400, "invalid_scope");
        let renewed = refresh(&world, renewing, &[("resource", PHOTOS)]).await;
        let again = renewed.ok(200).get("access_token");
        assert_eq!(
            (is_active_at(&world, "photos-rs", again).await, is_active_at(&world, "records-rs", again).await),
            (true, false)
        );
        // a code that names no resource is not made good for one afterwards
        let unnamed = agree(&browser, &managing(&[])).await;
        trade(&world, &unnamed, &[("resource", PHOTOS)]).await.refused(400, "invalid_target");
        // and several at once are refused where they are asked for
        let both = browser.open(&managing(&[PHOTOS, MUSIC]).url()).await;
        assert_eq!(member(&both, "error").as_deref(), Some("invalid_target"));
        let asked = managing(&[PHOTOS, MUSIC]);
        world.post("/par", "desk", &asked.fields()).await.refused(400, "invalid_target");
    }
}

/// A token that a resource server saw is nothing here: it could be that server which brings it.
#[tokio::test]
async fn threat_37_s06_a_token_for_a_resource_server_opens_nothing_here() {
    let world = World::on("memory", DECLARED).await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let both = Asked { scope: "openid uma_policy uma_management", ..managing(&[PHOTOS]) };
    let tokens = trade(&world, &agree(&browser, &both).await, &[]).await;
    let rmt = tokens.ok(200).get("access_token");
    assert!(is_active_at(&world, "photos-rs", rmt).await);
    for api in ["/uma/policies", "/uma/events", "/userinfo"] {
        world.call("GET", api, rmt, Value::Null).await.refused(401, "invalid_token");
    }
}

#[tokio::test]
async fn threat_37_s06_each_consent_is_shown_and_ends_by_itself() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let mut tokens = Vec::new();
        for resource in [PHOTOS, MUSIC] {
            let got = trade(&world, &agree(&browser, &managing(&[resource])).await, &[]).await;
            tokens.push((got.ok(200).get("access_token").to_owned(), got.get("refresh_token").to_owned()));
        }
        let page = browser.open("/applications").await;
        assert!(page.text.contains(PHOTOS) && page.text.contains(MUSIC) && page.text.contains("Record shelf"), "{}", page.text);
        let entries: Vec<&str> = page.text.split("<li>").filter(|entry| entry.contains("/withdraw")).collect();
        let entry = entries.iter().find(|entry| entry.contains(PHOTOS)).unwrap();
        let path = entry.split("action=\"").nth(1).unwrap().split('"').next().unwrap();
        assert_eq!(browser.submit(&page, path, &[]).await.status, 303);
        assert!(!is_active_at(&world, "photos-rs", &tokens[0].0).await && is_active_at(&world, "records-rs", &tokens[1].0).await);
        refresh(&world, &tokens[0].1, &[]).await.refused(400, "invalid_grant");
        refresh(&world, &tokens[1].1, &[]).await.ok(200);
        let page = browser.open("/applications").await;
        assert!(!page.text.contains(PHOTOS) && page.text.contains(MUSIC));
    }
}

/// A code that was on its way when the consent was withdrawn brings nothing back.
#[tokio::test]
async fn threat_37_s06_a_code_under_way_does_not_bring_a_consent_back() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let code = agree(&browser, &managing(&[PHOTOS])).await;
        let alice = world.app.identity.store.find_account_by_username("alice").await.unwrap().unwrap().id;
        let consent = world.app.identity.store.list_consents(&alice).await.unwrap().pop().unwrap();
        assert!(world.app.identity.withdraw_consent(&alice, &consent.id).await.unwrap());
        trade(&world, &code, &[]).await.refused(400, "invalid_grant");
        // what comes after is a new one, under which nothing old is good
        agree(&browser, &managing(&[PHOTOS])).await;
        trade(&world, &code, &[]).await.refused(400, "invalid_grant");
        let again = world.app.identity.store.list_consents(&alice).await.unwrap().pop().unwrap();
        assert_ne!(again.id, consent.id);
    }
}

/// A stranger that would act for her proves her once more, at each page.
#[tokio::test]
async fn threat_37_s06_a_stranger_that_would_manage_wants_the_password_again() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let metadata = json!({
            "client_name": "Helpful", "redirect_uris": [CALLBACK], "scope": "uma_management uma_policy",
            "token_endpoint_auth_method": "none", "dpop_bound_access_tokens": true,
        });
        let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
        let id = made.ok(201).get("client_id").to_owned();
        for (scope, resources) in [("uma_management", &[PHOTOS][..]), ("uma_policy", &[])] {
            let asked = Asked { client: &id, scope, resources, more: &[] };
            // also the second time: what decides for her is asked for each time
            for _ in 0..2 {
                let page = browser.open(&asked.url()).await;
                assert!(page.status == 200 && page.text.contains("name=\"password\""), "{scope}: {}", page.text);
                assert!(page.text.contains("“Helpful”") && page.text.contains("desk.example"));
                for wrong in [&[("decision", "approve")][..], &[("decision", "approve"), ("password", "guess")]] {
                    let again = browser.submit(&page, "/authorize/decision", wrong).await;
                    assert_eq!((again.status, again.header("location")), (200, ""), "{scope}");
                }
                let right = [("decision", "approve"), ("password", "alice-password")];
                let back = browser.submit(&page, "/authorize/decision", &right).await;
                assert!(member(&back, "code").is_some(), "{}", back.text);
            }
            let silent = Asked { more: &[("prompt", "none")], ..asked };
            assert_eq!(member(&browser.open(&silent.url()).await, "error").as_deref(), Some("consent_required"));
        }
    }
}

/// The receipt of a consent says where it counts; one place's withdrawal is not the other's.
#[tokio::test]
async fn threat_37_s06_receipts_name_the_place() {
    let world = World::on("memory", DECLARED).await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    agree(&browser, &managing(&[PHOTOS])).await;
    agree(&browser, &managing(&[MUSIC])).await;
    let pmt = world.access("manager").await;
    let receipts = world.call("GET", "/uma/consent-receipts", &pmt, Value::Null).await;
    for place in [PHOTOS, MUSIC] {
        assert!(receipts.ok(200).text.contains(&format!("Desk, at {place}")), "{}", receipts.text);
    }
    assert!(!receipts.text.contains("\"replaces\""), "neither takes the place of the other");
}

/// A key of a stranger is not what a consent needs; the desk's bound key goes with it from code to refresh.
#[tokio::test]
async fn threat_37_s06_a_code_bound_to_a_key_is_redeemed_by_that_key() {
    let world = World::on("memory", DECLARED).await;
    let browser = Browser::new(&world);
    browser.log_in("alice").await;
    let key = SigningKey::generate(Algorithm::Es256).unwrap();
    let thumbprint = key.public().thumbprint();
    let bound = Asked { more: &[("dpop_jkt", &*thumbprint)], ..managing(&[PHOTOS]) };
    let code = agree(&browser, &bound).await;
    trade(&world, &code, &[]).await.refused(400, "invalid_grant");
}

/// What an application brought at a resource server rests on her word, which that resource server alone asks about (decision 0061).
#[tokio::test]
async fn threat_37_s06_a_resource_server_asks_whether_her_word_stands() {
    for world in World::each_with(DECLARED).await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let code = agree(&browser, &managing(&[PHOTOS])).await;
        let token = trade(&world, &code, &[("redirect_uri", CALLBACK)]).await.ok(200).get("access_token").to_owned();
        let told = world.post("/introspect", "photos-rs", &[("token", &token)]).await.ok(200).json.clone();
        let grant = told["_grant"].as_str().unwrap().to_owned();
        assert_eq!(told["_client"], json!({"client_id": "desk", "name": "Desk", "verified": true}));
        let stands = async |server: &str| {
            let fields = [("token", &*grant), ("token_type_hint", "urn:wayleave:params:oauth:token-type:grant")];
            world.post("/introspect", server, &fields).await.ok(200).json["active"] == true
        };
        assert!(stands("photos-rs").await && !stands("records-rs").await, "it is nobody else's business");
        assert!(!is_active_at(&world, "photos-rs", &grant).await, "it is no token");
        let alice = world.app.identity.store.find_account_by_username("alice").await.unwrap().unwrap();
        assert!(world.app.identity.withdraw_consent(&alice.id, &grant.clone().into()).await.unwrap());
        assert!(!stands("photos-rs").await, "{}", world.engine);
    }
}
