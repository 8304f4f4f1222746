//! What the owner signed: every resource owner token and every delegation by one of her keys (protocol.md 3, 1.8), kept in
//! the commit before the signature leaves the desk. Shares are shown from here, renewed from here and withdrawn by what
//! stands here. What an authorization server lists is compared with it, and is evidence of nothing by itself (threat 36).
//!
//! A text that a server shows is taken in only where its signature is by a key of hers: one of her vault, or one that the
//! server which keeps the thing counts as hers - and then for the things of that server alone.

mod found;
mod placed;

pub(crate) use placed::{Account, PlacedAs};

use jose::delegation::{Delegation, UnverifiedDelegation};
use jose::resource_owner_token::ResourceOwnerToken;
use jose::{UnverifiedToken, base64url, did, digest};
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap};
use types::delegation::DelegationDocument;
use types::policy::PolicyDocument;
use types::{OwnResourceId, ScopeSet, Timestamp};

/// Seconds that a word stays in the ledger after its end.
const KEPT_AFTER_END_SECONDS: i64 = 7 * 86_400;

/// What she says in it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Said {
    Share(ResourceOwnerToken),
    Delegation(Delegation),
}

/// How it came here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Origin {
    SignedHere,
    /// A server listed it, and the signature was by a key of hers.
    Found,
}

/// A token or a delegation that she signed.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Word {
    pub(crate) said: Said,
    /// As it was signed.
    pub(crate) text: String,
    /// What it was about, as she was told when she signed it.
    pub(crate) name: String,
    /// Authorization servers that it is for.
    pub(crate) guards: Vec<String>,
    /// When it was taken in here.
    pub(crate) since: Timestamp,
    pub(crate) origin: Origin,
    #[serde(default)]
    pub(crate) withdrawn: Option<Timestamp>,
    /// As who it stands where.
    #[serde(default)]
    pub(crate) placed: Vec<PlacedAs>,
}

impl Word {
    pub(crate) fn jti(&self) -> &str {
        match &self.said {
            Said::Share(token) => &token.jti,
            Said::Delegation(delegation) => &delegation.jti,
        }
    }

    pub(crate) fn exp(&self) -> Timestamp {
        match &self.said {
            Said::Share(token) => token.exp,
            Said::Delegation(delegation) => delegation.exp,
        }
    }

    /// The key that signed it.
    pub(crate) fn signer(&self) -> &str {
        match &self.said {
            Said::Share(token) => &token.iss,
            Said::Delegation(delegation) => &delegation.iss,
        }
    }

    /// Resource servers that believe it.
    pub(crate) fn keepers(&self) -> Vec<&str> {
        match &self.said {
            Said::Share(token) => keepers_of(token).into_iter().collect(),
            Said::Delegation(delegation) => {
                delegation.aud.iter().filter(|place| !self.guards.iter().any(|guard| guard == place)).collect()
            }
        }
    }

    /// Whether this resource server believes it.
    pub(crate) fn is_for(&self, keeper: &str) -> bool {
        match &self.said {
            Said::Share(token) => keepers_of(token).contains(keeper),
            Said::Delegation(delegation) => delegation.aud.iter().any(|place| place == keeper),
        }
    }

    /// Whether it still lets somebody in, or decide, as far as she knows.
    pub(crate) fn is_live(&self, now: Timestamp) -> bool {
        self.withdrawn.is_none() && now < self.exp()
    }

    /// Where the first thing is that it speaks of: its server, and the name there.
    pub(crate) fn first_thing(&self) -> Option<(&str, &str)> {
        let Said::Share(token) = &self.said else { return None };
        token.resources.first().map(|one| (one.resource_server.as_str(), one.resource_id.as_str()))
    }

    /// Whether it speaks of this thing.
    pub(crate) fn names(&self, server: &str, own_id: &OwnResourceId) -> bool {
        let Said::Share(token) = &self.said else { return false };
        token.resources.iter().any(|one| one.resource_server.as_str() == server && one.resource_id == *own_id)
    }

