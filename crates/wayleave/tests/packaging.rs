//! What packages put beside the binary: man pages and completions, units, examples, the image. `cargo xtask package` makes a
//! package of it and looks inside; here each part is held true by itself, in a moment.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn wayleave(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wayleave")).args(arguments).output().unwrap()
}

/// A folder that goes with the test.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let place = std::env::temp_dir().join(format!("wayleave-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Whether a program is there; these tests look further with other people's where they have them.
fn has(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

#[test]
fn every_command_has_a_man_page() {
    let folder = Folder::new("man");
    let place = folder.0.join("man1");
    let made = wayleave(&["man", place.to_str().unwrap()]);
    assert!(made.status.success(), "{made:?}");
    let mut pages: Vec<_> = std::fs::read_dir(&place).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let names: Vec<_> = pages.iter().map(|page| page.file_name().unwrap().to_str().unwrap()).collect();
    for name in ["wayleave.1", "wayleave-server.1", "wayleave-key-rotate.1", "wayleave-config-check.1", "wayleave-man.1"] {
        assert!(names.contains(&name), "{name}: {names:?}");
    }
    assert!(!names.iter().any(|name| name.contains("yardstick") || name.contains("help")), "{names:?}");
    for page in &pages {
        let text = std::fs::read_to_string(page).unwrap();
        for part in [".TH ", ".SH NAME", ".SH SYNOPSIS", ".SH DESCRIPTION"] {
            assert!(text.contains(part), "{} lacks {part}", page.display());
        }
        if has("groff", &["--version"]) {
            let checked = Command::new("groff").args(["-man", "-Tutf8", "-ww", "-z"]).arg(page).output().unwrap();
            let said = String::from_utf8_lossy(&checked.stderr);
            assert!(checked.status.success() && said.is_empty(), "{}: {said}", page.display());
        }
    }
    let page = std::fs::read_to_string(place.join("wayleave-get.1")).unwrap();
    assert!(page.contains(".SH EXAMPLES\n.nf\n  wayleave get http"), "examples stand as they are typed: {page}");
}

#[test]
fn every_shell_completes_the_commands() {
    let folder = Folder::new("completions");
    for shell in ["bash", "zsh", "fish"] {
        let made = wayleave(&["completions", shell]);
        let text = String::from_utf8(made.stdout).unwrap();
        assert!(made.status.success(), "{shell}");
        for word in ["gateway", "rotate", "config", "authorization-server"] {
            assert!(text.contains(word), "{shell} does not know {word}");
        }
        let file = folder.0.join(shell);
        std::fs::write(&file, &text).unwrap();
        if has(shell, &["-c", "true"]) {
            let read = Command::new(shell).arg("-n").arg(&file).output().unwrap();
            assert!(read.status.success(), "{shell}: {read:?}");
        }
    }
    let bash = "source \"$0\"; COMP_WORDS=(wayleave config ch); COMP_CWORD=2; _wayleave wayleave ch config; echo ${COMPREPLY[@]}";
    let completed = Command::new("bash").args(["-c", bash]).arg(folder.0.join("bash")).output().unwrap();
    assert_eq!(String::from_utf8_lossy(&completed.stdout).trim(), "check", "{completed:?}");
    assert_eq!(wayleave(&["completions", "nonsense"]).status.code(), Some(2));
}

const PARTIES: [&str; 3] = ["server", "gateway", "manager"];

#[test]
fn units_run_the_parties_hardened() {
    let folder = Folder::new("units");
    for party in PARTIES {
        let unit = read(&format!("packaging/systemd/wayleave-{party}.service"));
        for line in [
            &*format!("ExecStart=/usr/bin/wayleave {party} --config /etc/wayleave/{party}.toml"),
            &format!("AssertPathExists=/etc/wayleave/{party}.toml"),
            "Restart=on-failure",
            "RestartPreventExitStatus=2",
            &format!("User=wayleave-{party}"),
            &format!("Group=wayleave-{party}"),
            &format!("StateDirectory=wayleave/{party}"),
            "ProtectSystem=strict",
            "NoNewPrivileges=yes",
        ] {
            assert!(unit.lines().any(|own| own == line), "{party} lacks {line}");
        }
        assert_eq!(unit.contains("ExecReload="), party == "gateway", "the gateway alone takes its routes anew");
        assert_eq!(unit.contains("OOMPolicy=continue"), party == "gateway", "the gateway alone starts what may take much memory");
        // systemd wants the program to be there
        let unit = unit.replace("/usr/bin/wayleave", env!("CARGO_BIN_EXE_wayleave"));
        std::fs::write(folder.0.join(format!("wayleave-{party}.service")), unit).unwrap();
    }
    if has("systemd-analyze", &["--version"]) {
        let unit = |party: &str| folder.0.join(format!("wayleave-{party}.service"));
        let verified = Command::new("systemd-analyze").args(["verify", "--man=no"]).args(PARTIES.map(unit)).output().unwrap();
        let said = String::from_utf8_lossy(&verified.stderr);
        assert!(verified.status.success() && !said.contains("wayleave"), "{said}");
        for party in PARTIES {
            let judged = ["security", "--offline=yes", "--threshold=20", "--no-pager"];
            let judged = Command::new("systemd-analyze").args(judged).arg(unit(party)).output().unwrap();
            assert!(judged.status.success(), "{}", String::from_utf8_lossy(&judged.stdout));
        }
    }
}

/// Programs of the system that change it: here each writes down how it was called, and `stat` says whose the folder is.
const RECORDED: &str = r#"#!/bin/sh
echo "$(basename "$0") $*" | sed "s#$DPKG_ROOT##g" >> "$DPKG_ROOT/done"
case "$(basename "$0") $*" in
    "getent passwd wayleave") [ "$WAS" != none ] ;;
    "getent "*) exit 2 ;;
    stat*) echo "$WAS" ;;
