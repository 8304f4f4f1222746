//! Asking one server: its lists, its settings and its keys, with the token of a link.

use super::Snapshot;
use super::named::{Named, Sorted, sort};
use crate::store::{Link, Place};
use crate::{PATIENCE, Trouble};
use client::api::{ApiAnswer, ApiBody, ApiCall, Listed, Room};
use client::{Client, ClientError, OutboundError};
use http::Method;
use jose::KeySet;
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;
use tokio::time::timeout;
use types::Timestamp;
use types::metadata::Metadata;
use types::policy::PolicyDocument;

/// How long it may take to read what others share with her.
const SHARED_TAKES: Duration = Duration::from_secs(30);

/// How much of a list is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Length {
    Whole,
    FirstPage,
}

/// A linked server at work.
pub(crate) struct Asking<'a> {
    pub(crate) client: &'a Client,
    pub(crate) link: &'a Link,
    /// What may yet be read of it.
    pub(crate) room: Room,
    /// Items of its lists that did not read.
    unread: AtomicUsize,
    /// It did not take the token.
    token_refused: AtomicBool,
}

impl<'a> Asking<'a> {
    pub(crate) fn new(client: &'a Client, link: &'a Link) -> Self {
        let room = Room::of(super::room::OF_READING);
        Self { client, link, room, unread: AtomicUsize::default(), token_refused: AtomicBool::default() }
    }

    /// The same where only so much may be read.
    pub(super) fn within(self, room: Room) -> Self {
        Self { room, ..self }
    }

    /// What it said instead of an answer.
    pub(crate) fn refusal(&self, answer: &ApiAnswer) -> Trouble {
        if answer.status == 401 {
            self.token_refused.store(true, Ordering::Relaxed);
        }
        Trouble::Refused(answer.refusal())
    }

    /// Whether it did not take the token.
    pub(super) fn is_token_refused(&self) -> bool {
        self.token_refused.load(Ordering::Relaxed)
    }

    pub(crate) async fn listed<T: DeserializeOwned>(&self, url: &str) -> Result<Listed<T>, Trouble> {
        self.ask_for_list(url, Length::Whole).await?.map_err(|answer| self.refusal(&answer))
    }

    /// In pages of a thousand; where one of these is longer than an answer may be, in smaller ones.
    async fn ask_for_list<T: DeserializeOwned>(
        &self,
        url: &str,
        length: Length,
    ) -> Result<Result<Listed<T>, ApiAnswer>, Trouble> {
        let joint = if url.contains('?') { '&' } else { '?' };
        let mut limit = 1_000;
        loop {
            let (url, token) = (format!("{url}{joint}limit={limit}"), &self.link.access_token);
            let (bound, body) = (self.link.bound, ApiBody::None);
            let call = ApiCall { method: Method::GET, url: &url, token, bound, body, patience: PATIENCE };
            let answer = match length {
                Length::Whole => self.client.api_list(&call, &self.room).await,
                Length::FirstPage => self.client.api_page(&call, &self.room).await,
            };
            match answer {
                Err(ClientError::Outbound(OutboundError::TooLong(_))) if limit > 1 => limit /= 10,
                other => {
                    let listed: Result<Listed<T>, ApiAnswer> = other?;
                    self.unread.fetch_add(listed.as_ref().map_or(0, |listed| listed.unread), Ordering::Relaxed);
                    return Ok(listed);
                }
            }
        }
    }

    /// A list that a server may not know of.
    async fn list_if_known<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, Trouble> {
        match self.ask_for_list(url, Length::Whole).await? {
            Ok(listed) => Ok(listed.items.into_iter().map(|item| item.said).collect()),
            Err(answer) if is_unknown(&answer) => Ok(Vec::new()),
            Err(answer) => Err(self.refusal(&answer)),
        }
    }

    pub(crate) async fn list<T: DeserializeOwned>(&self, url: &str) -> Result<Vec<T>, Trouble> {
        Ok(self.listed(url).await?.items.into_iter().map(|item| item.said).collect())
    }

    /// A list that not every server has.
    pub(crate) async fn list_if<T: DeserializeOwned>(&self, url: Option<String>) -> Result<Vec<T>, Trouble> {
        match url {
            Some(url) => self.list(&url).await,
            None => Ok(Vec::new()),
        }
    }

    /// A list of what has names: those without one are counted, and what did not read of the others is told.
    pub(crate) async fn list_named<T: Named + DeserializeOwned>(&self, url: Option<String>) -> Result<Sorted<T>, Trouble> {
        let listed: Listed<T> = match url {
            Some(url) => self.listed(&url).await?,
            None => Listed { items: Vec::new(), unread: 0 },
        };
        let sorted = sort(listed);
        self.unread.fetch_add(sorted.nameless, Ordering::Relaxed);
        Ok(sorted)
    }

