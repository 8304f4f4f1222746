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
use identity::{CommitError, StoreError, TokenKey};
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
    async fn find_resource(&self, id: &ResourceId) -> Result<Option<Arc<Resource>>, StoreError>;
    /// Of one owner at one resource server, by id.
    async fn list_resources(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        page: &Page<ResourceId>,
    ) -> Result<Vec<Resource>, StoreError>;
    /// Of one owner at one resource server, by that server's own id.
    async fn find_resource_by_own_id(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        own_id: &OwnResourceId,
    ) -> Result<Option<Resource>, StoreError>;
    /// Of one owner everywhere, by id.
    async fn list_owned_resources(&self, owner: &OwnerId, page: &Page<ResourceId>) -> Result<Vec<Resource>, StoreError>;
    async fn find_policy(&self, id: &PolicyId) -> Result<Option<Policy>, StoreError>;
    async fn list_policies(&self, owner: &OwnerId, page: &Page<PolicyId>) -> Result<Vec<Policy>, StoreError>;
    /// Policies of all owners that name this address, in the form in which addresses compare.
    async fn list_policies_for(&self, address: &str, page: &Page<PolicyId>) -> Result<Vec<PolicyId>, StoreError>;
    /// All policies bound to a resource.
    async fn list_policies_on(&self, resource: &ResourceId) -> Result<Arc<Vec<Arc<Policy>>>, StoreError>;
    /// What the policies beside this one hold: on the same resource, or waiting for the same one.
    async fn weigh_policies_beside(&self, policy: &Policy) -> Result<Weight, StoreError>;
    /// How many policies an owner has, counted to this number.
    async fn count_policies(&self, owner: &OwnerId, most: usize) -> Result<usize, StoreError>;
    /// Policies that wait for a resource with this id of the resource server's own.
    async fn list_waiting_policies(
        &self,
        owner: &OwnerId,
        resource_server: &ResourceServerId,
        own_id: &OwnResourceId,
    ) -> Result<Vec<Policy>, StoreError>;
    /// Version of the link between an owner and a resource server; 0 where there never was one.
    async fn find_link_version(&self, owner: &OwnerId, resource_server: &ClientId) -> Result<i64, StoreError>;
    async fn find_rpt(&self, key: &TokenKey) -> Result<Option<Rpt>, StoreError>;
    /// How many JWT RPTs of one owner at one resource server there are that end in this hour or later, up to so many.
    async fn count_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
        most: usize,
    ) -> Result<usize, StoreError>;
    /// RPTs of this owner at this resource server that were issued as JWTs and end after `now`, also those
    /// that are gone: `jti` and end.
    async fn list_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError>;
    /// A PCT as it was sealed.
    async fn find_pct(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError>;
    /// What a browser has kept here, a proof or a note, as it was sealed.
    async fn find_proof(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError>;
    /// A process as it was sealed.
    async fn find_process(&self, id: &[u8; 20]) -> Result<Option<Vec<u8>>, StoreError>;
    async fn find_access_request(&self, id: &AccessRequestId) -> Result<Option<AccessRequest>, StoreError>;
    /// Of one owner, newest first.
    async fn list_access_requests(&self, owner: &OwnerId, page: &Page<AccessRequestId>)
    -> Result<Vec<AccessRequest>, StoreError>;
    /// Those of one owner that wait for her and run out until then.
    async fn list_waiting_requests(&self, owner: &OwnerId, until: Timestamp) -> Result<Vec<AccessRequest>, StoreError>;
    /// Rises with each request that comes to this owner; 0 where none ever came.
    async fn find_inbox_version(&self, owner: &OwnerId) -> Result<i64, StoreError>;
    /// Of one client and requesting party to one owner ([`AccessRequest::key`]).
    async fn list_access_requests_by_key(&self, key: &str) -> Result<Vec<AccessRequest>, StoreError>;
    /// Of all owners, those whose time has come ([`AccessRequest::due`]), the earliest first.
    async fn list_due_access_requests(&self, now: Timestamp, limit: usize) -> Result<Vec<AccessRequest>, StoreError>;
    /// Of one owner, newest first.
    async fn list_events(&self, owner: &OwnerId, page: &Page<EventId>) -> Result<Vec<Event>, StoreError>;
    /// Of one owner behind this id, oldest first.
    async fn list_events_from(&self, owner: &OwnerId, after: &EventId, limit: usize) -> Result<Vec<Event>, StoreError>;
    async fn find_event(&self, owner: &OwnerId, id: &EventId) -> Result<Option<Event>, StoreError>;
    async fn find_event_head(&self, owner: &OwnerId) -> Result<Option<EventHead>, StoreError>;
    /// Of one owner behind (or, newest first, before) the seal that begins with this number.
    async fn list_event_seals(
        &self,
        owner: &OwnerId,
        after: Option<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<EventSeal>, StoreError>;
    /// Everybody who has events.
    async fn list_event_owners(&self, after: Option<&OwnerId>, limit: usize) -> Result<Vec<OwnerId>, StoreError>;
    /// Events that were committed since this was last asked.
    async fn take_unsealed(&self) -> Result<Unsealed, StoreError>;
    /// An owner's credentials, the oldest first.
    async fn list_credentials(&self, owner: &OwnerId) -> Result<Vec<Credential>, StoreError>;
    async fn find_search(&self, id: &str) -> Result<Option<Search>, StoreError>;
    async fn list_searches(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Search>, StoreError>;
    async fn list_own_searches(&self, owner: &OwnerId) -> Result<Vec<Search>, StoreError>;
    /// Those of which something is to be sent by now ([`Search::due`]), of all owners, what has waited longest first.
    async fn list_due_searches(&self, now: Timestamp) -> Result<Vec<Search>, StoreError>;
    /// Everybody with policies that were signed by a credential of this name.
    async fn list_owners_signed_for(&self, signer: &str) -> Result<Vec<OwnerId>, StoreError>;
    async fn list_policies_signed_by(&self, signer: &str, owner: &OwnerId) -> Result<Vec<Policy>, StoreError>;
    /// Credentials of this name, of whatever owner.
    async fn list_credentials_of_subject(&self, subject: &str) -> Result<Vec<Credential>, StoreError>;
    /// Of one owner, also one that was withdrawn, until its end.
    async fn find_delegation(&self, owner: &OwnerId, id: &str) -> Result<Option<Delegation>, StoreError>;
    /// Of one owner, those that were not withdrawn.
    async fn list_delegations(&self, owner: &OwnerId) -> Result<Vec<Delegation>, StoreError>;
    /// The same by this owner to whoever has this name ([`rules::delegation::Delegate::key`]): what others do changes
    /// nothing about it.
    async fn list_delegations_between(&self, owner: &OwnerId, delegate: &str) -> Result<Vec<Delegation>, StoreError>;
    /// To whoever has this name, one owner's after the other's.
    async fn list_delegations_to(&self, delegate: &str, page: &Page<DelegationPlace>) -> Result<Vec<Delegation>, StoreError>;
    /// How many of one owner were withdrawn and are kept until their end.
    async fn count_withdrawn_delegations(&self, owner: &OwnerId) -> Result<usize, StoreError>;
    /// Of one owner, newest first.
    async fn list_receipts(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Receipt>, StoreError>;
    async fn find_receipt(&self, owner: &OwnerId, id: &str) -> Result<Option<Receipt>, StoreError>;
    /// The last one about this.
    async fn find_last_receipt(&self, owner: &OwnerId, subject: &str) -> Result<Option<Receipt>, StoreError>;
    async fn list_managers(&self, owner: &OwnerId) -> Result<Vec<KeptManager>, StoreError>;
    async fn find_owner_settings(&self, owner: &OwnerId) -> Result<Option<OwnerSettings>, StoreError>;
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
