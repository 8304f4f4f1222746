//! What a relationship manager remembers: who is logged in, the servers that its people linked, what those last said, and
//! what was asked of them and is not confirmed. On the engine of `database`, in a file of its own; tokens and what servers
//! said are sealed.

mod ledger;
mod seal;
mod task;
mod vault;

pub(crate) use task::OwnersServer;

use client::oauth::CodeFlow;
use database::{Batch, Column, Database, Index, Kind, Memory, Migrations, OpenError, Operation, Row, Scan, Sqlite, Table, Value};
use jose::Randomness;
use jose::seal::SealingKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Mutex;
use types::Timestamp;

const fn text(name: &'static str) -> Column {
    Column { name, kind: Kind::Text }
}

const fn int(name: &'static str) -> Column {
    Column { name, kind: Kind::Int }
}

const BODY: Column = Column { name: "body", kind: Kind::Blob };

static SESSION: Table =
    Table { name: "session", columns: &[text("id"), int("expires"), BODY], key: 1, indexes: &[], ..Table::OPEN };
static BEGUN: Table =
    Table { name: "begun", columns: &[text("state"), int("expires"), BODY], key: 1, indexes: &[], ..Table::OPEN };
static SECRET: Table = Table { name: "secret", columns: &[text("name"), BODY], key: 1, indexes: &[], ..Table::OPEN };
static REGISTRATION: Table =
    Table { name: "registration", columns: &[text("issuer"), BODY], key: 1, indexes: &[], ..Table::OPEN };
static LINK: Table = Table { name: "link", columns: &[text("owner"), text("id"), BODY], key: 2, indexes: &[], ..Table::OPEN };
static NOTICE: Table = Table { name: "notice", columns: &[text("sub"), BODY], key: 1, indexes: &[], ..Table::OPEN };
static VAULT: Table = Table { name: "vault", columns: &[text("owner"), text("did"), BODY], key: 2, indexes: &[], ..Table::OPEN };
static VAULT_PASSKEY: Table =
    Table { name: "vault_passkey", columns: &[text("owner"), text("credential"), BODY], key: 2, indexes: &[], ..Table::OPEN };
static SNAPSHOT: Table =
    Table { name: "snapshot", columns: &[text("owner"), text("link"), BODY], key: 2, indexes: &[], ..Table::OPEN };
static LEDGER: Table = Table { name: "ledger", columns: &[text("owner"), text("id"), BODY], key: 2, indexes: &[], ..Table::OPEN };
static TASK: Table = Table {
    name: "task",
    columns: &[text("owner"), text("id"), int("due"), BODY],
    key: 2,
    indexes: &[Index { name: "task_by_due", columns: &[2], unique: false }],
    ..Table::OPEN
};

static TABLES: [&Table; 11] =
    [&SESSION, &BEGUN, &SECRET, &REGISTRATION, &LINK, &NOTICE, &VAULT, &VAULT_PASSKEY, &SNAPSHOT, &LEDGER, &TASK];

static MIGRATIONS: Migrations = Migrations(&[
    "\
     CREATE TABLE session (id TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE begun (state TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE secret (name TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE registration (issuer TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE link (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE TABLE notice (sub TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE vault (owner TEXT, did TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, did)) WITHOUT ROWID;
     CREATE TABLE snapshot (owner TEXT, link TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, link)) WITHOUT ROWID;
     CREATE TABLE task (owner TEXT, id TEXT, due BIGINT NOT NULL, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;
     CREATE INDEX task_by_due ON task (due);",
    "CREATE TABLE vault_passkey (owner TEXT, credential TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, credential)) WITHOUT ROWID;",
    "CREATE TABLE ledger (owner TEXT, id TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, id)) WITHOUT ROWID;",
]);

/// The store cannot be read or written right now; the cause is in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the manager's store does not answer: try again in a moment")]
pub struct StoreAway;

