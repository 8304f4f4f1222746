//! How a gateway's store is opened, by the key that goes with it, and what a restore does to one.
//!
//! Bodies that open something elsewhere are sealed: links with their tokens, what the gateway is at servers, links that have
//! begun, and its own key. Sessions of browsers are sealed by their cookies (`browser/session.rs`). All else stays readable.

use super::kept::Kept;
use super::tables::{BEGUN, SECRET, SESSION, SESSION_PLACE, TABLES};
use super::{Store, tables};
use crate::protection::ProtectionError;
use database::{
    Batch, Database, KeyCheckError, Location, Node, OpenError, Operation, Records, Row, Schema, Sqlite, Table, Value,
};
use jose::seal::{KEY_BYTES, SealingKey};
use jose::{Algorithm, SigningKey, SystemRandomness};
use std::path::Path;
use std::sync::Arc;

/// Name of a gateway's schema in a database that others share.
pub const NAME: &str = "wayleave_gateway";

/// What a gateway keeps.
const SCHEMA: Schema<'static> = Schema { name: NAME, tables: TABLES, sqlite: tables::MIGRATIONS, postgres: tables::POSTGRES };

/// The name of what says whose the store is.
const SERVED_AS: &str = "served as";

/// Why a store is not used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error(transparent)]
    Open(#[from] OpenError),
    #[error(transparent)]
    Key(#[from] KeyCheckError),
    #[error("the gateway's store has no key to be sealed with: {0}")]
    NoKey(jose::KeyError),
}

/// The body of a row as versions before 9 of the tables wrote it, in plain: JSON, and a key as its bytes.
fn body_of_before(table: &'static Table, row: &Row) -> Option<Vec<u8>> {
    let body = row.last().and_then(Value::as_blob)?;
    if std::ptr::eq(table, &SECRET) {
        SigningKey::from_pkcs8(Algorithm::Es256, body).ok()?;
        return serde_json::to_vec(body).ok();
    }
    let is_object = serde_json::from_slice::<serde_json::Map<String, serde_json::Value>>(body).is_ok();
    is_object.then(|| body.to_vec())
}

impl Store {
    fn of(database: Database, key: Option<SealingKey>) -> Self {
        Self { records: Records { database: Arc::new(database), key }, alone: None, kept: Arc::<Kept>::default() }
    }

    /// Gone with the process.
    pub fn in_memory() -> Self {
        let key = SealingKey::new(&jose::ambient::random::<KEY_BYTES>(&SystemRandomness));
        Self::of(Database::in_memory(), key.ok())
    }

    /// Opens a store with its key, or makes it. One of before there was a key is sealed with it; with another key nothing is
    /// written.
    pub async fn open(location: &Location, key: &[u8; KEY_BYTES]) -> Result<Self, StoreError> {
        Self::open_as(location, NAME, key).await
    }

    /// The same under another name in a database that others share.
    pub(super) async fn open_as(location: &Location, name: &str, key: &[u8; KEY_BYTES]) -> Result<Self, StoreError> {
        let key = SealingKey::new(key).map_err(StoreError::NoKey)?;
        // what it has in memory is this process's
        let (database, alone) = Database::open_alone(location, &Schema { name, ..SCHEMA }).await?;
        let store = Self { alone, ..Self::of(database, Some(key)) };
        if store.records.check_key_or_seal(&SECRET, TABLES, body_of_before).await?
            && let Some(file) = location.file()
        {
            tracing::info!("the gateway's store is sealed with the key file from now on: keep both");
            database::file::rewrite(file)?;
        }
        Ok(store)
    }

    /// Waits until another process serves the store, which one could where it is in a database; for ever where none can.
    pub(crate) async fn is_taken_over(&self) {
        match &self.alone {
            Some(node) => node.is_taken_over().await,
            None => std::future::pending().await,
        }
    }

    /// Whether nobody else can have begun to serve it.
    pub(crate) fn is_sure(&self) -> bool {
        self.alone.as_ref().is_none_or(Node::is_sure)
    }

    /// Whoever serves it next need not wait for this process.
    pub(crate) async fn leave(&self) {
        if let Some(node) = &self.alone {
            node.leave().await;
        }
    }

    /// Whether a store that is a file goes with a key already, or nobody can tell since it was cut: then no key is made for it.
    pub fn is_sealed(file: &Path) -> Result<bool, OpenError> {
        match std::fs::metadata(file) {
            Ok(about) if about.len() == 0 => Ok(true),
            Ok(_) => database::has_key_check(file, &SECRET),
            Err(_) => Ok(false),
        }
    }

    /// The store of this file, if it is there and as this version keeps it: for a look that changes nothing.
    pub async fn open_if_current(file: &Path, key: &[u8; KEY_BYTES]) -> Result<Option<Self>, StoreError> {
        match Sqlite::is_current(file, &tables::MIGRATIONS)? && Self::is_sealed(file)? {
            true => Self::open(&Location::File(file.to_owned()), key).await.map(Some),
            false => Ok(None),
        }
    }

    /// A store that `wayleave restore` is to put in the place of another. One of before there was a key needs none.
    pub async fn open_for_restore(file: &Path, key: Option<&[u8; KEY_BYTES]>) -> Result<Self, String> {
        let is_sealed = Self::is_sealed(file).map_err(|error| error.to_string())?;
        let location = Location::File(file.to_owned());
        match key {
            Some(key) => Self::open(&location, key).await.map_err(|error| error.to_string()),
            None if is_sealed => Err("its key file is not there: put that in its place first, it goes with the backup".into()),
            None => Ok(Self::of(Database::open(&location, &SCHEMA).await.map_err(|error| error.to_string())?, None)),
        }
    }

    /// What `wayleave restore` does to a store that is older than the world: browsers that were logged out since are, and what
    /// was on its way begins anew (docs/decisions/0069). Links stay: a server takes a PAT and its refresh token, or says no.
    pub async fn end_what_is_held(&self) -> Result<(), String> {
        let everything = |table| Operation::DeleteAll { table, index: None, prefix: vec![] };
        let operations = [&SESSION, &SESSION_PLACE, &BEGUN].map(everything).into();
        self.commit(Batch { checks: vec![], operations }).await.map_err(|error| error.to_string())
    }

    /// As which resource server it was served last; a store of before does not say.
    pub async fn served_as(&self) -> Result<Option<String>, String> {
        let known = self.find_secret(SERVED_AS).await.map_err(|error| error.to_string())?;
        Ok(known.and_then(|known| String::from_utf8(known).ok()))
    }

    /// Notes as which resource server it is served from now on.
    pub async fn note_served_as(&self, resource: &str) -> Result<(), ProtectionError> {
        match self.find_secret(SERVED_AS).await? {
            Some(known) if known == resource.as_bytes() => Ok(()),
            _ => self.put_secret(SERVED_AS, resource.as_bytes().to_vec()).await,
        }
    }
}

#[cfg(test)]
mod tests;
