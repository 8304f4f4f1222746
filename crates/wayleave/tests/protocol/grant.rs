//! The grant: assessment, success, failure (Grant 3.3.4 to 3.3.6).

use crate::world::{World, scopes_of};
use serde_json::json;

/// Cases: X-1, G-3.3.5-1, G-3.3.5-2, G-3.3.5-3, G-3.3.5-4, G-3.3.5-10, G-3.3.5-11, G-3.3.6-7, G-3.3.6-8, G-3.3.6-9, G-3.3.6-10, G-3.3.6-12, G-3.3.6-1, G-3.3.6-14, G-2-4, G-3.3.6-24, G-3.3.1-6, G-3.3.6-13, G-3.3-1
#[tokio::test]
async fn need_info_then_claims_then_an_rpt() {
    for world in World::each().await {
        let (pat, album, _) = world.album().await;
        let ticket = world.ticket(&pat, &album, "view").await;
        let asked = world.trade("viewer", &ticket, &[]).await;
        asked.refused(403, "need_info");
        assert!(!asked.get("ticket").is_empty() && asked.get("ticket") != ticket);
        let required = &asked.json["required_claims"][0];
        assert_eq!(required["name"], "email");
        assert!(required["claim_token_format"].is_array() && required.get("value").is_none());
        assert!(asked.get("redirect_user").starts_with("http://127.0.0.1:8080/claims"));
        let got = world.trade_as_bob("viewer", asked.get("ticket"), &[]).await;
        assert_eq!(got.ok(200).get("token_type"), "Bearer");
        assert!(got.json["expires_in"].is_u64() && got.json.get("scope").is_none() && got.json.get("upgraded").is_none());
        assert!(!got.get("refresh_token").is_empty() && !got.get("pct").is_empty());
        assert_eq!((got.header("cache-control"), got.header("pragma")), ("no-store", "no-cache"));
        assert_eq!(world.introspect(&pat, got.get("access_token")).await["active"], true);
    }
}

/// Cases: X-7, G-3.3.4-8, G-3.3.4-5, G-3.3.6-16
#[tokio::test]
async fn the_golden_album_partial_and_whole() {
    for (partial, expected) in [(true, 200), (false, 403)] {
        for world in World::each_with(&format!("[assessment]\npartial_grants = {partial}\nno_policy = \"deny\"\n")).await {
            let pat = world.pat().await;
            let album = world.resource(&pat, "view edit download").await;
            let photo1 = world.resource(&pat, "view resize print download").await;
            let photo2 = world.resource(&pat, "view resize print download").await;
            world.share(&photo1, "view", "bob@bar.example").await;
            let one = |id: &str, scope: &str| json!({"resource_id": id, "resource_scopes": [scope]});
            let asked = json!([one(&album, "edit"), one(&photo1, "view"), one(&photo2, "view")]);
            let ticket = world.call("POST", "/uma/permissions", &pat, asked).await.ok(201).get("ticket").to_owned();
            let answer = world.trade_as_bob("viewer", &ticket, &[("scope", "download")]).await;
            assert_eq!(answer.status, expected, "{}", answer.text);
            if partial {
                assert_eq!(scopes_of(&world.introspect(&pat, answer.get("access_token")).await), [format!("{photo1} view")]);
            } else {
                assert!(answer.refused(403, "request_denied").json.get("ticket").is_none());
            }
        }
    }
}

