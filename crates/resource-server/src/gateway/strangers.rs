//! What anybody may make this gateway do without a token: a call to something new registers it (`admission.rs`). Before a
//! folder that ends with the folder. A service is asked first whether there is anything, and how much is registered in this
//! way is limited by owner and by the network that it comes from (threat 41).

use super::backend::Backend;
use super::path::CanonicalPath;
use super::{Behind, Gateway, Passing, PatBy, Wanted};
use crate::challenge::plain;
use axum::response::Response;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, header};
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Who called, as the wiring saw it; nobody else can put it on a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// Registrations by calls in an hour, before others wait.
const PER_OWNER: u32 = 300;
const MADE_PER_OWNER: u32 = 100;
const PER_NETWORK: u32 = 100;
/// Links of one network in an hour that have the authorization server asked.
const LINKS_PER_NETWORK: u32 = 200;
const HOUR: Duration = Duration::from_secs(3_600);
/// Names that are counted at one time: a flood of them does not fill the memory, it closes the door for the hour.
const MOST_KEYS: usize = 50_000;
/// How long the service has to say whether there is anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts of an hour, and when it began.
#[derive(Default)]
pub(super) struct Strangers(Mutex<(Option<Instant>, HashMap<String, u32>)>);

impl Strangers {
    /// Whether somebody may make this gateway ask the service about one more path.
    pub(super) fn may_ask(&self, caller: Option<Caller>, now: Instant) -> bool {
        let network = caller.map(|caller| types::peer::network_of(caller.0)).unwrap_or_default();
        self.count(format!("network {network}"), PER_NETWORK, now)
    }

    /// Whether somebody may have the authorization server asked once more to link. Anybody can begin a link, and say that an
    /// answer to it has come.
    pub(super) fn may_link(&self, caller: Option<Caller>, now: Instant) -> bool {
        let network = caller.map(|caller| types::peer::network_of(caller.0)).unwrap_or_default();
        self.count(format!("link {network}"), LINKS_PER_NETWORK, now)
    }

    /// The same for something that nobody says is there yet.
    fn may_make(&self, owner: &str, now: Instant) -> bool {
        self.count(format!("makes {owner}"), MADE_PER_OWNER, now)
    }

    /// Of the owner's share; that the service was asked counts all the same.
    fn give_back(&self, account: &str) {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.1.get_mut(&format!("owner {account}")) {
            *count = count.saturating_sub(1);
        }
    }

    /// Whether one more thing of this account may be registered by a call.
    pub(super) fn may_register(&self, owner: &str, now: Instant) -> bool {
        self.count(format!("owner {owner}"), PER_OWNER, now)
    }

    /// Until it is over.
    pub(super) fn seconds_left(&self, now: Instant) -> u64 {
        let begun = self.0.lock().unwrap_or_else(PoisonError::into_inner).0;
        HOUR.saturating_sub(begun.map_or(Duration::ZERO, |begun| now.duration_since(begun))).as_secs()
    }

    fn count(&self, key: String, most: u32, now: Instant) -> bool {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0.is_none_or(|begun| now.duration_since(begun) >= HOUR) {
            *counts = (Some(now), HashMap::new());
        }
        if counts.1.len() >= MOST_KEYS && !counts.1.contains_key(&key) {
            return false;
        }
        let count = counts.1.entry(key).or_default();
        *count = count.saturating_add(1);
        *count <= most
    }
}

/// Who made a call to something that nobody knows yet.
#[derive(Clone, Copy)]
pub(super) struct Asker<'a> {
    /// It changes nothing.
    pub(super) reads: bool,
    /// A part of what it is about.
    pub(super) query: Option<&'a str>,
    pub(super) caller: Option<Caller>,
}

impl<'a> Asker<'a> {
    pub(super) fn of(parts: &'a Parts) -> Self {
        // what these make is not there before; every other method is about something that is
        let reads = !matches!(parts.method.as_str(), "PUT" | "MKCOL" | "PATCH" | "LOCK");
        Self { reads, query: parts.uri.query(), caller: parts.extensions.get().copied() }
    }
}

