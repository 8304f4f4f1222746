//! What a session holds, renewed where it is over: one at a time for each session, in a task of its own that calls only wait for, so
//! that a page which is closed loses nothing (row 27, decision 0068).

use super::super::Gateway;
use super::super::link::Renewed;
use super::super::told::Destination;
use super::session::{Grant, Held};
use super::trade::BrowserClient;
use crate::protection::ProtectionError;
use client::ClientError;
use http::HeaderValue;
use std::time::Instant;
use types::token::TokenResponse;

/// One is renewed so many seconds before its end.
const RENEWED_BEFORE_SECONDS: i64 = 5;

impl Gateway {
    /// A grant of a session as a call brings it, renewed where it is over.
    pub(super) async fn find_presented(&self, held: &Held, grant: &Grant) -> Option<HeaderValue> {
        let grant = match self.is_over(grant) {
            true => self.renew_grant(&held.cookie, grant).await?,
            false => grant.clone(),
        };
        let mut value = HeaderValue::from_str(&format!("Bearer {}", grant.token)).ok()?;
        value.set_sensitive(true);
        self.remember_issuer(Some(&value), &grant.issuer);
        Some(value)
    }

    pub(super) fn is_over(&self, grant: &Grant) -> bool {
        grant.expires <= self.client.clock.now().plus(RENEWED_BEFORE_SECONDS)
    }

    /// Another token for the refresh token; one of several calls at a time gets it for all.
    async fn renew_grant(&self, cookie: &str, over: &Grant) -> Option<Grant> {
        let at = Destination { owner: over.owner.clone(), issuer: over.issuer.clone() };
        self.renew_grant_at(cookie, at).await.unwrap_or_else(|error| {
            tracing::info!(%error, issuer = over.issuer, "a person's access cannot be renewed right now");
            None
        })
    }

    async fn renew_grant_at(&self, cookie: &str, at: Destination) -> Result<Option<Grant>, ProtectionError> {
        let turn = self.renewal_turn(cookie).await.lock_owned().await;
        let gateway = self.myself.upgrade().ok_or(ProtectionError::Unreachable)?;
        let cookie = cookie.to_owned();
        let renewal = async move {
            let _turn = turn;
            gateway.renew_kept_grant(&cookie, at).await
        };
        self.backlog.renewals.carry_out(renewal).await.unwrap_or(Err(ProtectionError::Unreachable))
    }

    /// By whoever has the turn of the session. None: there is nothing to renew, or the server renews it no more.
    async fn renew_kept_grant(&self, cookie: &str, at: Destination) -> Result<Option<Grant>, ProtectionError> {
        let (owner, issuer) = (at.owner.clone(), at.issuer.clone());
        // another call may have done it
        let Some(now) = self.read_session(cookie).await? else { return Ok(None) };
        let Some(grant) = now.find_grant_at(&owner, &issuer) else { return Ok(None) };
        if !self.is_over(grant) {
            return Ok(Some(grant.clone()));
        }
        let Some(refresh) = grant.refresh_token.clone() else { return Ok(None) };
        let BrowserClient { client, metadata, .. } = self.browser_client(&issuer).await?;
        let (renewed_at, renewed) = (at.clone(), Renewed::Grant { cookie: cookie.to_owned(), at });
        let asked = async {
            match client.refresh(&metadata, &refresh).await {
                Err(ClientError::Refused { error, .. }) if error == "invalid_grant" => Ok(None),
                Err(error) => {
                    match error.leaves_open() {
                        true => self.backlog.renewals.note_lost(renewed.clone(), Instant::now()),
                        false => self.backlog.renewals.note_answered(&renewed),
                    }
                    Err(error.into())
                }
                Ok(tokens) => Ok(Some(tokens)),
            }
        };
        let tokens = self.asking(&issuer, asked).await?;
        let new = tokens.and_then(|tokens| self.read_renewed(&renewed_at, tokens, &refresh));
        let kept = self.keep_renewed_grant(cookie, &renewed_at, &refresh, new).await;
        match &kept {
            Ok(_) => self.backlog.renewals.note_answered(&renewed),
            // what cannot be written down is as good as lost
            Err(_) => self.backlog.renewals.note_lost(renewed, Instant::now()),
        }
        kept
    }

    /// None: it cannot be used, and what it renewed is over.
    fn read_renewed(&self, at: &Destination, tokens: TokenResponse, refresh: &str) -> Option<Grant> {
        match self.grant_of(&at.owner, &at.issuer, tokens) {
            Ok(new) => Some(Grant { refresh_token: new.refresh_token.clone().or_else(|| Some(refresh.to_owned())), ..new }),
            Err(error) => {
                tracing::info!(%error, issuer = at.issuer, "a person's access was renewed by a token that cannot be used");
                None
            }
        }
    }

    /// Takes the place of the grant that was renewed, and of no other: she may have been let in to more meanwhile, or have gone. What
    /// comes back is what she has then; what came and is not hers any more is given back.
    async fn keep_renewed_grant(
        &self,
        cookie: &str,
        at: &Destination,
        refresh: &str,
        new: Option<Grant>,
    ) -> Result<Option<Grant>, ProtectionError> {
        let (kept, renewed) = (new.clone(), |grant: &Grant| grant.refresh_token.as_deref() == Some(refresh));
        let changed = self.change_session(cookie, |session| {
            if session.find_grant_at(&at.owner, &at.issuer).is_some_and(renewed) {
                match kept {
                    Some(grant) => session.put_grant(grant),
                    None => session.drop_grant(&at.owner, &at.issuer),
                }
            }
        });
        let now_is = changed.await?.and_then(|session| session.find_grant_at(&at.owner, &at.issuer).cloned());
        let is_kept = |new: &Grant| now_is.as_ref().is_some_and(|now_is| now_is.token == new.token);
        if let (Some(new), Some(gateway)) = (new.filter(|new| !is_kept(new)), self.myself.upgrade()) {
            tokio::spawn(async move { gateway.return_grants(vec![new]).await });
        }
        Ok(now_is)
    }

    /// The same where an answer was lost.
    pub(in super::super) async fn repeat_grant(&self, cookie: &str, at: &Destination) -> Result<(), ProtectionError> {
        self.renew_grant_at(cookie, at.clone()).await.map(drop)
    }
}
