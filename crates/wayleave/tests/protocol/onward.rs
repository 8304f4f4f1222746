//! Where a browser is sent on, and what a person sees of an application that nobody vouches for: it goes to no place that a
//! stranger chose before she decided (threat 15, RFC 9700 4.11.2), and what she agreed to is for what she saw (threat 37).

use crate::oauth::{Browser, CHALLENGE, VERIFIER};
use crate::world::{Answer, UMA, World, basic, form};
use serde_json::{Value, json};

const AWAY: &str = "https://phish.example/cb";
const JSON: (&str, &str) = ("content-type", "application/json");

async fn register(world: &World, metadata: Value) -> Answer {
    let made = world.send("POST", "/register", &[JSON], metadata.to_string()).await;
    made.ok(201);
    made
}

fn stranger(redirect_uri: &str) -> Value {
    json!({"client_name": "Your bank", "redirect_uris": [redirect_uri], "claims_redirect_uris": [redirect_uri],
        "grant_types": ["authorization_code", UMA]})
}

fn ask(client: &str, redirect_uri: &str, changes: &[(&str, &str)]) -> String {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", client),
        ("redirect_uri", redirect_uri),
        ("scope", "openid"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    fields.retain(|(name, _)| changes.iter().all(|(changed, _)| changed != name));
    fields.extend_from_slice(changes);
    format!("/authorize?{}", form(&fields))
}

/// A link that somebody follows with her browser.
async fn follow(world: &World, path: &str, more: &[(&str, &str)]) -> Answer {
    let headers = [&[("sec-fetch-dest", "document"), ("sec-fetch-mode", "navigate")], more].concat();
    world.send("GET", path, &headers, "").await
}

/// Both endpoints to which clients send browsers, asked wrongly.
fn links(client: &str, redirect_uri: &str) -> Vec<String> {
    let claims = form(&[("client_id", client), ("claims_redirect_uri", redirect_uri), ("ticket", "x")]);
    let mut all: Vec<String> = [("prompt", "none"), ("scope", "fly"), ("response_type", "token"), ("code_challenge", "")]
        .map(|change| ask(client, redirect_uri, &[change]))
        .into();
    all.push(format!("/claims?{claims}"));
    all
}

#[tokio::test]
async fn threat_15_a_link_takes_nobody_to_a_place_that_a_stranger_chose() {
    let world = World::one().await;
    let made = register(&world, stranger(AWAY)).await;
    for link in links(made.get("client_id"), AWAY) {
        let page = follow(&world, &link, &[("sec-fetch-site", "none")]).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{link}");
        for shown in ["phish.example", "“Your bank”", "href=\"https://phish.example/cb?error=", "does not know this application"]
        {
            assert!(page.text.contains(shown), "{link}: {shown}: {}", page.text);
        }
        // from elsewhere it is the same; back to where she came from is no harm
        let referer = |url| [("sec-fetch-site", "cross-site"), ("referer", url)];
        for elsewhere in ["https://mail.example/", "https://phish.example.evil.test/", "x"] {
            assert_eq!(follow(&world, &link, &referer(elsewhere)).await.status, 400, "{link}");
        }
        let back = follow(&world, &link, &referer("https://phish.example/start")).await;
        assert!(back.status == 303 && back.header("location").starts_with(AWAY), "{link}");
        // a frame that nobody sees, and a program that is no browser, get the answer of the standards
        for quiet in [&[("sec-fetch-dest", "iframe")][..], &[]] {
            let back = world.send("GET", &link, quiet, "").await;
            assert!(back.header("location").contains("error="), "{link}");
        }
    }
    let own = "http://127.0.0.1:9555/cb";
    let made = register(&world, stranger(own)).await;
    for link in links(made.get("client_id"), own) {
        assert!(follow(&world, &link, &[]).await.header("location").starts_with(own), "her own machine: {link}");
    }
    let declared = format!("/claims?{}", form(&[("client_id", "viewer"), ("ticket", "x")]));
    assert_eq!(follow(&world, &declared, &[]).await.status, 303, "the operator's");
}

fn cookies_of(browser: &Browser<'_>) -> String {
    let all: Vec<_> = browser.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
    all.join("; ")
}

#[tokio::test]
async fn threat_15_whom_she_let_in_before_is_answered() {
    let world = World::one().await;
    let made = register(&world, stranger(AWAY)).await;
    let client = made.get("client_id");
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    let link = ask(client, AWAY, &[("prompt", "none")]);
    let cookies = cookies_of(&alice);
    assert_eq!(follow(&world, &link, &[("cookie", &cookies)]).await.status, 400, "logged in is not enough");
    let page = alice.open(&ask(client, AWAY, &[])).await;
    alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
    let wrong = ask(client, AWAY, &[("scope", "fly")]);
    assert_eq!(follow(&world, &wrong, &[("cookie", &cookies)]).await.status, 303);
    assert_eq!(follow(&world, &wrong, &[]).await.status, 400, "nobody has let it in here");
}

/// The page on which she shows who she is says what is known of the application.
#[tokio::test]
async fn threat_36_the_claims_page_warns_of_a_stranger() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let made = register(&world, stranger("https://c.example/claims")).await;
    for (client, is_stranger) in [(made.get("client_id"), true), ("viewer", false)] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let link = format!("/claims?{}", form(&[("client_id", client), ("ticket", &ticket)]));
        let browser = Browser::new(&world);
        let begun = browser.open(&link).await;
        let page = browser.open(begun.ok(303).header("location")).await;
        assert_eq!(page.ok(200).text.contains("does not know this application"), is_stranger);
        assert_eq!(page.text.contains("“Your bank”"), is_stranger);
    }
}

