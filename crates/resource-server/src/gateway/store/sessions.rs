//! Sessions of browsers as they are kept: by a hash of their cookie, sealed (`browser/session.rs`).

use super::tables::{SESSION, SESSION_PLACE};
use super::{Store, unavailable};
use crate::protection::ProtectionError;
use database::{Batch, Check, CommitError, Operation, ReadError, Row, Value};
use std::cmp::Reverse;
use std::collections::HashMap;
use types::Timestamp;
use types::peer::{Caller, host_of, network_of};

/// Sessions of one network.
const MOST_OF_NETWORK: usize = 1_000;
/// Position of that column of sessions.
const UNTIL: usize = 3;

/// From where one was begun.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct SessionPlace {
    pub(crate) network: String,
    pub(crate) host: String,
}

impl SessionPlace {
    pub(crate) fn of(caller: Option<Caller>) -> Self {
        let name = |name: fn(std::net::IpAddr) -> String| caller.map(|caller| name(caller.0)).unwrap_or_default();
        Self { network: name(network_of), host: name(host_of) }
    }
}

/// One session.
pub(crate) struct SessionRow {
    pub(crate) id: String,
    pub(crate) place: SessionPlace,
    /// When it ends, unless it is used before.
    pub(crate) until: Timestamp,
    /// Somebody was granted something, or is known again. It is not read back.
    pub(crate) is_known: bool,
    pub(crate) sealed: Vec<u8>,
}

impl SessionRow {
    fn read(row: &Row) -> Result<Self, ReadError> {
        let text = |at: usize| SESSION.text(row, at).map(str::to_owned);
        let place = SessionPlace { network: text(1)?, host: text(2)? };
        let (until, sealed) = (Timestamp(SESSION.int(row, UNTIL)?), SESSION.body(row)?.to_vec());
        Ok(Self { id: text(0)?, place, until, is_known: false, sealed })
    }

    fn put(&self) -> [Operation; 2] {
        let (id, SessionPlace { network, host }) = (self.id.as_str(), &self.place);
        let (network, host) = (network.as_str(), host.as_str());
        let row = vec![id.into(), network.into(), host.into(), self.until.0.into(), self.sealed.clone().into()];
        let place = vec![network.into(), id.into(), host.into(), self.until.0.into(), i64::from(self.is_known).into()];
        [Operation::Put { table: &SESSION, row }, Operation::Put { table: &SESSION_PLACE, row: place }]
    }
}

fn delete(network: &str, id: &str) -> [Operation; 2] {
    let place = vec![network.into(), id.into()];
    [Operation::Delete { table: &SESSION, key: vec![id.into()] }, Operation::Delete { table: &SESSION_PLACE, key: place }]
}

/// One of those of a network.
struct Counted {
    id: String,
    host: String,
    until: i64,
    is_known: bool,
}

impl Counted {
    fn read(row: &Row) -> Result<Self, ReadError> {
        let (id, host) = (SESSION_PLACE.text(row, 1)?.to_owned(), SESSION_PLACE.text(row, 2)?.to_owned());
        let (until, is_known) = (SESSION_PLACE.int(row, UNTIL)?, SESSION_PLACE.int(row, 4)? != 0);
        Ok(Self { id, host, until, is_known })
    }
}

/// Which of a network make room for one more of this host, so that there are `most`: those of the host that has most, of these
/// the ones first that hold nothing, and of these the one longest unused.
fn choose_leaving(mut all: Vec<Counted>, host: &str, most: usize) -> Vec<String> {
    let mut leaving = Vec::new();
    while all.len() >= most {
        let mut of_host: HashMap<&str, usize> = HashMap::from([(host, 1)]);
        for one in &all {
            let count = of_host.entry(&one.host).or_default();
            *count = count.saturating_add(1);
        }
        let count = |one: &Counted| of_host.get(one.host.as_str()).copied().unwrap_or_default();
        let first = all.iter().enumerate().min_by_key(|(_, one)| (Reverse(count(one)), one.is_known, one.until));
        let Some(at) = first.map(|(at, _)| at) else { break };
        leaving.push(all.swap_remove(at).id);
    }
    leaving
}

impl Store {
    pub(crate) async fn find_session(&self, id: &str) -> Result<Option<SessionRow>, ReadError> {
        self.records.database.get(&SESSION, &[id.into()]).await?.map(|row| SessionRow::read(&row)).transpose()
    }

