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
pub mod uma;
pub mod webfinger;

use jose::{Clock, Randomness, SigningKey};
use outbound::Outbound;
pub use outbound::{OutboundError, Party};
use std::sync::Arc;
use types::metadata::{Metadata, ProtectedResourceMetadata};
use types::path::{self, appended_well_known};
use types::spelling::readable;

pub use uma::{Called, Challenge, PersonSent, Rpt, TicketRequest, Traded};

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
}

impl ClientError {
    /// What others wrote stands in it on one line, shortly and visibly: it goes into logs, pages and terminals.
    pub(crate) fn protocol(what: impl AsRef<str>) -> Self {
        Self::Protocol(readable(what.as_ref()))
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
            return Err(ClientError::protocol(format!("`{resource}` says nothing of itself (HTTP {status})")));
        }
        let metadata: ProtectedResourceMetadata = types::answer::parse(&answer.body, &["resource"])
            .map_err(|error| ClientError::protocol(format!("what `{resource}` says of itself does not read: {error}")))?;
        if metadata.resource != resource {
            let other = &metadata.resource;
            return Err(ClientError::protocol(format!("`{resource}` says that it is `{other}`: do not trust it")));
        }
        Ok(metadata)
    }

    async fn discover_at(&self, issuer: &str, well_known: &str) -> Result<Metadata, ClientError> {
        let url = appended_well_known(issuer, well_known);
        let answer = self.outbound.send(outbound::Request::get(&url)).await?;
        if answer.status.is_server_error() {
            return Err(outbound::OutboundError::Unreachable(issuer.to_owned()).into());
        }
        if answer.status != 200 {
            return Err(ClientError::protocol(format!("`{issuer}` has no metadata (HTTP {})", answer.status.as_u16())));
        }
        let metadata: Metadata = types::answer::parse(&answer.body, &types::metadata::NARROWING)
            .map_err(|error| ClientError::protocol(format!("the metadata of `{issuer}` do not read: {error}")))?;
        if metadata.issuer != issuer {
            return Err(ClientError::protocol(format!(
                "the metadata at `{issuer}` are of `{}`: do not trust it",
                metadata.issuer
            )));
        }
        Ok(metadata)
    }

    pub(crate) fn random_text(&self) -> String {
        jose::ambient::random_text::<32>(&*self.randomness)
    }
}
