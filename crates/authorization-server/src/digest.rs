//! Mail that tells an owner that somebody waits for her answer (protocol.md 1.4): at most one in 15 minutes,
//! plain text, and nothing in it that a client or a stranger wrote. Called by the wiring, every few seconds.

use crate::AuthorizationServer;
use crate::mailer::Message;
use identity::Failure;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::{OwnerId, Timestamp};

/// Seconds between two digests to one owner.
const INTERVAL: i64 = 900;

/// Who is to be told. In memory: after a restart the next request tells her.
#[derive(Default)]
pub(crate) struct Digests(Mutex<HashMap<OwnerId, Digest>>);

#[derive(Clone, Copy, Default)]
struct Digest {
    news: bool,
    sent: Option<Timestamp>,
}

impl Digests {
    pub(crate) fn note(&self, owner: OwnerId) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(owner).or_default().news = true;
    }

    /// Owners whose digest is due; they count as told from now on.
    fn take_due(&self, now: Timestamp) -> Vec<OwnerId> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let rested = |digest: &Digest| digest.sent.is_none_or(|sent| sent.plus(INTERVAL) <= now);
        let mut due = Vec::new();
        for (owner, digest) in all.iter_mut().filter(|(_, digest)| digest.news && rested(digest)) {
            *digest = Digest { news: false, sent: Some(now) };
            due.push(owner.clone());
        }
        all.retain(|_, digest| digest.news || !rested(digest));
        due
    }
}

impl AuthorizationServer {
    /// Sends what is due.
    pub async fn send_digests(&self) -> Result<(), Failure> {
        for owner in self.digests.take_due(self.now()) {
            let account = self.identity.store.find_account(&owner).await?;
            let Some(address) = account.as_ref().and_then(|account| account.verified_email()) else { continue };
            let all = self.store.list_waiting_requests(&owner, Timestamp(i64::MAX)).await?;
            let waiting = all.iter().filter(|request| request.is_pending(self.now())).count();
            if waiting == 0 {
                continue;
            }
            let (requests, wait) = if waiting == 1 { ("request", "waits") } else { ("requests", "wait") };
            let subject = format!("{waiting} {requests} for access {wait} for you");
            let url = self.identity.url(types::path::MY_REQUESTS);
            let text = format!(
                "{subject}.\n\nSee who asks for what, and decide:\n{url}\n\nYou get such a mail once in 15 minutes at most.\n"
            );
            let sent = match Message::new(address, subject, text) {
                Ok(message) => self.mailer.send(message).await.map_err(Failure::from),
                Err(error) => Err(error),
            };
            if let Err(error) = sent {
                tracing::warn!(?error, "a digest was not sent");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_digest_in_a_quarter_of_an_hour() {
        let (digests, alice) = (Digests::default(), OwnerId::new("alice"));
        let due = |at: i64| digests.take_due(Timestamp(at)).len();
        assert_eq!(due(0), 0);
        digests.note(alice.clone());
        assert_eq!((due(0), due(1)), (1, 0));
        digests.note(alice.clone());
        digests.note(alice);
        assert_eq!((due(899), due(900), due(901)), (0, 1, 0));
        due(5_000);
        assert!(digests.0.lock().unwrap().is_empty(), "nobody is remembered for ever");
    }
}