/// Why a store is not opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StoreClosed {
    #[error(
        "the manager's store was sealed with another key: restore the key file that goes with the store (nothing was changed)"
    )]
    OtherKey,
    #[error("in the manager's store a row of `{0}` does not open, and others do: restore the store from a backup")]
    Broken(&'static str),
    #[error(transparent)]
    Away(#[from] StoreAway),
}

/// Somebody who is logged in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Session {
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) expires: Timestamp,
}

/// A log-in somewhere that has begun.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) flow: CodeFlow,
    pub(crate) expires: Timestamp,
    /// None: the log-in at this manager itself.
    pub(crate) linking: Option<Linking>,
    /// The page of ours that she came for.
    #[serde(default)]
    pub(crate) back: Option<String>,
}

/// A server that is being linked, and for whom.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Linking {
    pub(crate) owner: String,
    pub(crate) place: Place,
}

/// A server: what it is, and where.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Place {
    AuthorizationServer {
        issuer: String,
    },
    /// An authorization server that keeps to the bare UMA standard: it has no interface for managers.
    BareStandard {
        issuer: String,
    },
    ResourceServer {
        resource: String,
        management: String,
        issuer: String,
    },
}

impl Place {
    /// The server's own name for itself.
    pub(crate) fn url(&self) -> &str {
        match self {
            Self::AuthorizationServer { issuer } | Self::BareStandard { issuer } => issuer,
            Self::ResourceServer { resource, .. } => resource,
        }
    }

    /// Who issues the tokens for it.
    pub(crate) fn issuer(&self) -> &str {
        match self {
            Self::AuthorizationServer { issuer } | Self::BareStandard { issuer } | Self::ResourceServer { issuer, .. } => issuer,
        }
    }

    /// Where calls to a resource server's management go.
    pub(crate) fn management(&self) -> Option<&str> {
        match self {
            Self::ResourceServer { management, .. } => Some(management),
            Self::AuthorizationServer { .. } | Self::BareStandard { .. } => None,
        }
    }

    /// Whether it keeps things.
    pub(crate) fn is_keeper(&self) -> bool {
        matches!(self, Self::ResourceServer { .. })
    }

    /// Whether shares can be written there.
    pub(crate) fn is_guard(&self) -> bool {
        matches!(self, Self::AuthorizationServer { .. })
    }
}

/// A linked server.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) id: String,
    pub(crate) place: Place,
    /// Who the owner is there, if it said so.
    pub(crate) account: Option<String>,
    pub(crate) access_token: String,
    /// Whether it is bound to the manager's key.
    pub(crate) bound: bool,
    /// From then on it is renewed before it is used.
    #[serde(alias = "expires")]
    pub(crate) renew_from: Timestamp,
    pub(crate) refresh_token: Option<String>,
    /// When others were first asked for by this refresh token, as long as it is not known what came of it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) renewal_asked: Option<Timestamp>,
    /// The server takes it no more: link it again.
    pub(crate) ended: bool,
    pub(crate) added: Timestamp,
    /// What the server calls her when it tells this manager something, and its id of this manager.
    #[serde(default)]
    pub(crate) told: Option<Told>,
    /// What she answered to people there who let her decide, by account: whether she took it up.
    #[serde(default)]
    pub(crate) offers: BTreeMap<String, bool>,
}

/// Which link, and whose.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct LinkName {
    pub(crate) owner: String,
    pub(crate) id: String,
}

/// How a server tells this manager of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Told {
    pub(crate) sub: String,
    pub(crate) id: String,
}

/// Whom a notice is about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct About {
    pub(crate) owner: String,
    pub(crate) link: String,
}

/// What a manager is at a server that it registered with.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Registration {
    pub(crate) client_id: String,
}

/// The manager's store.
pub struct Store {
    database: Database,
    key: SealingKey,
    /// What waits for its turn, once somebody has looked.
    due: Mutex<Option<task::DueTasks>>,
}

fn away(error: impl std::fmt::Display) -> StoreAway {
    tracing::error!(%error, "the manager's store fails");
    StoreAway
}

