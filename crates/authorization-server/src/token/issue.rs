//! Issuing an RPT: the token, its refresh token, a PCT, the uses of limited policies and the event,
//! in the commit that spends the ticket (Grant 3.3.5).

use super::uma_ticket::{Answer, family_of};
use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::crowds::OpenGrant;
use crate::history_limits::{SaidGrant, Whom};
use crate::introspection::rests_on_owner;
use crate::permission::MAX_GRANTED_SCOPES;
use identity::token::{RefreshToken, Renewed, Renews, TokenRequest};
use identity::token_text::{self, TokenKind};
use identity::{CommitError, Failure, TokenKey, internal};
use jose::Algorithm;
use rules::rpt::{Basis, GrantedScope};
use rules::ticket::Process;
use rules::{Policy, Rpt, Ticket, rpt};
use serde_json::json;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::client::AccessTokenFormat;
use types::event::{EventKind, EventOutcome};
use types::token::TokenResponse;
use types::{PolicyId, ResourceId, ScopeSet, Timestamp};

/// JWT RPTs that would not fit into a header are opaque instead (threat 14).
const MAX_JWT_BYTES: usize = 6 * 1024;
/// Things of one grant that have a line each; what is beyond is one more.
const MOST_THINGS_TOLD: usize = 20;

/// What a grant rests on besides the decision.
pub(super) struct Grounds<'a> {
    pub request: &'a TokenRequest<'a>,
    pub ticket: &'a Ticket,
    pub process: &'a Process,
    pub pushed_now: bool,
    pub held: Option<(TokenKey, Rpt)>,
    /// What the client asked for besides what the ticket is of.
    pub wanted: &'a ScopeSet,
}

/// How an RPT came about.
struct Given<'a> {
    process: &'a Process,
    partial: bool,
    /// What it newly is for; what the client had before is in the RPT as well.
    scopes: &'a [GrantedScope],
    network: Option<&'a str>,
    /// What it was judged by, and what it rests on is among it.
    policies: &'a [Arc<Policy>],
}

/// A line of her history that says that somebody was let in.
pub(super) struct GrantLine {
    write: Write,
    said: SaidGrant,
}

impl AuthorizationServer {
    pub(super) async fn grant(
        &self,
        grounds: &Grounds<'_>,
        mut scopes: Vec<GrantedScope>,
        partial: bool,
        policies: &[Arc<Policy>],
        mut changes: Changes,
    ) -> Result<Result<Answer, CommitError>, Failure> {
        let now = self.now();
        let ticket = grounds.ticket;
        let client = grounds.request.client;
        let family = family_of(ticket);
        use_policies(&scopes, policies, &mut changes);
        end_uses(&mut scopes, policies, now.plus(self.settings.rpt_lifetime));
        let given = scopes.clone();
        let mut rpt = Rpt {
            client: client.id.clone(),
            owner: ticket.owner.clone(),
            resource_server: ticket.resource_server.clone(),
            pat_grant: ticket.pat_grant.clone(),
            requesting_party: grounds.process.requesting_party.clone(),
            email: grounds.process.disclosed_email.clone().filter(|_| grounds.process.wants_email),
            cnf: grounds.request.jkt.clone(),
            scopes,
            issued: now,
            expires: now.plus(self.settings.rpt_lifetime),
            family: family.clone(),
            by_own_id: ticket.signer.is_some(),
            jti: None,
        };
        let upgraded = self.merge_held(grounds, &mut rpt, &mut changes).await?;
        let (text, keep) = self.new_rpt(&rpt, client.access_token_format).await?;
        changes.writes.push(keep);
        let mut response = self.rpt_response(text, &rpt).await?;
        response.upgraded = upgraded.then_some(true);
        if self.settings.extensions {
            response.scopes_not_granted = grounds.wanted.difference(&rpt.scopes.iter().map(|one| one.scope.clone()).collect());
        }
        if client.may_use("refresh_token") {
            let (text, _, keep) = self.identity.new_refresh_token(rpt.owner.as_str(), self.refresh_of(grounds, &rpt)?)?;
            response.refresh_token = Some(text);
            changes.identity.writes.push(keep);
        }
        if grounds.process.keep_claims || (grounds.pushed_now && client.may_push_claims) {
            let (text, keep) = self.new_pct(client, grounds.process, ticket)?;
            response.pct = Some(text);
            changes.writes.push(keep);
        }
        if ticket.stored {
            changes.writes.push(Write::DeleteProcess(ticket.process));
        }
        let kind = if upgraded { EventKind::RptUpgraded } else { EventKind::RptIssued };
        let network = grounds.request.network.as_deref();
        let given = Given { process: grounds.process, partial, scopes: &given, network, policies };
        let lines = self.lines_of_grant(&rpt, kind, &given).await?;
        Ok(self.commit_with_lines(changes, lines).await.map(|()| Answer::Token(response)))
    }

