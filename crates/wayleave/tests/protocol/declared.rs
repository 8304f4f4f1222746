//! What the operator takes out of the configuration, or changes there, ends with the next start; things stay.

use crate::oauth::{Browser, tokens};
use crate::passkeys::{Device, add, is_in, question, send};
use crate::people::PEOPLE;
use crate::world::{IDP, World};
use identity::undeclared::{Declared, find_undeclared};
use serde_json::{Value, json};

const SERVER: &str = "[server]\nissuer = \"http://127.0.0.1:8080\"\n";
const BY_ITSELF: &[(&str, &str)] = &[("grant_type", "client_credentials")];

/// The configuration without the account or client of this name.
pub(crate) fn without(name: &str) -> String {
    let mut sections = PEOPLE.split("\n[[");
    let first = sections.next().unwrap_or_default().to_owned();
    let lines = [format!("username = \"{name}\""), format!("client_id = \"{name}\"")];
    let left = sections.filter(|section| !section.lines().any(|line| lines.iter().any(|own| own == line)));
    left.fold(first, |text, section| format!("{text}\n[[{section}"))
}

impl World {
    /// The same store, served anew with another configuration.
    pub(crate) async fn start_again(&mut self, configuration: &str) -> Result<(), wayleave::Exit> {
        let trust = format!(
            "[[trusted_issuer]]\nissuer = \"{IDP}\"\njwks_file = \"idp.json\"\nclaims = [\"email\", \"email_verified\"]\n\
             email_domains = [\"bar.example\"]\n"
        );
        let configuration = format!("{configuration}{trust}");
        let config = wayleave::config::Config::parse(&configuration, std::iter::empty(), self.folder.clone()).unwrap();
        let (mail, clock, dice) = (self.mailbox.clone(), self.clock.clone(), std::sync::Arc::new(jose::SystemRandomness));
        self.app = wayleave::assemble::server_with(&config, self.store.clone(), [7; 32], mail, clock, dice).await?.app;
        self.router = web::site(self.app.clone());
        Ok(())
    }
}

/// A browser with the cookies of another.
pub(crate) fn resumed<'a>(world: &'a World, cookies: &[(String, String)]) -> Browser<'a> {
    let browser = Browser::new(world);
    *browser.cookies.borrow_mut() = cookies.to_vec();
    browser
}

pub(crate) fn cookies_of(browser: &Browser<'_>) -> Vec<(String, String)> {
    browser.cookies.borrow().clone()
}

#[tokio::test]
async fn a_client_that_the_configuration_has_no_more_ends_with_all_that_hung_on_it() {
    for mut world in World::each().await {
        let stranger = json!({"client_name": "Cutter", "redirect_uris": ["https://cutter.example/cb"]});
        let registered = world.send("POST", "/register", &[("content-type", "application/json")], stranger.to_string()).await;
        let registered = registered.ok(201).get("client_id").to_owned();
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let linked = tokens(&browser).await.ok(200).get("access_token").to_owned();
        let pmt = world.access("manager").await;
        world.start_again(&without("manager")).await.unwrap();
        world.token("manager", BY_ITSELF).await.refused(401, "invalid_client");
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.refused(401, "invalid_token");
        assert_eq!(world.introspect(&pat, &rpt).await["active"], true, "nobody else's ended");
        // a resource server: also what she agreed to for it, and its URL
        let text = without("photos-rs").replace(
            "[[client]]\nclient_id = \"music-rs\"",
            "[[client]]\nclient_id = \"music-rs\"\nresource = \"http://127.0.0.1:9000\"",
        );
        world.start_again(&text).await.unwrap();
        for token in [&pat, &linked] {
            world.call("GET", "/uma/resources", token, Value::Null).await.refused(401, "invalid_token");
        }
        let alice = world.app.identity.find_account_by_username("alice").await.unwrap().unwrap().id;
        let consents = world.app.identity.store.list_consents(&alice).await.unwrap();
        assert!(consents.iter().all(|consent| consent.client.as_str() != "photos-rs"), "{}", world.engine);
        assert!(
            world.app.identity.store.find_client(&types::ClientId::new(registered.as_str())).await.unwrap().is_some(),
            "it was not declared"
        );
        world.start_again(&without("photos-rs")).await.unwrap();
        // it comes back, and finds its things; what was agreed to does not come back
        world.start_again(PEOPLE).await.unwrap();
        world.call("GET", "/uma/resources", &linked, Value::Null).await.refused(401, "invalid_token");
        let pat = world.pat().await;
        let kept = world.call("GET", "/uma/resources", &pat, Value::Null).await;
        assert!(kept.ok(200).text.contains(&album), "{}", kept.text);
        world.bobs_rpt("viewer", &pat, &album).await;
    }
}

