use super::*;
use axum::body::Body;
use client::{Client, Credentials};
use jose::{SystemClock, SystemRandomness};
use outbound::{Outbound, Settings};
use std::convert::Infallible;
use std::sync::atomic::{AtomicBool, Ordering};
use tower::ServiceExt;
use types::ScopeSet;
use types::metadata::Metadata;

/// One whose authorization server is nowhere: whoever asks it is answered 403.
fn server() -> Arc<ResourceServer> {
    let client = Client {
        outbound: Outbound::new(Settings { allow_http: true, allow_private_networks: true, ..Settings::default() }).unwrap(),
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("notes-rs", "notes-secret"),
        dpop_key: None,
    };
    let metadata = Metadata {
        issuer: "http://127.0.0.1:1".into(),
        token_endpoint: "http://127.0.0.1:1/token".into(),
        ..Metadata::default()
    };
    Arc::new(ResourceServer::new(Protection { client, metadata }, "notes", "http://127.0.0.1:9100"))
}

#[tokio::test]
async fn threat_47_s38_a_service_behind_the_layer_sees_no_doubled_credentials() {
    let reached = Arc::new(AtomicBool::new(false));
    let reach = reached.clone();
    let service = tower::service_fn(move |_: Request| {
        reach.store(true, Ordering::SeqCst);
        std::future::ready(Ok::<_, Infallible>(Response::new(Body::empty())))
    });
    let need = Need { resource: ResourceId::from("note"), scopes: ScopeSet::parse("read").unwrap() };
    let guarded = UmaLayer::new(server(), move |_| Some(need.clone())).layer(service);
    for (fields, status, scheme) in [
        (&[("authorization", "Bearer a"), ("authorization", "Bearer b")][..], 400, "Bearer "),
        (&[("authorization", "Bearer a, Bearer b")], 400, "Bearer "),
        (&[("authorization", "DPoP a"), ("dpop", "p"), ("dpop", "q")], 401, "DPoP "),
    ] {
        let mut request = http::Request::builder().uri("/notes/1");
        for (name, value) in fields {
            request = request.header(*name, *value);
        }
        let answer = guarded.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        assert_eq!(answer.status(), status, "{fields:?}");
        assert!(answer.headers()["www-authenticate"].to_str().unwrap().starts_with(scheme), "{fields:?}");
    }
    assert!(!reached.load(Ordering::SeqCst));
}
