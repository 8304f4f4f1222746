//! What an owner signed lets in by a JWT RPT alone: this gateway has no PAT of hers, and asks nobody (protocol.md 3). An opaque RPT would
//! have to be asked about; so no authorization server gives one because of what a signed text says (decision 0066).

use super::super::*;
use super::world::{RESOURCE, World};
use axum::body::Body;
use jose::{Clock, SystemClock, did};
use serde_json::json;
use tower::ServiceExt;
use types::credential::{CredentialDocument, CredentialType};

#[tokio::test]
async fn a_signed_share_of_several_people_needs_no_pat_and_an_opaque_rpt_would() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let settings = Settings { trust: Trust::RotRequired, ..world.gateway.settings.clone() };
    let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), By::default()).await.unwrap();
    let (hers, now) = (SigningKey::generate(Algorithm::EdDsa).unwrap(), SystemClock.now());
    let did = did::of_key(hers.public());
    let credential = CredentialDocument {
        id: "hers".into(),
        cred_type: CredentialType::Did,
        cred_value: json!({"id": did}),
        created: now,
        last_used: None,
        by: None,
    };
    gateway.store.put_credential("alice", &did, &credential).await.unwrap();
    let text = json!({"jti": "s", "iss": did, "resource_owner_id": did, "aud": [RESOURCE, world.issuer], "iat": now.0,
        "exp": now.0 + 3_600, "allowed_rqp": {"claims": {"email": ["bob@bar.example", "carol@foo.example"]}},
        "resources": [{"resource_server": RESOURCE, "resource_id": "/a.jpg", "allowed_scopes": ["view"]}]});
    let text = hers.sign_as("rot+jwt", &did, &text).unwrap();
    let rpt = json!({"iss": world.issuer, "aud": RESOURCE, "jti": "1", "iat": now.0, "exp": now.0 + 50, "client_id": "viewer",
        "sub": "bob", "permissions": [{"resource_id": "/a.jpg", "resource_scopes": ["view"], "authority": text}]});
    let rpt = world.key.sign("at+jwt", &rpt).unwrap();
    let get = async |token: &str| {
        let request = Request::get("/a.jpg").header("authorization", format!("Bearer {token}")).body(Body::empty()).unwrap();
        gateway.clone().router().oneshot(request).await.unwrap().status().as_u16()
    };
    assert_eq!(gateway.preferred_server("alice").await, Ok(None), "she has linked nothing");
    assert_eq!(get(&rpt).await, 200);
    assert_eq!(get("wlr_an-opaque-one").await, 403, "nobody can be asked about it");
}
