//! The usual ways to write the same name, date and address, so that they agree where people would say that they do.

use std::collections::BTreeSet;

/// Whether two texts for this claim say the same; none where one of them says nothing.
pub(super) fn agree(claim: &str, one: &str, other: &str) -> Option<bool> {
    match claim {
        "name" | "given_name" | "family_name" => names_agree(one, other),
        "birthdate" => dates_agree(one, other),
        "address" => addresses_agree(one, other),
        "phone_number" => Some(digits(one) == digits(other)).filter(|_| !digits(one).is_empty()),
        "email" => Some(types::email::is_same(one.trim(), other.trim())),
        _ => Some(plain(one) == plain(other)).filter(|_| !plain(one).is_empty()),
    }
}

const TITLES: [&str; 9] = ["mr", "mrs", "ms", "miss", "mx", "dr", "prof", "sir", "dame"];

/// Words of a text in small letters without marks: `ü` as `u`, and as `ue` where `doubled`.
fn words(text: &str, doubled: bool) -> Vec<String> {
    let mut plain = String::with_capacity(text.len());
    for c in text.chars().flat_map(char::to_lowercase) {
        match c {
            'ä' if doubled => plain.push_str("ae"),
            'ö' | 'ø' if doubled => plain.push_str("oe"),
            'ü' if doubled => plain.push_str("ue"),
            'å' if doubled => plain.push_str("aa"),
            'à'..='å' | 'ā' | 'ă' | 'ą' => plain.push('a'),
            'æ' => plain.push_str("ae"),
            'ç' | 'ć' | 'č' | 'ĉ' | 'ċ' => plain.push('c'),
            'ð' | 'ď' | 'đ' => plain.push('d'),
            'è'..='ë' | 'ē' | 'ė' | 'ę' | 'ě' => plain.push('e'),
            'ğ' | 'ģ' | 'ĝ' | 'ġ' => plain.push('g'),
            'ì'..='ï' | 'ī' | 'į' | 'ı' => plain.push('i'),
            'ł' | 'ľ' | 'ĺ' | 'ļ' => plain.push('l'),
            'ñ' | 'ń' | 'ň' | 'ņ' => plain.push('n'),
            'ò'..='ö' | 'ø' | 'ō' | 'ő' => plain.push('o'),
            'œ' => plain.push_str("oe"),
            'ř' | 'ŕ' => plain.push('r'),
            'ś' | 'š' | 'ş' | 'ș' => plain.push('s'),
            'ß' => plain.push_str("ss"),
            'ť' | 'ţ' | 'ț' => plain.push('t'),
            'þ' => plain.push_str("th"),
            'ù'..='ü' | 'ū' | 'ů' | 'ű' | 'ų' => plain.push('u'),
            'ý' | 'ÿ' => plain.push('y'),
            'ź' | 'ż' | 'ž' => plain.push('z'),
            // a mark that follows its letter, and the apostrophe of O'Neil
            '\u{300}'..='\u{36f}' | '\'' | '’' => {}
            c if c.is_alphanumeric() => plain.push(c),
            _ => plain.push(' '),
        }
    }
    plain.split_whitespace().map(str::to_owned).collect()
}

fn plain(text: &str) -> String {
    words(text, false).join(" ")
}

fn digits(text: &str) -> String {
    let all: String = text.chars().filter(char::is_ascii_digit).collect();
    // the same number with and without its country: the last nine say which it is
    all.get(all.len().saturating_sub(9)..).unwrap_or_default().to_owned()
}

/// In any order, with or without titles and middle names; an initial stands for a name that begins with it, but two
/// names at least must be there in full on one side and fit on the other.
fn names_agree(one: &str, other: &str) -> Option<bool> {
    let without_titles = |text: &str, doubled: bool| -> Vec<String> {
        words(text, doubled).into_iter().filter(|word| !TITLES.contains(&word.as_str())).collect()
    };
    let forms = |text: &str| [without_titles(text, false), without_titles(text, true)];
    let (ones, others) = (forms(one), forms(other));
    if ones.iter().chain(&others).any(Vec::is_empty) {
        return None;
    }
    Some(ones.iter().any(|one| others.iter().any(|other| fits_within(one, other) || fits_within(other, one))))
}

