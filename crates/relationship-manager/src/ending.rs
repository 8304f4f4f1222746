//! The end of shares and of words: who must hear of it, and how. What she signed ends by her ledger at every place that stands in
//! it; what a server alone says ends at that server (threat 36).

use crate::holdings::{Basis, Holdings, Known, ListedPolicy, Share};
use crate::ledger::{Said, Word, id_of};
use crate::share::segment;
use crate::store::Place;
use crate::task::Wanted;
use http::Method;
use serde_json::json;

/// What must happen so that something is over.
#[derive(Debug, Default)]
pub(crate) struct Ending {
    /// Words of hers that end.
    pub(crate) words: Vec<Word>,
    pub(crate) wanted: Vec<Wanted>,
}

/// What a server is to hear that is not linked.
pub(crate) fn unheard(url: &str, what: String) -> Wanted {
    let url_of_server = url.to_owned();
    Wanted {
        link: String::new(),
        server: url_of_server,
        what,
        method: Method::POST,
        url: String::new(),
        body: None,
        word: None,
        of_keeper: None,
    }
}

/// That something is deleted at a linked server.
pub(crate) fn deletion(known: &Known, what: String, url: String) -> Wanted {
    let (server, of_keeper) = (known.link.place.url().to_owned(), Some(known.link.place.is_keeper()));
    Wanted { link: known.link.id.clone(), server, what, method: Method::DELETE, url, body: None, word: None, of_keeper }
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
        let about = match &word.said {
            Said::Share(token) => format!("{}: {}", crate::words::who_of_token(&token.allowed_rqp).name(), word.name),
            Said::Delegation(delegation) => format!("{}: deciding for you", delegation.sub),
        };
        ending.wanted.extend(self.told_of(id, word, &about));
        ending.words.push(word.clone());
    }

    /// Everybody who must hear of the end of a word: the places that stand in it, and no other, whatever a server lists.
    pub(crate) fn told_of(&self, id: &str, word: &Word, about: &str) -> Vec<Wanted> {
        let keepers =
            word.keepers().into_iter().chain(word.guards.iter().map(String::as_str).filter(|url| self.is_keeper_of(word, url)));
        let is_guard = |url: &str| self.servers.iter().any(|known| known.link.place.is_guard() && known.link.place.url() == url);
        let guards = word.guards.iter().filter(|url| !self.is_keeper_of(word, url) || is_guard(url));
        let keepers = keepers.map(|url| self.told_keeper(word, url, about));
        let guards = guards.flat_map(|url| self.told_guard(word, url, about));
        keepers.chain(guards).map(|wanted| Wanted { word: Some(id.to_owned()), ..wanted }).collect()
    }

    /// Whether one that stands among the guards of a word keeps things: the audience of a delegation does not say who does what,
    /// and the server may have been linked after the word was found.
    fn is_keeper_of(&self, word: &Word, url: &str) -> bool {
        matches!(word.said, Said::Delegation(_)) && self.keeper(url).is_some()
    }

    /// A server that keeps things believes her, and nobody for her: it hears by the name of the word (protocol.md 3).
    fn told_keeper(&self, word: &Word, url: &str, about: &str) -> Wanted {
        let signed = if matches!(word.said, Said::Delegation(_)) {
            "your signed word that they decide"
        } else {
            "your signed word for it"
        };
        let mut wanted = Wanted { of_keeper: Some(true), ..unheard(url, format!("{about}, {signed}")) };
        let Some(known) = self.keeper(url) else { return wanted };
        let Place::ResourceServer { management, .. } = &known.link.place else { return wanted };
        (wanted.link, wanted.url) = (known.link.id.clone(), format!("{management}/my-withdrawn-tokens"));
        wanted.body = Some(json!({"jti": word.jti(), "exp": word.exp()}));
        wanted
    }

    /// The same at an authorization server: one policy for each resource of the token.
    fn told_guard(&self, word: &Word, url: &str, about: &str) -> Vec<Wanted> {
        let known = self.servers.iter().find(|known| known.link.place.is_guard() && known.link.place.url() == url);
        let endpoint = known.and_then(|known| match &word.said {
            Said::Share(_) => known.snapshot.policy_endpoint.as_ref(),
            Said::Delegation(_) => known.snapshot.delegations_endpoint.as_ref(),
        });
        let (Some(known), Some(endpoint)) = (known, endpoint) else {
            let wanted = unheard(url, about.to_owned());
            return vec![Wanted { method: Method::DELETE, of_keeper: Some(false), ..wanted }];
        };
        // the parts of one token end together
        vec![deletion(known, about.to_owned(), format!("{endpoint}/{}", segment(word.jti())))]
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
        for url in &word.keepers {
            let mut told = Wanted { of_keeper: Some(true), ..unheard(url, format!("{about}, signed for you")) };
            told.body = Some(json!({"jti": word.jti, "exp": word.exp}));
            let keeper = self.keeper(url).and_then(|known| Some((known, known.management()?)));
            if let Some((known, management)) = keeper {
                (told.link, told.url) = (known.link.id.clone(), format!("{management}/my-withdrawn-tokens"));
            }
            wanted.push(told);
        }
        wanted
    }
}
