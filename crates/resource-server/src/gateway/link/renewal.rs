//! PATs that are good for a while. One at a time renews the PAT of a link, in a task of its own that callers only wait for: most
//! authorization servers replace the refresh token, and whoever hangs up must not take the new one with him (row 27, decision 0068).
//! That it is asked is written down before; what came is kept before anybody works with it; and where the answer was lost, the same
//! is asked again soon ([`Gateway::repeat_lost_renewals`]), as long as the server lets that token be used.

use super::super::Gateway;
use super::super::peer::Peer;
use super::super::questions::Work;
use super::super::store::{Link, LinkState};
use super::super::told::Destination;
use super::{NOBODY, new_link};
use crate::protection::ProtectionError;
use client::ClientError;
use client::renewals::Renewable;
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};
use types::token::{TokenResponse, UMA_PROTECTION};

/// So long it is not tried again where the server knows this client as another gateway.
const ANOTHERS_REST_SECONDS: u64 = 60;
/// How long the end waits for renewals that began after everything else had ended.
const VERY_LAST_PATIENCE: Duration = Duration::from_secs(2);

/// For longer than this nobody waits for a renewal.
const LONGEST_WAIT: Duration = Duration::from_secs(300);

/// What is renewed.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(in super::super) enum Renewed {
    Pat(Destination),
    /// What a browser's session holds.
    Grant {
        cookie: String,
        at: Destination,
    },
}

/// What came of the latest renewals. Whoever waited for one takes that, however short it lives and whatever it was: else those who
/// wait at a server that is slow on purpose would each renew anew, and the owner would stand behind all of them (threat 46).
#[derive(Default)]
pub(in super::super) struct LatestPats(Mutex<HashMap<Destination, LatestPat>>);

struct LatestPat {
    came: Instant,
    outcome: Result<String, ProtectionError>,
}

impl LatestPats {
    fn all(&self) -> MutexGuard<'_, HashMap<Destination, LatestPat>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note(&self, at: Destination, outcome: Result<String, ProtectionError>, now: Instant) {
        let mut all = self.all();
        // nobody waits so long
        all.retain(|_, latest| now.saturating_duration_since(latest.came) < LONGEST_WAIT);
        all.insert(at, LatestPat { came: now, outcome });
    }

    /// What came since somebody began to wait.
    fn find_since(&self, at: &Destination, begun: Instant) -> Option<Result<String, ProtectionError>> {
        self.all().get(at).filter(|latest| begun <= latest.came).map(|latest| latest.outcome.clone())
    }
}

impl Renewable for Renewed {
    fn line(&self) -> &str {
        match self {
            Self::Pat(at) | Self::Grant { at, .. } => &at.issuer,
        }
    }

    /// Whoever comes by has a session.
    fn gives_way(&self) -> bool {
        matches!(self, Self::Grant { .. })
    }
}

impl Gateway {
    /// A PAT of this owner at this authorization server that is good for a while.
    pub(in super::super) async fn pat(&self, owner: &str, issuer: &str) -> Result<String, ProtectionError> {
        // one of its own serves all owners
        let owner = if self.is_server_level(issuer) { NOBODY } else { owner };
        if let Some(pat) = self.find_fresh_pat(owner, issuer).await? {
            return Ok(pat);
        }
        let (begun, at) = (Instant::now(), Destination { owner: owner.to_owned(), issuer: issuer.to_owned() });
        let turn = self.link_turn(owner, issuer).await.lock_owned().await;
        // another may have renewed it
        if let Some(pat) = self.find_fresh_pat(owner, issuer).await? {
            return Ok(pat);
        }
        if let Some(outcome) = self.backlog.latest_pats.find_since(&at, begun) {
            return outcome;
        }
        let gateway = self.myself.upgrade().ok_or(ProtectionError::Unreachable)?;
        // whoever has a good one carries no room for this with each of its own calls
        let renewal = Box::pin(async move {
            let _turn = turn;
            let outcome = gateway.renew(&at).await;
            gateway.backlog.latest_pats.note(at, outcome.clone(), Instant::now());
            outcome
        });
        self.backlog.renewals.carry_out(renewal).await.unwrap_or(Err(ProtectionError::Unreachable))
    }

