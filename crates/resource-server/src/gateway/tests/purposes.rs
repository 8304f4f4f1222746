//! Threat 17: a place that the operator lists is called for what it is listed for, and never because somebody named it.

use super::super::*;
use super::world::{self, World, serve};
use axum::routing::{get, post};
use serde_json::json;
use std::sync::atomic::{AtomicUsize, Ordering};

/// A service of the operator's own on loopback, which would also be somebody's authorization server if it were asked.
async fn service(asked: Arc<AtomicUsize>) -> String {
    let own_url = Arc::new(std::sync::OnceLock::<String>::new());
    let url = own_url.clone();
    let metadata = move || {
        asked.fetch_add(1, Ordering::SeqCst);
        let url = url.get().unwrap().clone();
        let document = json!({"issuer": url, "token_endpoint": format!("{url}/token"), "jwks_uri": format!("{url}/jwks"),
            "authorization_endpoint": format!("{url}/authorize")});
        async move { axum::Json(document) }
    };
    let router = Router::new()
        .route("/.well-known/uma2-configuration", get(metadata))
        .route("/owner", get(async || "alice"))
        .route("/u/alice", post(async || "it was called"));
    let url = serve(router).await;
    own_url.set(url.clone()).unwrap();
    url
}

#[tokio::test]
async fn threat_17_what_an_owner_brings_reaches_no_place_of_the_operators() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let asked = Arc::<AtomicUsize>::default();
    let service = service(asked.clone()).await;
    let lookup = format!("{service}/owner?path={{path}}");
    let route = world::route_with("/{photo}", |guarded| guarded.owner = OwnerOf::Lookup(lookup.clone()));
    let settings = Settings { routes: vec![route], trust: Trust::Any, ..world.gateway.settings.clone() };
    let configured = vec![world.issuer.clone(), lookup];
    let outbound = outbound::Outbound::new(outbound::Settings { configured, ..outbound::Settings::default() }).unwrap();
    let client = Client { outbound: outbound.for_strangers(), ..world.gateway.client.clone() };
    let gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();

    assert!(gateway.peer(&service).await.is_err(), "an owner names it as her authorization server");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
    let listed = gateway.peer(&world.issuer).await.unwrap();
    let there = format!("{service}/u/alice");
    let call = || outbound::Request::json(outbound::Method::POST, &there, &json!({}));
    let sent = listed.protection.client.outbound.send(call()).await;
    assert!(sent.is_err(), "a listed server names it as an endpoint of its own");
    assert!(gateway.client.outbound.send(call()).await.is_err(), "an owner names it as the place of her keys");
    let (mut parts, ()) = http::Request::get("/a.jpg").body(()).unwrap().into_parts();
    let path = path::CanonicalPath::parse("/a.jpg").unwrap();
    let Ok(wanted) = gateway.wanted(&mut parts, &path).await else { panic!("the look-up is called") };
    assert_eq!(wanted.owner, "alice");
}
