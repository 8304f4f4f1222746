//! `cargo xtask`: sets up and runs the project's tests. Depends on none of our crates.
//!
//! - `cargo xtask test`: installs what the tests need where it can (browser tests: npm packages and
//!   Chromium; other people's clients: PyPI), says what to install where it cannot, checks form and
//!   lints, and runs every test. Its last lines are the runner's own summary.
//! - `cargo xtask postgres COMMAND...`: runs a command beside a PostgreSQL of its own, as the tests have one.
//! - `cargo xtask package`: makes the Debian package (`target/debian/wayleave.deb`) and looks inside; with `debug`, of the binary
//!   that the tests have built. Where `cargo deb` is there, `cargo xtask test` does the latter as well.
//! - `cargo xtask conformance`: writes `docs/conformance.md` and `docs/threats.md` anew from the tests.

use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

mod cluster;
mod conformance;
mod package;
mod setup;
mod threats;

fn main() -> ExitCode {
    let task = std::env::args().nth(1).unwrap_or_default();
    let root = root();
    let done = match task.as_str() {
        "test" => test(&root),
        "conformance" => conformance::write(&root).and_then(|()| threats::write(&root)),
        "postgres" => beside_postgres(&root),
        "package" if std::env::args().nth(2).as_deref() == Some("debug") => package::make(&root, &package::DEBUG),
        "package" => package::make(&root, &package::DIST),
        _ => Err("say what to do: `cargo xtask test`, `cargo xtask package` or `cargo xtask conformance`".to_owned()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            say(&format!("xtask: {what}"));
            ExitCode::FAILURE
        }
    }
}

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().and_then(Path::parent).unwrap_or(own).to_owned()
}

fn say(text: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stderr(), "{text}");
}

/// By this the tests know the database that is theirs.
const POSTGRES: &str = "WAYLEAVE_TEST_POSTGRES";

/// Runs a program in the project's root; its output is shown.
fn run(root: &Path, program: &str, arguments: &[&str]) -> Result<(), String> {
    run_with(root, program, arguments, &[])
}

fn run_with(root: &Path, program: &str, arguments: &[&str], variables: &[(&str, &str)]) -> Result<(), String> {
    say(&format!("$ {program} {}", arguments.join(" ")));
    let status = Command::new(program).args(arguments).envs(variables.iter().copied()).current_dir(root).status();
    match status {
        Ok(status) if status.success() => Ok(()),
        Ok(_) => Err(format!("`{program} {}` failed", arguments.join(" "))),
        Err(error) => Err(format!("`{program}` cannot be run ({error}): install it")),
    }
}

/// Whether a program is there and answers.
fn has(program: &str, arguments: &[&str]) -> bool {
    Command::new(program).args(arguments).output().is_ok_and(|output| output.status.success())
}

fn beside_postgres(root: &Path) -> Result<(), String> {
    let arguments: Vec<String> = std::env::args().skip(2).collect();
    let (program, arguments) = arguments.split_first().ok_or("say which command: `cargo xtask postgres cargo nextest run`")?;
    let cluster = cluster::Cluster::start()?;
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    run_with(root, program, &arguments, &[(POSTGRES, &cluster.url)])
}

fn test(root: &Path) -> Result<(), String> {
    setup::everything(root)?;
    conformance::check(root)?;
    threats::check(root)?;
    if has("cargo", &["fmt", "--version"]) {
        run(root, "cargo", &["fmt", "--all", "--check"])?;
    }
    if has("cargo", &["clippy", "--version"]) {
        let lints = ["clippy", "--quiet", "--workspace", "--lib", "--bins", "--examples", "--locked", "--", "-D", "warnings"];
        run(root, "cargo", &lints)?;
    }
    // stories start the real binary: it must be there before they do
    run(root, "cargo", &["build", "--workspace", "--locked"])?;
    if package::has_cargo_deb() {
        package::make(root, &package::DEBUG)?;
    } else {
        say("`cargo deb` is not there, so the Debian package is not made in this run");
    }
    let cluster = cluster::Cluster::start()?;
    let runner: &[&str] = if has("cargo", &["nextest", "--version"]) { &["nextest", "run"] } else { &["test"] };
    let arguments = [runner, &["--workspace", "--locked", "--no-fail-fast"]].concat();
    run_with(root, "cargo", &arguments, &[(POSTGRES, &cluster.url)])
}
