//! Whether a key is the one that a store was sealed with: asked at its start, before anything is written.

use super::Records;
use crate::ReadError;
use crate::batch::{Batch, Check, CommitError, Operation};
use crate::sqlite::{OpenError, file};
use crate::table::{Row, Table, Value};
use std::path::Path;

/// The row that opens with the key of the store, and with no other.
pub(crate) const KEY_CHECK: &str = "key check";

/// Why a store is not used with a key.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyCheckError {
    #[error("the store was sealed with another key: restore the key file that goes with the store (nothing was changed)")]
    OtherKey,
    #[error("a row of `{0}` does not open, and others do: restore the store from a backup")]
    Broken(&'static str),
    #[error(transparent)]
    Read(#[from] ReadError),
    #[error(transparent)]
    Write(#[from] CommitError),
}

/// Whether a store that is a file has the row by which it knows its key; nothing is opened for writing.
pub fn has_key_check(file: &Path, secrets: &'static Table) -> Result<bool, OpenError> {
    Ok(file::find_row(file, secrets, &[KEY_CHECK.into()])?.is_some())
}

impl Records {
    /// Whether this is the key that the store was sealed with. `secrets`, a sealed table with a name as its key, has a row that says
    /// so. A store of before there was one gets it, where everything in `tables` opens; and in the same commit each row that was
    /// sealed for its table alone is sealed anew, for its place. With another key nothing at all is written.
    pub async fn check_key(&self, secrets: &'static Table, tables: &[&'static Table]) -> Result<(), KeyCheckError> {
        self.check_key_or_seal(secrets, tables, |table, row| self.plain_of_before(table, row)).await.map(drop)
    }

    /// The same for a store of before whose bodies `of_before` opens; whether some were sealed just now.
    pub async fn check_key_or_seal(
        &self,
        secrets: &'static Table,
        tables: &[&'static Table],
        of_before: impl Fn(&'static Table, &Row) -> Option<Vec<u8>> + Send + Sync,
    ) -> Result<bool, KeyCheckError> {
        let name = Value::from(KEY_CHECK);
        loop {
            if let Some(row) = self.database.get(secrets, std::slice::from_ref(&name)).await? {
                return self.open::<Vec<u8>>(secrets, &row).map(|_| false).map_err(|_| KeyCheckError::OtherKey);
            }
            let mut batch = Batch::default();
            for table in tables.iter().filter(|table| table.sealed) {
                self.seal_anew(table, &of_before, &mut batch).await?;
            }
            let has_sealed = !batch.operations.is_empty();
            let row = self.row(secrets, vec![name.clone()], &KEY_CHECK.as_bytes())?;
            batch.operations.push(Operation::Insert { table: secrets, row });
            match self.commit(batch).await {
                // another node of this party was first, or a row has changed since it was read
                Err(CommitError::Broken(_) | CommitError::Taken(_)) => {}
                other => return Ok(other.map(|()| has_sealed)?),
            }
        }
    }

    /// Adds the rows of a table that are as before, sealed for their place.
    async fn seal_anew(
        &self,
        table: &'static Table,
        of_before: &(impl Fn(&'static Table, &Row) -> Option<Vec<u8>> + Send + Sync),
        batch: &mut Batch,
    ) -> Result<(), KeyCheckError> {
        let rows = self.rows(table, None, &[]).await?;
        let opens = |row: &Row| self.plain(table, row).is_some() || of_before(table, row).is_some();
        if !rows.iter().all(opens) {
            return Err(if rows.iter().any(opens) { KeyCheckError::Broken(table.name) } else { KeyCheckError::OtherKey });
        }
        for mut row in rows {
            let Some(plain) = of_before(table, &row) else { continue };
            batch.checks.push(Check::unchanged(table, &row));
            let sealed = self.sealed(table, table.key_of(&row), &plain)?;
            row.pop();
            row.push(sealed.into());
            batch.operations.push(Operation::Put { table, row });
        }
        Ok(())
    }

    /// As a row of before was sealed, for its table alone.
    fn plain_of_before(&self, table: &Table, row: &Row) -> Option<Vec<u8>> {
        self.key.as_ref()?.open(row.last()?.as_blob()?, table.name.as_bytes())
    }
}
