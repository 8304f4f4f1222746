//! Whether what an application brought in an owner's name counts (decision 0061): keys that sign as her, and servers that guard what
//! is hers. It counts as long as she lets the application manage here, which the server that let it in is asked; and longer where
//! the operator there vouches for the application, or she said in a browser of hers that it is her own.
//!
//! Nobody is asked about the same word of hers more often than every ten seconds. A server that does not answer says nothing: what
//! was known of it last holds for a day (decision 0066). Then what rests on its word counts no more, until it answers again; nothing
//! is written of that. What has ended is written down, and does not come back by itself.

use super::Gateway;
use super::admission::Guarding;
use super::store::{Link, LinkState, Opinion, Registered, Standing};
use crate::protection::ProtectionError;
use database::ReadError;
use futures_util::{FutureExt, StreamExt};
use quick_cache::sync::Cache;
use std::sync::Arc;
use std::time::{Duration, Instant};
use types::brought::BroughtBy;
use types::credential::CredentialDocument;
use types::{ClientId, GrantId, Timestamp};

/// How long an answer is taken for what is so.
const KNOWN_FOR: Duration = Duration::from_secs(10);
/// How long is waited for one.
const PATIENCE: Duration = Duration::from_secs(5);
/// Words of hers that are asked about at a time for one list.
const AT_A_TIME: usize = 8;
/// How often what changes meanwhile is looked at once more.
const MOST_CHANGES: usize = 8;
/// How long what an application brought counts while nobody says whether she lets it manage still.
pub(super) const COUNTS_UNANSWERED_SECONDS: i64 = 86_400;
/// How old what is written down of the last answer becomes before it is written anew.
const NOTED_ANEW_SECONDS: i64 = 3_600;

/// Why a server guards an owner's things no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Over {
    /// She let the application go that brought it.
    Application,
    Owner,
}

/// Of servers that guard something, whether those that an application brought do so still.
pub(super) enum Servers {
    /// One does not, and what guards is something else by now.
    Lost,
    /// They do, but for those that do not count as long as nobody answers for them.
    Guard { all_but: Vec<String> },
}

impl Servers {
    /// What is left of what guards.
    pub(super) fn leave(all_but: &[String], guarding: Vec<Guarding>) -> Vec<Guarding> {
        if all_but.is_empty() {
            return guarding;
        }
        let counts = |one: &&Registered| !all_but.contains(&one.issuer);
        guarding.iter().map(|all| Arc::new(all.iter().filter(counts).cloned().collect())).collect()
    }
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

/// Whether an owner lets an application manage, as far as this gateway knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Word {
    Stands,
    /// It has ended, and that is final.
    Over,
    /// Nobody has said so for a day.
    Unanswered,
}

/// What a server said about an owner's word.
#[derive(Clone, Copy)]
enum Answer {
    Stands,
    Over,
    /// Nothing. When it last said that it stands, as far as that is written down.
    Nothing {
        answered: Option<Timestamp>,
    },
}

/// What was answered, and when.
#[derive(Clone, Copy)]
struct Asked {
    at: Instant,
    answer: Answer,
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
        self.0.retain(|_, known| matches!(known.answer, Answer::Over));
    }

    /// What holds without asking: an end is final.
    fn find(&self, grant: &GrantId) -> Option<Answer> {
        let known = self.0.get(grant.as_str())?;
        (matches!(known.answer, Answer::Over) || known.at.elapsed() < KNOWN_FOR).then_some(known.answer)
    }
}

impl Gateway {
    /// Whether what was brought so counts by now.
    pub(super) async fn counts(&self, owner: &str, by: Option<&BroughtBy>) -> bool {
        self.find_word(owner, by).await == Word::Stands
    }

    /// Whether that stands on which what was brought so rests.
    pub(super) async fn find_word(&self, owner: &str, by: Option<&BroughtBy>) -> Word {
        let Some(by) = by else { return Word::Stands };
        if by.is_ended() {
            return Word::Over;
        }
        let Some(grant) = by.asked_about() else { return Word::Stands };
        // another issuer than it came by knows nothing of it, and where there is none any more nobody can be asked
        let issuer = self.settings.management.as_ref().map(|management| management.issuer.as_str());
        let is_of_another = by.issuer.is_some() && by.issuer.as_deref() != issuer;
        if is_of_another || (issuer.is_none() && self.own_log_in.is_none()) {
            return Word::Stands;
        }
        match Box::pin(self.find_answer(grant)).await {
            Answer::Stands => Word::Stands,
            Answer::Nothing { answered } => self.judge_silence(by, answered),
            Answer::Over => {
                if let Err(error) = Box::pin(self.end_brought(owner, grant)).await {
                    tracing::warn!(%error, owner, "what an application brought counts no more, and that could not be written down");
                }
                Word::Over
            }
        }
    }

