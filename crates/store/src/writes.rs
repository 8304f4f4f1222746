//! Changes as a batch of the engine, and what a broken check means to whoever asked.

mod provider;

use crate::entity::{Cell, Entity, row, seal_of, signed_rpt_row};
use crate::place::{token_key, token_row};
use crate::{nodes, tables, unwritten};
use authorization_server::event::{EventHead, EventSeal};
use authorization_server::{Changes, Event, Requirement, Write};
use database::{Check, Operation, Records, Row, Table, Value};
use identity::{CommitError, TokenKey};
use serde::Serialize;
use types::{ClientId, EventId, OwnResourceId, OwnerId};

/// A batch in the making.
pub(crate) struct Plan<'r> {
    records: &'r Records,
    pub(crate) checks: Vec<Check>,
    /// For each check, what it means if it does not hold.
    pub(crate) if_broken: Vec<CommitError>,
    pub(crate) operations: Vec<Operation>,
    /// Operations whose row is a spent id.
    pub(crate) spends: Vec<usize>,
    /// Operations whose row is a new token: its place may be taken, and then another token will do.
    pub(crate) tokens: Vec<usize>,
    /// Events that wait for the sealer once this is committed.
    pub(crate) events: Vec<Event>,
    /// Whether they wait in the store, where the first of several processes seals them.
    is_shared: bool,
}

type Planned = Result<(), CommitError>;

impl<'r> Plan<'r> {
    pub(crate) fn of(changes: Changes, records: &'r Records, is_shared: bool) -> Result<Self, CommitError> {
        let (checks, if_broken, operations) = Default::default();
        let (spends, tokens, events) = Default::default();
        let mut plan = Self { records, checks, if_broken, operations, spends, tokens, events, is_shared };
        for requirement in changes.identity.requires {
            plan.require_identity(requirement)?;
        }
        for requirement in changes.requires {
            plan.require(requirement);
        }
        for write in changes.identity.writes {
            plan.write_identity(write)?;
        }
        for write in changes.writes {
            plan.write(write)?;
        }
        Ok(plan)
    }

    fn check(&mut self, check: Check, if_broken: CommitError) {
        self.checks.push(check);
        self.if_broken.push(if_broken);
    }

    fn must_equal(&mut self, table: &'static Table, key: Vec<Value>, column: usize, value: impl Cell) {
        self.check(Check::Equals { table, key, column, value: value.cell() }, CommitError::Changed);
    }

    /// The entity is still as it was read.
    fn must_be<T: Entity>(&mut self, entity: &T) -> Planned {
        self.check(Check::unchanged(T::TABLE, &self.row_of(entity)?), CommitError::Changed);
        Ok(())
    }

    fn must_be_there(&mut self, table: &'static Table, key: Vec<Value>) {
        let value = key.first().cloned().unwrap_or(Value::Null);
        self.check(Check::Equals { table, key, column: 0, value }, CommitError::Changed);
    }

    /// A counted row that has this version; 0 where it was never raised.
    fn must_stand_at(&mut self, table: &'static Table, key: Vec<Value>, column: usize, version: i64) {
        match version {
            0 => self.check(Check::Absent { table, key }, CommitError::Changed),
            version => self.must_equal(table, key, column, version),
        }
    }

    /// A resource server's name of an owner's resource is nobody's yet.
    fn must_be_free(&mut self, owner: &OwnerId, resource_server: &ClientId, own_id: &OwnResourceId) {
        let prefix = row![owner, resource_server, own_id];
        let check = Check::NoneAlong { table: &tables::RESOURCE, index: tables::RESOURCE_BY_OWN_ID, prefix };
        self.check(check, CommitError::Changed);
    }

    fn row(&self, table: &'static Table, columns: Row, entity: &impl Serialize) -> Result<Row, CommitError> {
        self.records.row(table, columns, entity).map_err(unwritten)
    }

    fn row_of<T: Entity>(&self, entity: &T) -> Result<Row, CommitError> {
        self.row(T::TABLE, entity.columns(), entity)
    }

    fn put<T: Entity>(&mut self, entity: &T) -> Planned {
        self.put_row(T::TABLE, self.row_of(entity)?)
    }

    fn put_row(&mut self, table: &'static Table, row: Row) -> Planned {
        self.operations.push(Operation::Put { table, row });
        Ok(())
    }

