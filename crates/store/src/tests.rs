//! Tables and migrations agree.

use super::*;
use database::{Operation, Table, Value};

mod unread;

#[test]
fn tables_are_described_as_they_are_migrated() {
    let sql = MIGRATIONS.0.join("\n");
    for table in tables::ALL {
        // the last word counts: a later migration may have made it anew
        let start =
            sql.rfind(&format!("CREATE TABLE {} (", table.name)).unwrap_or_else(|| panic!("{} is not migrated", table.name));
        let text = &sql[start..start + sql[start..].find(';').unwrap()];
        let mut from = 0;
        for column in table.columns {
            let kind = match column.kind {
                database::Kind::Int => "BIGINT",
                database::Kind::Text => "TEXT",
                database::Kind::Blob => "BLOB",
            };
            let at = text[from..].find(&format!("{} {kind}", column.name));
            let at = at.or_else(|| text[from..].find(&format!("{} INTEGER PRIMARY KEY", column.name)));
            from += at.unwrap_or_else(|| panic!("{}.{} is not migrated in this order", table.name, column.name));
        }
        for index in table.indexes {
            let columns: Vec<_> = index.columns.iter().map(|at| table.columns[*at].name).collect();
            let unique = if index.unique { "UNIQUE " } else { "" };
            let wanted = format!("CREATE {unique}INDEX {} ON {} ({})", index.name, table.name, columns.join(", "));
            assert!(sql.contains(&wanted), "{wanted}");
        }
    }
    assert_eq!(Value::from(1), Value::Int(1));
}

