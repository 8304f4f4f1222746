//! The persisted claims token: claims that a client may bring again, for the same person
//! (Grant 3.3.1, 5.2; protocol.md 1.3).

use crate::claim::{Claims, RequestingParty};
use serde::{Deserialize, Serialize};
use types::{ClientId, Timestamp};

/// What a PCT stands for. Bound to its client; another client's is as if not sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pct {
    pub client: ClientId,
    pub requesting_party: RequestingParty,
    pub claims: Claims,
    pub expires: Timestamp,
    /// The process that made it.
    pub family: String,
}

impl Pct {
    /// The claims it still brings to this client (5.2: never to another one).
    pub fn claims_for(&self, client: &ClientId, now: Timestamp) -> Option<&Claims> {
        (self.client == *client && now < self.expires).then_some(&self.claims)
    }
}
