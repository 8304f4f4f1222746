//! The storage engine: one commit writer, readers beside it, migrations, paged scans - over SQLite
//! or in memory. It knows no table: a party describes its own ([`Table`]) and keeps its own
//! migrations. Called by `store` and by every party that has a store of its own.
//!
//! Reads are points and ordered scans along a key or an index. There is one write,
//! [`Database::commit`]: a [`Batch`] of checks and operations that happens whole or not at all, and
//! is on disk when it returns. Effects are data, so no transaction is held across an `await`, and
//! the writer puts as many batches into one flush as are waiting (group commit).
//!
//! [`Postgres`] keeps the same contract for as many processes as there are. No party opens it yet: their reads wait for nothing
//! so far, and what they keep in memory is told to no other process (decision 70).

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

/// A reading failed: the disk, or a database that is none of ours. The text is for the log.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the store cannot be read: {0}")]
pub struct ReadError(pub String);

/// The engine in use.
pub enum Database {
    Memory(Memory),
    Sqlite(Sqlite),
}

impl Database {
    /// The row with this key.
    pub fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(table, key)),
            Self::Sqlite(sqlite) => sqlite.get(table, key),
        }
    }

    /// Rows along a key or an index, in its order.
    pub fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.scan(scan)),
            Self::Sqlite(sqlite) => sqlite.scan(scan),
        }
    }

    /// How many rows are along a key or an index, up to the limit; none of them is read.
    pub fn count(&self, scan: &Scan<'_>) -> Result<usize, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.count(scan)),
            Self::Sqlite(sqlite) => sqlite.count(scan),
        }
    }

    /// Whether the last commit could not be written.
    pub fn has_failed(&self) -> bool {
        match self {
            Self::Memory(_) => false,
            Self::Sqlite(sqlite) => sqlite.has_failed(),
        }
    }

    /// Whether its disk has room for what a busy moment writes: a small write may find some where all others do not.
    pub async fn has_room(&self) -> bool {
        match self {
            Self::Memory(_) => true,
            Self::Sqlite(sqlite) => file::has_room_beside(sqlite.path()).await,
        }
    }

    /// Carries the batch out, whole or not at all; durable when it returns.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        match self {
            Self::Memory(memory) => memory.commit(&batch),
            Self::Sqlite(sqlite) => sqlite.commit(batch).await,
        }
    }
}

#[cfg(test)]
mod tests;
