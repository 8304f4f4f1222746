//! What others write in great number pushes out nothing, and what others do not answer holds up nobody (threat 46).

use crate::authority::Signer;
use crate::world::World;
use authorization_server::{Changes, Store as _, Write};
use identity::access_token::PolicyToken;
use jose::Algorithm;
use rules::Policy;
use rules::delegation::Delegation;
use serde_json::{Map, Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{Receiver, channel};
use types::{OwnerId, PolicyId, Timestamp};

const SEARCHES: &str = "/uma/discovery-requests";
const CAROL: &str = "carol@foo.example";

async fn owner(world: &World, name: &str) -> PolicyToken {
    let account = world.app.identity.store.find_account_by_username(name).await.unwrap().unwrap();
    PolicyToken { client: "pages".into(), owner: account.id, grant: None }
}

/// Delegations of other owners, half of them withdrawn, whose ids come before all of ours.
async fn flood(world: &World, ids: &str, delegate: Value) {
    let document = json!({"delegate": delegate, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
    let now = Timestamp(world.now());
    let made = (0..2_100).map(|n| {
        let (document, owner) = (serde_json::from_value(document.clone()).unwrap(), OwnerId::new(format!("0{n:05}")));
        let made = Delegation::from_document(document, format!("{ids}{n}"), owner, now).unwrap();
        Write::CreateDelegation(Delegation { withdrawn: n % 2 == 0, ..made })
    });
    world.store.commit_changes(Changes::of(made.collect())).await.unwrap();
}

/// However many delegate to her, and take it back: she acts for whoever did, and what her key signed ends with it.
#[tokio::test]
async fn threat_46_s31_delegations_of_others_push_out_none() {
    for world in World::each().await {
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        let (alice, carol) = (Signer::new(Algorithm::EdDsa), Signer::new(Algorithm::EdDsa));
        alice.register(&world, &pmt).await;
        let key = carol.register(&world, &carols).await;
        for (ids, delegate) in [("a", json!({"email": CAROL})), ("b", json!({"resource_owner_id": carol.did}))] {
            flood(&world, ids, delegate).await;
        }
        let given = json!({"delegate": {"email": CAROL}, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
        world.call("POST", "/uma/delegations", &pmt, given).await.ok(201);
        // however many that are, each is in one page of her list
        let (mut ids, mut url) = (std::collections::BTreeSet::new(), "/uma/delegations?role=delegate&limit=150".to_owned());
        loop {
            let page = world.call("GET", &url, &carols, Value::Null).await;
            let rows = page.ok(200).json.as_array().unwrap().clone();
            assert!(rows.len() <= 150 && rows.iter().all(|row| ids.insert(row["_id"].as_str().unwrap().to_owned())));
            match page.header("link").strip_suffix(">; rel=\"next\"") {
                Some(next) => url = next.trim_start_matches('<').to_owned(),
                None => break,
            }
        }
        assert_eq!(ids.len(), 2 * 1_050 + 1);
        let policies = format!("/uma/policies?owner={}", owner(&world, "alice").await.owner);
        assert_eq!(world.call("GET", &policies, &carols, Value::Null).await.ok(200).json, json!([]));
        // what she signs for Alice is gone with her key
        let claims = json!({"jti": "d1", "iss": alice.did, "sub": carol.did, "aud": [crate::authority::RS, crate::world::ISSUER],
            "iat": world.now(), "exp": world.now() + 500, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
        let signed = alice.key.sign_as("delegation+jwt", &alice.did, &claims).unwrap();
        let token = carol.token(&world, "t", json!({"resource_owner_id": alice.did, "delegation": signed}));
        let bearer = format!("Bearer {carols}");
        let headers = [("authorization", bearer.as_str()), ("content-type", "application/rot+jwt")];
        world.send("POST", &policies, &headers, token).await.ok(201);
        let hers = async || world.call("GET", "/uma/policies", &pmt, Value::Null).await.json.as_array().unwrap().len();
        assert_eq!(hers().await, 1);
        world.call("DELETE", &format!("/uma/credentials/{key}"), &carols, Value::Null).await.ok(204);
        assert_eq!(hers().await, 0);
    }
}

/// What one owner delegates is bounded in bytes as well, since it is read whole; what she took back leaves nothing.
#[tokio::test]
async fn threat_46_what_an_owner_delegates_is_bounded_in_what_it_holds() {
    for world in World::each().await {
        let (pmt, alice) = (world.access("manager").await, owner(&world, "alice").await.owner);
        let things: Vec<String> = (0..1_000).map(|n| format!("{n:032}")).collect();
        let long = json!({"delegate": {"email": CAROL}, "resources": things, "resource_scopes": ["view"], "may": ["share"]});
        let mut made = Vec::new();
        let refused = loop {
            let answer = world.call("POST", "/uma/delegations", &pmt, long.clone()).await;
            if answer.status != 201 || made.len() > 20 {
                break answer;
            }
            made.push(answer.get("_id").to_owned());
        };
        assert!(refused.refused(400, "invalid_request").get("error_description").contains("256 KiB"));
        assert_eq!(made.len(), 7, "of 35 KB each");
        for id in &made {
            world.call("DELETE", &format!("/uma/delegations/{id}"), &pmt, Value::Null).await.ok(204);
            assert!(world.store.find_delegation(&alice, id).await.unwrap().is_none());
        }
        world.call("POST", "/uma/delegations", &pmt, long).await.ok(201);
    }
}

/// Each grant of a thing looks at all that was shared of it: how much that is has an end, and delegates reach theirs first.
#[tokio::test]
async fn threat_46_shares_of_one_thing_are_bounded() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let (album, other, alice) =
            (world.resource(&pat, "view").await, world.resource(&pat, "view").await, owner(&world, "alice").await);
        let given = json!({"delegate": {"email": CAROL}, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
        world.call("POST", "/uma/delegations", &pmt, given).await.ok(201);
        let share = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
        let fill = async |range: std::ops::Range<usize>| {
            let writes = range.map(|n| {
                let document = serde_json::from_value(share.clone()).unwrap();
                let id = PolicyId::new(format!("p{n:05}"));
                Write::PutPolicy(Policy::from_document(document, id, alice.owner.clone(), 0, Timestamp(world.now())).unwrap())
            });
            world.store.commit_changes(Changes::of(writes.collect())).await.unwrap();
        };
        let as_carol = format!("/uma/policies?owner={}", alice.owner);
        fill(0..999).await;
        world.call("POST", &as_carol, &carols, share.clone()).await.ok(201);
        let refused = world.call("POST", &as_carol, &carols, share.clone()).await;
        assert!(refused.refused(400, "invalid_request").get("error_description").contains("2000 policies"));
        world.call("POST", "/uma/policies", &pmt, share.clone()).await.ok(201);
        fill(999..1_998).await;
        world.call("POST", "/uma/policies", &pmt, share.clone()).await.refused(400, "invalid_request");
        world.call("POST", "/uma/policies?atomic=true", &pmt, json!([share, share])).await.refused(400, "invalid_request");
        // what is there can be changed, other things are shared, and an end makes room
        world.call("PUT", "/uma/policies/p00001", &pmt, share.clone()).await.ok(200);
        world.share(&other, "view", CAROL).await;
        world.call("DELETE", "/uma/policies/p00001", &pmt, Value::Null).await.ok(204);
        world.call("POST", "/uma/policies", &pmt, share.clone()).await.ok(201);
    }
}

/// Alice, and Carol whom she lets share `view`.
struct Sharing {
    pmt: String,
    carols: String,
    as_carol: String,
    alice: OwnerId,
}

impl Sharing {
    async fn begin(world: &World) -> Self {
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        let alice = owner(world, "alice").await.owner;
        let given = json!({"delegate": {"email": CAROL}, "resources": "all", "resource_scopes": ["view"], "may": ["share"]});
        world.call("POST", "/uma/delegations", &pmt, given).await.ok(201);
        Self { pmt, carols, as_carol: format!("/uma/policies?owner={alice}"), alice }
    }
}

/// The same where they are few and large: what delegates write takes no room of hers.
#[tokio::test]
async fn threat_46_shares_of_delegates_leave_half_of_the_bytes_to_the_owner() {
    for world in World::each().await {
        let pat = world.pat().await;
        let (album, other) = (world.resource(&pat, "view").await, world.resource(&pat, "view").await);
        let Sharing { pmt, carols, as_carol, .. } = Sharing::begin(&world).await;
        let many: Vec<String> = (0..800).map(|n| format!("{n:03}-{}@bar.example", "a".repeat(50))).collect();
        let large =
            json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": many}]});
        let size = large.to_string().len();
        assert!(size > 50_000);
        let fill = async |url: &str, token: &str| {
            let mut bytes = 0;
            while world.call("POST", url, token, large.clone()).await.status == 201 {
                bytes += size;
            }
            bytes
        };
        let by_carol = fill(&as_carol, &carols).await;
        assert!((800_000..1_100_000).contains(&by_carol), "{by_carol}");
        world.share(&album, "view", "bob@bar.example").await;
        let by_alice = fill("/uma/policies", &pmt).await;
        assert!((800_000..1_100_000).contains(&by_alice), "{by_alice}");
        world.share(&other, "view", "bob@bar.example").await;
    }
}

/// Each change of a delegate is a line of her history: without end they would hide what she did herself.
#[tokio::test]
async fn threat_41_s16_changes_of_a_delegate_have_a_number() {
    for world in World::each().await {
        let album = world.resource(&world.pat().await, "view").await;
        let Sharing { pmt, carols, as_carol, alice } = Sharing::begin(&world).await;
        let share = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
        for _ in 0..199 {
            let made = world.call("POST", &as_carol, &carols, share.clone()).await.ok(201).get("_id").to_owned();
            world.call("DELETE", &format!("/uma/policies/{made}?owner={alice}"), &carols, Value::Null).await.ok(204);
        }
        // what is not written is not counted, and of several none is written or all
        let unknown = json!({"resource_id": album, "resource_scopes": ["print"], "required_claims": []});
        world.call("POST", &as_carol, &carols, unknown).await.refused(400, "invalid_scope");
        let all = format!("{as_carol}&atomic=true");
        world.call("POST", &all, &carols, json!([share, share])).await.refused(429, "temporarily_unavailable");
        let last = world.call("POST", &as_carol, &carols, share.clone()).await.ok(201).get("_id").to_owned();
        let at = format!("/uma/policies/{last}?owner={alice}");
        world.call("PUT", &at, &carols, share.clone()).await.refused(429, "temporarily_unavailable");
        world.call("DELETE", &at, &carols, Value::Null).await.ok(204);
        world.call("POST", "/uma/policies", &pmt, share.clone()).await.ok(201);
        world.pass(3_600);
        let carols = world.access("carols-manager").await;
        world.call("POST", &as_carol, &carols, share).await.ok(201);
    }
}

/// What a delegate answers for good is a share of each thing, and an answer is a line, too.
#[tokio::test]
async fn threat_41_s16_answers_of_a_delegate_have_a_number() {
    for world in World::each().await {
        let pat = world.pat().await;
        let Sharing { pmt, carols, as_carol, alice } = Sharing::begin(&world).await;
        let given = json!({"delegate": {"email": CAROL}, "resources": "all", "resource_scopes": ["view"], "may": ["approve"]});
        world.call("POST", "/uma/delegations", &pmt, given).await.ok(201);
        let asks = async |things: usize| {
            let mut permissions = Vec::new();
            for _ in 0..things {
                permissions.push(json!({"resource_id": world.resource(&pat, "view").await, "resource_scopes": ["view"]}));
            }
            let ticket = world.call("POST", "/uma/permissions", &pat, json!(permissions)).await.ok(201).get("ticket").to_owned();
            world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_submitted");
            let waiting = world.store.list_waiting_requests(&alice, Timestamp(i64::MAX)).await.unwrap();
            let pending = waiting.into_iter().find(|request| request.is_pending(Timestamp(world.now()))).unwrap();
            format!("/uma/access-requests/{}", pending.id.as_str())
        };
        let as_delegate =
            async |path: &str, answer: Value| world.call("POST", &format!("{path}?owner={alice}"), &carols, answer).await;
        let always = json!({"decision": "approve", "remember": true});
        as_delegate(&asks(120).await, always.clone()).await.ok(200);
        let path = asks(120).await;
        as_delegate(&path, always.clone()).await.refused(429, "temporarily_unavailable");
        // what was not written is not counted, and the owner's own answers never are
        let first = world.resource(&pat, "view").await;
        let share = json!({"resource_id": first, "resource_scopes": ["view"], "required_claims": []});
        let rest = world.call("POST", &format!("{as_carol}&atomic=true"), &carols, json!(vec![share.clone(); 80])).await;
        rest.ok(201);
        world.call("POST", &as_carol, &carols, share).await.refused(429, "temporarily_unavailable");
        world.call("POST", &path, &pmt, always).await.ok(200);
        // an answer for once is another count, of answers
        for n in 0..200 {
            let (path, answer) = (asks(1).await, json!({"decision": "deny"}));
            match n {
                199 => as_delegate(&path, answer).await.refused(429, "temporarily_unavailable"),
                _ => as_delegate(&path, answer).await.ok(200),
            };
        }
    }
}

/// Of all her things together: the end of a delegation looks at all of them.
#[tokio::test]
async fn threat_46_policies_of_one_owner_are_bounded() {
    for world in World::each().await {
        let album = world.resource(&world.pat().await, "view").await;
        let Sharing { pmt, carols, as_carol, alice } = Sharing::begin(&world).await;
        let share = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
        let fill = async |range: std::ops::Range<usize>| {
            let writes = range.map(|n| {
                let other =
                    json!({"resource_id": format!("thing {}", n / 100), "resource_scopes": ["view"], "required_claims": []});
                let id = PolicyId::new(format!("p{n:05}"));
                let (document, now) = (serde_json::from_value(other).unwrap(), Timestamp(world.now()));
                Write::PutPolicy(Policy::from_document(document, id, alice.clone(), 0, now).unwrap())
            });
            world.store.commit_changes(Changes::of(writes.collect())).await.unwrap();
        };
        fill(0..24_999).await;
        world.call("POST", &as_carol, &carols, share.clone()).await.ok(201);
        world.call("POST", &as_carol, &carols, share.clone()).await.refused(400, "invalid_request");
        let made = world.call("POST", "/uma/policies", &pmt, share.clone()).await.ok(201).get("_id").to_owned();
        fill(24_999..49_998).await;
        let refused = world.call("POST", "/uma/policies", &pmt, share.clone()).await;
        assert!(refused.refused(400, "invalid_request").get("error_description").contains("50000 policies"));
        // what is there can be changed, and what ends makes room; of another owner nothing is counted
        world.call("PUT", &format!("/uma/policies/{made}"), &pmt, share.clone()).await.ok(200);
        world.call("DELETE", &format!("/uma/policies/{made}"), &pmt, Value::Null).await.ok(204);
        world.call("POST", "/uma/policies?atomic=true", &pmt, json!([share, share])).await.refused(400, "invalid_request");
        world.call("POST", "/uma/policies", &pmt, share).await.ok(201);
    }
}

/// A page ends behind so many rows, and says where it goes on.
#[tokio::test]
async fn threat_46_s28_a_page_ends_however_much_of_it_is_not_seen() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let album = world.resource(&pat, "view").await;
        let shared = json!({"resource_id": album, "resource_scopes": ["view"],
            "required_claims": [{"name": "email", "value": [CAROL]}]});
        let mut writes = Vec::new();
        let mut theirs = shared.clone();
        theirs["resource_id"] = json!("another");
        for n in 0..2_500 {
            let document = serde_json::from_value(theirs.clone()).unwrap();
            let (id, other) = (PolicyId::new(format!("0{n:05}")), OwnerId::new("other"));
            writes.push(Write::PutPolicy(Policy::from_document(document, id, other, 0, Timestamp(world.now())).unwrap()));
        }
        world.store.commit_changes(Changes::of(writes)).await.unwrap();
        world.call("PUT", "/uma/owner-settings", &pmt, json!({"list_for_requesting_party": true})).await.ok(200);
        let id = world.policy(shared).await;
        // what waits for its thing is listed for nobody
        world
            .policy(json!({"resource_server": crate::authority::RS, "_resource_id": "x", "resource_scopes": ["view"],
                "required_claims": [{"name": "email", "value": [CAROL]}]}))
            .await;
        let (mut url, mut found, mut pages) = ("/uma/policies?role=requesting_party".to_owned(), Vec::new(), 0);
        loop {
            let page = world.call("GET", &url, &carols, Value::Null).await;
            found.extend(page.ok(200).json.as_array().unwrap().iter().map(|one| one["_id"].as_str().unwrap().to_owned()));
            pages += 1;
            match page.header("link").strip_suffix(">; rel=\"next\"") {
                Some(next) => url = next.trim_start_matches('<').to_owned(),
                None => break,
            }
        }
        assert_eq!((found, pages), (vec![id], 3));
    }
}

/// A resource server that offers a search at this place, or its own; what was posted comes out.
async fn searched(endpoint: Option<String>) -> (String, Receiver<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (told, posts) = channel(100);
    let endpoint = endpoint.unwrap_or_else(|| format!("{url}/discovery"));
    let metadata = json!({"resource": url, "resource_discovery_endpoint": endpoint}).to_string();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = [0; 8192];
            let many = stream.read(&mut read).await.unwrap_or(0);
            if read[..many].starts_with(b"POST") {
                let _ = told.send(()).await;
            }
            let answer = format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{metadata}", metadata.len());
            let _ = stream.write_all(answer.as_bytes()).await;
        }
    });
    (url, posts)
}

#[tokio::test]
async fn threat_46_s28_a_search_that_hangs_holds_up_nobody_elses() {
    let hanging = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let hanging_url = format!("http://{}", hanging.local_addr().unwrap());
    let (honest, mut posts) = searched(None).await;
    let (sly, _) = searched(Some(format!("{honest}/discovery"))).await;
    let mut more = "[outbound]\nallow_private_networks = true\nallow_http = true\n".to_owned();
    for (name, url) in [("hanging", &hanging_url), ("honest", &honest), ("sly", &sly)] {
        more += &format!(
            "[[client]]\nclient_id = \"{name}\"\nresource = \"{url}\"\nclient_secret = \"{name}-secret-{name}-secret\"\ngrant_types = [\"authorization_code\"]\nredirect_uris = [\"{url}/back\"]\n"
        );
    }
    let world = World::on("memory", &more).await;
    let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
    let (alice, carol, uma) = (owner(&world, "alice").await, owner(&world, "carol").await, &world.app.authorization_server);
    let search = async |pmt: &str, who: &PolicyToken, servers: Vec<&str>| {
        let made = world.call("POST", SEARCHES, pmt, json!({"resource_servers": servers, "claims": ["name"]})).await;
        let id = made.ok(202).get("_id").to_owned();
        uma.decide_search(who, &id, true, Map::new()).await.unwrap();
        (id, made.json["resource_servers"].as_array().unwrap().len())
    };
    for _ in 0..10 {
        assert_eq!(search(&carols, &carol, vec![hanging_url.as_str(); 100]).await.1, 1, "one of each");
    }
    let wanted = json!({"resource_servers": [honest], "claims": ["name"]});
    let full = world.call("POST", SEARCHES, &carols, wanted).await;
    assert!(full.refused(400, "invalid_request").get("error_description").contains("10 searches"));
    uma.send_searches().await.unwrap();
    // nobody is sent to where another one says
    let (id, _) = search(&pmt, &alice, vec![&sly]).await;
    uma.send_searches().await.unwrap();
    let state = async |id: &str| {
        let read = world.call("GET", &format!("{SEARCHES}/{id}"), &pmt, Value::Null).await;
        read.ok(200).json["resource_servers"][0]["state"].as_str().unwrap().to_owned()
    };
    let until = async |id: &str, wanted: &str| {
        let begun = std::time::Instant::now();
        while state(id).await != wanted {
            assert!(begun.elapsed().as_secs() < 60, "{}", state(id).await);
            tokio::time::sleep(std::time::Duration::from_millis(5)).await;
        }
    };
    until(&id, "failed").await;
    assert!(posts.try_recv().is_err());
    // hers is sent, while his still wait
    let begun = std::time::Instant::now();
    loop {
        let (id, _) = search(&pmt, &alice, vec![&honest]).await;
        uma.send_new_search(&alice.owner, &id).await.unwrap();
        if tokio::time::timeout(std::time::Duration::from_secs(2), posts.recv()).await.is_ok() {
            until(&id, "sent").await;
            break;
        }
        assert!(begun.elapsed().as_secs() < 8);
    }
}
