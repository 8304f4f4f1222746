//! Finding a person in a resource server's own records by what an authorization server says of her (protocol.md 2.2).
//! The operator implements [`Matching`]; [`Records`] does it for records that are given as rows: a CSV file, or a
//! query. Called by the gateway's discovery.
//!
//! A record is hers if two things at least agree, one of which somebody verified, and neither her name nor her date of
//! birth says otherwise. If that is true of several people's records, it is nobody's: a wrong match would show one
//! person's things to another.

mod sql;
mod variants;

use async_trait::async_trait;
use serde_json::{Map, Value};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

pub use sql::Sql;

/// What is said of somebody, apart by whether it was verified.
#[derive(Clone, Default)]
pub struct Described {
    pub verified: Map<String, Value>,
    pub self_asserted: Map<String, Value>,
}

/// The records cannot be read; the text is for the log, and has nothing of anybody's in it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the records cannot be read: {0}")]
pub struct RecordsError(pub String);

/// Whoever knows a resource server's people.
#[async_trait]
pub trait Matching: Send + Sync {
    /// The owner, as the routes name owners; none where nobody fits, or more than one.
    async fn find(&self, described: &Described) -> Result<Option<String>, RecordsError>;
}

/// One person's record: columns by name. `owner` is who she is in the routes.
pub type Record = BTreeMap<String, String>;

/// Where records come from.
pub trait Source: Send + Sync {
    /// Those that may be about somebody of whom this is said; more than fit do no harm.
    fn candidates(&self, said: &BTreeMap<String, String>) -> Result<Vec<Record>, RecordsError>;
}

/// The column that names the owner.
const OWNER: &str = "owner";

/// Matching by records.
pub struct Records(pub Arc<dyn Source>);

#[async_trait]
impl Matching for Records {
    async fn find(&self, described: &Described) -> Result<Option<String>, RecordsError> {
        let (source, said) = (self.0.clone(), texts(&described.verified, &described.self_asserted));
        let records = tokio::task::spawn_blocking(move || source.candidates(&said)).await;
        let records = records.map_err(|error| RecordsError(error.to_string()))??;
        let owners: BTreeSet<&String> =
            records.iter().filter(|record| is_about(record, described)).filter_map(|record| record.get(OWNER)).collect();
        let mut owners = owners.into_iter();
        Ok(match (owners.next(), owners.next()) {
            (Some(owner), None) => Some(owner.clone()),
            _ => None,
        })
    }
}

/// Claims as texts; a verified one goes before one's own word.
fn texts(verified: &Map<String, Value>, self_asserted: &Map<String, Value>) -> BTreeMap<String, String> {
    let text = |(name, value): (&String, &Value)| Some((name.clone(), text_of(value)?));
    self_asserted.iter().filter_map(text).chain(verified.iter().filter_map(text)).collect()
}

/// A claim's text; OpenID's address is an object whose parts are one after another.
fn text_of(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(number.to_string()),
        Value::Object(members) => match members.get("formatted").and_then(Value::as_str) {
            Some(text) => Some(text.to_owned()),
            None => {
                let parts = ["street_address", "locality", "region", "postal_code", "country"];
                let parts: Vec<&str> = parts.iter().filter_map(|part| members.get(*part)?.as_str()).collect();
                (!parts.is_empty()).then(|| parts.join(" "))
            }
        },
        _ => None,
    }
}

fn is_about(record: &Record, described: &Described) -> bool {
    let (verified, own) = (named(&described.verified), named(&described.self_asserted));
    let agreed = |said: &BTreeMap<String, String>| -> Option<usize> {
        let mut count = 0_usize;
        for (name, value) in said {
            let Some(kept) = record.get(name).filter(|kept| !kept.trim().is_empty()) else { continue };
            match variants::agree(name, value, kept) {
                Some(true) => count = count.saturating_add(1),
                // people move, and change their address: only these two speak against it
                Some(false) if matches!(name.as_str(), "name" | "birthdate") => return None,
                _ => {}
            }
        }
        Some(count)
    };
    match (agreed(&verified), agreed(&own)) {
        (Some(verified), Some(own)) => verified >= 1 && verified.saturating_add(own) >= 2,
        _ => false,
    }
}

/// Given and family name are one name.
fn named(said: &Map<String, Value>) -> BTreeMap<String, String> {
    let mut texts = texts(said, &Map::new());
    if let (Some(given), Some(family)) = (texts.remove("given_name"), texts.remove("family_name")) {
        texts.entry("name".into()).or_insert_with(|| format!("{given} {family}"));
    }
    texts
}

