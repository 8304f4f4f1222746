//! What `wayleave restore` does to a store that is older than the world (threat 35, docs/decisions/0069): whatever somebody held
//! has ended, since nobody knows what of it was spent, withdrawn or ended after the backup; what only a row of before can say -
//! accounts, clients, shares, keys - stays, and each owner reads in her history of what time it is.

use crate::entity::{Entity, key, row};
use crate::reads::Along;
use crate::sweeper::find_served;
use crate::{Store, tables, unread, unwritten};
use authorization_server::Store as _;
use authorization_server::event::Event;
use database::{Operation, ReadError, Records, Row, Table};
use identity::{Account, Client, CommitError, SpentId};
use rules::Policy;
use types::{EventId, OwnerId, Timestamp};

/// Tables of what somebody holds, or has begun: of the tables of a server all that a secret opens.
const HELD: [&Table; 10] = [
    &tables::SESSION,
    &tables::CONSENT,
    &tables::CODE,
    &tables::PUSHED_REQUEST,
    &tables::ACCESS_TOKEN,
    &tables::REFRESH_TOKEN,
    &tables::RPT,
    &tables::PCT,
    &tables::PROCESS,
    &tables::KEPT_PROOF,
];
/// Row of `served`: when a backup was put here.
const RESTORED: &str = "restored";
/// Row of `served`: of what time that backup was.
const STATE_OF: &str = "state of";
/// Begins a row of `served`: as which authorization server, and since when.
const AS: &str = "as ";
const OWNERS_AT_ONCE: usize = 100;

/// That a backup was put here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Restored {
    pub at: Timestamp,
    /// The last time that the backup is known to have served.
    pub state_of: Timestamp,
}

/// What the store says of it.
pub(crate) async fn find(records: &Records) -> Result<Option<Restored>, ReadError> {
    let Some(at) = find_served(records, RESTORED).await? else { return Ok(None) };
    Ok(Some(Restored { at, state_of: find_served(records, STATE_OF).await?.unwrap_or(at) }))
}

impl Store {
    /// Whether a backup was put here once.
    pub fn restored(&self) -> Option<Restored> {
        self.restored
    }

    /// As which authorization server it was served the last time; none: nobody has said.
    pub async fn issuer(&self) -> Result<Option<String>, ReadError> {
        for row in self.all_rows(&tables::SERVED, Along::key(&[])).await? {
            if let Some(issuer) = tables::SERVED.text(&row, 0)?.strip_prefix(AS) {
                return Ok(Some(issuer.to_owned()));
            }
        }
        Ok(None)
    }

    /// Notes as which authorization server it is served: a backup of it takes the place of no other's.
    pub async fn note_issuer(&self, issuer: &str, now: Timestamp) -> Result<(), CommitError> {
        let was = self.issuer().await.map_err(unread)?;
        if was.as_deref() == Some(issuer) {
            return Ok(());
        }
        let (table, name) = (&tables::SERVED, |issuer: &str| format!("{AS}{issuer}"));
        let before = was.map(|was| Operation::Delete { table, key: row![name(&was)] });
        self.write(before.into_iter().chain([Operation::Put { table, row: row![name(issuer), now] }]).collect()).await
    }

    /// Whether this was made before the backup was put here, so that it may have been spent after the backup.
    pub(crate) fn is_of_before(&self, id: &SpentId) -> bool {
        self.restored.is_some_and(|restored| id.made.is_some_and(|made| made <= restored.at))
    }

    /// Ends what somebody holds, counts shares with a number of uses as used up, writes to each owner's history that the
    /// server is in the state of an earlier time (`tell` makes the event, behind her last one), and forgets what time was served,
    /// which a wrong clock may have put far ahead. To be done before anybody is served, and the store to be opened anew after it.
    pub async fn end_what_is_held(
        &self,
        now: Timestamp,
        tell: impl Fn(OwnerId, Restored, Option<&EventId>) -> Event,
    ) -> Result<Restored, CommitError> {
        let latest = self.latest_served().await.map_err(unread)?;
        let restored = Restored { at: now, state_of: latest.unwrap_or(now) };
        let mut operations: Vec<Operation> = HELD.map(|table| Operation::DeleteAll { table, index: None, prefix: vec![] }).into();
        operations.push(self.all_but_the_key_check());
        operations.extend(self.use_up_shares().await?);
        operations.extend(self.bring_back_times(now).await?);
        for (owner, last) in self.list_last_events().await.map_err(unread)? {
            let event = tell(owner, restored, last.as_ref());
            operations.push(Operation::Insert { table: Event::TABLE, row: self.row_of(&event)? });
        }
        operations.push(Operation::Delete { table: &tables::SERVED, key: row![crate::sweeper::SERVED] });
        for (name, time) in [(RESTORED, restored.at), (STATE_OF, restored.state_of)] {
            operations.push(Operation::Put { table: &tables::SERVED, row: row![name, time] });
        }
        self.write(operations).await.map(|()| restored)
    }

