//! The field: a server on SQLite with an album, a policy and so many live RPTs, and the yardstick beside it.

use super::load::{Load, OK, Target};
use crate::config::Config;
use crate::{Exit, assemble};
use authorization_server::{Changes, Write};
use client::{Client, Credentials};
use identity::token_text::{TokenKind, key_of, mint};
use identity::{CommitError, TokenKey};
use jose::{Clock, SystemClock, SystemRandomness};
use outbound::{Method, Outbound, Request, Settings};
use rules::rpt::{Basis, GrantedScope};
use rules::{Policy, Resource, Rpt};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use store::Store;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use types::policy::PolicyDocument;
use types::token::UMA_TICKET;

/// Everything under load; gone when dropped.
pub(super) struct Field {
    pub(super) server: Target,
    pub(super) yardstick: Target,
    _processes: Vec<Child>,
    folder: PathBuf,
    client: Client,
    pat: String,
    pmt: String,
    album: String,
    rpts: Vec<String>,
    /// Resources beside the album.
    others: usize,
}

impl Drop for Field {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.folder);
    }
}

pub(super) const CLIENTS: &str = r#"
[limits]
requests_per_minute_per_client = 4000000000
[assessment]
rpt_lifetime = 86400
[[account]]
username = "alice"
[[client]]
client_id = "photos-rs"
client_secret = "photos-secret"
resource = "http://127.0.0.1:9000"
grant_types = ["client_credentials"]
scope = "uma_protection"
acts_for = "alice"
[[client]]
client_id = "manager"
client_secret = "manager-secret"
grant_types = ["client_credentials"]
scope = "uma_policy"
acts_for = "alice"
[[client]]
client_id = "viewer"
client_secret = "viewer-secret"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
[[client]]
client_id = "jwt-viewer"
client_secret = "viewer-secret"
access_token_format = "jwt"
grant_types = ["urn:ietf:params:oauth:grant-type:uma-ticket", "refresh_token"]
"#;

/// The core on which whoever is measured runs alone; the load has the others.
const CORE: &str = "0";

pub(super) async fn start(folder: &Path, arguments: &[&str], address: &str) -> Result<(Child, Target), Exit> {
    let own = std::env::current_exe().map_err(Exit::failed)?;
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", CORE]).arg(own).args(arguments).current_dir(folder).stdout(Stdio::piped()).kill_on_drop(true);
    let mut child = command.spawn().map_err(|error| Exit::failed(format!("`taskset`, of util-linux: {error}")))?;
    let out = child.stdout.take().ok_or_else(|| Exit::failed("no output"))?;
    let mut lines = BufReader::new(out).lines();
    while let Some(line) = lines.next_line().await.map_err(Exit::failed)? {
        if line.starts_with("ready:") {
            let pid = child.id().unwrap_or(0);
            return Ok((child, Target { address: address.to_owned(), pid }));
        }
    }
    Err(Exit::failed("a process ended before it was ready"))
}

pub(super) fn free_address() -> Result<String, Exit> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").map_err(Exit::failed)?;
    Ok(listener.local_addr().map_err(Exit::failed)?.to_string())
}

/// What lies in a server's store.
#[derive(Clone, Copy, Default)]
pub(super) struct Filled<'a> {
    /// Live RPTs.
    pub(super) rpts: usize,
    /// Resources beside the album, with a policy each.
    pub(super) others: usize,
    /// The database that the store is in; without one, a file.
    pub(super) postgres: Option<&'a str>,
}

