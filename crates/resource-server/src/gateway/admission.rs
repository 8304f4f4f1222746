//! Whether a call may pass, and under whose protection (protocol.md 2.1): its token is judged by what is registered of
//! the resource, at whichever authorization server the owner put it; without a token that suffices, one of these
//! gives a ticket.

use super::authority::At;
use super::brought::Servers;
use super::browser::{Lacks, LacksAt, OfSession};
use super::forward_auth::AskedBefore;
use super::history::{Noted, Outcome};
use super::peer::Peer;
use super::questions::{Asks, Looks};
use super::store::Registered;
use super::strangers::{Asker, missing};
use super::told::Destination;
use super::{Gateway, Wanted, givers, path, route};
use crate::challenge::{asking_for_proof, without_ticket};
use crate::guard::{Need, Presented, Under, Verdict};
use crate::protection::ProtectionError;
use axum::response::Response;
use http::HeaderValue;
use http::request::Parts;
use std::sync::{Arc, OnceLock};
use std::time::Instant;
use types::OwnResourceId;
use types::introspection::Introspection;
use types::peer::Caller;

/// By which a client says whose ticket it wants.
const CHOSEN: &str = "authorization-server";

/// How often a call follows a resource that moves under it.
const CHANGES: usize = 3;

/// A call that was let in: what it needed, by the gateway's own ids, and who vouched for it.
#[derive(Clone)]
pub(super) struct Admitted {
    pub(super) owner: String,
    pub(super) needs: Arc<[Need]>,
    pub(super) issuer: String,
    /// What it says of the token.
    pub(super) answer: Arc<Introspection>,
    pub(super) caller: Option<Caller>,
    /// Whether the call may change something, by its method.
    pub(super) is_change: bool,
}

impl Admitted {
    pub(super) fn noted(&self) -> Noted<'_> {
        let Self { owner, needs, issuer, answer, is_change, .. } = self;
        Noted { owner, needs, issuer, answer: Some(answer), is_change: *is_change }
    }
}

/// What came of a call's token.
enum Judged {
    Fits(Admitted),
    Unfit,
    /// It would do, by a proof of its key.
    Unproven,
}

/// What guards a resource.
pub(super) type Guarding = Arc<Vec<Registered>>;

/// What a call is about.
pub(super) struct Call<'a> {
    pub(super) wanted: &'a Wanted,
    pub(super) needs: &'a Arc<[Need]>,
    pub(super) presented: Presented<'a>,
    /// The authorization server that the client names.
    pub(super) chosen: Option<&'a str>,
    /// Who gave the token, where a session of this gateway holds it: nobody else is asked about it.
    pub(super) giver: Option<&'a str>,
    /// By resource, what guards it.
    pub(super) guarding: Vec<Guarding>,
    pub(super) caller: Option<Caller>,
    /// Whether what comes of it is written down.
    pub(super) is_noted: bool,
    /// By what its token is remembered, once somebody asked.
    token_key: OnceLock<[u8; 32]>,
}

impl Call<'_> {
    /// Of what guards it, each once.
    pub(super) fn issuers(&self) -> Vec<String> {
        let mut known: Vec<&str> = Vec::new();
        for one in self.registered() {
            if !known.contains(&one.issuer.as_str()) {
                known.push(&one.issuer);
            }
        }
        known.into_iter().map(str::to_owned).collect()
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.presented.authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim())
    }

    pub(super) fn token_key(&self) -> Option<&[u8; 32]> {
        self.token().map(|token| self.token_key.get_or_init(|| givers::key_of(token)))
    }

    fn is_change(&self) -> bool {
        !route::is_reading(self.presented.method)
    }

    fn registered(&self) -> impl Iterator<Item = &Registered> {
        self.guarding.iter().flat_map(|guarding| guarding.iter())
    }
}

fn away(owner: &str, error: &ProtectionError) -> Box<Response> {
    // who is away or busy is told once in a while, and not for each stranger's call; what is not linked yet is no fault
    if !matches!(error, ProtectionError::Unreachable | ProtectionError::Busy | ProtectionError::Unlinked) {
        tracing::warn!(%error, owner, "no ticket can be had");
    }
    Box::new(without_ticket(error))
}

