//! Turns at one owner's things. What is decided is saved only if what it rests on is as it was; where many change the same
//! things, that can fail again and again. Whoever has met changes twice decides alone, and so comes through. Called by
//! every loop that decides anew after a change (S28): the network is never asked within a turn.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;
use tokio::sync::{OwnedRwLockReadGuard, OwnedRwLockWriteGuard, RwLock};
use types::OwnerId;

/// Owners share so many.
const SLOTS: usize = 256;
/// So many tries are made beside others.
const TRIES_BESIDE_OTHERS: usize = 2;

/// The turns of all owners.
pub(crate) struct Turns(Vec<Arc<RwLock<()>>>);

/// A turn; it ends when this is dropped.
pub(crate) struct Turn {
    _beside_others: Option<OwnedRwLockReadGuard<()>>,
    _alone: Option<OwnedRwLockWriteGuard<()>>,
}

impl Default for Turns {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Arc::default()).collect())
    }
}

impl Turns {
    /// A turn for this try, counted from 0.
    pub(crate) async fn take(&self, owner: &OwnerId, tried: usize) -> Turn {
        if tried >= TRIES_BESIDE_OTHERS {
            return self.alone(owner).await;
        }
        Turn { _beside_others: Some(self.slot(owner).read_owned().await), _alone: None }
    }

    /// A turn that nobody else has at the same time.
    pub(crate) async fn alone(&self, owner: &OwnerId) -> Turn {
        Turn { _beside_others: None, _alone: Some(self.slot(owner).write_owned().await) }
    }

    fn slot(&self, owner: &OwnerId) -> Arc<RwLock<()>> {
        let mut hasher = DefaultHasher::new();
        owner.hash(&mut hasher);
        let at = usize::try_from(hasher.finish()).unwrap_or(0).checked_rem(SLOTS).unwrap_or(0);
        self.0.get(at).cloned().unwrap_or_default()
    }
}
