//! What was let through and under whose word, and what was refused and why: told to the owner, and to nobody else
//! (protocol.md 2). Calls of one kind are counted together for a minute, and written once a second, so that telling
//! costs a call nothing.

mod room;

use self::room::{APART, MOST_TOGETHER, Room, Thing};
use super::Gateway;
use super::store::Told;
use crate::guard::Need;
use crate::protection::ProtectionError;
use serde::{Deserialize, Serialize};
use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;
use types::introspection::Introspection;
use types::spelling::readable;
use types::{ClientId, OwnResourceId, ScopeSet, Timestamp};

/// Seconds for which calls of one kind are one line.
const TOGETHER: i64 = 60;
/// Seconds for which what is not told apart is one line.
const HOUR_SECONDS: i64 = 3_600;
/// Stands for an issuer that nobody knows.
const UNKNOWN: &str = "unknown";
/// Seconds for which those are one line, and how many of an owner's are told apart in that time.
const UNKNOWN_TOGETHER: i64 = HOUR_SECONDS;
const UNKNOWN_APART: usize = 16;
/// Seconds that a line is kept.
const KEPT: i64 = 90 * 86_400;
/// Lines of all owners that are open at one time; above it, each owner has a few of each kind.
const MOST_OPEN: usize = 20_000;
const FEW: usize = 16;
/// Kinds that are counted of what is told together: of more it is said that they are so many at least.
const MOST_KINDS: usize = 100;

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

    /// The line of all that one person did to a thing, or that applications of nobody did.
    fn of_person(self) -> Self {
        // where no person is known, an application stands for itself (protocol.md 4), and anybody has many
        let is_person = |sub: &String| self.client_id.as_ref().is_none_or(|client| client.as_str() != sub);
        let sub = self.sub.filter(is_person);
        let why = if sub.is_some() { "more applications of one person" } else { "more applications" };
        let why = Some(format!("{why} than are told apart"));
        Self { client_id: None, sub, authority: None, why, ..self }
    }

    /// The line of all that was done to a thing.
    fn of_thing(self) -> Self {
        let why = Some("more people and applications than are told apart".to_owned());
        Self { client_id: None, sub: None, authority: None, why, ..self }
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
    hasher: RandomState,
}

/// One owner's.
struct OwnersLines {
    open: HashMap<What, Line>,
    room: Room,
}

struct Line {
    told: Told,
    is_new: bool,
    /// Of one that is told apart: what has it for a share.
    thing: Option<Thing>,
    /// Of one that is not: the kinds of calls that are in it.
    kinds: HashSet<u64>,
}

impl Line {
    fn count(&mut self, now: Timestamp) {
        self.told.last = now;
        self.told.count = self.told.count.saturating_add(1);
        self.is_new = true;
    }

    fn add_kind(&mut self, kind: u64) {
        if self.kinds.len() < MOST_KINDS {
            self.kinds.insert(kind);
        }
        self.told.kinds = Some(self.kinds.len());
    }

    fn is_closed(&self, now: Timestamp) -> bool {
        let together = if self.thing.is_some() { self.told.what.together() } else { HOUR_SECONDS };
        // where the clock went back, a line that began in the future is closed as well
        self.told.time > now || self.told.time.plus(together) <= now
    }
}

impl OwnersLines {
    fn new(now: Instant) -> Self {
        Self { open: HashMap::new(), room: Room::new(now) }
    }

    /// What the line of a call says that is not told apart: as much as there is room for.
    fn together(&mut self, what: What, thing: &Thing, is_crowded: bool) -> What {
        let what = what.of_person();
        let most = if is_crowded { FEW } else { MOST_TOGETHER };
        if self.open.contains_key(&what) || self.room.take_person(thing, most) {
            return what;
        }
        let what = what.of_thing();
        if self.open.contains_key(&what) || self.room.take_thing(thing, most) {
            return what;
        }
        what.not_apart()
    }
}

impl OpenLines {
    /// The line of calls that are just like this one.
    fn find(&mut self, owner: &str, what: &What) -> Option<&mut Line> {
        // what is told together is found by what is in it, and never by a call that says the same
        self.by_owner.get_mut(owner)?.open.get_mut(what).filter(|line| line.thing.is_some())
    }

