//! What was answered or ended does not come back by what was under way meanwhile (threat 48).

use crate::authority::Signer;
use crate::oauth::{Browser, CHALLENGE, VERIFIER};
use crate::world::{Answer, UMA, World, basic, form};
use identity::token::{Renewed, Renews};
use identity::token_text::{TokenKind, key_of};
use identity::{Changes, Requirement, Store, Write};
use jose::Algorithm;
use serde_json::{Value, json};
use std::sync::Arc;

const CALLBACK: &str = "http://127.0.0.1:9000/callback";
const FORM: (&str, &str) = ("content-type", "application/x-www-form-urlencoded");
const ROUNDS: usize = 12;

fn linking<'a>() -> [(&'a str, &'a str); 6] {
    [
        ("response_type", "code"),
        ("client_id", "photos-rs"),
        ("redirect_uri", CALLBACK),
        ("scope", "openid uma_protection"),
        ("code_challenge", CHALLENGE),
        ("code_challenge_method", "S256"),
    ]
}

fn member(answer: &Answer, name: &str) -> Option<String> {
    answer.location().1.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
}

pub(crate) async fn code(browser: &Browser<'_>) -> String {
    let page = browser.open(&format!("/authorize?{}", form(&linking()))).await;
    let back = match page.status {
        303 => page,
        _ => browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await,
    };
    member(&back, "code").unwrap()
}

