//! The UMA grant (Grant 3.3; protocol.md 1.2, 4).
//!
//! 1. Client authentication, limits and DPoP came before: what fails there spends nothing.
//! 2. The ticket is opened. From here every answer spends it, errors included (5.5).
//! 3. **Load** what the ticket names, read again: PAT grant, resources, scopes, policies, claims.
//! 4. **Decide**: `rules::assess`.
//! 5. **Save** in one commit with what the decision rests on; if that changed, go to 3.
//! 6. **Answer**: an RPT, `need_info` or `request_submitted` with the next ticket, or a refusal.

use super::issue::Grounds;
use super::much::InTurn;
use super::parameters::{Parameters, read_parameters};
use super::taken::Presented;
use crate::changes::{Changes, Requirement, Write};
use crate::permission::{check_policies, check_scopes, count_of, too_many_policies};
use crate::{AuthorizationServer, RETRIES};
use identity::token::TokenRequest;
use identity::{CommitError, Failure, Form, SpentId, TokenKey};
use jose::base64url;
use rules::assessment::{AskOwner, Asked, NoPolicy, Outcome, Question, assess, claim_of_person};
use rules::ticket::Process;
use rules::{AccessRequest, AnotherPerson, Policy, Resource, Rpt, Ticket};
use std::sync::Arc;
use types::token::{ContinuedProcess, TokenResponse};
use types::{ClientId, ErrorCode, GrantId, Refusal, ScopeSet};

/// What the token endpoint answers to this grant.
pub enum Answer {
    Token(TokenResponse),
    /// 403 with the next ticket.
    Continued(ContinuedProcess),
    /// 403 and the end: the ticket is spent, and there is no other.
    Denied(Refusal),
    /// The same, and the owner could be asked (protocol.md 1.2 `may_ask`).
    MayAsk(Refusal),
}

impl Answer {
    /// The same, and why something that was brought did not count.
    fn telling_of(mut self, another: Option<AnotherPerson>) -> Self {
        let Some(another) = another else { return self };
        match &mut self {
            Self::Continued(answer) => {
                let what = answer.error_description.take().unwrap_or_default();
                answer.error_description = Some(format!("{another}; {what}"));
            }
            Self::Denied(refusal) | Self::MayAsk(refusal) => refusal.description = format!("{another}; {}", refusal.description),
            // RFC 6749 5.1 has no place for it
            Self::Token(_) => {}
        }
        self
    }
}

/// What a ticket is about, and by what it is judged.
#[derive(Default)]
pub(super) struct Things {
    resources: Vec<(Arc<Resource>, ScopeSet)>,
    pub(super) policies: Arc<Vec<Arc<Policy>>>,
    /// They are shared in more ways than are judged at once: no policy was loaded.
    are_too_many: bool,
}

/// What was loaded for one assessment.
pub(super) struct Loaded {
    pub(super) things: Things,
    requests: Vec<AccessRequest>,
    /// What the owner was asked in this process is gone.
    gone: bool,
    link_version: i64,
    held: Option<(TokenKey, Rpt)>,
    /// The consent by which the client reaches what is the asking owner's own; none that she has ended.
    as_owner: Option<GrantId>,
}

fn invalid_request() -> Refusal {
    Refusal::new(ErrorCode::InvalidRequest, "send each parameter once")
}

pub(super) fn invalid_grant() -> Failure {
    Failure::Refused(Refusal::new(
        ErrorCode::InvalidGrant,
        "the ticket is unknown, used, expired or another client's: ask the resource server for a new one",
    ))
}

impl AuthorizationServer {
    /// Spends a ticket that came with some other parameter twice: what was asked with it, nobody can tell (RFC 6749 3.1;
    /// protocol.md 4). Another client's stays, and so do two that came as one.
    pub async fn spend_presented(&self, form: &Form, client: &ClientId) -> Result<(), Failure> {
        let [text] = form.all("ticket") else { return Ok(()) };
        let Some(ticket) = self.open_ticket(text).await? else { return Ok(()) };
        if ticket.check(client, self.now()).is_err() {
            return Ok(());
        }
        match self.burn(&ticket, invalid_request()).await {
            Ok(_) | Err(Failure::Refused(_)) => Ok(()),
            Err(unavailable) => Err(unavailable),
        }
    }