    /// Ticket keys end some day. By what never ends the store tells its own key file from another.
    fn all_but_the_key_check(&self) -> Operation {
        Operation::DeleteBelow { table: &tables::SECRET, column: 1, limit: i64::MAX, most: usize::MAX }
    }

    /// Their uses may have been made after the backup.
    async fn use_up_shares(&self) -> Result<Vec<Operation>, CommitError> {
        let all: Vec<Policy> = self.all(Along::key(&[])).await.map_err(unread)?;
        let used_up = all.into_iter().filter_map(|policy| Some(Policy { uses: policy.max_uses?, ..policy }));
        used_up.map(|policy| self.put(&policy)).collect()
    }

    fn row_of<T: Entity>(&self, entity: &T) -> Result<Row, CommitError> {
        self.records.row(T::TABLE, entity.columns(), entity).map_err(unwritten)
    }

    fn put<T: Entity>(&self, entity: &T) -> Result<Operation, CommitError> {
        Ok(Operation::Put { table: T::TABLE, row: self.row_of(entity)? })
    }

    /// What counts from a time on that has not come yet was written by a clock that was ahead: nothing that is given now would count.
    async fn bring_back_times(&self, now: Timestamp) -> Result<Vec<Operation>, CommitError> {
        let mut operations = Vec::new();
        for client in self.all::<Client>(Along::key(&[])).await.map_err(unread)? {
            if client.credentials_since.is_some_and(|since| now < since) {
                operations.push(self.put(&Client { credentials_since: Some(now), ..client })?);
            }
        }
        for account in self.all::<Account>(Along::key(&[])).await.map_err(unread)? {
            if account.vouched_since.is_some_and(|since| now < since) {
                operations.push(self.put(&Account { vouched_since: Some(now), ..account })?);
            }
        }
        Ok(operations)
    }

    /// Owners who have a history, and their last events; also where nothing of it was sealed yet.
    async fn list_last_events(&self) -> Result<Vec<(OwnerId, Option<EventId>)>, ReadError> {
        let mut found: Vec<(OwnerId, Option<EventId>)> = Vec::new();
        loop {
            let after = found.last().map(|(owner, _)| owner);
            let owners = self.list_event_owners(after, OWNERS_AT_ONCE).await?;
            if owners.is_empty() {
                return Ok(found);
            }
            for owner in owners {
                let newest = self.first(Event::TABLE, Along::key(&key![owner]).backwards(), None).await?;
                let newest = newest.map(|row| Event::TABLE.text(&row, 1).map(EventId::new)).transpose()?;
                let sealed = self.find_event_head(&owner).await?.and_then(|head| head.last);
                found.push((owner, newest.max(sealed)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Every table is looked at when one is added: what somebody holds goes, all else stays or is said here.
    #[test]
    fn threat_35_each_table_is_one_that_ends_at_a_restore_or_one_that_stays() {
        let stays = [
            "account",
            "client",
            "client_use",
            "passkey",
            "linked_log_in",
            "spent",
            "signing_key",
            "secret",
            "served",
            "resource",
            "policy",
            "shared_with",
            "signed_policy",
            "link",
            "signed_rpt",
            "access_request",
            "inbox",
            "event",
            "event_seal",
            "unsealed_event",
            "event_head",
            "resource_owner_credential",
            "discovery_search",
            "delegation",
            "consent_receipt",
            "linked_manager",
            "owner_settings",
        ];
        for table in tables::ALL {
            let ends = HELD.iter().any(|held| held.name == table.name);
            assert!(ends != stays.contains(&table.name), "{}", table.name);
        }
    }
}
