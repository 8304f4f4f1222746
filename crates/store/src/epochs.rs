//! Epochs of owners: numbers that rise with every change that can take something away. Owners share slots;
//! a change whose owner is not in it raises them all.

use authorization_server::{Changes, Write};
use std::collections::BTreeSet;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use types::OwnerId;

const SLOTS: usize = 1024;

/// The numbers.
pub(crate) struct Epochs {
    slots: Vec<AtomicU64>,
    /// Owners with events that nobody has sealed yet.
    news: Mutex<BTreeSet<OwnerId>>,
}

/// Whose epochs a commit raises.
#[derive(Default)]
pub(crate) struct Touched {
    owners: Vec<OwnerId>,
    everybody: bool,
    news: Vec<OwnerId>,
}

fn slot_of(owner: &str, slots: usize) -> usize {
    let mut hasher = DefaultHasher::new();
    owner.hash(&mut hasher);
    usize::try_from(hasher.finish()).unwrap_or(0).checked_rem(slots).unwrap_or(0)
}

impl Default for Epochs {
    fn default() -> Self {
        Self { slots: (0..SLOTS).map(|_| AtomicU64::new(0)).collect(), news: Mutex::default() }
    }
}

impl Epochs {
    pub(crate) fn of(&self, owner: &OwnerId) -> u64 {
        self.slots.get(slot_of(owner.as_str(), SLOTS)).map_or(0, |slot| slot.load(Ordering::Acquire))
    }

    pub(crate) fn take_news(&self) -> Vec<OwnerId> {
        std::mem::take(&mut *self.news.lock().unwrap_or_else(PoisonError::into_inner)).into_iter().collect()
    }

    pub(crate) fn raise(&self, touched: &Touched) {
        if !touched.news.is_empty() {
            self.news.lock().unwrap_or_else(PoisonError::into_inner).extend(touched.news.iter().cloned());
        }
        if touched.everybody {
            for slot in &self.slots {
                slot.fetch_add(1, Ordering::AcqRel);
            }
            return;
        }
        for owner in &touched.owners {
            if let Some(slot) = self.slots.get(slot_of(owner.as_str(), SLOTS)) {
                slot.fetch_add(1, Ordering::AcqRel);
            }
        }
    }
}

impl Touched {
    /// Reads it off the changes; what only adds raises nothing.
    pub(crate) fn by(changes: &Changes) -> Self {
        let mut touched = Self { owners: changes.identity.accounts().cloned().collect(), everybody: false, news: Vec::new() };
        for write in &changes.identity.writes {
            use identity::Write as W;
            let takes_away = matches!(
                write,
                W::DeleteAccessToken(_) | W::EndFamily(_) | W::CreateClient(_) | W::PutClient(_) | W::DeleteClient(_)
            );
            touched.everybody |= takes_away;
        }
        for write in &changes.writes {
            match write {
                Write::AppendEvent(event) => touched.news.push(event.owner.clone()),
                Write::PutResource(resource) => touched.owners.push(resource.owner.clone()),
                Write::PutPolicy(policy) => touched.owners.push(policy.owner.clone()),
                Write::PutAccessRequest(request) => touched.owners.push(request.owner.clone()),
                Write::RaiseLink { owner, .. } => touched.owners.push(owner.clone()),
                // every deletion of these comes with an event of the owner's, but need not
                Write::DeleteResource(_) | Write::DeletePolicy(_) | Write::DeleteAccessRequest(_) | Write::DeleteRpt(_) => {
                    touched.everybody = true;
                }
                _ => {}
            }
        }
        touched
    }
}
