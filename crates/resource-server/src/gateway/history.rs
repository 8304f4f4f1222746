//! What was let through and under whose word, and what was refused and why: told to the owner, and to nobody else
//! (protocol.md 2). Calls of one kind are counted together for a minute, and written once a second, so that telling
//! costs a call nothing.

use super::Gateway;
use super::store::Told;
use crate::guard::Need;
use crate::protection::ProtectionError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::introspection::Introspection;
use types::spelling::readable;
use types::{ClientId, OwnResourceId, ScopeSet, Timestamp};

/// Seconds for which calls of one kind are one line.
const TOGETHER: i64 = 60;
/// Stands for an issuer that nobody knows.
const UNKNOWN: &str = "unknown";
/// Seconds for which those are one line, and how many of an owner's are told apart in that time.
const UNKNOWN_TOGETHER: i64 = 3_600;
const UNKNOWN_APART: usize = 16;
/// Seconds that a line is kept.
const KEPT: i64 = 90 * 86_400;
/// Kinds of calls of one owner that are told apart at one time, and in an hour; as many of those that were refused. A flood
/// of made-up ones takes nothing from another owner, and what is refused nothing from what was let through: the rest is
/// one line.
const APART: usize = 200;
const APART_IN_AN_HOUR: usize = 1_000;
const HOUR: Duration = Duration::from_secs(3_600);
/// Lines of all owners that are open at one time; above it, each owner has a few.
const MOST_OPEN: usize = 20_000;
const FEW: usize = 16;

/// What came of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Allowed,
    Refused,
}

/// What is the same in all calls of a line.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct What {
    pub(crate) outcome: Outcome,
    pub(crate) resource_id: OwnResourceId,
    pub(crate) resource_scopes: ScopeSet,
    pub(crate) authorization_server: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<ClientId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) sub: Option<String>,
    /// `jti` of the owner's own token; none: the authorization server's word alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) authority: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) why: Option<String>,
}

impl What {
    /// Seconds for which calls like this are one line.
    fn together(&self) -> i64 {
        if self.authorization_server == UNKNOWN { UNKNOWN_TOGETHER } else { TOGETHER }
    }

    /// The line of all calls of this outcome and this server that are not told apart.
    fn not_apart(self) -> Self {
        let (resource_id, resource_scopes) = (OwnResourceId::new(""), ScopeSet::new());
        let why = Some("more kinds of calls than are told apart".to_owned());
        Self { resource_id, resource_scopes, client_id: None, sub: None, authority: None, why, ..self }
    }
}

/// Lines that are not closed yet.
#[derive(Default)]
pub(super) struct Open {
    lines: Mutex<OpenLines>,
    number: AtomicU64,
}

#[derive(Default)]
struct OpenLines {
    by_owner: HashMap<String, OwnersLines>,
    /// All of them together.
    count: usize,
}

/// One owner's.
struct OwnersLines {
    /// Each with whether it has news.
    open: HashMap<What, (Told, bool)>,
    hour: Instant,
    begun_allowed: usize,
    begun_refused: usize,
}

impl OwnersLines {
    fn new(now: Instant) -> Self {
        Self { open: HashMap::new(), hour: now, begun_allowed: 0, begun_refused: 0 }
    }

    /// Whether another line of this outcome may begin, of which so many are open at most.
    fn may_begin(&mut self, outcome: Outcome, most: usize, now: Instant) -> bool {
        if now.duration_since(self.hour) >= HOUR {
            (self.hour, self.begun_allowed, self.begun_refused) = (now, 0, 0);
        }
        let open = self.open.keys().filter(|what| what.outcome == outcome).count();
        let begun = if outcome == Outcome::Allowed { &mut self.begun_allowed } else { &mut self.begun_refused };
        let may = open < most && *begun < APART_IN_AN_HOUR;
        *begun = begun.saturating_add(usize::from(may));
        may
    }
}

impl OpenLines {
    /// The line of calls that are just like this one.
    fn find(&mut self, owner: &str, what: &What) -> Option<&mut (Told, bool)> {
        self.by_owner.get_mut(owner)?.open.get_mut(what)
    }

