//! What servers say, read in the background and kept: pages show what is known and when it was read, and never wait for a
//! server. A server that fails keeps its last word, beside why it fails.

use crate::consent_receipt::KeptReceipt;
use crate::for_other::ForOther;
use crate::history::{Audit, KeptHead, Told};
use crate::holdings::{Holdings, Known};
use crate::ledger::Ledger;
use crate::store::{Link, Place};
use crate::{KEPT_AT_MOST, Manager, PATIENCE, Trouble, lock, words};
use client::api::{ApiAnswer, ApiBody, ApiCall};
use client::{Client, ClientError, OutboundError};
use http::Method;
use jose::KeySet;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use types::access_request::AccessRequestDocument;
use types::available_resource::{AvailableResource, ChosenServer};
use types::credential::CredentialDocument;
use types::delegation::DelegationDocument;
use types::event::EventDocument;
use types::metadata::Metadata;
use types::policy::{PolicyDocument, SharedPolicy};
use types::{ResourceDescription, ResourceId, ResourceServerId, Timestamp};

/// Seconds after which a server is asked again when somebody looks.
pub(crate) const FRESH: i64 = 15;

/// How long a reading of one server may take.
const LONGEST_READING: Duration = Duration::from_secs(180);

/// A resource as an authorization server lists it (protocol.md 1.1).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Guarded {
    #[serde(rename = "_id")]
    pub(crate) id: ResourceId,
    pub(crate) resource_server: ResourceServerId,
    #[serde(default)]
    pub(crate) user_access_policy_uri: Option<String>,
    #[serde(flatten)]
    pub(crate) description: ResourceDescription,
}

/// A token that a resource server lets nobody in by any more.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct WithdrawnToken {
    pub(crate) jti: String,
}

/// What a server last said.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Snapshot {
    /// When it was asked last, and answered last.
    pub(crate) asked: Timestamp,
    pub(crate) answered: Option<Timestamp>,
    /// Why it gave no answer.
    pub(crate) error: Option<String>,
    /// Of a resource server.
    #[serde(default)]
    pub(crate) available: Vec<AvailableResource>,
    #[serde(default)]
    pub(crate) servers: Vec<ChosenServer>,
    /// Of a resource server: ids of tokens that it was told are taken back.
    #[serde(default)]
    pub(crate) withdrawn: Vec<WithdrawnToken>,
    /// Whether what she signs can count there, and by which keys it does.
    #[serde(default)]
    pub(crate) signs: bool,
    #[serde(default)]
    pub(crate) credentials: Vec<CredentialDocument>,
    #[serde(default)]
    pub(crate) credentials_endpoint: Option<String>,
    /// Of an authorization server: whether nothing passes that she did not sign.
    #[serde(default)]
    pub(crate) demands_signature: Option<bool>,
    /// Of an authorization server: where shares and requests are, for when it is away.
    #[serde(default)]
    pub(crate) policy_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) access_requests_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) guarded: Vec<Guarded>,
    #[serde(default)]
    pub(crate) policies: Vec<PolicyDocument>,
    #[serde(default)]
    pub(crate) requests: Vec<AccessRequestDocument>,
    #[serde(default)]
    pub(crate) shared_with_me: Vec<SharedPolicy>,
    /// Whom she lets decide, and where that is done.
    #[serde(default)]
    pub(crate) delegations_endpoint: Option<String>,
    #[serde(default)]
    pub(crate) delegations: Vec<DelegationDocument>,
    /// For whom she may decide, and what waits there.
    #[serde(default)]
    pub(crate) for_others: Vec<ForOther>,
    #[serde(default)]
    pub(crate) receipts: Vec<KeptReceipt>,
    /// What happened there: events of an authorization server, lines of a resource server.
    #[serde(default)]
    pub(crate) events: Vec<EventDocument>,
    #[serde(default)]
    pub(crate) told: Vec<Told>,
    /// The head that later ones must follow from; and what was found where they did not.
    #[serde(default)]
    pub(crate) head: Option<KeptHead>,
    #[serde(default)]
    pub(crate) audit: Option<Audit>,
    /// Whether it has shown its chain before.
    #[serde(default)]
    pub(crate) followed: bool,
    /// Thumbprints of the keys that it signs with.
    #[serde(default)]
    pub(crate) keys: Vec<String>,
}

