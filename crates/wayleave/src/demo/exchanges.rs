//! What `-v` prints of each HTTP exchange: the lines that matter, without pages and pictures. Tickets and tokens are cut, so
//! that a line can be read; `-vv` prints them whole.

use crate::say;
use outbound::{Exchange, Watcher};
use std::sync::Arc;

/// A run of so many letters and digits is no word: it is a ticket, a token or a signature.
const LONGEST_WORD: usize = 40;
/// What is left of it.
const SHOWN: usize = 12;
/// So much of a message is printed with `-v`.
const MAX_MESSAGE: usize = 900;

/// How much is printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exchanges {
    Hidden,
    Short,
    Whole,
}

impl Exchanges {
    /// By how often `-v` stands there.
    pub(super) fn of_count(count: u8) -> Self {
        match count {
            0 => Self::Hidden,
            1 => Self::Short,
            _ => Self::Whole,
        }
    }

    /// Who prints them, if anybody does.
    pub(super) fn watcher(self) -> Option<Watcher> {
        let print = move |exchange: &Exchange<'_>| say::line(&self.describe(exchange));
        (self != Self::Hidden).then(|| Watcher(Arc::new(print)))
    }

    fn describe(self, exchange: &Exchange<'_>) -> String {
        let mut text = format!("      > {} {}", exchange.method, self.shorten(exchange.url));
        if let Some(request) = exchange.request {
            text.push_str(&format!("\n      > {}", self.shorten(&String::from_utf8_lossy(request))));
        }
        text.push_str(&format!("\n      < {}", exchange.status));
        for name in ["location", "www-authenticate", "warning"] {
            let values = exchange.headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
            values.for_each(|value| text.push_str(&format!("\n      < {name}: {}", self.shorten(value))));
        }
        let media = exchange.headers.get("content-type").and_then(|value| value.to_str().ok()).unwrap_or_default();
        match media.starts_with("application/json") {
            true => text.push_str(&format!("\n      < {}", self.shorten(&String::from_utf8_lossy(exchange.answer)))),
            false => text.push_str(&format!("\n      < {} bytes {media}", exchange.answer.len())),
        }
        text
    }

    fn shorten(self, text: &str) -> String {
        match self {
            Self::Whole => text.to_owned(),
            _ => cut_opaque(text).chars().take(MAX_MESSAGE).collect(),
        }
    }
}

/// With each opaque value cut to its first characters and its length.
fn cut_opaque(text: &str) -> String {
    let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '~' | '+');
    let (mut cut, mut rest) = (String::new(), text);
    while let Some(first) = rest.chars().next() {
        let end = rest.find(|c| is_part(c) != is_part(first)).unwrap_or(rest.len());
        let (run, behind) = rest.split_at(end);
        match run.get(..SHOWN).filter(|_| is_part(first) && run.len() > LONGEST_WORD) {
            Some(begin) => cut.push_str(&format!("{begin}...({} characters)", run.len())),
            None => cut.push_str(run),
        }
        rest = behind;
    }
    cut
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_opaque_is_cut_and_nothing_else() {
        let ticket = "eyJhbGciOiJI".to_owned() + &"x".repeat(600);
        for (text, shown) in [
            (format!("ticket={ticket}&scope=view"), "ticket=eyJhbGciOiJI...(612 characters)&scope=view".to_owned()),
            (
                format!("UMA as_uri=\"http://127.0.0.1:8080\", ticket=\"{ticket}\""),
                "UMA as_uri=\"http://127.0.0.1:8080\", ticket=\"eyJhbGciOiJI...(612 characters)\"".to_owned(),
            ),
            (
                format!("{{\"ticket\":\"{ticket}\",\"interval\":1}}"),
                "{\"ticket\":\"eyJhbGciOiJI...(612 characters)\",\"interval\":1}".to_owned(),
            ),
            (
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Auma-ticket".into(),
                "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Auma-ticket".into(),
            ),
            ("Ünïcode, and nothing to cut".into(), "Ünïcode, and nothing to cut".into()),
            (String::new(), String::new()),
        ] {
            assert_eq!(Exchanges::Short.shorten(&text), shown);
            assert_eq!(Exchanges::Whole.shorten(&text), text);
        }
    }
}
