//! Authorization servers as this gateway meets them: those that the operator lists, where it is the client of the
//! configuration, and those that owners bring, where it registers by itself (protocol.md 5.4).

use super::link::NoPats;
use super::questions::Waited;
use super::store::{OwnRegistration, Registered};
use super::told::Destination;
use super::{Check, Gateway, Trust};
use crate::guard::{Guard, MOST_BYTES};
use crate::offline::{Offline, PatSource};
use crate::protection::{Protection, ProtectionError};
use async_trait::async_trait;
use client::{Client, Credentials};
use std::sync::{Arc, Mutex as StdMutex, PoisonError, Weak};
use std::time::{Duration, Instant};
use types::client::{AuthMethod, ClientMetadata};
use types::token::UMA_PROTECTION;

/// A server that let somebody wait so long without an answer is not asked again for a while.
const SLOW: Duration = Duration::from_secs(2);
const RESTED: Duration = Duration::from_secs(10);
/// How long is waited for metadata, and for somebody else's look at them.
const PATIENCE: Duration = Duration::from_secs(5);
/// How long metadata count without another look.
const METADATA_KEPT: Duration = Duration::from_secs(3_600);

/// What is kept of answers of one that an owner brought, and again of tokens that are checked here: owners bring many.
const MOST_BYTES_OF_BROUGHT: u64 = 512 * 1_024;
/// Servers that are known at one time: owners bring them, and name them.
const MOST_PEERS: usize = 1_000;

/// Longest name and secret that a server may give this gateway, in bytes: both are kept.
const MAX_CREDENTIAL: usize = 1_024;

/// An authorization server, and what this gateway needs to work with it.
pub(super) struct Peer {
    pub(super) protection: Protection,
    /// Checks tokens of which this gateway can ask.
    pub(super) guard: Arc<Guard>,
    /// Checks tokens of owners who have not linked this server: only what needs no asking.
    pub(super) unlinked: Arc<Guard>,
    pub(super) pats: Arc<dyn PatSource>,
    /// For owners who have not linked it.
    pub(super) no_pats: Arc<dyn PatSource>,
    /// When its metadata were last read, and when that was last tried.
    found: Instant,
    tried: StdMutex<Instant>,
}

impl Peer {
    pub(super) fn issuer(&self) -> &str {
        &self.protection.metadata.issuer
    }

    /// Once in a while, for one of those who ask.
    fn may_be_tried(&self) -> bool {
        let mut tried = self.tried.lock().unwrap_or_else(PoisonError::into_inner);
        let due = tried.elapsed() >= RESTED;
        if due {
            *tried = Instant::now();
        }
        due
    }
}

/// PATs of this gateway at one authorization server.
struct PatsAt {
    gateway: Weak<Gateway>,
    issuer: String,
}

#[async_trait]
impl PatSource for PatsAt {
    async fn pat(&self, owner: &str) -> Result<String, ProtectionError> {
        let gateway = self.gateway.upgrade().ok_or(ProtectionError::Unreachable)?;
        gateway.pat(owner, &self.issuer).await
    }
}

impl Gateway {
    /// Whether the operator lists it.
    pub(super) fn is_listed(&self, issuer: &str) -> bool {
        self.settings.authorization_servers.iter().any(|listed| listed == issuer)
    }

    /// Whether what it says counts here: one that the operator took off the list guards nothing any more, whatever is registered
    /// there.
    pub(super) fn is_trusted(&self, issuer: &str) -> bool {
        self.settings.trust != Trust::List || self.is_listed(issuer)
    }

    /// Whether nothing has to be fetched to work with it.
    pub(super) fn is_known(&self, issuer: &str) -> bool {
        self.peers.read().unwrap_or_else(PoisonError::into_inner).contains_key(issuer)
    }

