//! Asking an owner, which a press of a person does and nothing else, and waiting for what she says (protocol.md 1.2, 1.4).
//! While a session waits, the gateway asks on in the background, at the pace that the authorization server says; the page
//! that she looks at loads itself anew.

use super::super::Gateway;
use super::super::path::CanonicalPath;
use super::session::{Held, Session};
use super::trade::{Asks, Outcome, Trade};
use super::visit::{Way, read_to};
use super::{Hint, Next, navigation};
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Longest form that is read, in bytes.
const MAX_FORM_BYTES: usize = 16 * 1_024;
/// Most of a sentence to an owner (protocol.md 1.2).
pub(super) const MAX_MESSAGE_CHARS: usize = 280;
/// Those for whom it is asked in the background at one time; others are asked for when their page loads itself anew.
const MOST_AT_ONCE: usize = 1_000;
/// Seconds between two questions where the server cannot be asked.
const RESTED: Duration = Duration::from_secs(30);

/// For which waiting it is being asked: by session and path.
#[derive(Default)]
pub(super) struct Polls(Mutex<HashSet<String>>);

impl Polls {
    /// Whether it is to be begun now.
    fn begin(&self, key: &str) -> bool {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.len() < MOST_AT_ONCE && all.insert(key.to_owned())
    }

