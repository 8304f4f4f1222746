//! The table of rooms (`crates/README.md`) as a test: who may depend on whom, where foreign crates may
//! be, how long a file may get, and which licences come in.

use cargo_metadata::{DependencyKind, Metadata, MetadataCommand};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

const ALLOWED: [(&str, &[&str]); 15] = [
    ("types", &[]),
    ("jose", &["types"]),
    ("rules", &["jose", "types"]),
    ("outbound", &[]),
    ("database", &["jose", "types"]),
    ("ui", &["types"]),
    ("identity", &["jose", "outbound", "types"]),
    ("authorization-server", &["client", "identity", "jose", "outbound", "rules", "types"]),
    ("store", &["authorization-server", "database", "identity", "rules", "types"]),
    ("web", &["authorization-server", "identity", "ui", "types"]),
    ("client", &["jose", "outbound", "types"]),
    ("resource-server", &["client", "database", "jose", "outbound", "rules", "types", "ui"]),
    ("relationship-manager", &["client", "database", "jose", "types", "ui"]),
    ("xtask", &[]),
    (
        "wayleave",
        &[
            "types",
            "jose",
            "rules",
            "outbound",
            "database",
            "ui",
            "identity",
            "authorization-server",
            "store",
            "web",
            "client",
            "resource-server",
            "relationship-manager",
        ],
    ),
];

/// A foreign crate, and the only rooms it may be in.
const ROOMS: [(&str, &[&str]); 4] = [
    ("axum", &["web", "resource-server", "relationship-manager", "wayleave"]),
    // in `wayleave` for the bench, whose yardstick has nothing of ours between it and the file
    ("rusqlite", &["database", "wayleave"]),
    ("tokio-postgres", &["database"]),
    ("reqwest", &["outbound"]),
];

const LICENCES: [&str; 16] = [
    "MIT",
    "Apache-2.0",
    "BSD-2-Clause",
    "BSD-3-Clause",
    "ISC",
    "Zlib",
    "Unicode-3.0",
    "CC0-1.0",
    "MPL-2.0",
    "0BSD",
    "Unlicense",
    "BSL-1.0",
    "CDLA-Permissive-2.0",
    "OpenSSL",
    "Apache-2.0 WITH LLVM-exception",
    "MIT-0",
];

const MAX_LINES: usize = 400;

fn metadata() -> Metadata {
    MetadataCommand::new().manifest_path(root().join("Cargo.toml")).other_options(vec!["--locked".into()]).exec().unwrap()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn short(name: &str) -> &str {
    name.strip_prefix("wayleave-").unwrap_or(name)
}

#[test]
fn every_arrow_is_in_the_table() {
    let allowed: BTreeMap<_, _> = ALLOWED.into_iter().collect();
    for package in metadata().workspace_packages() {
        let from = short(&package.name);
        let row = allowed.get(from).unwrap_or_else(|| panic!("`{from}` is not in the table"));
        for dependency in package.dependencies.iter().filter(|dependency| dependency.path.is_some()) {
            let to = short(&dependency.name);
            let in_tests = dependency.kind == DependencyKind::Development && to == "store";
            assert!(row.contains(&to) || in_tests, "`{from}` may not depend on `{to}`");
        }
        for dependency in &package.dependencies {
            if let Some((name, rooms)) = ROOMS.iter().find(|(name, _)| *name == dependency.name) {
                let in_tests = dependency.kind == DependencyKind::Development;
                assert!(rooms.contains(&from) || in_tests, "`{name}` may not be in `{from}`");
            }
        }
    }
}

#[test]
fn every_licence_is_one_we_take() {
    for package in metadata().packages {
        let licence = package.license.clone().unwrap_or_default();
        let taken = |text: &str| LICENCES.contains(&text.trim().trim_matches(['(', ')']));
        // one of the alternatives must do, and of it every part
        let fits = licence.replace('/', " OR ").split(" OR ").any(|one| one.split(" AND ").all(taken));
        assert!(fits, "{} comes under `{licence}`", package.name);
    }
}

#[test]
fn no_file_is_longer_than_a_person_reads() {
    let mut open = vec![root().join("crates")];
    while let Some(folder) = open.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let place = entry.path();
            if place.is_dir() {
                open.push(place);
            } else if place.extension().is_some_and(|end| end == "rs") {
                let lines = std::fs::read_to_string(&place).unwrap().lines().count();
                assert!(lines <= MAX_LINES, "{} has {lines} lines", place.display());
            }
        }
    }
}

/// A list that is cut at some number without a word is somebody's to fill (threat 46): what has no pages is read to its end,
/// and what has pages names how long they are.
#[test]
fn threat_46_no_list_is_cut_at_a_bare_number() {
    for party in ["store", "authorization-server", "identity", "relationship-manager", "resource-server"] {
        let mut open = vec![root().join("crates").join(party).join("src")];
        while let Some(folder) = open.pop() {
            for entry in std::fs::read_dir(folder).unwrap().flatten() {
                let place = entry.path();
                if place.is_dir() {
                    open.push(place);
                    continue;
                }
                for line in std::fs::read_to_string(&place).unwrap().lines() {
                    let number = line.split("limit: ").nth(1).unwrap_or_default();
                    let number: String = number.chars().take_while(|c| c.is_ascii_digit() || *c == '_').collect();
                    assert!(number.is_empty() || number == "1", "{}: {line}", place.display());
                }
            }
        }
    }
}
