//! What this gateway keeps of one browser: RPTs, PCTs and refresh tokens of the person before it, and nothing of it in the
//! browser but a cookie. A row is found by a hash of that cookie and opens with it alone, so that a copy of the store opens
//! nobody's session. It ends 12 h after it began, or 1 h after its last use.

use super::super::Gateway;
use super::super::store::SessionRow;
use super::navigation;
use crate::challenge::without_ticket;
use crate::protection::ProtectionError;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use jose::seal::SealingKey;
use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use types::Timestamp;
use types::peer::{Caller, network_of};

pub(super) const LONGEST_SECONDS: i64 = 12 * 3_600;
const IDLE_SECONDS: i64 = 3_600;
/// Its last use is written down so often.
const SEEN_SECONDS: i64 = 60;
/// Of each kind, the oldest go first.
const MOST_GRANTS: usize = 20;
const MOST_WAITING: usize = 5;
const MOST_CLOSED: usize = 10;
/// Seconds that somebody who showed who she is, and was not let in, is told so without being asked again.
const CLOSED_SECONDS: i64 = 30;
/// Longest token that is kept, in bytes.
const MAX_TOKEN_BYTES: usize = 16 * 1_024;

/// What an authorization server gave for one owner's things.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) owner: String,
    pub(super) issuer: String,
    pub(super) token: String,
    pub(super) expires: Timestamp,
    pub(super) refresh_token: Option<String>,
}

impl Grant {
    pub(super) fn is_short(&self) -> bool {
        [Some(&self.token), self.refresh_token.as_ref()].into_iter().flatten().all(|text| text.len() <= MAX_TOKEN_BYTES)
    }
}

/// By what an authorization server knows her again.
#[derive(Clone, Serialize, Deserialize)]
struct Known {
    issuer: String,
    pct: String,
}

/// Something whose owner was asked.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Waiting {
    /// Path and query.
    pub(super) to: String,
    pub(super) owner: String,
    pub(super) issuer: String,
    /// With which it is asked whether she has answered; none: there is no such thing, and nobody was asked.
    pub(super) ticket: Option<String>,
    pub(super) interval_seconds: u64,
}

/// Something that was not opened a moment ago.
#[derive(Clone, Serialize, Deserialize)]
struct Closed {
    to: String,
    until: Timestamp,
}

/// A session.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Session {
    created: Timestamp,
    seen: Timestamp,
    grants: Vec<Grant>,
    known: Vec<Known>,
    waiting: Vec<Waiting>,
    closed: Vec<Closed>,
}

/// The session of the browser that calls, and its cookie.
pub(in super::super) struct Held {
    pub(super) cookie: String,
    pub(super) session: Session,
}

impl Session {
    pub(super) fn begin(now: Timestamp) -> Self {
        Self { created: now, seen: now, grants: vec![], known: vec![], waiting: vec![], closed: vec![] }
    }

    /// When it ends, unless it is used before.
    fn until(&self) -> Timestamp {
        self.created.plus(LONGEST_SECONDS).min(self.seen.plus(IDLE_SECONDS))
    }

    /// Of one owner, by one of these servers.
    pub(super) fn find_grant(&self, owner: &str, issuers: &[String]) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.owner == owner && issuers.contains(&grant.issuer))
    }

    pub(super) fn find_grant_at(&self, owner: &str, issuer: &str) -> Option<&Grant> {
        self.grants.iter().find(|grant| grant.owner == owner && grant.issuer == issuer)
    }

    pub(super) fn pct_at(&self, issuer: &str) -> Option<&str> {
        self.known.iter().find(|known| known.issuer == issuer).map(|known| known.pct.as_str())
    }

    pub(super) fn find_waiting(&self, to: &str) -> Option<&Waiting> {
        self.waiting.iter().find(|waiting| waiting.to == to)
    }

    /// Whether this was not opened a moment ago.
    pub(super) fn is_closed(&self, to: &str, now: Timestamp) -> bool {
        self.closed.iter().any(|closed| closed.to == to && now < closed.until)
    }

    pub(super) fn put_grant(&mut self, grant: Grant) {
        self.drop_grant(&grant.owner, &grant.issuer);
        self.grants.push(grant);
        keep_newest(&mut self.grants, MOST_GRANTS);
    }

    pub(super) fn drop_grant(&mut self, owner: &str, issuer: &str) {
        self.grants.retain(|grant| grant.owner != owner || grant.issuer != issuer);
    }

    pub(super) fn put_pct(&mut self, issuer: &str, pct: String) {
        self.drop_pct(issuer);
        if pct.len() <= MAX_TOKEN_BYTES {
            self.known.push(Known { issuer: issuer.to_owned(), pct });
        }
        keep_newest(&mut self.known, MOST_GRANTS);
    }

    pub(super) fn drop_pct(&mut self, issuer: &str) {
        self.known.retain(|known| known.issuer != issuer);
    }

    pub(super) fn put_waiting(&mut self, waiting: Waiting) {
        self.open(&waiting.to);
        self.waiting.push(waiting);
        keep_newest(&mut self.waiting, MOST_WAITING);
    }

    pub(super) fn close(&mut self, to: &str, now: Timestamp) {
        self.open(to);
        self.closed.push(Closed { to: to.to_owned(), until: now.plus(CLOSED_SECONDS) });
        keep_newest(&mut self.closed, MOST_CLOSED);
    }

    /// Nothing is known any more of how this was answered.
    pub(super) fn open(&mut self, to: &str) {
        self.closed.retain(|closed| closed.to != to);
        self.waiting.retain(|waiting| waiting.to != to);
    }

    pub(super) fn into_grants(self) -> Vec<Grant> {
        self.grants
    }

    pub(super) fn see(&mut self, now: Timestamp) {
        self.seen = now;
    }
}

