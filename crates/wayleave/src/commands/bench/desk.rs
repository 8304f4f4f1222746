//! `wayleave bench desk`: a desk over many authorization servers, one of which is dead, and all of an owner's things. How
//! long its pages take, and how long it takes to share a thousand things with somebody. Everything stays on loopback, and
//! ends by itself.

use super::setup::{self, CLIENTS, fill_others, free_address};
use crate::config::Config;
use crate::demo::ALICE_PASSWORD;
use crate::demo::desk::{DESK_PASSWORD, Sitting};
use crate::demo::exchanges::Exchanges;
use crate::{Exit, say};
use std::path::Path;
use std::time::Instant;
use tokio::process::Child;

#[derive(clap::Args)]
pub struct Options {
    /// Servers; the last is dead when it is measured
    #[arg(long, default_value_t = 20)]
    servers: usize,
    /// Things, over all servers
    #[arg(long, default_value_t = 20_000)]
    things: usize,
    /// How often each page is asked for; the slowest counts
    #[arg(long, default_value_t = 10)]
    rounds: usize,
    /// Folder with the project's browser scripts: measures in Chromium, too (`cargo xtask test` sets them up)
    #[arg(long)]
    browser: Option<std::path::PathBuf>,
}

/// First paint and a filter in Chromium, in milliseconds.
async fn painted(scripts: &Path, desk: &str) -> Result<(f64, f64), Exit> {
    let world = serde_json::json!({"desk": desk, "password": DESK_PASSWORD}).to_string();
    let mut command = tokio::process::Command::new("node");
    let output = command.arg("paint.mjs").current_dir(scripts).env("WORLD", world).output().await.map_err(Exit::failed)?;
    let said: serde_json::Value = serde_json::from_slice(&output.stdout)
        .map_err(|_| Exit::failed(format!("the browser: {}", String::from_utf8_lossy(&output.stderr))))?;
    let number = |name: &str| said.get(name).and_then(serde_json::Value::as_f64).unwrap_or(f64::INFINITY);
    Ok((number("first"), number("filter")))
}

struct Temporary(std::path::PathBuf);

impl Drop for Temporary {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

const LABORATORY: &str = "[outbound]\nallow_private_networks = true\nallow_http = true\n";

/// An authorization server with so many things of Alice's.
async fn server(folder: &Path, things: usize) -> Result<(Child, String), Exit> {
    std::fs::create_dir_all(folder).map_err(Exit::failed)?;
    let (address, admin) = (free_address()?, free_address()?);
    let issuer = format!("http://{address}");
    let alice = format!("username = \"alice\"\npassword = \"{ALICE_PASSWORD}\"");
    let people = CLIENTS.replace("username = \"alice\"", &alice);
    let places = format!("listen = \"{address}\"\nissuer = \"{issuer}\"\nadmin_listen = \"{admin}\"");
    let text = format!("[server]\n{places}\n{people}{LABORATORY}");
    std::fs::write(folder.join("wayleave.toml"), &text).map_err(Exit::failed)?;
    let (mut child, _) = setup::start(folder, &["server"], &address).await?;
    child.kill().await.map_err(Exit::failed)?;
    let config = Config::parse(&text, std::iter::empty(), folder.to_owned()).map_err(Exit::failed)?;
    fill_others(&config, things).await?;
    let (child, _) = setup::start(folder, &["server"], &address).await?;
    Ok((child, issuer))
}

/// The slowest of some.
async fn slowest(alice: &mut Sitting, path: &str, says: &str, rounds: usize) -> Result<f64, Exit> {
    let mut worst = 0.0_f64;
    for _ in 0..rounds.max(1) {
        let begun = Instant::now();
        let page = alice.open(path).await.map_err(Exit::failed)?;
        worst = worst.max(begun.elapsed().as_secs_f64() * 1000.0);
        if !page.html.contains(says) {
            return Err(Exit::failed(format!("{path} does not say `{says}`")));
        }
    }
    Ok(worst)
}

/// Runs it.
pub(super) async fn run(options: &Options) -> Result<(), Exit> {
    let temporary = Temporary(std::env::temp_dir().join(format!("wayleave-bench-desk-{}", std::process::id())));
    let each = options.things.checked_div(options.servers.max(1)).unwrap_or(0);
    let (mut servers, mut issuers) = (Vec::new(), Vec::new());
    for number in 0..options.servers {
        let (child, issuer) = server(&temporary.0.join(number.to_string()), each).await?;
        servers.push(child);
        issuers.push(issuer);
    }
    let address = free_address()?;
    let desk = format!("http://{address}");
    let places = format!("[manager]\nlisten = \"{address}\"\nurl = \"{desk}\"");
    let text = format!("{places}\n[[account]]\nusername = \"alice\"\npassword = \"{DESK_PASSWORD}\"\n{LABORATORY}");
    std::fs::write(temporary.0.join("wayleave.toml"), text).map_err(Exit::failed)?;
    let (_manager, _) = setup::start(&temporary.0, &["manager"], &address).await?;
    let mut alice = Sitting::at(&desk, "alice", Exchanges::Hidden).await.map_err(Exit::failed)?;
    for issuer in &issuers {
        alice.links(issuer).await.map_err(Exit::failed)?;
    }
    let all = format!("of {}", each.saturating_mul(options.servers));
    alice.sees("/", &all).await.map_err(Exit::failed)?;
    if let Some(mut dead) = servers.pop() {
        dead.kill().await.map_err(Exit::failed)?;
    }
    let (count, rounds) = (options.servers, options.rounds);
    say::line(&format!("{count} servers, one of them dead, and {} things; the slowest of {rounds}", options.things));
    let first = issuers.first().map(String::as_bytes).unwrap_or_default();
    let guard: String = form_urlencoded::byte_serialize(first).collect();
    for (name, path, says) in [
        ("the first page", "/", all.as_str()),
        ("a search", "/?q=other-9", "that fit"),
        ("a search that fits nothing", "/?q=nothing+of+that+name", "Nothing fits that"),
        ("one server's", &format!("/?guard={guard}"), "that fit"),
        ("everybody", "/people", "Who can reach"),
    ] {
        say::line(&format!("{name:30} {:8.1} ms", slowest(&mut alice, path, says, rounds).await?));
    }
    if let Some(scripts) = &options.browser {
        let (first, filter) = painted(scripts, &desk).await?;
        say::line(&format!("{:30} {first:8.1} ms", "first paint in Chromium"));
        say::line(&format!("{:30} {filter:8.1} ms", "a search in Chromium"));
    }
    let page = alice.open(&format!("/share?all=yes&guard={guard}")).await.map_err(Exit::failed)?;
    let fields = [("email", "bob@bar.example"), ("scope", "view"), ("step", "review")];
    let page = alice.sends(&page, "/share", &fields, "Share this?").await.map_err(Exit::failed)?;
    let begun = Instant::now();
    alice.sends(&page, "/share", &[("step", "confirm")], "<h1>Shared").await.map_err(Exit::failed)?;
    let took = begun.elapsed().as_secs_f64() * 1000.0;
    say::line(&format!("{:30} {took:8.1} ms", format!("sharing {each} things")));
    Ok(())
}
