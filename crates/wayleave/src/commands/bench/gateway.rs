//! `wayleave bench gateway`: the gateway beside nginx, on the same cores and in the same run. nginx is a reverse proxy
//! that asks a trivial responder about each call (`auth_request`); the gateway decides by an introspection that it keeps
//! for a second. Both stand before the same service. Then what a proxy gets to know that asks this gateway (forward-auth), beside
//! calls through it; and 1 GiB down and up through each.

use super::load::{Load, OK, Target};
use super::setup::{self, free_address};
use super::{best, print};
use crate::{Exit, say};
use client::{Called, Client, Credentials, TicketRequest, Traded};
use jose::{SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Request, Settings};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

#[derive(clap::Args)]
pub struct Options {
    /// Seconds of each measurement
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// Interleaved rounds; the best of each side counts
    #[arg(long, default_value_t = 3)]
    rounds: usize,
    /// MiB down and up; 0 leaves them out
    #[arg(long, default_value_t = 1024)]
    mib: usize,
}

/// Everything that runs; gone when dropped.
struct Field {
    gateway: Target,
    nginx: Target,
    nginx_process: Child,
    rpt: String,
    folder: PathBuf,
    _processes: Vec<Child>,
}

impl Drop for Field {
    fn drop(&mut self) {
        // SIGTERM to the master ends its workers; the rest is killed with their handles
        if let Some(pid) = self.nginx_process.id() {
            let _ = std::process::Command::new("kill").arg(pid.to_string()).status();
        }
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

/// Runs it.
pub(super) async fn run(options: &Options) -> Result<(), Exit> {
    let field = Field::start().await?;
    say::line(&format!("{} rounds of {} s, 64 connections; the best round of each side", options.rounds, options.seconds));
    say::line(&format!(
        "{:46} {:>9} {:>8} {:>8} {:>8} {:>9} {:>6}",
        "row", "req/s", "p50 us", "p99 us", "CPU us", "nginx", "ratio"
    ));
    let get = |target: &Target, path: &str| {
        let request = field.request(target, "GET", path, 0);
        Load { requests: Arc::new(vec![request]), connections: 64, status: OK }
    };
    for (name, path) in [
        ("a proxied call; nginx asks another process", "/albums/one/small"),
        ("a proxied call; nginx asks itself", "/itself/albums/one/small"),
    ] {
        let (ours, theirs) = (get(&field.gateway, "/albums/one/small"), get(&field.nginx, path));
        let (mut gateway, mut nginx) = (Vec::new(), Vec::new());
        for _ in 0..options.rounds {
            let time = Duration::from_secs(options.seconds);
            gateway.push(ours.run(&field.gateway, time).await?);
            nginx.push(theirs.run(&field.nginx, time).await?);
        }
        print(name, best(gateway), best(nginx));
    }
    forward_auth(options, &field).await?;
    super::signed::run(options.rounds).await?;
    if options.mib > 0 {
        content(options, &field).await?;
    }
    Ok(())
}

/// Answers to a proxy that asks; in the place of nginx stand calls through the gateway, by the same token.
async fn forward_auth(options: &Options, field: &Field) -> Result<(), Exit> {
    let load = |request| Load { requests: Arc::new(vec![request]), connections: 64, status: OK };
    let (asks, calls) = (load(field.ask()), load(field.request(&field.gateway, "GET", "/albums/one/small", 0)));
    let (mut asked, mut called) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let time = Duration::from_secs(options.seconds);
        asked.push(asks.run(&field.gateway, time).await?);
        called.push(calls.run(&field.gateway, time).await?);
    }
    print("forward-auth; beside it a call through us", best(asked), best(called));
    decisions(options, field).await
}

/// The same beside a decision alone: a call of which everything is judged, its token as well, and which is refused after that
/// since it names a place that is nobody's. The gateway answers it without asking anybody behind it. It stands in the place of
/// nginx.
async fn decisions(options: &Options, field: &Field) -> Result<(), Exit> {
    let load = |request, status| Load { requests: Arc::new(vec![request]), connections: 64, status };
    let (asks, decided) = (load(field.ask(), OK), load(field.elsewhere(), "403"));
    let (mut asked, mut alone) = (Vec::new(), Vec::new());
    for _ in 0..options.rounds {
        let time = Duration::from_secs(options.seconds);
        asked.push(asks.run(&field.gateway, time).await?);
        alone.push(decided.run(&field.gateway, time).await?);
    }
    print("forward-auth; beside it a decision alone", best(asked), best(alone));
    Ok(())
}

/// MiB a second, down and up, and what it took of memory.
async fn content(options: &Options, field: &Field) -> Result<(), Exit> {
    for (name, method, path) in [("down", "GET", "large"), ("up", "PUT", "sink")] {
        let (mut ours, mut theirs) = (0.0_f64, 0.0_f64);
        let before = resident_kib(field.gateway.pid);
        for _ in 0..options.rounds {
            for (target, best) in [(&field.gateway, &mut ours), (&field.nginx, &mut theirs)] {
                let path = format!("/albums/one/{path}?mib={}", options.mib);
                let length = if method == "PUT" { options.mib << 20 } else { 0 };
                let request = field.request(target, method, &path, length);
                *best = best.max(options.mib as f64 / carry(target, &request, length, options.mib).await?);
            }
        }
        let more = peak_kib(field.gateway.pid).saturating_sub(before) / 1024;
        say::line(&format!(
            "{} MiB {name}: {ours:.0} MiB/s, nginx {theirs:.0}, ratio {:.2}; resident memory at most {more} MiB more",
            options.mib,
            ours / theirs.max(1.0)
        ));
    }
    Ok(())
}

/// One call with so much in it, or after it; the seconds that it took.
async fn carry(target: &Target, request: &[u8], up: usize, mib: usize) -> Result<f64, Exit> {
    let mut stream = TcpStream::connect(&target.address).await.map_err(Exit::failed)?;
    let begun = Instant::now();
    stream.write_all(request).await.map_err(Exit::failed)?;
    let block = vec![7_u8; 256 * 1024];
    let mut left = up;
    while left > 0 {
        let piece = block.get(..left.min(block.len())).unwrap_or_default();
        stream.write_all(piece).await.map_err(Exit::failed)?;
        left = left.saturating_sub(piece.len());
    }
    let mut buffer = vec![0_u8; 256 * 1024];
    let (mut got, wanted) = (0_usize, if up > 0 { 1 } else { mib << 20 });
    let mut first = true;
    while got < wanted {
        let read = stream.read(&mut buffer).await.map_err(Exit::failed)?;
        if read == 0 || (first && !buffer.starts_with(b"HTTP/1.1 2")) {
            return Err(Exit::failed(String::from_utf8_lossy(buffer.get(..read.min(400)).unwrap_or_default())));
        }
        first = false;
        got = got.saturating_add(read);
    }
    Ok(begun.elapsed().as_secs_f64())
}

fn status_kib(pid: u32, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default().to_owned();
    line.split_whitespace().next().and_then(|kib| kib.parse().ok()).unwrap_or(0)
}

fn resident_kib(pid: u32) -> u64 {
    status_kib(pid, "VmRSS:")
}

fn peak_kib(pid: u32) -> u64 {
    status_kib(pid, "VmHWM:")
}

impl Field {
    async fn start() -> Result<Self, Exit> {
        let folder = std::env::temp_dir().join(format!("wayleave-bench-gateway-{}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(Exit::failed)?;
        let (server, admin, yard) = (free_address()?, free_address()?, free_address()?);
        let (gateway, nginx) = (free_address()?, free_address()?);
        let people = setup::CLIENTS.replace("http://127.0.0.1:9000", &format!("http://{gateway}"));
        let issuer = format!("http://{server}");
        let text = format!("[server]\nlisten = \"{server}\"\nissuer = \"{issuer}\"\nadmin_listen = \"{admin}\"\n{people}");
        std::fs::write(folder.join("wayleave.toml"), text).map_err(Exit::failed)?;
        std::fs::write(folder.join("gateway.toml"), gateway_file(&gateway, &yard, &issuer)).map_err(Exit::failed)?;
        std::fs::write(folder.join("nginx.conf"), nginx_file(&folder, &nginx, &yard)).map_err(Exit::failed)?;
        let (server_process, _) = setup::start(&folder, &["server"], &server).await?;
        let place = folder.join("yard.db").display().to_string();
        let (yard_process, _) =
            setup::start(&folder, &["bench", "yardstick", "--listen", &yard, "--store", &place], &yard).await?;
        let (gateway_process, gateway) = setup::start(&folder, &["--config", "gateway.toml", "gateway"], &gateway).await?;
        let (nginx_process, nginx) = start_nginx(&folder, &nginx).await?;
        let rpt = admitted(&gateway, &issuer).await?;
        Ok(Self { gateway, nginx, nginx_process, rpt, folder, _processes: vec![server_process, yard_process, gateway_process] })
    }

    /// What nginx sends before it makes a call.
    fn ask(&self) -> Vec<u8> {
        let (host, rpt) = (&self.gateway.address, &self.rpt);
        let about = format!("X-Original-Method: GET\r\nX-Original-URL: http://{host}/albums/one/small\r\n");
        let ask = "GET /.wayleave/auth?redirect=no HTTP/1.1";
        format!("{ask}\r\nHost: {host}\r\nAuthorization: Bearer {rpt}\r\n{about}\r\n").into_bytes()
    }

    /// A call that may pass, and names a destination that no route has.
    fn elsewhere(&self) -> Vec<u8> {
        let (host, rpt) = (&self.gateway.address, &self.rpt);
        let call = "GET /albums/one/small HTTP/1.1";
        format!("{call}\r\nHost: {host}\r\nAuthorization: Bearer {rpt}\r\nDestination: /nowhere\r\n\r\n").into_bytes()
    }

    fn request(&self, target: &Target, method: &str, path: &str, length: usize) -> Vec<u8> {
        let (host, rpt) = (&target.address, &self.rpt);
        let length = if length > 0 { format!("Content-Length: {length}\r\n") } else { String::new() };
        format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {rpt}\r\n{length}\r\n").into_bytes()
    }
}

fn gateway_file(listen: &str, upstream: &str, issuer: &str) -> String {
    format!(
        r#"
[gateway]
listen = "{listen}"
resource = "http://{listen}"
upstream = "http://{upstream}/content"
authorization_servers = ["{issuer}"]
pat = "client_credentials"
client_id = "photos-rs"
client_secret = "photos-secret"
store = {{ url = "sqlite:gateway.db" }}
trusted_proxies = ["127.0.0.1"]
forward_auth = {{ headers = "x-original" }}
[[gateway.route]]
path = "/albums/{{album}}/{{photo}}"
resource = "/albums/{{album}}"
owner = "alice"
scopes = {{ GET = ["view"], PUT = ["view"] }}
"#
    )
}

/// As its documentation has it for this: connections kept, nothing buffered to disk, nothing logged.
fn nginx_file(folder: &Path, listen: &str, upstream: &str) -> String {
    let place = folder.display();
    format!(
        "daemon off; worker_processes auto; pid {place}/nginx.pid; error_log {place}/nginx.log error;\n\
         events {{ worker_connections 1024; }}\n\
         http {{\n access_log off; keepalive_requests 100000000; client_body_temp_path {place}/b; proxy_temp_path {place}/p;\n\
         fastcgi_temp_path {place}/f; uwsgi_temp_path {place}/u; scgi_temp_path {place}/s;\n\
         upstream yard {{ server {upstream}; keepalive 128; keepalive_requests 100000000; }}\n\
         server {{ listen {listen}; client_max_body_size 0;\n\
         proxy_http_version 1.1; proxy_set_header Connection \"\"; proxy_request_buffering off; proxy_max_temp_file_size 0;\n\
         location = /allow {{ internal; proxy_pass http://yard/allow; proxy_pass_request_body off; proxy_set_header Content-Length \"\"; }}\n\
         location = /yes {{ internal; return 204; }}\n\
         location /itself/ {{ auth_request /yes; proxy_pass http://yard/content/; }}\n\
         location / {{ auth_request /allow; proxy_pass http://yard/content/; }}\n }}\n}}\n"
    )
}

async fn start_nginx(folder: &Path, address: &str) -> Result<(Child, Target), Exit> {
    let mut command = Command::new("nginx");
    command.args(["-p", &folder.display().to_string(), "-c", "nginx.conf"]).kill_on_drop(true);
    let child = command.spawn().map_err(|error| Exit::failed(format!("nginx: {error}: install it to be measured beside")))?;
    for _ in 0..200 {
        if TcpStream::connect(address).await.is_ok() {
            let pid = child.id().unwrap_or(0);
            return Ok((child, Target { address: address.to_owned(), pid }));
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Err(Exit::failed("nginx does not start: see its log"))
}

/// An RPT for the album, by the whole flow.
async fn admitted(gateway: &Target, issuer: &str) -> Result<String, Exit> {
    let url = format!("http://{}/albums/one/small", gateway.address);
    let settings = Settings { configured: vec![issuer.to_owned(), url.clone()], ..Settings::default() };
    let viewer = Client {
        outbound: Outbound::new(settings).map_err(Exit::failed)?,
        clock: Arc::new(SystemClock),
        randomness: Arc::new(SystemRandomness),
        credentials: Credentials::secret("viewer", "viewer-secret"),
        dpop_key: None,
    };
    let Called::Challenged(challenge) = viewer.call(Method::GET, &url, None).await.map_err(Exit::failed)? else {
        return Err(Exit::failed("the gateway did not ask for a token"));
    };
    let metadata = viewer.discover(issuer).await.map_err(Exit::failed)?;
    let manager = Client { credentials: Credentials::secret("manager", "manager-secret"), ..viewer.clone() };
    let pmt = manager.client_credentials(&metadata, "uma_policy").await.map_err(Exit::failed)?.access_token;
    let bearer = format!("Bearer {pmt}");
    let resources = metadata.registered_resources_endpoint.clone().unwrap_or_default();
    let list = viewer.outbound.send(Request::get(&resources).header("authorization", &bearer)).await.map_err(Exit::failed)?;
    let list: Vec<Value> = serde_json::from_slice(&list.body).map_err(Exit::failed)?;
    let id = list.first().and_then(|resource| resource.get("_id")).cloned().unwrap_or_default();
    let policy = json!({"resource_id": id, "resource_scopes": ["view"], "required_claims": []});
    let endpoint = metadata.policy_endpoint.clone().unwrap_or_default();
    let made = Request::json(Method::POST, &endpoint, &policy).header("authorization", &bearer);
    viewer.outbound.send(made).await.map_err(Exit::failed)?;
    let request = TicketRequest { ticket: &challenge.ticket, ..TicketRequest::default() };
    match viewer.trade(&metadata, &request).await.map_err(Exit::failed)? {
        Traded::Granted(tokens) => Ok(tokens.access_token),
        _ => Err(Exit::failed("no token was granted")),
    }
}
