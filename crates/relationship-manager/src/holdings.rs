//! What an owner has, joined over all of her servers: each thing once, who guards it, and who can reach it. Pure: made of
//! what servers last said, and looked at by pages.

use crate::store::{Link, Place};
use crate::sync::{Guarded, Snapshot};
use crate::words;
use jose::{base64url, digest};
use std::collections::{BTreeMap, HashMap};
use types::available_resource::{AvailableResource, RegistrationState};
use types::policy::PolicyDocument;
use types::{PolicyId, ResourceDescription, ResourceId, ScopeSet, Timestamp};

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

/// A share: a policy at an authorization server.
#[derive(Clone, Debug)]
pub(crate) struct Share {
    pub(crate) link: String,
    pub(crate) policy: PolicyId,
    pub(crate) who: Who,
    pub(crate) scopes: ScopeSet,
    pub(crate) until: Option<Timestamp>,
    /// Through these clients alone.
    pub(crate) clients: Vec<String>,
    /// Her own word for it, where she signed it.
    pub(crate) token: Option<String>,
    /// Somebody to whom she delegated wrote it.
    pub(crate) delegated: bool,
}

/// Where a thing is guarded.
#[derive(Clone, Debug)]
pub(crate) struct Guard {
    pub(crate) issuer: String,
    /// The link to that server, if there is one.
    pub(crate) link: Option<String>,
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
    pub(crate) guards: Vec<Guard>,
    pub(crate) shares: Vec<Share>,
    /// What a search looks at.
    haystack: String,
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
    by_key: HashMap<String, usize>,
    /// By authorization server and id there.
    by_guard: HashMap<(String, ResourceId), usize>,
}