    async fn find_fresh_pat(&self, owner: &str, issuer: &str) -> Result<Option<String>, ProtectionError> {
        let now = self.client.clock.now();
        Ok(self.store.find_link(owner, issuer).await?.filter(|link| link.is_fresh(now)).map(|link| link.access_token.clone()))
    }

    /// By whoever has the turn of the link.
    async fn renew(&self, at: &Destination) -> Result<String, ProtectionError> {
        let Destination { owner, issuer } = at;
        let before = self.store.find_link(owner, issuer).await?;
        let peer = self.peer(issuer).await?;
        if self.is_ready_made(issuer) {
            let tokens = self.asking_about_token(at, self.own_pat(&peer)).await?;
            let link = before.as_deref().cloned().unwrap_or_else(|| new_link(self.client.clock.now()));
            return Ok(self.keep(owner, issuer, tokens, link).await?.access_token);
        }
        let link = before.filter(|link| link.state == LinkState::Active).ok_or(ProtectionError::Unauthorized)?;
        let refresh_token = link.refresh_token.as_deref().ok_or(ProtectionError::Unauthorized)?;
        let (client, metadata) = (&peer.protection.client.within(&Work::Pats.party()), &peer.protection.metadata);
        let renewed = async {
            let asked = self.note_asked(at, &link).await?;
            match client.refresh(metadata, refresh_token).await {
                Ok(tokens) => self.keep_renewed(at, tokens, asked).await,
                Err(error) => Err(self.note_refusal(at, &link, error).await?),
            }
        };
        self.asking_about_token(at, renewed).await
    }

    /// Written down before it is asked: after a crash it is known whose answer was lost.
    async fn note_asked(&self, at: &Destination, link: &Link) -> Result<Link, ProtectionError> {
        let asked = Link { renewal_asked: link.renewal_asked.or(Some(self.client.clock.now())), ..link.clone() };
        if link.renewal_asked.is_none() {
            // who ended it meanwhile has ended it
            let now_is = self.find_unchanged(at, link).await?.ok_or(ProtectionError::Unauthorized)?;
            if !self.store.replace_link(&at.owner, &at.issuer, &now_is, &asked).await? {
                return Err(ProtectionError::Unauthorized);
            }
        }
        Ok(asked)
    }

    async fn keep_renewed(&self, at: &Destination, tokens: TokenResponse, link: Link) -> Result<String, ProtectionError> {
        let renewed = Renewed::Pat(at.clone());
        let now_is = self.find_unchanged(at, &link).await?;
        let changed = now_is.clone().map(|now_is| self.with_tokens(tokens.clone(), now_is));
        let kept = match (&now_is, &changed) {
            (Some(now_is), Some(changed)) => self.store.replace_link(&at.owner, &at.issuer, now_is, changed).await,
            _ => Ok(false),
        };
        match kept {
            Ok(is_kept) => {
                self.backlog.renewals.note_answered(&renewed);
                match changed.filter(|_| is_kept) {
                    Some(link) => Ok(link.access_token),
                    None => {
                        // it has ended meanwhile: what came is not used, and given back
                        self.return_tokens(at.issuer.clone(), tokens);
                        Err(ProtectionError::Unauthorized)
                    }
                }
            }
            Err(error) => {
                // what cannot be written down is as good as lost
                self.backlog.renewals.note_lost(renewed, Instant::now());
                Err(error)
            }
        }
    }

    /// The link as it is now, if it still stands by the same refresh token: it may have ended while its server was asked.
    async fn find_unchanged(&self, at: &Destination, link: &Link) -> Result<Option<Link>, ProtectionError> {
        let now_is = self.store.find_link(&at.owner, &at.issuer).await?;
        let is_same = |now_is: &Arc<Link>| now_is.state == LinkState::Active && now_is.refresh_token == link.refresh_token;
        Ok(now_is.filter(is_same).map(|now_is| (*now_is).clone()))
    }