esac
"#;

/// What `postinst` does at a machine that has these files; its own words and what it called.
fn install_at(files: &[(&str, &str)], was: &str) -> (String, String) {
    let folder = Folder::new(&format!("upgrade-{was}"));
    let programs = folder.0.join("programs");
    std::fs::create_dir_all(&programs).unwrap();
    for name in ["getent", "groupadd", "useradd", "usermod", "install", "stat", "chown", "chgrp", "chmod", "find"] {
        let place = programs.join(name);
        std::fs::write(&place, RECORDED).unwrap();
        std::fs::set_permissions(&place, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    }
    for (name, content) in files {
        let place = folder.0.join(name);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, content).unwrap();
    }
    for party in PARTIES {
        std::fs::create_dir_all(folder.0.join(format!("etc/systemd/system/wayleave-{party}.service.d"))).unwrap();
    }
    let path = format!("{}:{}", programs.display(), std::env::var("PATH").unwrap());
    let mut script = Command::new("sh");
    script.arg(root().join("packaging/debian/postinst")).args(["configure", "0.1.0"]);
    let ended = script.env("DPKG_ROOT", &folder.0).env("PATH", path).env("WAS", was).output().unwrap();
    assert!(ended.status.success(), "{ended:?}");
    let kept = |party: &str| folder.0.join(format!("etc/systemd/system/wayleave-{party}.service.d/user.conf")).exists();
    let kept: Vec<_> = PARTIES.into_iter().filter(|party| kept(party)).collect();
    let said = format!("{}as before: {kept:?}", String::from_utf8_lossy(&ended.stdout));
    (said, std::fs::read_to_string(folder.0.join("done")).unwrap())
}

