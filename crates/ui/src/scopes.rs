//! What people commonly let each other do: in which order it stands on a page, and what it means. Called by every page that tells
//! of shares.

use types::{Scope, ScopeSet};

/// The least first, with what it means. What no page knows comes before deleting.
const KNOWN: [(&str, &str); 14] = [
    ("view", "Look at it."),
    ("read", "Read it."),
    ("list", "See what is in it."),
    ("download", "Keep a copy."),
    ("print", "Print it."),
    ("comment", "Write remarks on it."),
    ("append", "Add to it."),
    ("add", "Add to it."),
    ("upload", "Add to it."),
    ("create", "Add to it."),
    ("edit", "Change what is there."),
    ("write", "Change what is there."),
    ("update", "Change what is there."),
    ("delete", "Remove it for good."),
];

/// How much a scope lets somebody do, to sort by.
fn weight(scope: &str) -> usize {
    let known = KNOWN.iter().position(|(name, _)| *name == scope);
    match known {
        Some(at) if scope == "delete" => at.saturating_add(1),
        Some(at) => at,
        None => KNOWN.len().saturating_sub(1),
    }
}

/// What it means, where a page knows.
pub fn find_meaning(scope: &Scope) -> Option<&'static str> {
    KNOWN.iter().find(|(name, _)| *name == scope.as_str()).map(|(_, meaning)| *meaning)
}

/// The same, with what stands where no page knows.
pub fn meaning_of(scope: &Scope) -> &'static str {
    find_meaning(scope).unwrap_or("What the place that keeps it means by that.")
}

/// The least first.
pub fn least_first(scopes: &ScopeSet) -> Vec<Scope> {
    let mut all: Vec<Scope> = scopes.iter().cloned().collect();
    all.sort_by_key(|scope| weight(scope.as_str()));
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_comes_first() {
        for (scopes, words) in [
            ("delete edit view", "view edit delete"),
            ("zap edit delete download read", "read download edit zap delete"),
            ("https://x.example/odd delete", "https://x.example/odd delete"),
        ] {
            let sorted = least_first(&ScopeSet::parse(scopes).unwrap());
            assert_eq!(sorted.iter().map(Scope::as_str).collect::<Vec<_>>().join(" "), words);
        }
    }
}
