//! Reads of `authorization_server::Store`.

mod delegations;
mod signed_rpts;

use crate::entity::{Cell, Entity, counted, event_ids, key, waiting_for};
use crate::reads::Along;
use crate::{Store, tables};
use async_trait::async_trait;
use authorization_server::consent_receipt::Receipt;
use authorization_server::credential::Credential;
use authorization_server::discovery::Search;
use authorization_server::event::{EventHead, EventSeal, Unsealed};
use authorization_server::linked_manager::KeptManager;
use authorization_server::owner_settings::OwnerSettings;
use authorization_server::store::{DelegationPlace, Page, Weight};
use authorization_server::{Changes, Event};
use database::{ReadError, Row, Table, Value};
use identity::{CommitError, TokenKey};
use rules::access_request::State;
use rules::delegation::Delegation;
use rules::policy::Binding;
use rules::{AccessRequest, Policy, Resource, Rpt};
use signed_rpts::OfServer;
use std::collections::HashSet;
use std::sync::Arc;
use types::{AccessRequestId, ClientId, EventId, OwnResourceId, OwnerId, PolicyId, ResourceId, ResourceServerId, Timestamp};

/// Of a delegation that was not withdrawn, and of one that was.
const STANDS: i64 = 1;
const WITHDRAWN: i64 = 0;

impl Store {
    /// A body that is sealed by whoever writes it.
    async fn find_sealed(&self, table: &'static Table, key: &[Value]) -> Result<Option<Vec<u8>>, ReadError> {
        self.get(table, key).await?.map(|row| table.body(&row).map(<[u8]>::to_vec)).transpose()
    }
}

#[async_trait]
impl authorization_server::Store for Store {
    async fn find_resource(&self, id: &ResourceId) -> Result<Option<Arc<Resource>>, ReadError> {
        let read = || async move { Ok(self.find::<Resource>(&key![id]).await?.map(Arc::new)) };
        self.kept
            .resources
            .find(id.as_str(), &self.epochs.numbers, |resource| self.epochs.of(&resource.owner), |_| true, read)
            .await
    }

    async fn list_resources(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        page: &Page<ResourceId>,
    ) -> Result<Vec<Resource>, ReadError> {
        let along = &key![owner, resource_server];
        self.page(Along::index(0, along), page.after.as_ref().map(ResourceId::as_str), page.limit).await
    }

    async fn find_resource_by_own_id(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        own_id: &OwnResourceId,
    ) -> Result<Option<Resource>, ReadError> {
        self.find_first(Along::index(tables::RESOURCE_BY_OWN_ID, &key![owner, resource_server, own_id])).await
    }

    async fn list_owned_resources(&self, owner: &OwnerId, page: &Page<ResourceId>) -> Result<Vec<Resource>, ReadError> {
        self.page(Along::index(1, &key![owner]), page.after.as_ref().map(ResourceId::as_str), page.limit).await
    }

    async fn find_policy(&self, id: &PolicyId) -> Result<Option<Policy>, ReadError> {
        let read = || async move { self.find(&key![id]).await };
        self.kept
            .policies
            .find(
                id.as_str(),
                &self.epochs.numbers,
                |policy| self.epochs.of(&policy.owner),
                |policy| policy.max_uses.is_none(),
                read,
            )
            .await
    }

    async fn list_policies(&self, owner: &OwnerId, page: &Page<PolicyId>) -> Result<Vec<Policy>, ReadError> {
        self.page(Along::index(0, &key![owner]), page.after.as_ref().map(PolicyId::as_str), page.limit).await
    }

    async fn list_policies_for(&self, address: &str, page: &Page<PolicyId>) -> Result<Vec<PolicyId>, ReadError> {
        let (table, after) = (&tables::SHARED_WITH, page.after.as_ref().map(Cell::cell));
        let rows = self.rows(table, Along::key(&key![address]), after, page.limit).await?;
        rows.iter().map(|row| table.text(row, 1).map(PolicyId::from)).collect()
    }

