//! Entities kept in memory beside the database. Not a cache with a lifetime: an entry carries the epoch that it
//! was read under (`epochs.rs`), and counts only while that stands. What is counted by commits that raise no
//! epoch (`uses` of limited policies) is never kept.

use crate::epochs::Epochs;
use authorization_server::owner_settings::OwnerSettings;
use identity::consent::Consent;
use identity::{Client, StoreError};
use quick_cache::sync::Cache;
use rules::{Policy, Resource};
use std::sync::Arc;
use types::OwnerId;

const ENTRIES: usize = 4_096;

/// One kind of entity by its id.
pub(crate) struct Shelf<T>(Cache<String, (u64, T)>);

impl<T: Clone> Default for Shelf<T> {
    fn default() -> Self {
        Self(Cache::new(ENTRIES))
    }
}

impl<T: Clone> Shelf<T> {
    /// The entry of `id`, from memory if the epoch of `of` still stands, else read by `read`. Whose epoch it is,
    /// only the entry says; so it is read once more after the epoch, and a change in between makes what is kept
    /// worthless, never wrong.
    pub(crate) fn find(
        &self,
        id: &str,
        epoch: impl Fn(&T) -> u64,
        keep: impl Fn(&T) -> bool,
        read: impl Fn() -> Result<Option<T>, StoreError>,
    ) -> Result<Option<T>, StoreError> {
        if let Some((under, kept)) = self.0.get(id).filter(|(under, kept)| *under == epoch(kept)) {
            let _ = under;
            return Ok(Some(kept));
        }
        let Some(first) = read()? else { return Ok(None) };
        if !keep(&first) {
            return Ok(Some(first));
        }
        let under = epoch(&first);
        let again = read()?;
        if let Some(entity) = &again {
            self.0.insert(id.to_owned(), (under, entity.clone()));
        }
        Ok(again)
    }
}

impl<T: Clone> Shelf<T> {
    /// The same where it is known beforehand whose it is; `epoch` is hers, from before.
    pub(crate) fn find_of(&self, id: &str, epoch: u64, read: impl Fn() -> Result<T, StoreError>) -> Result<T, StoreError> {
        if let Some((_, kept)) = self.0.get(id).filter(|(under, _)| *under == epoch) {
            return Ok(kept);
        }
        let entity = read()?;
        self.0.insert(id.to_owned(), (epoch, entity.clone()));
        Ok(entity)
    }
}

/// What is kept.
#[derive(Default)]
pub(crate) struct Kept {
    pub(crate) clients: Shelf<Arc<Client>>,
    pub(crate) consents: Shelf<Arc<Consent>>,
    pub(crate) resources: Shelf<Arc<Resource>>,
    pub(crate) policies: Shelf<Policy>,
    pub(crate) policies_on: Shelf<Arc<Vec<Policy>>>,
    pub(crate) links: Shelf<i64>,
    pub(crate) owner_settings: Shelf<Option<OwnerSettings>>,
}

impl Epochs {
    pub(crate) fn of_policies(&self, policies: &[Policy]) -> u64 {
        policies.first().map_or(0, |policy| self.of(&policy.owner))
    }

    /// Clients belong to nobody: theirs is the epoch that every change of a client raises.
    pub(crate) fn of_clients(&self) -> u64 {
        self.of(&OwnerId::new(""))
    }
}
