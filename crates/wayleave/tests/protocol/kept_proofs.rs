//! An address that was proved is kept for this browser for an hour (decision 0034): who is asked again, who is not, and what
//! a proof opens.

use crate::interaction::{get, visit};
use crate::oauth::Browser;
use crate::world::{Answer, ISSUER, World, form};
use authorization_server::Store as _;

const PAGE: &str = "/claims/continue";

fn last_code(world: &World) -> String {
    let mail = world.mailbox.0.lock().unwrap().last().unwrap().clone();
    mail.text.split("Your code is ").nth(1).unwrap().split_whitespace().next().unwrap().to_owned()
}

/// A client's page at the claims endpoint, for a new ticket.
async fn claims(browser: &Browser<'_>, pat: &str, thing: &str, client: &str) -> Answer {
    let ticket = browser.world.ticket(pat, thing, "view").await;
    let fields = [("client_id", client), ("ticket", &*ticket)];
    let to = [("claims_redirect_uri", "http://127.0.0.1:9003/a")];
    visit(browser, &[&fields[..], if client == "printer" { &to } else { &[] }].concat()).await
}

/// Proves an address by a code: the page that asks whether to show it.
async fn prove(browser: &Browser<'_>, page: &Answer, address: &str) -> Answer {
    let next = browser.submit(page, PAGE, &[("email", address)]).await;
    let page = browser.open(next.ok(303).header("location")).await;
    let next = browser.submit(&page, PAGE, &[("code", &last_code(browser.world))]).await;
    browser.open(next.ok(303).header("location")).await
}

fn cookie_of(browser: &Browser<'_>, name: &str) -> String {
    browser.cookies.borrow().iter().find(|(known, _)| known == name).map(|(_, value)| value.clone()).unwrap_or_default()
}

fn give(browser: &Browser<'_>, name: &str, value: &str) {
    browser.cookies.borrow_mut().retain(|(known, _)| known != name);
    browser.cookies.borrow_mut().push((name.to_owned(), value.to_owned()));
}

fn asks_who(page: &Answer) -> bool {
    page.text.contains("name=\"email\" type=\"email\"")
}

#[track_caller]
fn asks_to_show(page: &Answer, address: &str, client: &str) {
    assert!(page.text.contains(&format!("Show my address to {client}?")), "{}", page.text);
    assert!(page.text.contains(&format!("<dd>{address}</dd>")) && !asks_who(page) && !page.text.contains("name=\"code\""));
}

/// A world with an album, and Bob's browser in which he has proved his address for the viewer.
struct Scene<'a> {
    bob: Browser<'a>,
    pat: String,
    album: String,
    asked: Answer,
}

impl<'a> Scene<'a> {
    async fn of(world: &'a World, address: &str) -> Self {
        let (pat, album, _) = world.album().await;
        let bob = Browser::new(world);
        let page = claims(&bob, &pat, &album, "viewer").await;
        assert!(asks_who(&page));
        let asked = prove(&bob, &page, address).await;
        asks_to_show(&asked, address, "Viewer");
        Self { bob, pat, album, asked }
    }

    async fn claims(&self, client: &str) -> Answer {
        claims(&self.bob, &self.pat, &self.album, client).await
    }

    async fn approve(&self, page: &Answer) -> Answer {
        self.bob.submit(page, PAGE, &[("decision", "approve")]).await
    }
}

#[tokio::test]
async fn an_address_is_proved_once_an_hour_and_shown_to_each_client_by_consent() {
    for world in World::each().await {
        let mut scene = Scene::of(&world, "bob@bar.example").await;
        let (_, query) = scene.approve(&scene.asked).await.location();
        world.trade("viewer", &get(&query, "ticket").unwrap(), &[]).await.ok(200);
        for client in ["printer", "viewer", "phone"] {
            let name = if client == "viewer" { "Viewer" } else { client };
            let page = scene.claims(client).await;
            asks_to_show(&page, "bob@bar.example", name);
            let (_, query) = scene.approve(&page).await.location();
            world.trade(client, &get(&query, "ticket").unwrap(), &[]).await.ok(200);
        }
        // refusing one application ends nothing
        let page = scene.claims("printer").await;
        let (_, query) = scene.bob.submit(&page, PAGE, &[("decision", "deny")]).await.location();
        assert_eq!(get(&query, "error").as_deref(), Some("access_denied"));
        world.pass(3_599);
        scene.pat = world.pat().await;
        asks_to_show(&scene.claims("viewer").await, "bob@bar.example", "Viewer");
        assert_eq!(world.mailbox.0.lock().unwrap().len(), 1);
        // used or not, it ends
        let page = scene.claims("viewer").await;
        world.pass(1);
        assert!(asks_who(&scene.claims("viewer").await));
        assert_eq!(scene.approve(&page).await.status, 400, "nor does a page that was open before");
    }
}

