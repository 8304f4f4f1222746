//! What was given on somebody's word about a person ends once that word counts no more (threat 48): an issuer or a log-in
//! provider that the operator takes out, an account with another address or password, a way to log in that is taken away.

use crate::declared::{cookies_of, resumed};
use crate::interaction::{get, visit};
use crate::oauth::Browser;
use crate::passkeys::{Device, add, is_in, question, send};
use crate::people::PEOPLE;
use crate::world::{Answer, ID_TOKEN, ISSUER, World};
use identity::account::Standing;
use identity::session::{Session, id_of};
use identity::upstream::LinkedLogIn;
use identity::{Account, Changes, Store, Write};
use jose::base64url;
use serde_json::{Value, json};
use types::{AccountId, Timestamp};

const VIEWER: &str = "http://127.0.0.1:9001/claims";
const THERE: &str = "https://login.bar.example";
const PROVIDER: &str = "[[login_provider]]\nissuer = \"https://login.bar.example\"\nname = \"Bar\"\nclient_id = \"us\"\n\
    make_accounts = true\nemail_domains = [\"bar.example\"]\n";
const INACTIVE: &str = "{\"active\":false}";

/// The issuer that the world trusts, as configuration, with less than it had: addresses of another domain.
const LESS_TRUST: &str = "[[trusted_issuer]]\nissuer = \"https://idp.bar.example\"\njwks_file = \"idp.json\"\n\
    claims = [\"email\", \"email_verified\"]\nemail_domains = [\"other.example\"]\n";

impl World {
    /// The same store, served anew by exactly this configuration.
    async fn start_by(&mut self, configuration: &str) {
        let config = wayleave::config::Config::parse(configuration, std::iter::empty(), self.folder.clone()).unwrap();
        let (mail, clock, dice) = (self.mailbox.clone(), self.clock.clone(), std::sync::Arc::new(jose::SystemRandomness));
        let server = wayleave::assemble::server_with(&config, self.store.clone(), [7; 32], mail, clock, dice).await.unwrap();
        self.app = server.app;
        self.router = web::site(self.app.clone());
    }
}

/// What a person was given: opaque, signed, to be renewed, and what is remembered of her.
struct Given {
    rpt: String,
    jwt: String,
    renews: String,
    pct: String,
}

impl Given {
    async fn to(browser: &Browser<'_>, pat: &str, thing: &str) -> Self {
        let opaque = by_page(browser, "viewer", pat, thing).await;
        let text = |name: &str| opaque.ok(200).get(name).to_owned();
        let (rpt, renews, pct) = (text("access_token"), text("refresh_token"), text("pct"));
        assert!(!pct.is_empty() && !renews.is_empty());
        Self { rpt, jwt: String::new(), renews, pct }
    }

    async fn renew(&self, world: &World) -> Answer {
        world.token("viewer", &[("grant_type", "refresh_token"), ("refresh_token", &self.renews)]).await
    }

    async fn trade(&self, world: &World, pat: &str, thing: &str) -> Answer {
        let ticket = world.ticket(pat, thing, "view").await;
        world.trade("viewer", &ticket, &[("pct", &self.pct)]).await
    }

    /// Nothing of it is good any more.
    async fn is_over(&self, world: &World, pat: &str, thing: &str) {
        for rpt in [&self.rpt, &self.jwt].into_iter().filter(|rpt| !rpt.is_empty()) {
            assert_eq!(world.introspect(pat, rpt).await.to_string(), INACTIVE, "{}", world.engine);
        }
        self.renew(world).await.refused(400, "invalid_grant");
        self.trade(world, pat, thing).await.refused(403, "need_info");
        // nor does it go on in another one
        let ticket = world.ticket(pat, thing, "view").await;
        let upgraded = world.trade("viewer", &ticket, &[("rpt", &self.rpt)]).await;
        assert_ne!(upgraded.status, 200, "{}", upgraded.text);
    }

    async fn is_good(&self, world: &World, pat: &str, thing: &str) {
        assert_eq!(world.introspect(pat, &self.rpt).await["active"], true, "{}", world.engine);
        self.trade(world, pat, thing).await.ok(200);
    }
}

/// Whoever is logged in shows who she is at the claims page, and lets it be remembered.
async fn by_page(browser: &Browser<'_>, client: &str, pat: &str, thing: &str) -> Answer {
    let next = shows_herself(browser, client, pat, thing).await;
    browser.world.trade(client, &next, &[]).await
}

