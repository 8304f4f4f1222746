//! What servers say, read in the background and kept: pages show what is known and when it was read, and never wait for a
//! server. A server that fails keeps its last word, beside why it fails.

mod asking;
mod changes;
mod named;
mod room;
mod snapshot;

pub(crate) use asking::Asking;
use changes::Changes;
pub(crate) use named::{APPLICATIONS, Sorted, Unclear};
pub(crate) use snapshot::{Guarded, Snapshot};

use crate::holdings::{Holdings, Known};
use crate::ledger::{Ledger, PlacedAs};
use crate::store::Link;
use crate::{KEPT_AT_MOST, Manager, Trouble, lock, words};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

/// Seconds after which a server is asked again when somebody looks.
pub(crate) const FRESH: i64 = 15;

/// How long a reading of one server may take.
const LONGEST_READING: Duration = Duration::from_secs(180);

/// The readings of a link: how many were begun, what was changed by hand meanwhile, and the turn.
#[derive(Default)]
pub(crate) struct Reading {
    begun: AtomicU64,
    /// How often something was changed at the server, and how often what was read before counts no more.
    changed: AtomicU64,
    overruled: AtomicU64,
    changes: Changes,
    /// How much is kept of the server.
    weight: AtomicUsize,
    turn: tokio::sync::Mutex<()>,
    /// One at a time writes what is kept of the server.
    writing: tokio::sync::Mutex<()>,
}

impl Manager {
    /// What is known of an owner's servers. Those that were not asked for a while are asked in the background.
    pub(crate) async fn holdings(self: &Arc<Self>, owner: &str) -> Result<Arc<Holdings>, Trouble> {
        let holdings = self.known_holdings(owner).await?;
        let now = self.now();
        // one that was read at a time to come was read before the clock was set right
        let is_old = |asked: types::Timestamp| asked.plus(FRESH) < now || now < asked;
        for known in holdings.servers.iter().filter(|known| is_old(known.snapshot.asked)) {
            if self.is_being_read(owner, &known.link.id) {
                continue;
            }
            let (manager, owner, id) = (self.clone(), owner.to_owned(), known.link.id.clone());
            tokio::spawn(async move { manager.read_server(&owner, &id).await });
        }
        Ok(holdings)
    }

    /// The same without asking anybody.
    pub(crate) async fn known_holdings(&self, owner: &str) -> Result<Arc<Holdings>, Trouble> {
        let (change, known) = lock(&self.holdings).entry(owner.to_owned()).or_default().clone();
        match known {
            Some(known) => Ok(known),
            None => self.join_anew(owner, change).await,
        }
    }

    /// Joined from the store. Kept only where nothing has changed meanwhile: what was read before a change is not what is
    /// true after it.
    async fn join_anew(&self, owner: &str, change: u64) -> Result<Arc<Holdings>, Trouble> {
        let links = self.store.list_links(owner).await?;
        let mut snapshots: HashMap<String, Snapshot> = self.store.list_snapshots(owner).await?.into_iter().collect();
        let known = links.into_iter().map(|link| {
            let snapshot = snapshots.remove(&link.id).unwrap_or_default().with_weight();
            Known { link, snapshot }
        });
        let (known, ledger): (Vec<Known>, Ledger) = (known.collect(), self.ledger(owner).await?);
        let hers = self.hers(owner, &known).await?;
        let holdings = Arc::new(Holdings::of(known, ledger, &hers, self.now()));
        let mut all = lock(&self.holdings);
        // what is not kept is read from the store again
        let kept: Vec<_> = all.values().filter_map(|(_, kept)| kept.as_ref()).collect();
        if kept.len() >= KEPT_AT_MOST || !room::has_room(kept.into_iter(), &holdings) {
            all.values_mut().for_each(|(_, kept)| *kept = None);
        }
        let entry = all.entry(owner.to_owned()).or_default();
        if entry.0 == change {
            entry.1 = Some(holdings.clone());
            // what a server weighs that was unlinked or read meanwhile is not what was read here
            holdings.servers.iter().for_each(|known| self.note_weight(owner, &known.link.id, &known.snapshot));
        }
        Ok(holdings)
    }

