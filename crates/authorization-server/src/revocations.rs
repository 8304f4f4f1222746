//! JWT RPTs that are no good any more, for resource servers that check them offline (protocol.md 4). Read with a
//! PAT, of that owner and resource server; a long poll. Called by `web`.
//!
//! Nothing is written when something is withdrawn: each JWT RPT left its `jti` when it was issued, and what it
//! rests on is looked at anew, exactly as introspection does, whenever the owner's epoch is raised.
//!
//! Such a look reads every token that lives. So there is one for all who wait with one PAT, it lets others have their turn, and
//! the next one waits the longer the longer it took (threat 46).

use crate::AuthorizationServer;
use identity::access_token::ProtectionToken;
use identity::token_text::{self, TokenKind};
use identity::{Failure, internal};
use jose::{base64url, digest};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::time::Instant;
use types::revocations::{Revocations, RevokedToken};
use types::{ClientId, ErrorCode, GrantId, OwnerId, Timestamp};

/// How long a poll waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// Changes that come together are looked at together: so long are they waited for, where the change is one of this owner's, and
/// where it is one that is told to everybody, which anybody makes.
const GATHER: Duration = Duration::from_millis(20);
const GATHER_OF_ALL: Duration = Duration::from_secs(1);
/// So many times as long as a look took passes before the next, up to so long.
const REST_OF_LOOK: u32 = 4;
const LONGEST_REST: Duration = Duration::from_secs(5);
/// Tokens after which others get their turn.
const BREATH: usize = 32;
/// Most polls at once with one PAT: a resource server needs one, and one more where a line broke.
const MOST_POLLS: usize = 8;
/// Most JWT RPTs of one owner at one resource server that live at once, with those of this hour that ended: whoever would get
/// one more gets an opaque one, which is asked about and needs no look here.
pub(crate) const MOST_SIGNED: usize = 5_000;

/// Whose polls they are.
type Of = (OwnerId, ClientId, GrantId);

/// What a look found.
struct Looked {
    epoch: u64,
    of_all: u64,
    at: Timestamp,
    took: Duration,
    found: Revocations,
}

/// The last look of those who wait with one PAT.
#[derive(Default)]
struct Shared {
    last: tokio::sync::Mutex<Option<Arc<Looked>>>,
}

/// Polls that are under way.
#[derive(Default)]
pub(crate) struct Polls(Mutex<HashMap<Of, (usize, Arc<Shared>)>>);

/// One of them; it is over when this is dropped.
struct Poll<'a> {
    polls: &'a Polls,
    of: Of,
    shared: Arc<Shared>,
}

impl Polls {
    fn begin(&self, pat: &ProtectionToken) -> Result<Poll<'_>, Failure> {
        let of = (pat.owner.clone(), pat.resource_server.clone(), pat.grant.clone());
        let mut all = self.lock();
        let (under_way, shared) = all.entry(of.clone()).or_default();
        if *under_way >= MOST_POLLS {
            return Failure::refuse(
                ErrorCode::TooManyRequests,
                format!("{MOST_POLLS} polls with this token wait already: wait for their answers"),
            );
        }
        *under_way = under_way.saturating_add(1);
        Ok(Poll { polls: self, shared: shared.clone(), of })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Of, (usize, Arc<Shared>)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Poll<'_> {
    fn drop(&mut self) {
        let mut all = self.polls.lock();
        let left = all.get_mut(&self.of).map(|(under_way, _)| {
            *under_way = under_way.saturating_sub(1);
            *under_way
        });
        if left == Some(0) {
            all.remove(&self.of);
        }
    }
}

impl Looked {
    /// How long to wait for more of the kind before the next look.
    fn rest(&self, was_hers: bool) -> Duration {
        let gather = if was_hers { GATHER } else { GATHER_OF_ALL };
        gather.max(self.took.saturating_mul(REST_OF_LOOK).min(LONGEST_REST))
    }
}

impl AuthorizationServer {
    /// What is revoked; with `after`, once it is something else than that answer said, or after a while.
    pub async fn revocations(&self, pat: &ProtectionToken, after: Option<&str>) -> Result<Revocations, Failure> {
        let until = Instant::now() + WAIT;
        let poll = self.polls.begin(pat)?;
        loop {
            let now = self.look(pat, &poll.shared).await?;
            if now.found.ended || after != Some(now.found.next.as_str()) {
                return Ok(now.found.clone());
            }
            let unchanged = || Revocations { revoked: Vec::new(), time: Some(self.now()), ..now.found.clone() };
            tokio::select! {
                () = self.store.epoch_left(&pat.owner, now.epoch) => {}
                () = tokio::time::sleep_until(until) => return Ok(unchanged()),
                () = self.closed() => return Ok(unchanged()),
            }
            let raised = self.store.epoch(&pat.owner).wrapping_sub(now.epoch);
            let was_hers = raised != self.store.epoch_of_all().wrapping_sub(now.of_all);
            tokio::time::sleep_until(until.min(Instant::now() + now.rest(was_hers))).await;
        }
    }

