//! A store that cannot be read: a real file, with a table taken away or a row broken under it.

use super::*;
use crate::gateway::store::owners::Effect;
use database::{Location, Migrations, Sqlite};
use std::sync::atomic::{AtomicU32, Ordering};

mod engines;

/// With the key of all tests.
pub(crate) async fn open_file(path: &std::path::Path) -> Store {
    Store::open(&Location::File(path.to_owned()), &[7; 32]).await.unwrap()
}

/// A file of its own, and what to do to it from outside.
pub(crate) struct Broken {
    pub(crate) store: Store,
    path: std::path::PathBuf,
}

/// Scripts that the store itself has run.
const OWN: usize = tables::MIGRATIONS.0.len();
static FILES: AtomicU32 = AtomicU32::new(0);

impl Broken {
    pub(crate) async fn new() -> Self {
        let name = format!("wayleave-gateway-{}-{}.db", std::process::id(), FILES.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        Self { store: open_file(&path).await, path }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.path.clone()
    }

    /// Runs SQL on the file, by way of the engine's own migrations: `step` counts from 1.
    pub(crate) fn run(&self, step: usize, sql: &'static str) {
        let mut scripts = vec![""; OWN + step];
        *scripts.last_mut().unwrap() = sql;
        let scripts: &'static [&'static str] = Box::leak(scripts.into_boxed_slice());
        drop(Sqlite::open(&self.path, &Migrations(scripts)).unwrap());
    }
}

impl Drop for Broken {
    fn drop(&mut self) {
        for suffix in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{suffix}", self.path.display()));
        }
    }
}

pub(crate) const AWAY: &str = "
    ALTER TABLE owner_link RENAME TO owner_link_away; ALTER TABLE registered RENAME TO registered_away;
    ALTER TABLE opinion RENAME TO opinion_away; ALTER TABLE rule RENAME TO rule_away;
    ALTER TABLE history RENAME TO history_away; ALTER TABLE server RENAME TO server_away;
    ALTER TABLE secret RENAME TO secret_away; ALTER TABLE credential RENAME TO credential_away;
    ALTER TABLE withdrawn RENAME TO withdrawn_away; ALTER TABLE begun_link RENAME TO begun_away;";
pub(crate) const BACK: &str = "
    ALTER TABLE owner_link_away RENAME TO owner_link; ALTER TABLE registered_away RENAME TO registered;
    ALTER TABLE opinion_away RENAME TO opinion; ALTER TABLE rule_away RENAME TO rule;
    ALTER TABLE history_away RENAME TO history; ALTER TABLE server_away RENAME TO server;
    ALTER TABLE secret_away RENAME TO secret; ALTER TABLE credential_away RENAME TO credential;
    ALTER TABLE withdrawn_away RENAME TO withdrawn; ALTER TABLE begun_away RENAME TO begun_link;";
const DAMAGED: &str = "
    UPDATE owner_link SET body = x'7b'; UPDATE registered SET body = x'7b'; UPDATE opinion SET body = x'7b';
    UPDATE rule SET body = x'7b'; UPDATE history SET body = x'7b'; UPDATE server SET body = x'7b';
    UPDATE credential SET body = x'7b'; UPDATE begun_link SET body = x'7b';";

pub(crate) fn denying() -> Rule {
    Rule {
        id: "r".into(),
        resource_id: None,
        resource_scopes: None,
        client_id: None,
        claims: Default::default(),
        effect: Effect::Deny,
    }
}

fn registered() -> Registered {
    Registered {
        owner: "alice".into(),
        own_id: "/a".into(),
        id: "1".into(),
        issuer: "https://as.example".into(),
        resource_id: Some("x".into()),
        scopes: None,
        standing: Standing::Leaving,
        error: None,
        created: Timestamp(1),
        replaces: None,
        stale: false,
        found_at: None,
    }
}

