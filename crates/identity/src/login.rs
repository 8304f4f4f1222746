//! Log-in, log-out and sessions.

use crate::session::{self, LIFETIME, Session};
use crate::{Account, Changes, Failure, Identity, Write};
use std::sync::Arc;
use types::{AccountId, ErrorCode};

impl Identity {
    /// Checks a password; `Some` only for the right one. Limited per name and per address.
    pub async fn check_password(&self, username: &str, password: &str, address: &str) -> Result<Option<Account>, Failure> {
        let now = self.now();
        // wrong attempts count: per name, and per address that tries many names
        let (name, from) = (format!("name {username}"), format!("from {address}"));
        if !self.login_throttle.admit(&from, now) || !self.login_throttle.admit(&name, now) {
            return Failure::refuse(ErrorCode::TooManyRequests, "too many attempts: wait a minute, then try again");
        }
        let account = match self.store.find_account_by_username(username).await? {
            Some(account) => Some(account),
            None => self.store.find_account_by_email(&username.to_lowercase()).await?,
        };
        let hash = account.as_ref().and_then(|account| account.password_hash.clone());
        let right = self.passwords.verify(password.to_owned(), hash, &*self.randomness).await?;
        if right {
            self.login_throttle.forgive(&name);
            self.login_throttle.forgive(&from);
        }
        Ok(account.filter(|_| right))
    }

    /// Starts a session: the cookie's text.
    pub async fn start_session(&self, account: &AccountId) -> Result<String, Failure> {
        let cookie = jose::ambient::random_text::<32>(&*self.randomness);
        let now = self.now();
        let session =
            Session { id: session::id_of(&cookie), account: account.clone(), auth_time: now, expires: now.plus(LIFETIME) };
        self.store.commit(Changes::of(vec![Write::PutSession(session)])).await?;
        Ok(cookie)
    }

    /// The live session of a cookie.
    pub async fn find_session(&self, cookie: &str) -> Result<Option<Session>, Failure> {
        let session = self.store.find_session(&session::id_of(cookie)).await?;
        Ok(session.filter(|session| self.now() < session.expires))
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
