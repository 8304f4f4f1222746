//! Changes by a session (design/browser.md, *Unsafe methods*). A visit asks for what opening takes; where a call of a page of
//! ours takes more, it is traded for by what she is known for, without asking anybody, and the call is judged again. Its
//! body is not read before it is let in. What could not be had is remembered for a minute.

use super::super::Gateway;
use super::super::passage::Refused;
use super::navigation::{self, is_form};
use super::pages::Changing;
use super::session::{Grant, Held, Session, Why};
use super::trade::{Asks, Outcome, Trade};
use super::visit::{Way, read_to, to_of};
use super::{Hint, Next, refused_to_session};
use crate::challenge::{plain, without_ticket};
use crate::guard::Need;
use crate::protection::ProtectionError;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode, Uri, header};
use jose::{base64url, digest};
use std::sync::Arc;

/// How often one call is judged: as it came, after each trade, and where others changed what the session holds meanwhile.
const MOST_ROUNDS: usize = 4;
/// What one call takes: of its own path, and of where it leads.
const MOST_TRADES: usize = 2;

/// Goes with an answer to a call: what that lacks.
#[derive(Clone)]
pub(in super::super) struct Lacks {
    pub(in super::super) owner: String,
    pub(in super::super) needs: Arc<[Need]>,
    pub(in super::super) at: LacksAt,
}

/// What of a call is lacking.
#[derive(Clone)]
pub(in super::super) enum LacksAt {
    /// Its own path: the answer brings a ticket.
    Path,
    /// Where it leads: this server gives a ticket, once something is to be traded.
    Destination { issuer: String },
}

impl Lacks {
    /// The same for each call that takes the same, in so many bytes.
    fn name(&self) -> String {
        let mut text = self.owner.clone();
        for need in &*self.needs {
            text = format!("{text}\0{}\0{}", need.resource, need.scopes);
        }
        base64url::encode(digest::sha256(&[text.as_bytes()]))
    }
}

/// What was done so that a call passes.
#[derive(Default)]
pub(in super::super) struct Attempts {
    rounds: usize,
    /// Names of what was traded for.
    traded: Vec<String>,
}

/// What is to be traded for.
#[derive(Clone, Copy)]
struct Wish<'a> {
    way: &'a Way,
    lacks: &'a Lacks,
    /// The name of what is lacking.
    what: &'a str,
    /// None: it is to be had.
    ticket: Option<&'a str>,
}

/// Why a session does not suffice.
enum Denied {
    Because(Why),
    /// Her owner was asked: a server that knows no `ask_owner` does so.
    Waits(Box<Session>),
    Failed(ProtectionError),
}

/// Where a page says whether she may send a form to a path, before that path.
const FORM_PLACE: &str = "/.wayleave/visit?method=POST&to=";

pub(super) fn place_of(to: &str) -> String {
    let to: String = form_urlencoded::byte_serialize(to.as_bytes()).collect();
    format!("{FORM_PLACE}{to}")
}

/// The path that such a page is about.
pub(super) fn form_of(place: &str) -> Option<String> {
    let encoded = place.strip_prefix(FORM_PLACE)?;
    form_urlencoded::parse(format!("to={encoded}").as_bytes()).next().map(|(_, to)| to.into_owned())
}

/// The method of a form, if one is named: browsers send forms by no other.
pub(super) fn is_about_form(pairs: &[(String, String)]) -> bool {
    pairs.iter().any(|(name, value)| name == "method" && value == "POST")
}