/// The readings of a link: how many were begun, what was changed by hand meanwhile, and the turn.
#[derive(Default)]
pub(crate) struct Reading {
    begun: AtomicU64,
    changed: AtomicU64,
    turn: tokio::sync::Mutex<()>,
}

/// A linked server at work.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a Client,
    pub(crate) link: &'a Link,
}

impl Asking<'_> {
    pub(crate) async fn list<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, Trouble> {
        self.ask_for_list(url).await?.map_err(|answer| Trouble::Refused(answer.refusal()))
    }

    /// A list that a server may not know of.
    async fn list_if_known<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, Trouble> {
        self.ask_for_list(url).await?.or_else(|answer| take_for_empty(&answer))
    }

    /// In pages of a thousand; where one of these is longer than an answer may be, in smaller ones.
    async fn ask_for_list<T: DeserializeOwned>(&self, url: &str) -> Result<Result<Vec<T>, ApiAnswer>, Trouble> {
        let joint = if url.contains('?') { '&' } else { '?' };
        let mut limit = 1_000;
        loop {
            let url = format!("{url}{joint}limit={limit}");
            let token = &self.link.access_token;
            let call = ApiCall {
                method: Method::GET,
                url: &url,
                token,
                bound: self.link.bound,
                body: ApiBody::None,
                patience: PATIENCE,
            };
            match self.client.api_list(&call).await {
                Err(ClientError::Outbound(OutboundError::TooLong(_))) if limit > 1 => limit /= 10,
                other => return Ok(other?),
            }
        }
    }

    /// A list that not every server has.
    pub(crate) async fn list_if<T: DeserializeOwned>(&self, url: Option<String>) -> Result<Vec<T>, Trouble> {
        match url {
            Some(url) => self.list(&url).await,
            None => Ok(Vec::new()),
        }
    }

    /// The owner's setting, where the server has such settings.
    async fn settings(&self, metadata: &Metadata) -> Result<Option<bool>, Trouble> {
        let Some(url) = &metadata.owner_settings_endpoint else { return Ok(None) };
        let token = &self.link.access_token;
        let call = ApiCall { method: Method::GET, url, token, bound: self.link.bound, body: ApiBody::None, patience: PATIENCE };
        let answer = self.client.api(&call).await?;
        if answer.status != 200 {
            return Err(Trouble::Refused(answer.refusal()));
        }
        Ok(answer.body.get("require_resource_owner_token").and_then(Value::as_bool))
    }

    /// Its keys. New ones come beside those that are known; all of them exchanged at once is another server behind the same
    /// name, or one that owes her an explanation.
    async fn keys(&self, metadata: &Metadata, snapshot: &mut Snapshot) -> Result<KeySet, Trouble> {
        let set = self.client.fetch_json(&metadata.jwks_uri).await?;
        let keys = KeySet::from_json(&set).unwrap_or_default();
        let seen: Vec<String> = keys.thumbprints().collect();
        if seen.is_empty() {
            return Err(Trouble::Refused("it has no usable keys".into()));
        }
        if all_exchanged(&snapshot.keys, &seen) {
            return Err(Trouble::Refused(
                "it signs with other keys than before, all of them exchanged: if you know why, link it again".into(),
            ));
        }
        snapshot.keys = seen;
        Ok(keys)
    }

    async fn read(&self, metadata: &Metadata, snapshot: &mut Snapshot, now: Timestamp) -> Result<(), Trouble> {
        match &self.link.place {
            Place::ResourceServer { management, .. } => {
                snapshot.available = self.list(&format!("{management}/my-resources")).await?;
                snapshot.signs = true;
                snapshot.credentials = self.list(&format!("{management}/my-credentials")).await?;
                snapshot.credentials_endpoint = Some(format!("{management}/my-credentials"));
                snapshot.servers = self.list(&format!("{management}/authorization-servers")).await?;
                // not every resource server tells what it was told
                snapshot.withdrawn = self.list_if_known(&format!("{management}/my-withdrawn-tokens")).await?;
                self.told(management, snapshot).await?;
            }
            // it says what it is, and nothing about her
            Place::BareStandard { .. } => {}
            Place::AuthorizationServer { .. } => {
                let keys = self.keys(metadata, snapshot).await?;
                self.read_authorization_server(metadata, &keys, snapshot, now).await?;
            }
        }
        Ok(())
    }
}