impl Field {
    pub(super) async fn start(filled: Filled<'_>) -> Result<Self, Exit> {
        let Filled { rpts, others, postgres } = filled;
        let kind = if postgres.is_some() { "postgres" } else { "sqlite" };
        let folder = std::env::temp_dir().join(format!("wayleave-bench-{}-{kind}-{rpts}-{others}", std::process::id()));
        std::fs::create_dir_all(&folder).map_err(Exit::failed)?;
        let (address, admin, yard) = (free_address()?, free_address()?, free_address()?);
        let issuer = format!("http://{address}");
        let server = format!("[server]\nlisten = \"{address}\"\nissuer = \"{issuer}\"\nadmin_listen = \"{admin}\"\n{CLIENTS}");
        let server = match postgres {
            Some(url) => format!("{server}\n[store]\nurl = \"{url}\"\n"),
            None => server,
        };
        std::fs::write(folder.join("wayleave.toml"), &server).map_err(Exit::failed)?;
        let client = Client {
            outbound: Outbound::new(Settings { configured: vec![issuer.clone()], ..Settings::default() })
                .map_err(Exit::failed)?,
            clock: Arc::new(SystemClock),
            randomness: Arc::new(SystemRandomness),
            credentials: Credentials::secret("photos-rs", "photos-secret"),
            dpop_key: None,
        };
        // once up to make the album, its policy and the PAT; down to fill the store; up again
        let (child, _) = start(&folder, &["server"], &address).await?;
        let (pat, pmt, album, policy) = furnish(&client, &issuer).await?;
        end(child).await?;
        let config = Config::parse(&server, std::iter::empty(), folder.clone()).map_err(Exit::failed)?;
        let texts = fill(&config, rpts, &album, &policy).await?;
        fill_others(&config, others).await?;
        let (server_process, server) = start(&folder, &["server"], &address).await?;
        let place = folder.join("yard.db").display().to_string();
        let (filled, like) = (rpts.to_string(), folder.join("wayleave-data/server.db").display().to_string());
        let mut arguments = vec!["bench", "yardstick", "--listen", &yard, "--store", &place, "--filled", &filled];
        if postgres.is_none() {
            arguments.extend(["--like", &like]);
        }
        let (yard_process, yardstick) = start(&folder, &arguments, &yard).await?;
        let _processes = vec![server_process, yard_process];
        Ok(Self { server, yardstick, _processes, folder, client, pat, pmt, album, rpts: texts, others })
    }

    /// Introspection of the RPTs at random.
    pub(super) fn introspection(&self, connections: usize) -> Load {
        let step = 7919_usize;
        let count = self.rpts.len().max(1);
        let shuffled = (0..count).filter_map(|n| self.rpts.get(n.wrapping_mul(step).checked_rem(count).unwrap_or(0)));
        let request = |token: &String| self.post("/introspect", &self.bearer(), FORM, &format!("token={token}"));
        Load { requests: Arc::new(shuffled.map(request).collect()), connections, status: OK }
    }

    /// Kills the server and times a new one on the same store, up to its first answer: milliseconds.
    pub(super) async fn restart(&mut self) -> Result<u128, Exit> {
        self._processes.remove(0).kill().await.map_err(Exit::failed)?;
        let begun = std::time::Instant::now();
        let (process, server) = start(&self.folder, &["server"], &self.server.address).await?;
        self.introspection(1).answer_length(&server).await?;
        let took = begun.elapsed().as_millis();
        self._processes.insert(0, process);
        self.server = server;
        Ok(took)
    }

    /// Registers so many resources that anyone may view, a policy each; one ticket for all of them a call.
    pub(super) async fn many_at_once(&self, count: usize, calls: usize) -> Result<Load, Exit> {
        let mut wanted = Vec::with_capacity(count);
        for _ in 0..count {
            let made = self.call("/uma/resources", &self.pat, json!({"resource_scopes": ["view"]})).await?;
            let id = made.get("_id").cloned().unwrap_or_default();
            self.call("/uma/policies", &self.pmt, json!({"resource_id": id, "resource_scopes": ["view"], "required_claims": []}))
                .await?;
            wanted.push(json!({"resource_id": id, "resource_scopes": ["view"]}));
        }
        let mut requests = Vec::with_capacity(calls);
        for _ in 0..calls {
            let ticket = self.call("/uma/permissions", &self.pat, json!(wanted)).await?;
            requests.push(self.trade("viewer", ticket.get("ticket").and_then(Value::as_str).unwrap_or_default()));
        }
        Ok(Load { requests: Arc::new(requests), connections: 1, status: OK })
    }

    async fn call(&self, path: &str, token: &str, body: Value) -> Result<Value, Exit> {
        let url = format!("http://{}{path}", self.server.address);
        let request = Request::json(Method::POST, &url, &body).header("authorization", &format!("Bearer {token}"));
        let answer = self.client.outbound.send(request).await.map_err(Exit::failed)?;
        serde_json::from_slice(&answer.body).map_err(Exit::failed)
    }

    fn trade(&self, client: &str, ticket: &str) -> Vec<u8> {
        let fields = [("grant_type", UMA_TICKET), ("ticket", ticket), ("client_id", client), ("client_secret", "viewer-secret")];
        self.post("/token", "", FORM, &form_urlencoded::Serializer::new(String::new()).extend_pairs(fields).finish())
    }

