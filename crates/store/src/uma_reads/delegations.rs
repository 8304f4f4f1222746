//! Delegations to one delegate: of owners, one after the other, so that a page begins where the last one ended whoever writes more.

use super::{Along, STANDS};
use crate::row::{entities, text};
use crate::{Store, tables};
use authorization_server::store::{DelegationPlace, Page};
use database::{Scan, Value};
use identity::StoreError;
use rules::delegation::Delegation;
use types::OwnerId;

impl Store {
    pub(super) async fn delegations_to(
        &self,
        delegate: &str,
        page: &Page<DelegationPlace>,
    ) -> Result<Vec<Delegation>, StoreError> {
        let (mut found, mut place) = (Vec::new(), page.after.clone());
        loop {
            if let Some(DelegationPlace { owner, id }) = &place {
                let prefix = [delegate.into(), STANDS.into(), owner.as_str().into()];
                let along = Along { table: &tables::DELEGATION, index: Some(0), prefix: &prefix, descending: false };
                found.extend(self.page(&along, Some(id), page.limit.saturating_sub(found.len())).await?);
            }
            if found.len() >= page.limit {
                return entities(found);
            }
            let (prefix, after) = ([delegate.into(), STANDS.into()], place.map(|place| Value::from(place.owner.as_str())));
            let scan = Scan { table: &tables::DELEGATION, index: Some(0), prefix: &prefix, after, descending: false, limit: 1 };
            match self.scan(&scan).await?.first() {
                Some(row) => place = Some(DelegationPlace { owner: OwnerId::new(text(row, 0)?), id: String::new() }),
                None => return entities(found),
            }
        }
    }
}
