//! What happened to an owner's things, as she reads it (protocol.md 1.5).

use crate::{ClientId, EventId, PolicyId, ResourceId, ResourceServerId, ScopeSet, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;

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
    ServerRestored = "server.restored",
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
    /// Everything that it is about, where that is more than one thing; the first is `resource_id`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub resource_ids: Vec<ResourceId>,
    /// How many things it is about beside those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub more_resources: Option<usize>,
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

/// Most things that one event names.
const MOST_NAMED: usize = 100;

impl EventDocument {
    /// What it is about: each thing once.
    pub fn name_things<'a>(&mut self, things: impl Iterator<Item = &'a ResourceId>) {
        let mut seen = BTreeSet::new();
        let mut all: Vec<ResourceId> = things.filter(|thing| seen.insert(*thing)).cloned().collect();
        self.resource_id = all.first().cloned();
        self.more_resources = all.len().checked_sub(MOST_NAMED).filter(|more| *more > 0);
        all.truncate(MOST_NAMED);
        self.resource_ids = if all.len() > 1 { all } else { Vec::new() };
    }

    /// What it names of what it is about.
    pub fn named_things(&self) -> impl Iterator<Item = &ResourceId> {
        let only = self.resource_id.iter().filter(|_| self.resource_ids.is_empty());
        only.chain(&self.resource_ids)
    }

    /// How many things it is about.
    pub fn count_things(&self) -> usize {
        self.named_things().count().saturating_add(self.more_resources.unwrap_or(0))
    }
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

/// Of an event that tells that the server was restored from a backup ([`EventKind::ServerRestored`]): of what time the state is
/// that it has now. Its `claims` say it under the name of this field.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Restored {
    pub state_of: Timestamp,
}

impl Restored {
    pub fn to_claims(self) -> Map<String, Value> {
        std::iter::once(("state_of".to_owned(), self.state_of.0.into())).collect()
    }

    /// What an event says of it, if it does.
    pub fn of(event: &EventDocument) -> Option<Self> {
        let state_of = Timestamp(event.claims.get("state_of").and_then(Value::as_i64)?);
        (event.kind == EventKind::ServerRestored).then_some(Self { state_of })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_is_about_is_named_each_once() {
        let event = || -> EventDocument { serde_json::from_str(r#"{"_id": "1", "time": 1, "kind": "rpt.issued"}"#).unwrap() };
        for (count, named, more) in [(0, 0, None), (1, 0, None), (2, 2, None), (100, 100, None), (250, 100, Some(150))] {
            let ids: Vec<ResourceId> = (0..count).chain(0..count).map(|n| ResourceId::new(format!("r{n}"))).collect();
            let mut about = event();
            about.name_things(ids.iter());
            assert_eq!((about.resource_ids.len(), about.more_resources, about.count_things()), (named, more, count));
            assert_eq!(about.resource_id.as_ref(), ids.first());
        }
    }
}
