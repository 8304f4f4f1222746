//! Policy just in time, way (a) (protocol.md 1.4): whoever is logged in at the claims interaction page owns what is asked for, or
//! decides for its owner. She may go to a manager that she linked, with a signed request that says what is wanted, by which
//! client and for whom; it writes a policy with its own PMT, and sends her back. Called by `web`'s claims pages.
//!
//! Nobody else's manager is offered, and what the requesting party names is never one (threat 31).

use crate::AuthorizationServer;
use crate::claims_interaction::Interaction;
use crate::linked_manager::KeptManager;
use identity::redirect_uri::place_of;
use identity::{Account, Failure, internal};
use jose::Algorithm;
use serde_json::json;
use types::access_request::RequestingClient;
use types::delegation::May;
use types::json::OneOrMany;
use types::linked_manager::{POLICY_REQUEST, PolicyRequest};
use types::policy::ClaimCondition;
use types::{ErrorCode, PermissionRequest, ScopeSet};
use url::Url;

/// Seconds that a request is good.
const LIFETIME: i64 = 300;

impl AuthorizationServer {
    /// Managers at which this account can decide about what is asked for; none where it is not hers to decide.
    pub async fn deciding_managers(&self, interaction: &Interaction, account: &Account) -> Result<Vec<KeptManager>, Failure> {
        let owner = interaction.owner();
        if account.id != *owner {
            let given = self.delegated_by(owner, &self.names_of(&account.id).await?).await?;
            if !given.iter().any(|one| one.may.contains(&May::Share)) {
                return Ok(Vec::new());
            }
        }
        let mut managers = self.standing_managers(&account.id).await?;
        managers.retain(|manager| manager.document.policy_interaction_endpoint.is_some());
        Ok(managers)
    }

    /// Where to send her browser: to that manager, with the signed request. `return_uri`: where she goes on here.
    pub async fn policy_request(
        &self,
        interaction: &Interaction,
        account: &Account,
        manager: &str,
        return_uri: String,
    ) -> Result<String, Failure> {
        let found = self.deciding_managers(interaction, account).await?.into_iter().find(|one| one.id == manager);
        let endpoint = found.as_ref().and_then(|one| one.document.policy_interaction_endpoint.as_deref());
        let (Some(manager), Some(endpoint)) = (&found, endpoint) else {
            return Failure::refuse(
                ErrorCode::AccessDenied,
                "this is not yours to decide, or that manager is not linked any more",
            );
        };
        let client = self.identity.store.find_client(&interaction.client).await?;
        let wanted = self.wanted(interaction).await?;
        let (now, owner) = (self.now(), interaction.owner());
        let request = PolicyRequest {
            iss: self.issuer().as_str().to_owned(),
            aud: OneOrMany::One(manager.document.issuer.clone()),
            sub: manager.document.sub.clone(),
            jti: self.identity.random_id(),
            iat: now,
            exp: now.plus(LIFETIME),
            owner: (account.id != *owner).then(|| owner.clone()),
            client: RequestingClient {
                client_id: interaction.client.clone(),
                name: client.as_ref().map(|client| client.display_name()),
                verified: client.as_ref().is_some_and(|client| client.declared),
            },
            client_host: place_of(&interaction.redirect_uri),
            resource_scopes: wanted.iter().flat_map(|one| one.resource_scopes.iter().cloned()).collect::<ScopeSet>(),
            resources: wanted.into_iter().map(|one| one.resource_id).collect(),
            required_claims: vec![self.is_she(account)],
            ticket_challenge: interaction.challenge.clone(),
            return_uri,
        };
        let key = self.identity.keys.signing_key(Algorithm::EdDsa, now)?;
        let text = key.sign(POLICY_REQUEST, &request).map_err(internal)?;
        let mut url = Url::parse(endpoint).map_err(internal)?;
        url.query_pairs_mut().append_pair("request", &text);
        Ok(url.into())
    }

    /// What the ticket is for.
    async fn wanted(&self, interaction: &Interaction) -> Result<Vec<PermissionRequest>, Failure> {
        let ticket = interaction.ticket();
        match ticket.stored {
            true => {
                let process = self.find_process(ticket).await?;
                Ok(process.ok_or_else(|| internal("a process has ended meanwhile"))?.permissions)
            }
            false => Ok(ticket.permissions.clone()),
        }
    }

    /// The condition that whoever is there meets, and nobody else.
    fn is_she(&self, account: &Account) -> ClaimCondition {
        let (name, value, issuer) = match account.verified_email() {
            Some(email) => ("email", json!(email), Vec::new()),
            None => ("sub", json!(account.id), vec![self.issuer().as_str().to_owned()]),
        };
        ClaimCondition { name: name.to_owned(), issuer, value: vec![value], claim_token_format: Vec::new() }
    }
}
