//! Changes of what was looked at before: who decides by what she read puts nothing in the place of what came meanwhile.

use super::tables::{CREDENTIAL, LINK};
use super::{Link, Store, unavailable};
use crate::protection::ProtectionError;
use database::{Batch, Check, CommitError, Table, Value};
use serde::Serialize;
use serde::de::DeserializeOwned;
use types::credential::CredentialDocument;

impl Store {
    /// Puts a link in the place of the one that was read; `false`: that one has changed meanwhile, and nothing is written.
    pub(crate) async fn replace_link(
        &self,
        owner: &str,
        issuer: &str,
        before: &Link,
        link: &Link,
    ) -> Result<bool, ProtectionError> {
        self.replace(&LINK, &[owner.into(), issuer.into()], before, link).await
    }

    /// The same for a credential.
    pub(crate) async fn replace_credential(
        &self,
        owner: &str,
        subject: &str,
        before: &CredentialDocument,
        credential: &CredentialDocument,
    ) -> Result<bool, ProtectionError> {
        self.replace(&CREDENTIAL, &[owner.into(), subject.into()], before, credential).await
    }

    async fn replace<T: DeserializeOwned + Serialize + PartialEq + Sync>(
        &self,
        table: &'static Table,
        key: &[Value],
        before: &T,
        after: &T,
    ) -> Result<bool, ProtectionError> {
        let Some(row) = self.records.database.get(table, key).await? else { return Ok(false) };
        if self.records.open::<T>(table, &row)? != *before {
            return Ok(false);
        }
        let batch =
            Batch { checks: vec![Check::unchanged(table, &row)], operations: vec![self.put(table, key.to_vec(), after)?] };
        match self.commit(batch).await {
            Ok(()) => Ok(true),
            Err(CommitError::Broken(_)) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::LinkState;
    use super::*;
    use types::Timestamp;

    /// What is renewed puts no good link in the place of one that was ended between its read and its write.
    #[tokio::test]
    async fn what_ended_meanwhile_stays_ended() {
        let store = Store::in_memory();
        let read = crate::gateway::link::new_link(Timestamp(1));
        store.put_link("alice", "https://as.example", &read).await.unwrap();
        let renewed = Link { access_token: "a1".into(), ..read.clone() };
        assert!(store.replace_link("alice", "https://as.example", &read, &renewed).await.unwrap());
        let ended = Link { state: LinkState::Withdrawn, ..renewed.clone() };
        store.put_link("alice", "https://as.example", &ended).await.unwrap();
        assert!(!store.replace_link("alice", "https://as.example", &renewed, &read).await.unwrap());
        assert!(store.find_link("alice", "https://as.example").await.unwrap().unwrap().state == LinkState::Withdrawn);
        store.delete_link("alice", "https://as.example").await.unwrap();
        assert!(!store.replace_link("alice", "https://as.example", &ended, &read).await.unwrap());
        assert!(store.find_link("alice", "https://as.example").await.unwrap().is_none());
    }
}
