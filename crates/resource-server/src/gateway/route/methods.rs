//! What each method needs (`browser.md`, *Routes*): `read` and `write` are for whole classes, and a method's own entry goes
//! first. What takes a thing elsewhere reads it, whatever its entry says (threat 26).

use std::collections::BTreeMap;
use types::ScopeSet;

/// What only looks.
pub(super) const READING: [&str; 6] = ["GET", "HEAD", "OPTIONS", "PROPFIND", "REPORT", "SEARCH"];

/// What writes, at the path that is called (and, of COPY and MOVE, at their destination). What names other places in its body,
/// like BIND, needs an entry of its own: nobody reads that body here.
pub(super) const WRITING: [&str; 11] =
    ["POST", "PUT", "PATCH", "DELETE", "MKCOL", "MKCALENDAR", "PROPPATCH", "LOCK", "UNLOCK", "COPY", "MOVE"];

/// Never let through: a tunnel to anywhere, and a mirror of what a call was sent with.
pub(super) const NEVER: [&str; 2] = ["CONNECT", "TRACE"];

/// Methods of the registry (RFC 9110 16.1) that a route may name.
const KNOWN: [&str; 37] = [
    "ACL",
    "BASELINE-CONTROL",
    "BIND",
    "CHECKIN",
    "CHECKOUT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LABEL",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MKREDIRECTREF",
    "MKWORKSPACE",
    "MOVE",
    "OPTIONS",
    "ORDERPATCH",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "UNBIND",
    "UNCHECKOUT",
    "UNLINK",
    "UNLOCK",
    "UPDATE",
    "UPDATEREDIRECTREF",
    "VERSION-CONTROL",
];

/// What methods need.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MethodScopes {
    own: BTreeMap<String, ScopeSet>,
    read: Option<ScopeSet>,
    write: Option<ScopeSet>,
}

impl FromIterator<(String, ScopeSet)> for MethodScopes {
    fn from_iter<T: IntoIterator<Item = (String, ScopeSet)>>(own: T) -> Self {
        Self { own: own.into_iter().collect(), ..Self::default() }
    }
}

/// The method of this name.
///
/// # Errors
/// It is none that a route may name.
pub fn parse_method(name: &str) -> Result<String, String> {
    let method = name.to_ascii_uppercase();
    match method.as_str() {
        never if NEVER.contains(&never) => Err(format!("{never} is never let through")),
        known if KNOWN.contains(&known) => Ok(method),
        _ => Err(format!("that is no method: {} and the others of the registry of HTTP are", KNOWN.join(", "))),
    }
}

impl MethodScopes {
    /// Adds what a method needs, or `read` or `write` of all of their class.
    ///
    /// # Errors
    /// There is no such method or class.
    pub fn add(&mut self, name: &str, scopes: ScopeSet) -> Result<(), String> {
        let before = match name {
            "read" => self.read.replace(scopes),
            "write" => self.write.replace(scopes),
            _ => {
                let method =
                    parse_method(name).map_err(|what| format!("`{name}`: {what}; `read` and `write` are for all of a class"))?;
                self.own.insert(method, scopes)
            }
        };
        before.map_or(Ok(()), |_| Err(format!("`{name}` stands there twice")))
    }

    /// What a method needs at the path that is called; none: it is not let through.
    pub(crate) fn get(&self, method: &str) -> Option<ScopeSet> {
        // what the operator wrote for this very method stands as it is
        if let Some(own) = self.own.get(method) {
            return Some(own.clone());
        }
        self.own_or_class(method).and_then(|needed| match method {
            // whoever may copy a thing or move it has its content where she may read it
            "COPY" => self.with_get(&needed),
            // and what is moved is gone from where it was
            "MOVE" => self.with_get(&self.with("DELETE", &needed)),
            _ => Some(needed),
        })
    }

    /// What COPY and MOVE need at their destination, where `PUT` writes as well. MOVE reads nothing there, and what was there
    /// is deleted first (RFC 4918 9.9.3).
    pub(crate) fn get_at_destination(&self, method: &str) -> Option<ScopeSet> {
        if let Some(own) = self.own.get(method) {
            return Some(self.with("PUT", own));
        }
        let also = if method == "MOVE" { "DELETE" } else { "GET" };
        Some(self.with("PUT", &self.with(also, &self.own_or_class(method)?)))
    }

    /// With what another method needs, where that is let through.
    fn with(&self, method: &str, needed: &ScopeSet) -> ScopeSet {
        self.own_or_class(method).map_or_else(|| needed.clone(), |also| also.union(needed))
    }

    /// With what GET needs. Where nobody may read, `write` lets nobody copy and move: only an entry of their own does.
    fn with_get(&self, needed: &ScopeSet) -> Option<ScopeSet> {
        self.own_or_class("GET").map(|get| get.union(needed))
    }

    /// What its own entry says, or that of its class.
    fn own_or_class(&self, method: &str) -> Option<ScopeSet> {
        if let Some(own) = self.own.get(method) {
            return Some(own.clone());
        }
        // RFC 9110 9.3.2: it is GET without the content
        if let ("HEAD", Some(get)) = (method, self.own.get("GET")) {
            return Some(get.clone());
        }
        if READING.contains(&method) {
            return self.read.clone();
        }
        self.write.clone().filter(|_| WRITING.contains(&method))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.own.is_empty() && self.read.is_none() && self.write.is_none()
    }

    pub(crate) fn sets(&self) -> impl Iterator<Item = &ScopeSet> {
        self.own.values().chain(&self.read).chain(&self.write)
    }

    /// For `Allow`. HEAD goes with GET.
    pub(crate) fn allowed(&self) -> String {
        let mut methods: Vec<&str> = self.own.keys().map(String::as_str).collect();
        let reading = READING.iter().filter(|_| self.read.is_some());
        for method in reading.chain(WRITING.iter().filter(|_| self.write.is_some())) {
            if !methods.contains(method) {
                methods.push(method);
            }
        }
        methods.retain(|method| self.get(method).is_some());
        if methods.contains(&"GET") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }
}
