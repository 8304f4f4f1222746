//! `[gateway]` and its routes.

use super::StoreConfig;
use super::cors::CorsConfig;
use super::fault::Fault;
use super::forward_auth::ForwardAuthConfig;
use super::places::{check_form, check_listen, check_url};
use super::route::RouteConfig;
use resource_server::gateway::{Route, Trust, check_content_origin, find_hidden};
use resource_server::watch::UploadLimits;
use serde::{Deserialize, Serialize};
use std::time::Duration;

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
    /// As whom it leads people with browsers; none: by a client that it registers by itself.
    #[serde(default)]
    pub browser: Option<BrowserConfig>,
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
    #[serde(default)]
    pub cors: CorsConfig,
    /// A proxy makes the calls, and asks before; none: nobody asks.
    #[serde(default)]
    pub forward_auth: Option<ForwardAuthConfig>,
    /// Another host, where a browser may run what is in a folder.
    #[serde(default)]
    pub content_origin: Option<String>,
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

/// `[gateway.browser]`: the confidential client by which people with browsers get in, at each of `authorization_servers`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct BrowserConfig {
    pub client_id: String,
    #[serde(default)]
    pub client_secret: Option<String>,
    #[serde(default)]
    pub client_secret_file: Option<String>,
}

impl BrowserConfig {
    fn check(&self, own: &str) -> Result<(), String> {
        if self.client_id.is_empty() || self.client_id == own {
            return Err("gateway.browser.client_id: name a client of its own, other than `gateway.client_id`".into());
        }
        if self.client_secret.is_some() == self.client_secret_file.is_some() {
            return Err("gateway.browser: give `client_secret` or `client_secret_file`".into());
        }
        Ok(())
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

impl GatewayConfig {
    pub(super) fn check(&self) -> Result<(), Fault> {
        self.routes()?;
        Ok(self.check_settings()?)
    }

    fn check_settings(&self) -> Result<(), String> {
        if self.folder.is_some() == self.upstream.is_some() {
            if self.folder.is_some() {
                return Err("gateway.folder: give `folder` or `upstream`, one of the two: here are both".into());
            }
            let proxied = ": with [gateway.forward_auth] as well, it is what the proxy serves";
            return Err(format!("gateway: give `upstream` or `folder`{}", self.forward_auth.as_ref().map_or("", |_| proxied)));
        }
        if let Some(asked) = &self.forward_auth {
            asked.family()?;
        }
        self.uploads.check()?;
        self.cors.check()?;
        if let Some(origin) = &self.content_origin {
            check_content_origin(origin, &self.resource).map_err(|what| format!("gateway.content_origin: {what}"))?;
        }
        if let Some(browser) = &self.browser {
            browser.check(&self.client_id)?;
        }
        let is_name = |name: &String| !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if !self.pass_headers.iter().all(is_name) {
            return Err("gateway.pass_headers: each must be the name of a header, of letters, digits and `-`".into());
        }
        let speaks_http_1 = self.upstream.as_ref().is_some_and(|url| !url.starts_with("h2c://"));
        if let Some(route) = self.route.iter().find(|route| route.websocket && !speaks_http_1) {
            return Err(format!("gateway.upstream: the route `{}` with `websocket` needs an `upstream` of http://", route.path));
        }
        if let Some(discovery) = &self.discovery
            && (discovery.csv.is_some() == discovery.sqlite.is_some() || discovery.sqlite.is_some() != discovery.query.is_some())
        {
            return Err("gateway.discovery: give `csv`, or `sqlite` with `query`".into());
        }
        if self.authorization_servers.is_empty() {
            return Err("gateway.authorization_servers: name an authorization server".into());
        }
        self.trust()?;
        if !matches!(self.pat.as_str(), "code" | "client_credentials" | "server") {
            return Err("gateway.pat: it must be code, client_credentials or server".into());
        }
        if !matches!(self.check.as_str(), "introspect" | "offline") {
            return Err("gateway.check: it must be introspect or offline".into());
        }
        self.check_places()
    }

    /// Where it is, who guards for it, and by which names owners are known there.
    fn check_places(&self) -> Result<(), String> {
        check_listen("gateway.listen", &self.listen)?;
        for issuer in &self.authorization_servers {
            check_url("gateway.authorization_servers", issuer)?;
        }
        if self.owner_claim.is_empty() {
            return Err("gateway.owner_claim: it must name a claim, like preferred_username".into());
        }
        if let Some(management) = &self.management {
            check_url("gateway.management.issuer", &management.issuer)?;
            if management.owner_claim.is_empty() {
                return Err("gateway.management.owner_claim: it must name a claim: preferred_username, or sub".into());
            }
        }
        check_url("gateway.resource", &self.resource)?;
        if self.resource.ends_with('/') || self.resource.contains('#') {
            return Err("gateway.resource: it must be a URL without a slash at the end, and without fragment".into());
        }
        check_form("gateway.resource", &self.resource)
    }

    /// Whose word counts.
    pub fn trust(&self) -> Result<Trust, String> {
        match self.trust.as_str() {
            "any" => Ok(Trust::Any),
            "list" => Ok(Trust::List),
            "rot-required" => Ok(Trust::RotRequired),
            _ => Err("gateway.trust: it must be any, list or rot-required".into()),
        }
    }

    /// Where it keeps what it knows.
    pub fn store(&self) -> StoreConfig {
        self.store.clone().unwrap_or_default()
    }

    pub fn store_url(&self) -> &str {
        self.store.as_ref().map_or("", |store| store.url.as_str())
    }

    /// The routes, as the gateway takes them.
    pub fn routes(&self) -> Result<Vec<Route>, Fault> {
        let mut routes = Vec::new();
        for (at, own) in self.route.iter().enumerate() {
            routes.push(own.route().map_err(|what| Fault::of_nth("gateway.route", at, what))?);
        }
        match find_hidden(&routes) {
            Some((at, route, before)) => {
                let what = format!("`{}` is never reached: `{}` before it takes all of its paths", route.path, before.path);
                Err(Fault::of_nth("gateway.route", at, what))
            }
            None => Ok(routes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_browser_client_is_one_of_its_own_with_one_secret() {
        let checked =
            |text: &str| toml::from_str::<BrowserConfig>(text).map_err(|_| "unread".to_owned()).and_then(|c| c.check("photos"));
        for good in ["client_id = 'b'\nclient_secret = 's'", "client_id = 'b'\nclient_secret_file = 'f'"] {
            assert_eq!(checked(good), Ok(()), "{good}");
        }
        for (bad, what) in [
            ("client_id = 'photos'\nclient_secret = 's'", "other than"),
            ("client_id = ''\nclient_secret = 's'", "other than"),
            ("client_id = 'b'", "client_secret_file"),
            ("client_id = 'b'\nclient_secret = 's'\nclient_secret_file = 'f'", "client_secret_file"),
            ("client_secret = 's'", "unread"),
            ("client_id = 'b'\nclient_secret = 's'\nredirect_uri = 'x'", "unread"),
        ] {
            assert!(checked(bad).unwrap_err().contains(what), "{bad}");
        }
    }
}
