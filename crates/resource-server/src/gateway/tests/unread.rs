//! Row 40: a folder that cannot be read right now is neither empty nor gone.

use super::super::*;
use super::enrolling::{folder_of, manage};
use super::world::World;
use std::sync::atomic::Ordering;
use store::Standing;

fn runs(world: &World) -> bool {
    let destination = told::Destination { owner: "alice".into(), issuer: world.issuer.clone() };
    world.gateway.backlog.runs(&destination)
}

/// A disk that is not there for a moment takes nothing back, and hides nothing.
#[tokio::test]
async fn threat_40_s22_a_folder_that_cannot_be_read_takes_nothing_back() {
    let world = folder_of(Store::in_memory(), 20).await;
    world.asked.hang_but_for(Some(""));
    world.link_and_enrol("alice").await;
    world.until("all are written down", async || world.count("alice", Standing::Pending).await == 20).await;
    world.until("some are being told", async || world.asked.now.load(Ordering::SeqCst) == 8).await;
    let away = world.folder.with_extension("away");
    std::fs::rename(&world.folder, &away).unwrap();
    world.asked.hang_but_for(None);
    world.until("the others wait", async || !runs(&world)).await;
    for (standing, count) in [(Standing::Active, 8), (Standing::Pending, 12), (Standing::Leaving, 0)] {
        assert_eq!(world.count("alice", standing).await, count, "{standing:?}");
    }
    assert_eq!(manage(&world, "GET", "my-resources").await.0, 503, "it says so, and does not leave them out");
    assert_eq!(manage(&world, "GET", "my-resources/%2Funknown.jpg").await.0, 503);
    for path in ["/00015.jpg", "/unknown.jpg"] {
        assert_eq!(world.status(path, None).await, 503, "{path}");
    }
    assert_eq!(world.asked.deleted.lock().unwrap().len(), 0);
    std::fs::rename(&away, &world.folder).unwrap();
    world.gateway.tend().await;
    world.until_registered("alice", 20).await;
    world.assert_each_once(20);
    assert_eq!(manage(&world, "GET", "my-resources").await.0, 200);
    assert_eq!(world.status("/unknown.jpg", None).await, 404, "what is not there is not there");
}

/// Who links while the folder is away loses nothing by it.
#[tokio::test]
async fn threat_40_s22_a_folder_that_is_away_is_walked_through_when_it_is_back() {
    let world = folder_of(Store::in_memory(), 3).await;
    let away = world.folder.with_extension("away");
    std::fs::rename(&world.folder, &away).unwrap();
    let enrolled = world.link_and_enrol("alice").await;
    assert_eq!(enrolled.registered, 0);
    assert!(world.gateway.store.find_unwalked("alice").await.unwrap().is_some(), "it is still to be done");
    std::fs::rename(&away, &world.folder).unwrap();
    world.gateway.enrol("alice");
    world.until_registered("alice", 3).await;
}