    /// An authorization server, found when it is first needed, so that all may start in any order.
    pub(super) async fn peer(&self, issuer: &str) -> Result<Arc<Peer>, ProtectionError> {
        let known = self.peers.read().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        let Some(peer) = known else { return Box::pin(self.meet(issuer)).await };
        if peer.found.elapsed() >= METADATA_KEPT && peer.may_be_tried() {
            // nobody waits for it: what is known is good until something else is
            let (myself, issuer) = (self.myself.clone(), issuer.to_owned());
            tokio::spawn(async move {
                let Some(gateway) = myself.upgrade() else { return };
                if let Err(error) = gateway.find_peer(&issuer).await {
                    tracing::warn!(%error, issuer, "the metadata of an authorization server cannot be read anew");
                }
            });
        }
        Ok(peer)
    }

    /// One at a time: whoever comes meanwhile waits for that, and not for a look of her own.
    async fn meet(&self, issuer: &str) -> Result<Arc<Peer>, ProtectionError> {
        let turn = self.turn(&format!("metadata of {issuer}")).await;
        let _held = tokio::time::timeout(PATIENCE, turn.lock()).await.map_err(|_| ProtectionError::Unreachable)?;
        let known = self.peers.read().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        match known {
            Some(peer) => Ok(peer),
            None => self.find_peer(issuer).await,
        }
    }

    pub(super) async fn find_peer(&self, issuer: &str) -> Result<Arc<Peer>, ProtectionError> {
        let credentials = match self.store.find_server(issuer).await? {
            _ if self.is_listed(issuer) => self.client.credentials.clone(),
            Some(own) => self.own_credentials(own),
            None => Credentials::none(),
        };
        // what a server that an owner brought names is called as a stranger's word, wherever the operator's own places are
        let here = if self.is_listed(issuer) { self.client.at(issuer) } else { self.client.in_name_of(issuer) };
        let client = Client { credentials, ..here };
        let client_id = client.credentials.client_id.clone();
        let found = async {
            let found = tokio::time::timeout(PATIENCE, Protection::discover(client, issuer)).await;
            found.unwrap_or(Err(ProtectionError::Unreachable))
        };
        let protection = self.asking(issuer, found).await?;
        let known = self.peers.read().unwrap_or_else(PoisonError::into_inner).get(issuer).cloned();
        // the proofs that it saw, the keys and the revocations are as good as before
        let same = known.filter(|known| {
            known.protection.metadata == protection.metadata && known.protection.client.credentials.client_id == client_id
        });
        let most_bytes = if self.is_listed(issuer) { MOST_BYTES } else { MOST_BYTES_OF_BROUGHT };
        let by_itself = || Offline::new(&self.settings.resource, &client_id, most_bytes);
        let guard = |offline| Arc::new(Guard::bounded(self.proofs.clone(), most_bytes, offline));
        let (offline, asking) = (|| guard(Some(by_itself())), || guard(None));
        let new = || if self.settings.check == Check::Offline { offline() } else { asking() };
        let guard = same.as_ref().map_or_else(new, |known| known.guard.clone());
        let unlinked = same.as_ref().map_or_else(offline, |known| known.unlinked.clone());
        let pats = Arc::new(PatsAt { gateway: self.myself.clone(), issuer: issuer.to_owned() });
        let (no_pats, found, tried) = (Arc::new(NoPats), Instant::now(), StdMutex::new(Instant::now()));
        let peer = Arc::new(Peer { protection, guard, unlinked, pats, no_pats, found, tried });
        self.keep_peer(issuer, peer.clone());
        Ok(peer)
    }

    /// Where there are many, that makes room which was found first of those that owners brought: it is found anew.
    fn keep_peer(&self, issuer: &str, peer: Arc<Peer>) {
        let mut peers = self.peers.write().unwrap_or_else(PoisonError::into_inner);
        if peers.len() >= MOST_PEERS && !peers.contains_key(issuer) {
            let brought = peers.iter().filter(|(of, _)| !self.is_listed(of));
            if let Some(oldest) = brought.min_by_key(|(_, peer)| peer.found).map(|(of, _)| of.clone()) {
                peers.remove(&oldest);
            }
        }
        peers.insert(issuer.to_owned(), peer);
    }

