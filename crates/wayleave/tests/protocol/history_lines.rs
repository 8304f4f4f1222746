//! What an owner's history says of others: of everybody who was let in, to which thing, and of those who ask in vain once
//! (threats 32 and 41).

use crate::crowd::{clients, token_by_own_key};
use crate::oauth::Browser;
use crate::world::{ID_TOKEN, World};
use serde_json::{Value, json};

/// One ticket of nobody is traded again and again, and each answer brings the next: her history does not fill with it.
#[tokio::test]
async fn threat_41_s16_one_ticket_of_nobody_fills_no_history() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let pmt = world.access("manager").await;
        let refusals = async || {
            let all = world.call("GET", "/uma/events?limit=1000", &pmt, Value::Null).await;
            all.ok(200).json.as_array().unwrap().iter().filter(|event| event["kind"] == "rpt.refused").count()
        };
        let mut ticket = world.ticket(&pat, &album, "view").await;
        for _ in 0..50 {
            ticket = world.trade("viewer", &ticket, &[]).await.refused(403, "need_info").get("ticket").to_owned();
        }
        assert_eq!(refusals().await, 1);
        // what is said anew, or of somebody else, is a line of its own
        let pushed = |name: &str| {
            let token = world.id_token("viewer", json!({"sub": name, "email": format!("{name}@bar.example")}));
            [("claim_token", token), ("claim_token_format", ID_TOKEN.to_owned()), ("ask_owner", "false".to_owned())]
        };
        for name in ["carl", "carl", "dora"] {
            let ticket = world.ticket(&pat, &album, "edit").await;
            let fields = pushed(name);
            let fields: Vec<(&str, &str)> = fields.iter().map(|(name, value)| (*name, value.as_str())).collect();
            world.trade("viewer", &ticket, &fields).await.refused(403, "request_denied");
        }
        assert_eq!(refusals().await, 3);
        world.pass(3_600);
        world.trade("viewer", &world.ticket(&world.pat().await, &album, "view").await, &[]).await.refused(403, "need_info");
        let pmt = world.access("manager").await;
        let all = world.call("GET", "/uma/events?limit=1000", &pmt, Value::Null).await;
        assert_eq!(all.ok(200).json.as_array().unwrap().iter().filter(|event| event["kind"] == "rpt.refused").count(), 4);
    }
}

/// What was tried with a spent ticket, and what is said by keys of one's own, uses up nothing of what is told of who was let in.
#[tokio::test]
async fn threat_41_s16_who_is_let_in_is_told_whatever_was_tried_before() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let lines = async || {
            let all = world.call("GET", "/uma/events?limit=1000", &world.access("manager").await, Value::Null).await;
            let all = all.ok(200).json.as_array().unwrap().clone();
            all.into_iter().filter(|event| event["kind"] == "rpt.issued").count()
        };
        let ticket = world.ticket(&pat, &album, "view").await;
        assert_eq!(world.trade_as_bob("viewer", &ticket, &[]).await.status, 200);
        for _ in 0..30 {
            world.trade_as_bob("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        }
        world.bobs_rpt("viewer", &pat, &album).await;
        assert_eq!(lines().await, 2);
        // more keys do not make him another person
        let pct = world.bobs_rpt("viewer", &pat, &album).await.get("pct").to_owned();
        for _ in 0..40 {
            let (ticket, token) = (world.ticket(&pat, &album, "view").await, token_by_own_key(&world, "viewer"));
            let fields = [("pct", pct.as_str()), ("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
            assert_eq!(world.trade("viewer", &ticket, &fields).await.status, 200);
        }
        assert_eq!(lines().await, 20);
    }
}

/// One line of her history names each thing that somebody gets, also where he had another before.
#[tokio::test]
async fn threat_32_each_thing_that_somebody_gets_is_named() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let other = world.resource(&pat, "view").await;
        world.share(&other, "view", "bob@bar.example").await;
        let named = async || {
            let all = world.call("GET", "/uma/events?limit=1000", &world.access("manager").await, Value::Null).await;
            let all = all.ok(200).json.as_array().unwrap().clone();
            let of_rpts = all.into_iter().filter(|event| event["kind"].as_str().unwrap().starts_with("rpt."));
            let things = of_rpts.map(|event| event["resource_id"].as_str().unwrap_or_default().to_owned());
            things.collect::<std::collections::BTreeSet<_>>()
        };
        for (first, second) in [(&album, &other), (&other, &album)] {
            let rpt = world.bobs_rpt("viewer", &pat, first).await.get("access_token").to_owned();
            let ticket = world.ticket(&pat, second, "view").await;
            let upgraded = world.trade_as_bob("viewer", &ticket, &[("rpt", &rpt)]).await;
            assert_eq!(upgraded.ok(200).json["upgraded"], true);
            assert_eq!(named().await, [album.clone(), other.clone()].into());
        }
    }
}

