//! Being found without a log-in (protocol.md 2.2): an authorization server of the operator's list says something of an
//! owner of its own; whoever fits in this server's records ([`crate::matching`]) is linked with it. What fits nobody is
//! forgotten at once, and nothing of it is ever logged.

use super::store::{Account, LinkState};
use super::{Gateway, link};
use crate::challenge::plain;
use crate::matching::Described;
use crate::protection::ProtectionError;
use axum::body::Body;
use axum::response::Response;
use http::StatusCode;
use http::request::Parts;
use jose::{KeySet, UnverifiedJws};
use std::sync::{Arc, PoisonError};
use std::time::Duration;
use types::discovery::{DISCOVERY_TYPE, DiscoveryToken};

/// Longest token that is read.
const MAX_TOKEN: usize = 32 * 1024;
/// Seconds that a token may live, with room for a clock that is wrong.
const LONGEST: i64 = 60;
const SKEW: i64 = 60;
/// How long the keys of an authorization server count without another look.
const KEYS_KEPT: Duration = Duration::from_secs(10);
/// Tokens that are being looked into at one time.
const MOST_AT_ONCE: usize = 64;

/// Whether the operator has records to look into.
pub(super) fn is_offered(gateway: &Gateway) -> bool {
    gateway.matching.is_some()
}

/// `POST {resource_discovery_endpoint}`: 202 at once; looking takes its own time.
pub(super) async fn discover(gateway: &Arc<Gateway>, parts: &Parts, body: Body) -> Response {
    let bad = |what: &'static str| plain(StatusCode::BAD_REQUEST, what);
    if gateway.matching.is_none() {
        return plain(StatusCode::NOT_FOUND, "Nothing is here.");
    }
    if parts.method != http::Method::POST {
        return plain(StatusCode::METHOD_NOT_ALLOWED, "Post a discovery token.");
    }
    let Ok(bytes) = axum::body::to_bytes(body, MAX_TOKEN).await else {
        return plain(StatusCode::PAYLOAD_TOO_LARGE, "This is too long for a discovery token.");
    };
    let Ok(text) = std::str::from_utf8(&bytes) else { return bad("A discovery token is a signed JWT.") };
    const UNFIT: &str =
        "This discovery token is not good here: it must be of a listed authorization server, for this resource server, and new.";
    let token = match gateway.check_discovery(text.trim()).await {
        Ok(Some(token)) => token,
        Ok(None) => return bad(UNFIT),
        Err(error) => {
            tracing::warn!(%error, "a discovery token cannot be checked");
            return plain(StatusCode::SERVICE_UNAVAILABLE, "The authorization server cannot be asked right now: try again.");
        }
    };
    let Ok(permit) = gateway.looking.clone().try_acquire_owned() else {
        return plain(StatusCode::SERVICE_UNAVAILABLE, "Too many searches at once: try again in a moment.");
    };
    // what is tried again after that is still new
    if !gateway.spend_discovery(&token) {
        return bad(UNFIT);
    }
    let gateway = gateway.clone();
    tokio::spawn(async move {
        let issuer = token.iss.clone();
        match gateway.look_for(token).await {
            Ok(found) => tracing::info!(issuer, found, "somebody was looked for"),
            Err(error) => tracing::warn!(%error, issuer, "a search ended early"),
        }
        drop(permit);
    });
    plain(StatusCode::ACCEPTED, "It is being looked into.")
}

/// How many may look at once.
pub(super) fn looking() -> Arc<tokio::sync::Semaphore> {
    Arc::new(tokio::sync::Semaphore::new(MOST_AT_ONCE))
}

impl Gateway {
    /// Signature, type, issuer, audience and times.
    async fn check_discovery(&self, text: &str) -> Result<Option<DiscoveryToken>, ProtectionError> {
        let Ok(jws) = UnverifiedJws::parse(text).and_then(|jws| jws.expect_type(DISCOVERY_TYPE)) else { return Ok(None) };
        let issuer = jws.claimed("iss").unwrap_or_default();
        if !self.is_listed(&issuer) {
            return Ok(None);
        }
        let keys = self.keys_of_server(&issuer).await?;
        let verified = jws.verify(&keys).and_then(|jws| jws.claims::<DiscoveryToken>());
        let Ok(token) = verified.map(jose::Verified::into_inner) else { return Ok(None) };
        let now = self.client.clock.now();
        let in_time = token.iat <= now.plus(SKEW) && now < token.exp && token.iat.until(token.exp) <= LONGEST;
        if token.aud != self.settings.resource || !in_time {
            return Ok(None);
        }
        Ok(Some(token))
    }

    /// Whether it is new; it is good once.
    fn spend_discovery(&self, token: &DiscoveryToken) -> bool {
        let now = self.client.clock.now();
        let mut seen = self.discovered.lock().unwrap_or_else(PoisonError::into_inner);
        seen.retain(|_, until| now < *until);
        seen.insert(format!("{} {}", token.iss, token.jti), token.exp.plus(SKEW)).is_none()
    }

    /// Its keys, read anew after a few seconds: whoever sends rubbish in its name does not have it asked each time.
    async fn keys_of_server(&self, issuer: &str) -> Result<Arc<KeySet>, ProtectionError> {
        let peer = self.peer(issuer).await?;
        // issuers are those of the operator's list; one that is slow keeps no other's waiting
        let keys = self.server_keys.lock().unwrap_or_else(PoisonError::into_inner).entry(issuer.to_owned()).or_default().clone();
        let read = keys.read(&peer.protection.client.outbound, &peer.protection.metadata.jwks_uri, KEYS_KEPT);
        self.asking(issuer, read).await
    }

    /// Looks, and links whom it finds; whether it did.
    async fn look_for(&self, token: DiscoveryToken) -> Result<bool, ProtectionError> {
        let Some(matching) = &self.matching else { return Ok(false) };
        let described = Described { verified: token.verified_claims, self_asserted: token.self_asserted_claims };
        let found = matching.find(&described).await.map_err(|error| ProtectionError::Refused(error.to_string()))?;
        drop(described);
        let Some(owner) = found.filter(|owner| self.has_owner(owner)) else { return Ok(false) };
        // whoever is linked there already stays so: a search does not put somebody else in her place
        if self.store.find_link(&owner, &token.iss).await?.is_some_and(|link| link.state == LinkState::Active) {
            return Ok(false);
        }
        let peer = self.introduced(&token.iss).await?;
        let (client, metadata) = (&peer.protection.client, &peer.protection.metadata);
        let tokens = client.jwt_bearer(metadata, &token.pat_assertion, types::token::UMA_PROTECTION).await?;
        let account = Account { sub: Some(token.sub), ..Account::default() };
        let link = super::store::Link { account, ..link::new_link(self.client.clock.now()) };
        self.keep_new(&owner, &token.iss, tokens, link).await?;
        Ok(true)
    }
}
