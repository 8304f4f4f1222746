//! Passkeys of accounts (Web Authentication Level 3): registered by whoever is logged in and has just proved herself, and
//! good for logging in and for proving herself again. What a browser says is checked in `jose::webauthn`; here it is bound to
//! this server's question, single use, and to the account.

use crate::account::Standing;
use crate::session::Session;
use crate::upstream::CLOSED;
use crate::{Account, Changes, CommitError, Failure, Identity, Requirement, SpentId, Write};
use jose::base64url;
use jose::webauthn::{Passkey, RelyingParty};
use serde::{Deserialize, Serialize};
use types::{AccountId, ErrorCode, Timestamp};
use url::Url;

pub use jose::webauthn::{Assertion, Registration};

/// Seconds that a question waits for its answer.
const QUESTION_LIFETIME: i64 = 600;
/// Seconds after she proved herself in which new ways to log in may be added.
const FRESH: i64 = 900;
/// Most passkeys of one account.
const MAX_PASSKEYS: usize = 20;
const MAX_NAME: usize = 60;

/// A passkey, and whose it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountPasskey {
    pub account: AccountId,
    pub passkey: Passkey,
    /// What she calls it.
    pub name: String,
    pub created: Timestamp,
    pub last_used: Option<Timestamp>,
}

fn refuse<T>(what: impl Into<String>) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

/// The user handle of an account, base64url.
pub fn user_handle(account: &AccountId) -> String {
    base64url::encode(account.as_str())
}

impl Session {
    /// Whether she proved herself a short while ago.
    pub fn is_fresh(&self, now: Timestamp) -> bool {
        now < self.auth_time.plus(FRESH)
    }
}

impl Identity {
    /// Host of the issuer: the relying party of its passkeys.
    pub fn relying_party(&self) -> (String, String) {
        let url = Url::parse(self.issuer()).ok();
        let host = url.as_ref().and_then(|url| url.host_str().map(str::to_owned)).unwrap_or_default();
        (host, url.map(|url| url.origin().ascii_serialization()).unwrap_or_default())
    }

    /// A question for a passkey, good for the browser of this form cookie.
    pub fn passkey_question(&self, form_cookie: &str) -> String {
        let random: [u8; 16] = jose::ambient::random(&*self.randomness);
        let expires = self.now().plus(QUESTION_LIFETIME).0.to_be_bytes();
        let open = [&random[..], &expires].concat();
        let seal = self.question_seal(&open, form_cookie);
        base64url::encode([&open[..], seal.as_bytes()].concat())
    }

    fn question_seal(&self, open: &[u8], form_cookie: &str) -> String {
        self.keys.keyed_digest("passkey question", &[open, form_cookie.as_bytes()].concat())
    }

    /// The question as a one-time id, if it was asked here, of this browser, and lately.
    fn asked(&self, question: &str, form_cookie: &str) -> Result<Write, Failure> {
        const OLD: &str = "this page is too old: load it again, and use your passkey once more";
        let Some(bytes) = base64url::decode(question).filter(|bytes| bytes.len() < 128) else { return refuse(OLD) };
        let Some((open, seal)) = bytes.split_at_checked(24) else { return refuse(OLD) };
        let expires = open.last_chunk::<8>().map_or(Timestamp(0), |bytes| Timestamp(i64::from_be_bytes(*bytes)));
        let own = self.question_seal(open, form_cookie);
        if !jose::digest::equal(own.as_bytes(), seal) || expires <= self.now() {
            return refuse(OLD);
        }
        let made = Some(expires.plus(QUESTION_LIFETIME.saturating_neg()));
        Ok(Write::Spend(SpentId { kind: "passkey", issuer: String::new(), id: question.to_owned(), expires, made }))
    }

    pub async fn list_passkeys(&self, account: &AccountId) -> Result<Vec<AccountPasskey>, Failure> {
        let mut all = self.store.list_passkeys(account).await?;
        all.sort_by_key(|one| one.created);
        Ok(all)
    }

