//! A store that cannot be read, cannot be written, or holds what does not open: on every engine where each can be so.

use super::*;
use authorization_server::event::{EventHead, EventSeal};
use authorization_server::store::Page;
use authorization_server::{Requirement, Store as _, Write};
use identity::Store as _;
use serde_json::json;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use types::{EventId, OwnerId, Timestamp};

/// A name that no other test uses.
fn unique() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    format!("wayleave_store_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// A file of its own.
struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        Self(std::env::temp_dir().join(format!("{}.db", unique())))
    }

    /// Runs SQL on the file, by way of the engine's own migrations: `step` counts from 1.
    fn run(&self, step: usize, sql: &'static str) {
        let mut scripts = vec![""; MIGRATIONS.0.len() + step];
        *scripts.last_mut().unwrap() = sql;
        drop(Sqlite::open(&self.0, &Migrations(Box::leak(scripts.into_boxed_slice()))).unwrap());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.0.display()));
        }
    }
}

/// Does it with an empty store on each engine; on PostgreSQL where the tests have one (`cargo xtask postgres`).
async fn on_each_engine(test: impl AsyncFn(Store)) {
    test(Store::in_memory()).await;
    let place = Place::new();
    test(Store::open_file(&place.0).await.unwrap()).await;
    if let Ok(url) = std::env::var("WAYLEAVE_TEST_POSTGRES") {
        let database = Location::Postgres { url, password: None };
        test(Store::open(&database, &unique()).await.unwrap()).await;
    }
}

/// Of a page, and less than there are in a long list.
const MANY: usize = 500;

fn alice() -> OwnerId {
    "alice".into()
}

fn policy(id: &str) -> rules::Policy {
    serde_json::from_value(json!({
        "id": id, "owner": "alice", "version": 1, "binding": {"bound": {"resource": "album"}}, "scopes": ["view"], "conditions": [],
        "clients": [], "valid_from": null, "expires_at": null, "max_uses": null, "uses": 0, "purpose": null, "on_missing": "deny",
        "created": 1
    }))
    .unwrap()
}

fn resource() -> rules::Resource {
    let description = json!({"resource_scopes": ["view"]});
    let resource = json!({
        "id": "album", "owner": "alice", "resource_server": "photos", "description": description, "registered": 1, "version": 1
    });
    serde_json::from_value(resource).unwrap()
}

fn consent() -> identity::consent::Consent {
    serde_json::from_value(json!({"id": "g", "account": "alice", "client": "desk", "scopes": ["view"], "created": 1})).unwrap()
}

async fn fill(store: &Store) {
    let head = EventHead { owner: alice(), n: 2, hash: "h".into(), time: Timestamp(1), last: None };
    let ids: Vec<_> = ["0", "1"].map(|digit| EventId::new(digit.repeat(32))).into();
    // where several processes share a store they wait for their seal there
    let waiting = |id| Operation::Put { table: &tables::UNSEALED_EVENT, row: entity::row!["alice", id] };
    store.write(ids.iter().map(waiting).collect()).await.unwrap();
    let seal = EventSeal { n: 1, ids };
    let writes = vec![
        Write::PutPolicy(policy("p")),
        Write::CreateResource(resource()),
        Write::RaiseLink { owner: alice(), resource_server: "photos".into() },
        Write::RaiseInbox(alice()),
        Write::SealEvents { head, seal },
        Write::PutProof { id: "proof".into(), sealed: vec![1; 40], expires: Timestamp(9) },
    ];
    let identity = identity::Changes::of(vec![identity::Write::PutConsent(consent())]);
    store.commit_changes(Changes { identity, writes, ..Changes::default() }).await.unwrap();
    store.sweep(Timestamp(1)).await.unwrap();
}

/// What each read says: absent, there, or not to be had.
async fn reads(store: &Store) -> Vec<(&'static str, Result<bool, ReadError>)> {
    let page = Page { after: None, limit: MANY };
    vec![
        ("policy", store.find_policy(&"p".into()).await.map(|found| found.is_some())),
        ("policy", store.list_policies(&alice(), &page).await.map(|found| !found.is_empty())),
        ("policy", store.list_policies_on(&"album".into()).await.map(|found| !found.is_empty())),
        ("resource", store.find_resource(&"album".into()).await.map(|found| found.is_some())),
        ("consent", store.find_consent(&"g".into()).await.map(|found| found.is_some())),
        ("consent", store.list_consents(&alice()).await.map(|found| !found.is_empty())),
        ("event_head", store.find_event_head(&alice()).await.map(|found| found.is_some())),
        ("event_seal", store.list_event_seals(&alice(), None, false, 10).await.map(|found| !found.is_empty())),
        ("link", store.find_link_version(&alice(), &"photos".into()).await.map(|version| version > 0)),
        ("inbox", store.find_inbox_version(&alice()).await.map(|version| version > 0)),
        ("served", store.latest_served().await.map(|latest| latest.is_some())),
    ]
}

/// What is counted, and has no body.
const NUMBERS: [&str; 3] = ["link", "inbox", "served"];

/// Tears every row: of a body the last byte goes, in the place of a number stands a text. PostgreSQL takes no such text.
async fn tear(store: &Store) {
    for table in tables::ALL {
        for mut row in store.all_rows(table, reads::Along::key(&[])).await.unwrap() {
            match row.last_mut().unwrap() {
                Value::Blob(body) => drop(body.pop()),
                number if NUMBERS.contains(&table.name) && !store.is_shared() => *number = "torn".into(),
                _ => continue,
            }
            store.write(vec![Operation::Put { table, row }]).await.unwrap();
        }
    }
}

