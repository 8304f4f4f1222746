//! `[[login_provider]]`: other OpenID providers whose people may log in here.

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
        if !url::Url::parse(issuer).is_ok_and(|url| url.query().is_none() && url.fragment().is_none()) {
            return Err(format!("`{issuer}`: issuer must be a URL"));
        }
        for (name, value) in [("name", &self.name), ("client_id", &self.client_id)] {
            if value.is_empty() {
                return Err(format!("`{issuer}`: {name} must not be empty"));
            }
        }
        let is_domain = |domain: &String| domain == "*" || types::email::normalize_domain(domain).is_some();
        match self.email_domains.iter().find(|domain| !is_domain(domain)) {
            Some(other) => Err(format!("`{issuer}`: email_domains: `{other}` is no domain")),
            None => Ok(()),
        }
    }
}
