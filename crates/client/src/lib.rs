//! The asking side of UMA, and the OAuth client behind it. Called by `wayleave get`, the demo's
//! viewer, `resource-server` (for its PATs) and the parties.
//!
//! A call to something protected goes like this: [`Client::call`] without a token;
//! [`Called::Challenged`] brings a ticket; [`Client::trade`] trades it; [`Traded::NeedInfo`] asks for
//! claims, pushed with the next trade or gathered by sending the person to [`Client::send_person`];
//! [`Traded::Submitted`] waits for the owner; [`Traded::Granted`] brings an [`Rpt`], and the call is
//! made again with it. Tickets and tokens are opaque here (Grant 1.3): nothing parses them.

pub mod api;
pub mod credential;
pub mod oauth;
mod refusal;
pub mod renewals;
pub mod uma;
pub mod webfinger;

use jose::{Clock, Randomness, SigningKey};
use outbound::Outbound;
pub use outbound::{OutboundError, Party};
use std::sync::Arc;
use types::metadata::{Metadata, ProtectedResourceMetadata};
use types::origin::is_plain_host;
use types::path::{self, appended_well_known};
use types::spelling::readable;

pub use uma::{Called, Challenge, PersonSending, PersonSent, Rpt, TicketRequest, Traded};

/// Why a step did not work. The text is for people.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    #[error(transparent)]
    Outbound(#[from] OutboundError),
    #[error("{0}")]
    Protocol(String),
    /// Nobody says which resource server an RPT is for; so whoever answered the call may have the ticket of another one.
    #[error("neither the server nor the resource server's metadata say what place the RPT is for: it is handed to nobody")]
    UnnamedResource,
    /// The server's own words.
    #[error("{error}: {description}")]
    Refused { error: String, description: String },
    /// It has too much to do, or is broken, and says neither yes nor no (RFC 6585 4; RFC 9110 15.6). When to come again, in
    /// seconds, where it says so.
    #[error("{what}")]
    NotNow { what: String, seconds: Option<u64> },
    /// It tells this client nothing about tokens, now and later (RFC 7662 2.3).
    #[error("{0}")]
    NotTold(String),
}

impl ClientError {
    /// What others wrote stands in it on one line, shortly and visibly: it goes into logs, pages and terminals.
    pub(crate) fn protocol(what: impl AsRef<str>) -> Self {
        Self::Protocol(readable(what.as_ref()))
    }

    /// Whether the server may have done what it was asked, and nobody knows: no answer came, or none that says yes or no.
    pub fn leaves_open(&self) -> bool {
        match self {
            // nobody was asked
            Self::Outbound(OutboundError::NotAllowed(_) | OutboundError::Busy(_)) => false,
            Self::Outbound(_) | Self::Protocol(_) | Self::NotNow { .. } => true,
            Self::UnnamedResource | Self::Refused { .. } | Self::NotTold(_) => false,
        }
    }

    /// The server's own words, likewise.
    pub(crate) fn refused(error: &str, description: &str) -> Self {
        Self::Refused { error: readable(error), description: readable(description) }
    }
}

/// How this client proves itself.
#[derive(Clone)]
pub struct Credentials {
    pub client_id: String,
    /// None: by its key, or a public client.
    pub secret: Option<String>,
    /// For `private_key_jwt`.
    pub key: Option<Arc<SigningKey>>,
}

impl Credentials {
    /// Of somebody whom no server knows yet.
    pub fn none() -> Self {
        Self::public(String::new())
    }

    pub fn public(client_id: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), secret: None, key: None }
    }

    pub fn secret(client_id: impl Into<String>, secret: impl Into<String>) -> Self {
        Self { client_id: client_id.into(), secret: Some(secret.into()), key: None }
    }

    pub fn key(client_id: impl Into<String>, key: Arc<SigningKey>) -> Self {
        Self { client_id: client_id.into(), secret: None, key: Some(key) }
    }
}

/// A client at any number of authorization servers.
#[derive(Clone)]
pub struct Client {
    pub outbound: Outbound,
    pub clock: Arc<dyn Clock>,
    pub randomness: Arc<dyn Randomness>,
    pub credentials: Credentials,
    /// Key for DPoP-bound tokens; None: bearer tokens.
    pub dpop_key: Option<Arc<SigningKey>>,
}

impl Client {
    /// The same for calls to this place, and to what it names, in its name: where the configuration lists exactly it, it may
    /// be anywhere.
    #[must_use]
    pub fn at(&self, url: &str) -> Self {
        Self { outbound: self.outbound.for_listed(url).in_name_of(url), ..self.clone() }
    }

    /// The same in somebody's name ([`Outbound::in_name_of`]).
    #[must_use]
    pub fn in_name_of(&self, whom: &str) -> Self {
        Self { outbound: self.outbound.in_name_of(whom), ..self.clone() }
    }

