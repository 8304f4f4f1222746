//! What an assessment looks at, by resource and scope: each policy and each answer is looked at once, so that neither 500
//! resources nor 2000 scopes mean as many walks. The work is of what is there, and not of its product (threat 46).

use super::Question;
use crate::access_request::{AccessRequest, State};
use crate::claim::Standing;
use crate::policy::Policy;
use crate::resource::Resource;
use crate::rpt::Basis;
use std::collections::{BTreeMap, BTreeSet};
use types::policy::OnMissing;
use types::{PermissionRequest, ResourceId, Scope, ScopeSet};

/// A policy in force, and where it stands on the claims that are known.
pub(super) struct Judged<'a> {
    pub(super) policy: &'a Policy,
    pub(super) standing: Standing,
}

/// A scope of a resource.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct ScopeOf<'a> {
    pub(super) resource: &'a ResourceId,
    pub(super) scope: &'a Scope,
}

type Requested<'r> = BTreeMap<&'r ResourceId, &'r ScopeSet>;

/// A scope for which the owner has a policy in force, whether or not that passes a demanded signature.
#[derive(Default)]
struct Spoken {
    /// The policies that pass it.
    policies: Vec<usize>,
    /// One of all of them says something of whoever asks.
    of_asker: bool,
}

/// Policies and answers that speak of what is requested.
#[derive(Default)]
pub(super) struct Index<'a> {
    policies: Vec<Judged<'a>>,
    spoken: BTreeMap<ScopeOf<'a>, Spoken>,
    approvals: BTreeMap<ScopeOf<'a>, Vec<&'a AccessRequest>>,
    refused: BTreeSet<ScopeOf<'a>>,
}

impl<'a> Index<'a> {
    pub(super) fn of(question: &Question<'a>, requested: &[(&Resource, ScopeSet)]) -> Self {
        let requested: Requested<'_> = requested.iter().map(|(resource, scopes)| (&resource.id, scopes)).collect();
        let mut index = Self::default();
        index.add_policies(question, &requested);
        for request in question.access_requests {
            index.add_answer(question, &requested, request);
        }
        index
    }

    fn add_policies(&mut self, question: &Question<'a>, requested: &Requested<'_>) {
        let is_in_force = |policy: &&'a Policy| {
            let on = |r: &ResourceId| policy.is_in_force(r, question.client, question.jkt, question.now);
            policy.resource().is_some_and(on)
        };
        let mut in_force: Vec<&'a Policy> = question.policies.iter().map(|policy| &**policy).filter(is_in_force).collect();
        in_force.sort_by(|a, b| a.id.cmp(&b.id));
        for policy in in_force {
            let Some(resource) = policy.resource() else { continue };
            let Some(scopes) = requested.get(resource) else { continue };
            let lets_pass = policy.authority.is_some() || !question.require_authority;
            // with `ask` or `deny` she has said what happens to everybody else
            let is_about_others = policy.on_missing == OnMissing::Gather && policy.is_for_others(question.claims);
            let number = self.policies.len();
            for scope in policy.scopes.iter().filter(|scope| scopes.contains(scope)) {
                let spoken = self.spoken.entry(ScopeOf { resource, scope }).or_default();
                if lets_pass {
                    spoken.policies.push(number);
                }
                spoken.of_asker |= !is_about_others;
            }
            if lets_pass {
                self.policies.push(Judged { policy, standing: policy.standing(question.claims) });
            }
        }
    }

    fn add_answer(&mut self, question: &Question<'a>, requested: &Requested<'_>, request: &'a AccessRequest) {
        // a denial, an approval that left a scope out, or no answer in time
        if !request.is_pending(question.now) {
            self.refused.extend(spoken_of(requested, &request.permissions));
        }
        match &request.state {
            State::Approved { permissions, until } if question.now < *until && !question.require_authority => {
                for of in spoken_of(requested, permissions) {
                    self.approvals.entry(of).or_default().push(request);
                }
            }
            _ => {}
        }
    }

    /// Policies that speak of this scope, with their numbers.
    pub(super) fn on<'s>(&'s self, of: ScopeOf<'s>) -> impl Iterator<Item = (usize, &'s Judged<'a>)> {
        let numbers = self.spoken.get(&of).map(|spoken| &*spoken.policies).unwrap_or_default();
        numbers.iter().filter_map(|number| Some((*number, self.policies.get(*number)?)))
    }

    pub(super) fn policy(&self, number: usize) -> Option<&Judged<'a>> {
        self.policies.get(number)
    }

    pub(super) fn is_thought_of(&self, of: ScopeOf<'_>) -> bool {
        self.spoken.get(&of).is_some_and(|spoken| spoken.of_asker)
    }

    pub(super) fn is_spoken_of(&self, of: ScopeOf<'_>) -> bool {
        self.spoken.contains_key(&of)
    }

    pub(super) fn is_refused(&self, of: ScopeOf<'_>) -> bool {
        self.refused.contains(&of)
    }

    pub(super) fn approvals_of<'s>(&'s self, of: ScopeOf<'s>) -> impl Iterator<Item = Basis> + 's {
        let requests = self.approvals.get(&of).map(Vec::as_slice).unwrap_or_default();
        requests.iter().filter_map(|request| match &request.state {
            State::Approved { until, .. } => Some(Basis::Approval { id: request.id.clone(), expires_at: *until }),
            _ => None,
        })
    }
}

/// What of these is requested.
fn spoken_of<'a>(requested: &Requested<'_>, permissions: &'a [PermissionRequest]) -> Vec<ScopeOf<'a>> {
    let mut found = Vec::new();
    for permission in permissions {
        let Some(scopes) = requested.get(&permission.resource_id) else { continue };
        let named = permission.resource_scopes.iter().filter(|scope| scopes.contains(scope));
        found.extend(named.map(|scope| ScopeOf { resource: &permission.resource_id, scope }));
    }
    found
}
