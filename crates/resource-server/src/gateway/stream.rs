//! A long answer does not outlive a withdrawal (threat 27): every 30 seconds of it the token is looked at
//! again, and where it no longer suffices the connection is cut, so that nobody takes the part for the whole.

use super::Gateway;
use crate::guard::Need;
use axum::body::{Body, BodyDataStream, Bytes};
use axum::response::Response;
use futures_util::{StreamExt, stream};
use http::HeaderValue;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::Instant;

/// How long an answer goes on without another look.
const INTERVAL: Duration = Duration::from_secs(30);

struct Watched {
    gateway: Arc<Gateway>,
    body: BodyDataStream,
    owner: String,
    token: HeaderValue,
    need: Need,
    next_look: Instant,
}

/// The answer with its body under watch.
pub(super) fn watched(
    gateway: Arc<Gateway>,
    answer: Response,
    owner: String,
    token: Option<HeaderValue>,
    need: Need,
) -> Response {
    let Some(token) = token else { return answer };
    let (parts, body) = answer.into_parts();
    // what is small is through before anybody could look again
    if http_body::Body::size_hint(&body).exact().is_some_and(|size| size <= 64 * 1024) {
        return Response::from_parts(parts, body);
    }
    let watched = Watched { gateway, body: body.into_data_stream(), owner, token, need, next_look: Instant::now() + INTERVAL };
    let pieces = stream::unfold(Some(watched), async |watched| {
        let mut watched = watched?;
        match watched.next().await? {
            Ok(piece) => Some((Ok(piece), Some(watched))),
            Err(error) => Some((Err(error), None)),
        }
    });
    Response::from_parts(parts, Body::from_stream(pieces))
}

impl Watched {
    async fn next(&mut self) -> Option<io::Result<Bytes>> {
        loop {
            match tokio::time::timeout_at(self.next_look, self.body.next()).await {
                Ok(piece) => return piece.map(|piece| piece.map_err(io::Error::other)),
                Err(_) if self.may_go_on().await => self.next_look = Instant::now() + INTERVAL,
                Err(_) => return Some(Err(io::Error::other("the permission for this answer has ended"))),
            }
        }
    }

    async fn may_go_on(&mut self) -> bool {
        let (Ok(protection), Ok(token)) = (self.gateway.protection().await, self.token.to_str()) else { return false };
        let Ok(pat) = self.gateway.pat(&self.owner).await else { return false };
        self.gateway.guard.still_allows(protection, &pat, token, std::slice::from_ref(&self.need)).await
    }
}
