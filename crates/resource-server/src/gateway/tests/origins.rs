//! Row 46: what an owner's servers name lies where they like, also at the place of another owner's server.

use super::super::link::FULL;
use super::super::questions::Work;
use super::super::*;
use super::world::{World, serve};
use axum::body::Body;
use axum::routing::{get, post};
use futures_util::stream::{FuturesUnordered, StreamExt};
use serde_json::json;
use std::sync::OnceLock;
use tokio::sync::{Semaphore, mpsc};
use types::OwnResourceId;
use types::peer::Caller;

/// An authorization server whose questions about tokens are answered one by one.
struct Slow {
    issuer: String,
    asked: mpsc::UnboundedReceiver<String>,
    may_answer: Arc<Semaphore>,
}

async fn serve_slowly() -> Slow {
    let (url, (hear, asked), may_answer) =
        (Arc::<OnceLock<String>>::default(), mpsc::unbounded_channel(), Arc::new(Semaphore::new(0)));
    let leave = may_answer.clone();
    let introspect = move |body: String| async move {
        hear.send(body).unwrap();
        leave.acquire().await.unwrap().forget();
        axum::Json(json!({"active": false}))
    };
    let named = url.clone();
    let metadata = move || async move { axum::Json(document(named.get().unwrap(), named.get().unwrap())) };
    let router = Router::new().route("/.well-known/uma2-configuration", get(metadata)).route("/introspect", post(introspect));
    let issuer = serve(router).await;
    url.set(issuer.clone()).unwrap();
    Slow { issuer, asked, may_answer }
}

/// Metadata of this issuer, with what is asked at that place.
fn document(issuer: &str, place: &str) -> serde_json::Value {
    json!({"issuer": issuer, "token_endpoint": format!("{place}/token"), "jwks_uri": format!("{place}/jwks"),
        "authorization_endpoint": format!("{place}/authorize"), "introspection_endpoint": format!("{place}/introspect")})
}

/// A server that names another's endpoints as its own.
async fn serve_at(place: String) -> String {
    let url = Arc::<OnceLock<String>>::default();
    let named = url.clone();
    let metadata = move || async move { axum::Json(document(named.get().unwrap(), &place)) };
    let issuer = serve(Router::new().route("/.well-known/uma2-configuration", get(metadata))).await;
    url.set(issuer.clone()).unwrap();
    issuer
}

/// Mallory brought 44 servers that name the place of Alice's server as theirs, and has it asked for each as often as she can:
/// questions in the name of Alice's server are asked at the next turn, those of new calls and of what is under way.
#[tokio::test]
async fn threat_46_servers_that_lie_at_anothers_place_keep_nobody_from_it() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let mut slow = serve_slowly().await;
    let mut peers = Vec::new();
    for _ in 0..44 {
        let issuer = serve_at(slow.issuer.clone()).await;
        peers.push(world.gateway.peer(&issuer).await.unwrap());
    }
    let hers = world.gateway.peer(&slow.issuer).await.unwrap();
    let from = |address: &str| Some(Caller(address.parse().unwrap()));
    let mallory = Work::Calls.of(from("192.0.2.1"));
    // as many as wait there at all, and more
    let calls = (0..32).flat_map(|n| peers.iter().map(move |peer| (peer, n)));
    let mut flood: FuturesUnordered<_> = calls
        .map(|(peer, n)| {
            let by = mallory.clone();
            async move { peer.protection.introspect("pat", &format!("mallorys{n}"), &by).await }
        })
        .collect();
    let mut begun = 0;
    while begun < 256 {
        tokio::select! {
            Some(_) = slow.asked.recv() => begun += 1,
            // who has to leave the line
            Some(left) = flood.next() => assert_eq!(left.err(), Some(crate::protection::ProtectionError::Busy)),
        }
    }
    for (token, by) in [("call", Work::Calls.of(from("198.51.100.1"))), ("look", Work::Looks.of(from("198.51.100.1")))] {
        let mut asking = Box::pin(hers.protection.introspect("pat", token, &by));
        assert!(futures_util::poll!(asking.as_mut()).is_pending());
        slow.may_answer.add_permits(3);
        let mut before = 0;
        loop {
            tokio::select! {
                // it hears before it answers
                biased;
                heard = slow.asked.recv() => match heard.unwrap().contains(&format!("token={token}&")) {
                    true => break,
                    false => before += 1,
                },
                _ = flood.next() => {}
                answer = asking.as_mut() => panic!("nobody asked for the {token}: {answer:?}"),
            }
        }
        // those whose turn it was before: a thousand wait
        assert!(before <= 8, "{token} after {before} others");
    }
}

fn link_of(created: i64) -> store::Link {
    link::new_link(types::Timestamp(created))
}

/// An owner brings sixteen. What guards something stays, and what guards nothing makes room.
#[tokio::test]
async fn threat_46_one_owner_brings_so_many_servers() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    let settings = Settings { trust: Trust::Any, ..world.gateway.settings.clone() };
    let client = world.gateway.client.clone();
    let gateway = Gateway::open(settings, client, Store::in_memory(), By::default()).await.unwrap();
    let brought = |n: i64| format!("https://as{n}.example");
    let guards = |n: i64| {
        let own_id = OwnResourceId::from(format!("thing{n}").as_str());
        gateway.pending("mallory", &own_id, &brought(n), None)
    };
    for n in 0..16 {
        assert!(gateway.has_room("mallory", &brought(n)).await.unwrap());
        gateway.store.put_link("mallory", &brought(n), &link_of(n)).await.unwrap();
        gateway.store.change_registrations(&[guards(n)], &[]).await.unwrap();
    }
    let more = brought(99);
    assert!(!gateway.has_room("mallory", &more).await.unwrap() && !gateway.make_room("mallory", &more).await.unwrap());
    for known in [&brought(3), &world.issuer] {
        assert!(gateway.has_room("mallory", known).await.unwrap() && gateway.make_room("mallory", known).await.unwrap());
    }
    assert!(gateway.has_room("alice", &more).await.unwrap());
    let call = Request::post("/x").body(()).unwrap().into_parts().0;
    let wanted = Body::from(json!({"issuer": more}).to_string());
    let refused = gateway.managed("mallory", &call, wanted, "authorization-servers").await.unwrap_err();
    let status = refused.status();
    let body = axum::body::to_bytes(refused.into_body(), usize::MAX).await.unwrap();
    assert!(status == 409 && String::from_utf8_lossy(&body).contains(FULL), "{status}");
    // the one at which nothing is registered any more; never the one where the next thing of hers would be
    for gone in [0, 7] {
        let own_id = OwnResourceId::from(format!("thing{gone}").as_str());
        let registered = gateway.store.registrations("mallory", &own_id).await.unwrap();
        gateway.store.change_registrations(&[], &registered.iter().collect::<Vec<_>>()).await.unwrap();
    }
    assert!(gateway.has_room("mallory", &more).await.unwrap() && gateway.make_room("mallory", &more).await.unwrap());
    let links = gateway.store.list_links("mallory").await.unwrap();
    let withdrawn: Vec<_> = links.iter().filter(|(_, link)| link.state == store::LinkState::Withdrawn).collect();
    assert!(withdrawn.len() == 1 && withdrawn[0].0 == brought(7));
}
