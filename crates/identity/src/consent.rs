//! A standing consent of an account: this client may do these things at this place. What the page of linked
//! applications lists. Tokens hang on one, and end with it (Federated Authorization 1.3, 8).
//!
//! A consent names its resource (RFC 8707) and ends there: one for `uma_management` at one resource server says nothing
//! of another (protocol.md 1.7, threat 37).

use crate::{Changes, Identity, Requirement, Write};
use serde::{Deserialize, Serialize};
use types::token::{UMA_MANAGEMENT, UMA_POLICY, UMA_PROTECTION};
use types::{AccountId, ClientId, GrantId, ScopeSet, Timestamp};

/// What an account has agreed to. There is at most one per account, client and resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consent {
    pub id: GrantId,
    pub account: AccountId,
    pub client: ClientId,
    pub scopes: ScopeSet,
    pub created: Timestamp,
    /// The resource server that it is for; none: what this server itself offers. Consents of older stores have none, so
    /// they cover no resource server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource: Option<String>,
}

impl Consent {
    /// Whether it lets the client act as a resource server for the account.
    pub fn links_resource_server(&self) -> bool {
        self.scopes.has(UMA_PROTECTION)
    }

    /// Whether it says this much, and for this resource.
    pub fn covers(&self, scopes: &ScopeSet, resource: Option<&str>) -> bool {
        self.resource.as_deref() == resource && scopes.is_subset(&self.scopes)
    }
}

/// Whether these let a client decide for the person, or manage her things.
pub fn is_sensitive(scopes: &ScopeSet) -> bool {
    scopes.has(UMA_POLICY) || scopes.has(UMA_MANAGEMENT)
}

/// What is agreed to.
pub(crate) struct Terms<'a> {
    pub account: &'a AccountId,
    pub client: &'a ClientId,
    pub scopes: &'a ScopeSet,
    pub resource: Option<&'a str>,
}

impl Identity {
    /// The consent that says all this - as it stands, with more in it, or new - and what its commit needs. `before` is the
    /// one of the same account, client and resource: if it was withdrawn since it was read, nothing is written, so that
    /// what was withdrawn does not come back.
    pub(crate) fn agree(&self, terms: &Terms<'_>, before: Option<Consent>, changes: &mut Changes) -> GrantId {
        changes.requires.extend(before.as_ref().map(|before| Requirement::ConsentStands(before.id.clone())));
        if let Some(before) = before.as_ref().filter(|before| before.covers(terms.scopes, terms.resource)) {
            return before.id.clone();
        }
        let consent = Consent {
            id: before.as_ref().map_or_else(|| GrantId::new(self.random_id()), |before| before.id.clone()),
            account: terms.account.clone(),
            client: terms.client.clone(),
            created: before.as_ref().map_or_else(|| self.now(), |before| before.created),
            scopes: before.map(|before| before.scopes).unwrap_or_default().union(terms.scopes),
            resource: terms.resource.map(str::to_owned),
        };
        let id = consent.id.clone();
        changes.writes.push(Write::PutConsent(consent));
        id
    }
}