    /// Asks an authorization server something; one that lets everybody wait is left alone for a while, so that nobody
    /// else notices.
    pub(super) async fn asking<T>(
        &self,
        issuer: &str,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.asking_in_line(issuer, &Waited::default(), asked).await
    }

    /// The same, by somebody who may wait here before it is asked, in a line of ours or at its place: that is nothing that the
    /// server did.
    async fn asking_in_line<T>(
        &self,
        issuer: &str,
        waited: &Waited,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.check_rest(issuer)?;
        let begun = Instant::now();
        let (answer, in_line) = outbound::with_time_in_line(asked).await;
        if matches!(answer, Err(ProtectionError::Unreachable)) && self.is_worth_a_line(issuer) {
            tracing::warn!(issuer, "an authorization server cannot be reached");
        }
        let took = begun.elapsed().saturating_sub(waited.time()).saturating_sub(in_line);
        if matches!(answer, Err(ProtectionError::Unreachable)) && took > SLOW {
            tracing::warn!(issuer, "an authorization server does not answer: it is left alone for a while");
            self.rest(issuer.to_owned(), RESTED);
        }
        answer
    }

    /// The same in the name of an owner. Where the server says when to come again (RFC 6585 4), she is not asked for there
    /// until then; what one owner used up keeps no other from being answered.
    pub(super) async fn asking_for<T>(
        &self,
        destination: &Destination,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.asking_by_key(destination.key(), &destination.issuer, &Waited::default(), asked).await
    }

    /// The same to have something registered, by a name that anybody may have chosen. That it is put off says something about
    /// the thing; where another one is put off as well, nothing new is registered for her there until then.
    pub(super) async fn asking_to_register<T>(
        &self,
        registered: &Registered,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        let (destination, own_id) = (Destination::of(registered), &registered.own_id);
        self.check_rest(&destination.key())?;
        self.check_rest(&destination.key_about_new())?;
        let answer = Box::pin(self.asking_in_line(&destination.issuer, &Waited::default(), asked)).await;
        let mut put_off = self.backlog.put_off.lock().unwrap_or_else(PoisonError::into_inner);
        match &answer {
            Ok(_) => drop(put_off.remove(&destination)),
            Err(ProtectionError::Later(seconds)) => {
                let key = destination.key_about_new();
                if put_off.insert(destination, own_id.clone()).is_some_and(|before| before != *own_id) {
                    self.rest(key, Duration::from_secs(*seconds));
                }
            }
            Err(_) => {}
        }
        answer
    }

    /// The same about a token, and for a PAT. Strangers have tickets given and things registered as often as they like: what
    /// they used up closes nothing to those who hold a token.
    pub(super) async fn asking_about_token<T>(
        &self,
        destination: &Destination,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.asking_about_token_in_line(destination, &Waited::default(), asked).await
    }

    /// The same, by a call that may wait here before anybody is asked.
    pub(super) async fn asking_about_token_in_line<T>(
        &self,
        destination: &Destination,
        waited: &Waited,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.asking_by_key(destination.key_about_tokens(), &destination.issuer, waited, asked).await
    }

    async fn asking_by_key<T>(
        &self,
        key: String,
        issuer: &str,
        waited: &Waited,
        asked: impl Future<Output = Result<T, ProtectionError>>,
    ) -> Result<T, ProtectionError> {
        self.check_rest(&key)?;
        let answer = Box::pin(self.asking_in_line(issuer, waited, asked)).await;
        if let Err(ProtectionError::Later(seconds)) = &answer {
            self.rest(key, Duration::from_secs(*seconds));
        }
        answer
    }

