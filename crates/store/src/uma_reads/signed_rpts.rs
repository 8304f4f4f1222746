//! RPTs that were issued as JWTs: kept by the hour in which they end, so that those of one resource server are found together.

use crate::Store;
use crate::entity::row;
use crate::reads::Along;
use crate::tables::SIGNED_RPT;
use database::{ReadError, Value};
use types::{ClientId, OwnerId, Timestamp};

/// An owner's things at one resource server.
pub(super) struct OfServer<'a> {
    pub(super) owner: &'a OwnerId,
    pub(super) resource_server: &'a ClientId,
}

impl OfServer<'_> {
    fn prefix(&self, hour: i64) -> Vec<Value> {
        row![hour, self.owner, self.resource_server]
    }
}

impl Store {
    pub(super) async fn count_signed(&self, of: &OfServer<'_>, now: Timestamp, most: usize) -> Result<usize, ReadError> {
        let mut count = 0_usize;
        for hour in now.hour()..=self.last_hour_of_signed().await? {
            count = count.saturating_add(self.count(&SIGNED_RPT, Along::key(&of.prefix(hour)), most).await?);
        }
        Ok(count.min(most))
    }

    pub(super) async fn list_signed(&self, of: &OfServer<'_>, now: Timestamp) -> Result<Vec<(String, Timestamp)>, ReadError> {
        let mut found = Vec::new();
        for hour in now.hour()..=self.last_hour_of_signed().await? {
            for row in self.all_rows(&SIGNED_RPT, Along::key(&of.prefix(hour))).await? {
                let ends = Timestamp(SIGNED_RPT.int(&row, 4)?);
                if now < ends {
                    found.push((SIGNED_RPT.text(&row, 3)?.to_owned(), ends));
                }
            }
        }
        Ok(found)
    }

    /// The last hour that any has: lifetimes may have been longer when it was issued.
    async fn last_hour_of_signed(&self) -> Result<i64, ReadError> {
        self.first(&SIGNED_RPT, Along::key(&[]).backwards(), None).await?.map_or(Ok(0), |row| SIGNED_RPT.int(&row, 0))
    }
}
