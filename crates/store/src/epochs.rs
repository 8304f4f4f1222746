//! Epochs of owners: numbers that rise with every change that can take something away. Owners share slots;
//! a change whose owner is not in it raises them all.

use authorization_server::event::Unsealed;
use authorization_server::{Changes, Event, Requirement, Write};
use database::{CommitError, Node};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use types::OwnerId;

const SLOTS: usize = 1024;
/// From here on numbers stand for nothing that was heard: no slot comes so far.
const UNKNOWN: u64 = 1 << 63;
/// How long whoever waits for a change waits where none can be heard of.
const WITHOUT_NEWS: Duration = Duration::from_millis(300);

/// The numbers.
pub(crate) struct Epochs {
    slots: Vec<Slot>,
    /// How often all of them were raised at once.
    of_all: AtomicU64,
    /// Events that nobody has sealed yet.
    unsealed: Mutex<Unsealed>,
    /// This process among others that serve the same store, where there may be any.
    node: OnceLock<Node>,
    /// What answers for an epoch as long as it is not known what others changed: another number each time.
    unknown: AtomicU64,
    /// Another process has changed keys.
    pub(crate) keys_changed: Notify,
}

#[derive(Default)]
struct Slot {
    epoch: AtomicU64,
    raised: Notify,
}

impl Slot {
    fn raise(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.raised.notify_waiters();
    }
}

/// Whose epochs a commit raises.
#[derive(Default)]
pub(crate) struct Touched {
    owners: Vec<OwnerId>,
    pub(crate) everybody: bool,
}

/// The same in every process and every version: FNV-1a.
fn slot_of(owner: &str, slots: usize) -> usize {
    let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    let hash = owner.bytes().fold(0xcbf2_9ce4_8422_2325, mix);
    usize::try_from(hash).unwrap_or(0).checked_rem(slots).unwrap_or(0)
}

impl Default for Epochs {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            of_all: AtomicU64::default(),
            unsealed: Mutex::default(),
            node: OnceLock::new(),
            unknown: AtomicU64::new(UNKNOWN),
            keys_changed: Notify::new(),
        }
    }
}

impl Epochs {
    /// The epoch of an owner; where this process may not have heard of everything that others changed, one that never was.
    pub(crate) fn of(&self, owner: &OwnerId) -> u64 {
        if self.node().is_some_and(|node| !node.hears()) {
            return self.unknown.fetch_add(1, Ordering::AcqRel);
        }
        self.as_heard(owner)
    }

    fn as_heard(&self, owner: &OwnerId) -> u64 {
        self.slot(owner).map_or(0, |slot| slot.epoch.load(Ordering::Acquire))
    }

    pub(crate) fn node(&self) -> Option<&Node> {
        self.node.get()
    }

    pub(crate) fn set_node(&self, node: Node) {
        let _ = self.node.set(node);
    }

    pub(crate) fn raise_slot(&self, slot: usize) {
        self.slots.get(slot).into_iter().for_each(Slot::raise);
    }

    pub(crate) fn raise_everybody(&self) {
        self.of_all.fetch_add(1, Ordering::AcqRel);
        self.slots.iter().for_each(Slot::raise);
    }

    pub(crate) fn of_all(&self) -> u64 {
        self.of_all.load(Ordering::Acquire)
    }

    fn slot(&self, owner: &OwnerId) -> Option<&Slot> {
        self.slots.get(slot_of(owner.as_str(), SLOTS))
    }

    /// Waits until the epoch of this owner is another than `epoch`. Where this process does not hear what others change it waits a
    /// moment: then nobody knows, and whoever waits looks for itself.
    pub(crate) async fn left(&self, owner: &OwnerId, epoch: u64) {
        let Some(slot) = self.slot(owner) else { return };
        if epoch >= UNKNOWN {
            return tokio::time::sleep(WITHOUT_NEWS).await;
        }
        loop {
            let mut raised = std::pin::pin!(slot.raised.notified());
            // listening before looking: what is raised in between is heard
            raised.as_mut().enable();
            if self.as_heard(owner) != epoch {
                return;
            }
            let Some(node) = self.node() else {
                raised.await;
                continue;
            };
            tokio::select! { () = raised => {}, () = tokio::time::sleep(WITHOUT_NEWS) => if !node.hears() { return } }
        }
    }

