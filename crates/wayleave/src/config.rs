//! Configuration (`operations.md`): a TOML file, environment variables over it, defaults under it.
//! What is unknown, of the wrong type or cannot work is said with its key and line, and ends with
//! exit status 2.

mod cors;
mod fault;
mod forward_auth;
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
}

const USUAL_DATA_DIR: &str = "wayleave-data";
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
        let config = Self::parse(&text, environment, base);
        let config = config.and_then(|config| config.refuse_left_behind().map(|()| config));
        config.map_err(|what| Exit::usage(format!("{}: {what}", place.display())))
    }

    /// A store that lies where earlier versions made it, whatever `data_dir` said, is not passed over: an empty one would be
    /// made in its place. Its key lies in `data_dir` then, and no store beside it.
    fn refuse_left_behind(&self) -> Result<(), String> {
        let folder = self.path(&self.server.data_dir);
        if folder == self.path(USUAL_DATA_DIR) || !folder.join("server.key").exists() {
            return Ok(());
        }
        let stores = [
            Some(&self.store),
            self.gateway.as_ref().and_then(|gateway| gateway.store.as_ref()),
            self.manager.as_ref().and_then(|manager| manager.store.as_ref()),
        ];
        for store in stores.into_iter().flatten() {
            let Some(place) = store.url.strip_prefix("sqlite:").map(|path| self.path(path)) else { continue };
            let Some(name) = place.file_name().filter(|_| place.parent() == Some(&folder)) else { continue };
            let usual = self.path(USUAL_DATA_DIR).join(name);
            if !place.exists() && usual.exists() {
                let (usual, place) = (usual.display(), place.display());
                return Err(format!(
                    "server.data_dir: a store lies in {usual}, where earlier versions made it: move it to {place}, with the files \
                     beside it whose names begin like its own"
                ));
            }
        }
        Ok(())
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
        config.settle(text).and_then(|()| config.check()).map_err(|fault| fault.in_text(text))?;
        Ok(config)
    }

    fn check(&self) -> Result<(), Fault> {
        self.check_parties()?;
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

    /// What is not given and follows from `server.data_dir`: every party's store lies there, beside the key that seals it.
    fn settle(&mut self, text: &str) -> Result<(), Fault> {
        let says = |table: &str| toml::from_str::<toml::Table>(text).is_ok_and(|all| all.contains_key(table));
        let serves_here = ["server", "assessment", "profiles", "client"].into_iter().any(says);
        let other = if self.gateway.is_some() { "gateway" } else { "manager" };
        if says("store") && !serves_here && (self.gateway.is_some() || self.manager.is_some()) {
            return Err(format!("store: [store] is the authorization server's, and would be ignored: say [{other}.store]").into());
        }
        let folder = self.server.data_dir.trim_end_matches('/');
        let usual = |file: &str| StoreConfig { url: format!("sqlite:{folder}/{file}") };
        if self.store.url.is_empty() {
            self.store = usual("server.db");
        }
        if let Some(gateway) = &mut self.gateway {
            gateway.store.get_or_insert_with(|| usual("gateway.db"));
        }
        if let Some(manager) = &mut self.manager {
            manager.store.get_or_insert_with(|| usual("manager.db"));
        }
        Ok(())
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
            ("# one\n[server]\nlisten = \"here\"", "line 3: server.listen"),
            ("[[account]]\nusername = \"alice\"\n[[account]]\nusername = \"alice\"", "line 3: [[account]] `alice`"),
            (
                "[[account]]\nusername = \"alice\"\nemail = \"a@foo.example\"\n[[account]]\nusername = \"b\"\nemail = \"a@FOO.example\"",
                "line 4: [[account]] `b`: its `email`",
            ),
            ("[[client]]\nclient_id = \"a\"\ngrant_types = [\"code\"]", "`code` is none of authorization_code"),
            ("[[client]]\nclient_id = \"a\"\ngrant_types = [\"authorization_code\"]", "redirect_uris"),
            ("[store]\nurl = \"memory:\"\n[manager]\nlisten = \"x\"\nurl = \"http://127.0.0.1:1\"", "line 1: store: [store] is"),
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
    fn every_store_lies_in_the_data_folder() {
        let gateway = format!("[server]\ndata_dir = \"data8\"\n{GATEWAY}");
        let config = parse(&gateway, &[]).unwrap();
        assert_eq!(config.store.url, "sqlite:data8/server.db");
        assert_eq!(config.gateway.unwrap().store_url(), "sqlite:data8/gateway.db");
        assert_eq!(parse("", &[]).unwrap().store.url, "sqlite:wayleave-data/server.db");
        let manager = "[manager]\nlisten = \"127.0.0.1:0\"\nurl = \"http://127.0.0.1:1\"\nstore = { url = \"memory:\" }";
        assert_eq!(parse(manager, &[]).unwrap().manager.unwrap().store_url(), "memory:");
    }

    #[test]
    fn a_store_of_an_earlier_version_is_not_passed_over() {
        let base = std::env::temp_dir().join(format!("wayleave-left-{}", std::process::id()));
        let load = || {
            let file = base.join("wayleave.toml");
            std::fs::write(&file, "[server]\ndata_dir = \"own\"").unwrap();
            Config::load(Some(&file), std::iter::empty())
        };
        for folder in ["own", "wayleave-data"] {
            std::fs::create_dir_all(base.join(folder)).unwrap();
        }
        std::fs::write(base.join("wayleave-data/server.db"), "").unwrap();
        assert!(load().is_ok(), "another server's");
        std::fs::write(base.join("own/server.key"), "").unwrap();
        let Err(Exit::Usage(what)) = load() else { panic!("passed over") };
        assert!(what.contains("own/server.db") && what.contains("wayleave-data/server.db"), "{what}");
        std::fs::rename(base.join("wayleave-data/server.db"), base.join("own/server.db")).unwrap();
        assert!(load().is_ok());
        std::fs::remove_dir_all(base).unwrap();
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