#[tokio::test]
async fn threat_48_s13_a_refusal_answers_a_pushed_request() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let pushed = world.post("/par", "photos-rs", &linking()).await;
        let uri = pushed.ok(201).get("request_uri").to_owned();
        let ask = format!("/authorize?{}", form(&[("client_id", "photos-rs"), ("request_uri", &uri)]));
        let page = browser.open(&ask).await;
        let back = browser.submit(&page, "/authorize/decision", &[("decision", "deny")]).await;
        assert_eq!(member(&back, "error").as_deref(), Some("access_denied"));
        // she said no: neither the form that she still has, nor the link, asks her again
        let again = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await;
        assert_eq!((again.status, again.header("location")), (400, ""), "{}", world.engine);
        assert_eq!(browser.open(&ask).await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_48_s13_of_two_redemptions_one_succeeds_and_its_family_ends() {
    for world in World::each().await {
        let world = Arc::new(world);
        for _ in 0..ROUNDS {
            let browser = Browser::new(&world);
            browser.log_in("alice").await;
            let code = code(&browser).await;
            let redeem = |_: usize| {
                let (world, code) = (world.clone(), code.clone());
                tokio::spawn(async move {
                    let fields = [("grant_type", "authorization_code"), ("code", &*code), ("code_verifier", VERIFIER)];
                    world.token("photos-rs", &fields).await
                })
            };
            let (mut good, mut refused) = (Vec::new(), 0);
            for answer in (0..4).map(redeem).collect::<Vec<_>>() {
                let answer = answer.await.unwrap();
                if answer.status == 200 {
                    good.push(answer);
                } else {
                    answer.refused(400, "invalid_grant");
                    refused += 1;
                }
            }
            assert_eq!((good.len(), refused), (1, 3), "{}", world.engine);
            // RFC 6749 4.1.2: somebody else had the code as well, so that nobody keeps what came of it
            let (token, renewing) = (good[0].get("access_token"), good[0].get("refresh_token"));
            world.call("GET", "/uma/resources", token, Value::Null).await.refused(401, "invalid_token");
            let fields = [("grant_type", "refresh_token"), ("refresh_token", renewing)];
            world.token("photos-rs", &fields).await.refused(400, "invalid_grant");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_48_s13_a_deleted_client_is_not_written_again() {
    for world in World::each().await {
        let world = Arc::new(world);
        for _ in 0..ROUNDS {
            let metadata = json!({"grant_types": [UMA], "client_name": "Stranger"});
            let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
            let (id, secret) = (made.ok(201).get("client_id").to_owned(), made.get("client_secret").to_owned());
            let (path, token) = (format!("/register/{id}"), made.get("registration_access_token").to_owned());
            let call = |method: &'static str| {
                let (world, path, token, metadata) = (world.clone(), path.clone(), token.clone(), metadata.clone());
                tokio::spawn(async move { world.call(method, &path, &token, metadata).await })
            };
            let calls: Vec<_> = ["PUT", "PUT", "DELETE", "PUT", "PUT"].into_iter().map(call).collect();
            for call in calls {
                let answer = call.await.unwrap();
                assert!([200, 204, 401].contains(&answer.status), "{}", answer.text);
            }
            world.call("GET", &path, &token, Value::Null).await.refused(401, "invalid_token");
            let basic = basic(&id, &secret);
            let fields = form(&[("grant_type", UMA), ("ticket", "x")]);
            world.send("POST", "/token", &[FORM, ("authorization", &basic)], fields).await.refused(401, "invalid_client");
            assert_eq!(world.store.find_client_use(&id.as_str().into()).await.unwrap(), None, "{}", world.engine);
        }
    }
}

/// What a client that is gone was given is good for nobody.
#[tokio::test]
async fn threat_48_s13_rpts_end_with_their_client() {
    for world in World::each().await {
        let metadata = json!({"grant_types": [UMA, "refresh_token"], "scope": "download"});
        let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
        let (pat, id) = (world.pat().await, made.ok(201).get("client_id"));
        let album = world.resource(&pat, "view").await;
        world.share(&album, "view", "").await;
        let basic = basic(id, made.get("client_secret"));
        let fields = form(&[("grant_type", UMA), ("ticket", &world.ticket(&pat, &album, "view").await)]);
        let got = world.send("POST", "/token", &[FORM, ("authorization", &basic)], fields).await;
        let rpt = got.ok(200).get("access_token");
        assert_eq!(world.introspect(&pat, rpt).await["active"], true);
        let path = format!("/register/{id}");
        world.call("DELETE", &path, made.get("registration_access_token"), Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, rpt).await, json!({"active": false}), "{}", world.engine);
    }
}

/// She logs out while a page waits for her answer: what is saved for her rests on her session.
#[tokio::test]
async fn threat_48_s13_a_session_that_ended_answers_nothing() {
    for world in World::each().await {
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let page = browser.open(&format!("/authorize?{}", form(&linking()))).await;
        let cookie = browser.cookies.borrow().iter().find(|(name, _)| name == "wl_session").unwrap().1.clone();
        world.app.identity.end_session(&cookie).await.unwrap();
        let answer = browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await;
        assert_eq!((answer.status, answer.header("location")), (400, ""));
        // and the same where the log-out comes between the look at the session and the commit
        let ended = Requirement::SessionStands(identity::session::id_of(&cookie));
        let changes = Changes { requires: vec![ended], writes: vec![] };
        assert_eq!(world.store.commit(changes).await, Err(identity::CommitError::Changed));
    }
}

/// An RPT that two people once got together is not renewed (protocol.md 1.3).
#[tokio::test]
async fn threat_45_s11_what_two_people_got_is_not_renewed() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let renewing = world.bobs_rpt("viewer", &pat, &album).await.get("refresh_token").to_owned();
        let key = key_of(TokenKind::Refresh, &renewing).unwrap();
        let (mut kept, _) = world.store.find_refresh_token(&key).await.unwrap().unwrap();
        let Renews::Other(renewed) = &kept.renews else { panic!("an RPT") };
        let mut rpt: Value = renewed.read().unwrap();
        let mut second = rpt["requesting_party"][0].clone();
        second["sub"] = json!("carol");
        rpt["requesting_party"].as_array_mut().unwrap().push(second);
        kept.renews = Renews::Other(Renewed::of(&rpt).unwrap());
        world.store.commit(Changes::of(vec![Write::PutRefreshToken(key, kept)])).await.unwrap();
        let fields = [("grant_type", "refresh_token"), ("refresh_token", &*renewing)];
        world.token("viewer", &fields).await.refused(400, "invalid_grant");
    }
}

