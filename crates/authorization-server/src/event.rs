//! Events (protocol.md 1.5): what an owner can read about her things, and the chain that shows a fork or a
//! loss to whoever keeps its heads.
//!
//! An event is written in the commit of what it tells of. A sealer gives committed events their places in
//! the owner's chain, at least once a second: `hash = SHA-256(prev ‖ time ‖ kind ‖ SHA-256(salt ‖ personal
//! part))`. The personal part can be erased; the chain still verifies, because it holds only its hash.

use crate::AuthorizationServer;
use crate::changes::{Changes, Write};
use crate::store::Page;
use identity::access_token::PolicyToken;
use identity::{Failure, internal};
use jose::{Algorithm, Clock, KeySet, Randomness, UnverifiedJws, base64url, digest};
use serde::{Deserialize, Serialize};
use serde_json::json;
use types::event::{EventDocument, EventKind};
use types::{EventId, OwnerId, Timestamp};

/// `typ` of a signed head.
pub const HEAD_TYPE: &str = "event-head+jwt";
/// Commits that run side by side may show events out of order by so much, in milliseconds.
const OUT_OF_ORDER: i64 = 60_000;
const AT_ONCE: usize = 5_000;

/// An event and whose it is.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Event {
    pub owner: OwnerId,
    pub document: EventDocument,
    /// Keeps the hash of the personal part from being guessed.
    pub salt: String,
}

/// An event with its place in the chain; `n` counts from 1, and is 0 where it has none yet.
#[derive(Clone, Debug, PartialEq)]
pub struct SealedEvent {
    pub event: Event,
    pub n: u64,
    pub hash: [u8; 32],
}

/// Where an owner's chain ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EventHead {
    pub owner: OwnerId,
    pub n: u64,
    /// base64url.
    pub hash: String,
    pub time: Timestamp,
    /// The latest event in the chain, by id.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last: Option<EventId>,
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
            resource_server: None,
            client_id: None,
            claims: serde_json::Map::new(),
            scopes: types::ScopeSet::new(),
            outcome: None,
            policy_id: None,
            by: None,
        };
        Self { owner, document, salt: jose::ambient::random_text::<16>(randomness) }
    }

    /// Its hash behind `prev`.
    pub fn hash_after(&self, prev: &[u8; 32]) -> Result<[u8; 32], Failure> {
        let d = &self.document;
        let personal = json!([
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
        let personal = serde_json::to_vec(&personal).map_err(internal)?;
        let personal = digest::sha256(&[self.salt.as_bytes(), &personal]);
        Ok(digest::sha256(&[prev, &d.time.0.to_be_bytes(), d.kind.as_str().as_bytes(), &personal]))
    }
}

fn id_at(millis: i64, random: &[u8]) -> EventId {
    let tail: String = random.iter().map(|byte| format!("{byte:02x}")).collect();
    EventId::new(format!("{:012x}{tail}", millis.max(0)))
}

/// The id before every event of so long before this one.
fn earlier(id: &EventId, millis: i64) -> EventId {
    let at = id.as_str().get(..12).and_then(|digits| i64::from_str_radix(digits, 16).ok()).unwrap_or(0);
    id_at(at.saturating_sub(millis), &[])
}

/// What a kept head shows when it is held against the store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The chain goes on from that head; it now ends at this `n`.
    Whole { n: u64 },
    /// Events that the head vouches for are gone.
    Lost { n: u64 },
    /// The store tells another story from this event on.
    Forked { n: u64 },
}

impl AuthorizationServer {
    pub(crate) fn event(&self, owner: &OwnerId, kind: EventKind) -> Event {
        Event::new(owner.clone(), kind, &*self.identity.clock, &*self.identity.randomness)
    }

    /// `GET {events_endpoint}`: newest first, and the signed head of the chain.
    pub async fn list_events(&self, pmt: &PolicyToken, page: &Page<EventId>) -> Result<Vec<EventDocument>, Failure> {
        let events = self.store.list_events(&pmt.owner, page).await?;
        Ok(events.into_iter().map(|event| event.document).collect())
    }