/// Row 40: a row that is there and does not open is no absent one, and the log names it.
#[tokio::test]
async fn threat_40_s22_what_does_not_open_at_the_server_is_not_absent() {
    on_each_engine(async |store| {
        assert!(reads(&store).await.iter().all(|(_, found)| *found == Ok(false)), "{:?}", reads(&store).await);
        fill(&store).await;
        // read by another, so that nothing is in memory
        let fresh = || Store { kept: Arc::default(), ..store.clone() };
        assert!(reads(&fresh()).await.iter().all(|(_, found)| *found == Ok(true)));
        tear(&store).await;
        for (table, found) in
            reads(&fresh()).await.into_iter().filter(|(table, _)| !store.is_shared() || !NUMBERS.contains(table))
        {
            let error = found.unwrap_err().to_string();
            assert!(error.contains(&format!("of the table `{table}` does not open")), "{error}");
        }
        let link = tables::LINK.does_not_open(&entity::key!["alice", "photos", 1_i64]).to_string();
        assert!(link.contains("`alice, photos`"), "{link}");
        let proof = tables::KEPT_PROOF.does_not_open(&entity::key!["proof"]).to_string();
        assert!(!proof.contains("proof`:"), "whoever knows its name may open it: {proof}");
    })
    .await;
}

/// Row 40: a list ends at its end, or is an error.
#[tokio::test]
async fn threat_40_s22_a_row_that_is_torn_in_the_middle_of_a_list_is_an_error_of_the_list() {
    on_each_engine(async |store| {
        let all = (0..1_200).map(|n| Write::PutPolicy(policy(&format!("{n:04}")))).collect();
        store.commit_changes(Changes::of(all)).await.unwrap();
        assert_eq!(store.list_policies_on(&"album".into()).await.unwrap().len(), 1_200);
        let mut row = store.get(&tables::POLICY, &entity::key!["0700"]).await.unwrap().unwrap();
        *row.last_mut().unwrap() = Value::Blob(b"{\"id\":\"0700\"".to_vec());
        store.write(vec![Operation::Put { table: &tables::POLICY, row }]).await.unwrap();
        let store = Store { kept: Arc::default(), ..store };
        let error = store.list_policies_on(&"album".into()).await.unwrap_err();
        assert_eq!(error, ReadError::DoesNotOpen { table: "policy", key: Some("0700".into()) });
        let page = |after: Option<&str>| Page { after: after.map(Into::into), limit: MANY };
        assert_eq!(store.list_policies(&alice(), &page(None)).await.unwrap().len(), 500);
        assert_eq!(store.list_policies(&alice(), &page(Some("0499"))).await, Err(error));
    })
    .await;
}

/// Row 40: while a table is away nothing is read of it, and that is not remembered.
#[tokio::test]
async fn threat_40_s22_what_cannot_be_read_at_the_server_is_neither_absent_nor_kept() {
    let place = Place::new();
    let store = Store::open_file(&place.0).await.unwrap();
    fill(&store).await;
    place.run(
        1,
        "ALTER TABLE policy RENAME TO a; ALTER TABLE resource RENAME TO b; ALTER TABLE consent RENAME TO c;
         ALTER TABLE event_head RENAME TO d; ALTER TABLE event_seal RENAME TO e; ALTER TABLE link RENAME TO f;
         ALTER TABLE inbox RENAME TO g; ALTER TABLE served RENAME TO h;",
    );
    for (table, found) in reads(&store).await {
        assert!(matches!(found, Err(ReadError::Unreadable(_))), "{table}: {found:?}");
    }
    assert!(store.sweep(Timestamp(2)).await.is_err());
    place.run(
        2,
        "ALTER TABLE a RENAME TO policy; ALTER TABLE b RENAME TO resource; ALTER TABLE c RENAME TO consent;
         ALTER TABLE d RENAME TO event_head; ALTER TABLE e RENAME TO event_seal; ALTER TABLE f RENAME TO link;
         ALTER TABLE g RENAME TO inbox; ALTER TABLE h RENAME TO served;",
    );
    assert!(reads(&store).await.iter().all(|(_, found)| *found == Ok(true)));
}

/// Row 40: what cannot be written has not happened, and a start that finds rows of a newer program changes none.
#[tokio::test]
async fn threat_40_s22_a_full_disk_and_a_newer_store_change_nothing() {
    let place = Place::new();
    let store = Store::open_file(&place.0).await.unwrap();
    fill(&store).await;
    place.run(1, "CREATE TRIGGER full BEFORE INSERT ON policy BEGIN SELECT RAISE(ROLLBACK, 'disk full'); END");
    let both = vec![Write::RaiseInbox(alice()), Write::PutPolicy(policy("q"))];
    let written = store.commit_changes(Changes::of(both)).await;
    assert!(matches!(written, Err(CommitError::Unavailable(_))), "{written:?}");
    assert_eq!(store.find_policy(&"q".into()).await, Ok(None));
    let stands = vec![Requirement::InboxUnchanged { owner: alice(), version: 1 }];
    assert_eq!(store.commit_changes(Changes { requires: stands, ..Changes::default() }).await, Ok(()));
    drop(store);
    let before = std::fs::read(&place.0).unwrap();
    let error = Store::open_file(&place.0).await.map(drop).unwrap_err();
    assert!(matches!(error, OpenError::Newer(_)), "{error}");
    assert!(error.to_string().contains("update this program"));
    assert_eq!(std::fs::read(&place.0).unwrap(), before);
}
