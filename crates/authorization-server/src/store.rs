//! What the authorization server asks of its store, beside what identity asks of it. `store`
//! implements it in memory and on SQLite; one contract suite holds both to it.

use crate::changes::Changes;
use crate::consent_receipt::Receipt;
use crate::credential::Credential;
use crate::discovery::Search;
use crate::event::{Event, EventHead, EventSeal, Unsealed};
use crate::linked_manager::KeptManager;
use crate::owner_settings::OwnerSettings;
use async_trait::async_trait;
use identity::{CommitError, ReadError, TokenKey};
use rules::delegation::Delegation;
use rules::{AccessRequest, Policy, Resource, Rpt};
use std::sync::Arc;
use types::{AccessRequestId, ClientId, EventId, OwnResourceId, OwnerId, PolicyId, ResourceId, ResourceServerId, Timestamp};

/// A page of a list: entries after this one, at most so many.
#[derive(Clone, Debug)]
pub struct Page<T> {
    pub after: Option<T>,
    pub limit: usize,
}

/// How much there is of something.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Weight {
    pub count: usize,
    pub bytes: usize,
}

/// Where a delegation stands among those to one delegate.
#[derive(Clone, Debug)]
pub struct DelegationPlace {
    pub owner: OwnerId,
    pub id: String,
}

