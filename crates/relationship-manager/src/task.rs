//! What is asked of servers and must be heard: withdrawals above all. A task is kept until its server has confirmed it,
//! tried again with growing pauses, also after a restart; the owner sees who has not confirmed yet.

mod trying;

use crate::ending::about;
use crate::ledger::{Account, Word};
use crate::link::{is_of_other_account, is_of_same_account};
use crate::store::{Link, Place};
use crate::{Manager, Trouble};
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::sync::Arc;
use std::time::Duration;
use types::{OwnResourceId, Timestamp};

/// How long a page waits for servers.
const PAGE_WAITS: Duration = Duration::from_secs(3);
/// Longest pause between two tries, in seconds.
pub(crate) const LONGEST_PAUSE: i64 = 60;
/// Seconds that a confirmed one is shown.
const SHOWN: i64 = 7 * 86_400;
const NOT_LINKED: &str = "this server is not linked, so nobody can tell it: link it, and it is told";
pub(crate) const OTHER_ACCOUNT: &str = "you are somebody else at this server now: link it as who you were there, and it is told";
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
        let links: Vec<String> = self.store.list_links(owner).await?.into_iter().map(|link| link.id).collect();
        let is_left = |task: &Task| match task.standing {
            Standing::Unheard { .. } => true,
            // of a link that is gone
            Standing::Waiting { .. } => !links.contains(&task.link),
            Standing::Confirmed { .. } | Standing::Refused { .. } => false,
        };
        let is_hers = |task: &Task| task.is_unsure || !is_of_other_account(&task.link, &link.id);
        let is_for = |task: &Task| task.server == url && task.is_asked_at(&link.place) && is_left(task) && is_hers(task);
        let tasks: Vec<Task> = self.store.list_tasks(owner).await?.into_iter().filter(is_for).collect();
        let (never_asked, asked): (Vec<Task>, Vec<Task>) = tasks.into_iter().partition(|task| task.url.is_empty());
        let again = |task: Task| Task {
            is_unsure: task.is_unsure || !is_of_same_account(&task.link, &link.id),
            link: link.id.clone(),
            standing: Standing::Waiting { why: None },
            ..task
        };
        self.store.put_tasks(&asked.into_iter().map(again).collect::<Vec<_>>(), self.now()).await?;
        let holdings = self.known_holdings(owner).await?;
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

    /// What was asked lately, the newest first; what was confirmed long ago is forgotten.
    pub(crate) async fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, Trouble> {
        let now = self.now();
        let mut left = self.store.list_tasks_but(owner, |task| task.is_past(now)).await?;
        left.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(left)
    }
}

#[cfg(test)]
mod tests;