#[tokio::test]
async fn an_account_that_the_configuration_has_no_more_is_opened_by_nothing_and_keeps_its_things() {
    for mut world in World::each().await {
        let (carol, device) = (Browser::new(&world), Device::new(1));
        carol.log_in("carol").await;
        assert_eq!(add(&carol, &device).await.status, 303);
        let session = cookies_of(&carol);
        let pat = world.access("carols-rs").await;
        let thing = world.resource(&pat, "view").await;
        let pmt = world.access("carols-manager").await;
        // what acts by her name without being declared for it
        let text = without("carol").replace("acts_for = \"carol\"\n", "");
        world.start_again(&text).await.unwrap();
        assert!(!is_in(&resumed(&world, &session)).await, "{}", world.engine);
        let browser = Browser::new(&world);
        let page = browser.open("/login").await;
        let typed = [("username", "carol"), ("password", "carol-password")];
        assert_ne!(browser.submit(&page, "/login", &typed).await.status, 303);
        let page = browser.open("/login").await;
        let refused = send(&browser, &page, "/login/passkey", &device.answer(&question(&page))).await;
        assert!(refused.status == 400 && refused.text.contains("closed"), "{}", refused.text);
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.refused(401, "invalid_token");
        world.call("GET", "/uma/resources", &pat, Value::Null).await.ok(200);
        // a second start ends nothing more, and she comes back to all of it
        world.start_again(&text).await.unwrap();
        world.start_again(PEOPLE).await.unwrap();
        assert!(!is_in(&resumed(&world, &session)).await);
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        assert!(carol.open("/my/resources").await.text.contains(&thing), "{}", world.engine);
        let phone = Browser::new(&world);
        let page = phone.open("/login").await;
        assert_eq!(send(&phone, &page, "/login/passkey", &device.answer(&question(&page))).await.status, 303);
    }
}

#[tokio::test]
async fn another_password_ends_sessions_and_another_secret_ends_tokens() {
    for mut world in World::each().await {
        let (alice, carol) = (Browser::new(&world), Browser::new(&world));
        alice.log_in("alice").await;
        carol.log_in("carol").await;
        let (alices, carols) = (cookies_of(&alice), cookies_of(&carol));
        let linked = tokens(&alice).await;
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        world.pass(5);
        let changed = PEOPLE.replace("carol-password", "another-password").replace("photos-secret", "another-secret");
        world.start_again(&changed).await.unwrap();
        assert!(is_in(&resumed(&world, &alices)).await && !is_in(&resumed(&world, &carols)).await, "{}", world.engine);
        for token in [&pat, linked.get("access_token")] {
            world.call("GET", "/uma/resources", token, Value::Null).await.refused(401, "invalid_token");
        }
        // what she agreed to goes on, by the secret of now
        let fields = [("grant_type", "refresh_token"), ("refresh_token", linked.get("refresh_token"))];
        let basic = crate::world::basic("photos-rs", "another-secret");
        let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
        let renewed = world.send("POST", "/token", &headers, crate::world::form(&fields)).await;
        let pat = renewed.ok(200).get("access_token").to_owned();
        world.call("GET", "/uma/resources", &pat, Value::Null).await.ok(200);
        // and the same again changes nothing; the secret of who asks ends what it was given
        world.start_again(&changed).await.unwrap();
        world.call("GET", "/uma/resources", &pat, Value::Null).await.ok(200);
        let ticket = world.ticket(&pat, &album, "view").await;
        let given = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        assert_eq!(world.introspect(&pat, &given).await["active"], true);
        world.pass(5);
        world.start_again(&changed.replace("viewer-secret", "another-secret")).await.unwrap();
        for token in [&rpt, &given] {
            assert_eq!(world.introspect(&pat, token).await["active"], false);
        }
    }
}