    /// Permissions of the RPT that was sent along go on in the new one, and the old one ends.
    async fn merge_held(&self, grounds: &Grounds<'_>, new: &mut Rpt, changes: &mut Changes) -> Result<bool, Failure> {
        let Some((key, old)) = grounds.held.as_ref().filter(|(_, old)| old.merges_with(new)) else { return Ok(false) };
        let standing = self.standing_scopes(&old.scopes).await?;
        if standing.len().saturating_add(new.scopes.len()) > MAX_GRANTED_SCOPES {
            // what is too much for one token stays in two
            return Ok(false);
        }
        new.scopes = rpt::merge(standing, std::mem::take(&mut new.scopes));
        // the same person let the same resource server see it, by the same client
        new.email = new.email.take().or_else(|| old.email.clone());
        changes.requires.push(crate::Requirement::RptThere(key.clone()));
        changes.writes.push(Write::DeleteRpt { owner: old.owner.clone(), key: key.clone() });
        Ok(true)
    }

    fn refresh_of(&self, grounds: &Grounds<'_>, rpt: &Rpt) -> Result<RefreshToken, Failure> {
        Ok(RefreshToken {
            client: rpt.client.clone(),
            renews: Renews::Other(Renewed::of(rpt).map_err(internal)?),
            cnf: rpt.cnf.clone().filter(|_| grounds.request.client.is_public()),
            bound: rpt.cnf.is_some(),
            family: rpt.family.clone(),
            expires: self.now().plus(self.identity.settings.refresh_token_lifetime),
            issued: Some(self.now()),
            rotated: None,
            superseded: false,
            predecessor: None,
        })
    }

    /// The text of an RPT in the form that the client is registered for, and the change that keeps it.
    pub(super) async fn new_rpt(&self, rpt: &Rpt, format: AccessTokenFormat) -> Result<(String, Write), Failure> {
        let id = self.identity.mint(TokenKind::Rpt, rpt.owner.as_str(), rpt.expires);
        let key = token_text::key_of(TokenKind::Rpt, &id).ok_or_else(|| internal("a new token does not parse"))?;
        let mut kept = Rpt { jti: None, ..rpt.clone() };
        if format == AccessTokenFormat::Jwt && self.take_room_for_signed(&rpt.owner, &rpt.resource_server).await? {
            let jwt = self.rpt_as_jwt(rpt, &id).await?;
            if jwt.len() <= MAX_JWT_BYTES {
                kept.jti = Some(id);
                return Ok((jwt, Write::PutRpt(key, kept)));
            }
        }
        Ok((id, Write::PutRpt(key, kept)))
    }

