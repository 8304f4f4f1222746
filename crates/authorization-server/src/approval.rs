//! Approvals: requests that the owner approved, and that let somebody in until they end or she withdraws them (protocol.md 1.4).
//! They are no policies, so whoever asks who can reach a resource must be told of them beside the policies, and whoever takes a
//! share back means that person, whatever it was by which she got in. Called by the owner's pages.

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::deciding::condition_of;
use crate::note::{Undo, Withdrawn};
use crate::share_mail::{addresses_of, has_ended};
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::{CommitError, Failure};
use rules::access_request::State;
use rules::{AccessRequest, Policy};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::event::EventKind;
use types::policy::PolicyDocument;
use types::{AccessRequestId, ErrorCode, OwnerId, PermissionRequest, PolicyId, ResourceId, Timestamp};

/// Requests that are read at once.
const PAGE: usize = 1_000;

/// Whether this policy is for whoever made the request: it names the address that was verified, or the name at the issuer who
/// states it. A name alone is one person at each issuer.
fn is_for_party(policy: &PolicyDocument, request: &AccessRequest) -> bool {
    policy.required_claims.iter().any(|condition| match condition.name.as_str() {
        "email" => request.claims.email().is_some_and(|email| condition.value.iter().any(|value| value == email)),
        "sub" => request.requesting_party.iter().any(|subject| {
            let is_from = condition.issuer.is_empty() || condition.issuer.iter().any(|issuer| issuer == subject.iss.as_str());
            is_from && condition.value.iter().any(|value| value == subject.sub.as_str())
        }),
        _ => false,
    })
}

/// Whether it is approved, and lets somebody reach this resource now.
fn lets_reach(request: &AccessRequest, resource: &ResourceId, now: Timestamp) -> bool {
    match &request.state {
        State::Approved { permissions, until } => {
            let reaches = |one: &PermissionRequest| one.resource_id == *resource && !one.resource_scopes.is_empty();
            now < *until && permissions.iter().any(reaches)
        }
        State::Pending | State::Expired | State::Denied { .. } => false,
    }
}

/// Who reaches a thing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Reach {
    /// People, each once, whatever lets them in.
    pub people: usize,
    /// Shares that name nobody by an address: a group, somebody with a name at an issuer.
    pub others: usize,
    /// Anyone does.
    pub is_open: bool,
}

impl Reach {
    fn of<'a>(shares: &[PolicyDocument], approvals: impl Iterator<Item = &'a AccessRequest>) -> Self {
        let mut reach = Self { is_open: shares.iter().any(|share| share.required_claims.is_empty()), ..Self::default() };
        let mut people: BTreeSet<String> = BTreeSet::new();
        for share in shares {
            let named = addresses_of(share);
            if named.is_empty() && !share.required_claims.is_empty() {
                reach.others = reach.others.saturating_add(1);
            }
            people.extend(named);
        }
        for request in approvals {
            match request.claims.email() {
                Some(email) => drop(people.insert(email.to_owned())),
                // a share that names the same person so says it already
                None if shares.iter().any(|share| is_for_party(share, request)) => {}
                None => reach.others = reach.others.saturating_add(1),
            }
        }
        reach.people = people.len();
        reach
    }

    /// Whether nobody but the owner reaches it.
    pub fn is_nobody(&self) -> bool {
        *self == Self::default()
    }
}

impl AuthorizationServer {
    /// What she approved and lets somebody reach this resource now, the newest first.
    pub async fn list_approvals(&self, acting: &Acting, resource: &ResourceId) -> Result<Vec<AccessRequestDocument>, Failure> {
        let mut all = Vec::new();
        for request in self.list_approved(acting, resource).await? {
            all.push(self.request_document(&request).await?);
        }
        Ok(all)
    }

    /// Who reaches each of these things now, by a share or by what she approved.
    pub async fn find_reach(&self, acting: &Acting, things: &[ResourceId]) -> Result<Vec<Reach>, Failure> {
        let (approved, now, mut found) = (self.list_all_approved(acting).await?, self.now(), Vec::new());
        for thing in things {
            // reads never wait, and each thing may have many: others get their turn
            tokio::task::yield_now().await;
            let policies = self.store.list_policies_on(thing).await?;
            let documents = policies.iter().map(|policy| policy.to_document());
            let standing: Vec<PolicyDocument> = documents.filter(|policy| !has_ended(policy, now)).collect();
            let approvals = approved.iter().filter(|request| lets_reach(request, thing, now));
            found.push(Reach::of(&standing, approvals));
        }
        Ok(found)
    }

    /// What waits for an answer, whole, the newest first: however much was answered since, nothing of it stands behind a page.
    pub async fn list_waiting(&self, acting: &Acting) -> Result<Vec<AccessRequestDocument>, Failure> {
        let (mut all, now, mut listed) =
            (self.store.list_waiting_requests(&acting.owner, Timestamp(i64::MAX)).await?, self.now(), Vec::new());
        all.sort_by(|one, other| other.id.cmp(&one.id));
        for request in all.iter().filter(|request| request.is_pending(now)) {
            if self.sees_request(acting, request).await? {
                listed.push(self.request_document(request).await?);
            }
        }
        Ok(listed)
    }

