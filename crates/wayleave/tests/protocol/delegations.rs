//! Delegations (protocol.md 1.8): Alice lets Carol decide for her.

use crate::authority::{RS, Signer, photo};
use crate::world::{Answer, ISSUER, World, scopes_of};
use jose::Algorithm;
use serde_json::{Value, json};

const DELEGATIONS: &str = "/uma/delegations";

async fn delegate(world: &World, changes: Value) -> Answer {
    let mut body = json!({"delegate": {"email": "Carol@foo.example"}, "resources": "all", "resource_scopes": ["view"],
        "may": ["approve", "share"], "expires_at": world.now() + 1_000});
    body.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    world.call("POST", DELEGATIONS, &world.access("manager").await, body).await
}

/// Alice's account id, as Carol learns it.
async fn alices_id(world: &World, carols: &str) -> String {
    let given = world.call("GET", &format!("{DELEGATIONS}?role=delegate"), carols, Value::Null).await;
    let first = &given.ok(200).json[0];
    assert_eq!(first["owner_name"], "alice");
    first["owner"].as_str().unwrap().to_owned()
}

fn for_bob(resource: &str, scopes: &[&str]) -> Value {
    json!({"resource_id": resource, "resource_scopes": scopes,
        "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]})
}

#[tokio::test]
async fn a_delegate_shares_what_was_given_to_her_until_it_is_taken_back() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let (album, diary) = (world.resource(&pat, "view edit").await, world.resource(&pat, "view").await);
        let hers = world.policy(for_bob(&diary, &["view"])).await;
        let nobody = format!("/uma/policies?owner={}", "x");
        world.call("GET", &nobody, &carols, Value::Null).await.refused(403, "access_denied");
        let id = delegate(&world, json!({"resources": [album]})).await.ok(201).get("_id").to_owned();
        let alice = alices_id(&world, &carols).await;
        let at = |path: &str| format!("{path}?owner={alice}");
        // she sees what she was given, and nothing else
        let seen = world.call("GET", &at("/uma/registered-resources"), &carols, Value::Null).await;
        assert_eq!(seen.ok(200).json.as_array().unwrap().len(), 1);
        assert_eq!(seen.json[0]["_id"], json!(album));
        for hidden in [format!("/uma/registered-resources/{diary}"), format!("/uma/policies/{hers}")] {
            world.call("GET", &at(&hidden), &carols, Value::Null).await.refused(404, "not_found");
        }
        assert_eq!(world.call("GET", &at("/uma/policies"), &carols, Value::Null).await.ok(200).json, json!([]));
        for hidden in ["/uma/events", "/uma/owner-settings", "/uma/credentials", DELEGATIONS] {
            let own = world.call("GET", &at(hidden), &carols, Value::Null).await;
            own.refused(400, "invalid_request");
        }
        // no more than was given: another resource, another scope, somebody else's policy
        let policies = at("/uma/policies");
        for wide in [for_bob(&diary, &["view"]), for_bob(&album, &["view", "edit"])] {
            world.call("POST", &policies, &carols, wide).await.refused(403, "access_denied");
        }
        let plain = world.policy(for_bob(&album, &["edit"])).await;
        world.call("DELETE", &at(&format!("/uma/policies/{plain}")), &carols, Value::Null).await.refused(403, "access_denied");
        let made = world.call("POST", &policies, &carols, for_bob(&album, &["view"])).await;
        assert_eq!((made.ok(201).get("delegation"), &made.json["expires_at"]), (&*id, &json!(world.now() + 1_000)));
        let path = at(&format!("/uma/policies/{}", made.get("_id")));
        let replaced = world.call("PUT", &path, &carols, for_bob(&album, &["view"])).await;
        assert_eq!(replaced.ok(200).json["expires_at"], json!(world.now() + 1_000), "ends with the delegation, whatever is put");
        world.call("PUT", &path, &carols, for_bob(&album, &["edit"])).await.refused(403, "access_denied");
        let what_if = json!({"permissions": [{"resource_id": album, "resource_scopes": ["view"]}],
            "claims": {"email": "bob@bar.example"}});
        assert_eq!(world.call("POST", &at("/uma/policies/simulate"), &carols, what_if).await.ok(200).get("result"), "granted");
        let ticket = world.ticket(&pat, &album, "view").await;
        let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        assert_eq!(scopes_of(&world.introspect(&pat, &rpt).await), [format!("{album} view")]);
        // Alice sees whose it is, and takes all of it back at once
        let events = world.call("GET", "/uma/events", &pmt, Value::Null).await.json;
        let by = events.as_array().unwrap().iter().find(|event| event["kind"] == "policy.updated").unwrap();
        assert!(by["by"] != json!("manager") && by["by"] != json!(alice), "{by}");
        world.call("DELETE", &format!("{DELEGATIONS}/{id}"), &carols, Value::Null).await.refused(404, "not_found");
        world.call("DELETE", &format!("{DELEGATIONS}/{id}"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        world.call("GET", &at("/uma/policies"), &carols, Value::Null).await.refused(403, "access_denied");
        assert_eq!(world.call("GET", DELEGATIONS, &pmt, Value::Null).await.ok(200).json, json!([]));
        let left = world.call("GET", "/uma/policies", &pmt, Value::Null).await.json;
        assert_eq!(left.as_array().unwrap().len(), 2, "her own shares stay");
    }
}

#[tokio::test]
async fn a_delegate_decides_requests_while_the_owner_is_away() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let album = world.resource(&pat, "view edit").await;
        let end = world.now() + 60;
        let id = delegate(&world, json!({"may": ["approve"], "expires_at": end})).await.ok(201).get("_id").to_owned();
        let alice = alices_id(&world, &carols).await;
        let at = |path: &str| format!("{path}?owner={alice}");
        let mut stream = world.stream(&at("/uma/access-requests/stream"), &carols).await;
        assert!(stream.next().await.starts_with("event: heartbeat"));
        let ticket = world.ticket(&pat, &album, "view edit").await;
        let asked = world.trade_as_bob("viewer", &ticket, &[]).await;
        let ticket = asked.refused(403, "request_submitted").get("ticket").to_owned();
        assert!(stream.next().await.starts_with("event: request"), "she hears at once");
        let waiting = world.call("GET", &at("/uma/access-requests"), &carols, Value::Null).await;
        let path = at(&format!("/uma/access-requests/{}", waiting.ok(200).json[0]["_id"].as_str().unwrap()));
        let approve = |scopes: &[&str]| {
            json!({"decision": "approve", "permissions": [{"resource_id": album, "resource_scopes": scopes}],
                "expires_at": world.now() + 100_000})
        };
        for wide in [approve(&["view", "edit"]), json!({"decision": "deny"})] {
            world.call("POST", &path, &carols, wide).await.refused(403, "access_denied");
        }
        world.call("POST", &at("/uma/policies"), &carols, for_bob(&album, &["view"])).await.refused(403, "access_denied");
        world.call("POST", &path, &carols, approve(&["view"])).await.ok(200);
        world.pass(6);
        let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let seen = world.introspect(&pat, &rpt).await;
        assert_eq!(scopes_of(&seen), [format!("{album} view")]);
        assert_eq!(seen["permissions"][0]["exp"], json!(end), "no longer than the delegation");
        assert!(stream.next().await.starts_with("event: decision"));
        world.call("DELETE", &format!("{DELEGATIONS}/{id}"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}), "and it ends with it");
        // what she still listens to ends when there is something that she may not hear any more
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_submitted");
        assert!(stream.is_over().await);
    }
}

