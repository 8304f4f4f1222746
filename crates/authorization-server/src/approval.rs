//! Approvals: requests that the owner approved, and that let somebody in until they end or she withdraws them (protocol.md 1.4).
//! They are no policies, so whoever asks who can reach a resource must be told of them beside the policies, and whoever takes a
//! share back means that person, whatever it was by which she got in. Called by the owner's pages.

use crate::acting::Acting;
use crate::changes::{Changes, Requirement};
use crate::store::Page;
use crate::{AuthorizationServer, RETRIES};
use identity::{CommitError, Failure};
use rules::AccessRequest;
use rules::access_request::State;
use types::access_request::AccessRequestDocument;
use types::policy::PolicyDocument;
use types::{PolicyId, ResourceId, Timestamp};

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
        State::Approved { permissions, until } => now < *until && permissions.iter().any(|one| one.resource_id == *resource),
        State::Pending | State::Expired | State::Denied { .. } => false,
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

    async fn list_approved(&self, acting: &Acting, resource: &ResourceId) -> Result<Vec<AccessRequest>, Failure> {
        let (mut all, mut after, now) = (Vec::new(), None, self.now());
        loop {
            let requests = self.store.list_access_requests(&acting.owner, &Page { after, limit: PAGE }).await?;
            let (count, last) = (requests.len(), requests.last().map(|last| last.id.clone()));
            for request in requests {
                if lets_reach(&request, resource, now) && self.sees_request(acting, &request).await? {
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
    /// it goes on letting her in.
    pub async fn withdraw_share(&self, acting: &Acting, id: &PolicyId) -> Result<(), Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let document = self.read_policy(acting, id).await?.document;
            let mut changes = self.deletion_of_policy(acting, id, None).await?;
            if let Some(resource) = &document.resource_id {
                self.end_approvals(acting, &document, resource, &mut changes).await?;
            }
            match self.store.commit(changes).await {
                Ok(()) => return Ok(()),
                Err(CommitError::Changed) => continue,
                Err(error) => return Err(error.into()),
            }
        }
        Err(Failure::Unavailable("a policy changes too fast".into()))
    }

    async fn end_approvals(
        &self,
        acting: &Acting,
        policy: &PolicyDocument,
        resource: &ResourceId,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let approved = self.list_approved(acting, resource).await?;
        for approval in approved.iter().filter(|approval| is_for_party(policy, approval)) {
            let version = approval.version;
            changes.requires.push(Requirement::AccessRequestUnchanged { id: approval.id.clone(), version });
            changes.writes.extend(self.deletion_of_request(acting, approval)?);
        }
        Ok(())
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
