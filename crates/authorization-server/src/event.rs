//! Events (protocol.md 1.5): what an owner can read about her things. Written in the commit of what
//! they tell of.

use crate::AuthorizationServer;
use crate::store::Page;
use identity::Failure;
use identity::access_token::PolicyToken;
use jose::{Clock, Randomness};
use serde::{Deserialize, Serialize};
use types::event::{EventDocument, EventKind};
use types::{EventId, OwnerId};

/// An event and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub owner: OwnerId,
    pub document: EventDocument,
}

impl Event {
    /// An event of this kind, now. Ids sort by time: 12 hexadecimal digits of milliseconds, then 80
    /// random bits.
    pub fn new(owner: OwnerId, kind: EventKind, clock: &dyn Clock, randomness: &dyn Randomness) -> Self {
        let random: [u8; 10] = jose::ambient::random(randomness);
        let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
        let id = EventId::new(format!("{:012x}{tail}", clock.now_millis()));
        let document = EventDocument {
            id,
            time: clock.now(),
            kind,
            resource_id: None,
            resource_server: None,
            client_id: None,
            claims: serde_json::Map::new(),
            scopes: types::ScopeSet::new(),
            outcome: None,
            policy_id: None,
            by: None,
        };
        Self { owner, document }
    }
}

impl AuthorizationServer {
    pub(crate) fn event(&self, owner: &OwnerId, kind: EventKind) -> Event {
        Event::new(owner.clone(), kind, &*self.identity.clock, &*self.identity.randomness)
    }

    /// `GET {events_endpoint}`: newest first.
    pub async fn list_events(&self, pmt: &PolicyToken, page: &Page<EventId>) -> Result<Vec<EventDocument>, Failure> {
        let events = self.store.list_events(&pmt.owner, page).await?;
        Ok(events.into_iter().map(|event| event.document).collect())
    }
}
