//! Parties are kept apart, and what they must not see is nowhere.

use crate::world::World;
use serde_json::Value;

/// Cases: X-11, G-5.2-2
#[tokio::test]
async fn errors_never_carry_another_partys_data() {
    let world = World::one().await;
    let (pat, album, policy) = world.album().await;
    let carols = world.access("carols-manager").await;
    let carols_pat = world.access("carols-rs").await;
    let secrets = ["bob@bar.example", "alice", album.as_str(), policy.as_str()];
    for (method, path, token) in [
        ("GET", format!("/uma/resources/{album}"), &carols_pat),
        ("GET", format!("/uma/policies/{policy}"), &carols),
        ("GET", "/uma/registered-resources".to_owned(), &carols),
        ("GET", "/uma/access-requests".to_owned(), &carols),
        ("GET", "/uma/events".to_owned(), &carols),
    ] {
        let answer = world.call(method, &path, token, Value::Null).await;
        for secret in secrets {
            assert!(!answer.text.contains(secret), "{path}: {}", answer.text);
        }
    }
    assert!(world.introspect(&pat, "x").await.as_object().unwrap().len() == 1);
}

/// Threat 20: at rest, no token and no secret stands in clear.
#[tokio::test]
async fn threat_20_the_store_holds_no_token() {
    let folder = std::env::temp_dir().join(format!("wayleave-at-rest-{}", std::process::id()));
    std::fs::create_dir_all(&folder).unwrap();
    let world = World::on("sqlite", "").await;
    let (pat, album, _) = world.album().await;
    let got = world.bobs_rpt("viewer", &pat, &album).await;
    let copy = folder.join("copy.db");
    database::file::copy(world.store.sqlite().unwrap().path(), &copy).unwrap();
    let bytes = std::fs::read(&copy).unwrap();
    let text = String::from_utf8_lossy(&bytes);
    for secret in [&*pat, got.get("access_token"), got.get("refresh_token"), got.get("pct"), "viewer-secret", "alice-password"] {
        assert!(!text.contains(secret), "{secret}");
    }
    std::fs::remove_dir_all(&folder).unwrap();
}

/// Cases: G-6.2-1
#[tokio::test]
async fn persisted_claims_are_sealed_at_rest_and_go_with_the_pct() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let pct = world.bobs_rpt("viewer", &pat, &album).await.get("pct").to_owned();
        let key = identity::token_text::key_of(identity::token_text::TokenKind::Pct, &pct).unwrap();
        let find = async || authorization_server::Store::find_pct(&world.store, &key).await.unwrap();
        let kept = find().await.unwrap();
        assert!(!String::from_utf8_lossy(&kept).contains("bar.example"), "{}", world.engine);
        world.post("/revoke", "viewer", &[("token", &pct)]).await.ok(200);
        assert_eq!(find().await, None);
    }
}
