//! When a server last said that an owner lets an application manage (`brought.rs`): by the name of that word of hers.

use super::Store;
use super::tables::ANSWERED;
use crate::protection::ProtectionError;
use database::{Operation, ReadError};
use types::{GrantId, Timestamp};

impl Store {
    pub(crate) async fn find_answered(&self, grant: &GrantId) -> Result<Option<Timestamp>, ReadError> {
        let Some(row) = self.records.database.get(&ANSWERED, &[grant.as_str().into()]).await? else { return Ok(None) };
        Ok(Some(Timestamp(ANSWERED.int(&row, 1)?)))
    }

    pub(crate) async fn put_answered(&self, grant: &GrantId, at: Timestamp) -> Result<(), ProtectionError> {
        let put = Operation::Put { table: &ANSWERED, row: vec![grant.as_str().into(), at.0.into()] };
        self.write_all(Operation::sweep(&ANSWERED, at.0).into_iter().chain([put]).collect()).await
    }
}
