//! Rows whose last column is a body: an entity as JSON, sealed where its table says so. A seal is bound to its table and its
//! row, and opens nowhere else. What is there and does not open is an error and never absent. Called by every party that keeps
//! entities.

mod key_check;

pub use key_check::{KeyCheckError, has_key_check};

use crate::batch::{Batch, CommitError, Operation};
use crate::table::{Row, Scan, Table, Value};
use crate::{Database, ReadError};
use jose::SystemRandomness;
use jose::seal::SealingKey;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;

/// Most rows that one scan reads: a long list holds no connection, and no lock, from its beginning to its end.
const PAGE: usize = 512;

/// A party's rows, with what opens them.
pub struct Records {
    pub database: Arc<Database>,
    /// None where nothing is sealed.
    pub key: Option<SealingKey>,
}

/// What a seal is bound to: the table, and the columns by which its row is found.
fn place_of(table: &Table, key: &[Value]) -> Vec<u8> {
    let mut place = table.name.as_bytes().to_vec();
    for column in key {
        let text = column.as_text().map_or_else(|| format!("{column:?}"), str::to_owned);
        place.extend(text.len().to_be_bytes());
        place.extend(text.as_bytes());
    }
    place
}

impl Records {
    /// The entity with this key.
    pub async fn find<T: DeserializeOwned>(&self, table: &'static Table, key: &[Value]) -> Result<Option<T>, ReadError> {
        self.database.get(table, key).await?.map(|row| self.open(table, &row)).transpose()
    }

    /// All entities along the key or an index, with their rows, in its order. A list that cannot be read to its end is an
    /// error, and so is one in which a row does not open.
    pub async fn list<T: DeserializeOwned>(
        &self,
        table: &'static Table,
        index: Option<usize>,
        prefix: &[Value],
    ) -> Result<Vec<(Row, T)>, ReadError> {
        let open = |row: Row| self.open(table, &row).map(|entity| (row, entity));
        self.rows(table, index, prefix).await?.into_iter().map(open).collect()
    }

    /// The same rows unopened, for whoever goes on past one that does not open. They are read page by page: a row that is there all the
    /// while, and stays at its place in the order, is in it once; one that comes, goes or moves meanwhile may be in it or not.
    pub async fn rows(&self, table: &'static Table, index: Option<usize>, prefix: &[Value]) -> Result<Vec<Row>, ReadError> {
        let order = table.order(index);
        let (mut rows, mut fixed, mut after, mut limit) = (Vec::new(), prefix.to_vec(), None::<Value>, PAGE);
        loop {
            let scan = Scan { table, index, prefix: &fixed, after: after.clone(), descending: false, limit };
            let page = self.database.scan(&scan).await?;
            let last = page.last().filter(|_| page.len() >= limit);
            let last = last.map(|row| order.iter().map(|at| row.get(*at).cloned().unwrap_or(Value::Null)).collect::<Vec<_>>());
            match last {
                // nothing can be said to be behind what is null: one longer page instead
                Some(along) if along.iter().skip(prefix.len()).any(|value| *value == Value::Null) => {
                    limit = limit.saturating_mul(2);
                    continue;
                }
                // on behind this row, first among those that differ from it in the last column alone
                Some(mut along) => {
                    after = along.pop();
                    fixed = along;
                }
                // the last of those that agree with it in so many columns: on with those that agree in one less
                None if fixed.len() > prefix.len() => after = fixed.pop(),
                None => {
                    rows.extend(page);
                    return Ok(rows);
                }
            }
            rows.extend(page);
            limit = PAGE;
        }
    }

    /// The row with these columns, and the entity as its body behind them.
    pub fn row(&self, table: &Table, mut columns: Row, entity: &impl Serialize) -> Result<Row, CommitError> {
        let plain = serde_json::to_vec(entity).map_err(unwritable)?;
        let body = if table.sealed { self.sealed(table, table.key_of(&columns), &plain)? } else { plain };
        columns.push(body.into());
        Ok(columns)
    }

    /// The entity in a row.
    pub fn open<T: DeserializeOwned>(&self, table: &'static Table, row: &Row) -> Result<T, ReadError> {
        let entity = if table.sealed {
            self.plain(table, row).and_then(|plain| serde_json::from_slice(&plain).ok())
        } else {
            serde_json::from_slice(table.body(row)?).ok()
        };
        entity.ok_or_else(|| table.does_not_open(row))
    }

    /// Carries the batch out, whole or not at all.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.database.commit(batch).await
    }

    /// Removes what has run out by `now`, in slices: whatever else is to be written goes between them.
    pub async fn sweep(&self, tables: &[&'static Table], now: i64) -> Result<(), CommitError> {
        for table in tables {
            while let Some(slice) = self.next_slice(table, now).await.map_err(unwritable)? {
                self.commit(Batch { checks: vec![], operations: vec![slice] }).await?;
            }
        }
        Ok(())
    }

    /// What sweeps some of a table, where there is something to sweep.
    async fn next_slice(&self, table: &'static Table, now: i64) -> Result<Option<Operation>, ReadError> {
        let Some((expiry, index)) = table.expires.and_then(|expiry| Some((expiry, table.order_of_expiry(&expiry)?))) else {
            return Ok(None);
        };
        let first = Scan { table, index, prefix: &[], after: None, descending: false, limit: 1 };
        let first = self.database.scan(&first).await?.pop().map(|row| table.int(&row, expiry.column)).transpose()?;
        Ok(first.filter(|first| *first < (expiry.limit)(now)).and_then(|_| Operation::sweep(table, now)))
    }

    fn sealed(&self, table: &Table, key: &[Value], plain: &[u8]) -> Result<Vec<u8>, CommitError> {
        let sealing = self.key.as_ref().ok_or_else(|| unwritable(format!("`{}` is sealed, and there is no key", table.name)))?;
        sealing.seal(plain, &place_of(table, key), &SystemRandomness).map_err(unwritable)
    }

    fn plain(&self, table: &Table, row: &Row) -> Option<Vec<u8>> {
        self.key.as_ref()?.open(row.last()?.as_blob()?, &place_of(table, table.key_of(row)))
    }
}

fn unwritable(error: impl std::fmt::Display) -> CommitError {
    CommitError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests;