/// Records of a CSV file (RFC 4180); its first line names the columns, one of which is `owner`.
pub struct Csv(Vec<Record>);

impl Csv {
    pub fn parse(text: &str) -> Result<Self, RecordsError> {
        let mut lines = fields(text)?.into_iter();
        let header: Vec<String> = lines.next().unwrap_or_default().iter().map(|name| name.trim().to_lowercase()).collect();
        if !header.iter().any(|name| name == OWNER) {
            return Err(RecordsError("the first line names no column `owner`".into()));
        }
        let mut records = Vec::new();
        for (number, line) in lines.enumerate().filter(|(_, line)| line.iter().any(|field| !field.is_empty())) {
            if line.len() != header.len() {
                return Err(RecordsError(format!("record {} has another number of columns than the first line", number + 1)));
            }
            records.push(header.iter().cloned().zip(line).collect());
        }
        Ok(Self(records))
    }
}

impl Source for Csv {
    fn candidates(&self, _: &BTreeMap<String, String>) -> Result<Vec<Record>, RecordsError> {
        Ok(self.0.clone())
    }
}

/// Fields of each line; a field in quotes may have anything in it, `""` being one quote.
fn fields(text: &str) -> Result<Vec<Vec<String>>, RecordsError> {
    let (mut lines, mut line, mut field, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut chars = text.trim_start_matches('\u{feff}').chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '"' if quoted && chars.peek() == Some(&'"') => {
                chars.next();
                field.push('"');
            }
            '"' => quoted = !quoted,
            ',' if !quoted => line.push(std::mem::take(&mut field)),
            '\n' if !quoted => {
                line.push(std::mem::take(&mut field));
                lines.push(std::mem::take(&mut line));
            }
            '\r' if !quoted => {}
            other => field.push(other),
        }
    }
    if quoted {
        return Err(RecordsError("a quoted field does not end".into()));
    }
    if !field.is_empty() || !line.is_empty() {
        line.push(field);
        lines.push(line);
    }
    Ok(lines)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const PEOPLE: &str = "owner,name,birthdate,email,address\n\
        alice,\"Müller-Smith, Alice M.\",31/01/1980,alice@foo.example,\"12 Mill Street, Oldtown AB1 2CD\"\n\
        bob,Bob Jones,1975-06-02,bob@bar.example,\n\
        twin1,Ann Gray,1990-01-01,,1 High Road\n\
        twin2,Ann Gray,1990-01-01,,1 High Road\n";

    async fn find(verified: Value, own: Value) -> Option<String> {
        let (verified, self_asserted) = (verified.as_object().unwrap().clone(), own.as_object().unwrap().clone());
        let records = Records(Arc::new(Csv::parse(PEOPLE).unwrap()));
        records.find(&Described { verified, self_asserted }).await.unwrap()
    }

    #[tokio::test]
    async fn a_person_is_found_by_what_she_is_called_and_never_by_one_thing_alone() {
        let alice = Some("alice".to_owned());
        let born = json!({"birthdate": "1980-01-31"});
        assert_eq!(find(json!({"name": "Alice Mueller Smith"}), born.clone()).await, alice);
        assert_eq!(find(born.clone(), json!({"given_name": "ALICE", "family_name": "Muller-Smith"})).await, alice);
        let home = json!({"address": {"street_address": "12 Mill St.", "postal_code": "AB12CD"}});
        assert_eq!(find(json!({"email": "Alice@Foo.example"}), home).await, alice);
        assert_eq!(find(json!({"name": "Alice Müller-Smith"}), json!({})).await, None, "one thing alone");
        assert_eq!(
            find(json!({}), json!({"name": "Alice Müller-Smith", "birthdate": "1980-01-31"})).await,
            None,
            "nobody verified it"
        );
        assert_eq!(
            find(json!({"email": "alice@foo.example", "name": "Carol Smith"}), born).await,
            None,
            "somebody else of that address"
        );
        assert_eq!(find(json!({"name": "Ann Gray", "birthdate": "1990-01-01"}), json!({})).await, None, "two of them");
    }

    #[test]
    fn a_file_that_does_not_read_is_an_error() {
        for bad in ["", "name\nAlice\n", "owner,name\nalice\n", "owner,name\nalice,\"Alice\n"] {
            assert!(Csv::parse(bad).is_err(), "{bad}");
        }
        let quoted = Csv::parse("\u{feff}Owner,Name\r\nalice,\"says \"\"hi\"\", loudly\"\r\n").unwrap();
        assert_eq!(quoted.0[0]["name"], "says \"hi\", loudly");
    }
}
