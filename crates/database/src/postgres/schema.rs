//! Where a party's tables lie in the database, how they are made, and how those of an earlier form are brought up to date.

use super::told;
use crate::schema::Schema;
use crate::sqlite::OpenError;
use crate::table::{Index, Kind, Table};
use std::fmt::Write as _;
use tokio_postgres::{GenericClient, Transaction};

/// Makes the schema, or brings it up to date. Nodes that start together wait for each other.
pub(super) async fn bring_up_to_date(
    client: &mut deadpool_postgres::Client,
    schema: &Schema<'_>,
    place: &str,
) -> Result<(), OpenError> {
    let fail = |error: tokio_postgres::Error| OpenError::Unreachable { place: place.to_owned(), what: told(&error) };
    let begun = client.transaction().await.map_err(fail)?;
    let transaction: &Transaction<'_> = &begun;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    transaction.execute(lock, &[&schema.name]).await.map_err(fail)?;
    let is_there = is_made(transaction, schema.name).await;
    let form = i64::try_from(schema.postgres.len()).unwrap_or(i64::MAX);
    if !is_there.map_err(fail)? {
        transaction.batch_execute(&first_form(schema)).await.map_err(fail)?;
        transaction.execute("INSERT INTO form (number) VALUES ($1)", &[&form]).await.map_err(fail)?;
    }
    // the engine's own
    transaction.batch_execute(super::seat::TABLE).await.map_err(fail)?;
    let has = transaction.query_opt("SELECT number FROM form", &[]).await.map_err(fail)?;
    let has: Option<i64> = has.map(|row| row.try_get(0)).transpose().map_err(fail)?;
    let done = has.and_then(|has| usize::try_from(has).ok());
    let done = done.ok_or_else(|| OpenError::Formless { place: place.to_owned(), schema: schema.name.to_owned() })?;
    let changes = schema.postgres.get(done..).ok_or_else(|| OpenError::Newer(place.to_owned()))?;
    for change in changes {
        transaction.batch_execute(change).await.map_err(fail)?;
    }
    if !changes.is_empty() {
        transaction.batch_execute(&indexes_text(schema)).await.map_err(fail)?;
    }
    transaction.execute("UPDATE form SET number = $1", &[&form]).await.map_err(fail)?;
    begun.commit().await.map_err(fail)
}

/// Whether a schema has been made.
pub(super) async fn is_made(client: &impl GenericClient, name: &str) -> Result<bool, tokio_postgres::Error> {
    let there = "SELECT EXISTS (SELECT 1 FROM information_schema.tables WHERE table_schema = $1 AND table_name = $2)";
    client.query_one(there, &[&name, &"form"]).await?.try_get(0)
}

/// The tables as they are described. Texts are ordered by their bytes, as in the other engines.
fn first_form(schema: &Schema<'_>) -> String {
    let mut text = format!("CREATE SCHEMA IF NOT EXISTS {};\nCREATE TABLE form (number BIGINT NOT NULL);\n", schema.name);
    schema.tables.iter().for_each(|table| text.push_str(&table_text(table)));
    text + &indexes_text(schema)
}

/// Makes the indexes that are not there.
fn indexes_text(schema: &Schema<'_>) -> String {
    let of = |table: &&'static Table| table.indexes.iter().map(|index| index_text(table, index)).collect::<String>();
    schema.tables.iter().map(of).collect()
}

fn table_text(table: &Table) -> String {
    let mut text = format!("CREATE TABLE {} (", table.name);
    for column in table.columns {
        let kind = match column.kind {
            Kind::Int => "BIGINT",
            Kind::Text => "TEXT COLLATE \"C\"",
            Kind::Blob => "BYTEA",
        };
        let _ = write!(text, "{} {kind}, ", column.name);
    }
    let key: Vec<_> = table.columns.iter().take(table.key).map(|column| column.name).collect();
    let _ = writeln!(text, "PRIMARY KEY ({}));", key.join(", "));
    text
}

fn index_text(table: &Table, index: &Index) -> String {
    // along an index that is not unique, rows that agree in it are in the order of their key
    let order = table.order(table.indexes.iter().position(|other| other.name == index.name));
    let columns = if index.unique { index.columns.to_vec() } else { order };
    let columns: Vec<_> = columns
        .into_iter()
        .filter_map(|at| table.columns.get(at).map(|column| (at, column.name)))
        .map(|(at, name)| format!("{name}{}", if at < table.key { "" } else { " NULLS FIRST" }))
        .collect();
    let unique = if index.unique { "UNIQUE " } else { "" };
    format!("CREATE {unique}INDEX IF NOT EXISTS {} ON {} ({});\n", index.name, table.name, columns.join(", "))
}
