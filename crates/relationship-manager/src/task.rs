//! What is asked of servers and must be heard: withdrawals above all. A task is kept until its server has confirmed it,
//! tried again with growing pauses, also after a restart; the owner sees who has not confirmed yet.

use crate::{Manager, PATIENCE, Trouble, lock};
use client::api::{ApiBody, ApiCall};
use futures_util::StreamExt;
use futures_util::stream;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use tokio::task::JoinHandle;
use types::Timestamp;

/// How long a page waits for servers.
const PAGE_WAITS: Duration = Duration::from_secs(3);
/// How many are on their way to a server at once.
const AT_ONCE: usize = 16;
/// Longest pause between two tries, in seconds.
const LONGEST_PAUSE: i64 = 60;
/// Seconds that a confirmed one is shown.
const SHOWN: i64 = 7 * 86_400;
/// Most that one look tends.
const TENDED: usize = 200;

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
}

/// What a task asks.
pub(crate) struct Wanted {
    pub(crate) link: String,
    pub(crate) server: String,
    pub(crate) what: String,
    pub(crate) method: Method,
    pub(crate) url: String,
    pub(crate) body: Option<Value>,
}

impl Task {
    /// When it is tried next.
    fn due(&self, now: Timestamp) -> Option<Timestamp> {
        let pause = 2_i64.saturating_pow(self.tries.min(6)).min(LONGEST_PAUSE);
        matches!(self.standing, Standing::Waiting { .. }).then(|| now.plus(pause))
    }
}

impl Manager {
    /// Asks all of it at once. Servers that answer soon have answered when this returns; the others are asked on behind
    /// the page, and again until they confirm.
    pub(crate) async fn ask(self: &Arc<Self>, owner: &str, wanted: Vec<Wanted>) -> Result<(), Trouble> {
        let (group, now) = (self.new_id(), self.now());
        let tasks: Vec<Task> = wanted
            .into_iter()
            .map(|wanted| Task {
                id: self.new_id(),
                owner: owner.to_owned(),
                group: group.clone(),
                what: wanted.what,
                link: wanted.link,
                server: wanted.server,
                method: wanted.method.as_str().to_owned(),
                url: wanted.url,
                body: wanted.body,
                created: now,
                standing: Standing::Waiting { why: None },
                tries: 0,
            })
            .collect();
        // on disk before the first is asked: nothing that she wanted is lost
        self.store.put_tasks(owner, tasks.iter().map(|task| (task.id.as_str(), task.due(now), task))).await?;
        let asked = futures_util::future::join_all(self.start(tasks));
        let _ = tokio::time::timeout(PAGE_WAITS, asked).await;
        Ok(())
    }

    /// Each server for itself, so that none holds up another; one that is being asked already has its turn later.
    fn start(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<JoinHandle<()>> {
        let mut servers: BTreeMap<(String, String), Vec<Task>> = BTreeMap::new();
        for task in tasks {
            servers.entry((task.owner.clone(), task.link.clone())).or_default().push(task);
        }
        let free = |(server, _): &((String, String), Vec<Task>)| lock(&self.tending).insert(server.clone());
        let start = |(server, tasks): ((String, String), Vec<Task>)| {
            let manager = self.clone();
            tokio::spawn(async move {
                manager.try_server(tasks).await;
                lock(&manager.tending).remove(&server);
                manager.read_server(&server.0, &server.1).await;
            })
        };
        servers.into_iter().filter(free).map(start).collect()
    }

    /// The tasks of one server. Where it does not answer the first, the others need not wait for it, too.
    async fn try_server(self: &Arc<Self>, tasks: Vec<Task>) {
        let mut rest = tasks.into_iter();
        let Some(first) = rest.next() else { return };
        let first = self.try_one(first).await;
        let standing = first.standing.clone();
        self.keep(vec![first]).await;
        if matches!(standing, Standing::Waiting { .. }) {
            let missed = |task: Task| Task { standing: standing.clone(), tries: task.tries.saturating_add(1), ..task };
            return self.keep(rest.map(missed).collect()).await;
        }
        let each = |task: Task| async { self.keep(vec![self.try_one(task).await]).await };
        stream::iter(rest).for_each_concurrent(AT_ONCE, each).await;
    }

    async fn keep(&self, tasks: Vec<Task>) {
        let Some(owner) = tasks.first().map(|task| task.owner.clone()) else { return };
        let now = self.now();
        let kept = self.store.put_tasks(&owner, tasks.iter().map(|task| (task.id.as_str(), task.due(now), task))).await;
        if let Err(error) = kept {
            tracing::warn!(%error, "tasks could not be kept");
        }
    }

    async fn try_one(self: &Arc<Self>, task: Task) -> Task {
        let tries = task.tries.saturating_add(1);
        let standing = match self.call(&task).await {
            Ok(200..=299) => Standing::Confirmed { at: self.now() },
            // what is to be gone is not there
            Ok(404 | 410) if task.method == "DELETE" => Standing::Confirmed { at: self.now() },
            Ok(status) if (400..500).contains(&status) && ![401, 408, 425, 429].contains(&status) => {
                Standing::Refused { why: format!("it answered HTTP {status}") }
            }
            Ok(status) => Standing::Waiting { why: Some(format!("it answered HTTP {status}")) },
            Err(trouble) => Standing::Waiting { why: Some(trouble.to_string()) },
        };
        Task { standing, tries, ..task }
    }

    async fn call(&self, task: &Task) -> Result<u16, Trouble> {
        let (link, client, _) = self.ready(&task.owner, &task.link).await?;
        let method = Method::from_bytes(task.method.as_bytes()).unwrap_or(Method::DELETE);
        let body = task.body.as_ref().map_or(ApiBody::None, ApiBody::Json);
        let call = ApiCall { method, url: &task.url, token: &link.access_token, bound: link.bound, body, patience: PATIENCE };
        Ok(client.api(&call).await?.status)
    }

    /// Those whose time has come.
    pub(crate) fn tend_tasks(self: &Arc<Self>) {
        match self.store.list_due_tasks(self.now(), TENDED) {
            Ok(due) => drop(self.start(due)),
            Err(error) => tracing::warn!(%error, "tasks could not be read"),
        }
    }

    /// What was asked lately, the newest first; what was confirmed long ago is forgotten.
    pub(crate) async fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, Trouble> {
        let all: Vec<Task> = self.store.list_tasks(owner)?;
        let now = self.now();
        let old = |task: &Task| !matches!(task.standing, Standing::Waiting { .. }) && task.created.plus(SHOWN) < now;
        let (gone, mut left): (Vec<Task>, Vec<Task>) = all.into_iter().partition(old);
        if !gone.is_empty() {
            self.store.delete_tasks(owner, &gone.into_iter().map(|task| task.id).collect::<Vec<_>>()).await?;
        }
        left.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(left)
    }
}