    /// The line that a call belongs to: its own, or the one of all that are not told apart.
    fn line(&mut self, owner: &str, what: What, new: impl FnOnce(What) -> Told) -> &mut (Told, bool) {
        let now = Instant::now();
        let most = if self.count >= MOST_OPEN { FEW } else { APART };
        let lines = self.by_owner.entry(owner.to_owned()).or_insert_with(|| OwnersLines::new(now));
        let is_told_apart = lines.open.contains_key(&what) || lines.may_begin(what.outcome, most, now);
        match lines.open.entry(if is_told_apart { what } else { what.not_apart() }) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(line) => {
                self.count = self.count.saturating_add(1);
                let told = new(line.key().clone());
                line.insert((told, false))
            }
        }
    }

    /// What is new; what is closed is forgotten.
    fn take_news(&mut self, now: Timestamp) -> Vec<(String, Timestamp, Told)> {
        let mut news = Vec::new();
        self.count = 0;
        self.by_owner.retain(|owner, lines| {
            for (told, is_new) in lines.open.values_mut().filter(|(_, is_new)| *is_new) {
                *is_new = false;
                news.push((owner.clone(), now.plus(KEPT), told.clone()));
            }
            // where the clock went back, a line that began in the future is closed as well
            lines.open.retain(|what, (told, _)| told.time <= now && told.time.plus(what.together()) > now);
            self.count = self.count.saturating_add(lines.open.len());
            !lines.open.is_empty() || lines.hour.elapsed() < HOUR
        });
        news
    }
}

impl Gateway {
    /// Notes a call.
    pub(super) fn note(
        &self,
        owner: &str,
        needs: &[Need],
        issuer: &str,
        answer: Option<&Introspection>,
        outcome: Outcome,
        why: Option<String>,
    ) {
        // a call without any reason is one without a token that is known: a stranger's, and no news
        if outcome == Outcome::Refused && why.is_none() {
            return;
        }
        for need in needs {
            let authority = answer.and_then(|answer| {
                let own =
                    answer.permissions.iter().flatten().find(|one| one.resource_id == need.resource && one.authority.is_some());
                own.and_then(|permission| permission.authority.as_deref()).and_then(jti_of)
            });
            let what = What {
                outcome,
                resource_id: OwnResourceId::new(need.resource.as_str()),
                resource_scopes: need.scopes.clone(),
                authorization_server: issuer.to_owned(),
                client_id: answer.and_then(|answer| Some(ClientId::new(readable(answer.client_id.as_ref()?.as_str())))),
                sub: answer.and_then(|answer| answer.sub.as_deref().map(readable)),
                authority: authority.as_deref().map(readable),
                why: why.clone(),
            };
            self.count(owner, what);
        }
    }

    /// Notes a call with a token of an issuer that nobody knows here. Anybody can write such a token: what the owner has
    /// signed nothing of is one line for all of them, and of the rest a few are told apart.
    pub(super) fn note_unknown(&self, owner: &str, needs: &[Need], why: String) -> Result<(), ProtectionError> {
        // names of owners can be made up as well
        if self.store.list_links(owner)?.is_empty() && self.store.list_credentials(owner)?.is_empty() {
            return Ok(());
        }
        if why != super::authority::NOT_SIGNED && self.unknown_open(owner) < UNKNOWN_APART {
            self.note(owner, needs, UNKNOWN, None, Outcome::Refused, Some(why));
            return Ok(());
        }
        let what = What {
            outcome: Outcome::Refused,
            resource_id: OwnResourceId::new(""),
            resource_scopes: ScopeSet::new(),
            authorization_server: UNKNOWN.to_owned(),
            client_id: None,
            sub: None,
            authority: None,
            why: Some("tokens of issuers that nobody knows here".to_owned()),
        };
        self.count(owner, what);
        Ok(())
    }

    fn unknown_open(&self, owner: &str) -> usize {
        let lines = self.open.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let open = lines.by_owner.get(owner).into_iter().flat_map(|lines| lines.open.keys());
        open.filter(|what| what.authorization_server == UNKNOWN).count()
    }

    fn count(&self, owner: &str, what: What) {
        let now = self.client.clock.now();
        let mut lines = self.open.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let again = |line: &mut (Told, bool)| {
            line.0.last = now;
            line.0.count = line.0.count.saturating_add(1);
            line.1 = true;
        };
        if let Some(line) = lines.find(owner, &what) {
            return again(line);
        }
        again(lines.line(owner, what, |what| {
            // ids in the order of time
            let number = self.open.number.fetch_add(1, Ordering::Relaxed);
            let id = format!("{:015}-{:06}", self.client.clock.now_millis(), number % 1_000_000);
            Told { id, time: now, last: now, count: 0, what }
        }));
    }

    /// Writes what is new; called once a second, and before the history is read.
    pub async fn write_history(&self) {
        let now = self.client.clock.now();
        let news = self.open.lines.lock().unwrap_or_else(PoisonError::into_inner).take_news(now);
        if news.is_empty() {
            return;
        }
        if let Err(error) = self.store.tell(&news, now).await {
            tracing::error!(%error, "the history could not be written");
        }
    }
}

/// The `jti` of a token that was checked before.
fn jti_of(token: &str) -> Option<String> {
    jose::UnverifiedJws::parse(token).ok()?.claimed("jti")
}

#[cfg(test)]
mod tests;
