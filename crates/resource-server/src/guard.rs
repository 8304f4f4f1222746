//! Checking a presented RPT (Grant 3.5, Federated Authorization 5): by introspection, whose answer is
//! kept for a second at most, or a JWT RPT by itself (`offline.rs`).

use crate::offline::{Offline, PatSource};
use crate::protection::{Protection, ProtectionError};
use async_trait::async_trait;
use jose::digest;
use jose::dpop::Seen;
use quick_cache::Weighter;
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::introspection::Introspection;
use types::{GrantedPermission, PermissionRequest, ResourceId, ScopeSet, Timestamp};

/// How long an introspection answer is kept: a second at most (protocol.md 4), counted from before the question was asked,
/// with room for the way of the answer. By a clock that nobody sets: what is withdrawn must not come back with the hour.
const KEPT: Duration = Duration::from_millis(800);
/// Answers that are kept at one time, and how much they may be together, in bytes.
const MOST_KEPT: usize = 10_000;
pub(crate) const MOST_BYTES: u64 = 64 * 1024 * 1024;

/// What a call needs: scopes on a resource, all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Need {
    pub resource: ResourceId,
    pub scopes: ScopeSet,
}

impl Need {
    pub fn to_request(&self) -> PermissionRequest {
        PermissionRequest { resource_id: self.resource.clone(), resource_scopes: self.scopes.clone() }
    }
}

/// The token of a call, and what it is presented with.
#[derive(Clone, Copy)]
pub struct Presented<'a> {
    /// The `Authorization` header.
    pub authorization: Option<&'a str>,
    /// The `DPoP` header.
    pub dpop: Option<&'a str>,
    pub method: &'a str,
    /// The URL that was called, without query.
    pub url: &'a str,
}

/// What the guard says.
#[derive(Clone, Debug, PartialEq)]
pub enum Verdict {
    /// With the permissions that count.
    Allowed(Arc<Introspection>),
    /// Nobody there knows the token: answer as to a call without one (Part Y 1).
    Unknown,
    /// No token, or not one for this: answer likewise.
    Insufficient,
    /// The same, of one that is bound to a key which nobody proved: that is told as well (RFC 9449 7.1).
    Unproven,
    Failed(ProtectionError),
}

/// An answer, and when it was asked for.
#[derive(Clone)]
struct Kept {
    asked: Instant,
    answer: Arc<Introspection>,
}

/// Answers count by what they hold: who gives them chooses how much that is.
#[derive(Clone, Copy)]
pub(crate) struct BySize;

impl Weighter<[u8; 32], Kept> for BySize {
    fn weight(&self, _: &[u8; 32], kept: &Kept) -> u64 {
        kept.answer.approximate_bytes()
    }
}

/// Judges tokens, and keeps answers for a second.
pub struct Guard {
    kept: Cache<[u8; 32], Kept, BySize>,
    /// Of the whole resource server: a proof is for one call, whoever issued its token.
    proofs: Arc<Seen>,
    offline: Option<Offline>,
}

/// What of a token's permissions counts here (protocol.md 3).
#[async_trait]
pub trait Narrow: Send + Sync {
    /// The permissions, each as far as it counts, by the ids that the needs of the call have. An error: it cannot be told
    /// right now, and nothing passes.
    async fn narrow(&self, answer: &Arc<Introspection>, now: Timestamp) -> Result<Vec<GrantedPermission>, ProtectionError>;
}

/// Where a call waits before somebody is asked about its token.
#[async_trait]
pub trait Turns: Send + Sync {
    /// A turn, to be held while this token is asked about with this PAT. An error: there is none, and nobody is asked.
    async fn wait(&self, token: &str, pat: &str) -> Result<Turn, ProtectionError>;
}

/// Leave to ask.
#[derive(Default)]
pub struct Turn {
    /// Where only so many ask at a time.
    pub place: Option<outbound::Place>,
    /// For whom is asked, where many call one place.
    pub by: outbound::Party,
}

