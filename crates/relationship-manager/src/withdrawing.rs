//! Withdrawing, over all servers at once: what is known here at once, and of everything of somebody's also what a server says when it
//! is read anew.

use crate::ending::Ending;
use crate::holdings::{Holdings, Known, Share, Who};
use crate::words::who_asked;
use crate::{Manager, Trouble};
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

    /// Everything of somebody's at once: shares, and requests that were approved. First what is known; then her servers are read anew,
    /// and what they say beside that ends, too. What comes back are servers that could not be read: nobody knows what else they
    /// let that person see. It is carried out to its end, also when the page is closed meanwhile.
    pub(crate) async fn withdraw_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<String>, Trouble> {
        let (manager, owner, who) = (self.clone(), owner.to_owned(), who.clone());
        let withdrawing = tokio::spawn(async move { manager.end_everything(&owner, &who).await });
        withdrawing.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn end_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<String>, Trouble> {
        let known = self.known_holdings(owner)?.ending_of_everything(who, self.now());
        self.ask_and_end(owner, known.wanted.clone(), &known.words).await?;
        let begun = self.reading_time();
        let guards = |holdings: &Holdings| {
            let guards = holdings.servers.iter().filter(|known| known.link.place.is_guard());
            guards.map(|known| known.link.id.clone()).collect::<Vec<_>>()
        };
        self.read_servers(owner, guards(&*self.known_holdings(owner)?)).await;
        let holdings = self.known_holdings(owner)?;
        let mut rest = holdings.ending_of_everything(who, self.now());
        let asked = self.store.list_tasks(owner)?;
        rest.wanted.retain(|one| !known.wanted.contains(one) && !asked.iter().any(|task| task.stands_for(one)));
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

impl Holdings {
    fn ending_of_everything(&self, who: &Who, now: Timestamp) -> Ending {
        let mut ending = self.ending(&self.shares_of(who));
        self.end_approvals(|_, request| request.lets_in(now) && who_asked(request) == *who, &mut ending);
        ending
    }
}
