//! Routes (`browser.md`, *Routes*): which resource a path stands for, whose it is, and what each method needs. First match
//! wins; no match is 404, a method without scopes 405. What a public route leads to is nobody's, and open to everybody.

mod methods;
mod pattern;

use super::fields::folded;
use super::path::CanonicalPath;
use crate::guard::Need;
pub use methods::{MethodScopes, parse_method};
use methods::{NEVER, READING};
pub use pattern::Pattern;
pub(crate) use pattern::{ANY, ANY_REST, is_made_by};
use pattern::{Spelling, likenesses_of};
use std::collections::BTreeSet;
use std::sync::Arc;
use types::{ResourceId, Scope, ScopeSet};

/// Who owns what a route leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnerOf {
    Named(String),
    /// The path segment of this name.
    Path(String),
    /// This header, from trusted proxies only.
    Header(String),
    /// Whoever this URL names; `{path}` in it is the path.
    Lookup(String),
}

/// A route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// Like `/albums/{album}/{photo}`.
    pub path: Pattern,
    pub access: Access,
}

/// Who may go where a route leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Access {
    /// Everybody, by these methods.
    Public(BTreeSet<String>),
    /// Who has the owner's permission.
    Guarded(Box<Guarded>),
}

/// What a route that is not public makes of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guarded {
    /// Like `/albums/{album}`: one resource per distinct value; that path is its `_resource_id`.
    pub resource: Pattern,
    /// Further resources of the same owner that a call needs, with the same scopes: one ticket is for all.
    pub also: Vec<Pattern>,
    pub owner: OwnerOf,
    pub resource_type: Option<String>,
    /// What pages call the one thing that it makes; none: as its path says.
    pub name: Option<String>,
    pub scopes: MethodScopes,
    /// Whether a call may become a web socket.
    pub takes_web_sockets: bool,
    /// Whether the service is told the address of whoever calls.
    pub tells_email: bool,
}

/// Resources below a path.
pub(crate) struct Below {
    /// Where the path says whose they are.
    pub(crate) owner: Option<String>,
    /// Of their ids, with [`ANY`] and [`ANY_REST`] for what the path does not say.
    pub(crate) pattern: String,
    /// What each method needs.
    pub(crate) scopes: MethodScopes,
}

/// A route that fits a path.
pub(crate) enum Matched<'a> {
    Public(&'a BTreeSet<String>),
    Guarded(MatchedGuarded<'a>),
}

/// A guarded route that fits a path.
pub(crate) struct MatchedGuarded<'a> {
    pub(crate) route: &'a Guarded,
    /// The owner, where the path alone says who.
    pub(crate) owner: Option<String>,
    pub(crate) own_id: String,
    pub(crate) also: Vec<String>,
    /// Other guarded routes that the service may take the path for: what they need is needed as well.
    pub(crate) beside: Vec<Self>,
}

impl MatchedGuarded<'_> {
    /// What a call needs, of it and of what is beside it; none: of one of them it cannot be done.
    pub(crate) fn needs(&self, scopes_of: impl Fn(&Guarded) -> Option<ScopeSet>) -> Option<Arc<[Need]>> {
        let mut needs: Vec<Need> = Vec::with_capacity(1);
        for matched in std::iter::once(self).chain(&self.beside) {
            let scopes = scopes_of(matched.route)?;
            for id in std::iter::once(&matched.own_id).chain(&matched.also) {
                match needs.iter_mut().find(|need| need.resource.as_str() == id) {
                    Some(need) => need.scopes = need.scopes.union(&scopes),
                    None => needs.push(Need { resource: ResourceId::new(id.clone()), scopes: scopes.clone() }),
                }
            }
        }
        Some(needs.into())
    }
}

impl MatchedGuarded<'_> {
    /// Whether anything of it is still open.
    fn has_any(&self) -> bool {
        let ids = std::iter::once(&self.own_id).chain(&self.also).chain(&self.owner);
        ids.into_iter().any(|id| id.contains(ANY)) || self.beside.iter().any(Self::has_any)
    }
}

impl Guarded {
    /// Whether whoever calls chooses what a new resource is called. Where the operator wrote the whole name, or somebody is
    /// asked whose a path is, others have spoken for it.
    pub(crate) fn is_named_by_caller(&self) -> bool {
        !matches!(self.owner, OwnerOf::Lookup(_)) && self.resources().any(|resource| resource.names().next().is_some())
    }

    /// Patterns of what it makes.
    fn resources(&self) -> impl Iterator<Item = &Pattern> {
        std::iter::once(&self.resource).chain(&self.also)
    }

    /// Ids of what is there whoever calls.
    pub(crate) fn only_ids(&self) -> impl Iterator<Item = String> {
        self.resources().filter_map(Pattern::only_id)
    }

    fn owner_in(&self, values: &pattern::Values<'_>) -> Option<String> {
        match &self.owner {
            OwnerOf::Named(name) => Some(name.clone()),
            OwnerOf::Path(name) => values.segment(name).cloned(),
            OwnerOf::Header(_) | OwnerOf::Lookup(_) => None,
        }
    }