impl Gateway {
    /// Nobody guards this yet: its owner, and whoever reads the log, hear where that begins.
    fn unlinked(&self, owner: &str, path: &path::CanonicalPath) -> Box<Response> {
        let link = format!("{}/.wayleave/link", self.settings.resource);
        if self.unlinked.is_new(owner) {
            let owner: String = form_urlencoded::byte_serialize(owner.as_bytes()).collect();
            tracing::warn!("nothing of an owner who has not linked a server is let through: she begins at {link}?owner={owner}");
        }
        let to: String = form_urlencoded::byte_serialize(path.encoded().as_bytes()).collect();
        let mut answer = Box::new(without_ticket(&ProtectionError::Unlinked));
        *answer.body_mut() =
            format!("Its owner has not linked it with an authorization server. She does so at {link}?for={to}\n").into();
        answer
    }
}

impl Gateway {
    /// Lets the call pass, or gives the answer that goes back.
    pub(super) async fn admit(
        self: &Arc<Self>,
        parts: &Parts,
        path: &path::CanonicalPath,
        wanted: &Wanted,
    ) -> Result<Admitted, Box<Response>> {
        let text = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
        // RFC 9449 4.3: a proof is for the URL that was called, in whichever way it was written
        let url = format!("{}{}", self.settings.resource, parts.uri.path());
        let presented =
            Presented { authorization: text("authorization"), dpop: text("dpop"), method: parts.method.as_str(), url: &url };
        let asker = Asker::of(parts);
        let guarding = self.guarding_all(wanted, path, asker).await?;
        let (caller, is_noted) = (asker.caller, parts.extensions.get::<AskedBefore>().is_none());
        let (needs, chosen) = (&wanted.needs, text(CHOSEN));
        let giver = parts.extensions.get::<OfSession>().map(|session| session.issuer.as_str());
        let mut call = Call { wanted, needs, presented, chosen, giver, guarding, caller, is_noted, token_key: OnceLock::new() };
        let is_unproven = match self.judge(&call, call.issuers()).await? {
            Judged::Fits(admitted) => return Ok(admitted),
            judged => matches!(judged, Judged::Unproven),
        };
        for _ in 0..CHANGES {
            // what most calls need not is boxed: they would carry its room with them
            let error = match Box::pin(self.challenge(&call)).await {
                Ok(challenge) if is_unproven => return Err(Box::new(asking_for_proof(*challenge))),
                Ok(mut challenge) => {
                    let (owner, needs) = (wanted.owner.clone(), wanted.needs.clone());
                    challenge.extensions_mut().insert(Lacks { owner, needs, at: LacksAt::Path });
                    return Err(challenge);
                }
                Err(error) => error,
            };
            // it may have moved while it was asked for: then the server that has it now is asked
            let now = self.guarding_all(wanted, path, asker).await?;
            if now == call.guarding {
                return Err(match error {
                    ProtectionError::Unlinked => self.unlinked(&wanted.owner, path),
                    error => away(&wanted.owner, &error),
                });
            }
            call.guarding = now;
        }
        Err(away(&wanted.owner, &ProtectionError::Unreachable))
    }

    /// What guards all that is needed; a server whose application acts for the owner no more guards nothing.
    pub(super) async fn guarding_all(
        &self,
        wanted: &Wanted,
        path: &path::CanonicalPath,
        asker: Asker<'_>,
    ) -> Result<Vec<Guarding>, Box<Response>> {
        for _ in 0..CHANGES {
            let guarding = Box::pin(self.guarding_each(wanted, path, asker)).await?;
            match self.check_servers(&wanted.owner, &guarding).await {
                Ok(Servers::Guard { all_but }) => return Ok(Servers::leave(&all_but, guarding)),
                Ok(Servers::Lost) => {}
                Err(error) => return Err(away(&wanted.owner, &error.into())),
            }
        }
        Err(away(&wanted.owner, &ProtectionError::Unreachable))
    }

    async fn guarding_each(
        &self,
        wanted: &Wanted,
        path: &path::CanonicalPath,
        asker: Asker<'_>,
    ) -> Result<Vec<Guarding>, Box<Response>> {
        let mut guarding = Vec::with_capacity(wanted.needs.len());
        for need in &*wanted.needs {
            guarding.push(self.guarding(wanted, &OwnResourceId::new(need.resource.as_str()), path, asker).await?);
        }
        Ok(guarding)
    }

    async fn find_guarding_now(&self, owner: &str, own_id: &OwnResourceId) -> Result<Guarding, ProtectionError> {
        let all = self.store.registrations(owner, own_id).await?;
        let guards = |one: &Registered| one.guards() && self.is_trusted(&one.issuer);
        Ok(match all.iter().all(guards) {
            true => all,
            false => Arc::new(all.iter().filter(|one| guards(one)).cloned().collect()),
        })
    }

