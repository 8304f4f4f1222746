//! What is on its way, in the background: registrations that are pending, that leave, and that have news. Each owner at
//! each authorization server is a destination with a run of its own, so nobody waits for another's server; a few are told
//! at a time, in turn over all destinations, and whoever does not answer is left alone for a while (threat 46).
//! [`Gateway::tend`] finds what a crash or an absent server left; linking and ordering wake a run at once.

use super::Gateway;
use super::attempts::Attempts;
use super::enrolment::Enrolments;
use super::operation::Operations;
use super::store::{Registered, Standing, Unfinished};
use super::told::{Destination, PATIENCE_IN_BACKGROUND, Told};
use crate::protection::ProtectionError;
use futures_util::{FutureExt, StreamExt};
use std::collections::{BTreeSet, HashMap};
use std::panic::AssertUnwindSafe;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::sync::{Notify, Semaphore};
use types::OwnResourceId;

/// How many are told at one time: in one run, at one authorization server, and at all those that owners brought. However
/// slow these are, and however many, what the operator lists has its places.
const AT_ONCE_IN_RUN: usize = 8;
const AT_ONCE_AT_SERVER: u32 = 8;
const AT_ONCE_AT_BROUGHT: usize = 64;
/// Authorization servers whose places are kept before a look which of them somebody has.
const MOST_IDLE_LANES: usize = 1_000;
/// Rows that are read at one time.
pub(super) const PAGE: usize = 500;
/// Owners that are looked at in one round of [`Gateway::tend`], for each reason.
const OWNERS_AT_ONCE: usize = 1_000;
/// Rows of an owner that are looked at there; where there are more, all her servers are tried.
const FIRST_ROWS: usize = 32;
/// Until a server that does not answer is tried again; each time twice as long, up to the longest.
const FIRST_WAIT: Duration = Duration::from_secs(2);
const MOST_DOUBLINGS: u32 = 5;
/// Things that a server puts off one after the other, before the rest is not tried.
const MOST_PUT_OFF: u32 = 3;
/// How long the end waits for those that are being told.
const LAST_PATIENCE: Duration = Duration::from_secs(6);

/// How it stands with a destination.
#[derive(Default)]
struct State {
    runs: bool,
    /// There is more since the run began.
    again: bool,
    failures: u32,
    until: Option<Instant>, // it is left alone until then
}

/// What is done in the background, and what it shares with calls and orders.
pub(super) struct Backlog {
    pub(super) operations: Arc<Operations>,
    pub(super) attempts: Attempts,
    pub(super) told: Told,
    /// What a server put off last that was to be registered.
    pub(super) put_off: Mutex<HashMap<Destination, OwnResourceId>>,
    pub(super) renewals: client::renewals::Renewals<super::link::Renewed>,
    pub(super) latest_pats: super::link::LatestPats,
    destinations: Mutex<HashMap<Destination, State>>,
    /// Places for those that are being told, by authorization server, and at those that owners brought; first come, first
    /// served.
    lanes: Mutex<HashMap<String, Arc<Semaphore>>>,
    brought: Semaphore,
    /// Where the next round of looking begins.
    cursors: Mutex<HashMap<&'static str, String>>,
    is_closing: AtomicBool,
    pub(super) enrolments: Enrolments,
    /// Something has ended.
    pub(super) changed: Notify,
}

impl Default for Backlog {
    fn default() -> Self {
        Self {
            operations: Arc::default(),
            attempts: Attempts::default(),
            told: Told::default(),
            put_off: Mutex::default(),
            renewals: client::renewals::Renewals::default(),
            latest_pats: super::link::LatestPats::default(),
            destinations: Mutex::default(),
            lanes: Mutex::default(),
            brought: Semaphore::new(AT_ONCE_AT_BROUGHT),
            cursors: Mutex::default(),
            is_closing: AtomicBool::new(false),
            enrolments: Enrolments::default(),
            changed: Notify::new(),
        }
    }
}

