//! SQL text and its execution. Texts depend only on the shape of a call, so each is prepared once
//! per connection.

use crate::batch::{Check, Operation};
use crate::table::{Row, Scan, Table, Value};
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};
use std::cell::RefCell;
use std::collections::HashMap;
use std::fmt::Write as _;

thread_local! {
    /// Texts of point reads by table: making one anew costs as much as running it. A table's name is its
    /// own within a process.
    static SELECTS: RefCell<HashMap<&'static str, String>> = RefCell::default();
}

impl ToSql for Value {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self {
            Self::Null => ValueRef::Null,
            Self::Int(int) => ValueRef::Integer(*int),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
            Self::Blob(blob) => ValueRef::Blob(blob),
        }))
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

fn names(table: &Table) -> String {
    let names: Vec<_> = table.columns.iter().map(|column| column.name).collect();
    names.join(",")
}

fn name(table: &Table, at: usize) -> &'static str {
    table.columns.get(at).map_or("", |column| column.name)
}

/// ` WHERE a=?1 AND b=?2`, over these columns. (`$1` would be a name, numbered by where it first stands.)
fn equals(table: &Table, columns: &[usize]) -> String {
    let mut text = String::new();
    for (n, at) in columns.iter().enumerate() {
        let word = if n == 0 { "WHERE" } else { "AND" };
        let _ = write!(text, " {word} {}=?{}", name(table, *at), n.saturating_add(1));
    }
    text
}

fn by_key(table: &Table) -> String {
    equals(table, &(0..table.key).collect::<Vec<_>>())
}

pub(super) fn get(connection: &Connection, table: &Table, key: &[Value]) -> rusqlite::Result<Option<Row>> {
    SELECTS.with_borrow_mut(|selects| {
        let text = || format!("SELECT {} FROM {}{}", names(table), table.name, by_key(table));
        let mut statement = connection.prepare_cached(selects.entry(table.name).or_insert_with(text))?;
        let mut rows = statement.query(params_from_iter(key))?;
        rows.next()?.map(|row| read(row, table.columns.len())).transpose()
    })
}

pub(super) fn scan(connection: &Connection, scan: &Scan<'_>) -> rusqlite::Result<Vec<Row>> {
    let (sql, parameters) = along(scan, &names(scan.table));
    let mut statement = connection.prepare_cached(&sql)?;
    let mut rows = statement.query(params_from_iter(&parameters))?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(read(row, scan.table.columns.len())?);
    }
    Ok(found)
}

/// This of the rows of a walk, and its parameters.
fn along(scan: &Scan<'_>, what: &str) -> (String, Vec<Value>) {
    let table = scan.table;
    let order = table.order(scan.index);
    let (fixed, free) = order.split_at_checked(scan.prefix.len()).unwrap_or((&order, &[]));
    let mut sql = format!("SELECT {what} FROM {}{}", table.name, equals(table, fixed));
    let mut parameters: Vec<Value> = scan.prefix.to_vec();
    if let (Some(after), Some(first)) = (&scan.after, free.first()) {
        parameters.push(after.clone());
        let word = if fixed.is_empty() { "WHERE" } else { "AND" };
        let sign = if scan.descending { "<" } else { ">" };
        let _ = write!(sql, " {word} {}{sign}?{}", name(table, *first), parameters.len());
    }
    let way = if scan.descending { " DESC" } else { "" };
    let along: Vec<_> = free.iter().map(|at| format!("{}{way}", name(table, *at))).collect();
    if !along.is_empty() {
        let _ = write!(sql, " ORDER BY {}", along.join(","));
    }
    parameters.push(Value::Int(i64::try_from(scan.limit).unwrap_or(i64::MAX)));
    let _ = write!(sql, " LIMIT ?{}", parameters.len());
    (sql, parameters)
}

pub(super) fn count(connection: &Connection, scan: &Scan<'_>) -> rusqlite::Result<usize> {
    let (rows, parameters) = along(scan, "1");
    let mut statement = connection.prepare_cached(&format!("SELECT COUNT(*) FROM ({rows})"))?;
    let count: i64 = statement.query_row(params_from_iter(&parameters), |row| row.get(0))?;
    Ok(usize::try_from(count).unwrap_or(0))
}

