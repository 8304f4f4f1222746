//! Asking servers what is asked of them, and asking again until they confirm it.

use super::{Standing, Task, UNLINKED};
use crate::store::OwnersServer;
use crate::{Manager, PATIENCE, Trouble, lock};
use client::api::{ApiBody, ApiCall};
use futures_util::{StreamExt, stream};
use http::Method;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use tokio::task::JoinHandle;

/// How many are on their way to a server at once.
const AT_ONCE: usize = 16;
/// Most that one look tends of each server.
const TENDED_OF_EACH: usize = 200;
const ENDED: &str = "this server takes this desk's word no more: link it again, and it is told";
const KNOWS_NOTHING: &str =
    "as who you are at this server now, it knows nothing of this: link it as who you were there, and it is told";

/// A task after a try, and whether its server said anything.
struct Tried {
    task: Task,
    is_answered: bool,
}

/// What one server is to be asked.
enum ToTry {
    Tasks(Vec<Task>),
    /// By id: what is in the store by the time that it has its turn.
    Due(Vec<String>),
}

impl Manager {
    /// Each server for itself, so that none holds up another; one that is being asked already has its turn later.
    pub(super) fn start(self: &Arc<Self>, tasks: Vec<Task>) -> Vec<JoinHandle<()>> {
        let mut servers: BTreeMap<OwnersServer, Vec<Task>> = BTreeMap::new();
        for task in tasks {
            servers.entry(OwnersServer::of(&task)).or_default().push(task);
        }
        servers.into_iter().filter_map(|(server, tasks)| self.start_server(server, ToTry::Tasks(tasks))).collect()
    }

    /// None where it is being asked already.
    fn start_server(self: &Arc<Self>, server: OwnersServer, to_try: ToTry) -> Option<JoinHandle<()>> {
        if !lock(&self.tending).insert(server.clone()) {
            return None;
        }
        let manager = self.clone();
        Some(tokio::spawn(async move {
            let tasks = match to_try {
                ToTry::Tasks(tasks) => Ok(tasks),
                ToTry::Due(ids) => manager.store.find_due(&server, &ids, manager.now()).await,
            };
            match tasks {
                Ok(tasks) if tasks.is_empty() => drop(lock(&manager.tending).remove(&server)),
                Ok(tasks) => manager.tend_server(&server, tasks).await,
                Err(error) => {
                    tracing::warn!(%error, "tasks could not be read");
                    lock(&manager.tending).remove(&server);
                }
            }
        }))
    }

    async fn tend_server(self: &Arc<Self>, server: &OwnersServer, tasks: Vec<Task>) {
        let deleted = self.try_server(tasks).await;
        self.note_deleted(&server.owner, &server.link, deleted).await;
        self.count_change(&server.owner, &server.link);
        lock(&self.tending).remove(server);
        self.read_server(&server.owner, &server.link).await;
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
            Err(trouble) => match self.find_end(&task).await {
                Some(why) => Standing::Unheard { why: why.to_owned() },
                None => Standing::Waiting { why: Some(trouble.to_string()) },
            },
        };
        Tried { task: Task { standing, tries, ..task }, is_answered }
    }

    /// Why a task's server cannot be asked any more, where that is so.
    async fn find_end(&self, task: &Task) -> Option<&'static str> {
        match self.store.find_link(&task.owner, &task.link).await {
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
    pub(crate) async fn tend_tasks(self: &Arc<Self>) {
        let is_busy = |server: &OwnersServer| lock(&self.tending).contains(server);
        match self.store.list_due(self.now(), TENDED_OF_EACH, is_busy).await {
            Ok(due) => due.into_iter().for_each(|(server, ids)| drop(self.start_server(server, ToTry::Due(ids)))),
            Err(error) => tracing::warn!(%error, "tasks could not be read"),
        }
    }
}
