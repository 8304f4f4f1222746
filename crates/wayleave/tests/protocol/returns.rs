//! What was taken out and comes back begins anew: nothing of before lives again with it.

use crate::consents::{Asked, DECLARED, agree, refresh, trade};
use crate::declared::without;
use crate::oauth::{Browser, tokens};
use crate::people::PEOPLE;
use crate::world::World;
use serde_json::Value;

/// An account is closed because somebody else had it: what acted for it then asks again.
#[tokio::test]
async fn threat_36_what_acted_for_a_closed_account_does_not_when_she_is_back() {
    for mut world in World::each_with(DECLARED).await {
        let asked = Asked { client: "desk", scope: "openid uma_policy", resources: &[], more: &[] };
        let (before, linked) = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            let code = agree(&carol, &asked).await;
            (trade(&world, &code, &[]).await, tokens(&carol).await)
        };
        let (old, renews) = (before.ok(200).get("access_token"), before.get("refresh_token"));
        world.call("GET", "/uma/policies", old, Value::Null).await.ok(200);
        let out = without("carol").replace("acts_for = \"carol\"\n", "");
        world.start_again(&format!("{out}{DECLARED}")).await.unwrap();
        // what a resource server reads of her is her things' link, and no more
        let link = linked.ok(200).get("access_token");
        world.call("GET", "/uma/resources", link, Value::Null).await.ok(200);
        world.call("GET", "/userinfo", link, Value::Null).await.refused(401, "invalid_token");
        world.start_again(&format!("{PEOPLE}{DECLARED}")).await.unwrap();
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        let code = agree(&carol, &asked).await;
        let new = trade(&world, &code, &[]).await.ok(200).get("access_token").to_owned();
        world.call("GET", "/uma/policies", &new, Value::Null).await.ok(200);
        world.call("GET", "/uma/policies", old, Value::Null).await.refused(401, "invalid_token");
        refresh(&world, renews, &[]).await.refused(400, "invalid_grant");
        world.call("GET", "/uma/resources", link, Value::Null).await.ok(200);
    }
}

/// The same where the application keeps things of hers, too.
#[tokio::test]
async fn threat_36_a_link_that_was_narrowed_is_not_widened() {
    let more = DECLARED.replace("uma_policy uma_management\"", "uma_management uma_protection\"");
    for mut world in World::each_with(&more).await {
        let asked = Asked { client: "desk", scope: "openid uma_management uma_protection", resources: &[], more: &[] };
        let narrow = Asked { scope: "uma_protection", ..asked };
        let (before, link) = {
            let carol = Browser::new(&world);
            carol.log_in("carol").await;
            let (code, narrow) = (agree(&carol, &asked).await, carol.open(&narrow.url()).await);
            let narrow = narrow.location().1.into_iter().find(|(name, _)| name == "code").unwrap().1;
            (trade(&world, &code, &[]).await, trade(&world, &narrow, &[]).await)
        };
        let out = without("carol").replace("acts_for = \"carol\"\n", "");
        world.start_again(&format!("{out}{more}")).await.unwrap();
        world.start_again(&format!("{PEOPLE}{more}")).await.unwrap();
        world.call("GET", "/uma/resources", link.ok(200).get("access_token"), Value::Null).await.ok(200);
        let carol = Browser::new(&world);
        carol.log_in("carol").await;
        let code = agree(&carol, &asked).await;
        trade(&world, &code, &[]).await.ok(200);
        refresh(&world, before.ok(200).get("refresh_token"), &[]).await.refused(400, "invalid_grant");
    }
}
