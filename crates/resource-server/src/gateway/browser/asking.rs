//! Asking an owner, which a press of a person does and nothing else, and waiting for what she says (protocol.md 1.2, 1.4).
//! While a session waits, the gateway asks on in the background, at the pace that the authorization server says; the page
//! that she looks at loads itself anew.

use super::super::Gateway;
use super::super::path::CanonicalPath;
use super::changing::{is_about_form, place_of};
use super::pages::Changing;
use super::places::Places;
use super::session::{Held, Session, Waiting, thing_of};
use super::trade::{Asks, Outcome, Trade};
use super::visit::{Way, read_to};
use super::{Hint, Next, navigation};
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::request::Parts;
use http::{Method, StatusCode};
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use types::Timestamp;
use types::peer::{Caller, names_of};

/// Longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 16 * 1_024;
/// Most of a sentence to an owner (protocol.md 1.2).
pub(super) const MAX_MESSAGE_CHARS: usize = 280;
/// Those for whom it is asked in the background at one time; others are asked for when their page loads itself anew.
const MOST_AT_ONCE: usize = 1_000;
/// Least time between two questions where the server cannot be asked.
const RESTED: Duration = Duration::from_secs(30);

/// Names that somebody has at the moment, each once.
#[derive(Clone, Default)]
struct Once(Arc<Mutex<HashSet<String>>>);

/// One of them; given back when dropped.
struct Taken {
    all: Once,
    name: String,
}

impl Once {
    fn take(&self, name: &str) -> Option<Taken> {
        let is_new = self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
        is_new.then(|| Taken { all: self.clone(), name: name.to_owned() })
    }
}

impl Drop for Taken {
    fn drop(&mut self) {
        self.all.0.lock().unwrap_or_else(PoisonError::into_inner).remove(&self.name);
    }
}

/// For which waiting it is asked on, and for which it is being asked: by session and thing.
pub(super) struct Polls {
    places: Places,
    going_on: Once,
    questions: Once,
}

impl Default for Polls {
    fn default() -> Self {
        Self { places: Places::new(MOST_AT_ONCE), going_on: Once::default(), questions: Once::default() }
    }
}

#[cfg(test)]
impl super::Browsers {
    pub(in super::super) fn polls_count(&self) -> usize {
        self.polls.places.count()
    }

    /// Takes all places in the name of these parties.
    pub(in super::super) fn fill_polls(&self, party: impl Fn(usize) -> Vec<String>) -> Vec<super::places::Place> {
        (0..MOST_AT_ONCE).filter_map(|n| self.polls.places.enter(party(n))).collect()
    }
}

/// Who waits for what.
fn name_of(cookie: &str, to: &str) -> String {
    format!("{cookie} {}", thing_of(to))
}

/// What somebody pressed.
struct Pressed {
    to: String,
    /// Where she goes on.
    place: String,
    message: Option<String>,
    is_about_form: bool,
    /// Nobody is asked: she shows once more who she is.
    shows_again: bool,
    /// She waits, and does not want to wait for the page.
    looks_again: bool,
}

/// A sentence to an owner; none: it has none. An error says what is wrong.
fn read_message(text: &str) -> Result<Option<String>, &'static str> {
    let text = text.trim();
    match text.chars().count() {
        0 => Ok(None),
        count if count > MAX_MESSAGE_CHARS => Err("Your sentence is too long: 280 characters at most."),
        _ if text.chars().any(char::is_control) => {
            Err("Your sentence has characters that cannot be shown: type it anew, in one line.")
        }
        _ => Ok(Some(text.to_owned())),
    }
}

