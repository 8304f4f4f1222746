//! People with browsers (design/browser.md, points 1 to 5). A browser holds no token: the gateway is its person's client, keeps
//! what authorization servers gave for her under a cookie ([`session`]) and puts it before its own guard with each call, which
//! then is judged, watched and written down like any bearer's.
//!
//! 1. Whoever brings a token, and whoever neither follows a link ([`navigation`]) nor has a session, is answered as ever.
//! 2. [`Gateway::lead`] answers a navigation that was not let in: what she is known for already is tried ([`trade`]), else she
//!    is sent to show who she is ([`visit`]), as the browser client ([`client`]).
//! 3. Who is known and was not let in sees one page, whatever the reason ([`pages`]), and may have the owner asked
//!    ([`asking`]).
//! 4. What a page of ours does with more than opening takes is traded for as well ([`changing`]).

mod asking;
mod changing;
mod client;
mod content_origin;
mod cookies;
mod following;
mod guests;
mod home;
pub(super) mod navigation;
mod news;
mod pages;
mod places;
mod renewal;
mod session;
mod trade;
mod visit;
mod waiting_page;
mod yours;

use super::forward_auth::AskedBefore;
use super::passage::{Brought, Refused};
use super::{Behind, Gateway, fields, path, viewer};
use crate::challenge::plain;
use crate::protection::ProtectionError;
use ::client::Credentials;
use axum::body::Body;
use axum::response::Response;
pub(super) use changing::{Attempts, Lacks, LacksAt};
pub use content_origin::check_content_origin;
pub(super) use following::Following;
use http::request::Parts;
use http::{HeaderValue, Method, StatusCode, Uri, header};
use jose::digest;
use jose::seal::SealingKey;
pub(super) use navigation::is_navigation;
pub(super) use pages::{OPENER_POLICY, OwnPage, asset};
pub(super) use session::Held;
use std::sync::Arc;
pub(super) use trade::OfSession;
use trade::{Asks, Outcome, Trade};
use types::challenge::UmaChallenge;
use types::peer::Caller;
use visit::Way;
pub(super) use visit::read_to;

/// What a gateway needs for people with browsers.
pub(super) struct Browsers {
    names: cookies::Names,
    /// Its own, as browsers write it.
    origin: String,
    /// With which cookies open sessions.
    secret: [u8; 32],
    /// Seals visits.
    sealing: SealingKey,
    /// Declared at the authorization servers that the operator lists.
    credentials: Option<Credentials>,
    registrations: client::Registrations,
    guests: guests::Guests,
    polls: asking::Polls,
    listeners: news::Listeners,
}

impl Browsers {
    pub(super) fn new(resource: &str, key: &[u8], credentials: Option<Credentials>) -> Result<Self, jose::KeyError> {
        let origin = url::Url::parse(resource).map(|url| url.origin().ascii_serialization()).unwrap_or_default();
        Ok(Self {
            names: cookies::Names::of(resource),
            origin,
            secret: digest::hmac_sha256(key, b"sessions of browsers"),
            sealing: SealingKey::new(&digest::hmac_sha256(key, b"visits of browsers"))?,
            credentials,
            registrations: client::Registrations::default(),
            guests: guests::Guests::default(),
            polls: asking::Polls::default(),
            listeners: news::Listeners::default(),
        })
    }
}

/// What follows for somebody who was not let in.
pub(super) enum Next {
    Page(Box<Response>),
    /// Her session holds more than before: the call is judged again.
    Again(Box<Held>),
}

/// What an answer says of where somebody gets in.
struct Hint {
    owner: Option<String>,
    status: StatusCode,
    challenge: Option<UmaChallenge>,
}

impl Hint {
    fn of(refused: &Refused) -> Self {
        let values = refused.answer.headers().get_all(header::WWW_AUTHENTICATE);
        let challenge = UmaChallenge::find(values.iter().filter_map(|value| value.to_str().ok()));
        Self { owner: refused.owner.clone(), status: refused.answer.status(), challenge }
    }
}

/// A path that somebody does not get into.
struct Looked {
    /// As if she had opened it.
    parts: Parts,
    refused: Refused,
}

impl Gateway {
    /// A call to something guarded.
    pub(super) async fn guarded(self: &Arc<Self>, parts: Parts, body: Body, path: &path::CanonicalPath) -> Response {
        if parts.headers.contains_key(header::AUTHORIZATION) {
            return self.protected(parts, body, path).await;
        }
        let is_navigation = navigation::is_navigation(&parts);
        let has_none = !is_navigation && !parts.headers.contains_key(header::COOKIE);
        if has_none || self.is_read_elsewhere(&parts) {
            return self.protected(parts, body, path).await;
        }
        match self.find_held(&parts.headers).await {
            Ok(None) if !is_navigation => self.protected(parts, body, path).await,
            Ok(held) => Box::pin(self.answer_browser(parts, body, path, held)).await,
            Err(answer) if is_navigation => self.in_words(&answer),
            Err(answer) => *answer,
        }
    }