async fn filled(store: &Store) {
    let link = crate::gateway::link::new_link(Timestamp(1));
    store.put_link("alice", "https://as.example", &link).await.unwrap();
    store.change_registrations(&[registered()], &[]).await.unwrap();
    store.put_opinion("alice", &"/a".into(), &Opinion { placed: true, ..Opinion::default() }).await.unwrap();
    store.put_rule("alice", &denying()).await.unwrap();
    let own = OwnRegistration { client_id: "c".into(), client_secret: None };
    store.put_server("https://as.example", &own).await.unwrap();
    store.put_secret("key", vec![1]).await.unwrap();
    let withdrawn = Withdrawn { jti: "j".into(), exp: Timestamp(i64::MAX) };
    store.withdraw("alice", &withdrawn, Timestamp(1)).await.unwrap();
}

/// Whether each read says that it cannot read, in the order of the tables.
async fn fails(store: &Store) -> Vec<bool> {
    let own_id = "/a".into();
    vec![
        store.find_link("alice", "https://as.example").await.is_err(),
        store.list_links("alice").await.is_err(),
        store.registrations("alice", &own_id).await.is_err(),
        store.list_registrations("alice").await.is_err(),
        store.find_opinion("alice", &own_id).await.is_err(),
        store.list_rules("alice").await.is_err(),
        store.find_server("https://as.example").await.is_err(),
    ]
}

/// Row 40: a read error is no empty store, and is not remembered either.
#[tokio::test]
async fn threat_40_s22_what_cannot_be_read_is_neither_absent_nor_kept() {
    let broken = Broken::new().await;
    let store = &broken.store;
    filled(store).await;
    broken.run(1, AWAY);
    assert_eq!(fails(store).await, [true; 7]);
    let all = [
        store.find_secret("key").await.is_err(),
        store.find_credential("alice", "did:key:z").await.is_err(),
        store.list_credentials("alice").await.is_err(),
        store.delete_credential("alice", "id").await.is_err(),
        store.is_withdrawn("alice", "j").await.is_err(),
        store.list_withdrawn("alice", None, 10).await.is_err(),
        store.spoken_of_ids("alice", None, 10).await.is_err(),
        store.list_history("alice", None, 10).await.is_err(),
        store.list_unfinished("alice", Unfinished::Leaving, None, 10).await.is_err(),
        store.take_begun("state", Timestamp(1)).await.is_err(),
        store.adopt("https://as.example").await.is_err(),
    ];
    assert_eq!(all, [true; 11]);
    broken.run(2, BACK);
    assert_eq!(fails(store).await, [false; 7], "the failure was not kept");
    assert_eq!(*store.list_rules("alice").await.unwrap(), [denying()]);
    assert_eq!(*store.registrations("alice", &"/a".into()).await.unwrap(), [registered()]);
    assert_eq!(store.is_withdrawn("alice", "j").await, Ok(true));
    assert_eq!(store.find_secret("key").await, Ok(Some(vec![1])));
    assert_eq!(store.find_secret("another").await, Ok(None), "what is absent is absent");
    assert_eq!(store.is_withdrawn("alice", "k").await, Ok(false));
}

/// The same for a row that is there and does not open.
#[tokio::test]
async fn threat_40_s22_what_does_not_open_is_not_absent() {
    let broken = Broken::new().await;
    filled(&broken.store).await;
    broken.run(1, DAMAGED);
    assert_eq!(fails(&broken.store).await, [true; 7]);
    assert!(broken.store.list_links("bob").await.unwrap().is_empty(), "another owner's are as they were");
    let unfinished = broken.store.list_unfinished("alice", Unfinished::Leaving, None, 10).await.unwrap();
    assert!(unfinished.registrations.is_empty(), "it is not done, and nobody waits for it");
    broken.run(2, "UPDATE registered SET own_id = '/b'");
    assert!(broken.store.list_registrations("alice").await.is_err(), "nor is it gone");
}

#[tokio::test]
async fn servers_that_the_operator_lists_no_more_are_found() {
    let store = Store::in_memory();
    let link = crate::gateway::link::new_link(Timestamp(1));
    let gone = Link { state: LinkState::Withdrawn, ..link.clone() };
    for (owner, issuer, link) in [
        ("alice", "https://a.example", &link),
        ("alice", "https://b.example", &link),
        ("bob", "https://b.example", &link),
        ("bob", "https://c.example", &gone),
    ] {
        store.put_link(owner, issuer, link).await.unwrap();
    }
    let listed = ["https://a.example".to_owned()];
    assert_eq!(store.list_servers_but(&listed).await, Ok(vec!["https://b.example".to_owned()]));
}
