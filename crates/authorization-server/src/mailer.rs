//! Sending mail, as the authorization server needs it: a code to prove an address. The wiring hands
//! in an outbox folder or a submission server.

use async_trait::async_trait;
use identity::Failure;
use types::{ErrorCode, Refusal};

/// A plain text message to one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub to: String,
    pub subject: String,
    pub text: String,
}

impl Message {
    /// One message to one address: what is no address gets none, and a subject is one line.
    pub fn new(to: &str, subject: impl Into<String>, text: impl Into<String>) -> Result<Self, Failure> {
        let (to, subject) = (types::email::normalize(to), subject.into());
        match to.filter(|_| !subject.chars().any(char::is_control)) {
            Some(to) => Ok(Self { to, subject, text: text.into() }),
            None => Err(identity::internal("a message needs one address, and a subject of one line")),
        }
    }
}

/// Why a message is not on its way.
#[derive(Debug, thiserror::Error)]
pub enum Unsent {
    /// The mail server was not reached, or broke off: nobody has done anything.
    #[error("mail cannot be sent: {0}")]
    Unreached(String),
    /// The mail server was asked and says no: what it refuses it counts as well, so limits count it too.
    #[error("the mail server refuses: {0}")]
    Refused(String),
}

impl Unsent {
    /// Whether a limit is given back: what the mail server had to answer stays counted, or whoever mails to addresses that are
    /// not there has no limit at all (threat 46).
    pub fn counts_for_nothing(&self) -> bool {
        matches!(self, Self::Unreached(_))
    }
}

impl From<Unsent> for Failure {
    fn from(unsent: Unsent) -> Self {
        match unsent {
            Unsent::Unreached(_) => Self::Unavailable(unsent.to_string()),
            Unsent::Refused(cause) => {
                tracing::info!(cause, "the mail server takes no mail for an address");
                let what = "mail to this address is not taken: look whether it is spelled right, or try again later";
                Self::Refused(Refusal::new(ErrorCode::InvalidRequest, what))
            }
        }
    }
}

/// Whatever takes messages.
#[async_trait]
pub trait Mailer: Send + Sync {
    async fn send(&self, message: Message) -> Result<(), Unsent>;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threat_38_s07_a_message_has_one_address_and_a_subject_of_one_line() {
        assert_eq!(Message::new("Bob@Bar.example", "Your code", "text").unwrap().to, "bob@bar.example");
        for (to, subject) in [
            ("bob@bar.example\r\nBcc: eve@evil.example", "Your code"),
            ("bob@bar.example, eve@evil.example", "Your code"),
            ("bob@bar.example", "Your code\r\nBcc: eve@evil.example"),
            ("bob@bar.example", "Your code\n\nGo to https://evil.example"),
        ] {
            assert!(Message::new(to, subject, "text").is_err(), "{to:?} {subject:?}");
        }
    }
}
