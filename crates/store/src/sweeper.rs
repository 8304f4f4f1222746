//! Sweeping out what has expired, and remembering the latest time that was served.

use crate::{Store, tables};
use database::{Batch, Operation, Value};
use identity::{CommitError, StoreError};
use types::Timestamp;

/// Tables with their column of expiry. RPTs and tokens stay a day past their end: an expired RPT may
/// still be upgraded (Grant 3.3.1).
const EXPIRING: [(&database::Table, i64); 10] = [
    (&tables::SESSION, 0),
    (&tables::CODE, 0),
    (&tables::PUSHED_REQUEST, 0),
    (&tables::SPENT, 0),
    (&tables::SECRET, 0),
    (&tables::PROCESS, 3600),
    (&tables::PCT, 0),
    (&tables::ACCESS_TOKEN, 0),
    (&tables::REFRESH_TOKEN, 0),
    (&tables::RPT, 86_400),
];

const SERVED: &str = "latest";

impl Store {
    /// Removes what has expired, and notes that `now` was served.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), CommitError> {
        let mut operations = vec![Operation::Put { table: &tables::SERVED, row: vec![SERVED.into(), now.0.into()] }];
        for (table, kept) in EXPIRING {
            if let Some(column) = table.position("expires") {
                operations.push(Operation::DeleteBelow { table, column, limit: now.0.saturating_sub(kept) });
            }
        }
        let batch = Batch { checks: vec![], operations };
        self.database.commit(batch).await.map_err(|error| CommitError::Unavailable(error.to_string()))
    }

    /// The latest time that this store is known to have served (threat 35).
    pub fn latest_served(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.get(&tables::SERVED, &[SERVED.into()])?;
        Ok(row.and_then(|row| row.get(1).and_then(Value::as_int)).map(Timestamp))
    }

    /// What `wayleave restore` does to a store that is older than the world: no ticket of before is
    /// good, nor any refresh token (threat 35).
    pub async fn forget_secrets(&self) -> Result<(), CommitError> {
        let everything = |table| Operation::DeleteAll { table, index: None, prefix: vec![] };
        let operations = vec![everything(&tables::SECRET), everything(&tables::REFRESH_TOKEN)];
        let batch = Batch { checks: vec![], operations };
        self.database.commit(batch).await.map_err(|error| CommitError::Unavailable(error.to_string()))
    }
}
