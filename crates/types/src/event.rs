//! What happened to an owner's things, as she reads it (protocol.md 1.5).

use crate::{ClientId, EventId, PolicyId, ResourceId, ResourceServerId, ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

macro_rules! kinds {
    ($($name:ident = $text:literal),+ $(,)?) => {
        /// The kinds of event that exist.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum EventKind {$(#[serde(rename = $text)] $name),+}
        impl EventKind {
            /// The kind as it stands on the wire.
            pub fn as_str(self) -> &'static str { match self { $(Self::$name => $text),+ } }
        }
    };
}

kinds! {
    ResourceRegistered = "resource.registered",
    ResourceUpdated = "resource.updated",
    ResourceDeleted = "resource.deleted",
    PolicyCreated = "policy.created",
    PolicyUpdated = "policy.updated",
    PolicyDeleted = "policy.deleted",
    ClaimsGathered = "claims.gathered",
    RptIssued = "rpt.issued",
    RptUpgraded = "rpt.upgraded",
    RptRefreshed = "rpt.refreshed",
    RptRevoked = "rpt.revoked",
    RptRefused = "rpt.refused",
    RequestSubmitted = "request.submitted",
    RequestApproved = "request.approved",
    RequestDenied = "request.denied",
    RequestExpired = "request.expired",
    CredentialRegistered = "credential.registered",
    CredentialWithdrawn = "credential.withdrawn",
    DelegationCreated = "delegation.created",
    DelegationWithdrawn = "delegation.withdrawn",
    ManagerLinked = "manager.linked",
    ManagerUnlinked = "manager.unlinked",
    ResourceServerLinked = "resource_server.linked",
    ResourceServerUnlinked = "resource_server.unlinked",
}

/// How a request for access ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EventOutcome {
    Granted,
    Partial,
    NeedInfo,
    Submitted,
    Denied,
}

/// An event as `GET {events_endpoint}` lists it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EventDocument {
    #[serde(rename = "_id")]
    pub id: EventId,
    pub time: Timestamp,
    pub kind: EventKind,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_id: Option<ResourceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resource_server: Option<ResourceServerId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_id: Option<ClientId>,
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    #[serde(default, skip_serializing_if = "ScopeSet::is_empty")]
    pub scopes: ScopeSet,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<EventOutcome>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<PolicyId>,
    /// Who decided: an account, a client, or a delegate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by: Option<String>,
    /// What that delegate is called, as whoever let her decide knows her. Not in the chain: a name may change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub by_name: Option<String>,
}

/// Of an event that stands for people who were let in to what is open to everybody, and were not written down one by one: how
/// many they were. Its `claims` say it under the names of these fields.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Crowd {
    /// Different people, applications and things that they did, at least.
    pub different: usize,
    pub times: u64,
    /// How many of these came of the network that most came of.
    pub of_one_network: u64,
}

impl Crowd {
    pub fn to_claims(self) -> Map<String, Value> {
        [("different", self.different.into()), ("times", self.times.into()), ("of_one_network", self.of_one_network.into())]
            .map(|(name, value): (&str, Value)| (name.to_owned(), value))
            .into_iter()
            .collect()
    }

    /// What an event says of a crowd, if it does.
    pub fn of(event: &EventDocument) -> Option<Self> {
        let number = |name: &str| event.claims.get(name).and_then(Value::as_u64);
        let different = usize::try_from(number("different")?).ok()?;
        Some(Self { different, times: number("times")?, of_one_network: number("of_one_network")? })
    }
}

/// The end of an owner's chain of events, as it is signed (`typ: event-head+jwt`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainHead {
    pub owner: crate::OwnerId,
    /// How many events there are.
    pub n: u64,
    /// base64url.
    pub hash: String,
    pub time: Timestamp,
}

/// An event's place in the chain, without anything personal: `GET {events_endpoint}/chain?after=N` lists them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChainLink {
    /// Counted from 1.
    pub n: u64,
    pub time: Timestamp,
    pub kind: EventKind,
    /// SHA-256 of salt and personal part, base64url.
    pub personal_hash: String,
}
