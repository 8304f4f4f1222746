//! How many policies may stand on one resource: each grant of it looks at all of them, and its owner, or whom she lets share it,
//! writes them as fast as she likes (threat 46). Called wherever a policy is written, and where those bind that waited.

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::store::Weight;
use identity::{Failure, internal};
use rules::policy::Binding;
use rules::{Policy, Resource};
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use types::ErrorCode;

/// Most policies on one resource, and most bytes of them together.
pub(crate) const MOST: usize = 2_000;
const MOST_BYTES: usize = 2 * 1024 * 1024;
/// Where so many are, the owner alone adds more: what her delegates write takes no room of hers.
const MOST_BESIDE_DELEGATES: usize = 1_000;

/// What stands on the resources of one commit, with what it adds itself.
#[derive(Default)]
pub(crate) struct Room {
    by_binding: HashMap<String, Weight>,
}

impl Room {
    /// Takes a place, where so many are taken at most.
    fn take(beside: &mut Weight, most: usize, policy: &Policy) -> bool {
        let bytes = beside.bytes.saturating_add(types::json::size_of(policy));
        let fits = beside.count < most && bytes <= MOST_BYTES;
        if fits {
            *beside = Weight { count: beside.count.saturating_add(1), bytes };
        }
        fits
    }
}

impl AuthorizationServer {
    /// Whether this policy may stand beside those that are there, and those that this commit wrote before it.
    pub(crate) async fn check_room_on(&self, acting: &Acting, policy: &Policy, room: &mut Room) -> Result<(), Failure> {
        let binding = serde_json::to_string(&policy.binding).map_err(internal)?;
        let beside = match room.by_binding.entry(binding) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(unknown) => unknown.insert(self.store.weigh_policies_beside(policy).await?),
        };
        let most = if acting.is_delegate() { MOST_BESIDE_DELEGATES } else { MOST };
        // one that is replaced is among them
        let most = if policy.version == 0 { most } else { most.saturating_add(1) };
        if Room::take(beside, most, policy) {
            return Ok(());
        }
        Failure::refuse(
            ErrorCode::InvalidRequest,
            format!(
                "one resource has {MOST} policies at most, of which a delegate adds to {MOST_BESIDE_DELEGATES}, and 2 MiB of them \
                 together: delete some, or name several people in one"
            ),
        )
    }

    /// Of policies that wait for a resource, those that may stand on it beside those that are there: the owner's own first,
    /// and the oldest. The others wait on: a resource may change its own id as often as its server likes.
    pub(crate) async fn keep_what_fits(&self, resource: &Resource, waiting: Vec<Policy>) -> Result<Vec<Policy>, Failure> {
        let binding = Binding::Bound { resource: resource.id.clone() };
        let mut bound: Vec<_> = waiting.into_iter().map(|policy| Policy { binding: binding.clone(), ..policy }).collect();
        bound.sort_by_key(|policy| (policy.delegation.is_some(), policy.created));
        let Some(first) = bound.first() else { return Ok(bound) };
        let mut beside = self.store.weigh_policies_beside(first).await?;
        bound.retain(|policy| {
            let most = if policy.delegation.is_some() { MOST_BESIDE_DELEGATES } else { MOST };
            Room::take(&mut beside, most, policy)
        });
        Ok(bound)
    }
}
