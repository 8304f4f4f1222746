//! What a call carries with it. The wiring moves it a few times, whole, with the room of all that it may come to: what few calls
//! come to is boxed.

use super::super::*;
use super::world::World;
use axum::body::Body;

#[tokio::test]
async fn a_call_carries_no_room_for_what_few_calls_come_to() {
    let world = World::new(Store::in_memory(), &[]).await;
    let gateway = &world.gateway;
    let call = || Request::get("/a").body(Body::empty()).unwrap();
    let path = path::CanonicalPath::parse("/a").unwrap();
    let whole = std::mem::size_of_val(&answer(State(gateway.clone()), call()));
    let ask = std::mem::size_of_val(&gateway.forward_auth(call().into_parts().0));
    let guarded = std::mem::size_of_val(&gateway.guarded(call().into_parts().0, Body::empty(), &path));
    assert!(whole < 4_096 && ask < 4_096 && guarded < 16_384, "{whole}, {ask} and {guarded} bytes");
}
