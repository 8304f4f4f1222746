//! Checking JWT RPTs without asking about each (protocol.md 4): their signature by the authorization server's
//! keys, and what was revoked by one long poll per owner. Called by the guard.
//!
//! While the revocations cannot be read, JWT RPTs count for 60 seconds more, and then as if there were no PAT;
//! without a PAT only those count that live 60 seconds or less.

mod feed;

use crate::fetched_keys::FetchedKeys;
use crate::protection::{Protection, ProtectionError};
use async_trait::async_trait;
use feed::Feed;
use jose::{KeySet, UnverifiedJws, digest};
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use serde::Deserialize;
use serde_json::Value;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use types::introspection::Introspection;
use types::{ClientId, GrantedPermission, Timestamp};

/// How long tokens count after the revocations were last read, and how long one may live that counts anyway.
const BLIND: i64 = 60;
const BLIND_TIME: Duration = Duration::from_secs(60);
/// A key that is not known may be new; the keys are not read more often than this for it.
const KEYS_AT_MOST: Duration = Duration::from_secs(10);
/// A poll is answered within 25 seconds, the first one at once.
const POLL: Duration = Duration::from_secs(30);
const FIRST_POLL: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_secs(1);
/// Polls that wait for news at one server at a time: it may have few connections. The revocations of other owners are read
/// again and again.
const MOST_POLLS: usize = 64;
const WITHOUT_POLL: Duration = Duration::from_secs(5);
/// Polls that may be answered at once, one after the other; then each waits for a pause.
const QUICK_POLLS: usize = 10;
/// Longest id of a token.
const MAX_JTI: usize = 256;
/// Tokens that are kept at one time.
const MOST_SIGNED: usize = 10_000;

/// Who has the PATs.
#[async_trait]
pub trait PatSource: Send + Sync {
    /// A PAT of this owner that is good for a minute at least.
    async fn pat(&self, owner: &str) -> Result<String, ProtectionError>;
}

/// A JWT RPT whose signature held.
pub(crate) struct Signed {
    jti: String,
    lifetime: i64,
    pub(crate) answer: Arc<Introspection>,
}

/// Tokens count by what they hold: who signs them chooses how much that is.
#[derive(Clone)]
struct BySize;

impl Weighter<[u8; 32], Arc<Signed>> for BySize {
    fn weight(&self, _: &[u8; 32], signed: &Arc<Signed>) -> u64 {
        signed.answer.approximate_bytes()
    }
}

#[derive(Deserialize)]
struct Claims {
    iss: String,
    aud: Value,
    jti: String,
    /// RFC 7519 4.1.5.
    #[serde(default)]
    nbf: Option<Timestamp>,
    iat: Timestamp,
    exp: Timestamp,
    #[serde(default)]
    sub: Option<String>,
    #[serde(default)]
    email: Option<String>,
    #[serde(rename = "_is_owner", default)]
    is_owner: Option<bool>,
    #[serde(default)]
    client_id: Option<ClientId>,
    #[serde(default)]
    permissions: Vec<GrantedPermission>,
    #[serde(default)]
    cnf: Option<Value>,
}

/// The offline check.
#[derive(Clone)]
pub struct Offline(Arc<Inner>);

struct Inner {
    /// What `aud` may be: the `resource`, or the client id of one that has none.
    audiences: Vec<String>,
    keys: FetchedKeys,
    signed: Cache<[u8; 32], Arc<Signed>, BySize>,
    feeds: Mutex<HashMap<String, Arc<Feed>>>,
    /// Long polls that may be under way.
    polls: Arc<Semaphore>,
}

impl Offline {
    pub fn new(resource: &str, client_id: &str, most_bytes: u64) -> Self {
        Self(Arc::new(Inner {
            audiences: [resource, client_id].into_iter().filter(|one| !one.is_empty()).map(str::to_owned).collect(),
            keys: FetchedKeys::default(),
            signed: Cache::with_weighter(MOST_SIGNED, most_bytes, BySize),
            feeds: Mutex::default(),
            polls: Arc::new(Semaphore::new(MOST_POLLS)),
        }))
    }