    /// How many wait for the owner's answer.
    pub async fn count_waiting(&self, owner: &OwnerId) -> Result<usize, Failure> {
        let (waiting, now) = (self.store.list_waiting_requests(owner, Timestamp(i64::MAX)).await?, self.now());
        Ok(waiting.iter().filter(|request| request.is_pending(now)).count())
    }

    async fn list_approved(&self, acting: &Acting, resource: &ResourceId) -> Result<Vec<AccessRequest>, Failure> {
        let now = self.now();
        let mut all = self.list_all_approved(acting).await?;
        all.retain(|request| lets_reach(request, resource, now));
        Ok(all)
    }

    async fn list_all_approved(&self, acting: &Acting) -> Result<Vec<AccessRequest>, Failure> {
        let (mut all, mut after) = (Vec::new(), None);
        loop {
            let requests = self.store.list_access_requests(&acting.owner, &Page { after, limit: PAGE }).await?;
            let (count, last) = (requests.len(), requests.last().map(|last| last.id.clone()));
            for request in requests.into_iter().filter(|request| matches!(request.state, State::Approved { .. })) {
                if self.sees_request(acting, &request).await? {
                    all.push(request);
                }
            }
            match last {
                Some(last) if count >= PAGE => after = Some(last),
                _ => return Ok(all),
            }
        }
    }

    /// A share is over, and with it what was approved for the same person on the same resource: in one commit, so that no half of
    /// it goes on letting her in. What was withdrawn, so that it can be put back.
    pub async fn withdraw_share(&self, acting: &Acting, id: &PolicyId) -> Result<Withdrawn, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let document = self.read_policy(acting, id).await?.document;
            let mut changes = self.deletion_of_policy(acting, id, None).await?;
            // the commit holds only where it is still this one
            let undo = self.store.find_policy(id).await?.and_then(Undo::of_withdrawal);
            let approvals = match &document.resource_id {
                Some(resource) => self.end_approvals(acting, &document, resource, &mut changes).await?,
                None => 0,
            };
            match self.store.commit(changes).await {
                Ok(()) => return Ok(Withdrawn { document, undo, approvals }),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a policy changes too fast".into()))
    }

    /// What was approved is over, and with it the share that was written since it was to stand: in one commit. With `and_waits`,
    /// where she undoes what she has just done, who asked waits for her answer again: the name of that request, unless it has
    /// run out or there is no room for it.
    pub async fn withdraw_approval(
        &self,
        acting: &Acting,
        id: &AccessRequestId,
        and_waits: bool,
    ) -> Result<Option<AccessRequestId>, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let _inbox = self.inboxes.alone(&acting.owner).await;
            let request = self.own_request(acting, id).await?;
            let mut changes = Changes::of(self.deletion_of_request(acting, &request)?);
            changes.requires.push(Requirement::AccessRequestUnchanged { id: id.clone(), version: request.version });
            for policy in self.list_remembered(&request).await? {
                let ended = self.deletion_of_policy(acting, &policy.id, None).await?;
                changes.requires.extend(ended.requires);
                changes.writes.extend(ended.writes);
            }
            let waits = if and_waits { self.put_back_to_waiting(request, &mut changes).await? } else { None };
            match self.store.commit(changes).await {
                Ok(()) => return Ok(waits),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a request changes too fast".into()))
    }

    /// `POST {access_requests_endpoint}/{_id}/undo`: an approval is taken back, and who asked waits again; none where the request
    /// has run out, or there is no room for it.
    pub async fn undo_approval(&self, acting: &Acting, id: &AccessRequestId) -> Result<Option<AccessRequestDocument>, Failure> {
        let request = self.own_request(acting, id).await?;
        if !matches!(request.state, State::Approved { .. }) {
            return Failure::refuse(ErrorCode::Conflict, "only what was approved is undone: this request was not");
        }
        // whoever decides for her writes lines into her history by this, as by a share
        let taken = self.take_changes(acting, 1)?;
        match self.withdraw_approval(acting, id, true).await {
            Ok(Some(again)) => Ok(Some(self.read_access_request(acting, &again).await?)),
            Ok(None) => Ok(None),
            Err(failure) => {
                taken.give_back();
                Err(failure)
            }
        }
    }

