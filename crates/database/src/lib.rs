//! The storage engine: one commit writer, readers beside it, migrations, paged scans - on SQLite, on
//! PostgreSQL, or in memory. It knows no table: a party describes its own ([`Table`]) and keeps its own
//! migrations. Called by `store` and by every party that has a store of its own.
//!
//! Reads are points and ordered scans along a key or an index. There is one write,
//! [`Database::commit`]: a [`Batch`] of checks and operations that happens whole or not at all, and
//! is on disk when it returns. Effects are data, so no transaction is held across an `await`, and
//! the writer puts as many batches into one flush as are waiting (group commit).
//!
//! Rows whose body is an entity, sealed where the table says so, are read and written by [`Records`]. What is read often is kept in memory
//! on a [`Shelf`], as long as its epoch stands ([`Epochs`]).
//!
//! [`Postgres`] keeps the same contract for as many processes as there are (decision 70).

mod batch;
mod bounds;
mod epochs;
mod kept;
mod look_up;
mod memory;
mod postgres;
mod records;
mod schema;
mod sqlite;
mod table;
mod text;

pub use batch::{Batch, Check, CommitError, Operation};
pub use epochs::Epochs;
pub use kept::Shelf;
pub use look_up::look_up;
pub use memory::Memory;
pub use postgres::{Node, Postgres, Turn, Word};
pub use records::{KeyCheckError, Records, has_key_check};
pub use schema::{Location, Schema};
pub use sqlite::{Migrations, OpenError, Sqlite, file};
pub use table::{Column, Expiry, Index, Kind, Row, Scan, Table, Value};
pub use types::ReadError;

/// The engine in use.
pub enum Database {
    Memory(Memory),
    Sqlite(Sqlite),
    Postgres(Box<Postgres>),
}

impl Database {
    /// In memory; gone with the process.
    pub fn in_memory() -> Self {
        Self::Memory(Memory::default())
    }

    /// Opens a party's store, or makes it where there is none, and brings it up to date.
    pub async fn open(location: &Location, schema: &Schema<'_>) -> Result<Self, OpenError> {
        debug_assert_eq!(schema.list_walked(), Vec::<&str>::new(), "what runs out there is swept along no order");
        match location {
            Location::Memory => Ok(Self::in_memory()),
            Location::File(path) => Sqlite::open(path, &schema.sqlite).map(Self::Sqlite),
            Location::Postgres { url, password } => {
                Postgres::open(url, password.as_deref(), schema).await.map(Box::new).map(Self::Postgres)
            }
        }
    }

    /// The same for a party that is one process: what another one serves is not even brought up to date. The store is this process's
    /// until the answer is dropped; none where nobody else can come to it.
    pub async fn open_alone(location: &Location, schema: &Schema<'_>) -> Result<(Self, Option<Node>), OpenError> {
        let Location::Postgres { url, password } = location else { return Ok((Self::open(location, schema).await?, None)) };
        let (postgres, alone) = Postgres::open_alone(url, password.as_deref(), schema).await?;
        Ok((Self::Postgres(Box::new(postgres)), Some(alone)))
    }

    /// The name of a party's store where it has been made already; nothing is made.
    pub async fn find_made(location: &Location, schema: &str) -> Result<Option<String>, OpenError> {
        match location {
            Location::Memory => Ok(None),
            Location::File(path) => Ok(file::is_there(path)?.then(|| path.display().to_string())),
            Location::Postgres { url, password } => Postgres::find_made(url, password.as_deref(), schema).await,
        }
    }

    // what waits for a connection is large, and lies apart: whoever reads from a file or from memory carries nothing of it
    /// The row with this key.
    pub async fn get(&self, table: &'static Table, key: &[Value]) -> Result<Option<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.get(table, key)),
            Self::Sqlite(sqlite) => sqlite.get(table, key),
            Self::Postgres(postgres) => Box::pin(postgres.get(table, key)).await,
        }
    }

    /// Rows along a key or an index, in its order.
    pub async fn scan(&self, scan: &Scan<'_>) -> Result<Vec<Row>, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.scan(scan)),
            Self::Sqlite(sqlite) => sqlite.scan(scan),
            Self::Postgres(postgres) => Box::pin(postgres.scan(scan)).await,
        }
    }

    /// How many rows are along a key or an index, up to the limit; none of them is read.
    pub async fn count(&self, scan: &Scan<'_>) -> Result<usize, ReadError> {
        match self {
            Self::Memory(memory) => Ok(memory.count(scan)),
            Self::Sqlite(sqlite) => sqlite.count(scan),
            Self::Postgres(postgres) => Box::pin(postgres.count(scan)).await,
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

    /// Joins other processes on the database, where there may be any; `on_word` is called for each word of theirs.
    pub async fn join(&self, on_word: impl Fn(Word) + Send + Sync + 'static) -> Result<Option<Node>, OpenError> {
        match self {
            Self::Memory(_) | Self::Sqlite(_) => Ok(None),
            Self::Postgres(postgres) => postgres.join(on_word).await.map(Some),
        }
    }

    /// Waits until no other process on the database does what has this name; none where there are no others.
    pub async fn take_turn(&self, name: &str) -> Result<Option<Turn>, ReadError> {
        match self {
            Self::Memory(_) | Self::Sqlite(_) => Ok(None),
            Self::Postgres(postgres) => postgres.take_turn(name).await.map(Some),
        }
    }

    /// Carries the batch out, whole or not at all; durable when it returns.
    pub async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        self.commit_and_tell(batch, None).await
    }

    /// The same; with it, other processes on the database hear this word ([`Database::join`]). It has at most 7,000 bytes.
    pub async fn commit_and_tell(&self, batch: Batch, word: Option<String>) -> Result<(), CommitError> {
        bounds::check(&batch)?;
        match self {
            Self::Memory(memory) => memory.commit(&batch),
            Self::Sqlite(sqlite) => sqlite.commit(batch).await,
            Self::Postgres(postgres) => postgres.commit(batch, word).await,
        }
    }
}

#[cfg(test)]
mod tests;
