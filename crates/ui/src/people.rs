//! What pages call somebody by what a server says of her. An address stands there as it is only where it was proved; what she, or
//! whoever vouches for her, chose as a name stands in quotation marks, with a word that no address was shown, so that nobody
//! passes for an address that is somebody else's (threat 36).

use serde_json::{Map, Value};
use types::spelling::visible;

/// A requesting party, by the claims that count.
pub fn name_party(claims: &Map<String, Value>) -> String {
    let said = |name: &str| claims.get(name).and_then(Value::as_str).filter(|text| !text.trim().is_empty());
    match (said("email"), said("name").or_else(|| said("sub"))) {
        (Some(address), _) => visible(address),
        (None, Some(name)) => format!("“{}” (no address was shown)", within_quotes(&visible(name))),
        (None, None) => "Somebody (no address was shown)".to_owned(),
    }
}

/// What somebody else chose, for within quotation marks: it does not end them, nor looks as if it did.
pub fn within_quotes(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        let is_mark = matches!(
            letter,
            '“' | '”'
                | '„'
                | '‟'
                | '"'
                | '«'
                | '»'
                | '‹'
                | '›'
                | '❝'
                | '❞'
                | '❮'
                | '❯'
                | '〝'
                | '〞'
                | '〟'
                | '＂'
                | '″'
                | '˝'
                | 'ˮ'
                | '״'
                | '\''
        );
        // two of them beside each other are a quotation mark again
        match is_mark {
            true if plain.ends_with('\'') => {}
            true => plain.push('\''),
            false => plain.push(letter),
        }
    }
    plain
}

/// The same between quotation marks: what somebody calls itself.
pub fn quote(name: &str) -> String {
    format!("“{}”", within_quotes(name))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn threat_36_a_name_is_never_read_as_an_address() {
        for (claims, expected) in [
            (json!({"email": "bob@bar.example", "name": "Bob", "sub": "7"}), "bob@bar.example"),
            (json!({"name": "bob@bar.example"}), "“bob@bar.example” (no address was shown)"),
            (json!({"sub": "bob@bar.example"}), "“bob@bar.example” (no address was shown)"),
            (json!({"name": "Bob” (bob@bar.example)"}), "“Bob' (bob@bar.example)” (no address was shown)"),
            (json!({"email": " ", "sub": "7"}), "“7” (no address was shown)"),
            (json!({"email": ["bob@bar.example"]}), "Somebody (no address was shown)"),
            (json!({}), "Somebody (no address was shown)"),
        ] {
            assert_eq!(name_party(claims.as_object().unwrap()), expected, "{claims}");
        }
    }

    #[test]
    fn threat_36_a_name_does_not_end_its_quotation_marks() {
        for (name, quoted) in [
            ("Viewer", "“Viewer”"),
            ("Viewer”. Taken back: nobody gets in “", "“Viewer'. Taken back: nobody gets in '”"),
            ("a''b❞c〞›d", "“a'b'c'd”"),
            ("Bob's", "“Bob's”"),
        ] {
            assert_eq!(quote(name), quoted, "{name}");
        }
    }
}
