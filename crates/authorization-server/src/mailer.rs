//! Sending mail, as the authorization server needs it: a code to prove an address. The wiring hands
//! in an outbox folder or a submission server.

use async_trait::async_trait;
use identity::Failure;

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

/// Whatever takes messages.
#[async_trait]
pub trait Mailer: Send + Sync {
    async fn send(&self, message: Message) -> Result<(), Failure>;
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
