//! A form or query as it came: parameters may be repeated there, and whoever reads one decides
//! whether that is an error (RFC 6749 3.1: it is, for all but `resource`).

use types::{ErrorCode, Refusal};

/// Most parameters that are read.
const MAX_PARAMETERS: usize = 256;

/// Parameters by name, each with all its values in order. There are few: walking along them costs less than a tree.
#[derive(Clone, Default)]
pub struct Form(Vec<(String, Vec<String>)>);

impl Form {
    /// Parses `application/x-www-form-urlencoded`. Text that is no UTF-8 is refused.
    pub fn parse(bytes: &[u8]) -> Result<Self, Refusal> {
        let mut form = Self::default();
        for (n, (name, value)) in form_urlencoded::parse(bytes).enumerate() {
            if name.contains('\u{fffd}') || value.contains('\u{fffd}') || n >= MAX_PARAMETERS {
                return Err(Refusal::new(ErrorCode::InvalidRequest, "send parameters as UTF-8, at most 256 of them"));
            }
            match form.0.iter_mut().find(|(own, _)| *own == name) {
                Some((_, values)) => values.push(value.into_owned()),
                None => form.0.push((name.into_owned(), vec![value.into_owned()])),
            }
        }
        Ok(form)
    }

    /// A parameter that may be there once. Empty counts as absent (RFC 6749 3.1).
    pub fn one(&self, name: &str) -> Result<Option<&str>, Refusal> {
        match self.all(name) {
            [] => Ok(None),
            [one] => Ok(Some(one.as_str()).filter(|value| !value.is_empty())),
            _ => Err(Refusal::new(ErrorCode::InvalidRequest, format!("send `{name}` once"))),
        }
    }

    /// A parameter that must be there, once.
    pub fn required(&self, name: &str) -> Result<&str, Refusal> {
        self.one(name)?.ok_or_else(|| Refusal::new(ErrorCode::InvalidRequest, format!("`{name}` is missing")))
    }

    /// Each parameter with its first value.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|(name, values)| Some((name.as_str(), values.first()?.as_str())))
    }

    /// All values of a parameter.
    pub fn all(&self, name: &str) -> &[String] {
        self.0.iter().find(|(own, _)| own == name).map(|(_, values)| values.as_slice()).unwrap_or_default()
    }

    /// Refuses any repeated parameter but `resource` (RFC 8707 2).
    pub fn check_unrepeated(&self) -> Result<(), Refusal> {
        let repeated = self.0.iter().find(|(name, values)| values.len() > 1 && name != "resource");
        match repeated {
            Some((name, _)) => Err(Refusal::new(ErrorCode::InvalidRequest, format!("send `{name}` once"))),
            None => Ok(()),
        }
    }

    /// The form again, in its encoding.
    pub fn encode(&self) -> String {
        let mut out = form_urlencoded::Serializer::new(String::new());
        for (name, values) in &self.0 {
            for value in values {
                out.append_pair(name, value);
            }
        }
        out.finish()
    }

    /// Puts one value in the place of all there are.
    pub fn set(&mut self, name: &str, value: &str) {
        self.remove(name);
        self.0.push((name.to_owned(), vec![value.to_owned()]));
    }

    pub fn remove(&mut self, name: &str) {
        self.0.retain(|(own, _)| own != name);
    }
}
