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
    /// The provider by whose word it began; none: by a password or passkey here.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    pub expires: Timestamp,
}

/// How somebody proved herself.
pub(crate) struct Proof<'a> {
    pub(crate) at: Timestamp,
    /// To which other provider; none: here.
    pub(crate) by: Option<&'a str>,
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