/// Whether each word of the shorter has its own in the longer.
fn fits_within(short: &[String], long: &[String]) -> bool {
    let mut left: Vec<&String> = long.iter().collect();
    let (mut whole, mut all) = (0_usize, true);
    // whole words first, so that an initial does not take the place of one
    let (initials, names): (Vec<_>, Vec<_>) = short.iter().partition(|word| word.chars().count() == 1);
    for word in names {
        let exact = left.iter().position(|kept| *kept == word);
        match exact.or_else(|| left.iter().position(|kept| kept.chars().count() == 1 && word.starts_with(kept.as_str()))) {
            Some(at) => {
                if exact.is_some() {
                    whole = whole.saturating_add(1);
                }
                left.remove(at);
            }
            None => all = false,
        }
    }
    for initial in initials {
        match left.iter().position(|kept| kept.starts_with(initial.as_str())) {
            Some(at) => drop(left.remove(at)),
            None => all = false,
        }
    }
    all && whole >= 1 && short.len() >= 2.min(long.len())
}

const MONTHS: [&str; 12] = ["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"];

/// A day in any usual form; where day and month could be either, both are tried.
fn dates_agree(one: &str, other: &str) -> Option<bool> {
    let (ones, others) = (dates(one), dates(other));
    if ones.is_empty() || others.is_empty() { None } else { Some(ones.intersection(&others).next().is_some()) }
}

fn dates(text: &str) -> BTreeSet<(u32, u32, u32)> {
    let text = text.trim();
    let mut found = BTreeSet::new();
    let mut add = |year: u32, month: u32, day: u32| {
        if (1_800..=2_200).contains(&year) && (1..=12).contains(&month) && (1..=31).contains(&day) {
            found.insert((year, month, day));
        }
    };
    let parts: Vec<String> = words(text.split('T').next().unwrap_or(text), false);
    let month = parts.iter().find_map(|part| MONTHS.iter().position(|month| part.len() >= 3 && part.starts_with(month)));
    let numbers: Vec<u32> =
        parts.iter().filter_map(|part| part.trim_end_matches(|c: char| c.is_ascii_alphabetic()).parse().ok()).collect();
    match (month.and_then(|at| u32::try_from(at).ok()), numbers.as_slice()) {
        (Some(month), [day, year]) if *day <= 31 => add(*year, month.saturating_add(1), *day),
        (Some(month), [year, day]) => add(*year, month.saturating_add(1), *day),
        (None, [year, month, day]) if *year > 31 => add(*year, *month, *day),
        (None, [first, second, year]) => {
            add(*year, *second, *first);
            add(*year, *first, *second);
        }
        (None, [whole]) if parts.len() == 1 && text.len() == 8 => add(whole / 10_000, whole / 100 % 100, whole % 100),
        _ => {}
    }
    found
}

/// Words of addresses that are written shorter.
const SHORTER: [(&str, &str); 22] = [
    ("street", "st"),
    ("strasse", "str"),
    ("road", "rd"),
    ("avenue", "ave"),
    ("lane", "ln"),
    ("drive", "dr"),
    ("close", "cl"),
    ("court", "ct"),
    ("square", "sq"),
    ("place", "pl"),
    ("terrace", "ter"),
    ("crescent", "cres"),
    ("gardens", "gdns"),
    ("apartment", "apt"),
    ("flat", "apt"),
    ("number", "no"),
    ("saint", "st"),
    ("north", "n"),
    ("south", "s"),
    ("east", "e"),
    ("west", "w"),
    ("boulevard", "blvd"),
];

