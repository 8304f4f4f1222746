//! What a crowd can do to one owner: her inbox (protocol.md 1.4, case S15), and her changes beside many grants (S28, S42).

use crate::interaction::{get, visit};
use crate::oauth::Browser;
use crate::world::{Answer, ID_TOKEN, World};
use futures_util::future::join_all;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::sync::Arc;

const INBOX: &str = "/uma/access-requests";

/// So many more clients: `c0` and so on.
pub(crate) fn clients(count: usize) -> String {
    (0..count).fold(String::new(), |mut all, n| {
        let _ = write!(
            all,
            "[[client]]\nclient_id = \"c{n}\"\nclient_secret = \"c{n}-secret\"\nmay_push_claims = true\n\
             grant_types = [\"urn:ietf:params:oauth:grant-type:uma-ticket\"]\n"
        );
        all
    })
}

/// What somebody says of herself by a key that she has just made.
pub(crate) fn token_by_own_key(world: &World, client: &str) -> String {
    let key = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let did = jose::did::of_key(key.public());
    let now = world.now();
    key.sign_as("JWT", &did, &json!({"iss": did, "sub": did, "aud": client, "iat": now, "exp": now + 60})).unwrap()
}

/// Somebody whom nobody knows asks, by a key of her own.
async fn ask_as_stranger(world: &World, client: &str, pat: &str, album: &str) -> Answer {
    let token = token_by_own_key(world, client);
    let ticket = world.ticket(pat, album, "view").await;
    world.trade(client, &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await
}

async fn ask_from(world: &World, address: &str, client: &str, pat: &str, album: &str) -> Answer {
    let name = address.split('@').next().unwrap();
    let token = world.id_token(client, json!({"sub": name, "email": address}));
    let ticket = world.ticket(pat, album, "view").await;
    world.trade(client, &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await
}

async fn inbox(world: &World) -> Vec<Value> {
    let pmt = world.access("manager").await;
    let all = world.call("GET", &format!("{INBOX}?limit=1000"), &pmt, Value::Null).await;
    all.ok(200).json.as_array().unwrap().iter().filter(|one| one["state"] == "pending").cloned().collect()
}

fn of_bob(requests: &[Value]) -> usize {
    requests.iter().filter(|one| one["requesting_party"]["email"] == "bob@bar.example").count()
}

#[tokio::test]
async fn threat_41_s15_strangers_do_not_push_out_who_is_known() {
    for world in World::each_with(&clients(41)).await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        ask_from(&world, "bob@bar.example", "viewer", &pat, &album).await.refused(403, "request_submitted");
        for n in 0..205 {
            world.call_from(format!("10.0.{n}.1").parse().unwrap());
            ask_as_stranger(&world, &format!("c{}", n % 41), &pat, &album).await.refused(403, "request_submitted");
        }
        let requests = inbox(&world).await;
        assert_eq!((requests.len(), of_bob(&requests)), (21, 1));
    }
}

#[tokio::test]
async fn threat_41_s15_one_client_or_one_network_of_strangers_has_five() {
    for world in World::each_with(&clients(12)).await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        world.call_from("192.0.2.7".parse().unwrap());
        let first = ask_as_stranger(&world, "c0", &pat, &album).await;
        // one network - an IPv6 one is its /48 - with many clients
        for n in 1..12 {
            world.call_from(format!("2001:db8:7:{n}::{n}").parse().unwrap());
            ask_as_stranger(&world, &format!("c{n}"), &pat, &album).await.refused(403, "request_submitted");
        }
        assert_eq!(inbox(&world).await.len(), 6);
        // one client from many networks
        for n in 0..9 {
            world.call_from(format!("10.{n}.0.1").parse().unwrap());
            ask_as_stranger(&world, "c11", &pat, &album).await.refused(403, "request_submitted");
        }
        assert_eq!(inbox(&world).await.iter().filter(|one| one["client"]["client_id"] == "c11").count(), 5);
        world.pass(6);
        world.trade("c0", first.get("ticket"), &[]).await.refused(403, "request_submitted");
    }
}