    /// Something of this owner's has changed in the store. Whoever has a page open is told by itself ([`crate::news`]).
    pub(crate) fn look_again(&self, owner: &str) {
        let mut all = lock(&self.holdings);
        let entry = all.entry(owner.to_owned()).or_default();
        *entry = (entry.0.wrapping_add(1), None);
    }

    /// Asks a server anew; what it says is kept. One reading of a server at a time: whoever asks while one is under way waits
    /// for the next, because that one may have passed what changed.
    pub(crate) async fn read_server(self: &Arc<Self>, owner: &str, id: &str) {
        // of what is not linked (any more) nothing is read, and nothing kept
        if matches!(self.store.find_link(owner, id).await, Ok(None)) {
            return;
        }
        let reading = self.reading_of(owner, id);
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
        let reading = self.reading_of(owner, id);
        let _under_way = reading.changes.begin();
        let (begun, changed, overruled) = (self.reading_time(), reading.changed(), reading.overruled());
        let before = self.snapshot(owner, id).await?.unwrap_or_default();
        let Some(from) = self.store.find_link(owner, id).await?.map(|link| PlacedAs::of(&link)) else { return Ok(()) };
        self.take_in_words(owner, &from, &before).await?;
        let mut fresh = before.clone();
        let read = tokio::time::timeout(LONGEST_READING, self.read_anew(owner, id, &mut fresh)).await;
        let answer = read.unwrap_or_else(|_| Err(Trouble::Away(format!("`{}` takes too long to tell everything", from.server))));
        let now = self.now();
        let snapshot = match answer {
            Ok(()) => {
                let read = Snapshot { asked: now, answered: Some(now), begun, error: None, ..fresh };
                read.with_first_listed(&before, self.reading_time())
            }
            // what could not be read keeps its last word; nothing counts as answered where not everything was
            Err(trouble) => {
                let error = Some(words::readable(&trouble.to_string()));
                Snapshot { asked: now, answered: before.answered, begun: before.begun, error, ..fresh }
            }
        };
        let snapshot = snapshot.weighed(&before);
        self.take_in_words(owner, &from, &snapshot).await?;
        self.forget_answers(owner, id, &snapshot.gone_owners).await?;
        let _held = reading.writing.lock().await;
        // unlinked meanwhile, or overruled by her: what was read before is not kept
        if overruled == reading.overruled() && self.store.find_link(owner, id).await?.is_some() {
            let merged = reading.changes.applied_to(snapshot.clone());
            // what was changed there meanwhile may not have been read: the next look asks again
            let asked = if changed == reading.changed() { merged.asked } else { before.asked };
            let snapshot = Snapshot { asked, ..merged };
            self.store.put_snapshot(owner, id, &snapshot).await?;
            self.note_weight(owner, id, &snapshot);
        }
        self.look_again(owner);
        if snapshot.waiting() != before.waiting() {
            self.news.tell(owner);
        }
        Ok(())
    }

    /// People who let her decide no more need no answer.
    async fn forget_answers(&self, owner: &str, id: &str, gone: &BTreeSet<String>) -> Result<(), Trouble> {
        if gone.is_empty() {
            return Ok(());
        }
        let without = |mut link: Link| {
            link.offers.retain(|of, _| !gone.contains(of));
            link
        };
        self.change_link(owner, id, without).await.map(drop)
    }

    /// Reads a server; one that does not take the token, whatever it said of its life, is asked once more with another.
    async fn read_anew(&self, owner: &str, id: &str, fresh: &mut Snapshot) -> Result<(), Trouble> {
        let (link, client, metadata) = self.ready(owner, id).await?;
        let asking = Asking::new(&client, &link).within(self.room_for(owner, id));
        let answer = asking.read(&metadata, fresh, self.now()).await;
        if answer.is_ok() || !asking.is_token_refused() || link.refresh_token.is_none() {
            return answer;
        }
        self.distrust_token(owner, &link).await?;
        let (link, client, metadata) = self.ready(owner, id).await?;
        Asking::new(&client, &link).within(self.room_for(owner, id)).read(&metadata, fresh, self.now()).await
    }

