//! Tables of identity and of the authorization server on the engine of `database`: what
//! `identity::Store` and `authorization_server::Store` ask for, in memory and on SQLite alike.
//! Called by the wiring. No rules here: a row is written as the rules decided, and read back.
//!
//! To add a table: its SQL in `migrations/`, its description in [`tables`], its reads in
//! [`identity_reads`] or [`uma_reads`], its writes in [`writes`].

mod epochs;
mod identity_reads;
mod kept;
pub mod restoring;
mod row;
pub mod sweeper;
mod tables;
mod uma_reads;
mod writes;

use authorization_server::Changes;
use database::{Batch, CommitError as EngineError, Database, Memory, Migrations, Sqlite};
use identity::CommitError;
use restoring::Restored;
use std::path::Path;
use std::sync::Arc;

pub use database::OpenError;

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
]);

/// The store; cheap to clone.
#[derive(Clone)]
pub struct Store {
    database: Arc<Database>,
    epochs: Arc<epochs::Epochs>,
    kept: Arc<kept::Kept>,
    broom: Arc<sweeper::Broom>,
    /// What was restored here, if anything was.
    restored: Option<Restored>,
}

impl Store {
    /// In memory; gone with the process.
    pub fn in_memory() -> Self {
        Self {
            database: Arc::new(Database::Memory(Memory::default())),
            epochs: Arc::default(),
            kept: Arc::default(),
            broom: Arc::default(),
            restored: None,
        }
    }

    /// In a SQLite file, made or brought up to date.
    pub fn open(path: &Path) -> Result<Self, OpenError> {
        let database = Database::Sqlite(Sqlite::open(path, &MIGRATIONS)?);
        let restored = restoring::find(&database).map_err(|error| OpenError::Unread(path.to_owned(), error))?;
        Ok(Self { database: Arc::new(database), epochs: Arc::default(), kept: Arc::default(), broom: Arc::default(), restored })
    }

    /// The same where the file is there, and as this program has it: nothing is made, and nothing brought up to date.
    pub fn open_if_current(path: &Path) -> Result<Option<Self>, OpenError> {
        if Sqlite::is_current(path, &MIGRATIONS)? { Self::open(path).map(Some) } else { Ok(None) }
    }

    /// The file under it, if there is one.
    pub fn sqlite(&self) -> Option<&Sqlite> {
        match &*self.database {
            Database::Sqlite(sqlite) => Some(sqlite),
            Database::Memory(_) => None,
        }
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
        let mut plan = writes::Plan::of(changes)?;
        let batch = Batch { checks: plan.checks, operations: plan.operations };
        let done = self.database.commit(batch).await;
        // also when it failed: a flush that was cut off may yet have happened
        self.epochs.raise(&touched);
        // somebody was faster, and may not have raised the epoch yet: whoever tries again reads behind that (S28)
        if matches!(done, Err(EngineError::Broken(_))) {
            self.epochs.raise(&rests_on);
        }
        self.epochs.note(std::mem::take(&mut plan.events), &done);
        done.map_err(|error| match error {
            EngineError::Broken(at) => plan.if_broken.get(at).cloned().unwrap_or(CommitError::Changed),
            EngineError::Taken(at) if plan.spends.contains(&at) => CommitError::Spent,
            EngineError::Taken(at) if plan.tokens.contains(&at) => CommitError::Changed,
            EngineError::Taken(_) => CommitError::Taken,
            EngineError::Unavailable(what) => CommitError::Unavailable(what),
        })
    }
}

#[cfg(test)]
mod tests;