    /// What is wrong with it, if anything.
    fn check(&self, path: &Pattern) -> Result<(), String> {
        let names: Vec<_> = path.names().collect();
        if let Some(name) = self.resources().flat_map(Pattern::names).find(|name| !names.contains(name)) {
            return Err(format!("`{path}`: `resource` uses {{{name}}}, which `path` has not"));
        }
        if let Some(name) = names.iter().find(|name| {
            self.resources().any(|one| one.is_rest(name) != path.is_rest(name) && one.names().any(|own| own == **name))
        }) {
            return Err(format!("`{path}`: {{{name}}} is one segment in one place and all that follows in the other"));
        }
        match &self.owner {
            OwnerOf::Named(name) if name.is_empty() || name.trim() != name => {
                Err(format!("`{path}`: `owner` must be a name, without blanks around it"))
            }
            OwnerOf::Path(name) if !names.contains(&name.as_str()) || path.is_rest(name) => {
                Err(format!("`{path}`: the owner is a segment that `path` has not: write its name as it stands there in braces"))
            }
            OwnerOf::Header(name) if name.parse::<http::HeaderName>().is_err() || folded(name) != name.to_lowercase() => {
                Err(format!("`{path}`: `owner.header` is the name of a header: write it with letters, digits and `-` alone"))
            }
            OwnerOf::Lookup(url) if url::Url::parse(url).is_err() || !url.contains("{path}") => {
                Err(format!("`{path}`: `owner.lookup` must be a URL with {{path}} in it"))
            }
            _ if self.scopes.is_empty() => Err(format!("`{path}`: `scopes` names no method")),
            _ if NEVER.iter().any(|method| self.scopes.get(method).is_some()) => {
                Err(format!("`{path}`: CONNECT and TRACE are never let through"))
            }
            _ if self.takes_web_sockets && self.scopes.get("GET").is_none() => {
                Err(format!("`{path}`: a web socket begins with GET: `scopes` must say what that needs"))
            }
            _ => Ok(()),
        }
    }

    fn makes(&self, own_id: &str) -> bool {
        self.resources().any(|resource| resource.makes(own_id))
    }

    /// The owner of what has an id that it made, where the id says so.
    pub(crate) fn owner_of_id(&self, own_id: &str) -> Option<String> {
        let resource = self.resources().find(|resource| resource.makes(own_id))?;
        self.owner_in(&resource.values_of_id(&CanonicalPath::of_id(own_id)?))
    }
}

impl Route {
    /// What is wrong with it, if anything.
    ///
    /// # Errors
    /// Names the path, and what is wrong.
    pub fn check(&self) -> Result<(), String> {
        // what names another place, or all that is below, says nothing of who may go there
        const OF_MANY: [&str; 4] = ["COPY", "MOVE", "LOCK", "PROPFIND"];
        match &self.access {
            Access::Guarded(guarded) => guarded.check(&self.path),
            Access::Public(methods) if methods.is_empty() => Err(format!("`{}`: `methods` names none", self.path)),
            Access::Public(methods) => match OF_MANY.iter().chain(&NEVER).find(|method| methods.contains(**method)) {
                Some(method) => Err(format!("`{}`: {method} cannot be public", self.path)),
                None => Ok(()),
            },
        }
    }

    /// What it guards, if anything.
    pub(crate) fn guarded(&self) -> Option<&Guarded> {
        if let Access::Guarded(guarded) = &self.access { Some(guarded) } else { None }
    }

    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.guarded().into_iter().flat_map(|guarded| guarded.scopes.sets()).flat_map(|scopes| scopes.iter().cloned())
    }

    pub(crate) fn may_belong_to(&self, owner: &str) -> bool {
        self.guarded().is_some_and(|guarded| match &guarded.owner {
            OwnerOf::Named(name) => name == owner,
            OwnerOf::Path(_) | OwnerOf::Header(_) | OwnerOf::Lookup(_) => true,
        })
    }

    /// What it guards, where a resource of this id is one of its own.
    pub(crate) fn maker_of(&self, own_id: &str) -> Option<&Guarded> {
        self.guarded().filter(|guarded| guarded.makes(own_id) && CanonicalPath::can_be_id(own_id))
    }

    /// The same, where any method of it needs this scope.
    pub(crate) fn offers(&self, own_id: &str, scope: &Scope) -> bool {
        let needs = |guarded: &Guarded| guarded.scopes.sets().any(|scopes| scopes.contains(scope));
        self.guarded().is_some_and(|guarded| needs(guarded) && guarded.makes(own_id)) && CanonicalPath::can_be_id(own_id)
    }

    /// The resources that it makes of what is below a path, without those that are known.
    pub(crate) fn find_below(&self, path: &CanonicalPath, is_known: impl Fn(&str) -> bool) -> Vec<Below> {
        let Some((guarded, values)) = self.guarded().and_then(|guarded| Some((guarded, self.path.fit_below(path)?))) else {
            return Vec::new();
        };
        let owner = guarded.owner_in(&values);
        let filled = guarded.resources().map(|resource| resource.fill_below(&values));
        let others = filled.filter(|id| !is_known(id));
        others.map(|pattern| Below { owner: owner.clone(), pattern, scopes: guarded.scopes.clone() }).collect()
    }

    fn fit(&self, path: &CanonicalPath, spelling: Spelling<'_>) -> Option<Matched<'_>> {
        let values = self.path.fit(path, spelling)?;
        let guarded = match &self.access {
            Access::Public(methods) => return Some(Matched::Public(methods)),
            Access::Guarded(guarded) => guarded,
        };
        let also = guarded.also.iter().map(|resource| resource.fill(&values)).collect();
        let (owner, own_id) = (guarded.owner_in(&values), guarded.resource.fill(&values));
        Some(Matched::Guarded(MatchedGuarded { route: guarded, owner, own_id, also, beside: Vec::new() }))
    }
}

