//! What a server last said, as it is kept.

use super::named::Unclear;
use crate::consent_receipt::KeptReceipt;
use crate::for_other::{ForOther, Offer};
use crate::history::{Audit, KeptHead, Told};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::available_resource::{AvailableResource, ChosenServer};
use types::credential::CredentialDocument;
use types::delegation::DelegationDocument;
use types::event::EventDocument;
use types::policy::{PolicyDocument, SharedPolicy};
use types::{PolicyId, ResourceDescription, ResourceId, ResourceServerId, Timestamp};

/// A resource as an authorization server lists it (protocol.md 1.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guarded {
    #[serde(rename = "_id")]
    pub(crate) id: ResourceId,
    pub(crate) resource_server: ResourceServerId,
    #[serde(default)]
    pub(crate) user_access_policy_uri: Option<String>,
    #[serde(flatten)]
    pub(crate) description: ResourceDescription,
}

/// A token that a resource server lets nobody in by any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WithdrawnToken {
    pub(crate) jti: String,
}

/// What a server last said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// When the reading began that this is of, in milliseconds (`reading_time`).
    #[serde(default)]
    pub(crate) begun: i64,
    /// How many bytes it takes in memory, about.
    #[serde(default)]
    pub(crate) weight: usize,
    /// When each registration, by its name there, was first read, in the same way.
    #[serde(default)]
    pub(crate) first_listed: BTreeMap<String, i64>,
    /// How many items of its lists did not read, and the policies of which a part did not.
    #[serde(default)]
    pub(crate) unread: usize,
    #[serde(default)]
    pub(crate) partly_read: BTreeSet<PolicyId>,
    /// What of policies, of delegations and of requests did not read.
    #[serde(default)]
    pub(crate) unclear_policies: Unclear,
    #[serde(default)]
    pub(crate) unclear_delegations: Unclear,
    #[serde(default)]
    pub(crate) unclear_requests: Unclear,
    /// When it was asked last, and answered last.
    pub(crate) asked: Timestamp,
    pub(crate) answered: Option<Timestamp>,
    /// Why it gave no answer.
    pub(crate) error: Option<String>,
    /// Of a resource server.
    #[serde(default)]
    pub(crate) available: Vec<AvailableResource>,
    #[serde(default)]
    pub(crate) servers: Vec<ChosenServer>,
    /// Of a resource server: ids of tokens that it was told are taken back.
    #[serde(default)]
    pub(crate) withdrawn: Vec<WithdrawnToken>,
    /// Whether what she signs can count there, and by which keys it does.
    #[serde(default)]
    pub(crate) signs: bool,
    #[serde(default)]
    pub(crate) credentials: Vec<CredentialDocument>,
    #[serde(default)]
    pub(crate) credentials_endpoint: Option<String>,
    /// Of an authorization server: whether nothing passes that she did not sign.
    #[serde(default)]
    pub(crate) demands_signature: Option<bool>,
    /// Of an authorization server: where shares and requests are, for when it is away.
    #[serde(default)]
    pub(crate) policy_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) access_requests_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) guarded: Vec<Guarded>,
    #[serde(default)]
    pub(crate) policies: Vec<PolicyDocument>,
    #[serde(default)]
    pub(crate) requests: Vec<AccessRequestDocument>,
    #[serde(default)]
    pub(crate) shared_with_me: Vec<SharedPolicy>,
    /// Whom she lets decide, and where that is done.
    #[serde(default)]
    pub(crate) delegations_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) delegations: Vec<DelegationDocument>,
    /// For whom she may decide, and what waits there.
    #[serde(default)]
    pub(crate) for_others: Vec<ForOther>,
    /// Who would let her decide, and has no answer of hers yet; and how many more there are.
    #[serde(default)]
    pub(crate) offers: Vec<Offer>,
    #[serde(default)]
    pub(crate) more_offers: usize,
    /// People who had an answer of hers, and stand in the list no more.
    #[serde(skip)]
    pub(crate) gone_owners: BTreeSet<String>,
    #[serde(default)]
    pub(crate) receipts: Vec<KeptReceipt>,
    /// What happened there: events of an authorization server, lines of a resource server.
    #[serde(default)]
    pub(crate) events: Vec<EventDocument>,
    #[serde(default)]
    pub(crate) told: Vec<Told>,
    /// The head that later ones must follow from; and what was found where they did not.
    #[serde(default)]
    pub(crate) head: Option<KeptHead>,
    #[serde(default)]
    pub(crate) audit: Option<Audit>,
    /// Whether it has shown its chain before.
    #[serde(default)]
    pub(crate) followed: bool,
    /// Thumbprints of the keys that it signs with.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
}

impl Snapshot {
    /// How many requests wait for her, hers and those of people for whom she decides.
    pub(crate) fn waiting(&self) -> usize {
        let all = self.requests.iter().chain(self.for_others.iter().flat_map(|other| &other.requests));
        all.filter(|request| request.state == AccessRequestState::Pending).count()
    }

    /// Names of registrations: an authorization server's of what it guards, a resource server's of who guards.
    fn registrations(&self) -> impl Iterator<Item = &str> {
        let kept = self.available.iter().flat_map(|one| one.registrations.iter().map(|registration| registration.id.as_str()));
        kept.chain(self.guarded.iter().map(|one| one.id.as_str()))
    }

    /// The same, with when each registration was first read: now, or before.
    pub(crate) fn with_first_listed(self, before: &Self, now: i64) -> Self {
        let since = |name: &str| (name.to_owned(), before.first_listed.get(name).copied().unwrap_or(now));
        let first_listed = self.registrations().map(since).collect();
        Self { first_listed, ..self }
    }

    /// Whether it listed this registration before another server's reading began: of two that are read one after the other,
    /// the first does not contradict what was registered in between.
    pub(crate) fn has_listed_before(&self, registration: &str, begun: i64) -> bool {
        self.first_listed.get(registration).is_none_or(|first| *first < begun)
    }
}
