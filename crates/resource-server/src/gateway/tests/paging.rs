//! C-8: a page of what an owner has here is read from where it begins.

use super::super::*;
use super::enrolling::folder_of;
use super::world::World;
use axum::body::Body;
use store::{Opinion, Withdrawn};

/// A page's own ids, and where the next begins.
async fn page(world: &World, query: &str) -> (Vec<String>, Option<String>) {
    page_of(world, "my-resources", query, "_resource_id").await
}

async fn page_of(world: &World, list: &str, query: &str, id: &str) -> (Vec<String>, Option<String>) {
    let request = Request::get(format!("/x{query}")).body(()).unwrap().into_parts().0;
    let answer = world.gateway.managed("alice", &request, Body::empty(), list).await.unwrap();
    let link = answer.headers().get("link").map(|link| link.to_str().unwrap().to_owned());
    let next = link.map(|link| link[link.find('?').unwrap()..link.find('>').unwrap()].to_owned());
    let body = axum::body::to_bytes(answer.into_body(), usize::MAX).await.unwrap();
    let all: Vec<serde_json::Value> = serde_json::from_slice(&body).unwrap();
    (all.iter().map(|one| one[id].as_str().unwrap().to_owned()).collect(), next)
}

#[tokio::test]
async fn c08_pages_hold_everything_once_wherever_it_is_known_from() {
    let world = folder_of(Store::in_memory(), 50).await;
    let gateway = &world.gateway;
    let mut wanted: Vec<String> = (0..50).map(|n| format!("/{n:05}.jpg")).collect();
    // registered, and gone from the folder; several registrations of one; spoken of; and of a route that is no more
    for (n, own_id) in ["/a", "/b", "/00007.jpg", "/gone/from/the/routes"].into_iter().enumerate() {
        let all: Vec<_> = (0..=3 * n).map(|_| gateway.pending("alice", &own_id.into(), &world.issuer, None)).collect();
        gateway.store.change_registrations(&all, &[]).await.unwrap();
    }
    for own_id in ["/c", "/00009.jpg"] {
        let opinion = Opinion { name: Some("x".into()), ..Opinion::default() };
        gateway.store.put_opinion("alice", &own_id.into(), &opinion).await.unwrap();
    }
    wanted.extend(["/a", "/b", "/c"].map(str::to_owned));
    for limit in [1, 2, 7, 52, 53, 54, 1_000] {
        let (mut found, mut next) = (Vec::new(), Some(format!("?limit={limit}")));
        while let Some(query) = next {
            let (ids, after) = page(&world, &query).await;
            assert!(!ids.is_empty() && ids.len() <= limit);
            found.extend(ids);
            next = after;
        }
        assert_eq!(found, wanted, "by {limit}");
    }
}

#[tokio::test]
async fn c08_what_is_put_into_the_folder_is_on_the_next_first_page() {
    let world = folder_of(Store::in_memory(), 3).await;
    assert_eq!(page(&world, "").await.0.len(), 3);
    std::fs::write(world.folder.join("a.jpg"), "x").unwrap();
    assert_eq!(page(&world, "").await.0.len(), 4, "also in the same moment");
    std::fs::remove_file(world.folder.join("a.jpg")).unwrap();
    std::fs::create_dir(world.folder.join("album")).unwrap();
    std::fs::write(world.folder.join("album/b.jpg"), "x").unwrap();
    world.gateway.replace_routes(vec![super::world::route("/{album}/{photo}")]);
    assert_eq!(page(&world, "").await.0, ["/album/b.jpg"]);
}

#[tokio::test]
async fn c08_withdrawn_tokens_come_in_pages() {
    let world = folder_of(Store::in_memory(), 0).await;
    for n in 0..250 {
        let token = Withdrawn { jti: format!("{n:03}"), exp: Timestamp(i64::MAX) };
        world.gateway.store.withdraw("alice", &token, Timestamp(1)).await.unwrap();
    }
    let (mut found, mut next) = (Vec::new(), Some(String::new()));
    while let Some(query) = next {
        let (ids, after) = page_of(&world, "my-withdrawn-tokens", &query, "jti").await;
        found.extend(ids);
        next = after;
    }
    assert_eq!(found, (0..250).map(|n| format!("{n:03}")).collect::<Vec<_>>());
}

/// Of a folder of many directories a list may be a second old; what is asked for by name is looked for.
#[tokio::test]
async fn c08_of_many_directories_what_is_asked_for_is_looked_for() {
    let world = folder_of(Store::in_memory(), 0).await;
    for n in 0..100 {
        std::fs::create_dir(world.folder.join(format!("{n:03}"))).unwrap();
        std::fs::write(world.folder.join(format!("{n:03}/a.jpg")), "x").unwrap();
    }
    world.gateway.replace_routes(vec![super::world::route("/{album}/{photo}")]);
    assert_eq!(page(&world, "?limit=1000").await.0.len(), 100);
    std::fs::write(world.folder.join("050/b.jpg"), "x").unwrap();
    let read = Request::get("/x").body(()).unwrap().into_parts().0;
    let answer = world.gateway.managed("alice", &read, Body::empty(), "my-resources/%2F050%2Fb.jpg").await;
    assert_eq!(answer.unwrap().status(), 200);
    assert_eq!(page(&world, "?limit=1000").await.0.len(), 101);
}