    /// Whether a call is one for which no session counts.
    pub(super) fn is_read_elsewhere(&self, parts: &Parts) -> bool {
        navigation::is_read_elsewhere(parts, &self.browsers.origin)
    }

    async fn answer_browser(
        self: &Arc<Self>,
        mut parts: Parts,
        body: Body,
        path: &path::CanonicalPath,
        mut held: Option<Held>,
    ) -> Response {
        if held.is_some() && self.is_forged(&parts) {
            return plain(StatusCode::FORBIDDEN, "With a session, this is done from a page of this server alone.");
        }
        let is_navigation = navigation::is_navigation(&parts);
        if is_navigation && let Some(collection) = self.collection_at(&parts, path) {
            return collection;
        }
        parts.extensions.insert(viewer::OfPerson);
        let (mut may_trade, mut attempts, brought) = (true, Attempts::default(), Brought::of(&body));
        loop {
            let mut call = parts.clone();
            let refused = match self.judge_call(&mut call, brought, path, held.as_ref()).await {
                Ok(whole) => {
                    let answer = self.let_in(call, body, path, whole, held.as_ref()).await;
                    let answer = self.lead_to_content(&parts, path, held.as_ref(), answer);
                    return self.for_session(&parts, held.as_ref(), answer).await;
                }
                Err(refused) => refused,
            };
            if is_navigation && held.is_none() && home::is_home(path, &refused) {
                return self.home_page(StatusCode::NOT_FOUND, None);
            }
            if let Some(held) = held.as_ref().filter(|_| refused.owner.is_none())
                && let Some(shelf) = Box::pin(self.show_shelf(&parts, path, held)).await
            {
                return shelf;
            }
            let next = match held {
                Some(held) if !is_navigation => Box::pin(self.widen(&parts, held, refused, &mut attempts)).await,
                held => self.lead(&parts, held, refused, may_trade).await,
            };
            held = match next {
                Next::Page(page) => return *page,
                Next::Again(held) => Some(*held),
            };
            may_trade = false;
        }
    }

    /// What a session opened: nobody else's answer. What a folder does not have is one page with what is not shared.
    async fn for_session(self: &Arc<Self>, parts: &Parts, held: Option<&Held>, mut answer: Response) -> Response {
        let is_absent = answer.status() == StatusCode::NOT_FOUND && matches!(self.settings.behind, Behind::Folder(_));
        if let Some(held) = held.filter(|_| is_absent && navigation::is_navigation(parts)) {
            let to = visit::to_of(parts);
            return match self.waiting_next(held, &to, parts.extensions.get().copied()).await {
                Some(Next::Page(page)) => *page,
                _ => self.not_opened_page(held, &to).await,
            };
        }
        answer.headers_mut().append(header::VARY, HeaderValue::from_static("Cookie"));
        if held.is_some() {
            fields::keep_to_own_pages(answer.headers_mut());
        }
        answer
    }

    /// Whether somebody gets to a path by this method, without anything being done there.
    async fn look(self: &Arc<Self>, parts: &Parts, method: Method, uri: Uri, held: Option<&Held>) -> Result<(), Box<Looked>> {
        let mut call = parts.clone();
        // she has done nothing yet that is worth a line
        if method != Method::GET {
            call.extensions.insert(AskedBefore);
        }
        (call.method, call.uri) = (method, uri);
        call.extensions.insert(viewer::OfPerson);
        for name in [header::CONTENT_TYPE, header::CONTENT_LENGTH, header::TRANSFER_ENCODING, header::AUTHORIZATION] {
            call.headers.remove(name);
        }
        let parts = call.clone();
        let looked = |refused| Box::new(Looked { parts: parts.clone(), refused });
        let Ok(path) = path::CanonicalPath::parse(call.uri.path()) else {
            let answer = Box::new(plain(StatusCode::BAD_REQUEST, "This path is ambiguous."));
            return Err(looked(Refused { owner: None, answer }));
        };
        if self.public_methods(&path).is_some() {
            return Ok(());
        }
        self.judge_call(&mut call, Brought::default(), &path, held).await.map(drop).map_err(looked)
    }

