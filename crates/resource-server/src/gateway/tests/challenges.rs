//! Row 47: what a refusal says of the scheme that was used.

use super::super::*;
use super::world::World;
use async_trait::async_trait;
use axum::body::Body;
use tower::ServiceExt;

/// Knows everybody, with a token for something else.
struct Elsewhere;

#[async_trait]
impl OwnLogIn for Elsewhere {
    async fn verify(&self, _: &Sent<'_>) -> Result<OwnToken, Unfit> {
        Ok(OwnToken { scope: "openid".into(), owner: Some("alice".into()), application: None })
    }

    async fn stands(&self, _: &str) -> Result<bool, ProtectionError> {
        Ok(true)
    }
}

#[tokio::test]
async fn threat_47_s27_a_scope_that_does_not_suffice_is_told_by_the_scheme_that_was_used() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let management = Some(Management { issuer: world.issuer.clone(), owner_claim: "sub".into() });
    let settings = Settings { management, ..world.gateway.settings.clone() };
    let by = By { own_log_in: Some(Arc::new(Elsewhere)), matching: None, browser_client: None };
    let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), by).await.unwrap();
    for (scheme, expected) in
        [("Bearer", "Bearer realm="), ("bearer", "Bearer realm="), ("DPoP", "DPoP algs="), ("dpop", "DPoP algs=")]
    {
        let request = Request::get("/.wayleave/manage/my-resources").header("authorization", format!("{scheme} x"));
        let answer = gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), 403);
        let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
        let says = "error=\"insufficient_scope\", scope=\"uma_management\"";
        assert!(challenge.starts_with(expected) && challenge.ends_with(says), "{challenge}");
    }
}