    /// The first of what such a list has, for what nobody asked for.
    pub(crate) async fn list_first<T: Named + DeserializeOwned>(
        &self,
        url: Option<String>,
        most: usize,
    ) -> Result<Sorted<T>, Trouble> {
        let mut listed: Listed<T> = match url {
            Some(url) => self.ask_for_list(&url, Length::FirstPage).await?.map_err(|answer| self.refusal(&answer))?,
            None => Listed { items: Vec::new(), unread: 0 },
        };
        listed.items.truncate(most);
        Ok(sort(listed))
    }

    /// Policies, and which of them say something that does not read: what that is might be a condition.
    async fn policies(&self, url: Option<&String>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        let sorted: Sorted<PolicyDocument> = self.list_named(url.cloned()).await?;
        snapshot.partly_read = sorted.unclear.keys().map(|id| id.as_str().into()).collect();
        (snapshot.policies, snapshot.unclear_policies) = (sorted.items, sorted.unclear);
        Ok(())
    }

    async fn delegations(&self, url: Option<&String>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        let sorted = self.list_named(url.cloned()).await?;
        (snapshot.delegations, snapshot.unclear_delegations) = (sorted.items, sorted.unclear);
        Ok(())
    }

    async fn requests(&self, url: Option<&String>, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        let sorted = self.list_named(url.cloned()).await?;
        (snapshot.requests, snapshot.unclear_requests) = (sorted.items, sorted.unclear);
        Ok(())
    }

    /// The owner's setting, where the server has such settings.
    async fn settings(&self, metadata: &Metadata) -> Result<Option<bool>, Trouble> {
        let Some(url) = &metadata.owner_settings_endpoint else { return Ok(None) };
        let token = &self.link.access_token;
        let call = ApiCall { method: Method::GET, url, token, bound: self.link.bound, body: ApiBody::None, patience: PATIENCE };
        let answer = self.client.api(&call).await?;
        if answer.status != 200 {
            return Err(self.refusal(&answer));
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

    pub(super) async fn read(&self, metadata: &Metadata, snapshot: &mut Snapshot, now: Timestamp) -> Result<(), Trouble> {
        match &self.link.place {
            Place::ResourceServer { management, .. } => {
                snapshot.available = self.list_named(Some(format!("{management}/my-resources"))).await?.items;
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
        snapshot.unread = self.unread.load(Ordering::Relaxed);
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
        let shared = metadata.policy_endpoint.as_ref().map(|url| format!("{url}?role=requesting_party"));
        read.keep(&mut snapshot.credentials, self.list_if(metadata.resource_owner_credentials_endpoint.clone()).await);
        read.keep(&mut snapshot.demands_signature, self.settings(metadata).await);
        let guarded = self.list_named(metadata.registered_resources_endpoint.clone()).await;
        read.keep(&mut snapshot.guarded, guarded.map(|sorted| sorted.items));
        read.keep(&mut (), self.policies(metadata.policy_endpoint.as_ref(), snapshot).await);
        read.keep(&mut (), self.delegations(metadata.delegations_endpoint.as_ref(), snapshot).await);
        read.keep(&mut (), self.receipts(metadata, keys, &mut snapshot.receipts).await);
        read.keep(&mut (), self.requests(metadata.access_requests_endpoint.as_ref(), snapshot).await);
        read.keep(&mut (), self.events(metadata, keys, snapshot, now).await);
        // what others have and give comes last: however much that is, what is hers is read
        match timeout(SHARED_TAKES, self.list_if(shared)).await {
            Ok(shared) => read.keep(&mut snapshot.shared_with_me, shared),
            Err(_) => {
                tracing::info!(place = self.link.place.url(), "what others share takes too long to read: its last word stays")
            }
        }
        read.keep(&mut (), self.for_others(metadata, snapshot).await);
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

/// Whether a server does not know the list that it was asked for. What it does not want to tell right now is not nothing
/// (threat 40).
fn is_unknown(answer: &ApiAnswer) -> bool {
    [404, 405].contains(&answer.status)
}

/// Whether none of the keys that were known is there any more.
fn all_exchanged(known: &[String], seen: &[String]) -> bool {
    !known.is_empty() && !seen.iter().any(|one| known.contains(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A keeper that is busy, or does not let this desk in right now, has not forgotten what was taken back.
    #[test]
    fn threat_40_s22_a_list_that_is_refused_is_not_an_empty_one() {
        let taken = |status| is_unknown(&ApiAnswer { status, body: Value::Null, next: None, event_head: None, length: 0 });
        assert!(taken(404) && taken(405));
        for status in [200, 204, 301, 400, 401, 403, 429, 500, 502, 503] {
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
