//! Filling the ledger with what she signed elsewhere, or before there was one: what servers list, read strictly.

use super::{Hers, Ledger, Listed, PlacedAs, Word};
use crate::holdings::Known;
use crate::sync::Snapshot;
use crate::{Manager, Trouble};
use std::collections::BTreeSet;

impl Manager {
    /// What she signed, as this desk keeps it.
    pub(crate) async fn ledger(&self, owner: &str) -> Result<Ledger, Trouble> {
        Ok(Ledger::of(self.store.list_words(owner).await?))
    }

    /// The keys that sign for her: those of her vault, and what linked resource servers count as hers at themselves.
    pub(crate) async fn hers(&self, owner: &str, servers: &[Known]) -> Result<Hers, Trouble> {
        let vault = self.keys(owner).await?.into_iter().map(|key| key.did).collect();
        let keepers = servers.iter().filter(|known| known.link.place.is_keeper());
        let counted = |known: &Known| {
            let all = known.snapshot.credentials.iter();
            all.filter_map(|one| one.cred_value.get("id")?.as_str().map(str::to_owned)).collect::<BTreeSet<String>>()
        };
        let at_keeper = keepers.map(|known| (known.link.place.url().to_owned(), counted(known))).collect();
        Ok(Hers { vault, at_keeper })
    }

    /// What a server lists and she signed elsewhere, or before there was a ledger, is taken into the ledger: where the
    /// signature is by a key of hers, and no server that keeps it says that it is taken back.
    pub(crate) async fn take_in_words(&self, owner: &str, from: &PlacedAs, snapshot: &Snapshot) -> Result<(), Trouble> {
        let shows = snapshot.policies.iter().any(|policy| policy.authority.is_some())
            || snapshot.delegations.iter().any(|one| one.delegation.is_some());
        if !shows {
            return Ok(());
        }
        let holdings = self.known_holdings(owner).await?;
        let hers = self.hers(owner, &holdings.servers).await?;
        let keepers: Vec<&Known> = holdings.servers.iter().filter(|known| known.link.place.is_keeper()).collect();
        let urls: Vec<&str> = keepers.iter().map(|known| known.link.place.url()).collect();
        let listed =
            Listed { issuer: &from.server, policies: &snapshot.policies, delegations: &snapshot.delegations, keepers: &urls };
        // whoever keeps nothing of it has no say in whether it is taken back
        let keeps = |known: &Known, word: &Word| known.keeps_one_of(&word.things_at(known.link.place.url()));
        let may_say = |known: &Known, word: &Word| word.is_for(known.link.place.url()) && keeps(known, word) != Some(false);
        let gone = |word: &Word| keepers.iter().any(|known| may_say(known, word) && known.says_gone(word.jti()));
        let mut found = holdings.ledger.find_unknown(&listed, &hers, self.now());
        found.retain(|word| !gone(word));
        for word in &mut found {
            let hers_there = keepers.iter().filter(|known| keeps(known, word) == Some(true));
            word.placed = hers_there.map(|known| PlacedAs::of(&known.link)).collect();
            word.placed.push(from.clone());
            let named = word.first_thing().and_then(|(server, own_id)| holdings.kept(server, own_id));
            word.name = named.map_or_else(|| std::mem::take(&mut word.name), |thing| thing.name.clone());
        }
        if found.is_empty() {
            return Ok(());
        }
        self.store.add_words(owner, &found, self.now()).await?;
        self.look_again(owner);
        Ok(())
    }
}
