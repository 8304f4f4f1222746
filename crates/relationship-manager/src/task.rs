//! What is asked of servers and must be heard: withdrawals above all. A task is kept until its server has confirmed it,
//! tried again with growing pauses, also after a restart; the owner sees who has not confirmed yet.

use crate::ending::about;
use crate::ledger::{Account, Word};
use crate::link::{is_of_other_account, is_of_same_account};
use crate::store::{Link, OwnersServer, Place};
use crate::{Manager, PATIENCE, Trouble, lock};
use client::api::{ApiBody, ApiCall};
use futures_util::StreamExt;
use futures_util::stream;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use types::{OwnResourceId, Timestamp};

/// How long a page waits for servers.
const PAGE_WAITS: Duration = Duration::from_secs(3);
/// How many are on their way to a server at once.
const AT_ONCE: usize = 16;
/// Longest pause between two tries, in seconds.
pub(crate) const LONGEST_PAUSE: i64 = 60;
/// Seconds that a confirmed one is shown.
const SHOWN: i64 = 7 * 86_400;
/// Most that one look tends of each server.
const TENDED_OF_EACH: usize = 200;
const NOT_LINKED: &str = "this server is not linked, so nobody can tell it: link it, and it is told";
const ENDED: &str = "this server takes this desk's word no more: link it again, and it is told";
pub(crate) const OTHER_ACCOUNT: &str = "you are somebody else at this server now: link it as who you were there, and it is told";
const KNOWS_NOTHING: &str =
    "as who you are at this server now, it knows nothing of this: link it as who you were there, and it is told";
pub(crate) const UNLINKED: &str = "you unlinked this server before it confirmed: it may still let somebody in by it";

/// Where a task stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    /// Not confirmed; why, if it was tried.
    Waiting {
        why: Option<String>,
    },
    Confirmed {
        at: Timestamp,
    },
    /// The server said no for good.
    Refused {
        why: String,
    },
    /// Nobody can be told: the server is not linked. It may go on letting somebody in.
    Unheard {
        why: String,
    },
}

/// Something that is asked of a server.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Task {
    pub(crate) id: String,
    pub(crate) owner: String,
    /// What was done in one go.
    pub(crate) group: String,
    /// What it is, in words.
    pub(crate) what: String,
    pub(crate) link: String,
    /// Name of the server, to be shown when it is no longer linked.
    pub(crate) server: String,
    method: String,
    url: String,
    body: Option<Value>,
    pub(crate) created: Timestamp,
    pub(crate) standing: Standing,
    tries: u32,
    /// The word in her ledger whose end it tells of.
    #[serde(default)]
    word: Option<String>,
    /// Whether it is asked of a server as one that keeps things, and not as one that guards them.
    #[serde(default)]
    of_keeper: Option<bool>,
    /// What it is about of the things that a server keeps, where that says whose account has to be asked.
    #[serde(default)]
    things: Vec<OwnResourceId>,
    /// Nobody can tell whether it stands at the account that is asked: that it is not there confirms nothing.
    #[serde(default)]
    is_unsure: bool,
}

/// A task after a try, and whether its server said anything.
struct Tried {
    task: Task,
    is_answered: bool,
}

/// What a task asks.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Wanted {
    /// Empty where the server is not linked: that is shown, until it is.
    pub(crate) link: String,
    pub(crate) server: String,
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) body: Option<Value>,
    /// The word in her ledger whose end it tells of.
    pub(crate) word: Option<String>,
    /// Whether it is asked of a server as one that keeps things, where that is known.
    pub(crate) of_keeper: Option<bool>,
    pub(crate) things: Vec<OwnResourceId>,
    /// Whether it stands at the account that is linked there.
    pub(crate) account: Account,
}

impl Wanted {
    /// Whether there is somebody who can be asked, as who she is there now.
    fn is_askable(&self) -> bool {
        !self.link.is_empty() && !matches!(self.account, Account::Other(_))
    }
}

impl Task {
    /// Whether nobody needs to see it any more. What waits is asked for until it is confirmed, however long that takes; what
    /// nobody could be told matters as long as the word lives that it takes back.
    fn is_past(&self, now: Timestamp) -> bool {
        let is_over = match &self.standing {
            Standing::Confirmed { .. } | Standing::Refused { .. } => true,
            Standing::Waiting { .. } => false,
            Standing::Unheard { .. } => {
                let exp = self.body.as_ref().and_then(|body| body.get("exp")).and_then(Value::as_i64);
                exp.is_some_and(|exp| Timestamp(exp) < now)
            }
        };
        is_over && self.created.plus(SHOWN) < now
    }