/// Cases: G-3.3.1-12, G-3.3.1-13, G-3.3.4-2, G-3.3.4-7, G-3.3.6-5, G-3.3.6-6, G-3.3.1-16
#[tokio::test]
async fn requested_scopes_count_as_far_as_they_are_registered_and_available() {
    let world = World::one().await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view download print").await;
    world.share(&album, "view download print", "bob@bar.example").await;
    let got = async |ticket_scopes: &str, scope: &str| {
        let ticket = world.ticket(&pat, &album, ticket_scopes).await;
        let answer = world.trade_as_bob("viewer", &ticket, &[("scope", scope)]).await;
        match answer.status {
            200 => {
                scopes_of(&world.introspect(&pat, answer.get("access_token")).await).join(",").replace(&format!("{album} "), "")
            }
            _ => answer.get("error").to_owned(),
        }
    };
    assert_eq!(got("view", "download").await, "download,view");
    assert_eq!(got("", "download").await, "download");
    assert_eq!(got("view", "print").await, "view", "not registered for the client: left out");
    assert_eq!(got("", "print").await, "invalid_scope", "then nothing is requested at all");
    assert_eq!(got("", "").await, "invalid_scope");
    assert_eq!(got("view", "Download").await, "invalid_scope");
    assert_eq!(got("view", "fly").await, "invalid_scope");
}

/// `scope` is not in an answer that has an RPT (Grant 3.3.5), so that a client would not know what of its scopes it lacks.
#[tokio::test]
async fn a_client_is_told_which_of_its_scopes_it_did_not_get() {
    for denied in [true, false] {
        let world = World::on("memory", "[assessment]\nno_policy = 'deny'").await;
        let pat = world.pat().await;
        let album = world.resource(&pat, "view download print").await;
        world.share(&album, if denied { "view" } else { "view download" }, "bob@bar.example").await;
        let missing = async |scope: &str| {
            let ticket = world.ticket(&pat, &album, "view").await;
            let got = world.trade_as_bob("viewer", &ticket, &[("scope", scope)]).await;
            assert!(got.ok(200).json.get("scope").is_none());
            got.json.get("scopes_not_granted").map(ToString::to_string).unwrap_or_default()
        };
        assert_eq!(missing("view").await, "", "nothing is missing");
        assert_eq!(missing("").await, "", "nothing was asked for");
        assert_eq!(missing("view print").await, "[\"print\"]", "the client is not registered for it");
        assert_eq!(missing("download view").await, if denied { "[\"download\"]" } else { "" });
    }
}

/// Cases: G-5.6-1, G-3.3.6-16
#[tokio::test]
async fn no_policy_and_no_claims_is_no_permit() {
    let world = World::on("memory", "[assessment]\nno_policy = \"deny\"\n").await;
    let pat = world.pat().await;
    let album = world.resource(&pat, "view").await;
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade("viewer", &ticket, &[]).await.refused(403, "request_denied");
    world.share(&album, "view", "").await;
    let ticket = world.ticket(&pat, &album, "view").await;
    world.trade("viewer", &ticket, &[]).await.ok(200);
}

/// Cases: G-6.1-1, G-1.2-2
#[tokio::test]
async fn a_withdrawn_share_is_gone_at_once() {
    for world in World::each().await {
        let (pat, album, policy) = world.album().await;
        let rpt = world.bobs_rpt("viewer", &pat, &album).await;
        let pmt = world.access("manager").await;
        let path = format!("/uma/policies/{policy}");
        let document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [{"name": "email", "value": ["bob@bar.example"]}]});
        assert_eq!(world.introspect(&pat, rpt.get("access_token")).await["active"], true);
        world.call("PUT", &path, &pmt, document).await.ok(200);
        assert_eq!(world.introspect(&pat, rpt.get("access_token")).await, json!({"active": false}), "replaced is gone too");
        let rpt = world.bobs_rpt("viewer", &pat, &album).await;
        world.withdraw(&policy).await;
        assert_eq!(world.introspect(&pat, rpt.get("access_token")).await, json!({"active": false}));
        let refresh = rpt.get("refresh_token");
        world.token("viewer", &[("grant_type", "refresh_token"), ("refresh_token", refresh)]).await.refused(400, "invalid_grant");
    }
}

