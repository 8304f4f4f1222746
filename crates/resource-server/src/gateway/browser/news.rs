//! `GET /.wayleave/visit/news?to=`: tells the page of somebody who waits, as soon as there is an answer (server-sent events).
//! Who gets no place here loses nothing: the page loads itself anew in any case.

use super::super::Gateway;
use super::places::{Place, Places};
use super::query_of;
use crate::challenge::plain;
use axum::body::{Body, Bytes};
use axum::response::Response;
use futures_util::stream;
use http::request::Parts;
use http::{HeaderName, HeaderValue, Method, StatusCode, header};
use std::collections::HashMap;
use std::convert::Infallible;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::peer::{Caller, names_of};

/// Those that listen at one time, and of one session.
const MOST: usize = 400;
const MOST_OF_SESSION: usize = 4;
/// A browser asks again after that.
const LONGEST: Duration = Duration::from_secs(60);
const LOOKS: Duration = Duration::from_secs(1);

/// Who listens, by session.
#[derive(Clone)]
pub(super) struct Listeners {
    places: Places,
    of_sessions: Arc<Mutex<HashMap<String, usize>>>,
}

impl Default for Listeners {
    fn default() -> Self {
        Self { places: Places::new(MOST), of_sessions: Arc::default() }
    }
}

/// One that listens; given back when dropped.
struct Listener {
    all: Listeners,
    cookie: String,
    to: String,
    since: Instant,
    place: Option<Place>,
}

impl Listeners {
    fn enter(&self, cookie: &str, to: &str, caller: Option<Caller>) -> Option<Listener> {
        let mut all = self.of_sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let own = all.entry(cookie.to_owned()).or_default();
        *own = own.saturating_add(1);
        let is_too_many = *own > MOST_OF_SESSION;
        drop(all);
        // from here on it is given back
        let (cookie, to) = (cookie.to_owned(), to.to_owned());
        let mut listener = Listener { all: self.clone(), cookie, to, since: Instant::now(), place: None };
        if is_too_many {
            return None;
        }
        let party = caller.map(|caller| names_of(caller.0).to_vec()).unwrap_or_default();
        listener.place = Some(self.places.enter(party)?);
        Some(listener)
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        let mut all = self.all.of_sessions.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get_mut(&self.cookie) {
            Some(count) if *count > 1 => *count = count.saturating_sub(1),
            _ => {
                all.remove(&self.cookie);
            }
        }
    }
}

impl Gateway {
    pub(in super::super) async fn news(self: &Arc<Self>, parts: &Parts) -> Response {
        if parts.method != Method::GET {
            return super::wrong_method("GET");
        }
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let query = query_of(parts);
        let to = query.iter().find(|(name, _)| name == "to").map_or("", |(_, value)| value.as_str());
        let Some(held) = held.filter(|_| !self.is_read_elsewhere(parts)) else {
            return plain(StatusCode::FORBIDDEN, "This browser has no session here.");
        };
        let Some(listener) = self.browsers.listeners.enter(&held.cookie, to, parts.extensions.get().copied()) else {
            return plain(StatusCode::SERVICE_UNAVAILABLE, "Too many pages wait here: load yours anew.");
        };
        let mut response = Response::new(Body::from_stream(stream::unfold((self.clone(), Some(listener)), next)));
        for (name, value) in [
            (header::CONTENT_TYPE, "text/event-stream"),
            (header::CACHE_CONTROL, "no-store"),
            (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
            // a proxy in front passes it on at once
            (HeaderName::from_static("x-accel-buffering"), "no"),
        ] {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        response
    }

    /// Whether a session still waits for this.
    async fn waits(&self, listener: &Listener) -> bool {
        let session = self.read_session(&listener.cookie).await.ok().flatten();
        session.is_some_and(|session| session.find_waiting(&listener.to).is_some())
    }
}

type Listening = (Arc<Gateway>, Option<Listener>);

/// The next piece: a heartbeat, or that there is an answer, which is the last.
async fn next((gateway, listener): Listening) -> Option<(Result<Bytes, Infallible>, Listening)> {
    let has_place = |listener: &Listener| listener.place.as_ref().is_some_and(Place::is_held);
    let listener = listener.filter(|listener| listener.since.elapsed() < LONGEST && has_place(listener))?;
    if !gateway.waits(&listener).await {
        return Some((Ok(Bytes::from_static(b"event: answered\ndata: yes\n\n")), (gateway, None)));
    }
    tokio::time::sleep(LOOKS).await;
    Some((Ok(Bytes::from_static(b":\n\n")), (gateway, Some(listener))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_has_a_few_that_listen_and_leaves_room_to_others() {
        let all = Listeners::default();
        let own: Vec<_> = (0..10).filter_map(|_| all.enter("a", "/x", None)).collect();
        assert_eq!((own.len(), all.enter("b", "/x", None).is_some()), (MOST_OF_SESSION, true));
        drop(own);
        assert!(all.enter("a", "/x", None).is_some() && all.of_sessions.lock().unwrap().is_empty());
        let from = |address: &str| Some(Caller(address.parse().unwrap()));
        let many: Vec<_> = (0..1_000).filter_map(|n| all.enter(&n.to_string(), "/x", from("192.0.2.1"))).collect();
        assert_eq!((many.len(), all.places.count()), (MOST, MOST));
        // threat 46: who has all of them leaves one to somebody else
        let other = all.enter("b", "/x", from("198.51.100.1")).unwrap();
        assert!(other.place.as_ref().unwrap().is_held() && !many[MOST - 1].place.as_ref().unwrap().is_held());
    }
}
