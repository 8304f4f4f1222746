//! What is sealed stays sealed, and what does not open is an error; on every engine.

use super::*;
use crate::task::Task;
use jose::SystemRandomness;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

mod tasks;
mod unread;

fn key(n: u8) -> SealingKey {
    SealingKey::new(&[n; 32]).unwrap()
}

struct Folder(PathBuf);
impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

impl Folder {
    fn new() -> Self {
        let folder = Self(std::env::temp_dir().join(unique()));
        std::fs::create_dir_all(&folder.0).unwrap();
        folder
    }
}

/// A name that no other test uses.
fn unique() -> String {
    static MADE: AtomicUsize = AtomicUsize::new(0);
    format!("wayleave_desk_{}_{}", std::process::id(), MADE.fetch_add(1, Ordering::Relaxed))
}

/// Does it with an empty store on each engine; on PostgreSQL where the tests have one (`cargo xtask postgres`).
async fn on_each_engine(test: impl AsyncFn(Store)) {
    test(Store::in_memory(key(1))).await;
    let folder = Folder::new();
    let file = Location::File(folder.0.join("desk.db"));
    test(Store::open(&file, NAME, key(1)).await.unwrap()).await;
    if let Ok(url) = std::env::var("WAYLEAVE_TEST_POSTGRES") {
        let database = Location::Postgres { url, password: None };
        test(Store::open(&database, &unique(), key(1)).await.unwrap()).await;
    }
}

impl Store {
    fn exchange_key(&mut self, key: SealingKey) -> SealingKey {
        self.records.key.replace(key).unwrap()
    }

    async fn due_tasks(
        &self,
        now: i64,
        of_each: usize,
        is_busy: impl Fn(&OwnersServer) -> bool + Send,
    ) -> Result<Vec<Task>, StoreAway> {
        let mut tasks = Vec::new();
        for (server, ids) in self.list_due(Timestamp(now), of_each, is_busy).await? {
            tasks.extend(self.find_due(&server, &ids, Timestamp(now)).await?);
        }
        Ok(tasks)
    }
}

/// Row 40: the desk with another key file, or a broken row.
#[tokio::test]
async fn threat_40_s22_what_does_not_open_at_the_desk_is_not_absent() {
    on_each_engine(async |mut store| {
        let first = store.secret("signing-key", || Some(vec![1])).await.unwrap();
        store.put_about("sub", &About { owner: "alice".into(), link: "l".into() }).await.unwrap();
        let session = Session { owner: "alice".into(), name: "Alice".into(), expires: Timestamp(9) };
        store.put_session("s", &session, Timestamp(0)).await.unwrap();
        let task: crate::task::Task = serde_json::from_value(serde_json::json!({"id": "t", "owner": "alice", "group": "g",
        "what": "withdraw", "link": "l", "server": "s", "method": "DELETE", "url": "u", "body": null, "created": 0,
        "standing": {"waiting": {"why": null}}, "tries": 0}))
        .unwrap();
        store.put_tasks(&[task], Timestamp(0)).await.unwrap();
        store.put_key("alice", "did:key:z", &"her key").await.unwrap();
        let right = store.exchange_key(key(2));
        assert_eq!(store.secret("signing-key", || Some(vec![2])).await, Err(StoreAway), "no key is made over one that is there");
        assert_eq!(store.find_about("sub").await, Err(StoreAway));
        assert!(store.find_session("s").await.is_err() && store.list_tasks("alice").await.is_err());
        assert!(store.list_keys::<String>("alice").await.is_err());
        assert_eq!(store.find_about("another").await, Ok(None), "what is absent is absent");
        store.exchange_key(right);
        assert_eq!(store.secret("signing-key", || Some(vec![2])).await, Ok(first));
        assert_eq!(store.due_tasks(10, 10, |_| false).await.unwrap().len(), 1);
    })
    .await;
}

