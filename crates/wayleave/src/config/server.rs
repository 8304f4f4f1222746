//! Sections of the authorization server.

use super::places::{check_form, check_url, has_user};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::net::SocketAddr;
use url::{Host, Url};

/// `[server]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ServerConfig {
    pub listen: String,
    pub issuer: String,
    pub admin_listen: Option<String>,
    /// Whoever has what it holds may administer over `admin_listen`.
    pub admin_token_file: Option<String>,
    pub data_dir: String,
    pub key_file: Option<String>,
    pub trusted_proxies: Vec<std::net::IpAddr>,
    /// What pages call this place.
    pub name: String,
    pub tls: Option<TlsConfig>,
}

/// `[server.tls]`: TLS without a proxy.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct TlsConfig {
    /// Certificate chain, PEM.
    pub cert: String,
    /// Private key, PEM.
    pub key: String,
    /// Certificate authorities, PEM: whoever connects must show a certificate of theirs.
    pub client_ca: Option<String>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            listen: "127.0.0.1:8080".into(),
            issuer: "http://127.0.0.1:8080".into(),
            admin_listen: None,
            admin_token_file: None,
            data_dir: super::USUAL_DATA_DIR.into(),
            key_file: None,
            trusted_proxies: Vec::new(),
            name: "Wayleave".into(),
            tls: None,
        }
    }
}

/// Whether the URL's host is this machine itself.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Ipv4(ip)) => ip.is_loopback(),
        Some(Host::Ipv6(ip)) => ip.is_loopback(),
        Some(Host::Domain(name)) => name == "localhost",
        None => false,
    }
}

impl ServerConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let url = check_url("server.issuer", &self.issuer)?;
        if url.query().is_some() || url.fragment().is_some() || self.issuer.ends_with('/') {
            return Err("server.issuer: it must have no query, no fragment and no slash at the end".into());
        }
        if url.scheme() != "https" && !(url.scheme() == "http" && is_loopback(&url)) {
            return Err("server.issuer: it must be https, unless its host is loopback".into());
        }
        check_form("server.issuer", &self.issuer)?;
        for (key, address) in [("listen", Some(&self.listen)), ("admin_listen", self.admin_listen.as_ref())] {
            if address.is_some_and(|address| address.parse::<SocketAddr>().is_err()) {
                return Err(format!("server.{key}: it must be an address and a port, like 127.0.0.1:8080"));
            }
        }
        Ok(())
    }
}

/// `[store]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct StoreConfig {
    /// Left out, it is a file in `server.data_dir`.
    #[serde(default)]
    pub url: String,
    /// A file with the password of a database, which then does not stand in its address.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_file: Option<String>,
}

/// `[assessment]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct AssessmentConfig {
    pub partial_grants: bool,
    pub ticket_lifetime: i64,
    pub rpt_lifetime: i64,
    pub pct_lifetime: i64,
    pub poll_interval: i64,
    pub no_policy: rules::assessment::NoPolicy,
    pub mailbox_proof_lifetime: i64,
    pub request_lifetime: i64,
    pub claim_token_max_age: i64,
    pub revoke_on_ticket_replay: bool,
    pub access_token_lifetime: i64,
    pub refresh_token_lifetime: i64,
}

impl Default for AssessmentConfig {
    fn default() -> Self {
        Self {
            partial_grants: true,
            ticket_lifetime: 300,
            rpt_lifetime: 600,
            pct_lifetime: 2_592_000,
            poll_interval: 5,
            no_policy: rules::assessment::NoPolicy::Ask,
            mailbox_proof_lifetime: 1800,
            request_lifetime: 604_800,
            claim_token_max_age: 3600,
            revoke_on_ticket_replay: false,
            access_token_lifetime: 3600,
            refresh_token_lifetime: 7_776_000,
        }
    }
}

/// What is taken since it will be there one day, and does nothing yet.
pub const NOT_BUILT: [&str; 2] = ["assessment.mailbox_proof_lifetime", "profiles.pensions"];

