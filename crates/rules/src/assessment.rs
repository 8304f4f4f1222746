//! Authorization assessment: one pure function that says what a requesting party gets, and why
//! (Grant 3.3.4; protocol.md 1.2 "order of answers"). Token endpoint, claims interaction, upgrade
//! and simulation all ask here, so the answer cannot depend on the way to it (threat 11).
//!
//! 1. [`requested_scopes`]: per resource, TicketScopes(r) ∪ (RegisteredScopes ∩ RequestedScopes),
//!    the latter only where r has the scope.
//! 2. Each requested (resource, scope) gets a `Verdict`: granted with all that it rests on, or
//!    gather, ask or deny.
//! 3. [`Outcome`] by the first rule that fits.

mod index;

use crate::access_request::AccessRequest;
use crate::claim::{Claims, RequestingParty, Standing};
use crate::policy::Policy;
use crate::resource::Resource;
use crate::rpt::{Basis, GrantedScope};
use index::{Index, Judged, ScopeOf};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::policy::OnMissing;
use types::token::RequiredClaim;
use types::{ClientId, GrantId, PermissionRequest, PolicyId, ResourceId, Scope, ScopeSet, Timestamp};

/// What one scope rests on at most: where more lets it pass, what was signed goes first, then what lasts longest. Each is kept
/// with the RPT, for each of its scopes (threat 46).
const MOST_BASES: usize = 8;
/// Steps of reasoning that are told.
const MOST_REASONS: usize = 1_000;

/// What happens where an owner has no policy for a scope.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoPolicy {
    #[default]
    Ask,
    Deny,
}

/// Whether the owner may be asked where nothing else decides.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AskOwner {
    #[default]
    Yes,
    /// The client says that somebody wants it (`ask_owner=true`): she may be asked beside a share that is for others.
    Expressly,
    /// The client wants to know first whether she could be (`ask_owner=false`).
    Later,
    /// She was asked in this process, and what she was asked is gone: withdrawn, or given way.
    Over,
}

/// One resource of the ticket, with the scopes that the ticket names for it.
pub struct Asked<'a> {
    pub resource: &'a Resource,
    pub ticket_scopes: &'a ScopeSet,
}

/// All that an assessment looks at.
pub struct Question<'a> {
    pub client: &'a ClientId,
    /// Scopes the client is pre-registered for.
    pub registered_scopes: &'a ScopeSet,
    /// Scopes of the client's latest token request.
    pub requested_scopes: &'a ScopeSet,
    pub asked: &'a [Asked<'a>],
    pub requesting_party: &'a RequestingParty,
    pub claims: &'a Claims,
    /// The owner's policies on these resources; what is not in force is passed over.
    pub policies: &'a [Arc<Policy>],
    /// Requests that this process waits for, and remembered denials.
    pub access_requests: &'a [AccessRequest],
    /// What the RPT that was sent along already holds.
    pub held: &'a [GrantedScope],
    pub partial_grants: bool,
    pub no_policy: NoPolicy,
    pub ask_owner: AskOwner,
    /// The owner herself asks, logged in here as her own account, and the client reaches what is hers by this consent.
    pub as_owner: Option<&'a GrantId>,
    /// Whether only what the owner signed lets something pass.
    pub require_authority: bool,
    /// Thumbprint of the key that the client proves.
    pub jkt: Option<&'a str>,
    pub now: Timestamp,
}

/// The decision on one scope of one resource.
enum Verdict {
    Granted(Vec<Basis>),
    /// What these policies still ask for, by their numbers in the index.
    Gather(Vec<usize>),
    Ask,
    Deny,
}

/// What the requesting party is answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An RPT with these scopes; `partial` where something requested is missing.
    Granted {
        scopes: Vec<GrantedScope>,
        partial: bool,
    },
    NeedInfo {
        required: Vec<RequiredClaim>,
    },
    /// The owner must decide about these.
    Submitted {
        ask: Vec<PermissionRequest>,
    },
    Denied,
    /// Denied as long as nobody asks the owner, which may be done.
    MayAsk,
    /// Nothing requested is available, or something requested never is.
    InvalidScope {
        scope: Option<Scope>,
    },
}

/// One step of reasoning, for the owner's what-if and her history.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reason {
    pub resource_id: ResourceId,
    pub scope: Scope,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub policy_id: Option<PolicyId>,
    pub why: String,
}

/// A decision and its reasons.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assessment {
    pub outcome: Outcome,
    pub reasons: Vec<Reason>,
}

