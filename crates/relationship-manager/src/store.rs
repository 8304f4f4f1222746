//! What a relationship manager remembers: who is logged in, the servers that its people linked, what those last said, and
//! what was asked of them and is not confirmed. On the engine of `database`, in a file of its own; tokens and what servers
//! said are sealed.

mod alone;
mod error;
mod ledger;
mod seal;
mod tables;
mod task;
mod vault;

pub use error::{StoreAway, StoreClosed};
pub(crate) use task::OwnersServer;
pub(crate) use vault::Opens;

use client::oauth::CodeFlow;
use database::{Batch, Check, CommitError, Database, Location, Node, OpenError, Operation, Records, Row, Schema, Table, Value};
use error::away;
use jose::Randomness;
use jose::seal::SealingKey;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use tables::{
    BEGUN, LEDGER, LINK, MIGRATIONS, NOTICE, POSTGRES, REGISTRATION, SECRET, SESSION, SNAPSHOT, TABLES, TASK, VAULT,
    VAULT_PASSKEY,
};
use tokio::sync::Mutex;
use types::Timestamp;

/// The name of what says whose the store is.
const SERVED_AS: &str = "served as";

/// Name of a manager's schema in a database that others share.
pub const NAME: &str = "wayleave_manager";

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
    records: Records,
    /// That no other process serves it, where one could come to it.
    alone: Option<Node>,
    /// What waits for its turn, once somebody has looked.
    due: Mutex<Option<task::DueTasks>>,
    /// Whether that may miss what was committed.
    is_due_stale: AtomicBool,
}

impl Store {
    /// `key` seals what is kept.
    pub fn in_memory(key: SealingKey) -> Self {
        Self::on(Database::in_memory(), key)
    }

    /// Made where there is none, or brought up to date. `name` is that of its schema in a database that others share.
    pub async fn open(location: &Location, name: &str, key: SealingKey) -> Result<Self, OpenError> {
        let schema = Schema { name, tables: &TABLES, sqlite: MIGRATIONS, postgres: POSTGRES };
        // what it has in memory is this process's
        let (database, alone) = Database::open_alone(location, &schema).await?;
        Ok(Self { alone, ..Self::on(database, key) })
    }

    /// In this file.
    pub async fn open_file(path: &Path, key: SealingKey) -> Result<Self, OpenError> {
        Self::open(&Location::File(path.to_owned()), NAME, key).await
    }

    fn on(database: Database, key: SealingKey) -> Self {
        let records = Records { database: Arc::new(database), key: Some(key) };
        Self { records, alone: None, due: Mutex::default(), is_due_stale: AtomicBool::default() }
    }

    /// Whether this is the key that the store was sealed with; before anything else is done with it.
    pub async fn check_key(&self) -> Result<(), StoreClosed> {
        Ok(self.records.check_key(&SECRET, &TABLES).await?)
    }

    /// What `wayleave restore` does to a store that is older than the world: who was logged out since is, and what was on its
    /// way begins anew (docs/decisions/0069).
    pub async fn end_what_is_held(&self) -> Result<(), StoreAway> {
        let everything = |table| Operation::DeleteAll { table, index: None, prefix: vec![] };
        self.write([&SESSION, &BEGUN].map(everything).into()).await
    }

    /// As which desk it was served last; a store of before does not say.
    pub async fn served_as(&self) -> Result<Option<String>, StoreAway> {
        self.find(&SECRET, &[SERVED_AS.into()]).await
    }

    /// Notes as which desk it is served from now on.
    pub async fn note_served_as(&self, url: &str) -> Result<(), StoreAway> {
        match self.served_as().await? {
            Some(known) if known == url => Ok(()),
            _ => self.put(&SECRET, vec![SERVED_AS.into()], &url).await,
        }
    }

    async fn write(&self, operations: Vec<Operation>) -> Result<(), StoreAway> {
        Ok(self.records.commit(Batch { checks: vec![], operations }).await?)
    }

    async fn put(&self, table: &'static Table, columns: Row, entity: &impl Serialize) -> Result<(), StoreAway> {
        let row = self.records.row(table, columns, entity)?;
        self.write(vec![Operation::Put { table, row }]).await
    }

    async fn delete(&self, table: &'static Table, key: Row) -> Result<(), StoreAway> {
        self.write(vec![Operation::Delete { table, key }]).await
    }

    async fn find<T: DeserializeOwned>(&self, table: &'static Table, key: &[Value]) -> Result<Option<T>, StoreAway> {
        Ok(self.records.find(table, key).await?)
    }

    /// Along the key.
    async fn list<T: DeserializeOwned>(&self, table: &'static Table, prefix: &[Value]) -> Result<Vec<(Row, T)>, StoreAway> {
        Ok(self.records.list(table, None, prefix).await?)
    }

    /// A secret of the manager's own; made at first. Of several processes that make it at once, all have the one that was kept.
    pub(crate) async fn secret(&self, name: &str, make: impl FnOnce() -> Option<Vec<u8>>) -> Result<Vec<u8>, StoreAway> {
        let key = [Value::from(name)];
        if let Some(secret) = self.find(&SECRET, &key).await? {
            return Ok(secret);
        }
        let secret = make().ok_or(StoreAway)?;
        let row = self.records.row(&SECRET, key.to_vec(), &secret)?;
        let operations = vec![Operation::Insert { table: &SECRET, row }];
        match self.records.commit(Batch { checks: vec![], operations }).await {
            Err(CommitError::Taken(_)) => self.find(&SECRET, &key).await?.ok_or(StoreAway),
            other => Ok(other.map(|()| secret)?),
        }
    }

