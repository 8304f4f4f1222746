//! Routes: which resource a path stands for, whose it is, and what each method needs. First match
//! wins; no match is 404, a method without scopes 405.

use super::fields::folded;
use super::path::CanonicalPath;
use crate::guard::Need;
use std::collections::BTreeMap;
use std::sync::Arc;
use types::{ResourceId, Scope, ScopeSet};

/// Any name, in the pattern of an id: NUL is in none.
pub(crate) const ANY: &str = "\0";

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
    pub path: String,
    /// Like `/albums/{album}`: one resource per distinct value; that path is its `_resource_id`.
    pub resource: String,
    /// Further resources of the same owner that a call needs, with the same scopes: one ticket is for all.
    pub also: Vec<String>,
    pub owner: OwnerOf,
    pub resource_type: Option<String>,
    pub scopes: BTreeMap<String, ScopeSet>,
    /// Whether a call may become a web socket.
    pub takes_web_sockets: bool,
}

/// Resources below a path.
pub(crate) struct Below {
    /// Where the path says whose they are.
    pub(crate) owner: Option<String>,
    /// Of their ids, with [`ANY`] for names that the path does not say.
    pub(crate) pattern: String,
    /// What each method needs.
    pub(crate) scopes: BTreeMap<String, ScopeSet>,
}

/// A route that fits a path.
pub(crate) struct Matched<'a> {
    pub(crate) route: &'a Route,
    /// The owner, where the path alone says who.
    pub(crate) owner: Option<String>,
    pub(crate) own_id: String,
    pub(crate) also: Vec<String>,
}

impl Matched<'_> {
    /// What a call needs that needs these scopes.
    pub(crate) fn needs(self, scopes: &ScopeSet) -> Arc<[Need]> {
        let need = |id: String| Need { resource: ResourceId::new(id), scopes: scopes.clone() };
        std::iter::once(self.own_id).chain(self.also).map(need).collect()
    }
}

impl Route {
    /// Whether whoever calls chooses what a resource is called. Where the operator wrote the whole name, or somebody is asked
    /// whose a path is, others have spoken for it.
    pub(crate) fn is_named_by_caller(&self) -> bool {
        !matches!(self.owner, OwnerOf::Lookup(_))
            && self.resources().any(|resource| resource.split('/').any(|one| name_of(one).is_some()))
    }

    /// What is wrong with it, if anything.
    pub fn check(&self) -> Result<(), String> {
        let names: Vec<_> = self.path.split('/').filter_map(name_of).collect();
        let unknown = self.resources().flat_map(|resource| resource.split('/')).filter_map(name_of);
        let unknown = unknown.into_iter().find(|name| !names.contains(name));
        if !self.path.starts_with('/') || self.resources().any(|resource| !resource.starts_with('/')) {
            return Err(format!("`{}`: `path`, `resource` and `also` begin with a slash", self.path));
        }
        if let Some(name) = unknown {
            return Err(format!("`{}`: `resource` uses {{{name}}}, which `path` has not", self.path));
        }
        match &self.owner {
            OwnerOf::Path(name) if !names.contains(&name.as_str()) => {
                Err(format!("`{}`: the owner is {{{name}}}, which `path` has not", self.path))
            }
            OwnerOf::Header(name) if name.parse::<http::HeaderName>().is_err() || folded(name) != name.to_lowercase() => {
                Err(format!("`{}`: `{name}` is no name of a header: write it with letters, digits and `-` alone", self.path))
            }
            OwnerOf::Lookup(url) if url::Url::parse(url).is_err() || !url.contains("{path}") => {
                Err(format!("`{}`: the look-up `{url}` must be a URL with {{path}} in it", self.path))
            }
            _ if self.scopes.is_empty() => Err(format!("`{}`: `scopes` names no method", self.path)),
            // a tunnel to anywhere, and a mirror of what a call was sent with
            _ if self.scopes.contains_key("CONNECT") || self.scopes.contains_key("TRACE") => {
                Err(format!("`{}`: CONNECT and TRACE are never let through", self.path))
            }
            _ if self.takes_web_sockets && !self.scopes.contains_key("GET") => {
                Err(format!("`{}`: a web socket begins with GET: `scopes` must say what that needs", self.path))
            }
            _ => Ok(()),
        }
    }

