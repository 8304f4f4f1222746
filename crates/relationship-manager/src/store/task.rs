//! Tasks: what is asked of servers until they confirm it. Which of them is due when is kept in memory beside the table, server
//! by server, so that however much one of them owes, the others' turn comes (threat 46).

use super::{LINK, SNAPSHOT};
use super::{Store, StoreAway, TASK, away};
use crate::task::{LONGEST_PAUSE, Standing, Task};
use database::{Batch, Check, CommitError, Operation, Row, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::atomic::Ordering;
use types::Timestamp;

/// A task that is done is due never.
const NEVER: i64 = i64::MAX;
/// Seconds after which the whole table is read again, whatever is known of it.
const READ_AGAIN: i64 = 600;
/// Seconds by which a commit whose maker was given up is on disk, or never will be.
const SETTLED: i64 = 15;
/// How often a commit is made again that met another one.
const MOST_TRIES: usize = 32;

/// A linked server of an owner's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct OwnersServer {
    pub(crate) owner: String,
    pub(crate) link: String,
}

impl OwnersServer {
    pub(crate) fn of(task: &Task) -> Self {
        Self { owner: task.owner.clone(), link: task.link.clone() }
    }
}

/// When a task is due, and its id.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Due {
    at: i64,
    id: String,
}

/// What waits, by server, the longest due first.
#[derive(Default)]
pub(super) struct DueTasks {
    servers: BTreeMap<OwnersServer, BTreeSet<Due>>,
    /// When the table was read.
    read: i64,
    /// By owner and id: where it stands above.
    known: HashMap<(String, String), (OwnersServer, i64)>,
}

impl DueTasks {
    fn forget(&mut self, owner: &str, id: &str) {
        let Some((server, at)) = self.known.remove(&(owner.to_owned(), id.to_owned())) else { return };
        if let Some(all) = self.servers.get_mut(&server) {
            all.remove(&Due { at, id: id.to_owned() });
            if all.is_empty() {
                self.servers.remove(&server);
            }
        }
    }

    fn note(&mut self, task: &Task, at: i64) {
        self.forget(&task.owner, &task.id);
        if at != NEVER {
            let server = OwnersServer::of(task);
            self.known.insert((task.owner.clone(), task.id.clone()), (server.clone(), at));
            self.servers.entry(server).or_default().insert(Due { at, id: task.id.clone() });
        }
    }
}

/// A commit of tasks that the line does not know yet. Whoever is given up before she has said so leaves a line that is read anew.
struct Unnoted<'s> {
    store: &'s Store,
    is_noted: bool,
}

impl Drop for Unnoted<'_> {
    fn drop(&mut self) {
        if !self.is_noted {
            self.store.is_due_stale.store(true, Ordering::Release);
        }
    }
}

impl Store {
    pub(crate) async fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, StoreAway> {
        Ok(self.list(&TASK, &[owner.into()]).await?.into_iter().map(|(_, task)| task).collect())
    }

