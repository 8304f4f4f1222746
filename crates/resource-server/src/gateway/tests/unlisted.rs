//! A server that the operator took off the list guards nothing any more (`trust = "list"`), whatever was linked and registered.

use super::super::*;
use super::world::World;
use axum::body::Body;
use tower::ServiceExt;
use types::OwnResourceId;

const GONE: &str = "https://gone.example";

async fn call(world: &World) -> (u16, String) {
    let request = Request::get("/a.jpg").body(Body::empty()).unwrap();
    let answer = world.gateway.clone().router().oneshot(request).await.unwrap();
    let challenge = answer.headers().get("www-authenticate").map(|value| value.to_str().unwrap().to_owned());
    let status = answer.status().as_u16();
    let text = axum::body::to_bytes(answer.into_body(), 10_000).await.unwrap();
    (status, challenge.unwrap_or_else(|| String::from_utf8_lossy(&text).into_owned()))
}

#[tokio::test]
async fn a_server_that_is_taken_off_the_list_guards_no_more() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(call(&world).await.0, 401);
    let (store, own_id) = (&world.gateway.store, OwnResourceId::from("/a.jpg"));
    let all = store.registrations("alice", &own_id).await.unwrap();
    let theirs: Vec<_> = all.iter().map(|one| store::Registered { issuer: GONE.into(), ..one.clone() }).collect();
    store.change_registrations(&theirs, &[]).await.unwrap();
    // where she has linked another, that one guards it from now on
    let (status, challenge) = call(&world).await;
    assert!(status == 401 && challenge.contains(&world.issuer) && !challenge.contains(GONE), "{status} {challenge}");
    // and where she has not, nobody does
    let link = store.find_link("alice", &world.issuer).await.unwrap().unwrap();
    store.put_link("alice", GONE, &link).await.unwrap();
    store.put_link("alice", &world.issuer, &store::Link { state: store::LinkState::Withdrawn, ..(*link).clone() }).await.unwrap();
    let now = store.registrations("alice", &own_id).await.unwrap();
    store.change_registrations(&theirs, &now.iter().filter(|one| one.issuer != GONE).collect::<Vec<_>>()).await.unwrap();
    let (status, text) = call(&world).await;
    assert!(status == 403 && text.contains("/.wayleave/link"), "{status} {text}");
}
