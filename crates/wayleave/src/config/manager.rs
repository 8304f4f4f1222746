//! `[manager]`: the relationship manager.

use super::StoreConfig;
use super::places::{check_form, check_listen, check_url};
use serde::{Deserialize, Serialize};

/// `[manager]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct ManagerConfig {
    pub listen: String,
    /// Its public URL.
    pub url: String,
    #[serde(default = "desk")]
    pub name: String,
    /// `built-in` (with `[[account]]`), or the issuer where its people log in.
    #[serde(default = "built_in")]
    pub login: String,
    /// The client that it is at that issuer; left out, it registers by itself.
    #[serde(default)]
    pub client_id: Option<String>,
    #[serde(default)]
    pub client_secret: Option<String>,
    #[serde(default)]
    pub client_secret_file: Option<String>,
    /// From these, and these only, forwarding headers are believed.
    #[serde(default)]
    pub trusted_proxies: Vec<std::net::IpAddr>,
    #[serde(default)]
    pub store: Option<StoreConfig>,
}

fn desk() -> String {
    "Wayleave desk".into()
}

/// People log in here.
const BUILT_IN: &str = "built-in";

fn built_in() -> String {
    BUILT_IN.into()
}

impl ManagerConfig {
    /// Where it keeps what it knows.
    pub fn store(&self) -> StoreConfig {
        self.store.clone().unwrap_or_default()
    }

    pub fn store_url(&self) -> &str {
        self.store.as_ref().map_or("", |store| store.url.as_str())
    }

    /// Whether it logs people in by itself.
    pub fn is_built_in(&self) -> bool {
        self.login == BUILT_IN
    }

    pub(super) fn check(&self) -> Result<(), String> {
        check_listen("manager.listen", &self.listen)?;
        if !self.is_built_in() {
            check_url("manager.login", &self.login)?;
        }
        check_url("manager.url", &self.url)?;
        for (name, url) in [("url", &self.url), ("login", &self.login)] {
            let plain = url::Url::parse(url).is_ok_and(|url| url.query().is_none() && url.fragment().is_none());
            if !(plain && !url.ends_with('/') || name == "login" && self.is_built_in()) {
                return Err(format!("manager.{name}: it must be a URL without query, fragment and a slash at the end"));
            }
        }
        check_form("manager.url", &self.url)?;
        if self.client_id.is_none() && (self.client_secret.is_some() || self.client_secret_file.is_some()) {
            return Err("manager.client_id: a secret without it is nobody's".into());
        }
        Ok(())
    }
}