    /// What was brought was brought on an answer, and counts for a day from the last one.
    fn judge_silence(&self, by: &BroughtBy, answered: Option<Timestamp>) -> Word {
        let now = self.client.clock.now();
        // a time that has not come was written by a wrong clock
        let last = answered.filter(|answered| *answered <= now).map_or(by.at, |answered| answered.max(by.at));
        if now < last.plus(COUNTS_UNANSWERED_SECONDS) {
            return Word::Stands;
        }
        if self.is_worth_a_line("grants unanswered") {
            tracing::warn!(
                client = by.client.as_ref().map(ClientId::as_str),
                "for a day nobody said whether an owner lets an application manage: what it brought counts when that is said again"
            );
        }
        Word::Unanswered
    }

    async fn find_answer(&self, grant: &GrantId) -> Answer {
        if let Some(answer) = self.rmts.grants.find(grant) {
            return answer;
        }
        // who was away when asked last is asked behind the call
        if let Some(known) = self.rmts.grants.0.get(grant.as_str()).filter(|known| matches!(known.answer, Answer::Nothing { .. }))
        {
            self.rmts.grants.note(grant, Asked { at: Instant::now(), ..known });
            let (myself, grant) = (self.myself.clone(), grant.clone());
            tokio::spawn(async move {
                if let Some(gateway) = myself.upgrade() {
                    gateway.ask_whether_granted(&grant).await;
                }
            });
            return known.answer;
        }
        // of many calls, one asks
        let turn = self.turn(&format!("grant {grant}")).await;
        let _held = turn.lock().await;
        match self.rmts.grants.find(grant) {
            Some(answer) => answer,
            None => self.ask_whether_granted(grant).await,
        }
    }

    async fn ask_whether_granted(&self, grant: &GrantId) -> Answer {
        let told = tokio::time::timeout(PATIENCE, self.ask_about_grant(grant.as_str())).await;
        let answer = match told.unwrap_or(Err(ProtectionError::Unreachable)) {
            Ok(true) => {
                self.note_answered(grant).await;
                Answer::Stands
            }
            Ok(false) => Answer::Over,
            Err(error) => {
                if self.is_worth_a_line("grants") {
                    tracing::info!(%error, "nobody says whether an owner lets an application manage still: what was known holds for a day");
                }
                Answer::Nothing { answered: self.find_answered(grant).await }
            }
        };
        self.rmts.grants.note(grant, Asked { at: Instant::now(), answer });
        answer
    }

    /// Writes down that it was answered, so that the day of silence is the same behind a restart.
    async fn note_answered(&self, grant: &GrantId) {
        let now = self.client.clock.now();
        let is_fresh = |at: Timestamp| at <= now && now < at.plus(NOTED_ANEW_SECONDS);
        if self.find_answered(grant).await.is_some_and(is_fresh) {
            return;
        }
        if let Err(error) = self.store.put_answered(grant, now).await {
            tracing::warn!(%error, "that an application may manage for an owner could not be written down");
        }
    }

    /// What cannot be read counts as never written: then it rests on the answer on which it was brought.
    async fn find_answered(&self, grant: &GrantId) -> Option<Timestamp> {
        self.store.find_answered(grant).await.unwrap_or_else(|error| {
            tracing::error!(%error, "when an application was last known to manage for an owner cannot be read");
            None
        })
    }

    /// What rested on this word of hers counts no more. Servers that it brought guard nothing: what they guarded is registered
    /// anew where she decides.
    async fn end_brought(&self, owner: &str, grant: &GrantId) -> Result<(), ProtectionError> {
        let turn = self.turn(&format!("brought to {owner}")).await;
        let _held = turn.lock().await;
        let rests = |by: &Option<BroughtBy>| by.as_ref().is_some_and(|by| by.asked_about() == Some(grant));
        let mut rounds = 0..MOST_CHANGES;
        while !self.end_credentials(owner, &rests).await? {
            // somebody changes them all the time: nobody would come back to what stays
            rounds.next().ok_or(ProtectionError::Store)?;
        }
        for (issuer, link) in self.store.list_links(owner).await?.into_iter().filter(|(_, link)| rests(&link.by)) {
            self.end_server(owner, &issuer, &link, Over::Application).await?;
        }
        Ok(())
    }

    /// Whether all are ended as they stood there: one that was changed meanwhile is looked at once more.
    async fn end_credentials(&self, owner: &str, rests: impl Fn(&Option<BroughtBy>) -> bool) -> Result<bool, ProtectionError> {
        let mut is_done = true;
        for credential in self.store.list_credentials(owner).await?.into_iter().filter(|one| rests(&one.by)) {
            if let Ok(subject) = client::credential::subject_of(credential.cred_type, &credential.cred_value) {
                let ended = CredentialDocument { by: credential.by.as_ref().map(BroughtBy::ended), ..credential.clone() };
                is_done &= self.store.replace_credential(owner, &subject, &credential, &ended).await?;
            }
        }
        Ok(is_done)
    }

