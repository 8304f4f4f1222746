//! A session that moves to another cookie, and its end. Each has its turn among changes of it: none that is under way is lost, and
//! none brings back what has ended.

use super::super::super::Gateway;
use super::super::super::link::Renewed;
use super::super::super::store::SessionPlace;
use super::super::super::told::Destination;
use super::{Grant, Held, Session, id_of};
use crate::protection::ProtectionError;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Mutex;
use types::peer::Caller;

/// How long a session waits for a renewal of what it holds before it moves: no server is waited for longer.
const RENEWAL_PATIENCE: Duration = Duration::from_secs(10);

impl Session {
    /// Whether another one is still to end in whose place this one is.
    pub(super) fn has_predecessor(&self) -> bool {
        self.before_cookie.is_some() || self.before.is_some()
    }

    /// The same as the session has it that this one was copied from, unless she was given another one here since.
    fn take_over(&mut self, grant: Grant) {
        let here = self.find_grant_at(&grant.owner, &grant.issuer);
        if here.is_some_and(|here| here.is_copied) {
            self.put_grant(grant);
        }
    }
}

impl Gateway {
    /// Begins a session under a cookie that nobody knew before: whoever planted another in this browser does not have it. What
    /// the browser's own session held goes over, unless that has ended meanwhile. That one stays as it was until the browser shows
    /// the new cookie: whoever closes the page before it comes has lost nothing.
    pub(in super::super) async fn begin_session(
        &self,
        before: Option<Held>,
        caller: Option<Caller>,
    ) -> Result<Held, ProtectionError> {
        let now = self.client.clock.now();
        let cookie = jose::ambient::random_text::<32>(&*self.client.randomness);
        let last = match &before {
            Some(held) => self.read_after_renewal(&held.cookie).await?,
            None => None,
        };
        let is_moved = last.is_some();
        let mut session = last.unwrap_or_else(|| Session::begin(now));
        session.see(now);
        session.before_cookie = before.as_ref().filter(|_| is_moved).map(|held| held.cookie.clone());
        (session.before, session.after) = (None, None);
        session.grants.iter_mut().for_each(|grant| grant.is_copied = true);
        self.put_new(&cookie, &session, SessionPlace::of(caller)).await?;
        match before.filter(|_| is_moved) {
            Some(held) if !self.note_successor(&held.cookie, &cookie).await? => {
                // it ended meanwhile, and what it held with it
                self.end_by_id(&id_of(&cookie)).await?;
                let (cookie, session) = (jose::ambient::random_text::<32>(&*self.client.randomness), Session::begin(now));
                self.put_new(&cookie, &session, SessionPlace::of(caller)).await?;
                Ok(Held { cookie, session })
            }
            _ => Ok(Held { cookie, session }),
        }
    }

    /// A session has one successor that is not shown yet: an earlier one ends, and nobody has more than one that outlives this.
    async fn note_successor(&self, cookie: &str, successor: &str) -> Result<bool, ProtectionError> {
        let (mut earlier, id) = (None, id_of(successor));
        let changed = self.change_session(cookie, |session| earlier = session.after.replace(id)).await?;
        if let Some(earlier) = earlier {
            self.end_by_id(&earlier).await?;
        }
        Ok(changed.is_some())
    }

    /// As it is when a renewal of what it holds is over: what that brings takes the place of a token that is good no more.
    async fn read_after_renewal(&self, cookie: &str) -> Result<Option<Session>, ProtectionError> {
        let turn = self.renewal_turn(cookie).await;
        // a server that does not answer keeps nobody from her session
        let _held = tokio::time::timeout(RENEWAL_PATIENCE, turn.lock()).await;
        let id = id_of(cookie);
        let turn = self.turn(&format!("session {id}")).await;
        let _held = turn.lock().await;
        self.read_session(cookie).await
    }

    /// One at a time renews what a session holds.
    pub(in super::super) async fn renewal_turn(&self, cookie: &str) -> Arc<Mutex<()>> {
        self.turn(&format!("renewal {cookie}")).await
    }

    /// The browser has the session that is in the place of another: what that renewed since, or has lost, goes over.
    pub(super) async fn end_predecessor(&self, cookie: &str, session: &Session) -> Result<Option<Session>, ProtectionError> {
        let mut grants = Vec::new();
        if let Some(before) = &session.before_cookie {
            grants = self.end_one(before).await?.map(|last| last.grants).unwrap_or_default();
            for grant in &grants {
                let at = Destination { owner: grant.owner.clone(), issuer: grant.issuer.clone() };
                let of = |cookie: &str| Renewed::Grant { cookie: cookie.to_owned(), at: at.clone() };
                self.backlog.renewals.note_moved(&of(before), of(cookie));
            }
        }
        // what that holds opens by its cookie alone: it ends, and nothing of it goes over
        if let Some(id) = &session.before {
            self.end_by_id(id).await?;
        }
        let take = |session: &mut Session| {
            (session.before_cookie, session.before) = (None, None);
            grants.into_iter().for_each(|grant| session.take_over(grant));
        };
        self.change_session(cookie, take).await
    }

    async fn end_by_id(&self, id: &str) -> Result<(), ProtectionError> {
        let turn = self.turn(&format!("session {id}")).await;
        let _held = turn.lock().await;
        if let Some(row) = self.store.find_session(id).await? {
            self.store.delete_session(&row).await?;
        }
        self.browsers.guests.remove(id);
        Ok(())
    }

    /// Ends it, with the one in whose place it is and the one that is in its place, and answers what it was at that moment. It has
    /// its turn among changes: none that is under way brings it back.
    pub(in super::super) async fn end_session(&self, cookie: &str) -> Result<Option<Session>, ProtectionError> {
        let last = self.end_one(cookie).await?;
        // it is one session, under whichever cookie
        let others =
            last.as_ref().map(|last| [last.before_cookie.as_deref().map(id_of), last.before.clone(), last.after.clone()]);
        for other in others.into_iter().flatten().flatten() {
            self.end_by_id(&other).await?;
        }
        Ok(last)
    }

    /// The one of this cookie alone.
    async fn end_one(&self, cookie: &str) -> Result<Option<Session>, ProtectionError> {
        let id = id_of(cookie);
        let turn = self.turn(&format!("session {id}")).await;
        let _held = turn.lock().await;
        let last = self.read_session(cookie).await?;
        if let Some(row) = self.store.find_session(&id).await? {
            self.store.delete_session(&row).await?;
        }
        self.browsers.guests.remove(&id);
        Ok(last)
    }
}
