//! What anybody may make this gateway do without a token: a call to something new registers it (`admission.rs`). Before a
//! folder that ends with the folder. A service is asked first whether there is anything, and how much is registered in this
//! way is limited by owner and by the network that it comes from (threat 41).

use super::admission::missing;
use super::backend::Backend;
use super::path::CanonicalPath;
use super::{Behind, Gateway, Passing, Wanted};
use crate::challenge::plain;
use axum::response::Response;
use http::StatusCode;
use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use types::Timestamp;

/// Who called, as the wiring saw it; nobody else can put it on a request.
#[derive(Clone, Copy, Debug)]
pub struct Caller(pub IpAddr);

/// Registrations by calls in an hour, before others wait.
const PER_OWNER: u32 = 300;
const PER_NETWORK: u32 = 100;
const HOUR: i64 = 3_600;
/// Names that are counted at one time: a flood of them does not fill the memory, it closes the door for the hour.
const MOST_KEYS: usize = 50_000;
/// How long the service has to say whether there is anything.
const PATIENCE: Duration = Duration::from_secs(5);

/// Counts of this hour.
#[derive(Default)]
pub(super) struct Strangers(Mutex<(i64, HashMap<String, u32>)>);

impl Strangers {
    /// Whether somebody may make this gateway ask the service about one more path.
    pub(super) fn may_ask(&self, caller: Option<Caller>, now: Timestamp) -> bool {
        let network = caller.map(|caller| types::peer::network_of(caller.0)).unwrap_or_default();
        self.count(format!("network {network}"), PER_NETWORK, now)
    }

    /// Whether one more of this owner's things may be registered by a call.
    pub(super) fn may_register(&self, owner: &str, now: Timestamp) -> bool {
        self.count(format!("owner {owner}"), PER_OWNER, now)
    }

    fn count(&self, key: String, most: u32, now: Timestamp) -> bool {
        let hour = now.0.div_euclid(HOUR);
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.0 != hour {
            *counts = (hour, HashMap::new());
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
pub(super) struct Asker {
    /// It changes nothing.
    pub(super) reads: bool,
    pub(super) caller: Option<Caller>,
}

impl Gateway {
    /// A folder has what it has, and a route may name one thing or ask whose a thing is; else anybody can name things.
    pub(super) async fn check_stranger(&self, wanted: &Wanted, path: &CanonicalPath, asker: Asker) -> Result<(), Box<Response>> {
        if matches!(self.settings.behind, Behind::Folder(_)) || !wanted.is_named_by_caller {
            return Ok(());
        }
        let enough =
            || Box::new(plain(StatusCode::TOO_MANY_REQUESTS, "Too many new things were asked for here: try again later."));
        let now = self.client.clock.now();
        if !self.strangers.may_ask(asker.caller, now) {
            return Err(enough());
        }
        // what a call is to make is not there yet
        if asker.reads {
            match look(&self.backend, path).await {
                Look::There => {}
                Look::NotThere => return Err(missing()),
                Look::NoAnswer => {
                    let what = "The service behind this gateway does not answer.";
                    return Err(Box::new(plain(StatusCode::BAD_GATEWAY, what)));
                }
            }
        }
        if self.strangers.may_register(&wanted.owner, now) { Ok(()) } else { Err(enough()) }
    }
}

/// What a service says of a path.
enum Look {
    There,
    NotThere,
    /// It does not say.
    NoAnswer,
}

/// Looks whether the service answers for a path: asks with `HEAD`, which changes nothing (RFC 9110 9.2.1), without a body and
/// without anything of the caller's. What it refuses to a stranger, or answers in another way, is there.
async fn look(backend: &Backend, path: &CanonicalPath) -> Look {
    let mut request = http::Request::new(());
    *request.method_mut() = http::Method::HEAD;
    let (parts, ()) = request.into_parts();
    let passing = Passing::by_itself();
    let asked = backend.forward(parts, axum::body::Body::empty(), path, &passing);
    match tokio::time::timeout(PATIENCE, asked).await.map(|answer| answer.status().as_u16()) {
        Ok(404 | 410) => Look::NotThere,
        Ok(501) => Look::There,
        Ok(500..) | Err(_) => Look::NoAnswer,
        Ok(_) => Look::There,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_41_s16_registrations_are_counted_by_owner_and_network() {
        let (strangers, now) = (Strangers::default(), Timestamp(7_200));
        let from = |text: &str| Some(Caller(text.parse().unwrap()));
        let asked = |caller, now| (0..1_000).filter(|_| strangers.may_ask(caller, now)).count();
        assert_eq!(asked(from("192.0.2.1"), now), 100);
        assert_eq!(asked(from("::ffff:192.0.2.200"), now), 0, "the same network");
        assert_eq!(asked(from("192.0.3.1"), now), 100);
        assert_eq!(asked(from("192.0.2.1"), now.plus(3_600)), 100);
        let registered = |owner, now| (0..1_000).filter(|_| strangers.may_register(owner, now)).count();
        assert_eq!((registered("alice", now), registered("alice", now), registered("bob", now)), (300, 0, 300));
    }
}
