//! The demo as a new user runs it: the real binary, its exit status and its words.

use std::process::Command;

/// Cases
#[test]
fn the_story_photos_plays_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_wayleave")).args(["demo", "photos", "--exit", "-v"]).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
    for words in ["need_info", "the very ones on Alice's disk", "The picture stays", "upgraded", "Bob's next call fails"] {
        assert!(said.contains(words), "it does not say `{words}`:\n{said}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn bad_usage_ends_with_2() {
    for arguments in [&["demo", "nonsense"][..], &["--nonsense"], &["server", "--config", "nowhere.toml"], &["gateway"]] {
        let output =
            Command::new(env!("CARGO_BIN_EXE_wayleave")).args(arguments).current_dir(std::env::temp_dir()).output().unwrap();
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
    }
}

#[test]
fn the_story_choose_plays_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_wayleave")).args(["demo", "choose", "--exit"]).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
    for words in [
        "never was the album open, or gone",
        "not carried",
        "Alice did not sign that",
        "it is she",
        "without the owner's own token",
    ] {
        assert!(said.contains(words), "it does not say `{words}`:\n{said}");
    }
    assert!(!log.contains("panicked"), "{log}");
}

#[test]
fn the_story_desk_plays_to_its_end() {
    let output = Command::new(env!("CARGO_BIN_EXE_wayleave")).args(["demo", "desk", "--exit"]).output().unwrap();
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
    for words in [
        "Whoever proves the address bob@bar.example may view",
        "checked her signature by itself",
        "it was Carol",
        "a policy just in time",
        "a signature that verifies",
        "2 confirmed, 2 not yet",
        "Bob is out there, too",
    ] {
        assert!(said.contains(words), "it does not say `{words}`:\n{said}");
    }
    let took = said.split("fails, ").nth(1).and_then(|rest| rest.split(' ').next()).unwrap().parse::<u64>().unwrap();
    assert!(took < 1_500, "{took} ms");
    assert!(!log.contains("panicked"), "{log}");
}
