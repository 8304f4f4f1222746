//! Reading what another party answers. Its standard may leave a member out, and its makers may have read the standard in another
//! way: what is optional there is optional here, a member that is `null` is as if it were not there, a number may come as a text, and what nobody
//! asked for is passed over. A member that does not read counts as absent, and is told of - except where a reader says that
//! an answer without it would let more pass: then the answer does not read.
//!
//! What is *sent to* us is read by [`crate::json`], strictly.

use crate::json::{self, BadJson};
use serde::de::DeserializeOwned;
use serde_json::{Number, Value};
use serde_path_to_error::{Path, Segment};
use std::collections::BTreeSet;

/// Most members of one answer that are mended or passed over.
const MOST_MENDED: usize = 64;

/// An answer, and what of it did not read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer<T> {
    pub said: T,
    /// Members that are not in `said`, although something is said there.
    pub left_out: Vec<String>,
}

/// Reads a body. `needed`: members at the top that read, where they are there, or nothing does.
pub fn parse<T: DeserializeOwned>(bytes: &[u8], needed: &[&str]) -> Result<T, BadJson> {
    read(json::parse(bytes)?, needed).map(|answer| answer.said)
}

/// Reads a value in the same way, and says what is left out.
pub fn read<T: DeserializeOwned>(mut value: Value, needed: &[&str]) -> Result<Answer<T>, BadJson> {
    let (mut left_out, mut mended) = (Vec::new(), BTreeSet::new());
    for _ in 0..MOST_MENDED {
        let error = match serde_path_to_error::deserialize(&value) {
            Ok(said) => return Ok(Answer { said, left_out }),
            Err(error) => error,
        };
        let failed = Failed::of(&error);
        if needed.iter().any(|name| failed.is_within(name)) && !failed.is_mendable(&value, &mended) {
            break;
        }
        if !failed.mend(&mut value, &mut mended, &mut left_out) {
            break;
        }
    }
    json::read(value).map(|said| Answer { said, left_out })
}

/// One step on the way to a member.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Member(String),
    Item(usize),
}

/// Where an answer does not read.
struct Failed(Vec<Step>);

impl Failed {
    fn of(error: &serde_path_to_error::Error<serde_json::Error>) -> Self {
        let mut steps = steps_of(error.path());
        let text = error.inner().to_string();
        // a member that is not known is named by the text alone
        let unknown = text.strip_prefix("unknown field `").and_then(|rest| rest.split('`').next());
        if let Some(name) = unknown.filter(|name| steps.last() != Some(&Step::Member((*name).to_owned()))) {
            steps.push(Step::Member(name.to_owned()));
        }
        Self(steps)
    }

    fn is_within(&self, member: &str) -> bool {
        self.0.first() == Some(&Step::Member(member.to_owned()))
    }

    fn name(&self) -> String {
        let step = |step: &Step| match step {
            Step::Member(name) => name.clone(),
            Step::Item(at) => at.to_string(),
        };
        self.0.iter().map(step).collect::<Vec<_>>().join(".")
    }

    /// Whether what is there says the same in another form, or says nothing.
    fn is_mendable(&self, value: &Value, mended: &BTreeSet<String>) -> bool {
        let found = self.0.iter().try_fold(value, |at, step| match step {
            Step::Member(name) => at.get(name),
            Step::Item(number) => at.get(number),
        });
        found.is_some_and(|found| found.is_null() || (!mended.contains(&self.name()) && in_another_form(found).is_some()))
    }

    /// Whether something could be done about it.
    fn mend(&self, value: &mut Value, mended: &mut BTreeSet<String>, left_out: &mut Vec<String>) -> bool {
        let Some((last, way)) = self.0.split_last() else { return false };
        let parent = way.iter().try_fold(value, |at, step| match step {
            Step::Member(name) => at.get_mut(name),
            Step::Item(number) => at.get_mut(number),
        });
        let name = self.name();
        match (parent, last) {
            (Some(Value::Object(members)), Step::Member(member)) => {
                let Some(found) = members.get_mut(member) else { return false };
                if let Some(other) = in_another_form(found).filter(|_| mended.insert(name.clone())) {
                    *found = other;
                    return true;
                }
                // a form that does not help either is what was said
                if !found.is_null() {
                    left_out.push(name);
                }
                members.remove(member).is_some()
            }
            (Some(Value::Array(items)), Step::Item(at)) if *at < items.len() => {
                // `null` in a list is something that somebody meant to say: a condition, for all that is known
                items.remove(*at);
                left_out.push(name);
                true
            }
            _ => false,
        }
    }
}

fn steps_of(path: &Path) -> Vec<Step> {
    let step = |segment: &Segment| match segment {
        Segment::Seq { index } => Some(Step::Item(*index)),
        Segment::Map { key } => Some(Step::Member(key.clone())),
        Segment::Enum { .. } | Segment::Unknown => None,
    };
    path.iter().filter_map(step).collect()
}

/// A number that came as a text, one with a fraction, or a text that came as a number or alone instead of in a list.
fn in_another_form(value: &Value) -> Option<Value> {
    let whole = |number: f64| {
        // what lies beyond is as long as it can be
        let fits = number.is_finite() && number.abs() < 9.0e15;
        fits.then(|| format!("{number:.0}").parse::<i64>().ok()).flatten()
    };
    match value {
        Value::String(text) => {
            let text = text.trim();
            text.parse::<i64>().ok().or_else(|| whole(text.parse::<f64>().ok()?.trunc())).map(Value::from)
        }
        Value::Number(number) if number.is_f64() => number.as_f64().and_then(|number| whole(number.trunc())).map(Value::from),
        Value::Number(number) => Some(Value::from(Number::to_string(number))),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
