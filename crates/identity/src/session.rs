//! Log-in sessions of browsers. The cookie's text is a secret; only its hash is kept.

use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use types::{AccountId, Timestamp};

/// Seconds that a session lasts.
pub const LIFETIME: i64 = 12 * 3600;

/// A browser that is logged in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// Hash of the cookie.
    pub id: String,
    pub account: AccountId,
    /// When the person last proved herself.
    pub auth_time: Timestamp,
    pub expires: Timestamp,
}

impl Session {
    /// When the browser was logged in; she may have proved herself before that, at another provider.
    pub fn started(&self) -> Timestamp {
        self.expires.plus(-LIFETIME)
    }
}

/// How a cookie's text is kept.
pub fn id_of(cookie: &str) -> String {
    base64url::encode(digest::sha256(&[cookie.as_bytes()]))
}