    fn insert<T: Entity>(&mut self, entity: &T) -> Planned {
        self.insert_row(T::TABLE, self.row_of(entity)?)
    }

    fn insert_row(&mut self, table: &'static Table, row: Row) -> Planned {
        self.operations.push(Operation::Insert { table, row });
        Ok(())
    }

    fn token<T: Entity>(&mut self, key: &TokenKey, entity: &T) -> Planned {
        self.token_row(T::TABLE, self.row(T::TABLE, token_row(key, entity.columns()), entity)?)
    }

    fn token_row(&mut self, table: &'static Table, row: Row) -> Planned {
        self.tokens.push(self.operations.len());
        self.insert_row(table, row)
    }

    fn delete(&mut self, table: &'static Table, key: Vec<Value>) -> Planned {
        self.operations.push(Operation::Delete { table, key });
        Ok(())
    }

    /// A counter goes up by one.
    fn raise(&mut self, table: &'static Table, row: Row, column: usize) -> Planned {
        self.operations.push(Operation::Raise { table, row, column });
        Ok(())
    }

    /// Nobody is named by this policy any more.
    fn unlist(&mut self, policy: &str) -> Planned {
        let prefix = row![policy];
        self.operations.push(Operation::DeleteAll { table: &tables::SHARED_WITH, index: Some(0), prefix });
        Ok(())
    }

    fn require(&mut self, requirement: Requirement) {
        match requirement {
            Requirement::ResourceUnchanged { id, version } => {
                self.must_equal(&tables::RESOURCE, row![id], tables::VERSION, version)
            }
            Requirement::OwnIdFree { owner, resource_server, own_id } => self.must_be_free(&owner, &resource_server, &own_id),
            Requirement::PolicyUnchanged { id, version } => self.must_equal(&tables::POLICY, row![id], tables::VERSION, version),
            Requirement::AccessRequestUnchanged { id, version } => {
                self.must_equal(&tables::ACCESS_REQUEST, row![id], tables::VERSION, version)
            }
            Requirement::DelegationStands { owner, id } => self.must_equal(&tables::DELEGATION, row![owner, id], 3, 1_i64),
            Requirement::PolicyAbsent(id) => {
                self.check(Check::Absent { table: &tables::POLICY, key: row![id] }, CommitError::Taken);
            }
            Requirement::SearchStands { id, owner, due } => {
                self.must_equal(&tables::SEARCH, row![id], 1, owner);
                self.must_equal(&tables::SEARCH, row![id], 2, due);
            }
            Requirement::CredentialStands { owner, id } => self.must_be_there(&tables::CREDENTIAL, row![owner, id]),
            Requirement::RptThere(key) => self.must_equal(&tables::RPT, token_key(&key), 1, key.hash),
            Requirement::LinkUnchanged { owner, resource_server, version } => {
                self.must_stand_at(&tables::LINK, row![owner, resource_server], 2, version);
            }
            Requirement::InboxUnchanged { owner, version } => self.must_stand_at(&tables::INBOX, row![owner], 1, version),
        }
    }

    fn write(&mut self, write: Write) -> Planned {
        match write {
            Write::CreateResource(resource) => {
                if let Some(own_id) = &resource.description.own_id {
                    self.must_be_free(&resource.owner, &resource.resource_server, own_id);
                }
                self.insert(&resource)
            }
            Write::PutResource(resource) => self.put(&resource),
            Write::DeleteResource { id, .. } => self.delete(&tables::RESOURCE, row![id]),
            Write::TouchResource(id) => {
                let (table, column) = (&tables::RESOURCE, tables::VERSION);
                self.operations.push(Operation::Add { table, key: row![id], column, by: 1 });
                Ok(())
            }
            Write::PutPolicy(policy) => {
                self.unlist(policy.id.as_str())?;
                // what waits for a thing is listed for nobody (threat 46)
                for address in policy.addresses().filter(|_| policy.resource().is_some()) {
                    self.put_row(&tables::SHARED_WITH, row![address, policy.id])?;
                }
                if let Some(signed) = &policy.authority {
                    self.put_row(&tables::SIGNED_POLICY, row![signed.credential, policy.owner, policy.id])?;
                }
                self.put(&policy)
            }
            Write::DeletePolicy { id, .. } => {
                self.unlist(id.as_str())?;
                let table = &tables::SIGNED_POLICY;
                self.operations.push(Operation::DeleteAll { table, index: Some(0), prefix: row![id] });
                self.delete(&tables::POLICY, row![id])
            }
            Write::Use { policy, at_most } => {
                let (table, key, column) = (&tables::POLICY, row![policy], tables::USES);
                let limit = i64::try_from(at_most).unwrap_or(i64::MAX);
                self.check(Check::Below { table, key: key.clone(), column, limit }, CommitError::UsedUp);
                self.operations.push(Operation::Add { table, key, column, by: 1 });
                Ok(())
            }
            Write::RaiseLink { owner, resource_server } => self.raise(&tables::LINK, row![owner, resource_server, 1_i64], 2),
            other => self.write_other(other),
        }
    }

