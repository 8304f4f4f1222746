//! Reads of `authorization_server::Store`.

mod delegations;
mod policies;
mod searches;
mod signed_rpts;

use crate::row::{as_version, blob, entities, entity, event_ids, number, optional, text, version, waiting_for};
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
use database::{Row, Scan, Table, Value};
use identity::{CommitError, StoreError, TokenKey};
use rules::access_request::State;
use rules::delegation::Delegation;
use rules::{AccessRequest, Policy, Resource, Rpt};
use signed_rpts::OfServer;
use std::collections::HashSet;
use std::sync::Arc;
use types::{AccessRequestId, ClientId, EventId, OwnResourceId, OwnerId, PolicyId, ResourceId, ResourceServerId, Timestamp};

const WAITING_AT_ONCE: usize = 512;
/// Of a delegation that was not withdrawn, and of one that was.
const STANDS: i64 = 1;
const WITHDRAWN: i64 = 0;

/// A page along an index whose order ends in the id.
struct Along<'a> {
    table: &'static Table,
    index: Option<usize>,
    prefix: &'a [Value],
    descending: bool,
}

impl Store {
    async fn count(&self, scan: &Scan<'_>) -> Result<usize, StoreError> {
        self.database.count(scan).await.map_err(|error| StoreError(error.to_string()))
    }

    async fn page(&self, along: &Along<'_>, after: Option<&str>, limit: usize) -> Result<Vec<Row>, StoreError> {
        let Along { table, index, prefix, descending } = *along;
        self.scan(&Scan { table, index, prefix, after: after.map(Value::from), descending, limit }).await
    }
}

/// The counted columns are newer than the body.
fn resource(row: &Row) -> Result<Resource, StoreError> {
    Ok(Resource { version: as_version(number(row, 4)?), ..entity(row)? })
}

fn policy(row: &Row) -> Result<Policy, StoreError> {
    Ok(Policy { version: as_version(number(row, 4)?), uses: as_version(number(row, 5)?), ..entity(row)? })
}

#[async_trait]
impl authorization_server::Store for Store {
    async fn find_resource(&self, id: &ResourceId) -> Result<Option<Arc<Resource>>, StoreError> {
        let read = || async move {
            Ok(self.get(&tables::RESOURCE, &[id.as_str().into()]).await?.as_ref().map(resource).transpose()?.map(Arc::new))
        };
        self.kept.resources.find(id.as_str(), |resource| self.epochs.of(&resource.owner), |_| true, read).await
    }

    async fn list_resources(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        page: &Page<ResourceId>,
    ) -> Result<Vec<Resource>, StoreError> {
        let prefix = [owner.as_str().into(), resource_server.as_str().into()];
        let along = Along { table: &tables::RESOURCE, index: Some(0), prefix: &prefix, descending: false };
        self.page(&along, page.after.as_ref().map(ResourceId::as_str), page.limit).await?.iter().map(resource).collect()
    }

    async fn find_resource_by_own_id(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        own_id: &OwnResourceId,
    ) -> Result<Option<Resource>, StoreError> {
        let prefix = [owner.as_str().into(), resource_server.as_str().into(), own_id.as_str().into()];
        self.first_by(&tables::RESOURCE, 2, &prefix).await?.as_ref().map(resource).transpose()
    }

    async fn list_owned_resources(&self, owner: &OwnerId, page: &Page<ResourceId>) -> Result<Vec<Resource>, StoreError> {
        let along = Along { table: &tables::RESOURCE, index: Some(1), prefix: &[owner.as_str().into()], descending: false };
        self.page(&along, page.after.as_ref().map(ResourceId::as_str), page.limit).await?.iter().map(resource).collect()
    }

    async fn find_policy(&self, id: &PolicyId) -> Result<Option<Policy>, StoreError> {
        let read = || async move { self.get(&tables::POLICY, &[id.as_str().into()]).await?.as_ref().map(policy).transpose() };
        self.kept
            .policies
            .find(id.as_str(), |policy| self.epochs.of(&policy.owner), |policy| policy.max_uses.is_none(), read)
            .await
    }

    async fn list_policies(&self, owner: &OwnerId, page: &Page<PolicyId>) -> Result<Vec<Policy>, StoreError> {
        let along = Along { table: &tables::POLICY, index: Some(0), prefix: &[owner.as_str().into()], descending: false };
        self.page(&along, page.after.as_ref().map(PolicyId::as_str), page.limit).await?.iter().map(policy).collect()
    }

    async fn list_policies_for(&self, address: &str, page: &Page<PolicyId>) -> Result<Vec<PolicyId>, StoreError> {
        let along = Along { table: &tables::SHARED_WITH, index: None, prefix: &[address.into()], descending: false };
        let rows = self.page(&along, page.after.as_ref().map(PolicyId::as_str), page.limit).await?;
        rows.iter().map(|row| text(row, 1).map(PolicyId::from)).collect()
    }

