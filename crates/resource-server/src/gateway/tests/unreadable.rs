//! Row 40: what happens to calls while the gateway's store cannot be read.

use super::super::store::tests::{AWAY, BACK, Broken, denying};
use super::super::*;
use super::world::World;

/// A store on the same file.
fn same(broken: &mut Broken) -> Store {
    std::mem::replace(&mut broken.store, Store::in_memory())
}

#[tokio::test]
async fn threat_40_s22_rules_that_cannot_be_read_let_nothing_pass() {
    let mut broken = Broken::new().await;
    let world = World::new(same(&mut broken), &["a.jpg", "b.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    let rpt = world.rpt("r1");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    world.gateway.store.put_rule("alice", &denying()).await.unwrap();
    broken.run(1, "ALTER TABLE rule RENAME TO rule_away");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 503);
    broken.run(2, "ALTER TABLE rule_away RENAME TO rule");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 401, "that there was no rule was not remembered");
}

#[tokio::test]
async fn threat_40_s22_nothing_is_registered_twice_and_no_key_made_anew() {
    let mut broken = Broken::new().await;
    let world = World::new(same(&mut broken), &["a.jpg", "b.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    broken.run(1, AWAY);
    for path in ["/a.jpg", "/b.jpg"] {
        // `/a.jpg` is still in memory; its owner's words are not
        assert_eq!(world.status(path, None).await, 503, "{path}");
    }
    assert_eq!(world.registered(), ["/a.jpg"]);
    let opened = Store::open(&database::Location::File(broken.path()), &[7; 32]).await;
    assert!(opened.is_err(), "{:?}", opened.err());
    broken.run(2, BACK);
    assert_eq!(world.status("/a.jpg", None).await, 401);
    assert_eq!(world.status("/b.jpg", None).await, 401);
    assert_eq!(world.registered(), ["/a.jpg", "/b.jpg"]);
}

/// What was told to the authorization server and could not be kept is found there again.
#[tokio::test]
async fn threat_40_s22_a_store_that_cannot_be_written_registers_nothing() {
    let mut broken = Broken::new().await;
    let world = World::new(same(&mut broken), &["a.jpg"]).await;
    world.link().await;
    broken.run(1, "CREATE TRIGGER full BEFORE INSERT ON registered BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END");
    assert_eq!(world.status("/a.jpg", None).await, 503);
    assert!(world.registered().is_empty());
    broken.run(2, "DROP TRIGGER full");
    assert_eq!(world.status("/a.jpg", None).await, 401);
    assert_eq!(world.registered(), ["/a.jpg"]);
}
