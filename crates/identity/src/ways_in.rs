//! Ways to log in, and that the last one is never taken away: a password, passkeys, accounts at other providers. What goes
//! is decided by what stays, and the decision is saved only while that still stands; of two removals at once that rest on
//! each other, one happens.

use crate::account::Standing;
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
    /// Removes a passkey of this account; not the last way in.
    pub async fn remove_passkey(&self, account: &AccountId, id: &str) -> Result<(), Failure> {
        self.take_away(account, Leaving::Passkey(id)).await
    }

    /// Unlinks an account elsewhere; not the last way in.
    pub async fn unlink_log_in(&self, account: &AccountId, name: &str) -> Result<(), Failure> {
        self.take_away(account, Leaving::LinkedLogIn(name)).await
    }

    /// Decides, and saves that while what it rests on stands.
    async fn take_away(&self, account: &AccountId, leaving: Leaving<'_>) -> Result<(), Failure> {
        for _ in 0..ATTEMPTS {
            let (own, write) = self.find_own(account, leaving).await?;
            let stays = self.find_way_in_besides(account, leaving).await?;
            match self.store.commit(Changes { requires: vec![own, stays], writes: vec![write] }).await {
                Err(CommitError::Changed) => {}
                done => return Ok(done?),
            }
        }
        Err(crate::internal("ways to log in change too fast"))
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
