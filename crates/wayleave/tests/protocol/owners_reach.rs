//! An owner who is logged in lets a client reach what is hers as she does (protocol.md 1.4): where the page said so, as long as
//! she does not end it, and nowhere else.

use crate::interaction::{get, visit};
use crate::oauth::Browser;
use crate::world::{Answer, World, form};
use authorization_server::{Changes, Write};
use serde_json::json;

const REMEMBER: [(&str, &str); 2] = [("decision", "approve"), ("keep", "yes")];

/// Alice opens something in her browser, and lets the client remember her.
async fn enter(world: &World, browser: &Browser<'_>, pat: &str, resource: &str) -> String {
    let ticket = world.ticket(pat, resource, "view").await;
    let page = visit(browser, &[("client_id", "viewer"), ("ticket", &ticket)]).await;
    let (_, query) = browser.submit(&page, "/claims/continue", &REMEMBER).await.location();
    get(&query, "ticket").unwrap()
}

/// Carol's share of her own thing with Alice.
async fn share_of_carol(world: &World, resource: &str) {
    let pmt = world.access("carols-manager").await;
    let claims = json!([{"name": "email", "value": ["alice@foo.example"]}]);
    let policy = json!({"resource_id": resource, "resource_scopes": ["view"], "required_claims": claims});
    world.call("POST", "/uma/policies", &pmt, policy).await.ok(201);
}

/// She opened somebody else's thing, and no page said a word of hers.
#[tokio::test]
async fn threat_32_what_she_showed_for_somebody_elses_thing_opens_none_of_hers() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let carols = world.access("carols-rs").await;
        let diary = world.resource(&carols, "view").await;
        share_of_carol(&world, &diary).await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let next = enter(&world, &browser, &carols, &diary).await;
        let got = world.trade("viewer", &next, &[]).await;
        let (pct, rpt) = (got.ok(200).get("pct").to_owned(), got.get("access_token").to_owned());
        for more in [vec![("pct", pct.as_str())], vec![("pct", pct.as_str()), ("rpt", rpt.as_str())]] {
            let ticket = world.ticket(&pat, &album, "view edit delete").await;
            assert_ne!(world.trade("viewer", &ticket, &more).await.status, 200, "{more:?}");
        }
        // of what was shared with her it still brings who she is
        let ticket = world.ticket(&carols, &diary, "view").await;
        world.trade("viewer", &ticket, &[("pct", &pct)]).await.ok(200);
    }
}

/// Another resource server of hers was not on the page.
#[tokio::test]
async fn threat_32_a_client_reaches_her_things_at_the_place_that_was_named_alone() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let music = world.access("music-rs").await;
        let songs = world.resource(&music, "view").await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let next = enter(&world, &browser, &pat, &album).await;
        let got = world.trade("viewer", &next, &[]).await;
        let pct = got.ok(200).get("pct").to_owned();
        let ticket = world.ticket(&pat, &album, "view edit").await;
        world.trade("viewer", &ticket, &[("pct", &pct)]).await.ok(200);
        let ticket = world.ticket(&music, &songs, "view").await;
        assert_ne!(world.trade("viewer", &ticket, &[("pct", &pct)]).await.status, 200);
    }
}