    /// The same request as it was before she approved it, by another name: what the approval gave is bound to the old one, and
    /// comes back by nothing that she decides later. It waits no longer than the first would have, and takes room as a new one.
    /// Whoever waited for the old name finds the new one ([`Self::find_awaited`]).
    async fn put_back_to_waiting(
        &self,
        before: AccessRequest,
        changes: &mut Changes,
    ) -> Result<Option<AccessRequestId>, Failure> {
        let now = self.now();
        if !matches!(before.state, State::Approved { .. }) || now >= before.expires_at {
            return Ok(None);
        }
        let key = AccessRequest::key(&before.owner, &before.client, &before.requesting_party);
        let asked = self.store.list_access_requests_by_key(&key).await?;
        if let Some(pending) = asked.into_iter().find(|one| one.is_pending(now) && one.permissions == before.permissions) {
            let id = pending.id.clone();
            changes.requires.push(Requirement::AccessRequestUnchanged { id: id.clone(), version: pending.version });
            changes.writes.push(Write::PutAccessRequest(pending.waiting_for(before)));
            return Ok(Some(id));
        }
        let id = AccessRequestId::new(self.event(&before.owner, EventKind::RequestSubmitted).document.id.as_str());
        let again = before.asked_again(id.clone());
        match self.make_room(&again, changes).await {
            Ok(lines) => changes.writes.extend(lines),
            Err(Failure::Refused(_)) => return Ok(None),
            Err(failure) => return Err(failure),
        }
        changes.writes.push(Write::PutAccessRequest(again));
        Ok(Some(id))
    }

    /// Of these requests, those whose answer stands as a share: until when it lets somebody in, none where she ends it.
    pub async fn find_standing(
        &self,
        acting: &Acting,
        requests: &[AccessRequestDocument],
    ) -> Result<BTreeMap<AccessRequestId, Option<Timestamp>>, Failure> {
        let mut found = BTreeMap::new();
        for asked in requests.iter().filter(|asked| asked.state == AccessRequestState::Approved) {
            let request = match self.own_request(acting, &asked.id).await {
                Ok(request) => request,
                // gone since it was listed
                Err(Failure::Refused(_)) => continue,
                Err(failure) => return Err(failure),
            };
            let State::Approved { permissions, .. } = &request.state else { continue };
            // an answer that stands is written for all that it allows at once, with one end
            let Some(first) = permissions.iter().find(|one| !one.resource_scopes.is_empty()) else { continue };
            if let Some(policy) = self.find_written(&request, first).await?.first() {
                found.insert(asked.id.clone(), policy.expires_at);
            }
        }
        Ok(found)
    }

    /// Shares that her answer to this request wrote: for its client and person alone, and of nothing else.
    async fn list_remembered(&self, request: &AccessRequest) -> Result<Vec<Policy>, Failure> {
        let State::Approved { permissions, .. } = &request.state else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for permission in permissions {
            found.extend(self.find_written(request, permission).await?);
        }
        Ok(found)
    }

    async fn find_written(&self, request: &AccessRequest, permission: &PermissionRequest) -> Result<Vec<Policy>, Failure> {
        let (conditions, policies) = (condition_of(request)?, self.store.list_policies_on(&permission.resource_id).await?);
        let is_written = |policy: &&Arc<Policy>| {
            policy.clients == [request.client.clone()]
                && policy.conditions == conditions
                && policy.scopes == permission.resource_scopes
                && policy.created >= request.created
                && policy.authority.is_none()
        };
        Ok(policies.iter().filter(is_written).map(|policy| Policy::clone(policy)).collect())
    }

    /// How many have ended by that.
    async fn end_approvals(
        &self,
        acting: &Acting,
        policy: &PolicyDocument,
        resource: &ResourceId,
        changes: &mut Changes,
    ) -> Result<usize, Failure> {
        let mut approved = self.list_approved(acting, resource).await?;
        approved.retain(|approval| is_for_party(policy, approval));
        for approval in &approved {
            let version = approval.version;
            changes.requires.push(Requirement::AccessRequestUnchanged { id: approval.id.clone(), version });
            changes.writes.extend(self.deletion_of_request(acting, approval)?);
        }
        Ok(approved.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rules::claim::{RequestingParty, Subject};
    use serde_json::json;

    /// Seven is one person at one issuer, and somebody else at another.
    #[test]
    fn threat_39_s06_a_name_is_one_person_at_its_issuer() {
        let subject = Subject { iss: "https://a.example".into(), sub: "7".into() };
        let request = AccessRequest {
            id: "r".into(),
            owner: "alice".into(),
            client: "viewer".into(),
            requesting_party: RequestingParty::of(subject),
            claims: Default::default(),
            permissions: vec![],
            created: Timestamp(0),
            expires_at: Timestamp(1),
            state: State::Pending,
            delegation: None,
            instead_of: Vec::new(),
            message: None,
            network: None,
            version: 0,
        };
        for (condition, is_hers) in [
            (json!({"name": "sub", "value": ["7"], "issuer": ["https://a.example"]}), true),
            (json!({"name": "sub", "value": ["7"]}), true),
            (json!({"name": "sub", "value": ["7"], "issuer": ["https://b.example"]}), false),
            (json!({"name": "sub", "value": ["8"], "issuer": ["https://a.example"]}), false),
            (json!({"name": "group", "value": ["7"]}), false),
        ] {
            let policy = serde_json::from_value(json!({"resource_scopes": ["view"], "required_claims": [condition]})).unwrap();
            assert_eq!(is_for_party(&policy, &request), is_hers, "{condition}");
        }
    }
}
