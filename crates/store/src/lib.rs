//! Tables of identity and of the authorization server on the engine of `database`: what
//! `identity::Store` and `authorization_server::Store` ask for, in memory and on SQLite alike.
//! Called by the wiring. No rules here: a row is written as the rules decided, and read back.
//!
//! To add a table: its SQL in `migrations/`, its description in [`tables`], its columns in [`entity`], its reads in
//! [`identity_reads`] or [`uma_reads`], its writes in [`writes`].

mod entity;
mod epochs;
mod identity_reads;
mod kept;
mod nodes;
mod place;
mod reads;
pub mod restoring;
pub mod sweeper;
mod tables;
mod uma_reads;
mod writes;

use authorization_server::Changes;
use database::{
    Batch, CommitError as EngineError, Database, Location, Migrations, Operation, ReadError, Records, Schema, Sqlite,
};
use identity::CommitError;
use restoring::Restored;
use std::path::Path;
use std::sync::Arc;

pub use database::{Location as StoreLocation, OpenError};

/// All tables of an authorization server. A party that only mounts identity has the same file with
/// the rest empty.
const MIGRATIONS: Migrations = Migrations(&[
    include_str!("../migrations/identity_0001.sql"),
    include_str!("../migrations/uma_0001.sql"),
    include_str!("../migrations/identity_0002.sql"),
    include_str!("../migrations/uma_0002.sql"),
    include_str!("../migrations/uma_0003.sql"),
    include_str!("../migrations/uma_0004.sql"),
    include_str!("../migrations/identity_0003.sql"),
    include_str!("../migrations/identity_0004.sql"),
    include_str!("../migrations/uma_0005.sql"),
    include_str!("../migrations/uma_0006.sql"),
    include_str!("../migrations/uma_0007.sql"),
    include_str!("../migrations/uma_0008.sql"),
    include_str!("../migrations/uma_0009.sql"),
]);

/// The same on PostgreSQL: first the indexes by which rows run out.
const POSTGRES: [&str; 1] = [""];

/// Name of a server's schema in a database that others share.
pub const NAME: &str = "wayleave_server";

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    records: Arc<Records>,
    epochs: Arc<epochs::Epochs>,
    kept: Arc<kept::Kept>,
    broom: Arc<sweeper::Broom>,
    /// What was restored here, if anything was.
    restored: Option<Restored>,
}

impl Store {
    /// In memory; gone with the process.
    pub fn in_memory() -> Self {
        Self::on(Records { database: Arc::new(Database::in_memory()), key: None }, Arc::default(), None)
    }

    fn on(records: Records, epochs: Arc<epochs::Epochs>, restored: Option<Restored>) -> Self {
        Self { records: Arc::new(records), epochs, kept: Arc::default(), broom: Arc::default(), restored }
    }

    /// Made where there is none, or brought up to date. `name` is that of its schema in a database that others share: a log-in
    /// beside a party's store is one of its own.
    pub async fn open(location: &Location, name: &str) -> Result<Self, OpenError> {
        let schema = Schema { name, tables: &tables::ALL, sqlite: MIGRATIONS, postgres: &POSTGRES };
        let database = Database::open(location, &schema).await?;
        let epochs = Arc::default();
        nodes::join(&database, &epochs).await?;
        let records = Records { database: Arc::new(database), key: None };
        let restored = restoring::find(&records).await;
        let unread = |error| OpenError::Unread(location.file().cloned().unwrap_or_default(), error);
        Ok(Self::on(records, epochs, restored.map_err(unread)?))
    }

    /// In this file.
    pub async fn open_file(path: &Path) -> Result<Self, OpenError> {
        Self::open(&Location::File(path.to_owned()), NAME).await
    }

    /// The file, where it is there and as this program has it: nothing is made, and nothing brought up to date.
    pub async fn open_if_current(path: &Path) -> Result<Option<Self>, OpenError> {
        if !Sqlite::is_current(path, &MIGRATIONS)? {
            return Ok(None);
        }
        Self::open_file(path).await.map(Some)
    }

    /// The file under it, if there is one.
    pub fn sqlite(&self) -> Option<&Sqlite> {
        match &*self.records.database {
            Database::Sqlite(sqlite) => Some(sqlite),
            Database::Memory(_) | Database::Postgres(_) => None,
        }
    }

    /// Writes what nobody keeps in memory.
    async fn write(&self, operations: Vec<Operation>) -> Result<(), CommitError> {
        self.records.commit(Batch { checks: vec![], operations }).await.map_err(unwritten)
    }

    /// Carries changes of both out, whole or not at all; and tells of them, whoever has gone meanwhile that asked for them.
    pub async fn commit_changes(&self, changes: Changes) -> Result<(), CommitError> {
        let store = self.clone();
        let committed = tokio::spawn(async move { store.commit_and_tell(changes).await });
        committed.await.unwrap_or_else(|error| Err(CommitError::Unavailable(error.to_string())))
    }

    /// What is written is in nobody's memory as it was before. To drop this half way would leave it there.
    async fn commit_and_tell(&self, changes: Changes) -> Result<(), CommitError> {
        let spends_old = |write: &identity::Write| matches!(write, identity::Write::Spend(id) if self.is_of_before(id));
        if changes.identity.writes.iter().any(spends_old) {
            return Err(CommitError::Spent);
        }
        let touched = epochs::Touched::by(&changes);
        let rests_on = epochs::Touched::under(&changes);
        let word = if self.is_shared() { nodes::word_of(&touched, &changes) } else { None };
        let mut plan = writes::Plan::of(changes, &self.records, self.is_shared())?;
        let batch = Batch { checks: plan.checks, operations: plan.operations };
        let done = self.records.database.commit_and_tell(batch, word).await;
        // also when it failed: a flush that was cut off may yet have happened
        self.epochs.raise(&touched);
        // somebody was faster, and may not have raised the epoch yet: whoever tries again reads behind that (S28)
        if matches!(done, Err(EngineError::Broken(_))) {
            self.epochs.raise(&rests_on);
        }
        if !self.is_shared() {
            self.epochs.note(std::mem::take(&mut plan.events), &done);
        }
        done.map_err(|error| match error {
            EngineError::Broken(at) => plan.if_broken.get(at).cloned().unwrap_or(CommitError::Changed),
            EngineError::Taken(at) if plan.spends.contains(&at) => CommitError::Spent,
            EngineError::Taken(at) if plan.tokens.contains(&at) => CommitError::Changed,
            EngineError::Taken(_) => CommitError::Taken,
            EngineError::Unkept(what) => CommitError::Unkept(what),
            EngineError::Unavailable(what) => CommitError::Unavailable(what),
        })
    }
}

/// What was to be looked at before something is written cannot be.
fn unread(error: ReadError) -> CommitError {
    CommitError::Unavailable(error.to_string())
}

fn unwritten(error: EngineError) -> CommitError {
    CommitError::Unavailable(error.to_string())
}

#[cfg(test)]
mod tests;