#[tokio::test]
async fn threat_42_another_person_at_the_browser_says_so_and_is_asked() {
    for world in World::each().await {
        let scene = Scene::of(&world, "bob@bar.example").await;
        let (proof, form_cookie) = (cookie_of(&scene.bob, "wl_proof"), cookie_of(&scene.bob, "wl_form"));
        let old = scene.claims("viewer").await;
        let url = scene.bob.submit(&old, PAGE, &[("decision", "other")]).await.ok(303).header("location").to_owned();
        let page = scene.bob.open(&url).await;
        assert!(asks_who(&page) && !page.text.contains("bob@bar.example"));
        // Bob's pages are still in the history: they open nothing, and show him to nobody
        for page in [&old, &scene.asked] {
            let answer = scene.approve(page).await;
            assert!(answer.status == 400 && answer.header("location").is_empty(), "{}", answer.text);
            assert!(asks_who(&answer));
        }
        // nor does a copy of his cookies that somebody made before
        let thief = Browser::new(&world);
        give(&thief, "wl_proof", &proof);
        give(&thief, "wl_form", &form_cookie);
        assert!(asks_who(&claims(&thief, &scene.pat, &scene.album, "viewer").await));
        // Carol proves who she is, in the same process
        world.share(&scene.album, "view", "carol@quux.example").await;
        let page = prove(&scene.bob, &page, "carol@quux.example").await;
        asks_to_show(&page, "carol@quux.example", "Viewer");
        let (_, query) = scene.approve(&page).await.location();
        world.trade("viewer", &get(&query, "ticket").unwrap(), &[]).await.ok(200);
    }
}

/// Each has a page of her own open: what one has read, the other one does not agree to.
#[tokio::test]
async fn threat_42_two_people_at_one_browser_do_not_answer_for_each_other() {
    let world = World::one().await;
    let scene = Scene::of(&world, "bob@bar.example").await;
    let of_bob = scene.claims("printer").await;
    let other = scene.claims("viewer").await;
    let url = scene.bob.submit(&other, PAGE, &[("decision", "other")]).await.header("location").to_owned();
    let page = scene.bob.open(&url).await;
    asks_to_show(&prove(&scene.bob, &page, "carol@quux.example").await, "carol@quux.example", "Viewer");
    let answer = scene.approve(&of_bob).await;
    assert_eq!((answer.status, answer.header("location")), (400, ""));
    asks_to_show(&answer, "carol@quux.example", "printer");
    assert!(answer.text.contains("Somebody else is known in this browser now"));
    // what she then reads is what she agrees to
    let (url, _) = scene.approve(&answer).await.location();
    assert!(url.starts_with("http://127.0.0.1:9003/a?ticket="), "{url}");
}

#[tokio::test]
async fn threat_45_s11_a_kept_proof_makes_no_second_person_in_a_process() {
    for world in World::each().await {
        let scene = Scene::of(&world, "bob@bar.example").await;
        let (_, query) = scene.approve(&scene.asked).await.location();
        let next = get(&query, "ticket").unwrap();
        let page = visit(&scene.bob, &[("client_id", "viewer"), ("ticket", &next)]).await;
        let url = scene.bob.submit(&page, PAGE, &[("decision", "other")]).await.header("location").to_owned();
        let page = scene.bob.open(&url).await;
        let page = prove(&scene.bob, &page, "carol@quux.example").await;
        let answer = scene.approve(&page).await;
        assert!(answer.status == 400 && answer.text.contains("somebody else") || answer.text.contains("Somebody else"));
    }
}

#[tokio::test]
async fn threat_42_logging_out_ends_it_and_so_does_logging_in() {
    for world in World::each().await {
        let scene = Scene::of(&world, "bob@bar.example").await;
        let (proof, form_cookie) = (cookie_of(&scene.bob, "wl_proof"), cookie_of(&scene.bob, "wl_form"));
        // a link ends nothing
        let page = scene.bob.open("/logout").await;
        assert_eq!(page.status, 200, "it asks first");
        asks_to_show(&scene.claims("viewer").await, "bob@bar.example", "Viewer");
        let out = scene.bob.submit(&page, "/logout", &[]).await;
        assert!(out.ok(303).headers.get_all("set-cookie").iter().any(|line| line.to_str().unwrap().starts_with("wl_proof=;")));
        give(&scene.bob, "wl_proof", &proof);
        assert!(asks_who(&scene.claims("viewer").await), "the cookie opens nothing any more");
        // Carol logs in where Bob proved an address: when she is gone, nobody is known
        let page = scene.claims("viewer").await;
        prove(&scene.bob, &page, "bob@bar.example").await;
        let proof = cookie_of(&scene.bob, "wl_proof");
        scene.bob.log_in("carol").await;
        let page = scene.claims("viewer").await;
        assert!(page.text.contains("<dd>carol@foo.example</dd>") && !page.text.contains("bob@bar.example"));
        let url = scene.bob.submit(&page, PAGE, &[("decision", "other")]).await.header("location").to_owned();
        assert!(asks_who(&scene.bob.open(&url).await), "she is logged out");
        for (name, value) in [("wl_proof", &proof), ("wl_form", &form_cookie)] {
            give(&scene.bob, name, value);
        }
        assert!(asks_who(&scene.claims("viewer").await));
        assert_eq!(scene.bob.open("/account").await.status, 303, "nobody is logged in");
    }
}

