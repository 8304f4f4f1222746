//! What an owner, or somebody for her, answers to a request (protocol.md 1.4): once, or for good. What a delegate answers is
//! counted, as what he shares is (threat 41).

use crate::acting::Acting;
use crate::changes::{Changes, Requirement, Write};
use crate::{AuthorizationServer, RETRIES};
use identity::{CommitError, Failure};
use rules::access_request::{Decision, DecisionError, State};
use rules::policy::Binding;
use rules::{AccessRequest, Policy};
use serde_json::json;
use types::access_request::{AccessRequestDocument, DecisionDocument, DecisionKind};
use types::event::EventKind;
use types::policy::{ClaimCondition, OnMissing};
use types::{AccessRequestId, ErrorCode, PermissionRequest, PolicyId, Refusal};

/// In words that a page shows as they are.
const GONE: &str = "something of what was asked for is not guarded here any more: leave it out, or say no";

impl AuthorizationServer {
    /// `POST {access_requests_endpoint}/{_id}`: approve, in part or whole, or deny.
    pub async fn decide_access_request(
        &self,
        acting: &Acting,
        id: &AccessRequestId,
        decision: DecisionDocument,
    ) -> Result<AccessRequestDocument, Failure> {
        // an approval that would let nothing pass is none (protocol.md 3)
        if decision.decision == DecisionKind::Approve && self.requires_authority(&acting.owner).await? {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "nothing passes here that the owner did not sign: answer with a resource owner token, or end that demand first",
            );
        }
        let answer = self.take_answer(acting)?;
        let decided = self.decide_counted(acting, id, &decision).await;
        if decided.is_err() {
            answer.give_back();
        }
        decided
    }

    async fn decide_counted(
        &self,
        acting: &Acting,
        id: &AccessRequestId,
        decision: &DecisionDocument,
    ) -> Result<AccessRequestDocument, Failure> {
        for tried in 0..RETRIES {
            let _turn = self.turns.take(&acting.owner, tried).await;
            let request = self.own_request(acting, id).await?;
            let version = request.version;
            let mut decided = request.decide(self.decision_of(decision), self.now()).map_err(refusal_of)?;
            let mut changes = Changes::default();
            changes.requires.push(Requirement::AccessRequestUnchanged { id: id.clone(), version });
            self.require_grant(acting.grant(), &mut changes).await?;
            self.allow_decision(acting, decision.remember, &mut decided, &mut changes).await?;
            self.check_is_there(&decided).await?;
            // each thing of what is remembered is a policy
            let shares = self.take_changes(acting, count_remembered(&decided, decision))?;
            match self.commit_decision(acting, &decided, decision, changes).await {
                Ok(Ok(())) => return self.request_document(&decided).await,
                Ok(Err(CommitError::Changed)) => shares.give_back(),
                Ok(Err(error)) => {
                    shares.give_back();
                    return Err(error.into());
                }
                Err(failure) => {
                    shares.give_back();
                    return Err(failure);
                }
            }
        }
        Err(Failure::Unavailable("a request changes too fast".into()))
    }

    /// Nobody is let in to what is guarded no more: that can only be refused.
    async fn check_is_there(&self, decided: &AccessRequest) -> Result<(), Failure> {
        let State::Approved { permissions, .. } = &decided.state else { return Ok(()) };
        for permission in permissions {
            let found = self.store.find_resource(&permission.resource_id).await?;
            if found.is_none_or(|resource| resource.owner != decided.owner) {
                return Failure::refuse(ErrorCode::InvalidRequest, GONE);
            }
        }
        Ok(())
    }

    async fn commit_decision(
        &self,
        acting: &Acting,
        decided: &AccessRequest,
        decision: &DecisionDocument,
        mut changes: Changes,
    ) -> Result<Result<(), CommitError>, Failure> {
        let approved = decision.decision == DecisionKind::Approve;
        if approved && decision.remember {
            self.remember(decided, decision, acting, &mut changes).await?;
        }
        let kind = if approved { EventKind::RequestApproved } else { EventKind::RequestDenied };
        changes.writes.push(Write::AppendEvent(self.request_event(decided, kind, Some(acting.account()))));
        changes.writes.push(Write::PutAccessRequest(decided.clone()));
        Ok(self.commit_and_tell(changes).await)
    }

    fn decision_of(&self, document: &DecisionDocument) -> Decision {
        match document.decision {
            DecisionKind::Deny => Decision::Deny { remember: document.remember },
            DecisionKind::Approve => Decision::Approve {
                permissions: document.permissions.clone(),
                until: document.expires_at.unwrap_or_else(|| self.now().plus(self.settings.rpt_lifetime)),
            },
        }
    }

    /// A remembered approval is a policy for this client and requesting party, and written by whoever may write one.
    async fn remember(
        &self,
        request: &AccessRequest,
        decision: &DecisionDocument,
        acting: &Acting,
        changes: &mut Changes,
    ) -> Result<(), Failure> {
        let State::Approved { permissions, .. } = &request.state else { return Ok(()) };
        let expires_at = acting.end_of(request.delegation.as_deref(), decision.expires_at);
        let conditions = condition_of(request)?;
        for permission in remembered(permissions) {
            let mut policy = Policy {
                id: PolicyId::new(self.identity.random_id()),
                owner: request.owner.clone(),
                version: 0,
                binding: Binding::Bound { resource: permission.resource_id.clone() },
                scopes: permission.resource_scopes.clone(),
                conditions: conditions.clone(),
                clients: vec![request.client.clone()],
                valid_from: None,
                expires_at,
                max_uses: None,
                uses: 0,
                purpose: None,
                on_missing: OnMissing::Gather,
                created: self.now(),
                authority: None,
                delegation: request.delegation.clone(),
                receipt: None,
            };
            self.bind_allowed(acting, &mut policy, changes).await?;
            self.check_room_for(acting, std::slice::from_ref(&policy)).await?;
            self.write_policy(&policy, EventKind::PolicyCreated, acting.account().as_str(), changes);
        }
        Ok(())
    }
}

