//! When two e-mail addresses are the same (protocol.md 1.3): the domain as lower-case A-label, the
//! local part with ASCII letters lower-cased, nothing else folded.

/// The form in which addresses compare; `None` for what is no address of one local part and one
/// domain.
pub fn normalize(address: &str) -> Option<String> {
    let (local, domain) = address.rsplit_once('@')?;
    if local.is_empty() || local.len() > 64 || address.len() > 254 {
        return None;
    }
    if local.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '@' | '<' | '>' | ',' | ';' | '"')) {
        return None;
    }
    Some(format!("{}@{}", local.to_ascii_lowercase(), normalize_domain(domain)?))
}

/// A domain as lower-case A-label.
pub fn normalize_domain(domain: &str) -> Option<String> {
    let ascii = idna::domain_to_ascii_strict(domain).ok()?;
    let fits = !ascii.is_empty() && ascii.len() <= 253 && !ascii.ends_with('.');
    fits.then_some(ascii)
}

/// The domain of an address, normalized.
pub fn domain_of(address: &str) -> Option<String> {
    normalize(address)?.rsplit_once('@').map(|(_, domain)| domain.to_owned())
}

/// Whether both are the same address.
pub fn same(a: &str, b: &str) -> bool {
    normalize(a).is_some_and(|a| normalize(b).as_deref() == Some(&a))
}

/// Whether an address mixes scripts, as look-alikes do; a person should look twice then.
pub fn has_mixed_scripts(address: &str) -> bool {
    let mut scripts = [false; 4];
    for c in address.chars().filter(|c| c.is_alphabetic()) {
        let script = match c {
            'a'..='z' | 'A'..='Z' | '\u{c0}'..='\u{24f}' => 0,
            '\u{370}'..='\u{3ff}' => 1,
            '\u{400}'..='\u{52f}' => 2,
            _ => 3,
        };
        if let Some(seen) = scripts.get_mut(script) {
            *seen = true;
        }
    }
    scripts.iter().filter(|seen| **seen).count() > 1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_compare_by_domain_label_and_ascii_case_alone() {
        assert!(same("Bob@Bar.Example", "bob@bar.example"));
        assert!(same("bob@bücher.example", "bob@xn--bcher-kva.example"));
        assert!(!same("bob+x@bar.example", "bob@bar.example"));
        assert!(!same("b.ob@bar.example", "bob@bar.example"));
        assert!(!same("BÖB@bar.example", "böb@bar.example"));
        for bad in ["bob", "@bar.example", "bob@", "bob@bar example", "a b@c.example", "<bob@bar.example>", "a\n@b.example"] {
            assert_eq!(normalize(bad), None, "{bad}");
        }
    }

    #[test]
    fn look_alikes_are_seen() {
        assert!(has_mixed_scripts("bоb@bar.example"));
        assert!(!has_mixed_scripts("bob@bar.example"));
    }
}
