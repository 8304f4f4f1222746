//! Configuration (`operations.md`): a TOML file, environment variables over it, defaults under it.
//! What is unknown, of the wrong type or cannot work is said with its key and line, and ends with
//! exit status 2.

mod apart;
mod clashes;
mod cors;
mod fault;
mod forward_auth;
mod gateway;
mod get;
mod located;
mod login_provider;
mod manager;
mod places;
mod route;
mod server;
mod stores;
mod unread;

pub use fault::Fault;
pub use gateway::GatewayConfig;
pub use get::GetConfig;
pub use login_provider::LoginProviderConfig;
pub use manager::ManagerConfig;
pub use route::RouteConfig;
pub(crate) use server::is_loopback;
pub use server::{
    AccountConfig, AssessmentConfig, ClientConfig, LimitsConfig, MailConfig, NOT_BUILT, OutboundConfig, ProfilesConfig,
    ServerConfig, StoreConfig, TlsConfig, TrustedIssuerConfig,
};

use crate::Exit;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

/// The whole file.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct Config {
    pub server: ServerConfig,
    pub store: StoreConfig,
    pub assessment: AssessmentConfig,
    pub profiles: ProfilesConfig,
    pub account: Vec<AccountConfig>,
    pub client: Vec<ClientConfig>,
    pub trusted_issuer: Vec<TrustedIssuerConfig>,
    pub login_provider: Vec<LoginProviderConfig>,
    pub outbound: OutboundConfig,
    pub mail: Option<MailConfig>,
    pub limits: LimitsConfig,
    pub gateway: Option<GatewayConfig>,
    pub manager: Option<ManagerConfig>,
    pub get: Vec<GetConfig>,
    /// Folder that relative paths start from: that of the file.
    #[serde(skip)]
    pub base: PathBuf,
    #[serde(skip)]
    source: located::Source,
}

const USUAL_DATA_DIR: &str = "wayleave-data";
const DEFAULT_FILE: &str = "wayleave.toml";
const PREFIX: &str = "WAYLEAVE_";

