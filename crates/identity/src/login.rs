//! Log-in, log-out and sessions.

use crate::hashing_queue::Waiting;
use crate::log_in_limits::Attempt;
use crate::password::MAX_PASSWORD_BYTES;
use crate::session::{self, LIFETIME, Proof, Session};
use crate::{Account, Changes, Failure, Identity, Write};
use std::sync::Arc;
use types::{AccountId, ClientId, ErrorCode, email, spelling};

/// The longest user name or address that is looked up, in bytes.
const MAX_NAME_BYTES: usize = 256;

/// Where a try comes from.
pub struct Caller<'a> {
    pub address: &'a str,
    /// What this browser remembers of log-ins here ([`crate::known_browser`]); empty where it remembers none.
    pub known: &'a str,
}

impl Identity {
    /// Checks a password; `Some` only for the right one. Limited per account and per caller, before any work: thirty ways
    /// to write one address are one account, and a try that is under way counts.
    pub async fn check_password(&self, typed: &str, password: &str, caller: &Caller<'_>) -> Result<Option<Account>, Failure> {
        if typed.len() > MAX_NAME_BYTES {
            return Failure::refuse(ErrorCode::InvalidRequest, "no user name or address is that long: type yours");
        }
        check_length(password)?;
        let (limits, now) = (&self.log_in_limits, self.now());
        let mut attempt = limits.begin();
        let account = self.find_account_by_name(typed).await?;
        let known = account.as_ref().and_then(|account| self.find_known_browser(account, caller.known));
        // many may call from one address: what strangers try there keeps nobody out whose browser is known
        match known {
            Some(_) => attempt.take_of_known_host(caller.address, now)?,
            None => attempt.take_of_host(caller.address, now)?,
        }
        let taken = match (&account, known) {
            (Some(account), Some(browser)) => attempt.take_of_known(account.id.as_str(), &browser, now),
            (Some(account), None) => attempt.take_of_account(account.id.as_str(), caller.address, now),
            (None, _) => {
                let name = email::normalize(typed).unwrap_or_else(|| spelling::normalize_username(typed));
                attempt.take_of_name(&name, caller.address, now)
            }
        };
        if let Err(refused) = taken {
            // what one account has used up is not counted against whoever else is at this address
            attempt.give_back();
            return Err(refused);
        }
        self.try_password(account, password, &Waiting::at(caller.address), attempt).await
    }

    /// Whether this is the password of whoever is logged in; limited in the same way, but by her session, which nobody else
    /// has: tries of others do not shut her out.
    pub async fn check_own_password(&self, session: &Session, password: &str) -> Result<bool, Failure> {
        check_length(password)?;
        let (limits, now) = (&self.log_in_limits, self.now());
        let mut attempt = limits.begin();
        attempt.take_of_known(session.account.as_str(), &session.id, now)?;
        let account = self.store.find_account(&session.account).await?;
        let waiting = Waiting::of_session(&session.account);
        Ok(self.try_password(account, password, &waiting, attempt).await?.is_some())
    }

    async fn try_password(
        &self,
        account: Option<Account>,
        password: &str,
        waiting: &Waiting,
        attempt: Attempt<'_>,
    ) -> Result<Option<Account>, Failure> {
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        let right = match self.passwords.verify(password, hash, waiting, &*self.randomness).await {
            Ok(right) => right,
            Err(failure) => {
                // nothing was compared: too many wait
                attempt.give_back();
                return Err(failure);
            }
        };
        if right {
            attempt.give_back();
        }
        Ok(account.filter(|_| right))
    }

    /// By user name, or by verified address, as somebody typed it.
    pub async fn find_account_by_name(&self, typed: &str) -> Result<Option<Account>, Failure> {
        match self.find_account_by_username(typed).await? {
            Some(account) => Ok(Some(account)),
            None => self.find_account_by_address(typed).await,
        }
    }

