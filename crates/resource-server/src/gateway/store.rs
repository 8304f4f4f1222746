//! What a gateway remembers: links to owners (their PATs), what it registered, and links that have
//! begun. On the engine of `database`, in a file of its own.

use crate::protection::ProtectionError;
use client::oauth::CodeFlow;
use database::{Batch, Column, Database, Index, Kind, Memory, Migrations, OpenError, Operation, Sqlite, Table, Value};
use serde::{Deserialize, Serialize};
use std::path::Path;
use types::{OwnResourceId, ResourceId, Timestamp};

static LINK: Table = Table {
    name: "link",
    columns: &[Column { name: "owner", kind: Kind::Text }, Column { name: "body", kind: Kind::Blob }],
    key: 1,
    indexes: &[],
};

static REGISTRATION: Table = Table {
    name: "registration",
    columns: &[
        Column { name: "owner", kind: Kind::Text },
        Column { name: "own_id", kind: Kind::Text },
        Column { name: "id", kind: Kind::Text },
    ],
    key: 2,
    indexes: &[Index { name: "registration_by_id", columns: &[2], unique: false }],
};

static BEGUN: Table = Table {
    name: "begun",
    columns: &[
        Column { name: "state", kind: Kind::Text },
        Column { name: "expires", kind: Kind::Int },
        Column { name: "body", kind: Kind::Blob },
    ],
    key: 1,
    indexes: &[],
};

const MIGRATIONS: Migrations = Migrations(&["CREATE TABLE link (owner TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE registration (owner TEXT, own_id TEXT, id TEXT NOT NULL, PRIMARY KEY (owner, own_id)) WITHOUT ROWID;
     CREATE INDEX registration_by_id ON registration (id);
     CREATE TABLE begun (state TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;"]);

/// A link to an owner: the PAT, and how to renew it.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Link {
    pub(crate) access_token: String,
    pub(crate) expires: Timestamp,
    pub(crate) refresh_token: Option<String>,
}

/// A link that has begun.
#[derive(Clone, Serialize, Deserialize)]
pub(crate) struct Begun {
    pub(crate) owner: String,
    pub(crate) flow: CodeFlow,
    pub(crate) expires: Timestamp,
}

/// The gateway's store.
pub struct Store(Database);

fn unavailable(error: impl std::fmt::Display) -> ProtectionError {
    tracing::error!(%error, "the gateway's store fails");
    ProtectionError::Unreachable
}

impl Store {
    pub fn in_memory() -> Self {
        Self(Database::Memory(Memory::default()))
    }

    pub fn open(path: &Path) -> Result<Self, OpenError> {
        Ok(Self(Database::Sqlite(Sqlite::open(path, &MIGRATIONS)?)))
    }

    async fn write(&self, operation: Operation) -> Result<(), ProtectionError> {
        self.0.commit(Batch { checks: vec![], operations: vec![operation] }).await.map_err(unavailable)
    }

    fn body<T: for<'de> Deserialize<'de>>(&self, table: &'static Table, key: &str) -> Option<T> {
        let row = self.0.get(table, &[key.into()]).map_err(unavailable).ok()??;
        serde_json::from_slice(row.last()?.as_blob()?).ok()
    }

    pub(crate) fn find_link(&self, owner: &str) -> Option<Link> {
        self.body(&LINK, owner)
    }

    pub(crate) async fn put_link(&self, owner: &str, link: &Link) -> Result<(), ProtectionError> {
        let body = serde_json::to_vec(link).map_err(unavailable)?;
        self.write(Operation::Put { table: &LINK, row: vec![owner.into(), body.into()] }).await
    }

    pub(crate) async fn delete_link(&self, owner: &str) -> Result<(), ProtectionError> {
        self.write(Operation::Delete { table: &LINK, key: vec![owner.into()] }).await
    }

    pub(crate) fn find_registration(&self, owner: &str, own_id: &OwnResourceId) -> Option<ResourceId> {
        let row = self.0.get(&REGISTRATION, &[owner.into(), own_id.as_str().into()]).map_err(unavailable).ok()??;
        row.get(2).and_then(Value::as_text).map(ResourceId::from)
    }

    pub(crate) async fn put_registration(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        id: &ResourceId,
    ) -> Result<(), ProtectionError> {
        let row = vec![owner.into(), own_id.as_str().into(), id.as_str().into()];
        self.write(Operation::Put { table: &REGISTRATION, row }).await
    }

    pub(crate) async fn forget_registration(&self, owner: &str, own_id: &OwnResourceId) -> Result<(), ProtectionError> {
        self.write(Operation::Delete { table: &REGISTRATION, key: vec![owner.into(), own_id.as_str().into()] }).await
    }

    pub(crate) async fn put_begun(&self, state: &str, begun: &Begun, now: Timestamp) -> Result<(), ProtectionError> {
        let body = serde_json::to_vec(begun).map_err(unavailable)?;
        self.write(Operation::DeleteBelow { table: &BEGUN, column: 1, limit: now.0 }).await?;
        self.write(Operation::Put { table: &BEGUN, row: vec![state.into(), begun.expires.0.into(), body.into()] }).await
    }

    /// A link that has begun, once.
    pub(crate) async fn take_begun(&self, state: &str, now: Timestamp) -> Option<Begun> {
        let begun: Begun = self.body(&BEGUN, state)?;
        self.write(Operation::Delete { table: &BEGUN, key: vec![state.into()] }).await.ok()?;
        Some(begun).filter(|begun| now < begun.expires)
    }
}