    /// What guards a resource. What the owner has not placed is registered where she linked first.
    pub(super) async fn guarding(
        &self,
        wanted: &Wanted,
        own_id: &OwnResourceId,
        path: &path::CanonicalPath,
        asker: Asker<'_>,
    ) -> Result<Guarding, Box<Response>> {
        let unreadable = |error: ProtectionError| away(&wanted.owner, &error);
        let guarding = self.find_guarding_now(&wanted.owner, own_id).await.map_err(unreadable)?;
        // her opinion is read from the store: not for each call to what is guarded
        if !guarding.is_empty() {
            return Ok(guarding);
        }
        let opinion = self.store.find_opinion(&wanted.owner, own_id).await.map_err(|error| unreadable(error.into()))?;
        if opinion.placed {
            return Ok(guarding);
        }
        if !self.backend.exists(path).await.map_err(unreadable)? {
            return Err(missing());
        }
        // until she links, what she signed alone can pass; what is no owner's PAT registers nothing
        let issuer = match Box::pin(self.find_place_for_new(&wanted.owner)).await {
            Ok(Some(issuer)) => issuer,
            Ok(None) | Err(ProtectionError::Unreachable) => return Ok(guarding),
            Err(error) => return Err(unreadable(error)),
        };
        // what was tried a moment ago is not tried, and so uses nothing up; whoever tries just now is waited for
        if self.backlog.attempts.is_early(&wanted.owner, own_id, Instant::now()) {
            self.operation_ends(&wanted.owner, own_id).await;
            return self.find_guarding_now(&wanted.owner, own_id).await.map_err(unreadable);
        }
        let counted = Box::pin(self.check_stranger(wanted, path, asker)).await?;
        let error = match Box::pin(self.register_by_itself(&wanted.owner, own_id, &issuer)).await {
            Ok(registered) => return Ok(Arc::new(vec![registered])),
            Err(error) => error,
        };
        match error {
            // who did not answer, and what could not be kept, say nothing about this resource and whoever calls
            ProtectionError::Store | ProtectionError::Unreachable | ProtectionError::Later(_) | ProtectionError::Busy => {
                self.strangers.give_back_all(counted);
            }
            _ => self.strangers.give_back(counted),
        }
        if error == ProtectionError::Store {
            return Err(unreadable(error));
        }
        tracing::warn!(%error, owner = wanted.owner, %own_id, "a resource cannot be registered");
        Ok(guarding)
    }

    async fn judge(self: &Arc<Self>, call: &Call<'_>, issuers: Vec<String>) -> Result<Judged, Box<Response>> {
        let (mut failed, mut judged) = (None, Judged::Unfit);
        if call.presented.authorization.is_none() {
            return Ok(judged);
        }
        let issuers = self.issuers_to_ask(call, issuers).await.map_err(|error| away(&call.wanted.owner, &error))?;
        // while it is open whose the token is, whoever an owner brought may be asked, and else only where the call names it
        let mut is_open = true;
        for issuer in issuers {
            if !is_open && !self.is_listed(&issuer) && call.chosen != Some(issuer.as_str()) {
                continue;
            }
            let peer = match self.peer(&issuer).await {
                Ok(peer) => peer,
                Err(error) => {
                    (failed, is_open) = (Some(error), false);
                    continue;
                }
            };
            let verdict = self.judge_at(call, &peer).await;
            // one that could not be asked may have given it
            is_open &= verdict == Verdict::Unknown;
            let is_known = matches!(verdict, Verdict::Insufficient | Verdict::Unproven | Verdict::Allowed(_));
            let is_asked_about = is_known && !peer.guard.asks_nobody(&call.presented);
            if let Some(key) = is_asked_about.then(|| call.token_key()).flatten() {
                self.note_giver(key, &issuer);
            }
            match verdict {
                Verdict::Allowed(answer) => {
                    let (owner, needs, caller) = (call.wanted.owner.clone(), call.needs.clone(), call.caller);
                    let is_change = call.is_change();
                    return Ok(Judged::Fits(Admitted { owner, needs, issuer, answer, caller, is_change }));
                }
                Verdict::Unknown | Verdict::Insufficient => failed = None,
                Verdict::Unproven => (failed, judged) = (None, Judged::Unproven),
                // nobody else's word helps where the owner's own cannot be read
                Verdict::Failed(error @ ProtectionError::Store) => return Err(away(&call.wanted.owner, &error)),
                Verdict::Failed(error) => failed = Some(error),
            }
            // of two servers one gave it, and of one that the operator lists that is believed
            if is_known && self.is_listed(&issuer) {
                break;
            }
        }
        // who could not be asked about the token is not asked for a ticket either
        match failed {
            // it may well be good: whoever brings it comes again
            Some(error @ ProtectionError::Busy) => Err(away(&call.wanted.owner, &error)),
            Some(error)
                if call.registered().all(|one| call.registered().next().is_some_and(|first| first.issuer == one.issuer)) =>
            {
                Err(away(&call.wanted.owner, &error))
            }
            _ => Ok(judged),
        }
    }

