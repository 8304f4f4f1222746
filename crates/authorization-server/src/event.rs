//! Events (protocol.md 1.5): what an owner can read about her things, and the chain that shows a fork or a
//! loss to whoever keeps its heads.
//!
//! An event is written in the commit of what it tells of. A sealer ([`seal`]) gives committed events their
//! places in the owner's chain, at least once a second: `hash = SHA-256(prev ‖ time ‖ kind ‖ SHA-256(salt ‖
//! personal part))`. The personal part can be erased; the chain still verifies, because it holds only its hash.

pub mod seal;

use crate::AuthorizationServer;
use crate::page::{Soon, page_of_seen};
use crate::pen::Pen;
use crate::store::Page;
use identity::access_token::PolicyToken;
use identity::{Failure, internal};
use jose::{Clock, Randomness, base64url, digest, event_chain};
use rules::Policy;
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::event::{EventDocument, EventKind, Restored};
use types::{EventId, OwnerId, Timestamp};

pub use seal::{EventHead, EventSeal, Unsealed, Verdict, verify_head};

/// An event and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub owner: OwnerId,
    pub document: EventDocument,
    /// Keeps the hash of the personal part from being guessed.
    pub salt: String,
    /// Where the personal part and the salt were erased: its hash, base64url.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub erased: Option<String>,
}

impl Event {
    /// An event of this kind, now. Ids sort by time: 12 hexadecimal digits of milliseconds, then 80
    /// random bits.
    pub fn new(owner: OwnerId, kind: EventKind, clock: &dyn Clock, randomness: &dyn Randomness) -> Self {
        let random: [u8; 10] = jose::ambient::random(randomness);
        let document = EventDocument {
            id: id_at(clock.now_millis(), &random),
            time: clock.now(),
            kind,
            resource_id: None,
            resource_ids: Vec::new(),
            more_resources: None,
            resource_server: None,
            client_id: None,
            claims: serde_json::Map::new(),
            scopes: types::ScopeSet::new(),
            outcome: None,
            policy_id: None,
            by: None,
            by_name: None,
        };
        Self { owner, document, salt: jose::ambient::random_text::<16>(randomness), erased: None }
    }

    /// That the server was put back to the state of a time. It stands behind the owner's last event that is left, also where that
    /// was written by a clock that was ahead.
    pub fn of_restore(
        owner: OwnerId,
        state_of: Timestamp,
        last: Option<&EventId>,
        clock: &dyn Clock,
        randomness: &dyn Randomness,
    ) -> Self {
        let mut event = Self::new(owner, EventKind::ServerRestored, clock, randomness);
        let behind = last.and_then(millis_of).map_or(0, |millis| millis.saturating_add(1));
        event.document.id = id_at(clock.now_millis().max(behind), &jose::ambient::random::<10>(randomness));
        event.document.claims = Restored { state_of }.to_claims();
        event
    }

    /// Its hash behind `prev`.
    pub fn hash_after(&self, prev: &[u8; 32]) -> Result<[u8; 32], Failure> {
        let d = &self.document;
        Ok(event_chain::hash_after(prev, d.time.0, d.kind.as_str(), &self.personal_hash()?))
    }

    pub(crate) fn personal_hash(&self) -> Result<[u8; 32], Failure> {
        if let Some(hash) = &self.erased {
            let hash = base64url::decode(hash).and_then(|hash| hash.try_into().ok());
            return hash.ok_or_else(|| internal("the hash of an erased event does not read"));
        }
        let d = &self.document;
        let mut personal = json!([
            d.resource_id,
            d.resource_server,
            d.client_id,
            d.claims,
            d.scopes,
            d.outcome,
            d.policy_id,
            d.by,
            d.id,
            self.owner
        ]);
        if let (Some(parts), false) = (personal.as_array_mut(), d.resource_ids.is_empty()) {
            parts.push(json!([d.resource_ids, d.more_resources]));
        }
        let personal = serde_json::to_vec(&personal).map_err(internal)?;
        Ok(digest::sha256(&[self.salt.as_bytes(), &personal]))
    }

