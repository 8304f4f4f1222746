//! What a gateway remembers: links to owners (their PATs), what is registered where, what owners say of their things,
//! their credentials, rules and history, and links that have begun. On the engine of `database`, in a file of its own.
//!
//! Links and registrations are looked at by every call, and are kept in memory as well (`kept.rs`).

mod grants;
mod kept;
mod opening;
mod owners;
mod registrations;
mod replacing;
mod sessions;
mod tables;

use super::told::Destination;
use crate::protection::ProtectionError;
use client::oauth::CodeFlow;
use database::{Batch, Check, CommitError, Node, Operation, ReadError, Records, Row, Scan, Table, Value};
use kept::Kept;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use tables::{BEGUN, LINK, SECRET, SERVER, UNWALKED};
use types::Timestamp;
use types::brought::BroughtBy;

pub use opening::{NAME, StoreError};
pub(crate) use owners::{Opinion, Rule, Told, Withdrawn};
pub(crate) use registrations::{Registered, Standing, Unfinished};
pub(crate) use sessions::{SessionPlace, SessionRow};

/// Links of one owner that have begun and not come back.
const MOST_BEGUN: usize = 20;
/// Position of that index of the table.
const BEGUN_BY_OWNER: usize = 1;

/// How the gateway stands with an authorization server for an owner.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum LinkState {
    #[default]
    Active,
    /// Got, and to be confirmed by the owner.
    Pending,
    /// The authorization server takes it no more.
    Withdrawn,
}

/// Who an owner is at an authorization server.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Account {
    pub(crate) sub: Option<String>,
    /// Verified there.
    pub(crate) email: Option<String>,
    /// What she is called there; older stores do not say.
    #[serde(default)]
    pub(crate) name: Option<String>,
}

/// A link to an owner: the PAT, and how to renew it.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) access_token: String,
    pub(crate) expires: Timestamp,
    /// From when on another is got; older stores do not say.
    #[serde(default)]
    pub(crate) renew: Option<Timestamp>,
    pub(crate) refresh_token: Option<String>,
    /// When another was first asked for by this refresh token, as long as it is not known what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renewal_asked: Option<Timestamp>,
    #[serde(default)]
    pub(crate) state: LinkState,
    #[serde(default)]
    pub(crate) account: Account,
    #[serde(default)]
    pub(crate) created: Timestamp,
    /// Hers for whatever does not say otherwise.
    #[serde(default)]
    pub(crate) preferred: bool,
    /// The application by which it was begun or confirmed; none where she did so herself, and in older stores.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<BroughtBy>,
}

impl Link {
    /// Whether its PAT is good for a while.
    pub(crate) fn is_fresh(&self, now: Timestamp) -> bool {
        self.state == LinkState::Active && now < self.renewed_at()
    }

    /// Whether the server has ended it after an answer of its own was lost on the way here, which may be why.
    pub(crate) fn may_be_lost(&self) -> bool {
        self.state == LinkState::Withdrawn && self.renewal_asked.is_some()
    }

    /// From when on its PAT is not used any more without a try to get another.
    pub(crate) fn renewed_at(&self) -> Timestamp {
        self.renew.unwrap_or(self.expires.plus(-60))
    }
}

/// A link that has begun.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) owner: String,
    pub(crate) flow: CodeFlow,
    pub(crate) expires: Timestamp,
    /// Where the person is sent, as long as nobody has been sent there.
    #[serde(default)]
    pub(crate) url: Option<String>,
    /// Begun by the owner herself, who has shown who she is here.
    #[serde(default)]
    pub(crate) chosen: bool,
    /// The application by which she began it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) by: Option<BroughtBy>,
}

/// What this gateway is at an authorization server that it registered with by itself.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct OwnRegistration {
    pub(crate) client_id: String,
    /// None: by its own key.
    pub(crate) client_secret: Option<String>,
}

/// The gateway's store.
pub struct Store {
    records: Records,
    /// That no other process serves it, where one could come to it.
    alone: Option<Node>,
    kept: Arc<Kept>,
}

impl From<ReadError> for ProtectionError {
    fn from(error: ReadError) -> Self {
        unavailable(error)
    }
}

pub(super) fn unavailable(error: impl std::fmt::Display) -> ProtectionError {
    tracing::error!(%error, "the gateway's store fails");
    ProtectionError::Store
}

impl Store {
    /// A row with an entity behind these columns.
    fn put(&self, table: &'static Table, columns: Row, entity: &impl Serialize) -> Result<Operation, ProtectionError> {
        Ok(Operation::Put { table, row: self.records.row(table, columns, entity).map_err(unavailable)? })
    }

    async fn write(&self, operation: Operation) -> Result<(), ProtectionError> {
        self.write_all(vec![operation]).await
    }

