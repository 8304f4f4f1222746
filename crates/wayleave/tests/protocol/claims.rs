//! Pushed claims and PCTs (Grant 3.3.1, 5.2, 5.7).

use crate::world::{ID_TOKEN, World};
use serde_json::json;

/// Cases: G-3.3.1-3, G-3.3.1-4, G-3.3.1-5, G-3.3.1-7, G-3.3.6-11
#[tokio::test]
async fn a_token_that_does_not_count_is_as_if_not_sent() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let good = world.id_token("viewer", json!({}));
    let stale = world.id_token("viewer", json!({"exp": 1}));
    let other = jose::SigningKey::generate(jose::Algorithm::EdDsa).unwrap();
    let forged = other.sign("JWT", &json!({"iss": crate::world::IDP, "sub": "bob", "aud": "viewer", "iat": crate::world::START, "exp": crate::world::START + 60, "email": "bob@bar.example", "email_verified": true})).unwrap();
    let foreign = world.id_token("viewer", json!({"iss": "https://unknown.example"}));
    let for_other = world.id_token("printer", json!({}));
    for (token, format) in [
        ("nonsense", ID_TOKEN),
        ("a.b.c", ID_TOKEN),
        (&stale, ID_TOKEN),
        (&forged, ID_TOKEN),
        (&foreign, ID_TOKEN),
        (&for_other, ID_TOKEN),
        (&good, "urn:unknown"),
    ] {
        let ticket = world.ticket(&pat, &album, "view").await;
        let answer = world.trade("viewer", &ticket, &[("claim_token", token), ("claim_token_format", format)]).await;
        assert!(answer.refused(403, "need_info").json["required_claims"].is_array(), "{token}");
    }
    let encoded = jose::base64url::encode(&good);
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade("viewer", &ticket, &[("claim_token", &encoded), ("claim_token_format", ID_TOKEN)]).await.ok(200);
    let again = world.id_token("viewer", json!({}));
    let https = ID_TOKEN.replace("http:", "https:");
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade("viewer", &ticket, &[("claim_token", &again), ("claim_token_format", &https)]).await.ok(200);
}

/// Threat 9: there is no switch for the signature.
#[tokio::test]
async fn threat_09_an_unsigned_token_is_no_token() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let good = world.id_token("viewer", json!({}));
    let payload = good.split('.').nth(1).unwrap();
    let none = jose::base64url::encode(r#"{"alg":"none","typ":"JWT"}"#);
    for token in [format!("{none}.{payload}."), format!("{none}.{payload}.AA"), good.replace(&good[good.len() - 6..], "AAAAAA")] {
        let ticket = world.ticket(&pat, &album, "view").await;
        world
            .trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)])
            .await
            .refused(403, "need_info");
    }
}

/// A claim token is good in one process alone.
#[tokio::test]
async fn a_claim_token_is_not_used_in_two_processes() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let token = world.id_token("viewer", json!({}));
        let claim = [("claim_token", token.as_str()), ("claim_token_format", ID_TOKEN)];
        let ticket = world.ticket(&pat, &album, "view edit").await;
        // partial: the process ends here
        world.trade("viewer", &ticket, &claim).await.ok(200);
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade("viewer", &ticket, &claim).await.refused(403, "need_info");
    }
}

/// Threat 6: what is pushed never becomes a server's fact.
#[tokio::test]
async fn threat_06_a_pushed_claim_does_not_move_the_clock() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let past = world.now() + 10;
    world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [], "expires_at": past, "on_missing": "deny"})).await;
    world.pass(20);
    let token = world.id_token("viewer", json!({"time": past - 100, "now": past - 100, "client_id": "owner", "owner": "bob"}));
    let ticket = world.ticket(&pat, &album, "view").await;
    let answer = world.trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await;
    assert_ne!(answer.status, 200);
}

/// Threat 3: a bound claim token never gives a bearer RPT.
#[tokio::test]
async fn threat_03_a_bound_token_gives_a_bound_rpt_or_none() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
    let bound = |world: &World| world.id_token("viewer", json!({"cnf": {"jkt": key.public().thumbprint()}}));
    let ticket = world.ticket(&pat, &album, "view").await;
    let token = bound(&world);
    world
        .trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)])
        .await
        .refused(400, "invalid_dpop_proof");
    let ticket = world.ticket(&pat, &album, "view").await;
    let token = bound(&world);
    let answer =
        crate::oauth::trade_with_proof(&world, &key, &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await;
    assert_eq!(answer.ok(200).get("token_type"), "DPoP");
    assert_eq!(world.introspect(&pat, answer.get("access_token")).await["cnf"]["jkt"], key.public().thumbprint());
}

/// Cases: X-4, G-3.3.1-8, G-3.3.1-9, G-3.3.1-10, G-3.3.5-5, G-3.3.5-6, G-3.3.5-7, G-5.2-3, G-5.2-4, G-5.2-5, G-5.2-6, G-5.2-7, G-3.7-2, G-3.7-4, G-3.3.4-9
#[tokio::test]
async fn a_pct_shortens_the_second_run_for_its_client_until_it_is_revoked() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let pct = world.bobs_rpt("viewer", &pat, &album).await.get("pct").to_owned();
        assert!(pct.starts_with("wl_pct_") && !pct.contains("bar.example") && pct.len() < 60);
        let again = async |client: &str, pct: &str| {
            let ticket = world.ticket(&pat, &album, "view").await;
            world.trade(client, &ticket, &[("pct", pct)]).await
        };
        again("viewer", &pct).await.ok(200);
        let music = world.access("music-rs").await;
        let song = world.resource(&music, "view").await;
        world.share(&song, "view", "bob@bar.example").await;
        let ticket = world.ticket(&music, &song, "view").await;
        world.trade("viewer", &ticket, &[("pct", &pct)]).await.ok(200);
        again("printer", &pct).await.refused(403, "need_info");
        again("viewer", "wl_pct_unknown").await.refused(403, "need_info");
        world.post("/revoke", "printer", &[("token", &pct), ("token_type_hint", "pct")]).await.ok(200);
        again("viewer", &pct).await.ok(200);
        world.post("/revoke", "viewer", &[("token", &pct), ("token_type_hint", "refresh_token")]).await.ok(200);
        again("viewer", &pct).await.refused(403, "need_info");
        let pct = world.bobs_rpt("viewer", &pat, &album).await.get("pct").to_owned();
        world.pass(2_592_001);
        let pat = world.pat().await;
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade("viewer", &ticket, &[("pct", &pct)]).await.refused(403, "need_info");
    }
}

/// Cases: G-5.7-5
#[tokio::test]
async fn several_conditions_and_alternatives() {
    let world = World::on("memory", "[assessment]\nno_policy = \"deny\"\n").await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let both = json!([{"name": "email", "value": ["bob@bar.example"]}, {"name": "age", "value": [18, 19]}]);
    world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": both})).await;
    let with = async |changes: serde_json::Value| {
        let token = world.id_token("viewer", changes);
        let ticket = world.ticket(&pat, &album, "view").await;
        world.trade("viewer", &ticket, &[("claim_token", &token), ("claim_token_format", ID_TOKEN)]).await
    };
    with(json!({})).await.refused(403, "need_info");
    with(json!({"age": 17})).await.refused(403, "request_denied");
    with(json!({"age": 19})).await.ok(200);
    with(json!({"age": 19, "email": "bob@foo.example"})).await.refused(403, "need_info");
    world.share(&album, "view", "eve@bar.example").await;
    with(json!({"email": "eve@bar.example"})).await.ok(200);
}
