//! Erasing a person: what owners' events and requests say of somebody who asked for access goes; the chains of
//! events still verify (protocol.md 1.5). Called by administration.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::event::Event;
use crate::store::Page;
use identity::Failure;
use types::{ErrorCode, EventId, OwnerId};

const AT_ONCE: usize = 1_000;

impl AuthorizationServer {
    /// Takes this address out of every owner's history and requests; how many events told of it.
    pub async fn erase_requesting_party(&self, address: &str) -> Result<usize, Failure> {
        let Some(address) = types::email::normalize(address) else {
            return Failure::refuse(ErrorCode::InvalidRequest, "`email` must be an e-mail address");
        };
        let (mut erased, mut after) = (0_usize, None);
        loop {
            let owners = self.store.list_event_owners(after.as_ref(), 100).await?;
            let Some(last) = owners.last().cloned() else { return Ok(erased) };
            for owner in &owners {
                self.erase_requests(owner, &address).await?;
                self.erase_receipts(owner, &address).await?;
                erased = erased.saturating_add(self.erase_events(owner, &address).await?);
            }
            after = Some(last);
        }
    }

    async fn erase_events(&self, owner: &OwnerId, address: &str) -> Result<usize, Failure> {
        // what has no place in the chain yet gets it as it was written
        self.seal_events().await?;
        let is_address = |value: &serde_json::Value| value.as_str().and_then(types::email::normalize).as_deref() == Some(address);
        // a share may name several
        let tells = |event: &Event| match event.document.claims.get("email") {
            Some(serde_json::Value::Array(all)) => all.iter().any(is_address),
            Some(value) => is_address(value),
            None => false,
        };
        let (mut erased, mut after) = (0_usize, EventId::new(""));
        loop {
            let page = self.store.list_events_from(owner, &after, AT_ONCE).await?;
            let Some(last) = page.last() else { return Ok(erased) };
            after = last.document.id.clone();
            let mut writes = Vec::new();
            for event in page.into_iter().filter(tells) {
                writes.push(Write::EraseEvent(event.erase()?));
            }
            erased = erased.saturating_add(writes.len());
            self.store.commit(Changes::of(writes)).await?;
        }
    }

    /// Receipts stay, without the name.
    async fn erase_receipts(&self, owner: &OwnerId, address: &str) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = Page { after: after.take(), limit: AT_ONCE };
            let receipts = self.store.list_receipts(owner, &page).await?;
            let Some(last) = receipts.last() else { return Ok(()) };
            after = Some(last.document.id.clone());
            let writes: Vec<_> =
                receipts.into_iter().filter_map(|receipt| receipt.without(address)).map(Write::PutReceipt).collect();
            if !writes.is_empty() {
                self.store.commit(Changes::of(writes)).await?;
            }
        }
    }

    async fn erase_requests(&self, owner: &OwnerId, address: &str) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let page = Page { after: after.take(), limit: AT_ONCE };
            let requests = self.store.list_access_requests(owner, &page).await?;
            let Some(last) = requests.last() else { return Ok(()) };
            after = Some(last.id.clone());
            let of_person = requests.into_iter().filter(|request| {
                request.claims.emails().any(|email| types::email::normalize(email).as_deref() == Some(address))
            });
            let writes: Vec<_> =
                of_person.map(|request| Write::DeleteAccessRequest { owner: owner.clone(), id: request.id }).collect();
            if !writes.is_empty() {
                self.store.commit(Changes::of(writes)).await?;
            }
        }
    }
}