    /// The event without anything that tells of a person; it keeps its place in the chain.
    pub fn erase(self) -> Result<Self, Failure> {
        let erased = Some(base64url::encode(self.personal_hash()?));
        let document = EventDocument {
            resource_id: None,
            resource_ids: Vec::new(),
            more_resources: None,
            resource_server: None,
            client_id: None,
            claims: serde_json::Map::new(),
            scopes: types::ScopeSet::new(),
            outcome: None,
            policy_id: None,
            by: None,
            by_name: None,
            ..self.document
        };
        Ok(Self { document, salt: String::new(), erased, ..self })
    }
}

fn id_at(millis: i64, random: &[u8]) -> EventId {
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    EventId::new(format!("{:012x}{tail}", millis.max(0)))
}

/// The id before every event of so long before this one.
fn earlier(id: &EventId, millis: i64) -> EventId {
    id_at(millis_of(id).unwrap_or(0).saturating_sub(millis), &[])
}

fn millis_of(id: &EventId) -> Option<i64> {
    id.as_str().get(..12).and_then(|digits| i64::from_str_radix(digits, 16).ok())
}

impl AuthorizationServer {
    pub(crate) fn event(&self, owner: &OwnerId, kind: EventKind) -> Event {
        Event::new(owner.clone(), kind, &*self.identity.clock, &*self.identity.randomness)
    }
}

impl Pen<'_> {
    pub(crate) fn event(&self, owner: &OwnerId, kind: EventKind) -> Event {
        Event::new(owner.clone(), kind, self.clock, self.randomness)
    }

    /// What was shared, with whom: a share that is gone is told of nowhere else.
    pub(crate) fn policy_event(&self, policy: Policy, kind: EventKind, by: &str) -> Event {
        let mut event = self.event(&policy.owner, kind);
        let named = policy.conditions.iter().find(|condition| condition.name == "email");
        let value = named.and_then(|condition| match condition.value.as_slice() {
            [] => None,
            [one] => Some(one.clone()),
            several => Some(json!(several)),
        });
        event.document.claims.extend(value.map(|value| ("email".to_owned(), value)));
        if let [client] = policy.clients.as_slice() {
            event.document.client_id = Some(client.clone());
        }
        event.document.resource_id = policy.resource().cloned();
        event.document.policy_id = Some(policy.id);
        event.document.scopes = policy.scopes;
        event.document.by = Some(by.to_owned());
        event
    }
}

impl AuthorizationServer {
    /// `GET {events_endpoint}`: newest first, and the signed head of the chain.
    pub async fn list_events(&self, pmt: &PolicyToken, page: &Page<EventId>) -> Result<Vec<EventDocument>, Failure> {
        let events = self.store.list_events(&pmt.owner, page).await?;
        let mut listed = Vec::with_capacity(events.len());
        for event in events {
            listed.push(self.told_event(&pmt.owner, event).await?);
        }
        Ok(listed)
    }

    /// As much of them as one answer has, and the id behind which they go on, if they do.
    pub async fn list_event_page(
        &self,
        pmt: &PolicyToken,
        page: &Page<EventId>,
    ) -> Result<(Vec<EventDocument>, Option<EventId>), Failure> {
        let read = |page: Page<EventId>| -> Soon<'_, _> {
            Box::pin(async move { Ok(self.store.list_events(&pmt.owner, &page).await?) })
        };
        let see = |event: Event| -> Soon<'_, _> { Box::pin(async move { Ok(Some(self.told_event(&pmt.owner, event).await?)) }) };
        page_of_seen(page, |event: &Event| event.document.id.clone(), read, see).await
    }

    async fn told_event(&self, owner: &OwnerId, event: Event) -> Result<EventDocument, Failure> {
        let by_name = self.decided_by_other(owner, &event.document).await?;
        Ok(EventDocument { by_name, ..event.document })
    }
}
