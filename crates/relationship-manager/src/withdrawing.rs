//! Withdrawing, over all servers at once: what is known here at once, and of everything of somebody's also what a server says when it
//! is read anew.

use crate::ending::{Ending, deletion, unheard};
use crate::holdings::{Holdings, Known, Share, Who};
use crate::ledger::{Said, Word, id_of};
use crate::share::segment;
use crate::store::Place;
use crate::task::Wanted;
use crate::words::{self, who_asked};
use crate::{Manager, Trouble};
use http::Method;
use std::collections::HashSet;
use std::sync::Arc;
use types::Timestamp;
use types::access_request::AccessRequestDocument;
use types::delegation::DelegationDocument;
use types::policy::PolicyDocument;

/// What is shared and stands on no page, in words.
const UNPLACED: &str = "something that its place has not listed";

impl Manager {
    /// Withdraws a share of a thing: what she signed by her ledger, whatever a server lists; what a server alone says at that
    /// server. Whoever loses it loses what was approved of the same thing as well.
    pub(crate) async fn withdraw(self: &Arc<Self>, owner: &str, thing: &str, share: (String, Share)) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
        let approved = holdings.approved_beside(thing, &share.1.who);
        let mut ending = holdings.ending(&[share]);
        holdings.end_approvals(|known, one| approved.contains(&(known.link.id.as_str(), one.id.as_str())), &mut ending);
        self.ask_and_end(owner, ending.wanted, &ending.words).await
    }

    /// Everything of somebody's at once: shares, requests that were approved, and that they decide for her. What is known at once; beside that her servers are read
    /// anew, and what they say more ends, too. What comes back are servers that could not be read, or not all of what they say:
    /// nobody knows what else they let that person see. It is carried out to its end, also when the page is closed meanwhile.
    pub(crate) async fn withdraw_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<Unread>, Trouble> {
        let (manager, owner, who) = (self.clone(), owner.to_owned(), who.clone());
        let withdrawing = tokio::spawn(async move { manager.end_everything(&owner, &who).await });
        withdrawing.await.unwrap_or_else(|error| Err(crate::vault::failed(error)))
    }

    async fn end_everything(self: &Arc<Self>, owner: &str, who: &Who) -> Result<Vec<Unread>, Trouble> {
        let holdings = self.known_holdings(owner).await?;
        let known = holdings.ending_of_everything(who, self.now());
        let guards = holdings.servers.iter().filter(|known| known.link.place.is_guard());
        let guards: Vec<_> = guards.map(|known| known.link.id.clone()).collect();
        let begun = self.reading_time();
        // at once: she waits for one of both where a server is slow
        let (asked, ()) =
            tokio::join!(self.ask_and_end(owner, known.wanted.clone(), &known.words), self.read_servers(owner, guards));
        asked?;
        let holdings = self.known_holdings(owner).await?;
        let mut rest = holdings.ending_of_everything(who, self.now());
        let asked = self.store.list_tasks(owner).await?;
        let is_asked = |one: &Wanted| known.wanted.iter().any(|other| other == one || is_same_deletion(other, one));
        rest.wanted.retain(|one| !is_asked(one) && !asked.iter().any(|task| task.stands_for(one)));
        if !rest.wanted.is_empty() || !rest.words.is_empty() {
            self.ask_and_end(owner, rest.wanted, &rest.words).await?;
        }
        let guards = holdings.servers.iter().filter(|known| known.link.place.is_guard());
        Ok(guards.filter_map(|known| known.find_unread(begun)).collect())
    }

    /// One request that she approved.
    pub(crate) async fn withdraw_approval(self: &Arc<Self>, owner: &str, link: &str, request: &str) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
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
        let holdings = self.known_holdings(owner).await?;
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

/// Whether this is what they are called where they decide for her: an address, or a key that stands in what they are known by.
fn is_named(who: &Who, name: &str) -> bool {
    match who {
        Who::Address(address) => types::email::normalize(name).as_ref() == Some(address),
        Who::Other(text) => name.starts_with("did:") && text.split([' ', ',']).any(|part| part == name),
        Who::Anyone => false,
    }
}

/// A server of which it is not known all that it lets somebody reach.
pub(crate) struct Unread {
    pub(crate) url: String,
    /// It has answered, and says something that this desk cannot read.
    pub(crate) has_answered: bool,
}

