//! What has begun to change something is carried out, also when nobody waits for the answer any more: a page that is closed, a
//! network that is lost or a proxy that gives up must not end a withdrawal between what is written and what has to follow it.

use super::Running;
use super::connections::RequestPlace;
use axum::response::{IntoResponse, Response};
use http::{Request, StatusCode};
use std::convert::Infallible;
use std::future::Future;

/// An answer, and the place that its request has until the body is sent.
type Placed = (Result<Response, Infallible>, Option<RequestPlace>);

/// Where somebody comes back from another server with what is good once: that is read with `GET`, and changes something.
const WAYS_BACK: [&str; 2] = ["/callback", "/.wayleave/visit"];

/// What is asked for very often, and changes nothing that has a second half: introspection, and permission tickets. What a ticket
/// is about stands in the ticket, or is kept by one commit, and whoever does not get the ticket has nothing.
const ASKED_FOR_OFTEN: [&str; 2] = [types::path::INTROSPECT, types::path::PERMISSIONS];

/// Whether this is carried out to its end.
pub(super) fn is_change<B>(request: &Request<B>) -> bool {
    let path = request.uri().path();
    match request.method().is_safe() {
        true => WAYS_BACK.iter().any(|way| path.ends_with(way) || path.contains("/.wayleave/visit/")),
        false => !ASKED_FOR_OFTEN.iter().any(|often| path.ends_with(often)),
    }
}

/// The same at a gateway: what goes on to a service, or into a folder, is over with its caller.
pub(super) fn is_own_change<B>(request: &Request<B>) -> bool {
    request.uri().path().starts_with("/.wayleave/") && is_change(request)
}

/// Goes on without whoever waits for it. It keeps its place among the requests under way, and the process waits for it at its end.
pub(super) async fn carry_out<F>(answer: F, place: Option<RequestPlace>, running: Running) -> Placed
where
    F: Future<Output = Result<Response, Infallible>> + Send + 'static,
{
    let whole = tokio::spawn(async move {
        let answer = answer.await;
        drop(running);
        (answer, place)
    });
    whole.await.unwrap_or_else(|_| {
        let what = "This did not work. Look at what became of it before you try again.";
        (Ok((StatusCode::INTERNAL_SERVER_ERROR, what).into_response()), None)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::serve::{Connections, Reception, Stop, serve};
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;
    use tokio::io::AsyncWriteExt;
    use tokio::net::{TcpListener, TcpStream};
    use tokio::sync::Semaphore;

    #[test]
    fn what_changes_something_is_carried_out() {
        let asked = |method: &str, path: &str| Request::builder().method(method).uri(path).body(()).unwrap();
        for (method, path, at_server, at_gateway) in [
            ("DELETE", "/uma/policies/1", true, false),
            ("POST", "/my/requests", true, false),
            ("POST", "/introspect", false, false),
            ("POST", "/tenant/introspect", false, false),
            ("POST", "/uma/permissions", false, false),
            ("GET", "/uma/revocations", false, false),
            ("PUT", "/holiday/1.jpg", true, false),
            ("POST", "/.wayleave/yours", true, true),
            ("GET", "/.wayleave/auth", false, false),
            ("GET", "/.wayleave/callback", true, true),
            ("GET", "/.wayleave/visit/x", true, true),
            ("GET", "/callback", true, false),
        ] {
            let request = asked(method, path);
            assert_eq!((is_change(&request), is_own_change(&request)), (at_server, at_gateway), "{method} {path}");
        }
    }

    /// Row 27: a caller who hangs up takes nothing back. What goes on has its place until it ends.
    #[tokio::test]
    async fn threat_27_whoever_hangs_up_ends_no_change_half_way() {
        for (method, carried_out) in [("DELETE", 1), ("GET", 0)] {
            let (begun, go_on, done) = (Arc::new(Semaphore::new(0)), Arc::new(Semaphore::new(0)), Arc::new(AtomicUsize::new(0)));
            let answer = {
                let (begun, go_on, done) = (begun.clone(), go_on.clone(), done.clone());
                async move || {
                    begun.add_permits(1);
                    let _ = go_on.acquire().await;
                    done.fetch_add(1, SeqCst);
                    "done"
                }
            };
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let address = listener.local_addr().unwrap();
            let (connections, (stop, stopped)) = (Connections::with_room_for(4), Stop::by_hand());
            let reception = Reception { connections: connections.clone(), ..Reception::behind(Vec::new()) };
            let served = tokio::spawn(serve(listener, axum::Router::new().fallback(answer), reception, stopped));
            let mut stream = TcpStream::connect(address).await.unwrap();
            stream.write_all(format!("{method} / HTTP/1.1\r\nHost: a\r\n\r\n").as_bytes()).await.unwrap();
            begun.acquire().await.unwrap().forget();
            drop(stream);
            while connections.are_busy(1) {
                tokio::task::yield_now().await;
            }
            assert_eq!(connections.count_requests(), carried_out, "{method}");
            stop.send(true).unwrap();
            go_on.add_permits(1);
            tokio::time::timeout(Duration::from_secs(60), served).await.unwrap().unwrap();
            assert_eq!(done.load(SeqCst), carried_out, "{method}: the end waits for it");
            assert_eq!(connections.count_requests(), 0);
        }
    }
}
