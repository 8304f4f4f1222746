//! Log-ins that came back from an authorization server and wait for the word of whoever is at the browser: a link that was
//! begun by managing is a URL, and a URL can be sent to somebody else. Kept in memory for as long as a link may take; a
//! restart forgets them, and they are begun anew. Called by `link/account.rs`.

use super::super::store::Account;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use types::Timestamp;
use types::brought::BroughtBy;
use types::token::TokenResponse;

/// Of one owner; the oldest goes first.
const MOST_OF_OWNER: usize = 8;
/// Of all. Owners alone begin such links, with a management token.
const MOST: usize = 5_000;
/// Longest token that an authorization server may give, in bytes: it is kept, here and in the store.
const MAX_TOKEN_BYTES: usize = 16 * 1_024;
/// Longest name and address of an account, in bytes.
const MAX_ACCOUNT_BYTES: usize = 1_024;

/// What a log-in brought.
#[derive(Clone)]
pub(super) struct Brought {
    pub(super) owner: String,
    pub(super) issuer: String,
    pub(super) tokens: TokenResponse,
    pub(super) account: Account,
    /// The account is the owner's by the word of a server of the operator's.
    pub(super) is_owner: bool,
    /// Of the browser's own attempt; its cookie says the same.
    pub(super) state: String,
    pub(super) expires: Timestamp,
    /// The application by which it was begun.
    pub(super) by: Option<BroughtBy>,
}

impl Brought {
    /// Whether it is short enough to be kept.
    pub(super) fn is_short(&self) -> bool {
        let tokens = [Some(&self.tokens.access_token), self.tokens.refresh_token.as_ref()];
        let account = [self.account.sub.as_ref(), self.account.email.as_ref()];
        tokens.into_iter().flatten().all(|text| text.len() <= MAX_TOKEN_BYTES)
            && account.into_iter().flatten().all(|text| text.len() <= MAX_ACCOUNT_BYTES)
    }
}

/// What came of keeping one.
pub(super) struct Put {
    pub(super) is_kept: bool,
    /// Those that wait no more.
    pub(super) gone: Vec<Brought>,
}

/// By a name that stands in the form, and nowhere else.
#[derive(Default)]
pub(in super::super) struct WaitingAccounts(Mutex<HashMap<String, Brought>>);

impl WaitingAccounts {
    /// Keeps it, where there is room; what goes for it, and what has run out, is given back by whoever calls.
    pub(super) fn keep(&self, name: String, brought: Brought, now: Timestamp) -> Put {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut gone: Vec<Brought> = all.extract_if(|_, one| one.expires <= now).map(|(_, one)| one).collect();
        let mut hers: Vec<_> = all.iter().filter(|(_, one)| one.owner == brought.owner).collect();
        hers.sort_by_key(|(_, one)| one.expires);
        let over: Vec<String> =
            hers.iter().take((hers.len() + 1).saturating_sub(MOST_OF_OWNER)).map(|(name, _)| (*name).clone()).collect();
        gone.extend(over.iter().filter_map(|name| all.remove(name)));
        let is_kept = all.len() < MOST;
        if is_kept {
            all.insert(name, brought);
        } else {
            gone.push(brought);
        }
        Put { is_kept, gone }
    }

    #[cfg(test)]
    fn put(&self, name: String, brought: Brought, now: Timestamp) -> bool {
        self.keep(name, brought, now).is_kept
    }

    /// Those that nobody answered in time.
    pub(super) fn take_ended(&self, now: Timestamp) -> Vec<Brought> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.extract_if(|_, one| one.expires <= now).map(|(_, one)| one).collect()
    }

    /// The one of this name, which may be decided once, in the browser that it came to.
    pub(super) fn take(&self, name: &str, state: &str, now: Timestamp) -> Option<Brought> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_hers = all.get(name).is_some_and(|one| one.state == state && now < one.expires);
        if is_hers { all.remove(name) } else { None }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn brought(owner: &str, state: &str, expires: i64) -> Brought {
        let tokens = serde_json::from_value(serde_json::json!({"access_token": "t", "token_type": "Bearer"})).unwrap();
        let (owner, issuer) = (owner.to_owned(), "https://as.example".to_owned());
        let (account, expires) = (Account::default(), Timestamp(expires));
        Brought { owner, issuer, tokens, account, is_owner: false, state: state.to_owned(), expires, by: None }
    }

    #[test]
    fn threat_42_s10_what_waits_is_decided_once_in_its_browser_and_in_time() {
        let all = WaitingAccounts::default();
        for (name, state, at, taken) in
            [("b", "s", 5, false), ("a", "other", 5, false), ("a", "s", 10, false), ("a", "s", 5, true), ("a", "s", 5, false)]
        {
            if at == 5 && taken {
                assert!(all.put("a".into(), brought("alice", "s", 10), Timestamp(0)));
            }
            assert_eq!(all.take(name, state, Timestamp(at)).is_some(), taken, "{name} {state} {at}");
        }
    }

    #[test]
    fn threat_46_c08_an_owner_has_so_many_that_wait_and_takes_nobody_elses() {
        let all = WaitingAccounts::default();
        assert!(all.put("bob".into(), brought("bob", "s", 100), Timestamp(0)));
        for n in 0..50 {
            assert!(all.put(format!("a{n}"), brought("alice", "s", 100 + n), Timestamp(0)));
        }
        assert_eq!(all.0.lock().unwrap().len(), 1 + MOST_OF_OWNER);
        assert!(all.take("bob", "s", Timestamp(1)).is_some() && all.take("a0", "s", Timestamp(1)).is_none());
        assert!(all.take("a49", "s", Timestamp(1)).is_some());
        let long = Brought { issuer: String::new(), ..brought("alice", "s", 1) };
        let tokens = TokenResponse { access_token: "x".repeat(MAX_TOKEN_BYTES + 1), ..long.tokens.clone() };
        assert!(long.is_short() && !Brought { tokens, ..long }.is_short());
    }
}
