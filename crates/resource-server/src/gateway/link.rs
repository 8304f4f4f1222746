//! Linking owners: a PAT by code flow with `openid`, renewed before it ends (protocol.md 1.0, 2, Federated
//! Authorization 1.3). At an authorization server that the operator lists, it is taken only if the account there is that
//! owner. At one that the owner chose, she has shown here who she is; unless the account there has her own e-mail, it
//! waits until she confirms it.

mod account;
mod came_of_it;
mod pages;
mod room;
mod waiting;

use super::peer::Peer;
use super::questions::Work;
use super::store::{Account, Begun, Link, LinkState};
use super::told::Destination;
use super::{Gateway, OwnerOf, PatBy};
use crate::offline::PatSource;
use crate::protection::ProtectionError;
use async_trait::async_trait;
use client::ClientError;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use types::Timestamp;
use types::brought::BroughtBy;
use types::token::{TokenResponse, UMA_PROTECTION};

pub(super) use came_of_it::linked;
pub(super) use pages::{callback, link};
pub(super) use room::{FULL, Introductions};
pub(super) use waiting::WaitingAccounts;

/// Seconds that somebody has to log in.
const BEGUN_LIFETIME: i64 = 600;
const COOKIE: &str = "wl_link";
/// A PAT is renewed so many seconds before its end; halfway where it lives shortly.
const RENEWED_BEFORE_SECONDS: i64 = 60;
/// Seconds that one is taken to live of which that is not said, and the longest that is believed.
const USUAL_LIFE_SECONDS: i64 = 300;
const LONGEST_LIFE_SECONDS: i64 = 366 * 86_400;
/// So long it is not tried again where the server knows this client as another gateway.
const ANOTHERS_REST_SECONDS: u64 = 60;
/// Stands for the owner of a PAT that is no owner's; no route can name it.
const NOBODY: &str = "";

/// For authorization servers that the owner has not linked.
pub(super) struct NoPats;

#[async_trait]
impl PatSource for NoPats {
    async fn pat(&self, _: &str) -> Result<String, ProtectionError> {
        Err(ProtectionError::Unauthorized)
    }
}

impl Gateway {
    /// Owners whom routes name, and who have linked no authorization server.
    pub fn list_unlinked(&self) -> Vec<String> {
        let routes = self.routes();
        let named = routes.iter().filter_map(|route| match &route.guarded()?.owner {
            OwnerOf::Named(name) => Some(name.clone()),
            _ => None,
        });
        let named: BTreeSet<_> = named.collect();
        named.into_iter().filter(|owner| matches!(self.preferred_server(owner), Ok(None))).collect()
    }

    /// A PAT of this owner at this authorization server that is good for a while.
    pub(super) async fn pat(&self, owner: &str, issuer: &str) -> Result<String, ProtectionError> {
        // one of its own serves all owners
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        if let Some(link) = self.store.find_link(owner, issuer)?.filter(|link| link.is_fresh(self.client.clock.now())) {
            return Ok(link.access_token.clone());
        }
        Box::pin(self.renewed_pat(owner, issuer)).await
    }

    /// The same, where the one that is kept is not good for long: another, unless somebody else gets it meanwhile.
    async fn renewed_pat(&self, owner: &str, issuer: &str) -> Result<String, ProtectionError> {
        let now = self.client.clock.now();
        let turn = self.link_turn(owner, issuer).await;
        let _held = turn.lock().await;
        let before = self.store.find_link(owner, issuer)?;
        if let Some(link) = before.clone().filter(|link| link.is_fresh(now)) {
            return Ok(link.access_token.clone());
        }
        let peer = self.peer(issuer).await?;
        let (client, metadata) = (&peer.protection.client.within(&Work::Pats.party()), &peer.protection.metadata);
        let at = Destination { owner: owner.to_owned(), issuer: issuer.to_owned() };
        if self.is_ready_made(issuer) {
            let tokens = self.asking_about_token(&at, self.own_pat(&peer)).await?;
            let link = before.as_deref().cloned();
            return Ok(self.keep(owner, issuer, tokens, link.unwrap_or_else(|| new_link(now))).await?.access_token);
        }
        let link = before.filter(|link| link.state == LinkState::Active).ok_or(ProtectionError::Unauthorized)?;
        let Some(refresh) = &link.refresh_token else { return Err(ProtectionError::Unauthorized) };
        let renewed = async {
            match client.refresh(metadata, refresh).await {
                Err(ClientError::Refused { error, .. }) if error == "invalid_grant" => Err(ProtectionError::Unauthorized),
                other => Ok(other?),
            }
        };
        match self.asking_about_token(&at, renewed).await {
            Ok(tokens) => Ok(self.keep(owner, issuer, tokens, (*link).clone()).await?.access_token),
            Err(ProtectionError::Unauthorized) => {
                tracing::info!(owner, issuer, "the owner has withdrawn this gateway there");
                self.store.put_link(owner, issuer, &Link { state: LinkState::Withdrawn, ..(*link).clone() }).await?;
                Err(ProtectionError::Unauthorized)
            }
            Err(error) => Err(error),
        }
    }