    /// By user name; also one that was kept before names were normalized.
    pub async fn find_account_by_username(&self, typed: &str) -> Result<Option<Account>, Failure> {
        for name in spelling::spellings_of_username(typed) {
            if let Some(account) = self.store.find_account_by_username(&name).await? {
                return Ok(Some(account));
            }
        }
        Ok(None)
    }

    /// By verified address; what is no address is nobody's.
    pub async fn find_account_by_address(&self, address: &str) -> Result<Option<Account>, Failure> {
        match email::normalize(address) {
            Some(address) => Ok(self.store.find_account_by_email(&address).await?),
            None => Ok(None),
        }
    }

    /// Starts a session in the place of the one that this browser had, which ends: the cookie's text.
    pub async fn start_session(&self, account: &AccountId, replaced: Option<&str>) -> Result<String, Failure> {
        let (cookie, writes) = self.new_session(account, replaced);
        self.store.commit(Changes::of(writes)).await?;
        Ok(cookie)
    }

    /// A session that starts now: the cookie's text, and what is to be written for it.
    pub(crate) fn new_session(&self, account: &AccountId, replaced: Option<&str>) -> (String, Vec<Write>) {
        self.new_session_proved(account, &Proof { at: self.now(), by: None }, replaced)
    }

    /// The same for whoever proved herself at another time than now, or elsewhere.
    pub(crate) fn new_session_proved(
        &self,
        account: &AccountId,
        proof: &Proof<'_>,
        replaced: Option<&str>,
    ) -> (String, Vec<Write>) {
        let cookie = jose::ambient::random_text::<32>(&*self.randomness);
        let session = Session {
            id: session::id_of(&cookie),
            account: account.clone(),
            auth_time: proof.at,
            by: proof.by.map(str::to_owned),
            expires: self.now().plus(LIFETIME),
        };
        let ended = replaced.map(|cookie| Write::DeleteSession(session::id_of(cookie)));
        (cookie, ended.into_iter().chain([Write::PutSession(session)]).collect())
    }

    /// The live session of a cookie.
    pub async fn find_session(&self, cookie: &str) -> Result<Option<Session>, Failure> {
        let session = self.store.find_session(&session::id_of(cookie)).await?;
        Ok(session.filter(|session| self.now() < session.expires))
    }

    /// Refuses what was to be done in a session, or for a client, that has ended meanwhile.
    pub(crate) async fn check_standing(&self, session: &Session, client: &ClientId) -> Result<(), Failure> {
        match self.store.find_session(&session.id).await? {
            Some(_) => self.check_client_stands(client).await,
            None => Failure::refuse(ErrorCode::LoginRequired, "you are logged out: log in, and start again"),
        }
    }

    pub(crate) async fn check_client_stands(&self, client: &ClientId) -> Result<(), Failure> {
        match self.store.find_client(client).await? {
            Some(_) => Ok(()),
            None => Failure::refuse(ErrorCode::InvalidRequest, "the application is not registered here any more: go back to it"),
        }
    }

    /// Ends the session.
    pub async fn end_session(&self, cookie: &str) -> Result<(), Failure> {
        self.store.commit(Changes::of(vec![Write::DeleteSession(session::id_of(cookie))])).await?;
        Ok(())
    }

    /// The person withdraws what she agreed to for a client (the page of linked applications).
    pub async fn withdraw_consent(&self, account: &AccountId, grant: &types::GrantId) -> Result<bool, Failure> {
        match self.store.find_consent(grant).await?.filter(|consent| consent.account == *account) {
            Some(consent) => {
                self.store.commit(Changes::of(vec![Write::DeleteConsent(Arc::unwrap_or_clone(consent))])).await?;
                Ok(true)
            }
            None => Ok(false),
        }
    }
}

fn check_length(password: &str) -> Result<(), Failure> {
    if password.len() <= MAX_PASSWORD_BYTES {
        return Ok(());
    }
    Failure::refuse(ErrorCode::InvalidRequest, "no password is longer than 1024 bytes: type yours")
}
