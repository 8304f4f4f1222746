//! Telling managers that somebody asks (protocol.md 1.4 (b)). Whom an owner is asked by, and whether her managers answer, others
//! choose, so what is told for one of them holds up nobody else's (threat 46): each owner has a queue, of which a few are under way
//! at a time, and owners take turns. Who has more than a queue holds loses the oldest of her own; managers also read the list.

use super::KeptManager;
use crate::acting::Acting;
use crate::{AuthorizationServer, name_of};
use identity::Failure;
use jose::{Algorithm, base64url, digest};
use outbound::{Method, Request};
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use types::access_request::{AccessRequestDocument, AccessRequestState};
use types::json::OneOrMany;
use types::linked_manager::{NOTICE, Notice};
use types::{AccessRequestId, OwnerId, Timestamp};

/// How long a manager may take to take a notice.
const PATIENCE: Duration = Duration::from_secs(5);
/// How often one is tried.
const TRIES: u32 = 5;
/// Most notices of one owner that wait, and of all; the oldest of whoever has most go first.
const WAITING: usize = 200;
const ALL_WAITING: usize = 10_000;
/// Most of one owner that are under way at a time.
const UNDER_WAY: usize = 4;
/// Most that are sent in one go.
const AT_ONCE: usize = 32;
/// Most managers that are told of one request: her own ten, and some of those whom she lets decide.
const MOST_TOLD: usize = 30;

/// Somebody is to be told.
#[derive(Clone, Debug)]
struct Due {
    owner: OwnerId,
    request: AccessRequestId,
    /// One manager, where others have taken it.
    manager: Option<Told>,
    tries: u32,
    at: Timestamp,
}

/// Whose manager was told already.
#[derive(Clone, Debug)]
struct Told {
    owner: OwnerId,
    id: String,
}

/// What one owner has.
#[derive(Default)]
struct Queue {
    waiting: VecDeque<Due>,
    under_way: usize,
    last_turn: u64,
    /// Of two whose turns are as long ago, who came first.
    number: u64,
}

#[derive(Default)]
struct Queues {
    by_owner: HashMap<OwnerId, Queue>,
    turns: u64,
    numbers: u64,
}

/// What is to be told. In memory: whoever missed it reads the list.
#[derive(Clone, Default)]
pub(crate) struct Notices(Arc<Mutex<Queues>>);

/// One that is under way, until this is dropped.
struct UnderWay {
    notices: Notices,
    owner: OwnerId,
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut all = self.notices.queues();
        if let Some(queue) = all.by_owner.get_mut(&self.owner) {
            queue.under_way = queue.under_way.saturating_sub(1);
        }
        all.forget_idle(&self.owner);
    }
}

impl Queues {
    fn forget_idle(&mut self, owner: &OwnerId) {
        if self.by_owner.get(owner).is_some_and(|queue| queue.waiting.is_empty() && queue.under_way == 0) {
            self.by_owner.remove(owner);
        }
    }

    fn put(&mut self, due: Due) {
        // who comes newly stands behind those that wait already
        self.numbers = self.numbers.saturating_add(1);
        let new = Queue { last_turn: self.turns, number: self.numbers, ..Queue::default() };
        let queue = self.by_owner.entry(due.owner.clone()).or_insert(new);
        if queue.waiting.len() >= WAITING {
            queue.waiting.pop_front();
        }
        queue.waiting.push_back(due);
        if self.by_owner.values().map(|queue| queue.waiting.len()).sum::<usize>() > ALL_WAITING
            && let Some(longest) = self.by_owner.values_mut().max_by_key(|queue| queue.waiting.len())
        {
            longest.waiting.pop_front();
        }
    }

    /// The next of whoever has one to send, and whose turn was longest ago.
    fn next(&mut self, now: Timestamp) -> Option<Due> {
        let place = |queue: &Queue| queue.waiting.iter().position(|one| one.at <= now).filter(|_| queue.under_way < UNDER_WAY);
        let all = self.by_owner.values_mut().filter_map(|queue| Some((place(queue)?, queue)));
        let (place, queue) = all.min_by_key(|(_, queue)| (queue.last_turn, queue.number))?;
        let due = queue.waiting.remove(place)?;
        self.turns = self.turns.saturating_add(1);
        (queue.under_way, queue.last_turn) = (queue.under_way.saturating_add(1), self.turns);
        Some(due)
    }
}

impl Notices {
    fn queues(&self) -> MutexGuard<'_, Queues> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, owner: OwnerId, request: AccessRequestId, now: Timestamp) {
        self.queues().put(Due { owner, request, manager: None, tries: 0, at: now });
    }

    fn take(&self, now: Timestamp) -> Vec<(Due, UnderWay)> {
        let mut all = self.queues();
        let due = (0..AT_ONCE).map_while(|_| all.next(now));
        due.map(|due| (due.clone(), UnderWay { notices: self.clone(), owner: due.owner })).collect()
    }
}

