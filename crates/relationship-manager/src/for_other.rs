//! People who let her decide for them (protocol.md 1.8): what waits for her word in their places, and what she may share.

use crate::store::Link;
use crate::sync::{Asking, Guarded, Snapshot, Sorted, Unclear};
use crate::{Manager, Trouble};
use client::api::Listed;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, timeout_at};
use types::access_request::AccessRequestDocument;
use types::delegation::{Covered, DelegationDocument, May, ResourceName};
use types::metadata::Metadata;
use types::spelling::readable;
use types::{ResourceId, ScopeSet};

/// Somebody who lets her decide.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct ForOther {
    /// Her account id at that server.
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) requests: Vec<AccessRequestDocument>,
    /// It could not be read the last time: what is here is what was read before.
    #[serde(default)]
    pub(crate) is_stale: bool,
    /// She has not answered the offer: of what there is, only the first was read.
    #[serde(default)]
    pub(crate) is_in_part: bool,
    /// What of the requests did not read.
    #[serde(default)]
    pub(crate) unclear: Unclear,
    /// What her things are called.
    pub(crate) names: BTreeMap<ResourceId, String>,
    /// What may be shared for her, and as far as what; empty where nothing may.
    #[serde(default)]
    pub(crate) shareable: BTreeMap<ResourceId, ScopeSet>,
}

/// Somebody who lets her decide, and whom she has not answered: nobody asked her. A few such are read all the same, behind those
/// whom she accepted; whoever is declined is read no more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Offer {
    /// The account at that server.
    pub(crate) owner: String,
    pub(crate) name: String,
    pub(crate) may: BTreeSet<May>,
}

/// What she answers to it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OfferAnswer {
    Accept,
    Decline,
}

/// Most people for whom she decides at one server: each costs two calls of a reading.
const MOST_OWNERS: usize = 50;
/// So many of them may be people whom she has not answered: anybody can be one, with as many accounts as he makes.
const MOST_UNANSWERED: usize = 10;
/// What is read of one who has no answer: the first things and the first requests.
const MOST_OF_UNANSWERED: usize = 100;
/// How long it may take to read all whom she accepted, and after them all others.
const ACCEPTED_TAKE: Duration = Duration::from_secs(30);
const UNANSWERED_TAKE: Duration = Duration::from_secs(5);
/// Most offers of one server that are shown at a time, and most answers to them that are remembered.
const MOST_OFFERS: usize = 200;
const MOST_ANSWERS: usize = 5_000;

/// What somebody delegates, by account.
struct Given {
    name: String,
    delegations: Vec<DelegationDocument>,
}

fn by_owner(given: impl Iterator<Item = DelegationDocument>) -> BTreeMap<String, Given> {
    let mut owners: BTreeMap<String, Given> = BTreeMap::new();
    for one in given {
        if let Some(owner) = one.owner.as_ref().filter(|owner| !owner.as_str().is_empty()) {
            let name = readable(one.owner_name.as_deref().unwrap_or(owner.as_str()));
            let of = owners.entry(owner.as_str().to_owned()).or_insert(Given { name, delegations: Vec::new() });
            of.delegations.push(one);
        }
    }
    owners
}

/// What may be shared of a thing under these delegations. A plain id is the authorization server's in a posted one, and the
/// resource server's own in a signed one.
fn shareable(guarded: &Guarded, given: &[DelegationDocument]) -> ScopeSet {
    let covers = |one: &&DelegationDocument| match &one.resources {
        Covered::All => true,
        Covered::Only(some) => some.iter().any(|name| match name {
            ResourceName::Id(id) if one.delegation.is_some() => {
                guarded.description.own_id.as_ref().is_some_and(|own| own.as_str() == id)
            }
            ResourceName::Id(id) => id == guarded.id.as_str(),
            ResourceName::Own(own) => {
                own.resource_server == guarded.resource_server && Some(&own.resource_id) == guarded.description.own_id.as_ref()
            }
        }),
    };
    let sharing = given.iter().filter(|one| one.may.contains(&May::Share)).filter(covers);
    let scopes = sharing.flat_map(|one| one.resource_scopes.iter().cloned()).collect::<ScopeSet>();
    guarded.description.resource_scopes.intersection(&scopes)
}

