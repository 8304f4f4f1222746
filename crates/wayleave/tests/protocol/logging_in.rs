//! What limits a log-in, what a form proves, and how names and addresses compare there (threats 38 and 42).

use crate::oauth::{Browser, CHALLENGE, VERIFIER};
use crate::world::{Answer, ISSUER, World, form};

const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");

fn csrf_of(page: &Answer) -> String {
    page.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned()
}

/// A log-in from an address, by somebody with a browser of her own.
async fn try_from(world: &World, address: &str, username: &str, password: &str) -> u16 {
    let page = world.get("/login").await;
    let cookie = page.header("set-cookie").split(';').next().unwrap().to_owned();
    let fields = [("csrf", &*csrf_of(&page)), ("username", username), ("password", password)];
    world.send_from(address, "POST", "/login", &[FORM, ("cookie", &cookie)], form(&fields)).await.status
}

#[tokio::test]
async fn threat_38_s08_all_spellings_of_a_person_and_all_addresses_of_a_host_are_one() {
    let world = World::limited(3).await;
    let spellings = ["alice", "alice@foo.example", "Alice@FOO.example", "ALICE@foo.example"];
    let mut statuses = Vec::new();
    for (n, spelling) in spellings.into_iter().enumerate() {
        statuses.push(try_from(&world, &format!("10.0.{n}.1"), spelling, "guess").await);
    }
    assert_eq!(statuses, [200, 200, 200, 429]);
    assert_eq!(try_from(&world, "198.51.100.1", "alice", "alice-password").await, 429, "also the right one waits");
    world.pass(60);
    assert_eq!(try_from(&world, "198.51.100.1", "alice", "alice-password").await, 303);
    // a right log-in gives its own try back, and nobody else's
    for _ in 0..5 {
        assert_eq!(try_from(&world, "198.51.100.1", "alice", "alice-password").await, 303);
    }
    // one household is one caller
    for n in 0..3 {
        assert_eq!(try_from(&world, &format!("2001:db8::{n}"), &format!("nobody{n}"), "guess").await, 200);
    }
    assert_eq!(try_from(&world, "2001:db8::ffff", "nobody9", "guess").await, 429);
    assert_eq!(try_from(&world, "2001:db8:0:1::1", "nobody9", "guess").await, 200);
    // names and passwords without end are told apart before any work
    assert_eq!(try_from(&world, "203.0.113.1", &"a".repeat(100_000), "guess").await, 400);
    assert_eq!(try_from(&world, "203.0.113.1", "alice", &"a".repeat(100_000)).await, 400);
}

#[tokio::test]
async fn threat_38_s14_a_public_client_is_counted_per_caller() {
    let world = World::limited(3).await;
    let ask = async |address: &str| {
        let fields = form(&[("client_id", "phone"), ("grant_type", "refresh_token"), ("refresh_token", "x")]);
        world.send_from(address, "POST", "/token", &[FORM], fields).await.status
    };
    for _ in 0..3 {
        assert_eq!(ask("2001:db8::1").await, 400);
    }
    assert_eq!(ask("2001:db8::2").await, 429);
    assert_eq!(ask("192.0.2.1").await, 400, "who only names it uses up nobody else's share");
}

#[tokio::test]
async fn threat_38_s07_what_only_folding_would_make_an_address_opens_nothing() {
    let world =
        World::on("memory", "[[account]]\nusername = \"mike\"\nemail = \"mike@mail.example\"\npassword = \"mike-password\"\n")
            .await;
    assert_eq!(try_from(&world, "", "Mike@Mail.example", "mike-password").await, 303);
    assert_eq!(try_from(&world, "", "mi\u{212a}e@mail.example", "mike-password").await, 200);
    for (resource, status) in [
        ("acct:Mike@mail.example", 200),
        ("acct:mi\u{212a}e@mail.example", 404),
        ("acct:mike@mail.example@evil.example", 400),
        ("acct:mike@mail.example\r\n", 400),
        ("acct:mike", 400),
    ] {
        let path = format!("/.well-known/webfinger?{}", form(&[("resource", resource)]));
        assert_eq!(world.get(&path).await.status, status, "{resource:?}");
    }
}