/// What came of going through all that is on its way to a destination.
enum Passed {
    Whole,
    /// The rest has to wait, for so long at least.
    Halted(Duration),
}

/// What has to wait in a pass. Where the server puts off one thing, that may be by the thing; where it puts off one after the
/// other it has too much to do.
#[derive(Default)]
struct Halts(Mutex<(Option<ProtectionError>, u32)>);

impl Halts {
    fn note(&self, done: Result<(), ProtectionError>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *all = match (done, all.1) {
            (Ok(()), _) => (all.0.take(), 0),
            (Err(error @ ProtectionError::Later(_)), in_a_row) => (Some(error), in_a_row.saturating_add(1)),
            (Err(error), _) => (Some(error), MOST_PUT_OFF),
        };
    }

    fn has_halted(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 >= MOST_PUT_OFF
    }

    fn into_last(self) -> Option<ProtectionError> {
        self.0.into_inner().unwrap_or_else(PoisonError::into_inner).0
    }
}

impl Backlog {
    fn states(&self) -> std::sync::MutexGuard<'_, HashMap<Destination, State>> {
        self.destinations.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lane(&self, issuer: &str) -> Arc<Semaphore> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if lanes.len() >= MOST_IDLE_LANES && !lanes.contains_key(issuer) {
            lanes.retain(|_, lane| Arc::strong_count(lane) > 1);
        }
        lanes.entry(issuer.to_owned()).or_insert_with(|| Arc::new(Semaphore::new(AT_ONCE_AT_SERVER as usize))).clone()
    }

    pub(super) fn is_closing(&self) -> bool {
        self.is_closing.load(Ordering::Relaxed)
    }

    /// Whether a run is to begin; it counts as begun.
    fn begin(&self, destination: &Destination, now: Instant) -> bool {
        let mut all = self.states();
        let state = all.entry(destination.clone()).or_default();
        if state.runs {
            state.again = true;
            return false;
        }
        if self.is_closing() || state.until.is_some_and(|until| now < until) {
            return false;
        }
        state.runs = true;
        true
    }

    /// Whether the run goes on.
    fn end(&self, destination: &Destination, passed: &Passed, now: Instant) -> bool {
        let mut all = self.states();
        let Some(state) = all.get_mut(destination) else { return false };
        match passed {
            Passed::Whole if state.again && !self.is_closing() => {
                state.again = false;
                return true;
            }
            Passed::Whole => drop(all.remove(destination)),
            Passed::Halted(wait) => {
                let doubled = FIRST_WAIT * 2_u32.pow(state.failures.min(MOST_DOUBLINGS));
                let failures = state.failures.saturating_add(1);
                *state = State { failures, until: Some(now + doubled.max(*wait)), ..State::default() };
            }
        }
        false
    }

    /// Whether something is on its way there, or left alone for now.
    pub(super) fn is_unfinished(&self, destination: &Destination) -> bool {
        self.states().contains_key(destination)
    }

    /// Whether something is being done for an owner at an authorization server.
    pub(super) fn runs(&self, destination: &Destination) -> bool {
        self.states().get(destination).is_some_and(|state| state.runs)
    }
}

impl Gateway {
    /// Goes on with what a crash or an absent authorization server left on its way. It only looks what there is; the work
    /// is done beside it.
    pub async fn tend(&self) {
        self.give_back_unanswered(self.client.clock.now());
        self.repeat_lost_renewals().await;
        if let Err(error) = self.look_for_unfinished().await {
            tracing::error!(%error, "what is on its way cannot be read");
        }
    }

    async fn look_for_unfinished(&self) -> Result<(), ProtectionError> {
        self.resume_enrolments().await?;
        for why in Unfinished::ALL {
            let mut after = self.backlog.cursors.lock().unwrap_or_else(PoisonError::into_inner).remove(why.as_str());
            for _ in 0..OWNERS_AT_ONCE {
                after = self.store.next_unfinished_owner(why, after.as_deref()).await?;
                let Some(owner) = &after else { break };
                // one whose rows cannot be read keeps nobody else's waiting
                if let Err(error) = self.wake_all(owner, why).await {
                    tracing::error!(%error, owner, "what is on its way of this owner cannot be read");
                }
                // calls are answered meanwhile
                tokio::task::yield_now().await;
            }
            // those behind are looked at in the next round
            if let Some(after) = after {
                self.backlog.cursors.lock().unwrap_or_else(PoisonError::into_inner).insert(why.as_str(), after);
            }
        }
        Ok(())
    }

