//! What identity writes, and what it rests on.

use super::{Plan, Planned};
use crate::entity::{Entity, row, spent_row};
use crate::place::{token_key, token_row};
use crate::tables;
use database::{Check, Operation};
use identity::CommitError;
use identity::token::RefreshToken;

impl Plan<'_> {
    pub(super) fn require_identity(&mut self, requirement: identity::Requirement) -> Planned {
        use identity::Requirement as R;
        match requirement {
            R::ConsentStands(id) => self.must_be_there(&tables::CONSENT, row![id]),
            R::RefreshUnchanged { key, version } => self.must_equal(&tables::REFRESH_TOKEN, token_key(&key), 3, version),
            R::AccountUnchanged(account) => self.must_be(&account)?,
            R::PasskeyUnchanged(p) => self.must_be(&p)?,
            R::LinkedLogInStands(l) => self.must_equal(&tables::LINKED_LOG_IN, row![l.name()], 1, l.account),
            R::ClientStands(id) => self.must_be_there(&tables::CLIENT, row![id]),
            R::UseUnchanged { client, used: Some(time) } => self.must_equal(&tables::CLIENT_USE, row![client], 1, time),
            R::UseUnchanged { client, used: None } => {
                self.check(Check::Absent { table: &tables::CLIENT_USE, key: row![client] }, CommitError::Changed);
            }
            R::SessionStands(id) => self.must_be_there(&tables::SESSION, row![id]),
            R::PushedRequestStands(id) => self.must_be_there(&tables::PUSHED_REQUEST, row![id]),
        }
        Ok(())
    }

    pub(super) fn write_identity(&mut self, write: identity::Write) -> Planned {
        use identity::Write as W;
        match write {
            W::Spend(id) => {
                self.spends.push(self.operations.len());
                self.insert_row(&tables::SPENT, spent_row(&id))
            }
            W::CreateAccount(account) => self.insert(&account),
            W::PutAccount(account) => self.put(&account),
            W::CreateClient(client) => self.insert(&client),
            W::PutClient(client) => self.put(&client),
            W::DeleteClient(id) => {
                let prefix = row![id];
                self.operations.push(Operation::DeleteAll { table: &tables::CONSENT, index: Some(1), prefix });
                self.delete(&tables::CLIENT_USE, row![id])?;
                self.delete(&tables::CLIENT, row![id])
            }
            W::NoteUse(id, time) => self.put_row(&tables::CLIENT_USE, row![id, time]),
            W::PutSession(s) => self.put(&s),
            W::DeleteSession(id) => self.delete(&tables::SESSION, row![id]),
            W::CreatePasskey(p) => self.insert(&p),
            W::PutPasskey(p) => self.put(&p),
            W::DeletePasskey(id) => self.delete(&tables::PASSKEY, row![id]),
            W::CreateLinkedLogIn(l) => self.insert(&l),
            W::DeleteLinkedLogIn(name) => self.delete(&tables::LINKED_LOG_IN, row![name]),
            W::PutConsent(c) => self.put(&c),
            W::DeleteConsent(c) => self.delete(&tables::CONSENT, row![c.id]),
            W::PutPushedRequest(r) => self.put(&r),
            W::DeletePushedRequest(id) => self.delete(&tables::PUSHED_REQUEST, row![id]),
            W::PutKey(k) => self.put(&k),
            W::DeleteKey(kid) => self.delete(&tables::SIGNING_KEY, row![kid]),
            W::PutSecret(s) => self.insert(&s),
            W::DeleteSecret(name) => self.delete(&tables::SECRET, row![name]),
            token => self.write_token(token),
        }
    }

    fn write_token(&mut self, write: identity::Write) -> Planned {
        use identity::Write as W;
        match write {
            W::PutCode(key, code) => self.token(&key, &code),
            W::PutAccessToken(key, token) => self.token(&key, &token),
            W::DeleteAccessToken(key) => self.delete(&tables::ACCESS_TOKEN, token_key(&key)),
            W::CreateRefreshToken(key, token) => self.token(&key, &token),
            W::PutRefreshToken(key, token) => {
                let row = self.row(RefreshToken::TABLE, token_row(&key, token.columns()), &token)?;
                self.put_row(RefreshToken::TABLE, row)
            }
            W::EndFamily(family) => {
                for table in [&tables::ACCESS_TOKEN, &tables::REFRESH_TOKEN, &tables::RPT] {
                    self.operations.push(Operation::DeleteAll { table, index: Some(0), prefix: row![family] });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