/// A log-in of nobody is kept by the browser alone, which can neither read nor change it, nor bring a row for it.
#[tokio::test]
async fn threat_41_s17_what_a_browser_keeps_is_sealed() {
    on_each_engine(async |store| {
        let about = About { owner: "alice".into(), link: "l".into() };
        let sealed = store.sealed_for_browser(&about).unwrap();
        assert!(!sealed.contains("alice") && store.opened_from_browser::<About>(&sealed) == Some(about.clone()));
        let row = store.records.row(&NOTICE, vec!["sub".into()], &about).unwrap();
        let row = row.last().and_then(Value::as_blob).unwrap();
        for other in [jose::base64url::encode(row), format!("{sealed}A"), String::new(), "rubbish".into()] {
            assert_eq!(store.opened_from_browser::<About>(&other), None, "{other}");
        }
        let other = Store::in_memory(SealingKey::new(&[2; 32]).unwrap());
        assert_eq!(other.opened_from_browser::<About>(&sealed), None);
    })
    .await;
}

#[test]
fn tables_are_as_the_migration_makes_them() {
    for table in TABLES {
        let script = MIGRATIONS.0.join("\n");
        let line = script.lines().find(|line| line.contains(&format!("TABLE {} ", table.name))).unwrap();
        assert!(table.columns.iter().all(|column| line.contains(column.name)), "{}", table.name);
    }
}

/// Row 40: the desk is started with the right key, another one, or one that opens a part.
#[tokio::test]
async fn threat_40_s26_another_key_is_noticed_at_the_start_and_changes_nothing() {
    on_each_engine(async |mut store| {
        assert_eq!(store.check_key().await, Ok(()), "a new store");
        assert_eq!(store.check_key().await, Ok(()), "the same key");
        let rows = async |store: &Store| {
            let mut all = Vec::new();
            for table in TABLES {
                all.push(store.records.rows(table, None, &[]).await.unwrap());
            }
            all
        };
        let before = rows(&store).await;
        let right = store.exchange_key(key(2));
        assert_eq!(store.check_key().await, Err(StoreClosed::OtherKey), "also where nothing but the check is sealed");
        assert_eq!(rows(&store).await, before);
        // a store of before there was a check
        store.exchange_key(right);
        store.write(vec![Operation::Delete { table: &SECRET, key: vec!["key check".into()] }]).await.unwrap();
        store.put_about("sub", &About { owner: "alice".into(), link: "l".into() }).await.unwrap();
        let before = rows(&store).await;
        let right = store.exchange_key(key(2));
        assert_eq!(store.check_key().await, Err(StoreClosed::OtherKey));
        assert_eq!(rows(&store).await, before);
        store.put_about("another", &About { owner: "bob".into(), link: "l".into() }).await.unwrap();
        store.exchange_key(right);
        assert_eq!(store.check_key().await, Err(StoreClosed::Broken("notice")));
        store.write(vec![Operation::Delete { table: &NOTICE, key: vec!["another".into()] }]).await.unwrap();
        assert_eq!(store.check_key().await, Ok(()));
        assert_eq!(rows(&store).await[2].len(), 1, "it has its check now");
    })
    .await;
}

/// A seal knows its row: what somebody with the store copies from one into another does not open there. A store of before is
/// sealed anew at its first start.
#[tokio::test]
async fn threat_40_a_seal_opens_in_its_own_row_alone() {
    on_each_engine(async |store| {
        let session = |owner: &str| Session { owner: owner.into(), name: owner.into(), expires: Timestamp(9) };
        store.put_session("of-alice", &session("alice"), Timestamp(0)).await.unwrap();
        store.put_session("of-mallory", &session("mallory"), Timestamp(0)).await.unwrap();
        let row = async |id: &str| store.records.database.get(&SESSION, &[id.into()]).await.unwrap().unwrap();
        let swapped = vec!["of-mallory".into(), 9_i64.into(), row("of-alice").await.last().unwrap().clone()];
        store.write(vec![Operation::Put { table: &SESSION, row: swapped }]).await.unwrap();
        assert_eq!(store.find_session("of-mallory").await.err(), Some(StoreAway));
        assert!(store.find_session("of-alice").await.unwrap().is_some());
        // as a store of before has it: sealed for its table, and no key check
        let plain = serde_json::to_vec(&session("bob")).unwrap();
        let sealed = store.key().unwrap().seal(&plain, SESSION.name.as_bytes(), &SystemRandomness).unwrap();
        let old = vec!["of-mallory".into(), 9_i64.into(), sealed.into()];
        store.write(vec![Operation::Put { table: &SESSION, row: old }]).await.unwrap();
        assert!(store.find_session("of-mallory").await.is_err(), "not before it was sealed anew");
        assert_eq!(store.check_key().await, Ok(()));
        assert_eq!(store.find_session("of-mallory").await.unwrap().unwrap().owner, "bob");
        assert!(store.find_session("of-alice").await.unwrap().is_some());
    })
    .await;
}

