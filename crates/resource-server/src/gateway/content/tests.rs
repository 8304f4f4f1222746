//! Row 46 and finding 13 of its kind: whoever can rename in one part of a folder shows nothing of another.

use super::*;
use std::fs;
use std::os::unix::fs::symlink;

struct Place(PathBuf);

impl Place {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("wayleave-content-{}-{name}", std::process::id()));
        fs::create_dir_all(place.join("folder/mallory/sub")).unwrap();
        fs::create_dir_all(place.join("outside/deep")).unwrap();
        for file in ["folder/mallory/sub/own.jpg", "outside/secret.txt", "outside/deep/secret.txt"] {
            fs::write(place.join(file), "x").unwrap();
        }
        Self(place)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn routes() -> Arc<Vec<Route>> {
    Arc::new(vec![crate::gateway::tests::world::route("/{person}/{album}/{photo}")])
}

fn ids(seen: &Seen) -> Vec<String> {
    seen.content.ids_after("alice", None, 100).iter().map(ToString::to_string).filter(|id| id.contains('.')).collect()
}

/// All that was seen is old enough to be believed without another look.
fn later() -> SystemTime {
    SystemTime::now() + Duration::from_secs(3_600)
}

#[test]
fn threat_46_s36_a_directory_that_became_a_link_shows_nothing_of_another_place() {
    let place = Place::new("link");
    let (root, routes, mut seen) = (place.0.join("folder"), routes(), Seen::default());
    seen.look(&root, routes.clone(), later());
    assert_eq!(ids(&seen), ["/mallory/sub/own.jpg"]);
    // the time of the directory above is put back, as if nothing had happened in it
    let above = root.join("mallory");
    let before = fs::metadata(&above).unwrap().modified().unwrap();
    fs::rename(above.join("sub"), place.0.join("away")).unwrap();
    symlink(place.0.join("outside"), above.join("sub")).unwrap();
    fs::File::open(&above).unwrap().set_modified(before).unwrap();
    seen.look(&root, routes.clone(), later());
    assert_eq!(ids(&seen), Vec::<String>::new());
    // another directory of the same name and time is another directory
    fs::remove_file(above.join("sub")).unwrap();
    fs::create_dir(above.join("sub")).unwrap();
    fs::write(above.join("sub/new.jpg"), "x").unwrap();
    seen.look(&root, routes, later());
    assert_eq!(ids(&seen), ["/mallory/sub/new.jpg"]);
}

/// What was a directory when it was seen from above, and is a link when it is entered.
#[test]
fn threat_46_s36_what_is_entered_is_what_was_seen() {
    let place = Place::new("race");
    let found = Arc::new(beneath::open_root(&place.0.join("folder/mallory")).unwrap());
    let top = Unseen { place: PathBuf::new(), name: String::new(), level: 0, above: None };
    let sub = top.below("sub", &found).unwrap();
    assert!(sub.enter(&place.0).is_some());
    fs::rename(place.0.join("folder/mallory/sub"), place.0.join("folder/mallory/other")).unwrap();
    symlink(place.0.join("outside"), place.0.join("folder/mallory/sub")).unwrap();
    assert!(sub.enter(&place.0).is_none());
    let deepest = Unseen { level: MOST_LEVELS, ..top };
    assert!(deepest.below("sub", &found).is_none(), "no depth without end");
}

/// What no path can lead to is not there, and whose it is hears of it when she links.
#[test]
fn names_that_no_path_can_hold_are_told() {
    let place = Place::new("unnamed");
    let (root, mut seen) = (place.0.join("folder"), Seen::default());
    for name in ["50% off", "100%", "a;b", "%41", "..."] {
        fs::create_dir(root.join("mallory").join(name)).unwrap();
        fs::write(root.join("mallory").join(name).join("1.jpg"), "x").unwrap();
    }
    seen.look(&root, routes(), later());
    assert_eq!(ids(&seen), ["/mallory/100%/1.jpg", "/mallory/50% off/1.jpg", "/mallory/sub/own.jpg"]);
    assert_eq!(seen.content.unnamed_of("alice"), ["%41", "a;b"]);
}