#[tokio::test]
async fn a_limited_policy_is_used_up_and_never_overdrawn() {
    for world in World::each().await {
        let pat = world.pat().await;
        let album = world.resource(&pat, "view").await;
        let policy =
            world.policy(json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": [], "max_uses": 3})).await;
        let world = std::sync::Arc::new(world);
        let mut all = Vec::new();
        for _ in 0..64 {
            let (world, ticket) = (world.clone(), world.ticket(&pat, &album, "view").await);
            all.push(tokio::spawn(async move { world.trade("viewer", &ticket, &[]).await }));
        }
        let mut rpts = Vec::new();
        for one in all {
            let answer = one.await.unwrap();
            if answer.status == 200 {
                rpts.push(answer.get("access_token").to_owned());
            }
        }
        assert_eq!(rpts.len(), 3, "{}", world.engine);
        let pmt = world.access("manager").await;
        let read = world.call("GET", &format!("/uma/policies/{policy}"), &pmt, serde_json::Value::Null).await;
        assert_eq!(read.json["uses"], 3);
        assert_eq!(world.introspect(&pat, &rpts[0]).await["active"], true, "used up changes nothing for what was granted");
    }
}

/// Threat 25: a grant decided before a withdrawal never outlives it.
#[tokio::test]
async fn threat_25_no_grant_outlives_the_policy_it_was_decided_on() {
    for world in World::each().await {
        let pat = world.pat().await;
        let world = std::sync::Arc::new(world);
        for _ in 0..8 {
            let album = world.resource(&pat, "view").await;
            let policy = world.share(&album, "view", "").await;
            let mut grants = Vec::new();
            for _ in 0..8 {
                let (world, ticket) = (world.clone(), world.ticket(&pat, &album, "view").await);
                grants.push(tokio::spawn(async move { world.trade("viewer", &ticket, &[]).await }));
            }
            world.withdraw(&policy).await;
            for grant in grants {
                let answer = grant.await.unwrap();
                if answer.status == 200 {
                    assert_eq!(
                        world.introspect(&pat, answer.get("access_token")).await,
                        json!({"active": false}),
                        "{}",
                        world.engine
                    );
                }
            }
        }
    }
}

/// Threats 13 and 14: an RPT over 500 resources, its ticket and its token stay small.
#[tokio::test]
async fn threat_14_a_large_rpt_is_opaque_and_small() {
    let world = World::one().await;
    let pat = world.pat().await;
    let mut asked = Vec::new();
    for _ in 0..200 {
        let id = world.resource(&pat, "view").await;
        world.share(&id, "view", "").await;
        asked.push(json!({"resource_id": id, "resource_scopes": ["view"]}));
    }
    let ticket = world.call("POST", "/uma/permissions", &pat, json!(asked)).await.ok(201).get("ticket").to_owned();
    assert!(ticket.len() <= 1024);
    let rpt = world.trade("jwt-viewer", &ticket, &[]).await.ok(200).get("access_token").to_owned();
    assert!(rpt.starts_with("wl_rpt_"), "a JWT of this size would fit no header");
    assert_eq!(scopes_of(&world.introspect(&pat, &rpt).await).len(), 200);
}

#[tokio::test]
async fn a_jwt_rpt_says_what_introspection_says() {
    let world = World::one().await;
    let (pat, album, _) = world.album().await;
    let rpt = world.bobs_rpt("jwt-viewer", &pat, &album).await.get("access_token").to_owned();
    let keys = jose::KeySet::from_json(&world.get("/jwks").await.json).unwrap();
    let jws = jose::UnverifiedJws::parse(&rpt).unwrap().expect_type("at+jwt").unwrap().verify(&keys).unwrap();
    let claims = jws.claims::<serde_json::Value>().unwrap().into_inner();
    let seen = world.introspect(&pat, &rpt).await;
    assert_eq!((&claims["permissions"], &claims["aud"]), (&seen["permissions"], &json!(crate::world::PHOTOS)));
    assert_eq!((&claims["sub"], &claims["exp"]), (&seen["sub"], &seen["exp"]));
    assert_ne!(claims["sub"], "bob");
    world.post("/revoke", "jwt-viewer", &[("token", &rpt)]).await.ok(200);
    assert_eq!(world.introspect(&pat, &rpt).await, json!({"active": false}));
}