impl Gateway {
    /// What follows for a call, and no navigation, that a session did not suffice for.
    pub(in super::super) async fn widen(
        self: &Arc<Self>,
        parts: &Parts,
        held: Held,
        refused: Refused,
        attempts: &mut Attempts,
    ) -> Next {
        let page = |response: Response| Next::Page(Box::new(response));
        let lacks = refused.answer.extensions().get::<Lacks>().cloned();
        let challenge = Hint::of(&refused).challenge;
        let found = lacks.and_then(|lacks| {
            let (issuer, ticket) = match (&lacks.at, challenge) {
                (LacksAt::Destination { issuer }, _) => (issuer.clone(), None),
                (LacksAt::Path, challenge) => challenge.map(|challenge| (challenge.as_uri, Some(challenge.ticket)))?,
            };
            Some((lacks, issuer, ticket))
        });
        let Some((lacks, issuer, ticket)) = found else {
            return page(refused_to_session(parts, *refused.answer));
        };
        attempts.rounds = attempts.rounds.saturating_add(1);
        let (to, what) = (place_of(&to_of(parts)), lacks.name());
        let way =
            Way { to, owner: lacks.owner.clone(), issuer, is_elsewhere: false, asks: false, message: None, shows_address: false };
        let wish = Wish { way: &way, lacks: &lacks, what: &what, ticket: ticket.as_deref() };
        match Box::pin(self.try_trade(parts, &held, wish, attempts)).await {
            Ok(Some(session)) => Next::Again(Box::new(Held { session, ..held })),
            Ok(None) => page(refused_to_session(parts, *refused.answer)),
            Err(denied) => page(self.deny(parts, &held, &way, denied, *refused.answer).await),
        }
    }

    /// What the session holds after a trade, or since others changed it; none: nothing is traded for this call.
    async fn try_trade(
        self: &Arc<Self>,
        parts: &Parts,
        held: &Held,
        wish: Wish<'_>,
        attempts: &mut Attempts,
    ) -> Result<Option<Session>, Denied> {
        let Wish { way, lacks, what, ticket } = wish;
        let may_trade = navigation::needs_own_origin(parts) || self.renews(parts, held, way);
        // one at a time: the next one finds what this one got
        let turn = self.turn(&format!("change {}", held.cookie)).await;
        let _held = if may_trade { Some(turn.lock().await) } else { None };
        let Some(session) = self.read_session(&held.cookie).await.map_err(Denied::Failed)? else { return Ok(None) };
        let token = |session: &Session| session.find_grant_at(&way.owner, &way.issuer).map(|grant| grant.token.clone());
        let has_another = token(&session).is_some_and(|now| token(&held.session) != Some(now));
        if has_another && attempts.rounds < MOST_ROUNDS {
            return Ok(Some(session));
        }
        if !may_trade {
            return Ok(None);
        }
        if let Some(why) = session.lacking.find(what, self.client.clock.now()) {
            return Err(Denied::Because(why));
        }
        if attempts.traded.iter().any(|traded| traded == what) || attempts.traded.len() >= MOST_TRADES {
            return Err(self.note_lacking(&held.cookie, what, Why::NotShared).await);
        }
        if session.pct_at(&way.issuer).is_none() {
            return Err(Denied::Because(Why::Unknown));
        }
        attempts.traded.push(what.to_owned());
        let now = Held { cookie: held.cookie.clone(), session };
        let caller = parts.extensions.get().copied();
        let ticket = match ticket {
            Some(ticket) => ticket.to_owned(),
            None => match self.ticket_at(&way.issuer, &way.owner, &lacks.needs, caller).await.map_err(Denied::Failed)? {
                Some(ticket) => ticket,
                None => return Err(self.note_lacking(&held.cookie, what, Why::NotShared).await),
            },
        };
        let trade =
            Trade { owner: &way.owner, issuer: &way.issuer, ticket: &ticket, held: Some(&now), caller, asks: Asks::Nobody };
        match self.trade(&trade).await.map_err(Denied::Failed)? {
            Outcome::Granted { grant, pct } => self.keep_grant(&held.cookie, grant, pct).await.map_err(Denied::Failed),
            Outcome::Shows { .. } => Err(self.note_lacking(&held.cookie, what, Why::Unknown).await),
            Outcome::Closed | Outcome::Spent => Err(self.note_lacking(&held.cookie, what, Why::NotShared).await),
            waits @ Outcome::Waits { .. } => {
                let kept = self.keep_outcome(&held.cookie, way, waits, caller).await.map_err(Denied::Failed)?;
                kept.map_or(Ok(None), |session| Err(Denied::Waits(Box::new(session))))
            }
        }
    }

