//! Sweeping out what has expired, and remembering the latest time that was served.
//!
//! Nothing here walks a large table: small ones are swept by their column of expiry, spent ids by the hour
//! they lead with, tokens from their beginning on: their rows lie in the order in which they end. Each sweep takes so many
//! seconds of them at most, so that nothing long is held; one that finds more goes on at the next.

use crate::row::{first_place_of, second_of, slice_of_day};
use crate::{Store, tables};
use database::{Batch, Operation, Scan, Table, Value};
use identity::{CommitError, StoreError};
use std::sync::atomic::{AtomicI64, Ordering};
use types::Timestamp;

/// Small tables: as many rows as there are people at work right now.
const SMALL: [&Table; 6] =
    [&tables::DELEGATION, &tables::SESSION, &tables::PUSHED_REQUEST, &tables::SECRET, &tables::PROCESS, &tables::KEPT_PROOF];
/// Tables of tokens, by day of expiry. An RPT stays a day past its end: it may still be upgraded
/// (Grant 3.3.1).
const TOKENS: [&Table; 5] = [&tables::CODE, &tables::ACCESS_TOKEN, &tables::REFRESH_TOKEN, &tables::RPT, &tables::PCT];
/// A token is kept so many seconds past its end.
const KEPT: i64 = 86_400;
/// Seconds of one operation, and how many operations a sweep has for each table at most.
const SECONDS_AT_ONCE: i64 = 10;
const STEPS: i64 = 360;
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
        let unread = |error: StoreError| CommitError::Unavailable(error.to_string());
        let latest = self.latest_served().await.map_err(unread)?.map_or(now, |before| before.max(now));
        let mut operations = vec![Operation::Put { table: &tables::SERVED, row: vec![SERVED.into(), latest.0.into()] }];
        for table in SMALL {
            if let Some(column) = table.position("expires") {
                operations.push(Operation::DeleteBelow { table, column, limit: now.0 });
            }
        }
        for table in [&tables::SPENT, &tables::SIGNED_RPT] {
            operations.push(Operation::DeleteBelow { table, column: 0, limit: now.hour() });
        }
        for table in TOKENS {
            operations.extend(self.sweep_tokens(table, now).await.map_err(unread)?);
        }
        let batch = Batch { checks: vec![], operations };
        self.database.commit(batch).await.map_err(|error| CommitError::Unavailable(error.to_string()))
    }

    /// What sweeps tokens that ended long enough ago: from the first that is there.
    async fn sweep_tokens(&self, table: &'static Table, now: Timestamp) -> Result<Vec<Operation>, StoreError> {
        let first = async |after: Option<i64>| -> Result<Option<i64>, StoreError> {
            let after = after.map(Value::from);
            let scan = Scan { table, index: None, prefix: &[], after, descending: false, limit: 1 };
            Ok(self.scan(&scan).await?.first().and_then(|row| row.first()).and_then(Value::as_int))
        };
        let mut operations = Vec::new();
        if let Some(place) = first(None).await?.filter(|place| *place < 0) {
            let (mut from, end) = (second_of(place), now.0.saturating_sub(KEPT));
            for _ in 0..STEPS {
                if from >= end {
                    break;
                }
                let below = from.saturating_add(SECONDS_AT_ONCE).min(end);
                operations.push(Operation::DeleteBetween { table, from: first_place_of(from), below: first_place_of(below) });
                from = below;
            }
        }
        if first(Some(0)).await?.is_some() {
            operations.extend(self.sweep_days(table, now));
        }
        Ok(operations)
    }

    /// The same of an earlier release: a few parts of each day, round and round.
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
        let unread = |error: StoreError| CommitError::Unavailable(error.to_string());
        let latest = self.latest_served().await.map_err(unread)?;
        if !self.database.has_failed() {
            return Ok(());
        }
        if !self.database.has_room().await {
            return Err(CommitError::Unavailable("there is no room on the disk".into()));
        }
        let row = vec![PROBE.into(), latest.map_or(0, |latest| latest.0).into()];
        let batch = Batch { checks: vec![], operations: vec![Operation::Put { table: &tables::SERVED, row }] };
        self.database.commit(batch).await.map_err(|error| CommitError::Unavailable(error.to_string()))
    }

    /// The latest time that this store is known to have served (threat 35).
    pub async fn latest_served(&self) -> Result<Option<Timestamp>, StoreError> {
        let row = self.get(&tables::SERVED, &[SERVED.into()]).await?;
        Ok(row.and_then(|row| row.get(1).and_then(Value::as_int)).map(Timestamp))
    }
}
