//! Who reads the name of somebody who asks in what an owner signed (decision 0066): the claims page says it, and says no more.

use crate::authority::{Signer, photo, post};
use crate::desk::{Desk, Sitting};
use crate::desk_lies::{BOB, claims_of, linked, sign};
use crate::interaction::{get, visit};
use crate::oauth::Browser;
use crate::world::World;
use jose::Algorithm;
use serde_json::{Value, json};

/// Declared applications; tokens of one of them are such as it can read.
const READERS: &str = r#"
[[client]]
client_id = "jwt-page"
client_secret = "jwt-secret"
name = "Reader"
access_token_format = "jwt"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket"]
claims_redirect_uris = ["http://127.0.0.1:9007/claims"]
"#;
const CAROL: &str = "carol@foo.example";
const PROMISE: &str = "itself does not see it: it only learns whether you may come in";
const CONDITION: &str = "It does not see your address, unless the owner signs a share herself that names it";
const NAMED: &str = "The owner has signed this share herself, and it names your address.";

/// What the page says to Carol, and what the application reads in the RPT that it gets when she goes on.
async fn ask(world: &World, pat: &str, thing: &str, client: &str) -> (String, String) {
    let browser = Browser::new(world);
    browser.log_in("carol").await;
    let ticket = world.ticket(pat, thing, "view").await;
    let page = visit(&browser, &[("client_id", client), ("ticket", &ticket)]).await;
    let (_, query) = browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.location();
    let got = world.trade(client, &get(&query, "ticket").unwrap(), &[]).await;
    let token = got.get("access_token").split('.').nth(1).and_then(jose::base64url::decode).unwrap_or_default();
    (page.text, String::from_utf8(token).unwrap())
}

/// What an RPT carries of signed texts, read whole.
fn texts_of(claims: &str) -> Vec<Value> {
    let claims: Value = serde_json::from_str(claims).unwrap_or_default();
    let texts = claims["permissions"].as_array().into_iter().flatten().filter_map(|one| one["authority"].as_str());
    let body = |text: &str| jose::base64url::decode(text.split('.').nth(1).unwrap()).unwrap();
    texts.map(|text| serde_json::from_slice(&body(text)).unwrap()).collect()
}

#[tokio::test]
async fn the_page_says_who_can_read_an_address_that_the_owner_signed() {
    for engine in ["memory", "sqlite"] {
        let world = World::on(engine, READERS).await;
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let (photo, alice) = (photo(&world, &pat).await, Signer::new(Algorithm::EdDsa));
        alice.register(&world, &pmt).await;
        let sign = |jti: &'static str, party: Value| alice.token(&world, jti, json!({"allowed_rqp": party}));
        world.share(&photo, "view", CAROL).await;
        // nothing is signed, and may be while she waits; what names others, another application, or what is over, is none of hers
        post(&world, &pmt, &sign("bobs", json!({"claims": {"email": "bob@bar.example"}}))).await.ok(201);
        post(&world, &pmt, &sign("others", json!({"client_id": "printer", "claims": {"email": CAROL}}))).await.ok(201);
        post(&world, &pmt, &sign("anyones", json!({}))).await.ok(201);
        let (page, _) = ask(&world, &pat, &photo, "viewer").await;
        assert!(page.contains(PROMISE) && !page.contains(CONDITION) && !page.contains(NAMED), "{page}");
        let (page, read) = ask(&world, &pat, &photo, "jwt-page").await;
        assert!(page.contains(CONDITION) && !page.contains(PROMISE) && !page.contains(NAMED), "{page}");
        assert!(!read.contains(CAROL) && texts_of(&read).iter().all(|text| !text.to_string().contains('@')), "{read}");
        // she is named
        post(&world, &pmt, &sign("hers", json!({"claims": {"email": ["Carol@FOO.example", "dave@foo.example"]}}))).await.ok(201);
        let (page, read) = ask(&world, &pat, &photo, "viewer").await;
        assert!(page.contains(NAMED) && page.contains("Viewer itself cannot") && !page.contains(PROMISE), "{page}");
        assert!(page.contains("the application at <strong>127.0.0.1:9000</strong> can read it"), "{page}");
        assert_eq!(read, "");
        let (page, read) = ask(&world, &pat, &photo, "jwt-page").await;
        let both = "<strong>Reader</strong> (127.0.0.1:9007) and the application at <strong>127.0.0.1:9000</strong> can read it";
        assert!(page.contains(NAMED) && page.contains(both) && !page.contains(PROMISE), "{page}");
        assert!(texts_of(&read).iter().any(|text| text.to_string().contains("Carol@FOO.example")), "{read}");
        // of another thing nothing is signed
        let album = world.resource(&pat, "view").await;
        assert!(!ask(&world, &pat, &album, "jwt-page").await.0.contains(NAMED));
        // and before anybody is known, nothing is said of it
        let ticket = world.ticket(&pat, &photo, "view").await;
        let stranger = Browser::new(&world);
        let page = visit(&stranger, &[("client_id", "jwt-page"), ("ticket", &ticket)]).await;
        assert!(!page.text.contains(NAMED), "{}", page.text);
    }
}

/// One that registered by itself may choose another form of its tokens behind the page.
#[tokio::test]
async fn an_application_that_nobody_declared_is_promised_for_by_nobody() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    world.share(&album, "view", CAROL).await;
    let metadata = json!({"client_name": "Helper", "token_endpoint_auth_method": "none",
        "grant_types": ["urn:ietf:params:oauth:grant-type:uma-ticket"], "redirect_uris": ["https://helper.example/back"],
        "claims_redirect_uris": ["https://helper.example/claims"]});
    let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
    let client = made.ok(201).get("client_id").to_owned();
    let browser = Browser::new(&world);
    browser.log_in("carol").await;
    let ticket = world.ticket(&pat, &album, "view").await;
    let page = visit(&browser, &[("client_id", &client), ("ticket", &ticket)]).await;
    assert!(page.text.contains(CONDITION) && !page.text.contains(PROMISE), "{}", page.text);
}

/// What one person's program gets with a share names nobody else, and no other thing.
#[tokio::test]
async fn a_desk_signs_one_text_for_each_person_and_thing() {
    let desk = Desk::open().await;
    let mut alice = Sitting::of(&desk, "alice").await;
    let (guard, _keeper) = linked(&mut alice, 2).await;
    let texts = sign(&mut alice, &guard).await;
    assert_eq!(texts.len(), 2);
    for text in texts {
        let claims = claims_of(&text);
        assert_eq!(claims["allowed_rqp"], json!({"claims": {"email": BOB}}), "{claims}");
        assert_eq!(claims["resources"].as_array().unwrap().len(), 1, "{claims}");
    }
    for several in
        ["bob@bar.example, carol@foo.example", "bob@bar.example;carol@foo.example", "bob@bar.example carol@foo.example"]
    {
        let fields = [("all", "yes"), ("email", several), ("scope", "view"), ("sign", "yes"), ("step", "review")];
        let page = alice.post("/share", &fields).await;
        assert!(page.text.contains("is no e-mail address"), "{several}: {}", page.text);
    }
}
