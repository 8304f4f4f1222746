//! The end of shares and of words: who must hear of it, and how. What she signed ends by her ledger at every place that stands in
//! it; what a server alone says ends at that server (threat 36).

use crate::holdings::{Basis, Holdings, Known, ListedPolicy, Share};
use crate::ledger::{Account, Said, Word, id_of};
use crate::share::segment;
use crate::task::Wanted;
use crate::{Manager, Trouble};
use http::Method;
use serde_json::json;
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{OwnResourceId, PolicyId, Timestamp};

/// What must happen so that something is over.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Words of hers that end.
    pub(crate) words: Vec<Word>,
    pub(crate) wanted: Vec<Wanted>,
}

/// What a server is to hear that is not linked.
pub(crate) fn unheard(url: &str, what: String) -> Wanted {
    Wanted {
        link: String::new(),
        server: url.to_owned(),
        what,
        method: Method::POST,
        url: String::new(),
        body: None,
        word: None,
        of_keeper: None,
        things: Vec::new(),
        account: Account::Same,
    }
}

/// That something is deleted at a linked server, which says for this link that it is there.
pub(crate) fn deletion(known: &Known, what: String, url: String) -> Wanted {
    let of_keeper = Some(known.link.place.is_keeper());
    Wanted { link: known.link.id.clone(), method: Method::DELETE, url, of_keeper, ..unheard(known.link.place.url(), what) }
}

/// What a word is about, as she reads it of its end.
pub(crate) fn about(word: &Word) -> String {
    match &word.said {
        Said::Share(token) => format!("{}: {}", crate::words::who_of_token(&token.allowed_rqp).name(), word.name),
        Said::Delegation(delegation) => format!("{}: deciding for you", delegation.sub),
    }
}

impl Known {
    /// Whether one of these things is kept here for whoever is linked; none where nobody can tell.
    pub(crate) fn keeps_one_of(&self, things: &[OwnResourceId]) -> Option<bool> {
        let is_read = self.snapshot.answered.is_some() && self.snapshot.unread == 0;
        let keeps = self.snapshot.available.iter().any(|one| one.own_id().is_some_and(|id| things.contains(id)));
        match things.is_empty() {
            true => None,
            false => (keeps || is_read).then_some(keeps),
        }
    }

    /// Whether it says of a word that she took it back.
    pub(crate) fn says_gone(&self, jti: &str) -> bool {
        self.snapshot.withdrawn.iter().any(|gone| gone.jti == jti)
    }

    /// Whether it lists this word for whoever is linked.
    fn lists(&self, word: &Word) -> bool {
        let is_it = |id: Option<&str>, text: Option<&str>| id == Some(word.jti()) || text == Some(word.text.as_str());
        let mut policies = self.snapshot.policies.iter();
        let mut delegations = self.snapshot.delegations.iter();
        match &word.said {
            Said::Share(_) => policies.any(|one| is_it(one.id.as_ref().map(PolicyId::as_str), one.authority.as_deref())),
            Said::Delegation(_) => delegations.any(|one| is_it(one.id.as_deref(), one.delegation.as_deref())),
        }
    }
}

impl Holdings {
    /// All that must happen so that these shares are over.
    pub(crate) fn ending(&self, shares: &[(String, Share)]) -> Ending {
        let mut ending = Ending::default();
        for (name, share) in shares {
            match &share.basis {
                Basis::Signed { word } => self.end_word(word, &mut ending),
                Basis::Listed(listed) => ending.wanted.extend(self.end_listed(name, share, listed)),
            }
        }
        ending
    }

    pub(crate) fn end_word(&self, id: &str, ending: &mut Ending) {
        let Some(word) = self.word(id).filter(|_| !ending.words.iter().any(|word| id_of(&word.text) == id)) else { return };
        ending.wanted.extend(self.told_of(id, word, &about(word)));
        ending.words.push(word.clone());
    }

    /// Everybody who must hear of the end of a word: the places that stand in it, and no other, whatever a server lists.
    pub(crate) fn told_of(&self, id: &str, word: &Word, about: &str) -> Vec<Wanted> {
        let keepers =
            word.keepers().into_iter().chain(word.guards.iter().map(String::as_str).filter(|url| self.is_keeper_of(word, url)));
        // one URL may do both: that its guard is not linked any more does not end the word there
        let is_guard = |url: &str| self.servers.iter().any(|known| known.link.place.is_guard() && known.link.place.url() == url);
        let is_guard = |url: &str| word.is_guarded_by(url) || is_guard(url);
        let guards = word.guards.iter().filter(|url| !self.is_keeper_of(word, url) || is_guard(url));
        let keepers = keepers.map(|url| self.told_keeper(word, url, about));
        let guards = guards.flat_map(|url| self.told_guard(word, url, about));
        keepers.chain(guards).map(|wanted| Wanted { word: Some(id.to_owned()), ..wanted }).collect()
    }

    /// Whether one that stands among the guards of a word keeps things: the audience of a delegation does not say who does what,
    /// and the server may have been linked after the word was found.
    fn is_keeper_of(&self, word: &Word, url: &str) -> bool {
        matches!(word.said, Said::Delegation(_)) && (self.keeper(url).is_some() || word.is_placed_at_keeper(url))
    }

