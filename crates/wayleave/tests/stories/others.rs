//! Other people's clients, and a real browser.

use crate::processes::{Folder, Process, Server};
use std::path::{Path, PathBuf};
use std::process::Command;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).ancestors().nth(2).unwrap().to_owned()
}

/// Runs a program with the world it works in; it must end well.
pub(crate) fn run(program: &str, script: &str, world: &serde_json::Value) {
    let output = Command::new(program).arg(script).current_dir(root().join("browser")).env("WORLD", world.to_string()).output();
    let output = output.unwrap_or_else(|error| panic!("{program} cannot be run ({error}): `cargo xtask test` sets it up"));
    let (said, log) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}\n{log}");
}

/// Cases, G-3.7-1
#[test]
fn openid_client_of_npm_works_unmodified() {
    let server = Server::start("");
    run("node", "openid-client.mjs", &server.world());
}

/// Cases
#[test]
fn authlib_of_pypi_works_unmodified() {
    let server = Server::start("");
    let python = root().join("target/python/bin/python");
    run(&python.display().to_string(), "authlib_client.py", &server.world());
}

/// Cases
#[test]
fn a_real_browser_does_alices_and_bobs_parts() {
    in_the_demo("pages.mjs");
}

/// Alice shares at her server's pages, mails it, and answers a request; every page under axe, in light and dark.
#[test]
fn a_real_browser_shares_and_mails() {
    in_the_demo("sharing.mjs");
}

/// Somebody follows the steps that the demo prints, one after the other, with nothing but a browser.
#[test]
fn a_real_browser_follows_the_steps_of_the_demo() {
    in_the_demo("steps.mjs");
}

/// Runs a script of a browser in a fresh demo.
fn in_the_demo(script: &str) {
    let folder = Folder::new();
    let demo = Process::start(&["demo"], &folder.0);
    let said = demo.said();
    let url = |word: &str| {
        said.lines()
            .find(|line| line.starts_with(word))
            .unwrap()
            .split_whitespace()
            .find(|w| w.starts_with("http"))
            .unwrap()
            .to_owned()
    };
    let world = serde_json::json!({
        "issuer": url("Authorization server"), "gateway": url("Alice's pictures"), "viewer": url("Viewer"), "said": said,
        "pictures": std::env::var("WAYLEAVE_PICTURES").ok(),
    });
    run("node", script, &world);
}