    pub(super) fn tickets(&self) -> Load {
        let body = json!({"resource_id": self.album, "resource_scopes": ["view"]}).to_string();
        let request = self.post("/uma/permissions", &self.bearer(), "application/json", &body);
        Load { requests: Arc::new(vec![request]), connections: 64, status: OK }
    }

    /// Fresh tickets for the album, and the trades of them.
    pub(super) async fn grants(&self, client: &str, count: usize) -> Result<Load, Exit> {
        self.grants_of(client, count, |_| self.album.clone()).await
    }

    /// The same for what lies beside it, each in its turn, far from each other.
    pub(super) async fn grants_spread(&self, client: &str, count: usize) -> Result<Load, Exit> {
        let step = 7919_usize;
        self.grants_of(client, count, |n| format!("other-{}", n.wrapping_mul(step).checked_rem(self.others).unwrap_or(0))).await
    }

    async fn grants_of(&self, client: &str, count: usize, id: impl Fn(usize) -> String) -> Result<Load, Exit> {
        let url = format!("http://{}/uma/permissions", self.server.address);
        let mut requests = Vec::with_capacity(count);
        for chunk in (0..count).collect::<Vec<_>>().chunks(256) {
            let mut asked = Vec::new();
            for n in chunk {
                let body = json!({"resource_id": id(*n), "resource_scopes": ["view"]});
                let (outbound, url, bearer) = (self.client.outbound.clone(), url.clone(), self.bearer());
                asked.push(tokio::spawn(async move {
                    outbound.send(Request::json(Method::POST, &url, &body).header("authorization", &bearer)).await
                }));
            }
            for one in asked {
                let answer = one.await.map_err(Exit::failed)?.map_err(Exit::failed)?;
                let ticket: Value = serde_json::from_slice(&answer.body).map_err(Exit::failed)?;
                requests.push(self.trade(client, ticket.get("ticket").and_then(Value::as_str).unwrap_or_default()));
            }
        }
        Ok(Load { requests: Arc::new(requests), connections: 64, status: OK })
    }

    pub(super) fn folder(&self) -> &Path {
        &self.folder
    }

    pub(super) fn resident_mib(&self) -> u64 {
        let text = std::fs::read_to_string(format!("/proc/{}/status", self.server.pid)).unwrap_or_default();
        let line = text.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap_or_default();
        line.split_whitespace().next().and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1024
    }

    fn bearer(&self) -> String {
        format!("Bearer {}", self.pat)
    }

