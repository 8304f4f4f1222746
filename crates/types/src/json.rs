//! Reading JSON that a stranger sent: a repeated member is an error, not "the last one wins"
//! (Federated Authorization 3.2: a repeated parameter is `invalid_request`), and nesting is bounded.

use serde::de::{DeserializeOwned, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::fmt;

/// Why a body could not be read. The text is fit for `error_description`.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct BadJson(String);

/// Reads strict JSON into `T`.
pub fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadJson> {
    let text = std::str::from_utf8(bytes).map_err(|_| BadJson("the body is not UTF-8".into()))?;
    let Strict(value) = serde_json::from_str(text).map_err(|error| describe(&error))?;
    read(value)
}

/// Reads a value into `T`; what is wrong is said by the member that it is wrong in.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, BadJson> {
    serde_path_to_error::deserialize(value).map_err(|error| {
        let path = error.path().to_string();
        let BadJson(what) = describe(error.inner());
        // what stands at the top names its member itself, or is all of it
        BadJson(if path == "." { what } else { format!("`{path}`: {what}") })
    })
}

/// Reads a file that may hold a secret: what is wrong with it is said without what stands there.
pub fn parse_hidden<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, BadJson> {
    parse(bytes).map_err(|BadJson(what)| match what.split_once(": ").filter(|(path, _)| path.starts_with('`')) {
        Some((path, what)) => BadJson(format!("{path}: {}", leave_out_value(what))),
        None => BadJson(leave_out_value(&what)),
    })
}

/// What belongs in a place and what was found there: what serde's word for it begins with, and ours.
const BELONGS: [(&str, &str); 11] = [
    ("a string", "a text in quotes"),
    ("a text", "a text in quotes"),
    ("a boolean", "`true` or `false`"),
    ("a sequence", "an array"),
    ("a map", "a table"),
    ("struct ", "a table"),
    ("i64", "a whole number"),
    ("u64", "a whole number"),
    ("u32", "a whole number"),
    ("usize", "a whole number"),
    ("f64", "a number"),
];
const FOUND: [(&str, &str); 6] = [
    ("string ", "a text"),
    ("integer ", "a number"),
    ("floating point ", "a number"),
    ("boolean ", "`true` or `false`"),
    ("sequence", "an array"),
    ("map", "a table"),
];

/// A message of serde without the value that it is about: that may be a secret.
pub fn leave_out_value(message: &str) -> String {
    let ours = |words: &[(&str, &'static str)], text: &str| {
        words.iter().find(|(theirs, _)| text.starts_with(theirs)).map(|(_, ours)| *ours)
    };
    let parts = |begin: &str| message.strip_prefix(begin)?.rsplit_once(", expected ");
    if let Some((found, belongs)) = parts("invalid type: ").or_else(|| parts("invalid value: ")) {
        let belongs = ours(&BELONGS, belongs).unwrap_or(belongs);
        return match ours(&FOUND, found) {
            Some(found) => format!("{belongs} belongs here, and not {found}"),
            None => format!("{belongs} belongs here"),
        };
    }
    match parts("unknown variant ") {
        Some((_, belongs)) => format!("it must be {belongs}"),
        None => message.to_owned(),
    }
}

/// Words of serde for kinds of values, and ours.
const KINDS: [(&str, &str); 9] = [
    ("expected i64", "expected a whole number"),
    ("expected u64", "expected a whole number"),
    ("expected f64", "expected a number"),
    ("expected a sequence", "expected an array"),
    ("expected a map", "expected an object"),
    ("expected a string", "expected a text"),
    ("expected a boolean", "expected `true` or `false`"),
    ("invalid type: map", "an object"),
    ("invalid type: sequence", "an array"),
];

/// The text of serde without places in the file and names of types in our code.
fn describe(error: &serde_json::Error) -> BadJson {
    let text = error.to_string();
    let mut text = text.split(" at line ").next().unwrap_or("the body is not JSON").to_owned();
    for (theirs, ours) in KINDS {
        text = text.replace(theirs, ours);
    }
    if let Some((before, _)) = text.split_once("expected struct ").or_else(|| text.split_once("expected enum ")) {
        text = format!("{before}expected an object");
    }
    BadJson(text)
}

struct Strict(Value);

impl<'de> Deserialize<'de> for Strict {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(StrictVisitor).map(Strict)
    }
}