    pub(crate) async fn find_session(&self, id: &str) -> Result<Option<Session>, StoreAway> {
        self.find(&SESSION, &[id.into()]).await
    }

    /// A row of what runs out; what has run out by now goes.
    async fn put_for_a_while(&self, table: &'static Table, row: Row, now: Timestamp) -> Result<(), StoreAway> {
        let sweep = Operation::sweep(table, now.0);
        self.write(sweep.into_iter().chain([Operation::Put { table, row }]).collect()).await
    }

    pub(crate) async fn put_session(&self, id: &str, session: &Session, now: Timestamp) -> Result<(), StoreAway> {
        let row = self.records.row(&SESSION, vec![id.into(), session.expires.0.into()], session)?;
        self.put_for_a_while(&SESSION, row, now).await
    }

    pub(crate) async fn delete_session(&self, id: &str) -> Result<(), StoreAway> {
        self.delete(&SESSION, vec![id.into()]).await
    }

    pub(crate) async fn put_begun(&self, begun: &Begun, now: Timestamp) -> Result<(), StoreAway> {
        let row = self.records.row(&BEGUN, vec![begun.flow.state.as_str().into(), begun.expires.0.into()], begun)?;
        self.put_for_a_while(&BEGUN, row, now).await
    }

    /// Once: of two who come for it, one has it.
    pub(crate) async fn take_begun(&self, state: &str, now: Timestamp) -> Result<Option<Begun>, StoreAway> {
        let key = vec![Value::from(state)];
        let Some(row) = self.records.database.get(&BEGUN, &key).await? else { return Ok(None) };
        let begun: Begun = self.records.open(&BEGUN, &row)?;
        let checks = vec![Check::unchanged(&BEGUN, &row)];
        match self.records.commit(Batch { checks, operations: vec![Operation::Delete { table: &BEGUN, key }] }).await {
            Err(CommitError::Broken(_)) => Ok(None),
            other => Ok(other.map(|()| Some(begun).filter(|begun| now < begun.expires))?),
        }
    }

    pub(crate) async fn find_registration(&self, issuer: &str) -> Result<Option<Registration>, StoreAway> {
        self.find(&REGISTRATION, &[issuer.into()]).await
    }

    pub(crate) async fn put_registration(&self, issuer: &str, registration: &Registration) -> Result<(), StoreAway> {
        self.put(&REGISTRATION, vec![issuer.into()], registration).await
    }

    pub(crate) async fn list_links(&self, owner: &str) -> Result<Vec<Link>, StoreAway> {
        let mut links: Vec<Link> = self.list(&LINK, &[owner.into()]).await?.into_iter().map(|(_, link)| link).collect();
        links.sort_by(|a, b| (a.added, &a.id).cmp(&(b.added, &b.id)));
        Ok(links)
    }

    pub(crate) async fn find_link(&self, owner: &str, id: &str) -> Result<Option<Link>, StoreAway> {
        self.find(&LINK, &[owner.into(), id.into()]).await
    }

    /// Links whose server was asked for a renewal, and of which no answer is known.
    pub(crate) async fn list_unanswered_links(&self) -> Result<Vec<LinkName>, StoreAway> {
        let name = |row: Row| {
            // one that does not open is told where it is needed
            let link: Link = self.records.open(&LINK, &row).map_err(StoreAway::from).ok()?;
            let is_lost = !link.ended && link.renewal_asked.is_some();
            is_lost.then_some(LinkName { owner: row.first()?.as_text()?.to_owned(), id: link.id })
        };
        Ok(self.records.rows(&LINK, None, &[]).await?.into_iter().filter_map(name).collect())
    }

    pub(crate) async fn put_link(&self, owner: &str, link: &Link) -> Result<(), StoreAway> {
        self.put(&LINK, vec![owner.into(), link.id.as_str().into()], link).await
    }

    /// Whom a server means by this name.
    pub(crate) async fn find_about(&self, sub: &str) -> Result<Option<About>, StoreAway> {
        self.find(&NOTICE, &[sub.into()]).await
    }

    pub(crate) async fn put_about(&self, sub: &str, about: &About) -> Result<(), StoreAway> {
        self.put(&NOTICE, vec![sub.into()], about).await
    }

    /// A server calls nobody by this name any more.
    pub(crate) async fn delete_about(&self, sub: &str) -> Result<(), StoreAway> {
        self.delete(&NOTICE, vec![sub.into()]).await
    }

    /// What a server last said, by link.
    pub(crate) async fn list_snapshots<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<(String, T)>, StoreAway> {
        let rows = self.list(&SNAPSHOT, &[owner.into()]).await?;
        rows.into_iter().map(|(row, snapshot)| Ok((SNAPSHOT.text(&row, 1)?.to_owned(), snapshot))).collect()
    }

    pub(crate) async fn find_snapshot<T: DeserializeOwned>(&self, owner: &str, link: &str) -> Result<Option<T>, StoreAway> {
        self.find(&SNAPSHOT, &[owner.into(), link.into()]).await
    }

    pub(crate) async fn put_snapshot(
        &self,
        owner: &str,
        link: &str,
        snapshot: &(impl Serialize + Sync),
    ) -> Result<(), StoreAway> {
        self.put(&SNAPSHOT, vec![owner.into(), link.into()], snapshot).await
    }
}

/// A name that nobody can guess.
pub(crate) fn new_id(randomness: &dyn Randomness) -> String {
    jose::ambient::random_text::<16>(randomness)
}

#[cfg(test)]
mod tests;