impl Asking<'_> {
    /// Each list for itself: one that cannot be read keeps its last word, and keeps none of the others from being read.
    async fn read_authorization_server(
        &self,
        metadata: &Metadata,
        keys: &KeySet,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let mut read = Read::default();
        snapshot.policy_endpoint.clone_from(&metadata.policy_endpoint);
        snapshot.access_requests_endpoint.clone_from(&metadata.access_requests_endpoint);
        snapshot.delegations_endpoint.clone_from(&metadata.delegations_endpoint);
        snapshot.credentials_endpoint.clone_from(&metadata.resource_owner_credentials_endpoint);
        snapshot.signs = metadata.resource_owner_credentials_endpoint.is_some();
        let policies = metadata.policy_endpoint.clone();
        let shared = policies.as_ref().map(|url| format!("{url}?role=requesting_party"));
        read.keep(&mut snapshot.credentials, self.list_if(metadata.resource_owner_credentials_endpoint.clone()).await);
        read.keep(&mut snapshot.demands_signature, self.settings(metadata).await);
        read.keep(&mut snapshot.guarded, self.list_if(metadata.registered_resources_endpoint.clone()).await);
        read.keep(&mut snapshot.policies, self.list_if(policies).await);
        read.keep(&mut snapshot.delegations, self.list_if(metadata.delegations_endpoint.clone()).await);
        read.keep(&mut snapshot.for_others, self.for_others(metadata).await);
        read.keep(&mut (), self.receipts(metadata, keys, &mut snapshot.receipts).await);
        read.keep(&mut snapshot.requests, self.list_if(metadata.access_requests_endpoint.clone()).await);
        read.keep(&mut snapshot.shared_with_me, self.list_if(shared).await);
        read.keep(&mut (), self.events(metadata, keys, snapshot, now).await);
        read.trouble.map_or(Ok(()), Err)
    }
}

/// What was read so far, and the first thing that was not.
#[derive(Default)]
struct Read {
    trouble: Option<Trouble>,
}

impl Read {
    fn keep<T>(&mut self, place: &mut T, answer: Result<T, Trouble>) {
        match answer {
            Ok(answer) => *place = answer,
            Err(trouble) => self.trouble = self.trouble.take().or(Some(trouble)),
        }
    }
}

/// A list is empty where a server does not know it, and only there: what it does not want to tell right now is not nothing
/// (threat 40).
fn take_for_empty<T>(answer: &ApiAnswer) -> Result<Vec<T>, Trouble> {
    match answer.status {
        404 | 405 => Ok(Vec::new()),
        _ => Err(Trouble::Refused(answer.refusal())),
    }
}

/// Whether none of the keys that were known is there any more.
fn all_exchanged(known: &[String], seen: &[String]) -> bool {
    !known.is_empty() && !seen.iter().any(|one| known.contains(one))
}

impl Manager {
    /// What is known of an owner's servers. Those that were not asked for a while are asked in the background.
    pub(crate) fn holdings(self: &Arc<Self>, owner: &str) -> Result<Arc<Holdings>, Trouble> {
        let holdings = self.known_holdings(owner)?;
        let now = self.now();
        for known in holdings.servers.iter().filter(|known| known.snapshot.asked.plus(FRESH) < now) {
            if self.is_being_read(owner, &known.link.id) {
                continue;
            }
            let (manager, owner, id) = (self.clone(), owner.to_owned(), known.link.id.clone());
            tokio::spawn(async move { manager.read_server(&owner, &id).await });
        }
        Ok(holdings)
    }

