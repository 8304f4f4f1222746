//! Reading somebody else's SQLite file by a query that the operator wrote: rows as texts by column. Called by parties that
//! look people up in records which are not theirs.

use crate::ReadError;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use std::collections::BTreeMap;
use std::path::Path;

/// Most rows that are read.
const MOST: usize = 1_000;

fn failed(error: &rusqlite::Error) -> ReadError {
    ReadError::Unreadable(error.to_string())
}

/// Rows of a query. `:name` in it is the value of that name, or NULL where there is none; nothing is ever written.
pub fn look_up(file: &Path, query: &str, values: &BTreeMap<String, String>) -> Result<Vec<BTreeMap<String, String>>, ReadError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(file, flags).map_err(|error| failed(&error))?;
    let mut statement = connection.prepare(query).map_err(|error| failed(&error))?;
    for at in 1..=statement.parameter_count() {
        let name = statement.parameter_name(at).map(|name| name.trim_start_matches([':', '@', '$']).to_owned());
        let value = name.and_then(|name| values.get(&name).cloned());
        statement.raw_bind_parameter(at, value).map_err(|error| failed(&error))?;
    }
    let names: Vec<String> = statement.column_names().map(|name| name.to_lowercase()).collect();
    let (mut rows, mut found) = (statement.raw_query(), Vec::new());
    while let Some(row) = rows.next().map_err(|error| failed(&error))? {
        let mut record = BTreeMap::new();
        for (at, name) in names.iter().enumerate() {
            let text = match row.get_ref(at).map_err(|error| failed(&error))? {
                ValueRef::Text(text) => String::from_utf8_lossy(text).into_owned(),
                ValueRef::Integer(number) => number.to_string(),
                ValueRef::Real(number) => number.to_string(),
                ValueRef::Null | ValueRef::Blob(_) => continue,
            };
            record.insert(name.clone(), text);
        }
        found.push(record);
        if found.len() >= MOST {
            break;
        }
    }
    Ok(found)
}
