//! Starting our binary, waiting until it is ready, ending it.

use jose::{Algorithm, Clock, SigningKey, SystemClock};
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

/// How long something that comes is waited for: machines have more to do than this.
pub(crate) const LONGEST: Duration = Duration::from_secs(60);

/// Waits until it is so.
pub(crate) async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    let begun = Instant::now();
    while !is_so().await {
        assert!(begun.elapsed() < LONGEST, "it never comes to this: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// What was withdrawn lets nobody in who comes a second later (for so long a gateway may keep an answer). Where calls take long,
/// so does the news of it.
pub(crate) async fn until_out(mut is_out: impl AsyncFnMut() -> bool) {
    let withdrawn = Instant::now();
    loop {
        let called = Instant::now();
        if is_out().await {
            return;
        }
        let (late, a_call_takes) = (called - withdrawn, called.elapsed());
        assert!(late < Duration::from_millis(1_300) + 10 * a_call_takes, "it still lets somebody in after {late:?}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// Where a process in this folder logs to.
pub(crate) fn log_of(folder: &Path) -> PathBuf {
    folder.join("stories.log")
}

/// A running process; ended when dropped.
pub(crate) struct Process {
    child: Child,
    said: String,
}

impl Process {
    /// Starts our binary and waits for its `ready:`.
    pub(crate) fn start(arguments: &[&str], folder: &Path) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wayleave"));
        // every line that is ever logged, for whoever looks into it
        let log = std::fs::OpenOptions::new().create(true).append(true).open(log_of(folder)).unwrap();
        command.args(arguments).current_dir(folder).env("RUST_LOG", "trace").stdout(Stdio::piped()).stderr(log);
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut said = String::new();
        for line in lines.by_ref() {
            let line = line.unwrap();
            said.push_str(&line);
            said.push('\n');
            if line.starts_with("ready:") {
                // what it says later must not fill the pipe
                std::thread::spawn(move || lines.for_each(drop));
                return Self { child, said };
            }
        }
        let log = std::fs::read_to_string(log_of(folder)).unwrap_or_default();
        panic!("it ended before it was ready: {said}\n{log}");
    }

    pub(crate) fn said(&self) -> &str {
        &self.said
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The polite way: SIGTERM. Its exit status.
    pub(crate) fn end(&mut self) -> Option<i32> {
        let status = Command::new("kill").args(["-TERM", &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
        self.child.wait().unwrap().code()
    }

    /// SIGHUP: its configuration is another.
    pub(crate) fn hang_up(&self) {
        self.signal("HUP");
    }

    pub(crate) fn signal(&self, name: &str) {
        let status = Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap();
        assert!(status.success());
    }

    /// The hard way: SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A folder that goes with the test.
pub(crate) struct Folder(pub(crate) PathBuf);

static FOLDERS: AtomicU32 = AtomicU32::new(0);

impl Folder {
    pub(crate) fn new() -> Self {
        let number = FOLDERS.fetch_add(1, Ordering::Relaxed);
        let place = std::env::temp_dir().join(format!("wayleave-story-{}-{number}", std::process::id()));
        std::fs::create_dir_all(&place).unwrap();
        Self(place)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

static PORTS: AtomicU32 = AtomicU32::new(0);

/// A port nobody listens on right now, and that no other story is about to take: each test process has some of its
/// own, below those that the system hands out to connections.
pub(crate) fn free_port() -> u16 {
    loop {
        let number = PORTS.fetch_add(1, Ordering::Relaxed);
        let port = 10_000 + (std::process::id() * 32 + number) % 20_000;
        if TcpListener::bind(("127.0.0.1", port as u16)).is_ok() {
            return port as u16;
        }
    }
}

/// `wayleave server` on SQLite, with its people and a trusted issuer.
pub(crate) struct Server {
    pub(crate) issuer: String,
    /// Its admin listener.
    pub(crate) admin: String,
    /// Where its resource server `photos-rs` is.
    pub(crate) gateway_port: u16,
    pub(crate) process: Option<Process>,
    pub(crate) folder: Folder,
    idp: SigningKey,
}

impl Server {
    pub(crate) fn start(more: &str) -> Self {
        Self::start_changed(|people| format!("{people}{more}"))
    }

    /// The same, issuing JWT RPTs to Viewer.
    pub(crate) fn start_signing() -> Self {
        let viewer = "client_id = \"viewer\"\n";
        Self::start_changed(|people| people.replace(viewer, &format!("{viewer}access_token_format = \"jwt\"\n")))
    }

    pub(crate) fn start_changed(change: impl FnOnce(String) -> String) -> Self {
        let folder = Folder::new();
        std::fs::write(folder.0.join("admin-token"), "let-me-in-if-you-please\n").unwrap();
        let idp = SigningKey::generate(Algorithm::EdDsa).unwrap();
        std::fs::write(folder.0.join("idp.json"), json!({"keys": [idp.public().to_jwk()]}).to_string()).unwrap();
        let (port, admin) = (free_port(), free_port());
        let gateway_port = free_port();
        let text = PEOPLE.replace("PORT", &port.to_string()).replace("ADMIN", &admin.to_string());
        let text = text.replace("GATEWAY", &gateway_port.to_string());
        std::fs::write(folder.0.join("wayleave.toml"), change(text)).unwrap();
        let mut server = Self {
            issuer: format!("http://127.0.0.1:{port}"),
            admin: format!("http://127.0.0.1:{admin}"),
            gateway_port,
            process: None,
            folder,
            idp,
        };
        server.run();
        server
    }

    /// The same, with its store in a database of its own: one empty one of those that the tests have.
    pub(crate) fn start_on_postgres() -> Self {
        let url = database("server");
        Self::start(&format!("[store]\nurl = \"{url}\"\n"))
    }

    /// Another process for the same issuer, on the same database, by the same key: as behind a balancer. Where it listens.
    pub(crate) fn start_beside(&self) -> (Process, Folder, String) {
        let folder = Folder::new();
        let (port, admin) = (free_port(), free_port());
        let (own, beside) = (&self.folder.0, &folder.0);
        let text = std::fs::read_to_string(own.join("wayleave.toml")).unwrap();
        let listens = self.issuer.trim_start_matches("http://");
        let key = own.join("wayleave-data/server.key");
        let there = format!("listen = \"127.0.0.1:{port}\"\nkey_file = \"{}\"\n", key.display());
        let text = text.replace(&format!("listen = \"{listens}\"\n"), &there);
        let text = text.replace(self.admin.trim_start_matches("http://"), &format!("127.0.0.1:{admin}"));
        std::fs::write(beside.join("wayleave.toml"), text).unwrap();
        for file in ["admin-token", "idp.json"] {
            std::fs::copy(own.join(file), beside.join(file)).unwrap();
        }
        let process = Process::start(&["server"], beside);
        (process, folder, format!("http://127.0.0.1:{port}"))
    }

    /// Starts it (again) on what is in its folder.
    pub(crate) fn run(&mut self) {
        self.process = Some(Process::start(&["server"], &self.folder.0));
    }

    pub(crate) fn id_token(&self, serial: u32) -> String {
        let now = SystemClock.now().0;
        let claims = json!({
            "iss": "https://idp.bar.example", "sub": "bob", "aud": "viewer", "iat": now, "exp": now + 300, "jti": serial.to_string(),
            "email": "bob@bar.example", "email_verified": true,
        });
        self.idp.sign("JWT", &claims).unwrap()
    }

    /// What a script is told.
    pub(crate) fn world(&self) -> Value {
        let tokens: Vec<_> = (0..8).map(|serial| self.id_token(serial)).collect();
        json!({"issuer": self.issuer, "idTokens": tokens, "callback": "http://127.0.0.1:9003/callback"})
    }
}

/// Makes an empty database in that of the tests; its address.
pub(crate) fn database(what: &str) -> String {
    let all = std::env::var("WAYLEAVE_TEST_POSTGRES").expect("`cargo xtask test` and `cargo xtask postgres` say where it is");
    let name = format!("{what}_{}_{}", std::process::id(), FOLDERS.fetch_add(1, Ordering::Relaxed));
    let made = Command::new("psql").args([&all, "-qc", &format!("CREATE DATABASE {name}")]).status().unwrap();
    assert!(made.success());
    let (server, _) = all.rsplit_once('/').unwrap();
    format!("{server}/{name}")
}

const PEOPLE: &str = r#"
[server]
listen = "127.0.0.1:PORT"
issuer = "http://127.0.0.1:PORT"
admin_listen = "127.0.0.1:ADMIN"
[assessment]
poll_interval = 1
[[account]]
username = "alice"
email = "alice@foo.example"
password = "alice-password"
[[client]]
client_id = "photos-rs"
client_secret = "photos-secret"
resource = "http://127.0.0.1:GATEWAY"
grant_types = ["client_credentials", "authorization_code", "refresh_token"]
scope = "uma_protection"
redirect_uris = ["http://127.0.0.1:GATEWAY/.wayleave/callback"]
acts_for = "alice"
[[client]]
client_id = "manager"
client_secret = "manager-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
[[client]]
client_id = "web"
client_secret = "web-secret"
grant_types = ["authorization_code", "refresh_token"]
redirect_uris = ["http://127.0.0.1:9003/callback"]
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
claims_redirect_uris = ["http://127.0.0.1:9001/claims"]
may_push_claims = true
[[trusted_issuer]]
issuer = "https://idp.bar.example"
jwks_file = "idp.json"
claims = ["email", "email_verified"]
email_domains = ["bar.example"]
"#;