/// Protocol.md 1.5, 1.6: what ends with a client or with a resource is told as if it had ended by itself.
#[tokio::test]
async fn threat_48_s13_what_ends_with_something_else_is_told() {
    for world in World::each().await {
        let pmt = world.access("manager").await;
        let list = async |path: &str| world.call("GET", path, &pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone();
        let metadata = json!({"redirect_uris": ["https://app.example/"], "scope": "uma_protection"});
        let made = world.send("POST", "/register", &[("content-type", "application/json")], metadata.to_string()).await;
        let id = made.ok(201).get("client_id");
        let browser = Browser::new(&world);
        browser.log_in("alice").await;
        let mut asked = linking();
        (asked[1].1, asked[2].1) = (id, "https://app.example/");
        let page = browser.open(&format!("/authorize?{}", form(&asked))).await;
        browser.submit(&page, "/authorize/decision", &[("decision", "approve")]).await.ok(303);
        let path = format!("/register/{id}");
        world.pass(1);
        world.call("DELETE", &path, made.get("registration_access_token"), Value::Null).await.ok(204);
        let told = |events: &[Value], kind: &str| events.iter().any(|event| event["kind"] == kind && event["client_id"] == id);
        assert!(told(&list("/uma/events").await, "resource_server.unlinked"), "{}", world.engine);
        let receipts = list("/uma/consent-receipts").await;
        assert_eq!((&receipts[0]["client_id"], &receipts[0]["event"]), (&json!(id), &json!("withdrawn")));
        // and a share ends with what it was of
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let policy = world.share(&album, "view", "bob@bar.example").await;
        world.pass(1);
        world.call("DELETE", &format!("/uma/resources/{album}"), &pat, Value::Null).await.ok(204);
        let events = list("/uma/events").await;
        assert!(events.iter().any(|event| event["kind"] == "policy.deleted" && event["policy_id"] == policy), "{events:?}");
        let receipts = list("/uma/consent-receipts").await;
        assert_eq!((&receipts[0]["policy_id"], &receipts[0]["event"]), (&json!(policy), &json!("withdrawn")));
        world.call("GET", &format!("/uma/policies/{policy}"), &pmt, Value::Null).await.refused(404, "not_found");
    }
}

/// What was signed by a credential does not stay when that is withdrawn, however close the two come.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_48_s13_nothing_stays_that_a_withdrawn_credential_signed() {
    for world in World::each().await {
        let world = Arc::new(world);
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        crate::authority::photo(&world, &pat).await;
        for round in 0..ROUNDS {
            let alice = Signer::new(Algorithm::EdDsa);
            let id = alice.register(&world, &pmt).await;
            let post = |n: usize| {
                let token = alice.token(&world, &format!("r{round}-{n}"), json!({}));
                let (world, bearer) = (world.clone(), format!("Bearer {pmt}"));
                tokio::spawn(async move {
                    let headers = [("authorization", bearer.as_str()), ("content-type", "application/rot+jwt")];
                    world.send("POST", "/uma/policies", &headers, token).await.status
                })
            };
            let mut posts: Vec<_> = (0..3).map(post).collect();
            let withdrawn = {
                let (world, pmt, path) = (world.clone(), pmt.clone(), format!("/uma/credentials/{id}"));
                tokio::spawn(async move { world.call("DELETE", &path, &pmt, Value::Null).await.status })
            };
            posts.extend((3..6).map(post));
            assert_eq!(withdrawn.await.unwrap(), 204);
            for post in posts {
                assert!([201, 400].contains(&post.await.unwrap()));
            }
            let left = world.call("GET", "/uma/policies", &pmt, Value::Null).await;
            assert_eq!(left.ok(200).json, json!([]), "{}", world.engine);
        }
    }
}