/// A store of the first version: its tokens are found, and its chain of events has its seal.
#[tokio::test]
async fn an_older_store_is_brought_up_to_date() {
    use authorization_server::Store as _;
    use database::{Column, Database, Kind, Sqlite};
    const fn column(name: &'static str, kind: Kind) -> Column {
        Column { name, kind }
    }
    static OLD_RPT: Table = Table {
        name: "rpt",
        columns: &[
            column("shard", Kind::Int),
            column("bucket", Kind::Int),
            column("hash", Kind::Blob),
            column("family", Kind::Text),
            column("expires", Kind::Int),
            column("body", Kind::Blob),
        ],
        key: 3,
        indexes: &[],
        ..Table::OPEN
    };
    static OLD_EVENT: Table = Table {
        name: "event",
        columns: &[
            column("owner", Kind::Text),
            column("id", Kind::Text),
            column("n", Kind::Int),
            column("hash", Kind::Blob),
            column("body", Kind::Blob),
        ],
        key: 2,
        indexes: &[],
        ..Table::OPEN
    };
    let path = std::env::temp_dir().join(format!("wayleave-migration-{}.db", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let old = Database::Sqlite(Sqlite::open(&path, &Migrations(&MIGRATIONS.0[..2])).unwrap());
    let rpt = rules::Rpt {
        client: "c".into(),
        owner: "o".into(),
        resource_server: "r".into(),
        pat_grant: "g".into(),
        requesting_party: Default::default(),
        email: None,
        cnf: None,
        scopes: vec![],
        issued: types::Timestamp(1),
        expires: types::Timestamp(1_900_000_000),
        family: "f".into(),
        by_own_id: false,
        jti: None,
    };
    let mut operations = Vec::new();
    let mut keys = Vec::new();
    for n in 0..300_u32 {
        let mixed = |at: u32| u8::try_from(n.wrapping_add(at).wrapping_mul(2_654_435_761) >> 24).unwrap();
        let hash = std::array::from_fn(|at| mixed(u32::try_from(at).unwrap() * 7));
        let key = identity::TokenKey { shard: 7, end: i64::from(n) * 13, hash };
        let hash = Value::Blob(key.hash.to_vec());
        let body = serde_json::to_vec(&rpt).unwrap().into();
        let row = vec![key.shard.into(), key.end.into(), hash, "f".into(), 1.into(), body];
        operations.push(Operation::Insert { table: &OLD_RPT, row });
        let id = format!("{n:032x}");
        operations.push(Operation::Insert {
            table: &OLD_EVENT,
            row: vec!["o".into(), id.into(), (300 - i64::from(n)).into(), Value::Blob(vec![]), Value::Blob(b"{}".to_vec())],
        });
        keys.push(key);
    }
    old.commit(Batch { checks: vec![], operations }).await.unwrap();
    drop(old);
    let store = Store::open_file(&path).await.unwrap();
    for key in &keys {
        assert_eq!(store.find_rpt(key).await.unwrap().as_ref(), Some(&rpt));
    }
    let seals = store.list_event_seals(&"o".into(), None, false, 10).await.unwrap();
    assert_eq!((seals.len(), seals[0].n, seals[0].ids.len()), (1, 1, 300));
    assert_eq!(seals[0].ids[0].as_str(), format!("{:032x}", 299), "in the order of their places");
    drop(store);
    std::fs::remove_file(&path).unwrap();
}

/// A consent of a store from before consents named their resource: it stands for what it can stand for, and covers no
/// resource server.
#[tokio::test]
async fn threat_37_s06_an_older_consent_covers_no_resource_server() {
    use database::{Column, Database, Kind, Sqlite};
    use identity::Store as _;
    const fn column(name: &'static str, kind: Kind) -> Column {
        Column { name, kind }
    }
    static OLD_CONSENT: Table = Table {
        name: "consent",
        columns: &[
            column("id", Kind::Text),
            column("account", Kind::Text),
            column("client", Kind::Text),
            column("body", Kind::Blob),
        ],
        key: 1,
        indexes: &[],
        ..Table::OPEN
    };
    let path = std::env::temp_dir().join(format!("wayleave-consent-migration-{}.db", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let before = MIGRATIONS.0.iter().position(|sql| sql.contains("old_consent")).unwrap();
    let old = Database::Sqlite(Sqlite::open(&path, &Migrations(&MIGRATIONS.0[..before])).unwrap());
    let body = br#"{"id":"g","account":"alice","client":"desk","scopes":["uma_management"],"created":1}"#.to_vec();
    let row = vec!["g".into(), "alice".into(), "desk".into(), Value::Blob(body)];
    let operations = vec![Operation::Insert { table: &OLD_CONSENT, row }];
    old.commit(Batch { checks: vec![], operations }).await.unwrap();
    drop(old);
    let store = Store::open_file(&path).await.unwrap();
    let consent = store.find_consent(&"g".into()).await.unwrap().unwrap();
    let managing = types::ScopeSet::parse("uma_management").unwrap();
    assert!(consent.covers(&managing, None) && !consent.covers(&managing, Some("https://rs.example")));
    let of = async |resource| store.find_consent_of(&"alice".into(), &"desk".into(), resource).await.unwrap();
    assert_eq!((of(None).await.is_some(), of(Some("https://rs.example")).await), (true, None));
    let other = identity::consent::Consent { id: "h".into(), resource: Some("https://rs.example".into()), ..(*consent).clone() };
    let again = identity::consent::Consent { id: "i".into(), ..other.clone() };
    let give = async |consent| store.commit(identity::Changes::of(vec![identity::Write::PutConsent(consent)])).await;
    assert_eq!(give(other).await, Ok(()));
    assert_eq!(give(again).await, Err(CommitError::Taken), "one per account, client and resource");
    assert_eq!(store.list_consents(&"alice".into()).await.unwrap().len(), 2);
    drop(store);
    std::fs::remove_file(&path).unwrap();
}

/// What a decision rests on is looked at when it is saved (threat 48).
#[tokio::test]
async fn threat_48_s13_what_has_ended_bears_nothing() {
    use authorization_server::{Requirement, Write};
    use identity::{Changes as Own, Requirement as OwnRequirement, Write as OwnWrite};
    let store = Store::in_memory();
    let rests = async |requirement: Requirement| {
        let changes = Changes { requires: vec![requirement], ..Changes::default() };
        store.commit_changes(changes).await.is_ok()
    };
    let own = async |requirement: OwnRequirement| {
        let identity = Own { requires: vec![requirement], writes: vec![] };
        store.commit_changes(Changes { identity, ..Changes::default() }).await.is_ok()
    };
    let search = |due: i64| Requirement::SearchStands { id: "s".into(), owner: "alice".into(), due };
    let credential = || Requirement::CredentialStands { owner: "alice".into(), id: "c".into() };
    assert!(!rests(search(0)).await && !rests(credential()).await);
    let kept: authorization_server::discovery::Search = serde_json::from_value(serde_json::json!({
        "id": "s", "owner": "alice", "state": "waiting", "created": 1, "claims": ["email"], "servers": []
    }))
    .unwrap();
    let known: authorization_server::credential::Credential = serde_json::from_value(serde_json::json!({
        "owner": "alice", "subject": "did:key:z", "document": {"_id": "c", "cred_type": "did", "cred_value": {}, "created": 1}
    }))
    .unwrap();
    store.commit_changes(Changes::of(vec![Write::PutSearch(kept), Write::PutCredential(known)])).await.unwrap();
    assert!(rests(search(0)).await && !rests(search(1)).await && rests(credential()).await);
    let ended = vec![Write::DeleteSearch("s".into()), Write::DeleteCredential { owner: "alice".into(), id: "c".into() }];
    store.commit_changes(Changes::of(ended)).await.unwrap();
    assert!(!rests(search(0)).await && !rests(credential()).await);
    // a registration that was used at the last moment
    let used = |used: Option<i64>| OwnRequirement::UseUnchanged { client: "app".into(), used: used.map(types::Timestamp) };
    assert!(own(used(None)).await && !own(used(Some(5))).await);
    let note = Own::of(vec![OwnWrite::NoteUse("app".into(), types::Timestamp(5))]);
    store.commit_changes(Changes { identity: note, ..Changes::default() }).await.unwrap();
    assert!(!own(used(None)).await && own(used(Some(5))).await && !own(used(Some(4))).await);
    assert!(!own(OwnRequirement::SessionStands("x".into())).await && !own(OwnRequirement::ClientStands("app".into())).await);
}

/// A caller who hangs up while a change is written does not leave what was kept of before in memory (threat 27).
#[tokio::test]
async fn threat_27_a_change_counts_whoever_hangs_up_while_it_is_written() {
    use authorization_server::{Store as _, Write};
    use std::future::Future;
    use std::task::{Context, Waker};
    let path = std::env::temp_dir().join(format!("wayleave-store-{}-dropped.db", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let store = Store::open_file(&path).await.unwrap();
    let owner = types::OwnerId::from("alice");
    for turn in 0..20 {
        let before = store.epochs.of(&owner);
        let ended = vec![Write::DeleteCredential { owner: owner.clone(), id: "c".into() }];
        let mut commit = Box::pin(store.commit_changes(Changes::of(ended)));
        let _ = commit.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        drop(commit);
        let begun = std::time::Instant::now();
        while store.epochs.of(&owner) == before {
            assert!(begun.elapsed().as_secs() < 60, "{turn}: what was written is not told");
            tokio::time::sleep(std::time::Duration::from_millis(1)).await;
        }
    }
    assert!(store.list_credentials(&owner).await.unwrap().is_empty());
    drop(store);
    let _ = std::fs::remove_file(&path);
}
