//! What is shared, in the owner's words: what somebody may, least first, and until when. Called by the owner's pages and mails.

use super::things;
use crate::Shared;
use identity::Failure;
use serde_json::Value;
use types::policy::PolicyDocument;
use types::spelling::{readable, visible};
use types::{ClientId, Scope, ScopeSet};
pub(crate) use ui::{Reader, least_first};

/// What it means.
pub(super) fn meaning(scope: &Scope) -> &'static str {
    ui::meaning_of(scope)
}

/// Whether it only lets somebody look.
pub(super) fn is_looking(scope: &Scope) -> bool {
    matches!(scope.as_str(), "view" | "read")
}

/// `view, download`.
pub(super) fn may(scopes: &ScopeSet) -> String {
    least_first(scopes).iter().map(|scope| readable(scope.as_str())).collect::<Vec<_>>().join(", ")
}

/// The same for a mail of this server's: what a resource server calls its scopes is not said in the server's own sentence, but
/// how many there are that no page of ours knows (threat 33).
pub(super) fn may_in_mail(scopes: &ScopeSet) -> String {
    let is_known = |scope: &&Scope| ui::find_meaning(scope).is_some();
    let all = least_first(scopes);
    let (known, others): (Vec<&Scope>, Vec<&Scope>) = all.iter().partition(is_known);
    let mut words: Vec<String> = known.into_iter().map(|scope| scope.as_str().to_owned()).collect();
    match others.len() {
        0 => {}
        1 => words.push("one thing more that the page names".to_owned()),
        more => words.push(format!("{more} things more that the page names")),
    }
    words.join(", ")
}

/// Most people whom one sentence names: a share may name a thousand, and a page has many shares.
const MOST_NAMED: usize = 20;

/// Who meets the conditions of a policy.
pub(super) fn who(policy: &PolicyDocument) -> String {
    let text = |value: &Value| visible(&value.as_str().map_or_else(|| value.to_string(), str::to_owned));
    let each = policy.required_claims.iter().map(|condition| {
        let mut values = condition.value.iter().take(MOST_NAMED).map(text).collect::<Vec<_>>().join(" or ");
        match condition.value.len().saturating_sub(MOST_NAMED) {
            0 => {}
            more => values.push_str(&format!(" or one of {more} more")),
        }
        match condition.name.as_str() {
            "email" => values,
            name => format!("somebody whose {} is {values}", visible(name)),
        }
    });
    let all = each.collect::<Vec<_>>().join(" and ");
    if all.is_empty() { "Anyone".to_owned() } else { all }
}

/// How long a use of a share lasts.
fn minutes(seconds: i64) -> String {
    match seconds.saturating_add(59).checked_div(60).unwrap_or_default() {
        ..=1 => "a minute".to_owned(),
        many => format!("{many} minutes"),
    }
}

/// A policy in plain words: who may do what, with what, until when.
pub(super) async fn sentence_of(app: &Shared, policy: &PolicyDocument, reader: &Reader) -> Result<String, Failure> {
    let mut text = format!("{} may {}", who(policy), may(&policy.resource_scopes));
    if !policy.client_id.is_empty() {
        text.push_str(&format!(", with {}", clients(app, &policy.client_id).await?));
    }
    if let Some(from) = policy.valid_from.filter(|from| reader.now < *from) {
        text.push_str(&format!(", from {} on", reader.zone.moment(from, reader.now)));
    }
    match policy.expires_at {
        Some(end) => text.push_str(&format!(", {}", reader.until(end))),
        None if policy.max_uses.is_none() => text.push_str(", until you end it"),
        None => {}
    }
    if let Some(most) = policy.max_uses {
        let each = minutes(app.authorization_server.settings.rpt_lifetime);
        text.push_str(&format!(", {} of {most} times used, {each} each", policy.uses.unwrap_or(0)));
    }
    Ok(text)
}

/// What a share's end means. Another share may let the same person in: it stands in the list below.
pub(super) fn describe_end(policy: &PolicyDocument) -> String {
    let scopes = least_first(&policy.resource_scopes);
    let may = scopes.iter().map(|scope| readable(scope.as_str())).collect::<Vec<_>>().join(" and ");
    match policy.required_claims.is_empty() {
        true => "Taken back: nobody gets in by this open share any more.".to_owned(),
        false => format!("Taken back: {} can no longer {may} it by this share.", who(policy)),
    }
}

/// What became of a request that she had approved and took back.
pub(super) fn describe_taking_back(who: &str, waits: bool) -> String {
    match waits {
        true => format!("Taken back: {who} waits for your answer again."),
        false => format!("Taken back: {who} gets in no more by what you approved, and may ask again."),
    }
}

async fn clients(app: &Shared, ids: &[ClientId]) -> Result<String, Failure> {
    let mut names = Vec::new();
    for id in ids {
        names.push(things::client_name(app, id).await?);
    }
    Ok(names.join(" or "))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_least_comes_first() {
        for (scopes, words) in [
            ("delete edit view", "view, edit, delete"),
            ("zap edit delete download read", "read, download, edit, zap, delete"),
            ("https://x.example/odd delete", "https://x.example/odd, delete"),
        ] {
            assert_eq!(may(&ScopeSet::parse(scopes).unwrap()), words);
        }
        let scope = |text: &str| Scope::parse(text).unwrap();
        assert!(is_looking(&scope("view")) && !is_looking(&scope("edit")) && !is_looking(&scope("viewer")));
        assert_eq!((meaning(&scope("view")), meaning(&scope("delete"))), ("Look at it.", "Remove it for good."));
    }

    #[test]
    fn threat_36_whoever_is_named_is_shown_whole_and_visible() {
        let policy = |claims: Value| -> PolicyDocument {
            serde_json::from_value(json!({"resource_scopes": ["view"], "required_claims": claims})).unwrap()
        };
        assert_eq!(who(&policy(json!([]))), "Anyone");
        assert_eq!(
            who(&policy(json!([{"name": "email", "value": ["a@x.example", "b@x.example"]}]))),
            "a@x.example or b@x.example"
        );
        let many: Vec<String> = (1..=22).map(|n| format!("p{n}@x.example")).collect();
        let said = who(&policy(json!([{"name": "email", "value": many}])));
        assert!(
            said.starts_with("p1@x.example or p2@x.example or ") && said.ends_with("p20@x.example or one of 2 more"),
            "{said}"
        );
        let odd = who(&policy(json!([{"name": "ro\u{202e}le", "value": ["a\nb", 7]}])));
        assert_eq!(odd, "somebody whose role is a b or 7");
    }

    #[test]
    fn threat_33_a_mail_says_nothing_in_the_words_of_a_resource_server() {
        let said = |scopes: &str| may_in_mail(&ScopeSet::parse(scopes).unwrap());
        assert_eq!(said("delete view"), "view, delete");
        assert_eq!(said("view YOUR-ACCOUNT-IS-LOCKED:CALL-555-1234"), "view, one thing more that the page names");
        assert_eq!(said("https://evil.example/a b"), "2 things more that the page names");
        assert_eq!(ui::within_quotes("x” Your account is locked. “z\""), "x' Your account is locked. 'z'");
    }
}
