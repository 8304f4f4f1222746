//! The account with which somebody came back from an authorization server: whether it is the owner's, and what is kept of
//! it. Called by `link/pages.rs`.
//!
//! Two people have to agree before an account there guards what an owner has here: whoever is logged in there, in the
//! browser that came back, and the owner, who may be somebody else. Where this gateway knows by itself that they are one
//! person, neither is asked.

use super::super::Gateway;
use super::super::store::{Account, Begun, Link, LinkState};
use super::new_link;
use super::room::FULL;
use super::waiting::Brought;
use client::oauth::Authorized;
use futures_util::StreamExt;
use serde_json::Value;
use std::time::Duration;
use types::Timestamp;
use types::brought::BroughtBy;
use types::spelling::readable;
use types::token::TokenResponse;

/// How many are given back at one time, of one bundle, and how long is waited for each.
const GIVEN_BACK_AT_ONCE: usize = 4;
const PATIENCE: Duration = Duration::from_secs(5);
/// Of what somebody is called.
const MOST_NAME_CHARS: usize = 100;
const UNKEPT: &str = "This cannot be kept right now. Try again.";

/// What is to be said of a log-in that came back.
pub(super) enum Came {
    Kept(LinkState),
    /// Whoever is at the browser is asked, by a form that has this name in it.
    Asked {
        name: String,
        account: Account,
    },
}

impl Gateway {
    /// Keeps what a log-in brought, if it is hers. Else somebody at a browser is asked first; a program follows an
    /// `authorize_uri` for whoever runs it, and what it brings waits for the owner's word (protocol.md 2.2).
    pub(super) async fn take(&self, begun: &Begun, authorized: Authorized, is_at_browser: bool) -> Result<Came, String> {
        let issuer = begun.flow.issuer.as_str();
        let text = |name: &str| authorized.account.get(name).and_then(Value::as_str);
        let verified = authorized.account.get("email_verified").and_then(Value::as_bool) == Some(true);
        let account = Account {
            sub: text("sub").map(str::to_owned),
            email: text("email").filter(|_| verified).and_then(types::email::normalize),
            name: text("name").map(|name| name.chars().take(MOST_NAME_CHARS).collect()),
        };
        let there = text(&self.settings.owner_claim).unwrap_or_default().to_owned();
        let known_as = authorized.tokens.resource.as_deref().filter(|known| self.is_another(issuer, known)).map(str::to_owned);
        let brought = Brought {
            owner: begun.owner.clone(),
            issuer: issuer.to_owned(),
            is_owner: self.is_listed(issuer) && there == begun.owner,
            account,
            tokens: authorized.tokens,
            state: begun.flow.state.clone(),
            expires: begun.expires,
            by: begun.by.clone(),
        };
        if !brought.is_short() {
            self.give_back_later(vec![brought]);
            return Err("The authorization server's answer is too long to be kept.".into());
        }
        if let Some(known) = known_as {
            self.give_back_later(vec![brought]);
            return Err(self.say_another(&known));
        }
        if !brought.is_owner && !begun.chosen {
            // the PAT is somebody else's: give it back
            self.give_back(&brought).await?;
            return Err(format!(
                "You are logged in as `{there}`, but this is for `{}`. Log out there, and log in as the owner.",
                begun.owner
            ));
        }
        if !is_at_browser || self.is_same_person(&brought).await? {
            return self.keep_account(brought).await.map(Came::Kept);
        }
        let (name, account) = (jose::ambient::random_text::<16>(&*self.client.randomness), brought.account.clone());
        let put = self.waiting.keep(name.clone(), brought, self.client.clock.now());
        self.give_back_later(put.gone);
        match put.is_kept {
            true => Ok(Came::Asked { name, account }),
            false => Err("Too many links wait for an answer. Try again in some minutes.".into()),
        }
    }

    /// Whether a server of the operator's says of a PAT that it is another resource server's: that one's client was written
    /// into this gateway's configuration as well.
    pub(super) fn is_another(&self, issuer: &str, known: &str) -> bool {
        self.is_listed(issuer) && known.trim_end_matches('/') != self.settings.resource
    }

    pub(super) fn say_another(&self, known: &str) -> String {
        let (known, own) = (readable(known), &self.settings.resource);
        format!(
            "That server knows this gateway's client as {known}, and this is {own}: tokens for it would be for the other. Its \
             operator gives each gateway a client of its own, with `resource = \"{own}\"`."
        )
    }