/// Of what is open to everybody, a crowd is one line; whom a policy names is read among them (decision 46).
#[tokio::test]
async fn threat_41_s16_a_crowd_at_an_open_thing_hides_nobody_who_is_named() {
    for world in World::each_with(&clients(130)).await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view edit").await;
        world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []})).await;
        world.share(&album, "edit", "bob@bar.example").await;
        let enter = async |client: String| world.trade(&client, &world.ticket(&pat, &album, "view").await, &[]).await;
        for n in 0..120 {
            world.call_from(format!("10.0.{}.1", if n % 4 == 0 { n } else { 200 }).parse().unwrap());
            enter(format!("c{n}")).await.ok(200);
        }
        let bob = world.trade_as_bob("viewer", &world.ticket(&pat, &album, "edit").await, &[]).await;
        bob.ok(200);
        let pmt = world.access("manager").await;
        let issued = async || {
            let all = world.call("GET", "/uma/events?limit=1000", &pmt, Value::Null).await;
            let all = all.ok(200).json.as_array().unwrap().clone();
            all.into_iter().filter(|event| event["kind"] == "rpt.issued").collect::<Vec<_>>()
        };
        let lines = issued().await;
        let bobs = lines.iter().filter(|line| line["client_id"] == "viewer").count();
        assert_eq!((lines.len(), bobs), (101, 1));
        world.pass(600);
        world.app.authorization_server.tell_crowds().await.unwrap();
        let lines = issued().await;
        let told = lines.iter().find(|line| line["claims"].get("different").is_some()).unwrap();
        assert_eq!((lines.len(), &told["resource_id"], &told["scopes"]), (102, &json!(album), &json!(["view"])));
        assert_eq!(told["claims"], json!({"different": 20, "times": 20, "of_one_network": 15}), "{told}");
        assert!(told.get("client_id").is_none());
        world.app.authorization_server.tell_crowds().await.unwrap();
        assert_eq!(issued().await.len(), 102, "once");
        let alice = Browser::new(&world);
        alice.log_in("alice").await;
        let page = alice.open("/my/history").await;
        assert!(page.ok(200).text.contains("at least 20 more people or applications"), "{}", page.text);
    }
}

/// A line of several things names some of them, and the page the others; nothing of it is nameless.
#[tokio::test]
async fn a_line_names_each_thing_that_it_is_about() {
    for world in World::each().await {
        let (pat, browser) = (world.pat().await, Browser::new(&world));
        browser.log_in("alice").await;
        let mut wanted = Vec::new();
        for n in 0..25 {
            let thing = json!({"resource_scopes": ["view"], "name": format!("Album {n}")});
            let made = world.call("POST", "/uma/resources", &pat, thing).await;
            wanted.push(json!({"resource_id": made.ok(201).get("_id"), "resource_scopes": ["view"]}));
        }
        let ticket = world.call("POST", "/uma/permissions", &pat, json!(wanted)).await.ok(201).get("ticket").to_owned();
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_submitted");
        let page = browser.open("/my/history").await.text;
        let line = page.split("Somebody asked you: Album ").nth(1).unwrap().split("</li><li><div").next().unwrap();
        assert!(line.contains(" and 22 more") && line.contains("<summary>Which things</summary>"), "{line}");
        assert_eq!((line.matches("<li>Album ").count(), line.contains("<li>and 5 more</li>")), (20, true), "{line}");
        // for programs all of them, and the chain holds
        let pmt = world.access("manager").await;
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await;
        let asked = events.ok(200).json.as_array().unwrap().iter().find(|event| event["kind"] == "request.submitted").unwrap();
        assert_eq!(asked["resource_ids"].as_array().unwrap().len(), 25);
        assert_eq!(asked["resource_ids"][0], asked["resource_id"]);
    }
}
