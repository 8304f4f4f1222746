//! Her keys as they are kept: sealed under passphrases, and by passkeys.

use super::{Store, StoreAway, VAULT, VAULT_PASSKEY};
use database::Operation;
use serde::Serialize;
use serde::de::DeserializeOwned;

impl Store {
    /// An owner's keys, sealed under her passphrases.
    pub(crate) fn list_keys<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<T>, StoreAway> {
        Ok(self.list(&VAULT, &[owner.into()])?.into_iter().map(|(_, key)| key).collect())
    }

    pub(crate) async fn put_key(&self, owner: &str, did: &str, key: &impl Serialize) -> Result<(), StoreAway> {
        let row = self.sealed_row(&VAULT, vec![owner.into(), did.into()], key)?;
        self.write(vec![Operation::Put { table: &VAULT, row }]).await
    }

    /// Her keys as passkeys open them.
    pub(crate) fn list_vault_passkeys<T: DeserializeOwned>(&self, owner: &str) -> Result<Vec<T>, StoreAway> {
        Ok(self.list(&VAULT_PASSKEY, &[owner.into()])?.into_iter().map(|(_, sealed)| sealed).collect())
    }

    pub(crate) async fn put_vault_passkey(
        &self,
        owner: &str,
        credential: &str,
        sealed: &impl Serialize,
    ) -> Result<(), StoreAway> {
        let row = self.sealed_row(&VAULT_PASSKEY, vec![owner.into(), credential.into()], sealed)?;
        self.write(vec![Operation::Put { table: &VAULT_PASSKEY, row }]).await
    }

    pub(crate) async fn delete_vault_passkey(&self, owner: &str, credential: &str) -> Result<(), StoreAway> {
        let key = vec![owner.into(), credential.into()];
        self.write(vec![Operation::Delete { table: &VAULT_PASSKEY, key }]).await
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
