//! What identity writes, and what it rests on.

use super::{Plan, Planned};
use crate::row::{account_row, body, client_row, consent_row, passkey_row, spent_row, token_key, token_row};
use crate::tables;
use database::{Check, Operation};
use identity::CommitError;

impl Plan {
    pub(super) fn require_identity(&mut self, requirement: identity::Requirement) -> Planned {
        use identity::Requirement as R;
        match requirement {
            R::ConsentStands(id) => self.must_be_there(&tables::CONSENT, vec![id.as_str().into()]),
            R::RefreshUnchanged { key, version } => self.must_equal(&tables::REFRESH_TOKEN, token_key(&key), 3, version.into()),
            R::AccountUnchanged(account) => {
                self.must_equal(&tables::ACCOUNT, vec![account.id.as_str().into()], 3, body(&account)?);
            }
            R::PasskeyUnchanged(p) => self.must_equal(&tables::PASSKEY, vec![p.passkey.id.as_str().into()], 2, body(&p)?),
            R::LinkedLogInStands(l) => {
                self.must_equal(&tables::LINKED_LOG_IN, vec![l.name().into()], 1, l.account.as_str().into());
            }
            R::ClientStands(id) => self.must_be_there(&tables::CLIENT, vec![id.as_str().into()]),
            R::UseUnchanged { client, used: Some(time) } => {
                self.must_equal(&tables::CLIENT_USE, vec![client.as_str().into()], 1, time.0.into());
            }
            R::UseUnchanged { client, used: None } => {
                let key = vec![client.as_str().into()];
                self.check(Check::Absent { table: &tables::CLIENT_USE, key }, CommitError::Changed);
            }
            R::SessionStands(id) => self.must_be_there(&tables::SESSION, vec![id.into()]),
            R::PushedRequestStands(id) => self.must_be_there(&tables::PUSHED_REQUEST, vec![id.into()]),
        }
        Ok(())
    }

    pub(super) fn write_identity(&mut self, write: identity::Write) -> Planned {
        use identity::Write as W;
        match write {
            W::Spend(id) => {
                self.spends.push(self.operations.len());
                self.insert(&tables::SPENT, spent_row(&id))
            }
            W::CreateAccount(account) => self.insert(&tables::ACCOUNT, account_row(&account)?),
            W::PutAccount(account) => self.put(&tables::ACCOUNT, account_row(&account)?),
            W::CreateClient(client) => self.insert(&tables::CLIENT, client_row(&client)?),
            W::PutClient(client) => self.put(&tables::CLIENT, client_row(&client)?),
            W::DeleteClient(id) => {
                let prefix = vec![id.as_str().into()];
                self.operations.push(Operation::DeleteAll { table: &tables::CONSENT, index: Some(1), prefix });
                self.delete(&tables::CLIENT_USE, vec![id.as_str().into()])?;
                self.delete(&tables::CLIENT, vec![id.as_str().into()])
            }
            W::NoteUse(id, time) => self.put(&tables::CLIENT_USE, vec![id.as_str().into(), time.0.into()]),
            W::PutSession(s) => self.put(&tables::SESSION, vec![s.id.as_str().into(), s.expires.0.into(), body(&s)?]),
            W::DeleteSession(id) => self.delete(&tables::SESSION, vec![id.into()]),
            W::CreatePasskey(p) => self.insert(&tables::PASSKEY, passkey_row(&p)?),
            W::PutPasskey(p) => self.put(&tables::PASSKEY, passkey_row(&p)?),
            W::DeletePasskey(id) => self.delete(&tables::PASSKEY, vec![id.into()]),
            W::CreateLinkedLogIn(l) => {
                let row = vec![l.name().into(), l.account.as_str().into(), body(&l)?];
                self.insert(&tables::LINKED_LOG_IN, row)
            }
            W::DeleteLinkedLogIn(name) => self.delete(&tables::LINKED_LOG_IN, vec![name.into()]),
            W::PutConsent(c) => self.put(&tables::CONSENT, consent_row(&c)?),
            W::DeleteConsent(c) => self.delete(&tables::CONSENT, vec![c.id.as_str().into()]),
            W::PutPushedRequest(r) => {
                self.put(&tables::PUSHED_REQUEST, vec![r.id.as_str().into(), r.expires.0.into(), body(&r)?])
            }
            W::DeletePushedRequest(id) => self.delete(&tables::PUSHED_REQUEST, vec![id.into()]),
            W::PutKey(k) => self.put(&tables::SIGNING_KEY, vec![k.kid.as_str().into(), body(&k)?]),
            W::DeleteKey(kid) => self.delete(&tables::SIGNING_KEY, vec![kid.into()]),
            W::PutSecret(s) => self.insert(&tables::SECRET, vec![s.name.as_str().into(), s.expires.0.into(), body(&s)?]),
            W::DeleteSecret(name) => self.delete(&tables::SECRET, vec![name.into()]),
            token => self.write_token(token),
        }
    }

    fn write_token(&mut self, write: identity::Write) -> Planned {
        use identity::Write as W;
        match write {
            W::PutCode(key, code) => {
                // kept past its end, so that a second use is told from an unknown code
                self.token(&tables::CODE, &key, [code.expires.plus(3600).0.into(), body(&code)?])
            }
            W::PutAccessToken(key, token) => {
                self.token(&tables::ACCESS_TOKEN, &key, [token.family.as_str().into(), token.expires.0.into(), body(&token)?])
            }
            W::DeleteAccessToken(key) => self.delete(&tables::ACCESS_TOKEN, token_key(&key)),
            W::CreateRefreshToken(key, token) => {
                let rest = [token.family.as_str().into(), 0.into(), token.expires.0.into(), body(&token)?];
                self.token(&tables::REFRESH_TOKEN, &key, rest)
            }
            W::PutRefreshToken(key, token) => {
                // the version rises with each change, also when two come at once
                let version = i64::from(token.rotated.is_some()).saturating_add(i64::from(token.superseded));
                let rest = [token.family.as_str().into(), version.into(), token.expires.0.into(), body(&token)?];
                self.put(&tables::REFRESH_TOKEN, token_row(&key, rest))
            }
            W::EndFamily(family) => {
                for table in [&tables::ACCESS_TOKEN, &tables::REFRESH_TOKEN, &tables::RPT] {
                    self.operations.push(Operation::DeleteAll { table, index: Some(0), prefix: vec![family.as_str().into()] });
                }
                Ok(())
            }
            _ => Ok(()),
        }
    }
}
