//! Invitations to register a client, by mail (protocol.md 1.7). Called by administration.

use crate::AuthorizationServer;
use crate::mailer::Message;
use identity::Failure;
use types::email;
use types::{ErrorCode, path};

impl AuthorizationServer {
    /// Sends an initial access token to this address, for a client of its domain.
    pub async fn invite(&self, address: &str) -> Result<(), Failure> {
        let (Some(to), Some(domain)) = (email::normalize(address), email::domain_of(address)) else {
            return Failure::refuse(ErrorCode::InvalidRequest, "write an e-mail address, like carol@bar.example");
        };
        let token = self.identity.initial_access_token(&domain)?;
        let (issuer, endpoint) = (self.identity.issuer(), self.identity.url(path::REGISTER));
        let text = format!(
            "You may register a client of {domain} at {issuer}.\n\nPost its metadata (RFC 7591) to {endpoint}\n\
             with this header. It is good once, for seven days:\n\nAuthorization: Bearer {token}\n"
        );
        Ok(self.mailer.send(Message::new(&to, format!("Register a client of {domain}"), text)?).await?)
    }
}