    async fn write_all(&self, operations: Vec<Operation>) -> Result<(), ProtectionError> {
        self.commit(Batch { checks: vec![], operations }).await.map_err(|error| match error {
            CommitError::Unkept(what) => ProtectionError::Refused(what),
            other => unavailable(other),
        })
    }

    /// What is written is in nobody's memory as it was before, whoever has gone meanwhile that asked for it.
    async fn commit(&self, batch: Batch) -> Result<(), CommitError> {
        let (database, kept) = (self.records.database.clone(), self.kept.clone());
        let committed = tokio::spawn(async move {
            let (touched, under) = (kept::touched(&batch), kept::under(&batch));
            let committed = database.commit(batch).await;
            kept.forget(&touched);
            if matches!(committed, Err(CommitError::Broken(_))) {
                kept.forget(&under);
            }
            committed
        });
        committed.await.unwrap_or_else(|error| Err(CommitError::Unavailable(error.to_string())))
    }

    /// Those whose first column behind the prefix comes after this, at most so many.
    async fn rows_after(
        &self,
        table: &'static Table,
        index: Option<usize>,
        prefix: &[Value],
        after: Option<&str>,
        limit: usize,
    ) -> Result<Vec<Row>, ReadError> {
        let scan = Scan { table, index, prefix, after: after.map(Value::from), descending: false, limit };
        self.records.database.scan(&scan).await
    }

    async fn bodies<T: DeserializeOwned>(&self, table: &'static Table, owner: &str) -> Result<Vec<T>, ReadError> {
        let all = self.records.list(table, None, &[owner.into()]).await?;
        Ok(all.into_iter().map(|(_, body)| body).collect())
    }

    /// What older stores do not say: their links and registrations are at this authorization server.
    pub(crate) async fn adopt(&self, issuer: &str) -> Result<(), ProtectionError> {
        let mut operations = Vec::new();
        for (row, link) in self.records.list::<Link>(&LINK, None, &[]).await? {
            let (Some(owner), Some("")) = (row.first(), row.get(1).and_then(Value::as_text)) else { continue };
            operations.push(Operation::Delete { table: &LINK, key: vec![owner.clone(), "".into()] });
            operations.push(self.put(&LINK, vec![owner.clone(), issuer.into()], &link)?);
        }
        for registered in self.all_registrations().await?.into_iter().filter(|registered| registered.issuer.is_empty()) {
            operations.push(self.put_of(&Registered { issuer: issuer.to_owned(), ..registered })?);
        }
        if operations.is_empty() { Ok(()) } else { self.write_all(operations).await }
    }

    pub(crate) async fn find_link(&self, owner: &str, issuer: &str) -> Result<Option<Arc<Link>>, ReadError> {
        self.kept.link(owner, issuer, || async move { self.records.find(&LINK, &[owner.into(), issuer.into()]).await }).await
    }

    /// An owner's links, with their issuers.
    pub(crate) async fn list_links(&self, owner: &str) -> Result<Vec<(String, Link)>, ReadError> {
        let read = |row: &Row| Ok((LINK.text(row, 1)?.to_owned(), self.records.open(&LINK, row)?));
        self.records.rows(&LINK, None, &[owner.into()]).await?.iter().map(read).collect()
    }

    /// Authorization servers that some owner has linked and that are none of these, each once.
    pub async fn list_servers_but(&self, listed: &[String]) -> Result<Vec<String>, String> {
        let rows = self.records.rows(&LINK, None, &[]).await.map_err(|error| error.to_string())?;
        let mut found = std::collections::BTreeSet::new();
        for row in &rows {
            let link: Link = self.records.open(&LINK, row).map_err(|error| error.to_string())?;
            let issuer = LINK.text(row, 1).map_err(|error| error.to_string())?;
            if link.state == LinkState::Active && !listed.iter().any(|one| one == issuer) {
                found.insert(issuer.to_owned());
            }
        }
        Ok(found.into_iter().collect())
    }

    /// Links whose server was asked for a renewal, and of which no answer is known.
    pub(super) async fn list_unanswered_links(&self) -> Result<Vec<Destination>, ReadError> {
        let mut found = Vec::new();
        for row in self.records.rows(&LINK, None, &[]).await? {
            // one that does not open is told where it is needed
            let Ok(link) = self.records.open::<Link>(&LINK, &row) else { continue };
            let at = |column: usize| row.get(column).and_then(Value::as_text).unwrap_or_default().to_owned();
            if link.state == LinkState::Active && link.renewal_asked.is_some() {
                found.push(Destination { owner: at(0), issuer: at(1) });
            }
        }
        Ok(found)
    }

    pub(crate) async fn put_link(&self, owner: &str, issuer: &str, link: &Link) -> Result<(), ProtectionError> {
        self.write(self.put(&LINK, vec![owner.into(), issuer.into()], link)?).await
    }

