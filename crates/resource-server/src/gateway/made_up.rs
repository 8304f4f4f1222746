//! What was registered because of a call that would make it (row 41). Anybody may make such a call, by whatever name, and the name
//! stands in the owner's list from then on. Where nobody was let in to it within an hour, and the service has nothing there, it is
//! taken back. It is remembered in memory alone: after a restart such a thing stays, as it did before.

use super::passage::Whole;
use super::path::CanonicalPath;
use super::store::{Registered, Standing};
use super::strangers::Look;
use super::told::Destination;
use super::{Behind, Gateway, strangers};
use crate::protection::ProtectionError;
use std::collections::VecDeque;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a thing has to be made.
const PATIENCE: Duration = Duration::from_secs(3_600);
/// Those that are remembered; the oldest stay registered.
const MOST: usize = 10_000;
/// Those that are looked at in one round of [`Gateway::tend`].
const AT_ONCE: usize = 20;

struct MadeUp {
    registered: Registered,
    /// Where a call would make it.
    path: CanonicalPath,
    since: Instant,
}

#[derive(Default)]
pub(super) struct MadeUpThings {
    all: Mutex<VecDeque<MadeUp>>,
    /// How many there are, for calls that need not look.
    count: AtomicUsize,
}

impl MadeUpThings {
    fn change<T>(&self, change: impl FnOnce(&mut VecDeque<MadeUp>) -> T) -> T {
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        let done = change(&mut all);
        self.count.store(all.len(), Ordering::Relaxed);
        done
    }

    pub(super) fn note(&self, registered: &Registered, path: &CanonicalPath, since: Instant) {
        let made_up = MadeUp { registered: registered.clone(), path: path.clone(), since };
        self.change(|all| {
            all.push_back(made_up);
            let over = all.len().saturating_sub(MOST);
            all.drain(..over);
        });
    }

    /// Somebody was let in: it is no made-up name any more.
    pub(super) fn note_let_in(&self, whole: &Whole) {
        if self.count.load(Ordering::Relaxed) > 0 {
            self.change(|all| all.retain(|one| !whole.is_about(&one.registered)));
        }
    }

    /// Those whose time is over, the oldest first; they are forgotten.
    fn take_due(&self, now: Instant) -> Vec<MadeUp> {
        let is_due = |one: &MadeUp| now.saturating_duration_since(one.since) >= PATIENCE;
        self.change(|all| {
            let due = all.iter().take_while(|one| is_due(one)).take(AT_ONCE).count();
            all.drain(..due).collect()
        })
    }
}

impl Gateway {
    /// Takes back what nobody made.
    pub(super) async fn take_back_made_up(&self, now: Instant) {
        for one in self.made_up.take_due(now) {
            match strangers::look_soon(&self.backend, &one.path, None).await {
                Look::There => {}
                Look::NotThere => {
                    if let Err(error) = self.take_back_unmade(&one.registered).await {
                        tracing::warn!(%error, "what nobody made cannot be taken back");
                    }
                }
                Look::NoAnswer | Look::Away => self.made_up.note(&one.registered, &one.path, now),
            }
        }
    }

    async fn take_back_unmade(&self, registered: &Registered) -> Result<(), ProtectionError> {
        // whoever works on it may take it elsewhere
        let Some(_busy) = self.begin_operation(&registered.owner, &registered.own_id) else { return Ok(()) };
        let now = self.store.registrations(&registered.owner, &registered.own_id).await?;
        let Some(known) = now.iter().find(|one| one.id == registered.id && one.standing == Standing::Active) else {
            return Ok(());
        };
        tracing::info!(owner = known.owner, own_id = %known.own_id, "nobody made this: it is taken back");
        let leaving = Registered { standing: Standing::Leaving, ..known.clone() };
        self.store.change_registrations(std::slice::from_ref(&leaving), &[]).await?;
        self.wake(Destination::of(&leaving));
        Ok(())
    }

    /// Remembers what a call was to make that is registered now.
    pub(super) fn note_made_up(&self, registered: &Registered, path: &CanonicalPath) {
        if matches!(self.settings.behind, Behind::Upstream(_)) {
            self.made_up.note(registered, path, Instant::now());
        }
    }
}