    /// Registrations first: as long as the link is there, the rest is found again after a crash.
    pub(super) async fn end_server(&self, owner: &str, issuer: &str, link: &Link, why: Over) -> Result<(), ProtectionError> {
        tracing::info!(owner, issuer, why = why.reason(), "a server guards nothing of its owner any more");
        let guards = |one: &&Registered| one.issuer == issuer && one.guards();
        let until = tokio::time::Instant::now() + PATIENCE;
        for one in self.store.list_registrations(owner).await?.iter().filter(guards) {
            // whoever works on it writes down what they read; one that takes too long keeps no server guarding
            let _busy = tokio::time::timeout_at(until, self.next_operation(owner, &one.own_id)).await;
            let all = self.store.registrations(owner, &one.own_id).await?;
            let Some(one) = all.iter().find(|now| now.id == one.id).filter(guards) else { continue };
            let over = Registered { standing: Standing::Failed, error: Some(why.reason().to_owned()), ..one.clone() };
            let guards_on = all.iter().any(|other| other.guards() && other.id != over.id);
            let opinion = self.store.find_opinion(owner, &over.own_id).await?;
            match opinion.placed && !guards_on {
                // in one write: what is over and still placed would be registered by nobody
                true => {
                    let opinion = Opinion { placed: false, ..opinion };
                    self.store.change_opinion(owner, &over.own_id, &opinion, std::slice::from_ref(&over)).await?;
                }
                false => self.store.change_registrations(std::slice::from_ref(&over), &[]).await?,
            }
        }
        let by = link.by.as_ref().map(BroughtBy::ended);
        let ended =
            Link { state: LinkState::Withdrawn, refresh_token: None, renewal_asked: None, preferred: false, by, ..link.clone() };
        self.store.put_link(owner, issuer, &ended).await
    }

    /// Of servers that guard this, whether those that an application brought do so still.
    pub(super) async fn check_servers(&self, owner: &str, guarding: &[Guarding]) -> Result<Servers, ReadError> {
        let (mut lost, mut silent) = (false, Vec::new());
        let mut looked_at: Vec<&str> = Vec::new();
        for one in guarding.iter().flat_map(|all| all.iter()) {
            if looked_at.contains(&one.issuer.as_str()) || self.is_ready_made(&one.issuer) {
                continue;
            }
            looked_at.push(&one.issuer);
            let link = self.store.find_link(owner, &one.issuer).await?;
            let Some(by) = link.as_ref().and_then(|link| link.by.as_ref()) else { continue };
            match self.find_word(owner, Some(by)).await {
                Word::Stands => {}
                Word::Over => lost = true,
                Word::Unanswered => silent.push(one.issuer.clone()),
            }
        }
        Ok(if lost { Servers::Lost } else { Servers::Guard { all_but: silent } })
    }

    /// Where is registered what she has not placed and nobody ordered. Of links whose application does not act for her any more,
    /// that is written down.
    ///
    /// # Errors
    ///
    /// [`ProtectionError::Unreachable`] where the server that it is does not count by now, since nobody says so.
    pub(super) async fn find_place_for_new(&self, owner: &str) -> Result<Option<String>, ProtectionError> {
        let mut silent = Vec::new();
        for (issuer, link) in
            self.store.list_links(owner).await?.into_iter().filter(|(_, link)| link.state != LinkState::Withdrawn)
        {
            if self.find_word(owner, link.by.as_ref()).await == Word::Unanswered {
                silent.push(issuer);
            }
        }
        match self.preferred_server(owner).await?.filter(|issuer| !self.is_server_level(issuer)) {
            Some(issuer) if silent.contains(&issuer) => Err(ProtectionError::Unreachable),
            place => Ok(place),
        }
    }

    /// The credential of this name, if it counts.
    pub(super) async fn find_counting_credential(
        &self,
        owner: &str,
        subject: &str,
    ) -> Result<Option<Arc<CredentialDocument>>, ReadError> {
        let Some(found) = self.store.find_credential(owner, subject).await? else { return Ok(None) };
        Ok(if self.counts(owner, found.by.as_ref()).await { Some(found) } else { None })
    }

    /// Those that count.
    pub(super) async fn list_counting_credentials(&self, owner: &str) -> Result<Vec<CredentialDocument>, ReadError> {
        let (all, mut counting) = (self.store.list_credentials(owner).await?, Vec::new());
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
