//! Interactive claims gathering (Grant 3.3.2, 3.3.3, 5.1).

use crate::oauth::Browser;
use crate::world::{Answer, NO_MAILBOX, UNREACHED, World, form};

const VIEWER: &str = "http://127.0.0.1:9001/claims";

fn claims(fields: &[(&str, &str)]) -> String {
    format!("/claims?{}", form(fields))
}

/// Opens the claims endpoint and follows to the page.
pub(crate) async fn visit(browser: &Browser<'_>, fields: &[(&str, &str)]) -> Answer {
    let first = browser.open(&claims(fields)).await;
    assert_eq!(first.status, 303, "{}", first.text);
    browser.open(first.header("location")).await
}

fn code_of(world: &World) -> String {
    let mail = world.mailbox.0.lock().unwrap().last().unwrap().clone();
    assert_eq!(mail.to, "bob@bar.example");
    mail.text.split("Your code is ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// Proves Bob's address and agrees; where the browser is sent.
pub(crate) async fn prove(browser: &Browser<'_>, page: Answer, keep: bool) -> (String, Vec<(String, String)>) {
    let next = browser.submit(&page, "/claims/continue", &[("email", "Bob@bar.example")]).await;
    let page = browser.open(next.header("location")).await;
    let wrong = browser.submit(&page, "/claims/continue", &[("code", "00000000")]).await;
    assert_eq!(wrong.status, 400);
    let next = browser.submit(&page, "/claims/continue", &[("code", &code_of(browser.world))]).await;
    let page = browser.open(next.header("location")).await;
    assert!(page.text.contains("bob@bar.example"));
    let mut fields = vec![("decision", "approve")];
    if keep {
        fields.push(("keep", "yes"));
    }
    browser.submit(&page, "/claims/continue", &fields).await.location()
}

pub(crate) fn get(query: &[(String, String)], name: &str) -> Option<String> {
    query.iter().find(|(known, _)| known == name).map(|(_, value)| value.clone())
}

/// Cases, G-3.3.2-1, G-3.3.2-2, G-3.3.2-3, G-3.3.2-14, G-3.3.2-15, G-3.3.3-1, G-3.3.3-2, G-3.3.3-3, G-3.3.3-4, G-3.3.3-5, G-6.2-2, G-3.3-2
#[tokio::test]
async fn a_stranger_proves_an_address_and_comes_back_with_a_new_ticket() {
    for keep in [true, false] {
        for world in World::each().await {
            let (pat, album, _) = world.album().await;
            let ticket = world.ticket(&pat, &album, "view").await;
            let browser = Browser::new(&world);
            let page = visit(
                &browser,
                &[("client_id", "viewer"), ("ticket", &ticket), ("claims_redirect_uri", VIEWER), ("state", "st&te")],
            )
            .await;
            let (url, query) = prove(&browser, page, keep).await;
            // what is random may hold any three letters: an address would show by its domain
            assert!(url.starts_with(VIEWER) && !url.contains("bar.example") && query.len() == 3, "{url}");
            assert_eq!(get(&query, "state").as_deref(), Some("st&te"));
            // threat 15: whose answer it is
            assert_eq!(get(&query, "iss").as_deref(), Some(crate::world::ISSUER));
            let next = get(&query, "ticket").unwrap();
            assert_ne!(next, ticket);
            let got = world.trade("viewer", &next, &[]).await;
            assert_eq!(!got.ok(200).get("pct").is_empty(), keep, "a PCT only with consent to keep");
            world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        }
    }
}

/// Cases: G-3.3.3-3
#[tokio::test]
async fn state_comes_back_if_and_only_if_it_was_sent() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    for (sent, back) in [(Some(""), Some("")), (None, None), (Some("x"), Some("x"))] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let mut fields = vec![("client_id", "viewer"), ("ticket", &*ticket)];
        fields.extend(sent.map(|state| ("state", state)));
        let browser = Browser::new(&world);
        let page = visit(&browser, &fields).await;
        let (_, query) = browser.submit(&page, "/claims/continue", &[("decision", "deny")]).await.location();
        assert_eq!(get(&query, "state").as_deref(), back);
        assert_eq!(get(&query, "error").as_deref(), Some("access_denied"));
        world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
    }
}

