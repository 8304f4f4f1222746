//! What may be kept of pushed requests (RFC 9126 7.1): anybody may register a client, or name a public one, so that what comes
//! by such a client is bounded, in number and in bytes, and so is what waits for a browser in which nobody is logged in.
//! In memory, as all limits: what is kept ends within an hour.

use crate::par::{LIFETIME, PAGE_LIFETIME};
use crate::{Client, Failure};
use std::sync::{Mutex, PoisonError};
use types::throttle::{Throttle, network_of};
use types::{ErrorCode, Timestamp};

/// Requests of one client that wait at the same time; of a public one, from one network.
const MAX_OF_CLIENT: u32 = 1_000;
/// Requests that wait longer because a browser of one network brought them, in which nobody was logged in.
const MAX_BROUGHT: u32 = 1_000;
/// Bytes of all requests that wait.
const MAX_BYTES: u64 = 256 * 1024 * 1024;

/// The memories.
pub struct PushedLimits {
    clients: Throttle,
    bytes: Budget,
    brought: Throttle,
    brought_bytes: Budget,
}

/// So many bytes in a span of time.
struct Budget {
    seconds: i64,
    spent: Mutex<Spent>,
}

#[derive(Default)]
struct Spent {
    since: i64,
    bytes: u64,
}

impl Budget {
    fn per(seconds: i64) -> Self {
        Self { seconds, spent: Mutex::default() }
    }

    fn admit(&self, bytes: usize, now: Timestamp) -> bool {
        let mut spent = self.spent.lock().unwrap_or_else(PoisonError::into_inner);
        if now.0.saturating_sub(spent.since) >= self.seconds {
            *spent = Spent { since: now.0, bytes: 0 };
        }
        let all = spent.bytes.saturating_add(u64::try_from(bytes).unwrap_or(u64::MAX));
        let fits = all <= MAX_BYTES;
        if fits {
            spent.bytes = all;
        }
        fits
    }
}

impl Default for PushedLimits {
    fn default() -> Self {
        Self {
            clients: Throttle::per(MAX_OF_CLIENT, LIFETIME),
            bytes: Budget::per(LIFETIME),
            brought: Throttle::per(MAX_BROUGHT, PAGE_LIFETIME),
            brought_bytes: Budget::per(PAGE_LIFETIME),
        }
    }
}

/// One that the operator declared and that proves itself leaves what it likes.
fn is_trusted(client: &Client) -> bool {
    client.declared && !client.is_public()
}

impl PushedLimits {
    /// A request of so many bytes is to be kept.
    pub(crate) fn count_kept(&self, client: &Client, address: &str, bytes: usize, now: Timestamp) -> Result<(), Failure> {
        let name = match client.is_public() {
            true => format!("{} {}", client.id, network_of(address)),
            false => client.id.as_str().to_owned(),
        };
        if is_trusted(client) || (self.clients.admit(&name, now) && self.bytes.admit(bytes, now)) {
            return Ok(());
        }
        Failure::refuse(ErrorCode::TooManyRequests, "too many pushed requests wait: wait a minute")
    }

    /// Whether one may be kept longer that was brought by nobody who is known; else it ends when it would have ended.
    pub(crate) fn may_wait(&self, client: &Client, address: &str, bytes: usize, now: Timestamp) -> bool {
        is_trusted(client) || (self.brought.admit(&network_of(address), now) && self.brought_bytes.admit(bytes, now))
    }
}
