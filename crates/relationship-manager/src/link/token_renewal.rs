//! Links whose tokens are good for a while. One at a time renews the tokens of a link, in a task of its own that callers only wait
//! for: most servers replace the refresh token, and a page that is closed, or a reading that takes too long, must not take the new
//! one with it (row 27, decision 0068). That it is asked is written down before; what came is kept before it is used; and where the
//! answer was lost, the same is asked again soon, as long as the server lets that token be used.

use super::{Turn, in_her_name, not_linked};
use crate::store::{Link, LinkName};
use crate::{Manager, Trouble};
use client::renewals::Renewable;
use client::{Client, ClientError};
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::metadata::Metadata;
use types::token::TokenResponse;

/// How long the end waits for renewals that are under way.
const LAST_PATIENCE: Duration = Duration::from_secs(6);

impl Renewable for LinkName {
    fn line(&self) -> &str {
        &self.owner
    }
}

/// Why a server that has ended a link is not asked, as far as that is known.
fn ended(link: &Link) -> Trouble {
    let what = match link.renewal_asked {
        None => "it no longer takes this desk's word: link it again",
        Some(_) => {
            "it no longer takes this desk's word. An answer of it was lost on its way here, and that may be why: link it again"
        }
    };
    Trouble::Refused(what.into())
}

impl Manager {
    /// A link whose token is good for a while yet, and the client that uses it.
    pub(crate) async fn ready(&self, owner: &str, id: &str) -> Result<(Link, Client, Arc<Metadata>), Trouble> {
        // of what is not linked nothing is kept, and no turn
        self.store.find_link(owner, id).await?.ok_or_else(not_linked)?;
        let turn = self.turn_of(id).lock_owned().await;
        let link = self.store.find_link(owner, id).await?.ok_or_else(not_linked)?;
        if link.ended {
            return Err(ended(&link));
        }
        let metadata = self.metadata_of(link.place.issuer()).await?;
        let client = in_her_name(self.client_at(link.place.issuer()).await?, owner, &link);
        // tokens are its issuer's, and what they are for is at the place itself
        let there = in_her_name(client.at(link.place.url()), owner, &link);
        if self.now() < link.renew_from {
            return Ok((link, there, metadata));
        }
        let manager = self.myself.upgrade().ok_or_else(broken_off)?;
        let (owner, known) = (owner.to_owned(), metadata.clone());
        let renewal = async move {
            let mut turn = turn;
            manager.renew_link(&owner, link, (&client, &known), &mut turn).await
        };
        let kept = self.renewals.carry_out(renewal).await.ok_or_else(broken_off)??;
        Ok((kept, there, metadata))
    }

    /// By whoever has the turn of the link.
    async fn renew_link(
        &self,
        owner: &str,
        link: Link,
        (client, metadata): (&Client, &Metadata),
        turn: &mut Turn,
    ) -> Result<Link, Trouble> {
        let Some(refresh) = &link.refresh_token else { return Err(self.end_link(owner, link).await?) };
        self.note_asked(owner, &link).await?;
        let name = LinkName { owner: owner.to_owned(), id: link.id.clone() };
        match client.refresh(metadata, refresh).await {
            Ok(tokens) => {
                let kept = self.keep_renewed(&name, &link, tokens, turn).await;
                match &kept {
                    // what cannot be written down is as good as lost
                    Err(Trouble::Store(_)) => self.renewals.note_lost(name, Instant::now()),
                    _ => self.renewals.note_answered(&name),
                }
                kept
            }
            Err(error) if error.leaves_open() => {
                self.renewals.note_lost(name, Instant::now());
                Err(error.into())
            }
            Err(error) => {
                self.renewals.note_answered(&name);
                let is_no = matches!(&error, ClientError::Refused { error, .. } if error == "invalid_grant");
                if is_no {
                    return Err(self.end_link(owner, link).await?);
                }
                // as it stood before it was asked
                let before = |now_is: Link| match now_is.refresh_token == link.refresh_token {
                    true => Link { renewal_asked: link.renewal_asked, ..now_is },
                    false => now_is,
                };
                self.change_link(owner, &link.id, before).await?;
                Err(error.into())
            }
        }
    }

