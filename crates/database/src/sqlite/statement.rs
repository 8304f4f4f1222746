//! Execution of texts on one connection.

use crate::batch::{Check, Operation};
use crate::table::{Row, Scan, Table, Value};
use crate::text::{self, Dialect, Shape};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(borrowed(self)))
    }
}

fn borrowed(value: &Value) -> ValueRef<'_> {
    match value {
        Value::Null => ValueRef::Null,
        Value::Int(int) => ValueRef::Integer(*int),
        Value::Text(text) => ValueRef::Text(text.as_bytes()),
        Value::Blob(blob) => ValueRef::Blob(blob),
    }
}

fn read(row: &rusqlite::Row<'_>, columns: usize) -> rusqlite::Result<Row> {
    (0..columns)
        .map(|at| {
            Ok(match row.get_ref(at)? {
                ValueRef::Null | ValueRef::Real(_) => Value::Null,
                ValueRef::Integer(int) => Value::Int(int),
                ValueRef::Text(text) => Value::Text(String::from_utf8_lossy(text).into_owned()),
                ValueRef::Blob(blob) => Value::Blob(blob.to_vec()),
            })
        })
        .collect()
}

pub(super) fn get(connection: &Connection, table: &'static Table, key: &[Value]) -> rusqlite::Result<Option<Row>> {
    let mut statement = connection.prepare_cached(&text::text(Dialect::Sqlite, table, Shape::Get))?;
    let mut rows = statement.query(params_from_iter(key))?;
    rows.next()?.map(|row| read(row, table.columns.len())).transpose()
}

pub(super) fn scan(connection: &Connection, scan: &Scan<'_>) -> rusqlite::Result<Vec<Row>> {
    let (text, parameters) = text::walk(Dialect::Sqlite, scan, false);
    let mut statement = connection.prepare_cached(&text)?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row, scan.table.columns.len())?);
    }
    Ok(found)
}

pub(super) fn count(connection: &Connection, scan: &Scan<'_>) -> rusqlite::Result<usize> {
    let (text, parameters) = text::walk(Dialect::Sqlite, scan, true);
    let count: i64 = connection.prepare_cached(&text)?.query_row(params_from_iter(&parameters), |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn holds(connection: &Connection, check: &Check) -> rusqlite::Result<bool> {
    match check {
        Check::NoneAlong { table, index, prefix } => {
            let scan = Scan { table, index: Some(*index), prefix, after: None, descending: false, limit: 1 };
            Ok(count(connection, &scan)? == 0)
        }
        Check::Absent { table, key } => Ok(!looks(connection, table, key, 0, |_| true)?),
        Check::Equals { table, key, column, value } => looks(connection, table, key, *column, |has| has == borrowed(value)),
        Check::Below { table, key, column, limit } => {
            looks(connection, table, key, *column, |has| has.as_i64().is_ok_and(|has| has < *limit))
        }
    }
}

/// Whether there is a row with this key, and its column is as it should be.
fn looks(
    connection: &Connection,
    table: &'static Table,
    key: &[Value],
    column: usize,
    is_right: impl FnOnce(ValueRef<'_>) -> bool,
) -> rusqlite::Result<bool> {
    let mut statement = connection.prepare_cached(&text::text(Dialect::Sqlite, table, Shape::Column { column }))?;
    let mut rows = statement.query(params_from_iter(key))?;
    rows.next()?.map_or(Ok(false), |row| row.get_ref(0).map(is_right))
}

/// Carries one operation out; `false` where an insert found its row taken, or a put another's unique index.
pub(super) fn apply(connection: &Connection, operation: &Operation) -> rusqlite::Result<bool> {
    let (text, parameters) = text::change(Dialect::Sqlite, operation);
    match connection.prepare_cached(&text)?.execute(params_from_iter(&*parameters)) {
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::ConstraintViolation => Ok(false),
        other => other.map(|_| true),
    }
}
