//! The engine in memory: ordered maps behind one lock. For tests, and for `memory:`.

use crate::batch::{Batch, Check, CommitError, Operation};
use crate::table::{Row, Scan, Table, Value};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Mutex, MutexGuard, PoisonError};

#[derive(Clone, Default)]
struct Rows {
    by_key: BTreeMap<Vec<Value>, Row>,
    /// For each index: its columns and the rest of the key, in order, with the key.
    by_index: Vec<BTreeSet<(Vec<Value>, Vec<Value>)>>,
}

/// Tables in memory.
#[derive(Default)]
pub struct Memory {
    tables: Mutex<HashMap<&'static str, Rows>>,
}

impl Rows {
    fn entry(table: &Table, index: usize, row: &[Value]) -> (Vec<Value>, Vec<Value>) {
        let pick = |at: usize| row.get(at).cloned().unwrap_or(Value::Null);
        (table.order(Some(index)).into_iter().map(pick).collect(), table.key_of(row).to_vec())
    }

    fn put(&mut self, table: &Table, row: Row) {
        self.delete(table, table.key_of(&row));
        self.by_index.resize_with(table.indexes.len(), BTreeSet::new);
        for (at, entries) in self.by_index.iter_mut().enumerate() {
            entries.insert(Self::entry(table, at, &row));
        }
        self.by_key.insert(table.key_of(&row).to_vec(), row);
    }

    fn delete(&mut self, table: &Table, key: &[Value]) {
        let Some(row) = self.by_key.remove(key) else { return };
        for (at, entries) in self.by_index.iter_mut().enumerate() {
            entries.remove(&Self::entry(table, at, &row));
        }
    }

    fn is_taken(&self, table: &Table, row: &[Value]) -> bool {
        self.by_key.contains_key(table.key_of(row)) || self.collides(table, row)
    }

    /// Whether another row has the same values in a unique index.
    fn collides(&self, table: &Table, row: &[Value]) -> bool {
        let unique = table.indexes.iter().enumerate().filter(|(_, index)| index.unique);
        unique.into_iter().any(|(at, index)| {
            let wanted: Vec<Value> = index.columns.iter().filter_map(|at| row.get(*at).cloned()).collect();
            !wanted.contains(&Value::Null)
                && self.by_index.get(at).is_some_and(|entries| has_other(entries, &wanted, table.key_of(row)))
        })
    }

    fn column(&mut self, key: &[Value], column: usize) -> Option<&mut Value> {
        self.by_key.get_mut(key)?.get_mut(column)
    }

    fn holds(&mut self, check: &Check) -> bool {
        match check {
            Check::NoneAlong { table, index, prefix } => {
                let scan = Scan { table, index: Some(*index), prefix, after: None, descending: false, limit: 1 };
                self.keys_with(&scan).is_empty()
            }
            Check::Absent { key, .. } => !self.by_key.contains_key(key),
            Check::Equals { key, column, value, .. } => self.column(key, *column).is_some_and(|has| has == value),
            Check::Below { key, column, limit, .. } => {
                self.column(key, *column).and_then(|has| has.as_int()).is_some_and(|has| has < *limit)
            }
        }
    }

    fn keys_with(&self, scan: &Scan<'_>) -> Vec<Vec<Value>> {
        let order = scan.table.order(scan.index);
        let fits = |along: &[Value]| {
            along.starts_with(scan.prefix)
                && scan.after.as_ref().is_none_or(|after| {
                    along.get(scan.prefix.len()).is_some_and(|next| if scan.descending { next < after } else { next > after })
                })
        };
        let take = |keys: &mut dyn Iterator<Item = (Vec<Value>, Vec<Value>)>| {
            keys.filter(|(along, _)| fits(along)).map(|(_, key)| key).take(scan.limit).collect::<Vec<_>>()
        };
        // a page costs by what is in it: what stands before `after` is not walked over
        let mut from = scan.prefix.to_vec();
        from.extend(scan.after.clone().filter(|_| !scan.descending));
        match scan.index.and_then(|at| self.by_index.get(at)) {
            Some(entries) => {
                let run = entries.range((from, Vec::new())..).take_while(|(along, _)| along.starts_with(scan.prefix)).cloned();
                if scan.descending { take(&mut run.collect::<Vec<_>>().into_iter().rev()) } else { take(&mut run.into_iter()) }
            }
            None if scan.index.is_some() => Vec::new(),
            None => {
                let along = |row: &Row| order.iter().filter_map(|at| row.get(*at).cloned()).collect::<Vec<_>>();
                let run = self.by_key.range(from..).take_while(|(key, _)| key.starts_with(scan.prefix));
                let run = run.map(|(key, row)| (along(row), key.clone()));
                if scan.descending { take(&mut run.collect::<Vec<_>>().into_iter().rev()) } else { take(&mut run.into_iter()) }
            }
        }
    }

