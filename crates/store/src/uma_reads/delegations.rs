//! Delegations to one delegate: of owners, one after the other, so that a page begins where the last one ended whoever writes more.

use super::STANDS;
use crate::Store;
use crate::entity::{Cell, Entity, key};
use crate::reads::Along;
use authorization_server::store::{DelegationPlace, Page};
use database::ReadError;
use rules::delegation::Delegation;
use types::OwnerId;

impl Store {
    pub(super) async fn delegations_to(
        &self,
        delegate: &str,
        page: &Page<DelegationPlace>,
    ) -> Result<Vec<Delegation>, ReadError> {
        let (mut found, mut place) = (Vec::new(), page.after.clone());
        loop {
            if let Some(DelegationPlace { owner, id }) = &place {
                let prefix = key![delegate, STANDS, owner];
                let limit = page.limit.saturating_sub(found.len());
                found.extend(self.page(Along::index(0, &prefix), Some(id), limit).await?);
            }
            if found.len() >= page.limit {
                return Ok(found);
            }
            let after = place.map(|place| place.owner.cell());
            match self.first(Delegation::TABLE, Along::index(0, &key![delegate, STANDS]), after).await? {
                Some(row) => {
                    place = Some(DelegationPlace { owner: OwnerId::new(Delegation::TABLE.text(&row, 0)?), id: String::new() })
                }
                None => return Ok(found),
            }
        }
    }
}