/// An application of a telephone has a scheme of its own (RFC 8252 7.1). What it writes behind that is no host of anybody, so no
/// page says so; and the page's form may lead there, where a browser asks its policy.
#[tokio::test]
async fn threat_36_an_application_with_a_scheme_of_its_own_names_no_host() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let app = "com.example.app://photos.example/c";
    let made = register(&world, stranger(app)).await;
    let client = made.get("client_id");
    let (place, form_action) = ("com.example.app:", "form-action 'self' com.example.app:;");
    let says_its_scheme = |page: &Answer| {
        // what the form sends back is the URL as it was asked for, encoded
        let shown = page.ok(200).text.replace("%2Fphotos.example%2F", "");
        assert!(shown.contains(place) && !shown.contains("photos.example"), "{}", page.text);
    };
    let ticket = world.ticket(&pat, &album, "view").await;
    let guest = Browser::new(&world);
    let begun = guest.open(&format!("/claims?{}", form(&[("client_id", client), ("ticket", &ticket)]))).await;
    let page = guest.open(begun.ok(303).header("location")).await;
    says_its_scheme(&page);
    assert!(page.header("content-security-policy").contains(form_action), "{}", page.header("content-security-policy"));
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    let page = alice.open(&ask(client, app, &[])).await;
    says_its_scheme(&page);
    assert!(page.header("content-security-policy").contains(form_action), "{}", page.header("content-security-policy"));
    alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
    says_its_scheme(&alice.open("/applications").await);
}

/// A consent is for what she saw: another name, or another place, is asked for anew.
#[tokio::test]
async fn threat_37_a_consent_to_a_stranger_is_for_what_she_saw() {
    for world in World::each().await {
        let made = register(&world, stranger(AWAY)).await;
        let (client, token) = (made.get("client_id").to_owned(), made.get("registration_access_token").to_owned());
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let mut at = AWAY;
        let agree = async |at: &str| {
            let page = alice.open(&ask(&client, at, &[])).await;
            assert!(page.ok(200).text.contains("/authorize/decision"));
            alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
            assert!(alice.open(&ask(&client, at, &[])).await.header("location").contains("code="), "asked once");
        };
        agree(at).await;
        let other = "https://other.example/cb";
        for (name, place) in [("Wayleave", AWAY), ("Wayleave", other)] {
            let changed = json!({"client_name": name, "redirect_uris": [place]});
            world.call("PUT", &format!("/register/{client}"), &token, changed).await.ok(200);
            at = place;
            agree(at).await;
        }
        // another session, for a client that proves itself, is the same person
        alice.log_in("alice").await;
        assert!(alice.open(&ask(&client, at, &[])).await.header("location").contains("code="));
    }
}

/// A stranger's client that authenticates.
struct Registered<'w> {
    world: &'w World,
    id: String,
    secret: String,
}

