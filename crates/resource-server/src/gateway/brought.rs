//! Whether what an application brought in an owner's name counts (decision 0061): keys that sign as her, and servers that guard what
//! is hers. It counts as long as she lets the application manage here, which the server that let it in is asked; and longer where
//! the operator there vouches for the application, or she said in a browser of hers that it is her own.
//!
//! Nobody is asked about the same word of hers more often than every ten seconds. A server that does not answer says nothing: what
//! was known of it last holds. What has ended is written down, and does not come back by itself.

use super::Gateway;
use super::admission::Guarding;
use super::store::{Link, LinkState, Opinion, Registered, Standing, Unreadable};
use crate::protection::ProtectionError;
use futures_util::{FutureExt, StreamExt};
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::GrantId;
use types::brought::BroughtBy;
use types::credential::CredentialDocument;

/// How long an answer is taken for what is so.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// How long is waited for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Words of hers that are asked about at a time for one list.
const AT_A_TIME: usize = 8;

/// Why a server guards an owner's things no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// She let the application go that brought it.
    Application,
    Owner,
}

impl Over {
    /// As she reads it of what was registered there.
    fn reason(self) -> &'static str {
        match self {
            Self::Application => "the application that brought this authorization server does not act for you any more",
            Self::Owner => "you ended this authorization server here",
        }
    }
}

/// What was answered about an owner's word, and when.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    stands: bool,
    /// Whether somebody answered, or it is what was known before.
    answered: bool,
}

/// What was answered last.
pub(super) struct Grants(Cache<String, Asked>);

impl Default for Grants {
    fn default() -> Self {
        Self(Cache::new(10_000))
    }
}

impl Grants {
    fn note(&self, grant: &GrantId, asked: Asked) {
        self.0.insert(grant.as_str().to_owned(), asked);
    }

    #[cfg(test)]
    pub(super) fn forget(&self) {
        self.0.retain(|_, known| !known.stands);
    }

    /// What holds without asking: an end is final.
    fn find(&self, grant: &GrantId) -> Option<bool> {
        let known = self.0.get(grant.as_str())?;
        (!known.stands || known.at.elapsed() < KNOWN_FOR).then_some(known.stands)
    }
}

impl Gateway {
    /// Whether what was brought so counts by now.
    pub(super) async fn counts(&self, owner: &str, by: Option<&BroughtBy>) -> bool {
        let Some(by) = by else { return true };
        if by.is_ended() {
            return false;
        }
        let Some(grant) = by.asked_about() else { return true };
        // another issuer than it came by knows nothing of it
        let issuer = self.settings.management.as_ref().map(|management| management.issuer.as_str());
        if by.issuer.is_some() && by.issuer.as_deref() != issuer {
            return true;
        }
        let stands = self.is_granted(grant).await;
        if !stands && let Err(error) = self.end_brought(owner, grant).await {
            tracing::warn!(%error, owner, "what an application brought counts no more, and that could not be written down");
        }
        stands
    }

    async fn is_granted(&self, grant: &GrantId) -> bool {
        if let Some(stands) = self.rmts.grants.find(grant) {
            return stands;
        }
        // who was away when asked last is asked behind the call
        if let Some(known) = self.rmts.grants.0.get(grant.as_str()).filter(|known| !known.answered) {
            self.rmts.grants.note(grant, Asked { at: Instant::now(), ..known });
            let (myself, grant) = (self.myself.clone(), grant.clone());
            tokio::spawn(async move {
                if let Some(gateway) = myself.upgrade() {
                    gateway.ask_whether_granted(&grant).await;
                }
            });
            return known.stands;
        }
        // of many calls, one asks
        let turn = self.turn(&format!("grant {grant}")).await;
        let _held = turn.lock().await;
        match self.rmts.grants.find(grant) {
            Some(stands) => stands,
            None => self.ask_whether_granted(grant).await,
        }
    }

    async fn ask_whether_granted(&self, grant: &GrantId) -> bool {
        let answer = tokio::time::timeout(PATIENCE, self.ask_about_grant(grant.as_str())).await;
        let (stands, answered) = match answer.unwrap_or(Err(ProtectionError::Unreachable)) {
            Ok(stands) => (stands, true),
            Err(error) => {
                if self.is_worth_a_line("grants") {
                    tracing::info!(%error, "nobody says whether an owner lets an application manage still: what was known holds");
                }
                (true, false)
            }
        };
        self.rmts.grants.note(grant, Asked { at: Instant::now(), stands, answered });
        stands
    }