/// The shorter one is part of the longer one, and says a number: of the house, or of the place.
fn addresses_agree(one: &str, other: &str) -> Option<bool> {
    let parts = |text: &str, doubled: bool| -> BTreeSet<String> {
        let short = |word: String| match SHORTER.iter().find(|(long, _)| *long == word) {
            Some((_, short)) => (*short).to_owned(),
            // Bahnhofstraße is Bahnhofstr.
            None => word.strip_suffix("strasse").map(|stem| format!("{stem}str")).unwrap_or(word),
        };
        let words: Vec<String> = words(text, doubled).into_iter().map(short).collect();
        let mut parts: BTreeSet<String> = words.iter().cloned().collect();
        // AB1 2CD is AB12CD
        for pair in words.windows(2) {
            if let [first, second] = pair
                && is_half_of_code(first, false)
                && is_half_of_code(second, true)
            {
                parts.remove(first);
                parts.remove(second);
                parts.insert(format!("{first}{second}"));
            }
        }
        parts
    };
    let forms = |text: &str| [parts(text, false), parts(text, true)];
    let (ones, others) = (forms(one), forms(other));
    if ones.iter().chain(&others).any(|parts| parts.len() < 2) {
        return None;
    }
    let fits = |short: &BTreeSet<String>, long: &BTreeSet<String>| {
        short.is_subset(long) && short.iter().any(|part| part.chars().any(|c| c.is_ascii_digit()))
    };
    Some(ones.iter().any(|one| others.iter().any(|other| fits(one, other) || fits(other, one))))
}

/// Half of a British post code: letters and digits before, a digit and two letters behind.
fn is_half_of_code(word: &str, behind: bool) -> bool {
    let mut chars = word.chars();
    match (behind, word.len()) {
        (true, 3) => chars.next().is_some_and(|c| c.is_ascii_digit()) && chars.all(|c| c.is_ascii_alphabetic()),
        (false, 2..=4) => chars.next().is_some_and(|c| c.is_ascii_alphabetic()) && word.chars().any(|c| c.is_ascii_digit()),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_agree_as_people_would_say() {
        for (one, other) in [
            ("Alice Smith", "SMITH, Alice"),
            ("Alice Mary Smith", "Alice Smith"),
            ("Alice M. Smith", "Alice Mary Smith"),
            ("Dr. A. Smith", "Alice Smith"),
            ("Jürgen Groß", "Juergen Gross"),
            ("Jürgen Groß", "Jurgen Gross"),
            ("Siobhán O'Neil", "Siobhan ONeil"),
            ("Anne-Marie Dupont", "Anne Marie Dupont"),
            ("Łukasz Żak", "Lukasz Zak"),
        ] {
            assert_eq!(agree("name", one, other), Some(true), "{one} and {other}");
        }
        for (one, other) in [
            ("Alice Smith", "Alice Jones"),
            ("Alice Smith", "Bob Smith"),
            ("A. Smith", "B. Smith"),
            ("Alice", "Alice Smith"),
            ("A. S.", "Alice Smith"),
        ] {
            assert_eq!(agree("name", one, other), Some(false), "{one} and {other}");
        }
        assert_eq!(agree("name", "Mr", "Alice"), None);
    }

    #[test]
    fn days_agree_in_every_usual_form() {
        for other in
            ["31/01/1980", "31.1.1980", "1980-01-31T00:00:00Z", "19800131", "31 January 1980", "Jan 31st, 1980", "01/31/1980"]
        {
            assert_eq!(agree("birthdate", "1980-01-31", other), Some(true), "{other}");
        }
        assert_eq!(agree("birthdate", "1980-01-31", "1980-01-30"), Some(false));
        assert_eq!(agree("birthdate", "1980-03-02", "02/03/1980"), Some(true));
        assert_eq!(agree("birthdate", "1980-01-31", "unknown"), None);
        assert_eq!(agree("birthdate", "1980-13-45", "1980-13-45"), None);
    }

    #[test]
    fn addresses_agree_where_one_is_part_of_the_other() {
        for (one, other) in [
            ("12 Mill Street, Oldtown", "12 Mill St"),
            ("Flat 3, 12 Mill Rd, AB1 2CD", "Apt. 3 12 Mill Road AB12CD"),
            ("Bahnhofstraße 7, 8001 Zürich", "Bahnhofstr. 7, 8001 Zurich"),
        ] {
            assert_eq!(agree("address", one, other), Some(true), "{one} and {other}");
        }
        assert_eq!(agree("address", "12 Mill Street", "21 Mill Street"), Some(false));
        assert_eq!(agree("address", "Mill Street", "Mill Street"), Some(false), "no number: half a town lives there");
        assert_eq!(agree("phone_number", "+44 20 7946 0958", "020 7946 0958"), Some(true));
        assert_eq!(agree("national_number", "AB 12 34", "ab-12-34"), Some(true));
    }
}