    /// Whether nobody needs it any more, not even to be compared.
    pub(crate) fn is_past(&self, now: Timestamp) -> bool {
        self.exp().plus(KEPT_AFTER_END_SECONDS) < now
    }
}

fn keepers_of(token: &ResourceOwnerToken) -> BTreeSet<&str> {
    token.resources.iter().map(|one| one.resource_server.as_str()).collect()
}

/// Audiences of a token that are none of its resource servers.
fn guards_of(token: &ResourceOwnerToken) -> Vec<String> {
    let keepers = keepers_of(token);
    token.aud.iter().filter(|place| !keepers.contains(place)).map(str::to_owned).collect()
}

/// A word's name in the ledger: of its whole text, so that no other text can take its place.
pub(crate) fn id_of(text: &str) -> String {
    let hash = digest::sha256(&[text.as_bytes()]);
    base64url::encode(hash.get(..16).unwrap_or(&hash))
}

/// Keys that sign for her.
#[derive(Clone, Debug, Default)]
pub(crate) struct Hers {
    /// Those of her vault: they count everywhere.
    pub(crate) vault: BTreeSet<String>,
    /// Those that a linked resource server counts as hers, by its `resource`: they count for its own things.
    pub(crate) at_keeper: HashMap<String, BTreeSet<String>>,
}

impl Hers {
    fn is_hers<'k>(&self, signer: &str, keepers: impl IntoIterator<Item = &'k str>) -> bool {
        let mut keepers = keepers.into_iter().peekable();
        let at = |keeper: &str| self.at_keeper.get(keeper).is_some_and(|keys| keys.contains(signer));
        self.vault.contains(signer) || (keepers.peek().is_some() && keepers.all(at))
    }

    /// What this text says, if she signed it. Only keys that stand in their own name are read (did:key, did:jwk): nothing is
    /// fetched for what somebody else shows.
    pub(crate) fn read_share(&self, text: &str) -> Option<ResourceOwnerToken> {
        let unverified = UnverifiedToken::parse(text).ok()?;
        let keys = did::keys_of(&unverified.issuer()?).ok()?;
        let token = unverified.verify(&keys).ok()?.into_inner();
        (token.delegation.is_none() && self.is_hers(&token.iss, keepers_of(&token))).then_some(token)
    }

    /// The same of a delegation; counted by her vault's keys alone, since it may reach any server.
    pub(crate) fn read_delegation(&self, text: &str) -> Option<Delegation> {
        let unverified = UnverifiedDelegation::parse(text).ok()?;
        let keys = did::keys_of(&unverified.issuer()?).ok()?;
        let delegation = unverified.verify(&keys).ok()?.into_inner();
        self.is_hers(&delegation.iss, []).then_some(delegation)
    }

    /// A token that somebody signed to whom she delegated by her own signature.
    pub(crate) fn read_delegates_share(&self, text: &str) -> Option<ResourceOwnerToken> {
        let unverified = UnverifiedToken::parse(text).ok()?;
        let keys = did::keys_of(&unverified.issuer()?).ok()?;
        let token = unverified.verify(&keys).ok()?.into_inner();
        let delegation = self.read_delegation(token.delegation.as_deref()?)?;
        (delegation.sub == token.iss && delegation.iss == token.resource_owner_id).then_some(token)
    }
}

/// All that she signed, of one owner.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ledger {
    words: BTreeMap<String, Word>,
}

impl Ledger {
    pub(crate) fn of(words: impl IntoIterator<Item = Word>) -> Self {
        Self { words: words.into_iter().map(|word| (id_of(&word.text), word)).collect() }
    }

    pub(crate) fn find(&self, id: &str) -> Option<&Word> {
        self.words.get(id)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Word)> {
        self.words.iter().map(|(id, word)| (id.as_str(), word))
    }

    pub(crate) fn live(&self, now: Timestamp) -> impl Iterator<Item = (&str, &Word)> {
        self.iter().filter(move |(_, word)| word.is_live(now))
    }

    pub(crate) fn has_text(&self, text: &str) -> bool {
        self.words.contains_key(&id_of(text))
    }