/// Reads, and one write.
#[async_trait]
pub trait Store: Send + Sync {
    async fn find_resource(&self, id: &ResourceId) -> Result<Option<Arc<Resource>>, ReadError>;
    /// Of one owner at one resource server, by id.
    async fn list_resources(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        page: &Page<ResourceId>,
    ) -> Result<Vec<Resource>, ReadError>;
    /// Of one owner at one resource server, by that server's own id.
    async fn find_resource_by_own_id(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        own_id: &OwnResourceId,
    ) -> Result<Option<Resource>, ReadError>;
    /// Of one owner everywhere, by id.
    async fn list_owned_resources(&self, owner: &OwnerId, page: &Page<ResourceId>) -> Result<Vec<Resource>, ReadError>;
    async fn find_policy(&self, id: &PolicyId) -> Result<Option<Policy>, ReadError>;
    async fn list_policies(&self, owner: &OwnerId, page: &Page<PolicyId>) -> Result<Vec<Policy>, ReadError>;
    /// Policies of all owners that name this address, in the form in which addresses compare.
    async fn list_policies_for(&self, address: &str, page: &Page<PolicyId>) -> Result<Vec<PolicyId>, ReadError>;
    /// All policies bound to a resource.
    async fn list_policies_on(&self, resource: &ResourceId) -> Result<Arc<Vec<Arc<Policy>>>, ReadError>;
    /// What the policies beside this one hold: on the same resource, or waiting for the same one.
    async fn weigh_policies_beside(&self, policy: &Policy) -> Result<Weight, ReadError>;
    /// How many policies an owner has, counted to this number.
    async fn count_policies(&self, owner: &OwnerId, most: usize) -> Result<usize, ReadError>;
    /// Policies that wait for a resource with this id of the resource server's own.
    async fn list_waiting_policies(
        &self,
        owner: &OwnerId,
        resource_server: &ResourceServerId,
        own_id: &OwnResourceId,
    ) -> Result<Vec<Policy>, ReadError>;
    /// Version of the link between an owner and a resource server; 0 where there never was one.
    async fn find_link_version(&self, owner: &OwnerId, resource_server: &ClientId) -> Result<i64, ReadError>;
    async fn find_rpt(&self, key: &TokenKey) -> Result<Option<Rpt>, ReadError>;
    /// How many JWT RPTs of one owner at one resource server there are that end in this hour or later, up to so many.
    async fn count_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
        most: usize,
    ) -> Result<usize, ReadError>;
    /// RPTs of this owner at this resource server that were issued as JWTs and end after `now`, also those
    /// that are gone: `jti` and end.
    async fn list_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, ReadError>;
    /// A PCT as it was sealed.
    async fn find_pct(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, ReadError>;
    /// What a browser has kept here, a proof or a note, as it was sealed.
    async fn find_proof(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError>;
    /// A process as it was sealed.
    async fn find_process(&self, id: &[u8; 20]) -> Result<Option<Vec<u8>>, ReadError>;
    async fn find_access_request(&self, id: &AccessRequestId) -> Result<Option<AccessRequest>, ReadError>;
    /// Of one owner, newest first.
    async fn list_access_requests(&self, owner: &OwnerId, page: &Page<AccessRequestId>) -> Result<Vec<AccessRequest>, ReadError>;
    /// Those of one owner that wait for her and run out until then.
    async fn list_waiting_requests(&self, owner: &OwnerId, until: Timestamp) -> Result<Vec<AccessRequest>, ReadError>;
    /// Rises with each request that comes to this owner; 0 where none ever came.
    async fn find_inbox_version(&self, owner: &OwnerId) -> Result<i64, ReadError>;
    /// Of one client and requesting party to one owner ([`AccessRequest::key`]).
    async fn list_access_requests_by_key(&self, key: &str) -> Result<Vec<AccessRequest>, ReadError>;
    /// Of all owners, those whose time has come ([`AccessRequest::due`]), the earliest first.
    async fn list_due_access_requests(&self, now: Timestamp, limit: usize) -> Result<Vec<AccessRequest>, ReadError>;
    /// Of one owner, newest first.
    async fn list_events(&self, owner: &OwnerId, page: &Page<EventId>) -> Result<Vec<Event>, ReadError>;
    /// Of one owner behind this id, oldest first.
    async fn list_events_from(&self, owner: &OwnerId, after: &EventId, limit: usize) -> Result<Vec<Event>, ReadError>;
    async fn find_event(&self, owner: &OwnerId, id: &EventId) -> Result<Option<Event>, ReadError>;
    async fn find_event_head(&self, owner: &OwnerId) -> Result<Option<EventHead>, ReadError>;
    /// Of one owner behind (or, newest first, before) the seal that begins with this number.
    async fn list_event_seals(
        &self,
        owner: &OwnerId,
        after: Option<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<EventSeal>, ReadError>;
    /// Everybody who has events.
    async fn list_event_owners(&self, after: Option<&OwnerId>, limit: usize) -> Result<Vec<OwnerId>, ReadError>;
    /// Events that were committed since this was last asked.
    async fn take_unsealed(&self) -> Result<Unsealed, ReadError>;
    /// An owner's credentials, the oldest first.
    async fn list_credentials(&self, owner: &OwnerId) -> Result<Vec<Credential>, ReadError>;
    async fn find_search(&self, id: &str) -> Result<Option<Search>, ReadError>;
    async fn list_searches(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Search>, ReadError>;
    async fn list_own_searches(&self, owner: &OwnerId) -> Result<Vec<Search>, ReadError>;
    /// Those of which something is to be sent by now ([`Search::due`]), of all owners, what has waited longest first.
    async fn list_due_searches(&self, now: Timestamp) -> Result<Vec<Search>, ReadError>;
    /// Everybody with policies that were signed by a credential of this name.
    async fn list_owners_signed_for(&self, signer: &str) -> Result<Vec<OwnerId>, ReadError>;
    async fn list_policies_signed_by(&self, signer: &str, owner: &OwnerId) -> Result<Vec<Policy>, ReadError>;
    /// Credentials of this name, of whatever owner.
    async fn list_credentials_of_subject(&self, subject: &str) -> Result<Vec<Credential>, ReadError>;
    /// Of one owner, also one that was withdrawn, until its end.
    async fn find_delegation(&self, owner: &OwnerId, id: &str) -> Result<Option<Delegation>, ReadError>;
    /// Of one owner, those that were not withdrawn.
    async fn list_delegations(&self, owner: &OwnerId) -> Result<Vec<Delegation>, ReadError>;
    /// The same by this owner to whoever has this name ([`rules::delegation::Delegate::key`]): what others do changes
    /// nothing about it.
    async fn list_delegations_between(&self, owner: &OwnerId, delegate: &str) -> Result<Vec<Delegation>, ReadError>;
    /// To whoever has this name, one owner's after the other's.
    async fn list_delegations_to(&self, delegate: &str, page: &Page<DelegationPlace>) -> Result<Vec<Delegation>, ReadError>;
    /// How many of one owner were withdrawn and are kept until their end.
    async fn count_withdrawn_delegations(&self, owner: &OwnerId) -> Result<usize, ReadError>;
    /// Of one owner, newest first.
    async fn list_receipts(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Receipt>, ReadError>;
    async fn find_receipt(&self, owner: &OwnerId, id: &str) -> Result<Option<Receipt>, ReadError>;
    /// The last one about this.
    async fn find_last_receipt(&self, owner: &OwnerId, subject: &str) -> Result<Option<Receipt>, ReadError>;
    async fn list_managers(&self, owner: &OwnerId) -> Result<Vec<KeptManager>, ReadError>;
    async fn find_owner_settings(&self, owner: &OwnerId) -> Result<Option<OwnerSettings>, ReadError>;
    /// When this store was restored from a backup, if it was.
    fn restored_at(&self) -> Option<Timestamp>;
    /// A number that rises, before it is acknowledged, with every change that can take something away
    /// from this owner's things: her policies, resources, links, approvals, tokens.
    fn epoch(&self, owner: &OwnerId) -> u64;
    /// How often the numbers of all owners were raised at once, since nobody could say whose it was.
    fn epoch_of_all(&self) -> u64;
    /// Waits until her epoch is another than this.
    async fn epoch_left(&self, owner: &OwnerId, epoch: u64);
    /// Carries the changes out, whole or not at all; durable when it returns.
    async fn commit(&self, changes: Changes) -> Result<(), CommitError>;
}