    /// Whether a token is one that is checked here, without asking.
    pub(crate) fn is_checked_here(token: &str) -> bool {
        token.matches('.').count() == 2
    }

    /// A JWT RPT whose signature holds; none where it does not.
    pub(crate) async fn read(&self, protection: &Protection, token: &str) -> Result<Option<Arc<Signed>>, ProtectionError> {
        self.0.signature(protection, token).await
    }

    /// Whether this owner's revocations are read already.
    pub(crate) fn follows(&self, owner: &str) -> bool {
        self.0.feeds.lock().unwrap_or_else(PoisonError::into_inner).contains_key(owner)
    }

    /// What it says, as introspection would; inactive where it does not count. The owner's revocations are read from now on:
    /// whoever calls names her by the path, so a token that permits nothing of hers does not come so far (threat 46).
    pub(crate) async fn check(
        &self,
        protection: &Protection,
        pats: &Arc<dyn PatSource>,
        owner: &str,
        signed: &Signed,
    ) -> Result<Arc<Introspection>, ProtectionError> {
        let feed = match self.0.feed(owner) {
            Found::Known(feed) => feed,
            Found::New(feed) => {
                self.follow(protection, pats, owner, &feed);
                feed
            }
        };
        feed.wait_for_a_look(signed.needs_no_look()).await;
        let state = feed.state.lock().unwrap_or_else(PoisonError::into_inner);
        match state.counts(signed) {
            true => Ok(signed.answer.clone()),
            // whether it was revoked, nobody could be asked yet
            false if state.is_unknown() => Err(ProtectionError::Unreachable),
            false => Ok(Arc::new(Introspection::inactive())),
        }
    }

    /// Reads the revocations of an owner on and on in the background.
    fn follow(&self, protection: &Protection, pats: &Arc<dyn PatSource>, owner: &str, feed: &Arc<Feed>) {
        let reader = Reader { protection: protection.clone(), pats: pats.clone(), owner: owner.to_owned(), feed: feed.clone() };
        let (inner, polls) = (Arc::downgrade(&self.0), self.0.polls.clone());
        tokio::spawn(async move {
            let (mut patience, mut quick) = (FIRST_POLL, 0_usize);
            while reader.feed.is_wanted() && inner.strong_count() > 0 {
                let begun = Instant::now();
                let long = polls.try_acquire().ok();
                let was_answered = reader.read(patience, long.is_some()).await;
                reader.feed.was_looked_at.send_replace(true);
                if long.is_none() {
                    tokio::time::sleep(WITHOUT_POLL).await;
                }
                drop(long);
                quick = if begun.elapsed() < PAUSE { quick.saturating_add(1) } else { 0 };
                if was_answered {
                    patience = POLL;
                }
                // a server that always has news is not asked as fast as it answers
                if !was_answered || quick > QUICK_POLLS {
                    tokio::time::sleep(PAUSE).await;
                }
            }
            // whoever comes next begins anew
            if let Some(inner) = inner.upgrade() {
                inner.feeds.lock().unwrap_or_else(PoisonError::into_inner).remove(&reader.owner);
            }
        });
    }
}

/// An owner's revocations, and whether somebody follows them already.
enum Found {
    Known(Arc<Feed>),
    New(Arc<Feed>),
}

impl Inner {
    fn feed(&self, owner: &str) -> Found {
        let mut feeds = self.feeds.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(feed) = feeds.get(owner) {
            feed.state.lock().unwrap_or_else(PoisonError::into_inner).used = Some(Instant::now());
            return Found::Known(feed.clone());
        }
        let feed = Arc::new(Feed::new());
        feeds.insert(owner.to_owned(), feed.clone());
        Found::New(feed)
    }

