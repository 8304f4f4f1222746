//! A long answer does not outlive a withdrawal (threat 27): every 30 seconds of it the token is looked at
//! again, and where it no longer suffices the connection is cut, so that nobody takes the part for the whole.

use super::Gateway;
use super::admission::Admitted;
use super::tunnel::Tunnel;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::Response;
use futures_util::{Stream, StreamExt, stream};
use http::HeaderValue;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer goes on without another look.
const INTERVAL: Duration = Duration::from_secs(30);

/// A body, and whether it may still go on.
struct Watched<F> {
    body: BodyDataStream,
    may_go_on: F,
    interval: Duration,
    next_look: Instant,
}

/// The answer with its body under watch.
pub(super) fn watched(gateway: Arc<Gateway>, answer: Response, admitted: Admitted, token: Option<HeaderValue>) -> Response {
    let Some(token) = token else { return answer };
    let (mut parts, body) = answer.into_parts();
    let tunnel = parts.extensions.remove::<Tunnel>();
    // what is small is through before anybody could look again
    if tunnel.is_none() && http_body::Body::size_hint(&body).exact().is_some_and(|size| size <= 64 * 1024) {
        return Response::from_parts(parts, body);
    }
    let call = Arc::new((gateway, admitted, token));
    let may_go_on = move || {
        let call = call.clone();
        async move {
            let (gateway, admitted, token) = &*call;
            gateway.still_allows(admitted, token).await
        }
    };
    match tunnel {
        Some(tunnel) => {
            tunnel.carry(INTERVAL, may_go_on);
            Response::from_parts(parts, body)
        }
        None => Response::from_parts(parts, Body::from_stream(pieces(body.into_data_stream(), INTERVAL, may_go_on))),
    }
}

/// The pieces of a body for as long as `may_go_on` says so; then an error.
fn pieces<F, L>(body: BodyDataStream, interval: Duration, may_go_on: F) -> impl Stream<Item = io::Result<Bytes>>
where
    F: Fn() -> L,
    L: Future<Output = bool>,
{
    let watched = Watched { body, may_go_on, interval, next_look: Instant::now() + interval };
    stream::unfold(Some(watched), async |watched| {
        let mut watched = watched?;
        match watched.next().await? {
            Ok(piece) => Some((Ok(piece), Some(watched))),
            Err(error) => Some((Err(error), None)),
        }
    })
}

impl<F, L> Watched<F>
where
    F: Fn() -> L,
    L: Future<Output = bool>,
{
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            // asked first: a body that always has a piece ready must not keep the look from being taken
            if Instant::now() >= self.next_look {
                if !(self.may_go_on)().await {
                    return Some(Err(io::Error::other("the permission for this answer has ended")));
                }
                self.next_look = Instant::now() + self.interval;
            }
            if let Ok(piece) = tokio::time::timeout_at(self.next_look, self.body.next()).await {
                return piece.map(|piece| piece.map_err(io::Error::other));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicBool, Ordering};

    const SHORT: Duration = Duration::from_millis(40);

    /// Pieces forever, each after so many milliseconds.
    fn endless(pause: u64) -> BodyDataStream {
        let pieces = stream::repeat(()).then(move |()| async move {
            if pause > 0 {
                tokio::time::sleep(Duration::from_millis(pause)).await;
            }
            io::Result::Ok(Bytes::from_static(b"piece"))
        });
        Body::from_stream(pieces).into_data_stream()
    }

    #[tokio::test]
    async fn threat_27_a_stream_does_not_outlive_a_withdrawal() {
        // one that never pauses, one that does, one that falls silent
        for pause in [0, 3, 1_000_000] {
            let allowed = Arc::new(AtomicBool::new(true));
            let asked = allowed.clone();
            let begin = Instant::now();
            let mut all = Box::pin(pieces(endless(pause), SHORT, move || std::future::ready(asked.load(Ordering::SeqCst))));
            while pause < 1_000 && begin.elapsed() < SHORT * 3 {
                assert!(all.next().await.unwrap().is_ok(), "allowed, it goes on");
            }
            allowed.store(false, Ordering::SeqCst);
            let withdrawn = Instant::now();
            while all.next().await.unwrap().is_ok() {
                assert!(withdrawn.elapsed() < Duration::from_secs(5), "a piece every {pause} ms");
            }
            assert!(all.next().await.is_none());
        }
    }
}
