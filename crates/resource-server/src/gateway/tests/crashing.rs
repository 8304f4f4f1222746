//! Row 46, C-8: what a crash or a lost answer left is done once, and one look at the server is for all of it.

use super::super::store::tests::Broken;
use super::super::*;
use super::enrolling::{destination, folder_of};
use std::sync::atomic::Ordering;
use store::Standing;

/// A store on the same file.
fn same(broken: &mut Broken) -> Store {
    std::mem::replace(&mut broken.store, Store::in_memory())
}

#[tokio::test]
async fn threat_46_c08_after_a_crash_each_is_registered_once_and_the_server_is_listed_once() {
    let world = folder_of(Store::in_memory(), 600).await;
    world.link().await;
    // a crash: 400 were written down, eight of them were told, three of these answers were written down
    let gateway = &world.gateway;
    let own_ids = (0..400).map(|n| format!("/{n:05}.jpg"));
    let mut pending: Vec<_> =
        own_ids.map(|own_id| gateway.pending("alice", &own_id.as_str().into(), &world.issuer, None)).collect();
    world.asked.registered.lock().unwrap().extend((0..8).map(|n| format!("/{n:05}.jpg")));
    for (n, done) in pending.iter_mut().take(3).enumerate() {
        (done.standing, done.resource_id) = (Standing::Active, Some(format!("r{}", n + 1).as_str().into()));
    }
    gateway.store.change_registrations(&pending, &[]).await.unwrap();
    gateway.store.put_unwalked("alice", "mark").await.unwrap();
    gateway.tend().await;
    world.until_registered("alice", 600).await;
    world.assert_each_once(600);
    let (listed, read) = (world.asked.listed.load(Ordering::SeqCst), world.asked.read.load(Ordering::SeqCst));
    assert!(listed <= 2, "for 397 rows: {listed}");
    assert!(read <= 5 + 2 * 8, "what is not ours is read: {read}");
    assert!(gateway.store.find_unwalked("alice").unwrap().is_none());
}

#[tokio::test]
async fn threat_46_c08_a_gateway_that_ends_in_the_middle_goes_on_at_its_next_start() {
    let mut broken = Broken::new();
    let world = folder_of(same(&mut broken), 2_000).await;
    world.link_and_enrol("alice").await;
    world.until("some are registered", || world.registered().len() > 100).await;
    world.gateway.close().await;
    let told = world.registered().len();
    assert!(told < 2_000, "{told}");
    let again = world.again(Store::open(&broken.path()).unwrap()).await;
    assert_eq!(again.count("alice", Standing::Active), told, "what was told was written down");
    again.gateway.tend().await;
    again.until_registered("alice", 2_000).await;
    again.assert_each_once(2_000);
}

/// Each answer is lost: by the server's error, after it has registered.
#[tokio::test]
async fn threat_46_c08_lost_answers_register_nothing_twice() {
    let world = folder_of(Store::in_memory(), 60).await;
    world.asked.hears_all.store(true, Ordering::SeqCst);
    world.asked.answer_after(20, 500);
    world.link_and_enrol("alice").await;
    let waits = || !world.gateway.backlog.runs(&destination(&world)) && world.count("alice", Standing::Active) >= 20;
    world.until("the run has halted", waits).await;
    assert!(world.registered().len() > 20);
    // by a call too
    assert_eq!(world.status("/00059.jpg", None).await, 403);
    world.asked.answer_well();
    world.gateway.expect_news(&destination(&world));
    world.gateway.tend().await;
    world.until_registered("alice", 60).await;
    world.assert_each_once(60);
}