/// Two servers list one word of hers; she takes it back between the reading of the one and that of the other.
#[tokio::test]
async fn threat_36_a_word_that_she_took_back_is_not_written_over() {
    on_each_engine(async |store| {
    let word: crate::ledger::Word = serde_json::from_value(serde_json::json!({"text": "a.b.c", "name": "Holiday", "guards": [], "since": 1,
        "origin": "found", "said": {"share": {"jti": "j", "iss": "did:key:z", "resource_owner_id": "did:key:z", "aud": ["https://as.example"],
        "iat": 0, "exp": 1_000, "allowed_rqp": {}, "resources": [{"resource_server": "https://rs.example", "resource_id": "/a",
        "allowed_scopes": ["view"]}]}}}))
    .unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(1)).await.unwrap();
    store.withdraw_words("alice", std::slice::from_ref(&word), &[], Timestamp(2)).await.unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(3)).await.unwrap();
    assert_eq!(store.list_words("alice").await.unwrap()[0].withdrawn, Some(Timestamp(2)));
    }).await;
}

/// As who a word was placed is kept when the link ends that says so, also of words that did not say it before.
#[tokio::test]
async fn threat_36_s03_the_end_of_a_link_keeps_whose_it_was() {
    on_each_engine(async |store| {
    let word: crate::ledger::Word = serde_json::from_value(serde_json::json!({"text": "a.b.c", "name": "Holiday", "guards": ["https://as.example"],
        "since": 9, "origin": "signed_here", "said": {"share": {"jti": "j", "iss": "did:key:z", "resource_owner_id": "did:key:z",
        "aud": ["https://as.example"], "iat": 0, "exp": 1_000, "allowed_rqp": {}, "resources": [{"resource_server": "https://rs.example",
        "resource_id": "/a", "allowed_scopes": ["view"]}]}}}))
    .unwrap();
    let link: super::Link = serde_json::from_value(serde_json::json!({"id": "l.alice", "place": {"authorization_server":
        {"issuer": "https://as.example"}}, "account": null, "access_token": "", "bound": false, "renew_from": 0, "refresh_token": null,
        "ended": false, "added": 1}))
    .unwrap();
    store.put_link("alice", &link).await.unwrap();
    store.add_words("alice", std::slice::from_ref(&word), Timestamp(9)).await.unwrap();
    let (_, as_it_stood) = store.word_as_it_stands("alice", &word).await.unwrap();
    store.delete_link("alice", "l.alice", "unlinked", Timestamp(10)).await.unwrap();
    // what was read before the link ended is written nowhere
    let stale = Batch { checks: vec![as_it_stood], operations: vec![store.word_operation("alice", &word).unwrap()] };
    assert!(matches!(store.records.commit(stale).await, Err(database::CommitError::Broken(_))));
    // taken back by somebody who read it before
    store.withdraw_words("alice", std::slice::from_ref(&word), &[], Timestamp(11)).await.unwrap();
    let kept = store.list_words("alice").await.unwrap().remove(0);
    assert_eq!((kept.placed, kept.withdrawn), (vec![crate::ledger::PlacedAs::of(&link)], Some(Timestamp(11))));
    }).await;
}

/// Of two who come at once for what is there once, one has it.
#[tokio::test]
async fn threat_42_what_is_there_once_is_taken_once() {
    on_each_engine(async |store| {
        let begun: Begun = serde_json::from_value(serde_json::json!({"flow": {"issuer": "https://as.example", "state": "state",
            "verifier": "v", "nonce": "n", "redirect_uri": "https://desk.example/callback"}, "expires": 9, "linking": null}))
        .unwrap();
        store.put_begun(&begun, Timestamp(0)).await.unwrap();
        let take = || store.take_begun("state", Timestamp(1));
        let (one, two, three) = tokio::join!(take(), take(), take());
        assert_eq!([one, two, three].into_iter().filter(|taken| matches!(taken, Ok(Some(_)))).count(), 1);
        assert!(take().await.unwrap().is_none());
        // and what is made once is the same for whoever makes it
        let make = |n| store.secret("client key", move || Some(vec![n]));
        let (one, two) = tokio::join!(make(1), make(2));
        assert_eq!(one, two);
        assert_eq!(make(3).await, one);
    })
    .await;
}

