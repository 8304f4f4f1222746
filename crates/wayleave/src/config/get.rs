//! `[[get]]`: what somebody is at an authorization server, for `wayleave --config FILE get`.

use super::places::has_user;
use super::server::is_loopback;
use serde::{Deserialize, Serialize};
use url::Url;

/// `[[get]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct GetConfig {
    /// Issuer of the server that the rest is for; it goes to no other.
    pub authorization_server: String,
    pub client_id: String,
    pub client_secret: Option<String>,
    pub client_secret_file: Option<String>,
    /// File with an ID token to show who asks.
    pub claim_token_file: Option<String>,
}

impl GetConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let issuer = &self.authorization_server;
        let is_place = |url: &Url| url.scheme() == "https" || (url.scheme() == "http" && is_loopback(url));
        let fits = |url: Url| is_place(&url) && !has_user(&url) && url.query().is_none() && url.fragment().is_none();
        if !Url::parse(issuer).is_ok_and(fits) {
            return Err("authorization_server: it must be an issuer, https unless its host is loopback".into());
        }
        match self.client_id.is_empty() {
            true => Err(format!("`{issuer}`: client_id must not be empty")),
            false => Ok(()),
        }
    }
}