    /// The same, where nobody can be told any more.
    pub(crate) fn left_untold(self, why: &str) -> Self {
        Self { standing: Standing::Unheard { why: why.to_owned() }, ..self }
    }

    /// Whether it asks this place: one URL may keep things and guard things, and each is linked by itself.
    fn is_asked_at(&self, place: &Place) -> bool {
        // one of before says it by its URL alone
        let by_url = || self.url.ends_with("/my-withdrawn-tokens") || self.url.contains("/my-resources/");
        match self.of_keeper {
            Some(of_keeper) => of_keeper == place.is_keeper(),
            None => self.url.is_empty() || by_url() == place.is_keeper(),
        }
    }

    /// Whether this is asked of the same link already, or cannot be asked for the same reason.
    pub(crate) fn stands_for(&self, wanted: &Wanted) -> bool {
        let is_open = match self.standing {
            Standing::Waiting { .. } => wanted.is_askable() && self.link == wanted.link,
            Standing::Unheard { .. } => !wanted.is_askable() && self.url.is_empty(),
            Standing::Confirmed { .. } | Standing::Refused { .. } => false,
        };
        let is_same = self.word == wanted.word && self.of_keeper == wanted.of_keeper && self.url == wanted.url;
        is_open && is_same && self.server == wanted.server
    }

    /// What is gone from its server, as that has confirmed.
    fn deleted(&self) -> Option<String> {
        let is_gone = self.method == "DELETE" && matches!(self.standing, Standing::Confirmed { .. });
        is_gone.then(|| self.url.clone())
    }

    /// When it is tried next.
    pub(crate) fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let pause = 2_i64.saturating_pow(self.tries.min(6)).min(LONGEST_PAUSE);
        matches!(self.standing, Standing::Waiting { .. }).then(|| now.plus(pause))
    }
}

impl Manager {
    /// Asks all of it at once. Servers that answer soon have answered when this returns; the others are asked on behind
    /// the page, and again until they confirm.
    pub(crate) async fn ask(self: &Arc<Self>, owner: &str, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        self.ask_and_end(owner, wanted, &[]).await
    }

    /// The same for words that she takes back: their end is on disk with what is asked, before the first is asked.
    pub(crate) async fn ask_and_end(self: &Arc<Self>, owner: &str, wanted: Vec<Wanted>, words: &[Word]) -> Result<(), Trouble> {
        let tasks = self.tasks_of(owner, wanted);
        self.store.withdraw_words(owner, words, &tasks, self.now()).await?;
        self.look_again(owner);
        let tasks = tasks.into_iter().filter(|task| matches!(task.standing, Standing::Waiting { .. })).collect();
        let asked = futures_util::future::join_all(self.start(tasks));
        let _ = tokio::time::timeout(PAGE_WAITS, asked).await;
        Ok(())
    }

    fn tasks_of(&self, owner: &str, wanted: Vec<Wanted>) -> Vec<Task> {
        let (group, now) = (self.new_id(), self.now());
        let standing = |wanted: &Wanted| match (&wanted.account, wanted.is_askable()) {
            (_, true) => Standing::Waiting { why: None },
            (Account::Other(_), false) => Standing::Unheard { why: OTHER_ACCOUNT.to_owned() },
            (_, false) => Standing::Unheard { why: NOT_LINKED.to_owned() },
        };
        // the link that it was placed under says as whom it can be told
        let link = |wanted: &Wanted| match &wanted.account {
            Account::Other(placed) => placed.clone().unwrap_or_default(),
            Account::Same | Account::Unknown => wanted.link.clone(),
        };
        let task = |wanted: Wanted| Task {
            id: self.new_id(),
            owner: owner.to_owned(),
            group: group.clone(),
            standing: standing(&wanted),
            link: link(&wanted),
            is_unsure: wanted.account == Account::Unknown,
            what: wanted.what,
            server: wanted.server,
            method: wanted.method.as_str().to_owned(),
            url: wanted.url,
            body: wanted.body,
            word: wanted.word,
            of_keeper: wanted.of_keeper,
            things: wanted.things,
            created: now,
            tries: 0,
        };
        wanted.into_iter().map(task).collect()
    }