impl Gateway {
    /// A folder has what it has, and a route may name one thing or ask whose a thing is; else anybody can name things.
    pub(super) async fn check_stranger(
        &self,
        wanted: &Wanted,
        path: &CanonicalPath,
        asker: Asker<'_>,
    ) -> Result<(), Box<Response>> {
        if matches!(self.settings.behind, Behind::Folder(_)) || !wanted.is_named_by_caller {
            return Ok(());
        }
        let now = Instant::now();
        if !self.strangers.may_ask(asker.caller, now) {
            return Err(enough(self.strangers.seconds_left(now)));
        }
        // what a call is to make is not there yet
        if asker.reads {
            let looked = tokio::time::timeout(PATIENCE, look(&self.backend, path, asker.query)).await;
            match looked.unwrap_or(Look::NoAnswer) {
                Look::There => {}
                Look::NotThere => return Err(missing()),
                Look::NoAnswer => {
                    let what = "The service behind this gateway does not answer.";
                    return Err(Box::new(plain(StatusCode::BAD_GATEWAY, what)));
                }
            }
        }
        let account = self.account_of(wanted);
        // made-up names have a share of their own, and leave the other to what is there
        if !asker.reads && !self.strangers.may_make(account, now) {
            return Err(enough(self.strangers.seconds_left(now)));
        }
        if self.strangers.may_register(account, now) { Ok(()) } else { Err(enough(self.strangers.seconds_left(now))) }
    }

    /// Nothing was registered after all: an authorization server that is away uses up nobody's share.
    pub(super) fn give_back_to_stranger(&self, wanted: &Wanted) {
        if !matches!(self.settings.behind, Behind::Folder(_)) && wanted.is_named_by_caller {
            self.strangers.give_back(self.account_of(wanted));
        }
    }

    /// Where one PAT is for all, all owners are one account, and their names can be made up.
    fn account_of<'w>(&self, wanted: &'w Wanted) -> &'w str {
        if self.settings.pat == PatBy::Code { wanted.owner.as_str() } else { "" }
    }
}

pub(super) fn missing() -> Box<Response> {
    Box::new(plain(StatusCode::NOT_FOUND, "Nothing is here."))
}

/// Too many, and when to come again (RFC 6585 4).
fn enough(wait: u64) -> Box<Response> {
    let mut response = plain(StatusCode::TOO_MANY_REQUESTS, "Too many new things were asked for here: try again later.");
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(wait));
    Box::new(response)
}

/// What a service says of a path.
enum Look {
    There,
    NotThere,
    /// It does not say.
    NoAnswer,
}

/// Looks whether the service answers for a path and its query: asks with `HEAD`, which changes nothing (RFC 9110 9.2.1),
/// without a body and without any field of the caller's. Where `HEAD` is not known, the first byte is asked for with `GET`.
/// What is refused to a stranger, or answered in another way, is there.
async fn look(backend: &Backend, path: &CanonicalPath, query: Option<&str>) -> Look {
    let status = match ask(backend, Method::HEAD, path, query).await {
        Some(405 | 501) => ask(backend, Method::GET, path, query).await,
        other => other,
    };
    match status {
        Some(404 | 410) => Look::NotThere,
        Some(500..) | None => Look::NoAnswer,
        Some(_) => Look::There,
    }
}

/// The status that the service answers with; none where the URL cannot be written.
async fn ask(backend: &Backend, method: Method, path: &CanonicalPath, query: Option<&str>) -> Option<u16> {
    let query = query.map(|query| format!("?{query}")).unwrap_or_default();
    let mut request = http::Request::builder().method(&method).uri(format!("{}{query}", path.encoded()));
    if method == Method::GET {
        request = request.header(header::RANGE, "bytes=0-0");
    }
    let (parts, ()) = request.body(()).ok()?.into_parts();
    let answer = backend.forward(parts, axum::body::Body::empty(), path, &Passing::by_itself()).await;
    Some(answer.status().as_u16())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s16_registrations_are_counted_by_owner_and_network() {
        let (strangers, now) = (Strangers::default(), Instant::now());
        let from = |text: &str| Some(Caller(text.parse().unwrap()));
        let asked = |caller, now| (0..1_000).filter(|_| strangers.may_ask(caller, now)).count();
        assert_eq!(asked(from("192.0.2.1"), now), 100);
        assert_eq!(asked(from("::ffff:192.0.2.200"), now), 0, "the same network");
        assert_eq!(asked(from("192.0.3.1"), now), 100);
        assert_eq!(asked(from("192.0.2.1"), now + HOUR), 100);
        let registered = |owner, now| (0..1_000).filter(|_| strangers.may_register(owner, now)).count();
        assert_eq!((registered("alice", now), registered("alice", now), registered("bob", now)), (300, 0, 300));
    }
}