    pub(super) fn rest(&self, key: String, time: Duration) {
        let now = Instant::now();
        let mut all = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|_, until| now < *until);
        all.insert(key, now + time);
    }

    /// An error: it is left alone, for so long.
    pub(super) fn check_rest(&self, key: &str) -> Result<(), ProtectionError> {
        let now = Instant::now();
        let until = self.resting.lock().unwrap_or_else(PoisonError::into_inner).get(key).copied();
        match until.filter(|until| now < *until) {
            // in the name of an owner it has said so itself
            Some(until) if key.contains(' ') => Err(ProtectionError::Later((until - now).as_secs().saturating_add(1))),
            Some(_) => Err(ProtectionError::Unreachable),
            None => Ok(()),
        }
    }

    /// Whatever was before, it is asked again.
    pub(super) fn end_rest(&self, destination: &Destination) {
        let mut all = self.resting.lock().unwrap_or_else(PoisonError::into_inner);
        all.remove(&destination.key());
        all.remove(&destination.key_about_tokens());
        all.remove(&destination.key_about_new());
    }

    /// Once in a while for each server: anybody can call again and again while it is away.
    pub(super) fn is_worth_a_line(&self, issuer: &str) -> bool {
        let mut told = self.told_away.lock().unwrap_or_else(PoisonError::into_inner);
        told.retain(|_, when| when.elapsed() < RESTED);
        let is_new = !told.contains_key(issuer);
        told.entry(issuer.to_owned()).or_insert_with(Instant::now);
        is_new
    }

    fn own_credentials(&self, own: OwnRegistration) -> Credentials {
        match own.client_secret {
            Some(secret) => Credentials::secret(own.client_id, secret),
            None => Credentials::key(own.client_id, self.key.clone()),
        }
    }

    /// The same, as somebody whom it knows: registers there if need be (RFC 7591, protocol.md 1.0).
    pub(super) async fn introduced(&self, issuer: &str) -> Result<Arc<Peer>, ProtectionError> {
        let peer = self.peer(issuer).await?;
        if !peer.protection.client.credentials.client_id.is_empty() {
            return Ok(peer);
        }
        let turn = self.turn(issuer).await;
        let _held = turn.lock().await;
        if self.store.find_server(issuer).await?.is_none() {
            let own = self.asking(issuer, self.register_at(&peer.protection)).await?;
            self.store.put_server(issuer, &own).await?;
        }
        self.peers.write().unwrap_or_else(PoisonError::into_inner).remove(issuer);
        self.peer(issuer).await
    }

    async fn register_at(&self, protection: &Protection) -> Result<OwnRegistration, ProtectionError> {
        let metadata = &protection.metadata;
        let methods = &metadata.token_endpoint_auth_methods_supported;
        let by_key = methods.iter().any(|method| method == AuthMethod::PrivateKeyJwt.as_str());
        let wanted = ClientMetadata {
            client_name: Some(self.settings.name.clone()),
            redirect_uris: vec![self.callback_url()],
            grant_types: Some(vec!["authorization_code".into(), "refresh_token".into()]),
            response_types: Some(vec!["code".into()]),
            scope: Some(UMA_PROTECTION.into()),
            token_endpoint_auth_method: Some(if by_key { AuthMethod::PrivateKeyJwt } else { AuthMethod::ClientSecretBasic }),
            // which resource server it is can only be shown with the key of its metadata
            jwks_uri: by_key.then(|| self.jwks_url()),
            resource: by_key.then(|| self.settings.resource.clone()),
            ..ClientMetadata::default()
        };
        let registered = protection.client.register(metadata, &wanted).await?;
        let client_secret = registered.client_secret.filter(|_| !by_key);
        let texts = [Some(registered.client_id.as_str()), client_secret.as_deref()];
        if texts.into_iter().flatten().any(|text| text.len() > MAX_CREDENTIAL) {
            return Err(ProtectionError::Refused("it named this resource server too long".into()));
        }
        if !by_key && client_secret.is_none() {
            return Err(ProtectionError::Refused("it registered this resource server without a secret".into()));
        }
        Ok(OwnRegistration { client_id: registered.client_id.as_str().to_owned(), client_secret })
    }
}
