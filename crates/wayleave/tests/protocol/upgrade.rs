//! Upgrading an RPT (Grant 3.3.5.1).

use crate::world::{World, scopes_of};
use serde_json::json;

/// Cases: X-8, G-3.3.5-8, G-3.3.5.1-1, G-3.3.5.1-2, G-3.3.5.1-3, G-3.3.5.1-4, G-3.3.1-11, G-3.3.5-9, G-3.3.5.1-5
#[tokio::test]
async fn old_and_new_permissions_go_on_in_one_rpt_and_the_old_one_dies() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let second = world.resource(&pat, "view").await;
        world.share(&second, "view", "bob@bar.example").await;
        for (wait, is_over) in [(0, false), (700, true)] {
            let old = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
            world.pass(wait);
            let pat = world.pat().await;
            let ticket = world.ticket(&pat, &second, "view").await;
            let new = world.trade_as_bob("viewer", &ticket, &[("rpt", &old)]).await;
            // one that is over is no reason to refuse, and lends nothing that was not judged
            assert_eq!(new.ok(200).json.get("upgraded").cloned(), (!is_over).then_some(json!(true)));
            let mut expected = vec![format!("{second} view")];
            expected.extend((!is_over).then(|| format!("{album} view")));
            expected.sort();
            assert_eq!(scopes_of(&world.introspect(&pat, new.get("access_token")).await), expected);
            assert_eq!(world.introspect(&pat, &old).await, json!({"active": false}));
        }
    }
}

/// Cases: G-3.3.5.1-6, G-3.3.5.1-7, G-1.3-1, X-11
#[tokio::test]
async fn a_foreign_rpt_is_ignored_and_lives_on() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let music = world.access("music-rs").await;
    let song = world.resource(&music, "view").await;
    world.share(&song, "view", "").await;
    world.share(&album, "view", "eve@bar.example").await;
    let ticket = world.ticket(&music, &song, "view").await;
    let of_other_server = world.trade_as_bob("viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
    let of_other_client = world.bobs_rpt("printer", &pat, &album).await.get("access_token").to_owned();
    let ticket = world.ticket(&pat, &album, "view").await;
    let eve = world.id_token("viewer", json!({"sub": "eve", "email": "eve@bar.example"}));
    let claim = [("claim_token", eve.as_str()), ("claim_token_format", crate::world::ID_TOKEN)];
    let of_other_party = world.trade("viewer", &ticket, &claim).await.ok(200).get("access_token").to_owned();
    for (owner, rpt) in [(&music, &of_other_server), (&pat, &of_other_client), (&pat, &of_other_party)] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let answer = world.trade_as_bob("viewer", &ticket, &[("rpt", rpt)]).await;
        assert!(answer.ok(200).json.get("upgraded").is_none());
        assert_eq!(scopes_of(&world.introspect(&pat, answer.get("access_token")).await), [format!("{album} view")]);
        assert_eq!(world.introspect(owner, rpt).await["active"], true);
    }
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade_as_bob("viewer", &ticket, &[("rpt", "nonsense")]).await.ok(200);
}

/// What no longer rests on anything does not come along.
#[tokio::test]
async fn a_withdrawn_scope_is_left_behind_at_the_upgrade() {
    let world = World::one().await;
    let (pat, album, policy) = world.album().await;
    let second = world.resource(&pat, "view").await;
    world.share(&second, "view", "bob@bar.example").await;
    let old = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
    world.withdraw(&policy).await;
    let ticket = world.ticket(&pat, &second, "view").await;
    let new = world.trade_as_bob("viewer", &ticket, &[("rpt", &old)]).await;
    assert_eq!(scopes_of(&world.introspect(&pat, new.ok(200).get("access_token")).await), [format!("{second} view")]);
}
