//! Browsers in which somebody has logged in before: a cookie that says so to us, and nothing to anybody else. It opens
//! nothing; it lets her try her password though others have used up the tries of strangers ([`crate::log_in_limits`]).
//!
//! The cookie holds a mark for each of the last accounts: a random id, and a keyed digest of it with the account.

use crate::Identity;
use types::AccountId;

/// Accounts that a browser is known to.
const MAX_MARKS: usize = 4;
/// Longest cookie that is looked at, in bytes.
const MAX_BYTES: usize = 512;
/// Seconds that it is remembered after the last log-in.
pub const LIFETIME: i64 = 400 * 86_400;

impl Identity {
    fn mark_of(&self, account: &AccountId, id: &str) -> String {
        self.keys.keyed_digest("known browser", [id.as_bytes(), b"\0", account.as_str().as_bytes()].concat().as_slice())
    }

    /// What this browser is called at this account, if somebody has logged in to it here before.
    pub(crate) fn find_known_browser(&self, account: &AccountId, cookie: &str) -> Option<String> {
        let marks = cookie.split('~').filter(|_| cookie.len() <= MAX_BYTES).filter_map(|mark| mark.split_once('.'));
        let mut own = marks.filter(|(id, digest)| jose::digest::equal(self.mark_of(account, id).as_bytes(), digest.as_bytes()));
        own.next().map(|(id, _)| id.to_owned())
    }

    /// The cookie after a log-in to this account.
    pub fn remember_browser(&self, account: &AccountId, cookie: &str) -> String {
        if self.find_known_browser(account, cookie).is_some() {
            return cookie.to_owned();
        }
        let id = self.random_id();
        let own = format!("{id}.{}", self.mark_of(account, &id));
        let before = cookie.split('~').filter(|mark| cookie.len() <= MAX_BYTES && !mark.is_empty()).take(MAX_MARKS - 1);
        std::iter::once(own.as_str()).chain(before).collect::<Vec<_>>().join("~")
    }
}