    /// Patterns of what it makes.
    fn resources(&self) -> impl Iterator<Item = &str> {
        std::iter::once(&self.resource).chain(&self.also).map(String::as_str)
    }

    pub(crate) fn all_scopes(&self) -> impl Iterator<Item = Scope> + '_ {
        self.scopes.values().flat_map(|scopes| scopes.iter().cloned())
    }

    /// Whether any method needs this scope.
    pub(crate) fn needs_somewhere(&self, scope: &Scope) -> bool {
        self.scopes.values().any(|scopes| scopes.contains(scope))
    }

    pub(crate) fn may_belong_to(&self, owner: &str) -> bool {
        match &self.owner {
            OwnerOf::Named(name) => name == owner,
            OwnerOf::Path(_) | OwnerOf::Header(_) | OwnerOf::Lookup(_) => true,
        }
    }

    /// Whether a resource of this id is one of its own.
    pub(crate) fn makes(&self, own_id: &str) -> bool {
        self.pattern_of(own_id).is_some() && CanonicalPath::can_be(own_id)
    }

    /// The pattern that an id of its own was made by.
    fn pattern_of(&self, own_id: &str) -> Option<&str> {
        self.resources().find(|resource| {
            let (mut pattern, mut segments) = (resource.split('/').skip(1), own_id.split('/').skip(1));
            let fits = |part: &str| segments.next().is_some_and(|segment| name_of(part).is_some() || part == segment);
            pattern.all(fits) && segments.next().is_none()
        })
    }

    /// What stands for this name in an id of its own.
    pub(crate) fn value_in(&self, own_id: &str, name: &str) -> Option<String> {
        let mut pairs = self.pattern_of(own_id)?.split('/').zip(own_id.split('/'));
        pairs.find(|(part, _)| name_of(part) == Some(name)).map(|(_, segment)| segment.to_owned())
    }

    /// For `Allow`; HEAD goes with GET.
    pub(crate) fn allowed_methods(&self) -> String {
        let mut methods: Vec<&str> = self.scopes.keys().map(String::as_str).collect();
        if methods.contains(&"GET") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }

    /// The resources that it makes of what is below a path, without those that are known.
    pub(crate) fn find_below(&self, path: &CanonicalPath, is_known: impl Fn(&str) -> bool) -> Vec<Below> {
        let pattern: Vec<&str> = self.path.split('/').skip(1).filter(|part| !part.is_empty()).collect();
        let above: Vec<_> = pattern.iter().zip(path.segments()).collect();
        let fits = above.iter().all(|(part, segment)| name_of(part).is_some() || **part == segment.as_str());
        if !fits || pattern.len() <= path.segments().len() {
            return Vec::new();
        }
        let value_of = |part: &str| above.iter().find(|(own, _)| **own == part).map(|(_, segment)| (*segment).clone());
        let owner = match &self.owner {
            OwnerOf::Named(name) => Some(name.clone()),
            OwnerOf::Path(name) => value_of(&format!("{{{name}}}")),
            OwnerOf::Header(_) | OwnerOf::Lookup(_) => None,
        };
        let value = |part: &str| match name_of(part) {
            None => part.to_owned(),
            // a name that stands further below is as many resources as there are names
            Some(_) => value_of(part).unwrap_or_else(|| ANY.to_owned()),
        };
        let filled = self.resources().map(|resource| resource.split('/').map(value).collect::<Vec<_>>().join("/"));
        let others = filled.filter(|id| !is_known(id));
        others.map(|pattern| Below { owner: owner.clone(), pattern, scopes: self.scopes.clone() }).collect()
    }

    pub(crate) fn fit(&self, path: &CanonicalPath) -> Option<Matched<'_>> {
        let pattern = || self.path.split('/').skip(1).filter(|part| !part.is_empty());
        let pairs = || pattern().zip(path.segments().iter().map(String::as_str));
        let fits = |(part, segment): (&str, &str)| name_of(part).is_some() || part == segment;
        if pattern().count() != path.segments().len() || !pairs().all(fits) {
            return None;
        }
        let value = |name: &str| pairs().filter(|(part, _)| name_of(part) == Some(name)).map(|(_, segment)| segment).last();
        let owner = match &self.owner {
            OwnerOf::Named(name) => Some(name.clone()),
            OwnerOf::Path(name) => Some(value(name)?.to_owned()),
            OwnerOf::Header(_) | OwnerOf::Lookup(_) => None,
        };
        let filled = |resource: &str| -> String {
            let mut id = String::with_capacity(path.encoded().len());
            for part in resource.split('/').skip(1) {
                id.push('/');
                id.push_str(name_of(part).map_or(part, |name| value(name).unwrap_or_default()));
            }
            id
        };
        let also = self.also.iter().map(|resource| filled(resource)).collect();
        Some(Matched { route: self, owner, own_id: filled(&self.resource), also })
    }
}

