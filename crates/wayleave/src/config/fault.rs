//! What is wrong with a configuration, and where in the file it stands.

use std::fmt;

/// What is wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The list of tables in which it is, like `gateway.route`, and the place there.
    nth: Option<(&'static str, usize)>,
    what: String,
}

impl From<String> for Fault {
    fn from(what: String) -> Self {
        Self { nth: None, what }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.nth {
            Some((list, _)) => write!(f, "[[{list}]] {}", self.what),
            None => f.write_str(&self.what),
        }
    }
}

impl Fault {
    /// Of one of several tables that have the same name.
    pub(super) fn of_nth(list: &'static str, at: usize, what: String) -> Self {
        Self { nth: Some((list, at)), what }
    }

    /// With the line of this text in which that table begins.
    pub(super) fn in_text(&self, text: &str) -> String {
        let line = self.nth.and_then(|(list, at)| {
            let header = format!("[[{list}]]");
            let lines = text.lines().enumerate().filter(|(_, line)| is_header(line, &header));
            lines.map(|(line, _)| line.saturating_add(1)).nth(at)
        });
        line.map_or_else(|| self.to_string(), |line| format!("line {line}: {self}"))
    }
}

fn is_header(line: &str, header: &str) -> bool {
    let code: String = line.split('#').next().unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect();
    code == header
}