    fn post(&self, path: &str, authorization: &str, kind: &str, body: &str) -> Vec<u8> {
        let authorization = if authorization.is_empty() { String::new() } else { format!("Authorization: {authorization}\r\n") };
        let host = &self.server.address;
        let length = body.len();
        format!("POST {path} HTTP/1.1\r\nHost: {host}\r\n{authorization}Content-Type: {kind}\r\nContent-Length: {length}\r\n\r\n{body}").into_bytes()
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

async fn end(mut child: Child) -> Result<(), Exit> {
    child.kill().await.map_err(Exit::failed)
}

/// Album, policy and PAT, over the wire.
async fn furnish(client: &Client, issuer: &str) -> Result<(String, String, String, String), Exit> {
    let metadata = client.discover(issuer).await.map_err(Exit::failed)?;
    let pat = client.client_credentials(&metadata, "uma_protection").await.map_err(Exit::failed)?.access_token;
    let manager = Client { credentials: Credentials::secret("manager", "manager-secret"), ..client.clone() };
    let pmt = manager.client_credentials(&metadata, "uma_policy").await.map_err(Exit::failed)?.access_token;
    let post = async |url: &Option<String>, token: &str, body: Value| {
        let url = url.clone().unwrap_or_default();
        let request = Request::json(Method::POST, &url, &body).header("authorization", &format!("Bearer {token}"));
        let answer = client.outbound.send(request).await.map_err(Exit::failed)?;
        let made: Value = serde_json::from_slice(&answer.body).map_err(Exit::failed)?;
        Ok::<_, Exit>(made.get("_id").and_then(Value::as_str).unwrap_or_default().to_owned())
    };
    let album = post(&metadata.resource_registration_endpoint, &pat, json!({"resource_scopes": ["view"]})).await?;
    let document = json!({"resource_id": album, "resource_scopes": ["view"], "required_claims": []});
    let policy = post(&metadata.policy_endpoint, &pmt, document).await?;
    Ok((pat, pmt, album, policy))
}

/// Live RPTs, written as the server would.
async fn fill(config: &Config, count: usize, album: &str, policy: &str) -> Result<Vec<String>, Exit> {
    let store: Store = assemble::open_store(&assemble::location(config, "store", &config.store)?, store::NAME).await?;
    let now = SystemClock.now();
    let accounts: &dyn identity::Store = &store;
    let alice =
        accounts.find_account_by_username("alice").await.map_err(Exit::failed)?.ok_or_else(|| Exit::failed("no alice"))?;
    let consent = accounts.find_consent_of(&alice.id, &"photos-rs".into(), None).await.map_err(Exit::failed)?;
    let consent = consent.ok_or_else(|| Exit::failed("no link"))?;
    let mut texts = Vec::with_capacity(count);
    let view = types::Scope::parse("view").map_err(Exit::failed)?;
    let basis = Basis::Policy { id: policy.into(), version: 0, expires_at: None };
    for chunk in (0..count).collect::<Vec<_>>().chunks(2_000) {
        let mut made = Vec::with_capacity(chunk.len());
        for n in chunk {
            // one after the other, as if they had been given over an hour
            let second = n.saturating_mul(3_600).checked_div(count).and_then(|second| i64::try_from(second).ok());
            let expires = now.plus(second.unwrap_or(0).saturating_add(82_400));
            let text = mint(TokenKind::Rpt, alice.id.as_str(), expires, &SystemClock, &SystemRandomness);
            let key = key_of(TokenKind::Rpt, &text).ok_or_else(|| Exit::failed("no key"))?;
            let rpt = Rpt {
                client: "viewer".into(),
                owner: alice.id.clone(),
                resource_server: "photos-rs".into(),
                pat_grant: consent.id.clone(),
                requesting_party: Default::default(),
                email: None,
                cnf: None,
                scopes: vec![GrantedScope { resource: album.into(), scope: view.clone(), basis: vec![basis.clone()] }],
                issued: now,
                expires,
                family: format!("bench{n}"),
                by_own_id: false,
                jti: None,
            };
            made.push((text, key, rpt));
        }
        // one by one where two of them fell on one place, as the server would try another
        let keep = |some: &[(String, TokenKey, Rpt)]| {
            store.commit_changes(Changes::of(some.iter().map(|(_, key, rpt)| Write::PutRpt(key.clone(), rpt.clone())).collect()))
        };
        match keep(&made).await {
            Err(CommitError::Changed) => {
                for one in made {
                    if keep(std::slice::from_ref(&one)).await.is_ok() {
                        texts.push(one.0);
                    }
                }
            }
            other => {
                other.map_err(Exit::failed)?;
                texts.extend(made.into_iter().map(|(text, ..)| text));
            }
        }
    }
    Ok(texts)
}

/// Resources and policies of somebody with a great deal of both: the same owner.
pub(super) async fn fill_others(config: &Config, count: usize) -> Result<(), Exit> {
    let store: Store = assemble::open_store(&assemble::location(config, "store", &config.store)?, store::NAME).await?;
    let accounts: &dyn identity::Store = &store;
    let alice =
        accounts.find_account_by_username("alice").await.map_err(Exit::failed)?.ok_or_else(|| Exit::failed("no alice"))?;
    let view: types::ScopeSet = types::ScopeSet::parse("view").map_err(Exit::failed)?;
    for chunk in (0..count).collect::<Vec<_>>().chunks(2_000) {
        let mut writes = Vec::with_capacity(chunk.len().saturating_mul(2));
        for n in chunk {
            let id = types::ResourceId::new(format!("other-{n}"));
            let description = types::ResourceDescription { resource_scopes: view.clone(), ..Default::default() };
            writes.push(Write::CreateResource(Resource {
                id: id.clone(),
                owner: alice.id.clone(),
                resource_server: "photos-rs".into(),
                description,
                registered: SystemClock.now(),
                unregistered: false,
                version: 0,
            }));
            let document = PolicyDocument { resource_id: Some(id), resource_scopes: view.clone(), ..PolicyDocument::default() };
            let policy = Policy::from_document(document, format!("policy-{n}").into(), alice.id.clone(), 0, SystemClock.now());
            writes.push(Write::PutPolicy(policy.map_err(Exit::failed)?));
        }
        store.commit_changes(Changes::of(writes)).await.map_err(Exit::failed)?;
    }
    Ok(())
}
