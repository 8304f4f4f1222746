//! What an owner has, joined over all of her servers: each thing once, who guards it, and who can reach it. Pure: made of
//! what servers last said and of what she signed, and looked at by pages.
//!
//! Whose word counts for what (threat 36): that a thing is there, and who guards it, is said by the server that keeps it,
//! where that is linked; what she signed stands in her ledger. What an authorization server lists beside or against that is
//! a [`Doubt`]: it is shown, and nothing is signed, posted or withdrawn by it.

mod compared;
mod joint;

use crate::ledger::{Hers, Ledger, PlacedAs, Word};
use crate::store::{Link, Place};
use crate::sync::Snapshot;
use joint::Joint;
use jose::{base64url, digest};
use std::collections::{BTreeMap, HashMap};
use types::available_resource::RegistrationState;
use types::policy::PolicyDocument;
use types::{OwnResourceId, PolicyId, ResourceDescription, ResourceId, ScopeSet, Timestamp};

/// A linked server, and what it last said.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) link: Link,
    pub(crate) snapshot: Snapshot,
}

/// Who a share is for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Who {
    /// Whoever proves this address.
    Address(String),
    /// Whoever meets conditions of another kind, in words.
    Other(String),
    Anyone,
}

/// What a share rests on.
#[derive(Clone, Debug)]
pub(crate) enum Basis {
    /// She signed it: it stands in her ledger by this name.
    Signed { word: String },
    /// An authorization server lists it as a policy. It is that server's word, and only that server is asked about it.
    Listed(Box<ListedPolicy>),
}

/// A policy that an authorization server lists.
#[derive(Clone, Debug)]
pub(crate) struct ListedPolicy {
    pub(crate) link: String,
    pub(crate) policy: PolicyDocument,
    /// It says something that this desk does not understand, and that may be a condition.
    pub(crate) partly_read: bool,
    /// What of it this desk does not understand, in words.
    pub(crate) unclear: Vec<String>,
    /// It shows a text as signed by her that none of her keys signed.
    pub(crate) not_signed: bool,
    /// What a delegate of hers signed, where that holds: each server that keeps something of it is told of its end.
    pub(crate) by_delegate: Option<DelegatesWord>,
}

/// A token by a delegate: what its end is told by.
#[derive(Clone, Debug)]
pub(crate) struct DelegatesWord {
    pub(crate) jti: String,
    pub(crate) exp: Timestamp,
    /// What it names, by the server that keeps it.
    pub(crate) things: BTreeMap<String, Vec<OwnResourceId>>,
}

/// Somebody who can reach a thing.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    /// What pages and programs call it: `jti` of what she signed, else the id of the policy.
    pub(crate) id: PolicyId,
    /// The server whose word it is, or for whose use she signed it.
    pub(crate) place: String,
    pub(crate) who: Who,
    pub(crate) scopes: ScopeSet,
    pub(crate) until: Option<Timestamp>,
    /// Through these clients alone.
    pub(crate) clients: Vec<String>,
    pub(crate) basis: Basis,
    /// Somebody to whom she delegated wrote it.
    pub(crate) delegated: bool,
}

impl Share {
    pub(crate) fn is_signed(&self) -> bool {
        matches!(self.basis, Basis::Signed { .. })
    }

    /// The policy that a server lists, where it is no more than that.
    pub(crate) fn listed(&self) -> Option<&ListedPolicy> {
        match &self.basis {
            Basis::Listed(listed) => Some(listed),
            Basis::Signed { .. } => None,
        }
    }
}

/// A request that she approved, as far as it is about a thing: no share, and lets somebody in all the same.
#[derive(Clone, Debug)]
pub(crate) struct Approval {
    pub(crate) link: String,
    pub(crate) request: String,
    /// The server whose word it is.
    pub(crate) place: String,
    pub(crate) who: Who,
    pub(crate) scopes: ScopeSet,
    pub(crate) client: String,
    pub(crate) until: Option<Timestamp>,
}

/// What one server says against another's word, or against her own. Shown to her; nothing is done by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Doubt {
    /// Who says it.
    pub(crate) server: String,
    /// The thing that it is about, if there is one.
    pub(crate) thing: Option<String>,
    /// A sentence that begins with a verb: the server is its subject.
    pub(crate) words: String,
    /// The word in her ledger that it goes on listing after she took it back, and can be told of again.
    pub(crate) again: Option<String>,
}

