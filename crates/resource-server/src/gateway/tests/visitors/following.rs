//! Calls of a session that take long: what the session holds changes meanwhile, and they go on as long as it suffices.

use super::*;
use std::time::Duration;
use tokio::sync::Notify;

/// An upload to Alice's `a` that ends when it is told to.
async fn begin_upload(world: &World, bob: &Browser) -> (Arc<Notify>, tokio::task::JoinHandle<(u16, String)>) {
    let goes_on = Arc::new(Notify::new());
    let (waits, begun) = (goes_on.clone(), Arc::new(Notify::new()));
    let told = begun.clone();
    let pieces = futures_util::stream::unfold(0, move |n| {
        let (waits, told) = (waits.clone(), told.clone());
        async move {
            match n {
                0 => told.notify_one(),
                1 => waits.notified().await,
                _ => return None,
            }
            Some((Ok::<_, std::convert::Infallible>("some"), n + 1))
        }
    });
    let request = Request::put("/alice/a").header("sec-fetch-site", "same-origin").body(Body::from_stream(pieces)).unwrap();
    let (mut bob, world) = (bob.clone(), world.clone());
    let upload = tokio::spawn(async move {
        let seen = bob.send(&world, request).await;
        (seen.status, seen.text)
    });
    begun.notified().await;
    (goes_on, upload)
}

#[tokio::test]
async fn an_upload_goes_on_while_the_session_gets_more() {
    let server = Known { says_issuer: true, ..Known::default() };
    server.knows_again.store(true, Ordering::SeqCst);
    let server = server.start().await;
    let world = World::new(&[&server], true).await;
    world.link("alice", &server, &["a", "b"]).await;
    server.may_edit.lock().unwrap().extend(["/alice/a".to_owned(), "/alice/b".to_owned()]);
    let mut bob = Browser::at("192.0.2.7");
    bob.visit(&world, &server, "/alice/a", "bob").await;
    for (is_withdrawn, expected) in [(false, (200, "saved 8".to_owned())), (true, (403, String::new()))] {
        let (goes_on, upload) = begin_upload(&world, &bob).await;
        // the token by which it was let in ends, since another comes in its place
        let other = Request::put("/alice/b").header("sec-fetch-site", "same-origin").body(Body::from("a note")).unwrap();
        assert_eq!(bob.send(&world, other).await.text, "saved 6");
        if is_withdrawn {
            server.permissions.lock().unwrap().clear();
        }
        tokio::time::sleep(Duration::from_millis(1_100)).await;
        goes_on.notify_one();
        let (status, text) = upload.await.unwrap();
        assert_eq!(status, expected.0, "{text}");
        assert!(text.contains(&expected.1), "{text}");
    }
    // and nothing goes on that belongs to a session that has ended
    let (goes_on, upload) = begin_upload(&world, &bob).await;
    let seen = bob.open(&world, "/.wayleave/logout").await;
    let token = seen.text.split("name=\"csrf\" value=\"").nth(1).unwrap().split('"').next().unwrap().to_owned();
    let out = bob.post(&world, "/.wayleave/logout", &[("csrf", &token)]).await;
    // the server that let him in may know him still
    assert!(out.status == 200 && out.text.contains(&format!("href=\"{}\"", server.at("/logout"))), "{}", out.text);
    server.permissions.lock().unwrap().clear();
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    goes_on.notify_one();
    assert_eq!(upload.await.unwrap().0, 403);
}
