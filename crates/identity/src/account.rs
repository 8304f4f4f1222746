//! Accounts: people and organisations that log in here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use types::{AccountId, Timestamp};

/// An account. `id` is its `sub`, and never changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub username: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub email_verified: bool,
    /// What else is known of this person, and verified: the operator declared it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// Argon2id in PHC form.
    pub password_hash: Option<String>,
    /// Keyed digest of a declared password, so that start-up compares without argon2.
    pub declared_digest: Option<String>,
    pub created: Timestamp,
}

impl Account {
    /// What pages call this person.
    pub fn display_name(&self) -> &str {
        self.name.as_deref().unwrap_or(&self.username)
    }

    /// The address, if it is verified.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }
}