    async fn list_policies_on(&self, resource: &ResourceId) -> Result<Arc<Vec<Arc<Policy>>>, StoreError> {
        let read = || async move {
            let rows = self.all_by(&tables::POLICY, 1, &[resource.as_str().into()]).await?;
            Ok(Some(Arc::new(rows.iter().map(|row| policy(row).map(Arc::new)).collect::<Result<Vec<_>, _>>()?)))
        };
        let unlimited = |all: &Arc<Vec<Arc<Policy>>>| !all.is_empty() && all.iter().all(|policy| policy.max_uses.is_none());
        let found = self.kept.policies_on.find(resource.as_str(), |all| self.epochs.of_policies(all), unlimited, read).await?;
        Ok(found.unwrap_or_default())
    }

    async fn weigh_policies_beside(&self, policy: &Policy) -> Result<Weight, StoreError> {
        self.weigh_beside(policy).await
    }

    async fn count_policies(&self, owner: &OwnerId, most: usize) -> Result<usize, StoreError> {
        self.count_policies_of(owner, most).await
    }

    async fn list_waiting_policies(
        &self,
        owner: &OwnerId,
        resource_server: &ResourceServerId,
        own_id: &OwnResourceId,
    ) -> Result<Vec<Policy>, StoreError> {
        let name = waiting_for(owner.as_str(), resource_server.as_str(), own_id.as_str());
        self.all_by(&tables::POLICY, 2, &[name.into()]).await?.iter().map(policy).collect()
    }

    async fn find_link_version(&self, owner: &OwnerId, resource_server: &ClientId) -> Result<i64, StoreError> {
        let key = &[owner.as_str().into(), resource_server.as_str().into()];
        let name = format!("{owner}\u{1f}{resource_server}");
        let read = || async move { self.get(&tables::LINK, key).await?.map_or(Ok(0), |row| number(&row, 2)) };
        self.kept.links.find_of(&name, self.epochs.of(owner), read).await
    }

    async fn find_rpt(&self, key: &TokenKey) -> Result<Option<Rpt>, StoreError> {
        optional(self.token(&tables::RPT, key).await?)
    }