/// Assesses. Never grants a scope that was not requested; denies by default.
pub fn assess(question: &Question<'_>) -> Assessment {
    let requested = match requested_scopes(question) {
        Ok(requested) => requested,
        Err(scope) => return Assessment { outcome: Outcome::InvalidScope { scope }, reasons: Vec::new() },
    };
    let mut reasons = Vec::new();
    let index = Index::of(question, &requested);
    let mut verdicts = Vec::new();
    for (resource, scopes) in requested {
        for scope in scopes {
            let verdict = judge(question, &index, ScopeOf { resource: &resource.id, scope: &scope }, &mut reasons);
            verdicts.push((resource.id.clone(), scope, verdict));
        }
    }
    Assessment { outcome: conclude(question, &index, verdicts), reasons }
}

/// What becomes of a scope that is asked for, in short.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Granted,
    /// Whoever asks has to show more of who she is.
    MustShow,
    /// The owner is asked.
    Asked,
    Refused,
}

/// The same of each scope as if it alone were asked for, all looked at at once: what it is granted by, and what is missing, is left
/// out.
pub fn assess_each(question: &Question<'_>) -> Vec<(Scope, Fate)> {
    let Ok(requested) = requested_scopes(question) else { return Vec::new() };
    let (index, mut reasons, mut fates) = (Index::of(question, &requested), Vec::new(), Vec::new());
    for (resource, scopes) in requested {
        for scope in scopes {
            let fate = match judge(question, &index, ScopeOf { resource: &resource.id, scope: &scope }, &mut reasons) {
                Verdict::Granted(_) => Fate::Granted,
                Verdict::Gather(_) => Fate::MustShow,
                // nobody asks the owner without saying who it is
                Verdict::Ask if !question.requesting_party.is_known() => Fate::MustShow,
                Verdict::Ask => Fate::Asked,
                Verdict::Deny => Fate::Refused,
            };
            fates.push((scope, fate));
        }
    }
    fates
}

/// RequestedScopes(r) of Grant 3.3.4, or the scope that makes it `invalid_scope`.
fn requested_scopes<'a>(question: &Question<'a>) -> Result<Vec<(&'a Resource, ScopeSet)>, Option<Scope>> {
    let available = |scope: &Scope| question.asked.iter().any(|asked| asked.resource.has_scope(scope));
    if let Some(scope) = question.requested_scopes.iter().find(|scope| !available(scope)) {
        return Err(Some(scope.clone()));
    }
    let by_client = question.registered_scopes.intersection(question.requested_scopes);
    let mut requested = Vec::new();
    for asked in question.asked {
        let available = &asked.resource.description.resource_scopes;
        let scopes = asked.ticket_scopes.union(&by_client).intersection(available);
        if !scopes.is_empty() {
            requested.push((asked.resource, scopes));
        }
    }
    if requested.is_empty() { Err(None) } else { Ok(requested) }
}

fn judge(question: &Question<'_>, index: &Index<'_>, of: ScopeOf<'_>, reasons: &mut Vec<Reason>) -> Verdict {
    let ScopeOf { resource, scope } = of;
    let mut say = |policy_id: Option<&PolicyId>, why: &str| {
        if reasons.len() >= MOST_REASONS {
            return;
        }
        reasons.push(Reason {
            resource_id: resource.clone(),
            scope: scope.clone(),
            policy_id: policy_id.cloned(),
            why: why.to_owned(),
        });
    };
    let mut holding = Vec::new();
    for (_, Judged { policy, standing }) in index.on(of) {
        say(
            Some(&policy.id),
            match standing {
                Standing::Holds => "every claim this policy asks for is there",
                Standing::Open => "a claim this policy asks for is not known yet",
                Standing::Wrong => "a claim has a value that this policy does not accept",
            },
        );
        if *standing == Standing::Holds {
            holding.push(*policy);
        }
    }
    let mut basis = bases_of(holding);
    for approval in index.approvals_of(of) {
        say(None, "the owner approved it");
        basis.push(approval);
    }
    if let Some(consent) = question.as_owner.filter(|_| !question.require_authority) {
        say(None, "it is the owner's own");
        basis.push(Basis::Owner { consent: consent.clone() });
    }
    if !basis.is_empty() {
        return Verdict::Granted(basis);
    }
    if index.is_refused(of) {
        say(None, "the owner refused it");
        return Verdict::Deny;
    }
    let verdict = judge_ungranted(question, index, of);
    match verdict {
        Verdict::Ask => say(None, "the owner is asked"),
        Verdict::Deny => say(None, "no policy lets it pass"),
        _ => {}
    }
    verdict
}

