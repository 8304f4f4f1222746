//! Which letters a label of a domain may have (RFC 5892). What `idna` does is UTS 46, which leaves symbols in, and letters that
//! may stand only beside certain others; IDNA2008 does not. Called for labels that UTS 46 has found to be in their normal form,
//! so that what is unstable under folding is out already, and so are joiners in the wrong place and mixed directions.

use icu_properties::CodePointMapData;
use icu_properties::props::{GeneralCategory, Script};

/// Whether each letter of this label may stand where it does.
pub(crate) fn is_valid(label: &str) -> bool {
    let letters: Vec<char> = label.chars().collect();
    let at = |n: usize| letters.get(n).copied();
    letters.iter().enumerate().all(|(n, c)| may_stand(*c, n.checked_sub(1).and_then(at), at(n.saturating_add(1)), &letters))
}

/// Section 3: exceptions and contexts first, then what kind of letter it is.
fn may_stand(c: char, before: Option<char>, after: Option<char>, label: &[char]) -> bool {
    match c {
        '\u{df}' | '\u{3c2}' | '\u{6fd}' | '\u{6fe}' | '\u{f0b}' | '\u{3007}' => true,
        '\u{640}' | '\u{7fa}' | '\u{302e}' | '\u{302f}' | '\u{3031}'..='\u{3035}' | '\u{303b}' => false,
        // appendix A.3 to A.9
        '\u{b7}' => before == Some('l') && after == Some('l'),
        '\u{375}' => after.is_some_and(|c| script_of(c) == Script::Greek),
        '\u{5f3}' | '\u{5f4}' => before.is_some_and(|c| script_of(c) == Script::Hebrew),
        '\u{30fb}' => label.iter().any(|c| [Script::Hiragana, Script::Katakana, Script::Han].contains(&script_of(*c))),
        '\u{660}'..='\u{669}' => !label.iter().any(|c| matches!(c, '\u{6f0}'..='\u{6f9}')),
        '\u{6f0}'..='\u{6f9}' => !label.iter().any(|c| matches!(c, '\u{660}'..='\u{669}')),
        // where they may stand, UTS 46 has looked (appendix A.1 and A.2)
        '\u{200c}' | '\u{200d}' | '-' => true,
        // old letters of Hangul, and marks that go on symbols (2.5, 2.9)
        '\u{1100}'..='\u{11ff}' | '\u{a960}'..='\u{a97f}' | '\u{d7b0}'..='\u{d7ff}' => false,
        '\u{20d0}'..='\u{20ff}' | '\u{1d100}'..='\u{1d24f}' => false,
        c => is_letter_or_digit(c),
    }
}

/// Section 2.1; capitals are gone before.
fn is_letter_or_digit(c: char) -> bool {
    matches!(
        CodePointMapData::<GeneralCategory>::new().get(c),
        GeneralCategory::LowercaseLetter
            | GeneralCategory::OtherLetter
            | GeneralCategory::ModifierLetter
            | GeneralCategory::NonspacingMark
            | GeneralCategory::SpacingMark
            | GeneralCategory::DecimalNumber
    )
}

fn script_of(c: char) -> Script {
    CodePointMapData::<Script>::new().get(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_38_symbols_and_letters_out_of_their_place_are_in_no_name() {
        for good in [
            "bar",
            "a-1",
            "b\u{fc}cher",
            "fa\u{df}",
            "\u{3b2}\u{3cc}\u{3bb}\u{3bf}\u{3c2}",
            "\u{4f8b}\u{3048}",
            "l\u{b7}l",
            "\u{30a2}\u{30fb}\u{30a2}",
            "\u{915}\u{94d}\u{937}",
            "\u{5d0}\u{5f3}",
            "\u{375}\u{3b1}",
            "\u{661}\u{662}",
            "\u{3007}",
        ] {
            assert!(is_valid(good), "{good}");
        }
        for bad in [
            "\u{2603}",
            "\u{1f600}",
            "a\u{2764}",
            "\u{b7}",
            "a\u{b7}l",
            "\u{30fb}",
            "a\u{30fb}b",
            "\u{640}",
            "\u{375}",
            "\u{375}a",
            "\u{5f3}",
            "a\u{5f4}",
            "\u{661}\u{6f1}",
            "\u{1100}",
            "a\u{20e3}",
            "\u{2116}",
            "\u{a9}",
            "\u{221a}",
            "\u{2080}",
            "a b",
            "a_b",
            "\u{e000}",
        ] {
            assert!(!is_valid(bad), "{bad:?}");
        }
    }
}