pub(crate) fn find<'a>(routes: &'a [Route], path: &CanonicalPath) -> Option<Matched<'a>> {
    routes.iter().find_map(|route| route.fit(path))
}

/// `album` of `{album}`.
fn name_of(part: &str) -> Option<&str> {
    part.strip_prefix('{')?.strip_suffix('}')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(path: &str, resource: &str, owner: OwnerOf) -> Route {
        let scopes = [("GET".to_owned(), ScopeSet::parse("view").unwrap())].into();
        Route {
            path: path.into(),
            resource: resource.into(),
            also: vec![],
            owner,
            resource_type: None,
            scopes,
            takes_web_sockets: false,
        }
    }

    #[test]
    fn a_path_leads_to_one_resource_of_one_owner() {
        let routes = [
            route("/albums/{album}/{photo}", "/albums/{album}", OwnerOf::Named("alice".into())),
            route("/u/{user}/{file}", "/u/{user}/{file}", OwnerOf::Path("user".into())),
        ];
        let found = |path: &str| find(&routes, &CanonicalPath::parse(path).unwrap()).map(|m| (m.owner, m.own_id));
        assert_eq!(found("/albums/holiday/1.jpg"), Some((Some("alice".into()), "/albums/holiday".into())));
        assert_eq!(found("/u/bob/x"), Some((Some("bob".into()), "/u/bob/x".into())));
        assert_eq!(found("/albums/holiday"), None);
        assert_eq!(found("/albums/holiday/1.jpg/more"), None);
        assert!(route("/a/{x}", "/a/{y}", OwnerOf::Named("z".into())).check().is_err());
        assert!(route("/a/{x}", "/a/{x}", OwnerOf::Path("user".into())).check().is_err());
    }

    /// Row 26: a look at all that is below a path.
    #[test]
    fn threat_26_other_resources_below_a_path_are_seen() {
        let alice = || OwnerOf::Named("alice".into());
        let below = |path: &str, resource: &str, called: &str, judged: &str| {
            !route(path, resource, alice())
                .find_below(&CanonicalPath::parse(called).unwrap(), |own_id| own_id == judged)
                .is_empty()
        };
        assert!(!below("/albums/{album}/{photo}", "/albums/{album}", "/albums/holiday", "/albums/holiday"));
        assert!(below("/albums/{album}/{photo}", "/albums/{album}/{photo}", "/albums/holiday", "/albums/holiday"));
        assert!(below("/albums/{album}/{photo}", "/albums/{album}", "/albums", "/albums"));
        assert!(below("/albums/{album}/{photo}", "/private", "/albums/holiday", "/albums/holiday"));
        assert!(!below("/albums/{album}/{photo}", "/albums/{album}", "/albums/holiday/1.jpg", "/albums/holiday"));
        assert!(!below("/other/{album}", "/other/{album}", "/albums", "/albums"));
    }

    #[test]
    fn threat_39_a_route_takes_no_tunnels_but_web_sockets_that_begin_with_get() {
        let with = |method: &str, takes_web_sockets| {
            let scopes = [(method.to_owned(), ScopeSet::parse("view").unwrap())].into();
            Route { scopes, takes_web_sockets, ..route("/a", "/a", OwnerOf::Named("alice".into())) }.check()
        };
        assert!(with("GET", true).is_ok() && with("POST", false).is_ok());
        for (method, takes_web_sockets) in [("CONNECT", false), ("TRACE", false), ("POST", true)] {
            assert!(with(method, takes_web_sockets).is_err(), "{method}");
        }
    }

    #[test]
    fn threat_47_s20_an_owner_stands_in_a_header_that_cannot_be_folded() {
        let by = |name: &str| route("/a", "/a", OwnerOf::Header(name.into())).check();
        assert!(by("X-Owner").is_ok());
        for name in ["X_Owner", "X.Owner", "x-owner!", ""] {
            assert!(by(name).is_err(), "{name}");
        }
    }
}
