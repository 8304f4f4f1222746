//! What a server starts with: the key file that goes with its store, and the socket for administration (rule 7, S26, S29).

use crate::engines;
use crate::world::World;
use database::Location;
use identity::Store as _;
use identity::{Changes, Write};
use jose::{SystemClock, SystemRandomness};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use store::Store;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use wayleave::assemble::{Sealed, read_key_file};
use wayleave::commands::server::admin::{Admin, listen, serve_socket};
use wayleave::config::Config;
use wayleave::serve::Stop;

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wayleave-starting-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("wayleave-data")).unwrap();
        Self(folder)
    }

    fn config(&self) -> Config {
        Config::parse("", std::iter::empty(), self.0.clone()).unwrap()
    }

    fn key(&self) -> PathBuf {
        self.0.join("wayleave-data/server.key")
    }

    fn store(&self) -> PathBuf {
        self.0.join("wayleave-data/server.db")
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn what(error: wayleave::Exit) -> String {
    let (wayleave::Exit::Failed(what) | wayleave::Exit::Usage(what)) = error;
    what
}

async fn load(store: &Store, key: u8) -> Result<identity::Keys, String> {
    let keys = identity::Keys::new([key; 32]).unwrap();
    keys.load(store, &SystemClock, &SystemRandomness).await.map_err(|error| error.to_string())?;
    Ok(keys)
}

#[tokio::test]
async fn threat_40_s26_a_key_file_that_is_none_stops_the_start_and_stays_as_it_is() {
    let folder = Folder::new("file");
    let config = folder.config();
    let location = Location::File(folder.store());
    let read =
        async || read_key_file(&config, &SystemRandomness, &[Sealed { location: &location, schema: "" }]).await.map_err(what);
    let good = read().await.unwrap();
    assert_eq!(std::fs::metadata(folder.key()).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(read().await.unwrap(), good, "made once");
    std::fs::write(folder.store(), "a store").unwrap();
    let kept = std::fs::read(folder.key()).unwrap();
    for rubbish in [
        &b""[..],
        b"\n",
        b"short",
        &kept[..42],
        &[&kept[..], b"A"].concat(),
        b"\xff\xfe\x00",
        b"-----BEGIN PRIVATE KEY-----",
        &[b'=', 43],
    ] {
        std::fs::write(folder.key(), rubbish).unwrap();
        let error = read().await.unwrap_err();
        assert!(error.contains("server.key") && error.contains("restore"), "{error}");
        assert_eq!(std::fs::read(folder.key()).unwrap(), rubbish, "nothing is written over it");
    }
    // missing, beside a store that was sealed with it
    std::fs::remove_file(folder.key()).unwrap();
    let error = read().await.unwrap_err();
    assert!(error.contains("server.key") && error.contains("server.db") && error.contains("restore"), "{error}");
    assert!(!folder.key().exists(), "no other is made");
    // something else in its place
    std::fs::create_dir(folder.key()).unwrap();
    let error = read().await.unwrap_err();
    assert!(error.contains("server.key") && error.contains("restore"), "{error}");
    // left of a first start on a full disk: there is no store that it could be of
    std::fs::remove_dir(folder.key()).unwrap();
    let store = std::fs::read(folder.store()).unwrap();
    std::fs::remove_file(folder.store()).unwrap();
    std::fs::write(folder.key(), b"").unwrap();
    assert_ne!(read().await.unwrap(), good);
    std::fs::remove_file(folder.key()).unwrap();
    std::fs::write(folder.store(), store).unwrap();
    std::fs::create_dir(folder.key()).unwrap();
    // no store yet: a new one
    std::fs::remove_dir(folder.key()).unwrap();
    std::fs::remove_file(folder.store()).unwrap();
    assert_ne!(read().await.unwrap(), good);
}

/// The same on every engine: a key file that is away is no reason to make another one, and another one changes nothing.
#[tokio::test]
async fn threat_40_s26_no_key_is_made_where_a_store_is() {
    for engine in engines::list().into_iter().filter(|engine| *engine != "memory") {
        let folder = Folder::new(&format!("away-{engine}"));
        let config = folder.config();
        let place = engines::place(engine, &folder.0, 4_000);
        let sealed = || [Sealed { location: &place.location, schema: &place.schema }];
        let read = async || read_key_file(&config, &SystemRandomness, &sealed()).await.map_err(what);
        let open = async || Store::open(&place.location, &place.schema).await.unwrap();
        let load_with = async |key: [u8; 32]| {
            let keys = identity::Keys::new(key).unwrap();
            keys.load(&open().await, &SystemClock, &SystemRandomness).await.map_err(|error| error.to_string())
        };
        let own = read().await.unwrap();
        load_with(own).await.unwrap();
        assert_eq!(read().await.unwrap(), own);
        let kept = std::fs::read(folder.key()).unwrap();
        std::fs::remove_file(folder.key()).unwrap();
        let error = read().await.unwrap_err();
        assert!(error.contains("server.key is not there") && error.contains("restore"), "{error}");
        assert!(error.contains(if engine == "sqlite" { "world.db" } else { &place.schema }), "{error}");
        assert!(!folder.key().exists(), "no other is made");
        // of another installation
        let before = open().await.list_secrets().await.unwrap().len();
        let error = load_with([8; 32]).await.unwrap_err();
        assert!(error.contains("restore the key file"), "{error}");
        assert_eq!(open().await.list_secrets().await.unwrap().len(), before);
        std::fs::write(folder.key(), kept).unwrap();
        assert_eq!(read().await.unwrap(), own);
        load_with(own).await.unwrap();
    }
}

/// Names of the keys that are published.
fn published(keys: &identity::Keys, now: types::Timestamp) -> Vec<String> {
    let set = keys.jwks(now);
    let mut names: Vec<_> = set["keys"].as_array().unwrap().iter().map(|key| key["kid"].to_string()).collect();
    names.sort();
    names
}

fn rows(store: &Store) -> Vec<Vec<u8>> {
    let place = store.sqlite().unwrap().path().to_owned();
    [place.clone(), place.with_extension("db-wal")].iter().map(|file| std::fs::read(file).unwrap_or_default()).collect()
}

#[tokio::test]
async fn threat_40_s26_a_store_tells_its_own_key_from_another() {
    let folder = Folder::new("check");
    let store = Store::open_file(&folder.store()).await.unwrap();
    let first = load(&store, 7).await.unwrap();
    let before = (store.list_keys().await.unwrap(), rows(&store));
    let error = load(&store, 8).await.map(drop).unwrap_err();
    assert!(error.contains("key file"), "{error}");
    // also where nothing of it is sealed but the check
    for key in store.list_keys().await.unwrap() {
        store.commit(Changes::of(vec![Write::DeleteKey(key.kid)])).await.unwrap();
    }
    let empty = rows(&store);
    assert!(load(&store, 8).await.is_err());
    assert_eq!(rows(&store), empty, "nothing is made over it");
    for key in before.0 {
        store.commit(Changes::of(vec![Write::PutKey(key)])).await.unwrap();
    }
    let again = load(&store, 7).await.unwrap();
    let now = jose::Clock::now(&SystemClock);
    assert_eq!(published(&again, now), published(&first, now));
}

/// Rule 7: a seal knows its table and its row.
#[tokio::test]
async fn rule_7_a_sealed_value_opens_in_its_own_place_alone() {
    let store = Store::in_memory();
    let keys = load(&store, 7).await.unwrap();
    let expires = types::Timestamp(i64::MAX);
    keys.ensure_secret("ticket 1", expires, &store, &SystemClock, &SystemRandomness).await.unwrap();
    let secret = store.list_secrets().await.unwrap().into_iter().find(|secret| secret.name == "ticket 1").unwrap();
    let signing = store.list_keys().await.unwrap().remove(0);
    // another name in the same table, and the same name in another
    let moved = identity::keys::SealedSecret { name: "ticket 2".into(), ..secret.clone() };
    store.commit(Changes::of(vec![Write::PutSecret(moved)])).await.unwrap();
    assert!(load(&store, 7).await.is_err());
    store.commit(Changes::of(vec![Write::DeleteSecret("ticket 2".into())])).await.unwrap();
    load(&store, 7).await.unwrap();
    let moved = identity::keys::SealedSecret { name: signing.kid.clone(), sealed: signing.sealed.clone(), expires };
    store.commit(Changes::of(vec![Write::PutSecret(moved)])).await.unwrap();
    assert!(load(&store, 7).await.is_err());
    store.commit(Changes::of(vec![Write::DeleteSecret(signing.kid.clone())])).await.unwrap();
    let moved = identity::keys::StoredKey { kid: "another".into(), ..signing };
    store.commit(Changes::of(vec![Write::PutKey(moved)])).await.unwrap();
    assert!(load(&store, 7).await.is_err());
}

/// A store of a release whose seals named no table is sealed anew, once; in no other store does the old form count.
#[tokio::test]
async fn rule_7_seals_of_before_are_made_anew_once() {
    let store = Store::in_memory();
    let old = load(&store, 7).await.unwrap();
    let now = jose::Clock::now(&SystemClock);
    let sealing = jose::seal::SealingKey::new(&jose::digest::hmac_sha256(&[7; 32], b"seal")).unwrap();
    let as_before = async |with_check: bool| {
        for key in store.list_keys().await.unwrap() {
            let plain = sealing.open(&key.sealed, format!("signing_key {}", key.kid).as_bytes()).unwrap();
            let sealed = sealing.seal(&plain, key.kid.as_bytes(), &SystemRandomness).unwrap();
            store.commit(Changes::of(vec![Write::PutKey(identity::keys::StoredKey { sealed, ..key })])).await.unwrap();
        }
        if !with_check {
            store.commit(Changes::of(vec![Write::DeleteSecret("key check".into())])).await.unwrap();
        }
    };
    as_before(false).await;
    assert!(load(&store, 8).await.is_err(), "another key file opens none of it");
    assert_eq!(published(&load(&store, 7).await.unwrap(), now), published(&old, now));
    as_before(true).await;
    assert!(load(&store, 7).await.is_err(), "and then no more");
}

async fn say(place: &Path, head: &str) -> String {
    let mut stream = tokio::net::UnixStream::connect(place).await.unwrap();
    stream.write_all(format!("{head}Connection: close\r\n\r\n").as_bytes()).await.unwrap();
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer).await;
    answer.lines().next().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn threat_47_s29_the_admin_socket_is_its_owners_and_wants_one_host() {
    let (world, folder) = (World::one().await, Folder::new("socket"));
    let (listener, place) = listen(&folder.0.join("wayleave-data")).unwrap();
    let meta = std::fs::symlink_metadata(&place).unwrap();
    assert_eq!(meta.permissions().mode() & 0o777, 0o600, "who may open it may do everything");
    let admin = Admin {
        app: world.app.clone(),
        store: world.store.clone(),
        clock: Arc::new(wayleave::clock_watch::ClockWatch::new(world.clock.clone(), None)),
        metrics: Arc::new(wayleave::metrics::Metrics::below(String::new())),
        token: None,
    };
    let (stop, stopped) = Stop::by_hand();
    let served = tokio::spawn(serve_socket(listener, place.clone(), admin, stopped));
    assert_eq!(say(&place, "GET /accounts HTTP/1.1\r\nHost: admin\r\n").await, "HTTP/1.1 200 OK");
    for head in [
        "GET /accounts HTTP/1.1\r\n",
        "GET /accounts HTTP/1.1\r\nHost: admin\r\nHost: admin\r\n",
        "GET /accounts HTTP/1.1\r\nHost: a b\r\n",
    ] {
        assert_eq!(say(&place, head).await, "HTTP/1.1 400 Bad Request", "{head}");
    }
    // no page of a browser posts here what it can send without being asked
    for media in ["text/plain", "application/x-www-form-urlencoded"] {
        let head = format!("POST /erase HTTP/1.1\r\nHost: admin\r\nContent-Type: {media}\r\nContent-Length: 0\r\n");
        assert_eq!(say(&place, &head).await, "HTTP/1.1 415 Unsupported Media Type");
    }
    stop.send_replace(true);
    served.await.unwrap();
    assert!(!place.exists(), "it goes with the server");
}