    /// Wakes the runs of an owner for whatever is on its way.
    async fn wake_all(&self, owner: &str, why: Unfinished) -> Result<(), ProtectionError> {
        let page = self.store.list_unfinished(owner, why, None, FIRST_ROWS).await?;
        let mut issuers: BTreeSet<String> = page.registrations.into_iter().map(|one| one.issuer).collect();
        if page.next.is_some() {
            issuers.extend(self.store.list_links(owner).await?.into_iter().map(|(issuer, _)| issuer));
        }
        for issuer in issuers {
            self.wake(Destination { owner: owner.to_owned(), issuer });
        }
        Ok(())
    }

    /// Has what is on its way there done, unless it is to be left alone.
    pub(super) fn wake(&self, destination: Destination) {
        if !self.backlog.begin(&destination, Instant::now()) {
            return;
        }
        let myself = self.myself.clone();
        tokio::spawn(async move {
            if let Some(gateway) = myself.upgrade() {
                gateway.run(&destination).await;
            }
        });
    }

    /// She has linked anew: whatever was before, there is hope.
    pub(super) fn expect_news(&self, destination: &Destination) {
        if let Some(state) = self.backlog.states().get_mut(destination) {
            (state.until, state.failures) = (None, 0);
        }
        self.backlog.told.forget_listing(destination);
        self.end_rest(destination);
    }

    async fn run(&self, destination: &Destination) {
        loop {
            // a run that breaks off must not be one that goes on for ever
            let passed = match AssertUnwindSafe(self.pass(destination)).catch_unwind().await {
                Ok(Ok(passed)) => passed,
                Ok(Err(error)) => {
                    tracing::error!(%error, owner = destination.owner, "what is on its way cannot be read");
                    Passed::Halted(FIRST_WAIT)
                }
                Err(_) => Passed::Halted(FIRST_WAIT),
            };
            let goes_on = self.backlog.end(destination, &passed, Instant::now());
            if !goes_on && matches!(passed, Passed::Whole) {
                self.backlog.told.forget_listing(destination);
                self.backlog.enrolments.forget(&destination.owner);
            }
            self.backlog.changed.notify_waiters();
            if !goes_on {
                return;
            }
        }
    }

    /// Goes once through all that is on its way to a destination, a few at a time.
    async fn pass(&self, destination: &Destination) -> Result<Passed, ProtectionError> {
        let halts = Halts::default();
        let has_halted = || self.backlog.is_closing() || halts.has_halted();
        let (lane, is_listed) = (self.backlog.lane(&destination.issuer), self.is_listed(&destination.issuer));
        for why in Unfinished::ALL {
            let mut after: Option<OwnResourceId> = None;
            loop {
                let page = self.store.list_unfinished(&destination.owner, why, after.as_ref(), PAGE).await?;
                let here = page.registrations.into_iter().filter(|one| one.issuer == destination.issuer);
                let done = futures_util::stream::iter(here).for_each_concurrent(AT_ONCE_IN_RUN, |registered| async {
                    let place = lane.acquire().await;
                    let brought = if is_listed { None } else { Some(self.backlog.brought.acquire().await) };
                    if has_halted() {
                        return;
                    }
                    let done = self.finish(registered).await;
                    if let Err(error) = &done {
                        tracing::info!(%error, owner = destination.owner, issuer = destination.issuer, "it has to wait");
                    }
                    halts.note(done);
                    drop((place, brought));
                });
                done.await;
                after = page.next;
                if has_halted() || after.is_none() {
                    break;
                }
            }
        }
        match halts.into_last() {
            None => Ok(Passed::Whole),
            Some(ProtectionError::Unauthorized) if self.has_left(destination).await => {
                self.give_up_what_is_left(destination).await?;
                Ok(Passed::Whole)
            }
            Some(ProtectionError::Later(seconds)) => Ok(Passed::Halted(Duration::from_secs(seconds))),
            Some(_) => Ok(Passed::Halted(Duration::ZERO)),
        }
    }