    /// Adds a passkey to the account that is logged in.
    pub async fn add_passkey(
        &self,
        session: &Session,
        name: &str,
        answer: &Registration<'_>,
        (question, form_cookie): (&str, &str),
    ) -> Result<(), Failure> {
        let now = self.now();
        if !session.is_fresh(now) {
            return Failure::refuse(ErrorCode::LoginRequired, "log in again first: a new passkey wants a fresh log-in");
        }
        let spend = self.asked(question, form_cookie)?;
        let (id, origin) = self.relying_party();
        let passkey = jose::webauthn::register(answer, &RelyingParty { id: &id, origin: &origin }, question);
        let passkey = passkey.or_else(|error| refuse(error.to_string()))?;
        if self.store.list_passkeys(&session.account).await?.len() >= MAX_PASSKEYS {
            return refuse("you have 20 passkeys: remove one first");
        }
        if self.store.find_passkey(&passkey.id).await?.is_some() {
            return refuse("this passkey is registered already");
        }
        let name: String = name.trim().chars().take(MAX_NAME).collect();
        let name = if name.is_empty() { "Passkey".to_owned() } else { name };
        let made = AccountPasskey { account: session.account.clone(), passkey, name, created: now, last_used: None };
        let requires = vec![Requirement::SessionStands(session.id.clone())];
        match self.store.commit(Changes { requires, writes: vec![spend, Write::CreatePasskey(made)] }).await {
            Ok(()) => Ok(()),
            Err(CommitError::Changed) => Failure::refuse(ErrorCode::LoginRequired, "you are logged out: log in, and add it then"),
            Err(CommitError::Taken) => refuse("this passkey is registered already"),
            Err(CommitError::Spent) => refuse("this page was used before: load it again"),
            Err(error) => Err(error.into()),
        }
    }

    /// Whose passkey has answered, and what is to be written for it, which rests on the passkey as it was: one that was
    /// removed meanwhile does not come back. Wrong answers count against the caller.
    async fn answered(
        &self,
        id: &str,
        answer: &Assertion<'_>,
        (question, form_cookie): (&str, &str),
        address: &str,
    ) -> Result<(Account, Changes), Failure> {
        let mut attempt = self.log_in_limits.begin();
        attempt.take_of_host(address, self.now())?;
        let spend = self.asked(question, form_cookie)?;
        const UNKNOWN: &str = "this passkey is not known here: log in with your password, and add it";
        let Some(known) = self.store.find_passkey(id).await? else { return refuse(UNKNOWN) };
        let (party, origin) = self.relying_party();
        let verified = known.passkey.verify(answer, &RelyingParty { id: &party, origin: &origin }, question);
        let passkey = verified.or_else(|error| refuse(error.to_string()))?;
        let Some(account) = self.store.find_account(&known.account).await? else { return refuse(UNKNOWN) };
        attempt.give_back();
        if account.standing == Standing::Gone {
            return refuse(CLOSED);
        }
        let used = AccountPasskey { passkey, last_used: Some(self.now()), ..known.clone() };
        let writes = vec![spend, Write::PutPasskey(used)];
        Ok((account, Changes { requires: vec![Requirement::PasskeyUnchanged(known)], writes }))
    }

    /// Logs in by a passkey, in the place of the session that this browser had: the new one's cookie.
    pub async fn log_in_by_passkey(
        &self,
        id: &str,
        answer: &Assertion<'_>,
        question: (&str, &str),
        address: &str,
        replaced: Option<&str>,
    ) -> Result<String, Failure> {
        let (account, mut changes) = self.answered(id, answer, question, address).await?;
        let (cookie, writes) = self.new_session(&account.id, replaced);
        changes.writes.extend(writes);
        self.commit_answer(changes).await?;
        Ok(cookie)
    }

    /// Whether this account's own passkey has answered: as good as her password.
    pub async fn check_passkey(
        &self,
        account: &AccountId,
        id: &str,
        answer: &Assertion<'_>,
        question: (&str, &str),
        address: &str,
    ) -> Result<bool, Failure> {
        let (of, changes) = self.answered(id, answer, question, address).await?;
        if of.id != *account {
            return Ok(false);
        }
        self.commit_answer(changes).await?;
        Ok(true)
    }

    async fn commit_answer(&self, changes: Changes) -> Result<(), Failure> {
        match self.store.commit(changes).await {
            Ok(()) => Ok(()),
            Err(CommitError::Changed) => refuse("this passkey was used or removed just now: load the page again"),
            Err(CommitError::Spent) => refuse("this page was used before: load it again"),
            Err(error) => Err(error.into()),
        }
    }
}