    /// Written down before it is asked: after a crash it is known whose answer was lost.
    async fn note_asked(&self, owner: &str, link: &Link) -> Result<(), Trouble> {
        if link.renewal_asked.is_some() {
            return Ok(());
        }
        let now = self.now();
        let asked = |now_is: Link| match now_is.refresh_token == link.refresh_token {
            true => Link { renewal_asked: Some(now), ..now_is },
            false => now_is,
        };
        let now_is = self.change_link(owner, &link.id, asked).await?;
        // where it is gone, or stands by other tokens, nobody is asked
        now_is.filter(|now_is| now_is.refresh_token == link.refresh_token).map(drop).ok_or_else(not_linked)
    }

    async fn keep_renewed(&self, name: &LinkName, link: &Link, tokens: TokenResponse, turn: &mut Turn) -> Result<Link, Trouble> {
        // what came is on disk before it is used: the token that it replaces may be good no more
        let brought = self.with_tokens(link.clone(), tokens.clone());
        let renewed = |now_is: Link| match now_is.refresh_token == link.refresh_token {
            true => self.with_tokens(now_is, tokens),
            // she has linked it again meanwhile
            false => now_is,
        };
        let kept = self.change_link(&name.owner, &name.id, renewed).await?;
        match &kept {
            // she has unlinked it meanwhile: the server is told so by what came
            None => {
                self.give_back(brought).await;
                turn.is_given_back = true;
            }
            Some(now_is) if now_is.access_token != brought.access_token => self.give_back(Link { told: None, ..brought }).await,
            Some(_) => {}
        }
        kept.ok_or_else(not_linked)
    }

    /// The server takes the tokens of this link no more: shown as such, where it has no others by now.
    pub(crate) async fn end_link(&self, owner: &str, link: Link) -> Result<Trouble, Trouble> {
        let over = |now_is: Link| match now_is.refresh_token == link.refresh_token && now_is.access_token == link.access_token {
            true => Link { ended: true, renewal_asked: link.renewal_asked, ..now_is },
            false => now_is,
        };
        self.change_link(owner, &link.id, over).await?;
        Ok(ended(&link))
    }

    /// Asks again where an answer was lost, also by the process before this one. Nobody has to call for it.
    pub(crate) async fn repeat_lost_renewals(&self) {
        if let Err(error) = self.read_lost_renewals().await {
            tracing::warn!(%error, "which renewals have no answer cannot be read");
        }
        for name in self.renewals.take_due(Instant::now()) {
            let Some(manager) = self.myself.upgrade() else { return };
            tokio::spawn(async move {
                if let Err(trouble) = manager.repeat(&name).await {
                    tracing::info!(%trouble, "a renewal whose answer was lost is asked for again later");
                }
            });
        }
    }

    /// Those that the process before this one lost.
    async fn read_lost_renewals(&self) -> Result<(), Trouble> {
        if !self.renewals.is_read() {
            self.renewals.note_read(self.store.list_unanswered_links().await?, Instant::now());
        }
        Ok(())
    }

    async fn repeat(&self, name: &LinkName) -> Result<(), Trouble> {
        let link = self.store.find_link(&name.owner, &name.id).await?;
        if link.is_some_and(|link| !link.ended && link.renewal_asked.is_some()) {
            self.ready(&name.owner, &name.id).await?;
            self.look_again(&name.owner);
        }
        self.renewals.note_answered(name);
        Ok(())
    }

    /// Waits, at the very end, for renewals that are under way. What is not answered by then is asked for at the next start.
    pub async fn end_renewals(&self) {
        if !self.renewals.wait_for_end(LAST_PATIENCE).await {
            tracing::warn!("a server did not answer a renewal before the end: it is asked again at the next start");
        }
    }
}

fn broken_off() -> Trouble {
    Trouble::Away("the renewal of this link broke off: try again".into())
}
