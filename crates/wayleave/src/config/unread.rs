//! A configuration that does not read is told by line, column, key and what belongs there. What stands in its lines is never
//! said again: it may be a secret, and what a start says goes into a journal that others read.

/// A key is no longer than this; what is longer names none of ours.
const LONGEST_KEY: usize = 80;

/// What is wrong with a file.
pub(super) fn describe_file(text: &str, error: toml::de::Error) -> String {
    let Some(place) = error.span().map(|span| span.start) else { return describe_value(error) };
    let before = text.get(..place).unwrap_or(text);
    let line_begins = before.rfind('\n').map_or(0, |at| at.saturating_add(1));
    let line = before.matches('\n').count().saturating_add(1);
    let column = before.get(line_begins..).unwrap_or_default().chars().count().saturating_add(1);
    let what = types::json::leave_out_value(error.message());
    let key = find_key_at(text, place).map(|key| format!("{key}: ")).unwrap_or_default();
    format!("line {line}, column {column}: {key}{what}")
}

/// The same for what came from no file: there is no line to name.
pub(super) fn describe_value(mut error: toml::de::Error) -> String {
    error.set_input(None);
    let text = error.to_string();
    let key = text.rsplit_once("\nin `").and_then(|(_, key)| key.split('`').next());
    let what = types::json::leave_out_value(error.message());
    key.map_or_else(|| what.clone(), |key| format!("{key}: {what}"))
}

/// The key, with its table, of the statement in which a byte of the text stands: `mail.password`.
fn find_key_at(text: &str, place: usize) -> Option<String> {
    let mut table = None;
    let mut begin = 0;
    for at in begins_of_statements(text.get(..place)?) {
        begin = at;
        let line = text.get(at..)?.lines().next().unwrap_or_default().trim();
        if let Some(name) = line.strip_prefix('[') {
            table = name.split(']').next().map(|name| name.trim_start_matches('[').trim()).filter(|name| is_key(name));
        }
    }
    let (key, _) = text.get(begin..)?.lines().next()?.split_once('=')?;
    let key = Some(key.trim()).filter(|key| is_key(key))?;
    Some(table.map_or_else(|| key.to_owned(), |table| format!("{table}.{key}")))
}

/// A bare or dotted key: whatever has a quote or a space in it may be a value that lost its place.
fn is_key(text: &str) -> bool {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
    !text.is_empty() && text.len() <= LONGEST_KEY && text.chars().all(fits)
}

/// What a place of the text is within.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Within {
    Nothing,
    Comment,
    /// A text that ends with these quotes.
    Text(&'static str),
}

const QUOTES: [&str; 4] = ["\"\"\"", "'''", "\"", "'"];

/// Where the lines begin that continue no text and no array of the lines before them.
fn begins_of_statements(text: &str) -> Vec<usize> {
    let (mut begins, mut within, mut open, mut at) = (vec![0], Within::Nothing, 0_usize, 0);
    while let Some(next) = text.get(at..).and_then(|rest| rest.chars().next()) {
        let rest = text.get(at..).unwrap_or_default();
        let mut step = next.len_utf8();
        match within {
            Within::Text(quotes) if rest.starts_with(quotes) => {
                (within, step) = (Within::Nothing, quotes.len());
            }
            // what it escapes ends no text
            Within::Text(quotes) if next == '\\' && quotes.starts_with('"') => {
                step = rest.chars().take(2).map(char::len_utf8).sum();
            }
            Within::Text(quotes) if next == '\n' && quotes.len() == 1 => within = Within::Nothing,
            Within::Comment if next == '\n' => within = Within::Nothing,
            Within::Nothing => match QUOTES.into_iter().find(|quotes| rest.starts_with(quotes)) {
                Some(quotes) => (within, step) = (Within::Text(quotes), quotes.len()),
                None => match next {
                    '#' => within = Within::Comment,
                    '[' | '{' => open = open.saturating_add(1),
                    ']' | '}' => open = open.saturating_sub(1),
                    _ => {}
                },
            },
            _ => {}
        }
        at = at.saturating_add(step);
        if next == '\n' && within == Within::Nothing && open == 0 {
            begins.push(at);
        }
    }
    begins
}