    async fn snapshot(&self, owner: &str, id: &str) -> Result<Option<Snapshot>, Trouble> {
        Ok(self.store.find_snapshot(owner, id).await?)
    }

    fn reading_of(&self, owner: &str, id: &str) -> Arc<Reading> {
        lock(&self.reading).entry((owner.to_owned(), id.to_owned())).or_default().clone()
    }

    /// The time in milliseconds, and later than each that was given before: what was read after what.
    pub(crate) fn reading_time(&self) -> i64 {
        let now = self.client.clock.now_millis();
        let next = |last: i64| Some(last.saturating_add(1).max(now));
        self.read_last
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, next)
            .map_or(now, |last| last.saturating_add(1).max(now))
    }

    /// Changes a link that is there; a renewal that is under way does not bring one back that is gone.
    pub(crate) async fn change_link(
        &self,
        owner: &str,
        id: &str,
        change: impl FnOnce(Link) -> Link,
    ) -> Result<Option<Link>, Trouble> {
        let reading = self.reading_of(owner, id);
        let _held = reading.writing.lock().await;
        let Some(link) = self.store.find_link(owner, id).await?.map(change) else { return Ok(None) };
        self.store.put_link(owner, &link).await?;
        Ok(Some(link))
    }

    /// A link as it is now, whatever it was; a change of it that is under way comes before or after. What she answered to others
    /// there, and how it tells of requests, stays as it stands in the store.
    pub(crate) async fn replace_link(&self, owner: &str, link: Link) -> Result<Link, Trouble> {
        let reading = self.reading_of(owner, &link.id);
        let _held = reading.writing.lock().await;
        let link = match self.store.find_link(owner, &link.id).await? {
            Some(Link { told, offers, .. }) => Link { told, offers, ..link },
            None => link,
        };
        self.store.put_link(owner, &link).await?;
        Ok(link)
    }

    /// A link is gone, with what was kept of its server; a reading that is under way does not bring it back. What comes back is the
    /// link as it stood at its end.
    pub(crate) async fn forget_server(&self, owner: &str, id: &str, why: &str) -> Result<Option<Link>, Trouble> {
        let reading = self.reading_of(owner, id);
        let last = {
            let _held = reading.writing.lock().await;
            reading.overruled.fetch_add(1, Ordering::Release);
            let last = self.store.find_link(owner, id).await?;
            self.store.delete_link(owner, id, why, self.now()).await?;
            last
        };
        // first: whoever reads what she has, and began before, notes nothing of this server any more
        self.look_again(owner);
        lock(&self.reading).remove(&(owner.to_owned(), id.to_owned()));
        lock(&self.turns).remove(id);
        self.news.tell(owner);
        Ok(last)
    }

    /// She has linked it again: the keys that it has now are those of her choice.
    pub(crate) async fn trust_keys_anew(&self, owner: &str, id: &str) -> Result<(), Trouble> {
        self.overrule_snapshot(owner, id, |snapshot| Snapshot { keys: Vec::new(), ..snapshot }).await
    }

    /// She has seen what was wrong with its history: from here on it must follow from what it says now.
    pub(crate) async fn settle_audit(&self, owner: &str, id: &str) -> Result<(), Trouble> {
        let settled = |snapshot: Snapshot| match snapshot.audit.as_ref().map(|audit| audit.seen().clone()) {
            Some(head) => Snapshot { audit: None, head: Some(head), ..snapshot },
            None => snapshot,
        };
        self.overrule_snapshot(owner, id, settled).await
    }

    /// The servers that changed, before the answer is shown; as long as they answer quickly.
    pub(crate) async fn read_servers(self: &Arc<Self>, owner: &str, ids: impl IntoIterator<Item = String>) {
        let reading = ids.into_iter().map(|id| async move { self.read_server(owner, &id).await });
        let all = futures_util::future::join_all(reading);
        // whoever takes longer is read on in the background by the next look
        let _ = tokio::time::timeout(std::time::Duration::from_secs(3), all).await;
    }
}