    async fn count_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
        most: usize,
    ) -> Result<usize, StoreError> {
        self.count_signed(&OfServer { owner, resource_server }, now, most).await
    }

    async fn list_signed_rpts(
        &self,
        owner: &OwnerId,
        resource_server: &ClientId,
        now: Timestamp,
    ) -> Result<Vec<(String, Timestamp)>, StoreError> {
        self.list_signed(&OfServer { owner, resource_server }, now).await
    }

    async fn find_pct(&self, key: &TokenKey) -> Result<Option<Vec<u8>>, StoreError> {
        self.token(&tables::PCT, key).await?.map(|row| blob(&row).map(<[u8]>::to_vec)).transpose()
    }

    async fn find_proof(&self, id: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(&tables::KEPT_PROOF, &[id.into()]).await?.map(|row| blob(&row).map(<[u8]>::to_vec)).transpose()
    }

    async fn find_process(&self, id: &[u8; 20]) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(&tables::PROCESS, &[id.to_vec().into()]).await?.map(|row| blob(&row).map(<[u8]>::to_vec)).transpose()
    }

    async fn find_access_request(&self, id: &AccessRequestId) -> Result<Option<AccessRequest>, StoreError> {
        optional(self.get(&tables::ACCESS_REQUEST, &[id.as_str().into()]).await?)
    }

    async fn list_access_requests(
        &self,
        owner: &OwnerId,
        page: &Page<AccessRequestId>,
    ) -> Result<Vec<AccessRequest>, StoreError> {
        let along = Along { table: &tables::ACCESS_REQUEST, index: Some(0), prefix: &[owner.as_str().into()], descending: true };
        entities(self.page(&along, page.after.as_ref().map(AccessRequestId::as_str), page.limit).await?)
    }

    async fn list_waiting_requests(&self, owner: &OwnerId, until: Timestamp) -> Result<Vec<AccessRequest>, StoreError> {
        let mut limit = WAITING_AT_ONCE;
        loop {
            let along =
                Along { table: &tables::ACCESS_REQUEST, index: Some(3), prefix: &[owner.as_str().into()], descending: false };
            let rows = self.page(&along, None, limit).await?;
            let last = rows.last().map(|row| number(row, 3)).transpose()?;
            if rows.len() < limit || last.is_some_and(|due| due > until.0) {
                let waiting = entities::<AccessRequest>(rows)?.into_iter();
                return Ok(waiting.filter(|request| request.state == State::Pending).collect());
            }
            limit = limit.saturating_mul(4);
        }
    }

    async fn find_inbox_version(&self, owner: &OwnerId) -> Result<i64, StoreError> {
        Ok(self.get(&tables::INBOX, &[owner.as_str().into()]).await?.map(|row| number(&row, 1)).transpose()?.unwrap_or(0))
    }

    async fn list_access_requests_by_key(&self, key: &str) -> Result<Vec<AccessRequest>, StoreError> {
        entities(self.all_by(&tables::ACCESS_REQUEST, 1, &[key.into()]).await?)
    }

    async fn list_due_access_requests(&self, now: Timestamp, limit: usize) -> Result<Vec<AccessRequest>, StoreError> {
        let along = Along { table: &tables::ACCESS_REQUEST, index: Some(2), prefix: &[], descending: false };
        let rows = self.page(&along, None, limit).await?;
        let mut due = Vec::new();
        for row in rows {
            if number(&row, 3)? <= now.0 {
                due.push(row);
            }
        }
        entities(due)
    }

    async fn list_events(&self, owner: &OwnerId, page: &Page<EventId>) -> Result<Vec<Event>, StoreError> {
        let along = Along { table: &tables::EVENT, index: None, prefix: &[owner.as_str().into()], descending: true };
        entities(self.page(&along, page.after.as_ref().map(EventId::as_str), page.limit).await?)
    }

    async fn list_events_from(&self, owner: &OwnerId, after: &EventId, limit: usize) -> Result<Vec<Event>, StoreError> {
        let along = Along { table: &tables::EVENT, index: None, prefix: &[owner.as_str().into()], descending: false };
        entities(self.page(&along, Some(after.as_str()), limit).await?)
    }

    async fn find_event(&self, owner: &OwnerId, id: &EventId) -> Result<Option<Event>, StoreError> {
        optional(self.get(&tables::EVENT, &[owner.as_str().into(), id.as_str().into()]).await?)
    }

    async fn list_event_seals(
        &self,
        owner: &OwnerId,
        after: Option<u64>,
        newest_first: bool,
        limit: usize,
    ) -> Result<Vec<EventSeal>, StoreError> {
        let prefix = [owner.as_str().into()];
        let after = after.map(version);
        let scan = Scan { table: &tables::EVENT_SEAL, index: None, prefix: &prefix, after, descending: newest_first, limit };
        let seal = |row: &Row| Ok(EventSeal { n: as_version(number(row, 1)?), ids: event_ids(blob(row)?) });
        self.scan(&scan).await?.iter().map(seal).collect()
    }

    async fn find_event_head(&self, owner: &OwnerId) -> Result<Option<EventHead>, StoreError> {
        optional(self.get(&tables::EVENT_HEAD, &[owner.as_str().into()]).await?)
    }

    async fn list_event_owners(&self, after: Option<&OwnerId>, limit: usize) -> Result<Vec<OwnerId>, StoreError> {
        let mut owners: Vec<OwnerId> = after.cloned().into_iter().collect();
        let known = owners.len();
        while owners.len() < limit.saturating_add(known) {
            let after = owners.last().map(|owner| Value::from(owner.as_str()));
            let scan = Scan { table: &tables::EVENT, index: None, prefix: &[], after, descending: false, limit: 1 };
            match self.scan(&scan).await?.first() {
                Some(row) => owners.push(OwnerId::new(text(row, 0)?)),
                None => break,
            }
        }
        Ok(owners.split_off(known))
    }

    async fn take_unsealed(&self) -> Result<Unsealed, StoreError> {
        if self.is_shared() { self.take_shared_unsealed().await } else { Ok(self.epochs.take_unsealed()) }
    }

    async fn list_credentials(&self, owner: &OwnerId) -> Result<Vec<Credential>, StoreError> {
        let mut all: Vec<Credential> = entities(self.all(&tables::CREDENTIAL, None, &[owner.as_str().into()]).await?)?;
        all.sort_by_key(|credential| credential.document.created);
        Ok(all)
    }

    async fn find_search(&self, id: &str) -> Result<Option<Search>, StoreError> {
        optional(self.get(&tables::SEARCH, &[id.into()]).await?)
    }

    async fn list_searches(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Search>, StoreError> {
        let (prefix, after) = ([owner.as_str().into()], page.after.as_deref().map(Into::into));
        let scan = Scan { table: &tables::SEARCH, index: Some(0), prefix: &prefix, after, descending: false, limit: page.limit };
        entities(self.scan(&scan).await?)
    }

    async fn list_own_searches(&self, owner: &OwnerId) -> Result<Vec<Search>, StoreError> {
        entities(self.all_by(&tables::SEARCH, 0, &[owner.as_str().into()]).await?)
    }

    async fn list_due_searches(&self, now: Timestamp) -> Result<Vec<Search>, StoreError> {
        self.due_searches(now).await
    }

    async fn list_owners_signed_for(&self, signer: &str) -> Result<Vec<OwnerId>, StoreError> {
        let mut owners: Vec<OwnerId> = Vec::new();
        loop {
            let (prefix, after) = ([signer.into()], owners.last().map(|owner| Value::from(owner.as_str())));
            let scan = Scan { table: &tables::SIGNED_POLICY, index: None, prefix: &prefix, after, descending: false, limit: 1 };
            match self.scan(&scan).await?.first() {
                Some(row) => owners.push(OwnerId::new(text(row, 1)?)),
                None => return Ok(owners),
            }
        }
    }

    async fn list_policies_signed_by(&self, signer: &str, owner: &OwnerId) -> Result<Vec<Policy>, StoreError> {
        let mut policies = Vec::new();
        for row in self.all(&tables::SIGNED_POLICY, None, &[signer.into(), owner.as_str().into()]).await? {
            policies.extend(self.find_policy(&PolicyId::from(text(&row, 2)?)).await?);
        }
        Ok(policies)
    }

    async fn list_credentials_of_subject(&self, subject: &str) -> Result<Vec<Credential>, StoreError> {
        entities(self.all_by(&tables::CREDENTIAL, 0, &[subject.into()]).await?)
    }

    async fn list_delegations(&self, owner: &OwnerId) -> Result<Vec<Delegation>, StoreError> {
        entities(self.all_by(&tables::DELEGATION, 1, &[owner.as_str().into(), STANDS.into()]).await?)
    }

    async fn find_delegation(&self, owner: &OwnerId, id: &str) -> Result<Option<Delegation>, StoreError> {
        optional(self.get(&tables::DELEGATION, &[owner.as_str().into(), id.into()]).await?)
    }

    async fn list_delegations_to(&self, delegate: &str, page: &Page<DelegationPlace>) -> Result<Vec<Delegation>, StoreError> {
        self.delegations_to(delegate, page).await
    }

    async fn count_withdrawn_delegations(&self, owner: &OwnerId) -> Result<usize, StoreError> {
        Ok(self.all_by(&tables::DELEGATION, 1, &[owner.as_str().into(), WITHDRAWN.into()]).await?.len())
    }

    async fn list_delegations_between(&self, owner: &OwnerId, delegate: &str) -> Result<Vec<Delegation>, StoreError> {
        entities(self.all_by(&tables::DELEGATION, 0, &[delegate.into(), STANDS.into(), owner.as_str().into()]).await?)
    }

    async fn list_receipts(&self, owner: &OwnerId, page: &Page<String>) -> Result<Vec<Receipt>, StoreError> {
        let along = Along { table: &tables::RECEIPT, index: None, prefix: &[owner.as_str().into()], descending: true };
        entities(self.page(&along, page.after.as_deref(), page.limit).await?)
    }

    async fn find_receipt(&self, owner: &OwnerId, id: &str) -> Result<Option<Receipt>, StoreError> {
        optional(self.get(&tables::RECEIPT, &[owner.as_str().into(), id.into()]).await?)
    }

    async fn find_last_receipt(&self, owner: &OwnerId, subject: &str) -> Result<Option<Receipt>, StoreError> {
        let all: Vec<Receipt> = entities(self.all_by(&tables::RECEIPT, 0, &[owner.as_str().into(), subject.into()]).await?)?;
        // of one second, ids say nothing of what came first
        let replaced: HashSet<String> = all.iter().filter_map(|receipt| receipt.document.replaces.clone()).collect();
        let open = all.into_iter().filter(|receipt| !replaced.contains(&receipt.document.id));
        Ok(open.max_by(|a, b| a.document.id.cmp(&b.document.id)))
    }

    async fn list_managers(&self, owner: &OwnerId) -> Result<Vec<KeptManager>, StoreError> {
        entities(self.all(&tables::MANAGER, None, &[owner.as_str().into()]).await?)
    }

    async fn find_owner_settings(&self, owner: &OwnerId) -> Result<Option<OwnerSettings>, StoreError> {
        let read = || async move { optional(self.get(&tables::OWNER_SETTINGS, &[owner.as_str().into()]).await?) };
        self.kept.owner_settings.find_of(owner.as_str(), self.epochs.of(owner), read).await
    }

    fn restored_at(&self) -> Option<Timestamp> {
        self.restored().map(|restored| restored.at)
    }

    fn epoch(&self, owner: &OwnerId) -> u64 {
        self.epochs.of(owner)
    }

    fn epoch_of_all(&self) -> u64 {
        self.epochs.of_all()
    }

    async fn epoch_left(&self, owner: &OwnerId, epoch: u64) {
        self.epochs.left(owner, epoch).await;
    }

    async fn commit(&self, changes: Changes) -> Result<(), CommitError> {
        self.commit_changes(changes).await
    }
}
