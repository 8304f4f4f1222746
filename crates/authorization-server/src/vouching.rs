//! Whose word about a person counts still. What was given on a word that is taken back - by an operator who trusts an issuer no
//! more, or gives an account another address - ends with that word, wherever it is looked at again: introspection, refresh,
//! revocations, an RPT or PCT that is brought along, and a process that is under way (threats 36, 48).

use crate::AuthorizationServer;
use crate::claims::is_self_issued;
use identity::{Account, Failure};
use rules::RequestingParty;
use rules::claim::{Claim, Subject};
use rules::ticket::Process;
use types::{AccountId, Timestamp, email};

/// Whether an account still says this of its person; what it never says, it takes back by nothing.
fn says(account: &Account, claim: &Claim) -> bool {
    let stated = claim.value.as_str();
    match claim.name.as_str() {
        "email" => stated.zip(account.verified_email()).is_some_and(|(stated, own)| email::is_same(stated, own)),
        // what somebody calls himself at a provider is no word of this server
        "name" => !account.is_of_provider() && stated == Some(account.display_name()),
        "preferred_username" => stated == Some(account.username.as_str()),
        _ => true,
    }
}

impl AuthorizationServer {
    /// Whether whoever vouched for whom a process speaks of does so still. One of an older version does not say since when: then
    /// nothing may have been taken back at all.
    pub(crate) async fn stands_by_process(&self, process: &Process) -> Result<bool, Failure> {
        self.stands_by(&process.requesting_party, process.vouched_at.unwrap_or(Timestamp(i64::MIN))).await
    }

    /// A word about this person joins a process. Others' words have no time: their issuers are trusted, or are not.
    pub(crate) fn note_word(&self, process: &mut Process, party: &RequestingParty, then: Timestamp) {
        if party.iter().any(|subject| subject.iss == *self.issuer()) {
            process.rest_on_word_of(then);
        }
    }

    /// Whether the word of each issuer who spoke of this person then counts here, and has not been taken back since.
    pub(crate) async fn stands_by(&self, party: &RequestingParty, then: Timestamp) -> Result<bool, Failure> {
        for subject in party.iter() {
            let counts = match self.find_account_of(subject).await? {
                Some(account) => account.vouches_for(then) && self.identity.is_open(&account).await?,
                None if subject.iss == *self.issuer() => true,
                None if is_self_issued(&subject.iss) => self.settings.extensions,
                None => self.settings.trusted_issuers.contains_key(&subject.iss),
            };
            if !counts {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// The account of this server that it is; none: an address that was proved here by a code, or somebody elsewhere.
    async fn find_account_of(&self, subject: &Subject) -> Result<Option<Account>, Failure> {
        if subject.iss != *self.issuer() {
            return Ok(None);
        }
        Ok(self.identity.store.find_account(&AccountId::from(subject.sub.as_str())).await?)
    }

    /// Where nobody vouches any more for whom a process spoke of, it begins anew: neither what it gathered nor what the owner was
    /// asked goes on.
    pub(crate) async fn begin_anew_if_taken_back(&self, process: &mut Process) -> Result<(), Failure> {
        if self.stands_by_process(process).await? {
            return Ok(());
        }
        let before = std::mem::take(process);
        (process.permissions, process.claim_tokens) = (before.permissions, before.claim_tokens);
        (process.cnf, process.wants_email, process.interval) = (before.cnf, before.wants_email, before.interval);
        process.asks_expressly = before.asks_expressly;
        Ok(())
    }

    /// Leaves out what nobody says of this person any more, whether the process gathered it, or a PCT or a claim token brought it.
    pub(crate) async fn leave_out_taken_back(&self, process: &mut Process) -> Result<(), Failure> {
        let mut own = None;
        for subject in process.requesting_party.iter() {
            own = own.or(self.find_account_of(subject).await?);
        }
        let is_said = |claim: &Claim| match self.settings.trusted_issuers.get(&claim.issuer) {
            _ if claim.issuer == *self.issuer() => own.as_ref().is_none_or(|account| says(account, claim)),
            _ if is_self_issued(&claim.issuer) => self.settings.extensions,
            trusted => trusted.is_some_and(|trusted| trusted.trust.covers(claim)),
        };
        process.claims.retain(is_said);
        let shown = process.disclosed_email.take();
        process.disclosed_email = shown.filter(|shown| process.claims.emails().any(|own| email::is_same(own, shown)));
        Ok(())
    }
}
