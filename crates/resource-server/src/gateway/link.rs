//! Linking owners: a PAT by code flow with `openid`, renewed before it ends (protocol.md 1.0, 2, Federated
//! Authorization 1.3). At an authorization server that the operator lists, it is taken only if the account there is that
//! owner. At one that the owner chose, she has shown here who she is; unless the account there has her own e-mail, it
//! waits until she confirms it.

mod account;
mod came_of_it;
mod pages;
mod renewal;
mod repeated;
mod room;
mod waiting;

use super::store::{Account, Begun, Link, LinkState};
use super::{Gateway, OwnerOf, PatBy};
use crate::offline::PatSource;
use crate::protection::ProtectionError;
use async_trait::async_trait;
use futures_util::future::BoxFuture;
use std::collections::BTreeSet;
use std::sync::Arc;
use tokio::sync::OwnedMutexGuard;
use types::Timestamp;
use types::brought::BroughtBy;
use types::token::{TokenResponse, UMA_PROTECTION};

pub(super) use came_of_it::linked;
pub(super) use pages::{callback, link};
pub(super) use renewal::{LatestPats, Renewed};
pub(super) use repeated::Finished;
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
    pub async fn list_unlinked(&self) -> Vec<String> {
        let routes = self.routes();
        let named = routes.iter().filter_map(|route| match &route.guarded()?.owner {
            OwnerOf::Named(name) => Some(name.clone()),
            _ => None,
        });
        let named: BTreeSet<_> = named.collect();
        let mut unlinked = Vec::new();
        for owner in named {
            if matches!(self.preferred_server(&owner).await, Ok(None)) {
                unlinked.push(owner);
            }
        }
        unlinked
    }

    /// The link whose PAT is kept, good or not.
    pub(super) async fn kept_link(&self, owner: &str, issuer: &str) -> Result<Option<Arc<Link>>, ProtectionError> {
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        Ok(self.store.find_link(owner, issuer).await?)
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
        if let Some(link) = self.store.find_link(owner, issuer).await?.filter(is_refused) {
            let ended = Link { expires: Timestamp(0), renew: None, ..(*link).clone() };
            self.store.replace_link(owner, issuer, &link, &ended).await?;
        }
        drop(held);
        match self.pat(owner, issuer).await {
            Ok(_) => Ok(true),
            Err(ProtectionError::Unauthorized) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether there is a PAT of hers there, or one to be had.
    pub(super) async fn is_linked(&self, owner: &str, issuer: &str) -> Result<bool, ProtectionError> {
        let link = self.store.find_link(owner, issuer).await?;
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
    pub(super) async fn preferred_server(&self, owner: &str) -> Result<Option<String>, ProtectionError> {
        let mut links = self.store.list_links(owner).await?;
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
        let (expires, renew, renewal_asked) = (now.plus(life), Some(renew), None);
        Link { access_token: tokens.access_token, expires, renew, refresh_token, renewal_asked, ..link }
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
        let is_new = !self.is_listed(issuer) && self.store.find_server(issuer).await?.is_none();
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
        let peer = self.introduced(issuer).await?;
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
        renewal_asked: None,
        refresh_token: None,
        state: LinkState::Active,
        account: Account::default(),
        created: now,
        preferred: false,
        by: None,
    }
}
