//! The life of a permission ticket (Grant 3.3.1, 5.5; architecture.md "Tickets without a table").
//! Its sealed form is `authorization-server/sealed_ticket.rs`.

use crate::assessment::AskOwner;
use crate::claim::{Claims, RequestingParty};
use jose::digest;
use serde::{Deserialize, Serialize};
use types::{AccessRequestId, ClientId, GrantId, OwnerId, PermissionRequest, Timestamp};

/// What names an authorization process (Grant 5.4): the second in which it began, and 128 random bits.
pub type ProcessId = [u8; 20];

/// A permission ticket. One process has many, each good once, numbered by `step`.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ticket {
    pub process: ProcessId,
    pub step: u32,
    /// The client that presented a ticket of this process first; nobody else may go on with it.
    pub client: Option<ClientId>,
    pub owner: OwnerId,
    pub resource_server: ClientId,
    /// The grant behind the PAT that asked for it.
    pub pat_grant: GrantId,
    pub expires: Timestamp,
    /// Whether the store has a [`Process`] for it.
    pub stored: bool,
    /// What is asked for; empty where the [`Process`] holds it because it did not fit.
    pub permissions: Vec<PermissionRequest>,
    /// Of a server-level request: the credential of the owner whose tokens alone are looked at (protocol.md 3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub signer: Option<String>,
    /// Set once the requesting party knows the answer is the owner's: not polled before.
    pub not_before: Option<Timestamp>,
}

/// What a process has gathered; kept only until it expires.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Process {
    pub claims: Claims,
    pub requesting_party: RequestingParty,
    pub permissions: Vec<PermissionRequest>,
    /// Access requests that this process waits for.
    pub access_requests: Vec<AccessRequestId>,
    /// The person agreed that her claims be kept, so a PCT may be given (Grant 6.2).
    pub keep_claims: bool,
    /// SHA-256 of claim tokens that this process brought; it may bring them again.
    pub claim_tokens: Vec<String>,
    /// When this server first vouched for whom it speaks of, by any of the words that it rests on: a page, an ID token, a PCT.
    #[serde(default, alias = "shown", skip_serializing_if = "Option::is_none")]
    pub vouched_at: Option<Timestamp>,
    /// Thumbprint of the key that a claim token was confirmed to.
    pub cnf: Option<String>,
    /// The owner of what is asked for logged in here as her own account, and agreed by this consent that the client reaches it
    /// as she does. A token about her is not that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub as_owner: Option<GrantId>,
    /// A client said in this process that somebody wants the owner to be asked (`ask_owner=true`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub asks_expressly: bool,
    /// The client wants the resource server to see the person's address.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub wants_email: bool,
    /// The address of which she was told that the resource server sees it, before she went on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub disclosed_email: Option<String>,
    /// Current polling interval in seconds; grows with each poll that comes too early.
    pub interval: Option<i64>,
}

impl Process {
    /// Whether the owner may be asked: who says nothing goes on with what was said in this process before.
    pub fn asks(&self, said: AskOwner) -> AskOwner {
        if self.asks_expressly && said == AskOwner::Yes { AskOwner::Expressly } else { said }
    }

    /// It rests on this server's word of then, too. The oldest of all counts: what is taken back is taken back since a time.
    pub fn rest_on_word_of(&mut self, then: Timestamp) {
        self.vouched_at = Some(self.vouched_at.map_or(then, |known| known.min(then)));
    }
}

/// Why a ticket is no good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    #[error("the ticket has expired")]
    Expired,
    #[error("the ticket belongs to another client")]
    OtherClient,
}

impl Ticket {
    /// What the store remembers as spent: of process and step, never of the text.
    pub fn spent_id(&self) -> [u8; 32] {
        digest::sha256(&[&self.process, &self.step.to_be_bytes()])
    }

    /// Whether this client may present it now. The first presenter binds it (Part Y 8).
    pub fn check(&self, client: &ClientId, now: Timestamp) -> Result<(), TicketError> {
        if now >= self.expires {
            return Err(TicketError::Expired);
        }
        match &self.client {
            Some(bound) if bound != client => Err(TicketError::OtherClient),
            _ => Ok(()),
        }
    }

    /// The next ticket of the process, bound to the client.
    pub fn next(self, client: ClientId, expires: Timestamp) -> Self {
        Self { step: self.step.saturating_add(1), client: Some(client), expires, not_before: None, ..self }
    }
}

/// What a claim token must name in `ticket_challenge` to be bound to this ticket (protocol.md 5.1).
pub fn challenge_of(text: &str) -> String {
    jose::base64url::encode(digest::sha256(&[text.as_bytes()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            process: [1; 20],
            step: 0,
            client: None,
            owner: "alice".into(),
            resource_server: "photos".into(),
            pat_grant: "g".into(),
            expires: Timestamp(300),
            stored: false,
            permissions: vec![],
            signer: None,
            not_before: None,
        }
    }

    #[test]
    fn a_process_remembers_the_oldest_word() {
        let mut process = Process::default();
        for (word, oldest) in [(50, 50), (70, 50), (30, 30)] {
            process.rest_on_word_of(Timestamp(word));
            assert_eq!(process.vouched_at, Some(Timestamp(oldest)), "{word}");
        }
    }

    #[test]
    fn the_first_presenter_binds_the_process() {
        let first = ticket();
        assert_eq!(first.check(&"viewer".into(), Timestamp(299)), Ok(()));
        assert_eq!(first.check(&"viewer".into(), Timestamp(300)), Err(TicketError::Expired));
        let next = first.clone().next("viewer".into(), Timestamp(600));
        assert_eq!(next.check(&"viewer".into(), Timestamp(300)), Ok(()));
        assert_eq!(next.check(&"other".into(), Timestamp(300)), Err(TicketError::OtherClient));
        assert_ne!(first.spent_id(), next.spent_id());
    }
}