/// How often a look at what is under way is tried that could not ask, since too many from here did already.
const LOOKS: usize = 3;

/// Without anybody to ask, a permission that carries an owner's token counts for nothing: nobody checked it.
fn unsigned(answer: &Introspection) -> Vec<GrantedPermission> {
    answer.permissions.iter().flatten().filter(|permission| permission.authority.is_none()).cloned().collect()
}

/// Whose protection a call is under.
#[derive(Clone, Copy)]
pub struct Under<'a> {
    pub protection: &'a Protection,
    pub pats: &'a Arc<dyn PatSource>,
    /// As `pats` knows the owner.
    pub owner: &'a str,
    pub narrow: Option<&'a dyn Narrow>,
    /// None: nobody waits.
    pub line: Option<&'a dyn Turns>,
}

impl Under<'_> {
    /// What counts of a token, if it suffices.
    async fn counted(
        &self,
        answer: &Arc<Introspection>,
        needs: &[Need],
        now: Timestamp,
    ) -> Result<Option<Arc<Introspection>>, ProtectionError> {
        let counted = match self.narrow {
            Some(narrow) => narrow.narrow(answer, now).await?,
            None if answer.permissions.iter().flatten().all(|permission| permission.authority.is_none()) => {
                return Ok(suffices(answer, needs, now).then(|| answer.clone()));
            }
            None => unsigned(answer),
        };
        let counted = answer.with_permissions(Some(counted));
        Ok(suffices(&counted, needs, now).then(|| Arc::new(counted)))
    }
}

impl Guard {
    /// One that asks about each token; `proofs` are those that this process has seen.
    pub fn new(proofs: Arc<Seen>) -> Self {
        Self::bounded(proofs, MOST_BYTES, None)
    }

    /// One that keeps so many bytes of answers.
    pub(crate) fn bounded(proofs: Arc<Seen>, most_bytes: u64, offline: Option<Offline>) -> Self {
        Self { kept: Cache::with_weighter(MOST_KEPT, most_bytes, BySize), proofs, offline }
    }

    /// One that checks JWT RPTs by itself, and asks about others.
    pub fn offline(offline: Offline, proofs: Arc<Seen>) -> Self {
        Self { offline: Some(offline), ..Self::new(proofs) }
    }

    /// Whether the token of a call is judged here, without asking its authorization server.
    pub(crate) fn asks_nobody(&self, presented: &Presented<'_>) -> bool {
        let token = presented.authorization.and_then(|value| value.split_once(' ')).map(|(_, token)| token.trim());
        self.offline.is_some() && token.is_some_and(Offline::is_checked_here)
    }

    /// Judges the token of a call. The owner's PAT decides whose token it may be.
    pub async fn judge(&self, under: &Under<'_>, presented: &Presented<'_>, needs: &[Need]) -> Verdict {
        let Some((scheme, token)) = presented.authorization.and_then(|value| value.split_once(' ')) else {
            return Verdict::Insufficient;
        };
        let bound = scheme.eq_ignore_ascii_case("dpop");
        if token.trim().is_empty() {
            return Verdict::Insufficient;
        }
        if !bound && !scheme.eq_ignore_ascii_case("bearer") {
            return Verdict::Insufficient;
        }
        let now = under.protection.client.clock.now();
        let answer = match self.look_up(under, token.trim(), needs, now).await {
            Ok(answer) => answer,
            Err(error) => return Verdict::Failed(error),
        };
        if !answer.active {
            return Verdict::Unknown;
        }
        if !answer.is_good(now) {
            return Verdict::Insufficient;
        }
        if !self.is_proven(&answer, bound, token, presented, now) {
            return if answer.cnf.is_some() { Verdict::Unproven } else { Verdict::Insufficient };
        }
        match under.counted(&answer, needs, now).await {
            Ok(counted) => counted.map_or(Verdict::Insufficient, Verdict::Allowed),
            Err(error) => Verdict::Failed(error),
        }
    }

