//! What a resource owner token allows (protocol.md 3): at the authorization server it is one more policy for each of
//! its resources, signed instead of stored on trust.

use crate::policy::{Binding, Policy};
use jose::{ResourceOwnerToken, Verified};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use types::policy::{ClaimCondition, OnMissing};
use types::{OwnerId, PolicyId, Refusal, Timestamp};

/// What makes a policy a signed one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Authority {
    /// The token, as it goes with permissions.
    pub token: String,
    /// Its `jti`: the policies that came of one token end together.
    pub id: String,
    /// How many they are.
    pub parts: usize,
    /// The credential it counts under.
    pub credential: String,
    /// Thumbprint of the key that the requesting party must prove.
    pub cnf: Option<String>,
}

/// Ids of the policies that a token of this `jti` and so many resources is.
pub fn policy_ids(jti: &str, parts: usize) -> impl Iterator<Item = PolicyId> + '_ {
    // a second resource's id has a character that no `jti` may have
    (1..=parts).map(move |part| PolicyId::new(if part == 1 { jti.to_owned() } else { format!("{jti}:{part}") }))
}

/// The token as policies: one for each resource, each waiting until its resource is registered.
pub fn policies_of(
    token: &Verified<ResourceOwnerToken>,
    text: &str,
    owner: &OwnerId,
    now: Timestamp,
) -> Result<Vec<Policy>, Refusal> {
    let parts = token.resources.len();
    let party = &token.allowed_rqp;
    let conditions: Vec<ClaimCondition> = party
        .claims
        .iter()
        .map(|(name, value)| ClaimCondition {
            name: name.clone(),
            issuer: party.issuer.clone(),
            value: if let Value::Array(all) = value { all.clone() } else { vec![value.clone()] },
            claim_token_format: Vec::new(),
        })
        .collect();
    crate::policy::check_conditions(&conditions)?;
    let clients: Vec<_> = party.client_id.iter().flat_map(|ids| ids.iter()).map(types::ClientId::from).collect();
    let authority = Authority {
        token: text.to_owned(),
        id: token.jti.clone(),
        parts,
        credential: token.iss.clone(),
        cnf: party.cnf.as_ref().map(|cnf| cnf.jkt.clone()),
    };
    let of = |(id, resource): (PolicyId, &jose::resource_owner_token::AllowedResource)| Policy {
        id,
        owner: owner.clone(),
        version: 0,
        binding: Binding::Waiting { resource_server: resource.resource_server.clone(), own_id: resource.resource_id.clone() },
        scopes: resource.allowed_scopes.clone(),
        conditions: conditions.clone(),
        clients: clients.clone(),
        valid_from: token.nbf,
        expires_at: Some(token.exp),
        max_uses: None,
        uses: 0,
        purpose: None,
        on_missing: OnMissing::Gather,
        created: now,
        authority: Some(authority.clone()),
    };
    Ok(policy_ids(&token.jti, parts).zip(&token.resources).map(of).collect())
}