impl Holdings {
    pub(crate) fn of(servers: Vec<Known>) -> Self {
        let plain = servers.iter().filter(|known| matches!(known.link.place, Place::BareStandard { .. }));
        let plain = plain.map(|known| known.link.place.url().to_owned()).collect();
        let mut joint = Joint { plain, ..Joint::default() };
        for known in &servers {
            if let Place::ResourceServer { resource, .. } = &known.link.place {
                known.snapshot.available.iter().for_each(|available| joint.available(resource, available));
            }
        }
        for known in &servers {
            if let Place::AuthorizationServer { issuer } = &known.link.place {
                known.snapshot.guarded.iter().for_each(|guarded| joint.guarded(issuer, &known.link.id, guarded));
                known.snapshot.policies.iter().for_each(|policy| joint.policy(issuer, &known.link.id, policy));
            }
        }
        let mut things = joint.things;
        things.sort_by(|a, b| (a.name.to_lowercase(), &a.key).cmp(&(b.name.to_lowercase(), &b.key)));
        let by_key = things.iter().enumerate().map(|(at, thing)| (thing.key.clone(), at)).collect();
        let guarded = |(at, thing): (usize, &Thing)| {
            let named = thing.guards.iter().filter_map(|guard| Some((guard.issuer.clone(), guard.id.clone()?)));
            named.map(|name| (name, at)).collect::<Vec<_>>()
        };
        let by_guard = things.iter().enumerate().flat_map(guarded).collect();
        Self { servers, things, by_key, by_guard }
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
                && (!filter.shared || !thing.shares.is_empty())
        };
        self.things.iter().filter(fits).collect()
    }

    /// Everybody who can reach something, with how many things.
    pub(crate) fn people(&self) -> BTreeMap<Who, usize> {
        let mut people = BTreeMap::new();
        for thing in &self.things {
            let mut here: Vec<&Who> = thing.shares.iter().map(|share| &share.who).collect();
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
}

/// A thing's name in URLs: from where it is, and what it is called there.
fn key_of(server: &str, id: &str) -> String {
    let hash = digest::sha256(&[server.as_bytes(), b"\0", id.as_bytes()]);
    base64url::encode(hash.get(..12).unwrap_or(&hash))
}

fn name_of(description: &ResourceDescription, id: &str) -> String {
    description.name.clone().filter(|name| !name.trim().is_empty()).unwrap_or_else(|| id.to_owned())
}

fn haystack_of(server: &str, name: &str, description: &ResourceDescription) -> String {
    let more = [&description.description, &description.resource_type, &description.resource_location];
    let more = more.into_iter().flatten().map(String::as_str);
    [name, server].into_iter().chain(more).collect::<Vec<_>>().join("\n").to_lowercase()
}

/// The list in the making.
#[derive(Default)]
struct Joint {
    things: Vec<Thing>,
    /// By issuer and id there.
    at_guard: HashMap<(String, ResourceId), usize>,
    /// By resource server and its own id.
    at_server: HashMap<(String, String), usize>,
    /// Authorization servers that are linked, and keep to the bare standard.
    plain: Vec<String>,
}

impl Joint {
    fn add(&mut self, server: &str, id: &str, description: &ResourceDescription) -> usize {
        let name = name_of(description, id);
        let haystack = haystack_of(server, &name, description);
        self.things.push(Thing {
            key: key_of(server, id),
            server: server.to_owned(),
            name,
            description: description.clone(),
            guards: Vec::new(),
            shares: Vec::new(),
            haystack,
        });
        let at = self.things.len().saturating_sub(1);
        self.at_server.insert((server.to_owned(), id.to_owned()), at);
        at
    }

    /// A thing that its own server gives no name.
    fn add_unnamed(&mut self, server: &str, issuer: &str, guarded: &Guarded) -> usize {
        let at = self.add(server, &format!("{issuer} {}", guarded.id), &guarded.description);
        if let Some(thing) = self.things.get_mut(at).filter(|_| guarded.description.name.is_none()) {
            thing.name = guarded.id.as_str().to_owned();
            thing.haystack = haystack_of(server, &thing.name, &guarded.description);
        }
        at
    }

    fn available(&mut self, server: &str, available: &AvailableResource) {
        let Some(id) = available.own_id() else { return };
        let at = self.add(server, id.as_str(), &available.description);
        for registration in &available.registrations {
            let issuer = registration.authorization_server.clone();
            if let Some(id) = &registration.authorization_server_resource_id {
                self.at_guard.insert((issuer.clone(), id.clone()), at);
            }
            let guard = Guard {
                issuer,
                link: None,
                id: registration.authorization_server_resource_id.clone(),
                scopes: registration.registered_scopes.clone(),
                state: registration.state,
                page: None,
                plain: self.plain.contains(&registration.authorization_server),
                registration: Some(registration.id.clone()),
                error: registration.error.clone(),
            };
            self.things.get_mut(at).into_iter().for_each(|thing| thing.guards.push(guard.clone()));
        }
    }

    fn guarded(&mut self, issuer: &str, link: &str, guarded: &Guarded) {
        let named = (issuer.to_owned(), guarded.id.clone());
        let server = guarded.resource_server.as_str();
        // an authorization server's name for a thing is its own: another's of the same spelling is another thing
        let own_id = guarded.description.own_id.as_ref().map(|id| id.as_str().to_owned());
        let at_server = own_id.as_ref().and_then(|own_id| self.at_server.get(&(server.to_owned(), own_id.clone())));
        let known = self.at_guard.get(&named).or(at_server);
        let at = match known.copied() {
            Some(at) => at,
            // of a server that is not linked, or does not let itself be managed
            None => match own_id {
                Some(own_id) => self.add(server, &own_id, &guarded.description),
                None => self.add_unnamed(server, issuer, guarded),
            },
        };
        self.at_guard.insert(named, at);
        let Some(thing) = self.things.get_mut(at) else { return };
        let same = |guard: &&mut Guard| guard.issuer == issuer && guard.id.as_ref().is_none_or(|id| *id == guarded.id);
        match thing.guards.iter_mut().find(same) {
            Some(guard) => {
                guard.link = Some(link.to_owned());
                guard.id = Some(guarded.id.clone());
                guard.page = guarded.user_access_policy_uri.clone();
            }
            None => thing.guards.push(Guard {
                issuer: issuer.to_owned(),
                link: Some(link.to_owned()),
                id: Some(guarded.id.clone()),
                scopes: guarded.description.resource_scopes.clone(),
                state: RegistrationState::Active,
                page: guarded.user_access_policy_uri.clone(),
                plain: false,
                registration: None,
                error: None,
            }),
        }
    }

    fn policy(&mut self, issuer: &str, link: &str, policy: &PolicyDocument) {
        let at = match (&policy.resource_id, &policy.resource_server, &policy.own_id) {
            (Some(id), ..) => self.at_guard.get(&(issuer.to_owned(), id.clone())),
            (None, Some(server), Some(own_id)) => self.at_server.get(&(server.as_str().to_owned(), own_id.as_str().to_owned())),
            _ => None,
        };
        let (Some(thing), Some(id)) = (at.and_then(|at| self.things.get_mut(*at)), &policy.id) else { return };
        thing.shares.push(Share {
            link: link.to_owned(),
            policy: id.clone(),
            who: words::who(&policy.required_claims),
            scopes: policy.resource_scopes.clone(),
            until: policy.expires_at,
            clients: policy.client_id.iter().map(|client| client.as_str().to_owned()).collect(),
            token: policy.authority.clone(),
            delegated: policy.delegation.is_some(),
        });
    }
}

#[cfg(test)]
mod tests;
