//! Row 46, C-8: what a crash or a lost answer left is done once, and one look at the server is for all of it.

use super::super::store::tests::{Broken, open_file};
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
    gateway.store.change_links("alice", &[], Some("mark")).await.unwrap();
    gateway.tend().await;
    world.until_registered("alice", 600).await;
    world.assert_each_once(600);
    let (listed, read) = (world.asked.listed.load(Ordering::SeqCst), world.asked.read.load(Ordering::SeqCst));
    assert!(listed <= 2, "for 397 rows: {listed}");
    assert!(read <= 5 + 2 * 8, "what is not ours is read: {read}");
    assert!(gateway.store.find_unwalked("alice").await.unwrap().is_none());
}

#[tokio::test]
async fn threat_46_c08_a_gateway_that_ends_in_the_middle_goes_on_at_its_next_start() {
    let mut broken = Broken::new().await;
    let world = folder_of(same(&mut broken), 2_000).await;
    world.link_and_enrol("alice").await;
    world.until("some are registered", async || world.registered().len() > 100).await;
    world.gateway.close().await;
    let told = world.registered().len();
    assert!(told < 2_000, "{told}");
    let again = world.again(open_file(&broken.path()).await).await;
    assert_eq!(again.count("alice", Standing::Active).await, told, "what was told was written down");
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
    let waits = async || !world.gateway.backlog.runs(&destination(&world)) && world.count("alice", Standing::Active).await >= 20;
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

/// The authorization server registers, and its answer does not come; the files go meanwhile.
#[tokio::test]
async fn threat_46_c08_what_was_told_and_is_gone_is_taken_back_there() {
    let world = folder_of(Store::in_memory(), 6).await;
    world.asked.hears_all.store(true, Ordering::SeqCst);
    world.asked.answer_after(0, 500);
    world.link_and_enrol("alice").await;
    let waits = async || !world.gateway.backlog.runs(&destination(&world)) && world.registered().len() >= 6;
    world.until("the run has halted", waits).await;
    for name in super::enrolling::names(6) {
        std::fs::remove_file(world.folder.join(name)).unwrap();
    }
    world.asked.answer_well();
    world.gateway.expect_news(&destination(&world));
    world.gateway.tend().await;
    world.until("nothing is left", async || world.gateway.store.list_registrations("alice").await.unwrap().is_empty()).await;
    assert_eq!((world.asked.deleted.lock().unwrap().len(), world.registered().len()), (6, 6));
}

/// A crash while they were told: nobody knows by then what was heard.
#[tokio::test]
async fn threat_46_c08_after_a_crash_what_is_gone_is_looked_for_there() {
    let world = folder_of(Store::in_memory(), 2).await;
    world.link().await;
    world.asked.registered.lock().unwrap().push("/gone.jpg".into());
    let pending = |own_id: &str| store::Registered {
        found_at: Some(own_id.to_owned()),
        ..world.gateway.pending("alice", &own_id.into(), &world.issuer, None)
    };
    let all = [pending("/gone.jpg"), pending("/never-told.jpg"), pending("/00001.jpg")];
    world.gateway.store.change_registrations(&all, &[]).await.unwrap();
    world.gateway.tend().await;
    world.until("one is left", async || world.count("alice", Standing::Active).await == 1).await;
    world.until("the others are gone", async || world.gateway.store.list_registrations("alice").await.unwrap().len() == 1).await;
    assert_eq!(*world.asked.deleted.lock().unwrap(), ["r1"]);
    assert_eq!(world.asked.listed.load(Ordering::SeqCst), 1, "one look is for all of them");
}

/// An owner's order that nobody knows the end of is no more on its way, and is taken back where it arrived.
#[tokio::test]
async fn threat_46_c08_an_order_whose_answer_was_lost_is_taken_back_there() {
    let world = folder_of(Store::in_memory(), 1).await;
    world.link().await;
    world.asked.hears_all.store(true, Ordering::SeqCst);
    world.asked.answer_after(0, 500);
    let wanted = serde_json::json!({"authorization_server": world.issuer}).to_string();
    let call = Request::post("/x").body(()).unwrap().into_parts().0;
    let path = "my-resources/%2F00000.jpg/registrations";
    let refused = world.gateway.managed("alice", &call, axum::body::Body::from(wanted), path).await.unwrap_err();
    assert_eq!((refused.status().as_u16(), world.count("alice", Standing::Pending).await), (502, 0));
    world.asked.answer_well();
    world.gateway.tend().await;
    world.until("it is taken back", async || world.gateway.store.list_registrations("alice").await.unwrap().is_empty()).await;
    assert_eq!(*world.asked.deleted.lock().unwrap(), ["r1"]);
}
