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

/// Whatever takes messages.
#[async_trait]
pub trait Mailer: Send + Sync {
    async fn send(&self, message: Message) -> Result<(), Failure>;
}
