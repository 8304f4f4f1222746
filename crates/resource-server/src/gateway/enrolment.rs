//! Registering a whole folder after its owner has linked, or, before a service, what its routes name whole. Nobody waits for it: that it is to be walked through is written
//! down with the link; what is found is written down as pending, many in one write; and the authorization server is told in
//! the background ([`super::backlog`]). After a crash it is walked through again, and what is written is left as it is.

use super::Gateway;
use super::backlog::PAGE;
use super::store::{Link, LinkState, Registered, Standing};
use super::told::Destination;
use crate::protection::ProtectionError;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::OwnResourceId;
use types::token::TokenResponse;

/// Folders that are walked through at one time.
const WALKS_AT_ONCE: usize = 4;
/// Owners whose walks are begun in one round of [`Gateway::tend`].
const OWNERS_AT_ONCE: usize = 100;
/// How long the last page of a link waits, so that it can say that all is done: for a few things, and for many.
const FEW: usize = 100;
const PATIENCE_WITH_FEW: Duration = Duration::from_millis(1_500);
const PATIENCE_WITH_MANY: Duration = Duration::from_millis(300);

/// How far it is with an owner's folder.
#[derive(Default)]
pub(super) struct Enrolment {
    is_walked: AtomicBool,
    found: AtomicUsize,
    registered: AtomicUsize,
}

/// A walk that has begun. However it ends, it has ended.
struct Walking {
    gateway: Arc<Gateway>,
    enrolment: Arc<Enrolment>,
}

impl Drop for Walking {
    fn drop(&mut self) {
        self.enrolment.is_walked.store(true, Ordering::Relaxed);
        self.gateway.backlog.changed.notify_waiters();
    }
}

/// What the last page of a link says of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Enrolled {
    pub(super) registered: usize,
    /// There is more, which is registered in the background.
    pub(super) goes_on: bool,
}

/// Folders that are being walked through and registered.
pub(super) struct Enrolments {
    under_way: Mutex<HashMap<String, Arc<Enrolment>>>,
    walks: Semaphore,
}

impl Default for Enrolments {
    fn default() -> Self {
        Self { under_way: Mutex::default(), walks: Semaphore::new(WALKS_AT_ONCE) }
    }
}

impl Enrolments {
    fn all(&self) -> std::sync::MutexGuard<'_, HashMap<String, Arc<Enrolment>>> {
        self.under_way.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// None: her folder is being walked through already.
    fn begin(&self, owner: &str) -> Option<Arc<Enrolment>> {
        let mut all = self.all();
        if all.get(owner).is_some_and(|known| !known.is_walked.load(Ordering::Relaxed)) {
            return None;
        }
        let new = Arc::<Enrolment>::default();
        all.insert(owner.to_owned(), new.clone());
        Some(new)
    }

    fn find(&self, owner: &str) -> Option<Arc<Enrolment>> {
        self.all().get(owner).cloned()
    }

    /// Everything of hers is done.
    pub(super) fn forget(&self, owner: &str) {
        let mut all = self.all();
        if all.get(owner).is_some_and(|known| known.is_walked.load(Ordering::Relaxed)) {
            all.remove(owner);
        }
    }
}

/// Stands for all that an owner has in the folder, where single things are counted.
fn whole_folder() -> OwnResourceId {
    OwnResourceId::from("")
}

impl Gateway {
    /// Another for each time that a folder is to be walked through.
    pub(super) fn new_mark(&self) -> String {
        jose::ambient::random_text::<16>(&*self.client.randomness)
    }

