//! RPTs that were issued as JWTs: kept by the hour in which they end, so that those of one resource server are found together.

use super::Along;
use crate::row::{number, text};
use crate::{Store, tables};
use database::{Scan, Value};
use identity::StoreError;
use types::{ClientId, OwnerId, Timestamp};

const AT_ONCE: usize = 1_000;

/// An owner's things at one resource server.
pub(super) struct OfServer<'a> {
    pub(super) owner: &'a OwnerId,
    pub(super) resource_server: &'a ClientId,
}

impl OfServer<'_> {
    fn prefix(&self, hour: i64) -> [Value; 3] {
        [hour.into(), self.owner.as_str().into(), self.resource_server.as_str().into()]
    }
}

impl Store {
    pub(super) async fn count_signed(&self, of: &OfServer<'_>, now: Timestamp, most: usize) -> Result<usize, StoreError> {
        let mut count = 0_usize;
        for hour in now.hour()..=self.last_hour_of_signed().await? {
            let prefix = of.prefix(hour);
            let scan =
                Scan { table: &tables::SIGNED_RPT, index: None, prefix: &prefix, after: None, descending: false, limit: most };
            count = count.saturating_add(self.count(&scan).await?);
        }
        Ok(count.min(most))
    }

    pub(super) async fn list_signed(&self, of: &OfServer<'_>, now: Timestamp) -> Result<Vec<(String, Timestamp)>, StoreError> {
        let mut found = Vec::new();
        for hour in now.hour()..=self.last_hour_of_signed().await? {
            let prefix = of.prefix(hour);
            let along = Along { table: &tables::SIGNED_RPT, index: None, prefix: &prefix, descending: false };
            let mut last: Option<String> = None;
            loop {
                let rows = self.page(&along, last.as_deref(), AT_ONCE).await?;
                for row in &rows {
                    let (jti, ends) = (text(row, 3)?.to_owned(), Timestamp(number(row, 4)?));
                    last = Some(jti.clone());
                    found.extend((now < ends).then_some((jti, ends)));
                }
                if rows.len() < AT_ONCE {
                    break;
                }
            }
        }
        Ok(found)
    }

    /// The last hour that any has: lifetimes may have been longer when it was issued.
    async fn last_hour_of_signed(&self) -> Result<i64, StoreError> {
        let last = Scan { table: &tables::SIGNED_RPT, index: None, prefix: &[], after: None, descending: true, limit: 1 };
        self.scan(&last).await?.first().map_or(Ok(0), |row| number(row, 0))
    }
}