    pub(crate) async fn delete_link(&self, owner: &str, issuer: &str) -> Result<(), ProtectionError> {
        self.write(Operation::Delete { table: &LINK, key: vec![owner.into(), issuer.into()] }).await
    }

    /// Links that change together; with a mark, her folder is to be walked through for them, and a crash forgets neither.
    pub(crate) async fn change_links(
        &self,
        owner: &str,
        links: &[(String, Link)],
        mark: Option<&str>,
    ) -> Result<(), ProtectionError> {
        let mut operations = Vec::new();
        for (issuer, link) in links {
            operations.push(self.put(&LINK, vec![owner.into(), issuer.as_str().into()], link)?);
        }
        operations.extend(mark.map(|mark| Operation::Put { table: &UNWALKED, row: vec![owner.into(), mark.into()] }));
        self.write_all(operations).await
    }

    /// The mark of an owner whose folder is to be walked through.
    pub(crate) async fn find_unwalked(&self, owner: &str) -> Result<Option<String>, ReadError> {
        let row = self.records.database.get(&UNWALKED, &[owner.into()]).await?;
        row.map(|row| UNWALKED.text(&row, 1).map(str::to_owned)).transpose()
    }

    pub(crate) async fn list_unwalked(&self, after: Option<&str>, limit: usize) -> Result<Vec<String>, ReadError> {
        let rows = self.rows_after(&UNWALKED, None, &[], after, limit).await?;
        rows.iter().map(|row| UNWALKED.text(row, 0).map(str::to_owned)).collect()
    }

    /// It was walked through; whoever asked for it again meanwhile has it walked through again.
    pub(crate) async fn delete_unwalked(&self, owner: &str, mark: &str) -> Result<(), ProtectionError> {
        let key = vec![Value::from(owner)];
        let check = Check::Equals { table: &UNWALKED, key: key.clone(), column: 1, value: mark.into() };
        let batch = Batch { checks: vec![check], operations: vec![Operation::Delete { table: &UNWALKED, key }] };
        match self.commit(batch).await {
            Ok(()) | Err(CommitError::Broken(_)) => Ok(()),
            Err(error) => Err(unavailable(error)),
        }
    }

    /// What this gateway is at an authorization server that nobody configured.
    pub(crate) async fn find_server(&self, issuer: &str) -> Result<Option<OwnRegistration>, ReadError> {
        self.records.find(&SERVER, &[issuer.into()]).await
    }

    pub(crate) async fn put_server(&self, issuer: &str, own: &OwnRegistration) -> Result<(), ProtectionError> {
        self.write(self.put(&SERVER, vec![issuer.into()], own)?).await
    }

    pub(crate) async fn find_secret(&self, name: &str) -> Result<Option<Vec<u8>>, ReadError> {
        self.records.find(&SECRET, &[name.into()]).await
    }

    pub(crate) async fn put_secret(&self, name: &str, secret: Vec<u8>) -> Result<(), ProtectionError> {
        self.write(self.put(&SECRET, vec![name.into()], &secret)?).await
    }

    /// Keeps a link that its owner began. Of each owner the newest [`MOST_BEGUN`] are kept: where a program of hers begins many,
    /// her own last one is among them, and nobody else's go.
    pub(crate) async fn put_begun(&self, state: &str, begun: &Begun, now: Timestamp) -> Result<(), ProtectionError> {
        let sweep = Operation::sweep(&BEGUN, now.0);
        let before = self.records.rows(&BEGUN, Some(BEGUN_BY_OWNER), &[begun.owner.as_str().into()]).await?;
        let kept_from = before.len().saturating_sub(MOST_BEGUN.saturating_sub(1));
        let oldest = before.iter().take(kept_from).filter_map(|row| Some(vec![row.first()?.clone()]));
        let columns = vec![state.into(), begun.owner.as_str().into(), begun.expires.0.into()];
        let put = self.put(&BEGUN, columns, begun)?;
        let ended = oldest.map(|key| Operation::Delete { table: &BEGUN, key });
        self.write_all(sweep.into_iter().chain(ended).chain([put]).collect()).await
    }

    /// A link that has begun; good once.
    pub(crate) async fn take_begun(&self, state: &str, now: Timestamp) -> Result<Option<Begun>, ProtectionError> {
        let begun: Option<Begun> = self.records.find(&BEGUN, &[state.into()]).await?;
        let Some(begun) = begun.filter(|begun| now < begun.expires) else { return Ok(None) };
        let key = vec![Value::from(state)];
        // of two that come at once, one takes it
        let check = Check::Equals { table: &BEGUN, key: key.clone(), column: 0, value: state.into() };
        let batch = Batch { checks: vec![check], operations: vec![Operation::Delete { table: &BEGUN, key }] };
        match self.commit(batch).await {
            Ok(()) => Ok(Some(begun)),
            Err(CommitError::Broken(_)) => Ok(None),
            Err(error) => Err(unavailable(error)),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