async fn shows_herself(browser: &Browser<'_>, client: &str, pat: &str, thing: &str) -> String {
    let ticket = browser.world.ticket(pat, thing, "view").await;
    let fields = [("client_id", client), ("ticket", &*ticket), ("claims_redirect_uri", VIEWER)];
    let page = visit(browser, &fields).await;
    let back = browser.submit(&page, "/claims/continue", &[("decision", "approve"), ("keep", "yes")]).await;
    get(&back.location().1, "ticket").unwrap_or_else(|| panic!("{}", back.text))
}

async fn revoked(world: &World, pat: &str) -> usize {
    let answer = world.call("GET", "/uma/revocations", pat, Value::Null).await;
    answer.ok(200).json["revoked"].as_array().unwrap().len()
}

#[tokio::test]
async fn threat_48_s13_what_an_issuer_vouched_for_ends_with_the_trust_in_it() {
    for mut world in World::each().await {
        let (pat, album, _) = world.album().await;
        let opaque = world.bobs_rpt("viewer", &pat, &album).await;
        let text = |name: &str| opaque.get(name).to_owned();
        let jwt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
        let bob = Given { rpt: text("access_token"), jwt, renews: text("refresh_token"), pct: text("pct") };
        bob.is_good(&world, &pat, &album).await;
        assert_eq!(revoked(&world, &pat).await, 0);
        world.start_by(PEOPLE).await;
        bob.is_over(&world, &pat, &album).await;
        assert_eq!(revoked(&world, &pat).await, 1);
        // it is trusted again, with less: what it may not state is not remembered either
        world.start_by(&format!("{PEOPLE}{LESS_TRUST}")).await;
        bob.trade(&world, &pat, &album).await.refused(403, "need_info");
        world.start_again(PEOPLE).await.unwrap();
        bob.is_good(&world, &pat, &album).await;
    }
}

#[tokio::test]
async fn threat_48_s13_what_was_given_to_an_address_ends_where_the_account_has_another() {
    for mut world in World::each().await {
        let pat = world.pat().await;
        let (album, later) = (world.resource(&pat, "view").await, world.resource(&pat, "view").await);
        world.share(&album, "view", "carol@foo.example").await;
        let given = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            Given::to(&carol, &pat, &album).await
        };
        given.is_good(&world, &pat, &album).await;
        world.pass(5);
        // the same again, and an address of somebody else: nothing ends
        world.start_again(&PEOPLE.replace("alice@foo.example", "alice@bar.example")).await.unwrap();
        given.is_good(&world, &pat, &album).await;
        let dave = "[[account]]\nusername = \"dave\"\nemail = \"carol@foo.example\"\npassword = \"dave-password\"\n";
        let changed = PEOPLE.replace("email = \"carol@foo.example\"", "email = \"carol2@foo.example\"") + dave;
        world.start_again(&changed).await.unwrap();
        // meant for Dave, whose address it is now
        world.share(&later, "view", "carol@foo.example").await;
        given.is_over(&world, &pat, &album).await;
        given.trade(&world, &pat, &later).await.refused(403, "need_info");
        // and Dave gets in, as does she by her new address
        world.pass(1);
        let dave = Browser::new(&world);
        dave.log_in("dave").await;
        Given::to(&dave, &pat, &later).await.is_good(&world, &pat, &later).await;
    }
}

#[tokio::test]
async fn threat_48_s13_another_password_ends_what_was_given_to_whoever_had_the_one_before() {
    for mut world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        world.share(&album, "view", "carol@foo.example").await;
        let private = world.resource(&pat, "view").await;
        let given = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            Given::to(&carol, &pat, &album).await
        };
        world.pass(5);
        world.start_again(PEOPLE).await.unwrap();
        given.is_good(&world, &pat, &album).await;
        // whom the owner is asked about rests on what was remembered of her, and on nothing that was said just now
        let waiting = given.trade(&world, &pat, &private).await.refused(403, "request_submitted").get("ticket").to_owned();
        world.start_again(&PEOPLE.replace("carol-password", "another-password")).await.unwrap();
        given.is_over(&world, &pat, &album).await;
        world.pass(10);
        world.trade("viewer", &waiting, &[]).await.refused(403, "need_info");
    }
}