/// What gave way is over: its process does not ask again by polling, and so push out others for ever.
#[tokio::test]
async fn threat_41_s15_what_gave_way_or_was_withdrawn_is_not_asked_again() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let mut first = None;
        for _ in 0..6 {
            world.pass(1);
            let answer = ask_as_stranger(&world, "viewer", &pat, &album).await;
            first.get_or_insert(answer.refused(403, "request_submitted").get("ticket").to_owned());
        }
        let before = inbox(&world).await;
        world.pass(6);
        world.trade("viewer", &first.unwrap(), &[]).await.refused(403, "request_denied");
        assert_eq!(inbox(&world).await, before);
        // nor what the owner took out herself
        let asked = ask_from(&world, "bob@bar.example", "viewer", &pat, &album).await;
        let bobs = inbox(&world).await.iter().find(|one| of_bob(std::slice::from_ref(one)) == 1).cloned().unwrap();
        let pmt = world.access("manager").await;
        let path = format!("{INBOX}/{}", bobs["_id"].as_str().unwrap());
        world.call("DELETE", &path, &pmt, Value::Null).await.ok(204);
        world.pass(6);
        world.trade("viewer", asked.get("ticket"), &[]).await.refused(403, "request_denied");
        assert_eq!(of_bob(&inbox(&world).await), 0);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_41_s15_fifty_at_once_do_not_exceed_the_limit() {
    for world in World::each_with(&clients(10)).await {
        let world = Arc::new(world);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let rush = async |known: bool| {
            let tasks = (0..50).map(|n| {
                let (world, pat, album) = (world.clone(), pat.clone(), album.clone());
                tokio::spawn(async move {
                    match known {
                        true => ask_from(&world, &format!("b{n}@bar.example"), "viewer", &pat, &album).await,
                        false => ask_as_stranger(&world, &format!("c{}", n % 10), &pat, &album).await,
                    }
                })
            });
            join_all(tasks).await.into_iter().map(|answer| answer.unwrap().get("error").to_owned()).collect::<Vec<_>>()
        };
        let answers = rush(true).await;
        assert_eq!(answers.iter().filter(|error| *error == "request_submitted").count(), 20, "{answers:?}");
        assert_eq!(answers.iter().filter(|error| *error == "request_denied").count(), 30, "{answers:?}");
        let answers = rush(false).await;
        assert!(answers.iter().all(|error| error == "request_submitted"), "{answers:?}");
        // all from one place, which is one network
        assert_eq!(inbox(&world).await.len(), 25);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn one_who_asks_fifty_times_at_once_asks_once() {
    for world in World::each().await {
        let world = Arc::new(world);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let same = (0..50).map(|_| {
            let (world, pat, album) = (world.clone(), pat.clone(), album.clone());
            tokio::spawn(async move { ask_from(&world, "bob@bar.example", "viewer", &pat, &album).await })
        });
        assert!(join_all(same).await.into_iter().all(|answer| answer.unwrap().get("error") == "request_submitted"));
        assert_eq!(inbox(&world).await.len(), 1);
    }
}

#[tokio::test]
async fn a_message_to_the_owner_is_short_plain_and_quoted() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        for bad in ["x".repeat(281), "a\nb".into(), "a\u{7}b".into(), "a\u{202e}b".into(), "\u{85}".into()] {
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade_as_bob("viewer", &ticket, &[("owner_message", &bad)]).await.refused(400, "invalid_request");
            world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        }
        assert_eq!(inbox(&world).await.len(), 0);
        let said = "ü".repeat(280);
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade_as_bob("viewer", &ticket, &[("owner_message", &said)]).await.refused(403, "request_submitted");
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade_as_bob("viewer", &ticket, &[("owner_message", "another")]).await.refused(403, "request_submitted");
        let requests = inbox(&world).await;
        assert_eq!((requests.len(), requests[0]["message"].as_str()), (1, Some(&*said)));
    }
}

#[tokio::test]
async fn an_owner_is_not_asked_where_the_client_only_wants_to_know() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let ticket = world.ticket(&pat, &album, "edit").await;
        let answer = world.trade_as_bob("viewer", &ticket, &[("ask_owner", "false")]).await;
        assert_eq!(answer.refused(403, "request_denied").json["may_ask"], true);
        assert!(answer.json.get("ticket").is_none());
        assert_eq!(inbox(&world).await.len(), 0);
        world.trade("viewer", &ticket, &[]).await.refused(400, "invalid_grant");
        // what policies ask for comes first, and what is granted is granted
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade("viewer", &ticket, &[("ask_owner", "false")]).await.refused(403, "need_info");
        let ticket = world.ticket(&pat, &album, "view edit").await;
        world.trade_as_bob("viewer", &ticket, &[("ask_owner", "false")]).await.ok(200);
        // where she cannot be asked either, nothing is said of it
        let pmt = world.access("manager").await;
        world.call("PUT", "/uma/owner-settings", &pmt, json!({"no_policy": "deny"})).await.ok(200);
        let ticket = world.ticket(&pat, &album, "edit").await;
        let answer = world.trade_as_bob("viewer", &ticket, &[("ask_owner", "false")]).await;
        assert!(answer.refused(403, "request_denied").json.get("may_ask").is_none());
        let ticket = world.ticket(&pat, &album, "edit").await;
        world.trade_as_bob("viewer", &ticket, &[("ask_owner", "maybe")]).await.refused(400, "invalid_request");
    }
}

