//! What a gateway remembers: links to owners (their PATs), what it registered, and links that have
//! begun. On the engine of `database`, in a file of its own.

use super::management::Withdrawn;
use crate::protection::ProtectionError;
use client::oauth::CodeFlow;
use database::{Batch, Column, Database, Index, Kind, Memory, Migrations, OpenError, Operation, Row, Scan, Sqlite, Table, Value};
use serde::{Deserialize, Serialize};
use std::path::Path;
use types::credential::CredentialDocument;
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

static CREDENTIAL: Table = Table {
    name: "credential",
    columns: &[
        Column { name: "owner", kind: Kind::Text },
        Column { name: "subject", kind: Kind::Text },
        Column { name: "body", kind: Kind::Blob },
    ],
    key: 2,
    indexes: &[],
};

static WITHDRAWN: Table = Table {
    name: "withdrawn",
    columns: &[
        Column { name: "owner", kind: Kind::Text },
        Column { name: "jti", kind: Kind::Text },
        Column { name: "expires", kind: Kind::Int },
    ],
    key: 2,
    indexes: &[],
};

const MIGRATIONS: Migrations = Migrations(&[
    "CREATE TABLE link (owner TEXT PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
     CREATE TABLE registration (owner TEXT, own_id TEXT, id TEXT NOT NULL, PRIMARY KEY (owner, own_id)) WITHOUT ROWID;
     CREATE INDEX registration_by_id ON registration (id);
     CREATE TABLE begun (state TEXT PRIMARY KEY, expires BIGINT NOT NULL, body BLOB NOT NULL) WITHOUT ROWID;",
    "CREATE TABLE credential (owner TEXT, subject TEXT, body BLOB NOT NULL, PRIMARY KEY (owner, subject)) WITHOUT ROWID;
     CREATE TABLE withdrawn (owner TEXT, jti TEXT, expires BIGINT NOT NULL, PRIMARY KEY (owner, jti)) WITHOUT ROWID;",
]);

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

    /// Its own id of a resource that is registered under this one.
    pub(crate) fn find_own_id(&self, owner: &str, id: &ResourceId) -> Option<OwnResourceId> {
        let prefix = [id.as_str().into()];
        let scan = Scan { table: &REGISTRATION, index: Some(0), prefix: &prefix, after: None, descending: false, limit: 10 };
        let rows = self.0.scan(&scan).map_err(unavailable).ok()?;
        let hers = rows.iter().find(|row| row.first().and_then(Value::as_text) == Some(owner))?;
        hers.get(1).and_then(Value::as_text).map(OwnResourceId::from)
    }

    /// An owner's registrations: own id, and the authorization server's.
    pub(crate) fn list_registrations(&self, owner: &str) -> Vec<(String, ResourceId)> {
        let read = |row: &Row| Some((row.get(1)?.as_text()?.to_owned(), ResourceId::from(row.get(2)?.as_text()?)));
        self.rows_of(&REGISTRATION, owner).iter().filter_map(read).collect()
    }

    fn rows_of(&self, table: &'static Table, owner: &str) -> Vec<Row> {
        let prefix = [owner.into()];
        let scan = Scan { table, index: None, prefix: &prefix, after: None, descending: false, limit: usize::MAX };
        self.0.scan(&scan).map_err(unavailable).unwrap_or_default()
    }

    pub(crate) fn find_credential(&self, owner: &str, subject: &str) -> Option<CredentialDocument> {
        let row = self.0.get(&CREDENTIAL, &[owner.into(), subject.into()]).map_err(unavailable).ok()??;
        serde_json::from_slice(row.last()?.as_blob()?).ok()
    }

    pub(crate) fn list_credentials(&self, owner: &str) -> Vec<CredentialDocument> {
        let read = |row: &Row| serde_json::from_slice(row.last()?.as_blob()?).ok();
        self.rows_of(&CREDENTIAL, owner).iter().filter_map(read).collect()
    }

    pub(crate) async fn put_credential(
        &self,
        owner: &str,
        subject: &str,
        credential: &CredentialDocument,
    ) -> Result<(), ProtectionError> {
        let body = serde_json::to_vec(credential).map_err(unavailable)?;
        self.write(Operation::Put { table: &CREDENTIAL, row: vec![owner.into(), subject.into(), body.into()] }).await
    }

    /// Whether there was one of this id.
    pub(crate) async fn delete_credential(&self, owner: &str, id: &str) -> Result<bool, ProtectionError> {
        let rows = self.rows_of(&CREDENTIAL, owner);
        let named = |row: &&Row| {
            let body = row.last().and_then(Value::as_blob).unwrap_or_default();
            serde_json::from_slice::<CredentialDocument>(body).is_ok_and(|credential| credential.id == id)
        };
        let Some(row) = rows.iter().find(named) else { return Ok(false) };
        let key = row.iter().take(2).cloned().collect();
        self.write(Operation::Delete { table: &CREDENTIAL, key }).await.map(|()| true)
    }

    pub(crate) fn is_withdrawn(&self, owner: &str, jti: &str) -> bool {
        // a store that cannot be read lets nothing pass
        self.0.get(&WITHDRAWN, &[owner.into(), jti.into()]).map_err(unavailable).map_or(true, |row| row.is_some())
    }

    pub(crate) fn list_withdrawn(&self, owner: &str) -> Vec<Withdrawn> {
        let text = |row: &Row| Some((row.get(1)?.as_text()?.to_owned(), row.get(2)?.as_int()?));
        let rows = self.rows_of(&WITHDRAWN, owner);
        rows.iter().filter_map(text).map(|(jti, exp)| Withdrawn { jti, exp: Timestamp(exp) }).collect()
    }

    /// Remembers it until it would have ended by itself, with room for a clock that is wrong.
    pub(crate) async fn withdraw(&self, owner: &str, token: &Withdrawn, now: Timestamp) -> Result<(), ProtectionError> {
        self.write(Operation::DeleteBelow { table: &WITHDRAWN, column: 2, limit: now.plus(-86_400).0 }).await?;
        let row = vec![owner.into(), token.jti.as_str().into(), token.exp.0.into()];
        self.write(Operation::Put { table: &WITHDRAWN, row }).await
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
