//! The persisted claims token: claims that a client may bring again, for the same person
//! (Grant 3.3.1, 5.2; protocol.md 1.3).

use crate::claim::{AnotherPerson, Claims, RequestingParty};
use crate::ticket::Process;
use serde::{Deserialize, Serialize};
use types::{ClientId, GrantId, OwnerId, Timestamp};

/// An address that a person let a resource server see, and that one alone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Disclosed {
    pub to: ClientId,
    pub email: String,
}

/// What an owner let a client reach as she does: hers, at the resource server that the page named, and nowhere else.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct OwnersReach {
    pub owner: OwnerId,
    pub resource_server: ClientId,
    pub consent: GrantId,
}

/// What a PCT stands for. Bound to its client; another client's is as if not sent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Pct {
    pub client: ClientId,
    pub requesting_party: RequestingParty,
    pub claims: Claims,
    /// What she let the client reach as its owner, where it was hers that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_owner: Option<OwnersReach>,
    /// What she let a resource server see.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosed: Option<Disclosed>,
    pub expires: Timestamp,
    /// When it was given; those of older versions say nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub issued: Option<Timestamp>,
    /// The process that made it.
    pub family: String,
}

impl Pct {
    /// Whether it still brings something to this client (5.2: never to another one).
    pub fn is_for(&self, client: &ClientId, now: Timestamp) -> bool {
        self.client == *client && now < self.expires
    }

    /// When it was given; of one of an older version, by how long they live.
    pub fn issued_at(&self, lifetime: i64) -> Timestamp {
        self.issued.unwrap_or(self.expires.plus(lifetime.saturating_neg()))
    }

    /// Its claims join a process, as far as that knows nothing newer; one about somebody else brings nothing. When she last
    /// logged in is of that time and not of this (protocol.md 1.3); what she let one resource server see, no other one sees, and
    /// what she let the client reach as its owner is hers and there.
    pub fn join(&self, process: &mut Process, owner: &OwnerId, resource_server: &ClientId) -> Result<(), AnotherPerson> {
        process.requesting_party.admit_all(&self.requesting_party)?;
        let reach = self.as_owner.as_ref().filter(|reach| reach.owner == *owner && reach.resource_server == *resource_server);
        process.as_owner = process.as_owner.take().or_else(|| reach.map(|reach| reach.consent.clone()));
        let disclosed = self.disclosed.as_ref().filter(|disclosed| disclosed.to == *resource_server);
        process.disclosed_email = process.disclosed_email.take().or_else(|| disclosed.map(|disclosed| disclosed.email.clone()));
        for claim in self.claims.iter().filter(|claim| claim.name != "auth_time") {
            process.claims.state_kept(claim.clone());
        }
        Ok(())
    }
}
