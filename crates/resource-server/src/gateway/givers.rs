//! Which authorization server gave a token that says nothing of itself, and to whom such a token is shown (decision 0062). A bearer
//! token is worth as much to whoever is shown it as to its holder: a server that an owner brought could use another's token for
//! what that one guards. So those that the operator lists are asked first; who said once that a token is its own is remembered,
//! and nobody else is shown it; and one that an owner brought is asked only where the call names it, or where nobody else knew the
//! token.

use super::Gateway;
use super::admission::Call;
use super::authority::Uncounted;
use crate::protection::ProtectionError;
use jose::{UnverifiedJws, digest};
use quick_cache::sync::Cache;

/// Tokens that are remembered of each kind.
const MOST: usize = 10_000;

/// Who gave tokens, by their hash.
pub(super) struct Givers {
    /// Of those that let somebody in: these have a line of their own.
    pub(super) let_in: Cache<[u8; 32], String>,
    /// Of all that a server of the operator's knew, and apart from them those that another says it knows: it may say so of any.
    listed: Cache<[u8; 32], String>,
    brought: Cache<[u8; 32], String>,
}

impl Default for Givers {
    fn default() -> Self {
        Self { let_in: Cache::new(MOST), listed: Cache::new(MOST), brought: Cache::new(MOST) }
    }
}

impl Givers {
    fn note(&self, token: &[u8; 32], issuer: &str, is_listed: bool) {
        let of_kind = if is_listed { &self.listed } else { &self.brought };
        if of_kind.get(token).is_none_or(|known| known != issuer) {
            of_kind.insert(*token, issuer.to_owned());
        }
    }

    fn find(&self, token: &[u8; 32]) -> Option<String> {
        self.listed.get(token).or_else(|| self.brought.get(token))
    }
}

/// By what a token is remembered.
pub(super) fn key_of(token: &str) -> [u8; 32] {
    digest::sha256(&[token.as_bytes()])
}

impl Gateway {
    /// This server says that the token of this key is its own.
    pub(super) fn note_giver(&self, token: &[u8; 32], issuer: &str) {
        self.givers.note(token, issuer, self.is_listed(issuer));
    }

    /// Whose token it can be, the likeliest first. A JWT names its issuer, and another's is not asked about it; what an
    /// owner has not linked counts only where she signed for it, which is checked before anything is fetched.
    pub(super) async fn issuers_to_ask(&self, call: &Call<'_>, mut issuers: Vec<String>) -> Result<Vec<String>, ProtectionError> {
        let is_more = |issuer: &&String| self.is_server_level(issuer) && !issuers.contains(issuer);
        let more: Vec<_> = self.settings.authorization_servers.iter().filter(is_more).cloned().collect();
        issuers.extend(more);
        if let Some(giver) = call.giver {
            issuers.retain(|issuer| issuer == giver);
            return Ok(issuers);
        }
        let Some(token) = call.token() else { return Ok(issuers) };
        if let Ok(jws) = UnverifiedJws::parse(token)
            && let Some(issuer) = jws.claimed("iss")
        {
            if issuers.contains(&issuer) {
                return Ok(vec![issuer]);
            }
            return match Box::pin(self.is_vouched_for(&call.wanted.owner, &issuer, &jws, call.needs)).await {
                Ok(()) => Ok(vec![issuer]),
                Err(Uncounted::Because(why)) => {
                    // nobody checked this token: whatever it says of itself is not for her history
                    if call.is_noted {
                        self.note_unknown(&call.wanted.owner, call.needs, why).await?;
                    }
                    Ok(Vec::new())
                }
                Err(Uncounted::Unreadable(error)) => Err(error.into()),
            };
        }
        Ok(self.list_possible_givers(call, issuers))
    }

    /// Of those that guard what is called, whoever may be shown a token that does not say whose it is, the likeliest first.
    fn list_possible_givers(&self, call: &Call<'_>, mut issuers: Vec<String>) -> Vec<String> {
        let giver = call.token_key().and_then(|key| self.givers.find(key));
        // the operator's own word stands; another server may say of any token that it is its own
        if let Some(giver) = giver.as_ref().filter(|giver| self.is_listed(giver)) {
            issuers.retain(|issuer| issuer == giver);
            return issuers;
        }
        let is_giver = |issuer: &String| giver.as_ref() == Some(issuer);
        let is_named = |issuer: &String| call.chosen == Some(issuer.as_str());
        let somebody_is_said = giver.is_some() || call.chosen.is_some();
        issuers.retain(|issuer| self.is_listed(issuer) || !somebody_is_said || is_giver(issuer) || is_named(issuer));
        issuers.sort_by_key(|issuer| (!is_giver(issuer), !is_named(issuer), !self.is_listed(issuer)));
        issuers
    }
}