    /// Keeps one that is new; those that have ended go, and of its network those that are too many.
    pub(crate) async fn put_new_session(&self, session: &SessionRow, now: Timestamp) -> Result<(), ProtectionError> {
        let network = session.place.network.as_str();
        let rows = self.records.rows(&SESSION_PLACE, None, &[network.into()]).await?;
        let stands = |one: &Counted| one.until >= now.0 && one.id != session.id;
        let all: Vec<Counted> = rows.iter().map(Counted::read).collect::<Result<_, _>>()?;
        let all = all.into_iter().filter(stands).collect();
        let leaving = choose_leaving(all, &session.place.host, MOST_OF_NETWORK);
        let mut operations: Vec<_> = leaving.iter().flat_map(|id| delete(network, id)).collect();
        operations.extend([&SESSION, &SESSION_PLACE].into_iter().filter_map(|table| Operation::sweep(table, now.0)));
        operations.extend(session.put());
        self.write_all(operations).await
    }

    /// Keeps one that is there; `false`: it has ended meanwhile.
    pub(crate) async fn put_session(&self, session: &SessionRow) -> Result<bool, ProtectionError> {
        let key = vec![Value::from(session.id.as_str())];
        let is_there = Check::Below { table: &SESSION, key, column: UNTIL, limit: i64::MAX };
        let batch = Batch { checks: vec![is_there], operations: session.put().into() };
        match self.commit(batch).await {
            Ok(()) => Ok(true),
            Err(CommitError::Broken(_)) => Ok(false),
            Err(error) => Err(unavailable(error)),
        }
    }

    pub(crate) async fn delete_session(&self, session: &SessionRow) -> Result<(), ProtectionError> {
        self.write_all(delete(&session.place.network, &session.id).into()).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(id: &str, place: (&str, &str), until: i64, is_known: bool) -> SessionRow {
        let place = SessionPlace { network: place.0.to_owned(), host: place.1.to_owned() };
        SessionRow { id: id.to_owned(), place, until: Timestamp(until), is_known, sealed: vec![1] }
    }

    #[tokio::test]
    async fn threat_46_a_network_has_so_many_sessions_and_takes_nobody_elses() {
        let store = Store::in_memory();
        let put = async |row| store.put_new_session(&row, Timestamp(0)).await.unwrap();
        put(row("bob", ("192.0.2", "192.0.2.1"), 50, true)).await;
        // of her network, and longest unused: her host has fewer than the other
        put(row("carol", ("198.51.100", "198.51.100.1"), 60, true)).await;
        put(row("dave", ("198.51.100", "198.51.100.1"), 61, false)).await;
        for n in 0..i64::try_from(MOST_OF_NETWORK).unwrap() + 5 {
            put(row(&format!("m{n}"), ("198.51.100", "198.51.100.9"), 100 + n, n != 3)).await;
        }
        let is_there = async |id: &str| store.find_session(id).await.unwrap().is_some();
        assert!(is_there("bob").await && is_there("carol").await && is_there("dave").await);
        let mut gone = Vec::new();
        for id in (0..20).map(|n| format!("m{n}")) {
            if !is_there(&id).await {
                gone.push(id);
            }
        }
        assert_eq!(gone, ["m0", "m1", "m2", "m3", "m4", "m5", "m6"]);
        // what has ended goes
        store.put_new_session(&row("erin", ("192.0.2", "192.0.2.1"), 500, true), Timestamp(60)).await.unwrap();
        let erin = store.find_session("erin").await.unwrap().unwrap();
        assert!(!is_there("bob").await && store.put_session(&erin).await.unwrap());
        store.delete_session(&erin).await.unwrap();
        assert!(!is_there("erin").await);
        // threat 48: what ended does not come back by what was under way
        assert!(!store.put_session(&erin).await.unwrap() && !is_there("erin").await);
    }

    #[test]
    fn threat_46_of_the_host_that_has_most_those_that_hold_nothing_go_first() {
        let one = |id: &str, host: &str, until, is_known| Counted { id: id.into(), host: host.into(), until, is_known };
        let all = || {
            vec![
                one("a", "h1", 1, true),
                one("b", "h1", 9, false),
                one("c", "h1", 3, true),
                one("d", "h2", 0, false),
                one("e", "h3", 2, true),
            ]
        };
        assert_eq!(choose_leaving(all(), "h9", 6), Vec::<String>::new());
        assert_eq!(choose_leaving(all(), "h9", 5), ["b"]);
        assert_eq!(choose_leaving(all(), "h9", 4), ["b", "a"]);
        // of hosts with as many, whoever holds nothing; the newcomer counts with its own
        assert_eq!(choose_leaving(all(), "h9", 3), ["b", "a", "d"]);
        assert_eq!(choose_leaving(all(), "h2", 5), ["b"]);
        assert_eq!(choose_leaving(vec![one("d", "h2", 0, true), one("e", "h3", 2, true)], "h3", 2), ["e"]);
    }
}