/// Each party has a user of its own, whose are its files and nobody else's.
#[test]
fn an_upgrade_gives_each_party_what_is_its_own() {
    let server = (
        "etc/wayleave/server.toml",
        "[server]\ndata_dir = \"/var/lib/wayleave/server\"\npassword_file = \"alice.password\"\nx = \"both.secret\"",
    );
    let gateway = (
        "etc/wayleave/gateway.toml",
        "[server]\ndata_dir = \"/var/lib/wayleave/gateway\"\n[gateway]\nfolder = \"/srv/photos/\"\nx = \"both.secret\"",
    );
    let elsewhere = ("etc/wayleave/manager.toml", "[server]\ndata_dir = \"/srv/desk\"");
    let rest = [("etc/wayleave/alice.password", ""), ("etc/wayleave/both.secret", ""), ("srv/.photos.uploads/1", "")];
    let (said, did) = install_at(&[&[server, gateway][..], &rest].concat(), "wayleave");
    for line in [
        "groupadd --system wayleave",
        "usermod --append --groups wayleave wayleave-manager",
        "chown -R -h wayleave-server:wayleave-server /var/lib/wayleave/server",
        "chown -R -h wayleave-gateway:wayleave-gateway /var/lib/wayleave/gateway",
        "chgrp wayleave-server /etc/wayleave/server.toml",
        "chgrp wayleave-gateway /etc/wayleave/gateway.toml",
        "chgrp wayleave-server /etc/wayleave/alice.password",
        "find /srv/.photos.uploads -xdev -user wayleave -exec chown -h wayleave-gateway {} +",
        "chown root:wayleave /var/lib/wayleave",
    ] {
        assert!(did.lines().any(|own| own == line), "{line}: {did}");
    }
    assert!(said.contains("both.secret is still read by all parties") && said.ends_with("as before: []"), "{said}");
    assert!(!did.contains("chgrp wayleave-server /etc/wayleave/both.secret"), "{did}");
    // what is not laid out as the package has it goes on as it was
    let (said, did) = install_at(&[server, elsewhere], "wayleave");
    assert!(said.contains("manager keeps its things elsewhere") && said.ends_with("as before: [\"manager\"]"), "{said}");
    assert!(did.contains("chown -R -h wayleave-server:") && !did.contains("chown root:wayleave"), "{did}");
    // a machine that has none of it, and one that has parted already
    for was in ["none", "root"] {
        let (said, did) = install_at(&[server, gateway], was);
        assert!(did.contains("useradd --system --user-group --home-dir /var/lib/wayleave/gateway"), "{did}");
        assert!(!did.contains("chgrp") && !did.contains("chown") && said.ends_with("as before: []"), "{did}");
    }
}

/// What the book has somebody type after installing, but for what needs the package's user and services.
#[test]
fn whoever_installs_by_the_book_can_log_in() {
    let (book, folder) = (read("docs/installing.md"), Folder::new("installing"));
    let blocks: Vec<&str> = book.split("```sh\n").skip(1).filter_map(|block| block.split("\n```").next()).take(2).collect();
    let script = blocks.join("\n").replace("/etc/wayleave", &folder.0.display().to_string());
    let script = script.replace("/usr/share/doc/wayleave/examples", &root().join("packaging/examples").display().to_string());
    let script = script.lines().filter(|line| !line.starts_with("chgrp") && !line.starts_with("systemctl"));
    let program = Path::new(env!("CARGO_BIN_EXE_wayleave")).parent().unwrap();
    let path = format!("{}:{}", program.display(), std::env::var("PATH").unwrap());
    let mut shell = Command::new("sh");
    shell.args(["-e", "-c", &script.collect::<Vec<_>>().join("\n")]).env("PATH", path);
    let typed = shell.output().unwrap();
    let said = String::from_utf8_lossy(&typed.stdout);
    assert!(typed.status.success() && said.matches("the configuration works").count() == 2, "{typed:?}");
    assert!(!said.contains("nobody can log in"), "{said}");
    let password = std::fs::metadata(folder.0.join("alice.password")).unwrap();
    assert_eq!(std::os::unix::fs::PermissionsExt::mode(&password.permissions()) & 0o007, 0, "others do not read it");
    // as it is shipped, that is said
    let shipped = wayleave(&["--config", root().join("packaging/examples/server.toml").to_str().unwrap(), "config", "check"]);
    assert!(String::from_utf8_lossy(&shipped.stdout).contains("look: [[account]] `alice` has no password"), "{shipped:?}");
}