/// She finds it among her applications; ended there, RPT, refresh token and PCT open nothing of hers any more.
#[tokio::test]
async fn threat_32_she_ends_what_a_client_reaches_as_she_does() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let next = enter(&world, &browser, &pat, &album).await;
        let got = world.trade("viewer", &next, &[]).await;
        let (rpt, pct) = (got.ok(200).get("access_token").to_owned(), got.get("pct").to_owned());
        assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
        let page = browser.open("/applications").await;
        assert!(page.text.contains("reach what is yours there, as you do"), "{}", page.text);
        let path = page.text.split("action=\"").find(|part| part.contains("/withdraw")).unwrap().split('"').next().unwrap();
        // a process that is under way rests on it too
        let under_way = enter(&world, &browser, &pat, &album).await;
        assert_eq!(browser.submit(&page, path, &[]).await.status, 303);
        assert_eq!(world.introspect(&pat, &rpt).await["active"], false);
        assert_ne!(world.trade("viewer", &under_way, &[]).await.status, 200);
        let refresh = [("grant_type", "refresh_token"), ("refresh_token", got.get("refresh_token"))];
        assert_ne!(world.token("viewer", &refresh).await.status, 200);
        for more in [vec![("pct", pct.as_str())], vec![("pct", pct.as_str()), ("rpt", rpt.as_str())]] {
            let ticket = world.ticket(&pat, &album, "view").await;
            assert_ne!(world.trade("viewer", &ticket, &more).await.status, 200);
        }
        assert!(!browser.open("/applications").await.text.contains("as you do"));
        // she may agree again
        let next = enter(&world, &browser, &pat, &album).await;
        world.trade("viewer", &next, &[]).await.ok(200);
    }
}

async fn registered(world: &World) -> Answer {
    let uma = "urn:ietf:params:oauth:grant-type:uma-ticket";
    let metadata = json!({"client_name": "Cutter", "grant_types": [uma], "scope": "view",
        "claims_redirect_uris": ["https://cutter.example/claims"]});
    let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
    made.ok(201);
    made
}

/// Whoever sits down at a browser that was left logged in gives no unknown application what is hers.
#[tokio::test]
async fn threat_32_an_unknown_application_gets_what_is_hers_after_a_fresh_log_in() {
    for world in World::each().await {
        let (_, album, _) = world.album().await;
        let made = registered(&world).await;
        let client = made.get("client_id");
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        world.pass(900);
        let pat = world.pat().await;
        let open = async || {
            let ticket = world.ticket(&pat, &album, "view").await;
            visit(&browser, &[("client_id", client), ("ticket", &ticket)]).await
        };
        let page = open().await;
        assert!(page.text.contains("log in once more first"), "{}", page.text);
        let (to, query) = browser.submit(&page, "/claims/continue", &REMEMBER).await.location();
        assert!(to.contains("/login") && get(&query, "again").is_some(), "{to}");
        let fields = [("username", "alice"), ("password", "alice-password")];
        let log_in =
            browser.open(&format!("/login?{}", form(&query.iter().map(|(a, b)| (&**a, &**b)).collect::<Vec<_>>()))).await;
        let back = browser.submit(&log_in, "/login", &fields).await;
        assert_eq!(back.status, 303, "{}", back.text);
        let page = browser.open(back.header("location")).await;
        assert!(!page.text.contains("log in once more first"), "{}", page.text);
        let (_, query) = browser.submit(&page, "/claims/continue", &REMEMBER).await.location();
        assert!(get(&query, "ticket").is_some());
        // what she agreed to goes on without
        world.pass(900);
        let page = open().await;
        assert!(!page.text.contains("log in once more first"));
    }
}

/// Nothing but that page makes such a consent: at the authorization endpoint its scope is asked for in vain.
#[tokio::test]
async fn threat_32_an_owners_reach_is_not_asked_for_as_a_scope() {
    for world in World::each().await {
        let metadata = json!({"client_name": "Cutter", "grant_types": ["authorization_code"], "scope": "as_owner openid",
            "redirect_uris": ["https://cutter.example/back"], "token_endpoint_auth_method": "none"});
        let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
        let client = made.ok(201).get("client_id");
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let asked = form(&[
            ("response_type", "code"),
            ("client_id", client),
            ("redirect_uri", "https://cutter.example/back"),
            ("scope", "as_owner"),
            ("code_challenge", "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM"),
            ("code_challenge_method", "S256"),
        ]);
        let answer = browser.open(&format!("/authorize?{asked}")).await;
        let told = format!("{} {}", answer.header("location"), answer.text);
        assert!(told.contains("invalid_scope") || told.contains("as_owner"), "{} {told}", answer.status);
        assert!(!told.contains("/authorize/decision"), "no consent is asked for: {told}");
        let alice = world.app.identity.store.find_account_by_username("alice").await.unwrap().unwrap().id;
        assert!(world.app.identity.store.list_consents(&alice).await.unwrap().iter().all(|one| !one.scopes.has("as_owner")));
    }
}