    /// Takes the word of a server alone for nothing that it does not know: an account is hers by a server of the operator's,
    /// or because she confirmed it before and it guards still.
    async fn is_same_person(&self, brought: &Brought) -> Result<bool, String> {
        let links = self.store.list_links(&brought.owner).await.map_err(|_| UNKEPT.to_owned())?;
        let is_same = |(issuer, link): &(String, Link)| {
            let same_account = *issuer == brought.issuer && link.account.sub == brought.account.sub;
            let same_address = self.is_listed(issuer) && link.account.email == brought.account.email;
            link.state == LinkState::Active
                && ((brought.account.sub.is_some() && same_account) || (brought.account.email.is_some() && same_address))
        };
        Ok(brought.is_owner || links.iter().any(is_same))
    }

    /// Keeps it: good at once where it is known to be hers, else until the owner has confirmed it. What cannot be kept is
    /// given back.
    pub(super) async fn keep_account(&self, brought: Brought) -> Result<LinkState, String> {
        let kept = self.try_to_keep(&brought).await;
        if kept.is_err() {
            self.give_back_later(vec![brought]);
        }
        kept
    }

    async fn try_to_keep(&self, brought: &Brought) -> Result<LinkState, String> {
        let Brought { owner, issuer, tokens, account, is_owner, by, .. } = brought.clone();
        // of several that come at one time, one takes the last room
        let bringing = self.turn(&format!("servers of {owner}")).await;
        let _bringing = bringing.lock().await;
        let turn = self.link_turn(&owner, &issuer).await;
        let _held = turn.lock().await;
        if !self.make_room(&owner, &issuer).await.map_err(|_| UNKEPT.to_owned())? {
            return Err(format!("This authorization server cannot be kept: {FULL}."));
        }
        let links = self.store.list_links(&owner).await.map_err(|_| UNKEPT.to_owned())?;
        let known =
            |link: &Link| link.state == LinkState::Active && link.account.email.is_some() && link.account.email == account.email;
        let before = links.iter().find(|(of, _)| *of == issuer).map(|(_, link)| link);
        let again = before.is_some_and(|link| {
            let is_over = link.state == LinkState::Pending || link.by.as_ref().is_some_and(BroughtBy::is_ended);
            !is_over && link.account.sub.is_some() && link.account.sub == account.sub
        });
        let hers = is_owner || again || links.iter().any(|(of, link)| self.is_listed(of) && known(link));
        let state = if hers { LinkState::Active } else { LinkState::Pending };
        // what belongs to another account there renews nothing of this one
        let kept = before.cloned().unwrap_or_else(|| new_link(self.client.clock.now()));
        // what is hers by itself, or was before, rests on no application
        let by = match (is_owner, again) {
            (true, _) => None,
            (_, true) if !by.as_ref().is_some_and(|by| by.declared) => kept.by.clone(),
            _ => by,
        };
        let link = Link { state, account, refresh_token: kept.refresh_token.filter(|_| again), by, ..kept };
        let kept = self.keep_new(&owner, &issuer, tokens, link).await;
        kept.map(|()| state).map_err(|_| UNKEPT.to_owned())
    }

    /// Gives back what nobody answered in time.
    pub(in super::super) fn give_back_unanswered(&self, now: Timestamp) {
        self.give_back_later(self.waiting.take_ended(now));
    }

    /// The same in the background, a few at a time: nobody waits for it, and a server that is away keeps what it gave.
    pub(super) fn give_back_later(&self, gone: Vec<Brought>) {
        if gone.is_empty() {
            return;
        }
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let Some(gateway) = myself.upgrade() else { return };
            let all = futures_util::stream::iter(&gone).for_each_concurrent(GIVEN_BACK_AT_ONCE, |brought| async {
                let given = tokio::time::timeout(PATIENCE, gateway.give_back(brought)).await;
                if let Err(error) = given.unwrap_or_else(|_| Err("it does not answer".into())) {
                    tracing::info!(error, issuer = brought.issuer, "tokens that nobody wanted could not be given back");
                }
            });
            all.await;
        });
    }

    /// The same of tokens of a link that has ended.
    pub(super) fn return_tokens(&self, issuer: String, tokens: TokenResponse) {
        let myself = self.myself.clone();
        tokio::spawn(async move {
            let Some(gateway) = myself.upgrade() else { return };
            if let Err(error) = gateway.give_tokens_back(&issuer, &tokens).await {
                tracing::info!(error, issuer, "tokens of a link that has ended could not be given back");
            }
        });
    }

    /// Tells the authorization server that what it gave is not used (RFC 7009).
    pub(super) async fn give_back(&self, brought: &Brought) -> Result<(), String> {
        self.give_tokens_back(&brought.issuer, &brought.tokens).await
    }

    async fn give_tokens_back(&self, issuer: &str, tokens: &TokenResponse) -> Result<(), String> {
        let peer = self.peer(issuer).await.map_err(|error| error.to_string())?;
        let token = tokens.refresh_token.as_deref().unwrap_or(&tokens.access_token);
        peer.protection.client.revoke(&peer.protection.metadata, token).await.map_err(|error| error.to_string())
    }
}
