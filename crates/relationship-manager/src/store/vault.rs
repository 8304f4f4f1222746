//! Her keys as they are kept: sealed under passphrases, and by passkeys.

use super::{Store, StoreAway, VAULT, VAULT_PASSKEY};
use database::{Batch, Check, CommitError, Operation};
use serde::Serialize;
use serde::de::DeserializeOwned;

/// What opens a key.
#[derive(Clone, Copy)]
pub(crate) enum Opens<'a> {
    Passphrase { did: &'a str },
    Passkey { credential: &'a str },
}

impl Store {
    /// An owner's keys, sealed under her passphrases.
    pub(crate) async fn list_keys<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<T>, StoreAway> {
        Ok(self.list(&VAULT, &[owner.into()]).await?.into_iter().map(|(_, key)| key).collect())
    }

    pub(crate) async fn put_key(&self, owner: &str, did: &str, key: &impl Serialize) -> Result<(), StoreAway> {
        self.put(&VAULT, vec![owner.into(), did.into()], key).await
    }

    /// Her keys as passkeys open them.
    pub(crate) async fn list_vault_passkeys<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<T>, StoreAway> {
        Ok(self.list(&VAULT_PASSKEY, &[owner.into()]).await?.into_iter().map(|(_, sealed)| sealed).collect())
    }

    pub(crate) async fn put_vault_passkey(
        &self,
        owner: &str,
        credential: &str,
        sealed: &impl Serialize,
    ) -> Result<(), StoreAway> {
        self.put(&VAULT_PASSKEY, vec![owner.into(), credential.into()], sealed).await
    }

    /// A passkey no longer opens a key, which this opens still. Whether that was there: of two who take away what the other one
    /// counts on, one does.
    pub(crate) async fn delete_vault_passkey(&self, owner: &str, credential: &str, left: Opens<'_>) -> Result<bool, StoreAway> {
        let (table, name) = match left {
            Opens::Passphrase { did } => (&VAULT, did),
            Opens::Passkey { credential } => (&VAULT_PASSKEY, credential),
        };
        let Some(row) = self.records.database.get(table, &[owner.into(), name.into()]).await? else { return Ok(false) };
        let delete = Operation::Delete { table: &VAULT_PASSKEY, key: vec![owner.into(), credential.into()] };
        let batch = Batch { checks: vec![Check::unchanged(table, &row)], operations: vec![delete] };
        match self.records.commit(batch).await {
            Err(CommitError::Broken(_)) => Ok(false),
            other => Ok(other.map(|()| true)?),
        }
    }

    /// A key, in every form that there is of it.
    pub(crate) async fn delete_key<'c>(
        &self,
        owner: &str,
        did: &str,
        credentials: impl Iterator<Item = &'c str>,
    ) -> Result<(), StoreAway> {
        let gone = |credential: &str| Operation::Delete { table: &VAULT_PASSKEY, key: vec![owner.into(), credential.into()] };
        let mut operations: Vec<Operation> = credentials.map(gone).collect();
        operations.push(Operation::Delete { table: &VAULT, key: vec![owner.into(), did.into()] });
        self.write(operations).await
    }
}
