//! Registrations as they are kept: which resource, at which authorization server, with which scopes, and where it
//! stands on its way there or away.

use super::tables::{OPINION, REGISTRATION};
use super::{Opinion, Store};
use crate::protection::ProtectionError;
use database::{Operation, ReadError, Table, Value};
use serde::{Deserialize, Serialize};
use std::sync::Arc;
use types::{OwnResourceId, ResourceId, ScopeSet, Timestamp};

/// Of one owner, to find any that guards.
const MOST_LOOKED_THROUGH: usize = 20;

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
    /// The file that it was found by, as a path, where nobody ordered it: registered only as long as that is there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) found_at: Option<String>,
}

/// Why a registration is on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Unfinished {
    /// To be told.
    Pending,
    /// To be taken back.
    Leaving,
    /// To be told of in other words.
    Stale,
}

impl Unfinished {
    pub(crate) const ALL: [Self; 3] = [Self::Pending, Self::Leaving, Self::Stale];

    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Leaving => "leaving",
            Self::Stale => "stale",
        }
    }
}

/// Some of what is on its way, by own id, and where the next begin.
pub(crate) struct UnfinishedPage {
    pub(crate) registrations: Vec<Registered>,
    /// None: that was all.
    pub(crate) next: Option<OwnResourceId>,
}

impl Registered {
    pub(crate) fn guards(&self) -> bool {
        matches!(self.standing, Standing::Active | Standing::Moving)
    }

    fn key(&self) -> Vec<Value> {
        vec![self.owner.as_str().into(), self.own_id.as_str().into(), self.id.as_str().into()]
    }
}

impl Store {
    pub(super) async fn all_registrations(&self) -> Result<Vec<Registered>, ReadError> {
        self.registrations_along(&[]).await
    }

    async fn registrations_along(&self, prefix: &[Value]) -> Result<Vec<Registered>, ReadError> {
        Ok(self.records.list(&REGISTRATION, None, prefix).await?.into_iter().map(|(_, one)| one).collect())
    }

    pub(super) fn put_of(&self, registered: &Registered) -> Result<Operation, ProtectionError> {
        let is_stale = registered.stale && registered.guards();
        let standing = if is_stale { "stale" } else { registered.standing.as_str() };
        let columns = registered.key().into_iter().chain([standing.into()]).collect();
        self.put(&REGISTRATION, columns, registered)
    }

    /// Registrations of one resource, oldest first.
    pub(crate) async fn registrations(&self, owner: &str, own_id: &OwnResourceId) -> Result<Arc<Vec<Registered>>, ReadError> {
        self.kept
            .registrations(owner, own_id.as_str(), || async move {
                let mut all = self.registrations_along(&[owner.into(), own_id.as_str().into()]).await?;
                all.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
                Ok(all)
            })
            .await
    }

    /// All registrations of an owner.
    pub(crate) async fn list_registrations(&self, owner: &str) -> Result<Vec<Registered>, ReadError> {
        self.registrations_along(&[owner.into()]).await
    }

    /// Something of an owner's that is guarded; none, where the first few are not.
    pub(crate) async fn find_guarding(&self, owner: &str) -> Result<Option<Registered>, ReadError> {
        let rows = self.rows_after(&REGISTRATION, None, &[owner.into()], None, MOST_LOOKED_THROUGH).await?;
        let mut all = rows.iter().map(|row| self.records.open::<Registered>(&REGISTRATION, row));
        all.find(|one| one.as_ref().is_ok_and(|one| one.guards() && one.resource_id.is_some())).transpose()
    }

    /// The first owner behind `after` of whom something is on its way.
    pub(crate) async fn next_unfinished_owner(&self, why: Unfinished, after: Option<&str>) -> Result<Option<String>, ReadError> {
        let rows = self.rows_after(&REGISTRATION, Some(0), &[why.as_str().into()], after, 1).await?;
        rows.first().map(|row| REGISTRATION.text(row, 0).map(str::to_owned)).transpose()
    }