/// What an application asks for at the token endpoint that registered by itself.
async fn ask_as(world: &World, made: &Answer, fields: &[(&str, &str)]) -> Answer {
    let basic = crate::world::basic(made.get("client_id"), made.get("client_secret"));
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", basic.as_str())];
    world.send("POST", "/token", &headers, form(fields)).await
}

async fn change(world: &World, made: &Answer, members: &serde_json::Value) -> Answer {
    let mut metadata = made.json.clone();
    for own in ["registration_access_token", "registration_client_uri", "client_id_issued_at", "client_secret_expires_at"] {
        metadata.as_object_mut().unwrap().remove(own);
    }
    for (name, value) in members.as_object().unwrap() {
        metadata[name] = value.clone();
    }
    let path = format!("/register/{}", made.get("client_id"));
    world.call("PUT", &path, made.get("registration_access_token"), metadata).await
}

/// Under another name, or leading elsewhere, it is another one to her: what she let it reach ends, and what was told of it
/// before is told by the name that it had.
#[tokio::test]
async fn threat_36_an_application_that_calls_itself_something_else_reaches_nothing_of_hers() {
    for changed in
        [json!({"client_name": "Alice's pictures"}), json!({"claims_redirect_uris": ["https://scissors.example/claims"]})]
    {
        for world in World::each().await {
            let (pat, album, _) = world.album().await;
            let made = registered(&world).await;
            let (client, browser) = (made.get("client_id").to_owned(), Browser::new(&world));
            browser.log_in("alice").await;
            let ticket = world.ticket(&pat, &album, "view").await;
            let page = visit(&browser, &[("client_id", &client), ("ticket", &ticket)]).await;
            let (_, query) = browser.submit(&page, "/claims/continue", &REMEMBER).await.location();
            let next = get(&query, "ticket").unwrap();
            let uma = "urn:ietf:params:oauth:grant-type:uma-ticket";
            let got = ask_as(&world, &made, &[("grant_type", uma), ("ticket", &next)]).await;
            let (rpt, pct) = (got.ok(200).get("access_token").to_owned(), got.get("pct").to_owned());
            let applications = browser.open("/applications").await;
            assert!(
                applications.text.contains("“Cutter”") && applications.text.contains("cutter.example"),
                "{}",
                applications.text
            );
            // what says the same again changes nothing
            change(&world, &made, &json!({"scope": "view edit"})).await.ok(200);
            assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
            world.pass(2);
            change(&world, &made, &changed).await.ok(200);
            assert_eq!(world.introspect(&pat, &rpt).await["active"], false, "{changed}");
            let history = browser.open("/my/history").await;
            assert!(history.text.contains("“Cutter”") && !history.text.contains("pictures"), "{}", history.text);
            let ticket = world.ticket(&pat, &album, "view").await;
            let again = ask_as(&world, &made, &[("grant_type", uma), ("ticket", &ticket), ("pct", &pct)]).await;
            assert_ne!(again.status, 200, "{changed}");
            assert!(!browser.open("/applications").await.text.contains("as you do"), "{changed}");
            // and not when it is what it was before
            change(&world, &made, &json!({})).await.ok(200);
            assert_eq!(world.introspect(&pat, &rpt).await["active"], false);
        }
    }
}