    /// A server is linked (again): it hears of what she took back meanwhile, and is asked again what it had not confirmed.
    pub(crate) async fn resume_tasks(self: &Arc<Self>, owner: &str, link: &Link) -> Result<(), Trouble> {
        let url = link.place.url();
        let links: Vec<String> = self.store.list_links(owner)?.into_iter().map(|link| link.id).collect();
        let is_left = |task: &Task| match task.standing {
            Standing::Unheard { .. } => true,
            // of a link that is gone
            Standing::Waiting { .. } => !links.contains(&task.link),
            Standing::Confirmed { .. } | Standing::Refused { .. } => false,
        };
        let is_hers = |task: &Task| task.is_unsure || !is_of_other_account(&task.link, &link.id);
        let is_for = |task: &Task| task.server == url && task.is_asked_at(&link.place) && is_left(task) && is_hers(task);
        let tasks: Vec<Task> = self.store.list_tasks(owner)?.into_iter().filter(is_for).collect();
        let (never_asked, asked): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| task.url.is_empty());
        let again = |task: Task| Task {
            is_unsure: task.is_unsure || !is_of_same_account(&task.link, &link.id),
            link: link.id.clone(),
            standing: Standing::Waiting { why: None },
            ..task
        };
        self.store.put_tasks(&asked.into_iter().map(again).collect::<Vec<_>>(), self.now()).await?;
        let holdings = self.known_holdings(owner)?;
        let (mut wanted, mut replaced, mut retold) = (Vec::new(), Vec::new(), Vec::new());
        for task in never_asked {
            let word = task.word.as_deref().and_then(|id| Some((id, holdings.word(id)?)));
            let all = word.map(|(id, word)| holdings.told_of(id, word, &about(word))).unwrap_or_default();
            // a delegate's word stands in no ledger of hers: what is to be said of it is in the task itself
            if let (None, Some(_), Some(management)) = (&word, &task.body, link.place.management()) {
                let account = holdings.server(&link.id).and_then(|known| known.keeps_one_of(&task.things));
                retold.push(match account {
                    // as who she is there now she has none of it
                    Some(false) => task.left_untold(OTHER_ACCOUNT),
                    _ => Task { url: format!("{management}/my-withdrawn-tokens"), ..again(task) },
                });
                continue;
            }
            let is_same = |one: &Wanted| task.of_keeper.is_none() || task.of_keeper == one.of_keeper;
            let is_here = |one: &Wanted| one.server == url && one.is_askable() && is_same(one);
            let here: Vec<Wanted> = all.into_iter().filter(is_here).collect();
            if !here.is_empty() {
                replaced.push(task.id);
                wanted.extend(here);
            }
        }
        self.store.put_tasks(&retold, self.now()).await?;
        self.ask(owner, wanted).await?;
        Ok(self.store.delete_tasks(owner, &replaced).await?)
    }

    /// Each server for itself, so that none holds up another; one that is being asked already has its turn later.
    fn start(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<JoinHandle<()>> {
        let mut servers: BTreeMap<OwnersServer, Vec<Task>> = BTreeMap::new();
        for task in tasks {
            servers.entry(OwnersServer::of(&task)).or_default().push(task);
        }
        let free = |(server, _): &(OwnersServer, Vec<Task>)| lock(&self.tending).insert(server.clone());
        let start = |(server, tasks): (OwnersServer, Vec<Task>)| {
            let manager = self.clone();
            tokio::spawn(async move {
                let deleted = manager.try_server(tasks).await;
                if let Err(error) = manager.note_deleted(&server.owner, &server.link, deleted).await {
                    tracing::warn!(%error, "what is gone is shown until its server is read again");
                }
                manager.count_change(&server.owner, &server.link);
                lock(&manager.tending).remove(&server);
                manager.read_server(&server.owner, &server.link).await;
            })
        };
        servers.into_iter().filter(free).map(start).collect()
    }

    /// The tasks of one server. Where it does not answer the first, the others need not wait for it, too; where it answers
    /// that it cannot do one, it may well do another. What is deleted there by now, by its URL.
    async fn try_server(self: &Arc<Self>, tasks: Vec<Task>) -> BTreeSet<String> {
        let mut rest = tasks.into_iter();
        let Some(first) = rest.next() else { return BTreeSet::new() };
        let Tried { task: first, is_answered } = self.try_one(first).await;
        let (standing, deleted) = (first.standing.clone(), first.deleted());
        self.keep(vec![first]).await;
        if !is_answered {
            let missed = |task: Task| Task { standing: standing.clone(), tries: task.tries.saturating_add(1), ..task };
            self.keep(rest.map(missed).collect()).await;
            return deleted.into_iter().collect();
        }
        let each = |task: Task| async {
            let tried = self.try_one(task).await.task;
            let deleted = tried.deleted();
            self.keep(vec![tried]).await;
            deleted
        };
        let others: Vec<Option<String>> = stream::iter(rest).map(each).buffer_unordered(AT_ONCE).collect().await;
        deleted.into_iter().chain(others.into_iter().flatten()).collect()
    }

    async fn keep(&self, tasks: Vec<Task>) {
        let now = self.now();
        let kept = self.store.keep_tried(&tasks, now).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "tasks could not be kept");
        }
    }

    async fn try_one(self: &Arc<Self>, task: Task) -> Tried {
        let tries = task.tries.saturating_add(1);
        let answer = self.call(&task).await;
        let is_answered = !matches!(answer, Err(Trouble::Away(_) | Trouble::Store(_)));
        let standing = match answer {
            // `202 Accepted` promises nothing (RFC 9110 15.3.3): it is asked again
            Ok(200 | 201 | 204 | 205) => Standing::Confirmed { at: self.now() },
            Ok(404 | 410) if task.method == "DELETE" && task.is_unsure => Standing::Unheard { why: KNOWS_NOTHING.to_owned() },
            // what is to be gone is not there
            Ok(404 | 410) if task.method == "DELETE" => Standing::Confirmed { at: self.now() },
            Ok(status) if (400..500).contains(&status) && ![401, 408, 425, 429].contains(&status) => {
                Standing::Refused { why: format!("it answered HTTP {status}") }
            }
            Ok(status) => Standing::Waiting { why: Some(format!("it answered HTTP {status}")) },
            Err(trouble) => match self.find_end(&task) {
                Some(why) => Standing::Unheard { why: why.to_owned() },
                None => Standing::Waiting { why: Some(trouble.to_string()) },
            },
        };
        Tried { task: Task { standing, tries, ..task }, is_answered }
    }

    /// Why a task's server cannot be asked any more, where that is so.
    fn find_end(&self, task: &Task) -> Option<&'static str> {
        match self.store.find_link(&task.owner, &task.link) {
            Ok(None) => Some(UNLINKED),
            Ok(Some(link)) if link.ended => Some(ENDED),
            // it may be asked again
            _ => None,
        }
    }

    async fn call(&self, task: &Task) -> Result<u16, Trouble> {
        let (link, client, _) = self.ready(&task.owner, &task.link).await?;
        let unreadable = |_| Trouble::Refused(format!("`{}` is no method: nothing was asked", task.method));
        let method = Method::from_bytes(task.method.as_bytes()).map_err(unreadable)?;
        let body = task.body.as_ref().map_or(ApiBody::None, ApiBody::Json);
        let call = ApiCall { method, url: &task.url, token: &link.access_token, bound: link.bound, body, patience: PATIENCE };
        let status = client.api(&call).await?.status;
        if status == 401 {
            self.distrust_token(&task.owner, &link).await?;
        }
        Ok(status)
    }

    /// Those whose time has come: of each server some, so that one which hangs does not take all the places.
    pub(crate) fn tend_tasks(self: &Arc<Self>) {
        let busy = lock(&self.tending).clone();
        match self.store.list_due_tasks(self.now(), TENDED_OF_EACH, |server| busy.contains(server)) {
            Ok(due) => drop(self.start(due)),
            Err(error) => tracing::warn!(%error, "tasks could not be read"),
        }
    }

    /// What was asked lately, the newest first; what was confirmed long ago is forgotten.
    pub(crate) async fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, Trouble> {
        let all: Vec<Task> = self.store.list_tasks(owner)?;
        let now = self.now();
        let (gone, mut left): (Vec<Task>, Vec<Task>) = all.into_iter().partition(|task| task.is_past(now));
        if !gone.is_empty() {
            self.store.delete_tasks(owner, &gone.into_iter().map(|task| task.id).collect::<Vec<_>>()).await?;
        }
        left.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(left)
    }
}

#[cfg(test)]
mod tests;
