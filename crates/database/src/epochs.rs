//! Epochs: numbers by name that rise with every change that can take something away. What was read under one counts while it
//! stands (`kept.rs`). Names share slots.

use crate::postgres::Node;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::Notify;

const SLOTS: usize = 1024;
/// From here on numbers stand for nothing that was heard: no slot comes so far.
const UNKNOWN: u64 = 1 << 63;
/// How long whoever waits for a change waits where none can be heard of.
const WITHOUT_NEWS: Duration = Duration::from_millis(300);
/// Stands between the parts of a name.
const BETWEEN: u8 = 0x1f;

/// The numbers.
pub struct Epochs {
    slots: Vec<Slot>,
    /// How often all of them were raised at once.
    of_all: AtomicU64,
    /// How often any of them was raised, or is about to be.
    raises: AtomicU64,
    /// This process among others that serve the same store, where there may be any.
    node: OnceLock<Node>,
    /// What answers for an epoch as long as it is not known what others changed: another number each time.
    unknown: AtomicU64,
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

impl Default for Epochs {
    fn default() -> Self {
        Self {
            slots: (0..SLOTS).map(|_| Slot::default()).collect(),
            of_all: AtomicU64::default(),
            raises: AtomicU64::default(),
            node: OnceLock::new(),
            unknown: AtomicU64::new(UNKNOWN),
        }
    }
}

impl Epochs {
    /// Where the epoch of a name is: the same in every process and every version (FNV-1a).
    pub fn slot_of(name: &[&str]) -> usize {
        let mix = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
        let parts = name.iter().enumerate();
        let bytes = parts.flat_map(|(at, part)| (at > 0).then_some(BETWEEN).into_iter().chain(part.bytes()));
        let hash = bytes.fold(0xcbf2_9ce4_8422_2325, mix);
        usize::try_from(hash).unwrap_or(0).checked_rem(SLOTS).unwrap_or(0)
    }

    /// The epoch of a name; where this process may not have heard of everything that others changed, one that never was.
    pub fn of(&self, name: &[&str]) -> u64 {
        if self.node().is_some_and(|node| !node.hears()) {
            return self.unknown.fetch_add(1, Ordering::AcqRel);
        }
        self.as_heard(name)
    }

    fn as_heard(&self, name: &[&str]) -> u64 {
        self.slots.get(Self::slot_of(name)).map_or(0, |slot| slot.epoch.load(Ordering::Acquire))
    }

    pub fn node(&self) -> Option<&Node> {
        self.node.get()
    }

    pub fn set_node(&self, node: Node) {
        let _ = self.node.set(node);
    }

    pub fn raise(&self, slot: usize) {
        // first: whoever sees the new epoch sees that something was raised
        self.raises.fetch_add(1, Ordering::AcqRel);
        self.slots.get(slot).into_iter().for_each(Slot::raise);
    }

    pub fn raise_all(&self) {
        self.raises.fetch_add(1, Ordering::AcqRel);
        self.of_all.fetch_add(1, Ordering::AcqRel);
        self.slots.iter().for_each(Slot::raise);
    }

    /// The same number before and after: no epoch was raised in between.
    pub fn raises(&self) -> u64 {
        self.raises.load(Ordering::Acquire)
    }

    pub fn of_all(&self) -> u64 {
        self.of_all.load(Ordering::Acquire)
    }

    /// Waits until the epoch of this name is another than `epoch`. Where this process does not hear what others change it waits a
    /// moment: then nobody knows, and whoever waits looks for itself.
    pub async fn left(&self, name: &[&str], epoch: u64) {
        let Some(slot) = self.slots.get(Self::slot_of(name)) else { return };
        if epoch >= UNKNOWN {
            return tokio::time::sleep(WITHOUT_NEWS).await;
        }
        loop {
            let mut raised = std::pin::pin!(slot.raised.notified());
            // listening before looking: what is raised in between is heard
            raised.as_mut().enable();
            if self.as_heard(name) != epoch {
                return;
            }
            let Some(node) = self.node() else {
                raised.await;
                continue;
            };
            tokio::select! { () = raised => {}, () = tokio::time::sleep(WITHOUT_NEWS) => if !node.hears() { return } }
        }
    }
}