/// Alice signs a delegation to Carol's key; what Carol signs carries it.
struct Signed {
    alice: Signer,
    carol: Signer,
}

impl Signed {
    fn delegation(&self, world: &World, changes: Value) -> String {
        let mut claims = json!({"jti": "d1", "iss": self.alice.did, "sub": self.carol.did, "aud": [RS, ISSUER],
            "iat": world.now(), "exp": world.now() + 500, "resources": [{"resource_server": RS, "resource_id": "photo"}],
            "resource_scopes": ["view", "edit"], "may": ["share"]});
        claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
        self.alice.key.sign_as("delegation+jwt", &self.alice.did, &claims).unwrap()
    }

    /// By Carol, for Bob on `photo`: `view` and `print`.
    fn token(&self, world: &World, jti: &str, delegation: &str) -> String {
        self.carol.token(world, jti, json!({"resource_owner_id": self.alice.did, "delegation": delegation}))
    }
}

async fn post(world: &World, path: &str, token: &str, kind: &str, text: &str) -> Answer {
    let bearer = format!("Bearer {token}");
    let kind = format!("application/{kind}");
    world.send("POST", path, &[("authorization", bearer.as_str()), ("content-type", &kind)], text).await
}

#[tokio::test]
async fn threat_24_what_a_delegate_signs_counts_as_far_as_the_owner_signed_that() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let us = Signed { alice: Signer::new(Algorithm::EdDsa), carol: Signer::new(Algorithm::EdDsa) };
        let photo = photo(&world, &pat).await;
        let key = us.alice.register(&world, &pmt).await;
        // nobody is a delegate yet: she cannot even be named
        let good = us.delegation(&world, json!({}));
        let kind = "delegation+jwt";
        post(&world, DELEGATIONS, &carols, kind, &good).await.refused(400, "invalid_request");
        let made = post(&world, DELEGATIONS, &pmt, kind, &good).await;
        assert_eq!((made.ok(201).get("_id"), made.get("delegation")), ("d1", &*good));
        post(&world, DELEGATIONS, &pmt, kind, &good).await.refused(409, "invalid_request");
        us.carol.register(&world, &carols).await;
        let alice = alices_id(&world, &carols).await;
        let policies = format!("/uma/policies?owner={alice}");
        let stranger = Signer::new(Algorithm::EdDsa);
        let forged = stranger.key.sign_as("delegation+jwt", &us.alice.did, &json!({})).unwrap();
        for (delegation, why) in [
            (us.delegation(&world, json!({"jti": "d2", "sub": stranger.did})), "for another delegate"),
            (us.delegation(&world, json!({"jti": "d2", "may": ["approve"]})), "not to share"),
            (us.delegation(&world, json!({"jti": "d2", "aud": [RS]})), "not for this server"),
            (us.delegation(&world, json!({"jti": "d2", "resources": ["diary"]})), "of another resource"),
            (us.delegation(&world, json!({"jti": "d2", "resource_scopes": ["delete"]})), "of other scopes"),
            (us.delegation(&world, json!({"jti": "d2", "exp": world.now(), "iat": 1})), "over"),
            (us.delegation(&world, json!({"jti": "d2", "iss": stranger.did})), "of another owner"),
            (us.delegation(&world, json!({"jti": "d1", "exp": world.now() + 501})), "another of the same name"),
            (forged, "forged"),
        ] {
            let token = us.token(&world, "t", &delegation);
            assert!([400, 409].contains(&post(&world, &policies, &carols, "rot+jwt", &token).await.status), "{why}");
        }
        let own = us.carol.token(&world, "t", json!({}));
        post(&world, &policies, &carols, "rot+jwt", &own).await.refused(400, "invalid_request");
        let token = us.token(&world, "t", &good);
        post(&world, "/uma/policies", &carols, "rot+jwt", &token).await.refused(400, "invalid_request");
        let made = post(&world, &policies, &carols, "rot+jwt", &token).await;
        assert_eq!((made.ok(201).get("delegation"), &made.json["expires_at"]), ("d1", &json!(world.now() + 500)));
        let ticket = world.ticket(&pat, &photo, "view print").await;
        let rpt = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
        let seen = world.introspect(&pat, &rpt).await;
        assert_eq!(scopes_of(&seen), [format!("{photo} view")], "`print` was signed by Carol, and not delegated to her");
        assert_eq!(seen["permissions"][0]["authority"], json!(token));
        // the key under which Alice delegated is gone, and all with it
        world.call("DELETE", &format!("/uma/credentials/{key}"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        assert_eq!(world.call("GET", DELEGATIONS, &pmt, Value::Null).await.ok(200).json, json!([]));
        us.alice.register(&world, &pmt).await;
        post(&world, DELEGATIONS, &pmt, kind, &good).await.refused(409, "invalid_request");
        // Alice posts what Carol signed under a delegation that nobody has posted: then it is known, and can be withdrawn
        let other = us.delegation(&world, json!({"jti": "d3", "resources": "all"}));
        post(&world, "/uma/policies", &pmt, "rot+jwt", &us.token(&world, "t3", &other)).await.ok(201);
        assert_eq!(world.call("GET", DELEGATIONS, &pmt, Value::Null).await.ok(200).json[0]["_id"], "d3");
        world.call("DELETE", &format!("{DELEGATIONS}/d3"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200).json, json!([]));
        // Carol herself brings one that nobody has posted: it is Alice's word, and Carol's key
        let fresh = us.delegation(&world, json!({"jti": "d4"}));
        let token = us.token(&world, "t4", &fresh);
        let nobody = post(&world, &policies, &world.access("manager").await, "rot+jwt", &us.token(&world, "t5", &other)).await;
        assert_eq!(nobody.status, 400, "withdrawn, whoever posts it");
        assert_eq!(post(&world, &policies, &carols, "rot+jwt", &token).await.ok(201).get("delegation"), "d4");
        assert_eq!(world.call("GET", DELEGATIONS, &pmt, Value::Null).await.ok(200).json[0]["_id"], "d4");
    }
}