    /// What the last look found, if nothing can have changed since, or a new one.
    async fn look(&self, pat: &ProtectionToken, shared: &Shared) -> Result<Arc<Looked>, Failure> {
        let mut last = shared.last.lock().await;
        // from before the look: what changes meanwhile is looked at again
        let (of_all, epoch, at) = (self.store.epoch_of_all(), self.store.epoch(&pat.owner), self.now());
        if let Some(known) = last.as_ref().filter(|known| known.epoch == epoch && known.at == at) {
            return Ok(known.clone());
        }
        let begun = Instant::now();
        let found = self.revocations_now(pat).await?;
        let looked = Arc::new(Looked { epoch, of_all, at, took: begun.elapsed(), found });
        *last = Some(looked.clone());
        Ok(looked)
    }

    async fn revocations_now(&self, pat: &ProtectionToken) -> Result<Revocations, Failure> {
        let now = self.now();
        let ended = !self.is_linked(&pat.grant).await?;
        let mut revoked = Vec::new();
        if !ended {
            let all = self.store.list_signed_rpts(&pat.owner, &pat.resource_server, now).await?;
            for (at, (jti, exp)) in all.into_iter().enumerate() {
                if at.is_multiple_of(BREATH) {
                    // reads never wait: others get their turn
                    tokio::task::yield_now().await;
                }
                if !self.stands_whole(pat, &jti).await? {
                    revoked.push(RevokedToken { jti, exp });
                }
            }
        }
        let next = cursor(&revoked)?;
        Ok(Revocations { revoked, ended, next, time: Some(now), none_until: self.store.restored_at() })
    }

    /// Takes room for one more JWT RPT of this owner at this resource server; false where there is none.
    pub(crate) async fn take_room_for_signed(&self, owner: &OwnerId, resource_server: &ClientId) -> Result<bool, Failure> {
        let (of, now) = ((owner.clone(), resource_server.clone()), self.now());
        if let Some(has_room) = self.signed_rooms.take(&of, now) {
            return Ok(has_room);
        }
        let count = self.store.count_signed_rpts(owner, resource_server, now, MOST_SIGNED).await?;
        Ok(self.signed_rooms.note(of, count, now))
    }

    /// A signed token says all that it said on its first day: with a part of it gone, the whole is no good.
    async fn stands_whole(&self, pat: &ProtectionToken, jti: &str) -> Result<bool, Failure> {
        let Some(key) = token_text::key_of(TokenKind::Rpt, jti) else { return Ok(false) };
        match self.store.find_rpt(&key).await?.filter(|rpt| rpt.pat_grant == pat.grant) {
            Some(rpt) if !self.is_of_standing_client(&rpt).await? => Ok(false),
            Some(rpt) => Ok(self.standing_scopes(&rpt.scopes).await?.len() == rpt.scopes.len()),
            None => Ok(false),
        }
    }
}

/// Says which answer this is. A token that ran out by itself makes no other answer of it for the caller; it may
/// for us, which costs one answer more.
fn cursor(revoked: &[RevokedToken]) -> Result<String, Failure> {
    let all: Vec<&str> = revoked.iter().map(|token| token.jti.as_str()).collect();
    let text = serde_json::to_vec(&all).map_err(internal)?;
    let digest = digest::sha256(&[&text]);
    Ok(base64url::encode(digest.get(..12).unwrap_or(&digest)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_the_longer_a_look_takes_the_longer_is_the_rest() {
        let looked = |millis| Looked {
            epoch: 1,
            of_all: 1,
            at: Timestamp(1),
            took: Duration::from_millis(millis),
            found: Revocations::default(),
        };
        for (took, hers, others) in
            [(0, 20, 1_000), (5, 20, 1_000), (100, 400, 1_000), (500, 2_000, 2_000), (60_000, 5_000, 5_000)]
        {
            let looked = looked(took);
            let rests = (looked.rest(true).as_millis(), looked.rest(false).as_millis());
            assert_eq!(rests, (hers, others), "{took}");
        }
    }

    #[test]
    fn threat_46_few_polls_wait_with_one_pat() {
        let pat = |grant: &str| ProtectionToken {
            resource_server: ClientId::new("photos"),
            owner: OwnerId::new("alice"),
            grant: GrantId::new(grant),
        };
        let polls = Polls::default();
        let mut all: Vec<_> = (0..MOST_POLLS).map(|_| polls.begin(&pat("g")).ok().unwrap()).collect();
        assert!(matches!(polls.begin(&pat("g")), Err(Failure::Refused(refusal)) if refusal.code == ErrorCode::TooManyRequests));
        assert!(polls.begin(&pat("other")).is_ok());
        all.pop();
        all.push(polls.begin(&pat("g")).ok().unwrap());
        all.clear();
        assert!(polls.lock().is_empty(), "nothing is kept of what is over");
    }

    #[test]
    fn a_cursor_says_which_tokens() {
        let token = |jti: &str| RevokedToken { jti: jti.into(), exp: Timestamp(1) };
        assert_eq!(cursor(&[token("a")]).unwrap(), cursor(&[token("a")]).unwrap());
        assert_ne!(cursor(&[token("a"), token("b")]).unwrap(), cursor(&[token("ab")]).unwrap());
        assert_ne!(cursor(&[]).unwrap(), "");
    }
}
