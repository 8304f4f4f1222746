//! Backups of each party: what may take the place of a store, and what of it has ended then (threat 35).

use crate::world::{START, World};
use authorization_server::event::Event;
use identity::Store as _;
use identity::{Account, Changes, Client, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use types::{AccountId, ClientId, Timestamp};
use wayleave::Exit;
use wayleave::commands::backup::{Party, backup, restore};
use wayleave::config::Config;
use wayleave::log_in::LogIn;
use wayleave::serving::Serving;

const GATEWAY: &str = "
[gateway]
listen = '127.0.0.1:0'
resource = 'http://127.0.0.1:1'
folder = 'folder'
authorization_servers = ['http://127.0.0.1:2']
client_id = 'photos-rs'
client_secret = 'photos-secret'
";
const MANAGER: &str = "
[manager]
listen = '127.0.0.1:0'
url = 'http://127.0.0.1:1'
";

struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("wayleave-backups-{}-{name}", std::process::id()));
        let _ = std::fs::remove_dir_all(&folder);
        std::fs::create_dir_all(folder.join("wayleave-data")).unwrap();
        Self(folder)
    }

    fn config(&self, text: &str) -> Config {
        Config::parse(text, std::iter::empty(), self.0.clone()).unwrap()
    }

    fn file(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    /// All that is in the data folder, but locks.
    fn kept(&self) -> Vec<(String, Vec<u8>)> {
        let entries = std::fs::read_dir(self.file("wayleave-data")).unwrap().map(|entry| entry.unwrap().path());
        let mut kept: Vec<_> = entries
            .map(|place| (place.file_name().unwrap().to_string_lossy().into_owned(), std::fs::read(place).unwrap()))
            .collect();
        kept.retain(|(name, _)| !name.ends_with(".lock"));
        kept.sort();
        kept
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn what(done: Result<(), Exit>) -> String {
    match done.unwrap_err() {
        Exit::Failed(what) | Exit::Usage(what) => what,
    }
}

/// A store of this party, with nothing in it.
async fn make(party: Party, place: &Path) {
    match party {
        Party::Server => drop(store::Store::open_file(place).await.unwrap()),
        Party::Gateway => {
            let place = database::Location::File(place.to_owned());
            drop(resource_server::gateway::Store::open(&place, &[7; 32]).await.unwrap());
        }
        Party::Manager => {
            let key = jose::seal::SealingKey::new(&[7; 32]).unwrap();
            drop(relationship_manager::Store::open_file(place, key).await.unwrap());
        }
    }
}

/// A party opens its store, and is known by this URL.
async fn serve_once(party: Party, place: &Path, url: &str) {
    match party {
        Party::Server => unreachable!("its store has a list of them"),
        Party::Gateway => {
            let place = database::Location::File(place.to_owned());
            let store = resource_server::gateway::Store::open(&place, &[7; 32]).await.unwrap();
            store.note_served_as(url).await.unwrap();
        }
        Party::Manager => {
            let key = jose::seal::SealingKey::new(&[7; 32]).unwrap();
            let store = relationship_manager::Store::open_file(place, key).await.unwrap();
            store.note_served_as(url).await.unwrap();
        }
    }
}

#[tokio::test]
async fn threat_35_each_party_is_backed_up_and_restored() {
    for (party, text, name) in
        [(Party::Server, "", "server.db"), (Party::Gateway, GATEWAY, "gateway.db"), (Party::Manager, MANAGER, "manager.db")]
    {
        let folder = Folder::new(name);
        let config = folder.config(&format!("[server]\nkey_file = 'server.key'\n{text}"));
        let copy = folder.file("copy.db");
        let place = folder.file("wayleave-data").join(name);
        std::fs::write(folder.file("server.key"), jose::base64url::encode([7; 32])).unwrap();
        assert!(what(backup(&config, &copy, None)).contains("is not there"), "{name}");
        make(party, &place).await;
        backup(&config, &copy, None).unwrap();
        assert_eq!(std::fs::metadata(&copy).unwrap().permissions().mode() & 0o777, 0o600);
        let running = Serving::begin(Some(place.clone())).unwrap();
        assert!(what(restore(&config, &copy, None).await).contains("stop that first"), "{name}");
        drop(running);
        // others can read a backup that was carried here, and nobody what becomes of it; what a killed party left is not
        // taken for the new store's
        std::fs::set_permissions(&copy, std::fs::Permissions::from_mode(0o644)).unwrap();
        for left in ["-wal", "-shm"] {
            std::fs::write(folder.file("wayleave-data").join(format!("{name}{left}")), "left").unwrap();
        }
        std::fs::remove_file(&place).unwrap();
        restore(&config, &copy, None).await.unwrap();
        assert_eq!(std::fs::metadata(&place).unwrap().permissions().mode() & 0o777, 0o600);
        let names: Vec<String> = folder.kept().into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, [name], "nothing is left beside it");
        make(party, &place).await;
    }
}

#[tokio::test]
async fn threat_35_what_is_no_whole_backup_replaces_nothing() {
    let folder = Folder::new("damaged");
    let (config, copy) = (folder.config(&format!("[server]\nname = 'here'\n{GATEWAY}{MANAGER}")), folder.file("copy.db"));
    let place = folder.file("wayleave-data/server.db");
    make(Party::Server, &place).await;
    backup(&config, &copy, None).unwrap();
    let before = folder.kept();
    let whole = std::fs::read(&copy).unwrap();
    let mut damaged = whole.clone();
    damaged[8 * 4096..28 * 4096].fill(0);
    let mut newer = whole.clone();
    newer[60..64].copy_from_slice(&9_999_u32.to_be_bytes());
    let none = (b"".to_vec(), "no backup");
    for (bytes, said) in [(damaged, "no backup"), (newer, "newer version"), (whole[..4096].to_vec(), "no backup"), none] {
        std::fs::write(&copy, bytes).unwrap();
        let error = what(restore(&config, &copy, None).await);
        assert!(error.contains(said) && error.contains("copy.db") && !error.contains(".part"), "{error}");
        assert_eq!(folder.kept(), before, "{error}");
    }
    std::fs::write(&copy, whole).unwrap();
    let error = what(restore(&config, &copy, Some(Party::Gateway)).await);
    assert!(error.contains("an authorization server, and not of a gateway"), "{error}");
    // more than one party: which is to be backed up has to be said
    make(Party::Gateway, &folder.file("wayleave-data/gateway.db")).await;
    assert!(what(backup(&config, &copy, None)).contains("--party"));
    backup(&config, &copy, Some(Party::Gateway)).unwrap();
    assert!(what(restore(&config, &copy, Some(Party::Server)).await).contains("a gateway, and not of an authorization server"));
}

/// What a person names by a slip, and what the key file is needed for.
#[tokio::test]
async fn threat_35_a_backup_takes_the_place_of_nothing_else() {
    let folder = Folder::new("places");
    let text = "[server]\nkey_file = 'own.key'\n[[client]]\nclient_id = 'a'\nname = 'A'\nclient_secret_file = 'a.secret'\n";
    std::fs::write(folder.file("wayleave.toml"), text).unwrap();
    let config = folder.config(text);
    make(Party::Server, &folder.file("wayleave-data/server.db")).await;
    std::os::unix::fs::symlink("own.key", folder.file("link")).unwrap();
    for name in ["own.key", "a.secret", "notes.txt", "wayleave-data/server.db"] {
        if !folder.file(name).exists() {
            std::fs::write(folder.file(name), "kept").unwrap();
        }
        let before = std::fs::read(folder.file(name)).unwrap();
        let said = what(backup(&config, &folder.file(name), None));
        assert!(said.contains("name another file"), "{name}: {said}");
        assert_eq!(std::fs::read(folder.file(name)).unwrap(), before, "{name}");
    }
    for place in [folder.file("link"), folder.file("wayleave-data"), "/dev/null".into()] {
        assert!(what(backup(&config, &place, None)).contains("name another file"), "{}", place.display());
    }
    let served = folder.config(&format!("[server]\nname = 'here'\n{GATEWAY}"));
    std::fs::create_dir_all(folder.file("folder/album")).unwrap();
    assert!(what(backup(&served, &folder.file("folder/album/copy.db"), Some(Party::Server))).contains("serves to others"));
    // one that was killed left half of a backup, whatever that was to be called
    let left = folder.file(".wayleave-backup.AAAAAAAAAAA.part");
    std::fs::write(&left, "half").unwrap();
    std::fs::write(folder.file("monday"), "").unwrap();
    backup(&config, &folder.file("monday"), None).unwrap();
    backup(&config, &folder.file("monday"), None).unwrap();
    assert!(!left.exists());
}

/// By its tables a log-in is an authorization server, and by its key this one's.
#[tokio::test]
async fn threat_35_a_log_in_takes_no_servers_place() {
    let folder = Folder::new("whose");
    let login = "[[account]]\nusername = 'alice'\nname = 'Alice'\nemail = 'alice@foo.example'\npassword = 'a-long-password'\n";
    let config = folder.config(&format!("[server]\nname = 'here'\nkey_file = 'server.key'\n{login}{MANAGER}"));
    std::fs::write(folder.file("server.key"), jose::base64url::encode([7; 32])).unwrap();
    let (place, copy) = (folder.file("wayleave-data/server.db"), folder.file("desk.bak"));
    let make_as = async |place: &Path, issuer: &str| {
        let store = store::Store::open_file(place).await.unwrap();
        store.note_issuer("https://before.example", Timestamp(START - 1)).await.unwrap();
        store.note_issuer(issuer, Timestamp(START)).await.unwrap();
        assert_eq!(store.issuer().await.unwrap().as_deref(), Some(issuer));
    };
    make_as(&place, config.server.issuer.as_str()).await;
    make(Party::Manager, &folder.file("wayleave-data/manager.db")).await;
    make_as(&folder.file("wayleave-data/manager.login.db"), &LogIn::issuer_of("http://127.0.0.1:1")).await;
    backup(&config, &copy, Some(Party::Manager)).unwrap();
    let (before, of_login) = (folder.kept(), folder.file("desk.bak.login.db"));
    let said = what(restore(&config, &of_login, None).await);
    assert!(said.contains("/.wayleave/login") && said.contains("nothing was changed"), "{said}");
    assert_eq!(folder.kept(), before);
    restore(&config, &copy, None).await.unwrap();
    let names: Vec<String> = folder.kept().into_iter().map(|(name, _)| name).collect();
    let expected = ["manager.db", "manager.db.replaced", "manager.login.db", "manager.login.db.replaced", "server.db"];
    assert_eq!(names, expected);
}

/// A gateway's store has its owners' PATs, and a desk's all that somebody linked: neither takes the place of another's, also where
/// both have one key.
#[tokio::test]
async fn threat_35_a_store_takes_no_place_but_its_own() {
    for (party, text, name) in [(Party::Gateway, GATEWAY, "gateway.db"), (Party::Manager, MANAGER, "manager.db")] {
        let folder = Folder::new(&format!("own-{name}"));
        std::fs::write(folder.file("server.key"), jose::base64url::encode([7; 32])).unwrap();
        let config_at = |url: &str| {
            folder.config(&format!(
                "[server]\nkey_file = 'server.key'\n{}",
                text.replace("http://127.0.0.1:1'", &format!("{url}'"))
            ))
        };
        let (here, other) = (config_at("http://127.0.0.1:1"), config_at("http://127.0.0.1:3"));
        let place = folder.file("wayleave-data").join(name);
        serve_once(party, &place, "http://127.0.0.1:1").await;
        let copy = folder.file("copy.db");
        backup(&here, &copy, None).unwrap();
        let before = folder.kept();
        let said = what(restore(&other, &copy, None).await);
        assert!(said.contains("it is of http://127.0.0.1:1, and this is http://127.0.0.1:3"), "{said}");
        assert_eq!(folder.kept(), before);
        restore(&here, &copy, None).await.unwrap();
        // its address was changed on purpose
        serve_once(party, &place, "http://127.0.0.1:3").await;
        backup(&other, &copy, None).unwrap();
        restore(&other, &copy, None).await.unwrap();
    }
}

/// What was there may have been the right one: it is there until somebody removes it.
#[tokio::test]
async fn threat_35_what_a_restore_replaces_stays_however_often() {
    let folder = Folder::new("replaced");
    let (config, copy) = (folder.config("[server]\nkey_file = 'server.key'\n"), folder.file("copy.db"));
    std::fs::write(folder.file("server.key"), jose::base64url::encode([7; 32])).unwrap();
    // the store lies on another disk
    std::fs::create_dir(folder.file("disk")).unwrap();
    std::os::unix::fs::symlink("../disk/server.db", folder.file("wayleave-data/server.db")).unwrap();
    let place = folder.file("disk/server.db");
    make(Party::Server, &place).await;
    backup(&config, &copy, None).unwrap();
    std::fs::write(folder.file("disk/.server.db.AAAAAAAAAAA.part"), "of a run that was killed").unwrap();
    restore(&config, &copy, None).await.unwrap();
    assert!(std::fs::symlink_metadata(folder.file("wayleave-data/server.db")).unwrap().is_symlink());
    // damaged, and what it was about to be stands beside it
    let mut damaged = std::fs::read(&place).unwrap();
    damaged[..100].fill(b'x');
    std::fs::write(&place, &damaged).unwrap();
    std::fs::write(folder.file("disk/server.db-wal"), "about to be").unwrap();
    restore(&config, &copy, None).await.unwrap();
    let read = |name: &str| std::fs::read(folder.file("disk").join(name)).unwrap();
    assert!(read("server.db.replaced").starts_with(b"SQLite format 3"));
    assert_eq!((read("server.db.replaced-2"), read("server.db.replaced-2-wal")), (damaged, b"about to be".to_vec()));
    let mut names: Vec<_> = std::fs::read_dir(folder.file("disk")).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["server.db", "server.db.lock", "server.db.replaced", "server.db.replaced-2", "server.db.replaced-2-wal"]);
    make(Party::Server, &place).await;
}