    /// Whether no PAT of hers is to be had there any more.
    pub(super) async fn has_left(&self, destination: &Destination) -> bool {
        matches!(self.pat(&destination.owner, &destination.issuer).await, Err(ProtectionError::Unauthorized))
    }

    /// Does what is to be done for one. An error says something about the server, or that this one has to wait.
    async fn finish(&self, registered: Registered) -> Result<(), ProtectionError> {
        let (owner, own_id) = (registered.owner.clone(), registered.own_id.clone());
        // whoever works on it does what is needed
        let Some(_busy) = self.begin_operation(&owner, &own_id) else { return Ok(()) };
        let now = self.store.registrations(&owner, &own_id).await?;
        let Some(registered) = now.iter().find(|one| **one == registered).cloned() else { return Ok(()) };
        match registered.standing {
            Standing::Leaving => self.try_to_take_back(&registered, PATIENCE_IN_BACKGROUND).await,
            Standing::Pending => {
                let was_found = registered.found_at.is_some();
                let is_registered = self.finish_pending(registered).await?;
                if was_found && is_registered {
                    self.count_enrolled(&owner);
                }
                Ok(())
            }
            // what the server would not have is tried more and more seldom
            _ if !self.backlog.attempts.begin(&owner, &own_id, Instant::now()) => Ok(()),
            _ => match self.push(&registered).await {
                Err(ProtectionError::Refused(why)) => {
                    tracing::warn!(why, owner, %own_id, "a description could not be told yet");
                    Ok(())
                }
                other => other.inspect(|()| self.backlog.attempts.done(&owner, &own_id)),
            },
        }
    }

    /// Where she has withdrawn this gateway, nothing is on its way any more that she did not order herself. Without a PAT
    /// nobody can take back what was told: it is found there when she comes back.
    async fn give_up_what_is_left(&self, destination: &Destination) -> Result<(), ProtectionError> {
        let Destination { owner, issuer } = destination;
        let mut after: Option<OwnResourceId> = None;
        loop {
            let page = self.store.list_unfinished(owner, Unfinished::Pending, after.as_ref(), PAGE).await?;
            let by_itself = |one: &&Registered| one.issuer == *issuer && one.found_at.is_some();
            let free = page.registrations.iter().filter(by_itself);
            let free: Vec<_> = free.filter_map(|one| Some((one, self.begin_operation(owner, &one.own_id)?))).collect();
            // somebody may have worked on one between the look and its turn
            let now = self.store.list_unfinished(owner, Unfinished::Pending, after.as_ref(), PAGE).await?.registrations;
            let gone: Vec<&Registered> = free.iter().map(|(one, _)| *one).filter(|one| now.contains(one)).collect();
            self.store.change_registrations(&[], &gone).await?;
            gone.iter().for_each(|one| self.backlog.told.forget(one));
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    /// Ends the work in the background: what is being told and what is being renewed is waited for, and the rest goes on at the next
    /// start.
    pub async fn close(&self) {
        self.backlog.is_closing.store(true, Ordering::Relaxed);
        let lanes: Vec<_> = self.backlog.lanes.lock().unwrap_or_else(PoisonError::into_inner).values().cloned().collect();
        let all = lanes.iter().map(|lane| lane.acquire_many(AT_ONCE_AT_SERVER));
        let told = tokio::time::timeout(LAST_PATIENCE, futures_util::future::join_all(all));
        let (told, _) = tokio::join!(told, self.backlog.renewals.wait_for_end(LAST_PATIENCE));
        if told.is_err() {
            tracing::warn!("an authorization server did not answer before the end: what it was told is looked for there");
        }
    }
}