pub(super) fn holds(connection: &Connection, check: &Check) -> rusqlite::Result<bool> {
    let column = |table, key: &Vec<Value>, column: &usize| {
        get(connection, table, key).map(|row| row.and_then(|mut row| (*column < row.len()).then(|| row.swap_remove(*column))))
    };
    Ok(match check {
        Check::Absent { table, key } => get(connection, table, key)?.is_none(),
        Check::Equals { table, key, column: at, value } => column(table, key, at)?.is_some_and(|has| has == *value),
        Check::Below { table, key, column: at, limit } => {
            column(table, key, at)?.and_then(|has| has.as_int()).is_some_and(|has| has < *limit)
        }
    })
}

/// Carries one operation out; `false` where an insert found its row taken.
pub(super) fn apply(connection: &Connection, operation: &Operation) -> rusqlite::Result<bool> {
    match operation {
        Operation::Insert { table, row } => write_row(connection, table, row, ""),
        Operation::Put { table, row } => {
            let all: Vec<_> = table.columns.iter().map(|c| format!("{0}=excluded.{0}", c.name)).collect();
            let otherwise = format!(" ON CONFLICT ({}) DO UPDATE SET {}", key_names(table), all.join(","));
            write_row(connection, table, row, &otherwise)
        }
        Operation::Delete { table, key } => run(connection, &format!("DELETE FROM {}{}", table.name, by_key(table)), key),
        Operation::DeleteAll { table, index, prefix } => {
            let order = table.order(*index);
            let fixed = order.get(..prefix.len()).unwrap_or(&order);
            run(connection, &format!("DELETE FROM {}{}", table.name, equals(table, fixed)), prefix)
        }
        Operation::DeleteBetween { table, from, below } => {
            let key = name(table, 0);
            let sql = format!("DELETE FROM {} WHERE {key}>=?1 AND {key}<?2", table.name);
            run(connection, &sql, &[Value::Int(*from), Value::Int(*below)])
        }
        Operation::Add { table, key, column, by } => {
            let column = name(table, *column);
            let mut parameters = key.clone();
            parameters.push(Value::Int(*by));
            let sql = format!("UPDATE {} SET {column}={column}+?{}{}", table.name, parameters.len(), by_key(table));
            run(connection, &sql, &parameters)
        }
        Operation::Raise { table, row, column } => {
            let column = name(table, *column);
            let otherwise =
                format!(" ON CONFLICT ({}) DO UPDATE SET {column}={}.{column}+excluded.{column}", key_names(table), table.name);
            write_row(connection, table, row, &otherwise)
        }
        Operation::DeleteBelow { table, column, limit } => {
            let sql = format!("DELETE FROM {} WHERE {}<?1", table.name, name(table, *column));
            run(connection, &sql, &[Value::Int(*limit)])
        }
    }
}

fn run(connection: &Connection, sql: &str, parameters: &[Value]) -> rusqlite::Result<bool> {
    connection.prepare_cached(sql)?.execute(params_from_iter(parameters)).map(|_| true)
}

fn key_names(table: &Table) -> String {
    let names: Vec<_> = (0..table.key).map(|at| name(table, at)).collect();
    names.join(",")
}

/// Writes a row; `false` where its key or a unique index is taken and `otherwise` does not help.
fn write_row(connection: &Connection, table: &Table, row: &[Value], otherwise: &str) -> rusqlite::Result<bool> {
    let places: Vec<_> = (1..=table.columns.len()).map(|n| format!("?{n}")).collect();
    let sql = format!("INSERT INTO {} ({}) VALUES ({}){otherwise}", table.name, names(table), places.join(","));
    match connection.prepare_cached(&sql)?.execute(params_from_iter(row)) {
        Err(rusqlite::Error::SqliteFailure(error, _)) if error.code == rusqlite::ErrorCode::ConstraintViolation => Ok(false),
        other => other.map(|_| true),
    }
}