    fn append(&mut self, event: Event) -> Planned {
        self.insert(&event)?;
        self.operations.extend(self.is_shared.then(|| nodes::wait(&event)));
        self.events.push(event);
        Ok(())
    }

    fn seal(&mut self, head: &EventHead, seal: &EventSeal) -> Planned {
        let waiting: &[EventId] = if self.is_shared { &seal.ids } else { &[] };
        for id in waiting {
            let (check, operation) = nodes::seal(&head.owner, id);
            self.check(check, CommitError::Changed);
            self.operations.push(operation);
        }
        self.insert_row(&tables::EVENT_SEAL, row![head.owner, seal.n, seal_of(&seal.ids)?])?;
        self.put(head)
    }

    /// What is not of resources and policies.
    fn write_other(&mut self, write: Write) -> Planned {
        match write {
            Write::PutProcess { id, sealed, expires } => self.put_row(&tables::PROCESS, row![id, expires, sealed]),
            Write::DeleteProcess(id) => self.delete(&tables::PROCESS, row![id]),
            Write::PutAccessRequest(request) => self.put(&request),
            Write::RaiseInbox(owner) => self.raise(&tables::INBOX, row![owner, 1_i64], 1),
            Write::DeleteAccessRequest { id, .. } => self.delete(&tables::ACCESS_REQUEST, row![id]),
            Write::AppendEvent(event) => self.append(event),
            Write::EraseEvent(event) => self.put(&event),
            Write::SealEvents { head, seal } => self.seal(&head, &seal),
            Write::PutOwnerSettings(owner, settings) => {
                let row = self.row(&tables::OWNER_SETTINGS, row![owner], &settings)?;
                self.put_row(&tables::OWNER_SETTINGS, row)
            }
            Write::CreateDelegation(delegation) => self.insert(&delegation),
            Write::PutDelegation(delegation) => self.put(&delegation),
            Write::DeleteDelegation { owner, id } => self.delete(&tables::DELEGATION, row![owner, id]),
            Write::PutReceipt(receipt) => self.put(&receipt),
            Write::PutManager(manager) => self.put(&manager),
            Write::DeleteManager { owner, id } => self.delete(&tables::MANAGER, row![owner, id]),
            Write::PutSearch(search) => self.put(&search),
            Write::DeleteSearch(id) => self.delete(&tables::SEARCH, row![id]),
            Write::PutCredential(credential) => self.put(&credential),
            Write::DeleteCredential { owner, id } => self.delete(&tables::CREDENTIAL, row![owner, id]),
            Write::PutRpt(key, rpt) => {
                self.token(&key, &rpt)?;
                rpt.jti.as_ref().map_or(Ok(()), |jti| self.put_row(&tables::SIGNED_RPT, signed_rpt_row(&rpt, jti)))
            }
            Write::DeleteRpt { key, .. } => self.delete(&tables::RPT, token_key(&key)),
            Write::PutPct { key, sealed, expires } => self.token_row(&tables::PCT, token_row(&key, row![expires, sealed])),
            Write::DeletePct(key) => self.delete(&tables::PCT, token_key(&key)),
            Write::PutProof { id, sealed, expires } => self.put_row(&tables::KEPT_PROOF, row![id, expires, sealed]),
            Write::DeleteProof(id) => self.delete(&tables::KEPT_PROOF, row![id]),
            // written by the other
            Write::CreateResource(_)
            | Write::PutResource(_)
            | Write::DeleteResource { .. }
            | Write::TouchResource(_)
            | Write::PutPolicy(_)
            | Write::DeletePolicy { .. }
            | Write::Use { .. }
            | Write::RaiseLink { .. } => Ok(()),
        }
    }
}