    /// Carries the operation out, noting how each row was; `false` where an insert is taken.
    fn apply(&mut self, operation: &Operation, undo: &mut Vec<Undo>) -> bool {
        let table = operation.table();
        let mut note = |rows: &Self, key: &[Value]| undo.push((table, key.to_vec(), rows.by_key.get(key).cloned()));
        match operation {
            Operation::Insert { row, .. } if self.is_taken(table, row) => return false,
            Operation::Put { row, .. } if self.collides(table, row) => return false,
            Operation::Insert { row, .. } | Operation::Put { row, .. } => {
                note(self, table.key_of(row));
                self.put(table, row.clone());
            }
            Operation::Delete { key, .. } => {
                note(self, key);
                self.delete(table, key);
            }
            Operation::DeleteAll { index, prefix, .. } => {
                let scan = Scan { table, index: *index, prefix, after: None, descending: false, limit: usize::MAX };
                for key in self.keys_with(&scan) {
                    note(self, &key);
                    self.delete(table, &key);
                }
            }
            Operation::DeleteBetween { from, below, .. } => {
                let range = vec![Value::Int(*from)]..vec![Value::Int(*below)];
                let keys: Vec<_> = self.by_key.range(range).map(|(key, _)| key.clone()).collect();
                for key in keys {
                    note(self, &key);
                    self.delete(table, &key);
                }
            }
            Operation::Add { key, column, by, .. } => {
                note(self, key);
                if let Some(Value::Int(value)) = self.column(key, *column) {
                    *value = value.saturating_add(*by);
                }
            }
            Operation::Raise { row, column, .. } => {
                let key = table.key_of(row);
                note(self, key);
                let by = row.get(*column).and_then(Value::as_int).unwrap_or(0);
                match self.column(key, *column) {
                    Some(Value::Int(value)) => *value = value.saturating_add(by),
                    _ => self.put(table, row.clone()),
                }
            }
            Operation::DeleteBelow { column, limit, most, .. } => {
                let low = |row: &Row| row.get(*column).and_then(Value::as_int).filter(|value| value < limit);
                let lowest = self.by_key.values().filter_map(|row| Some((low(row)?, table.key_of(row).to_vec())));
                let mut keys: Vec<_> = lowest.collect();
                keys.sort_unstable();
                for (_, key) in keys.into_iter().take(*most) {
                    note(self, &key);
                    self.delete(table, &key);
                }
            }
        }
        true
    }
}

/// A row as it was before a change.
type Undo = (&'static Table, Vec<Value>, Option<Row>);

fn has_other(entries: &BTreeSet<(Vec<Value>, Vec<Value>)>, wanted: &[Value], own: &[Value]) -> bool {
    let run = entries.range((wanted.to_vec(), Vec::new())..).take_while(|(along, _)| along.starts_with(wanted));
    run.into_iter().any(|(_, key)| key != own)
}

impl Memory {
    fn tables(&self) -> MutexGuard<'_, HashMap<&'static str, Rows>> {
        self.tables.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self, table: &Table, key: &[Value]) -> Option<Row> {
        self.tables().get(table.name)?.by_key.get(key).cloned()
    }

    pub(crate) fn scan(&self, scan: &Scan<'_>) -> Vec<Row> {
        let tables = self.tables();
        let Some(rows) = tables.get(scan.table.name) else { return Vec::new() };
        rows.keys_with(scan).iter().filter_map(|key| rows.by_key.get(key).cloned()).collect()
    }

    pub(crate) fn count(&self, scan: &Scan<'_>) -> usize {
        self.tables().get(scan.table.name).map_or(0, |rows| rows.keys_with(scan).len())
    }

    pub(crate) fn commit(&self, batch: &Batch) -> Result<(), CommitError> {
        let mut tables = self.tables();
        for (at, check) in batch.checks.iter().enumerate() {
            if !tables.entry(check.table().name).or_default().holds(check) {
                return Err(CommitError::Broken(at));
            }
        }
        let mut undo = Vec::new();
        for (at, operation) in batch.operations.iter().enumerate() {
            if !tables.entry(operation.table().name).or_default().apply(operation, &mut undo) {
                for (table, key, row) in undo.into_iter().rev() {
                    let rows = tables.entry(table.name).or_default();
                    match row {
                        Some(row) => rows.put(table, row),
                        None => rows.delete(table, &key),
                    }
                }
                return Err(CommitError::Taken(at));
            }
        }
        Ok(())
    }
}

impl Operation {
    pub(crate) fn table(&self) -> &'static Table {
        match self {
            Self::Insert { table, .. }
            | Self::Put { table, .. }
            | Self::Delete { table, .. }
            | Self::DeleteAll { table, .. }
            | Self::DeleteBetween { table, .. }
            | Self::Add { table, .. }
            | Self::Raise { table, .. }
            | Self::DeleteBelow { table, .. } => table,
        }
    }
}
