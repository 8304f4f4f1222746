//! `simulate`, the owner's what-if (protocol.md 1.2): what somebody with these claims would get. It decides by the very
//! function that grants.

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::permission::{check_permissions, check_policies, count_of};
use identity::Failure;
pub use rules::assessment::Fate;
use rules::assessment::{AskOwner, Asked, Outcome, Question, Reason, assess, assess_each};
use rules::claim::{Claim, Claims, RequestingParty, Subject};
use rules::rpt::Authorities;
use rules::{Policy, Resource};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ClientId, ErrorCode, GrantedPermission, PermissionRequest, PolicyId, Scope, ScopeSet};

/// Body of `simulate`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Simulation {
    pub permissions: Vec<PermissionRequest>,
    #[serde(default)]
    pub client_id: Option<ClientId>,
    #[serde(default)]
    pub claims: Map<String, Value>,
}

/// Answer of `simulate`.
#[derive(Clone, Debug, Serialize)]
pub struct SimulationResult {
    pub result: &'static str,
    pub permissions: Vec<GrantedPermission>,
    pub reasons: Vec<Reason>,
}

/// What a simulation is about.
#[derive(Default)]
struct LookedAt<'p> {
    resources: Vec<(Arc<Resource>, &'p ScopeSet)>,
    policies: Vec<Arc<Policy>>,
}

impl AuthorizationServer {
    /// `POST {policy_endpoint}/simulate`: what somebody with these claims would get.
    pub async fn simulate(&self, acting: &Acting, simulation: Simulation) -> Result<SimulationResult, Failure> {
        let permissions = check_permissions(simulation.permissions)?;
        let looked_at = self.look_at(acting, &permissions).await?;
        let mut assessment = self.suppose(acting, &looked_at, simulation.client_id, &simulation.claims, assess).await?;
        let mut authorities = authorities_of(&looked_at.policies);
        if acting.is_delegate() {
            let seen = self.find_seen(acting, &looked_at.policies, &assessment.reasons).await?;
            authorities.retain(|id, _| seen.contains(id));
            for reason in &mut assessment.reasons {
                reason.policy_id = reason.policy_id.take().filter(|id| seen.contains(id));
            }
        }
        Ok(result_of(assessment, &authorities))
    }

    /// Of the policies that reasons name, those that a delegate finds in her list, too: of others she is told neither text nor name.
    async fn find_seen(
        &self,
        acting: &Acting,
        policies: &[Arc<Policy>],
        reasons: &[Reason],
    ) -> Result<BTreeSet<PolicyId>, Failure> {
        let named: BTreeSet<&PolicyId> = reasons.iter().filter_map(|reason| reason.policy_id.as_ref()).collect();
        let mut seen = BTreeSet::new();
        for policy in policies.iter().filter(|policy| named.contains(&policy.id)) {
            if self.shown_policy(acting, policy).await?.is_some() {
                seen.insert(policy.id.clone());
            }
        }
        Ok(seen)
    }

    /// The same of each scope by itself: what would become of it if nothing else were asked for.
    pub async fn simulate_each(&self, acting: &Acting, simulation: Simulation) -> Result<Vec<(Scope, Fate)>, Failure> {
        let permissions = check_permissions(simulation.permissions)?;
        let looked_at = self.look_at(acting, &permissions).await?;
        self.suppose(acting, &looked_at, simulation.client_id, &simulation.claims, assess_each).await
    }