    /// Whether a call of a page of ours reads what a token opened that has ended: it is had anew.
    fn renews(&self, parts: &Parts, held: &Held, way: &Way) -> bool {
        let is_ours = navigation::origin_of(&parts.headers, &self.browsers.origin) == navigation::CameFrom::Here;
        is_ours && held.session.find_grant_at(&way.owner, &way.issuer).is_some_and(|grant| self.is_over(grant))
    }

    async fn note_lacking(&self, cookie: &str, what: &str, why: Why) -> Denied {
        let now = self.client.clock.now();
        match self.change_session(cookie, |session| session.lacking.put(what, why, now)).await {
            Ok(_) => Denied::Because(why),
            Err(error) => Denied::Failed(error),
        }
    }

    /// Keeps what was granted; none: the session has ended meanwhile, and it is given back.
    async fn keep_grant(
        self: &Arc<Self>,
        cookie: &str,
        grant: Grant,
        pct: Option<String>,
    ) -> Result<Option<Session>, ProtectionError> {
        let (issuer, kept) = (grant.issuer.clone(), grant.clone());
        let change = |session: &mut Session| {
            if let Some(pct) = pct {
                session.put_pct(&issuer, pct);
            }
            session.put_grant(kept);
            // nobody knows for what else it suffices
            session.lacking.clear();
        };
        let session = self.change_session(cookie, change).await?;
        if session.is_none() {
            let gateway = self.clone();
            tokio::spawn(async move { gateway.return_grants(vec![grant]).await });
        }
        Ok(session)
    }

    /// A script reads a status and a sentence, a person who sent a form a page.
    async fn deny(&self, parts: &Parts, held: &Held, way: &Way, denied: Denied, answer: Response) -> Response {
        if !is_form(parts) {
            return match denied {
                Denied::Because(Why::NotShared) | Denied::Waits(_) => refused_to_session(parts, answer),
                Denied::Because(Why::Unknown) if navigation::is_safe(&parts.method) => answer,
                Denied::Because(Why::Unknown) => plain(
                    StatusCode::FORBIDDEN,
                    "Show again who you are: open this page anew in your browser, and send a form of it.",
                ),
                Denied::Failed(error) => without_ticket(&error),
            };
        }
        let to = to_of(parts);
        let back = self.find_referrer(parts).unwrap_or_else(|| to.clone());
        let is_unknown = match denied {
            Denied::Because(why) => why == Why::Unknown,
            Denied::Waits(session) => match session.find_waiting(&way.to) {
                Some(_) => return self.waiting_page(held, &way.to),
                None => false,
            },
            Denied::Failed(error) => return self.cannot_lead(&error),
        };
        let changing = Changing { to: &to, back: &back, is_unknown, was_sent: true };
        self.changing_page(StatusCode::FORBIDDEN, held, &changing, None).await
    }

    /// The page of ours from which a form was sent.
    fn find_referrer(&self, parts: &Parts) -> Option<String> {
        let mut all = parts.headers.get_all(header::REFERER).iter();
        let (Some(referrer), None) = (all.next(), all.next()) else { return None };
        let to = referrer.to_str().ok()?.strip_prefix(&self.settings.resource)?.to_owned();
        read_to(&to).map(|_| to)
    }

    /// `GET /.wayleave/visit?to=&method=POST`: whether she may send a form to a path. Nothing is traded, and nobody asked.
    pub(super) async fn visit_form(self: &Arc<Self>, parts: &Parts, held: Held, to: &str, uri: Uri) -> Response {
        let (place, caller) = (place_of(to), parts.extensions.get().copied());
        let held = match self.waiting_next(&held, &place, caller).await {
            Some(Next::Page(page)) => return *page,
            Some(Next::Again(held)) => *held,
            None => held,
        };
        match self.look(parts, Method::POST, uri, Some(&held)).await {
            Ok(()) => self.send_on(to, &[]),
            Err(_) => match held.session.find_waiting(&place) {
                Some(_) => self.waiting_page(&held, &place),
                None => {
                    let changing = Changing { to, back: to, is_unknown: false, was_sent: false };
                    self.changing_page(StatusCode::FORBIDDEN, &held, &changing, None).await
                }
            },
        }
    }
}