/// What is on its way while the delegation ends does not outlive it.
#[tokio::test]
async fn nothing_that_a_delegate_writes_outlives_the_end() {
    for world in World::each().await {
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        for turn in 0..40 {
            let id = delegate(&world, json!({})).await.ok(201).get("_id").to_owned();
            let policies = format!("/uma/policies?owner={}", alices_id(&world, &carols).await);
            // each of another thing, so that none stands in another's way
            let waiting = |n: usize| json!({"resource_server": RS, "_resource_id": format!("{n}"), "resource_scopes": ["view"]});
            let writes = (0..12).map(|n| world.call("POST", &policies, &carols, waiting(n)));
            let path = format!("{DELEGATIONS}/{id}");
            // at another moment each time, with some of them on their way to the disk
            let end = async {
                for _ in 0..turn % 3 {
                    tokio::task::yield_now().await;
                }
                world.call("DELETE", &path, &pmt, Value::Null).await
            };
            let (written, ended) = futures_util::future::join(futures_util::future::join_all(writes), end).await;
            ended.ok(204);
            assert!(written.iter().all(|answer| [201, 403, 503].contains(&answer.status)), "{written:?}");
            assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.ok(200).json, json!([]));
        }
    }
}

/// To remember is to write a policy, and to answer for the owner for good.
#[tokio::test]
async fn threat_49_s34_who_may_approve_does_not_share_by_remembering() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        let ask = async || {
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade_as_bob("viewer", &ticket, &[]).await.get("ticket").to_owned()
        };
        delegate(&world, json!({"may": ["approve"]})).await.ok(201);
        let alice = alices_id(&world, &carols).await;
        let at = |path: &str| format!("{path}?owner={alice}");
        let ticket = ask().await;
        let waiting = world.call("GET", &at("/uma/access-requests"), &carols, Value::Null).await;
        let path = at(&format!("/uma/access-requests/{}", waiting.ok(200).json[0]["_id"].as_str().unwrap()));
        for decision in ["approve", "deny"] {
            let remembered = json!({"decision": decision, "remember": true});
            world.call("POST", &path, &carols, remembered).await.refused(403, "access_denied");
        }
        assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.json, json!([]), "nothing is written");
        world.call("POST", &path, &carols, json!({"decision": "approve"})).await.ok(200);
        world.pass(6);
        world.trade("viewer", &ticket, &[]).await.ok(200);
        assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.json, json!([]));
        // both are given, in two delegations: what is remembered is shared under the one that lets her share
        ask().await;
        let share = delegate(&world, json!({"may": ["share"]})).await.ok(201).get("_id").to_owned();
        let waiting = world.call("GET", &at("/uma/access-requests"), &carols, Value::Null).await;
        let open = waiting.json.as_array().unwrap().iter().find(|one| one["state"] == "pending").cloned().unwrap();
        let path = at(&format!("/uma/access-requests/{}", open["_id"].as_str().unwrap()));
        world.call("POST", &path, &carols, json!({"decision": "approve", "remember": true})).await.ok(200);
        let policies = world.call("GET", "/uma/policies", &pmt, Value::Null).await.json;
        assert_eq!((policies.as_array().unwrap().len(), policies[0]["delegation"].as_str()), (1, Some(&*share)));
        world.call("DELETE", &format!("{DELEGATIONS}/{share}"), &pmt, Value::Null).await.ok(204);
        assert_eq!(world.call("GET", "/uma/policies", &pmt, Value::Null).await.json, json!([]), "and ends with it");
    }
}