impl AuthorizationServer {
    /// Tells managers what waits; one that does not answer is tried again, and holds up nobody. Called by the wiring
    /// every second.
    pub async fn send_notices(self: &Arc<Self>) -> Result<(), Failure> {
        for (due, under_way) in self.notices.take(self.now()) {
            let under_way = Arc::new(under_way);
            let acting = Acting::own(&due.owner, "");
            // decided or gone meanwhile: there is nothing to tell
            let Ok(request) = self.read_access_request(&acting, &due.request).await else { continue };
            if request.state != AccessRequestState::Pending {
                continue;
            }
            for manager in self.managers_to_tell(&due).await? {
                let Some(endpoint) = manager.document.notification_endpoint.clone() else { continue };
                let text = self.notice(&manager, request.clone())?;
                let told = Told { owner: manager.owner, id: manager.id };
                let (server, due, under_way) = (self.clone(), Due { manager: Some(told), ..due.clone() }, under_way.clone());
                tokio::spawn(async move {
                    server.send_notice(&endpoint, text, due).await;
                    drop(under_way);
                });
            }
            // what comes of one is for the next to see
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// Hers, and those of people whom she lets decide; or the one that did not take it, if it still may know.
    async fn managers_to_tell(&self, due: &Due) -> Result<Vec<KeptManager>, Failure> {
        if let Some(told) = &due.manager {
            let may_know = told.owner == due.owner || self.may_decide(&due.owner, &told.owner, &due.request).await?;
            let mut managers = if may_know { self.standing_managers(&told.owner).await? } else { Vec::new() };
            managers.retain(|manager| manager.id == told.id);
            return Ok(managers);
        }
        let mut managers = self.standing_managers(&due.owner).await?;
        for delegate in self.deciders(&due.owner, &due.request).await? {
            if managers.len() >= MOST_TOLD {
                break;
            }
            managers.extend(self.standing_managers(&delegate).await?);
        }
        managers.truncate(MOST_TOLD);
        Ok(managers)
    }

    fn notice(&self, manager: &KeptManager, access_request: AccessRequestDocument) -> Result<String, Failure> {
        let (now, id) = (self.now(), access_request.id.clone());
        let mark = base64url::encode(digest::sha256(&[b"binding message", id.as_str().as_bytes()]));
        let letters = mark.chars().filter(char::is_ascii_alphanumeric).take(6).collect::<String>().to_uppercase();
        let expires_in = access_request.expires_at.0.saturating_sub(now.0);
        let notice = Notice {
            iss: self.issuer().as_str().to_owned(),
            aud: OneOrMany::One(manager.document.issuer.clone()),
            sub: manager.document.sub.clone(),
            jti: self.identity.random_id(),
            iat: now,
            exp: now.plus(300),
            auth_req_id: id,
            binding_message: letters,
            expires_in,
            access_request,
        };
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, now)?;
        key.sign(NOTICE, &notice).map_err(identity::internal)
    }

    async fn send_notice(&self, endpoint: &str, text: String, due: Due) {
        let request = Request { method: Method::POST, body: Some(text.into_bytes()), ..Request::get(endpoint) };
        let media = format!("application/{NOTICE}");
        let hers = self.identity.outbound.in_name_of(&name_of(&due.owner));
        let answer = hers.send(request.header("content-type", &media).patience(PATIENCE)).await;
        let taken = answer.as_ref().is_ok_and(|answer| answer.status.is_success());
        let tries = due.tries.saturating_add(1);
        if !taken && tries < TRIES {
            let pause = 2_i64.saturating_pow(tries);
            self.notices.queues().put(Due { tries, at: self.now().plus(pause), ..due });
        } else if !taken {
            tracing::info!(endpoint, "a manager does not take what it is told");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owners(taken: &[(Due, UnderWay)]) -> Vec<&str> {
        taken.iter().map(|(due, _)| due.owner.as_str()).collect()
    }

    /// Whoever is asked often, by managers that do not answer, keeps nobody else's from being told.
    #[test]
    fn threat_46_notices_of_owners_take_turns() {
        let (notices, now) = (Notices::default(), Timestamp(100));
        for n in 0..500 {
            notices.note("mallory".into(), AccessRequestId::new(format!("{n}")), now);
        }
        notices.note("alice".into(), "a".into(), now);
        let mut under_way = notices.take(now);
        assert_eq!(owners(&under_way), ["mallory", "alice", "mallory", "mallory", "mallory"]);
        assert_eq!(under_way.first().unwrap().0.request.as_str(), "300", "the oldest of his own went first");
        assert!(notices.take(now).is_empty(), "so many of his are under way");
        for _ in 0..2 {
            notices.note("alice".into(), "b".into(), now);
        }
        assert_eq!(owners(&notices.take(now)), ["alice", "alice"]);
        under_way.truncate(3);
        assert_eq!(owners(&notices.take(now)), ["mallory", "mallory"]);
        drop(under_way);
        let later = Due { owner: "carol".into(), request: "c".into(), manager: None, tries: 1, at: now.plus(2) };
        notices.queues().put(later);
        assert!(!owners(&notices.take(now)).contains(&"carol"));
        assert!(owners(&notices.take(now.plus(2))).contains(&"carol"));
    }

    /// What is full loses the oldest of whoever has most, and who has nothing leaves nothing behind.
    #[test]
    fn threat_46_many_notices_of_many_owners_are_bounded() {
        let (notices, now) = (Notices::default(), Timestamp(100));
        notices.note("alice".into(), "a".into(), now);
        for n in 0..ALL_WAITING * 2 {
            notices.note(OwnerId::new(format!("m{}", n % 100)), AccessRequestId::new(format!("{n}")), now);
        }
        let count = |notices: &Notices| notices.queues().by_owner.values().map(|queue| queue.waiting.len()).sum::<usize>();
        assert_eq!(count(&notices), ALL_WAITING);
        assert_eq!(notices.queues().by_owner.get(&OwnerId::new("alice")).unwrap().waiting.len(), 1);
        while !notices.take(now).is_empty() {}
        assert!(notices.queues().by_owner.is_empty());
    }
}