    async fn list_policies_on(&self, resource: &ResourceId) -> Result<Arc<Vec<Arc<Policy>>>, ReadError> {
        let read = || async move {
            let all = self.all::<Policy>(Along::index(1, &key![resource])).await?;
            Ok(Some(Arc::new(all.into_iter().map(Arc::new).collect::<Vec<_>>())))
        };
        let unlimited = |all: &Arc<Vec<Arc<Policy>>>| !all.is_empty() && all.iter().all(|policy| policy.max_uses.is_none());
        let found = self
            .kept
            .policies_on
            .find(
                resource.as_str(),
                &self.epochs.numbers,
                |all| all.first().map_or(0, |policy| self.epochs.of(&policy.owner)),
                unlimited,
                read,
            )
            .await?;
        Ok(found.unwrap_or_default())
    }

    async fn weigh_policies_beside(&self, policy: &Policy) -> Result<Weight, ReadError> {
        let (index, name) = match &policy.binding {
            Binding::Bound { resource } => (1, resource.as_str().to_owned()),
            Binding::Waiting { resource_server, own_id } => (2, waiting_for(&policy.owner, resource_server, own_id)),
        };
        let rows = self.all_rows(Policy::TABLE, Along::index(index, &key![name])).await?;
        let bytes = rows.iter().map(|row| Policy::TABLE.body(row).map(<[u8]>::len)).sum::<Result<usize, _>>()?;
        Ok(Weight { count: rows.len(), bytes })
    }

    async fn count_policies(&self, owner: &OwnerId, most: usize) -> Result<usize, ReadError> {
        self.count(Policy::TABLE, Along::index(0, &key![owner]), most).await
    }

    async fn list_waiting_policies(
        &self,
        owner: &OwnerId,
        resource_server: &ResourceServerId,
        own_id: &OwnResourceId,
    ) -> Result<Vec<Policy>, ReadError> {
        self.all(Along::index(2, &key![waiting_for(owner, resource_server, own_id)])).await
    }

    async fn find_link_version(&self, owner: &OwnerId, resource_server: &ClientId) -> Result<i64, ReadError> {
        let key = &key![owner, resource_server];
        let name = format!("{owner}\u{1f}{resource_server}");
        let read = || async move { self.get(&tables::LINK, key).await?.map_or(Ok(0), |row| tables::LINK.int(&row, 2)) };
        self.kept.links.find_of(&*name, self.epochs.of(owner), |_| true, read).await
    }

    async fn find_rpt(&self, key: &TokenKey) -> Result<Option<Rpt>, ReadError> {
        self.find_token(key).await
    }

