//! What lies in a gateway's file, by its bytes, and with which key it opens.

use super::*;
use crate::gateway::store::tests::{Broken, open_file};
use crate::gateway::store::{Begun, Link, LinkState, OwnRegistration};
use database::{Migrations, Scan};
use types::Timestamp;

/// What opens something elsewhere.
const SECRETS: [&str; 5] = ["pat-of-alice", "refresh-of-alice", "secret-of-client", "verifier-of-flow", "nonce-of-flow"];
const ISSUER: &str = "https://as.example";
/// Scripts of the last version that wrote rows in plain.
const IN_PLAIN: usize = 8;

fn link() -> Link {
    let link = crate::gateway::link::new_link(Timestamp(1));
    Link { access_token: SECRETS[0].into(), refresh_token: Some(SECRETS[1].into()), ..link }
}

fn own() -> OwnRegistration {
    OwnRegistration { client_id: "photos".into(), client_secret: Some(SECRETS[2].into()) }
}

fn begun() -> Begun {
    let flow = serde_json::json!({
        "issuer": ISSUER, "state": "s", "verifier": SECRETS[3], "nonce": SECRETS[4], "redirect_uri": "https://photos.example/callback",
    });
    let (flow, expires) = (serde_json::from_value(flow).unwrap(), Timestamp(i64::MAX));
    Begun { owner: "alice".into(), flow, expires, url: None, chosen: true, by: None }
}

fn own_key() -> Vec<u8> {
    SigningKey::generate(Algorithm::Es256).and_then(|key| key.to_pkcs8()).unwrap()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_vec(value).unwrap().into()
}

/// The file as the version before made it, with rows in plain.
async fn write_in_plain(file: &Path, key: &[u8]) {
    let scripts: &'static [&'static str] = Box::leak(tables::MIGRATIONS.0[..IN_PLAIN].to_vec().into_boxed_slice());
    let database = Database::Sqlite(Sqlite::open(file, &Migrations(scripts)).unwrap());
    let rows = [
        (&tables::LINK, vec!["alice".into(), ISSUER.into(), json(&link())]),
        (&tables::SERVER, vec![ISSUER.into(), json(&own())]),
        (&BEGUN, vec!["s".into(), "alice".into(), i64::MAX.into(), json(&begun())]),
        (&SECRET, vec!["signing-key".into(), key.to_vec().into()]),
    ];
    let operations = rows.map(|(table, row)| Operation::Put { table, row }).into();
    database.commit(Batch { checks: vec![], operations }).await.unwrap();
}

/// All bytes on the disk, with what SQLite keeps beside.
fn bytes_of(file: &Path) -> Vec<u8> {
    let all = database::file::companions(file).chain([file.to_owned()]);
    all.filter_map(|place| std::fs::read(place).ok()).flatten().collect()
}

fn has(bytes: &[u8], what: &[u8]) -> bool {
    bytes.windows(what.len()).any(|window| window == what)
}

async fn assert_reads(store: &Store, key: &[u8]) {
    assert!(*store.find_link("alice", ISSUER).await.unwrap().unwrap() == link());
    assert_eq!(store.find_server(ISSUER).await.unwrap().unwrap().client_secret.as_deref(), Some(SECRETS[2]));
    assert_eq!(store.find_secret("signing-key").await.unwrap().as_deref(), Some(key));
}

#[tokio::test]
async fn threat_20_s21_what_opens_something_elsewhere_is_not_in_the_file() {
    let (broken, key) = (Broken::new().await, own_key());
    let (store, file) = (&broken.store, broken.path());
    store.put_link("alice", ISSUER, &link()).await.unwrap();
    store.put_server(ISSUER, &own()).await.unwrap();
    store.put_begun("s", &begun(), Timestamp(1)).await.unwrap();
    store.put_secret("signing-key", key.clone()).await.unwrap();
    let bytes = bytes_of(&file);
    assert!(has(&bytes, ISSUER.as_bytes()), "these are the bytes of this store");
    for secret in SECRETS.iter().map(|secret| secret.as_bytes()).chain([&key[..]]) {
        assert!(!has(&bytes, secret), "{}", String::from_utf8_lossy(secret));
    }
    assert_reads(store, &key).await;
    assert_eq!(store.take_begun("s", Timestamp(1)).await.unwrap().unwrap().owner, "alice");
}

