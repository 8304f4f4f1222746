//! Metadata (Grant 2, Federated Authorization 2).

use crate::world::{ISSUER, UMA, World};

/// Cases: G-2-1, G-2-2, G-2-3, G-2-5, G-2-6, G-2-9, G-3.3.1-14, G-4-2, G-7-1, F-1.5-1, F-2-1, F-2-2, F-2-3, F-2-4, F-5-2, F-9-1, G-5.3-1
#[tokio::test]
async fn one_document_says_everything_under_every_path() {
    let world = World::one().await;
    let uma = world.get("/.well-known/uma2-configuration").await;
    for path in ["/.well-known/openid-configuration", "/.well-known/oauth-authorization-server"] {
        assert_eq!(world.get(path).await.text, uma.text);
    }
    let json = &uma.ok(200).json;
    assert_eq!(json["issuer"], ISSUER);
    assert!(uma.header("content-type").starts_with("application/json"));
    assert!(json["grant_types_supported"].as_array().unwrap().contains(&UMA.into()));
    for endpoint in [
        "authorization_endpoint",
        "token_endpoint",
        "jwks_uri",
        "introspection_endpoint",
        "registration_endpoint",
        "revocation_endpoint",
        "pushed_authorization_request_endpoint",
        "claims_interaction_endpoint",
        "permission_endpoint",
        "resource_registration_endpoint",
        "policy_endpoint",
        "registered_resources_endpoint",
        "access_requests_endpoint",
        "events_endpoint",
    ] {
        assert!(json[endpoint].as_str().unwrap_or_default().starts_with(ISSUER), "{endpoint}");
    }
    let profiles = json["uma_profiles_supported"].as_array().unwrap();
    assert!(profiles.contains(&"urn:wayleave:params:uma:profile:dpop".into()));
    assert!(json["claim_token_formats_supported"][0].as_str().unwrap().ends_with("#IDToken"));
    assert_eq!(json["code_challenge_methods_supported"], serde_json::json!(["S256"]));
}

/// Cases: G-2-1
#[tokio::test]
async fn an_issuer_with_a_path_is_served_where_each_standard_says() {
    let config = "[server]\nissuer = \"http://127.0.0.1:8080/tenant1\"\n[store]\nurl = \"memory:\"\n";
    let config = wayleave::config::Config::parse(config, std::iter::empty(), std::env::temp_dir()).unwrap();
    let server = wayleave::assemble::server(&config).await.unwrap();
    let router = web::site(server.app);
    let status = async |path: &str| {
        let request = http::Request::builder().uri(path).body(axum::body::Body::empty()).unwrap();
        tower::ServiceExt::oneshot(router.clone(), request).await.unwrap().status().as_u16()
    };
    assert_eq!(status("/tenant1/.well-known/uma2-configuration").await, 200);
    assert_eq!(status("/.well-known/oauth-authorization-server/tenant1").await, 200);
    assert_eq!(status("/.well-known/uma2-configuration").await, 404);
}

/// `[profiles] extensions = false` is plain UMA 2.0.
#[tokio::test]
async fn without_extensions_their_members_are_absent_and_their_paths_gone() {
    let world = World::on("memory", "[profiles]\nextensions = false\n").await;
    let json = world.get("/.well-known/uma2-configuration").await.json;
    for member in ["policy_endpoint", "uma_profiles_supported", "access_requests_endpoint", "events_endpoint"] {
        assert!(json.get(member).is_none(), "{member}");
    }
    for path in ["/uma/policies", "/uma/events", "/uma/access-requests", "/uma/registered-resources"] {
        world.get(path).await.refused(404, "not_found");
    }
}