    /// Trades a ticket.
    pub async fn exchange_ticket(&self, request: &TokenRequest<'_>) -> Result<Answer, Failure> {
        let text = request.form.required("ticket")?;
        let ticket = self.open_ticket(text).await?.ok_or_else(invalid_grant)?;
        // whether it is spent, the commit will tell: every way from here ends in one
        ticket.check(&request.client.id, self.now()).map_err(|_| invalid_grant())?;
        let parameters = match self.check_request(request, &ticket).await {
            Ok(parameters) => parameters,
            Err(Failure::Refused(refusal)) => return self.burn(&ticket, refusal).await,
            Err(unavailable) => return Err(unavailable),
        };
        for tried in 0..RETRIES {
            match self.attempt(request, &ticket, text, &parameters, tried).await {
                Ok(Ok(answer)) => return Ok(answer),
                Ok(Err(CommitError::Changed | CommitError::UsedUp)) => {}
                Ok(Err(CommitError::Spent)) => {
                    // the ticket, or a claim token that another process brought meanwhile
                    if self.identity.store.is_spent(&spent(&ticket)).await? {
                        return self.replayed(&ticket).await;
                    }
                }
                Ok(Err(error)) => return Err(error.into()),
                Err(Failure::Refused(refusal)) => return self.burn(&ticket, refusal).await,
                Err(unavailable) => return Err(unavailable),
            }
        }
        Err(Failure::Unavailable("what the ticket names changes too fast".into()))
    }

    async fn check_request<'a>(&self, request: &'a TokenRequest<'_>, ticket: &Ticket) -> Result<Parameters<'a>, Failure> {
        let parameters = read_parameters(request)?;
        if let Some(resource) = parameters.resource
            && self.resource_server_id(&ticket.resource_server).await?.as_str() != resource
        {
            return Failure::refuse(
                ErrorCode::InvalidTarget,
                "the ticket is of another resource server than `resource`: do not use it",
            );
        }
        let stands = match ticket.signer {
            None => self.is_linked(&ticket.pat_grant).await?,
            Some(_) => self.identity.store.find_client(&ticket.resource_server).await?.is_some(),
        };
        if stands { Ok(parameters) } else { Err(invalid_grant()) }
    }

    /// Spends the ticket and refuses.
    async fn burn(&self, ticket: &Ticket, refusal: Refusal) -> Result<Answer, Failure> {
        let mut changes = Changes::of_identity(vec![spend(ticket)]);
        if ticket.stored {
            changes.writes.push(Write::DeleteProcess(ticket.process));
        }
        match self.store.commit(changes).await {
            Ok(()) => Err(refusal.into()),
            Err(CommitError::Spent) => self.replayed(ticket).await,
            Err(error) => Err(error.into()),
        }
    }

    /// A ticket that was used before (Grant 5.5): nothing is given, and if the operator wants it so,
    /// what was got with it ends.
    async fn replayed(&self, ticket: &Ticket) -> Result<Answer, Failure> {
        if self.settings.revoke_on_ticket_replay {
            let family = family_of(ticket);
            self.store.commit(Changes::of_identity(vec![identity::Write::EndFamily(family)])).await?;
        }
        Err(invalid_grant())
    }

    /// One round of load, decide, save. The outer error refuses; the inner one asks for another round.
    async fn attempt(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        text: &str,
        parameters: &Parameters<'_>,
        tried: usize,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let mut changes = Changes::of_identity(vec![spend(ticket)]);
        let mut process = match ticket.stored {
            // what is no longer kept was used up with the ticket, unless it ran out
            true => match self.find_process(ticket).await? {
                Some(process) => process,
                None if self.identity.store.is_spent(&spent(ticket)).await? => return Ok(Err(CommitError::Spent)),
                None => return Err(invalid_grant()),
            },
            false => Process { permissions: ticket.permissions.clone(), ..Process::default() },
        };
        if ticket.not_before.is_some_and(|from| self.now() < from) {
            return self.too_fast(request, ticket, process, changes).await;
        }
        process.wants_email |= parameters.disclose_email;
        process.asks_expressly |= parameters.ask_owner == AskOwner::Expressly;
        let asked = Presented { text, ticket, parameters };
        let taken = self.take_claims(request, &asked, &mut process, &mut changes).await?;
        let (gathered, pushed_now) = (taken.gathered, taken.pushed_now);
        check_confirmation(request, &process)?;
        let InTurn { loaded, _turn, _alone } = self.load_in_turn(request, ticket, &process, parameters, tried).await?;
        // it may have waited, and a word may have been taken back meanwhile
        if !self.stands_by_process(&process).await? {
            return Ok(Err(CommitError::Changed));
        }
        let outcome = self.decide(request, ticket, &process, parameters, &loaded).await?;
        self.rest_on(ticket, &loaded, &mut changes);
        let grounds = Grounds { request, ticket, process: &process, pushed_now, held: loaded.held, wanted: &parameters.scope };
        let answer = match outcome {
            Outcome::Granted { scopes, partial } => self.grant(&grounds, scopes, partial, &loaded.things.policies, changes).await,
            Outcome::NeedInfo { required } => self.need_info(request, ticket, gathered, required, changes).await,
            Outcome::Submitted { ask } => self.submitted(request, ticket, process, ask, parameters.owner_message, changes).await,
            Outcome::Denied => self.denied(request, ticket, &process, false, changes).await,
            Outcome::MayAsk => self.denied(request, ticket, &process, true, changes).await,
            Outcome::InvalidScope { scope } => Err(invalid_scope(scope).into()),
        };
        answer.map(|answer| answer.map(|answer| answer.telling_of(taken.another)))
    }