    fn end(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

/// What somebody pressed.
struct Pressed {
    to: String,
    message: Option<String>,
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
    /// `POST /.wayleave/visit`: *Ask for access*.
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
        match read_message(get("message")) {
            Err(what) => self.closed_page(StatusCode::BAD_REQUEST, &held, &to, Some((what, get("message")))),
            Ok(message) => self.ask_for(parts, held, uri, Pressed { to, message }).await,
        }
    }

    async fn ask_for(self: &Arc<Self>, parts: &Parts, held: Held, uri: http::Uri, pressed: Pressed) -> Response {
        let Pressed { to, message } = pressed;
        if held.session.find_waiting(&to).is_some() {
            return self.send_on(&to, &[]);
        }
        let path = CanonicalPath::parse(uri.path());
        let Err(looked) = self.look(parts, uri, Some(&held)).await else {
            // she gets in, and there may be nothing
            return match path {
                Ok(path) if self.backend.exists(&path).await.is_ok_and(|is_there| !is_there) => {
                    self.after_press(&held, &Way::to_nothing(to), None).await
                }
                _ => self.send_on(&to, &[]),
            };
        };
        let caller = parts.extensions.get().copied();
        let (way, ticket) = match self.way_of(Hint::of(&looked.refused), &to, caller, Some(&held)).await {
            Ok(Some(found)) => found,
            Ok(None) => return self.send_on(&to, &[]),
            Err(error) => return self.cannot_lead(&error),
        };
        let way = Way { asks: true, message, ..way };
        let is_known = held.session.pct_at(&way.issuer).is_some();
        let ticket = match ticket {
            // she is known, and there is nobody to be asked
            None => return self.after_press(&held, &way, None).await,
            Some(ticket) if is_known => ticket,
            Some(ticket) => return self.begin_visit(&looked.parts, way, &ticket, None).await,
        };
        let trade =
            Trade { owner: &way.owner, issuer: &way.issuer, ticket: &ticket, held: Some(&held), caller, asks: way.asks() };
        match self.trade(&trade).await {
            Ok(Outcome::Shows { ticket, endpoint }) => self.begin_visit(&looked.parts, way, &ticket, Some(endpoint)).await,
            Ok(outcome) => self.after_press(&held, &way, Some(outcome)).await,
            Err(error) => self.cannot_lead(&error),
        }
    }

    async fn after_press(self: &Arc<Self>, held: &Held, way: &Way, outcome: Option<Outcome>) -> Response {
        let kept = match outcome {
            Some(outcome) => self.keep_outcome(&held.cookie, way, outcome).await,
            None => self.change_session(&held.cookie, |session| session.put_waiting(way.waiting(None))).await,
        };
        match kept {
            Ok(_) => self.send_on(&way.to, &[]),
            Err(error) => self.cannot_lead(&error),
        }
    }

    /// Writes into a session what came of a trade; what it is then.
    pub(super) async fn keep_outcome(
        self: &Arc<Self>,
        cookie: &str,
        way: &Way,
        outcome: Outcome,
    ) -> Result<Option<Session>, ProtectionError> {
        let now = self.client.clock.now();
        let waits = matches!(outcome, Outcome::Waits { .. });
        let changed = self.change_session(cookie, |session| {
            session.open(&way.to);
            match outcome {
                Outcome::Granted { grant, pct } => {
                    if let Some(pct) = pct {
                        session.put_pct(&way.issuer, pct);
                    }
                    session.put_grant(grant);
                }
                Outcome::Waits { ticket, interval_seconds } => session.put_waiting(way.waiting(Some((ticket, interval_seconds)))),
                Outcome::Closed | Outcome::Shows { .. } | Outcome::Spent => {}
            }
            match (way.is_elsewhere, way.asks) {
                // the ticket was for something else
                (true, true) => session.put_waiting(way.waiting(None)),
                (true, false) => session.close(&way.to, now),
                (false, _) if session.find_grant_at(&way.owner, &way.issuer).is_none() && !waits => session.close(&way.to, now),
                (false, _) => {}
            }
        });
        let session = changed.await?;
        if waits {
            self.ask_on(cookie, &way.to);
        }
        Ok(session)
    }

    /// Asks on in the background for as long as the session waits for this.
    pub(super) fn ask_on(self: &Arc<Self>, cookie: &str, to: &str) {
        let key = format!("{cookie} {to}");
        if !self.browsers.polls.begin(&key) {
            return;
        }
        let (gateway, cookie, to) = (self.clone(), cookie.to_owned(), to.to_owned());
        tokio::spawn(async move {
            let mut wait = gateway.wait_of(&cookie, &to);
            while let Some(time) = wait {
                tokio::time::sleep(time).await;
                wait = match Box::pin(gateway.ask_again(&cookie, &to)).await {
                    Ok(()) => gateway.wait_of(&cookie, &to),
                    Err(error) => {
                        tracing::info!(%error, "whether an owner has answered cannot be asked right now");
                        Some(RESTED)
                    }
                };
            }
            gateway.browsers.polls.end(&key);
        });
    }

    /// None: nothing is waited for any more.
    fn wait_of(&self, cookie: &str, to: &str) -> Option<Duration> {
        let session = self.read_session(cookie).ok()??;
        let waiting = session.find_waiting(to)?;
        waiting.ticket.as_ref().map(|_| Duration::from_secs(waiting.interval_seconds.max(1)))
    }

    async fn ask_again(self: &Arc<Self>, cookie: &str, to: &str) -> Result<(), ProtectionError> {
        let Some(session) = self.read_session(cookie)? else { return Ok(()) };
        let Some(waiting) = session.find_waiting(to).cloned() else { return Ok(()) };
        let Some(ticket) = &waiting.ticket else { return Ok(()) };
        let (owner, issuer) = (waiting.owner.clone(), waiting.issuer.clone());
        let way = Way { to: to.to_owned(), owner, issuer, is_elsewhere: false, asks: true, message: None };
        let held = Held { cookie: cookie.to_owned(), session };
        let asks = Asks::Owner { message: None };
        let trade = Trade { owner: &way.owner, issuer: &way.issuer, ticket, held: Some(&held), caller: None, asks };
        let now = self.client.clock.now();
        match self.trade(&trade).await? {
            Outcome::Waits { ticket, interval_seconds } => {
                let next = way.waiting(Some((ticket, interval_seconds)));
                let still = |session: &mut Session| {
                    if session.find_waiting(&next.to).is_some() {
                        session.put_waiting(next);
                    }
                };
                self.change_session(cookie, still).await.map(drop)
            }
            outcome @ Outcome::Granted { .. } => self.keep_outcome(cookie, &way, outcome).await.map(drop),
            Outcome::Closed | Outcome::Shows { .. } | Outcome::Spent => {
                self.change_session(cookie, |session| session.close(to, now)).await.map(drop)
            }
        }
    }

    /// The page of somebody who waits; what was begun before a restart goes on.
    pub(super) fn waiting_next(self: &Arc<Self>, held: &Held, to: &str) -> Option<Next> {
        let waiting = held.session.find_waiting(to)?;
        if waiting.ticket.is_some() {
            self.ask_on(&held.cookie, to);
        }
        Some(Next::Page(Box::new(self.waiting_page(held, waiting))))
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