impl Gateway {
    /// `POST /.wayleave/visit`: *Ask for access*, and *Look now*, which is the same once more.
    pub(super) async fn ask(self: &Arc<Self>, parts: &Parts, body: Body) -> Response {
        let held = match self.find_held(&parts.headers).await {
            Ok(held) => held,
            Err(answer) => return *answer,
        };
        let Some(held) = held else {
            return self.say_page(
                StatusCode::FORBIDDEN,
                "Nothing was asked",
                "Your visit here has ended. Open the link again.",
                None,
            );
        };
        let form = super::read_form(body, MAX_FORM_BYTES).await.unwrap_or_default();
        let get = |wanted: &str| form.iter().find(|(name, _)| name == wanted).map_or("", |(_, value)| value.as_str());
        let is_elsewhere = navigation::origin_of(&parts.headers, &self.browsers.origin) == navigation::CameFrom::Elsewhere;
        if is_elsewhere || !self.is_form_token(&held, get("csrf")) {
            let what = "This form did not come from a page of this server, or is too old. Open the link again.";
            return self.say_page(StatusCode::FORBIDDEN, "Nothing was asked", what, None);
        }
        let (Some(uri), to) = (read_to(get("to")), get("to").to_owned()) else {
            return self.say_page(StatusCode::BAD_REQUEST, "Nothing was asked", "There is no such address here.", None);
        };
        let (is_about_form, shows_again) = (is_about_form(&form), get("show") == "again");
        match read_message(get("message")) {
            Err(what) if is_about_form => {
                let changing = Changing { to: &to, back: &to, is_unknown: false, was_sent: false };
                self.changing_page(StatusCode::BAD_REQUEST, &held, &changing, Some((what, get("message")))).await
            }
            Err(what) => self.closed_page(StatusCode::BAD_REQUEST, &held, &to, Some((what, get("message")))).await,
            Ok(message) => {
                let place = if is_about_form { place_of(&to) } else { to.clone() };
                let looks_again = get("look") == "again";
                self.ask_for(parts, held, uri, Pressed { to, place, message, is_about_form, shows_again, looks_again }).await
            }
        }
    }

