//! User names and passwords as they compare (RFC 8265): one keyboard sends `é` as one character, another as `e` with an
//! accent, and both mean the same. Wherever one is declared, set or typed, it goes through here.
//!
//! Neither is folded in any other way: upper case stays upper case, and no letter becomes one that only resembles it.
//!
//! And what others call themselves and their things, as it may be shown: [`readable`]; and what two names have in common that
//! somebody may take for one: [`likeness`].

use icu_normalizer::{ComposingNormalizerBorrowed, DecomposingNormalizerBorrowed};
use icu_properties::CodePointMapData;
use icu_properties::props::GeneralCategory;

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

/// Longest name that is shown, in characters.
const MAX_SHOWN: usize = 200;

/// What somebody else wrote, as pages, mails and logs show it: on one line, without what nobody sees or what turns the
/// direction of the words beside it. What is left is text, whatever it looks like.
pub fn visible(text: &str) -> String {
    // as most names are
    if text.bytes().all(|byte| byte.is_ascii_graphic()) {
        return text.to_owned();
    }
    let kept = text.chars().map(|c| if c.is_control() { ' ' } else { c }).filter(|c| !is_invisible(*c));
    kept.collect::<String>().split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The same of a name, which does not fill the page.
pub fn readable(text: &str) -> String {
    let words = visible(text);
    if words.len() <= MAX_SHOWN {
        return words;
    }
    match words.char_indices().nth(MAX_SHOWN) {
        // that there was more must be seen: two names that differ at their end are not the same
        Some((at, _)) => format!("{}…", words.get(..at).unwrap_or_default()),
        None => words,
    }
}

/// Characters that nobody sees, or that turn the direction of what stands beside them.
pub fn is_invisible(c: char) -> bool {
    matches!(c,
        '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}' | '\u{180b}'..='\u{180f}'
        | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{feff}' | '\u{ffa0}'
        | '\u{fe00}'..='\u{fe0f}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}')
}

/// What a name has in common with all that some service or file system takes for it: small letters for capitals, in every
/// script; one way of composing a letter for another, and letters for those that only look different (`K` for the sign of
/// Kelvin); letters without their accents, as collations of databases compare them; nothing that nobody sees; and no dots and
/// spaces at the end. It says that two names may be one, and never that they are.
pub fn likeness(name: &str) -> String {
    if name.is_ascii() {
        return name.trim_end_matches(['.', ' ']).to_ascii_lowercase();
    }
    let decomposed = DecomposingNormalizerBorrowed::new_nfkd();
    // some letters have a small form alone, others a capital alone
    let folded = |c: char| c.to_lowercase().flat_map(char::to_uppercase).flat_map(char::to_lowercase);
    let letters: String = decomposed.normalize(name).chars().flat_map(folded).collect();
    let kept = decomposed.normalize(&letters).chars().filter(|c| !is_mark(*c) && !is_invisible(*c)).collect::<String>();
    kept.trim_end_matches(|c: char| c == '.' || c.is_whitespace()).to_owned()
}

/// An accent, or what else stands on a letter.
fn is_mark(c: char) -> bool {
    matches!(CodePointMapData::<GeneralCategory>::new().get(c), GeneralCategory::NonspacingMark)
}

/// Spaces but the one of ASCII (Unicode's category Zs).
fn is_other_space(c: char) -> bool {
    matches!(c, '\u{a0}' | '\u{1680}' | '\u{2000}'..='\u{200a}' | '\u{202f}' | '\u{205f}' | '\u{3000}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_names_that_hide_turn_or_fill_the_page_are_shown_without_it() {
        assert_eq!(readable("Hol\u{202e}yad\u{200b}\r\nthe \u{0}rest"), "Holyad the rest");
        assert_eq!(readable("e\u{301} \u{1f468}\u{200d}\u{1f469}"), "e\u{301} \u{1f468}\u{1f469}");
        let long = readable(&"x".repeat(201));
        assert!(long.ends_with('…') && long.chars().count() == 201);
        assert_eq!(readable(&"x".repeat(200)).chars().count(), 200);
    }

    #[test]
    fn threat_26_names_that_somebody_takes_for_one_have_one_likeness() {
        for (a, b) in [
            ("ADMIN", "admin"),
            ("Caf\u{c9}", "caf\u{e9}"),
            ("caf\u{e9}", "cafe\u{301}"),
            ("caf\u{e9}", "cafe"),
            ("\u{212a}eys", "keys"),
            ("\u{17f}ecret", "secret"),
            ("stra\u{df}e", "STRASSE"),
            ("stra\u{1e9e}e", "strasse"),
            ("\u{130}nbox", "inbox"),
            ("\u{131}nbox", "INBOX"),
            ("\u{ff21}\u{ff24}min", "admin"),
            ("\u{fb01}les", "files"),
            ("\u{3a3}\u{39f}\u{3a3}", "\u{3c3}\u{3bf}\u{3c2}"),
            ("ad\u{200d}min", "admin"),
            ("admin.", "admin"),
            ("admin. .", "ADMIN"),
            ("admin\u{a0}", "admin"),
            ("admin\u{2024}", "admin"),
        ] {
            assert_eq!(likeness(a), likeness(b), "{a} {b}");
        }
        for (a, b) in [("admin", "admins"), (".admin", "admin"), ("a b", "ab"), ("\u{3b1}", "a"), ("a.b", "ab"), ("", "a")] {
            assert_ne!(likeness(a), likeness(b), "{a} {b}");
        }
    }

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