    /// What a refusal says of the link: only a plain no ends it. One to a renewal that repeats another may be due to what got lost
    /// on its way here, and is not called anybody's will.
    async fn note_refusal(&self, at: &Destination, link: &Link, error: ClientError) -> Result<ProtectionError, ProtectionError> {
        let (Destination { owner, issuer }, renewed) = (at, Renewed::Pat(at.clone()));
        if error.leaves_open() {
            self.backlog.renewals.note_lost(renewed, Instant::now());
            return Ok(error.into());
        }
        self.backlog.renewals.note_answered(&renewed);
        let renewal_asked = link.renewal_asked;
        let now_is = self.find_unchanged(at, link).await?;
        if !matches!(&error, ClientError::Refused { error, .. } if error == "invalid_grant") {
            // as it stood before it was asked
            if let (Some(now_is), None) = (now_is, renewal_asked) {
                self.store.replace_link(owner, issuer, &now_is, &Link { renewal_asked, ..now_is.clone() }).await?;
            }
            return Ok(error.into());
        }
        let Some(now_is) = now_is else { return Ok(ProtectionError::Unauthorized) };
        match renewal_asked {
            None => tracing::info!(owner, issuer, "an authorization server takes the link of an owner no more"),
            Some(since) => tracing::warn!(
                owner,
                issuer,
                since = since.0,
                "an authorization server takes the link of an owner no more; what it answered to a renewal had been lost, and that \
                 may be why: she links it again"
            ),
        }
        let withdrawn = Link { state: LinkState::Withdrawn, renewal_asked, ..now_is.clone() };
        self.store.replace_link(owner, issuer, &now_is, &withdrawn).await?;
        Ok(ProtectionError::Unauthorized)
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

    /// Asks again where an answer was lost, also by the process before this one. Nobody has to call for it.
    pub(in super::super) async fn repeat_lost_renewals(&self) {
        if let Err(error) = self.read_lost_renewals().await {
            tracing::error!(%error, "which renewals have no answer cannot be read");
        }
        if self.backlog.is_closing() {
            return;
        }
        for renewed in self.backlog.renewals.take_due(Instant::now()) {
            let myself = self.myself.clone();
            tokio::spawn(async move {
                let Some(gateway) = myself.upgrade() else { return };
                if let Err(error) = gateway.repeat(&renewed).await {
                    tracing::info!(%error, "a renewal whose answer was lost is asked for again later");
                }
            });
        }
    }

    /// Those that the process before this one lost.
    async fn read_lost_renewals(&self) -> Result<(), ProtectionError> {
        if !self.backlog.renewals.is_read() {
            let lost = self.store.list_unanswered_links().await?;
            self.backlog.renewals.note_read(lost.into_iter().map(Renewed::Pat), Instant::now());
        }
        Ok(())
    }

    async fn repeat(&self, renewed: &Renewed) -> Result<(), ProtectionError> {
        match renewed {
            Renewed::Pat(Destination { owner, issuer }) => {
                let is_lost = |link: &Arc<Link>| link.state == LinkState::Active && link.renewal_asked.is_some();
                if self.store.find_link(owner, issuer).await?.as_ref().is_some_and(is_lost) {
                    self.pat(owner, issuer).await?;
                }
            }
            Renewed::Grant { cookie, at } => self.repeat_grant(cookie, at).await?,
        }
        self.backlog.renewals.note_answered(renewed);
        Ok(())
    }

    /// Waits, at the very end, for renewals that are under way. What is not answered by then is asked for at the next start.
    pub async fn end_renewals(&self) {
        if !self.backlog.renewals.wait_for_end(VERY_LAST_PATIENCE).await {
            tracing::warn!(
                "an authorization server did not answer a renewal before the end: it is asked again at the next start"
            );
        }
    }
}
