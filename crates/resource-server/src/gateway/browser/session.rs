//! What this gateway keeps of one browser: RPTs, PCTs and refresh tokens of the person before it, and nothing of it in the
//! browser but a cookie. A row is found by a hash of that cookie and opens with it alone, so that a copy of the store opens
//! nobody's session. It ends 12 h after it began, or 1 h after its last use.

mod lacking;
mod moving;
mod told;

use super::super::Gateway;
use super::super::path::CanonicalPath;
use super::super::store::{SessionPlace, SessionRow};
use super::super::viewer::HeldOwner;
use super::changing::form_of;
use super::navigation;
use crate::challenge::without_ticket;
use crate::protection::ProtectionError;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, header};
use jose::seal::SealingKey;
use jose::{base64url, digest};
use lacking::LackingList;
pub(super) use lacking::Why;
use serde::{Deserialize, Serialize};
use types::Timestamp;

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
/// Most that a session may be, in bytes: the oldest of what it holds goes first.
const MAX_BYTES: usize = 128 * 1_024;

/// What an authorization server gave for one owner's things.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Grant {
    pub(super) owner: String,
    pub(super) issuer: String,
    pub(super) token: String,
    pub(super) expires: Timestamp,
    pub(super) refresh_token: Option<String>,
    /// It stands here as it came from the session in whose place this one is: what was given since is not.
    #[serde(default)]
    pub(super) is_copied: bool,
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
    /// With which it is asked whether she has answered; none: nobody was asked, as there is no such thing, or nobody to ask.
    pub(super) ticket: Option<String>,
    pub(super) interval_seconds: u64,
    /// When that was asked last.
    pub(super) asked: Timestamp,
}

impl Waiting {
    /// In how many seconds it may be asked again.
    pub(super) fn seconds_left(&self, now: Timestamp) -> u64 {
        let interval = i64::try_from(self.interval_seconds.max(1)).unwrap_or(i64::MAX);
        let left = self.asked.plus(interval).0.saturating_sub(now.0);
        u64::try_from(left).unwrap_or(0)
    }
}

/// What a path and query are about: what is registered has paths alone, so that each query of one is about the same thing.
pub(super) fn thing_of(to: &str) -> String {
    let path = to.split('?').next().unwrap_or_default();
    if let Some(about) = form_of(to) {
        return format!("POST {}", thing_of(&about));
    }
    CanonicalPath::parse(path).map_or_else(|()| path.to_owned(), |path| path.encoded().to_owned())
}

/// Something that was not opened a moment ago.
#[derive(Clone, Serialize, Deserialize)]
pub(super) struct Closed {
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
    #[serde(default)]
    pub(super) lacking: LackingList,
    /// The cookie of the session in whose place this one is, which ends when the browser shows that it has this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before_cookie: Option<String>,
    /// The same by its id, as older versions wrote it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    /// The session that is in the place of this one, as long as no browser has shown it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    after: Option<String>,
    /// Servers at which she was told that an application here sees her address, and went on.
    #[serde(default)]
    told: Vec<String>,
}

/// The session of the browser that calls, and its cookie.
pub(in super::super) struct Held {
    pub(super) cookie: String,
    pub(super) session: Session,
}

impl Held {
    /// Of whose things it has something.
    pub(in super::super) fn owners(&self) -> Vec<HeldOwner> {
        let of = |grant: &Grant| HeldOwner { owner: grant.owner.clone(), issuer: grant.issuer.clone() };
        self.session.grants.iter().map(of).collect()
    }
}

impl Session {
    pub(super) fn begin(now: Timestamp) -> Self {
        let (grants, known, waiting, closed) = (vec![], vec![], vec![], vec![]);
        let (lacking, told) = (LackingList::default(), vec![]);
        Self {
            created: now,
            seen: now,
            grants,
            known,
            waiting,
            closed,
            lacking,
            before_cookie: None,
            before: None,
            after: None,
            told,
        }
    }

    /// Whether somebody was granted something, or is known again.
    fn is_known(&self) -> bool {
        !self.grants.is_empty() || !self.known.is_empty()
    }

    /// Whether it is worth a row of the store: of whom nothing is known, nothing is written down.
    pub(super) fn is_kept(&self) -> bool {
        self.is_known() || !self.waiting.is_empty()
    }

    /// As it is written down, or without the oldest of what it holds where that is too much.
    fn to_json(&self) -> serde_json::Result<Vec<u8>> {
        let mut short = self.clone();
        loop {
            let json = serde_json::to_vec(&short)?;
            if json.len() <= MAX_BYTES || (short.grants.is_empty() && short.known.is_empty()) {
                return Ok(json);
            }
            match short.grants.is_empty() {
                false => drop(short.grants.remove(0)),
                true => drop(short.known.remove(0)),
            }
        }
    }

    /// When it ends, unless it is used before.
    pub(super) fn until(&self) -> Timestamp {
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
        let thing = thing_of(to);
        self.waiting.iter().find(|waiting| thing_of(&waiting.to) == thing)
    }