    /// A PAT that this gateway has as a client, for which nobody has to come by. One that is for another gateway is given back,
    /// and others are not had for a while.
    async fn own_pat(&self, peer: &Peer) -> Result<TokenResponse, ProtectionError> {
        let (client, metadata) = (&peer.protection.client.within(&Work::Pats.party()), &peer.protection.metadata);
        let tokens = client.client_credentials(metadata, UMA_PROTECTION).await?;
        let Some(known) = tokens.resource.as_deref().filter(|known| self.is_another(peer.issuer(), known)) else {
            return Ok(tokens);
        };
        if self.is_worth_a_line(&format!("client at {}", peer.issuer())) {
            tracing::error!("{}", self.say_another(known));
        }
        if let Err(error) = client.revoke(metadata, &tokens.access_token).await {
            tracing::info!(%error, issuer = peer.issuer(), "a token for another gateway could not be given back");
        }
        Err(ProtectionError::Later(ANOTHERS_REST_SECONDS))
    }

    /// The link whose PAT is kept, good or not.
    pub(super) fn kept_link(&self, owner: &str, issuer: &str) -> Result<Option<Arc<Link>>, ProtectionError> {
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        Ok(self.store.find_link(owner, issuer)?)
    }

    /// Works with a PAT; one that is not taken any more is renewed once.
    pub(super) async fn with_pat<'w, T>(
        &self,
        owner: &str,
        issuer: &str,
        work: impl Fn(String) -> BoxFuture<'w, Result<T, ProtectionError>> + Send + Sync,
    ) -> Result<T, ProtectionError> {
        let pat = self.pat(owner, issuer).await?;
        match work(pat.clone()).await {
            Err(ProtectionError::Unauthorized) if self.renew_pat(owner, issuer, &pat).await? => {
                work(self.pat(owner, issuer).await?).await
            }
            other => other,
        }
    }

    /// After the server refused a PAT before its end: whether another is to be had. Of several that were refused at one
    /// time, one renews it: what is kept by then is not what was refused. An error: that cannot be told now.
    pub(super) async fn renew_pat(&self, owner: &str, issuer: &str, refused: &str) -> Result<bool, ProtectionError> {
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        let turn = self.link_turn(owner, issuer).await;
        let held = turn.lock().await;
        let is_refused = |link: &Arc<Link>| link.state == LinkState::Active && link.access_token == refused;
        if let Some(link) = self.store.find_link(owner, issuer)?.filter(is_refused) {
            let ended = Link { expires: Timestamp(0), renew: None, ..(*link).clone() };
            self.store.put_link(owner, issuer, &ended).await?;
        }
        drop(held);
        match self.pat(owner, issuer).await {
            Ok(_) => Ok(true),
            Err(ProtectionError::Unauthorized) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a PAT of hers there, or one to be had.
    pub(super) fn is_linked(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        let link = self.store.find_link(owner, issuer)?;
        Ok(link.is_some_and(|link| link.state == LinkState::Active) || self.is_ready_made(issuer))
    }

    /// The turns of several links at one time. While somebody has one of them, the others are free: a server that lets a renewal
    /// hang keeps no other's from being renewed.
    pub(super) async fn link_turns(&self, owner: &str, issuers: &[String]) -> Vec<OwnedMutexGuard<()>> {
        let mut first: Option<(&String, OwnedMutexGuard<()>)> = None;
        loop {
            let (mut held, mut busy) = (Vec::new(), None);
            let had = first.as_ref().map(|(of, _)| *of);
            for of in issuers.iter().filter(|of| Some(*of) != had) {
                let turn = self.link_turn(owner, of).await;
                match turn.clone().try_lock_owned() {
                    Ok(one) => held.push(one),
                    Err(_) => busy = busy.or(Some((of, turn))),
                }
            }
            let Some((of, turn)) = busy else {
                held.extend(first.map(|(_, one)| one));
                return held;
            };
            drop((held, first));
            first = Some((of, turn.lock_owned().await));
        }
    }

    /// One at a time changes a link.
    pub(super) async fn link_turn(&self, owner: &str, issuer: &str) -> Arc<tokio::sync::Mutex<()>> {
        self.turn(&format!("{owner} {issuer}")).await
    }

    /// Whether PATs there need no owner to come by.
    pub(super) fn is_ready_made(&self, issuer: &str) -> bool {
        self.settings.pat != PatBy::Code && self.is_listed(issuer)
    }

    /// Whether its PAT there is no owner's.
    pub(super) fn is_server_level(&self, issuer: &str) -> bool {
        self.settings.pat == PatBy::ServerLevel && self.is_listed(issuer)
    }

    /// Where what she has not placed is registered: her own choice, else where nobody needs to link, else where she
    /// linked first.
    pub(super) fn preferred_server(&self, owner: &str) -> Result<Option<String>, ProtectionError> {
        let mut links = self.store.list_links(owner)?;
        links.retain(|(issuer, link)| link.state == LinkState::Active && self.is_trusted(issuer));
        let ready = || self.settings.authorization_servers.iter().find(|issuer| self.is_ready_made(issuer)).cloned();
        let first = || links.iter().min_by_key(|(_, link)| link.created).map(|(issuer, _)| issuer.clone());
        Ok(links.iter().find(|(_, link)| link.preferred).map(|(issuer, _)| issuer.clone()).or_else(ready).or_else(first))
    }

    async fn keep(&self, owner: &str, issuer: &str, tokens: TokenResponse, link: Link) -> Result<Link, ProtectionError> {
        let link = self.with_tokens(tokens, link);
        self.store.put_link(owner, issuer, &link).await?;
        Ok(link)
    }

    pub(super) fn with_tokens(&self, tokens: TokenResponse, link: Link) -> Link {
        let now = self.client.clock.now();
        let life = tokens.expires_in.unwrap_or(USUAL_LIFE_SECONDS).clamp(0, LONGEST_LIFE_SECONDS);
        let renew = now.plus(life.saturating_sub(RENEWED_BEFORE_SECONDS.min(life / 2)));
        let refresh_token = tokens.refresh_token.filter(|token| !token.is_empty()).or(link.refresh_token);
        Link { access_token: tokens.access_token, expires: now.plus(life), renew: Some(renew), refresh_token, ..link }
    }

    pub(super) fn callback_url(&self) -> String {
        format!("{}/.wayleave/callback", self.settings.resource)
    }

    /// Begins a log-in of an owner who has shown here who she is; where to send her.
    pub(super) async fn begin_chosen(
        &self,
        owner: &str,
        issuer: &str,
        login_hint: Option<&str>,
        by: Option<&BroughtBy>,
    ) -> Result<String, ProtectionError> {
        let is_new = !self.is_listed(issuer) && self.store.find_server(issuer)?.is_none();
        if is_new && !self.introductions.may_begin(owner, std::time::Instant::now()) {
            return Err(ProtectionError::Refused(room::TOO_MANY_NEW.to_owned()));
        }
        let begun = Begun { by: by.cloned(), ..self.begin(owner, issuer, login_hint, true).await? };
        self.store.put_begun(&begun.flow.state, &begun, self.client.clock.now()).await?;
        let mut query = form_urlencoded::Serializer::new(String::new());
        query.append_pair("begun", &begun.flow.state);
        query.extend_pairs(login_hint.map(|hint| ("login_hint", hint)));
        Ok(format!("{}/.wayleave/link?{}", self.settings.resource, query.finish()))
    }

    pub(super) async fn begin(
        &self,
        owner: &str,
        issuer: &str,
        login_hint: Option<&str>,
        chosen: bool,
    ) -> Result<Begun, ProtectionError> {
        let peer = self.introduced_anew(issuer).await?;
        let scope = format!("openid profile email {UMA_PROTECTION}");
        let (url, flow) =
            peer.protection.client.begin_code(&peer.protection.metadata, &self.callback_url(), &scope, login_hint)?;
        let expires = self.client.clock.now().plus(BEGUN_LIFETIME);
        Ok(Begun { owner: owner.to_owned(), flow, expires, url: Some(url), chosen, by: None })
    }
}

pub(super) fn new_link(now: Timestamp) -> Link {
    Link {
        access_token: String::new(),
        expires: Timestamp(0),
        renew: None,
        refresh_token: None,
        state: LinkState::Active,
        account: Account::default(),
        created: now,
        preferred: false,
        by: None,
    }
}