    /// What a server lists and she signed, and is not here yet. `said_withdrawn`: what a keeper says she took back.
    pub(crate) fn find_unknown(&self, listed: &Listed<'_>, hers: &Hers, now: Timestamp) -> Vec<Word> {
        let word = |said: Said, text: &str, name: String, guards: Vec<String>| Word {
            said,
            text: text.to_owned(),
            name,
            guards,
            since: now,
            origin: Origin::Found,
            withdrawn: None,
            placed: Vec::new(),
        };
        let texts: BTreeSet<&str> = listed.policies.iter().filter_map(|policy| policy.authority.as_deref()).collect();
        let shares = texts.into_iter().filter(|text| !self.has_text(text)).filter_map(|text| {
            let token = hers.read_share(text)?;
            // a key that keepers alone count as hers speaks of their things, to the server that shows it, and for a time that
            // she can survey: whoever lists it does not choose whom she will ask to end what
            let is_bounded =
                token.exp <= now.plus(MAX_FOUND_SECONDS) && guards_of(&token).iter().all(|guard| guard == listed.issuer);
            if !hers.vault.contains(&token.iss) && !is_bounded {
                return None;
            }
            let first = token.resources.first().map(|one| one.resource_id.as_str().to_owned()).unwrap_or_default();
            let guards = guards_of(&token);
            Some(word(Said::Share(token), text, first, guards))
        });
        let texts: BTreeSet<&str> = listed.delegations.iter().filter_map(|one| one.delegation.as_deref()).collect();
        let delegations = texts.into_iter().filter(|text| !self.has_text(text)).filter_map(|text| {
            let delegation = hers.read_delegation(text)?;
            // who of its audience guards and who keeps is known of linked servers alone
            let guards = delegation.aud.iter().filter(|place| !listed.keepers.contains(place)).map(str::to_owned).collect();
            Some(word(Said::Delegation(delegation), text, String::new(), guards))
        });
        // what keys of her vault did not sign is no more than a few of each keeper, whatever servers list
        let counted_elsewhere = |word: &Word| !hers.vault.contains(word.signer());
        let keeper_of = |word: &Word| word.keepers().first().copied().unwrap_or_default().to_owned();
        let mut counts: HashMap<String, usize> = HashMap::new();
        for word in self.words.values().filter(|word| counted_elsewhere(word)) {
            let count = counts.entry(keeper_of(word)).or_default();
            *count = count.saturating_add(1);
        }
        let mut all: Vec<Word> = shares.chain(delegations).filter(|word| word.is_live(now)).collect();
        all.retain(|word| {
            if !counted_elsewhere(word) {
                return true;
            }
            let count = counts.entry(keeper_of(word)).or_default();
            *count = count.saturating_add(1);
            *count <= MAX_COUNTED_ELSEWHERE
        });
        all
    }
}

/// Longest life of what was signed by a key that a keeper alone counts as hers.
const MAX_FOUND_SECONDS: i64 = 366 * 86_400;
/// Most of these that are kept of one keeper.
const MAX_COUNTED_ELSEWHERE: usize = 200;

/// What an authorization server lists, and which resource servers are linked.
pub(crate) struct Listed<'a> {
    pub(crate) issuer: &'a str,
    pub(crate) policies: &'a [PolicyDocument],
    pub(crate) delegations: &'a [DelegationDocument],
    pub(crate) keepers: &'a [&'a str],
}

/// A token that is about to be signed, as the ledger keeps it.
pub(crate) fn word_of(said: Said, text: String, name: &str, guards: Vec<String>, now: Timestamp) -> Word {
    let (name, origin) = (name.to_owned(), Origin::SignedHere);
    Word { said, text, name, guards, since: now, origin, withdrawn: None, placed: Vec::new() }
}

/// What of a thing a token lets pass.
pub(crate) fn scopes_for(token: &ResourceOwnerToken, server: &str, own_id: &OwnResourceId) -> ScopeSet {
    let here = token.resources.iter().filter(|one| one.resource_server.as_str() == server && one.resource_id == *own_id);
    here.flat_map(|one| one.allowed_scopes.iter().cloned()).collect()
}

#[cfg(test)]
mod tests;