/// An ID token of this server is a word of then: what was taken back before leaves it as it is, and what is taken back afterwards
/// ends what rests on it.
#[tokio::test]
async fn threat_48_s13_a_process_rests_on_the_id_token_that_it_was_brought() {
    for mut world in World::each().await {
        let pat = world.pat().await;
        let private = world.resource(&pat, "view").await;
        let with_password = |password: &str| PEOPLE.replace("carol-password", password);
        world.pass(5);
        world.start_again(&with_password("another-password")).await.unwrap();
        world.pass(5);
        let carol = world.app.identity.find_account_by_username("carol").await.unwrap().unwrap();
        assert!(carol.vouched_since.is_some(), "something was taken back of her before");
        let now = world.now();
        let claims = json!({"iss": ISSUER, "sub": carol.id, "aud": "viewer", "iat": now, "exp": now + 300,
            "email": "carol@foo.example", "email_verified": true});
        let key = world.app.identity.keys.signing_key(jose::Algorithm::EdDsa, Timestamp(now)).unwrap();
        let token = key.sign("JWT", &claims).unwrap();
        let fields = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        let ticket = world.ticket(&pat, &private, "view").await;
        let asked = world.trade("viewer", &ticket, &fields).await;
        let waiting = asked.refused(403, "request_submitted").get("ticket").to_owned();
        world.pass(10);
        let still = world.trade("viewer", &waiting, &[]).await;
        let waiting = still.refused(403, "request_submitted").get("ticket").to_owned();
        world.start_again(&with_password("a-third-password")).await.unwrap();
        world.pass(10);
        world.trade("viewer", &waiting, &[]).await.refused(403, "need_info");
    }
}

/// Somebody whom the provider brought, logged in by it: the cookies.
async fn erin(world: &World) -> Vec<(String, String)> {
    let (id, now) = (AccountId::new("erin"), Timestamp(world.now()));
    let account = Account {
        id: id.clone(),
        username: format!("{THERE} 7"),
        name: Some("Erin".into()),
        email: Some("erin@bar.example".into()),
        email_verified: true,
        claims: Default::default(),
        password_hash: None,
        declared_digest: None,
        standing: Standing::Elsewhere,
        vouched_since: None,
        gone_providers: Default::default(),
        created: now,
    };
    let linked =
        LinkedLogIn { account: id.clone(), issuer: THERE.into(), sub: "7".into(), known_as: "Erin".into(), created: now };
    let expires = now.plus(identity::session::LIFETIME);
    let session = Session { id: id_of("erins"), account: id, auth_time: now, by: Some(THERE.into()), expires };
    let writes = vec![Write::CreateAccount(account), Write::CreateLinkedLogIn(linked), Write::PutSession(session)];
    world.store.commit(Changes::of(writes)).await.unwrap();
    vec![("wl_session".to_owned(), "erins".to_owned())]
}

#[tokio::test]
async fn threat_48_s13_what_a_log_in_provider_opened_ends_with_it() {
    for mut world in World::each_with(PROVIDER).await {
        let (pat, cookies) = (world.pat().await, erin(&world).await);
        let album = world.resource(&pat, "view").await;
        world.share(&album, "view", "erin@bar.example").await;
        let given = Given::to(&resumed(&world, &cookies), &pat, &album).await;
        given.is_good(&world, &pat, &album).await;
        let device = Device::new(1);
        assert_eq!(add(&resumed(&world, &cookies), &device).await.status, 303);
        world.pass(5);
        let with_provider = format!("{PEOPLE}{PROVIDER}");
        world.start_again(&with_provider).await.unwrap();
        assert!(is_in(&resumed(&world, &cookies)).await, "{}", world.engine);
        given.is_good(&world, &pat, &album).await;
        world.start_again(PEOPLE).await.unwrap();
        assert!(!is_in(&resumed(&world, &cookies)).await, "it began by the provider's word");
        given.is_over(&world, &pat, &album).await;
        // her passkey opens her account still, and nobody vouches for her address
        let by_passkey = {
            let phone = Browser::new(&world);
            let page = phone.open("/login").await;
            assert_eq!(send(&phone, &page, "/login/passkey", &device.answer(&question(&page))).await.status, 303);
            world.pass(1);
            by_page(&phone, "viewer", &pat, &album).await.refused(403, "need_info");
            cookies_of(&phone)
        };
        // it is back: so is her word about her address, and nothing of before
        world.start_again(&with_provider).await.unwrap();
        given.is_over(&world, &pat, &album).await;
        Given::to(&resumed(&world, &by_passkey), &pat, &album).await.is_good(&world, &pat, &album).await;
    }
}