    pub(crate) fn take_unsealed(&self) -> Unsealed {
        std::mem::take(&mut *self.unsealed.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// What was committed waits for the sealer. Where nobody knows whether it was, the sealer must look.
    pub(crate) fn note(&self, events: Vec<Event>, committed: &Result<(), CommitError>) {
        if events.is_empty() {
            return;
        }
        let mut unsealed = self.unsealed.lock().unwrap_or_else(PoisonError::into_inner);
        match committed {
            Ok(()) => unsealed.events.extend(events),
            Err(CommitError::Unavailable(_)) => unsealed.doubtful.extend(events.into_iter().map(|event| event.owner)),
            Err(CommitError::Broken(_) | CommitError::Taken(_)) => {}
        }
    }

    pub(crate) fn raise(&self, touched: &Touched) {
        if touched.everybody {
            return self.raise_everybody();
        }
        touched.owners.iter().filter_map(|owner| self.slot(owner)).for_each(Slot::raise);
    }
}

impl Touched {
    /// Where their epochs are, each once.
    pub(crate) fn slots(&self) -> Vec<usize> {
        let mut slots: Vec<usize> = self.owners.iter().map(|owner| slot_of(owner.as_str(), SLOTS)).collect();
        slots.sort_unstable();
        slots.dedup();
        slots
    }

    /// Whose things the changes rest on: what is kept of theirs is old where a requirement does not hold.
    pub(crate) fn under(changes: &Changes) -> Self {
        let mut owners: Vec<OwnerId> = changes.identity.accounts().cloned().collect();
        owners.extend(changes.requires.iter().filter_map(|requirement| match requirement {
            Requirement::LinkUnchanged { owner, .. }
            | Requirement::InboxUnchanged { owner, .. }
            | Requirement::DelegationStands { owner, .. }
            | Requirement::SearchStands { owner, .. }
            | Requirement::CredentialStands { owner, .. } => Some(owner.clone()),
            _ => None,
        }));
        owners.extend(changes.writes.iter().filter_map(|write| match write {
            Write::AppendEvent(event) => Some(event.owner.clone()),
            Write::CreateResource(resource) | Write::PutResource(resource) => Some(resource.owner.clone()),
            Write::PutPolicy(policy) => Some(policy.owner.clone()),
            Write::PutAccessRequest(request) => Some(request.owner.clone()),
            _ => None,
        }));
        owners.sort();
        owners.dedup();
        Self { owners, everybody: false }
    }

    /// Reads it off the changes; what only adds raises nothing.
    pub(crate) fn by(changes: &Changes) -> Self {
        let mut touched = Self { owners: changes.identity.accounts().cloned().collect(), everybody: false };
        for write in &changes.identity.writes {
            use identity::Write as W;
            let takes_away = matches!(
                write,
                W::DeleteAccessToken(_) | W::EndFamily(_) | W::PutClient(_) | W::DeleteClient(_) | W::PutAccount(_)
            );
            touched.everybody |= takes_away;
        }
        for write in &changes.writes {
            match write {
                Write::DeleteCredential { owner, .. } => touched.owners.push(owner.clone()),
                Write::PutOwnerSettings(owner, _) => touched.owners.push(owner.clone()),
                Write::PutResource(resource) => touched.owners.push(resource.owner.clone()),
                Write::PutPolicy(policy) => touched.owners.push(policy.owner.clone()),
                Write::PutAccessRequest(request) => touched.owners.push(request.owner.clone()),
                Write::RaiseLink { owner, .. } => touched.owners.push(owner.clone()),
                Write::DeleteResource { owner, .. }
                | Write::DeletePolicy { owner, .. }
                | Write::DeleteAccessRequest { owner, .. }
                | Write::DeleteRpt { owner, .. } => touched.owners.push(owner.clone()),
                _ => {}
            }
        }
        touched
    }
}
