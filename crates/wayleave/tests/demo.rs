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
    let longest = said.lines().flat_map(|line| line.split(|c: char| !c.is_ascii_alphanumeric() && c != '-')).map(str::len).max();
    assert!(said.contains(" characters)") && longest <= Some(60), "opaque values are cut: {longest:?}");
    // it goes to a pipe: no colours, and no log between the lines
    assert!(log.is_empty() && !said.contains('\u{1b}') && said.contains("password"), "{log}");
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
    // it goes to a pipe: no colours, and no log between the lines
    assert!(log.is_empty() && !said.contains('\u{1b}') && said.contains("password"), "{log}");
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
    // it goes to a pipe: no colours, and no log between the lines
    assert!(log.is_empty() && !said.contains('\u{1b}') && said.contains("password"), "{log}");
}

/// Alone it is fresh, and says what to do; what it names is in the folder that was given.
#[test]
fn the_demo_alone_says_who_is_who_and_what_to_do() {
    let folder = std::env::temp_dir().join(format!("wayleave-demo-own-{}", std::process::id()));
    let run = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_wayleave")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap())
    };
    let (status, said, log) = run(&["demo", "--exit"]);
    assert_eq!((status, &*log), (Some(0), ""), "{said}");
    for words in ["Authorization server", "Outbox", "\n 1. You are Alice", "/garden/gate.jpg", "\n 7. She takes it back"] {
        assert!(said.contains(words), "it does not say `{words}`:\n{said}");
    }
    let own = folder.display().to_string();
    std::fs::create_dir_all(folder.join("My Trip")).unwrap();
    std::fs::write(folder.join("loose.jpg"), "x").unwrap();
    let (status, _, log) = run(&["demo", "--exit", "--folder", &own]);
    assert!(status == Some(2) && log.contains("is an album"), "there is nothing to share: {log}");
    std::fs::write(folder.join("My Trip/a b.jpg"), "x").unwrap();
    let (status, said, _) = run(&["demo", "--exit", "--folder", &own]);
    assert!(status == Some(0) && said.contains("/My%20Trip/a%20b.jpg") && !said.contains("holiday"), "{said}");
    std::fs::remove_dir_all(folder).unwrap();
}
