//! What no engine keeps, so that each refuses the same: one that kept it would be the only one that could be used from then on.

use crate::batch::{Batch, Check, CommitError, Operation};
use crate::table::{Table, Value};

/// Bytes of texts and blobs that a key or an index has in one row. PostgreSQL has room for some 2,700 with all else.
const MOST_INDEXED: usize = 2_600;

/// Refuses a text with a zero byte, which PostgreSQL does not keep, and a key or an index that is too long for it.
pub(crate) fn check(batch: &Batch) -> Result<(), CommitError> {
    for check in &batch.checks {
        match check {
            Check::NoneAlong { table, index, prefix } => check_along(table, Some(*index), prefix)?,
            Check::Absent { table, key } | Check::Equals { table, key, .. } | Check::Below { table, key, .. } => {
                check_texts(table, key)?;
                check_length(table, &mut key.iter())?;
            }
        }
        if let Check::Equals { table, column, value, .. } = check {
            check_text(table, *column, value)?;
        }
    }
    batch.operations.iter().try_for_each(check_operation)
}

fn check_operation(operation: &Operation) -> Result<(), CommitError> {
    let table = operation.table();
    match operation {
        Operation::Insert { row, .. } | Operation::Put { row, .. } | Operation::Raise { row, .. } => {
            check_texts(table, row)?;
            check_length(table, &mut table.key_of(row).iter())?;
            (0..table.indexes.len())
                .try_for_each(|index| check_length(table, &mut table.order(Some(index)).iter().filter_map(|at| row.get(*at))))
        }
        Operation::Delete { key: values, .. } | Operation::Add { key: values, .. } => check_texts(table, values),
        Operation::DeleteAll { index, prefix, .. } => check_along(table, *index, prefix),
        Operation::DeleteBetween { .. } | Operation::DeleteBelow { .. } => Ok(()),
    }
}

fn check_along(table: &Table, index: Option<usize>, prefix: &[Value]) -> Result<(), CommitError> {
    table.order(index).iter().zip(prefix).try_for_each(|(at, value)| check_text(table, *at, value))
}

/// Values of the first columns.
fn check_texts(table: &Table, values: &[Value]) -> Result<(), CommitError> {
    values.iter().enumerate().try_for_each(|(at, value)| check_text(table, at, value))
}

fn check_text(table: &Table, at: usize, value: &Value) -> Result<(), CommitError> {
    match value.as_text() {
        Some(text) if text.contains('\0') => {
            let name = table.columns.get(at).map_or("", |column| column.name);
            Err(CommitError::Unkept(format!("`{name}` holds a zero byte")))
        }
        _ => Ok(()),
    }
}

fn check_length(table: &Table, values: &mut dyn Iterator<Item = &Value>) -> Result<(), CommitError> {
    let length = |value: &Value| match value {
        Value::Text(text) => text.len(),
        Value::Blob(blob) => blob.len(),
        Value::Null | Value::Int(_) => 0,
    };
    match values.map(length).fold(0_usize, usize::saturating_add) {
        bytes if bytes > MOST_INDEXED => {
            Err(CommitError::Unkept(format!("names of a `{}` are {bytes} bytes long, of {MOST_INDEXED} at most", table.name)))
        }
        _ => Ok(()),
    }
}