impl Store {
    /// `key` seals what is kept.
    pub fn in_memory(key: SealingKey) -> Self {
        Self { database: Database::Memory(Memory::default()), key, due: Mutex::default() }
    }

    pub fn open(path: &Path, key: SealingKey) -> Result<Self, OpenError> {
        Ok(Self { database: Database::Sqlite(Sqlite::open(path, &MIGRATIONS)?), key, due: Mutex::default() })
    }

    /// What `wayleave restore` does to a store that is older than the world: who was logged out since is, and what was on its
    /// way begins anew (docs/decisions/0069).
    pub async fn end_what_is_held(&self) -> Result<(), StoreAway> {
        let everything = |table| Operation::DeleteAll { table, index: None, prefix: vec![] };
        self.write([&SESSION, &BEGUN].map(everything).into()).await
    }

    async fn write(&self, operations: Vec<Operation>) -> Result<(), StoreAway> {
        self.database.commit(Batch { checks: vec![], operations }).await.map_err(away)
    }

    fn find<T: DeserializeOwned>(&self, table: &'static Table, key: &[Value]) -> Result<Option<T>, StoreAway> {
        self.database.get(table, key).map_err(away)?.map(|row| self.opened(table, &row)).transpose()
    }

    fn list<T: DeserializeOwned>(&self, table: &'static Table, prefix: &[Value]) -> Result<Vec<(Row, T)>, StoreAway> {
        let scan = Scan { table, index: None, prefix, after: None, descending: false, limit: usize::MAX };
        let rows = self.database.scan(&scan).map_err(away)?;
        rows.into_iter().map(|row| self.opened(table, &row).map(|value| (row, value))).collect()
    }

    /// A secret of the manager's own; made at first.
    pub(crate) async fn secret(&self, name: &str, make: impl FnOnce() -> Option<Vec<u8>>) -> Result<Vec<u8>, StoreAway> {
        if let Some(secret) = self.find::<Vec<u8>>(&SECRET, &[name.into()])? {
            return Ok(secret);
        }
        let secret = make().ok_or(StoreAway)?;
        let row = self.sealed_row(&SECRET, vec![name.into()], &secret)?;
        self.write(vec![Operation::Put { table: &SECRET, row }]).await?;
        Ok(secret)
    }

    pub(crate) fn find_session(&self, id: &str) -> Result<Option<Session>, StoreAway> {
        self.find(&SESSION, &[id.into()])
    }

    pub(crate) async fn put_session(&self, id: &str, session: &Session, now: Timestamp) -> Result<(), StoreAway> {
        let row = self.sealed_row(&SESSION, vec![id.into(), session.expires.0.into()], session)?;
        let sweep = Operation::DeleteBelow { table: &SESSION, column: 1, limit: now.0 };
        self.write(vec![sweep, Operation::Put { table: &SESSION, row }]).await
    }

    pub(crate) async fn delete_session(&self, id: &str) -> Result<(), StoreAway> {
        self.write(vec![Operation::Delete { table: &SESSION, key: vec![id.into()] }]).await
    }

    pub(crate) async fn put_begun(&self, begun: &Begun, now: Timestamp) -> Result<(), StoreAway> {
        let row = self.sealed_row(&BEGUN, vec![begun.flow.state.as_str().into(), begun.expires.0.into()], begun)?;
        let sweep = Operation::DeleteBelow { table: &BEGUN, column: 1, limit: now.0 };
        self.write(vec![sweep, Operation::Put { table: &BEGUN, row }]).await
    }

    /// Once.
    pub(crate) async fn take_begun(&self, state: &str, now: Timestamp) -> Result<Option<Begun>, StoreAway> {
        let begun: Option<Begun> = self.find(&BEGUN, &[state.into()])?;
        self.write(vec![Operation::Delete { table: &BEGUN, key: vec![state.into()] }]).await?;
        Ok(begun.filter(|begun| now < begun.expires))
    }

