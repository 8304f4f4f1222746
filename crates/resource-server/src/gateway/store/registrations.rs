//! Registrations as they are kept: which resource, at which authorization server, with which scopes, and where it
//! stands on its way there or away.

use super::tables::{OPINION, REGISTRATION};
use super::{Opinion, Store, Unreadable, opened, unavailable};
use crate::protection::ProtectionError;
use database::{Operation, Row, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::{OwnResourceId, ResourceId, ScopeSet, Timestamp};

/// Where a registration stands. What guards is `Active` and `Moving`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Standing {
    Active,
    /// On its way to the authorization server.
    Pending,
    /// Guards until another has taken its place.
    Moving,
    /// Guards no more; the authorization server has not confirmed that it is gone.
    Leaving,
    /// The authorization server would not have it.
    Failed,
}

impl Standing {
    fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Pending => "pending",
            Self::Moving => "moving",
            Self::Leaving => "leaving",
            Self::Failed => "failed",
        }
    }
}

/// One registration of one resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Registered {
    pub(crate) owner: String,
    pub(crate) own_id: OwnResourceId,
    pub(crate) id: String,
    pub(crate) issuer: String,
    /// The authorization server's, once it has said so.
    pub(crate) resource_id: Option<ResourceId>,
    /// None: all that the resource has.
    #[serde(default)]
    pub(crate) scopes: Option<ScopeSet>,
    pub(crate) standing: Standing,
    #[serde(default)]
    pub(crate) error: Option<String>,
    pub(crate) created: Timestamp,
    /// The registration whose place it takes.
    #[serde(default)]
    pub(crate) replaces: Option<String>,
    /// The authorization server has not heard of the latest description.
    #[serde(default)]
    pub(crate) stale: bool,
}

impl Registered {
    pub(crate) fn guards(&self) -> bool {
        matches!(self.standing, Standing::Active | Standing::Moving)
    }

    pub(super) fn put(&self) -> Result<Operation, ProtectionError> {
        let body = serde_json::to_vec(self).map_err(unavailable)?;
        let standing = if self.stale && self.guards() { "stale" } else { self.standing.as_str() };
        let row =
            vec![self.owner.as_str().into(), self.own_id.as_str().into(), self.id.as_str().into(), standing.into(), body.into()];
        Ok(Operation::Put { table: &REGISTRATION, row })
    }

    fn delete(&self) -> Operation {
        let key = vec![self.owner.as_str().into(), self.own_id.as_str().into(), self.id.as_str().into()];
        Operation::Delete { table: &REGISTRATION, key }
    }
}

fn read(row: &Row) -> Result<Registered, Unreadable> {
    opened(&REGISTRATION, row)
}

impl Store {
    pub(super) fn all_registrations(&self) -> Result<Vec<Registered>, Unreadable> {
        self.rows(&REGISTRATION, None, &[], usize::MAX)?.iter().map(read).collect()
    }

    /// Registrations of one resource, oldest first.
    pub(crate) fn registrations(&self, owner: &str, own_id: &OwnResourceId) -> Result<Arc<Vec<Registered>>, Unreadable> {
        self.kept.registrations(owner, own_id.as_str(), || {
            let rows = self.rows(&REGISTRATION, None, &[owner.into(), own_id.as_str().into()], usize::MAX)?;
            let mut all: Vec<_> = rows.iter().map(read).collect::<Result<_, _>>()?;
            all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            Ok(all)
        })
    }

    /// All registrations of an owner.
    pub(crate) fn list_registrations(&self, owner: &str) -> Result<Vec<Registered>, Unreadable> {
        self.rows(&REGISTRATION, None, &[owner.into()], usize::MAX)?.iter().map(read).collect()
    }

    /// Those that are on their way, of whatever owner. One that does not open keeps nobody else's waiting.
    pub(crate) fn unfinished_registrations(&self, limit: usize) -> Result<Vec<Registered>, Unreadable> {
        let mut found = Vec::new();
        for state in ["pending", "leaving", "stale"] {
            for row in self.rows(&REGISTRATION, Some(0), &[state.into()], limit)? {
                match read(&row) {
                    Ok(registered) => found.push(registered),
                    Err(error) => tracing::error!(%error, key = ?REGISTRATION.key_of(&row), "a registration stays as it is"),
                }
            }
        }
        Ok(found)
    }

    /// Puts some and takes others away, together.
    pub(crate) async fn change_registrations(&self, put: &[Registered], gone: &[&Registered]) -> Result<(), ProtectionError> {
        let mut operations = Vec::new();
        for registered in put {
            operations.push(registered.put()?);
        }
        operations.extend(gone.iter().map(|registered| registered.delete()));
        self.write_all(operations).await
    }

    pub(crate) fn find_opinion(&self, owner: &str, own_id: &OwnResourceId) -> Result<Opinion, Unreadable> {
        Ok(self.body(&OPINION, &[owner.into(), own_id.as_str().into()])?.unwrap_or_default())
    }

    /// Resources that an owner has spoken of.
    pub(crate) fn list_opinions(&self, owner: &str) -> Result<Vec<OwnResourceId>, Unreadable> {
        let rows = self.rows(&OPINION, None, &[owner.into()], usize::MAX)?;
        let own_id =
            |row: &Row| row.get(1).and_then(Value::as_text).map(OwnResourceId::from).ok_or(Unreadable::Row(OPINION.name));
        rows.iter().map(own_id).collect()
    }

    pub(crate) async fn put_opinion(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        opinion: &Opinion,
    ) -> Result<(), ProtectionError> {
        let body = serde_json::to_vec(opinion).map_err(unavailable)?;
        self.write(Operation::Put { table: &OPINION, row: vec![owner.into(), own_id.as_str().into(), body.into()] }).await
    }
}
