//! Consent receipts (protocol.md 1.6).

use crate::world::{ISSUER, World};
use jose::{KeySet, UnverifiedJws};
use serde_json::{Value, json};

const RECEIPTS: &str = "/uma/consent-receipts";

async fn list(world: &World, pmt: &str) -> Vec<Value> {
    world.call("GET", &format!("{RECEIPTS}?limit=1000"), pmt, Value::Null).await.ok(200).json.as_array().unwrap().clone()
}

async fn keys(world: &World) -> KeySet {
    KeySet::from_json(&world.get("/jwks").await.json).unwrap()
}

/// What is signed is what is said.
fn verified(keys: &KeySet, receipt: &Value) -> Value {
    let jws = UnverifiedJws::parse(receipt["receipt_jwt"].as_str().unwrap()).unwrap();
    let claims: Value =
        jws.expect_type("consent-receipt+jwt").unwrap().verify(keys).unwrap().claims::<Value>().unwrap().into_inner();
    assert_eq!((&claims["iss"], &claims["consentReceiptID"]), (&json!(ISSUER), &receipt["consentReceiptID"]));
    assert_eq!(claims["services"], receipt["services"]);
    claims
}

#[tokio::test]
async fn each_policy_gives_a_receipt_and_its_end_another_that_names_it() {
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let keys = keys(&world).await;
        let before = list(&world, &pmt).await;
        // first contacts: the manager and the resource servers that act for her
        assert!(before.iter().any(|receipt| receipt["client_id"] == "manager"), "{before:?}");
        let album = world.resource(&pat, "view edit").await;
        let bob = json!([{"name": "email", "value": ["bob@bar.example"]}]);
        let document = |scopes: Value| json!({"resource_id": album, "resource_scopes": scopes, "required_claims": bob, "purpose": "treatment"});
        world.pass(1);
        let policy = world.policy(document(json!(["view"]))).await;
        let path = format!("/uma/policies/{policy}");
        world.pass(1);
        world.call("PUT", &path, &pmt, document(json!(["view", "edit"]))).await.ok(200);
        world.pass(1);
        world.withdraw(&policy).await;
        let all = list(&world, &pmt).await;
        assert_eq!(all.len(), before.len() + 3);
        let [ended, replaced, given] = [&all[0], &all[1], &all[2]];
        let about = |receipt: &Value| {
            let claims = verified(&keys, receipt);
            let purpose = &claims["services"][0]["purposes"][0];
            assert_eq!((&claims["version"], &claims["policy_id"]), (&json!("KI-CR-v1.1.0"), &json!(policy)));
            assert_eq!((&purpose["purpose"], &purpose["thirdPartyName"]), (&json!("treatment"), &json!("bob@bar.example")));
            (claims["event"].clone(), claims["scopes"].clone(), claims["replaces"].clone())
        };
        assert_eq!(about(given), (json!("given"), json!(["view"]), Value::Null));
        assert_eq!(about(replaced), (json!("given"), json!(["edit", "view"]), given["_id"].clone()));
        assert_eq!(about(ended), (json!("withdrawn"), json!(["edit", "view"]), replaced["_id"].clone()));
        // one of them, as it is signed
        let one = format!("{RECEIPTS}/{}", given["_id"].as_str().unwrap());
        let bearer = format!("Bearer {pmt}");
        let headers = [("authorization", bearer.as_str()), ("accept", "application/consent-receipt+jwt")];
        let signed = world.send("GET", &one, &headers, "").await;
        assert_eq!(
            (signed.header("content-type"), signed.text.as_str()),
            ("application/consent-receipt+jwt", given["receipt_jwt"].as_str().unwrap())
        );
        // nobody else's
        let carols = world.access("carols-manager").await;
        world.call("GET", &one, &carols, Value::Null).await.refused(404, "not_found");
        assert!(list(&world, &carols).await.iter().all(|receipt| receipt["policy_id"].is_null()));
        // a person is erased from it, and the receipt stays
        world.app.authorization_server.erase_requesting_party("bob@bar.example").await.unwrap();
        let after = list(&world, &pmt).await;
        assert_eq!(after.len(), all.len());
        assert!(!after.iter().any(|receipt| receipt.to_string().contains("bob@")), "{after:?}");
    }
}

/// Who kept a head can follow the chain from there to a later one, without being told anything personal (protocol.md 1.5).
#[tokio::test]
async fn the_chain_of_events_is_followed_from_any_head_that_was_kept() {
    use jose::event_chain::{follow, read_hash, verify_head};
    for world in World::each().await {
        let (pat, pmt) = (world.pat().await, world.access("manager").await);
        let keys = keys(&world).await;
        let head = async || {
            let answer = world.call("GET", "/uma/events?limit=1", &pmt, Value::Null).await;
            verify_head(answer.header("event-head"), &keys).unwrap().into_inner()
        };
        let mut kept = vec![head().await];
        for _ in 0..3 {
            let album = world.resource(&pat, "view").await;
            world.withdraw(&world.share(&album, "view", "bob@bar.example").await).await;
            kept.push(head().await);
        }
        let last = kept.last().unwrap().clone();
        let mut from: Vec<(u64, [u8; 32])> = kept.iter().map(|head| (head.n, read_hash(&head.hash).unwrap())).collect();
        from.push((0, [0; 32]));
        for from in from {
            let (mut at, mut path) = (from, format!("/uma/events/chain?limit=4&after={}", from.0));
            loop {
                let answer = world.call("GET", &path, &pmt, Value::Null).await;
                assert!(!answer.ok(200).text.contains("bar.example"), "{}", answer.text);
                at = follow(at, &serde_json::from_value::<Vec<_>>(answer.json.clone()).unwrap()).unwrap();
                let link = answer.header("link").strip_prefix('<').and_then(|link| link.split_once('>'));
                let Some((next, _)) = link else { break };
                path = next.strip_prefix(ISSUER).unwrap().to_owned();
            }
            assert_eq!(at, (last.n, read_hash(&last.hash).unwrap()), "from {}", from.0);
        }
        world.call("GET", "/uma/events/chain?after=x", &pmt, Value::Null).await.refused(400, "invalid_request");
        world.call("GET", "/uma/events/chain", &pat, Value::Null).await.refused(403, "insufficient_scope");
        let others = world.access("carols-manager").await;
        let hers = world.call("GET", "/uma/events/chain", &others, Value::Null).await.json;
        assert!(hers.as_array().unwrap().len() < usize::try_from(last.n).unwrap());
    }
}