#[tokio::test]
async fn threat_38_c17_names_and_passwords_are_compared_after_composing() {
    let world = World::on("memory", "[[account]]\nusername = \"jos\u{e9}\"\npassword = \"contrase\u{f1}a\"\n").await;
    for username in ["jos\u{e9}", "jose\u{301}"] {
        for password in ["contrase\u{f1}a", "contrasen\u{303}a"] {
            assert_eq!(try_from(&world, "", username, password).await, 303, "{username:?} {password:?}");
        }
    }
    assert_eq!(try_from(&world, "", "jose", "contrase\u{f1}a").await, 200);
    assert_eq!(try_from(&world, "", "JOS\u{c9}", "contrase\u{f1}a").await, 200, "nothing else folds");
}

#[tokio::test]
async fn threat_42_s10_a_form_is_of_this_session_and_of_this_origin() {
    let world = World::one().await;
    let alice = Browser::new(&world);
    let before = alice.open("/login").await;
    alice.log_in("alice").await;
    let page = alice.open("/logout").await;
    assert_ne!(csrf_of(&before), csrf_of(&page), "a log-in renews the token");
    let session = alice.cookies.borrow().iter().find(|(name, _)| name == "wl_session").unwrap().1.clone();
    // what somebody else's browser was given passes nothing in her session
    let mallory = world.get("/login").await;
    let planted = mallory.header("set-cookie").split(';').next().unwrap().to_owned();
    let cookies = format!("wl_session={session}; {planted}");
    let log_out = async |headers: &[(&str, &str)], cookies: &str, token: &str| {
        let mut all = vec![FORM, ("cookie", cookies)];
        all.extend_from_slice(headers);
        world.send("POST", "/logout", &all, form(&[("csrf", token)])).await.status
    };
    assert_eq!(log_out(&[("origin", "null")], &cookies, &csrf_of(&mallory)).await, 400);
    assert_eq!(log_out(&[], &cookies, &csrf_of(&mallory)).await, 400);
    // hers, but not from our own page
    let own: Vec<_> = alice.cookies.borrow().iter().map(|(name, value)| format!("{name}={value}")).collect();
    let own = own.join("; ");
    let token = csrf_of(&page);
    for foreign in [
        &[("origin", "null")][..],
        &[("origin", "http://127.0.0.1:9999")],
        &[("origin", ISSUER), ("origin", ISSUER)],
        &[("sec-fetch-site", "cross-site")],
        &[("sec-fetch-site", "same-site")],
        &[("origin", ISSUER), ("sec-fetch-site", "cross-site")],
    ] {
        assert_eq!(log_out(foreign, &own, &token).await, 400, "{foreign:?}");
    }
    // a cookie that came twice counts for nothing, whichever is the right one
    for doubled in [format!("{own}; wl_session={session}"), format!("wl_form=x; {own}")] {
        assert_eq!(log_out(&[], &doubled, &token).await, 400, "{doubled}");
    }
    assert!(alice.open("/account").await.status == 200, "she is still in");
    assert_eq!(page.header("referrer-policy"), "same-origin", "or else browsers say `null` of our own forms");
    // a log-in ends the session of before, so that one that somebody else knows is worth nothing
    alice.log_in("alice").await;
    let old = world.send("GET", "/account", &[("cookie", &format!("wl_session={session}"))], "").await;
    assert_eq!(old.status, 303);
    let page = alice.open("/logout").await;
    let fine = alice.submit(&page, "/logout", &[]).await;
    assert_eq!(fine.status, 303);
}

#[tokio::test]
async fn threat_42_s10_a_form_of_another_site_is_asked_again_by_a_link() {
    let world = World::one().await;
    let body = "client_id=x&scope=openid";
    let foreign = world.send("POST", "/authorize", &[FORM, ("origin", "https://rp.example")], body).await;
    assert_eq!((foreign.status, foreign.header("location")), (303, "/authorize?client_id=x&scope=openid"));
    assert!(foreign.headers.get("set-cookie").is_none());
}

