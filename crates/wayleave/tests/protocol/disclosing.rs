//! Whom a resource server learns of (protocol.md 1.2, 4): a name of its own for each person, and her address only where she
//! was told so and went on.

use crate::interaction::{get, prove, visit};
use crate::oauth::Browser;
use crate::world::{Answer, World};
use serde_json::{Value, json};

const WANTED: (&str, &str) = ("disclose", "email");

/// Bob shows his address to the viewer, which first asks for a token with these fields: its next ticket.
async fn show(world: &World, pat: &str, album: &str, fields: &[(&str, &str)], keep: bool) -> String {
    let ticket = world.ticket(pat, album, "view").await;
    let next = world.trade("viewer", &ticket, fields).await.refused(403, "need_info").get("ticket").to_owned();
    let browser = Browser::new(world);
    let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &next)]).await;
    let (_, query) = prove(&browser, page, keep).await;
    get(&query, "ticket").unwrap()
}

async fn seen(world: &World, pat: &str, answer: &Answer) -> Value {
    world.introspect(pat, answer.ok(200).get("access_token")).await
}

#[tokio::test]
async fn a_resource_server_sees_an_address_only_where_the_person_was_told() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        for (first, then, email) in [
            (&[WANTED][..], &[WANTED][..], Some("bob@bar.example")),
            (&[WANTED], &[], Some("bob@bar.example")),
            // she was not told: asking behind her back brings nothing
            (&[], &[WANTED], None),
            (&[], &[], None),
        ] {
            let next = show(&world, &pat, &album, first, false).await;
            let got = world.trade("viewer", &next, then).await;
            let told = seen(&world, &pat, &got).await;
            assert_eq!(told["email"].as_str(), email, "{first:?} {then:?}");
            let refresh = [("grant_type", "refresh_token"), ("refresh_token", got.get("refresh_token"))];
            let refreshed = world.token("viewer", &refresh).await;
            let again = seen(&world, &pat, &refreshed).await;
            assert_eq!((&again["email"], &again["sub"]), (&told["email"], &told["sub"]));
        }
        // whoever is known by her own client's word was told nothing
        let ticket = world.ticket(&pat, &album, "view").await;
        let pushed = world.trade_as_bob("viewer", &ticket, &[WANTED]).await;
        assert_eq!(seen(&world, &pat, &pushed).await["email"], Value::Null);
        for bad in [("disclose", "name"), ("disclose", "email name")] {
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade_as_bob("viewer", &ticket, &[bad]).await.refused(400, "invalid_request");
        }
    }
}

#[tokio::test]
async fn the_page_says_who_will_see_the_address_and_the_endpoint_may_be_told_at_once() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    for more in [&[][..], &[WANTED]] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let browser = Browser::new(&world);
        browser.log_in("carol").await;
        let page = visit(&browser, &[&[("client_id", "viewer"), ("ticket", &*ticket)], more].concat()).await;
        let says = page.text.contains("and the application at <strong>127.0.0.1:9000</strong> will see your e-mail address");
        assert_eq!(says, !more.is_empty(), "{}", page.text);
        let (_, query) = browser.submit(&page, "/claims/continue", &[("decision", "approve")]).await.location();
        world.share(&album, "view", "carol@foo.example").await;
        let got = world.trade("viewer", &get(&query, "ticket").unwrap(), more).await;
        assert_eq!(seen(&world, &pat, &got).await["email"].as_str(), says.then_some("carol@foo.example"));
    }
    let ticket = world.ticket(&pat, &album, "view").await;
    let fields = [("client_id", "viewer"), ("ticket", &*ticket), ("disclose", "everything")];
    let (_, query) = Browser::new(&world).open(&format!("/claims?{}", crate::world::form(&fields))).await.location();
    assert_eq!(get(&query, "error").as_deref(), Some("invalid_request"));
}

#[tokio::test]
async fn what_one_resource_server_may_see_no_other_one_sees() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let music = world.access("music-rs").await;
        let song = world.resource(&music, "view").await;
        world.share(&song, "view", "bob@bar.example").await;
        let next = show(&world, &pat, &album, &[WANTED], true).await;
        let first = world.trade("viewer", &next, &[]).await;
        let at_photos = seen(&world, &pat, &first).await;
        let pct = first.get("pct").to_owned();
        let with = |fields: &[(&'static str, &'static str)]| {
            let kept = [("pct", pct.as_str())];
            kept.into_iter().chain(fields.iter().copied()).map(|(a, b)| (a.to_owned(), b.to_owned())).collect::<Vec<_>>()
        };
        for (pat, thing, fields, email) in [
            (&pat, &album, with(&[WANTED]), Some("bob@bar.example")),
            (&pat, &album, with(&[]), None),
            (&music, &song, with(&[WANTED]), None),
        ] {
            let ticket = world.ticket(pat, thing, "view").await;
            let fields: Vec<_> = fields.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
            let told = seen(&world, pat, &world.trade("viewer", &ticket, &fields).await).await;
            assert_eq!(told["email"].as_str(), email);
            assert_eq!(told["sub"] == at_photos["sub"], thing == &album);
        }
    }
}

/// One name at one resource server, whatever the client and the thing; another at each other one.
#[tokio::test]
async fn a_person_has_one_name_at_each_resource_server() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let other = world.resource(&pat, "view").await;
        let music = world.access("music-rs").await;
        let song = world.resource(&music, "view").await;
        for thing in [&other, &song] {
            world.share(thing, "view", "bob@bar.example").await;
        }
        let mut subs = Vec::new();
        for (pat, thing, client) in [(&pat, &album, "viewer"), (&pat, &other, "printer"), (&music, &song, "viewer")] {
            let ticket = world.ticket(pat, thing, "view").await;
            let told = seen(&world, pat, &world.trade_as_bob(client, &ticket, &[]).await).await;
            subs.push(told["sub"].as_str().unwrap().to_owned());
        }
        assert_eq!(subs[0], subs[1]);
        assert_ne!(subs[0], subs[2]);
        assert!(subs.iter().all(|sub| !sub.contains("bob")));
        // where no person is known, the client is who asks
        let open = world.resource(&pat, "view").await;
        world.share(&open, "view", "").await;
        let ticket = world.ticket(&pat, &open, "view").await;
        let told = seen(&world, &pat, &world.trade("viewer", &ticket, &[]).await).await;
        assert_eq!(told["sub"], json!("viewer"));
    }
}
