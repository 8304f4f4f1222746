//! JWT RPTs that are no good any more, for resource servers that check them offline (protocol.md 4). Read with a
//! PAT, of that owner and resource server; a long poll. Called by `web`.
//!
//! Nothing is written when something is withdrawn: each JWT RPT left its `jti` when it was issued, and what it
//! rests on is looked at anew, exactly as introspection does, whenever the owner's epoch is raised.

use crate::AuthorizationServer;
use identity::access_token::ProtectionToken;
use identity::token_text::{self, TokenKind};
use identity::{Failure, internal};
use jose::{base64url, digest};
use std::time::Duration;
use types::revocations::{Revocations, RevokedToken};

/// How long a poll waits for news.
const WAIT: Duration = Duration::from_secs(25);
/// Changes that come together are looked at together.
const GATHER: Duration = Duration::from_millis(20);

impl AuthorizationServer {
    /// What is revoked; with `after`, once it is something else than that answer said, or after a while.
    pub async fn revocations(&self, pat: &ProtectionToken, after: Option<&str>) -> Result<Revocations, Failure> {
        let until = tokio::time::Instant::now() + WAIT;
        loop {
            let epoch = self.store.epoch(&pat.owner);
            let now = self.revocations_now(pat).await?;
            if now.ended || after != Some(now.next.as_str()) {
                return Ok(now);
            }
            let unchanged = Revocations { revoked: Vec::new(), ..now };
            tokio::select! {
                () = self.store.epoch_left(&pat.owner, epoch) => tokio::time::sleep(GATHER).await,
                () = tokio::time::sleep_until(until) => return Ok(unchanged),
                () = self.closed() => return Ok(unchanged),
            }
        }
    }

    async fn revocations_now(&self, pat: &ProtectionToken) -> Result<Revocations, Failure> {
        let now = self.now();
        let ended = !self.is_linked(&pat.grant).await?;
        let mut revoked = Vec::new();
        if !ended {
            for (jti, exp) in self.store.list_signed_rpts(&pat.owner, &pat.resource_server, now).await? {
                if !self.stands_whole(pat, &jti).await? {
                    revoked.push(RevokedToken { jti, exp });
                }
            }
        }
        let next = cursor(&revoked)?;
        Ok(Revocations { revoked, ended, next })
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
    use types::Timestamp;

    #[test]
    fn a_cursor_says_which_tokens() {
        let token = |jti: &str| RevokedToken { jti: jti.into(), exp: Timestamp(1) };
        assert_eq!(cursor(&[token("a")]).unwrap(), cursor(&[token("a")]).unwrap());
        assert_ne!(cursor(&[token("a"), token("b")]).unwrap(), cursor(&[token("ab")]).unwrap());
        assert_ne!(cursor(&[]).unwrap(), "");
    }
}