#[tokio::test]
async fn an_owner_logged_in_holds_her_own_things_and_no_others() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let carols = world.access("carols-rs").await;
        let diary = world.resource(&carols, "view").await;
        let enter = async |pat: &str, resource: &str| {
            let ticket = world.ticket(pat, resource, "view").await;
            let browser = Browser::new(&world);
            browser.log_in("alice").await;
            let page = visit(&browser, &[("client_id", "viewer"), ("ticket", &ticket)]).await;
            assert_eq!(page.text.contains("is your own"), resource == album);
            let fields = [("decision", "approve"), ("keep", "yes")];
            let (_, query) = browser.submit(&page, "/claims/continue", &fields).await.location();
            get(&query, "ticket").unwrap()
        };
        let next = enter(&pat, &album).await;
        let got = world.trade("viewer", &next, &[]).await;
        let rpt = got.ok(200).get("access_token");
        assert_eq!(world.introspect(&pat, rpt).await["permissions"][0]["resource_scopes"], json!(["view"]));
        // a second time she need not log in
        let ticket = world.ticket(&pat, &album, "view edit").await;
        world.trade("viewer", &ticket, &[("pct", got.get("pct"))]).await.ok(200);
        let next = enter(&carols, &diary).await;
        world.trade("viewer", &next, &[]).await.refused(403, "request_submitted");
        // her address alone is not she
        let pmt = world.access("manager").await;
        world.call("PUT", "/uma/owner-settings", &pmt, json!({"no_policy": "deny"})).await.ok(200);
        let token = world.id_token("viewer", json!({"sub": "alice", "email": "alice@bar.example"}));
        let ticket = world.ticket(&pat, &album, "edit").await;
        let pushed = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        world.trade("viewer", &ticket, &pushed).await.refused(403, "request_denied");
    }
}

/// Sixteen grants beside a withdrawal: each is answered, and none outlives it.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_46_s28_grants_beside_a_withdrawal_are_answered_and_none_outlives_it() {
    for world in World::each().await {
        let world = Arc::new(world);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let pmt = world.access("manager").await;
        for _ in 0..15 {
            let policy = world.share(&album, "view", "bob@bar.example").await;
            let withdrawal = {
                let (world, pmt, path) = (world.clone(), pmt.clone(), format!("/uma/policies/{policy}"));
                tokio::spawn(async move { world.call("DELETE", &path, &pmt, Value::Null).await.status })
            };
            let grants = join_all((0..16).map(|_| tokio::spawn(grant(world.clone(), pat.clone(), album.clone()))));
            let (withdrawn, grants) = tokio::join!(withdrawal, grants);
            assert_eq!(withdrawn.unwrap(), 204);
            for answer in grants.into_iter().map(Result::unwrap) {
                assert!(answer.status < 500, "{}", answer.text);
                if answer.status == 200 {
                    assert_eq!(world.introspect(&pat, answer.get("access_token")).await, json!({"active": false}));
                }
            }
        }
    }
}

async fn grant(world: Arc<World>, pat: String, album: String) -> Answer {
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade_as_bob("viewer", &ticket, &[]).await
}

/// Several servers change, replace and withdraw without a pause; grants and changes are answered all the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn threat_46_s42_changes_without_end_starve_nobody() {
    for world in World::each().await {
        let world = Arc::new(world);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let standing = world.share(&album, "view", "bob@bar.example").await;
        let pmt = world.access("manager").await;
        let changers = (0..6).map(|n| {
            let (world, pmt, pat, album, standing) = (world.clone(), pmt.clone(), pat.clone(), album.clone(), standing.clone());
            tokio::spawn(async move {
                let body = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]});
                let mut answers = Vec::new();
                for _ in 0..12 {
                    let answer = match n % 3 {
                        0 => world.call("PUT", &format!("/uma/policies/{standing}"), &pmt, body.clone()).await,
                        1 => world.call("PUT", &format!("/uma/resources/{album}"), &pat, json!({"resource_scopes": ["view"]})).await,
                        _ => {
                            let made = world.call("POST", "/uma/policies", &pmt, body.clone()).await;
                            let path = format!("/uma/policies/{}", made.ok(201).get("_id"));
                            world.call("DELETE", &path, &pmt, Value::Null).await
                        }
                    };
                    answers.push(answer);
                }
                answers
            })
        });
        let granters = (0..8).map(|_| {
            let (world, pat, album) = (world.clone(), pat.clone(), album.clone());
            tokio::spawn(async move {
                let mut answers = Vec::new();
                for _ in 0..8 {
                    answers.push(grant(world.clone(), pat.clone(), album.clone()).await);
                }
                answers
            })
        });
        for answer in join_all(changers.chain(granters)).await.into_iter().flat_map(Result::unwrap) {
            assert!(answer.status < 300, "{} {}", answer.status, answer.text);
        }
    }
}