/// Cases: X-13, G-3.3.2-4, G-3.3.2-5, G-3.3.2-6, G-3.3.2-7, G-3.3.2-9, G-3.3.2-10, G-3.3.2-11, G-3.3.2-12, G-3.3.3-7, G-3.3.3-8
#[tokio::test]
async fn claims_redirect_uris_match_to_the_letter_or_nothing_is_redirected() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let browser = Browser::new(&world);
    for fields in [
        &[][..],
        &[("client_id", "nobody")],
        &[("client_id", "printer")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/A")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/a/")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/a?x=1")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/%61")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/a#f")],
        &[("client_id", "printer"), ("claims_redirect_uri", "/a")],
        &[("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/oauth")],
        &[("client_id", "phone"), ("claims_redirect_uri", "http://evil.example/")],
        &[("client_id", "nothing"), ("claims_redirect_uri", "http://evil.example/")],
    ] {
        let page = browser.open(&claims(&[fields, &[("ticket", &ticket)]].concat())).await;
        assert_eq!((page.status, page.header("location")), (400, ""), "{fields:?}");
        assert!(page.text.contains("<h1>"), "the person is told");
    }
    // nothing of that spent the ticket; the query of a registered URI is kept
    let fields = [("client_id", "printer"), ("claims_redirect_uri", "http://127.0.0.1:9003/b?keep=1"), ("ticket", &ticket)];
    let page = visit(&browser, &fields).await;
    let (url, _) = browser.submit(&page, "/claims/continue", &[("decision", "deny")]).await.location();
    assert!(url.starts_with("http://127.0.0.1:9003/b?keep=1&error="), "{url}");
}

/// Cases: G-3.3.3-9, G-3.3.3-10, X-6, G-5.5-3
#[tokio::test]
async fn a_bad_ticket_goes_back_to_the_client_as_an_error() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let browser = Browser::new(&world);
    let spent = world.ticket(&pat, &album, "view").await;
    let at_printer = world.trade("viewer", &spent, &[]).await.get("ticket").to_owned();
    let shown = world.ticket(&pat, &album, "view").await;
    visit(&browser, &[("client_id", "viewer"), ("ticket", &shown)]).await;
    let old = world.ticket(&pat, &album, "view").await;
    for (client, ticket) in
        [("viewer", "nonsense"), ("viewer", &*spent), ("phone", &*at_printer), ("viewer", &*shown), ("viewer", "")]
    {
        let (url, query) = browser.open(&claims(&[("client_id", client), ("ticket", ticket), ("state", "s")])).await.location();
        assert!(url.starts_with("http://127.0.0.1:900"), "{url}");
        assert_eq!((get(&query, "error").as_deref(), get(&query, "state").as_deref()), (Some("invalid_request"), Some("s")));
        assert_eq!(get(&query, "iss").as_deref(), Some(crate::world::ISSUER));
    }
    world.trade_as_bob("viewer", &shown, &[]).await.refused(400, "invalid_grant");
    world.pass(301);
    let (_, query) = browser.open(&claims(&[("client_id", "viewer"), ("ticket", &old)])).await.location();
    assert_eq!(get(&query, "error").as_deref(), Some("invalid_request"));
}

/// Cases: G-5.1-1
#[tokio::test]
async fn another_browser_cannot_go_on_with_it() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let (bob, mallory) = (Browser::new(&world), Browser::new(&world));
    let first = bob.open(&claims(&[("client_id", "viewer"), ("ticket", &ticket)])).await;
    mallory.open("/login").await;
    assert_eq!(mallory.open(first.header("location")).await.status, 400);
    assert_eq!(bob.open(first.header("location")).await.status, 200);
}

/// Somebody with an account logs in instead; her verified address counts.
#[tokio::test]
async fn an_account_here_is_as_good_as_a_code() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    world.share(&album, "view", "carol@foo.example").await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let browser = Browser::new(&world);
    browser.log_in("carol").await;
    let page = visit(&browser, &[("client_id", "phone"), ("ticket", &ticket)]).await;
    let (_, query) = browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.location();
    world.trade("phone", &get(&query, "ticket").unwrap(), &[]).await.ok(200);
}

/// What the mail server refuses stays counted, or whoever asks for codes to addresses that are not there has no limit; where it
/// was not reached, nobody has done anything.
#[tokio::test]
async fn threat_46_what_a_mail_server_refuses_is_counted() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let asked = async |domain: &str| {
            let browser = Browser::new(&world);
            let ticket = world.ticket(&pat, &album, "view").await;
            let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &ticket)]).await;
            let mut statuses = Vec::new();
            for n in 0..25 {
                let address = format!("x{n}{domain}");
                statuses.push(browser.submit(&page, "/claims/continue", &[("email", &address)]).await.status);
            }
            statuses
        };
        let refused = asked(NO_MAILBOX).await;
        assert!(refused.iter().take(19).all(|status| *status == 400) && refused.last() == Some(&429), "{refused:?}");
        assert!(asked(UNREACHED).await.iter().all(|status| *status == 503));
    }
}
