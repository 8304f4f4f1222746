//! A standing consent of an account to a client: what the page of linked applications lists. A PAT
//! hangs on one, and ends with it (Federated Authorization 1.3, 8).

use serde::{Deserialize, Serialize};
use types::{AccountId, ClientId, GrantId, ScopeSet, Timestamp};

/// What an account has agreed to. There is at most one per account and client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub id: GrantId,
    pub account: AccountId,
    pub client: ClientId,
    pub scopes: ScopeSet,
    pub created: Timestamp,
}

impl Consent {
    /// Whether it lets the client act as a resource server for the account.
    pub fn links_resource_server(&self) -> bool {
        self.scopes.has(types::token::UMA_PROTECTION)
    }
}
