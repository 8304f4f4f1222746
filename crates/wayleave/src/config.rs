//! Configuration (`operations.md`): a TOML file, environment variables over it, defaults under it.
//! What is unknown, of the wrong type or cannot work is said with its key and line, and ends with
//! exit status 2.

mod cors;
mod fault;
mod gateway;
mod get;
mod login_provider;
mod manager;
mod server;

pub use fault::Fault;
pub use gateway::{GatewayConfig, RouteConfig};
pub use get::GetConfig;
pub use login_provider::LoginProviderConfig;
pub use manager::ManagerConfig;
pub(crate) use server::is_loopback;
pub use server::{
    AccountConfig, AssessmentConfig, ClientConfig, LimitsConfig, MailConfig, OutboundConfig, ProfilesConfig, ServerConfig,
    StoreConfig, TlsConfig, TrustedIssuerConfig,
};

use crate::Exit;
use serde::{Deserialize, Serialize};
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
}

const DEFAULT_FILE: &str = "wayleave.toml";
const PREFIX: &str = "WAYLEAVE_";

impl Config {
    /// Reads `file`, or `wayleave.toml` if it is there, or nothing; then the environment.
    pub fn load(file: Option<&Path>, environment: impl Iterator<Item = (String, String)>) -> Result<Self, Exit> {
        let place = file.map_or_else(|| PathBuf::from(DEFAULT_FILE), Path::to_owned);
        let text = match std::fs::read_to_string(&place) {
            Ok(text) => text,
            Err(error) if file.is_none() && error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(Exit::usage(format!("{} cannot be read: {error}", place.display()))),
        };
        let base = place.parent().map(Path::to_owned).unwrap_or_default();
        Self::parse(&text, environment, base).map_err(|what| Exit::usage(format!("{}: {what}", place.display())))
    }

    /// Reads a text; for tests and the demo too.
    pub fn parse(text: &str, environment: impl Iterator<Item = (String, String)>, base: PathBuf) -> Result<Self, String> {
        let mut config: Self = toml::from_str(text).map_err(|error| error.to_string())?;
        let overrides: Vec<_> = environment.filter(|(name, _)| name.starts_with(PREFIX) && name.contains("__")).collect();
        if !overrides.is_empty() {
            let mut table: toml::Table = toml::from_str(text).map_err(|error| error.to_string())?;
            for (name, value) in overrides {
                put(&mut table, &name, &value)?;
            }
            config = table.try_into().map_err(|error| format!("an environment variable does not fit: {error}"))?;
        }
        config.base = base;
        config.check().map_err(|fault| fault.in_text(text))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        self.check_parties()?;
        self.gateway.as_ref().map_or(Ok(()), GatewayConfig::check)
    }

    fn check_parties(&self) -> Result<(), String> {
        self.server.check()?;
        let mut usernames = std::collections::BTreeSet::new();
        for account in &self.account {
            account.check()?;
            if !usernames.insert(types::spelling::normalize_username(&account.username)) {
                return Err(format!("[[account]] `{}`: there are two of this `username`", account.username));
            }
        }
        for (at, client) in self.client.iter().enumerate() {
            client.check()?;
            let before = self.client.iter().take(at);
            if let Some(other) = before.into_iter().find(|other| {
                other.client_id == client.client_id || (client.resource.is_some() && other.resource == client.resource)
            }) {
                return Err(format!(
                    "[[client]] `{}`: its client_id or resource is `{}`'s already: one client per resource",
                    client.client_id, other.client_id
                ));
            }
        }
        for issuer in &self.trusted_issuer {
            issuer.check()?;
        }
        for provider in &self.login_provider {
            provider.check()?;
        }
        for (at, own) in self.get.iter().enumerate() {
            own.check()?;
            let issuer = own.authorization_server.trim_end_matches('/');
            if self.get.iter().take(at).any(|before| before.authorization_server.trim_end_matches('/') == issuer) {
                return Err(format!("[[get]] `{issuer}`: there are two of this server"));
            }
        }
        self.mail.as_ref().map_or(Ok(()), MailConfig::check)?;
        self.manager.as_ref().map_or(Ok(()), ManagerConfig::check)
    }

    /// A path of the configuration, from the file's folder.
    pub fn path(&self, text: &str) -> PathBuf {
        self.base.join(text)
    }