impl Asking<'_> {
    /// What waits for her decision in the places of those who let her decide; and the offers that she has not answered.
    pub(crate) async fn for_others(&self, metadata: &Metadata, snapshot: &mut Snapshot) -> Result<(), Trouble> {
        let listed: Listed<DelegationDocument> =
            match metadata.delegations_endpoint.as_ref().map(|url| format!("{url}?role=delegate")) {
                Some(url) => self.listed(&url).await?,
                None => Listed { items: Vec::new(), unread: 0 },
            };
        let is_whole = listed.unread == 0 && listed.items.iter().all(|item| item.said.owner.is_some());
        let owners = by_owner(listed.items.into_iter().map(|item| item.said));
        let answers = &self.link.offers;
        snapshot.gone_owners = answers.keys().filter(|owner| is_whole && !owners.contains_key(*owner)).cloned().collect();
        let mut offers = owners.iter().filter(|(owner, _)| !answers.contains_key(*owner)).map(|(owner, given)| Offer {
            owner: owner.clone(),
            name: given.name.clone(),
            may: given.delegations.iter().flat_map(|one| one.may.iter().copied()).collect(),
        });
        snapshot.offers = offers.by_ref().take(MOST_OFFERS).collect();
        snapshot.more_offers = offers.count();
        self.read_owners(metadata, owners, snapshot).await
    }

    /// Whoever lets her decide is read by himself: what is wrong with one keeps no other from her, and his last word stays.
    async fn read_owners(
        &self,
        metadata: &Metadata,
        owners: BTreeMap<String, Given>,
        snapshot: &mut Snapshot,
    ) -> Result<(), Trouble> {
        let answer = |owner: &str| self.link.offers.get(owner).copied();
        let (accepted, others): (Vec<_>, Vec<_>) = owners.into_iter().partition(|(owner, _)| answer(owner) == Some(true));
        let unanswered = others.into_iter().filter(|(owner, _)| answer(owner).is_none()).take(MOST_UNANSWERED);
        let (mut all, mut is_away) = (Vec::new(), false);
        let mut deadline = Instant::now() + ACCEPTED_TAKE;
        let mut strangers_deadline = None;
        for (owner, given) in accepted.into_iter().chain(unanswered).take(MOST_OWNERS) {
            let is_accepted = answer(&owner) == Some(true);
            if !is_accepted {
                deadline = *strangers_deadline.get_or_insert_with(|| Instant::now() + UNANSWERED_TAKE);
            }
            let read = match is_away {
                true => None,
                false => timeout_at(deadline, self.for_other(metadata, &owner, &given, is_accepted)).await.ok(),
            };
            match read {
                Some(Ok(other)) => all.push(other),
                Some(Err(trouble @ (Trouble::Store(_) | Trouble::TooMany(_) | Trouble::Busy(_)))) => return Err(trouble),
                not_read => {
                    if let Some(Err(trouble)) = not_read {
                        tracing::info!(%trouble, owner, "what may be decided for somebody could not be read");
                        is_away = matches!(trouble, Trouble::Away(_));
                    }
                    let before = snapshot.for_others.iter().find(|other| other.owner == owner).cloned();
                    let other = before.unwrap_or_else(|| ForOther { owner, name: given.name, ..ForOther::default() });
                    all.push(ForOther { is_stale: true, ..other });
                }
            }
        }
        snapshot.for_others = all;
        Ok(())
    }

    /// Of whom she has not accepted the first alone: nobody asked for it.
    async fn for_other(&self, metadata: &Metadata, owner: &str, given: &Given, is_accepted: bool) -> Result<ForOther, Trouble> {
        let query = form_urlencoded::Serializer::new(String::new()).append_pair("owner", owner).finish();
        let at = |url: &Option<String>| url.as_ref().map(|url| format!("{url}?{query}"));
        let decides = given.delegations.iter().any(|one| one.may.contains(&May::Approve));
        let resources = at(&metadata.registered_resources_endpoint);
        let requests = at(&metadata.access_requests_endpoint).filter(|_| decides);
        let (guarded, asked): (Sorted<Guarded>, Sorted<AccessRequestDocument>) = match is_accepted {
            true => (self.list_named(resources).await?, self.list_named(requests).await?),
            false => {
                let most = MOST_OF_UNANSWERED;
                (self.list_first(resources, most).await?, self.list_first(requests, most).await?)
            }
        };
        let guarded = guarded.items;
        let shareable = guarded.iter().map(|one| (one.id.clone(), shareable(one, &given.delegations)));
        let shareable = shareable.filter(|(_, scopes)| !scopes.is_empty()).collect();
        let names = guarded.iter().filter_map(|one| Some((one.id.clone(), one.description.name.clone()?))).collect();
        let (requests, unclear) = (asked.items, asked.unclear);
        let (owner, name) = (owner.to_owned(), given.name.clone());
        Ok(ForOther { owner, name, is_stale: false, is_in_part: !is_accepted, requests, unclear, names, shareable })
    }
}

impl Manager {
    /// She takes it up to decide for these people at a server, or does so no more; remembered as long as the server is linked.
    /// Nothing happens at the server: what they let her do is theirs to end.
    pub(crate) async fn answer_offers(
        self: &Arc<Self>,
        owner: &str,
        link: &str,
        from: &[String],
        answer: OfferAnswer,
    ) -> Result<(), Trouble> {
        let holdings = self.known_holdings(owner).await?;
        let known = holdings.server(link).ok_or_else(|| Trouble::Refused("This server is not linked any more.".into()))?;
        let (is_taken, snapshot) = (answer == OfferAnswer::Accept, &known.snapshot);
        let is_there = |of: &String| {
            let offered = snapshot.offers.iter().any(|offer| offer.owner == *of);
            offered
                || (!is_taken && snapshot.for_others.iter().any(|other| other.owner == *of))
                || known.link.offers.contains_key(of)
        };
        if from.is_empty() || !from.iter().all(is_there) {
            return Err(Trouble::Refused("This offer is not there any more.".into()));
        }
        let taken = known.link.offers.iter().filter(|(of, taken)| **taken && !from.contains(of)).count();
        if is_taken && taken.saturating_add(from.len()) > MOST_OWNERS {
            let what = format!("You decide for {MOST_OWNERS} people there: decide for one of them no more first.");
            return Err(Trouble::Refused(what));
        }
        let new = from.iter().filter(|of| !known.link.offers.contains_key(*of)).count();
        if new > 0 && known.link.offers.len().saturating_add(new) > MOST_ANSWERS {
            let what = "So many of them offer this that no more answers are remembered: ask whoever runs that server.";
            return Err(Trouble::Refused(what.into()));
        }
        let answered = |mut link: Link| {
            link.offers.extend(from.iter().map(|of| (of.clone(), is_taken)));
            link
        };
        self.change_link(owner, link, answered).await?;
        let from = from.to_vec();
        let without = move |mut snapshot: Snapshot| {
            snapshot.offers.retain(|offer| !from.contains(&offer.owner));
            snapshot.for_others.retain(|other| is_taken || !from.contains(&other.owner));
            snapshot
        };
        self.change_snapshot(owner, link, without).await?;
        self.look_again(owner);
        self.read_servers(owner, [link.to_owned()]).await;
        Ok(())
    }
}
