//! Refresh and revocation of RPTs (Grant 3.6, 3.7; protocol.md 4).

use crate::world::{World, scopes_of};
use serde_json::json;

async fn refresh(world: &World, client: &str, token: &str, scope: &str) -> crate::world::Answer {
    let mut fields = vec![("grant_type", "refresh_token"), ("refresh_token", token)];
    if !scope.is_empty() {
        fields.push(("scope", scope));
    }
    world.token(client, &fields).await
}

/// Cases: X-9, G-3.6-1, G-3.6-2, G-3.6-3, G-3.6-4
#[tokio::test]
async fn a_refresh_assesses_nothing_and_gains_nothing() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view print edit").await;
        world.share(&album, "view print", "bob@bar.example").await;
        let ticket = world.ticket(&pat, &album, "view print").await;
        let first = world.trade_as_bob("viewer", &ticket, &[]).await;
        let token = first.ok(200).get("refresh_token").to_owned();
        world.pass(700);
        let pat = world.pat().await;
        refresh(&world, "printer", &token, "").await.refused(400, "invalid_grant");
        let again = refresh(&world, "viewer", &token, "").await;
        assert_eq!(scopes_of(&world.introspect(&pat, again.ok(200).get("access_token")).await).len(), 2);
        assert_eq!(again.json.get("scope"), None);
        let narrow = refresh(&world, "viewer", again.get("refresh_token"), "print").await;
        assert_eq!(scopes_of(&world.introspect(&pat, narrow.ok(200).get("access_token")).await), [format!("{album} print")]);
        world.share(&album, "edit", "bob@bar.example").await;
        refresh(&world, "viewer", narrow.get("refresh_token"), "edit").await.refused(400, "invalid_scope");
    }
}

/// An authenticating client whose answer got lost asks again; a token whose successor was used is a
/// replay, and ends the family.
#[tokio::test]
async fn threat_15_reuse_of_a_refresh_token_ends_the_family() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let first = world.bobs_rpt("viewer", &pat, &album).await.get("refresh_token").to_owned();
        let lost = refresh(&world, "viewer", &first, "").await.ok(200).get("refresh_token").to_owned();
        let second = refresh(&world, "viewer", &first, "").await.ok(200).get("refresh_token").to_owned();
        assert_ne!(lost, second);
        let third = refresh(&world, "viewer", &second, "").await;
        let rpt = third.ok(200).get("access_token").to_owned();
        assert_eq!(world.introspect(&pat, &rpt).await["active"], true);
        refresh(&world, "viewer", &first, "").await.refused(400, "invalid_grant");
        assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
        refresh(&world, "viewer", third.get("refresh_token"), "").await.refused(400, "invalid_grant");
        let old = world.bobs_rpt("viewer", &pat, &album).await.get("refresh_token").to_owned();
        refresh(&world, "viewer", &old, "").await.ok(200);
        world.pass(601);
        refresh(&world, "viewer", &old, "").await.refused(400, "invalid_grant");
    }
}

/// Cases: G-3.3-1
#[tokio::test]
async fn a_public_clients_refresh_token_is_good_once() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        world.share(&album, "view", "").await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let token = world.trade("phone", &ticket, &[]).await.ok(200).get("refresh_token").to_owned();
        let next = refresh(&world, "phone", &token, "").await;
        next.ok(200);
        refresh(&world, "phone", &token, "").await.refused(400, "invalid_grant");
        refresh(&world, "phone", next.get("refresh_token"), "").await.refused(400, "invalid_grant");
    }
}

/// Cases: G-3.7-1, G-3.7-2, G-3.7-3, G-3.7-4
#[tokio::test]
async fn a_client_gives_its_tokens_back_and_nobody_elses() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let got = world.bobs_rpt("viewer", &pat, &album).await;
        let (rpt, token) = (got.get("access_token"), got.get("refresh_token"));
        for hint in ["access_token", "pct", "nonsense"] {
            world.post("/revoke", "printer", &[("token", rpt), ("token_type_hint", hint)]).await.ok(200);
        }
        world.post("/revoke", "viewer", &[("token", "unknown")]).await.ok(200);
        assert_eq!(world.introspect(&pat, rpt).await["active"], true);
        world.post("/revoke", "viewer", &[("token", rpt), ("token_type_hint", "refresh_token")]).await.ok(200);
        assert_eq!(world.introspect(&pat, rpt).await, json!({"active": false}));
        world.post("/revoke", "viewer", &[("token", token)]).await.ok(200);
        refresh(&world, "viewer", token, "").await.refused(400, "invalid_grant");
        world.post("/revoke", "viewer", &[]).await.refused(400, "invalid_request");
    }
}

