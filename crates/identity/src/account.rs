//! Accounts: people and organisations that log in here.

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeSet;
use types::{AccountId, Timestamp};

/// By whom an account stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Standing {
    /// By another provider, whose people get accounts here.
    #[default]
    Elsewhere,
    /// The operator's configuration has it.
    Declared,
    /// The operator's configuration had it, and has it no more: its things stay, and nothing opens it.
    Gone,
}

impl Standing {
    fn is_elsewhere(&self) -> bool {
        *self == Self::Elsewhere
    }
}

/// An account. `id` is its `sub`, and never changes.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Account {
    pub id: AccountId,
    pub username: String,
    pub name: Option<String>,
    pub email: Option<String>,
    pub email_verified: bool,
    /// What else is known of this person, and verified: the operator declared it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub claims: Map<String, Value>,
    /// Argon2id in PHC form.
    pub password_hash: Option<String>,
    /// Keyed digest of a declared password, so that start-up compares without argon2.
    pub declared_digest: Option<String>,
    /// Accounts of older stores say nothing, until the configuration brings them in line.
    #[serde(default, skip_serializing_if = "Standing::is_elsewhere")]
    pub standing: Standing,
    /// Since when all that is said of its person is said; none: from its beginning.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub vouched_since: Option<Timestamp>,
    /// Log-in providers that opened it once, and that the operator has no more.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub gone_providers: BTreeSet<String>,
    pub created: Timestamp,
}

impl Account {
    /// Whether a log-in provider's word made it: what it is called there its person may have chosen, and is no fact here.
    pub fn is_of_provider(&self) -> bool {
        self.standing == Standing::Elsewhere && !self.is_declared()
    }

    /// What pages and mails call this person. A name that somebody else than the operator gave does not pass for an address
    /// that nobody proved (threat 36).
    pub fn display_name(&self) -> &str {
        let passes_for_address = |name: &str| self.is_of_provider() && name.contains(['@', '\u{ff20}', '\u{fe6b}']);
        let name = self.name.as_deref().filter(|name| !passes_for_address(name) || self.verified_email() == Some(*name));
        name.unwrap_or(&self.username)
    }

    /// Whether the operator declared it: nobody else has a password.
    pub fn is_declared(&self) -> bool {
        match self.standing {
            Standing::Declared => true,
            Standing::Elsewhere => self.password_hash.is_some() || self.declared_digest.is_some(),
            Standing::Gone => false,
        }
    }

    /// The log-in provider by whose word it stands. An account of an older store may be [`Self::is_of_provider`] and name none:
    /// what it is called is no fact, and there is nobody whose end would end it.
    pub fn provider(&self) -> Option<&str> {
        let (issuer, _) = self.username.split_once(' ')?;
        (self.is_of_provider() && issuer.contains("://")).then_some(issuer)
    }

    /// Whether nothing that was said of its person then has been taken back.
    pub fn vouches_for(&self, then: Timestamp) -> bool {
        self.vouched_since.is_none_or(|since| since < then)
    }

    /// Whether it says all that it said before. What it says besides takes nothing back.
    pub fn says_all_of(&self, before: &Self) -> bool {
        let is_said = |now: Option<&str>, before: Option<&str>| before.is_none() || now == before;
        before.standing != Standing::Gone
            && is_said(self.verified_email(), before.verified_email())
            && is_said(self.name.as_deref(), before.name.as_deref())
    }

    /// The address, if it is verified.
    pub fn verified_email(&self) -> Option<&str> {
        self.email.as_deref().filter(|_| self.email_verified)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_36_a_name_that_a_provider_gives_is_no_address() {
        let account = |name: &str, email: Option<&str>| Account {
            id: AccountId::from("a"),
            username: "https://id.example 7".into(),
            name: Some(name.to_owned()),
            email_verified: email.is_some(),
            email: email.map(str::to_owned),
            claims: Map::new(),
            password_hash: None,
            declared_digest: None,
            standing: Standing::Elsewhere,
            vouched_since: None,
            gone_providers: BTreeSet::new(),
            created: Timestamp(0),
        };
        assert_eq!(account("Bob", None).display_name(), "Bob");
        for name in ["bob@bar.example", "Bob <bob@bar.example>", "bob\u{ff20}bar.example"] {
            assert_eq!(account(name, Some("mallory@evil.example")).display_name(), "https://id.example 7", "{name}");
        }
        assert_eq!(account("bob@bar.example", Some("bob@bar.example")).display_name(), "bob@bar.example");
        let declared = Account { username: "bob".into(), standing: Standing::Declared, ..account("bob@bar.example", None) };
        assert_eq!(declared.display_name(), "bob@bar.example", "the operator wrote it");
    }

    #[test]
    fn what_is_said_of_a_person_is_taken_back_by_another_word_alone() {
        let account = |name: &str, email: Option<&str>, standing| Account {
            id: AccountId::from("a"),
            username: "carol".into(),
            name: Some(name.to_owned()),
            email_verified: email.is_some(),
            email: email.map(str::to_owned),
            claims: Map::new(),
            password_hash: None,
            declared_digest: None,
            standing,
            vouched_since: None,
            gone_providers: BTreeSet::new(),
            created: Timestamp(0),
        };
        let before = account("Carol", Some("carol@foo.example"), Standing::Declared);
        for (now, name, email) in [
            (true, "Carol", Some("carol@foo.example")),
            (false, "Carol", Some("carol@bar.example")),
            (false, "Carol", None),
            (false, "Dave", Some("carol@foo.example")),
        ] {
            assert_eq!(account(name, email, Standing::Declared).says_all_of(&before), now, "{name} {email:?}");
        }
        assert!(before.says_all_of(&account("Carol", None, Standing::Declared)), "more is said");
        assert!(!before.says_all_of(&account("Carol", None, Standing::Gone)), "what ended is said anew");
        let since = Account { vouched_since: Some(Timestamp(50)), ..before };
        assert!(since.vouches_for(Timestamp(51)) && !since.vouches_for(Timestamp(50)));
    }
}
