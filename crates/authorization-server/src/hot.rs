//! Answers that are kept in memory while nothing they rest on has changed: whose PAT a text is, and what
//! introspection says of an RPT. Not a cache with a lifetime: each entry carries the owner's *epoch*, which
//! the store raises before it acknowledges any change that can take something away from her things, and an
//! entry of another epoch does not count. So a withdrawn share is gone from the next answer on.

use crate::AuthorizationServer;
use bytes::Bytes;
use identity::access_token::{Presented, ProtectionToken};
use identity::{Failure, internal};
use jose::digest;
use quick_cache::sync::Cache;
use rules::rpt::Basis;
use std::sync::Arc;
use types::introspection::Introspection;
use types::{OwnerId, Timestamp};

/// How many answers are kept.
const ANSWERS: usize = 50_000;
const PATS: usize = 10_000;

type Hash = [u8; 32];

#[derive(Clone)]
struct Kept<T> {
    value: T,
    owner: OwnerId,
    epoch: u64,
    until: Timestamp,
}

/// What is kept.
pub(crate) struct Hot {
    pats: Cache<Hash, Kept<Arc<ProtectionToken>>>,
    /// By token and PAT grant.
    answers: Cache<Hash, Kept<Bytes>>,
}

impl Default for Hot {
    fn default() -> Self {
        Self { pats: Cache::new(PATS), answers: Cache::new(ANSWERS) }
    }
}

impl AuthorizationServer {
    fn stands<T>(&self, kept: &Kept<T>) -> bool {
        self.now() < kept.until && self.store.epoch(&kept.owner) == kept.epoch
    }

    /// The protection API's door, kept. A DPoP-bound PAT is checked anew each time: its proof is new.
    pub async fn check_pat(&self, presented: &Presented<'_>) -> Result<Arc<ProtectionToken>, Failure> {
        let key = digest::sha256(&[presented.token.as_bytes()]);
        if !presented.dpop_scheme
            && let Some(kept) = self.hot.pats.get(&key).filter(|kept| self.stands(kept))
        {
            return Ok(kept.value);
        }
        let (pat, _) = self.identity.check_pat_until(presented).await?;
        if presented.dpop_scheme {
            return Ok(Arc::new(pat));
        }
        // whose epoch it is, only the PAT says: so it is read once more after the epoch. A change in between
        // makes the entry worthless, never wrong.
        let epoch = self.store.epoch(&pat.owner);
        let (pat, until) = self.identity.check_pat_until(presented).await?;
        let pat = Arc::new(pat);
        self.hot.pats.insert(key, Kept { value: pat.clone(), owner: pat.owner.clone(), epoch, until });
        Ok(pat)
    }

    /// Introspection by PAT as the bytes of its JSON, kept.
    pub async fn introspect_kept(&self, pat: &ProtectionToken, token: &str) -> Result<Bytes, Failure> {
        let key = digest::sha256(&[pat.grant.as_str().as_bytes(), b"\0", token.as_bytes()]);
        if let Some(kept) = self.hot.answers.get(&key).filter(|kept| self.stands(kept)) {
            return Ok(kept.value);
        }
        let epoch = self.store.epoch(&pat.owner);
        let (answer, until) = self.introspect_until(pat, token).await?;
        let bytes = Bytes::from(serde_json::to_vec(&answer).map_err(internal)?);
        if let Some(until) = until {
            self.hot.answers.insert(key, Kept { value: bytes.clone(), owner: pat.owner.clone(), epoch, until });
        }
        Ok(bytes)
    }

    /// An answer, and until when it stays the same if nothing changes; inactive ones are not kept.
    async fn introspect_until(&self, pat: &ProtectionToken, token: &str) -> Result<(Introspection, Option<Timestamp>), Failure> {
        let (answer, scopes) = self.introspect_with_scopes(pat, token).await?;
        let ends = scopes.iter().flat_map(|granted| &granted.basis).filter_map(|basis| match basis {
            Basis::Policy { expires_at, .. } => *expires_at,
            Basis::Approval { expires_at, .. } => Some(*expires_at),
        });
        let until = answer.exp.map(|exp| ends.fold(exp, Timestamp::min));
        Ok((answer, until))
    }
}
