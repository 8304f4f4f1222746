//! Who reads the name of somebody who asks in what an owner signed (protocol.md 3; decision 0066). Her text says whom it lets in, and
//! goes whole with the RPT, since the resource server checks her signature over it. Asked by the claims page, which promises no more
//! than what every RPT that could come of the process keeps.

use crate::AuthorizationServer;
use crate::claims_interaction::Interaction;
use identity::{Client, Failure};
use rules::{Policy, Ticket};
use serde_json::Value;
use types::client::AccessTokenFormat;

/// Who would read it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SignedNames {
    /// A share that the owner signed names this person, and could let her in: the resource server reads it there.
    pub is_named: bool,
    /// The client could read what an owner signs, now or later.
    pub client_reads: bool,
}

impl AuthorizationServer {
    /// Of a person of whom these claims would be shown.
    pub async fn find_signed_names(
        &self,
        interaction: &Interaction,
        client: Option<&Client>,
        shown: &[(String, Value)],
    ) -> Result<SignedNames, Failure> {
        // one that registered by itself chooses the form of its tokens, and may choose anew
        let is_readable = |client: &Client| client.access_token_format == AccessTokenFormat::Jwt || !client.declared;
        let is_keeper = interaction.ticket().resource_server == interaction.client;
        let client_reads = is_keeper || client.is_none_or(is_readable);
        Ok(SignedNames { is_named: self.is_named_in_signed(interaction, shown).await?, client_reads })
    }

    async fn is_named_in_signed(&self, interaction: &Interaction, shown: &[(String, Value)]) -> Result<bool, Failure> {
        let ticket = interaction.ticket();
        let process = if ticket.stored { self.find_process(ticket).await? } else { None };
        let permissions = process.map_or_else(|| ticket.permissions.clone(), |process| process.permissions);
        // nobody has shown yet who she is
        for permission in permissions.iter().filter(|_| !shown.is_empty()) {
            let policies = self.store.list_policies_on(&permission.resource_id).await?;
            let names = |policy: &Policy| shown.iter().any(|(claim, value)| policy.names(claim, value));
            if policies.iter().any(|policy| names(policy) && self.could_let_in(policy, ticket, interaction)) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an RPT of this process could carry it.
    fn could_let_in(&self, policy: &Policy, ticket: &Ticket, interaction: &Interaction) -> bool {
        let (Some(authority), Some(resource)) = (&policy.authority, policy.resource()) else { return false };
        let is_looked_at = ticket.signer.as_ref().is_none_or(|signer| authority.is_of(signer));
        // it may begin while the process goes on, and the client may yet prove the key
        let then = policy.valid_from.map_or(self.now(), |from| from.max(self.now()));
        is_looked_at && policy.is_in_force(resource, &interaction.client, authority.cnf.as_deref(), then)
    }
}