#[tokio::test]
async fn threat_42_a_planted_or_a_stolen_cookie_proves_nothing() {
    for world in World::each().await {
        let scene = Scene::of(&world, "mallory@evil.example").await;
        let mallorys = cookie_of(&scene.bob, "wl_proof");
        // planted in Bob's browser: he is asked who he is, and what he proves gets a cookie that Mallory does not know
        let bob = Browser::new(&world);
        bob.open("/login").await;
        give(&bob, "wl_proof", &mallorys);
        let page = claims(&bob, &scene.pat, &scene.album, "viewer").await;
        assert!(asks_who(&page) && !page.text.contains("mallory"));
        prove(&bob, &page, "bob@bar.example").await;
        let bobs = cookie_of(&bob, "wl_proof");
        assert!(bobs != mallorys && bobs.len() == 43, "{bobs}");
        // stolen without the form cookie beside it, doubled, or made up
        let thief = Browser::new(&world);
        thief.open("/login").await;
        for stolen in [bobs.clone(), format!("{bobs}; wl_proof={bobs}"), "x".repeat(43), String::new()] {
            give(&thief, "wl_proof", &stolen);
            assert!(asks_who(&claims(&thief, &scene.pat, &scene.album, "viewer").await), "{stolen}");
        }
        // another person's browser follows Bob's link
        let page = claims(&bob, &scene.pat, &scene.album, "viewer").await;
        asks_to_show(&page, "bob@bar.example", "Viewer");
        let i = page.text.split("name=\"i\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
        assert_eq!(thief.open(&format!("{PAGE}?i={i}")).await.status, 400);
        // what is kept is sealed, found by a hash, and swept out
        let id = identity::session::id_of(&bobs);
        let row = world.store.find_proof(&id).await.unwrap().unwrap();
        assert!(!row.windows(3).any(|part| part == b"bob") && world.store.find_proof(&bobs).await.unwrap().is_none());
        world.store.sweep(types::Timestamp(world.now() + 3_601)).await.unwrap();
        assert!(world.store.find_proof(&id).await.unwrap().is_none());
    }
}

#[tokio::test]
async fn threat_42_forms_of_other_sites_decide_nothing() {
    let world = World::one().await;
    let scene = Scene::of(&world, "bob@bar.example").await;
    let hidden = |name: &str| {
        let mark = format!("name=\"{name}\" value=\"");
        scene.asked.text.split(&mark).nth(1).unwrap().split('"').next().unwrap().replace("&#38;", "&")
    };
    let (csrf, i) = (hidden("csrf"), hidden("i"));
    let cookies = format!("wl_form={}; wl_proof={}", cookie_of(&scene.bob, "wl_form"), cookie_of(&scene.bob, "wl_proof"));
    for decision in ["approve", "other", "deny"] {
        for (origin, csrf) in [("https://evil.example", &*csrf), (ISSUER, ""), ("null", &*csrf), (ISSUER, "x")] {
            let headers = [("cookie", &*cookies), ("content-type", "application/x-www-form-urlencoded"), ("origin", origin)];
            let fields = form(&[("i", &i), ("csrf", csrf), ("decision", decision)]);
            assert_eq!(world.send("POST", PAGE, &headers, fields).await.status, 400, "{origin} {decision}");
        }
    }
    asks_to_show(&scene.claims("viewer").await, "bob@bar.example", "Viewer");
    assert_eq!(scene.approve(&scene.asked).await.status, 303, "nothing was spent");
}

/// Whoever reads a mailbox is not the account that has its address.
#[tokio::test]
async fn an_address_that_was_proved_is_no_log_in() {
    for world in World::each().await {
        let scene = Scene::of(&world, "alice@foo.example").await;
        for page in ["/account", "/my/resources", "/my/requests", "/my/history", "/applications"] {
            let answer = scene.bob.open(page).await;
            assert!(answer.status == 303 && answer.header("location").contains("/login"), "{page}: {}", answer.status);
        }
        let page = scene.claims("viewer").await;
        assert!(!page.text.contains("is your own"));
        let (_, query) = scene.approve(&page).await.location();
        // the album is Alice's, and shared with Bob: her address alone is not she
        let ticket = get(&query, "ticket").unwrap();
        let answer = world.trade("viewer", &ticket, &[("ask_owner", "false")]).await;
        assert_eq!(answer.refused(403, "request_denied").json.get("may_ask"), None);
    }
}

#[tokio::test]
async fn threat_46_s07_a_code_is_good_once_and_guesses_are_counted_as_before() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let bob = Browser::new(&world);
        let page = claims(&bob, &pat, &album, "viewer").await;
        let next = bob.submit(&page, PAGE, &[("email", "bob@bar.example")]).await;
        let page = bob.open(next.header("location")).await;
        let code = last_code(&world);
        let mail = world.mailbox.0.lock().unwrap().last().unwrap().clone();
        assert_eq!(mail.subject, format!("{code} is your code to open something at 127.0.0.1:9000"));
        assert!(mail.text.contains("open something at 127.0.0.1:9000 with Viewer."), "{}", mail.text);
        assert_eq!(bob.submit(&page, PAGE, &[("code", &code)]).await.status, 303);
        let again = bob.submit(&page, PAGE, &[("code", &code)]).await;
        assert_eq!(again.status, 400);
        assert!(again.header("set-cookie").is_empty());
        // five guesses, and then not the right one either
        let other = Browser::new(&world);
        let page = claims(&other, &pat, &album, "viewer").await;
        let next = other.submit(&page, PAGE, &[("email", "bob@bar.example")]).await;
        let page = other.open(next.header("location")).await;
        for _ in 0..5 {
            assert_eq!(other.submit(&page, PAGE, &[("code", "00000000")]).await.status, 400);
        }
        assert_eq!(other.submit(&page, PAGE, &[("code", &last_code(&world))]).await.status, 429);
        assert!(asks_who(&claims(&other, &pat, &album, "viewer").await));
    }
}

