//! Searches of which something is to be sent.

use crate::row::{entities, number};
use crate::{Store, tables};
use authorization_server::discovery::Search;
use database::Scan;
use identity::StoreError;
use types::Timestamp;

const DUE_AT_ONCE: usize = 256;

impl Store {
    pub(super) async fn due_searches(&self, now: Timestamp) -> Result<Vec<Search>, StoreError> {
        let mut limit = DUE_AT_ONCE;
        loop {
            let after = Some(0_i64.into());
            let scan = Scan { table: &tables::SEARCH, index: Some(1), prefix: &[], after, descending: false, limit };
            let mut rows = self.scan(&scan).await?;
            let last = rows.last().map(|row| number(row, 2)).transpose()?;
            if rows.len() < limit || last.is_some_and(|due| due > now.0) {
                rows.retain(|row| number(row, 2).is_ok_and(|due| due <= now.0));
                return entities(rows);
            }
            limit = limit.saturating_mul(4);
        }
    }
}