    /// That this was not opened a moment ago.
    pub(super) fn find_closed(&self, to: &str, now: Timestamp) -> Option<&Closed> {
        self.closed.iter().find(|closed| closed.to == to && now < closed.until)
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

    /// It was asked just now, whatever came of it.
    pub(super) fn note_asked(&mut self, to: &str, now: Timestamp) {
        let thing = thing_of(to);
        self.waiting.iter_mut().filter(|waiting| thing_of(&waiting.to) == thing).for_each(|waiting| waiting.asked = now);
    }

    pub(super) fn close(&mut self, to: &str, now: Timestamp) {
        self.open(to);
        self.closed.push(Closed { to: to.to_owned(), until: now.plus(CLOSED_SECONDS) });
        keep_newest(&mut self.closed, MOST_CLOSED);
    }

    /// Nothing is known any more of how this was answered.
    pub(super) fn open(&mut self, to: &str) {
        let thing = thing_of(to);
        self.closed.retain(|closed| closed.to != to);
        self.waiting.retain(|waiting| thing_of(&waiting.to) != thing);
    }

    /// The servers of which it has something, each once.
    pub(super) fn issuers(&self) -> Vec<String> {
        let all = self.grants.iter().map(|grant| &grant.issuer).chain(self.known.iter().map(|known| &known.issuer));
        all.cloned().collect::<std::collections::BTreeSet<_>>().into_iter().collect()
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
        let found = self.read_session(cookie).await.map_err(|error| Box::new(without_ticket(&error)))?;
        let Some(mut session) = found else { return Ok(None) };
        let now = self.client.clock.now();
        if session.has_predecessor() {
            match Box::pin(self.end_predecessor(cookie, &session)).await {
                Ok(Some(now_is)) => session = now_is,
                Ok(None) => return Ok(None),
                Err(error) => tracing::warn!(%error, "a session in whose place another is could not be ended"),
            }
        }
        if session.seen.plus(SEEN_SECONDS) <= now
            && let Err(error) = Box::pin(self.change_session(cookie, |session| session.see(now))).await
        {
            tracing::warn!(%error, "a session ends an hour after a use that could not be written down");
        }
        Ok(Some(Held { cookie: cookie.to_owned(), session }))
    }

    pub(super) async fn read_session(&self, cookie: &str) -> Result<Option<Session>, ProtectionError> {
        let (id, now) = (id_of(cookie), self.client.clock.now());
        let Some(row) = self.store.find_session(&id).await? else {
            return Ok(self.browsers.guests.find(&id).filter(|session| now < session.until()));
        };
        let opened = self.seal_of(cookie)?.open(&row.sealed, id.as_bytes());
        let session = opened.and_then(|plain| serde_json::from_slice::<Session>(&plain).ok());
        if session.is_none() {
            // of an older version, or damaged: she shows once more who she is, and is not kept out for as long as her cookie lives
            tracing::warn!("a session of a browser does not open, and counts as none");
        }
        Ok(session.filter(|session| now < session.until()))
    }

    fn seal_of(&self, cookie: &str) -> Result<SealingKey, ProtectionError> {
        let key = digest::hmac_sha256(&self.browsers.secret, cookie.as_bytes());
        SealingKey::new(&key).map_err(unavailable)
    }

    fn row_of(&self, cookie: &str, session: &Session, place: SessionPlace) -> Result<SessionRow, ProtectionError> {
        let (id, plain) = (id_of(cookie), session.to_json().map_err(unavailable)?);
        let sealed = self.seal_of(cookie)?.seal(&plain, id.as_bytes(), &*self.client.randomness).map_err(unavailable)?;
        Ok(SessionRow { id, place, until: session.until(), is_known: session.is_known(), sealed })
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
        let Some(mut session) = self.read_session(cookie).await? else { return Ok(None) };
        change(&mut session);
        let is_there = match (self.store.find_session(&id).await?, self.browsers.guests.find_place(&id)) {
            (Some(row), _) => self.store.put_session(&self.row_of(cookie, &session, row.place)?).await?,
            (None, Some(place)) => {
                self.put_new(cookie, &session, place).await?;
                true
            }
            (None, None) => false,
        };
        Ok(is_there.then_some(session))
    }

    /// Keeps one that has no row, in the store as soon as there is something to keep.
    async fn put_new(&self, cookie: &str, session: &Session, place: SessionPlace) -> Result<(), ProtectionError> {
        let (id, now) = (id_of(cookie), self.client.clock.now());
        if !session.is_kept() {
            self.browsers.guests.put(&id, session.clone(), place, now);
            return Ok(());
        }
        self.store.put_new_session(&self.row_of(cookie, session, place)?, now).await?;
        self.browsers.guests.remove(&id);
        Ok(())
    }

    /// The hidden field of this session's forms.
    pub(in super::super) fn form_token(&self, held: &Held) -> String {
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
mod begun;
#[cfg(test)]
mod tests;
