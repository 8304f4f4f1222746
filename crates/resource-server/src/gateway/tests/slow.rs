//! Row 46: one slow answer starves nobody who needs none.

use super::super::*;
use super::world::World;
use std::time::Duration;

#[tokio::test]
async fn threat_46_s23_a_slow_ticket_keeps_no_good_token_waiting() {
    let world = World::new(Store::in_memory(), &["a.jpg"]).await;
    world.link().await;
    assert_eq!(world.status("/a.jpg", None).await, 401);
    let rpt = world.rpt("r1");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    // the server is left alone, as after a ticket that did not come
    let until = Instant::now() + Duration::from_secs(60);
    world.gateway.resting.lock().unwrap().insert(world.issuer.clone(), until);
    assert_eq!(world.status("/a.jpg", None).await, 403, "no ticket is to be had");
    assert_eq!(world.status("/a.jpg", Some(&rpt)).await, 200);
    let another = world.rpt_with(&world.key, "r1", "another");
    assert_eq!(world.status("/a.jpg", Some(&another)).await, 200);
}