impl Registered<'_> {
    async fn token(&self, fields: &[(&str, &str)]) -> Answer {
        let (basic, body) = (basic(&self.id, &self.secret), form(fields));
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &*basic)];
        self.world.send("POST", "/token", &headers, body).await
    }

    /// The tokens that she lets it have, at a place of its own.
    async fn let_in(&self, browser: &Browser<'_>, at: &str, scope: &str) -> Answer {
        let page = browser.open(&ask(&self.id, at, &[("scope", scope)])).await;
        let approved = [("decision", "approve"), ("password", "alice-password")];
        let back = browser.submit(&page, "/authorize/decision", &approved).await;
        let code = back.location().1.into_iter().find(|(name, _)| name == "code").unwrap().1;
        let fields = [("grant_type", "authorization_code"), ("code", &*code), ("redirect_uri", at), ("code_verifier", VERIFIER)];
        self.token(&fields).await
    }

    async fn refresh(&self, tokens: &Answer) -> Answer {
        self.token(&[("grant_type", "refresh_token"), ("refresh_token", tokens.get("refresh_token"))]).await
    }
}

/// What was given to a client that looked otherwise, or led elsewhere, ends where less is agreed to, and does not come back where
/// more is.
#[tokio::test]
async fn threat_37_what_a_consent_left_out_does_not_come_back() {
    for world in World::each().await {
        let other = "https://other.example/cb";
        let metadata = json!({"client_name": "Sly", "redirect_uris": [AWAY, other], "scope": "openid uma_protection",
            "grant_types": ["authorization_code", "refresh_token"]});
        let made = register(&world, metadata).await;
        let (id, secret) = (made.get("client_id").to_owned(), made.get("client_secret").to_owned());
        let sly = Registered { world: &world, id, secret };
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let guards =
            async |tokens: &Answer| world.call("GET", "/uma/resources", tokens.get("access_token"), Value::Null).await.status;
        let first = sly.let_in(&alice, AWAY, "openid uma_protection").await;
        assert_eq!(guards(&first).await, 200, "{}", first.text);
        // the same elsewhere takes nothing away
        let same = sly.let_in(&alice, other, "openid uma_protection").await;
        assert_eq!((guards(&first).await, guards(&same).await), (200, 200));
        sly.let_in(&alice, AWAY, "openid").await.ok(200);
        let ended = async || {
            for tokens in [&first, &same] {
                assert_eq!(guards(tokens).await, 401);
                sly.refresh(tokens).await.refused(400, "invalid_grant");
            }
        };
        ended().await;
        let last = sly.let_in(&alice, AWAY, "openid uma_protection").await;
        assert_eq!(guards(&last).await, 200);
        ended().await;
        assert_eq!(guards(&sly.refresh(&last).await).await, 200);
    }
}

/// What cannot prove itself is asked for in each session, and for each place (RFC 8252 8.6).
#[tokio::test]
async fn threat_37_a_public_stranger_is_agreed_to_in_one_session() {
    for world in World::each().await {
        let metadata =
            json!({"client_name": "Native", "redirect_uris": ["http://127.0.0.1/cb"], "token_endpoint_auth_method": "none"});
        let made = register(&world, metadata).await;
        let client = made.get("client_id");
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let (one, other) = (ask(client, "http://127.0.0.1:7001/cb", &[]), ask(client, "http://127.0.0.1:7002/cb", &[]));
        let page = alice.open(&one).await;
        alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
        assert!(alice.open(&one).await.header("location").contains("code="), "the same session and place");
        assert_eq!(alice.open(&other).await.status, 200, "another program may listen there");
        alice.log_in("alice").await;
        assert_eq!(alice.open(&one).await.status, 200, "another session");
    }
}

/// What was agreed to for one program is not agreed to for another one at another port, which showed less.
#[tokio::test]
async fn threat_37_what_one_program_was_given_is_no_other_ones() {
    let world = World::one().await;
    let metadata = json!({"client_name": "Native", "redirect_uris": ["http://127.0.0.1/cb"], "scope": "openid email",
        "token_endpoint_auth_method": "none"});
    let made = register(&world, metadata).await;
    let client = made.get("client_id");
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    let asks = |port: u16, scope| ask(client, &format!("http://127.0.0.1:{port}/cb"), &[("scope", scope)]);
    for (port, scope) in [(7001, "openid email"), (7002, "openid")] {
        let page = alice.open(&asks(port, scope)).await;
        assert_eq!(page.status, 200, "{scope}");
        alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
    }
    assert_eq!(alice.open(&asks(7002, "openid email")).await.status, 200, "the address was not on its page");
}

