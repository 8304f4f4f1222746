//! Ways to log in, and that the last one is never taken away: a password, passkeys, accounts at other providers. What goes
//! is decided by what stays, and the decision is saved only while that still stands; of two removals at once that rest on
//! each other, one happens.

use crate::account::Standing;
use crate::session::Session;
use crate::{Account, Changes, CommitError, Failure, Identity, Requirement, Write};
use types::{AccountId, ErrorCode};

/// How often a removal is decided anew when something changed meanwhile.
const ATTEMPTS: usize = 5;

/// What is to be taken away.
#[derive(Clone, Copy)]
enum Leaving<'a> {
    Passkey(&'a str),
    LinkedLogIn(&'a str),
}

fn refuse<T>(what: &str) -> Result<T, Failure> {
    Failure::refuse(ErrorCode::InvalidRequest, what)
}

impl Identity {
    /// Removes a passkey of whoever is logged in; not the last way in.
    pub async fn remove_passkey(&self, session: &Session, id: &str) -> Result<(), Failure> {
        self.take_away(session, Leaving::Passkey(id)).await
    }

    /// Unlinks an account elsewhere; not the last way in.
    pub async fn unlink_log_in(&self, session: &Session, name: &str) -> Result<(), Failure> {
        self.take_away(session, Leaving::LinkedLogIn(name)).await
    }

    /// Decides, and saves that while what it rests on stands. Whoever came in that way is out with it: all other sessions of the
    /// account end, and what was given anywhere on a log-in of before is given anew.
    async fn take_away(&self, session: &Session, leaving: Leaving<'_>) -> Result<(), Failure> {
        let account = &session.account;
        for _ in 0..ATTEMPTS {
            if self.store.find_session(&session.id).await?.is_none() {
                return Failure::refuse(ErrorCode::LoginRequired, "you are logged out: log in, and remove it then");
            }
            let (own, write) = self.find_own(account, leaving).await?;
            let mut requires = vec![own, self.find_way_in_besides(account, leaving).await?];
            requires.push(Requirement::SessionStands(session.id.clone()));
            let mut writes = self.end_of_other_sessions(session).await?;
            writes.push(write);
            if let Some(before) = self.store.find_account(account).await? {
                writes.push(Write::PutAccount(Account { vouched_since: Some(self.now()), ..before.clone() }));
                requires.push(Requirement::AccountUnchanged(before));
            }
            match self.store.commit(Changes { requires, writes }).await {
                Err(CommitError::Changed) => {}
                // what began between the look and the commit; behind the commit nothing begins that way
                Ok(()) => return Ok(self.store.commit(Changes::of(self.end_of_other_sessions(session).await?)).await?),
                Err(error) => return Err(error.into()),
            }
        }
        Err(crate::internal("ways to log in change too fast"))
    }

    async fn end_of_other_sessions(&self, session: &Session) -> Result<Vec<Write>, Failure> {
        let mut ended = self.end_of_sessions(&session.account).await?;
        ended.retain(|write| !matches!(write, Write::DeleteSession(id) if *id == session.id));
        Ok(ended)
    }

    /// What is to go, as it stands now, and its removal.
    async fn find_own(&self, account: &AccountId, leaving: Leaving<'_>) -> Result<(Requirement, Write), Failure> {
        match leaving {
            Leaving::Passkey(id) => match self.store.find_passkey(id).await?.filter(|one| one.account == *account) {
                Some(own) => Ok((Requirement::PasskeyUnchanged(own), Write::DeletePasskey(id.to_owned()))),
                None => refuse("you have no such passkey"),
            },
            Leaving::LinkedLogIn(name) => {
                match self.store.find_linked_log_in(name).await?.filter(|one| one.account == *account) {
                    Some(own) => Ok((Requirement::LinkedLogInStands(own), Write::DeleteLinkedLogIn(name.to_owned()))),
                    None => refuse("that account is not linked to yours"),
                }
            }
        }
    }

    /// Whether anything opens this account: the operator has it, or a provider of his, a passkey or an account elsewhere opens it.
    pub async fn is_open(&self, account: &Account) -> Result<bool, Failure> {
        let is_ours = |issuer: &str| self.upstream.iter().any(|one| one.issuer() == issuer);
        if account.standing == Standing::Gone {
            return Ok(false);
        }
        if account.is_declared() || account.provider().is_none_or(is_ours) {
            return Ok(true);
        }
        let linked = self.store.list_linked_log_ins(&account.id).await?;
        Ok(linked.iter().any(|one| is_ours(&one.issuer)) || !self.store.list_passkeys(&account.id).await?.is_empty())
    }

    /// Another way into this account: what must stand when this one goes.
    async fn find_way_in_besides(&self, account: &AccountId, leaving: Leaving<'_>) -> Result<Requirement, Failure> {
        let has_password = |account: &Account| account.password_hash.is_some();
        if let Some(account) = self.store.find_account(account).await?.filter(has_password) {
            return Ok(Requirement::AccountUnchanged(account));
        }
        let stays = |id: &str| !matches!(leaving, Leaving::Passkey(gone) if gone == id);
        let mut passkeys = self.store.list_passkeys(account).await?.into_iter();
        if let Some(passkey) = passkeys.find(|one| stays(&one.passkey.id)) {
            return Ok(Requirement::PasskeyUnchanged(passkey));
        }
        // one at a provider that is not configured any more opens nothing
        let opens = |issuer: &str| self.upstream.iter().any(|one| one.issuer() == issuer);
        let stays = |name: &str| !matches!(leaving, Leaving::LinkedLogIn(gone) if gone == name);
        let mut linked = self.store.list_linked_log_ins(account).await?.into_iter();
        match linked.find(|one| opens(&one.issuer) && stays(&one.name())) {
            Some(linked) => Ok(Requirement::LinkedLogInStands(linked)),
            None => refuse("this is your only way to log in: add a passkey first"),
        }
    }
}
