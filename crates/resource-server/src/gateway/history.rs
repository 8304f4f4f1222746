//! What was let through and under whose word, and what was refused and why: told to the owner, and to nobody else
//! (protocol.md 2). Calls of one kind are counted together for a minute, and written once a second, so that telling
//! costs a call nothing.

use super::Gateway;
use super::store::Told;
use crate::guard::Need;
use crate::protection::ProtectionError;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use types::introspection::Introspection;
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
/// Kinds of calls that are counted apart at one time: a flood of made-up ones is not told in full.
const MOST_OPEN: usize = 10_000;

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
}

/// Lines that are not closed yet, and whether they have news.
#[derive(Default)]
pub(super) struct Open(Mutex<HashMap<(String, What), (Told, bool)>>, AtomicU64);

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
                client_id: answer.and_then(|answer| answer.client_id.clone()),
                sub: answer.and_then(|answer| answer.sub.clone()),
                authority,
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
        let open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        open.keys().filter(|(of, what)| of == owner && what.authorization_server == UNKNOWN).count()
    }

    fn count(&self, owner: &str, what: What) {
        let now = self.client.clock.now();
        let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
        if open.len() >= MOST_OPEN {
            tracing::warn!(owner, "too many kinds of calls in a minute to tell them all");
            return;
        }
        let line = open.entry((owner.to_owned(), what.clone())).or_insert_with(|| {
            // ids in the order of time
            let number = self.open.1.fetch_add(1, Ordering::Relaxed);
            let id = format!("{:015}-{:06}", self.client.clock.now_millis(), number % 1_000_000);
            (Told { id, time: now, last: now, count: 0, what }, false)
        });
        line.0.last = now;
        line.0.count = line.0.count.saturating_add(1);
        line.1 = true;
    }

    /// Writes what is new; called once a second, and before the history is read.
    pub async fn write_history(&self) {
        let now = self.client.clock.now();
        let news: Vec<(String, Timestamp, Told)> = {
            let mut open = self.open.0.lock().unwrap_or_else(PoisonError::into_inner);
            let news = open.iter_mut().filter(|(_, line)| line.1).map(|((owner, _), line)| {
                line.1 = false;
                (owner.clone(), now.plus(KEPT), line.0.clone())
            });
            let news = news.collect();
            open.retain(|(_, what), line| line.0.time.plus(what.together()) > now);
            news
        };
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
