//! How many bytes something that is kept in memory takes, roughly.

use super::owners::OneOrMany;
use super::registrations::Registered;
use super::{Link, Rule};
use quick_cache::Weighter;
use std::sync::Arc;
use types::ScopeSet;
use types::credential::CredentialDocument;

/// What is kept beside the texts of a row.
const ROW_BYTES: usize = 256;
const TEXT_BYTES: usize = 32;

pub(super) trait HasBytes {
    fn bytes(&self) -> usize;
}

/// Weighs keys and values by their bytes.
#[derive(Clone, Copy)]
pub(super) struct BySize;

impl<K: HasBytes, V: HasBytes> Weighter<K, V> for BySize {
    fn weight(&self, key: &K, value: &V) -> u64 {
        let bytes = ROW_BYTES.saturating_add(key.bytes()).saturating_add(value.bytes());
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }
}

fn sum(all: impl Iterator<Item = usize>) -> usize {
    all.fold(0, usize::saturating_add)
}

impl HasBytes for String {
    fn bytes(&self) -> usize {
        self.len().saturating_add(TEXT_BYTES)
    }
}

impl HasBytes for (String, String) {
    fn bytes(&self) -> usize {
        self.0.bytes().saturating_add(self.1.bytes())
    }
}

impl HasBytes for bool {
    fn bytes(&self) -> usize {
        0
    }
}

impl<T: HasBytes> HasBytes for Option<T> {
    fn bytes(&self) -> usize {
        self.as_ref().map_or(0, HasBytes::bytes)
    }
}

impl<T: HasBytes> HasBytes for Arc<T> {
    fn bytes(&self) -> usize {
        (**self).bytes()
    }
}

impl<T: HasBytes> HasBytes for Vec<T> {
    fn bytes(&self) -> usize {
        sum(self.iter().map(HasBytes::bytes))
    }
}

impl HasBytes for ScopeSet {
    fn bytes(&self) -> usize {
        sum(self.iter().map(|scope| scope.as_str().len().saturating_add(TEXT_BYTES)))
    }
}

impl HasBytes for Link {
    fn bytes(&self) -> usize {
        let account = [&self.account.sub, &self.account.email, &self.account.name];
        sum([self.access_token.bytes(), self.refresh_token.bytes()].into_iter().chain(account.map(HasBytes::bytes)))
    }
}

impl HasBytes for Registered {
    fn bytes(&self) -> usize {
        let id = self.resource_id.as_ref().map_or(0, |id| id.as_str().len());
        let texts = [self.owner.bytes(), self.own_id.as_str().len(), self.id.bytes(), self.issuer.bytes(), id];
        let more = [self.scopes.bytes(), self.error.bytes(), self.replaces.bytes(), self.found_at.bytes(), ROW_BYTES];
        sum(texts.into_iter().chain(more))
    }
}

impl HasBytes for OneOrMany {
    fn bytes(&self) -> usize {
        match self {
            Self::One(one) => one.bytes(),
            Self::Many(many) => many.bytes(),
        }
    }
}

impl HasBytes for Rule {
    fn bytes(&self) -> usize {
        let texts = [self.resource_id.as_ref().map(|id| id.as_str().len()), self.client_id.as_ref().map(|id| id.as_str().len())];
        let claims = self.claims.iter().map(|(name, values)| name.bytes().saturating_add(values.bytes()));
        sum(texts.into_iter().flatten().chain(claims).chain([self.id.bytes(), self.resource_scopes.bytes(), ROW_BYTES]))
    }
}

impl HasBytes for CredentialDocument {
    fn bytes(&self) -> usize {
        // as JSON in memory a value takes more than its text
        self.id.bytes().saturating_add(self.cred_value.to_string().len().saturating_mul(4))
    }
}