/// A client that asks who somebody is, and where she may go after a log-out.
const RP: &str = r#"
[[client]]
client_id = "rp"
client_secret = "rp-secret"
grant_types = ["authorization_code"]
scope = "openid"
redirect_uris = ["http://127.0.0.1:9005/callback"]
post_logout_redirect_uris = ["http://127.0.0.1:9005/bye?x=1"]
"#;

fn parameters<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut fields = vec![
        ("response_type", "code"),
        ("client_id", "rp"),
        ("scope", "openid"),
        ("state", "s1"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ];
    fields.extend_from_slice(more);
    fields
}

fn ask(more: &[(&str, &str)]) -> String {
    format!("/authorize?{}", form(&parameters(more)))
}

/// A parameter with which the client gets its browser back.
fn told(answer: &Answer, name: &str) -> String {
    let (_, query) = answer.location();
    query.into_iter().find(|(own, _)| own == name).map(|(_, value)| value).unwrap_or_default()
}

/// Agrees where she is asked.
async fn agree(browser: &Browser<'_>, page: Answer) -> Answer {
    match page.status {
        200 => browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await,
        _ => page,
    }
}

async fn id_token(browser: &Browser<'_>) -> String {
    let back = agree(browser, browser.open(&ask(&[])).await).await;
    let code = told(&back, "code");
    let fields = [("grant_type", "authorization_code"), ("code", &*code), ("code_verifier", VERIFIER)];
    browser.world.token("rp", &fields).await.ok(200).get("id_token").to_owned()
}

