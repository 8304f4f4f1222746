//! Rows 39 and 41: a call is in its owner's history as it ended, and what cannot be read has nobody asked.

use super::super::*;
use super::world::{World, route_with};
use crate::gateway::own_key;
use axum::body::Body;
use history::Outcome;
use tower::ServiceExt;
use types::ScopeSet;

async fn copy(world: &World, token: &str, destination: Option<&str>) -> u16 {
    let mut request = Request::builder().method("COPY").uri("/a.jpg").header("authorization", format!("Bearer {token}"));
    if let Some(destination) = destination {
        request = request.header("destination", destination);
    }
    let answer = world.gateway.clone().router().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    answer.status().as_u16()
}

#[tokio::test]
async fn threat_39_s36_what_was_refused_as_a_whole_is_no_allowed_line() {
    let world = World::new(Store::in_memory(), &["a.jpg", "b.jpg"]).await;
    let view = ScopeSet::parse("view").unwrap();
    let scopes = ["GET", "COPY"].map(|method| (method.to_owned(), view.clone())).into_iter().collect();
    world.gateway.replace_routes(vec![route_with("/{photo}", |guarded| guarded.scopes = scopes)]);
    world.link().await;
    assert_eq!((world.status("/a.jpg", None).await, world.status("/b.jpg", None).await), (401, 401));
    let rpt = world.rpt("r1");
    let lines = async || {
        world.gateway.write_history().await;
        let all = world.gateway.store.list_history("alice", None, 100).await.unwrap();
        all.into_iter().map(|told| (told.what.outcome, told.what.resource_id.to_string())).collect::<Vec<_>>()
    };
    assert_eq!(copy(&world, &rpt, None).await, 400, "where to?");
    assert!(lines().await.is_empty(), "it was not judged at all");
    assert_eq!(copy(&world, &rpt, Some("https://elsewhere.example/b.jpg")).await, 403);
    assert_eq!(copy(&world, &rpt, Some("/b.jpg")).await, 403, "the token is for the other alone");
    let all = lines().await;
    assert!(!all.is_empty() && all.iter().all(|(outcome, _)| *outcome == Outcome::Refused), "{all:?}");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    assert!(lines().await.contains(&(Outcome::Allowed, "/a.jpg".to_owned())));
    // both places of a call that reaches both: here by itself to itself
    assert_eq!(copy(&world, &rpt, Some("/a.jpg")).await, 403, "nothing is copied to itself, but it was let in");
}

struct Nobody;

#[async_trait::async_trait]
impl Matching for Nobody {
    async fn find(&self, _: &crate::matching::Described) -> Result<Option<String>, crate::matching::RecordsError> {
        Ok(None)
    }
}

/// A search that found no room may be tried again with the same token; one that was begun may not.
#[tokio::test]
async fn threat_46_a_search_without_room_leaves_its_token_new() {
    let world = World::new(Store::in_memory(), &[]).await;
    let (settings, client) = (world.gateway.settings.clone(), world.gateway.client.clone());
    let by = By { matching: Some(Arc::new(Nobody)), ..By::default() };
    let gateway = Gateway::open(settings, client, Store::in_memory(), by).await.unwrap();
    let now = gateway.client.clock.now().0;
    let claims = serde_json::json!({"iss": world.issuer, "aud": super::world::RESOURCE, "sub": "s", "iat": now,
        "exp": now + 60, "jti": "1", "pat_assertion": "x"});
    let token = world.key.sign(types::discovery::DISCOVERY_TYPE, &claims).unwrap();
    let post = async || {
        let request = Request::post("/.wayleave/discover").body(Body::from(token.clone())).unwrap();
        gateway.clone().router().oneshot(request).await.unwrap().status().as_u16()
    };
    let all = gateway.looking.clone().acquire_many_owned(64).await.unwrap();
    assert_eq!((post().await, post().await), (503, 503));
    drop(all);
    assert_eq!((post().await, post().await), (202, 400));
}

/// A proof that the process before a restart may have seen does not count, to the second; a new one does.
#[tokio::test]
async fn threat_08_a_proof_is_not_good_again_after_a_restart() {
    let world = World::new(Store::in_memory(), &[]).await;
    assert_eq!(world.gateway.store.served_as().await.unwrap().as_deref(), Some(super::world::RESOURCE));
    assert_eq!(world.gateway.proofs.began(), Timestamp(0), "nobody was there before");
    let kept = world.gateway.store.find_secret(own_key::KEY).await.unwrap().unwrap();
    let store = Store::in_memory();
    store.put_secret(own_key::KEY, kept).await.unwrap();
    let before = world.gateway.client.clock.now();
    let again = world.again(store).await;
    let began = again.gateway.proofs.began();
    assert!(before < began, "{before:?} {began:?}");
    again.gateway.wait_for_new_proofs().await;
    assert!(began <= again.gateway.client.clock.now());
}