    /// Whether a call that was let in may go on: the token and its permissions as they are now. Its proof was
    /// checked when it came in.
    pub async fn still_allows(&self, under: &Under<'_>, authorization: &str, needs: &[Need]) -> bool {
        let Some((_, token)) = authorization.split_once(' ') else { return false };
        let now = under.protection.client.clock.now();
        for _ in 0..LOOKS {
            match self.look_up(under, token.trim(), needs, now).await {
                // nobody was asked, and nobody has said that it ended; whoever is told so has waited for it
                Err(ProtectionError::Busy) => {}
                Err(_) => return false,
                Ok(answer) => {
                    let counts = async || under.counted(&answer, needs, now).await.is_ok_and(|counted| counted.is_some());
                    return answer.is_good(now) && counts().await;
                }
            }
        }
        false
    }

    async fn look_up(
        &self,
        under: &Under<'_>,
        token: &str,
        needs: &[Need],
        now: Timestamp,
    ) -> Result<Arc<Introspection>, ProtectionError> {
        if let Some(offline) = self.offline.as_ref().filter(|_| Offline::is_checked_here(token)) {
            let Some(signed) = offline.read(under.protection, token).await? else {
                return Ok(Arc::new(Introspection::inactive()));
            };
            // it does not suffice whatever was revoked, and its holder has nobody asked about an owner of her choice
            if !offline.follows(under.owner) && under.counted(&signed.answer, needs, now).await?.is_none() {
                return Ok(signed.answer.clone());
            }
            return offline.check(under.protection, under.pats, under.owner, &signed).await;
        }
        self.introspect(under, &under.pats.pat(under.owner).await?, token).await
    }

    async fn introspect(&self, under: &Under<'_>, pat: &str, token: &str) -> Result<Arc<Introspection>, ProtectionError> {
        let key = digest::sha256(&[pat.as_bytes(), b"\0", token.as_bytes()]);
        if let Some(kept) = self.kept.get(&key).filter(|kept| kept.asked.elapsed() < KEPT) {
            return Ok(kept.answer);
        }
        let turn = match under.line {
            Some(line) => line.wait(token, pat).await?,
            None => Turn::default(),
        };
        let asked = Instant::now();
        let answer = Arc::new(Box::pin(under.protection.introspect(pat, token, &turn.by)).await?);
        self.kept.insert(key, Kept { asked, answer: answer.clone() });
        Ok(answer)
    }

    /// A bound token counts only with its proof, a bearer token only without (RFC 9449 7).
    fn is_proven(&self, answer: &Introspection, bound: bool, token: &str, presented: &Presented<'_>, now: Timestamp) -> bool {
        let jkt = answer.cnf.as_ref().and_then(|cnf| cnf.get("jkt")).and_then(|jkt| jkt.as_str());
        match (jkt, bound, presented.dpop) {
            (None, false, _) if answer.cnf.is_none() => true,
            (Some(jkt), true, Some(proof)) => {
                let request =
                    jose::dpop::Request { method: presented.method, url: presented.url, access_token: Some(token.trim()) };
                jose::dpop::check(proof, &request, now).is_ok_and(|proof| proof.jkt == jkt && self.proofs.remember(&proof))
            }
            _ => false,
        }
    }
}

