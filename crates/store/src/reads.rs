//! What all reads have in common. A row is absent, or is read, or is an error that names it; no error is taken for absence.

use crate::Store;
use crate::entity::Entity;
use crate::place::{of_token, token_key};
use database::{ReadError, Row, Scan, Table, Value};
use identity::TokenKey;
use types::Timestamp;

/// Rows of a walk by time that are read at first: each further look reads four times as many.
const DUE_AT_ONCE: usize = 512;

/// Along an index, or the key.
#[derive(Clone, Copy)]
pub(crate) struct Along<'a> {
    pub(crate) index: Option<usize>,
    pub(crate) prefix: &'a [Value],
    pub(crate) descending: bool,
}

impl<'a> Along<'a> {
    pub(crate) fn index(index: usize, prefix: &'a [Value]) -> Self {
        Self { index: Some(index), prefix, descending: false }
    }

    pub(crate) fn key(prefix: &'a [Value]) -> Self {
        Self { index: None, prefix, descending: false }
    }

    pub(crate) fn backwards(self) -> Self {
        Self { descending: true, ..self }
    }

    fn scan(self, table: &'static Table, after: Option<Value>, limit: usize) -> Scan<'a> {
        Scan { table, index: self.index, prefix: self.prefix, after, descending: self.descending, limit }
    }
}

impl Store {
    pub(crate) async fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        self.records.database.get(table, key).await
    }

    /// The row of a token.
    pub(crate) async fn token(&self, table: &'static Table, key: &TokenKey) -> Result<Option<Row>, ReadError> {
        Ok(of_token(self.get(table, &token_key(key)).await?, key))
    }

    /// At most so many rows behind `after`, which is of the first column behind the prefix.
    pub(crate) async fn rows(
        &self,
        table: &'static Table,
        along: Along<'_>,
        after: Option<Value>,
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        self.records.database.scan(&along.scan(table, after, limit)).await
    }

    pub(crate) async fn first(
        &self,
        table: &'static Table,
        along: Along<'_>,
        after: Option<Value>,
    ) -> Result<Option<Row>, ReadError> {
        Ok(self.rows(table, along, after, 1).await?.pop())
    }

    /// How many there are, counted to this number.
    pub(crate) async fn count(&self, table: &'static Table, along: Along<'_>, most: usize) -> Result<usize, ReadError> {
        self.records.database.count(&along.scan(table, None, most)).await
    }

    pub(crate) fn read<T: Entity>(&self, row: &Row) -> Result<T, ReadError> {
        self.records.open::<T>(T::TABLE, row)?.count(row)
    }

    pub(crate) async fn find<T: Entity>(&self, key: &[Value]) -> Result<Option<T>, ReadError> {
        self.get(T::TABLE, key).await?.map(|row| self.read(&row)).transpose()
    }

    pub(crate) async fn find_token<T: Entity>(&self, key: &TokenKey) -> Result<Option<T>, ReadError> {
        self.token(T::TABLE, key).await?.map(|row| self.read(&row)).transpose()
    }

    pub(crate) async fn find_first<T: Entity>(&self, along: Along<'_>) -> Result<Option<T>, ReadError> {
        self.first(T::TABLE, along, None).await?.map(|row| self.read(&row)).transpose()
    }

    /// At most so many behind this text, which is of the first column behind the prefix.
    pub(crate) async fn page<T: Entity>(&self, along: Along<'_>, after: Option<&str>, limit: usize) -> Result<Vec<T>, ReadError> {
        self.rows(T::TABLE, along, after.map(Value::from), limit).await?.iter().map(|row| self.read(row)).collect()
    }

    /// No list is cut without a word (threat 46): what has no pages is read to its end, and how long it gets is bounded where it
    /// is written.
    pub(crate) async fn all<T: Entity>(&self, along: Along<'_>) -> Result<Vec<T>, ReadError> {
        self.all_rows(T::TABLE, along).await?.iter().map(|row| self.read(row)).collect()
    }

    pub(crate) async fn all_rows(&self, table: &'static Table, along: Along<'_>) -> Result<Vec<Row>, ReadError> {
        self.records.rows(table, along.index, along.prefix).await
    }

    /// All whose time, which is in this column and the next in the order, has come until then; the earliest first.
    pub(crate) async fn due<T: Entity>(
        &self,
        along: Along<'_>,
        after: Option<Value>,
        column: usize,
        until: Timestamp,
    ) -> Result<Vec<T>, ReadError> {
        let mut limit = DUE_AT_ONCE;
        loop {
            let rows = self.rows(T::TABLE, along, after.clone(), limit).await?;
            let times = rows.iter().map(|row| T::TABLE.int(row, column)).collect::<Result<Vec<_>, _>>()?;
            if rows.len() < limit || times.last().is_some_and(|time| *time > until.0) {
                let due = rows.iter().zip(times).filter(|(_, time)| *time <= until.0);
                return due.map(|(row, _)| self.read(row)).collect();
            }
            limit = limit.saturating_mul(4);
        }
    }
}
