//! What owners say at a gateway, and what it tells them: their credentials and withdrawn tokens, their own words for
//! their things, rules, and the history.

use super::tables::{CREDENTIAL, HISTORY, RULE, WITHDRAWN};
use super::{Store, unavailable};
use crate::protection::ProtectionError;
use database::{Batch, Check, CommitError, Operation, ReadError, Row, Scan, Value};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;
use types::credential::CredentialDocument;
use types::{ClientId, OwnResourceId, ScopeSet, Timestamp};

/// A token that does not count any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Withdrawn {
    pub(crate) jti: String,
    pub(crate) exp: Timestamp,
}

/// What an owner says of a resource of hers; what she leaves out is as the gateway has it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Opinion {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) name: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) description: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) icon_uri: Option<String>,
    #[serde(default, rename = "type", skip_serializing_if = "Option::is_none")]
    pub(crate) resource_type: Option<String>,
    /// She decides where it is registered: the gateway does not by itself.
    #[serde(default)]
    pub(crate) placed: bool,
}

/// A rule of the gateway's own (protocol.md 2): it narrows what an authorization server granted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rule {
    #[serde(rename = "_id", default)]
    pub(crate) id: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_id: Option<OwnResourceId>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) resource_scopes: Option<ScopeSet>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_id: Option<ClientId>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) claims: BTreeMap<String, OneOrMany>,
    pub(crate) effect: Effect,
}

/// A value, or any of several.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    pub(crate) fn has(&self, value: &str) -> bool {
        match self {
            Self::One(one) => one == value,
            Self::Many(many) => many.iter().any(|one| one == value),
        }
    }

    /// Whether there is one, and each fits.
    pub(crate) fn all_are(&self, fits: impl Fn(&str) -> bool) -> bool {
        match self {
            Self::One(one) => fits(one),
            Self::Many(many) => !many.is_empty() && many.iter().all(|one| fits(one)),
        }
    }
}

/// A rule can only take away.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Effect {
    Deny,
}

/// One line of the history: calls of one kind, counted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    #[serde(rename = "_id")]
    pub(crate) id: String,
    pub(crate) time: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) count: u64,
    /// Of calls that are not told apart: of how many kinds they are, at least.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) kinds: Option<usize>,
    #[serde(flatten)]
    pub(crate) what: super::super::history::What,
}

impl Store {
    pub(crate) async fn find_credential(&self, owner: &str, subject: &str) -> Result<Option<Arc<CredentialDocument>>, ReadError> {
        self.kept
            .credential(owner, subject, || async move { self.records.find(&CREDENTIAL, &[owner.into(), subject.into()]).await })
            .await
    }

    pub(crate) async fn list_credentials(&self, owner: &str) -> Result<Vec<CredentialDocument>, ReadError> {
        self.bodies(&CREDENTIAL, owner).await
    }

    pub(crate) async fn put_credential(
        &self,
        owner: &str,
        subject: &str,
        credential: &CredentialDocument,
    ) -> Result<(), ProtectionError> {
        self.write(self.put(&CREDENTIAL, vec![owner.into(), subject.into()], credential)?).await
    }

    /// Whether there was one of this id.
    pub(crate) async fn delete_credential(&self, owner: &str, id: &str) -> Result<bool, ProtectionError> {
        let mut unreadable = None;
        for row in self.records.rows(&CREDENTIAL, None, &[owner.into()]).await? {
            match self.records.open::<CredentialDocument>(&CREDENTIAL, &row) {
                Ok(credential) if credential.id == id => {
                    let key = CREDENTIAL.key_of(&row).to_vec();
                    let delete = Operation::Delete { table: &CREDENTIAL, key };
                    // the next of this name, registered meanwhile, is another
                    let batch = Batch { checks: vec![Check::unchanged(&CREDENTIAL, &row)], operations: vec![delete] };
                    return match self.commit(batch).await {
                        Ok(()) => Ok(true),
                        Err(CommitError::Broken(_)) => Box::pin(self.delete_credential(owner, id)).await,
                        Err(error) => Err(unavailable(error)),
                    };
                }
                Ok(_) => {}
                Err(error) => unreadable = Some(error),
            }
        }
        // the one that does not open may be the one that she means
        unreadable.map_or(Ok(false), |error| Err(error.into()))
    }

    pub(crate) async fn is_withdrawn(&self, owner: &str, jti: &str) -> Result<bool, ReadError> {
        self.kept
            .is_withdrawn(owner, jti, || async move {
                Ok(self.records.database.get(&WITHDRAWN, &[owner.into(), jti.into()]).await?.is_some())
            })
            .await
    }

    /// By `jti`.
    pub(crate) async fn list_withdrawn(
        &self,
        owner: &str,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Withdrawn>, ReadError> {
        let read = |row: &Row| Ok(Withdrawn { jti: WITHDRAWN.text(row, 1)?.to_owned(), exp: Timestamp(WITHDRAWN.int(row, 2)?) });
        let rows = self.rows_after(&WITHDRAWN, None, &[owner.into()], after, limit).await?;
        rows.iter().map(read).collect()
    }

    /// Remembers it until it would have ended by itself, with room for a clock that is wrong.
    pub(crate) async fn withdraw(&self, owner: &str, token: &Withdrawn, now: Timestamp) -> Result<(), ProtectionError> {
        let sweep = Operation::sweep(&WITHDRAWN, now.0);
        let row = vec![owner.into(), token.jti.as_str().into(), token.exp.0.into()];
        self.write_all(sweep.into_iter().chain([Operation::Put { table: &WITHDRAWN, row }]).collect()).await
    }

    pub(crate) async fn list_rules(&self, owner: &str) -> Result<Arc<Vec<Rule>>, ReadError> {
        self.kept.rules(owner, || self.bodies(&RULE, owner)).await
    }

    pub(crate) async fn put_rule(&self, owner: &str, rule: &Rule) -> Result<(), ProtectionError> {
        self.write(self.put(&RULE, vec![owner.into(), rule.id.as_str().into()], rule)?).await
    }

    pub(crate) async fn delete_rule(&self, owner: &str, id: &str) -> Result<(), ProtectionError> {
        self.write(Operation::Delete { table: &RULE, key: vec![owner.into(), id.into()] }).await
    }

    /// Writes lines of the history, and lets go of what is older than it is kept.
    pub(crate) async fn tell(&self, lines: &[(String, Timestamp, Told)], now: Timestamp) -> Result<(), ProtectionError> {
        // as much may come at once as is swept at once
        self.records.sweep(&[&HISTORY], now.0).await.map_err(unavailable)?;
        let mut operations = Vec::new();
        for (owner, until, told) in lines {
            operations.push(self.put(&HISTORY, vec![owner.as_str().into(), told.id.as_str().into(), until.0.into()], told)?);
        }
        self.write_all(operations).await
    }

    /// The history, newest first.
    pub(crate) async fn list_history(&self, owner: &str, after: Option<&str>, limit: usize) -> Result<Vec<Told>, ReadError> {
        let prefix = [owner.into()];
        let scan = Scan { table: &HISTORY, index: None, prefix: &prefix, after: after.map(Value::from), descending: true, limit };
        self.records.database.scan(&scan).await?.iter().map(|row| self.records.open(&HISTORY, row)).collect()
    }
}