    pub(super) async fn load(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        parameters: &Parameters<'_>,
    ) -> Result<Loaded, Failure> {
        let link_version = self.store.find_link_version(&ticket.owner, &ticket.resource_server).await?;
        let things = self.load_things(ticket, process).await?;
        let key = AccessRequest::key(&ticket.owner, &request.client.id, &process.requesting_party);
        let mut requests: Vec<AccessRequest> = Vec::new();
        let mut gone = false;
        for id in &process.access_requests {
            match self.find_awaited(id, &key).await? {
                // two that were joined in one are looked at once
                Some(found) if requests.iter().any(|known| known.id == found.id) => {}
                Some(found) => requests.push(found),
                None => gone = true,
            }
        }
        let as_owner = match &process.as_owner {
            Some(consent) => self.find_owners_reach(consent).await?,
            None => None,
        };
        if process.requesting_party.is_known() {
            let remembered =
                |request: &AccessRequest| matches!(request.state, rules::access_request::State::Denied { remembered: true });
            let known: Vec<_> = requests.iter().map(|request| request.id.clone()).collect();
            let all = self.store.list_access_requests_by_key(&key).await?;
            requests.extend(all.into_iter().filter(|request| remembered(request) && !known.contains(&request.id)));
        }
        let held = match parameters.rpt {
            Some(text) => self.find_rpt_to_upgrade(text, ticket).await?,
            None => None,
        };
        let held = held.filter(|(_, rpt)| {
            rpt.client == request.client.id
                && rpt.owner == ticket.owner
                && rpt.resource_server == ticket.resource_server
                && rpt.requesting_party == process.requesting_party
                && rpt.cnf == request.jkt
                && rpt.by_own_id == ticket.signer.is_some()
        });
        Ok(Loaded { things, requests, gone, link_version, held, as_owner })
    }

    async fn load_things(&self, ticket: &Ticket, process: &Process) -> Result<Things, Failure> {
        let (mut things, mut judged_by) = (Things::default(), 0_usize);
        for permission in &process.permissions {
            let found = self.store.find_resource(&permission.resource_id).await?;
            let is_its = |resource: &Arc<Resource>| match ticket.signer {
                None => resource.belongs_to(&ticket.owner, &ticket.resource_server),
                Some(_) => resource.is_of(&ticket.owner, &ticket.resource_server),
            };
            let Some(resource) = found.filter(is_its) else { continue };
            if !things.are_too_many {
                let more = self.store.list_policies_on(&resource.id).await?;
                judged_by = judged_by.saturating_add(count_of(&more));
                match things.policies.is_empty() {
                    true => things.policies = more,
                    false => Arc::make_mut(&mut things.policies).extend(more.iter().cloned()),
                }
            }
            things.resources.push((resource, permission.resource_scopes.clone()));
            things.are_too_many |= check_policies(things.resources.len(), judged_by).is_err();
        }
        if things.are_too_many {
            things.policies = Arc::default();
        }
        if let Some(signer) = &ticket.signer {
            // nobody's tokens but that signer's are looked at
            let signed = |policy: &Arc<Policy>| policy.authority.as_ref().is_some_and(|authority| authority.is_of(signer));
            Arc::make_mut(&mut things.policies).retain(signed);
        }
        Ok(things)
    }

