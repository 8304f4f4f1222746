//! Several processes on one store: what one changes, the others let go of at once (`epochs.rs`), and the first of them seals
//! the events of all.

use crate::entity::{Cell, Entity, row};
use crate::epochs::{Epochs, Touched};
use crate::reads::Along;
use crate::{Store, tables};
use authorization_server::event::{Event, Unsealed};
use authorization_server::{Changes, Store as _};
use database::{Check, Database, Node, OpenError, Operation, ReadError, Word};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use types::{EventId, OwnerId};

/// Events that are sealed at once.
const UNSEALED_AT_ONCE: usize = 20_000;
/// And as many of them are read at once.
const EVENTS_AT_ONCE: usize = 1_000;
/// Most owners that a word names; more are everybody.
const MOST_NAMED: usize = 512;
const EVERYBODY: &str = "everybody";
const KEYS: &str = "keys";

/// What others are told of a commit; nothing where it takes nothing away.
pub(crate) fn word_of(touched: &Touched, changes: &Changes) -> Option<String> {
    use identity::Write as W;
    let is_key = |write: &W| matches!(write, W::PutKey(_) | W::DeleteKey(_) | W::PutSecret(_) | W::DeleteSecret(_));
    let slots = touched.slots();
    let mut words: Vec<String> = match slots {
        _ if touched.everybody => vec![EVERYBODY.to_owned()],
        slots if slots.len() > MOST_NAMED => vec![EVERYBODY.to_owned()],
        slots => slots.iter().map(usize::to_string).collect(),
    };
    words.extend(changes.identity.writes.iter().any(is_key).then(|| KEYS.to_owned()));
    (!words.is_empty()).then(|| words.join(" "))
}

fn hear(epochs: &Epochs, word: &Word) {
    let Word::Said(text) = word else { return epochs.numbers.raise_all() };
    for word in text.split(' ') {
        match (word, word.parse::<usize>()) {
            (KEYS, _) => epochs.keys_changed.notify_one(),
            (_, Ok(slot)) => epochs.numbers.raise(slot),
            // also what a newer process says, and this one does not know
            _ => epochs.numbers.raise_all(),
        }
    }
}

/// Joins the others on the database, where there may be any.
pub(crate) async fn join(database: &Database, epochs: &Arc<Epochs>) -> Result<(), OpenError> {
    let heard = Arc::downgrade(epochs);
    let on_word = move |word| {
        if let Some(epochs) = heard.upgrade() {
            hear(&epochs, &word);
        }
    };
    if let Some(node) = database.join(on_word).await? {
        epochs.numbers.set_node(node);
    }
    Ok(())
}

impl Store {
    /// Whether other processes may serve the same store.
    pub fn is_shared(&self) -> bool {
        matches!(*self.records.database, Database::Postgres(_))
    }

    /// Whether this process does what is done once for all who serve the store.
    pub fn is_first(&self) -> bool {
        self.epochs.numbers.node().is_none_or(Node::is_first)
    }

    /// Waits until no other process that serves this store is at its start: one after the other brings it in line with what is
    /// configured. It lasts until it is dropped.
    pub async fn take_turn(&self) -> Result<Option<database::Turn>, ReadError> {
        self.records.database.take_turn("start").await
    }

    /// Waits until another process has changed keys.
    pub async fn keys_changed(&self) {
        self.epochs.keys_changed.notified().await;
    }

    /// Events of all processes; for whoever is the first.
    pub(crate) async fn take_shared_unsealed(&self) -> Result<Unsealed, ReadError> {
        let mut unsealed = Unsealed::default();
        if !self.is_first() {
            return Ok(unsealed);
        }
        let table = &tables::UNSEALED_EVENT;
        let mut waiting: BTreeMap<OwnerId, BTreeSet<EventId>> = BTreeMap::new();
        for row in self.rows(table, Along::key(&[]), None, UNSEALED_AT_ONCE).await? {
            let (owner, id) = (table.text(&row, 0)?.into(), EventId::new(table.text(&row, 1)?));
            waiting.entry(owner).or_default().insert(id);
        }
        for (owner, ids) in waiting {
            unsealed.events.extend(self.read_events(&owner, ids).await?);
        }
        Ok(unsealed)
    }

    /// These events of an owner, in the order of their ids, which is that of time. They are among her last, so they lie together.
    async fn read_events(&self, owner: &OwnerId, mut ids: BTreeSet<EventId>) -> Result<Vec<Event>, ReadError> {
        let mut found = Vec::with_capacity(ids.len());
        while let Some(first) = ids.pop_first() {
            found.extend(self.find_event(owner, &first).await?);
            let Some(next) = ids.first() else { break };
            let page = self.list_events_from(owner, &first, EVENTS_AT_ONCE).await?;
            if page.first().is_none_or(|event| event.document.id > *next) {
                // what should come next is not there: it was never written, and waits for nothing
                ids.pop_first();
            }
            found.extend(page.into_iter().filter(|event| ids.remove(&event.document.id)));
        }
        Ok(found)
    }
}

/// It waits for the sealer.
pub(crate) fn wait(event: &Event) -> Operation {
    Operation::Insert { table: &tables::UNSEALED_EVENT, row: event.columns() }
}

/// It waits no more; and nobody has sealed it meanwhile.
pub(crate) fn seal(owner: &OwnerId, id: &EventId) -> (Check, Operation) {
    let (table, key) = (&tables::UNSEALED_EVENT, row![owner, id]);
    (Check::Equals { table, key: key.clone(), column: 0, value: owner.cell() }, Operation::Delete { table, key })
}