/// A server whose clock was far ahead once begins again by its own backup.
#[tokio::test]
async fn threat_35_a_server_that_was_ahead_once_is_put_back() {
    let world = World::on("sqlite", "").await;
    let ahead = Timestamp(START + 10 * 365 * 86_400);
    world.store.sweep(ahead).await.unwrap();
    world.store.sweep(Timestamp(START)).await.unwrap();
    // clients and accounts were changed then, and before
    let viewer = world.store.find_client(&ClientId::new("viewer")).await.unwrap().unwrap();
    let alice = world.store.find_account_by_username("alice").await.unwrap().unwrap();
    let before = Account {
        id: AccountId::new("dora"),
        username: "dora".into(),
        email: None,
        vouched_since: Some(Timestamp(START - 1)),
        ..alice.clone()
    };
    let changed = vec![
        Write::PutClient(Client { credentials_since: Some(ahead), ..(*viewer).clone() }),
        Write::PutAccount(Account { vouched_since: Some(ahead), ..alice }),
        Write::PutAccount(before),
    ];
    world.store.commit(Changes::of(changed)).await.unwrap();
    assert_eq!(world.store.latest_served().await.unwrap(), Some(ahead), "it is not taken back by a clock that was set back");
    let config = Config::parse("[store]\nurl = \"memory:\"\n", std::iter::empty(), std::env::temp_dir()).unwrap();
    let begin = async |store: &store::Store| {
        let (mailbox, randomness) = (world.mailbox.clone(), std::sync::Arc::new(jose::SystemRandomness));
        let begun = wayleave::assemble::server_with(&config, store.clone(), [7; 32], mailbox, world.clock.clone(), randomness);
        what(begun.await.map(drop))
    };
    let said = begin(&world.store).await;
    assert!(said.contains("set it right") && said.contains("wayleave restore"), "{said}");
    let tell = |owner, restored: store::restoring::Restored, last: Option<&_>| {
        Event::of_restore(owner, restored.state_of, last, &*world.clock, &jose::SystemRandomness)
    };
    let restored = world.store.end_what_is_held(Timestamp(START), tell).await.unwrap();
    assert_eq!(restored.state_of, ahead);
    // by what was changed while it was ahead, what is given now counts
    let viewer = world.store.find_client(&ClientId::new("viewer")).await.unwrap().unwrap();
    assert_eq!(viewer.credentials_since, Some(Timestamp(START)));
    let alice = world.store.find_account_by_username("alice").await.unwrap().unwrap();
    assert_eq!(alice.vouched_since, Some(Timestamp(START)));
    let before = world.store.find_account_by_username("dora").await.unwrap().unwrap();
    assert_eq!(before.vouched_since, Some(Timestamp(START - 1)), "what lies behind stays");
    let opened = async || store::Store::open_file(world.store.sqlite().unwrap().path()).await.unwrap();
    assert!(
        !begin(&opened().await).await.contains("clock"),
        "this configuration is another's, and the clock is no reason any more"
    );
    // by a clock that is ahead when it is put back, all that is made now would count as made before
    world.store.end_what_is_held(ahead, tell).await.unwrap();
    let said = begin(&opened().await).await;
    assert!(said.contains("has not come yet") && said.contains("once more"), "{said}");
    world.store.end_what_is_held(Timestamp(START), tell).await.unwrap();
    assert!(!begin(&opened().await).await.contains("clock"));
}
