//! When a server last said that an owner lets an application manage (`brought.rs`): by the name of that word of hers.

use super::Store;
use super::tables::ANSWERED;
use crate::protection::ProtectionError;
use database::{Operation, ReadError, Value};
use types::{GrantId, Timestamp};

impl Store {
    pub(crate) async fn find_answered(&self, grant: &GrantId) -> Result<Option<Timestamp>, ReadError> {
        let Some(row) = self.records.database.get(&ANSWERED, &[grant.as_str().into()]).await? else { return Ok(None) };
        row.get(1).and_then(Value::as_int).map(|at| Some(Timestamp(at))).ok_or(ReadError::DoesNotOpen(ANSWERED.name))
    }

    /// Forgets what was answered before `forgotten`.
    pub(crate) async fn put_answered(&self, grant: &GrantId, at: Timestamp, forgotten: Timestamp) -> Result<(), ProtectionError> {
        let sweep = Operation::DeleteBelow { table: &ANSWERED, column: 1, limit: forgotten.0 };
        let row = vec![grant.as_str().into(), at.0.into()];
        self.write_all(vec![sweep, Operation::Put { table: &ANSWERED, row }]).await
    }
}
