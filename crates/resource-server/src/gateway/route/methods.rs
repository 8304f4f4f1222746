//! What each method needs (`browser.md`, *Routes*): `read` and `write` are for whole classes, and a method's own entry goes
//! first.

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
        _ => Err(format!("`{name}` is no method: {} and the others of the registry of HTTP are", KNOWN.join(", "))),
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
                let method = parse_method(name).map_err(|what| format!("{what}; `read` and `write` are for all of a class"))?;
                self.own.insert(method, scopes)
            }
        };
        before.map_or(Ok(()), |_| Err(format!("`{name}` stands there twice")))
    }

    /// What a method needs; none: it is not let through.
    pub(crate) fn get(&self, method: &str) -> Option<ScopeSet> {
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
        let write = self.write.clone().filter(|_| WRITING.contains(&method))?;
        // what is copied is read, and what is moved is gone from where it was
        let also = match method {
            "COPY" => self.get("GET"),
            "MOVE" => self.own.get("DELETE").cloned(),
            _ => None,
        };
        Some(also.map_or_else(|| write.clone(), |also| also.union(&write)))
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
        if methods.contains(&"GET") && !methods.contains(&"HEAD") {
            methods.push("HEAD");
        }
        methods.join(", ")
    }
}