impl Doubt {
    fn of_unread(known: &Known) -> Self {
        let (server, count) = (known.link.place.url().to_owned(), known.snapshot.unread);
        let words = format!("lists {count} entries that this desk cannot read, and so does not show");
        Self { server, thing: None, words, again: None }
    }
}

/// Where a thing is guarded.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) issuer: String,
    /// The link to that server, where it can be used: the server that keeps the thing and this one agree that it guards it.
    pub(crate) link: Option<String>,
    /// Whether this desk is linked to that server at all.
    pub(crate) is_linked: bool,
    /// Its id there, if it is known.
    pub(crate) id: Option<ResourceId>,
    pub(crate) scopes: ScopeSet,
    pub(crate) state: RegistrationState,
    /// The server's own page for it.
    pub(crate) page: Option<String>,
    /// The server keeps to the bare standard: it is shared on its own pages.
    pub(crate) plain: bool,
    /// The registration, as the resource server names it.
    pub(crate) registration: Option<String>,
    /// Why it failed.
    pub(crate) error: Option<String>,
}

/// Something that the owner has.
#[derive(Clone, Debug)]
pub(crate) struct Thing {
    /// Names it in URLs.
    pub(crate) key: String,
    /// `resource` of its server.
    pub(crate) server: String,
    pub(crate) name: String,
    pub(crate) description: ResourceDescription,
    /// The server that keeps it is linked, and lists it. Where it is not, nobody can tell who guards it, and nothing is
    /// signed for it.
    pub(crate) is_vouched: bool,
    pub(crate) guards: Vec<Guard>,
    pub(crate) shares: Vec<Share>,
    /// What she approved, and lets somebody in for a while.
    pub(crate) approvals: Vec<Approval>,
    /// What a search looks at.
    haystack: String,
}

impl Thing {
    /// Who can reach it, by a share or by what she approved; some more than once.
    pub(crate) fn everybody(&self) -> impl Iterator<Item = &Who> {
        self.shares.iter().map(|share| &share.who).chain(self.approvals.iter().map(|approval| &approval.who))
    }
}

/// What is looked for.
#[derive(Clone, Debug, Default)]
pub(crate) struct Filter {
    pub(crate) words: String,
    pub(crate) server: String,
    pub(crate) guard: String,
    pub(crate) shared: bool,
}

/// All that is known of an owner's servers.
#[derive(Default)]
pub(crate) struct Holdings {
    pub(crate) servers: Vec<Known>,
    pub(crate) things: Vec<Thing>,
    pub(crate) ledger: Ledger,
    pub(crate) doubts: Vec<Doubt>,
    /// What guards let somebody reach of which no place has said yet that it keeps it, or which it leaves out: on no page as a thing.
    pub(crate) unplaced: Vec<Share>,
    by_key: HashMap<String, usize>,
    /// By authorization server and id there.
    by_guard: HashMap<(String, ResourceId), usize>,
}

impl Holdings {
    /// Whose word counts is decided here; `hers` are the keys that sign for her.
    pub(crate) fn of(servers: Vec<Known>, ledger: Ledger, hers: &Hers, now: Timestamp) -> Self {
        let mut joint = Joint::of(&servers);
        for known in &servers {
            if let Place::ResourceServer { resource, .. } = &known.link.place {
                known.snapshot.available.iter().for_each(|available| joint.available(resource, available));
            }
        }
        for known in &servers {
            if known.link.place.is_guard() {
                known.snapshot.guarded.iter().for_each(|guarded| joint.guarded(known, guarded));
            }
        }
        joint.miss_guards(&servers);
        let listed = compared::compare(&servers, &ledger, now);
        joint.words(&servers, &ledger, now);
        for known in &servers {
            if let Place::AuthorizationServer { issuer } = &known.link.place {
                let own = known.snapshot.policies.iter().filter(|policy| !listed.is_of_ledger(issuer, policy));
                own.for_each(|policy| joint.policy(known, policy, hers));
                let approved = known.snapshot.requests.iter().filter(|request| request.lets_in(now));
                approved.for_each(|request| joint.approval(known, request));
            }
        }
        let mut doubts = joint.doubts;
        doubts.extend(listed.doubts);
        doubts.extend(servers.iter().filter(|known| known.snapshot.unread > 0).map(Doubt::of_unread));
        let mut things = joint.things;
        things.sort_by(|a, b| (a.name.to_lowercase(), &a.key).cmp(&(b.name.to_lowercase(), &b.key)));
        let by_key = things.iter().enumerate().map(|(at, thing)| (thing.key.clone(), at)).collect();
        let guarded = |(at, thing): (usize, &Thing)| {
            // by those alone that do guard it
            let usable = thing.guards.iter().filter(|guard| guard.link.is_some());
            let named = usable.filter_map(|guard| Some((guard.issuer.clone(), guard.id.clone()?)));
            named.map(|name| (name, at)).collect::<Vec<_>>()
        };
        let by_guard = things.iter().enumerate().flat_map(guarded).collect();
        Self { servers, things, ledger, doubts, unplaced: joint.unplaced, by_key, by_guard }
    }