#[tokio::test]
async fn threat_48_c16_what_makes_an_answer_stricter_is_honoured_or_refused() {
    let world = World::on("memory", RP).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    agree(&alice, alice.open(&ask(&[])).await).await;
    let long = "n".repeat(1025);
    for refused in [
        ("max_age", "abc"),
        ("max_age", "-1"),
        ("prompt", "none login"),
        ("prompt", "create"),
        ("claims", "x"),
        ("claims", r#"{"id_token":{"acr":{"essential":true}}}"#),
        ("id_token_hint", "x.y.z"),
        ("dpop_jkt", "short"),
        ("nonce", &long),
    ] {
        assert_eq!(told(&alice.open(&ask(&[refused])).await, "error"), "invalid_request", "{refused:?}");
        let pushed = world.post("/par", "rp", &parameters(&[refused])).await;
        pushed.refused(400, "invalid_request");
    }
    for hint in [("ui_locales", "xx"), ("acr_values", "gold"), ("login_hint", "bob"), ("display", "touch"), ("max_age", "300")] {
        assert!(!told(&alice.open(&ask(&[hint])).await, "code").is_empty(), "{hint:?}");
    }
    world.pass(10);
    for stricter in [("max_age", "5"), ("prompt", "login"), ("prompt", "select_account")] {
        assert!(alice.open(&ask(&[stricter])).await.location().0.contains("/login?"), "{stricter:?}");
    }
    assert_eq!(told(&alice.open(&ask(&[("prompt", "none"), ("max_age", "5")])).await, "error"), "login_required");
}

#[tokio::test]
async fn threat_48_c13_a_hint_about_somebody_else_gets_no_code_of_whoever_is_there() {
    let world = World::on("memory", RP).await;
    let (alice, carol) = (Browser::new(&world), Browser::new(&world));
    alice.log_in("alice").await;
    carol.log_in("carol").await;
    let (hers, carols) = (id_token(&alice).await, id_token(&carol).await);
    world.pass(3_600);
    let silent = |hint: &str| ask(&[("prompt", "none"), ("id_token_hint", hint)]);
    assert!(!told(&alice.open(&silent(&hers)).await, "code").is_empty(), "hers, though it has expired");
    assert_eq!(told(&alice.open(&silent(&carols)).await, "error"), "login_required");
    let sub = world.app.identity.store.find_account_by_username("carol").await.unwrap().unwrap().id;
    let claims = format!(r#"{{"id_token":{{"sub":{{"value":"{sub}"}}}}}}"#);
    assert_eq!(told(&alice.open(&ask(&[("prompt", "none"), ("claims", &claims)])).await, "error"), "login_required");
    // with pages, she may log in as the other one; as herself again is an answer too
    let page = alice.open(&ask(&[("id_token_hint", &carols)])).await;
    assert!(page.location().0.contains("/login?"));
    alice.log_in("alice").await;
    assert_eq!(told(&alice.open(&ask(&[("id_token_hint", &carols)])).await, "error"), "login_required");
}

#[tokio::test]
async fn threat_48_s12_a_log_in_between_leaves_the_question() {
    let world = World::on("memory", RP).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    agree(&alice, alice.open(&ask(&[])).await).await;
    for prompt in ["consent", "login consent"] {
        let visitor = Browser::new(&world);
        let sent = visitor.open(&ask(&[("prompt", prompt)])).await;
        let page = visitor.open(sent.header("location")).await;
        let fields = [("username", "alice"), ("password", "alice-password")];
        let back = visitor.submit(&page, "/login", &fields).await;
        let asked = visitor.open(back.header("location")).await;
        assert!(asked.status == 200 && asked.text.contains("/authorize/decision"), "{prompt}: {}", asked.status);
    }
}

#[tokio::test]
async fn threat_48_c11_whoever_was_sent_with_a_pushed_request_has_the_time_of_pages() {
    for world in World::each_with(RP).await {
        let push = async |more: &[(&str, &str)]| {
            let pushed = world.post("/par", "rp", &parameters(more)).await;
            format!("/authorize?{}", form(&[("client_id", "rp"), ("request_uri", pushed.ok(201).get("request_uri"))]))
        };
        let late = push(&[]).await;
        world.pass(91);
        assert_eq!(world.get(&late).await.status, 400, "it was not brought in time");
        let alice = Browser::new(&world);
        let request = push(&[("prompt", "login consent")]).await;
        let sent = alice.open(&request).await;
        let page = alice.open(sent.header("location")).await;
        world.pass(1_200);
        let back = alice.submit(&page, "/login", &[("username", "alice"), ("password", "alice-password")]).await;
        world.pass(60);
        assert_eq!(alice.open(back.header("location")).await.status, 200);
        world.pass(600);
        let page = alice.open(back.header("location")).await;
        let gone = agree(&alice, page).await;
        assert!(!told(&gone, "code").is_empty(), "{}", gone.text);
        assert_eq!(alice.open(back.header("location")).await.status, 400, "it is good once");
        // two answers at once are one
        let request = push(&[("prompt", "consent")]).await;
        let page = alice.open(&request).await;
        let fields = [("decision", "approve")];
        let (one, other) = tokio::join!(
            alice.submit(&page, "/authorize/decision", &fields),
            alice.submit(&page, "/authorize/decision", &fields)
        );
        assert_eq!([one.status, other.status].iter().filter(|status| **status == 303).count(), 1);
    }
}

#[tokio::test]
async fn c14_an_application_logs_its_person_out_and_gets_her_browser_back() {
    let world = World::on("memory", RP).await;
    let (alice, carol) = (Browser::new(&world), Browser::new(&world));
    alice.log_in("alice").await;
    carol.log_in("carol").await;
    let (hers, carols) = (id_token(&alice).await, id_token(&carol).await);
    let bye = "http://127.0.0.1:9005/bye?x=1";
    let out = |more: &[(&str, &str)]| {
        let mut fields = vec![("post_logout_redirect_uri", bye), ("state", "s 1")];
        fields.retain(|(name, _)| more.iter().all(|(own, _)| own != name));
        fields.extend_from_slice(more);
        format!("/logout?{}", form(&fields))
    };
    // nowhere that is not registered, and for nobody who does not say who it is
    for wrong in [
        &[("id_token_hint", &*hers), ("post_logout_redirect_uri", "http://127.0.0.1:9005/bye")][..],
        &[("client_id", "rp"), ("post_logout_redirect_uri", "https://evil.example/")],
        &[("client_id", "viewer"), ("id_token_hint", &*hers)],
        &[("client_id", "nobody")],
        &[("id_token_hint", "x.y.z")],
        &[],
    ] {
        assert_eq!(alice.open(&out(wrong)).await.status, 400, "{wrong:?}");
    }
    // a question where no hint is hers
    for asked in [&[("client_id", "rp")][..], &[("id_token_hint", &*carols)]] {
        let page = alice.open(&out(asked)).await;
        assert!(page.status == 200 && page.text.contains("Log out?"), "{asked:?}: {}", page.status);
    }
    assert_eq!(alice.open("/account").await.status, 200, "nothing has happened yet");
    let page = alice.open(&out(&[("client_id", "rp")])).await;
    assert!(page.header("content-security-policy").contains("http://127.0.0.1:9005"), "the form may lead there");
    let fields = [("client_id", "rp"), ("post_logout_redirect_uri", bye), ("state", "s 1")];
    let gone = alice.submit(&page, "/logout", &fields).await;
    assert_eq!((gone.status, gone.header("location")), (303, "http://127.0.0.1:9005/bye?x=1&state=s+1"));
    assert_eq!(alice.open("/account").await.status, 303);
    // nobody is there any more: whoever only names a client sends nobody on
    assert_eq!(alice.open(&out(&[("client_id", "rp")])).await.status, 200);
    assert_eq!(alice.open(&out(&[("id_token_hint", &*hers)])).await.status, 303);
    // her own ID token is enough, also when it has expired, and also by a form
    world.pass(3_600);
    let fields = [("id_token_hint", &*carols), ("post_logout_redirect_uri", bye)];
    let foreign = [FORM, ("origin", "http://127.0.0.1:9005"), ("sec-fetch-site", "cross-site")];
    let by_form = world.send("POST", "/logout", &foreign, form(&fields)).await;
    assert!(by_form.status == 303 && by_form.header("location").starts_with("/logout?"));
    let gone = carol.open(by_form.header("location")).await;
    assert_eq!((gone.status, gone.header("location")), (303, bye));
    assert_eq!(carol.open("/account").await.status, 303);
}

/// Wrong tries from elsewhere do not shut out whoever has logged in here before; wrong ones of her own count (NIST SP 800-63B
/// 5.2.2).
#[tokio::test]
async fn threat_38_s08_a_flood_from_elsewhere_does_not_shut_the_owner_out() {
    let world = World::limited(4).await;
    let alice = Browser::new(&world);
    alice.log_in("alice").await;
    alice.open("/account").await.ok(200);
    alice.cookies.borrow_mut().retain(|(name, _)| name != "wl_session");
    let mut statuses = Vec::new();
    for n in 0..4 {
        statuses.push(try_from(&world, &format!("192.0.2.{n}"), "alice", "guess").await);
    }
    assert_eq!(statuses, [200, 200, 200, 429], "one network leaves some");
    world.pass(60);
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(try_from(&world, "192.0.2.9", "alice", "guess").await);
    }
    assert_eq!(statuses, [200, 200, 429], "one host has half");
    assert_eq!(try_from(&world, "192.0.2.1", "alice", "alice-password").await, 303, "its neighbour is somebody else");
    for n in 0..4 {
        try_from(&world, &format!("10.0.{n}.1"), "alice", "guess").await;
    }
    assert_eq!(try_from(&world, "198.51.100.1", "alice", "alice-password").await, 429, "a browser that nobody knows waits");
    alice.log_in("alice").await;
    // what another account's browser remembers says nothing of hers, and what is made up neither
    let carol = Browser::new(&world);
    carol.log_in("carol").await;
    carol.open("/account").await.ok(200);
    let log_in = async |browser: &Browser<'_>, password: &str| {
        let page = browser.open("/login").await;
        browser.submit(&page, "/login", &[("username", "alice"), ("password", password)]).await.status
    };
    assert_eq!(log_in(&carol, "alice-password").await, 429);
    carol.cookies.borrow_mut().retain(|(name, _)| name != "wl_known");
    carol.cookies.borrow_mut().push(("wl_known".into(), "x.y~z".into()));
    assert_eq!(log_in(&carol, "alice-password").await, 429);
    // nor does hers guess without end
    world.pass(60);
    let wrong: Vec<u16> = futures_util::future::join_all((0..5).map(|_| log_in(&alice, "guess"))).await;
    assert_eq!(wrong.iter().filter(|status| **status == 429).count(), 1);
}
