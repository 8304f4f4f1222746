//! `cargo xtask package`: the Debian package, with man pages and completions made from the commands as they are, and the licences
//! of everything that is linked in. It looks inside at the end.

use crate::{has, run, say};
use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// A binary, and what builds it.
pub(crate) struct Binary {
    /// Below `target`.
    folder: &'static str,
    build: &'static [&'static str],
    /// The package need not be small.
    is_for_a_look: bool,
}

/// What people install.
pub(crate) const DIST: Binary =
    Binary { folder: "dist", build: &["--profile", "dist", "--bin", "wayleave"], is_for_a_look: false };
/// What the tests have: the quickest way to see that the package is whole. It is built with everything else, since by itself it
/// would have other features, and all would be built again.
pub(crate) const DEBUG: Binary = Binary { folder: "debug", build: &["--workspace"], is_for_a_look: true };

/// Where cargo-deb comes from, where it is not there.
const INSTALL: &str = "install it with `cargo install cargo-deb --locked`";

pub(crate) fn has_cargo_deb() -> bool {
    has("cargo", &["deb", "--version"])
}

/// Makes the package, and looks inside.
pub(crate) fn make(root: &Path, binary: &Binary) -> Result<(), String> {
    if !has_cargo_deb() {
        return Err(format!("`cargo deb` is not there: {INSTALL}"));
    }
    let build: Vec<&str> = ["build", "--quiet", "--locked"].into_iter().chain(binary.build.iter().copied()).collect();
    run(root, "cargo", &build)?;
    // what was made of an earlier version is not packed, or looked at, in the place of this one
    let (parts, place) = (root.join("target/package"), root.join("target/debian"));
    for folder in [&parts, &place] {
        let _ = std::fs::remove_dir_all(folder);
    }
    make_folder(&parts.join("completions"))?;
    let program = parts.join("wayleave");
    let built = root.join("target").join(binary.folder).join("wayleave");
    std::fs::copy(&built, &program).map_err(|error| format!("{}: {error}", built.display()))?;
    make_texts(root, &program)?;
    let output = place.join("wayleave.deb").display().to_string();
    let options = ["deb", "--no-build", "--no-strip", "--package", "wayleave", "--output", &output];
    let options: Vec<&str> = options.into_iter().chain(binary.is_for_a_look.then_some("--fast")).collect();
    run(root, "cargo", &options)?;
    look_inside(root, Path::new(&output))?;
    say(&format!("{output} is whole"));
    Ok(())
}

fn make_folder(place: &Path) -> Result<(), String> {
    std::fs::create_dir_all(place).map_err(|error| format!("{}: {error}", place.display()))
}

fn make_texts(root: &Path, program: &Path) -> Result<(), String> {
    run(root, &program.display().to_string(), &["man", "target/package/man"])?;
    for shell in ["bash", "zsh", "fish"] {
        let text = read_output(Command::new(program).args(["completions", shell]))?;
        write(&root.join(format!("target/package/completions/wayleave.{shell}")), &text)?;
    }
    write(&root.join("target/package/third-party.txt"), &gather_licences(root)?)
}

fn write(place: &Path, text: &str) -> Result<(), String> {
    std::fs::write(place, text).map_err(|error| format!("{}: {error}", place.display()))
}

/// What a program says on its standard output.
fn read_output(command: &mut Command) -> Result<String, String> {
    let output = command.output().map_err(|error| format!("{command:?} cannot be run: {error}"))?;
    match output.status.success() {
        true => String::from_utf8(output.stdout).map_err(|error| error.to_string()),
        false => Err(format!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr))),
    }
}

/// Licences and notices of all libraries in the binary, each text once: their terms want them to go with it.
fn gather_licences(root: &Path) -> Result<String, String> {
    let tree = ["tree", "--locked", "--package", "wayleave", "--edges", "normal", "--prefix", "none", "--format", "{p} {l}"];
    let tree = read_output(Command::new("cargo").args(tree).current_dir(root))?;
    // what is ours stands there with its path, and what was named before with a star
    let libraries: BTreeSet<&str> = tree.lines().filter(|line| !line.contains(" (/") && !line.contains("(*)")).collect();
    let sources = find_sources()?;
    let (mut text, mut told) = (String::from("Libraries that the binary holds, with their licences.\n"), BTreeSet::new());
    for library in libraries {
        let mut words = library.split(' ');
        let (name, version) = (words.next().unwrap_or_default(), words.next().unwrap_or_default().trim_start_matches('v'));
        let _ = write!(text, "\n== {library}\n");
        for notice in find_notices(&sources, &format!("{name}-{version}")) {
            if told.insert(notice.clone()) {
                let _ = write!(text, "\n{notice}\n");
            }
        }
    }
    Ok(text)
}

/// Folders in which cargo keeps the sources of libraries.
fn find_sources() -> Result<Vec<PathBuf>, String> {
    let home = std::env::var_os("CARGO_HOME").map(PathBuf::from);
    let home = home.or_else(|| std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".cargo")));
    let place = home.ok_or("neither CARGO_HOME nor HOME is set")?.join("registry/src");
    let found = std::fs::read_dir(&place).map_err(|error| format!("{}: {error}", place.display()))?;
    Ok(found.flatten().map(|entry| entry.path()).collect())
}

fn find_notices(sources: &[PathBuf], library: &str) -> BTreeSet<String> {
    let entries = sources.iter().filter_map(|source| std::fs::read_dir(source.join(library)).ok()).flatten().flatten();
    let is_notice =
        |name: &str| ["LICENSE", "LICENCE", "COPYING", "NOTICE", "COPYRIGHT"].iter().any(|word| name.starts_with(word));
    let named = entries.filter(|entry| is_notice(&entry.file_name().to_string_lossy().to_uppercase()));
    named.filter_map(|entry| std::fs::read_to_string(entry.path()).ok()).map(|text| text.trim().to_owned()).collect()
}

/// The package unpacked: its binary runs, and takes the examples; what belongs there is there.
fn look_inside(root: &Path, package: &Path) -> Result<(), String> {
    let inside = root.join("target/package/inside");
    let (from, to) = (package.display().to_string(), inside.display().to_string());
    run(root, "dpkg-deb", &["--extract", &from, &to])?;
    let binary = inside.join("usr/bin/wayleave").display().to_string();
    run(root, &binary, &["--version"])?;
    for party in ["server", "gateway", "manager"] {
        let example = inside.join(format!("usr/share/doc/wayleave/examples/{party}.toml")).display().to_string();
        run(root, &binary, &["--config", &example, "config", "check"])?;
        for place in
            [format!("usr/lib/systemd/system/wayleave-{party}.service"), format!("usr/share/man/man1/wayleave-{party}.1.gz")]
        {
            expect(&inside.join(place))?;
        }
    }
    for place in [
        "usr/share/doc/wayleave/copyright",
        "usr/share/doc/wayleave/third-party.txt",
        "usr/share/doc/wayleave/book/running.md",
        "usr/share/man/man1/wayleave.1.gz",
        "usr/share/bash-completion/completions/wayleave",
        "usr/share/zsh/vendor-completions/_wayleave",
        "usr/share/fish/vendor_completions.d/wayleave.fish",
    ] {
        expect(&inside.join(place))?;
    }
    Ok(())
}

fn expect(place: &Path) -> Result<(), String> {
    match std::fs::metadata(place) {
        Ok(file) if file.len() > 0 => Ok(()),
        _ => Err(format!("the package lacks {}", place.display())),
    }
}
