//! Scopes and sets of them. A scope is an RFC 6749 3.3 scope-token; UMA resource scopes are the
//! same, URIs included (Federated Authorization 3.1).

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;

/// The longest scope taken, in bytes.
pub const MAX_SCOPE_BYTES: usize = 512;

/// One scope: 1 to 512 printable ASCII characters without space, `"` and `\`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Scope(String);

/// Why a text is no scope.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a scope is 1 to 512 printable ASCII characters without space, quote and backslash")]
pub struct NotAScope;

impl Scope {
    /// Parses one scope-token.
    pub fn parse(text: &str) -> Result<Self, NotAScope> {
        let legal = |b: u8| b == 0x21 || (0x23..=0x5b).contains(&b) || (0x5d..=0x7e).contains(&b);
        if text.is_empty() || text.len() > MAX_SCOPE_BYTES || !text.bytes().all(legal) {
            return Err(NotAScope);
        }
        Ok(Self(text.to_owned()))
    }

    /// The scope as it stands on the wire.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for Scope {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(serde::de::Error::custom)
    }
}

/// A set of scopes; order and repetition on the wire mean nothing. Its copies share what is in it: each call makes several.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ScopeSet(Arc<BTreeSet<Scope>>);

impl ScopeSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Parses the space-separated form of RFC 6749 3.3; an empty text is the empty set.
    pub fn parse(text: &str) -> Result<Self, NotAScope> {
        text.split(' ').filter(|part| !part.is_empty()).map(Scope::parse).collect()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn contains(&self, scope: &Scope) -> bool {
        self.0.contains(scope)
    }

    /// Whether the scope of this name is in the set.
    pub fn has(&self, name: &str) -> bool {
        self.0.iter().any(|scope| scope.as_str() == name)
    }

    pub fn is_subset(&self, other: &Self) -> bool {
        self.0.is_subset(&other.0)
    }

    pub fn insert(&mut self, scope: Scope) -> bool {
        Arc::make_mut(&mut self.0).insert(scope)
    }

    pub fn iter(&self) -> impl Iterator<Item = &Scope> + '_ {
        self.0.iter()
    }

    /// What is in either. Where one holds the other it is a copy, which shares what is in it; so it is with the others below.
    pub fn union(&self, other: &Self) -> Self {
        if other.is_subset(self) {
            return self.clone();
        }
        if self.is_subset(other) { other.clone() } else { self.0.union(&other.0).cloned().collect() }
    }

    pub fn intersection(&self, other: &Self) -> Self {
        if self.is_subset(other) {
            return self.clone();
        }
        if other.is_subset(self) { other.clone() } else { self.0.intersection(&other.0).cloned().collect() }
    }

    pub fn difference(&self, other: &Self) -> Self {
        if other.is_empty() { self.clone() } else { self.0.difference(&other.0).cloned().collect() }
    }
}

impl FromIterator<Scope> for ScopeSet {
    fn from_iter<I: IntoIterator<Item = Scope>>(scopes: I) -> Self {
        Self(Arc::new(scopes.into_iter().collect()))
    }
}

impl Serialize for ScopeSet {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (*self.0).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for ScopeSet {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Self(Arc::new(BTreeSet::deserialize(deserializer)?)))
    }
}

impl IntoIterator for ScopeSet {
    type Item = Scope;
    type IntoIter = std::collections::btree_set::IntoIter<Scope>;
    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}

impl fmt::Display for ScopeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, scope) in self.0.iter().enumerate() {
            if n > 0 {
                f.write_str(" ")?;
            }
            f.write_str(scope.as_str())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_are_made_of_sets_as_they_should_be() {
        let set = |text: &str| ScopeSet::parse(text).unwrap();
        for (one, other, union, intersection, difference) in [
            ("", "", "", "", ""),
            ("a b", "", "a b", "", "a b"),
            ("", "a", "a", "", ""),
            ("a b", "b", "a b", "b", "a"),
            ("b", "a b", "a b", "b", ""),
            ("a b", "a b", "a b", "a b", ""),
            ("a b", "b c", "a b c", "b", "a"),
            ("a", "c", "a c", "", "a"),
        ] {
            let (one, other) = (set(one), set(other));
            let made = [one.union(&other), one.intersection(&other), one.difference(&other)];
            assert_eq!(made, [set(union), set(intersection), set(difference)], "{one} and {other}");
        }
    }

    #[test]
    fn scopes_are_parsed_to_the_letter_of_rfc_6749() {
        assert_eq!(ScopeSet::parse("view  download").unwrap().to_string(), "download view");
        assert!(ScopeSet::parse("").unwrap().is_empty());
        for bad in ["vi\"ew", "a\\b", "t\tab", "ünicode", "nul\0"] {
            assert!(ScopeSet::parse(bad).is_err(), "{bad}");
        }
        assert!(Scope::parse("http://photoz.example.com/dev/scopes/view").is_ok());
        assert!(Scope::parse(&"x".repeat(513)).is_err());
    }
}
