//! Sessions of browsers as they are kept: by a hash of their cookie, sealed (`browser/session.rs`).

use super::tables::SESSION;
use super::{Store, Unreadable, unavailable};
use crate::protection::ProtectionError;
use database::{Batch, Operation, Row, Value};
use types::Timestamp;

/// Sessions of one network: those longest unused go first.
const MOST_OF_NETWORK: usize = 1_000;
/// Position of that index of the table.
const BY_NETWORK: usize = 1;

/// One session.
pub(crate) struct SessionRow {
    pub(crate) id: String,
    /// From which it was begun.
    pub(crate) network: String,
    /// When it ends, unless it is used before.
    pub(crate) until: Timestamp,
    pub(crate) sealed: Vec<u8>,
}

impl SessionRow {
    fn read(row: &Row) -> Result<Self, Unreadable> {
        let text = |at: usize| row.get(at).and_then(Value::as_text).map(str::to_owned);
        let read = || {
            let until = row.get(2).and_then(Value::as_int)?;
            let sealed = row.last().and_then(Value::as_blob)?.to_vec();
            Some(Self { id: text(0)?, network: text(1)?, until: Timestamp(until), sealed })
        };
        read().ok_or(Unreadable::Row(SESSION.name))
    }

    fn put(&self) -> Operation {
        let (id, network) = (self.id.as_str().into(), self.network.as_str().into());
        Operation::Put { table: &SESSION, row: vec![id, network, self.until.0.into(), self.sealed.clone().into()] }
    }
}

impl Store {
    pub(crate) fn find_session(&self, id: &str) -> Result<Option<SessionRow>, Unreadable> {
        self.database.get(&SESSION, &[id.into()])?.map(|row| SessionRow::read(&row)).transpose()
    }

    /// Keeps one that is new; those that have ended go, and of its network those that are too many.
    pub(crate) async fn put_new_session(&self, session: &SessionRow, now: Timestamp) -> Result<(), ProtectionError> {
        let sweep = Operation::DeleteBelow { table: &SESSION, column: 2, limit: now.0 };
        let before = self.rows(&SESSION, Some(BY_NETWORK), &[session.network.as_str().into()], usize::MAX)?;
        let too_many = (before.len() + 1).saturating_sub(MOST_OF_NETWORK);
        let oldest = before.iter().take(too_many).filter_map(|row| Some(vec![row.first()?.clone()]));
        let mut operations: Vec<_> = oldest.map(|key| Operation::Delete { table: &SESSION, key }).collect();
        operations.extend([sweep, session.put()]);
        self.commit(Batch { checks: vec![], operations }).await.map_err(unavailable)
    }

    pub(crate) async fn put_session(&self, session: &SessionRow) -> Result<(), ProtectionError> {
        self.write(session.put()).await
    }

    pub(crate) async fn delete_session(&self, id: &str) -> Result<(), ProtectionError> {
        self.write(Operation::Delete { table: &SESSION, key: vec![id.into()] }).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn threat_46_a_network_has_so_many_sessions_and_takes_nobody_elses() {
        let store = Store::in_memory();
        let row = |id: &str, network: &str, until| SessionRow {
            id: id.to_owned(),
            network: network.to_owned(),
            until: Timestamp(until),
            sealed: vec![1],
        };
        store.put_new_session(&row("bob", "192.0.2", 50), Timestamp(0)).await.unwrap();
        for n in 0..i64::try_from(MOST_OF_NETWORK).unwrap() + 5 {
            store.put_new_session(&row(&format!("m{n}"), "198.51.100", 100 + n), Timestamp(0)).await.unwrap();
        }
        let is_there = |id: &str| store.find_session(id).unwrap().is_some();
        assert!(is_there("bob") && !is_there("m0") && !is_there("m4") && is_there("m5"));
        // what has ended goes
        store.put_new_session(&row("carol", "192.0.2", 500), Timestamp(60)).await.unwrap();
        assert!(store.find_session("bob").unwrap().is_none() && store.find_session("carol").unwrap().is_some());
        store.delete_session("carol").await.unwrap();
        assert!(store.find_session("carol").unwrap().is_none());
    }
}