    async fn decide(
        &self,
        request: &TokenRequest<'_>,
        ticket: &Ticket,
        process: &Process,
        parameters: &Parameters<'_>,
        loaded: &Loaded,
    ) -> Result<Outcome, Failure> {
        // the client's own wishes are for each of the resources
        let wished = |resource: &Resource| parameters.scope.intersection(&resource.description.resource_scopes);
        let of = |(resource, scopes): &(Arc<Resource>, ScopeSet)| scopes.union(&wished(resource)).len();
        check_scopes(loaded.things.resources.iter().map(of).sum())?;
        let asked: Vec<Asked<'_>> =
            loaded.things.resources.iter().map(|(resource, ticket_scopes)| Asked { resource, ticket_scopes }).collect();
        let held = match &loaded.held {
            Some((_, rpt)) => self.standing_scopes(&rpt.scopes).await?,
            None => Vec::new(),
        };
        let require_authority = ticket.signer.is_some() || self.requires_authority(&ticket.owner).await?;
        if loaded.things.are_too_many && (require_authority || loaded.as_owner.is_none()) {
            // whoever is not known yet may be their owner, who gets in by no policy
            return match process.requesting_party.is_known() {
                true => Err(too_many_policies().into()),
                false => Ok(Outcome::NeedInfo { required: vec![claim_of_person()] }),
            };
        }
        let assessment = assess(&Question {
            client: &request.client.id,
            registered_scopes: &request.client.scope,
            requested_scopes: &parameters.scope,
            asked: &asked,
            requesting_party: &process.requesting_party,
            claims: &process.claims,
            policies: &loaded.things.policies,
            access_requests: &loaded.requests,
            held: &held,
            partial_grants: self.settings.partial_grants,
            // what is not signed cannot be asked for either: an approval is no token
            no_policy: if ticket.signer.is_some() { NoPolicy::Deny } else { self.no_policy_of(&ticket.owner).await? },
            ask_owner: if loaded.gone { AskOwner::Over } else { process.asks(parameters.ask_owner) },
            as_owner: loaded.as_owner.as_ref(),
            require_authority,
            jkt: request.jkt.as_deref(),
            now: self.now(),
        });
        Ok(assessment.outcome)
    }

    /// A decision is saved with what it rests on (threat 25).
    fn rest_on(&self, ticket: &Ticket, loaded: &Loaded, changes: &mut Changes) {
        for (resource, _) in &loaded.things.resources {
            changes.requires.push(Requirement::ResourceUnchanged { id: resource.id.clone(), version: resource.version });
        }
        for request in &loaded.requests {
            changes.requires.push(Requirement::AccessRequestUnchanged { id: request.id.clone(), version: request.version });
        }
        changes.requires.push(Requirement::LinkUnchanged {
            owner: ticket.owner.clone(),
            resource_server: ticket.resource_server.clone(),
            version: loaded.link_version,
        });
        let pat_grant = ticket.signer.is_none().then_some(&ticket.pat_grant);
        for consent in pat_grant.into_iter().chain(&loaded.as_owner) {
            changes.identity.requires.push(identity::Requirement::ConsentStands(consent.clone()));
        }
    }
}

/// A claim token that is confirmed to a key only counts with a proof of that key, and the RPT is
/// then bound to it: never a bearer RPT for a bound token (threat 3).
fn check_confirmation(request: &TokenRequest<'_>, process: &Process) -> Result<(), Failure> {
    match (&process.cnf, &request.jkt) {
        (Some(bound), Some(proven)) if bound == proven => Ok(()),
        (None, _) => Ok(()),
        _ => Failure::refuse(ErrorCode::InvalidDpopProof, "the claim token is bound to a key: send a DPoP proof by that key"),
    }
}

fn invalid_scope(scope: Option<types::Scope>) -> Refusal {
    Refusal::new(
        ErrorCode::InvalidScope,
        match scope {
            Some(scope) => format!("no resource of the ticket has the scope `{scope}`"),
            None => "nothing that the ticket and `scope` ask for is available".to_owned(),
        },
    )
}

pub(crate) fn spent_id(ticket: &Ticket) -> String {
    base64url::encode(ticket.spent_id())
}

/// All tokens that come of one process are one family.
pub(crate) fn family_of(ticket: &Ticket) -> String {
    base64url::encode(ticket.process)
}

/// Spent ids are kept an hour past expiry.
fn spent(ticket: &Ticket) -> SpentId {
    SpentId { kind: "ticket", issuer: String::new(), id: spent_id(ticket), expires: ticket.expires.plus(3600), made: None }
}

pub(crate) fn spend(ticket: &Ticket) -> identity::Write {
    identity::Write::Spend(spent(ticket))
}
