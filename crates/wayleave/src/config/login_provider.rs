//! `[[login_provider]]`: other OpenID providers whose people may log in here.

use super::places::check_url;
use serde::{Deserialize, Serialize};

/// `[[login_provider]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LoginProviderConfig {
    pub issuer: String,
    /// What pages call it.
    pub name: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub client_secret_file: Option<String>,
    /// Whether somebody who comes from there for the first time gets an account; else she links hers first.
    pub make_accounts: bool,
    /// Domains whose addresses count as verified when it says so; `["*"]`: all.
    pub email_domains: Vec<String>,
}

impl LoginProviderConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let issuer = &self.issuer;
        let url = check_url("issuer", issuer)?;
        if url.query().is_some() || url.fragment().is_some() {
            return Err("issuer: it must be a URL without query and fragment".into());
        }
        for (name, value) in [("name", &self.name), ("client_id", &self.client_id)] {
            if value.is_empty() {
                return Err(format!("`{issuer}`: {name} must not be empty"));
            }
        }
        let is_domain = |domain: &String| domain == "*" || types::email::normalize_domain(domain).is_some();
        match self.email_domains.iter().all(is_domain) {
            true => Ok(()),
            false => Err(format!("`{issuer}`: email_domains: each must be a domain, like bar.example, or `*`")),
        }
    }
}