struct StrictVisitor;

impl<'de> Visitor<'de> for StrictVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }
    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }
    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Strict(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Value::Array(list))
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Value, A::Error> {
        let mut object = Map::new();
        while let Some(name) = members.next_key::<String>()? {
            if object.contains_key(&name) {
                return Err(A::Error::custom(format!("the member `{name}` is there twice")));
            }
            let Strict(value) = members.next_value()?;
            object.insert(name, value);
        }
        Ok(Value::Object(object))
    }
}

/// A member that may be one string or an array of strings.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl OneOrMany {
    /// Whether `text` is among them.
    pub fn contains(&self, text: &str) -> bool {
        match self {
            Self::One(one) => one == text,
            Self::Many(many) => many.iter().any(|item| item == text),
        }
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        let all = match self {
            Self::One(one) => std::slice::from_ref(one),
            Self::Many(many) => many.as_slice(),
        };
        all.iter().map(String::as_str)
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        match self {
            Self::One(_) => 1,
            Self::Many(many) => many.len(),
        }
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// How long something is as JSON, in bytes; what cannot be written has no end.
pub fn size_of(document: &impl Serialize) -> usize {
    serde_json::to_vec(document).map_or(usize::MAX, |text| text.len())
}

/// How many bytes a text takes in memory: its letters, and what leads to them.
pub fn weight_of_text(text: &str) -> usize {
    text.len().saturating_add(32)
}

/// How many bytes a value takes in memory, about: a list of numbers takes sixteen times as many there as it has letters.
pub fn weight_of(value: &Value) -> usize {
    let parts = match value {
        Value::String(text) => text.len(),
        Value::Array(all) => all.iter().map(weight_of).sum(),
        Value::Object(members) => members.iter().map(|(name, value)| weight_of_text(name).saturating_add(weight_of(value))).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    parts.saturating_add(std::mem::size_of::<Value>())
}

/// How many bytes a document takes in memory, about: its letters, and what each of its parts is held by. Nothing of it is written
/// anywhere for that; what cannot be written has no end.
pub fn weight_of_document(document: &impl Serialize) -> usize {
    let mut scale = Scale::default();
    serde_json::to_writer(&mut scale, document)
        .map_or(usize::MAX, |()| scale.letters.saturating_add(scale.parts.saturating_mul(32)))
}

/// Counts letters of JSON, and what separates its parts.
#[derive(Default)]
struct Scale {
    letters: usize,
    parts: usize,
    in_text: bool,
    is_escaped: bool,
}

impl Scale {
    fn count(&mut self, letter: u8) {
        self.letters = self.letters.saturating_add(1);
        match letter {
            _ if std::mem::take(&mut self.is_escaped) => {}
            b'\\' => self.is_escaped = self.in_text,
            b'"' => self.in_text = !self.in_text,
            b',' | b':' | b'[' | b'{' if !self.in_text => self.parts = self.parts.saturating_add(1),
            _ => {}
        }
    }
}

impl std::io::Write for Scale {
    fn write(&mut self, letters: &[u8]) -> std::io::Result<usize> {
        letters.iter().for_each(|letter| self.count(*letter));
        Ok(letters.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// How many values there are in one, itself among them.
pub fn count_values(value: &Value) -> usize {
    let parts: usize = match value {
        Value::Array(all) => all.iter().map(count_values).sum(),
        Value::Object(members) => members.values().map(count_values).sum(),
        _ => 0,
    };
    parts.saturating_add(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_20_a_file_of_a_key_is_said_to_be_wrong_without_what_it_holds() {
        #[derive(Debug, Deserialize)]
        #[serde(deny_unknown_fields)]
        struct File {
            #[serde(rename = "pkcs8")]
            _pkcs8: String,
        }
        for (text, said) in [
            (r#"{"pkcs8": 47114711}"#, "`pkcs8`: a text in quotes belongs here, and not a number"),
            (r#"{"pkcs8": ["47114711"]}"#, "`pkcs8`: "),
            (r#"{"pkcs8": {"47114711": ": invalid type: 47114711, expected 4"}}"#, "`pkcs8`: "),
            (r#""47114711, expected x""#, "an object belongs here, and not a text"),
            ("47114711", "an object belongs here, and not a number"),
            ("47114711x", ""),
            (r#"{"pkcs8": "47114711"#, ""),
        ] {
            let said_of = parse_hidden::<File>(text.as_bytes()).unwrap_err().to_string();
            assert!(said_of.contains(said) && !said_of.contains("47114711"), "{text}: {said_of}");
        }
    }

    #[test]
    fn threat_46_what_is_in_memory_is_weighed_as_it_is_there() {
        let read = |text: &str| serde_json::from_str::<Value>(text).unwrap();
        for (text, count) in [("1", 1), ("[]", 1), ("[1,[2,3]]", 5), (r#"{"a":[1,"b"],"c":null}"#, 5)] {
            assert_eq!(count_values(&read(text)), count, "{text}");
        }
        let many = read(&format!("[{}1]", "1,".repeat(999)));
        assert!(weight_of(&many) >= 1_000 * std::mem::size_of::<Value>(), "{}", weight_of(&many));
        assert!(weight_of(&Value::from("x".repeat(500))) < 600);
        let parts = |text: &str| (weight_of_document(&read(text)) - read(text).to_string().len()) / 32;
        for (text, count) in [("1", 0), ("[1,2,3]", 3), (r#"{"a":[1,"b,:[{\\\"\\\\,"]}"#, 4)] {
            assert_eq!(parts(text), count, "{text}");
        }
    }

    #[test]
    fn a_repeated_member_is_refused_at_any_depth() {
        assert!(parse::<Value>(br#"{"a":1,"b":[{"c":2}]}"#).is_ok());
        let error = parse::<Value>(br#"{"a":[{"b":1,"b":2}]}"#).unwrap_err();
        assert_eq!(error.to_string(), "the member `b` is there twice");
    }

    #[test]
    fn deep_nesting_and_broken_text_are_errors_not_crashes() {
        let deep = "[".repeat(100_000);
        for bad in [deep.as_bytes(), b"{", b"\xff", b"", b"{\"a\":}"] {
            assert!(parse::<Value>(bad).is_err());
        }
    }

    /// Each mistake is told by its member, and without names of our types.
    #[test]
    fn s41_what_is_wrong_with_a_body_is_said_by_its_member() {
        use crate::credential::CredentialRegistration;
        use crate::policy::PolicyDocument;
        let credential = |text: &str| parse::<CredentialRegistration>(text.as_bytes()).unwrap_err().to_string();
        for (text, member) in [
            (r#"{"cred_value": {}}"#, "cred_type"),
            (r#"{"cred_type": "key", "cred_value": {}}"#, "cred_type"),
            (r#"{"cred_type": 7, "cred_value": {}}"#, "cred_type"),
            (r#"{"cred_type": "did"}"#, "cred_value"),
            (r#"{"cred_type": "did", "cred_value": {}, "proof": 7}"#, "proof"),
            (r#"{"cred_type": "did", "cred_value": {}, "color": 7}"#, "color"),
        ] {
            assert!(credential(text).contains(&format!("`{member}`")), "{text}: {}", credential(text));
        }
        let policy = |text: &str| parse::<PolicyDocument>(text.as_bytes()).unwrap_err().to_string();
        for (text, member) in [
            (r#"{"resource_id": 7, "resource_scopes": ["view"]}"#, "resource_id"),
            (r#"{"resource_id": "a", "resource_scopes": ["a b"]}"#, "resource_scopes"),
            (r#"{"resource_id": "a", "resource_scopes": ["view"], "expires_at": "tomorrow"}"#, "expires_at"),
            (r#"{"resource_id": "a", "resource_scopes": ["view"], "on_missing": "shrug"}"#, "on_missing"),
            (r#"{"resource_id": "a", "resource_scopes": ["view"], "required_claims": [{"value": ["x"]}]}"#, "required_claims[0]"),
        ] {
            let said = policy(text);
            assert!(said.contains(&format!("`{member}")), "{text}: {said}");
            assert!(!said.contains("struct") && !said.contains("i64"), "{said}");
        }
    }
}
