//! What the authorization server writes, as data; identity's changes are part of it, so that both
//! are one commit.

use crate::consent_receipt::Receipt;
use crate::credential::Credential;
use crate::discovery::Search;
use crate::event::{Event, EventHead, EventSeal};
use crate::linked_manager::KeptManager;
use crate::owner_settings::OwnerSettings;
use identity::TokenKey;
use rules::delegation::Delegation;
use rules::{AccessRequest, Policy, Resource, Rpt};
use types::{AccessRequestId, ClientId, OwnResourceId, OwnerId, PolicyId, ResourceId, Timestamp};

/// What must be true at commit: what the decision rests on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Requirement {
    ResourceUnchanged {
        id: ResourceId,
        version: u64,
    },
    /// Nothing of this owner's has this name of the resource server's.
    OwnIdFree {
        owner: OwnerId,
        resource_server: ClientId,
        own_id: OwnResourceId,
    },
    LinkUnchanged {
        owner: OwnerId,
        resource_server: ClientId,
        version: i64,
    },
    PolicyUnchanged {
        id: PolicyId,
        version: u64,
    },
    AccessRequestUnchanged {
        id: AccessRequestId,
        version: u64,
    },
    /// No request has come to this owner meanwhile: her limits hold.
    InboxUnchanged {
        owner: OwnerId,
        version: i64,
    },
    RptThere(TokenKey),
    /// The search has not been ended, and is to be sent when it was to be before ([`Search::due`]).
    SearchStands {
        id: String,
        owner: OwnerId,
        due: i64,
    },
    /// Its owner has not withdrawn the credential.
    CredentialStands {
        owner: OwnerId,
        id: String,
    },
    /// Neither withdrawn nor gone.
    DelegationStands {
        owner: OwnerId,
        id: String,
    },
    /// Nobody has a policy of this id; `Taken` where somebody does.
    PolicyAbsent(PolicyId),
}

/// One change.
pub enum Write {
    CreateResource(Resource),
    /// Replaces it; its version must already be the next.
    PutResource(Resource),
    DeleteResource {
        owner: OwnerId,
        id: ResourceId,
    },
    /// Raises the version of a resource because a policy on it changed.
    TouchResource(ResourceId),
    PutPolicy(Policy),
    DeletePolicy {
        owner: OwnerId,
        id: PolicyId,
    },
    /// One use, if fewer than so many were made.
    Use {
        policy: PolicyId,
        at_most: u64,
    },
    RaiseLink {
        owner: OwnerId,
        resource_server: ClientId,
    },
    /// Where it is signed, its `jti` is noted for those who check offline (protocol.md 4).
    PutRpt(TokenKey, Rpt),
    DeleteRpt {
        owner: OwnerId,
        key: TokenKey,
    },
    /// A PCT; its claims are sealed already.
    PutPct {
        key: TokenKey,
        sealed: Vec<u8>,
        expires: Timestamp,
    },
    DeletePct(TokenKey),
    /// What a browser has kept here for a while, a proof or a note; sealed already.
    PutProof {
        id: String,
        sealed: Vec<u8>,
        expires: Timestamp,
    },
    DeleteProof(String),
    PutProcess {
        id: [u8; 20],
        sealed: Vec<u8>,
        expires: Timestamp,
    },
    DeleteProcess([u8; 20]),
    /// A request comes to this owner.
    RaiseInbox(OwnerId),
    PutAccessRequest(AccessRequest),
    DeleteAccessRequest {
        owner: OwnerId,
        id: AccessRequestId,
    },
    AppendEvent(Event),
    /// An event that is known already, without its personal part.
    EraseEvent(Event),
    /// Events take their places in the owner's chain, which then ends at this head.
    SealEvents {
        head: EventHead,
        seal: EventSeal,
    },
    PutOwnerSettings(OwnerId, OwnerSettings),
    /// `Taken` where the owner has or had one of this id.
    CreateDelegation(Delegation),
    PutDelegation(Delegation),
    DeleteDelegation {
        owner: OwnerId,
        id: String,
    },
    /// A receipt, or one from which a person was erased.
    PutReceipt(Receipt),
    PutManager(KeptManager),
    DeleteManager {
        owner: OwnerId,
        id: String,
    },
    PutSearch(Search),
    DeleteSearch(String),
    PutCredential(Credential),
    DeleteCredential {
        owner: OwnerId,
        id: String,
    },
}

/// Requirements and changes that go together.
#[derive(Default)]
pub struct Changes {
    pub identity: identity::Changes,
    pub requires: Vec<Requirement>,
    pub writes: Vec<Write>,
}

impl Changes {
    /// Changes with these writes and no requirements.
    pub fn of(writes: Vec<Write>) -> Self {
        Self { writes, ..Self::default() }
    }

    /// Identity's changes alone.
    pub fn of_identity(writes: Vec<identity::Write>) -> Self {
        Self { identity: identity::Changes::of(writes), ..Self::default() }
    }
}
