//! Sweeping out what has expired, and remembering the latest time that was served.
//!
//! When rows run out their tables say (`tables.rs`); nothing here walks a large table.

use crate::entity::{Cell, key, row};
use crate::place::slice_of_day;
use crate::reads::Along;
use crate::{Store, tables, unread, unwritten};
use database::{Operation, ReadError, Records, Table};
use identity::CommitError;
use std::sync::atomic::{AtomicI64, Ordering};
use types::Timestamp;

/// Tables of tokens.
const TOKENS: [&Table; 5] = [&tables::CODE, &tables::ACCESS_TOKEN, &tables::REFRESH_TOKEN, &tables::RPT, &tables::PCT];
/// Parts of a day's tokens, as an earlier release placed them.
const SLICES: i64 = 4096;
/// Parts of one sweep; a whole round takes 64 sweeps.
const SLICES_AT_ONCE: i64 = 64;
/// Days that one round of these looks back, so that a server that was away for a while catches up.
const DAYS_BACK: i64 = 8;

/// Row of `served`: the latest time that was.
pub(crate) const SERVED: &str = "latest";
/// Row of `served` that is written to see whether one can be.
const PROBE: &str = "probe";

/// Where the next sweep of tokens begins.
#[derive(Default)]
pub(crate) struct Broom(AtomicI64);

impl Store {
    /// Removes what has expired, and notes that `now` was served: never less than what was noted before.
    pub async fn sweep(&self, now: Timestamp) -> Result<(), CommitError> {
        let latest = self.latest_served().await.map_err(unread)?.map_or(now, |before| before.max(now));
        self.write(vec![Operation::Put { table: &tables::SERVED, row: row![SERVED, latest] }]).await?;
        self.records.sweep(&tables::ALL, now.0).await.map_err(unwritten)?;
        for table in TOKENS {
            // above zero are those that an earlier release placed
            if self.first(table, Along::key(&[]), Some(0_i64.cell())).await.map_err(unread)?.is_some() {
                self.write(self.sweep_days(table, now)).await?;
            }
        }
        Ok(())
    }

    /// What sweeps tokens of an earlier release: a few parts of each day, round and round.
    fn sweep_days(&self, table: &'static Table, now: Timestamp) -> Vec<Operation> {
        let from = self.broom.0.fetch_add(SLICES_AT_ONCE, Ordering::Relaxed).rem_euclid(SLICES);
        let mut operations = Vec::new();
        for slice in from..from.saturating_add(SLICES_AT_ONCE) {
            for day in 2..2 + DAYS_BACK {
                let bucket = now.day().saturating_sub(day).rem_euclid(identity::token_text::DAYS);
                let (from, below) = slice_of_day(bucket, slice, SLICES);
                operations.push(Operation::DeleteBetween { table, from, below });
            }
        }
        operations
    }

    /// Whether the store answers; where the last write failed, whether there is room again, and one is possible.
    pub async fn probe(&self) -> Result<(), CommitError> {
        let latest = self.latest_served().await.map_err(unread)?;
        if !self.records.database.has_failed() {
            return Ok(());
        }
        if !self.records.database.has_room().await {
            return Err(CommitError::Unavailable("there is no room on the disk".into()));
        }
        let row = row![PROBE, latest.map_or(0, |latest| latest.0)];
        self.write(vec![Operation::Put { table: &tables::SERVED, row }]).await
    }

    /// The latest time that this store is known to have served (threat 35).
    pub async fn latest_served(&self) -> Result<Option<Timestamp>, ReadError> {
        find_served(&self.records, SERVED).await
    }
}

/// The time in a row of `served`.
pub(crate) async fn find_served(records: &Records, name: &str) -> Result<Option<Timestamp>, ReadError> {
    let row = records.database.get(&tables::SERVED, &key![name]).await?;
    row.map(|row| tables::SERVED.int(&row, 1).map(Timestamp)).transpose()
}
