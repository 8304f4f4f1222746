//! What a commit does, as data.

use crate::table::{Expiry, Row, Table, Value};

/// Rows that are swept at once.
pub(crate) const SLICE: usize = 500;

/// Something that must be true at the moment of commit.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Check {
    /// No row has this key.
    Absent { table: &'static Table, key: Vec<Value> },
    /// A row has this key, and this value in that column.
    Equals { table: &'static Table, key: Vec<Value>, column: usize, value: Value },
    /// A row has this key, and less than this in that column.
    Below { table: &'static Table, key: Vec<Value>, column: usize, limit: i64 },
    /// No row has this prefix of an index. Of several at once that require it one is first, and the others see what that one did.
    NoneAlong { table: &'static Table, index: usize, prefix: Vec<Value> },
}

impl Check {
    /// The row is still as it was read: its body, which is its last column, is the same.
    pub fn unchanged(table: &'static Table, row: &Row) -> Self {
        let value = row.last().cloned().unwrap_or(Value::Null);
        Self::Equals { table, key: table.key_of(row).to_vec(), column: row.len().saturating_sub(1), value }
    }

    pub(crate) fn table(&self) -> &'static Table {
        match self {
            Self::Absent { table, .. }
            | Self::Equals { table, .. }
            | Self::Below { table, .. }
            | Self::NoneAlong { table, .. } => table,
        }
    }
}

/// A change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Operation {
    /// A new row; the batch breaks if its key or a unique index is taken.
    Insert { table: &'static Table, row: Row },
    /// A row, whether or not one had its key; the batch breaks if a unique index is taken by another.
    Put { table: &'static Table, row: Row },
    /// No row with this key any more. A row that is to be another one is [`Operation::Put`]: one that is deleted and inserted in
    /// one batch is not the row that somebody else is about to delete.
    Delete { table: &'static Table, key: Vec<Value> },
    /// No row any more with this prefix of an index, which is the one that the table is ended by ([`Table::ended_by`]).
    DeleteAll { table: &'static Table, index: Option<usize>, prefix: Vec<Value> },
    /// No row any more whose key, a single number, is at least `from` and below `below`.
    DeleteBetween { table: &'static Table, from: i64, below: i64 },
    /// Adds to a column of a row, if it is there. Additions commute.
    Add { table: &'static Table, key: Vec<Value>, column: usize, by: i64 },
    /// A new row, or where one has the key: its own value of `column` added to that one's.
    Raise { table: &'static Table, row: Row, column: usize },
    /// Removes rows whose column holds less than this, the lowest first, at most so many: the sweeper's broom.
    DeleteBelow { table: &'static Table, column: usize, limit: i64, most: usize },
}

impl Operation {
    /// Removes what has run out, where rows of this table do: so much of it as holds nobody up.
    pub fn sweep(table: &'static Table, now: i64) -> Option<Self> {
        let slice = |expiry: Expiry| (expiry.column, (expiry.limit)(now));
        table.expires.map(slice).map(|(column, limit)| Self::DeleteBelow { table, column, limit, most: SLICE })
    }
}

/// Checks and operations that happen together or not at all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Batch {
    pub checks: Vec<Check>,
    pub operations: Vec<Operation>,
}

/// Why nothing of a batch happened.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// The check at this position of `checks` does not hold.
    #[error("check {0} does not hold")]
    Broken(usize),
    /// The row of the operation at this position is taken.
    #[error("the row of operation {0} is taken")]
    Taken(usize),
    /// A value is none that is kept, whoever tries again; the text says which.
    #[error("this cannot be kept: {0}")]
    Unkept(String),
    /// The engine cannot write; the text is for the log.
    #[error("the store cannot be written: {0}")]
    Unavailable(String),
}
