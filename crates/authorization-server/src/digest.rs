//! Mail that tells an owner that somebody waits for her answer (protocol.md 1.4): at most one in 15 minutes,
//! plain text, and nothing in it that a client or a stranger wrote. Called by the wiring, every few seconds.

use crate::AuthorizationServer;
use crate::mailer::Message;
use identity::Failure;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use types::{OwnerId, Timestamp};

/// Seconds between two digests to one owner.
const INTERVAL: i64 = 900;
/// Seconds before a digest is tried again that the mail server was not reached for; doubled each time.
const FIRST_PAUSE: i64 = 30;

/// Who is to be told. In memory: after a restart the next request tells her.
#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<OwnerId, Digest>>);

#[derive(Clone, Copy, Default)]
struct Digest {
    news: bool,
    /// When the next one may go: behind the last, or when one that was not sent is tried again.
    next: Option<Timestamp>,
    /// How often in a row the mail server was not reached.
    failures: u32,
}

impl Digests {
    fn all(&self) -> MutexGuard<'_, HashMap<OwnerId, Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note(&self, owner: OwnerId) {
        self.all().entry(owner).or_default().news = true;
    }

    /// Owners whose digest is due. None of them counts as told before [`Digests::note_sent`].
    fn list_due(&self, now: Timestamp) -> Vec<OwnerId> {
        let mut all = self.all();
        let has_rested = |digest: &Digest| digest.next.is_none_or(|next| next <= now);
        all.retain(|_, digest| digest.news || !has_rested(digest));
        all.iter().filter(|(_, digest)| digest.news && has_rested(digest)).map(|(owner, _)| owner.clone()).collect()
    }

    /// Before what is to be told is read: what comes after that is news again.
    fn note_read(&self, owner: &OwnerId) {
        if let Some(digest) = self.all().get_mut(owner) {
            digest.news = false;
        }
    }

    /// She is told, or nobody can tell her.
    fn note_sent(&self, owner: OwnerId, now: Timestamp) {
        let mut all = self.all();
        let digest = all.entry(owner).or_default();
        (digest.next, digest.failures) = (Some(now.plus(INTERVAL)), 0);
    }

    /// She is not told, and will be: each time after a longer while.
    fn note_unsent(&self, owner: OwnerId, now: Timestamp) {
        let mut all = self.all();
        let digest = all.entry(owner).or_default();
        let wait = FIRST_PAUSE.saturating_mul(1 << digest.failures.min(10)).min(INTERVAL);
        *digest = Digest { news: true, next: Some(now.plus(wait)), failures: digest.failures.saturating_add(1) };
    }
}

impl AuthorizationServer {
    /// Sends what is due. What goes wrong with one owner's digest is said of it, and keeps no other's from going.
    pub async fn send_digests(&self) -> Result<(), Failure> {
        for owner in self.digests.list_due(self.now()) {
            self.digests.note_read(&owner);
            match self.send_digest(&owner).await {
                Ok(()) => self.digests.note_sent(owner, self.now()),
                Err(Failure::Refused(refusal)) => {
                    tracing::warn!(%refusal, "the mail server takes no digest for an owner");
                    self.digests.note_sent(owner, self.now());
                }
                Err(error) => {
                    tracing::error!(%error, "a digest could not be sent to an owner, and is tried again");
                    self.digests.note_unsent(owner, self.now());
                }
            }
        }
        Ok(())
    }

    async fn send_digest(&self, owner: &OwnerId) -> Result<(), Failure> {
        let account = self.identity.store.find_account(owner).await?;
        let Some(address) = account.as_ref().and_then(|account| account.verified_email()) else { return Ok(()) };
        let all = self.store.list_waiting_requests(owner, Timestamp(i64::MAX)).await?;
        let waiting = all.iter().filter(|request| request.is_pending(self.now())).count();
        if waiting == 0 {
            return Ok(());
        }
        let (requests, wait) = if waiting == 1 { ("request", "waits") } else { ("requests", "wait") };
        let subject = format!("{waiting} {requests} for access {wait} for you");
        let url = self.identity.url(types::path::MY_REQUESTS);
        let text = format!(
            "{subject}.\n\nSee who asks for what, and decide:\n{url}\n\nYou get such a mail once in 15 minutes at most.\n"
        );
        Ok(self.mailer.send(Message::new(address, subject, text)?).await?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digest_in_a_quarter_of_an_hour() {
        let (digests, alice) = (Digests::default(), OwnerId::new("alice"));
        let due = |at: i64| {
            let due = digests.list_due(Timestamp(at));
            for owner in &due {
                digests.note_read(owner);
                digests.note_sent(owner.clone(), Timestamp(at));
            }
            due.len()
        };
        assert_eq!(due(0), 0);
        digests.note(alice.clone());
        assert_eq!((due(0), due(1)), (1, 0));
        digests.note(alice.clone());
        digests.note(alice);
        assert_eq!((due(899), due(900), due(901)), (0, 1, 0));
        due(5_000);
        assert!(digests.all().is_empty(), "nobody is remembered for ever");
    }

    #[test]
    fn threat_46_what_was_not_sent_is_tried_again_after_a_longer_while_each_time() {
        let (digests, alice) = (Digests::default(), OwnerId::new("alice"));
        digests.note(alice.clone());
        let mut now = 0;
        for wait in [30, 60, 120, 240, 480, 900, 900] {
            assert_eq!(digests.list_due(Timestamp(now)), [alice.clone()]);
            digests.note_read(&alice);
            digests.note_unsent(alice.clone(), Timestamp(now));
            assert!(digests.list_due(Timestamp(now + wait - 1)).is_empty());
            now += wait;
        }
        // what comes while one is sent is told with the next one
        digests.note_read(&alice);
        digests.note(alice.clone());
        digests.note_sent(alice.clone(), Timestamp(now));
        assert_eq!((digests.list_due(Timestamp(now + 899)).len(), digests.list_due(Timestamp(now + 900)).len()), (0, 1));
    }
}
