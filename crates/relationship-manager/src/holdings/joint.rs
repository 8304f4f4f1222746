//! The list of things in the making: what each server says, put together by whose word counts.

use super::{Approval, Basis, DelegatesWord, Doubt, Guard, Known, ListedPolicy, Share, Thing, Who, key_of};
use crate::ledger::{Hers, Ledger, Said, Word, scopes_for};
use crate::store::Place;
use crate::sync::{APPLICATIONS, Guarded};
use crate::words::{self, readable};
use std::collections::{BTreeMap, HashMap, HashSet};
use types::access_request::AccessRequestDocument;
use types::available_resource::{AvailableResource, RegistrationState};
use types::policy::PolicyDocument;
use types::{OwnResourceId, ResourceDescription, ResourceId, ScopeSet, Timestamp};

/// What an authorization server calls a thing.
type NameAtGuard = (String, ResourceId);

/// The list in the making.
#[derive(Default)]
pub(super) struct Joint {
    pub(super) things: Vec<Thing>,
    pub(super) doubts: Vec<Doubt>,
    /// What guards let somebody reach of which no place has said that it keeps it.
    pub(super) unplaced: Vec<Share>,
    /// Things by what their guard calls them, as their keepers say.
    said_by_keepers: HashMap<NameAtGuard, Vec<usize>>,
    /// The same, where the guard agrees, or nobody is linked who could say otherwise.
    at_guard: HashMap<NameAtGuard, usize>,
    /// By resource server and its own id: things of linked resource servers.
    at_server: HashMap<(String, OwnResourceId), usize>,
    /// Things that she signed for, and that no linked server lists.
    only_signed: HashMap<(String, OwnResourceId), usize>,
    /// Resource servers that are linked, and of those that have answered when the reading began.
    keepers: HashSet<String>,
    answered: HashMap<String, i64>,
    /// Authorization servers that are linked, and those that keep to the bare standard.
    linked: HashSet<String>,
    plain: HashSet<String>,
}

impl Joint {
    pub(super) fn of(servers: &[Known]) -> Self {
        let mut joint = Self::default();
        for known in servers {
            let url = known.link.place.url().to_owned();
            match &known.link.place {
                Place::ResourceServer { .. } => {
                    if known.snapshot.answered.is_some() {
                        joint.answered.insert(url.clone(), known.snapshot.begun);
                    }
                    joint.keepers.insert(url);
                }
                Place::AuthorizationServer { .. } => drop(joint.linked.insert(url)),
                Place::BareStandard { .. } => {
                    joint.linked.insert(url.clone());
                    joint.plain.insert(url);
                }
            }
        }
        joint
    }

    fn doubt(&mut self, server: &str, thing: Option<usize>, words: String) {
        let thing = thing.and_then(|at| self.things.get(at)).map(|thing| thing.key.clone());
        self.doubts.push(Doubt { server: server.to_owned(), thing, words, again: None });
    }

    fn add(&mut self, server: &str, id: &str, description: &ResourceDescription, is_vouched: bool) -> usize {
        let name = name_of(description, id);
        let haystack = haystack_of(server, &name, description);
        self.things.push(Thing {
            key: key_of(server, id),
            server: server.to_owned(),
            name,
            description: description.clone(),
            is_vouched,
            guards: Vec::new(),
            shares: Vec::new(),
            approvals: Vec::new(),
            haystack,
        });
        self.things.len().saturating_sub(1)
    }

    /// What a linked resource server keeps, and who guards it: its word.
    pub(super) fn available(&mut self, server: &str, available: &AvailableResource) {
        let Some(own_id) = available.own_id() else { return };
        let named = (server.to_owned(), own_id.clone());
        if let Some(at) = self.at_server.get(&named).copied() {
            return self.doubt(server, Some(at), "lists two things by this name; only the first is shown".to_owned());
        }
        let at = self.add(server, own_id.as_str(), &available.description, true);
        self.at_server.insert(named, at);
        for registration in &available.registrations {
            let issuer = registration.authorization_server.clone();
            if let Some(id) = &registration.authorization_server_resource_id {
                self.said_by_keepers.entry((issuer.clone(), id.clone())).or_default().push(at);
            }
            let guard = Guard {
                link: None,
                is_linked: self.linked.contains(&issuer),
                plain: self.plain.contains(&issuer),
                issuer,
                id: registration.authorization_server_resource_id.clone(),
                scopes: registration.registered_scopes.clone(),
                state: registration.state,
                page: None,
                registration: Some(registration.id.clone()),
                error: registration.error.clone(),
            };
            self.things.get_mut(at).into_iter().for_each(|thing| thing.guards.push(guard.clone()));
        }
    }