const MANAGERS: &str = r#"
[[client]]
client_id = "other-desk"
client_secret = "other-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
redirect_uris = ["http://127.0.0.1:9700/callback"]
"#;

#[tokio::test]
async fn threat_31_a_manager_is_where_it_says_and_its_link_is_its_own() {
    for world in World::each_with(MANAGERS).await {
        let (pmt, others) = (world.access("manager").await, world.access("other-desk").await);
        let link = async |token: &str, issuer: &str, endpoint: &str| {
            let body = json!({"issuer": issuer, "sub": "alice", "policy_interaction_endpoint": endpoint});
            world.call("POST", "/uma/linked-managers", token, body).await
        };
        for elsewhere in ["https://phish.example/decide", "https://good.example:8443/decide", "http://good.example/decide"] {
            link(&pmt, "https://good.example", elsewhere).await.refused(400, "invalid_request");
        }
        let told = json!({"issuer": "https://good.example", "sub": "alice", "notification_endpoint": "https://phish.example/n"});
        world.call("POST", "/uma/linked-managers", &pmt, told).await.refused(400, "invalid_request");
        link(&others, "https://mine.example", "http://127.0.0.1:9700/decide").await.ok(201);
        let made = link(&pmt, "https://good.example", "https://good.example/decide").await;
        let path = format!("/uma/linked-managers/{}", made.ok(201).get("_id"));
        // another client of hers neither takes its place nor ends it
        link(&others, "https://good.example", "https://good.example/other").await.refused(403, "access_denied");
        world.call("DELETE", &path, &others, Value::Null).await.refused(403, "access_denied");
        link(&pmt, "https://good.example", "https://good.example/decide2").await.ok(201);
        // the page names the host to which she goes
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let begun = alice.open(&format!("/claims?{}", form(&[("client_id", "viewer"), ("ticket", &ticket)]))).await;
        let page = alice.open(begun.header("location")).await;
        assert!(
            page.text.contains("Decide at good.example<") && page.text.contains("Decide at 127.0.0.1:9700<"),
            "{}",
            page.text
        );
        world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
    }
}

/// Threat 20: a client that nobody declared and she never let in, and that asks for certain people without a page, gets one
/// answer, whoever is logged in.
#[tokio::test]
async fn threat_20_a_stranger_learns_not_who_is_logged_in() {
    for world in World::each().await {
        let made = register(&world, stranger(AWAY)).await;
        let client = made.get("client_id");
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let id_of = async |name: &str| world.app.identity.store.find_account_by_username(name).await.unwrap().unwrap().id;
        let asks_for = |sub: &str| format!(r#"{{"id_token":{{"sub":{{"values":["{sub}"]}}}}}}"#);
        let (hers, other) = (asks_for(id_of("alice").await.as_str()), asks_for("somebody"));
        let cookies = cookies_of(&alice);
        let silent = |more: &[(&str, &str)]| ask(client, AWAY, &[&[("prompt", "none")], more].concat());
        let follow = async |link: &str, cookies: &str| {
            let back = follow(&world, link, &[("referer", "https://phish.example/"), ("cookie", cookies)]).await;
            assert_eq!(back.status, 303, "{}", back.text);
            back.header("location").to_owned()
        };
        let told = follow(&silent(&[]), "").await;
        assert!(told.contains("error=login_required"), "{told}");
        for claims in [&hers, &other] {
            for more in [&[("claims", &**claims)][..], &[("claims", claims), ("max_age", "1")]] {
                assert_eq!(follow(&silent(more), &cookies).await, told, "{more:?}");
            }
        }
        // who asks for nobody in particular has the answer of the standard
        assert!(follow(&silent(&[]), &cookies).await.contains("error=consent_required"));
        // with pages she is told, and not the client
        let page = alice.open(&ask(client, AWAY, &[("claims", &other)])).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{}", page.text);
        assert!(page.text.contains("somebody else"), "{}", page.text);
        // whom she let in is told what it may ask next
        let page = alice.open(&ask(client, AWAY, &[])).await;
        alice.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
        let wider = ask(client, AWAY, &[("prompt", "none"), ("scope", "openid profile")]);
        assert!(follow(&wider, &cookies).await.contains("error=consent_required"));
        assert!(follow(&silent(&[("claims", &other)]), &cookies).await.contains("error=login_required"));
    }
}