    /// Keeps a link that has just been made. Where it is good, what is in her folder is registered in the background.
    pub(super) async fn keep_new(
        &self,
        owner: &str,
        issuer: &str,
        tokens: TokenResponse,
        link: Link,
    ) -> Result<(), ProtectionError> {
        let link = self.with_tokens(tokens, link);
        if link.state != LinkState::Active {
            return self.store.put_link(owner, issuer, &link).await;
        }
        self.store.change_links(owner, &[(issuer.to_owned(), link)], Some(&self.new_mark())).await?;
        self.unlinked.forget(owner);
        self.expect_news(&Destination { owner: owner.to_owned(), issuer: issuer.to_owned() });
        self.enrol(owner);
        Ok(())
    }

    /// Begins with what was asked for before a crash, or could not be done.
    pub(super) async fn resume_enrolments(&self) -> Result<(), ProtectionError> {
        for owner in self.store.list_unwalked(None, OWNERS_AT_ONCE).await? {
            if !self.backlog.attempts.is_early(&owner, &whole_folder(), std::time::Instant::now()) {
                self.enrol(&owner);
            }
        }
        Ok(())
    }

    /// Walks through her folder in the background, if that was asked for.
    pub(super) fn enrol(&self, owner: &str) {
        let Some(enrolment) = self.backlog.enrolments.begin(owner) else { return };
        let (myself, owner) = (self.myself.clone(), owner.to_owned());
        tokio::spawn(async move {
            let Some(gateway) = myself.upgrade() else { return };
            let place = gateway.backlog.enrolments.walks.acquire().await;
            let walking = Walking { gateway: gateway.clone(), enrolment };
            if let Err(error) = gateway.walk_through(&owner, &walking.enrolment).await {
                tracing::warn!(%error, owner, "a folder is walked through again later");
            }
            drop(place);
            // whoever asks from here on begins another; who asked a moment ago is found by the next round
            drop(walking);
        });
    }

    async fn walk_through(&self, owner: &str, enrolment: &Enrolment) -> Result<(), ProtectionError> {
        while let Some(mark) = self.store.find_unwalked(owner).await? {
            if self.backlog.is_closing() {
                return Ok(());
            }
            if let Some(issuer) = self.find_place_for_new(owner).await? {
                self.write_down(&Destination { owner: owner.to_owned(), issuer }, enrolment).await?;
            }
            self.take_back_unnamed(owner).await?;
            self.store.delete_unwalked(owner, &mark).await?;
        }
        Ok(())
    }

    /// Takes back what no route makes any more: nobody can reach it, and it would be listed for ever.
    async fn take_back_unnamed(&self, owner: &str) -> Result<(), ProtectionError> {
        let routes = self.routes();
        let is_named = |own_id: &OwnResourceId| routes.iter().any(|route| route.maker_of(own_id.as_str()).is_some());
        let all = self.store.list_registrations(owner).await?;
        for unnamed in all.into_iter().filter(|one| one.standing == Standing::Active && !is_named(&one.own_id)) {
            // whoever works on it may take it elsewhere: then it is found by the next walk
            let Some(_busy) = self.begin_operation(owner, &unnamed.own_id) else { continue };
            if !self.store.registrations(owner, &unnamed.own_id).await?.contains(&unnamed) {
                continue;
            }
            tracing::info!(owner, own_id = %unnamed.own_id, "no route names this any more: it is taken back");
            let leaving = Registered { standing: Standing::Leaving, ..unnamed };
            self.store.change_registrations(std::slice::from_ref(&leaving), &[]).await?;
            self.wake(Destination::of(&leaving));
        }
        Ok(())
    }

