//! Tasks: what is asked of servers until they confirm it. Which of them is due when is kept in memory beside the table, server
//! by server, so that however much one of them owes, the others' turn comes (threat 46).

use super::{LINK, SNAPSHOT};
use super::{Store, StoreAway, TASK, away};
use crate::lock;
use crate::task::{LONGEST_PAUSE, Standing, Task};
use database::{Batch, Check, CommitError, Operation, Row, Scan, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::Timestamp;

/// A task that is done is due never.
const NEVER: i64 = i64::MAX;
/// Where a row has its sealed value: it is another one after each write.
const BODY_COLUMN: usize = 3;
/// Seconds after which the whole table is read again: whoever made a commit may have been given up before she said so.
const READ_AGAIN: i64 = 600;
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

impl Store {
    pub(crate) fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, StoreAway> {
        Ok(self.list(&TASK, &[owner.into()])?.into_iter().map(|(_, task)| task).collect())
    }

    /// Of all owners, those that are to be tried now: of each owner's server at most so many, and none of one that is being
    /// asked already. One that does not open holds up no other.
    pub(crate) fn list_due_tasks(
        &self,
        now: Timestamp,
        of_each: usize,
        is_busy: impl Fn(&OwnersServer) -> bool,
    ) -> Result<Vec<Task>, StoreAway> {
        let due: Vec<(String, String)> = {
            let mut waiting = lock(&self.due);
            let is_old = |waiting: &DueTasks| waiting.read.saturating_add(READ_AGAIN) <= now.0 || now.0 < waiting.read;
            if waiting.as_ref().is_none_or(is_old) {
                *waiting = Some(DueTasks { read: now.0, ..self.read_due_tasks()? });
            }
            let Some(waiting) = &*waiting else { return Ok(Vec::new()) };
            let free = waiting.servers.iter().filter(|(server, _)| !is_busy(server));
            let of = |(server, all): (&OwnersServer, &BTreeSet<Due>)| {
                let owner = server.owner.clone();
                // what is to wait longer than anything does was put off by a clock that was ahead
                let far = now.plus(LONGEST_PAUSE).0;
                let put_off = all.iter().rev().take_while(move |due| due.at > far);
                let due = all.iter().take_while(|due| due.at <= now.0).chain(put_off).take(of_each);
                due.map(move |due| (owner.clone(), due.id.clone())).collect::<Vec<_>>()
            };
            free.flat_map(of).collect()
        };
        let mut tasks = Vec::new();
        for (owner, id) in due {
            // what is gone, does not open (that is in the log) or is over takes no place in its server's line
            match self.find_task(&owner, &id)?.filter(|(_, task)| task.due(now).is_some()) {
                Some((_, task)) => tasks.push(task),
                None => lock(&self.due).iter_mut().for_each(|waiting| waiting.forget(&owner, &id)),
            }
        }
        Ok(tasks)
    }

    /// A task that opens, and its row.
    fn find_task(&self, owner: &str, id: &str) -> Result<Option<(Row, Task)>, StoreAway> {
        let row = self.database.get(&TASK, &[owner.into(), id.into()]).map_err(away)?;
        Ok(row.and_then(|row| self.opened::<Task>(&TASK, &row).ok().map(|task| (row, task))))
    }

    /// What waits in the table.
    fn read_due_tasks(&self) -> Result<DueTasks, StoreAway> {
        let scan = Scan { table: &TASK, index: Some(0), prefix: &[], after: None, descending: false, limit: usize::MAX };
        let mut waiting = DueTasks::default();
        for row in self.database.scan(&scan).map_err(away)? {
            let Some(at) = due_of(&row).filter(|at| *at != NEVER) else { continue };
            if let Ok(task) = self.opened::<Task>(&TASK, &row) {
                waiting.note(&task, at);
            }
        }
        Ok(waiting)
    }

    /// After a commit, whatever came of it: the line says of these tasks what the table says. Commits end in another order than
    /// whoever made them comes to say so, and one that failed has changed nothing.
    pub(super) fn note_tasks(&self, tasks: &[Task]) {
        let mut due = lock(&self.due);
        let Some(waiting) = &mut *due else { return };
        if tasks.iter().any(|task| self.note_task(waiting, &task.owner, &task.id).is_err()) {
            // the next look reads the whole table
            *due = None;
        }
    }

    fn note_task(&self, waiting: &mut DueTasks, owner: &str, id: &str) -> Result<(), StoreAway> {
        match self.find_task(owner, id)? {
            Some((row, task)) => waiting.note(&task, due_of(&row).unwrap_or(NEVER)),
            None => waiting.forget(owner, id),
        }
        Ok(())
    }

    pub(super) fn task_operation(&self, task: &Task, now: Timestamp) -> Result<Operation, StoreAway> {
        let due = due_at(task, now);
        let row = self.sealed_row(&TASK, vec![task.owner.as_str().into(), task.id.as_str().into(), due.into()], task)?;
        Ok(Operation::Put { table: &TASK, row })
    }

    pub(crate) async fn put_tasks(&self, tasks: &[Task], now: Timestamp) -> Result<(), StoreAway> {
        let operations: Result<Vec<Operation>, StoreAway> = tasks.iter().map(|task| self.task_operation(task, now)).collect();
        let written = self.write(operations?).await;
        self.note_tasks(tasks);
        written
    }

    /// The change of a task that must still be as it was read.
    fn change_task(&self, batch: &mut Batch, row: &Row, task: &Task, now: Timestamp) -> Result<(), StoreAway> {
        let key = vec![task.owner.as_str().into(), task.id.as_str().into()];
        let value = row.get(BODY_COLUMN).cloned().ok_or(StoreAway)?;
        batch.checks.push(Check::Equals { table: &TASK, key, column: BODY_COLUMN, value });
        batch.operations.push(self.task_operation(task, now)?);
        Ok(())
    }

    /// Tasks after a try. Each is kept only while the one in the store still waits under the same link: the end of the link, and
    /// what came of it since, is no try's to undo.
    pub(crate) async fn keep_tried(&self, tried: &[Task], now: Timestamp) -> Result<(), StoreAway> {
        for _ in 0..MOST_TRIES {
            let (mut batch, mut kept) = (Batch::default(), Vec::new());
            for task in tried {
                let found = self.find_task(&task.owner, &task.id)?;
                let waits = |known: &Task| known.link == task.link && matches!(known.standing, Standing::Waiting { .. });
                let Some((row, _)) = found.filter(|(_, known)| waits(known)) else { continue };
                self.change_task(&mut batch, &row, task, now)?;
                kept.push(task.clone());
            }
            match self.database.commit(batch).await {
                Err(CommitError::Broken(_)) => {}
                other => {
                    self.note_tasks(&kept);
                    return other.map_err(away);
                }
            }
        }
        Err(away("tasks change too fast"))
    }

    /// A link is gone, with what was kept of its server; and in the same commit what its server has not confirmed is asked no
    /// more, and says why; and what she signed keeps as who it was placed there.
    pub(crate) async fn delete_link(&self, owner: &str, id: &str, why: &str, now: Timestamp) -> Result<(), StoreAway> {
        for _ in 0..MOST_TRIES {
            let (batch, ended) = self.end_of_link(owner, id, why, now)?;
            match self.database.commit(batch).await {
                // one of them was confirmed meanwhile: that stands
                Err(CommitError::Broken(_)) => {}
                other => {
                    self.note_tasks(&ended);
                    return other.map_err(away);
                }
            }
        }
        Err(away("tasks change too fast"))
    }

    /// The end of a link as a commit, and the tasks that end with it.
    pub(super) fn end_of_link(&self, owner: &str, id: &str, why: &str, now: Timestamp) -> Result<(Batch, Vec<Task>), StoreAway> {
        let (mut batch, mut ended) = (Batch::default(), Vec::new());
        for (row, task) in self.list::<Task>(&TASK, &[owner.into()])? {
            if task.link == id && matches!(task.standing, Standing::Waiting { .. }) {
                let task = task.left_untold(why);
                self.change_task(&mut batch, &row, &task, now)?;
                ended.push(task);
            }
        }
        if let Some(link) = self.find_link(owner, id)? {
            self.keep_placed(owner, &link, &mut batch)?;
        }
        for table in [&LINK, &SNAPSHOT] {
            batch.operations.push(Operation::Delete { table, key: vec![owner.into(), id.into()] });
        }
        Ok((batch, ended))
    }

    pub(crate) async fn delete_tasks(&self, owner: &str, ids: &[String]) -> Result<(), StoreAway> {
        let delete = |id: &String| Operation::Delete { table: &TASK, key: vec![owner.into(), id.as_str().into()] };
        let written = self.write(ids.iter().map(delete).collect()).await;
        let mut due = lock(&self.due);
        let Some(waiting) = &mut *due else { return written };
        if ids.iter().any(|id| self.note_task(waiting, owner, id).is_err()) {
            *due = None;
        }
        written
    }
}

fn due_of(row: &Row) -> Option<i64> {
    row.get(2).and_then(Value::as_int)
}

fn due_at(task: &Task, now: Timestamp) -> i64 {
    task.due(now).map_or(NEVER, |due| due.0)
}