    async fn ask_for(self: &Arc<Self>, parts: &Parts, held: Held, uri: http::Uri, pressed: Pressed) -> Response {
        let Pressed { to, place, message, is_about_form, shows_again, looks_again } = pressed;
        if !looks_again && held.session.find_waiting(&place).is_some() {
            return self.send_on(&place, &[]);
        }
        let (path, caller) = (CanonicalPath::parse(uri.path()), parts.extensions.get().copied());
        let method = if is_about_form { Method::POST } else { Method::GET };
        let Err(looked) = self.look(parts, method, uri, Some(&held)).await else {
            // she gets in, and there may be nothing
            return match path {
                Ok(path) if !is_about_form && self.backend.exists(&path).await.is_ok_and(|is_there| !is_there) => {
                    self.after_press(&held, &Way::to_nothing(to), None, caller).await
                }
                _ => self.send_on(&to, &[]),
            };
        };
        let (way, ticket) = match self.way_of(Hint::of(&looked.refused), &place, caller, Some(&held)).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.send_on(&place, &[]),
            Err(error) => return self.cannot_lead(&error),
        };
        let way = Way { asks: !shows_again, message, ..way };
        let is_known = held.session.pct_at(&way.issuer).is_some() && !way.has_to_tell(&held.session);
        let ticket = match ticket {
            // she is known, and there is nobody to be asked
            None => return self.after_press(&held, &way, None, caller).await,
            Some(ticket) if is_known => ticket,
            Some(ticket) => return self.begin_visit(&looked.parts, way, &ticket, None).await,
        };
        let trade =
            Trade { owner: &way.owner, issuer: &way.issuer, ticket: &ticket, held: Some(&held), caller, asks: way.asks() };
        match self.trade(&trade).await {
            Ok(Outcome::Shows { ticket, endpoint }) => self.begin_visit(&looked.parts, way, &ticket, Some(endpoint)).await,
            Ok(outcome) => self.after_press(&held, &way, Some(outcome), caller).await,
            Err(error) => self.cannot_lead(&error),
        }
    }

    async fn after_press(self: &Arc<Self>, held: &Held, way: &Way, outcome: Option<Outcome>, caller: Option<Caller>) -> Response {
        let now = self.client.clock.now();
        let kept = match outcome {
            Some(outcome) => self.keep_outcome(&held.cookie, way, outcome, caller).await,
            None => self.change_session(&held.cookie, |session| session.put_waiting(way.waiting(None, now))).await,
        };
        match kept {
            Ok(_) => self.send_on(&way.to, &[]),
            Err(error) => self.cannot_lead(&error),
        }
    }

    /// Writes into a session what came of a trade; what it is then. Where it has ended meanwhile, what came is given back.
    pub(super) async fn keep_outcome(
        self: &Arc<Self>,
        cookie: &str,
        way: &Way,
        outcome: Outcome,
        caller: Option<Caller>,
    ) -> Result<Option<Session>, ProtectionError> {
        let now = self.client.clock.now();
        let waits = matches!(outcome, Outcome::Waits { .. });
        let grant = if let Outcome::Granted { grant, .. } = &outcome { Some(grant.clone()) } else { None };
        let session = self.change_session(cookie, |session| note_outcome(session, way, outcome, now)).await?;
        if session.is_none() {
            let gateway = self.clone();
            tokio::spawn(async move { gateway.return_grants(grant.into_iter().collect()).await });
        } else if waits {
            self.ask_on(cookie, way, caller);
        }
        Ok(session)
    }

    /// Asks on in the background for as long as the session waits for this, and nobody else needs its place more.
    fn ask_on(self: &Arc<Self>, cookie: &str, way: &Way, caller: Option<Caller>) {
        let polls = &self.browsers.polls;
        let Some(taken) = polls.going_on.take(&name_of(cookie, &way.to)) else { return };
        let party = [vec![way.issuer.clone()], names_of_caller(caller)].concat();
        let Some(place) = polls.places.enter(party) else { return };
        let (gateway, cookie, to) = (self.clone(), cookie.to_owned(), way.to.clone());
        tokio::spawn(async move {
            let _taken = taken;
            let mut wait = gateway.wait_of(&cookie, &to).await;
            while let Some(time) = wait {
                tokio::time::sleep(time).await;
                if !place.is_held() {
                    return;
                }
                wait = match Box::pin(gateway.ask_again(&cookie, &to, caller)).await {
                    Ok(()) => gateway.wait_of(&cookie, &to).await,
                    Err(error) => {
                        tracing::info!(%error, "whether an owner has answered cannot be asked right now");
                        Some(RESTED)
                    }
                };
            }
        });
    }

    /// None: nothing is waited for any more.
    async fn wait_of(&self, cookie: &str, to: &str) -> Option<Duration> {
        let session = self.read_session(cookie).await.ok()??;
        let waiting = session.find_waiting(to)?;
        waiting.ticket.as_ref()?;
        Some(Duration::from_secs(waiting.seconds_left(self.client.clock.now()).max(1)))
    }

    /// One question at a time, at the pace that the server says: a ticket is good once.
    async fn ask_again(self: &Arc<Self>, cookie: &str, to: &str, caller: Option<Caller>) -> Result<(), ProtectionError> {
        let Some(_question) = self.browsers.polls.questions.take(&name_of(cookie, to)) else { return Ok(()) };
        let now = self.client.clock.now();
        let Some(session) = self.read_session(cookie).await? else { return Ok(()) };
        let Some(waiting) = session.find_waiting(to).cloned() else { return Ok(()) };
        let Some(ticket) = waiting.ticket.as_ref().filter(|_| waiting.seconds_left(now) == 0) else { return Ok(()) };
        let way = way_to(&waiting);
        let held = Held { cookie: cookie.to_owned(), session };
        let asks = Asks::Owner { message: None };
        let trade = Trade { owner: &way.owner, issuer: &way.issuer, ticket, held: Some(&held), caller, asks };
        let outcome = match self.trade(&trade).await {
            Ok(outcome) => outcome,
            Err(error) => {
                self.change_session(cookie, |session| session.note_asked(to, now)).await?;
                return Err(error);
            }
        };
        match outcome {
            Outcome::Waits { ticket, interval_seconds } => {
                let next = way.waiting(Some((ticket, interval_seconds)), self.client.clock.now());
                let still = |session: &mut Session| {
                    if session.find_waiting(&next.to).is_some() {
                        session.put_waiting(next);
                    }
                };
                self.change_session(cookie, still).await.map(drop)
            }
            // her owner has answered: nothing is waited for any more
            outcome @ Outcome::Granted { .. } => {
                let way = Way { asks: false, ..way };
                self.keep_outcome(cookie, &way, outcome, caller).await.map(drop)
            }
            Outcome::Closed | Outcome::Shows { .. } | Outcome::Spent => {
                self.change_session(cookie, |session| session.close(to, now)).await.map(drop)
            }
        }
    }

    /// What somebody reads who does not get in: that she waits, where she asked, or that it is not shared with her.
    pub(super) async fn not_opened_page(&self, held: &Held, to: &str) -> Response {
        match held.session.find_waiting(to) {
            Some(_) => self.waiting_page(held, to),
            None => self.closed_page(StatusCode::NOT_FOUND, held, to, None).await,
        }
    }

    /// The page of somebody who waits, or that there is an answer. Whoever has no place where it is asked in the background is
    /// asked for by her page, which loads itself anew; what was begun before a restart goes on.
    pub(super) async fn waiting_next(self: &Arc<Self>, held: &Held, to: &str, caller: Option<Caller>) -> Option<Next> {
        let waiting = held.session.find_waiting(to)?;
        // where nobody could be asked nothing is done by itself: whatever she saw of it would tell that there is nothing (threat 47)
        if waiting.ticket.is_some() {
            self.ask_on(&held.cookie, &way_to(waiting), caller);
        }
        if waiting.ticket.is_some() && waiting.seconds_left(self.client.clock.now()) == 0 {
            if let Err(error) = Box::pin(self.ask_again(&held.cookie, to, caller)).await {
                tracing::info!(%error, "whether an owner has answered cannot be asked right now");
            }
            let session = self.read_session(&held.cookie).await.ok().flatten();
            if let Some(session) = session.filter(|session| session.find_waiting(to).is_none()) {
                return Some(Next::Again(Box::new(Held { cookie: held.cookie.clone(), session })));
            }
        }
        Some(Next::Page(Box::new(self.waiting_page(held, to))))
    }
}

