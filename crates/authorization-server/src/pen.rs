//! What goes with a change of shares and delegations, wherever the change comes from: events, receipts, and what ends with
//! them. The server writes by it, and so do the consequences of what identity changes ([`crate::consequences`]).

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::store::{Page, Store};
use identity::ReadError;
use identity::consent::Consent;
use jose::{Clock, Randomness};
use rules::Policy;
use rules::delegation::{Delegate, Delegation};
use serde_json::json;
use types::OwnerId;
use types::event::EventKind;

/// Rows of one read; lists are read to their end.
const READ_AT_ONCE: usize = 1_000;

/// Writes nothing by itself: it says what belongs to a commit.
pub(crate) struct Pen<'a> {
    pub(crate) store: &'a dyn Store,
    pub(crate) clock: &'a dyn Clock,
    pub(crate) randomness: &'a dyn Randomness,
    /// This server's.
    pub(crate) issuer: &'a str,
}

impl AuthorizationServer {
    pub(crate) fn pen(&self) -> Pen<'_> {
        Pen {
            store: &*self.store,
            clock: &*self.identity.clock,
            randomness: &*self.identity.randomness,
            issuer: self.issuer().as_str(),
        }
    }
}

/// Links of this owner, raised: what is being decided on what was hers is decided again.
pub(crate) fn raised_links(owner: &OwnerId, consents: &[Consent]) -> Vec<Write> {
    let links = consents.iter().filter(|consent| consent.links_resource_server());
    links.map(|consent| Write::RaiseLink { owner: owner.clone(), resource_server: consent.client.clone() }).collect()
}

impl Pen<'_> {
    pub(crate) fn write_policy(&self, policy: &Policy, kind: EventKind, by: &str, changes: &mut Changes) {
        changes.writes.extend(policy.resource().cloned().map(Write::TouchResource));
        self.write_policy_beside(policy, kind, by, changes);
    }

    /// The same where its resource is written, too.
    pub(crate) fn write_policy_beside(&self, policy: &Policy, kind: EventKind, by: &str, changes: &mut Changes) {
        let mut policy = policy.clone();
        self.write_receipt(&mut policy, kind, by, changes);
        changes.writes.push(match kind {
            EventKind::PolicyDeleted => Write::DeletePolicy { owner: policy.owner.clone(), id: policy.id.clone() },
            _ => Write::PutPolicy(policy.clone()),
        });
        changes.writes.push(Write::AppendEvent(self.policy_event(policy, kind, by)));
    }

    pub(crate) fn delegation_writes(&self, delegation: Delegation, kind: EventKind, by: &str) -> Vec<Write> {
        let mut event = self.event(&delegation.owner, kind);
        event.document.scopes = delegation.scopes.clone();
        event.document.by = Some(by.to_owned());
        event.document.policy_id = Some(types::PolicyId::new(&delegation.id));
        let (name, value) = match &delegation.delegate {
            Delegate::Email(email) => ("email", email.clone()),
            Delegate::Account(account) => ("sub", account.as_str().to_owned()),
            Delegate::Credential(id) => ("resource_owner_id", id.clone()),
        };
        event.document.claims.insert(name.to_owned(), json!(value));
        let write = match kind {
            EventKind::DelegationCreated => Write::CreateDelegation(delegation),
            _ => {
                let (owner, id) = (delegation.owner.clone(), delegation.id.clone());
                delegation.withdrawn().map_or(Write::DeleteDelegation { owner, id }, Write::PutDelegation)
            }
        };
        vec![write, Write::AppendEvent(event)]
    }

    /// They are over, and all that was done under them.
    pub(crate) async fn end_delegations(
        &self,
        owner: &OwnerId,
        ended: Vec<Delegation>,
        by: &str,
        changes: &mut Changes,
    ) -> Result<(), ReadError> {
        let ids: Vec<String> = ended.iter().map(|one| one.id.clone()).collect();
        for delegation in ended {
            changes.writes.extend(self.delegation_writes(delegation, EventKind::DelegationWithdrawn, by));
        }
        self.end_what_was_done(owner, &ids, by, changes).await
    }

    /// Policies that were written and requests that were decided under these delegations.
    pub(crate) async fn end_what_was_done(
        &self,
        owner: &OwnerId,
        ids: &[String],
        by: &str,
        changes: &mut Changes,
    ) -> Result<(), ReadError> {
        let under = |delegation: &Option<String>| delegation.as_ref().is_some_and(|id| ids.contains(id));
        let mut after = None;
        loop {
            let page = Page { after: after.take(), limit: READ_AT_ONCE };
            let policies = self.store.list_policies(owner, &page).await?;
            let Some(last) = policies.last() else { break };
            after = Some(last.id.clone());
            for policy in policies.iter().filter(|policy| under(&policy.delegation)) {
                self.write_policy(policy, EventKind::PolicyDeleted, by, changes);
            }
        }
        let mut after = None;
        loop {
            let page = Page { after: after.take(), limit: READ_AT_ONCE };
            let requests = self.store.list_access_requests(owner, &page).await?;
            let Some(last) = requests.last() else { return Ok(()) };
            after = Some(last.id.clone());
            for request in requests.iter().filter(|request| under(&request.delegation)) {
                changes.writes.push(Write::DeleteAccessRequest { owner: owner.clone(), id: request.id.clone() });
            }
        }
    }

    /// What was signed with a credential that ends is gone with it: what its owner signed for herself, and as a delegate for
    /// others, where nobody else has the same credential.
    pub(crate) async fn end_signed(
        &self,
        owner: &OwnerId,
        subject: &str,
        by: &str,
        changes: &mut Changes,
    ) -> Result<(), ReadError> {
        let same = self.store.list_credentials_of_subject(subject).await?;
        let is_shared = same.iter().any(|credential| credential.owner != *owner);
        for signed_for in self.store.list_owners_signed_for(subject).await? {
            if is_shared && signed_for != *owner {
                continue;
            }
            for policy in self.store.list_policies_signed_by(subject, &signed_for).await? {
                self.write_policy(&policy, EventKind::PolicyDeleted, by, changes);
            }
        }
        Ok(())
    }
}