/// Filtered first, then cut: a page is full as long as there is more, and says so.
#[tokio::test]
async fn threat_49_s34_pages_of_a_delegate_are_whole() {
    for world in World::each().await {
        let pat = world.pat().await;
        let mut albums = Vec::new();
        for _ in 0..40 {
            albums.push(world.resource(&pat, "view").await);
        }
        albums.sort();
        // what she may see stands behind much that she may not
        let hers = [&albums[20..23], &albums[38..40]].concat();
        let mut policies = Vec::new();
        for album in &albums {
            let policy = world.policy(for_bob(album, &["view"])).await;
            if hers.contains(album) {
                policies.push(policy);
            }
            let ticket = world.ticket(&pat, album, "view").await;
            let token = world.id_token("viewer", json!({"sub": format!("s{album}"), "email": null}));
            let claim = [("claim_token", token.as_str()), ("claim_token_format", crate::world::ID_TOKEN)];
            world.trade("viewer", &ticket, &claim).await;
        }
        policies.sort();
        delegate(&world, json!({"resources": hers})).await.ok(201);
        let carols = world.access("carols-manager").await;
        let alice = alices_id(&world, &carols).await;
        for (list, expected) in [("/uma/registered-resources", &hers), ("/uma/policies", &policies)] {
            for limit in [1, 2, 4, 5, 100] {
                let (mut seen, mut path) = (Vec::new(), format!("{list}?owner={alice}&limit={limit}"));
                loop {
                    let page = world.call("GET", &path, &carols, Value::Null).await;
                    let ids: Vec<_> =
                        page.ok(200).json.as_array().unwrap().iter().map(|one| one["_id"].as_str().unwrap().to_owned()).collect();
                    seen.extend(ids.iter().cloned());
                    let next = page.header("link").split(['<', '>']).nth(1).map(str::to_owned);
                    let Some(next) = next else { break };
                    assert_eq!(ids.len(), limit, "{list}");
                    path = next;
                }
                seen.sort();
                assert_eq!(&seen, expected, "{list} by {limit}");
            }
        }
    }
}