fn names_of_caller(caller: Option<Caller>) -> Vec<String> {
    caller.map(|caller| names_of(caller.0).to_vec()).unwrap_or_default()
}

/// To what somebody waits for.
fn way_to(waiting: &Waiting) -> Way {
    let (to, owner, issuer) = (waiting.to.clone(), waiting.owner.clone(), waiting.issuer.clone());
    Way { to, owner, issuer, is_elsewhere: false, asks: true, message: None, shows_address: false }
}

fn note_outcome(session: &mut Session, way: &Way, outcome: Outcome, now: Timestamp) {
    let had_some = session.find_grant_at(&way.owner, &way.issuer).is_some();
    // what she held before may be all that was granted now
    let may_be_closed = match outcome {
        Outcome::Granted { .. } => had_some,
        Outcome::Waits { .. } => false,
        Outcome::Closed | Outcome::Shows { .. } | Outcome::Spent => true,
    };
    // whoever pressed waits, whether or not there was anybody to be asked: else she could tell by it what is there (threat 47)
    let waited = session.find_waiting(&way.to).cloned();
    let waits = way.asks || waited.as_ref().is_some_and(|waiting| waiting.ticket.is_none());
    session.open(&way.to);
    if way.shows_address {
        session.note_told(&way.issuer);
    }
    match outcome {
        Outcome::Granted { grant, pct } => {
            if let Some(pct) = pct {
                session.put_pct(&way.issuer, pct);
            }
            session.put_grant(grant);
            session.lacking.clear();
        }
        Outcome::Waits { ticket, interval_seconds } => session.put_waiting(way.waiting(Some((ticket, interval_seconds)), now)),
        Outcome::Closed | Outcome::Shows { .. } | Outcome::Spent => {}
    }
    // the ticket of something else says nothing of this
    match way.is_elsewhere || may_be_closed {
        // her owner was asked before, and is not asked again
        true if waits => session.put_waiting(waited.unwrap_or_else(|| way.waiting(None, now))),
        true => session.close(&way.to, now),
        false => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentence_to_an_owner_is_short_and_plain() {
        assert_eq!(read_message("  "), Ok(None));
        assert_eq!(read_message(" It is Bob <b>. "), Ok(Some("It is Bob <b>.".into())));
        assert_eq!(read_message(&"ä".repeat(280)), Ok(Some("ä".repeat(280))));
        for bad in ["a".repeat(281), "a\u{7}b".into(), "a\r\nb".into()] {
            assert!(read_message(&bad).is_err(), "{bad}");
        }
    }
}
