//! What happened at all of an owner's servers, in one list; and whether an authorization server's chain of events still
//! follows from the heads that this desk kept (protocol.md 1.5): a loss or a fork is kept as evidence and shown.

use crate::sync::{Asking, Snapshot};
use crate::{PATIENCE, Trouble};
use client::api::{ApiBody, ApiCall};
use http::Method;
use jose::KeySet;
use jose::event_chain::{follow, read_hash, verify_head};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::event::{ChainLink, EventDocument};
use types::metadata::Metadata;
use types::{ScopeSet, Timestamp};

/// Newest lines that are kept of a server.
const KEPT: usize = 500;

/// Most pages of a chain that are followed in one reading: two million events, if the server gives whole pages.
const MOST_PAGES: usize = 2_000;
/// Fewest links of a page that is not the last one: with less a server would only make this desk ask.
const FEWEST_LINKS: usize = 20;

/// A line of a resource server's history (protocol.md 2).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Told {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    pub(crate) time: Timestamp,
    #[serde(default)]
    pub(crate) count: u64,
    /// Of calls that are not told apart: of how many kinds they are, at least.
    #[serde(default)]
    pub(crate) kinds: Option<u64>,
    /// Who it was, as its authorization server names people there.
    #[serde(default)]
    pub(crate) sub: Option<String>,
    /// `allowed` or `refused`.
    pub(crate) outcome: String,
    pub(crate) resource_id: String,
    #[serde(default)]
    pub(crate) resource_scopes: ScopeSet,
    #[serde(default)]
    pub(crate) authorization_server: String,
    #[serde(default)]
    pub(crate) client_id: Option<String>,
    /// `jti` of her own token, under which it was.
    #[serde(default)]
    pub(crate) authority: Option<String>,
    #[serde(default)]
    pub(crate) why: Option<String>,
}

/// The head that a later one must follow from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct KeptHead {
    pub(crate) n: u64,
    hash: String,
    pub(crate) time: Timestamp,
    /// As the server signed it.
    pub(crate) jwt: String,
}

/// What the heads show.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Audit {
    /// Events that the kept head vouches for are gone.
    Lost { seen: KeptHead, at: Timestamp },
    /// The chain tells another story.
    Forked { seen: KeptHead, at: Timestamp },
}

