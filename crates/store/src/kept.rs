//! Entities kept in memory beside the database ([`Shelf`]). What is counted by commits that raise no epoch (`uses` of limited
//! policies) is never kept.

use authorization_server::owner_settings::OwnerSettings;
use database::Shelf;
use identity::Client;
use identity::consent::Consent;
use rules::{Policy, Resource};
use std::sync::Arc;
use types::json::size_of;

/// Most entries of one kind, and most bytes of them together.
const ENTRIES: usize = 4_096;
const BYTES: usize = 32 * 1024 * 1024;
const BYTES_OF_POLICIES: usize = 64 * 1024 * 1024;
/// How many times as large something is in memory as what is written of it.
const IN_MEMORY: usize = 4;

/// What is kept, by id; links by owner and resource server.
pub(crate) struct Kept {
    pub(crate) clients: Shelf<String, Arc<Client>>,
    pub(crate) consents: Shelf<String, Arc<Consent>>,
    pub(crate) resources: Shelf<String, Arc<Resource>>,
    pub(crate) policies: Shelf<String, Policy>,
    pub(crate) policies_on: Shelf<String, Arc<Vec<Arc<Policy>>>>,
    pub(crate) links: Shelf<String, i64>,
    pub(crate) owner_settings: Shelf<String, Option<OwnerSettings>>,
}

impl Default for Kept {
    fn default() -> Self {
        Self {
            clients: Shelf::of(BYTES, ENTRIES, |_, client| size_of(&**client).saturating_mul(IN_MEMORY)),
            consents: Shelf::of(BYTES, ENTRIES, |_, consent| size_of(&**consent).saturating_mul(IN_MEMORY)),
            resources: Shelf::of(BYTES, ENTRIES, |_, resource| size_of(&**resource).saturating_mul(IN_MEMORY)),
            policies: Shelf::of(BYTES, ENTRIES, |_, policy| policy.weight()),
            policies_on: Shelf::of(BYTES_OF_POLICIES, ENTRIES, |_, all| all.iter().map(|policy| policy.weight()).sum()),
            links: Shelf::of(BYTES, ENTRIES, |_, _| 0),
            owner_settings: Shelf::of(BYTES, ENTRIES, |_, settings| size_of(settings).saturating_mul(IN_MEMORY)),
        }
    }
}
