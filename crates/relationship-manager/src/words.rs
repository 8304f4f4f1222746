//! What is done, in plain words: shares and conditions as a person reads them.

use crate::holdings::{Approval, Share, Who};
use jose::resource_owner_token::AllowedParty;
use serde_json::Value;
use types::access_request::AccessRequestDocument;
use types::policy::{ClaimCondition, OnMissing, PolicyDocument};
use types::{ScopeSet, Timestamp, email};
use ui::Reader;

/// Who meets these conditions.
pub(crate) fn who(conditions: &[ClaimCondition]) -> Who {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let address = match conditions {
        // an address only where it is one: what a server lists may be anything
        [one] if one.name == "email" && one.issuer.is_empty() => match one.value.as_slice() {
            [Value::String(address)] => email::normalize(address),
            _ => None,
        },
        _ => None,
    };
    match (address, conditions) {
        (Some(address), _) => Who::Address(address),
        (None, []) => Who::Anyone,
        (None, all) => {
            let each = all.iter().map(|condition| {
                let values: Vec<String> = condition.value.iter().map(text).collect();
                let by =
                    if condition.issuer.is_empty() { String::new() } else { format!(" (by {})", condition.issuer.join(" or ")) };
                format!("{} {}{by}", condition.name, values.join(" or "))
            });
            // whole: what is cut here would be shared unseen
            Who::Other(visible(&each.collect::<Vec<_>>().join(", and ")))
        }
    }
}

/// Who asked: the address, else the name that was proved.
pub(crate) fn who_asked(request: &AccessRequestDocument) -> Who {
    match (request.requesting_party.get("email").is_some(), crate::answering::party_of(request)) {
        (true, Some(address)) => email::normalize(address).map_or_else(|| Who::Other(visible(address)), Who::Address),
        (_, Some(_)) => Who::Other(ui::name_party(&request.requesting_party)),
        (_, None) => Who::Other("a name that this desk cannot read".to_owned()),
    }
}

/// Whom a signed token lets in.
pub(crate) fn who_of_token(party: &AllowedParty) -> Who {
    let condition = |(name, value): (&String, &Value)| ClaimCondition {
        name: name.clone(),
        issuer: party.issuer.clone(),
        value: if let Value::Array(all) = value { all.clone() } else { vec![value.clone()] },
        claim_token_format: Vec::new(),
    };
    let who = who(&party.claims.iter().map(condition).collect::<Vec<_>>());
    match &party.cnf {
        None => who,
        Some(cnf) => Who::Other(format!("{}, and the key {}", who.name(), cnf.jkt)),
    }
}

/// A server as people read it: without scheme.
pub(crate) fn place(url: &str) -> String {
    readable(url.split_once("://").map_or(url, |(_, rest)| rest).trim_end_matches('/'))
}

pub(crate) use types::spelling::{readable, visible};

/// Everything that a policy says beside who and what: nothing of it may come along unseen.
pub(crate) fn conditions_of(policy: &PolicyDocument, reader: &Reader) -> Vec<String> {
    let mut all = Vec::new();
    if !policy.client_id.is_empty() {
        let clients = policy.client_id.iter().map(|client| visible(client.as_str()));
        all.push(format!("only with the applications {}", list(clients)));
    }
    all.extend(policy.expires_at.map(|end| reader.until(end)));
    all.extend(limits_of(policy, reader));
    all
}

/// What narrows a policy beside who, with what, and until when.
pub(crate) fn limits_of(policy: &PolicyDocument, reader: &Reader) -> Vec<String> {
    let mut all = Vec::new();
    all.extend(policy.valid_from.map(|begin| format!("from {} on", reader.moment(begin))));
    all.extend(policy.max_uses.map(|most| {
        let left = most.saturating_sub(policy.uses.unwrap_or(0));
        format!("{left} more {}", if left == 1 { "time" } else { "times" })
    }));
    all.extend(policy.purpose.as_deref().map(|purpose| format!("for the purpose “{}”", visible(purpose))));
    all.extend(match policy.on_missing {
        OnMissing::Gather => None,
        OnMissing::Ask => Some("you are asked where somebody does not show who they are".to_owned()),
        OnMissing::Deny => Some("refused at once where somebody does not show who they are".to_owned()),
    });
    let formats = policy.required_claims.iter().flat_map(|claim| &claim.claim_token_format);
    let formats: Vec<String> = formats.map(|format| visible(format)).collect();
    if !formats.is_empty() {
        all.push(format!("shown as {}", list(formats)));
    }
    all
}

impl Who {
    /// As the beginning of a sentence.
    pub(crate) fn in_words(&self) -> String {
        match self {
            Self::Address(address) => format!("Whoever proves the address {address}"),
            Self::Other(conditions) => format!("Whoever proves {conditions}"),
            Self::Anyone => "Anyone at all".to_owned(),
        }
    }

    /// As a name.
    pub(crate) fn name(&self) -> &str {
        match self {
            Self::Address(address) => address,
            Self::Other(conditions) => conditions,
            Self::Anyone => "Anyone",
        }
    }

    /// The same as a parameter, and back.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Address(address) => format!("address:{address}"),
            Self::Other(conditions) => format!("other:{conditions}"),
            Self::Anyone => "anyone".to_owned(),
        }
    }

    pub(crate) fn of_key(key: &str) -> Option<Self> {
        match key.split_once(':') {
            Some(("address", address)) => email::normalize(address).map(Self::Address),
            Some(("other", conditions)) => Some(Self::Other(conditions.to_owned())),
            None if key == "anyone" => Some(Self::Anyone),
            _ => None,
        }
    }
}

