//! User names and passwords as they compare (RFC 8265): one keyboard sends `é` as one character, another as `e` with an
//! accent, and both mean the same. Wherever one is declared, set or typed, it goes through here.
//!
//! Neither is folded in any other way: upper case stays upper case, and no letter becomes one that only resembles it.

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};

/// A user name in the form in which names compare: NFC (RFC 8265 3.4).
pub fn normalize_username(name: &str) -> String {
    ComposingNormalizerBorrowed::new_nfc().normalize(name).into_owned()
}

/// A password in the form in which it is hashed: NFC, with every space the one of ASCII (RFC 8265 4.2).
pub fn normalize_password(password: &str) -> String {
    let spaced: String = password.chars().map(|c| if is_other_space(c) { ' ' } else { c }).collect();
    ComposingNormalizerBorrowed::new_nfc().normalize(&spaced).into_owned()
}

/// The ways in which a name may have been kept before names were normalized; the normalized one first.
pub fn spellings_of_username(name: &str) -> Vec<String> {
    let mut spellings = vec![normalize_username(name)];
    for other in [name.to_owned(), DecomposingNormalizerBorrowed::new_nfd().normalize(name).into_owned()] {
        if !spellings.contains(&other) {
            spellings.push(other);
        }
    }
    spellings
}

/// Spaces but the one of ASCII (Unicode's category Zs).
fn is_other_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn c17_names_and_passwords_compare_after_composing() {
        assert_eq!(normalize_username("jose\u{301}"), normalize_username("jos\u{e9}"));
        assert_eq!(normalize_password("pa\u{df} wor\u{a0}d\u{3000}e\u{301}"), "pa\u{df} wor d \u{e9}");
        assert_eq!(normalize_password("  Two  Spaces "), "  Two  Spaces ");
        for (a, b) in [("Alice", "alice"), ("mi\u{212b}e", "mi\u{e5}e"), ("\u{ff41}lice", "alice"), ("\u{fb01}", "fi")] {
            assert_ne!(normalize_username(a), normalize_username(b));
        }
        assert_eq!(spellings_of_username("alice"), ["alice"]);
        assert_eq!(spellings_of_username("jos\u{e9}"), ["jos\u{e9}", "jose\u{301}"]);
    }
}
