//! `GET /live`: server-sent events for whoever has a page of the desk open - `requests` with how many wait, when that changes,
//! and a `heartbeat`. The page works without it; with it, nobody has to reload.

use super::Desk;
use crate::Manager;
use crate::holdings::Holdings;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::{IntoResponse, Response};
use futures_util::{StreamExt, stream};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::watch::Receiver;

const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long changes are gathered.
const FLOCK: Duration = Duration::from_millis(200);
/// After so many the browser comes again, with a session that is looked at anew.
const HEARTBEATS: u32 = 20;

impl Holdings {
    /// How many requests wait for her at all of her servers.
    pub(crate) fn waiting(&self) -> usize {
        self.servers.iter().map(|known| known.snapshot.waiting()).sum()
    }
}

struct Listening {
    manager: Arc<Manager>,
    owner: String,
    headers: HeaderMap,
    news: Receiver<u64>,
    told: Option<usize>,
    heartbeats: u32,
}

pub(super) async fn stream(State(manager): Desk, request: Request) -> Response {
    let (parts, _) = request.into_parts();
    let person = match manager.person(&parts.headers).await {
        Ok(Some(person)) => person,
        Ok(None) => return StatusCode::UNAUTHORIZED.into_response(),
        Err(_) => return StatusCode::SERVICE_UNAVAILABLE.into_response(),
    };
    let Some(news) = manager.news.listen(&person.owner) else { return StatusCode::TOO_MANY_REQUESTS.into_response() };
    let listening = Listening { manager, owner: person.owner, headers: parts.headers, news, told: None, heartbeats: 0 };
    let events = stream::unfold(listening, async |mut listening| {
        let text = listening.next().await?;
        Some((Ok::<_, Infallible>(text), listening))
    });
    let mut response = Response::new(Body::from_stream(events.boxed()));
    response.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl Listening {
    /// The next event; none where it is time to come again.
    async fn next(&mut self) -> Option<String> {
        loop {
            // logged out meanwhile: nothing more
            self.manager.person(&self.headers).await.ok()??;
            // servers tell of requests by themselves: an open page is no reason to ask them
            let waiting = self.manager.known_holdings(&self.owner).await.ok()?.waiting();
            if self.told.replace(waiting) != Some(waiting) {
                return Some(format!("event: requests\ndata: {waiting}\n\n"));
            }
            let heard = tokio::select! {
                heard = tokio::time::timeout(HEARTBEAT, self.news.changed()) => heard,
                () = self.manager.closed() => return None,
            };
            match heard {
                Err(_) => {
                    self.heartbeats = self.heartbeats.saturating_add(1);
                    return (self.heartbeats < HEARTBEATS).then(|| "event: heartbeat\ndata: {}\n\n".to_owned());
                }
                Ok(Err(_)) => return None,
                // changes come in flocks: all of them are looked at once
                Ok(Ok(())) => {
                    tokio::time::sleep(FLOCK).await;
                    self.news.borrow_and_update();
                }
            }
        }
    }
}
