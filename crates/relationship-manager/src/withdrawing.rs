//! Withdrawing, over all servers at once: what is known here at once, and of everything of somebody's also what a server says when it
//! is read anew.

use crate::ending::{Ending, deletion, unheard};
use crate::holdings::{Holdings, Known, Share, Who};
use crate::ledger::{Said, Word, id_of};
use crate::share::segment;
use crate::task::Wanted;
use crate::words::{self, who_asked};
use crate::{Manager, Trouble};
use http::Method;
use std::collections::HashSet;
use std::sync::Arc;
use types::Timestamp;
use types::access_request::AccessRequestDocument;

impl Manager {
    /// Withdraws a share of a thing: what she signed by her ledger, whatever a server lists; what a server alone says at that
    /// server. Whoever loses it loses what was approved of the same thing as well.
    pub(crate) async fn withdraw(self: &Arc<Self>, owner: &str, thing: &str, share: (String, Share)) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let approved = holdings.approved_beside(thing, &share.1.who);
        let mut ending = holdings.ending(&[share]);
        holdings.end_approvals(|known, one| approved.contains(&(known.link.id.as_str(), one.id.as_str())), &mut ending);
        self.ask_and_end(owner, ending.wanted, &ending.words).await
    }

    /// Everything of somebody's at once: shares, and requests that were approved. What is known at once; beside that her servers are read
    /// anew, and what they say more ends, too. What comes back are servers that could not be read: nobody knows what else they
    /// let that person see. It is carried out to its end, also when the page is closed meanwhile.
    pub(crate) async fn withdraw_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<String>, Trouble> {
        let (manager, owner, who) = (self.clone(), owner.to_owned(), who.clone());
        let withdrawing = tokio::spawn(async move { manager.end_everything(&owner, &who).await });
        withdrawing.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn end_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<String>, Trouble> {
        let holdings = self.known_holdings(owner)?;
        let known = holdings.ending_of_everything(who, self.now());
        let guards = holdings.servers.iter().filter(|known| known.link.place.is_guard());
        let guards: Vec<_> = guards.map(|known| known.link.id.clone()).collect();
        let begun = self.reading_time();
        // at once: she waits for one of both where a server is slow
        let (asked, ()) =
            tokio::join!(self.ask_and_end(owner, known.wanted.clone(), &known.words), self.read_servers(owner, guards));
        asked?;
        let holdings = self.known_holdings(owner)?;
        let mut rest = holdings.ending_of_everything(who, self.now());
        let asked = self.store.list_tasks(owner)?;
        let is_asked = |one: &Wanted| known.wanted.iter().any(|other| other == one || is_same_deletion(other, one));
        rest.wanted.retain(|one| !is_asked(one) && !asked.iter().any(|task| task.stands_for(one)));
        if !rest.wanted.is_empty() || !rest.words.is_empty() {
            self.ask_and_end(owner, rest.wanted, &rest.words).await?;
        }
        let unread = |known: &&Known| known.link.place.is_guard() && known.snapshot.begun <= begun;
        Ok(holdings.servers.iter().filter(unread).map(|known| known.link.place.url().to_owned()).collect())
    }

    /// One request that she approved.
    pub(crate) async fn withdraw_approval(self: &Arc<Self>, owner: &str, link: &str, request: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner)?;
        let mut ending = Ending::default();
        let (now, is_it) =
            (self.now(), |known: &Known, one: &AccessRequestDocument| known.link.id == link && one.id.as_str() == request);
        holdings.end_approvals(|known, one| one.lets_in(now) && is_it(known, one), &mut ending);
        match ending.wanted.is_empty() {
            true => Err(Trouble::Refused("This has ended already.".into())),
            false => self.ask(owner, ending.wanted).await,
        }
    }

    /// Takes back words of hers, by their names in the ledger.
    pub(crate) async fn withdraw_words(self: &Arc<Self>, owner: &str, ids: &[String]) -> Result<(), Trouble> {
        let holdings = self.known_holdings(owner)?;
        let mut ending = Ending::default();
        ids.iter().for_each(|id| holdings.end_word(id, &mut ending));
        if ending.words.is_empty() {
            return Ok(());
        }
        self.ask_and_end(owner, ending.wanted, &ending.words).await
    }
}

/// Whether the same goes at the same place, whatever it is called and by which word.
fn is_same_deletion(one: &Wanted, other: &Wanted) -> bool {
    let is_deletion = one.method == Method::DELETE && other.method == Method::DELETE && !one.url.is_empty();
    is_deletion && (&one.server, &one.url) == (&other.server, &other.url)
}

/// Whether she signed it for this person.
fn is_for(word: &Word, who: &Who) -> bool {
    matches!(&word.said, Said::Share(token) if words::who_of_token(&token.allowed_rqp) == *who)
}

impl Holdings {
    fn ending_of_everything(&self, who: &Who, now: Timestamp) -> Ending {
        let mut ending = self.ending(&self.shares_of(who));
        self.end_approvals(|_, request| request.lets_in(now) && who_asked(request) == *who, &mut ending);
        self.end_unjoined(who, &mut ending);
        ending
    }

    /// What guards let this person reach of which no place has said yet that it keeps it, or which it leaves out: it stands on no
    /// page as a thing, and ends all the same.
    fn end_unjoined(&self, who: &Who, ending: &mut Ending) {
        let shares = self.things.iter().flat_map(|thing| &thing.shares);
        let joined: HashSet<(&str, &str)> = shares.map(|share| (share.place.as_str(), share.id.as_str())).collect();
        for known in self.servers.iter().filter(|known| known.link.place.is_guard()) {
            let url = known.link.place.url();
            for policy in &known.snapshot.policies {
                let Some(id) = policy.id.as_ref().filter(|id| !joined.contains(&(url, id.as_str()))) else { continue };
                if let Some(text) = &policy.authority {
                    let signed = self.word(&id_of(text)).filter(|word| is_for(word, who));
                    signed.into_iter().for_each(|word| self.end_word(&id_of(&word.text), ending));
                } else if words::who(&policy.required_claims) == *who && !known.snapshot.partly_read.contains(id) {
                    let what = format!("{}: something that its place has not listed", who.name());
                    let wanted = match &known.snapshot.policy_endpoint {
                        Some(endpoint) => deletion(known, what, format!("{endpoint}/{}", segment(id.as_str()))),
                        None => Wanted { method: Method::DELETE, ..unheard(url, what) },
                    };
                    // a guard may show without her text what she signed, and is told of that already
                    if !ending.wanted.iter().any(|one| is_same_deletion(one, &wanted)) {
                        ending.wanted.push(wanted);
                    }
                }
            }
        }
    }
}
