//! A desk that is started with another key file than its store was sealed with, with none, or with one that is none: it does
//! not start, says what to do, and changes nothing (threat 40).

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use wayleave::Exit;
use wayleave::commands::manager::assemble_manager;
use wayleave::config::Config;

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wayleave-desk-keys-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&folder).unwrap();
        Self(folder)
    }

    /// Starts the desk, and ends it.
    async fn start(&self) -> Result<(), String> {
        let text = "[server]\nkey_file = \"desk.key\"\n[manager]\nlisten = \"127.0.0.1:0\"\nurl = \"https://desk.example\"\n\
             login = \"https://login.example\"\nstore = { url = \"sqlite:desk.db\" }\n";
        let config = Config::parse(text, std::iter::empty(), self.0.clone()).unwrap();
        match assemble_manager(&config, config.manager.as_ref().unwrap()).await {
            Ok(_) => Ok(()),
            Err(Exit::Failed(what) | Exit::Usage(what)) => Err(what),
        }
    }

    fn key(&self) -> PathBuf {
        self.0.join("desk.key")
    }

    fn store(&self) -> Vec<u8> {
        std::fs::read(self.0.join("desk.db")).unwrap()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

#[tokio::test]
async fn threat_40_s26_a_desk_does_not_start_with_another_key() {
    let other = Place::new();
    other.start().await.unwrap();
    let other = std::fs::read(other.key()).unwrap();
    let place = Place::new();
    place.start().await.unwrap();
    place.start().await.unwrap();
    let right = std::fs::read(place.key()).unwrap();
    let short = right[..20].to_vec();
    for (case, key) in [
        ("another", Some(other)),
        ("empty", Some(Vec::new())),
        ("too short", Some(short)),
        ("text", Some(b"secret\n".to_vec())),
        ("none", None),
    ] {
        match &key {
            Some(key) => std::fs::write(place.key(), key).unwrap(),
            None => std::fs::remove_file(place.key()).unwrap(),
        }
        let said = place.start().await.unwrap_err();
        assert!(said.contains("goes with the store"), "{case}: {said}");
        assert_eq!(std::fs::read(place.key()).ok(), key, "{case}: the key file is as it was");
    }
    // a folder under the name of the key file
    std::fs::create_dir(place.key()).unwrap();
    let said = place.start().await.unwrap_err();
    assert!(said.contains("desk.key"), "{said}");
    std::fs::remove_dir(place.key()).unwrap();
    std::fs::write(place.key(), right).unwrap();
    place.start().await.unwrap();
}

#[tokio::test]
async fn threat_40_s26_what_is_no_store_is_not_made_one() {
    let place = Place::new();
    std::fs::write(place.0.join("desk.db"), b"these are somebody's notes, and no database").unwrap();
    place.start().await.unwrap_err();
    assert_eq!(place.store(), b"these are somebody's notes, and no database");
    assert!(!place.key().exists(), "no key is made beside something that is there");
}
