//! What a server puts off that was to be registered.

use super::world::World;
use crate::gateway::Store;
use crate::gateway::store::Standing;

/// Anybody may have chosen the name by which it cannot be registered: it closes nothing else of its owner's.
#[tokio::test]
async fn threat_46_one_thing_that_is_put_off_closes_no_other() {
    let files = ["a.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"];
    let world = World::new(Store::in_memory(), &files).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    world.asked.answer_after(0, 503);
    assert_eq!(world.status("/b.jpg", None).await, 403);
    world.asked.answer_well();
    assert_eq!(world.status("/a.jpg", None).await, 401, "what is known stays as it was");
    assert_eq!(world.status("/c.jpg", None).await, 401, "so does what is new");
    assert_eq!(world.count("alice", Standing::Pending).await, 0, "nothing waits in the background for a name of a stranger's");
    // where one after the other is put off the server has too much to do
    world.asked.answer_after(0, 503);
    for path in ["/d.jpg", "/e.jpg"] {
        assert_eq!(world.status(path, None).await, 403);
    }
    world.asked.answer_well();
    assert_eq!(world.status("/d.jpg", None).await, 403, "it is left alone for a while");
    assert_eq!(world.status("/a.jpg", None).await, 401);
}

#[tokio::test]
async fn threat_46_a_name_that_cannot_be_kept_is_refused_and_registered_nowhere() {
    let world = World::new(Store::in_memory(), &[]).await;
    world.link().await;
    let name = |length: usize| format!("/{}", "x".repeat(length - 1));
    let most = types::OwnResourceId::MOST_BYTES;
    assert_eq!((world.status(&name(most), None).await, world.status(&name(most + 1), None).await), (404, 414));
    assert!(world.registered().is_empty());
}
