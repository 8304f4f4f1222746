//! Changes as a batch of the engine, and what a broken check means to whoever asked.

mod provider;

use crate::row::{body, signed_rpt_row, token_key, token_row, version, waiting_for};
use crate::{nodes, tables};
use authorization_server::event::{EventHead, EventSeal};
use authorization_server::{Changes, Event, Requirement, Write};
use database::{Check, Operation, Row, Table, Value};
use identity::{CommitError, TokenKey};
use rules::delegation::Delegation;
use rules::policy::Binding;
use rules::{AccessRequest, Policy, Resource};
use types::EventId;

/// A batch in the making.
#[derive(Default)]
pub(crate) struct Plan {
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

impl Plan {
    pub(crate) fn of(changes: Changes, is_shared: bool) -> Result<Self, CommitError> {
        let mut plan = Self { is_shared, ..Self::default() };
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

    fn must_equal(&mut self, table: &'static Table, key: Vec<Value>, column: usize, value: Value) {
        self.check(Check::Equals { table, key, column, value }, CommitError::Changed);
    }

    fn must_be_there(&mut self, table: &'static Table, key: Vec<Value>) {
        let value = key.first().cloned().unwrap_or(Value::Null);
        self.must_equal(table, key, 0, value);
    }

    /// A counted row that has this version; 0 where it was never raised.
    fn must_stand_at(&mut self, table: &'static Table, key: Vec<Value>, column: usize, version: i64) {
        match version {
            0 => self.check(Check::Absent { table, key }, CommitError::Changed),
            version => self.must_equal(table, key, column, version.into()),
        }
    }

    fn put(&mut self, table: &'static Table, row: Row) -> Planned {
        self.operations.push(Operation::Put { table, row });
        Ok(())
    }

    fn insert(&mut self, table: &'static Table, row: Row) -> Planned {
        self.operations.push(Operation::Insert { table, row });
        Ok(())
    }

    fn token<const N: usize>(&mut self, table: &'static Table, key: &TokenKey, rest: [Value; N]) -> Planned {
        self.tokens.push(self.operations.len());
        self.insert(table, token_row(key, rest))
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
        let prefix = vec![policy.into()];
        self.operations.push(Operation::DeleteAll { table: &tables::SHARED_WITH, index: Some(0), prefix });
        Ok(())
    }

    fn require(&mut self, requirement: Requirement) {
        match requirement {
            Requirement::ResourceUnchanged { id, version: v } => {
                self.must_equal(&tables::RESOURCE, vec![id.as_str().into()], 4, version(v))
            }
            Requirement::PolicyUnchanged { id, version: v } => {
                self.must_equal(&tables::POLICY, vec![id.as_str().into()], 4, version(v))
            }
            Requirement::AccessRequestUnchanged { id, version: v } => {
                self.must_equal(&tables::ACCESS_REQUEST, vec![id.as_str().into()], 4, version(v));
            }
            Requirement::DelegationStands { owner, id } => {
                self.must_equal(&tables::DELEGATION, vec![owner.as_str().into(), id.into()], 3, 1.into());
            }
            Requirement::PolicyAbsent(id) => {
                self.check(Check::Absent { table: &tables::POLICY, key: vec![id.as_str().into()] }, CommitError::Taken);
            }
            Requirement::SearchStands { id, owner, due } => {
                self.must_equal(&tables::SEARCH, vec![id.as_str().into()], 1, owner.as_str().into());
                self.must_equal(&tables::SEARCH, vec![id.into()], 2, due.into());
            }
            Requirement::CredentialStands { owner, id } => {
                self.must_be_there(&tables::CREDENTIAL, vec![owner.as_str().into(), id.into()]);
            }
            Requirement::RptThere(key) => self.must_equal(&tables::RPT, token_key(&key), 1, key.hash.to_vec().into()),
            Requirement::LinkUnchanged { owner, resource_server, version } => {
                let key = vec![owner.as_str().into(), resource_server.as_str().into()];
                self.must_stand_at(&tables::LINK, key, 2, version);
            }
            Requirement::InboxUnchanged { owner, version } => {
                self.must_stand_at(&tables::INBOX, vec![owner.as_str().into()], 1, version);
            }
        }
    }

    fn write(&mut self, write: Write) -> Planned {
        match write {
            Write::CreateResource(resource) => self.insert(&tables::RESOURCE, resource_row(&resource)?),
            Write::PutResource(resource) => self.put(&tables::RESOURCE, resource_row(&resource)?),
            Write::DeleteResource { id, .. } => self.delete(&tables::RESOURCE, vec![id.as_str().into()]),
            Write::TouchResource(id) => {
                self.operations.push(Operation::Add {
                    table: &tables::RESOURCE,
                    key: vec![id.as_str().into()],
                    column: 4,
                    by: 1,
                });
                Ok(())
            }
            Write::PutPolicy(policy) => {
                self.unlist(policy.id.as_str())?;
                // what waits for a thing is listed for nobody (threat 46)
                for address in policy.addresses().filter(|_| policy.resource().is_some()) {
                    self.put(&tables::SHARED_WITH, vec![address.into(), policy.id.as_str().into()])?;
                }
                if let Some(signed) = &policy.authority {
                    let (signer, owner) = (signed.credential.as_str().into(), policy.owner.as_str().into());
                    self.put(&tables::SIGNED_POLICY, vec![signer, owner, policy.id.as_str().into()])?;
                }
                self.put(&tables::POLICY, policy_row(&policy)?)
            }
            Write::DeletePolicy { id, .. } => {
                self.unlist(id.as_str())?;
                let prefix = vec![id.as_str().into()];
                self.operations.push(Operation::DeleteAll { table: &tables::SIGNED_POLICY, index: Some(0), prefix });
                self.delete(&tables::POLICY, vec![id.as_str().into()])
            }
            Write::Use { policy, at_most } => {
                let key = vec![policy.as_str().into()];
                let limit = i64::try_from(at_most).unwrap_or(i64::MAX);
                self.check(Check::Below { table: &tables::POLICY, key: key.clone(), column: 5, limit }, CommitError::UsedUp);
                self.operations.push(Operation::Add { table: &tables::POLICY, key, column: 5, by: 1 });
                Ok(())
            }
            Write::RaiseLink { owner, resource_server } => {
                self.raise(&tables::LINK, vec![owner.as_str().into(), resource_server.as_str().into(), 1.into()], 2)
            }
            other => self.write_other(other),
        }
    }

    fn append(&mut self, event: Event) -> Planned {
        self.insert(&tables::EVENT, event_row(&event)?)?;
        self.operations.extend(self.is_shared.then(|| nodes::wait(&event)));
        self.events.push(event);
        Ok(())
    }

    fn seal(&mut self, head: &EventHead, seal: &EventSeal) -> Planned {
        let waiting: &[EventId] = if self.is_shared { &seal.ids } else { &[] };
        for id in waiting {
            let (check, operation) = nodes::seal(head.owner.as_str(), id);
            self.check(check, CommitError::Changed);
            self.operations.push(operation);
        }
        let row = vec![head.owner.as_str().into(), version(seal.n), event_ids(&seal.ids)?.into()];
        self.insert(&tables::EVENT_SEAL, row)?;
        self.put(&tables::EVENT_HEAD, vec![head.owner.as_str().into(), body(head)?])
    }

    /// What is not of resources and policies.
    fn write_other(&mut self, write: Write) -> Planned {
        match write {
            Write::PutProcess { id, sealed, expires } => {
                self.put(&tables::PROCESS, vec![id.to_vec().into(), expires.0.into(), sealed.into()])
            }
            Write::DeleteProcess(id) => self.delete(&tables::PROCESS, vec![id.to_vec().into()]),
            Write::PutAccessRequest(request) => self.put(&tables::ACCESS_REQUEST, access_request_row(&request)?),
            Write::RaiseInbox(owner) => self.raise(&tables::INBOX, vec![owner.as_str().into(), 1.into()], 1),
            Write::DeleteAccessRequest { id, .. } => self.delete(&tables::ACCESS_REQUEST, vec![id.as_str().into()]),
            Write::AppendEvent(event) => self.append(event),
            Write::EraseEvent(event) => self.put(&tables::EVENT, event_row(&event)?),
            Write::SealEvents { head, seal } => self.seal(&head, &seal),
            Write::PutOwnerSettings(owner, settings) => {
                self.put(&tables::OWNER_SETTINGS, vec![owner.as_str().into(), body(&settings)?])
            }
            Write::CreateDelegation(delegation) => self.insert(&tables::DELEGATION, delegation_row(&delegation)?),
            Write::PutDelegation(delegation) => self.put(&tables::DELEGATION, delegation_row(&delegation)?),
            Write::DeleteDelegation { owner, id } => self.delete(&tables::DELEGATION, vec![owner.as_str().into(), id.into()]),
            Write::PutReceipt(r) => {
                let key = [r.owner.as_str().into(), r.document.id.as_str().into(), r.subject.as_str().into()];
                self.put(&tables::RECEIPT, key.into_iter().chain([body(&r)?]).collect())
            }
            Write::PutManager(m) => self.put(&tables::MANAGER, vec![m.owner.as_str().into(), m.id.as_str().into(), body(&m)?]),
            Write::DeleteManager { owner, id } => self.delete(&tables::MANAGER, vec![owner.as_str().into(), id.into()]),
            Write::PutSearch(search) => {
                let key = [search.id.as_str().into(), search.owner.as_str().into(), search.due().into()];
                self.put(&tables::SEARCH, key.into_iter().chain([body(&search)?]).collect())
            }
            Write::DeleteSearch(id) => self.delete(&tables::SEARCH, vec![id.as_str().into()]),
            Write::PutCredential(c) => {
                let key = [c.owner.as_str().into(), c.document.id.as_str().into(), c.subject.as_str().into()];
                self.put(&tables::CREDENTIAL, key.into_iter().chain([body(&c)?]).collect())
            }
            Write::DeleteCredential { owner, id } => self.delete(&tables::CREDENTIAL, vec![owner.as_str().into(), id.into()]),
            Write::PutRpt(key, rpt) => {
                self.token(&tables::RPT, &key, [rpt.family.as_str().into(), rpt.expires.0.into(), body(&rpt)?])?;
                rpt.jti.as_ref().map_or(Ok(()), |jti| self.put(&tables::SIGNED_RPT, signed_rpt_row(&rpt, jti)))
            }
            Write::DeleteRpt { key, .. } => self.delete(&tables::RPT, token_key(&key)),
            Write::PutPct { key, sealed, expires } => self.token(&tables::PCT, &key, [expires.0.into(), sealed.into()]),
            Write::DeletePct(key) => self.delete(&tables::PCT, token_key(&key)),
            Write::PutProof { id, sealed, expires } => {
                self.put(&tables::KEPT_PROOF, vec![id.into(), expires.0.into(), sealed.into()])
            }
            Write::DeleteProof(id) => self.delete(&tables::KEPT_PROOF, vec![id.into()]),
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

pub(crate) fn event_row(event: &Event) -> Result<Row, CommitError> {
    Ok(vec![event.owner.as_str().into(), event.document.id.as_str().into(), body(event)?])
}

/// Ids of 32 hexadecimal digits, 16 bytes each.
fn event_ids(ids: &[EventId]) -> Result<Vec<u8>, CommitError> {
    let mut bytes = Vec::with_capacity(ids.len().saturating_mul(16));
    for id in ids {
        let number =
            u128::from_str_radix(id.as_str(), 16).map_err(|e| CommitError::Unavailable(format!("an event's id: {e}")))?;
        bytes.extend_from_slice(&number.to_be_bytes());
    }
    Ok(bytes)
}

fn resource_row(resource: &Resource) -> Result<Row, CommitError> {
    let server = resource.resource_server.as_str().into();
    let own_id = resource.description.own_id.as_ref().map(|id| id.as_str()).into();
    let (id, owner) = (resource.id.as_str().into(), resource.owner.as_str().into());
    Ok(vec![id, owner, server, own_id, version(resource.version), body(resource)?])
}

fn policy_row(policy: &Policy) -> Result<Row, CommitError> {
    let waiting: Option<String> = match &policy.binding {
        Binding::Bound { .. } => None,
        Binding::Waiting { resource_server, own_id } => {
            Some(waiting_for(policy.owner.as_str(), resource_server.as_str(), own_id.as_str()))
        }
    };
    let resource = policy.resource().map(|id| id.as_str());
    Ok(vec![
        policy.id.as_str().into(),
        policy.owner.as_str().into(),
        resource.into(),
        waiting.into(),
        version(policy.version),
        version(policy.uses),
        body(policy)?,
    ])
}

fn delegation_row(delegation: &Delegation) -> Result<Row, CommitError> {
    Ok(vec![
        delegation.owner.as_str().into(),
        delegation.id.as_str().into(),
        delegation.delegate.key().into(),
        i64::from(!delegation.withdrawn).into(),
        delegation.expires_at.0.into(),
        body(delegation)?,
    ])
}

fn access_request_row(request: &AccessRequest) -> Result<Row, CommitError> {
    let key = AccessRequest::key(&request.owner, &request.client, &request.requesting_party);
    Ok(vec![
        request.id.as_str().into(),
        request.owner.as_str().into(),
        key.into(),
        request.due().0.into(),
        version(request.version),
        body(request)?,
    ])
}