impl Known {
    /// Whether it has not been read since this time, or not all of what it says.
    fn find_unread(&self, since: i64) -> Option<Unread> {
        let has_answered = self.snapshot.begun > since;
        let is_for_anybody =
            |policy: &PolicyDocument| self.is_partly_read(policy) && words::who(&policy.required_claims) == Who::Anyone;
        let is_clear = self.snapshot.unread == 0 && !self.snapshot.policies.iter().any(is_for_anybody);
        let url = || self.link.place.url().to_owned();
        (!has_answered || !is_clear).then(|| Unread { url: url(), has_answered })
    }

    fn is_partly_read(&self, policy: &PolicyDocument) -> bool {
        policy.id.as_ref().is_some_and(|id| self.snapshot.partly_read.contains(id))
    }

    /// Whether it is for this person, as far as it says.
    fn says_for(&self, policy: &PolicyDocument, who: &Who) -> bool {
        // nobody can tell what that asks for which does not read
        let is_open = *who == Who::Anyone && self.is_partly_read(policy);
        !is_open && words::who(&policy.required_claims) == *who
    }
}

impl Holdings {
    fn ending_of_everything(&self, who: &Who, now: Timestamp) -> Ending {
        let unplaced = self.unplaced.iter().filter(|share| share.who == *who);
        let unplaced = unplaced.map(|share| (UNPLACED.to_owned(), share.clone()));
        let shares: Vec<_> = self.shares_of(who).into_iter().chain(unplaced).collect();
        let mut ending = self.ending(&shares);
        self.end_approvals(|_, request| request.lets_in(now) && who_asked(request) == *who, &mut ending);
        self.end_still_listed(who, &mut ending);
        self.end_deciding(who, now, &mut ending);
        ending
    }

    /// Whether they decide for her somewhere.
    pub(crate) fn decides(&self, who: &Who, now: Timestamp) -> bool {
        self.words_to_decide(who, now).next().is_some() || self.listed_to_decide(who).next().is_some()
    }

    /// What she signed so that they decide for her.
    fn words_to_decide(&self, who: &Who, now: Timestamp) -> impl Iterator<Item = &str> {
        let is_theirs = |word: &Word| matches!(&word.said, Said::Delegation(delegation) if is_named(who, &delegation.sub));
        self.ledger.live(now).filter(move |(_, word)| is_theirs(word)).map(|(id, _)| id)
    }

    /// What servers list of it.
    fn listed_to_decide(&self, who: &Who) -> impl Iterator<Item = (&Known, &DelegationDocument)> {
        let is_theirs = |one: &DelegationDocument| {
            let names = [&one.delegate.email, &one.delegate.resource_owner_id];
            names.into_iter().flatten().any(|name| is_named(who, name))
        };
        let all = self.servers.iter().flat_map(|known| known.snapshot.delegations.iter().map(move |one| (known, one)));
        all.filter(move |(_, one)| is_theirs(one))
    }

    /// Whoever decides for her could share with themselves again: that ends with the rest.
    fn end_deciding(&self, who: &Who, now: Timestamp, ending: &mut Ending) {
        let words: Vec<String> = self.words_to_decide(who, now).map(str::to_owned).collect();
        words.iter().for_each(|id| self.end_word(id, ending));
        for (known, one) in self.listed_to_decide(who) {
            // where she signed it, its server is told already
            if let Some(wanted) = self.end_of(known, one, who.name())
                && !ending.wanted.iter().any(|one| is_same_deletion(one, &wanted))
            {
                ending.wanted.push(wanted);
            }
        }
    }

    /// What guards list of her words which no place shows any more as a thing of hers: it ends where it stands, all the same.
    fn end_still_listed(&self, who: &Who, ending: &mut Ending) {
        let shares = self.things.iter().flat_map(|thing| &thing.shares).chain(&self.unplaced);
        let shown: HashSet<(&str, &str)> = shares.map(|share| (share.place.as_str(), share.id.as_str())).collect();
        for known in &self.servers {
            let Place::AuthorizationServer { issuer: url } = &known.link.place else { continue };
            for policy in &known.snapshot.policies {
                let Some(id) = policy.id.as_ref().filter(|id| !shown.contains(&(url, id.as_str()))) else { continue };
                if let Some(word) = policy.authority.as_deref().and_then(|text| self.word(&id_of(text))) {
                    if is_for(word, who) {
                        self.end_word(&id_of(&word.text), ending);
                    }
                } else if known.says_for(policy, who) {
                    let what = format!("{}: {UNPLACED}", who.name());
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