    /// The thing that its keeper says is guarded there by this name, if what the guard says agrees.
    fn counterpart(&self, issuer: &str, guarded: &Guarded) -> Option<usize> {
        let server = guarded.resource_server.as_str();
        let own_id = guarded.description.own_id.as_ref();
        let said = self.said_by_keepers.get(&(issuer.to_owned(), guarded.id.clone())).map(Vec::as_slice).unwrap_or_default();
        // a resource server without a URL is known there by the name of its client. Whoever alone says that it keeps the thing is
        // believed where it speaks of no other: its own id and its name are those that the guard has
        let nameless = !server.contains("://") && said.len() == 1;
        let is_same = |thing: &Thing| own_id.is_some() && guarded.description.name == thing.description.name;
        let agrees = |at: &&usize| {
            self.things.get(**at).is_some_and(|thing| {
                (thing.server == server || (nameless && is_same(thing)))
                    && own_id.is_none_or(|own| thing.description.own_id.as_ref() == Some(own))
            })
        };
        if let Some(at) = said.iter().find(agrees) {
            return Some(*at);
        }
        // a registration whose id there the keeper has not been told yet
        let at = self.at_server.get(&(server.to_owned(), own_id?.clone())).copied()?;
        let waits = |guard: &Guard| guard.issuer == issuer && guard.id.is_none();
        self.things.get(at).filter(|thing| thing.guards.iter().any(waits)).map(|_| at)
    }

    /// What an authorization server says it guards: the keeper's word, where the keeper is linked, or a doubt.
    pub(super) fn guarded(&mut self, known: &Known, guarded: &Guarded) {
        let (issuer, link) = (known.link.place.url(), known.link.id.as_str());
        let named = (issuer.to_owned(), guarded.id.clone());
        let server = guarded.resource_server.as_str();
        let page = guarded.user_access_policy_uri.clone().filter(|page| client::uma::is_within(page, issuer));
        if let Some(at) = self.counterpart(issuer, guarded) {
            let same = |guard: &&mut Guard| guard.issuer == issuer && guard.id.as_ref().is_none_or(|id| *id == guarded.id);
            let Some(guard) = self.things.get_mut(at).and_then(|thing| thing.guards.iter_mut().find(same)) else { return };
            (guard.link, guard.id, guard.page) = (Some(link.to_owned()), Some(guarded.id.clone()), page);
            self.at_guard.insert(named, at);
            return;
        }
        if self.keepers.contains(server) {
            // before it has answered to this, nobody knows what it would say
            let has_answered = |begun: &i64| known.snapshot.has_listed_before(guarded.id.as_str(), *begun);
            if self.answered.get(server).is_some_and(has_answered) {
                self.contradict(issuer, guarded);
            }
            return;
        }
        // another server says that it keeps what the guard has from somebody else: that takes nothing away from it
        self.doubt_keepers(&named, guarded);
        if self.at_guard.contains_key(&named) {
            return;
        }
        // nobody who keeps it is linked: a thing of this server's word alone, whatever another one calls its own
        let at = self.add(server, &format!("{issuer} {}", guarded.id), &guarded.description, false);
        self.at_guard.insert(named, at);
        let Some(thing) = self.things.get_mut(at) else { return };
        if guarded.description.name.is_none() {
            thing.name = readable(guarded.description.own_id.as_ref().map_or(guarded.id.as_str(), OwnResourceId::as_str));
            thing.haystack = haystack_of(server, &thing.name, &guarded.description);
        }
        thing.guards.push(Guard {
            issuer: issuer.to_owned(),
            link: Some(link.to_owned()),
            is_linked: true,
            id: Some(guarded.id.clone()),
            scopes: guarded.description.resource_scopes.clone(),
            state: RegistrationState::Active,
            page,
            plain: false,
            registration: None,
            error: None,
        });
    }

