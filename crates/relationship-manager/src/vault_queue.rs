//! The line before the slow derivations of keys (argon2): one at a time for everybody, one of each owner, and so many waiting
//! and no more. Whoever has many waits for herself, and nobody waits for more than one of each other owner (threat 46).

use crate::{Trouble, lock};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

/// Most derivations of one owner that are at work or wait.
const OF_ONE_OWNER: usize = 10;
/// Most owners of whom one is at work or waits.
const OWNERS: usize = 32;

type Turn = Arc<tokio::sync::Mutex<()>>;

/// Who is at work, and who waits.
#[derive(Default)]
pub(crate) struct VaultQueue {
    /// By owner: how many of hers there are, and her own turn.
    owners: Mutex<HashMap<String, (usize, Turn)>>,
    everybody: Turn,
}

/// A place in the line; given back when it is dropped.
pub(crate) struct Place<'q> {
    queue: &'q VaultQueue,
    owner: String,
    turn: Turn,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        let mut owners = lock(&self.queue.owners);
        let left = owners.get_mut(&self.owner).map(|(count, _)| {
            *count = count.saturating_sub(1);
            *count
        });
        if left == Some(0) {
            owners.remove(&self.owner);
        }
    }
}

impl VaultQueue {
    /// A place in the line of this owner, or why there is none right now.
    pub(crate) fn enter(&self, owner: &str) -> Result<Place<'_>, Trouble> {
        let mut owners = lock(&self.owners);
        if owners.len() >= OWNERS && !owners.contains_key(owner) {
            return Err(Trouble::Busy("Too many keys are being opened at this desk. Try again in a few seconds.".into()));
        }
        let (count, turn) = owners.entry(owner.to_owned()).or_default();
        if *count >= OF_ONE_OWNER {
            return Err(Trouble::TooMany("Your key is being opened already. Wait until that is done.".into()));
        }
        *count = count.saturating_add(1);
        Ok(Place { queue: self, owner: owner.to_owned(), turn: turn.clone() })
    }
}

impl Place<'_> {
    /// Does slow work of this owner in her turn, off the threads that answer. Work that has begun keeps its turn to the end,
    /// also where nobody waits for it any more.
    pub(crate) async fn work<T: Send + 'static>(self, work: impl FnOnce() -> T + Send + 'static) -> Result<T, Trouble> {
        let _hers = self.turn.clone().lock_owned().await;
        let everybody = self.queue.everybody.clone().lock_owned().await;
        let done = tokio::task::spawn_blocking(move || {
            let _held = everybody;
            work()
        });
        done.await.map_err(crate::vault::failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_s09_the_line_is_bounded_by_owner_and_in_all() {
        let queue = VaultQueue::default();
        let mine: Vec<_> = (0..OF_ONE_OWNER).map(|_| queue.enter("alice").unwrap()).collect();
        assert!(matches!(queue.enter("alice"), Err(Trouble::TooMany(_))));
        let others: Vec<_> = (1..OWNERS).map(|n| queue.enter(&n.to_string()).unwrap()).collect();
        assert!(matches!(queue.enter("one more"), Err(Trouble::Busy(_))));
        drop((mine, others));
        assert!(lock(&queue.owners).is_empty(), "a place is given back");
    }

    /// Three of Mallory's wait one behind the other; Alice waits for one of them at most.
    #[tokio::test]
    async fn threat_46_s09_nobody_waits_for_more_than_one_of_another_owner() {
        let queue = Arc::new(VaultQueue::default());
        let order: Arc<Mutex<Vec<&str>>> = Arc::default();
        let held = queue.everybody.clone().lock_owned().await;
        let mut tasks = Vec::new();
        for owner in ["mallory", "mallory", "mallory", "alice"] {
            let (queue, order) = (queue.clone(), order.clone());
            tasks.push(tokio::spawn(
                async move { queue.enter(owner).unwrap().work(move || lock(&order).push(owner)).await.unwrap() },
            ));
            tokio::task::yield_now().await;
        }
        drop(held);
        for task in tasks {
            task.await.unwrap();
        }
        let at = lock(&order).iter().position(|owner| *owner == "alice").unwrap();
        assert!(at <= 1, "{:?}", lock(&order));
    }
}
