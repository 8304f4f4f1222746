//! Every list is paged, and a delegate sees of it what was delegated (protocol.md 1.1, 1.8; threats 12 and 49).

use crate::authority::Signer;
use crate::world::{Answer, World};
use jose::Algorithm;
use serde_json::{Value, json};

/// All pages of a list, two at a time, each by the link of the one before.
async fn walk(world: &World, token: &str, path: &str) -> Vec<String> {
    let join = if path.contains('?') { '&' } else { '?' };
    let (mut url, mut ids) = (format!("{path}{join}limit=2"), Vec::new());
    loop {
        let page = world.call("GET", &url, token, Value::Null).await;
        let rows = page.ok(200).json.as_array().unwrap().clone();
        assert!(rows.len() <= 2, "{path}");
        ids.extend(rows.iter().map(|row| row["_id"].as_str().unwrap().to_owned()));
        let Some(next) = next_of(&page) else { return ids };
        assert_eq!(rows.len(), 2, "a page before another is full");
        url = next;
    }
}

fn next_of(page: &Answer) -> Option<String> {
    let link = page.header("link");
    link.strip_suffix(">; rel=\"next\"").map(|link| link.trim_start_matches('<').to_owned())
}

#[tokio::test]
async fn threat_12_lists_of_credentials_delegations_and_managers_are_paged() {
    for world in World::each().await {
        let (pmt, carols) = (world.access("manager").await, world.access("carols-manager").await);
        let mut made: [Vec<String>; 3] = Default::default();
        for n in 0..5 {
            made[0].push(Signer::new(Algorithm::EdDsa).register(&world, &pmt).await);
            let delegation = json!({"delegate": {"email": "carol@foo.example"}, "resources": "all", "resource_scopes": ["view"],
                "may": ["share"]});
            let delegation = world.call("POST", "/uma/delegations", &pmt, delegation).await;
            made[1].push(delegation.ok(201).get("_id").to_owned());
            let manager = json!({"issuer": format!("https://desk{n}.example"), "sub": "alice"});
            made[2].push(world.call("POST", "/uma/linked-managers", &pmt, manager).await.ok(201).get("_id").to_owned());
            // some of one second, some of another
            world.pass(n % 2);
        }
        for (path, token, mut made) in [
            ("/uma/credentials", &pmt, made[0].clone()),
            ("/uma/delegations", &pmt, made[1].clone()),
            ("/uma/delegations?role=delegate", &carols, made[1].clone()),
            ("/uma/linked-managers", &pmt, made[2].clone()),
        ] {
            let mut walked = walk(&world, token, path).await;
            let whole = world.call("GET", path, token, Value::Null).await;
            assert_eq!((whole.ok(200).json.as_array().unwrap().len(), next_of(&whole)), (5, None), "{path}");
            walked.sort();
            made.sort();
            assert_eq!(walked, made, "{path}: each once");
            for wrong in ["limit=0", "limit=1001", "limit=x"] {
                let join = if path.contains('?') { '&' } else { '?' };
                world.call("GET", &format!("{path}{join}{wrong}"), token, Value::Null).await.refused(400, "invalid_request");
            }
        }
    }
}

/// Carol may share `view`: what Alice shares of `edit` is none of her business.
#[tokio::test]
async fn threat_49_a_delegate_sees_what_is_in_her_scopes() {
    for world in World::each().await {
        let (pat, pmt, carols) = (world.pat().await, world.access("manager").await, world.access("carols-manager").await);
        let album = world.resource(&pat, "view edit print").await;
        let policy = async |scopes: &[&str], who: &str| {
            let claims = json!([{"name": "email", "value": [who]}]);
            world.policy(json!({"resource_id": album, "resource_scopes": scopes, "required_claims": claims})).await
        };
        let view = policy(&["view"], "bob@bar.example").await;
        let edit = policy(&["edit"], "dan@bar.example").await;
        let both = policy(&["edit", "view"], "eve@bar.example").await;
        let delegation = json!({"delegate": {"email": "carol@foo.example"}, "resources": [album], "resource_scopes": ["view"],
            "may": ["share", "approve"]});
        world.call("POST", "/uma/delegations", &pmt, delegation).await.ok(201);
        let alice = world.app.identity.find_account_by_name("alice").await.unwrap().unwrap().id;
        let at = |path: &str| format!("{path}?owner={alice}");
        let seen = world.call("GET", &at("/uma/policies"), &carols, Value::Null).await;
        assert!(!seen.ok(200).text.contains("edit") && !seen.text.contains("dan@"), "{}", seen.text);
        let mut ids: Vec<_> = seen.json.as_array().unwrap().iter().map(|one| one["_id"].as_str().unwrap().to_owned()).collect();
        ids.sort();
        let mut expected = [view.clone(), both.clone()];
        expected.sort();
        assert_eq!(ids, expected);
        world.call("GET", &at(&format!("/uma/policies/{edit}")), &carols, Value::Null).await.refused(404, "not_found");
        let shown = world.call("GET", &at(&format!("/uma/policies/{both}")), &carols, Value::Null).await;
        assert_eq!(shown.ok(200).json["resource_scopes"], json!(["view"]));
        let resource = world.call("GET", &at(&format!("/uma/registered-resources/{album}")), &carols, Value::Null).await;
        assert!(!resource.ok(200).text.contains(&edit) && resource.text.contains(&view));
        // nor does she find out by asking what would be
        let what_if = |scopes: &[&str]| json!({"permissions": [{"resource_id": album, "resource_scopes": scopes}], "claims": {"email": "dan@bar.example"}});
        let simulate = at("/uma/policies/simulate");
        world.call("POST", &simulate, &carols, what_if(&["view"])).await.ok(200);
        for wide in [&["edit"][..], &["edit", "view"]] {
            world.call("POST", &simulate, &carols, what_if(wide)).await.refused(403, "access_denied");
        }
        // a request that is about nothing of hers
        let ticket = world.ticket(&pat, &album, "print").await;
        world.trade_as_bob("viewer", &ticket, &[]).await.refused(403, "request_submitted");
        let inbox = async |token: &str, path: &str| {
            world.call("GET", path, token, Value::Null).await.ok(200).json.as_array().unwrap().len()
        };
        assert_eq!((inbox(&carols, &at("/uma/access-requests")).await, inbox(&pmt, "/uma/access-requests").await), (0, 1));
    }
}
