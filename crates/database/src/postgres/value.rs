//! Values on the wire to PostgreSQL.

use super::told;
use crate::ReadError;
use crate::table::{Kind, Row, Table, Value};
use bytes::BytesMut;
use std::error::Error;
use tokio_postgres::types::{IsNull, ToSql, Type, to_sql_checked};

impl ToSql for Value {
    fn to_sql(&self, of: &Type, out: &mut BytesMut) -> Result<IsNull, Box<dyn Error + Sync + Send>> {
        match self {
            Self::Null => Ok(IsNull::Yes),
            Self::Int(int) if *of == Type::INT8 => int.to_sql(of, out),
            Self::Text(text) if *of == Type::TEXT => text.to_sql(of, out),
            Self::Blob(blob) if *of == Type::BYTEA => blob.to_sql(of, out),
            _ => Err(format!("a column of type {of} holds no such value").into()),
        }
    }

    fn accepts(of: &Type) -> bool {
        matches!(*of, Type::INT8 | Type::TEXT | Type::BYTEA)
    }

    to_sql_checked!();
}

/// PostgreSQL keeps no zero byte in a text (SQLite does): no row has such a key, and none is written.
pub(super) fn cannot_be_kept(value: &Value) -> bool {
    value.as_text().is_some_and(|text| text.contains('\0'))
}

/// Where a walk begins, among texts without a zero byte: what stands before such a text and behind it is the same as of this one.
pub(super) fn begin(after: Value, descending: bool) -> Value {
    match after {
        Value::Text(text) => match text.split_once('\0') {
            // what is equal up to there comes before it
            Some((before, _)) if descending => Value::Text(format!("{before}\u{1}")),
            Some((before, _)) => before.into(),
            None => Value::Text(text),
        },
        other => other,
    }
}

pub(super) fn read(row: &tokio_postgres::Row, table: &Table) -> Result<Row, ReadError> {
    let read = |(at, column): (usize, &crate::table::Column)| match column.kind {
        Kind::Int => row.try_get::<_, Option<i64>>(at).map(Value::from),
        Kind::Text => row.try_get::<_, Option<String>>(at).map(Value::from),
        Kind::Blob => row.try_get::<_, Option<Vec<u8>>>(at).map(Value::from),
    };
    table.columns.iter().enumerate().map(read).collect::<Result<_, _>>().map_err(|error| ReadError::Unreadable(told(&error)))
}
