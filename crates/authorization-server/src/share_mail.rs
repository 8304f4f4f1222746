//! Telling somebody by mail that something is shared with them: one mail, to an address that the share names, so many an
//! hour of an owner. The words are those of the page on which she read them. Called by the owner's pages.

use crate::AuthorizationServer;
use crate::acting::Acting;
use crate::mailer::Message;
use identity::Failure;
use types::policy::PolicyDocument;
use types::resource::OwnedResource;
use types::throttle::{Taken, Throttle};
use types::{ErrorCode, PolicyId, Timestamp};
use url::Url;

const HOUR_SECONDS: i64 = 3_600;
/// Mails of an hour that one owner may send.
const MAILS_OF_OWNER_BY_HOUR: u32 = 20;
/// A form that is sent twice at once sends one mail.
const SAME_SECONDS: i64 = 60;

/// Longest link that fits a line that people read.
const MAX_LINK_BYTES: usize = 2_000;

pub(crate) struct ShareMails {
    of_owner: Throttle,
    same: Throttle,
}

impl Default for ShareMails {
    fn default() -> Self {
        Self { of_owner: Throttle::per(MAILS_OF_OWNER_BY_HOUR, HOUR_SECONDS), same: Throttle::per(1, SAME_SECONDS) }
    }
}

/// The addresses that a share names, in the form in which addresses compare.
pub fn addresses_of(policy: &PolicyDocument) -> Vec<String> {
    let named = policy.required_claims.iter().filter(|condition| condition.name == "email");
    named.flat_map(|condition| &condition.value).filter_map(|value| types::email::normalize(value.as_str()?)).collect()
}

/// Whether a share has ended: by its time, or since it was used as often as it may be.
pub fn has_ended(policy: &PolicyDocument, now: Timestamp) -> bool {
    let is_used_up = policy.max_uses.is_some_and(|most| policy.uses.unwrap_or(0) >= most);
    is_used_up || policy.expires_at.is_some_and(|end| end <= now)
}

/// Where a thing can be opened, if its resource server says so of a place within itself: a link elsewhere is none that an
/// owner would send (protocol.md 1.1 `resource_location`, 2.1).
pub fn link_of(thing: &OwnedResource) -> Option<String> {
    let location = Url::parse(thing.description.resource_location.as_deref()?).ok()?;
    let server = Url::parse(thing.resource_server.as_str()).ok()?;
    let below = |url: &Url| format!("{}/", url.path().trim_end_matches('/'));
    let is_plain = location.username().is_empty() && location.password().is_none() && location.fragment().is_none();
    let is_within = matches!(location.scheme(), "https" | "http")
        && location.origin() == server.origin()
        && below(&location).starts_with(&below(&server));
    (is_plain && is_within && location.as_str().len() <= MAX_LINK_BYTES).then(|| location.into())
}

impl AuthorizationServer {
    /// Mails it, once. What is refused here, or reached no mail server, counts for nothing.
    pub async fn mail_share(&self, acting: &Acting, id: &PolicyId, message: Message) -> Result<(), Failure> {
        let (now, mut taken) = (self.now(), Taken::default());
        if !taken.take(&self.share_mails.of_owner, acting.account().as_str(), now) {
            let what = format!("you have sent {MAILS_OF_OWNER_BY_HOUR} mails in this hour: copy the link, or wait a while");
            return Failure::refuse(ErrorCode::TooManyRequests, what);
        }
        if !taken.take(&self.share_mails.same, &format!("{id} {} {}", message.to, message.text), now) {
            // this very mail is on its way
            taken.give_back();
            return Ok(());
        }
        if let Err(failure) = self.check_mailed(acting, id, &message).await {
            taken.give_back();
            return Err(failure);
        }
        match self.mailer.send(message).await {
            Ok(()) => Ok(()),
            Err(unsent) => {
                if unsent.counts_for_nothing() {
                    taken.give_back();
                }
                Err(unsent.into())
            }
        }
    }

    /// Whether the share lets somebody in, and the message goes to whom it names.
    async fn check_mailed(&self, acting: &Acting, id: &PolicyId, message: &Message) -> Result<(), Failure> {
        let share = self.read_policy(acting, id).await?.document;
        if has_ended(&share, self.now()) || share.state.is_some() {
            return Failure::refuse(ErrorCode::InvalidRequest, "this share lets nobody in now: there is nothing to mail");
        }
        if !addresses_of(&share).contains(&message.to) {
            return Failure::refuse(ErrorCode::InvalidRequest, "this share is for somebody else: mail goes to whom it names");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_link_leads_to_the_place_that_keeps_the_thing() {
        for (server, location, is_link) in [
            ("https://rs.example", "https://rs.example/a/b", true),
            ("https://rs.example", "https://rs.example", true),
            ("https://rs.example/one", "https://rs.example/one/a?page=2", true),
            ("http://127.0.0.1:9000", "http://127.0.0.1:9000/garden", true),
            ("https://rs.example/one", "https://rs.example/ones/a", false),
            ("https://rs.example/one", "https://rs.example/one/../two", false),
            ("https://rs.example", "https://evil.example/a", false),
            ("https://rs.example", "https://rs.example.evil.example/a", false),
            ("https://rs.example", "https://rs.example@evil.example/a", false),
            ("https://rs.example", "https://alice:secret@rs.example/a", false),
            ("https://rs.example", "https://rs.example/a#b", false),
            ("https://rs.example", "http://rs.example/a", false),
            ("https://rs.example", "javascript:alert(1)", false),
            ("https://rs.example", "/a", false),
            ("music-rs", "https://rs.example/a", false),
        ] {
            let thing = json!({"_id": "1", "resource_server": server, "user_access_policy_uri": "", "policies": [],
                "resource_scopes": ["view"], "resource_location": location});
            assert_eq!(link_of(&serde_json::from_value(thing).unwrap()).is_some(), is_link, "{server} {location}");
        }
    }

    #[test]
    fn a_share_names_addresses_and_ends() {
        let share = |more: serde_json::Value| -> PolicyDocument {
            let mut all = json!({"resource_scopes": ["view"]});
            all.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            serde_json::from_value(all).unwrap()
        };
        let named = |claims: serde_json::Value| addresses_of(&share(json!({"required_claims": claims})));
        assert_eq!(named(json!([{"name": "email", "value": ["Bob@BAR.example", "no address", 7]}])), ["bob@bar.example"]);
        assert!(named(json!([{"name": "name", "value": ["bob@bar.example"]}])).is_empty() && named(json!([])).is_empty());
        let now = Timestamp(100);
        for (more, ended) in [
            (json!({}), false),
            (json!({"expires_at": 101}), false),
            (json!({"expires_at": 100}), true),
            (json!({"max_uses": 2, "uses": 1}), false),
            (json!({"max_uses": 2, "uses": 2}), true),
        ] {
            assert_eq!(has_ended(&share(more.clone()), now), ended, "{more}");
        }
    }
}
