//! Whatever comes in gets a published error, never a panic, a stack trace or a 5xx.

use crate::world::{UMA, World, basic, form};
use serde_json::json;

#[tokio::test]
async fn rubbish_is_answered_with_published_errors() {
    let world = World::one().await;
    let pat = world.pat().await;
    let pmt = world.access("manager").await;
    let long = "x".repeat(2_000_000);
    let deep = "[".repeat(200_000);
    let bodies: Vec<&[u8]> = vec![
        b"",
        b"{",
        b"\xff\xfe",
        b"null",
        b"[]",
        b"{\"a\":1,\"a\":2}",
        deep.as_bytes(),
        long.as_bytes(),
        b"%",
        b"a=%ff",
        b"=&=&&",
    ];
    let viewer = basic("viewer", "viewer-secret");
    let (pat, pmt) = (format!("Bearer {pat}"), format!("Bearer {pmt}"));
    for path in [
        "/token",
        "/revoke",
        "/introspect",
        "/par",
        "/register",
        "/uma/resources",
        "/uma/permissions",
        "/uma/policies",
        "/uma/policies/simulate",
        "/uma/access-requests/x",
        "/claims/continue",
        "/login",
        "/authorize",
        "/authorize/decision",
        "/logout",
        "/my/resources/x/share",
        "/userinfo",
    ] {
        for kind in ["application/json", "application/x-www-form-urlencoded", "text/plain", "multipart/form-data", ""] {
            for authorization in [&viewer, &pat, &pmt, &"Basic !!!".to_owned(), &String::new()] {
                for body in &bodies {
                    let headers = [("content-type", kind), ("authorization", authorization.as_str())];
                    let answer = world.send("POST", path, &headers, body.to_vec()).await;
                    assert!(answer.status < 500, "{path} {kind}: {}", answer.text);
                    assert!(!answer.text.contains("panicked") && !answer.text.contains(".rs:"), "{}", answer.text);
                }
            }
        }
    }
}

#[tokio::test]
async fn too_long_is_413_and_the_wrong_type_415() {
    let world = World::one().await;
    let pat = format!("Bearer {}", world.pat().await);
    let long = format!("\"{}\"", "x".repeat(2_000_000));
    let json_headers = [("content-type", "application/json"), ("authorization", pat.as_str())];
    world.send("POST", "/uma/resources", &json_headers, long.clone()).await.refused(413, "invalid_request");
    let viewer = basic("viewer", "viewer-secret");
    let form_headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", viewer.as_str())];
    world.send("POST", "/token", &form_headers, long).await.refused(413, "invalid_request");
    world.send("POST", "/token", &json_headers, "{}").await.refused(415, "invalid_request");
}

#[tokio::test]
async fn ten_thousand_scopes_are_refused_or_served_quickly() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let scopes: Vec<String> = (0..10_000).map(|n| format!("s{n}")).collect();
    world.call("POST", "/uma/resources", &pat, json!({"resource_scopes": scopes})).await.refused(400, "invalid_request");
    world
        .call("POST", "/uma/permissions", &pat, json!({"resource_id": album, "resource_scopes": scopes}))
        .await
        .refused(400, "invalid_scope");
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade("viewer", &ticket, &[("scope", &scopes.join(" "))]).await.refused(400, "invalid_scope");
    let many = form(&(0..300).map(|_| ("a", "b")).collect::<Vec<_>>());
    let viewer = basic("viewer", "viewer-secret");
    let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", viewer.as_str())];
    world.send("POST", "/token", &headers, format!("grant_type={UMA}&{many}")).await.refused(400, "invalid_request");
}

/// Threat 35, in part: a store that has served a later time is not served.
#[tokio::test]
async fn threat_35_a_clock_set_back_is_noticed() {
    let world = World::on("sqlite", "").await;
    world.store.sweep(types::Timestamp(crate::world::START + 10_000)).await.unwrap();
    let config =
        wayleave::config::Config::parse("[store]\nurl = \"memory:\"\n", std::iter::empty(), std::env::temp_dir()).unwrap();
    let again = wayleave::assemble::server_with(
        &config,
        world.store.clone(),
        [7; 32],
        world.mailbox.clone(),
        world.clock.clone(),
        std::sync::Arc::new(jose::SystemRandomness),
    );
    assert!(matches!(again.await, Err(wayleave::Exit::Failed(what)) if what.contains("clock")));
}

/// What has expired goes, a few shards at a time; what lives stays.
#[tokio::test]
async fn the_sweeper_takes_what_has_expired_and_nothing_else() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await.get("access_token").to_owned();
        let key = identity::token_text::key_of(identity::token_text::TokenKind::Rpt, &rpt).unwrap();
        let there = async || authorization_server::Store::find_rpt(&world.store, &key).await.unwrap().is_some();
        for (days, expected) in [(0, true), (1, true), (4, false)] {
            for _ in 0..64 {
                world.store.sweep(types::Timestamp(crate::world::START + days * 86_400)).await.unwrap();
            }
            assert_eq!(there().await, expected, "after {days} days, {}", world.engine);
        }
    }
}