/// A start in the wrong folder, or without its file: nothing is ended.
#[tokio::test]
async fn a_configuration_with_nobody_in_it_ends_nothing() {
    for mut world in World::each().await {
        let pmt = world.access("manager").await;
        let refused = world.start_again(SERVER).await;
        assert!(matches!(refused, Err(wayleave::Exit::Usage(what)) if what.contains("--config")));
        let wrong = without("manager").replace("password = \"carol-password\"", "password_file = \"none\"");
        assert!(world.start_again(&wrong).await.is_err(), "what does not read ends nothing");
        world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200);
    }
}

/// What `config check` reads.
#[tokio::test]
async fn whom_a_start_would_end_is_found_before_it() {
    for world in World::each().await {
        let declared = Declared {
            usernames: ["alice".to_owned()].into(),
            clients: ["photos-rs", "music-rs", "carols-rs", "company"].into_iter().map(types::ClientId::new).collect(),
        };
        let found = find_undeclared(&world.store, &declared).await.unwrap();
        let accounts: Vec<_> = found.accounts.iter().map(|account| account.username.as_str()).collect();
        assert_eq!(accounts, ["carol"]);
        let mut clients: Vec<_> = found.clients.iter().map(|client| client.id.as_str()).collect();
        clients.sort();
        assert_eq!(clients, ["carols-manager", "jwt-viewer", "manager", "nothing", "phone", "printer", "viewer"]);
    }
}

/// `PEOPLE` with one text in the place of another.
fn changed(changes: &[(&str, &str)]) -> String {
    changes.iter().fold(PEOPLE.to_owned(), |text, (old, new)| {
        assert!(text.contains(old), "{old}");
        text.replacen(old, new, 1)
    })
}

/// Row 40: a start that is refused has ended nothing.
#[tokio::test]
async fn threat_40_a_configuration_that_is_refused_ends_nobody() {
    for mut world in World::each().await {
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let wrong = format!("{}\n[[client]]\nclient_id = \"late\"\nacts_for = \"nobody\"\n", without("viewer"));
        let Err(wayleave::Exit::Usage(what)) = world.start_again(&wrong).await else { panic!() };
        assert!(what.contains("`late`: acts_for: there is no account of this name"), "{what}");
        world.start_again(&changed(&[])).await.unwrap();
        assert_eq!(world.introspect(&pat, &rpt).await["active"], json!(true), "what the application held is as good as before");
    }
}

/// Addresses and places change hands in one step.
#[tokio::test]
async fn accounts_swap_addresses_and_clients_swap_places() {
    for mut world in World::each().await {
        let store = world.app.identity.store.clone();
        let email = async |name: &str| store.find_account_by_username(name).await.unwrap().unwrap().email;
        let (alice, carol) = (email("alice").await.unwrap(), email("carol").await.unwrap());
        let (one, other) = (format!("email = \"{alice}\""), format!("email = \"{carol}\""));
        let swapped = changed(&[(&one, "email = \"swap\""), (&other, &one), ("email = \"swap\"", &other)]);
        world.start_again(&swapped).await.unwrap();
        assert_eq!((email("alice").await, email("carol").await), (Some(carol), Some(alice)));
    }
}