    /// An RFC 9068 access token with `permissions` (protocol.md 4).
    async fn rpt_as_jwt(&self, rpt: &Rpt, id: &str) -> Result<String, Failure> {
        let (left, permissions) = self.standing_permissions(rpt).await?;
        let mut claims = json!({
            "iss": self.issuer(), "aud": self.resource_server_id(&rpt.resource_server).await?, "sub": self.pairwise_subject(rpt),
            "client_id": rpt.client, "iat": rpt.issued, "exp": rpt.expires, "jti": id,
            "permissions": permissions,
        });
        if let Some(object) = claims.as_object_mut() {
            object.extend(rpt.cnf.as_ref().map(|jkt| ("cnf".to_owned(), json!({"jkt": jkt}))));
            object.extend(rpt.email.as_ref().map(|email| ("email".to_owned(), json!(email))));
            // as introspection says it
            object.extend(left.iter().any(rests_on_owner).then(|| ("_is_owner".to_owned(), json!(true))));
        }
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, self.now())?;
        key.sign("at+jwt", &claims).map_err(internal)
    }

    pub(super) async fn rpt_response(&self, text: String, rpt: &Rpt) -> Result<TokenResponse, Failure> {
        let server = self.identity.store.find_client(&rpt.resource_server).await?;
        Ok(TokenResponse {
            access_token: text,
            token_type: identity::token::token_type(rpt.cnf.as_ref()),
            expires_in: Some(self.now().until(rpt.expires)),
            refresh_token: None,
            scope: None,
            id_token: None,
            pct: None,
            upgraded: None,
            resource: server.and_then(|server| server.resource.clone()),
            scopes_not_granted: ScopeSet::new(),
        })
    }

    /// Her history's lines of what was given: of each thing one, unless the same was said again and again.
    async fn lines_of_grant(&self, rpt: &Rpt, kind: EventKind, given: &Given<'_>) -> Result<Vec<GrantLine>, Failure> {
        let mut things: BTreeMap<&ResourceId, Vec<&GrantedScope>> = BTreeMap::new();
        for granted in given.scopes {
            things.entry(&granted.resource).or_default().push(granted);
        }
        let mut lines = Vec::new();
        let mut things = things.into_iter();
        for (thing, scopes) in things.by_ref().take(MOST_THINGS_TOLD) {
            lines.extend(self.line_of_rpt(rpt, kind, Some(thing), &scopes, Some(given)).await?);
        }
        let rest: Vec<&GrantedScope> = things.flat_map(|(_, scopes)| scopes).collect();
        if !rest.is_empty() {
            lines.extend(self.line_of_rpt(rpt, kind, None, &rest, Some(given)).await?);
        }
        Ok(lines)
    }

    /// Whether these rest on nothing but what is open to everybody. `judged_by` are policies that were read already.
    async fn is_open_to_all(&self, scopes: &[&GrantedScope], judged_by: &[Arc<Policy>]) -> Result<bool, Failure> {
        let mut known = BTreeSet::new();
        for basis in scopes.iter().flat_map(|granted| &granted.basis) {
            let Basis::Policy { id, .. } = basis else { return Ok(false) };
            if !known.insert(id) {
                continue;
            }
            let names_somebody = match judged_by.iter().find(|policy| policy.id == *id) {
                Some(policy) => policy.names_somebody(),
                None => self.store.find_policy(id).await?.is_none_or(|policy| policy.names_somebody()),
            };
            if names_somebody {
                return Ok(false);
            }
        }
        Ok(!known.is_empty())
    }

    /// What was not written of crowds, a line for each thing. Called by the wiring.
    pub async fn tell_crowds(&self) -> Result<(), Failure> {
        for crowd in self.crowds.take_untold(self.now()) {
            let mut event = self.event(&crowd.owner, EventKind::RptIssued);
            event.document.resource_server = Some(self.resource_server_id(&crowd.resource_server).await?);
            event.document.resource_id = Some(crowd.resource);
            event.document.scopes = crowd.scopes;
            event.document.outcome = Some(EventOutcome::Granted);
            event.document.claims =
                types::event::Crowd { different: crowd.different, times: crowd.times, of_one_network: crowd.of_one_network }
                    .to_claims();
            self.store.commit(Changes::of(vec![Write::AppendEvent(event)])).await?;
        }
        Ok(())
    }

    /// That an RPT goes on, or was given back: nothing of it is new.
    pub(super) async fn line_of_known(&self, rpt: &Rpt, kind: EventKind) -> Result<Vec<GrantLine>, Failure> {
        let first = rpt.scopes.first().map(|granted| &granted.resource);
        let only = first.filter(|first| rpt.scopes.iter().all(|granted| granted.resource == **first));
        let line = self.line_of_rpt(rpt, kind, only, &rpt.scopes.iter().collect::<Vec<_>>(), None).await?;
        Ok(line.into_iter().collect())
    }

    async fn line_of_rpt(
        &self,
        rpt: &Rpt,
        kind: EventKind,
        thing: Option<&ResourceId>,
        scopes: &[&GrantedScope],
        given: Option<&Given<'_>>,
    ) -> Result<Option<GrantLine>, Failure> {
        // an application of nobody is nobody else's: what another one does says nothing of it
        let person = match rpt.requesting_party.is_known() {
            true => serde_json::to_string(&rpt.requesting_party.person()).map_err(internal)?,
            false => format!("nobody, with {}", rpt.client),
        };
        let whom = Whom { application: rpt.client.as_str(), person: &person };
        let what = scopes.iter().map(|granted| format!("{kind:?} {} {}", granted.resource, granted.scope));
        let mut planned = self.history_limits.grants.plan(&rpt.owner, whom, what, self.now());
        if let Some(resource) = thing
            && self.is_open_to_all(scopes, given.map_or(&[], |given| given.policies)).await?
        {
            let (owner, resource_server, network) = (&rpt.owner, &rpt.resource_server, given.and_then(|given| given.network));
            let scopes = scopes.iter().map(|granted| granted.scope.clone()).collect::<ScopeSet>();
            let said = &format!("{kind:?} {} {person} {scopes}", rpt.client);
            let may_say_again = planned.is_some();
            let grant = OpenGrant { owner, resource_server, resource, scopes, said, may_say_again, network };
            planned = planned.filter(|_| self.crowds.admit(&grant, self.now()));
        }
        let Some(said) = planned else { return Ok(None) };
        let mut event = self.event(&rpt.owner, kind);
        event.document.client_id = Some(rpt.client.clone());
        event.document.resource_server = Some(self.resource_server_id(&rpt.resource_server).await?);
        event.document.name_things(scopes.iter().map(|granted| &granted.resource));
        event.document.scopes = scopes.iter().map(|granted| granted.scope.clone()).collect::<ScopeSet>();
        event.document.policy_id = scopes.iter().flat_map(|granted| &granted.basis).find_map(|basis| match basis {
            Basis::Policy { id, .. } => Some(id.clone()),
            Basis::Approval { .. } | Basis::Owner { .. } | Basis::FormerOwner => None,
        });
        event.document.claims = given.map(|given| given.process.claims.to_object()).unwrap_or_default();
        let partial = given.is_some_and(|given| given.partial);
        event.document.outcome = Some(if partial { EventOutcome::Partial } else { EventOutcome::Granted });
        Ok(Some(GrantLine { write: Write::AppendEvent(event), said }))
    }

    /// Commits what gives or ends an RPT, with its lines, which count where they were written.
    pub(super) async fn commit_with_lines(&self, mut changes: Changes, lines: Vec<GrantLine>) -> Result<(), CommitError> {
        let (writes, said): (Vec<Write>, Vec<SaidGrant>) = lines.into_iter().map(|line| (line.write, line.said)).unzip();
        changes.writes.extend(writes);
        self.store.commit(changes).await?;
        for one in said {
            self.history_limits.grants.count(one, self.now());
        }
        Ok(())
    }
}