/// Two windows take away the two passkeys that open a key: one of them is left.
#[tokio::test]
async fn threat_19_the_last_that_opens_a_key_stays() {
    on_each_engine(async |store| {
        for credential in ["one", "two"] {
            store.put_vault_passkey("alice", credential, &credential).await.unwrap();
        }
        let without = |credential, left| store.delete_vault_passkey("alice", credential, Opens::Passkey { credential: left });
        let (one, two) = tokio::join!(without("one", "two"), without("two", "one"));
        assert!(one.unwrap() != two.unwrap());
        assert_eq!(store.list_vault_passkeys::<String>("alice").await.unwrap().len(), 1);
        // a passphrase is as good, where there is one
        let by_passphrase = || store.delete_vault_passkey("alice", "one", Opens::Passphrase { did: "did:key:z" });
        assert_eq!(by_passphrase().await, Ok(false));
        store.put_key("alice", "did:key:z", &"her key").await.unwrap();
        assert_eq!(by_passphrase().await, Ok(true));
    })
    .await;
}

/// `tests/stores/last_release.db` was made by the desk of the last release, with a key of ones: one row or two of each kind.
#[tokio::test]
async fn a_store_of_the_last_release_opens_with_everything_in_it() {
    let folder = Folder::new();
    let file = folder.0.join("desk.db");
    std::fs::write(&file, include_bytes!("../../tests/stores/last_release.db")).unwrap();
    let other = Store::open(&Location::File(file.clone()), NAME, key(2)).await.unwrap();
    assert_eq!(other.check_key().await, Err(StoreClosed::OtherKey));
    drop(other);
    let store = Store::open(&Location::File(file), NAME, key(1)).await.unwrap();
    assert_eq!(store.check_key().await, Ok(()));
    assert_eq!(store.secret("client key", || None).await, Ok(b"a key".to_vec()));
    let session = store.find_session("session").await.unwrap().unwrap();
    assert_eq!((session.owner.as_str(), session.name.as_str()), ("https://as.example alice", "Alice"));
    let begun = store.take_begun("state", Timestamp(1_999)).await.unwrap().unwrap();
    assert_eq!((begun.back.as_deref(), begun.linking.unwrap().owner.as_str()), (Some("/people"), "alice"));
    assert_eq!(store.find_registration("https://as.example").await.unwrap().unwrap().client_id, "desk");
    let links = store.list_links("alice").await.unwrap();
    assert_eq!(links.iter().map(|link| link.id.as_str()).collect::<Vec<_>>(), ["first", "second"]);
    assert!(links.iter().all(|link| link.bound && link.refresh_token.as_deref() == Some("rt") && link.offers["carol"]));
    assert_eq!(store.list_links("bob").await.unwrap().len(), 1);
    let unanswered = store.list_unanswered_links().await.unwrap();
    assert_eq!(unanswered, [LinkName { owner: "alice".into(), id: "first".into() }]);
    assert_eq!(store.find_about("sub").await, Ok(Some(About { owner: "alice".into(), link: "first".into() })));
    assert_eq!(store.list_keys::<String>("alice").await.unwrap(), ["her key"]);
    assert_eq!(store.list_vault_passkeys::<String>("alice").await.unwrap(), ["by passkey"]);
    let snapshots = store.list_snapshots::<serde_json::Value>("alice").await.unwrap();
    assert_eq!(snapshots, [("first".to_owned(), serde_json::json!({"what it said": [1, 2, 3]}))]);
    assert_eq!(store.list_words("alice").await.unwrap()[0].name, "Holiday");
    assert_eq!(store.list_tasks("alice").await.unwrap().len(), 2);
    let due = store.due_tasks(99, 10, |_| false).await.unwrap();
    assert_eq!(due.iter().map(|task| task.id.as_str()).collect::<Vec<_>>(), ["t"]);
}
