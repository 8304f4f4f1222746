//! What the tests need beyond Rust and a C compiler, put in place where that can be done.

use crate::{has, run};
use std::path::Path;

/// Puts everything in place, or says exactly what to install.
pub(crate) fn everything(root: &Path) -> Result<(), String> {
    node(root)?;
    chromium(root)?;
    nginx(root)?;
    caddy(root)?;
    litmus(root)?;
    postgres(root)?;
    python(root)
}

fn node(root: &Path) -> Result<(), String> {
    if !has("node", &["--version"]) || !has("npm", &["--version"]) {
        return Err("install Node.js 20 or newer with npm: tests drive a browser and other people's clients with it".into());
    }
    let (lock, done) = (root.join("browser/package-lock.json"), root.join("browser/node_modules/.package-lock.json"));
    if is_newer(&lock, &done) {
        run(&root.join("browser"), "npm", &["ci", "--no-audit", "--no-fund", "--ignore-scripts"])
    } else {
        Ok(())
    }
}

fn chromium(root: &Path) -> Result<(), String> {
    let there = ["chromium", "chromium-browser", "google-chrome"].iter().any(|name| has(name, &["--version"]));
    if there {
        return Ok(());
    }
    let apt = run(root, "apt-get", &["update", "--quiet"])
        .and_then(|()| run(root, "apt-get", &["install", "--yes", "--quiet", "chromium"]));
    apt.map_err(|_| "install Chromium (Debian: `apt-get install chromium`): tests open every page in it".into())
}

fn nginx(root: &Path) -> Result<(), String> {
    if has("nginx", &["-v"]) || has("/usr/sbin/nginx", &["-v"]) {
        return Ok(());
    }
    let apt = run(root, "apt-get", &["update", "--quiet"])
        .and_then(|()| run(root, "apt-get", &["install", "--yes", "--quiet", "nginx-light"]));
    apt.map_err(|_| "install nginx (Debian: `apt-get install nginx-light`): a test has it behind the gateway".into())
}

fn caddy(root: &Path) -> Result<(), String> {
    if has("caddy", &["version"]) {
        return Ok(());
    }
    let apt = run(root, "apt-get", &["update", "--quiet"])
        .and_then(|()| run(root, "apt-get", &["install", "--yes", "--quiet", "--no-install-recommends", "caddy"]));
    apt.map_err(|_| "install Caddy (Debian: `apt-get install caddy`): a test has it ask the gateway".into())
}

/// The programs alone: each test that needs a database starts one of its own.
fn postgres(root: &Path) -> Result<(), String> {
    if has("/usr/lib/postgresql/15/bin/postgres", &["--version"]) {
        return Ok(());
    }
    let apt = run(root, "apt-get", &["update", "--quiet"])
        .and_then(|()| run(root, "apt-get", &["install", "--yes", "--quiet", "postgresql-15"]));
    apt.map_err(|_| "install PostgreSQL (Debian: `apt-get install postgresql-15`): tests keep stores in it".into())
}

fn litmus(root: &Path) -> Result<(), String> {
    if has("litmus", &["--version"]) {
        return Ok(());
    }
    let apt = run(root, "apt-get", &["update", "--quiet"])
        .and_then(|()| run(root, "apt-get", &["install", "--yes", "--quiet", "litmus"]));
    apt.map_err(|_| "install litmus (Debian: `apt-get install litmus`): it tries folders as a WebDAV client".into())
}

fn python(root: &Path) -> Result<(), String> {
    if !has("python3", &["--version"]) {
        return Err("install Python 3.10 or newer with venv: tests run other people's clients with it".into());
    }
    let (wanted, done) = (root.join("browser/requirements.txt"), root.join("target/python/installed"));
    if !is_newer(&wanted, &done) {
        return Ok(());
    }
    let venv = run(root, "python3", &["-m", "venv", "target/python"]);
    venv.map_err(|_| "install Python's venv module (Debian: `apt-get install python3-venv`)".to_owned())?;
    run(root, "target/python/bin/pip", &["install", "--quiet", "--disable-pip-version-check", "-r", "browser/requirements.txt"])?;
    std::fs::write(done, "").map_err(|error| error.to_string())
}

/// Whether `wanted` is there and was written after `done`.
fn is_newer(wanted: &Path, done: &Path) -> bool {
    let time = |place: &Path| std::fs::metadata(place).and_then(|meta| meta.modified()).ok();
    match (time(wanted), time(done)) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some(wanted), Some(done)) => wanted > done,
    }
}