/// The policies that a scope rests on.
fn bases_of(mut holding: Vec<&Policy>) -> Vec<Basis> {
    if holding.len() > MOST_BASES {
        let end = |policy: &Policy| policy.expires_at.unwrap_or(Timestamp(i64::MAX));
        holding.sort_by_key(|policy| std::cmp::Reverse((policy.authority.is_some(), end(policy))));
        holding.truncate(MOST_BASES);
    }
    let basis = |policy: &Policy| Basis::Policy { id: policy.id.clone(), version: policy.version, expires_at: policy.expires_at };
    holding.into_iter().map(basis).collect()
}

fn judge_ungranted(question: &Question<'_>, index: &Index<'_>, of: ScopeOf<'_>) -> Verdict {
    let (mut open, mut asks) = (Vec::new(), false);
    for (number, Judged { policy, standing }) in index.on(of) {
        asks |= policy.on_missing == OnMissing::Ask;
        if policy.on_missing == OnMissing::Gather && *standing == Standing::Open {
            open.push(number);
        }
    }
    // to whoever asks expressly a share with somebody else says nothing: he may, as where nobody has a share
    let any = match question.ask_owner {
        AskOwner::Expressly => index.is_thought_of(of),
        _ => index.is_spoken_of(of),
    };
    if !open.is_empty() {
        Verdict::Gather(open)
    } else if asks || (!any && question.no_policy == NoPolicy::Ask) {
        Verdict::Ask
    } else {
        Verdict::Deny
    }
}

/// What these policies still ask for, each looked at once.
fn required_by(question: &Question<'_>, index: &Index<'_>, numbers: &BTreeSet<usize>) -> Vec<RequiredClaim> {
    let open =
        numbers.iter().filter_map(|number| index.policy(*number)).flat_map(|one| one.policy.open_conditions(question.claims));
    let required = open.map(|condition| RequiredClaim {
        name: Some(condition.name.clone()),
        issuer: condition.issuer.clone(),
        claim_token_format: formats_of(&condition.claim_token_format),
        ..RequiredClaim::default()
    });
    required.collect::<BTreeSet<_>>().into_iter().collect()
}

/// Where a policy leaves the format open, the hint names the one that every client can send.
fn formats_of(formats: &[String]) -> Vec<String> {
    if formats.is_empty() { vec![types::token::ID_TOKEN_FORMAT.to_owned()] } else { formats.to_vec() }
}

/// What is asked of somebody of whom nothing is known.
pub fn claim_of_person() -> RequiredClaim {
    RequiredClaim { name: Some("email".into()), claim_token_format: formats_of(&[]), ..RequiredClaim::default() }
}

/// The first rule that fits (protocol.md 1.2).
fn conclude(question: &Question<'_>, index: &Index<'_>, verdicts: Vec<(ResourceId, Scope, Verdict)>) -> Outcome {
    let (mut granted, mut ask) = (Vec::new(), BTreeMap::<ResourceId, ScopeSet>::new());
    let (mut open, mut complete) = (BTreeSet::new(), true);
    for (resource, scope, verdict) in verdicts {
        complete &= matches!(verdict, Verdict::Granted(_));
        match verdict {
            Verdict::Granted(basis) => granted.push(GrantedScope { resource, scope, basis }),
            Verdict::Gather(numbers) => open.extend(numbers),
            Verdict::Ask => {
                ask.entry(resource).or_default().insert(scope);
            }
            Verdict::Deny => {}
        }
    }
    if complete {
        return Outcome::Granted { scopes: granted, partial: false };
    }
    if !open.is_empty() {
        return Outcome::NeedInfo { required: required_by(question, index, &open) };
    }
    if may_be_partial(question, &granted) {
        return Outcome::Granted { scopes: granted, partial: true };
    }
    match question.ask_owner {
        _ if ask.is_empty() => return Outcome::Denied,
        AskOwner::Over => return Outcome::Denied,
        AskOwner::Later => return Outcome::MayAsk,
        AskOwner::Yes | AskOwner::Expressly => {}
    }
    if !question.requesting_party.is_known() {
        return Outcome::NeedInfo { required: vec![claim_of_person()] };
    }
    let ask = ask.into_iter().map(|(resource_id, resource_scopes)| PermissionRequest { resource_id, resource_scopes });
    Outcome::Submitted { ask: ask.collect() }
}

/// Rule 3: something is granted that the RPT sent along does not hold already, and either partial
/// grants are on or the owner herself approved it.
fn may_be_partial(question: &Question<'_>, granted: &[GrantedScope]) -> bool {
    let is_new = |new: &GrantedScope| !question.held.iter().any(|old| old.resource == new.resource && old.scope == new.scope);
    let approved = |new: &GrantedScope| new.basis.iter().any(|basis| matches!(basis, Basis::Approval { .. }));
    granted.iter().any(|scope| is_new(scope) && (question.partial_grants || approved(scope)))
}

#[cfg(test)]
mod tests;