/// A store of the last version opens, and nothing of what it held is left in the file.
#[tokio::test]
async fn threat_20_s21_a_store_of_before_is_sealed_at_its_first_start() {
    let (broken, key) = (Broken::new().await, own_key());
    let file = broken.path().with_extension("before.db");
    write_in_plain(&file, &key).await;
    assert!(has(&bytes_of(&file), SECRETS[0].as_bytes()) && has(&bytes_of(&file), &key), "it was there");
    assert!(!Store::is_sealed(&file).unwrap());
    assert!(Store::open_if_current(&file, &[7; 32]).await.unwrap().is_none(), "a look seals nothing");
    let store = open_file(&file).await;
    let bytes = bytes_of(&file);
    for secret in SECRETS.iter().map(|secret| secret.as_bytes()).chain([&key[..]]) {
        assert!(!has(&bytes, secret), "{}", String::from_utf8_lossy(secret));
    }
    assert_reads(&store, &key).await;
    assert_eq!(store.take_begun("s", Timestamp(1)).await.unwrap().unwrap().owner, "alice");
    drop(store);
    assert!(Store::is_sealed(&file).unwrap());
    let looked_at = Store::open_if_current(&file, &[7; 32]).await.unwrap().unwrap();
    assert_reads(&looked_at, &key).await;
    drop(looked_at);
    for place in database::file::companions(&file).chain([file.clone()]) {
        let _ = std::fs::remove_file(place);
    }
}

async fn rows_of(store: &Store) -> Vec<Vec<Row>> {
    let mut all = Vec::new();
    for table in TABLES {
        let scan = Scan { table, index: None, prefix: &[], after: None, descending: false, limit: usize::MAX };
        all.push(store.records.database.scan(&scan).await.unwrap());
    }
    all
}

#[tokio::test]
async fn threat_40_s26_a_gateways_store_knows_its_key_and_another_changes_nothing() {
    let (broken, key) = (Broken::new().await, own_key());
    let (store, location) = (&broken.store, Location::File(broken.path()));
    store.put_link("alice", ISSUER, &link()).await.unwrap();
    store.put_server(ISSUER, &own()).await.unwrap();
    store.put_secret("signing-key", key.clone()).await.unwrap();
    let before = rows_of(store).await;
    let other = Store::open(&location, &[8; 32]).await.err();
    assert!(matches!(other, Some(StoreError::Key(KeyCheckError::OtherKey))), "{other:?}");
    assert_eq!(rows_of(store).await, before);
    assert_reads(&open_file(&broken.path()).await, &key).await;
    assert!(Store::open_for_restore(&broken.path(), Some(&[8; 32])).await.is_err());
    assert!(Store::open_for_restore(&broken.path(), None).await.err().unwrap().contains("key file"));
    assert_eq!(rows_of(store).await, before);
}

/// What a restore does to a store of before that never had a key needs none.
#[tokio::test]
async fn a_backup_of_before_is_restored_without_a_key() {
    let (broken, key) = (Broken::new().await, own_key());
    let file = broken.path().with_extension("backup.db");
    write_in_plain(&file, &key).await;
    Store::open_for_restore(&file, None).await.unwrap().end_what_is_held().await.unwrap();
    let store = open_file(&file).await;
    assert_reads(&store, &key).await;
    assert!(store.take_begun("s", Timestamp(1)).await.unwrap().is_none());
    assert!(store.find_link("alice", ISSUER).await.unwrap().unwrap().state == LinkState::Active);
    drop(store);
    for place in database::file::companions(&file).chain([file.clone()]) {
        let _ = std::fs::remove_file(place);
    }
}
