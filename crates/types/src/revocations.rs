//! What a resource server that checks JWT RPTs by itself must know besides their signature (protocol.md 4):
//! `GET {revocations_endpoint}?after=`.

use crate::Timestamp;
use serde::{Deserialize, Serialize};

/// An answer. What it names is to be added to what earlier answers named.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revocations {
    /// JWT RPTs that are no good any more, in whole or in part, though they have not expired.
    pub revoked: Vec<RevokedToken>,
    /// Whether the link to the owner is gone: then there is no PAT, and nothing more will come.
    pub ended: bool,
    /// To be sent as `after` next time; opaque.
    pub next: String,
    /// What time it is there. Tokens end by the clock of whoever issued them: one that has ended there is not named in `revoked`,
    /// however late it may be at a resource server whose clock is behind.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// No JWT RPT that was issued by then is good: this server was restored from a backup, which does not know all of them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub none_until: Option<Timestamp>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RevokedToken {
    pub jti: String,
    /// When it would have ended by itself: nobody needs to remember it longer.
    pub exp: Timestamp,
}