/// `[profiles]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProfilesConfig {
    pub extensions: bool,
    pub pensions: bool,
}

impl Default for ProfilesConfig {
    fn default() -> Self {
        Self { extensions: true, pensions: false }
    }
}

/// The longest user name that can log in.
const MAX_USERNAME_BYTES: usize = 256;

/// `[[account]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct AccountConfig {
    pub username: String,
    pub email: Option<String>,
    pub name: Option<String>,
    pub password: Option<String>,
    pub password_hash: Option<String>,
    pub password_file: Option<String>,
    /// Further claims that the operator vouches for: `birthdate`, `address`, ...
    #[serde(default)]
    pub claims: serde_json::Map<String, serde_json::Value>,
}

impl AccountConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        if self.username.is_empty() {
            return Err("`username` must not be empty".into());
        }
        if self.username.len() > MAX_USERNAME_BYTES {
            return Err(format!("`{}`: `username` is longer than 256 bytes", self.username));
        }
        if self.password.as_ref().is_some_and(|password| password.len() > identity::password::MAX_PASSWORD_BYTES) {
            return Err(format!("`{}`: `password` is longer than 1024 bytes", self.username));
        }
        if self.email.as_ref().is_some_and(|email| types::email::normalize(email).is_none()) {
            return Err(format!("`{}`: its `email` is no e-mail address", self.username));
        }
        if self.password_hash.as_ref().is_some_and(|hash| !identity::password::is_hash(hash)) {
            return Err(format!("`{}`: `password_hash` must be a PHC string, like $argon2id$v=19$...", self.username));
        }
        let given = [&self.password, &self.password_hash, &self.password_file].into_iter().flatten().count();
        if given > 1 {
            return Err(format!("`{}`: give one of password, password_hash and password_file", self.username));
        }
        Ok(())
    }
}

/// `[[client]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct ClientConfig {
    pub client_id: String,
    pub client_secret: Option<String>,
    pub client_secret_file: Option<String>,
    pub jwks: Option<serde_json::Value>,
    pub jwks_uri: Option<String>,
    pub jwks_file: Option<String>,
    pub resource: Option<String>,
    pub access_token_format: types::client::AccessTokenFormat,
    pub name: Option<String>,
    pub grant_types: Vec<String>,
    pub scope: String,
    pub redirect_uris: Vec<String>,
    pub claims_redirect_uris: Vec<String>,
    pub post_logout_redirect_uris: Vec<String>,
    pub acts_for: Option<String>,
    pub may_push_claims: bool,
    pub dpop_bound_access_tokens: bool,
    pub id_token_signed_response_alg: Option<String>,
}

/// What a client can ask tokens by.
const GRANT_TYPES: [&str; 5] =
    ["authorization_code", "client_credentials", "refresh_token", types::token::UMA_TICKET, types::discovery::JWT_BEARER];