    /// How many bytes it takes in memory, about: what servers said, and what was made of it.
    pub(crate) fn weight(&self) -> usize {
        self.servers.iter().map(|known| known.snapshot.weight.saturating_mul(2)).sum()
    }

    /// What she signed, by its name in the ledger.
    pub(crate) fn word(&self, id: &str) -> Option<&Word> {
        self.ledger.find(id)
    }

    /// What an authorization server calls by this id.
    pub(crate) fn guarded(&self, issuer: &str, id: &ResourceId) -> Option<&Thing> {
        self.by_guard.get(&(issuer.to_owned(), id.clone())).and_then(|at| self.things.get(*at))
    }

    /// What a resource server calls by this id of its own.
    pub(crate) fn kept(&self, server: &str, own_id: &str) -> Option<&Thing> {
        self.thing(&key_of(server, own_id))
    }

    /// The linked resource server of this name.
    pub(crate) fn keeper(&self, resource: &str) -> Option<&Known> {
        let is = |known: &&Known| matches!(&known.link.place, Place::ResourceServer { .. }) && known.link.place.url() == resource;
        self.servers.iter().find(is)
    }

    pub(crate) fn thing(&self, key: &str) -> Option<&Thing> {
        self.by_key.get(key).and_then(|at| self.things.get(*at))
    }

    /// Things that fit, in order.
    pub(crate) fn find(&self, filter: &Filter) -> Vec<&Thing> {
        let words: Vec<String> = filter.words.split_whitespace().map(str::to_lowercase).collect();
        let fits = |thing: &&Thing| {
            words.iter().all(|word| thing.haystack.contains(word.as_str()))
                && (filter.server.is_empty() || thing.server == filter.server)
                && (filter.guard.is_empty() || thing.guards.iter().any(|guard| guard.issuer == filter.guard))
                && (!filter.shared || thing.everybody().next().is_some())
        };
        self.things.iter().filter(fits).collect()
    }

    /// Everybody who can reach something, with how many things.
    pub(crate) fn people(&self) -> BTreeMap<Who, usize> {
        let mut people = BTreeMap::new();
        for thing in &self.things {
            let mut here: Vec<&Who> = thing.everybody().collect();
            here.sort();
            here.dedup();
            for who in here {
                let count = people.entry(who.clone()).or_insert(0_usize);
                *count = count.saturating_add(1);
            }
        }
        people
    }

    /// Distinct resource servers, and distinct guards.
    pub(crate) fn places(&self) -> (Vec<String>, Vec<String>) {
        let distinct = |mut all: Vec<String>| {
            all.sort();
            all.dedup();
            all
        };
        let servers = distinct(self.things.iter().map(|thing| thing.server.clone()).collect());
        let guards = self.things.iter().flat_map(|thing| thing.guards.iter().map(|guard| guard.issuer.clone())).collect();
        (servers, distinct(guards))
    }

    pub(crate) fn server(&self, link: &str) -> Option<&Known> {
        self.servers.iter().find(|known| known.link.id == link)
    }

    /// As who something stands that is signed now: at its guard, by its link, and at those who keep what it is about.
    pub(crate) fn placed_as<'k>(&self, guard: &str, keepers: impl IntoIterator<Item = &'k str>) -> Vec<PlacedAs> {
        let keepers = keepers.into_iter().filter_map(|url| self.keeper(url));
        self.server(guard).into_iter().chain(keepers).map(|known| PlacedAs::of(&known.link)).collect()
    }
}

/// A thing's name in URLs: from where it is, and what it is called there.
pub(crate) fn key_of(server: &str, id: &str) -> String {
    let hash = digest::sha256(&[server.as_bytes(), b"\0", id.as_bytes()]);
    base64url::encode(hash.get(..12).unwrap_or(&hash))
}

/// The key of what a resource server calls by this id of its own.
pub(crate) fn key_of_own(server: &str, own_id: &OwnResourceId) -> String {
    key_of(server, own_id.as_str())
}

#[cfg(test)]
mod tests;
