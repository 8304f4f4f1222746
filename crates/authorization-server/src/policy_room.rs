//! How many policies may stand on one resource, and how many an owner has of all: each grant looks at all of its resource, and
//! the end of a delegation at all of its owner; the owner, or whom she lets share, writes them as fast as she likes (threat 46).
//! And how many a delegate may write in an hour, and how many requests he may answer: each is a line in the owner's history, and
//! what she did herself is not to stand behind pages of it. Called wherever a policy is written, and where those bind that waited.

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::store::Weight;
use identity::Failure;
use rules::policy::Binding;
use rules::{Policy, Resource};
use std::collections::HashMap;
use types::ErrorCode;
use types::throttle::{Taken, Throttle};

/// What may be written where there is so much already.
struct Room {
    on_resource: Weight,
    of_owner: usize,
}

/// Most policies on one resource.
pub(crate) const MOST: usize = 2_000;
const OF_OWNER: Room = Room { on_resource: Weight { count: MOST, bytes: 2 * 1024 * 1024 }, of_owner: 50_000 };
/// What her delegates write takes no room of hers: beyond this, the owner alone adds more.
const OF_DELEGATES: Room = Room { on_resource: Weight { count: 1_000, bytes: 1024 * 1024 }, of_owner: 25_000 };
const CHANGES_OF_DELEGATE_BY_HOUR: u32 = 200;
const HOUR_SECONDS: i64 = 3_600;

const ANSWERS_OF_DELEGATE_BY_HOUR: u32 = 200;

/// Policies that delegates wrote and changed, by what was delegated to whom. What one ends has been written before.
pub(crate) struct DelegatesChanges(Throttle);

/// Requests that delegates answered, by the same: whoever asks for what he may answer himself does both as often as he likes.
pub(crate) struct DelegatesAnswers(Throttle);

impl Default for DelegatesAnswers {
    fn default() -> Self {
        Self(Throttle::per(ANSWERS_OF_DELEGATE_BY_HOUR, HOUR_SECONDS))
    }
}

impl Default for DelegatesChanges {
    fn default() -> Self {
        Self(Throttle::per(CHANGES_OF_DELEGATE_BY_HOUR, HOUR_SECONDS))
    }
}

impl Room {
    /// What stands on a resource with this policy beside it; none: it does not fit.
    fn add(&self, beside: Weight, policy: &Policy) -> Option<Weight> {
        // one that is replaced is among them
        let most = self.on_resource.count.saturating_add(usize::from(policy.version > 0));
        let bytes = beside.bytes.saturating_add(types::json::size_of(policy));
        let fits = beside.count < most && bytes <= self.on_resource.bytes;
        fits.then_some(Weight { count: beside.count.saturating_add(1), bytes })
    }
}

impl AuthorizationServer {
    /// Whether these policies, each new or in the place of its older version, may stand beside those that are there.
    pub(crate) async fn check_room_for(&self, acting: &Acting, policies: &[Policy]) -> Result<(), Failure> {
        let room = if acting.is_delegate() { OF_DELEGATES } else { OF_OWNER };
        let mut weights: HashMap<&Binding, Weight> = HashMap::new();
        for policy in policies {
            let beside = match weights.get(&policy.binding) {
                Some(weight) => *weight,
                None => self.store.weigh_policies_beside(policy).await?,
            };
            let Some(together) = room.add(beside, policy) else {
                return Failure::refuse(
                    ErrorCode::InvalidRequest,
                    "one resource has 2000 policies at most, and 2 MiB of them together, of which a delegate adds to 1000 and to 1 MiB: \
                     delete some, or name several people in one",
                );
            };
            weights.insert(&policy.binding, together);
        }
        let new = policies.iter().filter(|policy| policy.version == 0).count();
        if new > 0 && self.store.count_policies(&acting.owner, room.of_owner).await?.saturating_add(new) > room.of_owner {
            return Failure::refuse(
                ErrorCode::InvalidRequest,
                "one owner has 50000 policies at most, of which a delegate adds to 25000: delete some, or name several people in one",
            );
        }
        Ok(())
    }

    /// Takes so many changes of those that a delegate may make in an hour; to be given back where nothing is written.
    pub(crate) fn take_changes(&self, acting: &Acting, count: usize) -> Result<Taken<'_>, Failure> {
        let mut taken = Taken::default();
        let Some(name) = acting.name_of_delegate() else { return Ok(taken) };
        for _ in 0..count {
            if !taken.take(&self.delegates_changes.0, &name, self.now()) {
                taken.give_back();
                return Failure::refuse(
                    ErrorCode::TooManyRequests,
                    "a delegate writes 200 policies of one owner in an hour at most, since each stands in her history: try again later",
                );
            }
        }
        Ok(taken)
    }

    /// Takes one answer of those that a delegate may give in an hour; to be given back where nothing is written.
    pub(crate) fn take_answer(&self, acting: &Acting) -> Result<Taken<'_>, Failure> {
        let mut taken = Taken::default();
        let Some(name) = acting.name_of_delegate() else { return Ok(taken) };
        if taken.take(&self.delegates_answers.0, &name, self.now()) {
            return Ok(taken);
        }
        Failure::refuse(
            ErrorCode::TooManyRequests,
            "a delegate answers 200 requests of one owner in an hour at most, since each stands in her history: try again later",
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
            let room = if policy.delegation.is_some() { OF_DELEGATES } else { OF_OWNER };
            let together = room.add(beside, policy);
            beside = together.unwrap_or(beside);
            together.is_some()
        });
        Ok(bound)
    }
}