    /// Signature, type, issuer, audience and times (RFC 9068 4); none where one of them is wrong.
    async fn signature(&self, protection: &Protection, token: &str) -> Result<Option<Arc<Signed>>, ProtectionError> {
        let now = protection.client.clock.now();
        let key = digest::sha256(&[token.as_bytes()]);
        if let Some(signed) = self.signed.get(&key) {
            return Ok(Some(signed).filter(|signed| signed.answer.exp.is_some_and(|exp| now < exp)));
        }
        let Some(claims) = Box::pin(self.verify(protection, token)).await? else { return Ok(None) };
        let for_us = match &claims.aud {
            Value::String(audience) => self.audiences.contains(audience),
            Value::Array(all) => all.iter().filter_map(Value::as_str).any(|one| self.audiences.iter().any(|own| own == one)),
            _ => false,
        };
        let has_begun = |begin: Timestamp| begin <= now.plus(BLIND);
        let in_time = has_begun(claims.iat) && claims.nbf.is_none_or(has_begun) && now < claims.exp;
        if !for_us || !in_time || claims.iss != protection.metadata.issuer || claims.jti.len() > MAX_JTI {
            return Ok(None);
        }
        let lifetime = claims.iat.until(claims.exp);
        let answer = Introspection {
            active: true,
            permissions: Some(claims.permissions),
            client_id: claims.client_id,
            sub: claims.sub,
            email: claims.email,
            is_owner: claims.is_owner,
            iss: Some(claims.iss),
            exp: Some(claims.exp),
            iat: Some(claims.iat),
            cnf: claims.cnf,
            ..Introspection::default()
        };
        // they are kept, and told to owners
        if !answer.names_shortly() {
            return Ok(None);
        }
        let signed = Arc::new(Signed { jti: claims.jti, lifetime, answer: Arc::new(answer) });
        self.signed.insert(key, signed.clone());
        Ok(Some(signed))
    }

    async fn verify(&self, protection: &Protection, token: &str) -> Result<Option<Claims>, ProtectionError> {
        let by = |keys: &KeySet| {
            let jws = UnverifiedJws::parse(token).and_then(|jws| jws.expect_type("at+jwt")).and_then(|jws| jws.verify(keys));
            jws.and_then(|jws| jws.claims::<Claims>()).map(jose::Verified::into_inner)
        };
        match by(&self.keys.known()) {
            Ok(claims) => return Ok(Some(claims)),
            // only a key that is not known yet is worth a look at the issuer's keys
            Err(jose::JwsError::NoKey) => {}
            Err(_) => return Ok(None),
        }
        let keys = self.keys.read(&protection.client.outbound, &protection.metadata.jwks_uri, KEYS_AT_MOST).await?;
        Ok(by(&keys).ok())
    }
}

impl Signed {
    /// One that lives so shortly counts also where the revocations cannot be read.
    fn needs_no_look(&self) -> bool {
        self.lifetime <= BLIND
    }
}

/// Reads one owner's revocations.
struct Reader {
    protection: Protection,
    pats: Arc<dyn PatSource>,
    owner: String,
    feed: Arc<Feed>,
}

impl Reader {
    fn next(&self) -> String {
        self.feed.state.lock().unwrap_or_else(PoisonError::into_inner).next.clone()
    }

    /// One poll, which waits for news or does not; whether it was answered.
    async fn read(&self, patience: Duration, waits: bool) -> bool {
        let (begun, patience) = (Instant::now(), if waits { patience } else { FIRST_POLL });
        // without a cursor it is answered at once
        let after = if waits { self.next() } else { String::new() };
        let answer = match self.pats.pat(&self.owner).await {
            Ok(pat) => self.protection.revocations(&pat, &after, patience).await,
            Err(error) => Err(error),
        };
        let now = self.protection.client.clock.now();
        let mut state = self.feed.state.lock().unwrap_or_else(PoisonError::into_inner);
        match answer {
            Ok(news) => {
                state.learn(news, now);
                true
            }
            Err(error) => {
                tracing::warn!(%error, owner = self.owner, "the revocations cannot be read");
                // one that was never answered may have been cut off at its beginning
                let cut_off = begun.elapsed() >= patience;
                state.failing.get_or_insert_with(|| if cut_off { begun } else { Instant::now() });
                state.ended |= error == ProtectionError::Unauthorized;
                state.refused |= matches!(error, ProtectionError::Refused(_));
                false
            }
        }
    }
}

#[cfg(test)]
mod tests;
