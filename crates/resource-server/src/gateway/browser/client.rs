//! As whom this gateway leads people to an authorization server: by the client that the operator declared there
//! (`[gateway.browser]`), or by one that it registers by itself (RFC 7591) where that server lets it.
//!
//! A dishonest server may send a person on to another's page, with the way back and the `state` of its own visit; what she
//! brings is then the other's, and must not go to the dishonest one (threat 15). So people come back from each server at a place
//! of its own, for which the gateway registers; but from a listed one, where the client may be declared, at one place for
//! all, if that server says whose answer it gives (`iss`) or is the only one that is listed.

use super::super::Gateway;
use super::super::peer::Peer;
use super::super::store::OwnRegistration;
use super::Browsers;
use super::trade::BrowserClient;
use crate::protection::ProtectionError;
use client::{Client, Credentials};
use jose::{base64url, digest};
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};
use types::client::{AuthMethod, ClientMetadata};
use types::token::UMA_TICKET;

/// A server that would not register it is not asked again so long.
const REFUSED: Duration = Duration::from_secs(300);
/// A registration that nobody uses ends at some servers: whether it stands is looked at so often.
const LOOKED_AT: Duration = Duration::from_secs(12 * 3_600);
/// Longest name and secret that a server may give, in bytes: both are kept.
const MAX_CREDENTIAL_BYTES: usize = 1_024;

/// Bytes of the hash of an issuer that stand in its way back: nobody finds another issuer with the same.
const HASH_BYTES: usize = 16;

/// Where somebody comes back from a server.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) enum WayBack {
    /// At a place that no other server has.
    OfIssuer,
    /// Where those of every declared client come back.
    OfAll,
}

/// What is known of registrations, by issuer.
#[derive(Default)]
pub(super) struct Registrations(Mutex<HashMap<String, Known>>);

#[derive(Clone, Copy)]
enum Known {
    Stands(Instant),
    Refused(Instant),
}

impl Registrations {
    fn of(&self, issuer: &str) -> Option<Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(issuer).copied()
    }

    fn note(&self, issuer: &str, known: Option<Known>) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match known {
            Some(known) => all.insert(issuer.to_owned(), known),
            None => all.remove(issuer),
        };
    }
}

impl Browsers {
    /// The server does not know the client: whether it stands is looked at before the next person is led there.
    pub(super) fn forget_client(&self, issuer: &str) {
        self.registrations.note(issuer, None);
    }
}

/// By which name such a registration is kept, beside that for PATs: one of a listed server names more places.
fn kept_as(issuer: &str, is_listed: bool) -> String {
    let kind = if is_listed { "visitors" } else { "visitors at an owner's" };
    format!("{kind} {issuer}")
}

/// What stands behind `/.wayleave/visit/` where somebody comes back from this server.
fn mark_of(issuer: &str) -> String {
    let hash = digest::sha256(&[b"way back from ", issuer.as_bytes()]);
    base64url::encode(hash.get(..HASH_BYTES).unwrap_or(&hash))
}

/// Whether this is where people come back from this server: behind `/.wayleave/visit/` stands that, or nothing.
pub(super) fn is_way_back(way_back: WayBack, issuer: &str, place: Option<&str>) -> bool {
    match way_back {
        WayBack::OfIssuer => place.is_some_and(|place| place == mark_of(issuer)),
        WayBack::OfAll => place.is_none(),
    }
}

impl Gateway {
    /// The browser client there. An error: there is none, and none to be had.
    pub(super) async fn browser_client(&self, issuer: &str) -> Result<BrowserClient, ProtectionError> {
        let peer = self.peer(issuer).await?;
        let way_back = self.find_way_back(&peer);
        let credentials = match &self.browsers.credentials {
            Some(declared) if way_back == WayBack::OfAll => declared.clone(),
            _ => self.registered_client(&peer).await?,
        };
        Ok(at(&peer, credentials, way_back))
    }

    /// Where all come back, if an answer of this server is told there from one of another.
    fn find_way_back(&self, peer: &Peer) -> WayBack {
        let is_told = peer.protection.metadata.claims_response_iss_parameter_supported;
        let is_told_apart = is_told || self.settings.authorization_servers.len() == 1;
        if self.is_listed(peer.issuer()) && is_told_apart { WayBack::OfAll } else { WayBack::OfIssuer }
    }

