//! `[gateway]` and its routes.

use super::StoreConfig;
use resource_server::gateway::{OwnerOf, Route};
use resource_server::watch::UploadLimits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;
use types::ScopeSet;

/// `[gateway]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct GatewayConfig {
    pub listen: String,
    pub resource: String,
    #[serde(default)]
    pub name: Option<String>,
    #[serde(default)]
    pub upstream: Option<String>,
    #[serde(default)]
    pub folder: Option<String>,
    pub authorization_servers: Vec<String>,
    /// From these, and these only, forwarding headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<std::net::IpAddr>,
    #[serde(default = "list")]
    pub trust: String,
    #[serde(default = "code")]
    pub pat: String,
    #[serde(default = "introspect")]
    pub check: String,
    #[serde(default = "preferred_username")]
    pub owner_claim: String,
    pub client_id: String,
    #[serde(default)]
    pub client_secret: Option<String>,
    #[serde(default)]
    pub client_secret_file: Option<String>,
    #[serde(default)]
    pub management: Option<ManagementConfig>,
    /// Records to find owners in who cannot log in here.
    #[serde(default)]
    pub discovery: Option<DiscoveryConfig>,
    #[serde(default)]
    pub store: Option<StoreConfig>,
    #[serde(default)]
    pub route: Vec<RouteConfig>,
    #[serde(default)]
    pub uploads: UploadsConfig,
    /// Header fields that the service gets from anybody, beside those that always pass.
    #[serde(default)]
    pub pass_headers: Vec<String>,
}

/// `[gateway.uploads]`: how much somebody who was let in may send, and how long it may take.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct UploadsConfig {
    pub max_bytes: u64,
    pub max_seconds: u64,
    /// Without a byte.
    pub max_pause_seconds: u64,
}

impl Default for UploadsConfig {
    fn default() -> Self {
        let UploadLimits { max_bytes, max_time, max_pause } = UploadLimits::default();
        Self { max_bytes, max_seconds: max_time.as_secs(), max_pause_seconds: max_pause.as_secs() }
    }
}

/// A longer time than this is none.
const MAX_UPLOAD_SECONDS: u64 = 7 * 24 * 3_600;

impl UploadsConfig {
    fn check(&self) -> Result<(), String> {
        let seconds = 1..=MAX_UPLOAD_SECONDS;
        if seconds.contains(&self.max_seconds) && seconds.contains(&self.max_pause_seconds) && self.max_bytes > 0 {
            return Ok(());
        }
        Err(format!(
            "gateway.uploads: `max_bytes` is at least 1, `max_seconds` and `max_pause_seconds` from 1 to {MAX_UPLOAD_SECONDS}"
        ))
    }

    /// As the gateway takes them.
    pub fn limits(&self) -> UploadLimits {
        let (max_time, max_pause) = (Duration::from_secs(self.max_seconds), Duration::from_secs(self.max_pause_seconds));
        UploadLimits { max_bytes: self.max_bytes, max_time, max_pause }
    }
}

/// `[gateway.management]`: who may issue RMTs.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ManagementConfig {
    pub issuer: String,
    /// `preferred_username` or `sub`.
    #[serde(default = "preferred_username")]
    pub owner_claim: String,
}

/// `[gateway.discovery]`: one of the two.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct DiscoveryConfig {
    /// A CSV file whose first line names the columns: `owner`, and claims.
    #[serde(default)]
    pub csv: Option<String>,
    /// A SQLite file, with `query`.
    #[serde(default)]
    pub sqlite: Option<String>,
    /// Finds candidates; what is said of the person is there as `:name`, `:birthdate`, ...
    #[serde(default)]
    pub query: Option<String>,
}

fn code() -> String {
    "code".into()
}
fn list() -> String {
    "list".into()
}
fn introspect() -> String {
    "introspect".into()
}
fn preferred_username() -> String {
    "preferred_username".into()
}

/// `[[gateway.route]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    pub path: String,
    pub resource: String,
    /// Further resources that a call needs, with the same scopes.
    #[serde(default)]
    pub also: Vec<String>,
    pub owner: OwnerConfig,
    #[serde(default, rename = "type")]
    pub resource_type: Option<String>,
    pub scopes: BTreeMap<String, Vec<String>>,
    /// Whether a GET may become a web socket.
    #[serde(default)]
    pub websocket: bool,
}