    /// The same without asking anybody.
    pub(crate) fn known_holdings(&self, owner: &str) -> Result<Arc<Holdings>, Trouble> {
        let (change, known) = lock(&self.holdings).entry(owner.to_owned()).or_default().clone();
        match known {
            Some(known) => Ok(known),
            None => self.join_anew(owner, change),
        }
    }

    /// Joined from the store. Kept only where nothing has changed meanwhile: what was read before a change is not what is
    /// true after it.
    fn join_anew(&self, owner: &str, change: u64) -> Result<Arc<Holdings>, Trouble> {
        let links = self.store.list_links(owner)?;
        let mut snapshots: HashMap<String, Snapshot> = self.store.list_snapshots(owner)?.into_iter().collect();
        let known = links.into_iter().map(|link| {
            let snapshot = snapshots.remove(&link.id).unwrap_or_default();
            Known { link, snapshot }
        });
        let (known, ledger): (Vec<Known>, Ledger) = (known.collect(), self.ledger(owner)?);
        let hers = self.hers(owner, &known)?;
        let holdings = Arc::new(Holdings::of(known, ledger, &hers, self.now()));
        let mut all = lock(&self.holdings);
        // what is not kept is read from the store again
        if all.values().filter(|(_, kept)| kept.is_some()).count() >= KEPT_AT_MOST {
            all.values_mut().for_each(|(_, kept)| *kept = None);
        }
        let entry = all.entry(owner.to_owned()).or_default();
        if entry.0 == change {
            entry.1 = Some(holdings.clone());
        }
        Ok(holdings)
    }

    /// Something of this owner's has changed in the store.
    pub(crate) fn look_again(&self, owner: &str) {
        let mut all = lock(&self.holdings);
        let entry = all.entry(owner.to_owned()).or_default();
        *entry = (entry.0.wrapping_add(1), None);
        drop(all);
        // nobody may be there to hear it
        let _ = self.news.send(owner.to_owned());
    }

    /// Asks a server anew; what it says is kept. One reading of a server at a time: whoever asks while one is under way waits
    /// for the next, because that one may have passed what changed.
    pub(crate) async fn read_server(self: &Arc<Self>, owner: &str, id: &str) {
        let reading = lock(&self.reading).entry((owner.to_owned(), id.to_owned())).or_default().clone();
        let before = reading.begun.load(Ordering::Acquire);
        let _held = reading.turn.lock().await;
        // somebody else began one after this was asked, and it is over
        if reading.begun.load(Ordering::Acquire) > before {
            return;
        }
        reading.begun.fetch_add(1, Ordering::Release);
        if let Err(error) = self.read_into_store(owner, id).await {
            tracing::warn!(%error, "what a server said could not be kept");
        }
    }

    fn is_being_read(&self, owner: &str, id: &str) -> bool {
        lock(&self.reading).get(&(owner.to_owned(), id.to_owned())).is_some_and(|reading| reading.turn.try_lock().is_err())
    }

    async fn read_into_store(self: &Arc<Self>, owner: &str, id: &str) -> Result<(), Trouble> {
        let changed = self.change_count(owner, id);
        let before = self.store.list_snapshots::<Snapshot>(owner)?.into_iter().find(|(link, _)| link == id);
        let mut snapshot = before.map(|(_, snapshot)| snapshot).unwrap_or_default();
        let mut fresh = snapshot.clone();
        let issuer = self.store.find_link(owner, id)?.map(|link| link.place.url().to_owned()).unwrap_or_default();
        self.take_in_words(owner, &issuer, &snapshot).await?;
        let answer = match self.ready(owner, id).await {
            Ok((link, client, metadata)) => {
                let asking = Asking { client: &client, link: &link };
                let reading = tokio::time::timeout(LONGEST_READING, asking.read(&metadata, &mut fresh, self.now())).await;
                reading
                    .unwrap_or_else(|_| Err(Trouble::Away(format!("`{}` takes too long to tell everything", link.place.url()))))
            }
            Err(trouble) => Err(trouble),
        };
        let now = self.now();
        match answer {
            Ok(()) => snapshot = Snapshot { asked: now, answered: Some(now), error: None, ..fresh },
            // what could not be read keeps its last word; nothing counts as answered where not everything was
            Err(trouble) => {
                let (answered, error) = (snapshot.answered, Some(words::readable(&trouble.to_string())));
                snapshot = Snapshot { asked: now, answered, error, ..fresh };
            }
        }
        self.take_in_words(owner, &issuer, &snapshot).await?;
        // unlinked, or settled by her, meanwhile: what was read before is not kept
        if changed == self.change_count(owner, id) && self.store.find_link(owner, id)?.is_some() {
            self.store.put_snapshot(owner, id, &snapshot).await?;
        }
        self.look_again(owner);
        Ok(())
    }