    /// What of an owner's is on its way. One that does not open keeps none of the others waiting.
    pub(crate) async fn list_unfinished(
        &self,
        owner: &str,
        why: Unfinished,
        after: Option<&OwnResourceId>,
        limit: usize,
    ) -> Result<UnfinishedPage, ReadError> {
        let prefix = [why.as_str().into(), owner.into()];
        let rows = self.rows_after(&REGISTRATION, Some(0), &prefix, after.map(OwnResourceId::as_str), limit).await?;
        let last = rows.last().filter(|_| rows.len() >= limit);
        let next = last.map(|row| REGISTRATION.text(row, 1).map(OwnResourceId::from)).transpose()?;
        let mut registrations = Vec::with_capacity(rows.len());
        for row in rows {
            match self.records.open(&REGISTRATION, &row) {
                Ok(registered) => registrations.push(registered),
                Err(error) => tracing::error!(%error, "a registration stays as it is"),
            }
        }
        Ok(UnfinishedPage { registrations, next })
    }

    /// Whether anything is registered of a resource, or on its way; for a look at many, which are not all kept in memory.
    pub(crate) async fn has_registration(&self, owner: &str, own_id: &OwnResourceId) -> Result<bool, ReadError> {
        Ok(!self.rows_after(&REGISTRATION, None, &[owner.into(), own_id.as_str().into()], None, 1).await?.is_empty())
    }

    /// The next so many of an owner's resources that are registered or on their way, in their order.
    pub(crate) async fn registered_ids(
        &self,
        owner: &str,
        after: Option<&OwnResourceId>,
        limit: usize,
    ) -> Result<Vec<OwnResourceId>, ReadError> {
        self.own_ids_in(&REGISTRATION, owner, after, limit).await
    }

    /// The next so many that she has spoken of.
    pub(crate) async fn spoken_of_ids(
        &self,
        owner: &str,
        after: Option<&OwnResourceId>,
        limit: usize,
    ) -> Result<Vec<OwnResourceId>, ReadError> {
        self.own_ids_in(&OPINION, owner, after, limit).await
    }

    /// Own ids in a table of which each may have several rows.
    async fn own_ids_in(
        &self,
        table: &'static Table,
        owner: &str,
        after: Option<&OwnResourceId>,
        limit: usize,
    ) -> Result<Vec<OwnResourceId>, ReadError> {
        let (mut found, mut after): (Vec<OwnResourceId>, _) = (Vec::new(), after.cloned());
        while found.len() < limit {
            let rows = self.rows_after(table, None, &[owner.into()], after.as_ref().map(OwnResourceId::as_str), limit).await?;
            for row in &rows {
                let own_id = table.text(row, 1).map(OwnResourceId::from)?;
                if found.last() != Some(&own_id) {
                    found.push(own_id);
                }
            }
            if rows.len() < limit {
                break;
            }
            after = found.last().cloned();
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Puts some and takes others away, together.
    pub(crate) async fn change_registrations(&self, put: &[Registered], gone: &[&Registered]) -> Result<(), ProtectionError> {
        let mut operations = Vec::new();
        for registered in put {
            operations.push(self.put_of(registered)?);
        }
        operations.extend(gone.iter().map(|registered| Operation::Delete { table: &REGISTRATION, key: registered.key() }));
        self.write_all(operations).await
    }

    pub(crate) async fn find_opinion(&self, owner: &str, own_id: &OwnResourceId) -> Result<Opinion, ReadError> {
        Ok(self.records.find(&OPINION, &[owner.into(), own_id.as_str().into()]).await?.unwrap_or_default())
    }

    pub(crate) async fn put_opinion(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        opinion: &Opinion,
    ) -> Result<(), ProtectionError> {
        self.change_opinion(owner, own_id, opinion, &[]).await
    }

    /// The same, with what has to be told of it.
    pub(crate) async fn change_opinion(
        &self,
        owner: &str,
        own_id: &OwnResourceId,
        opinion: &Opinion,
        stale: &[Registered],
    ) -> Result<(), ProtectionError> {
        let mut operations = vec![self.put(&OPINION, vec![owner.into(), own_id.as_str().into()], opinion)?];
        for registered in stale {
            operations.push(self.put_of(registered)?);
        }
        self.write_all(operations).await
    }
}