/// Whether the permissions cover every need at `now`; ends of token and permission both count.
pub fn suffices(answer: &Introspection, needs: &[Need], now: Timestamp) -> bool {
    let permissions = answer.permissions.as_deref().unwrap_or_default();
    let live = answer.exp.is_none_or(|exp| now < exp);
    let has = |need: &Need| need.scopes.iter().all(|scope| permissions.iter().any(|p| p.allows(&need.resource, scope, now)));
    live && !needs.is_empty() && needs.iter().all(has)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicUsize, Ordering};

    struct Pat;

    #[async_trait]
    impl PatSource for Pat {
        async fn pat(&self, _: &str) -> Result<String, ProtectionError> {
            Ok("pat".to_owned())
        }
    }

    /// Nobody has a turn here, for this reason.
    struct NoTurns {
        why: ProtectionError,
        waited: AtomicUsize,
    }

    #[async_trait]
    impl Turns for NoTurns {
        async fn wait(&self, _: &str, _: &str) -> Result<Turn, ProtectionError> {
            self.waited.fetch_add(1, Ordering::SeqCst);
            Err(self.why.clone())
        }
    }

    /// Row 46: what is under way does not end since others ask as well, and ends where the server is away.
    #[tokio::test]
    async fn threat_46_a_look_that_could_not_ask_is_tried_again() {
        let client = client::Client {
            outbound: outbound::Outbound::new(outbound::Settings::default()).unwrap(),
            clock: Arc::new(jose::SystemClock),
            randomness: Arc::new(jose::SystemRandomness),
            credentials: client::Credentials::none(),
            dpop_key: None,
        };
        let there = "https://as.example";
        let metadata = serde_json::json!({"issuer": there, "token_endpoint": there, "authorization_endpoint": there,
            "jwks_uri": there, "introspection_endpoint": there});
        let protection = Protection { client, metadata: serde_json::from_value(metadata).unwrap() };
        let (pats, guard): (Arc<dyn PatSource>, _) = (Arc::new(Pat), Guard::new(Arc::new(Seen::since(Timestamp(0)))));
        for (why, tries) in [(ProtectionError::Busy, LOOKS), (ProtectionError::Unreachable, 1), (ProtectionError::Later(1), 1)] {
            let line = NoTurns { why, waited: AtomicUsize::new(0) };
            let under = Under { protection: &protection, pats: &pats, owner: "alice", narrow: None, line: Some(&line) };
            assert!(!guard.still_allows(&under, "Bearer token", &[]).await);
            assert_eq!(line.waited.load(Ordering::SeqCst), tries, "{:?}", line.why);
        }
    }

    /// Cases: G-3.5-3, F-5.1.1-6, F-5.1.1-8, F-1.4-2
    #[test]
    fn permissions_count_for_their_resource_scope_and_time() {
        let now = Timestamp(100);
        let need =
            |resource: &str, scopes: &str| vec![Need { resource: resource.into(), scopes: ScopeSet::parse(scopes).unwrap() }];
        let permission = |nbf, exp| GrantedPermission {
            resource_id: "album".into(),
            resource_scopes: ScopeSet::parse("view print").unwrap(),
            exp,
            iat: None,
            nbf,
            authority: None,
        };
        let answer = |nbf: Option<i64>, exp: Option<i64>, token: i64| Introspection {
            active: true,
            exp: Some(Timestamp(token)),
            permissions: Some(vec![permission(nbf.map(Timestamp), exp.map(Timestamp))]),
            ..Introspection::default()
        };
        assert!(suffices(&answer(None, None, 101), &need("album", "view print"), now));
        assert!(!suffices(&answer(None, None, 101), &need("album", "view delete"), now));
        assert!(!suffices(&answer(None, None, 101), &need("other", "view"), now));
        assert!(!suffices(&answer(None, Some(100), 200), &need("album", "view"), now), "the permission has ended");
        assert!(!suffices(&answer(Some(101), None, 200), &need("album", "view"), now), "the permission has not begun");
        assert!(!suffices(&answer(None, Some(200), 100), &need("album", "view"), now), "the token has ended");
        assert!(!suffices(&answer(None, None, 101), &[], now), "nothing asked is nothing allowed");
        let at = |nbf: i64| Introspection { nbf: Some(Timestamp(nbf)), ..answer(None, None, 200) };
        assert!(at(100).is_good(now) && at(160).is_good(now) && !at(161).is_good(now), "the token has begun");
        assert!(!answer(None, None, 1).is_good(now), "`active` is no answer to an end that is past");
        let of = |kind: &str| Introspection { token_type: Some(kind.into()), ..answer(None, None, 200) }.is_good(now);
        assert!(of("Bearer") && of("bearer") && of("DPoP"));
        assert!(!of("refresh_token") && !of("id_token") && !of("pat") && !of(""), "types by allow-list");
    }
}