    async fn judge_at(self: &Arc<Self>, call: &Call<'_>, peer: &Arc<Peer>) -> Verdict {
        let owner = call.wanted.owner.as_str();
        let at = At::new(self, owner, peer.issuer(), call.needs);
        let linked = match self.is_linked(owner, peer.issuer()).await {
            Ok(linked) => linked,
            Err(error) => return Verdict::Failed(error),
        };
        let (guard, pats) = if linked { (&peer.guard, &peer.pats) } else { (&peer.unlinked, &peer.no_pats) };
        let asks = Asks::new(self, peer.issuer(), call.caller);
        let under = Under { protection: &peer.protection, pats, owner, narrow: Some(&at), line: Some(&asks) };
        let kept = match self.kept_link(owner, peer.issuer()).await {
            Ok(kept) => kept,
            Err(error) => return Verdict::Failed(error),
        };
        let judge = || async {
            // it is handed on a few times, and each time it would be moved, and room for it be kept twice
            let asked = Box::pin(async {
                match guard.judge(&under, &call.presented, call.needs).await {
                    Verdict::Failed(error) => Err(error),
                    verdict => Ok(verdict),
                }
            });
            // a server that lets somebody wait for a ticket says nothing about a token that is judged here
            if guard.asks_nobody(&call.presented) {
                return asked.await.unwrap_or_else(Verdict::Failed);
            }
            let destination = Destination { owner: owner.to_owned(), issuer: peer.issuer().to_owned() };
            let asked = self.asking_about_token_in_line(&destination, asks.waited(), asked).await;
            asked.unwrap_or_else(Verdict::Failed)
        };
        let mut verdict = judge().await;
        if verdict == Verdict::Failed(ProtectionError::Unauthorized) {
            // it may have been renewed since, and refused all the same
            let used = asks.take_pat();
            let refused = used.as_deref().or(kept.as_ref().map(|link| link.access_token.as_str())).unwrap_or_default();
            match Box::pin(self.renew_pat(owner, peer.issuer(), refused)).await {
                Ok(true) => verdict = Box::pin(judge()).await,
                Ok(false) => {}
                Err(error) => verdict = Verdict::Failed(error),
            }
        }
        match &verdict {
            Verdict::Unknown | Verdict::Insufficient if call.is_noted => {
                let (seen, why) = at.refusal();
                let (needs, issuer, is_change) = (call.needs, peer.issuer(), call.is_change());
                let noted = Noted { owner, needs, issuer, answer: seen.as_ref(), is_change };
                self.note(&noted, Outcome::Refused, why);
            }
            // whether it is let in is not decided yet
            Verdict::Unknown | Verdict::Insufficient | Verdict::Allowed(_) | Verdict::Unproven | Verdict::Failed(_) => {}
        }
        verdict
    }

    /// Whether a call that was let in may go on.
    pub(super) async fn still_allows(self: &Arc<Self>, admitted: &Admitted, token: &HeaderValue) -> bool {
        let (Ok(peer), Ok(token)) = (self.peer(&admitted.issuer).await, token.to_str()) else { return false };
        let at = At::new(self, &admitted.owner, &admitted.issuer, &admitted.needs);
        // what a server guards whose application was let go ends with it, and not by that server's word
        let Ok(link) = self.store.find_link(&admitted.owner, peer.issuer()).await else { return false };
        if !self.counts(&admitted.owner, link.as_ref().and_then(|link| link.by.as_ref())).await {
            return false;
        }
        let Ok(linked) = self.is_linked(&admitted.owner, peer.issuer()).await else { return false };
        let (guard, pats) = if linked { (&peer.guard, &peer.pats) } else { (&peer.unlinked, &peer.no_pats) };
        let looks = Looks(admitted.caller);
        let under = Under { protection: &peer.protection, pats, owner: &admitted.owner, narrow: Some(&at), line: Some(&looks) };
        guard.still_allows(&under, token, &admitted.needs).await
    }
}