/// `owner = "alice"`, or `{ path = "user" }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OwnerConfig {
    Named(String),
    Path(OwnerByPath),
    Header(OwnerByHeader),
    Lookup(OwnerByLookup),
}

/// `{ header = "X-Owner" }`: from trusted proxies only.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByHeader {
    pub header: String,
}

/// `{ lookup = "http://.../owner?path={path}" }`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByLookup {
    pub lookup: String,
}

/// `{ path = "user" }`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByPath {
    pub path: String,
}

impl RouteConfig {
    /// Where owners are looked up.
    pub fn lookup(&self) -> Option<&str> {
        if let OwnerConfig::Lookup(by) = &self.owner { Some(&by.lookup) } else { None }
    }

    fn route(&self) -> Result<Route, String> {
        let mut scopes = BTreeMap::new();
        for (method, names) in &self.scopes {
            let set = ScopeSet::parse(&names.join(" ")).map_err(|error| format!("`{}` {method}: {error}", self.path))?;
            if set.is_empty() {
                return Err(format!("`{}` {method}: name at least one scope", self.path));
            }
            scopes.insert(method.to_uppercase(), set);
        }
        let owner = match &self.owner {
            OwnerConfig::Named(name) => OwnerOf::Named(name.clone()),
            OwnerConfig::Path(by) => OwnerOf::Path(by.path.clone()),
            OwnerConfig::Header(by) => OwnerOf::Header(by.header.clone()),
            OwnerConfig::Lookup(by) => OwnerOf::Lookup(by.lookup.clone()),
        };
        let route = Route {
            path: self.path.clone(),
            resource: self.resource.clone(),
            also: self.also.clone(),
            owner,
            resource_type: self.resource_type.clone(),
            scopes,
            takes_web_sockets: self.websocket,
        };
        route.check()?;
        Ok(route)
    }
}

impl GatewayConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        self.routes()?;
        if self.folder.is_some() == self.upstream.is_some() {
            return Err("gateway: give `upstream` or `folder`".into());
        }
        self.uploads.check()?;
        let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if let Some(name) = self.pass_headers.iter().find(|name| !is_name(name)) {
            return Err(format!("gateway.pass_headers: `{name}` must be the name of a header, of letters, digits and `-`"));
        }
        let speaks_http_1 = self.upstream.as_ref().is_some_and(|url| !url.starts_with("h2c://"));
        if let Some(route) = self.route.iter().find(|route| route.websocket && !speaks_http_1) {
            return Err(format!("[[gateway.route]] `{}`: `websocket` needs an `upstream` of http://", route.path));
        }
        if let Some(discovery) = &self.discovery
            && (discovery.csv.is_some() == discovery.sqlite.is_some() || discovery.sqlite.is_some() != discovery.query.is_some())
        {
            return Err("gateway.discovery: give `csv`, or `sqlite` with `query`".into());
        }
        if self.authorization_servers.is_empty() {
            return Err("gateway.authorization_servers: name an authorization server".into());
        }
        if !matches!(self.trust.as_str(), "any" | "list" | "rot-required") {
            return Err(format!("gateway.trust: `{}` must be any, list or rot-required", self.trust));
        }
        if !matches!(self.pat.as_str(), "code" | "client_credentials" | "server") {
            return Err(format!("gateway.pat: `{}` must be code, client_credentials or server", self.pat));
        }
        if !matches!(self.check.as_str(), "introspect" | "offline") {
            return Err(format!("gateway.check: `{}` must be introspect or offline", self.check));
        }
        if self.resource.ends_with('/') || url::Url::parse(&self.resource).is_err() {
            return Err(format!("gateway.resource: `{}` must be a URL without a slash at the end", self.resource));
        }
        Ok(())
    }

    /// The routes, as the gateway takes them.
    pub fn routes(&self) -> Result<Vec<Route>, String> {
        self.route.iter().map(|route| route.route().map_err(|what| format!("[[gateway.route]] {what}"))).collect()
    }
}