impl Asking<'_> {
    /// One page of a list.
    pub(crate) async fn page(&self, url: &str) -> Result<client::api::ApiAnswer, Trouble> {
        let token = &self.link.access_token;
        let call = ApiCall { method: Method::GET, url, token, bound: self.link.bound, body: ApiBody::None, patience: PATIENCE };
        let answer = self.client.api(&call).await?;
        if answer.status == 200 { Ok(answer) } else { Err(self.refusal(&answer)) }
    }

    fn read_items<'v, T: DeserializeOwned>(&self, items: impl Iterator<Item = &'v Value>) -> Result<Vec<T>, Trouble> {
        let mut read = Vec::new();
        for item in items {
            if self.room.take_in(item)? {
                read.extend(read_item(item));
            }
        }
        Ok(read)
    }

    /// The newest lines of a resource server's history.
    pub(crate) async fn told(&self, management: &str, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        let answer = self.page(&format!("{management}/my-history?limit={KEPT}")).await?;
        // a line that this desk does not understand is left out, and no other for it
        let items = answer.body.as_array().into_iter().flatten();
        snapshot.told = self.read_items(items)?;
        Ok(())
    }

    /// The newest events of an authorization server, and its head held against the one that is kept.
    pub(crate) async fn events(
        &self,
        metadata: &Metadata,
        keys: &KeySet,
        snapshot: &mut Snapshot,
        now: Timestamp,
    ) -> Result<(), Trouble> {
        let Some(url) = &metadata.events_endpoint else { return Ok(()) };
        let answer = self.page(&format!("{url}?limit={KEPT}")).await?;
        // one of a kind that this desk does not know is left out, and no other for it
        let items = answer.body.as_array().into_iter().flatten();
        snapshot.events = self.read_items(items)?;
        let Some(text) = answer.event_head else { return Ok(()) };
        let head = verify_head(&text, keys).map_err(|error| Trouble::Refused(format!("the head of its history: {error}")))?;
        let seen = KeptHead { n: head.n, hash: head.hash.clone(), time: head.time, jwt: text };
        // evidence stays until she has seen it
        if snapshot.audit.is_some() {
            return Ok(());
        }
        match &snapshot.head {
            Some(kept) if kept.n == seen.n && kept.hash == seen.hash => {}
            Some(kept) => match self.compare(url, kept, &seen, now).await {
                Ok(Some(audit)) => snapshot.audit = Some(audit),
                Ok(None) => (snapshot.head, snapshot.followed) = (Some(seen), true),
                // a server that never showed its chain; one that did before owes it
                Err(Trouble::Refused(_)) if !snapshot.followed => snapshot.head = Some(seen),
                Err(Trouble::Refused(why)) => {
                    return Err(Trouble::Refused(format!("its history cannot be followed any more: {why}")));
                }
                Err(trouble) => return Err(trouble),
            },
            None => snapshot.head = Some(seen),
        }
        Ok(())
    }

    /// What is wrong with a head that should follow from the kept one.
    async fn compare(&self, events: &str, kept: &KeptHead, seen: &KeptHead, now: Timestamp) -> Result<Option<Audit>, Trouble> {
        let forked = || Some(Audit::Forked { seen: seen.clone(), at: now });
        if seen.n < kept.n {
            return Ok(Some(Audit::Lost { seen: seen.clone(), at: now }));
        }
        let Some(begin) = read_hash(&kept.hash) else { return Ok(forked()) };
        let (mut at, mut links) = ((kept.n, begin), Vec::<ChainLink>::new());
        let mut pages = 0_usize;
        while at.0 < seen.n {
            if links.is_empty() {
                pages = pages.saturating_add(1);
                if pages > MOST_PAGES {
                    return Err(Trouble::Refused("it is longer than is followed in one go".into()));
                }
                let answer = self.page(&format!("{events}/chain?limit=1000&after={}", at.0)).await?;
                links = serde_json::from_value(answer.body).unwrap_or_default();
                let is_whole = links.len() >= FEWEST_LINKS;
                // newer ones may have come meanwhile
                links.retain(|link| link.n <= seen.n);
                let reaches = links.last().is_some_and(|link| link.n == seen.n);
                if !links.is_empty() && !is_whole && !reaches {
                    return Err(Trouble::Refused("it comes in pieces too small to be followed".into()));
                }
            }
            match follow(at, &std::mem::take(&mut links)) {
                Some(next) if next.0 > at.0 => at = next,
                Some(_) => return Ok(Some(Audit::Lost { seen: seen.clone(), at: now })),
                None => return Ok(forked()),
            }
        }
        Ok(if read_hash(&seen.hash) == Some(at.1) { None } else { forked() })
    }
}

impl Audit {
    /// In one sentence, for her.
    pub(crate) fn in_words(&self, place: &str, kept: Option<&KeptHead>, reader: &ui::Reader) -> String {
        let before = kept.map_or_else(String::new, |kept| format!(" On {} it had {} entries.", reader.moment(kept.time), kept.n));
        match self {
            Self::Lost { seen, at } => {
                format!("{place} has lost a part of your history: on {} it had {} entries.{before}", reader.moment(*at), seen.n)
            }
            Self::Forked { at, .. } => format!(
                "{place} tells another history than before: what it said on {} does not follow from what this desk kept.{before}",
                reader.moment(*at)
            ),
        }
    }

    pub(crate) fn seen(&self) -> &KeptHead {
        match self {
            Self::Lost { seen, .. } | Self::Forked { seen, .. } => seen,
        }
    }
}

fn read_item<T: DeserializeOwned>(item: &Value) -> Option<T> {
    types::answer::read(item.clone(), &[]).ok().map(|answer| answer.said)
}

/// A text of a claim.
pub(crate) fn claim<'e>(event: &'e EventDocument, name: &str) -> Option<&'e str> {
    event.claims.get(name).and_then(Value::as_str)
}