/// A registration is renamed so often, and then keeps its name: each is kept, for what is told of that time.
#[tokio::test]
async fn threat_36_names_of_an_application_are_kept_and_are_not_without_end() {
    let world = World::one().await;
    let made = registered(&world).await;
    for n in 0..20 {
        change(&world, &made, &json!({"client_name": format!("Cutter {n}")})).await.ok(200);
        world.pass(60);
    }
    change(&world, &made, &json!({"client_name": "Cutter 19"})).await.ok(200);
    let full = change(&world, &made, &json!({"client_name": "Scissors"})).await;
    full.refused(400, "invalid_client_metadata");
    let client = world.app.identity.store.find_client(&types::ClientId::new(made.get("client_id"))).await.unwrap().unwrap();
    let at = |seconds: i64| client.display_name_at(types::Timestamp(crate::world::START + seconds));
    assert_eq!([at(0), at(1), at(61), at(5_000)], ["Cutter", "Cutter 0", "Cutter 1", "Cutter 19"]);
}

/// What this server said of an account that the operator has taken out since opens nothing, however it was kept.
#[tokio::test]
async fn threat_36_nobody_acts_for_an_account_that_is_gone() {
    for world in World::each().await {
        let carols = world.access("carols-rs").await;
        let diary = world.resource(&carols, "view").await;
        share_of_carol(&world, &diary).await;
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let next = enter(&world, &browser, &carols, &diary).await;
        let got = world.trade("viewer", &next, &[]).await;
        let (rpt, pct) = (got.ok(200).get("access_token").to_owned(), got.get("pct").to_owned());
        // nothing is asked of the RPT before: an answer is kept until something of it changes, and accounts close at a start alone
        let identity = &world.app.identity;
        let alice = identity.store.find_account_by_email("alice@foo.example").await.unwrap().unwrap();
        identity.close_account(alice).await.unwrap();
        assert_eq!(world.introspect(&carols, &rpt).await, json!({"active": false}));
        let ticket = world.ticket(&carols, &diary, "view").await;
        world.trade("viewer", &ticket, &[("pct", &pct)]).await.refused(403, "need_info");
        let fields = [("grant_type", "refresh_token"), ("refresh_token", got.get("refresh_token"))];
        world.token("viewer", &fields).await.refused(400, "invalid_grant");
    }
}

/// Shared in more ways than are judged at once: an owner gets in to what is hers all the same, and others ask for less.
#[tokio::test]
async fn threat_46_what_is_shared_too_often_does_not_shut_out_its_owner() {
    for world in World::each().await {
        let pat = world.pat().await;
        let (mut asked, mut writes) = (Vec::new(), Vec::new());
        let alice = world.app.identity.find_account_by_username("alice").await.unwrap().unwrap().id;
        for thing in 0..6 {
            let id = world.resource(&pat, "view").await;
            let share = json!({"resource_id": id, "resource_scopes": ["view"], "required_claims": []});
            for n in 0..1_700 {
                let (document, now) = (serde_json::from_value(share.clone()).unwrap(), types::Timestamp(world.now()));
                let (id, owner) = (types::PolicyId::new(format!("p{thing}-{n}")), alice.clone());
                writes.push(Write::PutPolicy(rules::Policy::from_document(document, id, owner, 0, now).unwrap()));
            }
            asked.push(json!({"resource_id": id, "resource_scopes": ["view"]}));
        }
        world.store.commit_changes(Changes::of(writes)).await.unwrap();
        let ticket = async || {
            let answer = world.call("POST", "/uma/permissions", &pat, json!(asked)).await;
            answer.ok(201).get("ticket").to_owned()
        };
        let refused = world.trade_as_bob("viewer", &ticket().await, &[]).await;
        assert!(refused.refused(400, "invalid_request").get("error_description").contains("fewer of them"));
        let needs = world.trade("viewer", &ticket().await, &[]).await;
        let next = needs.refused(403, "need_info").get("ticket").to_owned();
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &next)]).await;
        let (_, query) = browser.submit(&page, "/claims/continue", &REMEMBER).await.location();
        let got = world.trade("viewer", &get(&query, "ticket").unwrap(), &[]).await;
        let seen = world.introspect(&pat, got.ok(200).get("access_token")).await;
        assert_eq!(crate::world::scopes_of(&seen).len(), 6);
    }
}
