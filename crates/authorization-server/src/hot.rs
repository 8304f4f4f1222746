//! Answers that are kept in memory while nothing they rest on has changed: whose PAT a text is, and what
//! introspection says of an RPT. Not a cache with a lifetime: each entry carries the owner's *epoch*, which
//! the store raises before it acknowledges any change that can take something away from her things, and an
//! entry of another epoch does not count. So a withdrawn share is gone from the next answer on.
//!
//! Answers about RPTs of one grant to one party differ in their times alone. So the rest of an answer is kept
//! once, under its own digest, and each RPT holds only that and its times: a million of them fit into memory.

use crate::AuthorizationServer;
use bytes::Bytes;
use identity::access_token::{Presented, ProtectionToken};
use identity::{Failure, internal};
use jose::digest;
use quick_cache::sync::Cache;
use rules::rpt::Basis;
use std::fmt::Write as _;
use std::sync::Arc;
use types::introspection::Introspection;
use types::{OwnerId, Timestamp};

/// How many RPTs are known by their answers, each in some 60 bytes.
const ANSWERS: usize = 1 << 20;
/// How many answers are kept as they go out.
const WRITTEN: usize = 20_000;
/// How many different answers, times aside.
const TELLINGS: usize = 50_000;
const PATS: usize = 10_000;

type Hash = [u8; 32];
/// Half a SHA-256: enough to tell secrets and texts of ours apart.
type Short = [u8; 16];

fn short(parts: &[&[u8]]) -> Short {
    let mut short = [0; 16];
    short.iter_mut().zip(digest::sha256(parts)).for_each(|(to, from)| *to = from);
    short
}

#[derive(Clone)]
struct KeptPat {
    pat: Arc<ProtectionToken>,
    epoch: u64,
    until: Timestamp,
}

/// An answer without its times, and without the brace at its end.
struct Telling {
    text: String,
    owner: OwnerId,
    epoch: u64,
}

#[derive(Clone, Copy)]
struct Answer {
    telling: Short,
    iat: Timestamp,
    /// Seconds from `iat` to the token's end.
    lifetime: u32,
    /// Seconds from `iat` until the answer may be another by itself.
    good_for: u32,
}

/// An answer as it goes out.
#[derive(Clone)]
struct Written {
    bytes: Bytes,
    epoch: u64,
    until: Timestamp,
}

/// What is kept.
pub(crate) struct Hot {
    written: Cache<Short, Written>,
    pats: Cache<Hash, KeptPat>,
    /// By token and PAT grant.
    answers: Cache<Short, Answer>,
    tellings: Cache<Short, Arc<Telling>>,
}

impl Default for Hot {
    fn default() -> Self {
        Self {
            written: Cache::new(WRITTEN),
            pats: Cache::new(PATS),
            answers: Cache::new(ANSWERS),
            tellings: Cache::new(TELLINGS),
        }
    }
}

impl Answer {
    fn until(&self) -> Timestamp {
        self.iat.plus(i64::from(self.good_for))
    }

    fn to_json(self, telling: &str) -> Bytes {
        let mut text = String::with_capacity(telling.len().saturating_add(48));
        text.push_str(telling);
        let exp = self.iat.plus(i64::from(self.lifetime));
        // writing into a string cannot fail
        let _ = write!(text, ",\"exp\":{},\"iat\":{}}}", exp.0, self.iat.0);
        Bytes::from(text)
    }
}

impl AuthorizationServer {
    /// The protection API's door, kept. A DPoP-bound PAT is checked anew each time: its proof is new.
    pub async fn check_pat(&self, presented: &Presented<'_>) -> Result<Arc<ProtectionToken>, Failure> {
        let key = digest::sha256(&[presented.token.as_bytes()]);
        if !presented.dpop_scheme
            && let Some(kept) = self.hot.pats.get(&key)
            && self.now() < kept.until
            && self.store.epoch(&kept.pat.owner) == kept.epoch
        {
            return Ok(kept.pat);
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
        self.hot.pats.insert(key, KeptPat { pat: pat.clone(), epoch, until });
        Ok(pat)
    }

    /// Introspection by PAT as the bytes of its JSON, kept.
    pub async fn introspect_kept(&self, pat: &ProtectionToken, token: &str) -> Result<Bytes, Failure> {
        let key = short(&[pat.grant.as_str().as_bytes(), b"\0", token.as_bytes()]);
        let (epoch, now) = (self.store.epoch(&pat.owner), self.now());
        // the key has the PAT's grant in it, so the owner is hers
        if let Some(written) = self.hot.written.get(&key).filter(|written| written.epoch == epoch && now < written.until) {
            return Ok(written.bytes);
        }
        if let Some(answer) = self.hot.answers.get(&key)
            && now < answer.until()
            && let Some(telling) = self.hot.tellings.get(&answer.telling)
            && telling.epoch == epoch
            && telling.owner == pat.owner
        {
            let bytes = answer.to_json(&telling.text);
            // asked for again: likely once more
            self.hot.written.insert(key, Written { bytes: bytes.clone(), epoch, until: answer.until() });
            return Ok(bytes);
        }
        let (answer, until) = self.introspect_until(pat, token).await?;
        match (answer.iat, answer.exp, until) {
            (Some(iat), Some(exp), Some(until)) => {
                let seconds = |to: Timestamp| u32::try_from(iat.until(to)).unwrap_or(u32::MAX);
                let text = without_times(answer)?;
                let telling = short(&[&epoch.to_be_bytes(), pat.owner.as_str().as_bytes(), b"\0", text.as_bytes()]);
                let answer = Answer { telling, iat, lifetime: seconds(exp), good_for: seconds(until) };
                let bytes = answer.to_json(&text);
                self.hot.tellings.insert(telling, Arc::new(Telling { text, owner: pat.owner.clone(), epoch }));
                self.hot.answers.insert(key, answer);
                Ok(bytes)
            }
            _ => Ok(Bytes::from(serde_json::to_vec(&answer).map_err(internal)?)),
        }
    }

    /// An answer, and until when it stays the same if nothing changes; inactive ones are not kept.
    async fn introspect_until(&self, pat: &ProtectionToken, token: &str) -> Result<(Introspection, Option<Timestamp>), Failure> {
        let (answer, scopes) = self.introspect_with_scopes(pat, token).await?;
        let ends = scopes.iter().flat_map(|granted| &granted.basis).filter_map(Basis::expires_at);
        let until = answer.exp.map(|exp| ends.fold(exp, Timestamp::min));
        Ok((answer, until))
    }
}

fn without_times(answer: Introspection) -> Result<String, Failure> {
    let mut text = serde_json::to_string(&Introspection { iat: None, exp: None, ..answer }).map_err(internal)?;
    // the brace; what comes behind it is never the first member
    text.pop();
    Ok(text)
}