    /// What a person meets who was not let in. Her own trade is made once.
    async fn lead(self: &Arc<Self>, parts: &Parts, held: Option<Held>, refused: Refused, may_trade: bool) -> Next {
        let page = |response: Response| Next::Page(Box::new(response));
        let (to, now) = (visit::to_of(parts), self.client.clock.now());
        if let Some(held) = &held {
            if let Some(waiting) = self.waiting_next(held, &to, parts.extensions.get().copied()).await {
                return waiting;
            }
            if held.session.find_closed(&to, now).is_some() {
                return page(self.not_opened_page(held, &to).await);
            }
        }
        let caller = parts.extensions.get().copied();
        let (way, ticket) = match self.way_of(Hint::of(&refused), &to, caller, held.as_ref()).await {
            Ok(Some(found)) => found,
            Ok(None) => return page(self.refused_page(&refused.answer, &to)),
            Err(error) => return page(self.cannot_lead(&error)),
        };
        match (held, ticket) {
            (Some(held), None) => page(self.not_opened_page(&held, &to).await),
            (Some(held), Some(_)) if !may_trade => page(self.not_opened_page(&held, &to).await),
            (Some(held), Some(ticket)) if held.session.pct_at(&way.issuer).is_some() && !way.has_to_tell(&held.session) => {
                self.lead_known(parts, held, way, &ticket).await
            }
            (_, Some(ticket)) => page(self.begin_visit(parts, way, &ticket, None).await),
            (None, None) => page(self.refused_page(&refused.answer, &to)),
        }
    }

    /// Somebody whom the authorization server knows again.
    async fn lead_known(self: &Arc<Self>, parts: &Parts, held: Held, way: Way, ticket: &str) -> Next {
        let page = |response: Response| Next::Page(Box::new(response));
        let caller = parts.extensions.get().copied();
        let trade = Trade { owner: &way.owner, issuer: &way.issuer, ticket, held: Some(&held), caller, asks: Asks::Nobody };
        match self.trade(&trade).await {
            Ok(Outcome::Shows { ticket, endpoint }) => page(self.begin_visit(parts, way, &ticket, Some(endpoint)).await),
            Ok(outcome @ (Outcome::Granted { .. } | Outcome::Waits { .. })) => {
                match self.keep_outcome(&held.cookie, &way, outcome, caller).await {
                    Ok(Some(session)) => Next::Again(Box::new(Held { session, ..held })),
                    Ok(None) => page(self.no_such_visit()),
                    Err(error) => page(self.cannot_lead(&error)),
                }
            }
            Ok(Outcome::Closed | Outcome::Spent) => page(self.not_opened_page(&held, &way.to).await),
            Err(error) => page(self.cannot_lead(&error)),
        }
    }

    /// Where somebody wants to go who was not let in, and a ticket with which she gets there; without a ticket: she is known,
    /// and there is no such thing. None: nothing is guarded there.
    async fn way_of(
        self: &Arc<Self>,
        hint: Hint,
        to: &str,
        caller: Option<Caller>,
        held: Option<&Held>,
    ) -> Result<Option<(Way, Option<String>)>, ProtectionError> {
        let Hint { owner: Some(owner), status, challenge } = hint else { return Ok(None) };
        let way = |issuer: String, is_elsewhere| {
            let (to, owner) = (to.to_owned(), owner.clone());
            let form = changing::form_of(&to);
            let has_told = held.is_some_and(|held| held.session.shows_address_at(&issuer));
            let shows_address = has_told || self.shows_address(form.as_deref().unwrap_or(&to), &issuer);
            Way { to, owner, issuer, is_elsewhere, asks: false, message: None, shows_address }
        };
        if status == StatusCode::UNAUTHORIZED {
            return Ok(challenge.map(|challenge| (way(challenge.as_uri, false), Some(challenge.ticket))));
        }
        if status != StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let other = self.store.find_guarding(&owner).await?.filter(|other| self.is_trusted(&other.issuer));
        let Some(other) = other else { return Ok(None) };
        if held.is_some_and(|held| held.session.pct_at(&other.issuer).is_some()) {
            return Ok(Some((way(other.issuer, true), None)));
        }
        let ticket = self.ticket_elsewhere(&other, caller).await?;
        Ok(Some((way(other.issuer, true), Some(ticket))))
    }
}

/// The answer to a call of a page that its session does not suffice for.
pub(super) fn refused_to_session(parts: &Parts, answer: Response) -> Response {
    let lacks = answer.status() == StatusCode::UNAUTHORIZED && !navigation::is_safe(&parts.method);
    if lacks { plain(StatusCode::FORBIDDEN, "You may look at this, but not do that with it.") } else { answer }
}

fn set_cookies(response: &mut Response, cookies: &[String]) {
    for cookie in cookies {
        if let Ok(value) = HeaderValue::from_str(cookie) {
            response.headers_mut().append(header::SET_COOKIE, value);
        }
    }
}

fn query_of(parts: &Parts) -> Vec<(String, String)> {
    form_urlencoded::parse(parts.uri.query().unwrap_or_default().as_bytes()).into_owned().collect()
}

async fn read_form(body: Body, most: usize) -> Option<Vec<(String, String)>> {
    let bytes = axum::body::to_bytes(body, most).await.ok()?;
    Some(form_urlencoded::parse(&bytes).into_owned().collect())
}

fn wrong_method(allowed: &'static str) -> Response {
    let mut response = plain(StatusCode::METHOD_NOT_ALLOWED, "This cannot be done here.");
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static(allowed));
    response
}