impl ClientConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let id = &self.client_id;
        if id.is_empty() {
            return Err("`client_id` must not be empty".into());
        }
        if let Err(error) = types::ScopeSet::parse(&self.scope) {
            return Err(format!("`{id}`: scope: {error}"));
        }
        let alg = self.id_token_signed_response_alg.as_deref();
        if alg.is_some_and(|alg| !identity::id_token::ALGORITHMS.contains(&alg)) {
            let known = identity::id_token::ALGORITHMS.join(", ");
            return Err(format!("`{id}`: id_token_signed_response_alg: it is none of {known}"));
        }
        let keys = [self.jwks.is_some(), self.jwks_uri.is_some(), self.jwks_file.is_some()];
        if keys.into_iter().filter(|given| *given).count() > 1 {
            return Err(format!("`{id}`: give one of jwks, jwks_uri and jwks_file"));
        }
        if self.grant_types.iter().any(|grant| !GRANT_TYPES.contains(&grant.as_str())) {
            return Err(format!("`{id}`: grant_types: it names what is none of {}", GRANT_TYPES.join(", ")));
        }
        if let Some(uri) = &self.jwks_uri {
            check_url("jwks_uri", uri).map_err(|what| format!("`{id}`: {what}"))?;
        }
        if self.grant_types.iter().any(|grant| grant == "authorization_code") && self.redirect_uris.is_empty() {
            return Err(format!("`{id}`: redirect_uris: with authorization_code it must say where people are sent back to"));
        }
        let own = [self.resource.clone()].into_iter().flatten().collect();
        for (key, uris) in [
            ("redirect_uris", &self.redirect_uris),
            ("claims_redirect_uris", &self.claims_redirect_uris),
            ("post_logout_redirect_uris", &self.post_logout_redirect_uris),
            ("resource", &own),
        ] {
            let fits = |url: Url| url.fragment().is_none() && !url.cannot_be_a_base() && !has_user(&url);
            if !uris.iter().all(|uri| Url::parse(uri).is_ok_and(fits)) {
                return Err(format!("`{id}`: {key}: what stands there must be an absolute URI without fragment and user name"));
            }
        }
        Ok(())
    }
}

/// `[[trusted_issuer]]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct TrustedIssuerConfig {
    pub issuer: String,
    pub jwks_file: Option<String>,
    pub jwks_uri: Option<String>,
    pub claims: Vec<String>,
    pub email_domains: Vec<String>,
    /// Whether its software statements count at registration (RFC 7591 2.3).
    pub software_statements: bool,
}

impl TrustedIssuerConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let issuer = &self.issuer;
        if issuer.is_empty() {
            return Err("`issuer` must not be empty".into());
        }
        if Url::parse(issuer).is_ok_and(|url| has_user(&url)) {
            return Err("`issuer` is named without a user name and a password".into());
        }
        if self.jwks_file.is_some() == self.jwks_uri.is_some() {
            return Err(format!("`{issuer}`: give jwks_file or jwks_uri"));
        }
        if let Some(uri) = &self.jwks_uri {
            check_url("jwks_uri", uri).map_err(|what| format!("`{issuer}`: {what}"))?;
        }
        if self.claims.iter().any(|claim| claim == "email") && self.email_domains.is_empty() {
            return Err(format!("`{issuer}`: claims has email, so email_domains must say for which domains ([\"*\"]: all)"));
        }
        Ok(())
    }
}

/// `[outbound]`
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct OutboundConfig {
    pub allow_private_networks: bool,
    pub allow_http: bool,
    pub hosts: HashMap<String, SocketAddr>,
    pub ca_file: Option<String>,
    /// Own name server, as address and port.
    pub dns: Option<SocketAddr>,
    /// A proxy for every call; what the environment names is not used.
    pub proxy: Option<String>,
}

/// `[mail]`: for codes and digests; absent, they are written to the folder `outbox/`.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct MailConfig {
    pub submission: String,
    pub from: String,
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub password: Option<String>,
    #[serde(default)]
    pub password_file: Option<String>,
}

impl MailConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let url = Url::parse(&self.submission).ok().filter(|url| matches!(url.scheme(), "smtp" | "smtps") && url.has_host());
        if url.is_none() {
            // what stands there may hold a password
            return Err("mail.submission: it must be smtp://HOST:PORT or smtps://HOST:PORT".into());
        }
        if !self.from.contains('@') {
            return Err("mail.from: it must be an e-mail address".into());
        }
        if self.username.is_some() != (self.password.is_some() || self.password_file.is_some()) {
            return Err("mail: give username and password (or password_file) together".into());
        }
        Ok(())
    }
}

/// `[limits]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitsConfig {
    pub requests_per_minute_per_client: u32,
    pub login_attempts_per_minute: u32,
}

impl Default for LimitsConfig {
    fn default() -> Self {
        Self { requests_per_minute_per_client: 6000, login_attempts_per_minute: 10 }
    }
}