    /// The things, and what is shared of them.
    async fn look_at<'p>(&self, acting: &Acting, permissions: &'p [PermissionRequest]) -> Result<LookedAt<'p>, Failure> {
        let (mut looked_at, mut judged_by) = (LookedAt::default(), 0_usize);
        for permission in permissions {
            let resource = self.owned_resource(&acting.owner, &permission.resource_id).await?;
            if !self.sees_resource(acting, &permission.resource_id).await? {
                return Failure::refuse(ErrorCode::InvalidResourceId, "no resource of yours has this id");
            }
            let seen = self.seen_scopes_of(acting, &permission.resource_id).await?;
            if seen.is_some_and(|seen| !permission.resource_scopes.is_subset(&seen)) {
                return Failure::refuse(ErrorCode::AccessDenied, "what the owner delegated to you does not reach so far");
            }
            looked_at.resources.push((resource, &permission.resource_scopes));
            let more = self.store.list_policies_on(&permission.resource_id).await?;
            judged_by = judged_by.saturating_add(count_of(&more));
            looked_at.policies.extend(more.iter().cloned());
            check_policies(looked_at.resources.len(), judged_by)?;
        }
        Ok(looked_at)
    }

    /// Asks the rules about somebody of whom this is stated.
    async fn suppose<Answer>(
        &self,
        acting: &Acting,
        looked_at: &LookedAt<'_>,
        client: Option<ClientId>,
        stated: &Map<String, Value>,
        ask: impl Fn(&Question<'_>) -> Answer,
    ) -> Result<Answer, Failure> {
        let owner = &acting.owner;
        let asked: Vec<Asked<'_>> =
            looked_at.resources.iter().map(|(resource, ticket_scopes)| Asked { resource, ticket_scopes }).collect();
        let (claims, requesting_party) = self.pretend(stated);
        Ok(ask(&Question {
            client: &client.unwrap_or_else(|| ClientId::new("")),
            registered_scopes: &ScopeSet::new(),
            requested_scopes: &ScopeSet::new(),
            asked: &asked,
            requesting_party: &requesting_party,
            claims: &claims,
            policies: &looked_at.policies,
            access_requests: &[],
            held: &[],
            partial_grants: self.settings.partial_grants,
            no_policy: self.no_policy_of(owner).await?,
            ask_owner: AskOwner::Yes,
            as_owner: None,
            require_authority: self.requires_authority(owner).await?,
            jkt: None,
            now: self.now(),
        }))
    }

    /// Claims as if this server, or any issuer that a policy trusts, had stated them.
    fn pretend(&self, stated: &Map<String, Value>) -> (Claims, RequestingParty) {
        let mut claims = Claims::default();
        let trusted = self.settings.trusted_issuers.iter().map(|(issuer, trusted)| (issuer, Some(&trusted.trust)));
        for (issuer, trust) in std::iter::once((self.issuer(), None)).chain(trusted) {
            for (name, value) in stated {
                if trust.is_some_and(|trust| !trust.claims.contains(name)) {
                    continue;
                }
                claims.state(Claim {
                    name: name.clone(),
                    value: value.clone(),
                    issuer: issuer.clone(),
                    format: types::token::ID_TOKEN_FORMAT.to_owned(),
                    auth_time: None,
                });
            }
        }
        let known = stated.get("sub").or_else(|| stated.get("email")).and_then(Value::as_str);
        let subject = known.map(|sub| Subject { iss: self.issuer().clone(), sub: sub.to_owned() });
        (claims, subject.map(RequestingParty::of).unwrap_or_default())
    }
}

/// Resource owner tokens among these policies.
fn authorities_of(policies: &[Arc<Policy>]) -> Authorities {
    policies.iter().filter_map(|policy| Some((policy.id.clone(), policy.authority.as_ref()?.token.clone()))).collect()
}

fn result_of(assessment: rules::Assessment, authorities: &Authorities) -> SimulationResult {
    let (result, scopes) = match assessment.outcome {
        Outcome::Granted { scopes, partial: false } => ("granted", scopes),
        Outcome::Granted { scopes, partial: true } => ("partial", scopes),
        Outcome::NeedInfo { .. } => ("need_info", Vec::new()),
        Outcome::Submitted { .. } => ("submitted", Vec::new()),
        Outcome::Denied | Outcome::MayAsk => ("denied", Vec::new()),
        Outcome::InvalidScope { .. } => ("invalid_scope", Vec::new()),
    };
    SimulationResult { result, permissions: rules::rpt::to_permissions(&scopes, authorities), reasons: assessment.reasons }
}
