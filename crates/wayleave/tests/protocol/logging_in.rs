//! What limits a log-in, what a form proves, and how names and addresses compare there (threats 38 and 42).

use crate::oauth::Browser;
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
        statuses.push(try_from(&world, &format!("192.0.2.{n}"), spelling, "guess").await);
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