/// `view, edit and print`.
pub(crate) fn list(words: impl IntoIterator<Item = impl Into<String>>) -> String {
    let mut words: Vec<String> = words.into_iter().map(Into::into).collect();
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

/// `view, print and edit`: the least first.
pub(crate) fn scopes(scopes: &ScopeSet) -> String {
    list(ui::least_first(scopes).iter().map(ToString::to_string))
}

/// `view, edit or print`.
fn either(words: impl IntoIterator<Item = String>) -> String {
    let joined = list(words);
    match joined.rsplit_once(" and ") {
        Some((before, last)) => format!("{before} or {last}"),
        None => joined,
    }
}

/// `Whoever proves the address bob@bar.example may view A, B and 3 more`, without an end.
pub(crate) fn may(who: &Who, things: &[&str], scopes: &ScopeSet) -> String {
    let things = match things {
        [] => "nothing".to_owned(),
        some if some.len() <= 3 => list(some.iter().copied()),
        [first, second, rest @ ..] => format!("{first}, {second} and {} more", rest.len()),
        [one] => (*one).to_owned(),
    };
    format!("{} may {} {things}", who.in_words(), self::scopes(scopes))
}

/// What will be possible, and what not.
pub(crate) struct Promised<'a> {
    pub(crate) who: &'a Who,
    pub(crate) things: &'a [&'a str],
    pub(crate) scopes: &'a ScopeSet,
    pub(crate) rest: &'a ScopeSet,
    pub(crate) until: Option<Timestamp>,
}

/// The same in one sentence.
pub(crate) fn promise(promised: &Promised<'_>, reader: &Reader) -> String {
    let Promised { who, things, scopes, rest, until } = promised;
    let until = until.map_or_else(|| ", until you withdraw it".to_owned(), |until| format!(", {}", reader.until(until)));
    let not = if rest.is_empty() {
        String::new()
    } else {
        format!("; not {}", either(ui::least_first(rest).iter().map(ToString::to_string)))
    };
    format!("{}{until}{not}.", may(who, things, scopes))
}

impl Approval {
    /// What it lets whoever asked do.
    pub(crate) fn in_words(&self, reader: &Reader) -> String {
        let may = scopes(&self.scopes);
        let until = self.until.map_or_else(String::new, |until| format!(", {}", reader.until(until)));
        format!("may {may}{until}, through {}: approved once", ui::quote(&self.client))
    }
}

impl Share {
    /// What it lets whoever it is for do.
    pub(crate) fn in_words(&self, reader: &Reader) -> String {
        let may = scopes(&self.scopes);
        let until = self.until.map_or_else(String::new, |until| format!(", {}", reader.until(until)));
        let through =
            if self.clients.is_empty() { String::new() } else { format!(", through {} only", list(self.clients.clone())) };
        format!("may {may}{until}{through}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_share_is_told_in_plain_words() {
        let bob = who(
            &serde_json::from_value::<Vec<ClaimCondition>>(json!([{"name": "email", "value": ["Bob@bar.example"]}])).unwrap()
        );
        assert_eq!(bob, Who::Address("bob@bar.example".into()));
        let (view, rest) = (ScopeSet::parse("view").unwrap(), ScopeSet::parse("download edit").unwrap());
        let reader = Reader { zone: ui::Zone::default(), now: Timestamp(1_796_133_900) };
        // midnight after the first of December
        let until = Some(Timestamp(1_796_169_600));
        assert_eq!(
            promise(&Promised { who: &bob, things: &["Holiday 2025"], scopes: &view, rest: &rest, until }, &reader),
            "Whoever proves the address bob@bar.example may view Holiday 2025, until and including 1 December; not download or edit."
        );
        let all = ["A", "B", "C", "D", "E"];
        assert_eq!(
            promise(&Promised { who: &Who::Anyone, things: &all, scopes: &view, rest: &ScopeSet::new(), until: None }, &reader),
            "Anyone at all may view A, B and 3 more, until you withdraw it."
        );
        assert_eq!(
            promise(
                &Promised { who: &Who::Anyone, things: &all[..3], scopes: &view, rest: &ScopeSet::new(), until: None },
                &reader
            ),
            "Anyone at all may view A, B and C, until you withdraw it."
        );
    }

    /// What comes along is written whole, so it is shown whole.
    #[test]
    fn threat_36_s04_conditions_are_never_cut() {
        let long = "b".repeat(300);
        let conditions = json!([{"name": "email", "value": ["bob@bar.example", long, "mallory@evil.example"]}]);
        let who = who(&serde_json::from_value::<Vec<ClaimCondition>>(conditions.clone()).unwrap());
        assert!(who.name().contains("mallory@evil.example"), "{}", who.name());
        let policy = json!({"_id": "1", "resource_id": "A", "resource_scopes": ["view"], "required_claims": conditions,
            "client_id": [long, "evil-client"], "purpose": format!("{long} and more")});
        let words =
            conditions_of(&serde_json::from_value(policy).unwrap(), &Reader { zone: ui::Zone::default(), now: Timestamp(0) })
                .join("\n");
        assert!(words.contains("evil-client") && words.contains("and more"), "{words}");
    }

    #[test]
    fn whoever_is_named_is_found_again() {
        for who in [Who::Anyone, Who::Address("a=b@c.example".into()), Who::Other("acr high".into())] {
            assert_eq!(Who::of_key(&who.key()), Some(who));
        }
        assert_eq!(Who::of_key("everybody"), None);
    }
}