/// Two workers of one application refresh at the same moment: each is answered with tokens that are good, and stay so.
#[tokio::test]
async fn threat_48_c15_all_who_refresh_at_once_get_good_tokens() {
    for world in World::each().await {
        let world = std::sync::Arc::new(world);
        let (pat, album, _) = world.album().await;
        for round in 0..12 {
            let token = world.bobs_rpt("viewer", &pat, &album).await.get("refresh_token").to_owned();
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let (world, token) = (world.clone(), token.clone());
                    tokio::spawn(async move { refresh(&world, "viewer", &token, "").await })
                })
                .collect();
            let mut got = Vec::new();
            for worker in workers {
                let answer = worker.await.unwrap();
                assert_eq!(answer.status, 200, "round {round} on {}: {}", world.engine, answer.text);
                got.push(answer);
            }
            for answer in &got {
                let seen = world.introspect(&pat, answer.get("access_token")).await;
                assert_eq!(seen["active"], true, "round {round} on {}", world.engine);
            }
            // each goes on from what it got; only then is the first token a replay
            for answer in &got {
                refresh(&world, "viewer", answer.get("refresh_token"), "").await.ok(200);
            }
            refresh(&world, "viewer", &token, "").await.refused(400, "invalid_grant");
        }
    }
}

/// The same for tokens of identity's own: a PAT, a PMT.
#[tokio::test]
async fn threat_48_c15_the_same_for_tokens_that_are_no_rpts() {
    for world in World::each().await {
        let world = std::sync::Arc::new(world);
        let browser = crate::oauth::Browser::new(&world);
        browser.log_in("alice").await;
        for round in 0..6 {
            let tokens = crate::oauth::tokens(&browser).await;
            let token = tokens.ok(200).get("refresh_token").to_owned();
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let (world, token) = (world.clone(), token.clone());
                    tokio::spawn(async move { refresh(&world, "photos-rs", &token, "").await })
                })
                .collect();
            for worker in workers {
                let answer = worker.await.unwrap();
                assert_eq!(answer.status, 200, "round {round} on {}: {}", world.engine, answer.text);
                world.call("GET", "/uma/resources", answer.get("access_token"), serde_json::Value::Null).await.ok(200);
            }
        }
    }
}

/// A public client's token is good once, also where two come at once: of eight at most one is answered, and what it got
/// ends with the family, for one of the two was not its owner.
#[tokio::test]
async fn threat_48_c15_a_public_client_gets_no_second_answer() {
    for world in World::each().await {
        let world = std::sync::Arc::new(world);
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        world.share(&album, "view", "").await;
        for _ in 0..6 {
            let ticket = world.ticket(&pat, &album, "view").await;
            let token = world.trade("phone", &ticket, &[]).await.ok(200).get("refresh_token").to_owned();
            let workers: Vec<_> = (0..8)
                .map(|_| {
                    let (world, token) = (world.clone(), token.clone());
                    tokio::spawn(async move { refresh(&world, "phone", &token, "").await })
                })
                .collect();
            let mut good = Vec::new();
            for worker in workers {
                let answer = worker.await.unwrap();
                match answer.status {
                    200 => good.push(answer),
                    _ => drop(answer.refused(400, "invalid_grant")),
                }
            }
            assert!(good.len() <= 1, "{} of 8 on {}", good.len(), world.engine);
            for answer in good {
                refresh(&world, "phone", answer.get("refresh_token"), "").await.refused(400, "invalid_grant");
            }
        }
    }
}

/// Protocol.md 4: a key is carried through every exchange, and refused rather than dropped (threat 3). A client that
/// authenticates may have another key by then (RFC 9449 5).
#[tokio::test]
async fn threat_03_what_is_bound_is_not_renewed_as_a_bearer_token() {
    for world in World::each().await {
        let browser = crate::oauth::Browser::new(&world);
        browser.log_in("alice").await;
        let code = crate::ended::code(&browser).await;
        let send = async |fields: &[(&str, &str)], jti: &str| {
            let key = jose::SigningKey::generate(jose::Algorithm::Es256).unwrap();
            let request = jose::dpop::Request { method: "POST", url: "http://127.0.0.1:8080/token", access_token: None };
            let proof = jose::dpop::prove(&key, &request, jti.into(), types::Timestamp(world.now()), None).unwrap();
            let basic = crate::world::basic("photos-rs", "photos-secret");
            let form = crate::world::form(fields);
            let headers = [("content-type", "application/x-www-form-urlencoded"), ("authorization", &*basic), ("dpop", &proof)];
            world.send("POST", "/token", &headers, form).await
        };
        let verifier = ("code_verifier", crate::oauth::VERIFIER);
        let first = send(&[("grant_type", "authorization_code"), ("code", &code), verifier], "a").await;
        assert_eq!(first.ok(200).get("token_type"), "DPoP");
        let renewing = first.get("refresh_token");
        refresh(&world, "photos-rs", renewing, "").await.refused(400, "invalid_dpop_proof");
        let next = send(&[("grant_type", "refresh_token"), ("refresh_token", renewing)], "b").await;
        assert_eq!(next.ok(200).get("token_type"), "DPoP", "{}", world.engine);
        refresh(&world, "photos-rs", next.get("refresh_token"), "").await.refused(400, "invalid_dpop_proof");
    }
}
