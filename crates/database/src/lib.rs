//! The storage engine: one commit writer, readers beside it, migrations, paged scans - on SQLite, on
//! PostgreSQL, or in memory. It knows no table: a party describes its own ([`Table`]) and keeps its own
//! migrations. Called by `store` and by every party that has a store of its own.
//!
//! Reads are points and ordered scans along a key or an index. There is one write,
//! [`Database::commit`]: a [`Batch`] of checks and operations that happens whole or not at all, and
//! is on disk when it returns. Effects are data, so no transaction is held across an `await`, and
//! the writer puts as many batches into one flush as are waiting (group commit).
//!
//! [`Postgres`] keeps the same contract for as many processes as there are (decision 70).

mod batch;
mod look_up;
mod memory;
mod postgres;
mod sqlite;
mod table;
mod text;

pub use batch::{Batch, Check, CommitError, Operation};
pub use look_up::look_up;
pub use memory::Memory;
pub use postgres::{Postgres, Schema};
pub use sqlite::{Migrations, OpenError, Sqlite, file};
pub use table::{Column, Index, Kind, Row, Scan, Table, Value};

/// What a read does not say. That there is no such row is an answer and no error: whoever took one for the other would let rules
/// fall away, register things twice and make keys anew. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReadError {
    /// The disk, the connection, or a database that is none of ours.
    #[error("the store cannot be read: {0}")]
    Unreadable(String),
    /// The row is there: it was sealed with another key, is torn, or has a form that is newer than this program.
    #[error("a row of the table `{0}` does not open")]
    DoesNotOpen(&'static str),
}

/// The engine in use.
pub enum Database {
    Memory(Memory),
    Sqlite(Sqlite),
    Postgres(Postgres),
}

impl Database {
    /// In memory; gone with the process.
    pub fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// The row with this key.
    pub async fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(table, key)),
            Self::Sqlite(sqlite) => sqlite.get(table, key),
            Self::Postgres(postgres) => postgres.get(table, key).await,
        }
    }

    /// Rows along a key or an index, in its order.
    pub async fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.scan(scan)),
            Self::Sqlite(sqlite) => sqlite.scan(scan),
            Self::Postgres(postgres) => postgres.scan(scan).await,
        }
    }

    /// How many rows are along a key or an index, up to the limit; none of them is read.
    pub async fn count(&self, scan: &Scan<'_>) -> Result<usize, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.count(scan)),
            Self::Sqlite(sqlite) => sqlite.count(scan),
            Self::Postgres(postgres) => postgres.count(scan).await,
        }
    }

    /// Whether the last commit could not be written.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Sqlite(sqlite) => sqlite.has_failed(),
            Self::Postgres(postgres) => postgres.has_failed(),
        }
    }

    /// Whether its disk has room for what a busy moment writes: a small write may find some where all others do not. Of a
    /// database elsewhere only a write says so.
    pub async fn has_room(&self) -> bool {
        match self {
            Self::Memory(_) | Self::Postgres(_) => true,
            Self::Sqlite(sqlite) => file::has_room_beside(sqlite.path()).await,
        }
    }

    /// Carries the batch out, whole or not at all; durable when it returns.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        match self {
            Self::Memory(memory) => memory.commit(&batch),
            Self::Sqlite(sqlite) => sqlite.commit(batch).await,
            Self::Postgres(postgres) => postgres.commit(batch).await,
        }
    }
}

#[cfg(test)]
mod tests;