/// One use of each limited policy that the grant rests on, counted by the store so that no race
/// goes past the limit.
fn use_policies(scopes: &[GrantedScope], policies: &[Arc<Policy>], changes: &mut Changes) {
    let used: BTreeSet<&PolicyId> = scopes
        .iter()
        .flat_map(|granted| &granted.basis)
        .filter_map(|basis| if let Basis::Policy { id, .. } = basis { Some(id) } else { None })
        .collect();
    for policy in policies.iter().filter(|policy| used.contains(&policy.id)) {
        if let Some(at_most) = policy.max_uses {
            changes.writes.push(Write::Use { policy: policy.id.clone(), at_most });
        }
    }
}

/// A use lasts as long as the RPT that it gave (docs/decisions/0057): a refresh is no use (protocol.md 1.2), and prolongs none.
fn end_uses(scopes: &mut [GrantedScope], policies: &[Arc<Policy>], end: Timestamp) {
    let limited: BTreeSet<&PolicyId> = policies.iter().filter(|one| one.max_uses.is_some()).map(|one| &one.id).collect();
    for basis in scopes.iter_mut().flat_map(|granted| &mut granted.basis) {
        if let Basis::Policy { id, expires_at, .. } = basis
            && limited.contains(id)
        {
            *expires_at = Some(expires_at.map_or(end, |own| own.min(end)));
        }
    }
}
