//! Backups of each party: what may take the place of a store, and what of it has ended then (threat 35).

use crate::world::{START, World};
use authorization_server::event::Event;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use types::Timestamp;
use wayleave::Exit;
use wayleave::commands::backup::{Party, backup, restore};
use wayleave::config::Config;
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
        Party::Gateway => drop(resource_server::gateway::Store::open(place).unwrap()),
        Party::Manager => {
            let key = jose::seal::SealingKey::new(&[7; 32]).unwrap();
            drop(relationship_manager::Store::open_file(place, key).await.unwrap());
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

/// A server whose clock was far ahead once begins again by its own backup.
#[tokio::test]
async fn threat_35_a_server_that_was_ahead_once_is_put_back() {
    let world = World::on("sqlite", "").await;
    let ahead = Timestamp(START + 10 * 365 * 86_400);
    world.store.sweep(ahead).await.unwrap();
    world.store.sweep(Timestamp(START)).await.unwrap();
    assert_eq!(world.store.latest_served().await.unwrap(), Some(ahead), "it is not taken back by a clock that was set back");
    let config = Config::parse("[store]\nurl = \"memory:\"\n", std::iter::empty(), std::env::temp_dir()).unwrap();
    let begin = async || {
        let (mailbox, randomness) = (world.mailbox.clone(), std::sync::Arc::new(jose::SystemRandomness));
        let begun =
            wayleave::assemble::server_with(&config, world.store.clone(), [7; 32], mailbox, world.clock.clone(), randomness);
        begun.await.map(drop)
    };
    let said = what(begin().await);
    assert!(said.contains("set it right") && said.contains("wayleave restore"), "{said}");
    let tell = |owner, restored: store::restoring::Restored, last: Option<&_>| {
        Event::of_restore(owner, restored.state_of, last, &*world.clock, &jose::SystemRandomness)
    };
    let restored = world.store.end_what_is_held(Timestamp(START), tell).await.unwrap();
    assert_eq!(restored.state_of, ahead);
    assert!(!what(begin().await).contains("clock"), "this configuration is another's, and the clock is no reason any more");
}