    /// Keepers that call a thing of theirs what the guard calls another server's thing.
    fn doubt_keepers(&mut self, named: &NameAtGuard, guarded: &Guarded) {
        let (guard, other) = (words::place(&named.0), words::place(guarded.resource_server.as_str()));
        for at in self.said_by_keepers.get(named).cloned().unwrap_or_default() {
            let Some(thing) = self.things.get(at) else { continue };
            let (server, words) =
                (thing.server.clone(), format!("says that {guard} guards “{}”; there it is a thing of {other}", thing.name));
            self.doubt(&server, Some(at), words);
        }
    }

    fn contradict(&mut self, issuer: &str, guarded: &Guarded) {
        let server = guarded.resource_server.as_str();
        let own_id = guarded.description.own_id.as_ref();
        let at = own_id.and_then(|own| self.at_server.get(&(server.to_owned(), own.clone()))).copied();
        let thing = at.and_then(|at| self.things.get(at));
        let name = thing.map_or_else(|| name_of(&guarded.description, guarded.id.as_str()), |thing| thing.name.clone());
        let place = words::place(server);
        let why = if thing.is_some() { "which keeps it, does not say so" } else { "which would keep it, has no such thing" };
        self.doubt(issuer, at, format!("says that it guards “{name}”; {place}, {why}"));
    }

    /// Where the keeper names a guard that is linked, and that guard does not know of it.
    pub(super) fn miss_guards(&mut self, servers: &[Known]) {
        let answered = |known: &&Known| known.link.place.is_guard() && known.snapshot.answered.is_some();
        let read = servers.iter().filter(answered).map(|known| (known.link.place.url(), known.snapshot.begun));
        let read: HashMap<&str, i64> = read.collect();
        let keepers = servers.iter().filter(|known| known.link.place.is_keeper());
        let keepers: HashMap<&str, &Known> = keepers.map(|known| (known.link.place.url(), known)).collect();
        let mut missed = Vec::new();
        for (at, thing) in self.things.iter().enumerate().filter(|(_, thing)| thing.is_vouched) {
            let Some(keeper) = keepers.get(thing.server.as_str()) else { continue };
            let active = |guard: &&Guard| guard.state == RegistrationState::Active && guard.link.is_none();
            // one that has not been read since the keeper first said so has not answered to it
            let is_asked = |guard: &&Guard| {
                let registration = guard.registration.as_deref().unwrap_or_default();
                read.get(guard.issuer.as_str()).is_some_and(|begun| keeper.snapshot.has_listed_before(registration, *begun))
            };
            for guard in thing.guards.iter().filter(active).filter(is_asked) {
                let (name, place) = (&thing.name, words::place(&guard.issuer));
                let words = format!("says that {place} guards “{name}”; that server does not say so");
                missed.push((thing.server.clone(), at, words));
            }
        }
        for (server, at, words) in missed {
            self.doubt(&server, Some(at), words);
        }
    }

    /// What she signed and did not take back, thing by thing.
    pub(super) fn words(&mut self, servers: &[Known], ledger: &Ledger, now: Timestamp) {
        let said_gone = |server: &str, word: &Word| {
            let keeper = servers.iter().find(|known| known.link.place.is_keeper() && known.link.place.url() == server);
            // what another account of that server took back is nothing of hers
            keeper.filter(|known| !word.is_of_other_account(&known.link)).is_some_and(|known| known.says_gone(word.jti()))
        };
        for (id, word) in ledger.live(now) {
            let Said::Share(token) = &word.said else { continue };
            for entry in &token.resources {
                let server = entry.resource_server.as_str();
                // the server that keeps it has heard that it is taken back, from another desk of hers
                if said_gone(server, word) {
                    continue;
                }
                let share = Share {
                    id: token.jti.as_str().into(),
                    place: word.guards.first().cloned().unwrap_or_default(),
                    who: words::who_of_token(&token.allowed_rqp),
                    scopes: scopes_for(token, server, &entry.resource_id),
                    until: Some(token.exp),
                    clients: token.allowed_rqp.client_id.iter().flat_map(|ids| ids.iter().map(str::to_owned)).collect(),
                    basis: Basis::Signed { word: id.to_owned() },
                    delegated: false,
                };
                let at = self.kept_or_signed(server, &entry.resource_id, &word.name, &entry.allowed_scopes);
                let Some(thing) = self.things.get_mut(at) else { continue };
                let same = |known: &Share| matches!(&known.basis, Basis::Signed { word } if word == id);
                if !thing.shares.iter().any(same) {
                    thing.shares.push(share);
                }
            }
        }
    }

