//! `[[gateway.route]]`: what is where behind a gateway, whose it is, and what each method needs.

use resource_server::gateway::{Access, Guarded, MethodScopes, OwnerOf, Pattern, Route, parse_method};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use types::ScopeSet;

/// `[[gateway.route]]`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct RouteConfig {
    pub path: String,
    /// Everybody may go there: no resource, owner or scopes.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
    /// By which methods, where it is public: GET, HEAD and OPTIONS where it says nothing.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub methods: Vec<String>,
    #[serde(default)]
    pub resource: Option<String>,
    /// Further resources that a call needs, with the same scopes.
    #[serde(default)]
    pub also: Vec<String>,
    #[serde(default)]
    pub owner: Option<OwnerConfig>,
    #[serde(default, rename = "type")]
    pub resource_type: Option<String>,
    /// What pages call the thing, where it is one.
    #[serde(default)]
    pub name: Option<String>,
    /// By method, or by `read` and `write` for all of a class.
    #[serde(default)]
    pub scopes: BTreeMap<String, Vec<String>>,
    /// Whether a GET may become a web socket.
    #[serde(default)]
    pub websocket: bool,
    /// What else the service is told of whoever calls: `email`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub identity: Vec<String>,
}

/// `owner = "alice"`, or `{ path = "user" }`.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(untagged)]
pub enum OwnerConfig {
    Named(String),
    Path(OwnerByPath),
    Header(OwnerByHeader),
    Lookup(OwnerByLookup),
}

/// `{ header = "X-Owner" }`: from trusted proxies only.
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByHeader {
    pub header: String,
}

/// `{ lookup = "http://.../owner?path={path}" }`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByLookup {
    pub lookup: String,
}

/// `{ path = "user" }`
#[derive(Clone, Debug, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub struct OwnerByPath {
    pub path: String,
}

impl RouteConfig {
    /// Where owners are looked up.
    pub fn lookup(&self) -> Option<&str> {
        if let Some(OwnerConfig::Lookup(by)) = &self.owner { Some(&by.lookup) } else { None }
    }

    pub(super) fn route(&self) -> Result<Route, String> {
        let path = Pattern::parse(&self.path).map_err(|what| format!("`path`: {what}"))?;
        let access = if self.public { self.public_access()? } else { Access::Guarded(Box::new(self.guarded()?)) };
        let route = Route { path, access };
        route.check()?;
        Ok(route)
    }

    /// A name is one thing's: things that a path tells apart would all be called so.
    fn own_name(&self, resource: &str) -> Result<Option<String>, String> {
        let Some(name) = self.name.as_deref().map(types::spelling::visible) else { return Ok(None) };
        match (name.is_empty(), resource.contains('{')) {
            (true, _) => Err(format!("`{}`: `name` must not be empty", self.path)),
            (false, true) => Err(format!("`{}`: `name` is for one thing, and `resource` names many: leave it out", self.path)),
            (false, false) => Ok(Some(name)),
        }
    }

    fn public_access(&self) -> Result<Access, String> {
        let says_more = self.resource.is_some() || self.owner.is_some() || !self.scopes.is_empty() || !self.also.is_empty();
        let says_what = self.resource_type.is_some() || self.name.is_some();
        if says_more || self.websocket || !self.identity.is_empty() || says_what {
            return Err(format!("`{}`: a public route has `path` and `methods` alone", self.path));
        }
        let usual = || ["GET", "HEAD", "OPTIONS"].map(str::to_owned).to_vec();
        let methods = if self.methods.is_empty() { usual() } else { self.methods.clone() };
        let methods = methods.iter().map(|method| parse_method(method)).collect::<Result<_, _>>();
        methods.map(Access::Public).map_err(|what| format!("`{}`: {what}", self.path))
    }

    fn guarded(&self) -> Result<Guarded, String> {
        if !self.methods.is_empty() {
            return Err(format!("`{}`: `methods` is for public routes; `scopes` says what each method needs", self.path));
        }
        if self.identity.iter().any(|what| what != "email") {
            return Err(format!("`{}`: `identity` is [\"email\"] or left out", self.path));
        }
        let mut scopes = MethodScopes::default();
        for (method, names) in &self.scopes {
            let set = ScopeSet::parse(&names.join(" ")).map_err(|error| format!("`{}` {method}: {error}", self.path))?;
            if set.is_empty() {
                return Err(format!("`{}` {method}: name at least one scope", self.path));
            }
            scopes.add(method, set).map_err(|what| format!("`{}`: {what}", self.path))?;
        }
        let (Some(resource), Some(owner)) = (&self.resource, &self.owner) else {
            let missing = if self.resource.is_none() { "resource" } else { "owner" };
            return Err(format!("`{}`: missing field `{missing}`; a route for everybody says `public = true`", self.path));
        };
        let pattern = |text: &String| Pattern::parse(text).map_err(|what| format!("`{}`: `resource`: {what}", self.path));
        Ok(Guarded {
            resource: pattern(resource)?,
            also: self.also.iter().map(pattern).collect::<Result<_, _>>()?,
            owner: match owner {
                OwnerConfig::Named(name) => OwnerOf::Named(name.clone()),
                OwnerConfig::Path(by) => OwnerOf::Path(by.path.clone()),
                OwnerConfig::Header(by) => OwnerOf::Header(by.header.clone()),
                OwnerConfig::Lookup(by) => OwnerOf::Lookup(by.lookup.clone()),
            },
            resource_type: self.resource_type.clone(),
            name: self.own_name(resource)?,
            scopes,
            takes_web_sockets: self.websocket,
            tells_email: !self.identity.is_empty(),
        })
    }
}
