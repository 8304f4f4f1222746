//! What is wrong with a configuration, and where in the file it stands.

use std::fmt;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    place: Place,
    what: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Place {
    /// The text begins with the key that it is about, as in `server.listen: ...`, or ``[[client]] `a`: scope: ...``.
    InText,
    /// One of several tables that have the same name, like `gateway.route`.
    Nth { list: &'static str, at: usize },
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { place: Place::InText, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.place {
            Place::Nth { list, .. } => write!(f, "[[{list}]] {}", self.what),
            Place::InText => f.write_str(&self.what),
        }
    }
}

impl Fault {
    /// Of one of several tables that have the same name.
    pub(super) fn of_nth(list: &'static str, at: usize, what: String) -> Self {
        Self { place: Place::Nth { list, at }, what }
    }

    /// With the line of this text in which it stands.
    pub(super) fn in_text(&self, text: &str) -> String {
        let line = match &self.place {
            Place::Nth { list, at } => find_lines(text, &format!("[[{list}]]")).nth(*at),
            Place::InText => match self.what.strip_prefix("[[") {
                Some(what) => find_of_named(text, what),
                None => self.what.split([':', ' ']).next().and_then(|key| find_key(text, key)),
            },
        };
        line.map_or_else(|| self.to_string(), |line| format!("line {}: {self}", line.saturating_add(1)))
    }
}

/// The lines, from 0, on which a table begins.
fn find_lines<'a>(text: &'a str, header: &'a str) -> impl Iterator<Item = usize> + 'a {
    text.lines().enumerate().filter(move |(_, line)| code_of(line) == header).map(|(at, _)| at)
}

/// The same for what begins like ``client]] `photos-rs`: client_secret_file: ``: of several tables, the one that has this name
/// for the key that tells it from its like.
fn find_of_named(text: &str, what: &str) -> Option<usize> {
    let (list, rest) = what.split_once("]] `")?;
    let (name, rest) = rest.split_once('`')?;
    let is_named = |value: &str| value.trim_matches(['"', '\'']) == name;
    let table = |header: usize| {
        let below = text.lines().enumerate().skip(header.saturating_add(1));
        below.take_while(|(_, line)| !code_of(line).starts_with('[')).map(|(at, line)| (at, code_of(line)))
    };
    let tells_apart = |key: &str| matches!(key, "username" | "client_id" | "issuer" | "authorization_server");
    let says_it =
        |(_, line): (usize, String)| line.split_once('=').is_some_and(|(key, value)| tells_apart(key) && is_named(value));
    let has_name = |header: &usize| table(*header).any(says_it);
    let header = find_lines(text, &format!("[[{list}]]")).find(has_name)?;
    let key = rest.strip_prefix(": ").and_then(|rest| rest.split(':').next()).unwrap_or_default();
    let given = table(header).find(|(_, line)| line.split('=').next() == Some(key));
    Some(given.map_or(header, |(at, _)| at))
}

/// The line, from 0, on which a key like `server.listen` is given, or else the table begins that it belongs to.
fn find_key(text: &str, key: &str) -> Option<usize> {
    if let Some(whole) = find_lines(text, &format!("[{key}]")).next() {
        return Some(whole);
    }
    let (table, name) = key.rsplit_once('.')?;
    let header = find_lines(text, &format!("[{table}]")).next()?;
    let below = text.lines().enumerate().skip(header.saturating_add(1));
    let mut own = below.take_while(|(_, line)| !code_of(line).starts_with('['));
    let given = own.find(|(_, line)| code_of(line).split('=').next() == Some(name));
    Some(given.map_or(header, |(at, _)| at))
}

/// A line without its comment and its spaces.
fn code_of(line: &str) -> String {
    line.split('#').next().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_said_with_the_line_of_its_key() {
        let text = "[gateway]\nlisten = 'x'\n[server] # ours\n# listen = 'y'\n  listen = 'z'\n[gateway.cors]\norigins = []\n\
                    [[client]]\nclient_id = 'a'\nname = 'b'\n[[client]] # another\nname = 'a b'\nclient_id = \"b\"\nscope = ''\n";
        for (what, said) in [
            ("server.listen: no", "line 5: server.listen: no"),
            ("gateway.listen: no", "line 2: gateway.listen: no"),
            ("gateway.cors.origins: no", "line 7: gateway.cors.origins: no"),
            ("gateway: give one", "line 1: gateway: give one"),
            ("gateway.folder: no", "line 1: gateway.folder: no"),
            ("mail.from: no", "mail.from: no"),
            ("[[client]] `b`: scope: no", "line 14: [[client]] `b`: scope: no"),
            ("[[client]] `b`: jwks_file: no", "line 11: [[client]] `b`: jwks_file: no"),
            ("[[client]] `a`: no", "line 8: [[client]] `a`: no"),
            ("[[client]] `c`: no", "[[client]] `c`: no"),
            ("[[client]] nonsense", "[[client]] nonsense"),
            ("of no key", "of no key"),
            ("", ""),
        ] {
            assert_eq!(Fault::from(what.to_owned()).in_text(text), said);
        }
    }
}
