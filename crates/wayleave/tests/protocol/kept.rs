//! What is kept, and what is not, is the same on every engine.

use crate::world::{ID_TOKEN, World};
use serde_json::{Value, json};
use std::collections::HashSet;

fn named(name: &str) -> Value {
    json!({"resource_scopes": ["view"], "_resource_id": name})
}

/// What a resource server calls by one name is one thing, also where it says so several times at once.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_at_once_by_one_name_is_one_thing() {
    for world in World::each().await {
        let pat = world.pat().await;
        for round in 0..8 {
            let all = (0..6).map(|_| world.call("POST", "/uma/resources", &pat, named(&format!("/album/{round}"))));
            let answers = futures_util::future::join_all(all).await;
            let ids: HashSet<_> = answers.iter().map(|answer| answer.ok(201).get("_id").to_owned()).collect();
            assert_eq!(ids.len(), 1, "{round}");
        }
        // and no other is called so afterwards
        let other = world.call("POST", "/uma/resources", &pat, named("/other")).await.ok(201).get("_id").to_owned();
        let path = format!("/uma/resources/{other}");
        world.call("PUT", &path, &pat, named("/album/0")).await.refused(400, "invalid_request");
        world.call("PUT", &path, &pat, named("/other")).await.ok(200);
        world.call("PUT", &path, &pat, named("/another")).await.ok(200);
        assert_ne!(world.call("POST", "/uma/resources", &pat, named("/other")).await.ok(201).get("_id"), other);
    }
}

/// A name that not every engine can keep is a fault of whoever gives it, and none of the server's: nobody is to come again with it.
#[tokio::test]
async fn threat_46_what_cannot_be_kept_is_refused_and_keeps_nobody_waiting() {
    for world in World::each().await {
        let pat = world.pat().await;
        let longest = "x".repeat(1_024);
        for name in ["a\0b", &format!("{longest}x")] {
            let refused = world.call("POST", "/uma/resources", &pat, named(name)).await;
            refused.refused(400, "invalid_request");
            assert!(refused.get("error_description").contains("`_resource_id`"), "{}", refused.text);
        }
        let made = world.call("POST", "/uma/resources", &pat, named(&longest)).await.ok(201).get("_id").to_owned();
        let path = format!("/uma/resources/{made}");
        world.call("PUT", &path, &pat, named(&format!("{longest}x"))).await.refused(400, "invalid_request");
        // a one-time id is whatever its issuer likes, and is taken once
        world.share(&made, "view", "bob@bar.example").await;
        for jti in ["j\0", &"j".repeat(9_000)] {
            let token = world.id_token("viewer", json!({"jti": jti}));
            for status in [200, 403] {
                let ticket = world.ticket(&pat, &made, "view").await;
                let fields = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
                assert_eq!(world.trade("viewer", &ticket, &fields).await.status, status, "{}", jti.len());
            }
        }
        // a list goes on behind whatever text
        for list in ["/uma/resources", "/uma/resources?limit=1&after=%00", "/uma/resources?after=%00"] {
            assert_eq!(world.call("GET", list, &pat, Value::Null).await.ok(200).json, json!([made]), "{list}");
        }
    }
}