    /// A server that keeps things believes her, and nobody for her: it hears by the name of the word (protocol.md 3).
    fn told_keeper(&self, word: &Word, url: &str, about: &str) -> Wanted {
        let signed = if matches!(word.said, Said::Delegation(_)) {
            "your signed word that they decide"
        } else {
            "your signed word for it"
        };
        let things = word.things_at(url);
        let wanted = Wanted { of_keeper: Some(true), things, ..unheard(url, format!("{about}, {signed}")) };
        let Some(known) = self.keeper(url) else { return wanted };
        let account = word.account_at(&known.link).with_list(known.keeps_one_of(&wanted.things));
        told_as(known, account, word.jti(), word.exp(), wanted)
    }

    /// The same at an authorization server: one policy for each resource of the token.
    fn told_guard(&self, word: &Word, url: &str, about: &str) -> Vec<Wanted> {
        let untold = Wanted { method: Method::DELETE, of_keeper: Some(false), ..unheard(url, about.to_owned()) };
        let known = self.servers.iter().find(|known| known.link.place.is_guard() && known.link.place.url() == url);
        let Some(known) = known else { return vec![untold] };
        let endpoint = match &word.said {
            Said::Share(_) => known.snapshot.policy_endpoint.as_ref(),
            Said::Delegation(_) => known.snapshot.delegations_endpoint.as_ref(),
        };
        // the parts of one token end together
        let told = endpoint.map(|at| deletion(known, about.to_owned(), format!("{at}/{}", segment(word.jti()))));
        let is_listed = known.lists(word);
        match (word.account_at(&known.link).with_list(is_listed.then_some(true)), told) {
            // another account's list may have it as well: it ends there, and she is told that it stands elsewhere
            (account @ Account::Other(_), told) => {
                told.filter(|_| is_listed).into_iter().chain([Wanted { account, ..untold }]).collect()
            }
            (account, Some(told)) => vec![Wanted { account, ..told }],
            (_, None) => vec![untold],
        }
    }

    /// A policy that a server lists ends at that server, which alone knows of it; a delegate's word also where things are kept.
    fn end_listed(&self, name: &str, share: &Share, listed: &ListedPolicy) -> Vec<Wanted> {
        let about = format!("{}: {name}", share.who.name());
        let known = self.server(&listed.link).and_then(|known| Some((known, known.snapshot.policy_endpoint.as_ref()?)));
        let mut wanted = vec![match known {
            Some((known, endpoint)) => deletion(known, about.clone(), format!("{endpoint}/{}", segment(share.id.as_str()))),
            // nobody can be asked: that is said, and not passed over
            None => Wanted { method: Method::DELETE, ..unheard(&share.place, about.clone()) },
        }];
        let Some(word) = &listed.by_delegate else { return wanted };
        for (url, things) in &word.things {
            let about = format!("{about}, signed for you");
            let told = Wanted { of_keeper: Some(true), things: things.clone(), ..unheard(url, about) };
            let body = Some(json!({"jti": word.jti, "exp": word.exp}));
            wanted.push(match self.keeper(url) {
                Some(known) => {
                    let account = Account::Unknown.with_list(known.keeps_one_of(things));
                    Wanted { body, ..told_as(known, account, &word.jti, word.exp, told) }
                }
                None => Wanted { body, ..told },
            });
        }
        wanted
    }
}

/// That a keeper is told of the end of a word, as who is linked there; nothing is asked of it as somebody else.
fn told_as(known: &Known, account: Account, jti: &str, exp: Timestamp, wanted: Wanted) -> Wanted {
    match (known.management(), &account) {
        (None, _) => wanted,
        (_, Account::Other(_)) => Wanted { account, ..wanted },
        (Some(management), _) => Wanted {
            link: known.link.id.clone(),
            url: format!("{management}/my-withdrawn-tokens"),
            body: Some(json!({"jti": jti, "exp": exp})),
            account,
            ..wanted
        },
    }
}

impl Manager {
    /// What she took back and a server lists all the same, it is told once more: all of it, or one word. As who it was placed as
    /// there, and no other.
    pub(crate) async fn tell_again(self: &Arc<Self>, owner: &str, server: &str, only: Option<&str>) -> Result<(), Trouble> {
        let holdings = self.holdings(owner).await?;
        let here = holdings.doubts.iter().filter(|doubt| doubt.server == server);
        let ids: BTreeSet<&str> = here.filter_map(|doubt| doubt.again.as_deref()).collect();
        let words = ids.into_iter().filter(|id| only.is_none_or(|only| only == *id));
        let told = words.filter_map(|id| Some((id, holdings.word(id)?)));
        let told = told.flat_map(|(id, word)| holdings.told_of(id, word, &about(word)));
        let mut wanted: Vec<Wanted> = told.filter(|one| one.server == server && one.of_keeper == Some(false)).collect();
        if wanted.is_empty() {
            return Err(Trouble::Refused("That server does not list it any more, as far as this desk has read.".into()));
        }
        let asked = self.store.list_tasks(owner).await?;
        wanted.retain(|one| !asked.iter().any(|task| task.stands_for(one)));
        self.ask(owner, wanted).await
    }
}