impl Config {
    /// Reads `file`, or `wayleave.toml` if it is there, or nothing; then the environment.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Exit> {
        let place = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
        let (text, is_there) = match std::fs::read_to_string(&place) {
            Ok(text) => (text, true),
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => (String::new(), false),
            Err(error) => return Err(Exit::usage(format!("{} cannot be read: {error}", place.display()))),
        };
        let base = place.parent().map(Path::to_owned).unwrap_or_default();
        let config = Self::parse(&text, environment, base);
        let mut config = config.map_err(|what| Exit::usage(format!("{}: {what}", place.display())))?;
        config.source.place = is_there.then_some(place);
        config.refuse_left_behind().map_err(|what| config.locate(Exit::Usage(what)))?;
        Ok(config)
    }

    /// Reads a text; for tests and the demo too.
    pub fn parse(text: &str, environment: impl Iterator<Item = (String, String)>, base: PathBuf) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| unread::describe_file(text, error))?;
        let overrides: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX) && name.contains("__")).collect();
        let mut given: toml::Table = toml::from_str(text).map_err(|error| unread::describe_file(text, error))?;
        if !overrides.is_empty() {
            for (name, value) in overrides {
                put(&mut given, &name, &value)?;
            }
            let unfit = |error| format!("an environment variable does not fit: {}", unread::describe_value(error));
            config = given.clone().try_into().map_err(unfit)?;
        }
        config.base = base;
        config.source = located::Source { place: None, text: text.to_owned(), given };
        config.settle().and_then(|()| config.check()).map_err(|fault| fault.in_text(text))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        self.check_parties()?;
        self.check_listeners()?;
        self.gateway.as_ref().map_or(Ok(()), GatewayConfig::check)
    }

    fn check_parties(&self) -> Result<(), Fault> {
        self.server.check()?;
        self.check_accounts()?;
        self.check_clients()?;
        for (at, issuer) in self.trusted_issuer.iter().enumerate() {
            issuer.check().map_err(|what| Fault::of_nth("trusted_issuer", at, what))?;
        }
        for (at, provider) in self.login_provider.iter().enumerate() {
            provider.check().map_err(|what| Fault::of_nth("login_provider", at, what))?;
        }
        for (at, own) in self.get.iter().enumerate() {
            let wrong = |what| Fault::of_nth("get", at, what);
            own.check().map_err(wrong)?;
            let issuer = own.authorization_server.trim_end_matches('/');
            if self.get.iter().take(at).any(|before| before.authorization_server.trim_end_matches('/') == issuer) {
                return Err(wrong(format!("`{issuer}`: there are two of this server")));
            }
        }
        self.mail.as_ref().map_or(Ok(()), MailConfig::check)?;
        Ok(self.manager.as_ref().map_or(Ok(()), ManagerConfig::check)?)
    }

    /// Each by itself, and no two of one name or address: the second would take the first one's place.
    fn check_accounts(&self) -> Result<(), Fault> {
        let (mut usernames, mut addresses) = (BTreeSet::new(), BTreeSet::new());
        for (at, account) in self.account.iter().enumerate() {
            let wrong = |what| Fault::of_nth("account", at, what);
            account.check().map_err(wrong)?;
            let name = &account.username;
            if !usernames.insert(types::spelling::normalize_username(name)) {
                return Err(wrong(format!("`{name}`: there are two of this `username`")));
            }
            let address = account.email.as_ref().and_then(|email| types::email::normalize(email));
            if address.is_some_and(|address| !addresses.insert(address.to_string())) {
                return Err(wrong(format!("`{name}`: its `email` is another account's already: each has one of its own")));
            }
            // whoever logs in writes either, and the name would win
            let others = self.account.iter().filter(|other| !std::ptr::eq(*other, account));
            let is_its = |other: &AccountConfig| other.email.as_ref().is_some_and(|email| types::email::is_same(email, name));
            if let Some(other) = { others }.find(|other| is_its(other)) {
                let other = &other.username;
                return Err(wrong(format!("`{name}`: its `username` is the `email` of `{other}`, who could not log in by it")));
            }
        }
        Ok(())
    }

    fn check_clients(&self) -> Result<(), Fault> {
        for (at, client) in self.client.iter().enumerate() {
            let wrong = |what| Fault::of_nth("client", at, what);
            client.check().map_err(wrong)?;
            let mut before = self.client.iter().take(at);
            let other = before.find(|other| {
                other.client_id == client.client_id || (client.resource.is_some() && other.resource == client.resource)
            });
            if let Some(other) = other {
                let (id, other) = (&client.client_id, &other.client_id);
                return Err(wrong(format!("`{id}`: its client_id or resource is `{other}`'s already: one client per resource")));
            }
        }
        Ok(())
    }

    /// A path of the configuration, from the file's folder.
    pub fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// The effective configuration as TOML, secrets hidden.
    pub fn show(&self) -> Result<String, Exit> {
        let mut shown = self.clone();
        let hide = |secret: &mut Option<String>| {
            if let Some(text) = secret.as_mut() {
                *text = "(hidden)".to_owned();
            }
        };
        shown.account.iter_mut().for_each(|account| {
            hide(&mut account.password);
            hide(&mut account.password_hash);
        });
        shown.client.iter_mut().for_each(|client| hide(&mut client.client_secret));
        shown.login_provider.iter_mut().for_each(|provider| hide(&mut provider.client_secret));
        shown.get.iter_mut().for_each(|own| hide(&mut own.client_secret));
        shown.outbound.proxy.iter_mut().for_each(hide_user_info);
        if let Some(mail) = shown.mail.as_mut() {
            hide(&mut mail.password);
            hide_user_info(&mut mail.submission);
        }
        if let Some(gateway) = shown.gateway.as_mut() {
            hide(&mut gateway.client_secret);
            gateway.upstream.iter_mut().for_each(hide_user_info);
            gateway.browser.iter_mut().for_each(|browser| hide(&mut browser.client_secret));
        }
        if let Some(manager) = shown.manager.as_mut() {
            hide(&mut manager.client_secret);
        }
        toml::to_string_pretty(&shown).map_err(Exit::failed)
    }
}

/// What stands before the host of a URL may hold a password.
fn hide_user_info(url: &mut String) {
    let shown = url.split_once("://").and_then(|(scheme, rest)| {
        let (_, host) = rest.split_once('@')?;
        Some(format!("{scheme}://(hidden)@{host}"))
    });
    if let Some(shown) = shown {
        *url = shown;
    }
}

/// `WAYLEAVE_SERVER__LISTEN=...` sets `server.listen`.
fn put(table: &mut toml::Table, name: &str, value: &str) -> Result<(), String> {
    let path: Vec<String> = name.trim_start_matches(PREFIX).split("__").map(str::to_lowercase).collect();
    let Some((last, sections)) = path.split_last() else { return Ok(()) };
    let mut here = table;
    for section in sections {
        let entry = here.entry(section.clone()).or_insert_with(|| toml::Value::Table(toml::Table::new()));
        here = entry.as_table_mut().ok_or_else(|| format!("{name}: `{section}` is no section that a variable can set"))?;
    }
    // numbers, booleans and arrays as TOML reads them; everything else is text
    let parsed = format!("v = {value}").parse::<toml::Table>().ok().and_then(|mut t| t.remove("v"));
    let value = parsed.filter(|value| !value.is_str()).unwrap_or_else(|| toml::Value::String(value.to_owned()));
    here.insert(last.clone(), value);
    Ok(())
}

#[cfg(test)]
mod tests;