    /// The same without those that are past; these are forgotten, unless they have changed since they were read.
    pub(crate) async fn list_tasks_but(
        &self,
        owner: &str,
        is_past: impl Fn(&Task) -> bool + Send,
    ) -> Result<Vec<Task>, StoreAway> {
        let all = self.list::<Task>(&TASK, &[owner.into()]).await?;
        let (gone, left): (Vec<_>, Vec<_>) = all.into_iter().partition(|(_, task)| is_past(task));
        if !gone.is_empty() {
            let checks = gone.iter().map(|(row, _)| Check::unchanged(&TASK, row)).collect();
            let delete = |(_, task): &(Row, Task)| Operation::Delete { table: &TASK, key: key_of(task) };
            let batch = Batch { checks, operations: gone.iter().map(delete).collect() };
            let ids = gone.iter().map(|(_, task)| task.id.as_str());
            match self.commit_and_note(batch, ids.map(|id| (owner, id)).collect()).await {
                // one of them is asked anew: the next look says so
                Ok(()) | Err(CommitError::Broken(_)) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(left.into_iter().map(|(_, task)| task).collect())
    }

    /// Of all owners, the ids of those that are to be tried now: of each owner's server at most so many, and none of one that is
    /// being asked already.
    pub(crate) async fn list_due(
        &self,
        now: Timestamp,
        of_each: usize,
        is_busy: impl Fn(&OwnersServer) -> bool + Send,
    ) -> Result<Vec<(OwnersServer, Vec<String>)>, StoreAway> {
        let mut line = self.due.lock().await;
        let is_old = |line: &DueTasks| line.read.saturating_add(READ_AGAIN) <= now.0 || now.0 < line.read;
        let is_stale = self.is_due_stale.swap(false, Ordering::AcqRel);
        if is_stale || line.as_ref().is_none_or(is_old) {
            // where it cannot be read, or whoever reads is given up, there is none
            *line = None;
            // what was given up may be on disk only in a moment: it is read once more then
            let read = if is_stale { now.0.saturating_sub(READ_AGAIN).saturating_add(SETTLED) } else { now.0 };
            *line = Some(DueTasks { read, ..self.read_due_tasks().await? });
        }
        let Some(line) = &*line else { return Ok(Vec::new()) };
        let free = line.servers.iter().filter(|(server, _)| !is_busy(server));
        let of = |(server, all): (&OwnersServer, &BTreeSet<Due>)| {
            // what is to wait longer than anything does was put off by a clock that was ahead
            let far = now.plus(LONGEST_PAUSE).0;
            let put_off = all.iter().rev().take_while(move |due| due.at > far);
            let due = all.iter().take_while(|due| due.at <= now.0).chain(put_off).take(of_each);
            (server.clone(), due.map(|due| due.id.clone()).collect::<Vec<_>>())
        };
        Ok(free.map(of).filter(|(_, due)| !due.is_empty()).collect())
    }

    /// Those of a server that are still to be tried; one that does not open holds up no other.
    pub(crate) async fn find_due(&self, server: &OwnersServer, ids: &[String], now: Timestamp) -> Result<Vec<Task>, StoreAway> {
        let mut tasks = Vec::new();
        for id in ids {
            match self.find_task(&server.owner, id).await?.filter(|(_, task)| task.due(now).is_some()) {
                Some((_, task)) => tasks.push(task),
                // what is gone, does not open (that is in the log) or is over takes no place in its server's line
                None => self.note_one(&server.owner, id).await?,
            }
        }
        Ok(tasks)
    }

    /// A task that opens, and its row.
    async fn find_task(&self, owner: &str, id: &str) -> Result<Option<(Row, Task)>, StoreAway> {
        let row = self.records.database.get(&TASK, &[owner.into(), id.into()]).await?;
        Ok(row.and_then(|row| self.opened_task(&row).map(|task| (row, task))))
    }

    /// None where it does not open: that is in the log.
    fn opened_task(&self, row: &Row) -> Option<Task> {
        self.records.open(&TASK, row).map_err(StoreAway::from).ok()
    }

    /// What waits in the table.
    async fn read_due_tasks(&self) -> Result<DueTasks, StoreAway> {
        let mut waiting = DueTasks::default();
        for row in self.records.rows(&TASK, Some(0), &[]).await? {
            let Some(at) = due_of(&row).filter(|at| *at != NEVER) else { continue };
            if let Some(task) = self.opened_task(&row) {
                waiting.note(&task, at);
            }
        }
        Ok(waiting)
    }

    /// Carries a batch out and notes these tasks, by owner and id, whatever came of it: the line says of them what the table says.
    /// Commits end in another order than whoever made them comes to say so, and one that failed may have happened.
    async fn commit_and_note(&self, batch: Batch, tasks: Vec<(&str, &str)>) -> Result<(), CommitError> {
        let mut unnoted = Unnoted { store: self, is_noted: false };
        let done = self.records.commit(batch).await;
        for (owner, id) in tasks {
            // one that cannot be read leaves the line to be read anew
            if self.note_one(owner, id).await.is_err() {
                return done;
            }
        }
        unnoted.is_noted = true;
        done
    }

    pub(super) async fn commit_tasks(&self, batch: Batch, tasks: &[Task]) -> Result<(), CommitError> {
        self.commit_and_note(batch, tasks.iter().map(|task| (task.owner.as_str(), task.id.as_str())).collect()).await
    }

    /// Read and noted in one turn: of two who note the same task, the later one has read it later.
    pub(super) async fn note_one(&self, owner: &str, id: &str) -> Result<(), StoreAway> {
        let mut line = self.due.lock().await;
        let Some(waiting) = &mut *line else { return Ok(()) };
        match self.find_task(owner, id).await? {
            Some((row, task)) => waiting.note(&task, due_of(&row).unwrap_or(NEVER)),
            None => waiting.forget(owner, id),
        }
        Ok(())
    }

    pub(super) fn task_operation(&self, task: &Task, now: Timestamp) -> Result<Operation, StoreAway> {
        let due = due_at(task, now);
        let columns = vec![task.owner.as_str().into(), task.id.as_str().into(), due.into()];
        Ok(Operation::Put { table: &TASK, row: self.records.row(&TASK, columns, task)? })
    }

    pub(crate) async fn put_tasks(&self, tasks: &[Task], now: Timestamp) -> Result<(), StoreAway> {
        let operations: Result<Vec<Operation>, StoreAway> = tasks.iter().map(|task| self.task_operation(task, now)).collect();
        Ok(self.commit_tasks(Batch { checks: vec![], operations: operations? }, tasks).await?)
    }

    /// The change of a task that must still be as it was read.
    fn change_task(&self, batch: &mut Batch, row: &Row, task: &Task, now: Timestamp) -> Result<(), StoreAway> {
        batch.checks.push(Check::unchanged(&TASK, row));
        batch.operations.push(self.task_operation(task, now)?);
        Ok(())
    }

    /// Tasks after a try. Each is kept only while the one in the store still waits under the same link: the end of the link, and
    /// what came of it since, is no try's to undo.
    pub(crate) async fn keep_tried(&self, tried: &[Task], now: Timestamp) -> Result<(), StoreAway> {
        for _ in 0..MOST_TRIES {
            let (mut batch, mut kept) = (Batch::default(), Vec::new());
            for task in tried {
                let found = self.find_task(&task.owner, &task.id).await?;
                let waits = |known: &Task| known.link == task.link && matches!(known.standing, Standing::Waiting { .. });
                let Some((row, _)) = found.filter(|(_, known)| waits(known)) else { continue };
                self.change_task(&mut batch, &row, task, now)?;
                kept.push(task.clone());
            }
            match self.commit_tasks(batch, &kept).await {
                Err(CommitError::Broken(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(away("tasks change too fast"))
    }

    /// A link is gone, with what was kept of its server; and in the same commit what its server has not confirmed is asked no
    /// more, and says why; and what she signed keeps as who it was placed there.
    pub(crate) async fn delete_link(&self, owner: &str, id: &str, why: &str, now: Timestamp) -> Result<(), StoreAway> {
        for _ in 0..MOST_TRIES {
            let (batch, ended) = self.end_of_link(owner, id, why, now).await?;
            match self.commit_tasks(batch, &ended).await {
                // one of them was confirmed meanwhile: that stands
                Err(CommitError::Broken(_)) => {}
                other => return Ok(other?),
            }
        }
        Err(away("tasks change too fast"))
    }

    /// The end of a link as a commit, and the tasks that end with it.
    pub(super) async fn end_of_link(
        &self,
        owner: &str,
        id: &str,
        why: &str,
        now: Timestamp,
    ) -> Result<(Batch, Vec<Task>), StoreAway> {
        let (mut batch, mut ended) = (Batch::default(), Vec::new());
        for (row, task) in self.list::<Task>(&TASK, &[owner.into()]).await? {
            if task.link == id && matches!(task.standing, Standing::Waiting { .. }) {
                let task = task.left_untold(why);
                self.change_task(&mut batch, &row, &task, now)?;
                ended.push(task);
            }
        }
        if let Some(link) = self.find_link(owner, id).await? {
            self.keep_placed(owner, &link, &mut batch).await?;
        }
        for table in [&LINK, &SNAPSHOT] {
            batch.operations.push(Operation::Delete { table, key: vec![owner.into(), id.into()] });
        }
        Ok((batch, ended))
    }

    pub(crate) async fn delete_tasks(&self, owner: &str, ids: &[String]) -> Result<(), StoreAway> {
        let delete = |id: &String| Operation::Delete { table: &TASK, key: vec![owner.into(), id.as_str().into()] };
        let batch = Batch { checks: vec![], operations: ids.iter().map(delete).collect() };
        Ok(self.commit_and_note(batch, ids.iter().map(|id| (owner, id.as_str())).collect()).await?)
    }
}

fn key_of(task: &Task) -> Row {
    vec![task.owner.as_str().into(), task.id.as_str().into()]
}

fn due_of(row: &Row) -> Option<i64> {
    row.get(2).and_then(Value::as_int)
}

fn due_at(task: &Task, now: Timestamp) -> i64 {
    task.due(now).map_or(NEVER, |due| due.0)
}
