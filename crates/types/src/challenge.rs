//! The form of `WWW-Authenticate` challenges (RFC 9110 11.6.1) and of the UMA one in it
//! (Grant 3.2.1). The resource server writes it, the client reads it.

use std::fmt;

/// The warning of Grant 3.2.2 where no ticket could be had.
pub const UNREACHABLE_WARNING: &str = r#"199 - "UMA Authorization Server Unreachable""#;

/// `UMA realm="...", as_uri="...", ticket="...", resource_metadata="..."`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UmaChallenge {
    pub realm: Option<String>,
    /// The issuer of the authorization server, byte for byte.
    pub as_uri: String,
    pub ticket: String,
    /// URL of the protected-resource document (RFC 9728 5.1).
    pub resource_metadata: Option<String>,
}

impl fmt::Display for UmaChallenge {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UMA ")?;
        if let Some(realm) = &self.realm {
            write!(f, "realm={}, ", Quoted(realm))?;
        }
        write!(f, "as_uri={}, ticket={}", Quoted(&self.as_uri), Quoted(&self.ticket))?;
        match &self.resource_metadata {
            Some(url) => write!(f, ", resource_metadata={}", Quoted(url)),
            None => Ok(()),
        }
    }
}

/// A quoted-string of RFC 9110 5.6.4; control characters cannot be in one and are left out.
pub struct Quoted<'a>(pub &'a str);

impl fmt::Display for Quoted<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("\"")?;
        for c in self.0.chars().filter(|c| !c.is_control()) {
            if matches!(c, '"' | '\\') {
                f.write_str("\\")?;
            }
            write!(f, "{c}")?;
        }
        f.write_str("\"")
    }
}

impl UmaChallenge {
    /// Finds the UMA challenge among the values of all `WWW-Authenticate` headers. Schemes compare
    /// without case; order, extra parameters and other challenges do not matter.
    pub fn find<'a>(headers: impl IntoIterator<Item = &'a str>) -> Option<Self> {
        headers.into_iter().flat_map(parse).find_map(|challenge| {
            if !challenge.scheme.eq_ignore_ascii_case("UMA") {
                return None;
            }
            let get =
                |name: &str| challenge.parameters.iter().find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v.clone());
            Some(Self {
                realm: get("realm"),
                as_uri: get("as_uri")?,
                ticket: get("ticket")?,
                resource_metadata: get("resource_metadata"),
            })
        })
    }
}

/// One challenge of a header.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Challenge {
    pub scheme: String,
    pub parameters: Vec<(String, String)>,
}

/// Splits a header value into its challenges. What does not parse is left out.
pub fn parse(header: &str) -> Vec<Challenge> {
    let mut challenges: Vec<Challenge> = Vec::new();
    let mut rest = header;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let Some((word, after)) = take_token(rest) else { break };
        let after_word = after.trim_start_matches([' ', '\t']);
        match after_word.strip_prefix('=') {
            Some(value) if !challenges.is_empty() => {
                // what does not end may have been cut off, and says nothing (RFC 9110 5.6.4)
                let Some((value, after)) = take_value(value.trim_start_matches([' ', '\t'])) else {
                    challenges.pop();
                    break;
                };
                if let Some(challenge) = challenges.last_mut() {
                    challenge.parameters.push((word.to_owned(), value));
                }
                rest = after;
            }
            Some(_) => break,
            None => {
                challenges.push(Challenge { scheme: word.to_owned(), parameters: Vec::new() });
                rest = after;
            }
        }
    }
    challenges
}

fn take_token(text: &str) -> Option<(&str, &str)> {
    let end = text.find(|c: char| !(c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~/".contains(c))).unwrap_or(text.len());
    (end > 0).then(|| text.split_at(end))
}

fn take_value(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([',', ' ', '\t']).unwrap_or(text.len());
        let (value, rest) = text.split_at(end);
        return Some((value.to_owned(), rest));
    };
    let mut value = String::new();
    let mut chars = quoted.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => value.extend(chars.next().map(|(_, escaped)| escaped)),
            '"' => return Some((value, quoted.get(at.saturating_add(1)..).unwrap_or(""))),
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn challenge() -> UmaChallenge {
        UmaChallenge {
            realm: Some("Alice's \"photos\"".into()),
            as_uri: "https://as.example".into(),
            ticket: "016f84e8".into(),
            resource_metadata: None,
        }
    }

    #[test]
    fn what_is_written_is_read_back() {
        assert_eq!(UmaChallenge::find([challenge().to_string().as_str()]), Some(challenge()));
    }

    /// Cases: G-3.2.1-2
    #[test]
    fn any_order_extra_parameters_and_other_challenges_are_tolerated() {
        let expected = Some(UmaChallenge { realm: None, ..challenge() });
        for header in [
            r#"uma ticket="016f84e8", as_uri="https://as.example""#,
            r#"UMA as_uri="https://as.example",x=y , ticket=016f84e8"#,
            r#"Bearer realm="a, UMA ticket=no", error="invalid_token", UMA as_uri="https://as.example", ticket="016f84e8""#,
            r#"Negotiate, UMA as_uri = "https://as.example", ticket = "016f84e8", Basic realm="z""#,
        ] {
            assert_eq!(UmaChallenge::find([header]), expected, "{header}");
        }
        assert_eq!(UmaChallenge::find(["Bearer", r#"UMA ticket="016f84e8", as_uri="https://as.example""#]), expected);
        for none in [
            "",
            "UMA",
            "UMA ticket=x",
            "=",
            "Bearer ticket=x, as_uri=y",
            "\"",
            "UMA ticket=\"x",
            "UMA as_uri=\"https://as.example\", ticket=\"x",
            "UMA as_uri=\"https://as.example\", ticket=\"x\\\"",
            "UMA ticket=x, as_uri=\"https://as.example",
        ] {
            assert_eq!(UmaChallenge::find([none]), None, "{none}");
        }
    }
}