/// A delegate learns nothing of what was not delegated: neither from a refusal whether it is there, nor from a text that the owner
/// signed for more.
#[tokio::test]
async fn a_delegate_learns_nothing_of_other_things() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let photo = photo(&world, &pat).await;
        delegate(&world, json!({"resources": [photo]})).await.ok(201);
        let alice = alices_id(&world, &carols).await;
        let policies = format!("/uma/policies?owner={alice}");
        let there = json!({"resource_server": RS, "_resource_id": "diary", "resource_scopes": ["zzz"], "required_claims": []});
        let before = world.call("POST", &policies, &carols, there.clone()).await;
        let diary = json!({"resource_scopes": ["view"], "_resource_id": "diary"});
        world.call("POST", "/uma/resources", &pat, diary).await.ok(201);
        let after = world.call("POST", &policies, &carols, there).await;
        assert_eq!((before.refused(403, "access_denied").text.as_str(), after.status), (after.text.as_str(), 403));
        // signed for her alone is shown; signed for more, or for another thing as well, is not
        let signer = Signer::new(Algorithm::EdDsa);
        signer.register(&world, &pmt).await;
        let of = |id: &str, scopes: &[&str]| json!({"resource_server": RS, "resource_id": id, "allowed_scopes": scopes});
        let mine = of("photo", &["view"]);
        let kind = "rot+jwt";
        for (name, resources) in [
            ("one", json!([mine])),
            ("more", json!([of("photo", &["view", "print"])])),
            ("two", json!([mine, of("diary", &["view"])])),
        ] {
            let token = signer.token(&world, name, json!({"resources": resources}));
            post(&world, "/uma/policies", &pmt, kind, &token).await.ok(201);
        }
        let listed = world.call("GET", &policies, &carols, Value::Null).await;
        let ids: Vec<&str> = listed.ok(200).json.as_array().unwrap().iter().map(|one| one["_id"].as_str().unwrap()).collect();
        assert_eq!(ids, ["one"], "{}", listed.text);
        let what_if = json!({"permissions": [{"resource_id": photo, "resource_scopes": ["view"]}],
            "claims": {"email": "bob@bar.example"}});
        let path = format!("/uma/policies/simulate?owner={alice}");
        let told = world.call("POST", &path, &carols, what_if.clone()).await;
        assert_eq!(told.ok(200).get("result"), "granted");
        let names = |answer: &Value| -> Vec<String> {
            let reasons = answer["reasons"].as_array().unwrap().iter();
            reasons.filter_map(|reason| reason["policy_id"].as_str().map(str::to_owned)).collect()
        };
        assert_eq!(names(&told.json), ["one"], "{}", told.text);
        assert_eq!(told.json["permissions"].as_array().unwrap().iter().filter(|one| one.get("authority").is_some()).count(), 1);
        let hers = world.call("POST", "/uma/policies/simulate", &pmt, what_if).await;
        assert_eq!(names(&hers.ok(200).json).len(), 3);
    }
}