/// The requesting party as a condition: the verified address, else `sub` of its issuer.
pub(crate) fn condition_of(request: &AccessRequest) -> Result<Vec<ClaimCondition>, Failure> {
    let condition = |name: &str, value: serde_json::Value, issuer: Vec<String>| ClaimCondition {
        name: name.to_owned(),
        value: vec![value],
        issuer,
        claim_token_format: Vec::new(),
    };
    if let Some(email) = request.claims.email() {
        return Ok(vec![condition("email", json!(email), Vec::new())]);
    }
    match request.requesting_party.person().iter().next() {
        Some(subject) => Ok(vec![condition("sub", json!(subject.sub), vec![subject.iss.as_str().to_owned()])]),
        None => Failure::refuse(ErrorCode::InvalidRequest, "this requesting party is not known well enough to be remembered"),
    }
}

fn refusal_of(error: DecisionError) -> Failure {
    let code = match error {
        DecisionError::Decided => ErrorCode::Conflict,
        DecisionError::Wider | DecisionError::Empty => ErrorCode::InvalidRequest,
    };
    Failure::Refused(Refusal::new(code, error.to_string()))
}

/// Of what was asked for, that of which something was allowed: each is a policy where it is remembered.
fn remembered(permissions: &[PermissionRequest]) -> impl Iterator<Item = &PermissionRequest> {
    permissions.iter().filter(|permission| !permission.resource_scopes.is_empty())
}

/// Things of which this decision writes a policy.
fn count_remembered(decided: &AccessRequest, decision: &DecisionDocument) -> usize {
    match &decided.state {
        State::Approved { permissions, .. } if decision.remember => remembered(permissions).count(),
        _ => 0,
    }
}