    /// The thing of this name; where its server is not linked (any more), what she signed for is shown all the same.
    fn kept_or_signed(&mut self, server: &str, own_id: &OwnResourceId, name: &str, scopes: &ScopeSet) -> usize {
        let named = (server.to_owned(), own_id.clone());
        if let Some(at) = self.at_server.get(&named).or_else(|| self.only_signed.get(&named)) {
            return *at;
        }
        let description = ResourceDescription {
            name: Some(name.to_owned()).filter(|name| !name.is_empty()),
            own_id: Some(own_id.clone()),
            resource_scopes: scopes.clone(),
            ..ResourceDescription::default()
        };
        let at = self.add(server, own_id.as_str(), &description, false);
        self.only_signed.insert(named, at);
        at
    }

    /// What she approved lets somebody in, and is no policy.
    pub(super) fn approval(&mut self, known: &Known, request: &AccessRequestDocument) {
        let issuer = known.link.place.url();
        for permission in &request.permissions {
            let at = self.at_guard.get(&(issuer.to_owned(), permission.resource_id.clone()));
            let Some(thing) = at.and_then(|at| self.things.get_mut(*at)) else { continue };
            thing.approvals.push(Approval {
                link: known.link.id.clone(),
                request: request.id.as_str().to_owned(),
                place: issuer.to_owned(),
                who: words::who_asked(request),
                scopes: permission.resource_scopes.clone(),
                client: readable(request.client.name.as_deref().unwrap_or(request.client.client_id.as_str())),
                until: request.approved_until,
            });
        }
    }

    /// A policy that no word of hers stands behind.
    pub(super) fn policy(&mut self, known: &Known, policy: &PolicyDocument, hers: &Hers) {
        let (issuer, link) = (known.link.place.url(), known.link.id.as_str());
        let at = match (&policy.resource_id, &policy.resource_server, &policy.own_id) {
            (Some(id), ..) => self.at_guard.get(&(issuer.to_owned(), id.clone())),
            (None, Some(server), Some(own_id)) => self.at_server.get(&(server.as_str().to_owned(), own_id.clone())),
            _ => None,
        };
        let Some(id) = &policy.id else { return };
        let by_delegate = policy.authority.as_deref().and_then(|text| hers.read_delegates_share(text)).map(|token| {
            let mut things: BTreeMap<String, Vec<OwnResourceId>> = BTreeMap::new();
            for one in &token.resources {
                things.entry(one.resource_server.as_str().to_owned()).or_default().push(one.resource_id.clone());
            }
            DelegatesWord { jti: token.jti.clone(), exp: token.exp, things }
        });
        let partly_read = known.snapshot.partly_read.contains(id);
        let who = match words::who(&policy.required_claims) {
            Who::Anyone if partly_read => Who::Other("conditions that this desk cannot read".to_owned()),
            who => who,
        };
        let unclear: Vec<String> = known.snapshot.unclear_policies.get(id.as_str()).into_iter().flatten().cloned().collect();
        let mut clients: Vec<String> = policy.client_id.iter().map(|client| readable(client.as_str())).collect();
        if unclear.iter().any(|what| what == APPLICATIONS) {
            clients.push("applications that this desk cannot read".to_owned());
        }
        let share = Share {
            id: id.clone(),
            place: issuer.to_owned(),
            who,
            scopes: policy.resource_scopes.clone(),
            until: policy.expires_at,
            clients,
            delegated: policy.delegation.is_some(),
            basis: Basis::Listed(Box::new(ListedPolicy {
                link: link.to_owned(),
                partly_read,
                unclear,
                not_signed: policy.authority.is_some() && by_delegate.is_none(),
                by_delegate,
                policy: policy.clone(),
            })),
        };
        match at.and_then(|at| self.things.get_mut(*at)) {
            Some(thing) => thing.shares.push(share),
            None => self.unplaced.push(share),
        }
    }
}

fn name_of(description: &ResourceDescription, id: &str) -> String {
    let name = description.name.as_deref().map(readable).filter(|name| !name.is_empty());
    name.unwrap_or_else(|| readable(id))
}

fn haystack_of(server: &str, name: &str, description: &ResourceDescription) -> String {
    let more = [&description.description, &description.resource_type, &description.resource_location];
    let more = more.into_iter().flatten().map(String::as_str);
    [name, server].into_iter().chain(more).collect::<Vec<_>>().join("\n").to_lowercase()
}
