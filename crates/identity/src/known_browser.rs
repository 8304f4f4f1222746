//! Browsers in which somebody has logged in before: a cookie that says so to us, and nothing to anybody else. It opens
//! nothing; it lets her try her password though others have used up the tries of strangers ([`crate::log_in_limits`]).
//!
//! The cookie holds a mark for each of the last accounts: an id, and a keyed digest of it with the account and its password.
//! The id follows from the session, so that one log-in makes one mark however often it is asked for; and a new password
//! ends them all.

use crate::session::Session;
use crate::{Account, Identity};

/// Accounts that a browser is known to.
const MAX_MARKS: usize = 4;
/// Longest cookie that is looked at, in bytes.
const MAX_BYTES: usize = 512;
/// Seconds that it is remembered after the last log-in.
pub const LIFETIME: i64 = 400 * 86_400;

impl Identity {
    fn mark_of(&self, account: &Account, id: &str) -> String {
        let password = account.password_hash.as_deref().unwrap_or_default();
        let text = [id, account.id.as_str(), password].map(|part| format!("{}:{part}", part.len())).concat();
        self.keys.keyed_digest("known browser", text.as_bytes())
    }

    /// What this browser is called at this account, if somebody has logged in to it here before.
    pub(crate) fn find_known_browser(&self, account: &Account, cookie: &str) -> Option<String> {
        let marks = cookie.split('~').filter(|_| cookie.len() <= MAX_BYTES).filter_map(|mark| mark.split_once('.'));
        let mut own = marks.filter(|(id, digest)| jose::digest::equal(self.mark_of(account, id).as_bytes(), digest.as_bytes()));
        own.next().map(|(id, _)| id.to_owned())
    }

    /// The cookie in a session of this account.
    pub fn remember_browser(&self, account: &Account, session: &Session, cookie: &str) -> String {
        if self.find_known_browser(account, cookie).is_some() {
            return cookie.to_owned();
        }
        let id = self.keys.keyed_digest("known browser's id", session.id.as_bytes());
        let own = format!("{id}.{}", self.mark_of(account, &id));
        // a mark of hers that has ended gives way to the new one
        let is_other = |mark: &&str| cookie.len() <= MAX_BYTES && !mark.is_empty() && !mark.starts_with(&format!("{id}."));
        let before = cookie.split('~').filter(is_other).take(MAX_MARKS - 1);
        std::iter::once(own.as_str()).chain(before).collect::<Vec<_>>().join("~")
    }
}