    async fn count_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
        most: usize,
    ) -> Result<usize, ReadError> {
        self.count_signed(&OfServer { owner, resource_server }, now, most).await
    }

    async fn list_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, ReadError> {
        self.list_signed(&OfServer { owner, resource_server }, now).await
    }

    async fn find_pct(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, ReadError> {
        self.token(&tables::PCT, key).await?.map(|row| tables::PCT.body(&row).map(<[u8]>::to_vec)).transpose()
    }

    async fn find_proof(&self, id: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.find_sealed(&tables::KEPT_PROOF, &key![id]).await
    }

    async fn find_process(&self, id: &[u8; 20]) -> Result<Option<Vec<u8>>, ReadError> {
        self.find_sealed(&tables::PROCESS, &key![id]).await
    }

    async fn find_access_request(&self, id: &AccessRequestId) -> Result<Option<AccessRequest>, ReadError> {
        self.find(&key![id]).await
    }

    async fn list_access_requests(&self, owner: &OwnerId, page: &Page<AccessRequestId>) -> Result<Vec<AccessRequest>, ReadError> {
        let after = page.after.as_ref().map(AccessRequestId::as_str);
        self.page(Along::index(0, &key![owner]).backwards(), after, page.limit).await
    }

    async fn list_waiting_requests(&self, owner: &OwnerId, until: Timestamp) -> Result<Vec<AccessRequest>, ReadError> {
        let until_then = self.due::<AccessRequest>(Along::index(3, &key![owner]), None, 3, until).await?;
        Ok(until_then.into_iter().filter(|request| request.state == State::Pending).collect())
    }

    async fn find_inbox_version(&self, owner: &OwnerId) -> Result<i64, ReadError> {
        self.get(&tables::INBOX, &key![owner]).await?.map_or(Ok(0), |row| tables::INBOX.int(&row, 1))
    }

    async fn list_access_requests_by_key(&self, key: &str) -> Result<Vec<AccessRequest>, ReadError> {
        self.all(Along::index(1, &key![key])).await
    }

    async fn list_due_access_requests(&self, now: Timestamp, limit: usize) -> Result<Vec<AccessRequest>, ReadError> {
        let mut due: Vec<AccessRequest> = self.page(Along::index(2, &[]), None, limit).await?;
        due.retain(|request| request.due() <= now);
        Ok(due)
    }

    async fn list_events(&self, owner: &OwnerId, page: &Page<EventId>) -> Result<Vec<Event>, ReadError> {
        self.page(Along::key(&key![owner]).backwards(), page.after.as_ref().map(EventId::as_str), page.limit).await
    }

    async fn list_events_from(&self, owner: &OwnerId, after: &EventId, limit: usize) -> Result<Vec<Event>, ReadError> {
        self.page(Along::key(&key![owner]), Some(after.as_str()), limit).await
    }

    async fn find_event(&self, owner: &OwnerId, id: &EventId) -> Result<Option<Event>, ReadError> {
        self.find(&key![owner, id]).await
    }

    async fn list_event_seals(
        &self,
        owner: &OwnerId,
        after: Option<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<EventSeal>, ReadError> {
        let (table, prefix) = (&tables::EVENT_SEAL, key![owner]);
        let along = if newest_first { Along::key(&prefix).backwards() } else { Along::key(&prefix) };
        let seal = |row: &Row| Ok(EventSeal { n: counted(table, row, 1)?, ids: event_ids(row)? });
        self.rows(table, along, after.map(|n| n.cell()), limit).await?.iter().map(seal).collect()
    }

    async fn find_event_head(&self, owner: &OwnerId) -> Result<Option<EventHead>, ReadError> {
        self.find(&key![owner]).await
    }

    async fn list_event_owners(&self, after: Option<&OwnerId>, limit: usize) -> Result<Vec<OwnerId>, ReadError> {
        let mut owners: Vec<OwnerId> = after.cloned().into_iter().collect();
        let known = owners.len();
        while owners.len() < limit.saturating_add(known) {
            match self.first(Event::TABLE, Along::key(&[]), owners.last().map(Cell::cell)).await? {
                Some(row) => owners.push(OwnerId::new(Event::TABLE.text(&row, 0)?)),
                None => break,
            }
        }
        Ok(owners.split_off(known))
    }

    async fn take_unsealed(&self) -> Result<Unsealed, ReadError> {
        if self.is_shared() { self.take_shared_unsealed().await } else { Ok(self.epochs.take_unsealed()) }
    }

    async fn list_credentials(&self, owner: &OwnerId) -> Result<Vec<Credential>, ReadError> {
        let mut all: Vec<Credential> = self.all(Along::key(&key![owner])).await?;
        all.sort_by_key(|credential| credential.document.created);
        Ok(all)
    }

    async fn find_search(&self, id: &str) -> Result<Option<Search>, ReadError> {
        self.find(&key![id]).await
    }

    async fn list_searches(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Search>, ReadError> {
        self.page(Along::index(0, &key![owner]), page.after.as_deref(), page.limit).await
    }

    async fn list_own_searches(&self, owner: &OwnerId) -> Result<Vec<Search>, ReadError> {
        self.all(Along::index(0, &key![owner])).await
    }

    async fn list_due_searches(&self, now: Timestamp) -> Result<Vec<Search>, ReadError> {
        // what is due never stands at 0
        self.due(Along::index(1, &[]), Some(0_i64.cell()), 2, now).await
    }

    async fn list_owners_signed_for(&self, signer: &str) -> Result<Vec<OwnerId>, ReadError> {
        let mut owners: Vec<OwnerId> = Vec::new();
        loop {
            match self.first(&tables::SIGNED_POLICY, Along::key(&key![signer]), owners.last().map(Cell::cell)).await? {
                Some(row) => owners.push(OwnerId::new(tables::SIGNED_POLICY.text(&row, 1)?)),
                None => return Ok(owners),
            }
        }
    }

    async fn list_policies_signed_by(&self, signer: &str, owner: &OwnerId) -> Result<Vec<Policy>, ReadError> {
        let mut policies = Vec::new();
        for row in self.all_rows(&tables::SIGNED_POLICY, Along::key(&key![signer, owner])).await? {
            policies.extend(self.find_policy(&PolicyId::from(tables::SIGNED_POLICY.text(&row, 2)?)).await?);
        }
        Ok(policies)
    }

    async fn list_credentials_of_subject(&self, subject: &str) -> Result<Vec<Credential>, ReadError> {
        self.all(Along::index(0, &key![subject])).await
    }

    async fn list_delegations(&self, owner: &OwnerId) -> Result<Vec<Delegation>, ReadError> {
        self.all(Along::index(1, &key![owner, STANDS])).await
    }

    async fn find_delegation(&self, owner: &OwnerId, id: &str) -> Result<Option<Delegation>, ReadError> {
        self.find(&key![owner, id]).await
    }

    async fn list_delegations_to(&self, delegate: &str, page: &Page<DelegationPlace>) -> Result<Vec<Delegation>, ReadError> {
        self.delegations_to(delegate, page).await
    }

    async fn count_withdrawn_delegations(&self, owner: &OwnerId) -> Result<usize, ReadError> {
        self.count(Delegation::TABLE, Along::index(1, &key![owner, WITHDRAWN]), usize::MAX).await
    }

    async fn list_delegations_between(&self, owner: &OwnerId, delegate: &str) -> Result<Vec<Delegation>, ReadError> {
        self.all(Along::index(0, &key![delegate, STANDS, owner])).await
    }

    async fn list_receipts(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Receipt>, ReadError> {
        self.page(Along::key(&key![owner]).backwards(), page.after.as_deref(), page.limit).await
    }

    async fn find_receipt(&self, owner: &OwnerId, id: &str) -> Result<Option<Receipt>, ReadError> {
        self.find(&key![owner, id]).await
    }

    async fn find_last_receipt(&self, owner: &OwnerId, subject: &str) -> Result<Option<Receipt>, ReadError> {
        let all: Vec<Receipt> = self.all(Along::index(0, &key![owner, subject])).await?;
        // of one second, ids say nothing of what came first
        let replaced: HashSet<String> = all.iter().filter_map(|receipt| receipt.document.replaces.clone()).collect();
        let open = all.into_iter().filter(|receipt| !replaced.contains(&receipt.document.id));
        Ok(open.max_by(|a, b| a.document.id.cmp(&b.document.id)))
    }

    async fn list_managers(&self, owner: &OwnerId) -> Result<Vec<KeptManager>, ReadError> {
        self.all(Along::key(&key![owner])).await
    }

    async fn find_owner_settings(&self, owner: &OwnerId) -> Result<Option<OwnerSettings>, ReadError> {
        let read = || async move { self.records.find(&tables::OWNER_SETTINGS, &key![owner]).await };
        self.kept.owner_settings.find_of(owner.as_str(), self.epochs.of(owner), |_| true, read).await
    }

    fn restored_at(&self) -> Option<Timestamp> {
        self.restored().map(|restored| restored.at)
    }

    fn epoch(&self, owner: &OwnerId) -> u64 {
        self.epochs.of(owner)
    }

    fn epoch_of_all(&self) -> u64 {
        self.epochs.numbers.of_all()
    }

    async fn epoch_left(&self, owner: &OwnerId, epoch: u64) {
        self.epochs.numbers.left(&[owner.as_str()], epoch).await;
    }

    async fn commit(&self, changes: Changes) -> Result<(), CommitError> {
        self.commit_changes(changes).await
    }
}
