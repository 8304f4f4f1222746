//! A gateway that is started with another key file than its store was sealed with, or with none, does not start, says which file
//! that is, and changes nothing (threat 40). A store of before there was a key is sealed at its first start (threat 20).

use database::{Migrations, Sqlite};
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use wayleave::Exit;
use wayleave::commands::backup::{backup, restore};
use wayleave::commands::config::check;
use wayleave::commands::gateway::assemble_gateway;
use wayleave::config::Config;

const PAT: &str = "a-pat-of-alice";

struct Place(PathBuf);

impl Place {
    fn new() -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("wayleave-gateway-keys-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let folder = std::env::temp_dir().join(name);
        std::fs::create_dir_all(folder.join("photos")).unwrap();
        Self(folder)
    }

    fn config(&self) -> Config {
        let text = "[server]\ndata_dir = \"data\"\n[gateway]\nlisten = \"127.0.0.1:0\"\nresource = \"http://127.0.0.1:1\"\n\
             folder = \"photos\"\nauthorization_servers = [\"http://127.0.0.1:2\"]\nclient_id = \"photos-rs\"\n\
             client_secret = \"secret\"\n[outbound]\nallow_http = true\n";
        Config::parse(text, std::iter::empty(), self.0.clone()).unwrap()
    }

    /// Starts the gateway, and ends it.
    async fn start(&self) -> Result<(), String> {
        let config = self.config();
        said(assemble_gateway(&config, config.gateway.as_ref().unwrap(), None).await.map(drop))
    }

    fn key(&self) -> PathBuf {
        self.0.join("data/server.key")
    }

    fn store(&self) -> PathBuf {
        self.0.join("data/gateway.db")
    }

    fn bytes(&self) -> Vec<u8> {
        let store = self.store();
        let all = database::file::companions(&store).chain([store.clone()]);
        all.filter_map(|place| std::fs::read(place).ok()).flatten().collect()
    }

    fn has_pat(&self) -> bool {
        self.bytes().windows(PAT.len()).any(|window| window == PAT.as_bytes())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn said(done: Result<(), Exit>) -> Result<(), String> {
    done.map_err(|exit| match exit {
        Exit::Failed(what) | Exit::Usage(what) => what,
    })
}

/// Scripts of the tables until rows were sealed, and all that there are.
const IN_PLAIN: usize = 8;
const ALL: usize = 10;

impl Place {
    /// A gateway as the version before left it: with a link in plain, and no key.
    async fn of_before() -> Self {
        let place = Self::new();
        place.start().await.unwrap();
        let script = format!(
            "DROP INDEX withdrawn_by_end; DROP INDEX history_by_end; DELETE FROM secret; INSERT INTO owner_link VALUES ('alice', 'http://127.0.0.1:2', \
             CAST('{{\"access_token\":\"{PAT}\",\"expires\":4000000000,\"refresh_token\":null}}' AS BLOB));"
        );
        let mut scripts = vec![""; ALL];
        scripts.push(Box::leak(script.into_boxed_str()));
        drop(Sqlite::open(&place.store(), &Migrations(Box::leak(scripts.into_boxed_slice()))).unwrap());
        database::file::settle(&place.store()).unwrap();
        let mut bytes = std::fs::read(place.store()).unwrap();
        bytes[60..64].copy_from_slice(&u32::try_from(IN_PLAIN).unwrap().to_be_bytes());
        std::fs::write(place.store(), bytes).unwrap();
        std::fs::remove_file(place.key()).unwrap();
        assert!(place.has_pat());
        place
    }
}

#[tokio::test]
async fn threat_40_s26_a_gateway_does_not_start_with_another_key() {
    let (other, place) = (Place::new(), Place::new());
    other.start().await.unwrap();
    place.start().await.unwrap();
    place.start().await.unwrap();
    let right = std::fs::read(place.key()).unwrap();
    for key in [Some(std::fs::read(other.key()).unwrap()), Some(Vec::new()), None] {
        match &key {
            Some(key) => std::fs::write(place.key(), key).unwrap(),
            None => std::fs::remove_file(place.key()).unwrap(),
        }
        let what = place.start().await.unwrap_err();
        assert!(what.contains("server.key") && what.contains("goes with the store"), "{what}");
        assert_eq!(std::fs::read(place.key()).ok(), key, "the key file is as it was");
        // a look says it as well, and makes nothing
        said(check(&place.config()).await).unwrap();
        assert_eq!(std::fs::read(place.key()).ok(), key);
    }
    // nothing was written with another
    std::fs::write(place.key(), right).unwrap();
    place.start().await.unwrap();
}

#[tokio::test]
async fn threat_20_s21_a_gateway_of_before_is_sealed_at_its_first_start() {
    let place = Place::of_before().await;
    let before = place.bytes();
    said(check(&place.config()).await).unwrap();
    assert!(place.bytes() == before && !place.key().exists(), "a look seals nothing, and makes no key");
    let copy = place.0.join("copy.db");
    said(backup(&place.config(), &copy, None)).unwrap();
    // what never had a key is restored without one
    said(restore(&place.config(), &copy, None).await).unwrap();
    assert!(place.has_pat() && !place.key().exists());
    place.start().await.unwrap();
    assert!(!place.has_pat() && place.key().exists());
    // a backup of before, restored where there is a key by now
    said(restore(&place.config(), &copy, None).await).unwrap();
    assert!(!place.has_pat());
    place.start().await.unwrap();
    let sealed = place.0.join("sealed.db");
    said(backup(&place.config(), &sealed, None)).unwrap();
    std::fs::remove_file(place.key()).unwrap();
    let what = said(restore(&place.config(), &sealed, None).await).unwrap_err();
    assert!(what.contains("key file") && what.contains("nothing was changed"), "{what}");
}