    /// The same for a part of what is done in that name.
    #[must_use]
    pub fn within(&self, part: &Party) -> Self {
        Self { outbound: self.outbound.within(part), ..self.clone() }
    }

    /// The metadata of an issuer, whose `issuer` must be the URL that was used (Grant 2).
    pub async fn discover(&self, issuer: &str) -> Result<Metadata, ClientError> {
        self.discover_at(issuer, path::UMA2_CONFIGURATION).await
    }

    /// The metadata of an OpenID provider, which need not know UMA (OpenID Connect Discovery 4).
    pub async fn discover_openid(&self, issuer: &str) -> Result<Metadata, ClientError> {
        self.discover_at(issuer, path::OPENID_CONFIGURATION).await
    }

    /// What a resource server says of itself (RFC 9728 3); it must speak of exactly this `resource`.
    pub async fn discover_resource(&self, resource: &str) -> Result<ProtectedResourceMetadata, ClientError> {
        let url = path::inserted_well_known(resource, path::OAUTH_PROTECTED_RESOURCE);
        let answer = self.outbound.send(outbound::Request::get(&url)).await?;
        if answer.status.is_server_error() {
            return Err(outbound::OutboundError::Unreachable(resource.to_owned()).into());
        }
        if answer.status != 200 {
            let status = answer.status.as_u16();
            let what = format!("`{resource}` says nothing of itself (HTTP {status})");
            return Err(refusal::not_now(&answer, &what).unwrap_or_else(|| ClientError::protocol(what)));
        }
        let metadata: ProtectedResourceMetadata = types::answer::parse(&answer.body, &["resource"])
            .map_err(|error| ClientError::protocol(format!("what `{resource}` says of itself does not read: {error}")))?;
        if metadata.resource != resource {
            let other = &metadata.resource;
            return Err(ClientError::protocol(format!("`{resource}` says that it is `{other}`: do not trust it")));
        }
        check_places(resource, [Some(resource), metadata.resource_management_endpoint.as_deref()])?;
        Ok(metadata)
    }

    async fn discover_at(&self, issuer: &str, well_known: &str) -> Result<Metadata, ClientError> {
        let url = appended_well_known(issuer, well_known);
        let answer = self.outbound.send(outbound::Request::get(&url)).await?;
        if answer.status.is_server_error() {
            return Err(outbound::OutboundError::Unreachable(issuer.to_owned()).into());
        }
        if answer.status != 200 {
            let what = format!("`{issuer}` has no metadata (HTTP {})", answer.status.as_u16());
            return Err(refusal::not_now(&answer, &what).unwrap_or_else(|| ClientError::protocol(what)));
        }
        let metadata: Metadata = types::answer::parse(&answer.body, &types::metadata::NARROWING)
            .map_err(|error| ClientError::protocol(format!("the metadata of `{issuer}` do not read: {error}")))?;
        if metadata.issuer != issuer {
            return Err(ClientError::protocol(format!(
                "the metadata at `{issuer}` are of `{}`: do not trust it",
                metadata.issuer
            )));
        }
        let places = [
            Some(issuer),
            Some(metadata.authorization_endpoint.as_str()),
            Some(metadata.token_endpoint.as_str()),
            metadata.claims_interaction_endpoint.as_deref(),
            metadata.end_session_endpoint.as_deref(),
        ];
        check_places(issuer, places)?;
        Ok(metadata)
    }

    pub(crate) fn random_text(&self) -> String {
        jose::ambient::random_text::<32>(&*self.randomness)
    }
}

/// Whether somebody names places on hosts that are none: people are sent there, and their origins stand in policies of pages.
fn check_places<'a>(whose: &str, places: impl IntoIterator<Item = Option<&'a str>>) -> Result<(), ClientError> {
    let is_odd = |place: &&str| url::Url::parse(place).is_ok_and(|url| !url.host_str().is_none_or(is_plain_host));
    match places.into_iter().flatten().find(is_odd) {
        Some(place) => Err(ClientError::protocol(format!("`{whose}` names `{place}`, whose host is none: do not trust it"))),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_metadata_name_hosts_that_are_hosts() {
        for bad in ["https://x.example;sandbox/claims", "https://*/", "https://x,y/claims", "https://'none'/", "https://a\"b/"] {
            assert!(check_places("https://as.example", [None, Some("https://as.example/"), Some(bad)]).is_err(), "{bad}");
        }
        for good in ["https://b\u{fc}cher.example/claims", "http://[::1]:8080/x", "http://127.0.0.1:9/", "", "mailto:a@b.example"]
        {
            assert!(check_places("https://as.example", [Some(good)]).is_ok(), "{good}");
        }
    }
}
