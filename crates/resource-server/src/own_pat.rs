//! The PAT of a service with one owner (Federated Authorization 1.3), by client credentials. Whoever has one that is good
//! waits for nobody: it is got anew in the background before it ends. One at a time asks for it, and a failure is
//! remembered for a moment. Called by the layer.

use crate::protection::{Protection, ProtectionError};
use client::ClientError;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use types::Timestamp;
use types::token::UMA_PROTECTION;

/// How long is waited for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long nobody is asked again after a failure.
const RESTED: Duration = Duration::from_secs(2);
/// Seconds before its end from which another is got; less where it lives shortly.
const RENEWED_BEFORE: i64 = 60;
/// Seconds that one must still be good to be used.
const LEFT: i64 = 2;
/// Seconds that one is taken to live of which that is not said.
const USUAL_LIFE: i64 = 300;

struct Kept {
    pat: String,
    renew: Timestamp,
    until: Timestamp,
    got: Instant,
}

#[derive(Default)]
pub(crate) struct OwnPat {
    kept: Mutex<Option<Kept>>,
    failed: Mutex<Option<Instant>>,
    /// Held while one is got; nobody who has one takes it.
    getting: tokio::sync::Mutex<()>,
}

impl OwnPat {
    /// One that is good.
    pub(crate) async fn get(self: &Arc<Self>, protection: &Protection) -> Result<String, ProtectionError> {
        let now = protection.client.clock.now();
        let Some((pat, is_due)) = self.good(now) else { return self.renew(protection).await };
        if is_due && !self.has_just_failed() && self.getting.try_lock().is_ok() {
            let (own, protection) = (self.clone(), protection.clone());
            tokio::spawn(async move {
                if let Err(error) = own.renew(&protection).await {
                    tracing::warn!(%error, "the PAT cannot be got anew yet");
                }
            });
        }
        Ok(pat)
    }

    /// What is kept, good or not; empty: nothing.
    pub(crate) fn kept(&self) -> String {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().map(|kept| kept.pat.clone()).unwrap_or_default()
    }

    /// After the server refused this one. Another that was got meanwhile stays; and a server that refuses what it gave a moment
    /// ago is not asked again for a moment.
    pub(crate) fn forget(&self, refused: &str) {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(one) = kept.take_if(|kept| kept.pat == refused) else { return };
        if one.got.elapsed() < RESTED {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        }
    }

    /// What is kept and good, and whether another is due.
    fn good(&self, now: Timestamp) -> Option<(String, bool)> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.as_ref().filter(|kept| now.plus(LEFT) < kept.until).map(|kept| (kept.pat.clone(), kept.renew <= now))
    }

    fn has_just_failed(&self) -> bool {
        let failed = self.failed.lock().unwrap_or_else(PoisonError::into_inner);
        failed.is_some_and(|when| when.elapsed() < RESTED)
    }

    async fn renew(&self, protection: &Protection) -> Result<String, ProtectionError> {
        let _turn = self.getting.lock().await;
        let now = protection.client.clock.now();
        if let Some((pat, false)) = self.good(now) {
            return Ok(pat);
        }
        if self.has_just_failed() {
            return Err(ProtectionError::Unreachable);
        }
        let asked = protection.client.client_credentials(&protection.metadata, UMA_PROTECTION);
        let answer = match tokio::time::timeout(PATIENCE, asked).await {
            Ok(answer) => answer.map_err(|error: ClientError| error.into()),
            Err(_) => Err(ProtectionError::Unreachable),
        };
        let tokens = answer.inspect_err(|_| {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
        })?;
        let life = tokens.expires_in.unwrap_or(USUAL_LIFE).max(0);
        let kept = Kept {
            pat: tokens.access_token.clone(),
            renew: now.plus(life.saturating_sub(RENEWED_BEFORE.min(life / 2))),
            until: now.plus(life),
            got: Instant::now(),
        };
        *self.kept.lock().unwrap_or_else(PoisonError::into_inner) = Some(kept);
        Ok(tokens.access_token)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threat_46_a_pat_that_was_refused_is_forgotten_and_no_other() {
        let own = OwnPat::default();
        let keep = |pat: &str, got: Instant| {
            let (renew, until) = (Timestamp(i64::MAX), Timestamp(i64::MAX));
            *own.kept.lock().unwrap() = Some(Kept { pat: pat.to_owned(), renew, until, got });
        };
        let long_ago = Instant::now().checked_sub(RESTED * 2).unwrap();
        keep("new", long_ago);
        own.forget("old");
        assert_eq!(own.kept(), "new", "another call has just got it");
        own.forget("new");
        assert!(own.kept().is_empty() && !own.has_just_failed(), "the next call gets another at once");
        keep("newer", Instant::now());
        own.forget("newer");
        assert!(own.kept().is_empty() && own.has_just_failed(), "who refuses what it has just given is left alone");
    }
}