fn keep_newest<T>(all: &mut Vec<T>, most: usize) {
    all.drain(..all.len().saturating_sub(most));
}

fn id_of(cookie: &str) -> String {
    base64url::encode(digest::sha256(&[b"session ", cookie.as_bytes()]))
}

fn unavailable(what: impl std::fmt::Display) -> ProtectionError {
    tracing::error!(%what, "a session cannot be kept");
    ProtectionError::Store
}

impl Gateway {
    /// The session of the browser that calls. None: it has none, or it has ended. An answer: that cannot be told.
    pub(in super::super) async fn find_held(&self, headers: &HeaderMap) -> Result<Option<Held>, Box<Response>> {
        let lines = headers.get_all(header::COOKIE).iter().map(HeaderValue::as_bytes);
        // of two, one is somebody else's, and nobody can tell which: then there is none
        let Ok(Some(cookie)) = self.browsers.names.find_session(lines) else { return Ok(None) };
        let found = self.read_session(cookie).map_err(|error| Box::new(without_ticket(&error)))?;
        let Some(session) = found else { return Ok(None) };
        let now = self.client.clock.now();
        if session.seen.plus(SEEN_SECONDS) <= now
            && let Err(error) = Box::pin(self.change_session(cookie, |session| session.see(now))).await
        {
            tracing::warn!(%error, "a session ends an hour after a use that could not be written down");
        }
        Ok(Some(Held { cookie: cookie.to_owned(), session }))
    }

    pub(super) fn read_session(&self, cookie: &str) -> Result<Option<Session>, ProtectionError> {
        let id = id_of(cookie);
        let Some(row) = self.store.find_session(&id)? else { return Ok(None) };
        let opened = self.seal_of(cookie)?.open(&row.sealed, id.as_bytes());
        let session = opened.and_then(|plain| serde_json::from_slice::<Session>(&plain).ok());
        if session.is_none() {
            // of an older version, or damaged: she shows once more who she is, and is not kept out for as long as her cookie lives
            tracing::warn!("a session of a browser does not open, and counts as none");
        }
        Ok(session.filter(|session| self.client.clock.now() < session.until()))
    }

    fn seal_of(&self, cookie: &str) -> Result<SealingKey, ProtectionError> {
        let key = digest::hmac_sha256(&self.browsers.secret, cookie.as_bytes());
        SealingKey::new(&key).map_err(unavailable)
    }

    fn row_of(&self, cookie: &str, session: &Session, network: String) -> Result<SessionRow, ProtectionError> {
        let (id, plain) = (id_of(cookie), serde_json::to_vec(session).map_err(unavailable)?);
        let sealed = self.seal_of(cookie)?.seal(&plain, id.as_bytes(), &*self.client.randomness).map_err(unavailable)?;
        Ok(SessionRow { id, network, until: session.until(), sealed })
    }

    /// Changes a session, one change at a time, and answers what it is then. None: it has ended.
    pub(super) async fn change_session(
        &self,
        cookie: &str,
        change: impl FnOnce(&mut Session) + Send,
    ) -> Result<Option<Session>, ProtectionError> {
        let id = id_of(cookie);
        let turn = self.turn(&format!("session {id}")).await;
        let _held = turn.lock().await;
        let Some(mut session) = self.read_session(cookie)? else { return Ok(None) };
        let Some(row) = self.store.find_session(&id)? else { return Ok(None) };
        change(&mut session);
        self.store.put_session(&self.row_of(cookie, &session, row.network)?).await?;
        Ok(Some(session))
    }