    /// The text of a secret: in the file itself, or in a file that it names.
    pub fn secret(&self, direct: Option<&String>, file: Option<&String>) -> Result<Option<String>, Exit> {
        match (direct, file) {
            (Some(text), None) => Ok(Some(text.clone())),
            (None, Some(file)) => {
                let place = self.path(file);
                let text = std::fs::read_to_string(&place)
                    .map_err(|error| Exit::usage(format!("{} cannot be read: {error}", place.display())))?;
                Ok(Some(text.trim_end_matches(['\r', '\n']).to_owned()))
            }
            (None, None) => Ok(None),
            (Some(_), Some(file)) => {
                Err(Exit::usage(format!("a secret stands both in the configuration and in `{file}`: keep one")))
            }
        }
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
        if let Some(mail) = shown.mail.as_mut() {
            hide(&mut mail.password);
        }
        if let Some(gateway) = shown.gateway.as_mut() {
            hide(&mut gateway.client_secret);
            gateway.browser.iter_mut().for_each(|browser| hide(&mut browser.client_secret));
        }
        if let Some(manager) = shown.manager.as_mut() {
            hide(&mut manager.client_secret);
        }
        toml::to_string_pretty(&shown).map_err(Exit::failed)
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
mod tests {
    use super::*;

    fn parse(text: &str, environment: &[(&str, &str)]) -> Result<Config, String> {
        let environment = environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Config::parse(text, environment, PathBuf::new())
    }

    #[test]
    fn what_cannot_work_is_said_with_key_and_line() {
        for (text, said) in [
            ("[server]\nlistn = \"x\"", "listn"),
            ("[assessment]\nticket_lifetime = \"long\"", "line 2"),
            ("[server]\nissuer = \"http://as.example\"", "https"),
            (
                "[[trusted_issuer]]\nissuer = \"https://idp.example\"\njwks_uri = \"https://idp.example/k\"\nclaims = [\"email\"]",
                "email_domains",
            ),
            (
                "[[client]]\nclient_id = \"a\"\nresource = \"https://x\"\n[[client]]\nclient_id = \"b\"\nresource = \"https://x\"",
                "one client per resource",
            ),
            ("[store]\nurl = 3", "line 2"),
            ("[[get]]\nauthorization_server = \"http://127.0.0.1.nip.example\"\nclient_id = \"a\"", "loopback"),
            ("[[get]]\nauthorization_server = \"https://as.example\"", "client_id"),
        ] {
            let error = parse(text, &[]).unwrap_err();
            assert!(error.contains(said), "{text}: {error}");
        }
    }

    const GATEWAY: &str = "[gateway]\nlisten = \"127.0.0.1:0\"\nresource = \"http://127.0.0.1:1\"\nfolder = \".\"\n\
         authorization_servers = [\"http://127.0.0.1:2\"]\nclient_id = \"a\"\n";

    #[test]
    fn a_route_that_cannot_work_is_said_with_its_line() {
        let guarded = "resource = \"/a\"\nowner = \"alice\"\nscopes = { read = [\"view\"] }\n";
        let first = format!("[[gateway.route]]\npath = \"/a/{{rest..}}\"\n{guarded}");
        parse(&format!("{GATEWAY}{first}[[gateway.route]]\npath = \"/b\"\npublic = true\n"), &[]).unwrap();
        for (second, said) in [
            (format!("path = \"/a/b\"\n{guarded}"), "never reached"),
            (format!("path = \"/a/{{rest..}}\"\n{guarded}"), "never reached"),
            (format!("path = \"/b/*\"\n{guarded}"), "{rest..}"),
            (format!("path = \"/b/{{*rest}}\"\n{guarded}"), "{rest..}"),
            ("path = \"/b\"\nresource = \"/b\"\nowner = \"a\"\nscopes = { GETT = [\"view\"] }".into(), "GETT"),
            ("path = \"/b\"\nresource = \"/b\"\nscopes = { GET = [\"view\"] }".into(), "owner"),
            ("path = \"/b\"\n".into(), "public = true"),
            (format!("path = \"/b\"\npublic = true\n{guarded}"), "alone"),
            (format!("path = \"/b\"\n{guarded}identity = [\"name\"]\n"), "[\"email\"]"),
            ("path = \"/b\"\npublic = true\nidentity = [\"email\"]".into(), "alone"),
            ("path = \"/b\"\npublic = true\nmethods = [\"COPY\"]".into(), "COPY"),
            (format!("path = \"/b\"\nmethods = [\"GET\"]\n{guarded}"), "scopes"),
        ] {
            let error = parse(&format!("{GATEWAY}{first}\n [[ gateway.route ]] # the second\n{second}"), &[]).unwrap_err();
            assert!(error.contains(said) && error.starts_with("line 13: [[gateway.route]]"), "{second}: {error}");
        }
    }

    #[test]
    fn the_environment_overrides_the_file() {
        let config = parse(
            "[assessment]\nrpt_lifetime = 600",
            &[("WAYLEAVE_ASSESSMENT__RPT_LIFETIME", "60"), ("WAYLEAVE_SERVER__LISTEN", "127.0.0.1:1")],
        )
        .unwrap();
        assert_eq!(config.assessment.rpt_lifetime, 60);
        assert_eq!(config.server.listen, "127.0.0.1:1");
        assert!(parse("", &[("WAYLEAVE_SERVER__NONSENSE", "1")]).is_err());
    }
}