    fn change_count(&self, owner: &str, id: &str) -> u64 {
        lock(&self.reading).entry((owner.to_owned(), id.to_owned())).or_default().changed.load(Ordering::Acquire)
    }

    /// Something of a snapshot is changed by hand: a reading that is under way does not undo it.
    fn count_change(&self, owner: &str, id: &str) {
        lock(&self.reading).entry((owner.to_owned(), id.to_owned())).or_default().changed.fetch_add(1, Ordering::Release);
    }

    /// She has linked it again: the keys that it has now are those of her choice.
    pub(crate) async fn trust_keys_anew(&self, owner: &str, id: &str) -> Result<(), Trouble> {
        let known = self.store.list_snapshots::<Snapshot>(owner)?.into_iter().find(|(link, _)| link == id);
        if let Some((_, snapshot)) = known {
            self.count_change(owner, id);
            self.store.put_snapshot(owner, id, &Snapshot { keys: Vec::new(), ..snapshot }).await?;
            self.look_again(owner);
        }
        Ok(())
    }

    /// She has seen what was wrong with its history: from here on it must follow from what it says now.
    pub(crate) async fn settle_audit(&self, owner: &str, id: &str) -> Result<(), Trouble> {
        let known = self.store.list_snapshots::<Snapshot>(owner)?.into_iter().find(|(link, _)| link == id);
        let Some((_, snapshot)) = known else { return Ok(()) };
        if let Some(head) = snapshot.audit.as_ref().map(|audit| audit.seen().clone()) {
            self.count_change(owner, id);
            self.store.put_snapshot(owner, id, &Snapshot { audit: None, head: Some(head), ..snapshot }).await?;
            self.look_again(owner);
        }
        Ok(())
    }

    /// The servers that changed, before the answer is shown; as long as they answer quickly.
    pub(crate) async fn read_servers(self: &Arc<Self>, owner: &str, ids: impl IntoIterator<Item = String>) {
        let reading = ids.into_iter().map(|id| async move { self.read_server(owner, &id).await });
        let all = futures_util::future::join_all(reading);
        // whoever takes longer is read on in the background by the next look
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), all).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keeper that is busy, or does not let this desk in right now, has not forgotten what was taken back.
    #[test]
    fn threat_40_s22_a_list_that_is_refused_is_not_an_empty_one() {
        let taken = |status| {
            let answer = ApiAnswer { status, body: Value::Null, next: None, event_head: None, length: 0 };
            take_for_empty::<WithdrawnToken>(&answer).is_ok_and(|list| list.is_empty())
        };
        assert!(taken(404) && taken(405));
        for status in [204, 301, 400, 401, 403, 429, 500, 502, 503] {
            assert!(!taken(status), "{status}");
        }
    }

    #[test]
    fn threat_19_keys_are_rotated_one_by_one_and_not_exchanged() {
        let keys = |all: &[&str]| all.iter().map(|one| (*one).to_owned()).collect::<Vec<_>>();
        for (known, seen, exchanged) in [
            (&[][..], &["a"][..], false),
            (&["a", "b"], &["b", "c"], false),
            (&["a", "b"], &["c", "d"], true),
            (&["a"], &["a"], false),
        ] {
            assert_eq!(all_exchanged(&keys(known), &keys(seen)), exchanged, "{known:?} {seen:?}");
        }
    }
}