#[cfg(test)]
mod tests {
    use super::super::Config;
    use std::path::PathBuf;

    const SECRET: &str = "hunter2hunter2";

    fn say(text: &str, environment: &[(&str, &str)]) -> String {
        let environment = environment.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned()));
        Config::parse(text, environment, PathBuf::new()).map(drop).unwrap_err()
    }

    #[test]
    fn threat_20_a_fault_is_said_with_its_place_and_without_what_stands_there() {
        let mail = "[mail]\nsubmission = 'smtp://a'\nfrom = 'a@b.example'\nusername = 'a'\n";
        for (line, said) in [
            ("password = \"hunter2hunter2", "line 5, column "),
            ("password = 'hunter2hunter2", "mail.password: "),
            ("password = hunter2hunter2", "mail.password: "),
            (
                "password = [\"hunter2hunter2\"]",
                "line 5, column 12: mail.password: a text in quotes belongs here, and not an array",
            ),
            ("password = { a = \"hunter2hunter2\" }", "mail.password: a text in quotes belongs here, and not "),
            ("password = [\n  \"hunter2hunter2\",\n  oops\n]", "line 7, column 3: mail.password: "),
            ("password = \"\"\"\nhunter2hunter2==\n\\q\"\"\"", "mail.password: "),
            ("passwrd = \"hunter2hunter2\"", "unknown field `passwrd`, expected one of "),
            ("password = \"hunter2hunter2\\q\"", "mail.password: "),
            ("password = \"hunter2hunter2\"\npassword = \"hunter2hunter2\"", "line 6, column 1: mail.password: duplicate key"),
            ("password \"hunter2hunter2==\"", "line 5, column "),
            ("password: \"hunter2hunter2=\"", "line 5, column "),
            ("password = \"hunter2\"hunter2\"", "line 5, column "),
            ("password = \"hunter2hunter2\" 1", "mail.password: "),
        ] {
            let what = say(&format!("{mail}{line}\n"), &[]);
            assert!(what.contains(said) && !what.contains(SECRET) && !what.contains("hunter2\""), "{line}: {what}");
            assert_eq!(what.lines().count(), 1, "{what}");
        }
        for (text, said) in [
            (
                "[[client]]\nclient_id = 'a'\nclient_secret = 4711471147",
                "line 3, column 17: client.client_secret: a text in quotes",
            ),
            (
                "[[account]]\nusername = 'a'\npassword = 4711471147",
                "account.password: a text in quotes belongs here, and not a number",
            ),
            (
                "[[account]]\nusername = 'a'\npassword = 47114711.47",
                "account.password: a text in quotes belongs here, and not a number",
            ),
            ("[[account]]\nusername = 'a'\npassword_hash = true", "account.password_hash: a text in quotes"),
            ("[assessment]\nno_policy = '4711471147'", "assessment.no_policy: it must be `ask` or `deny`"),
            ("[outbound]\nproxy = 'ftp://u:4711471147@proxy'", ""),
            ("[outbound]\ndns = '4711471147'", "outbound.dns: "),
            ("mail = 4711471147", "mail: a table belongs here, and not a number"),
            ("[mail]\nsubmission = 'imap://u:4711471147@host'\nfrom = 'a@b'", "mail.submission: it must be smtp://"),
        ] {
            let what = match Config::parse(text, std::iter::empty(), PathBuf::new()) {
                Ok(config) => format!("{:?}", crate::assemble::outbound(&config, &[]).map(drop)),
                Err(what) => what,
            };
            assert!(what.contains(said) && !what.contains("47114711"), "{text}: {what}");
        }
        let what = say(
            "",
            &[("WAYLEAVE_MAIL__PASSWORD", "4711471147"), ("WAYLEAVE_MAIL__FROM", "a"), ("WAYLEAVE_MAIL__SUBMISSION", "b")],
        );
        assert!(
            what.contains("mail.password: a text in quotes belongs here, and not a number") && !what.contains("4711"),
            "{what}"
        );
    }
}