    /// Begins a session under a cookie that nobody knew before: whoever planted another in this browser does not have it. What
    /// the browser's own session held goes over.
    pub(super) async fn begin_session(&self, before: Option<Held>, caller: Option<Caller>) -> Result<Held, ProtectionError> {
        let now = self.client.clock.now();
        let cookie = jose::ambient::random_text::<32>(&*self.client.randomness);
        let mut session = before.as_ref().map_or_else(|| Session::begin(now), |held| held.session.clone());
        session.see(now);
        let network = caller.map(|caller| network_of(caller.0)).unwrap_or_default();
        self.store.put_new_session(&self.row_of(&cookie, &session, network)?, now).await?;
        if let Some(held) = before {
            self.end_session(&held.cookie).await?;
        }
        Ok(Held { cookie, session })
    }

    pub(super) async fn end_session(&self, cookie: &str) -> Result<(), ProtectionError> {
        self.store.delete_session(&id_of(cookie)).await
    }

    /// The hidden field of this session's forms.
    pub(super) fn form_token(&self, held: &Held) -> String {
        let message = format!("form {}", held.cookie);
        base64url::encode(digest::hmac_sha256(&self.browsers.secret, message.as_bytes()))
    }

    pub(super) fn is_form_token(&self, held: &Held, token: &str) -> bool {
        digest::equal(self.form_token(held).as_bytes(), token.as_bytes())
    }

    /// Whether a call changes something by this session without coming from a page of this gateway.
    pub(in super::super) fn is_forged(&self, parts: &http::request::Parts) -> bool {
        navigation::needs_own_origin(parts)
            && navigation::origin_of(&parts.headers, &self.browsers.origin) != navigation::CameFrom::Here
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn grant(owner: &str, issuer: &str, token: &str) -> Grant {
        let (owner, issuer, token) = (owner.to_owned(), issuer.to_owned(), token.to_owned());
        Grant { owner, issuer, token, expires: Timestamp(0), refresh_token: None }
    }

    #[test]
    fn a_session_ends_12_hours_after_its_beginning_or_one_after_its_use() {
        let mut session = Session::begin(Timestamp(0));
        assert_eq!(session.until(), Timestamp(3_600));
        for (seen, until) in [(1_000, 4_600), (39_599, 43_199), (39_601, 43_200), (43_000, 43_200)] {
            session.see(Timestamp(seen));
            assert_eq!(session.until(), Timestamp(until), "{seen}");
        }
    }

    #[test]
    fn threat_21_of_one_owner_the_token_of_the_server_that_guards_is_shown() {
        let mut session = Session::begin(Timestamp(0));
        for one in [grant("alice", "a", "1"), grant("alice", "b", "2"), grant("carol", "a", "3"), grant("alice", "a", "4")] {
            session.put_grant(one);
        }
        let token = |owner, issuers: &[&str]| {
            let issuers: Vec<String> = issuers.iter().map(|issuer| (*issuer).to_owned()).collect();
            session.find_grant(owner, &issuers).map(|grant| grant.token.as_str())
        };
        assert_eq!((token("alice", &["a"]), token("alice", &["b"]), token("carol", &["a"])), (Some("4"), Some("2"), Some("3")));
        // and of no other: nobody shows it to a server that did not give it
        assert_eq!((token("carol", &["b"]), token("alice", &[])), (None, None));
        assert_eq!(token("bob", &["a"]), None);
    }

    #[test]
    fn what_a_session_holds_is_bounded_and_the_newest_stay() {
        let (mut session, now) = (Session::begin(Timestamp(0)), Timestamp(0));
        let waiting =
            |to: &str| Waiting { to: to.into(), owner: "alice".into(), issuer: "a".into(), ticket: None, interval_seconds: 5 };
        for n in 0..100 {
            session.put_grant(grant(&n.to_string(), "a", "t"));
            session.put_pct(&n.to_string(), "pct".into());
            session.put_waiting(waiting(&format!("/w{n}")));
            session.close(&format!("/c{n}"), now);
        }
        let counts = [session.grants.len(), session.known.len(), session.waiting.len(), session.closed.len()];
        assert_eq!(counts, [MOST_GRANTS, MOST_GRANTS, MOST_WAITING, MOST_CLOSED]);
        assert!(session.find_grant_at("99", "a").is_some() && session.pct_at("99").is_some() && session.pct_at("0").is_none());
        assert!(session.is_closed("/c99", now) && !session.is_closed("/c99", now.plus(CLOSED_SECONDS)));
        // what is answered anew is neither waited for nor closed
        session.put_waiting(waiting("/c99"));
        assert!(session.find_waiting("/c99").is_some() && !session.is_closed("/c99", now));
        session.put_pct("99", "x".repeat(MAX_TOKEN_BYTES + 1));
        assert!(session.pct_at("99").is_none() && !grant("a", "b", &"x".repeat(MAX_TOKEN_BYTES + 1)).is_short());
    }
}
