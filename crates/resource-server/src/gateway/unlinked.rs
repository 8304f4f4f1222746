//! Owners who have linked no authorization server, as far as the log was told: each once, and so many.

use std::collections::HashSet;
use std::sync::{Mutex, PoisonError};

/// Names of owners can be made up: of further ones nothing is said.
const MOST: usize = 100;
/// Nobody is told of a longer name.
const MAX_NAME_BYTES: usize = 256;

#[derive(Default)]
pub(super) struct ToldUnlinked(Mutex<HashSet<String>>);

impl ToldUnlinked {
    /// Whether it is worth a line that she has not.
    pub(super) fn is_new(&self, owner: &str) -> bool {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        owner.len() <= MAX_NAME_BYTES && told.len() < MOST && told.insert(owner.to_owned())
    }

    /// She has: if that ends, it is worth a line again.
    pub(super) fn forget(&self, owner: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(owner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_46_an_owner_who_has_not_linked_is_told_of_once_and_so_many_are() {
        let told = ToldUnlinked::default();
        assert!(told.is_new("alice") && !told.is_new("alice") && !told.is_new(&"x".repeat(MAX_NAME_BYTES + 1)));
        told.forget("alice");
        assert!(told.is_new("alice"));
        let new = (0..1_000).filter(|n| told.is_new(&n.to_string())).count();
        assert_eq!(new, MOST - 1);
    }
}