    /// What rested on this word of hers counts no more. Servers that it brought guard nothing: what they guarded is registered
    /// anew where she decides.
    async fn end_brought(&self, owner: &str, grant: &GrantId) -> Result<(), ProtectionError> {
        let turn = self.turn(&format!("brought to {owner}")).await;
        let _held = turn.lock().await;
        let rests = |by: &Option<BroughtBy>| by.as_ref().is_some_and(|by| by.asked_about() == Some(grant));
        for credential in self.store.list_credentials(owner)?.into_iter().filter(|one| rests(&one.by)) {
            if let Ok(subject) = client::credential::subject_of(credential.cred_type, &credential.cred_value) {
                let ended = CredentialDocument { by: credential.by.as_ref().map(BroughtBy::ended), ..credential };
                self.store.put_credential(owner, &subject, &ended).await?;
            }
        }
        for (issuer, link) in self.store.list_links(owner)?.into_iter().filter(|(_, link)| rests(&link.by)) {
            self.end_server(owner, &issuer, &link, Over::Application).await?;
        }
        Ok(())
    }

    /// Registrations first: as long as the link is there, the rest is found again after a crash.
    pub(super) async fn end_server(&self, owner: &str, issuer: &str, link: &Link, why: Over) -> Result<(), ProtectionError> {
        tracing::info!(owner, issuer, why = why.reason(), "a server guards nothing of its owner any more");
        for one in self.store.list_registrations(owner)?.into_iter().filter(|one| one.issuer == issuer && one.guards()) {
            let over = Registered { standing: Standing::Failed, error: Some(why.reason().to_owned()), ..one };
            self.store.change_registrations(std::slice::from_ref(&over), &[]).await?;
            let all = self.store.registrations(owner, &over.own_id)?;
            let opinion = self.store.find_opinion(owner, &over.own_id)?;
            if opinion.placed && !all.iter().any(Registered::guards) {
                self.store.put_opinion(owner, &over.own_id, &Opinion { placed: false, ..opinion }).await?;
            }
        }
        let by = link.by.as_ref().map(BroughtBy::ended);
        let ended = Link { state: LinkState::Withdrawn, refresh_token: None, preferred: false, by, ..link.clone() };
        self.store.put_link(owner, issuer, &ended).await
    }

    /// Whether a server that guards this was found to count no more, so that what guards it is something else by now.
    pub(super) async fn has_lost_a_server(&self, owner: &str, guarding: &[Guarding]) -> Result<bool, Unreadable> {
        let mut lost = false;
        let mut looked_at: Vec<&str> = Vec::new();
        for one in guarding.iter().flat_map(|all| all.iter()) {
            if looked_at.contains(&one.issuer.as_str()) || self.is_ready_made(&one.issuer) {
                continue;
            }
            looked_at.push(&one.issuer);
            let link = self.store.find_link(owner, &one.issuer)?;
            lost |= match link.as_ref().and_then(|link| link.by.as_ref()) {
                Some(by) => !self.counts(owner, Some(by)).await,
                None => false,
            };
        }
        Ok(lost)
    }

    /// Of links whose application does not act for her any more, that is written down.
    pub(super) async fn end_lost_links(&self, owner: &str) -> Result<(), Unreadable> {
        for (_, link) in self.store.list_links(owner)?.into_iter().filter(|(_, link)| link.state != LinkState::Withdrawn) {
            self.counts(owner, link.by.as_ref()).await;
        }
        Ok(())
    }

    /// The credential of this name, if it counts.
    pub(super) async fn find_counting_credential(
        &self,
        owner: &str,
        subject: &str,
    ) -> Result<Option<Arc<CredentialDocument>>, Unreadable> {
        let Some(found) = self.store.find_credential(owner, subject)? else { return Ok(None) };
        Ok(if self.counts(owner, found.by.as_ref()).await { Some(found) } else { None })
    }

    /// Those that count.
    pub(super) async fn list_counting_credentials(&self, owner: &str) -> Result<Vec<CredentialDocument>, Unreadable> {
        let (all, mut counting) = (self.store.list_credentials(owner)?, Vec::new());
        let mut grants: Vec<&BroughtBy> = Vec::new();
        for by in all.iter().filter_map(|credential| credential.by.as_ref()) {
            if !grants.iter().any(|known| known.asked_about() == by.asked_about()) {
                grants.push(by);
            }
        }
        // several are asked about at a time, so that nobody waits for each after the other
        let counts: Vec<_> = grants.into_iter().map(|by| self.counts(owner, Some(by)).boxed()).collect();
        futures_util::stream::iter(counts).buffer_unordered(AT_A_TIME).for_each(|_| std::future::ready(())).await;
        for credential in all {
            if self.counts(owner, credential.by.as_ref()).await {
                counting.push(credential);
            }
        }
        Ok(counting)
    }
}