    pub(super) fn way_back_url(&self, issuer: &str, way_back: WayBack) -> String {
        match way_back {
            WayBack::OfIssuer => format!("{}/{}", self.visit_url(), mark_of(issuer)),
            WayBack::OfAll => self.visit_url(),
        }
    }

    pub(super) fn visit_url(&self) -> String {
        format!("{}/.wayleave/visit", self.settings.resource)
    }

    async fn registered_client(&self, peer: &Peer) -> Result<Credentials, ProtectionError> {
        let issuer = peer.issuer();
        let turn = self.turn(&format!("browsers at {issuer}")).await;
        let _held = turn.lock().await;
        let refused = || ProtectionError::Refused("it registers no client for people with browsers".into());
        let known = self.browsers.registrations.of(issuer);
        if matches!(known, Some(Known::Refused(when)) if when.elapsed() < REFUSED) {
            return Err(refused());
        }
        let kept_as = kept_as(issuer, self.is_listed(issuer));
        if let Some(kept) = self.store.find_server(&kept_as).await? {
            let credentials = Credentials { client_id: kept.client_id, secret: kept.client_secret, key: None };
            if matches!(known, Some(Known::Stands(when)) if when.elapsed() < LOOKED_AT) || self.stands(peer, &credentials).await?
            {
                self.browsers.registrations.note(issuer, Some(Known::Stands(Instant::now())));
                return Ok(credentials);
            }
        }
        match self.asking(issuer, self.register_for_browsers(peer)).await {
            Ok(own) => {
                self.store.put_server(&kept_as, &own).await?;
                self.browsers.registrations.note(issuer, Some(Known::Stands(Instant::now())));
                Ok(Credentials { client_id: own.client_id, secret: own.client_secret, key: None })
            }
            Err(ProtectionError::Refused(why)) => {
                tracing::warn!(
                    why,
                    issuer,
                    "no client for people with browsers: declare one in [gateway.browser]; of several servers each needs open \
                     registration, or `claims_response_iss_parameter_supported`"
                );
                self.browsers.registrations.note(issuer, Some(Known::Refused(Instant::now())));
                Err(refused())
            }
            Err(error) => Err(error),
        }
    }

    /// Whether the server still knows a client that registered here.
    async fn stands(&self, peer: &Peer, credentials: &Credentials) -> Result<bool, ProtectionError> {
        let BrowserClient { client, metadata, .. } = at(peer, credentials.clone(), WayBack::OfIssuer);
        let asked = async { Ok(client.is_known(&metadata).await?) };
        self.asking(peer.issuer(), asked).await
    }

    async fn register_for_browsers(&self, peer: &Peer) -> Result<OwnRegistration, ProtectionError> {
        // where the only listed server is dishonest, nobody else's leads to where its people come back
        let of_all = self.is_listed(peer.issuer()).then(|| self.way_back_url(peer.issuer(), WayBack::OfAll));
        let own = self.way_back_url(peer.issuer(), WayBack::OfIssuer);
        let wanted = ClientMetadata {
            client_name: Some(self.settings.name.clone()),
            claims_redirect_uris: Some(of_all.into_iter().chain([own]).collect()),
            grant_types: Some(vec![UMA_TICKET.into(), "refresh_token".into()]),
            response_types: Some(vec![]),
            token_endpoint_auth_method: Some(AuthMethod::ClientSecretBasic),
            ..ClientMetadata::default()
        };
        let registered = peer.protection.client.register(&peer.protection.metadata, &wanted).await?;
        let refuse = |what: &str| Err(ProtectionError::Refused(what.to_owned()));
        let Some(client_secret) = registered.client_secret else { return refuse("it registered a client without a secret") };
        let client_id = registered.client_id.as_str().to_owned();
        if client_id.len().max(client_secret.len()) > MAX_CREDENTIAL_BYTES {
            return refuse("it named a client too long");
        }
        Ok(OwnRegistration { client_id, client_secret: Some(client_secret) })
    }
}

fn at(peer: &Peer, credentials: Credentials, way_back: WayBack) -> BrowserClient {
    let client = Client { credentials, ..peer.protection.client.clone() };
    BrowserClient { client, metadata: peer.protection.metadata.clone(), way_back }
}