/// Of an account without an address, too: what it was given and what it agreed to are over, once for each end of its provider.
#[tokio::test]
async fn threat_48_s13_an_account_without_an_address_ends_with_its_provider() {
    for mut world in World::each_with(PROVIDER).await {
        erin(&world).await;
        let id = AccountId::new("erin");
        let find = async |world: &World| world.store.find_account(&id).await.unwrap().unwrap();
        let consent = identity::consent::Consent {
            id: "c".into(),
            account: id.clone(),
            client: "manager".into(),
            scopes: types::ScopeSet::parse("uma_policy").unwrap(),
            created: Timestamp(world.now()),
            resource: None,
            shown: None,
            was_narrowed: false,
        };
        let nameless = Account { email: None, email_verified: false, ..find(&world).await };
        let writes = vec![Write::PutAccount(nameless), Write::PutConsent(consent)];
        world.store.commit(Changes::of(writes)).await.unwrap();
        world.pass(5);
        let with_provider = format!("{PEOPLE}{PROVIDER}");
        world.start_again(&with_provider).await.unwrap();
        assert_eq!(find(&world).await.vouched_since, None, "{}", world.engine);
        assert_eq!(world.store.list_consents(&id).await.unwrap().len(), 1);
        world.start_again(PEOPLE).await.unwrap();
        let ended = find(&world).await.vouched_since;
        assert_eq!(ended, Some(Timestamp(world.now())), "{}", world.engine);
        assert!(world.store.list_consents(&id).await.unwrap().is_empty());
        // noted once; and anew where it comes back and goes again
        world.pass(5);
        world.start_again(PEOPLE).await.unwrap();
        assert_eq!(find(&world).await.vouched_since, ended);
        world.start_again(&with_provider).await.unwrap();
        assert_eq!(find(&world).await.vouched_since, ended);
        world.start_again(PEOPLE).await.unwrap();
        assert_eq!(find(&world).await.vouched_since, Some(Timestamp(world.now())));
    }
}

/// A passkey is lost: whoever came in by it is out, here and where this server's word let her in.
#[tokio::test]
async fn threat_48_s13_who_came_in_by_what_is_taken_away_is_out() {
    for world in World::each().await {
        let pat = world.pat().await;
        let (album, private) = (world.resource(&pat, "view").await, world.resource(&pat, "view").await);
        world.share(&album, "view", "carol@foo.example").await;
        let (carol, device) = (Browser::new(&world), Device::new(1));
        carol.log_in("carol").await;
        assert_eq!(add(&carol, &device).await.status, 303);
        let thief = Browser::new(&world);
        let page = thief.open("/login").await;
        assert_eq!(send(&thief, &page, "/login/passkey", &device.answer(&question(&page))).await.status, 303);
        let given = Given::to(&thief, &pat, &album).await;
        given.is_good(&world, &pat, &album).await;
        let under_way = shows_herself(&thief, "viewer", &pat, &album).await;
        let asked = by_page(&thief, "viewer", &pat, &private).await;
        let waiting = asked.refused(403, "request_submitted").get("ticket").to_owned();
        let page = carol.open("/account").await;
        assert!(page.text.contains("logs you out everywhere but here"), "{}", page.text);
        world.pass(1);
        let fields = [("what", "remove".to_owned()), ("id", base64url::encode(device.id))];
        assert_eq!(send(&carol, &page, "/account", &fields).await.status, 303);
        assert!(is_in(&carol).await && !is_in(&thief).await, "{}", world.engine);
        given.is_over(&world, &pat, &album).await;
        world.pass(1);
        world.trade("viewer", &under_way, &[]).await.refused(403, "need_info");
        // what the owner allows now, she allows to the person, and not to whoever waits in that person's name
        let pmt = world.access("manager").await;
        let listed = world.call("GET", "/uma/access-requests", &pmt, Value::Null).await;
        let path = format!("/uma/access-requests/{}", listed.ok(200).json[0]["_id"].as_str().unwrap());
        world.call("POST", &path, &pmt, serde_json::json!({"decision": "approve"})).await.ok(200);
        world.pass(10);
        assert_eq!(world.trade("viewer", &waiting, &[]).await.status, 403);
        Given::to(&carol, &pat, &album).await.is_good(&world, &pat, &album).await;
    }
}

/// The operator registers a client for less: what it had, it has no more.
#[tokio::test]
async fn what_a_client_is_registered_for_no_more_ends() {
    for mut world in World::each().await {
        let linked = {
            let alice = Browser::new(&world);
            alice.log_in("alice").await;
            crate::oauth::tokens(&alice).await
        };
        let (token, renews) = (linked.ok(200).get("access_token"), linked.get("refresh_token"));
        world.call("GET", "/uma/resources", token, Value::Null).await.ok(200);
        let own = "scope = \"uma_protection\"\nredirect_uris = [\"http://127.0.0.1:9000/callback\"]\nacts_for = \"alice\"";
        assert!(PEOPLE.contains(own));
        let less = PEOPLE.replace(own, &own.replace("uma_protection", "other"));
        world.start_again(&less).await.unwrap();
        world.call("GET", "/uma/resources", token, Value::Null).await.refused(401, "invalid_token");
        let renewed = world.token("photos-rs", &[("grant_type", "refresh_token"), ("refresh_token", renews)]).await;
        assert_eq!(renewed.ok(200).get("scope"), "openid profile");
        let token = renewed.get("access_token");
        world.call("GET", "/uma/resources", token, Value::Null).await.refused(403, "insufficient_scope");
    }
}