    /// Writes everything down that a route leads to and nobody has placed.
    async fn write_down(&self, destination: &Destination, enrolment: &Enrolment) -> Result<(), ProtectionError> {
        let content = self.content_now().await;
        let all: Vec<_> = content.of(&destination.owner).into_iter().flatten().collect();
        let mut busy = Vec::new();
        for some in all.chunks(PAGE) {
            let written = self.write_some_down(destination, some, &mut busy).await?;
            if written > 0 {
                enrolment.found.fetch_add(written, Ordering::Relaxed);
                self.wake(destination.clone());
                self.backlog.changed.notify_waiters();
            }
        }
        for one in busy {
            // whoever works on it may leave nothing behind
            drop(self.next_operation(&destination.owner, one.0).await);
            let written = self.write_some_down(destination, &[one], &mut Vec::new()).await?;
            enrolment.found.fetch_add(written, Ordering::Relaxed);
            self.wake(destination.clone());
        }
        // what could not be looked into is walked through again, more and more seldom
        let (owner, attempts) = (destination.owner.as_str(), &self.backlog.attempts);
        if let Err(error) = content.check_whole(owner) {
            attempts.begin(owner, &whole_folder(), std::time::Instant::now());
            return Err(error);
        }
        attempts.done(owner, &whole_folder());
        Ok(())
    }

    /// Writes those down of which nothing is known yet, in one write; how many.
    async fn write_some_down<'c>(
        &self,
        destination: &Destination,
        some: &[(&'c OwnResourceId, &'c String)],
        busy: &mut Vec<(&'c OwnResourceId, &'c String)>,
    ) -> Result<usize, ProtectionError> {
        let Destination { owner, issuer } = destination;
        let (mut held, mut pending) = (Vec::new(), Vec::new());
        // nothing is registered after she left
        if self.has_left(destination).await {
            return Ok(0);
        }
        for (own_id, path) in some.iter().copied() {
            let Some(operation) = self.begin_operation(owner, own_id) else {
                busy.push((own_id, path));
                continue;
            };
            if !self.store.has_registration(owner, own_id).await? && !self.store.find_opinion(owner, own_id).await?.placed {
                pending.push(Registered { found_at: Some(path.clone()), ..self.pending(owner, own_id, issuer, None) });
                held.push(operation);
            }
        }
        if !pending.is_empty() {
            self.store.change_registrations(&pending, &[]).await?;
        }
        drop(held);
        Ok(pending.len())
    }

    /// Whether the file that a registration was found by is there no more. An error: that cannot be told now.
    pub(super) async fn is_gone(&self, pending: &Registered) -> Result<bool, ProtectionError> {
        let path = pending.found_at.as_deref().and_then(|path| super::path::CanonicalPath::parse(path).ok());
        match path {
            Some(path) => self.backend.exists(&path).await.map(|is_there| !is_there),
            None => Ok(false),
        }
    }

    pub(super) fn count_enrolled(&self, owner: &str) {
        if let Some(enrolment) = self.backlog.enrolments.find(owner) {
            enrolment.registered.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits a moment for what was begun: where there is little, all is done then.
    pub(super) async fn wait_for_enrolment(&self, owner: &str) -> Enrolled {
        // where that cannot be told now, the page says that it goes on
        let issuer = self.find_place_for_new(owner).await.ok().flatten();
        let destination = Destination { owner: owner.to_owned(), issuer: issuer.unwrap_or_default() };
        let Some(enrolment) = self.backlog.enrolments.find(owner) else {
            return Enrolled { registered: 0, goes_on: self.backlog.is_unfinished(&destination) };
        };
        let begun = Instant::now();
        loop {
            let mut changed = std::pin::pin!(self.backlog.changed.notified());
            changed.as_mut().enable();
            let is_walked = enrolment.is_walked.load(Ordering::Relaxed);
            let goes_on = !is_walked || self.backlog.is_unfinished(&destination);
            let enrolled = Enrolled { registered: enrolment.registered.load(Ordering::Relaxed), goes_on };
            let has_few = is_walked && enrolment.found.load(Ordering::Relaxed) <= FEW;
            let until = begun + if has_few { PATIENCE_WITH_FEW } else { PATIENCE_WITH_MANY };
            // a server that is left alone for now is not waited for
            let is_idle = is_walked && !self.backlog.runs(&destination);
            if !goes_on || is_idle || tokio::time::timeout_at(until, changed).await.is_err() {
                return enrolled;
            }
        }
    }
}
