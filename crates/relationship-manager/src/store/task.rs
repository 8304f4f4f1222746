//! Tasks: what is asked of servers until they confirm it.

use super::{Store, StoreAway, TASK, away};
use crate::task::Task;
use database::{Operation, Row, Scan, Value};
use std::collections::BTreeMap;
use types::Timestamp;

/// A task that is done is due never.
const NEVER: i64 = i64::MAX;
/// Most rows that one look reads.
const SCANNED_AT_MOST: usize = 20_000;

impl Store {
    pub(crate) fn list_tasks(&self, owner: &str) -> Result<Vec<Task>, StoreAway> {
        Ok(self.list(&TASK, &[owner.into()])?.into_iter().map(|(_, task)| task).collect())
    }

    /// Of all owners, those that are to be tried now: of each owner's server at most so many, so that one which does not answer
    /// holds up nobody else's, nor does one that does not open. `is_busy`: servers that are being asked already.
    pub(crate) fn list_due_tasks(
        &self,
        now: Timestamp,
        of_each: usize,
        is_busy: impl Fn(&(String, String)) -> bool,
    ) -> Result<Vec<Task>, StoreAway> {
        let scan = Scan { table: &TASK, index: Some(0), prefix: &[], after: None, descending: false, limit: SCANNED_AT_MOST };
        let rows = self.database.scan(&scan).map_err(away)?;
        let is_due = |row: &&Row| row.get(2).and_then(Value::as_int).is_some_and(|due| due <= now.0);
        let (mut due, mut counts) = (Vec::new(), BTreeMap::<(String, String), usize>::new());
        for task in rows.iter().filter(is_due).filter_map(|row| self.opened::<Task>(&TASK, row).ok()) {
            let server = (task.owner.clone(), task.link.clone());
            let count = counts.entry(server.clone()).or_insert(0);
            if *count < of_each && !is_busy(&server) {
                *count = count.saturating_add(1);
                due.push(task);
            }
        }
        Ok(due)
    }

    pub(super) fn task_operation(&self, task: &Task, now: Timestamp) -> Result<Operation, StoreAway> {
        let due = task.due(now).map_or(NEVER, |due| due.0);
        let row = vec![task.owner.as_str().into(), task.id.as_str().into(), due.into(), self.sealed(&TASK, task)?];
        Ok(Operation::Put { table: &TASK, row })
    }

    pub(crate) async fn put_tasks(&self, tasks: &[Task], now: Timestamp) -> Result<(), StoreAway> {
        let operations: Result<Vec<Operation>, StoreAway> = tasks.iter().map(|task| self.task_operation(task, now)).collect();
        self.write(operations?).await
    }

    pub(crate) async fn delete_tasks(&self, owner: &str, ids: &[String]) -> Result<(), StoreAway> {
        let delete = |id: &String| Operation::Delete { table: &TASK, key: vec![owner.into(), id.as_str().into()] };
        self.write(ids.iter().map(delete).collect()).await
    }
}
