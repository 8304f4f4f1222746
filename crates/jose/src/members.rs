//! What is wrong with a member of a signed object: one sentence that names it and says what is wanted. Called before the
//! object is read as what it should be, by resource owner tokens and delegations.

use serde_json::{Map, Value};

/// Why an object is not what it should be; fit for whoever signed it.
pub(crate) type Wrong = String;

/// An object, and where it stands in the whole.
pub(crate) struct Object<'a> {
    place: String,
    members: &'a Map<String, Value>,
}

impl<'a> Object<'a> {
    /// The value as an object; `place` is empty for the whole.
    pub(crate) fn of(value: &'a Value, place: &str) -> Result<Self, Wrong> {
        let whole = || "the payload must be a JSON object".to_owned();
        let part = || format!("`{place}` must be an object");
        let members = value.as_object().ok_or_else(|| if place.is_empty() { whole() } else { part() })?;
        Ok(Self { place: place.to_owned(), members })
    }

    /// How a member is called from the whole.
    pub(crate) fn path(&self, name: &str) -> String {
        if self.place.is_empty() { name.to_owned() } else { format!("{}.{name}", self.place) }
    }

    pub(crate) fn get(&self, name: &str) -> Option<&'a Value> {
        self.members.get(name).filter(|value| !value.is_null())
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.members.keys().map(String::as_str)
    }

    /// It is there, and right.
    pub(crate) fn check(&self, name: &str, is_right: impl Fn(&Value) -> bool, wanted: &str) -> Result<(), Wrong> {
        match self.get(name) {
            None => Err(format!("`{}` is missing: it must be {wanted}", self.path(name))),
            Some(value) if is_right(value) => Ok(()),
            Some(_) => Err(format!("`{}` must be {wanted}", self.path(name))),
        }
    }

    /// It is right where it is there.
    pub(crate) fn check_optional(&self, name: &str, is_right: impl Fn(&Value) -> bool, wanted: &str) -> Result<(), Wrong> {
        if self.get(name).is_none() { Ok(()) } else { self.check(name, is_right, wanted) }
    }

    /// Nothing stands in it that could be thought to mean something.
    pub(crate) fn check_known(&self, known: &[&str]) -> Result<(), Wrong> {
        match self.members.keys().find(|name| !known.contains(&name.as_str())) {
            None => Ok(()),
            Some(name) => Err(format!("`{}` means nothing here: there may be `{}`", self.path(name), known.join("`, `"))),
        }
    }
}

pub(crate) fn is_text(value: &Value) -> bool {
    value.as_str().is_some_and(|text| !text.is_empty())
}

/// A text, or an array of one or more.
pub(crate) fn is_text_or_texts(value: &Value) -> bool {
    is_text(value) || value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_text))
}

pub(crate) fn is_seconds(value: &Value) -> bool {
    value.as_i64().is_some()
}

/// An array of one or more scopes.
pub(crate) fn are_scopes(value: &Value) -> bool {
    let is_scope = |one: &Value| one.as_str().is_some_and(|text| types::Scope::parse(text).is_ok());
    value.as_array().is_some_and(|all| !all.is_empty() && all.iter().all(is_scope))
}

pub(crate) const SECONDS: &str = "a whole number of seconds since 1970";
pub(crate) const SCOPES: &str =
    "an array of one or more scopes, each of printable ASCII characters without space, quote and backslash";
pub(crate) const AUDIENCE: &str = "a text or an array of texts: the resource servers and authorization servers that it is for";
pub(crate) const CREDENTIAL: &str = "the DID or client id of a credential";
pub(crate) const JTI: &str = "1 to 128 characters of A-Z a-z 0-9 - _ . ~";
