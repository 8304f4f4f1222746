//! As who a word stands at a server. Another account there knows nothing of it, so what that one is answered ends nothing: who it
//! was placed as is kept with the word, and only as the same account is its end told (threat 36).

use super::{Origin, Said, Word};
use crate::link::{is_of_other_account, is_of_same_account};
use crate::store::{Link, Place};
use serde::{Deserialize, Serialize};
use types::OwnResourceId;

/// The link under which a server was given a word, or listed it first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PlacedAs {
    pub(crate) server: String,
    /// One URL may keep things and guard things: each is linked by itself.
    pub(crate) of_keeper: bool,
    /// Its id says whose account it is.
    pub(crate) link: String,
}

impl PlacedAs {
    pub(crate) fn of(link: &Link) -> Self {
        Self { server: link.place.url().to_owned(), of_keeper: link.place.is_keeper(), link: link.id.clone() }
    }

    fn is_at(&self, place: &Place) -> bool {
        self.server == place.url() && self.of_keeper == place.is_keeper()
    }
}

/// Whose word it is to whoever is linked to a server now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Account {
    /// The account that it was placed as.
    Same,
    /// Another one; the link that it was placed under, where that is known.
    Other(Option<String>),
    /// Nothing says as who it was placed there.
    Unknown,
}

impl Account {
    /// The same with what the server lists for the link that there is, where nothing was kept.
    pub(crate) fn with_list(self, lists_it: Option<bool>) -> Self {
        match (self, lists_it) {
            (Self::Unknown, Some(true)) => Self::Same,
            (Self::Unknown, Some(false)) => Self::Other(None),
            (known, _) => known,
        }
    }
}

impl Word {
    /// Whether whoever this link is of is who the word was placed as at its server.
    pub(crate) fn account_at(&self, link: &Link) -> Account {
        match self.placed.iter().find(|placed| placed.is_at(&link.place)) {
            Some(placed) if is_of_same_account(&placed.link, &link.id) => Account::Same,
            Some(placed) if is_of_other_account(&placed.link, &link.id) => Account::Other(Some(placed.link.clone())),
            None if self.was_placed_under(link) => Account::Same,
            _ => Account::Unknown,
        }
    }

    /// Whether it is known to stand there as another account.
    pub(crate) fn is_of_other_account(&self, link: &Link) -> bool {
        matches!(self.account_at(link), Account::Other(_))
    }

    /// Words of before do not say: one that she signed, or that the only guard of it listed, while this link was there already
    /// was placed under it.
    fn was_placed_under(&self, link: &Link) -> bool {
        let is_only_guard = link.place.is_guard() && self.guards.len() == 1;
        link.added <= self.since && (self.origin == Origin::SignedHere || is_only_guard)
    }

    /// The same word when this link ends: as who it was placed is kept, where that is known and was not kept before.
    pub(crate) fn with_end_of(&self, link: &Link) -> Option<Self> {
        let url = link.place.url();
        let is_for_it = if link.place.is_keeper() { self.is_for(url) } else { self.guards.iter().any(|guard| guard == url) };
        let is_kept = self.placed.iter().any(|placed| placed.is_at(&link.place));
        (is_for_it && !is_kept && self.was_placed_under(link)).then(|| {
            let mut word = self.clone();
            word.placed.push(PlacedAs::of(link));
            word
        })
    }

    /// Whether it was given to this server as one that guards, as far as is known: what she signed here names no other guards.
    pub(crate) fn is_guarded_by(&self, url: &str) -> bool {
        let is_placed = self.placed.iter().any(|placed| !placed.of_keeper && placed.server == url);
        is_placed || (self.origin == Origin::SignedHere && self.guards.iter().any(|guard| guard == url))
    }

    /// Whether it is for this server as one that keeps things, as was known when it was placed.
    pub(crate) fn is_placed_at_keeper(&self, url: &str) -> bool {
        self.placed.iter().any(|placed| placed.of_keeper && placed.server == url)
    }

    /// What it names of this resource server's things; a delegation of everything names none.
    pub(crate) fn things_at(&self, keeper: &str) -> Vec<OwnResourceId> {
        let Said::Share(token) = &self.said else { return Vec::new() };
        let here = token.resources.iter().filter(|one| one.resource_server.as_str() == keeper);
        here.map(|one| one.resource_id.clone()).collect()
    }
}