/// Whether a method only looks.
pub(crate) fn is_reading(method: &str) -> bool {
    READING.contains(&method)
}

/// The first route that fits a path. Many services show the same with a slash at the end and without it, and some take other
/// letters for these (threat 26, [`types::spelling::likeness`]): where a guarded route is for such a spelling, and is before the
/// first one or more particular than it, what that needs is needed too.
pub(crate) fn find<'a>(routes: &'a [Route], path: &CanonicalPath) -> Option<Matched<'a>> {
    let (at, route, matched) = find_as(routes, path, Spelling::AsItIs).next()?;
    let mut all = match matched {
        Matched::Guarded(matched) => vec![matched],
        Matched::Public(_) => Vec::new(),
    };
    let likenesses = likenesses_of(path);
    let has_slash_to_turn = routes.iter().any(|route| route.path.has_slash_to_turn());
    // with the slash turned it is one other path, and has one first route; in other letters it is many
    let turned = find_as(routes, path, Spelling::SlashTurned).take(usize::from(has_slash_to_turn));
    for (other_at, other, matched) in turned.chain(find_as(routes, path, Spelling::OtherLetters(&likenesses))) {
        let goes_first = other_at < at || other.path.is_more_particular_than(&route.path);
        let Matched::Guarded(matched) = matched else { continue };
        let is_new = |one: &MatchedGuarded<'_>| {
            one.own_id != matched.own_id || one.also != matched.also || one.route.owner != matched.route.owner
        };
        if goes_first && !route.path.names_place_of(&other.path) && all.iter().all(is_new) {
            all.push(matched);
        }
    }
    let mut all = all.into_iter();
    match (all.next(), &route.access) {
        (Some(first), _) => Some(Matched::Guarded(MatchedGuarded { beside: all.collect(), ..first })),
        (None, Access::Public(methods)) => Some(Matched::Public(methods)),
        (None, Access::Guarded(_)) => None,
    }
}

/// The routes that fit a path as it is read, in their order, each with its place.
fn find_as<'a>(
    routes: &'a [Route],
    path: &CanonicalPath,
    spelling: Spelling<'_>,
) -> impl Iterator<Item = (usize, &'a Route, Matched<'a>)> {
    routes.iter().enumerate().filter_map(move |(at, route)| Some((at, route, route.fit(path, spelling)?)))
}

/// What a collection of a folder is part of, for a person who opens it: what a route says of it, else the resource that all
/// files of any name in it are of. None: they are of several, or of none.
pub(crate) fn find_collection<'a>(routes: &'a [Route], path: &CanonicalPath) -> Option<Matched<'a>> {
    if let Some(found) = find(routes, path) {
        return Some(found);
    }
    match find(routes, &path.any_below())? {
        Matched::Guarded(matched) if !matched.has_any() => Some(Matched::Guarded(matched)),
        // what everybody may see has a page, but for the beginning, where people find what is theirs
        Matched::Public(methods) if !path.segments().is_empty() => Some(Matched::Public(methods)),
        _ => None,
    }
}

/// Where a person finds a resource: at its id or, where the routes make it only of what is below that, with a slash at the end.
pub(crate) fn page_of(routes: &[Route], own_id: &str) -> Option<CanonicalPath> {
    let path = CanonicalPath::of_id(own_id)?;
    let leads_to_it =
        |path: &CanonicalPath| matches!(find(routes, path), Some(Matched::Guarded(found)) if found.own_id == own_id);
    let within = path.with_slash();
    Some(if !leads_to_it(&path) && leads_to_it(&within) { within } else { path })
}

/// A route that can never be reached, by its place, and the one before it that hides it.
pub fn find_hidden(routes: &[Route]) -> Option<(usize, &Route, &Route)> {
    routes.iter().enumerate().find_map(|(at, route)| {
        let before = routes.iter().take(at).find(|before| before.path.covers(&route.path))?;
        Some((at, route, before))
    })
}

#[cfg(test)]
mod respelled;
#[cfg(test)]
mod tests;