    /// The head of an owner's chain, signed; what has happened until now is in it.
    pub async fn signed_head(&self, owner: &OwnerId) -> Result<Option<String>, Failure> {
        self.seal_events_of(owner).await?;
        let Some(head) = self.store.find_event_head(owner).await? else { return Ok(None) };
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, self.now())?;
        key.sign(HEAD_TYPE, &EventHead { last: None, ..head }).map(Some).map_err(internal)
    }

    /// Seals what has happened since the last time. Called by the wiring at least once a second.
    pub async fn seal_events(&self) -> Result<(), Failure> {
        for owner in self.store.take_owners_with_news() {
            self.seal_events_of(&owner).await?;
        }
        Ok(())
    }

    /// Seals what an earlier process committed and did not come to seal.
    pub async fn seal_left_over_events(&self) -> Result<(), Failure> {
        let mut after = None;
        loop {
            let owners = self.store.list_event_owners(after.as_ref(), 100).await?;
            let Some(last) = owners.last().cloned() else { return Ok(()) };
            for owner in &owners {
                self.seal_events_of(owner).await?;
            }
            after = Some(last);
        }
    }

    async fn seal_events_of(&self, owner: &OwnerId) -> Result<(), Failure> {
        let _one_at_a_time = self.sealing.lock().await;
        loop {
            let head = self.store.find_event_head(owner).await?;
            let from = head
                .as_ref()
                .and_then(|head| head.last.as_ref())
                .map_or_else(|| EventId::new(""), |last| earlier(last, OUT_OF_ORDER));
            let found = self.store.list_events_from(owner, &from, AT_ONCE).await?;
            let more = found.len() == AT_ONCE;
            let unsealed: Vec<Event> = found.into_iter().filter(|sealed| sealed.n == 0).map(|sealed| sealed.event).collect();
            if unsealed.is_empty() {
                return Ok(());
            }
            let (head, events) = self.link(owner, head, unsealed)?;
            self.store.commit(Changes::of(vec![Write::SealEvents { head, events }])).await?;
            if !more {
                return Ok(());
            }
        }
    }

    fn link(
        &self,
        owner: &OwnerId,
        head: Option<EventHead>,
        unsealed: Vec<Event>,
    ) -> Result<(EventHead, Vec<SealedEvent>), Failure> {
        let mut n = head.as_ref().map_or(0, |head| head.n);
        let mut last = head.as_ref().and_then(|head| head.last.clone());
        let hash = head.and_then(|head| base64url::decode(head.hash)).and_then(|hash| hash.try_into().ok());
        let mut hash: [u8; 32] = hash.unwrap_or_default();
        let mut events = Vec::with_capacity(unsealed.len());
        for event in unsealed {
            n = n.saturating_add(1);
            hash = event.hash_after(&hash)?;
            last = last.max(Some(event.document.id.clone()));
            events.push(SealedEvent { event, n, hash });
        }
        Ok((EventHead { owner: owner.clone(), n, hash: base64url::encode(hash), time: self.now(), last }, events))
    }
}

/// Holds a head that somebody kept against the store (`wayleave audit verify`): its signature, then every
/// hash of the chain anew, up to its end.
pub async fn verify_head(store: &dyn crate::Store, keys: &KeySet, head: &str) -> Result<Verdict, Failure> {
    let refuse = |error: jose::JwsError| internal(format!("the head is not one of this server's: {error}"));
    let jws = UnverifiedJws::parse(head.trim()).and_then(|jws| jws.expect_type(HEAD_TYPE)).and_then(|jws| jws.verify(keys));
    let head = jws.and_then(|jws| jws.claims::<EventHead>()).map_err(refuse)?;
    let mut chain: Vec<SealedEvent> = Vec::new();
    let mut after = EventId::new("");
    loop {
        let page = store.list_events_from(&head.owner, &after, AT_ONCE).await?;
        let Some(last) = page.last() else { break };
        after = last.event.document.id.clone();
        chain.extend(page.into_iter().filter(|sealed| sealed.n > 0));
    }
    chain.sort_by_key(|sealed| sealed.n);
    let mut prev = [0; 32];
    for (at, sealed) in (1_u64..).zip(&chain) {
        if sealed.n != at {
            return Ok(Verdict::Lost { n: at });
        }
        prev = sealed.event.hash_after(&prev)?;
        if prev != sealed.hash || (at == head.n && base64url::encode(prev) != head.hash) {
            return Ok(Verdict::Forked { n: at });
        }
    }
    let n = u64::try_from(chain.len()).unwrap_or(u64::MAX);
    Ok(if n < head.n { Verdict::Lost { n: n.saturating_add(1) } } else { Verdict::Whole { n } })
}