#[tokio::test]
async fn pages_say_where_the_thing_is_who_asks_and_only_the_error() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let bob = Browser::new(&world);
    let page = claims(&bob, &pat, &album, "viewer").await;
    assert!(
        page.text.contains("<strong>Viewer</strong> (127.0.0.1:9001) wants to open something at <strong>127.0.0.1:9000</strong>")
    );
    let wrong = bob.submit(&page, PAGE, &[("email", "bob at bar<b>")]).await;
    assert!(wrong.status == 400 && wrong.text.contains("value=\"bob at bar&#60;b&#62;\""), "{}", wrong.text);
    let next = bob.submit(&page, PAGE, &[("email", "bob@bar.example")]).await;
    let page = bob.open(next.header("location")).await;
    assert!(page.text.contains("on its way to") && !page.text.contains("type=\"email\""));
    let wrong = bob.submit(&page, PAGE, &[("code", "1234")]).await;
    assert!(wrong.text.contains("role=\"alert\"") && !wrong.text.contains("role=\"status\""));
    // a new code, and another address, from the same page
    let next = bob.submit(&wrong, PAGE, &[("email", "bob@bar.example")]).await;
    assert_eq!((next.status, world.mailbox.0.lock().unwrap().len()), (303, 2));
    let next = bob.submit(&wrong, PAGE, &[("decision", "other")]).await;
    assert!(asks_who(&bob.open(next.header("location")).await));
}

/// The gateway is the client of whoever opens a link there: it is not spoken of as if it were somebody else.
#[tokio::test]
async fn a_page_for_the_place_itself_names_it_once() {
    let own = "[[client]]\nclient_id = \"browsers\"\nclient_secret = \"browsers-secret\"\nname = \"Pictures\"\n\
               grant_types = [\"urn:ietf:params:oauth:grant-type:uma-ticket\"]\n\
               claims_redirect_uris = [\"http://127.0.0.1:9000/.wayleave/visit\"]\n";
    let world = World::on("memory", own).await;
    let (pat, album, _) = world.album().await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let bob = Browser::new(&world);
    let page = visit(&bob, &[("client_id", "browsers"), ("ticket", &*ticket), ("disclose", "email")]).await;
    assert!(page.text.contains("You want to open something at <strong>Pictures</strong> (127.0.0.1:9000)."), "{}", page.text);
    let page = prove(&bob, &page, "bob@bar.example").await;
    let mail = world.mailbox.0.lock().unwrap().last().unwrap().clone();
    assert!(mail.text.contains("so that you can open something at Pictures (127.0.0.1:9000).\n"), "{}", mail.text);
    asks_to_show(&page, "bob@bar.example", "Pictures");
    assert!(page.text.contains("<p>The application at <strong>127.0.0.1:9000</strong> will see your e-mail address.</p>"));
}