    /// The line that a call belongs to: its own, or one of calls that are not told apart.
    fn line(&mut self, owner: &str, call: Kind, now: Instant, new: impl FnOnce(What) -> Told) -> &mut Line {
        let Kind { what, is_change } = call;
        let is_crowded = self.count >= MOST_OPEN;
        let (thing, kind) = (Thing::of(&what, is_change), self.hasher.hash_one(&what));
        let lines = self.by_owner.entry(owner.to_owned()).or_insert_with(|| OwnersLines::new(now));
        let is_apart = lines.room.take_apart(&thing, if is_crowded { FEW } else { APART }, now);
        let what = if is_apart { what } else { lines.together(what, &thing, is_crowded) };
        let line = match lines.open.entry(what) {
            Entry::Occupied(line) => line.into_mut(),
            Entry::Vacant(line) => {
                self.count = self.count.saturating_add(1);
                let told = new(line.key().clone());
                line.insert(Line { told, is_new: false, thing: is_apart.then_some(thing), kinds: HashSet::new() })
            }
        };
        if !is_apart {
            line.add_kind(kind);
        }
        line
    }

    /// What is new; what is closed is forgotten.
    fn take_news(&mut self, now: Timestamp) -> Vec<(String, Timestamp, Told)> {
        let mut news = Vec::new();
        self.count = 0;
        self.by_owner.retain(|owner, lines| {
            for line in lines.open.values_mut().filter(|line| line.is_new) {
                line.is_new = false;
                news.push((owner.clone(), now.plus(KEPT), line.told.clone()));
            }
            lines.open.retain(|_, line| !line.is_closed(now));
            lines.room.recount(lines.open.values().filter_map(|line| line.thing.as_ref()));
            self.count = self.count.saturating_add(lines.open.len());
            !lines.open.is_empty() || !lines.room.is_over(Instant::now())
        });
        news
    }
}

/// A call, as far as a line tells of it.
struct Kind {
    what: What,
    /// Whether its method is none that only looks.
    is_change: bool,
}

/// A call that is noted, and what the server that its token is of says of it.
pub(super) struct Noted<'a> {
    pub(super) owner: &'a str,
    pub(super) needs: &'a [Need],
    pub(super) issuer: &'a str,
    pub(super) answer: Option<&'a Introspection>,
    pub(super) is_change: bool,
}

impl Gateway {
    /// Notes a call.
    pub(super) fn note(&self, call: &Noted<'_>, outcome: Outcome, why: Option<String>) {
        // a call without any reason is one without a token that is known: a stranger's, and no news
        if outcome == Outcome::Refused && why.is_none() {
            return;
        }
        let Noted { owner, needs, issuer, answer, is_change } = *call;
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
            self.count(owner, Kind { what, is_change });
        }
    }

    /// Notes a call with a token of an issuer that nobody knows here. Anybody can write such a token: what the owner has
    /// signed nothing of is one line for all of them, and of the rest a few are told apart.
    pub(super) async fn note_unknown(&self, owner: &str, needs: &[Need], why: String) -> Result<(), ProtectionError> {
        // names of owners can be made up as well
        if self.store.list_links(owner).await?.is_empty() && self.store.list_credentials(owner).await?.is_empty() {
            return Ok(());
        }
        if why != super::authority::NOT_SIGNED && self.unknown_open(owner) < UNKNOWN_APART {
            let call = Noted { owner, needs, issuer: UNKNOWN, answer: None, is_change: false };
            self.note(&call, Outcome::Refused, Some(why));
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
        self.count(owner, Kind { what, is_change: false });
        Ok(())
    }

    fn unknown_open(&self, owner: &str) -> usize {
        let lines = self.open.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let open = lines.by_owner.get(owner).into_iter().flat_map(|lines| lines.open.keys());
        open.filter(|what| what.authorization_server == UNKNOWN).count()
    }

    fn count(&self, owner: &str, call: Kind) {
        let now = self.client.clock.now();
        let mut lines = self.open.lines.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(line) = lines.find(owner, &call.what) {
            return line.count(now);
        }
        let line = lines.line(owner, call, Instant::now(), |what| {
            // ids in the order of time
            let number = self.open.number.fetch_add(1, Ordering::Relaxed);
            let id = format!("{:015}-{:06}", self.client.clock.now_millis(), number % 1_000_000);
            Told { id, time: now, last: now, count: 0, kinds: None, what }
        });
        line.count(now);
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
