//! What an owner says to a gateway is held to what it can mean: an address is one, a server is a place that may be asked, and a
//! rule takes something away.

use super::super::*;
use super::world::World;
use axum::body::Body;
use serde_json::{Value, json};

async fn post(gateway: &Arc<Gateway>, path: &str, wanted: &Value) -> (u16, Value) {
    let call = Request::post("/x").body(()).unwrap().into_parts().0;
    let answer = gateway.managed("alice", &call, Body::from(wanted.to_string()), path).await;
    let answer = answer.unwrap_or_else(|refusal| refusal);
    let status = answer.status().as_u16();
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    (status, serde_json::from_slice(&body).unwrap_or_default())
}

#[tokio::test]
async fn threat_38_s07_an_address_at_which_a_server_is_looked_for_is_one() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let host = world.issuer.strip_prefix("http://").unwrap();
    for local in ["a@b", "a\r\nX: y", "\"x\"", "a b", "a\u{200b}b", ".a", &"a".repeat(70), "", "<a>"] {
        let (status, answer) =
            post(&world.gateway, "authorization-servers", &json!({"address": format!("{local}@{host}")})).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{local:?}: {answer}");
    }
    for address in ["a@0x7f.1", "a@1.2.3.4", "a@[127.0.0.1]", "a@foo.example/x", "foo.example", "a@foo.example:x", "a@"] {
        let (status, answer) = post(&world.gateway, "authorization-servers", &json!({"address": address})).await;
        assert_eq!((status, &answer["error"]), (400, &json!("invalid_request")), "{address}: {answer}");
    }
    // one that fits is asked about, in a laboratory at a port as well
    let (status, answer) = post(&world.gateway, "authorization-servers", &json!({"address": format!("Alice@{host}")})).await;
    assert_eq!((status, &answer["error"]), (400, &json!("unsupported_authorization_server")), "{answer}");
}

#[tokio::test]
async fn what_is_no_issuer_is_no_authorization_server() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    let settings = Settings { trust: Trust::Any, ..world.gateway.settings.clone() };
    let gateway = Gateway::open(settings, world.gateway.client.clone(), Store::in_memory(), By::default()).await.unwrap();
    let registrations = "my-resources/%2Fa.jpg/registrations";
    for issuer in [
        "x",
        "",
        "ftp://as.example",
        "javascript:x",
        "https://user:secret@as.example",
        "https://as.example/?a=b",
        "https://as.example/#a",
        "https:///",
    ] {
        let (status, answer) = post(&gateway, "authorization-servers", &json!({"issuer": issuer})).await;
        assert_eq!((status, &answer["error"]), (400, &json!("unsupported_authorization_server")), "{issuer}: {answer}");
        let (status, answer) = post(&gateway, registrations, &json!({"authorization_server": issuer})).await;
        assert_eq!((status, &answer["error"]), (400, &json!("unsupported_authorization_server")), "{issuer}: {answer}");
        assert!(!answer.to_string().contains("secret"), "{answer}");
    }
    // a place that may be asked, and does not answer
    let (status, answer) = post(&gateway, "authorization-servers", &json!({"issuer": "http://127.0.0.1:1"})).await;
    assert_eq!((status, &answer["error"]), (502, &json!("authorization_server_unreachable")), "{answer}");
}

#[tokio::test]
async fn a_rule_that_would_take_nothing_away_is_refused() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    for (rule, error) in [
        (json!({"effect": "deny", "resource_scopes": ["fly"]}), "invalid_scope"),
        (json!({"effect": "deny", "resource_scopes": ["view", "fly"]}), "invalid_scope"),
        (json!({"effect": "deny", "resource_id": "/a.jpg", "resource_scopes": ["fly"]}), "invalid_scope"),
        (json!({"effect": "deny", "resource_scopes": []}), "invalid_request"),
        (json!({"effect": "deny", "client_id": ""}), "invalid_request"),
        (json!({"effect": "deny", "client_id": "a\nb"}), "invalid_request"),
        (json!({"effect": "deny", "claims": {"sub": []}}), "invalid_request"),
        (json!({"effect": "deny", "claims": {"sub": ""}}), "invalid_request"),
        (json!({"effect": "deny", "claims": {"sub": ["bob", ""]}}), "invalid_request"),
        (json!({"effect": "deny", "claims": {"": "bob"}}), "invalid_request"),
        (json!({"effect": "deny", "_id": "mine"}), "invalid_request"),
        (json!({"effect": "deny", "resource_id": "/none.jpg"}), "not_found"),
        (json!({"effect": "deny", "resource_id": ""}), "not_found"),
    ] {
        let (status, answer) = post(&world.gateway, "my-rules", &rule).await;
        assert!(matches!(status, 400 | 404) && answer["error"] == error, "{rule}: {status} {answer}");
    }
    for rule in [
        json!({"effect": "deny"}),
        json!({"effect": "deny", "resource_id": "/a.jpg", "resource_scopes": ["view"], "client_id": "c", "claims": {"sub": ["bob"]}}),
    ] {
        assert_eq!(post(&world.gateway, "my-rules", &rule).await.0, 201, "{rule}");
    }
}