/// As they lie in the package, without anything beside them.
#[test]
fn examples_of_configurations_work() {
    for party in PARTIES {
        let place = root().join(format!("packaging/examples/{party}.toml"));
        let checked = wayleave(&["--config", place.to_str().unwrap(), "config", "check"]);
        let said = String::from_utf8_lossy(&checked.stdout);
        assert!(checked.status.success() && said.contains("the configuration works"), "{party}: {checked:?}");
        assert!(said.contains(&format!("wayleave {party}: http")), "{party}: {said}");
        assert!(read(&format!("packaging/examples/{party}.toml")).contains(&format!("data_dir = \"/var/lib/wayleave/{party}\"")));
    }
}

/// Everything that the package names is there: in the repository, or made by `cargo xtask package` from the commands.
#[test]
fn the_package_names_what_is_there() {
    let manifest: toml::Table = read("crates/wayleave/Cargo.toml").parse().unwrap();
    let deb = &manifest["package"]["metadata"]["deb"];
    let own = root().join("crates/wayleave");
    for asset in deb["assets"].as_array().unwrap() {
        let source = asset[0].as_str().unwrap();
        if source.contains("target/") {
            continue;
        }
        let (folder, end) = source.rsplit_once('/').unwrap();
        let mut found = std::fs::read_dir(own.join(folder)).unwrap().flatten();
        let fits =
            |name: &str| end.split_once('*').map_or(name == end, |(begin, end)| name.starts_with(begin) && name.ends_with(end));
        assert!(found.any(|entry| fits(entry.file_name().to_str().unwrap())), "{source}");
    }
    for file in [deb["changelog"].as_str().unwrap(), deb["license-file"][0].as_str().unwrap()] {
        assert!(own.join(file).exists(), "{file}");
    }
    for script in std::fs::read_dir(own.join(deb["maintainer-scripts"].as_str().unwrap())).unwrap().flatten() {
        let read = Command::new("sh").arg("-n").arg(script.path()).output().unwrap();
        assert!(read.status.success(), "{read:?}");
    }
    assert!(read("packaging/copyright").contains("Copyright: 2026 The Wayleave developers\nLicense: MIT or Apache-2.0"));
}

/// Nobody builds the image here, so what it says is held against what is.
#[test]
fn the_image_is_of_this_repository() {
    let (image, workspace) = (read("packaging/Containerfile"), read("Cargo.toml").parse::<toml::Table>().unwrap());
    let version = workspace["workspace"]["package"]["rust-version"].as_str().unwrap();
    assert!(image.contains(&format!("FROM docker.io/library/rust:{version}-bookworm AS build\n")), "rust-version is {version}");
    assert!(image.contains("cargo build --locked --profile dist --bin wayleave\n") && workspace["profile"].get("dist").is_some());
    assert!(image.contains("COPY --from=build /source/target/dist/wayleave /usr/bin/wayleave\n"));
    let lines: Vec<&str> = image.lines().collect();
    let of_context = lines.iter().filter(|line| line.starts_with("COPY ") && !line.contains("--from"));
    for source in of_context.flat_map(|line| line.split(' ').skip(1).take_while(|word| !word.starts_with("./"))) {
        assert!(root().join(source).exists(), "{source}");
    }
    let user = lines.iter().position(|line| *line == "USER 10001").unwrap();
    assert!(lines[user..].iter().any(|line| line.starts_with("ENTRYPOINT [\"/usr/bin/wayleave\"]")), "nobody is root in it");
    let command = lines.iter().find_map(|line| line.strip_prefix("CMD ")).unwrap();
    assert_eq!(command, r#"["server", "--config", "/etc/wayleave/server.toml"]"#);
}