    pub(crate) fn find_registration(&self, issuer: &str) -> Result<Option<Registration>, StoreAway> {
        self.find(&REGISTRATION, &[issuer.into()])
    }

    pub(crate) async fn put_registration(&self, issuer: &str, registration: &Registration) -> Result<(), StoreAway> {
        let row = self.sealed_row(&REGISTRATION, vec![issuer.into()], registration)?;
        self.write(vec![Operation::Put { table: &REGISTRATION, row }]).await
    }

    pub(crate) fn list_links(&self, owner: &str) -> Result<Vec<Link>, StoreAway> {
        let mut links: Vec<Link> = self.list(&LINK, &[owner.into()])?.into_iter().map(|(_, link)| link).collect();
        links.sort_by(|a, b| (a.added, &a.id).cmp(&(b.added, &b.id)));
        Ok(links)
    }

    pub(crate) fn find_link(&self, owner: &str, id: &str) -> Result<Option<Link>, StoreAway> {
        self.find(&LINK, &[owner.into(), id.into()])
    }

    /// Links whose server was asked for a renewal, and of which no answer is known.
    pub(crate) fn list_unanswered_links(&self) -> Result<Vec<LinkName>, StoreAway> {
        let scan = Scan { table: &LINK, index: None, prefix: &[], after: None, descending: false, limit: usize::MAX };
        let name = |row: Row| {
            // one that does not open is told where it is needed
            let link: Link = self.opened(&LINK, &row).ok()?;
            let is_lost = !link.ended && link.renewal_asked.is_some();
            is_lost.then_some(LinkName { owner: row.first()?.as_text()?.to_owned(), id: link.id })
        };
        Ok(self.database.scan(&scan).map_err(away)?.into_iter().filter_map(name).collect())
    }

    pub(crate) async fn put_link(&self, owner: &str, link: &Link) -> Result<(), StoreAway> {
        let row = self.sealed_row(&LINK, vec![owner.into(), link.id.as_str().into()], link)?;
        self.write(vec![Operation::Put { table: &LINK, row }]).await
    }

    /// Whom a server means by this name.
    pub(crate) fn find_about(&self, sub: &str) -> Result<Option<About>, StoreAway> {
        self.find(&NOTICE, &[sub.into()])
    }

    pub(crate) async fn put_about(&self, sub: &str, about: &About) -> Result<(), StoreAway> {
        let row = self.sealed_row(&NOTICE, vec![sub.into()], about)?;
        self.write(vec![Operation::Put { table: &NOTICE, row }]).await
    }

    /// A server calls nobody by this name any more.
    pub(crate) async fn delete_about(&self, sub: &str) -> Result<(), StoreAway> {
        self.write(vec![Operation::Delete { table: &NOTICE, key: vec![sub.into()] }]).await
    }

    /// What a server last said, by link.
    pub(crate) fn list_snapshots<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<(String, T)>, StoreAway> {
        let rows = self.list(&SNAPSHOT, &[owner.into()])?;
        Ok(rows.into_iter().filter_map(|(row, snapshot)| Some((row.get(1)?.as_text()?.to_owned(), snapshot))).collect())
    }

    pub(crate) fn find_snapshot<T: DeserializeOwned>(&self, owner: &str, link: &str) -> Result<Option<T>, StoreAway> {
        self.find(&SNAPSHOT, &[owner.into(), link.into()])
    }

    pub(crate) async fn put_snapshot(&self, owner: &str, link: &str, snapshot: &impl Serialize) -> Result<(), StoreAway> {
        let row = self.sealed_row(&SNAPSHOT, vec![owner.into(), link.into()], snapshot)?;
        self.write(vec![Operation::Put { table: &SNAPSHOT, row }]).await
    }
}

/// A name that nobody can guess.
pub(crate) fn new_id(randomness: &dyn Randomness) -> String {
    jose::ambient::random_text::<16>(randomness)
}

#[cfg(test)]
mod tests;
